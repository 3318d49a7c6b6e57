//! What a server has leased, and what a client keeps of it.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::record::{Duid, Hostname};

/// A time in whole seconds from now; the largest value means for ever (RFC 8415 section 7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(u32);

impl Lifetime {
    /// For ever.
    pub const INFINITE: Lifetime = Lifetime(u32::MAX);

    /// This many seconds, `u32::MAX` being for ever: the form of the wire and of the kernel.
    pub const fn from_secs(secs: u32) -> Lifetime {
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

    /// Whether this time, counted from zero, is over at `now`.
    pub(super) fn is_over(self, now: Duration) -> bool {
        self.finite().is_some_and(|lasts| lasts <= now)
    }

    /// What is left of this time after some of it has passed.
    pub(super) fn after(self, passed: Duration) -> Lifetime {
        match self {
            Lifetime::INFINITE => self,
            Lifetime(secs) => {
                Lifetime(secs.saturating_sub(passed.as_secs().try_into().unwrap_or(u32::MAX)))
            }
        }
    }

    /// `tenths` tenths of this time; for ever stays for ever.
    pub(super) fn tenths(self, tenths: u32) -> Lifetime {
        match self {
            Lifetime::INFINITE => self,
            Lifetime(secs) => Lifetime((u64::from(secs) * u64::from(tenths) / 10) as u32),
        }
    }
}

/// The sort of an identity association (RFC 8415 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ia {
    /// Of addresses that stay (IA_NA).
    Na,
    /// Of temporary addresses (IA_TA); obsolete since RFC 9915 section 21.5.
    Ta,
    /// Of delegated prefixes (IA_PD).
    Pd,
}

impl fmt::Display for Ia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ia::Na => "IA_NA",
            Ia::Ta => "IA_TA",
            Ia::Pd => "IA_PD",
        })
    }
}

/// One leased address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedAddress {
    /// A unicast address of more than link scope. A lease says nothing of a prefix: it is a /128.
    pub address: Ipv6Addr,
    /// `Ia::Ta` when it is a temporary one, and else `Ia::Na`.
    pub ia: Ia,
    /// How long new connections may use it; at most `valid`.
    pub preferred: Lifetime,
    /// How long it may be used at all; never zero.
    pub valid: Lifetime,
}

/// One delegated prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedPrefix {
    /// Of at most 64 bits, outside of the ranges for one link, for multicast and for single hosts.
    pub prefix: Ipv6Net,
    /// How long addresses in it may be preferred; at most `valid`.
    pub preferred: Lifetime,
    /// How long addresses in it may be used at all; never zero.
    pub valid: Lifetime,
}

/// What a server did not give, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The identity association that was asked for.
    pub ia: Ia,
    /// The status code (RFC 8415 section 21.13); absent when the server said nothing of it.
    pub code: Option<u16>,
    /// The code's name and the server's words, which may be anything.
    pub why: String,
}

