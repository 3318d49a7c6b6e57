//! What is wanted for one container.

use std::net::Ipv6Addr;

use crate::adapter::attachments::{Attachment, Leased, Lent, VERSION};
use crate::adapter::dhcp4;
use crate::adapter::nftables::Guard;
use crate::error::{Error, Kind, Result};
use crate::record::{
    Address, Addressing, AllowFrom, ClientIdentifier, Container, Duid, Fixed, Ifname, Interface,
    Key, LinkKind, LinkMode, LinkNetwork, Mac, Misfit, Origin, Plug,
};

use super::allow::guard;
use super::entries::{Entry, check, entries};
use super::links::lent;
use super::scene::Place;
use super::{Dad, Options, Sources};

/// The interface that a container is to have. All identities follow from the container's own, so
/// they are the same on every run and every host.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The container: who it is, and where it runs.
    pub container: Container,
    /// The interface's name inside.
    pub interface: Ifname,
    /// The name of its other end on the host, or what would be.
    pub link: Ifname,
    /// Where it is plugged in.
    pub plug: Plug,
    /// The hardware address inside.
    pub mac: Mac,
    /// The link-local address inside. It follows from the hardware address, unless others have
    /// that as well.
    pub local: Ipv6Addr,
    /// How the host's device is that is to be lent, or was before it was.
    pub lent: Option<Lent>,
    /// Where its addresses come from.
    pub sources: Sources,
    /// Who asks a DHCPv6 server; absent when none is asked.
    pub client: Option<(Duid, u32)>,
    /// How its addresses are checked for duplicates.
    pub dad: Dad,
    /// Whether the name servers that are learnt go into the container's resolv.conf.
    pub dns: bool,
    /// Whether a DHCPv6 server may commit a lease in answer to the first message.
    pub rapid_commit: bool,
    /// All of that as a document says it, with nothing left out.
    pub network: LinkNetwork,
    /// Whom it is shut for; absent when it is open.
    pub guard: Option<Guard>,
}

impl Wish {
    /// The interfaces that `container` is to have, in their order.
    ///
    /// # Errors
    /// `BadInput` when its document does not say what can be, or neither it nor `options` says where
    /// it is plugged in.
    pub fn all(container: &Container, options: &Options) -> Result<Vec<Wish>> {
        let entries = entries(container, options);
        check(&entries)?;
        let one = |(at, entry)| Wish::one(container, options, entry, at == 0);
        entries.into_iter().enumerate().map(one).collect()
    }

    /// One of them. The addresses that the document gives to no interface are the first one's.
    fn one(container: &Container, options: &Options, entry: Entry, first: bool) -> Result<Wish> {
        let link = link_name(container, &entry, options, first);
        let Entry { interface, network } = entry;
        let mut network = match network {
            Some(own) => own.or(&options.network),
            None => LinkNetwork::unsaid().or(&options.network),
        };
        if !network.says_where() {
            return Err(Error::new(Kind::BadInput, "find its bridge")
                .why("its document names none in networks, and there is no --bridge")
                .remedy("add the one or the other"));
        }
        if first {
            network.mac = network.mac.or(options.network.mac);
            if network.routes.is_empty() && network.rules.is_empty() {
                network.routes.clone_from(&options.network.routes);
                network.rules.clone_from(&options.network.rules);
            }
            network.addresses.extend(container.addresses.iter().copied().map(Addressing::Fixed));
            let others = network.addresses.len() > 1;
            network.addresses.retain(|source| !others || *source != Addressing::None);
        }
        let key = link_key(container, &interface);
        let mac = network.mac.unwrap_or_else(|| key.mac());
        let container = identity(container);
        let wish = Wish::assembled(container, interface, link, mac, network, options.dad)?;
        let (dns, rapid_commit) = (options.dns, options.rapid_commit);
        Wish { dns, rapid_commit, ..wish }.for_whom(options.allow_from)
    }

