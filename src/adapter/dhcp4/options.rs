//! The options of a message (RFC 2132), read from what anybody on the link may have sent.
//!
//! dhcproto's reader keeps the last of several options of one code, where RFC 3396 joins them, does
//! not look into the fields that RFC 2131 lets a server put options in, and follows domain names as
//! their pointers lead. So options are gathered here, and each is read whole or not at all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::record::Hostname;

/// How many name servers, domains, routers and routes are taken from one message.
const MOST: usize = 32;

/// The options of one message: for each code all of its bytes, joined (RFC 3396).
#[derive(Debug, Default)]
pub(super) struct Options(BTreeMap<u8, Vec<u8>>);

/// Option Overload (RFC 2132 section 9.3): which fields of the message hold options as well.
const OVERLOAD: u8 = 52;

impl Options {
    /// The options in the field `options`, and in `file` and `sname` where it says so. Nothing when
    /// one of them is cut off.
    pub fn gather(options: &[u8], file: &[u8], sname: &[u8]) -> Option<Options> {
        let mut all = Options::default();
        all.take(options)?;
        let overload = all.byte(OVERLOAD).unwrap_or(0);
        // RFC 3396 section 5: the options field first, then file, then sname.
        for (bit, field) in [(1, file), (2, sname)] {
            if overload & bit != 0 {
                all.take(field)?;
            }
        }
        Some(all)
    }

    fn take(&mut self, mut rest: &[u8]) -> Option<()> {
        const PAD: u8 = 0;
        const END: u8 = 255;
        while let Some((&code, behind)) = rest.split_first() {
            match code {
                PAD => rest = behind,
                END => return Some(()),
                code => {
                    let (&length, behind) = behind.split_first()?;
                    let (data, behind) = behind.split_at_checked(length.into())?;
                    self.0.entry(code).or_default().extend(data);
                    rest = behind;
                }
            }
        }
        Some(())
    }

    /// The bytes of an option.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    /// Whether the option is there.
    pub fn has(&self, code: u8) -> bool {
        self.0.contains_key(&code)
    }

    /// An option of exactly so many bytes.
    fn exactly<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        self.get(code)?.try_into().ok()
    }

    /// An option of one byte.
    pub fn byte(&self, code: u8) -> Option<u8> {
        self.exactly::<1>(code).map(|[byte]| byte)
    }

    /// An option of two bytes.
    pub fn short(&self, code: u8) -> Option<u16> {
        self.exactly(code).map(u16::from_be_bytes)
    }

    /// An option of four bytes.
    pub fn long(&self, code: u8) -> Option<u32> {
        self.exactly(code).map(u32::from_be_bytes)
    }

    /// An option that is one address of one station.
    pub fn station(&self, code: u8) -> Option<Ipv4Addr> {
        self.exactly::<4>(code).map(Ipv4Addr::from).filter(is_station)
    }

    /// The addresses of stations that an option lists.
    pub fn stations(&self, code: u8) -> Vec<Ipv4Addr> {
        let bytes = self.get(code).unwrap_or_default();
        let (addresses, rest) = bytes.as_chunks::<4>();
        let addresses = addresses.iter().map(|bytes| Ipv4Addr::from(*bytes)).filter(is_station);
        if rest.is_empty() { addresses.take(MOST).collect() } else { Vec::new() }
    }

    /// A host name in an option of text.
    pub fn name(&self, code: u8) -> Option<Hostname> {
        let text = std::str::from_utf8(self.get(code)?).ok()?;
        text.trim_end_matches('\0').trim_end_matches('.').parse().ok()
    }

    /// RFC 3397: domain names as the DNS writes them. Those behind one that cannot be read are lost.
    pub fn domains(&self, code: u8) -> Vec<Hostname> {
        let bytes = self.get(code).unwrap_or_default();
        let (mut at, mut names) = (0, Vec::new());
        while at < bytes.len() && names.len() < MOST {
            let Some((name, next)) = domain(bytes, at) else { break };
            names.extend(name.parse().ok());
            at = next;
        }
        names
    }

    /// RFC 3442: for each route the length of its prefix, as many bytes of it as that needs, and the
    /// router. All or none: nothing when one cannot be read.
    pub fn routes(&self, code: u8) -> Option<Vec<(Ipv4Net, Ipv4Addr)>> {
        let mut rest = self.get(code)?;
        let mut routes = Vec::new();
        while let Some((&length, behind)) = rest.split_first() {
            let significant = usize::from(length).div_ceil(8);
            let (prefix, behind) = behind.split_at_checked(significant)?;
            let (router, behind) = behind.split_first_chunk::<4>()?;
            let mut octets = [0; 4];
            octets.get_mut(..significant)?.copy_from_slice(prefix);
            let net = Ipv4Net::new(octets.into(), length).ok()?.trunc();
            let router = Ipv4Addr::from(*router);
            if !router.is_unspecified() && !is_station(&router) {
                return None;
            }
            routes.push((net, router));
            rest = behind;
        }
        (!routes.is_empty() && routes.len() <= MOST).then_some(routes)
    }
}

