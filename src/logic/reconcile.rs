//! The reconcile loop: what is wanted and what is there, kept beside each other over time.
//!
//! Both sides are told as listings and changes. Out come changes, each at most once while it is in
//! flight: until the current side shows its effect, or so much time has passed that it has to be
//! asked for again. Nothing here knows the time or reads a stream; both are handed in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::diff::{compare, stopped, why};
use crate::error::{Error, Kind};
use crate::record::{Action, Change, Container, ContainerId, NotA, Owner, State};

/// How cautious the loop is.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a change may take to show before it is asked for again; twice as long each time.
    pub settle: Duration,
    /// The most that one full comparison may remove.
    pub max_remove: MaxRemove,
    /// Whether to remove however much it is.
    pub force: bool,
    /// The pipe whose containers these are; others are as good as foreign.
    pub owner: Option<Owner>,
}

/// The most of what runs that one full comparison may remove.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxRemove {
    /// So many containers.
    Count(usize),
    /// So many percent of those that are there, counted from [`FEW`] containers up.
    Percent(u8),
}

/// With fewer containers than these, a share of them says nothing.
pub const FEW: usize = 4;

/// The longest time between two askings for the same thing.
const LONGEST: Duration = Duration::from_secs(600);

/// Asking again after so long counts as asking for the first time.
const CALM: Duration = Duration::from_secs(600);

impl std::str::FromStr for MaxRemove {
    type Err = NotA;

    fn from_str(text: &str) -> Result<MaxRemove, NotA> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|percent| *percent <= 100).map(MaxRemove::Percent)
            }
            None => text.parse().ok().map(MaxRemove::Count),
        };
        parsed.ok_or_else(|| NotA::new(text, "a number of containers or a share such as 50%"))
    }
}

impl MaxRemove {
    fn allows(self, removed: usize, there: usize) -> bool {
        match self {
            MaxRemove::Count(most) => removed <= most,
            MaxRemove::Percent(_) if there < FEW => true,
            MaxRemove::Percent(percent) => removed * 100 <= there * usize::from(percent),
        }
    }
}

/// One of the two sides.
#[derive(Debug, Default)]
struct Side {
    members: BTreeMap<ContainerId, Container>,
    /// What was told since the last checkpoint: the next one closes it as a listing.
    told: HashSet<ContainerId>,
    complete: bool,
}

impl Side {
    /// Takes in one member; gives what was known of it before.
    fn update(&mut self, container: Container) -> Option<Container> {
        let id = container.id.clone();
        if container.state == Some(State::Absent) {
            self.told.remove(&id);
            return self.members.remove(&id);
        }
        self.told.insert(id.clone());
        self.members.insert(id, container)
    }

    /// Closes a listing; gives the names of those that it left out.
    fn checkpoint(&mut self) -> Vec<ContainerId> {
        let told = std::mem::take(&mut self.told);
        self.complete = true;
        let gone = self.members.extract_if(.., |id, _| !told.contains(id));
        gone.map(|(id, _)| id).collect()
    }
}

/// What was asked for about one container.
#[derive(Debug)]
struct Asked {
    /// When, as time since the loop began.
    at: Duration,
    /// How often in a row.
    times: u32,
    /// The document that was asked for; nothing when it was to be removed.
    goal: Option<Container>,
    /// Whether the current side has yet to show it.
    in_flight: bool,
}

