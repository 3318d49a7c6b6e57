//! docker-cccf against an engine that misbehaves, and against none.

mod engine;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::{Engine, image, inspected, ok, records};
use serde_json::{Value, json};

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

/// An engine with one container of this name, which is slow to say so.
fn with_one(engine: &str, name: &'static str, pause: Duration) -> Engine {
    Engine::new(engine, move |path| match path {
        "/containers/json" => {
            std::thread::sleep(pause);
            ok(json!([{"Id": "a1"}]))
        }
        "/containers/a1/json" => ok(inspected(name, "a1")),
        path if path.starts_with("/images/") => image(),
        "/events" => {
            std::thread::sleep(Duration::from_secs(60));
            None
        }
        _ => Some((200, "OK".into())),
    })
}

#[test]
fn a_host_that_is_down_by_its_record_is_not_asked() {
    let engine = Engine::new("down", |path| match path {
        "/containers/json" => ok(json!([{"Id": "a1"}])),
        "/containers/a1/json" => ok(inspected("a", "a1")),
        path if path.starts_with("/images/") => image(),
        _ => Some((200, "OK".into())),
    });
    let hosts = engine.socket.with_extension("hosts");
    let up = json!({"kind": "host", "id": "up", "url": engine.url(), "state": "drain"});
    let down = json!({"kind": "host", "id": "gone", "url": "unix:///nonexistent", "state": "down"});
    std::fs::write(&hosts, format!("{up}\n{down}\n")).unwrap();
    let output = docker_cccf(&["--hosts", hosts.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(records(&output)[1]["count"], 1);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("gone: it is not asked: its record says that it is down"), "{told}");
    // That all are away is not that nothing is there.
    std::fs::write(&hosts, format!("{down}\n")).unwrap();
    let output = docker_cccf(&["--hosts", hosts.to_str().unwrap()]);
    assert_eq!((output.status.code(), records(&output).len()), (Some(69), 0), "{output:?}");
    std::fs::remove_file(&hosts).unwrap();
}

/// A file with these engines as the hosts h0, h1 and so on.
fn hosts(engines: &[&Engine]) -> PathBuf {
    let host = |(at, engine): (usize, &&Engine)| {
        json!({"kind": "host", "id": format!("h{at}"), "url": engine.url()}).to_string()
    };
    let file = engines[0].socket.with_extension("hosts");
    std::fs::write(&file, engines.iter().enumerate().map(host).collect::<String>()).unwrap();
    file
}

#[test]
fn hosts_are_asked_at_the_same_time_and_told_in_their_order() {
    let pause = Duration::from_millis(700);
    let engines: Vec<Engine> = ["first", "second", "third"]
        .iter()
        .enumerate()
        .map(|(at, name)| with_one(name, "same", if at < 2 { pause } else { Duration::ZERO }))
        .collect();
    let file = hosts(&engines.iter().collect::<Vec<_>>());
    let begun = Instant::now();
    let output = docker_cccf(&["--hosts", file.to_str().unwrap()]);
    let took = begun.elapsed();
    let mut follow = Command::new(env!("CARGO_BIN_EXE_docker-cccf"))
        .args(["--follow", "--hosts", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines().take(4);
    let followed: Vec<Value> =
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let follow_took = begun.elapsed();
    follow.kill().unwrap();
    follow.wait().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // One name on several hosts is a container of each.
    for (at, records) in [records(&output), followed].iter().enumerate() {
        let told: Vec<_> = records.iter().map(|r| (&r["id"], &r["host"]["id"])).collect();
        for (host, told) in ["h0", "h1", "h2"].iter().zip(&told) {
            assert_eq!(*told, (&json!("same"), &json!(host)), "{at}");
        }
        assert_eq!(records[3]["count"], 3);
    }
    // The two slow ones one after the other would take longer than this.
    assert!(took < pause * 2 && follow_took < pause * 2, "{took:?} {follow_took:?}");
}

#[test]
fn what_is_read_is_told_while_the_next_host_is_slow() {
    let quick = with_one("quick", "a", Duration::ZERO);
    let slow = with_one("slow", "b", Duration::from_secs(3));
    let file = hosts(&[&quick, &slow]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_docker-cccf"))
        .args(["--hosts", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let took = begun.elapsed();
    drop(stdout);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(line.contains(r#""id":"a""#), "{line}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn labels_are_the_engine_s_to_filter_and_looked_at_all_the_same() {
    let asked = Arc::new(Mutex::new(String::new()));
    let heard = asked.clone();
    let with_label = |name: &str, id: &str, value: &str| {
        let mut answer = inspected(name, id);
        answer["Config"]["Labels"] = json!({"app": value});
        ok(answer)
    };
    // It does not filter, as one that is asked for a container by its event does not.
    let engine = Engine::hearing("labels", move |path, request| match path {
        "/containers/json" => {
            *heard.lock().unwrap() = request.to_owned();
            ok(json!([{"Id": "a1"}, {"Id": "b2"}]))
        }
        "/containers/a1/json" => with_label("a", "a1", "web"),
        "/containers/b2/json" => with_label("b", "b2", "db"),
        path if path.starts_with("/images/") => image(),
        _ => Some((200, "OK".into())),
    });
    let list = |labels: &[&str]| -> Vec<String> {
        let url = engine.url();
        let labels = labels.iter().flat_map(|label| ["--label", label]);
        let arguments: Vec<&str> = ["--host", &url].into_iter().chain(labels).collect();
        let output = docker_cccf(&arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let ids = records(&output).into_iter().filter_map(|r| r["id"].as_str().map(str::to_owned));
        ids.collect()
    };
    assert_eq!(list(&["app"]), ["a", "b"]);
    assert_eq!(list(&["app=db", "app"]), ["b"]);
    let request = asked.lock().unwrap().clone();
    assert!(request.contains("%22label%22%3A%5B%22app%3Ddb%22%2C%22app%22%5D"), "{request}");
    assert_eq!(list(&["app=db", "app=web"]), Vec::<String>::new());
    assert_eq!(docker_cccf(&["--label", "=x"]).status.code(), Some(64));
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
    for (url, status) in [("tcp://127.0.0.1:2375", 1), ("ssh://-h", 64), ("nonsense", 64)] {
        for mode in [&["--host", url][..], &["--follow", "--host", url]] {
            let output = docker_cccf(mode);
            assert_eq!(output.status.code(), Some(status), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(url), "{output:?}");
        }
    }
}
