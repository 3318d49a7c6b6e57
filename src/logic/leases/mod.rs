//! What a source's leases are, and what became of them from one thing that its database said to the
//! next.
//!
//! A reading of the whole database says what is leased. That a lease is *not* in it means that it
//! has ended, unless it stands beside a line that nobody can read and that may be that very lease.
//! Between readings, news say what became of single leases. A lease ends without a word when its
//! time is up by two clocks, the one that people set and the one that runs since boot: a step of the
//! first ends nothing that the server still has.

mod kept;
mod news;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use indexmap::IndexMap;
use indexmap::map::Entry;
use ipnet::Ipv6Net;
use jiff::Timestamp;

use crate::record::{
    Family, Held, Holder, Key, Lease, LeaseEvent, LeaseState, LeaseType, Place, Said,
};
pub use kept::Kept;
use news::Ended;
pub use news::News;

/// What makes two DHCPv6 leases one client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyBy {
    /// The DUID and the number of the identity association: a machine may be several clients.
    #[default]
    DuidIaid,
    /// The DUID alone: for clients that take a new number at each start.
    Duid,
}

/// How a source's leases are to be understood.
#[derive(Clone, Debug)]
pub struct Manner {
    /// What their records name as their source.
    pub source: String,
    /// What makes two of them one client's.
    pub key_by: KeyBy,
    /// Whether of two leases of one place in one reading the one counts that lasts longer, or else
    /// the one that was said first. In a log the one that was said last does.
    pub is_table: bool,
    /// How long an end is held back, for its client to come back.
    pub grace: Duration,
}

/// A moment, by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What people call the time. It may be set, forwards and back.
    pub wall: Timestamp,
    /// Time since boot, sleep included. It is never set.
    pub boot: Duration,
}

/// One thing that a database says, in the form in which it is kept. Making it is most of the work of
/// taking it in, and can be done by whoever reads the database.
#[derive(Clone, Debug)]
pub enum Word {
    /// It is leased.
    Held(Place, Kept),
    /// It is leased no more, and why if that is known.
    Ended(Place, Option<LeaseEvent>),
    /// Something that cannot be understood is said of this place.
    Doubtful(Place),
    /// Something that may concern any place; the number names its text.
    Unreadable(u64),
}

impl From<Said> for Word {
    fn from(said: Said) -> Word {
        match said {
            Said::Held(held) => Word::Held(held.place(), Kept::new(&held)),
            Said::Ended(place, event) => Word::Ended(place, Some(event)),
            Said::Gone(place) => Word::Ended(place, None),
            Said::Doubtful(place) => Word::Doubtful(place),
            Said::Unreadable(line) => Word::Unreadable(line),
        }
    }
}

/// The leases of one source.
#[derive(Debug)]
pub struct Leases {
    manner: Manner,
    /// In no order. There may be a million: they take little room, and are found in one step.
    known: IndexMap<Place, Kept>,
    /// Leases whose end is held back. As far as anybody was told they are active.
    back: BTreeMap<Place, HeldBack>,
    /// What has been said since news were last taken, of places where that made a difference.
    touched: BTreeMap<Place, Touched>,
    /// How many leases are active, as far as anybody was told.
    told: usize,
    /// The number of the latest reading.
    reading: u32,
    /// What the latest reading said that cannot be read.
    unreadable: BTreeSet<u64>,
    /// Unreadable lines that are none of the known leases, because they once stood beside them all.
    harmless: BTreeSet<u64>,
    /// Places of which the latest reading said only what cannot be understood.
    doubtful: BTreeSet<Place>,
    /// Whether anybody was told anything.
    is_fresh: bool,
    /// Whether there was a reading of which every line could be read.
    is_whole: bool,
    /// When the next lease ends at the earliest, by the boot clock.
    next_end: Option<Duration>,
    /// How far the clocks were apart when [`Leases::pass_time`] last looked, in milliseconds.
    apart: i64,
}

/// A lease whose end is held back.
#[derive(Clone, Debug)]
struct HeldBack {
    kept: Kept,
    key: Key,
    event: LeaseEvent,
    is_said: bool,
    /// Until when, by the boot clock.
    until: Duration,
}

