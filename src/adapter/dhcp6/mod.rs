//! A DHCPv6 client (RFC 8415, RFC 9915) for addresses, temporary addresses and delegated prefixes on
//! one link, and one exchange at a time.
//!
//! Nothing runs in the background and nothing is remembered here: the caller holds the lease, says
//! when to renew it, and does duplicate address detection. There are two ways to have an exchange. A
//! call of a [`Client`] sends and receives on the given link of the network namespace that the
//! calling thread is in, blocks until there is an outcome, and hardly longer than `give_up_after`. An
//! [`Exchange`] never blocks, so that one thread can have thousands of them. Any number of both may
//! run at once, on one link too. It needs CAP_NET_RAW and CAP_NET_BIND_SERVICE.
//!
//! RFC 9915 has obsoleted RFC 8415 and, of what a client does, taken away three things. Temporary
//! addresses (IA_TA, section 21.5) are therefore asked for only by a client that wants them by name;
//! servers that follow it leave them out, which is told as a refusal. The Server Unicast option
//! (section 21.12) is never asked for and is ignored: every message goes by multicast. The status
//! UseMulticast (section 21.13), which an older server may still send, changes nothing for that
//! reason, and the message is sent again when it is time. The sections have kept their numbers, so one
//! number stands for both here.
//!
//! A Reconfigure is discarded (section 16.11): the client never says that it would accept one, so it has
//! no key to tell a true one by. Information-request is never sent, so INF_MAX_RT has no meaning.
//!
//! It leaves the RFC in two points, for containers that are to be reachable in milliseconds:
//!
//! - The first Solicit and Confirm go out at once. The random delay of up to a second (sections
//!   18.2.1 and 18.2.3) is there so that the machines of a network do not all ask at once after a power
//!   failure. Here the caller decides how many links it works on at a time, and retransmissions
//!   keep their random spread.
//! - Of servers that set no preference of 255, the RFC would have a client collect offers for a full
//!   second. [`Client::collect`] is how long this one does; `Duration::MAX` is the RFC's way. With rapid
//!   commit, or preference 255, nothing is waited for, as the RFC has it.

mod exchange;
mod lease;
mod machine;
mod message;
mod offers;
mod pace;
mod sieve;
mod socket;
mod timing;
mod verdict;

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::record::{Duid, Ifname};

use machine::{Action, Machine};

pub use exchange::{Exchange, Progress};
pub use lease::{
    Held, HeldAddress, HeldPrefix, Ia, Lease, LeasedAddress, LeasedPrefix, Lifetime, Refusal,
};
pub use machine::{Outcome, Task};
pub use pace::Pace;

/// Who asks, what for, and how long it waits.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's DUID.
    pub duid: Duid,
    /// The number of its identity associations, which has to stay the same for a container. Each sort
    /// has numbers of its own (RFC 8415 section 12), so one number does for all.
    pub iaid: u32,
    /// What it asks for.
    pub wants: Wants,
    /// Whether a server may commit a lease at once, in two messages instead of four. Where several
    /// servers do so, each of them commits an address and one is used.
    pub rapid_commit: bool,
    /// How long to wait for better offers once there is one that is not of the highest preference.
    pub collect: Duration,
    /// When to stop trying. A Renew or Rebind is sent a second time after 10 s, everything else
    /// after 1 s.
    pub give_up_after: Duration,
    /// The longest time between two Solicits, where servers on this link have set it before
    /// ([`Exchange::sol_max_rt`]); an hour when absent.
    pub sol_max_rt: Option<Duration>,
}

/// What a client asks for: any of three sorts of identity association, in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// An IA_NA: an address, or several if the server has it so.
    pub address: bool,
    /// An IA_TA: temporary addresses. Few servers give any.
    pub temporary: bool,
    /// An IA_PD: a prefix, of this length if the server can (0: of any length).
    pub delegate: Option<u8>,
}

impl Wants {
    /// An address.
    pub const ADDRESS: Wants = Wants { address: true, temporary: false, delegate: None };

    /// Nothing yet.
    pub const NOTHING: Wants = Wants { address: false, temporary: false, delegate: None };

    /// The associations, in the order of [`Ia`].
    fn associations(self) -> impl Iterator<Item = Ia> {
        let wanted =
            [(self.address, Ia::Na), (self.temporary, Ia::Ta), (self.delegate.is_some(), Ia::Pd)];
        wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, ia)| ia)
    }
}

