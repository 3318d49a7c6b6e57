//! The messages that this client sends and reads.

use std::net::Ipv4Addr;

use dhcproto::Encodable;
use dhcproto::v4::{self, DhcpOption, Flags, MessageType, OptionCode};

use super::Client;
use super::lease::FOREVER;
use super::options::{Options, is_station};

/// RFC 1542 section 2.1: a message is as long as BOOTP's, 300 bytes, at least.
const SHORTEST: usize = 300;

/// Longest answer that is looked at, in bytes, and what servers are told that they may send.
pub(super) const LONGEST: usize = 1472;

/// Bytes before the options, with the magic cookie (RFC 2131 section 2).
const HEADER: usize = 240;

/// The first four bytes of the options (RFC 2131 section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// A message from the client to servers. What of it is absent depends on what it is for (RFC 2131
/// table 5).
pub(super) struct Query<'a> {
    pub client: &'a Client,
    pub kind: MessageType,
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// The address that the client has and answers at.
    pub ciaddr: Option<Ipv4Addr>,
    /// The address that it wants, or that it declines.
    pub requested: Option<Ipv4Addr>,
    /// The one server that is meant.
    pub server: Option<Ipv4Addr>,
}

impl Query<'_> {
    /// The message as it goes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let client = self.client;
        let mut message = v4::Message::default();
        message.set_xid(self.xid).set_secs(self.secs).set_chaddr(&client.mac.as_bytes());
        // Section 4.3.2: with an address of its own it needs no broadcast.
        if client.broadcast && self.ciaddr.is_none() {
            message.set_flags(Flags::default().set_broadcast());
        }
        if let Some(address) = self.ciaddr {
            message.set_ciaddr(address);
        }
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(self.kind));
        options.insert(DhcpOption::ClientIdentifier(client.identifier.as_bytes().to_vec()));
        if let Some(address) = self.requested {
            options.insert(DhcpOption::RequestedIpAddress(address));
        }
        if let Some(server) = self.server {
            options.insert(DhcpOption::ServerIdentifier(server));
        }
        if self.asks_for_options() {
            options.insert(DhcpOption::MaxMessageSize(LONGEST as u16));
            options.insert(DhcpOption::ParameterRequestList(wanted()));
        }
        if self.kind == MessageType::Discover && client.rapid_commit {
            options.insert(DhcpOption::RapidCommit);
        }
        let mut bytes = message.to_vec().expect("a vector takes all that is written to it");
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }

    fn asks_for_options(&self) -> bool {
        matches!(self.kind, MessageType::Discover | MessageType::Request)
    }
}

/// RFC 3442: the classless routes come before the router in this list.
fn wanted() -> Vec<OptionCode> {
    vec![
        OptionCode::SubnetMask,
        OptionCode::ClasslessStaticRoute,
        OptionCode::Router,
        OptionCode::DomainNameServer,
        OptionCode::DomainName,
        OptionCode::DomainSearch,
        OptionCode::InterfaceMtu,
        OptionCode::AddressLeaseTime,
        OptionCode::ServerIdentifier,
        OptionCode::Renewal,
        OptionCode::Rebinding,
    ]
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    Offer,
    Ack,
    Nak,
}

/// A message from a server to a client.
#[derive(Debug)]
pub(super) struct Answer {
    pub saying: Saying,
    pub xid: u32,
    /// The hardware address that it is for.
    pub chaddr: [u8; 6],
    /// The client identifier that it is for, where the server says it (RFC 6842).
    pub identifier: Option<Vec<u8>>,
    pub server: Ipv4Addr,
    pub address: Ipv4Addr,
    pub options: Options,
}

/// For how long, from the moment the answer came in, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub t1: u32,
    pub t2: u32,
    pub valid: u32,
}

impl Answer {
    /// The message in a datagram; nothing when it is none that could be relied on.
    pub fn decode(datagram: &[u8]) -> Option<Answer> {
        const BOOTREPLY: u8 = 2;
        const ETHERNET: u8 = 1;
        let (header, options) = datagram.split_at_checked(HEADER)?;
        let &[op, htype, hlen, ..] = header else { return None };
        let is_one = op == BOOTREPLY && htype == ETHERNET && hlen == 6;
        if datagram.len() > LONGEST || !is_one || header[236..] != COOKIE {
            return None;
        }
        let options = Options::gather(options, &header[108..236], &header[44..108])?;
        let saying = match options.byte(53)? {
            2 => Saying::Offer,
            5 => Saying::Ack,
            6 => Saying::Nak,
            _ => return None,
        };
        let four = |at: usize| header[at..].first_chunk::<4>().copied();
        Some(Answer {
            saying,
            xid: u32::from_be_bytes(four(4)?),
            chaddr: *header[28..].first_chunk()?,
            identifier: options.get(61).map(<[u8]>::to_vec),
            server: options.station(54)?,
            address: four(16)?.into(),
            options,
        })
    }

