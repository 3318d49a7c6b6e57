//! Containers as services of a real swarm of three engines, two of which are lost one after the other.

mod lab;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Done, Hosts, IMAGE, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

/// How long a swarm takes at most to give up a node and to run its tasks elsewhere.
const MOVED: Duration = Duration::from_secs(40);

/// A swarm whose managers all of its nodes are. Host 1 is the one that is asked.
struct Swarm {
    hosts: Hosts,
}

impl Swarm {
    fn or_skip(test: &str) -> Option<Swarm> {
        let hosts = Hosts::or_skip(test, 3, &[])?;
        hosts.swarm(3);
        hosts.docker(1, &["network", "create", "-d", "overlay", "--attachable", "back"]);
        for what in ["secret", "config"] {
            let file = hosts.base().join(what);
            std::fs::write(&file, format!("the {what}\n")).unwrap();
            hosts.docker(1, &[what, "create", what, file.to_str().unwrap()]);
        }
        Some(Swarm { hosts })
    }

    /// A document of host 1's with these fields.
    fn document(&self, id: &str, fields: Value) -> Value {
        let mut document = json!({"id": id, "image": IMAGE, "owner": "edge"});
        document["host"] = json!({"id": "local", "url": self.hosts.socket(1)});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        document
    }

    fn container_run(&self, records: &[Value]) -> Done {
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        run(Command::new(bin!("container-run")).args(["--engine", "swarm"]), input)
    }

    /// What became of each of these, in the order of their ids.
    fn results(&self, records: &[Value]) -> Vec<Value> {
        let mut results = self.container_run(records).records();
        results.sort_by_key(|record| record["id"].to_string());
        results
    }

    #[track_caller]
    fn done(&self, record: Value) -> Value {
        let done = self.container_run(&[record]);
        let result = done.records().remove(0);
        assert_eq!(result["status"], "done", "{}", done.stderr);
        result
    }

    fn docker_cccf(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bin!("docker-cccf"));
        command.args(["--engine", "swarm", "--host", &self.hosts.socket(1)]).args(arguments);
        command
    }

    /// What there is of this id.
    fn read(&self, id: &str) -> Option<Value> {
        let listed = run(&mut self.docker_cccf(&[]), "").records();
        listed.into_iter().find(|record| record["id"] == id)
    }

    /// What there is of this id, once it runs.
    #[track_caller]
    fn running(&self, id: &str) -> Value {
        eventually(&format!("{id} runs"), PATIENCE, || {
            self.read(id).filter(|record| record["state"] == "running")
        })
    }

    /// What cccf-diff makes of what is wanted and what there is: action and id.
    fn diff(&self, wanted: &[Value]) -> Vec<(String, String)> {
        let current = self.hosts.base().join("current.json");
        let listed = run(&mut self.docker_cccf(&["--owner", "edge"]), "");
        std::fs::write(&current, listed.stdout.join("\n")).unwrap();
        let wanted: String = wanted.iter().map(|record| format!("{record}\n")).collect();
        let mut diff = Command::new(bin!("cccf-diff"));
        let done = run(diff.args(["--complete", "--current"]).arg(&current), wanted);
        let told = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let changes = done.records();
        let mut changes: Vec<_> = changes
            .iter()
            .filter(|record| record["kind"] == "change")
            .map(|change| (told(&change["action"]), told(&change["container"]["id"])))
            .collect();
        changes.sort();
        changes
    }

    /// Runs a command in the container of a service, on the node where it is.
    fn exec(&self, record: &Value, command: &[&str]) -> String {
        let container = record["docker"]["tasks"][0]["container"].as_str().unwrap();
        self.hosts.docker(self.node(record), &[&["exec", container], command].concat())
    }

    /// The number of the host that a service is on.
    fn node(&self, record: &Value) -> usize {
        let name = record["docker"]["node"].as_str().unwrap();
        (1..=3).find(|host| self.hosts.name(*host) == name).unwrap()
    }
}

fn keep(ids: &[&str]) -> Vec<(String, String)> {
    ids.iter().map(|id| ("keep".to_owned(), (*id).to_owned())).collect()
}

#[test]
fn containers_are_services_of_a_swarm() {
    let Some(swarm) = Swarm::or_skip("containers_are_services_of_a_swarm") else { return };
    let wanted = made_and_kept(&swarm);
    refused(&swarm);
    let wanted = changed(&swarm, wanted);
    operated(&swarm);
    lost(&swarm, &wanted);
}

