//! lease-bind: a container's address is reserved for it, and the ledger knows whose it was.
//!
//! The order of the acts makes every stop in between harmless. What begins is first entered in the
//! ledger, then reserved, then told; what ends is first reserved no more, then closed in the ledger,
//! then told. So whatever is reserved is open in the ledger, and what is open and wanted no more is
//! found and closed at the next checkpoint.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::adapter::dnsmasq::reservations::{Reservation, Reservations};
use crate::adapter::ledger::Ledger;
use crate::error::{Error, Result};
use crate::pipe::{Report, Stdio};
use crate::record::{
    Action, Address, Binding, Change, Checkpoint, Container, ContainerId, Entry, Interface,
    LeaseRef, NotA, Of, Origin, Owner, Record, State, Status,
};

/// Where addresses are reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Nowhere.
    None,
    /// In a directory that dnsmasq reads as its `dhcp-hostsdir`.
    Dnsmasq(PathBuf),
}

impl FromStr for Reserve {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Reserve, NotA> {
        match text.split_once(':') {
            None if text == "none" => Ok(Reserve::None),
            Some(("dnsmasq", path)) if !path.is_empty() => Ok(Reserve::Dnsmasq(path.into())),
            _ => Err(NotA::new(text, "a place for reservations (dnsmasq:DIR or none)")),
        }
    }
}

/// Serves standard input to its end.
///
/// # Errors
/// When a stream fails, or the ledger or the directory of reservations cannot be opened. What fails
/// for one record is told, and the record goes on as failed.
pub fn run(mut stdio: Stdio, ledger: &Path, reserve: &Reserve) -> Result<()> {
    let reservations = match reserve {
        Reserve::None => None,
        Reserve::Dnsmasq(directory) => Some(Reservations::open(directory)?),
    };
    let mut binder = Binder { ledger: Ledger::open(ledger)?, reservations, listed: HashSet::new() };
    while let Some(record) = stdio.read()? {
        match record {
            Record::Change(change) => {
                for record in binder.change(change, &stdio.report) {
                    stdio.write(&record)?;
                }
            }
            Record::Container(container) => {
                for record in binder.container(container, &stdio.report) {
                    stdio.write(&record)?;
                }
            }
            Record::Checkpoint(checkpoint) if checkpoint.of == Of::Change => {
                for closed in binder.checkpoint(&checkpoint, &stdio.report) {
                    stdio.write(&Record::Binding(closed))?;
                }
                stdio.write(&Record::Checkpoint(checkpoint))?;
            }
            other => stdio.write(&other)?,
        }
    }
    stdio.finish()
}

struct Binder {
    ledger: Ledger,
    reservations: Option<Reservations>,
    /// Containers that were told of since the last checkpoint and are not to go.
    listed: HashSet<(Owner, ContainerId)>,
}

/// The containers of one pipe are told apart from another's by their owner.
fn owner_of(container: &Container) -> Owner {
    let none = || "leasepipe".parse().expect("a valid owner");
    container.owner.clone().unwrap_or_else(none)
}

impl Binder {
    /// Deals with a change; what goes out for it.
    fn change(&mut self, change: Change, report: &Report) -> Vec<Record> {
        if change.has_failed() {
            let lost = self.failed(&change.container, report).map(Record::Binding);
            return lost.into_iter().chain([Record::Change(change)]).collect();
        }
        match self.act(change.action, &change.container) {
            Ok(bindings) if bindings.is_empty() => vec![Record::Change(change)],
            Ok(bindings) => bindings.into_iter().map(Record::Binding).collect(),
            Err(why) => {
                report.failed(&why.clone().at(&change.container.id));
                vec![Record::Change(change.failed(&why))]
            }
        }
    }

    /// Deals with a bare container, which is to be there unless it says `absent`.
    fn container(&mut self, mut container: Container, report: &Report) -> Vec<Record> {
        if container.status == Some(Status::Failed) {
            let lost = self.failed(&container, report).map(Record::Binding);
            return lost.into_iter().chain([Record::Container(container)]).collect();
        }
        let absent = container.state == Some(State::Absent);
        let action = if absent { Action::Remove } else { Action::Add };
        match self.act(action, &container) {
            Ok(bindings) if bindings.is_empty() => vec![Record::Container(container)],
            Ok(bindings) => bindings.into_iter().map(Record::Binding).collect(),
            Err(why) => {
                report.failed(&why.clone().at(&container.id));
                container.fail(&why);
                vec![Record::Container(container)]
            }
        }
    }

    /// A stage before this one has failed on the container. That alone says nothing of its binding,
    /// which goes on. But when the record tells of the interface that is bound, and the address is
    /// not on it any more, the container has lost the address; the binding that ended by it.
    fn failed(&mut self, container: &Container, report: &Report) -> Option<Binding> {
        let owner = owner_of(container);
        self.listed.insert((owner.clone(), container.id.clone()));
        if container.interfaces.is_empty() {
            return None;
        }
        let bound = told(self.ledger.binding(&owner, &container.id), report)??;
        let interface = container.interfaces.iter().find(|known| Some(known.mac) == bound.mac)?;
        if interface.addresses.iter().any(|known| known.address == bound.address) {
            return None;
        }
        let ended = self.unbind(&owner, &container.id).map_err(|why| why.at(&container.id));
        told(ended, report)?
    }

