//! The file with all hosts as they were found, for programs that place containers.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::adapter::textfile::Textfile;
use crate::error::{Error, Kind, Result};
use crate::pipe::Report;
use crate::record::{Host, HostsAt};

/// It is not written more often than that.
const AT_MOST: Duration = Duration::from_secs(1);

/// The file, which is always whole.
pub(super) struct Sheet {
    file: Textfile,
    /// When it is to be written next, if it does not say all.
    due: Option<Instant>,
    written: Option<Instant>,
    /// Why it could not be written, as it was told.
    told: Option<String>,
}

impl Sheet {
    /// # Errors
    /// For a path that names no file, or the one that the hosts come from: what an engine says of
    /// itself would become what the operator has said.
    pub(super) fn at(path: &Path, from: Option<&HostsAt>) -> Result<Sheet> {
        let real = |path: &Path| path.canonicalize().unwrap_or(path.to_owned());
        if let Some(HostsAt::File(source)) = from
            && real(source) == real(path)
        {
            return Err(Error::new(Kind::Usage, "--write").why("it is the file of --hosts"));
        }
        Ok(Sheet { file: Textfile::at(path)?, due: None, written: None, told: None })
    }

    /// Something is to be written.
    pub(super) fn touch(&mut self) {
        let soon = || self.written.map_or_else(Instant::now, |at| at + AT_MOST);
        self.due = self.due.or_else(|| Some(soon()));
    }

    /// When it is to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes these hosts.
    pub(super) fn put<'a>(&mut self, hosts: impl Iterator<Item = &'a Host>) -> Result<()> {
        let mut text = String::new();
        for host in hosts {
            text += &serde_json::to_string(host).expect("a host is JSON");
            text.push('\n');
        }
        self.due = None;
        self.written = Some(Instant::now());
        self.file.put(&text)
    }

    /// Writes them if it is time to. What is in the way of that is told once, and tried again.
    ///
    /// # Errors
    /// When it cannot be written at all: the first time.
    pub(super) fn publish<'a>(
        &mut self,
        hosts: impl Iterator<Item = &'a Host>,
        report: &Report,
    ) -> Result<()> {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let is_first = self.written.is_none();
        match self.put(hosts) {
            Ok(()) => self.told = None,
            Err(why) if is_first => return Err(why),
            Err(why) => {
                self.touch();
                let text = Some(why.to_string());
                if self.told != text {
                    report.failed(&why);
                    self.told = text;
                }
            }
        }
        Ok(())
    }
}
