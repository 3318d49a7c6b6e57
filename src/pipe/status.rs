//! The one table of exit statuses.

use std::process::ExitCode;

use crate::error::Kind;

/// How a program ended; the numbers are those of sysexits.h where that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All was done, or the reader of the output left.
    Done = 0,
    /// The answer is no: a check failed, or some records did.
    No = 1,
    /// Wrong usage.
    Usage = 64,
    /// A set was refused, or nothing in the input could be used.
    Input = 65,
    /// A server that is needed is not there.
    Unavailable = 69,
    /// A bug.
    Bug = 70,
    /// Reading or writing failed.
    Io = 74,
    /// It gave up waiting.
    TimedOut = 75,
    /// It is not permitted.
    NotPermitted = 77,
}

/// What each status means, for the manual.
pub const EXITS: [(Exit, &str); 9] = [
    (Exit::Done, "done, or the reader of the output left"),
    (Exit::No, "the answer is no: a check failed, or some records failed"),
    (Exit::Usage, "wrong usage"),
    (Exit::Input, "bad input: a set was refused, or nothing in the input could be used"),
    (Exit::Unavailable, "a server that is needed is not there; trying later may help"),
    (Exit::Bug, "a bug"),
    (Exit::Io, "reading or writing failed"),
    (Exit::TimedOut, "gave up waiting; trying again may help"),
    (Exit::NotPermitted, "not permitted"),
];

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Exit {
        match kind {
            Kind::ReaderLeft => Exit::Done,
            Kind::Refused | Kind::Held => Exit::No,
            Kind::Usage => Exit::Usage,
            Kind::BadInput => Exit::Input,
            Kind::NotFound | Kind::Unavailable => Exit::Unavailable,
            Kind::Bug => Exit::Bug,
            Kind::Io => Exit::Io,
            Kind::TimedOut => Exit::TimedOut,
            Kind::NotPermitted => Exit::NotPermitted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
