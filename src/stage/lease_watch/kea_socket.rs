//! The leases of a running Kea, asked for page by page.
//!
//! Each page is true at its own moment, and leases come and go between two of them:
//!
//! - One that is added or ends before the place that is being read is seen the next time.
//! - An address that goes from one client to another is read once, with either.
//! - A client that moves from an address that is not yet read to one that was is in no page, though
//!   it had a lease all the time. So what a client had in the reading before is doubtful, and not
//!   gone, when the client is missing for the first time. It is read again soon; a client that is
//!   missing twice in a row has gone.
//! - Nothing is known before the first reading, so of that only the repetition counts.
//!
//! A reading that had room in its first page has one moment, and needs none of this.
//!
//! The last page is the one with nothing in it. A server that fails in between has told nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::adapter::kea::leases::{AT_A_TIME, From, Page};
use crate::adapter::kea::{self, Channel};
use crate::adapter::sources::{Remark, Source, Told, Weight};
use crate::error::{Error, Kind, Result};
use crate::record::{Held, Holder, Place, Said};

/// How soon a server that does not answer is asked again, at first and at the latest.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_LATEST: Duration = Duration::from_secs(15);

/// How soon everything is read again when a client was missing for the first time, and how many times
/// as long as the reading took, so that a server with many leases has time for its clients.
const DOUBT: Duration = Duration::from_secs(1);
const DOUBT_TIMES: u32 = 2;

/// More pages than any server has.
const MOST_PAGES: usize = 1_000_000;

/// The leases of the server at one control channel.
pub struct KeaSocket {
    channel: Channel,
    poll: Duration,
    /// Whether the server that answers is known to be one of DHCPv6.
    is_checked: bool,
    state: State,
    /// Why the last reading failed; absent when it did not.
    trouble: Option<Error>,
    retry: Duration,
    /// What was found in the last reading that ended; absent before the first one.
    before: Option<Found>,
    /// What is to be told before anything else happens.
    queue: VecDeque<Told>,
    hasher: RandomState,
}

enum State {
    /// Nothing is to be done before then.
    Rest(Instant),
    /// A reading is under way.
    Reading(Reading),
}

struct Reading {
    began: Instant,
    from: From,
    pages: usize,
    /// Whether the first page had room for more.
    had_room: bool,
    found: Found,
}

/// Who was found to have what. A number names a client, and whether it is for addresses or prefixes.
#[derive(Default)]
struct Found {
    places: HashMap<Place, u64>,
    clients: HashSet<u64>,
}

impl KeaSocket {
    /// The leases of the server at `place`, read as a whole every `poll`. An answer is waited for up to
    /// `patience`.
    ///
    /// # Errors
    /// When the program cannot have what it needs for it.
    pub fn new(place: kea::Place, poll: Duration, patience: Duration) -> Result<KeaSocket> {
        Ok(KeaSocket {
            channel: Channel::new(place, patience)?,
            poll,
            is_checked: false,
            state: State::Rest(Instant::now()),
            trouble: None,
            retry: RETRY,
            before: None,
            queue: VecDeque::new(),
            hasher: RandomState::new(),
        })
    }

    fn step(&mut self) {
        if let Err(why) = self.read_on() {
            self.fail(&why);
        }
    }

    fn read_on(&mut self) -> Result<()> {
        if !self.is_checked {
            self.channel.server()?;
            self.is_checked = true;
        }
        let State::Reading(reading) = &mut self.state else {
            self.begin();
            return Ok(());
        };
        let page = self.channel.leases(reading.from)?;
        if page.rows.is_empty() {
            self.end();
            return Ok(());
        }
        let behind = page.last.map(From::Behind).filter(|behind| *behind != reading.from);
        let endless = || Error::new(Kind::BadInput, "lease6-get-page").at(self.channel.place());
        reading.from = behind
            .ok_or_else(|| endless().why("the page does not say where the next one begins"))?;
        reading.had_room |= reading.pages == 0 && page.rows.len() < AT_A_TIME;
        reading.pages += 1;
        if reading.pages > MOST_PAGES {
            return Err(endless().why("the pages have no end"));
        }
        reading.found.add(&page, &self.hasher);
        self.tell(page);
        Ok(())
    }

