//! The networks that a container is in, and the names that it knows there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::shape::document;
use super::text::checked_text;
use super::{ContainerId, Fixed, Hostname, Ifname, Mac, NetworkName, NotA, Object, Split};

document! {
    /// A network of Docker's that only the containers of one client are in.
    pub struct PrivateNetwork {
        /// Its name.
        req name: NetworkName,
        /// The name by which the others in it find the container.
        req alias: Hostname,
    }
}

/// One network that a container is in.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// One of Docker's own. It is read from its name alone, too.
    Docker(DockerNetwork),
    /// A bridge that unionize plugs it into.
    Bridge(BridgeNetwork),
}

document! {
    /// A network of Docker's, and how the container is known in it.
    pub struct DockerNetwork {
        /// Its name.
        req network: NetworkName,
        /// Names by which the others in it find the container, a set.
        many aliases: Vec<Alias>,
        /// The address that it is to have; absent leaves it to Docker.
        opt ipv4_address: Ipv4Addr,
        /// The address that it is to have; absent leaves it to Docker.
        opt ipv6_address: Ipv6Addr,
    }
}

document! {
    /// A bridge of the host, and the interface that unionize makes there. What is absent is as
    /// unionize's command line says.
    pub struct BridgeNetwork {
        /// The bridge.
        req bridge: Ifname,
        /// The interface's name inside.
        opt interface: Ifname,
        /// Its hardware address; absent means derived from the container's identity.
        opt mac: Mac,
        /// Where its addresses come from.
        many addresses: Vec<Addressing>,
    }
}

/// Where an address comes from: `dhcp6`, or the address itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// A DHCPv6 server.
    Dhcp6,
    /// It is given as it is.
    Fixed(Fixed),
}

impl std::str::FromStr for Addressing {
    type Err = super::NotA;

    fn from_str(text: &str) -> Result<Addressing, super::NotA> {
        match text {
            "dhcp6" => Ok(Addressing::Dhcp6),
            text => text.parse().map(Addressing::Fixed),
        }
    }
}

impl std::fmt::Display for Addressing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Addressing::Dhcp6 => f.write_str("dhcp6"),
            Addressing::Fixed(fixed) => fixed.fmt(f),
        }
    }
}

super::text::as_json_string!(Addressing);

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Network::Docker(network) if network.is_bare() => network.network.serialize(to),
            Network::Docker(network) => network.serialize(to),
            Network::Bridge(bridge) => bridge.serialize(to),
        }
    }
}

impl DockerNetwork {
    /// A network of which no more is said than its name.
    pub fn named(network: NetworkName) -> DockerNetwork {
        DockerNetwork {
            network,
            aliases: Vec::new(),
            ipv4_address: None,
            ipv6_address: None,
            rest: Object::default(),
        }
    }

    fn is_bare(&self) -> bool {
        *self == DockerNetwork::named(self.network.clone())
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Network, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        read(raw.get()).map_err(D::Error::custom)
    }
}

fn read(json: &str) -> Result<Network, String> {
    if json.starts_with('"') {
        let name: NetworkName = serde_json::from_str(json).map_err(|why| why.to_string())?;
        return Ok(Network::Docker(DockerNetwork::named(name)));
    }
    if !json.starts_with('{') {
        return Err(NotA::new(json, "the name of a network, or an object").to_string());
    }
    let split = Split::parse(json).map_err(|why| why.to_string())?;
    match (split.has("network"), split.has("bridge")) {
        (true, false) => split.try_into().map(Network::Docker),
        (false, true) => split.try_into().map(Network::Bridge),
        _ => Err("a network has either \"network\" or \"bridge\"".to_owned()),
    }
}

checked_text!(
    /// A name by which containers in a network of Docker's find another one.
    Alias,
    host_name,
    "a name in a network (letters, digits, _ . -)"
);

impl From<Hostname> for Alias {
    /// Every host name is one.
    fn from(name: Hostname) -> Alias {
        Alias(name.as_str().into())
    }
}

checked_text!(
    /// A name and the address that it stands for: `name:address`, where the address may be
    /// `host-gateway` for the host itself.
    ExtraHost,
    |text| text.split_once(':').is_some_and(|(name, address)| {
        let known = address == "host-gateway" || address.parse::<IpAddr>().is_ok();
        known && host_name(name)
    }),
    "a host and its address (name:address)"
);

checked_text!(
    /// Another container, and the name that it is called by: `container[:alias]`.
    Link,
    |text| match text.split_once(':') {
        Some((container, alias)) => container.parse::<ContainerId>().is_ok() && host_name(alias),
        None => text.parse::<ContainerId>().is_ok(),
    },
    "a link (container[:alias])"
);

checked_text!(
    /// A domain in which names are looked up; `.` is the root.
    DomainName,
    |text| text == "." || text.parse::<Hostname>().is_ok(),
    "a domain name (labels of letters, digits and hyphens, or .)"
);

/// A name as hosts(5) may hold it: what Docker lets be a name, underscores included.
fn host_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=253).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_docker_s_or_a_bridge() {
        let read = |text: &str| serde_json::from_str::<Network>(text);
        for text in [
            r#""backend""#,
            r#"{"network":"backend","aliases":["db"],"ipv6_address":"fd00::5"}"#,
            r#"{"bridge":"br1","interface":"eth1","addresses":["dhcp6","2001:db8::5/64"]}"#,
            r#"{"bridge":"br1","x-note":{"b":1e400,"a":12345678901234567890123}}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        let same = r#"{"network":"backend"}"#;
        assert_eq!(serde_json::to_string(&read(same).unwrap()).unwrap(), r#""backend""#);
        for bad in ["{}", r#"{"network":"a","bridge":"b"}"#, r#""""#, "7", r#"{"bridge":""}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_others_are_checked() {
        for good in ["db:192.0.2.1", "db:2001:db8::1", "up:host-gateway", "a_b.c:::1"] {
            assert!(good.parse::<ExtraHost>().is_ok(), "{good}");
        }
        for bad in ["", "db", "db:", ":192.0.2.1", "db:x", "a b:192.0.2.1", "-a:192.0.2.1"] {
            assert!(bad.parse::<ExtraHost>().is_err(), "{bad:?}");
        }
        assert!("db".parse::<Link>().is_ok() && "db:sql".parse::<Link>().is_ok());
        assert!("a_b".parse::<Alias>().is_ok() && "a b".parse::<Alias>().is_err());
        let name: Hostname = "db-1.example".parse().unwrap();
        assert_eq!(Alias::from(name).as_str(), "db-1.example");
        assert!("db:".parse::<Link>().is_err() && "a b".parse::<Link>().is_err());
        assert!(".".parse::<DomainName>().is_ok() && "-".parse::<DomainName>().is_err());
    }
}
