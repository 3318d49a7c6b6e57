//! Links that have one end: macvlan, ipvlan, VLAN sub-interfaces, VXLAN and dummies. They are made
//! inside a container's namespace in one message, so that a failure leaves nothing of them.
//!
//! Offloads are left as the kernel gives them. What a link of these kinds hands down unfinished
//! (TX checksums, segments) its lower device finishes, in hardware or before the wire, and the
//! kernel takes a packet that stayed on the host as good as it is. The one place where a checksum
//! gets lost is a switch outside the kernel: see [`Netlink`]'s `finish_checksums`.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, InfoVxlan, IpVlanMode, LinkAttribute,
    LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;

use super::{Netlink, Refusal, failed};
use crate::error::{Error, Kind, Result};
use crate::record::{Ifname, Mac};

/// What a link of one end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single {
    /// A station of its own on the lower device's link.
    Macvlan(Macvlan),
    /// A station that shares the lower device's hardware address.
    Ipvlan(Ipvlan),
    /// What the lower device carries with this VLAN tag.
    Vlan(u16),
    /// A segment that is carried in UDP.
    Vxlan(Vxlan),
    /// Nothing: packets to it are dropped.
    Dummy,
}

/// Whom a macvlan reaches of those on the same lower device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Macvlan {
    /// The others, directly.
    Bridge,
    /// None of them.
    Private,
    /// Those that a switch outside sends the frames back to.
    Vepa,
    /// There are no others: it has the lower device, and its hardware address, to itself.
    Passthru,
}

/// What an ipvlan does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipvlan {
    /// It is on the lower device's link, multicast included.
    L2,
    /// It is routed by the host's namespace; no broadcast or multicast.
    L3,
    /// The same, through the host's netfilter.
    L3s,
}

/// A VXLAN segment (RFC 7348).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// Its number, below 2^24.
    pub vni: u32,
    /// Where frames go whose place is not known: the other end, or a multicast group.
    pub remote: Option<IpAddr>,
    /// The UDP port.
    pub port: u16,
    /// The number of the interface that carries it; absent leaves that to the routes.
    pub over: Option<u32>,
}

impl Vxlan {
    /// The port of RFC 7348. The kernel's own default is an older one.
    pub const PORT: u16 = 4789;

    /// How much of a packet on the wire the headers of a segment take whose frames go to `remote`, in
    /// bytes: Ethernet inside, VXLAN, UDP, and IPv4 or IPv6.
    pub fn overhead(remote: Option<IpAddr>) -> u32 {
        match remote {
            Some(IpAddr::V6(_)) => 14 + 8 + 8 + 40,
            _ => 14 + 8 + 8 + 20,
        }
    }
}

/// A link of one end that is to be made.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Its name.
    pub name: &'a Ifname,
    /// Its hardware address; absent where the kernel gives the lower device's.
    pub mac: Option<Mac>,
    /// Its largest packet in bytes; absent means as large as the lower device allows.
    pub mtu: Option<u32>,
    /// The number of the device that it stands on, in this connection's namespace.
    pub lower: Option<u32>,
    /// What it is.
    pub single: Single,
}

impl Single {
    /// The kernel's word for it.
    pub fn word(&self) -> &'static str {
        self.words().0
    }

    /// The kernel's word for it, and for what it was built with.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Single::Macvlan(_) => ("macvlan", "MACVLAN"),
            Single::Ipvlan(_) => ("ipvlan", "IPVLAN"),
            Single::Vlan(_) => ("vlan", "VLAN_8021Q"),
            Single::Vxlan(_) => ("vxlan", "VXLAN"),
            Single::Dummy => ("dummy", "DUMMY"),
        }
    }

    /// Whether it always has the lower device's hardware address.
    pub fn shares_mac(&self) -> bool {
        matches!(self, Single::Ipvlan(_) | Single::Macvlan(Macvlan::Passthru))
    }

    /// Out of the kernel's description; nothing when it is none of these.
    pub(super) fn read(infos: &[LinkInfo]) -> Option<Single> {
        let data = infos.iter().find_map(|info| match info {
            LinkInfo::Data(data) => Some(data),
            _ => None,
        });
        if infos.contains(&LinkInfo::Kind(InfoKind::Dummy)) {
            return Some(Single::Dummy);
        }
        match data? {
            InfoData::MacVlan(infos) => infos.iter().find_map(macvlan).map(Single::Macvlan),
            InfoData::IpVlan(infos) => infos.iter().find_map(ipvlan).map(Single::Ipvlan),
            InfoData::Vlan(infos) => infos.iter().find_map(|info| match info {
                InfoVlan::Id(id) => Some(Single::Vlan(*id)),
                _ => None,
            }),
            InfoData::Vxlan(infos) => vxlan(infos).map(Single::Vxlan),
            _ => None,
        }
    }

    fn kind(&self) -> InfoKind {
        match self {
            Single::Macvlan(_) => InfoKind::MacVlan,
            Single::Ipvlan(_) => InfoKind::IpVlan,
            Single::Vlan(_) => InfoKind::Vlan,
            Single::Vxlan(_) => InfoKind::Vxlan,
            Single::Dummy => InfoKind::Dummy,
        }
    }

    fn data(&self) -> Option<InfoData> {
        match self {
            Single::Macvlan(mode) => {
                let mode = match mode {
                    Macvlan::Bridge => MacVlanMode::Bridge,
                    Macvlan::Private => MacVlanMode::Private,
                    Macvlan::Vepa => MacVlanMode::Vepa,
                    Macvlan::Passthru => MacVlanMode::Passthrough,
                };
                Some(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]))
            }
            Single::Ipvlan(mode) => {
                let mode = match mode {
                    Ipvlan::L2 => IpVlanMode::L2,
                    Ipvlan::L3 => IpVlanMode::L3,
                    Ipvlan::L3s => IpVlanMode::L3S,
                };
                Some(InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)]))
            }
            Single::Vlan(id) => Some(InfoData::Vlan(vec![InfoVlan::Id(*id)])),
            Single::Vxlan(vxlan) => Some(InfoData::Vxlan(vxlan.data())),
            Single::Dummy => None,
        }
    }
}

