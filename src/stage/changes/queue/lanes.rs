//! The lanes take turns, and each has its own limit.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Queue, Taken};
use crate::record::ContainerId;

/// The containers of one lane that have a task to begin with.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) ready: VecDeque<ContainerId>,
    busy: usize,
    has_turn: bool,
}

impl Queue {
    /// Whether there is a task that could be worked on.
    pub(in crate::stage::changes) fn is_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Puts a container whose first task is to be looked at into its lane.
    pub(super) fn offer(&mut self, id: ContainerId) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let Some(lane) = chain.tasks.front().map(|task| task.lane.clone()) else { return };
        chain.is_queued = true;
        self.lanes.entry(lane.clone()).or_default().ready.push_back(id);
        self.give_turn(lane);
    }

    pub(super) fn give_turn(&mut self, name: Arc<str>) {
        let Some(lane) = self.lanes.get_mut(&name) else { return };
        if lane.ready.is_empty() && lane.busy == 0 {
            self.lanes.remove(&name);
        } else if !lane.ready.is_empty() && lane.busy < self.limits.per_lane.get() && !lane.has_turn
        {
            lane.has_turn = true;
            self.turns.push_back(name);
        }
    }

    /// The next task of a lane; nothing when what was ready there has to wait after all.
    pub(super) fn take_of(&mut self, name: &Arc<str>) -> Option<Taken> {
        let lane = self.lanes.get_mut(name)?;
        lane.has_turn = false;
        let id = lane.ready.pop_front()?;
        let taken = self.begin(id);
        if taken.is_some()
            && let Some(lane) = self.lanes.get_mut(name)
        {
            lane.busy += 1;
            self.busy += 1;
        }
        self.give_turn(name.clone());
        taken
    }

    pub(super) fn release_lane(&mut self, name: &Arc<str>) {
        self.busy -= 1;
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.busy -= 1;
        }
        self.give_turn(name.clone());
    }
}
