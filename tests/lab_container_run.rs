//! container-run on a real Docker engine.

mod lab;

use std::process::Command;
use std::time::Duration;

use lab::{Docker, Done, Running, bin, done, failed, run};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const IMAGE: &str = "leasepipe/example";

fn container_run(docker: &Docker, records: &[Value]) -> Done {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    run(&mut command(docker.owner()), input)
}

fn command(owner: &str) -> Command {
    let mut command = Command::new(bin!("container-run"));
    command.args(["--owner", owner]);
    command
}

/// What docker-cccf says of this test's containers, without its checkpoint.
fn listed(docker: &Docker) -> Vec<Value> {
    let done = run(Command::new(bin!("docker-cccf")).args(["--owner", docker.owner()]), "");
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let mut records = done.records();
    assert_eq!(records.pop().unwrap()["kind"], "checkpoint");
    records
}

/// What docker-cccf tells of what Docker knows.
fn listing(done: &Value) -> Value {
    let mut docker = done["docker"].clone();
    assert!(docker.as_object_mut().unwrap().remove("image_digest").is_some());
    docker
}

/// A document without what is only known once it runs.
fn declared(record: &Value) -> Value {
    let mut document = record.clone();
    for found in ["host", "state", "docker", "owner", "steps", "status"] {
        document.as_object_mut().unwrap().remove(found);
    }
    document
}

fn document(docker: &Docker, name: &str) -> Value {
    json!({"id": format!("{}-{name}", docker.owner()), "image": IMAGE, "network_mode": "none"})
}

fn change(action: &str, container: &Value, current: Option<&Value>) -> Value {
    let mut change = json!({"kind": "change", "action": action, "container": container});
    if let Some(current) = current {
        change["current"] = current.clone();
    }
    change
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

#[test]
fn what_is_declared_runs_and_is_read_back_the_same() {
    let Some(docker) = Docker::or_skip("what_is_declared_runs_and_is_read_back_the_same") else {
        return;
    };
    let wanted = json!({
        "id": format!("{}-all", docker.owner()), "image": IMAGE,
        "cmd": "sleep '1000'", "entrypoint": ["busybox"], "env": ["B=2", "A=1"],
        "ports": ["127.0.0.1:0:80"], "expose": ["99/udp"], "volumes": ["/data", "/tmp:/host:ro"],
        "user": "0:0", "workdir": "/tmp", "hostname": "web", "labels": {"x": "y"},
        "restart": "on-failure:3", "dns": ["9.9.9.9"], "sysctls": {"net.ipv4.ip_forward": "1"},
        "cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"], "read_only": true,
        "tmpfs": {"/run": "size=1m"}, "memory": 67108864, "cpus": 0.5, "init": true,
        "stop_timeout": 1, "lease": {"key": "om2pqvn3u6qa2", "address": "fd00::1", "iaid": 7},
        "key": "om2pqvn3u6qa2", "networks": [{"bridge": "br1"}], "x-note": {"z": [1.50, null], "a": "\u{e9}"}
    });
    let out = done(container_run(&docker, std::slice::from_ref(&wanted)));
    assert_eq!(declared(&out), wanted);
    assert_eq!(out["state"], "running");
    let name = wanted["id"].as_str().unwrap();
    let pid = docker.inspect(name, "{{.State.Pid}}");
    assert_eq!(out["docker"]["pid"].to_string(), pid);
    assert_eq!(out["docker"]["netns"], docker.inspect(name, "{{.NetworkSettings.SandboxKey}}"));
    assert_eq!(docker.inspect(name, "{{index .Config.Labels \"leasepipe.key\"}}"), "om2pqvn3u6qa2");
    let listed = listed(&docker);
    assert_eq!(listed.len(), 1);
    assert_eq!(declared(&listed[0]), wanted);
    assert_eq!(listed[0]["docker"], listing(&out));
    assert_eq!(listed[0]["owner"], docker.owner());
    let inside = docker.docker(&["exec", name, "sh", "-c", "echo $A$B $(pwd) $(hostname)"]);
    assert_eq!(inside, "12 /tmp web");
}

