//! What is bound: decides for each record what begins and what ends, and does it in order.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::names::Namer;
use super::reserve::Reservations;
use super::store::Store;
use crate::error::Result;
use crate::pipe::Report;
use crate::record::{
    Action, Address, Binding, Change, Checkpoint, Container, ContainerId, Entry, Interface,
    LeaseRef, Origin, Owner, Question, Record, Reservation, State, Status,
};

/// Binds containers to the clients that they are for.
pub struct Binder {
    store: Store,
    reservations: Reservations,
    namer: Option<Namer>,
    /// Containers that were told of since the last checkpoint and are not to go.
    listed: HashSet<(Owner, ContainerId)>,
}

/// The containers of one pipe are told apart from another's by their owner.
fn owner_of(container: &Container) -> Owner {
    container.owner.clone().unwrap_or_default()
}

impl Binder {
    /// One that has been told of nothing yet.
    pub fn new(store: Store, reservations: Reservations, namer: Option<Namer>) -> Binder {
        Binder { store, reservations, namer, listed: HashSet::new() }
    }

    /// Deals with a change; what goes out for it.
    pub fn change(&mut self, change: Change, report: &Report) -> Vec<Record> {
        if change.has_failed() {
            let lost = self.failed(&change.container, report).map(Record::Binding);
            return lost.into_iter().chain([change.into()]).collect();
        }
        match self.act(change.action, &change.container, report) {
            Ok(bindings) if bindings.is_empty() => vec![change.into()],
            Ok(bindings) => bindings.into_iter().map(Record::Binding).collect(),
            Err(why) => {
                report.failed(&why.clone().at(&change.container.id));
                vec![change.failed(&why).into()]
            }
        }
    }

