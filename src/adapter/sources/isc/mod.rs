//! The lease file of ISC dhcpd, for DHCPv6 and for DHCPv4; see dhcpd.leases(5).
//!
//! dhcpd appends a block for each change, written in one piece before it answers the client. Once
//! an hour, and at each start, it writes what still counts to another file, which it renames over
//! this one when it is whole and on disk. So all leases are in this file at any moment.
//!
//! For DHCPv6 a block is one identity association, with all its addresses or prefixes: those that
//! an earlier block of the same association had, and a later one has not, are leased no more. For
//! DHCPv4 a block is one address. In both the last word on an address counts.

mod block;
mod former;
mod statements;
mod tokens;

use std::path::{Path, PathBuf};

use self::block::{Association, Became, Block};
use self::former::Former;
use self::statements::{Statement, Statements};
use super::appended::{Appended, Batch, Form, Line, print};
use super::{Remark, Weight, quoted};
use crate::error::{Error, Kind, Result};
use crate::record::{Place, Said};

/// The leases of an ISC dhcpd, DHCPv6 or DHCPv4.
pub type Isc = Appended<LeaseFile>;

impl Isc {
    /// Begins to watch the lease file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn open(path: &Path) -> Result<Isc> {
        Appended::new(path, LeaseFile::default())
    }
}

/// How dhcpd writes its leases down.
#[derive(Default)]
pub struct LeaseFile {
    path: PathBuf,
    statements: Statements,
    /// Whether the numbers in the file have their highest byte first.
    big_endian: bool,
    /// Whether the file has said anything yet.
    has_spoken: bool,
    former: Former,
}

impl Form for LeaseFile {
    const OLDER: &'static [&'static [&'static str]] = &[];

    fn begin(&mut self) {
        self.former = Former::default();
    }

    fn file(&mut self, path: &Path) {
        self.path = path.to_owned();
        self.statements = Statements::default();
        // What a file without a word on it was written by is this machine, most likely.
        self.big_endian = cfg!(target_endian = "big");
        self.has_spoken = false;
    }

    fn line(&mut self, number: usize, line: Line, out: &mut Batch) -> Result<()> {
        let mut statements = std::mem::take(&mut self.statements);
        statements.add(number, line, |statement| self.statement(statement, out));
        self.statements = statements;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.has_spoken {
            return Ok(());
        }
        Err(Error::new(Kind::Unavailable, "read lease file")
            .why("it does not say by whom it was written, as dhcpd's does when nothing is leased"))
    }
}

impl LeaseFile {
    fn statement(&mut self, statement: Statement, out: &mut Batch) {
        let (text, number) = match statement {
            Statement::Whole { text, line } => {
                self.has_spoken = true;
                (text, line)
            }
            Statement::Broken { text, line, why } => {
                return self.broken(line, text, why, out);
            }
        };
        match block::read(text, self.big_endian) {
            Ok(Block::ByteOrder { big_endian }) => self.big_endian = big_endian,
            Ok(Block::Other) => (),
            Ok(Block::Association(association)) => self.association(number, association, out),
            Ok(Block::Lease(place, became)) => self.became(number, place, became, out),
            Err(why) => self.broken(number, text, why, out),
        }
    }

    fn association(&mut self, number: usize, association: Association, out: &mut Batch) {
        let Association { id, places } = association;
        let mentioned = places.iter().map(|(place, _)| *place).collect();
        let is_kept = |became: &_| !matches!(became, Ok(Became::Ended(_)));
        let kept = places.iter().filter(|(_, became)| is_kept(became)).map(|(place, _)| *place);
        for place in self.former.supersede(id, mentioned, kept.collect()) {
            out.said.push(Said::Gone(place));
        }
        for (place, became) in places {
            self.became(number, place, became, out);
        }
    }

    fn became(
        &mut self,
        number: usize,
        place: Place,
        became: Result<Became, String>,
        out: &mut Batch,
    ) {
        let (said, told) = match became {
            Ok(Became::Held(held, note)) => {
                (Said::Held(held), note.map(|note| (note, Weight::Note)))
            }
            Ok(Became::Ended(event)) => (Said::Ended(place, event), None),
            Ok(Became::Refused(what)) => (Said::Gone(place), Some((what, Weight::Refused))),
            Err(what) => (Said::Doubtful(place), Some((what, Weight::Refused))),
        };
        out.said.push(said);
        if let Some((what, weight)) = told {
            self.remark(number, what, weight, out);
        }
    }

    /// A block that cannot be understood leaves in doubt what it names, and what its association
    /// had before.
    fn broken(&mut self, number: usize, text: &[u8], why: String, out: &mut Batch) {
        let named = block::named(text);
        let mut places = named.places;
        places.extend(named.id.map(|id| self.former.of(id)).unwrap_or_default());
        self.remark(number, format!("{why} in {}", quoted(text)), Weight::Refused, out);
        if places.is_empty() {
            out.said.push(Said::Unreadable(print(text)));
        }
        out.said.extend(places.into_iter().map(Said::Doubtful));
    }

    fn remark(&self, number: usize, what: String, weight: Weight, out: &mut Batch) {
        out.remarks.push(Remark { at: format!("{}:{number}", self.path.display()), what, weight });
    }
}

#[cfg(test)]
mod tests;
