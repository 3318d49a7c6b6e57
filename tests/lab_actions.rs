//! What container-run does to containers that are there, on a real Docker engine.

mod lab;

use std::process::Command;

use lab::{Docker, Done, bin, run};
use serde_json::{Value, json};

const IMAGE: &str = "leasepipe/example";

fn container_run(docker: &Docker, args: &[&str], records: &[Value]) -> Done {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    let mut command = Command::new(bin!("container-run"));
    run(command.args(["--owner", docker.owner()]).args(args), input)
}

/// A document of the test's own: it ends at once when it is asked to.
fn document(docker: &Docker, name: &str) -> Value {
    json!({"id": format!("{}-{name}", docker.owner()), "image": IMAGE, "network_mode": "none", "stop_signal": "SIGTERM",
           "cmd": ["sh", "-c", "trap 'exit 7' TERM; touch /dev/shm/ready; while :; do sleep 0.05; done"]})
}

fn change(action: &str, container: &Value) -> Value {
    json!({"kind": "change", "action": action, "container": container})
}

/// The one record that came out, which must be done.
#[track_caller]
fn done(outcome: Done) -> Value {
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let record = outcome.records().remove(0);
    assert_eq!(record["status"], "done");
    record
}

/// The one record that came out, which must have failed as `kind`; its error.
#[track_caller]
fn failed(outcome: Done, kind: &str) -> String {
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    let record = outcome.records().remove(0);
    assert_eq!((&record["status"], &record["error_kind"]), (&json!("failed"), &json!(kind)));
    record["error"].as_str().unwrap().to_owned()
}

#[test]
fn each_action_leaves_the_container_as_it_says_and_is_done_twice_at_once() {
    let Some(docker) = Docker::or_skip("each_action_leaves_the_container_as_it_says") else {
        return;
    };
    let web = done(container_run(&docker, &[], &[document(&docker, "a")]));
    let name = web["id"].as_str().unwrap();
    let state = || docker.inspect(name, "{{.State.Status}}");
    let act = |action: &str| {
        let out = done(container_run(&docker, &[], &[change(action, &web)]));
        let container = out["container"].clone();
        assert_eq!(container["docker"]["id"], web["docker"]["id"], "{action}");
        assert_eq!(container["state"], state(), "{action}");
        container
    };
    for (action, left) in [
        ("stop", "exited"),
        ("start", "running"),
        ("kill", "exited"),
        ("restart", "running"),
        ("pause", "paused"),
        ("unpause", "running"),
        ("pause", "paused"),
        ("stop", "exited"),
        ("start", "running"),
        ("pause", "paused"),
        ("kill", "exited"),
        ("restart", "running"),
        ("pause", "paused"),
        ("start", "running"),
    ] {
        let container = act(action);
        assert_eq!(container["state"], left, "{action}");
        assert_eq!(container["docker"].get("pid").is_some(), left != "exited", "{action}");
        if action != "restart" {
            let at = || docker.inspect(name, "{{.State.StartedAt}} {{.State.FinishedAt}}");
            let before = at();
            act(action);
            assert_eq!(at(), before, "{action} again");
        }
    }
    let started = || docker.inspect(name, "{{.State.StartedAt}}");
    let before = started();
    act("restart");
    assert_ne!(started(), before);

    act("kill");
    assert_eq!(docker.inspect(name, "{{.State.ExitCode}}"), "137");
    act("start");
    docker.docker(&["exec", name, "sh", "-c", "until [ -e /dev/shm/ready ]; do sleep 0.01; done"]);
    act("stop");
    assert_eq!(docker.inspect(name, "{{.State.ExitCode}}"), "7", "it was asked to end");
    for action in ["pause", "unpause"] {
        let why = failed(container_run(&docker, &[], &[change(action, &web)]), "refused");
        assert_eq!(why, format!("{action} container: it does not run"));
    }
}

#[test]
fn what_is_not_there_or_not_ours_is_left_alone() {
    let Some(docker) = Docker::or_skip("what_is_not_there_or_not_ours_is_left_alone") else {
        return;
    };
    let mut web = done(container_run(&docker, &[], &[document(&docker, "a")]));
    let name = docker.bystander("b");
    let before = docker.inspect(&name, "{{.State.Status}} {{.State.StartedAt}}");
    let none = document(&docker, "none");
    let id = web["docker"]["id"].as_str().unwrap().to_owned();
    web["docker"]["id"] = json!("0".repeat(64));
    for action in ["start", "stop", "restart", "kill", "pause", "unpause"] {
        let act = |document: &Value| container_run(&docker, &[], &[change(action, document)]);
        let why = failed(act(&none), "not_found");
        assert!(why.contains("there is none of that name"), "{why}");
        let why = failed(act(&document(&docker, "b")), "refused");
        assert!(why.contains("it is one that leasepipe did not make; cccf-docker"), "{why}");
        let why = failed(act(&web), "not_found");
        assert!(why.contains("it is gone, and another one has its name"), "{why}");
    }
    assert_eq!(docker.inspect(&name, "{{.State.Status}} {{.State.StartedAt}}"), before);
    assert_eq!(docker.inspect(&id, "{{.State.Status}}"), "running");
}
