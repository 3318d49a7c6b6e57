//! A real Open vSwitch of a lab's own: its database, its daemon, and its bridges.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespace::ok;
use super::{Lab, Namespace, PATIENCE, eventually, skipped};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A running Open vSwitch; dropping it ends it.
pub struct Ovs {
    machine: Namespace,
    dir: PathBuf,
    server: Option<Child>,
    daemon: Option<Child>,
}

impl Ovs {
    /// One on the lab's machine, or nothing and a line that says so where it is not installed.
    pub fn or_skip(test: &str, lab: &Lab) -> Option<Ovs> {
        for program in ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"] {
            if Command::new(program).arg("--version").output().is_err() {
                skipped(test, &format!("{program} is not installed"));
                return None;
            }
        }
        let dir = lab.dir().join("ovs");
        fs::create_dir_all(&dir).expect("a directory for Open vSwitch");
        ok(Command::new("ovsdb-tool").arg("create").arg(dir.join("conf.db")).arg(SCHEMA));
        let mut ovs = Ovs { machine: lab.machine().clone(), dir, server: None, daemon: None };
        let remote = format!("--remote=punix:{}", ovs.socket().display());
        let db = ovs.dir.join("conf.db");
        ovs.server = Some(ovs.start("ovsdb-server", &[remote.as_ref(), &db]));
        let socket = ovs.socket();
        eventually("the database listens", PATIENCE, || socket.exists().then_some(()));
        ovs.vsctl("--no-wait init");
        ovs.resume();
        Some(ovs)
    }

    /// The database's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("db.sock")
    }

    /// Runs `ovs-vsctl` with these words; it must succeed. Returns what it printed.
    #[track_caller]
    pub fn vsctl(&self, words: &str) -> String {
        let mut command = Command::new("ovs-vsctl");
        command.arg(format!("--db=unix:{}", self.socket().display())).arg("--timeout=20");
        ok(command.args(words.split_whitespace())).trim().to_owned()
    }

    /// Makes a bridge: in the kernel where that can, and in the daemon otherwise. Whether it is in
    /// the daemon.
    pub fn bridge(&self, name: &str) -> bool {
        let in_userspace = !Path::new("/sys/module/openvswitch").exists();
        let datapath = if in_userspace { "netdev" } else { "system" };
        self.vsctl(&format!("add-br {name} -- set bridge {name} datapath_type={datapath}"));
        self.machine.sysctl(&format!("net.ipv6.conf.{name}.accept_dad"), "0");
        self.machine.ip(&format!("link set {name} up"));
        in_userspace
    }

    /// Ends the daemon; the database stays.
    pub fn stop(&mut self) {
        end(&mut self.daemon);
    }

    /// Starts the daemon again after [`Ovs::stop`].
    pub fn resume(&mut self) {
        let remote = format!("unix:{}", self.socket().display());
        self.daemon = Some(self.start("ovs-vswitchd", &[remote.as_ref()]));
    }

    fn start(&self, program: &str, words: &[&Path]) -> Child {
        let said = File::create(self.dir.join(format!("{program}.said"))).expect("a file");
        let file = |kind: &str| format!("--{kind}={}/{program}.{kind}", self.dir.display());
        let mut command = self.machine.command(program);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, &self.dir);
        }
        command.args([file("pidfile"), file("unixctl")]).args(words).stdin(Stdio::null());
        command.stdout(said.try_clone().expect("a file")).stderr(said);
        command.spawn().unwrap_or_else(|e| panic!("start {program}: {e}"))
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        let _ = child.wait();
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        end(&mut self.daemon);
        end(&mut self.server);
    }
}
