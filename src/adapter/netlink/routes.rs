//! Routes with all that the record knows of one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::{Error, Kind, Result};
use crate::record::{Fate, MAIN_TABLE, Route};

/// What the kernel takes for an IPv6 route that says no metric (`IP6_RT_PRIO_USER`), which is what
/// those that routers advertise have.
const V6_METRIC: u32 = 1024;

/// The metric of an IPv6 default route that is given without one: before those that routers
/// advertise, which stay for when it goes.
const GIVEN_DEFAULT_METRIC: u32 = 512;

/// A route that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRoute {
    /// The route; its metric is always told where the kernel has one.
    pub route: Route,
    /// Whether a router has advertised it.
    pub advertised: bool,
}

impl FoundRoute {
    /// Whether it is what `wanted` asks for.
    pub fn is(&self, wanted: &Route) -> bool {
        // The kernel does not tell that a router is taken to be on the link where it would be anyway.
        let onlink = self.route.onlink;
        self.route == Route { metric: metric(wanted), onlink, ..*wanted }
    }
}

impl Netlink {
    /// The IPv4 or IPv6 routes over the interface with the number `index`, and those of this namespace
    /// that drop what they are for, in all tables that can be written in.
    pub fn routes_over(&self, index: u32, ipv4: bool) -> Result<Vec<FoundRoute>> {
        let mut message = RouteMessage::default();
        message.header.address_family = match ipv4 {
            true => AddressFamily::Inet,
            false => AddressFamily::Inet6,
        };
        let routes = self
            .dump(RouteNetlinkMessage::GetRoute(message))
            .map_err(|e| failed("list routes", &e))?;
        Ok(routes.into_iter().filter_map(|message| read(message, index)).collect())
    }

    /// Adds a route over the interface with the number `index`. Where IPv4 has one to the same place
    /// already, this one comes before it.
    ///
    /// # Errors
    /// `Refused` when there is another IPv6 route to the same place with the same metric.
    pub fn add_route(&self, index: u32, route: &Route) -> Result<()> {
        let exclusive = if route.to.addr().is_ipv6() { NLM_F_EXCL } else { 0 };
        let message = message(index, route);
        let doing = || format!("add route {route}");
        self.call(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | exclusive).map_err(|e| {
            match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EEXIST) => {
                    let error = Error::new(Kind::Refused, doing()).why("there is one like it");
                    error.remedy("give it another metric")
                }
                Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL) => {
                    Error::new(Kind::Refused, doing())
                        .why(format_args!("the kernel says {}", plain(&e)))
                        .remedy("is its router on the link, and its source an address here?")
                }
                _ => failed(doing(), &e),
            }
        })
    }

    /// Takes a route over the interface with the number `index` away. Whether it was there.
    pub fn remove_route(&self, index: u32, route: &Route) -> Result<bool> {
        let mut message = message(index, route);
        // So the kernel does not compare it.
        message.header.scope = RouteScope::NoWhere;
        match self.call(RouteNetlinkMessage::DelRoute(message), 0) {
            Ok(()) => Ok(true),
            Err(e) => match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ESRCH | Errno::ENOENT | Errno::ENODEV) => Ok(false),
                _ => Err(failed(format_args!("delete route {route}"), &e)),
            },
        }
    }
}

fn plain(error: &io::Error) -> &'static str {
    error.raw_os_error().map_or("no", |code| Errno::from_raw(code).desc())
}

/// The metric that a route gets.
fn metric(route: &Route) -> Option<u32> {
    let unsaid = match (route.to.addr(), route.is_default()) {
        (IpAddr::V4(_), _) => None,
        (IpAddr::V6(_), true) => Some(GIVEN_DEFAULT_METRIC),
        (IpAddr::V6(_), false) => Some(V6_METRIC),
    };
    route.metric.or(unsaid)
}

