//! Containers whose place depends on others: they wait until all are known.

use indexmap::IndexSet;

use super::ground::Being;
use super::pack::{Problem, pack};
use super::reason::nowhere;
use super::rooms::Known;
use super::{Placer, Strategy, Verdict};
use crate::error::{Error, Kind};
use crate::record::ContainerId;

/// What is to be decided for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// It is new.
    New,
    /// It has to leave its host.
    Move { from: u32 },
    /// It is made anew, and cannot be on its host any more.
    Remake { from: u32 },
    /// Its host is down.
    Lost { from: u32 },
    /// It can stay, and may be moved.
    Kept { on: u32 },
}

/// A container that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: ContainerId,
    pub(super) being: Being,
    pub(super) errand: Errand,
    pub(super) verdict: Option<Verdict>,
}

impl Waiting {
    pub(super) fn new(id: &ContainerId, being: Being, errand: Errand) -> Waiting {
        Waiting { id: id.clone(), being, errand, verdict: None }
    }
}

impl Placer {
    /// Decides all that waits, in the order in which it came. `complete` says that the first listing
    /// is: from then on nothing waits any more.
    pub fn settle(&mut self, complete: bool) -> Vec<Verdict> {
        self.decide_displaced();
        self.decide_new();
        let mut waiting = std::mem::take(&mut self.waiting);
        if let (Some(moves), true, false) = (self.how.moves, complete, self.listed) {
            self.rebalance(&mut waiting, moves);
        }
        self.listed |= complete;
        waiting.into_iter().map(|waiting| waiting.verdict.unwrap_or(Verdict::Stays)).collect()
    }