/// A lease that is active as far as anybody was told.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a> {
    place: Place,
    kept: &'a Kept,
}

/// What was so of a place before something was said of it.
#[derive(Debug)]
struct Touched {
    /// The lease that was told of.
    before: Option<Kept>,
    /// Why it ended, if that was said.
    event: Option<LeaseEvent>,
}

impl Now {
    /// A second of the wall clock by the boot clock, if neither is set; 0 for what was before boot.
    fn boot_time_of(self, second: i64) -> Duration {
        let left_ms = second.saturating_mul(1000).saturating_sub(self.wall.as_millisecond());
        let boot_ms = (self.boot.as_millis() as i64).saturating_add(left_ms);
        Duration::from_millis(boot_ms.max(0) as u64)
    }

    fn apart(self) -> i64 {
        self.wall.as_millisecond() - self.boot.as_millis() as i64
    }
}

impl HeldBack {
    fn ended(self, place: Place) -> Ended {
        Ended { event: self.event, is_said: self.is_said, place, kept: self.kept }
    }
}

impl Leases {
    /// No leases yet.
    pub fn new(manner: Manner) -> Leases {
        Leases {
            manner,
            known: IndexMap::new(),
            back: BTreeMap::new(),
            touched: BTreeMap::new(),
            told: 0,
            reading: 0,
            unreadable: BTreeSet::new(),
            harmless: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            is_fresh: true,
            is_whole: false,
            next_end: None,
            apart: 0,
        }
    }

    /// Takes over a lease that was told of before the program started, from its record. The first
    /// reading then says what became of it.
    pub fn remember(&mut self, lease: &Lease, now: Now) {
        let Some(held) = held(lease) else { return };
        let mut kept = Kept::new(&held);
        kept.is_read(now, 0);
        kept.told = true;
        self.is_fresh = false;
        let before = match lease.grace_until {
            None => self.known.insert(held.place(), kept).is_some(),
            Some(until) => {
                let left = until.duration_since(now.wall);
                let left = Duration::try_from(left).unwrap_or_default().min(self.manner.grace);
                let (key, event) = (lease.key, lease.event);
                let back = HeldBack { kept, key, event, is_said: true, until: now.boot + left };
                self.back.insert(held.place(), back).is_some()
            }
        };
        self.told += usize::from(!before);
        self.next_end = Some(Duration::ZERO);
    }

    /// Whether all leases are known: there was a reading without an unreadable line, and since then
    /// none was given up for an unreadable line's sake.
    pub fn is_complete(&self) -> bool {
        self.is_whole && self.doubtful.is_empty()
    }

    /// When [`Leases::pass_time`] may next have something to say, by the boot clock.
    pub fn next_end(&self) -> Option<Duration> {
        let back = self.back.values().map(|back| back.until).min();
        self.next_end.into_iter().chain(back).min()
    }

    /// A reading of the whole database begins. What was said in one that has begun before and was
    /// not finished counts as far as it is said again.
    pub fn begin(&mut self) {
        self.reading += 1;
        self.unreadable.clear();
        self.doubtful.clear();
    }

    /// Takes in one thing that the database says. What became of leases by it is told when news are
    /// taken, or the reading ends.
    pub fn say(&mut self, word: impl Into<Word>, now: Now) {
        match word.into() {
            Word::Held(place, kept) => {
                self.doubtful.remove(&place);
                self.hold(place, kept, now);
            }
            Word::Ended(place, event) => self.lose(place, event),
            Word::Unreadable(line) => drop(self.unreadable.insert(line)),
            Word::Doubtful(place) => match self.known.get_mut(&place) {
                Some(kept) => kept.reading = self.reading,
                None => drop(self.doubtful.insert(place)),
            },
        }
    }

