//! Where leases are read: the databases of DHCP servers, each in its own form.
//!
//! A source is read as a whole first. From then on it tells whatever suits its form: everything
//! anew, or what has been said since. It never guesses: while its database cannot be read whole it
//! says so, and that a lease is missing from a part of it means nothing.

pub mod appended;
mod chosen;
pub mod dnsmasq;
pub mod isc;
pub mod kea;
mod notices;
pub mod odhcpd;
mod rewritten;
pub mod spool;

use std::time::{Duration, Instant};

use crate::error::{Error, OneLine, Result};
use crate::record::Said;

/// What a source tells. A reading of the whole database is told in pieces, from [`Told::Begin`] to
/// [`Told::Whole`] or [`Told::Part`].
#[derive(Debug)]
pub enum Told {
    /// A reading of the whole database begins. One that has begun before and has no end is void.
    Begin,
    /// What the database says: within a reading a piece of it, otherwise news behind it, which
    /// hold at once. Of two things said of one place in a reading, the later one counts.
    Said(Vec<Said>),
    /// What there is to tell people about lines of the database.
    Remarks(Vec<Remark>),
    /// The reading is complete: what it did not say is not leased.
    Whole,
    /// The reading is over, but leases may be missing from it: what it did not say is as it was.
    Part,
    /// The time is up, and the database is as it was last told.
    Same,
    /// The database cannot be read, so what is leased is unknown. A reading that has begun is void.
    Unknown {
        /// Why.
        why: Error,
        /// How long that may last before it is worth a word.
        patience: Duration,
    },
}

/// How many things are told at once at most, so that a large database takes little room on its way.
const BATCH: usize = 512;

/// One thing to be told about the text of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where it stands, such as `FILE:LINE`.
    pub at: String,
    /// What is wrong there, for people.
    pub what: String,
    /// What follows from it.
    pub weight: Weight,
}

/// What follows from text that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The lease is served, without what was wrong with it.
    Note,
    /// The lease is not served.
    Refused,
}

/// A database of leases.
pub trait Source: Send {
    /// Waits for the next thing to tell, but no longer than `until`.
    ///
    /// # Errors
    /// When nothing will ever come: the source itself makes no sense, or waiting fails. What may
    /// pass is [`Told::Unknown`].
    fn next(&mut self, until: Instant) -> Result<Told>;

    /// Makes the source tell everything anew, as soon as it can.
    fn look_again(&mut self);
}

/// The beginning of foreign bytes as text for people.
fn quoted(bytes: &[u8]) -> String {
    const LONGEST: usize = 120;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    let more = if bytes.len() > LONGEST { "…" } else { "" };
    format!("\"{}{more}\"", OneLine(&shown))
}
