//! Exchanges with scripted servers under a clock that the test moves. The wire is read and written
//! byte by byte, not with the types that are tested.

use std::net::Ipv6Addr;

use super::*;
use crate::adapter::dhcp6::Wants;
use crate::adapter::dhcp6::lease::{HeldAddress, HeldPrefix, Ia, Lifetime};

mod discovery;
mod extending;
mod giving_back;
mod hostile;
mod several;

const SERVER: &[u8] = &[0, 4, 0xaa];
const OTHER: &[u8] = &[0, 4, 0xbb];
const CLIENT: &[u8] = &[0, 4, 0xcc, 0xcc];

// Message types (RFC 8415 section 7.3).
const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn addr(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, last)
}

/// An option as it goes on the wire.
fn opt(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0, code][..], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn status(code: u8) -> Vec<u8> {
    opt(13, &[0, code])
}

fn ia_with(options: &[Vec<u8>]) -> Vec<u8> {
    na(0, 0, options)
}

/// An IA_NA with these T1 and T2.
fn na(t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
    opt(3, &[[7, t1, t2].map(u32::to_be_bytes).concat(), options.concat()].concat())
}

/// An IA_TA, which has no T1 and T2.
fn ta(options: &[Vec<u8>]) -> Vec<u8> {
    opt(4, &[7u32.to_be_bytes().to_vec(), options.concat()].concat())
}

/// An IA_PD with these T1 and T2.
fn pd(t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
    opt(25, &[[7, t1, t2].map(u32::to_be_bytes).concat(), options.concat()].concat())
}

/// An address with its preferred and valid lifetime.
fn at(address: Ipv6Addr, preferred: u32, valid: u32) -> Vec<u8> {
    let times = [preferred, valid].map(u32::to_be_bytes).concat();
    opt(5, &[&address.octets()[..], &times].concat())
}

/// A prefix with its preferred and valid lifetime.
fn prefix(prefix: &str, preferred: u32, valid: u32) -> Vec<u8> {
    let (address, len) = prefix.split_once('/').unwrap();
    let address: Ipv6Addr = address.parse().unwrap();
    let times = [preferred, valid].map(u32::to_be_bytes).concat();
    opt(26, &[&times[..], &[len.parse().unwrap()], &address.octets()].concat())
}

/// An IA_NA with one address, preferred for 100 s and valid for 200 s, unless it is withdrawn.
fn ia(address: Ipv6Addr, withdrawn: bool) -> Vec<u8> {
    let (preferred, valid) = if withdrawn { (0, 0) } else { (100, 200) };
    ia_with(&[at(address, preferred, valid)])
}

/// A message that the client has sent.
#[derive(Debug)]
struct Sent(Vec<u8>);

impl Sent {
    fn kind(&self) -> u8 {
        self.0[0]
    }

    fn xid(&self) -> [u8; 3] {
        [self.0[1], self.0[2], self.0[3]]
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        find(&self.0[4..], code)
    }

    /// The addresses in the IA_NA.
    fn addresses(&self) -> Vec<Ipv6Addr> {
        within(&self.option(3).expect("IA_NA")[12..])
    }

    /// The addresses in the IA_TA.
    fn temporary(&self) -> Vec<Ipv6Addr> {
        within(&self.option(4).expect("IA_TA")[4..])
    }

    /// The prefixes in the IA_PD.
    fn prefixes(&self) -> Vec<String> {
        let mut rest = &self.option(25).expect("IA_PD")[12..];
        let mut found = Vec::new();
        while let Some(data) = find(rest, 26) {
            assert_eq!(data[..8], [0; 8], "lifetimes are the server's to set");
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(&data[9..25]).unwrap());
            found.push(format!("{address}/{}", data[8]));
            rest = &rest[29..];
        }
        found
    }

    fn elapsed(&self) -> u16 {
        let data = self.option(8).expect("elapsed time");
        u16::from_be_bytes([data[0], data[1]])
    }

    /// An answer to this message.
    fn answer(&self, kind: u8, server: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
        let [a, b, c] = self.xid();
        [vec![kind, a, b, c], opt(1, CLIENT), opt(2, server), options.concat()].concat()
    }
}

