//! One source, and what is known of it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::options::{Options, SourceName};
use super::told::{Asked, clocks};
use crate::adapter::sources::{Remark, Source, Told, Weight};
use crate::error::{Error, Kind, Result};
use crate::logic::leases::{Leases, News, Word};
use crate::pipe::Report;
use crate::record::{Lease, Place};

/// How many remarks on one reading are told in full.
const MOST_TOLD: usize = 20;

/// How many remarks are remembered, so that they are not told again.
const MOST_REMEMBERED: usize = 10_000;

/// A source of leases, and all that was heard of it.
pub struct Watched<'a> {
    name: &'a SourceName,
    follow: bool,
    /// Until it is handed to its thread.
    source: Option<Box<dyn Source>>,
    again: Arc<AtomicBool>,
    /// What it has leased.
    pub leases: Leases,
    /// Whether a reading of it has come to its end, ever.
    pub has_read: bool,
    /// Whether it is as it was last heard.
    pub is_known: bool,
    /// Whether it was listed, so that news of it can be told.
    pub is_listed: bool,
    /// Whether it is to be listed when that makes sense.
    pub list_wanted: bool,
    /// Why it was given up.
    pub failed: Option<Error>,
    /// Whether a reading has begun and not ended.
    is_reading: bool,
    trouble: Option<Trouble>,
    remarks: Remarks,
    /// Whether people were told that the listing is partial.
    in_part: bool,
}

/// Why a source cannot be read, and since when.
struct Trouble {
    since: Instant,
    why: Error,
    is_told: bool,
}

/// The remarks on a source's lines, which are told once for as long as they stand.
#[derive(Default)]
struct Remarks {
    hasher: RandomState,
    told: HashSet<u64>,
    /// Those of the reading that goes on.
    now: HashSet<u64>,
    /// How many new ones there were in this reading.
    new: usize,
}

/// What came of something that a source told.
pub enum Heard {
    /// Nothing to speak of.
    Nothing,
    /// Something became of leases.
    News(News),
    /// A reading has ended.
    Read(News),
}

impl<'a> Watched<'a> {
    /// Opens a source; it is not read yet.
    ///
    /// # Errors
    /// When it makes no sense, or the kernel has no more to give.
    pub fn new(name: &'a SourceName, options: &Options) -> Result<Watched<'a>> {
        Ok(Watched {
            name,
            follow: options.follow,
            source: Some(name.open(options)?),
            again: Arc::default(),
            leases: Leases::new(name.manner(options)),
            has_read: false,
            is_known: false,
            is_listed: false,
            list_wanted: false,
            failed: None,
            is_reading: false,
            trouble: None,
            remarks: Remarks::default(),
            in_part: false,
        })
    }

    /// The source itself, for its thread.
    pub fn take_source(&mut self) -> Asked {
        (self.source.take().expect("a source is read by one thread"), self.again.clone())
    }

    /// Its name, as it was given.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &str {
        self.name.place()
    }

    /// Has it read and listed anew.
    pub fn look_again(&mut self) {
        self.list_wanted = true;
        self.again.store(true, Ordering::Relaxed);
    }

    /// Takes in what it tells.
    pub fn hear(&mut self, told: Told, report: &Report) -> Heard {
        match told {
            Told::Begin => {
                self.leases.begin();
                self.is_reading = true;
                self.remarks.begin();
            }
            Told::Said(all) => return self.take_in(all.into_iter().map(Word::from).collect()),
            Told::Remarks(remarks) => {
                remarks.iter().for_each(|remark| self.remarks.tell(remark, report));
            }
            Told::Whole => return self.read(Leases::whole),
            Told::Part => return self.read(Leases::news),
            Told::Same => (),
            Told::Unknown { why, patience } => self.unknown(why, patience, report),
        }
        Heard::Nothing
    }

    /// Takes in what its database says.
    pub fn take_in(&mut self, all: Vec<Word>) -> Heard {
        let now = clocks();
        all.into_iter().for_each(|word| self.leases.say(word, now));
        if self.is_reading { Heard::Nothing } else { Heard::News(self.leases.news(now)) }
    }

