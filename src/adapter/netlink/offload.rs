//! Checksums that are left to hardware: over the generic netlink family `ethtool`
//! (linux/ethtool_netlink.h).
//!
//! A veth has no hardware. Its kernel marks a packet "checksum to be finished" and hands it over as
//! it is; the kernel at the other end, or the device on the way out, goes by the mark. That saves
//! work and is right as long as the packet stays inside kernels. A switch that runs as a program
//! (Open vSwitch with the `netdev` datapath) reads the bytes, not the mark, and sends on a packet
//! with a wrong checksum: pings go through, and UDP and TCP do not. So what is plugged in there has
//! to finish its checksums itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLA_HEADER_SIZE, NLM_F_ACK, NLM_F_REQUEST, NlasIterator,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    socket,
};

use super::conversation::HEADER_LEN;
use crate::error::{Doing, Error, Kind, Result};

/// The features that leave checksums to the device.
const CHECKSUMS: [&str; 3] = ["tx-checksum-ipv4", "tx-checksum-ip-generic", "tx-checksum-ipv6"];

/// The kernel answers at once.
const PATIENCE_MS: u16 = 30_000;

/// Length of the header that generic netlink puts behind it.
const GENERIC_LEN: usize = 4;

/// linux/netlink.h.
const NLMSG_ERROR: u16 = 2;

/// linux/genetlink.h: the family that knows the numbers of the others.
mod ctrl {
    pub const FAMILY: u16 = 16;
    pub const GETFAMILY: u8 = 3;
    pub const FAMILY_ID: u16 = 1;
    pub const FAMILY_NAME: u16 = 2;
}

/// linux/ethtool_netlink.h.
mod ethtool {
    pub const FEATURES_GET: u8 = 11;
    pub const FEATURES_SET: u8 = 12;
    pub const HEADER: u16 = 1;
    pub const DEV_INDEX: u16 = 1;
    pub const WANTED: u16 = 3;
    pub const ACTIVE: u16 = 4;
    pub const BITSET_BITS: u16 = 3;
    pub const BITS_BIT: u16 = 1;
    pub const BIT_NAME: u16 = 2;
}

/// The settings of the devices in one network namespace.
pub struct Offloads {
    socket: OwnedFd,
    family: u16,
}

impl Offloads {
    /// Those of the namespace of the calling thread.
    pub fn open() -> Result<Offloads> {
        let doing = "open ethtool socket";
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkGeneric;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).doing(doing)?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).doing(doing)?;
        let mut offloads = Offloads { socket, family: ctrl::FAMILY };
        let name = DefaultNla::new(ctrl::FAMILY_NAME, b"ethtool\0".to_vec());
        let answer = offloads.ask(ctrl::GETFAMILY, 0, &[name]).map_err(|why| {
            match why.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => Error::new(Kind::Refused, doing)
                    .why("the kernel has no ethtool netlink (CONFIG_ETHTOOL_NETLINK)"),
                _ => Error::io(doing, &why),
            }
        })?;
        let family = attribute(&answer, ctrl::FAMILY_ID).and_then(|id| id.try_into().ok());
        let family = family.map(u16::from_ne_bytes);
        offloads.family = family.ok_or_else(|| {
            Error::new(Kind::BadInput, doing).why("the kernel does not tell the family's number")
        })?;
        Ok(offloads)
    }

    /// Whether the device with the number `index` sends packets with checksums that are whole.
    pub fn checksums_are_finished(&self, index: u32) -> Result<bool> {
        let answer = self.ask(ethtool::FEATURES_GET, 0, &[header(index)]).doing("read offloads")?;
        let active = attribute(&answer, ethtool::ACTIVE).unwrap_or_default();
        let bits = attribute(active, ethtool::BITSET_BITS).unwrap_or_default();
        Ok(!attributes(bits).any(|(_, bit)| {
            let name = attribute(bit, ethtool::BIT_NAME).unwrap_or_default();
            CHECKSUMS.iter().any(|checksum| name.strip_suffix(&[0]) == Some(checksum.as_bytes()))
        }))
    }

    /// Has the device with the number `index` finish its checksums before it sends. What builds on
    /// unfinished ones, such as segmentation, is switched off by the kernel as well.
    pub fn finish_checksums(&self, index: u32) -> Result<()> {
        // A bit that is named without a value is to be off; those that are not named stay.
        let bits = CHECKSUMS.iter().map(|name| {
            let name = [name.as_bytes(), &[0]].concat();
            nest(ethtool::BITS_BIT, &[DefaultNla::new(ethtool::BIT_NAME, name)])
        });
        let bits = nest(ethtool::BITSET_BITS, &bits.collect::<Vec<_>>());
        let wanted = nest(ethtool::WANTED, &[bits]);
        self.ask(ethtool::FEATURES_SET, NLM_F_ACK, &[header(index), wanted])
            .map(drop)
            .doing("switch checksum offload off")
    }

    /// Sends a request and waits for the answer to it: its attributes, or none when it is done.
    fn ask(&self, command: u8, flags: u16, attributes: &[DefaultNla]) -> io::Result<Vec<u8>> {
        let request = message(self.family, flags, command, attributes);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut buffer = vec![0; 64 * 1024];
        let mut answer = Vec::new();
        loop {
            self.wait()?;
            let len = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let Some(heard) = Heard::read(&buffer[..len]) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            match heard {
                Heard::Done => return Ok(answer),
                Heard::Refused(code) => return Err(io::Error::from_raw_os_error(code)),
                Heard::Answer(attributes) if flags & NLM_F_ACK == 0 => {
                    return Ok(attributes.to_vec());
                }
                Heard::Answer(attributes) => answer = attributes.to_vec(),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut poll_fd = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut poll_fd, PollTimeout::from(PATIENCE_MS)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => (),
                Err(why) => return Err(why.into()),
            }
        }
    }
}

