//! What is asked of a manager for one change: done and noted, or, where nothing is to be done, noted
//! alone.

use crate::adapter::docker::Engine;
use crate::adapter::docker::swarm::{Service, ServiceSpec};
use crate::error::Result;
use crate::record::{Container, ContainerId};
use crate::stage::container_run::tool::Tool;

/// The id of a service that was only told of. No swarm has one like it.
const PRETENDED: &str = "pretended";

/// A manager of a swarm, for one change.
pub(super) struct Manager<'a>(Tool<'a>);

impl<'a> Manager<'a> {
    /// The one that this engine is.
    pub(super) fn new(engine: Tool<'a>) -> Manager<'a> {
        Manager(engine)
    }

    /// The engine itself, for what only asks.
    pub(super) fn engine(&self) -> &Engine {
        &self.0
    }

    /// Whether it is only told what would be done.
    pub(super) fn pretends(&self) -> bool {
        self.0.pretence().is_some()
    }

    /// [`Engine::service`].
    pub(super) fn service(&self, name: &ContainerId) -> Result<Option<Service>> {
        match self.0.pretence().and_then(|pretence| pretence.service(name)) {
            Some(pretended) => Ok(pretended),
            None => self.engine().service(name),
        }
    }

    /// [`Engine::create_service`], with the login for the image's registry. A name that is taken is
    /// no step.
    pub(super) fn create(&self, wanted: &Container, spec: ServiceSpec) -> Result<bool> {
        let login = self.0.login(&wanted.image)?;
        self.0.ask_if_needed(
            "create",
            |engine| engine.create_service(spec.clone(), login.as_ref()),
            |known| {
                let is_free = self.service(&wanted.id)?.is_none();
                if is_free {
                    let made = Service::would_be(PRETENDED, spec.clone())?;
                    known.have_service(&wanted.id, Some(made));
                }
                Ok(is_free)
            },
        )
    }

    /// [`Engine::update_service`], with the login for the image's registry if a task is to come. A
    /// service that is another one by now is no step.
    pub(super) fn update(&self, step: &str, service: &Service, spec: ServiceSpec) -> Result<bool> {
        let would_be = Service::would_be(&service.found.docker_id, spec.clone())?;
        let container = &would_be.found.container;
        let login = match would_be.is_stopped() {
            true => None,
            false => self.0.login(&container.image)?,
        };
        self.0.ask_if_needed(
            step,
            |engine| engine.update_service(service, spec, login.as_ref()),
            |known| {
                known.have_service(&container.id, Some(would_be.clone()));
                Ok(true)
            },
        )
    }

    /// [`Engine::remove_service`].
    pub(super) fn remove(&self, service: &Service) -> Result<()> {
        let found = &service.found;
        let gone = self.0.ask_if_needed(
            "remove",
            |engine| engine.remove_service(&found.docker_id).map(|()| true),
            |known| {
                known.have_service(&found.container.id, None);
                Ok(true)
            },
        );
        gone.map(drop)
    }

    /// Waits for something, and notes how long.
    pub(super) fn converge<T>(&self, wait: impl FnOnce() -> Result<T>) -> Result<T> {
        self.0.step("converge", wait)
    }
}
