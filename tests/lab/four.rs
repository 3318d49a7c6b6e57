//! Real DHCPv4 servers on one bridge of a lab, each for 192.0.2.50 to 192.0.2.99 of 192.0.2.0/24.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{Lab, Namespace, PATIENCE, eventually, skipped};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server4 {
    /// ISC's.
    Dhcpd,
    /// Kea.
    Kea,
}

/// A running server; dropping it ends it.
pub struct Four {
    dir: PathBuf,
    child: Child,
}

impl Four {
    /// A server on `bridge`, which has 192.0.2.1, that serves when this returns; or nothing, and a line
    /// that says so, where the program is missing.
    pub fn or_skip(test: &str, lab: &Lab, bridge: &str, server: Server4) -> Option<Four> {
        let (program, version) = match server {
            Server4::Dhcpd => ("dhcpd", "--version"),
            Server4::Kea => ("kea-dhcp4", "-v"),
        };
        if Command::new(program).arg(version).output().is_err() {
            skipped(test, &format!("{program} is not installed"));
            return None;
        }
        let dir = lab.dir().join(format!("{program}-{bridge}"));
        fs::create_dir_all(&dir).expect("a directory for the server");
        let (command, word) = match server {
            Server4::Dhcpd => (dhcpd(lab.machine(), &dir, bridge), "Server starting service"),
            Server4::Kea => (kea(lab.machine(), &dir, bridge), "DHCP4_STARTED"),
        };
        Some(Four::start(command, dir, word))
    }

    fn start(mut command: Command, dir: PathBuf, word: &str) -> Four {
        let said = File::create(dir.join("said")).expect("a file");
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a file")).stderr(said);
        let child = command.spawn().expect("start the server");
        let mut four = Four { dir, child };
        eventually("the server serves", PATIENCE, || {
            let said = four.said();
            let ended = four.child.try_wait().expect("state of the server");
            assert!(ended.is_none(), "{ended:?}: {said}");
            said.contains(word).then_some(())
        });
        four
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        let said = fs::read(self.dir.join("said")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Four {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn dhcpd(machine: &Namespace, dir: &std::path::Path, bridge: &str) -> Command {
    let text = "authoritative;\nping-check false;\ndhcp-cache-threshold 0;\ndefault-lease-time 1000;\n\
                option domain-name-servers 192.0.2.53;\noption domain-search \"a.example\", \"b.example\";\n\
                option routers 192.0.2.1;\n\
                subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.50 192.0.2.99; }\n";
    fs::write(dir.join("conf"), text).expect("a configuration");
    File::create(dir.join("leases")).expect("an empty lease file");
    let mut command = machine.command("dhcpd");
    command.args(["-4", "-d", "-cf"]).arg(dir.join("conf")).arg("-lf").arg(dir.join("leases"));
    command.arg("-pf").arg(dir.join("pid")).arg(bridge);
    command
}

fn kea(machine: &Namespace, dir: &std::path::Path, bridge: &str) -> Command {
    let option = |name: &str, data: &str| json!({"name": name, "data": data});
    let configuration = json!({"Dhcp4": {
        "interfaces-config": {"interfaces": [bridge]},
        "lease-database": {"type": "memfile", "persist": false},
        "authoritative": true, "valid-lifetime": 1000,
        "subnet4": [{"subnet": "192.0.2.0/24", "pools": [{"pool": "192.0.2.50 - 192.0.2.99"}],
            "option-data": [option("routers", "192.0.2.1"),
                option("domain-name-servers", "192.0.2.53"),
                option("domain-search", "a.example, b.example")]}],
        "loggers": [{"name": "kea-dhcp4", "severity": "INFO",
            "output_options": [{"output": "stdout"}]}],
    }});
    let path = dir.join("conf");
    fs::write(&path, configuration.to_string()).expect("a configuration");
    let mut command = machine.command("kea-dhcp4");
    command.arg("-c").arg(path).env("KEA_PIDFILE_DIR", dir).env("KEA_LOCKFILE_DIR", dir);
    command
}
