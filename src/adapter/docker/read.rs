//! What the engine says of a container, as a document.
//!
//! A container of the suite's own carries its document in a label. Any other is read from what the
//! engine knows, less what its image and the engine itself bring along: what is left is what somebody
//! asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum,
    EndpointSettings, HostConfig, ImageConfig, MountPoint, RestartPolicy, RestartPolicyNameEnum,
};
use jiff::Timestamp;

use super::half::{self, HalfDone};
use super::list::{beyond, known, known_set, parsed, sorted, unlike};
use super::origin::{Brought, Defaults};
use super::{endpoint, health, label, limits, mounts, ports};
use crate::error::{Error, Kind, Result};
use crate::record::{
    Container, ContainerId, Docker, Hostname, Image, Published, Restart, Signal, State, Words,
};

/// The signal that Docker sends where neither container nor image says which.
const STOP_SIGNAL: &str = "SIGTERM";

/// A container that an engine has.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its document, with `state`, `docker`, and `owner` when it is the suite's own.
    pub container: Box<Container>,
    /// The engine's own id of it: 64 hex digits.
    pub docker_id: String,
    /// How its command ended, in words, when it has.
    pub ended: Option<String>,
    /// All of its labels, the image's and the suite's too.
    pub labels: HashMap<String, String>,
    /// The networks of Docker's that it is in, by name.
    pub joined: Vec<String>,
    /// The image's own id.
    pub image_id: String,
    /// Mount points of its volumes without a name, with the names that the engine gave them.
    pub unnamed: BTreeMap<String, String>,
    /// Which half of a replacement it is that has not ended; the container is nobody's meanwhile.
    pub half: Option<HalfDone>,
}

impl Found {
    /// One of which no more is known.
    pub fn new(container: Container, docker_id: String) -> Found {
        Found {
            container: Box::new(container),
            docker_id,
            ended: None,
            labels: HashMap::new(),
            joined: Vec::new(),
            image_id: String::new(),
            unnamed: BTreeMap::new(),
            half: None,
        }
    }
}

/// What the engine said, with the parts that must be there.
pub(super) struct Inspected {
    name: ContainerId,
    docker_id: String,
    /// The image's own id.
    pub(super) image_id: String,
    config: ContainerConfig,
    host: HostConfig,
    state: ContainerState,
    sandbox: Option<String>,
    endpoints: HashMap<String, EndpointSettings>,
    published: Vec<Published>,
    mounts: Vec<MountPoint>,
}

/// What has to be known beside a container to tell what of it was asked for.
pub(super) struct Around<'a> {
    pub(super) image: Arc<Brought>,
    pub(super) defaults: &'a Defaults,
    /// The names of the containers in [`Inspected::others`], by id.
    pub(super) names: HashMap<String, String>,
}

impl Inspected {
    /// Takes the parts of an answer.
    ///
    /// # Errors
    /// `BadInput` when the container's name is longer than a document's may be, or a part is not
    /// there.
    pub(super) fn of(answer: ContainerInspectResponse) -> Result<Inspected> {
        let docker_id = answer.id.unwrap_or_default();
        let name = answer.name.unwrap_or_default();
        let name = name.strip_prefix('/').unwrap_or(&name).parse();
        let lacks = |what: &str| {
            Error::new(Kind::BadInput, format_args!("read container {docker_id}"))
                .why(format_args!("the Docker engine's answer has no {what}"))
        };
        let network = answer.network_settings.unwrap_or_default();
        Ok(Inspected {
            name: name.map_err(|why| {
                Error::new(Kind::BadInput, format_args!("read container {docker_id}")).why(why)
            })?,
            image_id: answer.image.unwrap_or_default(),
            config: answer.config.ok_or_else(|| lacks("configuration"))?,
            host: answer.host_config.unwrap_or_default(),
            state: answer.state.ok_or_else(|| lacks("state"))?,
            sandbox: network.sandbox_key.filter(|key| !key.is_empty()),
            endpoints: network.networks.unwrap_or_default(),
            published: network.ports.as_ref().map(ports::there).unwrap_or_default(),
            mounts: answer.mounts.unwrap_or_default(),
            docker_id,
        })
    }

    /// The document that a container of the suite's own was made from; nothing for any other.
    pub(super) fn declared(&self) -> Option<Container> {
        let (owner, document) = label::read(self.config.labels.as_ref()?, &self.name)?;
        Some(Container { owner: Some(owner), ..document })
    }

