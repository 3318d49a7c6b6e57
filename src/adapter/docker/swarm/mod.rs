//! Docker's cluster, Swarm mode, through one of its managers.
//!
//! A container's document becomes a service with one task, which the swarm places on a node, starts
//! again and moves. What is asked of the swarm is asked of a manager: any other engine refuses.

mod cannot;
mod change;
mod identity;
mod mounts;
mod placement;
mod read;
mod service;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Failure;
use bollard::models::{Service as Answer, ServiceUpdateStatusStateEnum, Task};
use bollard::query_parameters::{
    ListNodesOptions, ListServicesOptionsBuilder, ListTasksOptionsBuilder,
};

pub use bollard::models::ServiceSpec;
pub use identity::SwarmId;
pub use service::{Publish, spec};

use super::error::{failure, is_missing};
use super::label::OWNER;
use super::{Engine, Found};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, ContainerId, Network, Owner, State};
use state::Standing;

/// How long a manager may take to begin its answer. Where the leader is lost the others elect one
/// within some 15 seconds, and their answers wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service of a swarm.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its document and state, as if it were a container.
    pub found: Found,
    /// How it stands with the last change of it.
    pub update: Update,
    spec: ServiceSpec,
    version: u64,
}

/// How it stands with a change of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// It was never changed, or the change is done.
    Done,
    /// Tasks are being replaced.
    Underway,
    /// It was taken back, or is stuck, for the reason given.
    Failed(String),
}

/// The ids of the secrets and configs that a document names.
#[derive(Clone, Debug, Default)]
pub struct Files {
    secrets: HashMap<String, String>,
    configs: HashMap<String, String>,
}

impl Files {
    fn secret(&self, name: &str) -> Result<&str> {
        id_of(&self.secrets, "secret", name)
    }

    fn config(&self, name: &str) -> Result<&str> {
        id_of(&self.configs, "config", name)
    }
}

fn id_of<'a>(ids: &'a HashMap<String, String>, what: &str, name: &str) -> Result<&'a str> {
    ids.get(name).map(String::as_str).ok_or_else(|| {
        Error::new(Kind::NotFound, format_args!("use {what} \"{name}\""))
            .why("the swarm has none of that name")
            .remedy(format_args!("make it with docker {what} create"))
    })
}

impl Service {
    /// One of which no more is known.
    #[cfg(test)]
    pub fn of(found: Found, update: Update) -> Service {
        Service { found, update, spec: ServiceSpec::default(), version: 0 }
    }

    /// One with that id as it would be if it had been asked for: its task runs, unless it is to have
    /// none.
    ///
    /// # Errors
    /// `BadInput` for what is no container's.
    pub fn would_be(id: &str, spec: ServiceSpec) -> Result<Service> {
        let document = read::document(&spec, &HashMap::new())?;
        let state = if state::wanted(&spec) == 0 { State::Exited } else { State::Running };
        let container = Container { state: Some(state), ..document };
        let found = Found::new(container, id.to_owned());
        Ok(Service { found, update: Update::Done, spec, version: 0 })
    }

    /// The same service with so many tasks.
    pub fn scaled(&self, tasks: i64) -> ServiceSpec {
        ServiceSpec { mode: Some(service::replicas(tasks)), ..self.spec.clone() }
    }

    /// The same service with its tasks made anew.
    pub fn renewed(&self) -> ServiceSpec {
        let mut spec = self.scaled(1);
        if let Some(template) = &mut spec.task_template {
            template.force_update = Some(template.force_update.unwrap_or_default() + 1);
        }
        spec
    }

    /// `spec` as a change of this service: its tasks are made anew at least as often as before.
    pub fn changed_to(&self, mut spec: ServiceSpec) -> ServiceSpec {
        let before = self.spec.task_template.as_ref().and_then(|template| template.force_update);
        if let Some(template) = &mut spec.task_template {
            template.force_update = before;
        }
        spec
    }

    /// Whether it is to have no task at all.
    pub fn is_stopped(&self) -> bool {
        state::wanted(&self.spec) == 0
    }
}

