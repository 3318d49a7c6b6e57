//! Which names no client's container is given.
//!
//! A client says itself what it is called, and others believe the DNS. So there are names that
//! machines ask for without a person, or take for granted: who has them is trusted.

use std::fmt;
use std::str::FromStr;

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

/// Names with `*` for any text, dots included, and `?` for any character. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// The names that are not given.
#[derive(Clone, Debug)]
pub struct Protected(Vec<Pattern>);

impl Protected {
    /// Those that are always protected, and these.
    pub fn with(given: impl IntoIterator<Item = Pattern>) -> Protected {
        let always = ALWAYS.iter().map(|name| Pattern((*name).into()));
        Protected(always.chain(given).collect())
    }

    /// What protects a name: the one that was asked for, its first label, or that in `domain`.
    pub fn by(&self, asked: &str, domain: Option<&Hostname>) -> Option<&Pattern> {
        let asked = asked.to_ascii_lowercase();
        let label = asked.split('.').next().unwrap_or_default();
        let whole = domain.map(|domain| format!("{label}.{domain}").to_ascii_lowercase());
        let names = [Some(asked.as_str()), Some(label), whole.as_deref()];
        let protects = |pattern: &&Pattern| names.iter().flatten().any(|name| pattern.fits(name));
        self.0.iter().find(protects)
    }
}

impl Pattern {
    /// Whether a name, in lower case, is one of these.
    fn fits(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where the last star is, and how much of the name it has taken.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match (pattern.get(p), star) {
                (Some(b'*'), _) => {
                    star = Some((p, n));
                    p += 1;
                }
                (Some(byte), _) if *byte == b'?' || *byte == name[n] => {
                    p += 1;
                    n += 1;
                }
                (_, Some((at, taken))) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                (_, None) => return false,
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl FromStr for Pattern {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Pattern, NotA> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.*?".contains(&b);
        match text.len() {
            1..=253 if text.bytes().all(letter) => Ok(Pattern(text.to_ascii_lowercase().into())),
            _ => Err(NotA::new(text, "a name to protect (letters, digits, - _ . and * ? for any)")),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        let fits = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().fits(name);
        for (pattern, name) in [
            ("router", "router"),
            ("Router", "router"),
            ("*", ""),
            ("*", "anything.at.all"),
            ("*.example", "a.b.example"),
            ("a*b*c", "axxbxbyc"),
            ("srv-??", "srv-01"),
            ("**x", "x"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("router", "router1"),
            ("*.example", "example"),
            ("srv-??", "srv-1"),
            ("a*b", "axxbc"),
            ("?", ""),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        let hard = "*a".repeat(100) + "b";
        assert!(!fits(&hard, &"a".repeat(253)), "and take no time to find out");
    }

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
        for bad in ["", "a b", "a/b", "é", "a\nb"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
        assert!(ALWAYS.iter().all(|name| name.parse::<Pattern>().is_ok()));
    }
}
