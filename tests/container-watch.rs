//! container-watch against engines that break off, repeat themselves, misbehave or are not there.

mod engine;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::{Engine, image, ok, records};
use serde_json::{Value, json};

fn container_watch(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_container-watch")).args(arguments).output().unwrap()
}

/// The program while it follows; dropping it kills it.
struct Follows {
    child: Child,
    lines: Receiver<String>,
}

impl Follows {
    fn start(arguments: &[&str]) -> Follows {
        let mut child = Command::new(env!("CARGO_BIN_EXE_container-watch"))
            .arg("--follow")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).for_each(|line| drop(to.send(line)));
        });
        Follows { child, lines }
    }

    /// What is told until nothing has come for a second and a half.
    fn all(&self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(1500)) {
            all.push(serde_json::from_str(&line).unwrap());
        }
        all
    }
}

impl Drop for Follows {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What happened to whom, and how it is marked.
fn words(records: &[Value]) -> Vec<String> {
    let word = |record: &Value| {
        let of = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let code = record["exit_code"].as_i64().map(|code| format!(" {code}")).unwrap_or_default();
        let gap = if record["gap"] == true { " gap" } else { "" };
        match record["kind"].as_str() {
            Some("checkpoint") => format!("checkpoint {}", record["count"]),
            _ => format!("{} {}{code}{gap}", of("/what"), of("/container/id")),
        }
    };
    records.iter().map(word).collect()
}

const STARTED: &str = "2026-11-21T18:00:00.5Z";

/// What an engine says of a container in this state.
fn inspected(name: &str, id: &str, state: Value, labels: Value) -> Value {
    let mut answer = engine::inspected(name, id);
    answer["State"] = state;
    answer["Config"]["Labels"] = labels;
    answer
}

fn running() -> Value {
    json!({"Status": "running", "Running": true, "Pid": 7, "ExitCode": 0, "StartedAt": STARTED,
           "FinishedAt": "0001-01-01T00:00:00Z"})
}

fn exited(code: i64) -> Value {
    json!({"Status": "exited", "Running": false, "Pid": 0, "ExitCode": code, "StartedAt": STARTED,
           "FinishedAt": "2026-11-21T18:30:00Z"})
}

fn event(id: &str, name: &str, action: &str, second: i64, more: Value) -> String {
    let mut attributes = json!({"name": name, "image": "b"});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": attributes},
           "time": second, "timeNano": second * 1_000_000_000 + 7})
    .to_string()
        + "\n"
}

