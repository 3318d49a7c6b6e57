//! Which files of a directory change, as long as they are replaced as a whole.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::{Doing, Error, Result};

/// Becomes readable when a file of a directory comes, by whatever way, goes, or was written to by who closes it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    inotify: Inotify,
    is_watched: bool,
}

/// What has happened in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The files to look at again, each once.
    pub names: Vec<OsString>,
    /// Whether there was more than the kernel can tell, so that all have to be looked at.
    pub all: bool,
}

impl Directory {
    /// Begins to listen.
    ///
    /// # Errors
    /// When it is not there, or the kernel has no watch left to give.
    pub fn watch(path: &Path) -> Result<Directory> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).map_err(|why| {
            Error::io(format_args!("watch {}", path.display()), &why.into())
                .remedy("raise fs.inotify.max_user_instances if it is used up")
        })?;
        let mut directory = Directory { path: path.to_owned(), inotify, is_watched: false };
        directory.add().doing(format_args!("watch {}", path.display()))?;
        Ok(directory)
    }

    fn add(&mut self) -> nix::Result<()> {
        // What is written before it has a name is not told of as written to under that.
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        self.inotify.add_watch(&self.path, events)?;
        self.is_watched = true;
        Ok(())
    }

    /// Whether what happens is heard: not when the directory itself has gone. [`Directory::read`] tries
    /// again.
    pub fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// What has happened since the last call.
    pub fn read(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(why) => return Err(why).doing(format_args!("watch {}", self.path.display())),
            };
            for event in events {
                let self_gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
                if event.mask.intersects(self_gone) {
                    // It is another directory now that the path leads to, if it leads to any.
                    let _ = self.inotify.rm_watch(event.wd);
                    self.is_watched = false;
                }
                seen.all |= event.mask.intersects(self_gone | AddWatchFlags::IN_Q_OVERFLOW);
                seen.names.extend(event.name);
            }
        }
        if !self.is_watched {
            seen.all = self.add().is_ok() || seen.all;
        }
        seen.names.sort_unstable();
        seen.names.dedup();
        Ok(seen)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_are_replaced_are_told_once() {
        let dir = std::env::temp_dir().join(format!("lpr-directory-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let mut watched = Directory::watch(&dir).unwrap();
        assert_eq!(watched.read().unwrap(), Seen::default());
        for text in ["1", "2"] {
            fs::write(dir.join(".new"), text).unwrap();
            fs::rename(dir.join(".new"), dir.join("a")).unwrap();
        }
        fs::write(dir.join("b"), "1").unwrap();
        let seen = watched.read().unwrap();
        assert_eq!((seen.names, seen.all), (vec![".new".into(), "a".into(), "b".into()], false));
        fs::remove_file(dir.join("b")).unwrap();
        assert_eq!(watched.read().unwrap().names, ["b"]);

        // As a file comes that was written before it had a name there.
        let other = dir.with_extension("other");
        fs::write(&other, "1").unwrap();
        fs::hard_link(&other, dir.join("d")).unwrap();
        fs::remove_file(&other).unwrap();
        assert_eq!(watched.read().unwrap().names, ["d"]);

        fs::remove_dir_all(&dir).unwrap();
        assert!(watched.read().unwrap().all);
        assert!(!watched.is_watched());
        assert_eq!(watched.read().unwrap(), Seen::default());
        fs::create_dir(&dir).unwrap();
        assert!(watched.read().unwrap().all, "it is there again");
        fs::write(dir.join("c"), "1").unwrap();
        assert_eq!(watched.read().unwrap().names, ["c"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
