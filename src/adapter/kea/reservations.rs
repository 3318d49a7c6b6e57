//! Addresses that a server keeps for containers: host reservations (`libdhcp_host_cmds.so`).
//!
//! A reservation belongs to a DUID in a subnet, and Kea keeps it in its host database. One that the
//! suite has made says so in its user context, with the owner and the container:
//!
//! ```json
//! {"leasepipe": {"owner": "edge", "container": "web"}}
//! ```
//!
//! One that does not say so was made by others, and is neither changed nor removed. Kea cannot be
//! asked for the reservation of a container, so all are gone through once and at each listing, and
//! before one is removed it is looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Channel, Place, Server};
use crate::error::{Error, Kind, Result};
use crate::record::{ContainerId, Duid, Hostname, Owner, Reservation};

/// What must be known to the server. Changing one at once is known since Kea 2.3.
const NEEDED: [&str; 4] =
    ["reservation-add", "reservation-del", "reservation-get", "reservation-get-page"];
const UPDATE: &str = "reservation-update";

/// How many reservations are asked for at a time.
const AT_A_TIME: u32 = 500;

/// More pages than any server has.
const MOST_PAGES: usize = 100_000;

/// The host reservations of one server.
pub struct Reservations {
    channel: Channel,
    /// Whether one can be changed without being taken away first.
    updates: bool,
    /// What the server is; absent when that must be asked anew.
    server: Option<Server>,
    /// What the suite has; absent before it was gone through.
    own: Option<Own>,
}

type Whose = (Owner, ContainerId);

/// What containers have; more than one when a change was cut short.
type Own = BTreeMap<Whose, BTreeSet<Identity>>;

/// What a reservation is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    subnet: u32,
    duid: Duid,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct By {
    subnet_id: u32,
    identifier_type: &'static str,
    identifier: Duid,
}

