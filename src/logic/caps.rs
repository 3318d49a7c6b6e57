//! How many clients may have containers, and who has a place when not all may.
//!
//! Who has a place keeps it: a flood of new clients costs nobody theirs. Who comes when there is
//! none waits, and the longest waiting gets the next one that is free. Nothing that a client
//! chooses decides between two that come at once: neither its key nor its address.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv6Net};

use crate::record::{Key, NotA};

/// The most clients of one prefix: `N` or `N/LEN`, where clients are of one prefix when the first
/// `LEN` bits of their addresses are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerPrefix {
    /// So many.
    pub most: usize,
    /// Length of the prefix in bits.
    pub len: u8,
}

impl FromStr for PerPrefix {
    type Err = NotA;

    fn from_str(text: &str) -> Result<PerPrefix, NotA> {
        let wrong = || NotA::new(text, "a number of clients (N or N/LEN, LEN at most 128)");
        let (most, len) = text.split_once('/').unwrap_or((text, "64"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(most) || !digits(len) {
            return Err(wrong());
        }
        let len = len.parse().ok().filter(|len| *len <= 128).ok_or_else(wrong)?;
        Ok(PerPrefix { most: most.parse().map_err(|_| wrong())?, len })
    }
}

impl fmt::Display for PerPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.most, self.len)
    }
}

/// How many clients may have containers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// The most in all.
    pub clients: Option<usize>,
    /// The most of one prefix.
    pub per_prefix: Option<PerPrefix>,
}

/// A cap that keeps a client out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// That on all clients.
    Clients(usize),
    /// That on the clients of this prefix.
    Prefix(usize, IpNet),
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cap::Clients(most) => write!(f, "--max-clients {most}"),
            Cap::Prefix(most, prefix) => {
                write!(f, "--max-per-prefix {most}/{} ({prefix})", prefix.prefix_len())
            }
        }
    }
}

/// Clients that wait, in the order in which they came.
type Queue = BTreeMap<u64, Key>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// It has one, of those of this prefix.
    Seat(Ipv6Addr),
    /// It waits for one of those of this prefix, with this number.
    Queue(Ipv6Addr, u64),
}

/// Who has a place, and who waits for one.
#[derive(Debug, Default)]
pub struct Seats {
    caps: Caps,
    places: HashMap<Key, Place>,
    /// How many seats are taken.
    taken: usize,
    /// The prefixes of clients that have a seat or wait.
    prefixes: HashMap<Ipv6Addr, Prefix>,
    /// The prefixes with room in which somebody waits, by the number of the first of them.
    open: BTreeMap<u64, Ipv6Addr>,
    /// The number of the next that has to wait.
    next: u64,
    /// Clients that have a container, and of which nothing was heard yet.
    held: HashMap<Key, ()>,
}

#[derive(Debug, Default)]
struct Prefix {
    taken: usize,
    waiting: Queue,
}

impl Seats {
    /// Places under these caps, all of them free.
    pub fn new(caps: Caps) -> Seats {
        Seats { caps, ..Seats::default() }
    }

    /// Whether every client has a place, however many come.
    pub fn are_unlimited(&self) -> bool {
        self.caps.clients.is_none() && self.caps.per_prefix.is_none()
    }

    /// A client with this address has a container already: it has its place, be it over a cap.
    pub fn hold(&mut self, key: Key, address: IpAddr) {
        if !self.are_unlimited() && !self.places.contains_key(&key) {
            self.sit(key, self.prefix_of(address));
            self.held.insert(key, ());
        }
    }

    /// A client with this address is to have a container. Gives the cap that keeps it out, if one
    /// does: then it waits.
    pub fn ask(&mut self, key: Key, address: IpAddr) -> Option<Cap> {
        if self.are_unlimited() {
            return None;
        }
        self.held.remove(&key);
        let prefix = self.prefix_of(address);
        match self.places.get(&key).copied() {
            Some(Place::Seat(before)) if before == prefix => return None,
            Some(Place::Seat(before)) => {
                // It has moved, and keeps its place.
                self.stand(key, before);
                self.sit(key, prefix);
                return None;
            }
            Some(Place::Queue(before, number)) => {
                self.unqueue(before, number);
                self.places.remove(&key);
                // Whoever moves to another prefix keeps its turn.
                return self.seat_or_queue(key, prefix, number);
            }
            None => (),
        }
        self.next += 1;
        self.seat_or_queue(key, prefix, self.next)
    }

    /// A client is to have no container any more.
    pub fn leave(&mut self, key: Key) {
        self.held.remove(&key);
        match self.places.get(&key).copied() {
            Some(Place::Seat(prefix)) => self.stand(key, prefix),
            Some(Place::Queue(prefix, number)) => {
                self.unqueue(prefix, number);
                self.places.remove(&key);
                self.tidy(prefix);
            }
            None => (),
        }
    }

    /// Those that have a container and of which nothing was heard have gone.
    pub fn forget_the_unheard(&mut self) {
        for (key, ()) in std::mem::take(&mut self.held) {
            self.leave(key);
        }
    }

