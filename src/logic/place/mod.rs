//! Which host a container goes to: one that has what it needs, and then for good.
//!
//! Hosts and needs are numbered once, so that the choice for one container among ten thousand hosts
//! looks at a few dozen of them. A container that has a host stays there. One that cannot stay, and
//! one whose place depends on others, waits for the end of the listing that it stands in, and the
//! rest is placed as it comes.

mod choose;
mod classes;
mod company;
mod explain;
mod ground;
mod later;
mod needs;
mod pack;
mod party;
mod ports;
mod reason;
mod rebalance;
mod rooms;
mod strategy;
#[cfg(test)]
mod tests;
mod tree;
mod verdict;
mod waiting;

use std::collections::{BTreeMap, HashMap};

pub use needs::demand;
pub use strategy::Strategy;
pub use verdict::{Outcome, Verdict};

use crate::error::{Error, Kind, Result};
use crate::random::Random;
use crate::record::{Action, Change, Container, ContainerId, Host, HostRef, HostState, State};
use ground::{Being, Ground};
use rooms::Known;
use waiting::{Errand, Waiting};

/// How many hosts a message names at most.
const NAMED: usize = 20;

/// How hosts are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// What decides between hosts that fit.
    pub strategy: Strategy,
    /// Where the random numbers begin.
    pub seed: u64,
    /// How many of the containers that could stay may be moved to where they are better placed, when
    /// the first listing is complete; nothing means none.
    pub moves: Option<usize>,
}

/// Hosts, and the containers that go to them.
#[derive(Clone, Debug)]
pub struct Placer {
    ground: Ground,
    random: Random,
    how: How,
    waiting: Vec<Waiting>,
    /// Whether one of them has to leave its host and is not decided.
    displaced: bool,
    /// Those that were refused for want of their company, which may come.
    alone: BTreeMap<ContainerId, Being>,
    /// For needs that no host met: how often room had been given back by then, and why.
    failed: HashMap<u32, (u64, Error)>,
    /// Whether the first listing is complete.
    listed: bool,
}

impl Placer {
    /// A placer over these hosts. What a host says of its use counts from the start.
    ///
    /// # Errors
    /// `BadInput` when there is no host, or two of one name.
    pub fn new(hosts: Vec<Host>, how: How) -> Result<Placer> {
        Ok(Placer {
            ground: Ground::new(hosts, how.strategy)?,
            random: Random::seeded(how.seed),
            how,
            waiting: Vec::new(),
            displaced: false,
            alone: BTreeMap::new(),
            failed: HashMap::new(),
            listed: false,
        })
    }

    /// Gives the change's container a host, or says that it has to wait for [`Placer::settle`].
    pub fn change(&mut self, change: &mut Change) -> Outcome {
        let outcome = match change.action {
            Action::Remove => self.leave(&mut change.container).map(|()| Some(Verdict::Stays)),
            Action::Keep | Action::Replace => self.stay(change),
            Action::Add if change.container.docker.is_some() => self.stay(change),
            Action::Add => self.arrive(&mut change.container),
            action => {
                debug_assert!(action.operates());
                self.remain(&mut change.container)
            }
        };
        match outcome {
            Ok(Some(verdict)) => self.carry_out(verdict, change),
            Ok(None) => Outcome::Waits,
            Err(why) => Outcome::Failed(why),
        }
    }

    /// Gives a bare container a host, by the same rules; but one that is somewhere is not moved.
    pub fn container(&mut self, container: &mut Container) -> Outcome {
        let gone = |state| matches!(state, HostState::Down);
        let outcome = match container.state {
            Some(State::Absent) => self.leave(container).map(|()| Some(Verdict::Stays)),
            Some(_) if container.host.is_some() => self.complete(container).and_then(|at| {
                let Some(host) = at else { return Ok(Some(Verdict::Stays)) };
                if gone(self.ground.state(host)) {
                    container.host = None;
                    return self.arrive(container);
                }
                let being = self.ground.being(container);
                self.meet(&container.id, being, host);
                Ok(Some(Verdict::Stays))
            }),
            _ => self.arrive(container),
        };
        match outcome {
            Ok(Some(verdict)) => self.carry_out_bare(verdict, container),
            Ok(None) => Outcome::Waits,
            Err(why) => Outcome::Failed(why),
        }
    }

    /// Decides where a container goes that is new and names no host; nothing when it has to wait for
    /// [`Placer::settle`]. Who says that it is new, a change or the container alone, is all one.
    ///
    /// # Errors
    /// When it can go nowhere.
    pub fn newcomer(&mut self, container: &mut Container) -> Result<Option<Verdict>> {
        self.arrive(container)
    }

    fn leave(&mut self, container: &mut Container) -> Result<()> {
        self.alone.remove(&container.id);
        let completed = self.complete(container);
        if self.ground.lift(&container.id).is_none()
            && let Ok(Some(host)) = completed
        {
            let being = self.ground.being(container);
            self.ground.lift_unknown(being, host);
        }
        completed.map(drop)
    }

    /// A container that something is done to where it is, whatever becomes of its host.
    fn remain(&mut self, container: &mut Container) -> Result<Option<Verdict>> {
        let at = self.complete(container)?;
        if container.host.is_none() {
            return Err(Error::new(Kind::BadInput, "it is not known on which host it is")
                .remedy("take the record from docker-cccf, which names it"));
        }
        if let Some(host) = at {
            let being = self.ground.being(container);
            self.meet(&container.id, being, host);
        }
        Ok(Some(Verdict::Stays))
    }

