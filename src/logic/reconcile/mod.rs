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

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use asked::{Asked, CALM};
use side::{Member, Side};

pub use side::Listing;

pub use policy::{FEW, MaxRemove, Policy};

use super::diff::{compare, stopped, why};
use crate::error::{Error, Kind};
use crate::record::{Action, Change, Container, ContainerId, Owner, State};

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

/// Where what comes out goes, piece by piece: a full comparison can be as large as both sides.
pub type Sink<'a> = &'a mut dyn FnMut(Out);

/// Both sides and what was asked for. Times are counted from any one moment.
#[derive(Debug)]
pub struct Reconciler {
    policy: Policy,
    wanted: Side,
    current: Side,
    asked: HashMap<ContainerId, Asked>,
    /// When to look at what was asked for again: one moment for each.
    alarms: BTreeSet<(Duration, ContainerId)>,
    /// Containers whose removal is decided, until they are gone.
    doomed: BTreeSet<ContainerId>,
    /// Whether the current side shows what becomes of changes. If not, they are taken for done.
    observed: bool,
    /// A listing of what is wanted is closed and waits for the current side to be known.
    due: Option<Listing>,
}

/// Why a container is not as it should be. The order is that of a full comparison: removals come
/// first, for the room they make, then what stays, then what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// It is there, ours, and to go.
    Remove,
    /// Nothing: it is as it should be.
    Keep,
    /// It is another one than is wanted.
    Replace,
    /// It is not there.
    Add,
    /// It is there and does not run.
    Start,
    /// Its name is taken by one that is not ours.
    Refuse,
    /// It is wanted for another owner than the one that what is there was listed for: whether it is
    /// there cannot be seen.
    Stray,
}

impl Reconciler {
    /// A loop that knows nothing yet.
    pub fn new(policy: Policy) -> Reconciler {
        Reconciler {
            policy,
            wanted: Side::default(),
            current: Side::default(),
            asked: HashMap::new(),
            alarms: BTreeSet::new(),
            doomed: BTreeSet::new(),
            observed: true,
            due: None,
        }
    }

    /// The current side will tell nothing more: from now on changes are taken for done.
    pub fn stop_observing(&mut self) {
        self.observed = false;
    }

    /// Whether a container of that name is wanted.
    pub fn is_wanted(&self, id: &ContainerId) -> bool {
        self.wanted.members.contains_key(id)
    }

    /// What is there is told for this owner alone, unless it is known already for which.
    pub fn limit_to(&mut self, owner: Owner) {
        self.policy.owner.get_or_insert(owner);
    }

    /// Takes in what is wanted of one container.
    pub fn want(&mut self, container: &Container, now: Duration, out: Sink) {
        let id = &container.id;
        self.wanted.update(container);
        if !self.is_live() {
            return;
        }
        match self.wanted.members.get(id) {
            None => {
                self.doomed.insert(id.clone());
            }
            Some(wanted) => {
                self.doomed.remove(id);
                let print = Some(wanted.print);
                if self.asked.get(id).is_some_and(|asked| asked.goal != print) {
                    self.forget(id);
                }
            }
        }
        self.look(id, now, out);
    }

    /// The wanted side has listed what there is. By a partial listing nothing is removed.
    pub fn wanted_checkpoint(&mut self, listing: Listing, now: Duration, out: Sink) {
        self.wanted.checkpoint(listing);
        self.due = Some(listing);
        self.compare_all(now, out);
    }

    /// Takes in what is there of one container.
    pub fn see(&mut self, container: &Container, now: Duration, out: Sink) {
        let id = &container.id;
        let before = self.current.update(container);
        if !self.is_live() {
            return;
        }
        let in_flight = self.asked.get(id).is_some_and(|asked| asked.in_flight);
        let kept = self.look(id, now, out) == Need::Keep;
        if kept && !in_flight {
            self.restarted(id, before.as_ref(), out);
        }
    }

    /// The current side has listed everything.
    pub fn current_checkpoint(&mut self, now: Duration, out: Sink) {
        let gone = self.current.checkpoint(Listing::Whole);
        if self.due.is_some() {
            return self.compare_all(now, out);
        }
        if !self.is_live() {
            return;
        }
        let mut ids: BTreeSet<ContainerId> = gone.into_iter().collect();
        ids.extend(self.wanted.members.keys().cloned());
        ids.extend(self.doomed.iter().cloned());
        for id in ids {
            self.look(&id, now, out);
        }
    }

