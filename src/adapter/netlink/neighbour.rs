//! Neighbour entries: which hardware address an IPv6 address of the link belongs to.

use std::net::Ipv6Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::Result;
use crate::record::Mac;

impl Netlink {
    /// Tells the kernel where `address` is on the link with the number `index`, as something to be
    /// confirmed at first use (state STALE, RFC 4861 section 7.3.2). So the first packet to it is
    /// not held back.
    pub fn seed_neighbour(&self, index: u32, address: Ipv6Addr, mac: Mac) -> Result<()> {
        let mut message = message(index, address);
        message.header.state = NeighbourState::Stale;
        let lladdr = NeighbourAttribute::LinkLayerAddress(mac.as_bytes().to_vec());
        message.attributes.push(lladdr);
        self.call(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|e| failed(format_args!("add neighbour {address}"), &e))
    }

    /// Makes the kernel forget where `address` is. Whether it knew.
    pub fn forget_neighbour(&self, index: u32, address: Ipv6Addr) -> Result<bool> {
        match self.call(RouteNetlinkMessage::DelNeighbour(message(index, address)), 0) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.raw_os_error(), Some(code) if code == Errno::ENOENT as i32) => {
                Ok(false)
            }
            Err(e) => Err(failed(format_args!("delete neighbour {address}"), &e)),
        }
    }
}

fn message(index: u32, address: Ipv6Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.ifindex = index;
    let destination = NeighbourAttribute::Destination(NeighbourAddress::Inet6(address));
    message.attributes.push(destination);
    message
}
