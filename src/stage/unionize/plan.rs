//! What has to be done, as a list that a dry run prints and a live run works off.

use std::fmt;
use std::net::Ipv6Addr;

use jiff::Timestamp;

use super::allow::{self, Door};
use super::beside::{Beside, Errand, Scene};
use super::ends::{self, Ends};
use super::links::single;
use super::scene::Place;
use super::wish::Wish;
use crate::adapter::attachments::{Attachment, Leased};
use crate::adapter::netlink::{Device, Found, Link, PortVlan, Single};
use crate::adapter::nftables::Guard;
use crate::error::{Error, Kind, Result};
use crate::record::{Address, Fixed, Origin, Prefix, VlanId};

/// A kernel setting and the value that it has to have.
pub type Setting = (&'static str, i32);

/// How things are before anything is done.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The number of the bridge or parent; 0 when it is not known.
    pub place: u32,
    /// What a link of one end is to be.
    pub single: Option<Single>,
    /// The number that the container's namespace knows the host's by.
    pub host_netns: Option<i32>,
    /// The VLANs that the host's end is in, if it is to be in one.
    pub vlans: Vec<PortVlan>,
    /// Whether the host's end is the port of Open vSwitch that is wanted.
    pub ported: bool,
    /// Whether the bridge is a program.
    pub in_userspace: bool,
    /// Whether the container's end leaves its checksums to a bridge that does not finish them.
    pub unfinished: bool,
    /// The container's interface, if it is to be a device that is lent.
    pub device: Option<Device>,
    /// That device, if it is on the host.
    pub home: Option<Device>,
    /// The host's end.
    pub outer: Option<Link>,
    /// The container's end, or what else has its name there.
    pub inner: Option<Link>,
    /// The addresses of the container's end.
    pub addresses: Vec<Found>,
    /// The router of its default route.
    pub router: Option<Ipv6Addr>,
    /// What has to be set of what an interface is born with.
    pub born: Vec<Setting>,
    /// What has to be set of the interface that is there.
    pub settings: Vec<Setting>,
    /// What is remembered.
    pub known: Option<Attachment>,
    /// The firewall of the container's end.
    pub door: Door,
    /// Routes, rules, limits and what the kernel has made addresses of.
    pub beside: Beside,
    /// The container's resolv.conf, where that is looked at.
    pub resolv: Option<String>,
}

impl Seen {
    /// What is known before anybody has looked into the container.
    pub fn before(wish: &Wish, place: &Place, known: Option<Attachment>) -> Seen {
        Seen {
            place: place.index(),
            single: single(&wish.plug, place),
            in_userspace: place.in_userspace,
            home: place.device.clone(),
            known,
            ..Seen::default()
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Give back the lease and take away the link of an attachment that is not wanted so.
    Leave(String),
    /// Take away a link that leads elsewhere.
    Drop,
    /// Shut the container's end for all but a client, be it there or not.
    Shut(Guard),
    /// Open it for everybody.
    OpenUp,
    /// Make the link. The kernel does not take a container's end that is on from the start.
    Make,
    /// Plug the host's end into the bridge.
    Plug,
    /// Put the host's end into a VLAN of the bridge.
    Vlan(VlanId),
    /// Make the host's end a port of Open vSwitch.
    Port,
    /// Have the container's end finish its checksums.
    Finish,
    /// Switch the host's end on.
    SwitchOnOuter,
    /// Set a kernel setting of the container's end.
    Set(Setting),
    /// Give the container's end its link-local address.
    LinkLocal,
    /// Switch the container's end on.
    SwitchOnInner,
    /// Put a given address on the interface.
    Give(Fixed),
    /// Put a leased address on the interface that it was leased for.
    Restore(Address),
    /// Tell the server that others use what it leased.
    Decline,
    /// Lease what is wanted, and put the addresses on the interface.
    Lease,
    /// Ask the server that gave a lease for what it did not give.
    Extend,
    /// Give back a part of the lease that is not wanted any more.
    GiveBack,
    /// Something beside links and DHCPv6.
    Beside(Errand),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Leave(bridge) => write!(f, "leave {bridge} and give back what was leased there"),
            Step::Drop => f.write_str("delete a link that leads elsewhere"),
            Step::Shut(guard) => guard.fmt(f),
            Step::OpenUp => f.write_str("open it for everybody"),
            Step::Make => f.write_str("create the link"),
            Step::Plug => f.write_str("plug into the bridge"),
            Step::Vlan(vlan) => write!(f, "put the host's end into VLAN {vlan}"),
            Step::Port => f.write_str("make the host's end a port of Open vSwitch"),
            Step::Finish => f.write_str("switch the container's checksum offload off"),
            Step::SwitchOnOuter => f.write_str("switch the host's end on"),
            Step::Set((name, value)) => write!(f, "set {name} to {value}"),
            Step::LinkLocal => f.write_str("add the link-local address"),
            Step::SwitchOnInner => f.write_str("switch the container's end on"),
            Step::Give(fixed) => write!(f, "add address {}/{}", fixed.address, fixed.prefix_len),
            Step::Restore(leased) => write!(f, "add leased address {}", leased.address),
            Step::Decline => f.write_str("decline the lease: its address is in use by another"),
            Step::Lease => f.write_str("lease by DHCPv6"),
            Step::Extend => f.write_str("ask the DHCPv6 server for what it did not give"),
            Step::GiveBack => f.write_str("give back the part of the lease that is not wanted"),
            Step::Beside(errand) => errand.fmt(f),
        }
    }
}

