//! One of the two sides, as it has been told.

use std::collections::{BTreeMap, HashSet};

use crate::record::{Container, ContainerId, State};

/// One of the two sides.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// What is known of each container.
    pub(super) members: BTreeMap<ContainerId, Container>,
    /// What was told since the last checkpoint: the next one closes it as a listing.
    pub(super) told: HashSet<ContainerId>,
    /// Whether a listing has been closed.
    pub(super) complete: bool,
}

impl Side {
    /// Takes in one member; gives what was known of it before.
    pub(super) fn update(&mut self, container: Container) -> Option<Container> {
        let id = container.id.clone();
        if container.state == Some(State::Absent) {
            self.told.remove(&id);
            return self.members.remove(&id);
        }
        self.told.insert(id.clone());
        self.members.insert(id, container)
    }

    /// Closes a listing; gives the names of those that it left out.
    pub(super) fn checkpoint(&mut self) -> Vec<ContainerId> {
        let told = std::mem::take(&mut self.told);
        self.complete = true;
        let gone = self.members.extract_if(.., |id, _| !told.contains(id));
        gone.map(|(id, _)| id).collect()
    }
}
