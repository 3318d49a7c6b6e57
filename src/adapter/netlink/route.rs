//! Default routes.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::{Netlink, failed};
use crate::error::Result;

impl Netlink {
    /// The router of an IPv6 default route over the interface with the number `index`.
    pub fn router(&self, index: u32) -> Result<Option<Ipv6Addr>> {
        Ok(self.routes()?.iter().find_map(|route| router(route, index)))
    }

    /// Whether packets to `address` that come in over the interface with the number `index` are
    /// taken. The kernel sees to that a moment after it shows the address.
    pub fn takes(&self, index: u32, address: Ipv6Addr) -> Result<bool> {
        let to = RouteAttribute::Destination(RouteAddress::Inet6(address));
        let over = RouteAttribute::Oif(index);
        Ok(self.routes()?.iter().any(|route| {
            route.header.kind == RouteType::Local
                && route.header.destination_prefix_length == 128
                && route.attributes.contains(&to)
                && route.attributes.contains(&over)
        }))
    }

    /// All IPv6 routes.
    fn routes(&self) -> Result<Vec<RouteMessage>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        let routes = self
            .dump(RouteNetlinkMessage::GetRoute(message))
            .map_err(|e| failed("list routes", &e))?;
        let route = |message| match message {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        };
        Ok(routes.into_iter().filter_map(route).collect())
    }

    /// Adds a default route over the interface with the number `index`.
    pub fn add_router(&self, index: u32, router: IpAddr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = match router {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(router.into()));
        message.attributes.push(RouteAttribute::Oif(index));
        self.call(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|e| failed(format_args!("add default route via {router}"), &e))
    }
}

/// The router, if this is a default route over the interface `index`.
fn router(route: &RouteMessage, index: u32) -> Option<Ipv6Addr> {
    let header = &route.header;
    if header.destination_prefix_length != 0
        || header.table != RouteHeader::RT_TABLE_MAIN
        || header.kind != RouteType::Unicast
    {
        return None;
    }
    let over = |attribute: &RouteAttribute| *attribute == RouteAttribute::Oif(index);
    if route.attributes.iter().any(over) {
        return route.attributes.iter().find_map(gateway);
    }
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => hops
            .iter()
            .filter(|hop| hop.interface_index == index)
            .find_map(|hop| hop.attributes.iter().find_map(gateway)),
        _ => None,
    })
}

fn gateway(attribute: &RouteAttribute) -> Option<Ipv6Addr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet6(router)) => Some(*router),
        _ => None,
    }
}
