//! What container-run does to containers that are there, on a real Docker engine.

mod lab;

use std::process::Command;
use std::time::Duration;

use lab::{Docker, Done, Running, bin, done, eventually, failed, run};
use nix::sys::signal::Signal;
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

/// What was done, in order.
fn steps(record: &Value) -> Vec<&str> {
    let steps = record["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().map(|step| step["step"].as_str().unwrap()).collect()
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

/// A check that is made often and fails, or not, at once.
fn check(test: &str) -> Value {
    json!({"test": test, "interval_ms": 50, "timeout_ms": 2000, "retries": 1})
}

fn replace(new: &Value, old: &Value) -> Value {
    json!({"kind": "change", "action": "replace", "container": new, "current": old})
}

fn id(record: &Value) -> &str {
    let container = record.get("container").filter(|inner| inner.is_object()).unwrap_or(record);
    container["docker"]["id"].as_str().unwrap()
}

#[test]
fn the_command_line_says_what_is_done_with_everything() {
    let Some(docker) = Docker::or_skip("the_command_line_says_what_is_done") else { return };
    let network = docker.network("net", &[]);
    let ports = json!(["127.0.0.1:0:80", "127.0.0.1:0:53/udp"]);
    let web = with(with(document(&docker, "a"), "ports", ports), "network_mode", json!(network));
    let made = done(container_run(&docker, &[], &[web]));
    assert_eq!(steps(&made), ["create", "start"]);
    assert!(made["steps"][1]["ms"].as_f64().unwrap() > 0.0);
    let image = docker.docker(&["image", "inspect", "--format", "{{.Id}}", IMAGE]);
    assert_eq!(made["docker"]["image_digest"], image);
    let name = made["id"].as_str().unwrap();
    let published = made["docker"]["ports"].as_array().unwrap();
    let told = |port: &Value| {
        let inside = format!("{}/{}", port["container"], port["protocol"].as_str().unwrap());
        let at = format!("{}:{}", port["address"].as_str().unwrap(), port["host"]);
        assert_eq!(docker.docker(&["port", name, &inside]), at);
        inside
    };
    let told: Vec<String> = published.iter().map(told).collect();
    assert_eq!(told, ["53/udp", "80/tcp"]);

    done(container_run(&docker, &[], &[document(&docker, "b")]));
    let foreign = docker.bystander("c");
    let all = run(&mut Command::new(bin!("docker-cccf")), "").stdout;
    let ours: Vec<&String> = all.iter().filter(|line| line.contains(docker.owner())).collect();
    assert_eq!(ours.len(), 3);
    let input: String = ours.iter().map(|line| format!("{line}\n")).collect();
    let stop = |state: &str, expected: &[&str]| {
        let mut command = Command::new(bin!("container-run"));
        let out = run(command.args(["--owner", docker.owner(), "--action", "stop"]), &input);
        assert_eq!(out.status, Some(1), "{}", out.stderr);
        assert!(out.stderr.contains("it is one that leasepipe did not make"), "{}", out.stderr);
        for record in out.records() {
            let is_ours = record["owner"] == docker.owner();
            assert_eq!(record["status"], if is_ours { "done" } else { "failed" });
            if is_ours {
                assert_eq!((record["state"].as_str(), &*steps(&record)), (Some(state), expected));
            }
        }
    };
    stop("exited", &["stop"]);
    stop("exited", &[]);
    assert_eq!(docker.inspect(&foreign, "{{.State.Status}}"), "running");
    let add = change("add", &made);
    let removed = done(container_run(&docker, &["--action", "remove"], &[add]));
    assert_eq!(
        (&removed["action"], &removed["container"]["state"]),
        (&json!("remove"), &json!("absent"))
    );
}

#[test]
fn a_replacement_is_there_before_the_old_one_goes_or_never_was() {
    let Some(docker) = Docker::or_skip("a_replacement_is_there_before_the_old_one_goes") else {
        return;
    };
    let web = document(&docker, "a");
    let name = web["id"].as_str().unwrap();
    let old = done(container_run(&docker, &[], std::slice::from_ref(&web)));
    let before = docker.inspect(name, "{{.Id}} {{.State.StartedAt}}");
    let attempt = |args: &[&str], field: &str, value: Value, kind: &str| {
        let new = with(web.clone(), field, value);
        let out = container_run(&docker, args, &[replace(&new, &old)]);
        let why = failed(out, kind);
        assert!(why.contains("the old one runs as before"), "{why}");
        assert_eq!(docker.inspect(name, "{{.Id}} {{.State.StartedAt}}"), before);
        assert_eq!(docker.names(), [name]);
        why
    };
    attempt(&[], "cmd", json!(["no-such-program"]), "bad_input");
    attempt(&[], "healthcheck", check("sleep 0.2; exit 1"), "refused");
    let why = attempt(&[], "healthcheck", check("echo no luck; exit 1"), "refused");
    assert!(why.contains("it is unhealthy; its last check wrote: no luck"), "{why}");
    let slow = json!({"test": "true", "interval_ms": 60_000});
    let why = attempt(&["--timeout", "200ms"], "healthcheck", slow, "timed_out");
    assert!(why.contains("it was not after 200ms"), "{why}");

    let new = with(web.clone(), "healthcheck", check("true"));
    let out = done(container_run(&docker, &[], &[replace(&new, &old)]));
    assert_eq!(steps(&out), ["create", "start", "healthy", "rename", "rename", "remove"]);
    assert_ne!(id(&out), id(&old));
    assert_eq!(docker.names(), [name]);
    let again = done(container_run(&docker, &[], &[replace(&new, &old)]));
    assert_eq!((steps(&again).len(), id(&again)), (0, id(&out)));
    // Asked for by hand, whatever it is like.
    let fresh = done(container_run(
        &docker,
        &["--action", "replace", "--wait", "started"],
        &[out["container"].clone()],
    ));
    assert_eq!(steps(&fresh), ["create", "start", "rename", "rename", "remove"]);
    assert_ne!(id(&fresh), id(&out));
    // Another wish under the same name is a replacement, too.
    let bad = with(web.clone(), "healthcheck", check("exit 1"));
    let why = failed(container_run(&docker, &[], &[bad]), "refused");
    assert!(why.contains("the old one runs as before"), "{why}");
    assert_eq!(docker.inspect(name, "{{.Id}}"), id(&fresh));
}

#[test]
fn where_both_cannot_run_the_old_one_ends_first_and_comes_back() {
    let Some(docker) = Docker::or_skip("where_both_cannot_run_the_old_one_ends_first") else {
        return;
    };
    let web = with(document(&docker, "a"), "volumes", json!(["/data"]));
    let name = web["id"].as_str().unwrap();
    let old = done(container_run(&docker, &[], std::slice::from_ref(&web)));
    docker.docker(&["exec", name, "sh", "-c", "echo kept > /data/file"]);
    let of_data = "{{range .Mounts}}{{if eq .Destination \"/data\"}}{{.Name}}{{end}}{{end}}";
    let volume = docker.inspect(name, of_data);

    let bad = with(web.clone(), "cmd", json!(["no-such-program"]));
    let why = failed(container_run(&docker, &[], &[replace(&bad, &old)]), "bad_input");
    assert!(why.contains("the old one runs as before"), "{why}");
    assert_eq!(docker.inspect(name, "{{.Id}} {{.State.Status}}"), format!("{} running", id(&old)));

    let mut last = old;
    for n in 0..2 {
        let new = with(web.clone(), "env", json!([format!("N={n}")]));
        let out = done(container_run(&docker, &[], &[replace(&new, &last)]));
        assert_eq!(steps(&out), ["create", "kill", "start", "rename", "rename", "remove"]);
        assert_eq!(docker.docker(&["exec", name, "cat", "/data/file"]), "kept");
        last = out["container"].clone();
    }
    assert_eq!(docker.names(), [name]);
    let volumes = || docker.docker(&["volume", "ls", "-q"]);
    assert!(volumes().contains(&volume));
    done(container_run(&docker, &[], &[change("remove", &last)]));
    assert!(!volumes().contains(&volume), "it goes with the last that has it");

    // One that is not wanted any more goes with the old one.
    let old = done(container_run(&docker, &[], std::slice::from_ref(&web)));
    let none = document(&docker, "a");
    let volume = docker.inspect(name, of_data);
    assert!(volumes().contains(&volume));
    let out = done(container_run(&docker, &[], &[replace(&none, &old)]));
    assert_eq!(steps(&out), ["create", "start", "rename", "rename", "remove"]);
    assert!(!volumes().contains(&volume));
}

#[test]
fn what_a_killed_run_left_half_done_is_ended_by_the_next() {
    let Some(docker) = Docker::or_skip("what_a_killed_run_left_half_done_is_ended") else { return };
    let web = document(&docker, "a");
    let name = web["id"].as_str().unwrap();
    let half = |half: &str| format!("{name}.leasepipe-{half}");
    let old = done(container_run(&docker, &[], std::slice::from_ref(&web)));
    let new = with(web.clone(), "healthcheck", json!({"test": "true", "interval_ms": 60_000}));
    let killed = || {
        let mut command = Command::new(bin!("container-run"));
        let mut running = Running::start(command.args(["--owner", docker.owner()]));
        running.send(&replace(&new, &old));
        let runs = || docker.look(&half("new"), "{{.State.Running}}").filter(|runs| runs == "true");
        eventually("the new one runs", Duration::from_secs(20), runs);
        running.signal(Signal::SIGKILL);
        running.wait();
        docker.inspect(&half("new"), "{{.Id}}")
    };
    let listed = |owner: &[&str]| {
        let records = run(Command::new(bin!("docker-cccf")).args(owner), "").records();
        let ours =
            records.into_iter().filter(|r| r["id"].as_str().is_some_and(|id| id.starts_with(name)));
        ours.map(|record| record["docker"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sweep = || {
        let checkpoint =
            json!({"kind": "checkpoint", "of": "change", "count": 0, "owner": docker.owner()});
        // A host is only looked at when a change was for it.
        let other = document(&docker, "other");
        let out = container_run(&docker, &[], &[change("remove", &other), checkpoint]);
        assert_eq!(out.status, Some(0), "{}", out.stderr);
    };

    let left = killed();
    assert_eq!(listed(&[]), [id(&old)], "nobody's");
    assert_eq!(listed(&["--owner", docker.owner()]), [id(&old)]);
    sweep();
    assert_eq!((docker.names(), docker.look(&left, "x")), (vec![name.to_owned()], None));

    // Killed while it waited, and asked for again.
    killed();
    let asked = |args: &[&str], change: Value| done(container_run(&docker, args, &[change]));
    let kept = asked(&[], change("keep", &web));
    assert_eq!((id(&kept), docker.names()), (id(&old), vec![name.to_owned()]));
    killed();
    let out = asked(&["--wait", "started"], replace(&new, &old));
    assert_ne!(id(&out), id(&old));
    assert_eq!(docker.names(), [name]);

    // Killed between the two renames: the new one was found good.
    let good = id(&out).to_owned();
    let label = format!("leasepipe.declared={web}");
    let owner = format!("leasepipe.owner={}", docker.owner());
    let aside = || {
        let labels = ["--label", &label, "--label", &owner, "--network=none"];
        docker.docker(&[&["run", "-d", "--name", &half("old")][..], &labels, &[IMAGE]].concat())
    };
    aside();
    docker.docker(&["rename", name, &half("new")]);
    assert_eq!(listed(&[]), Vec::<String>::new());
    let out = asked(&[], change("add", &new));
    assert_eq!((id(&out), docker.names()), (&*good, vec![name.to_owned()]));
    // Killed before the old one was taken away.
    aside();
    asked(&[], change("keep", &new));
    assert_eq!(docker.names(), [name]);
    // The new one has been lost: the old one gets its name back, and stays.
    asked(&[], change("remove", &out["container"]));
    let there = aside();
    sweep();
    assert_eq!((docker.names(), docker.inspect(name, "{{.Id}}")), (vec![name.to_owned()], there));
    aside();
    asked(&[], change("remove", &web));
    assert_eq!(docker.names(), Vec::<String>::new());
}

#[test]
fn replacements_at_once_are_all_done() {
    let Some(docker) = Docker::or_skip("replacements_at_once_are_all_done") else { return };
    let old = document(&docker, "a");
    done(container_run(&docker, &[], std::slice::from_ref(&old)));
    for round in 0..8 {
        let new = with(old.clone(), "env", json!([format!("ROUND={round}")]));
        let begin = |after: u64| {
            std::thread::sleep(Duration::from_millis(after));
            let mut command = Command::new(bin!("container-run"));
            let mut run = Running::start(command.args(["--owner", docker.owner()]));
            run.send(&change("replace", &new));
            run
        };
        let runs = [0, 40, 70].map(|after| begin(after + 5 * round));
        for run in runs {
            assert_eq!(done(run.finish())["container"]["env"], new["env"], "{round}");
        }
        assert_eq!(docker.names(), [old["id"].as_str().unwrap()], "{round}");
    }
}

#[test]
fn a_start_is_waited_for_until_it_is_healthy() {
    let Some(docker) = Docker::or_skip("a_start_is_waited_for_until_it_is_healthy") else { return };
    let healthy = ["--wait", "healthy"];
    let flag = "[ -e /tmp/well ] || { echo not yet; exit 1; }";
    let web = with(document(&docker, "a"), "healthcheck", check(flag));
    let name = web["id"].as_str().unwrap();
    let why = failed(container_run(&docker, &healthy, std::slice::from_ref(&web)), "refused");
    assert_eq!(
        why,
        "wait for container to be healthy: it is unhealthy; its last check wrote: not yet"
    );
    assert_eq!(docker.inspect(name, "{{.State.Status}}"), "running", "it stays, to be looked at");
    docker.docker(&["exec", name, "touch", "/tmp/well"]);
    for action in ["restart", "start"] {
        let out = container_run(&docker, &healthy, &[change(action, &web)]);
        let out = done(out);
        assert_eq!(steps(&out).last(), Some(&"healthy"), "{action}");
        assert_eq!(docker.inspect(name, "{{.State.Health.Status}}"), "healthy");
    }
    // One that is kept is waited for where it was started, and not where it ran.
    let keep = || container_run(&docker, &healthy, &[change("keep", &web)]);
    assert_eq!(steps(&done(keep())), [""; 0]);
    docker.docker(&["exec", name, "rm", "/tmp/well"]);
    docker.docker(&["kill", name]);
    failed(keep(), "refused");
    docker.docker(&["exec", name, "touch", "/tmp/well"]);
    docker.docker(&["kill", name]);
    assert_eq!(steps(&done(keep())), ["start", "healthy"]);
    // Where nothing is checked, it runs.
    let plain = document(&docker, "b");
    assert_eq!(steps(&done(container_run(&docker, &healthy, &[plain]))), ["create", "start"]);
}
