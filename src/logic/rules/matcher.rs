//! What a rule may ask of a client.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv6Net;
use serde::de::value::{Error as NoWord, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer};
use serde_json::Value;

use crate::logic::clients::Client;
use crate::logic::glob::Glob;
use crate::record::{Family, LeaseType, NotA};

/// The fields that a rule may ask about.
pub const FIELDS: [&str; 10] = [
    "address",
    "duid",
    "family",
    "hostname",
    "mac",
    "prefix",
    "source",
    "type",
    "user_class",
    "vendor_class",
];

/// One field of a client and what it may be: any of these.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// One of its addresses lies in one of these.
    Address(Vec<Range>),
    /// Its DUID begins with one of these.
    Duid(Vec<Start>),
    /// The protocol is one of these.
    Family(Vec<Word<Family>>),
    /// Its name is like one of these, in any case.
    Hostname(Vec<Glob>),
    /// Its hardware address begins with one of these.
    Mac(Vec<Start>),
    /// One of its delegated prefixes lies in one of these.
    Prefix(Vec<Ipv6Net>),
    /// The source of its lease is like one of these.
    Source(Vec<Glob>),
    /// One of its leases is one of these.
    Type(Vec<Word<LeaseType>>),
    /// One of its user classes is like one of these.
    UserClass(Vec<Glob>),
    /// One of its vendor classes is like one of these.
    VendorClass(Vec<Glob>),
}

impl Matcher {
    /// What a field of a rule's `match` asks for; nothing for a field that there is not.
    ///
    /// # Errors
    /// What is wrong with the value, in words.
    pub fn parse(field: &str, wanted: &Value) -> Option<Result<Matcher, String>> {
        Some(match field {
            "address" => words(wanted).map(Matcher::Address),
            "duid" => words(wanted).map(Matcher::Duid),
            "family" => words(wanted).map(Matcher::Family),
            "hostname" => each(wanted, Glob::caseless).map(Matcher::Hostname),
            "mac" => words(wanted).map(Matcher::Mac),
            "prefix" => words_of(wanted, "an IPv6 prefix (ADDRESS/LENGTH)").map(Matcher::Prefix),
            "source" => words(wanted).map(Matcher::Source),
            "type" => words(wanted).map(Matcher::Type),
            "user_class" => words(wanted).map(Matcher::UserClass),
            "vendor_class" => words(wanted).map(Matcher::VendorClass),
            _ => return None,
        })
    }

    /// The field's name.
    pub fn field(&self) -> &'static str {
        match self {
            Matcher::Address(_) => "address",
            Matcher::Duid(_) => "duid",
            Matcher::Family(_) => "family",
            Matcher::Hostname(_) => "hostname",
            Matcher::Mac(_) => "mac",
            Matcher::Prefix(_) => "prefix",
            Matcher::Source(_) => "source",
            Matcher::Type(_) => "type",
            Matcher::UserClass(_) => "user_class",
            Matcher::VendorClass(_) => "vendor_class",
        }
    }

    /// What is asked for, as it was written.
    pub fn wanted(&self) -> Vec<String> {
        fn texts<T: ToString>(wanted: &[T]) -> Vec<String> {
            wanted.iter().map(ToString::to_string).collect()
        }
        match self {
            Matcher::Address(wanted) => texts(wanted),
            Matcher::Duid(wanted) | Matcher::Mac(wanted) => texts(wanted),
            Matcher::Family(wanted) => texts(wanted),
            Matcher::Prefix(wanted) => texts(wanted),
            Matcher::Type(wanted) => texts(wanted),
            Matcher::Hostname(wanted)
            | Matcher::Source(wanted)
            | Matcher::UserClass(wanted)
            | Matcher::VendorClass(wanted) => texts(wanted),
        }
    }

    /// What the client has there.
    pub fn values(&self, client: &Client) -> Vec<String> {
        fn text<T: ToString>(value: Option<&T>) -> Vec<String> {
            value.map(ToString::to_string).into_iter().collect()
        }
        match self {
            Matcher::Address(_) => client.addresses.iter().map(ToString::to_string).collect(),
            Matcher::Duid(_) => text(client.duid.as_ref()),
            Matcher::Family(_) => vec![word_of(&client.family)],
            Matcher::Hostname(_) => text(client.hostname.as_ref()),
            Matcher::Mac(_) => text(client.mac.as_ref()),
            Matcher::Prefix(_) => client.prefixes.iter().map(ToString::to_string).collect(),
            Matcher::Source(_) => vec![client.source.to_string()],
            Matcher::Type(_) => client.types.iter().map(word_of).collect(),
            Matcher::UserClass(_) => client.classes.user.clone(),
            Matcher::VendorClass(_) => client.classes.vendor.clone(),
        }
    }

    /// What of the client is as it is asked for; nothing when it does not match.
    pub fn held(&self, client: &Client) -> Option<String> {
        let like = |wanted: &[Glob], text: &str| {
            wanted.iter().any(|glob| glob.matches(text)).then(|| text.to_owned())
        };
        match self {
            Matcher::Address(wanted) => client
                .addresses
                .iter()
                .find(|address| wanted.iter().any(|range| range.contains(address)))
                .map(ToString::to_string),
            Matcher::Duid(wanted) => {
                let duid = client.duid.as_ref()?;
                let begins = wanted.iter().any(|start| duid.as_bytes().starts_with(&start.0));
                begins.then(|| duid.to_string())
            }
            Matcher::Family(wanted) => {
                let is = wanted.iter().any(|word| word.0 == client.family);
                is.then(|| word_of(&client.family))
            }
            Matcher::Hostname(wanted) => like(wanted, client.hostname.as_ref()?.as_str()),
            Matcher::Mac(wanted) => {
                let mac = client.mac?;
                let begins = wanted.iter().any(|start| mac.as_bytes().starts_with(&start.0));
                begins.then(|| mac.to_string())
            }
            Matcher::Prefix(wanted) => client
                .prefixes
                .iter()
                .find(|prefix| wanted.iter().any(|outer| outer.contains(*prefix)))
                .map(ToString::to_string),
            Matcher::Source(wanted) => like(wanted, &client.source),
            Matcher::Type(wanted) => {
                client.types.iter().find(|of| wanted.iter().any(|word| word.0 == **of)).map(word_of)
            }
            Matcher::UserClass(wanted) => {
                client.classes.user.iter().find_map(|class| like(wanted, class))
            }
            Matcher::VendorClass(wanted) => {
                client.classes.vendor.iter().find_map(|class| like(wanted, class))
            }
        }
    }
}