#[test]
fn a_container_for_a_lease_has_ipv6_and_no_network_of_docker_s() {
    let Some(docker) = Docker::or_skip("a_container_for_a_lease_has_ipv6") else { return };
    let lease = json!({"key": "om2pqvn3u6qa2", "address": "fd00::1"});
    let id = format!("{}-a", docker.owner());
    done(container_run(&docker, &[json!({"id": id, "image": IMAGE, "lease": lease})]));
    assert_eq!(docker.inspect(&id, "{{.HostConfig.NetworkMode}}"), "none");
    let setting = |name: &str| {
        docker.docker(&["exec", &id, "cat", &format!("/proc/sys/net/ipv6/conf/{name}")])
    };
    assert_eq!(setting("default/disable_ipv6"), "0");
    assert_eq!(setting("all/disable_ipv6"), "0");
    if std::path::Path::new("/proc/sys/net/ipv6/conf/all/optimistic_dad").exists() {
        assert_eq!(setting("default/optimistic_dad"), "1");
    }
}

#[test]
fn doing_it_twice_changes_nothing_more() {
    let Some(docker) = Docker::or_skip("doing_it_twice_changes_nothing_more") else { return };
    let wanted = with(document(&docker, "a"), "env", json!(["A=1"]));
    let first = done(container_run(&docker, std::slice::from_ref(&wanted)));
    let again = done(container_run(&docker, &[change("add", &wanted, None)]));
    assert_eq!(again["container"]["docker"], first["docker"]);
    let kept = done(container_run(&docker, &[change("keep", &wanted, None)]));
    assert_eq!(kept["container"]["docker"], first["docker"]);

    let changed = with(document(&docker, "a"), "env", json!(["A=2"]));
    let replace = change("replace", &changed, Some(&first));
    let new = done(container_run(&docker, std::slice::from_ref(&replace)));
    assert_ne!(new["container"]["docker"]["id"], first["docker"]["id"]);
    let again = done(container_run(&docker, &[replace]));
    assert_eq!(again["container"]["docker"], new["container"]["docker"]);

    // A removal of the old one, come late, leaves the new one alone.
    done(container_run(&docker, &[change("remove", &first, None)]));
    assert_eq!(docker.names().len(), 1);
    let remove = change("remove", &new["container"], None);
    let gone = done(container_run(&docker, std::slice::from_ref(&remove)));
    assert_eq!(gone["container"]["state"], "absent");
    assert_eq!(docker.names(), Vec::<String>::new());
    done(container_run(&docker, &[remove]));
}

#[test]
fn what_is_kept_is_made_to_run() {
    let Some(docker) = Docker::or_skip("what_is_kept_is_made_to_run") else { return };
    let wanted = document(&docker, "a");
    let name = wanted["id"].as_str().unwrap();
    let keep = [change("keep", &wanted, None)];
    let made = done(container_run(&docker, &keep));
    docker.docker(&["kill", name]);
    let started = done(container_run(&docker, &keep));
    assert_eq!(started["container"]["docker"]["id"], made["container"]["docker"]["id"]);
    assert_eq!(started["container"]["state"], "running");
    docker.docker(&["pause", name]);
    assert_eq!(done(container_run(&docker, &keep))["container"]["state"], "running");
    docker.docker(&["rm", "-f", name]);
    assert_eq!(done(container_run(&docker, &keep))["container"]["state"], "running");
}

#[test]
fn containers_of_others_are_untouched() {
    let Some(docker) = Docker::or_skip("containers_of_others_are_untouched") else { return };
    let name = docker.bystander("a");
    let before = docker.inspect(&name, "{{.Id}} {{.State.StartedAt}}");
    let wanted = document(&docker, "a");
    assert_eq!(wanted["id"], name);
    for action in ["add", "keep", "replace", "remove"] {
        let change = change(action, &wanted, Some(&wanted));
        let why = failed(container_run(&docker, &[change]), "refused");
        assert!(why.contains("leasepipe did not make"), "{why}");
    }
    assert_eq!(docker.inspect(&name, "{{.Id}} {{.State.StartedAt}}"), before);

    let theirs = document(&docker, "b");
    done(container_run(&docker, std::slice::from_ref(&theirs)));
    for action in ["add", "keep", "replace", "remove"] {
        let change = change(action, &theirs, Some(&theirs));
        let other = run(&mut command("lpt-other"), change.to_string());
        let why = failed(other, "refused");
        assert!(why.contains(docker.owner()), "{why}");
    }
    assert_eq!(docker.names(), [theirs["id"].as_str().unwrap()]);
}