/// What a server has given to this client. All times count from the moment the Reply came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The server that gave it, which Renew, Release and Decline go to.
    pub server: Duid,
    /// The number of the identity associations.
    pub iaid: u32,
    /// When to ask the same server for more time: the earliest of all associations, 1 s at least.
    pub t1: Lifetime,
    /// When to ask any server for more time: the earliest of all; never before `t1`.
    pub t2: Lifetime,
    /// The addresses that may be used. After a lease there is an address or a prefix; after a renewal
    /// there may be none, and what was held and is not named in this lease stays as it was.
    pub addresses: Vec<LeasedAddress>,
    /// The prefixes that may be used, of which none lies within another.
    pub prefixes: Vec<LeasedPrefix>,
    /// Held addresses that the server has taken back (a valid lifetime of zero): to be removed now.
    pub withdrawn: Vec<Ipv6Addr>,
    /// Held prefixes that the server has taken back.
    pub withdrawn_prefixes: Vec<Ipv6Net>,
    /// The associations that were asked for and for which the server gave nothing, each once.
    ///
    /// They are asked for again with each renewal.
    pub refused: Vec<Refusal>,
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
    /// The same lease when some time has passed since the Reply came in.
    pub(super) fn aged(mut self, passed: Duration) -> Lease {
        for leased in &mut self.addresses {
            leased.preferred = leased.preferred.after(passed);
            leased.valid = leased.valid.after(passed);
        }
        for leased in &mut self.prefixes {
            leased.preferred = leased.preferred.after(passed);
            leased.valid = leased.valid.after(passed);
        }
        self.addresses.retain(|leased| leased.valid > Lifetime(0));
        self.prefixes.retain(|leased| leased.valid > Lifetime(0));
        self.t1 = self.t1.after(passed).max(Lifetime(1));
        self.t2 = self.t2.after(passed).max(self.t1);
        self
    }

    /// Takes over what an earlier Reply gave of the associations for which this one has nothing.
    pub(super) fn fill(&mut self, earlier: Lease) {
        let refused = std::mem::take(&mut self.refused);
        let is_missing = |ia: Ia| refused.iter().any(|refusal| refusal.ia == ia);
        let addresses = earlier.addresses.into_iter().filter(|leased| is_missing(leased.ia));
        let addresses: Vec<_> = addresses.collect();
        let prefixes = if is_missing(Ia::Pd) { earlier.prefixes } else { Vec::new() };
        if !addresses.is_empty() || !prefixes.is_empty() {
            (self.t1, self.t2) = (self.t1.min(earlier.t1), self.t2.min(earlier.t2));
        }
        let is_filled = |ia: Ia| match ia {
            Ia::Pd => !prefixes.is_empty(),
            _ => addresses.iter().any(|leased| leased.ia == ia),
        };
        self.refused = refused.iter().filter(|one| !is_filled(one.ia)).cloned().collect();
        self.addresses.extend(addresses);
        self.prefixes.extend(prefixes);
        self.withdrawn.extend(earlier.withdrawn);
        self.withdrawn_prefixes.extend(earlier.withdrawn_prefixes);
    }

    /// What has to be kept to renew the lease or to give it back, as of the moment the Reply came in.
    pub fn held(&self) -> Held {
        let address = |leased: &LeasedAddress| HeldAddress {
            address: leased.address,
            ia: leased.ia,
            left: leased.valid,
        };
        let prefix =
            |leased: &LeasedPrefix| HeldPrefix { prefix: leased.prefix, left: leased.valid };
        Held {
            server: self.server.clone(),
            addresses: self.addresses.iter().map(address).collect(),
            prefixes: self.prefixes.iter().map(prefix).collect(),
        }
    }
}

/// What a client keeps of a lease, to renew it or to give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The server that gave it.
    pub server: Duid,
    /// The addresses.
    pub addresses: Vec<HeldAddress>,
    /// The prefixes.
    pub prefixes: Vec<HeldPrefix>,
}

/// An address that a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldAddress {
    /// The address.
    pub address: Ipv6Addr,
    /// `Ia::Ta` when it is a temporary one, and else `Ia::Na`.
    pub ia: Ia,
    /// How long it is still valid when the exchange begins: it is not asked for any more after that
    /// (RFC 8415 sections 15 and 18.2.4). Of no matter for a Release or Decline.
    pub left: Lifetime,
}

/// A prefix that a client holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldPrefix {
    /// The prefix.
    pub prefix: Ipv6Net,
    /// How long it is still valid when the exchange begins.
    pub left: Lifetime,
}

impl Held {
    /// These addresses of an IA_NA and no more, valid for as long as the exchange may take.
    pub fn lasting(server: Duid, addresses: impl IntoIterator<Item = Ipv6Addr>) -> Held {
        let held = |address| HeldAddress { address, ia: Ia::Na, left: Lifetime::INFINITE };
        Held { server, addresses: addresses.into_iter().map(held).collect(), prefixes: Vec::new() }
    }

    /// The addresses alone.
    pub fn all_addresses(&self) -> Vec<Ipv6Addr> {
        self.addresses.iter().map(|held| held.address).collect()
    }

    /// Whether there is neither an address nor a prefix.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.prefixes.is_empty()
    }
}
