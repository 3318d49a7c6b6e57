//! Clients and their leases: who is there now, told by a stream of lease records.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::record::{
    Checkpoint, Duid, Family, Hostname, Key, Lease, LeaseEvent, LeaseRef, LeaseState, LeaseType,
    Mac,
};

/// A client as its container sees it: one lease of it, without what moves at every renewal.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Who it is.
    pub key: Key,
    /// Its address.
    pub address: IpAddr,
    /// Length of a delegated prefix.
    pub prefix_len: Option<u8>,
    /// What is leased.
    pub r#type: LeaseType,
    /// The protocol.
    pub family: Family,
    /// Its DUID.
    pub duid: Option<Duid>,
    /// The number of the identity association.
    pub iaid: Option<u32>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its name.
    pub hostname: Option<Hostname>,
    /// Where the lease was read.
    pub source: Arc<str>,
}

impl Client {
    /// What a container remembers of the lease.
    pub fn lease(&self) -> LeaseRef {
        LeaseRef {
            key: self.key,
            address: self.address,
            prefix_len: self.prefix_len,
            duid: self.duid.clone(),
            iaid: self.iaid,
            hostname: self.hostname.clone(),
            rest: Default::default(),
        }
    }

    /// Clients to try a template on: one that gives all it can, with a label of `longest`
    /// characters, and one that gives nothing it need not.
    pub fn examples(longest: usize) -> Vec<Client> {
        let plain = Client {
            key: Key::derive("example", &[]),
            address: "2001:db8::1".parse().expect("an address"),
            prefix_len: None,
            r#type: LeaseType::Na,
            family: Family::Ipv6,
            duid: Some(Duid::from_uuid([0; 16])),
            iaid: Some(1),
            mac: None,
            hostname: None,
            source: "example".into(),
        };
        let full = Client {
            mac: Some(Mac::local([0; 6])),
            hostname: Some("a".repeat(longest).parse().expect("a host name")),
            ..plain.clone()
        };
        vec![full, plain]
    }

    fn of(lease: &Lease, source: Arc<str>) -> Client {
        Client {
            key: lease.key,
            address: lease.address,
            prefix_len: lease.prefix_len,
            r#type: lease.r#type,
            family: lease.family,
            duid: lease.duid.clone(),
            iaid: lease.iaid,
            mac: lease.mac,
            hostname: lease.hostname.clone(),
            source,
        }
    }
}

/// One lease of a client.
#[derive(Debug)]
struct Held {
    client: Client,
    /// The number of the listing of its source that told of it last.
    listing: u32,
}

impl Held {
    /// Its place among the leases of a client. A client that has several is known by the first, so
    /// that the choice depends on what is leased and on nothing else.
    fn place(&self) -> (LeaseType, IpAddr, &str) {
        (self.client.r#type, self.client.address, &self.client.source)
    }
}

/// Where a source is in its listings.
#[derive(Debug, Default)]
struct Source {
    /// The number of the listing that its next checkpoint closes.
    listing: u32,
    /// Whether that listing has begun.
    begun: bool,
}

/// Everyone who has a lease, over any number of sources.
#[derive(Debug, Default)]
pub struct Clients {
    /// The leases of each client, in the order of their places.
    leases: BTreeMap<Key, Vec<Held>>,
    sources: BTreeMap<Arc<str>, Source>,
}

impl Clients {
    /// Takes in one lease record; gives the client that it is about.
    pub fn update(&mut self, lease: &Lease) -> Key {
        let name = self.source(&lease.source);
        let source = self.sources.entry(name.clone()).or_default();
        source.begun |= lease.event == LeaseEvent::List;
        // What is told ahead of a listing has to be told again in it.
        let listing = if source.begun { source.listing } else { source.listing.wrapping_sub(1) };
        let held = Held { client: Client::of(lease, name), listing };
        let leases = self.leases.entry(lease.key).or_default();
        let at = leases.binary_search_by(|known| known.place().cmp(&held.place()));
        match (lease.state, at) {
            (LeaseState::Active, Ok(at)) => leases[at] = held,
            (LeaseState::Active, Err(at)) => leases.insert(at, held),
            (LeaseState::Ended, Ok(at)) => drop(leases.remove(at)),
            (LeaseState::Ended, Err(_)) => (),
        }
        if leases.is_empty() {
            self.leases.remove(&lease.key);
        }
        lease.key
    }

