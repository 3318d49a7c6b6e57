//! One of the two sides, as it has been told.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::diff::Print;
use crate::record::{Container, ContainerId, Owner, State};

/// One container of a side, in little room: sides are large, and most containers are only compared.
#[derive(Debug)]
pub(super) struct Member {
    /// What it is, to be compared.
    pub(super) print: Print,
    /// Whose it is.
    pub(super) owner: Option<Owner>,
    /// Where it is in its life.
    pub(super) state: Option<State>,
    /// When it was last started.
    pub(super) started_at: Option<Timestamp>,
    /// The whole of it, as JSON.
    text: Box<str>,
    /// The listing that told of it.
    listing: u32,
}

impl Member {
    fn new(container: &Container, listing: u32) -> Member {
        let text = serde_json::to_string(container).expect("the suite's types are JSON");
        Member {
            print: Print::of(container),
            owner: container.owner.clone(),
            state: container.state,
            started_at: container.docker.as_ref().and_then(|docker| docker.started_at),
            text: text.into(),
            listing,
        }
    }

    /// The container itself.
    pub(super) fn container(&self) -> Container {
        serde_json::from_str(&self.text).expect("what the suite wrote it reads")
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
    pub(super) members: BTreeMap<ContainerId, Member>,
    /// The number of the listing that the next checkpoint closes.
    listing: u32,
}

impl Side {
    /// Whether a listing has been closed.
    pub(super) fn is_complete(&self) -> bool {
        self.listing > 0
    }

    /// Takes in one member; gives what was known of it before.
    pub(super) fn update(&mut self, container: &Container) -> Option<Member> {
        if container.state == Some(State::Absent) {
            return self.members.remove(&container.id);
        }
        self.members.insert(container.id.clone(), Member::new(container, self.listing))
    }

    /// Closes a listing; gives the names of those that it left out and that are gone for it.
    pub(super) fn checkpoint(&mut self, kind: Listing) -> Vec<ContainerId> {
        let listing = self.listing;
        self.listing += 1;
        if kind == Listing::Partial {
            return Vec::new();
        }
        let gone = self.members.extract_if(.., |_, member| member.listing != listing);
        gone.map(|(id, _)| id).collect()
    }
}
