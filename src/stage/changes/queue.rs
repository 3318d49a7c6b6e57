//! Which change is worked on next: fair between lanes, one container's in their order, and those of
//! different containers in the order that they ask for.
//!
//! Nothing here waits or locks; times are passed in.

mod circle;
mod lanes;
mod order;
mod patience;
mod places;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Limits;
use super::batch::{Batch, Effect};
use super::task::Task;
use crate::error::Error;
use crate::record::ContainerId;
use lanes::Lane;
pub(super) use order::unheard_of;
use order::{Before, ahead};
use places::{Answer, Places};

/// All changes that wait, and what is known of those that were done.
pub(super) struct Queue {
    limits: Limits,
    chains: HashMap<ContainerId, Chain>,
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes in which something is ready and there is room for it, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    /// Who waits for whom to have nothing to do any more, both ways.
    blocked: HashMap<ContainerId, ContainerId>,
    waiting: HashMap<ContainerId, Vec<ContainerId>>,
    /// Who waits for something to be heard of whom, and until when.
    held: HashMap<ContainerId, (ContainerId, Instant)>,
    missed: HashMap<ContainerId, Vec<ContainerId>>,
    /// Who goes when the listing is complete or the input pauses.
    patient: Vec<ContainerId>,
    /// For a container, those with a change in hand that has to be done before it goes.
    leaving: HashMap<ContainerId, Vec<ContainerId>>,
    /// For a container, why it has to stay: one that goes before it could not go.
    kept: HashMap<ContainerId, Error>,
    /// What became of containers that came: nothing when they did.
    outcomes: HashMap<ContainerId, Option<Box<Error>>>,
    /// Who may be away.
    places: Places,
    /// Tasks that wait or are worked on, their size, and how many are worked on.
    open: usize,
    bytes: usize,
    busy: usize,
    /// Whether all is there that is waited for: a checkpoint or the end of the input was read.
    is_complete: bool,
    last: Option<Instant>,
}

/// The tasks of one container.
#[derive(Default)]
struct Chain {
    tasks: VecDeque<Task>,
    /// Whether one is worked on, or not judged yet.
    is_busy: bool,
    /// Whether the first waits in a lane, or for another.
    is_queued: bool,
}

impl Chain {
    /// Nearly all have one task, and very many wait.
    fn of_one() -> Chain {
        Chain { tasks: VecDeque::with_capacity(1), ..Chain::default() }
    }
}

