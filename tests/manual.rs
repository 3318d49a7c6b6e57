//! The manual cannot drift from the code.
//!
//! What the command line definitions say is written into `man/` and `completions/` by
//!
//!     LEASEPIPE_BLESS=1 cargo test --test manual
//!
//! and compared without it. The rest of a page is written by hand; its command lines, and those of
//! the README and of the examples, have to be ones that the programs take.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Command, CommandFactory};
use clap_complete::Shell;
use leasepipe::pipe::EXITS;

/// Includes the programs' own definitions of their command lines.
macro_rules! programs {
    ($($module:ident = $path:literal,)*) => {
        $(#[path = $path] #[allow(dead_code)] mod $module;)*

        fn programs() -> Vec<Command> {
            vec![$($module::Args::command(),)*]
        }
    };
}

programs! {
    cccf_check = "../bin/cccf-check.rs",
    cccf_diff = "../bin/cccf-diff.rs",
    cccf_docker_instructions = "../bin/cccf-docker-instructions.rs",
    cccf_host = "../bin/cccf-host.rs",
    cccf_scale = "../bin/cccf-scale.rs",
    compose_cccf = "../bin/compose-cccf.rs",
    container_run = "../bin/container-run.rs",
    container_watch = "../bin/container-watch.rs",
    docker_cccf = "../bin/docker-cccf.rs",
    host_add = "../bin/host-add.rs",
    host_probe = "../bin/host-probe.rs",
    image_ship = "../bin/image-ship.rs",
    lease_bind = "../bin/lease-bind.rs",
    lease_cccf = "../bin/lease-cccf.rs",
    lease_hook = "../bin/lease-hook.rs",
    lease_watch = "../bin/lease-watch.rs",
    unionize = "../bin/unionize.rs",
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it should be, or writes it.
fn settle(path: &Path, want: &str, stale: &mut Vec<String>) {
    if std::fs::read_to_string(path).is_ok_and(|text| text == want) {
        return;
    }
    if std::env::var_os("LEASEPIPE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, want).unwrap();
    } else {
        stale.push(path.strip_prefix(root()).unwrap().display().to_string());
    }
}

fn fresh(stale: &[String]) {
    assert!(stale.is_empty(), "stale: {stale:?}; run LEASEPIPE_BLESS=1 cargo test --test manual");
}

#[test]
fn every_program_is_here() {
    let mut here: Vec<String> = programs().iter().map(|c| c.get_name().to_owned()).collect();
    let mut bins: Vec<String> = std::fs::read_dir(root().join("bin"))
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    here.sort();
    bins.sort();
    assert_eq!(here, bins);
}

#[test]
fn completions_are_fresh() {
    let mut stale = Vec::new();
    for mut command in programs() {
        let name = command.get_name().to_owned();
        let files = [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ];
        for (shell, file) in files {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, &name, &mut text);
            let text = String::from_utf8(text).unwrap();
            settle(&root().join("completions").join(file), &text, &mut stale);
        }
    }
    fresh(&stale);
}

#[test]
fn man_pages_are_fresh() {
    let mut stale = Vec::new();
    for command in programs() {
        let path = root().join("man").join(format!("{}.1", command.get_name()));
        let old = std::fs::read_to_string(&path).unwrap_or_else(|_| skeleton());
        settle(&path, &with_blocks(&old, &blocks(&command)), &mut stale);
    }
    fresh(&stale);
}

#[test]
fn every_page_is_of_this_version_and_day() {
    let version = env!("CARGO_PKG_VERSION");
    for entry in std::fs::read_dir(root().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let section = path.extension().unwrap().to_str().unwrap();
        let title = format!(".TH {name} {section} {DATE} \"leasepipe {version}\" leasepipe");
        let page = std::fs::read_to_string(&path).unwrap();
        let found = page.lines().find(|line| line.starts_with(".TH "));
        assert_eq!(found.map(|line| line.replace("\\-", "-")), Some(title));
    }
}

/// A page that has yet to be written.
fn skeleton() -> String {
    let mut page = String::new();
    for (begin, hand) in [
        ("OPTIONS", ".SH RECORDS\n"),
        ("EXIT STATUS", ".SH EXAMPLES\n.SH SECURITY\n.SH SEE ALSO\n"),
    ] {
        write!(page, ".\\\" BEGIN {begin}\n.\\\" END {begin}\n{hand}").unwrap();
    }
    page
}

/// When the manual was last looked through: the same day on every page.
const DATE: &str = "2026-11-21";

/// The command with no option left out, as -h leaves out some: the generator would name those and say
/// nothing of them.
fn in_full(command: &Command) -> Command {
    command.clone().mut_args(|arg| arg.hide_short_help(false)).mut_subcommands(|sub| in_full(&sub))
}

/// The parts of a page that come from the code.
fn blocks(command: &Command) -> BTreeMap<&'static str, String> {
    let command = &in_full(command);
    let man = clap_mangen::Man::new(command.clone())
        .section("1")
        .date(DATE)
        .source(format!("leasepipe {}", env!("CARGO_PKG_VERSION")))
        .manual("leasepipe");
    let mut head = Vec::new();
    man.render_title(&mut head).unwrap();
    man.render_name_section(&mut head).unwrap();
    let mut top = String::from_utf8(head).unwrap();
    top.push_str(".SH SYNOPSIS\n");
    top.push_str(&synopsis(command, command.get_name()));
    let mut rest = Vec::new();
    man.render_description_section(&mut rest).unwrap();
    man.render_options_section(&mut rest).unwrap();
    // The first paragraph is the line that stands under NAME.
    let rest = String::from_utf8(rest).unwrap();
    let (before, after) = rest.split_once(".SH DESCRIPTION\n").unwrap();
    let after = after.split_once(".PP\n").expect("a description of more than a line").1;
    write!(top, "{before}.SH DESCRIPTION\n{after}").unwrap();
    for sub in command.get_subcommands() {
        let name = format!("{} {}", command.get_name(), sub.get_name());
        let about = sub.get_long_about().or(sub.get_about()).map(ToString::to_string);
        let about = about.unwrap_or_default().replace("\n\n", "\n.PP\n").replace('-', "\\-");
        write!(top, ".SS {name}\n{about}\n").unwrap();
        let mut options = Vec::new();
        clap_mangen::Man::new(sub.clone()).render_options_section(&mut options).unwrap();
        let options = String::from_utf8(options).unwrap();
        top.push_str(options.split_once(".SH OPTIONS\n").map_or(&*options, |(_, text)| text));
    }
    let top = tidy(&top);
    let mut exits = String::from(".SH \"EXIT STATUS\"\n");
    for (exit, meaning) in EXITS {
        writeln!(exits, ".TP\n.B {}\n{meaning}", exit as u8).unwrap();
    }
    BTreeMap::from([("OPTIONS", top), ("EXIT STATUS", exits)])
}

