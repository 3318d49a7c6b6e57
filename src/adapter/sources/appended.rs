//! Databases that are written down as they change: a text file to which a server appends what is
//! new, and which it replaces now and then by a shorter one that says the same.
//!
//! The file is read from its beginning, behind those that come before it, and from then on followed:
//! it is held open, and what is appended is news. A line without its newline is not there yet. When
//! the path leads to another file, everything is read anew, since what was written while nobody
//! looked stands in the files that are there now. A reading is whole only if at its end every name
//! leads where it led when the files were opened; they are held open until then, so that no new file
//! can be taken for an old one.
//!
//! No server cuts its file short in place. Somebody who does, say to put a copy back, is writing it
//! still, and nothing in an unfinished copy says that it is one. So it is not read before it has come
//! to rest.

mod files;
mod lines;

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

pub use self::lines::{LONGEST, Line, Lines, print};

use self::files::{Identity, Open, Set};
use super::notices::Notices;
use super::{BATCH, Remark, Source, Told};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::record::Said;

/// How often the files are looked at where inotify says nothing, as on network file systems.
const TICK: Duration = Duration::from_secs(1);

/// How long a file that was cut short must have been left alone before it is read.
const REST: Duration = Duration::from_secs(1);

/// So often a reading is begun again at once when the files were replaced under it.
const ATTEMPTS: u32 = 5;

/// How long a file may be missing or empty while it is being replaced.
const REPLACING: Duration = Duration::from_secs(1);

/// How a server writes its leases down.
pub trait Form: Send {
    /// The files that come before the one that is appended to, as suffixes of its name. Of the first
    /// group that has a file all count, in this order, and of the other groups none.
    const OLDER: &'static [&'static [&'static str]];

    /// A reading of everything begins: what was known of an earlier one is forgotten.
    fn begin(&mut self);

    /// One of the files begins.
    fn file(&mut self, path: &Path);

    /// Takes a line and its number, and says what follows from it.
    ///
    /// # Errors
    /// When nothing in the file can be understood.
    fn line(&mut self, number: usize, line: Line, out: &mut Batch) -> Result<()>;

    /// There is nothing more in the file now.
    ///
    /// # Errors
    /// When it cannot be a whole file.
    fn end(&mut self) -> Result<()>;
}

/// What is said by some lines.
#[derive(Debug, Default)]
pub struct Batch {
    /// What the database says.
    pub said: Vec<Said>,
    /// What there is to tell people.
    pub remarks: Vec<Remark>,
}

/// A database that is a file which is appended to. The file need not exist yet.
pub struct Appended<F> {
    path: PathBuf,
    form: F,
    notices: Notices,
    doing: Doing,
    /// What is to be told next.
    ready: VecDeque<Told>,
    /// Whether there is nothing to do before something happens.
    at_rest: bool,
    /// Why it could not be read when that was tried last.
    unknown: Option<Unknown>,
    /// How often the files were replaced under a reading since one was whole.
    replaced: u32,
    /// The file as it was after it had been cut short, and since when.
    unsettled: Option<(Shape, Instant)>,
}

enum Doing {
    /// Everything is to be read.
    Due,
    /// Everything is being read.
    Reading(Reading),
    /// Everything was read; the last file is followed.
    Following(Lines, Identity),
}

struct Unknown {
    /// Since when it cannot be.
    since: Instant,
    why: Error,
    patience: Duration,
}

struct Reading {
    set: Set,
    lines: Lines,
    /// The files behind the one that is being read, in reverse order.
    behind: Vec<Open>,
    /// Those before it. They are kept open, see [`Set`].
    _before: Vec<File>,
}

/// What changes when a file is written to.
type Shape = Option<(u64, SystemTime)>;

impl<F: Form> Appended<F> {
    /// Begins to watch the file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new(path: &Path, form: F) -> Result<Appended<F>> {
        Ok(Appended {
            path: path.to_owned(),
            form,
            notices: Notices::new(path)?,
            doing: Doing::Due,
            ready: VecDeque::new(),
            at_rest: false,
            unknown: None,
            replaced: 0,
            unsettled: None,
        })
    }

    /// Does the next piece of what there is to do, without waiting; whether anything is left.
    fn go_on(&mut self) -> bool {
        let done = match std::mem::replace(&mut self.doing, Doing::Due) {
            Doing::Due => self.begin(),
            Doing::Reading(reading) => self.read(reading),
            Doing::Following(lines, identity) => self.follow(lines, identity),
        };
        match done {
            Ok((doing, has_more)) => {
                self.doing = doing;
                has_more
            }
            Err((why, patience)) => {
                self.fail(&why, patience);
                self.ready.extend(self.still_unknown());
                false
            }
        }
    }

    fn fail(&mut self, why: &Error, patience: Duration) {
        let kind = match why.kind() {
            Kind::NotPermitted => Kind::NotPermitted,
            _ => Kind::Unavailable,
        };
        let remedy = "what is leased is unknown, so no lease ends by this";
        let why = Error::new(kind, why).remedy(remedy).at(self.path.display());
        let since = self.unknown.as_ref().map_or_else(Instant::now, |unknown| unknown.since);
        self.unknown = Some(Unknown { since, why, patience });
    }

