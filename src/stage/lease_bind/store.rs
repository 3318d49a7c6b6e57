//! Where bindings are kept.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::adapter::ledger::Ledger;
use crate::error::Result;
use crate::record::{Binding, Bound, ContainerId, Duid, Entry, Owner, Question};

/// Where bindings are kept, as the command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a ledger, an SQLite file.
    Ledger(PathBuf),
}

/// What keeps bindings: writes them down, and answers for them.
pub enum Store {
    Ledger(Ledger),
}

impl Store {
    /// The store, to write in; begun if it is not there.
    pub fn open(kept: &Kept) -> Result<Store> {
        match kept {
            Kept::Ledger(path) => Ledger::open(path).map(Store::Ledger),
        }
    }

    /// The store, to ask only: nothing is made and nothing is changed.
    pub fn open_to_ask(kept: &Kept) -> Result<Store> {
        match kept {
            Kept::Ledger(path) => Ledger::open_to_ask(path).map(Store::Ledger),
        }
    }

    /// Enters that a container is bound from `entry.binding.since` on. A binding of the container that
    /// says the same goes on; one that says something else ends there.
    pub fn bind(&mut self, entry: &Entry) -> Result<Bound> {
        match self {
            Store::Ledger(ledger) => ledger.bind(entry),
        }
    }

    /// Enters that a container is bound no more from `until` on; the closed binding, if it was bound.
    pub fn unbind(
        &mut self,
        owner: &Owner,
        container: &ContainerId,
        until: Timestamp,
    ) -> Result<Option<Binding>> {
        match self {
            Store::Ledger(ledger) => ledger.unbind(owner, container, until),
        }
    }

    /// The binding of a container that holds, if it is bound.
    pub fn binding(&mut self, owner: &Owner, id: &ContainerId) -> Result<Option<Binding>> {
        match self {
            Store::Ledger(ledger) => ledger.binding(owner, id),
        }
    }

    /// The containers that are bound under this DUID.
    pub fn bound_under(&mut self, duid: &Duid) -> Result<Vec<(Owner, ContainerId)>> {
        match self {
            Store::Ledger(ledger) => ledger.bound_under(duid),
        }
    }

    /// The containers that are bound; of one owner, or of all.
    pub fn bound(&mut self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        match self {
            Store::Ledger(ledger) => ledger.bound(owner),
        }
    }

    /// Gives each binding that fits the question to `each`, in the order in which they began.
    pub fn ask(
        &mut self,
        question: &Question,
        each: &mut dyn FnMut(Binding) -> Result<()>,
    ) -> Result<()> {
        match self {
            Store::Ledger(ledger) => ledger.ask(question, each),
        }
    }

    /// Deletes bindings that ended before this moment; how many they were.
    pub fn forget(&mut self, before: Timestamp) -> Result<u64> {
        match self {
            Store::Ledger(ledger) => ledger.forget(before),
        }
    }
}