/// What to do so that `wish` is so.
///
/// # Errors
/// `Refused` when a name that is needed belongs to something else: then nothing is to be done.
pub fn plan(wish: &Wish, seen: &Seen, now: Timestamp) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(known) = &seen.known
        && known.container.identity() != wish.container.identity()
    {
        return Err(Error::new(Kind::Refused, format_args!("use the name {}", wish.link))
            .why(format_args!("it is the link of container {}", known.container.id))
            .remedy("choose another name in networks or with --link"));
    }
    let unwanted = seen.known.as_ref().filter(|known| {
        known.network.plug().ok().as_ref() != Some(&wish.plug)
            || known.mac != wish.mac
            || (known.lease.is_some() && wish.client.is_none())
            || (known.lease4.is_some() && !wish.sources.dhcp4)
    });
    let known = seen.known.as_ref().filter(|_| unwanted.is_none());
    let ends = match unwanted {
        Some(unwanted) => {
            ends::check_free(wish, seen, unwanted)?;
            steps.push(Step::Leave(place_of(unwanted)));
            Ends::Absent
        }
        None => Ends::of(wish, seen)?,
    };
    let there = match ends {
        Ends::Absent => None,
        Ends::Stale => {
            steps.push(Step::Drop);
            None
        }
        Ends::Whole(outer, inner) => Some((outer, inner)),
    };
    steps.extend(allow::step(wish, seen.door, unwanted.is_some()));
    ends::steps(&mut steps, wish, seen, there);
    let addresses: &[Found] = if there.is_some() { &seen.addresses } else { &[] };
    let scene = Scene { wish, seen, known, is_there: there.is_some(), now };
    steps.extend(scene.unwanted());
    for fixed in &wish.sources.fixed {
        give(&mut steps, fixed, addresses)?;
    }
    if wish.client.is_some() {
        let lease = known.and_then(|known| known.lease.as_ref());
        leased(&mut steps, wish, lease, addresses, now);
    }
    scene.wanted(&mut steps);
    Ok(steps)
}

/// Where something remembered is plugged in, for people.
fn place_of(known: &Attachment) -> String {
    known.network.plug().map_or_else(|_| "its place".to_owned(), |plug| plug.to_string())
}

fn give(steps: &mut Vec<Step>, fixed: &Fixed, addresses: &[Found]) -> Result<()> {
    let same =
        |found: &&Found| found.address == fixed.address && found.prefix_len == fixed.prefix_len;
    match addresses.iter().find(same) {
        Some(found) if found.duplicate => Err(in_use(fixed.address)),
        Some(_) => Ok(()),
        None => {
            steps.push(Step::Give(*fixed));
            Ok(())
        }
    }
}

/// The error that says that an address belongs to another station of the link.
pub fn in_use(address: impl fmt::Display) -> Error {
    Error::new(Kind::Refused, format_args!("use address {address}"))
        .why("another station of the link has it")
}

fn leased(
    steps: &mut Vec<Step>,
    wish: &Wish,
    lease: Option<&Leased>,
    addresses: &[Found],
    now: Timestamp,
) {
    let Some(lease) = lease.filter(|lease| is_alive(lease, now)) else {
        steps.push(Step::Lease);
        return;
    };
    let on = |address: &Address| addresses.iter().find(|found| found.address == address.address);
    if lease.addresses.iter().any(|address| on(address).is_some_and(|found| found.duplicate)) {
        steps.extend([Step::Decline, Step::Lease]);
        return;
    }
    if is_surplus(lease, wish) {
        steps.push(Step::GiveBack);
    }
    let wanted = lease.addresses.iter().filter(|leased| is_wanted(wish, leased.origin));
    let missing = wanted.filter(|a| !is_over(a, now) && on(a).is_none());
    steps.extend(missing.cloned().map(Step::Restore));
    let has = |origin| lease.addresses.iter().any(|a| a.origin == origin && !is_over(a, now));
    let has_prefix = lease.prefixes.iter().any(|prefix| !is_prefix_over(prefix, now));
    // The address is what it is attached for. The others are asked for again at each run, and
    // whatever comes of it is no failure.
    if wish.sources.dhcp6 && !has(Origin::Dhcp6) {
        steps.push(Step::Lease);
    } else if (wish.sources.temporary && !has(Origin::Dhcp6Temporary))
        || (wish.network.delegate.is_some() && !has_prefix)
    {
        steps.push(Step::Extend);
    }
}

