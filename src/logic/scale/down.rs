//! The many for the one: without the replicas.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::record::{Checkpoint, Container, State, Status};

/// Leaves replicas out, and counts without them.
#[derive(Debug, Default)]
pub struct Down {
    /// The replicas that the listing has told so far, by a hash of their names: for the count.
    left_out: HashSet<u64>,
    hasher: RandomState,
}

impl Down {
    /// Whether a container is passed on: one that names no base, or that failed before.
    pub fn keeps(&mut self, container: &Container) -> bool {
        if container.scaled_from.is_none() || container.status == Some(Status::Failed) {
            return true;
        }
        let name = self.hasher.hash_one(container.id.as_str());
        match container.state {
            Some(State::Absent) => self.left_out.remove(&name),
            _ => self.left_out.insert(name),
        };
        false
    }

    /// A listing is closed; gives its checkpoint with the number of containers that are left.
    pub fn checkpoint(&mut self, mut checkpoint: Checkpoint) -> Checkpoint {
        checkpoint.count = checkpoint.count.saturating_sub(self.left_out.len() as u64);
        self.left_out.clear();
        checkpoint
    }
}
