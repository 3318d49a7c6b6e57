//! The Docker engine, through its HTTP interface.
//!
//! Calls block, and an [`Engine`] may be shared by many threads. Paths carry no version, so an
//! engine answers in its own newest one; every part of an answer that is used here is there since
//! API 1.41 (engine 20.10).
//!
//! Docker takes the beginning of an id for a name. So a container is looked up by name once, the
//! answer's name is compared, and from there on its whole id is used. The name of a network is compared
//! as well, and an image whose name could be such a beginning is named with its tag.

mod archive;
mod connect;
mod create;
mod endpoint;
mod error;
mod events;
mod half;
mod health;
mod inspector;
mod kernel;
mod label;
mod limits;
mod list;
mod mounts;
mod network;
mod operate;
mod origin;
mod podman;
mod ports;
mod pull;
mod read;
mod runtime;
mod settle;
mod ship;
mod sight;
mod stats;
mod survey;
pub mod swarm;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as Failure;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;

pub use connect::{Api, REACH, Release, here};
pub use create::body;
pub use endpoint::Joins;
pub use half::{Half, HalfDone, heir, kept};
pub use kernel::Kernel;
pub use label::{DECLARED, EXPIRES, KEY, OWNER, PREFIX};
pub use pull::Held;
pub use read::Found;
pub use runtime::Carriers;
pub use settle::Settled;
pub use ship::{Cargo, Feed, Unloaded, way};
pub use survey::{Ability, Survey};

use crate::error::{Error, Kind, Result};
use crate::record::{ContainerId, Endpoint, Owner, Platform};
use connect::{Connected, Forward};
use error::{failure, is_missing, status};
use inspector::Inspector;
use podman::once_clear;
use runtime::Carrier;

/// How long the engine may take to begin its answer when it is to do something.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take for the whole answer when it only has to look something up.
const QUICK: Duration = REACH;

/// How long it takes to look again whether a container that goes is there, if nothing is told of it.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of an id Docker writes where it shortens one.
const SHORT_ID: usize = 12;

/// How many containers are asked after at a time.
const AT_A_TIME: usize = 8;

/// A connection to one engine.
pub struct Engine {
    docker: Docker,
    carrier: Carrier,
    url: String,
    kernel: Kernel,
    release: Option<Release>,
    inspector: Arc<Inspector>,
    /// What carries the calls to another machine; it goes after all that uses it.
    _forward: Option<Forward>,
}

/// What became of the wish for a new container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is made; this is its id.
    Made(String),
    /// Another one has the name, or is being made with it.
    NameTaken,
    /// There is no such image here.
    ImageMissing,
}

impl Engine {
    /// Connects to an engine, whose bytes one of the carriers has from then on, and makes sure that it
    /// answers and is not too old. Nobody is ever asked for anything.
    ///
    /// # Errors
    /// `Unavailable` when nothing answers there, `TimedOut` when it does not in time,
    /// `NotPermitted` when it does not let this user in, `Refused` when it is not the one that it
    /// should be, is too old, or would have to be spoken to without encryption, `Usage` for a URL
    /// that is none.
    pub fn connect(carriers: &Carriers, endpoint: &Endpoint) -> Result<Engine> {
        Engine::connect_within(carriers, endpoint, REACH)
    }

    /// The same, for which all of it may take so long.
    pub fn connect_within(
        carriers: &Carriers,
        endpoint: &Endpoint,
        patience: Duration,
    ) -> Result<Engine> {
        let carrier = carriers
            .next()
            .map_err(|why| Error::io(format_args!("connect to {}", endpoint.url), &why))?;
        let Connected { docker, forward, release, is_here } =
            connect::connect(&carrier, endpoint, patience)?;
        let kernel = if is_here { Kernel::here() } else { Kernel::elsewhere() };
        Ok(Engine {
            inspector: Arc::new(Inspector::new(docker.clone(), &endpoint.url)),
            docker,
            carrier,
            url: endpoint.url.clone(),
            kernel,
            release,
            _forward: forward,
        })
    }

