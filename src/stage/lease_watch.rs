//! lease-watch: what a DHCP server has leased, listed, and then followed.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::adapter::sources::dnsmasq::file::{LeaseFile, Seen};
use crate::adapter::sources::dnsmasq::text::{self as leases, Found, Remark, Row, Weight};
use crate::error::{Error, Kind, Result};
use crate::logic::leases::{Client, Held, KeyBy, Leases, Line, News};
use crate::pipe::{Output, Report};
use crate::record::{Checkpoint, NotA, Of, Record};

/// Where leases are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
    path: PathBuf,
}

impl FromStr for Source {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Source, NotA> {
        match text.split_once(':') {
            Some(("dnsmasq", path)) if !path.is_empty() => {
                Ok(Source { text: text.to_owned(), path: path.into() })
            }
            _ => Err(NotA::new(text, "a source of leases (dnsmasq:FILE)")),
        }
    }
}

/// What is asked of the program.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where leases are read.
    pub source: Source,
    /// What makes two leases one client's.
    pub key_by: KeyBy,
    /// Whether to go on with changes behind the listing.
    pub follow: bool,
    /// How often to list everything again while following.
    pub resync: Option<Duration>,
    /// How long to wait for the source to be whole.
    pub timeout: Duration,
    /// Whether to write a table.
    pub table: bool,
}

/// How many remarks on one reading are told in full.
const MOST_TOLD: usize = 20;

/// How often the clock is looked at for ends of leases: it may be set, so sleeping until the next
/// end is not enough.
const TICK: Duration = Duration::from_secs(1);

/// Lists the leases, and follows them when that is asked for.
///
/// # Errors
/// `NotPermitted` when the source may not be read, `Unavailable` when it cannot be, `TimedOut` when
/// it does not become whole. A source that is followed may be gone for any time: it is told, and
/// waited for.
pub fn run(options: &Options, report: &Report) -> Result<()> {
    let mut program = Program {
        options,
        report,
        file: LeaseFile::new(&options.source.path)?,
        leases: Leases::new(&options.source.text, options.key_by),
        output: Output::stdout(options.table)?,
        told: HashSet::new(),
        trouble: None,
        is_known: false,
        list_wanted: true,
        has_listed: false,
    };
    if options.follow { program.follow() } else { program.list_once() }
}

struct Program<'a> {
    options: &'a Options,
    report: &'a Report,
    file: LeaseFile,
    leases: Leases,
    output: Output,
    /// The remarks on the last reading, which need not be told again.
    told: HashSet<String>,
    /// What keeps the source from being read, and since when.
    trouble: Option<Trouble>,
    /// Whether the source is as it was last read.
    is_known: bool,
    list_wanted: bool,
    has_listed: bool,
}

struct Trouble {
    since: Instant,
    told: Option<String>,
}

