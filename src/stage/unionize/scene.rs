//! Where the work happens: the host's network, the bridge, and the container's namespace.

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::allow;
use super::beside::Beside;
use super::dns;
use super::links::{is, marks, new_port};
use super::plan::{Seen, Setting};
use super::wish::Wish;
use crate::adapter::attachments::Attachment;
use crate::adapter::ndp::Solicitor;
use crate::adapter::netlink::{
    Bridge, Dad, Device, Group, Lifetimes, Link, Netlink, Notices, Offloads, Sort, Vxlan,
};
use crate::adapter::netns::Netns;
use crate::adapter::ovs::Ovs;
use crate::adapter::sysctl::{self, Of};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Ifname, Parent, Plug};

/// The host's side.
pub struct Host {
    /// Its links.
    pub netlink: Netlink,
    /// A notice when they change, for who has waited for one.
    notices: OnceCell<Notices>,
    /// The socket of Open vSwitch's database.
    ovs: PathBuf,
}

/// What an interface is plugged into, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The bridge or parent; absent for an interface that stands alone.
    pub link: Option<Link>,
    /// How the bridge is set, if it is a Linux bridge.
    pub bridge: Option<Bridge>,
    /// The host's device that is to be lent; absent when it is not on the host.
    pub device: Option<Device>,
    /// Whether the bridge is a program.
    pub in_userspace: bool,
    /// How much of a packet goes to the headers that carry it.
    pub overhead: u32,
}

impl Place {
    /// The number of the bridge or parent; 0 where there is none.
    pub fn index(&self) -> u32 {
        self.link.as_ref().map_or(0, |link| link.index)
    }

    /// The number of the Linux bridge, which is an interface of the host as well.
    pub fn bridge_index(&self) -> Option<u32> {
        self.bridge.as_ref().map(|_| self.index())
    }

    /// The largest packet that it takes in bytes.
    pub fn mtu(&self) -> Option<u32> {
        self.link.as_ref().map(|link| link.mtu.saturating_sub(self.overhead))
    }
}

impl Host {
    /// The network of this program, and its Open vSwitch behind `ovs`.
    pub fn open(ovs: &Path) -> Result<Host> {
        Netlink::open().map(|netlink| Host::over(netlink, ovs))
    }

    /// The same over a connection that is there.
    pub fn over(netlink: Netlink, ovs: &Path) -> Host {
        Host { netlink, notices: OnceCell::new(), ovs: ovs.to_owned() }
    }

    /// Waits until `look` finds something, which is asked whenever links change. Nothing when
    /// `until` comes first.
    pub fn wait_for<T>(
        &self,
        until: Instant,
        look: impl FnMut(&Netlink) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let notices = opened(&self.notices, || Notices::open(&[Group::Link]))?;
        notices.wait_for(&self.netlink, until, look)
    }

    /// A connection to Open vSwitch's database.
    pub fn ovs(&self) -> Result<Ovs> {
        Ovs::connect(&self.ovs)
    }

    /// What `plug` goes into; `known` is what is remembered of it.
    ///
    /// # Errors
    /// `NotFound` when it is not there, `Refused` when it is something else or not fit.
    pub fn place(&self, plug: &Plug, known: Option<&Attachment>) -> Result<Place> {
        match plug {
            Plug::Bridge { bridge, vlan } => self.bridge(bridge, vlan.is_some()),
            Plug::Ovs { bridge, .. } => self.switch(bridge),
            Plug::Macvlan { parent, .. }
            | Plug::Ipvlan { parent, .. }
            | Plug::Vlan { parent, .. } => {
                Ok(Place { link: Some(self.ground(parent)?), ..Place::default() })
            }
            Plug::Vxlan { remote, parent, .. } => self.carrier(*remote, parent.as_ref()),
            Plug::Direct { parent } => {
                Ok(Place { device: self.device(parent, known)?, ..Place::default() })
            }
            Plug::Dummy => Ok(Place::default()),
        }
    }

