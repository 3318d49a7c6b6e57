//! When to send a message again, and when to stop (RFC 8415 sections 7.6 and 15).
//!
//! Times are counted from the start of the whole call. Nothing here reads a clock.

use std::time::Duration;

use dhcproto::v6::MessageType;

/// The parameters of one kind of message; zero means no limit.
#[derive(Clone, Copy)]
struct Parameters {
    /// IRT, the first time between two transmissions.
    first: Duration,
    /// MRT, the longest.
    longest: Duration,
    /// MRC, how many transmissions.
    count: u32,
    /// MRD, how long the exchange may take.
    in_all: Duration,
}

/// Section 7.6: MRT of a Solicit, unless a server sets another.
pub(super) const SOL_MAX_RT: Duration = Duration::from_secs(3600);

/// Section 7.6, and for each message its section under 18.2. Renew is limited to T2 and Rebind to the
/// end of the lease as well; a call of this client gives up long before.
fn parameters(kind: MessageType) -> Parameters {
    let (first, longest, count, in_all) = match kind {
        MessageType::Solicit => (1, 3600, 0, 0),
        MessageType::Request => (1, 30, 10, 0),
        MessageType::Confirm => (1, 4, 0, 10),
        MessageType::Renew | MessageType::Rebind => (10, 600, 0, 0),
        // Release and Decline.
        _ => (1, 0, 4, 0),
    };
    Parameters {
        first: Duration::from_secs(first),
        longest: Duration::from_secs(longest),
        count,
        in_all: Duration::from_secs(in_all),
    }
}

/// What is to be done at a given time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the message.
    Send,
    /// Do nothing until then.
    Wait(Duration),
    /// The exchange has failed.
    Stop,
}

/// The transmissions of one message.
pub(super) struct Schedule {
    parameters: Parameters,
    /// Section 18.2.1: the first RT of a Solicit must be strictly greater than IRT.
    stretch_first: bool,
    sent: u32,
    /// RT, the time until the next transmission, as of the last one.
    rt: Duration,
    begun: Duration,
    due: Duration,
}

impl Schedule {
    /// The schedule for a message of this kind, whose first transmission is due now.
    pub fn new(kind: MessageType) -> Schedule {
        Schedule {
            parameters: parameters(kind),
            stretch_first: kind == MessageType::Solicit,
            sent: 0,
            rt: Duration::ZERO,
            begun: Duration::ZERO,
            due: Duration::ZERO,
        }
    }

    /// The same, over after `in_all` (MRD).
    pub fn within(mut self, in_all: Option<Duration>) -> Schedule {
        self.parameters.in_all = in_all.unwrap_or_default();
        self
    }

    /// What is to be done at `now`, when the link can take another message at `free_at`; `Send`
    /// counts as done.
    pub fn step(&mut self, now: Duration, free_at: Duration, random: &mut Random) -> Step {
        let Parameters { count, in_all, .. } = self.parameters;
        let has_end = self.sent > 0 && !in_all.is_zero();
        let end = if has_end { self.begun.saturating_add(in_all) } else { Duration::MAX };
        if self.sent > 0 {
            if now < self.due.min(end) {
                return Step::Wait(self.due.min(end));
            }
            // "the message exchange fails once the client has transmitted the message MRC times",
            // "once MRD seconds have elapsed since the client first transmitted the message".
            if now >= end || (count > 0 && self.sent >= count) {
                return Step::Stop;
            }
        }
        if free_at > now {
            return Step::Wait(free_at.min(end));
        }
        if self.sent == 0 {
            self.begun = now;
        }
        self.rt = self.next_rt(random);
        self.due = now + self.rt;
        self.sent += 1;
        Step::Send
    }

    /// Section 15: IRT + RAND*IRT at first, then 2*RTprev + RAND*RTprev, and MRT + RAND*MRT when
    /// that is more than MRT.
    fn next_rt(&self, random: &mut Random) -> Duration {
        let Parameters { first, longest, .. } = self.parameters;
        if self.sent == 0 {
            return match self.stretch_first {
                true => random.stretched(first),
                false => random.about(first),
            };
        }
        let rt = self.rt + random.about(self.rt);
        if !longest.is_zero() && rt > longest { random.about(longest) } else { rt }
    }

