//! container-run and a real engine, with something in between that listens and breaks connections.

mod lab;

use std::process::Command;

use lab::{Cut, Docker, Done, Proxy, bin, run};
use serde_json::{Value, json};

const IMAGE: &str = "leasepipe/example";

fn container_run(docker: &Docker, arguments: &[&str], records: &[Value]) -> Done {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    let mut command = Command::new(bin!("container-run"));
    run(command.args(["--owner", docker.owner(), "--concurrency", "1"]).args(arguments), input)
}

fn through(proxy: &Proxy, docker: &Docker, name: &str) -> Value {
    let host = json!({"id": "proxied", "url": proxy.url()});
    let id = format!("{}-{name}", docker.owner());
    json!({"id": id, "image": IMAGE, "network_mode": "none", "host": host})
}

#[test]
fn a_connection_that_breaks_leaves_one_container_and_neither_two_nor_none() {
    let test = "a_connection_that_breaks_leaves_one_container_and_neither_two_nor_none";
    let Some(docker) = Docker::or_skip(test) else { return };
    let proxy = Proxy::new(docker.owner());
    let whole = container_run(&docker, &[], &[through(&proxy, &docker, "whole")]);
    assert_eq!(whole.status, Some(0), "{}", whole.stderr);
    let calls = proxy.calls();
    let create = calls.iter().position(|(_, path, _)| path.ends_with("/containers/create"));
    assert!(create.is_some() && calls.len() > 3, "{calls:?}");
    docker.clear();
    for at in 0..calls.len() {
        for cut in [Cut::Before, Cut::Behind] {
            let wanted = through(&proxy, &docker, &format!("cut-{at}-{cut:?}"));
            let id = wanted["id"].as_str().unwrap();
            proxy.cut(Some((at, cut)));
            let broken = container_run(&docker, &[], std::slice::from_ref(&wanted));
            let record = &broken.records()[0];
            if record["status"] == "failed" {
                assert_eq!(record["error_kind"], "unavailable", "{at} {cut:?}: {record}");
            }
            assert!(docker.names().len() <= 1, "{at} {cut:?}: {:?}", docker.names());
            proxy.cut(None);
            let again = container_run(&docker, &[], std::slice::from_ref(&wanted));
            assert_eq!(again.status, Some(0), "{at} {cut:?}: {}", again.stderr);
            assert_eq!(docker.names(), [id], "{at} {cut:?}");
            assert_eq!(docker.inspect(id, "{{.State.Running}}"), "true");
            docker.clear();
        }
    }
}

#[test]
fn a_replacement_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    let test = "a_replacement_that_is_cut_off_anywhere_is_finished_by_the_next_run";
    let Some(docker) = Docker::or_skip(test) else { return };
    let proxy = Proxy::new(&format!("{}-swap", docker.owner()));
    let old = through(&proxy, &docker, "web");
    let id = old["id"].as_str().unwrap();
    let with = |field: &str, value: Value| {
        let mut document = old.clone();
        document[field] = value;
        document
    };
    let mut shared = with("env", json!(["A=1"]));
    let volume = format!("{}-volume", docker.owner());
    shared["volumes"] = json!([format!("{volume}:/data")]);
    let mut before = shared.clone();
    before["env"] = json!([]);
    // Beside each other, and one behind the other.
    for (old, new) in [(old.clone(), with("env", json!(["A=1"]))), (before, shared)] {
        let replace = json!({"kind": "change", "action": "replace", "container": new});
        let prepare = || {
            docker.clear();
            let there = container_run(&docker, &[], std::slice::from_ref(&old));
            assert_eq!(there.status, Some(0), "{}", there.stderr);
        };
        let swap = |cut| {
            proxy.cut(cut);
            container_run(&docker, &[], std::slice::from_ref(&replace))
        };
        prepare();
        assert_eq!(swap(None).status, Some(0));
        let calls = proxy.calls().into_iter().enumerate();
        let changing: Vec<usize> =
            calls.filter(|(_, (method, ..))| method != "GET").map(|(at, _)| at).collect();
        assert!(changing.len() > 4, "{changing:?}");
        for (at, cut) in changing
            .into_iter()
            .flat_map(|at| [Cut::Before, Cut::Behind, Cut::Off].map(|cut| (at, cut)))
        {
            proxy.cut(None);
            prepare();
            let broken = swap(Some((at, cut)));
            let record = &broken.records()[0];
            let told = format!("{:?} {cut:?}: {record}", proxy.calls().get(at));
            // What is said of the old one is so.
            let stays = record["error"].as_str().is_some_and(|why| why.contains("as before"));
            if record["status"] == "done" || stays {
                let runs = docker.look(id, "{{.State.Running}}");
                assert_eq!(runs.as_deref(), Some("true"), "{told}");
            }
            let again = swap(None);
            assert_eq!(again.status, Some(0), "{told}: {}", again.stderr);
            assert_eq!(docker.names(), [id], "{told}");
            let is = docker.inspect(id, "{{.State.Running}} {{index .Config.Env 0}}");
            assert_eq!(is, "true A=1", "{told}");
        }
    }
    docker.clear();
    docker.docker(&["volume", "rm", &volume]);
}