#[test]
fn labels_inherited_from_an_image_make_nothing_ours() {
    let Some(docker) = Docker::or_skip("labels_inherited_from_an_image") else { return };
    let ours = document(&docker, "a");
    done(container_run(&docker, std::slice::from_ref(&ours)));
    let image = format!("{}:copy", docker.owner());
    docker.docker(&["commit", ours["id"].as_str().unwrap(), &image]);
    let copy = format!("{}-copy", docker.owner());
    docker.docker(&["run", "-d", "--network=none", "--name", &copy, &image]);
    let remove = change("remove", &json!({"id": copy, "image": image}), None);
    failed(container_run(&docker, &[remove]), "refused");
    assert_eq!(listed(&docker).len(), 1);
    docker.docker(&["rm", "-f", &copy]);
    docker.docker(&["rmi", &image]);
}

#[test]
fn a_run_that_was_killed_is_finished_by_the_next() {
    let Some(docker) = Docker::or_skip("a_run_that_was_killed_is_finished_by_the_next") else {
        return;
    };
    let names = ["a", "b", "c"];
    let mut random = std::process::id().wrapping_mul(2_654_435_761);
    let mut upto = |most: u64| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u64::from(random >> 8) % most
    };
    for round in 0..6 {
        let wanted: Vec<Value> = names
            .iter()
            .map(|name| with(document(&docker, name), "env", json!([format!("ROUND={round}")])))
            .collect();
        let current = listed(&docker);
        let changes: Vec<Value> = wanted
            .iter()
            .map(|wanted| match current.iter().find(|c| c["id"] == wanted["id"]) {
                Some(current) => change("replace", wanted, Some(current)),
                None => change("add", wanted, None),
            })
            .collect();
        let mut victim = Running::start(&mut command(docker.owner()));
        changes.iter().for_each(|change| victim.send(change));
        std::thread::sleep(Duration::from_millis(upto(700)));
        victim.signal(Signal::SIGKILL);
        drop(victim);
        let outcome = container_run(&docker, &changes);
        assert_eq!(outcome.status, Some(0), "round {round}: {}", outcome.stderr);
        let there = listed(&docker);
        assert_eq!(there.len(), names.len(), "round {round}");
        for container in &there {
            assert!(wanted.contains(&declared(container)), "round {round}: {container}");
            assert_eq!(container["state"], "running", "round {round}");
        }
    }
    let removes: Vec<Value> =
        listed(&docker).iter().map(|there| change("remove", there, None)).collect();
    let mut victim = Running::start(&mut command(docker.owner()));
    removes.iter().for_each(|change| victim.send(change));
    std::thread::sleep(Duration::from_millis(upto(200)));
    victim.signal(Signal::SIGKILL);
    drop(victim);
    assert_eq!(container_run(&docker, &removes).status, Some(0));
    assert_eq!(docker.names(), Vec::<String>::new());
}

#[test]
fn two_runs_at_once_make_one_container() {
    let Some(docker) = Docker::or_skip("two_runs_at_once_make_one_container") else { return };
    for round in 0..3 {
        let wanted = with(document(&docker, "a"), "env", json!([format!("ROUND={round}")]));
        let start = || {
            let mut run = Running::start(&mut command(docker.owner()));
            run.send(&wanted);
            run
        };
        let (one, other) = (start(), start());
        let (one, other) = (done(one.finish()), done(other.finish()));
        assert_eq!(docker.names().len(), 1);
        assert_eq!(declared(&one), wanted);
        assert_eq!(declared(&other), wanted);
    }
}

