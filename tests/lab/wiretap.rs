//! What goes over an interface of a lab, captured and taken apart by tshark.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Lab, Namespace, PATIENCE, eventually, skipped};

/// A capture that goes on; dropping it ends it.
pub struct Wiretap {
    child: Child,
    path: PathBuf,
    machine: Namespace,
}

impl Wiretap {
    /// Captures DHCPv6 on an interface of the lab's machine, or says why not. It listens when this
    /// returns.
    pub fn or_skip(test: &str, lab: &Lab, interface: &str) -> Option<Wiretap> {
        let is_there = |name: &str| Command::new(name).arg("--version").output().is_ok();
        if let Some(missing) = ["tshark", "dumpcap"].into_iter().find(|name| !is_there(name)) {
            skipped(test, &format!("{missing} is not installed"));
            return None;
        }
        let path = lab.dir().join(format!("{interface}.pcap"));
        // dumpcap may give up its rights before it opens the file.
        File::create(&path).expect("a file for the capture");
        let mut command = lab.command("dumpcap");
        command.args(["-q", "-P", "-i", interface, "-f", "udp port 546 or udp port 547", "-w"]);
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start dumpcap");
        let said = BufReader::new(child.stderr.take().expect("its standard error"));
        let mut lines = said.lines();
        let listens = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("File: "));
        assert!(listens, "dumpcap captures");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Wiretap { child, path, machine: lab.machine().clone() })
    }

    /// Waits until this many messages were captured, and what tshark makes of them: the layer `dhcpv6`
    /// of each, with its name and value of every field.
    #[track_caller]
    pub fn messages(&self, count: usize) -> Vec<Value> {
        eventually("the messages are captured", PATIENCE, || {
            let found = self.dissect();
            (found.len() >= count).then_some(found)
        })
    }

    fn dissect(&self) -> Vec<Value> {
        let mut command = self.machine.command("tshark");
        command.args(["-n", "-T", "json", "--no-duplicate-keys", "-Y", "dhcpv6", "-r"]);
        let out = command.arg(&self.path).output().expect("tshark");
        serde_json::from_slice(&out.stdout).unwrap_or_default()
    }

    /// What tshark finds wrong, as it says it; an empty line is not there.
    pub fn complaints(&self) -> Vec<String> {
        let mut command = self.machine.command("tshark");
        command.args([
            "-n",
            "-Y",
            "_ws.malformed || _ws.expert.severity >= 0x00400000 || _ws.unreassembled",
        ]);
        command.args([
            "-T",
            "fields",
            "-e",
            "frame.number",
            "-e",
            "_ws.col.Info",
            "-e",
            "_ws.expert.message",
            "-r",
        ]);
        let out = command.arg(&self.path).output().expect("tshark");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