    /// The ids of the containers whose network, IPC or processes it shares. Docker keeps ids where
    /// names were given.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        let modes = [&self.host.network_mode, &self.host.ipc_mode, &self.host.pid_mode];
        modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix("container:"))
    }

    /// The document that would make this container.
    ///
    /// What a document has no form for, such as an environment variable without a value, is left
    /// out.
    ///
    /// # Errors
    /// `BadInput` when the image's name is not one that a document may say.
    pub(super) fn derived(&self, around: &Around) -> Result<Container> {
        let (config, host, image) = (&self.config, &self.host, &around.image.config);
        let (entrypoint, cmd) = command(config, image);
        let document = Container {
            cmd,
            entrypoint,
            env: beyond(&config.env, &image.env).filter_map(parsed).collect(),
            ports: ports::published(config, host),
            expose: ports::listened_on(config, host, image),
            volumes: mounts::volumes(config, host, image),
            volumes_from: known_set(&host.volumes_from),
            tmpfs: mounts::tmpfs(host),
            user: unlike(&config.user, &image.user),
            workdir: unlike(&config.working_dir, &image.working_dir),
            hostname: self.hostname(),
            labels: labels(config, image),
            restart: host.restart_policy.as_ref().and_then(restart),
            dns: known(&host.dns),
            dns_search: known(&host.dns_search),
            extra_hosts: known_set(&host.extra_hosts),
            sysctls: sorted(&host.sysctls),
            cap_add: capabilities(&host.cap_add),
            cap_drop: capabilities(&host.cap_drop),
            privileged: host.privileged.unwrap_or_default(),
            read_only: host.readonly_rootfs.unwrap_or_default(),
            healthcheck: health::told(config.healthcheck.as_ref(), image.healthcheck.as_ref()),
            stop_signal: stop_signal(config, image),
            stop_timeout: config.stop_timeout.and_then(|t| u32::try_from(t).ok()),
            init: host.init,
            ipc: around.mode(&host.ipc_mode).filter(|mode| mode != "private").and_then(own),
            pid: around.mode(&host.pid_mode).and_then(own),
            platform: around.defaults.platform(&around.image),
            ..limits::told(host, around.defaults, self.bare()?)
        };
        Ok(self.with_networks(around, around.defaults.logging(host, document)))
    }

    /// The document with the networks that the container is in.
    fn with_networks(&self, around: &Around, document: Container) -> Container {
        let mode = around.mode(&self.host.network_mode).unwrap_or_default();
        // Each is known by the beginning of its id, and by its host name.
        let short = self.docker_id.get(..12).unwrap_or(&self.docker_id);
        let name = self.config.hostname.as_deref().unwrap_or_default();
        let given = [short, &self.docker_id, name];
        endpoint::told(&mode, &self.endpoints, &self.host.links, &given, document)
    }

    /// The document that says which container and image, and no more.
    fn bare(&self) -> Result<Container> {
        let image = self.config.image.as_deref().unwrap_or_default();
        let image: Image = image.parse().or_else(|_| self.image_id.parse()).map_err(|why| {
            Error::new(Kind::BadInput, format_args!("read container {}", self.name)).why(why)
        })?;
        Ok(Container::new(self.name.clone(), image))
    }

    /// The host name, unless it is Docker's own choice or the host's.
    fn hostname(&self) -> Option<Hostname> {
        let name = self.config.hostname.as_deref().filter(|n| !n.is_empty())?;
        let mode = self.host.network_mode.as_deref().unwrap_or_default();
        if self.docker_id.starts_with(name) || mode == "host" || mode.starts_with("container:") {
            return None;
        }
        match self.config.domainname.as_deref() {
            Some(domain) if !domain.is_empty() => format!("{name}.{domain}").parse().ok(),
            _ => name.parse().ok(),
        }
    }

    /// The volumes without a name: those that were neither asked for by one nor are in the label of
    /// a container that has them from another.
    fn unnamed(&self) -> BTreeMap<String, String> {
        let kept = self.config.labels.as_ref().map(half::kept).unwrap_or_default();
        let binds = self.host.binds.iter().flatten().filter_map(|bind| bind.split(':').next());
        let mounts = self.host.mounts.iter().flatten().filter_map(|mount| mount.source.as_deref());
        let asked: Vec<&str> = binds.chain(mounts).collect();
        let volumes = self.mounts.iter().filter(|mount| mount.typ.as_deref() == Some("volume"));
        let named =
            volumes.filter_map(|mount| Some((mount.destination.clone()?, mount.name.clone()?)));
        named.filter(|(_, name)| kept.contains(name) || !asked.contains(&name.as_str())).collect()
    }

    /// The container with `document`, and what the engine knows of it now.
    pub(super) fn found(self, document: Container) -> Found {
        let running = self.state.running == Some(true);
        let pid = self.state.pid.and_then(|p| i32::try_from(p).ok()).filter(|p| *p > 0);
        let unnamed = self.unnamed();
        let half = self.config.labels.as_ref().and_then(|labels| half::read(labels, &self.name));
        let docker = Docker {
            pid,
            started_at: started_at(&self.state),
            netns: self.sandbox.filter(|_| running && pid.is_some()),
            ports: self.published,
            ..Docker::new(self.docker_id.clone())
        };
        Found {
            image_id: self.image_id,
            unnamed,
            half,
            ended: ended(&self.state),
            docker_id: self.docker_id,
            labels: self.config.labels.unwrap_or_default(),
            joined: self.endpoints.into_keys().collect(),
            container: Box::new(Container {
                state: state(&self.state),
                docker: Some(docker),
                ..document
            }),
        }
    }
}