#[test]
fn an_image_that_is_not_to_be_had_fails_its_record_alone() {
    let Some(docker) = Docker::or_skip("an_image_that_is_not_to_be_had") else { return };
    let missing = with(document(&docker, "a"), "image", json!("127.0.0.1:1/none:1"));
    let outcome = container_run(&docker, &[missing, document(&docker, "b")]);
    assert_eq!(outcome.status, Some(1));
    let records = outcome.records();
    let record = |name: &str| {
        let id = format!("{}-{name}", docker.owner());
        records.iter().find(|record| record["id"] == *id).unwrap()
    };
    assert_eq!(record("b")["status"], "done");
    assert_eq!(record("a")["status"], "failed");
    assert_eq!(record("a")["error_kind"], "unavailable");
    assert!(record("a")["error"].as_str().unwrap().contains("\"127.0.0.1:1/none:1\""));
    // A replacement whose image is missing leaves the old one running.
    let wanted = with(document(&docker, "b"), "image", json!("127.0.0.1:1/none:1"));
    let replace = change("replace", &wanted, Some(record("b")));
    failed(container_run(&docker, &[replace]), "unavailable");
    assert_eq!(listed(&docker)[0]["docker"], listing(record("b")));
}

#[test]
fn a_container_that_cannot_start_is_unmade() {
    let Some(docker) = Docker::or_skip("a_container_that_cannot_start_is_unmade") else { return };
    let wanted = with(document(&docker, "a"), "cmd", json!(["no-such-program"]));
    let why = failed(container_run(&docker, &[wanted]), "bad_input");
    assert!(why.contains("no-such-program"), "{why}");
    assert_eq!(docker.names(), Vec::<String>::new());
    let ends = with(document(&docker, "a"), "cmd", json!(["sh", "-c", "exit 7"]));
    let outcome = container_run(&docker, &[ends]);
    if outcome.status == Some(1) {
        assert!(outcome.stderr.contains("exit status 7"), "{}", outcome.stderr);
    }
}

#[test]
fn hostile_text_arrives_as_it_was() {
    let Some(docker) = Docker::or_skip("hostile_text_arrives_as_it_was") else { return };
    let nasty = "$(touch /tmp/x); `id` '\"\\\n\t\r\u{1b}[2J %s ${A} \u{202e}é\u{1f600}{{.Id}}";
    let wanted = with(
        with(document(&docker, "a"), "env", json!([format!("N={nasty}")])),
        "labels",
        json!({nasty: nasty, "long": "x".repeat(65536)}),
    );
    done(container_run(&docker, std::slice::from_ref(&wanted)));
    let name = wanted["id"].as_str().unwrap();
    assert_eq!(declared(&listed(&docker)[0]), wanted);
    let inspected: Value = serde_json::from_str(&docker.inspect(name, "{{json .Config}}")).unwrap();
    assert!(inspected["Env"].as_array().unwrap().contains(&json!(format!("N={nasty}"))));
    assert_eq!(inspected["Labels"][nasty], nasty);
    let inside = docker.docker(&["exec", name, "sh", "-c", "printf %s \"$N\""]);
    assert_eq!(inside, nasty.trim());
    let claim = with(document(&docker, "b"), "labels", json!({"leasepipe.owner": "me"}));
    failed(container_run(&docker, &[claim]), "refused");
}

#[test]
fn who_declares_a_stop_timeout_is_asked_politely() {
    let Some(docker) = Docker::or_skip("who_declares_a_stop_timeout_is_asked_politely") else {
        return;
    };
    // The example image's own stop signal is SIGKILL; its files alone have none.
    let image = format!("{}:term", docker.owner());
    let base = format!("{}-base", docker.owner());
    let label = format!("bystander-of={}", docker.owner());
    let dir = std::env::temp_dir().join(docker.owner());
    std::fs::create_dir(&dir).unwrap();
    let files = dir.join("files.tar");
    docker.docker(&["create", "--name", &base, "--label", &label, IMAGE]);
    docker.docker(&["export", "-o", files.to_str().unwrap(), &base]);
    docker.docker(&["import", files.to_str().unwrap(), &image]);
    let script = "trap 'echo bye >/out/said; exit' TERM; while :; do sleep 0.05; done";
    let mut wanted = document(&docker, "a");
    wanted["image"] = json!(image);
    wanted["cmd"] = json!(["sh", "-c", script]);
    wanted["volumes"] = json!([format!("{}:/out", dir.display()), "/anonymous"]);
    wanted["stop_timeout"] = json!(10);
    let made = done(container_run(&docker, &[wanted]));
    let name = made["id"].as_str().unwrap();
    let volume = "{{range .Mounts}}{{if eq .Destination \"/anonymous\"}}{{.Name}}{{end}}{{end}}";
    let volume = docker.inspect(name, volume);
    assert_eq!(volume.len(), 64);
    std::thread::sleep(Duration::from_millis(300));
    done(container_run(&docker, &[change("remove", &made, None)]));
    let said = std::fs::read_to_string(dir.join("said"));
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(said.unwrap(), "bye\n");
    let volumes = docker.docker(&["volume", "ls", "-q"]);
    assert!(!volumes.contains(&volume), "the anonymous volume is gone");
    docker.docker(&["rmi", &image]);
}

