//! What a program brings along that acts on changes.

use std::num::NonZeroUsize;

use super::{Batch, Care, Order};
use crate::error::Result;
use crate::record::{Change, Checkpoint, ContainerId, Record};

/// What a program does with the records that concern it.
pub trait Work: Sync {
    /// Does the program's part of one change and puts what it learnt into it. Called on several
    /// threads at once, never on two for one container.
    fn change(&self, change: &mut Change) -> Result<()>;

    /// The same where the container is to be left running: fails with [`Kind::Held`], with nothing done,
    /// when it would have to go. Called for what is [`Effect::Brought`].
    ///
    /// [`Kind::Held`]: crate::error::Kind::Held
    /// [`Effect::Brought`]: super::Effect::Brought
    fn change_gently(&self, change: &mut Change) -> Result<()> {
        self.change(change)
    }

    /// Which group the container is of and what becomes of it; nothing where no care is taken of how
    /// many are away.
    fn batch(&self, _change: &Change) -> Option<Batch> {
        None
    }

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

    /// Whether the change takes no longer than it takes to hand it to another thread: then the one that
    /// reads does it, while nothing else is in hand.
    fn is_brief(&self, _change: &Change) -> bool {
        false
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
    /// How many of a group may be away.
    pub care: Care,
}

/// So many at the same time, wherever they are, and no more read ahead than keeps them busy.
impl From<NonZeroUsize> for Limits {
    fn from(jobs: NonZeroUsize) -> Limits {
        let (waiting, care) = (jobs.get() * 4, Care::default());
        Limits { jobs, per_lane: jobs, waiting, bytes: usize::MAX, care }
    }
}

impl Limits {
    /// Whether so many may wait that they have to be small.
    pub(super) fn packs(&self) -> bool {
        self.bytes < usize::MAX
    }
}
