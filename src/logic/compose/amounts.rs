//! Amounts as compose files write them: sizes, times, cores, yes and no.

/// A number of bytes: digits, with decimals if there is a unit, and `b`, `k`, `m`, `g`, `t` or `p`
/// behind them in either case, each 1024 of the one before; `kb` and `kib` mean `k`.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
    let shift = match text[end..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let digits = text[..end].trim_end();
    if let Ok(whole) = whole(digits) {
        return whole.checked_mul(1 << shift).filter(|bytes| *bytes < 1 << 63);
    }
    let number = decimal(digits)? * (1u64 << shift) as f64;
    (number < 2f64.powi(63)).then_some(number as u64)
}

/// A number of digits alone.
fn whole(text: &str) -> Result<u64, ()> {
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().map_err(|_| ()),
        false => Err(()),
    }
}

/// A number from 0 of digits and at most one point: no sign, no exponent.
pub fn decimal(text: &str) -> Option<f64> {
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (digits && plain).then(|| text.parse().ok()).flatten()
}

/// A number of thousandths of a second: numbers with `w`, `d`, `h`, `m`, `s`, `ms`, `us` or `ns`
/// behind each, such as `1m30s`, or `0`. What is left of a thousandth counts as one.
pub fn milliseconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut nano = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.');
        let unit = unit.map_or(rest.len(), |unit| digits + unit);
        let factor = match &rest[digits..unit] {
            "w" => 604_800e9,
            "d" => 86_400e9,
            "h" => 3_600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        nano += decimal(&rest[..digits])? * factor;
        rest = &rest[unit..];
    }
    // Time of a hundred years and more is a mistake.
    let fine = !text.is_empty() && nano < 3.2e18;
    fine.then(|| (nano / 1e6).ceil() as u64)
}

/// Yes or no, in one of the words that YAML has had for it.
pub fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

/// A number of ports: one, or a first and a last joined by `-`.
pub fn ports(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| whole(text).ok().and_then(|port| u16::try_from(port).ok());
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("64m", Some(64 << 20)),
            ("1.5G", Some(3 << 29)),
            ("2kb", Some(2048)),
            ("1 GiB", Some(1 << 30)),
            ("8191p", Some(8191 << 50)),
            ("8192p", None),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1e3", None),
            ("1.2.3g", None),
            ("5x", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, want) in [
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("1m30s", Some(90_000)),
            ("1h0.5m", Some(3_630_000)),
            ("1.5s", Some(1_500)),
            ("250ms", Some(250)),
            ("1us", Some(1)),
            ("2d", Some(172_800_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("5x", None),
            ("99999999d", None),
        ] {
            assert_eq!(milliseconds(text), want, "{text}");
        }
    }

    #[test]
    fn yes_no_and_ports() {
        assert_eq!((flag("True"), flag("off"), flag("1")), (Some(true), Some(false), None));
        assert_eq!(ports("80"), Some((80, 80)));
        assert_eq!(ports("80-82"), Some((80, 82)));
        for bad in ["", "-", "82-80", "65536", "a", "+1", "1-", "80-82-83"] {
            assert_eq!(ports(bad), None, "{bad}");
        }
    }
}
