//! cccf-docker-instructions as its users see it.

mod program;
mod script;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use program::fed;
use proptest::prelude::*;
use script::script;
use serde_json::{Value, json};

const PATH: &str = env!("CARGO_BIN_EXE_cccf-docker-instructions");

/// What the program did with its input.
struct Said {
    text: String,
    told: String,
    status: i32,
}

impl Said {
    fn lines(&self) -> Vec<&str> {
        self.text.lines().collect()
    }
}

fn said(args: &[&str], input: &str) -> Said {
    let output = fed(Command::new(PATH).args(args), input);
    Said {
        text: String::from_utf8(output.stdout).unwrap(),
        told: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

/// A search path on which `docker` is a program that writes its arguments, each behind a `=` and ended
/// by a NUL, and a NUL behind them all; and a directory to be in.
fn with_a_docker_that_tells() -> &'static (PathBuf, OsString) {
    static PLACE: OnceLock<(PathBuf, OsString)> = OnceLock::new();
    PLACE.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("docker-that-tells");
        std::fs::create_dir_all(&dir).unwrap();
        let docker = dir.join("docker");
        script(&docker, "#!/bin/sh\nprintf '=%s\\0' \"$@\"\nprintf '\\0'\n");
        // Names for patterns to match.
        for name in ["a", "b", "aa", "ab", "a!"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let mut path = dir.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        (dir, path)
    })
}

/// The arguments that docker gets when a shell reads this script.
fn heard(shell: &[&str], script: &str) -> Vec<Vec<String>> {
    let (dir, path) = with_a_docker_that_tells();
    let mut command = Command::new(shell[0]);
    let output = fed(command.args(&shell[1..]).current_dir(dir).env("PATH", path), script);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &*told), (Some(0), ""), "{shell:?}: {script:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut commands = vec![Vec::new()];
    for word in text.split_terminator('\0') {
        match word {
            "" => commands.push(Vec::new()),
            word => commands.last_mut().unwrap().push(word.strip_prefix('=').unwrap().to_owned()),
        }
    }
    assert_eq!(commands.pop(), Some(Vec::new()));
    commands
}

