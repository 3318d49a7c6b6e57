//! What is wanted for one container.

use std::net::Ipv6Addr;

use crate::adapter::attachments::{Attachment, Leased, VERSION};
use crate::record::{Address, Container, Duid, Fixed, Ifname, Interface, Key, Mac, Origin};

use super::{Dad, Options};

/// The interface that a container is to have. All identities follow from the container's own, so
/// they are the same on every run and every host.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The container: who it is, and where it runs.
    pub container: Container,
    /// The interface's name inside.
    pub interface: Ifname,
    /// The name of its other end.
    pub link: Ifname,
    /// The bridge.
    pub bridge: Ifname,
    /// The hardware address inside.
    pub mac: Mac,
    /// Who asks a DHCPv6 server; absent when none is asked.
    pub client: Option<(Duid, u32)>,
    /// Addresses that are given as they are.
    pub fixed: Vec<Fixed>,
    /// How its addresses are checked for duplicates.
    pub dad: Dad,
}

impl Wish {
    /// What `options` mean for `container`.
    pub fn new(container: &Container, options: &Options) -> Wish {
        let interface = options.interface_of(container);
        let key = link_key(container, &interface);
        let mut fixed = options.addressing.fixed.clone();
        for own in &container.addresses {
            if !fixed.contains(own) {
                fixed.push(*own);
            }
        }
        Wish {
            container: identity(container),
            interface,
            link: name(key),
            bridge: options.bridge.clone(),
            mac: key.mac(),
            client: options.addressing.dhcp6.then(|| client(container, key)),
            fixed,
            dad: options.dad,
        }
    }

    /// The wish that led to what is remembered, as far as its lease goes.
    pub fn of(known: &Attachment) -> Wish {
        let leased = known.lease.as_ref().map(|leased| (leased.duid.clone(), leased.iaid));
        let key = link_key(&known.container, &known.interface);
        Wish {
            container: known.container.clone(),
            interface: known.interface.clone(),
            link: known.link.clone(),
            bridge: known.bridge.clone(),
            mac: known.mac,
            client: leased.or_else(|| known.asking.then(|| client(&known.container, key))),
            fixed: Vec::new(),
            dad: Dad::Off,
        }
    }

    /// The name of the host's end of a container's interface.
    pub fn link_of(container: &Container, options: &Options) -> Ifname {
        name(link_key(container, &options.interface_of(container)))
    }

    /// The hardware address of the host's end. A bridge whose address is not fixed takes the
    /// lowest of its ports', so this one is high.
    pub fn outer_mac(mac: Mac) -> Mac {
        let [_, b, c, d, e, f] = mac.as_bytes();
        Mac::new([0xfe, !b, !c, !d, !e, !f])
    }

    /// Whether it needs IPv6 to work inside.
    pub fn speaks_ipv6(&self) -> bool {
        self.client.is_some() || !self.fixed.is_empty()
    }

    /// The addresses that are given as they are, as records show them.
    pub fn fixed_addresses(&self) -> Vec<Address> {
        let address = |fixed: &Fixed| Address {
            address: fixed.address.into(),
            prefix_len: fixed.prefix_len,
            origin: Origin::Static,
            preferred_until: None,
            valid_until: None,
            rest: Default::default(),
        };
        self.fixed.iter().map(address).collect()
    }

    /// What is remembered of it, with the lease that it has.
    pub fn attachment(&self, lease: Option<Leased>) -> Attachment {
        Attachment {
            version: VERSION,
            container: self.container.clone(),
            interface: self.interface.clone(),
            link: self.link.clone(),
            bridge: self.bridge.clone(),
            mac: self.mac,
            asking: lease.is_none() && self.client.is_some(),
            lease,
            addresses: self.fixed_addresses(),
            rest: Default::default(),
        }
    }
}

/// Who asks DHCPv6 servers for the interface that `key` names. The identity association is the
/// interface's (RFC 8415 section 12), the DUID the container's.
fn client(container: &Container, key: Key) -> (Duid, u32) {
    let [.., a, b, c, d] = key.mac().as_bytes();
    (container.identity().duid(), u32::from_be_bytes([a, b, c, d]))
}

