//! A change that waits for its turn, and what it waits for.

use std::sync::Arc;

use super::batch::{Batch, Effect};
use crate::error::{Error, Kind, Result};
use crate::record::{Action, Change, Container, ContainerId, Record, State};

/// What a change has to come behind, and what has to come behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Containers that are to be there first.
    pub after: Vec<ContainerId>,
    /// Containers that are not to go before this is done.
    pub before: Vec<ContainerId>,
    /// Whether those that are to be there first need not succeed, nor be there if no record tells of
    /// them.
    pub is_soft: bool,
    /// Whether the container goes, and so waits for those that have it in their `before`.
    pub goes: bool,
    /// Whether those that have it in their `before` may still be on their way: then the change waits
    /// for the end of the listing, or for the input to pause.
    pub is_patient: bool,
}

/// What is kept of a waiting change beside itself, in bytes, more or less: the names of its container
/// and lane, and its places in the queue.
const AROUND: usize = 300;

/// A change that waits or is worked on.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) id: ContainerId,
    /// Where it is worked on.
    pub(super) lane: Arc<str>,
    /// Nothing for a program that keeps no order between containers.
    pub(super) order: Option<Box<Order>>,
    /// What it means for how many are away; nothing where no care is taken of that.
    pub(super) batch: Option<Box<Batch>>,
    /// Whether it came as a bare container.
    pub(super) bare: bool,
    /// Whether nothing more is waited for: what it wants is there now, or it fails.
    pub(super) is_last_call: bool,
    /// Why it is not to be done at all.
    pub(super) refused: Option<Box<Error>>,
    body: Body,
}

/// Very many changes may wait, and as text they are a tenth as large.
#[derive(Clone)]
enum Body {
    Whole(Box<Change>),
    Text(Box<str>),
}

impl Task {
    /// A change in full.
    pub(super) fn new(
        change: Box<Change>,
        bare: bool,
        lane: Arc<str>,
        order: Option<Order>,
    ) -> Task {
        let id = change.container.id.clone();
        let order = order.map(Box::new);
        let body = Body::Whole(change);
        Task { id, lane, order, batch: None, bare, is_last_call: false, refused: None, body }
    }

    /// The same, and what it means for how many are away.
    pub(super) fn of(self, batch: Option<Batch>) -> Task {
        Task { batch: batch.map(Box::new), ..self }
    }

    /// The same, as small as can be.
    pub(super) fn packed(mut self) -> Task {
        if let Body::Whole(change) = &self.body
            && let Ok(text) = serde_json::to_string(&**change)
        {
            self.body = Body::Text(text.into());
        }
        self
    }

    /// Whether it is not to take away a container that runs, as far as is known.
    pub(super) fn is_gentle(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.effect == Effect::Brought)
    }

    /// How many bytes it takes up while it waits, more or less.
    pub(super) fn size(&self) -> usize {
        let body = match &self.body {
            Body::Whole(_) => size_of::<Change>(),
            Body::Text(text) => text.len(),
        };
        body + size_of::<Task>() + AROUND
    }

    /// The change.
    ///
    /// # Errors
    /// `Bug` when what was packed cannot be unpacked.
    pub(super) fn into_change(self) -> Result<Box<Change>> {
        match self.body {
            Body::Whole(change) => Ok(change),
            Body::Text(text) => unpacked(&text),
        }
    }

    /// The same, and the task stays.
    pub(super) fn change(&self) -> Result<Box<Change>> {
        match &self.body {
            Body::Whole(change) => Ok(change.clone()),
            Body::Text(text) => unpacked(text),
        }
    }
}

fn unpacked(text: &str) -> Result<Box<Change>> {
    serde_json::from_str(text).map_err(|why| Error::new(Kind::Bug, why))
}

/// What a bare container asks for: that it be there, or, when it is `absent`, that it go.
pub(super) fn asked(container: Container) -> Change {
    match container.state {
        Some(State::Absent) => Change::new(Action::Remove, container),
        _ => Change::new(Action::Add, container),
    }
}

/// The bare container again, with what became of it.
pub(super) fn answered(change: Change) -> Record {
    let Change { mut container, steps, status, error, error_kind, .. } = change;
    container.steps = steps;
    container.status = status;
    container.error = error;
    container.error_kind = error_kind;
    Record::Container(container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_the_same_again() {
        let text = include_str!("../../../tests/data/cccf/full.json");
        let container: Container = serde_json::from_str(text).unwrap();
        let mut change = Change::new(Action::Replace, container.clone());
        change.current = Some(Box::new(container));
        let task = Task::new(change.clone().into(), false, "".into(), None).packed();
        assert!(task.size() < 2 * text.len() + 700);
        assert_eq!(*task.into_change().unwrap(), change);
    }
}