    /// Gives the longest waiting client that there is room for a place; tells who it is.
    pub fn call(&mut self) -> Option<Key> {
        if self.is_full() {
            return None;
        }
        let (number, prefix) = self.open.first_key_value().map(|(n, p)| (*n, *p))?;
        let key = *self.prefixes.get(&prefix)?.waiting.get(&number)?;
        self.unqueue(prefix, number);
        self.sit(key, prefix);
        Some(key)
    }

    /// Whether a client has a place.
    pub fn has(&self, key: Key) -> bool {
        self.are_unlimited() || matches!(self.places.get(&key), Some(Place::Seat(_)))
    }

    /// Whether a client waits for a place.
    pub fn is_waiting(&self, key: Key) -> bool {
        matches!(self.places.get(&key), Some(Place::Queue(..)))
    }

    /// How many clients wait.
    pub fn waiting(&self) -> usize {
        self.places.len() - self.taken
    }

    fn seat_or_queue(&mut self, key: Key, prefix: Ipv6Addr, number: u64) -> Option<Cap> {
        match self.hindrance(prefix) {
            None => {
                self.sit(key, prefix);
                None
            }
            Some(cap) => {
                self.places.insert(key, Place::Queue(prefix, number));
                self.prefixes.entry(prefix).or_default().waiting.insert(number, key);
                self.reopen(prefix);
                Some(cap)
            }
        }
    }

    /// The cap under which there is no room for one more client of a prefix.
    fn hindrance(&self, prefix: Ipv6Addr) -> Option<Cap> {
        let taken = self.prefixes.get(&prefix).map_or(0, |prefix| prefix.taken);
        if let Some(per) = self.caps.per_prefix.filter(|per| taken >= per.most) {
            let prefix = Ipv6Net::new(prefix, per.len).map(IpNet::V6);
            return prefix.ok().map(|prefix| Cap::Prefix(per.most, prefix));
        }
        self.caps.clients.filter(|most| self.taken >= *most).map(Cap::Clients)
    }

    fn is_full(&self) -> bool {
        self.caps.clients.is_some_and(|most| self.taken >= most)
    }

    fn sit(&mut self, key: Key, prefix: Ipv6Addr) {
        self.places.insert(key, Place::Seat(prefix));
        self.taken += 1;
        self.prefixes.entry(prefix).or_default().taken += 1;
        self.reopen(prefix);
    }

    fn stand(&mut self, key: Key, prefix: Ipv6Addr) {
        self.places.remove(&key);
        self.taken -= 1;
        if let Some(prefix) = self.prefixes.get_mut(&prefix) {
            prefix.taken -= 1;
        }
        self.reopen(prefix);
        self.tidy(prefix);
    }

    fn unqueue(&mut self, prefix: Ipv6Addr, number: u64) {
        if let Some(waiting) = self.prefixes.get_mut(&prefix) {
            waiting.waiting.remove(&number);
        }
        self.open.remove(&number);
        self.reopen(prefix);
    }

    /// Sees to it that a prefix stands among the open ones if it is one.
    fn reopen(&mut self, at: Ipv6Addr) {
        let Some(prefix) = self.prefixes.get(&at) else { return };
        let Some(first) = prefix.waiting.first_key_value().map(|(number, _)| *number) else {
            return;
        };
        // What stood first before may stand second now.
        for number in prefix.waiting.keys().take(2) {
            self.open.remove(number);
        }
        if self.caps.per_prefix.is_none_or(|per| prefix.taken < per.most) {
            self.open.insert(first, at);
        }
    }

    fn tidy(&mut self, at: Ipv6Addr) {
        if self.prefixes.get(&at).is_some_and(|p| p.taken == 0 && p.waiting.is_empty()) {
            self.prefixes.remove(&at);
        }
    }

