//! What becomes of the links of a namespace, while it happens.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily as Family, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv,
    setsockopt, socket, sockopt,
};

use super::conversation::messages;
use super::notices::Group;
use super::{Netlink, failed};
use crate::error::{Doing, Result};
use crate::record::Ifname;

/// How much may wait to be read. A thousand containers that start at once are some megabytes.
const ROOM: usize = 4 << 20;

/// A link, as far as what goes over it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Its name.
    pub name: Ifname,
    /// Its number in its namespace.
    pub index: u32,
    /// The number of the bridge that it is plugged into.
    pub master: Option<u32>,
    /// Whether it is on and its other side is there.
    pub running: bool,
    /// Whether it has left the namespace. False in a listing.
    pub gone: bool,
}

/// What has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Links that have come, gone or changed, in the order of it.
    pub wires: Vec<Wire>,
    /// Whether the kernel had more to tell than there was room for, so that all have to be looked at.
    pub all: bool,
}

/// Becomes readable when a link of a namespace comes, goes or changes.
#[derive(Debug)]
pub struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Begins to listen in the network namespace of the calling thread.
    pub fn watch() -> Result<Changes> {
        let doing = "listen to the kernel";
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(Family::Netlink, SockType::Raw, flags, protocol).doing(doing)?;
        // With less room there is only more to list anew.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &ROOM);
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, Group::Link.bit())).doing(doing)?;
        Ok(Changes { socket })
    }

    /// What has happened since the last call.
    pub fn read(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut buffer = vec![0; 32 << 10];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(seen),
                Ok(length) => seen.wires.extend(parse(&buffer[..length])),
                Err(Errno::EINTR) => (),
                Err(Errno::ENOBUFS) => seen.all = true,
                Err(why) => return Err(why).doing("listen to the kernel"),
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Netlink {
    /// All links of the namespace.
    pub fn wires(&self) -> Result<Vec<Wire>> {
        let found = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .map_err(|why| failed("list links", &why))?;
        Ok(found.into_iter().filter_map(wire).collect())
    }
}

/// The links that a datagram is about. What cannot be read says nothing.
fn parse(datagram: &[u8]) -> impl Iterator<Item = Wire> {
    messages(datagram).filter_map(|message| {
        match NetlinkMessage::deserialize(message).ok()?.payload {
            NetlinkPayload::InnerMessage(message) => wire(message),
            _ => None,
        }
    })
}

fn wire(message: RouteNetlinkMessage) -> Option<Wire> {
    let (message, gone) = match message {
        RouteNetlinkMessage::NewLink(message) => (message, false),
        RouteNetlinkMessage::DelLink(message) => (message, true),
        _ => return None,
    };
    // A port that leaves its bridge is told as a deletion, in the bridge's family.
    if message.header.interface_family == AddressFamily::Bridge {
        return None;
    }
    let (mut name, mut master) = (None, None);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text.parse().ok(),
            LinkAttribute::Controller(index) => master = Some(index),
            _ => (),
        }
    }
    let on = LinkFlags::Up | LinkFlags::LowerUp;
    Some(Wire {
        name: name?,
        index: message.header.index,
        master,
        running: message.header.flags.contains(on) && !gone,
        gone,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::End;
    use super::*;
    use crate::record::Mac;

    /// In a namespace of its own, on a thread that ends with it.
    fn apart(work: impl FnOnce() + Send + 'static) {
        use nix::sched::{CloneFlags, unshare};
        let alone = move || unshare(CloneFlags::CLONE_NEWNET).map(|()| work());
        let _unless_root = std::thread::spawn(alone).join().unwrap();
    }

    fn until(changes: &Changes, wanted: impl Fn(&Wire) -> bool) -> Vec<Wire> {
        let mut all = Vec::new();
        for _ in 0..500 {
            all.extend(changes.read().unwrap().wires);
            if all.iter().any(&wanted) {
                return all;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not seen: {all:?}");
    }

    #[test]
    fn links_are_seen_as_they_come_run_and_go() {
        apart(|| {
            let netlink = Netlink::open().unwrap();
            let lo = netlink.wires().unwrap().remove(0);
            assert_eq!((lo.name.as_str(), lo.running, lo.gone), ("lo", false, false));
            let changes = Changes::watch().unwrap();
            let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
            let (a, b): (Ifname, Ifname) = ("a".parse().unwrap(), "b".parse().unwrap());
            let end = |name| End { name, mac: Mac::new([2, 0, 0, 0, 0, 1]) };
            netlink.make_veth(&end(&a), &end(&b), own.as_fd(), None, 1500).unwrap();
            let seen = until(&changes, |wire| wire.name == b);
            assert!(seen.iter().all(|wire| !wire.running && !wire.gone), "{seen:?}");
            let other = netlink.find_link(&b).unwrap().unwrap();
            netlink.switch_on(&b).unwrap();
            until(&changes, |wire| wire.name == a && wire.running);
            let running = netlink.wires().unwrap();
            assert!(running.iter().any(|wire| wire.name == b && wire.running), "{running:?}");
            netlink.delete_link(other.index).unwrap();
            let seen = until(&changes, |wire| wire.name == a && wire.gone);
            assert!(seen.iter().any(|wire| wire.name == b && wire.gone), "{seen:?}");
        });
    }
}
