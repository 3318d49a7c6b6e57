//! What a swarm says of a service, as the document of a container.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerConfig, EndpointPortConfig, EndpointPortConfigProtocolEnum as Protocol, HostConfig,
    ImageConfig, NetworkAttachmentConfig, ServiceSpec, TaskSpec, TaskSpecContainerSpec,
    TaskSpecResources, TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum as Condition,
};

use super::placement;
use crate::adapter::docker::limits;
use crate::adapter::docker::list::{known, known_set, parsed, sorted};
use crate::adapter::docker::origin::Defaults;
use crate::adapter::docker::{health, label, mounts};
use crate::error::{Error, Kind, Result};
use crate::record::{
    Container, ContainerId, DockerNetwork, FileMode, Image, Network, Object, Port, Restart,
    SwarmFile, Transport, Words,
};

const NANOS_A_SECOND: i64 = 1_000_000_000;

/// The document that a service of the suite's own was made from, with its owner; of any other what
/// would make the same. `networks` are names by id.
///
/// What a document has no form for is left out.
///
/// # Errors
/// `BadInput` when the service is none of one container's, or its name or image is not one that a
/// document may say.
pub(super) fn document(
    spec: &ServiceSpec,
    networks: &HashMap<String, String>,
) -> Result<Container> {
    let name = spec.name.as_deref().unwrap_or_default();
    let wrong = || Error::new(Kind::BadInput, format_args!("read service {name}"));
    let id: ContainerId = name.parse().map_err(|why| wrong().why(why))?;
    let ours = spec.labels.as_ref().and_then(|labels| label::read(labels, &id));
    if let Some((owner, document)) = ours {
        return Ok(Container { owner: Some(owner), ..document });
    }
    let template = spec.task_template.as_ref();
    let inside = template.and_then(|template| template.container_spec.as_ref());
    let (Some(template), Some(inside)) = (template, inside) else {
        return Err(wrong().why("it has no containers"));
    };
    let replicated = spec.mode.as_ref().map_or(Some(1), |mode| {
        mode.replicated.as_ref().map(|replicated| replicated.replicas.unwrap_or(1))
    });
    let Some(replicas) = replicated else {
        return Err(wrong().why("it is not of so many replicas, but global or a job"));
    };
    let image: Image =
        inside.image.as_deref().unwrap_or_default().parse().map_err(|why| wrong().why(why))?;
    let scale = u32::try_from(replicas).ok().filter(|count| *count > 1);
    let document = Container { scale, ..derived(Container::new(id, image), spec, inside) };
    Ok(with_template(document, template, spec, networks))
}

fn derived(bare: Container, spec: &ServiceSpec, inside: &TaskSpecContainerSpec) -> Container {
    let words = |words: &Option<Vec<String>>| words.clone().map(Words::List);
    let dns = inside.dns_config.as_ref();
    let host = HostConfig { mounts: inside.mounts.clone(), ..Default::default() };
    let endpoint = spec.endpoint_spec.as_ref();
    let mut ports: Vec<Port> =
        endpoint.and_then(|e| e.ports.as_ref()).into_iter().flatten().filter_map(port).collect();
    ports.sort_unstable();
    Container {
        entrypoint: words(&inside.command),
        cmd: words(&inside.args),
        env: known(&inside.env),
        ports,
        volumes: mounts::volumes(&ContainerConfig::default(), &host, &ImageConfig::default()),
        tmpfs: mounts::tmpfs(&host),
        secrets: secrets(inside),
        configs: configs(inside),
        user: set(&inside.user),
        workdir: set(&inside.dir),
        hostname: inside.hostname.as_deref().and_then(parsed),
        labels: labels(spec, inside),
        dns: dns.map(|dns| known(&dns.nameservers)).unwrap_or_default(),
        dns_search: dns.map(|dns| known(&dns.search)).unwrap_or_default(),
        extra_hosts: known_set(
            &inside
                .hosts
                .as_ref()
                .map(|hosts| hosts.iter().flat_map(|line| names_of(line)).collect()),
        ),
        sysctls: sorted(&inside.sysctls),
        cap_add: capabilities(&inside.capability_add),
        cap_drop: capabilities(&inside.capability_drop),
        read_only: inside.read_only.unwrap_or_default(),
        healthcheck: health::told(inside.health_check.as_ref(), None),
        stop_signal: inside.stop_signal.as_deref().and_then(parsed),
        stop_timeout: inside
            .stop_grace_period
            .and_then(|nanos| u32::try_from(nanos / NANOS_A_SECOND).ok()),
        init: inside.init,
        ..bare
    }
}

