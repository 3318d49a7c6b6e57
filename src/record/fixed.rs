//! An address that is given to an interface as it is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::text::{NotA, as_json_string};

/// An address that is given and not leased: `ADDRESS/LENGTH`, with `@ROUTER` behind it for a
/// default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed {
    /// The address: one that an interface may have.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub prefix_len: u8,
    /// The default router to go with it, of the same family.
    pub router: Option<IpAddr>,
}

impl FromStr for Fixed {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Fixed, NotA> {
        let wrong = || NotA::new(text, "an address to give (ADDRESS/LENGTH[@ROUTER])");
        let (net, router) = match text.split_once('@') {
            Some((net, router)) => (net, Some(router.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (address, length) = net.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix_len = super::port::number(length).and_then(|bits| u8::try_from(bits).ok());
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.filter(|bits| *bits <= longest).ok_or_else(wrong)?;
        let other_family = |router: IpAddr| router.is_ipv4() != address.is_ipv4();
        if !is_one_host_s(address) || router.is_some_and(other_family) {
            return Err(wrong());
        }
        Ok(Fixed { address, prefix_len, router })
    }
}

/// Whether an interface may have it.
fn is_one_host_s(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let unfit = address.is_multicast() || address.is_unspecified() || address.is_loopback();
    !unfit && !is_broadcast
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
        for text in
            ["2001:db8::5/64", "2001:db8::5/128@fe80::1", "192.0.2.5/24", "192.0.2.5/32@192.0.2.1"]
        {
            assert_eq!(text.parse::<Fixed>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "2001:db8::5",
            "::/64",
            "::1/128",
            "ff02::1/64",
            "/64",
            "fd00::1/129",
            "fd00::1/+64",
            "fd00::1/64@192.0.2.1",
            "192.0.2.1",
            "192.0.2.1/33",
            "192.0.2.1/24@fd00::1",
            "192.0.2.1/24@",
            "0.0.0.0/8",
            "127.0.0.1/8",
            "224.0.0.1/24",
            "255.255.255.255/32",
        ] {
            assert!(bad.parse::<Fixed>().is_err(), "{bad:?}");
        }
    }
}
