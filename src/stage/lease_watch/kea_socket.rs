//! The leases of a running Kea, asked for page by page.
//!
//! Each page is true at its own moment, and leases come and go between two of them:
//!
//! - One that is added or ends before the place that is being read is seen the next time.
//! - An address that goes from one client to another is read once, with either.
//! - A client that moves from an address that is not yet read to one that was is in no page, though
//!   it had a lease all the time. So what a client had in the reading before is doubtful, and not
//!   gone, when the client is missing for the first time, even if the server says that it has ended.
//!   It is read again soon; a client that is missing twice in a row has gone.
//! - Nothing is known before the first reading, so of that only the repetition counts.
//!
//! A reading that had room in its first page has one moment, and needs none of this.
//!
//! The last page is the one with nothing in it. A server that fails in between has told nothing.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::adapter::kea::leases::{AT_A_TIME, From, Page, Row};
use crate::adapter::kea::{self, Channel};
use crate::adapter::sources::{Remark, Source, Told, Weight};
use crate::error::{Error, Kind, Result};
use crate::record::{Held, Holder, LeaseEvent, Place, Said};

/// How long one answer is waited for at most.
const ANSWER: Duration = Duration::from_secs(10);

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
    before: Option<Vec<Had>>,
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

/// What the pages of a reading say.
#[derive(Default)]
struct Found {
    held: Vec<Had>,
    /// What is leased no more, and why: told at the end.
    ended: Vec<(Place, LeaseEvent)>,
}

/// Something that a client has. A number names the client, and whether it is an address or a prefix.
#[derive(Clone, Copy)]
struct Had {
    place: Place,
    client: u64,
}

impl KeaSocket {
    /// The leases of the server at `place`, read as a whole every `poll`. Whoever waits for them has
    /// `patience`; an answer is waited for a shorter time, so that a silent server is told as such.
    ///
    /// # Errors
    /// When the program cannot have what it needs for it.
    pub fn new(place: kea::Place, poll: Duration, patience: Duration) -> Result<KeaSocket> {
        Ok(KeaSocket {
            channel: Channel::new(place, (patience * 3 / 4).min(ANSWER))?,
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

    /// Reads one page: the first of a new reading, or the next.
    fn read_on(&mut self) -> Result<()> {
        let began = Instant::now();
        let from = match &self.state {
            State::Rest(_) => From::Start,
            State::Reading(reading) => reading.from,
        };
        let page = self.channel.leases(from)?;
        if from == From::Start {
            self.begin(began)?;
        }
        if page.rows.is_empty() {
            self.end();
            return Ok(());
        }
        let State::Reading(reading) = &mut self.state else { return Ok(()) };
        let endless =
            |why| Error::new(Kind::BadInput, "lease6-get-page").why(why).at(self.channel.place());
        let behind = page.last.map(From::Behind).filter(|behind| *behind != from);
        reading.from =
            behind.ok_or_else(|| endless("the page does not say where the next one begins"))?;
        reading.had_room |= reading.pages == 0 && page.rows.len() < AT_A_TIME;
        reading.pages += 1;
        if reading.pages > MOST_PAGES {
            return Err(endless("the pages have no end"));
        }
        self.take(page);
        Ok(())
    }

    /// The first page of a reading is there. Kea's other servers know the same command, and have no
    /// leases to show.
    fn begin(&mut self, began: Instant) -> Result<()> {
        if !self.is_checked {
            self.channel.server()?;
            self.is_checked = true;
        }
        let (from, found) = (From::Start, Found::default());
        self.state = State::Reading(Reading { began, from, pages: 0, had_room: false, found });
        self.queue.push_back(Told::Begin);
        Ok(())
    }

    /// The reading is over.
    fn end(&mut self) {
        let rest = State::Rest(Instant::now() + self.poll);
        let State::Reading(reading) = std::mem::replace(&mut self.state, rest) else { return };
        let has_one_moment = reading.had_room || reading.pages == 0;
        let Reading { began, found: Found { held, ended }, .. } = reading;
        let doubtful = match &self.before {
            _ if has_one_moment => HashSet::new(),
            Some(before) => missing(before, &held),
            None => {
                self.before = Some(held);
                self.state = State::Rest(Instant::now());
                return;
            }
        };
        if !doubtful.is_empty() {
            let soon = DOUBT.max(began.elapsed() * DOUBT_TIMES);
            self.state = State::Rest(Instant::now() + self.poll.min(soon));
        }
        let ended = ended.into_iter().filter(|(place, _)| !doubtful.contains(place));
        let ended: Vec<Said> = ended.map(|(place, event)| Said::Ended(place, event)).collect();
        let doubtful = doubtful.iter().copied().map(Said::Doubtful).collect();
        self.say(ended);
        self.say(doubtful);
        self.queue.push_back(Told::Whole);
        self.trouble = None;
        self.retry = RETRY;
        self.before = Some(held);
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
        self.queue.push_back(unknown(why.clone()));
        self.trouble = Some(why);
    }

    /// Queues what a page says, and notes what is needed at the end of the reading.
    fn take(&mut self, page: Page) {
        let State::Reading(Reading { found, .. }) = &mut self.state else { return };
        let at = self.channel.place().to_string();
        let (mut all, mut remarks) = (Vec::with_capacity(page.rows.len()), Vec::new());
        for Row { said, wrong } in page.rows {
            let is_served = matches!(said, Some(Said::Held(_) | Said::Ended(..)));
            let weight = if is_served { Weight::Note } else { Weight::Refused };
            remarks.extend(wrong.map(|what| Remark { at: at.clone(), what, weight }));
            match said {
                Some(Said::Ended(place, event)) => found.ended.push((place, event)),
                Some(Said::Held(held)) => {
                    let client = self.hasher.hash_one(client(&held));
                    found.held.push(Had { place: held.place(), client });
                    all.push(Said::Held(held));
                }
                said => all.extend(said),
            }
        }
        self.say(all);
        if !remarks.is_empty() {
            self.queue.push_back(Told::Remarks(remarks));
        }
    }

    fn say(&mut self, mut all: Vec<Said>) {
        while !all.is_empty() {
            let rest = all.split_off(all.len().min(AT_A_TIME));
            self.queue.push_back(Told::Said(std::mem::replace(&mut all, rest)));
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

/// What clients had before of whom there is nothing now, and which nobody else has.
fn missing(before: &[Had], now: &[Had]) -> HashSet<Place> {
    let clients: HashSet<u64> = now.iter().map(|had| had.client).collect();
    let missing = before.iter().filter(|had| !clients.contains(&had.client));
    let mut places: HashSet<Place> = missing.map(|had| had.place).collect();
    for had in now {
        places.remove(&had.place);
    }
    places
}

/// Who has a lease, and of what kind: what stays the same when a client moves to another address.
fn client(held: &Held) -> (&[u8], u32, u8) {
    match &held.holder {
        Holder::V6 { duid, iaid } => (duid.as_bytes(), *iaid, held.r#type as u8),
        Holder::V4 { identifier } => (identifier.as_bytes(), 0, held.r#type as u8),
    }
}

#[cfg(test)]
mod tests;
