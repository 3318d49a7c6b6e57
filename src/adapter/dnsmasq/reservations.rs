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

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::files::{Files, Found, MARK};
use crate::error::Result;
use crate::record::{ContainerId, Duid, Owner, Reservation};

/// After so long dnsmasq has read a file, or does not run and will read the directory anew.
pub const READ_BY_THEN: Duration = Duration::from_secs(60);

/// A directory that dnsmasq reads as its `dhcp-hostsdir`.
#[derive(Debug)]
pub struct Reservations {
    files: Files,
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
        Files::open(directory, "reservation").map(|files| Reservations { files })
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
        self.files.write(&name, &text).map(|()| true)
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
        self.files.write(&name, &(head + &released(&duid))).map(|()| true)
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
        self.files.remove(&name).map(|()| true)
    }

    /// The containers that have a reservation; of one owner, or of all.
    pub fn list(&self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        let mut found = Vec::new();
        for name in self.files.names()? {
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
        for name in self.files.names()? {
            let ended = || matches!(self.read(&name), Ok(Some(Content { reserves: None, .. })));
            let is_read = self.files.age(&name, now).is_some_and(|age| age >= READ_BY_THEN);
            if is_read && parse_name(&name).is_some() && ended() {
                self.files.remove(&name)?;
            }
        }
        self.files.sweep_unfinished(now, READ_BY_THEN)
    }

    /// What the suite's file of that name says; nothing when there is none.
    fn read(&self, name: &str) -> Result<Option<Content>> {
        match self.files.read(name)? {
            Found::Nothing => Ok(None),
            Found::Ours(text) => {
                let reserves = text.lines().find_map(reserved_by);
                Ok(Some(Content { text, reserves }))
            }
            Found::Others => Err(self.files.refused(name)),
        }
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

#[cfg(test)]
mod tests;