/// The document with what is said around the container itself.
fn with_template(
    document: Container,
    template: &TaskSpec,
    spec: &ServiceSpec,
    names: &HashMap<String, String>,
) -> Container {
    let resources = template.resources.as_ref();
    let inside = template.container_spec.as_ref();
    let reserved = resources.and_then(|resources| resources.reservations.as_ref());
    let log = template.log_driver.as_ref();
    // Older clients attach the service and not its tasks.
    let networks = template.networks.as_ref().or(spec.networks.as_ref());
    let networks: Vec<Network> =
        networks.into_iter().flatten().filter_map(|one| network(one, names)).collect();
    let ulimits = inside.and_then(|inside| inside.ulimits.clone());
    let limited = HostConfig { ulimits, ..limited(resources) };
    let is_host = |network: &Network| matches!(network, Network::Docker(docker) if docker.network.as_str() == "host");
    let mode = networks.iter().any(is_host).then(|| "host".to_owned());
    Container {
        network_mode: mode,
        networks: networks.into_iter().filter(|network| !is_host(network)).collect(),
        restart: template.restart_policy.as_ref().and_then(restart),
        requires: placement::told(template.placement.as_ref(), reserved),
        log_driver: log.and_then(|log| set(&log.name)),
        log_options: log.map(|log| sorted(&log.options)).unwrap_or_default(),
        ..limits::told(&limited, &Defaults::default(), document)
    }
}

/// Limits in the form in which an engine has them.
fn limited(resources: Option<&TaskSpecResources>) -> HostConfig {
    let limits = resources.and_then(|resources| resources.limits.clone()).unwrap_or_default();
    HostConfig {
        memory: limits.memory_bytes,
        nano_cpus: limits.nano_cpus,
        pids_limit: limits.pids,
        ..Default::default()
    }
}

fn set(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// The labels of the service and of its containers, without those that are the suite's own.
fn labels(spec: &ServiceSpec, inside: &TaskSpecContainerSpec) -> BTreeMap<String, String> {
    let mut labels = sorted(&spec.labels);
    labels.extend(sorted(&inside.labels));
    labels.retain(|name, _| !name.starts_with(label::PREFIX));
    labels
}

fn port(port: &EndpointPortConfig) -> Option<Port> {
    Some(Port {
        address: None,
        host: u16::try_from(port.published_port.unwrap_or_default()).ok()?,
        container: u16::try_from(port.target_port?).ok().filter(|port| *port > 0)?,
        transport: match port.protocol {
            Some(Protocol::UDP) => Transport::Udp,
            Some(Protocol::SCTP) => Transport::Sctp,
            _ => Transport::Tcp,
        },
    })
}

/// What a line of hosts(5) says, name by name.
fn names_of(line: &str) -> Vec<String> {
    let mut words = line.split_whitespace();
    let address = words.next().unwrap_or_default();
    words.map(|name| format!("{name}:{address}")).collect()
}

fn network(one: &NetworkAttachmentConfig, names: &HashMap<String, String>) -> Option<Network> {
    let target = one.target.as_deref()?;
    Some(Network::Docker(DockerNetwork {
        aliases: known_set(&one.aliases),
        ..DockerNetwork::named(names.get(target).map_or(target, String::as_str).parse().ok()?)
    }))
}

/// A service is restarted whenever it ends where nothing is said.
fn restart(policy: &TaskSpecRestartPolicy) -> Option<Restart> {
    let times = u32::try_from(policy.max_attempts.unwrap_or_default()).ok();
    match policy.condition? {
        Condition::EMPTY | Condition::ANY => None,
        Condition::NONE => Some(Restart::No),
        Condition::ON_FAILURE => times.map(Restart::OnFailure),
    }
}

fn capabilities(names: &Option<Vec<String>>) -> Vec<String> {
    let short = |name: &String| name.strip_prefix("CAP_").unwrap_or(name).to_owned();
    names.iter().flatten().map(short).collect()
}

fn secrets(inside: &TaskSpecContainerSpec) -> Vec<SwarmFile> {
    let one = |secret: &bollard::models::TaskSpecContainerSpecSecrets| {
        let file = secret.file.clone().unwrap_or_default();
        told(&secret.secret_name, "", (file.name, file.uid, file.gid, file.mode))
    };
    inside.secrets.iter().flatten().filter_map(one).collect()
}

fn configs(inside: &TaskSpecContainerSpec) -> Vec<SwarmFile> {
    let one = |config: &bollard::models::TaskSpecContainerSpecConfigs| {
        let file = config.file.clone().unwrap_or_default();
        told(&config.config_name, "/", (file.name, file.uid, file.gid, file.mode))
    };
    inside.configs.iter().flatten().filter_map(one).collect()
}

type FileParts = (Option<String>, Option<String>, Option<String>, Option<u32>);

/// A file of the swarm, without what it would be anyway.
fn told(source: &Option<String>, dir: &str, parts: FileParts) -> Option<SwarmFile> {
    let source = source.as_ref()?;
    let (target, uid, gid, mode) = parts;
    let number = |id: Option<String>| id?.parse().ok().filter(|id: &u32| *id != 0);
    Some(SwarmFile {
        target: target.filter(|target| *target != format!("{dir}{source}")),
        source: source.parse().ok()?,
        uid: number(uid),
        gid: number(gid),
        mode: mode.filter(|mode| *mode != super::service::READABLE).and_then(FileMode::of),
        rest: Object::default(),
    })
}
