//! A real swarm, and the programs that speak to it.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Done, Hosts, IMAGE, PATIENCE, Running, bin, eventually, run};

/// How long a swarm that has lost its leader takes at most to answer. A manager that was cut off knows
/// less than the other one and cannot be elected, but stands in every election of 10 to 20 seconds that
/// it opens first, which chance decides each time: a minute was not always enough.
pub const ELECTION: Duration = Duration::from_secs(300);

/// A swarm of three hosts, all of them managers, with a network `back`, a secret and a config.
pub struct Swarm {
    pub hosts: Hosts,
    /// The host whose engine is spoken to.
    manager: usize,
}

impl Swarm {
    pub fn or_skip(test: &str) -> Option<Swarm> {
        let hosts = Hosts::or_skip(test, 3, &[])?;
        hosts.swarm(3);
        hosts.docker(1, &["network", "create", "-d", "overlay", "--attachable", "back"]);
        for what in ["secret", "config"] {
            let file = hosts.base().join(what);
            std::fs::write(&file, format!("the {what}\n")).unwrap();
            hosts.docker(1, &[what, "create", what, file.to_str().unwrap()]);
        }
        Some(Swarm { hosts, manager: 1 })
    }

    /// From now on this host's engine is spoken to.
    pub fn turn_to(&mut self, manager: usize) {
        self.manager = manager;
    }

    /// The host whose engine is spoken to.
    pub fn manager(&self) -> usize {
        self.manager
    }

    /// How it stands with the managers: host, and the swarm's words for it; none without a leader.
    pub fn managers(&self) -> Vec<(usize, String)> {
        let list = ["node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"];
        let listed = Command::new("docker").args(["-H", &self.url()]).args(list).output();
        let lines = String::from_utf8(listed.expect("run docker").stdout).unwrap();
        let told = lines.lines().filter_map(|line| line.split_once(' '));
        told.map(|(name, words)| (self.host(name), words.to_owned())).collect()
    }

    /// A file with these hosts, as managers to be asked.
    pub fn managers_as_hosts(&self, hosts: &[usize]) -> String {
        let record = |host: &usize| {
            let (id, url) = (self.hosts.name(*host), self.hosts.socket(*host));
            json!({"kind": "host", "id": id, "url": url}).to_string() + "\n"
        };
        let numbers: String = hosts.iter().map(usize::to_string).collect();
        let path = self.hosts.base().join(format!("managers-{numbers}"));
        std::fs::write(&path, hosts.iter().map(record).collect::<String>()).unwrap();
        path.display().to_string()
    }

    fn host(&self, name: &str) -> usize {
        (1..=3).find(|host| self.hosts.name(*host) == name).expect("a host of this name")
    }

    /// Where the engine listens that is spoken to.
    pub fn url(&self) -> String {
        self.hosts.socket(self.manager)
    }

    /// A document with these fields.
    pub fn document(&self, id: &str, fields: Value) -> Value {
        let mut document = json!({"id": id, "image": IMAGE, "owner": "edge"});
        document["host"] = json!({"id": "local", "url": self.url()});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        document
    }

    /// What keeps a container on this host.
    pub fn on(&self, host: usize) -> Value {
        json!({"constraints": [format!("node.hostname={}", self.hosts.name(host))]})
    }

