//! Containers that end again and again.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use crate::record::{NotA, Span};

/// How often a container has to end of itself, and within what time, to be called looping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loops {
    /// So often.
    pub times: u64,
    /// Within this time.
    pub within: Duration,
}

/// The time may be no shorter and no longer than these.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The most ends that are remembered of one container.
const MOST: usize = 1000;

/// When a container ended, the last times.
#[derive(Debug, Default)]
pub(super) struct Ends(VecDeque<Timestamp>);

impl Ends {
    /// Remembers so many ends at that time.
    pub(super) fn add(&mut self, at: Timestamp, times: u64) {
        let times = usize::try_from(times).unwrap_or(MOST).min(MOST);
        self.0.extend(std::iter::repeat_n(at, times));
        self.0.drain(..self.0.len().saturating_sub(MOST));
    }

    /// How many there were within the time, until `now`.
    pub(super) fn within(&self, loops: Loops, now: Timestamp) -> u64 {
        let recent = |at: &&Timestamp| now.duration_since(**at).unsigned_abs() <= loops.within;
        self.0.iter().filter(recent).count() as u64
    }
}

impl fmt::Display for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.times, Span(self.within))
    }
}

impl FromStr for Loops {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Loops, NotA> {
        let wrong =
            || NotA::new(text, "a number and a time (such as 3/5m: three times in 5 minutes)");
        let (times, within) = text.split_once('/').ok_or_else(wrong)?;
        let Span(within) = within.parse().map_err(|_| wrong())?;
        let times = times.parse().map_err(|_| wrong())?;
        let bounded = (1..=MOST as u64).contains(&times) && (SHORTEST..=LONGEST).contains(&within);
        if bounded { Ok(Loops { times, within }) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_so_many_ends_in_so_much_time() {
        let loops: Loops = "3/5m".parse().unwrap();
        assert_eq!((loops.times, loops.within.as_secs()), (3, 300));
        assert_eq!(loops.to_string(), "3/5m");
        for bad in ["", "3", "3/", "/5m", "0/5m", "3/5", "3/0s", "3/5w", "x/5m", "1001/5m", "3/25h"]
        {
            assert!(bad.parse::<Loops>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_long_ago_does_not_count_and_what_is_kept_is_bounded() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let loops: Loops = "3/10s".parse().unwrap();
        let mut ends = Ends::default();
        for second in [0, 5, 10, 11] {
            ends.add(at(second), 1);
        }
        assert_eq!(ends.within(loops, at(11)), 3);
        assert_eq!(ends.within(loops, at(100)), 0);
        ends.add(at(100), u64::MAX);
        assert_eq!(ends.within(loops, at(100)), MOST as u64);
    }
}
