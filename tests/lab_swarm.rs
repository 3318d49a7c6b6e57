//! Containers as services of a real swarm of three engines: made, changed, plugged in and moved, while
//! nodes and managers are lost. It is one story, because much of it is waiting.

mod lab;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use lab::swarm::ELECTION;
use lab::{Done, IMAGE, PATIENCE, Proxy, Registry, Running, Swarm, bin, eventually, keep, run};
use serde_json::{Value, json};

/// How long a swarm takes at most to give up a node and to run its tasks elsewhere.
const MOVED: Duration = Duration::from_secs(40);

#[test]
fn containers_are_services_of_a_swarm() {
    let test = "containers_are_services_of_a_swarm";
    let Some(mut swarm) = Swarm::or_skip(test) else { return };
    let Some(registry) = Registry::at(test, &swarm.hosts.machine()) else { return };
    let mut nodes = plugging(&swarm);
    let wanted = made_and_kept(&swarm);
    let address = plugged(&mut nodes[1], "moving");
    planned(&swarm);
    let arguments = ["--owner", "edge", "--follow"];
    let mut follow = Running::start(&mut swarm.docker_cccf_at(&[3, 1, 2], &arguments));
    follow.until("a checkpoint", |record| record["kind"] == "checkpoint");
    swarm.hosts.cut(3);
    let cut = Instant::now();
    let wanted = std::thread::scope(|scope| {
        scope.spawn(|| failing(&swarm));
        refused(&swarm);
        let wanted = changed(&swarm, wanted);
        operated(&swarm);
        reaped(&swarm);
        pinned(&swarm, &registry);
        wanted
    });
    moved(&swarm, &mut follow, cut);
    // It has taken its address along.
    assert_eq!(plugged(&mut nodes[0], "moving"), address);
    swarm.hosts.exec(2, &["ping", "-6", "-c1", "-W3", &address]);
    drop(nodes);
    managers_lost(&mut swarm, wanted, &mut follow);
}

/// Hosts 2 and 3 have bridges that are one link, with a DHCPv6 server on host 2, and plug in what lands
/// on them.
fn plugging(swarm: &Swarm) -> [Running; 2] {
    let link = "ip link add br1 address \"02:00:00:00:b1:0$1\" type bridge stp_state 0
        ip link add vx1 type vxlan id 7 local \"$2\" remote \"$3\" dstport 4790
        ip link set vx1 master br1 up
        ip link set br1 up";
    let hosts = &swarm.hosts;
    for (host, other) in [(2, 3), (3, 2)] {
        let (number, here, there) = (host.to_string(), hosts.address(host), hosts.address(other));
        hosts.exec(host, &["sh", "-euc", link, "sh", &number, &here, &there]);
    }
    let serve = "ip address add fd00:7::1/64 dev br1 nodad
        dnsmasq --conf-file=/dev/null --user=root --interface=br1 --except-interface=lo --port=0 \
          --bind-interfaces --enable-ra --dhcp-authoritative --pid-file=\"$1/pid\" \
          --dhcp-range=fd00:7::1000,fd00:7::1fff,64,1h --dhcp-leasefile=\"$1/leases\"";
    let directory = hosts.base().join("dnsmasq");
    std::fs::create_dir(&directory).unwrap();
    hosts.exec(2, &["sh", "-euc", serve, "sh", directory.to_str().unwrap()]);
    let pipe = "\"$1\" --follow --local --host \"$3\" | \"$2\" --address dhcp6 --state \"$4\"";
    let (watch, unionize) = (bin!("container-watch"), bin!("unionize"));
    [2, 3].map(|host| {
        let state = hosts.base().join(format!("{host}/attachments")).display().to_string();
        let words = ["sh", "-c", pipe, "sh", watch, unionize, &hosts.socket(host), &state];
        Running::start(hosts.program(host, &words).process_group(0))
    })
}

