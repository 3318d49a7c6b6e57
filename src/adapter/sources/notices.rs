//! What the kernel tells of one file: that it was written to, replaced, renamed, deleted or made.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::error::{Doing, Error, Result};

/// Tells when something happens to the file that a path leads to.
#[derive(Debug)]
pub struct Notices {
    directory: PathBuf,
    name: OsString,
    inotify: Inotify,
    directory_watch: Option<WatchDescriptor>,
    file_watch: Option<WatchDescriptor>,
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something happened to the file.
    Changed,
    /// The time is up.
    Time,
}

impl Notices {
    /// Begins to take notice of the file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new(path: &Path) -> Result<Notices> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).map_err(|why| {
            Error::io(format_args!("watch {}", path.display()), &why.into())
                .remedy("raise fs.inotify.max_user_instances if it is used up")
        })?;
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        Ok(Notices {
            directory: directory.to_owned(),
            name: path.file_name().unwrap_or_default().to_owned(),
            inotify,
            directory_watch: None,
            file_watch: None,
        })
    }

    /// Has the kernel tell of files that come, go and are renamed. A directory that is not there, or
    /// may not be read, goes without.
    pub fn of_directory(&mut self) {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        if self.directory_watch.is_none() {
            self.directory_watch = self.inotify.add_watch(&self.directory, events).ok();
        }
    }

    /// Has the kernel tell of writes to exactly this open file, and of no other from then on; whether
    /// it does. There is no notice of its being closed, since whoever writes it may keep it open.
    pub fn of_file(&mut self, file: &File) -> bool {
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        let same_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        let watch = self.inotify.add_watch(same_file.as_str(), events).ok();
        if let Some(old) = self.file_watch.filter(|old| Some(*old) != watch) {
            // It is gone already when its file was deleted.
            let _ = self.inotify.rm_watch(old);
        }
        self.file_watch = watch;
        watch.is_some()
    }

    /// Whether anything happens to the file within that time. Returns at once when it does.
    pub fn within(&mut self, time: Duration) -> Result<bool> {
        Ok(self.wait(Instant::now() + time)? == Woken::Changed)
    }

    /// Waits for something to happen to the file, but no longer than `until`.
    pub fn wait(&mut self, until: Instant) -> Result<Woken> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000));
            let mut watched = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut watched, timeout.unwrap_or(PollTimeout::MAX)) {
                Ok(0) => return Ok(Woken::Time),
                Err(Errno::EINTR) => continue,
                Err(why) => return Err(why).doing("wait for the lease file"),
                Ok(_) => (),
            }
            if self.drain()? {
                return Ok(Woken::Changed);
            }
        }
    }

    /// Takes all events that wait; whether one of them concerns the file.
    fn drain(&mut self) -> Result<bool> {
        let mut concerned = false;
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(concerned),
                Err(Errno::EINTR) => continue,
                Err(why) => return Err(why).doing("wait for the lease file"),
            };
            for event in events {
                let of_directory = Some(event.wd) == self.directory_watch;
                concerned |= match &event.name {
                    Some(name) => of_directory && *name == self.name,
                    None => of_directory || Some(event.wd) == self.file_watch,
                };
                concerned |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                if of_directory && event.name.is_none() {
                    // Moved or deleted: the path leads elsewhere now.
                    let _ = self.inotify.rm_watch(event.wd);
                    self.directory_watch = None;
                }
            }
        }
    }
}