/// One line for the command and one for each of its subcommands: what must be given first.
fn synopsis(command: &Command, name: &str) -> String {
    let (must, may): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .partition(|arg| arg.is_required_set());
    let mut line = format!("\\fB{}\\fR", name.replace('-', "\\-").replace(' ', "\\ "));
    for arg in must.into_iter().chain(may) {
        if arg.is_positional() {
            let more = arg.get_num_args().is_some_and(|number| number.max_values() > 1);
            let more = if more { " ..." } else { "" };
            write!(line, "\n\\fI{}\\fR{more}", arg.get_value_names().expect("a name")[0]).unwrap();
            continue;
        }
        let flag = arg.get_long().expect("every option has a long name").replace('-', "\\-");
        let mut word = format!("\\fB\\-\\-{flag}\\fR");
        if arg.get_action().takes_values() {
            let value = arg.get_value_names().expect("a value has a name")[0].replace('-', "\\-");
            write!(word, "\\ \\fI{value}\\fR").unwrap();
        }
        let more = if matches!(arg.get_action(), ArgAction::Append) { " ..." } else { "" };
        match arg.is_required_set() {
            true => write!(line, "\n{word}{more}").unwrap(),
            false => write!(line, "\n[{word}]{more}").unwrap(),
        }
    }
    line.push('\n');
    for sub in command.get_subcommands() {
        line.push_str(".br\n");
        line.push_str(&synopsis(sub, &format!("{name} {}", sub.get_name())));
    }
    line
}

/// The page without what the generator says twice, and with its lists in the form of the others.
fn tidy(page: &str) -> String {
    let mut out = String::new();
    let page = page.replace(".br\n\n.br\n\\fIPossible values:\\fR\n.RS 14\n", ".RS\n");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let again = line.contains(" .ds Aq ") && out.contains(line);
        match line {
            _ if again => (),
            ".IP \\(bu 2" => {
                let text = lines.next().expect("a value");
                let (value, meaning) = text.split_once(": ").expect("what the value means");
                writeln!(out, ".TP\n.B {value}\n{meaning}").unwrap();
            }
            line => writeln!(out, "{}", without_brackets(line)).unwrap(),
        }
    }
    out
}

/// The names of values as they stand in the synopsis.
fn without_brackets(line: &str) -> String {
    let line = line.replace("\\fI<", "\\fI").replace(">\\fR", "\\fR");
    line.replace("<\\fI", "\\fI").replace("\\fR>", "\\fR")
}

/// The page with what stands between `BEGIN` and `END` replaced.
fn with_blocks(page: &str, blocks: &BTreeMap<&'static str, String>) -> String {
    let mut out = String::new();
    let mut inside = None;
    for line in page.lines() {
        if let Some(name) = line.strip_prefix(".\\\" BEGIN ") {
            inside = Some(name.to_owned());
            writeln!(out, "{line}\n{}", blocks[name].trim_end()).unwrap();
        } else if line.strip_prefix(".\\\" END ") == inside.as_deref() && inside.is_some() {
            inside = None;
        }
        if inside.is_none() {
            writeln!(out, "{line}").unwrap();
        }
    }
    assert_eq!(inside, None, "a BEGIN has no END");
    out
}

