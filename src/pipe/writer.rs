//! Writing records: whole lines, and nothing held back while the program waits.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Bytes that are gathered before they are written, when more input is there already.
const GATHER: usize = 64 * 1024;

/// Writes NDJSON. What is handed over in one `write` to the system are whole records.
pub struct Writer<W = File> {
    to: W,
    lines: Vec<u8>,
}

impl Writer<File> {
    /// A writer to standard output.
    pub fn stdout() -> Result<Writer> {
        let fd = io::stdout().as_fd().try_clone_to_owned().map_err(|e| failure(&e))?;
        Ok(Writer::new(File::from(fd)))
    }
}

impl<W: Write> Writer<W> {
    /// A writer to `to`, which should not gather bytes itself.
    pub fn new(to: W) -> Writer<W> {
        Writer { to, lines: Vec::with_capacity(GATHER + 4096) }
    }

    /// Appends one record. It reaches the reader at the next [`Writer::flush`], or before.
    ///
    /// # Errors
    /// `ReaderLeft` when nobody reads any more, `Io` when the output cannot be written.
    pub fn write<T: Serialize + ?Sized>(&mut self, record: &T) -> Result<()> {
        serde_json::to_writer(&mut self.lines, record)
            .map_err(|e| Error::new(Kind::Bug, "write record as JSON").why(e))?;
        self.lines.push(b'\n');
        if self.lines.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    /// Appends a line of text for people.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.lines.extend_from_slice(text.as_bytes());
        self.lines.push(b'\n');
        if self.lines.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    /// Hands everything over. Call it before waiting for anything.
    pub fn flush(&mut self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = self.to.write_all(&self.lines).and_then(|()| self.to.flush());
        self.lines.clear();
        written.map_err(|e| failure(&e))
    }
}

/// Blocks until nobody reads standard output any more. For ever if it is no pipe, socket or
/// terminal. A program that waits for something else than its input learns from this that it can
/// stop.
pub fn reader_leaves() {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) if has_left(&watched[0]) => return,
            Ok(_) | Err(Errno::EINTR) => (),
            Err(_) => return,
        }
    }
}

/// Blocks until standard input has something to read, its end included.
///
/// # Errors
/// `ReaderLeft` when nobody reads standard output any more and nothing is there to be read: without
/// it, a pipe that has lost a program would sleep until its next two records.
pub(super) fn input_comes() -> Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut watched = [
        PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        PollFd::new(stdout.as_fd(), PollFlags::empty()),
    ];
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) if watched[0].any() != Some(false) => return Ok(()),
            Ok(_) if has_left(&watched[1]) => return Err(left()),
            Ok(_) | Err(Errno::EINTR) => (),
            Err(_) => return Ok(()),
        }
    }
}

fn has_left(reader: &PollFd) -> bool {
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    reader.revents().is_some_and(|revents| revents.intersects(gone))
}

fn left() -> Error {
    Error::new(Kind::ReaderLeft, "write standard output").why("its reader has left")
}

fn failure(why: &io::Error) -> Error {
    if why.kind() == io::ErrorKind::BrokenPipe {
        return left();
    }
    let text = Error::io("write standard output", why);
    if text.kind() == Kind::Io {
        text
    } else {
        Error::new(Kind::Io, "write standard output").why(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers the pieces that it was given.
    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_piece_is_made_of_whole_records() {
        let mut writer = Writer::new(Pieces::default());
        for _ in 0..5_000 {
            writer.write(&"x".repeat(97)).unwrap();
        }
        writer.flush().unwrap();
        assert!(writer.to.0.len() < 20);
        assert!(writer.to.0.iter().all(|piece| piece.ends_with(b"\n")));
        assert_eq!(writer.to.0.iter().map(Vec::len).sum::<usize>(), 5_000 * 100);
    }
}
