//! Databases that a server writes anew for every change: one text file of lines, read whole.
//!
//! dnsmasq writes its file in place: it cuts the file to nothing, writes it in pieces of its buffer's
//! size, and calls fsync. So did odhcpd before 2020; since then it writes another file and renames
//! it. There is no lock and no mark at the end, so a reader may find nothing, a line without its end,
//! or whole lines with others missing. And a server that is killed, or whose disk is full, leaves the
//! file that way, and may even rename it. Hence:
//!
//! - A file that does not end with a newline is never whole, nor one in which its server's [`Sense`]
//!   misses something.
//! - A reading counts when a second one, some milliseconds later, finds the same inode, size, times
//!   and bytes, and inotify saw nothing between the beginning of the first and the end of the second.
//! - Whole lines with others missing are seen when a server is held up between two pieces that meet
//!   at a line's end. The file's size is then a multiple of the buffer's. For such a size, be it
//!   by chance, the two readings are [`GAP_AT_PIECE`] apart.
//!
//! What *is* in the file needs no second reading: a reading during which inotify saw nothing holds no
//! line that the server did not write, because cutting the file is seen before the first piece of the
//! new text is written. So such a reading is handed out at once as [`Seen::Part`]: leases to be added,
//! none to be ended. A server that never rests leaves no time for two readings, nor for one that
//! looks whole; every [`STARVED`] the whole lines that are there are handed out as well.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::adapter::sources::notices::{Notices, Woken};
use crate::error::{Doing, Error, Kind, Result};

/// How long nothing may have happened before it is worth reading.
const QUIET: Duration = Duration::from_millis(1);

/// Time between two readings; more than the grain of a file's times on most kernels.
const GAP: Duration = Duration::from_millis(5);

/// Time between two readings of a file that may end between two writes.
pub const GAP_AT_PIECE: Duration = Duration::from_secs(1);

/// Every C library's buffer for a stream is a multiple of this many bytes.
const PIECE: usize = 1024;

/// After so long without rest the leases that are there are handed out.
pub const STARVED: Duration = Duration::from_millis(50);

/// How often the file is looked at where inotify says nothing, as on network file systems.
const TICK: Duration = Duration::from_secs(1);

/// A lease file is not larger than this: some six million leases.
const LARGEST: u64 = 512 * 1024 * 1024;

/// What became of waiting for the file.
#[derive(Debug)]
pub enum Seen {
    /// The file is whole and differs from when it was last handed out as whole; its text.
    Whole(Text),
    /// Lines that the server wrote; others may be missing.
    Part(Text),
    /// It is not there, or cannot be read. What is leased is unknown.
    Missing(Error),
    /// The time is up, and the file is as it was last told.
    Same,
    /// The time is up, and the file is not whole, for the reason given. What is leased is unknown.
    Torn(&'static str),
    /// The time is up, or nearly, and the file is changing.
    Changing,
}

/// The text of a file, kept to be compared with the next.
pub type Text = Arc<Vec<u8>>;

/// What a server's text has beside lines, by which a torn one may be known.
pub trait Sense: Send {
    /// Looks at a text in which every line has its end; it may be empty.
    ///
    /// # Errors
    /// Why it is not whole.
    fn check(&mut self, text: &[u8], file: &File) -> Result<(), &'static str>;

