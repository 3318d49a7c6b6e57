//! A DHCPv6 client (RFC 8415) for one identity association on one link, and one exchange at a time.
//!
//! Nothing runs in the background and nothing is remembered here: the caller holds the lease, says
//! when to renew it, and does duplicate address detection. A call sends and receives on the given
//! link of the network namespace that the calling thread is in, blocks until there is an outcome,
//! and never longer than `give_up_after`.

mod lease;

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::record::{Duid, Ifname};

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
    /// The link-local address to send from; the interface's own when absent. One that is still
    /// tentative is waited for.
    pub source: Option<Ipv6Addr>,
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
        self.pending(link)
    }

    /// Asks the server that gave the lease for more time.
    ///
    /// Where the server has lost the lease it is requested anew, so the address may be another one.
    pub fn renew(&self, link: Link<'_>, _held: &Held) -> Result<Lease> {
        self.pending(link)
    }

    /// Asks any server for more time.
    pub fn rebind(&self, link: Link<'_>, _held: &Held) -> Result<Lease> {
        self.pending(link)
    }

    /// Gives the lease back. Done when the server has answered, whatever it says.
    pub fn release(&self, link: Link<'_>, _held: &Held) -> Result<()> {
        self.pending(link)
    }

    /// Tells the server that `addresses` are in use by another. Done when it has answered.
    pub fn decline(&self, link: Link<'_>, _held: &Held, _addresses: &[Ipv6Addr]) -> Result<()> {
        self.pending(link)
    }

    /// Whether `addresses` still fit the link, if any server says so.
    pub fn confirm(&self, link: Link<'_>, _addresses: &[Ipv6Addr]) -> Result<bool> {
        self.pending(link)
    }

    fn pending<T>(&self, link: Link<'_>) -> Result<T> {
        Err(Error::new(Kind::Bug, "speak DHCPv6").at(link.name))
    }
}
