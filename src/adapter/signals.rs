//! The signals by which a service is asked to end.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Doing, Result};

/// Becomes readable when the process is asked to end, by SIGTERM, SIGINT or SIGHUP, which from then on
/// do nothing else.
#[derive(Debug)]
pub struct Ending {
    signals: SignalFd,
}

impl Ending {
    /// Begins to listen. To be called before any other thread is there: what those begin with is what
    /// the first has.
    pub fn listen() -> Result<Ending> {
        let mut set = SigSet::empty();
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().for_each(|one| set.add(one));
        set.thread_block().doing("hold back signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Ending { signals: SignalFd::with_flags(&set, flags).doing("listen to signals")? })
    }
}

impl AsFd for Ending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