/// What the kernel says to a request.
#[derive(Debug, PartialEq, Eq)]
enum Heard<'a> {
    Done,
    Refused(i32),
    Answer(&'a [u8]),
}

impl Heard<'_> {
    fn read(message: &[u8]) -> Option<Heard<'_>> {
        let len = u32::from_ne_bytes(message.get(..4)?.try_into().ok()?);
        let sort = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        let rest = message.get(HEADER_LEN..usize::try_from(len).ok()?)?;
        let number = rest.get(..GENERIC_LEN)?;
        if sort != NLMSG_ERROR {
            return Some(Heard::Answer(&rest[GENERIC_LEN..]));
        }
        match i32::from_ne_bytes(number.try_into().ok()?) {
            0 => Some(Heard::Done),
            code => Some(Heard::Refused(code.saturating_neg())),
        }
    }
}

fn message(family: u16, flags: u16, command: u8, attributes: &[DefaultNla]) -> Vec<u8> {
    let len = HEADER_LEN + GENERIC_LEN + attributes.buffer_len();
    let mut message = vec![0; len];
    message[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&family.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    // The sequence number stays 0: a socket has one request in the air.
    message[HEADER_LEN..][..2].copy_from_slice(&[command, 1]);
    attributes.emit(&mut message[HEADER_LEN + GENERIC_LEN..]);
    message
}

fn header(index: u32) -> DefaultNla {
    let index = DefaultNla::new(ethtool::DEV_INDEX, index.to_ne_bytes().to_vec());
    nest(ethtool::HEADER, &[index])
}

fn nest(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; inner.buffer_len()];
    inner.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let whole = NlasIterator::new(bytes).map_while(|nla| nla.ok());
    whole.map(|nla| {
        let (kind, end) = (nla.kind(), usize::from(nla.length()));
        (kind, &nla.into_inner()[NLA_HEADER_SIZE..end])
    })
}

fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_odd_ones_are_none() {
        let heard = |sort: u16, rest: &[u8]| {
            let mut bytes = ((HEADER_LEN + rest.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend(sort.to_ne_bytes());
            bytes.resize(HEADER_LEN, 0);
            bytes.extend(rest);
            bytes
        };
        assert_eq!(Heard::read(&heard(NLMSG_ERROR, &[0; 4])), Some(Heard::Done));
        let no_device = (-(Errno::ENODEV as i32)).to_ne_bytes();
        let refused = heard(NLMSG_ERROR, &no_device);
        assert_eq!(Heard::read(&refused), Some(Heard::Refused(Errno::ENODEV as i32)));
        let answer = heard(20, &[1, 1, 0, 0, 9]);
        assert_eq!(Heard::read(&answer), Some(Heard::Answer(&[9])));
        for odd in [&answer[..0], &answer[..10], &answer[..19], &heard(20, &[1])] {
            assert_eq!(Heard::read(odd), None);
        }
    }
}
