//! Addresses and what becomes of their duplicate address detection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InetDevConf, LinkAttribute, LinkMessage,
};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::Result;

/// How an address goes through duplicate address detection (RFC 4862 section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dad {
    /// It can be used meanwhile (RFC 4429).
    Optimistic,
    /// It cannot be used before the end.
    Wait,
    /// Not at all.
    Off,
}

/// For how long an address may be used, in seconds from now; [`u32::MAX`] is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// For new connections.
    pub preferred: u32,
    /// At all.
    pub valid: u32,
}

impl Lifetimes {
    /// No end.
    pub const FOREVER: Lifetimes = Lifetimes { preferred: u32::MAX, valid: u32::MAX };
}

/// An address that an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub prefix_len: u8,
    /// Whether duplicate address detection has not ended yet.
    pub tentative: bool,
    /// Whether it can be used all the same.
    pub optimistic: bool,
    /// Whether another station has it.
    pub duplicate: bool,
}

impl Found {
    /// Whether packets can be sent from it.
    pub fn is_usable(&self) -> bool {
        (!self.tentative || self.optimistic) && !self.duplicate
    }
}

impl Netlink {
    /// The addresses of the interface with the number `index`.
    pub fn addresses(&self, index: u32) -> Result<Vec<Found>> {
        let found = self
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
            .map_err(|e| failed("list addresses", &e))?;
        Ok(found.into_iter().filter_map(|message| read(message, index)).collect())
    }

    /// What the interface with the number `index` has of `address`.
    pub fn address(&self, index: u32, address: IpAddr) -> Result<Option<Found>> {
        let addresses = self.addresses(index)?;
        Ok(addresses.into_iter().find(|found| found.address == address))
    }

    /// Gives an address to the interface with the number `index`, or new lifetimes to one that it
    /// has.
    pub fn assign(
        &self,
        index: u32,
        address: IpAddr,
        prefix_len: u8,
        lifetimes: Lifetimes,
        dad: Dad,
    ) -> Result<()> {
        let flags = match dad {
            Dad::Optimistic if address.is_ipv6() => AddressFlags::Optimistic,
            Dad::Off if address.is_ipv6() => AddressFlags::Nodad,
            _ => AddressFlags::empty(),
        };
        let mut lasting = CacheInfo::default();
        lasting.ifa_preferred = lifetimes.preferred;
        lasting.ifa_valid = lifetimes.valid;
        let mut message = message(index, address, prefix_len);
        if let IpAddr::V4(address) = address
            && let Some(broadcast) = broadcast(address, prefix_len)
        {
            message.attributes.push(AddressAttribute::Broadcast(broadcast));
        }
        message.attributes.push(AddressAttribute::Flags(flags));
        message.attributes.push(AddressAttribute::CacheInfo(lasting));
        self.call(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|e| failed(format_args!("add address {address}"), &e))
    }

    /// Takes an address, and no other, from the interface with the number `index`. Whether it had it.
    pub fn unassign(&self, index: u32, address: IpAddr, prefix_len: u8) -> Result<bool> {
        let message = message(index, address, prefix_len);
        let alone = if address.is_ipv4() { self.promote_secondaries(index) } else { Ok(()) };
        match alone.and_then(|()| self.call(RouteNetlinkMessage::DelAddress(message), 0)) {
            Ok(()) => Ok(true),
            Err(e) if gone(&e) => Ok(false),
            Err(e) => Err(failed(format_args!("delete address {address}"), &e)),
        }
    }

    /// Has the IPv4 addresses of an interface stay when the first of their network goes. Unless the
    /// machine is set so, the kernel takes them along, and the routes over them.
    fn promote_secondaries(&self, index: u32) -> std::io::Result<()> {
        let mut settings = InetDevConf::default();
        settings.promote_secondaries = 1;
        let settings = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(settings)]);
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![settings]));
        self.call(RouteNetlinkMessage::SetLink(message), 0)
    }
}

/// The address of all stations of an IPv4 network; nothing where it is too small to have one (RFC
/// 3021).
fn broadcast(address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Addr> {
    let net = Ipv4Net::new(address, prefix_len).ok()?;
    (prefix_len <= 30).then(|| net.broadcast())
}

/// Whether the kernel says that the address or its interface is not there.
fn gone(error: &std::io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::EADDRNOTAVAIL as i32) || code == Some(Errno::ENODEV as i32)
}

fn message(index: u32, address: IpAddr, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.index = index;
    message.header.prefix_len = prefix_len;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    message
}

/// An address of the interface `index` out of the kernel's message.
fn read(message: RouteNetlinkMessage, index: u32) -> Option<Found> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    if message.header.index != index {
        return None;
    }
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let mut address = None;
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(local),
            AddressAttribute::Address(remote) => address = address.or(Some(remote)),
            AddressAttribute::Flags(all) => flags = all,
            _ => (),
        }
    }
    Some(Found {
        address: address?,
        prefix_len: message.header.prefix_len,
        tentative: flags.contains(AddressFlags::Tentative),
        optimistic: flags.contains(AddressFlags::Optimistic),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}

/// An address that the kernel has made of a prefix that a router advertises (RFC 4862 section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The address.
    pub address: Ipv6Addr,
    /// Length of its prefix in bits.
    pub prefix_len: u8,
    /// For how long it may be used, from now on.
    pub lifetimes: Lifetimes,
}

impl Netlink {
    /// The addresses that the kernel has made of advertised prefixes for the interface with the
    /// number `index`, but for temporary ones (RFC 8981).
    pub fn advertised(&self, index: u32) -> Result<Vec<Advertised>> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        let found = self
            .dump(RouteNetlinkMessage::GetAddress(message))
            .map_err(|e| failed("list addresses", &e))?;
        Ok(found.into_iter().filter_map(|message| read_advertised(message, index)).collect())
    }
}

fn read_advertised(message: RouteNetlinkMessage, index: u32) -> Option<Advertised> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    if message.header.index != index {
        return None;
    }
    let (mut address, mut lasting, mut origin) = (None, None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Address(IpAddr::V6(own)) => address = Some(own),
            AddressAttribute::CacheInfo(info) => lasting = Some(info),
            AddressAttribute::Protocol(protocol) => origin = Some(protocol),
            AddressAttribute::Flags(all) => flags = all,
            _ => (),
        }
    }
    let (address, lasting) = (address?, lasting?);
    // A kernel before 5.18 does not tell where an address comes from. Then it is one that ends as
    // the interface's own does.
    let by_mac =
        || address.octets()[11..13] == [0xff, 0xfe] && !flags.contains(AddressFlags::Permanent);
    let is_made = match origin {
        Some(origin) => origin == AddressProtocol::RouterAnnouncement,
        None => by_mac(),
    };
    let is_plain = !flags.contains(AddressFlags::Secondary) && !address.is_unicast_link_local();
    (is_made && is_plain).then_some(Advertised {
        address,
        prefix_len: message.header.prefix_len,
        lifetimes: Lifetimes { preferred: lasting.ifa_preferred, valid: lasting.ifa_valid },
    })
}