/// The value, or each value of a list, as `read` reads it.
fn each<T>(value: &Value, read: impl Fn(&str) -> Result<T, NotA>) -> Result<Vec<T>, String> {
    let values = match value {
        Value::Array(values) if values.is_empty() => {
            return Err("an empty list matches nobody".to_owned());
        }
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    };
    let one = |value: &Value| match value {
        Value::String(text) => read(text).map_err(|why| why.to_string()),
        other => Err(format!("{other} is not a string")),
    };
    let (good, bad): (Vec<_>, Vec<_>) = values.iter().map(one).partition(Result::is_ok);
    let bad: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    if bad.is_empty() {
        Ok(good.into_iter().filter_map(Result::ok).collect())
    } else {
        Err(bad.join(", "))
    }
}

fn words<T: FromStr<Err = NotA>>(value: &Value) -> Result<Vec<T>, String> {
    each(value, str::parse)
}

fn words_of<T: FromStr>(value: &Value, what: &'static str) -> Result<Vec<T>, String> {
    each(value, |text| text.parse().map_err(|_| NotA::new(text, what)))
}

/// Addresses: a prefix, `FIRST-LAST`, or a single one.
#[derive(Clone, Debug)]
pub struct Range {
    first: Ipv6Addr,
    last: Ipv6Addr,
    text: Box<str>,
}

impl Range {
    fn contains(&self, address: &IpAddr) -> bool {
        matches!(address, IpAddr::V6(address) if (self.first..=self.last).contains(address))
    }
}

impl FromStr for Range {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Range, NotA> {
        let ends = || {
            if let Ok(net) = text.parse::<Ipv6Net>() {
                return Some((net.network(), net.broadcast()));
            }
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        };
        match ends() {
            Some((first, last)) if first <= last => Ok(Range { first, last, text: text.into() }),
            _ => Err(NotA::new(text, "IPv6 addresses (ADDRESS/LENGTH, FIRST-LAST or ADDRESS)")),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first bytes of a DUID or a hardware address, as hex pairs joined by colons.
#[derive(Clone, Debug)]
pub struct Start(Vec<u8>);

impl FromStr for Start {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Start, NotA> {
        let pair = |pair: &str| {
            let digits = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(pair).collect();
        bytes.map(Start).ok_or_else(|| NotA::new(text, "hex pairs joined by colons"))
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// One word of a list that records use.
#[derive(Clone, Debug)]
pub struct Word<T>(T);

impl<T: for<'de> Deserialize<'de>> FromStr for Word<T> {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Word<T>, NotA> {
        let word: StrDeserializer<NoWord> = text.into_deserializer();
        T::deserialize(word)
            .map(Word)
            .map_err(|_| NotA::new(text, "a word of lease records (na, ta, pd; ipv6, ipv4)"))
    }
}

impl<T: serde::Serialize> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&word_of(&self.0))
    }
}

/// A word as it stands in records.
fn word_of<T: serde::Serialize>(word: &T) -> String {
    match serde_json::to_value(word) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
