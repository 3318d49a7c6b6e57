//! What is asked of an engine for one change: done and noted, or, where nothing is to be done, noted
//! alone.
//!
//! Whoever decides what to ask does not know which of the two it is. So what is told beforehand is
//! what is done afterwards, as long as the engine's containers stay as they are meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pretence::Pretence;
use crate::adapter::docker::{self, Created, Engine, Found, Half, Joins, Settled, body};
use crate::error::Result;
use crate::record::{
    Container, ContainerId, DockerNetwork, Image, Login, NetworkName, Owner, Platform, State, Step,
};
use crate::stage::images::Images;

/// What was asked of engines for one change, in order.
pub(super) type Steps = RefCell<Vec<Step>>;

/// A container that is to take the place of another.
pub(super) struct Heir<'a> {
    /// Its name until then.
    pub(super) name: &'a ContainerId,
    pub(super) joins: &'a Joins,
    pub(super) owner: &'a Owner,
    pub(super) old: &'a Found,
    /// What it takes over: volumes without a name, by mount point.
    pub(super) volumes: &'a BTreeMap<String, String>,
}

/// One engine, for one change. What only asks goes to the engine itself.
pub(super) struct Tool<'a> {
    engine: Arc<Engine>,
    /// What would be so if all that was only noted had been done.
    pretence: Option<Arc<Pretence>>,
    steps: &'a Steps,
    /// How images come to it; without this, without a login.
    images: Option<Arc<Images>>,
}

