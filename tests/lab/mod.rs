//! What the tests that need root stand on: network namespaces, bridges, dnsmasq, Docker, a scripted
//! DHCPv6 client, and programs that are fed records and watched.
//!
//! A [`Lab`] is one network namespace that plays the machine. Bridges, routes and settings of the
//! kernel are its own, so a test changes nothing outside, two tests never meet, and interface names
//! are free (`br0`, `br1`). Everything goes when the value is dropped, after a panic too; what a
//! killed test left behind is swept by the next one.
//!
//!     let Some(mut lab) = Lab::or_skip("a_lease_becomes_an_address") else { return };
//!     lab.bridge("br1");
//!     let server = lab.dnsmasq("br1", "fd00:1::/64", &[]);
//!     let mut alice = lab.client("br1", "alice");
//!     let address = alice.lease();
//!
//! Programs of the suite that must see the lab's bridges are started in it:
//!
//!     let pipe = Running::start(lab.command(bin!("unionize")).args(["--bridge", "br1"]));
//!
//! Docker is the machine's own. A container's network namespace is a file, and so is reached from
//! inside the lab as well.

#![allow(dead_code, unused_imports, unused_macros)] // each test file uses a part of it

mod client;
pub mod dhcp6;
pub mod dns;
mod dnsmasq;
mod docker;
mod dockerd;
mod etcd;
mod four;
mod hosts;
mod isc;
mod kea;
mod namespace;
mod ovs;
pub mod plugged;
mod podman;
mod program;
mod proxy;
pub mod registry;
mod stock;
pub mod strait;
pub mod swarm;
mod traffic;
mod wiretap;

pub use client::Client;
pub use dnsmasq::Dnsmasq;
pub use docker::{Docker, IMAGE};
pub use dockerd::Dockerd;
pub use etcd::Etcd;
pub use four::{Four, Server4};
pub use hosts::Hosts;
pub use isc::Isc;
pub use kea::{Kea, LEASE_CMDS};
pub use namespace::Namespace;
pub use ovs::Ovs;
pub use podman::Podman;
pub use program::{Done, Running, done, failed, run};
pub use proxy::{Cut, Proxy};
pub use registry::Registry;
pub use stock::{Program, Stock};
pub use swarm::{Swarm, keep};
pub use traffic::reaches;
pub use wiretap::Wiretap;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The path of a program of the suite, built by cargo for this test.
macro_rules! bin {
    ($name:literal) => {
        env!(concat!("CARGO_BIN_EXE_", $name))
    };
}
pub(crate) use bin;

/// Says on the real standard error, past the capture of the test runner, that `test` is left out.
pub fn skipped(test: &str, why: &str) {
    let line = format!("skipped: {test}: {why}\n");
    // One write, so that lines of parallel tests do not run into each other. The macros would be
    // captured; the handle is not.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether the test may act as root; says so when not.
pub fn root_or_skip(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(test, "needs root");
    }
    root
}

/// Waits until `ready` gives something; fails the test when `within` is over before.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Long enough for anything that works, on a loaded machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One machine of its own: a network namespace, a directory, and what runs in them.
pub struct Lab {
    // Dropped in this order: first what uses the namespaces, then they.
    servers: Vec<Dnsmasq>,
    others: Vec<Namespace>,
    machine: Namespace,
    dir: PathBuf,
}

/// Every name that a lab gives starts with this and the process id of its test.
const PREFIX: &str = "lpt";

impl Lab {
    /// A lab, or nothing and a line that says so when the test does not run as root.
    pub fn or_skip(test: &str) -> Option<Lab> {
        root_or_skip(test).then(Lab::new)
    }

    fn new() -> Lab {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        if count == 0 {
            sweep();
        }
        let name = format!("{PREFIX}{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir(&dir).expect("a new directory for the lab");
        let machine = Namespace::new(&name);
        machine.ip("link set lo up");
        machine.sysctl("net.ipv6.conf.all.forwarding", "1");
        Lab { servers: vec![], others: vec![], machine, dir }
    }

    /// A directory of the lab's own.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The namespace that plays the machine.
    pub fn machine(&self) -> &Namespace {
        &self.machine
    }

    /// `program`, to be run on the lab's machine.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.machine.command(program)
    }