fn made_and_kept(swarm: &Swarm) -> Vec<Value> {
    let on = |host: usize| format!("node.hostname={}", swarm.hosts.name(host));
    let wanted = vec![
        swarm.document(
            "moving",
            json!({"networks": ["back"], "requires": {
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
                "requires": {"constraints": [on(2)]}
            }),
        ),
    ];
    let results = swarm.results(&wanted);
    assert_eq!([&results[0]["status"], &results[1]["status"]], ["done", "done"], "{results:#?}");
    assert_eq!(results[1]["docker"]["id"].as_str().map(str::len), Some(25));
    assert_eq!(swarm.diff(&wanted), keep(&["moving", "web"]));

    let (web, moving) = (swarm.running("web"), swarm.running("moving"));
    assert_eq!(web["docker"]["node"], swarm.hosts.name(2));
    assert_eq!(web["docker"]["tasks"][0]["state"], "running");
    assert_eq!(web["env"], json!(["A=1"]));
    assert_eq!(swarm.exec(&web, &["cat", "/run/secrets/secret"]), "the secret");
    assert_eq!(swarm.exec(&web, &["cat", "/etc/site.conf"]), "the config");
    assert_eq!(swarm.exec(&web, &["sh", "-c", "hostname; ulimit -n"]), "w\n100");
    // By the overlay, from one node to another, under both of its names.
    for name in ["web", "www"] {
        let page = format!("http://{name}/");
        eventually("the page comes over the overlay", PATIENCE, || {
            let got = swarm.exec(&moving, &["sh", "-c", &format!("wget -T 2 -qO- {page} || true")]);
            (got == "leasepipe example").then_some(())
        });
    }
    // A second run changes nothing.
    swarm.results(&wanted);
    let same = |record: &Value| record["docker"]["tasks"][0]["id"].clone();
    assert_eq!(same(&swarm.running("web")), same(&web));
    assert_eq!(swarm.diff(&wanted), keep(&["moving", "web"]));
    wanted
}

fn refused(swarm: &Swarm) {
    let make = ["service", "create", "-d", "--name", "theirs", "--env", "B=2", IMAGE];
    swarm.hosts.docker(1, &make);
    let results = swarm.results(&[
        swarm.document("graphics", json!({"gpus": "all", "links": ["web"]})),
        swarm.document("lacking", json!({"secrets": [{"source": "none"}]})),
        swarm.document("nowhere", json!({"networks": ["none-such"]})),
        swarm.document("theirs", json!({})),
    ]);
    let told: Vec<_> = results.iter().map(|result| result["error_kind"].as_str()).collect();
    assert_eq!(told, [Some("refused"), Some("not_found"), Some("not_found"), Some("refused")]);
    let fields = results[0]["error"].as_str().unwrap();
    assert!(fields.contains("\"gpus\"") && fields.contains("\"links\""), "{fields}");
    let theirs = swarm.read("theirs").unwrap();
    assert_eq!((&theirs["env"], theirs.get("owner")), (&json!(["B=2"]), None));
    // A single engine has no secrets.
    let single = swarm.document("single", json!({"secrets": [{"source": "secret"}]}));
    let single = run(&mut Command::new(bin!("container-run")), single.to_string());
    assert!(single.stderr.contains("\"secrets\""), "{}", single.stderr);
}

fn changed(swarm: &Swarm, mut wanted: Vec<Value>) -> Vec<Value> {
    let before = swarm.running("web");
    wanted[1]["env"] = json!(["A=2"]);
    let replace = ("replace".to_owned(), "web".to_owned());
    assert_eq!(swarm.diff(&wanted)[1], replace);
    swarm.done(json!({"kind": "change", "action": "replace", "container": wanted[1],
                      "current": before}));
    let after = eventually("the new one runs", PATIENCE, || {
        let now = swarm.running("web");
        let new = now["docker"]["tasks"][0]["id"] != before["docker"]["tasks"][0]["id"];
        new.then_some(now)
    });
    assert_eq!((&after["env"], &after["docker"]["id"]), (&json!(["A=2"]), &before["docker"]["id"]));
    assert_eq!(swarm.exec(&after, &["printenv", "A"]), "2");
    assert_eq!(swarm.diff(&wanted), keep(&["moving", "web"]));
    wanted
}

fn operated(swarm: &Swarm) {
    let change = |action: &str| {
        let container = swarm.document("web", json!({}));
        json!({"kind": "change", "action": action, "container": container})
    };
    swarm.done(change("stop"));
    let stopped = swarm.read("web").unwrap();
    assert_eq!(stopped["state"], "exited");
    swarm.done(change("start"));
    swarm.running("web");
    let done = swarm.container_run(&[change("pause")]);
    assert_eq!(done.records()[0]["error_kind"], "refused", "{}", done.stderr);
    swarm.done(swarm.document("theirs-not", json!({"state": "absent"})));
}

/// A host is cut off, and then another one, with which the swarm has no majority any more.
fn lost(swarm: &Swarm, wanted: &[Value]) {
    let mut follow = Running::start(&mut swarm.docker_cccf(&["--owner", "edge", "--follow"]));
    follow.until("a checkpoint", |record| record["kind"] == "checkpoint");
    let away = swarm.node(&swarm.running("moving"));
    swarm.hosts.cut(away);
    let other = 5 - away;
    let end = Instant::now() + MOVED;
    let moved = loop {
        let line = follow.line(end.saturating_duration_since(Instant::now()));
        let record: Value = serde_json::from_str(&line.expect("it is moved")).unwrap();
        if record["id"] == "moving" && record["docker"]["node"] == swarm.hosts.name(other) {
            break record;
        }
    };
    assert_eq!(moved["state"], "running");
    drop(follow);

    swarm.hosts.cut(other);
    let changed = swarm.document("late", json!({}));
    let asked = eventually("the leader is missed", MOVED, || {
        // It may take longer than any other call of a program.
        let mut child = Command::new(bin!("container-run"))
            .args(["--engine", "swarm"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), changed.to_string().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        (record["status"] == "failed").then_some(record)
    });
    let kind = asked["error_kind"].as_str().unwrap();
    assert!(["unavailable", "timed_out"].contains(&kind), "{asked:#}");
    swarm.hosts.heal(other);
    eventually("there is a leader again", MOVED, || {
        let done = swarm.container_run(std::slice::from_ref(&changed));
        (done.records().first()?["status"] == "done").then_some(())
    });
    let mut wanted = wanted.to_vec();
    wanted.push(changed);
    assert_eq!(swarm.diff(&wanted), keep(&["late", "moving", "web"]));
}
