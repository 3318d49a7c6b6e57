//! Which names no client's container is given.
//!
//! A client says itself what it is called, and others believe the DNS. So there are names that
//! machines ask for without a person, or take for granted: who has them is trusted.

use std::fmt;
use std::str::FromStr;

use super::glob::Glob;
use crate::record::{Hostname, NotA};

/// Names that are protected wherever the suite runs: those that mean a machine itself or a group of
/// machines, and those by which machines find a proxy, a tunnel or their settings.
pub const ALWAYS: [&str; 20] = [
    "localhost",
    "localhost.*",
    "localhost4",
    "localhost6",
    "localdomain",
    "ip6-*",
    "broadcasthost",
    "local",
    "internal",
    "home",
    "lan",
    "wpad",
    "wpad.*",
    "isatap",
    "isatap.*",
    "autodiscover",
    "autoconfig",
    "gateway",
    "router",
    "dns",
];

/// A name to protect, or several: a [`Glob`] of what names are made of. Case does not matter.
#[derive(Clone, Debug)]
pub struct Pattern(Glob);

/// The names that are not given.
#[derive(Clone, Debug)]
pub struct Protected(Vec<Pattern>);

impl Protected {
    /// Those that are always protected, and these.
    pub fn with(given: impl IntoIterator<Item = Pattern>) -> Protected {
        let always = ALWAYS.iter().filter_map(|name| name.parse().ok());
        Protected(always.chain(given).collect())
    }

    /// What protects a name: the one that was asked for, its first label, or that in `domain`.
    pub fn by(&self, asked: &str, domain: Option<&Hostname>) -> Option<&Pattern> {
        let label = asked.split('.').next().unwrap_or_default();
        let whole = domain.map(|domain| format!("{label}.{domain}"));
        let names = [Some(asked), Some(label), whole.as_deref()];
        let protects =
            |pattern: &&Pattern| names.iter().flatten().any(|name| pattern.0.matches(name));
        self.0.iter().find(protects)
    }
}

impl FromStr for Pattern {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Pattern, NotA> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.*?[]!".contains(&b);
        match Glob::caseless(text) {
            Ok(glob) if !text.is_empty() && text.bytes().all(letter) => Ok(Pattern(glob)),
            _ => Err(NotA::new(text, "a name to protect (letters, digits, - _ . and * ? [..])")),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_protected_in_each_of_its_forms() {
        let lab: Hostname = "Lab".parse().unwrap();
        let given = ["printer", "*.lab.example", "boss.lab"].map(|name| name.parse().unwrap());
        let protected = Protected::with(given);
        let by = |asked: &str, domain| protected.by(asked, domain).map(ToString::to_string);
        assert_eq!(by("WPAD", None).unwrap(), "wpad");
        assert_eq!(by("printer.anything", None).unwrap(), "printer");
        assert_eq!(by("x.lab.example", None).unwrap(), "*.lab.example");
        assert_eq!(by("boss", Some(&lab)).unwrap(), "boss.lab");
        assert_eq!(by("ip6-allrouters", None).unwrap(), "ip6-*");
        assert_eq!(by("alpha", Some(&lab)), None);
        assert_eq!(by("boss", None), None);
    }

    #[test]
    fn what_is_no_name_protects_nothing() {
        for bad in ["", "a b", "a/b", "é", "a\nb", "a[b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
        assert!(ALWAYS.iter().all(|name| name.parse::<Pattern>().is_ok()));
    }
}
