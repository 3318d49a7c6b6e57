//! A question to a DNS server (RFC 1035), with a wire format of its own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The types that are asked for, RFC 1035 3.2.2 and RFC 3596 2.1.
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// The addresses of a name, in order.
#[track_caller]
pub fn addresses(server: SocketAddr, name: &str) -> Vec<Ipv6Addr> {
    let data = ask(server, name, AAAA);
    let address = |(_, data): (_, Vec<u8>)| <[u8; 16]>::try_from(data).expect("16 bytes").into();
    let mut addresses: Vec<Ipv6Addr> = data.into_iter().map(address).collect();
    addresses.sort();
    addresses
}

/// The names of an address, in order.
#[track_caller]
pub fn names(server: SocketAddr, address: &str) -> Vec<String> {
    let IpAddr::V6(address) = address.parse().expect("an address") else { panic!("{address}") };
    let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
    let reverse: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
    let mut names: Vec<String> =
        ask(server, &format!("{reverse}ip6.arpa"), PTR).into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

/// The data of each answer, as a name and as bytes. No name or no data is no answer.
#[track_caller]
fn ask(server: SocketAddr, name: &str, kind: u16) -> Vec<(String, Vec<u8>)> {
    let mut query = vec![0x4c, 0x50, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([&[0], &kind.to_be_bytes()[..], &[0, 1]].concat());
    let socket = UdpSocket::bind("[::]:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket.send_to(&query, server).expect("send a question");
    let mut bytes = vec![0; 4096];
    let len = socket.recv(&mut bytes).expect("an answer");
    let reply = &bytes[..len];
    assert_eq!(reply[..2], query[..2], "the answer is to the question");
    let mut at = read_name(reply, 12).1 + 4;
    let count = number(reply, 6);
    let mut answers = Vec::new();
    for _ in 0..count {
        at = read_name(reply, at).1;
        let (its, len) = (number(reply, at), usize::from(number(reply, at + 8)));
        at += 10;
        if its == kind {
            let data = reply[at..at + len].to_vec();
            let name = if kind == PTR { read_name(reply, at).0 } else { String::new() };
            answers.push((name, data));
        }
        at += len;
    }
    answers
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A name, which may go on elsewhere (RFC 1035 4.1.4), and where what follows it begins.
fn read_name(bytes: &[u8], mut at: usize) -> (String, usize) {
    let (mut labels, mut end) = (Vec::new(), None);
    loop {
        match bytes[at] {
            0 => break,
            high if high >= 0xc0 => {
                end = end.or(Some(at + 2));
                at = usize::from(number(bytes, at) & 0x3fff);
            }
            len => {
                let from = at + 1;
                at = from + usize::from(len);
                labels.push(String::from_utf8_lossy(&bytes[from..at]).into_owned());
            }
        }
    }
    (labels.join("."), end.unwrap_or(at + 1))
}
