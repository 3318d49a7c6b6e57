//! host-probe and host-add, with engines that answer what a test wants.

use std::io::Read;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod engine;
mod program;
mod script;

use engine::{Engine, ok};
use program::{Running, file, run};
use script::script;

const PROBE: &str = env!("CARGO_BIN_EXE_host-probe");
const ADD: &str = env!("CARGO_BIN_EXE_host-add");

/// What an engine of this API says, which refuses calls of versions before `least`.
fn says(api: &'static str, least: u32) -> impl Fn(&str) -> Option<(u16, String)> + Send + Sync {
    move |path| {
        let version = path.strip_prefix("/v1.").and_then(|rest| rest.split('/').next());
        if version.is_some_and(|version| version.parse::<u32>().unwrap() < least) {
            let message = "client version 1.24 is too old. Minimum supported API version is 1.44";
            return Some((400, json!({"message": message}).to_string()));
        }
        let path = path.rsplit_once('/').unwrap().1;
        match path {
            "_ping" => Some((200, "OK".into())),
            "version" => ok(json!({"Version": "29.0.0", "ApiVersion": api})),
            "info" => ok(json!({
                "NCPU": 4, "MemTotal": 8_000_000_000_u64, "Architecture": "x86_64",
                "OperatingSystem": "Debian", "OSType": "linux", "Labels": ["zone=eu", "disk=hdd"],
                "MemoryLimit": false, "Plugins": {"Network": ["bridge", "macvlan"]}
            })),
            "json" => ok(json!([
                {"Id": "1", "Names": ["/web"], "State": "exited", "Labels": {
                    "leasepipe.owner": "edge",
                    "leasepipe.declared": r#"{"id":"web","image":"b","memory":1000,"cpus":0.5}"#
                }},
                {"Id": "2", "Names": ["/old"], "State": "exited"}
            ])),
            _ => None,
        }
    }
}

fn host(id: &str, url: &str, more: Value) -> String {
    let mut host = json!({"kind": "host", "id": id, "url": url});
    host.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{host}\n")
}

/// The record of that host.
fn of<'a>(records: &'a [Value], id: &str) -> &'a Value {
    records.iter().find(|record| record["id"] == id).unwrap()
}

#[test]
fn hosts_come_out_with_what_their_engines_say() {
    let engine = Engine::new("probe-says", says("1.52", 44));
    let old = Engine::new("probe-old", says("1.40", 12));
    let more = json!({"labels": {"disk": "ssd"}, "capacity": {"memory": 5000}, "note": [1.0]});
    let input = [
        host("new", &engine.url(), more),
        host("drains", &engine.url(), json!({"state": "drain", "reason": "x"})),
        host("old", &old.url(), json!({})),
        host("gone", "unix:///nonexistent", json!({"state": "drain"})),
        host("none", "carrier-pigeon://x", json!({})),
    ];
    let done = run(PROBE, &[], &input.concat());
    let new = of(&done.records, "new");
    assert_eq!(new["state"], "active");
    assert_eq!(new["labels"], json!({"zone": "eu", "disk": "ssd"}));
    assert_eq!(new["capacity"], json!({"cpus": 4, "memory": 5000}));
    assert_eq!(new["used"], json!({"containers": 1, "resources": {"cpus": 0.5, "memory": 1000}}));
    assert_eq!(new["engine"], json!({"name": "Docker", "version": "29.0.0", "api": "1.52"}));
    assert_eq!((&new["os"], &new["note"]), (&json!("Debian"), &json!([1.0])));
    assert!(new["round_trip_ms"].as_f64().unwrap() > 0.0);
    let drains = of(&done.records, "drains");
    assert_eq!((&drains["state"], drains.get("reason")), (&json!("drain"), None));
    let old = of(&done.records, "old");
    assert_eq!(old["state"], "down");
    assert!(old["reason"].as_str().unwrap().contains("too old"), "{old}");
    assert_eq!(of(&done.records, "gone")["state"], "drain");
    assert!(of(&done.records, "gone")["reason"].is_string());
    assert_eq!(of(&done.records, "none")["state"], "down");
    assert_eq!(done.status, 1, "one record is wrong: {}", done.told);
    assert_eq!(done.records.len(), 5, "no checkpoint that was not read");
}

