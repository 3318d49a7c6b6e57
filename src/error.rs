//! The one error form of the suite.
//!
//! An error is a sentence for the person who reads standard error, and a kind for the program that
//! reads the exit status. Both are fixed where the failure is first seen, because only there is it
//! known whether a thing was refused, missing, forbidden or late. Callers add *where*, never *why*.

use std::fmt;
use std::io;

/// What sort of failure this is; decides the exit status and the `error_kind` of a failed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line asks for something that makes no sense.
    Usage,
    /// A record, file or message does not say what it must.
    BadInput,
    /// A container, file, interface or image that was named is not there.
    NotFound,
    /// The other side understood and said no, or doing it would touch what the suite does not own.
    Refused,
    /// It was not begun, because what failed before it is to be looked at first.
    Held,
    /// The kernel or a server does not let this user do it.
    NotPermitted,
    /// A server that is needed does not answer at all.
    Unavailable,
    /// An answer was waited for and did not come in time.
    TimedOut,
    /// Reading or writing failed.
    Io,
    /// Whoever read the output has left; no failure, but a reason to stop.
    ReaderLeft,
    /// The suite contradicts itself.
    Bug,
}

/// `WHERE: WHAT: WHY; WHAT TO DO`, without the program's name, which the printer puts in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    at: Vec<String>,
    what: String,
    why: Option<String>,
    remedy: Option<String>,
}

/// What every fallible function of the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that says `what` could not be done, in the words of the field and in lower case.
    pub fn new(kind: Kind, what: impl fmt::Display) -> Error {
        Error { kind, at: Vec::new(), what: what.to_string(), why: None, remedy: None }
    }

    /// The same error with the reason that the kernel, a server or a parser gave.
    pub fn why(mut self, why: impl fmt::Display) -> Error {
        self.why = Some(why.to_string());
        self
    }

    /// The same error with what the operator can do about it.
    pub fn remedy(mut self, remedy: impl fmt::Display) -> Error {
        self.remedy = Some(remedy.to_string());
        self
    }

    /// The same error, told from one step further out: the outermost place comes first.
    pub fn at(mut self, place: impl fmt::Display) -> Error {
        self.at.insert(0, place.to_string());
        self
    }

    /// An I/O failure while doing `what`; the kind follows from the operating system's error.
    pub fn io(what: impl fmt::Display, why: &io::Error) -> Error {
        let kind = match why.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::NotPermitted,
            io::ErrorKind::TimedOut => Kind::TimedOut,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Kind::Unavailable,
            _ => Kind::Io,
        };
        Error::new(kind, what).why(plain(why))
    }

    /// The same error as a mistake on the command line, which named what is not there.
    pub fn into_usage(self) -> Error {
        Error { kind: Kind::Usage, ..self }
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// The operating system's words without Rust's `(os error N)` behind them, in lower case.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => text.to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.at {
            write!(f, "{}: ", OneLine(place))?;
        }
        write!(f, "{}", OneLine(&self.what))?;
        if let Some(why) = &self.why {
            write!(f, ": {}", OneLine(why))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; {}", OneLine(remedy))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Text from outside, made safe for one line of a terminal: control characters are escaped and a
/// very long text is cut, so that no client can forge a second message or bury the first.
pub struct OneLine<'a>(pub &'a str);

/// Longest piece of foreign text that a message repeats, in characters.
const LONGEST: usize = 400;

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (count, c) in self.0.chars().enumerate() {
            if count == LONGEST {
                return f.write_str("…");
            }
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Adds what was being done to a bare failure of the operating system.
pub trait Doing<T> {
    /// The failure as an [`Error`] that says what could not be done.
    fn doing(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::io(what, &e.into()))
    }
}

/// Adds where it happened to an error that already says what and why.
pub trait Within<T> {
    /// The same result; an error is told from `place`.
    fn within(self, place: impl fmt::Display) -> Result<T>;
}

impl<T> Within<T> for Result<T> {
    fn within(self, place: impl fmt::Display) -> Result<T> {
        self.map_err(|e| e.at(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_where_what_why_and_what_to_do() {
        let error = Error::new(Kind::NotPermitted, "create veth")
            .why("not permitted")
            .remedy("run as root or grant CAP_NET_ADMIN")
            .at("web-1");
        assert_eq!(
            error.to_string(),
            "web-1: create veth: not permitted; run as root or grant CAP_NET_ADMIN"
        );
    }

    #[test]
    fn foreign_text_cannot_forge_a_second_line() {
        let error =
            Error::new(Kind::BadInput, "host name").why("a\nleasepipe: all is well\u{1b}[2J");
        assert_eq!(error.to_string().lines().count(), 1);
        assert!(!error.to_string().contains('\u{1b}'));
        let long = "x".repeat(100_000);
        assert!(Error::new(Kind::BadInput, long).to_string().len() < 2_000);
    }

    #[test]
    fn the_kind_follows_from_the_operating_system() {
        let missing = std::fs::File::open("/nonexistent/file").doing("open lease file");
        let error = missing.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "open lease file: no such file or directory");
    }
}
