//! `binding`: which container stood for which client, when.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{ContainerId, Duid, HostRef, LeaseRef, Mac, Owner};
use crate::wire;

wire! {
    /// The pair of a client's lease and its container's address, and how long it has held.
    pub struct Binding "binding" {
        /// The client's lease.
        req lease: LeaseRef,
        /// The container's name.
        req container: ContainerId,
        /// The container's address.
        req address: IpAddr,
        /// The DUID under which the container leased it; absent when it was not leased.
        opt duid: Duid,
        /// The MAC address of the container's interface.
        opt mac: Mac,
        /// The Docker host that it runs on.
        opt host: HostRef,
        /// The pipe that it belongs to.
        opt owner: Owner,
        /// Since when the pair has held.
        req since: Timestamp,
        /// Until when it held; absent while it does.
        opt until: Timestamp,
    }
}
