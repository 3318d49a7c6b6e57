//! The resolv.conf(5) of a container, or of a named network namespace.
//!
//! A container's is reached through the root directory of its process, and every link on the way
//! stays within that (openat2(2)): whatever the container has put there, nothing of the host is
//! opened. Engines mount the file itself, so it is written in place and never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};

use crate::error::{Doing, Error, Kind, Result};

/// Where it is, from a root directory.
const PLACE: &str = "etc/resolv.conf";

/// The longest that is read, in bytes: a hostile one ends there.
const LONGEST: u64 = 64 * 1024;

/// A resolv.conf.
pub enum Resolv {
    /// A container's, held open.
    Container(OwnedFd),
    /// That of a network namespace by its name: ip-netns(8) puts it in the place of the host's.
    Netns(PathBuf),
}

impl Resolv {
    /// That of the process `pid`, which has to be in the network namespace with this identity.
    ///
    /// An open `/proc/PID` stays with its process, so no other one is met that has the number later.
    pub fn of_process(pid: i32, netns: (u64, u64)) -> Result<Resolv> {
        let doing = format!("open {PLACE} of process {pid}");
        let process = File::open(format!("/proc/{pid}")).doing(&doing)?;
        let about = fstatat(&process, "ns/net", AtFlags::empty()).doing(&doing)?;
        if (about.st_dev, about.st_ino) != netns {
            return Err(Error::new(Kind::NotFound, doing)
                .why("the process is not in the container's network namespace"));
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Resolv::below(openat(&process, "root", flags, Mode::empty()).doing(&doing)?, &doing)
    }

    /// The one below a root directory.
    fn below(root: impl AsFd, doing: &str) -> Result<Resolv> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = openat2(root, PLACE, how).doing(doing)?;
        let kind = SFlag::from_bits_truncate(fstat(&file).doing(doing)?.st_mode);
        match kind & SFlag::S_IFMT == SFlag::S_IFREG {
            true => Ok(Resolv::Container(file)),
            false => Err(Error::new(Kind::Refused, doing).why("it is not a plain file")),
        }
    }

    /// That of the network namespace of this name.
    pub fn of_netns(name: &str) -> Result<Resolv> {
        let doing = format!("find the resolv.conf of network namespace {name}");
        let is_path = name.is_empty() || name.contains('/') || name.starts_with('.');
        match is_path {
            true => Err(Error::new(Kind::BadInput, doing).why("that is no name")),
            false => Ok(Resolv::Netns(Path::new("/etc/netns").join(name).join("resolv.conf"))),
        }
    }

    /// Its text; empty where there is none.
    pub fn read(&self) -> Result<String> {
        let doing = self.doing("read");
        let mut text = String::new();
        let file = match self.open(OpenOptions::new().read(true)) {
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(text),
            file => file.doing(&doing)?,
        };
        let read = file.take(LONGEST).read_to_string(&mut text);
        match read {
            Ok(length) if length as u64 == LONGEST => {
                Err(Error::new(Kind::Refused, doing).why("it is too long to be one"))
            }
            Err(why) if why.kind() == ErrorKind::InvalidData => {
                Err(Error::new(Kind::Refused, doing).why("it is not text"))
            }
            read => read.map(|_| text).doing(doing),
        }
    }

    /// Writes it. That of a namespace is made where there is none, and taken away when it is empty.
    pub fn write(&self, text: &str) -> Result<()> {
        let doing = self.doing("write");
        if let Resolv::Netns(path) = self {
            let dir = path.parent().unwrap_or(path);
            if text.is_empty() {
                let gone = fs::remove_file(path);
                // Others may have put something beside it.
                let _ = fs::remove_dir(dir);
                return match gone {
                    Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
                    gone => gone.doing(doing),
                };
            }
            fs::create_dir_all(dir).doing(&doing)?;
        }
        let create = matches!(self, Resolv::Netns(_));
        let mut file = self.open(OpenOptions::new().write(true).create(create)).doing(&doing)?;
        file.write_all(text.as_bytes()).doing(&doing)?;
        file.set_len(text.len() as u64).doing(&doing)
    }

