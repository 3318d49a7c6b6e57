//! Where in a piece of text the next record lies, by its braces alone.

use std::ops::Range;

/// What the next bytes are. `skip` counts the bytes before it that are of no account.
#[derive(Debug, PartialEq, Eq)]
pub enum Extent {
    /// A whole record of `len` bytes.
    Record {
        /// Bytes before it.
        skip: usize,
        /// Bytes of it.
        len: usize,
    },
    /// The bracket that closes an array has been passed.
    ArrayEnd {
        /// Bytes up to and with it.
        skip: usize,
    },
    /// Something that is no record; the rest of its line is of no use.
    Broken {
        /// Bytes before it.
        skip: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A record that stops after `len` bytes without being whole; the next begins right there.
    Cut {
        /// Bytes before it.
        skip: usize,
        /// Bytes of it.
        len: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// Nothing more.
    End {
        /// Bytes before the end.
        skip: usize,
    },
    /// More input is needed to tell.
    More {
        /// Bytes that are of no account whatever comes.
        skip: usize,
    },
}

/// Where the text stands with regard to an array around the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Around {
    #[default]
    Nothing,
    /// A bracket was opened, or a comma passed.
    BeforeValue,
    /// A record in an array was passed.
    BehindValue,
}

/// How far the record at hand has been looked through, so that no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    seen: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

/// The state between two pieces of input.
#[derive(Debug, Default)]
pub struct Scan {
    around: Around,
    /// Whether the input has been looked at before: a byte order mark stands only at its start.
    begun: bool,
    progress: Progress,
}

const CUT: &str = "record is cut off: a brace or quote is not closed";

impl Scan {
    /// Whether an array is open.
    pub fn in_array(&self) -> bool {
        self.around != Around::Nothing
    }

    /// Forgets the record at hand.
    pub fn abandon(&mut self) {
        self.progress = Progress::default();
        self.around = Around::Nothing;
    }

    /// Where in `text` the next line is that is not blank, without its end, when that is all there may
    /// be to a record: outside an array, from one brace to another.
    pub fn line(&mut self, text: &[u8]) -> Option<Range<usize>> {
        if self.progress.seen > 0 || self.in_array() {
            return None;
        }
        let start = text.len() - text.trim_ascii_start().len();
        let line = &text[start..];
        if line.first() != Some(&b'{') {
            return None;
        }
        let len = memchr::memchr(b'\n', line)?;
        let is_whole = line[..len].trim_ascii_end().ends_with(b"}");
        self.begun |= is_whole;
        is_whole.then_some(start..start + len)
    }

    /// Looks at `text`, which begins where the last extent ended; `ended` says that no more comes.
    pub fn next(&mut self, text: &[u8], ended: bool) -> Extent {
        if self.progress.seen > 0 {
            return self.record(text, 0, ended);
        }
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if !self.begun && !ended && text.len() < MARK.len() && MARK.starts_with(text) {
            return Extent::More { skip: 0 };
        }
        let mut at = if !self.begun && text.starts_with(MARK) { MARK.len() } else { 0 };
        self.begun = true;
        while at < text.len() {
            match (text[at], self.around) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => at += 1,
                (b'{', Around::Nothing | Around::BeforeValue) => {
                    return self.record(&text[at..], at, ended);
                }
                (b'[', Around::Nothing) => {
                    self.around = Around::BeforeValue;
                    at += 1;
                }
                (b',', Around::BehindValue) => {
                    self.around = Around::BeforeValue;
                    at += 1;
                }
                (b']', Around::BeforeValue | Around::BehindValue) => {
                    self.around = Around::Nothing;
                    return Extent::ArrayEnd { skip: at + 1 };
                }
                (_, around) => {
                    self.around = Around::Nothing;
                    let why = match around {
                        Around::Nothing => "not a JSON object",
                        _ => "array of records is broken: the rest of it is left out",
                    };
                    return Extent::Broken { skip: at, why };
                }
            }
        }
        match (ended, self.in_array()) {
            (false, _) => Extent::More { skip: at },
            (true, false) => Extent::End { skip: at },
            (true, true) => {
                self.around = Around::Nothing;
                Extent::Cut { skip: at, len: 0, why: "array of records is cut off" }
            }
        }
    }