    /// Nothing that lasts longer than one should be patient will pass by itself.
    fn still_unknown(&self) -> Option<Told> {
        let Unknown { since, why, patience } = self.unknown.as_ref()?;
        let patience = if since.elapsed() < *patience { *patience } else { Duration::ZERO };
        Some(Told::Unknown { why: why.clone(), patience })
    }

    fn begin(&mut self) -> Progress {
        self.notices.of_directory();
        self.settle()?;
        let (set, mut files) = Set::open(&self.path, F::OLDER).map_err(|why| {
            let gone = why.kind() == Kind::NotFound;
            (why, if gone { REPLACING } else { Duration::ZERO })
        })?;
        // What is written from now on is noticed.
        if let Some(last) = files.last() {
            self.notices.of_file(&last.file);
        }
        files.reverse();
        self.form.begin();
        self.ready.push_back(Told::Begin);
        let first = files.pop().expect("a set has its last file");
        Ok((Doing::Reading(self.next_file(set, first, files, Vec::new())), true))
    }

    fn next_file(&mut self, set: Set, file: Open, behind: Vec<Open>, before: Vec<File>) -> Reading {
        self.form.file(&file.path);
        Reading { set, lines: Lines::new(file.file), behind, _before: before }
    }

    fn read(&mut self, mut reading: Reading) -> Progress {
        if !self.batch(&mut reading.lines, !reading.behind.is_empty())? {
            return Ok((Doing::Reading(reading), true));
        }
        let patience = if reading.lines.is_empty() { REPLACING } else { Duration::ZERO };
        self.form.end().map_err(|why| (why, patience))?;
        let Reading { set, lines, mut behind, _before: mut before } = reading;
        if let Some(next) = behind.pop() {
            before.push(lines.into_file());
            return Ok((Doing::Reading(self.next_file(set, next, behind, before)), true));
        }
        if !set.still_holds() {
            self.replaced += 1;
            if !self.replaced.is_multiple_of(ATTEMPTS) {
                return Ok((Doing::Due, true));
            }
            let error = Error::new(Kind::Unavailable, "read lease file whole");
            return Err((error.why("it is replaced again and again"), REPLACING));
        }
        self.replaced = 0;
        let identity =
            Identity::of(lines.file()).doing("look at the lease file").map_err(at_once)?;
        self.unknown = None;
        self.ready.push_back(Told::Whole);
        Ok((Doing::Following(lines, identity), true))
    }

    fn follow(&mut self, mut lines: Lines, identity: Identity) -> Progress {
        if !matches!(Identity::at(&self.path), Ok(Some(now)) if now == identity) {
            return Ok((Doing::Due, true));
        }
        if !lines.goes_on().doing("read lease file").map_err(at_once)? {
            self.unsettled = Some((None, Instant::now()));
            return Ok((Doing::Due, true));
        }
        let ended = self.batch(&mut lines, false)?;
        Ok((Doing::Following(lines, identity), !ended))
    }

    /// Reads some lines; whether the file has no more of them.
    fn batch(&mut self, lines: &mut Lines, is_closed: bool) -> Result<bool, (Error, Duration)> {
        let mut batch = Batch { said: Vec::with_capacity(BATCH), remarks: Vec::new() };
        let mut ended = false;
        while batch.said.len() < BATCH && batch.remarks.len() < BATCH && !ended {
            let line = lines.next_line().doing("read lease file").map_err(at_once)?;
            ended = line.is_none();
            if let Some((number, line)) = line {
                self.form.line(number, line, &mut batch).map_err(at_once)?;
            }
        }
        if ended
            && is_closed
            && let Some((number, line)) = lines.rest()
        {
            self.form.line(number, line, &mut batch).map_err(at_once)?;
        }
        if !batch.remarks.is_empty() {
            self.ready.push_back(Told::Remarks(batch.remarks));
        }
        if !batch.said.is_empty() {
            self.ready.push_back(Told::Said(batch.said));
        }
        Ok(ended)
    }

    /// Whether a file that was cut short has come to rest.
    fn settle(&mut self) -> Result<(), (Error, Duration)> {
        let Some((shape, since)) = self.unsettled else { return Ok(()) };
        let metadata = std::fs::metadata(&self.path).ok();
        let now = metadata.and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
        if now == shape && since.elapsed() >= REST {
            self.unsettled = None;
            return Ok(());
        }
        if now != shape {
            self.unsettled = Some((now, Instant::now()));
        }
        let why = "it was cut short, and is still being written";
        Err((Error::new(Kind::Unavailable, "read lease file").why(why), 2 * REST))
    }
}

/// What is to be done next and whether it can be done at once, or why nothing is known.
type Progress = Result<(Doing, bool), (Error, Duration)>;

fn at_once(why: Error) -> (Error, Duration) {
    (why, Duration::ZERO)
}

impl<F: Form> Source for Appended<F> {
    fn next(&mut self, until: Instant) -> Result<Told> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            if !self.at_rest {
                self.at_rest = !self.go_on();
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(self.still_unknown().unwrap_or(Told::Same));
            }
            self.notices.within(left.min(TICK))?;
            self.at_rest = false;
        }
    }

    fn look_again(&mut self) {
        self.doing = Doing::Due;
        self.ready.clear();
        self.at_rest = false;
    }
}