    fn begin(&mut self) {
        let found = Found::default();
        let (began, from) = (Instant::now(), From::Start);
        let reading = Reading { began, from, pages: 0, had_room: false, found };
        self.state = State::Reading(reading);
        self.queue.push_back(Told::Begin);
    }

    /// The reading is over.
    fn end(&mut self) {
        let rest = State::Rest(Instant::now() + self.poll);
        let State::Reading(reading) = std::mem::replace(&mut self.state, rest) else { return };
        let has_one_moment = reading.had_room || reading.pages == 0;
        match &self.before {
            _ if has_one_moment => (),
            None => {
                self.before = Some(reading.found);
                return self.begin();
            }
            Some(before) => {
                let missing = before.missing_in(&reading.found);
                if !missing.is_empty() {
                    let soon = DOUBT.max(reading.began.elapsed() * DOUBT_TIMES);
                    self.state = State::Rest(Instant::now() + self.poll.min(soon));
                }
                for places in missing.chunks(AT_A_TIME) {
                    let doubtful = places.iter().copied().map(Said::Doubtful).collect();
                    self.queue.push_back(Told::Said(doubtful));
                }
            }
        }
        self.trouble = None;
        self.retry = RETRY;
        self.before = Some(reading.found);
        self.queue.push_back(Told::Whole);
    }

    /// The server does not answer, or not as it should: what has been read is void.
    fn fail(&mut self, why: &Error) {
        let kind = match why.kind() {
            Kind::NotPermitted => Kind::NotPermitted,
            Kind::TimedOut => Kind::TimedOut,
            _ => Kind::Unavailable,
        };
        let why = Error::new(kind, why);
        self.is_checked = false;
        self.state = State::Rest(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(RETRY_LATEST);
        self.queue.clear();
        self.queue.push_back(unknown(why.clone()));
        self.trouble = Some(why);
    }

    /// Queues what a page says.
    fn tell(&mut self, page: Page) {
        let place = self.channel.place();
        let mut remarks = Vec::new();
        let mut all = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            let is_served = matches!(row.said, Some(Said::Held(_) | Said::Ended(..)));
            let weight = if is_served { Weight::Note } else { Weight::Refused };
            remarks.extend(row.wrong.map(|what| Remark { at: place.to_string(), what, weight }));
            all.extend(row.said);
        }
        self.queue.push_back(Told::Said(all));
        if !remarks.is_empty() {
            self.queue.push_back(Told::Remarks(remarks));
        }
    }
}

fn unknown(why: Error) -> Told {
    Told::Unknown { why, patience: Duration::ZERO }
}

impl Source for KeaSocket {
    fn next(&mut self, until: Instant) -> Result<Told> {
        loop {
            if let Some(told) = self.queue.pop_front() {
                return Ok(told);
            }
            let now = Instant::now();
            match self.state {
                State::Rest(at) if at > now && until <= now => {
                    return Ok(self.trouble.clone().map_or(Told::Same, unknown));
                }
                State::Rest(at) if at > now => thread::sleep(at.min(until) - now),
                _ => self.step(),
            }
        }
    }

    fn look_again(&mut self) {
        if let State::Rest(at) = &mut self.state {
            *at = Instant::now();
        }
    }
}

impl Found {
    fn add(&mut self, page: &Page, hasher: &RandomState) {
        for row in &page.rows {
            if let Some(Said::Held(held)) = &row.said {
                let client = hasher.hash_one(name(held));
                self.places.insert(held.place(), client);
                self.clients.insert(client);
            }
        }
    }

    /// What clients had here of whom there is nothing in that other reading.
    fn missing_in(&self, other: &Found) -> Vec<Place> {
        let is_missing = |(_, client): &(&Place, &u64)| !other.clients.contains(client);
        self.places.iter().filter(is_missing).map(|(place, _)| *place).collect()
    }
}

/// What a client keeps when it moves to another address.
fn name(held: &Held) -> (&[u8], u32, u8) {
    match &held.holder {
        Holder::V6 { duid, iaid } => (duid.as_bytes(), *iaid, held.r#type as u8),
        Holder::V4 { identifier } => (identifier.as_bytes(), 0, held.r#type as u8),
    }
}

#[cfg(test)]
mod tests;
