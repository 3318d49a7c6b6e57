//! Amounts of what a host has and a container needs.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::size::bytes;
use super::text::NotA;

/// An amount of a resource, from 0, counted in thousandths so that sums are exact. It is read from a
/// number with at most three decimals, or from text such as `8g` with the units of
/// [`Bytes`](super::Bytes), and written as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

/// Resources by their names: `cpus` in cores, `memory` in bytes, and any other that a site counts.
pub type Amounts = BTreeMap<String, Amount>;

const WHAT: &str = "an amount (from 0, at most three decimals, less than 2^53; or such as \"8g\")";

impl Amount {
    /// So many thousandths.
    pub fn from_milli(milli: u64) -> Amount {
        Amount(milli)
    }

    /// So many; as many as can be counted when it is more.
    pub fn whole(number: u64) -> Amount {
        Amount(number.saturating_mul(1000))
    }

    /// Thousandths.
    pub fn milli(self) -> u64 {
        self.0
    }

    fn checked(number: u64) -> Option<Amount> {
        (number < 1 << 53).then(|| Amount(number * 1000))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) => f.write_str(format!("{whole}.{part:03}").trim_end_matches('0')),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.is_multiple_of(1000) {
            true => to.serialize_u64(self.0 / 1000),
            false => to.serialize_f64(self.0 as f64 / 1000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Amount, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WHAT)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
                Amount::checked(number)
                    .ok_or_else(|| E::custom(NotA::new(&number.to_string(), WHAT)))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Amount, E> {
                let milli = number * 1000.0;
                let near = (milli - milli.round()).abs() <= milli.abs() * 1e-12;
                if near && (0.0..(1u64 << 53) as f64 * 1000.0).contains(&milli) {
                    Ok(Amount(milli.round() as u64))
                } else {
                    Err(E::custom(NotA::new(&number.to_string(), WHAT)))
                }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                let amount = bytes(text).and_then(Amount::checked);
                amount.ok_or_else(|| E::custom(NotA::new(text, WHAT)))
            }
        }
        from.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let read = |text: &str| serde_json::from_str::<Amount>(text).ok();
        for (text, milli) in [("0", 0), ("3", 3000), ("0.1", 100), ("1.005", 1005), ("2.0", 2000)] {
            assert_eq!(read(text).map(Amount::milli), Some(milli), "{text}");
        }
        assert_eq!(read(r#""8g""#), Some(Amount::whole(8 << 30)));
        for bad in ["-1", "-0.1", "0.0005", "1e300", "9007199254740992", r#""x""#, "true"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        for text in ["0", "7", "0.5", "1.005"] {
            let amount = read(text).unwrap();
            assert_eq!(amount.to_string(), text);
            assert_eq!(serde_json::to_string(&amount).unwrap(), text);
        }
    }
}