    fn assembled(
        container: Container,
        interface: Ifname,
        link: Ifname,
        mac: Mac,
        network: LinkNetwork,
        dad: Dad,
    ) -> Result<Wish> {
        let plug = network.plug().map_err(|Misfit { field, why }| {
            Error::new(Kind::BadInput, format_args!("field \"networks.{field}\"")).why(why)
        })?;
        let sources = Sources::of(&network.addresses)?;
        let asks = sources.dhcp6 || sources.temporary || network.delegate.is_some();
        let key = link_key(&container, &interface);
        let client = asks.then(|| client(&container, key));
        if (asks || sources.dhcp4 || sources.slaac) && !hears_multicast(&plug) {
            return Err(Error::new(Kind::BadInput, "field \"networks.addresses\"")
                .why(format_args!("no server or router is heard on a {}", told(&plug)))
                .remedy("give addresses, or none"));
        }
        let local = match plug {
            Plug::Ipvlan { .. } => key.mac().link_local(),
            _ => mac.link_local(),
        };
        let lent = None;
        Ok(Wish {
            container,
            interface,
            link,
            plug,
            mac,
            local,
            lent,
            sources,
            client,
            dad,
            dns: false,
            rapid_commit: true,
            network,
            guard: None,
        })
    }

    /// The same, shut for all but those who may reach it.
    fn for_whom(mut self, allow_from: AllowFrom) -> Result<Wish> {
        self.guard = guard(&self.container, &self.interface, &self.plug, allow_from)?;
        Ok(self)
    }

    /// The wish as it is at its place: an interface that has the hardware address of what it stands
    /// on, or is a device of the host, is known by that.
    pub fn at(&self, place: &Place, known: Option<&Attachment>) -> Wish {
        let mut wish = self.clone();
        let known = known.filter(|known| known.network.parent == self.network.parent);
        let former = known.and_then(|known| known.lent.clone());
        if let Plug::Direct { .. } = self.plug {
            wish.lent = former.or_else(|| place.device.as_ref().map(lent));
        }
        let given = match &self.plug {
            Plug::Direct { .. } => wish.lent.as_ref().and_then(|lent| lent.mac),
            Plug::Ipvlan { .. } | Plug::Macvlan { mode: LinkMode::Passthru, .. } => {
                place.link.as_ref().and_then(|link| link.mac)
            }
            _ => None,
        };
        if let Some(mac) = given.filter(|_| self.network.mac.is_none()) {
            wish.has_mac(mac);
        }
        wish
    }

    /// Takes over the hardware address that the interface has.
    fn has_mac(&mut self, mac: Mac) {
        self.mac = mac;
        if !matches!(self.plug, Plug::Ipvlan { .. }) {
            self.local = mac.link_local();
        }
    }

    /// The wish as what is remembered of it was made.
    pub fn as_made(&self, known: &Attachment) -> Wish {
        let mut wish = Wish { lent: known.lent.clone(), ..self.clone() };
        wish.has_mac(known.mac);
        wish
    }

    /// Whether there are others on its link, and they hear what is sent to all.
    pub fn hears_multicast(&self) -> bool {
        hears_multicast(&self.plug)
    }

    /// The wish that led to what is remembered.
    pub fn of(known: &Attachment, dad: Dad) -> Result<Wish> {
        let Attachment { container, interface, link, mac, network, lease, lent, .. } =
            known.clone();
        let mut wish = Wish::assembled(container, interface, link, mac, network, dad)?;
        wish.dns = known.dns;
        wish.rapid_commit = !known.no_rapid_commit;
        wish.lent = lent;
        if let Some(leased) = lease {
            wish.client = Some((leased.duid, leased.iaid));
        }
        wish.for_whom(known.allow_from.unwrap_or_default())
    }

    /// The names of the host's ends of a container's interfaces, whatever else is wrong with them.
    pub fn links_of(container: &Container, options: &Options) -> Vec<Ifname> {
        let entries = entries(container, options).into_iter().enumerate();
        entries.map(|(at, entry)| link_name(container, &entry, options, at == 0)).collect()
    }

    /// The hardware address of the host's end. A bridge whose address is not fixed takes the
    /// lowest of its ports', so this one is high.
    pub fn outer_mac(mac: Mac) -> Mac {
        let [_, b, c, d, e, f] = mac.as_bytes();
        Mac::new([0xfe, !b, !c, !d, !e, !f])
    }