fn within(mut options: &[u8]) -> Vec<Ipv6Addr> {
    let mut found = Vec::new();
    while let Some(data) = find(options, 5) {
        assert_eq!(data[16..24], [0; 8], "lifetimes are the server's to set");
        found.push(Ipv6Addr::from(<[u8; 16]>::try_from(&data[..16]).unwrap()));
        options = &options[28..];
    }
    found
}

fn find(mut options: &[u8], code: u8) -> Option<&[u8]> {
    while !options.is_empty() {
        let length = usize::from(u16::from_be_bytes([options[2], options[3]]));
        if options[1] == code {
            return Some(&options[4..4 + length]);
        }
        options = &options[4 + length..];
    }
    None
}

/// A machine and the clock that it believes in.
struct Lab {
    machine: Machine,
    now: Duration,
}

impl Lab {
    fn new(task: Task) -> Lab {
        Lab::with(task, |_| {})
    }

    fn with(task: Task, change: impl FnOnce(&mut Client)) -> Lab {
        let mut client = Client::new(Duid::new(CLIENT).unwrap(), 7);
        change(&mut client);
        Lab { machine: Machine::new(client, task, 42, Instant::now()), now: Duration::ZERO }
    }

    /// What is sent now; the test fails when it is something else.
    fn sent(&mut self) -> Sent {
        match self.machine.poll(self.now) {
            Action::Send(bytes) => Sent(bytes),
            other => panic!("at {:?}: {other:?}", self.now),
        }
    }

    /// What is sent next, whenever that is.
    fn sent_later(&mut self) -> Sent {
        self.now = self.waits();
        self.sent()
    }

    fn waits(&mut self) -> Duration {
        match self.machine.poll(self.now) {
            Action::Wait(until) if until > self.now => until,
            other => panic!("at {:?}: {other:?}", self.now),
        }
    }

    fn ended(&mut self) -> Result<Outcome> {
        match self.machine.poll(self.now) {
            Action::End(outcome) => outcome,
            other => panic!("at {:?}: {other:?}", self.now),
        }
    }

    /// How it ends when nothing comes in any more.
    fn ended_later(&mut self) -> Result<Outcome> {
        loop {
            match self.machine.poll(self.now) {
                Action::Send(_) => {}
                Action::Wait(until) => self.now = until,
                Action::End(outcome) => return outcome,
            }
        }
    }

    fn lease(&mut self) -> Lease {
        match self.ended() {
            Ok(Outcome::Leased(lease)) => lease,
            other => panic!("{other:?}"),
        }
    }

    fn after(&mut self, millis: u64) -> &mut Lab {
        self.now += ms(millis);
        self
    }

    fn receive(&mut self, datagram: &[u8]) {
        self.machine.receive(self.now, datagram);
    }
}

fn held() -> Held {
    Held::lasting(Duid::new(SERVER).unwrap(), [addr(1)])
}

/// An address, a temporary one and a prefix, valid for so long.
fn held_all(seconds: u32) -> Held {
    let left = Lifetime::from_secs(seconds);
    Held {
        server: Duid::new(SERVER).unwrap(),
        addresses: vec![
            HeldAddress { address: addr(1), ia: Ia::Na, left },
            HeldAddress { address: addr(2), ia: Ia::Ta, left },
        ],
        prefixes: vec![HeldPrefix { prefix: "fd02::/56".parse().unwrap(), left }],
    }
}

const ALL: Wants = Wants { address: true, temporary: true, delegate: Some(56) };

fn address_of(lease: &Lease) -> Ipv6Addr {
    lease.addresses[0].address
}
