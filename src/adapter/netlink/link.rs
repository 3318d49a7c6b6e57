//! Links: finding them, making a veth pair, plugging and deleting.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgePortState, BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData,
    InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};
use nix::errno::Errno;

use super::{Netlink, Single, failed};
use crate::error::{Error, Kind, Result};
use crate::record::{Ifname, Mac};

/// A link as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its hardware address; absent when it is not Ethernet.
    pub mac: Option<Mac>,
    /// Its largest packet in bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it can carry anything: for a bridge, whether a port can.
    pub carrier: bool,
    /// Whether its carrier has been noticed by all of the kernel, and packets can be sent (RFC 2863:
    /// operational state up). A kind that does not tell is ready as soon as it has a carrier.
    pub ready: bool,
    /// Whether it is a port of a bridge that passes frames.
    pub forwarding: bool,
    /// The number of the bridge that it is plugged into.
    pub master: Option<u32>,
    /// For a veth, the number of its other end, and for a link that stands on another, that one's;
    /// in the other's namespace.
    pub peer: Option<u32>,
    /// The number that this namespace knows the other's by; absent when it is the same.
    pub peer_netns: Option<i32>,
    /// What it is.
    pub sort: Sort,
}

/// What a link is, as far as the suite cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// One end of a veth pair.
    Veth,
    /// A bridge.
    Bridge(Bridge),
    /// A link of one end.
    Single(Single),
    /// Anything else.
    Other,
}

/// How a bridge is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// For how long a new port is kept silent, in hundredths of a second; 0 when it runs no
    /// spanning tree.
    pub silence_cs: u32,
    /// Whether its frames go through the host's ip6tables.
    pub filtered: bool,
    /// Whether it keeps VLANs apart; absent when the kernel cannot.
    pub vlans: Option<bool>,
}

/// One end of a veth pair that is to be made.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// Its name.
    pub name: &'a Ifname,
    /// Its hardware address.
    pub mac: Mac,
}

impl Netlink {
    /// The link of this name, if there is one.
    pub fn find_link(&self, name: &Ifname) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        self.look(message, name)
    }

    /// The link with the number `index`, if there is one.
    pub fn link_at(&self, index: u32) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.look(message, index)
    }

    fn look(&self, mut message: LinkMessage, what: impl fmt::Display) -> Result<Option<Link>> {
        // Counters make up most of what there is to tell.
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.ask(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(read)),
            Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(None),
            Err(e) => Err(failed(format_args!("look for interface {what}"), &e)),
        }
    }

    /// Makes a veth pair in one step: `here` in this namespace, switched on and plugged into the
    /// bridge with the number `master` if there is one, and `there` in the namespace `netns`, switched off: veth(4)
    /// ends can only be opened when both are there. Nothing is made when it fails.
    ///
    /// # Errors
    /// `Refused` when either name is taken.
    pub fn make_veth(
        &self,
        here: &End<'_>,
        there: &End<'_>,
        netns: BorrowedFd<'_>,
        master: Option<u32>,
        mtu: u32,
    ) -> Result<()> {
        let mut peer = end(there, mtu);
        peer.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        let mut message = end(here, mtu);
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.extend(master.map(LinkAttribute::Controller));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let doing = format!("create veth {}", here.name);
        self.call(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map_err(|e| {
            match e.raw_os_error() {
                Some(code) if code == Errno::EEXIST as i32 => {
                    Error::new(Kind::Refused, doing).why("its name or its peer's is taken")
                }
                _ => failed(doing, &e),
            }
        })
    }

    /// Plugs the link with the number `index` into the bridge with the number `master`.
    pub fn plug(&self, index: u32, master: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Controller(master));
        self.call(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|e| failed("plug into bridge", &e))
    }

    /// Switches the link of this name on.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Refused` when another one on the same interface has its
    /// hardware address.
    pub fn switch_on(&self, name: &Ifname) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let doing = || format!("switch interface {name} on");
        self.call(RouteNetlinkMessage::SetLink(message), 0).map_err(|e| {
            match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EADDRINUSE) => Error::new(Kind::Refused, doing())
                    .why("another one on the same interface has its hardware address"),
                Some(Errno::ENODEV) => {
                    Error::new(Kind::NotFound, doing()).why("it went while it was worked on")
                }
                _ => failed(doing(), &e),
            }
        })
    }

    /// Deletes the link with the number `index`, and with one end of a veth pair the other.
    /// Whether it was still there.
    pub fn delete_link(&self, index: u32) -> Result<bool> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.call(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(false),
            Err(e) => Err(failed("delete interface", &e)),
        }
    }
}