/// The address that a task of the service has got on the node of this pipe.
fn plugged(node: &mut Running, service: &str) -> String {
    let task = format!("{service}.1.");
    let is_it = |record: &Value| {
        record["id"].as_str().is_some_and(|id| id.starts_with(&task)) && record["state"] != "absent"
    };
    let record = node.until("a task that is plugged in", is_it);
    let interface = &record["interfaces"][0];
    // The overlay has eth0, and the way out of its node eth1.
    assert_eq!((&record["status"], &interface["name"]), (&json!("done"), &json!("eth2")));
    assert_eq!(interface["addresses"][0]["origin"], "dhcp6", "{record:#}");
    interface["addresses"][0]["address"].as_str().unwrap().to_owned()
}

fn made_and_kept(swarm: &Swarm) -> Vec<Value> {
    let wanted = vec![
        swarm.document(
            "moving",
            json!({"networks": ["back", {"bridge": "br1"}], "requires": {
            "constraints": [format!("node.hostname!={}", swarm.hosts.name(1))]}}),
        ),
        swarm.document(
            "web",
            json!({
                "ports": ["8080:80"], "networks": [{"network": "back", "aliases": ["www"]}],
                "env": ["A=1"], "hostname": "w", "memory": "64m", "init": true, "user": "0",
                "secrets": [{"source": "secret", "mode": "0400"}],
                "configs": [{"source": "config", "target": "/etc/site.conf"}],
                "tmpfs": {"/run/x": "size=1m"}, "volumes": ["data:/data"], "stop_timeout": 1,
                "ulimits": {"nofile": 100}, "labels": {"app": "web"},
                "requires": swarm.on(2)
            }),
        ),
    ];
    // The one that is pinned first, so that the other one finds host 3 with less on it.
    let web = swarm.done(&[], &wanted[1]);
    assert_eq!(web["docker"]["id"].as_str().map(str::len), Some(25));
    assert_eq!(steps(std::slice::from_ref(&web)), ["create"]);
    swarm.running("web");
    swarm.done(&[], &wanted[0]);
    assert_eq!(swarm.diff(&wanted), keep(&["moving", "web"]));

    let (web, moving) = (swarm.running("web"), swarm.running("moving"));
    assert_eq!(web["docker"]["node"], swarm.hosts.name(2));
    assert_eq!(web["docker"]["tasks"][0]["state"], "running");
    assert_eq!(web["env"], json!(["A=1"]));
    assert_eq!(swarm.exec(&web, &["cat", "/run/secrets/secret"]), "the secret");
    assert_eq!(swarm.exec(&web, &["cat", "/etc/site.conf"]), "the config");
    assert_eq!(swarm.exec(&web, &["sh", "-c", "hostname; ulimit -n"]), "w\n100");
    assert_eq!(moving["docker"]["node"], swarm.hosts.name(3));
    // By the overlay, from one node to another, under both of its names.
    for name in ["web", "www"] {
        let page = eventually("the page comes over the overlay", PATIENCE, || {
            let found = swarm.exec(&moving, &["sh", "-c", &format!("nslookup {name} || true")]);
            let address = found.lines().rev().find_map(|line| line.strip_prefix("Address: "))?;
            swarm.fetch(&moving, address)
        });
        assert_eq!(page, "leasepipe example");
    }
    // A second run changes nothing.
    let again = swarm.results(&["--wait", "started"], &wanted);
    assert_eq!(steps(&again), [""; 0]);
    let same = |record: &Value| record["docker"]["tasks"][0]["id"].clone();
    assert_eq!(same(&swarm.running("web")), same(&web));
    assert_eq!(swarm.diff(&wanted), keep(&["moving", "web"]));
    // Each manager knows all, and one tells it.
    let listed = run(&mut swarm.docker_cccf_at(&[2, 1, 3], &["--owner", "edge"]), "").records();
    let told: Vec<_> = listed.iter().map(|record| &record["host"]["id"]).collect();
    let first = json!(swarm.hosts.name(2));
    assert_eq!((told, &listed[2]["count"]), (vec![&first, &first, &Value::Null], &json!(2)));
    wanted
}

/// The steps of records, each of which took its time.
#[track_caller]
fn steps(records: &[Value]) -> Vec<String> {
    let all = records.iter().filter_map(|record| record["steps"].as_array()).flatten();
    all.map(|step| step["step"].as_str().unwrap().to_owned()).collect()
}

