//! One exchange that a thread can have beside thousands of others.

use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::machine::{Action, Machine, Outcome, Task};
use super::pace::Pace;
use super::socket::{self, Sockets, may_pass};
use super::{Client, Link};
use crate::error::{Doing, Error, Kind, Result, Within};
use crate::record::Ifname;

/// How soon to try again what cannot be done yet, and how long to wait between two tries at most.
const SOON: Duration = Duration::from_millis(2);
const LATER: Duration = Duration::from_secs(1);

/// How far ahead to wait for what has no end.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// How many datagrams are taken at once, so that a flood on one link keeps no other waiting.
const AT_ONCE: usize = 64;

/// What an exchange waits for.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time is looked at, and none is kept")]
pub enum Progress {
    /// For a datagram ([`Exchange::readable`]), or this time, whichever comes first; then
    /// [`Exchange::poll`] is called.
    WaitUntil(Instant),
    /// For nothing: it has ended. After that it sends nothing and takes nothing.
    Done(Result<Outcome>),
}

/// An exchange with DHCPv6 servers on one link, which never blocks.
///
/// It has two sockets, which stay in the network namespace in which it was opened and keep that
/// alive; the exchange itself may go to any thread. All times that it is given must be of one clock and
/// must not go back. Dropping it ends it without a word to any server.
pub struct Exchange {
    machine: Machine,
    sockets: Sockets,
    place: Ifname,
    start: Instant,
    unsent: Option<Unsent>,
    failure: Option<Error>,
}

/// A message that the link could not take yet.
struct Unsent {
    message: Vec<u8>,
    why: Errno,
    again: Instant,
    pause: Duration,
}

impl Exchange {
    /// An exchange for this task on a link of the network namespace that the calling thread is in.
    /// Nothing is sent before the first [`Exchange::poll`].
    ///
    /// Errors: `TimedOut` when the link has no address to send from yet, or another program has the
    /// port: trying again later may help. `NotFound` when there is no such interface, `NotPermitted`.
    pub fn open(client: &Client, link: Link<'_>, task: Task) -> Result<Exchange> {
        let start = Instant::now();
        match Sockets::open(link).within(link.name)? {
            Ok(sockets) => Ok(Exchange::new(client, link, task, sockets, start)),
            Err(not_yet) => Err(not_yet.error()).within(link.name),
        }
    }

    /// The same, but waits for an address and the port while the client's patience lasts.
    pub(super) fn open_soon(client: &Client, link: Link<'_>, task: Task) -> Result<Exchange> {
        let start = Instant::now();
        loop {
            match Sockets::open(link).within(link.name)? {
                Ok(sockets) => return Ok(Exchange::new(client, link, task, sockets, start)),
                Err(not_yet) if start.elapsed() + SOON > client.give_up_after => {
                    return Err(not_yet.error()).within(link.name);
                }
                Err(_) => thread::sleep(SOON),
            }
        }
    }

    fn new(
        client: &Client,
        link: Link<'_>,
        task: Task,
        sockets: Sockets,
        start: Instant,
    ) -> Exchange {
        let machine = Machine::new(client.clone(), task, socket::seed(), start);
        let place = link.name.clone();
        Exchange { machine, sockets, place, start, unsent: None, failure: None }
    }

    /// The same exchange at the pace that the one before on this link has left.
    pub fn with_pace(mut self, pace: Pace) -> Exchange {
        self.machine.set_pace(pace);
        self
    }

    /// What is left of the link's pace, for the next exchange on it.
    pub fn pace(&self) -> Pace {
        self.machine.pace()
    }

    /// The longest time between two Solicits that the servers on this link have set, if they agree: to
    /// be kept for as long as possible (RFC 8415 section 21.24), for [`Client::sol_max_rt`].
    pub fn sol_max_rt(&self) -> Option<Duration> {
        self.machine.sol_max_rt()
    }

    /// Sends what is due, and says what to wait for. May be called at any time.
    pub fn poll(&mut self, now: Instant) -> Progress {
        loop {
            if let Some(failure) = &self.failure {
                return Progress::Done(Err(failure.clone()).within(&self.place));
            }
            match self.machine.poll(self.since_start(now)) {
                Action::Send(message) => self.send(message, now, SOON),
                Action::Wait(until) => {
                    if let Some(unsent) = self.unsent.take_if(|unsent| unsent.again <= now) {
                        self.send(unsent.message, now, (unsent.pause * 5 / 4).min(LATER));
                        continue;
                    }
                    let until = self.start.checked_add(until).unwrap_or(now + FAR).min(now + FAR);
                    let again = self.unsent.as_ref().map_or(until, |unsent| unsent.again);
                    return Progress::WaitUntil(until.min(again));
                }
                Action::End(outcome) => return Progress::Done(self.ended(outcome)),
            }
        }
    }

    /// Takes what has come in; to be called when [`AsFd::as_fd`] is readable, and followed by
    /// [`Exchange::poll`]. What is left over after a while keeps the descriptor readable.
    pub fn readable(&mut self, now: Instant) {
        let mut buffer = socket::buffer();
        for _ in 0..AT_ONCE {
            match self.sockets.receive(&mut buffer) {
                Ok(Some(datagram)) => {
                    self.machine.receive(now.saturating_duration_since(self.start), datagram)
                }
                Ok(None) => return,
                Err(failure) => return self.failure = Some(failure),
            }
        }
    }

    /// Goes on until the exchange ends.
    pub(super) fn wait(mut self) -> Result<Outcome> {
        loop {
            match self.poll(Instant::now()) {
                Progress::WaitUntil(until) => {
                    self.sockets.wait(until.saturating_duration_since(Instant::now()))?;
                    self.readable(Instant::now());
                }
                Progress::Done(outcome) => return outcome,
            }
        }
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Sends a message, or keeps it for when the link can take it. A later one takes its place.
    fn send(&mut self, message: Vec<u8>, now: Instant, pause: Duration) {
        self.unsent = None;
        match self.sockets.send(&message) {
            Ok(()) => {}
            Err(why) if may_pass(why) => {
                self.unsent = Some(Unsent { message, why, again: now + pause, pause });
            }
            Err(why) => self.failure = Err::<(), _>(why).doing("send DHCPv6 message").err(),
        }
    }

    /// The outcome, or why the last message did not get out, which is why nobody answered.
    fn ended(&self, outcome: Result<Outcome>) -> Result<Outcome> {
        match (&self.unsent, outcome) {
            (Some(unsent), Err(error)) if error.kind() == Kind::TimedOut => {
                let error = Error::io("send DHCPv6 message", &unsent.why.into());
                Err(match unsent.why {
                    Errno::EINVAL => error.remedy(
                        "the kernel's table of neighbours may be full: raise net.ipv6.neigh.default.gc_thresh3",
                    ),
                    _ => error,
                })
            }
            (_, outcome) => outcome,
        }
        .within(&self.place)
    }
}

impl AsFd for Exchange {
    /// The descriptor that is readable when something has come in.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sockets.as_fd()
    }
}