    fn hold(&mut self, place: Place, mut new: Kept, now: Now) {
        new.is_read(now, self.reading);
        let end = new.end(now);
        match self.known.entry(place) {
            Entry::Vacant(vacant) => {
                vacant.insert(new);
                if !self.is_fresh {
                    self.touched.entry(place).or_insert(Touched { before: None, event: None });
                }
            }
            Entry::Occupied(mut occupied) => {
                let old = occupied.get_mut();
                let again = old.reading == self.reading && self.manner.is_table;
                if again && !new.outlasts(old) {
                    return;
                }
                new.keep_deadline(old);
                if old.is_like(&new) && old.ends_with(&new) {
                    old.reading = self.reading;
                    return;
                }
                let old = occupied.insert(new);
                let before = old.told.then_some(old);
                if !self.is_fresh {
                    self.touched.entry(place).or_insert(Touched { before, event: None });
                }
            }
        }
        self.next_end = self.next_end.into_iter().chain(end).min();
    }

    fn lose(&mut self, place: Place, event: Option<LeaseEvent>) {
        self.doubtful.remove(&place);
        let Some(old) = self.known.swap_remove(&place) else { return };
        let before = old.told.then_some(old);
        self.touched.entry(place).or_insert(Touched { before, event: None }).event = event;
    }

    /// The reading is complete: what it did not say has ended. Gives what became of leases.
    pub fn whole(&mut self, now: Now) -> News {
        let may_hide = self.unreadable.difference(&self.harmless).next().is_some();
        let (reading, touched) = (self.reading, &mut self.touched);
        let mut spared = false;
        self.known.retain(|place, kept| {
            if kept.reading == reading {
                return true;
            }
            if kept.told && may_hide && !kept.has_ended(now) {
                spared = true;
                kept.reading = reading;
                return true;
            }
            let before = kept.told.then(|| kept.clone());
            touched.entry(*place).or_insert(Touched { before, event: None });
            false
        });
        if spared {
            self.harmless.retain(|line| self.unreadable.contains(line));
        } else {
            self.is_whole |= self.unreadable.is_empty();
            self.harmless = std::mem::take(&mut self.unreadable);
        }
        self.news(now)
    }

    /// What became of leases by what was said since this was last asked. The first time there is
    /// nothing to be told: nobody knows anything yet.
    pub fn news(&mut self, now: Now) -> News {
        let mut news = News { before: self.told, ..News::default() };
        if self.is_fresh {
            self.touched.clear();
            for kept in self.known.values_mut() {
                kept.told = !kept.has_ended(now);
            }
            self.told = self.known.values().filter(|kept| kept.told).count();
            self.is_fresh = self.reading == 0;
            return news;
        }
        for (place, touched) in std::mem::take(&mut self.touched) {
            self.compare(place, touched, now, &mut news);
        }
        self.welcome_back(&mut news);
        news
    }

    /// What became of one place.
    fn compare(&mut self, place: Place, touched: Touched, now: Now, news: &mut News) {
        let back = self.back.remove(&place);
        let until = back.as_ref().map(|back| back.until);
        let known = self.known.get_mut(&place);
        let known = known.filter(|kept| !kept.has_ended(now));
        let ended = |(kept, event): (Kept, Option<LeaseEvent>)| Ended {
            event: event.unwrap_or_else(|| why(&kept, now)),
            is_said: event.is_some(),
            place,
            kept,
        };
        let before = touched.before.map(|kept| ended((kept, touched.event)));
        let before = before.or(back.map(|back| back.ended(place)));
        match (before, known) {
            (None, None) => (),
            (None, Some(kept)) => {
                kept.told = true;
                self.told += 1;
                news.begun.push((LeaseEvent::Add, place));
            }
            (Some(before), Some(kept)) if before.kept.is_of(kept) => {
                kept.told = true;
                if !before.kept.is_like(kept) {
                    news.begun.push((LeaseEvent::Change, place));
                } else if !before.kept.ends_with(kept) || until.is_some() {
                    news.begun.push((LeaseEvent::Renew, place));
                }
            }
            (Some(before), Some(kept)) => {
                kept.told = true;
                // That another client has the place is as good as a word.
                news.replaced.push(Ended { is_said: true, ..before });
                news.begun.push((LeaseEvent::Add, place));
            }
            (Some(before), None) => self.end(before, until, now, news),
        }
    }