/// A reservation on the wire; of what the server says only what matters here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Host {
    subnet_id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duid: Option<String>,
    #[serde(default)]
    ip_addresses: Vec<String>,
    #[serde(default)]
    hostname: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_context: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Given {
    reservation: Host,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Next {
    source_index: u64,
    from: u64,
}

#[derive(Serialize)]
struct PageWanted {
    limit: u32,
    #[serde(flatten)]
    next: Next,
}

#[derive(Deserialize)]
struct PageAnswered {
    #[serde(default)]
    hosts: Vec<Host>,
    next: Option<Next>,
}

impl Reservations {
    /// The reservations of the server at that place, which must be able to keep some.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers, or the server lacks what is needed, which is told by name.
    pub fn open(place: Place, patience: Duration) -> Result<Reservations> {
        let channel = Channel::new(place, patience)?;
        let missing = |why: String, remedy| {
            Error::new(Kind::Unavailable, "reserve addresses")
                .why(why)
                .remedy(remedy)
                .at(channel.place())
        };
        if let [command, ..] = channel.lacks(&NEEDED)?[..] {
            let why = format!("the server does not know the command {command}");
            let remedy = "load the hook library libdhcp_host_cmds.so (in Kea since 2.7.7) and \
                          give kea-dhcp6 a hosts-database, or use --reserve none";
            return Err(missing(why, remedy));
        }
        let server = channel.server()?;
        if !server.has_host_database {
            let why = "the server has no database for reservations".to_owned();
            return Err(missing(why, "give kea-dhcp6 a hosts-database, or use --reserve none"));
        }
        let updates = channel.lacks(&[UPDATE])?.is_empty();
        Ok(Reservations { channel, updates, server: Some(server), own: None })
    }

    /// Reserves an address; whether that was not so before. A reservation by others that gives the
    /// DUID this very address is as good as one's own, and left as it is.
    ///
    /// # Errors
    /// `Refused` when the DUID has another's reservation, no subnet has the address, or the server
    /// says no.
    pub fn put(&mut self, wanted: &Reservation) -> Result<bool> {
        let put = self.reserve(wanted);
        if put.is_err() {
            // It may be that the server was configured anew.
            self.server = None;
        }
        put
    }

    fn reserve(&mut self, wanted: &Reservation) -> Result<bool> {
        let subnet = self.subnet_of(wanted.address)?;
        let identity = Identity { subnet, duid: wanted.duid.clone() };
        let host = Host::new(wanted, subnet);
        let whose = whose(wanted);
        // What there is must be known before it becomes more.
        self.own()?;
        let before = self.find(&identity)?;
        let is_new = match &before {
            None => self.add(host)?,
            Some(before) => match before.whose() {
                None if before.keeps(wanted.address) => return Ok(false),
                None => return Err(taken(wanted, "by others")),
                Some((owner, _)) if owner != wanted.owner => {
                    return Err(taken(wanted, &format!("for the owner \"{owner}\"")));
                }
                Some(_) if before.says_as(&host) => false,
                Some(_) => self.change(&identity, host)?,
            },
        };
        // A client with a new name has a new container of the same DUID, which takes over.
        let other = before.and_then(|before| before.whose()).filter(|other| *other != whose);
        let own = self.own()?;
        if let Some(theirs) = other.and_then(|other| own.get_mut(&other)) {
            theirs.remove(&identity);
        }
        own.entry(whose.clone()).or_default().insert(identity.clone());
        let others = self.end(&whose, |kept| *kept != identity)?;
        Ok(is_new || others)
    }

    /// Ends the reservation for a container; whether there was one.
    pub fn remove(&mut self, owner: &Owner, container: &ContainerId) -> Result<bool> {
        self.end(&(owner.clone(), container.clone()), |_| true)
    }

    /// The DUID that an address is reserved for on behalf of a container.
    pub fn duid(&mut self, owner: &Owner, container: &ContainerId) -> Result<Option<Duid>> {
        let whose = (owner.clone(), container.clone());
        let first = self.own()?.get(&whose).and_then(BTreeSet::first);
        Ok(first.map(|identity| identity.duid.clone()))
    }

    /// The containers that have a reservation; of one owner, or of all.
    pub fn list(&mut self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        self.own = None;
        let all = self.own()?.iter().filter(|(_, identities)| !identities.is_empty());
        let of_owner = all.filter(|((of, _), _)| owner.is_none_or(|owner| owner == of));
        Ok(of_owner.map(|(whose, _)| whose.clone()).collect())
    }

    /// What the suite has; asked for when it is not known.
    fn own(&mut self) -> Result<&mut Own> {
        let own = match self.own.take() {
            Some(own) => own,
            None => self.go_through()?,
        };
        Ok(self.own.insert(own))
    }

    /// Asks for all reservations, and keeps those of the suite.
    fn go_through(&self) -> Result<Own> {
        let command = "reservation-get-page";
        let mut own = Own::new();
        let mut next = Next::default();
        for _ in 0..MOST_PAGES {
            let wanted = PageWanted { limit: AT_A_TIME, next };
            let Some(page) = self.channel.get::<_, PageAnswered>(command, Some(wanted))? else {
                return Ok(own);
            };
            let found = page.hosts.iter();
            for (whose, identity) in found.filter_map(|host| host.whose().zip(host.identity())) {
                own.entry(whose).or_default().insert(identity);
            }
            match page.next {
                Some(behind) if !page.hosts.is_empty() && behind != next => next = behind,
                _ => return Ok(own),
            }
        }
        let endless = Error::new(Kind::BadInput, command).why("the answers have no end");
        Err(endless.at(self.channel.place()))
    }

    /// The subnet that has an address; the server's configuration may be older than the last error.
    fn subnet_of(&mut self, address: Ipv6Addr) -> Result<u32> {
        let server = match self.server.take() {
            Some(server) => server,
            None => self.channel.server()?,
        };
        let subnet = self.server.insert(server).subnet_of(address);
        subnet.map(|subnet| subnet.id).ok_or_else(|| {
            Error::new(Kind::Refused, format_args!("reserve {address}"))
                .why("no subnet of the server has this address")
                .remedy("name the server that leased it")
                .at(self.channel.place())
        })
    }

    fn find(&self, identity: &Identity) -> Result<Option<Host>> {
        self.channel.get("reservation-get", Some(By::of(identity)))
    }

    fn add(&self, reservation: Host) -> Result<bool> {
        let given = Given { reservation };
        self.channel.get::<_, Option<IgnoredAny>>("reservation-add", Some(given))?;
        Ok(true)
    }

    fn change(&self, identity: &Identity, reservation: Host) -> Result<bool> {
        if !self.updates {
            self.channel.get::<_, Option<IgnoredAny>>("reservation-del", Some(By::of(identity)))?;
            return self.add(reservation);
        }
        let given = Given { reservation };
        self.channel.get::<_, Option<IgnoredAny>>(UPDATE, Some(given))?;
        Ok(true)
    }

    /// Removes those reservations of a container that are still its own; whether there were any.
    fn end(&mut self, whose: &Whose, which: impl Fn(&Identity) -> bool) -> Result<bool> {
        let mut ended = false;
        for identity in self.own()?.get(whose).cloned().unwrap_or_default() {
            if which(&identity) {
                ended |= self.delete(&identity, whose)?;
                self.own()?.entry(whose.clone()).or_default().remove(&identity);
            }
        }
        Ok(ended)
    }

    /// Removes a reservation if it is still the one of that container; whether it was.
    fn delete(&self, identity: &Identity, whose: &Whose) -> Result<bool> {
        let found = self.find(identity)?.and_then(|host| host.whose());
        if found.as_ref() != Some(whose) {
            return Ok(false);
        }
        let by = By::of(identity);
        let deleted = self.channel.get::<_, Option<IgnoredAny>>("reservation-del", Some(by))?;
        Ok(deleted.is_some())
    }
}

fn whose(wanted: &Reservation) -> Whose {
    (wanted.owner.clone(), wanted.container.clone())
}

/// Why a DUID cannot have a reservation, which was made by whom the text says.
fn taken(wanted: &Reservation, by: &str) -> Error {
    Error::new(Kind::Refused, format_args!("reserve {}", wanted.address))
        .why(format_args!("the DUID {} has a reservation made {by}", wanted.duid))
        .remedy("remove it if it is not wanted")
}

impl Host {
    /// The reservation that is wanted, in this subnet.
    fn new(wanted: &Reservation, subnet_id: u32) -> Host {
        let Reservation { owner, container, duid, address, name } = wanted;
        Host {
            subnet_id,
            duid: Some(duid.to_string()),
            ip_addresses: vec![address.to_string()],
            hostname: name.as_ref().map(Hostname::to_string).unwrap_or_default(),
            user_context: Some(json!({"leasepipe": {"owner": owner, "container": container}})),
        }
    }

    /// The container that the suite has made it for; nothing when others have made it.
    fn whose(&self) -> Option<Whose> {
        let mark = self.user_context.as_ref()?.get("leasepipe")?;
        let word = |name| mark.get(name)?.as_str();
        Some((word("owner")?.parse().ok()?, word("container")?.parse().ok()?))
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity { subnet: self.subnet_id, duid: self.duid.as_deref()?.parse().ok()? })
    }

    /// Whether it gives this address.
    fn keeps(&self, address: Ipv6Addr) -> bool {
        self.ip_addresses.iter().any(|kept| kept.parse() == Ok(address))
    }

    /// Whether it says the same as the one that is wanted, which has one address.
    fn says_as(&self, wanted: &Host) -> bool {
        let addresses = |host: &Host| -> Vec<Option<Ipv6Addr>> {
            host.ip_addresses.iter().map(|address| address.parse().ok()).collect()
        };
        self.whose() == wanted.whose()
            && addresses(self) == addresses(wanted)
            && self.hostname.eq_ignore_ascii_case(&wanted.hostname)
    }
}

impl By {
    fn of(identity: &Identity) -> By {
        let Identity { subnet, duid } = identity;
        By { subnet_id: *subnet, identifier_type: "duid", identifier: duid.clone() }
    }
}

#[cfg(test)]
mod tests;
