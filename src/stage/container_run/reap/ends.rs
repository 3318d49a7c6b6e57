//! What is known of the ends of leases, from the leases that are read and from a file.

use std::path::Path;

use jiff::Timestamp;

use crate::adapter::textfile::Textfile;
use crate::error::{Kind, Result};
use crate::logic::lease_ends::LeaseEnds;
use crate::pipe::{Found, Reader, Report};
use crate::record::{Key, Record};

/// The ends, and the file that keeps them from one run to the next.
pub(super) struct Ends {
    file: Textfile,
    ends: LeaseEnds,
}

impl Ends {
    /// What the file says, if it is there, and what the leases in the stream do. What cannot be read of
    /// either is told; the rest counts.
    ///
    /// # Errors
    /// For a path that names no file, a file that cannot be opened, or when nobody reads the output.
    pub(super) fn read(path: &Path, leases: Reader, report: &Report) -> Result<Ends> {
        let file = Textfile::at(path)?;
        let mut ends = LeaseEnds::default();
        match Reader::open(path) {
            Ok(mut kept) => loop {
                let line = kept.read_as(&mut || Ok(()), &mut |line| ends.remember(line));
                match line {
                    Ok(Found::Record(..)) => (),
                    Ok(Found::Bad(why)) => report.failed(&why),
                    Ok(Found::End) => break,
                    Err(why) => return Err(why),
                }
            },
            Err(why) if why.kind() == Kind::NotFound => (),
            Err(why) => return Err(why),
        }
        tell(&mut ends, leases, report)?;
        Ok(Ends { file, ends })
    }

    /// Keeps what is known for the next run, but for clients whose leases have ended by `now` and of
    /// which nothing is there.
    pub(super) fn keep(&mut self, now: Timestamp, is_there: impl Fn(&Key) -> bool) -> Result<()> {
        self.ends.forget(now, is_there);
        self.file.put(&self.ends.text())
    }

    pub(super) fn into_inner(self) -> LeaseEnds {
        self.ends
    }
}

/// Takes in the leases of a stream, up to its end or to where it breaks.
fn tell(ends: &mut LeaseEnds, mut leases: Reader, report: &Report) -> Result<()> {
    loop {
        match leases.read(&mut || Ok(())) {
            Ok(Found::Record(_, Record::Lease(lease))) => ends.tell(&lease),
            Ok(Found::Record(..)) => (),
            Ok(Found::Bad(why)) => report.failed(&why),
            Ok(Found::End) => return Ok(()),
            Err(why) if why.kind() == Kind::ReaderLeft => return Err(why),
            Err(why) => {
                report.failed(&why);
                return Ok(());
            }
        }
    }
}
