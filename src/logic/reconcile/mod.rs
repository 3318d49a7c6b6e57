//! The reconcile loop: what is wanted and what is there, kept beside each other over time.
//!
//! Both sides are told as listings and changes. Out come changes, each at most once while it is in
//! flight: until the current side shows its effect, or so much time has passed that it has to be
//! asked for again. Nothing here knows the time or reads a stream; both are handed in.

mod asked;
mod policy;
mod side;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use asked::{Asked, CALM};
use side::Side;

pub use policy::{FEW, MaxRemove, Policy};

use super::diff::{compare, stopped, why};
use crate::error::{Error, Kind};
use crate::record::{Action, Change, Container, ContainerId, State};

/// What comes out of the loop.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "handed on at once")]
pub enum Out {
    /// Something to be done, or, marked as failed, something that cannot be.
    Change(Change),
    /// A full comparison is complete: so many changes.
    Complete(u64),
    /// A full comparison was not acted on in full.
    Refused(Error),
}

/// Both sides and what was asked for.
#[derive(Debug)]
pub struct Reconciler {
    policy: Policy,
    wanted: Side,
    current: Side,
    asked: HashMap<ContainerId, Asked>,
    /// Containers whose removal is decided, until they are gone.
    doomed: HashSet<ContainerId>,
    /// Whether the current side shows what becomes of changes. If not, they are taken for done.
    observed: bool,
    /// A listing of what is wanted is closed and waits for the current side to be known.
    due: bool,
}

impl Reconciler {
    /// A loop that knows nothing yet.
    pub fn new(policy: Policy) -> Reconciler {
        Reconciler {
            policy,
            wanted: Side::default(),
            current: Side::default(),
            asked: HashMap::new(),
            doomed: HashSet::new(),
            observed: true,
            due: false,
        }
    }

    /// The current side will tell nothing more: from now on changes are taken for done.
    pub fn stop_observing(&mut self) {
        self.observed = false;
    }

    /// Whether the current side is known in full.
    pub fn knows_current(&self) -> bool {
        self.current.complete
    }

    /// Takes in what is wanted of one container.
    pub fn want(&mut self, container: Container, now: Duration) -> Vec<Out> {
        let id = container.id.clone();
        let before = self.wanted.update(container);
        if !self.wanted.complete || !self.current.complete || self.due {
            return Vec::new();
        }
        match (before, self.wanted.members.get(&id)) {
            (_, None) => {
                self.doomed.insert(id.clone());
            }
            (_, Some(wanted)) => {
                self.doomed.remove(&id);
                let same = |goal: &Container| compare(wanted, goal).is_empty();
                if self.asked.get(&id).is_some_and(|asked| !asked.goal.as_ref().is_some_and(same)) {
                    self.asked.remove(&id);
                }
            }
        }
        self.look(&id, now)
    }

    /// The wanted side has listed everything.
    pub fn wanted_checkpoint(&mut self, now: Duration) -> Vec<Out> {
        self.wanted.checkpoint();
        self.due = true;
        self.compare_all(now)
    }

    /// The wanted side ended without saying that it was complete: what it told is wanted, and
    /// nothing is removed.
    pub fn wanted_incomplete(&mut self, now: Duration) -> Vec<Out> {
        let mut out = Vec::new();
        if self.current.complete {
            let ids: Vec<ContainerId> = self.wanted.told.iter().cloned().collect();
            out = self.changes(ids.into_iter(), now);
        }
        out
    }

    /// Takes in what is there of one container.
    pub fn see(&mut self, container: Container, now: Duration) -> Vec<Out> {
        let id = container.id.clone();
        let before = self.current.update(container);
        if !self.current.complete || !self.wanted.complete || self.due {
            return Vec::new();
        }
        let in_flight = self.asked.get(&id).is_some_and(|asked| asked.in_flight);
        let mut out = self.look(&id, now);
        if out.is_empty() && !in_flight {
            out.extend(self.restarted(&id, before.as_ref()));
        }
        out
    }

