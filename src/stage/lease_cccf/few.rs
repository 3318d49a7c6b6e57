//! Much of a kind is told in few lines.

use crate::error::{Error, Kind};
use crate::pipe::Report;

/// The most lines that are told of one thing in a row.
const FEW: usize = 20;

/// Tells the first few of many things, and how many more there were.
pub struct Few {
    what: &'static str,
    told: usize,
}

impl Few {
    /// Nothing told yet; `what` is what the others are called.
    pub fn new(what: &'static str) -> Few {
        Few { what, told: 0 }
    }

    /// Tells of one, unless there were too many already; each counts as a failure.
    pub fn tell(&mut self, report: &Report, why: &Error) {
        self.told += 1;
        if self.told <= FEW {
            report.failed(why);
        }
    }

    /// The row is over.
    pub fn close(&mut self, report: &Report) {
        let more = std::mem::take(&mut self.told).saturating_sub(FEW);
        if more > 0 {
            report.failed(&Error::new(Kind::Refused, format_args!("{more} more {}", self.what)));
        }
    }
}
