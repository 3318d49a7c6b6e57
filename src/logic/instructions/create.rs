//! A container as the options of `docker run` and `docker create`.
//!
//! They stand in the order of the document's own fields, the name first, the image and the command
//! last, so that the same document always gives the same line.

use super::line::Line;
use super::quote::quote;
use super::{Labels, OWN};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Gpus, Healthcheck, Joins, Pull, Swap, Test, Words};

/// Appends the options, the image and the command.
///
/// # Errors
/// `Refused` for a label that is the suite's own. What no option can say is remembered by the line.
pub(super) fn append(
    line: &mut Line,
    container: &Container,
    joins: &Joins,
    own: &Labels,
) -> Result<()> {
    refuse_own_labels(container)?;
    line.option("--name", "id", container.id.as_str());
    let entrypoint = container.entrypoint.as_ref().map(Words::to_vec);
    if let Some(words) = &entrypoint {
        line.option("--entrypoint", "entrypoint", words.first().map_or("", String::as_str));
        if words.len() > 1 && words[0].is_empty() {
            line.refuse("entrypoint", "its first word is empty, which docker takes for none");
        }
    }
    inside(line, container, own);
    network(line, container, joins);
    rights(line, container);
    limits(line, container);
    manner(line, container);
    line.value("image", container.image.as_str());
    let behind = entrypoint.iter().flat_map(|words| words.iter().skip(1));
    behind.for_each(|word| line.value("entrypoint", word));
    if let Some(cmd) = &container.cmd {
        cmd.to_vec().iter().for_each(|word| line.value("cmd", word));
    }
    Ok(())
}

/// What its processes find: environment, files, who they are.
fn inside(line: &mut Line, container: &Container, own: &Labels) {
    line.each("--env", "env", &container.env);
    line.each("--publish", "ports", &container.ports);
    line.each("--expose", "expose", &container.expose);
    line.each("--volume", "volumes", &container.volumes);
    line.each("--volumes-from", "volumes_from", &container.volumes_from);
    line.maybe("--user", "user", container.user.as_ref());
    line.maybe("--workdir", "workdir", container.workdir.as_ref());
    line.maybe("--hostname", "hostname", container.hostname.as_ref());
    line.pairs(("--label", "labels", '='), container.labels.iter());
    line.pairs(("--label", "owner", '='), own.iter());
    line.maybe("--restart", "restart", container.restart.as_ref());
}

fn network(line: &mut Line, container: &Container, joins: &Joins) {
    if let Some(mode) = joins.mode {
        let from =
            if container.private_network.is_some() { "private_network" } else { "network_mode" };
        line.option("--network", from, mode);
    }
    if let Some(known) = &joins.first {
        line.each("--network-alias", "networks", &known.aliases);
        line.maybe("--ip", "networks", known.ipv4_address.as_ref());
        line.maybe("--ip6", "networks", known.ipv6_address.as_ref());
    }
    line.each("--dns", "dns", &container.dns);
    line.each("--dns-search", "dns_search", &container.dns_search);
    line.each("--add-host", "extra_hosts", &container.extra_hosts);
    line.each("--link", "links", &container.links);
}

/// What of its host and kernel it may touch.
fn rights(line: &mut Line, container: &Container) {
    line.each("--device", "devices", &container.devices);
    let gpus = match &container.gpus {
        // Docker takes 0 for nothing said.
        None | Some(Gpus::Count(0)) => None,
        Some(Gpus::All) => Some("all".to_owned()),
        Some(Gpus::Count(count)) => Some(count.to_string()),
        Some(Gpus::Ids(ids)) if ids.is_empty() => None,
        // The value is a line of comma-separated values, so that a list is one of them in quotes.
        Some(Gpus::Ids(ids)) if ids.len() > 1 => Some(format!("\"device={}\"", ids.join(","))),
        Some(Gpus::Ids(ids)) => Some(format!("device={}", ids[0])),
    };
    line.maybe("--gpus", "gpus", gpus.as_ref());
    line.pairs(("--sysctl", "sysctls", '='), container.sysctls.iter());
    line.each("--cap-add", "cap_add", &container.cap_add);
    line.each("--cap-drop", "cap_drop", &container.cap_drop);
    if container.privileged {
        line.word("--privileged");
    }
    if container.read_only {
        line.word("--read-only");
    }
    let (bare, mounts): (Vec<_>, Vec<_>) = container
        .tmpfs
        .iter()
        .partition(|(path, options)| options.is_empty() && !path.is_empty() && !path.contains(':'));
    bare.into_iter().for_each(|(path, _)| line.option("--tmpfs", "tmpfs", path));
    line.pairs(("--tmpfs", "tmpfs", ':'), mounts.into_iter());
}

