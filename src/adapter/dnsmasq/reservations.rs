//! Addresses that dnsmasq keeps for containers: the files of a `dhcp-hostsdir`.
//!
//! One file for each container, named `OWNER@CONTAINER`. Its first line says whose it is; a file
//! without that line was made by others, and is neither changed nor removed. The second line is
//! dnsmasq's own form, `id:DUID,[ADDRESS],NAME`.
//!
//! What dnsmasq 2.90 does with the directory, measured:
//! - A file that is moved in is read at once; names that begin with a dot are not looked at, so
//!   files are written under such a name first.
//! - What it has read it never forgets before it is restarted or gets SIGHUP, neither when the file
//!   is changed nor when it is deleted. But what was read last for a DUID is what counts.
//! - So a reservation ends by moving in a file that knows the DUID and gives it no address. From then
//!   on the client is treated as any other. That file may go once dnsmasq has read it; it says nothing
//!   that matters, and is swept up after [`READ_BY_THEN`].
//! - Where another file reserves for the same DUID by now, that of a client's next container, such a
//!   line read behind it would void it. Then the file just goes.
//! - The address itself is given to nobody else of dnsmasq's own accord until SIGHUP or a restart. A
//!   later reservation of it takes effect at once.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Doing, Error, Kind, Result, Within};
use crate::record::{ContainerId, Duid, Owner, Reservation};

/// How every file of the suite begins.
const MARK: &str = "# leasepipe ";

/// How a file begins that is being written.
const UNFINISHED: &str = ".leasepipe-";

/// After so long dnsmasq has read a file, or does not run and will read the directory anew.
pub const READ_BY_THEN: Duration = Duration::from_secs(60);

/// No file of the suite is longer than this.
const LONGEST: u64 = 4096;

/// A directory that dnsmasq reads as its `dhcp-hostsdir`.
#[derive(Debug)]
pub struct Reservations {
    directory: PathBuf,
}

/// What one of the suite's files says.
struct Content {
    text: String,
    /// The DUID that it reserves for; absent when it reserves nothing.
    reserves: Option<Duid>,
}

impl Reservations {
    /// The directory at that path, which must be there.
    pub fn open(directory: &Path) -> Result<Reservations> {
        let metadata = fs::metadata(directory)
            .doing("open directory of reservations")
            .within(directory.display())?;
        if !metadata.is_dir() {
            let error = Error::new(Kind::BadInput, "open directory of reservations");
            return Err(error.why("not a directory").at(directory.display()));
        }
        Ok(Reservations { directory: directory.to_owned() })
    }

    /// Reserves an address; whether that was not so before.
    ///
    /// # Errors
    /// `Refused` when the file is another's.
    pub fn put(&self, wanted: &Reservation) -> Result<bool> {
        let name = file_name(&wanted.owner, &wanted.container);
        let before = self.read(&name)?;
        let mut text = lines(wanted);
        let old = before.as_ref().and_then(|before| before.reserves.as_ref());
        if let Some(old) = old.filter(|old| **old != wanted.duid) {
            text.push_str(&released(old));
        }
        if before.is_some_and(|before| before.text == text) {
            return Ok(false);
        }
        self.write(&name, &text).map(|()| true)
    }

    /// Ends the reservation for a container; whether there was one.
    ///
    /// # Errors
    /// `Refused` when the file is another's.
    pub fn remove(&self, owner: &Owner, container: &ContainerId) -> Result<bool> {
        let name = file_name(owner, container);
        let Some(duid) = self.read(&name)?.and_then(|before| before.reserves) else {
            return Ok(false);
        };
        let head = format!("{MARK}reserves nothing any more for {container} of {owner}\n");
        self.write(&name, &(head + &released(&duid))).map(|()| true)
    }

    /// The DUID that an address is reserved for on behalf of a container.
    ///
    /// # Errors
    /// `Refused` when the file is another's.
    pub fn duid(&self, owner: &Owner, container: &ContainerId) -> Result<Option<Duid>> {
        Ok(self.read(&file_name(owner, container))?.and_then(|before| before.reserves))
    }