    /// Decides for those that had to leave. All that stays is known by now, and what is new has not
    /// been placed.
    pub(super) fn decide_displaced(&mut self) {
        if !std::mem::take(&mut self.displaced) {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let leaves = |one: &Waiting| {
            one.verdict.is_none() && !matches!(one.errand, Errand::New | Errand::Kept { .. })
        };
        let open = (0..waiting.len()).filter(|at| leaves(&waiting[*at])).collect();
        self.decide_in_turn(&mut waiting, open);
        self.waiting = waiting;
    }

    /// Decides for those that are new.
    fn decide_new(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let is_open = |one: &Waiting| one.verdict.is_none() && one.errand == Errand::New;
        let mut open: Vec<usize> = (0..waiting.len()).filter(|at| is_open(&waiting[*at])).collect();
        if self.how.strategy == Strategy::Binpack {
            let is_plain = |at: &usize| self.ground.is_plain(waiting[*at].being);
            let (plain, particular) = open.into_iter().partition(is_plain);
            self.decide_in_turn(&mut waiting, particular);
            open = plain;
            let free: Vec<usize> =
                open.iter().filter(|at| self.is_free(&waiting[**at])).copied().collect();
            self.pack_all(&mut waiting, &free);
            open.retain(|at| waiting[*at].verdict.is_none());
        }
        self.decide_in_turn(&mut waiting, open);
        self.waiting = waiting;
    }

    /// Whether what it needs is to be had, and nobody refuses it.
    fn is_free(&self, one: &Waiting) -> bool {
        self.ground.needs.missing(self.ground.need(one.being)).is_none()
            && self.ground.neighbours.refusals(&one.id, one.being.traits).is_empty()
    }

    /// Packs these on as few hosts as can be found. What fits nowhere is left open.
    fn pack_all(&mut self, waiting: &mut [Waiting], plain: &[usize]) {
        if plain.is_empty() {
            return;
        }
        let ground = &self.ground;
        let mut classes = IndexSet::<u32>::new();
        // The kinds are the needs that occur, in the order in which they do.
        let (mut kinds, mut count) = (Vec::new(), Vec::new());
        let mut kind_of = vec![usize::MAX; ground.needs.len()];
        for at in plain {
            let need = waiting[*at].being.need;
            let kind = &mut kind_of[need as usize];
            if *kind == usize::MAX {
                *kind = kinds.len();
                kinds.push(need);
                count.push(0);
            }
            count[*kind] += 1;
        }
        let width = ground.rooms.width();
        let mut problem = Problem {
            width,
            free: vec![0; ground.hosts.len() * width],
            open: (0..ground.hosts.len()).map(|host| ground.rooms.is_used(host)).collect(),
            demand: Vec::with_capacity(kinds.len() * width),
            count,
            class: Vec::with_capacity(kinds.len()),
            classes: Vec::new(),
        };
        for host in 0..ground.hosts.len() {
            ground.rooms.free(host, &mut problem.free[host * width..][..width]);
        }
        for kind in &kinds {
            let need = ground.needs.get(*kind);
            problem.demand.extend_from_slice(&need.demand);
            problem.class.push(classes.insert_full(need.class).0 as u32);
        }
        let ranges = |class: &u32| ground.classes.get(*class).ranges.to_vec();
        problem.classes = classes.iter().map(ranges).collect();
        let mut to = pack(&problem).to;
        let mut put = Vec::with_capacity(plain.len());
        for at in plain {
            let kind = kind_of[waiting[*at].being.need as usize];
            let Some((host, count)) = to[kind].last_mut() else { continue };
            let host = *host;
            *count -= 1;
            if *count == 0 {
                to[kind].pop();
            }
            waiting[*at].verdict = Some(Verdict::On(host));
            put.push((*at, host));
        }
        let put = put.into_iter().map(|(at, host)| (&waiting[at].id, waiting[at].being, host));
        self.ground.put_all(put);
    }

    /// Chooses a host now.
    pub(super) fn decide(&mut self, id: &ContainerId, being: Being, errand: Errand) -> Verdict {
        let was = self.ground.lift(id);
        self.decide_from(was, id, being, errand)
    }

    /// Chooses a host now for a container that is on none, and was on this one.
    pub(super) fn decide_from(
        &mut self,
        was: Option<(u32, Being)>,
        id: &ContainerId,
        being: Being,
        errand: Errand,
    ) -> Verdict {
        self.ground.learn(id, being);
        if errand == Errand::New
            && let Some((freed, why)) = self.failed.get(&being.need)
            && *freed == self.ground.freed
        {
            return Verdict::Nowhere(Box::new(why.clone()));
        }
        let chosen = match self.how.strategy {
            Strategy::Fixed => None,
            _ => self.ground.choose(id, being, &mut self.random),
        };
        let Some(to) = chosen else {
            let verdict = self.nowhere(id, being, errand);
            if let Verdict::Nowhere(why) = &verdict
                && self.ground.is_plain(being)
                && self.ground.neighbours.refusals(id, being.traits).is_empty()
            {
                self.failed.insert(being.need, (self.ground.freed, (**why).clone()));
            }
            if let Some((host, being)) = was {
                self.ground.put(id, being, host, Known::New);
            }
            return verdict;
        };
        self.ground.add(id, being, to, Known::New);
        self.ground.chosen(to);
        went(errand, to)
    }

    /// What follows when a container has no place to go to.
    pub(super) fn nowhere(&self, id: &ContainerId, being: Being, errand: Errand) -> Verdict {
        let why = match self.how.strategy {
            Strategy::Fixed => self.unnamed(),
            _ => nowhere(&self.ground.reasons(id, being)),
        };
        self.refused(errand, why)
    }

    /// That nobody has named a host.
    pub(super) fn unnamed(&self) -> Error {
        let what = Error::new(Kind::Unavailable, "it names no host");
        what.remedy("the strategy \"fixed\" chooses none")
    }

    /// What follows when a container has no place to go to, for this reason.
    pub(super) fn refused(&self, errand: Errand, why: Error) -> Verdict {
        match errand {
            Errand::New | Errand::Lost { .. } | Errand::Remake { .. } => {
                Verdict::Nowhere(Box::new(why))
            }
            Errand::Move { from } | Errand::Kept { on: from } => {
                let host = &self.ground.hosts[from as usize].id;
                let at = format_args!("it cannot leave host \"{host}\"");
                Verdict::Stuck(Box::new(why.at(at)))
            }
        }
    }
}

/// What follows when a container has a place to go to.
pub(super) fn went(errand: Errand, to: u32) -> Verdict {
    match errand {
        Errand::New => Verdict::On(to),
        Errand::Lost { from } => Verdict::Returns { from, to },
        Errand::Move { from } | Errand::Remake { from } | Errand::Kept { on: from } => {
            Verdict::Moves { from, to }
        }
    }
}
