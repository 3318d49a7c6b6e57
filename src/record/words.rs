//! Commands: words, or a line of them.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::text::NotA;

/// A command: a list of words, or one string that is split as a POSIX shell splits words, without
/// any expansion. It is written as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Words {
    /// One string, known to split.
    Line(String),
    /// The words themselves.
    List(Vec<String>),
}

impl Words {
    /// The words.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Words::List(words) => words.clone(),
            Words::Line(line) => split(line).unwrap_or_default(),
        }
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Words, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: serde::de::Error>(self, line: &str) -> Result<Words, E> {
                if split(line).is_some() {
                    Ok(Words::Line(line.to_owned()))
                } else {
                    let what = "a command line (a quote is not closed)";
                    Err(E::custom(NotA::new(line, what)))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Words::List(words))
            }
        }
        from.deserialize_any(Form)
    }
}

/// Splits at blanks outside quotes (POSIX.1 XCU 2.2: backslash, single and double quotes); nothing
/// when a quote is left open or a backslash ends the line.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            '\n' => (),
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => (),
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_splits_as_a_shell_splits_it() {
        let words = |line: &str| split(line);
        assert_eq!(words("a  b\tc").unwrap(), ["a", "b", "c"]);
        assert_eq!(
            words(r#"sh -c 'echo "$HOME"; x' "" a\ b"#).unwrap(),
            ["sh", "-c", "echo \"$HOME\"; x", "", "a b"]
        );
        assert_eq!(words(r#""a\"b\n" 'c''d'"#).unwrap(), [r#"a"b\n"#, "cd"]);
        assert_eq!(words(""), Some(vec![]));
        for open in ["'", "\"a", "a\\", "\"\\"] {
            assert_eq!(words(open), None, "{open}");
        }
    }
}
