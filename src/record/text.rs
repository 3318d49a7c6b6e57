//! Newtypes whose wire form is a string: one place for their serde.

/// Gives a type that has `FromStr` and `Display` the matching JSON string form.
macro_rules! as_json_string {
    ($($type:ty),* $(,)?) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
    )*};
}

pub(crate) use as_json_string;

/// Gives an enum the words that it is written as. What is read is one of them in a string: what is
/// derived would take an object with the word as its one field, too.
macro_rules! as_json_word {
    ($type:ident $what:literal { $($variant:ident $word:literal,)* }) => {
        impl $type {
            /// The words, in the order of the variants.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The word that it is written as.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word,)* }
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::record::NotA;

            fn from_str(text: &str) -> Result<$type, $crate::record::NotA> {
                match text {
                    $($word => Ok($type::$variant),)*
                    _ => Err($crate::record::NotA::new(text, $what)),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::record::text::as_json_string!($type);
    };
}

pub(crate) use as_json_word;

/// Defines a type that holds text as it was given, by the test that the text must pass and the words
/// for what it should be.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $valid:expr, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Whether the text is one.
            pub fn accepts(text: &str) -> bool {
                let valid: fn(&str) -> bool = $valid;
                valid(text)
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::record::NotA;

            fn from_str(text: &str) -> Result<$name, $crate::record::NotA> {
                if $name::accepts(text) {
                    Ok($name(text.into()))
                } else {
                    Err($crate::record::NotA::new(text, $what))
                }
            }
        }

        /// Maps by such texts can be asked with any text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        $crate::record::text::as_json_string!($name);
    };
}

pub(crate) use checked_text;

/// Foreign text, cut where it is too long to be repeated.
pub(super) struct Short<'a>(pub &'a str);

impl Short<'_> {
    /// How much is repeated, in characters.
    pub const LONGEST: usize = 100;
}

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.char_indices().nth(Short::LONGEST) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}

/// Why a piece of text is not what it should be: `"VALUE" is not WHAT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotA {
    value: String,
    what: &'static str,
}

impl NotA {
    /// `value` is not `what`, which says the form that is wanted.
    pub fn new(value: &str, what: &'static str) -> NotA {
        NotA { value: Short(value).to_string(), what }
    }
}

impl std::fmt::Display for NotA {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" is not {}", crate::error::OneLine(&self.value), self.what)
    }
}

impl std::error::Error for NotA {}
