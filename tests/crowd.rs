//! container-run for many hosts: fair between them, whatever some of them do, and in little memory.

#[path = "engine/applied.rs"]
mod applied;
#[path = "engine/crowd.rs"]
mod crowd;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use applied::{change, container_run, lines, on, records};
use crowd::{Crowd, Manner};
use serde_json::{Value, json};

/// What became of a container: nothing when it is done, or why not.
fn failure(records: &[Value], id: &str) -> Option<String> {
    let of = |record: &&Value| record["id"] == id || record["container"]["id"] == id;
    let record = records.iter().find(of).unwrap_or_else(|| panic!("{id} is not told of"));
    record["error"].as_str().map(str::to_owned)
}

#[test]
fn a_slow_or_dead_host_holds_up_no_other() {
    // The input is the worst there is: one host after the other, the bad ones first.
    let slow = Manner { at_a_time: 1, ..Manner::slow(0, 3_000) };
    let mut manners = vec![Manner::hanging(), slow];
    manners.extend([Manner::slow(5, 20); 20]);
    let crowd = Crowd::new("fair", manners);
    let mut wanted: Vec<Value> = (0..50)
        .map(|at| {
            let mut dead = on(&crowd, 0, &format!("dead-{at}"), json!({}));
            dead["host"] = json!({"id": "dead", "url": "unix:///nonexistent"});
            dead
        })
        .collect();
    let of = |host: usize, count: usize| (0..count).map(move |at| (host, format!("{host}-{at}")));
    let live = of(0, 1).chain(of(1, 1)).chain((2..22).flat_map(|host| of(host, 10)));
    wanted.extend(live.map(|(host, id)| on(&crowd, host, &id, json!({}))));
    let mut child = Command::new(env!("CARGO_BIN_EXE_container-run"))
        .args(["--per-host", "4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    child.stdin.take().unwrap().write_all(lines(wanted).as_bytes()).unwrap();
    let all = || (2..22).all(|host| crowd.running(host).len() == 10);
    while !all() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = begun.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(all(), "not all are there after {took:?}");
    assert!(took < Duration::from_millis(2_900), "the slow ones held up the others: {took:?}");
    for host in 2..22 {
        assert!(crowd.busiest(host) <= 4, "{} at a time", crowd.busiest(host));
    }
    assert!((2..22).any(|host| crowd.busiest(host) > 2), "no host had more than two at a time");
}

#[test]
fn a_host_that_is_not_there_fails_its_records_at_once_and_comes_back() {
    let crowd = Crowd::new("back", vec![Manner::slow(0, 0)]);
    let path = crowd.host(0)["url"].as_str().unwrap().strip_prefix("unix://").unwrap().to_owned();
    let away = format!("{path}.away");
    std::fs::rename(&path, &away).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_container-run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let wanted = |names: &[&str]| lines(names.iter().map(|id| on(&crowd, 0, id, json!({}))));
    stdin.write_all(wanted(&["a", "b"]).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    std::fs::rename(&away, &path).unwrap();
    stdin.write_all(wanted(&["c"]).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(1_000));
    stdin.write_all(wanted(&["d"]).as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let records = records(&output);
    for id in ["a", "b", "c"] {
        assert!(failure(&records, id).unwrap().contains("no Docker engine answers"), "{id}");
    }
    assert_eq!(failure(&records, "d"), None);
    assert_eq!((crowd.running(0), output.status.code()), (vec!["d".to_owned()], Some(1)));
}

#[test]
fn containers_come_and_go_in_the_order_in_which_they_depend_on_each_other() {
    let crowd = Crowd::new("order", vec![Manner::slow(0, 30); 2]);
    let after =
        |host, id: &str, others: &[&str]| on(&crowd, host, id, json!({"depends_on": others}));
    let fleet = || {
        let web = after(1, "web", &["app"]);
        [web, after(0, "app", &["db", "cache"]), after(0, "db", &[]), after(1, "cache", &[])]
    };
    let bad = [
        after(0, "lost", &["nowhere"]),
        after(0, "yin", &["yang"]),
        after(0, "yang", &["yin"]),
        after(0, "broken", &[]),
        after(1, "behind", &["broken"]),
    ];
    let mut input = fleet().to_vec();
    input.extend(bad);
    input[7]["network_mode"] = json!("host");
    input[7]["ports"] = json!(["80:80"]);
    let output = container_run(&[], &lines(input));
    let told = records(&output);
    let order: Vec<&str> = told.iter().map(|record| record["id"].as_str().unwrap()).collect();
    let at = |id: &str| order.iter().position(|other| *other == id).unwrap();
    assert!(at("db") < at("app") && at("cache") < at("app") && at("app") < at("web"), "{order:?}");
    for id in ["web", "app", "db", "cache"] {
        assert_eq!(failure(&told, id), None);
    }
    assert!(failure(&told, "lost").unwrap().contains("depends on \"nowhere\": it is neither"));
    let circle = "depends_on goes in a circle: \"yang\" → \"yin\" → \"yang\"";
    assert!(failure(&told, "yang").unwrap().ends_with(circle), "{told:#?}");
    assert!(failure(&told, "yin").unwrap().contains("depends on \"yang\": which failed"));
    assert!(failure(&told, "behind").unwrap().contains("depends on \"broken\": which failed"));
    assert_eq!(crowd.changes(0)[..2], ["create db", "start db"]);

    // One that runs already need not be among the records.
    let late = container_run(&[], &lines([after(1, "late", &["web"])]));
    assert_eq!(late.status.code(), Some(0), "{late:?}");

    let gone = |mut document: Value| {
        document["state"] = json!("absent");
        document
    };
    let ask = |documents: &[Value]| container_run(&[], &lines(documents.iter().cloned().map(gone)));
    let [web, app, db, cache] = fleet();
    let output = ask(&[db, cache, app, web, after(1, "late", &["web"])]);
    let told = records(&output);
    let order: Vec<&str> = told.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(order[..3], ["late", "web", "app"], "{output:?}");
    assert!(crowd.running(0).is_empty() && crowd.running(1).is_empty());
}

#[test]
fn what_a_diff_takes_away_goes_before_what_it_depends_on() {
    let crowd = Crowd::new("diff", vec![Manner::slow(0, 20); 2]);
    let one = |host, id: &str, others: &[&str]| {
        on(&crowd, host, id, json!({"depends_on": others, "owner": "edge"}))
    };
    let all = lines([one(0, "db", &[]), one(1, "app", &["db"]), one(0, "web", &["app"])]);
    assert_eq!(container_run(&[], &all).status.code(), Some(0));
    let path = std::env::temp_dir().join(format!("lpc-diff-current-{}", std::process::id()));
    std::fs::write(&path, all).unwrap();
    let mut diff = Command::new(env!("CARGO_BIN_EXE_cccf-diff"));
    diff.args(["--owner", "edge", "--complete", "--force", "--current"]).arg(&path);
    let changes = diff.stdin(Stdio::null()).output().unwrap();
    std::fs::remove_file(path).unwrap();
    let output = container_run(&[], std::str::from_utf8(&changes.stdout).unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let gone: Vec<Value> =
        records(&output).iter().map(|one| one["container"]["id"].clone()).collect();
    assert_eq!(gone[..3], ["web", "app", "db"], "{changes:?}");
    assert!(crowd.running(0).is_empty() && crowd.running(1).is_empty());
}

#[test]
fn what_is_told_beforehand_is_what_is_done() {
    let crowd = Crowd::new("plan", vec![Manner::slow(0, 0); 2]);
    let plain = |id: &str| on(&crowd, 0, id, json!({}));
    let first = container_run(&[], &lines(["old", "same", "moves", "gone"].map(plain)));
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let before = [crowd.changes(0).len(), crowd.changes(1).len()];

    let replaced = |old: Value, new: Value| {
        let mut change = change("replace", new);
        change["current"] = old;
        change
    };
    let input = lines([
        plain("new"),
        plain("same"),
        change("keep", plain("new")),
        replaced(plain("old"), on(&crowd, 0, "old", json!({"env": ["A=1"]}))),
        replaced(plain("moves"), on(&crowd, 1, "moves", json!({}))),
        change("remove", plain("gone")),
        change("remove", plain("never")),
        change("restart", plain("same")),
        on(&crowd, 1, "behind", json!({"depends_on": ["new"]})),
    ]);
    let one = ["--concurrency", "1"];
    let planned = container_run(&[&one[..], &["--dry-run"]].concat(), &input);
    assert_eq!(planned.status.code(), Some(0), "{planned:?}");
    assert_eq!([crowd.changes(0).len(), crowd.changes(1).len()], before, "something was changed");

    let done = container_run(&one, &input);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let steps = |record: &Value| -> Vec<String> {
        let steps = record["steps"].as_array().into_iter().flatten();
        steps.map(|step| step["step"].as_str().unwrap().to_owned()).collect()
    };
    let (planned, done) = (records(&planned), records(&done));
    assert_eq!(planned.len(), done.len());
    let mut told = Vec::new();
    // Hosts take turns, so the records of two hosts may come in another order.
    let which = |record: &Value| {
        let inside = record.get("container").unwrap_or(record);
        (record["action"].to_string(), inside["id"].to_string())
    };
    for plan in &planned {
        let live = done.iter().find(|live| which(live) == which(plan)).unwrap();
        assert_eq!(steps(plan), steps(live), "{plan} {live}");
        assert!(plan.get("status").is_none() && live["status"] == "done");
        told.extend(steps(plan));
    }
    assert!(planned.iter().any(|record| steps(record).is_empty()), "all of them do something");
    let mut heard: Vec<String> = crowd.changes(0)[before[0]..].to_vec();
    heard.extend_from_slice(&crowd.changes(1)[before[1]..]);
    let mut heard: Vec<&str> = heard.iter().map(|call| call.split(' ').next().unwrap()).collect();
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    heard.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, heard);
}

#[test]
fn many_hosts_are_worked_on_at_the_same_time() {
    const HOSTS: usize = 100;
    const EACH: usize = 20;
    // Four at a time, each host is at work for half a second; one after another they take 55 s.
    let crowd = Crowd::new("many", vec![Manner::slow(10, 100); HOSTS]);
    let begun = std::time::Instant::now();
    let containers = (0..HOSTS * EACH)
        .map(|at| on(&crowd, at / EACH, &format!("c-{at}"), json!({"env": ["A=1", "B=2"]})));
    let output = container_run(&["--per-host", "4"], &lines(containers));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(records(&output).len(), HOSTS * EACH);
    assert!((0..HOSTS).all(|host| crowd.running(host).len() == EACH));
}
