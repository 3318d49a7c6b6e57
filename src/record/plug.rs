//! The interfaces that unionize makes: what each is, and where it is plugged in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::shape::document;
use super::text::{as_json_string, as_json_word};
use super::{Fixed, Ifname, Mac, NotA, Object, Rate, Route, Rule};

document! {
    /// An interface of a container, and where it is plugged in. What is absent is as unionize's
    /// command line says.
    pub struct LinkNetwork {
        /// What the interface is; absent means one end of a veth pair.
        opt kind: LinkKind,
        /// The bridge of the host that a veth is plugged into.
        opt bridge: Ifname,
        /// The host's interface that another one stands on, or that is moved in itself.
        opt parent: Parent,
        /// How several on one parent see each other.
        opt mode: LinkMode,
        /// The VLAN that it is in.
        opt vlan: VlanId,
        /// The number of the VXLAN segment.
        opt vni: Vni,
        /// Where frames of a VXLAN are sent that nobody is known for.
        opt remote: IpAddr,
        /// The UDP port of a VXLAN; absent means 4789.
        opt port: u16,
        /// The interface's name inside.
        opt interface: Ifname,
        /// The name of its other end on the host; absent means derived from the container's identity.
        opt link: Ifname,
        /// Its hardware address; absent means derived from the container's identity.
        opt mac: Mac,
        /// Its largest packet in bytes; absent means that of what it is plugged into.
        opt mtu: u32,
        /// Where its addresses come from.
        many addresses: Vec<Addressing>,
        /// Length in bits of the prefix that is asked for by DHCPv6 prefix delegation.
        opt delegate: u8,
        /// Routes over it, in the words of ip-route(8), a set.
        many routes: Vec<Route>,
        /// Rules for which packets which routing table is looked into, in the words of ip-rule(8), a
        /// set.
        many rules: Vec<Rule>,
        /// How fast it may send and, where it has another end on the host, receive: bits per second, in
        /// the units of tc(8).
        opt rate: Rate,
    }
}

/// What the interface of a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair whose other end is a port of a Linux bridge.
    #[default]
    Veth,
    /// One end of a veth pair whose other end is a port of an Open vSwitch bridge.
    Ovs,
    /// A MAC address of its own on an interface of the host.
    Macvlan,
    /// IP addresses of its own on an interface of the host.
    Ipvlan,
    /// One VLAN of an interface of the host.
    Vlan,
    /// An interface of the host itself, moved in.
    Direct,
    /// An interface that leads nowhere.
    Dummy,
    /// A segment that goes over UDP.
    Vxlan,
}

as_json_word!(LinkKind "a kind of interface (veth, ovs, macvlan, ipvlan, vlan, direct, dummy, vxlan)" {
    Veth "veth",
    Ovs "ovs",
    Macvlan "macvlan",
    Ipvlan "ipvlan",
    Vlan "vlan",
    Direct "direct",
    Dummy "dummy",
    Vxlan "vxlan",
});

/// How several interfaces on one parent see each other: the modes of macvlan, then those of ipvlan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// They reach each other, and not the host.
    Bridge,
    /// They do not.
    Private,
    /// By way of a switch that sends their frames back.
    Vepa,
    /// There is one, which has the parent to itself.
    Passthru,
    /// They share a link.
    L2,
    /// The host routes between them.
    L3,
    /// The same, and its packet filter sees them.
    L3s,
}

as_json_word!(LinkMode "a mode (bridge, private, vepa or passthru for macvlan, l2, l3 or l3s for ipvlan)" {
    Bridge "bridge",
    Private "private",
    Vepa "vepa",
    Passthru "passthru",
    L2 "l2",
    L3 "l3",
    L3s "l3s",
});

/// Where an address comes from: one of a few words, or the address itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// There is to be none.
    None,
    /// A DHCPv6 server (IA_NA).
    Dhcp6,
    /// A DHCPv6 server, for a while (IA_TA).
    Dhcp6Temporary,
    /// A DHCPv4 server.
    Dhcp4,
    /// The kernel makes it from what routers advertise (RFC 4862).
    Slaac,
    /// It is given as it is.
    Fixed(Fixed),
}