    /// The bindings that came or went by it: the new one last.
    fn act(&mut self, action: Action, container: &Container) -> Result<Vec<Binding>> {
        let owner = owner_of(container);
        let place = (owner.clone(), container.id.clone());
        if action == Action::Remove {
            self.listed.remove(&place);
            return Ok(self.unbind(&owner, &container.id)?.into_iter().collect());
        }
        self.listed.insert(place);
        match (&container.lease, leased(container)) {
            (Some(lease), Some((interface, address))) => {
                self.bind(owner, container, lease, interface, address)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn bind(
        &mut self,
        owner: Owner,
        container: &Container,
        lease: &LeaseRef,
        interface: &Interface,
        address: &Address,
    ) -> Result<Vec<Binding>> {
        let mut binding = Binding {
            lease: lease.clone(),
            container: container.id.clone(),
            address: address.address,
            duid: interface.duid.clone(),
            mac: Some(interface.mac),
            host: container.host.clone(),
            owner: Some(owner.clone()),
            since: now(),
            until: None,
            rest: Default::default(),
        };
        let docker_id = container.docker.as_ref().map(|docker| docker.id.clone());
        let entry = Entry { owner: owner.clone(), binding: binding.clone(), docker_id };
        let bound = self.ledger.bind(&entry)?;
        match (&self.reservations, reservation(owner.clone(), &binding, address.origin)) {
            (Some(reservations), Some(wanted)) => drop(reservations.put(&wanted)?),
            (_, None) => self.unreserve(&owner, &container.id)?,
            (None, _) => (),
        }
        binding.since = bound.since;
        Ok(bound.instead_of.into_iter().chain([binding]).collect())
    }

    fn unbind(&mut self, owner: &Owner, container: &ContainerId) -> Result<Option<Binding>> {
        self.unreserve(owner, container)?;
        self.ledger.unbind(owner, container, now())
    }

    /// Ends the reservation for a container. A client that takes a new host name has a new container
    /// of the same DUID; when that one has a reservation before the old one goes, the DUID keeps it.
    fn unreserve(&self, owner: &Owner, container: &ContainerId) -> Result<()> {
        let Some(reservations) = &self.reservations else { return Ok(()) };
        let Some(duid) = reservations.duid(owner, container)? else { return Ok(()) };
        let another = |(of, other): &(Owner, ContainerId)| {
            (of, other) != (owner, container)
                && reservations.duid(of, other).is_ok_and(|its| its.as_ref() == Some(&duid))
        };
        match self.ledger.bound_under(&duid)?.iter().any(another) {
            true => reservations.give_way(owner, container)?,
            false => reservations.remove(owner, container)?,
        };
        Ok(())
    }

    /// All changes of a listing have come by: ends what is bound or reserved and was not listed.
    fn checkpoint(&mut self, checkpoint: &Checkpoint, report: &Report) -> Vec<Binding> {
        let listed = std::mem::take(&mut self.listed);
        let mut ended = Vec::new();
        for (owner, container) in self.left_over(checkpoint.owner.as_ref(), report) {
            if listed.contains(&(owner.clone(), container.clone())) {
                continue;
            }
            match self.unbind(&owner, &container) {
                Ok(closed) => ended.extend(closed),
                Err(why) => report.failed(&why.at(&container)),
            }
        }
        if let Some(reservations) = &self.reservations {
            told(reservations.sweep(SystemTime::now()), report);
        }
        ended
    }

    /// What is bound or reserved, each container once.
    fn left_over(&self, owner: Option<&Owner>, report: &Report) -> Vec<(Owner, ContainerId)> {
        let mut found = told(self.ledger.bound(owner), report).unwrap_or_default();
        if let Some(reservations) = &self.reservations {
            found.extend(told(reservations.list(owner), report).unwrap_or_default());
        }
        found.sort();
        found.dedup();
        found
    }
}

/// The address that the container is bound by: the first that it leased, or else its first.
fn leased(container: &Container) -> Option<(&Interface, &Address)> {
    let all = || {
        let of = |interface| move |address| (interface, address);
        let interfaces = container.interfaces.iter();
        interfaces.flat_map(move |interface| interface.addresses.iter().map(of(interface)))
    };
    all().find(|(_, address)| address.origin == Origin::Dhcp6).or_else(|| all().next())
}

/// The reservation that keeps a leased address for its container; nothing for an address that no
/// server gives out. Its name is the container's, where that is a host name.
fn reservation(owner: Owner, binding: &Binding, origin: Origin) -> Option<Reservation> {
    let address = match binding.address {
        std::net::IpAddr::V6(address) if origin == Origin::Dhcp6 => address,
        _ => return None,
    };
    let duid = binding.duid.clone()?;
    let name = binding.container.as_str();
    let name = Some(name).filter(|name| !name.contains('.')).and_then(|name| name.parse().ok());
    Some(Reservation { owner, container: binding.container.clone(), duid, address, name })
}

/// The time in whole milliseconds, which is what the ledger keeps.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Tells an error that does not belong to any one record.
fn told<T>(outcome: Result<T, Error>, report: &Report) -> Option<T> {
    outcome.map_err(|why| report.failed(&why)).ok()
}
