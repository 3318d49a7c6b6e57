//! Who of a group may be away, and who waits until others are back.
//!
//! A container takes a place when a change that takes it away begins, and gives it back when it is up
//! again, or has failed to be. One that was put to rest keeps it until a change brings it back: it is
//! there among what has been read, or comes within a moment, or nobody brings it back.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::batch::{Batch, Care, Effect};
use super::Queue;
use crate::error::{Error, Kind};
use crate::record::ContainerId;

/// How long the change may take to come that brings a container back which was put to rest.
const MOMENT: Duration = Duration::from_secs(1);

/// The groups, and who of them is away.
#[derive(Debug, Default)]
pub(super) struct Places {
    care: Care,
    groups: HashMap<Box<str>, Group>,
    /// Who was put to rest, in the order in which the wait for what brings them back ends.
    resting: VecDeque<(Instant, Box<str>, ContainerId)>,
}

#[derive(Debug, Default)]
struct Group {
    /// Who there is, where a share of them counts.
    members: HashSet<ContainerId>,
    away: HashMap<ContainerId, Away>,
    /// Who waits for a place.
    waiting: VecDeque<ContainerId>,
    /// Who failed, so that no more are taken away.
    failed: Option<ContainerId>,
}

/// Why a container is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// It is being worked on.
    InHand,
    /// It was put to rest, and the change that brings it back is waited for until then.
    Resting(Instant),
    /// That change has come, and waits for something.
    Expected,
}

/// What there is to say to a container that is to be taken away.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It has a place, or needs none.
    Go,
    /// It waits for one.
    Wait,
    /// It is not to be taken away.
    Stay(Error),
}

impl Places {
    pub(super) fn new(care: Care) -> Places {
        Places { care, ..Places::default() }
    }

    /// A change has been read.
    pub(super) fn told(&mut self, batch: &Batch, id: &ContainerId) {
        if !self.care.max_unavailable.is_some_and(|most| most.is_share()) {
            return;
        }
        let group = self.groups.entry(batch.group.clone()).or_default();
        match batch.effect {
            Effect::Removed => drop(group.members.remove(id)),
            _ => drop(group.members.insert(id.clone())),
        }
    }

    /// A container's change is to begin.
    pub(super) fn ask(&mut self, batch: &Batch, id: &ContainerId) -> Answer {
        if !batch.effect.takes_away() {
            return Answer::Go;
        }
        let group = self.groups.entry(batch.group.clone()).or_default();
        let free = group.free(self.care);
        match (group.away.entry(id.clone()), &group.failed) {
            // It is away already, and this is what is to come of it.
            (Entry::Occupied(mut away), _) => drop(away.insert(Away::InHand)),
            (Entry::Vacant(_), Some(failed)) => return Answer::Stay(paused(failed)),
            (Entry::Vacant(place), None) if free > 0 => drop(place.insert(Away::InHand)),
            (Entry::Vacant(_), None) => {
                group.waiting.push_back(id.clone());
                return Answer::Wait;
            }
        }
        Answer::Go
    }

    /// A container's change has been worked on.
    pub(super) fn done(&mut self, batch: &Batch, id: &ContainerId, failed: bool, now: Instant) {
        let Some(group) = self.groups.get_mut(&batch.group) else { return };
        let Some(away) = group.away.get_mut(id) else { return };
        if batch.effect == Effect::Rested && !failed {
            let until = now + MOMENT;
            *away = Away::Resting(until);
            self.resting.push_back((until, batch.group.clone(), id.clone()));
            return;
        }
        group.away.remove(id);
        if failed && self.care.pause_on_failure && batch.effect != Effect::Removed {
            group.failed.get_or_insert_with(|| id.clone());
        }
        self.forget_if_empty(&batch.group);
    }

    fn forget_if_empty(&mut self, name: &str) {
        let is_empty = |group: &Group| {
            let Group { members, away, waiting, failed } = group;
            members.is_empty() && away.is_empty() && waiting.is_empty() && failed.is_none()
        };
        if self.groups.get(name).is_some_and(is_empty) {
            self.groups.remove(name);
        }
    }