/// Whether there is something in the lease that may still be used.
pub fn is_alive(lease: &Leased, now: Timestamp) -> bool {
    lease.addresses.iter().any(|address| !is_over(address, now))
        || lease.prefixes.iter().any(|prefix| !is_prefix_over(prefix, now))
}

/// Whether addresses of this origin are leased for the wish.
pub fn is_wanted(wish: &Wish, origin: Origin) -> bool {
    match origin {
        Origin::Dhcp6Temporary => wish.sources.temporary,
        _ => wish.sources.dhcp6,
    }
}

/// Whether there is something in the lease that is not wanted any more.
fn is_surplus(lease: &Leased, wish: &Wish) -> bool {
    lease.addresses.iter().any(|leased| !is_wanted(wish, leased.origin))
        || (wish.network.delegate.is_none() && !lease.prefixes.is_empty())
}

/// Whether a prefix may not be used any more.
pub fn is_prefix_over(prefix: &Prefix, now: Timestamp) -> bool {
    prefix.valid_until.is_some_and(|until| until <= now)
}

/// Whether an address may not be used any more.
pub fn is_over(address: &Address, now: Timestamp) -> bool {
    address.valid_until.is_some_and(|until| until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::netlink::Sort;
    use crate::record::Duid;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn wish() -> Wish {
        let options = super::super::Options::given(&["--bridge", "br1"]);
        let container = serde_json::from_str(r#"{"id":"web","image":"busybox"}"#).unwrap();
        Wish::all(&container, &options).unwrap().remove(0)
    }

    fn veth(index: u32, peer: u32, wish: &Wish) -> Link {
        Link {
            index,
            mac: Some(wish.mac),
            mtu: 1500,
            up: true,
            carrier: true,
            ready: true,
            forwarding: true,
            master: Some(7),
            peer: Some(peer),
            peer_netns: None,
            sort: Sort::Veth,
        }
    }

    fn lease(until: Option<Timestamp>) -> Leased {
        let duid: Duid = "00:04:01".parse().unwrap();
        let address = Address {
            address: "2001:db8::5".parse().unwrap(),
            prefix_len: 128,
            origin: Origin::Dhcp6,
            preferred_until: until,
            valid_until: until,
            rest: Default::default(),
        };
        Leased {
            duid: duid.clone(),
            iaid: 1,
            server: duid,
            addresses: vec![address],
            prefixes: vec![],
            dns_servers: vec![],
            search: vec![],
            obtained_at: NOW,
            renew_at: None,
            rebind_at: None,
            rest: Default::default(),
        }
    }

    /// Attached with a lease, and the address in the given state or not there.
    fn attached(wish: &Wish, duplicate: Option<bool>) -> Seen {
        let found = |duplicate| Found {
            address: "2001:db8::5".parse().unwrap(),
            prefix_len: 128,
            tentative: duplicate,
            optimistic: false,
            duplicate,
        };
        let local = Found {
            address: wish.mac.link_local().into(),
            prefix_len: 64,
            tentative: false,
            optimistic: false,
            duplicate: false,
        };
        Seen {
            place: 7,
            outer: Some(veth(9, 2, wish)),
            inner: Some(veth(2, 9, wish)),
            addresses: duplicate.map(found).into_iter().chain([local]).collect(),
            known: Some(wish.attachment(Some(lease(None)))),
            ..Seen::default()
        }
    }

    #[test]
    fn from_nothing_everything_is_made() {
        let seen = Seen { place: 7, ..Seen::default() };
        let steps = plan(&wish(), &seen, NOW).unwrap();
        assert_eq!(steps, [Step::Make, Step::LinkLocal, Step::SwitchOnInner, Step::Lease]);
        let seen = Seen { born: vec![("disable_ipv6", 0)], ..seen };
        let steps = plan(&wish(), &seen, NOW).unwrap();
        let set = Step::Set(("disable_ipv6", 0));
        assert_eq!(steps, [Step::Make, set, Step::LinkLocal, Step::SwitchOnInner, Step::Lease]);
    }

    #[test]
    fn what_is_so_already_needs_nothing() {
        let wish = wish();
        assert_eq!(plan(&wish, &attached(&wish, Some(false)), NOW).unwrap(), []);
    }

    #[test]
    fn what_a_server_did_not_give_is_asked_for_again() {
        let line = ["--bridge", "br1", "--address", "dhcp6", "--address", "dhcp6-temporary"];
        let options = super::super::Options::given(&[&line[..], &["--delegate", "56"]].concat());
        let container = serde_json::from_str(r#"{"id":"web","image":"busybox"}"#).unwrap();
        let wish = Wish::all(&container, &options).unwrap().remove(0);
        let mut seen = attached(&wish, Some(false));
        assert_eq!(plan(&wish, &seen, NOW).unwrap(), [Step::Extend]);
        let lease = seen.known.as_mut().unwrap().lease.as_mut().unwrap();
        let temporary = Address {
            address: "2001:db8::6".parse().unwrap(),
            origin: Origin::Dhcp6Temporary,
            ..lease.addresses[0].clone()
        };
        lease.addresses.push(temporary.clone());
        lease.prefixes.push(Prefix {
            prefix: "2001:db8:1::/56".parse().unwrap(),
            preferred_until: None,
            valid_until: None,
            rest: Default::default(),
        });
        assert_eq!(plan(&wish, &seen, NOW).unwrap(), [Step::Restore(temporary.clone())]);
        // Without the address that it is for, everything is asked for.
        let lease = seen.known.as_mut().unwrap().lease.as_mut().unwrap();
        lease.addresses.remove(0);
        let steps = [Step::Restore(temporary), Step::Lease];
        assert_eq!(plan(&wish, &seen, NOW).unwrap(), steps);
        let lease = seen.known.as_mut().unwrap().lease.as_mut().unwrap();
        lease.addresses.clear();
        let alone = ["--bridge", "br1", "--address", "none", "--delegate", "56"];
        let options = super::super::Options::given(&alone);
        let wish = Wish::all(&container, &options).unwrap().remove(0);
        assert_eq!(plan(&wish, &seen, NOW).unwrap(), [], "a prefix alone is a lease");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_given_back() {
        let wish = wish();
        let mut seen = attached(&wish, Some(false));
        let lease = seen.known.as_mut().unwrap().lease.as_mut().unwrap();
        let temporary = Address {
            address: "2001:db8::6".parse().unwrap(),
            origin: Origin::Dhcp6Temporary,
            ..lease.addresses[0].clone()
        };
        lease.addresses.push(temporary);
        assert_eq!(plan(&wish, &seen, NOW).unwrap(), [Step::GiveBack]);
    }

    #[test]
    fn what_a_killed_run_left_is_finished() {
        let wish = wish();
        let restore = Step::Restore(lease(None).addresses[0].clone());
        assert_eq!(
            plan(&wish, &attached(&wish, None), NOW).unwrap(),
            std::slice::from_ref(&restore)
        );

        let mut unleased = attached(&wish, None);
        unleased.known = Some(wish.attachment(None));
        unleased.outer.as_mut().unwrap().master = Some(8);
        unleased.inner.as_mut().unwrap().up = false;
        let steps = plan(&wish, &unleased, NOW).unwrap();
        assert_eq!(steps, [Step::Plug, Step::SwitchOnInner, Step::Lease]);

        let restarted = Seen { inner: None, ..attached(&wish, None) };
        let steps = plan(&wish, &restarted, NOW).unwrap();
        assert_eq!(steps, [Step::Drop, Step::Make, Step::LinkLocal, Step::SwitchOnInner, restore]);

        let mut ended = attached(&wish, None);
        ended.known = Some(wish.attachment(Some(lease(Some(NOW)))));
        assert_eq!(plan(&wish, &ended, NOW).unwrap(), [Step::Lease]);
    }

    #[test]
    fn a_duplicate_is_declined_and_another_bridge_is_left() {
        let wish = wish();
        let steps = plan(&wish, &attached(&wish, Some(true)), NOW).unwrap();
        assert_eq!(steps, [Step::Decline, Step::Lease]);
        let mut elsewhere = attached(&wish, Some(false));
        elsewhere.known.as_mut().unwrap().network.bridge = "br0".parse().ok();
        let steps = plan(&wish, &elsewhere, NOW).unwrap();
        let leave = Step::Leave("br0".to_owned());
        assert_eq!(steps, [leave, Step::Make, Step::LinkLocal, Step::SwitchOnInner, Step::Lease]);
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        let wish = wish();
        let mut other = attached(&wish, None);
        other.inner.as_mut().unwrap().peer = Some(77);
        let error = plan(&wish, &other, NOW).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("an interface eth0 that is not unionize's"), "{error}");
        let mut other = attached(&wish, None);
        other.outer.as_mut().unwrap().sort = Sort::Other;
        assert_eq!(plan(&wish, &other, NOW).unwrap_err().kind(), Kind::Refused);
    }
}