    /// Ends a lease, now or when its time of grace is over.
    fn end(&mut self, ended: Ended, back: Option<Duration>, now: Now, news: &mut News) {
        if self.manner.grace.is_zero() {
            self.told -= 1;
            news.ended.push(ended);
            return;
        }
        let Ended { event, is_said, place, mut kept } = ended;
        kept.told = true;
        let key = self.key(&kept.held(place).holder);
        let until = back.unwrap_or(now.boot + self.manner.grace);
        self.back.insert(place, HeldBack { kept, key, event, is_said, until });
    }

    /// Ends what was held back for clients that have come back to another place.
    fn welcome_back(&mut self, news: &mut News) {
        if self.back.is_empty() {
            return;
        }
        let new = news.begun.iter().filter(|(event, _)| *event == LeaseEvent::Add);
        let new = new.filter_map(|(_, place)| Some((place, self.known.get(place)?)));
        let keys: BTreeSet<Key> =
            new.map(|(place, kept)| self.key(&kept.held(*place).holder)).collect();
        self.let_go(news, |back| keys.contains(&back.key));
    }

    fn let_go(&mut self, news: &mut News, which: impl Fn(&HeldBack) -> bool) {
        let gone = self.back.extract_if(.., |_, back| which(back));
        let before = news.ended.len();
        news.ended.extend(gone.map(|(place, back)| back.ended(place)));
        self.told -= news.ended.len() - before;
    }

    /// Ends the leases whose time is up, and those whose time of grace is. When the clock has been
    /// set back, those of them that the server still has begin again.
    pub fn pass_time(&mut self, now: Now) -> News {
        let mut news = News { before: self.told, ..News::default() };
        let stepped = (now.apart() - self.apart).abs() > 1500;
        if stepped || self.next_end.is_some_and(|end| end <= now.boot) {
            self.apart = now.apart();
            self.end_by_time(now, &mut news);
        }
        self.let_go(&mut news, |back| back.until <= now.boot);
        news
    }

    fn end_by_time(&mut self, now: Now, news: &mut News) {
        let (mut up, mut next) = (Vec::new(), None::<Duration>);
        for (place, kept) in &mut self.known {
            match (kept.told, kept.has_ended(now)) {
                (true, true) => up.push((*place, kept.clone())),
                (false, false) => {
                    // What was held back is still believed to be there.
                    if self.back.remove(place).is_none() {
                        news.begun.push((LeaseEvent::Add, *place));
                        self.told += 1;
                    }
                }
                (told, _) => {
                    let end = kept.end(now).filter(|_| told);
                    next = next.into_iter().chain(end).min();
                    continue;
                }
            }
            kept.told = !kept.told;
            let end = kept.end(now).filter(|_| kept.told);
            next = next.into_iter().chain(end).min();
        }
        self.next_end = next;
        up.sort_unstable_by_key(|(place, _)| *place);
        news.begun.sort_unstable_by_key(|(_, place)| *place);
        for (place, kept) in up {
            let event = LeaseEvent::Expire;
            self.end(Ended { event, is_said: false, place, kept }, None, now, news);
        }
    }

