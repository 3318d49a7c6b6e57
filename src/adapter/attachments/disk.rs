//! How files come to the disk, and how one is ready before it is needed. Nobody waits for either.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::unistd::linkat;

use crate::error::{Doing, Error, Kind, Result};

/// How long a file waits for the disk: one that is written again meanwhile is brought there once, and
/// whoever writes it is not disturbed in what comes next.
const PAUSE: Duration = Duration::from_millis(20);

/// How many files may wait for the disk before their writers do: each is held open.
pub(super) const WAITING: usize = 128;

/// Brings files to the disk, one after the other, on a thread of its own.
#[derive(Debug)]
pub(super) struct Disk {
    queue: SyncSender<(PathBuf, File)>,
    /// When it goes, nothing is waited for any more.
    patience: SyncSender<()>,
    spare: Arc<Spare>,
    thread: JoinHandle<Result<()>>,
}

impl Disk {
    /// One for the files of the directory `dir`.
    pub(super) fn start(dir: &Path) -> Result<Disk> {
        let (queue, files) = sync_channel::<(PathBuf, File)>(WAITING);
        let (patience, ended) = sync_channel::<()>(0);
        let spare = Arc::new(Spare::default());
        let (dir, prepared) = (dir.to_owned(), spare.clone());
        let bring = move || {
            let mut outcome = Ok(());
            while let Ok(first) = files.recv() {
                let ends = ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Disconnected);
                for (path, file) in [first].into_iter().chain(files.try_iter()) {
                    outcome = outcome.and(sync(&path, &file));
                }
                // Whoever has written one writes another, but at the end.
                if !ends {
                    prepared.prepare(&dir);
                }
            }
            outcome
        };
        let thread = thread::Builder::new().spawn(bring).doing("start thread")?;
        Ok(Disk { queue, patience, spare, thread })
    }

    /// A file that has no name yet, if one is ready.
    pub(super) fn spare(&self) -> Option<Nameless> {
        self.spare.take()
    }

    /// Has a file brought to the disk, soon.
    pub(super) fn bring(&self, path: PathBuf, file: File) -> Result<()> {
        let gone = |_| Error::new(Kind::Bug, "write to the disk").why("nobody does it any more");
        self.queue.send((path, file)).map_err(gone)
    }

    /// Waits until all are there.
    ///
    /// # Errors
    /// The first that the disk had.
    pub(super) fn settle(self) -> Result<()> {
        drop((self.patience, self.queue));
        let died = |_| Err(Error::new(Kind::Bug, "write to the disk").why("the thread panicked"));
        self.thread.join().unwrap_or_else(died)
    }
}

/// Waits until a file is on the disk under its name, unless that is another's by now.
pub(super) fn sync(path: &Path, file: &File) -> Result<()> {
    let is_there = || Ok(file.metadata()?.nlink() > 0);
    let synced = is_there().and_then(|there| if there { file.sync_all() } else { Ok(()) });
    synced.doing(format_args!("write {} to the disk", path.display()))
}

/// A file that is made ahead: to give it a name takes a quarter of the time that making one does.
#[derive(Debug, Default)]
struct Spare(Mutex<Option<Nameless>>);

impl Spare {
    /// Makes one unless there is one. Not every filesystem has files without a name (open(2),
    /// O_TMPFILE), and it does without.
    fn prepare(&self, dir: &Path) {
        let has_one = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !has_one && let Ok(made) = Nameless::make(dir) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        }
    }

    fn take(&self) -> Option<Nameless> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An empty file that no directory knows. It goes with the process, however that ends.
#[derive(Debug)]
pub(super) struct Nameless(File);

impl Nameless {
    /// One on the filesystem of the directory `dir`.
    pub(super) fn make(dir: &Path) -> io::Result<Nameless> {
        let mut open = OpenOptions::new();
        open.write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(dir).map(Nameless)
    }

    /// Writes the text and gives it the name, under which there is the whole text or nothing. Nothing
    /// when it cannot have that name, and another file may.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one of that name; that the text cannot be written.
    pub(super) fn name(self, path: &Path, text: &[u8]) -> io::Result<Option<File>> {
        let Nameless(mut file) = self;
        file.write_all(text)?;
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        let named = linkat(AT_FDCWD, own.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW);
        match named.map_err(io::Error::from) {
            Ok(()) => Ok(Some(file)),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(why),
            // The directory is on another filesystem by now, or there is no /proc.
            Err(_) => Ok(None),
        }
    }
}
