//! What was told, remembered from one run to the next: the leases as records, in a file that anybody
//! can read.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Kind, Result, Within};
use crate::pipe::{Found, Reader, Report, Writer};
use crate::record::{Checkpoint, Lease, Of, Record};

/// Time between two writings of the file, at least; and of all time, the part spent on it at most.
const PAUSE: Duration = Duration::from_secs(1);
const SHARE: u32 = 20;

/// A file with what was told.
pub struct State {
    path: PathBuf,
    /// Whether something was told since it was written.
    pub is_old: bool,
    next: Instant,
}

impl State {
    /// The file at `path`, which need not exist yet; its directory must.
    pub fn open(path: &Path) -> Result<State> {
        let state = State { path: path.to_owned(), is_old: false, next: Instant::now() };
        let directory = path.parent().filter(|parent| *parent != Path::new(""));
        let directory = directory.unwrap_or(Path::new("."));
        if !directory.is_dir() {
            let error = Error::new(Kind::NotFound, "open state").why("no such directory");
            return Err(error.at(directory.display()).into_usage());
        }
        Ok(state)
    }

    /// Hands over every lease in the file; none if there is no file yet.
    ///
    /// # Errors
    /// When the file cannot be read. A record that is none is told and passed over: then its lease
    /// is told as a new one.
    pub fn read(&self, report: &Report, mut take: impl FnMut(Lease)) -> Result<()> {
        let mut reader = match Reader::open(&self.path) {
            Err(why) if why.kind() == Kind::NotFound => return Ok(()),
            other => other?,
        };
        loop {
            match reader.read(&mut || Ok(()))? {
                Found::Record(_, Record::Lease(lease)) => take(lease),
                Found::Record(..) => (),
                Found::Bad(why) => report.failed(&why),
                Found::End => return Ok(()),
            }
        }
    }

    /// Whether there is something to write, and it is time to.
    pub fn is_due(&self) -> bool {
        self.is_old && Instant::now() >= self.next
    }

    /// Writes the file anew, in one step: at any time it is the old one or the new one.
    pub fn write(&mut self, leases: impl Iterator<Item = Lease>) -> Result<()> {
        let begun = Instant::now();
        let written = self.replace(leases);
        self.is_old = written.is_err();
        self.next = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        written.within(self.path.display())
    }

    fn replace(&self, leases: impl Iterator<Item = Lease>) -> Result<()> {
        let new = super::options::beside(&self.path);
        match fs::remove_file(&new) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why).doing("write state"),
            _ => (),
        }
        let written =
            write(&new, leases).and_then(|()| fs::rename(&new, &self.path).doing("write state"));
        if written.is_err() {
            // Told is why it could not be written.
            let _ = fs::remove_file(&new);
        }
        written
    }
}

/// The file tells of people's devices, so that only its owner and group may read it.
fn write(path: &Path, leases: impl Iterator<Item = Lease>) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options().write(true).create_new(true).mode(0o640).open(path);
    let file = file.doing("write state")?;
    let mut to = Writer::new(&file);
    let mut count = 0;
    for lease in leases {
        to.write(&lease)?;
        count += 1;
    }
    to.write(&Checkpoint::new(Of::Lease, count))?;
    to.flush()?;
    (&file).flush().doing("write state")?;
    file.sync_all().doing("write state")
}
