//! What became of leases between two moments.

use super::kept::Kept;
use crate::record::{LeaseEvent, Place};

/// Fewer ends than these are never many.
const MANY: usize = 4;

/// What became of leases; [`super::Leases::records`] puts it into words.
#[derive(Debug, Default)]
pub struct News {
    /// How many leases were active before, as far as anybody was told.
    pub(super) before: usize,
    /// Leases that ended because another client has their place.
    pub(super) replaced: Vec<Ended>,
    pub(super) begun: Vec<(LeaseEvent, Place)>,
    pub(super) ended: Vec<Ended>,
}

/// A lease that has ended, and why.
#[derive(Debug)]
pub(super) struct Ended {
    pub event: LeaseEvent,
    /// Whether the server said so of this very lease; otherwise it was missing, or its time was up.
    pub is_said: bool,
    pub place: Place,
    pub kept: Kept,
}

impl News {
    /// Whether nothing became of any lease.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.begun.is_empty() && self.ended.is_empty()
    }

    /// How many of how many leases have ended without a word of their own, when they are so many that
    /// it may be a mistake, such as a database that was lost: at least four, and more than a tenth.
    pub fn many_ends(&self) -> Option<(usize, usize)> {
        let ended = self.replaced.iter().chain(&self.ended).filter(|ended| !ended.is_said).count();
        (ended >= MANY && ended * 10 > self.before).then_some((ended, self.before))
    }

    /// Keeps those ends back; what has begun is left, and what was said to have ended.
    pub fn withhold_ends(&mut self) {
        self.replaced.retain(|ended| ended.is_said);
        self.ended.retain(|ended| ended.is_said);
    }
}
