//! cccf-check as its users see it.

mod program;

use std::process::Command;

use program::{fed, file, run};
use serde_json::Value;

const PATH: &str = env!("CARGO_BIN_EXE_cccf-check");

/// Standard output and standard error as they are, and the exit status.
fn raw(args: &[&str], input: &str) -> (String, String, i32) {
    let output = fed(Command::new(PATH).args(args), input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn what_is_right_comes_out_as_it_went_in() {
    let lines = concat!(
        r#"{"image": "b",  "id":"a", "memory":"32m","env":[],"cpus":1.50,"x-n":1e400,"init":null}"#,
        "\n",
        r#"{"kind":"container","id":"\u0062","image":"b","networks":[{"bridge":"br0","x":{"z":[1.0]}}]}"#,
        "\n",
        r#"{"kind":"weather","id":7,"sky":[1.50]}"#,
        "\n",
    );
    let (out, told, status) = raw(&[], lines);
    assert_eq!((&*out, &*told, status), (lines, "", 0));
    let pretty = "[\n  {\n    \"id\": \"a b\",\n    \"image\": \"b\"\n  },\n  {\"id\":\"c\",\"image\":\"b\"}\n]";
    let (out, _, status) = raw(&[], &pretty.replace("a b", "a"));
    assert_eq!(out, "{\"id\":\"a\",\"image\":\"b\"}\n{\"id\":\"c\",\"image\":\"b\"}\n");
    assert_eq!(status, 0);
    assert_eq!(raw(&[], ""), (String::new(), String::new(), 0));
}

#[test]
fn everything_that_is_wrong_is_told_where_it_stands() {
    let text = "[\n  {\"id\": \"good\", \"image\": \"b\"},\n  {\n    \"id\": \"web\",\n    \
                \"image\": \"B\",\n    \"ports\": [\"80:80\", \"80\", \"x\"],\n    \
                \"requires\": {\"constraints\": [\"a b\"]},\n    \"cap_add\": [\"FOO\"],\n    \
                \"enviroment\": []\n  }\n]\n";
    let path = file("check-bad.json", text);
    let done = run(PATH, &["--strict", &path], "");
    assert_eq!(done.at("/id"), ["good"]);
    assert_eq!(done.status, 1);
    let told: Vec<&str> = done.told.lines().collect();
    let parts = [
        "field \"image\": \"B\" is not an image reference",
        "field \"ports[1]\": \"80\" is not a port",
        "field \"ports[2]\": \"x\" is not a port",
        "field \"requires.constraints[0]\": \"a b\" is not a constraint",
        "field \"cap_add[0]\": \"FOO\" is not a capability",
        "field \"enviroment\" is not known; did you mean \"env\"?",
    ];
    for (told, part) in told.iter().zip(parts) {
        assert!(told.starts_with(&format!("cccf-check: {path}:3: web: {part}")), "{told}");
    }
    assert_eq!(told.len(), parts.len(), "{told:?}");
}

#[test]
fn the_status_says_whether_anything_was_right() {
    let (good, bad) = (r#"{"id":"a","image":"b"}"#, r#"{"id":"x","image":"b","memory":1}"#);
    assert_eq!(raw(&[], good).2, 0);
    assert_eq!(raw(&[], bad).2, 65);
    assert_eq!(raw(&[], &format!("{bad}\n{good}\n")).2, 1);
    assert_eq!(raw(&[], r#"{"id":"a"}"#).2, 65);
    assert_eq!(raw(&["/nonexistent/app.json"], "").2, 64);
    for usage in [&["--seed", "1"][..], &["--schema", "x"], &["--random", "1", "--schema"]] {
        assert_eq!(raw(usage, "").2, 64, "{usage:?}");
    }
}

#[test]
fn files_are_read_one_after_another() {
    let a = file("check-a.json", r#"[{"id":"a","image":"b"}]"#);
    let b = file("check-b.json", "{\"id\":\"b\",\"image\":\"b\"}\n\n{\"id\":\"c\",\"image\":7}\n");
    let done = run(PATH, &[&a, "-", &b], r#"{"id":"s","image":"b"}"#);
    assert_eq!(done.at("/id"), ["a", "s", "b"]);
    assert!(done.told.contains(&format!("{b}:3: c: field \"image\": 7 is not a string")));
    // A file that cannot be opened is told before anything is written.
    let done = run(PATH, &[&a, "/nonexistent/x"], "");
    assert_eq!((done.records.len(), done.status), (0, 64));
}

#[test]
fn an_id_stands_once_on_each_host() {
    let a = file(
        "check-twice.json",
        "[{\"id\":\"a\",\"image\":\"b\"},\n{\"id\":\"z\",\"image\":\"b\"}]",
    );
    let done =
        run(PATH, &[&a, "-"], "{\"id\":\"y\",\"image\":\"b\"}\n{\"id\":\"z\",\"image\":\"b\"}\n");
    assert_eq!(done.at("/id"), ["a", "z", "y"]);
    assert_eq!(done.status, 1);
    let what =
        format!("cccf-check: stdin:2: z: field \"id\": \"z\" stands twice, first at {a}:2\n");
    assert_eq!(done.told, what);

    let on = |host: &str| format!(r#"{{"id":"a","image":"b","host":{{"id":"{host}"}}}}"#);
    let plain = r#"{"id":"a","image":"b"}"#;
    let gone = r#"{"id":"a","image":"b","state":"absent"}"#;
    let fine = [on("x"), on("y"), plain.to_owned(), gone.to_owned()].join("\n");
    assert_eq!(raw(&[], &fine).2, 0);
    assert_eq!(raw(&[], &format!("{fine}\n{}", on("y"))).2, 1);

    // Behind the listing of a stream that goes on there is news of what was listed.
    let checkpoint = r#"{"kind":"checkpoint","of":"container","count":1,"follow":true}"#;
    assert_eq!(raw(&[], &format!("{plain}\n{checkpoint}\n{plain}\n{plain}\n")).2, 0);
    let closed = checkpoint.replace(",\"follow\":true", "");
    assert_eq!(raw(&[], &format!("{plain}\n{closed}\n{plain}\n")).2, 1);
}

#[test]
fn containers_that_depend_on_each_other_in_a_circle_are_told() {
    let on = |id: &str, others: &str| {
        format!(r#"{{"id":"{id}","image":"b","depends_on":[{others}]}}"#) + "\n"
    };
    let fine = on("a", r#""b","c""#) + &on("b", r#""c""#) + &on("c", r#""elsewhere""#);
    assert_eq!(raw(&[], &fine), (fine.clone(), String::new(), 0));
    // Over files, entered from outside, and told once. What stands in it has come out by then.
    let first = file("check-circle.json", &(on("web", r#""app""#) + &on("app", r#""db","x""#)));
    let (out, told, status) = raw(&[&first, "-"], &(on("db", r#""app""#) + &fine));
    assert_eq!((out.lines().count(), status), (6, 1));
    let circle = r#"field "depends_on" goes in a circle: "app" → "db" → "app""#;
    assert_eq!(told, format!("cccf-check: {first}:2: app: {circle}\n"));

    // News of a member takes the place of what was known of it; each listing is looked at as a whole.
    let checkpoint = r#"{"kind":"checkpoint","of":"container","count":2,"follow":true}"#;
    let input = [on("a", r#""b""#), checkpoint.to_owned(), "\n".to_owned(), on("b", r#""a""#)];
    let (_, told, _) = raw(&[], &input.concat());
    assert!(told.starts_with("cccf-check: stdin:1: a: field \"depends_on\" goes"), "{told}");
    let (_, told, status) = raw(&[], &(input.concat() + &on("b", r#""c""#)));
    assert_eq!((&*told, status), ("", 0));
    let gone = r#"{"id":"a","image":"b","state":"absent"}"#;
    assert_eq!(raw(&[], &(input.concat() + gone)).2, 0);
}

#[test]
fn a_remark_is_no_fault() {
    let line = r#"{"id":"a","image":"b","privileged":true,"cap_add":["BPF"]}"#;
    let (out, told, status) = raw(&[], line);
    assert_eq!((&*out, status), (&*format!("{line}\n"), 0));
    assert!(told.starts_with("cccf-check: stdin:1: a: remark: field \"privileged\": "), "{told}");
}

#[test]
fn fields_of_a_site_s_own_are_refused_when_asked_alone() {
    let line = r#"{"id":"a","image":"b","x-rack":1,"healthcheck":{"interval":5},"requires":{"resorces":{}},"networks":["n",{"bridge":"br0","adresses":[]}]}"#;
    assert_eq!(raw(&[], line), (format!("{line}\n"), String::new(), 0));
    let (out, told, status) = raw(&["--strict"], line);
    assert_eq!((&*out, status), ("", 65));
    for part in [
        "field \"x-rack\" is not known\n",
        "field \"healthcheck.interval\" is not known; did you mean \"interval_ms\"?\n",
        "field \"requires.resorces\" is not known; did you mean \"resources\"?\n",
        "field \"networks[1].adresses\" is not known; did you mean \"addresses\"?\n",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(told.lines().count(), 4);
}

#[test]
fn the_containers_of_changes_are_looked_at_and_nothing_else_is() {
    let change = |action: &str, rest: &str| {
        let container = format!(r#"{{"id":"a","image":"b"{rest}}}"#);
        format!(r#"{{"kind":"change","action":"{action}","container":{container},"note":1}}"#)
    };
    let bad = r#","cap_add":["FOO"]"#;
    let fine = [
        change("add", ""),
        change("add", ""),
        change("remove", bad),
        r#"{"kind":"host","id":"h","url":"unix:///x","note":1}"#.to_owned(),
        r#"{"kind":"checkpoint","of":"change","count":3}"#.to_owned(),
    ];
    let fine = fine.join("\n") + "\n";
    assert_eq!(raw(&["--strict"], &fine), (fine, String::new(), 0));
    let (_, told, status) = raw(&[], &change("add", bad));
    assert!(told.contains("a: field \"container.cap_add[0]\": \"FOO\""), "{told}");
    assert_eq!(status, 65);
    let (_, told, _) = raw(&["--strict"], &change("add", ",\"enw\":[]"));
    assert!(told.contains("field \"container.enw\" is not known; did you mean \"env\"?"), "{told}");
    let (_, told, _) = raw(&[], &change("make", ",\"env\":[\"A\",\"B\"]"));
    for part in ["a: field \"action\": \"make\"", "\"container.env[0]\"", "\"container.env[1]\""] {
        assert!(told.contains(part), "{told}");
    }
    let (_, told, _) = raw(&[], r#"{"kind":"host","id":"h"}"#);
    assert!(told.contains("host \"h\": field \"url\" is missing"), "{told}");
}

#[test]
fn what_is_repeated_of_a_hostile_document_is_short_and_on_one_line() {
    let long = "x\\n".repeat(1 << 20);
    let many = vec![r#""\u001b[2J""#; 1000].join(",");
    let line = format!(r#"{{"id":"{long}","image":"\u202e","env":[{many}],"{long}":1}}"#);
    let (_, told, _) = raw(&["--strict"], &line);
    assert_eq!(told.lines().count(), 21);
    assert!(told.lines().all(|line| line.starts_with("cccf-check: stdin:1: ")), "{told}");
    assert!(told.lines().all(|line| line.len() < 1500), "{told}");
    assert!(!told.contains(['\u{1b}', '\u{202e}']));
    assert!(told.ends_with(" more faults are not told\n"), "{told}");
}

#[test]
fn the_schema_is_printed() {
    let (out, _, status) = raw(&["--schema"], "");
    assert_eq!(status, 0);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let container = &schema["$defs"]["Container"];
    assert_eq!(container["required"], serde_json::json!(["id", "image"]));
    assert!(container.get("additionalProperties").is_none());
    let strict: Value = serde_json::from_str(&raw(&["--schema", "--strict"], "").0).unwrap();
    assert_eq!(strict["$defs"]["Container"]["additionalProperties"], false);
}

#[test]
fn a_fleet_is_right_and_the_same_for_the_same_seed() {
    let fleet = |count: &str, seed: &str| raw(&["--random", count, "--seed", seed], "").0;
    let first = fleet("500", "7");
    assert_eq!(first.lines().count(), 500);
    assert_eq!(first, fleet("500", "7"));
    assert_ne!(first, fleet("500", "8"));
    assert!(fleet("600", "7").starts_with(&first));
    assert_eq!(fleet("0", "7"), "");
    assert_eq!(raw(&["--strict"], &first), (first, String::new(), 0));
}