    /// The text was whole.
    fn learn(&mut self, text: &[u8]);
}

/// The lease file of a running server, which need not exist yet.
pub struct LeaseFile<S> {
    sense: S,
    path: PathBuf,
    notices: Notices,
    /// Whether inotify tells of writes to the file that was opened last.
    is_watched: bool,
    /// Whether there is reason to read it again.
    due: bool,
    /// Since when the file has not been as it was last handed out; absent while it is.
    since: Option<Instant>,
    /// Why the last reading was not whole.
    torn: Option<&'static str>,
    /// Whether it was told that the file cannot be read.
    is_missing: bool,
    stamp: Option<Stamp>,
    /// The text that was last handed out as whole, unless that is to be done again.
    whole: Option<Text>,
    /// A reading that a second one may prove whole.
    first: Option<First>,
    parted: Option<Instant>,
}

/// An undisturbed reading that looks whole.
struct First {
    text: Text,
    stamp: Option<Stamp>,
    /// How long to wait for the second reading.
    gap: Duration,
}

/// What says that a file is another than before, or was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<S: Sense> LeaseFile<S> {
    /// Begins to watch the file at `path`, whether it is there or not.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn new(path: &Path, sense: S) -> Result<LeaseFile<S>> {
        Ok(LeaseFile {
            sense,
            path: path.to_owned(),
            notices: Notices::new(path)?,
            is_watched: false,
            due: true,
            since: Some(Instant::now()),
            torn: None,
            is_missing: false,
            stamp: None,
            whole: None,
            first: None,
            parted: None,
        })
    }

    /// Makes the next whole reading count although nothing in the file has changed.
    pub fn look_again(&mut self) {
        self.whole = None;
        self.due = true;
        self.since.get_or_insert_with(Instant::now);
    }

    /// Waits for the file to be whole and different, but no longer than `until`.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub fn next(&mut self, until: Instant) -> Result<Seen> {
        loop {
            if let Some(first) = self.first.take()
                && let Some(seen) = self.second(first)?
            {
                return Ok(seen);
            }
            if self.due
                && let Some(seen) = self.look()?
            {
                return Ok(seen);
            }
            if Instant::now() >= until {
                return Ok(self.time_is_up());
            }
            if self.due || self.first.is_some() {
                continue;
            }
            let tick = Instant::now() + TICK;
            match self.notices.wait(until.min(tick))? {
                Woken::Changed => self.changed(),
                _ if Stamp::of_path(&self.path) != self.stamp => self.changed(),
                _ => (),
            }
        }
    }

    fn changed(&mut self) {
        self.due = true;
        self.since.get_or_insert_with(Instant::now);
    }

    fn time_is_up(&self) -> Seen {
        match (self.since, self.torn) {
            _ if self.is_missing => Seen::Same,
            (None, _) => Seen::Same,
            (Some(_), Some(why)) => Seen::Torn(why),
            (Some(_), None) => Seen::Changing,
        }
    }

    /// Tries once to read the file whole. Nothing is returned when it is worth no words yet.
    fn look(&mut self) -> Result<Option<Seen>> {
        self.due = false;
        let mut file = match self.open() {
            Ok(file) => file,
            Err(why) => {
                self.torn = None;
                self.is_missing = true;
                self.whole = None;
                self.since.get_or_insert_with(Instant::now);
                return Ok(Some(Seen::Missing(why)));
            }
        };
        self.is_missing = false;
        self.is_watched = self.notices.of_file(&file);
        while self.notices.within(QUIET)? {
            if self.is_starved() {
                break;
            }
        }
        let before = Stamp::of(&file);
        let mut text = Vec::new();
        if let Err(why) = read_all(&mut file, &mut text) {
            return Ok(Some(Seen::Missing(Error::io("read lease file", &why))));
        }
        if self.notices.within(Duration::ZERO)? || Stamp::of(&file) != before {
            self.due = true;
            return Ok(None);
        }
        self.stamp = before;
        let sense = form(&text).and_then(|gap| self.sense.check(&text, &file).map(|()| gap));
        let gap = match sense {
            Ok(gap) => gap,
            Err(why) => {
                self.torn = Some(why);
                return Ok(self.part(text));
            }
        };
        if self.whole.as_ref().is_some_and(|whole| **whole == text) {
            self.rest();
            return Ok(None);
        }
        let text = Arc::new(text);
        let part = self.is_watched.then(|| Seen::Part(text.clone()));
        self.whole = None;
        self.parted = Some(Instant::now());
        self.first = Some(First { text, stamp: before, gap });
        Ok(part)
    }

    /// Reads a second time, some time after the first.
    fn second(&mut self, first: First) -> Result<Option<Seen>> {
        let First { text, stamp, gap } = first;
        let stirred = self.notices.within(gap)?;
        if stirred || !self.still_holds(&text, stamp)? {
            self.due = true;
            self.torn = None;
            return Ok(None);
        }
        self.rest();
        self.whole = Some(text.clone());
        self.sense.learn(&text);
        Ok(Some(Seen::Whole(text)))
    }

    /// The file is as it was last handed out.
    fn rest(&mut self) {
        self.since = None;
        self.torn = None;
        self.parted = None;
    }

    fn is_starved(&self) -> bool {
        let enough = |since: Instant| since.elapsed() >= STARVED;
        self.since.is_some_and(enough) && self.parted.is_none_or(enough)
    }

    /// The whole lines of an undisturbed reading that is not whole, when it is time to make do with
    /// them.
    fn part(&mut self, mut text: Vec<u8>) -> Option<Seen> {
        let end = memchr::memrchr(b'\n', &text)? + 1;
        if !self.is_starved() || !self.is_watched {
            return None;
        }
        self.whole = None;
        self.parted = Some(Instant::now());
        text.truncate(end);
        Some(Seen::Part(Arc::new(text)))
    }

    /// Reads again: whether the path still leads to the same file, and that to the same bytes.
    fn still_holds(&mut self, text: &[u8], stamp: Option<Stamp>) -> Result<bool> {
        let Ok(mut file) = self.open() else { return Ok(false) };
        let same = same_bytes(&mut file, text).unwrap_or(false);
        Ok(same && Stamp::of(&file) == stamp && !self.notices.within(Duration::ZERO)?)
    }

    /// Opens the file. It must be a regular one: a pipe or a device could hold the program up.
    fn open(&mut self) -> Result<File> {
        self.notices.of_directory();
        let what = "open lease file";
        let opened = File::options()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open(&self.path)
            .and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.stamp = Stamp::of_path(&self.path);
                return Err(why).doing(what);
            }
        };
        self.stamp = Some(Stamp::new(&metadata));
        let refused = |why: &str| Err(Error::new(Kind::Unavailable, what).why(why));
        if !metadata.is_file() {
            return refused("not a regular file");
        }
        if metadata.len() > LARGEST {
            return refused("larger than 512 MiB");
        }
        Ok(file)
    }
}

