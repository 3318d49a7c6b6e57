//! Several Docker hosts, each with an engine of its own that may be cut off, killed and come back.
//!
//! `tests/lab/docker-hosts` makes them; it can be used by hand as well. They start in two seconds,
//! so a test file has one set of them and tells a whole story with it:
//!
//!     let Some(hosts) = Hosts::or_skip("a_host_is_cut_off", 3, &["tls"]) else { return };
//!     let url = hosts.url(1);
//!     hosts.cut(2);

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::namespace::ok;
use super::{IMAGE, root_or_skip, skipped};

/// What the names of hosts begin with, followed by the process id of their test.
const PREFIX: &str = "lph";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/docker-hosts");

/// Docker hosts with numbers from 1 on. Dropping the value takes away all that they are and have.
pub struct Hosts {
    base: PathBuf,
    count: usize,
}

impl Hosts {
    /// So many hosts whose engines answer and have the image [`IMAGE`], to be reached in these ways
    /// as well (`tls`, `ssh`), or with a disk of a size (`disk=2:64m`); or nothing, and a line that
    /// says so, where a program is missing.
    pub fn or_skip(test: &str, count: usize, ways: &[&str]) -> Option<Hosts> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !root_or_skip(test) {
            return None;
        }
        let mut needed = vec!["dockerd", "docker", "docker-init", "ip", "nsenter", "curl"];
        needed.extend(ways.contains(&"tls").then_some("openssl"));
        needed.extend(ways.contains(&"ssh").then_some("sshd"));
        if let Some(program) = needed.into_iter().find(|program| !is_installed(program)) {
            skipped(test, &format!("{program} is not installed"));
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            sweep();
        }
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let hosts = Hosts { base: std::env::temp_dir().join(&name), count };
        let count = count.to_string();
        let up = [&["up", &*count], ways].concat();
        ok(hosts.command(&up).env("DOCKER_HOSTS_PREFIX", &name));
        hosts.load_image();
        Some(hosts)
    }

    /// The directory of the hosts; host I's files are in `I` below it.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The name of a host.
    pub fn name(&self, host: usize) -> String {
        format!("{}-h{host}", self.base.file_name().expect("a name").to_string_lossy())
    }

    /// Where a host's engine listens on the network, `tcp://ADDRESS:PORT`.
    pub fn url(&self, host: usize) -> String {
        self.ask("url", host)
    }

    /// Where a host's engine listens on this machine, whatever the network does: `unix://PATH`.
    pub fn socket(&self, host: usize) -> String {
        format!("unix://{}/{host}/docker.sock", self.base.display())
    }

    /// A host's IPv4 address.
    pub fn address(&self, host: usize) -> String {
        self.ask("address", host)
    }

    /// A directory with the `ca.pem`, `cert.pem` and `key.pem` of a client of the hosts.
    pub fn tls(&self) -> PathBuf {
        self.base.join("tls/client")
    }

    /// The same of a client that they do not know, and who does not know them.
    pub fn stranger(&self) -> PathBuf {
        self.base.join("tls/stranger")
    }

    /// A directory that is to be the first in `PATH`, with an `ssh` that knows the hosts.
    pub fn ssh(&self) -> PathBuf {
        self.base.join("ssh/bin")
    }

    /// Pulls the cable out of a host.
    pub fn cut(&self, host: usize) {
        self.ask("cut", host);
    }

    /// Puts the cable back.
    pub fn heal(&self, host: usize) {
        self.ask("heal", host);
    }

    /// Cuts the power of a host: nothing on it runs any more, its disk stays.
    pub fn off(&self, host: usize) {
        self.ask("off", host);
    }

    /// Boots a host again; its engine answers when this returns.
    pub fn on(&self, host: usize) {
        self.ask("on", host);
    }

    /// Kills a host's engine; the containers go on until it starts again.
    pub fn crash(&self, host: usize) {
        self.ask("crash", host);
    }

    /// Starts a host's engine that was killed; it answers when this returns.
    pub fn start(&self, host: usize) {
        self.ask("start", host);
    }

    /// Makes one swarm of the hosts, so many of them managers, from host 1 on.
    pub fn swarm(&self, managers: usize) {
        self.ask("swarm", managers);
    }

    /// Runs a command on a host; it must succeed. Returns what it printed, trimmed.
    #[track_caller]
    pub fn exec(&self, host: usize, command: &[&str]) -> String {
        let host = host.to_string();
        ok(&mut self.command(&[&["exec", &*host], command].concat())).trim().to_owned()
    }

    /// A program with its arguments, to be run on a host. It ends with the host at the latest.
    pub fn program(&self, host: usize, words: &[&str]) -> Command {
        self.command(&[&["exec", &*host.to_string()], words].concat())
    }

    /// This machine's own address in the network of the hosts.
    pub fn machine(&self) -> String {
        let first = self.address(1);
        let (network, _) = first.rsplit_once('.').expect("an IPv4 address");
        format!("{network}.254")
    }

    /// Runs `docker` for a host's engine; it must succeed. Returns what it printed, trimmed.
    #[track_caller]
    pub fn docker(&self, host: usize, arguments: &[&str]) -> String {
        ok(Command::new("docker").args(["-H", &self.socket(host)]).args(arguments))
            .trim()
            .to_owned()
    }

    /// One field of a container, or nothing when it is not there.
    pub fn look(&self, host: usize, name: &str, format: &str) -> Option<String> {
        let inspect = ["container", "inspect", "--format", format, name];
        let out = Command::new("docker").args(["-H", &self.socket(host)]).args(inspect).output();
        let out = out.ok().filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    #[track_caller]
    fn ask(&self, verb: &str, host: usize) -> String {
        ok(&mut self.command(&[verb, &host.to_string()])).trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SCRIPT);
        command.env("DOCKER_HOSTS_BASE", &self.base).args(arguments);
        command
    }

    /// Makes the image on the first host, and copies it to the others.
    fn load_image(&self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/image");
        ok(Command::new(script).arg(IMAGE).env("DOCKER_HOST", self.socket(1)));
        let file = self.base.join("image.tar").display().to_string();
        self.docker(1, &["save", "-o", &file, IMAGE]);
        std::thread::scope(|scope| {
            for host in 2..=self.count {
                let file = &file;
                scope.spawn(move || self.docker(host, &["load", "-q", "-i", file]));
            }
        });
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for host in 1..=self.count {
                let log = std::fs::read_to_string(self.base.join(format!("{host}/dockerd.log")));
                let log = log.unwrap_or_default();
                let from = log.lines().count().saturating_sub(5);
                eprintln!("--- the last that the engine of host {host} logged:");
                log.lines().skip(from).for_each(|line| eprintln!("{line}"));
            }
        }
        down(&self.base);
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).any(|dir| dir.join(program).is_file())
}

fn down(base: &Path) {
    let _ = Command::new(SCRIPT).env("DOCKER_HOSTS_BASE", base).arg("down").output();
}

/// Takes away the hosts of tests that were killed.
fn sweep() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            down(&entry.path());
        }
    }
}
