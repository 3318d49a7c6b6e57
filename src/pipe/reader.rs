//! Reading records: NDJSON, JSON arrays and pretty-printed JSON, with the number of the line.
//!
//! A record is found by its braces before it is parsed, so a stream of any length is read in
//! bounded memory and a broken record costs itself alone. Two rules make that possible. A record
//! that is longer than [`LONGEST`] is refused. And outside an array a `{` in the first column
//! begins a record, whatever came before: a record that lost its tail does not swallow the next.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::scan::{Extent, Scan};
use super::writer::input_comes;
use crate::error::{Doing, Error, Kind, Result};
use crate::record::{Object, Record};

/// The longest record in bytes.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// Bytes that are asked for at a time.
const CHUNK: usize = 128 * 1024;

/// One thing that was found in the input.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "records are handled one at a time")]
pub enum Found {
    /// A record, and the line that it began on, counted from 1.
    Record(u64, Record),
    /// Something that is no record; the error tells where and why. Reading can go on.
    Bad(Error),
    /// The end of the input.
    End,
}

/// Finds records in a stream of bytes.
pub struct Reader<R = File> {
    from: R,
    name: String,
    bytes: Vec<u8>,
    /// Where in `bytes` the part begins that is not used yet.
    start: usize,
    /// The line that `start` is on.
    line: u64,
    ended: bool,
    /// Whether a line that is too long is being passed over.
    skipping: bool,
    scan: Scan,
    arrays_closed: u64,
    loose: u64,
    /// Blocks until there is something to read, or no use in reading.
    wait: fn() -> Result<()>,
}

impl Reader<File> {
    /// A reader of standard input, which stops as well when nobody reads standard output any more.
    pub fn stdin() -> Result<Reader> {
        let fd = io::stdin().as_fd().try_clone_to_owned().doing("read standard input")?;
        Ok(Reader { wait: input_comes, ..Reader::new(File::from(fd), "stdin") })
    }

    /// A reader of a file, a named pipe, or `-` for standard input.
    pub fn open(path: &Path) -> Result<Reader> {
        if path == Path::new("-") {
            return Reader::stdin();
        }
        let name = path.display().to_string();
        let file = File::open(path).doing(format_args!("open {name}"))?;
        Ok(Reader::new(file, &name))
    }
}

impl<R: Read> Reader<R> {
    /// A reader of `from`, called `name` in errors.
    pub fn new(from: R, name: &str) -> Reader<R> {
        Reader {
            from,
            name: name.to_owned(),
            bytes: Vec::new(),
            start: 0,
            line: 1,
            ended: false,
            skipping: false,
            scan: Scan::default(),
            arrays_closed: 0,
            loose: 0,
            wait: || Ok(()),
        }
    }

    /// What the input is called in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the input, read to its end, was a JSON array: its bracket says that it is whole.
    pub fn is_closed_array(&self) -> bool {
        self.ended && self.arrays_closed > 0 && self.loose == 0 && !self.scan.in_array()
    }

    /// The next record. Calls `before_wait` whenever it has to ask for more input.
    ///
    /// # Errors
    /// When the input cannot be read, or `before_wait` fails. What is wrong with one record is
    /// [`Found::Bad`].
    pub fn read(&mut self, before_wait: &mut dyn FnMut() -> Result<()>) -> Result<Found> {
        loop {
            if self.skipping && !self.skip_line() {
                if self.ended {
                    return Ok(Found::End);
                }
                before_wait()?;
                self.fill()?;
                continue;
            }
            let extent = self.scan.next(&self.bytes[self.start..], self.ended);
            match extent {
                Extent::Record { skip, len } => {
                    self.advance(skip);
                    let found = self.record(len);
                    self.advance(len);
                    return Ok(found);
                }
                Extent::ArrayEnd { skip } => {
                    self.advance(skip);
                    self.arrays_closed += 1;
                }
                Extent::Broken { skip, why } => {
                    self.advance(skip);
                    let bad = self.bad(why);
                    self.loose += 1;
                    self.skipping = true;
                    return Ok(Found::Bad(bad));
                }
                Extent::Cut { skip, len, why } => {
                    self.advance(skip);
                    let bad = self.bad(why);
                    self.advance(len);
                    self.loose += 1;
                    return Ok(Found::Bad(bad));
                }
                Extent::End { skip } => {
                    self.advance(skip);
                    return Ok(Found::End);
                }
                Extent::More { .. } if self.bytes.len() - self.start > LONGEST => {
                    let bad = self.bad("record is longer than 16 MiB");
                    self.scan.abandon();
                    self.loose += 1;
                    self.skipping = true;
                    return Ok(Found::Bad(bad));
                }
                Extent::More { skip } => {
                    self.advance(skip);
                    before_wait()?;
                    self.fill()?;
                }
            }
        }
    }

    /// The record in the next `len` bytes.
    fn record(&mut self, len: usize) -> Found {
        if !self.scan.in_array() {
            self.loose += 1;
        }
        let bytes = &self.bytes[self.start..self.start + len];
        let record = std::str::from_utf8(bytes)
            .map_err(|e| e.to_string())
            .and_then(|text| Object::parse(text).map_err(|e| syntax(&e)))
            .and_then(Record::try_from);
        match record {
            Ok(record) => Found::Record(self.line, record),
            Err(why) => Found::Bad(self.bad(&why)),
        }
    }

    fn bad(&self, why: &str) -> Error {
        Error::new(Kind::BadInput, why)
            .remedy("record skipped")
            .at(format_args!("{}:{}", self.name, self.line))
    }

    /// Passes over `len` bytes and counts their lines.
    fn advance(&mut self, len: usize) {
        let passed = &self.bytes[self.start..self.start + len];
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.start += len;
    }

    /// Passes over the rest of a line that is of no use; whether its end was found.
    fn skip_line(&mut self) -> bool {
        let rest = &self.bytes[self.start..];
        match memchr::memchr(b'\n', rest) {
            Some(at) => {
                self.advance(at + 1);
                self.skipping = false;
                true
            }
            None => {
                self.start = self.bytes.len();
                false
            }
        }
    }

    /// Reads more, after making room by dropping what is used.
    fn fill(&mut self) -> Result<()> {
        (self.wait)()?;
        self.bytes.drain(..self.start);
        self.start = 0;
        let filled = self.bytes.len();
        self.bytes.resize(filled + CHUNK, 0);
        let got = loop {
            match self.from.read(&mut self.bytes[filled..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => (),
                other => break other,
            }
        };
        self.bytes.truncate(filled + *got.as_ref().unwrap_or(&0));
        match got {
            Ok(0) => self.ended = true,
            Ok(_) => (),
            Err(e) => {
                let why = Error::io(format_args!("read {}", self.name), &e);
                let io = Error::new(Kind::Io, format_args!("read {}", self.name)).why(&e);
                return Err(if why.kind() == Kind::NotPermitted { why } else { io });
            }
        }
        Ok(())
    }
}

/// A parser's message with the column, when the record is on one line.
fn syntax(why: &serde_json::Error) -> String {
    let text = why.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("not a JSON object: {what} at column {column}"),
        None => format!("not a JSON object: {text}"),
    }
}
