//! Making the link of an interface, and taking it away: for each kind what the adapters do.

use std::fmt;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::scene::{Host, Inside, Place};
use super::wish::Wish;
use crate::adapter::attachments::{Attachment, Lent};
use crate::adapter::netlink::{
    Device, End, Guise, Ipvlan, Macvlan, Marks, Netlink, New, Offloads, Single, Sort, Vxlan,
};
use crate::adapter::netns::Netns;
use crate::adapter::ovs::NewPort;
use crate::adapter::sysctl::{self, Of};
use crate::error::{Error, Kind, Result};
use crate::record::{Ifname, LinkKind, LinkMode, Mac, Plug};

/// How long ovs-vswitchd may take to let go of a port. It does so later as well.
const LETTING_GO: Duration = Duration::from_secs(2);

/// How long a former link may take to go, which has what the new one is to have. The kernel takes a
/// namespace apart some time after its last process has ended, one after the other.
pub const GOING: Duration = Duration::from_secs(5);

/// Does `work`, again and again until `until` where a former link that goes may be in its way.
///
/// # Errors
/// `TimedOut` when something was in its way for all that time.
pub fn patiently<T>(until: Instant, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let mut waited = false;
    loop {
        match work() {
            Err(why) if why.kind() == Kind::Refused && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
                waited = true;
            }
            Err(why) if why.kind() == Kind::Refused && waited => {
                return Err(Error::new(Kind::TimedOut, "wait for a former link to go").why(why));
            }
            outcome => return outcome,
        }
    }
}

/// Makes the link of `wish` inside, switched off there. Nothing is left of it when it fails.
pub fn make(host: &Host, place: &Place, inside: &Inside, wish: &Wish) -> Result<()> {
    match &wish.plug {
        Plug::Bridge { .. } | Plug::Ovs { .. } => make_pair(host, place, inside, wish),
        Plug::Direct { .. } => lend(host, place, inside, wish),
        _ => make_single(host, place, inside, wish),
    }
}

fn make_pair(host: &Host, place: &Place, inside: &Inside, wish: &Wish) -> Result<()> {
    if let Some(bridge) = place.bridge_index().filter(|_| wish.client.is_some()) {
        // The DHCPv6 server on this host need not look for the container before it answers. That
        // is worth having and no more, so a kernel that refuses is not an error.
        let _ = host.netlink.seed_neighbour(bridge, wish.local, wish.mac);
    }
    let mtu = wish.network.mtu.or(place.mtu()).unwrap_or(1500);
    let here = End { name: &wish.link, mac: Wish::outer_mac(wish.mac) };
    let there = End { name: &wish.interface, mac: wish.mac };
    host.netlink.make_veth(&here, &there, inside.netns.as_fd(), place.bridge_index(), mtu)?;
    // A port has no address of its own. With one, each would have a multicast route as well, and the
    // kernel goes through all of them for each multicast packet that a bridge takes. Nothing but
    // time is lost where it cannot be switched off.
    let _ = sysctl::set(Of::Interface(&wish.link), "disable_ipv6", 1);
    Ok(())
}

fn make_single(host: &Host, place: &Place, inside: &Inside, wish: &Wish) -> Result<()> {
    let single = single(&wish.plug, place).ok_or_else(|| {
        Error::new(Kind::Bug, "make a link").why("it is of a kind that has two ends")
    })?;
    let stands = !matches!(single, Single::Vxlan(_) | Single::Dummy);
    let new = New {
        name: &wish.interface,
        mac: (!single.shares_mac()).then_some(wish.mac),
        mtu: wish.network.mtu.or(place.mtu()),
        lower: stands.then(|| place.index()),
        single,
    };
    host.netlink.make_single(&new, inside.netns.as_fd())?;
    if single != Single::Macvlan(Macvlan::Passthru) || wish.network.mac.is_none() {
        return Ok(());
    }
    // It begins with the parent's address; a change of it is the parent's too, and is undone by the
    // kernel when the link goes.
    let link = inside.link(&wish.interface)?;
    inside.netlink.set_mac(link.index, wish.mac).inspect_err(|_| {
        let _ = inside.netlink.delete_link(link.index);
    })
}

/// What a link of one end is to be; nothing for other kinds.
pub fn single(plug: &Plug, place: &Place) -> Option<Single> {
    Some(match plug {
        Plug::Macvlan { mode, .. } => Single::Macvlan(match mode {
            LinkMode::Private => Macvlan::Private,
            LinkMode::Vepa => Macvlan::Vepa,
            LinkMode::Passthru => Macvlan::Passthru,
            _ => Macvlan::Bridge,
        }),
        Plug::Ipvlan { mode, .. } => Single::Ipvlan(match mode {
            LinkMode::L3 => Ipvlan::L3,
            LinkMode::L3s => Ipvlan::L3s,
            _ => Ipvlan::L2,
        }),
        Plug::Vlan { vlan, .. } => Single::Vlan(vlan.get() as u16),
        Plug::Vxlan { vni, remote, port, parent } => Single::Vxlan(Vxlan {
            vni: vni.get(),
            remote: *remote,
            port: *port,
            over: parent.as_ref().map(|_| place.index()),
        }),
        Plug::Dummy => Single::Dummy,
        Plug::Bridge { .. } | Plug::Ovs { .. } | Plug::Direct { .. } => return None,
    })
}