    /// Whether it needs IPv6 to work inside.
    pub fn speaks_ipv6(&self) -> bool {
        let given = self.sources.fixed.iter().any(|fixed| fixed.address.is_ipv6());
        let routed = self.network.routes.iter().any(|route| route.to.addr().is_ipv6());
        self.client.is_some() || self.sources.slaac || given || routed
    }

    /// By what DHCPv4 servers know it: as the client that DHCPv6 servers see.
    pub fn identifier(&self) -> ClientIdentifier {
        let own = || client(&self.container, link_key(&self.container, &self.interface));
        let (duid, iaid) = self.client.clone().unwrap_or_else(own);
        dhcp4::identifier(&duid, iaid)
    }

    /// What is remembered of it, with the lease that it has.
    pub fn attachment(&self, lease: Option<Leased>) -> Attachment {
        Attachment {
            version: VERSION,
            container: self.container.clone(),
            interface: self.interface.clone(),
            link: self.link.clone(),
            network: self.network.clone(),
            mac: self.mac,
            asking: lease.is_none() && self.client.is_some(),
            lease,
            lease4: None,
            dns: self.dns,
            no_rapid_commit: !self.rapid_commit,
            allow_from: self.guard.as_ref().map(|_| AllowFrom::Lease),
            lent: self.lent.clone(),
            rest: Default::default(),
        }
    }
}

fn hears_multicast(plug: &Plug) -> bool {
    use LinkMode::{L3, L3s};
    !matches!(plug, Plug::Dummy | Plug::Ipvlan { mode: L3 | L3s, .. })
}

/// What it is, for people.
fn told(plug: &Plug) -> String {
    match plug {
        Plug::Ipvlan { mode, .. } => format!("ipvlan in mode {mode}"),
        plug => plug.kind().to_string(),
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
    let leased4 = known.lease4.as_ref();
    addresses.extend(leased4.map(|lease| lease.address.clone()));
    addresses.extend(known.fixed().map(given));
    let servers = leased.into_iter().flat_map(|lease| &lease.dns_servers);
    let servers4 = leased4.into_iter().flat_map(|lease| &lease.dns_servers);
    let search = leased.into_iter().flat_map(|lease| &lease.search);
    let search4 = leased4.into_iter().flat_map(|lease| &lease.search);
    let network = &known.network;
    Interface {
        name: known.interface.clone(),
        link: known.link.clone(),
        kind: network.kind.filter(|kind| *kind != LinkKind::Veth),
        bridge: network.bridge.clone(),
        parent: network.parent.clone(),
        mac: known.mac,
        duid: leased.map(|lease| lease.duid.clone()).or(client.map(|(duid, _)| duid.clone())),
        iaid: leased.map(|lease| lease.iaid).or(client.map(|(_, iaid)| *iaid)),
        addresses,
        prefixes: leased.map(|lease| lease.prefixes.clone()).unwrap_or_default(),
        router,
        ipv4_router: None,
        dns_servers: unique(servers.chain(servers4)),
        search: unique(search.chain(search4)),
        ready_ms: None,
        rest: Default::default(),
    }
}

/// Each of them once, in their order.
fn unique<'a, T: Clone + PartialEq + 'a>(all: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(one) {
            once.push(one.clone());
        }
    }
    once
}

/// An address that is given as it is, as records show it.
fn given(fixed: &Fixed) -> Address {
    Address {
        address: fixed.address,
        prefix_len: fixed.prefix_len,
        origin: Origin::Static,
        preferred_until: None,
        valid_until: None,
        rest: Default::default(),
    }
}

/// The name of the host's end: as its document says, or for the first as the command line does, or
/// else derived from the identity.
fn link_name(container: &Container, entry: &Entry, options: &Options, first: bool) -> Ifname {
    let own = entry.network.and_then(|network| network.link.as_ref());
    let usual = options.network.link.as_ref().filter(|_| first);
    own.or(usual).cloned().unwrap_or_else(|| name(link_key(container, &entry.interface)))
}

fn link_key(container: &Container, interface: &Ifname) -> Key {
    let identity = container.identity();
    Key::derive("link", &[identity.as_str().as_bytes(), interface.as_str().as_bytes()])
}

fn name(key: Key) -> Ifname {
    format!("lp{key}").parse().expect("2 and 13 visible characters")
}