impl Engine {
    /// The service of that name; nothing when there is none.
    pub fn service(&self, name: &ContainerId) -> Result<Option<Service>> {
        let doing = format!("inspect service {name}");
        let answer = self.ask(async |swarm| swarm.inspect_service(name.as_str(), None).await);
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) if is_missing(&why) => return Ok(None),
            Err(why) => return Err(refusal(doing, &why)),
        };
        // The beginning of an id is taken for a name.
        let its_name = answer.spec.as_ref().and_then(|spec| spec.name.as_deref());
        if its_name != Some(name.as_str()) {
            return Ok(None);
        }
        let id = answer.id.clone().unwrap_or_default();
        let filters = HashMap::from([("service", vec![id])]);
        let tasks = self.tasks(Some(&filters))?;
        let nodes = self.nodes()?;
        self.read(answer, tasks, &nodes, &self.network_names()?).map(Some)
    }

    /// The services of one owner, or of anybody, with all of these labels, each `NAME` or
    /// `NAME=VALUE`; for each that has no form as a document an error in its place.
    pub fn services(&self, owner: Option<&Owner>, labels: &[String]) -> Result<Vec<Result<Found>>> {
        let owner = owner.map(|owner| format!("{OWNER}={owner}"));
        let labels: Vec<String> = owner.into_iter().chain(labels.iter().cloned()).collect();
        let filters: HashMap<_, _> =
            std::iter::once(("label", labels)).filter(|(_, labels)| !labels.is_empty()).collect();
        let options = ListServicesOptionsBuilder::default().filters(&filters).build();
        let services = self
            .ask(async |swarm| swarm.list_services(Some(options)).await)
            .map_err(|why| refusal(format_args!("list services of {}", self.url), &why))?;
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let mut tasks: HashMap<String, Vec<Task>> = HashMap::new();
        for task in self.tasks(None)? {
            tasks.entry(task.service_id.clone().unwrap_or_default()).or_default().push(task);
        }
        let (nodes, networks) = (self.nodes()?, self.network_names()?);
        let read = services.into_iter().map(|service| {
            let of = service.id.as_deref().and_then(|id| tasks.remove(id)).unwrap_or_default();
            self.read(service, of, &nodes, &networks).map(|service| service.found)
        });
        Ok(read.collect())
    }

    /// The services with these ids, in their order. One that is not there, or has no form as a
    /// document, is nothing in its place.
    pub fn look_at_services(&self, ids: &[String]) -> Vec<Result<Option<Found>>> {
        let found = match self.services(None, &[]) {
            Ok(found) => found.into_iter().flatten(),
            Err(why) => return ids.iter().map(|_| Err(why.clone())).collect(),
        };
        let mut found: HashMap<String, Found> =
            found.map(|found| (found.docker_id.clone(), found)).collect();
        ids.iter().map(|id| Ok(found.remove(id))).collect()
    }

    /// The ids of the secrets and configs that the document names, as far as the swarm has them.
    pub fn files(&self, container: &Container) -> Result<Files> {
        let mut files = Files::default();
        if !container.secrets.is_empty() {
            let there = self
                .ask(async |swarm| swarm.list_secrets(None).await)
                .map_err(|why| refusal("list secrets", &why))?;
            files.secrets = there
                .into_iter()
                .filter_map(|secret| Some((secret.spec?.name?, secret.id?)))
                .collect();
        }
        if !container.configs.is_empty() {
            let there = self
                .ask(async |swarm| swarm.list_configs(None).await)
                .map_err(|why| refusal("list configs", &why))?;
            files.configs = there
                .into_iter()
                .filter_map(|config| Some((config.spec?.name?, config.id?)))
                .collect();
        }
        Ok(files)
    }

    fn read(
        &self,
        answer: Answer,
        tasks: Vec<Task>,
        nodes: &HashMap<String, String>,
        networks: &HashMap<String, String>,
    ) -> Result<Service> {
        let spec = answer.spec.unwrap_or_default();
        let id = answer.id.unwrap_or_default();
        let Standing { state, docker, ended } = Standing::of(&id, &spec, tasks, nodes);
        let document = read::document(&spec, networks)?;
        let named = document.networks.iter().filter_map(|network| match network {
            Network::Docker(docker) => Some(docker.network.to_string()),
            Network::Link(_) => None,
        });
        Ok(Service {
            found: Found {
                docker_id: id,
                ended: ended.filter(|_| state != State::Running),
                labels: spec.labels.clone().unwrap_or_default(),
                joined: named.collect(),
                image_id: String::new(),
                unnamed: Default::default(),
                half: None,
                container: Box::new(Container {
                    state: Some(state),
                    docker: Some(docker),
                    ..document
                }),
            },
            update: answer.update_status.map_or(Update::Done, |status| {
                let why = status.message.unwrap_or_default();
                match status.state {
                    Some(ServiceUpdateStatusStateEnum::UPDATING) => Update::Underway,
                    Some(ServiceUpdateStatusStateEnum::ROLLBACK_STARTED) => Update::Underway,
                    Some(
                        ServiceUpdateStatusStateEnum::PAUSED
                        | ServiceUpdateStatusStateEnum::ROLLBACK_PAUSED
                        | ServiceUpdateStatusStateEnum::ROLLBACK_COMPLETED,
                    ) => Update::Failed(why),
                    _ => Update::Done,
                }
            }),
            version: answer.version.and_then(|version| version.index).unwrap_or_default(),
            spec,
        })
    }

    fn tasks(&self, filters: Option<&HashMap<&str, Vec<String>>>) -> Result<Vec<Task>> {
        let options = filters.map(|f| ListTasksOptionsBuilder::default().filters(f).build());
        self.ask(async |swarm| swarm.list_tasks(options).await)
            .map_err(|why| refusal("list tasks", &why))
    }

    /// The host names of the nodes, by id.
    fn nodes(&self) -> Result<HashMap<String, String>> {
        let nodes = self
            .ask(async |swarm| swarm.list_nodes(None::<ListNodesOptions>).await)
            .map_err(|why| refusal("list nodes", &why))?;
        Ok(nodes
            .into_iter()
            .filter_map(|node| Some((node.id?, node.description?.hostname?)))
            .collect())
    }

    /// The names of the networks, by id.
    fn network_names(&self) -> Result<HashMap<String, String>> {
        let networks = self
            .ask(async |swarm| swarm.list_networks(None).await)
            .map_err(|why| refusal(format_args!("list networks of {}", self.url), &why))?;
        Ok(networks.into_iter().filter_map(|network| Some((network.id?, network.name?))).collect())
    }

    fn ask<T>(
        &self,
        call: impl AsyncFnOnce(Docker) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        self.carrier.block_on(call(self.docker.clone().with_timeout(PATIENCE)))
    }
}

/// The failure of a call that only a manager answers.
fn refusal(what: impl Display, why: &Failure) -> Error {
    let text = why.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["not a swarm manager"]) {
        let error = Error::new(Kind::Refused, what).why("the engine is no manager of a swarm");
        return error.remedy("name the URL of a manager");
    }
    if says(&[
        "does not have a leader",
        "lost leader status",
        "DeadlineExceeded",
        "deadline exceeded",
        "code = Unavailable",
    ]) {
        let error = Error::new(Kind::Unavailable, what).why("the swarm has no leader now");
        return error.remedy("run it again when most of its managers are there");
    }
    failure(what, why)
}
