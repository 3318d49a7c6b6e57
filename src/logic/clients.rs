//! Clients and their leases: who is there now, told by a stream of lease records.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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
    pub source: String,
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
            source: "example".to_owned(),
        };
        let full = Client {
            mac: Some(Mac::local([0; 6])),
            hostname: Some("a".repeat(longest).parse().expect("a host name")),
            ..plain.clone()
        };
        vec![full, plain]
    }

    fn of(lease: &Lease) -> Client {
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
            source: lease.source.clone(),
        }
    }
}

/// One lease among those of a client. The order is the order of preference: a client that has
/// several is known by the first, so that the choice depends on what is leased and on nothing else.
type Place = (LeaseType, IpAddr, String);

/// Everyone who has a lease, over any number of sources.
#[derive(Debug, Default)]
pub struct Clients {
    leases: BTreeMap<Key, BTreeMap<Place, Client>>,
    /// For each source, the leases of the listing that it is in the middle of.
    listings: BTreeMap<String, BTreeSet<(Key, Place)>>,
    /// Sources that have listed everything at least once.
    complete: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Clients {
    /// Takes in one lease record; gives the client that it is about.
    pub fn update(&mut self, lease: &Lease) -> Key {
        let place = (lease.r#type, lease.address, lease.source.clone());
        self.seen.insert(lease.source.clone());
        let listing = self.listings.entry(lease.source.clone()).or_default();
        match lease.state {
            LeaseState::Active => {
                if lease.event == LeaseEvent::List || !listing.is_empty() {
                    listing.insert((lease.key, place.clone()));
                }
                self.leases.entry(lease.key).or_default().insert(place, Client::of(lease));
            }
            LeaseState::Ended => {
                listing.remove(&(lease.key, place.clone()));
                if let Some(leases) = self.leases.get_mut(&lease.key) {
                    leases.remove(&place);
                    if leases.is_empty() {
                        self.leases.remove(&lease.key);
                    }
                }
            }
        }
        lease.key
    }

    /// A source has listed everything: what it did not list is gone, unless the listing may be
    /// partial. Gives the clients that lost a lease by it. A checkpoint that names no source closes
    /// the listing of them all.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Vec<Key> {
        let sources: Vec<String> = match &checkpoint.source {
            Some(source) => vec![source.clone()],
            None => self.seen.iter().cloned().collect(),
        };
        let mut touched = Vec::new();
        for source in sources {
            let listed = self.listings.remove(&source).unwrap_or_default();
            for (key, leases) in self.leases.iter_mut().filter(|_| !checkpoint.partial) {
                let before = leases.len();
                leases.retain(|place, _| {
                    place.2 != source || listed.contains(&(*key, place.clone()))
                });
                if leases.len() < before {
                    touched.push(*key);
                }
            }
            self.seen.insert(source.clone());
            self.complete.insert(source);
        }
        self.leases.retain(|_, leases| !leases.is_empty());
        touched
    }

    /// Whether every source that was heard of has listed everything.
    pub fn is_complete(&self) -> bool {
        self.complete == self.seen
    }

    /// The client of that key, if it has a lease.
    pub fn get(&self, key: Key) -> Option<&Client> {
        self.leases.get(&key).and_then(|leases| leases.values().next())
    }

    /// Everyone, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.leases.values().filter_map(|leases| leases.values().next())
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
            mac: None,
            address: address.parse().unwrap(),
            prefix_len: None,
            hostname: None,
            expires_at: None,
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