/// Whether an address can be that of one station which is not this one.
pub(super) fn is_station(address: &Ipv4Addr) -> bool {
    let first = address.octets()[0];
    // 0 is "this network", 240 to 255 are reserved (RFC 6890).
    let unfit = address.is_loopback()
        || address.is_multicast()
        || address.is_link_local()
        || first == 0
        || first >= 240;
    !unfit
}

/// The name that begins at `at`, and where the next one begins (RFC 1035 sections 3.1 and 4.1.4).
///
/// A pointer has to lead backwards, and each further than the last, so that there is an end.
fn domain(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    const LONGEST: usize = 253;
    let (mut read, mut floor, mut next) = (at, at, None);
    let mut name = String::new();
    loop {
        let length = *bytes.get(read)?;
        match length {
            0 => return Some((name, next.unwrap_or(read + 1))),
            1..=63 => {
                let label = bytes.get(read + 1..read + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(std::str::from_utf8(label).ok()?);
                if name.len() > LONGEST {
                    return None;
                }
                read += 1 + usize::from(length);
            }
            0xc0.. => {
                let low = *bytes.get(read + 1)?;
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                next.get_or_insert(read + 2);
                if target >= floor {
                    return None;
                }
                (read, floor) = (target, target);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(bytes: &[u8]) -> Options {
        Options::gather(bytes, &[], &[]).unwrap()
    }

    #[test]
    fn an_option_in_pieces_is_one() {
        let all = options(&[6, 4, 192, 0, 2, 1, 0, 0, 6, 4, 192, 0, 2, 2, 255, 9, 9]);
        assert_eq!(all.stations(6), [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)]);
        assert!(!all.has(9), "what stands behind the end is nothing");
    }

    #[test]
    fn the_other_fields_are_read_when_they_hold_options() {
        let file = [6, 4, 192, 0, 2, 2, 255];
        let sname = [15, 1, b'a', 0, 0];
        let gather = |how: u8| {
            Options::gather(&[52, 1, how, 6, 4, 192, 0, 2, 1, 255], &file, &sname).unwrap()
        };
        assert_eq!((gather(0).stations(6).len(), gather(0).name(15)), (1, None));
        assert_eq!((gather(1).stations(6).len(), gather(1).name(15)), (2, None));
        assert_eq!(gather(3).name(15), "a".parse().ok());
        assert!(Options::gather(&[52, 1, 1], &[6, 4, 1], &[]).is_none());
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        for cut in [&[6][..], &[6, 4, 1, 2, 3], &[6, 1]] {
            assert!(Options::gather(cut, &[], &[]).is_none(), "{cut:?}");
        }
    }

    #[test]
    fn only_stations_are_taken() {
        let list =
            |bytes: &[u8]| options(&[&[6, bytes.len() as u8][..], bytes].concat()).stations(6);
        for unfit in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [169, 254, 0, 1]] {
            assert_eq!(list(&unfit), [] as [Ipv4Addr; 0]);
        }
        assert_eq!(list(&[192, 0, 2, 1, 9]), [] as [Ipv4Addr; 0], "half an address");
    }

    #[test]
    fn domains_may_point_back_and_never_round() {
        let list = |bytes: &[u8]| {
            let all = options(&[&[119, bytes.len() as u8][..], bytes].concat());
            all.domains(119).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        // As in the example of RFC 3397: the second name ends in a pointer to the first.
        assert_eq!(
            list(b"\x03eng\x05apple\x03com\0\x06market\xc0\x04"),
            ["eng.apple.com", "market.apple.com"]
        );
        assert_eq!(list(b"\x01a\0\xc0\x03"), ["a"], "a pointer to itself");
        assert_eq!(list(b"\x01a\xc0\x00"), [] as [&str; 0], "round and round");
        assert_eq!(list(b"\x01a\xc0\x04\x01b\0"), [] as [&str; 0], "forwards");
        assert_eq!(list(b"\x01a\0\x03b c\0\x01d\0"), ["a", "d"], "no host name");
        assert_eq!(list(b"\x05a"), [] as [&str; 0]);
        assert_eq!(list(&[&b"\x01a\0".repeat(60)[..]].concat()).len(), MOST);
    }

    #[test]
    fn routes_are_read_all_or_none() {
        let list =
            |bytes: &[u8]| options(&[&[121, bytes.len() as u8][..], bytes].concat()).routes(121);
        let route = |net: &str, router: &str| (net.parse().unwrap(), router.parse().unwrap());
        let bytes = [0, 192, 0, 2, 1, 24, 198, 51, 100, 192, 0, 2, 2, 9, 10, 0x81, 0, 0, 0, 0];
        assert_eq!(
            list(&bytes).unwrap(),
            [
                route("0.0.0.0/0", "192.0.2.1"),
                route("198.51.100.0/24", "192.0.2.2"),
                route("10.128.0.0/9", "0.0.0.0"),
            ]
        );
        for bad in [&[33, 1, 1, 1, 1, 1, 1, 1, 1, 1][..], &[24, 1, 1], &[0, 224, 0, 0, 1], &[]] {
            assert_eq!(list(bad), None, "{bad:?}");
        }
    }
}
