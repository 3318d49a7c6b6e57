//! A real dnsmasq that serves DHCPv6 on one bridge of a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Namespace, PATIENCE, eventually};

/// A running dnsmasq; dropping it ends it.
pub struct Dnsmasq {
    machine: Namespace,
    bridge: String,
    dir: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Dnsmasq {
    pub(super) fn start(
        machine: &Namespace,
        bridge: &str,
        network: &str,
        len: &str,
        dir: &Path,
        options: &[&str],
    ) -> Dnsmasq {
        fs::create_dir_all(dir.join("hosts")).expect("a directory for reservations");
        let file = |name: &str| dir.join(name).display().to_string();
        let mut arguments = vec![
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--user=root".to_owned(),
            format!("--pid-file={}", file("pid")),
            format!("--interface={bridge}"),
            "--except-interface=lo".to_owned(),
            "--bind-interfaces".to_owned(),
            "--enable-ra".to_owned(),
            "--dhcp-authoritative".to_owned(), // server preference 255
            format!("--dhcp-leasefile={}", file("leases")),
            format!("--dhcp-hostsdir={}", file("hosts")),
            "--log-dhcp".to_owned(),
            format!("--log-facility={}", file("log")),
        ];
        if !options.iter().any(|option| option.starts_with("--dhcp-range=")) {
            arguments.push(format!("--dhcp-range={network}1000,{network}1fff,{len},1h"));
        }
        if !options.iter().any(|option| option.starts_with("--port=")) {
            arguments.push("--port=0".to_owned()); // no DNS
        }
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        let (machine, bridge, dir) = (machine.clone(), bridge.to_owned(), dir.to_owned());
        let mut server = Dnsmasq { machine, bridge, dir, arguments, child: None };
        server.resume();
        server
    }

    /// The bridge it serves.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Its lease file.
    pub fn leases(&self) -> PathBuf {
        self.dir.join("leases")
    }

    /// The directory that it reads reservations from, one file each.
    pub fn hosts(&self) -> PathBuf {
        self.dir.join("hosts")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Whether its lease file has a lease of this address.
    pub fn has_lease(&self, address: &str) -> bool {
        self.leased().iter().any(|leased| leased == address)
    }

    /// How many leases its lease file has.
    pub fn lease_count(&self) -> usize {
        self.leased().len()
    }

    fn leased(&self) -> Vec<String> {
        let file = fs::read(self.leases()).unwrap_or_default();
        let file = String::from_utf8_lossy(&file).into_owned();
        let addresses = file.lines().filter_map(|line| line.split(' ').nth(2));
        addresses.map(str::to_owned).collect()
    }

    /// Ends it as SIGTERM does: it keeps its lease file.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
            let _ = child.wait();
        }
    }

    /// Starts it again after [`Dnsmasq::stop`], over the lease file that is there.
    pub fn resume(&mut self) {
        let mut command = self.machine.command("dnsmasq");
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().expect("start dnsmasq");
        eventually("dnsmasq listens", PATIENCE, || {
            let ended = child.try_wait().expect("state of dnsmasq");
            assert!(ended.is_none(), "dnsmasq {ended:?}: {}", self.log());
            let sockets = fs::read_to_string(format!("/proc/{}/net/udp6", child.id()));
            // The local address column ends in the port; 547 is 0x0223.
            sockets.is_ok_and(|text| text.contains(":0223 ")).then_some(())
        });
        self.child = Some(child);
    }

    /// Makes it read its reservations again, as `SIGHUP` does.
    pub fn reload(&self) {
        if let Some(child) = &self.child {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP);
        }
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        self.stop();
    }
}
