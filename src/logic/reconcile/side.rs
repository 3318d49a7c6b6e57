//! One of the two sides, as it has been told.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use indexmap::map::Entry;
use jiff::Timestamp;

use super::super::diff::{Looker, Print};
use crate::record::{Container, ContainerId, Owner, State};

/// One container as a side tells of it, in little room: sides are large, and most containers are
/// only compared.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub id: ContainerId,
    pub(super) member: Member,
}

/// What is known of a container of a side.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// What it says, to be compared.
    pub(super) print: Print,
    /// The whole of it, as JSON on one line.
    pub(super) text: Box<str>,
    /// Whose it is.
    pub(super) owner: Option<Arc<Owner>>,
    /// The host that it is on, or is to be on.
    pub(super) host: Option<Arc<str>>,
    /// Where it is in its life.
    pub(super) state: Option<State>,
    /// Whether the text says where it is and what became of it.
    pub(super) is_placed: bool,
    /// The listing that told of it.
    listing: u32,
    /// Its place in that listing.
    pub(super) place: u32,
}

impl Member {
    /// The container itself.
    pub(super) fn container(&self) -> Container {
        serde_json::from_str(&self.text).expect("what was read once can be read again")
    }

    /// When it was last started.
    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.container().docker?.started_at
    }
}

/// Makes what a side tells of out of documents. What recurs from one to the next is held once.
#[derive(Clone, Debug, Default)]
pub struct Eye {
    looker: Looker,
    owner: Option<Arc<Owner>>,
    host: Option<Arc<str>>,
}

impl Eye {
    /// One that looks like this. Only what was seen with clones of one looker can be compared.
    pub fn new(looker: Looker) -> Eye {
        Eye { looker, ..Eye::default() }
    }

    /// What a document says that can be seen at a glance and on which no stage failed; nothing for
    /// any other.
    pub fn glance(&mut self, text: &str) -> Option<Seen> {
        let glance = self.looker.glance(text)?;
        if glance.has_failed {
            return None;
        }
        let owner = match glance.owner {
            Some(name) if self.owner.as_ref().is_some_and(|last| last.as_str() == name) => {
                self.owner.clone()
            }
            Some(name) => Some(Arc::new(name.parse().ok()?)),
            None => None,
        };
        let host = glance.host.map(|name| self.host(name));
        self.owner = owner.clone().or(self.owner.take());
        let member = Member {
            print: glance.print,
            text: text.into(),
            owner,
            host,
            state: glance.state,
            is_placed: glance.is_placed,
            listing: 0,
            place: 0,
        };
        Some(Seen { id: glance.id.parse().ok()?, member })
    }

    /// What any container says.
    pub fn see(&mut self, container: &Container) -> Seen {
        let text = serde_json::to_string(container).expect("the suite's types are JSON");
        let member = Member {
            print: self.looker.print(&text),
            text: text.into(),
            owner: container.owner.clone().map(Arc::new),
            host: container.host.as_ref().map(|host| self.host(&host.id)),
            state: container.state,
            is_placed: true,
            listing: 0,
            place: 0,
        };
        Seen { id: container.id.clone(), member }
    }

    fn host(&mut self, name: &str) -> Arc<str> {
        let known = self.host.take().filter(|last| **last == *name);
        let host = known.unwrap_or_else(|| name.into());
        self.host = Some(host.clone());
        host
    }
}

/// What a closed listing says of what it leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// That it is not there.
    Whole,
    /// Nothing.
    Partial,
}

/// One of the two sides.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// What is known of each container.
    pub(super) members: IndexMap<ContainerId, Member, RandomState>,
    /// Containers that have the name of a member and are on another host.
    pub(super) doubles: BTreeMap<(ContainerId, Arc<str>), Member>,
    /// The number of the listing that the next checkpoint closes.
    listing: u32,
    /// How many this listing has told of.
    told: u32,
}

/// What a member was before.
#[derive(Debug)]
pub(super) enum Before {
    /// There was none.
    New,
    /// It was this, and was told in an earlier listing.
    Known(Member),
    /// The listing at hand has told of it before.
    Twice(Member),
}

impl Side {
    /// Whether a listing has been closed.
    pub(super) fn is_complete(&self) -> bool {
        self.listing > 0
    }

    /// Takes in one member, whatever host it is on; gives what was known of it before.
    pub(super) fn update(&mut self, seen: Seen) -> Before {
        let Seen { id, mut member } = seen;
        let before = if member.state == Some(State::Absent) {
            self.members.swap_remove(&id)
        } else {
            self.told += 1;
            (member.listing, member.place) = (self.listing, self.told);
            self.members.insert(id, member)
        };
        self.before(before)
    }

    fn before(&self, before: Option<Member>) -> Before {
        match before {
            None => Before::New,
            Some(before) if before.listing == self.listing => Before::Twice(before),
            Some(before) => Before::Known(before),
        }
    }

    /// Takes in one member of a side that can have a name on several hosts. The first that is told
    /// of on a host that was not known to have the name takes its place; the others are doubles.
    pub(super) fn update_on_host(&mut self, seen: Seen) -> Before {
        if seen.member.state == Some(State::Absent) {
            return self.leave_host(seen);
        }
        let Seen { id, mut member } = seen;
        (member.listing, member.place) = (self.listing, self.told + 1);
        self.told += 1;
        let mut known = match self.members.entry(id) {
            Entry::Vacant(new) => {
                new.insert(member);
                return Before::New;
            }
            Entry::Occupied(known) => known,
        };
        let there = known
            .get()
            .host
            .clone()
            .filter(|there| member.host.as_ref().is_some_and(|here| here != there));
        let Some(there) = there else {
            let before = known.insert(member);
            return self.before(Some(before));
        };
        let id = known.key().clone();
        let double = member.host.clone().and_then(|here| self.doubles.get_mut(&(id.clone(), here)));
        match double {
            Some(double) => {
                let before = std::mem::replace(double, member);
                match self.before(Some(before)) {
                    Before::Known(_) => Before::New,
                    twice => twice,
                }
            }
            None => {
                let before = known.insert(member);
                self.doubles.insert((id, there), before);
                Before::New
            }
        }
    }

    /// A container is gone from its host.
    fn leave_host(&mut self, seen: Seen) -> Before {
        let there = self.members.get(&seen.id).and_then(|member| member.host.clone());
        match (there, &seen.member.host) {
            (Some(there), Some(here)) if there != *here => {
                self.doubles.remove(&(seen.id, here.clone()));
                Before::New
            }
            _ => {
                let id = seen.id.clone();
                let before = self.update(seen);
                self.promote(&id);
                before
            }
        }
    }

    /// One of the doubles of a member that is gone takes its place.
    fn promote(&mut self, id: &ContainerId) {
        let first = self.doubles.keys().find(|(of, _)| of == id).cloned();
        if let Some(key) = first
            && let Some(member) = self.doubles.remove(&key)
        {
            self.members.insert(key.0, member);
        }
    }

    /// Closes a listing; gives the names of those that it left out and that are gone for it.
    pub(super) fn checkpoint(&mut self, kind: Listing) -> Vec<ContainerId> {
        let listing = self.listing;
        self.listing += 1;
        self.told = 0;
        if kind == Listing::Partial {
            return Vec::new();
        }
        self.doubles.retain(|_, member| member.listing == listing);
        let gone = self.members.extract_if(.., |_, member| member.listing != listing);
        let gone: Vec<ContainerId> = gone.map(|(id, _)| id).collect();
        if !self.doubles.is_empty() {
            gone.iter().for_each(|id| self.promote(id));
        }
        gone
    }
}
