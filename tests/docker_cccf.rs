//! docker-cccf and container-run against an engine that misbehaves, and against none.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Answers like an engine, with whatever a test wants it to say; nothing breaks the connection.
struct Engine {
    socket: PathBuf,
}

type Say = dyn Fn(&str) -> Option<(u16, String)> + Send + Sync;

impl Engine {
    fn new(
        name: &str,
        say: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Engine {
        let socket = std::env::temp_dir().join(format!("lpt-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let say: Arc<Say> = Arc::new(say);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let say = say.clone();
                std::thread::spawn(move || answer(stream, &*say));
            }
        });
        Engine { socket }
    }

    fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn answer(mut stream: UnixStream, say: &Say) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().and_then(Result::ok).unwrap_or_default();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    if let Some((status, body)) = say(path.split('?').next().unwrap_or_default()) {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n");
        let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
    }
}

fn ok(body: Value) -> Option<(u16, String)> {
    Some((200, body.to_string()))
}

fn inspected(name: &str, id: &str) -> Value {
    let mut answer: Value =
        serde_json::from_str(include_str!("data/docker/inspect-plain.json")).unwrap();
    answer["Name"] = json!(format!("/{name}"));
    answer["Id"] = json!(id);
    answer
}

fn image() -> Option<(u16, String)> {
    Some((200, include_str!("data/docker/image.json").to_owned()))
}

fn docker_cccf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_docker-cccf")).args(arguments).output().unwrap()
}

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

fn records(output: &Output) -> Vec<Value> {
    output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
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
fn a_beginning_of_an_id_is_no_name() {
    // An engine that is asked for "abc" may answer with the container whose id begins so.
    let engine = Engine::new("prefix", |path| match path {
        "/containers/create" => Some((409, r#"{"message":"Conflict"}"#.into())),
        "/containers/abc/json" => ok(inspected("victim", &format!("abc{}", "0".repeat(61)))),
        path if path.starts_with("/images/") => image(),
        "/_ping" => Some((200, "OK".into())),
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
