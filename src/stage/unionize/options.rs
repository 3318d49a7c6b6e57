//! What the command line asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::adapter::netlink;
use crate::error::{Error, Kind, Result};
use crate::record::{self, Fixed, Ifname, NotA};

/// How containers are attached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The bridge of containers whose document names none.
    pub bridge: Option<Ifname>,
    /// The first interface's name inside, where the document gives it none; absent means the first
    /// `eth` that is not Docker's.
    pub interface: Option<Ifname>,
    /// Where addresses come from, where the document does not say.
    pub addressing: Addressing,
    /// The largest packet in bytes; the bridge's own when absent.
    pub mtu: Option<u32>,
    /// How leased and given addresses are checked for duplicates.
    pub dad: Dad,
}

/// What attaching and renewing have in common.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// How long one container may take.
    pub timeout: Duration,
    /// Where attachments are remembered.
    pub state: PathBuf,
    /// Whether to tell what would be done instead of doing it.
    pub dry_run: bool,
}

/// One `--address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Ask a DHCPv6 server.
    Dhcp6,
    /// No address.
    None,
    /// This one.
    Fixed(Fixed),
}

impl FromStr for Given {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Given, NotA> {
        let what = "dhcp6, none or an IPv6 address (ADDRESS/LENGTH[@ROUTER])";
        match text {
            "dhcp6" => Ok(Given::Dhcp6),
            "none" => Ok(Given::None),
            text => text.parse().map(Given::Fixed).map_err(|_: NotA| NotA::new(text, what)),
        }
    }
}

/// Where the addresses of an interface come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// Whether a DHCPv6 server is asked.
    pub dhcp6: bool,
    /// Addresses that are given as they are.
    pub fixed: Vec<Fixed>,
}

impl Addressing {
    /// What several `--address` mean together.
    pub fn of(given: &[Given]) -> Result<Addressing> {
        if given.contains(&Given::None) && given.len() > 1 {
            return Err(Error::new(Kind::Usage, "--address none goes with no other --address"));
        }
        let mut all = Addressing::default();
        for given in given {
            match given {
                Given::Dhcp6 => all.dhcp6 = true,
                Given::None => (),
                Given::Fixed(fixed) => all.fixed.push(*fixed),
            }
        }
        Ok(all)
    }

    /// What the addresses of a document mean together.
    pub fn named(given: &[record::Addressing]) -> Addressing {
        let mut all = Addressing::default();
        for given in given {
            match given {
                record::Addressing::Dhcp6 => all.dhcp6 = true,
                record::Addressing::Fixed(fixed) => all.fixed.push(*fixed),
            }
        }
        all
    }

    /// Whether there is any address at all.
    pub fn is_none(&self) -> bool {
        !self.dhcp6 && self.fixed.is_empty()
    }
}

/// How an address goes through duplicate address detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dad {
    /// Use it at once; a duplicate found later is declined and told (RFC 4429)
    Optimistic,
    /// Use it when it is clear that nobody else does, after one to two seconds
    Wait,
    /// Do not ask
    Off,
}

impl From<Dad> for netlink::Dad {
    fn from(dad: Dad) -> netlink::Dad {
        match dad {
            Dad::Optimistic => netlink::Dad::Optimistic,
            Dad::Wait => netlink::Dad::Wait,
            Dad::Off => netlink::Dad::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Option<Given> {
        text.parse().ok()
    }

    #[test]
    fn an_address_is_read_whole_or_not_at_all() {
        let fixed = Fixed {
            address: "2001:db8::5".parse().unwrap(),
            prefix_len: 64,
            router: Some("fe80::1".parse().unwrap()),
        };
        assert_eq!(given("2001:db8::5/64@fe80::1"), Some(Given::Fixed(fixed)));
        assert_eq!(given("dhcp6"), Some(Given::Dhcp6));
        for bad in
            ["", "2001:db8::5", "2001:db8::5/129", "2001:db8::5/64@", "192.0.2.1/24", "ff02::1/64"]
        {
            assert_eq!(given(bad), None, "{bad}");
        }
    }

    #[test]
    fn none_stands_alone() {
        let of = |texts: &[&str]| {
            Addressing::of(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
        };
        assert!(of(&["none"]).unwrap().is_none());
        assert!(of(&["none", "dhcp6"]).is_err());
        let both = of(&["dhcp6", "2001:db8::5/64"]).unwrap();
        assert!(both.dhcp6 && both.fixed.len() == 1);
    }
}
