//! The side of lease-watch: what is in the spool, and what is put there from then on.
//!
//! What happens in the directory is taken notice of before its files are listed, and what changed
//! meanwhile is read again before the reading is called whole. Files are replaced by others and
//! never written in place, so one that can be opened is complete.
//!
//! A spool holds every lease only if its server takes it for its database; dnsmasq does so under
//! leasefile-ro, which has left a mark. Otherwise leases from before the script was set up may be
//! missing, so the readings of such a spool are partial. Its ends are told by files of their own.

use std::collections::BTreeSet;
use std::fs::{self, File, ReadDir};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::COMPLETE;
use super::entry::place_of;
use super::watch::Watch;
use super::writer::read;
use crate::adapter::sources::{BATCH, Remark, Source, Told, Weight};
use crate::error::{Doing, Error, Kind, Result};
use crate::record::Said;

/// How often the directory is looked at where the kernel says nothing.
const TICK: Duration = Duration::from_secs(1);

/// A spool, which need not be there yet.
pub struct Reader {
    path: PathBuf,
    watch: Watch,
    phase: Phase,
    /// Whether the spool holds every lease, as of the last reading's beginning.
    is_complete: bool,
    /// Names of files to be read again.
    touched: BTreeSet<String>,
    remarks: Vec<Remark>,
    stamp: Option<Stamp>,
}

enum Phase {
    /// A reading of the whole is due.
    Due,
    /// The directory is being listed.
    Listing(Box<ReadDir>),
    /// It was read, and is followed.
    Following,
    /// It could not be read; when to try again.
    Unknown(Instant),
}

/// What says that another directory is at the path, or that something was moved into it.
type Stamp = (u64, u64, (i64, i64));