    /// A source has listed everything: what it did not list is gone, unless the listing may be
    /// partial. Gives the clients that lost a lease by it. A checkpoint that names no source closes
    /// the listing of them all.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Vec<Key> {
        let names: Vec<Arc<str>> = match &checkpoint.source {
            Some(name) => vec![self.source(name)],
            None => self.sources.keys().cloned().collect(),
        };
        let mut touched = Vec::new();
        for name in names {
            let source = self.sources.entry(name.clone()).or_default();
            let listed = source.listing;
            *source = Source { listing: listed.wrapping_add(1), begun: false };
            for (key, leases) in self.leases.iter_mut().filter(|_| !checkpoint.partial) {
                let before = leases.len();
                leases.retain(|held| held.client.source != name || held.listing == listed);
                if leases.len() < before {
                    touched.push(*key);
                }
            }
        }
        self.leases.retain(|_, leases| !leases.is_empty());
        touched
    }

    /// Whether every source that was heard of has listed everything.
    pub fn is_complete(&self) -> bool {
        self.sources.values().all(|source| source.listing > 0)
    }

    /// The client of that key, if it has a lease.
    pub fn get(&self, key: Key) -> Option<&Client> {
        self.leases.get(&key).and_then(|leases| leases.first()).map(|held| &held.client)
    }

    /// Everyone, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.leases.values().filter_map(|leases| leases.first()).map(|held| &held.client)
    }

    /// A source's name, the same one for all its leases.
    fn source(&self, name: &str) -> Arc<str> {
        self.sources.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Of;

    fn lease(event: LeaseEvent, duid: u8, address: &str) -> Lease {
        let duid = Duid::new(&[0, 3, duid]).unwrap();
        let ended = matches!(event, LeaseEvent::Expire | LeaseEvent::Release);
        Lease {
            event,
            state: if ended { LeaseState::Ended } else { LeaseState::Active },
            family: Family::Ipv6,
            r#type: LeaseType::Na,
            key: Key::of_client(&duid, Some(1)),
            duid: Some(duid),
            iaid: Some(1),
            client_id: None,
            mac: None,
            address: address.parse().unwrap(),
            prefix_len: None,
            hostname: None,
            vendor_class: Vec::new(),
            user_class: Vec::new(),
            expires_at: None,
            grace_until: None,
            source: "test".to_owned(),
            rest: Default::default(),
        }
    }

    fn end() -> Checkpoint {
        Checkpoint { source: Some("test".to_owned()), ..Checkpoint::new(Of::Lease, 0) }
    }

    #[test]
    fn a_client_with_several_leases_is_known_by_the_first() {
        let mut clients = Clients::default();
        let key = clients.update(&lease(LeaseEvent::List, 1, "2001:db8::9"));
        clients.update(&lease(LeaseEvent::List, 1, "2001:db8::3"));
        assert_eq!(clients.get(key).unwrap().address.to_string(), "2001:db8::3");
        clients.update(&lease(LeaseEvent::Expire, 1, "2001:db8::3"));
        assert_eq!(clients.get(key).unwrap().address.to_string(), "2001:db8::9");
        clients.update(&lease(LeaseEvent::Release, 1, "2001:db8::9"));
        assert_eq!(clients.get(key), None);
    }

    #[test]
    fn what_a_listing_leaves_out_is_gone_and_what_came_meanwhile_is_not() {
        let mut clients = Clients::default();
        let gone = clients.update(&lease(LeaseEvent::List, 1, "2001:db8::1"));
        let stays = clients.update(&lease(LeaseEvent::List, 2, "2001:db8::2"));
        assert!(!clients.is_complete());
        assert_eq!(clients.checkpoint(&end()), []);
        assert!(clients.is_complete());
        clients.update(&lease(LeaseEvent::List, 2, "2001:db8::2"));
        let new = clients.update(&lease(LeaseEvent::Add, 3, "2001:db8::3"));
        assert_eq!(clients.checkpoint(&Checkpoint { partial: true, ..end() }), []);
        clients.update(&lease(LeaseEvent::List, 2, "2001:db8::2"));
        clients.update(&lease(LeaseEvent::List, 3, "2001:db8::3"));
        assert_eq!(clients.checkpoint(&end()), [gone]);
        assert!(clients.get(stays).is_some() && clients.get(new).is_some());
    }
}
