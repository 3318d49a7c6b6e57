//! A scripted DHCPv6 server on a bridge of a lab, which answers each message as a test says, and the
//! wire format for it (RFC 8415), so that a test does not believe what the library says about itself.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Lab, PATIENCE, eventually};

/// Message types (section 7.3).
pub mod kind {
    pub const SOLICIT: u8 = 1;
    pub const ADVERTISE: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const CONFIRM: u8 = 4;
    pub const RENEW: u8 = 5;
    pub const REBIND: u8 = 6;
    pub const REPLY: u8 = 7;
    pub const RELEASE: u8 = 8;
    pub const DECLINE: u8 = 9;
    pub const RECONFIGURE: u8 = 10;
}

/// A message that a client has sent.
#[derive(Clone, Debug)]
pub struct Query(pub Vec<u8>);

impl Query {
    /// Its type.
    pub fn kind(&self) -> u8 {
        self.0[0]
    }

    /// The data of its first option of this code.
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        find(&self.0[4..], code)
    }

    /// Hundredths of a second since the exchange began, as the client says.
    pub fn elapsed(&self) -> u16 {
        let data = self.option(8).expect("elapsed time");
        u16::from_be_bytes([data[0], data[1]])
    }

    /// A message to this client, from the server with this number.
    pub fn from(&self, server: u8, kind: u8, options: &[Vec<u8>]) -> Vec<u8> {
        let client = option(1, self.option(1).expect("a client identifier"));
        let server = option(2, &duid(server));
        [&[kind], &self.0[1..4], &client, &server, &options.concat()].concat()
    }

    /// A message to this client from the server that it is used to.
    pub fn answer(&self, kind: u8, options: &[Vec<u8>]) -> Vec<u8> {
        self.from(0xaa, kind, options)
    }
}

fn find(mut options: &[u8], code: u16) -> Option<&[u8]> {
    while let [c0, c1, l0, l1, rest @ ..] = options {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*c0, *c1]) == code {
            return Some(&rest[..length]);
        }
        options = &rest[length..];
    }
    None
}

/// An option as it goes on the wire.
pub fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// The option that lets a server commit at once.
pub fn rapid() -> Vec<u8> {
    option(14, &[])
}

/// A status code with a text.
pub fn status(code: u8, text: &str) -> Vec<u8> {
    option(13, &[&[0, code][..], text.as_bytes()].concat())
}

/// An IA_NA of the number 7.
pub fn na(t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
    option(3, &[[7, t1, t2].map(u32::to_be_bytes).concat(), options.concat()].concat())
}

/// An IA_TA of the number 7.
pub fn ta(options: &[Vec<u8>]) -> Vec<u8> {
    option(4, &[7u32.to_be_bytes().to_vec(), options.concat()].concat())
}

/// An IA_PD of the number 7.
pub fn pd(t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
    option(25, &[[7, t1, t2].map(u32::to_be_bytes).concat(), options.concat()].concat())
}

/// An address with its preferred and valid lifetime.
pub fn address(text: &str, preferred: u32, valid: u32) -> Vec<u8> {
    let address: Ipv6Addr = text.parse().expect("an address");
    let times = [preferred, valid].map(u32::to_be_bytes).concat();
    option(5, &[&address.octets()[..], &times].concat())
}

/// A prefix with its preferred and valid lifetime.
pub fn prefix(text: &str, preferred: u32, valid: u32) -> Vec<u8> {
    let (address, len) = text.split_once('/').expect("a prefix");
    let address: Ipv6Addr = address.parse().expect("an address");
    let times = [preferred, valid].map(u32::to_be_bytes).concat();
    option(26, &[&times[..], &[len.parse().expect("a length")], &address.octets()].concat())
}

/// The DUID (a DUID-UUID, section 11.5) of the server with this number.
pub fn duid(server: u8) -> [u8; 18] {
    let mut duid = [0; 18];
    (duid[1], duid[17]) = (4, server);
    duid
}

/// Runs `call` while a server on `br1` of the lab answers each message with what `script` says, to the
/// client's port.
pub fn with_server<T: Send>(
    lab: &Lab,
    mut script: impl FnMut(&Query) -> Vec<Vec<u8>> + Send,
    call: impl FnOnce() -> T,
) -> T {
    let socket = lab.machine().within(|| {
        let index = nix::net::if_::if_nametoindex("br1").expect("the bridge");
        // A program that is being started meanwhile may have a copy of the socket of the server before.
        let port = || UdpSocket::bind("[::]:547").ok();
        let socket = eventually("the server's port is free", PATIENCE, port);
        // The lab's machine may have no DHCPv6 multicast membership on its bridge.
        socket.join_multicast_v6(&"ff02::1:2".parse().unwrap(), index).expect("join");
        socket
    });
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time to wait");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2000];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, SocketAddr::V6(from))) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let to = SocketAddrV6::new(*from.ip(), 546, 0, from.scope_id());
                for datagram in script(&Query(buffer[..length].to_vec())) {
                    socket.send_to(&datagram, to).expect("answer");
                }
            }
        });
        let _stopped = Scripted { stop: &stop };
        call()
    })
}

/// Ends the server's thread, after a panic too.
struct Scripted<'a> {
    stop: &'a AtomicBool,
}

impl Drop for Scripted<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
