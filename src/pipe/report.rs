//! What a program tells people, on standard error.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Bars, Exit};
use crate::error::{Error, Kind};

/// Tells people what went wrong and remembers that it did. Clones share one memory.
#[derive(Clone, Debug)]
pub struct Report {
    program: Arc<str>,
    failures: Arc<AtomicU64>,
    used: Arc<AtomicU64>,
    bars: Bars,
}

impl Report {
    /// A report in the name of `program`.
    pub fn new(program: &str) -> Report {
        Report {
            program: program.into(),
            failures: Arc::default(),
            used: Arc::default(),
            bars: Bars::default(),
        }
    }

    /// The name of the program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What is shown beside, while it lasts, to a person at a terminal.
    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    /// Tells something that does not change how the program ends.
    pub fn note(&self, text: &Error) {
        self.line(text);
    }

    /// Tells of one record or item that failed; the program goes on and ends with status 1.
    pub fn failed(&self, why: &Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.line(why);
    }

    /// Remembers that the answer to what was asked is no; nothing is told.
    pub fn answer_no(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers that a record came through, so that "nothing could be used" can be told apart.
    pub fn used(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the program: tells the error that stopped it, if one did, and gives the exit status.
    pub fn exit(&self, outcome: Result<(), Error>) -> Exit {
        match outcome {
            Err(why) if why.kind() == Kind::ReaderLeft => Exit::Done,
            Err(why) => {
                self.line(&why);
                Exit::from(why.kind())
            }
            Ok(()) => match self.failures.load(Ordering::Relaxed) {
                0 => Exit::Done,
                _ if self.used.load(Ordering::Relaxed) == 0 => Exit::Input,
                _ => Exit::No,
            },
        }
    }

    /// One write a line, so that the lines of several programs do not mix. Nobody is left to hear
    /// that standard error cannot be written.
    fn line(&self, text: &Error) {
        let line = format!("{}: {text}\n", self.program);
        let _ = self.bars.above(|| std::io::stderr().write_all(line.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_remembers_what_failed() {
        let report = Report::new("test");
        assert_eq!(report.exit(Ok(())), Exit::Done);
        report.failed(&Error::new(Kind::BadInput, "a bad line"));
        assert_eq!(report.exit(Ok(())), Exit::Input);
        report.used();
        assert_eq!(report.exit(Ok(())), Exit::No);
        assert_eq!(report.exit(Err(Error::new(Kind::TimedOut, "late"))), Exit::TimedOut);
        assert_eq!(report.exit(Err(Error::new(Kind::ReaderLeft, "gone"))), Exit::Done);
    }
}
