//! A DHCPv6 client (RFC 8415) for one identity association on one link, and one exchange at a time.
//!
//! Nothing runs in the background and nothing is remembered here: the caller holds the lease, says
//! when to renew it, and does duplicate address detection. A call sends and receives on the given
//! link of the network namespace that the calling thread is in, blocks until there is an outcome,
//! and hardly longer than `give_up_after`. Any number of calls may run at once, on one link too. It
//! needs CAP_NET_RAW and CAP_NET_BIND_SERVICE.
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

mod lease;
mod machine;
mod message;
mod offers;
mod sieve;
mod socket;
mod timing;
mod verdict;

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::error::{Error, Kind, Result, Within};
use crate::record::{Duid, Ifname};
use machine::{Machine, Outcome, Task};

pub use lease::{Held, Lease, LeasedAddress, Lifetime};

/// Who asks, and how long it waits.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's DUID.
    pub duid: Duid,
    /// The number of its identity association (IA_NA), which has to stay the same for a container.
    pub iaid: u32,
    /// Whether a server may commit a lease at once, in two messages instead of four. Where several
    /// servers do so, each of them commits an address and one is used.
    pub rapid_commit: bool,
    /// How long to wait for better offers once there is one that is not of the highest preference.
    pub collect: Duration,
    /// When to stop trying. A Renew or Rebind is sent a second time after 10 s, everything else
    /// after 1 s.
    pub give_up_after: Duration,
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
    /// A client with the settings for containers on a bridge: rapid commit, 10 ms for better
    /// offers, 10 s in all.
    pub fn new(duid: Duid, iaid: u32) -> Client {
        Client {
            duid,
            iaid,
            rapid_commit: true,
            collect: Duration::from_millis(10),
            give_up_after: Duration::from_secs(10),
        }
    }

    /// Leases an address: Solicit, and Request where the server did not commit at once.
    ///
    /// Errors: `Refused` when every server that answered said no, `TimedOut` when none answered.
    pub fn lease(&self, link: Link<'_>) -> Result<Lease> {
        self.run_for_lease(link, Task::Lease)
    }

    /// Asks the server that gave the lease for more time.
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

    /// Gives the lease back. Done when the server has answered, whatever it says.
    ///
    /// The address must not be in use any more. Any link on which the server can be reached will do,
    /// so a host can give back what a container had that is gone.
    pub fn release(&self, link: Link<'_>, held: &Held) -> Result<()> {
        self.run(link, Task::Release(held.clone())).map(|_| ())
    }

    /// Tells the server that these of the held addresses are in use by somebody else. Done when it
    /// has answered, whatever it says.
    pub fn decline(&self, link: Link<'_>, held: &Held, addresses: &[Ipv6Addr]) -> Result<()> {
        let held = Held { server: held.server.clone(), addresses: addresses.to_vec() };
        self.run(link, Task::Decline(held)).map(|_| ())
    }

    /// Whether `addresses` still fit the link, as a server there says.
    ///
    /// Errors: `TimedOut` when no server can tell; the lease then stays as it is.
    pub fn confirm(&self, link: Link<'_>, addresses: &[Ipv6Addr]) -> Result<bool> {
        match self.run(link, Task::Confirm(addresses.to_vec()))? {
            Outcome::OnLink(on_link) => Ok(on_link),
            _ => Err(out_of_step(link)),
        }
    }

    fn run_for_lease(&self, link: Link<'_>, task: Task) -> Result<Lease> {
        match self.run(link, task)? {
            Outcome::Leased(lease) => Ok(lease),
            _ => Err(out_of_step(link)),
        }
    }

    fn run(&self, link: Link<'_>, task: Task) -> Result<Outcome> {
        let machine = Machine::new(self.clone(), task, socket::seed());
        socket::run(machine, link, self.give_up_after).within(link.name)
    }
}

fn out_of_step(link: Link<'_>) -> Error {
    Error::new(Kind::Bug, "speak DHCPv6").why("the outcome is of another exchange").at(link.name)
}