pub(super) fn state(state: &ContainerState) -> Option<State> {
    Some(match state.status? {
        ContainerStateStatusEnum::EMPTY => return None,
        ContainerStateStatusEnum::CREATED => State::Created,
        // Podman's word for one that was asked to end and has not yet.
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING => State::Running,
        ContainerStateStatusEnum::PAUSED => State::Paused,
        ContainerStateStatusEnum::RESTARTING => State::Restarting,
        ContainerStateStatusEnum::REMOVING => State::Removing,
        ContainerStateStatusEnum::EXITED => State::Exited,
        ContainerStateStatusEnum::DEAD => State::Dead,
    })
}

/// When it was last started; Docker writes the year 1 for never.
pub(super) fn started_at(state: &ContainerState) -> Option<Timestamp> {
    let at: Timestamp = state.started_at.as_deref()?.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}

fn ended(state: &ContainerState) -> Option<String> {
    if !matches!(
        state.status?,
        ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::RESTARTING
    ) {
        return None;
    }
    let status = state.exit_code.unwrap_or_default();
    Some(match state.error.as_deref() {
        Some(why) if !why.is_empty() => format!("exit status {status}: {why}"),
        _ if state.oom_killed == Some(true) => format!("exit status {status}: out of memory"),
        _ => format!("exit status {status}"),
    })
}

/// The entry point and command that were asked for. An entry point of one's own leaves the image's
/// command out, so one without a command must be told even where it is the image's own.
fn command(config: &ContainerConfig, image: &ImageConfig) -> (Option<Words>, Option<Words>) {
    let same = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| {
        a.as_deref().unwrap_or_default() == b.as_deref().unwrap_or_default()
    };
    let list = |words: &Option<Vec<String>>| words.clone().map(Words::List);
    let no_cmd = config.cmd.as_ref().is_none_or(Vec::is_empty);
    let same_entrypoint = same(&config.entrypoint, &image.entrypoint);
    if same_entrypoint && same(&config.cmd, &image.cmd) {
        (None, None)
    } else if same_entrypoint && !no_cmd {
        (None, list(&config.cmd))
    } else {
        let entrypoint = config.entrypoint.clone().unwrap_or_default();
        (Some(Words::List(entrypoint)), list(&config.cmd).filter(|_| !no_cmd))
    }
}

/// The signal that was asked for, unless it is the one that would be sent anyway.
fn stop_signal(config: &ContainerConfig, image: &ImageConfig) -> Option<Signal> {
    let set = |signal: &Option<String>| signal.clone().filter(|signal| !signal.is_empty());
    let usual = set(&image.stop_signal).unwrap_or_else(|| STOP_SIGNAL.to_owned());
    set(&config.stop_signal).filter(|signal| *signal != usual).and_then(|signal| parsed(&signal))
}

/// Labels beyond the image's, and none that would claim the container for the suite.
fn labels(config: &ContainerConfig, image: &ImageConfig) -> BTreeMap<String, String> {
    let of_image = |name: &String| image.labels.as_ref().and_then(|labels| labels.get(name));
    config
        .labels
        .iter()
        .flatten()
        .filter(|(name, value)| of_image(name) != Some(value) && !name.starts_with(label::PREFIX))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn restart(policy: &RestartPolicy) -> Option<Restart> {
    let times = || u32::try_from(policy.maximum_retry_count.unwrap_or_default());
    match policy.name? {
        RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO => None,
        RestartPolicyNameEnum::ALWAYS => Some(Restart::Always),
        RestartPolicyNameEnum::UNLESS_STOPPED => Some(Restart::UnlessStopped),
        RestartPolicyNameEnum::ON_FAILURE => Some(Restart::OnFailure(times().ok()?)),
    }
}

/// Docker writes capabilities with or without `CAP_`, as it was given them.
fn capabilities(names: &Option<Vec<String>>) -> Vec<String> {
    let short = |name: &String| name.strip_prefix("CAP_").unwrap_or(name).to_owned();
    names.iter().flatten().map(short).collect()
}

impl Around<'_> {
    /// A mode in which another container may stand by its id, with that one's name.
    fn mode(&self, mode: &Option<String>) -> Option<String> {
        let mode = mode.as_deref().filter(|mode| !mode.is_empty())?;
        let other = mode.strip_prefix("container:").and_then(|id| self.names.get(id));
        Some(other.map_or_else(|| mode.to_owned(), |name| format!("container:{name}")))
    }
}

fn own<T: std::str::FromStr>(text: String) -> Option<T> {
    parsed(&text)
}

#[cfg(test)]
mod tests;
