//! A real kea-dhcp6 that serves one bridge of a lab, and a real kea-ctrl-agent before it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{Lab, Namespace, PATIENCE, eventually, skipped};

/// The hook library that lists leases.
pub const LEASE_CMDS: &str = "libdhcp_lease_cmds.so";

/// A running Kea; dropping it ends it.
pub struct Kea {
    machine: Namespace,
    dir: PathBuf,
    configuration: Value,
    child: Option<Child>,
    agent: Option<Child>,
}

impl Kea {
    /// A Kea that serves `prefix` (`fd00:1::/64`) on `bridge`, with these hook libraries, and answers;
    /// or nothing, and a line that says so, where the programs are missing.
    pub fn or_skip(
        test: &str,
        lab: &Lab,
        bridge: &str,
        prefix: &str,
        hooks: &[&str],
    ) -> Option<Kea> {
        for program in ["kea-dhcp6", "kea-ctrl-agent", "perfdhcp"] {
            if Command::new(program).arg("-v").output().is_err() {
                skipped(test, &format!("{program} is not installed"));
                return None;
            }
        }
        let hooks = hooks.iter().map(|name| Some(json!({"library": library(name)?})));
        let Some(hooks) = hooks.collect::<Option<Vec<Value>>>() else {
            skipped(test, "a hook library of Kea is not installed");
            return None;
        };
        let (network, len) = prefix.split_once('/').expect("a prefix");
        lab.ip(&format!("address replace {network}1/{len} dev {bridge} nodad"));
        let dir = lab.dir().join(format!("kea-{bridge}"));
        fs::create_dir_all(&dir).expect("a directory for Kea");
        let configuration = json!({"Dhcp6": {
            "data-directory": dir,
            "interfaces-config": {"interfaces": [bridge]},
            "lease-database": {"type": "memfile", "name": dir.join("leases.csv")},
            "control-socket": {"socket-type": "unix", "socket-name": dir.join("socket")},
            "hooks-libraries": hooks,
            "expired-leases-processing": {"reclaim-timer-wait-time": 1},
            "valid-lifetime": 3600,
            "subnet6": [{
                "id": 1, "subnet": prefix, "interface": bridge, "rapid-commit": true,
                "pools": [{"pool": format!("{network}1000-{network}1:ffff")}],
            }],
            "loggers": [{"name": "kea-dhcp6", "severity": "INFO",
                "output_options": [{"output": dir.join("log")}]}],
        }});
        let machine = lab.machine().clone();
        let mut kea = Kea { machine, dir, configuration, child: None, agent: None };
        kea.resume();
        Some(kea)
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Its lease file.
    pub fn leases(&self) -> PathBuf {
        self.dir.join("leases.csv")
    }

    /// What it answers to a command.
    #[track_caller]
    pub fn ask(&self, command: Value) -> Value {
        let answer = UnixStream::connect(self.socket()).and_then(|mut stream| {
            stream.write_all(command.to_string().as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).map(|_| answer)
        });
        serde_json::from_slice(&answer.expect("an answer of Kea")).expect("JSON from Kea")
    }

    /// Changes its configuration for the next start: what `DHCP6` is to have besides.
    pub fn configure(&mut self, name: &str, value: Value) {
        self.configuration["Dhcp6"][name] = value;
    }

    /// Ends it as SIGTERM does: it keeps its leases.
    pub fn stop(&mut self) {
        end(self.child.take());
    }

    /// Starts it again after [`Kea::stop`].
    pub fn resume(&mut self) {
        self.child = Some(self.start("kea-dhcp6", &self.configuration));
        let answers = || UnixStream::connect(self.socket()).ok().map(drop);
        eventually("kea-dhcp6 answers", PATIENCE, answers);
    }

    /// Starts kea-ctrl-agent before it, for this user and password where they are given; its address.
    pub fn start_agent(&mut self, user: Option<(&str, &str)>) -> String {
        let mut agent = json!({
            "http-host": "127.0.0.1", "http-port": 8000,
            "control-sockets": {"dhcp6": {"socket-type": "unix", "socket-name": self.socket()}},
            "loggers": [{"name": "kea-ctrl-agent", "severity": "INFO",
                "output_options": [{"output": self.dir.join("agent.log")}]}],
        });
        if let Some((user, password)) = user {
            let clients = json!([{"user": user, "password": password}]);
            agent["authentication"] = json!({"type": "basic", "realm": "kea", "clients": clients});
        }
        self.agent = Some(self.start("kea-ctrl-agent", &json!({"Control-agent": agent})));
        let connects = || std::net::TcpStream::connect("127.0.0.1:8000").ok().map(drop);
        let listens = || self.machine.within(connects);
        eventually("kea-ctrl-agent listens", PATIENCE, listens);
        "127.0.0.1:8000".to_owned()
    }

    fn start(&self, program: &str, configuration: &Value) -> Child {
        let path = self.dir.join(format!("{program}.conf"));
        fs::write(&path, configuration.to_string()).expect("a configuration");
        let said = File::create(self.dir.join(format!("{program}.said"))).expect("a file");
        let mut command = self.machine.command(program);
        command
            .arg("-c")
            .arg(path)
            .env("KEA_PIDFILE_DIR", &self.dir)
            .env("KEA_LOCKFILE_DIR", &self.dir)
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a file"))
            .stderr(said);
        command.spawn().unwrap_or_else(|why| panic!("start {program}: {why}"))
    }

    /// Has so many clients, but for a few, take a lease each, over `link`, the other end of a port
    /// of its bridge.
    pub fn crowd(&self, link: &str, count: usize) {
        let words = count.to_string();
        // Now and then it ends with `sendmsg() … Invalid argument` before the first client.
        eventually("perfdhcp leases", Duration::from_secs(120), || {
            let mut command = self.machine.command("perfdhcp");
            command.args(["-6", "-l", link, "-g", "single", "-r", "1000", "-d", "2"]);
            let said = command.args(["-R", &words, "-n", &words]).output().expect("perfdhcp");
            let leased = self.ask(json!({"command": "lease6-get-all"}));
            let leased = leased["arguments"]["leases"].as_array().map_or(0, Vec::len);
            if leased < count * 9 / 10 {
                eprintln!("{leased} leases, {said:?}");
                return None;
            }
            Some(())
        });
    }
}

impl Drop for Kea {
    fn drop(&mut self) {
        end(self.agent.take());
        self.stop();
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        let _ = child.wait();
    }
}

/// Where a hook library is installed.
fn library(name: &str) -> Option<PathBuf> {
    let below = |dir: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().join("kea/hooks").join(name)).collect()
    };
    let own = PathBuf::from("/usr/lib/kea/hooks").join(name);
    below("/usr/lib").into_iter().chain([own]).find(|path| path.exists())
}
