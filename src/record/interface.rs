//! An interface that unionize has given to a container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use jiff::Timestamp;

use super::shape::document;
use super::text::as_json_word;
use super::{Duid, Hostname, Ifname, LinkKind, Mac, Parent};

document! {
    /// One interface inside a container and what is known of it.
    pub struct Interface {
        /// Its name inside the container.
        req name: Ifname,
        /// The name of its other end on the host, or what would be; nothing else has it.
        req link: Ifname,
        /// What it is; absent means one end of a veth pair.
        opt kind: LinkKind,
        /// The bridge that the other end is plugged into.
        opt bridge: Ifname,
        /// The host's interface that it stands on or is.
        opt parent: Parent,
        /// Its hardware address.
        req mac: Mac,
        /// The DUID that it shows to DHCPv6 servers; absent when it asks none.
        opt duid: Duid,
        /// The number of its identity association.
        opt iaid: u32,
        /// Its addresses, apart from the link-local one.
        many addresses: Vec<Address>,
        /// The prefixes that were delegated to it.
        many prefixes: Vec<Prefix>,
        /// The router that the IPv6 default route leads to.
        opt router: Ipv6Addr,
        /// The router that the IPv4 default route leads to.
        opt ipv4_router: Ipv4Addr,
        /// The name servers that DHCP servers told it of, in order.
        many dns_servers: Vec<IpAddr>,
        /// The domains that they would have short names looked up in, in order.
        many search: Vec<Hostname>,
        /// Milliseconds from the start of the work on it until it could be used.
        opt ready_ms: f64,
    }
}

document! {
    /// One address of an interface.
    pub struct Address {
        /// The address.
        req address: IpAddr,
        /// The length of its prefix in bits; 128 for an address leased by DHCPv6.
        req prefix_len: u8,
        /// Where it came from.
        req origin: Origin,
        /// Until when new connections may use it; absent means for ever.
        opt preferred_until: Timestamp,
        /// Until when it may be used at all; absent means for ever.
        opt valid_until: Timestamp,
    }
}

document! {
    /// A prefix that a DHCPv6 server has delegated (IA_PD).
    pub struct Prefix {
        /// The prefix.
        req prefix: Ipv6Net,
        /// Until when new addresses may be made of it; absent means for ever.
        opt preferred_until: Timestamp,
        /// Until when it may be used at all; absent means for ever.
        opt valid_until: Timestamp,
    }
}

/// How an address came to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Leased by a DHCPv6 server.
    Dhcp6,
    /// Leased by a DHCPv6 server for a while, and not to be renewed.
    Dhcp6Temporary,
    /// Leased by a DHCPv4 server.
    Dhcp4,
    /// Made by the kernel from what a router advertised.
    Slaac,
    /// Given by the operator.
    Static,
}

as_json_word!(Origin "an origin (dhcp6, dhcp6-temporary, dhcp4, slaac, static)" {
    Dhcp6 "dhcp6",
    Dhcp6Temporary "dhcp6-temporary",
    Dhcp4 "dhcp4",
    Slaac "slaac",
    Static "static",
});
