//! What is done to one container that a swarm has, as a service with one task.
//!
//! The swarm does what can be done later: it places the task, starts it again, and takes a change
//! back that fails. So every step here is one call that it has taken or refused, and a run that was
//! killed, or lost its manager, is finished by the next one.

mod manager;
mod watch;

use std::time::{Duration, Instant};

use super::act;
use super::engines::Engines;
use super::tool::Steps;
pub use crate::adapter::docker::swarm::Publish;
use crate::adapter::docker::swarm::{Service, ServiceSpec, spec};
use crate::adapter::docker::{Found, Joins};
use crate::error::{Error, Kind, Result};
use crate::logic::diff::{Ignored, compare};
use crate::record::{Action, Change, Container, ContainerId, Endpoint, Owner, State};
use manager::Manager;
use watch::{Step, Watch};

/// How often a service may turn out to be another one than was looked at, because others are at work.
const TRIES: u32 = 10;

/// By how much each wait between tries is longer than the one before.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a service is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// How a swarm is made use of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where ports are published.
    pub publish: Publish,
    /// How long it may take until a container runs; nothing where it is enough that the swarm has
    /// taken it on.
    pub wait: Option<Duration>,
}

/// Does what the change asks for, and puts what was done and what is known of the service then into
/// it. A container that names no owner becomes one of `owner`'s.
pub(super) fn act(
    change: &mut Change,
    engines: &Engines,
    owner: &Owner,
    settings: Settings,
) -> Result<()> {
    let steps = Steps::default();
    let outcome = Means { engines, owner, settings, steps: &steps }.act(change);
    change.steps.extend(steps.into_inner());
    outcome
}

/// Whether a service of that name runs.
pub(super) fn runs(id: &ContainerId, endpoint: &Endpoint, engines: &Engines) -> Result<bool> {
    let steps = Steps::default();
    let service = Manager::new(engines.tool(endpoint, &steps)?).service(id)?;
    Ok(service.is_some_and(|service| service.found.container.is_running()))
}

/// What a change is done with.
struct Means<'a> {
    engines: &'a Engines,
    /// Whose the containers become that name no owner.
    owner: &'a Owner,
    settings: Settings,
    steps: &'a Steps,
}

impl Means<'_> {
    fn act(&self, change: &mut Change) -> Result<()> {
        let Change { action, container, current, .. } = change;
        let owner = container.owner.as_ref().unwrap_or(self.owner).clone();
        let (host, endpoint) = act::host(container)?;
        let swarm = self.swarm(&endpoint, &owner)?;
        let found = match action {
            Action::Add => Some(swarm.add(container)?),
            Action::Keep => Some(swarm.keep(container)?),
            Action::Replace => {
                let new = swarm.add(container)?;
                if let Some(old) = current.as_ref().filter(|old| old.host.is_some()) {
                    let there = act::host(old).and_then(|(_, there)| self.swarm(&there, &owner));
                    let left = there.and_then(|there| there.leave(old, &new));
                    left.map_err(|why| why.at("the new one is there, the old one"))?;
                }
                Some(new)
            }
            Action::Remove => {
                swarm.remove(container)?;
                None
            }
            action => Some(swarm.operate(*action, container)?),
        };
        container.owner = Some(owner);
        container.host = Some(host);
        container.state = match found {
            Some(found) => {
                container.docker = found.container.docker;
                found.container.state
            }
            None => Some(State::Absent),
        };
        Ok(())
    }

    fn swarm<'a>(&'a self, endpoint: &Endpoint, owner: &'a Owner) -> Result<Swarm<'a>> {
        let manager = Manager::new(self.engines.tool(endpoint, self.steps)?);
        Ok(Swarm { manager, owner, settings: self.settings })
    }
}

/// Acts for one owner through one manager.
struct Swarm<'a> {
    manager: Manager<'a>,
    owner: &'a Owner,
    settings: Settings,
}

