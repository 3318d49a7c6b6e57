//! Where the work happens: the host's network, the bridge, and the container's namespace.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Instant;

use super::allow;
use super::beside::Beside;
use super::dns;
use super::plan::{Seen, Setting};
use super::wish::Wish;
use crate::adapter::attachments::Attachment;
use crate::adapter::ndp::Solicitor;
use crate::adapter::netlink::{Bridge, Dad, Lifetimes, Link, Netlink, Sort};
use crate::adapter::netns::Netns;
use crate::adapter::sysctl::{self, Of};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Ifname, Plug};

/// The host's side.
pub struct Host {
    /// Its links.
    pub netlink: Netlink,
}

/// What an interface is plugged into, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The bridge or parent; absent for an interface that stands alone.
    pub link: Option<Link>,
    /// How the bridge is set, if it is a Linux bridge.
    pub bridge: Option<Bridge>,
}

impl Place {
    /// The number of the bridge or parent; 0 where there is none.
    pub fn index(&self) -> u32 {
        self.link.as_ref().map_or(0, |link| link.index)
    }

    /// The largest packet that it takes in bytes.
    pub fn mtu(&self) -> Option<u32> {
        self.link.as_ref().map(|link| link.mtu)
    }
}

impl Host {
    /// The network of this program.
    pub fn open() -> Result<Host> {
        Ok(Host { netlink: Netlink::watch_links()? })
    }

    /// What `plug` goes into.
    ///
    /// # Errors
    /// `NotFound` when it is not there, `Refused` when it is something else.
    pub fn place(&self, plug: &Plug) -> Result<Place> {
        match plug {
            Plug::Bridge { bridge, .. } => self.bridge(bridge),
            _ => Err(Error::new(Kind::Refused, "plug in").why("only bridges")),
        }
    }

    fn bridge(&self, name: &Ifname) -> Result<Place> {
        let doing = || format!("find bridge {name}");
        let link = self.netlink.find_link(name)?;
        let link = link.ok_or_else(|| {
            Error::new(Kind::NotFound, doing()).why("there is no interface of that name")
        })?;
        match link.sort.clone() {
            Sort::Bridge(settings) => Ok(Place { link: Some(link), bridge: Some(settings) }),
            _ => Err(Error::new(Kind::Refused, doing()).why("that interface is not a bridge")),
        }
    }
}

/// The container's side.
pub struct Inside {
    /// Its namespace.
    pub netns: Netns,
    /// Its links, and a notice when they change.
    pub netlink: Netlink,
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
        let netlink = netns.run(Netlink::watch)?;
        Ok(Inside { netns, netlink })
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
        let local = wish.mac.link_local().into();
        self.netlink.assign(index, local, 64, Lifetimes::FOREVER, Dad::Off)
    }

    /// Asks the routers of the link to make themselves known.
    pub fn solicit_router(&self, index: u32) -> Result<()> {
        self.netns.run(|| Solicitor::open(index)?.solicit())
    }
}

/// Waits until packets can be sent from the interface's link-local address, and the bridge passes
/// them on; the interface's number.
pub fn wait_ready(wish: &Wish, host: &Host, inside: &Inside, until: Instant) -> Result<u32> {
    let late = |what: &str, remedy| {
        Error::new(Kind::TimedOut, format_args!("wait for interface {}", wish.interface))
            .why(what)
            .remedy(remedy)
    };
    let local = wish.mac.link_local();
    let index = inside.link(&wish.interface)?.index;
    let usable = inside.netlink.wait_for(until, |netlink| {
        let ready = netlink.find_link(&wish.interface)?.is_some_and(|link| link.ready);
        let usable = ready && (!wish.speaks_ipv6() || is_usable(netlink, index, local)?);
        Ok(usable.then_some(()))
    })?;
    if usable.is_none() {
        let why = "it has no link-local address that can be used";
        return Err(late(why, "is the bridge on, and IPv6 in the container?"));
    }
    let passing = host.netlink.wait_for(until, |netlink| {
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

/// How things are for a wish, before anything is done about it.
pub fn look(
    wish: &Wish,
    host: &Host,
    place: &Place,
    inside: &Inside,
    known: Option<Attachment>,
) -> Result<Seen> {
    let inner = inside.netlink.find_link(&wish.interface)?;
    let mut seen = Seen {
        bridge: place.index(),
        outer: host.netlink.find_link(&wish.link)?,
        door: allow::look(wish, inside, known.as_ref(), inner.is_some())?,
        known,
        ..Seen::default()
    };
    if let Some(inner) = &inner {
        seen.addresses = inside.netlink.addresses(inner.index)?;
        seen.router = inside.netlink.router(inner.index)?;
    }
    if wish.speaks_ipv6() {
        let (there, slaac) = (inner.is_some(), wish.sources.slaac);
        (seen.born, seen.settings) = inside.netns.run(|| {
            let own = Of::Interface(&wish.interface);
            let settings = if there { unsettled(own, slaac)? } else { Vec::new() };
            Ok((unsettled(Of::Default, slaac)?, settings))
        })?;
    }
    seen.beside =
        Beside::look(wish, seen.known.as_ref(), host, inside, inner.as_ref(), seen.outer.as_ref())?;
    seen.resolv = dns::look(wish, seen.known.as_ref(), inside)?;
    seen.inner = inner;
    Ok(seen)
}

/// The settings that are not as IPv6 on a container's interface needs them.
fn unsettled(of: Of<'_>, slaac: bool) -> Result<Vec<Setting>> {
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
    wanted.extend([("addr_gen_mode", 0), ("disable_ipv6", 0)]);
    let mut unsettled = Vec::new();
    for (setting, value) in wanted {
        if sysctl::get(of, setting)?.is_some_and(|is| is != value) {
            unsettled.push((setting, value));
        }
    }
    Ok(unsettled)
}
