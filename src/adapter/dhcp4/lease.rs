//! What a server has leased, and what a client keeps of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::record::Hostname;

/// Seconds that stand for no end (RFC 2131 section 3.3).
pub const FOREVER: u32 = u32::MAX;

/// What a server has given to this client. All times are in seconds and count from the moment the
/// answer came in; [`FOREVER`] is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The server that gave it, which Renew, Release and Decline go to.
    pub server: Ipv4Addr,
    /// The address: one that a station may have.
    pub address: Ipv4Addr,
    /// The length of the prefix that is on the link.
    pub prefix_len: u8,
    /// When to ask the same server for more time.
    pub t1: u32,
    /// When to ask any server for more time; never before `t1`.
    pub t2: u32,
    /// How long the address may be used; never 0, and never before `t2`.
    pub valid: u32,
    /// The router of the default route.
    pub router: Option<Ipv4Addr>,
    /// Routes to other places: the prefix and its router, 0.0.0.0 for what is on the link. A server
    /// that gives these gives the default route with them (RFC 3442), and it is in `router`.
    pub routes: Vec<(Ipv4Net, Ipv4Addr)>,
    /// Recursive name servers, in the server's order.
    pub dns_servers: Vec<Ipv4Addr>,
    /// Domains to search, in the server's order; what is not a host name is left out.
    pub search: Vec<Hostname>,
    /// The largest packet in bytes that the link can take, at least 576.
    pub mtu: Option<u16>,
    /// Whether it took two messages (rapid commit) instead of four.
    pub rapid: bool,
    /// From the first message until the answer came in.
    pub elapsed: Duration,
    /// Datagrams that came in for a DHCPv4 client and were no answer to this one.
    pub ignored: u32,
}

impl Lease {
    /// What has to be kept to renew the lease or to give it back.
    pub fn held(&self) -> Held {
        Held { server: self.server, address: self.address }
    }
}

/// What a client keeps of a lease, to renew it or to give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The server that gave it.
    pub server: Ipv4Addr,
    /// The address.
    pub address: Ipv4Addr,
}
