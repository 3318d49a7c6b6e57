//! What was asked for, and when it is time to ask again.

use std::sync::Arc;
use std::time::Duration;

use super::super::diff::Print;
use super::sides::Member;

/// The longest time between two askings for the same thing.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// Asking again after so long counts as asking for the first time.
pub(super) const CALM: Duration = Duration::from_secs(600);

/// What was asked for about one container.
#[derive(Debug)]
pub(super) struct Asked {
    /// When, as time since the loop began.
    pub(super) at: Duration,
    /// How often in a row.
    pub(super) times: u32,
    /// What it was to be; nothing when it was to be removed.
    pub(super) goal: Option<Print>,
    /// What was there then, as JSON.
    pub(super) of: Option<Arc<str>>,
    /// Whether what was to be there before that may still come: a removal is of the container that is
    /// there, and not of the one that is on its way.
    pub(super) is_overtaken: bool,
    /// When it is looked at again.
    pub(super) alarm: Duration,
    /// Whether the current side has yet to show it.
    pub(super) in_flight: bool,
}

impl Asked {
    /// Whether a container that was asked for may come to be there, though none is wanted any more.
    pub(super) fn may_come(&self) -> bool {
        self.goal.is_some() || self.is_overtaken
    }

    /// Whether one is on its way, when this is what is there.
    pub(super) fn is_awaited(&self, there: Option<&Member>) -> bool {
        let was = self.of.as_deref();
        let is_flying = self.in_flight && self.goal.is_some() || self.is_overtaken;
        is_flying
            && match (was, there) {
                (Some(was), Some(there)) => there.is_one_with(was),
                (was, there) => was.is_none() && there.is_none(),
            }
    }

    /// The time before which it is not asked for again.
    pub(super) fn again_at(&self, settle: Duration) -> Duration {
        let doublings = 2u32.saturating_pow(self.times.saturating_sub(1));
        let pause = match (self.in_flight, self.times) {
            (true, _) => settle.saturating_mul(doublings),
            (false, 1) => Duration::ZERO,
            (false, _) => Duration::from_secs(1).saturating_mul(doublings / 2),
        };
        self.at + pause.min(LONGEST)
    }
}
