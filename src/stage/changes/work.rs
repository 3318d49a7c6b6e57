//! What a program brings along that acts on changes.

use std::num::NonZeroUsize;

use super::Order;
use crate::error::Result;
use crate::record::{Change, Checkpoint, ContainerId, Record};

/// What a program does with the records that concern it.
pub trait Work: Sync {
    /// Does the program's part of one change and puts what it learnt into it. Called on several
    /// threads at once, never on two for one container.
    fn change(&self, change: &mut Change) -> Result<()>;

    /// Where the change is worked on. The lanes take turns, and each has its own limit.
    fn lane(&self, _change: &Change) -> String {
        String::new()
    }

    /// Which containers the change has to come behind; nothing for a program that keeps no order
    /// but that of one container's changes.
    fn order(&self, _change: &Change, _bare: bool) -> Option<Order> {
        None
    }

    /// Whether a container runs that the change has to come behind and that is not among the
    /// records.
    fn is_there(&self, _id: &ContainerId, _change: &Change) -> Result<bool> {
        Ok(true)
    }

    /// Whether the work only tells what it would do: then records go on as they came.
    fn pretends(&self) -> bool {
        false
    }

    /// A change or container passes untouched because an earlier stage failed on it.
    fn passed(&self, _record: &Record) {}

    /// Whether what was done may yet turn out not to hold, so that [`Work::verdict`] has to wait.
    fn is_provisional(&self, _change: &Change) -> bool {
        false
    }

    /// Waits until it is clear whether a change that was written out as done holds, and mends it
    /// if not. Whether it became another one, which is then written out again; if it cannot be
    /// mended it is written out again as failed. Called on a thread of its own. The container's
    /// next change waits for it, a checkpoint does not, and the end of the program does.
    fn verdict(&self, _change: &mut Change) -> Result<bool> {
        Ok(false)
    }

    /// All changes before this checkpoint are done. What is returned goes out ahead of it.
    fn checkpoint(&self, _checkpoint: &Checkpoint) -> Result<Vec<Record>> {
        Ok(Vec::new())
    }
}

/// How much is worked on at the same time, and how much is read ahead.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Changes that are worked on at the same time.
    pub jobs: NonZeroUsize,
    /// Of these, in one lane.
    pub per_lane: NonZeroUsize,
    /// Changes that are read and wait for their turn, and their bytes.
    pub waiting: usize,
    /// So many bytes at most, more or less.
    pub bytes: usize,
}

/// So many at the same time, wherever they are, and no more read ahead than keeps them busy.
impl From<NonZeroUsize> for Limits {
    fn from(jobs: NonZeroUsize) -> Limits {
        Limits { jobs, per_lane: jobs, waiting: jobs.get() * 4, bytes: usize::MAX }
    }
}

impl Limits {
    /// Whether so many may wait that they have to be small.
    pub(super) fn packs(&self) -> bool {
        self.bytes < usize::MAX
    }
}
