//! What is done to one container on one engine.
//!
//! Every step looks at what is there before it acts, so a run that was killed anywhere is finished
//! by the next. A name is taken by making a container with it: the engine lets one maker win, and
//! who comes late looks at what the winner made.

use std::time::Duration;

use super::asked::Asked;
use super::clash::runs;
use super::tool::Tool;
use crate::adapter::docker::{Created, Found, Joins, body, kept};
use crate::error::{Error, Kind, Result};
use crate::logic::diff::{Ignored, compare};
use crate::record::{Container, Owner, Pull, State};

/// How often a name may turn out to be neither free nor anybody's, because others are at work.
pub(super) const TRIES: u32 = 30;

/// By how much each wait between tries is longer than the one before.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// How often a start is tried again when the network has gone.
const NETWORK_TRIES: u32 = 5;

/// Acts for one owner on one engine.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a> {
    pub(super) engine: &'a Tool<'a>,
    pub(super) owner: &'a Owner,
    pub(super) asked: &'a Asked,
    /// Whether a container that runs is not to be taken away for what is to be done.
    pub(super) is_gentle: bool,
}

impl Hand<'_> {
    /// Makes sure that the container is there, as it is declared, and runs.
    pub(super) fn add(&self, wanted: &Container) -> Result<Found> {
        if wanted.pull == Some(Pull::Always) && !self.is_made(wanted)? {
            self.pull(wanted)?;
        }
        self.make(wanted)
    }

    /// Makes sure that all is there that the container is made from, and that nothing speaks against
    /// it, before another one goes for it.
    pub(super) fn prepare(&self, wanted: &Container) -> Result<()> {
        let joins = Joins::of(wanted)?;
        body(wanted, &joins, self.owner, self.engine.kernel())?;
        self.need_networks(wanted, &joins)?;
        let fetch = match wanted.pull {
            Some(Pull::Always) => !self.is_made(wanted)?,
            _ => !self.engine.has_image(&wanted.image, wanted.platform.as_ref())?,
        };
        if fetch { self.pull(wanted) } else { Ok(()) }
    }

    /// The same as [`Hand::add`] for a container whose image has been made sure of.
    pub(super) fn make(&self, wanted: &Container) -> Result<Found> {
        let outcome = self.try_make(wanted);
        if outcome.is_err() && wanted.private_network.is_some() {
            // What it failed for is the thing to tell.
            let _ = self.leave_network(wanted);
        }
        outcome
    }

    fn try_make(&self, wanted: &Container) -> Result<Found> {
        let joins = Joins::of(wanted)?;
        self.need_networks(wanted, &joins)?;
        let mut fetched = false;
        for tries in 0..TRIES {
            self.have_network(wanted)?;
            match self.engine.create(wanted, &joins, self.owner)? {
                Created::Made(id) => return self.begin(wanted, &joins, &id),
                Created::ImageMissing if fetched => {
                    let what = format!("create container from image \"{}\"", wanted.image);
                    return Err(
                        Error::new(Kind::NotFound, what).why("it was fetched and is not there")
                    );
                }
                // One that is there may have been made from it under its digest alone.
                Created::ImageMissing if !self.is_made(wanted)? => {
                    self.pull(wanted)?;
                    fetched = true;
                }
                Created::ImageMissing | Created::NameTaken => match self.meet(wanted)? {
                    Some(found) => return Ok(found),
                    None => std::thread::sleep(PAUSE * tries),
                },
            }
        }
        Err(Error::new(Kind::TimedOut, "create container")
            .why("others keep taking its name and giving it up"))
    }

    /// Fetches the container's image, unless that is forbidden.
    pub(super) fn pull(&self, wanted: &Container) -> Result<()> {
        if wanted.pull != Some(Pull::Never) {
            return self.engine.pull(&wanted.image, wanted.platform.as_ref());
        }
        let platform = wanted.platform.as_ref().map(|platform| format!(" for {platform}"));
        let what = format!("use image \"{}\"", wanted.image);
        let why = format!("it is not on the host{}", platform.unwrap_or_default());
        Err(Error::new(Kind::NotFound, what)
            .why(why)
            .remedy("put it there, or declare another \"pull\" than never"))
    }

    /// Whether a container is there already that the wanted one needs no other for.
    fn is_made(&self, wanted: &Container) -> Result<bool> {
        let found = self.engine.find(&wanted.id)?;
        Ok(found
            .is_some_and(|found| self.is_ours(&found) && stays(&found) && is_as(wanted, &found)))
    }

    /// Makes sure that the networks of Docker's that the container names are there.
    fn need_networks(&self, wanted: &Container, joins: &Joins) -> Result<()> {
        let private = wanted.private_network.as_ref().map(|network| &network.name);
        self.engine.need_networks(joins, private)
    }

    /// Makes sure that the container runs, whatever it was declared as. One that ran is not waited for.
    pub(super) fn keep(&self, wanted: &Container) -> Result<Found> {
        let found = self.engine.find(&wanted.id)?;
        let ran = found.as_ref().filter(|found| found.container.is_running());
        let ran = ran.map(|found| found.docker_id.clone());
        let kept = self.keep_found(wanted, found)?;
        if ran.as_ref() == Some(&kept.docker_id) { Ok(kept) } else { self.settled(kept, false) }
    }

    fn keep_found(&self, wanted: &Container, found: Option<Found>) -> Result<Found> {
        match found {
            Some(found) if self.is_ours(&found) && stays(&found) => match self.make_run(&found) {
                Err(why) if self.is_gone(&found) || lacks_network(&found, &why) => self.add(wanted),
                Err(why) if never_ran(&found, &why) => self.add(wanted),
                outcome => outcome,
            },
            _ => self.add(wanted),
        }
    }

    /// Makes sure that the container is gone, and its private network with the last one in it. A
    /// newer container of the same name is left alone.
    pub(super) fn remove(&self, gone: &Container) -> Result<()> {
        let found = self.clear(gone)?;
        self.leave_network(found.as_ref().map_or(gone, |found| &found.container))
    }

    /// Makes sure that the container is gone from a host that it has left. Two hosts may turn out to
    /// be one engine: the new container stays.
    pub(super) fn leave(&self, gone: &Container, new: &str) -> Result<()> {
        match self.engine.find(&gone.id)? {
            Some(found) if found.docker_id == new => Ok(()),
            _ => self.remove(gone),
        }
    }

    /// Makes sure that the container is gone; gives it if it was there.
    pub(super) fn clear(&self, gone: &Container) -> Result<Option<Found>> {
        let Some(found) = self.engine.find(&gone.id)? else {
            return Ok(None);
        };
        if gone.docker.as_ref().is_some_and(|docker| docker.id != found.docker_id) {
            return Ok(None);
        }
        self.refuse_foreign(&found)?;
        self.take_away(&found)?;
        Ok(Some(found))
    }

    /// Makes sure that the container's private network is there, if it has one.
    pub(super) fn have_network(&self, wanted: &Container) -> Result<()> {
        match &wanted.private_network {
            Some(network) => self.engine.have_network(&network.name, self.owner),
            None => Ok(()),
        }
    }

    /// Takes the container's private network away if no other container is made for it.
    pub(super) fn leave_network(&self, gone: &Container) -> Result<()> {
        match &gone.private_network {
            Some(network) => self.engine.drop_network(&network.name, self.owner),
            None => Ok(()),
        }
    }

    /// Starts a container. Its network may have been taken away since it was made sure of, by the
    /// removal of what was the last container in it.
    pub(super) fn start(&self, container: &Container, docker_id: &str) -> Result<()> {
        let mut outcome = self.engine.start(docker_id);
        for tries in 1..=NETWORK_TRIES {
            match &outcome {
                Err(why) if container.private_network.is_some() && is_of_network(why) => (),
                _ => break,
            }
            std::thread::sleep(PAUSE * tries);
            self.have_network(container)?;
            outcome = self.engine.start(docker_id);
        }
        outcome
    }

    /// Puts the container that was just made into its other networks and starts it, or unmakes it.
    fn begin(&self, wanted: &Container, joins: &Joins, docker_id: &str) -> Result<Found> {
        let mut further = joins.further.iter();
        let joined = further.try_for_each(|network| self.engine.join(docker_id, network));
        let why = match joined.and_then(|()| self.start(wanted, docker_id)) {
            Ok(()) => return self.running(docker_id),
            Err(why) => why,
        };
        // Whether it started is not known then.
        if matches!(why.kind(), Kind::Unavailable | Kind::TimedOut) {
            return Err(why);
        }
        match self.engine.remove(docker_id) {
            Ok(()) => Err(why),
            Err(also) => Err(why.remedy(format_args!("and it could not be unmade: {also}"))),
        }
    }

    /// Looks at the container that has the name of the wanted one. Nothing when it has gone, or
    /// had to go.
    fn meet(&self, wanted: &Container) -> Result<Option<Found>> {
        let Some(found) = self.engine.find(&wanted.id)? else {
            return Ok(None);
        };
        self.refuse_foreign(&found)?;
        if found.container.state == Some(State::Removing) {
            self.engine.wait_gone(&found.docker_id)?;
            Ok(None)
        } else if stays(&found) && is_as(wanted, &found) {
            match self.make_run(&found) {
                Err(_) if self.is_gone(&found) => Ok(None),
                Err(why) if lacks_network(&found, &why) => self.swap(wanted, &found),
                Err(why) if never_ran(&found, &why) => {
                    self.take_away(&found)?;
                    Ok(None)
                }
                outcome => outcome.map(Some),
            }
        } else if stays(&found) {
            self.swap(wanted, &found)
        } else {
            self.take_away(&found)?;
            Ok(None)
        }
    }

    /// Makes sure that the container runs, in all of its networks: a run that was killed may have
    /// made it and not put it into the others, and anybody can take it out of one.
    pub(super) fn make_run(&self, found: &Found) -> Result<Found> {
        if let Ok(joins) = Joins::of(&found.container) {
            let lacking = joins.lacking(&found.joined);
            if !lacking.is_empty() {
                self.need_networks(&found.container, &joins)?;
            }
            lacking.iter().try_for_each(|network| self.engine.join(&found.docker_id, network))?;
        }
        match found.container.state {
            Some(State::Running) => return Ok(found.clone()),
            Some(State::Paused) => self.engine.unpause(&found.docker_id)?,
            _ => self.start(&found.container, &found.docker_id)?,
        }
        self.running(&found.docker_id)
    }

    /// The container as it is after its start.
    pub(super) fn running(&self, docker_id: &str) -> Result<Found> {
        let error = Error::new(Kind::Refused, "start container");
        let looked = self.engine.look(&[docker_id.to_owned()]).pop().unwrap_or(Ok(None))?;
        match looked {
            Some(found) if found.container.is_running() => Ok(found),
            Some(Found { ended: Some(how), .. }) => {
                Err(error.why(format_args!("its command ended at once with {how}")))
            }
            Some(_) => Err(error.why("it does not run after its start")),
            None => Err(error.why("it went away after its start")),
        }
    }

    /// Ends and removes the container, politely if it is declared how long that may take.
    pub(super) fn take_away(&self, found: &Found) -> Result<()> {
        let wait = stop_timeout(&found.container);
        if wait.is_some() && found.container.is_running() {
            // One that cannot be stopped is removed all the same.
            let _ = self.engine.stop(&found.docker_id, wait);
        }
        self.engine.remove(&found.docker_id)?;
        // The engine takes these for volumes with a name. What another container uses stays.
        kept(&found.labels).iter().try_for_each(|volume| self.engine.remove_volume(volume))
    }

    fn is_gone(&self, found: &Found) -> bool {
        let now = self.engine.find(&found.container.id);
        now.is_ok_and(|now| now.is_none_or(|now| now.docker_id != found.docker_id || !stays(&now)))
    }

    /// # Errors
    /// `Held` when the container runs and is not to be taken away. Nothing has been done then.
    pub(super) fn may_go(&self, found: &Found) -> Result<()> {
        match self.is_gentle && runs(found) {
            true => Err(Error::new(Kind::Held, "take a running container away")),
            false => Ok(()),
        }
    }

    pub(super) fn is_ours(&self, found: &Found) -> bool {
        found.container.owner.as_ref() == Some(self.owner)
    }

    pub(super) fn refuse_foreign(&self, found: &Found) -> Result<()> {
        let taken = Error::new(Kind::Refused, "name is taken");
        self.foreign(found)
            .map_or(Ok(()), |whose| Err(taken.why(format_args!("by a container {whose}"))))
    }

    /// Whose a container is that is not this owner's.
    pub(super) fn foreign(&self, found: &Found) -> Option<String> {
        match &found.container.owner {
            None => Some("that leasepipe did not make".to_owned()),
            Some(owner) if owner == self.owner => None,
            Some(owner) => Some(format!("of owner \"{owner}\"")),
        }
    }
}

