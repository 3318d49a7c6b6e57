//! One lease's way through time.

use std::time::Duration;

use jiff::Timestamp;

use super::Now;
use crate::random::Random;

/// A time that never comes.
pub(super) const NEVER: Duration = Duration::MAX;

/// The first wait after a Renew or Rebind (REN_TIMEOUT and REB_TIMEOUT, section 7.6), and the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// The shortest first wait, for terms of less than a minute.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait between two Solicits (SOL_MAX_RT), unless servers set another.
const LONGEST_SOLICIT: Duration = Duration::from_secs(3600);

/// For how long one question is open. CNF_MAX_RD is the same.
const OPEN: Duration = Duration::from_secs(10);

/// What is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// Any server, whether the addresses fit the link (section 18.2.3).
    Confirm,
    /// The server that gave the lease, for more time (section 18.2.4).
    Renew,
    /// Any server, for more time (section 18.2.5).
    Rebind,
    /// Any server, for a lease (section 18.2.1).
    Lease,
}

/// When a lease is to be extended and when it ends, by the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    renew: Duration,
    rebind: Duration,
    end: Duration,
}

impl Terms {
    /// The terms of a lease that was obtained then, with T1, T2 and its end in times of day; what is
    /// absent never comes.
    ///
    /// A lease from the future shows that the clock was set back since, and its times with it: it is
    /// extended at once.
    pub fn of(
        obtained: Timestamp,
        renew: Option<Timestamp>,
        rebind: Option<Timestamp>,
        end: Option<Timestamp>,
        now: Now,
    ) -> Terms {
        let boot = |time: Option<Timestamp>| time.map_or(NEVER, |time| now.boot_time_of(time));
        let end = boot(end);
        let rebind = boot(rebind).min(end);
        let is_from_future = now.boot_time_of(obtained) > now.boot + Duration::from_secs(2);
        let renew = if is_from_future { now.boot } else { boot(renew) };
        Terms { renew: renew.min(rebind), rebind, end }
    }

    /// The terms of what ends then and cannot be extended.
    pub fn ending(at: Duration) -> Terms {
        Terms { renew: at, rebind: at, end: at }
    }

    /// What is left when there is no lease at all.
    pub fn none() -> Terms {
        Terms { renew: Duration::ZERO, rebind: Duration::ZERO, end: Duration::ZERO }
    }

    /// When the lease ends.
    pub fn end(&self) -> Duration {
        self.end
    }
}

/// Where the lease of the link of that name stands among all others: in [0, 1), always the same.
pub fn share(link: &str) -> f64 {
    // FNV-1a, 64 bits.
    let hash = link.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    unit(&mut Random::seeded(hash))
}

/// Uniform in [0, 1).
fn unit(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// One question that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What.
    pub ask: Ask,
    /// For how long an answer is waited for.
    pub patience: Duration,
}

/// The same question, asked again and again.
#[derive(Clone, Copy, Debug)]
struct Tries {
    ask: Ask,
    /// When it was asked last.
    last: Duration,
    /// The wait after that.
    wait: Duration,
}

/// One lease's way through time.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    terms: Terms,
    share: f64,
    /// Whether there is more than addresses, of which Confirm cannot ask.
    has_prefix: bool,
    /// When to find out whether it still fits the link.
    doubt: Duration,
    /// Whether it is known that it does not.
    lost: bool,
    /// When to extend it although its time has not come.
    early: Duration,
    /// The longest wait between two Solicits.
    longest_solicit: Duration,
    tries: Option<Tries>,
}

impl Course {
    /// The course of a lease on these terms.
    pub fn new(terms: Terms, share: f64, has_prefix: bool) -> Course {
        Course {
            terms,
            share,
            has_prefix,
            doubt: NEVER,
            lost: false,
            early: NEVER,
            longest_solicit: LONGEST_SOLICIT,
            tries: None,
        }
    }

    /// Its terms.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// When a Renew goes out: within the first half of the time between T1 and T2.
    fn renewal(&self) -> Duration {
        let Terms { renew, rebind, end } = self.terms;
        if renew == NEVER {
            return self.early;
        }
        // Without T2 or an end there is no hurry, and still no reason to ask all at once.
        let until = rebind.min(end).min(renew.saturating_add(LONGEST * 2));
        let spread = until.saturating_sub(renew) / 2;
        renew.saturating_add(spread.mul_f64(self.share)).min(self.early)
    }