    fn bridge(&self, name: &Ifname, with_vlan: bool) -> Result<Place> {
        let doing = || format!("find bridge {name}");
        let refused = |why| Error::new(Kind::Refused, doing()).why(why);
        let link = self.netlink.find_link(name)?.ok_or_else(|| missing(doing()))?;
        let Sort::Bridge(settings) = link.sort.clone() else {
            return Err(refused("that interface is not a bridge"));
        };
        match settings.vlans {
            None if with_vlan => {
                Err(refused("the kernel has no VLANs in bridges (CONFIG_BRIDGE_VLAN_FILTERING)"))
            }
            Some(false) if with_vlan => Err(refused("it does not keep VLANs apart")
                .remedy(format_args!("ip link set {name} type bridge vlan_filtering 1"))),
            _ => Ok(Place { link: Some(link), bridge: Some(settings), ..Place::default() }),
        }
    }

    fn switch(&self, name: &Ifname) -> Result<Place> {
        let bridge = self.ovs()?.bridge(name)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format_args!("find Open vSwitch bridge {name}"))
                .why("there is none of that name")
                .remedy(format_args!("make it with ovs-vsctl add-br {name}"))
        })?;
        let link = self.netlink.find_link(name)?;
        Ok(Place { link, in_userspace: bridge.in_userspace, ..Place::default() })
    }

    /// The interface that others are to stand on.
    fn ground(&self, parent: &Parent) -> Result<Link> {
        let name = match parent {
            Parent::Name(name) => name.clone(),
            Parent::Mac(mac) => self.netlink.device_with_mac(*mac)?.guise.name,
        };
        let doing = || format!("find interface {name}");
        let link = self.netlink.find_link(&name)?.ok_or_else(|| missing(doing()))?;
        if !link.up {
            return Err(Error::new(Kind::Refused, doing())
                .why("it is switched off")
                .remedy(format_args!("ip link set {name} up")));
        }
        Ok(link)
    }

    /// The interface that carries a VXLAN.
    fn carrier(&self, remote: Option<IpAddr>, parent: Option<&Parent>) -> Result<Place> {
        let link = match (parent, remote) {
            (Some(parent), _) => Some(self.ground(parent)?),
            (None, Some(remote)) => match self.netlink.way_to(remote)? {
                Some(index) => self.netlink.link_at(index)?,
                None => None,
            },
            (None, None) => None,
        };
        Ok(Place { link, overhead: Vxlan::overhead(remote), ..Place::default() })
    }

    /// The device that is to be lent, if it is here. One that was lent before is found whatever it is
    /// called by now, and no other is taken for it.
    fn device(&self, parent: &Parent, known: Option<&Attachment>) -> Result<Option<Device>> {
        let named = || match parent {
            Parent::Name(name) => self.netlink.device(name),
            Parent::Mac(mac) => match self.netlink.device_with_mac(*mac) {
                Err(why) if why.kind() == Kind::NotFound => Ok(None),
                device => device.map(Some),
            },
        };
        let lent = known.and_then(|known| Some((known, known.lent.as_ref()?)));
        let Some((known, lent)) = lent else { return named() };
        match self.netlink.marked(&marks(lent))? {
            Some(device) => Ok(Some(device)),
            None => Ok(named()?.filter(|device| is(lent, known.mac, device))),
        }
    }
}

fn missing(doing: String) -> Error {
    Error::new(Kind::NotFound, doing).why("there is no interface of that name")
}

/// The container's side.
pub struct Inside {
    /// Its namespace.
    pub netns: Netns,
    /// Its links.
    pub netlink: Netlink,
    /// A notice when they change, for who has waited for one.
    notices: OnceCell<Notices>,
}

impl Inside {
    /// The network of a container that runs on this machine, or the namespace that its document
    /// names.
    pub fn open(container: &Container) -> Result<Inside> {
        Inside::of(Inside::netns(container)?)
    }

    /// Its namespace.
    pub fn netns(container: &Container) -> Result<Netns> {
        if let Some(path) = &container.netns {
            return Netns::open(Path::new(path));
        }
        let docker = container.docker.as_ref().ok_or_else(|| {
            Error::new(Kind::NotFound, "find network namespace")
                .why("the record does not say that the container was started")
                .remedy("put container-run or docker-cccf before unionize")
        })?;
        Netns::of_container(docker)
    }

