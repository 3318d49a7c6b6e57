//! Podman in Docker's place: containers, their networks and their addresses through its
//! Docker-compatible socket.

mod lab;

use std::fs;
use std::path::Path;
use std::process::Command;

use lab::{
    Docker, Done, IMAGE, Lab, PATIENCE, Podman, Running, bin, done, eventually, failed, run,
    skipped,
};
use serde_json::{Value, json};

const OWNER: &str = "edge";

/// A lab with a bridge `br1`, a dnsmasq on it, and a Podman.
struct Site {
    podman: Podman,
    lab: Lab,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let docker = Docker::or_skip(test)?;
        let mut lab = Lab::or_skip(test)?;
        let podman = Podman::or_skip(test, &lab, &docker)?;
        lab.bridge("br1");
        lab.dnsmasq("br1", "fd00:1::/64", &[]);
        Some(Site { podman, lab })
    }

    /// A document for Podman.
    fn document(&self, id: &str, fields: Value) -> Value {
        let mut document = json!({"id": id, "image": IMAGE, "pull": "never"});
        document["host"] = json!({"id": "near", "url": self.podman.url()});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        document
    }

    fn run(&self, records: &[Value]) -> Done {
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        run(Command::new(bin!("container-run")).args(["--owner", OWNER]), input)
    }

    /// Does this to a container; it as it is then.
    #[track_caller]
    fn act(&self, action: &str, container: &Value) -> Value {
        let change = json!({"kind": "change", "action": action, "container": container});
        done(self.run(&[change]))["container"].clone()
    }

    /// What docker-cccf says of Podman's containers, without its checkpoint.
    fn listed(&self) -> Vec<Value> {
        let mut list = Command::new(bin!("docker-cccf"));
        let done = run(list.args(["--owner", OWNER, "--host", &self.podman.url()]), "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let mut records = done.records();
        assert_eq!(records.pop().unwrap()["kind"], "checkpoint");
        records
    }

    fn names(&self) -> String {
        self.podman.podman(&["ps", "--all", "--format", "{{.Names}}", "--sort", "names"])
    }
}

/// A document without what is only known once it runs.
fn declared(record: &Value) -> Value {
    let mut document = record.clone();
    for found in ["host", "state", "docker", "owner", "steps", "status"] {
        document.as_object_mut().unwrap().remove(found);
    }
    document
}

#[test]
fn podman_takes_docker_s_place() {
    let test = "podman_takes_docker_s_place";
    let Some(site) = Site::or_skip(test) else { return };
    what_is_declared_runs_and_is_read_back(&site);
    each_action_is_done(&site);
    each_failure_is_told(&site);
    a_private_network_is_made_and_taken_away(&site, test);
    the_pipe_gives_a_container_its_address(&site);
}