fn hold() {
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_broken_stream_loses_nothing_and_nothing_is_told_twice() {
    let streams = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (count, heard) = (streams.clone(), asked.clone());
    let engine = Engine::hearing("watch-gap", move |path, request| {
        let stream = count.load(Ordering::SeqCst);
        let end = event("a1", "web", "die", 1_795_285_830, json!({"exitCode": "3"}));
        let start = event("a1", "web", "start", 1_795_285_831, json!({}));
        match path {
            "/events" => {
                heard.lock().unwrap().push(request.to_owned());
                // It breaks off after these, when all is listed, and says them again to who comes back.
                match count.fetch_add(1, Ordering::SeqCst) {
                    0 | 1 => {
                        std::thread::sleep(Duration::from_secs(1));
                        Some((200, end + &start))
                    }
                    _ => {
                        hold();
                        None
                    }
                }
            }
            "/containers/json" if stream <= 1 && heard.lock().unwrap().len() <= 1 => {
                ok(json!([{"Id": "a1"}, {"Id": "c3"}]))
            }
            "/containers/json" => ok(json!([{"Id": "a1"}, {"Id": "b2"}])),
            "/containers/a1/json" if stream < 2 => ok(inspected("web", "a1", running(), json!({}))),
            "/containers/a1/json" => ok(inspected("web", "a1", exited(7), json!({}))),
            "/containers/b2/json" => ok(inspected("new", "b2", running(), json!({"app": "x"}))),
            "/containers/c3/json" if stream < 2 => ok(inspected("old", "c3", running(), json!({}))),
            "/containers/c3/json" => Some((404, r#"{"message":"No such container"}"#.into())),
            "/info" => ok(json!({"SystemTime": "2026-11-21T18:30:00Z"})),
            _ => Some((200, "OK".into())),
        }
    });
    let all = Follows::start(&["--host", &engine.url()]).all();
    let told = words(&all);
    let count = |word: &str| told.iter().filter(|told| *told == word).count();
    let place = |word: &str| told.iter().position(|told| told == word);
    for once in [
        "is web",
        "is old",
        "checkpoint 2",
        "die web 3",
        "start web",
        "die web 7 gap",
        "create new gap",
        "start new gap",
        "die old gap",
        "destroy old gap",
    ] {
        assert_eq!(count(once), 1, "{once}: {told:#?}");
    }
    assert_eq!(all.iter().filter(|event| event["what"] == "die").count(), 3, "{told:#?}");
    assert_eq!(count("host-down -"), count("host-up -"));
    assert!(place("host-up -") < place("die web 7 gap"), "{told:#?}");
    let gap = &all[place("start new gap").unwrap()];
    assert_eq!((&gap["at"], &gap["container"]["labels"]["app"]), (&json!(STARTED), &json!("x")));
    // It goes on from the last event that it heard, by the engine's clock.
    let asked = asked.lock().unwrap();
    assert!(asked[0].contains("since=1795285800.000000000"), "{}", asked[0]);
    assert!(asked[1].contains("since=1795285831.000000007"), "{}", asked[1]);
}

#[test]
fn what_comes_before_the_listing_is_told_behind_it() {
    let streams = AtomicUsize::new(0);
    let engine = Engine::new("watch-early", move |path| match path {
        "/events" if streams.fetch_add(1, Ordering::SeqCst) > 0 => {
            hold();
            None
        }
        "/events" => {
            let born = event("b2", "job", "create", 1_795_285_830, json!({}));
            let shown = event("a1", "web", "start", 1_795_285_800, json!({}));
            Some((200, born + &shown))
        }
        "/containers/json" => {
            std::thread::sleep(Duration::from_millis(500));
            ok(json!([{"Id": "a1"}]))
        }
        "/containers/a1/json" => ok(inspected("web", "a1", running(), json!({}))),
        "/containers/b2/json" => Some((404, r#"{"message":"No such container"}"#.into())),
        _ => Some((200, "OK".into())),
    });
    // The stream breaks before the listing is there; what it had told waits for the next one.
    let told = words(&Follows::start(&["--host", &engine.url()]).all());
    let (is, job) =
        (told.iter().position(|t| t == "is web"), told.iter().position(|t| t == "create job"));
    assert!(is.is_some() && is < job, "{told:#?}");
    assert!(!told.contains(&"start web".to_owned()), "{told:#?}");
}

fn hosts(name: &str, urls: &[(&str, &str)]) -> PathBuf {
    let file = std::env::temp_dir().join(format!("lpt-{name}-{}.hosts", std::process::id()));
    let host = |(id, url): &(&str, &str)| json!({"kind": "host", "id": id, "url": url}).to_string();
    std::fs::write(&file, urls.iter().map(host).collect::<String>()).unwrap();
    file
}

#[test]
fn a_host_that_is_away_holds_up_no_other() {
    let engine = Engine::new("watch-up", |path| match path {
        "/containers/json" => ok(json!([{"Id": "a1"}])),
        "/containers/a1/json" => ok(inspected("web", "a1", running(), json!({}))),
        "/events" => {
            hold();
            None
        }
        _ => Some((200, "OK".into())),
    });
    let file = hosts("watch-away", &[("h1", "unix:///nonexistent"), ("h2", &engine.url())]);
    let path = file.to_str().unwrap();
    let all = Follows::start(&["--hosts", path]).all();
    let once = container_watch(&["--hosts", path]);
    let twice = hosts("watch-twice", &[("h1", "unix:///a"), ("h1", "unix:///b")]);
    let refused = container_watch(&["--hosts", twice.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(&twice).unwrap();
    let mut told = words(&all);
    told.sort();
    assert_eq!(told, ["checkpoint 1", "host-down -", "is web"]);
    let of = |what: &str| all.iter().find(|record| record["what"] == what).unwrap();
    let down = of("host-down");
    assert_eq!((&down["host"]["id"], &down["error_kind"]), (&json!("h1"), &json!("unavailable")));
    assert_eq!(of("is")["host"]["id"], "h2");
    assert_eq!(all.last().unwrap()["partial"], true);
    // In one shot that is an error, and the listing is left open.
    assert_eq!(once.status.code(), Some(69), "{once:?}");
    assert_eq!(words(&records(&once)), ["is web"]);
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
}

#[test]
fn a_bad_answer_is_asked_for_again() {
    let lists = AtomicUsize::new(0);
    let engine = Engine::new("watch-bad", move |path| match path {
        "/containers/json" => match lists.fetch_add(1, Ordering::SeqCst) {
            0 => Some((200, "[{".into())),
            1 => Some((500, r#"{"message":"no"}"#.into())),
            _ => ok(json!([{"Id": "a1"}])),
        },
        "/containers/a1/json" => ok(inspected("web", "a1", exited(137), json!({}))),
        "/events" => {
            hold();
            None
        }
        _ => Some((200, "OK".into())),
    });
    let follows = Follows::start(&["--host", &engine.url()]);
    let first = follows.lines.recv_timeout(Duration::from_secs(10)).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["what"], &first["container"]["state"]), (&json!("is"), &json!("exited")));
    assert_eq!((&first["reason"], &first["signal"]), (&json!("signal"), &json!("SIGKILL")));
}

/// What an engine says that a container uses, where each question finds a second later and half a core
/// more used.
fn used(asked: &AtomicUsize) -> Option<(u16, String)> {
    let times = asked.fetch_add(1, Ordering::SeqCst);
    ok(json!({
        "read": format!("2026-11-21T18:30:{times:02}Z"),
        "cpu_stats": {"cpu_usage": {"total_usage": 500_000_000 * times}},
        "memory_stats": {"usage": 5000, "limit": 9000, "stats": {"total_inactive_file": 1000}},
        "networks": {"eth0": {"rx_bytes": 11, "tx_bytes": 12}}, "pids_stats": {"current": 3}
    }))
}

#[test]
fn one_shot_tells_use_and_writes_metrics() {
    let asked = AtomicUsize::new(0);
    let hostile = "we\"b\\\n";
    let engine = Engine::new("watch-used", move |path| match path {
        "/containers/json" => ok(json!([{"Id": "a1"}, {"Id": "b2"}])),
        "/containers/a1/json" => ok(inspected(hostile, "a1", running(), json!({}))),
        "/containers/b2/json" => ok(inspected("job", "b2", exited(3), json!({}))),
        "/containers/a1/stats" => used(&asked),
        _ => Some((200, "OK".into())),
    });
    let page = engine.socket.with_extension("prom");
    let url = engine.url();
    let watch = |more: &[&str]| {
        container_watch(&[&["--host", &url, "--metrics", page.to_str().unwrap()], more].concat())
    };
    let output = watch(&["--stats"]);
    let text = std::fs::read_to_string(&page).unwrap();
    let table = watch(&["--stats", "--table"]);
    std::fs::remove_file(&page).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let records = records(&output);
    assert_eq!(records.len(), 4, "{records:#?}");
    let stats = records.iter().find(|record| record["what"] == "stats").unwrap();
    assert_eq!(
        stats["stats"],
        json!({"cpus": 0.5, "cpu_ns": 500_000_000, "memory_bytes": 4000, "memory_limit_bytes": 9000,
               "network_rx_bytes": 11, "network_tx_bytes": 12, "pids": 3})
    );
    for line in [
        r#"leasepipe_container_memory_bytes{host="local",container="we\"b\\\n"} 4000"#,
        r#"leasepipe_container_exit_code{host="local",container="job"} 3"#,
        r#"leasepipe_host_up{host="local"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("CPUS") && table.contains("3.91K"), "{table}");
    let missing = container_watch(&["--host", &url, "--metrics", "/nonexistent/x.prom"]);
    assert_eq!(missing.status.code(), Some(69), "{missing:?}");
}

#[test]
fn what_lands_here_is_told_as_it_is_to_be_plugged_in() {
    let deaths = Arc::new(AtomicUsize::new(0));
    let count = deaths.clone();
    let declared = |id: &str, key: &str| {
        json!({"id": id, "image": "b", "key": key, "networks": [{"bridge": "br1"}]}).to_string()
    };
    let ours =
        json!({"leasepipe.owner": "edge", "leasepipe.declared": declared("own", "a5nqjdfafrqyb")});
    let task = json!({"leasepipe.owner": "edge", "leasepipe.declared": declared("svc", "iyg75vdii52xj"),
                      "com.docker.swarm.service.name": "svc", "com.docker.swarm.task.name": "svc.1.xyz"});
    let engine = Engine::new("watch-local", move |path| {
        let dead = count.load(Ordering::SeqCst);
        let state = |runs| if runs { running() } else { exited(0) };
        match path {
            "/containers/json" => {
                ok(json!([{"Id": "a1"}, {"Id": "b2"}, {"Id": "c3"}, {"Id": "d4"}]))
            }
            "/containers/a1/json" => ok(inspected("own", "a1", exited(0), ours.clone())),
            // It ends, is started again, and is taken away.
            "/containers/b2/json" if dead < 3 => {
                ok(inspected("svc.1.xyz", "b2", state(dead != 1), task.clone()))
            }
            "/containers/c3/json" => ok(inspected("foreign", "c3", running(), json!({}))),
            "/containers/d4/json" => ok(inspected("plain", "d4", running(), json!({"app": "x"}))),
            "/events" if dead < 3 => {
                std::thread::sleep(Duration::from_millis(400));
                count.fetch_add(1, Ordering::SeqCst);
                Some((200, event("b2", "svc.1.xyz", "die", 1_795_285_830, json!({}))))
            }
            "/events" => {
                hold();
                None
            }
            path if path.starts_with("/images/") => image(),
            path if path.ends_with("/json") => {
                Some((404, r#"{"message":"No such container"}"#.into()))
            }
            _ => Some((200, "OK".into())),
        }
    });
    let all = Follows::start(&["--local", "--host", &engine.url()]).all();
    let of: Vec<_> = all
        .iter()
        .filter(|record| record["kind"] != "checkpoint")
        .map(|record| (record["id"].as_str().unwrap(), record["state"].as_str().unwrap()))
        .collect();
    assert_eq!(of.first(), Some(&("svc.1.xyz", "running")), "{all:#?}");
    assert_eq!(of.last(), Some(&("svc.1.xyz", "absent")), "{all:#?}");
    assert!(of.iter().all(|(id, state)| *id == "svc.1.xyz" && *state != "exited"), "{of:?}");
    assert_eq!(of.iter().filter(|(_, state)| *state == "absent").count(), 1, "{of:?}");
    let (first, last) = (&all[0], all.iter().rfind(|record| record["state"] == "absent").unwrap());
    // Its node has put it into a network of its own beside that of the document.
    assert_eq!(first["networks"], json!([{"bridge": "br1"}, "bridge"]));
    assert_eq!((&first["owner"], &first["key"]), (&json!("edge"), &json!("iyg75vdii52xj")));
    assert_eq!((&first["docker"]["pid"], &first["host"]["id"]), (&json!(7), &json!("local")));
    // Who plugged it in finds what is to be taken away.
    assert_eq!((&last["key"], &last["networks"]), (&first["key"], &first["networks"]));
    let labelled = container_watch(&["--local", "--host", &engine.url(), "--label", "app"]);
    let labelled = records(&labelled);
    assert_eq!((labelled.len(), &labelled[0]["id"]), (2, &json!("plain")), "{labelled:#?}");
}

#[test]
fn it_ends_when_nobody_reads() {
    let engine = Engine::new("watch-leaves", |path| match path {
        "/containers/json" => ok(json!([])),
        "/events" => {
            hold();
            None
        }
        _ => Some((200, "OK".into())),
    });
    let mut follows = Follows::start(&["--host", &engine.url()]);
    assert!(follows.lines.recv().unwrap().contains("checkpoint"));
    // The thread that reads ends with the program: it is the program's output that is closed.
    let mut child = Command::new(env!("CARGO_BIN_EXE_container-watch"))
        .args(["--follow", "--host", &engine.url()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
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
    follows.child.kill().unwrap();
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        &["--stats", "0s"][..],
        &["--stats", "500ms"],
        &["--loop", "0/5m"],
        &["--loop", "3"],
        &["--local", "--stats"],
        &["--local", "--metrics", "x"],
        &["--hosts", "x", "--host", "unix:///x"],
        &["--host", "nonsense"],
        &["--metrics", "/"],
    ] {
        let output = container_watch(line);
        assert_eq!(output.status.code(), Some(64), "{line:?}: {output:?}");
    }
}