    /// The network of a namespace.
    pub fn of(netns: Netns) -> Result<Inside> {
        let netlink = netns.run(Netlink::open)?;
        Ok(Inside { netns, netlink, notices: OnceCell::new() })
    }

    /// Waits until `look` finds something, which is asked whenever links, IPv6 addresses or IPv6
    /// routes change. Nothing when `until` comes first.
    pub fn wait_for<T>(
        &self,
        until: Instant,
        look: impl FnMut(&Netlink) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let groups = &[Group::Link, Group::Ipv6Address, Group::Ipv6Route];
        let notices = opened(&self.notices, || self.netns.run(|| Notices::open(groups)))?;
        notices.wait_for(&self.netlink, until, look)
    }

    /// The interface of that name.
    pub fn link(&self, name: &Ifname) -> Result<Link> {
        self.netlink.find_link(name)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format_args!("find interface {name}"))
                .why("it went while it was worked on")
        })
    }

    /// Writes a setting of the interface.
    pub fn set(&self, name: &Ifname, (setting, value): Setting) -> Result<()> {
        self.netns.run(|| sysctl::set(Of::Interface(name), setting, value))
    }

    /// Gives the interface its link-local address before the kernel does, and without duplicate
    /// detection: the MAC address that it follows from is a hash, and a second station with that
    /// would lease the same address and be found there. An interface with an optimistic link-local
    /// address cannot look for its neighbours (RFC 4429 section 3.2).
    pub fn give_link_local(&self, wish: &Wish) -> Result<()> {
        let index = self.link(&wish.interface)?.index;
        self.netlink.assign(index, wish.local.into(), 64, Lifetimes::FOREVER, Dad::Off)
    }

    /// Asks the routers of the link to make themselves known.
    pub fn solicit_router(&self, index: u32) -> Result<()> {
        self.netns.run(|| Solicitor::open(index)?.solicit())
    }
}

/// What is in `cell`, put there the first time.
fn opened(cell: &OnceCell<Notices>, open: impl FnOnce() -> Result<Notices>) -> Result<&Notices> {
    if cell.get().is_none() {
        let _ = cell.set(open()?);
    }
    cell.get().ok_or_else(|| Error::new(Kind::Bug, "open netlink socket"))
}

/// Waits until packets can be sent from the interface's link-local address, and a Linux bridge passes
/// them on; the interface's number.
pub fn wait_ready(wish: &Wish, host: &Host, inside: &Inside, until: Instant) -> Result<u32> {
    let late = |what: &str, remedy| {
        Error::new(Kind::TimedOut, format_args!("wait for interface {}", wish.interface))
            .why(what)
            .remedy(remedy)
    };
    let local = wish.local;
    let index = inside.link(&wish.interface)?.index;
    let usable = inside.wait_for(until, |netlink| {
        let ready = netlink.find_link(&wish.interface)?.is_some_and(|link| link.ready);
        let usable = ready && (!wish.speaks_ipv6() || is_usable(netlink, index, local)?);
        Ok(usable.then_some(()))
    })?;
    if usable.is_none() {
        let why = "it has no link-local address that can be used";
        return Err(late(why, "is what it is plugged into on, and IPv6 in the container?"));
    }
    if !matches!(wish.plug, Plug::Bridge { .. }) {
        return Ok(index);
    }
    let passing = host.wait_for(until, |netlink| {
        Ok(netlink.find_link(&wish.link)?.filter(|outer| outer.forwarding))
    })?;
    match passing {
        Some(_) => Ok(index),
        None => Err(late("the bridge does not pass its frames", "is a spanning tree on?")),
    }
}

/// Whether packets can be sent from `address` and are taken when they come.
fn is_usable(netlink: &Netlink, index: u32, address: Ipv6Addr) -> Result<bool> {
    let found = netlink.address(index, address.into())?;
    Ok(found.is_some_and(|found| found.is_usable()) && netlink.takes(index, address)?)
}