    /// Deals with a bare container, which is to be there unless it says `absent`.
    pub fn container(&mut self, mut container: Container, report: &Report) -> Vec<Record> {
        if container.status == Some(Status::Failed) {
            let lost = self.failed(&container, report).map(Record::Binding);
            return lost.into_iter().chain([container.into()]).collect();
        }
        let absent = container.state == Some(State::Absent);
        let action = if absent { Action::Remove } else { Action::Add };
        match self.act(action, &container, report) {
            Ok(bindings) if bindings.is_empty() => vec![container.into()],
            Ok(bindings) => bindings.into_iter().map(Record::Binding).collect(),
            Err(why) => {
                report.failed(&why.clone().at(&container.id));
                container.fail(&why);
                vec![container.into()]
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
        let bound = told(self.store.binding(&owner, &container.id), report)??;
        let interface = container.interfaces.iter().find(|known| Some(known.mac) == bound.mac)?;
        if interface.addresses.iter().any(|known| known.address == bound.address) {
            return None;
        }
        let ended = self.unbind(&owner, &container.id, report).map_err(|why| why.at(&container.id));
        told(ended, report)?
    }

    /// The bindings that came or went by it: the new one last.
    fn act(
        &mut self,
        action: Action,
        container: &Container,
        report: &Report,
    ) -> Result<Vec<Binding>> {
        let owner = owner_of(container);
        let place = (owner.clone(), container.id.clone());
        if action == Action::Remove {
            self.listed.remove(&place);
            return Ok(self.unbind(&owner, &container.id, report)?.into_iter().collect());
        }
        self.listed.insert(place);
        if action.rests() {
            // It has its lease still, and its address when it runs again.
            return Ok(Vec::new());
        }
        match (&container.lease, leased(container)) {
            (Some(lease), Some((interface, address))) => {
                let entry = entry(owner, container, lease, interface, address);
                self.bind(entry, address.origin, report)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn bind(&mut self, entry: Entry, origin: Origin, report: &Report) -> Result<Vec<Binding>> {
        let bound = self.store.bind(&entry)?;
        let Entry { owner, mut binding, .. } = entry;
        match reservation(owner.clone(), &binding, origin) {
            Some(wanted) => drop(self.reservations.put(&wanted)?),
            None => self.unreserve(&owner, &binding.container)?,
        }
        if let Some(namer) = &mut self.namer {
            namer.put(&owner, &binding, false, report)?;
        }
        binding.since = bound.since;
        Ok(bound.instead_of.into_iter().chain([binding]).collect())
    }

    fn unbind(
        &mut self,
        owner: &Owner,
        container: &ContainerId,
        report: &Report,
    ) -> Result<Option<Binding>> {
        self.unname(owner, container, report)?;
        self.unreserve(owner, container)?;
        self.store.unbind(owner, container, now())
    }

    /// Takes its name from a container. Its client's other containers in this pipe may have that now,
    /// and those that have its address are told of again, while the ledger still knows that it was
    /// bound.
    fn unname(&mut self, owner: &Owner, container: &ContainerId, report: &Report) -> Result<()> {
        let Some(namer) = &mut self.namer else { return Ok(()) };
        namer.remove(owner, container)?;
        let Some(ends) = self.store.binding(owner, container)? else { return Ok(()) };
        let of_client = Question {
            key: Some(ends.lease.key),
            owner: Some(owner.clone()),
            open: true,
            ..Question::default()
        };
        self.store.ask(&of_client, &mut |other| match other.container == *container {
            true => Ok(()),
            false => namer.put(owner, &other, other.address == ends.address, report),
        })
    }

    /// Ends the reservation for a container. A client that takes a new host name has a new container
    /// of the same DUID; when that one has a reservation before the old one goes, the DUID keeps it.
    fn unreserve(&mut self, owner: &Owner, container: &ContainerId) -> Result<()> {
        let Some(duid) = self.reservations.duid(owner, container)? else { return Ok(()) };
        let under_it = self.store.bound_under(&duid)?;
        let reservations = &mut self.reservations;
        let another = under_it.iter().any(|(of, other)| {
            (of, other) != (owner, container)
                && reservations.duid(of, other).is_ok_and(|its| its.as_ref() == Some(&duid))
        });
        match another {
            true => reservations.give_way(owner, container)?,
            false => reservations.remove(owner, container)?,
        };
        Ok(())
    }

    /// All changes of a listing have come by: ends what is bound, reserved or named and was not listed. A
    /// listing in which some may be missing ends nothing.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint, report: &Report) -> Vec<Binding> {
        let listed = std::mem::take(&mut self.listed);
        if checkpoint.partial {
            return Vec::new();
        }
        let mut ended = Vec::new();
        for (owner, container) in self.left_over(checkpoint.owner.as_ref(), report) {
            if listed.contains(&(owner.clone(), container.clone())) {
                continue;
            }
            match self.unbind(&owner, &container, report) {
                Ok(closed) => ended.extend(closed),
                Err(why) => report.failed(&why.at(&container)),
            }
        }
        told(self.reservations.sweep(SystemTime::now()), report);
        if let Some(namer) = &mut self.namer {
            told(namer.sweep(SystemTime::now()), report);
        }
        ended
    }

    /// Deletes what has ended longer ago than this, if anything is ever deleted.
    pub fn forget(&mut self, retain: Option<Duration>, report: &Report) {
        let before = retain.and_then(|time| now().checked_sub(time).ok());
        if let Some(before) = before {
            told(self.store.forget(before), report);
        }
    }

    /// What is bound, reserved or named, each container once.
    fn left_over(&mut self, owner: Option<&Owner>, report: &Report) -> Vec<(Owner, ContainerId)> {
        let mut found = told(self.store.bound(owner), report).unwrap_or_default();
        found.extend(told(self.reservations.list(owner), report).unwrap_or_default());
        if let Some(namer) = &mut self.namer {
            found.extend(told(namer.list(owner), report).unwrap_or_default());
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

/// What is entered for a container that is bound from now on.
fn entry(
    owner: Owner,
    container: &Container,
    lease: &LeaseRef,
    interface: &Interface,
    address: &Address,
) -> Entry {
    let binding = Binding {
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
    Entry { owner, binding, docker_id }
}

/// The reservation that keeps a leased address for its container; nothing for an address that no
/// server gives out. Its name is the container's, where that is a host name.
fn reservation(owner: Owner, binding: &Binding, origin: Origin) -> Option<Reservation> {
    let address = match binding.address {
        IpAddr::V6(address) if origin == Origin::Dhcp6 => address,
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
fn told<T>(outcome: Result<T>, report: &Report) -> Option<T> {
    outcome.map_err(|why| report.failed(&why)).ok()
}
