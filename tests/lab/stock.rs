//! DHCPv6 clients as distributions ship them.
//!
//! Each runs in a network namespace and in a mount namespace of its own, with scripts that do
//! nothing, so that it never comes near the machine's own addresses, names or files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Namespace, PATIENCE, eventually, skipped};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// ISC's.
    Dhclient,
    /// Roy Marples's.
    Dhcpcd,
}

impl Program {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Program::Dhclient => "dhclient",
            Program::Dhcpcd => "dhcpcd",
        }
    }
}

/// A client that runs; dropping it ends it.
pub struct Stock {
    program: Program,
    space: Namespace,
    dir: PathBuf,
    child: Option<Child>,
}

impl Stock {
    pub(super) fn or_skip(
        test: &str,
        machine: &Namespace,
        bridge: &str,
        space: Namespace,
        dir: &Path,
        program: Program,
    ) -> Option<Stock> {
        let name = program.name();
        if Command::new(name).arg("--version").output().is_err() {
            skipped(test, &format!("{name} is not installed"));
            return None;
        }
        for interface in ["all", "default"] {
            space.sysctl(&format!("net.ipv6.conf.{interface}.accept_dad"), "0");
        }
        machine.ip(&format!("link add c-{name} type veth peer name eth0 netns {}", space.name()));
        space.ip("link set lo up");
        space.ip("link set eth0 up");
        machine.ip(&format!("link set c-{name} master {bridge} up"));
        let dir = dir.join(name);
        fs::create_dir_all(&dir).expect("a directory for the client");
        let mut client = Stock { program, space, dir, child: None };
        client.start();
        Some(client)
    }

    /// Starts it, or starts it again.
    pub fn start(&mut self) {
        let said = File::create(self.dir.join("said")).expect("a file");
        let conf = "noipv6rs\nnodhcp\nduid ll\nia_na 1\nia_pd 2\nscript /bin/true\n";
        fs::write(self.dir.join("conf"), conf).expect("a configuration");
        let client = match self.program {
            Program::Dhclient => {
                "exec dhclient -6 -N -P -d -D LL -cf /dev/null -sf /bin/true -lf $1/leases -pf $1/pid eth0"
            }
            Program::Dhcpcd => {
                "mkdir -p /var/lib/dhcpcd && mount -t tmpfs none /run && \
                 mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd -6 -B -f $1/conf eth0"
            }
        };
        let script = format!("mount --bind $1/conf /etc/resolv.conf && {client}");
        let mut command = self.space.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
        command.arg(&self.dir).stdin(Stdio::null());
        command.stdout(said.try_clone().expect("a file")).stderr(said);
        self.child = Some(command.spawn().expect("start the client"));
    }

    /// What it said since its last start.
    pub fn said(&self) -> String {
        let said = fs::read(self.dir.join("said")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Makes it give its leases back, which it does as it ends.
    #[track_caller]
    pub fn release(&mut self) {
        // The server's file tells of a lease before the client has heard of it.
        let word = match self.program {
            Program::Dhclient => "PRC: Bound",
            Program::Dhcpcd => "delegated prefix",
        };
        eventually(word, PATIENCE, || self.said().contains(word).then_some(()));
        match self.program {
            Program::Dhclient => {
                let said = File::create(self.dir.join("said")).expect("a file");
                let mut command = self.space.command("dhclient");
                command.args(["-6", "-v", "-N", "-P", "-r", "-D", "LL", "-cf", "/dev/null"]);
                command.args(["-sf", "/bin/true", "-lf"]).arg(self.dir.join("leases"));
                command.arg("-pf").arg(self.dir.join("pid")).arg("eth0").stdin(Stdio::null());
                command.stdout(said.try_clone().expect("a file")).stderr(said);
                assert!(command.status().expect("run dhclient -r").success(), "{}", self.said());
                self.stop(Signal::SIGTERM);
            }
            // As `dhcpcd --release` does it.
            Program::Dhcpcd => self.stop(Signal::SIGALRM),
        }
    }

    /// A signal that comes while it is busy is lost on dhcpcd.
    #[track_caller]
    fn stop(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let end = Instant::now() + PATIENCE;
        let mut again = Instant::now();
        while child.try_wait().expect("state of the client").is_none() {
            if Instant::now() >= again {
                let _ = kill(Pid::from_raw(child.id() as i32), signal);
                again += Duration::from_secs(1);
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