/// How long a container declares that it may take to end.
pub(super) fn stop_timeout(container: &Container) -> Option<Duration> {
    container.stop_timeout.map(|seconds| Duration::from_secs(seconds.into()))
}

/// Whether a failure to start is one of the network.
fn is_of_network(why: &Error) -> bool {
    why.to_string().contains("network")
}

/// Whether a container could not be started because a network that it was in has gone. One of the
/// same name is another one to the engine, so the container has to be made anew.
fn lacks_network(found: &Found, why: &Error) -> bool {
    let is_in_one =
        || Joins::of(&found.container).is_ok_and(|joins| joins.names().next().is_some());
    why.kind() == Kind::NotFound && is_of_network(why) && is_in_one()
}

/// Whether a container that was made and never ran cannot be started. An engine that was killed while
/// it started one says of it for ever that it exists already; one that never ran has nothing to lose.
fn never_ran(found: &Found, why: &Error) -> bool {
    found.container.state == Some(State::Created) && why.kind() == Kind::Refused
}

/// Whether a container is the one that is wanted.
pub(super) fn is_as(wanted: &Container, found: &Found) -> bool {
    compare(wanted, &found.container, &Ignored::default()).is_empty()
}

/// Whether a container is not on its way out.
pub(super) fn stays(found: &Found) -> bool {
    !matches!(found.container.state, Some(State::Removing | State::Dead))
}