    /// The current side has listed everything.
    pub fn current_checkpoint(&mut self, now: Duration) -> Vec<Out> {
        let first = !self.current.complete;
        let gone = self.current.checkpoint();
        if self.due {
            return self.compare_all(now);
        }
        if first || !self.wanted.complete {
            return Vec::new();
        }
        let mut ids = gone;
        ids.extend(self.wanted.members.keys().cloned());
        ids.extend(self.doomed.iter().cloned());
        ids.sort();
        ids.dedup();
        ids.iter().flat_map(|id| self.look(id, now)).collect()
    }

    /// Asks again for what has not shown in time. Gives the time of the next look, too.
    pub fn tick(&mut self, now: Duration) -> (Vec<Out>, Option<Duration>) {
        let settle = self.policy.settle;
        let mut due: Vec<ContainerId> = Vec::new();
        for (id, asked) in &self.asked {
            if asked.again_at(settle) <= now && self.needed(id).is_some() {
                due.push(id.clone());
            }
        }
        due.sort();
        let out = due.iter().flat_map(|id| self.look(id, now)).collect();
        let calm = |(id, asked): (&ContainerId, &Asked)| {
            (now >= asked.at + CALM && self.needed(id).is_none()).then(|| id.clone())
        };
        for id in self.asked.iter().filter_map(calm).collect::<Vec<_>>() {
            self.asked.remove(&id);
            if !self.current.members.contains_key(&id) {
                self.doomed.remove(&id);
            }
        }
        let next = self.asked.iter().filter(|(id, _)| self.needed(id).is_some());
        (out, next.map(|(_, asked)| asked.again_at(settle)).min())
    }

    /// Compares everything with everything, once both sides are known.
    fn compare_all(&mut self, now: Duration) -> Vec<Out> {
        if !self.current.complete {
            return Vec::new();
        }
        self.due = false;
        let ours = |c: &&Container| self.owns(c);
        let there = self.current.members.values().filter(ours).count();
        let surplus = self.current.members.values().filter(ours).map(|c| c.id.clone());
        let surplus: Vec<_> = surplus.filter(|id| !self.wanted.members.contains_key(id)).collect();
        let allowed = self.policy.force || self.policy.max_remove.allows(surplus.len(), there);
        if allowed {
            self.doomed.extend(surplus.iter().cloned());
        }
        let ids: Vec<_> = self.doomed.iter().chain(self.wanted.members.keys()).cloned().collect();
        let mut out = self.changes(ids.into_iter(), now);
        if allowed {
            out.push(Out::Complete(out.len() as u64));
        } else {
            let what = format!("listing would remove {} of {there} containers", surplus.len());
            let error = Error::new(Kind::Refused, what)
                .why("more than --max-remove allows")
                .remedy("nothing is removed; give --force if that is meant");
            out.push(Out::Refused(error));
        }
        out
    }

    /// One change for each of the containers, those in flight too, so that whoever reads the
    /// listing misses none: removals first, for the room they make, then what stays, then what is
    /// new.
    fn changes(&mut self, ids: impl Iterator<Item = ContainerId>, now: Duration) -> Vec<Out> {
        let mut changes: Vec<Change> = Vec::new();
        for id in ids {
            match self.needed(&id) {
                Some(change) => {
                    if !change.has_failed() {
                        self.ask(&change, now);
                    }
                    changes.push(change);
                }
                None => changes.extend(self.kept(&id)),
            }
        }
        let rank = |action| match action {
            Action::Remove => 0,
            Action::Keep => 1,
            Action::Replace => 2,
            Action::Add => 3,
        };
        changes.sort_by(|a, b| {
            (rank(a.action), &a.container.id).cmp(&(rank(b.action), &b.container.id))
        });
        changes.into_iter().map(Out::Change).collect()
    }

    /// Looks at one container after something about it has changed.
    fn look(&mut self, id: &ContainerId, now: Duration) -> Vec<Out> {
        match self.needed(id) {
            Some(change) if self.may_ask(&change, now) => {
                if !change.has_failed() {
                    self.ask(&change, now);
                }
                vec![Out::Change(change)]
            }
            Some(_) => Vec::new(),
            None => {
                self.settle(id);
                Vec::new()
            }
        }
    }