impl Deref for Tool<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl<'a> Tool<'a> {
    /// Notes in `steps` what is asked of the engine, and asks it unless there is a pretence.
    pub(super) fn new(
        engine: Arc<Engine>,
        pretence: Option<Arc<Pretence>>,
        steps: &'a Steps,
    ) -> Tool<'a> {
        Tool { engine, pretence, steps, images: None }
    }

    /// The same, whose images come with a login and once for all who wait.
    pub(super) fn fetching(self, images: Arc<Images>) -> Tool<'a> {
        Tool { images: Some(images), ..self }
    }

    /// Does something that takes time, and notes how much.
    pub(super) fn step<T>(&self, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let (done, ms) = timed(act);
        self.note(name, Some(ms));
        done
    }

    /// What would be so, where nothing is done.
    pub(super) fn pretence(&self) -> Option<&Pretence> {
        self.pretence.as_deref()
    }

    /// What the image's registry is entered with, if that is said and anything is to be done.
    pub(super) fn login(&self, image: &Image) -> Result<Option<Login>> {
        match &self.images {
            Some(images) if self.pretence.is_none() => images.login(image),
            _ => Ok(None),
        }
    }

    fn note(&self, name: &str, ms: Option<f64>) {
        self.steps.borrow_mut().push(Step::new(name, ms));
    }

    /// Asks the engine for something, or notes it and pretends that it was done.
    fn ask(
        &self,
        name: &str,
        act: impl FnOnce(&Engine) -> Result<()>,
        pretend: impl FnOnce(&Pretence) -> Result<()>,
    ) -> Result<()> {
        match &self.pretence {
            None => self.step(name, || act(&self.engine)),
            Some(pretence) => {
                self.note(name, None);
                pretend(pretence)
            }
        }
    }

    /// The same for what may turn out to be needless, and is no step then; whether it was needed.
    pub(super) fn ask_if_needed(
        &self,
        name: &str,
        act: impl FnOnce(&Engine) -> Result<bool>,
        pretend: impl FnOnce(&Pretence) -> Result<bool>,
    ) -> Result<bool> {
        let (done, ms) = match &self.pretence {
            None => {
                let (done, ms) = timed(|| act(&self.engine));
                (done, Some(ms))
            }
            Some(pretence) => (pretend(pretence), None),
        };
        if !matches!(done, Ok(false)) {
            self.note(name, ms);
        }
        done
    }

    /// [`Engine::find`].
    pub(super) fn find(&self, name: &ContainerId) -> Result<Option<Found>> {
        match self.pretence.as_ref().and_then(|pretence| pretence.find(name)) {
            Some(pretended) => Ok(pretended),
            None => self.engine.find(name),
        }
    }

    /// [`Engine::look`].
    pub(super) fn look(&self, docker_ids: &[String]) -> Vec<Result<Option<Found>>> {
        let pretended = |id: &String| self.pretence.as_ref().and_then(|known| known.look(id));
        match docker_ids.iter().any(|id| pretended(id).is_some()) {
            true => docker_ids.iter().map(|id| Ok(pretended(id).flatten())).collect(),
            false => self.engine.look(docker_ids),
        }
    }

    /// [`Engine::has_image`].
    pub(super) fn has_image(&self, image: &Image, platform: Option<&Platform>) -> Result<bool> {
        let pretended =
            self.pretence.as_ref().is_some_and(|known| known.has_image(image, platform));
        if pretended { Ok(true) } else { self.engine.has_image(image, platform) }
    }

    /// [`Images::pull`].
    pub(super) fn pull(&self, image: &Image, platform: Option<&Platform>) -> Result<()> {
        self.ask(
            "pull",
            |engine| match &self.images {
                Some(images) => images.pull(engine, image, platform),
                None => engine.pull(image, platform, None, &mut |_, _| ()),
            },
            |known| {
                known.pull(image, platform);
                Ok(())
            },
        )
    }

    /// [`Engine::create`] for what the container asks for. A wish that another container or a
    /// missing image stands against is no step.
    pub(super) fn create(
        &self,
        wanted: &Container,
        joins: &Joins,
        owner: &Owner,
    ) -> Result<Created> {
        let platform = wanted.platform.as_ref();
        let body = body(wanted, joins, owner, self.engine.kernel())?;
        let Some(pretence) = &self.pretence else {
            let (created, ms) = timed(|| self.engine.create(&wanted.id, platform, body));
            if matches!(created, Ok(Created::Made(_)) | Err(_)) {
                self.note("create", Some(ms));
            }
            return created;
        };
        if self.find(&wanted.id)?.is_some() {
            return Ok(Created::NameTaken);
        }
        if !self.has_image(&wanted.image, platform)? {
            return Ok(Created::ImageMissing);
        }
        self.note("create", None);
        Ok(Created::Made(pretence.make(wanted, joins, owner)))
    }

    /// [`Engine::create`] for a container that is to take the place of `old`, and has another name
    /// until it does.
    pub(super) fn create_heir(&self, wanted: &Container, heir: &Heir) -> Result<Created> {
        let Heir { name, joins, owner, old, volumes } = heir;
        let platform = wanted.platform.as_ref();
        let body = docker::heir(body(wanted, joins, owner, self.engine.kernel())?, old, volumes);
        let Some(pretence) = &self.pretence else {
            let (created, ms) = timed(|| self.engine.create(name, platform, body));
            if matches!(created, Ok(Created::Made(_)) | Err(_)) {
                self.note("create", Some(ms));
            }
            return created;
        };
        if !self.has_image(&wanted.image, platform)? {
            return Ok(Created::ImageMissing);
        }
        self.note("create", None);
        let named = Container { id: (*name).clone(), ..wanted.clone() };
        Ok(Created::Made(pretence.make(&named, joins, owner)))
    }

    /// [`Engine::find_half`].
    pub(super) fn find_half(&self, id: &ContainerId, half: Half) -> Result<Option<Found>> {
        let found = self.engine.find_half(id, half)?;
        let known =
            |docker_id: &str| self.pretence.as_ref().and_then(|known| known.look(docker_id));
        Ok(found.filter(|found| known(&found.docker_id).is_none()))
    }

    /// [`Engine::rename`].
    pub(super) fn rename(&self, docker_id: &str, name: &ContainerId) -> Result<()> {
        self.ask(
            "rename",
            |engine| engine.rename(docker_id, name),
            |known| known.rename(&self.engine, docker_id, name),
        )
    }

    /// [`Engine::settle`]; a container that nobody checks is no step, and one that was only told of
    /// is not waited for.
    pub(super) fn settle(&self, docker_id: &str, patience: Duration) -> Result<Settled> {
        if self.pretence.is_some() {
            return Ok(Settled::Unchecked);
        }
        let (settled, ms) = timed(|| self.engine.settle(docker_id, patience));
        if !matches!(settled, Ok(Settled::Unchecked)) {
            self.note("healthy", Some(ms));
        }
        settled
    }

    /// [`Engine::remove_volume`].
    pub(super) fn remove_volume(&self, name: &str) -> Result<()> {
        if self.pretence.is_some() { Ok(()) } else { self.engine.remove_volume(name) }
    }

    /// [`Engine::start`].
    pub(super) fn start(&self, docker_id: &str) -> Result<()> {
        self.becomes("start", docker_id, State::Running, |engine| engine.start(docker_id))
    }

    /// [`Engine::stop`].
    pub(super) fn stop(&self, docker_id: &str, wait: Option<Duration>) -> Result<()> {
        self.becomes("stop", docker_id, State::Exited, |engine| engine.stop(docker_id, wait))
    }

    /// [`Engine::restart`].
    pub(super) fn restart(&self, docker_id: &str, wait: Option<Duration>) -> Result<()> {
        self.becomes("restart", docker_id, State::Running, |engine| engine.restart(docker_id, wait))
    }

    /// [`Engine::kill`].
    pub(super) fn kill(&self, docker_id: &str) -> Result<()> {
        self.becomes("kill", docker_id, State::Exited, |engine| engine.kill(docker_id))
    }

    /// [`Engine::pause`].
    pub(super) fn pause(&self, docker_id: &str) -> Result<()> {
        self.becomes("pause", docker_id, State::Paused, |engine| engine.pause(docker_id))
    }

    /// [`Engine::unpause`].
    pub(super) fn unpause(&self, docker_id: &str) -> Result<()> {
        self.becomes("unpause", docker_id, State::Running, |engine| engine.unpause(docker_id))
    }

    fn becomes(
        &self,
        step: &str,
        docker_id: &str,
        state: State,
        act: impl FnOnce(&Engine) -> Result<()>,
    ) -> Result<()> {
        self.ask(step, act, |known| {
            known.alter(&self.engine, docker_id, |found| found.container.state = Some(state))
        })
    }

    /// [`Engine::remove`].
    pub(super) fn remove(&self, docker_id: &str) -> Result<()> {
        self.ask(
            "remove",
            |engine| engine.remove(docker_id),
            |known| known.remove(&self.engine, docker_id),
        )
    }

    /// [`Engine::wait_gone`].
    pub(super) fn wait_gone(&self, docker_id: &str) -> Result<()> {
        match &self.pretence {
            None => self.engine.wait_gone(docker_id),
            Some(known) => known.remove(&self.engine, docker_id),
        }
    }

    /// [`Engine::join`].
    pub(super) fn join(&self, docker_id: &str, network: &DockerNetwork) -> Result<()> {
        self.ask(
            "join",
            |engine| engine.join(docker_id, network),
            |known| {
                let name = network.network.to_string();
                known.alter(&self.engine, docker_id, |found| found.joined.push(name))
            },
        )
    }

    /// [`Engine::have_network`].
    pub(super) fn have_network(&self, name: &NetworkName, owner: &Owner) -> Result<()> {
        let made = self.ask_if_needed(
            "network",
            |engine| engine.have_network(name, owner),
            |known| known.have_network(&self.engine, name, owner),
        );
        made.map(drop)
    }

    /// [`Engine::drop_network`].
    pub(super) fn drop_network(&self, name: &NetworkName, owner: &Owner) -> Result<()> {
        let gone = self.ask_if_needed(
            "remove_network",
            |engine| engine.drop_network(name, owner),
            |known| known.drop_network(&self.engine, name, owner),
        );
        gone.map(drop)
    }
}

/// What became of something, and how many milliseconds it took, to a tenth.
fn timed<T>(act: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let done = act();
    (done, (begun.elapsed().as_secs_f64() * 10_000.0).round() / 10.0)
}
