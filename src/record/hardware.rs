//! Identities on the wire: DUID, DHCPv4 client identifier and MAC.

use std::fmt;
use std::str::FromStr;

use super::text::{NotA, as_json_string};

/// A DHCP unique identifier (RFC 8415 section 11): two bytes of type and 1 to 128 bytes more.
///
/// Written as lower-case hex pairs joined by colons. Opaque: two are the same client when their
/// bytes are the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duid(Box<[u8]>);

impl Duid {
    /// A DUID of these bytes; nothing when there are fewer than 3 or more than 130.
    pub fn new(bytes: &[u8]) -> Option<Duid> {
        (3..=130).contains(&bytes.len()).then(|| Duid(bytes.into()))
    }

    /// A DUID-UUID (RFC 6355, type 4) of the given 128 bits.
    pub fn from_uuid(uuid: [u8; 16]) -> Duid {
        Duid([&[0, 4][..], &uuid].concat().into())
    }

    /// The bytes as they stand in the Client Identifier option.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Duid {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Duid, NotA> {
        let wanted = "a DUID (3 to 130 hex pairs joined by colons)";
        let bytes = hex_pairs(text).ok_or_else(|| NotA::new(text, wanted))?;
        Duid::new(&bytes).ok_or_else(|| NotA::new(text, wanted))
    }
}

/// A DHCPv4 client identifier (RFC 2132 section 9.14): 1 to 255 bytes, written as a DUID is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientIdentifier(Box<[u8]>);

impl ClientIdentifier {
    /// An identifier of these bytes; nothing when there are none, or more than 255.
    pub fn new(bytes: &[u8]) -> Option<ClientIdentifier> {
        (1..=255).contains(&bytes.len()).then(|| ClientIdentifier(bytes.into()))
    }

    /// The bytes as they stand in the option.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for ClientIdentifier {
    type Err = NotA;

    fn from_str(text: &str) -> Result<ClientIdentifier, NotA> {
        hex_pairs(text).and_then(|bytes| ClientIdentifier::new(&bytes)).ok_or_else(|| {
            NotA::new(text, "a client identifier (1 to 255 hex pairs joined by colons)")
        })
    }
}

/// An Ethernet address, written as six lower-case hex pairs joined by colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address of these six bytes.
    pub fn new(bytes: [u8; 6]) -> Mac {
        Mac(bytes)
    }

    /// A locally administered unicast address out of 48 arbitrary bits.
    pub fn local(mut bytes: [u8; 6]) -> Mac {
        bytes[0] = (bytes[0] & 0xfc) | 0x02;
        Mac(bytes)
    }

    /// The six bytes in transmission order.
    pub fn as_bytes(&self) -> [u8; 6] {
        self.0
    }

    /// The link-local address with the modified EUI-64 of this address (RFC 4291 appendix A).
    pub fn link_local(&self) -> std::net::Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        std::net::Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl FromStr for Mac {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Mac, NotA> {
        hex_pairs(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Mac)
            .ok_or_else(|| NotA::new(text, "a MAC address (six hex pairs joined by colons)"))
    }
}

/// The bytes of `00:1f:…`; nothing unless it is pairs of hex digits joined by single colons.
fn hex_pairs(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &str| {
        let digits = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    text.split(':').map(pair).collect()
}

fn write_pairs(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Piece by piece, each in one call: there may be a million of them.
    for (at, piece) in bytes.chunks(32).enumerate() {
        let mut text = [b':'; 3 * 32];
        for (to, byte) in text.chunks_exact_mut(3).zip(piece) {
            to[1] = DIGITS[usize::from(byte >> 4)];
            to[2] = DIGITS[usize::from(byte & 15)];
        }
        let from = usize::from(at == 0);
        let text = std::str::from_utf8(&text[from..3 * piece.len()]);
        f.write_str(text.expect("hex digits and colons are ASCII"))?;
    }
    Ok(())
}

impl fmt::Display for Duid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, f)
    }
}

impl fmt::Debug for Duid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, f)
    }
}

impl fmt::Display for ClientIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, f)
    }
}

impl fmt::Debug for ClientIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, f)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, f)
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pairs(&self.0, f)
    }
}

as_json_string!(Duid, ClientIdentifier, Mac);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duid_takes_what_the_rfc_allows_and_no_more() {
        assert_eq!("00:03:00:01:AA".parse::<Duid>().unwrap().to_string(), "00:03:00:01:aa");
        let longest = vec!["ff"; 130].join(":");
        assert_eq!(longest.parse::<Duid>().unwrap().to_string(), longest);
        for bad in
            ["", "00", "00:03", "0003", "00:03:0", "00:03:zz", "00:03:+1", &(longest + ":00")]
        {
            assert!(bad.parse::<Duid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn mac_gives_its_link_local_address() {
        let mac: Mac = "02:00:5e:10:00:01".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe10:1");
        assert!("02:00:5e:10:00".parse::<Mac>().is_err());
    }

    #[test]
    fn a_local_mac_is_unicast_and_locally_administered() {
        let first = Mac::local([0xff; 6]).as_bytes()[0];
        assert_eq!(first & 0b11, 0b10);
    }
}
