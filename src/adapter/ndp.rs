//! Router solicitation (RFC 4861). What the answer says is the kernel's business.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt,
    socket, sockopt,
};

use crate::error::{Doing, Result};

/// All routers of the link (RFC 4291 section 2.7.1).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// RFC 4861 section 4.1: type 133, code 0, a checksum that the kernel fills in (RFC 3542 section
/// 3.1), four reserved bytes. RFC 4429 section 3.3: no source link-layer address option, because
/// the sender's address may be optimistic.
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];

/// Asks for routers out of one interface.
pub struct Solicitor {
    socket: OwnedFd,
    to: SockaddrIn6,
}

impl Solicitor {
    /// Opens a socket in the network namespace of the calling thread, for the interface with the
    /// number `index` there.
    pub fn open(index: u32) -> Result<Solicitor> {
        let doing = "open ICMPv6 socket";
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::IcmpV6;
        let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, protocol).doing(doing)?;
        // RFC 4861 section 6.1.1: with any other hop limit a router drops it.
        setsockopt(&socket, sockopt::Ipv6MulticastHops, &255).doing(doing)?;
        let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, index).into();
        Ok(Solicitor { socket, to })
    }

    /// Sends one solicitation, from the interface's link-local address. One that is lost because the
    /// kernel's table of neighbours is full is as any packet that is lost.
    pub fn solicit(&self) -> Result<()> {
        match sendto(self.socket.as_raw_fd(), &SOLICITATION, &self.to, MsgFlags::empty()) {
            Ok(_) | Err(Errno::EINVAL | Errno::ENOBUFS) => Ok(()),
            Err(why) => Err(why).doing("send router solicitation"),
        }
    }
}
