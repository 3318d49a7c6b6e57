//! docker-cccf against an engine that misbehaves, and against none.

mod engine;

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use engine::{Engine, image, inspected, ok, records};
use serde_json::json;

fn docker_cccf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_docker-cccf")).args(arguments).output().unwrap()
}

#[test]
fn a_container_that_goes_while_it_is_listed_is_not_there() {
    let engine = Engine::new("goes", |path| match path {
        "/containers/json" => ok(json!([{"Id": "a1"}, {"Id": "b2"}])),
        "/containers/a1/json" => ok(inspected("a", "a1")),
        "/containers/b2/json" => Some((404, r#"{"message":"No such container: b2"}"#.into())),
        path if path.starts_with("/images/") => image(),
        _ => Some((200, "OK".into())),
    });
    let output = docker_cccf(&["--host", &engine.url()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let records = records(&output);
    assert_eq!(records.len(), 2);
    assert_eq!((&records[0]["id"], &records[1]["count"]), (&json!("a"), &json!(1)));
}

#[test]
fn a_listing_that_breaks_has_no_checkpoint() {
    for inspect in [None, Some((500, r#"{"message":"no"}"#.to_owned()))] {
        let broken = inspect.clone();
        let engine = Engine::new("breaks", move |path| match path {
            "/containers/json" => ok(json!([{"Id": "a1"}, {"Id": "b2"}])),
            "/containers/a1/json" => ok(inspected("a", "a1")),
            "/containers/b2/json" => broken.clone(),
            path if path.starts_with("/images/") => image(),
            _ => Some((200, "OK".into())),
        });
        let output = docker_cccf(&["--host", &engine.url()]);
        let expected = if inspect.is_none() { 69 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        assert!(records(&output).iter().all(|record| record["kind"] != "checkpoint"));
    }
}

#[test]
fn one_host_that_does_not_answer_leaves_the_listing_open() {
    let engine = Engine::new("one", |path| match path {
        "/containers/json" => ok(json!([{"Id": "a1"}])),
        "/containers/a1/json" => ok(inspected("a", "a1")),
        path if path.starts_with("/images/") => image(),
        _ => Some((200, "OK".into())),
    });
    let hosts = engine.socket.with_extension("hosts");
    let host = |id: &str, url: &str| json!({"kind": "host", "id": id, "url": url}).to_string();
    let both = host("h1", &engine.url()) + &host("h2", "unix:///nonexistent");
    std::fs::write(&hosts, both).unwrap();
    let output = docker_cccf(&["--hosts", hosts.to_str().unwrap()]);
    let twice = host("h1", &engine.url()).repeat(2);
    std::fs::write(&hosts, twice).unwrap();
    let refused = docker_cccf(&["--hosts", hosts.to_str().unwrap()]);
    std::fs::remove_file(&hosts).unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let records = records(&output);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["host"], json!({"id": "h1", "url": engine.url()}));
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn following_ends_when_nobody_reads() {
    let engine = Engine::new("leaves", |path| match path {
        "/containers/json" => ok(json!([])),
        "/events" => {
            std::thread::sleep(Duration::from_secs(60));
            None
        }
        _ => Some((200, "OK".into())),
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_docker-cccf"))
        .args(["--follow", "--host", &engine.url()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 1];
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let end = Instant::now() + Duration::from_secs(10);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill().unwrap();
                panic!("it goes on");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn hosts_that_cannot_be_spoken_to_are_told() {
    for (url, status) in [("tcp://127.0.0.1:2375", 1), ("ssh://h", 1), ("nonsense", 64)] {
        for mode in [&["--host", url][..], &["--follow", "--host", url]] {
            let output = docker_cccf(mode);
            assert_eq!(output.status.code(), Some(status), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(url), "{output:?}");
        }
    }
}
