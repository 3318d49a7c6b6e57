//! container-run for the engines of a crowd, and what comes of it.

#![allow(dead_code)] // each test file uses a part of it

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::crowd::Crowd;

/// Runs container-run with this input.
pub fn container_run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_container-run"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let fed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let fed = fed.join().unwrap();
    // One that makes no sense of its arguments reads nothing.
    assert!(fed.is_ok() || output.status.code() == Some(64), "{fed:?}: {output:?}");
    output
}

/// The records that a program wrote.
pub fn records(output: &Output) -> Vec<Value> {
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// A container on an engine, with these fields.
pub fn on(crowd: &Crowd, host: usize, id: &str, fields: Value) -> Value {
    let mut document = json!({"id": id, "image": "busybox", "network_mode": "none",
        "host": crowd.host(host)});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    document
}

/// The document with this field.
pub fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

pub fn change(action: &str, container: Value) -> Value {
    json!({"kind": "change", "action": action, "container": container})
}

pub fn lines(records: impl IntoIterator<Item = Value>) -> String {
    records.into_iter().map(|record| format!("{record}\n")).collect()
}