    /// The first bits of an address, which say whose place it takes.
    fn prefix_of(&self, address: IpAddr) -> Ipv6Addr {
        let address = match address {
            IpAddr::V6(address) => address,
            IpAddr::V4(address) => address.to_ipv6_mapped(),
        };
        let len = self.caps.per_prefix.map_or(0, |per| per.len);
        Ipv6Net::new(address, len).map_or(address, |net| net.network())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        Key::derive("test", &[&number.to_be_bytes()])
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seats(clients: Option<usize>, per_prefix: Option<&str>) -> Seats {
        Seats::new(Caps { clients, per_prefix: per_prefix.map(|text| text.parse().unwrap()) })
    }

    #[test]
    fn who_comes_late_waits_for_its_turn() {
        let mut seats = seats(Some(2), None);
        let at = address("2001:db8::1");
        let told: Vec<bool> = (0..5).map(|n| seats.ask(key(n), at).is_none()).collect();
        assert_eq!(told, [true, true, false, false, false]);
        assert_eq!(seats.ask(key(3), at), Some(Cap::Clients(2)), "asking again gains nothing");
        seats.leave(key(2));
        assert_eq!(seats.call(), None);
        seats.leave(key(0));
        assert_eq!(seats.call(), Some(key(3)));
        assert_eq!(seats.call(), None);
        assert!(seats.has(key(1)) && seats.has(key(3)) && !seats.has(key(4)));
        assert_eq!(seats.waiting(), 1);
    }

    #[test]
    fn each_prefix_has_places_of_its_own() {
        let mut seats = seats(Some(3), Some("1/48"));
        let (a, b) = (address("2001:db8:a::1"), address("2001:db8:b::1"));
        assert_eq!(seats.ask(key(0), a), None);
        let cap = seats.ask(key(1), address("2001:db8:a:ffff::1")).unwrap();
        assert_eq!(cap.to_string(), "--max-per-prefix 1/48 (2001:db8:a::/48)");
        assert_eq!(seats.ask(key(2), b), None);
        assert_eq!(seats.ask(key(3), address("2001:db8:c::1")), None);
        assert_eq!(seats.ask(key(4), address("2001:db8:d::1")), Some(Cap::Clients(3)));
        // The first in line is of a prefix that is still full.
        seats.leave(key(2));
        assert_eq!(seats.call(), Some(key(4)));
        seats.leave(key(0));
        assert_eq!(seats.call(), Some(key(1)));
    }

    #[test]
    fn who_has_a_container_keeps_it() {
        let mut seats = seats(Some(1), None);
        let at = address("2001:db8::1");
        seats.hold(key(0), at);
        seats.hold(key(1), at);
        assert!(seats.ask(key(2), at).is_some());
        assert_eq!(seats.ask(key(1), at), None);
        seats.forget_the_unheard();
        assert!(!seats.has(key(0)) && seats.has(key(1)));
        assert_eq!(seats.call(), None);
        seats.leave(key(1));
        assert_eq!(seats.call(), Some(key(2)));
    }

    #[test]
    fn whoever_moves_keeps_its_place_and_its_turn() {
        let mut seats = seats(None, Some("1"));
        let (a, b) = (address("2001:db8:0:a::1"), address("2001:db8:0:b::1"));
        seats.ask(key(0), a);
        seats.ask(key(1), b);
        assert_eq!(seats.ask(key(0), b), None, "over the cap, but not new");
        assert!(seats.ask(key(2), b).is_some());
        assert_eq!(seats.ask(key(2), a), None);
        seats.leave(key(0));
        assert!(seats.ask(key(3), b).is_some(), "one is left there");
    }

    #[test]
    fn a_cap_is_read_whole_or_not_at_all() {
        assert_eq!("8".parse(), Ok(PerPrefix { most: 8, len: 64 }));
        assert_eq!("8/0".parse(), Ok(PerPrefix { most: 8, len: 0 }));
        for bad in ["", "x", "8/", "/64", "8/129", "-1", "+1", "8/64/1"] {
            assert!(bad.parse::<PerPrefix>().is_err(), "{bad}");
        }
        let mut none = seats(None, Some("0"));
        assert!(none.ask(key(0), address("2001:db8::1")).is_some());
        assert_eq!(none.call(), None);
    }

    /// Walks through everything that may happen in an arbitrary order, beside a plain model.
    #[test]
    fn caps_hold_and_nobody_loses_a_place() {
        let mut random = 1u64;
        let mut upto = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % most
        };
        for round in 0..60 {
            let (most, per) = (1 + upto(6) as usize, 1 + upto(3) as usize);
            let mut seats = seats(Some(most), Some(&format!("{per}/64")));
            let mut seated: BTreeMap<u32, u64> = BTreeMap::new();
            let mut queue: Vec<(u32, u64)> = Vec::new();
            for step in 0..300 {
                let (who, net) = (upto(12) as u32, upto(4));
                let at = address(&format!("2001:db8:0:{net}::{who:x}"));
                let room = |seated: &BTreeMap<u32, u64>, net: u64| {
                    seated.len() < most && seated.values().filter(|n| **n == net).count() < per
                };
                if upto(3) > 0 {
                    let cap = seats.ask(key(who), at);
                    if let Some(moved) = seated.get_mut(&who) {
                        assert_eq!(cap, None, "round {round}, step {step}");
                        *moved = net;
                    } else {
                        let turn = queue.iter().position(|(waits, _)| *waits == who);
                        assert_eq!(cap.is_none(), room(&seated, net), "round {round}, {step}");
                        match (cap, turn) {
                            (None, turn) => {
                                turn.map(|turn| queue.remove(turn));
                                seated.insert(who, net);
                            }
                            (Some(_), Some(turn)) => queue[turn].1 = net,
                            (Some(_), None) => queue.push((who, net)),
                        }
                    }
                } else {
                    seats.leave(key(who));
                    seated.remove(&who);
                    queue.retain(|(waits, _)| *waits != who);
                }
                loop {
                    let next = queue.iter().position(|(_, net)| room(&seated, *net));
                    let called = seats.call();
                    assert_eq!(called, next.map(|at| key(queue[at].0)), "round {round}, {step}");
                    let Some(next) = next else { break };
                    let (who, net) = queue.remove(next);
                    seated.insert(who, net);
                }
                assert_eq!(seats.waiting(), queue.len());
                assert!((0..12).all(|who| seats.has(key(who)) == seated.contains_key(&who)));
            }
        }
    }
}