    /// Where the engine listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which engine it is, unless it does not say.
    pub fn release(&self) -> Option<&Release> {
        self.release.as_ref()
    }

    /// Makes sure that it is still there.
    ///
    /// # Errors
    /// `TimedOut` when it does not answer soon, and why it cannot be reached.
    pub fn answers(&self) -> Result<()> {
        let doing = || format!("reach {}", self.url);
        let asked = async { tokio::time::timeout(REACH, self.docker.ping()).await };
        match self.carrier.block_on(asked) {
            Ok(answer) => answer.map(drop).map_err(|why| failure(doing(), &why)),
            Err(_) => Err(Error::new(Kind::TimedOut, doing())
                .why(format_args!("no answer within {} s", REACH.as_secs()))),
        }
    }

    /// What is known of the kernel under the engine.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The ids of the containers, be they running or not: of one owner, or of anybody, and with all
    /// of these labels, each `NAME` or `NAME=VALUE`.
    pub fn list(&self, owner: Option<&Owner>, labels: &[String]) -> Result<Vec<String>> {
        let owner = owner.map(|owner| format!("{OWNER}={owner}"));
        let labels: Vec<String> = owner.into_iter().chain(labels.iter().cloned()).collect();
        let filters: HashMap<_, _> =
            std::iter::once(("label", labels)).filter(|(_, labels)| !labels.is_empty()).collect();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self
            .carrier
            .block_on(once_clear(|| self.docker.list_containers(Some(options.clone()))))
            .map_err(|why| failure(format_args!("list containers of {}", self.url), &why))?;
        Ok(listed.into_iter().filter_map(|summary| summary.id).collect())
    }

    /// The container of that name; nothing when there is none.
    pub fn find(&self, name: &ContainerId) -> Result<Option<Found>> {
        let found = self.look_at(name.as_str())?;
        Ok(found.filter(|found| found.container.id == *name))
    }

    /// The containers with these ids, in their order. One that is not there, or cannot be read, is
    /// nothing or an error in its place.
    pub fn look(&self, docker_ids: &[String]) -> Vec<Result<Option<Found>>> {
        if let [one] = docker_ids {
            return vec![self.look_at(one)];
        }
        let mut looked = Vec::with_capacity(docker_ids.len());
        let _ = self.look_each(docker_ids, |found| {
            looked.push(found);
            Ok(())
        });
        looked
    }

    /// The same, each handed over as soon as it and those before it are known, until that fails.
    pub fn look_each(
        &self,
        docker_ids: &[String],
        mut take: impl FnMut(Result<Option<Found>>) -> Result<()>,
    ) -> Result<()> {
        self.carrier.block_on(async {
            let looks = futures_util::stream::iter(docker_ids).map(|id| self.inspector.inspect(id));
            let mut looks = std::pin::pin!(looks.buffered(AT_A_TIME));
            while let Some(found) = looks.next().await {
                take(found)?;
            }
            Ok(())
        })
    }

    fn look_at(&self, name: &str) -> Result<Option<Found>> {
        let (inspector, name) = (self.inspector.clone(), name.to_owned());
        self.carrier.carry(|| async move { inspector.inspect(&name).await })
    }

    /// Makes a container called `name`, and does not start it.
    ///
    /// # Errors
    /// `Refused` when the engine would leave out something of what is asked for.
    pub fn create(
        &self,
        name: &ContainerId,
        platform: Option<&Platform>,
        body: Box<ContainerCreateBody>,
    ) -> Result<Created> {
        self.mind_gpus(&body)?;
        let mut options = CreateContainerOptionsBuilder::default().name(name.as_str());
        if let Some(platform) = platform {
            options = options.platform(platform.as_str());
        }
        let swap = body.host_config.as_ref().and_then(|host| host.memory_swap);
        let swap = swap.is_some_and(|swap| swap > 0);
        let (docker, options) = (self.docker.clone(), options.build());
        let made = move || async move { docker.create_container(Some(options), *body).await };
        match self.carrier.carry(made) {
            Ok(made) => match made.warnings.iter().find(|warning| is_loss(warning, swap)) {
                Some(loss) => {
                    self.remove(&made.id)?;
                    Err(Error::new(Kind::Refused, "create container").why(loss))
                }
                None => Ok(Created::Made(made.id)),
            },
            Err(why) => match (status(&why), why.to_string().to_lowercase()) {
                (Some(409), _) => Ok(Created::NameTaken),
                (Some(_), text) if podman::is_name_taken(&text) => Ok(Created::NameTaken),
                (Some(_), text) if is_image_missing(&text) => Ok(Created::ImageMissing),
                _ => Err(failure("create container", &why)),
            },
        }
    }

