//! How much: of memory, of processor time, of what a process may use.

use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::NotA;

/// Text of digits with `b`, `k`, `m`, `g` or `t` behind it, in either case and each 1024 of the one
/// before, as a number of bytes; nothing when it is none or beyond 8 EiB.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// A number of bytes, less than 8 EiB. It is read from a number, or from text such as `512m` with
/// the units `b`, `k`, `m`, `g` and `t` of 1024 each, and written as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const BYTES: &str = "a number of bytes (such as 33554432 or \"32m\", less than 8 EiB)";

impl FromStr for Bytes {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Bytes, NotA> {
        bytes(text).map(Bytes).ok_or_else(|| NotA::new(text, BYTES))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

/// Reads a number of bytes.
struct Size;

impl Visitor<'_> for Size {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BYTES)
    }

    fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Bytes, E> {
        match i64::try_from(bytes) {
            Ok(_) => Ok(Bytes(bytes)),
            Err(_) => Err(E::custom(NotA::new(&bytes.to_string(), BYTES))),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        from.deserialize_any(Size)
    }
}

/// The most memory and swap together: a number of bytes, or -1 for as much as the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// So much.
    Limited(Bytes),
    /// No limit.
    Unlimited,
}

impl Serialize for Swap {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Swap::Limited(bytes) => bytes.serialize(to),
            Swap::Unlimited => to.serialize_i64(-1),
        }
    }
}

impl<'de> Deserialize<'de> for Swap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Swap, D::Error> {
        const WHAT: &str = "a number of bytes (such as 33554432 or \"32m\"), or -1 for no limit";
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Swap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WHAT)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Swap, E> {
                match number {
                    -1 => Ok(Swap::Unlimited),
                    other => Err(E::custom(NotA::new(&other.to_string(), WHAT))),
                }
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Swap, E> {
                Size.visit_u64(bytes).map(Swap::Limited)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Swap, E> {
                Size.visit_str(text).map(Swap::Limited)
            }
        }
        from.deserialize_any(Form)
    }
}

/// Processor time in cores: more than 0, less than a million, and counted in billionths as Docker
/// counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpus(u64);

impl Cpus {
    /// Billionths of a core.
    pub fn nano(self) -> u64 {
        self.0
    }

    /// So many billionths of a core; nothing for 0, and for a million cores or more.
    pub fn from_nano(nano: u64) -> Option<Cpus> {
        (1..1_000_000_000_000_000).contains(&nano).then_some(Cpus(nano))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_multiple_of(1_000_000_000) {
            true => (self.0 / 1_000_000_000).fmt(f),
            false => (self.0 as f64 / 1e9).fmt(f),
        }
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.is_multiple_of(1_000_000_000) {
            true => to.serialize_u64(self.0 / 1_000_000_000),
            false => to.serialize_f64(self.0 as f64 / 1e9),
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Cpus, D::Error> {
        let cores = f64::deserialize(from)?;
        let nano = (cores * 1e9).round();
        let cpus = if (1.0..1e15).contains(&nano) { Cpus::from_nano(nano as u64) } else { None };
        cpus.ok_or_else(|| {
            let what = "a number of cores (more than 0, less than a million)";
            D::Error::custom(NotA::new(&cores.to_string(), what))
        })
    }
}

/// What a process may use of something: one number, or `soft`, which it may raise up to `hard`. -1 is
/// no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// What it may use without asking.
    pub soft: i64,
    /// What it may ask for, at least `soft`.
    pub hard: i64,
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.soft == self.hard {
            return to.serialize_i64(self.soft);
        }
        use serde::ser::SerializeStruct;
        let mut pair = to.serialize_struct("Ulimit", 2)?;
        pair.serialize_field("soft", &self.soft)?;
        pair.serialize_field("hard", &self.hard)?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Ulimit, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Ulimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or an object of the numbers soft and hard")
            }

            fn visit_i64<E: serde::de::Error>(self, both: i64) -> Result<Ulimit, E> {
                Ulimit::checked(both, both).map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, both: u64) -> Result<Ulimit, E> {
                let both = i64::try_from(both).map_err(|_| NotA::new(&both.to_string(), LIMIT));
                both.and_then(|both| Ulimit::checked(both, both)).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ulimit, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Pair {
                    soft: i64,
                    hard: i64,
                }
                let Pair { soft, hard } = Pair::deserialize(MapAccessDeserializer::new(map))?;
                Ulimit::checked(soft, hard).map_err(A::Error::custom)
            }
        }
        from.deserialize_any(Form)
    }
}

const LIMIT: &str = "a limit (numbers from 0, or -1 for none; soft at most hard)";

impl Ulimit {
    fn checked(soft: i64, hard: i64) -> Result<Ulimit, NotA> {
        let is_ordered = hard == -1 || soft != -1 && soft <= hard;
        if soft >= -1 && hard >= -1 && is_ordered {
            Ok(Ulimit { soft, hard })
        } else {
            Err(NotA::new(&format!("{soft}:{hard}"), LIMIT))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned + Serialize>(text: &str) -> Option<String> {
        let value: T = serde_json::from_str(text).ok()?;
        serde_json::to_string(&value).ok()
    }

    #[test]
    fn bytes_are_a_number_or_have_a_unit() {
        let bytes = |text: &str| read::<Bytes>(text);
        assert_eq!(bytes("5").as_deref(), Some("5"));
        assert_eq!(bytes(r#""32m""#).as_deref(), Some("33554432"));
        assert_eq!(bytes(r#""1G""#).as_deref(), Some("1073741824"));
        assert_eq!(bytes(r#""7b""#).as_deref(), Some("7"));
        for bad in [
            "-1",
            "1.5",
            r#""""#,
            r#""m""#,
            r#""1.5g""#,
            r#""1x""#,
            r#""1 m""#,
            "true",
            "9223372036854775808",
            r#""9999999t""#,
            r#""é""#,
            r#""1é""#,
        ] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(read::<Swap>("-1").as_deref(), Some("-1"));
        assert_eq!(read::<Swap>(r#""1k""#).as_deref(), Some("1024"));
        assert_eq!(read::<Swap>("-2"), None);
    }

    #[test]
    fn cores_are_written_as_they_are_read() {
        for text in ["2", "0.5", "0.000000001", "1.25"] {
            let again = read::<Cpus>(text).unwrap();
            assert_eq!(again.parse::<f64>().unwrap(), text.parse::<f64>().unwrap());
        }
        for bad in ["0", "-1", "1e6", "0.0000000001", r#""1""#] {
            assert_eq!(read::<Cpus>(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_limit_is_one_number_or_two_in_order() {
        assert_eq!(read::<Ulimit>("1024").as_deref(), Some("1024"));
        assert_eq!(
            read::<Ulimit>(r#"{"soft":1,"hard":-1}"#).as_deref(),
            Some(r#"{"soft":1,"hard":-1}"#)
        );
        assert_eq!(read::<Ulimit>(r#"{"soft":2,"hard":2}"#).as_deref(), Some("2"));
        for bad in [
            r#"{"soft":2,"hard":1}"#,
            r#"{"soft":-1,"hard":1}"#,
            "-2",
            r#"{"soft":1}"#,
            r#""1""#,
            "[1,2]",
        ] {
            assert_eq!(read::<Ulimit>(bad), None, "{bad}");
        }
    }
}