/// The part of the request that both ends have.
fn end(end: &End<'_>, mtu: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(end.name.to_string()));
    message.attributes.push(LinkAttribute::Address(end.mac.as_bytes().to_vec()));
    message.attributes.push(LinkAttribute::Mtu(mtu));
    message
}

/// A link out of the kernel's message.
fn read(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    if message.header.interface_family == AddressFamily::Bridge {
        return None;
    }
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        ready: false,
        forwarding: false,
        master: None,
        peer: None,
        peer_netns: None,
        sort: Sort::Other,
    };
    let mut state = State::Unknown;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(Mac::new),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkNetNsId(netns) => link.peer_netns = Some(netns),
            LinkAttribute::OperState(told) => state = told,
            LinkAttribute::LinkInfo(infos) => {
                link.sort = sort(&infos);
                link.forwarding = infos.iter().any(is_forwarding);
            }
            _ => (),
        }
    }
    link.ready = match state {
        State::Up => true,
        State::Unknown => link.up && link.carrier && link.sort.is_mute(),
        _ => false,
    };
    Some(link)
}

impl Sort {
    /// Whether it may be that the kernel keeps no account of its operational state (operstates.rst of
    /// the kernel's documentation). Of a veth it does, but late.
    fn is_mute(&self) -> bool {
        matches!(self, Sort::Single(_) | Sort::Other)
    }
}

fn is_forwarding(info: &LinkInfo) -> bool {
    let forwards = InfoBridgePort::State(BridgePortState::Forwarding);
    matches!(info, LinkInfo::PortData(InfoPortData::BridgePort(port)) if port.contains(&forwards))
}

fn sort(infos: &[LinkInfo]) -> Sort {
    let mut sort = Single::read(infos).map_or(Sort::Other, Sort::Single);
    for info in infos {
        match info {
            LinkInfo::Kind(InfoKind::Veth) => sort = Sort::Veth,
            LinkInfo::Kind(InfoKind::Bridge) => sort = Sort::Bridge(Bridge::default()),
            LinkInfo::Data(InfoData::Bridge(infos)) => sort = Sort::Bridge(bridge(infos)),
            _ => (),
        }
    }
    sort
}

fn bridge(infos: &[InfoBridge]) -> Bridge {
    let mut bridge = Bridge::default();
    let mut spanning_tree = false;
    // A kernel that knows nothing of VLANs says all the same that it does not keep them apart, but
    // names no VLAN for frames without a tag.
    let mut filtering = false;
    let mut knows_vlans = false;
    for info in infos {
        match info {
            InfoBridge::StpState(state) => spanning_tree = *state != BridgeStpState::Disabled,
            InfoBridge::ForwardDelay(delay) => bridge.silence_cs = *delay,
            InfoBridge::VlanFiltering(vlans) => filtering = *vlans,
            InfoBridge::VlanDefaultPvid(_) => knows_vlans = true,
            InfoBridge::NfCallIp6Tables(filtered) => bridge.filtered = *filtered,
            _ => (),
        }
    }
    if !spanning_tree {
        bridge.silence_cs = 0;
    }
    bridge.vlans = knows_vlans.then_some(filtering);
    bridge
}