/// The networks of Docker's that a container is in, sorted.
fn networks(docker: &Docker, name: &str) -> Vec<String> {
    let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    let mut names: Vec<String> =
        docker.inspect(name, format).split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}

/// A document in a network of the test's own and in one more.
fn in_two(docker: &Docker, name: &str) -> (Value, [String; 2]) {
    let names = [docker.network("back", &[]), docker.network("front", &[])];
    let id = format!("{}-{name}", docker.owner());
    let further = json!({"network": names[0], "aliases": ["inside"]});
    let first = json!({"network": names[1], "aliases": ["outside"]});
    (json!({"id": id, "image": IMAGE, "networks": [first, further]}), names)
}

#[test]
fn a_container_is_known_by_its_aliases_in_each_of_its_networks() {
    let Some(docker) = Docker::or_skip("a_container_is_known_by_its_aliases") else { return };
    let (wanted, names) = in_two(&docker, "a");
    let made = done(container_run(&docker, std::slice::from_ref(&wanted)));
    let name = made["id"].as_str().unwrap();
    assert_eq!(networks(&docker, name), names);
    assert_eq!(docker.inspect(name, "{{.HostConfig.NetworkMode}}"), names[1]);
    for (network, alias) in names.iter().zip(["inside", "outside"]) {
        let peer = with(document(&docker, alias), "network_mode", json!(network));
        let peer = done(container_run(&docker, &[peer]));
        docker.docker(&["exec", peer["id"].as_str().unwrap(), "ping", "-c1", "-W2", alias]);
    }
    assert_eq!(declared(&listed(&docker)[2]), wanted);
}

#[test]
fn a_container_that_lacks_a_network_gets_it() {
    let Some(docker) = Docker::or_skip("a_container_that_lacks_a_network_gets_it") else { return };
    let (wanted, names) = in_two(&docker, "a");
    let name = wanted["id"].as_str().unwrap();
    let (owner, declared) =
        (format!("leasepipe.owner={}", docker.owner()), format!("leasepipe.declared={wanted}"));
    for action in ["add", "keep"] {
        // As a run leaves it that is killed between making it and joining the second network.
        let labels = ["create", "--label", &owner, "--label", &declared];
        let made = [&labels[..], &["--network", &names[1], "--name", name, IMAGE]].concat();
        let id = docker.docker(&made);
        let change = change(action, &wanted, None);
        let finished = done(container_run(&docker, std::slice::from_ref(&change)));
        assert_eq!(finished["container"]["docker"]["id"], *id, "{action}");
        assert_eq!(finished["container"]["state"], "running");
        assert_eq!(networks(&docker, name), names);
        for network in &names {
            docker.docker(&["network", "disconnect", network, name]);
            done(container_run(&docker, std::slice::from_ref(&change)));
            assert_eq!(networks(&docker, name), names, "{action}");
        }
        let alias = docker.docker(&["exec", name, "ping", "-c1", "-W2", "inside"]);
        assert!(alias.contains("inside"), "{alias}");
        docker.docker(&["rm", "-f", name]);
    }
}