    fn read(&mut self, end: fn(&mut Leases, crate::logic::leases::Now) -> News) -> Heard {
        self.is_reading = false;
        self.has_read = true;
        self.is_known = true;
        self.trouble = None;
        self.failed = None;
        self.remarks.end();
        Heard::Read(end(&mut self.leases, clocks()))
    }

    /// It cannot be read. That is told when it has lasted a while, and when the reason changes.
    fn unknown(&mut self, why: Error, patience: Duration, report: &Report) {
        self.is_known = false;
        self.is_reading = false;
        let before = self.trouble.take();
        let since = before.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        let was_told = before.is_some_and(|trouble| trouble.is_told && trouble.why == why);
        let is_due = since.elapsed() >= patience;
        if patience.is_zero() {
            self.failed = Some(why.clone());
        }
        if self.follow && is_due && !was_told {
            report.note(&why);
        }
        self.trouble = Some(Trouble { since, why, is_told: was_told || is_due });
    }

    /// It was waited for long enough.
    pub fn give_up(&mut self) {
        let late = || {
            let error = Error::new(Kind::TimedOut, "read leases").why("it takes too long");
            error.at(self.place())
        };
        self.failed = Some(self.trouble.as_ref().map_or_else(late, |trouble| trouble.why.clone()));
    }

    /// Whether it is known as it is now, and listed, so that time may end leases of it.
    pub fn is_at_rest(&self) -> bool {
        self.is_known && self.is_listed && !self.is_reading
    }

    /// Whether a listing is worth writing: one that is wanted, and that a checkpoint will close.
    pub fn wants_listing(&self) -> bool {
        self.list_wanted && (self.leases.is_complete() || self.name.is_partial())
    }

    /// Whether no end follows from what a listing leaves out: the server has told of each by itself,
    /// or its time is up. Then many ends are no sign of a lost database.
    pub fn tells_each_end(&self) -> bool {
        self.name.is_partial() && !self.leases.is_complete()
    }

    /// Tells people, once, that a listing is partial through lines that cannot be read.
    pub fn told_in_part(&mut self, is_partial: bool, report: &Report) {
        if is_partial && !self.in_part && !self.name.is_partial() {
            let what = "the listing may lack a lease, so nothing ends by it";
            let why = "a line that cannot be read may be one";
            let error = Error::new(Kind::BadInput, what).why(why);
            report.note(&error.remedy(self.name.cure()).at(self.place()));
        }
        self.in_part = is_partial;
        self.list_wanted |= is_partial && !self.name.is_partial();
    }

    /// What to remember for another run: its leases, and why those ended whose end is held back.
    pub fn memory(&self) -> impl Iterator<Item = Lease> {
        self.leases.list(clocks()).map(|mut lease| {
            let place = Place { address: lease.address, prefix_len: lease.prefix_len };
            if let Some(event) = self.leases.held_back(place) {
                lease.event = event;
            }
            lease
        })
    }
}

impl Remarks {
    fn begin(&mut self) {
        self.now.clear();
        self.new = 0;
    }

    fn end(&mut self) {
        self.told = std::mem::take(&mut self.now);
        self.new = 0;
    }

    /// Tells a remark, unless it was told and still stands, or too many others are new.
    fn tell(&mut self, remark: &Remark, report: &Report) {
        let print = self.hasher.hash_one(&remark.what);
        let is_known = self.told.contains(&print) || self.now.contains(&print);
        if self.now.len() < MOST_REMEMBERED {
            self.now.insert(print);
        }
        if is_known || self.new > MOST_TOLD {
            return;
        }
        let what = if self.new < MOST_TOLD { &*remark.what } else { "and more like these" };
        self.new += 1;
        let error = Error::new(Kind::BadInput, what).at(&remark.at);
        match remark.weight {
            Weight::Note => report.note(&error),
            Weight::Refused => report.failed(&error),
        }
    }
}
