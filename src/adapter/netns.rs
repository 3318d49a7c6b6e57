//! Network namespaces: finding a container's, making one, and doing something inside.
//!
//! A namespace is held by an open file, so whatever becomes of the container meanwhile, what is
//! done happens in the namespace that was checked, or nowhere.
//!
//! A thread that has entered a namespace and cannot get back would do its next work in the wrong
//! place. So it makes sure of the way back first, or leaves the work to a thread made for it, which
//! ends there. A socket that is opened inside stays in its namespace and can be handed out.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use crate::error::{Doing, Error, Kind, Result};
use crate::record::Docker;

/// The namespace that a thread is in.
const OWN: &str = "/proc/thread-self/ns/net";

const REMEDY: &str = "run as root or grant CAP_NET_ADMIN and CAP_SYS_ADMIN";

/// A network namespace that is held open.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// The namespace of a container on this machine: by the file that its engine holds it open
    /// with, or else by its process.
    ///
    /// # Errors
    /// `NotFound` when the container does not run, `Refused` when it shares this program's own
    /// namespace, `NotPermitted`.
    pub fn of_container(docker: &Docker) -> Result<Netns> {
        let by_file = docker.netns.as_deref().filter(|path| !path.is_empty());
        let by_process = docker.pid.filter(|pid| *pid > 0);
        match (by_file.map(|path| Netns::open(Path::new(path))), by_process) {
            (Some(Ok(netns)), _) => Ok(netns),
            (Some(Err(why)), None) => Err(why),
            (Some(Err(why)), Some(_)) if why.kind() == Kind::Refused => Err(why),
            (Some(Err(why)), Some(pid)) => Netns::of_process(pid, &docker.id).map_err(|_| why),
            (None, Some(pid)) => Netns::of_process(pid, &docker.id),
            (None, None) => Err(Error::new(Kind::NotFound, "find network namespace")
                .why("the container does not run")),
        }
    }

    /// The namespace that the file at `path` stands for.
    pub fn open(path: &Path) -> Result<Netns> {
        let doing = format!("open network namespace {}", path.display());
        let open = File::open(path).doing(&doing).map_err(|why| match why.kind() {
            Kind::NotPermitted => why.remedy("run as root, or see SECURITY in unionize(1)"),
            _ => why,
        });
        Netns::checked(open?, &doing)
    }

    /// The namespace of process `pid`, if that process belongs to the container `id`.
    ///
    /// An open `/proc/PID` stays with its process: when that has ended, nothing is found through
    /// it any more, even if the number is given to another.
    fn of_process(pid: i32, id: &str) -> Result<Netns> {
        let doing = format!("find network namespace of process {pid}");
        let process = File::open(format!("/proc/{pid}")).doing(&doing)?;
        let look = |name| openat(&process, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let mut cgroups = String::new();
        File::from(look("cgroup").doing(&doing)?).read_to_string(&mut cgroups).doing(&doing)?;
        if id.len() != 64 || !cgroups.contains(id) {
            let why = "the process does not belong to the container";
            return Err(Error::new(Kind::NotFound, doing).why(why));
        }
        Netns::checked(File::from(look("ns/net").doing(&doing)?), &doing)
    }

    /// The namespace behind an open file, unless it is none or this program's own.
    fn checked(file: File, doing: &str) -> Result<Netns> {
        let kind = fstatfs(&file).doing(doing)?.filesystem_type();
        if kind != NSFS_MAGIC {
            return Err(Error::new(Kind::BadInput, doing)
                .why("the file is not a namespace")
                .remedy("the mounts of the engine have to be visible here"));
        }
        let netns = Netns { file };
        if netns.id()? == own_id()? {
            let why = "it is this program's own: the container shares the host's network";
            return Err(Error::new(Kind::Refused, doing).why(why));
        }
        Ok(netns)
    }

    /// The namespace of the calling thread.
    pub fn own() -> Result<Netns> {
        let file = File::open(OWN).doing("open own network namespace")?;
        Ok(Netns { file })
    }

    /// A new namespace that has only its own loopback, gone when the last that holds it is.
    pub fn scratch() -> Result<Netns> {
        apart(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .doing("make network namespace")
                .map_err(with_remedy)?;
            Netns::own()
        })
    }

    /// What tells this namespace from every other on the machine, while it is held.
    pub fn id(&self) -> Result<(u64, u64)> {
        self.file.metadata().map(id).doing("look at network namespace")
    }

    /// Does `work` inside the namespace and comes back.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let home = Netns::own()?;
        // Entering where one is already takes the same rights as coming back. A program that is root
        // of a user namespace alone has them for its containers and not for the host.
        if home.enter().is_err() {
            return apart(|| self.enter().and_then(|()| work()));
        }
        self.enter()?;
        let _back = Back(home);
        work()
    }

    fn enter(&self) -> Result<()> {
        let entered = setns(&self.file, CloneFlags::CLONE_NEWNET);
        entered.doing("enter network namespace").map_err(with_remedy)
    }

    /// A second hold on the same namespace.
    pub fn try_clone(&self) -> Result<Netns> {
        let file = self.file.try_clone().doing("hold network namespace")?;
        Ok(Netns { file })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<Netns> for OwnedFd {
    fn from(netns: Netns) -> OwnedFd {
        netns.file.into()
    }
}

/// The same of the namespace of the calling thread.
fn own_id() -> Result<(u64, u64)> {
    fs::metadata(OWN).map(id).doing("look at own network namespace")
}

fn id(about: Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

/// Takes the thread back when work elsewhere has ended, by a panic too.
struct Back(Netns);

impl Drop for Back {
    fn drop(&mut self) {
        if self.0.enter().is_err() {
            // It was possible a moment ago. Whatever this thread did next, it would do to another's
            // network; a process that is killed leaves nothing that another run does not finish.
            std::process::abort();
        }
    }
}

/// Does `work` on a thread that ends with it.
fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().spawn_scoped(scope, work).doing("start thread")?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn with_remedy(error: Error) -> Error {
    match error.kind() {
        Kind::NotPermitted => error.remedy(REMEDY),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(netns: Option<&str>, pid: Option<i32>) -> Docker {
        Docker { pid, netns: netns.map(str::to_owned), ..Docker::new("ab".repeat(32)) }
    }

    #[test]
    fn a_file_that_is_no_namespace_is_refused() {
        let error = Netns::of_container(&docker(Some("/etc/hostname"), None)).unwrap_err();
        assert_eq!(error.kind(), Kind::BadInput);
        let error = Netns::of_container(&docker(Some("/nonexistent"), None)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }

    #[test]
    fn the_own_namespace_is_refused() {
        let error = Netns::of_container(&docker(Some("/proc/self/ns/net"), None)).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
    }

    #[test]
    fn a_process_of_another_container_is_refused() {
        let error = Netns::of_container(&docker(None, Some(1))).unwrap_err();
        assert!(matches!(error.kind(), Kind::NotFound | Kind::NotPermitted), "{error}");
        let error = Netns::of_container(&docker(None, None)).unwrap_err();
        assert_eq!(error.to_string(), "find network namespace: the container does not run");
    }

    #[test]
    fn work_inside_leaves_the_caller_where_it_was() {
        let before = Netns::own().unwrap().id().unwrap();
        assert_eq!(own_id().unwrap(), before);
        let Ok(scratch) = Netns::scratch() else { return };
        let inside = scratch.run(|| Netns::own()?.id()).unwrap();
        assert_eq!(inside, scratch.id().unwrap());
        assert_ne!(inside, before);
        assert_eq!(Netns::own().unwrap().id().unwrap(), before);
        let panics = || scratch.run::<()>(|| panic!("inside"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
        assert_eq!(Netns::own().unwrap().id().unwrap(), before);
    }
}