    /// The length of the prefix that its address is in; nothing when it is no address for a station.
    pub fn prefix_len(&self) -> Option<u8> {
        let length = match self.options.has(1) {
            false => by_class(self.address),
            true => {
                let mask = self.options.long(1)?;
                let length = mask.leading_ones() as u8;
                (mask.checked_shl(length.into()).unwrap_or(0) == 0).then_some(length)?
            }
        };
        let host = u32::from(self.address) & u32::MAX.checked_shr(length.into()).unwrap_or(0);
        // The first and the last address of a network are no station's (but see RFC 3021).
        let all = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        let is_special = length <= 30 && (host == 0 || host == all);
        (length > 0 && is_station(&self.address) && !is_special).then_some(length)
    }

    /// RFC 2131 section 4.4.5: T1 is half and T2 seven eighths of the lease, where the server does not say
    /// otherwise in a way that makes sense, and a second at least. Nothing when it leases for no time.
    pub fn times(&self) -> Option<Times> {
        let valid = self.options.long(51).filter(|valid| *valid > 0)?;
        let part = |eighths: u64| match valid {
            FOREVER => FOREVER,
            valid => (u64::from(valid) * eighths / 8).max(1) as u32,
        };
        let given = (self.options.long(58), self.options.long(59));
        let (t1, t2) = match given {
            (Some(t1), Some(t2)) => (t1, t2),
            (Some(t1), None) => (t1, part(7)),
            (None, Some(t2)) => (part(4), t2),
            (None, None) => (part(4), part(7)),
        };
        let sound = 0 < t1 && t1 <= t2 && t2 <= valid;
        let (t1, t2) = if sound { (t1, t2) } else { (part(4), part(7)) };
        Some(Times { t1, t2, valid })
    }
}

/// The length of the prefix of an address whose server does not tell its mask (RFC 950).
fn by_class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(address: [u8; 4], options: &[u8]) -> Option<Answer> {
        let mut bytes = vec![0; HEADER];
        bytes[..3].copy_from_slice(&[2, 1, 6]);
        bytes[16..20].copy_from_slice(&address);
        bytes[236..].copy_from_slice(&COOKIE);
        bytes.extend([53, 1, 5, 54, 4, 192, 0, 2, 1]);
        bytes.extend(options);
        Answer::decode(&bytes)
    }

    fn long(code: u8, value: u32) -> Vec<u8> {
        [&[code, 4][..], &value.to_be_bytes()].concat()
    }

    #[test]
    fn times_make_sense_or_follow_from_the_lease() {
        let times = |options: &[Vec<u8>]| {
            answer([192, 0, 2, 5], &options.concat())
                .unwrap()
                .times()
                .map(|t| (t.t1, t.t2, t.valid))
        };
        assert_eq!(times(&[long(51, 800)]), Some((400, 700, 800)));
        assert_eq!(times(&[long(51, 800), long(58, 100)]), Some((100, 700, 800)));
        assert_eq!(times(&[long(51, 800), long(58, 100), long(59, 200)]), Some((100, 200, 800)));
        for odd in [(0, 700), (701, 700), (400, 801), (750, 750)] {
            let given = times(&[long(51, 800), long(58, odd.0), long(59, odd.1)]).unwrap();
            let kept = (odd.0, odd.1) == (given.0, given.1);
            assert_eq!(kept, odd.0 > 0 && odd.0 <= odd.1 && odd.1 <= 800, "{odd:?}");
        }
        // Nobody is asked again at once.
        assert_eq!(times(&[long(51, 1)]), Some((1, 1, 1)));
        assert_eq!(times(&[long(51, FOREVER)]), Some((FOREVER, FOREVER, FOREVER)));
        assert_eq!(times(&[long(51, 0)]), None);
        assert_eq!(times(&[]), None);
    }

    #[test]
    fn an_address_is_one_of_a_station_in_its_network() {
        let length = |address, mask: Option<u32>| {
            let mask = mask.map(|mask| long(1, mask)).unwrap_or_default();
            answer(address, &mask).unwrap().prefix_len()
        };
        let hosts = 0xffff_ff00;
        assert_eq!(length([192, 0, 2, 5], Some(hosts)), Some(24));
        assert_eq!(length([192, 0, 2, 5], Some(u32::MAX)), Some(32));
        assert_eq!(length([192, 0, 2, 4], Some(u32::MAX - 1)), Some(31));
        assert_eq!(length([192, 0, 2, 5], None), Some(24));
        assert_eq!(length([10, 0, 2, 5], None), Some(8));
        for bad in [0, 0xff00_ff00, 1, 0x7fff_ffff] {
            assert_eq!(length([192, 0, 2, 5], Some(bad)), None, "{bad:x}");
        }
        for bad in [[192, 0, 2, 0], [192, 0, 2, 255], [0; 4], [224, 0, 0, 5], [127, 0, 0, 5]] {
            assert_eq!(length(bad, Some(hosts)), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let mut good = vec![0; HEADER];
        good[..3].copy_from_slice(&[2, 1, 6]);
        good[236..].copy_from_slice(&COOKIE);
        good.extend([53, 1, 2, 54, 4, 192, 0, 2, 1]);
        assert!(Answer::decode(&good).is_some());
        for (at, byte) in [(0, 1), (1, 6), (2, 5), (239, 0), (242, 1), (242, 9), (245, 224)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(Answer::decode(&bad).is_none(), "{at}");
        }
        assert!(Answer::decode(&good[..HEADER]).is_none());
        assert!(Answer::decode(&[&good[..], &[0; LONGEST]].concat()).is_none());
    }
}
