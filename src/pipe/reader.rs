//! Reading records: NDJSON, JSON arrays and pretty-printed JSON, with the number of the line.
//!
//! A record is found by its braces before it is parsed, so a stream of any length is read in
//! bounded memory and a broken record costs itself alone. Two rules make that possible. A record
//! that is longer than [`LONGEST`] is refused. And outside an array a `{` in the first column
//! begins a record, whatever came before: a record that lost its tail does not swallow the next.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::scan::{Extent, Scan};
use super::writer::input_comes;
use crate::error::{Doing, Error, Kind, Result};
use crate::record::Record;

/// The longest record in bytes.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// Bytes that are asked for at a time.
const CHUNK: usize = 128 * 1024;

/// One thing that was found in the input.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "records are handled one at a time")]
pub enum Found<T = Record> {
    /// A record, and the line that it began on, counted from 1.
    Record(u64, T),
    /// Something that is no record; the error tells where and why. Reading can go on.
    Bad(Error),
    /// The end of the input.
    End,
}

/// Finds records in a stream of bytes.
pub struct Reader<R = File> {
    from: R,
    name: String,
    /// What is read into, kept so that it is made ready once.
    chunk: Box<[u8]>,
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
            chunk: vec![0; CHUNK].into(),
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
        self.read_as(before_wait, &mut Record::parse)
    }

    /// The next record as what `parse` makes of its text, which is one line of JSON, or else of what
    /// `parse` says is wrong with it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_as<T>(
        &mut self,
        before_wait: &mut dyn FnMut() -> Result<()>,
        parse: &mut dyn FnMut(&str) -> Result<T, String>,
    ) -> Result<Found<T>> {
        loop {
            if self.skipping && !self.skip_line() {
                if self.ended {
                    return Ok(Found::End);
                }
                before_wait()?;
                self.fill()?;
                continue;
            }
            if let Some(found) = self.line_as(parse) {
                return Ok(found);
            }
            let extent = self.scan.next(&self.bytes[self.start..], self.ended);
            match extent {
                Extent::Record { skip, len } => {
                    self.advance(skip);
                    let found = self.record_as(len, parse);
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

    /// The record that the next line is, if it is one as it stands; whatever else it may be is for
    /// the scan to find out. What parses as one JSON object has its braces in order.
    fn line_as<T>(&mut self, parse: &mut dyn FnMut(&str) -> Result<T, String>) -> Option<Found<T>> {
        let rest = &self.bytes[self.start..];
        let at = self.scan.line(rest)?;
        let text = std::str::from_utf8(&rest[at.clone()]).ok()?;
        let record = parse(text.trim_ascii_end()).ok()?;
        self.advance(at.start);
        let line = self.line;
        self.start += at.len() + 1;
        self.line += 1;
        self.loose += 1;
        Some(Found::Record(line, record))
    }

    /// The record in the next `len` bytes.
    fn record_as<T>(
        &mut self,
        len: usize,
        parse: &mut dyn FnMut(&str) -> Result<T, String>,
    ) -> Found<T> {
        if !self.scan.in_array() {
            self.loose += 1;
        }
        let bytes = &self.bytes[self.start..self.start + len];
        let record = std::str::from_utf8(bytes)
            .map_err(|e| e.to_string())
            .and_then(|text| parse(&one_line(text)));
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
        let got = loop {
            match self.from.read(&mut self.chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => (),
                other => break other,
            }
        };
        match got {
            Ok(0) => self.ended = true,
            Ok(count) => self.bytes.extend_from_slice(&self.chunk[..count]),
            Err(e) => {
                let why = Error::io(format_args!("read {}", self.name), &e);
                let io = Error::new(Kind::Io, format_args!("read {}", self.name)).why(&e);
                return Err(if why.kind() == Kind::NotPermitted { why } else { io });
            }
        }
        Ok(())
    }
}

/// A record that was written on several lines, without the blanks between its parts.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            _ => (),
        }
        line.push(c);
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_on_several_lines_is_put_on_one() {
        let text = "{\n  \"a b\": [\n 1,\t2 ],\r\n \"c\\\" \": \"\\\\\" }";
        assert_eq!(one_line(text), r#"{"a b":[1,2],"c\" ":"\\"}"#);
        assert_eq!(one_line("{ \"a\": 1 }"), "{ \"a\": 1 }");
    }

    /// All that a reader finds when it gets its input in pieces of `size` bytes.
    fn found(text: &str, size: usize) -> Vec<String> {
        struct Pieces<'a>(&'a [u8], usize);
        impl Read for Pieces<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let size = self.1.min(to.len());
                (&mut self.0).take(size as u64).read(to)
            }
        }
        let mut reader = Reader::new(Pieces(text.as_bytes(), size), "x");
        let mut all = Vec::new();
        let mut parse = |text: &str| match crate::record::Object::parse(text) {
            Ok(object) => Ok(object.as_json().to_owned()),
            Err(why) => Err(why.to_string()),
        };
        loop {
            match reader.read_as(&mut || Ok(()), &mut parse).unwrap() {
                Found::Record(line, text) => all.push(format!("{line} {text}")),
                Found::Bad(why) => all.push(why.to_string()),
                Found::End => return all,
            }
        }
    }

    #[test]
    fn a_line_and_the_same_in_pieces_are_the_same() {
        let text = "{\"a\":1}\n{\"b\":[1,\n2]}\r\n{\"c\":\"}\"}\r\n  {\"d\":1}\n{\"e\":}\n\
                    {\"f\":1}{\"g\":1}\n[{\"h\":1},\n{\"i\":2}]\n{\"j\":1}";
        let whole = found(text, 1 << 20);
        assert_eq!(whole.len(), 10, "{whole:?}");
        for size in [1, 2, 3, 7, 16] {
            assert_eq!(found(text, size), whole, "in pieces of {size}");
        }
    }
}