/// What is only told changes nothing, and is what is done then.
fn planned(swarm: &Swarm) {
    let engine = swarm.url();
    let name = format!("lpt-swarm-{}", std::process::id());
    let proxy = Proxy::before(&name, engine.strip_prefix("unix://").unwrap());
    let of = |fields: Value| {
        let mut document = swarm.document("planned", fields);
        document["host"]["url"] = json!(proxy.url());
        document
    };
    let change =
        |action: &str| json!({"kind": "change", "action": action, "container": of(json!({}))});
    let new =
        json!({"kind": "change", "action": "replace", "container": of(json!({"env": ["A=2"]}))});
    let actions = ["stop", "stop", "start", "keep", "restart"].map(change);
    let input =
        [&[of(json!({})), new], &actions[..], &[change("remove"), change("remove")]].concat();
    let changing = || -> Vec<String> {
        let calls = proxy.calls().into_iter();
        let changing = calls.filter(|(method, _, status)| {
            // What the manager refused changed nothing.
            !matches!(&**method, "GET" | "HEAD") && status.is_some_and(|status| status < 400)
        });
        let word = |(method, path, _): (String, String, _)| match &*method {
            "DELETE" => "remove".to_owned(),
            _ => path.rsplit('/').next().unwrap().to_owned(),
        };
        changing.map(word).collect()
    };
    let one_by_one = ["--concurrency", "1"];
    let told = swarm.container_run(&[&one_by_one[..], &["--dry-run"]].concat(), &input);
    assert!(told.iter().all(|record| record["status"] == Value::Null), "{told:?}");
    assert!(!proxy.calls().is_empty());
    assert_eq!(changing(), [""; 0]);
    let done = swarm.container_run(&one_by_one, &input);
    assert!(done.iter().all(|record| record["status"] == "done"), "{done:#?}");
    let steps_done = steps(&done);
    assert_eq!(steps(&told), steps_done);
    assert_eq!(steps_done, ["create", "update", "stop", "start", "restart", "remove"]);
    let updates = steps_done.iter().map(|step| match &**step {
        "stop" | "start" | "restart" => "update",
        other => other,
    });
    assert_eq!(updates.collect::<Vec<_>>(), changing());
    let takes_time = |record: &Value| {
        let steps = record["steps"].as_array().into_iter().flatten();
        steps.map(|step| step["ms"].as_f64()).collect::<Vec<_>>()
    };
    assert!(done.iter().flat_map(takes_time).all(|ms| ms.is_some_and(|ms| ms > 0.0)));
    assert!(told.iter().flat_map(takes_time).all(|ms| ms.is_none()));
}

fn refused(swarm: &Swarm) {
    let files = ["--secret", "source=secret,target=pass,uid=7,mode=0440"];
    let files = [&files[..], &["--config", "source=config,target=/etc/c"]].concat();
    let make = ["service", "create", "-d", "--name", "theirs", "--env", "B=2"];
    swarm.hosts.docker(1, &[&make[..], &files, &[IMAGE]].concat());
    let results = swarm.results(
        &[],
        &[
            swarm.document("graphics", json!({"gpus": "all", "links": ["web"]})),
            swarm.document("lacking", json!({"secrets": [{"source": "none"}]})),
            swarm.document("nowhere", json!({"networks": ["none-such"]})),
            swarm.document("theirs", json!({})),
        ],
    );
    let told: Vec<_> = results.iter().map(|result| result["error_kind"].as_str()).collect();
    assert_eq!(told, [Some("refused"), Some("not_found"), Some("not_found"), Some("refused")]);
    let fields = results[0]["error"].as_str().unwrap();
    assert!(fields.contains("\"gpus\"") && fields.contains("\"links\""), "{fields}");
    let theirs = swarm.read("theirs").unwrap();
    assert_eq!((&theirs["env"], theirs.get("owner")), (&json!(["B=2"]), None));
    // What somebody else's service says is read as it would be declared.
    let secret = json!([{"source": "secret", "target": "pass", "uid": 7, "mode": "0440"}]);
    assert_eq!(theirs["secrets"], secret);
    assert_eq!(theirs["configs"], json!([{"source": "config", "target": "/etc/c"}]));
    // A single engine has no secrets.
    let single = swarm.document("single", json!({"secrets": [{"source": "secret"}]}));
    let single = run(&mut Command::new(bin!("container-run")), single.to_string());
    assert!(single.stderr.contains("\"secrets\""), "{}", single.stderr);
}