    /// Runs `ip` with these words on the lab's machine; it must succeed.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        self.machine.ip(words)
    }

    /// Makes a bridge that works at once: a fixed MAC address, no spanning tree, a permanent port so
    /// that it has a carrier, and a link-local address without duplicate detection.
    pub fn bridge(&self, name: &str) {
        let last = name.bytes().fold(0u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
        self.ip(&format!(
            "link add {name} address 02:00:00:00:00:{last:02x} type bridge stp_state 0 forward_delay 0"
        ));
        self.machine.sysctl(&format!("net.ipv6.conf.{name}.accept_dad"), "0");
        self.ip(&format!("link add {name}-stub type veth peer name {name}-end"));
        self.ip(&format!("link set {name}-stub master {name} up"));
        self.ip(&format!("link set {name}-end up"));
        self.ip(&format!("link set {name} up"));
    }

    /// A further network namespace, as of a container or a second machine, with nothing in it.
    pub fn namespace(&mut self, label: &str) -> PathBuf {
        let space = Namespace::new(&format!("{}-{label}", self.machine.name()));
        let path = space.path();
        self.others.push(space);
        path
    }

    /// A dnsmasq that serves DHCPv6 and router advertisements for `prefix` (`fd00:1::/64`) on
    /// `bridge`, which gets the prefix's address `::1`. It answers when this returns.
    pub fn dnsmasq(&mut self, bridge: &str, prefix: &str, options: &[&str]) -> &mut Dnsmasq {
        let (network, len) = prefix.split_once('/').expect("a prefix");
        assert!(network.ends_with("::"), "{network} ends in ::");
        self.ip(&format!("address replace {network}1/{len} dev {bridge} nodad"));
        let dir = self.dir.join(bridge);
        fs::create_dir_all(&dir).expect("a directory for dnsmasq");
        let server = Dnsmasq::start(&self.machine, bridge, network, len, &dir, options);
        self.servers.push(server);
        self.servers.last_mut().expect("just pushed")
    }

    /// The dnsmasq that serves `bridge`.
    pub fn server(&mut self, bridge: &str) -> &mut Dnsmasq {
        let of = |server: &&mut Dnsmasq| server.bridge() == bridge;
        self.servers.iter_mut().find(of).expect("a dnsmasq on that bridge")
    }

    /// A client as distributions ship it, in namespaces of its own and plugged into `bridge`, that
    /// begins to ask for an address and a prefix; or nothing, and a line that says so, where the
    /// program is missing.
    pub fn stock(&mut self, test: &str, bridge: &str, program: Program) -> Option<Stock> {
        let space = Namespace::new(&format!("{}-{}", self.machine.name(), program.name()));
        self.others.push(space.clone());
        Stock::or_skip(test, &self.machine, bridge, space, &self.dir, program)
    }

    /// A client in a namespace of its own, plugged into `bridge`, with its link up and without any
    /// lease. Its DUID, MAC address and IAID follow from `name`.
    pub fn client(&mut self, bridge: &str, name: &str) -> Client {
        let space = Namespace::new(&format!("{}-{name}", self.machine.name()));
        let client = Client::plug(&self.machine, bridge, space.clone(), name);
        self.others.push(space);
        client
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in &self.servers {
                let log = server.log();
                let from = log.lines().count().saturating_sub(20);
                eprintln!("--- the last that dnsmasq on {} logged:", server.bridge());
                log.lines().skip(from).for_each(|line| eprintln!("{line}"));
            }
        }
        self.servers.clear();
        self.others.drain(..).for_each(Namespace::remove);
        self.machine.clone().remove();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Whether this is a name that a lab of a test gave which does not run any more.
fn is_left_behind(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
}

/// Takes away what tests that were killed have left.
fn sweep() {
    let left = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| is_left_behind(name)).collect()
    };
    for name in left(Path::new("/run/netns")) {
        Namespace::left_behind(&name).remove();
    }
    let temp = std::env::temp_dir();
    for name in left(&temp) {
        dockerd::clear(&temp.join(&name));
        let _ = fs::remove_dir_all(temp.join(name));
    }
}
