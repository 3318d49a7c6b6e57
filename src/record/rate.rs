//! How fast an interface may be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::NotA;

/// A rate in bits per second, at least 8, as tc(8) writes it: `10mbit`, `1.5gbit`, `500kbit`, or a
/// number of bits. With `bps` for `bit` the number is of bytes; with an `i` before, as in `mibit`, a
/// step is 1024 and not 1000. It is written as text, and read from a number too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

const WHAT: &str = "a rate (such as 10mbit, 1gbit or 500kbit; 8bit at least)";

/// The steps from one unit to the next.
const STEPS: [&str; 4] = ["k", "m", "g", "t"];

impl Rate {
    /// So many bits per second; nothing when that is less than a byte.
    pub fn from_bits(bits: u64) -> Option<Rate> {
        (bits >= 8).then_some(Rate(bits))
    }

    /// Bits per second.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whole bytes per second, which is what the kernel counts.
    pub fn bytes(self) -> u64 {
        self.0 / 8
    }
}

/// How many bits per second a unit is; nothing when it is none. No unit at all is bits.
fn unit(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (step, bits) = match (text.strip_suffix("bit"), text.strip_suffix("bps")) {
        (Some(step), _) => (step, 1),
        (_, Some(step)) => (step, 8),
        // tc takes 5k for 5kbit, too.
        _ => (text.as_str(), 1),
    };
    let (step, base): (&str, u64) = match step.strip_suffix('i') {
        Some("") => return None,
        Some(step) => (step, 1024),
        None => (step, 1000),
    };
    let power = match step {
        "" => 0,
        step => STEPS.iter().position(|known| *known == step)? as u32 + 1,
    };
    Some(bits * base.pow(power))
}

/// `DIGITS[.DIGITS]` times `unit`, without what is less than a bit.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 15 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scale = 10u128.pow(part.len() as u32);
    let part = u128::from(unit) * part.parse::<u128>().ok()? / scale;
    whole.checked_mul(unit)?.checked_add(part.try_into().ok()?)
}

impl FromStr for Rate {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Rate, NotA> {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        unit(&text[number.len()..])
            .and_then(|unit| times(number, unit))
            .and_then(Rate::from_bits)
            .ok_or_else(|| NotA::new(text, WHAT))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut number, mut step) = (self.0, "");
        for next in STEPS {
            if number % 1000 != 0 {
                break;
            }
            (number, step) = (number / 1000, next);
        }
        write!(f, "{number}{step}bit")
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rate, D::Error> {
        struct Form;
        impl serde::de::Visitor<'_> for Form {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WHAT)
            }

            fn visit_u64<E: serde::de::Error>(self, bits: u64) -> Result<Rate, E> {
                Rate::from_bits(bits).ok_or_else(|| E::custom(NotA::new(&bits.to_string(), WHAT)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_tc_reads_it() {
        for (text, bits, written) in [
            ("10mbit", 10_000_000, "10mbit"),
            ("1Gbit", 1_000_000_000, "1gbit"),
            ("500kbit", 500_000, "500kbit"),
            ("1.5mbit", 1_500_000, "1500kbit"),
            ("8", 8, "8bit"),
            ("64k", 64_000, "64kbit"),
            ("2mibit", 2_097_152, "2097152bit"),
            ("1kbps", 8_000, "8kbit"),
            ("100bps", 800, "800bit"),
            ("2tbit", 2_000_000_000_000, "2tbit"),
        ] {
            let rate: Rate = text.parse().unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((rate.bits(), rate.to_string().as_str()), (bits, written), "{text}");
            assert_eq!(written.parse(), Ok(rate));
        }
        for bad in [
            "",
            "mbit",
            "7",
            "0",
            "-1mbit",
            "1 mbit",
            "1.mbit",
            ".5mbit",
            "1e3",
            "10mbits",
            "10xbit",
            "ibit",
            "1ibit",
            "99999999999999999999",
            "20000000tbit",
            "0.0000000000000001gbit",
        ] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn json_has_it_as_text_or_number() {
        let read = |json: &str| serde_json::from_str::<Rate>(json);
        assert_eq!(read("10000000").unwrap(), read("\"10mbit\"").unwrap());
        assert_eq!(serde_json::to_string(&read("1000").unwrap()).unwrap(), "\"1kbit\"");
        for bad in ["7", "-8", "1e3", "null", "\"fast\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