fn changed(swarm: &Swarm, mut wanted: Vec<Value>) -> Vec<Value> {
    let before = swarm.running("web");
    wanted[1]["env"] = json!(["A=2"]);
    wanted[1]["configs"] = json!([{"source": "config", "target": "/etc/other.conf"}]);
    let replace = ("replace".to_owned(), "web".to_owned());
    assert_eq!(swarm.diff(&wanted)[1], replace);
    let change = json!({"kind": "change", "action": "replace", "container": wanted[1],
                        "current": before});
    let done = swarm.done(&["--wait", "started"], &change);
    assert_eq!(steps(&[done]), ["update", "converge"]);
    let after = swarm.running("web");
    assert_ne!(after["docker"]["tasks"][0]["id"], before["docker"]["tasks"][0]["id"]);
    assert_eq!((&after["env"], &after["docker"]["id"]), (&json!(["A=2"]), &before["docker"]["id"]));
    assert_eq!(swarm.exec(&after, &["sh", "-c", "echo $A; cat /etc/other.conf"]), "2\nthe config");
    assert_eq!(swarm.diff(&wanted), keep(&["moving", "web"]));
    wanted
}

fn operated(swarm: &Swarm) {
    let change = |action: &str| {
        let container = swarm.document("web", json!({}));
        json!({"kind": "change", "action": action, "container": container})
    };
    swarm.done(&[], &change("stop"));
    let stopped = swarm.read("web").unwrap();
    assert_eq!(stopped["state"], "exited");
    swarm.done(&[], &change("start"));
    swarm.running("web");
    let paused = swarm.container_run(&[], &[change("pause")]).remove(0);
    assert_eq!(paused["error_kind"], "refused", "{paused:#}");
    swarm.done(&[], &swarm.document("theirs-not", json!({"state": "absent"})));
}

/// Services go that are past their time, each once, whichever managers are asked, and no others.
fn reaped(swarm: &Swarm) {
    let past = "2026-01-01T00:00:00Z";
    let key = "ccccccccccccc";
    let of = |id: &str, fields: Value| {
        let mut document = swarm.document(id, fields);
        document["requires"] = swarm.on(2);
        document
    };
    let documents = [
        of("reap-base", json!({"expires_at": past, "ttl": "1h"})),
        of("reap-later", json!({"ttl": "1h"})),
        of("reap-leased", json!({"lease": {"key": key, "address": "fd00::5"}})),
        of("reap-theirs", json!({"expires_at": past, "owner": "you"})),
        of("reap-upon", json!({"ttl": "0s", "depends_on": ["reap-base"]})),
    ];
    let made = swarm.results(&[], &documents);
    assert!(made.iter().all(|record| record["status"] == "done"), "{made:#?}");
    // Stopping it makes no new service of it: it keeps its time.
    let stop = json!({"kind": "change", "action": "stop", "container": documents[0]});
    swarm.done(&[], &stop);

    let hosts = swarm.managers_as_hosts(&[1, 2]);
    let ends = swarm.hosts.base().join("lease-ends").display().to_string();
    let lease = json!({"kind": "lease", "event": "list", "state": "active", "family": "ipv6",
        "type": "na", "key": key, "address": "fd00::5", "expires_at": past, "source": "s"});
    let reap = |more: &[&str], input: &str| -> Vec<[String; 3]> {
        let mut command = Command::new(bin!("container-run"));
        command.args(["--engine", "swarm", "--reap", "--owner", "edge", "--hosts", &hosts]);
        let done = run(command.args(more), input);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told = |change: &Value| {
            assert_eq!(change["action"], "remove");
            let of = [&change["container"]["id"], &change["why"][0]["field"], &change["status"]];
            of.map(word)
        };
        done.records().iter().map(told).collect()
    };
    let told = |id: &str, field: &str, status: &str| [id, field, status].map(str::to_owned);
    let both = |status: &str| {
        [told("reap-upon", "expires_at", status), told("reap-base", "expires_at", status)]
    };
    assert_eq!(reap(&["--dry-run"], ""), both(""));
    assert!(documents.iter().all(|document| swarm.read(id(document)).is_some()));
    assert_eq!(reap(&[], ""), both("done"));
    let by_lease = ["--lease-ends", ends.as_str()];
    let leased = told("reap-leased", "lease.expires_at", "done");
    assert_eq!(reap(&by_lease, &lease.to_string()), [leased]);
    assert_eq!(reap(&by_lease, ""), [[""; 3]; 0]);

    let is_left = |document: &&Value| swarm.read(id(document)).is_some();
    let left: Vec<&Value> = documents.iter().filter(is_left).collect();
    assert_eq!(left, [&documents[1], &documents[3]]);
    for document in left {
        swarm.done(&[], &json!({"kind": "change", "action": "remove", "container": document}));
    }
}