    /// What is to be asked at `now`, by the times alone.
    pub fn ask(&self, now: Duration) -> Option<Ask> {
        if self.lost || now >= self.terms.end {
            Some(Ask::Lease)
        } else if now >= self.terms.rebind {
            Some(Ask::Rebind)
        } else if now >= self.doubt {
            // Section 18.2.12: Confirm where there are addresses alone, Rebind where there are prefixes.
            Some(if self.has_prefix { Ask::Rebind } else { Ask::Confirm })
        } else if now >= self.renewal() {
            Some(Ask::Renew)
        } else {
            None
        }
    }

    /// When there is something to ask next.
    pub fn due(&self) -> Duration {
        let begins = |from: Ask| {
            let lease = if self.lost { Duration::ZERO } else { self.terms.end };
            let of = [
                (Ask::Confirm, self.doubt),
                (Ask::Renew, self.renewal()),
                (Ask::Rebind, self.terms.rebind),
                (Ask::Lease, lease),
            ];
            of.into_iter().filter(|(ask, _)| *ask > from).map(|(_, at)| at).min().unwrap_or(NEVER)
        };
        match self.tries {
            None => begins(Ask::Confirm).min(self.doubt),
            Some(tries) => {
                let again = tries.last.saturating_add(tries.wait);
                let doubted = if self.doubt > tries.last { self.doubt } else { NEVER };
                again.min(begins(tries.ask)).min(doubted)
            }
        }
    }

    /// Notes that it is asked now; what, and for how long an answer is waited for. To be called when
    /// something is due.
    pub fn attempt(&mut self, now: Duration, random: &mut Random) -> Attempt {
        let ask = self.ask(now).unwrap_or(Ask::Renew);
        let before = self.tries.filter(|tries| tries.ask == ask);
        let longest = if ask == Ask::Lease { self.longest_solicit } else { LONGEST };
        let wait = match before {
            None => self.first_wait(ask),
            Some(tries) => (tries.wait * 2).min(longest),
        };
        // Section 15: give or take a tenth.
        let wait = wait.mul_f64(0.9 + 0.2 * unit(random));
        self.tries = Some(Tries { ask, last: now, wait });
        // No longer than the question makes sense: then comes the next.
        let over = match ask {
            Ask::Renew | Ask::Confirm => self.terms.rebind,
            Ask::Rebind if now < self.terms.end => self.terms.end,
            _ => NEVER,
        };
        let patience = OPEN.min(wait).min(over.saturating_sub(now).max(SHORTEST));
        Attempt { ask, patience }
    }

    fn first_wait(&self, ask: Ask) -> Duration {
        let Terms { renew, rebind, end } = self.terms;
        let term = match ask {
            Ask::Renew => rebind.saturating_sub(renew),
            Ask::Rebind => end.saturating_sub(rebind),
            Ask::Confirm | Ask::Lease => return FIRST,
        };
        (term / 4).clamp(SHORTEST, FIRST)
    }

    /// A server has given these terms.
    pub fn extended(&mut self, terms: Terms) {
        let longest_solicit = self.longest_solicit;
        *self = Course { longest_solicit, ..Course::new(terms, self.share, self.has_prefix) };
    }

    /// A server has said whether the addresses fit the link.
    pub fn confirmed(&mut self, on_link: bool) {
        self.doubt = NEVER;
        self.tries = None;
        self.lost = !on_link;
    }

    /// Nobody has answered. A Confirm is not repeated: section 18.2.3 has the client go on with what
    /// it has.
    pub fn unanswered(&mut self) {
        if self.tries.is_some_and(|tries| tries.ask == Ask::Confirm) {
            self.tries = None;
            self.doubt = NEVER;
        }
    }

    /// The link may be another one than before: to be found out, at some time within `spread`.
    pub fn doubted(&mut self, now: Duration, spread: Duration) {
        self.doubt = self.doubt.min(now.saturating_add(spread.mul_f64(self.share)));
    }

    /// The lease is to be extended before its time, within `spread` or half of the time that is left
    /// until then.
    pub fn hurried(&mut self, now: Duration, spread: Duration) {
        let left = self.renewal().saturating_sub(now) / 2;
        self.early = now.saturating_add(spread.min(left).mul_f64(self.share));
    }

    /// Servers have set SOL_MAX_RT (section 21.24).
    pub fn limited(&mut self, longest_solicit: Duration) {
        self.longest_solicit = longest_solicit;
    }

    /// A server is there again: what has found none need not wait longer than the first time.
    pub fn heard(&mut self) {
        if let Some(tries) = &mut self.tries {
            tries.wait = tries.wait.min(FIRST);
        }
    }
}
