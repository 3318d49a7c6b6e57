//! Clients and their leases: who is there now, told by a stream of lease records.
//!
//! There may be very many, so a lease is kept in little room, and a [`Client`] made of it when
//! somebody wants to see one.

mod client;
mod keys;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::Ipv6Net;

pub use client::Client;
use keys::Keys;

use crate::record::{
    Checkpoint, Classes, Duid, Family, Hostname, Key, Lease, LeaseEvent, LeaseState, LeaseType, Mac,
};

/// One lease of a client. What is not kept are the times: a renewal changes nothing.
#[derive(Debug)]
struct Held {
    r#type: LeaseType,
    address: IpAddr,
    prefix_len: Option<u8>,
    iaid: Option<u32>,
    mac: Option<Mac>,
    duid: Option<Duid>,
    hostname: Option<Hostname>,
    classes: Option<Box<Classes>>,
    /// The number of its source.
    source: u32,
    /// The number of the listing of its source that told of it last.
    listing: u32,
}

impl Held {
    fn of(lease: &Lease, source: u32, listing: u32) -> Held {
        let classes =
            Classes { vendor: lease.vendor_class.clone(), user: lease.user_class.clone() };
        Held {
            r#type: lease.r#type,
            address: lease.address,
            prefix_len: lease.prefix_len,
            iaid: lease.iaid,
            mac: lease.mac,
            duid: lease.duid.clone(),
            hostname: lease.hostname.clone(),
            classes: (classes != Classes::default()).then(|| Box::new(classes)),
            source,
            listing,
        }
    }

    fn is_prefix(&self) -> bool {
        self.r#type == LeaseType::Pd
    }

    fn prefix(&self) -> Option<Ipv6Net> {
        match (self.is_prefix(), self.address) {
            (true, IpAddr::V6(address)) => Ipv6Net::new(address, self.prefix_len?).ok(),
            _ => None,
        }
    }

    /// Whether both say the same, whichever listing told of them.
    fn says_the_same(&self, other: &Held) -> bool {
        (&self.hostname, &self.classes, &self.duid)
            == (&other.hostname, &other.classes, &other.duid)
            && (self.iaid, self.mac) == (other.iaid, other.mac)
    }
}

/// Where a source is in its listings.
#[derive(Debug)]
struct Source {
    name: Arc<str>,
    /// The number of the listing that its next checkpoint closes.
    listing: u32,
    /// Whether that listing has begun.
    begun: bool,
    /// Whether something was said since the last checkpoint that could not be understood.
    doubtful: bool,
    /// Whether members may be missing from its latest complete listing.
    partial: bool,
}

/// Everyone who has a lease, over any number of sources.
///
/// A holder is a DUID as one source knows it. A delegated prefix is found by its holder, because a
/// client may use another IAID for it than for its address, and then has two keys. It is not found
/// across sources: on another link somebody else may show the same DUID.
#[derive(Debug, Default)]
pub struct Clients {
    /// The leases of each client, in the order of their places.
    leases: BTreeMap<Key, Vec<Held>>,
    sources: Vec<Source>,
    numbers: HashMap<Arc<str>, u32>,
    /// The clients with addresses and those with prefixes, by a hash of the holder.
    addressed: HashMap<u64, Keys>,
    delegated: HashMap<u64, Keys>,
    hasher: RandomState,
    /// What could not be understood may have been of a source that was not heard of yet.
    doubtful: bool,
}

impl Clients {
    /// Takes in one lease record. Gives the clients that are others by it, those that are gone
    /// first.
    ///
    /// # Errors
    /// When the record says what cannot be: then it counts as not understood.
    pub fn update(&mut self, lease: &Lease) -> Result<Vec<Key>, String> {
        if let Some(wrong) = wrong(lease) {
            self.doubt();
            return Err(wrong);
        }
        let number = self.source(&lease.source);
        let source = &mut self.sources[number as usize];
        source.begun |= lease.event == LeaseEvent::List;
        // What is told ahead of a listing has to be told again in it.
        let listing = if source.begun { source.listing } else { source.listing.wrapping_sub(1) };
        let held = Held::of(lease, number, listing);
        let at = self.find(lease.key, &held);
        match (lease.state, at) {
            (LeaseState::Active, Ok(at)) => Ok(self.again(lease.key, at, held)),
            (LeaseState::Active, Err(at)) => Ok(self.put(lease.key, at, held)),
            (LeaseState::Ended, Ok(at)) => Ok(self.take(lease.key, at)),
            (LeaseState::Ended, Err(_)) => Ok(Vec::new()),
        }
    }

    /// Something was said that could not be understood, so whatever is being listed may lack it.
    pub fn doubt(&mut self) {
        self.doubtful = true;
        self.sources.iter_mut().for_each(|source| source.doubtful = true);
    }

