//! `lease`: what a DHCP server has given to a client.

use std::net::IpAddr;

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClientIdentifier, Duid, Hostname, Key, Mac};
use crate::wire;

/// Why a lease record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEvent {
    /// It is part of a full listing.
    List,
    /// The client has it now and had not before.
    Add,
    /// Its end has moved.
    Renew,
    /// Something else about it is new, such as the host name.
    Change,
    /// Its end has come.
    Expire,
    /// The server took it out before its end: given back, declined or removed by hand.
    Release,
    /// The client found its address in use by another.
    Decline,
}

/// Whether the client may use the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// It may.
    Active,
    /// It may no more.
    Ended,
}

/// Which protocol gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// DHCPv6, RFC 8415.
    Ipv6,
    /// DHCPv4, RFC 2131.
    Ipv4,
}

/// What is leased; the order is the order of preference when a client has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseType {
    /// A non-temporary address (IA_NA).
    Na,
    /// A temporary address (IA_TA).
    Ta,
    /// A delegated prefix (IA_PD).
    Pd,
    /// An IPv4 address.
    V4,
}

wire! {
    /// One address or prefix that a server has leased to a client.
    pub struct Lease "lease" {
        /// Why the record was written.
        req event: LeaseEvent,
        /// Whether the client may use the address.
        req state: LeaseState,
        /// The protocol.
        req family: Family,
        /// What is leased.
        req r#type: LeaseType,
        /// Who the client is, across renewals and changes of address.
        req key: Key,
        /// The client's DUID; absent for DHCPv4.
        opt duid: Duid,
        /// The number of the identity association; absent for DHCPv4.
        opt iaid: u32,
        /// What a DHCPv4 client is known by: its client identifier, or its hardware address.
        opt client_id: ClientIdentifier,
        /// The client's hardware address; present where the server tells it.
        opt mac: Mac,
        /// The address, or the first of a delegated prefix.
        req address: IpAddr,
        /// Length of a delegated prefix in bits; absent otherwise.
        opt prefix_len: u8,
        /// The delegated prefix as one word, `ADDRESS/LENGTH`; absent otherwise.
        opt prefix: Ipv6Net,
        /// The name that the client asked for, if it is one that the DNS would take.
        opt hostname: Hostname,
        /// What the client says of its make, where the server tells it.
        many vendor_class: Vec<String>,
        /// What the client says of its user, where the server tells it.
        many user_class: Vec<String>,
        /// When the lease ends; absent means never.
        opt expires_at: Timestamp,
        /// Until when its end, which the server has told already, is held back; absent otherwise.
        opt grace_until: Timestamp,
        /// The source that it was read from, as on the command line.
        req source: String,
    }
}
