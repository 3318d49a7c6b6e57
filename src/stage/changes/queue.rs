//! Which change is worked on next: fair between lanes, one container's in their order, and those of
//! different containers in the order that they ask for.
//!
//! Nothing here waits or locks; times are passed in.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Limits;
use super::task::Task;
use crate::error::{Error, Kind};
use crate::record::ContainerId;

/// How long a container that has to be there first is waited for when nothing is heard of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the input pauses before what goes goes, though others that go first may still come.
const PAUSE: Duration = Duration::from_secs(1);

/// How many containers of a circle are told.
const TOLD: usize = 8;

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
    outcomes: HashMap<ContainerId, Option<Error>>,
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

/// The containers of one lane that have a task to begin with.
#[derive(Default)]
struct Lane {
    ready: VecDeque<ContainerId>,
    busy: usize,
    has_turn: bool,
}

/// A task that is to be worked on now.
pub(super) struct Taken {
    pub(super) task: Task,
    /// Containers that are to be there, of which nothing is known.
    pub(super) ask: Vec<ContainerId>,
    /// Why there is nothing to be done.
    pub(super) refused: Option<Error>,
}

/// What a task that is ready otherwise has before it.
enum Before {
    Nothing(Vec<ContainerId>),
    Another(ContainerId),
    More,
    Failure(Error),
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

    /// Whether there is a task that could be worked on.
    pub(super) fn is_ready(&self) -> bool {
        !self.turns.is_empty()
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
        let chain = self.chains.entry(id.clone()).or_default();
        chain.tasks.push_back(task);
        if !chain.is_busy && !chain.is_queued {
            self.offer(id.clone());
        }
        for who in self.missed.remove(&id).unwrap_or_default() {
            self.held.remove(&who);
            self.block(who, id.clone());
        }
    }

    /// An earlier stage failed on the container.
    pub(super) fn failed_before(&mut self, id: &ContainerId, why: Error) {
        self.outcomes.insert(id.clone(), Some(why));
        for who in self.missed.remove(id).unwrap_or_default() {
            self.held.remove(&who);
            self.offer(who);
        }
    }

    /// All that is to come before the next checkpoint has come, or has not.
    pub(super) fn complete(&mut self, is_complete: bool) {
        self.is_complete = is_complete;
    }