    /// A source has listed everything: what it did not list is gone, unless the listing may be
    /// partial. Gives the clients that are others by it, those that are gone first. A checkpoint
    /// that names no source closes the listing of them all.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Vec<Key> {
        let numbers: Vec<u32> = match &checkpoint.source {
            Some(name) => vec![self.source(name)],
            None => (0..self.sources.len() as u32).collect(),
        };
        self.doubtful = false;
        let mut listed: Vec<Option<u32>> = vec![None; self.sources.len()];
        for number in numbers {
            let source = &mut self.sources[number as usize];
            source.partial = checkpoint.partial || source.doubtful;
            if !source.partial {
                listed[number as usize] = Some(source.listing);
            }
            source.listing = source.listing.wrapping_add(1);
            source.begun = false;
            source.doubtful = false;
        }
        let is_gone = |held: &Held| {
            listed[held.source as usize].is_some_and(|listing| held.listing != listing)
        };
        let gone: Vec<(Key, LeaseType, IpAddr, Option<u8>, u32)> = self
            .leases
            .iter()
            .flat_map(|(key, leases)| leases.iter().map(move |held| (key, held)))
            .filter(|(_, held)| is_gone(held))
            .map(|(key, held)| (*key, held.r#type, held.address, held.prefix_len, held.source))
            .collect();
        let mut touched = Vec::new();
        for (key, r#type, address, prefix_len, source) in gone {
            let same = |held: &Held| {
                (held.r#type, held.address, held.prefix_len, held.source)
                    == (r#type, address, prefix_len, source)
            };
            if let Some(at) = self.leases.get(&key).and_then(|all| all.iter().position(same)) {
                touched.extend(self.take(key, at));
            }
        }
        self.in_order(touched)
    }

    /// Whether every source that was heard of has listed everything.
    pub fn is_complete(&self) -> bool {
        self.sources.iter().all(|source| source.listing > 0)
    }

    /// Whether members may be missing from the latest listing of a source.
    pub fn is_partial(&self) -> bool {
        self.sources.iter().any(|source| source.partial)
    }

    /// Whether a container can stand for this key: whoever has an address, or a delegated prefix
    /// alone while its holder has no address under any key.
    pub fn has(&self, key: Key) -> bool {
        let Some(leases) = self.leases.get(&key) else { return false };
        leases.iter().any(|held| !held.is_prefix())
            || !leases.iter().any(|held| self.is_addressed(held))
    }

    /// The client of that key, if there is one.
    pub fn get(&self, key: Key) -> Option<Client> {
        if !self.has(key) {
            return None;
        }
        let leases = self.leases.get(&key)?;
        let first = leases.first()?;
        let mut classes = Classes::default();
        for of in leases.iter().filter_map(|held| held.classes.as_deref()) {
            classes.vendor.extend_from_slice(&of.vendor);
            classes.user.extend_from_slice(&of.user);
        }
        for words in [&mut classes.vendor, &mut classes.user] {
            words.sort_unstable();
            words.dedup();
        }
        let prefixes = self.prefixes(key, leases);
        let mut types: Vec<LeaseType> = leases.iter().map(|held| held.r#type).collect();
        types.extend((!prefixes.is_empty()).then_some(LeaseType::Pd));
        types.sort_unstable();
        types.dedup();
        let addresses = leases.iter().filter(|held| !held.is_prefix() || first.is_prefix());
        Some(Client {
            key,
            address: first.address,
            prefix_len: first.prefix_len,
            r#type: first.r#type,
            family: Family::Ipv6,
            duid: first.duid.clone(),
            iaid: first.iaid,
            mac: first.mac,
            hostname: first.hostname.clone(),
            source: self.sources[first.source as usize].name.clone(),
            types,
            addresses: addresses.map(|held| held.address).collect(),
            prefixes,
            classes,
        })
    }

    /// The keys of all clients, in order.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.leases.keys().copied().filter(|key| self.has(*key))
    }

    /// The prefixes that are delegated to a client: its own, and those of its leases' holders.
    fn prefixes(&self, key: Key, leases: &[Held]) -> Vec<Ipv6Net> {
        let mut prefixes: Vec<Ipv6Net> = leases.iter().filter_map(Held::prefix).collect();
        for held in leases {
            let Some(holder) = self.holder(held) else { continue };
            for other in Keys::of(&self.delegated, holder).iter().filter(|other| **other != key) {
                let theirs = self.leases.get(other).into_iter().flatten();
                prefixes.extend(theirs.filter(|at| same_holder(at, held)).filter_map(Held::prefix));
            }
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes
    }

    /// A source's number, which it gets when it is first heard of.
    fn source(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.sources.len()).expect("fewer sources than that");
        let name: Arc<str> = name.into();
        self.numbers.insert(name.clone(), number);
        let doubtful = self.doubtful;
        self.sources.push(Source { name, listing: 0, begun: false, doubtful, partial: false });
        number
    }

    /// Where a lease stands among those of a client, or would. A client that has several is known
    /// by the first, so that the choice depends on what is leased and on nothing else.
    fn find(&self, key: Key, held: &Held) -> Result<usize, usize> {
        let place = |held: &Held| (held.r#type, held.address, held.prefix_len, held.source);
        let name = |held: &Held| &*self.sources[held.source as usize].name;
        let leases = self.leases.get(&key).map_or(&[][..], |leases| leases);
        leases.binary_search_by(|known| {
            let ((a, b, c, _), (x, y, z, _)) = (place(known), place(held));
            (a, b, c, name(known)).cmp(&(x, y, z, name(held)))
        })
    }

    /// A lease that is known is told again.
    fn again(&mut self, key: Key, at: usize, held: Held) -> Vec<Key> {
        let Some(known) = self.leases.get_mut(&key).and_then(|leases| leases.get_mut(at)) else {
            return Vec::new();
        };
        if known.says_the_same(&held) {
            known.listing = held.listing;
            return Vec::new();
        }
        if known.duid == held.duid {
            *known = held;
            return vec![key];
        }
        let mut touched = self.take(key, at);
        let at = self.find(key, &held).unwrap_or_else(|at| at);
        touched.extend(self.put(key, at, held));
        self.in_order(touched)
    }

    /// A lease is new.
    fn put(&mut self, key: Key, at: usize, held: Held) -> Vec<Key> {
        let (holder, is_prefix) = (self.holder(&held), held.is_prefix());
        let leases = self.leases.entry(key).or_default();
        leases.reserve_exact(1);
        leases.insert(at, held);
        let Some(holder) = holder else { return vec![key] };
        let mut touched = self.kin(holder, is_prefix, key);
        let index = if is_prefix { &mut self.delegated } else { &mut self.addressed };
        Keys::add(index, holder, key);
        touched.push(key);
        self.in_order(touched)
    }

    /// A lease is over.
    fn take(&mut self, key: Key, at: usize) -> Vec<Key> {
        let Some(leases) = self.leases.get_mut(&key) else { return Vec::new() };
        let gone = leases.remove(at);
        let is_prefix = gone.is_prefix();
        let more =
            leases.iter().any(|held| held.is_prefix() == is_prefix && same_holder(held, &gone));
        if leases.is_empty() {
            self.leases.remove(&key);
        }
        let Some(holder) = self.holder(&gone) else { return vec![key] };
        if !more {
            let index = if is_prefix { &mut self.delegated } else { &mut self.addressed };
            Keys::remove(index, holder, key);
        }
        let mut touched = self.kin(holder, is_prefix, key);
        touched.push(key);
        self.in_order(touched)
    }

    /// The other clients to which a lease of a holder makes a difference: a prefix to whoever has
    /// an address or another prefix, an address to those who have a prefix alone, unless there was
    /// or is an address besides.
    fn kin(&self, holder: u64, is_prefix: bool, key: Key) -> Vec<Key> {
        let addressed = Keys::of(&self.addressed, holder);
        let delegated = Keys::of(&self.delegated, holder);
        let of_addresses = if is_prefix { addressed } else { &[] };
        let of_prefixes = if is_prefix || addressed.is_empty() { delegated } else { &[] };
        of_addresses.iter().chain(of_prefixes).copied().filter(|other| *other != key).collect()
    }

    /// Whether the holder of a prefix has an address from the same source.
    fn is_addressed(&self, prefix: &Held) -> bool {
        self.holder(prefix).is_some_and(|holder| {
            Keys::of(&self.addressed, holder).iter().any(|key| {
                let leases = self.leases.get(key).into_iter().flatten();
                leases.into_iter().any(|held| !held.is_prefix() && same_holder(held, prefix))
            })
        })
    }

    /// Each once, and those that are gone first.
    fn in_order(&self, mut keys: Vec<Key>) -> Vec<Key> {
        if keys.len() > 1 {
            keys.sort_unstable();
            keys.dedup();
            keys.sort_by_key(|key| self.has(*key));
        }
        keys
    }

    fn holder(&self, held: &Held) -> Option<u64> {
        let duid = held.duid.as_ref()?;
        Some(self.hasher.hash_one((duid.as_bytes(), held.source)))
    }
}

/// Two leases with one hash of the holder may yet be of two holders.
fn same_holder(a: &Held, b: &Held) -> bool {
    a.source == b.source && a.duid.is_some() && a.duid == b.duid
}

/// What a lease record says that cannot be.
fn wrong(lease: &Lease) -> Option<String> {
    let IpAddr::V6(address) = lease.address else {
        return Some(format!("address \"{}\" is not an IPv6 address", lease.address));
    };
    match (lease.r#type, lease.prefix_len) {
        (LeaseType::Pd, None) => Some("field \"prefix_len\" is missing".to_owned()),
        (LeaseType::Pd, Some(len)) if Ipv6Net::new(address, len).is_err() => {
            Some(format!("prefix_len {len} is not the length of an IPv6 prefix"))
        }
        _ => None,
    }
}
