//! The reconcile loop: what is wanted and what is there, kept beside each other over time.
//!
//! Both sides are told as listings and changes. Out come changes, each at most once while it is in
//! flight: until the current side shows its effect, or so much time has passed that it has to be
//! asked for again. Nothing here knows the time or reads a stream; both are handed in.

mod asked;
mod eye;
mod policy;
mod removals;
mod sides;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use asked::{Asked, CALM};
use sides::{Before, Member, Sides, Which};

pub use eye::{Eye, Said, Seen};
pub use sides::Listing;

pub use policy::{FEW, MaxRemove, Policy};

use super::diff::{Ignored, Looker, agree, compare, stopped, why};
use crate::error::{Error, Kind};
use crate::record::{
    Action, Change, Container, ContainerId, LeaseRef, Object, Owner, Split, State,
};

/// What comes out of the loop.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "handed on at once")]
pub enum Out<'a> {
    /// Something to be done, or, marked as failed, something that cannot be.
    Change(Change),
    /// Something to be done of which no more is to be said than the container, whose JSON this is.
    Plain(Action, &'a str),
    /// A full comparison is complete: so many changes.
    Complete(u64),
    /// A full comparison was not acted on in full.
    Refused(Error),
}

/// Where what comes out goes, piece by piece: a full comparison can be as large as both sides.
pub type Sink<'a> = &'a mut dyn FnMut(Out<'_>);

/// Both sides and what was asked for. Times are counted from any one moment.
#[derive(Debug)]
pub struct Reconciler {
    policy: Policy,
    sides: Sides,
    asked: HashMap<ContainerId, Asked>,
    /// When to look at what was asked for again: one moment for each.
    alarms: BTreeSet<(Duration, ContainerId)>,
    /// Containers whose removal is decided, until they are gone.
    doomed: BTreeSet<ContainerId>,
    /// Whether the current side shows what becomes of changes. If not, they are taken for done.
    observed: bool,
    /// A listing of what is wanted is closed and waits for the current side to be known.
    due: Option<Listing>,
    eye: Eye,
    /// Where the JSON of a container is put together.
    text: String,
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
        let looker = Looker::new(policy.ignored.clone());
        Reconciler {
            policy,
            sides: Sides::default(),
            asked: HashMap::new(),
            alarms: BTreeSet::new(),
            doomed: BTreeSet::new(),
            observed: true,
            due: None,
            eye: Eye::new(looker),
            text: String::new(),
        }
    }

    /// Whoever looks at documents for this loop.
    pub fn eye(&self) -> Eye {
        self.eye.clone()
    }

    /// The current side will tell nothing more: from now on changes are taken for done.
    pub fn stop_observing(&mut self) {
        self.observed = false;
    }

    /// What is there is told for this owner alone, unless it is known already for which.
    pub fn limit_to(&mut self, owner: Owner) {
        self.policy.owner.get_or_insert(owner);
    }

    /// Takes in what is wanted of one container.
    pub fn want(&mut self, container: &Container, now: Duration, out: Sink) -> Told {
        let text = json(container);
        let seen = self.eye.see(container, &text);
        self.want_seen(seen, now, out)
    }

    /// Takes in what is wanted of one container that was seen by this loop's [`Eye`].
    pub fn want_seen(&mut self, seen: Seen, now: Duration, out: Sink) -> Told {
        if !self.is_live() {
            return self.sides.want(seen).told();
        }
        let id = owned(seen.id);
        let taken = self.take_in(Which::Wanted, seen);
        match self.sides.wanted(id.as_str()) {
            None => {
                self.doomed.insert(id.clone());
            }
            Some(wanted) => {
                self.doomed.remove(&id);
                let print = Some(wanted.print);
                if self.asked.get(&id).is_some_and(|asked| asked.goal != print) {
                    self.forget(&id);
                }
            }
        }
        let in_flight = self.asked.get(&id).is_some_and(|asked| asked.in_flight);
        let kept = self.look(&id, now, out) == Need::Keep;
        if kept && !in_flight {
            self.leased_anew(&id, taken.before.as_ref(), out);
        }
        taken.told
    }

    /// Puts a member in its place, when there is something to compare it with: one that says the
    /// same as before in other words keeps its print, and what is wanted gets that of what is there
    /// if it is that.
    fn take_in(&mut self, which: Which, seen: Seen) -> Taken {
        let id = seen.id;
        let before = match which {
            Which::Wanted => self.sides.want(seen),
            Which::Current => self.sides.see(seen),
        };
        let told = before.told();
        let before = before.known();
        let ignored = &self.policy.ignored;
        if let Some(both) = self.sides.get_mut(id) {
            if let (Some(member), Some(before)) = (both.seen_from(which).0, &before)
                && says_the_same(before, member, ignored)
            {
                member.print = before.print;
            }
            let goal = both.wanted.as_ref().map(|wanted| wanted.print);
            both.match_words(ignored);
            let print = both.wanted.as_ref().map(|wanted| wanted.print);
            if let Some(asked) = self.asked.get_mut(id)
                && asked.goal.is_some()
                && asked.goal == goal
            {
                asked.goal = print;
            }
        }
        Taken { told, before }
    }

    /// The wanted side has listed what there is. By a partial listing nothing is removed.
    pub fn wanted_checkpoint(&mut self, listing: Listing, now: Duration, out: Sink) {
        self.sides.checkpoint(Which::Wanted, listing);
        self.due = Some(listing);
        self.compare_all(now, out);
    }

    /// Takes in what is there of one container.
    pub fn see(&mut self, container: &Container, now: Duration, out: Sink) -> Told {
        let text = json(container);
        let seen = self.eye.see(container, &text);
        self.see_seen(seen, now, out)
    }

    /// Takes in what is there of one container that was seen by this loop's [`Eye`].
    pub fn see_seen(&mut self, seen: Seen, now: Duration, out: Sink) -> Told {
        if !self.is_live() {
            return self.sides.see(seen).told();
        }
        let id = owned(seen.id);
        let doubles = self.sides.doubles.len();
        let taken = self.take_in(Which::Current, seen);
        let in_flight = self.asked.get(&id).is_some_and(|asked| asked.in_flight);
        let kept = self.look(&id, now, out) == Need::Keep;
        if kept && !in_flight {
            self.restarted(&id, taken.before.as_ref(), out);
        }
        if self.sides.doubles.len() > doubles {
            self.remove_doubles(Some(&id), out);
        }
        taken.told
    }

    /// The current side has listed everything.
    pub fn current_checkpoint(&mut self, now: Duration, out: Sink) {
        let gone = self.sides.checkpoint(Which::Current, Listing::Whole);
        if self.due.is_some() {
            return self.compare_all(now, out);
        }
        if !self.is_live() {
            return;
        }
        let mut ids: BTreeSet<ContainerId> = gone.into_iter().collect();
        let wanted = self.sides.iter().filter(|(_, both)| both.wanted.is_some());
        ids.extend(wanted.map(|(id, _)| id.clone()));
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
        self.sides.are_complete() && self.due.is_none()
    }

    /// Compares everything with everything, once both sides are known.
    fn compare_all(&mut self, now: Duration, out: Sink) {
        let known = self.sides.is_current_complete();
        let Some(listing) = self.due.take_if(|_| known) else { return };
        self.match_words();
        if listing == Listing::Partial {
            self.compare_each(now, out);
            return;
        }
        // What was asked for and has yet to show is as good as there.
        let on_its_way = self.asked.iter().filter(|(id, asked)| {
            asked.in_flight && asked.goal.is_some() && self.sides.current(id.as_str()).is_none()
        });
        let doubles = self.sides.doubles.values().filter(|member| self.owns(member)).count();
        let (mut there, mut surplus) = (doubles, Vec::new());
        for (id, both) in self.sides.iter() {
            if both.current.as_ref().is_some_and(|member| self.owns(member)) {
                there += 1;
                if both.wanted.is_none() {
                    surplus.push(id.clone());
                }
            }
        }
        for (id, _) in on_its_way {
            there += 1;
            if self.sides.wanted(id.as_str()).is_none() {
                surplus.push(id.clone());
            }
        }
        let removed = surplus.len() + doubles;
        let allowed = self.policy.force || self.policy.max_remove.allows(removed, there);
        let mut count = 0;
        if allowed {
            self.doomed.extend(surplus);
            count = self.remove_doubles(None, out);
        }
        count += self.compare_each(now, out);
        if allowed {
            return out(Out::Complete(count));
        }
        let what = format!("listing would remove {removed} of {there} containers");
        let error = Error::new(Kind::Refused, what)
            .why("more than --max-remove allows")
            .remedy("nothing is removed; give --force if that is meant");
        out(Out::Refused(error));
    }

    /// What is wanted and is what is there, in other words, gets the same print.
    fn match_words(&mut self) {
        self.sides.iter_mut().for_each(|both| both.match_words(&self.policy.ignored));
    }

    /// One change for each container that is wanted or has to go, those in flight too, so that
    /// whoever reads the listing misses none: by what they need, and then as they were told. Gives
    /// their number.
    fn compare_each(&mut self, now: Duration, out: Sink) -> u64 {
        let mut all: Vec<(Need, u32, usize)> = Vec::with_capacity(self.sides.len());
        for (at, (id, both)) in self.sides.iter().enumerate() {
            match (&both.wanted, &both.current) {
                (Some(wanted), there) => {
                    all.push((self.need_of(Some(wanted), there.as_ref()), wanted.place, at));
                }
                (None, Some(there)) if self.owns(there) && self.doomed.contains(id) => {
                    all.push((Need::Remove, there.place, at));
                }
                _ => (),
            }
        }
        all.sort_unstable();
        let removals = all.partition_point(|(need, ..)| *need == Need::Remove);
        removals::put_in_order(&mut all[..removals], |(_, _, at)| {
            let (id, both) = self.sides.at(at)?;
            Some((id, both.current.as_ref()?))
        });
        let mut text = std::mem::take(&mut self.text);
        let mut asked = Vec::new();
        for (need, _, at) in &all {
            let Some((id, both)) = self.sides.at(*at) else { continue };
            self.tell_of(id, *need, both.wanted.as_ref(), both.current.as_ref(), &mut text, out);
            if *need != Need::Keep {
                asked.push((*need, id.clone()));
            }
        }
        self.text = text;
        for (need, id) in asked {
            self.ask(&id, need, now);
        }
        all.len() as u64
    }

    /// Has containers removed that have the name of another one, on another host: those of one name
    /// or all. Gives their number.
    fn remove_doubles(&self, of: Option<&ContainerId>, out: Sink) -> u64 {
        let meant = |id: &ContainerId| of.is_none_or(|of| of == id);
        let doubles = self.sides.doubles.iter().filter(|((id, _), _)| meant(id));
        let ours = doubles.filter(|(_, member)| self.owns(member));
        ours.map(|(_, member)| out(Out::Plain(Action::Remove, &member.text))).count() as u64
    }

    /// Looks at one container after something about it has changed; asks for what it needs, unless
    /// that is in flight.
    fn look(&mut self, id: &ContainerId, now: Duration, out: Sink) -> Need {
        let need = self.need(id);
        match need {
            Need::Keep => self.settle(id),
            Need::Refuse | Need::Stray => self.tell(id, need, out),
            _ => match self.not_before(id, need) {
                Some(at) if now < at => self.set_alarm(id, at),
                _ => {
                    self.tell(id, need, out);
                    self.ask(id, need, now);
                }
            },
        }
        need
    }

    /// What a container needs.
    fn need(&self, id: &ContainerId) -> Need {
        let (wanted, current) = (self.sides.wanted(id.as_str()), self.sides.current(id.as_str()));
        match (wanted, current) {
            (None, Some(there)) if self.owns(there) && self.doomed.contains(id) => Need::Remove,
            (None, _) => Need::Keep,
            (wanted, current) => self.need_of(wanted, current),
        }
    }

    /// What a container needs that is wanted like this and there like that.
    fn need_of(&self, wanted: Option<&Member>, current: Option<&Member>) -> Need {
        let Some(wanted) = wanted else { return Need::Keep };
        let other = |owner: &Owner| self.policy.owner.as_ref().is_some_and(|of| of != owner);
        if wanted.owner.as_deref().is_some_and(other) {
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

    /// Tells the change that a need of a container asks for.
    fn tell(&mut self, id: &ContainerId, need: Need, out: Sink) {
        let mut text = std::mem::take(&mut self.text);
        let (wanted, current) = (self.sides.wanted(id.as_str()), self.sides.current(id.as_str()));
        self.tell_of(id, need, wanted, current, &mut text, out);
        self.text = text;
    }

    /// Tells a change: without building it, when nothing has to be added to what was told.
    fn tell_of(
        &self,
        id: &ContainerId,
        need: Need,
        wanted: Option<&Member>,
        current: Option<&Member>,
        text: &mut String,
        out: Sink,
    ) {
        let action = match need {
            Need::Keep => Action::Keep,
            Need::Add => Action::Add,
            Need::Remove => Action::Remove,
            _ => return out(Out::Change(self.change(id, need))),
        };
        match (wanted, current) {
            (_, Some(there)) if need == Need::Remove => out(Out::Plain(action, &there.text)),
            (Some(wanted), current) if self.is_told_as_it_is(wanted, current) => {
                match current.filter(|there| there.is_placed) {
                    None => out(Out::Plain(action, &wanted.text)),
                    Some(there) => {
                        place(text, &wanted.text, &there.text);
                        out(Out::Plain(action, text));
                    }
                }
            }
            _ => out(Out::Change(self.change(id, need))),
        }
    }

    /// Whether nothing but its place has to be added to what is wanted.
    fn is_told_as_it_is(&self, wanted: &Member, current: Option<&Member>) -> bool {
        let has_owner = wanted.owner.is_some() || self.policy.owner.is_none();
        let is_ignorant = current.is_some() && !self.policy.ignored.is_empty();
        has_owner && !is_ignorant && !wanted.is_placed
    }

    /// The change that a need of a container asks for.
    fn change(&self, id: &ContainerId, need: Need) -> Change {
        let there = self.sides.current(id.as_str());
        let current = there.map(Member::container);
        let wanted = self.sides.wanted(id.as_str()).map(|member| {
            let mut wanted = match there {
                Some(there) if matches!(need, Need::Keep | Need::Start) => {
                    self.with_ignored(member, there)
                }
                _ => member.container(),
            };
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
                let why = compare(&wanted, &current, &self.policy.ignored);
                let change = Change::new(Action::Replace, placed(wanted, &current));
                Change { why, current: Some(Box::new(current)), ..change }
            }
        }
    }

    /// What is wanted, with the fields that are ignored as they are.
    fn with_ignored(&self, wanted: &Member, current: &Member) -> Container {
        let ignored = &self.policy.ignored;
        let there = Split::parse(&current.text).ok();
        let (Ok(wanted_fields), Some(there), false) =
            (Split::parse(&wanted.text), there, ignored.is_empty())
        else {
            return wanted.container();
        };
        let asked = wanted_fields.into_iter().filter(|(name, _)| !ignored.contains(name));
        let found = there.into_iter().filter(|(name, _)| ignored.contains(name));
        let fields: Vec<_> = asked.chain(found).collect();
        let object = Object::of(fields.iter().map(|(name, value)| (&**name, *value)));
        Container::try_from(object).unwrap_or_else(|_| wanted.container())
    }

    /// A container is as it should be: what was asked for has shown. One that was asked for and
    /// then wished away stays doomed for as long as it may yet show.
    fn settle(&mut self, id: &ContainerId) {
        let wanted = self.sides.wanted(id.as_str()).is_some();
        match self.asked.get_mut(id) {
            Some(asked) if wanted => asked.in_flight = false,
            Some(asked) if asked.may_come() => (),
            _ => self.forget(id),
        }
    }

    /// Forgets what was asked for; a doom that nothing can fulfil goes with it.
    fn forget(&mut self, id: &ContainerId) {
        if let Some(asked) = self.asked.remove(id) {
            self.alarms.remove(&(asked.alarm, id.clone()));
        }
        if self.sides.current(id.as_str()).is_none() {
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
        let wanted = self.sides.wanted(id.as_str()).filter(|_| need != Need::Remove);
        let goal = wanted.map(|wanted| wanted.print);
        let times = match self.asked.get(id) {
            Some(asked) if now < asked.at + CALM => asked.times + 1,
            _ => 1,
        };
        let there = self.sides.current(id.as_str());
        let of = there.map(|there| there.text.clone());
        let is_overtaken = need == Need::Remove
            && self.asked.get(id).is_some_and(|before| before.is_awaited(there));
        let doomed = self.doomed.contains(id);
        self.forget(id);
        if doomed {
            self.doomed.insert(id.clone());
        }
        let (in_flight, alarm) = (true, Duration::ZERO);
        let asked = Asked { at: now, times, goal, of, is_overtaken, alarm, in_flight };
        let again_at = asked.again_at(self.policy.settle);
        self.asked.insert(id.clone(), asked);
        self.set_alarm(id, again_at);
    }

    fn take_for_done(&mut self, id: &ContainerId, need: Need) {
        self.doomed.remove(id);
        if need == Need::Remove {
            self.sides.take(Which::Current, id.as_str());
            return;
        }
        let Some(mut member) = self.sides.wanted(id.as_str()).cloned() else { return };
        let owner = self.policy.owner.clone().unwrap_or_default();
        member.owner.get_or_insert_with(|| owner.into());
        member.state = Some(State::Running);
        member.forget_id();
        if let Some(there) = self.sides.current(id.as_str()) {
            member.host = there.host.clone().or(member.host);
        }
        self.sides.put_current(id.as_str(), member);
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
        let is_wanted = self.sides.wanted(id.as_str()).is_some();
        let after = self.sides.current(id.as_str()).filter(|_| is_wanted);
        let started = |member: Option<&Member>| member?.started_at();
        let (Some(was), Some(is)) = (started(before), started(after)) else { return };
        if was != is {
            let mut change = self.change(id, Need::Keep);
            let value = |at: jiff::Timestamp| serde_json::to_value(at).ok();
            change.why = vec![why("started_at", value(was), value(is))];
            out(Out::Change(change));
        }
    }

    /// The client of a container has another lease than before: nothing for whoever makes
    /// containers, but for those who go by the client's address.
    fn leased_anew(&self, id: &ContainerId, before: Option<&Member>, out: Sink) {
        let is_there = self.sides.current(id.as_str()).is_some();
        let after = self.sides.wanted(id.as_str()).filter(|_| is_there);
        let (Some(before), Some(after)) = (before, after) else { return };
        if before.text == after.text {
            return;
        }
        let (was, is) = (before.container().lease, after.container().lease);
        if was != is {
            let value = |lease: Option<LeaseRef>| serde_json::to_value(lease?).ok();
            let mut change = self.change(id, Need::Keep);
            change.why = vec![why("lease", value(was), value(is))];
            out(Out::Change(change));
        }
    }

    fn owns(&self, member: &Member) -> bool {
        let ours = |owner: &Owner| self.policy.owner.as_ref().is_none_or(|of| of == owner);
        member.owner.as_deref().is_some_and(ours)
    }
}

/// Whether a listing has told of a container before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has not.
    Once,
    /// It has.
    Twice,
}

impl Before {
    fn told(&self) -> Told {
        match self {
            Before::Twice(_) => Told::Twice,
            Before::New | Before::Known(_) => Told::Once,
        }
    }

    fn known(self) -> Option<Member> {
        match self {
            Before::New => None,
            Before::Known(before) | Before::Twice(before) => Some(before),
        }
    }
}

/// Whether two members say the same, be it in other words.
fn says_the_same(a: &Member, b: &Member, ignored: &Ignored) -> bool {
    a.print == b.print || agree(&a.container(), &b.container(), ignored)
}

/// What became of a member that was taken in.
struct Taken {
    told: Told,
    before: Option<Member>,
}

/// Puts together the wanted document, which does not say where it is, and where the container is
/// that the other document tells of.
fn place(text: &mut String, wanted: &str, current: &str) {
    let split = Split::parse(current).expect("what was read once can be read again");
    text.clear();
    text.push_str(wanted.strip_suffix('}').unwrap_or(wanted));
    for name in ["host", "state", "docker"] {
        if let Some(value) = split.get(name) {
            text.extend([",\"", name, "\":", value]);
        }
    }
    text.push('}');
}

fn json(container: &Container) -> String {
    serde_json::to_string(container).expect("the suite's types are JSON")
}

fn owned(id: &str) -> ContainerId {
    id.parse().expect("it was read as a container's name")
}

/// The wanted document, on the host where the container is.
fn placed(wanted: Container, current: &Container) -> Container {
    let host = current.host.clone().or(wanted.host);
    Container { host, ..wanted }
}
