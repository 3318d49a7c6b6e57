//! `change`: what is to be done with one container, and what became of it.

use serde_json::Value;

use super::shape::document;
use super::text::as_json_word;
use super::{Container, Status, Step};
use crate::error::{Error, Kind};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make it and start it; start it if it is there but does not run.
    Add,
    /// Take it away.
    Remove,
    /// Take it away and make it anew as it is wanted now.
    Replace,
    /// Leave it as it is, after making sure that all of it is so.
    Keep,
    /// Make it run; it is there.
    Start,
    /// Ask it to end, and end it when it does not.
    Stop,
    /// Stop it, if it runs, and start it.
    Restart,
    /// End it at once.
    Kill,
    /// Freeze it where it is.
    Pause,
    /// Let it go on from there.
    Unpause,
}

as_json_word!(Action "an action (add, remove, replace, keep, start, stop, restart, kill, pause or unpause)" {
    Add "add",
    Remove "remove",
    Replace "replace",
    Keep "keep",
    Start "start",
    Stop "stop",
    Restart "restart",
    Kill "kill",
    Pause "pause",
    Unpause "unpause",
});

impl Action {
    /// Whether it is done to a container that is there, which stays what and where it is.
    pub fn operates(self) -> bool {
        match self {
            Action::Add | Action::Remove | Action::Replace | Action::Keep => false,
            Action::Start
            | Action::Stop
            | Action::Restart
            | Action::Kill
            | Action::Pause
            | Action::Unpause => true,
        }
    }

    /// Whether it leaves a container that is there and at rest: ended or frozen.
    pub fn rests(self) -> bool {
        matches!(self, Action::Stop | Action::Kill | Action::Pause)
    }
}

document! {
    /// One difference between what is wanted and what is there.
    pub struct Change "change" {
        /// What is to be done.
        req action: Action,
        /// The container as it is wanted; for `remove`, as it is.
        req container: Box<Container>,
        /// The container as it is, for `replace`.
        opt current: Box<Container>,
        /// What differs; empty when nothing does.
        many why: Vec<Why>,
        /// What container-run asked of engines, in order.
        many steps: Vec<Step>,
        /// What became of the change so far.
        opt status: Status,
        /// Why it failed, for people.
        opt error: String,
        /// Why it failed, for programs.
        opt error_kind: Kind,
    }
}

impl Change {
    /// A change that nobody has worked on yet.
    pub fn new(action: Action, container: Container) -> Change {
        Change {
            action,
            container: Box::new(container),
            current: None,
            why: Vec::new(),
            steps: Vec::new(),
            status: None,
            error: None,
            error_kind: None,
            rest: Default::default(),
        }
    }

    /// Whether an earlier stage failed on it.
    pub fn has_failed(&self) -> bool {
        self.status == Some(Status::Failed)
    }

    /// The same change, marked as failed for the reason given.
    pub fn failed(mut self, why: &Error) -> Change {
        self.status = Some(Status::Failed);
        self.error = Some(why.to_string());
        self.error_kind = Some(why.kind());
        self
    }
}

document! {
    /// One field in which the wanted container and the one that is there differ.
    pub struct Why {
        /// The field's name.
        req field: String,
        /// What is there; absent when nothing is.
        opt from: Value,
        /// What is wanted; absent when nothing is.
        opt to: Value,
    }
}