/// What is known of an attachment, as records show it.
pub fn interface(
    known: &Attachment,
    client: Option<&(Duid, u32)>,
    router: Option<Ipv6Addr>,
) -> Interface {
    let leased = known.lease.as_ref();
    let mut addresses = leased.map(|lease| lease.addresses.clone()).unwrap_or_default();
    addresses.extend(known.addresses.iter().cloned());
    Interface {
        name: known.interface.clone(),
        link: known.link.clone(),
        bridge: known.bridge.clone(),
        mac: known.mac,
        duid: leased.map(|lease| lease.duid.clone()).or(client.map(|(duid, _)| duid.clone())),
        iaid: leased.map(|lease| lease.iaid).or(client.map(|(_, iaid)| *iaid)),
        addresses,
        router,
        ready_ms: None,
        rest: Default::default(),
    }
}

fn link_key(container: &Container, interface: &Ifname) -> Key {
    let identity = container.identity();
    Key::derive("link", &[identity.as_str().as_bytes(), interface.as_str().as_bytes()])
}

fn name(key: Key) -> Ifname {
    format!("lp{key}").parse().expect("2 and 13 visible characters")
}

/// The container without how it was declared, which may hold secrets.
fn identity(container: &Container) -> Container {
    Container {
        cmd: None,
        entrypoint: None,
        env: Vec::new(),
        ports: Vec::new(),
        expose: Vec::new(),
        volumes: Vec::new(),
        user: None,
        workdir: None,
        labels: Default::default(),
        dns: Vec::new(),
        sysctls: Default::default(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        tmpfs: Default::default(),
        interfaces: Vec::new(),
        status: None,
        error: None,
        error_kind: None,
        rest: Default::default(),
        ..container.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        serde_json::from_str(text).unwrap()
    }

    fn options(interface: Option<&str>, given: &[&str]) -> Options {
        let given: Vec<_> = given.iter().map(|given| given.parse().unwrap()).collect();
        Options {
            bridge: "br1".parse().unwrap(),
            interface: interface.map(|name| name.parse().unwrap()),
            addressing: crate::stage::unionize::Addressing::of(&given).unwrap(),
            mtu: None,
            dad: Dad::Off,
        }
    }

    #[test]
    fn docker_s_interface_of_a_private_network_keeps_its_name() {
        let plain = container(r#"{"id":"web","image":"busybox"}"#);
        let private = container(
            r#"{"id":"web","image":"busybox","private_network":{"name":"n","alias":"web"}}"#,
        );
        let name = |container, given| Wish::new(container, &options(given, &[])).interface;
        assert_eq!(name(&plain, None).as_str(), "eth0");
        assert_eq!(name(&private, None).as_str(), "eth1");
        assert_eq!(name(&private, Some("lan")).as_str(), "lan");
    }

    #[test]
    fn the_container_s_own_addresses_come_beside_those_of_the_command_line() {
        let container = container(
            r#"{"id":"web","image":"busybox","addresses":["fd00::5/64","fd00::6/64","fd00::6/64"]}"#,
        );
        let options = options(None, &["dhcp6", "fd00::5/64"]);
        let wish = Wish::new(&container, &options);
        let fixed: Vec<String> = wish.fixed.iter().map(ToString::to_string).collect();
        assert_eq!(fixed, ["fd00::5/64", "fd00::6/64"]);
        assert!(wish.client.is_some());
    }

    #[test]
    fn names_and_addresses_follow_from_the_identity() {
        let container = container(r#"{"id":"web","image":"busybox","env":["PASSWORD=x"]}"#);
        let link = Wish::link_of(&container, &options(None, &[]));
        assert_eq!(link.as_str().len(), 15);
        assert_eq!(link, Wish::link_of(&container, &options(Some("eth0"), &[])));
        assert_ne!(link, Wish::link_of(&container, &options(Some("eth1"), &[])));
        let mac = link_key(&container, &"eth0".parse().unwrap()).mac();
        assert_eq!(Wish::outer_mac(mac).as_bytes()[0], 0xfe);
        assert_ne!(Wish::outer_mac(mac), mac);
        assert!(!serde_json::to_string(&identity(&container)).unwrap().contains("PASSWORD"));
    }
}
