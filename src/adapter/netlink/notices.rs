//! That something has changed; what it is, one has to look.
//!
//! Notices come in over a socket of their own. When more come than it holds the kernel drops some,
//! and on a socket that also has answers to wait for, it could drop an answer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::Netlink;
use crate::error::{Doing, Result};

const WAITING: &str = "wait for a netlink notice";

/// What the kernel tells of.
#[derive(Clone, Copy, Debug)]
pub enum Group {
    /// Links.
    Link = libc::RTNLGRP_LINK as isize,
    /// IPv6 addresses.
    Ipv6Address = libc::RTNLGRP_IPV6_IFADDR as isize,
    /// IPv6 routes.
    Ipv6Route = libc::RTNLGRP_IPV6_ROUTE as isize,
}

impl Group {
    /// Its bit in the set of those that a socket listens to.
    pub fn bit(self) -> u32 {
        1 << (self as u32 - 1)
    }
}

/// Hears of changes in one network namespace.
pub struct Notices {
    socket: OwnedFd,
}

impl Notices {
    /// Begins to listen to `groups` in the network namespace of the calling thread.
    pub fn open(groups: &[Group]) -> Result<Notices> {
        let socket = Notices::socket(groups).doing("open netlink socket")?;
        Ok(Notices { socket })
    }

    /// Waits until `look` finds something through `netlink`, which is asked at once and whenever
    /// something changes. Nothing when `until` comes first.
    pub fn wait_for<T>(
        &self,
        netlink: &Netlink,
        until: Instant,
        mut look: impl FnMut(&Netlink) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        loop {
            self.clear().doing(WAITING)?;
            if let Some(found) = look(netlink)? {
                return Ok(Some(found));
            }
            if !self.wait(until).doing(WAITING)? {
                return look(netlink);
            }
        }
    }

    fn socket(groups: &[Group]) -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        let mask = groups.iter().fold(0, |mask, group| mask | group.bit());
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, mask))?;
        Ok(socket)
    }

    /// Forgets what has been heard so far.
    fn clear(&self) -> io::Result<()> {
        // A notice that does not fit is cut; that it came is all that counts.
        let mut start = [0; 16];
        loop {
            match recv(self.socket.as_raw_fd(), &mut start, MsgFlags::empty()) {
                Err(Errno::EAGAIN) => return Ok(()),
                Ok(_) | Err(Errno::EINTR | Errno::ENOBUFS) => (),
                Err(why) => return Err(why.into()),
            }
        }
    }

    /// Waits for the next; whether it came before `until`.
    fn wait(&self, until: Instant) -> io::Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = left.as_micros().div_ceil(1000).min(60_000) as u16;
            let mut poll_fd = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut poll_fd, PollTimeout::from(left)) {
                Ok(0) if Instant::now() < until => (),
                Ok(heard) => return Ok(heard > 0),
                Err(Errno::EINTR) => (),
                Err(why) => return Err(why.into()),
            }
        }
    }
}
