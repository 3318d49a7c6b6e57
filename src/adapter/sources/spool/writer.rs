//! The side of the script: one event is put into the spool.
//!
//! An entry is written to a file of its own beside its place, and moved into place while the directory
//! is locked, if it still comes after what is there. The lock is held for that alone. One that cannot
//! be had in two seconds is done without: an event that might be put before another is better than
//! one that is lost.
//!
//! What nobody will tell again is brought to the disk: an end, and where the spool is the server's
//! database everything. A lease is told again when its server starts, or when it is renewed.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::entry::{Entry, LARGEST, file_name, place_of};
use super::event::Event;
use super::order::Order;
use super::{COMPLETE, ENDS, SERVER_DUID};
use crate::error::{Doing, Error, Kind, Result, Within};
use crate::record::{Duid, Object, Place};

/// How long the lock is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many ends are written before old ones are swept; more in a large spool.
const SWEEP_AFTER: u64 = 1024;

/// How many ends a sweep leaves, the latest.
pub const ENDS_KEPT: usize = 16 * 1024;

/// A file that a killed process has left is not swept before it is so old.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// A spool's directory, to be written.
pub struct Spool {
    path: PathBuf,
    directory: File,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is what is known of its place now.
    Kept,
    /// Something later is known already.
    Late,
    /// It is what is known now, but that no later one was there is not sure: the lock was not to be
    /// had.
    Unlocked,
}

impl Spool {
    /// Opens the spool at `path`. The directory is made if it alone is missing.
    pub fn open(path: &Path) -> Result<Spool> {
        let made = match fs::create_dir(path) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists && !path.is_dir() => Err(why),
            _ => Ok(()),
        };
        let opened = made.and_then(|()| {
            let directory = nix::libc::O_DIRECTORY;
            File::options().read(true).custom_flags(directory).open(path)
        });
        let directory = opened.doing("open the spool").within(path.display())?;
        Ok(Spool { path: path.to_owned(), directory })
    }

    /// Puts an event into the spool.
    ///
    /// # Errors
    /// When it cannot be written. What was known of its place is known still, except that an end
    /// leaves nothing known of it.
    pub fn take(&self, event: &Event, order: &Order) -> Result<Taken> {
        let place = event.place();
        let known = self.known(place);
        let entry = Entry::new(event, order, known.as_ref());
        if known.is_some_and(|known| !known.yields_to(&entry)) {
            return Ok(Taken::Late);
        }
        let name = file_name(place);
        let lasting = !entry.is_active() || self.path.join(COMPLETE).exists();
        let taken = match self.write(&name, &json(&entry)?, lasting) {
            Ok(new) => self.replace(&new, place, &entry),
            // Freeing a place takes no room on a full disk.
            Err(why) if !entry.is_active() => {
                let _ = fs::remove_file(self.path.join(&name));
                Err(why)
            }
            Err(why) => Err(why),
        }?;
        if lasting {
            let _ = self.directory.sync_all();
        }
        if !entry.is_active() && taken != Taken::Late {
            self.count_end();
        }
        Ok(taken)
    }

    /// Moves what was written into place, if it still comes after what is there.
    fn replace(&self, new: &Path, place: Place, entry: &Entry) -> Result<Taken> {
        let is_locked = self.lock()?;
        let is_late = self.known(place).is_some_and(|known| !known.yields_to(entry));
        let moved = if is_late {
            let _ = fs::remove_file(new);
            Ok(())
        } else {
            fs::rename(new, self.path.join(file_name(place)))
        };
        if is_locked {
            let _ = self.directory.unlock();
        }
        moved.doing("move into place").within(self.path.join(file_name(place)).display())?;
        Ok(match (is_late, is_locked) {
            (true, _) => Taken::Late,
            (false, true) => Taken::Kept,
            (false, false) => Taken::Unlocked,
        })
    }

    /// Locks the directory against other scripts; whether that could be done in time.
    fn lock(&self) -> Result<bool> {
        let end = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(100);
        loop {
            match self.directory.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(pause),
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(why)) => {
                    return Err(why).doing("lock the spool").within(self.path.display());
                }
            }
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    /// What is known of a place; nothing if its file cannot be understood.
    fn known(&self, place: Place) -> Option<Entry> {
        read(&self.path.join(file_name(place))).ok().flatten()
    }

    /// Writes a new file beside `name`, and brings it to the disk if it is to last; returns its path.
    fn write(&self, name: &str, text: &[u8], lasting: bool) -> Result<PathBuf> {
        let new = self.path.join(format!(".new-{}-{name}", std::process::id()));
        let written = || {
            match fs::remove_file(&new) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                _ => (),
            }
            let mut file = File::options().write(true).create_new(true).mode(0o644).open(&new)?;
            file.write_all(text)?;
            if lasting { file.sync_data() } else { Ok(()) }
        };
        let outcome = written().doing("write").within(self.path.join(name).display());
        if outcome.is_err() {
            let _ = fs::remove_file(&new);
        }
        outcome.map(|()| new)
    }

    /// Writes one of the spool's own files, to last.
    fn put(&self, name: &str, text: &[u8]) -> Result<()> {
        let new = self.write(name, text, true)?;
        let moved = fs::rename(new, self.path.join(name));
        moved.doing("move into place").within(self.path.join(name).display())?;
        let _ = self.directory.sync_all();
        Ok(())
    }

    /// Remembers the server's own DUID, which it will want back.
    pub fn remember_server(&self, duid: &Duid) -> Result<()> {
        if self.server_duid().as_ref() == Some(duid) {
            return Ok(());
        }
        self.put(SERVER_DUID, format!("{duid}\n").as_bytes())
    }

    /// The server's own DUID, if it has been told.
    pub fn server_duid(&self) -> Option<Duid> {
        fs::read_to_string(self.path.join(SERVER_DUID)).ok()?.trim_end().parse().ok()
    }

    /// Notes that the server takes what is in the spool for all of its leases.
    pub fn mark_complete(&self) -> Result<()> {
        self.put(COMPLETE, b"")
    }

    /// Everything in the spool, and what is wrong with files that cannot be understood.
    pub fn entries(&self) -> Result<(Vec<Entry>, Vec<Error>)> {
        let (mut entries, mut wrong) = (Vec::new(), Vec::new());
        for name in self.names()? {
            if place_of(&name).is_none() {
                continue;
            }
            match read(&self.path.join(&name)) {
                Ok(entry) => entries.extend(entry),
                Err(why) => wrong.push(why),
            }
        }
        Ok((entries, wrong))
    }

    fn names(&self) -> Result<Vec<String>> {
        let listing = fs::read_dir(&self.path).and_then(|entries| {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string()));
            names.filter_map(|name| name.map(Result::ok).transpose()).collect()
        });
        listing.doing("list the spool").within(self.path.display())
    }

    /// Counts one more end, and sweeps when there have been many since the last time.
    fn count_end(&self) {
        let mut options = File::options();
        let Ok(mut count) = options.append(true).create(true).open(self.path.join(ENDS)) else {
            return;
        };
        let _ = count.write_all(b".");
        let ends = count.metadata().map_or(0, |file| file.len());
        // A directory's size grows with what is in it, so a large spool is swept more rarely.
        let size = self.directory.metadata().map_or(0, |directory| directory.size());
        if ends >= SWEEP_AFTER.max(size / 256) {
            let _ = count.set_len(0);
            self.sweep(ENDS_KEPT);
        }
    }

    /// Removes all ends but the latest, and what killed processes have left. What cannot be removed
    /// now will be the next time.
    fn sweep(&self, keep: usize) {
        let Ok(names) = self.names() else { return };
        let mut ends = Vec::new();
        for name in names {
            let path = self.path.join(&name);
            if name.starts_with(".new-") {
                if is_left_behind(&path) {
                    let _ = fs::remove_file(path);
                }
            } else if place_of(&name).is_some()
                && let Ok(Some(entry)) = read(&path)
                && !entry.is_active()
            {
                ends.push((path, entry.order));
            }
        }
        let boot = Order::of_this_process().boot;
        ends.sort_by_key(|(_, order)| (order.boot == boot, order.started, order.pid));
        let old = ends.len().saturating_sub(keep);
        for (path, order) in &ends[..old] {
            if !matches!(self.lock(), Ok(true)) {
                return;
            }
            if read(path).is_ok_and(|entry| entry.is_some_and(|entry| entry.order == *order)) {
                let _ = fs::remove_file(path);
            }
            let _ = self.directory.unlock();
        }
    }
}

