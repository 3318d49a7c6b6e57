//! The networks that a container is in, and the names that it knows there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::shape::document;
use super::text::checked_text;
use super::{ContainerId, Hostname, LinkNetwork, NetworkName, NotA, Object, Split};

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
    /// An interface that unionize makes, most often a port of a bridge.
    Link(LinkNetwork),
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

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Network::Docker(network) if network.is_bare() => network.network.serialize(to),
            Network::Docker(network) => network.serialize(to),
            Network::Link(link) => link.serialize(to),
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
    match whose(|field| split.has(field)) {
        Some(Whose::Docker) => split.try_into().map(Network::Docker),
        Some(Whose::Unionize) => split.try_into().map(Network::Link),
        None => Err(NEITHER.to_owned()),
    }
}

/// What is wrong with an entry that is neither the one nor the other.
pub(super) const NEITHER: &str =
    "a network has either \"network\", or one of \"bridge\", \"kind\" and \"parent\"";

/// Who makes a network.
pub(super) enum Whose {
    Docker,
    Unionize,
}

/// Who makes the network whose object has these fields; nothing when that is not clear.
pub(super) fn whose(has: impl Fn(&str) -> bool) -> Option<Whose> {
    match (has("network"), has("bridge") || has("kind") || has("parent")) {
        (true, false) => Some(Whose::Docker),
        (false, true) => Some(Whose::Unionize),
        _ => None,
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
    fn a_network_is_docker_s_or_unionize_s() {
        let read = |text: &str| serde_json::from_str::<Network>(text);
        for text in [
            r#""backend""#,
            r#"{"network":"backend","aliases":["db"],"ipv6_address":"fd00::5"}"#,
            r#"{"bridge":"br1","interface":"eth1","addresses":["dhcp6","2001:db8::5/64"]}"#,
            r#"{"kind":"macvlan","parent":"eth0","mode":"vepa"}"#,
            r#"{"parent":"mac:02:00:00:00:00:09"}"#,
            r#"{"bridge":"br1","x-note":{"b":1e400,"a":12345678901234567890123}}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        let same = r#"{"network":"backend"}"#;
        assert_eq!(serde_json::to_string(&read(same).unwrap()).unwrap(), r#""backend""#);
        for bad in [
            "{}",
            r#"{"network":"a","bridge":"b"}"#,
            r#"{"vlan":7}"#,
            r#""""#,
            "7",
            r#"{"bridge":""}"#,
        ] {
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