/// A link in the calling thread's network namespace.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The interface's index.
    pub index: u32,
    /// The interface's name.
    pub name: &'a Ifname,
    /// The link-local address to send from; the interface's own when absent. One that is still
    /// tentative is waited for.
    pub source: Option<Ipv6Addr>,
}

/// Whether a datagram is a message of a server that a client could rely on.
pub fn is_answer(datagram: &[u8]) -> bool {
    message::Answer::decode(datagram).is_some()
}

impl Client {
    /// A client for an address, with the settings for containers on a bridge: rapid commit, 10 ms for
    /// better offers, 10 s in all.
    pub fn new(duid: Duid, iaid: u32) -> Client {
        Client {
            duid,
            iaid,
            wants: Wants::ADDRESS,
            rapid_commit: true,
            collect: Duration::from_millis(10),
            give_up_after: Duration::from_secs(10),
            sol_max_rt: None,
        }
    }

    /// Leases what the client wants: Solicit, and Request where the server did not commit at once.
    ///
    /// What one server gives of it is taken, and the rest told in [`Lease::refused`]. Errors:
    /// `Refused` when every server that answered gave nothing, `TimedOut` when none answered.
    pub fn lease(&self, link: Link<'_>) -> Result<Lease> {
        self.run_for_lease(link, Task::Lease)
    }

    /// Asks the server that gave the lease for more time, and for what the client wants and does not
    /// have.
    ///
    /// A server that knows nothing of the lease is asked for it anew, so the address may be another
    /// one. Errors: `TimedOut` leaves the lease as it was, for [`Client::rebind`] after T2.
    pub fn renew(&self, link: Link<'_>, held: &Held) -> Result<Lease> {
        self.run_for_lease(link, Task::Renew(held.clone()))
    }

    /// Asks any server for more time. Otherwise like [`Client::renew`].
    pub fn rebind(&self, link: Link<'_>, held: &Held) -> Result<Lease> {
        self.run_for_lease(link, Task::Rebind(held.clone()))
    }

    /// Gives back what is held. Done when the server has answered, whatever it says.
    ///
    /// It must not be in use any more. Any link on which the server can be reached will do, so a host
    /// can give back what a container had that is gone.
    pub fn release(&self, link: Link<'_>, held: &Held) -> Result<()> {
        self.run(link, Task::Release(held.clone())).map(drop)
    }

    /// Tells the server that these of the held addresses are in use by somebody else. Done when it
    /// has answered, whatever it says.
    pub fn decline(&self, link: Link<'_>, held: &Held, addresses: &[Ipv6Addr]) -> Result<()> {
        let mut held = held.clone();
        held.addresses.retain(|held| addresses.contains(&held.address));
        self.run(link, Task::Decline(held)).map(drop)
    }

    /// Whether what is held still fits the link, as a server there says: `OnLink`, or `Leased` where
    /// there are prefixes, with what is still good of it.
    ///
    /// Errors: `TimedOut` when no server can tell; the lease then stays as it is.
    pub fn confirm(&self, link: Link<'_>, held: &Held) -> Result<Outcome> {
        self.run(link, Task::Confirm(held.clone()))
    }

    /// The exchange for a task without a link and without a clock: `server` is shown each message that the
    /// client sends, and says what comes back, at once. Time passes only where the client waits.
    pub fn rehearse(
        &self,
        task: Task,
        mut server: impl FnMut(&[u8]) -> Vec<Vec<u8>>,
    ) -> Result<Outcome> {
        let mut machine = Machine::new(self.clone(), task, 0, Instant::now());
        let mut now = Duration::ZERO;
        loop {
            match machine.poll(now) {
                Action::Send(message) => {
                    server(&message).iter().for_each(|datagram| machine.receive(now, datagram))
                }
                Action::Wait(until) => now = until,
                Action::End(outcome) => return outcome,
            }
        }
    }

    fn run_for_lease(&self, link: Link<'_>, task: Task) -> Result<Lease> {
        match self.run(link, task)? {
            Outcome::Leased(lease) => Ok(lease),
            Outcome::Noted | Outcome::OnLink(_) => Err(out_of_step(link)),
        }
    }

    fn run(&self, link: Link<'_>, task: Task) -> Result<Outcome> {
        Exchange::open_soon(self, link, task)?.wait()
    }
}

fn out_of_step(link: Link<'_>) -> Error {
    Error::new(Kind::Bug, "speak DHCPv6").why("the outcome is of another exchange").at(link.name)
}