fn message(index: u32, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = match route.to {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    header.protocol = RouteProtocol::Static;
    header.destination_prefix_length = route.to.prefix_len();
    header.source_prefix_length = route.from.map_or(0, |from| from.prefix_len());
    header.kind = kind(route.fate);
    // ip-route(8): what is given to a router is of global scope, what is on the link of link scope.
    let on_link = route.fate == Fate::Sent && route.via.is_none();
    header.scope = if on_link { RouteScope::Link } else { RouteScope::Universe };
    if route.onlink {
        header.flags |= RouteFlags::Onlink;
    }
    let mut add = |attribute| message.attributes.push(attribute);
    if route.to.prefix_len() > 0 {
        add(RouteAttribute::Destination(route.to.addr().into()));
    }
    if let Some(from) = route.from {
        add(RouteAttribute::Source(from.addr().into()));
    }
    if let Some(via) = route.via {
        add(RouteAttribute::Gateway(via.into()));
    }
    if let Some(src) = route.src {
        add(RouteAttribute::PrefSource(src.into()));
    }
    if let Some(metric) = metric(route) {
        add(RouteAttribute::Priority(metric));
    }
    add(RouteAttribute::Table(route.table));
    if route.fate == Fate::Sent {
        add(RouteAttribute::Oif(index));
    }
    message
}

fn kind(fate: Fate) -> RouteType {
    match fate {
        Fate::Sent => RouteType::Unicast,
        Fate::Unreachable => RouteType::Unreachable,
        Fate::Blackhole => RouteType::BlackHole,
        Fate::Prohibit => RouteType::Prohibit,
    }
}

fn fate(kind: RouteType) -> Option<Fate> {
    let all = [Fate::Sent, Fate::Unreachable, Fate::Blackhole, Fate::Prohibit];
    all.into_iter().find(|fate| self::kind(*fate) == kind)
}

/// A route out of the kernel's message, if it is over the interface `index` or over none.
fn read(message: RouteNetlinkMessage, index: u32) -> Option<FoundRoute> {
    /// The kernel's own, of which it makes one for each address.
    const LOCAL: u32 = 255;
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = &message.header;
    let nobody: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (mut to, mut from) = (nobody, nobody);
    let mut over = None;
    let mut route = Route::to(IpNet::new(nobody, 0).ok()?);
    route.fate = fate(header.kind)?;
    route.table = header.table.into();
    route.onlink = header.flags.contains(RouteFlags::Onlink);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Source(address) => from = ip(address)?,
            RouteAttribute::Gateway(address) => route.via = Some(ip(address)?),
            RouteAttribute::PrefSource(address) => route.src = Some(ip(address)?),
            RouteAttribute::Priority(metric) => route.metric = Some(*metric),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Oif(index) => over = Some(*index),
            RouteAttribute::MultiPath(hops) => {
                let hop = hops.iter().find(|hop| hop.interface_index == index)?;
                over = Some(index);
                let gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(address) => ip(address),
                    _ => None,
                });
                route.via = gateway;
            }
            _ => (),
        }
    }
    let is_here = route.fate != Fate::Sent || over == Some(index);
    if !is_here || route.table == LOCAL || header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    route.to = IpNet::new(to, header.destination_prefix_length).ok()?;
    let length = header.source_prefix_length;
    route.from = if length > 0 { Some(IpNet::new(from, length).ok()?) } else { None };
    Some(FoundRoute { route, advertised: header.protocol == RouteProtocol::Ra })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// Of these routes, the router of the best IPv4 or IPv6 default route for everybody.
pub fn best_router(found: &[FoundRoute], ipv4: bool) -> Option<IpAddr> {
    let of_family = |found: &&FoundRoute| found.route.to.addr().is_ipv4() == ipv4;
    let plain = |found: &FoundRoute| {
        let route = Route { table: MAIN_TABLE, ..found.route };
        (found.route.table == MAIN_TABLE).then(|| route.router()).flatten()
    };
    let routers = found.iter().filter(of_family);
    let routers =
        routers.filter_map(|found| Some((found.route.metric.unwrap_or(0), plain(found)?)));
    // The first of those with the lowest metric is the one that IPv4 takes.
    routers.min_by_key(|(metric, _)| *metric).map(|(_, router)| router)
}