#[test]
fn the_plan_is_what_is_done_and_makes_no_call_that_changes_anything() {
    let test = "the_plan_is_what_is_done_and_makes_no_call_that_changes_anything";
    let Some(docker) = Docker::or_skip(test) else { return };
    let proxy = Proxy::new(&format!("{}-plan", docker.owner()));
    let of = |name: &str, fields: Value| {
        let mut document = through(&proxy, &docker, name);
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        document
    };
    let change = |action: &str, container: Value| json!({"kind": "change", "action": action, "container": container});
    let plain = |name: &str| of(name, json!({}));
    let first = container_run(&docker, &[], &["same", "old", "gone"].map(plain));
    assert_eq!(first.status, Some(0), "{}", first.stderr);
    let mut private = plain("private");
    private.as_object_mut().unwrap().remove("network_mode");
    private["private_network"] = json!({"name": format!("{}-net", docker.owner()), "alias": "p"});
    let mut replace = change("replace", of("old", json!({"env": ["A=1"]})));
    replace["current"] = plain("old");
    let input = [
        plain("new"),
        plain("same"),
        private.clone(),
        change("restart", plain("same")),
        replace,
        change("remove", plain("gone")),
        change("remove", private),
        change("stop", of("same", json!({"stop_timeout": 0}))),
    ];
    let changing = || -> Vec<String> {
        let calls = proxy.calls().into_iter();
        let done = calls.filter(|(method, _, status)| {
            let reads = matches!(method.as_str(), "GET" | "HEAD");
            // What the engine refused changed nothing.
            !reads && status.is_some_and(|status| status < 400)
        });
        done.map(|(method, path, _)| step(&method, &path)).collect()
    };
    proxy.cut(None);
    let planned = container_run(&docker, &["--dry-run"], &input);
    assert_eq!(planned.status, Some(0), "{}", planned.stderr);
    assert_eq!(changing(), [""; 0]);
    let reads =
        |(method, _, _): &(String, String, Option<u16>)| method == "GET" || method == "HEAD";
    assert!(proxy.calls().iter().all(reads) && !proxy.calls().is_empty());
    proxy.cut(None);
    let done = container_run(&docker, &[], &input);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let steps = |outcome: &Done| -> Vec<String> {
        let records = outcome.records();
        let steps = records.iter().flat_map(|record| record["steps"].as_array().cloned());
        steps.flatten().map(|step| step["step"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(steps(&planned), steps(&done));
    assert_eq!(steps(&planned), changing());
}

/// The step that a call is.
fn step(method: &str, path: &str) -> String {
    let last = path.rsplit('/').next().unwrap();
    match (method, path.trim_start_matches('/').split('/').next().unwrap(), last) {
        ("POST", "networks", "create") => "network".to_owned(),
        ("POST", "networks", "connect") => "join".to_owned(),
        ("DELETE", "networks", _) => "remove_network".to_owned(),
        ("DELETE", ..) => "remove".to_owned(),
        (_, _, last) => last.to_owned(),
    }
}