/// Whether a name is of the form that nobody but [`name`] gives.
pub fn is_derived(name: &Ifname) -> bool {
    name.as_str().strip_prefix("lp").is_some_and(|key| key.parse::<Key>().is_ok())
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
        steps: Vec::new(),
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
        let mut line = vec!["--bridge", "br1"];
        line.extend(interface.iter().flat_map(|name| ["-i", *name]));
        line.extend(given.iter().flat_map(|given| ["--address", *given]));
        Options::given(&line)
    }

    #[test]
    fn a_document_says_what_each_of_its_interfaces_is() {
        let container = container(
            r#"{"id":"web","image":"b","addresses":["fd00::9/64"],"networks":[
                {"bridge":"br7"},
                {"bridge":"br8","interface":"lan","mac":"02:00:00:00:00:09",
                 "addresses":["fd00::5/64","fd00::5/64"]},
                {"bridge":"br9","addresses":["dhcp6"]}]}"#,
        );
        let options = options(None, &["dhcp6", "fd00::1/64"]);
        let wishes = Wish::all(&container, &options).unwrap();
        let told: Vec<String> = wishes
            .iter()
            .map(|wish| {
                let fixed: Vec<String> =
                    wish.sources.fixed.iter().map(ToString::to_string).collect();
                let asks = wish.client.is_some();
                format!("{} {} {asks} {}", wish.plug, wish.interface, fixed.join(","))
            })
            .collect();
        assert_eq!(
            told,
            ["br7 eth0 true fd00::1/64,fd00::9/64", "br8 lan false fd00::5/64", "br9 eth1 true "]
        );
        assert_eq!(wishes[1].mac.to_string(), "02:00:00:00:00:09");
        assert_ne!(wishes[0].mac, wishes[2].mac);
        let (first, third) = (wishes[0].client.as_ref(), wishes[2].client.as_ref());
        let ((duid, iaid), (other, association)) = (first.unwrap(), third.unwrap());
        assert!(duid == other && iaid != association, "one client, an association for each");
        let links: Vec<_> = wishes.iter().map(|wish| wish.link.clone()).collect();
        assert_eq!(Wish::links_of(&container, &options), links);
    }

    #[test]
    fn someone_names_the_bridge() {
        let none = Options::given(&[]);
        let plain = container(r#"{"id":"web","image":"busybox"}"#);
        let why = Wish::all(&plain, &none).unwrap_err();
        assert_eq!(why.kind(), Kind::BadInput);
        assert!(why.to_string().contains("there is no --bridge"), "{why}");
        assert_eq!(Wish::links_of(&plain, &none).len(), 1);
        let own = container(r#"{"id":"web","image":"b","networks":[{"bridge":"br7"}]}"#);
        assert_eq!(Wish::all(&own, &none).unwrap().len(), 1);
    }

    #[test]
    fn the_container_s_own_addresses_come_beside_those_of_the_command_line() {
        let container = container(
            r#"{"id":"web","image":"busybox","addresses":["fd00::5/64","fd00::6/64","fd00::6/64"]}"#,
        );
        let options = options(None, &["dhcp6", "fd00::5/64"]);
        let wish = Wish::all(&container, &options).unwrap().remove(0);
        let fixed: Vec<String> = wish.sources.fixed.iter().map(ToString::to_string).collect();
        assert_eq!(fixed, ["fd00::5/64", "fd00::6/64"]);
        assert!(wish.client.is_some());
    }

    #[test]
    fn names_and_addresses_follow_from_the_identity() {
        let container = container(r#"{"id":"web","image":"busybox","env":["PASSWORD=x"]}"#);
        let link = |name| Wish::links_of(&container, &options(name, &[])).remove(0);
        assert_eq!(link(None).as_str().len(), 15);
        assert!(is_derived(&link(None)) && !is_derived(&"lpweb".parse().unwrap()));
        assert_eq!(link(None), link(Some("eth0")));
        assert_ne!(link(None), link(Some("eth1")));
        let mac = link_key(&container, &"eth0".parse().unwrap()).mac();
        assert_eq!(Wish::outer_mac(mac).as_bytes()[0], 0xfe);
        assert_ne!(Wish::outer_mac(mac), mac);
        assert!(!serde_json::to_string(&identity(&container)).unwrap().contains("PASSWORD"));
    }
}
