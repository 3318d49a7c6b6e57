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

use crate::adapter::sources::{Weight, quoted};
use crate::record::{ClientIdentifier, Duid, Held, Holder, Hostname, LeaseType, Mac, Said};

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

/// What a line says, and what there is to be told about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// A lease, or something unreadable that may once have been one; nothing for a line that
    /// concerns no lease, or one of nobody who could ever be known by it.
    pub said: Option<Said>,
    /// What is to be told.
    pub remark: Option<Remark>,
}

/// Reads the lines of a lease file's text, lazily and in their order, in time linear in its length.
pub fn read(text: &[u8]) -> impl Iterator<Item = Line> {
    text.split(|byte| *byte == b'\n').zip(1..).map(|(line, number)| match row(line) {
        Ok(None) => Line::default(),
        Ok(Some((held, what))) => Line {
            said: Some(Said::Held(held)),
            remark: what.map(|what| Remark { line: number, what, weight: Weight::Note }),
        },
        Err(Wrong { what, hides }) => Line {
            said: hides.then(|| Said::Unreadable(print(line))),
            remark: Some(Remark { line: number, what, weight: Weight::Refused }),
        },
    })
}

/// Whether the line with the server's own DUID is there, as in every file of a DHCPv6 server.
pub fn has_server_duid(text: &[u8]) -> bool {
    text.starts_with(b"duid ") || memchr::memmem::find(text, b"\nduid ").is_some()
}

/// Why a line is no lease.
struct Wrong {
    what: String,
    /// Whether it may once have been anybody's.
    hides: bool,
}