    fn open(&self, how: &mut OpenOptions) -> std::io::Result<File> {
        match self {
            // What is held was seen to be a plain file; this opens that and no other.
            Resolv::Container(file) => how.open(format!("/proc/self/fd/{}", file.as_raw_fd())),
            Resolv::Netns(path) => how.custom_flags(libc::O_NOFOLLOW).mode(0o644).open(path),
        }
    }

    fn doing(&self, what: &str) -> String {
        match self {
            Resolv::Container(_) => format!("{what} the container's {PLACE}"),
            Resolv::Netns(path) => format!("{what} {}", path.display()),
        }
    }
}

/// The name of the network namespace that a file of ip-netns(8) stands for.
pub fn netns_name(path: &Path) -> Option<&str> {
    let dir = path.parent()?;
    let known = [Path::new("/run/netns"), Path::new("/var/run/netns")];
    known.contains(&dir).then(|| path.file_name()?.to_str()).flatten()
}

/// The process whose network namespace the file `/proc/PID/ns/net` is.
pub fn process_of(path: &Path) -> Option<i32> {
    let pid = path.to_str()?.strip_prefix("/proc/")?.strip_suffix("/ns/net")?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// A root directory with an etc in it, as that of a container.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Root {
            let dir = std::env::temp_dir().join(format!("lpa-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("root/etc")).unwrap();
            fs::write(dir.join("outside"), "host").unwrap();
            Root(dir)
        }

        fn file(&self) -> PathBuf {
            self.0.join("root/etc/resolv.conf")
        }

        fn resolv(&self) -> Result<Resolv> {
            Resolv::below(File::open(self.0.join("root")).unwrap(), "open it")
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_is_written_where_it_is() {
        let root = Root::new("place");
        fs::write(root.file(), "nameserver 192.0.2.1\nsearch a.long.one\n").unwrap();
        let before = fs::metadata(root.file()).unwrap().ino();
        let resolv = root.resolv().unwrap();
        assert_eq!(resolv.read().unwrap(), "nameserver 192.0.2.1\nsearch a.long.one\n");
        resolv.write("search b\n").unwrap();
        assert_eq!(fs::read_to_string(root.file()).unwrap(), "search b\n");
        assert_eq!(fs::metadata(root.file()).unwrap().ino(), before);
    }

    #[test]
    fn links_lead_nowhere_outside() {
        let root = Root::new("links");
        for target in [root.0.join("outside"), "../../outside".into(), "../../../outside".into()] {
            symlink(&target, root.file()).unwrap();
            let found = root.resolv();
            assert_eq!(found.err().map(|why| why.kind()), Some(Kind::NotFound), "{target:?}");
            fs::remove_file(root.file()).unwrap();
        }
        // Such as stay inside are followed, as by the container itself.
        fs::write(root.0.join("root/inner"), "inner").unwrap();
        symlink("/inner", root.file()).unwrap();
        assert_eq!(root.resolv().unwrap().read().unwrap(), "inner");
        fs::remove_file(root.file()).unwrap();
        symlink("/proc/self/root", root.file()).unwrap();
        assert!(root.resolv().is_err());
    }

    #[test]
    fn what_is_no_text_file_is_refused() {
        let root = Root::new("odd");
        fs::create_dir(root.file()).unwrap();
        assert_eq!(root.resolv().err().map(|why| why.kind()), Some(Kind::Refused));
        fs::remove_dir(root.file()).unwrap();
        for odd in [vec![b'a'; LONGEST as usize + 1], vec![0xff, b'\n']] {
            fs::write(root.file(), odd).unwrap();
            let why = root.resolv().unwrap().read().unwrap_err();
            assert_eq!(why.kind(), Kind::Refused, "{why}");
        }
    }

    #[test]
    fn paths_tell_whose_file_it_is() {
        let name = |path| netns_name(Path::new(path)).map(str::to_owned);
        assert_eq!(name("/run/netns/blue").as_deref(), Some("blue"));
        assert_eq!(name("/var/run/netns/blue").as_deref(), Some("blue"));
        assert_eq!(name("/run/docker/netns/blue"), None);
        assert_eq!(process_of(Path::new("/proc/17/ns/net")), Some(17));
        assert_eq!(process_of(Path::new("/proc/self/ns/net")), None);
        for bad in ["", "..", "a/b"] {
            assert!(Resolv::of_netns(bad).is_err());
        }
    }
}