    /// What became of these, in the order in which it was told.
    #[track_caller]
    pub fn container_run(&self, arguments: &[&str], records: &[Value]) -> Vec<Value> {
        let mut command = Command::new(bin!("container-run"));
        let mut program = Running::start(command.args(["--engine", "swarm"]).args(arguments));
        records.iter().for_each(|record| program.send(record));
        program.close();
        let line = |_| program.line(ELECTION).expect("what became of a record");
        let lines: Vec<String> = records.iter().map(line).collect();
        drop(program.finish());
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same in the order of their ids.
    #[track_caller]
    pub fn results(&self, arguments: &[&str], records: &[Value]) -> Vec<Value> {
        let mut results = self.container_run(arguments, records);
        results.sort_by_key(|record| id(record).to_owned());
        results
    }

    /// What became of one, which must be done.
    #[track_caller]
    pub fn done(&self, arguments: &[&str], record: &Value) -> Value {
        let result = self.container_run(arguments, std::slice::from_ref(record)).remove(0);
        assert_eq!(result["status"], "done", "{result:#}");
        result
    }

    pub fn docker_cccf(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bin!("docker-cccf"));
        command.args(["--engine", "swarm", "--host", &self.url()]).args(arguments);
        command
    }

    /// The same where these hosts are asked, which are managers.
    pub fn docker_cccf_at(&self, managers: &[usize], arguments: &[&str]) -> Command {
        let mut command = Command::new(bin!("docker-cccf"));
        command.args(["--engine", "swarm", "--hosts", &self.managers_as_hosts(managers)]);
        command.args(arguments);
        command
    }

    /// What there is of this id.
    pub fn read(&self, id: &str) -> Option<Value> {
        let listed = run(&mut self.docker_cccf(&[]), "").records();
        listed.into_iter().find(|record| record["id"] == id)
    }

    /// What there is of this id, once it runs.
    #[track_caller]
    pub fn running(&self, id: &str) -> Value {
        eventually(&format!("{id} runs"), PATIENCE, || {
            self.read(id).filter(|record| record["state"] == "running")
        })
    }

    /// What cccf-diff makes of what is wanted and what there is: action and id.
    pub fn diff(&self, wanted: &[Value]) -> Vec<(String, String)> {
        let list = &mut self.docker_cccf(&["--owner", "edge"]);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let current = self.hosts.base().join(format!("current-{number}.json"));
        let listed = run(list, "");
        std::fs::write(&current, listed.stdout.join("\n")).unwrap();
        let wanted: String = wanted.iter().map(|record| format!("{record}\n")).collect();
        let mut diff = Command::new(bin!("cccf-diff"));
        let done: Done = run(diff.arg("--current").arg(&current), wanted);
        let changes = done.records().into_iter().filter(|record| record["kind"] == "change");
        let mut changes: Vec<_> = changes
            .map(|change| (change["action"].as_str().unwrap().to_owned(), id(&change).to_owned()))
            .collect();
        changes.sort();
        changes
    }

    /// Runs a command in the container of a service, on the node where it is.
    #[track_caller]
    pub fn exec(&self, record: &Value, command: &[&str]) -> String {
        let container = record["docker"]["tasks"][0]["container"].as_str().unwrap();
        self.hosts.docker(self.node(record), &[&["exec", container], command].concat())
    }

    /// The page of an address, as it is seen from within the container of a service.
    pub fn fetch(&self, record: &Value, address: &str) -> Option<String> {
        let container = record["docker"]["tasks"][0]["container"].as_str().unwrap();
        let pid = self.hosts.look(self.node(record), container, "{{.State.Pid}}")?;
        let url = format!("http://{address}/");
        let get = "nsenter --target \"$1\" --net curl -s --max-time 2 \"$2\" || true";
        let page = self.hosts.exec(self.node(record), &["sh", "-c", get, "sh", &pid, &url]);
        (!page.is_empty()).then_some(page)
    }

    /// The number of the host that a service is on.
    pub fn node(&self, record: &Value) -> usize {
        self.host(record["docker"]["node"].as_str().unwrap())
    }
}

/// The id of what a record is about.
fn id(record: &Value) -> &str {
    record["id"].as_str().or(record["container"]["id"].as_str()).unwrap()
}

/// What cccf-diff says of containers that are as they are wanted.
pub fn keep(ids: &[&str]) -> Vec<(String, String)> {
    ids.iter().map(|id| ("keep".to_owned(), (*id).to_owned())).collect()
}