    /// A container that is on a host already.
    fn stay(&mut self, change: &mut Change) -> Result<Option<Verdict>> {
        if change.container.host.is_none() && self.place(&change.container.id).is_none() {
            return self.arrive(&mut change.container);
        }
        let Some(host) = self.complete(&mut change.container)? else {
            self.ground.lift(&change.container.id);
            return Ok(Some(Verdict::Stays));
        };
        let being = self.ground.being(&change.container);
        let current = match (&change.action, &change.current) {
            (Action::Replace, Some(current)) => self.ground.being(current),
            _ => being,
        };
        let id = &change.container.id;
        let away = match change.action {
            Action::Replace => Errand::Remake { from: host },
            _ => Errand::Move { from: host },
        };
        match self.ground.state(host) {
            HostState::Down => {
                self.ground.lift(id);
                return self.displace(id, being, Errand::Lost { from: host });
            }
            HostState::Drain => {
                self.meet(id, current, host);
                return self.displace(id, being, away);
            }
            HostState::Active => self.meet(id, current, host),
        }
        if current != being {
            self.ground.lift(id);
            self.ground.learn(id, being);
            let fits = self.ground.fits(id, being, host);
            self.ground.put(id, if fits { being } else { current }, host, Known::New);
            if !fits {
                return self.displace(id, being, away);
            }
        }
        if self.how.moves.is_some() && !self.listed {
            self.waiting.push(Waiting::new(id, being, Errand::Kept { on: host }));
            return Ok(None);
        }
        Ok(Some(Verdict::Stays))
    }

    /// Counts a container that is on the host. What was there before is in the use that a host
    /// tells.
    fn meet(&mut self, id: &ContainerId, being: Being, host: u32) {
        let known = match self.ground.place(id) {
            Some((place, of)) if (place, of) == (host, being) => return,
            Some(_) => Known::New,
            None => Known::There,
        };
        self.ground.put(id, being, host, known);
    }

    /// A container that cannot be where it was.
    fn displace(
        &mut self,
        id: &ContainerId,
        being: Being,
        errand: Errand,
    ) -> Result<Option<Verdict>> {
        if self.listed {
            return Ok(Some(self.decide(id, being, errand)));
        }
        self.displaced = true;
        self.waiting.push(Waiting::new(id, being, errand));
        Ok(None)
    }

    /// A container that is new.
    fn arrive(&mut self, container: &mut Container) -> Result<Option<Verdict>> {
        self.decide_displaced();
        let named = container.host.is_some();
        let before = self.place(&container.id);
        let at = match named {
            true => match self.complete(container)? {
                Some(host) => Some(host),
                None => return Ok(Some(Verdict::Stays)),
            },
            false => before,
        };
        let id = &container.id;
        let being = self.ground.being(container);
        self.ground.learn(id, being);
        let was = before.and_then(|_| self.ground.lift(id));
        if let Some(host) = at {
            match self.ground.against(id, being, host) {
                None => {
                    self.ground.put(id, being, host, Known::New);
                    return Ok(Some(Verdict::On(host)));
                }
                Some(reason) if named => {
                    if let Some((host, being)) = was {
                        self.ground.put(id, being, host, Known::New);
                    }
                    let name = &self.ground.hosts[host as usize].id;
                    let what = format!("host \"{name}\", which it names, does not fit");
                    return Err(Error::new(Kind::Unavailable, what).why(reason.alone()));
                }
                Some(_) => (),
            }
        }
        self.alone.remove(id);
        let waits = |ground: &Ground| {
            let binpack = self.how.strategy == Strategy::Binpack;
            binpack || being.traits.network != 0 || ground.lacks_company(id, being)
        };
        if !self.listed && self.how.strategy != Strategy::Fixed && waits(&self.ground) {
            self.waiting.push(Waiting::new(id, being, Errand::New));
            return Ok(None);
        }
        if self.listed && self.ground.lacks_company(id, being) {
            return Ok(Some(self.decide_alone(id, being)));
        }
        Ok(Some(self.decide_from(None, id, being, Errand::New)))
    }

    fn place(&self, id: &ContainerId) -> Option<u32> {
        self.ground.place(id).map(|(host, _)| host)
    }

    /// Looks up the host that a container names, or else the one where it is known to be, and gives
    /// it the name and the address that the list has. Nothing when the host is not in the list, but
    /// its address is known.
    fn complete(&self, container: &mut Container) -> Result<Option<u32>> {
        let Some(host) = &mut container.host else {
            let only = (self.ground.hosts.len() == 1).then_some(0);
            let at = self.ground.place(&container.id).map(|(host, _)| host).or(only);
            container.host = at.map(|at| self.ground.hosts[at as usize].as_ref());
            return Ok(at);
        };
        match (self.ground.referred(host), &host.url) {
            (Some(at), _) => {
                let known = &self.ground.hosts[at as usize];
                // Whoever listed the container may know its host by another name.
                host.id.clone_from(&known.id);
                host.url.get_or_insert_with(|| known.url.clone());
                Ok(Some(at))
            }
            (None, None) => Err(self.unknown(host)),
            (None, Some(_)) => Ok(None),
        }
    }

    fn unknown(&self, host: &HostRef) -> Error {
        let mut known: Vec<&str> = self.ground.hosts.iter().map(|host| &*host.id).collect();
        known.sort_unstable();
        let more = if known.len() > NAMED { ", …" } else { "" };
        known.truncate(NAMED);
        let error = Error::new(Kind::NotFound, format!("host \"{}\" is not in the list", host.id));
        error.remedy(format_args!("known are {}{more}", known.join(", ")))
    }
}
