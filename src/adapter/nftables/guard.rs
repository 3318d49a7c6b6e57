//! What is wanted of one interface, and how the table's sets say it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::ruleset::{
    CLIENTS_4, CLIENTS_6, Element, NAME, NETWORKS_4, NETWORKS_6, OPEN, PORTS, SHUT,
};
use crate::record::{ContainerId, Expose, Ifname, Transport};

/// An interface that is shut for all but one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The interface, which need not be there yet.
    pub interface: Ifname,
    /// The client: an address, or a prefix that was delegated to it.
    pub client: IpNet,
    /// The ports that it may use; absent means all, and every protocol.
    pub ports: Option<Vec<Expose>>,
    /// Whose interface it is, for people who look at the table.
    pub container: ContainerId,
}

impl fmt::Display for Guard {
    /// What it does, as a dry run tells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shut {} for all but ", self.interface)?;
        match self.client.prefix_len() == self.client.max_prefix_len() {
            true => write!(f, "{}", self.client.addr())?,
            false => write!(f, "{}", self.client)?,
        }
        for (at, port) in self.ports.iter().flatten().enumerate() {
            write!(f, "{}{port}", if at == 0 { ", ports " } else { " " })?;
        }
        Ok(())
    }
}

/// The name of a set and an element of it.
pub type Entry = (&'static str, Element);

impl Guard {
    /// What has to be in the sets, in order and each once.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![self.entry(SHUT.name, &[], None), self.client()];
        match &self.ports {
            None => entries.push(self.entry(OPEN.name, &[], None)),
            Some(ports) => entries.extend(ports.iter().map(|port| self.port(*port))),
        }
        entries.sort();
        entries.dedup();
        entries
    }

    fn client(&self) -> Entry {
        let is_one = self.client.prefix_len() == self.client.max_prefix_len();
        let set = match (self.client, is_one) {
            (IpNet::V6(_), true) => CLIENTS_6,
            (IpNet::V4(_), true) => CLIENTS_4,
            (IpNet::V6(_), false) => NETWORKS_6,
            (IpNet::V4(_), false) => NETWORKS_4,
        };
        let last = (!is_one).then(|| bytes(self.client.broadcast()));
        self.entry(set.name, &bytes(self.client.network()), last.as_deref())
    }

    fn port(&self, port: Expose) -> Entry {
        let protocol = match port.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Sctp => 132,
        };
        let [high, low] = port.container.to_be_bytes();
        self.entry(PORTS.name, &[protocol, 0, 0, 0, high, low, 0, 0], None)
    }

    fn entry(&self, set: &'static str, more: &[u8], last: Option<&[u8]>) -> Entry {
        let name = name(&self.interface);
        let key = [&name, more].concat();
        let end = last.map(|more| [&name, more].concat());
        (set, Element { key, end, comment: Some(self.container.to_string()) })
    }
}

/// An interface's name as it begins a key.
pub fn name(interface: &Ifname) -> [u8; NAME] {
    let mut name = [0; NAME];
    for (to, from) in name.iter_mut().zip(interface.as_str().bytes()) {
        *to = from;
    }
    name
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(client: &str, ports: Option<&[&str]>) -> Guard {
        let parse = |ports: &[&str]| ports.iter().map(|port| port.parse().unwrap()).collect();
        Guard {
            interface: "eth0".parse().unwrap(),
            client: client.parse().unwrap(),
            ports: ports.map(parse),
            container: "web".parse().unwrap(),
        }
    }

    fn sets(guard: &Guard) -> Vec<(&'static str, usize, bool)> {
        let about = |(set, element): Entry| (set, element.key.len(), element.end.is_some());
        guard.entries().into_iter().map(about).collect()
    }

    #[test]
    fn one_address_is_a_pair_and_a_prefix_a_range() {
        let address = sets(&guard("2001:db8::5/128", None));
        assert_eq!(
            address,
            [("clients6", 32, false), ("every_port", 16, false), ("shut", 16, false)]
        );
        let prefix = guard("2001:db8:0:10::/60", None);
        assert_eq!(sets(&prefix)[0], ("every_port", 16, false));
        let (set, range) = prefix.entries().remove(1);
        assert_eq!(set, "networks6");
        assert_eq!(range.key[16..24], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0x10]);
        assert_eq!(range.end.unwrap()[16..25], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0x1f, 0xff]);
        assert_eq!(sets(&guard("192.0.2.7/32", None))[0], ("clients4", 20, false));
    }

    #[test]
    fn ports_are_told_once_and_none_means_none() {
        let ports = guard("192.0.2.7/32", Some(&["443", "53/udp", "443/tcp"]));
        assert_eq!(
            sets(&ports),
            [
                ("clients4", 20, false),
                ("ports", 24, false),
                ("ports", 24, false),
                ("shut", 16, false)
            ]
        );
        let (_, tcp) = ports.entries().remove(1);
        assert_eq!(tcp.key, *b"eth0\0\0\0\0\0\0\0\0\0\0\0\0\x06\0\0\0\x01\xbb\0\0");
        assert_eq!(sets(&guard("192.0.2.7/32", Some(&[]))).len(), 2);
    }
}
