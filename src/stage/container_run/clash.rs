//! Whether a container can run while the one that it replaces still does.

use std::net::IpAddr;
use std::path::Path;

use crate::adapter::docker::Found;
use crate::record::{Container, DockerNetwork, Joins, Network, Port, State, Volume};

/// Why `wanted` cannot run beside `old`; nothing when it can. What is not declared, such as a port
/// that a process takes in the host's network, cannot be known: there it is taken for granted.
pub(super) fn clash(wanted: &Container, old: &Found) -> Option<String> {
    if !runs(old) {
        return None;
    }
    let was = &old.container;
    shared_network(wanted, was)
        .or_else(|| port(wanted, was))
        .or_else(|| address(wanted, was))
        .or_else(|| volume(wanted, was))
}

/// Whether anything of a container runs.
pub(super) fn runs(found: &Found) -> bool {
    let state = found.container.state;
    matches!(state, Some(State::Running | State::Paused | State::Restarting))
}

fn shared_network(wanted: &Container, was: &Container) -> Option<String> {
    let mode = |of: &Container| Joins::of(of).ok().and_then(|joins| joins.mode.map(str::to_owned));
    let (new, old) = (mode(wanted).unwrap_or_default(), mode(was).unwrap_or_default());
    let shares = |mode: &str| mode == "host" || mode.starts_with("container:");
    let both = shares(&new) && new == old;
    let with_host = |one: &str, other: &Container| one == "host" && !other.ports.is_empty();
    (both || with_host(&new, was) || with_host(&old, wanted))
        .then(|| "they share a network namespace".to_owned())
}

fn port(wanted: &Container, was: &Container) -> Option<String> {
    let taken = |port: &&Port| was.ports.iter().any(|other| overlap(port, other));
    let port = wanted.ports.iter().filter(|port| port.host != 0).find(taken)?;
    Some(format!("both publish {port}"))
}

fn overlap(one: &Port, other: &Port) -> bool {
    if (one.host, one.transport) != (other.host, other.transport) {
        return false;
    }
    match (one.address, other.address) {
        (None, _) | (_, None) => true,
        (Some(one), Some(other)) => {
            let any = |address: IpAddr| address.is_unspecified();
            one == other || one.is_ipv4() == other.is_ipv4() && (any(one) || any(other))
        }
    }
}

fn address(wanted: &Container, was: &Container) -> Option<String> {
    let given = |of: &Container| -> Vec<(String, IpAddr)> {
        let docker = of.networks.iter().filter_map(|network| match network {
            Network::Docker(network) => Some(network),
            _ => None,
        });
        docker.flat_map(addresses).collect()
    };
    let taken = given(was);
    let (network, address) = given(wanted).into_iter().find(|given| taken.contains(given))?;
    Some(format!("both have {address} in network {network}"))
}

fn addresses(network: &DockerNetwork) -> impl Iterator<Item = (String, IpAddr)> {
    let four = network.ipv4_address.map(IpAddr::from);
    let six = network.ipv6_address.map(IpAddr::from);
    four.into_iter().chain(six).map(|address| (network.network.to_string(), address))
}

/// What both would write: two databases on one directory are none.
fn volume(wanted: &Container, was: &Container) -> Option<String> {
    let both =
        |one: &&str| written(was).any(|other| is_within(one, other) || is_within(other, one));
    if let Some(source) = written(wanted).find(both) {
        return Some(format!("both write to {source}"));
    }
    let writes = |from: &&str| !from.ends_with(":ro");
    let plain = |from: &str| from.trim_end_matches(":rw").to_owned();
    let from = |of: &Container| -> Vec<String> {
        of.volumes_from.iter().map(|from| from.as_str()).filter(writes).map(plain).collect()
    };
    let taken = from(was);
    let other = from(wanted).into_iter().find(|from| taken.contains(from))?;
    Some(format!("both write to the volumes of {other}"))
}

/// The volumes and directories that a container may write to.
fn written(of: &Container) -> impl Iterator<Item = &str> {
    of.volumes.iter().map(Volume::as_str).filter_map(|volume| {
        let mut parts = volume.split(':');
        let (source, _, options) = (parts.next()?, parts.next()?, parts.next());
        let is_read = options.is_some_and(|options| options.split(',').any(|word| word == "ro"));
        (!is_read).then_some(source)
    })
}

/// Whether one source is the other, or a directory in it.
fn is_within(one: &str, other: &str) -> bool {
    one == other || one.starts_with('/') && Path::new(one).starts_with(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn container(fields: &Value) -> Container {
        let mut document = json!({"id": "web", "image": "busybox", "state": "running"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    fn clashes(new: &Value, old: &Value) -> bool {
        let found = Found::new(container(old), String::new());
        clash(&container(new), &found).is_some()
    }

    #[test]
    fn what_both_would_take_is_a_clash() {
        let net = |address: &str| json!({"networks": [{"network": "a", "ipv4_address": address}]});
        for (new, old, expected) in [
            (json!({}), json!({}), false),
            (json!({"ports": ["80:80"]}), json!({"ports": ["80:81"]}), true),
            (json!({"ports": ["80:80"]}), json!({"ports": ["80:80/udp"]}), false),
            (json!({"ports": ["0:80"]}), json!({"ports": ["0:80"]}), false),
            (json!({"ports": ["127.0.0.1:80:80"]}), json!({"ports": ["127.0.0.2:80:80"]}), false),
            (json!({"ports": ["127.0.0.1:80:80"]}), json!({"ports": ["0.0.0.0:80:80"]}), true),
            (json!({"ports": ["[::1]:80:80"]}), json!({"ports": ["80:80"]}), true),
            (json!({"network_mode": "host"}), json!({"network_mode": "host"}), true),
            (json!({"network_mode": "host"}), json!({"ports": ["80:80"]}), true),
            (json!({"network_mode": "host"}), json!({}), false),
            (json!({"network_mode": "container:a"}), json!({"network_mode": "container:a"}), true),
            (json!({"network_mode": "container:a"}), json!({"network_mode": "container:b"}), false),
            (net("192.0.2.5"), net("192.0.2.5"), true),
            (net("192.0.2.5"), net("192.0.2.6"), false),
            (json!({"volumes": ["v:/a"]}), json!({"volumes": ["v:/b"]}), true),
            (json!({"volumes": ["v:/a:ro"]}), json!({"volumes": ["v:/a"]}), false),
            (json!({"volumes": ["v:/a:ro,z"]}), json!({"volumes": ["v:/a"]}), false),
            (json!({"volumes": ["/srv/a:/a"]}), json!({"volumes": ["/srv:/a"]}), true),
            (json!({"volumes": ["/srv:/a"]}), json!({"volumes": ["/srv/a:/a"]}), true),
            (json!({"volumes": ["/srv2:/a"]}), json!({"volumes": ["/srv:/a"]}), false),
            (json!({"volumes_from": ["db"]}), json!({"volumes_from": ["db:rw"]}), true),
            (json!({"volumes_from": ["db:ro"]}), json!({"volumes_from": ["db"]}), false),
        ] {
            assert_eq!(clashes(&new, &old), expected, "{new} {old}");
            let mut ended = old.clone();
            ended["state"] = json!("exited");
            assert!(!clashes(&new, &ended), "{new} {ended}");
        }
    }
}
