//! Default routes.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_REPLACE};

use super::{Netlink, failed};
use crate::error::Result;

impl Netlink {
    /// The router of an IPv6 default route over the interface with the number `index`.
    pub fn router(&self, index: u32) -> Result<Option<Ipv6Addr>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        let routes = self
            .dump(RouteNetlinkMessage::GetRoute(message))
            .map_err(|e| failed("list routes", &e))?;
        Ok(routes.into_iter().find_map(|route| read(route, index)))
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

/// The router of a default route over the interface `index`, if the message is about one.
fn read(message: RouteNetlinkMessage, index: u32) -> Option<Ipv6Addr> {
    let RouteNetlinkMessage::NewRoute(route) = message else { return None };
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