impl FromStr for Addressing {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Addressing, NotA> {
        match text {
            "none" => Ok(Addressing::None),
            "dhcp6" => Ok(Addressing::Dhcp6),
            "dhcp6-temporary" => Ok(Addressing::Dhcp6Temporary),
            "dhcp4" => Ok(Addressing::Dhcp4),
            "slaac" => Ok(Addressing::Slaac),
            text => text.parse().map(Addressing::Fixed).map_err(|_: NotA| {
                let wanted = "a source of addresses (dhcp6, dhcp6-temporary, dhcp4, slaac, none, or \
                              ADDRESS/LENGTH[@ROUTER])";
                NotA::new(text, wanted)
            }),
        }
    }
}

impl fmt::Display for Addressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addressing::None => f.write_str("none"),
            Addressing::Dhcp6 => f.write_str("dhcp6"),
            Addressing::Dhcp6Temporary => f.write_str("dhcp6-temporary"),
            Addressing::Dhcp4 => f.write_str("dhcp4"),
            Addressing::Slaac => f.write_str("slaac"),
            Addressing::Fixed(fixed) => fixed.fmt(f),
        }
    }
}

/// An interface of the host: by its name, or by its hardware address as `mac:` and six hex pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The one of this name.
    Name(Ifname),
    /// The one that has this address.
    Mac(Mac),
}

impl FromStr for Parent {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Parent, NotA> {
        let wrong = |_| NotA::new(text, "an interface of the host (NAME, or mac: and its address)");
        match text.strip_prefix("mac:") {
            Some(mac) => mac.parse().map(Parent::Mac).map_err(wrong),
            None => text.parse().map(Parent::Name).map_err(wrong),
        }
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parent::Name(name) => name.fmt(f),
            Parent::Mac(mac) => write!(f, "mac:{mac}"),
        }
    }
}

as_json_string!(Addressing, Parent);

