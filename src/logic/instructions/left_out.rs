//! What of a document docker's commands do not say.

use crate::record::{Container, Network, Object, Test};

/// What the line that makes the container does not say, or not as it stands, for people; nothing
/// when it says all that matters to docker.
pub(super) fn of_line(container: &Container) -> Option<String> {
    let mut parts = unsaid(container);
    if !container.depends_on.is_empty() {
        parts.push("\"depends_on\" is container-run's".to_owned());
    }
    let test = container.healthcheck.as_ref().and_then(|check| check.test.as_ref());
    if matches!(test, Some(Test::Command(_))) {
        parts.push("\"healthcheck\" is run by the shell of the image".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What a compose file does not say.
pub(super) fn of_service(container: &Container) -> Option<String> {
    let parts = unsaid(container);
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn unsaid(container: &Container) -> Vec<String> {
    let mut parts = Vec::new();
    for network in &container.networks {
        match network {
            Network::Link(link) => parts.push(match &link.bridge {
                Some(bridge) => format!("bridge {bridge} is unionize's"),
                None => "an interface is unionize's".to_owned(),
            }),
            Network::Docker(network) => unknown("networks", &network.rest, &mut parts),
        }
    }
    if !container.addresses.is_empty() {
        parts.push("\"addresses\" are unionize's".to_owned());
    }
    for (field, is_there) in
        [("secrets", !container.secrets.is_empty()), ("configs", !container.configs.is_empty())]
    {
        if is_there {
            parts.push(format!("{field:?} are a swarm's"));
        }
    }
    for (field, is_there) in
        [("allow", !container.allow.is_empty()), ("netns", container.netns.is_some())]
    {
        if is_there {
            parts.push(format!("{field:?} is unionize's"));
        }
    }
    for (field, is_there) in
        [("ttl", container.ttl.is_some()), ("expires_at", container.expires_at.is_some())]
    {
        if is_there {
            parts.push(format!("{field:?} is container-run's"));
        }
    }
    if let Some(check) = &container.healthcheck {
        unknown("healthcheck", &check.rest, &mut parts);
    }
    for (name, _) in container.rest.iter() {
        parts.push(format!("{name:?} is no field of docker's"));
    }
    parts
}

fn unknown(field: &str, rest: &Object, parts: &mut Vec<String>) {
    let names =
        rest.iter().map(|(name, _)| format!("{name:?} in {field:?} is no field of docker's"));
    parts.extend(names);
}
