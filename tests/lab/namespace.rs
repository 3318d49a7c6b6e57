//! Network namespaces by name, made and left with `ip netns`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};

/// A named network namespace. Dropping the value leaves it; [`Namespace::remove`] takes it away.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one; the name must be new.
    #[track_caller]
    pub fn new(name: &str) -> Namespace {
        ok(Command::new("ip").args(["netns", "add", name]));
        Namespace { name: name.to_owned() }
    }

    /// One that is there already.
    pub fn left_behind(name: &str) -> Namespace {
        Namespace { name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds it open.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Ends what still runs in it, and removes it.
    pub fn remove(self) {
        let pids = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let pids = pids.map(|out| out.stdout).unwrap_or_default();
        for pid in String::from_utf8_lossy(&pids).lines() {
            if let Ok(pid) = pid.trim().parse() {
                let pid = nix::unistd::Pid::from_raw(pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            }
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }

    /// `program`, to be run in it. The process that is started becomes the program: its process id
    /// is the program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs `ip` with these words in it; it must succeed. Returns what `ip` printed.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        ok(Command::new("ip").args(["-n", &self.name]).args(words.split_whitespace()))
    }

    /// Sets one of the kernel's settings of this namespace (`net.…`).
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let written = self.within(|| fs::write(&path, value));
        written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Does `work` on a thread that is in this namespace. Sockets opened there stay in it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.path(), work)
    }

    /// Whether it has an interface of this name.
    pub fn has_link(&self, name: &str) -> bool {
        self.within(|| nix::net::if_::if_nametoindex(name).is_ok())
    }
}

/// Does `work` on a thread that is in the network namespace that the file holds.
pub fn within<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    let enter_and_work = || {
        let file = File::open(netns).expect("the namespace's file");
        setns(file, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
        work()
    };
    std::thread::scope(|scope| scope.spawn(enter_and_work).join().expect("work in the namespace"))
}

/// Runs a command that must succeed, and returns its output.
#[track_caller]
pub fn ok(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {}: {stderr}", out.status);
    String::from_utf8_lossy(&out.stdout).into_owned()
}