/// Defines a whole number with bounds.
macro_rules! bounded {
    ($(#[$meta:meta])* $name:ident, $bounds:expr, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The least and the greatest.
            pub const BOUNDS: (u32, u32) = $bounds;

            /// The number.
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl TryFrom<u32> for $name {
            type Error = NotA;

            fn try_from(number: u32) -> Result<$name, NotA> {
                let (least, most) = $name::BOUNDS;
                let fits = (least..=most).contains(&number);
                fits.then_some($name(number)).ok_or_else(|| NotA::new(&number.to_string(), $what))
            }
        }

        impl From<$name> for u32 {
            fn from(number: $name) -> u32 {
                number.0
            }
        }

        impl FromStr for $name {
            type Err = NotA;

            fn from_str(text: &str) -> Result<$name, NotA> {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = digits.then(|| text.parse::<u32>().ok()).flatten();
                let number = number.and_then(|number| $name::try_from(number).ok());
                number.ok_or_else(|| NotA::new(text, $what))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(
    /// The number of a VLAN (IEEE 802.1Q).
    VlanId,
    (1, 4094),
    "the number of a VLAN (1 to 4094)"
);

bounded!(
    /// The number of a VXLAN segment (RFC 7348).
    Vni,
    (0, 0xff_ffff),
    "the number of a VXLAN segment (0 to 16777215)"
);

/// The UDP port of a VXLAN where none is given (RFC 7348 section 5).
pub const VXLAN_PORT: u16 = 4789;

/// Where an interface is plugged in, with all that its kind needs and nothing else. What the fields
/// mean stands at those of [`LinkNetwork`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of LinkNetwork")]
pub enum Plug {
    /// Into a Linux bridge, its frames untagged in one VLAN of it if there is one.
    Bridge { bridge: Ifname, vlan: Option<VlanId> },
    /// Into a bridge of Open vSwitch.
    Ovs { bridge: Ifname, vlan: Option<VlanId> },
    /// Onto an interface, by a MAC address of its own.
    Macvlan { parent: Parent, mode: LinkMode },
    /// Onto an interface, by IP addresses of its own.
    Ipvlan { parent: Parent, mode: LinkMode },
    /// Onto one VLAN of an interface.
    Vlan { parent: Parent, vlan: VlanId },
    /// It is an interface of the host.
    Direct { parent: Parent },
    /// Nowhere.
    Dummy,
    /// Into a segment over UDP.
    Vxlan { vni: Vni, remote: Option<IpAddr>, port: u16, parent: Option<Parent> },
}

impl LinkNetwork {
    /// One that says nothing.
    pub fn unsaid() -> LinkNetwork {
        LinkNetwork {
            kind: None,
            bridge: None,
            parent: None,
            mode: None,
            vlan: None,
            vni: None,
            remote: None,
            port: None,
            interface: None,
            link: None,
            mac: None,
            mtu: None,
            addresses: Vec::new(),
            delegate: None,
            routes: Vec::new(),
            rules: Vec::new(),
            rate: None,
            rest: Object::default(),
        }
    }

    /// This one, and what it does not say as `usual` does. Where it is plugged in is said by one of
    /// them alone; names, identities, routes and rules are not taken over, because no two can have
    /// them.
    pub fn or(&self, usual: &LinkNetwork) -> LinkNetwork {
        let place = if self.says_where() { self } else { usual };
        LinkNetwork {
            interface: self.interface.clone(),
            link: self.link.clone(),
            mac: self.mac,
            mtu: self.mtu.or(usual.mtu),
            addresses: match self.addresses.is_empty() {
                true => usual.addresses.clone(),
                false => self.addresses.clone(),
            },
            delegate: self.delegate.or(usual.delegate),
            routes: self.routes.clone(),
            rules: self.rules.clone(),
            rate: self.rate.or(usual.rate),
            rest: self.rest.clone(),
            ..place.clone()
        }
    }

    /// Whether it says where it is plugged in.
    pub fn says_where(&self) -> bool {
        self.kind.is_some() || self.bridge.is_some() || self.parent.is_some()
    }

    /// Where it is plugged in.
    ///
    /// # Errors
    /// The first field that is missing for its kind, or makes no sense there.
    pub fn plug(&self) -> Result<Plug, Misfit> {
        let kind = self.kind.unwrap_or_default();
        self.hold_against(kind)?;
        let wanting = |field| wrong(field, format_args!("kind \"{kind}\" needs it"));
        let bridge = || self.bridge.clone().ok_or_else(|| wanting("bridge"));
        let parent = || self.parent.clone().ok_or_else(|| wanting("parent"));
        let vlan = self.vlan;
        Ok(match kind {
            LinkKind::Veth => Plug::Bridge { bridge: bridge()?, vlan },
            LinkKind::Ovs => Plug::Ovs { bridge: bridge()?, vlan },
            LinkKind::Macvlan => {
                use LinkMode::{Bridge, Passthru, Private, Vepa};
                let mode = self.mode_of(kind, &[Bridge, Private, Vepa, Passthru])?;
                Plug::Macvlan { parent: parent()?, mode }
            }
            LinkKind::Ipvlan => {
                let mode = self.mode_of(kind, &[LinkMode::L2, LinkMode::L3, LinkMode::L3s])?;
                Plug::Ipvlan { parent: parent()?, mode }
            }
            LinkKind::Vlan => {
                Plug::Vlan { parent: parent()?, vlan: vlan.ok_or_else(|| wanting("vlan"))? }
            }
            LinkKind::Direct => Plug::Direct { parent: parent()? },
            LinkKind::Dummy => Plug::Dummy,
            LinkKind::Vxlan => Plug::Vxlan {
                vni: self.vni.ok_or_else(|| wanting("vni"))?,
                remote: self.remote,
                port: self.port.unwrap_or(VXLAN_PORT),
                parent: self.parent.clone(),
            },
        })
    }

    /// Refuses the fields that the kind has no use for: whoever wrote them meant something else.
    fn hold_against(&self, kind: LinkKind) -> Result<(), Misfit> {
        use LinkKind::{Dummy, Ipvlan, Macvlan, Ovs, Veth, Vlan, Vxlan};
        let ported = matches!(kind, Veth | Ovs);
        for (field, is_there, fits) in [
            ("bridge", self.bridge.is_some(), ported),
            ("link", self.link.is_some(), ported),
            ("parent", self.parent.is_some(), !ported && kind != Dummy),
            ("mode", self.mode.is_some(), matches!(kind, Macvlan | Ipvlan)),
            ("vlan", self.vlan.is_some(), ported || kind == Vlan),
            ("vni", self.vni.is_some(), kind == Vxlan),
            ("remote", self.remote.is_some(), kind == Vxlan),
            ("port", self.port.is_some(), kind == Vxlan),
            ("mac", self.mac.is_some(), kind != Ipvlan),
        ] {
            if is_there && !fits {
                return Err(wrong(field, format_args!("it does not go with kind \"{kind}\"")));
            }
        }
        Ok(())
    }

    /// The mode: the first of these where it says none.
    fn mode_of(&self, kind: LinkKind, modes: &[LinkMode]) -> Result<LinkMode, Misfit> {
        let mode = self.mode.unwrap_or(modes[0]);
        match modes.contains(&mode) {
            true => Ok(mode),
            false => Err(wrong("mode", format_args!("kind \"{kind}\" has no mode \"{mode}\""))),
        }
    }
}

/// A field of a [`LinkNetwork`] that does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its name.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

fn wrong(field: &'static str, why: impl fmt::Display) -> Misfit {
    Misfit { field, why: why.to_string() }
}

impl Plug {
    /// Whether the interface has another end on the host.
    pub fn has_two_ends(&self) -> bool {
        matches!(self.kind(), LinkKind::Veth | LinkKind::Ovs)
    }

    /// What the interface is.
    pub fn kind(&self) -> LinkKind {
        match self {
            Plug::Bridge { .. } => LinkKind::Veth,
            Plug::Ovs { .. } => LinkKind::Ovs,
            Plug::Macvlan { .. } => LinkKind::Macvlan,
            Plug::Ipvlan { .. } => LinkKind::Ipvlan,
            Plug::Vlan { .. } => LinkKind::Vlan,
            Plug::Direct { .. } => LinkKind::Direct,
            Plug::Dummy => LinkKind::Dummy,
            Plug::Vxlan { .. } => LinkKind::Vxlan,
        }
    }

    /// The bridge that the host's end is a port of.
    pub fn bridge(&self) -> Option<&Ifname> {
        match self {
            Plug::Bridge { bridge, .. } | Plug::Ovs { bridge, .. } => Some(bridge),
            _ => None,
        }
    }

    /// The interface of the host that it stands on or is.
    pub fn parent(&self) -> Option<&Parent> {
        match self {
            Plug::Macvlan { parent, .. }
            | Plug::Ipvlan { parent, .. }
            | Plug::Vlan { parent, .. }
            | Plug::Direct { parent } => Some(parent),
            Plug::Vxlan { parent, .. } => parent.as_ref(),
            Plug::Bridge { .. } | Plug::Ovs { .. } | Plug::Dummy => None,
        }
    }
}

/// Where it is, for people: the bridge or parent, or else the kind.
impl fmt::Display for Plug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bridge(), self.parent()) {
            (Some(bridge), _) => bridge.fmt(f),
            (None, Some(parent)) => parent.fmt(f),
            (None, None) => self.kind().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plug(text: &str) -> Result<Plug, String> {
        let network: LinkNetwork = serde_json::from_str(text).map_err(|why| why.to_string())?;
        network.plug().map_err(|misfit| misfit.field.to_owned())
    }

    #[test]
    fn each_kind_has_what_it_needs() {
        let bridge: Ifname = "br1".parse().unwrap();
        let parent: Parent = "eth0".parse().unwrap();
        let vlan = VlanId::try_from(7).unwrap();
        for (text, wanted) in [
            (r#"{"bridge":"br1"}"#, Plug::Bridge { bridge: bridge.clone(), vlan: None }),
            (r#"{"kind":"ovs","bridge":"br1","vlan":7}"#, Plug::Ovs { bridge, vlan: Some(vlan) }),
            (
                r#"{"kind":"macvlan","parent":"eth0"}"#,
                Plug::Macvlan { parent: parent.clone(), mode: LinkMode::Bridge },
            ),
            (
                r#"{"kind":"ipvlan","parent":"eth0","mode":"l3"}"#,
                Plug::Ipvlan { parent: parent.clone(), mode: LinkMode::L3 },
            ),
            (
                r#"{"kind":"vlan","parent":"eth0","vlan":7}"#,
                Plug::Vlan { parent: parent.clone(), vlan },
            ),
            (
                r#"{"kind":"direct","parent":"mac:02:00:00:00:00:09"}"#,
                Plug::Direct { parent: "mac:02:00:00:00:00:09".parse().unwrap() },
            ),
            (r#"{"kind":"dummy"}"#, Plug::Dummy),
            (
                r#"{"kind":"vxlan","vni":9,"remote":"ff05::9","parent":"eth0"}"#,
                Plug::Vxlan {
                    vni: Vni::try_from(9).unwrap(),
                    remote: "ff05::9".parse().ok(),
                    port: VXLAN_PORT,
                    parent: Some(parent),
                },
            ),
        ] {
            let found = plug(text).unwrap();
            assert_eq!(found, wanted, "{text}");
            let kind = if text.contains("kind") { found.kind().as_str() } else { "veth" };
            assert!(kind == "veth" || text.contains(kind), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_told() {
        for (text, field) in [
            (r#"{}"#, "bridge"),
            (r#"{"kind":"ovs"}"#, "bridge"),
            (r#"{"kind":"macvlan"}"#, "parent"),
            (r#"{"kind":"macvlan","parent":"eth0","bridge":"br1"}"#, "bridge"),
            (r#"{"kind":"macvlan","parent":"eth0","mode":"l2"}"#, "mode"),
            (r#"{"kind":"ipvlan","parent":"eth0","mode":"vepa"}"#, "mode"),
            (r#"{"kind":"ipvlan","parent":"eth0","mac":"02:00:00:00:00:09"}"#, "mac"),
            (r#"{"kind":"vlan","parent":"eth0"}"#, "vlan"),
            (r#"{"kind":"vxlan"}"#, "vni"),
            (r#"{"kind":"dummy","parent":"eth0"}"#, "parent"),
            (r#"{"bridge":"br1","vni":3}"#, "vni"),
            (r#"{"bridge":"br1","parent":"eth0"}"#, "parent"),
            (r#"{"kind":"direct","parent":"eth0","link":"x"}"#, "link"),
            (r#"{"bridge":"br1","vlan":4095}"#, "vlan"),
            (r#"{"kind":"vxlan","vni":16777216}"#, "vni"),
        ] {
            let why = plug(text).unwrap_err();
            assert!(why.contains(field), "{text}: {why}");
        }
    }

    #[test]
    fn what_is_unsaid_is_as_usual_and_the_place_is_said_by_one_alone() {
        let network = |text| serde_json::from_str::<LinkNetwork>(text).unwrap();
        let usual = network(
            r#"{"kind":"macvlan","parent":"eth0","mode":"vepa","mtu":1400,"addresses":["slaac"],
                "interface":"x","mac":"02:00:00:00:00:09"}"#,
        );
        let own = network(r#"{"bridge":"br1","delegate":56}"#).or(&usual);
        let wanted = network(r#"{"bridge":"br1","mtu":1400,"addresses":["slaac"],"delegate":56}"#);
        assert_eq!(own, wanted);
        let wanted = LinkNetwork { interface: None, mac: None, ..usual.clone() };
        assert_eq!(LinkNetwork::unsaid().or(&usual), wanted);
    }

    #[test]
    fn numbers_are_read_and_written() {
        assert_eq!("4094".parse::<VlanId>().unwrap().to_string(), "4094");
        for bad in ["", "0", "4095", "+1", "99999999999"] {
            assert!(bad.parse::<VlanId>().is_err(), "{bad}");
        }
        assert_eq!(Vni::try_from(0).unwrap().get(), 0);
    }
}
