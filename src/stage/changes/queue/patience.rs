//! What is waited for of which nothing is known yet, and for how long.

use std::time::{Duration, Instant};

use super::super::task::Task;
use super::Queue;
use crate::error::Error;
use crate::record::ContainerId;

/// How long a container that has to be there first is waited for when nothing is heard of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the input pauses before what goes goes, though others that go first may still come.
const PAUSE: Duration = Duration::from_secs(1);

impl Queue {
    /// An earlier stage failed on the container.
    pub(in crate::stage::changes) fn failed_before(&mut self, id: &ContainerId, why: Error) {
        self.outcomes.insert(id.clone(), Some(why.into()));
        for who in self.missed.remove(id).unwrap_or_default() {
            self.held.remove(&who);
            self.offer(who);
        }
    }

    /// All that is to come before the next checkpoint has come, or has not.
    pub(in crate::stage::changes) fn complete(&mut self, is_complete: bool) {
        self.is_complete = is_complete;
    }

    /// When something is to be looked at again though nothing happens.
    pub(in crate::stage::changes) fn due(&self) -> Option<Instant> {
        let held = self.held.values().map(|(_, until)| *until).min();
        let patient = self.last.filter(|_| !self.patient.is_empty()).map(|last| last + PAUSE);
        held.into_iter().chain(patient).chain(self.places.due()).min()
    }

    /// Lets those go on that have waited for what does not come.
    pub(super) fn release(&mut self, now: Instant) {
        self.free_places(now);
        let is_over = |until: &Instant| self.is_complete || *until <= now;
        let over = self.held.iter().filter(|(_, (_, until))| is_over(until));
        let over: Vec<ContainerId> = over.map(|(who, _)| who.clone()).collect();
        for who in over {
            if let Some((missing, _)) = self.held.remove(&who)
                && let Some(others) = self.missed.get_mut(&missing)
            {
                others.retain(|other| *other != who);
                if others.is_empty() {
                    self.missed.remove(&missing);
                }
            }
            if let Some(task) = self.first(&who) {
                task.is_last_call = true;
            }
            self.offer(who);
        }
        if self.is_complete || self.last.is_some_and(|last| last + PAUSE <= now) {
            for who in std::mem::take(&mut self.patient) {
                if let Some(task) = self.first(&who) {
                    task.is_last_call = true;
                }
                self.offer(who);
            }
        }
    }

    /// Puts a task back that was taken, until something is heard of the container that it misses.
    /// Nothing when it has waited long enough: it is handed back.
    pub(in crate::stage::changes) fn hold(
        &mut self,
        task: Task,
        missing: &ContainerId,
        now: Instant,
    ) -> Option<Task> {
        if task.is_last_call {
            return Some(task);
        }
        self.release_lane(&task.lane);
        let id = task.id.clone();
        if let Some(batch) = &task.batch {
            self.places.leave(batch, &id);
            self.call(&batch.group);
        }
        let chain = self.chains.entry(id.clone()).or_default();
        chain.tasks.push_front(task);
        chain.is_busy = false;
        if self.chains.contains_key(missing) || self.outcomes.contains_key(missing) {
            self.offer(id);
            return None;
        }
        if let Some(chain) = self.chains.get_mut(&id) {
            chain.is_queued = true;
        }
        self.missed.entry(missing.clone()).or_default().push(id.clone());
        self.held.insert(id, (missing.clone(), now + PATIENCE));
        None
    }
}
