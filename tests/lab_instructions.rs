//! cccf-docker-instructions with a real shell, a real docker, and a real compose.

mod lab;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use lab::{Docker, IMAGE, bin, run, skipped};
use serde_json::{Value, json};

/// Fields that docker does not keep, or that say nothing to it.
const NOT_KEPT: [&str; 18] = [
    "secrets",
    "configs",
    "depends_on",
    "ttl",
    "expires_at",
    "allow",
    "netns",
    "addresses",
    "host",
    "lease",
    "owner",
    "platform",
    "private_network",
    "pull",
    "requires",
    "scale",
    "scaled_from",
    "id",
];

/// What the containers of a test are in, mount and refer to.
struct Around {
    docker: Docker,
    networks: [String; 2],
    volume: String,
    /// A container on docker's bridge that runs and shares what it has.
    peer: String,
}

impl Around {
    fn or_skip(test: &str) -> Option<Around> {
        let docker = Docker::or_skip(test)?;
        let name = |what: &str| format!("{}-{what}", docker.owner());
        let label = format!("bystander-of={}", docker.owner());
        let networks = ["one", "two"].map(name);
        let unique = std::process::id() & 0xffff;
        let count = docker.owner().rsplit('-').next().unwrap().to_owned();
        for (at, network) in networks.iter().enumerate() {
            let subnet = format!("fd77:{unique:x}:{count}:{at}::/64");
            let make = ["network", "create", "--label", &label, "--ipv6", "--subnet", &subnet];
            docker.docker(&[&make[..], &[network]].concat());
        }
        let volume = name("data");
        docker.docker(&["volume", "create", "--label", &label, &volume]);
        let peer = name("peer");
        let image = [IMAGE, "sleep", "1000"];
        let options = ["run", "-d", "--ipc", "shareable", "-v", "/shared", "--label", &label];
        docker.docker(&[&options[..], &["--name", &peer], &image].concat());
        Some(Around { docker, networks, volume, peer })
    }

    fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.docker.owner())
    }

    /// Documents that between them have every field that docker takes: those that can run here, and
    /// those that this machine can make only.
    fn documents(&self) -> (Vec<Value>, Vec<Value>) {
        let [one, two] = &self.networks;
        let (volume, peer) = (&self.volume, &self.peer);
        let unique = std::process::id() & 0xffff;
        let count = self.docker.owner().rsplit('-').next().unwrap();
        let run = json!([
            {
                "entrypoint": ["sh"], "cmd": ["-c", "exec sleep 1000 # it's \"$HOME\" `id`\n"],
                "env": ["A=$(id) 'x' \"y\" \\ \u{e9}\nsecond line", "B=", "C=--privileged"],
                "user": "1000:1000", "workdir": "/tmp/a b", "hostname": "w.example.org",
                "expose": ["99/udp", "7"], "init": true, "stop_signal": "SIGINT",
                "stop_timeout": 5, "platform": "linux/amd64", "pull": "never",
                "host": {"id": "here", "url": "unix:///var/run/docker.sock"},
                "healthcheck": {"test": ["CMD-SHELL", "test 'a b' = \"a b\""], "interval_ms": 5000,
                                "timeout_ms": 1500, "start_period_ms": 2000, "retries": 3}
            },
            {
                "cmd": "sleep '1000'", "memory": "32m", "memory_swap": "48m", "cpus": 0.25,
                "cpu_shares": 512, "pids_limit": 100, "shm_size": "1m", "read_only": true,
                "ulimits": {"nofile": {"soft": 512, "hard": 1024}, "nproc": 64},
                "tmpfs": {"/run": "size=1m", "/var/x": ""}, "restart": "on-failure:3",
                "log_driver": "local", "log_options": {"max-size": "1m"}, "init": false
            },
            {
                "cmd": ["sleep", "1000"],
                "networks": [one, {"network": two, "aliases": ["web", "www"],
                                   "ipv6_address": format!("fd77:{unique:x}:{count}:1::77")}],
                "dns": ["192.0.2.53", "2001:db8::53"], "dns_search": ["example.org", "lan"],
                "extra_hosts": ["a.b:192.0.2.7", "six:2001:db8::7"],
                "ports": ["127.0.0.1:0:8080", "127.0.0.1:0:53/udp"], "restart": "unless-stopped"
            },
            {
                "cmd": ["sleep", "1000"], "links": [format!("{peer}:db")],
                "volumes": ["/tmp:/host:ro", format!("{volume}:/data"), "/scratch"],
                "volumes_from": [format!("{peer}:ro")],
                "sysctls": {"net.ipv4.ip_forward": "0", "net.core.somaxconn": "256"}
            },
            {
                "cmd": ["sleep", "1000"], "network_mode": format!("container:{peer}"),
                "ipc": format!("container:{peer}"), "pid": format!("container:{peer}"),
                "healthcheck": {"test": ["NONE"]}
            },
            {"cmd": ["sleep", "1000"], "network_mode": "none", "ipc": "shareable"}
        ]);
        let create = json!([
            {
                "cap_add": ["NET_ADMIN", "SYS_TIME"], "cap_drop": ["MKNOD"], "privileged": true,
                "devices": ["/dev/fuse:/dev/x:r", "/dev/null"], "gpus": ["0", "GPU-1"],
                "pid": "host", "memory": "64m", "memory_swap": -1
            },
            {"gpus": "all", "network_mode": "host"},
            {"gpus": 2}
        ]);
        (self.named("run", run), self.named("create", create))
    }

    /// The documents with a name, the image, and a label by which they go with the test.
    fn named(&self, name: &str, documents: Value) -> Vec<Value> {
        let documents = documents.as_array().unwrap().clone();
        let named = documents.into_iter().enumerate().map(|(at, mut document)| {
            document["id"] = json!(self.id(&format!("{name}{at}")));
            document["image"] = json!(IMAGE);
            let own = "two words, one 'quote'\nand a line";
            document["labels"] = json!({"bystander-of": self.docker.owner(), "own": own});
            document
        });
        named.collect()
    }

    /// What docker-cccf reads of the container, without the labels and the names in networks that
    /// compose gives it.
    fn read(&self, id: &Value) -> Value {
        let listed = run(Command::new(bin!("docker-cccf")).args(["--all"]), "");
        assert_eq!(listed.status, Some(0), "{}", listed.stderr);
        let found = listed.records().into_iter().find(|record| record["id"] == *id);
        let mut found = found.unwrap_or_else(|| panic!("there is no {id}"));
        for network in found["networks"].as_array_mut().into_iter().flatten() {
            if let Some(Value::Array(aliases)) = network.get_mut("aliases") {
                aliases.retain(|alias| alias != id);
            }
        }
        if let Some(labels) = found["labels"].as_object_mut() {
            labels.retain(|name, _| !name.starts_with("com.docker.compose."));
        }
        found
    }

    /// Whether cccf-diff takes what docker-cccf reads of these for what they say.
    fn are_there(&self, documents: &[Value]) {
        self.are_there_but_for(documents, &[]);
    }

    fn are_there_but_for(&self, documents: &[Value], fields: &[&str]) {
        for document in documents {
            let mut found = self.read(&document["id"]);
            // A container of nobody's would be refused, and one that does not run be started.
            found["owner"] = json!("somebody");
            found["state"] = json!("running");
            let mut wanted = document.clone();
            wanted["owner"] = json!("somebody");
            wanted.as_object_mut().unwrap().remove("platform");
            for both in [&mut wanted, &mut found] {
                both.as_object_mut().unwrap().retain(|name, _| !fields.contains(&&**name));
            }
            let current = self.file(&found.to_string());
            let arguments = ["--complete", "--current", current.to_str().unwrap()];
            let done = run(Command::new(bin!("cccf-diff")).args(arguments), wanted.to_string());
            let change = &done.records()[0];
            assert_eq!(change["action"], "keep", "{:#}\nis not\n{document:#}", change["why"]);
        }
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(self.id("current.json"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(std::env::temp_dir().join(self.id("current.json")));
        self.docker.clear();
    }
}

fn instructions(arguments: &[&str], documents: &[Value]) -> String {
    let mut program = Command::new(bin!("cccf-docker-instructions"));
    let done = run(program.args(arguments), ndjson(documents));
    assert_eq!((done.status, &*done.stderr), (Some(0), ""));
    done.stdout.join("\n")
}

fn shell(script: &str) {
    let done = run(&mut Command::new("sh"), script);
    assert_eq!(done.status, Some(0), "{script}\n{}", done.stderr);
}

#[test]
fn between_them_the_documents_have_every_field() {
    let Some(around) = Around::or_skip("between_them_the_documents_have_every_field") else {
        return;
    };
    let full: Value = serde_json::from_str(include_str!("data/cccf/full.json")).unwrap();
    let (run, create) = around.documents();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut tested: BTreeSet<String> = run.iter().chain(&create).flat_map(names).collect();
    tested.extend(NOT_KEPT.map(str::to_owned));
    let untested: Vec<_> = names(&full).difference(&tested).cloned().collect();
    assert_eq!(untested, Vec::<String>::new());
}

#[test]
fn what_a_shell_makes_of_the_lines_is_what_the_documents_say() {
    let test = "what_a_shell_makes_of_the_lines_is_what_the_documents_say";
    let Some(around) = Around::or_skip(test) else { return };
    let (run, create) = around.documents();
    shell(&instructions(&[], &run));
    for document in &run {
        let id = document["id"].as_str().unwrap();
        assert_eq!(around.docker.inspect(id, "{{.State.Running}}"), "true", "{id}");
    }
    shell(&instructions(&["--command", "create"], &create));
    around.are_there(&[run, create].concat());
}

#[test]
fn a_command_is_run_whichever_of_its_words_are_the_entry_point() {
    let test = "a_command_is_run_whichever_of_its_words_are_the_entry_point";
    let Some(around) = Around::or_skip(test) else { return };
    let documents = around.named(
        "words",
        json!([
            {"entrypoint": ["sh", "-c", "exec \"$@\"", "x"], "cmd": ["sleep", "1000"]},
            {"entrypoint": [], "cmd": "sleep 1000"},
            {"entrypoint": "sleep 1000"},
            {"cmd": ["sh", "-c", "sleep 1000", "--", "-d"]},
        ]),
    );
    shell(&instructions(&[], &documents));
    for document in documents {
        let words = |field: &str| -> Vec<String> {
            match &document[field] {
                Value::String(line) => line.split(' ').map(str::to_owned).collect(),
                list => serde_json::from_value(list.clone()).unwrap_or_default(),
            }
        };
        let wanted: Vec<String> = [words("entrypoint"), words("cmd")].concat();
        let id = document["id"].as_str().unwrap();
        let run = around.docker.inspect(id, "[{{json .Path}},{{json .Args}}]");
        let (path, args): (String, Vec<String>) = serde_json::from_str(&run).unwrap();
        assert_eq!([vec![path], args].concat(), wanted);
    }
}

#[test]
fn what_compose_makes_of_the_file_is_what_the_documents_say() {
    let test = "what_compose_makes_of_the_file_is_what_the_documents_say";
    if !Command::new("docker-compose").arg("version").output().is_ok_and(|o| o.status.success()) {
        return skipped(test, "needs docker-compose");
    }
    let Some(around) = Around::or_skip(test) else { return };
    let (run, create) = around.documents();
    for (documents, what) in [(&run, "-d"), (&create, "--no-start")] {
        let file = instructions(&["--format", "compose", "--no-host"], documents);
        let mut compose = Command::new("docker-compose");
        compose.args(["-p", around.docker.owner(), "-f", "-", "up", what]);
        let done = lab::run(&mut compose, &file);
        assert_eq!(done.status, Some(0), "{file}\n{}", done.stderr);
    }
    let documents = [run, create].concat();
    let mounted = documents.iter().find(|document| document.get("volumes").is_some()).unwrap();
    // It declares each mount point as a volume too, and names containers by their ids.
    let mounts = "{{range .Mounts}}{{.Destination}} {{.RW}}\n{{end}}";
    let mounts = around.docker.inspect(mounted["id"].as_str().unwrap(), mounts);
    let mounts: BTreeSet<&str> = mounts.lines().collect();
    let wanted = ["/data true", "/host false", "/scratch true", "/shared false"];
    assert_eq!(mounts, BTreeSet::from(wanted));
    around.are_there_but_for(&documents, &["volumes", "volumes_from"]);
}

#[test]
fn a_list_of_changes_run_by_a_shell_leaves_nothing_to_change() {
    let test = "a_list_of_changes_run_by_a_shell_leaves_nothing_to_change";
    let Some(around) = Around::or_skip(test) else { return };
    let owner = around.docker.owner().to_owned();
    let document = |name: &str, env: &str| {
        json!({"id": around.id(name), "image": IMAGE, "env": [env], "network_mode": "none",
               "stop_timeout": 0, "requires": {"spread": "zone"}, "x-note": ["it's", {"a": null}]})
    };
    let changes = |wanted: &[Value]| {
        let listed = run(Command::new(bin!("docker-cccf")).args(["--owner", &owner]), "");
        let current = around.file(&listed.stdout.join("\n"));
        let current = current.to_str().unwrap();
        let arguments = ["--complete", "--force", "--owner", &owner, "--current", current];
        let done = run(Command::new(bin!("cccf-diff")).args(arguments), json!(wanted).to_string());
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done.records()
    };
    let actions = |changes: &[Value]| -> Vec<String> {
        let changes = changes.iter().filter(|change| change["kind"] == "change");
        changes.map(|change| change["action"].as_str().unwrap().to_owned()).collect()
    };
    let make_so = |wanted: &[Value]| {
        let changes = changes(wanted);
        let arguments = ["--owner", &owner, "--print0"];
        let mut program = Command::new(bin!("cccf-docker-instructions"));
        let lines = run(program.args(arguments), ndjson(&changes)).stdout.join("\n");
        let mut xargs = Command::new("xargs");
        let done = run(xargs.args(["-0", "-n1", "-P4", "sh", "-c"]), &lines);
        assert_eq!(done.status, Some(0), "{lines}\n{}", done.stderr);
        actions(&changes)
    };
    let first = [document("a", "A=1"), document("b", "B=$(id)\n'"), document("c", "C=1")];
    assert_eq!(make_so(&first), ["add", "add", "add"]);
    around.docker.docker(&["kill", &around.id("b")]);
    around.docker.docker(&["pause", &around.id("a")]);
    let second = [document("a", "A=1"), document("b", "B=$(id)\n'"), document("d", "D=1")];
    assert_eq!(make_so(&second), ["remove", "keep", "add", "add"]);
    let third = [document("a", "A=1"), document("b", "B=2"), document("d", "D=1")];
    assert_eq!(make_so(&third), ["keep", "keep", "replace"]);
    assert_eq!(actions(&changes(&third)), ["keep", "keep", "keep"]);
    for name in ["a", "b", "d"] {
        let state = around.docker.inspect(&around.id(name), "{{.State.Status}}");
        assert_eq!(state, "running", "{name}");
    }
    assert_eq!(make_so(&[]), ["remove", "remove", "remove"]);
    assert_eq!(around.docker.names(), Vec::<String>::new());
}

fn ndjson(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}