/// A word that may be anything that a JSON string and a command can hold.
fn hostile() -> impl Strategy<Value = String> {
    let shell = proptest::string::string_regex(r#"[ '"\\$`\n\t\r;&|<>(){}*?!~#=\[\]a^%-]{0,12}"#);
    prop_oneof![
        shell.unwrap(),
        any::<String>().prop_map(|text| text.replace('\0', "")),
        "-{0,2}[a-z]{0,3}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// Whatever stands in a document, docker gets it to the letter from any POSIX shell.
    #[test]
    fn a_shell_reads_what_the_document_says(
        documents in proptest::collection::vec(
            (hostile(), hostile(), hostile(), proptest::collection::vec(hostile(), 0..4)), 1..12,
        ),
    ) {
        let mut input = String::new();
        let mut wanted = Vec::new();
        for (env, label, user, words) in &documents {
            let document = json!({
                "id": "web", "image": "busybox", "env": [format!("A={env}")],
                "labels": {"k": label}, "user": user, "cmd": words,
                "entrypoint": ["e", env], "host": {"id": "h", "url": format!("tcp://{label}")},
            });
            input.push_str(&format!("{document}\n"));
            let before = ["-H", &format!("tcp://{label}"), "run", "-d", "--name", "web",
                          "--entrypoint", "e", "--env", &format!("A={env}"), "--user", user,
                          "--label", &format!("k={label}"), "busybox", env].map(str::to_owned);
            wanted.push([&before[..], &words[..]].concat());
        }
        let script = said(&[], &input).text;
        for shell in [&["sh"][..], &["bash", "--posix"]] {
            prop_assert_eq!(&heard(shell, &script), &wanted, "{:?}", shell);
        }
        let nul = said(&["--print0"], &input).text;
        let one_by_one: String = nul.split_terminator('\0').map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(one_by_one, script);
    }
}

/// Each character alone, beside others, and where a shell may take it for something.
#[test]
fn no_character_means_anything_to_a_shell() {
    let places = |c: char| {
        [format!("{c}"), format!("{c}a"), format!("a{c}"), format!("{c}{c}"), format!("a{c}b")]
            .into_iter()
            .chain([format!("A={c}"), format!("a:{c}/b"), format!("[{c}]"), format!("{{a,{c}}}")])
    };
    let mut words: Vec<String> = ('\u{1}'..='\u{ff}').flat_map(places).collect();
    words.push(String::new());
    words.push("!!".to_owned());
    let document = json!({"id": "web", "image": "busybox", "cmd": words});
    let script = said(&[], &document.to_string()).text;
    for shell in [&["sh"][..], &["bash", "--posix"], &["bash"]] {
        let heard = heard(shell, &script);
        assert_eq!((heard.len(), &heard[0][5..]), (1, &words[..]), "{shell:?}");
    }
}

fn change(action: &str, id: &str, more: Value) -> String {
    let mut change = json!({"kind": "change", "action": action,
                            "container": {"id": id, "image": "busybox", "owner": "edge"}});
    for (name, value) in more.as_object().unwrap() {
        match name.strip_prefix("container.") {
            Some(field) => change["container"][field] = value.clone(),
            None => change[name] = value.clone(),
        }
    }
    format!("{change}\n")
}

#[test]
fn a_list_of_changes_is_a_list_of_lines() {
    let input = [
        change("remove", "a", json!({})),
        change("keep", "b", json!({"container.state": "running"})),
        change("keep", "c", json!({"container.state": "exited"})),
        change("replace", "d", json!({})),
        change(
            "add",
            "e",
            json!({"why": [{"field": "state", "from": "created", "to": "running"}]}),
        ),
        change("add", "f", json!({})),
        "{\"kind\":\"checkpoint\",\"of\":\"change\",\"count\":6}\n".to_owned(),
        "{\"kind\":\"weather\"}\n".to_owned(),
        change("add", "g", json!({"status": "done"})),
        "{\"id\":\"h\",\"image\":\"busybox\"}\n".to_owned(),
    ]
    .concat();
    let done = said(&["--without", "owner"], &input);
    assert_eq!(
        done.lines(),
        [
            "docker rm -f -v a",
            "docker start c",
            "docker rm -f -v d && docker run -d --name d busybox",
            "docker start e",
            "docker run -d --name f busybox",
            "docker run -d --name h busybox",
        ]
    );
    assert_eq!((done.told.as_str(), done.status), ("", 0));
}

#[test]
fn what_failed_before_has_no_line_and_is_told() {
    let failed = change("add", "a", json!({"status": "failed", "error": "name is taken"}));
    let bare = r#"{"id":"b","image":"busybox","status":"failed"}"#;
    let done = said(&[], &format!("{failed}{bare}\n{}", change("remove", "c", json!({}))));
    assert_eq!(done.lines(), ["docker rm -f -v c"]);
    assert_eq!(
        done.told,
        "cccf-docker-instructions: a: it has failed before: name is taken\n\
         cccf-docker-instructions: b: it has failed before: no reason is given\n"
    );
    assert_eq!(done.status, 1);
}

#[test]
fn an_owner_s_containers_carry_the_suite_s_labels() {
    let none = said(&[], r#"{"id":"a","image":"busybox"}"#);
    assert_eq!(none.text, "docker run -d --name a busybox\n");
    let lease = r#""lease":{"key":"om2pqvn3u6qa2","address":"2001:db8::9"}"#;
    let document = format!(r#"{{"id":"a","image":"busybox","env":["A=it's"],{lease}}}"#);
    let done = said(&["--owner", "edge"], &format!("{document}\n"));
    let heard = heard(&["sh"], &done.text).remove(0);
    assert!(heard.contains(&format!("leasepipe.declared={document}")), "{heard:?}");
    assert!(heard.contains(&"leasepipe.owner=edge".to_owned()));
    assert!(heard.contains(&"leasepipe.key=om2pqvn3u6qa2".to_owned()));
    let named = said(&["--owner", "edge"], r#"{"id":"a","image":"busybox","owner":"other"}"#);
    assert!(named.text.contains(" leasepipe.owner=other "), "{}", named.text);
}

#[test]
fn a_record_that_has_no_line_costs_itself_alone() {
    let input = r#"
        {"id": "a", "image": "busybox", "host": {"id": "far"}}
        {"id": "b", "image": "busybox", "user": "\u0000", "labels": {"x=y": "1"}}
        {"id": "c", "image": "busybox", "x-note": 1, "networks": [{"bridge": "br1"}]}
        {"id": "d", "image": "Busy Box"}
    "#;
    let done = said(&[], input);
    assert_eq!(done.lines(), ["docker run -d --name c --network none busybox"]);
    let told: Vec<&str> = done.told.lines().collect();
    let prefix = "cccf-docker-instructions: ";
    for (told, wanted) in told.iter().zip([
        "a: host \"far\": it has no \"url\"; let cccf-host name the host, or leave hosts out with --no-host",
        "b: field \"user\": \"\\0\" holds a NUL, which no command can, field \"labels\": name \"x=y\" is empty or holds '='",
        "c: left out: bridge br1 is unionize's, \"x-note\" is no field of docker's",
        "stdin:5: container \"d\": field \"image\": \"Busy Box\" is not an image reference",
    ]) {
        let told = told.strip_prefix(prefix).unwrap();
        assert!(told.starts_with(wanted), "{told}\n{wanted}");
    }
    assert_eq!((told.len(), done.status), (4, 1));
    let known = said(&["--without", "x-note", "--without", "networks"], input);
    assert!(
        known.lines()[0] == "docker run -d --name c busybox" && !known.told.contains("left out")
    );
}

#[test]
fn a_compose_file_is_whole_or_not_there() {
    let good = r#"{"id":"a","image":"busybox","env":["A=$B"]}"#;
    let done = said(&["--format", "compose"], good);
    assert_eq!(
        done.text,
        "services:\n  a:\n    image: \"busybox\"\n    container_name: \"a\"\n    environment:\n      \
         - \"A=$$B\"\n    network_mode: \"bridge\"\n"
    );
    let wanted = [
        change("add", "b", json!({})),
        change("remove", "c", json!({})),
        change("keep", "d", json!({})),
        r#"{"id":"e","image":"busybox","state":"absent"}"#.to_owned(),
    ];
    let done = said(&["--format", "compose", "--without", "owner"], &wanted.concat());
    let services: Value = yaml_serde::from_str(&done.text).unwrap();
    let ids: Vec<&String> = services["services"].as_object().unwrap().keys().collect();
    assert_eq!(ids, ["b", "d"]);
    for (bad, why) in [
        (good.to_owned(), "a: there are two of this id"),
        ("{}".to_owned(), "stdin:2: "),
        (change("add", "x", json!({"status": "failed"})), "x: it has failed before"),
        (r#"{"id":"x","image":"b","labels":{"leasepipe.owner":"y"}}"#.to_owned(), "x: label"),
        (r#"{"id":"x","image":"b","host":{"id":"y","url":"u"}}"#.to_owned(), "x: it is on another"),
        (
            r#"{"id":"x","image":"b","networks":["n"],"network_mode":"bridge"}"#.to_owned(),
            "x: field",
        ),
    ] {
        let done = said(&["--format", "compose"], &format!("{good}\n{bad}\n"));
        assert_eq!((done.text.as_str(), done.status), ("", 65), "{bad}");
        assert!(
            done.told.starts_with(&format!("cccf-docker-instructions: {why}")),
            "{}",
            done.told
        );
        assert!(done.told.contains("nothing is written"), "{}", done.told);
    }
    assert_eq!(said(&["--format", "compose"], "[]").text, "services: {}\n");
    let reset = said(&["--format", "compose"], r#"{"id":"a","image":"b","entrypoint":[]}"#);
    assert!(reset.text.contains("    entrypoint: []\n"), "{}", reset.text);
}

/// The reader of compose files was written by others, so what the two agree on is in the file.
#[test]
fn a_compose_file_is_read_back_as_the_documents_that_it_was_made_of() {
    let full: Value = serde_json::from_str(include_str!("data/cccf/full.json")).unwrap();
    let of = |id: &str, fields: &[&str]| {
        let mut document = full.clone();
        document["id"] = json!(id);
        document["owner"] = json!("edge");
        // Compose gives each service its name in its networks.
        document["networks"] = json!([{"network": "z", "aliases": [id]},
            {"network": "front", "aliases": [id, "www"], "ipv6_address": "fd00::5"}]);
        document.as_object_mut().unwrap().retain(|name, _| !fields.contains(&&**name));
        document["env"] = json!(["A=$B ${C:-d} $$", "E=\u{1}\n é\u{2028}'\"\\"]);
        document["labels"] = json!({"a=b": "$x", "no": "22:22", "": "~"});
        document
    };
    let unsaid = [
        "secrets",
        "configs",
        "private_network",
        "addresses",
        "allow",
        "netns",
        "depends_on",
        "ttl",
        "expires_at",
        "host",
        "lease",
        "scale",
        "scaled_from",
        "requires",
    ];
    let joined = [&unsaid[..], &["network_mode"]].concat();
    let alone = [&unsaid[..], &["networks", "ports", "links", "gpus"]].concat();
    let mut documents = [of("db", &alone), of("web", &joined), of("other", &joined)];
    documents[0]["network_mode"] = json!("none");
    documents[0]["volumes_from"] = json!(["web", "outside:ro"]);
    documents[0]["pid"] = json!("container:other");
    documents[0]["healthcheck"] = json!({"test": ["CMD", "a b", "$c"], "retries": 2});
    documents[1]["gpus"] = json!("all");
    documents[1]["links"] = json!(["other:o", "outside:p"]);
    documents[1]["volumes_from"] = json!(["outside"]);
    documents[1]["depends_on"] = json!(["other", "outside"]);
    documents[2]["gpus"] = json!(2);
    documents[2]["links"] = json!(["outside:p"]);
    documents[2]["healthcheck"] = json!({"test": ["NONE"]});
    documents[2]["volumes_from"] = json!(["outside"]);
    let input: String = documents.iter().map(|document| format!("{document}\n")).collect();
    let file = said(&["--format", "compose", "--without", "owner"], &input);
    assert_eq!((file.told.as_str(), file.status), ("", 0));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("instructions-compose.yaml");
    std::fs::write(&path, &file.text).unwrap();
    let mut reader = Command::new(env!("CARGO_BIN_EXE_compose-cccf"));
    let read = fed(reader.args(["--owner", "edge"]).arg(&path), "");
    let told = String::from_utf8_lossy(&read.stderr).into_owned();
    assert_eq!((told.as_str(), read.status.code()), ("", Some(0)), "{}", file.text);
    let current = path.with_extension("json");
    std::fs::write(&current, &read.stdout).unwrap();
    let mut diff = Command::new(env!("CARGO_BIN_EXE_cccf-diff"));
    let changes = fed(diff.args(["--complete", "--current"]).arg(&current), &input).stdout;
    for (change, document) in String::from_utf8(changes).unwrap().lines().zip(1..) {
        let change: Value = serde_json::from_str(change).unwrap();
        let wanted = if document > documents.len() { Value::Null } else { json!("keep") };
        assert_eq!(
            change.get("action").cloned().unwrap_or_default(),
            wanted,
            "{:#}",
            change["why"]
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for args in [
        &["--without", "id"][..],
        &["--without", "image"],
        &["--command", "pause"],
        &["--format", "compose", "--print0"],
        &["--format", "compose", "--command", "stop"],
        &["--format", "compose", "--foreground"],
    ] {
        assert_eq!(said(args, "").status, 64, "{args:?}");
    }
}
