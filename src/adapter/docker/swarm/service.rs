//! A container document as the specification of a service with one task.
//!
//! Each document becomes a service of its own, also the replicas that cccf-scale(1) has made of one:
//! each has a name, an identity and addresses of its own, and what is compared is documents.

use std::collections::HashMap;

use bollard::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum as Protocol,
    EndpointPortConfigPublishModeEnum as PublishMode, EndpointSpec, EndpointSpecModeEnum, Limit,
    NetworkAttachmentConfig, ResourcesUlimits, ServiceSpec, ServiceSpecMode,
    ServiceSpecModeReplicated, ServiceSpecRollbackConfig, ServiceSpecUpdateConfig,
    ServiceSpecUpdateConfigFailureActionEnum as FailureAction,
    ServiceSpecUpdateConfigOrderEnum as Order, TaskSpec, TaskSpecContainerSpec,
    TaskSpecContainerSpecConfigs, TaskSpecContainerSpecDnsConfig, TaskSpecContainerSpecFile,
    TaskSpecContainerSpecFile1, TaskSpecContainerSpecSecrets, TaskSpecLogDriver, TaskSpecResources,
    TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum as Condition,
};

use super::{Files, cannot, mounts, placement};
use crate::adapter::docker::kernel::Kernel;
use crate::adapter::docker::list::{entries, filled, words};
use crate::adapter::docker::{Joins, create, health, label, limits};
use crate::error::Result;
use crate::record::{
    Container, DockerNetwork, FileMode, Network, Owner, Port, Restart, SwarmFile, Transport, Words,
};

const NANOS_A_SECOND: i64 = 1_000_000_000;

/// What a file of a swarm may be used for where nothing is said: to be read by anybody.
pub(super) const READABLE: u32 = 0o444;

/// Where the ports of services are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// On the node where the container runs.
    Host,
    /// On every node, by the swarm's own balancer of load, for which their kernels need IPVS.
    Ingress,
}

/// What the swarm is to be asked for so that `container` comes to be on one of its nodes, as one of
/// `owner`'s.
///
/// # Errors
/// `Refused` for what no service can have, with the field's name, and when the document takes a label
/// that is the suite's. `BadInput` for networks and ports that do not go together.
pub fn spec(
    container: &Container,
    owner: &Owner,
    kernel: Kernel,
    files: &Files,
    publish: Publish,
) -> Result<ServiceSpec> {
    create::refuse_labels(container)?;
    cannot::refuse(container)?;
    let joins = Joins::of(container)?;
    let labels = label::labels(container, owner);
    let mut template = TaskSpec {
        container_spec: Some(inside(container, &joins, kernel, files)?),
        resources: resources(container)?,
        restart_policy: container.restart.map(restart_policy),
        placement: placement::placement(container)?,
        networks: networks(container, &joins)?,
        log_driver: log_driver(container),
        ..Default::default()
    };
    if let Some(inside) = &mut template.container_spec {
        inside.labels = Some(labels.clone());
    }
    Ok(ServiceSpec {
        name: Some(container.id.to_string()),
        labels: Some(labels),
        task_template: Some(template),
        mode: Some(replicas(1)),
        update_config: Some(update(container)),
        rollback_config: Some(ServiceSpecRollbackConfig::default()),
        endpoint_spec: Some(endpoint(&container.ports, publish)),
        ..Default::default()
    })
}

/// So many tasks.
pub(super) fn replicas(count: i64) -> ServiceSpecMode {
    ServiceSpecMode {
        replicated: Some(ServiceSpecModeReplicated { replicas: Some(count) }),
        ..Default::default()
    }
}

fn inside(
    container: &Container,
    joins: &Joins,
    kernel: Kernel,
    files: &Files,
) -> Result<TaskSpecContainerSpec> {
    let domains = words(&container.dns_search);
    let servers = words(&container.dns);
    let dns = (servers.is_some() || domains.is_some()).then_some(TaskSpecContainerSpecDnsConfig {
        nameservers: servers,
        search: domains,
        options: None,
    });
    Ok(TaskSpecContainerSpec {
        image: Some(container.image.to_string()),
        command: container.entrypoint.as_ref().map(create::entrypoint),
        args: container.cmd.as_ref().map(Words::to_vec),
        hostname: container.hostname.as_ref().map(ToString::to_string),
        env: words(&container.env),
        dir: container.workdir.clone(),
        user: container.user.clone(),
        read_only: container.read_only.then_some(true),
        mounts: mounts::asked(container)?,
        stop_signal: container.stop_signal.as_ref().map(ToString::to_string),
        stop_grace_period: container.stop_timeout.map(|s| i64::from(s) * NANOS_A_SECOND),
        health_check: container.healthcheck.as_ref().map(health::asked),
        hosts: filled(container.extra_hosts.iter().map(|host| line_of_hosts(host.as_str()))),
        dns_config: dns,
        secrets: filled(secrets(container, files)?),
        configs: filled(configs(container, files)?),
        init: container.init,
        sysctls: entries(kernel.settings(container, &joins.mode)),
        capability_add: filled(container.cap_add.iter().map(|name| capability(name))),
        capability_drop: filled(container.cap_drop.iter().map(|name| capability(name))),
        ulimits: filled(container.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
            name: Some(name.clone()),
            soft: Some(limit.soft),
            hard: Some(limit.hard),
        })),
        ..Default::default()
    })
}

/// Swarms want the form of hosts(5): the address first.
fn line_of_hosts(host: &str) -> String {
    let (name, address) = host.split_once(':').unwrap_or((host, ""));
    format!("{address} {name}")
}

/// Engines read both forms of a name; the longer one is what `docker service` writes.
fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

