//! Containers as services of a real swarm of three engines, one of which is cut off.

mod lab;

use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Done, Hosts, IMAGE, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

/// How long a swarm takes at most to give up a node and to run its tasks elsewhere.
const MOVED: Duration = Duration::from_secs(40);

/// A swarm of three hosts, the first of them its manager.
struct Swarm {
    hosts: Hosts,
}

impl Swarm {
    fn or_skip(test: &str) -> Option<Swarm> {
        let hosts = Hosts::or_skip(test, 3, &[])?;
        hosts.swarm(1);
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

    /// The page of an address, as it is seen from within the container of a service.
    fn fetch(&self, record: &Value, address: &str) -> Option<String> {
        let container = record["docker"]["tasks"][0]["container"].as_str().unwrap();
        let pid = self.hosts.look(self.node(record), container, "{{.State.Pid}}")?;
        let url = format!("http://{address}/");
        let get = "nsenter --target \"$1\" --net curl -s --max-time 2 \"$2\" || true";
        let page = self.hosts.exec(self.node(record), &["sh", "-c", get, "sh", &pid, &url]);
        (!page.is_empty()).then_some(page)
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
    let mut follow = Running::start(&mut swarm.docker_cccf(&["--owner", "edge", "--follow"]));
    follow.until("a checkpoint", |record| record["kind"] == "checkpoint");
    swarm.hosts.cut(3);
    let cut = Instant::now();
    refused(&swarm);
    let wanted = changed(&swarm, wanted);
    operated(&swarm);
    moved(&swarm, &mut follow, cut);
    drop(follow);
    manager_lost(&swarm, wanted);
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
    // The one that is pinned first, so that the other one finds host 3 with less on it.
    let web = swarm.done(wanted[1].clone());
    assert_eq!(web["docker"]["id"].as_str().map(str::len), Some(25));
    swarm.running("web");
    swarm.done(wanted[0].clone());
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
    assert_eq!(swarm.exec(&after, &["sh", "-c", "echo $A"]), "2");
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

/// The engine of the manager dies and comes back.
fn manager_lost(swarm: &Swarm, mut wanted: Vec<Value>) {
    let late = swarm.document("late", json!({}));
    swarm.hosts.crash(1);
    let failed = swarm.results(std::slice::from_ref(&late)).remove(0);
    assert_eq!(failed["error_kind"], "unavailable", "{failed:#}");
    swarm.hosts.start(1);
    eventually("the swarm has a leader again", PATIENCE, || {
        let again = swarm.results(std::slice::from_ref(&late)).remove(0);
        (again["status"] == "done").then_some(())
    });
    wanted.insert(0, late);
    assert_eq!(swarm.diff(&wanted), keep(&["late", "moving", "web"]));
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