    /// A container is as it should be: what was asked for has shown. One that was asked for and
    /// then wished away stays doomed for as long as it may yet show.
    fn settle(&mut self, id: &ContainerId) {
        if self.wanted.members.contains_key(id) {
            if let Some(asked) = self.asked.get_mut(id) {
                asked.in_flight = false;
            }
        } else if self.asked.get(id).is_none_or(|asked| asked.goal.is_none()) {
            self.asked.remove(id);
            self.doomed.remove(id);
        }
    }

    /// Whether it is time to ask for a change; it is at once when what was asked for last is the
    /// opposite of it.
    fn may_ask(&self, change: &Change, now: Duration) -> bool {
        let Some(asked) = self.asked.get(&change.container.id) else { return true };
        let removes = change.action == Action::Remove;
        removes == asked.goal.is_some() || asked.again_at(self.policy.settle) <= now
    }

    /// Remembers that a change goes out; without anyone to see its effect, takes it for done.
    fn ask(&mut self, change: &Change, now: Duration) {
        let id = change.container.id.clone();
        let goal = (change.action != Action::Remove).then(|| change.container.clone());
        let times = match self.asked.get(&id) {
            Some(asked) if now < asked.at + CALM => asked.times + 1,
            _ => 1,
        };
        if self.observed {
            self.asked.insert(id, Asked { at: now, times, goal, in_flight: true });
            return;
        }
        self.doomed.remove(&id);
        match goal {
            Some(mut container) => {
                container.state = Some(State::Running);
                self.current.members.insert(id, container);
            }
            None => {
                self.current.members.remove(&id);
            }
        }
    }

    /// What is to be done about a container; nothing when it is as it should be.
    fn needed(&self, id: &ContainerId) -> Option<Change> {
        let current = self.current.members.get(id);
        let Some(wanted) = self.wanted.members.get(id) else {
            let current = current.filter(|c| self.owns(c) && self.doomed.contains(id))?;
            return Some(Change::new(Action::Remove, current.clone()));
        };
        let Some(current) = current else {
            return Some(Change::new(Action::Add, wanted.clone()));
        };
        if !self.owns(current) || current.owner != wanted.owner && wanted.owner.is_some() {
            let what = format!("name \"{id}\" is taken by a container that this pipe did not make");
            let error = Error::new(Kind::Refused, what);
            return Some(Change::new(Action::Add, wanted.clone()).failed(&error));
        }
        let differences = compare(wanted, current);
        if !differences.is_empty() {
            let mut change = Change::new(Action::Replace, placed(wanted, current));
            change.current = Some(current.clone());
            change.why = differences;
            return Some(change);
        }
        let why = stopped(current)?;
        let mut change = Change::new(Action::Add, placed(wanted, current));
        change.why = vec![why];
        Some(change)
    }

    /// A wanted container that is as it should be.
    fn kept(&self, id: &ContainerId) -> Option<Change> {
        let (wanted, current) = (self.wanted.members.get(id)?, self.current.members.get(id)?);
        let mut container = placed(wanted, current);
        container.docker = current.docker.clone();
        container.state = current.state;
        Some(Change::new(Action::Keep, container))
    }

    /// A container that was started again behind our back has lost what was plugged into it.
    fn restarted(&self, id: &ContainerId, before: Option<&Container>) -> Option<Out> {
        let started = |c: &Container| c.docker.as_ref().and_then(|docker| docker.started_at);
        let was = started(before?)?;
        let is = started(self.current.members.get(id)?)?;
        if was == is {
            return None;
        }
        let mut change = self.kept(id)?;
        let value = |at: jiff::Timestamp| serde_json::to_value(at).ok();
        change.why = vec![why("started_at", value(was), value(is))];
        Some(Out::Change(change))
    }

    fn owns(&self, container: &Container) -> bool {
        match (&self.policy.owner, &container.owner) {
            (Some(owner), Some(of)) => owner == of,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

/// The wanted document, on the host where the container is.
fn placed(wanted: &Container, current: &Container) -> Container {
    let mut container = wanted.clone();
    container.host = current.host.clone().or(container.host);
    container
}
