//! Writing records: whole lines, and nothing held back while the program waits.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Bytes that are gathered before they are written, when more input is there already.
const GATHER: usize = 64 * 1024;

/// Records that one core makes at a time when there are very many.
const PORTION: usize = 8192;

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
        append(&mut self.lines, record)?;
        if self.lines.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    /// Appends a record for each of very many items, in their order, made on all cores.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_each<I: Sync, T: Serialize>(
        &mut self,
        items: &[I],
        record: impl Fn(&I) -> T + Sync,
    ) -> Result<()> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        if cores == 1 || items.len() <= PORTION {
            return items.iter().try_for_each(|item| self.write(&record(item)));
        }
        let fill = |lines: &mut Vec<u8>, portion: &[I]| {
            lines.clear();
            portion.iter().try_for_each(|item| append(lines, &record(item)))
        };
        let mut all = vec![Vec::new(); cores];
        for round in items.chunks(PORTION * cores) {
            let filled: Vec<thread::Result<Result<()>>> = thread::scope(|scope| {
                let work = |(lines, portion)| scope.spawn(move || fill(lines, portion));
                let threads: Vec<_> = all.iter_mut().zip(round.chunks(PORTION)).map(work).collect();
                threads.into_iter().map(|thread| thread.join()).collect()
            });
            self.flush()?;
            for (outcome, lines) in filled.into_iter().zip(&all) {
                outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                self.to.write_all(lines).map_err(|e| failure(&e))?;
            }
        }
        Ok(())
    }

    /// Appends a line of text: for people, or a record that is JSON already.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.pieces(&[text])
    }

    /// Appends a record that is JSON already, in pieces.
    pub fn pieces(&mut self, pieces: &[&str]) -> Result<()> {
        pieces.iter().for_each(|piece| self.lines.extend_from_slice(piece.as_bytes()));
        self.ended(b'\n')
    }

    /// Appends text that is no record, and the byte that ends it.
    pub fn text(&mut self, text: &str, end: u8) -> Result<()> {
        self.lines.extend_from_slice(text.as_bytes());
        self.ended(end)
    }

    fn ended(&mut self, end: u8) -> Result<()> {
        self.lines.push(end);
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

fn append<T: Serialize + ?Sized>(lines: &mut Vec<u8>, record: &T) -> Result<()> {
    serde_json::to_writer(&mut *lines, record)
        .map_err(|e| Error::new(Kind::Bug, "write record as JSON").why(e))?;
    lines.push(b'\n');
    Ok(())
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

/// Blocks until standard input has something to read, its end included, or nobody reads standard
/// output any more, or `time` is over. Whether it ended before its time.
pub fn input_within(time: Duration) -> bool {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let end = Instant::now() + time;
    loop {
        let mut watched = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        // Rounded up, so that a fraction of a millisecond is not waited for in a busy loop.
        let left = end.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        match poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return false,
            Err(Errno::EINTR) => (),
            _ => return true,
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
    fn very_many_come_out_in_their_order() {
        let items: Vec<usize> = (0..PORTION * 5 + 3).collect();
        let mut writer = Writer::new(Vec::new());
        writer.write(&"first").unwrap();
        writer.write_each(&items, |item| item * 2).unwrap();
        writer.write(&"last").unwrap();
        writer.flush().unwrap();
        let middle: String = items.iter().map(|item| format!("{}\n", item * 2)).collect();
        assert_eq!(String::from_utf8(writer.to).unwrap(), format!("\"first\"\n{middle}\"last\"\n"));
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
