//! One container in the place of another on the same engine.
//!
//! The new one is made under a name of its own and started, and has to run, or to be healthy, before the
//! old one gives up its name and goes. Where the two cannot run at the same time the old one ends before
//! the new one starts. Whatever fails before the new one has the name, the old one is as it was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::asked::Wait;
use super::clash::{clash, runs};
use super::hand::{Hand, PAUSE, TRIES, is_as, stays, stop_timeout};
use super::tool::Heir;
use crate::adapter::docker::{Created, Found, Half, Joins, Settled};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, ContainerId, State, Volume};

/// How long another run may take for a replacement beside its waits.
const OTHERS: Duration = Duration::from_secs(3);

/// How far a replacement has come.
struct Swap<'a> {
    old: &'a Found,
    /// The engine's id of the new one.
    new: String,
    /// Whether the old one was ended for it.
    ended: bool,
    /// Whether the old one may have given up its name.
    aside: bool,
}

impl Hand<'_> {
    /// Makes sure that the container is there as it is wanted, and is not the one that the record tells
    /// of as the old one.
    pub(super) fn replace(&self, wanted: &Container, old: Option<&Container>) -> Result<Found> {
        let told = old.and_then(|old| old.docker.as_ref()).or(wanted.docker.as_ref());
        let Some(found) = self.engine.find(&wanted.id)?.filter(stays) else {
            return self.make(wanted).and_then(|new| self.settled(new, false));
        };
        self.refuse_foreign(&found)?;
        let is_old = told.is_some_and(|told| told.id == found.docker_id);
        if is_as(wanted, &found) && !is_old {
            return self.make(wanted).and_then(|new| self.settled(new, false));
        }
        match self.swap(wanted, &found)? {
            Some(new) => Ok(new),
            None => self.make(wanted).and_then(|new| self.settled(new, false)),
        }
    }

    /// Has `wanted` take the place of `old`, which is of this owner. Nothing when another run was at
    /// work on the same, so that it has to be looked at again.
    pub(super) fn swap(&self, wanted: &Container, old: &Found) -> Result<Option<Found>> {
        self.may_go(old)?;
        let joins = Joins::of(wanted)?;
        self.have_network(wanted)?;
        let volumes = self.inherited(wanted, old)?;
        let in_the_way = clash(wanted, old).is_some() || runs(old) && !volumes.is_empty();
        let Some(new) = self.make_half(wanted, &joins, old, &volumes)? else { return Ok(None) };
        let mut swap = Swap { old, new, ended: false, aside: false };
        if let Err(why) = self.bring_in(wanted, &joins, &mut swap, in_the_way) {
            let is_lost = self.is_lost(&swap.new) || self.is_lost(&old.docker_id);
            let why = self.roll_back(why, &swap);
            if is_lost {
                return Ok(None);
            }
            // The one that the old one is in, if it is in one, stays.
            let _ = self.leave_network(wanted);
            return Err(why);
        }
        let new = swap.new;
        self.take_away(old).map_err(|why| why.at("the new one runs, the old one"))?;
        if old.container.private_network != wanted.private_network {
            self.leave_network(&old.container)?;
        }
        match self.running(&new) {
            // Another run took it for what a killed one had left.
            Err(_) if self.is_lost(&new) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Whether a container is known not to be there any more, or is being taken away.
    fn is_lost(&self, docker_id: &str) -> bool {
        let looked = self.engine.look(&[docker_id.to_owned()]).pop();
        matches!(looked, Some(Ok(found)) if found.as_ref().is_none_or(|found| !stays(found)))
    }

    /// Starts the new one, waits for it, and gives it its name.
    fn bring_in(
        &self,
        wanted: &Container,
        joins: &Joins,
        swap: &mut Swap,
        in_the_way: bool,
    ) -> Result<()> {
        for network in &joins.further {
            self.engine.join(&swap.new, network)?;
        }
        if in_the_way {
            swap.ended = true;
            self.end(swap.old)?;
        }
        self.start(wanted, &swap.new)?;
        let found = self.running(&swap.new)?;
        self.settled(found, true)?;
        swap.aside = true;
        self.engine.rename(&swap.old.docker_id, &Half::Old.name(&wanted.id))?;
        self.engine.rename(&swap.new, &wanted.id)
    }

    /// The volumes without a name of the old one that the new one declares, or its image does, at the
    /// same mount point.
    fn inherited(&self, wanted: &Container, old: &Found) -> Result<BTreeMap<String, String>> {
        if old.unnamed.is_empty() {
            return Ok(BTreeMap::new());
        }
        let of_image = self.engine.volumes_of(&wanted.image)?;
        let (own, named): (Vec<&Volume>, Vec<&Volume>) =
            wanted.volumes.iter().partition(|volume| volume.is_anonymous());
        let is_own = |target: &str| own.iter().any(|volume| volume.as_str() == target);
        let is_taken = |target: &str| {
            let mut targets = named.iter().filter_map(|volume| volume.as_str().split(':').nth(1));
            targets.any(|taken| taken == target) || wanted.tmpfs.contains_key(target)
        };
        let mut kept = old.unnamed.clone();
        kept.retain(|target, _| is_own(target) || of_image.contains(target) && !is_taken(target));
        Ok(kept)
    }

    /// Makes the new one under the name that it has until the old one is gone; its id. Nothing when
    /// another run was at work on it with that name, which is waited for.
    fn make_half(
        &self,
        wanted: &Container,
        joins: &Joins,
        old: &Found,
        volumes: &BTreeMap<String, String>,
    ) -> Result<Option<String>> {
        let name = Half::New.name(&wanted.id);
        let heir = Heir { name: &name, joins, owner: self.owner, old, volumes };
        let mut fetched = false;
        for tries in 0..TRIES {
            match self.engine.create_heir(wanted, &heir)? {
                Created::Made(id) => return Ok(Some(id)),
                Created::ImageMissing if fetched => {
                    let what = format!("create container from image \"{}\"", wanted.image);
                    return Err(
                        Error::new(Kind::NotFound, what).why("it was fetched and is not there")
                    );
                }
                Created::ImageMissing => {
                    self.pull(wanted)?;
                    fetched = true;
                }
                Created::NameTaken => match self.engine.find(&name)? {
                    None => std::thread::sleep(PAUSE * tries),
                    Some(found) if !self.is_half(&found, &wanted.id, Half::New) => {
                        let what = format_args!("name {name} is taken");
                        return Err(Error::new(Kind::Refused, what)
                            .why("by a container that is no half of a replacement"));
                    }
                    Some(_) if self.is_given_up(&name, wanted, old)? => return Ok(None),
                    // Nobody is at work on it any more.
                    Some(left) => self.take_away(&left)?,
                },
            }
        }
        Err(Error::new(Kind::TimedOut, "create container")
            .why("others keep taking its name and giving it up"))
    }

    /// Waits, for as long as another run may take, until the container of that name has gone or has
    /// another name; whether it has. One that nobody starts or renames was left by a run that was
    /// killed.
    fn is_given_up(&self, name: &ContainerId, wanted: &Container, old: &Found) -> Result<bool> {
        let begun = Instant::now();
        while let Some(half) = self.engine.find(name)? {
            let is_checked = half.container.is_running() && wanted.healthcheck.is_some();
            let patience = match is_checked {
                true => self.asked.timeout.0,
                false => stop_timeout(&old.container).unwrap_or_default(),
            };
            if begun.elapsed() >= patience + OTHERS {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// Ends the old one, politely if it is declared how long that may take.
    fn end(&self, old: &Found) -> Result<()> {
        match stop_timeout(&old.container) {
            None => self.engine.kill(&old.docker_id),
            wait => self.engine.stop(&old.docker_id, wait),
        }
    }

    /// Makes it as it was before; why the replacement failed, and what has become of the old one.
    fn roll_back(&self, why: Error, swap: &Swap) -> Error {
        let why = why.at("the new one");
        match self.restore(swap) {
            Ok(()) if runs(swap.old) => why.remedy("the old one runs as before"),
            Ok(()) => why.remedy("the old one is as before"),
            Err(also) => why.remedy(format_args!("and the old one could not be restored: {also}")),
        }
    }

    fn restore(&self, swap: &Swap) -> Result<()> {
        let removed = self.engine.remove(&swap.new);
        let old = swap.old;
        // Of a call without an answer nobody knows whether it was heard.
        let is_old = |half: &Found| half.docker_id == old.docker_id;
        if swap.aside && self.half(&old.container.id, Half::Old)?.as_ref().is_some_and(is_old) {
            self.engine.rename(&old.docker_id, &old.container.id)?;
        }
        if swap.ended {
            self.start(&old.container, &old.docker_id)?;
            if old.container.state == Some(State::Paused) {
                self.engine.pause(&old.docker_id)?;
            }
        }
        removed
    }

    /// Waits for the container to be healthy if that is asked for, or, for one that replaces another,
    /// unless that is not wanted.
    pub(super) fn settled(&self, found: Found, replaces: bool) -> Result<Found> {
        match self.asked.wait {
            Some(Wait::Started) => return Ok(found),
            None if !replaces => return Ok(found),
            _ => (),
        }
        let patience = self.asked.timeout;
        let error = |kind| Error::new(kind, "wait for container to be healthy");
        let wrote = |text: String| match &*text {
            "" => String::new(),
            text => format!("; its last check wrote: {text}"),
        };
        match self.engine.settle(&found.docker_id, patience.0)? {
            Settled::Healthy | Settled::Unchecked => Ok(found),
            Settled::Ended(status) => {
                Err(error(Kind::Refused).why(format_args!("it ended with exit status {status}")))
            }
            Settled::Unhealthy(text) => {
                Err(error(Kind::Refused).why(format_args!("it is unhealthy{}", wrote(text))))
            }
            Settled::Open(text) => {
                let why = format!("it was not after {patience}{}", wrote(text));
                Err(error(Kind::TimedOut).why(why))
            }
        }
    }
}
