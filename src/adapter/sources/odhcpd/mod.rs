//! odhcpd's state file, as a source of leases.
//!
//! odhcpd writes all of it anew for every change, for DHCPv6 and DHCPv4. Since August 2020 it does so
//! beside the file and renames it; before, in place. The file is empty when nothing is leased. It
//! holds what odhcpd knows, but odhcpd does not read it: started again, it begins with no lease.

pub mod text;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::rewritten::{LeaseFile, Seen, Sense, Text};
use super::{BATCH, Remark, Source, Told};
use crate::error::{Error, Kind, Result};
use crate::record::{Place, Said};

/// The time of an end is made anew from two clocks whenever the file is written, and is a second off
/// now and then. By so much it has not moved.
const JITTER: SignedDuration = SignedDuration::from_secs(1);

/// The leases of a running odhcpd, by its state file (`leasefile`).
pub struct Odhcpd {
    path: PathBuf,
    file: LeaseFile<Room>,
    /// How long the file may be in pieces before that is worth a word.
    patience: Duration,
    /// When leases end, as it was told.
    ends: HashMap<Place, Timestamp>,
    telling: Option<Telling>,
    waiting: VecDeque<Told>,
}

/// A whole text that is being told, and how far that has come.
struct Telling {
    text: Text,
    at: usize,
    line: usize,
    ends: HashMap<Place, Timestamp>,
}

/// odhcpd renames what it has written even if there was no room for it. Then the file may be empty
/// although there are leases. So an empty file that was ever seen on a full file system is not
/// believed.
#[derive(Default)]
struct Room {
    doubted: Option<(u64, i64, i64)>,
}

impl Sense for Room {
    fn check(&mut self, text: &[u8], file: &File) -> Result<(), &'static str> {
        if !text.is_empty() {
            return Ok(());
        }
        let own = file.metadata().ok().map(|file| (file.ino(), file.mtime(), file.mtime_nsec()));
        let room = nix::sys::statvfs::fstatvfs(file).map(|room| room.blocks_available());
        if room.is_ok_and(|blocks| blocks == 0) {
            self.doubted = own;
        }
        if own.is_none() || own == self.doubted {
            return Err("it is empty, and there is or was no room for it");
        }
        Ok(())
    }

    fn learn(&mut self, _: &[u8]) {}
}

impl Odhcpd {
    /// Begins to watch the state file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new(path: &Path, patience: Duration) -> Result<Odhcpd> {
        Ok(Odhcpd {
            path: path.to_owned(),
            file: LeaseFile::new(path, Room::default())?,
            patience,
            ends: HashMap::new(),
            telling: None,
            waiting: VecDeque::new(),
        })
    }

    /// The next piece of the text that is being told.
    fn tell(&mut self, mut telling: Telling) {
        let rest = &telling.text[telling.at..];
        let end = memchr::memchr_iter(b'\n', rest).take(BATCH).last().map_or(0, |end| end + 1);
        let (mut all, mut remarks) = (Vec::with_capacity(BATCH), Vec::new());
        for line in rest[..end].split_inclusive(|byte| *byte == b'\n') {
            let read = text::read(line.strip_suffix(b"\n").unwrap_or(line));
            let at = || format!("{}:{}", self.path.display(), telling.line);
            remarks.extend(read.remark.map(|(what, weight)| Remark { at: at(), what, weight }));
            all.extend(
                read.said.into_iter().map(|said| steady(said, &self.ends, &mut telling.ends)),
            );
            telling.line += 1;
        }
        if !remarks.is_empty() {
            self.waiting.push_back(Told::Remarks(remarks));
        }
        self.waiting.push_back(Told::Said(all));
        telling.at += end;
        if telling.at == telling.text.len() || end == 0 {
            self.ends = telling.ends;
            self.waiting.push_back(Told::Whole);
        } else {
            self.telling = Some(telling);
        }
    }

    fn unknown(&self, why: Error, patience: Duration) -> Told {
        Told::Unknown { why: why.at(self.path.display()), patience }
    }

    fn late(&self, why: &str) -> Told {
        let error = Error::new(Kind::TimedOut, "read state file whole").why(why);
        let remedy = "what is leased is unknown; see that odhcpd runs and there is room";
        self.unknown(error.remedy(remedy), self.patience)
    }
}

/// What is said, with the end as it was told before if it has hardly moved.
fn steady(
    mut said: Said,
    before: &HashMap<Place, Timestamp>,
    now: &mut HashMap<Place, Timestamp>,
) -> Said {
    if let Said::Held(held) = &mut said
        && let Some(end) = &mut held.expires_at
    {
        let place = Place { address: held.address, prefix_len: held.prefix_len };
        let known = before.get(&place);
        if let Some(known) = known.filter(|known| end.duration_since(**known).abs() <= JITTER) {
            *end = *known;
        }
        now.insert(place, *end);
    }
    said
}

impl Source for Odhcpd {
    fn next(&mut self, until: Instant) -> Result<Told> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Ok(told);
            }
            if let Some(telling) = self.telling.take() {
                self.tell(telling);
                continue;
            }
            match self.file.next(until)? {
                Seen::Whole(text) => {
                    let ends = HashMap::with_capacity(self.ends.len());
                    self.telling = Some(Telling { text, at: 0, line: 1, ends });
                    return Ok(Told::Begin);
                }
                // The file is renamed into place: it will be whole in a moment.
                Seen::Part(_) => (),
                Seen::Same => return Ok(Told::Same),
                Seen::Missing(why) => {
                    let kind = match why.kind() {
                        Kind::NotPermitted => Kind::NotPermitted,
                        _ => Kind::Unavailable,
                    };
                    let remedy = "what is leased is unknown, so no lease ends by this";
                    let why = Error::new(kind, why).remedy(remedy);
                    return Ok(self.unknown(why, Duration::ZERO));
                }
                Seen::Torn(why) => return Ok(self.late(why)),
                Seen::Changing => return Ok(self.late("it does not come to rest")),
            }
        }
    }

    fn look_again(&mut self) {
        self.file.look_again();
    }
}

#[cfg(test)]
mod tests;
