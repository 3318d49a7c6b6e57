//! Three clocks, and what their drifting apart tells.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What clocks that are read one after the other may differ by, and slewing adds in a short while.
const SLACK: Duration = Duration::from_secs(2);

/// A moment, by three clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What people call the time. It may be set, forwards and back.
    pub wall: Timestamp,
    /// Time since boot, sleep included. It is never set.
    pub boot: Duration,
    /// Time since boot without sleep.
    pub awake: Duration,
}

impl Now {
    /// A time of day by the boot clock, if neither is set meanwhile; zero for what was before boot.
    pub fn boot_time_of(self, time: Timestamp) -> Duration {
        let left = time.duration_since(self.wall);
        match left.is_negative() {
            true => self.boot.saturating_sub(left.unsigned_abs()),
            false => self.boot.saturating_add(left.unsigned_abs()),
        }
    }
}

/// What has happened to the clocks since one looked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jumps {
    /// The time of day was set.
    pub set: bool,
    /// The machine has slept.
    pub slept: bool,
}

/// Compares the clocks with what they were before.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    last: Now,
}

impl Watch {
    /// Begins with the clocks as they are.
    pub fn new(now: Now) -> Watch {
        Watch { last: now }
    }

    /// What has happened since the last call. The slewing of a clock that is corrected little by
    /// little is no jump, however long it goes on.
    pub fn look(&mut self, now: Now) -> Jumps {
        let last = std::mem::replace(&mut self.last, now);
        let passed = now.boot.saturating_sub(last.boot);
        let by_wall = now.wall.duration_since(last.wall);
        let by_boot = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        // Between two looks that are far apart the one may have been slewed by half a part in a thousand.
        let slack = SLACK + passed / 1000;
        Jumps {
            set: by_wall.saturating_sub(by_boot).unsigned_abs() > slack,
            slept: passed.saturating_sub(now.awake.saturating_sub(last.awake)) > SLACK,
        }
    }
}
