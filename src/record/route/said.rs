//! The words of a route or rule, read one by one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::text::Short;
use super::MAIN_TABLE;
use crate::error::OneLine;

/// Why words are no route, or no rule: which of them is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadWords {
    what: &'static str,
    text: String,
    why: String,
}

impl fmt::Display for BadWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\": {}", self.what, OneLine(&self.text), self.why)
    }
}

impl std::error::Error for BadWords {}

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Of four bytes.
    V4,
    /// Of sixteen.
    V6,
}

impl Family {
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    pub fn of_net(net: &IpNet) -> Family {
        Family::of(net.addr())
    }
}

/// The prefix that all addresses are in.
pub fn all_of(family: Family) -> IpNet {
    let nobody: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new_assert(nobody, 0)
}

/// A prefix, or an address as a prefix of its own.
pub fn prefix(text: &str) -> Option<IpNet> {
    let net = match text.split_once('/') {
        None => IpNet::from(text.parse::<IpAddr>().ok()?),
        Some((address, len)) => {
            let len = u8::try_from(digits(len)?).ok()?;
            IpNet::new(address.parse().ok()?, len).ok()?
        }
    };
    (net == net.trunc()).then_some(net)
}

/// A number of digits alone.
fn digits(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A prefix as iproute2 writes it: without its length when it holds one address.
pub struct Net(pub IpNet);

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

/// Words, and how many of them have been read.
#[derive(Clone)]
pub struct Said<'a> {
    what: &'static str,
    text: &'a str,
    words: std::str::SplitAsciiWhitespace<'a>,
}

impl<'a> Said<'a> {
    /// `text`, which should be a `what`.
    pub fn new(text: &'a str, what: &'static str) -> Said<'a> {
        Said { what, text, words: text.split_ascii_whitespace() }
    }

    /// The next word.
    pub fn next(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    /// The next word, which has to be `what`.
    pub fn need(&mut self, what: &str) -> Result<&'a str, BadWords> {
        self.next().ok_or_else(|| self.wants(what))
    }

    /// That `what` is missing.
    pub fn wants(&self, what: &str) -> BadWords {
        self.because(format!("it wants {what}"))
    }

    /// Reads the value behind `word`, which may stand once.
    pub fn once<T>(
        &mut self,
        word: &str,
        to: &mut Option<T>,
        read: impl FnOnce(&mut Said<'a>, &str) -> Result<T, BadWords>,
    ) -> Result<(), BadWords> {
        let value = read(self, word)?;
        match to.replace(value) {
            Some(_) => Err(self.because(format!("\"{word}\" stands twice"))),
            None => Ok(()),
        }
    }

    fn value(&mut self, word: &str, what: &str) -> Result<&'a str, BadWords> {
        self.next().ok_or_else(|| self.because(format!("\"{word}\" wants {what}")))
    }

    /// An address.
    pub fn address(&mut self, word: &str) -> Result<IpAddr, BadWords> {
        let text = self.value(word, "an address")?;
        text.parse().map_err(|_| self.wrong(text, "not an address"))
    }

    /// A prefix.
    pub fn prefix(&mut self, word: &str) -> Result<IpNet, BadWords> {
        let text = self.value(word, "a prefix")?;
        prefix(text).ok_or_else(|| self.not_a_prefix(text))
    }

    /// A number.
    pub fn number(&mut self, word: &str) -> Result<u32, BadWords> {
        let text = self.value(word, "a number")?;
        digits(text).ok_or_else(|| self.wrong(text, "not a number (0 to 4294967295)"))
    }

    /// A routing table. The kernel's own local one is none to write in.
    pub fn table(&mut self, word: &str) -> Result<u32, BadWords> {
        const DEFAULT: u32 = 253;
        const LOCAL: u32 = 255;
        let text = self.value(word, "a table")?;
        let number = match text {
            "main" => Some(MAIN_TABLE),
            "default" => Some(DEFAULT),
            text => digits(text).filter(|number| ![0, LOCAL].contains(number)),
        };
        let what = "not a table (main, default, or a number from 1 on, but 255)";
        number.ok_or_else(|| self.wrong(text, what))
    }

    /// That `text` is no prefix, and why.
    pub fn not_a_prefix(&self, text: &str) -> BadWords {
        let parsed = text.parse::<IpNet>();
        match parsed {
            Ok(net) if net != net.trunc() => {
                let what = format!("not a prefix: it has bits beyond its length ({})", net.trunc());
                self.wrong(text, &what)
            }
            _ => self.wrong(text, "not a prefix (ADDRESS/LENGTH)"),
        }
    }

    /// That a word is `what`, which is wrong.
    pub fn wrong(&self, word: impl fmt::Display, what: &str) -> BadWords {
        let word = word.to_string();
        self.because(format!("\"{}\" is {what}", OneLine(&Short(&word).to_string())))
    }

    fn because(&self, why: String) -> BadWords {
        BadWords { what: self.what, text: Short(self.text).to_string(), why }
    }
}