impl Swarm<'_> {
    /// Makes sure that the service is there, as it is declared, and is to run.
    fn add(&self, wanted: &Container) -> Result<Found> {
        self.until_done(wanted, |service| match service {
            None => self.make(wanted),
            Some(service) if is_as(wanted, &service.found) => self.make_run(service),
            Some(service) => self.change("update", service, service.changed_to(self.spec(wanted)?)),
        })
    }

    /// Makes sure that the service is to run, whatever it was declared as.
    fn keep(&self, wanted: &Container) -> Result<Found> {
        match self.manager.service(&wanted.id)? {
            Some(service) if self.is_ours(&service.found) => {
                self.until_done(wanted, |service| match service {
                    None => self.make(wanted),
                    Some(service) => self.make_run(service),
                })
            }
            _ => self.add(wanted),
        }
    }

    /// Makes the service so as `action` leaves one.
    ///
    /// # Errors
    /// `NotFound` when it is not there, or is not the one that the record tells of; `Refused` when it
    /// is not of this owner, and for what a swarm does not know.
    fn operate(&self, action: Action, told: &Container) -> Result<Found> {
        let doing = format!("{action} service");
        let nothing = |why: &str| Error::new(Kind::NotFound, &doing).why(why);
        self.until_done(told, |service| {
            let service = service.ok_or_else(|| nothing("there is none of that name"))?;
            let is_told = |id: &String| *id == service.found.docker_id;
            if !told.docker.as_ref().is_none_or(|docker| is_told(&docker.id)) {
                return Err(nothing("it is gone, and another one has its name"));
            }
            match action {
                Action::Start => self.make_run(service),
                Action::Restart => self.change("restart", service, service.renewed()),
                Action::Stop if service.is_stopped() => Ok(Step::Stopped),
                Action::Stop => match self.change("stop", service, service.scaled(0))? {
                    Step::Changed => Ok(Step::Stopped),
                    late => Ok(late),
                },
                _ => Err(Error::new(Kind::Refused, &doing)
                    .why("a swarm starts, stops and restarts services and knows no more")),
            }
        })
    }

    /// Makes sure that the service is gone; a newer one of the same name is left alone.
    fn remove(&self, gone: &Container) -> Result<()> {
        let Some(service) = self.manager.service(&gone.id)? else {
            return Ok(());
        };
        if gone.docker.as_ref().is_some_and(|docker| docker.id != service.found.docker_id) {
            return Ok(());
        }
        self.refuse_foreign(&service.found)?;
        self.manager.remove(&service)
    }

    /// Makes sure that the service is gone from a swarm that it has left. Two managers may be of one
    /// swarm: the new service stays.
    fn leave(&self, gone: &Container, new: &Found) -> Result<()> {
        match self.manager.service(&gone.id)? {
            Some(service) if service.found.docker_id == new.docker_id => Ok(()),
            _ => self.remove(gone),
        }
    }

    /// What the swarm is to be asked for; what it is made from must be there.
    fn spec(&self, wanted: &Container) -> Result<ServiceSpec> {
        let engine = self.manager.engine();
        engine.need_networks(&Joins::of(wanted)?, None)?;
        let files = engine.files(wanted)?;
        spec(wanted, self.owner, engine.kernel(), &files, self.settings.publish)
    }

    /// Looks at the service and acts, until nobody has changed it in between, and waits for it to run
    /// if that is asked for.
    fn until_done(
        &self,
        wanted: &Container,
        act: impl Fn(Option<&Service>) -> Result<Step>,
    ) -> Result<Found> {
        for tries in 0..TRIES {
            std::thread::sleep(PAUSE * tries);
            let service = self.manager.service(&wanted.id)?;
            if let Some(service) = &service {
                self.refuse_foreign(&service.found)?;
            }
            match act(service.as_ref())? {
                Step::Late => (),
                step => return self.settled(wanted, &Watch::behind(step, service.as_ref())),
            }
        }
        Err(Error::new(Kind::TimedOut, "change service").why("others keep changing it"))
    }

    fn make(&self, wanted: &Container) -> Result<Step> {
        let made = self.manager.create(wanted, self.spec(wanted)?)?;
        Ok(if made { Step::Made } else { Step::Late })
    }

    fn change(&self, step: &str, service: &Service, spec: ServiceSpec) -> Result<Step> {
        let changed = self.manager.update(step, service, spec)?;
        Ok(if changed { Step::Changed } else { Step::Late })
    }

    /// Has a service that is not to run, or has ended, run again.
    fn make_run(&self, service: &Service) -> Result<Step> {
        if service.is_stopped() {
            self.change("start", service, service.scaled(1))
        } else if service.found.container.state == Some(State::Exited) {
            self.change("start", service, service.renewed())
        } else {
            Ok(Step::Nothing)
        }
    }

    /// The service as it is now, or once it runs.
    fn settled(&self, wanted: &Container, watch: &Watch) -> Result<Found> {
        let service = self.look(wanted)?;
        match self.settings.wait {
            Some(wait) if !self.manager.pretends() && !watch.is_settled(&service)? => {
                self.manager.converge(|| self.wait(wanted, watch, Instant::now() + wait))
            }
            _ => Ok(service.found),
        }
    }

    /// Waits for the service to run.
    fn wait(&self, wanted: &Container, watch: &Watch, end: Instant) -> Result<Found> {
        loop {
            std::thread::sleep(LOOK);
            let service = self.look(wanted)?;
            if watch.is_settled(&service)? {
                return Ok(service.found);
            }
            if Instant::now() > end {
                return Err(watch.late(&service.found));
            }
        }
    }

    fn look(&self, wanted: &Container) -> Result<Service> {
        let gone = || Error::new(Kind::Refused, "make service").why("somebody took it away");
        self.manager.service(&wanted.id)?.ok_or_else(gone)
    }

    fn is_ours(&self, found: &Found) -> bool {
        found.container.owner.as_ref() == Some(self.owner)
    }

    fn refuse_foreign(&self, found: &Found) -> Result<()> {
        let taken = Error::new(Kind::Refused, "name is taken");
        match &found.container.owner {
            None => Err(taken.why("by a service that leasepipe did not make")),
            Some(owner) if owner == self.owner => Ok(()),
            Some(owner) => Err(taken.why(format_args!("by a service of owner \"{owner}\""))),
        }
    }
}

/// Whether a service is the one that is wanted.
fn is_as(wanted: &Container, found: &Found) -> bool {
    compare(wanted, &found.container, &Ignored::default()).is_empty()
}
