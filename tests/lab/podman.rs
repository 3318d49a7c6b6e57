//! Podman beside Docker: an engine of one test's own, with its Docker-compatible socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::docker::IMAGE;
use super::namespace::{Namespace, ok};
use super::{Docker, Lab, PATIENCE, eventually, skipped};

/// A Podman with the image of the tests, whose networks are those of a lab's machine. Dropping it
/// removes its containers.
pub struct Podman {
    dir: PathBuf,
    machine: Namespace,
    service: Child,
}

impl Podman {
    /// Podman with its service running; or nothing and a line that says so where it is missing.
    pub fn or_skip(test: &str, lab: &Lab, docker: &Docker) -> Option<Podman> {
        if Command::new("podman").arg("--version").output().is_err() {
            skipped(test, "podman is not installed");
            return None;
        }
        let dir = lab.dir().join("podman");
        fs::create_dir(&dir).expect("a directory for podman");
        configure(&dir);
        let image = dir.join("image.tar");
        docker.docker(&["save", IMAGE, "-o", image.to_str().unwrap()]);
        let machine = lab.machine().clone();
        ok(command(&machine, &dir).arg("load").arg("-i").arg(&image));
        let socket = dir.join("socket");
        let service = command(&machine, &dir)
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("podman's service");
        eventually("podman's socket", PATIENCE, || socket.exists().then_some(()));
        Some(Podman { dir, machine, service })
    }

    /// Where its service listens.
    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.join("socket").display())
    }

    /// Whether containers in one of its networks find each other by name.
    pub fn gives_names(&self) -> bool {
        has_netavark()
    }

    /// A configuration of Docker's in which the context `near` leads to its service.
    pub fn context(&self) -> PathBuf {
        let config = self.dir.join("config");
        // The SHA-256 of `near`.
        let near = "46ba34770bccfde756708d47d83fb7c8257fe8a4b3a35f25d385a8284021f476";
        let meta = config.join("contexts/meta").join(near);
        fs::create_dir_all(&meta).expect("a context");
        let said = json!({"Name": "near", "Endpoints": {"docker": {"Host": self.url()}}});
        fs::write(meta.join("meta.json"), said.to_string()).expect("a context");
        config
    }

    /// Runs a container without a network.
    pub fn run(&self, name: &str) {
        self.podman(&["run", "-d", "--name", name, "--network", "none", IMAGE, "sleep", "600"]);
    }

    /// Runs `podman` with these words; it must succeed. Returns what it printed, trimmed.
    #[track_caller]
    pub fn podman(&self, words: &[&str]) -> String {
        ok(command(&self.machine, &self.dir).args(words)).trim().to_owned()
    }

    /// Runs a program inside a container; what it printed.
    #[track_caller]
    pub fn exec(&self, name: &str, words: &[&str]) -> String {
        self.podman(&[&["exec", name], words].concat())
    }

    /// Whether a program succeeds inside a container.
    pub fn succeeds(&self, name: &str, words: &[&str]) -> bool {
        let mut exec = command(&self.machine, &self.dir);
        let out = exec.args(["exec", name]).args(words).output();
        out.is_ok_and(|out| out.status.success())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut all = command(&self.machine, &self.dir);
        let _ = all.args(["rm", "--all", "--force", "--volumes", "--time", "0"]).output();
        let _ = kill(Pid::from_raw(self.service.id() as i32), Signal::SIGTERM);
        let _ = self.service.wait();
    }
}

fn has_netavark() -> bool {
    ["/usr/lib/podman/", "/usr/libexec/podman/"].into_iter().any(|dir| {
        ["netavark", "aardvark-dns"].into_iter().all(|name| Path::new(dir).join(name).exists())
    })
}

/// What it may set here, and where it keeps networks and locks.
fn configure(dir: &Path) {
    let backend = if has_netavark() { "netavark" } else { "cni" };
    // Its own limits are above what a machine within a machine may set.
    let text = format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
         [network]\nnetwork_backend = \"{backend}\"\nnetwork_config_dir = \"{}\"\n\
         [engine]\nlock_type = \"file\"\n",
        dir.join("networks").display()
    );
    fs::write(dir.join("containers.conf"), text).expect("podman's configuration");
}

/// Podman over directories of this test's own, on the lab's machine and without a systemd.
fn command(machine: &Namespace, dir: &Path) -> Command {
    let mut command = machine.command("podman");
    command.env("CONTAINERS_CONF", dir.join("containers.conf"));
    for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(option).arg(dir.join(name));
    }
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    command.args(["--events-backend", "file"]);
    command
}
