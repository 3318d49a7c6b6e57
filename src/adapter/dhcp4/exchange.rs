//! An exchange on a link: the machine, its socket and its clock.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::machine::{Action, Machine, Outcome, Task};
use super::socket::Socket;
use super::{Client, Link};
use crate::error::{Doing, Error, Result, Within};
use crate::record::Ifname;

/// How soon to try again what cannot be sent yet.
const SOON: Duration = Duration::from_millis(2);

/// One exchange, for whoever has many of them at once on one thread.
///
/// It does something in [`Exchange::poll`] alone, and never blocks. Its socket stays in the network
/// namespace that it was opened in, and keeps that alive.
pub struct Exchange {
    name: Ifname,
    machine: Machine,
    socket: Socket,
    begun: Instant,
    end: Duration,
    /// A message that the link could not take yet.
    unsent: Option<super::machine::Outgoing>,
    buffer: Box<[u8]>,
}

/// How an exchange stands.
#[derive(Debug)]
pub enum Progress {
    /// There is nothing to do before then, unless something comes in.
    WaitUntil(Instant),
    /// It is over.
    Done(Result<Outcome>),
}

impl Exchange {
    /// Opens a socket on `link`, in the network namespace of the calling thread. Sends nothing.
    pub fn open(client: &Client, link: Link<'_>, task: Task) -> Result<Exchange> {
        let seed = RandomState::new().build_hasher().finish();
        Ok(Exchange {
            name: link.name.clone(),
            machine: Machine::new(client.clone(), task, seed),
            socket: Socket::open(client.mac, link, task).within(link.name)?,
            begun: Instant::now(),
            end: client.give_up_after,
            unsent: None,
            buffer: vec![0; Socket::LONGEST].into(),
        })
    }

    /// Takes what has come in and sends what is due.
    pub fn poll(&mut self, now: Instant) -> Progress {
        match self.step(now) {
            Ok(progress) => progress,
            Err(why) => Progress::Done(Err(why.at(&self.name))),
        }
    }

    fn step(&mut self, now: Instant) -> Result<Progress> {
        let elapsed = now.saturating_duration_since(self.begun);
        while let Some(message) = self.socket.receive(&mut self.buffer)? {
            self.machine.receive(elapsed, message);
        }
        loop {
            if let Some(outgoing) = self.unsent.take()
                && !self.socket.send(&outgoing)?
            {
                self.unsent = Some(outgoing);
                if elapsed + SOON < self.end {
                    return Ok(Progress::WaitUntil(now + SOON));
                }
                return Ok(Progress::Done(Err(late())));
            }
            match self.machine.poll(elapsed) {
                Action::Send(outgoing) => self.unsent = Some(outgoing),
                Action::Wait(until) => return Ok(Progress::WaitUntil(self.begun + until)),
                Action::End(outcome) => {
                    return Ok(Progress::Done(outcome.map_err(|why| why.at(&self.name))));
                }
            }
        }
    }
}

fn late() -> Error {
    Error::new(crate::error::Kind::TimedOut, "send DHCPv4 message")
        .why("the interface does not take it")
        .remedy("see that it is up and has a carrier")
}

impl AsFd for Exchange {
    /// Readable when something has come in.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Has an exchange from its beginning to its end.
pub(super) fn run(client: &Client, link: Link<'_>, task: Task) -> Result<Outcome> {
    let mut exchange = Exchange::open(client, link, task)?;
    loop {
        match exchange.poll(Instant::now()) {
            Progress::Done(outcome) => return outcome,
            Progress::WaitUntil(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let millis = left.as_nanos().div_ceil(1_000_000).min(60_000) as u16;
                let mut fds = [PollFd::new(exchange.as_fd(), PollFlags::POLLIN)];
                match poll(&mut fds, PollTimeout::from(millis)) {
                    Ok(_) | Err(Errno::EINTR) => (),
                    Err(why) => return Err(why).doing("wait for DHCPv4 message"),
                }
            }
        }
    }
}