fn what_is_declared_runs_and_is_read_back(site: &Site) {
    let fields = json!({
        "cmd": "sleep '1000'", "entrypoint": ["busybox"], "env": ["B=2", "A=1"],
        "ports": ["127.0.0.1:0:80", "18080:81/udp"], "expose": ["99/udp"],
        "volumes": ["/data", "/tmp:/host:ro"], "user": "0:0", "workdir": "/tmp", "hostname": "web",
        "labels": {"x": "y"}, "restart": "on-failure:3", "dns": ["9.9.9.9"],
        "sysctls": {"net.ipv4.ip_forward": "1"}, "cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"],
        "read_only": true, "tmpfs": {"/run": "size=1m"}, "memory": 67108864, "cpus": 0.5,
        "stop_timeout": 1, "key": "om2pqvn3u6qa2", "x-note": {"z": [1.50, null]}
    });
    let wanted = site.document("all", fields);
    let out = done(site.run(std::slice::from_ref(&wanted)));
    assert_eq!(declared(&out), declared(&wanted));
    assert_eq!(out["state"], "running");
    let ports = out["docker"]["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 2, "{out}");
    assert!(ports.contains(&json!({"container": 81, "host": 18080, "protocol": "udp"})), "{out}");
    let netns = out["docker"]["netns"].as_str().unwrap();
    assert!(Path::new(netns).exists(), "{out}");
    let listed = site.listed();
    assert_eq!((listed.len(), declared(&listed[0])), (1, declared(&wanted)));
    assert_eq!(listed[0]["docker"]["id"], out["docker"]["id"]);
    assert_eq!(listed[0]["docker"]["ports"], out["docker"]["ports"]);
    let inside = site.podman.exec("all", &["sh", "-c", "echo $A$B $(pwd) $(hostname)"]);
    assert_eq!(inside, "12 /tmp web");
    let memory = site.podman.podman(&["inspect", "--format", "{{.HostConfig.Memory}}", "all"]);
    assert_eq!(memory, "67108864");
    // Whoever compares finds nothing to do.
    let current = site.lab.dir().join("current");
    fs::write(&current, listed[0].to_string()).unwrap();
    let mut diff = Command::new(bin!("cccf-diff"));
    diff.args(["--complete", "--owner", OWNER, "--current"]).arg(&current);
    assert_eq!(run(&mut diff, wanted.to_string()).records()[0]["action"], "keep");
    assert_eq!(site.act("remove", &wanted)["state"], "absent");
}

fn each_action_is_done(site: &Site) {
    let quick = json!({"network_mode": "none", "stop_timeout": 0});
    let wanted = site.document("a", quick);
    let made = site.act("add", &wanted);
    assert_eq!(site.act("add", &wanted)["docker"], made["docker"], "a second time");
    let id = made["docker"]["id"].clone();
    for (action, state) in [
        ("stop", "exited"),
        ("keep", "running"),
        ("restart", "running"),
        ("pause", "paused"),
        ("unpause", "running"),
        ("kill", "exited"),
        ("start", "running"),
        ("pause", "paused"),
        ("keep", "running"),
    ] {
        let after = site.act(action, &wanted);
        assert_eq!((&after["state"], &after["docker"]["id"]), (&json!(state), &id), "{action}");
    }
    let mut changed = wanted.clone();
    changed["env"] = json!(["A=1"]);
    let new = site.act("replace", &changed);
    assert_ne!(new["docker"]["id"], id);
    assert_eq!(site.act("replace", &changed)["docker"], new["docker"]);
    assert_eq!(site.names(), "a", "no half is left");
    for _ in 0..2 {
        assert_eq!(site.act("remove", &changed)["state"], "absent");
    }
    assert_eq!(site.names(), "");
}

fn each_failure_is_told(site: &Site) {
    let none = json!({"network_mode": "none"});
    site.podman.run("taken");
    let why = failed(site.run(&[site.document("taken", none.clone())]), "refused");
    assert!(why.contains("leasepipe did not make"), "{why}");
    let port = json!({"ports": ["18080:80"]});
    done(site.run(&[site.document("first", port.clone())]));
    let why = failed(site.run(&[site.document("second", port)]), "refused");
    assert!(why.contains("18080"), "{why}");
    let missing = json!({"image": "leasepipe/later:1"});
    let why = failed(site.run(&[site.document("no-image", missing)]), "not_found");
    assert!(why.contains("leasepipe/later:1"), "{why}");
    let nowhere = json!({"networks": ["nowhere"]});
    let why = failed(site.run(&[site.document("no-network", nowhere)]), "not_found");
    assert!(why.contains("nowhere"), "{why}");
    let why = failed(site.run(&[site.document("gpus", json!({"gpus": 1}))]), "refused");
    assert!(why.contains("gpus"), "{why}");
    assert_eq!(site.names(), "first\ntaken", "what failed left nothing behind");
    site.podman.podman(&["rm", "--force", "--time", "0", "taken"]);
    site.act("remove", &site.document("first", json!({})));
    // One that ends is in a state of Podman's own for a moment, which is in its listing too.
    let brief = site.document("brief", json!({"network_mode": "none", "cmd": ["sleep", "0.4"]}));
    site.act("add", &brief);
    eventually("it ends", PATIENCE, || {
        let listed = site.listed();
        assert_eq!(listed.len(), 1);
        (listed[0]["state"] == "exited").then_some(())
    });
    site.act("remove", &brief);
}