impl Vxlan {
    fn data(&self) -> Vec<InfoVxlan> {
        let mut data = vec![InfoVxlan::Id(self.vni), InfoVxlan::Port(self.port)];
        data.extend(self.remote.map(|remote| match remote {
            IpAddr::V4(remote) => InfoVxlan::Group(remote),
            IpAddr::V6(remote) => InfoVxlan::Group6(remote),
        }));
        data.extend(self.over.map(InfoVxlan::Link));
        data
    }
}

fn macvlan(info: &InfoMacVlan) -> Option<Macvlan> {
    match info {
        InfoMacVlan::Mode(MacVlanMode::Bridge) => Some(Macvlan::Bridge),
        InfoMacVlan::Mode(MacVlanMode::Private) => Some(Macvlan::Private),
        InfoMacVlan::Mode(MacVlanMode::Vepa) => Some(Macvlan::Vepa),
        InfoMacVlan::Mode(MacVlanMode::Passthrough) => Some(Macvlan::Passthru),
        _ => None,
    }
}

fn ipvlan(info: &InfoIpVlan) -> Option<Ipvlan> {
    match info {
        InfoIpVlan::Mode(IpVlanMode::L2) => Some(Ipvlan::L2),
        InfoIpVlan::Mode(IpVlanMode::L3) => Some(Ipvlan::L3),
        InfoIpVlan::Mode(IpVlanMode::L3S) => Some(Ipvlan::L3s),
        _ => None,
    }
}

fn vxlan(infos: &[InfoVxlan]) -> Option<Vxlan> {
    let mut vni = None;
    let mut vxlan = Vxlan { vni: 0, remote: None, port: 0, over: None };
    for info in infos {
        match info {
            InfoVxlan::Id(id) => vni = Some(*id),
            InfoVxlan::Group(remote) => vxlan.remote = Some((*remote).into()),
            InfoVxlan::Group6(remote) => vxlan.remote = Some((*remote).into()),
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Link(over) => vxlan.over = Some(*over).filter(|over| *over != 0),
            _ => (),
        }
    }
    vni.map(|vni| Vxlan { vni, ..vxlan })
}

impl Netlink {
    /// Makes `new` inside the namespace `netns`, switched off. Nothing is made when it fails.
    ///
    /// # Errors
    /// `Refused` when the kernel lacks the kind, the name is taken, or what it would stand on is in
    /// use in a way that does not allow it.
    pub fn make_single(&self, new: &New<'_>, netns: BorrowedFd<'_>) -> Result<()> {
        let mut message = new.message();
        message.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        self.tell(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| new.refused(&refusal))
    }

    /// Gives the link with the number `index` another hardware address.
    pub fn set_mac(&self, index: u32, mac: Mac) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Address(mac.as_bytes().to_vec()));
        let doing = format!("set hardware address {mac}");
        self.call(RouteNetlinkMessage::SetLink(message), 0).map_err(|e| failed(doing, &e))
    }
}

impl New<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        let attributes = &mut message.attributes;
        attributes.push(LinkAttribute::IfName(self.name.to_string()));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.as_bytes().to_vec())));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        attributes.extend(self.lower.map(LinkAttribute::Link));
        let mut info = vec![LinkInfo::Kind(self.single.kind())];
        info.extend(self.single.data().map(LinkInfo::Data));
        attributes.push(LinkAttribute::LinkInfo(info));
        message
    }

    /// The kernel's refusal, told in words.
    fn refused(&self, refusal: &Refusal) -> Error {
        let (kind, config) = self.single.words();
        let doing = format!("create {kind} {}", self.name);
        let refused = |why: String| Error::new(Kind::Refused, &doing).why(why);
        match (refusal.errno(), refusal.told()) {
            (Some(Errno::EOPNOTSUPP), None | Some("Unknown device type")) => {
                refused(format!("the kernel has no {kind} (CONFIG_{config})"))
                    .remedy(format_args!("load its module, or choose another kind of link"))
            }
            (Some(Errno::EEXIST), None | Some("interface already exists")) => {
                refused(match self.single {
                    Single::Vlan(id) => {
                        format!("its name is taken, or the interface has a VLAN {id} already")
                    }
                    Single::Vxlan(vxlan) => {
                        format!("its name is taken, or the host has a VNI {} already", vxlan.vni)
                    }
                    _ => "its name is taken".to_owned(),
                })
            }
            (Some(Errno::EBUSY | Errno::EINVAL), told) if self.lower.is_some() => {
                let why = "the interface that it would stand on is in use: it is a bridge's port, \
                           or another stands on it that lets no further";
                let told = told.map(|told| format!(" ({told})")).unwrap_or_default();
                refused(format!("{why}{told}"))
            }
            (Some(Errno::ENODEV), _) => Error::new(Kind::NotFound, &doing)
                .why("the interface that it would stand on has gone"),
            (Some(Errno::EOPNOTSUPP | Errno::EEXIST | Errno::EINVAL), Some(told)) => {
                refused(told.to_owned())
            }
            _ => refusal.error(&doing),
        }
    }
}

#[cfg(test)]
mod tests;