/// The id of a document.
fn id(document: &Value) -> &str {
    document["id"].as_str().unwrap()
}

/// An image of a registry that asks for a login comes to the node with it, and a tag that was pinned
/// is what is wanted until another tag is.
fn pinned(swarm: &Swarm, registry: &Registry) {
    let docker = |arguments: &[&str]| swarm.hosts.docker(1, arguments);
    let (first, digest) = registry.push_by("app:1", docker);
    let (second, _) = registry.push_by("app:2", docker);
    let config = registry.docker_config().display().to_string();
    let app = |image: &str| {
        swarm.document("app", json!({"image": image, "restart": "no", "requires": swarm.on(2)}))
    };
    let run_it = |record: &Value| {
        let arguments = ["--docker-config", &config, "--wait", "started", "--timeout", "15s"];
        swarm.container_run(&arguments, std::slice::from_ref(record)).remove(0)
    };
    let pin = |record: &Value| -> Value {
        let mut ship = Command::new(bin!("image-ship"));
        let done: Done = run(ship.args(["--pin", "--docker-config", &config]), record.to_string());
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done.records().remove(0)
    };
    registry.configure("{}");
    let closed = run_it(&app(&first));
    assert_eq!(closed["error_kind"], "refused", "{closed:#}");
    assert!(closed["error"].as_str().unwrap().contains("No such image"), "{closed:#}");
    registry.log_in();
    let wanted = pin(&app(&first));
    assert_eq!(wanted["image"], format!("{first}@{digest}"));
    let done = run_it(&wanted);
    assert_eq!(
        (&done["status"], steps(std::slice::from_ref(&done))),
        (&json!("done"), vec!["update".into(), "converge".into()]),
        "{done:#}"
    );
    let there = swarm.running("app");
    let container = there["docker"]["tasks"][0]["container"].as_str().unwrap();
    let image = swarm.hosts.look(2, container, "{{.Config.Image}}").unwrap();
    assert!(image.ends_with(&digest), "{image}");
    // Who wants the tag has it, and another tag is another one.
    assert_eq!(swarm.diff(&[app(&first)]), keep(&["app"]));
    assert_eq!(steps(&[run_it(&app(&first))]), [""; 0]);
    assert_eq!(swarm.diff(&[app(&second)]), [("replace".to_owned(), "app".to_owned())]);
    let done = run_it(&pin(&app(&second)));
    assert_eq!(done["status"], "done", "{done:#}");
    assert_eq!(swarm.diff(&[app(&second)]), keep(&["app"]));
}

