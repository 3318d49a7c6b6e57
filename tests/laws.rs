//! What every program must do, whatever it is for.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// One program and the arguments with which it reads records and needs nothing else.
struct Program {
    name: &'static str,
    path: &'static str,
    args: Vec<String>,
    /// A record of which it makes one line, and that line.
    example: (&'static str, &'static str),
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(self.path);
        command
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn feed(&self, input: &[u8]) -> Output {
        let mut child = self.command().spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }
}

/// A file with this text. Tests that run beside each other write the same ones, so each is moved
/// into place whole.
fn scratch(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let new = format!("{}.{:?}", path.display(), std::thread::current().id());
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path.display().to_string()
}

/// Every program that reads records.
fn readers() -> Vec<Program> {
    let mut all = filters();
    all.push(Program {
        name: "cccf-docker-instructions",
        path: env!("CARGO_BIN_EXE_cccf-docker-instructions"),
        args: Vec::new(),
        example: (r#"{"id":"web","image":"busybox"}"#, "docker run -d --name web busybox"),
    });
    all
}

/// Those that write records, too, and pass on what they do not act on.
fn filters() -> Vec<Program> {
    let template = scratch("laws-app.json", r#"{"id":"web","image":"busybox"}"#);
    let current = scratch("laws-current.json", "[]");
    let state = format!("{}/laws-state", env!("CARGO_TARGET_TMPDIR"));
    let ledger = format!("{}/laws-ledger.db", env!("CARGO_TARGET_TMPDIR"));
    let program = |name, path, args: &[&str]| Program {
        name,
        path,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        example: (FOREIGN, FOREIGN),
    };
    vec![
        program("lease-cccf", env!("CARGO_BIN_EXE_lease-cccf"), &["--template", &template]),
        program("cccf-check", env!("CARGO_BIN_EXE_cccf-check"), &["--strict"]),
        program("cccf-diff", env!("CARGO_BIN_EXE_cccf-diff"), &["--current", &current]),
        program("cccf-host", env!("CARGO_BIN_EXE_cccf-host"), &[]),
        program("cccf-scale", env!("CARGO_BIN_EXE_cccf-scale"), &[]),
        program("cccf-scale", env!("CARGO_BIN_EXE_cccf-scale"), &["--down"]),
        program("container-run", env!("CARGO_BIN_EXE_container-run"), &[]),
        program("image-ship", env!("CARGO_BIN_EXE_image-ship"), &[]),
        program("unionize", env!("CARGO_BIN_EXE_unionize"), &["--bridge", "lo", "--state", &state]),
        program("host-probe", env!("CARGO_BIN_EXE_host-probe"), &[]),
        program("lease-bind", env!("CARGO_BIN_EXE_lease-bind"), &["--ledger", &ledger]),
    ]
}

/// A record that no stage acts on, so that every stage passes it on.
const FOREIGN: &str =
    r#"{"kind":"weather","sky":{"z":1,"a":[1.50,12345678901234567890123]},"t":"\u00e9"}"#;

/// A record that is only told, so that every stage passes it on, with what it does not know of it.
const EVENT: &str = r#"{"kind":"event","at":"2026-11-21T18:30:34.225406555Z","what":"die","host":{"id":"h"},"container":{"id":"web","image":"b"},"exit_code":3,"reason":"exited","sky":[1.50,{"z":1,"a":2}]}"#;

fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

#[test]
fn what_a_program_does_not_act_on_comes_out_as_it_went_in() {
    for program in filters() {
        for record in [FOREIGN, EVENT] {
            let output = program.feed(format!("{record}\n").as_bytes());
            let passed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(passed, format!("{record}\n"), "{}", program.name);
            assert_eq!(code(&output), 0, "{}", program.name);
        }
    }
}

#[test]
fn a_bad_line_is_told_with_its_number_and_costs_itself_alone() {
    for program in readers().iter().filter(|program| program.name != "cccf-diff") {
        let good = format!("{}\n", program.example.0);
        let hostile = b"{\"id\":\"$(touch /tmp/x)\",\"image\":\"b\"}\n\xff\xfe\n";
        let output = program.feed(&[good.as_bytes(), hostile, good.as_bytes()].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in ["stdin:2: ", "stdin:3: "] {
            assert!(told.contains(line), "{}: {told}", program.name);
        }
        assert!(
            told.lines().all(|line| line.starts_with(&format!("{}: ", program.name))),
            "{told}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2, "{}", program.name);
        assert_eq!(code(&output), 1, "{}: {told}", program.name);
    }
}

#[test]
fn input_of_which_nothing_can_be_used_is_bad_input() {
    for program in readers() {
        let output = program.feed(b"no record at all\n");
        assert_eq!(code(&output), 65, "{}", program.name);
    }
}

#[test]
fn a_record_is_out_before_the_next_is_in() {
    for program in readers() {
        let mut child = program.command().spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            writeln!(stdin, "{}", program.example.0).unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), program.example.1, "{}", program.name);
        }
        drop(stdin);
        assert!(child.wait().unwrap().success(), "{}", program.name);
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    for program in readers() {
        let mut child = program.command().spawn().unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        for _ in 0..10_000 {
            if writeln!(stdin, "{}", program.example.0).is_err() {
                break;
            }
        }
        drop(stdin);
        let output = wait(child);
        assert_eq!(code(&output), 0, "{}", program.name);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", program.name);
    }
}

#[test]
fn a_program_that_waits_ends_when_its_reader_leaves() {
    for program in readers() {
        let mut child = program.command().spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        drop(child.stdout.take());
        let output = wait(child); // nothing was written, and its input is still open
        drop(stdin);
        assert_eq!(code(&output), 0, "{}", program.name);
        assert!(output.stderr.is_empty(), "{}", program.name);
    }
}

#[test]
fn a_full_disk_is_told_once() {
    for program in readers() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut child = program.command().stdout(full).spawn().unwrap();
        let _ = writeln!(child.stdin.take().unwrap(), "{}", program.example.0);
        let output = wait(child);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code(&output), 74, "{}: {told}", program.name);
        assert_eq!(told.lines().count(), 1, "{}: {told}", program.name);
        assert!(told.contains("no space left on device"), "{}: {told}", program.name);
    }
}