/// A task that is to be worked on now.
pub(super) struct Taken {
    pub(super) task: Task,
    /// Containers that are to be there, of which nothing is known.
    pub(super) ask: Vec<ContainerId>,
    /// Why there is nothing to be done.
    pub(super) refused: Option<Error>,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            chains: HashMap::new(),
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            blocked: HashMap::new(),
            waiting: HashMap::new(),
            held: HashMap::new(),
            missed: HashMap::new(),
            patient: Vec::new(),
            leaving: HashMap::new(),
            kept: HashMap::new(),
            outcomes: HashMap::new(),
            places: Places::new(limits.care),
            open: 0,
            bytes: 0,
            busy: 0,
            is_complete: false,
            last: None,
        }
    }

    /// Whether another task may be read.
    pub(super) fn has_room(&self) -> bool {
        self.open == 0 || self.open < self.limits.waiting && self.bytes < self.limits.bytes
    }

    /// Whether all tasks are done.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Whether there is one task that is not done.
    pub(super) fn is_single(&self) -> bool {
        self.open == 1
    }

    /// Adds a task.
    pub(super) fn submit(&mut self, task: Task, now: Instant) {
        self.last = Some(now);
        self.open += 1;
        self.bytes += task.size();
        let id = task.id.clone();
        for before in task.order.iter().flat_map(|order| &order.before) {
            self.leaving.entry(before.clone()).or_default().push(id.clone());
        }
        let batch = task.batch.clone();
        let chain = self.chains.entry(id.clone()).or_insert_with(Chain::of_one);
        chain.tasks.push_back(task);
        if !chain.is_busy && !chain.is_queued {
            self.offer(id.clone());
        }
        for who in self.missed.remove(&id).unwrap_or_default() {
            self.held.remove(&who);
            self.block(who, id.clone());
        }
        if let Some(batch) = batch {
            self.places.told(&batch, &id);
            self.call(&batch.group);
        }
    }

    /// The next task, if there is one that can be worked on.
    pub(super) fn take(&mut self, now: Instant) -> Option<Taken> {
        self.release(now);
        loop {
            while let Some(lane) = self.turns.pop_front() {
                if let Some(taken) = self.take_of(&lane) {
                    return Some(taken);
                }
            }
            if self.busy > 0 || !self.give_up_places() && !self.break_circle() {
                return None;
            }
        }
    }

    fn first(&mut self, id: &ContainerId) -> Option<&mut Task> {
        self.chains.get_mut(id)?.tasks.front_mut()
    }

    fn begin(&mut self, id: ContainerId) -> Option<Taken> {
        let (ask, refused) = match self.before(&id) {
            Before::Nothing(ask) => match self.ask_for_place(&id) {
                Answer::Go => (ask, None),
                Answer::Stay(why) => (Vec::new(), Some(why)),
                Answer::Wait => return None,
            },
            Before::Failure(why) => {
                // Whoever asks again is not refused for what was so before.
                self.kept.remove(&id);
                (Vec::new(), Some(why))
            }
            Before::Another(other) => {
                self.pass_place_on(&id);
                self.block(id, other);
                return None;
            }
            Before::More => {
                self.pass_place_on(&id);
                self.patient.push(id);
                return None;
            }
        };
        if refused.is_some() {
            self.pass_place_on(&id);
        }
        let chain = self.chains.get_mut(&id)?;
        let task = chain.tasks.pop_front()?;
        chain.is_busy = true;
        chain.is_queued = false;
        Some(Taken { task, ask, refused })
    }

    /// A task that was taken is done, or failed. Its container is free only behind
    /// [`Queue::free`].
    pub(super) fn finished(&mut self, done: &Done, why: Option<&Error>, now: Instant) {
        self.open -= 1;
        self.bytes -= done.size;
        self.release_lane(&done.lane);
        if let Some(batch) = &done.batch {
            self.places.done(batch, &done.id, why.is_some(), now);
            self.call(&batch.group);
        }
        let Some(order) = &done.order else { return };
        for other in &order.before {
            if let Some(leaving) = self.leaving.get_mut(other) {
                if let Some(at) = leaving.iter().position(|id| *id == done.id) {
                    leaving.swap_remove(at);
                }
                if leaving.is_empty() {
                    self.leaving.remove(other);
                }
            }
            match why {
                Some(why) => drop(self.kept.insert(other.clone(), ahead(&done.id, why))),
                None => drop(self.kept.remove(other)),
            }
        }
        match why {
            None if order.goes => drop(self.outcomes.remove(&done.id)),
            why => drop(self.outcomes.insert(done.id.clone(), why.cloned().map(Box::new))),
        }
    }

    /// A task that was taken was not begun: its container would have to go, and needs a place for that.
    pub(super) fn put_back(&mut self, mut task: Task) {
        self.release_lane(&task.lane);
        if let Some(batch) = &mut task.batch {
            batch.effect = Effect::Renewed;
        }
        let id = task.id.clone();
        let chain = self.chains.entry(id.clone()).or_default();
        chain.tasks.push_front(task);
        chain.is_busy = false;
        self.offer(id);
    }

    /// Nothing more becomes of the container's task: the next one may be worked on.
    pub(super) fn free(&mut self, id: &ContainerId) {
        let Some(chain) = self.chains.get_mut(id) else { return };
        chain.is_busy = false;
        if !chain.tasks.is_empty() {
            self.offer(id.clone());
        } else {
            self.chains.remove(id);
        }
        // Those that wait for a container that leaves wait for that task alone; all look again.
        for who in self.waiting.remove(id).unwrap_or_default() {
            self.blocked.remove(&who);
            self.offer(who);
        }
    }
}

/// What is to be known of a task when it is done.
pub(super) struct Done {
    pub(super) id: ContainerId,
    lane: Arc<str>,
    order: Option<Box<super::Order>>,
    pub(super) batch: Option<Box<Batch>>,
    size: usize,
}

impl Done {
    pub(super) fn of(task: &Task) -> Done {
        let Task { id, lane, order, batch, .. } = task;
        let (id, lane, order, batch) = (id.clone(), lane.clone(), order.clone(), batch.clone());
        Done { id, lane, order, batch, size: task.size() }
    }
}