    /// Takes the reservation for a container away without a word to dnsmasq about its DUID, for
    /// which another container has a reservation by now; whether there was one.
    ///
    /// # Errors
    /// `Refused` when the file is another's.
    pub fn give_way(&self, owner: &Owner, container: &ContainerId) -> Result<bool> {
        let name = file_name(owner, container);
        if self.read(&name)?.is_none() {
            return Ok(false);
        }
        let path = self.directory.join(&name);
        remove_file(&path).doing("remove reservation").within(path.display())?;
        Ok(true)
    }

    /// The containers that have a reservation; of one owner, or of all.
    pub fn list(&self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        let mut found = Vec::new();
        for name in self.names()? {
            let Some((of, container)) = parse_name(&name) else { continue };
            if owner.is_some_and(|owner| *owner != of) {
                continue;
            }
            // A file of others is none of ours to tell of.
            if let Ok(Some(Content { reserves: Some(_), .. })) = self.read(&name) {
                found.push((of, container));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Deletes files of ended reservations that dnsmasq has read by `now`, and files that a program
    /// which was killed did not finish.
    pub fn sweep(&self, now: SystemTime) -> Result<()> {
        for name in self.names()? {
            let ended = || matches!(self.read(&name), Ok(Some(Content { reserves: None, .. })));
            let unfinished = name.starts_with(UNFINISHED);
            if !unfinished && (parse_name(&name).is_none() || !ended()) {
                continue;
            }
            let path = self.directory.join(&name);
            let age = fs::symlink_metadata(&path)
                .and_then(|metadata| metadata.modified())
                .map(|written| now.duration_since(written).unwrap_or_default());
            if age.is_ok_and(|age| age >= READ_BY_THEN) {
                remove_file(&path).doing("remove reservation").within(path.display())?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>> {
        let what = "list reservations";
        let entries = fs::read_dir(&self.directory).doing(what).within(self.directory.display())?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.doing(what).within(self.directory.display())?;
            // What is not UTF-8 was not named by the suite.
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    /// What the suite's file of that name says; nothing when there is none.
    fn read(&self, name: &str) -> Result<Option<Content>> {
        let path = self.directory.join(name);
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let opened = File::options().read(true).custom_flags(flags).open(&path);
        let file = match opened {
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.doing("read reservation").within(path.display())?,
        };
        let mut text = Vec::new();
        let read = file.take(LONGEST).read_to_end(&mut text);
        read.doing("read reservation").within(path.display())?;
        match String::from_utf8(text) {
            Ok(text) if text.starts_with(MARK) => {
                let reserves = text.lines().find_map(reserved_by);
                Ok(Some(Content { text, reserves }))
            }
            _ => {
                let error = Error::new(Kind::Refused, "replace reservation")
                    .why(format_args!("the file does not begin with \"{MARK}\": it is another's"))
                    .remedy("move it away if it is not wanted");
                Err(error.at(path.display()))
            }
        }
    }

    /// Puts the file in place in one step. It is readable by all, since dnsmasq gives up its rights.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        let unfinished = self.directory.join(format!("{UNFINISHED}{name}.{}", std::process::id()));
        let written = remove_file(&unfinished).and_then(|()| {
            let mut file = File::options().write(true).create_new(true).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        });
        if written.is_err() {
            // Told is why it could not be written; what is left is swept up later.
            let _ = fs::remove_file(&unfinished);
        }
        written.doing("write reservation").within(path.display())
    }
}

/// The lines that reserve an address.
fn lines(wanted: &Reservation) -> String {
    let Reservation { owner, container, duid, address, name } = wanted;
    let name = name.as_ref().map(|name| format!(",{name}")).unwrap_or_default();
    let head = format!("{MARK}reserves an address for {container} of {owner}; changes are lost");
    format!("{head}\nid:{duid},[{address}]{name}\n")
}

/// The line that knows a DUID and gives it nothing.
fn released(duid: &Duid) -> String {
    format!("id:{duid}\n")
}

/// The DUID in a line that reserves an address for it.
fn reserved_by(line: &str) -> Option<Duid> {
    let (duid, _) = line.strip_prefix("id:")?.split_once(",[")?;
    duid.parse().ok()
}

/// `@` occurs in neither name, so no two pairs share a file.
fn file_name(owner: &Owner, container: &ContainerId) -> String {
    format!("{owner}@{container}")
}

fn parse_name(name: &str) -> Option<(Owner, ContainerId)> {
    let (owner, container) = name.split_once('@')?;
    Some((owner.parse().ok()?, container.parse().ok()?))
}

/// Removes a file that may be gone already.
fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