#[test]
fn every_option_is_explained() {
    for command in programs() {
        let options = &blocks(&command)["OPTIONS"];
        let heads = options.lines().zip(options.lines().skip(1));
        for (head, text) in heads.filter(|(head, _)| head.starts_with("\\fB\\-")) {
            assert!(!text.is_empty(), "{}: {head}", command.get_name());
        }
    }
}

#[test]
fn man_pages_have_every_section() {
    let wanted = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "RECORDS",
        "EXIT STATUS",
        "EXAMPLES",
        "SECURITY",
        "SEE ALSO",
    ];
    for command in programs() {
        let page = root().join("man").join(format!("{}.1", command.get_name()));
        let page = std::fs::read_to_string(page).unwrap();
        let sections: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|name| name.trim_matches('"'))
            .filter(|name| wanted.contains(name))
            .collect();
        assert_eq!(sections, wanted, "{}", command.get_name());
        for (at, _) in page.match_indices(".SH ") {
            let text = page[at..].lines().skip(1).find(|line| !line.starts_with(".\\\""));
            assert!(
                text.is_some_and(|line| !line.starts_with(".SH")),
                "{}: empty section",
                command.get_name()
            );
        }
    }
}

#[test]
fn help_begins_with_one_short_line_and_ends_with_a_pipeline() {
    for mut command in programs() {
        let name = command.get_name().to_owned();
        let short = command.render_help().to_string();
        let first = short.lines().next().unwrap().to_owned();
        assert!(first.contains('→') && first.chars().count() <= 72, "{name}: {first}");
        assert!(short.lines().count() <= 40, "{name}: -h fits no screen");
        let long = command.render_long_help().to_string();
        let example =
            long.rsplit_once("Example:\n").unwrap_or_else(|| panic!("{name}: no example")).1;
        assert!(check(example, "help") > 0, "{name}: {example}");
    }
}

#[test]
fn command_lines_in_the_text_are_ones_that_the_programs_take() {
    let mut checked = 0;
    let mut texts: Vec<PathBuf> = vec![root().join("README.md")];
    for dir in ["man", "examples", "examples/systemd", "examples/cron"] {
        let Ok(entries) = std::fs::read_dir(root().join(dir)) else { continue };
        texts.extend(entries.map(|e| e.unwrap().path()).filter(|path| path.is_file()));
    }
    for path in texts {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let text = text.replace("\\-", "-").replace("\\e\n", "\\\n").replace("\\(ti", "~");
        checked += check(&text, &path.display().to_string());
    }
    assert!(checked > 20, "only {checked} command lines were found");
}

/// Parses every command line of a program in `text` that stands at the start of a line, behind a
/// `|`, or in `<( )`; gives their number.
fn check(text: &str, place: &str) -> usize {
    let programs = programs();
    let joined = text.replace("\\\n", " ");
    let mut count = 0;
    for line in joined.lines() {
        let line = line.split(" # ").next().unwrap();
        for part in line.split(['|', '(', ')', ';', '&']) {
            let words: Vec<&str> =
                part.split_whitespace().skip_while(|w| matches!(*w, "$" | "sudo")).collect();
            let Some(first) = words.first() else { continue };
            let name = first.rsplit('/').next().unwrap();
            let Some(command) = programs.iter().find(|c| c.get_name() == name) else { continue };
            if !words.get(1).is_some_and(|word| {
                let asked = command.get_subcommands().any(|sub| sub.get_name() == *word);
                asked || word.trim_start_matches('[').starts_with("--")
            }) {
                continue;
            }
            let words: Vec<String> = words
                .iter()
                .filter(|w| !w.ends_with("[@]}") && !w.ends_with("[@]}\""))
                .map(|w| if w.trim_start_matches('"').starts_with('$') { "x" } else { w })
                .take_while(|w| !w.starts_with(['>', '<']) && !w.starts_with("2>"))
                .map(|w| w.trim_matches(['"', '\'', '`', '[', ']']).to_owned())
                .collect();
            let words = given(words);
            if let Err(why) = command.clone().try_get_matches_from(&words) {
                let help = matches!(
                    why.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!(help, "{place}: {words:?}: {why}");
            }
            count += 1;
        }
    }
    count
}

/// The words with a value for an option whose value was cut away with a `<( )`, and one of the right
/// form for a source that is a variable.
fn given(mut words: Vec<String>) -> Vec<String> {
    if let Some(at) = words.windows(2).position(|two| two == ["--source", "x"]) {
        words[at + 1] = "dnsmasq:x".to_owned();
    }
    if words.last().is_some_and(|word| word == "--current" || word == "--hosts") {
        words.push("/dev/fd/63".to_owned());
    }
    words
}
