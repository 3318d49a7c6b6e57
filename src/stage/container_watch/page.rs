//! The file with metrics.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::adapter::textfile::Textfile;
use crate::error::Result;
use crate::logic::watch::{Watch, exposition};
use crate::pipe::Report;

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
    /// Why it could not be written, as it was told.
    told: Option<String>,
}

impl Page {
    /// # Errors
    /// For a path that names no file.
    pub(super) fn at(path: Option<&Path>) -> Result<Page> {
        let file = path.map(Textfile::at).transpose()?;
        Ok(Page { file, written: None, stale: true, told: None })
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

    /// Writes what `hosts` gives, if it is time to. What is in the way of that is told once, and tried
    /// again.
    pub(super) fn publish<'a>(
        &mut self,
        hosts: impl FnOnce() -> Vec<(&'a Watch, bool)>,
        now: Instant,
        report: &Report,
    ) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        match self.put(&hosts()) {
            Ok(()) => self.told = None,
            Err(why) => {
                let text = Some(why.to_string());
                if self.told != text {
                    report.failed(&why);
                    self.told = text;
                }
            }
        }
    }
}
