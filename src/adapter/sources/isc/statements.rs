//! Lines become statements: up to a semicolon that stands in no block, or to the end of a block.

use super::tokens::end_of_text;
use crate::adapter::sources::appended::{LONGEST, Line};

/// What a line at whose very beginning it stands begins in any case. dhcpd indents all that stands
/// in a block, so a block that is still open there was never finished.
const BEGINNINGS: [&[u8]; 5] = [b"ia-na ", b"ia-ta ", b"ia-pd ", b"lease ", b"server-duid "];

/// One statement, without the comments in it, and the number of the line in which it begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Statement<'a> {
    /// All of it.
    Whole {
        /// Its text.
        text: &'a [u8],
        /// Where it begins.
        line: usize,
    },
    /// What there is of one without end.
    Broken {
        /// Its text.
        text: &'a [u8],
        /// Where it begins.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The statement that is being read.
#[derive(Debug, Default)]
pub struct Statements {
    text: Vec<u8>,
    line: usize,
    depth: u32,
    /// What is wrong with it.
    wrong: Option<String>,
    /// Whether it is hopeless, and lines are passed over up to the next that begins one anew.
    is_lost: bool,
}

impl Statements {
    /// Takes the next line, and hands out what statements it ends.
    pub fn add(&mut self, number: usize, line: Line, mut out: impl FnMut(Statement)) {
        let line = match line {
            Line::Text(line) => line,
            Line::TooLong(name) => {
                let why = format!("a line of more than {LONGEST} bytes");
                // So that two of them are told apart by whoever remembers the text.
                self.text(number, format!("{name:x}").as_bytes());
                return self.give_up(why, &mut out);
            }
        };
        if BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
            if !self.text.is_empty() {
                self.give_up("no end".to_owned(), &mut out);
            }
            self.is_lost = false;
        }
        if self.is_lost {
            return;
        }
        if let Err(why) = self.take(number, line, &mut out) {
            self.give_up(why, &mut out);
        } else if self.text.len() > LONGEST {
            self.give_up(format!("more than {LONGEST} bytes"), &mut out);
        }
    }

    fn take(
        &mut self,
        number: usize,
        line: &[u8],
        out: &mut impl FnMut(Statement),
    ) -> Result<(), String> {
        let mut begin = 0;
        let mut at = 0;
        while let Some(byte) = line.get(at) {
            at += 1;
            match byte {
                b'#' => {
                    self.text(number, &line[begin..at - 1]);
                    return Ok(());
                }
                b'"' => {
                    at += end_of_text(&line[at..]) + 1;
                    if at > line.len() {
                        self.wrong = Some("a quotation mark too few".to_owned());
                    }
                }
                b'{' => self.depth += 1,
                b'}' if self.depth == 0 => {
                    self.text(number, &line[begin..at - 1]);
                    if !self.text.is_empty() {
                        return Err("a brace too many".to_owned());
                    }
                    // It ends a block whose beginning was not understood, and says nothing itself.
                    begin = at;
                }
                b'}' | b';' => {
                    self.depth -= u32::from(*byte == b'}');
                    if self.depth == 0 {
                        self.text(number, &line[begin..at]);
                        self.end(*byte == b'}', out)?;
                        begin = at;
                    }
                }
                _ => (),
            }
        }
        self.text(number, &line[begin..]);
        Ok(())
    }

    /// Hands the statement out. The text that lacks its quotation mark may have been a block's, so
    /// only a block is known to end here.
    fn end(&mut self, is_block: bool, out: &mut impl FnMut(Statement)) -> Result<(), String> {
        let (text, line) = (&self.text[..], self.line);
        match self.wrong.take() {
            None => out(Statement::Whole { text, line }),
            Some(why) if is_block => out(Statement::Broken { text, line, why }),
            Some(why) => return Err(why),
        }
        self.text.clear();
        Ok(())
    }

    /// Adds to the statement, which begins with the first that is no space.
    fn text(&mut self, number: usize, text: &[u8]) {
        let text = if self.text.is_empty() { text.trim_ascii_start() } else { text };
        if text.is_empty() {
            return;
        }
        if self.text.is_empty() {
            self.line = number;
        } else if !self.text.ends_with(b"\n") {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(text);
    }

    fn give_up(&mut self, why: String, out: &mut impl FnMut(Statement)) {
        let why = self.wrong.take().unwrap_or(why);
        out(Statement::Broken { text: &self.text, line: self.line, why });
        // A block that was long once is no reason to keep room for another.
        self.text = Vec::new();
        self.depth = 0;
        self.is_lost = true;
    }
}
