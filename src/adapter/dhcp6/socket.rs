//! The sockets of an exchange, in the network namespace of the thread that opens them.
//!
//! All clients of a host listen on one port, and the answers that come to it carry no more than a
//! transaction id to tell whose they are. A host gives back the leases of many containers at once, and
//! may have a DHCPv6 client of its own on the same link, so the port cannot be one socket's alone, and
//! of UDP sockets that share it the kernel gives an answer to one only. So messages leave from a
//! UDP socket, which holds the port, and come in through a raw one, which gets a copy of every answer.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{RcvBuf, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, recv, sendto,
    setsockopt, socket,
};

use super::Link;
use super::sieve::LONGEST;
use crate::error::{Doing, Error, Kind, Result};

/// Section 7.2: the UDP ports of clients, and of servers and relay agents.
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// Section 7.1: All_DHCP_Relay_Agents_and_Servers.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Bytes of a UDP header (RFC 768): source port, destination port, length, checksum.
const UDP_HEADER: usize = 8;

/// A number to begin the machine's random numbers with, another one for each call.
pub(super) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The two sockets of one exchange, on one link-local address of the link.
pub(super) struct Sockets {
    /// A UDP socket on the client's port.
    outward: OwnedFd,
    /// A raw socket that gets a copy of each UDP datagram to that address.
    inward: OwnedFd,
    servers: SockaddrIn6,
}

impl Sockets {
    /// Sockets on a link-local address, from which every message must be sent (section 16).
    ///
    /// Where there is no such address yet, or it is still tentative, or the port is in use, that is
    /// no failure: trying again may help.
    pub fn open(link: Link<'_>) -> Result<Result<Sockets, NotYet>> {
        // Where there is none, nix gives an empty name.
        if if_indextoname(link.index).is_ok_and(|name| name.is_empty()) {
            let error = Error::new(Kind::NotFound, "open DHCPv6 client port");
            return Err(error.why("there is no such interface"));
        }
        Sockets::open_once(link).map_err(not_open)
    }

    fn open_once(link: Link<'_>) -> nix::Result<Result<Sockets, NotYet>> {
        let mut not_yet = NotYet::NoAddress;
        for source in sources(link)? {
            match Sockets::bound_to(source, link.index) {
                Ok(sockets) => return Ok(Ok(sockets)),
                Err(Errno::EADDRNOTAVAIL) => {}
                Err(Errno::EADDRINUSE) => not_yet = NotYet::PortInUse,
                Err(other) => return Err(other),
            }
        }
        Ok(Err(not_yet))
    }

    /// An address of link scope binds a socket to its link as well.
    fn bound_to(source: Ipv6Addr, link: u32) -> nix::Result<Sockets> {
        let address = |ip, port| SockaddrIn6::from(SocketAddrV6::new(ip, port, 0, link));
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let inward = socket(AddressFamily::Inet6, SockType::Raw, flags, Some(SockProtocol::Udp))?;
        bind(inward.as_raw_fd(), &address(source, 0))?;
        let outward = socket(AddressFamily::Inet6, SockType::Datagram, flags, None)?;
        setsockopt(&outward, ReuseAddr, &true)?;
        // Nobody reads the copies that come in here: the kernel is to keep as few as it can.
        setsockopt(&outward, RcvBuf, &0)?;
        bind(outward.as_raw_fd(), &address(source, CLIENT_PORT))?;
        Ok(Sockets { outward, inward, servers: address(SERVERS, SERVER_PORT) })
    }

    /// Sends one message to all servers.
    pub fn send(&self, message: &[u8]) -> Result<(), Errno> {
        sendto(self.outward.as_raw_fd(), message, &self.servers, MsgFlags::empty()).map(drop)
    }

    /// What has come in for the client's port; nothing when there is no more.
    pub fn receive<'a>(&self, buffer: &'a mut Buffer) -> Result<Option<&'a [u8]>> {
        loop {
            match recv(self.inward.as_raw_fd(), buffer, MsgFlags::empty()) {
                Ok(length) if is_for_clients(&buffer[..length]) => {
                    return Ok(Some(&buffer[UDP_HEADER..length]));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENETDOWN) => return Ok(None),
                Err(failure) => return Err(failure).doing("receive DHCPv6 message"),
            }
        }
    }

    /// Waits until something comes in, or for `left`, rounded up to milliseconds.
    pub fn wait(&self, left: Duration) -> Result<()> {
        let millis = left.as_nanos().div_ceil(1_000_000).min(60_000) as u16;
        let mut inward = [PollFd::new(self.inward.as_fd(), PollFlags::POLLIN)];
        match poll(&mut inward, PollTimeout::from(millis)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(failure) => Err(failure).doing("wait for DHCPv6 message"),
        }
    }
}

impl AsFd for Sockets {
    /// The socket that answers come in through.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inward.as_fd()
    }
}

/// Takes a whole datagram with its header, and one byte more of one that is too long.
pub(super) type Buffer = [u8; UDP_HEADER + LONGEST + 1];

/// An empty one.
pub(super) fn buffer() -> Buffer {
    [0; UDP_HEADER + LONGEST + 1]
}

/// Why there will be no sockets.
fn not_open(failure: Errno) -> Error {
    let error = Error::io("open DHCPv6 client port", &failure.into());
    match error.kind() {
        Kind::NotPermitted => {
            error.remedy("run as root or grant CAP_NET_RAW and CAP_NET_BIND_SERVICE")
        }
        _ => error,
    }
}

/// Whether a UDP datagram, with its header, is to the client's port.
fn is_for_clients(datagram: &[u8]) -> bool {
    datagram.len() >= UDP_HEADER && datagram[2..4] == CLIENT_PORT.to_be_bytes()
}

/// The link-local addresses to send from.
fn sources(link: Link<'_>) -> nix::Result<Vec<Ipv6Addr>> {
    if let Some(source) = link.source {
        return Ok(vec![source]);
    }
    let of_link = |address: &SockaddrIn6| {
        address.scope_id() == link.index && address.ip().is_unicast_link_local()
    };
    let addresses = getifaddrs()?.filter_map(|entry| entry.address?.as_sockaddr_in6().copied());
    Ok(addresses.filter(of_link).map(|address| address.ip()).collect())
}

/// Whether a failure to send may be over soon: a link comes up, an address becomes valid. Where the
/// kernel's table of neighbours, one for all namespaces, is full, it says that the argument is
/// invalid, until it has thrown out old ones.
pub(super) fn may_pass(failure: Errno) -> bool {
    use Errno::{
        EADDRNOTAVAIL, EAGAIN, EHOSTUNREACH, EINTR, EINVAL, ENETDOWN, ENETUNREACH, ENOBUFS,
    };
    matches!(
        failure,
        EADDRNOTAVAIL | EAGAIN | EHOSTUNREACH | EINTR | EINVAL | ENETDOWN | ENETUNREACH | ENOBUFS
    )
}

/// Why there are no sockets yet, though there may be soon.
#[derive(Clone, Copy, Debug)]
pub(super) enum NotYet {
    NoAddress,
    PortInUse,
}

impl NotYet {
    pub fn error(self) -> Error {
        let (why, remedy) = match self {
            NotYet::NoAddress => (
                "the interface has no link-local address that can be used",
                "see that it is up, has a carrier and has IPv6 enabled",
            ),
            NotYet::PortInUse => (
                "a program that does not share it has it",
                "stop the other DHCPv6 client on this link",
            ),
        };
        Error::new(Kind::TimedOut, "open DHCPv6 client port").why(why).remedy(remedy)
    }
}