/// Whether a text can be a whole file, and how far apart two readings of it must be; or why not.
fn form(text: &[u8]) -> Result<Duration, &'static str> {
    if !text.is_empty() && !text.ends_with(b"\n") {
        return Err("its last line has no end");
    }
    Ok(if text.len().is_multiple_of(PIECE) { GAP_AT_PIECE } else { GAP })
}

fn read_all(file: &mut File, text: &mut Vec<u8>) -> io::Result<()> {
    text.reserve(file.metadata()?.len() as usize + 1);
    file.take(LARGEST + 1).read_to_end(text).map(drop)
}

fn same_bytes(file: &mut File, text: &[u8]) -> io::Result<bool> {
    let mut rest = text;
    let mut piece = vec![0; 128 * 1024];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(rest.is_empty()),
            Ok(got) => match rest.strip_prefix(&piece[..got]) {
                Some(behind) => rest = behind,
                None => return Ok(false),
            },
            Err(why) if why.kind() == io::ErrorKind::Interrupted => (),
            Err(why) => return Err(why),
        }
    }
}

impl Stamp {
    fn new(metadata: &std::fs::Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn of(file: &File) -> Option<Stamp> {
        file.metadata().ok().as_ref().map(Stamp::new)
    }

    fn of_path(path: &Path) -> Option<Stamp> {
        std::fs::metadata(path).ok().as_ref().map(Stamp::new)
    }
}

#[cfg(test)]
mod tests;