    /// Every active lease, in the order of the addresses.
    pub fn active(&self) -> Vec<Active<'_>> {
        let told = self.known.iter().filter(|(_, kept)| kept.told);
        let told = told.map(|(place, kept)| Active { place: *place, kept });
        let back = self.back.iter();
        let back = back.map(|(place, back)| Active { place: *place, kept: &back.kept });
        let mut active: Vec<Active> = Vec::with_capacity(self.told);
        active.extend(told.chain(back));
        active.sort_unstable_by_key(|active| active.place);
        active
    }

    /// An active lease as a `list` record. If its end is held back it says until when.
    pub fn listed(&self, active: &Active, now: Now) -> Lease {
        let record = self.record(active.place, active.kept, LeaseEvent::List);
        let until = |back: &HeldBack| {
            let left = back.until.saturating_sub(now.boot);
            let until = now.wall.saturating_add(left).unwrap_or(now.wall);
            Timestamp::from_second(until.as_second()).unwrap_or(until)
        };
        Lease { grace_until: self.back.get(&active.place).map(until), ..record }
    }

    /// Every active lease as a `list` record, in the order of the addresses.
    pub fn list(&self, now: Now) -> impl Iterator<Item = Lease> {
        self.active().into_iter().map(move |active| self.listed(&active, now))
    }

    /// Why the lease of this place has ended, if its end is held back.
    pub fn held_back(&self, place: Place) -> Option<LeaseEvent> {
        self.back.get(&place).map(|back| back.event)
    }

    /// What became of leases, as records. An address that goes from one client to another is told to
    /// have ended first; the other ends are told last, so that a client that has moved to another
    /// address is never without one. The news must be the latest.
    pub fn records<'a>(&'a self, news: &'a News) -> impl Iterator<Item = Lease> + 'a {
        let end = |ended: &'a Ended| self.record(ended.place, &ended.kept, ended.event);
        let begun = news.begun.iter().filter_map(|(event, place)| {
            self.known.get(place).map(|kept| self.record(*place, kept, *event))
        });
        news.replaced.iter().map(end).chain(begun).chain(news.ended.iter().map(end))
    }

    fn key(&self, holder: &Holder) -> Key {
        match holder {
            Holder::V6 { duid, iaid } => {
                Key::of_client(duid, Some(*iaid).filter(|_| self.manner.key_by == KeyBy::DuidIaid))
            }
            Holder::V4 { identifier } => Key::of_v4_client(identifier.as_bytes()),
        }
    }

    fn record(&self, place: Place, kept: &Kept, event: LeaseEvent) -> Lease {
        let held = kept.held(place);
        let key = self.key(&held.holder);
        let (family, duid, iaid, client_id) = match held.holder {
            Holder::V6 { duid, iaid } => (Family::Ipv6, Some(duid), Some(iaid), None),
            Holder::V4 { identifier } => (Family::Ipv4, None, None, Some(identifier)),
        };
        let state = match event {
            LeaseEvent::Expire | LeaseEvent::Release | LeaseEvent::Decline => LeaseState::Ended,
            _ => LeaseState::Active,
        };
        let classes = held.classes.map(|classes| *classes).unwrap_or_default();
        Lease {
            event,
            state,
            family,
            r#type: held.r#type,
            key,
            duid,
            iaid,
            client_id,
            mac: held.mac,
            address: held.address,
            prefix_len: held.prefix_len,
            prefix: prefix(place),
            hostname: held.hostname,
            vendor_class: classes.vendor,
            user_class: classes.user,
            expires_at: held.expires_at,
            grace_until: None,
            source: self.manner.source.clone(),
            rest: Default::default(),
        }
    }
}

/// A delegated prefix as one word; nothing for an address.
fn prefix(place: Place) -> Option<Ipv6Net> {
    match (place.address, place.prefix_len) {
        (IpAddr::V6(address), Some(len)) => Ipv6Net::new(address, len).ok(),
        _ => None,
    }
}

/// Why a lease has ended of which the database says no more.
fn why(kept: &Kept, now: Now) -> LeaseEvent {
    if kept.has_ended(now) { LeaseEvent::Expire } else { LeaseEvent::Release }
}

/// The lease that a record tells of; nothing for one that does not say who has it.
fn held(lease: &Lease) -> Option<Held> {
    let holder = match lease.r#type {
        LeaseType::V4 => Holder::V4 { identifier: lease.client_id.clone()? },
        _ => Holder::V6 { duid: lease.duid.clone()?, iaid: lease.iaid? },
    };
    let classes = crate::record::Classes {
        vendor: lease.vendor_class.clone(),
        user: lease.user_class.clone(),
    };
    Some(Held {
        r#type: lease.r#type,
        holder,
        address: lease.address,
        prefix_len: lease.prefix_len,
        mac: lease.mac,
        hostname: lease.hostname.clone(),
        classes: (classes != Default::default()).then(|| Box::new(classes)),
        expires_at: lease.expires_at,
    })
}

#[cfg(test)]
mod tests;