impl Program<'_> {
    fn list_once(&mut self) -> Result<()> {
        let until = Instant::now() + self.options.timeout;
        let stdout = io::stdout();
        let text = loop {
            match self.file.next(until, Some(stdout.as_fd()))? {
                Seen::Whole(text) => break text,
                Seen::Part(_) => (),
                Seen::Missing(why) => return Err(self.unavailable(&why)),
                Seen::Torn(why) => return Err(self.late(why)),
                Seen::Changing | Seen::Same => return Err(self.late(CHANGING)),
                Seen::ReaderLeft => return Ok(()),
            }
        };
        self.take_whole(&text);
        self.list()
    }

    fn follow(&mut self) -> Result<()> {
        let stdout = io::stdout();
        let mut resync = self.options.resync.map(|every| Instant::now() + every);
        loop {
            self.output.flush()?;
            let until = self.wake_at(resync);
            match self.file.next(until, Some(stdout.as_fd()))? {
                Seen::Whole(text) => {
                    let news = self.take_whole(&text);
                    if self.has_listed {
                        self.tell(news)?;
                    }
                    if self.list_wanted && self.may_list() {
                        self.list()?;
                    }
                }
                Seen::Part(text) if self.has_listed => {
                    let news = self.take_part(&text);
                    self.tell(news)?;
                }
                Seen::Part(_) | Seen::Same => (),
                Seen::Missing(why) => {
                    let why = self.unavailable(&why);
                    self.unknown(why, Duration::ZERO);
                }
                Seen::Torn(why) => self.unknown(self.late(why), self.options.timeout),
                Seen::Changing => self.unknown(self.late(CHANGING), self.options.timeout),
                Seen::ReaderLeft => return Ok(()),
            }
            if self.is_known {
                let ended = self.leases.pass_time(Timestamp::now());
                self.tell(ended)?;
            }
            if resync.is_some_and(|at| at <= Instant::now()) {
                self.file.look_again();
                self.list_wanted = true;
                resync = self.options.resync.map(|every| Instant::now() + every);
            }
        }
    }

    /// When to stop waiting for the file: for the end of a lease, for a new listing, or to look at
    /// the clock. While the file is unknown no lease ends.
    fn wake_at(&self, resync: Option<Instant>) -> Instant {
        let tick = Instant::now() + TICK;
        let end = self.leases.next_end().filter(|_| self.is_known);
        let end = end.map_or(tick, |end| {
            let left = end.duration_since(Timestamp::now());
            Instant::now() + Duration::try_from(left).unwrap_or_default().min(TICK)
        });
        end.min(resync.unwrap_or(tick).max(Instant::now())).min(tick)
    }

    /// Whether a listing is worth writing: the first, or one that a checkpoint will close.
    fn may_list(&self) -> bool {
        !self.has_listed || self.leases.is_complete()
    }

    fn take_whole(&mut self, text: &[u8]) -> News {
        self.is_known = true;
        self.trouble = None;
        let mut remarks = Vec::new();
        let lines = lines(text, &mut remarks);
        let news = self.leases.take_whole(lines, Timestamp::now());
        self.remark(remarks);
        news
    }

    fn take_part(&mut self, text: &[u8]) -> News {
        self.is_known = false;
        self.leases.take_part(lines(text, &mut Vec::new()), Timestamp::now())
    }

    /// Writes everything that is known, and the checkpoint.
    fn list(&mut self) -> Result<()> {
        let mut count = 0;
        for lease in self.leases.list() {
            self.output.write(&Record::Lease(lease))?;
            self.report.used();
            count += 1;
        }
        self.has_listed = true;
        self.list_wanted = !self.leases.is_complete();
        let partial = !self.leases.is_complete();
        // The end of a stream says by itself that it is not known to be everything.
        if self.options.follow || !partial {
            let mut checkpoint = Checkpoint::new(Of::Lease, count);
            checkpoint.partial = partial;
            checkpoint.follow = self.options.follow;
            checkpoint.source = Some(self.options.source.text.clone());
            self.output.write(&Record::Checkpoint(checkpoint))?;
        }
        if partial {
            let what = "the listing may lack a lease, so nothing ends by it";
            let why = "a line that cannot be read may be one";
            let remedy = "dnsmasq writes the file anew at the next lease, or when it is restarted";
            self.report
                .note(&self.at_file(Error::new(Kind::BadInput, what).why(why).remedy(remedy)));
        }
        self.output.settle()
    }

    /// Tells what became of leases, each by itself. When many have ended at once, everything is
    /// listed instead: whoever removes by the listing can weigh what it leaves out as a whole. If
    /// no listing can be written that ends them, they wait for one.
    fn tell(&mut self, mut news: News) -> Result<()> {
        if let Some((ended, before)) = news.many_ends() {
            if self.is_known && self.may_list() {
                return self.list();
            }
            self.list_wanted = true;
            news.withhold_ends();
            if !self.may_list() {
                let what = format!("{ended} of {before} leases ended at once, which is not told");
                let error = Error::new(Kind::Refused, what).why("a line cannot be read");
                let remedy = "told in the listing that comes when every line can be";
                self.report.note(&self.at_file(error.remedy(remedy)));
            }
        }
        for lease in self.leases.records(&news) {
            self.output.write(&Record::Lease(lease))?;
            self.report.used();
        }
        Ok(())
    }

    /// Tells what is wrong with lines, each once for as long as it stands in the file.
    fn remark(&mut self, remarks: Vec<Remark>) {
        let mut now = HashSet::new();
        let path = self.options.source.path.display();
        let new = remarks.iter().filter(|remark| !self.told.contains(&remark.what));
        for (count, remark) in new.enumerate() {
            let what = if count < MOST_TOLD { &remark.what } else { "and more lines like these" };
            let error = Error::new(Kind::BadInput, what).at(format_args!("{path}:{}", remark.line));
            match remark.weight {
                _ if count > MOST_TOLD => break,
                Weight::Note => self.report.note(&error),
                Weight::Refused | Weight::Unknown(_) => self.report.failed(&error),
            }
        }
        now.extend(remarks.into_iter().map(|remark| remark.what));
        self.told = now;
    }

    /// The source cannot be read. It is told when that has lasted a while, and when it changes.
    fn unknown(&mut self, why: Error, patience: Duration) {
        self.is_known = false;
        let trouble = Trouble { since: Instant::now(), told: None };
        let trouble = self.trouble.get_or_insert(trouble);
        let text = why.to_string();
        if trouble.since.elapsed() >= patience && trouble.told.as_ref() != Some(&text) {
            self.report.note(&why);
            trouble.told = Some(text);
        }
    }

    fn unavailable(&self, why: &Error) -> Error {
        let remedy = "what is leased is unknown, which is not nothing";
        let kind = match why.kind() {
            Kind::NotPermitted => Kind::NotPermitted,
            _ => Kind::Unavailable,
        };
        self.at_file(Error::new(kind, why).remedy(remedy))
    }

    fn late(&self, why: &str) -> Error {
        let what = "read lease file whole";
        let remedy = "what is leased is unknown; see that dnsmasq runs and its disk has room";
        self.at_file(Error::new(Kind::TimedOut, what).why(why).remedy(remedy))
    }

    fn at_file(&self, error: Error) -> Error {
        error.at(self.options.source.path.display())
    }
}

const CHANGING: &str = "it does not come to rest";

/// The lines that concern leases; the remarks on them are gathered while they are read.
fn lines(text: &[u8], remarks: &mut Vec<Remark>) -> impl Iterator<Item = Line> {
    leases::read(text).filter_map(|found| match found {
        Found::Lease(row) => Some(Line::Lease(held(row))),
        Found::Remark(remark) => {
            let weight = remark.weight;
            remarks.push(remark);
            match weight {
                Weight::Unknown(line) => Some(Line::Unreadable(line)),
                Weight::Note | Weight::Refused => None,
            }
        }
    })
}

fn held(row: Row) -> Held {
    let client = match row.client {
        leases::Client::V6 { duid, iaid } => Client::V6 { duid, iaid },
        leases::Client::V4 { identifier, mac } => Client::V4 { identifier, mac },
    };
    Held {
        r#type: row.r#type,
        client,
        address: row.address,
        hostname: row.hostname,
        expires_at: row.expires_at,
    }
}
