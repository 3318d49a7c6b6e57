//! Kea's lease file, the database type `memfile`.
//!
//! Kea appends a row for each change, written in one piece before it answers the client. Every
//! `lfc-interval` it renames `FILE` to `FILE.1` and begins a new `FILE`; a program of its own,
//! kea-lfc, then reads `FILE.2` and `FILE.1`, writes what still counts to `FILE.output`, renames that
//! to `FILE.completed`, deletes the two that it has read, and renames `FILE.completed` to `FILE.2`.
//! At any moment all leases are in `FILE.completed`, or without it in `FILE.2` and `FILE.1`, and
//! then in `FILE`; Kea itself loads them in that order. Each file begins with the names of its
//! columns, so even a database without a lease is not empty.

mod columns;
mod row;

use std::path::{Path, PathBuf};

use self::columns::Columns;
use self::row::Prefixes;
use super::appended::{Appended, Batch, Form, LONGEST, Line};
use super::{Remark, Weight};
use crate::error::{Error, Kind, Result};
use crate::record::Said;

/// The leases of a Kea server, DHCPv6 or DHCPv4, with a lease database of type `memfile`.
pub type Kea = Appended<Memfile>;

impl Kea {
    /// Begins to watch the lease file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn open(path: &Path) -> Result<Kea> {
        Appended::new(path, Memfile::default())
    }
}

/// How Kea writes its leases down.
#[derive(Default)]
pub struct Memfile {
    path: PathBuf,
    columns: Option<Columns>,
    prefixes: Prefixes,
}

impl Form for Memfile {
    const OLDER: &'static [&'static [&'static str]] = &[&[".completed"], &[".2", ".1"]];

    fn begin(&mut self) {
        self.prefixes = Prefixes::default();
    }

    fn file(&mut self, path: &Path) {
        self.path = path.to_owned();
        self.columns = None;
    }

    fn line(&mut self, number: usize, line: Line, out: &mut Batch) -> Result<()> {
        let line = match line {
            Line::Text(line) => line,
            Line::TooLong(_) if self.columns.is_none() => {
                return Err(self.not_understood(format!("it has more than {LONGEST} bytes")));
            }
            Line::TooLong(print) => {
                let what = format!("a row of more than {LONGEST} bytes; passed over");
                self.remark(number, what, Weight::Refused, out);
                out.said.push(Said::Unreadable(print));
                return Ok(());
            }
        };
        let Some(columns) = &self.columns else {
            let columns = Columns::read(line).map_err(|why| self.not_understood(why))?;
            self.columns = Some(columns);
            return Ok(());
        };
        let remark = row::read(line, columns, &mut self.prefixes, &mut out.said);
        if let Some((what, weight)) = remark {
            self.remark(number, what, weight, out);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        match self.columns {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::Unavailable, "read lease file")
                .why(format!("\"{}\" has not even a first line", self.name()))),
        }
    }
}

impl Memfile {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().display().to_string()
    }

    fn not_understood(&self, why: String) -> Error {
        let what = format!("read the first line of \"{}\"", self.name());
        Error::new(Kind::BadInput, what).why(why)
    }

    fn remark(&self, number: usize, what: String, weight: Weight, out: &mut Batch) {
        out.remarks.push(Remark { at: format!("{}:{number}", self.path.display()), what, weight });
    }
}

#[cfg(test)]
mod tests;
