//! What lies beyond this namespace's own links: the numbers of other namespaces, and where a
//! packet to an address would go out.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::Result;

impl Netlink {
    /// The number that this namespace knows the namespace `netns` by (`peer_netns` of a link);
    /// nothing when it has none, and so no link leads there.
    pub fn number_of(&self, netns: BorrowedFd<'_>) -> Result<Option<i32>> {
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(netns.as_raw_fd() as u32));
        let answers = self
            .ask(RouteNetlinkMessage::GetNsId(message), 0)
            .map_err(|e| failed("look for network namespace", &e))?;
        let number = |answer| match answer {
            RouteNetlinkMessage::NewNsId(message) => {
                message.attributes.into_iter().find_map(number)
            }
            _ => None,
        };
        Ok(answers.into_iter().find_map(number))
    }

    /// The number of the interface that packets to `address` leave by; nothing when there is no
    /// route.
    pub fn way_to(&self, address: IpAddr) -> Result<Option<u32>> {
        let mut message = RouteMessage::default();
        (message.header.address_family, message.header.destination_prefix_length) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        let to = match address {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        };
        message.attributes.push(RouteAttribute::Destination(to));
        let none = [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL];
        match self.ask(RouteNetlinkMessage::GetRoute(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(way)),
            Err(e) if none.iter().any(|none| e.raw_os_error() == Some(*none as i32)) => Ok(None),
            Err(e) => Err(failed(format_args!("look for the way to {address}"), &e)),
        }
    }
}

fn number(attribute: NsidAttribute) -> Option<i32> {
    match attribute {
        NsidAttribute::Id(number) if number >= 0 => Some(number),
        _ => None,
    }
}

fn way(answer: RouteNetlinkMessage) -> Option<u32> {
    let RouteNetlinkMessage::NewRoute(route) = answer else { return None };
    route.attributes.into_iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(index),
        _ => None,
    })
}