#[test]
fn a_host_that_hangs_keeps_none_waiting() {
    let engine = Engine::new("probe-quick", says("1.41", 12));
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let text: String = (0..20).map(|n| host(&format!("h{n}"), &url, json!({}))).collect();
    let hosts = file("probe-hang.json", &(text + &host("quick", &engine.url(), json!({}))));
    let begun = Instant::now();
    let done = run(PROBE, &["--hosts", &hosts, "--insecure", "--timeout", "700ms"], "");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(done.records[0]["id"], "quick", "it is written first");
    let hung = of(&done.records, "h7");
    assert_eq!(hung["state"], "down");
    assert!(hung["reason"].as_str().unwrap().contains("within 700 ms"), "{hung}");
    let last = done.records.last().unwrap();
    assert_eq!(*last, json!({"kind": "checkpoint", "of": "host", "count": 21}));
    assert_eq!(done.told.matches("without encryption").count(), 1, "{}", done.told);
    assert_eq!(done.status, 0);
}

#[test]
fn without_certificates_nothing_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let mut command = Command::new(PROBE);
    command.env("HOME", "/nonexistent").env_remove("DOCKER_CERT_PATH");
    let output = program::fed(&mut command, &host("a", &url, json!({})));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["reason"].as_str().unwrap().contains("--insecure"), "{told}");
    assert!(listener.accept().is_err(), "nobody has connected");
}

#[test]
fn what_changes_is_written_again() {
    let up = Arc::new(AtomicBool::new(true));
    let answers = says("1.41", 12);
    let is_up = up.clone();
    let engine = Engine::new("probe-follow", move |path| {
        if is_up.load(Ordering::Relaxed) { answers(path) } else { None }
    });
    let hosts = file("probe-follow.json", &host("a", &engine.url(), json!({})));
    let args = ["--hosts", &hosts, "--follow", "--interval", "100ms", "--grace", "0s"];
    let mut probe = Running::start(PROBE, &args);
    assert_eq!(probe.next()["state"], "active");
    let first = json!({"kind": "checkpoint", "of": "host", "count": 1, "follow": true});
    assert_eq!(probe.next(), first);
    let quiet = probe.within(Duration::from_millis(350));
    assert!(!quiet.is_empty() && quiet.iter().all(|record| record["partial"] == true), "{quiet:?}");
    up.store(false, Ordering::Relaxed);
    let mut next = |state: &str| loop {
        let record = probe.next();
        if record["kind"] == "host" {
            assert_eq!(record["state"], state, "{record}");
            return record;
        }
    };
    let down = next("down");
    assert_eq!(down["capacity"]["cpus"], 4, "what was known stays known");
    up.store(true, Ordering::Relaxed);
    assert_eq!(next("active").get("reason"), None);
}

/// The hosts of the file, with their states.
fn states(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let hosts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    hosts.map(|host| format!("{} {}", host["id"], host["state"]).replace('"', "")).collect()
}

