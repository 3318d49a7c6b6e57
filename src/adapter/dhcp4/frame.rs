//! What goes on the wire around a message while the interface has no address: Ethernet, IPv4 and
//! UDP headers.

use std::net::Ipv4Addr;

use crate::record::Mac;

/// Section 4.1: the UDP ports of servers and of clients.
pub(super) const SERVER_PORT: u16 = 67;
pub(super) const CLIENT_PORT: u16 = 68;

const ETHERNET_HEADER: usize = 14;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// All the headers that are written here together.
pub(super) const HEADERS: usize = ETHERNET_HEADER + IP_HEADER + UDP_HEADER;

const ETHERTYPE_IPV4: [u8; 2] = [8, 0];
const UDP: u8 = 17;

/// A frame with `message` in it, to every station of the link. Those that do not have the address `to`
/// let it be.
pub(super) fn frame(mac: Mac, from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let udp_len = (UDP_HEADER + message.len()) as u16;
    let mut frame = Vec::with_capacity(HEADERS + message.len());
    frame.extend([0xff; 6]);
    frame.extend(mac.as_bytes());
    frame.extend(ETHERTYPE_IPV4);
    let mut header = [0; IP_HEADER];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&(IP_HEADER as u16 + udp_len).to_be_bytes());
    (header[8], header[9]) = (64, UDP);
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    let mut udp = [0; UDP_HEADER];
    udp[..2].copy_from_slice(&CLIENT_PORT.to_be_bytes());
    udp[2..4].copy_from_slice(&SERVER_PORT.to_be_bytes());
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    let [high, low] = udp_len.to_be_bytes();
    let pseudo = [&header[12..], &[0, UDP, high, low]].concat();
    // RFC 768: a sum of zero is sent as all ones.
    let sum = match checksum(&[&pseudo, &udp, message]) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..].copy_from_slice(&sum.to_be_bytes());
    frame.extend(udp);
    frame.extend(message);
    frame
}

/// The message in a frame from a server to a client; nothing when the frame is another one.
///
/// The checksum is not looked at: where server and client are on one machine the kernel leaves it out.
pub(super) fn message(frame: &[u8]) -> Option<&[u8]> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET_HEADER)?;
    let (header, _) = packet.split_first_chunk::<IP_HEADER>()?;
    let long = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    let is_udp = header[0] >> 4 == 4 && header[9] == UDP && fragment == 0;
    if ethernet[12..] != ETHERTYPE_IPV4 || !is_udp {
        return None;
    }
    let udp = packet.get(..long)?.get(usize::from(header[0] & 15) * 4..)?;
    let (header, message) = udp.split_first_chunk::<UDP_HEADER>()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let is_for_clients = field(0) == SERVER_PORT && field(2) == CLIENT_PORT;
    let length = usize::from(field(4)).checked_sub(UDP_HEADER)?;
    message.get(..length).filter(|_| is_for_clients)
}

/// The Internet checksum (RFC 1071) over pieces, each of which but the last is of even length.
fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &[u8]) -> Vec<u8> {
        let mac = Mac::new([2, 0, 0, 0, 0, 1]);
        let mut frame = frame(mac, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, message);
        // As if a server answered.
        frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
        frame
    }

    #[test]
    fn a_message_comes_out_of_its_frame() {
        for text in [&b""[..], b"a", b"ab", &[7; 1472]] {
            let mut padded = sent(text);
            padded.extend([0; 20]);
            assert_eq!(message(&padded), Some(text));
        }
    }

    #[test]
    fn other_frames_have_none() {
        let good = sent(b"abcd");
        for (at, byte) in [(12, 0x86), (14, 0x65), (20, 0x20), (21, 1), (23, 6), (35, 68), (37, 67)]
        {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(message(&other), None, "{at}");
        }
        // Lengths that say more than there is, or less than a header.
        for (at, byte) in [(17, 255), (39, 255), (39, 7), (14, 0x4f)] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(message(&other), None, "{at}");
        }
        for end in 0..good.len() {
            assert_eq!(message(&good[..end]), None, "{end}");
        }
    }

    #[test]
    fn the_sum_over_a_header_and_its_sum_is_nothing() {
        let frame = sent(b"abc");
        assert_eq!(checksum(&[&frame[14..34]]), 0);
        // RFC 1071 section 3.
        assert_eq!(checksum(&[&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }
}
