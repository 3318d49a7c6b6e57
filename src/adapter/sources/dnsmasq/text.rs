//! What stands in a lease file of dnsmasq 2.x.
//!
//! A line is one lease: when it ends (seconds since 1970, 0 for never), who has it (for DHCPv6 the
//! number of the identity association, with `T` before it for a temporary address; for DHCPv4 the
//! hardware address), the address, the host name or `*`, and the client's DUID or client identifier
//! or `*`. DHCPv4 comes first, then `duid` and the server's own DUID, then DHCPv6; versions from
//! 2.91 put `agent-info` and `vendorclass` lines behind them. There is no mark at the end.
//!
//! The host name is the only word that a client chooses freely. One that is no host name is left
//! out, and its client is served all the same: no client can make itself or another disappear.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::adapter::sources::quoted;
use crate::record::{Duid, Hostname, LeaseType, Mac};

/// One lease as a line tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it ends; absent means never.
    pub expires_at: Option<Timestamp>,
    /// What is leased.
    pub r#type: LeaseType,
    /// Who has it.
    pub client: Client,
    /// The address.
    pub address: IpAddr,
    /// The client's name, if it has a valid one.
    pub hostname: Option<Hostname>,
}

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A DHCPv6 client and its identity association.
    V6 {
        /// The client's DUID.
        duid: Duid,
        /// The number of the identity association.
        iaid: u32,
    },
    /// A DHCPv4 client.
    V4 {
        /// Its client identifier, or its hardware address when it sends none.
        identifier: Box<[u8]>,
        /// Its hardware address, when that is an Ethernet one.
        mac: Option<Mac>,
    },
}

/// One thing to be told about a line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line's number.
    pub line: usize,
    /// What is wrong with it, for people.
    pub what: String,
    /// What follows from it.
    pub weight: Weight,
}

/// What follows from a line that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The lease is served, without its host name.
    Note,
    /// The lease cannot be served, and never could be: nobody was ever known by it.
    Refused,
    /// The line may once have been anybody's lease. The number names the line's text.
    Unknown(u64),
}

/// What is found while a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A lease.
    Lease(Row),
    /// Something to be told. A lease that is only remarked on follows it.
    Remark(Remark),
}

/// Reads a lease file's text, lazily and in the order of its lines, in time linear in its length.
pub fn read(text: &[u8]) -> impl Iterator<Item = Found> {
    let lines = text.split(|byte| *byte == b'\n').zip(1..);
    lines.flat_map(|(line, number)| {
        let (row, remark) = match row(line) {
            Ok(None) => (None, None),
            Ok(Some((row, remark))) => (Some(row), remark),
            Err(wrong) => (None, Some(wrong)),
        };
        let remark = remark.map(|(what, weight)| Remark { line: number, what, weight });
        [remark.map(Found::Remark), row.map(Found::Lease)].into_iter().flatten()
    })
}

/// Whether the line with the server's own DUID is there, as in every file of a DHCPv6 server.
pub fn has_server_duid(text: &[u8]) -> bool {
    text.starts_with(b"duid ") || memchr::memmem::find(text, b"\nduid ").is_some()
}

type Wrong = (String, Weight);

