//! How the link of an interface stands before anything is done, and what it needs.

use std::net::IpAddr;

use super::Dad;
use super::links::is;
use super::plan::{Seen, Step};
use super::wish::{Wish, is_derived};
use crate::adapter::attachments::Attachment;
use crate::adapter::netlink::{Link, PortVlan, Single, Sort};
use crate::error::{Error, Kind, Result};
use crate::record::{Ifname, Parent, Plug};

/// How the two ends stand to each other; what is not a pair has the one inside alone.
#[derive(Clone, Copy, Debug)]
pub enum Ends<'a> {
    /// Neither is there.
    Absent,
    /// One is there and leads elsewhere.
    Stale,
    /// It is the link that is wanted: the host's end if there is one, and the container's.
    Whole(Option<&'a Link>, &'a Link),
}

impl<'a> Ends<'a> {
    /// Those of `wish`.
    ///
    /// # Errors
    /// `Refused` when a name that is needed belongs to something else, `NotFound` when the device
    /// that is to be lent is not there.
    pub fn of(wish: &Wish, seen: &'a Seen) -> Result<Ends<'a>> {
        match &wish.plug {
            Plug::Bridge { .. } | Plug::Ovs { .. } => pair(wish, seen),
            Plug::Direct { .. } => lent(wish, seen),
            _ => single(wish, seen),
        }
    }
}

/// Makes sure that `wish` can be made once what is remembered has gone, which is wanted no more.
///
/// # Errors
/// As for [`Ends::of`].
pub fn check_free(wish: &Wish, seen: &Seen, known: &Attachment) -> Result<()> {
    let pairs = matches!(wish.plug, Plug::Bridge { .. } | Plug::Ovs { .. });
    let outer = seen.outer.as_ref().filter(|_| pairs);
    if outer.is_some_and(|outer| !is_own_end(wish, seen, outer)) {
        return Err(taken(wish, "host", &wish.link));
    }
    if seen.inner.as_ref().is_some_and(|inner| inner.mac != Some(known.mac)) {
        return Err(taken_inside(wish));
    }
    match &wish.plug {
        Plug::Direct { parent } if seen.home.is_none() && known.lent.is_none() => {
            Err(not_there(parent))
        }
        _ => Ok(()),
    }
}

fn not_there(parent: &Parent) -> Error {
    Error::new(Kind::NotFound, format_args!("find interface {parent}"))
        .why("the host has none of that name or address")
}

fn taken(wish: &Wish, place: &str, name: &Ifname) -> Error {
    let doing = format!("make {} {} for {}", wish.plug.kind(), wish.link, wish.interface);
    let why = format_args!("the {place} has an interface {name} that is not unionize's");
    Error::new(Kind::Refused, doing).why(why)
}

fn taken_inside(wish: &Wish) -> Error {
    taken(wish, "container", &wish.interface)
        .remedy("choose another name in networks or with --interface")
}

fn pair<'a>(wish: &Wish, seen: &'a Seen) -> Result<Ends<'a>> {
    let outer = match &seen.outer {
        Some(outer) if !is_own_end(wish, seen, outer) => {
            return Err(taken(wish, "host", &wish.link));
        }
        outer => outer.as_ref(),
    };
    let before = seen.known.as_ref().map(|known| known.mac);
    match (outer, &seen.inner) {
        (None, None) => Ok(Ends::Absent),
        (Some(_), None) => Ok(Ends::Stale),
        (Some(outer), Some(inner))
            if inner.sort == Sort::Veth
                && outer.peer == Some(inner.index)
                && inner.peer == Some(outer.index)
                && (inner.mac == Some(wish.mac)
                    || (inner.mac.is_some() && inner.mac == before)) =>
        {
            Ok(Ends::Whole(Some(outer), inner))
        }
        (_, Some(_)) => Err(taken_inside(wish)),
    }
}

