//! Where addresses are reserved for containers.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::adapter::dnsmasq::reservations as dnsmasq;
use crate::adapter::kea;
use crate::error::{Error, Kind, Result};
use crate::record::{ContainerId, Duid, Owner, Reservation};

/// How long Kea may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where addresses are reserved, as the command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Nowhere.
    None,
    /// In a directory that dnsmasq reads as its `dhcp-hostsdir`.
    Dnsmasq(PathBuf),
    /// By a running Kea, through its control channel.
    Kea(kea::Place),
}

impl FromStr for Reserve {
    type Err = Error;

    /// # Errors
    /// `Usage` for what names no place.
    fn from_str(text: &str) -> Result<Reserve> {
        match text.split_once(':') {
            None if text == "none" => Ok(Reserve::None),
            Some(("dnsmasq", path)) if !path.is_empty() => Ok(Reserve::Dnsmasq(path.into())),
            Some(("kea", place)) if !place.is_empty() => kea::Place::parse(place).map(Reserve::Kea),
            _ => Err(Error::new(Kind::Usage, "no place for reservations")
                .remedy("known are dnsmasq:DIR, kea:PATH, kea:http://HOST:PORT/ and none")),
        }
    }
}

/// The reservations of one DHCP server; of none, where nothing is reserved and all succeeds.
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub enum Reservations {
    None,
    Dnsmasq(dnsmasq::Reservations),
    Kea(Box<kea::reservations::Reservations>),
}

impl Reservations {
    /// Those at the place that was named.
    ///
    /// # Errors
    /// When the server or its directory is not there.
    pub fn open(at: &Reserve) -> Result<Reservations> {
        match at {
            Reserve::None => Ok(Reservations::None),
            Reserve::Dnsmasq(directory) => {
                dnsmasq::Reservations::open(directory).map(Reservations::Dnsmasq)
            }
            Reserve::Kea(place) => kea::reservations::Reservations::open(place.clone(), PATIENCE)
                .map(|server| Reservations::Kea(Box::new(server))),
        }
    }

    /// Reserves an address; whether that was not so before.
    pub fn put(&mut self, wanted: &Reservation) -> Result<bool> {
        match self {
            Reservations::None => Ok(false),
            Reservations::Dnsmasq(files) => files.put(wanted),
            Reservations::Kea(server) => server.put(wanted),
        }
    }

    /// Ends the reservation for a container; whether there was one.
    pub fn remove(&mut self, owner: &Owner, container: &ContainerId) -> Result<bool> {
        match self {
            Reservations::None => Ok(false),
            Reservations::Dnsmasq(files) => files.remove(owner, container),
            Reservations::Kea(server) => server.remove(owner, container),
        }
    }

    /// Ends the reservation for a container, whose DUID another container has a reservation for by
    /// now; whether there was one.
    pub fn give_way(&mut self, owner: &Owner, container: &ContainerId) -> Result<bool> {
        match self {
            Reservations::None => Ok(false),
            Reservations::Dnsmasq(files) => files.give_way(owner, container),
            // What is under that DUID in another subnet goes; what the other one took over is not his.
            Reservations::Kea(server) => server.remove(owner, container),
        }
    }

    /// The DUID that an address is reserved for on behalf of a container.
    pub fn duid(&mut self, owner: &Owner, container: &ContainerId) -> Result<Option<Duid>> {
        match self {
            Reservations::None => Ok(None),
            Reservations::Dnsmasq(files) => files.duid(owner, container),
            Reservations::Kea(server) => server.duid(owner, container),
        }
    }

    /// The containers that have a reservation; of one owner, or of all.
    pub fn list(&mut self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        match self {
            Reservations::None => Ok(Vec::new()),
            Reservations::Dnsmasq(files) => files.list(owner),
            Reservations::Kea(server) => server.list(owner),
        }
    }

    /// Takes away what reservations that have ended have left and nobody needs by `now`.
    pub fn sweep(&mut self, now: SystemTime) -> Result<()> {
        match self {
            Reservations::None | Reservations::Kea(_) => Ok(()),
            Reservations::Dnsmasq(files) => files.sweep(now),
        }
    }
}
