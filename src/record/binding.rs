//! `binding`: which container stood for which client, when.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{ContainerId, Duid, HostRef, Key, LeaseRef, Mac, Owner};
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

/// A binding as a store of bindings keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The pipe that the container belongs to.
    pub owner: Owner,
    /// Who has it. Its `owner` is the entry's.
    pub binding: Binding,
    /// The engine's id of the container.
    pub docker_id: Option<String>,
}

/// What became of a container's binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Since when it has held: from before if nothing has changed.
    pub since: Timestamp,
    /// The binding in whose place it came, closed.
    pub instead_of: Option<Binding>,
}

/// What is asked of a store of bindings: those that all of this holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Bindings that have this address on either side: the client's or the container's. A client's
    /// delegated prefix has every address in it.
    pub address: Option<IpAddr>,
    /// Bindings of this client.
    pub key: Option<Key>,
    /// Bindings of containers with this name.
    pub container: Option<ContainerId>,
    /// Bindings of this pipe's containers.
    pub owner: Option<Owner>,
    /// Bindings that held at this moment: since then or before, and until later or open.
    pub at: Option<Timestamp>,
    /// Bindings that hold now; the others are left out.
    pub open: bool,
}