impl Reader {
    /// A reader of the spool at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new(path: &Path) -> Result<Reader> {
        Ok(Reader {
            path: path.to_owned(),
            watch: Watch::new()?,
            phase: Phase::Due,
            is_complete: false,
            touched: BTreeSet::new(),
            remarks: Vec::new(),
            stamp: None,
        })
    }

    fn begin(&mut self) -> Told {
        match self.open() {
            Ok(listing) => {
                self.is_complete = self.path.join(COMPLETE).exists();
                self.phase = Phase::Listing(Box::new(listing));
                Told::Begin
            }
            Err(why) => {
                self.phase = Phase::Unknown(Instant::now() + TICK);
                Told::Unknown { why: self.unknown(&why), patience: Duration::ZERO }
            }
        }
    }

    fn open(&mut self) -> Result<ReadDir> {
        let flags = nix::libc::O_DIRECTORY;
        let opened = File::options().read(true).custom_flags(flags).open(&self.path);
        let directory = opened.doing("open the spool")?;
        self.watch.of(&directory)?;
        self.watch.take()?;
        self.touched.clear();
        self.stamp = stamp(&self.path);
        fs::read_dir(&self.path).doing("list the spool")
    }

    fn unknown(&self, why: &Error) -> Error {
        let (kind, remedy) = match why.kind() {
            Kind::NotPermitted => (Kind::NotPermitted, "what is leased is unknown"),
            Kind::NotFound => (Kind::Unavailable, "it is made at the server's first event"),
            _ => (Kind::Unavailable, "what is leased is unknown"),
        };
        Error::new(kind, why).remedy(remedy).at(self.path.display())
    }

    /// One step of a reading of the whole.
    fn go_on(&mut self) -> Result<Told> {
        if self.take_notice()? {
            return Ok(self.begin());
        }
        let Phase::Listing(listing) = &mut self.phase else { return Ok(self.begin()) };
        let listed: Result<Vec<_>, _> = listing.by_ref().take(BATCH).collect();
        let names = match listed {
            Ok(listed) if listed.is_empty() && self.touched.is_empty() => return Ok(self.end()),
            Ok(listed) if listed.is_empty() => self.some_touched(),
            Ok(listed) => {
                listed.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Err(why) => {
                self.phase = Phase::Unknown(Instant::now() + TICK);
                let why = self.unknown(&Error::io("list the spool", &why));
                return Ok(Told::Unknown { why, patience: Duration::ZERO });
            }
        };
        Ok(self.said(&names))
    }

    /// Takes notice of what has happened in the directory; whether that is a reason to begin anew.
    fn take_notice(&mut self) -> Result<bool> {
        self.stamp = stamp(&self.path);
        let happened = self.watch.take()?;
        // Whether a file that went was a lease's is not known any more.
        let went = |name: &String| {
            name == COMPLETE
                || self.is_complete && place_of(name).is_some() && !self.path.join(name).exists()
        };
        let is_over = self.stamp.is_none() || happened.anything;
        let is_over = is_over || happened.names.iter().any(went);
        self.touched.extend(happened.names.into_iter().filter(|name| place_of(name).is_some()));
        Ok(is_over)
    }

    fn end(&mut self) -> Told {
        // The mark came or went while the files were read: they are whole only from now on.
        if self.is_complete != self.path.join(COMPLETE).exists() {
            self.phase = Phase::Due;
            return Told::Part;
        }
        self.phase = Phase::Following;
        if self.is_complete { Told::Whole } else { Told::Part }
    }

    fn some_touched(&mut self) -> Vec<String> {
        let rest = self.touched.iter().nth(BATCH).cloned();
        let rest = rest.map(|first| self.touched.split_off(&first)).unwrap_or_default();
        std::mem::replace(&mut self.touched, rest).into_iter().collect()
    }

    /// What the files of these names say. Remarks on them are kept for later.
    fn said(&mut self, names: &[String]) -> Told {
        let mut said = Vec::with_capacity(names.len());
        for name in names {
            let Some(place) = place_of(name) else {
                if !name.starts_with('.') {
                    self.remark(name, "this is no file of the spool", Weight::Note);
                }
                continue;
            };
            let told = match read(&self.path.join(name)) {
                Ok(None) => continue,
                Ok(Some(entry)) => entry.said(self.is_complete),
                Err(why) => Err(why.to_string()),
            };
            said.push(told.unwrap_or_else(|wrong| {
                self.remark(name, &wrong, Weight::Refused);
                Said::Doubtful(place)
            }));
        }
        Told::Said(said)
    }

    fn remark(&mut self, name: &str, what: &str, weight: Weight) {
        let at = self.path.join(name).display().to_string();
        let what = what.strip_prefix(&format!("{at}: ")).unwrap_or(what).to_owned();
        self.remarks.push(Remark { at, what, weight });
    }

    /// Waits for something to happen in the directory; nothing is returned when that is a reason to
    /// begin anew.
    fn follow(&mut self, until: Instant) -> Result<Option<Told>> {
        loop {
            if !self.touched.is_empty() {
                let names = self.some_touched();
                return Ok(Some(self.said(&names)));
            }
            let now = Instant::now();
            if now >= until {
                return Ok(Some(Told::Same));
            }
            let before = self.stamp;
            let has_stirred = self.watch.wait(until.min(now + TICK))?;
            if self.take_notice()? || !has_stirred && self.stamp != before {
                return Ok(None);
            }
        }
    }
}

impl Source for Reader {
    fn next(&mut self, until: Instant) -> Result<Told> {
        if !self.remarks.is_empty() {
            return Ok(Told::Remarks(std::mem::take(&mut self.remarks)));
        }
        match self.phase {
            Phase::Due => Ok(self.begin()),
            Phase::Listing(_) => self.go_on(),
            Phase::Following => match self.follow(until)? {
                Some(told) => Ok(told),
                None => Ok(self.begin()),
            },
            Phase::Unknown(again) => {
                std::thread::sleep(again.min(until).saturating_duration_since(Instant::now()));
                Ok(self.begin())
            }
        }
    }

    fn look_again(&mut self) {
        self.phase = Phase::Due;
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let directory = fs::metadata(path).ok()?;
    Some((directory.dev(), directory.ino(), (directory.mtime(), directory.mtime_nsec())))
}

#[cfg(test)]
mod tests;
