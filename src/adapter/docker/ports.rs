//! Ports: published on the host, or only listened on.

use bollard::models::{ContainerConfig, HostConfig, ImageConfig, PortBinding, PortMap};

use super::list::{beyond, filled, parsed};
use crate::record::{Container, Expose, Object, Port, Published, Transport};

/// The ports that Docker is to know of: the published ones, and those that are only listened on.
pub(super) fn exposed(container: &Container) -> Option<Vec<String>> {
    let published = container.ports.iter().map(|p| (p.container, p.transport));
    let only = container.expose.iter().map(|e| (e.container, e.transport));
    filled(published.chain(only).map(|(port, transport)| name(port, transport)))
}

/// Where Docker is to publish them.
pub(super) fn bindings(ports: &[Port]) -> Option<PortMap> {
    let mut bindings = PortMap::new();
    for port in ports {
        let name = name(port.container, port.transport);
        bindings.entry(name).or_default().get_or_insert_default().push(PortBinding {
            host_ip: port.address.map(|a| a.to_string()),
            host_port: Some(port.host.to_string()),
        });
    }
    (!bindings.is_empty()).then_some(bindings)
}

/// The ports that Docker publishes: those that were named, and, where all that are exposed are to
/// be published, each of the others on a port of Docker's choice.
pub(super) fn published(config: &ContainerConfig, host: &HostConfig) -> Vec<Port> {
    let mut ports = Vec::new();
    for (name, bindings) in host.port_bindings.iter().flatten() {
        let Ok(inside) = name.parse() else {
            continue;
        };
        ports.extend(bindings.iter().flatten().filter_map(|binding| bound(inside, binding)));
    }
    if host.publish_all_ports == Some(true) {
        let exposed = config.exposed_ports.iter().flatten();
        let others = exposed.filter(|name| !is_bound(host, name)).filter_map(|name| parsed(name));
        ports.extend(others.map(|Expose { container, transport }| Port {
            address: None,
            host: 0,
            container,
            transport,
        }));
    }
    ports.sort_unstable();
    ports
}

/// Where the ports are that the engine publishes now.
pub(super) fn there(map: &PortMap) -> Vec<Published> {
    let mut there = Vec::new();
    for (name, bindings) in map {
        let Ok(inside) = name.parse() else { continue };
        let bound = bindings.iter().flatten().filter_map(|binding| bound(inside, binding));
        there.extend(bound.filter(|port| port.host != 0).map(|port| Published {
            container: port.container,
            host: port.host,
            protocol: port.transport,
            address: port.address.filter(|address| !address.is_unspecified()),
            rest: Object::default(),
        }));
    }
    // One on every address is told once for each family.
    there.sort_by_key(|port| (port.container, port.protocol, port.host, port.address));
    there.dedup();
    there
}

fn bound(inside: Expose, binding: &PortBinding) -> Option<Port> {
    let host = binding.host_port.as_deref().filter(|port| !port.is_empty()).unwrap_or("0");
    let address = binding.host_ip.as_deref().filter(|address| !address.is_empty());
    let Expose { container, transport } = inside;
    Some(Port {
        address: address.map(str::parse).transpose().ok()?,
        host: host.parse().ok()?,
        container,
        transport,
    })
}

/// The exposed ports that neither the image exposes nor publishing them did.
pub(super) fn listened_on(
    config: &ContainerConfig,
    host: &HostConfig,
    image: &ImageConfig,
) -> Vec<Expose> {
    let mut ports: Vec<Expose> = beyond(&config.exposed_ports, &image.exposed_ports)
        .filter(|name| !is_bound(host, name))
        .filter_map(parsed)
        .collect();
    if host.publish_all_ports == Some(true) {
        ports.clear();
    }
    ports.sort_unstable();
    ports
}

fn is_bound(host: &HostConfig, name: &str) -> bool {
    host.port_bindings.as_ref().is_some_and(|bindings| bindings.contains_key(name))
}

/// A container's port as Docker names it.
fn name(port: u16, transport: Transport) -> String {
    format!("{port}/{}", transport.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(config: Value, host: Value) -> (Vec<String>, Vec<String>) {
        let config: ContainerConfig = serde_json::from_value(config).unwrap();
        let host: HostConfig = serde_json::from_value(host).unwrap();
        let image = ImageConfig {
            exposed_ports: Some(vec!["80/tcp".to_owned()]),
            ..ImageConfig::default()
        };
        let text = |port: &Port| port.to_string();
        let only = listened_on(&config, &host, &image);
        (
            published(&config, &host).iter().map(text).collect(),
            only.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn what_publishing_exposes_is_not_told_twice() {
        let exposed = json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "99/udp": {}}});
        let bindings = json!({"PortBindings": {"53/udp": [{"HostIp": "::1", "HostPort": "53"}]}});
        let (ports, expose) = read(exposed, bindings);
        assert_eq!((ports, expose), (vec!["[::1]:53:53/udp".into()], vec!["99/udp".into()]));
    }

    #[test]
    fn all_that_is_exposed_is_published_where_that_was_asked_for() {
        let exposed = json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}});
        let all = json!({
            "PublishAllPorts": true,
            "PortBindings": {"53/udp": [{"HostIp": "", "HostPort": "5353"}]}
        });
        let (ports, expose) = read(exposed, all);
        assert_eq!(ports, ["0:80", "5353:53/udp"]);
        assert_eq!(expose, Vec::<String>::new());
    }
}