fn a_private_network_is_made_and_taken_away(site: &Site, test: &str) {
    let member = |client: &str, alias: &str| {
        let network = json!({"name": format!("leasepipe-edge-{client}"), "alias": alias});
        site.document(&format!("{alias}-{client}"), json!({"private_network": network}))
    };
    let (web, db, other) = (member("one", "web"), member("one", "db"), member("two", "db"));
    for wanted in [&web, &db, &other] {
        done(site.run(std::slice::from_ref(wanted)));
    }
    let address = |id: &str| {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        site.podman.podman(&["inspect", "--format", format, id])
    };
    let reaches = |whom: &str| site.podman.succeeds("web-one", &["ping", "-c1", "-W2", whom]);
    assert!(reaches(&address("db-one")));
    assert!(!reaches(&address("db-two")), "another client's");
    match site.podman.gives_names() {
        true => assert!(reaches("db")),
        false => skipped(test, "names in networks: netavark and aardvark-dns are not installed"),
    }
    let networks = || site.podman.podman(&["network", "ls", "--format", "{{.Name}}"]);
    site.act("remove", &web);
    assert!(networks().contains("leasepipe-edge-one"), "one is left in it");
    site.act("remove", &db);
    site.act("remove", &other);
    assert!(!networks().contains("leasepipe"), "{}", networks());
}

/// The pipe of a shell, once to make the container and once to take it away.
fn the_pipe_gives_a_container_its_address(site: &Site) {
    let dir = site.lab.dir();
    let host = json!({"kind": "host", "id": "near", "url": site.podman.url()});
    fs::write(dir.join("hosts.json"), host.to_string()).unwrap();
    let lease = json!({"key": "om2pqvn3u6qa2", "address": "fd00::1"});
    let web = json!({"id": "web", "image": IMAGE, "pull": "never", "lease": lease});
    let pipe = "cccf-diff --complete --owner edge --force \
        --current <(docker-cccf --owner edge --hosts hosts.json) < wanted.json \
        | cccf-host --hosts hosts.json | container-run --owner edge \
        | unionize --bridge br1 --address dhcp6 --state links";
    let run_pipe = |wanted: String| {
        fs::write(dir.join("wanted.json"), wanted).unwrap();
        let programs = Path::new(bin!("unionize")).parent().unwrap().display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let mut shell = site.lab.command("bash");
        shell.args(["-o", "pipefail", "-c", pipe]).current_dir(dir).env("PATH", path);
        let done = Running::start(&mut shell).finish();
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done.records().remove(0)
    };
    for _ in 0..2 {
        let record = run_pipe(web.to_string());
        assert_eq!(record["status"], "done", "{record}");
        let leased = &record["container"]["interfaces"][0]["addresses"][0];
        assert_eq!(leased["origin"], "dhcp6", "{record}");
        let address = leased["address"].as_str().unwrap();
        let ping = site.lab.command("ping").args(["-6", "-c1", "-W3", address]).output().unwrap();
        assert!(ping.status.success(), "{address}");
        // An end and a start take the interface away, and the second run of the pipe brings it back.
        site.podman.podman(&["restart", "--time", "0", "web"]);
        assert!(!site.podman.exec("web", &["ip", "-6", "addr"]).contains(address));
    }
    let gone = run_pipe(String::new());
    assert_eq!((&gone["action"], &gone["status"]), (&json!("remove"), &json!("done")));
    assert_eq!(site.names(), "");
    let links = fs::read_dir(dir.join("links")).unwrap().flatten();
    assert_eq!(links.filter(|file| file.file_name() != ".lock").count(), 0);
}
