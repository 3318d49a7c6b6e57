//! The file with metrics.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::adapter::textfile::Textfile;
use crate::error::Result;
use crate::logic::watch::{Watch, exposition};

/// It is not written more often than that.
const AT_MOST: Duration = Duration::from_secs(1);

/// It is written that often though nothing happens: its age says whether anybody watches.
const AT_LEAST: Duration = Duration::from_secs(15);

/// The file, if there is to be one.
pub(super) struct Page {
    file: Option<Textfile>,
    written: Option<Instant>,
    /// Whether it does not say all.
    stale: bool,
}

impl Page {
    /// # Errors
    /// For a path that names no file.
    pub(super) fn at(path: Option<&Path>) -> Result<Page> {
        let file = path.map(Textfile::at).transpose()?;
        Ok(Page { file, written: None, stale: true })
    }

    /// Something has happened.
    pub(super) fn touch(&mut self) {
        self.stale = true;
    }

    /// When it is to be written next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.file.as_ref()?;
        let wait = if self.stale { AT_MOST } else { AT_LEAST };
        Some(self.written.map_or_else(Instant::now, |at| at + wait))
    }

    /// Writes what these hosts are known to be, each with whether it answers.
    pub(super) fn put(&mut self, hosts: &[(&Watch, bool)]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.written = Some(Instant::now());
        self.stale = false;
        file.put(&exposition(hosts, Timestamp::now()))
    }
}