    /// Starts a container; does nothing to one that runs.
    pub fn start(&self, docker_id: &str) -> Result<()> {
        let (docker, id) = (self.docker.clone(), docker_id.to_owned());
        self.carrier
            .carry(|| async move { docker.start_container(&id, None).await })
            .map_err(|why| failure("start container", &why))
    }

    /// Takes a container away, with its anonymous volumes, whatever state it is in, and returns
    /// once it is gone. One that is gone already is no error.
    pub fn remove(&self, docker_id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().v(true).force(true).build();
        let (docker, id) = (self.docker.clone(), docker_id.to_owned());
        let removed = || async move { docker.remove_container(&id, Some(options)).await };
        match self.carrier.carry(removed) {
            Ok(()) => Ok(()),
            Err(why) if is_missing(&why) => Ok(()),
            // Somebody else is taking it away.
            Err(why) if status(&why) == Some(409) => self.wait_gone(docker_id),
            Err(why) => Err(failure("remove container", &why)),
        }
    }

    /// Waits until a container that is being taken away is gone.
    pub fn wait_gone(&self, docker_id: &str) -> Result<()> {
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let gone = async {
            let mut wait = std::pin::pin!(self.docker.wait_container(docker_id, Some(options)));
            match wait.next().await {
                Some(Err(why)) if status(&why).is_some_and(|s| s != 404) => {
                    Err(failure("wait for container to go", &why))
                }
                _ => Ok(()),
            }
        };
        self.carrier.block_on(async {
            let (until, mut gone) = (Instant::now() + PATIENCE, std::pin::pin!(gone));
            loop {
                if let Ok(outcome) = tokio::time::timeout(AGAIN, &mut gone).await {
                    return outcome;
                }
                // Of one that goes while it is asked, an engine may never tell that it has gone.
                match self.inspector.inspected(docker_id).await {
                    Err(why) if is_missing(&why) => return Ok(()),
                    _ if Instant::now() < until => (),
                    _ => {
                        return Err(Error::new(Kind::TimedOut, "wait for container to go")
                            .why(format_args!("it is there after {} s", PATIENCE.as_secs())));
                    }
                }
            }
        })
    }
}

/// The answer to what the engine only has to look up. Nothing is changed by it, so nothing is left half
/// done when it is given up.
async fn soon<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(QUICK, asked).await.unwrap_or(Err(Failure::RequestTimeoutError))
}

/// Whether the engine warns that it does not do something that was asked for. Where its kernel
/// cannot limit swap it says so for each limit of memory.
fn is_loss(warning: &str, swap: bool) -> bool {
    warning.contains("discarded") || swap && warning.contains("without swap")
}

/// Whether the engine's refusal is that it does not have the image, or not for that platform.
fn is_image_missing(text: &str) -> bool {
    text.contains("no such image") || text.contains("does not match the specified platform")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_there_is_unavailable() {
        let connect = |url: &str| Engine::connect(&Carriers::default(), &Endpoint::at(url));
        let error = connect("unix:///nonexistent/docker.sock").err().unwrap();
        assert_eq!(error.kind(), Kind::Unavailable);
        let empty = std::env::temp_dir().join(format!("lp-docker-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&empty);
        drop(std::os::unix::net::UnixListener::bind(&empty).unwrap());
        let error = connect(&format!("unix://{}", empty.display())).err().unwrap();
        std::fs::remove_file(&empty).unwrap();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains("onnection refused"), "{error}");
    }
}
