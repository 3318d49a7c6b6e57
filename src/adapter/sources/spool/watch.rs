//! What the kernel tells of the files in one directory.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::error::{Doing, Error, Result};

/// Tells which files of a directory are moved in, taken away or written.
pub struct Watch {
    inotify: Inotify,
    watch: Option<WatchDescriptor>,
}

/// What happened since the last time.
#[derive(Debug, Default)]
pub struct Happened {
    /// The names of files that came, changed or went.
    pub names: BTreeSet<String>,
    /// Whether anything may have happened: some of it was not told, or the directory is gone.
    pub anything: bool,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new() -> Result<Watch> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).map_err(|why| {
            Error::io("watch the spool", &why.into())
                .remedy("raise fs.inotify.max_user_instances if it is used up")
        })?;
        Ok(Watch { inotify, watch: None })
    }

    /// Watches exactly this open directory from now on, and no other.
    pub fn of(&mut self, directory: &File) -> Result<()> {
        let events = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let same = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let watch = self.inotify.add_watch(same.as_str(), events).doing("watch the spool")?;
        if let Some(old) = self.watch.replace(watch).filter(|old| *old != watch) {
            // It is gone already when its directory was deleted.
            let _ = self.inotify.rm_watch(old);
        }
        Ok(())
    }

    /// Waits for anything to happen, but no longer than `until`; whether something did.
    pub fn wait(&self, until: Instant) -> Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000));
            let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX)) {
                Ok(count) => return Ok(count > 0),
                Err(Errno::EINTR) => (),
                Err(why) => return Err(why).doing("wait for the spool"),
            }
        }
    }

    /// Takes what has happened, without waiting.
    pub fn take(&mut self) -> Result<Happened> {
        let mut happened = Happened::default();
        loop {
            match self.inotify.read_events() {
                Ok(events) => events.iter().for_each(|event| self.note(event, &mut happened)),
                Err(Errno::EAGAIN) => return Ok(happened),
                Err(Errno::EINTR) => (),
                Err(why) => return Err(why).doing("wait for the spool"),
            }
        }
    }

    fn note(&self, event: &InotifyEvent, happened: &mut Happened) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            happened.anything = true;
        } else if Some(event.wd) == self.watch {
            match event.name.as_ref().map(|name| name.to_str()) {
                Some(Some(name)) => drop(happened.names.insert(name.to_owned())),
                Some(None) => (),
                None => happened.anything = true,
            }
        }
    }
}
