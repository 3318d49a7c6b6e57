//! container-run against an engine that misbehaves, and against none.

mod engine;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use engine::{Engine, image, inspected, ok, records};
use serde_json::json;

fn container_run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_container-run"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_beginning_of_an_id_is_no_name() {
    // An engine that is asked for "abc" may answer with the container whose id begins so.
    let engine = Engine::new("prefix", |path| match path {
        "/containers/create" => Some((409, r#"{"message":"Conflict"}"#.into())),
        "/containers/abc/json" => ok(inspected("victim", &format!("abc{}", "0".repeat(61)))),
        path if path.starts_with("/images/") => image(),
        "/_ping" | "/info" => Some((200, "OK".into())),
        path => panic!("{path} was asked for"),
    });
    let host = json!({"id": "h", "url": engine.url()});
    let gone = json!({"id": "abc", "image": "x", "state": "absent", "host": host});
    let output = container_run(&[], &gone.to_string());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(records(&output)[0]["status"], "done");
}

#[test]
fn without_an_engine_records_go_on_as_failed() {
    let host = json!({"id": "h", "url": "unix:///nonexistent"});
    let input = json!({"id": "a", "image": "x", "host": host}).to_string()
        + &json!({"kind": "checkpoint", "of": "change", "count": 1}).to_string();
    let output = container_run(&[], &input);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let records = records(&output);
    assert_eq!(records[0]["error_kind"], "unavailable");
    assert_eq!(records[1]["kind"], "checkpoint");
    let unknown = json!({"id": "a", "image": "x", "host": {"id": "elsewhere"}}).to_string();
    let output = container_run(&[], &unknown);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"elsewhere\""));
}
