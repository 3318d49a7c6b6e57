//! What a source's leases are, and what became of them from one reading of its database to the next.
//!
//! A reading says what is leased. That a lease is *not* in it means that it has ended, with two
//! exceptions that this module is about: a lease whose time is up has ended although the server has
//! not yet struck it out, and a lease that is missing beside a line that nobody can read may be that
//! very line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::record::{Duid, Family, Hostname, Key, Lease, LeaseEvent, LeaseState, LeaseType, Mac};

/// One lease as it stands in a server's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What is leased.
    pub r#type: LeaseType,
    /// Who has it.
    pub client: Client,
    /// The address.
    pub address: IpAddr,
    /// The client's name.
    pub hostname: Option<Hostname>,
    /// When it ends; absent means never.
    pub expires_at: Option<Timestamp>,
}

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A DHCPv6 client and its identity association.
    V6 {
        /// Its DUID.
        duid: Duid,
        /// The number of the identity association.
        iaid: u32,
    },
    /// A DHCPv4 client.
    V4 {
        /// Its client identifier, or its hardware address when it sends none.
        identifier: Box<[u8]>,
        /// Its Ethernet address.
        mac: Option<Mac>,
    },
}

/// What makes two DHCPv6 leases one client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyBy {
    /// The DUID and the number of the identity association: a machine may be several clients.
    #[default]
    DuidIaid,
    /// The DUID alone: for clients that take a new number at each start.
    Duid,
}

/// One line of a server's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A lease.
    Lease(Held),
    /// Something that nobody can read; the number names its text.
    Unreadable(u64),
}

/// The leases of one source.
#[derive(Debug)]
pub struct Leases {
    source: String,
    key_by: KeyBy,
    known: BTreeMap<IpAddr, Known>,
    /// When the next lease that was told of ends.
    next_end: Option<Timestamp>,
    /// The latest time that was told, to see the clock step back.
    clock: Timestamp,
    /// Unreadable lines that are none of the known leases, because they once stood beside them all.
    harmless: BTreeSet<u64>,
    /// Whether there was a reading of which every line could be read.
    complete: bool,
}

/// Fewer ends than these are never many.
const MANY: usize = 4;

/// What became of leases; [`Leases::records`] puts it into words.
#[derive(Debug, Default)]
pub struct News {
    /// How many leases were active before, as far as anybody was told.
    before: usize,
    ended: Vec<(LeaseEvent, Held)>,
    begun: Vec<(LeaseEvent, IpAddr)>,
}

#[derive(Clone, Debug)]
struct Known {
    held: Held,
    /// Whether it is active as far as anybody was told.
    told: bool,
}

impl Held {
    /// Whether its time is up. The end itself is no part of the lease.
    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it is to be preferred to another lease of the same address in the same reading.
    fn outlasts(&self, other: &Held) -> bool {
        match (self.expires_at, other.expires_at) {
            (None, Some(_)) => true,
            (Some(mine), Some(theirs)) => mine > theirs,
            (_, None) => false,
        }
    }

    /// Whether it is the same client's lease of the same thing.
    fn is_of(&self, other: &Held) -> bool {
        let same_client = match (&self.client, &other.client) {
            (Client::V4 { identifier: mine, .. }, Client::V4 { identifier: theirs, .. }) => {
                mine == theirs
            }
            (mine, theirs) => mine == theirs,
        };
        same_client && self.r#type == other.r#type
    }
}

impl Leases {
    /// No leases yet; `source` is what their records name.
    pub fn new(source: &str, key_by: KeyBy) -> Leases {
        Leases {
            source: source.to_owned(),
            key_by,
            known: BTreeMap::new(),
            next_end: None,
            clock: Timestamp::MIN,
            harmless: BTreeSet::new(),
            complete: false,
        }
    }