    /// When something is to be looked at again though nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let held = self.held.values().map(|(_, until)| *until).min();
        let patient = self.last.filter(|_| !self.patient.is_empty()).map(|last| last + PAUSE);
        held.into_iter().chain(patient).min()
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
            if self.busy > 0 || !self.break_circle() {
                return None;
            }
        }
    }

    /// Lets those go on that have waited for what does not come.
    fn release(&mut self, now: Instant) {
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

    fn first(&mut self, id: &ContainerId) -> Option<&mut Task> {
        self.chains.get_mut(id)?.tasks.front_mut()
    }

    /// Puts a container whose first task is to be looked at into its lane.
    fn offer(&mut self, id: ContainerId) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let Some(lane) = chain.tasks.front().map(|task| task.lane.clone()) else { return };
        chain.is_queued = true;
        self.lanes.entry(lane.clone()).or_default().ready.push_back(id);
        self.give_turn(lane);
    }

    fn give_turn(&mut self, name: Arc<str>) {
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
    fn take_of(&mut self, name: &Arc<str>) -> Option<Taken> {
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

    fn begin(&mut self, id: ContainerId) -> Option<Taken> {
        let (ask, refused) = match self.before(&id) {
            Before::Nothing(ask) => (ask, None),
            Before::Failure(why) => {
                // Whoever asks again is not refused for what was so before.
                self.kept.remove(&id);
                (Vec::new(), Some(why))
            }
            Before::Another(other) => {
                self.block(id, other);
                return None;
            }
            Before::More => {
                self.patient.push(id);
                return None;
            }
        };
        let chain = self.chains.get_mut(&id)?;
        let task = chain.tasks.pop_front()?;
        chain.is_busy = true;
        chain.is_queued = false;
        Some(Taken { task, ask, refused })
    }

    fn block(&mut self, who: ContainerId, by: ContainerId) {
        self.waiting.entry(by.clone()).or_default().push(who.clone());
        self.blocked.insert(who, by);
    }

    /// What the first task of a container has to wait for.
    fn before(&self, id: &ContainerId) -> Before {
        let task = self.chains.get(id).and_then(|chain| chain.tasks.front());
        let Some((task, order)) = task.and_then(|task| Some((task, task.order.as_deref()?))) else {
            return Before::Nothing(Vec::new());
        };
        if let Some(why) = &task.refused {
            return Before::Failure(why.clone());
        }
        if order.goes {
            let leaving = self.leaving.get(id).into_iter().flatten();
            if let Some(other) = leaving.into_iter().find(|other| *other != id) {
                return Before::Another(other.clone());
            }
            if let Some(why) = self.kept.get(id) {
                return Before::Failure(why.clone());
            }
            if order.is_patient && !task.is_last_call && !self.is_complete {
                return Before::More;
            }
        }
        let mut ask = Vec::new();
        for other in &order.after {
            if other == id {
                return Before::Failure(circle(std::slice::from_ref(id)));
            }
            if self.chains.contains_key(other) {
                return Before::Another(other.clone());
            }
            match self.outcomes.get(other) {
                _ if order.is_soft => (),
                Some(Some(why)) => return Before::Failure(behind(other, why)),
                Some(None) => (),
                None => ask.push(other.clone()),
            }
        }
        Before::Nothing(ask)
    }

    /// Puts a task back that was taken, until something is heard of the container that it misses.
    /// Nothing when it has waited long enough: it is handed back.
    pub(super) fn hold(&mut self, task: Task, missing: &ContainerId, now: Instant) -> Option<Task> {
        if task.is_last_call {
            return Some(task);
        }
        self.release_lane(&task.lane);
        let id = task.id.clone();
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

    fn release_lane(&mut self, name: &Arc<str>) {
        self.busy -= 1;
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.busy -= 1;
        }
        self.give_turn(name.clone());
    }

    /// A task that was taken is done, or failed. Its container is free only behind
    /// [`Queue::free`].
    pub(super) fn finished(&mut self, done: &Done, why: Option<&Error>) {
        self.open -= 1;
        self.bytes -= done.size;
        self.release_lane(&done.lane);
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
            why => drop(self.outcomes.insert(done.id.clone(), why.cloned())),
        }
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

    /// Finds containers that wait for each other, and lets the first of them be refused.
    fn break_circle(&mut self) -> bool {
        let mut seen: HashMap<&ContainerId, usize> = HashMap::new();
        for (walk, start) in self.blocked.keys().enumerate() {
            let mut path: Vec<&ContainerId> = Vec::new();
            let mut at = start;
            while let Some(next) = self.blocked.get(at) {
                match seen.get(at) {
                    Some(earlier) if *earlier == walk => {
                        let from = path.iter().position(|id| *id == at).unwrap_or_default();
                        let round: Vec<ContainerId> =
                            path[from..].iter().map(|id| (*id).clone()).collect();
                        self.refuse(&round);
                        return true;
                    }
                    Some(_) => break,
                    None => drop(seen.insert(at, walk)),
                }
                path.push(at);
                at = next;
            }
        }
        false
    }

    /// The first container of a circle fails, and so do those that wait for it.
    fn refuse(&mut self, round: &[ContainerId]) {
        let Some(first) = round.iter().min().cloned() else { return };
        let start = round.iter().position(|id| *id == first).unwrap_or_default();
        let round: Vec<ContainerId> =
            round[start..].iter().chain(&round[..start]).cloned().collect();
        if let Some(by) = self.blocked.remove(&first)
            && let Some(others) = self.waiting.get_mut(&by)
        {
            others.retain(|other| *other != first);
        }
        if let Some(task) = self.first(&first) {
            task.refused = Some(circle(&round));
        }
        self.offer(first);
    }
}

/// What is to be known of a task when it is done.
pub(super) struct Done {
    pub(super) id: ContainerId,
    lane: Arc<str>,
    order: Option<Box<super::Order>>,
    size: usize,
}

impl Done {
    pub(super) fn of(task: &Task) -> Done {
        let Task { id, lane, order, .. } = task;
        Done { id: id.clone(), lane: lane.clone(), order: order.clone(), size: task.size() }
    }
}

/// Why a container cannot come whose forerunner did not.
fn behind(other: &ContainerId, why: &Error) -> Error {
    Error::new(why.kind(), format_args!("depends on \"{other}\""))
        .why(format_args!("which failed: {why}"))
}

/// Why a container cannot go when one that depends on it did not.
fn ahead(other: &ContainerId, why: &Error) -> Error {
    Error::new(why.kind(), format_args!("\"{other}\" depends on it"))
        .why(format_args!("and failed: {why}"))
}

/// Why a container cannot come that nothing is known of what it depends on.
pub(super) fn unheard_of(other: &ContainerId) -> Error {
    Error::new(Kind::NotFound, format_args!("depends on \"{other}\""))
        .why("it is neither among the records nor does it run on the host")
}

fn circle(round: &[ContainerId]) -> Error {
    let mut told: Vec<String> = round.iter().take(TOLD).map(|id| format!("\"{id}\"")).collect();
    if round.len() > TOLD {
        told.push("…".to_owned());
    }
    told.extend(round.first().map(|id| format!("\"{id}\"")));
    Error::new(Kind::BadInput, "depends_on goes in a circle").why(told.join(" → "))
}

#[cfg(test)]
mod tests;
