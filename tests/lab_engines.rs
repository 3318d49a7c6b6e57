//! Engines of other machines, over TLS and ssh, and all that can be wrong with that.

mod lab;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Done, Hosts, IMAGE, Running, bin, run};
use serde_json::{Value, json};

#[test]
fn engines_elsewhere_are_reached_and_nobody_else_is() {
    let name = "engines_elsewhere_are_reached_and_nobody_else_is";
    let Some(hosts) = Hosts::or_skip(name, 2, &["tls", "ssh"]) else { return };
    containers_go_where_they_are_sent(&hosts);
    who_is_not_who_it_should_be_is_told(&hosts);
    nothing_is_left_behind(&hosts);
    what_is_cut_off_is_down(&hosts);
}

/// A host is entered, and containers are made there and listed, through either way.
fn containers_go_where_they_are_sent(hosts: &Hosts) {
    let file = hosts.base().join("hosts.json").display().to_string();
    let tls = hosts.tls().display().to_string();
    let ssh = format!("ssh://root@{}", hosts.address(1));
    let url = hosts.url(2);
    for add in [&["--id", "one", &*ssh][..], &["--id", "two", "--tls", &*tls, &*url]] {
        let done = run(program(hosts, bin!("host-add")).args(["--hosts", &file]).args(add), "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!(done.records()[0]["state"], "active");
        assert!(done.stderr.contains("unionize and lease-bind have to run there"));
    }
    let probed = probe(hosts, &["--hosts", &file], "");
    let engine = |record: &Value| record["engine"]["name"] == "Docker";
    assert_eq!(probed.records().iter().filter(|record| engine(record)).count(), 2);

    let wanted: String = ["one", "two"]
        .map(|id| {
            json!({"id": format!("at-{id}"), "image": IMAGE, "memory": "8m", "ports": ["8080:80"],
            "requires": {"affinity": [format!("host={id}")]}})
        })
        .iter()
        .map(|container| format!("{container}\n"))
        .collect();
    let probed = hosts.base().join("probed.json");
    fs::write(&probed, probe(hosts, &["--hosts", &file], "").stdout.join("\n")).unwrap();
    let placed = run(program(hosts, bin!("cccf-host")).arg("--hosts").arg(&probed), &wanted);
    assert_eq!(placed.status, Some(0), "{}", placed.stderr);
    let done = run(&mut program(hosts, bin!("container-run")), placed.stdout.join("\n") + "\n");
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    for (host, id) in [(1, "at-one"), (2, "at-two")] {
        assert_eq!(hosts.look(host, id, "{{.State.Running}}").as_deref(), Some("true"));
    }
    let listed = run(program(hosts, bin!("docker-cccf")).args(["--hosts", &file]), "");
    assert_eq!(listed.records().len(), 3, "{}", listed.stderr);
    let probed = probe(hosts, &["--hosts", &file], "");
    let used = json!({"containers": 1, "resources": {"cpus": 0, "memory": 8 << 20},
        "ports": ["8080"]});
    assert!(probed.records()[..2].iter().all(|record| record["used"] == used), "{probed:?}");
}

/// Certificates and keys that do not fit, and machines without an engine.
fn who_is_not_who_it_should_be_is_told(hosts: &Hosts) {
    let address = hosts.address(1);
    let mixed = hosts.base().join("mixed");
    fs::create_dir(&mixed).unwrap();
    fs::copy(hosts.tls().join("ca.pem"), mixed.join("ca.pem")).unwrap();
    for pem in ["cert.pem", "key.pem"] {
        fs::copy(hosts.stranger().join(pem), mixed.join(pem)).unwrap();
    }
    let misnamed = Server::start(hosts, "misnamed", &[], "DNS:elsewhere.example");
    let expired = Server::start(hosts, "expired", &["faketime", "2020-01-01"], "IP:127.0.0.1");
    let (url, tls) = (hosts.url(1), |path: PathBuf| json!({"tls": path}));
    let cases = [
        (
            "stranger",
            url.clone(),
            tls(hosts.stranger()),
            "the engine's certificate cannot be trusted",
        ),
        ("we", url.clone(), tls(mixed), "the engine does not accept our certificate"),
        ("misnamed", misnamed.url(), tls(hosts.tls()), "not valid for name"),
        ("expired", expired.url(), tls(hosts.tls()), "xpired"),
        ("plain", url, json!({}), "HTTP request to an HTTPS server"),
        ("none", format!("ssh://root@{address}/run/none.sock"), json!({}), "no Docker engine"),
        ("closed", format!("ssh://root@{address}:9"), json!({}), "no SSH server listens there"),
        ("user", format!("ssh://nobody@{address}"), json!({}), "no key is accepted there"),
    ];
    let input: String = cases.iter().map(|(id, url, more, _)| host(id, url, more)).collect();
    let done = probe(hosts, &["--insecure"], &input);
    let records = done.records();
    for (id, _, _, why) in &cases {
        let record = records.iter().find(|record| record["id"] == *id).unwrap();
        assert_eq!(record["state"], "down", "{record}");
        assert!(record["reason"].as_str().unwrap().contains(why), "{id}: {record}");
    }
    // The user's own ssh has never seen that host.
    let mut stranger = Command::new(bin!("host-probe"));
    let done = run(&mut stranger, host("a", &format!("ssh://root@{address}"), &json!({})));
    assert!(done.records()[0]["reason"].as_str().unwrap().contains("host key is not known"));
}

/// What is killed takes its ssh along, and leaves no socket.
fn nothing_is_left_behind(hosts: &Hosts) {
    let list = hosts.base().join("ssh.json");
    let ssh = format!("ssh://root@{}", hosts.address(1));
    fs::write(&list, host("a", &ssh, &json!({}))).unwrap();
    let runtime = hosts.base().join("runtime");
    fs::create_dir(&runtime).unwrap();
    let mut command = program(hosts, bin!("host-probe"));
    command.env("XDG_RUNTIME_DIR", &runtime).args(["--follow", "--hosts"]).arg(&list);
    let mut following = Running::start(&mut command);
    assert_eq!(following.next()["state"], "active");
    let children = children(following.pid());
    assert_eq!(children.len(), 1, "one ssh");
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
    drop(following);
    let end = Instant::now() + Duration::from_secs(5);
    while runs(children[0]) {
        assert!(Instant::now() < end, "ssh goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A machine that swallows what it is sent costs its time limit, and no other host any.
fn what_is_cut_off_is_down(hosts: &Hosts) {
    hosts.cut(2);
    let tls = json!({"tls": hosts.tls()});
    let input = host("tls", &hosts.url(2), &tls)
        + &host("ssh", &format!("ssh://root@{}", hosts.address(2)), &json!({}))
        + &host("up", &hosts.url(1), &tls);
    let begun = Instant::now();
    let done = probe(hosts, &["--timeout", "1500ms"], &input);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let records = done.records();
    assert_eq!((&records[0]["id"], &records[0]["state"]), (&json!("up"), &json!("active")));
    assert!(records[1..].iter().all(|record| record["state"] == "down"), "{records:?}");
    hosts.heal(2);
}

/// A server that shows a certificate of the hosts' authority, and has no more to say.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// With a certificate for `name` that is made by `openssl` behind the words of `before`.
    fn start(hosts: &Hosts, what: &str, before: &[&str], name: &str) -> Server {
        let base = hosts.base().join(what);
        fs::create_dir(&base).unwrap();
        let script = format!(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x \
               -keyout key.pem -out request 2>/dev/null
             echo subjectAltName={name} > names
             {} openssl x509 -req -in request -CA ../tls/server/ca.pem \
               -CAkey ../tls/server/ca-key.pem -CAcreateserial -CAserial serial -days 30 \
               -out cert.pem -extfile names 2>/dev/null",
            before.join(" ")
        );
        let made = Command::new("sh").args(["-ec", &script]).current_dir(&base).status().unwrap();
        assert!(made.success(), "make certificate");
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem"])
            .current_dir(&base)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accept = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("ACCEPT"));
        let port = accept.unwrap().rsplit(':').next().unwrap().parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, port }
    }

    fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that finds the ssh which knows the hosts.
fn program(hosts: &Hosts, path: &str) -> Command {
    let mut command = Command::new(path);
    let usual = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{usual}", hosts.ssh().display()));
    command
}

fn probe(hosts: &Hosts, args: &[&str], input: &str) -> Done {
    run(program(hosts, bin!("host-probe")).args(args), input)
}

fn host(id: &str, url: &str, more: &Value) -> String {
    let mut host = json!({"kind": "host", "id": id, "url": url});
    host.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{host}\n")
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
    let all = tasks.map(|task| of(task.unwrap().path())).collect::<String>();
    all.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Whether a process is there and not only its exit status.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}
