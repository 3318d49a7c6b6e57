//! dnsmasq's lease file, as a source of leases.
//!
//! dnsmasq writes all of it anew for every change, and most of it is then as it was. So two texts
//! are compared from both ends first, and only the lines in between are read.

pub mod text;

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::rewritten::{LeaseFile, Seen, Sense, Text};
use super::{BATCH, Remark, Source, Told};
use crate::error::{Error, Kind, Result};
use crate::record::{Place, Said};

/// If more bytes than these have changed, everything is told anew.
const MUCH: usize = 64 * 1024;

/// The leases of a running dnsmasq, by its lease file.
pub struct Dnsmasq {
    path: PathBuf,
    file: LeaseFile<ServerDuid>,
    /// How long the file may be in pieces before that is worth a word.
    patience: Duration,
    /// The text that was last told of.
    before: Option<Text>,
    /// Whether the next whole text is to be told anew, and not by what differs.
    anew: bool,
    /// Places that were told of from readings that may not have been whole.
    ahead: Vec<Place>,
    waiting: VecDeque<Told>,
    telling: Option<Telling>,
}

/// The line with the server's own DUID, which is there from a DHCPv6 server's first start on. So the
/// file of such a server is never empty. With DHCPv4 alone it is empty when nothing is leased, which
/// cannot be told from a torn one and is not believed.
#[derive(Default)]
pub struct ServerDuid {
    /// Whether it was ever there.
    pub was_seen: bool,
}

impl Sense for ServerDuid {
    fn check(&mut self, text: &[u8], _: &File) -> Result<(), &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if self.was_seen && !text::has_server_duid(text) {
            return Err("the line with the server's DUID is missing");
        }
        Ok(())
    }

    fn learn(&mut self, text: &[u8]) {
        self.was_seen |= text::has_server_duid(text);
    }
}

/// A whole text that is being told, and how far that has come.
struct Telling {
    text: Text,
    at: usize,
    line: usize,
    is_clean: bool,
}

impl Dnsmasq {
    /// Begins to watch the lease file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new(path: &Path, patience: Duration) -> Result<Dnsmasq> {
        Ok(Dnsmasq {
            path: path.to_owned(),
            file: LeaseFile::new(path, ServerDuid::default())?,
            patience,
            before: None,
            anew: true,
            ahead: Vec::new(),
            waiting: VecDeque::new(),
            telling: None,
        })
    }

    fn whole(&mut self, text: Text) {
        let before = self.before.take().filter(|_| !self.anew);
        let news = before.and_then(|before| self.news(&before, &text));
        self.ahead.clear();
        match news {
            Some(news) => {
                self.before = Some(text);
                self.waiting.push_back(Told::Said(news));
            }
            None => {
                self.waiting.push_back(Told::Begin);
                self.telling = Some(Telling { text, at: 0, line: 1, is_clean: true });
            }
        }
    }

    /// What has become of leases from one text to the next, if that can be told by single lines.
    fn news(&self, before: &[u8], now: &[u8]) -> Option<Vec<Said>> {
        let (old, new) = changed(before, now);
        if old.len() + new.len() > MUCH {
            return None;
        }
        let mut news = said(new)?;
        let still: Vec<Place> = places(&news).collect();
        // A line that was told of ahead, and is not here, stands somewhere else or nowhere.
        if !self.ahead.iter().all(|place| still.contains(place)) {
            return None;
        }
        let gone = said(old)?;
        let gone = places(&gone).filter(|place| !still.contains(place));
        news.splice(..0, gone.map(Said::Gone));
        Some(news)
    }

    /// Leases that are new in a text from which others may be missing.
    fn part(&mut self, text: &[u8]) {
        let Some(before) = &self.before else { return };
        let (_, new) = changed(before, text);
        // Of a large piece it would take longer to tell than until the file is whole.
        let news = Some(new).filter(|new| new.len() <= MUCH).and_then(said);
        if let Some(news) = news {
            self.ahead.extend(places(&news));
            self.waiting.push_back(Told::Said(news));
        }
    }

    /// The next piece of the text that is being told.
    fn tell(&mut self, mut telling: Telling) {
        let rest = &telling.text[telling.at..];
        let end = memchr::memchr_iter(b'\n', rest).take(BATCH).last().map_or(0, |end| end + 1);
        let (mut all, mut remarks) = (Vec::with_capacity(BATCH), Vec::new());
        for line in text::read(&rest[..end]) {
            telling.is_clean &= !matches!(line.said, Some(Said::Unreadable(_)));
            all.extend(line.said);
            remarks.extend(line.remark.map(|remark| Remark {
                at: format!("{}:{}", self.path.display(), telling.line + remark.line - 1),
                what: remark.what,
                weight: remark.weight,
            }));
        }
        if !remarks.is_empty() {
            self.waiting.push_back(Told::Remarks(remarks));
        }
        telling.at += end;
        telling.line += BATCH;
        let is_over = telling.at == telling.text.len() || end == 0;
        self.waiting.push_back(Told::Said(all));
        if is_over {
            self.before = Some(telling.text);
            self.anew = !telling.is_clean;
            self.waiting.push_back(Told::Whole);
        } else {
            self.telling = Some(telling);
        }
    }

    /// The file cannot be read. When it can be again, everything is told anew.
    fn unknown(&mut self, why: Error, patience: Duration) -> Told {
        self.anew = true;
        Told::Unknown { why: why.at(self.path.display()), patience }
    }

    fn late(&mut self, why: &str) -> Told {
        let error = Error::new(Kind::TimedOut, "read lease file whole").why(why);
        let remedy = "what is leased is unknown; see that dnsmasq runs and its disk has room";
        self.unknown(error.remedy(remedy), self.patience)
    }
}

