//! A real ISC dhcpd that serves DHCPv6 on one bridge of a lab.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Lab, Namespace, PATIENCE, eventually, skipped};

/// A running dhcpd; dropping it ends it.
pub struct Isc {
    machine: Namespace,
    bridge: String,
    network: String,
    dir: PathBuf,
    child: Option<Child>,
}

impl Isc {
    /// A dhcpd that serves `prefix` (`fd00:1::/64`) on `bridge`, delegates prefixes of `fd00:100::/40`,
    /// and answers; or nothing, and a line that says so, where the program is missing.
    pub fn or_skip(test: &str, lab: &Lab, bridge: &str, prefix: &str) -> Option<Isc> {
        if Command::new("dhcpd").arg("--version").output().is_err() {
            skipped(test, "dhcpd is not installed");
            return None;
        }
        let (network, len) = prefix.split_once('/').expect("a prefix");
        lab.ip(&format!("address replace {network}1/{len} dev {bridge} nodad"));
        let dir = lab.dir().join(format!("isc-{bridge}"));
        fs::create_dir_all(&dir).expect("a directory for dhcpd");
        File::create(dir.join("leases")).expect("an empty lease file");
        let (machine, bridge, network) =
            (lab.machine().clone(), bridge.to_owned(), network.to_owned());
        let mut isc = Isc { machine, bridge, network, dir, child: None };
        isc.configure(3600);
        isc.resume();
        Some(isc)
    }

    /// How long its leases are to last, in seconds, from its next start on.
    pub fn configure(&self, lifetime: u32) {
        let network = &self.network;
        // A threshold of nothing: a renewal is written down however early it comes.
        let text = format!(
            "dhcp-cache-threshold 0;\ndefault-lease-time {lifetime};\nmax-lease-time {lifetime};\n\
             preferred-lifetime {lifetime};\noption dhcp6.preference 255;\n\
             option dhcp6.lab-vendor code 16 = string;\n\
             subnet6 {network}/64 {{\n  range6 {network}1000 {network}1fff;\n  \
             range6 {network}f:0:0:0/80 temporary;\n  \
             prefix6 fd00:100:: fd00:1ff:: /64;\n  \
             set vendor_class = option dhcp6.lab-vendor;\n}}\n"
        );
        fs::write(self.dir.join("conf"), text).expect("a configuration");
    }

    /// Its lease file.
    pub fn leases(&self) -> PathBuf {
        self.dir.join("leases")
    }

    /// What it has leased: it is started anew, for which it writes down what it knows and nothing
    /// else.
    pub fn leased(&mut self) -> BTreeSet<String> {
        self.stop();
        self.resume();
        let text = fs::read_to_string(self.leases()).expect("its lease file");
        let mut place = "";
        let mut leased = BTreeSet::new();
        for line in text.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["iaaddr" | "iaprefix", found, "{"] => place = found,
                ["binding", "state", "active;"] => drop(leased.insert(place.to_owned())),
                _ => (),
            }
        }
        leased
    }

    /// Ends it as SIGTERM does: it keeps its leases.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
            let _ = child.wait();
        }
    }

    /// Starts it again after [`Isc::stop`].
    pub fn resume(&mut self) {
        let said = File::create(self.dir.join("said")).expect("a file");
        let file = |name: &str| self.dir.join(name);
        let _ = fs::remove_file(file("pid"));
        let mut command = self.machine.command("dhcpd");
        command.args(["-6", "-d", "-cf"]).arg(file("conf")).arg("-lf").arg(file("leases"));
        command.arg("-pf").arg(file("pid")).arg(&self.bridge).stdin(Stdio::null());
        command.stdout(said.try_clone().expect("a file")).stderr(said);
        let mut child = command.spawn().expect("start dhcpd");
        eventually("dhcpd serves", PATIENCE, || {
            let said = fs::read_to_string(self.dir.join("said")).unwrap_or_default();
            let ended = child.try_wait().expect("state of dhcpd");
            assert!(ended.is_none(), "dhcpd {ended:?}: {said}");
            said.contains("Server starting service").then_some(())
        });
        self.child = Some(child);
    }
}

impl Drop for Isc {
    fn drop(&mut self) {
        self.stop();
    }
}
