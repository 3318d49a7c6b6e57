//! The arrows between the modules point one way.

use std::path::Path;

/// For each part of the library: where it lives, and what it may use of the crate.
const LAYERS: [(&str, &[&str]); 9] = [
    ("src/error.rs", &[]),
    ("src/random.rs", &[]),
    ("src/record", &["error", "record", "wire"]),
    ("src/pipe", &["error", "record", "pipe"]),
    ("src/logic", &["error", "random", "record", "wire", "logic"]),
    ("src/cli.rs", &["error", "record", "pipe"]),
    ("src/cli", &["error", "record", "pipe", "cli"]),
    ("src/adapter", &["error", "random", "record", "wire", "adapter"]),
    ("src/stage", &["error", "record", "pipe", "logic", "adapter", "stage", "random"]),
];

fn sources(path: &Path) -> Vec<std::path::PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| sources(&path))
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// The modules of the crate that a source file names as `crate::MODULE` or `crate::{…}`.
fn uses(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let word: String =
                name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            modules.push(word);
        }
    }
    modules
}

#[test]
fn every_module_knows_only_those_below_it() {
    for (place, allowed) in LAYERS {
        for source in sources(Path::new(place)) {
            let text = std::fs::read_to_string(&source).unwrap();
            for module in uses(&text) {
                assert!(allowed.contains(&&*module), "{} uses {module}", source.display());
            }
        }
    }
}

#[test]
fn no_adapter_knows_another() {
    for entry in std::fs::read_dir("src/adapter").unwrap() {
        let path = entry.unwrap().path();
        let own = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if own == "mod" {
            continue;
        }
        for source in sources(&path) {
            let text = std::fs::read_to_string(&source).unwrap();
            for (at, _) in text.match_indices("adapter::") {
                let rest = &text[at + "adapter::".len()..];
                assert!(rest.starts_with(&own), "{} uses another adapter", source.display());
            }
            let deep = source.parent() != Some(Path::new("src/adapter"));
            let way_out = if deep { "super::super::" } else { "use super::" };
            let above =
                text.lines().filter(|line| line.contains(way_out) && !line.starts_with(' '));
            assert_eq!(above.count(), 0, "{} reaches past itself", source.display());
        }
    }
}

#[test]
fn output_and_exits_stay_in_the_pipe() {
    for place in ["src", "bin"] {
        for source in sources(Path::new(place)) {
            if source.starts_with("src/pipe") {
                continue;
            }
            let text = std::fs::read_to_string(&source).unwrap();
            for word in ["println!", "eprintln!", "print!(", "process::exit", "dbg!("] {
                assert!(!text.contains(word), "{} has {word}", source.display());
            }
        }
    }
}

#[test]
fn nothing_is_kept_where_nobody_owns_it() {
    for place in ["src", "bin"] {
        for source in sources(Path::new(place)) {
            // What only tests have.
            if source.ends_with("played.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&source).unwrap();
            for line in text.lines().map(str::trim_start) {
                let is_public = line.starts_with("pub") && line.contains(" static ");
                let is_local = line.starts_with("thread_local!");
                let is_global = line.starts_with("static ") || is_public || is_local;
                assert!(!is_global, "{} has a global: {line}", source.display());
            }
        }
    }
}

#[test]
fn logic_knows_no_clock_and_no_world() {
    for source in sources(Path::new("src/logic")) {
        let text = std::fs::read_to_string(&source).unwrap();
        for word in [
            "std::fs",
            "std::env",
            "std::io",
            "::now()",
            "std::net::Tcp",
            "std::process",
            "std::thread",
        ] {
            assert!(!text.contains(word), "{} has {word}", source.display());
        }
    }
}

#[test]
fn mains_are_thin() {
    for source in sources(Path::new("bin")) {
        let lines = std::fs::read_to_string(&source).unwrap().lines().count();
        assert!(lines <= 100, "{} has {lines} lines", source.display());
    }
}