/// What one line says: a lease and perhaps a remark on it, or nothing that concerns leases.
fn row(line: &[u8]) -> Result<Option<(Row, Option<Wrong>)>, Wrong> {
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let [expiry, who, address, name, id] = [word(), word(), word(), word(), word()];
    if matches!(expiry, b"duid" | b"agent-info" | b"vendorclass") || line.is_empty() {
        return Ok(None);
    }
    let unknown = |what: &str| (format!("{what} in {}", quoted(line)), unknown(line));
    if id.is_empty() || words.next().is_some() {
        return Err(unknown("not the five words of a lease"));
    }
    let expires_at = expiry_of(expiry).ok_or_else(|| unknown("no time of expiry"))?;
    let address: IpAddr = parse(address).ok_or_else(|| unknown("no IP address"))?;
    let (r#type, client) = match address {
        IpAddr::V6(_) => v6_client(who, id, line)?,
        IpAddr::V4(_) => (LeaseType::V4, v4_client(who, id, line)?),
    };
    let hostname = match name {
        b"*" => Ok(None),
        name => parse(name).map(Some).ok_or_else(|| {
            let what = format!("host name {} is none; lease served without it", quoted(name));
            (what, Weight::Note)
        }),
    };
    let (hostname, remark) = match hostname {
        Ok(hostname) => (hostname, None),
        Err(remark) => (None, Some(remark)),
    };
    Ok(Some((Row { expires_at, r#type, client, address, hostname }, remark)))
}

/// Seconds since 1970; 0 is never, which is the inner `None`.
fn expiry_of(word: &[u8]) -> Option<Option<Timestamp>> {
    match number::<i64>(word)? {
        0 => Some(None),
        second => Timestamp::from_second(second).ok().map(Some),
    }
}

fn v6_client(who: &[u8], id: &[u8], line: &[u8]) -> Result<(LeaseType, Client), Wrong> {
    let (r#type, iaid) = match who.strip_prefix(b"T") {
        Some(iaid) => (LeaseType::Ta, iaid),
        None => (LeaseType::Na, who),
    };
    let iaid = number(iaid).ok_or_else(|| {
        (format!("no number of an identity association in {}", quoted(line)), unknown(line))
    })?;
    let bytes =
        identifier(id).ok_or_else(|| (format!("no DUID in {}", quoted(line)), unknown(line)))?;
    let duid = Duid::new(&bytes).ok_or_else(|| {
        let length = bytes.len();
        let what = format!("the DUID has {length} of 3 to 130 bytes; lease left out");
        (what, Weight::Refused)
    })?;
    Ok((r#type, Client::V6 { duid, iaid }))
}

/// The hardware address may have its type before it (`20-…`); without one it is Ethernet.
fn v4_client(who: &[u8], id: &[u8], line: &[u8]) -> Result<Client, Wrong> {
    let wrong = |what: &str| (format!("{what} in {}", quoted(line)), unknown(line));
    let (typed, pairs) = match who {
        [_, _, b'-', pairs @ ..] => (true, pairs),
        pairs => (false, pairs),
    };
    let hardware = match pairs {
        b"" if typed => Vec::new(),
        pairs => hex(pairs).ok_or_else(|| wrong("no hardware address"))?,
    };
    let mac = <[u8; 6]>::try_from(&*hardware).ok().filter(|_| !typed).map(Mac::new);
    let id = identifier(id).ok_or_else(|| wrong("no client identifier"))?;
    let identifier = if id.is_empty() { hardware } else { id };
    if identifier.is_empty() {
        let what = "neither client identifier nor hardware address; lease left out".to_owned();
        return Err((what, Weight::Refused));
    }
    Ok(Client::V4 { identifier: identifier.into(), mac })
}

/// The bytes of the last word; none for `*`.
fn identifier(word: &[u8]) -> Option<Vec<u8>> {
    if word == b"*" { Some(Vec::new()) } else { hex(word) }
}

/// The bytes of `00:1f:…`.
fn hex(pairs: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    pairs.split(|byte| *byte == b':').map(pair).collect()
}

/// A number of digits alone.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    if word.iter().all(u8::is_ascii_digit) { parse(word) } else { None }
}

fn parse<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn unknown(line: &[u8]) -> Weight {
    let mut print = DefaultHasher::new();
    line.hash(&mut print);
    Weight::Unknown(print.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: &[u8] = include_bytes!("../../../../tests/data/dnsmasq/many-clients.leases");
    const MIXED: &[u8] =
        include_bytes!("../../../../tests/data/dnsmasq/v4v6-infinite-static-ta.leases");
    const TORN: [&[u8]; 3] = [
        include_bytes!("../../../../tests/data/dnsmasq/torn-read-0.leases"),
        include_bytes!("../../../../tests/data/dnsmasq/torn-read-1.leases"),
        include_bytes!("../../../../tests/data/dnsmasq/torn-read-2.leases"),
    ];

    fn split(text: &[u8]) -> (Vec<Row>, Vec<Remark>) {
        let (mut rows, mut remarks) = (Vec::new(), Vec::new());
        for found in read(text) {
            match found {
                Found::Lease(row) => rows.push(row),
                Found::Remark(remark) => remarks.push(remark),
            }
        }
        (rows, remarks)
    }

    #[test]
    fn real_files_are_read_whole() {
        let (rows, remarks) = split(MANY);
        assert_eq!((rows.len(), remarks.len()), (16, 1));
        // An underscore is no letter of a host name; the lease is served without it.
        assert_eq!((remarks[0].line, remarks[0].weight), (4, Weight::Note));
        assert!(remarks[0].what.contains("we_ird-Host1"));
        let iaid = |client: &Client| match client {
            Client::V6 { iaid, .. } => Some(*iaid),
            Client::V4 { .. } => None,
        };
        assert_eq!(iaid(&rows[2].client), Some(u32::MAX));
        assert_eq!(rows[2].hostname, None);
        assert_eq!(rows[4].hostname.as_ref().unwrap().as_str(), "alpha");
        assert_eq!(rows[11].r#type, LeaseType::Ta);
        assert_eq!(iaid(&rows[11].client), Some(99));
        assert_eq!(rows[0].expires_at, Some(Timestamp::from_second(1795233489).unwrap()));
        assert!(has_server_duid(MANY));
    }

    #[test]
    fn both_families_and_endless_leases_are_read() {
        let (rows, remarks) = split(MIXED);
        assert_eq!((rows.len(), remarks), (5, Vec::new()));
        assert_eq!(rows[0].r#type, LeaseType::V4);
        let mac: Mac = "ee:b3:8a:21:91:2f".parse().unwrap();
        let identifier = [&[1][..], &mac.as_bytes()].concat().into();
        assert_eq!(rows[0].client, Client::V4 { identifier, mac: Some(mac) });
        assert!(rows[1..].iter().all(|row| row.expires_at.is_none()));
        assert_eq!(rows[1].r#type, LeaseType::Ta);
    }

    #[test]
    fn a_torn_file_costs_at_most_its_last_line() {
        for torn in TORN {
            let (rows, remarks) = split(torn);
            let whole = torn.iter().filter(|byte| **byte == b'\n').count() - 1;
            assert!(rows.len() == whole || rows.len() == whole + 1, "{} {whole}", rows.len());
            assert_eq!(rows.len() + remarks.len(), whole + 1);
        }
    }

    #[test]
    fn every_length_of_a_file_can_be_read() {
        for text in [MANY, MIXED] {
            for end in 0..text.len() {
                let (rows, remarks) = split(&text[..end]);
                assert!(rows.len() + remarks.len() <= 18);
            }
        }
    }

    #[test]
    fn a_hostile_name_costs_its_client_only_the_name() {
        let long = "x".repeat(65536);
        let names: [&[u8]; 7] =
            [b"$(touch", b"../x", b"-x", b"\xff\xfe", b"a\0b", b"a;b", long.as_bytes()];
        for name in names {
            let line = [b"0 1 fd00::1 ", name, b" 00:03:00:01:aa:bb:cc:dd:ee:ff\n"].concat();
            let (rows, remarks) = split(&line);
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].hostname, None);
            assert_eq!(remarks[0].weight, Weight::Note);
            assert!(remarks[0].what.len() < 1000 && !remarks[0].what.contains('\0'));
        }
    }

    #[test]
    fn a_line_that_is_no_lease_is_named_and_costs_no_other() {
        let bad: [&[u8]; 16] = [
            b"garbage",
            b"0 1 fd00::1 *",
            b"0 1 fd00::1 * 00:03:00:01 more",
            b"0 1 fd00::1 a b 00:03:00:01",
            b" 0 1 fd00::1 * 00:03:00:01",
            b"0  1 fd00::1 * 00:03:00:01",
            b"x 1 fd00::1 * 00:03:00:01",
            b"-1 1 fd00::1 * 00:03:00:01",
            b"99999999999999999999 1 fd00::1 * 00:03:00:01",
            b"9999999999999999 1 fd00::1 * 00:03:00:01",
            b"0 x fd00::1 * 00:03:00:01",
            b"0 4294967296 fd00::1 * 00:03:00:01",
            b"0 1 fd00::zz * 00:03:00:01",
            b"0 1 fd00::1 * 00:03:0",
            b"0 1 192.0.2.1 * 01:02",
            b"\0\0\0\0",
        ];
        for line in bad {
            let text = [b"0 7 fd00::7 * 00:03:07\n", line, b"\n0 8 fd00::8 * 00:03:08\n"].concat();
            let (rows, remarks) = split(&text);
            assert_eq!((rows.len(), remarks.len()), (2, 1), "{line:?}");
            assert_eq!(remarks[0].line, 2);
            assert!(matches!(remarks[0].weight, Weight::Unknown(_)), "{line:?}");
        }
    }

    #[test]
    fn an_identity_that_never_was_served_hides_nobody() {
        let long = format!("0 1 fd00::1 * {}", ["00"; 131].join(":"));
        for line in ["0 1 fd00::1 * 00:01", "0 1 fd00::1 * *", "0 06- 192.0.2.1 * *", &long] {
            let (rows, remarks) = split(line.as_bytes());
            assert!(rows.is_empty());
            assert_eq!(remarks[0].weight, Weight::Refused, "{line}");
        }
    }

    #[test]
    fn hardware_of_other_kinds_is_no_mac_address() {
        let (rows, _) =
            split(b"0 20-00:11:22:33:44:55:66:77 192.0.2.1 * *\n0 06- 192.0.2.2 * ff\n");
        let v4 = |identifier: &[u8]| Client::V4 { identifier: identifier.into(), mac: None };
        assert_eq!(rows[0].client, v4(&[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]));
        assert_eq!(rows[1].client, v4(&[0xff]));
    }

    #[test]
    fn lines_of_later_versions_say_nothing_about_leases() {
        let text =
            b"duid 00:01\n0 1 fd00::1 * 00:03:01\nagent-info fd00::1 00\nvendorclass x y\n\n";
        let (rows, remarks) = split(text);
        assert_eq!((rows.len(), remarks.len()), (1, 0));
    }
}