    /// The record that begins with `text`, `skip` bytes into the piece at hand.
    fn record(&mut self, text: &[u8], skip: usize, ended: bool) -> Extent {
        let mut p = self.progress;
        while p.seen < text.len() {
            if p.in_string && !p.escaped {
                let rest = &text[p.seen..];
                p.seen += memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
                if p.seen == text.len() {
                    break;
                }
            }
            let byte = text[p.seen];
            p.seen += 1;
            if p.in_string {
                match byte {
                    _ if p.escaped => p.escaped = false,
                    b'\\' => p.escaped = true,
                    b'"' => p.in_string = false,
                    _ => return self.cut(skip, p.seen),
                }
                continue;
            }
            match byte {
                b'"' => p.in_string = true,
                b'{' | b'[' => p.depth += 1,
                b'}' | b']' => p.depth -= 1,
                b'\n' if text.get(p.seen) == Some(&b'{') && !self.in_array() => {
                    return self.cut(skip, p.seen);
                }
                b'\n' if p.seen == text.len() && !ended => {
                    // The next byte decides; this one is looked at again with it.
                    p.seen -= 1;
                    break;
                }
                _ => (),
            }
            if p.depth == 0 {
                self.progress = Progress::default();
                if self.in_array() {
                    self.around = Around::BehindValue;
                }
                return Extent::Record { skip, len: p.seen };
            }
        }
        if ended {
            return self.cut(skip, text.len());
        }
        self.progress = p;
        Extent::More { skip }
    }

    fn cut(&mut self, skip: usize, len: usize) -> Extent {
        self.abandon();
        Extent::Cut { skip, len, why: CUT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records and complaints in `text`, handed over in pieces of `size` bytes.
    fn extents(text: &str, size: usize) -> Vec<String> {
        let (mut scan, mut found) = (Scan::default(), Vec::new());
        let (mut have, mut start) = (0, 0);
        loop {
            let ended = have == text.len();
            match scan.next(&text.as_bytes()[start..have], ended) {
                Extent::Record { skip, len } => {
                    found.push(text[start + skip..start + skip + len].to_owned());
                    start += skip + len;
                }
                Extent::ArrayEnd { skip } => {
                    found.push("]".to_owned());
                    start += skip;
                }
                Extent::Cut { skip, len, .. } => {
                    found.push("cut".to_owned());
                    start += skip + len;
                }
                Extent::Broken { skip, .. } => {
                    found.push("broken".to_owned());
                    let rest = &text[start + skip..];
                    start += skip + rest.find('\n').map_or(rest.len(), |at| at + 1);
                    have = have.max(start);
                }
                Extent::More { skip } => {
                    start += skip;
                    have = text.len().min(have + size);
                }
                Extent::End { .. } => return found,
            }
        }
    }

    fn check(text: &str, want: &[&str]) {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(extents(text, size), want, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn lines_arrays_and_pretty_printed_records_are_found() {
        check("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]);
        check("\u{feff}{\"a\":1}{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]);
        check("{\n  \"a\": {\n    \"b\": 1\n  }\n}\n", &["{\n  \"a\": {\n    \"b\": 1\n  }\n}"]);
        check("[{\"a\":1},\n{\"b\":2}\n]\n{}", &["{\"a\":1}", "{\"b\":2}", "]", "{}"]);
        check("[]", &["]"]);
        check(" \n", &[]);
    }

    #[test]
    fn braces_in_strings_do_not_count() {
        check(r#"{"a":"}{\"]","b":"\\"}"#, &[r#"{"a":"}{\"]","b":"\\"}"#]);
    }

    #[test]
    fn a_broken_record_does_not_take_its_neighbour_along() {
        check("{\"a\":\n{\"b\":2}\n", &["cut", "{\"b\":2}"]);
        check("{\"a\":\"x\n{\"b\":2}\n", &["cut", "{\"b\":2}"]);
        check("junk {}\n{\"b\":2}", &["broken", "{\"b\":2}"]);
        check("}\n{\"b\":2}", &["broken", "{\"b\":2}"]);
        check("{\"b\":2}\n{\"c\"", &["{\"b\":2}", "cut"]);
        check("[{\"a\":1}\n", &["{\"a\":1}", "cut"]);
        check("[{\"a\":1} x\n{\"b\":2}\n", &["{\"a\":1}", "broken", "{\"b\":2}"]);
    }
}
