//! The identity of a client, and all that is derived from it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::text::{NotA, as_json_string};
use super::{Duid, Mac};

/// Who a client is, across renewals, restarts and changes of address: 13 characters `a-z2-7`.
///
/// It is 65 bits of SHA-256, so that no client can find a DUID that gives it another client's key.
/// Its length is what an interface name leaves behind a two-letter prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; Key::LEN]);

impl Key {
    /// Length of the text form in characters.
    pub const LEN: usize = 13;

    /// The key of a DHCPv6 client: of its DUID and the identity association's number, or of its
    /// DUID alone where clients take a new number at each start.
    pub fn of_client(duid: &Duid, iaid: Option<u32>) -> Key {
        let iaid = iaid.map(u32::to_be_bytes);
        Key::derive("client", &[duid.as_bytes(), iaid.as_ref().map_or(&[], |bytes| bytes)])
    }

    /// The key of a DHCPv4 client: of its client identifier, or its hardware address without one.
    pub fn of_v4_client(identifier: &[u8]) -> Key {
        Key::derive("client4", &[identifier])
    }

    /// A key for something that is named by `parts` within a `domain` of its own.
    pub fn derive(domain: &str, parts: &[&[u8]]) -> Key {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let digest = digest(domain, parts);
        let bits = u128::from_be_bytes(digest[..16].try_into().expect("16 of 32 bytes"));
        let letter = |at| ALPHABET[(bits >> (123 - 5 * at) & 31) as usize];
        Key(std::array::from_fn(letter))
    }

    /// The stable MAC address for what this key names: locally administered, unicast.
    pub fn mac(&self) -> Mac {
        let digest = digest("mac", &[&self.0]);
        Mac::local(digest[..6].try_into().expect("6 of 32 bytes"))
    }

    /// The stable DUID-UUID (RFC 6355) for what this key names, as a version 8 UUID (RFC 9562).
    pub fn duid(&self) -> Duid {
        let mut uuid: [u8; 16] = digest("duid", &[&self.0])[..16].try_into().expect("16 of 32");
        uuid[6] = (uuid[6] & 0x0f) | 0x80;
        uuid[8] = (uuid[8] & 0x3f) | 0x80;
        Duid::from_uuid(uuid)
    }

    /// The stable interface identifier (RFC 4291 section 2.5.1) for what this key names. Its first
    /// bits keep it out of the reserved ones (RFC 5453).
    pub fn interface_id(&self) -> u64 {
        let bytes = digest("interface id", &[&self.0])[..8].try_into().expect("8 of 32 bytes");
        u64::from_be_bytes(bytes) >> 2 | 1 << 62
    }

    /// The key's text form.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

/// SHA-256 over parts that are each preceded by their length, so that no two lists collide.
fn digest(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl FromStr for Key {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Key, NotA> {
        let letter = |b: &u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
        match <[u8; Key::LEN]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(letter) => Ok(Key(bytes)),
            _ => Err(NotA::new(text, "a key (13 characters a-z and 2-7)")),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

as_json_string!(Key);

#[cfg(test)]
mod tests {
    use super::*;

    fn duid(text: &str) -> Duid {
        text.parse().unwrap()
    }

    #[test]
    fn is_stable_across_versions() {
        let key = Key::of_client(&duid("00:03:00:01:3a:57:d2:26:ee:28"), Some(1));
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        assert_eq!(key.as_str(), "om2pqvn3u6qa2");
        assert_eq!(key.mac().to_string(), "e6:ec:19:a4:f0:38");
    }

    #[test]
    fn differs_by_duid_iaid_and_way_of_keying() {
        let a = duid("00:03:00:01:3a:57:d2:26:ee:28");
        let b = duid("00:03:00:01:3a:57:d2:26:ee:29");
        let keys = [
            Key::of_client(&a, Some(1)),
            Key::of_client(&a, Some(2)),
            Key::of_client(&a, None),
            Key::of_client(&b, Some(1)),
            Key::of_v4_client(a.as_bytes()),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Key::derive("x", &[b"ab", b"c"]), Key::derive("x", &[b"a", b"bc"]));
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for bad in ["", "abc", "ABCDEFGHIJKLM", "abcdefghijkl1", "abcdefghijklmn", "../../../../a"]
        {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }
}