/// How things are for a wish, before anything is done about it. One that is `new` is taken to have no
/// link, which is not looked for.
pub fn look(
    wish: &Wish,
    host: &Host,
    place: &Place,
    inside: &Inside,
    known: Option<Attachment>,
    new: bool,
) -> Result<Seen> {
    let find = |netlink: &Netlink, name| if new { Ok(None) } else { netlink.find_link(name) };
    let inner = find(&inside.netlink, &wish.interface)?;
    let mut seen = Seen {
        outer: find(&host.netlink, &wish.link)?,
        door: allow::look(wish, inside, known.as_ref(), inner.is_some())?,
        ..Seen::before(wish, place, known)
    };
    if seen.single.is_some() {
        seen.host_netns = inside.netlink.number_of(Netns::own()?.as_fd())?;
    }
    look_at_port(&mut seen, wish, host)?;
    if let Plug::Direct { .. } = wish.plug {
        seen.device = inside.netlink.device(&wish.interface)?;
    }
    if let Some(inner) = inner.as_ref().filter(|_| place.in_userspace) {
        let offloads = inside.netns.run(Offloads::open)?;
        seen.unfinished = !offloads.checksums_are_finished(inner.index)?;
    }
    if let Some(inner) = &inner {
        seen.addresses = inside.netlink.addresses(inner.index)?;
        seen.router = inside.netlink.router(inner.index)?;
    }
    if wish.speaks_ipv6() {
        let (there, slaac) = (inner.is_some(), wish.sources.slaac);
        (seen.born, seen.settings) = inside.netns.run(|| {
            let own = Of::Interface(&wish.interface);
            let settings = if there { unsettled(wish, own, slaac)? } else { Vec::new() };
            Ok((unsettled(wish, Of::Default, slaac)?, settings))
        })?;
    }
    seen.beside =
        Beside::look(wish, seen.known.as_ref(), host, inside, inner.as_ref(), seen.outer.as_ref())?;
    seen.resolv = dns::look(wish, seen.known.as_ref(), inside)?;
    seen.inner = inner;
    Ok(seen)
}

/// How the host's end is plugged into a bridge.
fn look_at_port(seen: &mut Seen, wish: &Wish, host: &Host) -> Result<()> {
    match (&wish.plug, &seen.outer) {
        (Plug::Bridge { vlan: Some(_), .. }, Some(outer)) => {
            seen.vlans = host.netlink.port_vlans(outer.index)?;
        }
        (Plug::Ovs { .. }, Some(_)) => {
            let port = host.ovs()?.port(&wish.link)?;
            seen.ported = new_port(wish).is_some_and(|new| port.is_some_and(|port| port.is(&new)));
        }
        _ => (),
    }
    Ok(())
}

/// The settings that are not as IPv6 on a container's interface needs them.
fn unsettled(wish: &Wish, of: Of<'_>, slaac: bool) -> Result<Vec<Setting>> {
    // Docker switches IPv6 off in networks of its own that have none. The link-local address has
    // to be the one that follows from the MAC, and to be of use before its DAD ends (RFC 4429). It
    // may be made as soon as IPv6 is on or the mode is set, so those come last.
    let mut wanted = vec![("optimistic_dad", 1)];
    if sysctl::get(of, "forwarding")? == Some(1) && sysctl::get(of, "accept_ra")? == Some(1) {
        // 1 means "unless it forwards", 2 means always.
        wanted.push(("accept_ra", 2));
    } else if slaac && sysctl::get(of, "accept_ra")? == Some(0) {
        wanted.push(("accept_ra", 2));
    }
    if slaac {
        wanted.extend([("accept_ra_pinfo", 1), ("autoconf", 1)]);
    }
    // 0 is the link-local address of the MAC address, 1 none: that of an ipvlan is given.
    let made = i32::from(matches!(wish.plug, Plug::Ipvlan { .. }));
    wanted.extend([("addr_gen_mode", made), ("disable_ipv6", 0)]);
    let mut unsettled = Vec::new();
    for (setting, value) in wanted {
        if sysctl::get(of, setting)?.is_some_and(|is| is != value) {
            unsettled.push((setting, value));
        }
    }
    Ok(unsettled)
}
