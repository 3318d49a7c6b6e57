//! container-run against an engine that misbehaves, and against none.

mod engine;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use engine::{Engine, image, inspected, ok, records};
use serde_json::{Value, json};

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
fn a_beginning_of_an_id_is_no_network_and_no_image() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let asked = heard.clone();
    let id = format!("db{}", "0".repeat(62));
    let engine = Engine::hearing("begins", move |path, request| {
        asked.lock().unwrap().push(request.to_owned());
        match path {
            "/networks/db" => ok(json!({"Id": id, "Name": "victim"})),
            "/networks/d" => {
                let why = "network d is ambiguous (2 matches found based on ID prefix)";
                Some((400, json!({"message": why}).to_string()))
            }
            "/networks/site" | "/networks/db0000000000" => ok(json!({"Id": id, "Name": "site"})),
            "/containers/create" => Some((201, json!({"Id": "a1", "Warnings": []}).to_string())),
            "/containers/a1/json" => ok(inspected("a", "a1")),
            path if path.starts_with("/images/") => image(),
            _ => Some((200, "OK".into())),
        }
    });
    let made = |image: &str, network: &str| {
        heard.lock().unwrap().clear();
        let host = json!({"id": "h", "url": engine.url()});
        let wanted = json!({"id": "a", "image": image, "networks": [network], "host": host});
        let output = container_run(&[], &wanted.to_string());
        let calls = heard.lock().unwrap().clone();
        let create = calls.into_iter().find(|call| call.contains("/containers/create"));
        let body = create.map(|call| call.splitn(3, ' ').nth(2).unwrap().to_owned());
        let body: Option<Value> = body.map(|body| serde_json::from_str(&body).unwrap());
        (records(&output)[0].clone(), body)
    };
    for name in ["db", "d"] {
        let (record, created) = made("busybox", name);
        assert_eq!((&record["error_kind"], created), (&json!("not_found"), None), "{record}");
        assert!(record["error"].as_str().unwrap().contains(&format!("network {name}")), "{record}");
    }
    for (image, named) in [("c210", "c210:latest"), ("busybox", "busybox"), ("c210:1", "c210:1")] {
        let (record, created) = made(image, "site");
        let created = created.unwrap_or_else(|| panic!("{record}"));
        assert_eq!(created["Image"], named, "{record}");
        assert_eq!(record["image"], image);
    }
    // What Docker itself would write of an id is meant for one.
    assert_eq!(made("busybox", "db0000000000").0["status"], "done");
}

