//! How long bytes have to wait so that no more go than may.

use std::time::{Duration, Instant};

use crate::record::Rate;

/// How far it may fall behind and make up for it: a sleep ends late, by a millisecond or two, and of
/// a fast stream each piece takes less than that.
const LATE: Duration = Duration::from_millis(50);

/// Keeps to a rate.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    /// When all that has been let go is gone.
    free: Option<Instant>,
}

impl Pace {
    /// Nothing is under way yet.
    pub(super) fn new(rate: Rate) -> Pace {
        Pace { rate, free: None }
    }

    /// How long so many bytes have to wait for those that came before them.
    pub(super) fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        let begin = self.free.map_or(now, |free| free.max(now.checked_sub(LATE).unwrap_or(now)));
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate.bits() as f64);
        self.free = Some(begin + takes);
        begin.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_waits_for_what_went_before() {
        let mut pace = Pace::new("8kbit".parse().unwrap());
        let now = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(pace.wait(500, now), ms(0));
        assert_eq!(pace.wait(1000, now), ms(500));
        assert_eq!(pace.wait(1, now + ms(1000)), ms(500));
        // What was not used is not saved up, but for a little.
        assert_eq!(pace.wait(1000, now + ms(9000)), ms(0));
        assert_eq!(pace.wait(1000, now + ms(9000)), ms(950));
    }

    #[test]
    fn sleeps_that_end_late_cost_nothing() {
        let mut pace = Pace::new("80mbit".parse().unwrap());
        let begun = Instant::now();
        let mut now = begun;
        // Of 10 kB each takes a millisecond.
        for _ in 0..1000 {
            let wait = pace.wait(10_000, now);
            now += wait + Duration::from_micros(if wait.is_zero() { 10 } else { 1500 });
        }
        let ms = (now - begun).as_millis();
        assert!((990..1010).contains(&ms), "{ms}");
    }
}