/// Whether the host's end is unionize's: by its name, or where that was given by its address.
fn is_own_end(wish: &Wish, seen: &Seen, outer: &Link) -> bool {
    let known = seen.known.as_ref().map(|known| known.mac);
    let of = |mac| outer.mac == Some(Wish::outer_mac(mac));
    let is_own = is_derived(&wish.link) || of(wish.mac) || known.is_some_and(of);
    outer.sort == Sort::Veth && is_own
}

/// A link of one end is known by what it is, what it stands on, and its hardware address.
fn single<'a>(wish: &Wish, seen: &'a Seen) -> Result<Ends<'a>> {
    let Some(inner) = &seen.inner else { return Ok(Ends::Absent) };
    let from_host = inner.peer_netns.is_some() && inner.peer_netns == seen.host_netns;
    let stands = match seen.single {
        Some(Single::Dummy) => true,
        Some(Single::Vxlan(_)) => from_host,
        _ => from_host && inner.peer == Some(seen.place),
    };
    let wanted = seen.single.map(Sort::Single);
    if stands && wanted.as_ref() == Some(&inner.sort) && inner.mac == Some(wish.mac) {
        return Ok(Ends::Whole(None, inner));
    }
    let was_made = matches!(inner.sort, Sort::Single(_))
        && seen.known.as_ref().is_some_and(|known| inner.mac == Some(known.mac));
    if was_made { Ok(Ends::Stale) } else { Err(taken_inside(wish)) }
}

fn lent<'a>(wish: &Wish, seen: &'a Seen) -> Result<Ends<'a>> {
    let Some(inner) = &seen.inner else {
        return match (&seen.home, &wish.plug) {
            (None, Plug::Direct { parent }) => Err(not_there(parent)),
            _ => Ok(Ends::Absent),
        };
    };
    let device = seen.device.as_ref().filter(|device| device.index == inner.index);
    let is_lent = |device| wish.lent.as_ref().is_some_and(|lent| is(lent, wish.mac, device));
    match device.filter(|device| is_lent(device) && device.guise.mac == Some(wish.mac)) {
        Some(_) => Ok(Ends::Whole(None, inner)),
        None => Err(taken_inside(wish)),
    }
}

/// What the link itself needs; `there` are its ends when it is there as it is wanted.
pub fn steps(
    steps: &mut Vec<Step>,
    wish: &Wish,
    seen: &Seen,
    there: Option<(Option<&Link>, &Link)>,
) {
    match there {
        None => steps.push(Step::Make),
        Some((Some(outer), _)) => {
            if matches!(wish.plug, Plug::Bridge { .. }) && outer.master != Some(seen.place) {
                steps.push(Step::Plug);
            }
            if !outer.up {
                steps.push(Step::SwitchOnOuter);
            }
        }
        Some((None, _)) => (),
    }
    match &wish.plug {
        Plug::Bridge { vlan: Some(vlan), .. } => {
            let wanted = PortVlan::access(vlan.get() as u16);
            if there.is_none() || seen.vlans != [wanted] {
                steps.push(Step::Vlan(*vlan));
            }
        }
        Plug::Ovs { .. } => {
            if seen.in_userspace && (there.is_none() || seen.unfinished) {
                steps.push(Step::Finish);
            }
            if there.is_none() || !seen.ported {
                steps.push(Step::Port);
            }
        }
        _ => (),
    }
    let settings = if there.is_none() { &seen.born } else { &seen.settings };
    steps.extend(settings.iter().copied().map(Step::Set));
    let has_local = there.is_some()
        && seen.addresses.iter().any(|found| found.address == IpAddr::from(wish.local));
    let gives_local = wish.dad != Dad::Wait || matches!(wish.plug, Plug::Ipvlan { .. });
    if wish.speaks_ipv6() && gives_local && !has_local {
        steps.push(Step::LinkLocal);
    }
    if there.is_none_or(|(_, inner)| !inner.up) {
        steps.push(Step::SwitchOnInner);
    }
}
