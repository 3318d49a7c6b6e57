//! The lines of a file that may be long, and may go on growing.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::FileExt;

/// Longest line that is taken, in bytes without its end. A longer one is passed over unread.
pub const LONGEST: usize = 1024 * 1024;

/// How much is read at a time.
const PIECE: usize = 128 * 1024;

/// How much of what was read last is remembered, to know the place again.
const RECENT: usize = 64;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes, without the newline.
    Text(&'a [u8]),
    /// It has more than [`LONGEST`] bytes; the number names its beginning.
    TooLong(u64),
}

/// Reads a file forward, line by line, in time linear in its length and in bounded memory. At the
/// file's end it can be asked again: there may be more by then.
#[derive(Debug)]
pub struct Lines {
    file: File,
    /// How far the file has been read.
    offset: u64,
    buffer: Vec<u8>,
    /// What has been read and not been given out: `buffer[begin..end]`.
    begin: usize,
    end: usize,
    /// Up to here there is no newline behind `begin`.
    searched: usize,
    /// Whether this is a line that is too long, and was told.
    passing_over: bool,
    number: usize,
    recent: Vec<u8>,
}

impl Lines {
    /// Reads `file` from its beginning.
    pub fn new(file: File) -> Lines {
        Lines {
            file,
            offset: 0,
            buffer: Vec::new(),
            begin: 0,
            end: 0,
            searched: 0,
            passing_over: false,
            number: 0,
            recent: Vec::new(),
        }
    }

    /// The next line that has an end, and its number, counted from 1. Nothing when there is none yet.
    pub fn next_line(&mut self) -> io::Result<Option<(usize, Line<'_>)>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]) {
                let line = self.begin..self.searched + at;
                self.begin = line.end + 1;
                self.searched = self.begin;
                if std::mem::take(&mut self.passing_over) {
                    continue;
                }
                self.number += 1;
                return Ok(Some((self.number, self.taken(line))));
            }
            self.searched = self.end;
            if self.end - self.begin > LONGEST {
                let line = self.begin..self.end;
                self.begin = self.end;
                if !std::mem::replace(&mut self.passing_over, true) {
                    self.number += 1;
                    return Ok(Some((self.number, self.taken(line))));
                }
            }
            if self.passing_over {
                self.begin = self.end;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// What stands behind the last newline of a file that will not grow any more.
    pub fn rest(&mut self) -> Option<(usize, Line<'_>)> {
        let line = self.begin..self.end;
        self.begin = self.end;
        self.searched = self.end;
        (!line.is_empty() && !self.passing_over).then(|| (self.number + 1, self.taken(line)))
    }

    /// The file that is read.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file, when its lines are no longer of interest.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Whether nothing has been read so far.
    pub fn is_empty(&self) -> bool {
        self.offset == 0
    }

    /// Whether the file still has, where it was read last, what was read there.
    pub fn goes_on(&self) -> io::Result<bool> {
        let mut now = vec![0; self.recent.len()];
        let since = self.offset - now.len() as u64;
        match self.file.read_exact_at(&mut now, since) {
            Ok(()) => Ok(now == self.recent),
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(why) => Err(why),
        }
    }

    fn taken(&self, line: std::ops::Range<usize>) -> Line<'_> {
        let text = &self.buffer[line];
        if text.len() <= LONGEST {
            Line::Text(text)
        } else {
            Line::TooLong(print(&text[..LONGEST]))
        }
    }

    /// Reads on; whether there was anything.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        self.searched = self.end;
        if self.buffer.len() < self.end + PIECE {
            // Doubling, so that a long line is not copied once for each piece of it.
            self.buffer.resize((self.buffer.len() * 2).max(self.end + PIECE), 0);
        }
        let room = &mut self.buffer[self.end..];
        let got = loop {
            match self.file.read_at(room, self.offset) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => (),
                got => break got?,
            }
        };
        let got = &room[..got];
        self.recent.extend_from_slice(&got[got.len().saturating_sub(RECENT)..]);
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        self.offset += got.len() as u64;
        self.end += got.len();
        Ok(!got.is_empty())
    }
}

/// A number that names these bytes, the same in every run.
pub fn print(bytes: &[u8]) -> u64 {
    let mut print = DefaultHasher::new();
    print.write(bytes);
    print.finish()
}
