//! What a server has leased, and what a client keeps of it.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::record::{Duid, Hostname};

/// A time in whole seconds from now; the largest value means for ever (RFC 8415 section 7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(u32);

impl Lifetime {
    /// For ever.
    pub const INFINITE: Lifetime = Lifetime(u32::MAX);

    /// This many seconds, `u32::MAX` being for ever: the form of the wire and of the kernel.
    pub fn from_secs(secs: u32) -> Lifetime {
        Lifetime(secs)
    }

    /// The seconds, `u32::MAX` being for ever.
    pub fn as_secs(self) -> u32 {
        self.0
    }

    /// The time, or nothing when it is for ever.
    pub fn finite(self) -> Option<Duration> {
        (self != Lifetime::INFINITE).then(|| Duration::from_secs(self.0.into()))
    }

    /// `tenths` tenths of this time; for ever stays for ever.
    pub(super) fn tenths(self, tenths: u32) -> Lifetime {
        match self {
            Lifetime::INFINITE => self,
            Lifetime(secs) => Lifetime((u64::from(secs) * u64::from(tenths) / 10) as u32),
        }
    }
}

/// One leased address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedAddress {
    /// A unicast address of more than link scope. A lease says nothing of a prefix: it is a /128.
    pub address: Ipv6Addr,
    /// How long new connections may use it; at most `valid`.
    pub preferred: Lifetime,
    /// How long it may be used at all; never zero.
    pub valid: Lifetime,
}

/// What a server has given to this client. All times count from the moment the Reply came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The server that gave it, which Renew, Release and Decline go to.
    pub server: Duid,
    /// The number of the identity association.
    pub iaid: u32,
    /// When to ask the same server for more time.
    pub t1: Lifetime,
    /// When to ask any server for more time; never before `t1`.
    pub t2: Lifetime,
    /// The addresses that may be used: at least one after a lease; after a renewal there may be
    /// none, and then all that were held stand in `withdrawn`.
    pub addresses: Vec<LeasedAddress>,
    /// Addresses that the server has taken back (a valid lifetime of zero): to be removed now.
    pub withdrawn: Vec<Ipv6Addr>,
    /// Recursive name servers (RFC 3646), in the server's order.
    pub dns_servers: Vec<Ipv6Addr>,
    /// Domains to search (RFC 3646), in the server's order; what is not a host name is left out.
    pub search: Vec<Hostname>,
    /// Whether it took two messages (rapid commit) instead of four.
    pub rapid: bool,
    /// From the first call until the Reply came in.
    pub elapsed: Duration,
    /// Datagrams that came in and were no answer to this client, or made no sense.
    pub ignored: u32,
}

impl Lease {
    /// What has to be kept to renew the lease or to give it back.
    pub fn held(&self) -> Held {
        Held {
            server: self.server.clone(),
            addresses: self.addresses.iter().map(|leased| leased.address).collect(),
        }
    }
}

/// What a client keeps of a lease, to renew it or to give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The server that gave it.
    pub server: Duid,
    /// The addresses.
    pub addresses: Vec<Ipv6Addr>,
}
