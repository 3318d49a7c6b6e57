//! Ports, networks and the modes in which a container has none of its own.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::Findings;
use crate::record::{Addressing, Container, Network, Port, stands_alone};

/// The longest host name that the kernel takes (HOST_NAME_MAX of gethostname(2)).
const LONGEST_HOST_NAME: usize = 64;

pub fn check(container: &Container, found: &mut Findings) {
    ports(container, found);
    networks(container, found);
    modes(container, found);
    if let Some(name) = &container.hostname
        && name.as_str().len() > LONGEST_HOST_NAME
    {
        let what =
            format_args!("it is longer than the {LONGEST_HOST_NAME} characters of the kernel");
        found.fault("hostname", what);
    }
}

/// Who listens on a port of the host: the addresses, and whether one of them is every address.
#[derive(Default)]
struct Listeners<'a> {
    v4: Side<'a>,
    v6: Side<'a>,
}

/// The listeners of one family.
#[derive(Default)]
struct Side<'a> {
    all: Option<&'a Port>,
    some: HashMap<IpAddr, &'a Port>,
}

impl<'a> Side<'a> {
    /// Adds a listener; gives another in whose way it is. The same port twice is one.
    fn add(&mut self, address: Option<IpAddr>, port: &'a Port) -> Option<&'a Port> {
        let other = match address {
            None => self.all.or_else(|| self.some.values().next().copied()),
            Some(address) => self.all.or_else(|| self.some.get(&address).copied()),
        };
        match address {
            None => self.all = self.all.or(Some(port)),
            Some(address) => drop(self.some.entry(address).or_insert(port)),
        }
        other.filter(|other| *other != port)
    }
}

fn ports(container: &Container, found: &mut Findings) {
    let mut taken: HashMap<_, Listeners> = HashMap::new();
    for (number, port) in container.ports.iter().enumerate().filter(|(_, port)| port.host != 0) {
        let listeners = taken.entry((port.host, port.transport)).or_default();
        let address = port.address.filter(|address| !address.is_unspecified());
        let v4 = port.address.is_none_or(|address| address.is_ipv4());
        let v6 = port.address.is_none_or(|address| address.is_ipv6());
        let v4 = v4.then(|| listeners.v4.add(address, port)).flatten();
        let v6 = v6.then(|| listeners.v6.add(address, port)).flatten();
        if let Some(other) = v4.or(v6) {
            let what = format_args!("\"{port}\" and \"{other}\" take the same port of the host");
            found.fault(format_args!("ports[{number}]"), what);
        }
    }
}

fn networks(container: &Container, found: &mut Findings) {
    let (mut names, mut interfaces) = (HashSet::new(), HashSet::new());
    for (number, network) in container.networks.iter().enumerate() {
        match network {
            Network::Docker(docker) => {
                if !names.insert(docker.network.as_str()) {
                    let what = format_args!("it is in \"{}\" already", docker.network);
                    found.fault(format_args!("networks[{number}]"), what);
                }
            }
            Network::Link(link) => {
                if let Err(misfit) = link.plug() {
                    found.fault(format_args!("networks[{number}].{}", misfit.field), misfit.why);
                }
                if let Some(name) = &link.interface
                    && !interfaces.insert(name.as_str())
                {
                    let what = format_args!("there is an interface \"{name}\" already");
                    found.fault(format_args!("networks[{number}].interface"), what);
                }
            }
        }
    }
    if let Some(alone) = ["host", "none"].into_iter().find(|name| names.contains(name))
        && names.len() > 1
    {
        found.fault("networks", format_args!("{alone:?} goes with no other network of Docker's"));
    }
}

/// What does not go with a network that is not the container's own, or with none.
fn modes(container: &Container, found: &mut Findings) {
    let docker = container.networks.iter().any(|network| matches!(network, Network::Docker(_)));
    let bridge = container.networks.iter().any(|network| matches!(network, Network::Link(_)));
    let ports = ("ports", !container.ports.is_empty());
    if container.private_network.is_some() {
        let mode = ("network_mode", container.network_mode.is_some());
        for (field, _) in [ports, mode, ("networks", docker)].iter().filter(|(_, there)| *there) {
            let which = if *field == "networks" { "a network of Docker's" } else { "it" };
            found.fault(field, format_args!("{which} does not go with \"private_network\""));
        }
    }
    let Some(mode) = container.network_mode.as_deref() else { return };
    if mode.is_empty() {
        found.fault("network_mode", "it says nothing");
    }
    let is_shared = mode.starts_with("container:");
    let stands_alone = stands_alone(mode);
    for (field, is_there, is_refused) in [
        (ports.0, ports.1, stands_alone),
        ("links", !container.links.is_empty(), stands_alone),
        ("networks", docker, stands_alone),
        ("networks", bridge, is_shared || mode == "host"),
        ("addresses", !container.addresses.is_empty(), is_shared || mode == "host"),
        ("expose", !container.expose.is_empty(), is_shared),
        ("hostname", container.hostname.is_some(), is_shared),
        ("dns", !container.dns.is_empty(), is_shared),
        ("extra_hosts", !container.extra_hosts.is_empty(), is_shared),
    ] {
        if is_there && is_refused {
            found.fault(field, format_args!("it does not go with \"network_mode\":{mode:?}"));
        }
    }
}

/// The first field that gives the container an address or identity that no other can have.
pub(super) fn fixed(container: &Container) -> Option<String> {
    if !container.addresses.is_empty() {
        return Some("addresses".to_owned());
    }
    let field = |network: &Network| match network {
        Network::Docker(docker) if docker.ipv4_address.is_some() => Some("ipv4_address"),
        Network::Docker(docker) if docker.ipv6_address.is_some() => Some("ipv6_address"),
        Network::Docker(_) => None,
        Network::Link(link) if link.mac.is_some() => Some("mac"),
        Network::Link(link) => {
            let is_fixed = |one: &Addressing| matches!(one, Addressing::Fixed(_));
            link.addresses.iter().any(is_fixed).then_some("addresses")
        }
    };
    let mut networks = container.networks.iter().enumerate();
    networks.find_map(|(at, network)| Some(format!("networks[{at}].{}", field(network)?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{found, none, one};

    #[test]
    fn a_port_of_the_host_is_taken_once() {
        none(json!({"ports": ["80:80", "80:80", "80:80/udp", "81:80", "0:80", "0:81"]}));
        none(json!({"ports": ["127.0.0.1:80:80", "127.0.0.2:80:80", "[::1]:80:80"]}));
        none(json!({"ports": ["0.0.0.0:80:80", "[::]:80:80"]}));
        for both in [
            ["80:80", "80:81"],
            ["80:80", "127.0.0.1:80:80"],
            ["127.0.0.1:80:80", "80:81"],
            ["0.0.0.0:80:80", "127.0.0.1:80:80"],
            ["[::1]:80:80", "[::]:80:80"],
            ["127.0.0.1:80:80", "127.0.0.1:80:81"],
        ] {
            one(json!({"ports": both}), &["\"ports[1]\"", both[0], both[1], "same port"]);
        }
    }

    #[test]
    fn a_network_is_named_once() {
        none(json!({"networks": ["a", "b", {"bridge": "br0"}, {"bridge": "br0"}]}));
        one(json!({"networks": ["a", {"network": "a"}]}), &["\"networks[1]\"", "already"]);
        let eth = json!({"bridge": "br0", "interface": "eth1"});
        one(json!({"networks": [eth, eth]}), &["\"networks[1].interface\"", "\"eth1\""]);
        let private = json!({"name": "a", "alias": "x"});
        one(
            json!({"networks": ["a"], "private_network": private}),
            &["\"networks\"", "private_network"],
        );
        one(json!({"networks": ["a", "host"]}), &["\"networks\"", "\"host\" goes with no other"]);
        none(json!({"networks": ["host"]}));
    }

    #[test]
    fn what_has_no_network_of_its_own_has_no_ports() {
        let private = json!({"name": "a", "alias": "x"});
        one(json!({"private_network": private, "ports": ["80:80"]}), &["\"ports\""]);
        one(json!({"private_network": private, "network_mode": "bridge"}), &["\"network_mode\""]);
        one(json!({"network_mode": "container:db", "hostname": "x"}), &["\"hostname\""]);
        one(json!({"network_mode": "container:db", "ports": ["80:80"]}), &["\"ports\""]);
        one(json!({"network_mode": "host", "links": ["db"]}), &["\"links\""]);
        one(json!({"network_mode": "none", "ports": ["80:80"]}), &["\"ports\""]);
        one(json!({"network_mode": "none", "networks": ["a"]}), &["\"networks\""]);
        one(json!({"network_mode": "host", "networks": [{"bridge": "b"}]}), &["\"networks\""]);
        one(json!({"network_mode": "host", "addresses": ["fd00::1/64"]}), &["\"addresses\""]);
        none(json!({"network_mode": "none", "networks": [{"bridge": "b"}]}));
        one(json!({"hostname": format!("{}.b", "a".repeat(63))}), &["\"hostname\"", "64"]);
        assert_eq!(found(json!({"network_mode": ""})).len(), 1);
    }
}
