//! A client as rules and templates see it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::Ipv6Net;

use crate::record::{Classes, Duid, Family, Hostname, Key, LeaseRef, LeaseType, Mac};

/// A client: the one of its leases that it is known by, what is known from all of them, and
/// nothing of what moves at every renewal.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Who it is.
    pub key: Key,
    /// Its address, or the first of its prefix when it has nothing else.
    pub address: IpAddr,
    /// Length of the delegated prefix, when it has nothing else.
    pub prefix_len: Option<u8>,
    /// What is leased.
    pub r#type: LeaseType,
    /// The protocol.
    pub family: Family,
    /// Its DUID.
    pub duid: Option<Duid>,
    /// The number of the identity association.
    pub iaid: Option<u32>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its name.
    pub hostname: Option<Hostname>,
    /// Where the lease was read.
    pub source: Arc<str>,
    /// What its leases are, each once and in order.
    pub types: Vec<LeaseType>,
    /// All its addresses, in order.
    pub addresses: Vec<IpAddr>,
    /// The prefixes that are delegated to it, in order.
    pub prefixes: Vec<Ipv6Net>,
    /// What it says that it is, in any of its leases.
    pub classes: Classes,
}

impl Client {
    /// What a container remembers of the lease.
    pub fn lease(&self) -> LeaseRef {
        LeaseRef {
            key: self.key,
            address: self.address,
            prefix_len: self.prefix_len,
            duid: self.duid.clone(),
            iaid: self.iaid,
            hostname: self.hostname.clone(),
            rest: Default::default(),
        }
    }

    /// Whether it has a delegated prefix and no address.
    pub fn is_of_prefix_alone(&self) -> bool {
        self.r#type == LeaseType::Pd
    }

    /// The part of its first delegated prefix that is its containers': the last /64, or the whole
    /// of a prefix that is no longer than that. A client's router numbers its own links from the
    /// first one on.
    pub fn containers_prefix(&self) -> Option<Ipv6Net> {
        let prefix = self.prefixes.first()?.trunc();
        if prefix.prefix_len() >= 64 {
            return Some(prefix);
        }
        let beyond = !u128::from(prefix.netmask());
        let last = u128::from(prefix.addr()) | (beyond >> 64 << 64);
        Ipv6Net::new(Ipv6Addr::from(last), 64).ok()
    }

    /// The address in that part that is the container's with this key.
    pub fn address_of(&self, container: &Key) -> Option<Ipv6Addr> {
        let prefix = self.containers_prefix()?;
        let host = u128::from(container.interface_id()) & !u128::from(prefix.netmask());
        let host = if host == 0 && prefix.prefix_len() < 128 { 1 } else { host };
        Some(Ipv6Addr::from(u128::from(prefix.addr()) | host))
    }

    /// Clients to try a template on: one that gives all it can, with a label of `longest`
    /// characters, and one that gives nothing it need not but a prefix, which a template for such
    /// clients may rely on.
    pub fn examples(longest: usize) -> Vec<Client> {
        let plain = Client {
            key: Key::derive("example", &[]),
            address: "2001:db8::1".parse().expect("an address"),
            prefix_len: None,
            r#type: LeaseType::Na,
            family: Family::Ipv6,
            duid: Some(Duid::from_uuid([0; 16])),
            iaid: Some(1),
            mac: None,
            hostname: None,
            source: "example".into(),
            types: vec![LeaseType::Na, LeaseType::Pd],
            addresses: Vec::new(),
            prefixes: vec!["2001:db8:1::/56".parse().expect("a prefix")],
            classes: Classes::default(),
        };
        let full = Client {
            mac: Some(Mac::local([0; 6])),
            hostname: Some("a".repeat(longest).parse().expect("a host name")),
            ..plain.clone()
        };
        vec![full, plain]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(prefix: &str) -> Client {
        let mut client = Client::examples(1).remove(0);
        client.prefixes = vec![prefix.parse().unwrap()];
        client
    }

    #[test]
    fn containers_live_in_the_last_64_of_a_prefix() {
        for (delegated, theirs) in [
            ("2001:db8::/48", "2001:db8:0:ffff::/64"),
            ("2001:db8:0:a0::/60", "2001:db8:0:af::/64"),
            ("2001:db8:0:5::/64", "2001:db8:0:5::/64"),
            ("2001:db8::80:0/112", "2001:db8::80:0/112"),
            ("::/0", "ffff:ffff:ffff:ffff::/64"),
        ] {
            let theirs: Ipv6Net = theirs.parse().unwrap();
            assert_eq!(with(delegated).containers_prefix(), Some(theirs), "{delegated}");
        }
    }

    #[test]
    fn each_container_has_an_address_of_its_own_there() {
        let keys = [Key::derive("a", &[]), Key::derive("b", &[])];
        for delegated in ["2001:db8::/48", "2001:db8::80:0/112", "2001:db8::/127"] {
            let client = with(delegated);
            let prefix = client.containers_prefix().unwrap();
            for key in &keys {
                let address = client.address_of(key).unwrap();
                assert!(prefix.contains(&address), "{address}");
                assert_ne!(address, prefix.addr(), "that is the routers' (RFC 4291 2.6.1)");
            }
        }
        let client = with("2001:db8::/48");
        assert_ne!(client.address_of(&keys[0]), client.address_of(&keys[1]));
        let one = with("2001:db8::5/128");
        assert_eq!(one.address_of(&keys[0]).unwrap().to_string(), "2001:db8::5");
        assert_eq!(Client { prefixes: vec![], ..one }.address_of(&keys[0]), None);
    }
}
