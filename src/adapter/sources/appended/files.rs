//! Opening the files of a database so that all of them are of one moment.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Kind, Result};

/// What makes a file the same one, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Which file this is.
    pub fn of(file: &File) -> io::Result<Identity> {
        file.metadata().map(|metadata| Identity::new(&metadata))
    }

    /// Which file the path leads to; nothing when it leads to none.
    pub fn at(path: &Path) -> io::Result<Option<Identity>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Identity::new(&metadata))),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }

    fn new(metadata: &std::fs::Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// One of the files of a database.
#[derive(Debug)]
pub struct Open {
    /// Where it was found.
    pub path: PathBuf,
    /// The file.
    pub file: File,
}

/// The files of a database as they were found.
#[derive(Debug)]
pub struct Set {
    /// Which file each name led to. As long as the files are open, no other gets their identity.
    found: Vec<(PathBuf, Option<Identity>)>,
}

impl Set {
    /// Opens the file at `path` and those that come before it, which are returned in the order in
    /// which they are to be read. `older` are suffixes of their names: of the first group that has a
    /// file all count, and of the others none.
    ///
    /// # Errors
    /// When the file at `path` is not there, or one of them cannot be opened.
    pub fn open(path: &Path, older: &[&[&str]]) -> Result<(Set, Vec<Open>)> {
        let mut set = Set { found: Vec::new() };
        let mut chosen = Vec::new();
        for group in older {
            let mut files = Vec::new();
            for suffix in *group {
                files.extend(set.add(with_suffix(path, suffix))?);
            }
            if chosen.is_empty() {
                chosen = files;
            }
        }
        let Some(last) = set.add(path.to_owned())? else {
            let why = "no such file or directory";
            return Err(Error::new(Kind::NotFound, "open lease file").why(why));
        };
        chosen.push(last);
        Ok((set, chosen))
    }

    /// Whether all names still lead where they led.
    pub fn still_holds(&self) -> bool {
        self.found
            .iter()
            .all(|(path, found)| matches!(Identity::at(path), Ok(now) if now == *found))
    }

    fn add(&mut self, path: PathBuf) -> Result<Option<Open>> {
        let opened = open(&path)?;
        self.found.push((path.clone(), opened.as_ref().map(|(_, identity)| *identity)));
        Ok(opened.map(|(file, _)| Open { path, file }))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Opens a file that may not be there. It must be a regular one: a pipe or a device could hold the
/// program up.
fn open(path: &Path) -> Result<Option<(File, Identity)>> {
    let name = path.file_name().unwrap_or_default().display();
    let what = format!("open lease file \"{name}\"");
    let opened = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, file)) if metadata.is_file() => Ok(Some((file, Identity::new(&metadata)))),
        Ok(_) => Err(Error::new(Kind::Unavailable, what).why("not a regular file")),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why).doing(what),
    }
}