#[test]
fn an_engine_that_fails_what_is_done_on_all_is_not_waited_for_again() {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let engine = Engine::new("sweeps", move |path| match path {
        "/containers/json" => {
            let mut asked = count.lock().unwrap();
            *asked += 1;
            (*asked == 1).then(|| (200, "[]".into()))
        }
        "/containers/a/json" => Some((404, r#"{"message":"No such container"}"#.into())),
        _ => Some((200, "OK".into())),
    });
    let host = json!({"id": "h", "url": engine.url()});
    let gone = json!({"id": "a", "image": "x", "state": "absent", "host": host});
    let checkpoint = json!({"kind": "checkpoint", "of": "change", "count": 1});
    let input: String = [&gone, &checkpoint, &checkpoint, &checkpoint]
        .iter()
        .map(|one| format!("{one}\n"))
        .collect();
    let output = container_run(&[], &input);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains(&engine.url()), "{told}");
    assert_eq!(records(&output).len(), 4, "{output:?}");
}

#[test]
fn one_that_goes_is_not_waited_for_when_it_has_gone() {
    // Somebody else takes it away, and the engine forgets who waits for that.
    let engine = Engine::new("forgets", |path| match path {
        "/containers/a/json" => {
            let mut web = inspected("a", "a1");
            web["Config"]["Labels"] = json!({
                "leasepipe.owner": "edge",
                "leasepipe.declared": r#"{"id":"a","image":"x"}"#,
            });
            ok(web)
        }
        "/containers/a1" => Some((409, r#"{"message":"removal is in progress"}"#.into())),
        "/containers/a1/wait" => {
            std::thread::sleep(std::time::Duration::from_secs(600));
            None
        }
        "/containers/a1/json" => Some((404, r#"{"message":"No such container"}"#.into())),
        "/containers/json" => ok(json!([])),
        _ => Some((200, "{}".into())),
    });
    let host = json!({"id": "h", "url": engine.url()});
    let gone = json!({"id": "a", "image": "x", "state": "absent", "host": host});
    let begun = std::time::Instant::now();
    let output = container_run(&["--owner", "edge"], &gone.to_string());
    assert_eq!(records(&output)[0]["status"], "done", "{output:?}");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn an_answer_that_does_not_end_fails_its_record_alone() {
    let endless = Engine::new("endless", |path| match path {
        "/_ping" | "/version" => Some((200, "{}".into())),
        _ => Some((200, " ".repeat(300 * 1024 * 1024))),
    });
    let there = Engine::new("ends", |path| match path {
        "/containers/b/json" => Some((404, r#"{"message":"No such container"}"#.into())),
        "/containers/json" => ok(json!([])),
        _ => Some((200, "{}".into())),
    });
    let gone = |id: &str, engine: &Engine| {
        let host = json!({"id": id, "url": engine.url()});
        json!({"id": id, "image": "x", "state": "absent", "host": host})
    };
    let input = format!("{}\n{}\n", gone("a", &endless), gone("b", &there));
    let output = container_run(&[], &input);
    let mut records = records(&output);
    records.sort_by_key(|record| record["id"].to_string());
    assert_eq!(records[1]["status"], "done", "{output:?}");
    assert_eq!(records[0]["error_kind"], "bad_input", "{output:?}");
    let why = records[0]["error"].as_str().unwrap();
    assert!(why.ends_with("answer cannot be read: it does not end"), "{why}");
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

/// Two engines that note what is asked of them: one that has `web` already, and one that makes it.
fn engines(name: &str, new: &str, starts: bool) -> (Engine, Engine, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let said = |id: &str| {
        let mut web = inspected("web", id);
        web["Config"]["Labels"] = json!({
            "leasepipe.owner": "edge",
            "leasepipe.declared": r#"{"id":"web","image":"x"}"#,
        });
        ok(web)
    };
    let (there, old) = (log.clone(), "a".repeat(64));
    let first = Engine::new(&format!("{name}-old"), move |path| {
        there.lock().unwrap().push(format!("old {path}"));
        match path {
            "/containers/web/json" => said(&old),
            path if path == format!("/containers/{old}") => Some((204, String::new())),
            "/_ping" => Some((200, "OK".into())),
            _ => ok(json!({})),
        }
    });
    let (there, new) = (log.clone(), new.to_owned());
    let second = Engine::new(&format!("{name}-new"), move |path| {
        there.lock().unwrap().push(format!("new {path}"));
        match path {
            "/containers/web/json" => Some((404, r#"{"message":"no such container"}"#.into())),
            "/containers/create" => Some((201, json!({"Id": new, "Warnings": []}).to_string())),
            path if path.ends_with("/start") && !starts => {
                Some((500, r#"{"message":"no room"}"#.into()))
            }
            path if path.ends_with("/start") => Some((204, String::new())),
            path if path == format!("/containers/{new}/json") => said(&new),
            path if path.starts_with("/images/") => image(),
            "/_ping" => Some((200, "OK".into())),
            _ => ok(json!({})),
        }
    });
    (first, second, log)
}

fn moved(old: &Engine, new: &Engine, docker: &str) -> String {
    let of = |engine: &Engine, id: &str| {
        let host = json!({"id": id, "url": engine.url()});
        json!({"id": "web", "image": "x", "owner": "edge", "host": host})
    };
    let mut current = of(old, "old");
    current["docker"] = json!({"id": docker});
    let container = of(new, "new");
    json!({"kind": "change", "action": "replace", "container": container, "current": current})
        .to_string()
}

#[test]
fn a_container_leaves_its_host_when_it_runs_on_the_other() {
    let (old, new) = ("a".repeat(64), "b".repeat(64));
    let (first, second, log) = engines("moves", &new, true);
    let output = container_run(&["--owner", "edge"], &moved(&first, &second, &old));
    let asked = log.lock().unwrap().clone();
    let at = |what: String| asked.iter().position(|asked| *asked == what);
    let started = at(format!("new /containers/{new}/start"));
    let removed = at(format!("old /containers/{old}"));
    assert!(started.is_some() && started < removed, "{asked:#?} {output:?}");
    let record = &records(&output)[0];
    assert_eq!(
        (&record["status"], &record["container"]["host"]["id"]),
        (&"done".into(), &"new".into())
    );
    assert_eq!(record["container"]["docker"]["id"], *new);
}

#[test]
fn a_host_that_is_lost_cannot_be_left_and_the_new_container_runs() {
    let new = "b".repeat(64);
    let (first, second, _) = engines("leaves", &new, true);
    let lost = moved(&first, &second, &"a".repeat(64)).replace(&first.url(), "unix:///nonexistent");
    let record = &records(&container_run(&["--owner", "edge"], &lost))[0];
    assert_eq!(record["error_kind"], "unavailable", "{record}");
    let why = record["error"].as_str().unwrap();
    assert!(why.starts_with("the new one runs, the old one: connect to unix:///none"), "{why}");
}

#[test]
fn a_container_that_does_not_start_on_the_other_host_stays_where_it_is() {
    let old = "a".repeat(64);
    let (first, second, log) = engines("stays", &"b".repeat(64), false);
    let output = container_run(&["--owner", "edge"], &moved(&first, &second, &old));
    assert_eq!(records(&output)[0]["status"], "failed", "{output:?}");
    let asked = log.lock().unwrap().clone();
    assert!(!asked.contains(&format!("old /containers/{old}")), "{asked:#?}");
}

#[test]
fn two_hosts_that_are_one_engine_keep_the_new_container() {
    let old = "a".repeat(64);
    let (first, second, log) = engines("one", &old, true);
    let output = container_run(&["--owner", "edge"], &moved(&first, &second, &old));
    assert_eq!(records(&output)[0]["status"], "done", "{output:?}");
    let asked = log.lock().unwrap().clone();
    assert!(!asked.contains(&format!("old /containers/{old}")), "{asked:#?}");
}

/// What an engine is asked for, in its order, when a container with these fields is to be made. The
/// engine has the image or gets it when it is fetched; it makes containers with this warning.
fn asked(has_image: bool, warning: &str, fields: Value) -> (Output, Vec<String>) {
    let heard = Arc::new(Mutex::new((has_image, Vec::new())));
    let state = heard.clone();
    let warnings = if warning.is_empty() { vec![] } else { vec![warning.to_owned()] };
    let name = format!("asks-{}", fields.to_string().len() + warning.len());
    let engine = Engine::hearing(&name, move |path, request| {
        let (has_image, heard) = &mut *state.lock().unwrap();
        heard.push(request.to_owned());
        match path {
            "/containers/create" if *has_image => {
                Some((201, json!({"Id": "a1", "Warnings": warnings}).to_string()))
            }
            "/containers/create" => Some((404, r#"{"message":"No such image: b:1"}"#.into())),
            "/containers/a1/json" => ok(inspected("a", "a1")),
            "/containers/a/json" => Some((404, r#"{"message":"No such container"}"#.into())),
            "/images/create" => {
                *has_image = true;
                Some((200, "{}".into()))
            }
            path if path.starts_with("/images/") => image(),
            _ => Some((200, "OK".into())),
        }
    });
    let mut wanted = json!({"id": "a", "image": "b:1", "host": {"id": "h", "url": engine.url()}});
    wanted.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let output = container_run(&[], &wanted.to_string());
    let heard = heard.lock().unwrap().1.clone();
    (output, heard)
}

/// The places of these calls in what was asked for.
fn order(heard: &[String], calls: &[&str]) -> Vec<Option<usize>> {
    calls.iter().map(|call| heard.iter().position(|heard| heard.contains(call))).collect()
}

#[test]
fn an_image_is_fetched_when_the_document_says() {
    let (fetch, make) = ("POST /images/create?", "POST /containers/create?");
    for (has_image, pull, fetches) in [
        (true, "missing", false),
        (false, "missing", true),
        (true, "always", true),
        (false, "always", true),
        (true, "never", false),
    ] {
        let (output, heard) = asked(has_image, "", json!({"pull": pull}));
        assert_eq!(output.status.code(), Some(0), "{pull}: {output:?}");
        let fetched = heard.iter().filter(|heard| heard.starts_with(fetch)).count();
        assert_eq!(fetched, usize::from(fetches), "{pull}");
        if pull == "always" {
            let order = order(&heard, &[fetch, make]);
            assert!(order[0] < order[1], "{heard:?}");
        }
    }
    let (output, heard) = asked(false, "", json!({"pull": "never"}));
    assert_eq!(records(&output)[0]["error_kind"], "not_found", "{output:?}");
    assert!(!heard.iter().any(|heard| heard.starts_with(fetch)), "{heard:?}");
}

#[test]
fn an_image_that_is_not_what_its_digest_stands_for_is_refused() {
    let digest = format!("b@sha256:{}", "1".repeat(64));
    let (output, heard) = asked(false, "", json!({"image": digest}));
    let record = records(&output).remove(0);
    assert_eq!(record["error_kind"], "refused", "{output:?}");
    assert!(record["error"].as_str().unwrap().contains("digest"), "{record}");
    let made = heard.iter().filter(|heard| heard.starts_with("POST /containers/create?")).count();
    assert_eq!(made, 1, "{heard:?}");
}

#[test]
fn a_platform_is_asked_for_where_an_image_is_chosen() {
    let (output, heard) = asked(false, "", json!({"platform": "linux/arm64"}));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for call in ["POST /images/create?", "POST /containers/create?"] {
        let call = heard.iter().find(|heard| heard.starts_with(call)).unwrap();
        assert!(call.contains("platform=linux%2Farm64"), "{call}");
    }
}

#[test]
fn what_an_engine_would_leave_out_fails_the_record() {
    let pids = "Your kernel does not support PIDs limit capabilities. PIDs limit discarded.";
    let swap = "Your kernel does not support swap limit capabilities. Memory limited without swap.";
    for (warning, fields, fails) in [
        (pids, json!({"pids_limit": 7}), true),
        (swap, json!({"memory": 67108864, "memory_swap": 67108864}), true),
        (swap, json!({"memory": 67108864}), false),
        (swap, json!({"memory": 67108864, "memory_swap": -1}), false),
        ("IPv4 forwarding is disabled. Networking will not work.", json!({"env": []}), false),
    ] {
        let (output, heard) = asked(true, warning, fields);
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{output:?}");
        let unmade = heard.iter().any(|heard| heard.starts_with("DELETE /containers/a1"));
        assert_eq!(unmade, fails, "{heard:?}");
        let record = records(&output).remove(0);
        let told = record["error"].as_str().unwrap_or_default();
        assert_eq!(told.contains(warning), fails, "{record}");
    }
}
