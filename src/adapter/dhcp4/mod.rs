//! A DHCPv4 client (RFC 2131) for one interface, and one exchange at a time.
//!
//! Nothing runs in the background and nothing is remembered here: the caller holds the lease, says
//! when to renew it, and looks whether others have the address. A call sends and receives on the given
//! link of the network namespace that the calling thread is in, blocks until there is an outcome,
//! and hardly longer than `give_up_after`. It needs CAP_NET_RAW and CAP_NET_BIND_SERVICE. [`Exchange`] is
//! the same for whoever has many at once and waits for all of them.
//!
//! It leaves the RFC in two points, for containers that are to be reachable in milliseconds:
//!
//! - The first message goes out at once, where section 4.4.1 has a random delay of 1 to 10 s for
//!   machines that all start at once. Here the caller decides how many it starts.
//! - The first answer that is fit is taken (which section 4.4.1 leaves to the client), and the first
//!   retransmission comes after 1 s instead of 4 (section 4.1).
//!
//! A server cannot prove who it is, in DHCPv4. An answer is taken when it carries the random
//! transaction id and the hardware address, and nothing in it that no honest server would say.

mod exchange;
mod frame;
mod lease;
mod machine;
mod message;
mod options;
mod socket;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::record::{ClientIdentifier, Duid, Ifname, Mac};

pub use exchange::{Exchange, Progress};
pub use lease::{FOREVER, Held, Lease};
pub use machine::{Outcome, Task};

/// Who asks, and how long it waits.
#[derive(Clone, Debug)]
pub struct Client {
    /// By what servers know the client (option 61).
    pub identifier: ClientIdentifier,
    /// The interface's hardware address.
    pub mac: Mac,
    /// Whether a server may commit a lease at once, in two messages instead of four (RFC 4039).
    pub rapid_commit: bool,
    /// Whether servers are to answer to everybody, where the interface does not hear what is sent
    /// to an address that it does not have yet. Ethernet does; ipvlan does not.
    pub broadcast: bool,
    /// When to stop trying.
    pub give_up_after: Duration,
}

/// A link in the calling thread's network namespace.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The interface's index.
    pub index: u32,
    /// The interface's name.
    pub name: &'a Ifname,
}

/// Whether a datagram is a message of a server that a client could rely on.
pub fn is_answer(datagram: &[u8]) -> bool {
    message::Answer::decode(datagram).is_some()
}

/// The client identifier of an identity association of a client with a DUID: both protocols show
/// servers the same client (RFC 4361 section 6.1).
pub fn identifier(duid: &Duid, iaid: u32) -> ClientIdentifier {
    let bytes = [&[255][..], &iaid.to_be_bytes(), duid.as_bytes()].concat();
    ClientIdentifier::new(&bytes).expect("at most 135 bytes")
}

impl Client {
    /// A client with the settings for containers on a bridge: rapid commit, 10 s in all.
    pub fn new(identifier: ClientIdentifier, mac: Mac) -> Client {
        Client {
            identifier,
            mac,
            rapid_commit: true,
            broadcast: false,
            give_up_after: Duration::from_secs(10),
        }
    }

    /// Leases an address: Discover and Request. Where the client `had` one, that is asked for first
    /// (INIT-REBOOT), and a server that knows better says so.
    ///
    /// Errors: `Refused` when a server that offered an address does not give it, `TimedOut` when none
    /// answered.
    pub fn lease(&self, link: Link<'_>, had: Option<Ipv4Addr>) -> Result<Lease> {
        self.run_for_lease(link, had.map_or(Task::Lease, Task::Reboot))
    }

    /// Asks the server that gave the lease for more time. The address has to be on the interface.
    ///
    /// A server that takes it back makes the client ask anew, so the address may be another one: the
    /// one before must then not be used any more. Errors: `TimedOut` leaves the lease as it was, for
    /// [`Client::rebind`] after T2; `Refused` says that it is lost, and that there is no other.
    pub fn renew(&self, link: Link<'_>, held: &Held) -> Result<Lease> {
        self.extend(link, Task::Renew(*held))
    }

    /// Asks any server for more time. Otherwise like [`Client::renew`].
    pub fn rebind(&self, link: Link<'_>, held: &Held) -> Result<Lease> {
        self.extend(link, Task::Rebind(*held))
    }

    /// Gives the lease back. No server answers to that (section 4.4.6). Where the address is not on the
    /// interface any more, it reaches a server on the link alone.
    pub fn release(&self, link: Link<'_>, held: &Held) -> Result<()> {
        self.run(link, Task::Release(*held)).map(drop)
    }

    /// Tells the server that somebody else uses the address. No server answers to that.
    pub fn decline(&self, link: Link<'_>, held: &Held) -> Result<()> {
        self.run(link, Task::Decline(*held)).map(drop)
    }

    fn extend(&self, link: Link<'_>, task: Task) -> Result<Lease> {
        match self.run(link, task)? {
            Outcome::Leased(lease) => Ok(lease),
            Outcome::Lost(why) => self.run_for_lease(link, Task::Lease).map_err(|after| {
                let why = format!("server says {why}, and then: {after}");
                Error::new(Kind::Refused, "renew DHCPv4 lease").why(why).at(link.name)
            }),
            Outcome::Noted => Err(out_of_step(link)),
        }
    }

    fn run_for_lease(&self, link: Link<'_>, task: Task) -> Result<Lease> {
        match self.run(link, task)? {
            Outcome::Leased(lease) => Ok(lease),
            _ => Err(out_of_step(link)),
        }
    }

    fn run(&self, link: Link<'_>, task: Task) -> Result<Outcome> {
        exchange::run(self, link, task)
    }
}

fn out_of_step(link: Link<'_>) -> Error {
    Error::new(Kind::Bug, "speak DHCPv4").why("the outcome is of another exchange").at(link.name)
}