    /// A container's change did not begin after all.
    pub(super) fn leave(&mut self, batch: &Batch, id: &ContainerId) {
        if let Some(group) = self.groups.get_mut(&batch.group) {
            group.away.remove(id);
        }
    }

    /// Who is to ask again: those of the group for whom there are places now, or, when no more are
    /// taken away, all.
    pub(super) fn call(&mut self, group: &str) -> Vec<ContainerId> {
        let Some(group) = self.groups.get_mut(group) else { return Vec::new() };
        let free = group.free(self.care).min(group.waiting.len());
        let called = if group.failed.is_some() { group.waiting.len() } else { free };
        group.waiting.drain(..called).collect()
    }

    /// When [`Places::tick`] finds something though nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.resting.front().map(|(until, ..)| *until)
    }

    /// Looks after those that rest: one that nobody brings back is not waited for. `has_change` tells
    /// whether a container has changes in hand, `is_complete` whether no more come. Gives the groups
    /// in which somebody may go now.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        is_complete: bool,
        has_change: impl Fn(&ContainerId) -> bool,
    ) -> Vec<Box<str>> {
        let mut freed = Vec::new();
        while self.resting.front().is_some_and(|(until, ..)| is_complete || *until <= now) {
            let Some((until, name, id)) = self.resting.pop_front() else { break };
            let Some(group) = self.groups.get_mut(&name) else { continue };
            let Entry::Occupied(mut away) = group.away.entry(id) else { continue };
            if *away.get() != Away::Resting(until) {
                continue;
            }
            if has_change(away.key()) {
                away.insert(Away::Expected);
            } else {
                away.remove();
                freed.push(name);
            }
        }
        freed
    }

    /// Nothing moves: those that rest and are to be brought back wait, by a detour, for somebody who
    /// waits for their places. They give them up. Gives the groups in which somebody may go now.
    pub(super) fn give_up(&mut self) -> Vec<Box<str>> {
        let mut freed = Vec::new();
        for (name, group) in &mut self.groups {
            let before = group.away.len();
            if !group.waiting.is_empty() {
                group.away.retain(|_, away| *away != Away::Expected);
            }
            if group.away.len() < before {
                freed.push(name.clone());
            }
        }
        freed
    }
}

impl Group {
    /// For how many more there are places.
    fn free(&self, care: Care) -> usize {
        let most = care.max_unavailable.map_or(usize::MAX, |most| most.of(self.members.len()));
        most.saturating_sub(self.away.len())
    }
}

impl Queue {
    /// Asks for a container whose first task is to begin.
    pub(super) fn ask_for_place(&mut self, id: &ContainerId) -> Answer {
        let task = self.chains.get(id).and_then(|chain| chain.tasks.front());
        let batch = task.and_then(|task| task.batch.as_deref());
        batch.map_or(Answer::Go, |batch| self.places.ask(batch, id))
    }

    /// A container that was to ask for a place does not: another one may have it.
    pub(super) fn pass_place_on(&mut self, id: &ContainerId) {
        let task = self.chains.get(id).and_then(|chain| chain.tasks.front());
        let batch = task.and_then(|task| task.batch.as_ref());
        if let Some(group) = batch.map(|batch| batch.group.clone()) {
            self.call(&group);
        }
    }

    /// Has those of a group ask again that may go now.
    pub(super) fn call(&mut self, group: &str) {
        for id in self.places.call(group) {
            self.offer(id);
        }
    }

    /// Looks after the places of those that rest.
    pub(super) fn free_places(&mut self, now: Instant) {
        let chains = &self.chains;
        let has_change = |id: &_| chains.get(id).is_some_and(|chain| !chain.tasks.is_empty());
        for group in self.places.tick(now, self.is_complete, has_change) {
            self.call(&group);
        }
    }

    /// Nothing moves: whether something does when those that rest give up their places.
    pub(super) fn give_up_places(&mut self) -> bool {
        let freed = self.places.give_up();
        freed.iter().for_each(|group| self.call(group));
        !freed.is_empty()
    }
}

/// Why a container is not taken away.
fn paused(failed: &ContainerId) -> Error {
    Error::new(Kind::Held, "held back")
        .why(format_args!("\"{failed}\" of its group failed before it"))
        .remedy("see to that one and run again")
}
