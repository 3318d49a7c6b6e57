//! `binding`: which container stood for which client, when.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;

use ipnet::IpNet;

use super::{ContainerId, Duid, HostRef, Hostname, Key, LeaseRef, Mac, Owner};
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

impl Entry {
    /// Whether the two say the same, apart from since when.
    pub fn says_the_same(&self, other: &Entry) -> bool {
        let facts = |entry: &Entry| {
            let Binding { lease, container, address, duid, mac, host, .. } = &entry.binding;
            (
                (lease.key, lease.address, lease.prefix_len, lease.duid.clone(), lease.iaid),
                (lease.hostname.clone(), container.clone(), *address, duid.clone(), *mac),
                (host.as_ref().map(|host| host.id.clone()), entry.docker_id.clone()),
            )
        };
        facts(self) == facts(other)
    }
}

/// What became of a container's binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Since when it has held: from before if nothing has changed.
    pub since: Timestamp,
    /// The binding in whose place it came, closed.
    pub instead_of: Option<Binding>,
}

/// An address that a DHCP server is to keep for one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Whom the container belongs to.
    pub owner: Owner,
    /// The container.
    pub container: ContainerId,
    /// The DUID that it asks with.
    pub duid: Duid,
    /// The address.
    pub address: Ipv6Addr,
    /// The name that the server is to know it by.
    pub name: Option<Hostname>,
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
    /// Bindings that held at this moment or later.
    pub since: Option<Timestamp>,
    /// Bindings that began before this moment.
    pub until: Option<Timestamp>,
    /// Bindings that hold now; the others are left out.
    pub open: bool,
}

impl Question {
    /// Whether the binding is one of those that are asked for. What every store answers by, be it
    /// here or in a query of its own.
    pub fn fits(&self, binding: &Binding) -> bool {
        let Binding { lease, container, owner, since, until, .. } = binding;
        let held_at = |at: Timestamp| *since <= at && until.is_none_or(|until| at < until);
        let held_after = |at: Timestamp| until.is_none_or(|until| at <= until);
        self.address.is_none_or(|address| binding.has(address))
            && self.key.is_none_or(|key| key == lease.key)
            && self.container.as_ref().is_none_or(|wanted| wanted == container)
            && self.owner.as_ref().is_none_or(|wanted| Some(wanted) == owner.as_ref())
            && self.at.is_none_or(held_at)
            && self.since.is_none_or(held_after)
            && self.until.is_none_or(|end| *since < end)
            && !(self.open && until.is_some())
    }
}

impl Binding {
    /// Whether the address is on either side of the pair: the client's, or in the client's prefix, or
    /// the container's.
    pub fn has(&self, address: IpAddr) -> bool {
        let LeaseRef { address: client, prefix_len, .. } = self.lease;
        let prefix = prefix_len.and_then(|len| IpNet::new(client, len).ok());
        let clients = prefix.map_or(client == address, |prefix| prefix.contains(&address));
        clients || self.address == address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(prefix_len: Option<u8>, until: Option<&str>) -> Binding {
        let record = serde_json::json!({
            "kind": "binding", "container": "web", "address": "fd00:1::5", "owner": "edge",
            "lease": {"key": "om2pqvn3u6qa2", "address": "2001:db8:7::", "prefix_len": prefix_len},
            "since": "2026-11-21T10:00:00Z", "until": until,
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn an_address_is_on_either_side_and_a_prefix_has_all_of_its_own() {
        let fits = |binding: &Binding, address: &str| {
            Question { address: address.parse().ok(), ..Default::default() }.fits(binding)
        };
        let one = binding(None, None);
        assert!(fits(&one, "2001:db8:7::") && fits(&one, "fd00:1::5"));
        assert!(!fits(&one, "2001:db8:7::1") && !fits(&one, "192.0.2.1"));
        let prefix = binding(Some(56), None);
        assert!(fits(&prefix, "2001:db8:7:ff::1") && fits(&prefix, "fd00:1::5"));
        assert!(!fits(&prefix, "2001:db8:7:100::1"));
    }

    #[test]
    fn a_moment_is_within_a_binding_from_its_first_and_before_its_last() {
        let ended = binding(None, Some("2026-11-21T12:00:00Z"));
        let open = binding(None, None);
        for (at, then, still) in [
            ("2026-11-21T09:59:59.999Z", false, false),
            ("2026-11-21T10:00:00Z", true, true),
            ("2026-11-21T11:59:59.999Z", true, true),
            ("2026-11-21T12:00:00Z", false, true),
        ] {
            let question = Question { at: at.parse().ok(), ..Default::default() };
            assert_eq!((question.fits(&ended), question.fits(&open)), (then, still), "{at}");
        }
        assert!(!Question { open: true, ..Default::default() }.fits(&ended));
    }

    #[test]
    fn a_span_takes_in_what_held_at_any_time_of_it() {
        let ended = binding(None, Some("2026-11-21T12:00:00Z"));
        for (since, until, fits) in [
            ("2026-11-21T12:00:00Z", "2026-11-22T00:00:00Z", true),
            ("2026-11-21T12:00:01Z", "2026-11-22T00:00:00Z", false),
            ("2026-11-21T00:00:00Z", "2026-11-21T10:00:00Z", false),
            ("2026-11-21T00:00:00Z", "2026-11-21T10:00:01Z", true),
            ("2026-11-21T10:30:00Z", "2026-11-21T11:00:00Z", true),
        ] {
            let (since, until) = (since.parse().ok(), until.parse().ok());
            let question = Question { since, until, ..Default::default() };
            assert_eq!(question.fits(&ended), fits, "{since:?} {until:?}");
        }
    }
}