fn secrets(container: &Container, files: &Files) -> Result<Vec<TaskSpecContainerSpecSecrets>> {
    let one = |secret: &SwarmFile| {
        let (target, uid, gid, mode) = file(secret, String::new());
        Ok(TaskSpecContainerSpecSecrets {
            secret_id: Some(files.secret(secret.source.as_str())?.to_owned()),
            secret_name: Some(secret.source.to_string()),
            file: Some(TaskSpecContainerSpecFile { name: target, uid, gid, mode }),
        })
    };
    container.secrets.iter().map(one).collect()
}

fn configs(container: &Container, files: &Files) -> Result<Vec<TaskSpecContainerSpecConfigs>> {
    let one = |config: &SwarmFile| {
        let (target, uid, gid, mode) = file(config, "/".to_owned());
        Ok(TaskSpecContainerSpecConfigs {
            config_id: Some(files.config(config.source.as_str())?.to_owned()),
            config_name: Some(config.source.to_string()),
            file: Some(TaskSpecContainerSpecFile1 { name: target, uid, gid, mode }),
            ..Default::default()
        })
    };
    container.configs.iter().map(one).collect()
}

type FileParts = (Option<String>, Option<String>, Option<String>, Option<u32>);

/// Where a file is, whose, and what may be done with it; without a target it is in `dir`.
fn file(file: &SwarmFile, dir: String) -> FileParts {
    let target = file.target.clone().unwrap_or_else(|| format!("{dir}{}", file.source));
    let number = |id: Option<u32>| Some(id.unwrap_or_default().to_string());
    let mode = file.mode.as_ref().map_or(READABLE, FileMode::bits);
    (Some(target), number(file.uid), number(file.gid), Some(mode))
}

fn resources(container: &Container) -> Result<Option<TaskSpecResources>> {
    let asked = limits::asked(container);
    let limits = Limit {
        nano_cpus: asked.nano_cpus,
        memory_bytes: asked.memory,
        pids: asked.pids_limit.filter(|limit| *limit > 0),
    };
    let limits = (limits != Limit::default()).then_some(limits);
    let reservations = placement::reservations(container)?;
    let any = limits.is_some() || reservations.is_some();
    Ok(any.then(|| TaskSpecResources { limits, reservations, ..Default::default() }))
}

/// Without a policy a swarm replaces a task that has ended, wherever its node is.
fn restart_policy(restart: Restart) -> TaskSpecRestartPolicy {
    let (condition, times) = match restart {
        Restart::No => (Condition::NONE, None),
        Restart::Always | Restart::UnlessStopped => (Condition::ANY, None),
        Restart::OnFailure(times) => {
            (Condition::ON_FAILURE, (times > 0).then_some(i64::from(times)))
        }
    };
    TaskSpecRestartPolicy { condition: Some(condition), max_attempts: times, ..Default::default() }
}

/// The networks of the swarm, and `host`, by name. Without any a container is on its node's bridge.
fn networks(container: &Container, joins: &Joins) -> Result<Option<Vec<NetworkAttachmentConfig>>> {
    let named = container.networks.iter().filter_map(|network| match network {
        Network::Docker(network) => Some(network),
        Network::Link(_) => None,
    });
    let known: HashMap<&str, &DockerNetwork> =
        named.map(|network| (network.network.as_str(), network)).collect();
    known.values().try_for_each(|network| cannot::refuse_addresses(network))?;
    let host = (joins.mode == "host").then_some("host");
    let all = joins.names().chain(host).map(|name| NetworkAttachmentConfig {
        target: Some(name.to_owned()),
        aliases: known.get(name).and_then(|network| words(&network.aliases)),
        driver_opts: None,
    });
    Ok(filled(all))
}

/// Options without a driver are for the one that the node's engine uses.
fn log_driver(container: &Container) -> Option<TaskSpecLogDriver> {
    let options = entries(container.log_options.clone());
    let driver = &container.log_driver;
    (driver.is_some() || options.is_some())
        .then(|| TaskSpecLogDriver { name: driver.clone(), options })
}

/// A name stands for the addresses of tasks and not for one that is balanced: there is one task.
fn endpoint(ports: &[Port], publish: Publish) -> EndpointSpec {
    let (mode, publish) = match publish {
        Publish::Ingress if !ports.is_empty() => (EndpointSpecModeEnum::VIP, PublishMode::INGRESS),
        _ => (EndpointSpecModeEnum::DNSRR, PublishMode::HOST),
    };
    let port = |port: &Port| EndpointPortConfig {
        name: None,
        protocol: Some(match port.transport {
            Transport::Tcp => Protocol::TCP,
            Transport::Udp => Protocol::UDP,
            Transport::Sctp => Protocol::SCTP,
        }),
        target_port: Some(port.container.into()),
        published_port: (port.host != 0).then_some(port.host.into()),
        publish_mode: Some(publish),
    };
    EndpointSpec { mode: Some(mode), ports: filled(ports.iter().map(port)) }
}

/// How one task follows another: the new one first, unless both cannot be there at a time. A new one
/// that fails is taken back.
fn update(container: &Container) -> ServiceSpecUpdateConfig {
    let order =
        if has_what_only_one_can(container) { Order::STOP_FIRST } else { Order::START_FIRST };
    ServiceSpecUpdateConfig {
        parallelism: Some(1),
        failure_action: Some(FailureAction::ROLLBACK),
        order: Some(order),
        ..Default::default()
    }
}

/// Ports of a node, and the addresses and identity that unionize(1) gives.
fn has_what_only_one_can(container: &Container) -> bool {
    let plugged = container.networks.iter().any(|network| matches!(network, Network::Link(_)));
    plugged
        || container.lease.is_some()
        || !container.addresses.is_empty()
        || container.ports.iter().any(|port| port.host != 0)
}
