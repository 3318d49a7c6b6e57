//! Containers whose place depends on others: they wait until all are known.

use super::ground::Being;
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
        self.listed |= complete;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|waiting| waiting.verdict.unwrap_or(Verdict::Stays)).collect()
    }

    /// Decides for those that had to leave. All that stays is known by now, and what is new has not
    /// been placed.
    pub(super) fn decide_displaced(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        for one in waiting.iter_mut().filter(|one| one.verdict.is_none()) {
            if !matches!(one.errand, Errand::New | Errand::Kept { .. }) {
                one.verdict = Some(self.decide(&one.id, one.being, one.errand));
            }
        }
        self.waiting = waiting;
    }

    fn decide_new(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let is_open = |one: &Waiting| one.verdict.is_none() && one.errand == Errand::New;
        let mut open: Vec<usize> = (0..waiting.len()).filter(|at| is_open(&waiting[*at])).collect();
        // Each round places those whose company is there by then.
        loop {
            let before = open.len();
            let mut left = Vec::new();
            for at in open {
                let Waiting { id, being, .. } = &waiting[at];
                let (id, being) = (id.clone(), *being);
                self.ground.learn(&id, being);
                if self.ground.lacks_company(&id, being) {
                    left.push(at);
                } else {
                    waiting[at].verdict = Some(self.decide(&id, being, Errand::New));
                }
            }
            open = left;
            if open.is_empty() || open.len() == before {
                break;
            }
        }
        for at in open {
            let Waiting { id, being, .. } = &waiting[at];
            waiting[at].verdict = Some(self.nowhere(&id.clone(), *being, Errand::New));
        }
        self.waiting = waiting;
    }

    /// Chooses a host now.
    pub(super) fn decide(&mut self, id: &ContainerId, being: Being, errand: Errand) -> Verdict {
        self.ground.learn(id, being);
        let was = self.ground.lift(id);
        let chosen = match self.how.strategy {
            Strategy::Fixed => None,
            _ => self.ground.choose(id, being, &mut self.random),
        };
        let Some(to) = chosen else {
            let verdict = self.nowhere(id, being, errand);
            if let Some((host, being)) = was {
                self.ground.put(id, being, host, Known::New);
            }
            return verdict;
        };
        self.ground.put(id, being, to, Known::New);
        self.ground.chosen(to);
        match errand {
            Errand::New => Verdict::On(to),
            Errand::Lost { from } => Verdict::Returns { from, to },
            Errand::Move { from } | Errand::Remake { from } | Errand::Kept { on: from } => {
                Verdict::Moves { from, to }
            }
        }
    }

    /// What follows when a container has no place to go to.
    fn nowhere(&self, id: &ContainerId, being: Being, errand: Errand) -> Verdict {
        let why = match self.how.strategy {
            Strategy::Fixed => Error::new(Kind::Unavailable, "it names no host")
                .remedy("the strategy \"fixed\" chooses none"),
            _ => nowhere(&self.ground.reasons(id, being)),
        };
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
