//! How many messages a client may send on one link (RFC 8415 and RFC 9915 section 14.1).

use std::time::{Duration, Instant};

/// How many messages may go out at once.
const BURST: f64 = 20.0;

/// How many a second may, in the long run.
const PER_SECOND: f64 = 1.0;

/// A token bucket for the messages on one link: 20 messages in 20 seconds, which is what section 14.1
/// proposes. A caller that has exchange after exchange on a link hands it from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    tokens: f64,
    as_of: Instant,
}

impl Pace {
    /// That of a link on which nothing was sent for a while.
    pub fn rested(now: Instant) -> Pace {
        Pace { tokens: BURST, as_of: now }
    }

    /// When the next message may go out; `now` or before when it may at once.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        let missing = 1.0 - self.at(now);
        now + Duration::from_secs_f64(missing.max(0.0) / PER_SECOND)
    }

    /// Counts a message.
    pub(super) fn take(&mut self, now: Instant) {
        *self = Pace { tokens: (self.at(now) - 1.0).max(0.0), as_of: now };
    }

    fn at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        (self.tokens + passed * PER_SECOND).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_at_once_and_then_one_a_second() {
        let start = Instant::now();
        let (mut pace, mut now, mut sent) = (Pace::rested(start), start, 0);
        while now < start + Duration::from_secs(20) {
            pace.take(now);
            sent += 1;
            now = pace.free_at(now);
        }
        assert!((39..=40).contains(&sent), "{sent}");
        let rested = now + Duration::from_secs(3600);
        let mut again = 0;
        while pace.free_at(rested) <= rested {
            pace.take(rested);
            again += 1;
        }
        assert_eq!(again, 20);
    }
}
