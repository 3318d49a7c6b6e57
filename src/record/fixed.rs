//! An address that is given to an interface as it is.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::text::{NotA, as_json_string};

/// An address that is given and not leased: `ADDRESS/LENGTH`, with `@ROUTER` behind it for a
/// default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed {
    /// The address: one that an interface may have.
    pub address: Ipv6Addr,
    /// Length of its prefix in bits.
    pub prefix_len: u8,
    /// The default router to go with it.
    pub router: Option<Ipv6Addr>,
}

impl FromStr for Fixed {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Fixed, NotA> {
        let wrong = || NotA::new(text, "an IPv6 address to give (ADDRESS/LENGTH[@ROUTER])");
        let (net, router) = match text.split_once('@') {
            Some((net, router)) => (net, Some(router.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (address, length) = net.split_once('/').ok_or_else(wrong)?;
        let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
        let prefix_len = super::port::number(length).and_then(|bits| u8::try_from(bits).ok());
        let prefix_len = prefix_len.filter(|bits| *bits <= 128).ok_or_else(wrong)?;
        if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
            return Err(wrong());
        }
        Ok(Fixed { address, prefix_len, router })
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)?;
        match self.router {
            Some(router) => write!(f, "@{router}"),
            None => Ok(()),
        }
    }
}

as_json_string!(Fixed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["2001:db8::5/64", "2001:db8::5/128@fe80::1"] {
            assert_eq!(text.parse::<Fixed>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "2001:db8::5",
            "::/64",
            "::1/128",
            "ff02::1/64",
            "192.0.2.1/24",
            "/64",
            "fd00::1/129",
            "fd00::1/+64",
        ] {
            assert!(bad.parse::<Fixed>().is_err(), "{bad:?}");
        }
    }
}
