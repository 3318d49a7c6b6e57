//! An interface that unionize has given to a container.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;

use super::shape::document;
use super::text::as_json_word;
use super::{Duid, Ifname, Mac};

document! {
    /// One interface inside a container and what is known of it.
    pub struct Interface {
        /// Its name inside the container.
        req name: Ifname,
        /// The name of its other end on the host.
        req link: Ifname,
        /// The bridge that the other end is plugged into.
        req bridge: Ifname,
        /// Its hardware address.
        req mac: Mac,
        /// The DUID that it shows to DHCPv6 servers; absent when it asks none.
        opt duid: Duid,
        /// The number of its identity association.
        opt iaid: u32,
        /// Its addresses, apart from the link-local one.
        many addresses: Vec<Address>,
        /// The router that a default route leads to.
        opt router: Ipv6Addr,
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

/// How an address came to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Leased by a DHCPv6 server.
    Dhcp6,
    /// Given by the operator.
    Static,
}

as_json_word!(Origin "dhcp6 or static" { Dhcp6 "dhcp6", Static "static", });