fn json(entry: &Entry) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(entry)
        .map_err(|why| Error::new(Kind::Bug, "write an entry as JSON").why(why))?;
    text.push(b'\n');
    Ok(text)
}

/// Whether nobody writes the file any more, as far as the clock can tell.
fn is_left_behind(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|file| file.modified());
    let age = |time: SystemTime| time.elapsed().unwrap_or_else(|ahead| ahead.duration());
    written.is_ok_and(|time| age(time) > LEFT_BEHIND)
}

/// What stands in a file of the spool; nothing when there is none.
///
/// # Errors
/// When it cannot be read, is no regular file, or does not hold an entry for the place that it is
/// named after.
pub fn read(path: &Path) -> Result<Option<Entry>> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW | nix::libc::O_NOCTTY;
    let bad = |why: String| Error::new(Kind::BadInput, "this is no entry of the spool").why(why);
    let read = || -> Result<Option<Entry>> {
        let file = match File::options().read(true).custom_flags(flags).open(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.doing("open")?,
        };
        if !file.metadata().doing("open")?.is_file() {
            return Err(bad("it is no regular file".to_owned()));
        }
        let mut text = String::new();
        let read = file.take(LARGEST).read_to_string(&mut text);
        read.doing("read")?;
        let object = Object::parse(&text).map_err(|why| bad(why.to_string()))?;
        let entry = Entry::try_from(object).map_err(bad)?;
        let name = path.file_name().and_then(|name| name.to_str());
        if name != Some(&*file_name(entry.place())) {
            return Err(bad(format!("it is about {}", file_name(entry.place()))));
        }
        Ok(Some(entry))
    };
    read().within(path.display())
}

#[cfg(test)]
mod tests;