    /// Whether all leases are known: there was a reading without an unreadable line, and since then
    /// none was given up for an unreadable line's sake.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// When [`Leases::pass_time`] will next have something to say.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.next_end
    }

    /// Every active lease as a `list` record, in the order of the addresses.
    pub fn list(&self) -> impl Iterator<Item = Lease> {
        let active = self.known.values().filter(|known| known.told);
        active.map(|known| self.record(&known.held, LeaseEvent::List))
    }

    /// What became of leases, as records: ends first, so that an address or a client that is new is
    /// told last. The news must be the latest.
    pub fn records<'a>(&'a self, news: &'a News) -> impl Iterator<Item = Lease> + 'a {
        let ended = news.ended.iter().map(|(event, held)| self.record(held, *event));
        let begun = news.begun.iter().filter_map(|(event, address)| {
            self.known.get(address).map(|known| self.record(&known.held, *event))
        });
        ended.chain(begun)
    }

    /// Takes a reading of the whole database, and tells what became of the leases.
    ///
    /// Of two leases of one address the one counts that ends later, and of equals the first.
    pub fn take_whole(&mut self, reading: impl Iterator<Item = Line>, now: Timestamp) -> News {
        let (leases, unreadable) = sorted(reading);
        let mut news = self.no_news();
        let mut before = std::mem::take(&mut self.known);
        for (address, held) in leases {
            let known = before.remove(&address);
            let known = compare(known, held, now, &mut news);
            self.known.insert(address, known);
        }
        let may_hide = unreadable.difference(&self.harmless).next().is_some();
        let mut held_back = false;
        for (address, known) in before {
            if known.told && may_hide && !known.held.has_ended(now) {
                held_back = true;
                self.known.insert(address, known);
            } else if known.told {
                news.end(known.held, now);
            }
        }
        if held_back {
            self.harmless.retain(|line| unreadable.contains(line));
        } else {
            self.complete |= unreadable.is_empty();
            self.harmless = unreadable;
        }
        self.wind(now);
        news
    }

    /// Takes a reading from which leases may be missing: what is in it is so, and nothing else is said.
    pub fn take_part(&mut self, reading: impl Iterator<Item = Line>, now: Timestamp) -> News {
        let mut news = self.no_news();
        for (address, held) in sorted(reading).0 {
            let known = self.known.remove(&address);
            let known = compare(known, held, now, &mut news);
            self.known.insert(address, known);
        }
        self.wind(now);
        news
    }

    /// Ends the leases whose time is up. When the clock has been set back, those of them that the
    /// server still has begin again.
    pub fn pass_time(&mut self, now: Timestamp) -> News {
        if now >= self.clock && self.next_end.is_none_or(|end| now < end) {
            self.clock = now;
            return News::default();
        }
        let mut news = self.no_news();
        for (address, known) in &mut self.known {
            match (known.told, known.held.has_ended(now)) {
                (true, true) => news.end(known.held.clone(), now),
                (false, false) => news.begun.push((LeaseEvent::Add, *address)),
                _ => continue,
            }
            known.told = !known.told;
        }
        self.wind(now);
        news
    }

    fn no_news(&self) -> News {
        let before = self.known.values().filter(|known| known.told).count();
        News { before, ..News::default() }
    }

    /// Sets the clock, and finds when the next lease ends.
    fn wind(&mut self, now: Timestamp) {
        self.clock = now;
        let active = self.known.values().filter(|known| known.told);
        self.next_end = active.filter_map(|known| known.held.expires_at).min();
    }

    fn record(&self, held: &Held, event: LeaseEvent) -> Lease {
        let (family, key, duid, iaid, mac) = match &held.client {
            Client::V6 { duid, iaid } => {
                let by = Some(*iaid).filter(|_| self.key_by == KeyBy::DuidIaid);
                let key = Key::of_client(duid, by);
                (Family::Ipv6, key, Some(duid.clone()), Some(*iaid), None)
            }
            Client::V4 { identifier, mac } => {
                (Family::Ipv4, Key::of_v4_client(identifier), None, None, *mac)
            }
        };
        let state = match event {
            LeaseEvent::Expire | LeaseEvent::Release | LeaseEvent::Decline => LeaseState::Ended,
            _ => LeaseState::Active,
        };
        Lease {
            event,
            state,
            family,
            r#type: held.r#type,
            key,
            duid,
            iaid,
            mac,
            address: held.address,
            prefix_len: None,
            hostname: held.hostname.clone(),
            vendor_class: Vec::new(),
            user_class: Vec::new(),
            expires_at: held.expires_at,
            grace_until: None,
            source: self.source.clone(),
            rest: Default::default(),
        }
    }
}

impl News {
    /// How many of how many leases have ended, when they are so many that it may be a mistake, such
    /// as a database that was lost: at least four, and more than a tenth.
    pub fn many_ends(&self) -> Option<(usize, usize)> {
        let ended = self.ended.len();
        (ended >= MANY && ended * 10 > self.before).then_some((ended, self.before))
    }

    /// Keeps the ends back; what has begun is left.
    pub fn withhold_ends(&mut self) {
        self.ended.clear();
    }

    fn end(&mut self, held: Held, now: Timestamp) {
        let event = if held.has_ended(now) { LeaseEvent::Expire } else { LeaseEvent::Release };
        self.ended.push((event, held));
    }
}

/// What became of one address.
fn compare(before: Option<Known>, held: Held, now: Timestamp, news: &mut News) -> Known {
    let active = !held.has_ended(now);
    let before = before.filter(|before| before.told).map(|before| before.held);
    match before {
        Some(before) if before.is_of(&held) && active => {
            if before.hostname != held.hostname || before.client != held.client {
                news.begun.push((LeaseEvent::Change, held.address));
            } else if before.expires_at != held.expires_at {
                news.begun.push((LeaseEvent::Renew, held.address));
            }
        }
        Some(before) if before.is_of(&held) => news.end(held.clone(), now),
        before => {
            if let Some(before) = before {
                news.end(before, now);
            }
            if active {
                news.begun.push((LeaseEvent::Add, held.address));
            }
        }
    }
    Known { held, told: active }
}

/// One lease for each address, and the unreadable lines.
fn sorted(reading: impl Iterator<Item = Line>) -> (BTreeMap<IpAddr, Held>, BTreeSet<u64>) {
    let (mut leases, mut unreadable) = (BTreeMap::<IpAddr, Held>::new(), BTreeSet::new());
    for line in reading {
        let held = match line {
            Line::Lease(held) => held,
            Line::Unreadable(line) => {
                unreadable.insert(line);
                continue;
            }
        };
        match leases.get_mut(&held.address) {
            None => drop(leases.insert(held.address, held)),
            Some(first) if held.outlasts(first) => *first = held,
            Some(_) => (),
        }
    }
    (leases, unreadable)
}

#[cfg(test)]
mod tests;
