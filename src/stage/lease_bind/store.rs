//! Where bindings are kept.

use std::path::PathBuf;

use jiff::Timestamp;

#[cfg(feature = "etcd")]
use crate::adapter::etcd::Etcd;
use crate::adapter::ledger::Ledger;
use crate::error::Result;
use crate::record::{Binding, Bound, ContainerId, Duid, Entry, EtcdUrl, Owner, Question};

/// Where bindings are kept, as the command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a ledger, an SQLite file.
    Ledger(PathBuf),
    /// In an etcd, which several machines share.
    Etcd(EtcdUrl),
}

/// What keeps bindings: writes them down, and answers for them.
pub enum Store {
    Ledger(Ledger),
    #[cfg(feature = "etcd")]
    Etcd(Box<Etcd>),
}

/// Does the same with whatever keeps the bindings.
macro_rules! with {
    ($store:ident of $self:ident: $work:expr) => {
        match $self {
            Store::Ledger($store) => $work,
            #[cfg(feature = "etcd")]
            Store::Etcd($store) => $work,
        }
    };
}

#[cfg(feature = "etcd")]
fn open_etcd(address: &EtcdUrl) -> Result<Store> {
    Etcd::open(&address.as_str().parse()?).map(|etcd| Store::Etcd(Box::new(etcd)))
}

#[cfg(not(feature = "etcd"))]
fn open_etcd(_: &EtcdUrl) -> Result<Store> {
    use crate::error::{Error, Kind};
    let error = Error::new(Kind::Usage, "bindings in etcd").why("this build is without them");
    Err(error.remedy("build leasepipe with its feature etcd, or use --ledger"))
}

impl Store {
    /// The store, to write in; begun if it is not there.
    pub fn open(kept: &Kept) -> Result<Store> {
        match kept {
            Kept::Ledger(path) => Ledger::open(path).map(Store::Ledger),
            Kept::Etcd(address) => open_etcd(address),
        }
    }

    /// The store, to ask only: nothing is made and nothing is changed.
    pub fn open_to_ask(kept: &Kept) -> Result<Store> {
        match kept {
            Kept::Ledger(path) => Ledger::open_to_ask(path).map(Store::Ledger),
            Kept::Etcd(address) => open_etcd(address),
        }
    }

    /// Enters that a container is bound from `entry.binding.since` on. A binding of the container that
    /// says the same goes on; one that says something else ends there.
    pub fn bind(&mut self, entry: &Entry) -> Result<Bound> {
        with!(store of self: store.bind(entry))
    }

    /// Enters that a container is bound no more from `until` on; the closed binding, if it was bound.
    pub fn unbind(
        &mut self,
        owner: &Owner,
        container: &ContainerId,
        until: Timestamp,
    ) -> Result<Option<Binding>> {
        with!(store of self: store.unbind(owner, container, until))
    }

    /// The binding of a container that holds, if it is bound.
    pub fn binding(&mut self, owner: &Owner, id: &ContainerId) -> Result<Option<Binding>> {
        with!(store of self: store.binding(owner, id))
    }

    /// The containers that are bound under this DUID.
    pub fn bound_under(&mut self, duid: &Duid) -> Result<Vec<(Owner, ContainerId)>> {
        with!(store of self: store.bound_under(duid))
    }

    /// The containers that are bound; of one owner, or of all.
    pub fn bound(&mut self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        with!(store of self: store.bound(owner))
    }

    /// Gives each binding that fits the question to `each`, in the order in which they began.
    pub fn ask(
        &mut self,
        question: &Question,
        each: &mut dyn FnMut(Binding) -> Result<()>,
    ) -> Result<()> {
        with!(store of self: store.ask(question, each))
    }

    /// Deletes bindings that ended before this moment; how many they were.
    pub fn forget(&mut self, before: Timestamp) -> Result<u64> {
        with!(store of self: store.forget(before))
    }
}
