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
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

pub(crate) use as_json_string;

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

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        $crate::record::text::as_json_string!($name);
    };
}

pub(crate) use checked_text;

/// Why a piece of text is not what it should be: `"VALUE" is not WHAT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotA {
    value: String,
    what: &'static str,
}

impl NotA {
    /// `value` is not `what`, which says the form that is wanted.
    pub fn new(value: &str, what: &'static str) -> NotA {
        NotA { value: value.to_owned(), what }
    }
}

impl std::fmt::Display for NotA {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" is not {}", crate::error::OneLine(&self.value), self.what)
    }
}

impl std::error::Error for NotA {}