/// The port of Open vSwitch that `wish` needs; nothing for other kinds.
pub fn new_port(wish: &Wish) -> Option<NewPort<'_>> {
    let Plug::Ovs { bridge, vlan } = &wish.plug else { return None };
    Some(NewPort {
        bridge,
        name: &wish.link,
        vlan: vlan.map(|vlan| vlan.get() as u16),
        container: &wish.container.id,
        interface: &wish.interface,
        mac: wish.mac,
    })
}

/// Makes the host's end a port of its Open vSwitch bridge. A port of that name that is the
/// container's and not as it should be is exchanged.
pub fn add_port(host: &Host, wish: &Wish, until: Instant) -> Result<()> {
    let Some(new) = new_port(wish) else { return Ok(()) };
    let mut ovs = host.ovs()?;
    ovs.remove(new.name, new.container, until)?;
    ovs.add(&new, until)
}

/// Has the container's end finish its checksums: the bridge is a program and sees the bytes.
pub fn finish_checksums(inside: &Inside, wish: &Wish) -> Result<()> {
    let index = inside.link(&wish.interface)?.index;
    inside.netns.run(|| Offloads::open()?.finish_checksums(index))
}

/// What a link needs that has just been made for a moment, until it is switched on.
pub fn connect(
    host: &Host,
    place: &Place,
    inside: &Inside,
    wish: &Wish,
    until: Instant,
) -> Result<()> {
    match &wish.plug {
        Plug::Bridge { vlan: Some(vlan), .. } => {
            let outer = host.netlink.find_link(&wish.link)?.ok_or_else(|| gone(wish))?;
            host.netlink.put_into_vlan(outer.index, vlan.get() as u16)
        }
        Plug::Ovs { .. } => {
            if place.in_userspace {
                finish_checksums(inside, wish)?;
            }
            add_port(host, wish, until)
        }
        _ => Ok(()),
    }
}

fn gone(wish: &Wish) -> Error {
    Error::new(Kind::NotFound, format_args!("find interface {}", wish.link))
}

/// Takes away what [`make`] and [`connect`] have made.
pub fn unmake(host: &Host, inside: &Inside, wish: &Wish, known: &Attachment) -> Result<()> {
    match &wish.plug {
        Plug::Bridge { .. } => delete(&host.netlink, wish),
        Plug::Ovs { .. } => {
            let port = remove_port(host, known);
            delete(&host.netlink, wish).and(port)
        }
        Plug::Direct { .. } => bring_back(host, Some(&inside.netlink), known).map(drop),
        _ => match inside.netlink.find_link(&wish.interface)? {
            Some(link) => inside.netlink.delete_link(link.index).map(drop),
            None => Ok(()),
        },
    }
}

fn delete(netlink: &Netlink, wish: &Wish) -> Result<()> {
    match netlink.find_link(&wish.link)? {
        Some(link) => netlink.delete_link(link.index).map(drop),
        None => Ok(()),
    }
}

/// Removes the port of Open vSwitch that an attachment has.
pub fn remove_port(host: &Host, known: &Attachment) -> Result<()> {
    let until = Instant::now() + LETTING_GO;
    host.ovs()?.remove(&known.link, &known.container.id, until).map(drop)
}

/// The link of one end that an attachment has, in its container's namespace; nothing when it or the
/// namespace has gone.
pub fn inner(known: &Attachment) -> Result<Option<(Inside, u32)>> {
    let inside = match Inside::open(&known.container) {
        Ok(inside) => inside,
        Err(why) if matches!(why.kind(), Kind::NotFound | Kind::BadInput) => return Ok(None),
        Err(why) => return Err(why),
    };
    let link = inside.netlink.find_link(&known.interface)?;
    // The address of what it stands on may have changed since, and its own with it.
    let link = link.filter(|link| match link.sort {
        Sort::Single(single) => single.shares_mac() || link.mac == Some(known.mac),
        _ => false,
    });
    Ok(link.map(|link| (inside, link.index)))
}

