//! Podman beside Docker: an engine of one test's own, with its Docker-compatible socket.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::docker::IMAGE;
use super::namespace::ok;
use super::{Docker, Lab, PATIENCE, eventually, skipped};

/// A Podman with the image of the tests; dropping it removes its containers.
pub struct Podman {
    dir: PathBuf,
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
        std::fs::create_dir(&dir).expect("a directory for podman");
        let image = dir.join("image.tar");
        docker.docker(&["save", IMAGE, "-o", image.to_str().unwrap()]);
        ok(command(&dir).arg("load").arg("-i").arg(&image));
        let socket = dir.join("socket");
        let service = command(&dir)
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("podman's service");
        eventually("podman's socket", PATIENCE, || socket.exists().then_some(()));
        Some(Podman { dir, service })
    }

    /// Where its service listens.
    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.join("socket").display())
    }

    /// Runs a container without a network.
    pub fn run(&self, name: &str) {
        let mut run = command(&self.dir);
        run.args(["run", "-d", "--name", name, "--network", "none"]);
        // Its own limits are above what a machine within a machine may set.
        run.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]);
        ok(run.args([IMAGE, "sleep", "600"]));
    }

    /// Runs `podman` with these words; it must succeed.
    #[track_caller]
    pub fn podman(&self, words: &[&str]) {
        ok(command(&self.dir).args(words));
    }

    /// Runs a program inside a container; what it printed.
    pub fn exec(&self, name: &str, words: &[&str]) -> String {
        ok(command(&self.dir).args(["exec", name]).args(words))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = command(&self.dir).args(["rm", "--all", "--force", "--time", "0"]).output();
        let _ = kill(Pid::from_raw(self.service.id() as i32), Signal::SIGTERM);
        let _ = self.service.wait();
    }
}

/// Podman over directories of this test's own, and without a systemd.
fn command(dir: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    command.args(["--events-backend", "file"]);
    command
}
