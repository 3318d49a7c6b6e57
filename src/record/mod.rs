//! The records that the programs exchange, and the types of what stands in them.
//!
//! A record is one JSON object. This module knows what a record says and nothing of where it comes
//! from or goes to. The wire form is an interface: names are `lower_snake_case` with their unit,
//! what is not known is absent and never null, and what this version does not know is kept.

mod allow;
mod amount;
mod binding;
mod change;
mod checkpoint;
mod container;
mod endpoint;
mod env;
mod event;
mod explanation;
mod faults;
mod fixed;
mod hardware;
mod health;
mod held;
mod host;
mod hosts_at;
mod image;
mod interface;
mod joins;
mod key;
mod lease;
mod likely;
mod login;
mod manner;
mod name;
mod network;
mod object;
mod placement;
mod plug;
mod port;
mod rate;
mod requires;
mod route;
mod shape;
mod sight;
mod size;
mod span;
mod step;
mod swarm;
mod text;
mod volume;
mod words;

pub use allow::AllowFrom;
pub use amount::{Amount, Amounts};
pub use binding::{Binding, Bound, Entry, Question, Reservation};
pub use change::{Action, Change, Why};
pub use checkpoint::{Checkpoint, Of};
pub use container::{Container, Docker, HostRef, LeaseRef, Published, State, Status};
pub use endpoint::Endpoint;
pub use env::EnvVar;
pub use event::{Event, Health, Reason, Subject, Usage, What};
pub use explanation::{Explanation, Ground};
pub use faults::{Fault, Faults};
pub use fixed::Fixed;
pub use hardware::{ClientIdentifier, Duid, Mac};
pub use health::{Healthcheck, Test};
pub use held::{Classes, Held, Holder, Place, Said};
pub use host::{About, Host, HostState, Used};
pub use hosts_at::{EtcdUrl, HostsAt};
pub use image::Image;
pub use interface::{Address, Interface, Origin, Prefix};
pub use joins::{Joins, stands_alone};
pub use key::Key;
pub use lease::{Family, Lease, LeaseEvent, LeaseState, LeaseType};
pub use login::Login;
pub use manner::{Gpus, IpcMode, PidMode, Platform, Pull, Restart, Signal};
pub use name::{ContainerId, Hostname, Ifname, NetworkName, Owner};
pub use network::{Alias, DockerNetwork, DomainName, ExtraHost, Link, Network, PrivateNetwork};
pub use object::{Object, Split, Wrong, bare, is_default};
pub use placement::{Passed, Placement};
pub use plug::{
    Addressing, LinkKind, LinkMode, LinkNetwork, Misfit, Parent, Plug, VXLAN_PORT, VlanId, Vni,
};
pub use port::{Expose, Port, Transport};
pub use rate::Rate;
pub use requires::{Affinity, Constraint, LabelTest, Peer, Requires};
pub use route::{BadWords, Fate, MAIN_TABLE, Route, Rule};
pub use shape::{Shape, schema_of};
pub use sight::{Happening, Sample, Sight};
pub use size::{Bytes, Cpus, Swap, Ulimit};
pub use span::Span;
pub use step::Step;
pub use swarm::{FileMode, SwarmFile, SwarmName, Task};
pub use text::NotA;
pub use volume::{Device, Volume, VolumesFrom};
pub use words::Words;

use serde::Serialize;

/// Any record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// What a DHCP server has given to a client.
    Lease(Lease),
    /// A container, wanted or there: what has `id` and `image` and no `kind`.
    Container(Box<Container>),
    /// What is to be done with a container.
    Change(Box<Change>),
    /// A Docker host.
    Host(Host),
    /// Which container stood for which client.
    Binding(Binding),
    /// The end of a full listing.
    Checkpoint(Checkpoint),
    /// Which containers a client should have, and why.
    Explanation(Explanation),
    /// Why a container is on its host.
    Placement(Placement),
    /// What happened to a container or a host.
    Event(Box<Event>),
    /// A kind that this version does not know; every stage passes it on.
    Other(Object),
}

/// The longest text of an id, in bytes, that is told in an error.
const LONGEST_NAME: usize = 200;

impl Record {
    /// The record whose JSON text, on one line, this is; or all that is wrong with it, beginning
    /// with which record.
    pub fn parse(text: &str) -> Result<Record, String> {
        let split = Split::parse(text).map_err(|why| not_an_object(&why))?;
        let kind: Option<String> = match split.get("kind") {
            Some(raw) => match serde_json::from_str(raw) {
                Ok(kind) => Some(kind),
                Err(_) => return Err(format!("field \"kind\" is not a string in {raw}")),
            },
            None => None,
        };
        let id = split.get("id");
        let record = match kind.as_deref() {
            Some("lease") => split.try_into().map(Record::Lease),
            Some("change") => Change::try_from(split).map(Record::from),
            Some("host") => split.try_into().map(Record::Host),
            Some("binding") => split.try_into().map(Record::Binding),
            Some("explanation") => split.try_into().map(Record::Explanation),
            Some("placement") => split.try_into().map(Record::Placement),
            Some("event") => Event::try_from(split).map(Record::from),
            Some("checkpoint") => split.try_into().map(Record::Checkpoint),
            Some("container") => Container::try_from(split).map(Record::from),
            None if split.has("id") || split.has("image") => {
                Container::try_from(split).map(Record::from)
            }
            Some(_) => Ok(Record::Other(Object::whole(text, &split))),
            None => return Err("record has neither \"kind\" nor \"id\" and \"image\"".to_owned()),
        };
        let name = kind.as_deref().unwrap_or("container");
        record.map_err(|wrong| match id.filter(|id| id.len() <= LONGEST_NAME) {
            Some(id) => format!("{name} {id}: {wrong}"),
            None => format!("{name}: {wrong}"),
        })
    }
}

/// A parser's message with the column, when the record is on one line.
fn not_an_object(why: &serde_json::Error) -> String {
    let text = why.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("not a JSON object: {what} at column {column}"),
        None => format!("not a JSON object: {text}"),
    }
}

impl From<Container> for Record {
    fn from(container: Container) -> Record {
        Record::Container(Box::new(container))
    }
}

impl From<Change> for Record {
    fn from(change: Change) -> Record {
        Record::Change(Box::new(change))
    }
}

impl From<Box<Change>> for Record {
    fn from(change: Box<Change>) -> Record {
        Record::Change(change)
    }
}

impl From<Event> for Record {
    fn from(event: Event) -> Record {
        Record::Event(Box::new(event))
    }
}

impl Serialize for Record {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Record::Lease(record) => record.serialize(to),
            Record::Container(record) => record.serialize(to),
            Record::Change(record) => record.serialize(to),
            Record::Host(record) => record.serialize(to),
            Record::Binding(record) => record.serialize(to),
            Record::Checkpoint(record) => record.serialize(to),
            Record::Explanation(record) => record.serialize(to),
            Record::Placement(record) => record.serialize(to),
            Record::Event(record) => record.serialize(to),
            Record::Other(record) => record.serialize(to),
        }
    }
}