/// Moves the host's device in.
fn lend(host: &Host, place: &Place, inside: &Inside, wish: &Wish) -> Result<()> {
    let doing = || format!("move interface into the container as {}", wish.interface);
    let device = place.device.as_ref().ok_or_else(|| {
        Error::new(Kind::NotFound, doing()).why("the host does not have it any more")
    })?;
    let name = &device.guise.name;
    let refused = |why: &str| Error::new(Kind::Refused, doing()).why(format_args!("{name} {why}"));
    if device.is_loopback {
        return Err(refused("is the host's loopback"));
    }
    if device.master.is_some() {
        return Err(refused("is a port of another interface")
            .remedy(format_args!("ip link set {name} nomaster")));
    }
    let guise = Guise {
        name: wish.interface.clone(),
        mac: wish.network.mac,
        mtu: wish.network.mtu,
        up: false,
    };
    let moved = host.netlink.dress(device.index, &guise, Some(inside.netns.as_fd()));
    moved.inspect_err(|_| {
        // It may have moved all the same. That it cannot be brought back either is for the caller's
        // undoing to tell.
        if let Some(lent) = &wish.lent {
            let _ = fetch(&inside.netlink, lent, wish.mac, &[&guise.name, name]);
        }
    })
}

/// How a device is that is lent.
pub fn lent(device: &Device) -> Lent {
    let Guise { name, mac, mtu, up } = device.guise.clone();
    let Marks { permanent, slot } = device.marks.clone();
    Lent { name, mac, mtu, up, permanent, slot, rest: Default::default() }
}

/// What a device that was lent is known again by.
pub fn marks(lent: &Lent) -> Marks {
    Marks { permanent: lent.permanent, slot: lent.slot.clone() }
}

/// Whether `device` is the one that was lent. One without marks is known by an address that it had
/// before or, as `mac`, since.
pub fn is(lent: &Lent, mac: Mac, device: &Device) -> bool {
    let known = marks(lent);
    let same_mac = || [lent.mac, Some(mac)].contains(&device.guise.mac);
    device.marks == known && (!known.is_empty() || same_mac())
}

/// Where a device that was lent has been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is on the host, as it was.
    Home,
    /// It has gone for good, with its namespace.
    Nowhere,
}

/// Brings a device back to the host, as it was before it was lent: out of `inside`, or from where
/// the kernel has put it when the container's namespace ended.
///
/// # Errors
/// `Refused` when the host has another interface of its name by now.
pub fn bring_back(host: &Host, inside: Option<&Netlink>, known: &Attachment) -> Result<Found> {
    let Some(lent) = &known.lent else { return Ok(Found::Home) };
    let names = [&known.interface, &known.link];
    let there = match inside {
        Some(netlink) => find(netlink, lent, known.mac, &names)?.map(|device| (netlink, device)),
        None => None,
    };
    let namesake = host.netlink.device(&lent.name)?;
    if let Some((netlink, device)) = there {
        if namesake.is_some() {
            return Err(Error::new(
                Kind::Refused,
                format_args!("bring back interface {}", lent.name),
            )
            .why("the host has another interface of that name")
            .remedy("rename that one"));
        }
        netlink.dress(device.index, &guise(lent), Some(Netns::own()?.as_fd()))?;
        return Ok(Found::Home);
    }
    let Some(device) = find(&host.netlink, lent, known.mac, &[&lent.name])? else {
        return Ok(Found::Nowhere);
    };
    if device.guise != guise(lent) {
        host.netlink.dress(device.index, &guise(lent), None)?;
    }
    Ok(Found::Home)
}

/// The same for a move that failed halfway.
fn fetch(inside: &Netlink, lent: &Lent, mac: Mac, names: &[&Ifname]) -> Result<()> {
    if let Some(device) = find(inside, lent, mac, names)? {
        inside.dress(device.index, &guise(lent), Some(Netns::own()?.as_fd()))?;
    }
    Ok(())
}

/// A device that was lent: by its marks, or else by one of the names that it may have.
fn find(netlink: &Netlink, lent: &Lent, mac: Mac, names: &[&Ifname]) -> Result<Option<Device>> {
    if let Some(device) = netlink.marked(&marks(lent))? {
        return Ok(Some(device));
    }
    for name in names {
        if let Some(device) = netlink.device(name)?.filter(|device| is(lent, mac, device)) {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

fn guise(lent: &Lent) -> Guise {
    Guise { name: lent.name.clone(), mac: lent.mac, mtu: lent.mtu, up: lent.up }
}

/// What making the link is, for people.
pub struct Making<'a>(pub &'a Wish);

impl fmt::Display for Making<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish { link, interface, mac, plug, .. } = self.0;
        match plug.kind() {
            LinkKind::Veth | LinkKind::Ovs => {
                write!(f, "create veth {link} to {interface} ({mac}) in {plug}")
            }
            LinkKind::Direct => write!(f, "move {plug} in as {interface}"),
            LinkKind::Dummy => write!(f, "create dummy {interface} ({mac})"),
            kind => write!(f, "create {kind} {interface} ({mac}) on {plug}"),
        }
    }
}
