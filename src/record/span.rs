//! How long something lasts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text::{NotA, as_json_string};

/// A length of time, on the command line and in a document: a number with `ms`, `s`, `m`, `h` or `d` behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Span, NotA> {
        let wrong = || NotA::new(text, "a duration (such as 500ms, 90s, 5m, 1h or 2d)");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        // So many milliseconds can be counted, whatever the unit is.
        let number: u64 = text[..digits].parse().ok().filter(|_| digits <= 11).ok_or_else(wrong)?;
        let unit_ms = match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        Ok(Span(Duration::from_millis(number * unit_ms)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        match units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", ms / unit),
            None => f.write_str("0s"),
        }
    }
}

as_json_string!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["500ms", "90s", "5m", "1h", "2d", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 s",
            "5w",
            "99999999999999999999s",
            "100000000000s",
            "9999999999999999999d",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }
}