    /// Asks again for what has not shown in time.
    pub fn tick(&mut self, now: Duration, out: Sink) {
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.alarms.pop_first() else { return };
            if self.look(&id, now, out) != Need::Keep {
                continue;
            }
            // It is as it should be. After a calm time it is as if it had never been asked for.
            match self.asked.get(&id).map(|asked| asked.at + CALM) {
                Some(calm) if now < calm => self.set_alarm(&id, calm),
                _ => self.forget(&id),
            }
        }
    }

    /// The time of the next [`Reconciler::tick`] that can find something.
    pub fn next_tick(&self) -> Option<Duration> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Whether both sides are known in full and have been compared.
    fn is_live(&self) -> bool {
        self.wanted.is_complete() && self.current.is_complete() && self.due.is_none()
    }

    /// Compares everything with everything, once both sides are known.
    fn compare_all(&mut self, now: Duration, out: Sink) {
        let Some(listing) = self.due.take_if(|_| self.current.is_complete()) else { return };
        if listing == Listing::Partial {
            let ids = self.doomed.iter().chain(self.wanted.members.keys()).cloned().collect();
            self.compare_each(ids, now, out);
            return;
        }
        let ours = self.current.members.iter().filter(|(_, member)| self.owns(member));
        // What was asked for and has yet to show is as good as there.
        let on_its_way = self.asked.iter().filter(|(id, asked)| {
            asked.in_flight && asked.goal.is_some() && !self.current.members.contains_key(*id)
        });
        let (mut there, mut surplus) = (0, Vec::new());
        for id in ours.map(|(id, _)| id).chain(on_its_way.map(|(id, _)| id)) {
            there += 1;
            if !self.wanted.members.contains_key(id) {
                surplus.push(id.clone());
            }
        }
        let removed = surplus.len();
        let allowed = self.policy.force || self.policy.max_remove.allows(removed, there);
        if allowed {
            self.doomed.extend(surplus);
        }
        let ids = self.doomed.iter().chain(self.wanted.members.keys()).cloned().collect();
        let count = self.compare_each(ids, now, out);
        if allowed {
            return out(Out::Complete(count));
        }
        let what = format!("listing would remove {removed} of {there} containers");
        let error = Error::new(Kind::Refused, what)
            .why("more than --max-remove allows")
            .remedy("nothing is removed; give --force if that is meant");
        out(Out::Refused(error));
    }

    /// One change for each of the containers, those in flight too, so that whoever reads the
    /// listing misses none. Gives their number.
    fn compare_each(&mut self, ids: Vec<ContainerId>, now: Duration, out: Sink) -> u64 {
        let gone = |id: &ContainerId| {
            !self.wanted.members.contains_key(id) && !self.current.members.contains_key(id)
        };
        let there = ids.into_iter().filter(|id| !gone(id));
        let mut all: Vec<(Need, ContainerId)> = there.map(|id| (self.need(&id), id)).collect();
        all.sort_unstable();
        for (need, id) in &all {
            out(Out::Change(self.change(id, *need)));
            self.ask(id, *need, now);
        }
        all.len() as u64
    }

    /// Looks at one container after something about it has changed; asks for what it needs, unless
    /// that is in flight.
    fn look(&mut self, id: &ContainerId, now: Duration, out: Sink) -> Need {
        let need = self.need(id);
        match need {
            Need::Keep => self.settle(id),
            Need::Refuse | Need::Stray => out(Out::Change(self.change(id, need))),
            _ => match self.not_before(id, need) {
                Some(at) if now < at => self.set_alarm(id, at),
                _ => {
                    out(Out::Change(self.change(id, need)));
                    self.ask(id, need, now);
                }
            },
        }
        need
    }

    /// What a container needs.
    fn need(&self, id: &ContainerId) -> Need {
        let current = self.current.members.get(id);
        let Some(wanted) = self.wanted.members.get(id) else {
            let goes = current.is_some_and(|c| self.owns(c)) && self.doomed.contains(id);
            return if goes { Need::Remove } else { Need::Keep };
        };
        let other = |owner: &Owner| self.policy.owner.as_ref().is_some_and(|of| of != owner);
        if wanted.owner.as_ref().is_some_and(other) {
            return Need::Stray;
        }
        let Some(current) = current else { return Need::Add };
        if !self.owns(current) || wanted.owner.is_some() && current.owner != wanted.owner {
            Need::Refuse
        } else if wanted.print != current.print {
            Need::Replace
        } else if stopped(current.state).is_some() {
            Need::Start
        } else {
            Need::Keep
        }
    }

    /// The change that a need of a container asks for.
    fn change(&self, id: &ContainerId, need: Need) -> Change {
        let read = |member: Option<&Member>| member.map(Member::container);
        let current = read(self.current.members.get(id));
        let wanted = read(self.wanted.members.get(id)).map(|mut wanted| {
            wanted.owner = wanted.owner.or_else(|| self.policy.owner.clone());
            wanted
        });
        let bug = "a need is of a container that is wanted or there";
        match (need, wanted, current) {
            (Need::Remove, _, current) => Change::new(Action::Remove, current.expect(bug)),
            (Need::Add, wanted, _) => Change::new(Action::Add, wanted.expect(bug)),
            (Need::Refuse, wanted, _) => {
                let what = format!("name \"{id}\" is taken");
                let why = "by a container that this pipe did not make";
                let error = Error::new(Kind::Refused, what).why(why);
                Change::new(Action::Add, wanted.expect(bug)).failed(&error)
            }
            (Need::Stray, wanted, _) => {
                let wanted = wanted.expect(bug);
                let of = |owner: &Option<Owner>| owner.as_ref().map(Owner::to_string);
                let error = Error::new(Kind::Refused, format_args!("compare \"{id}\""))
                    .why(format_args!(
                        "it is wanted for owner {}, and what is there was listed for {}",
                        of(&wanted.owner).unwrap_or_default(),
                        of(&self.policy.owner).unwrap_or_default()
                    ))
                    .remedy("give the whole pipe one --owner");
                Change::new(Action::Add, wanted).failed(&error)
            }
            (Need::Keep, Some(wanted), Some(current)) => {
                let mut container = placed(wanted, &current);
                container.docker = current.docker;
                container.state = current.state;
                Change::new(Action::Keep, container)
            }
            (Need::Start, Some(wanted), Some(current)) => {
                let why = stopped(current.state).into_iter().collect();
                Change { why, ..Change::new(Action::Add, placed(wanted, &current)) }
            }
            (_, wanted, current) => {
                let (wanted, current) = (wanted.expect(bug), current.expect(bug));
                let why = compare(&wanted, &current);
                let change = Change::new(Action::Replace, placed(wanted, &current));
                Change { why, current: Some(current), ..change }
            }
        }
    }

    /// A container is as it should be: what was asked for has shown. One that was asked for and
    /// then wished away stays doomed for as long as it may yet show.
    fn settle(&mut self, id: &ContainerId) {
        let wanted = self.wanted.members.contains_key(id);
        match self.asked.get_mut(id) {
            Some(asked) if wanted => asked.in_flight = false,
            Some(asked) if asked.goal.is_some() => (),
            _ => self.forget(id),
        }
    }

    /// Forgets what was asked for; a doom that nothing can fulfil goes with it.
    fn forget(&mut self, id: &ContainerId) {
        if let Some(asked) = self.asked.remove(id) {
            self.alarms.remove(&(asked.alarm, id.clone()));
        }
        if !self.current.members.contains_key(id) {
            self.doomed.remove(id);
        }
    }

    /// The time before which a need is not asked for; none when nothing like it was asked for yet.
    fn not_before(&self, id: &ContainerId, need: Need) -> Option<Duration> {
        let asked = self.asked.get(id)?;
        let opposite = (need == Need::Remove) == asked.goal.is_some();
        (!opposite).then(|| asked.again_at(self.policy.settle))
    }

    /// Remembers that a change goes out; without anyone to see its effect, takes it for done.
    fn ask(&mut self, id: &ContainerId, need: Need, now: Duration) {
        if matches!(need, Need::Keep | Need::Refuse | Need::Stray) {
            return;
        }
        if !self.observed {
            return self.take_for_done(id, need);
        }
        let wanted = self.wanted.members.get(id).filter(|_| need != Need::Remove);
        let goal = wanted.map(|wanted| wanted.print);
        let times = match self.asked.get(id) {
            Some(asked) if now < asked.at + CALM => asked.times + 1,
            _ => 1,
        };
        let doomed = self.doomed.contains(id);
        self.forget(id);
        if doomed {
            self.doomed.insert(id.clone());
        }
        let asked = Asked { at: now, times, goal, in_flight: true, alarm: Duration::ZERO };
        let again_at = asked.again_at(self.policy.settle);
        self.asked.insert(id.clone(), asked);
        self.set_alarm(id, again_at);
    }

    fn take_for_done(&mut self, id: &ContainerId, need: Need) {
        self.doomed.remove(id);
        if need == Need::Remove {
            self.current.members.remove(id);
            return;
        }
        let mut container = self.change(id, need).container;
        container.state = Some(State::Running);
        container.owner.get_or_insert_default();
        self.current.update(&container);
    }

    fn set_alarm(&mut self, id: &ContainerId, at: Duration) {
        if let Some(asked) = self.asked.get_mut(id) {
            self.alarms.remove(&(asked.alarm, id.clone()));
            asked.alarm = at;
            self.alarms.insert((at, id.clone()));
        }
    }

    /// A container that was started again behind our back has lost what was plugged into it.
    fn restarted(&self, id: &ContainerId, before: Option<&Member>, out: Sink) {
        let after = self.current.members.get(id).filter(|_| self.wanted.members.contains_key(id));
        let started = |member: Option<&Member>| member?.started_at;
        let (Some(was), Some(is)) = (started(before), started(after)) else { return };
        if was != is {
            let mut change = self.change(id, Need::Keep);
            let value = |at: jiff::Timestamp| serde_json::to_value(at).ok();
            change.why = vec![why("started_at", value(was), value(is))];
            out(Out::Change(change));
        }
    }

    fn owns(&self, member: &Member) -> bool {
        let ours = |owner: &Owner| self.policy.owner.as_ref().is_none_or(|of| of == owner);
        member.owner.as_ref().is_some_and(ours)
    }
}

/// The wanted document, on the host where the container is.
fn placed(wanted: Container, current: &Container) -> Container {
    let host = current.host.clone().or(wanted.host);
    Container { host, ..wanted }
}