#[test]
fn a_record_without_end_is_refused_in_bounded_memory() {
    for program in readers().iter().filter(|program| program.name != "cccf-diff") {
        let mut child = program.command().spawn().unwrap();
        let pid = child.id();
        let mut stdin = child.stdin.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let text = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        stdin.write_all(b"{\"kind\":\"weather\",\"n\":\"").unwrap();
        for _ in 0..100 {
            stdin.write_all(&vec![b'x'; 1024 * 1024]).unwrap();
        }
        stdin.write_all(b"\"}\n").unwrap();
        writeln!(stdin, "{}", program.example.0).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), program.example.1, "{}", program.name);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
        let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kib < 120 * 1024, "{}: {peak}", program.name);
        drop(stdin);
        child.wait().unwrap();
        assert!(text.join().unwrap().contains("stdin:1: "), "{}", program.name);
    }
}

#[test]
fn help_is_0_and_bad_usage_is_64() {
    for program in readers() {
        let run = |arg| Command::new(program.path).arg(arg).output().unwrap();
        for arg in ["--help", "-h", "--version"] {
            let output = run(arg);
            assert_eq!(code(&output), 0, "{} {arg}", program.name);
            assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{}", program.name);
        }
        let output = run("--no-such-flag");
        assert_eq!(code(&output), 64, "{}", program.name);
        assert!(output.stdout.is_empty(), "{}", program.name);
    }
}

/// Waits for the end of a program, not for ever.
fn wait(mut child: Child) -> Output {
    for _ in 0..1_000 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("still running after 10 s");
}