impl Asked {
    /// The time before which it is not asked for again.
    fn again_at(&self, settle: Duration) -> Duration {
        let doublings = 2u32.saturating_pow(self.times.saturating_sub(1));
        let pause = match (self.in_flight, self.times) {
            (true, _) => settle.saturating_mul(doublings),
            (false, 1) => Duration::ZERO,
            (false, _) => Duration::from_secs(1).saturating_mul(doublings / 2),
        };
        self.at + pause.min(LONGEST)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn container(id: &str, extra: &str) -> Container {
        let text = format!(r#"{{"id":"{id}","image":"busybox","owner":"edge"{extra}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn running(id: &str) -> Container {
        container(id, r#","state":"running""#)
    }

    fn reconciler() -> Reconciler {
        Reconciler::new(Policy {
            settle: SETTLE,
            max_remove: MaxRemove::Percent(50),
            force: false,
            owner: None,
        })
    }

    fn told(out: &[Out]) -> Vec<String> {
        let word = |out: &Out| match out {
            Out::Change(change) if change.has_failed() => format!("failed {}", change.container.id),
            Out::Change(change) => format!("{} {}", change.action, change.container.id),
            Out::Complete(count) => format!("complete {count}"),
            Out::Refused(_) => "refused".to_owned(),
        };
        out.iter().map(word).collect()
    }

    /// A loop in which the given containers are wanted and those are there, after both listings.
    fn listed(wanted: &[Container], current: &[Container]) -> (Reconciler, Vec<String>) {
        let mut loop_ = reconciler();
        for c in current {
            assert!(loop_.see(c.clone(), seconds(0)).is_empty());
        }
        assert!(loop_.current_checkpoint(seconds(0)).is_empty());
        for c in wanted {
            assert!(loop_.want(c.clone(), seconds(0)).is_empty());
        }
        let out = told(&loop_.wanted_checkpoint(seconds(0)));
        (loop_, out)
    }

    #[test]
    fn a_full_comparison_gives_one_change_for_each() {
        let other = container("c", r#","state":"running","env":["A=1"]"#);
        let stopped = container("d", r#","state":"exited""#);
        let wanted = ["a", "b", "c", "d"].map(|id| container(id, ""));
        let (_, out) = listed(&wanted, &[running("a"), running("x"), other, stopped]);
        assert_eq!(out, ["remove x", "keep a", "replace c", "add b", "add d", "complete 5"]);
    }

    #[test]
    fn the_order_in_which_the_sides_come_does_not_matter() {
        let mut loop_ = reconciler();
        loop_.want(container("a", ""), seconds(0));
        assert!(loop_.wanted_checkpoint(seconds(0)).is_empty());
        loop_.see(running("b"), seconds(0));
        let out = loop_.current_checkpoint(seconds(0));
        assert_eq!(told(&out), ["remove b", "add a", "complete 2"]);
    }

    #[test]
    fn without_a_checkpoint_nothing_is_removed() {
        let mut loop_ = reconciler();
        loop_.see(running("a"), seconds(0));
        loop_.current_checkpoint(seconds(0));
        loop_.want(container("b", ""), seconds(0));
        assert_eq!(told(&loop_.wanted_incomplete(seconds(0))), ["add b"]);
    }

    #[test]
    fn a_listing_that_removes_too_much_is_refused() {
        let there = ["a", "b", "c", "d"].map(running);
        let (_, out) = listed(&[container("a", "")], &there);
        assert_eq!(out, ["keep a", "refused"]);
        let (_, out) = listed(&[], &there[..3]);
        assert_eq!(out, ["remove a", "remove b", "remove c", "complete 3"]);
        let (mut loop_, _) = listed(&[container("a", "")], &there);
        assert!(loop_.see(running("b"), seconds(1)).is_empty(), "no way round the refusal");
    }

    #[test]
    fn what_is_foreign_is_left_alone() {
        let mut foreign = running("a");
        foreign.owner = None;
        let (_, out) = listed(&[container("a", "")], &[foreign.clone()]);
        assert_eq!(out, ["failed a", "complete 1"]);
        let (_, out) = listed(&[], &[foreign]);
        assert_eq!(out, ["complete 0"]);
    }

    #[test]
    fn nothing_is_asked_for_twice_until_it_is_overdue_and_then_ever_later() {
        let (mut loop_, out) = listed(&[container("a", "")], &[]);
        assert_eq!(out, ["add a", "complete 1"]);
        assert!(loop_.tick(seconds(29)).0.is_empty());
        assert_eq!(loop_.tick(seconds(29)).1, Some(seconds(30)));
        assert_eq!(told(&loop_.tick(seconds(30)).0), ["add a"]);
        assert!(loop_.tick(seconds(89)).0.is_empty());
        assert_eq!(told(&loop_.tick(seconds(90)).0), ["add a"]);
        assert!(loop_.see(container("a", r#","state":"created""#), seconds(91)).is_empty());
        assert!(loop_.see(running("a"), seconds(92)).is_empty());
        assert_eq!(loop_.tick(seconds(5000)), (vec![], None));
    }

    #[test]
    fn a_container_that_is_killed_comes_back_and_one_that_keeps_dying_comes_back_later() {
        let (mut loop_, _) = listed(&[container("a", "")], &[running("a")]);
        let dead = || container("a", r#","state":"exited""#);
        assert_eq!(told(&loop_.see(dead(), seconds(10))), ["add a"]);
        loop_.see(running("a"), seconds(11));
        let (mut now, mut waits) = (seconds(11), Vec::new());
        for _ in 0..5 {
            let out = loop_.see(dead(), now);
            let before = now;
            if out.is_empty() {
                now = loop_.tick(now).1.unwrap();
                assert_eq!(told(&loop_.tick(now).0), ["add a"]);
            }
            waits.push((now - before).as_secs());
            loop_.see(running("a"), now);
        }
        assert!(waits.is_sorted() && waits[4] >= 8, "{waits:?}");
        let mut absent = running("a");
        absent.state = Some(State::Absent);
        assert_eq!(told(&loop_.see(absent, now + CALM)), ["add a"]);
    }

    #[test]
    fn what_is_wanted_no_more_goes_even_when_it_shows_late() {
        let (mut loop_, _) = listed(&[container("a", "")], &[]);
        let absent = container("a", r#","state":"absent""#);
        assert!(loop_.want(absent, seconds(1)).is_empty());
        assert_eq!(told(&loop_.see(running("a"), seconds(2))), ["remove a"]);
        let gone = container("a", r#","state":"absent""#);
        assert!(loop_.see(gone, seconds(3)).is_empty());
        assert_eq!(loop_.tick(seconds(9999)), (vec![], None));
    }

    #[test]
    fn a_wish_that_changes_in_flight_is_asked_for_at_once() {
        let (mut loop_, _) = listed(&[container("a", "")], &[]);
        let other = container("a", r#","env":["A=1"]"#);
        assert_eq!(told(&loop_.want(other.clone(), seconds(1))), ["add a"]);
        assert!(loop_.want(other, seconds(2)).is_empty());
        assert!(loop_.see(running("a"), seconds(3)).is_empty(), "the first wish is no answer");
    }

    #[test]
    fn a_restart_by_hand_is_seen() {
        let at = |time: &str| {
            let docker =
                format!(r#","state":"running","docker":{{"id":"0","started_at":"{time}"}}"#);
            container("a", &docker)
        };
        let (mut loop_, _) = listed(&[container("a", "")], &[at("2026-01-01T00:00:00Z")]);
        assert!(loop_.see(at("2026-01-01T00:00:00Z"), seconds(1)).is_empty());
        assert_eq!(told(&loop_.see(at("2026-01-01T00:00:05Z"), seconds(2))), ["keep a"]);
    }

    #[test]
    fn without_anyone_to_see_changes_are_taken_for_done() {
        let mut loop_ = reconciler();
        loop_.current_checkpoint(seconds(0));
        loop_.stop_observing();
        loop_.want(container("a", ""), seconds(0));
        assert_eq!(told(&loop_.wanted_checkpoint(seconds(0))), ["add a", "complete 1"]);
        assert_eq!(loop_.tick(seconds(9999)), (vec![], None));
        loop_.want(container("a", ""), seconds(1));
        assert_eq!(told(&loop_.wanted_checkpoint(seconds(1))), ["keep a", "complete 1"]);
        let absent = container("a", r#","state":"absent""#);
        assert_eq!(told(&loop_.want(absent, seconds(2))), ["remove a"]);
    }
}
