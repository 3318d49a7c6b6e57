//! The suite's files in a directory that dnsmasq reads, beside files that others have put there.
//!
//! Each begins with a line that says so; a file without it was made by others, and is neither
//! changed nor removed. dnsmasq does not look at names that begin with a dot, so a file is written
//! under such a name and moved into place, whole.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::{Doing, Error, Kind, Result, Within};

/// How every file of the suite begins.
pub const MARK: &str = "# leasepipe ";

/// How the name of a file begins that is being written.
pub const UNFINISHED: &str = ".leasepipe-";

/// No file of the suite is longer than this.
const LONGEST: u64 = 4096;

/// A directory with files of the suite, each of which holds one `what`.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    what: &'static str,
}

/// A file of a directory, as it was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Nothing,
    /// The suite's, with this text.
    Ours(String),
    /// Somebody else's.
    Others,
}

impl Files {
    /// The directory at that path, which must be there.
    pub fn open(directory: &Path, what: &'static str) -> Result<Files> {
        let doing = format!("open directory of {what}s");
        let metadata = fs::metadata(directory).doing(&doing).within(directory.display())?;
        if !metadata.is_dir() {
            let error = Error::new(Kind::BadInput, doing);
            return Err(error.why("not a directory").at(directory.display()));
        }
        Ok(Files { directory: directory.to_owned(), what })
    }

    /// The names of all files, whosesoever.
    pub fn names(&self) -> Result<Vec<String>> {
        let what = format!("list {}s", self.what);
        let entries =
            fs::read_dir(&self.directory).doing(&what).within(self.directory.display())?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.doing(&what).within(self.directory.display())?;
            // What is not UTF-8 was not named by the suite.
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    /// What there is of that name.
    pub fn read(&self, name: &str) -> Result<Found> {
        let path = self.directory.join(name);
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let doing = || format!("read {}", self.what);
        let file = match File::options().read(true).custom_flags(flags).open(&path) {
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(why) if why.raw_os_error() == Some(nix::libc::ELOOP) => return Ok(Found::Others),
            opened => opened.doing(doing()).within(path.display())?,
        };
        let mut text = Vec::new();
        match file.take(LONGEST).read_to_end(&mut text) {
            Err(why) if why.kind() == ErrorKind::IsADirectory => return Ok(Found::Others),
            read => read.doing(doing()).within(path.display())?,
        };
        match String::from_utf8(text) {
            Ok(text) if text.starts_with(MARK) => Ok(Found::Ours(text)),
            _ => Ok(Found::Others),
        }
    }

    /// The error that a file is somebody else's.
    pub fn refused(&self, name: &str) -> Error {
        Error::new(Kind::Refused, format_args!("replace {}", self.what))
            .why(format_args!("the file does not begin with \"{MARK}\": it is another's"))
            .remedy("move it away if it is not wanted")
            .at(self.directory.join(name).display())
    }

    /// Puts the file in place in one step, instead of what is there.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        self.put(name, text, |unfinished| fs::rename(unfinished, &path)).map(drop)
    }

    /// Puts the file in place in one step, if there is none of that name; whether there was none. Of
    /// several programs that do this at once, one does it.
    pub fn claim(&self, name: &str, text: &str) -> Result<bool> {
        let path = self.directory.join(name);
        self.put(name, text, |unfinished| {
            let flags = RenameFlags::RENAME_NOREPLACE;
            match renameat2(AT_FDCWD, unfinished, AT_FDCWD, &path, flags) {
                Err(Errno::EEXIST) => fs::remove_file(unfinished).map(|()| false),
                moved => Ok(moved.map(|()| true)?),
            }
        })
    }

    /// Removes the file, which may be gone already.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        remove_file(&path).doing(format_args!("remove {}", self.what)).within(path.display())
    }

    /// How long ago the file was put in place; nothing when it is not there.
    pub fn age(&self, name: &str, now: SystemTime) -> Option<Duration> {
        let metadata = fs::symlink_metadata(self.directory.join(name)).ok()?;
        Some(now.duration_since(metadata.modified().ok()?).unwrap_or_default())
    }

    /// Removes files that a program which was killed did not finish, so long ago.
    pub fn sweep_unfinished(&self, now: SystemTime, age: Duration) -> Result<()> {
        let names = self.names()?.into_iter().filter(|name| name.starts_with(UNFINISHED));
        for name in names {
            if self.age(&name, now).is_some_and(|its| its >= age) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Writes the file under a name that is not looked at, and lets `place` move it. It is readable
    /// by all, since dnsmasq gives up its rights.
    fn put<T>(
        &self,
        name: &str,
        text: &str,
        place: impl FnOnce(&Path) -> std::io::Result<T>,
    ) -> Result<T> {
        let unfinished = self.directory.join(format!("{UNFINISHED}{name}.{}", std::process::id()));
        let written = remove_file(&unfinished).and_then(|()| {
            let mut file = File::options().write(true).create_new(true).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.sync_all()?;
            place(&unfinished)
        });
        if written.is_err() {
            // Told is why it could not be written; what is left is swept up later.
            let _ = fs::remove_file(&unfinished);
        }
        let path = self.directory.join(name);
        written.doing(format_args!("write {}", self.what)).within(path.display())
    }
}

/// Removes a file that may be gone already.
fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