impl Source for Dnsmasq {
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
                Seen::Whole(text) => self.whole(text),
                Seen::Part(text) => self.part(&text),
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
        self.anew = true;
        self.file.look_again();
    }
}

/// The lines in which two texts differ: what is left of each without the whole lines that both begin
/// with, and those that both end with.
fn changed<'a>(before: &'a [u8], now: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let same = length_of_same(before.chunks(4096), now.chunks(4096), |one, other| {
        one.iter().zip(other).take_while(|(one, other)| one == other).count()
    });
    let start = memchr::memrchr(b'\n', &before[..same]).map_or(0, |end| end + 1);
    let (before, now) = (&before[start..], &now[start..]);
    let same = length_of_same(before.rchunks(4096), now.rchunks(4096), |one, other| {
        let pairs = one.iter().rev().zip(other.iter().rev());
        pairs.take_while(|(one, other)| one == other).count()
    });
    // The first line of what both end with may be whole in one of them alone.
    let tail = &before[before.len() - same..];
    let end = memchr::memchr(b'\n', tail).map_or(0, |end| tail.len() - end - 1);
    (&before[..before.len() - end], &now[..now.len() - end])
}

/// How many bytes are the same, comparing piece by piece.
fn length_of_same<'a>(
    one: impl Iterator<Item = &'a [u8]>,
    other: impl Iterator<Item = &'a [u8]>,
    within: impl Fn(&[u8], &[u8]) -> usize,
) -> usize {
    let mut same = 0;
    for (one, other) in one.zip(other) {
        if one != other {
            return same + within(one, other);
        }
        same += one.len();
    }
    same
}

/// What lines say, if all of them can be read and there is nothing to be told about any.
fn said(lines: &[u8]) -> Option<Vec<Said>> {
    let mut all = Vec::new();
    for line in text::read(lines) {
        if line.remark.is_some() {
            return None;
        }
        all.extend(line.said);
    }
    Some(all)
}

fn places(said: &[Said]) -> impl Iterator<Item = Place> {
    said.iter().filter_map(|said| match said {
        Said::Held(held) => Some(held.place()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