    /// How often the message was sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// When the next transmission is due.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// The time since the first transmission.
    pub fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begun)
    }

    /// Sets MRT (section 18.2.1: SOL_MAX_RT, from a server).
    pub fn set_longest(&mut self, longest: Duration) {
        self.parameters.longest = longest;
    }
}

/// Numbers that differ from client to client and from run to run; no secrets are made of them.
pub(super) struct Random(crate::random::Random);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(crate::random::Random::seeded(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// `time` + RAND * `time`, with RAND uniform in [-0.1, +0.1).
    fn about(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.9 + 0.2 * self.unit())
    }

    /// `time` + RAND * `time`, with RAND uniform in (0, +0.1].
    fn stretched(&mut self, time: Duration) -> Duration {
        time.mul_f64(1.1 - 0.1 * self.unit())
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a message is sent, and when the exchange fails, if no answer ever comes.
    fn unanswered(kind: MessageType, seed: u64, at_most: usize) -> (Vec<f64>, Option<f64>) {
        let (mut schedule, mut random) = (Schedule::new(kind), Random::new(seed));
        let (mut now, mut sent) = (Duration::from_secs(5), Vec::new());
        while sent.len() < at_most {
            match schedule.step(now, Duration::ZERO, &mut random) {
                Step::Send => sent.push(now.as_secs_f64() - 5.0),
                Step::Wait(until) => now = until,
                Step::Stop => return (sent, Some(now.as_secs_f64() - 5.0)),
            }
        }
        (sent, None)
    }

    fn gaps(times: &[f64]) -> Vec<f64> {
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn waits_double_within_a_tenth_up_to_the_longest() {
        for seed in 0..200 {
            for (kind, first, longest) in [
                (MessageType::Solicit, 1.0, 3600.0),
                (MessageType::Renew, 10.0, 600.0),
                (MessageType::Rebind, 10.0, 600.0),
            ] {
                let (sent, _) = unanswered(kind, seed, 20);
                let gaps = gaps(&sent);
                assert!((0.9 * first..=1.1 * first).contains(&gaps[0]), "{kind:?} {gaps:?}");
                for pair in gaps.windows(2) {
                    let doubled = (1.9 * pair[0]..=2.1 * pair[0]).contains(&pair[1]);
                    let capped = (0.9 * longest..=1.1 * longest).contains(&pair[1]);
                    assert!(doubled || capped, "{kind:?} {pair:?}");
                }
                assert!(gaps.last().is_some_and(|gap| *gap >= 0.9 * longest));
            }
        }
    }

    #[test]
    fn the_first_wait_of_a_solicit_is_longer_than_a_second() {
        let first = |seed| gaps(&unanswered(MessageType::Solicit, seed, 2).0)[0];
        assert!((0..1000).map(first).all(|gap| gap > 1.0 && gap <= 1.1));
    }

    #[test]
    fn request_release_and_decline_stop_after_their_count() {
        for seed in 0..100 {
            let (sent, failed) = unanswered(MessageType::Request, seed, 99);
            assert_eq!(sent.len(), 10);
            assert!(failed.unwrap() > sent[9] + 26.9);
            for kind in [MessageType::Release, MessageType::Decline] {
                let (sent, failed) = unanswered(kind, seed, 99);
                assert_eq!(sent.len(), 4);
                assert!((12.0..18.0).contains(&failed.unwrap()), "{failed:?}");
            }
        }
    }

    #[test]
    fn confirm_stops_after_ten_seconds() {
        for seed in 0..100 {
            let (sent, failed) = unanswered(MessageType::Confirm, seed, 99);
            assert!((4..=5).contains(&sent.len()), "{sent:?}");
            assert!((failed.unwrap() - 10.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_server_may_set_the_longest_wait() {
        let (mut schedule, mut random) = (Schedule::new(MessageType::Solicit), Random::new(1));
        let mut now = Duration::ZERO;
        for _ in 0..20 {
            schedule.set_longest(Duration::from_secs(60));
            assert_eq!(schedule.step(now, Duration::ZERO, &mut random), Step::Send);
            assert!(schedule.due() - now <= Duration::from_secs(66));
            now = schedule.due();
        }
    }
}