fn limits(line: &mut Line, container: &Container) {
    line.maybe("--shm-size", "shm_size", container.shm_size.as_ref());
    for (name, limit) in &container.ulimits {
        if name.is_empty() || name.contains('=') {
            line.refuse("ulimits", &format!("name {name:?} is empty or holds '='"));
        }
        let limit = match (limit.soft, limit.hard) {
            (soft, hard) if soft == hard => format!("{name}={soft}"),
            (soft, hard) => format!("{name}={soft}:{hard}"),
        };
        line.option("--ulimit", "ulimits", &limit);
    }
    line.maybe("--memory", "memory", container.memory.as_ref());
    match container.memory_swap {
        None => (),
        Some(Swap::Unlimited) => line.option("--memory-swap", "memory_swap", "-1"),
        Some(Swap::Limited(bytes)) => {
            line.option("--memory-swap", "memory_swap", &bytes.to_string());
        }
    }
    line.maybe("--cpus", "cpus", container.cpus.as_ref());
    line.maybe("--cpu-shares", "cpu_shares", container.cpu_shares.as_ref());
    line.maybe("--pids-limit", "pids_limit", container.pids_limit.as_ref());
}

/// In which manner Docker runs it.
fn manner(line: &mut Line, container: &Container) {
    line.maybe("--log-driver", "log_driver", container.log_driver.as_ref());
    line.pairs(("--log-opt", "log_options", '='), container.log_options.iter());
    if let Some(check) = &container.healthcheck {
        health(line, check);
    }
    line.maybe("--stop-signal", "stop_signal", container.stop_signal.as_ref());
    line.maybe("--stop-timeout", "stop_timeout", container.stop_timeout.as_ref());
    match container.init {
        None => (),
        Some(true) => line.word("--init"),
        // An engine can be set to have one by default.
        Some(false) => line.word("--init=false"),
    }
    line.maybe("--ipc", "ipc", container.ipc.as_ref());
    line.maybe("--pid", "pid", container.pid.as_ref());
    line.maybe("--platform", "platform", container.platform.as_ref());
    let pull = container.pull.map(|pull| match pull {
        Pull::Always => "always",
        Pull::Missing => "missing",
        Pull::Never => "never",
    });
    line.maybe("--pull", "pull", pull.as_ref());
}

fn health(line: &mut Line, check: &Healthcheck) {
    match &check.test {
        None => (),
        // What else is said of it means nothing then, and docker refuses it.
        Some(Test::None) => return line.word("--no-healthcheck"),
        Some(Test::Shell(text)) => {
            if text.is_empty() {
                line.refuse("healthcheck", "its line is empty, which docker takes for none");
            }
            line.option("--health-cmd", "healthcheck", text);
        }
        Some(Test::Command(words)) => {
            let mut text = String::from("exec");
            for word in words {
                text.push(' ');
                quote(word, &mut text);
            }
            line.option("--health-cmd", "healthcheck", &text);
        }
    }
    let time = |ms: Option<u64>| ms.map(|ms| format!("{ms}ms"));
    line.maybe("--health-interval", "healthcheck", time(check.interval_ms).as_ref());
    line.maybe("--health-timeout", "healthcheck", time(check.timeout_ms).as_ref());
    line.maybe("--health-start-period", "healthcheck", time(check.start_period_ms).as_ref());
    line.maybe("--health-retries", "healthcheck", check.retries.as_ref());
}

/// # Errors
/// `Refused` for a label that is the suite's own.
pub(super) fn refuse_own_labels(container: &Container) -> Result<()> {
    match container.labels.keys().find(|name| name.starts_with(OWN)) {
        None => Ok(()),
        Some(name) => Err(Error::new(Kind::Refused, format_args!("label {name:?}"))
            .why("names that begin with \"leasepipe.\" are the suite's own")),
    }
}