#[test]
fn a_network_that_was_made_anew_takes_its_container_with_it() {
    let Some(docker) = Docker::or_skip("a_network_that_was_made_anew") else { return };
    let (wanted, names) = in_two(&docker, "a");
    let made = done(container_run(&docker, std::slice::from_ref(&wanted)));
    let name = made["id"].as_str().unwrap();
    docker.docker(&["kill", name]);
    docker.docker(&["network", "rm", &names[0]]);
    let keep = change("keep", &wanted, None);
    let why = failed(container_run(&docker, std::slice::from_ref(&keep)), "not_found");
    assert!(why.contains(&format!("join network {}: there is no such network", names[0])), "{why}");
    assert_eq!(docker.names(), [name], "it is there for its log to be read");
    docker.network("back", &[]);
    let again = done(container_run(&docker, &[keep]));
    assert_ne!(again["container"]["docker"]["id"], made["docker"]["id"]);
    assert_eq!(networks(&docker, name), names);
}

#[test]
fn a_network_that_is_not_there_fails_the_record() {
    let Some(docker) = Docker::or_skip("a_network_that_is_not_there") else { return };
    let (wanted, names) = in_two(&docker, "a");
    let missing = format!("{}-none", docker.owner());
    for field in [json!([missing]), json!([names[0], missing])] {
        let lacks = with(wanted.clone(), "networks", field);
        let why = failed(container_run(&docker, &[lacks]), "not_found");
        assert!(why.contains(&missing), "{why}");
        assert_eq!(docker.names(), Vec::<String>::new());
    }
    let there = done(container_run(&docker, std::slice::from_ref(&wanted)));
    let lacks = with(wanted.clone(), "networks", json!([missing]));
    let claims = with(wanted, "labels", json!({"leasepipe.owner": "me"}));
    for (wanted, kind) in [(lacks, "not_found"), (claims, "refused")] {
        let replace = change("replace", &wanted, Some(&there));
        failed(container_run(&docker, &[replace]), kind);
    }
    assert_eq!(listed(&docker)[0]["docker"], listing(&there), "the old one still runs");
    // Networks that a run did not make stay.
    done(container_run(&docker, &[change("remove", &there, None)]));
    assert!(docker.docker(&["network", "ls"]).contains(&names[0]));
}

#[test]
fn what_the_engine_cannot_do_fails_the_record_and_leaves_nothing() {
    let Some(docker) = Docker::or_skip("what_the_engine_cannot_do_fails_the_record") else {
        return;
    };
    let base = document(&docker, "a");
    let image = format!("127.0.0.1:1/{}:1", docker.owner());
    docker.docker(&["tag", IMAGE, &image]);
    let mut platform = with(base.clone(), "platform", json!("linux/s390x"));
    platform["image"] = json!(image);
    let never = with(platform.clone(), "pull", json!("never"));
    for (wanted, kind, word) in [
        (platform, "unavailable", "fetch image"),
        (never, "not_found", "not on the host for linux/s390x"),
        (with(base.clone(), "log_driver", json!("nosuch")), "", "nosuch"),
        (with(base.clone(), "stop_signal", json!("SIGNOSUCH")), "bad_input", "SIGNOSUCH"),
        (with(base.clone(), "ulimits", json!({"nosuch": 1})), "", "RLIMIT_NOSUCH"),
        (with(base.clone(), "devices", json!(["/dev/nosuch"])), "", "/dev/nosuch"),
        (with(base.clone(), "volumes_from", json!(["nosuch"])), "", "nosuch"),
        (with(base.clone(), "ipc", json!("container:nosuch")), "", "nosuch"),
        (with(base.clone(), "memory_swap", json!("64m")), "bad_input", "emory"),
        (with(base.clone(), "ports", json!(["0:80"])), "bad_input", "publishes none"),
    ] {
        let outcome = container_run(&docker, std::slice::from_ref(&wanted));
        let record = outcome.records().remove(0);
        assert_eq!(record["status"], "failed", "{wanted}");
        let why = record["error"].as_str().unwrap();
        assert!(why.contains(word), "{why}");
        assert!(kind.is_empty() || record["error_kind"] == kind, "{record}");
        assert_eq!(docker.names(), Vec::<String>::new(), "{wanted}");
    }
    docker.docker(&["rmi", &image]);
}