fn until(what: &str, fits: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !fits() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_found_is_kept_in_a_file_for_others() {
    let engine = Engine::new("probe-write", says("1.41", 12));
    let lines = [
        host("gone", "unix:///nonexistent", json!({})),
        host("here", &engine.url(), json!({"labels": {"zone": "us"}})),
    ];
    let hosts = file("probe-write.json", &lines.concat());
    let found = format!("{hosts}.found");
    let once = run(PROBE, &["--hosts", &hosts, "--write", &found], "");
    assert_eq!((once.status, once.records.len()), (0, 3), "{}", once.told);
    assert_eq!(states(&found), ["gone down", "here active"], "in the order of the list");
    let text = std::fs::read_to_string(&found).unwrap();
    assert!(text.contains(r#""zone":"us""#) && text.contains(r#""used""#), "{text}");
    std::fs::remove_file(&found).unwrap();
    // From standard input the list is taken whole as well.
    assert_eq!(run(PROBE, &["--write", &found], &lines.concat()).records.len(), 3);
    assert_eq!(states(&found).len(), 2);
    for (path, status) in [(hosts.as_str(), 64), ("/", 64), ("/nonexistent/found", 69)] {
        let done = run(PROBE, &["--hosts", &hosts, "--write", path], "");
        assert_eq!(done.status, status, "{path}: {}", done.told);
        assert!(done.records.iter().all(|record| record["kind"] != "checkpoint"));
    }
    assert_eq!(std::fs::read_to_string(&hosts).unwrap(), lines.concat());
}

#[test]
fn one_question_without_an_answer_makes_no_host_leave() {
    let up = Arc::new(AtomicBool::new(true));
    let (answers, is_up) = (says("1.41", 12), up.clone());
    let engine =
        Engine::new(
            "probe-lost",
            move |path| {
                if is_up.load(Ordering::Relaxed) { answers(path) } else { None }
            },
        );
    let hosts = file("probe-lost.json", &host("a", &engine.url(), json!({})));
    let every = ["--interval", "1s", "--timeout", "1s"];
    let args = [&["--hosts", hosts.as_str(), "--follow"], &every[..]].concat();
    let mut probe = Running::start(PROBE, &args);
    assert_eq!(probe.next()["state"], "active");
    // Longer than from one question to the next.
    up.store(false, Ordering::Relaxed);
    let heard = probe.within(Duration::from_millis(1300));
    up.store(true, Ordering::Relaxed);
    let later = probe.within(Duration::from_millis(1500));
    let told = heard.iter().chain(&later);
    let told: Vec<_> = told.filter(|record| record["kind"] == "host").collect();
    assert!(told.is_empty(), "{told:?}");
    // It stays away.
    up.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    let down = loop {
        let record = probe.next();
        if record["kind"] == "host" {
            break record;
        }
    };
    assert_eq!(down["state"], "down");
    // Its last answer may be an interval old.
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
}

#[test]
fn a_host_has_time_to_come_back_and_a_list_may_change() {
    let up = Arc::new(AtomicBool::new(true));
    let (answers, is_up) = (says("1.41", 12), up.clone());
    let engine = Engine::new("probe-grace", move |path| {
        if is_up.load(Ordering::Relaxed) { answers(path) } else { None }
    });
    let list = host("a", &engine.url(), json!({}));
    let hosts = file("probe-grace.json", &list);
    let found = format!("{hosts}.found");
    let _ = std::fs::remove_file(&found);
    let mut probe = Running::start(
        PROBE,
        &[
            "--hosts",
            &hosts,
            "--follow",
            "--interval",
            "50ms",
            "--grace",
            "1500ms",
            "--write",
            &found,
        ],
    );
    until("the file", || states(&found) == ["a active"]);
    let begun = Instant::now();
    up.store(false, Ordering::Relaxed);
    until("that it is down", || states(&found) == ["a down"]);
    assert!(begun.elapsed() > Duration::from_millis(1300), "{:?}", begun.elapsed());
    up.store(true, Ordering::Relaxed);
    until("that it is back", || states(&found) == ["a active"]);
    // It is away for a moment, and nobody learns of it.
    up.store(false, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(500));
    up.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    while told.iter().filter(|state| **state == json!("active")).count() < 2 {
        let record = probe.next();
        told.extend((record["kind"] == "host").then(|| record["state"].clone()));
    }
    assert_eq!(told, ["active", "down", "active"]);
    let quiet = probe.within(Duration::from_millis(700));
    assert!(quiet.iter().all(|record| record["partial"] == true), "{quiet:?}");
    // The operator says that it drains, and enters another.
    let drains = host("a", &engine.url(), json!({"state": "drain"}));
    std::fs::write(format!("{hosts}.new"), host("b", "unix:///nonexistent", json!({})) + &drains)
        .unwrap();
    std::fs::rename(format!("{hosts}.new"), &hosts).unwrap();
    until("the new list", || states(&found) == ["b down", "a drain"]);
    let whole = loop {
        let record = probe.next();
        if record["kind"] == "checkpoint" && record["partial"] != true {
            break record;
        }
    };
    assert_eq!(whole["count"], 2);
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_build_without_etcd_says_so() {
    for done in [
        run(PROBE, &["--hosts", "etcd://a"], ""),
        run(ADD, &[&Engine::new("add-none", says("1.41", 12)).url(), "--hosts", "etcd://a"], ""),
    ] {
        assert_eq!(done.status, 64);
        assert!(done.told.contains("feature etcd"), "{}", done.told);
    }
}

#[test]
fn an_address_of_an_etcd_that_is_none_is_told_without_its_password() {
    for bad in ["etcd://u:hush@", "etcd://u:hush@a b", "https://u:hush@a", "etcd+tls://u:hush@a"] {
        let done = run(PROBE, &["--hosts", bad], "");
        assert_eq!((done.status, done.records.len()), (64, 0), "{bad}: {}", done.told);
        assert!(!done.told.contains("hush"), "{}", done.told);
    }
}

#[test]
fn a_list_is_taken_whole_or_not_at_all() {
    let good = host("a", "unix:///nonexistent", json!({}));
    for bad in [good.repeat(2), String::new(), good.clone() + "{\"id\":\"a\",\"image\":\"b\"}\n"] {
        let done = run(PROBE, &["--hosts", &file("probe-bad.json", &bad)], "");
        assert_eq!((done.status, done.records.len()), (65, 0), "{bad}: {}", done.told);
    }
}

#[test]
fn a_host_is_entered_once_it_answers() {
    let engine = Engine::new("add", says("1.41", 12));
    let hosts = file("add.json", &format!("[{}]", host("first", "unix:///a", json!({"x": 1}))));
    let add = |more: &[&str]| {
        run(ADD, &[&[&*engine.url(), "--hosts", &hosts, "--label", "zone=us"], more].concat(), "")
    };
    let done = add(&["--id", "north"]);
    assert_eq!(done.status, 0, "{}", done.told);
    let labels = json!({"zone": "us", "disk": "hdd"});
    assert_eq!((&done.records[0]["labels"], done.records.len()), (&labels, 1));
    assert!(done.told.contains("cannot limit memory"), "{}", done.told);
    assert!(done.told.lines().all(|line| line.starts_with("host-add: north: ")), "{}", done.told);
    let text = std::fs::read_to_string(&hosts).unwrap();
    let first = r#"{"kind":"host","id":"first","url":"unix:///a","x":1}"#;
    let north =
        json!({"kind": "host", "id": "north", "url": engine.url(), "labels": {"zone": "us"}});
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], first);
    assert_eq!((serde_json::from_str::<Value>(lines[1]).unwrap(), lines.len()), (north, 2));
    // Again it is there, under its name or another.
    assert_eq!(add(&["--id", "north"]).status, 1);
    assert_eq!(add(&["--id", "other", "--replace"]).status, 1);
    assert_eq!(std::fs::read_to_string(&hosts).unwrap(), text);
    let done = add(&["--id", "north", "--label", "disk=ssd", "--replace"]);
    assert_eq!(done.status, 0, "{}", done.told);
    assert_eq!(done.records[0]["labels"]["disk"], "ssd");
    assert_eq!(std::fs::read_to_string(&hosts).unwrap().lines().count(), 2);
}

#[test]
fn what_does_not_answer_is_not_entered() {
    let old = Engine::new("add-old", says("1.24", 12));
    let hosts = format!("{}/add-none.json", env!("CARGO_TARGET_TMPDIR"));
    let _ = std::fs::remove_file(&hosts);
    for (url, status) in [("unix:///nonexistent", 69), ("nonsense", 64), (&*old.url(), 1)] {
        let done = run(ADD, &[url, "--hosts", &hosts], "");
        assert_eq!((done.status, done.records.len()), (status, 0), "{url}: {}", done.told);
        assert!(std::fs::File::open(&hosts).is_err());
    }
    for url in ["ssh://nowhere.invalid", "unix:///nonexistent", "context:far"] {
        let done = run(ADD, &[url, "--hosts", &hosts, "--tls", "/etc/tls"], "");
        assert_eq!(done.status, 64, "{url}: {}", done.told);
        assert!(done.told.contains(&format!("--tls: {url} is not at tcp://")), "{}", done.told);
    }
}

#[test]
fn ssh_is_given_no_word_that_it_could_take_for_another() {
    let ssh = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-ssh");
    let words = ssh.join("words");
    let _ = std::fs::remove_dir_all(&ssh);
    std::fs::create_dir(&ssh).unwrap();
    let tells = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\n", words.display());
    let fails = "echo 'Host key verification failed.' >&2\nexit 255\n";
    script(ssh.join("ssh"), &(tells + fails));
    let probe = |url: &str| {
        let path = format!("{}:{}", ssh.display(), std::env::var("PATH").unwrap());
        let output =
            program::fed(Command::new(PROBE).env("PATH", path), &host("a", url, json!({})));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["reason"].to_string()
    };
    assert!(probe("ssh://ops@h:2222/run/d.sock").contains("host key is not known"));
    let mut told = String::new();
    std::fs::File::open(&words).unwrap().read_to_string(&mut told).unwrap();
    assert!(told.ends_with("engine:/run/d.sock\n-l\nops\n-p\n2222\n--\nh\n"), "{told}");
    std::fs::remove_file(&words).unwrap();
    assert!(probe("ssh://-oProxyCommand=true").contains("not what ssh can be given"));
    assert!(!words.exists(), "it was not run");
}
