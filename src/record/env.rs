//! Environment variables.

use std::fmt;
use std::str::FromStr;

use super::text::{NotA, as_json_string};

/// One environment variable: `NAME=value`. The value holds no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvVar(Box<str>);

impl EnvVar {
    /// Whether the text is one.
    pub fn accepts(text: &str) -> bool {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let Some(end) = text.bytes().position(|b| !word(b)) else { return false };
        let (name, value) = text.as_bytes().split_at(end);
        let is_named = name.first().is_some_and(|b| !b.is_ascii_digit());
        is_named && value[0] == b'=' && memchr::memchr(0, value).is_none()
    }

    /// The text `NAME=value`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `=`.
    pub fn name(&self) -> &str {
        self.0.split('=').next().unwrap_or_default()
    }
}

impl FromStr for EnvVar {
    type Err = NotA;

    fn from_str(text: &str) -> Result<EnvVar, NotA> {
        if EnvVar::accepts(text) {
            Ok(EnvVar(text.into()))
        } else {
            Err(NotA::new(text, "an environment variable (NAME=value)"))
        }
    }
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_json_string!(EnvVar);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        for good in ["A=1=2", "A=", "a.b-c=x"] {
            assert!(good.parse::<EnvVar>().is_ok(), "{good:?}");
        }
        for bad in ["", "A", "=1", "A B=1", "1A=1", "A=\0"] {
            assert!(bad.parse::<EnvVar>().is_err(), "{bad:?}");
        }
    }
}
