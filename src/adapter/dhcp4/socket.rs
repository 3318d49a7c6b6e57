//! The socket of one exchange.
//!
//! While the interface has no address, messages leave as whole frames through a packet socket, and
//! answers come in through it. With an address a UDP socket does both: what the kernel knows of routes
//! and neighbours holds, and it does not tell the server that nobody listens.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::sockopt::{BindToDevice, Broadcast, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, ControlMessage, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrIn, bind, recvmsg, send, sendmsg, setsockopt, socket,
};

use super::Link;
use super::frame::{CLIENT_PORT, HEADERS, SERVER_PORT, frame, message};
use super::machine::{Outgoing, Task};
use crate::error::{Doing, Error, Kind, Result};
use crate::record::Mac;

/// What messages go through.
pub(super) enum Socket {
    /// Whole frames.
    Packet { fd: OwnedFd, mac: Mac },
    /// UDP datagrams, with the number of the link that they leave by.
    Udp { fd: OwnedFd, link: u32 },
}

impl Socket {
    /// The longest thing that is read: an answer with options in its IP header.
    pub const LONGEST: usize = HEADERS + 40 + super::message::LONGEST + 1;

    /// A socket for `task`.
    pub fn open(mac: Mac, link: Link<'_>, task: Task) -> Result<Socket> {
        let held = match task {
            Task::Renew(held) | Task::Rebind(held) | Task::Release(held) => Some(held.address),
            Task::Lease | Task::Reboot(_) | Task::Decline(_) => None,
        };
        let has_it = held.is_some_and(|address| has(link, address));
        let opened = match has_it {
            true => match udp(link) {
                // Another client has the port for itself.
                Err(Errno::EADDRINUSE) => packet(mac, link),
                other => other.map(Some),
            },
            false => packet(mac, link),
        };
        let doing = "open DHCPv4 client port";
        match opened {
            Ok(Some(socket)) => Ok(socket),
            Ok(None) => Err(Error::new(Kind::NotFound, doing).why("there is no such interface")),
            Err(why) => {
                let error = Error::io(doing, &why.into());
                Err(match error.kind() {
                    Kind::NotPermitted => {
                        error.remedy("run as root or grant CAP_NET_RAW and CAP_NET_BIND_SERVICE")
                    }
                    _ => error,
                })
            }
        }
    }

    /// Sends a message; whether the link has taken it.
    pub fn send(&self, outgoing: &Outgoing) -> Result<bool> {
        let Outgoing { message, from, to } = outgoing;
        let sent = match self {
            Socket::Packet { fd, mac } => {
                let frame = frame(*mac, *from, *to, message);
                send(fd.as_raw_fd(), &frame, MsgFlags::empty())
            }
            Socket::Udp { fd, link } => {
                let source = in_addr { s_addr: u32::from(*from).to_be() };
                let info = in_pktinfo {
                    ipi_ifindex: *link as i32,
                    ipi_spec_dst: source,
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(*to, SERVER_PORT));
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                let pieces = [IoSlice::new(message)];
                sendmsg(fd.as_raw_fd(), &pieces, &control, MsgFlags::empty(), Some(&to))
            }
        };
        match sent {
            Ok(_) => Ok(true),
            Err(failure) if may_pass(failure) => Ok(false),
            Err(failure) => Err(failure).doing("send DHCPv4 message"),
        }
    }

    /// The next message from a server's port to the client's; nothing when no more has come in.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
        loop {
            let mut pieces = [IoSliceMut::new(buffer)];
            let fd = self.as_fd().as_raw_fd();
            let received = recvmsg::<()>(fd, &mut pieces, None, MsgFlags::MSG_TRUNC);
            let length = match received.map(|received| received.bytes) {
                // What is longer than the buffer is no answer.
                Ok(length) if length >= buffer.len() => continue,
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(None),
                // The link went off and came back, or a server says that nobody listens.
                Err(Errno::EINTR | Errno::ENETDOWN | Errno::ECONNREFUSED) => continue,
                Err(failure) => return Err(failure).doing("receive DHCPv4 message"),
            };
            let found = match self {
                Socket::Packet { .. } => message(&buffer[..length]).map(|found| {
                    let start = found.as_ptr() as usize - buffer.as_ptr() as usize;
                    start..start + found.len()
                }),
                Socket::Udp { .. } => Some(0..length),
            };
            if let Some(found) = found {
                return Ok(Some(&buffer[found]));
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Packet { fd, .. } | Socket::Udp { fd, .. } => fd.as_fd(),
        }
    }
}

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

/// A packet socket on the link; nothing when there is no such interface. Its address comes from the
/// kernel's own list, which says nothing of a protocol: that of the socket stays.
fn packet(mac: Mac, link: Link<'_>) -> nix::Result<Option<Socket>> {
    let of_link = |address: &LinkAddr| address.ifindex() == link.index as usize;
    let mut addresses = getifaddrs()?.filter_map(|entry| entry.address?.as_link_addr().copied());
    let Some(address) = addresses.find(of_link) else { return Ok(None) };
    let protocol = Some(SockProtocol::EthIp);
    let fd = socket(AddressFamily::Packet, SockType::Raw, FLAGS, protocol)?;
    bind(fd.as_raw_fd(), &address)?;
    Ok(Some(Socket::Packet { fd, mac }))
}

/// A UDP socket on the client's port of the link, which others may share.
fn udp(link: Link<'_>) -> nix::Result<Socket> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, FLAGS, None)?;
    setsockopt(&fd, ReuseAddr, &true)?;
    setsockopt(&fd, Broadcast, &true)?;
    setsockopt(&fd, BindToDevice, &link.name.as_str().into())?;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT);
    bind(fd.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(Socket::Udp { fd, link: link.index })
}

/// Whether the interface has the address.
fn has(link: Link<'_>, address: Ipv4Addr) -> bool {
    let is_it = |entry: &nix::ifaddrs::InterfaceAddress| {
        let of_entry = entry.address.and_then(|address| address.as_sockaddr_in().copied());
        entry.interface_name == link.name.as_str()
            && of_entry.is_some_and(|found| found.ip() == address)
    };
    getifaddrs().is_ok_and(|mut entries| entries.any(|entry| is_it(&entry)))
}

/// Whether a failure to send may be over soon: a link comes up.
fn may_pass(failure: Errno) -> bool {
    use Errno::{EAGAIN, EHOSTUNREACH, EINTR, ENETDOWN, ENETUNREACH, ENOBUFS};
    [EAGAIN, EHOSTUNREACH, EINTR, ENETDOWN, ENETUNREACH, ENOBUFS].contains(&failure)
}
