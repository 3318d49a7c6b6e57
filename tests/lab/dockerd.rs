//! A Docker engine of one test's own, which may be ended, killed and started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::docker::IMAGE;
use super::namespace::ok;
use super::{Docker, Lab, PATIENCE, eventually, skipped};

/// A dockerd with the image of the tests and without networks. Dropping it removes its containers, and
/// all that it kept.
pub struct Dockerd {
    dir: PathBuf,
    daemon: Option<Child>,
}

impl Dockerd {
    /// A running one; or nothing, and a line that says so, where none can be run.
    pub fn or_skip(test: &str, lab: &Lab, docker: &Docker) -> Option<Dockerd> {
        for program in ["dockerd", "setpriv"] {
            if Command::new(program).arg("--version").output().is_err() {
                skipped(test, &format!("{program} is not installed"));
                return None;
            }
        }
        let dir = lab.dir().join("docker");
        fs::create_dir(&dir).expect("a directory for dockerd");
        fs::write(dir.join("settings"), "{}").expect("dockerd's settings");
        let mut dockerd = Dockerd { dir, daemon: None };
        dockerd.start(false);
        let image = dockerd.dir.join("image.tar");
        docker.docker(&["save", IMAGE, "-o", image.to_str().unwrap()]);
        dockerd.docker(&["load", "--input", image.to_str().unwrap()]);
        Some(dockerd)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.join("socket").display())
    }

    /// Runs `docker` with these arguments on it; it must succeed. Returns what it printed, trimmed.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        ok(self.command().args(arguments)).trim().to_owned()
    }

    /// Runs a container without a network, which is to run for as long as the engine does.
    #[track_caller]
    pub fn run(&self, name: &str) {
        self.docker(&["run", "-d", "--network=none", "--restart=always", "--name", name, IMAGE]);
    }

    /// One field of a container, as `docker inspect --format` gives it; it must be there.
    #[track_caller]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.docker(&["inspect", "--format", format, name])
    }

    /// Starts it; it answers when this returns. Its containers outlive its next end if it is to be
    /// `live`, and otherwise begin anew when it is started after that.
    #[track_caller]
    pub fn start(&mut self, live: bool) {
        let file = |name: &str| self.dir.join(name);
        let log = File::options().append(true).create(true).open(file("log")).expect("a log");
        // An engine without a bridge deletes docker0 where it starts. It ends with the test, which may
        // be killed.
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "setpriv", "--pdeathsig", "TERM", "dockerd"]);
        command.args(["--bridge=none", "--iptables=false"]);
        command.args(["--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        command.arg("--host").arg(self.url());
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "run"),
            ("--pidfile", "pid"),
            ("--config-file", "settings"),
        ] {
            command.arg(option).arg(file(name));
        }
        command.args(live.then_some("--live-restore"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut daemon = command.spawn().expect("start dockerd");
        eventually("dockerd answers", PATIENCE, || {
            let ended = daemon.try_wait().expect("state of dockerd");
            assert!(ended.is_none(), "dockerd {ended:?}: {}", self.log());
            let answer = self.command().arg("version").output();
            answer.is_ok_and(|out| out.status.success()).then_some(())
        });
        self.daemon = Some(daemon);
    }

    /// Ends or kills it.
    pub fn end(&mut self, signal: Signal) {
        if let Some(mut daemon) = self.daemon.take() {
            let containerd = self.containerd();
            let _ = kill(Pid::from_raw(daemon.id() as i32), signal);
            let _ = daemon.wait();
            // The next one would take it for its own, however little is left of it.
            eventually("its containerd ends", PATIENCE, || {
                let left = containerd.as_ref().is_some_and(|process| process.exists());
                (!left).then_some(())
            });
        }
    }

    /// The process that runs its containers for it.
    fn containerd(&self) -> Option<PathBuf> {
        let pid = fs::read_to_string(self.dir.join("run/containerd/containerd.pid")).ok()?;
        Some(Path::new("/proc").join(pid.trim()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.url());
        command
    }

    /// The last that it has said.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let from = log.lines().count().saturating_sub(20);
        log.lines().skip(from).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            let ids = self.command().args(["ps", "-aq"]).output().map(|out| out.stdout);
            let ids = String::from_utf8_lossy(&ids.unwrap_or_default()).into_owned();
            let _ = self.command().args(["rm", "-f"]).args(ids.split_whitespace()).output();
            self.end(Signal::SIGTERM);
        }
        clear(&self.dir);
    }
}

/// Ends what an engine with this directory has left running, as one does that is killed, and undoes what
/// is mounted there.
pub(super) fn clear(dir: &Path) {
    let here = dir.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for shim in pids {
        let words = fs::read(format!("/proc/{shim}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let minds = ["containerd-shim", "conmon"].iter().any(|name| words.contains(name));
        if minds && words.contains(&here) {
            let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children"));
            let children = children.unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            for pid in children.chain([shim]) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    let points: Vec<&Path> = points.filter(|point| point.starts_with(dir)).collect();
    for point in points.into_iter().rev() {
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
}
