//! How Docker finds out whether a container is healthy.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shape::document;
use super::text::NotA;

document! {
    /// A command that Docker runs inside from time to time. What is absent is as the image says, or
    /// as Docker's default.
    pub struct Healthcheck {
        /// The command.
        opt test: Test,
        /// Milliseconds from the end of one run to the next.
        opt interval_ms: u64,
        /// Milliseconds after which a run has failed.
        opt timeout_ms: u64,
        /// Milliseconds after the start in which failures do not count.
        opt start_period_ms: u64,
        /// Failures in a row that make it unhealthy.
        opt retries: u32,
    }
}

/// What is run: `["NONE"]`, `["CMD", word, …]` or `["CMD-SHELL", line]` as Docker writes it. A string
/// is read as the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing, not even what the image says.
    None,
    /// A line for the container's shell.
    Shell(String),
    /// A command and its arguments, at least one word.
    Command(Vec<String>),
}

impl Test {
    /// The list that Docker takes.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Test::None => vec!["NONE".to_owned()],
            Test::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
            Test::Command(words) => {
                let first = std::iter::once("CMD".to_owned());
                first.chain(words.iter().cloned()).collect()
            }
        }
    }

    /// What Docker's list says; nothing when it says none of the three.
    pub fn from_words(words: &[String]) -> Option<Test> {
        match words {
            [kind] if kind == "NONE" => Some(Test::None),
            [kind, line] if kind == "CMD-SHELL" => Some(Test::Shell(line.clone())),
            [kind, words @ ..] if kind == "CMD" && !words.is_empty() => {
                Some(Test::Command(words.to_vec()))
            }
            _ => None,
        }
    }
}

impl Serialize for Test {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_vec().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Test, D::Error> {
        const WHAT: &str = "a line, [\"NONE\"], [\"CMD\", word, …] or [\"CMD-SHELL\", line]";
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Test;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WHAT)
            }

            fn visit_str<E: serde::de::Error>(self, line: &str) -> Result<Test, E> {
                Ok(Test::Shell(line.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<Test, A::Error> {
                let words: Vec<String> = Vec::deserialize(SeqAccessDeserializer::new(words))?;
                Test::from_words(&words)
                    .ok_or_else(|| A::Error::custom(NotA::new(&words.join(" "), WHAT)))
            }
        }
        from.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_one_of_docker_s_three() {
        let read = |text: &str| serde_json::from_str::<Test>(text).ok();
        for text in [r#"["NONE"]"#, r#"["CMD","true"]"#, r#"["CMD-SHELL","exit 0"]"#] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert_eq!(read(r#""exit 0""#), Some(Test::Shell("exit 0".to_owned())));
        for bad in
            ["[]", r#"["CMD"]"#, r#"["true"]"#, r#"["CMD-SHELL","a","b"]"#, r#"["NONE","a"]"#]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
