//! Names of containers that dnsmasq's DNS serves: the files of a `hostsdir`.
//!
//! One file for each name, called as it is: the file is the claim to the name. Its first line says
//! whose it is; a file without that line was made by others, and is neither changed nor removed. The
//! second line is that of a hosts file, `ADDRESS NAME.DOMAIN NAME`.
//!
//! What dnsmasq 2.90 does with the directory, measured:
//! - A file that is moved in is read at once, and what it said before is forgotten; so is what a file
//!   said that is deleted. One that is moved away, or linked in, is not noticed.
//! - An address has one name: the first on the first line that was read for it. When the file with
//!   that line goes, the address has no name, until one of the others is read anew.
//! - So a container that takes another name claims it without a word about the address, gives the old
//!   one back, and only then says the address; and where two containers have had one address, the
//!   name that remains is told again.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use super::files::{Files, Found, MARK};
use super::reservations::READ_BY_THEN;
use crate::error::Result;
use crate::record::{ContainerId, Hostname, Key, Owner};

/// How often a claim is tried again that others came or went by.
const TRIES: u32 = 5;

/// A name that a container is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name: one label, in lower case.
    pub label: Hostname,
    /// The domain in which it is known as well.
    pub domain: Option<Hostname>,
    /// Whom the container belongs to.
    pub owner: Owner,
    /// The container.
    pub container: ContainerId,
    /// The client that the container is for.
    pub client: Key,
    /// The container's address.
    pub address: IpAddr,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The container has the name.
    Ours,
    /// Another container of the same client has it.
    SameClient,
    /// A container of another client has it.
    OtherClient,
    /// A file of that name is there that the suite has not made.
    NotOurs,
}

type Place = (Owner, ContainerId);

/// A directory that dnsmasq reads as its `hostsdir`.
#[derive(Debug)]
pub struct Names {
    files: Files,
    /// The names that each container had when the directory was last read, and since.
    held: HashMap<Place, BTreeSet<String>>,
}

impl Names {
    /// The directory at that path, which must be there.
    pub fn open(directory: &Path) -> Result<Names> {
        let mut names = Names { files: Files::open(directory, "name")?, held: HashMap::new() };
        names.look()?;
        Ok(names)
    }

    /// Gives a container a name, instead of any that it had; nothing is changed when it is another's.
    /// One that it has already is told to dnsmasq once more, if `again`.
    pub fn put(&mut self, claim: &Claim, again: bool) -> Result<Claimed> {
        let place = (claim.owner.clone(), claim.container.clone());
        let label = claim.label.as_str();
        let text = claim.text();
        let has_others =
            self.held.get(&place).is_some_and(|held| held.iter().any(|name| name != label));
        let first = if has_others { claim.head() } else { text.clone() };
        let before = match self.take(claim, &place, first)? {
            Ok(before) => before,
            Err(why) => return Ok(why),
        };
        self.held.entry(place.clone()).or_default().insert(label.to_owned());
        self.give_back_but(&place, Some(label))?;
        if again || before != text {
            self.files.write(label, &text)?;
        }
        Ok(Claimed::Ours)
    }

    /// Takes all names from a container; whether it had any.
    pub fn give_back(&mut self, owner: &Owner, container: &ContainerId) -> Result<bool> {
        self.give_back_but(&(owner.clone(), container.clone()), None)
    }

    /// The containers that have a name; of one owner, or of all.
    pub fn list(&mut self, owner: Option<&Owner>) -> Result<Vec<Place>> {
        self.look()?;
        let ours = |(of, _): &&Place| owner.is_none_or(|owner| owner == of);
        Ok(self.held.keys().filter(ours).cloned().collect())
    }

    /// Deletes files that a program which was killed did not finish by `now`.
    pub fn sweep(&self, now: SystemTime) -> Result<()> {
        self.files.sweep_unfinished(now, READ_BY_THEN)
    }

    /// Makes the file of that name the container's, with this text if there is none; its text.
    fn take(&self, claim: &Claim, place: &Place, text: String) -> Result<Result<String, Claimed>> {
        for _ in 0..TRIES {
            let found = match self.files.read(claim.label.as_str())? {
                Found::Nothing if self.files.claim(claim.label.as_str(), &text)? => {
                    return Ok(Ok(text));
                }
                Found::Nothing => continue,
                Found::Others => return Ok(Err(Claimed::NotOurs)),
                Found::Ours(found) => found,
            };
            return Ok(match holder(&found) {
                Some((holder, _)) if holder == *place => Ok(found),
                Some((_, client)) if client == claim.client => Err(Claimed::SameClient),
                Some(_) => Err(Claimed::OtherClient),
                None => Err(Claimed::NotOurs),
            });
        }
        Ok(Err(Claimed::OtherClient))
    }

    fn give_back_but(&mut self, place: &Place, but: Option<&str>) -> Result<bool> {
        let Some(held) = self.held.get_mut(place) else { return Ok(false) };
        let going: Vec<String> =
            held.iter().filter(|name| Some(name.as_str()) != but).cloned().collect();
        for name in &going {
            if let Found::Ours(text) = self.files.read(name)?
                && holder(&text).is_some_and(|(holder, _)| holder == *place)
            {
                self.files.remove(name)?;
            }
            held.remove(name);
        }
        if held.is_empty() {
            self.held.remove(place);
        }
        Ok(!going.is_empty())
    }

    /// Reads the directory.
    fn look(&mut self) -> Result<()> {
        self.held.clear();
        for name in self.files.names()? {
            if !name.parse::<Hostname>().is_ok_and(|label| label.label(63) == name) {
                continue;
            }
            // A file that may not be read is none of ours to tell of.
            if let Ok(Found::Ours(text)) = self.files.read(&name)
                && let Some((place, _)) = holder(&text)
            {
                self.held.entry(place).or_default().insert(name);
            }
        }
        Ok(())
    }
}

impl Claim {
    fn head(&self) -> String {
        let Claim { owner, container, client, .. } = self;
        format!("{MARK}names {container} of {owner} for client {client}; changes are lost\n")
    }

    fn text(&self) -> String {
        let Claim { label, domain, address, .. } = self;
        let whole = domain.as_ref().map(|domain| format!("{label}.{domain} ")).unwrap_or_default();
        format!("{}{address} {whole}{label}\n", self.head())
    }
}

/// Whose the name is, as the first line of its file says.
fn holder(text: &str) -> Option<(Place, Key)> {
    let words = text.lines().next()?.strip_prefix(MARK)?.strip_prefix("names ")?;
    let (container, rest) = words.split_once(" of ")?;
    let (owner, rest) = rest.split_once(" for client ")?;
    let client = rest.strip_suffix("; changes are lost")?;
    Some(((owner.parse().ok()?, container.parse().ok()?), client.parse().ok()?))
}

#[cfg(test)]
mod tests;