/// What one line says: a lease and perhaps a remark on it, or nothing that concerns leases.
fn row(line: &[u8]) -> Result<Option<(Held, Option<String>)>, Wrong> {
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let [expiry, who, address, name, id] = [word(), word(), word(), word(), word()];
    if matches!(expiry, b"duid" | b"agent-info" | b"vendorclass") || line.is_empty() {
        return Ok(None);
    }
    let unknown = |what: &str| hidden(what, line);
    if id.is_empty() || words.next().is_some() {
        return Err(unknown("not the five words of a lease"));
    }
    let expires_at = expiry_of(expiry).ok_or_else(|| unknown("no time of expiry"))?;
    let address: IpAddr = parse(address).ok_or_else(|| unknown("no IP address"))?;
    let (r#type, holder, mac) = match address {
        IpAddr::V6(_) => v6_client(who, id, line)?,
        IpAddr::V4(_) => v4_client(who, id, line)?,
    };
    let hostname: Option<Hostname> = if name == b"*" { None } else { parse(name) };
    let remark = (name != b"*" && hostname.is_none())
        .then(|| format!("host name {} is none; lease served without it", quoted(name)));
    let (prefix_len, classes) = (None, None);
    let held = Held { r#type, holder, address, prefix_len, mac, hostname, classes, expires_at };
    Ok(Some((held, remark)))
}

/// A line that may once have been anybody's lease.
fn hidden(what: &str, line: &[u8]) -> Wrong {
    Wrong { what: format!("{what} in {}", quoted(line)), hides: true }
}

/// Seconds since 1970; 0 is never, which is the inner `None`.
fn expiry_of(word: &[u8]) -> Option<Option<Timestamp>> {
    match number::<i64>(word)? {
        0 => Some(None),
        second => Timestamp::from_second(second).ok().map(Some),
    }
}

fn v6_client(
    who: &[u8],
    id: &[u8],
    line: &[u8],
) -> Result<(LeaseType, Holder, Option<Mac>), Wrong> {
    let (r#type, iaid) = match who.strip_prefix(b"T") {
        Some(iaid) => (LeaseType::Ta, iaid),
        None => (LeaseType::Na, who),
    };
    let iaid = number(iaid).ok_or_else(|| hidden("no number of an identity association", line))?;
    let bytes = identifier(id).ok_or_else(|| hidden("no DUID", line))?;
    let duid = Duid::new(&bytes).ok_or_else(|| {
        let length = bytes.len();
        let what = format!("the DUID has {length} of 3 to 130 bytes; lease left out");
        Wrong { what, hides: false }
    })?;
    Ok((r#type, Holder::V6 { duid, iaid }, None))
}

/// The hardware address may have its type before it (`20-…`); without one it is Ethernet.
fn v4_client(
    who: &[u8],
    id: &[u8],
    line: &[u8],
) -> Result<(LeaseType, Holder, Option<Mac>), Wrong> {
    let (typed, pairs) = match who {
        [_, _, b'-', pairs @ ..] => (true, pairs),
        pairs => (false, pairs),
    };
    let hardware = match pairs {
        b"" if typed => Vec::new(),
        pairs => hex(pairs).ok_or_else(|| hidden("no hardware address", line))?,
    };
    let mac = <[u8; 6]>::try_from(&*hardware).ok().filter(|_| !typed).map(Mac::new);
    let id = identifier(id).ok_or_else(|| hidden("no client identifier", line))?;
    let bytes = if id.is_empty() { hardware } else { id };
    let identifier = ClientIdentifier::new(&bytes).ok_or_else(|| {
        let length = bytes.len();
        let what = format!("what identifies the client has {length} of 1 to 255 bytes");
        Wrong { what: what + "; lease left out", hides: false }
    })?;
    Ok((LeaseType::V4, Holder::V4 { identifier }, mac))
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

/// Names a line's text.
fn print(line: &[u8]) -> u64 {
    let mut print = DefaultHasher::new();
    line.hash(&mut print);
    print.finish()
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

    fn split(text: &[u8]) -> (Vec<Held>, Vec<Remark>) {
        let (mut rows, mut remarks) = (Vec::new(), Vec::new());
        for line in read(text) {
            if let Some(Said::Held(held)) = line.said {
                rows.push(held);
            }
            remarks.extend(line.remark);
        }
        (rows, remarks)
    }

    fn hides(line: &[u8]) -> bool {
        read(line).any(|line| matches!(line.said, Some(Said::Unreadable(_))))
    }

    #[test]
    fn real_files_are_read_whole() {
        let (rows, remarks) = split(MANY);
        assert_eq!((rows.len(), remarks.len()), (16, 1));
        // An underscore is no letter of a host name; the lease is served without it.
        assert_eq!((remarks[0].line, remarks[0].weight), (4, Weight::Note));
        assert!(remarks[0].what.contains("we_ird-Host1"));
        let iaid = |holder: &Holder| match holder {
            Holder::V6 { iaid, .. } => Some(*iaid),
            Holder::V4 { .. } => None,
        };
        assert_eq!(iaid(&rows[2].holder), Some(u32::MAX));
        assert_eq!(rows[2].hostname, None);
        assert_eq!(rows[4].hostname.as_ref().unwrap().as_str(), "alpha");
        assert_eq!(rows[11].r#type, LeaseType::Ta);
        assert_eq!(iaid(&rows[11].holder), Some(99));
        assert_eq!(rows[0].expires_at, Some(Timestamp::from_second(1795233489).unwrap()));
        assert!(has_server_duid(MANY));
    }

    #[test]
    fn both_families_and_endless_leases_are_read() {
        let (rows, remarks) = split(MIXED);
        assert_eq!((rows.len(), remarks), (5, Vec::new()));
        assert_eq!(rows[0].r#type, LeaseType::V4);
        let mac: Mac = "ee:b3:8a:21:91:2f".parse().unwrap();
        let identifier = ClientIdentifier::new(&[&[1][..], &mac.as_bytes()].concat()).unwrap();
        assert_eq!(rows[0].holder, Holder::V4 { identifier });
        assert_eq!(rows[0].mac, Some(mac));
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
            assert!(hides(line), "{line:?}");
        }
    }

    #[test]
    fn an_identity_that_never_was_served_hides_nobody() {
        let long = format!("0 1 fd00::1 * {}", ["00"; 131].join(":"));
        for line in ["0 1 fd00::1 * 00:01", "0 1 fd00::1 * *", "0 06- 192.0.2.1 * *", &long] {
            let (rows, remarks) = split(line.as_bytes());
            assert!(rows.is_empty() && !hides(line.as_bytes()), "{line}");
            assert_eq!(remarks[0].weight, Weight::Refused, "{line}");
        }
    }

    #[test]
    fn hardware_of_other_kinds_is_no_mac_address() {
        let (rows, _) =
            split(b"0 20-00:11:22:33:44:55:66:77 192.0.2.1 * *\n0 06- 192.0.2.2 * ff\n");
        let v4 = |identifier: &[u8]| {
            let identifier = ClientIdentifier::new(identifier).unwrap();
            (Holder::V4 { identifier }, None)
        };
        let who = |held: &Held| (held.holder.clone(), held.mac);
        assert_eq!(who(&rows[0]), v4(&[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]));
        assert_eq!(who(&rows[1]), v4(&[0xff]));
    }

    #[test]
    fn lines_of_later_versions_say_nothing_about_leases() {
        let text =
            b"duid 00:01\n0 1 fd00::1 * 00:03:01\nagent-info fd00::1 00\nvendorclass x y\n\n";
        let (rows, remarks) = split(text);
        assert_eq!((rows.len(), remarks.len()), (1, 0));
    }
}
