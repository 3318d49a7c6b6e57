//! A real etcd on a lab's loopback interface, of one member or several.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Lab, Namespace, PATIENCE, eventually, skipped};

/// A running etcd; dropping it kills its members.
pub struct Etcd {
    machine: Namespace,
    dir: PathBuf,
    members: Vec<Option<Child>>,
}

impl Etcd {
    /// An etcd of so many members that answers; or nothing, and a line that says so, where the
    /// programs are missing.
    pub fn or_skip(test: &str, lab: &Lab, members: usize) -> Option<Etcd> {
        for program in ["etcd", "etcdctl"] {
            if Command::new(program).arg("--version").output().is_err() {
                skipped(test, &format!("{program} is not installed"));
                return None;
            }
        }
        let members = (0..members).map(|_| None).collect();
        let mut etcd =
            Etcd { machine: lab.machine().clone(), dir: lab.dir().join("etcd"), members };
        fs::create_dir(&etcd.dir).expect("a directory for etcd");
        (0..etcd.members.len()).for_each(|member| etcd.start(member));
        etcd.await_leader();
        Some(etcd)
    }

    /// The address of all of it, for `--store`.
    pub fn address(&self, prefix: &str) -> String {
        let members: Vec<String> = (0..self.members.len()).map(|at| self.member(at)).collect();
        format!("etcd://{}{prefix}", members.join(","))
    }

    /// `HOST:PORT` of one member.
    pub fn member(&self, member: usize) -> String {
        format!("127.0.0.1:{}", port(member))
    }

    /// Starts a member, which goes on with what it has if it has run before.
    pub fn start(&mut self, member: usize) {
        let peer = |member| format!("http://127.0.0.1:{}", port(member) + 1);
        let peers = (0..self.members.len()).map(|at| format!("m{at}={}", peer(at)));
        let peers: Vec<String> = peers.collect();
        let client = format!("http://{}", self.member(member));
        let log = self.dir.join(format!("m{member}.log"));
        let log = File::options().create(true).append(true).open(log).expect("a log for etcd");
        let mut command = self.machine.command("etcd");
        command
            .args(["--name", &format!("m{member}"), "--data-dir"])
            .arg(self.dir.join(format!("m{member}")))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &peers.join(",")])
            .args(["--logger", "zap", "--log-outputs", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.members[member] = Some(command.spawn().expect("start etcd"));
    }

    /// Kills a member, as a power cut does.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops a member, which keeps its connections and says nothing, or lets it go on.
    pub fn freeze(&self, member: usize, frozen: bool) {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        let child = self.members[member].as_ref().expect("a running member");
        kill(Pid::from_raw(child.id() as i32), signal).expect("signal etcd");
    }

    /// The member that leads, once there is one and all that run know it.
    pub fn await_leader(&self) -> usize {
        eventually("etcd has a leader", PATIENCE, || {
            let running: Vec<usize> =
                (0..self.members.len()).filter(|at| self.members[*at].is_some()).collect();
            let status = |at: &usize| -> Option<(u64, u64)> {
                let out = self.command(*at, &["endpoint", "status", "-w", "json"]).output().ok()?;
                let status: Value = serde_json::from_slice(&out.stdout).ok()?;
                let status = status.pointer("/0/Status")?;
                Some((status["header"]["member_id"].as_u64()?, status["leader"].as_u64()?))
            };
            let all = running.iter().map(status).collect::<Option<Vec<_>>>()?;
            let leader = all.first()?.1;
            let agreed = leader != 0 && all.iter().all(|(_, its)| *its == leader);
            let at = all.iter().position(|(member, _)| *member == leader)?;
            agreed.then_some(running[at])
        })
    }

    /// Runs etcdctl with these arguments on a member that runs; it must succeed.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let member = self.members.iter().position(Option::is_some).expect("a running member");
        super::namespace::ok(&mut self.command(member, arguments))
    }

    fn command(&self, member: usize, arguments: &[&str]) -> Command {
        let mut command = self.machine.command("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.member(member));
        command.args(arguments);
        command
    }

    /// Everything that stands under a prefix, as etcdctl sees it.
    #[track_caller]
    pub fn pairs(&self, prefix: &str) -> BTreeMap<String, String> {
        let text = self.ctl(&["get", "--prefix", prefix]);
        let lines: Vec<&str> = text.split('\n').collect();
        let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].to_owned());
        lines.chunks_exact(2).map(pair).collect()
    }
}

/// The port on which a member serves clients; the next is for the other members.
fn port(member: usize) -> usize {
    2379 + 10 * member
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in 0..self.members.len() {
                let log = fs::read_to_string(self.dir.join(format!("m{member}.log")));
                let log = log.unwrap_or_default();
                let from = log.lines().count().saturating_sub(5);
                eprintln!("--- the last that etcd {member} logged:");
                log.lines().skip(from).for_each(|line| eprintln!("{line}"));
            }
        }
        (0..self.members.len()).for_each(|member| self.kill(member));
    }
}