/// What does not come to run fails, and what it was to take the place of comes back.
fn failing(swarm: &Swarm) {
    let on = swarm.on(2);
    let none = format!("{}:9/none:1", swarm.hosts.machine());
    let check = json!({"test": ["CMD", "true"], "interval_ms": 500});
    let nowhere = json!({"constraints": ["node.hostname=nowhere"]});
    let healthy = json!({"requires": on, "healthcheck": check});
    let results = swarm.results(
        &["--wait", "healthy", "--timeout", "6s"],
        &[
            swarm.document("absent", json!({"image": none, "restart": "no", "requires": on})),
            swarm.document("brisk", json!({"requires": on})),
            swarm.document("calm", healthy.clone()),
            swarm.document("lost", json!({"requires": nowhere})),
        ],
    );
    let kinds: Vec<_> = results.iter().map(|result| result["error_kind"].as_str()).collect();
    assert_eq!(kinds, [Some("refused"), None, None, Some("timed_out")], "{results:#?}");
    assert!(results[0]["error"].as_str().unwrap().contains("No such image"), "{results:#?}");
    assert!(results[3]["error"].as_str().unwrap().contains("no suitable node"), "{results:#?}");
    for result in &results {
        assert_eq!(steps(std::slice::from_ref(result)), ["create", "converge"], "{result:#}");
    }
    assert_eq!(
        (&results[1]["state"], &results[2]["state"]),
        (&json!("running"), &json!("running"))
    );

    let brisk = swarm.document("brisk", json!({"cmd": ["sh", "-c", "exit 3"], "requires": on}));
    let mut calm = swarm.document("calm", healthy);
    calm["image"] = json!(none);
    let results =
        swarm.results(&["--wait", "started", "--timeout", "40s"], &[brisk.clone(), calm.clone()]);
    for (result, why) in results.iter().zip(["exit (3)", "No such image"]) {
        assert_eq!(result["error_kind"], "refused", "{result:#}");
        let error = result["error"].as_str().unwrap();
        assert!(error.contains(why) && error.contains("rollback"), "{error}");
        assert_eq!(steps(std::slice::from_ref(result)), ["update", "converge"]);
    }
    let (old, other) = (swarm.running("brisk"), swarm.running("calm"));
    assert_eq!((&old["cmd"], &other["image"]), (&Value::Null, &json!(IMAGE)));
    let replace = |id: &str| ("replace".to_owned(), id.to_owned());
    assert_eq!(swarm.diff(&[brisk, calm]), [replace("brisk"), replace("calm")]);
}

/// Waits until a service that was on a host that is cut off runs on another one.
fn moved(swarm: &Swarm, follow: &mut Running, cut: Instant) {
    loop {
        let line = follow.line(MOVED.saturating_sub(cut.elapsed()));
        let record: Value = serde_json::from_str(&line.expect("it is moved")).unwrap();
        if record["id"] == "moving" && record["docker"]["node"] == swarm.hosts.name(2) {
            assert_eq!(record["state"], "running");
            return;
        }
    }
}

/// The engine of the leader dies while another manager is cut off. When that one is back, the two that
/// are left choose another leader and go on.
fn managers_lost(swarm: &mut Swarm, mut wanted: Vec<Value>, follow: &mut Running) {
    let leads = |(_, words): &(usize, String)| words.ends_with("Leader");
    let leader = eventually("a leader", PATIENCE, || swarm.managers().into_iter().find(leads)).0;
    swarm.hosts.crash(leader);
    swarm.turn_to(3 - leader);
    let late = swarm.document("late", json!({"requires": swarm.on(swarm.manager())}));
    without_leader(swarm, &late);
    swarm.hosts.heal(3);
    taken(swarm, &late);
    wanted.insert(0, late);
    assert_eq!(swarm.diff(&wanted), keep(&["late", "moving", "web"]));
    // What is there was there all the time for who follows.
    follow.until("the new one", |record| {
        assert!(record["state"] != "absent" || !is_wanted(&wanted, record), "{record:#}");
        record["id"] == "late" && record["host"]["id"] != swarm.hosts.name(leader)
    });
}

fn is_wanted(wanted: &[Value], record: &Value) -> bool {
    wanted.iter().any(|document| document["id"] == record["id"])
}

/// A record that comes while there is no leader fails, and tells that.
#[track_caller]
fn without_leader(swarm: &Swarm, record: &Value) {
    let failed = swarm.container_run(&[], std::slice::from_ref(record)).remove(0);
    assert_eq!(failed["error_kind"], "unavailable", "{failed:#}");
    assert!(failed["error"].as_str().unwrap().contains("no leader"), "{failed:#}");
}

/// Asks again until a record is done.
#[track_caller]
fn taken(swarm: &Swarm, record: &Value) {
    eventually("the swarm has a leader again", ELECTION, || {
        let again = swarm.results(&[], std::slice::from_ref(record)).remove(0);
        (again["status"] == "done").then_some(())
    });
}
