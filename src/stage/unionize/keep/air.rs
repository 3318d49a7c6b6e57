//! The exchanges that are in the air: one thread has them all.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::adapter::dhcp6::{Exchange, Outcome, Progress};
use crate::error::Result;

/// One exchange, and what is to be known when it ends.
struct Flight<T> {
    exchange: Exchange,
    aboard: T,
    /// When it has to be looked at, unless something comes in before.
    until: Instant,
}

/// One that has ended.
pub struct Ended<T> {
    /// What was aboard.
    pub aboard: T,
    /// How it went.
    pub outcome: Result<Outcome>,
    /// The longest time between two Solicits, where servers have set it.
    pub sol_max_rt: Option<Duration>,
}

/// The exchanges that are in the air, each with something aboard.
pub struct Air<T> {
    flights: Vec<Flight<T>>,
}

impl<T> Air<T> {
    /// Nothing.
    pub fn new() -> Air<T> {
        Air { flights: Vec::new() }
    }

    /// Takes one in. Its first message goes out at the next [`Air::pass`].
    pub fn add(&mut self, exchange: Exchange, aboard: T) {
        self.flights.push(Flight { exchange, aboard, until: Instant::now() });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// What to wait for, in the order of [`Air::readable`].
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.flights.iter().map(|flight| flight.exchange.as_fd())
    }

    /// When to look again at the latest, if there are any.
    pub fn until(&self) -> Option<Instant> {
        self.flights.iter().map(|flight| flight.until).min()
    }

    /// Takes in what has come for the one at that place.
    pub fn readable(&mut self, at: usize, now: Instant) {
        if let Some(flight) = self.flights.get_mut(at) {
            flight.exchange.readable(now);
            flight.until = now;
        }
    }

    /// Sends what is due, and hands out those that have ended.
    pub fn pass(&mut self, now: Instant) -> Vec<Ended<T>> {
        let mut ended = Vec::new();
        let mut at = 0;
        while at < self.flights.len() {
            let flight = &mut self.flights[at];
            if flight.until > now {
                at += 1;
                continue;
            }
            match flight.exchange.poll(now) {
                Progress::WaitUntil(until) => {
                    flight.until = until;
                    at += 1;
                }
                Progress::Done(outcome) => {
                    let Flight { exchange, aboard, .. } = self.flights.swap_remove(at);
                    ended.push(Ended { aboard, outcome, sol_max_rt: exchange.sol_max_rt() });
                }
            }
        }
        ended
    }
}
