//! A JSON object that is read one level deep.
//!
//! A filter looks at a few fields and passes on the rest. So the rest is kept as the text it came
//! in: numbers of any size, escapes and nested order come out exactly as they went in, and what is
//! not looked at costs a scan instead of a tree.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// The fields of one JSON object in the order they came, values unparsed.
///
/// A name occurs once: an object that says a thing twice is refused when it is read, because two
/// readers could take it for two different records.
#[derive(Clone, Debug, Default)]
pub struct Object {
    fields: Vec<(Box<str>, Box<RawValue>)>,
}

impl Object {
    /// Reads one JSON object, no more and no less, from `text`.
    pub fn parse(text: &str) -> Result<Object, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The JSON text of the field's value; nothing if there is no such field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.get())
    }

    /// Whether there is a field of that name, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Takes the field out, if it is there.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.fields.iter().position(|(n, _)| &**n == name)?;
        Some(self.fields.remove(at).1)
    }

    /// Sets the field to `value`, in its old place if it has one, else at the end.
    ///
    /// # Panics
    /// If `value` cannot be written as JSON, which is so for none of the suite's types.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        let raw = to_raw_value(value).expect("the suite's types can be written as JSON");
        match self.fields.iter_mut().find(|(n, _)| &**n == name) {
            Some(field) => field.1 = raw,
            None => self.fields.push((name.into(), raw)),
        }
    }

    /// The fields in their order: name and JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Writes the fields into a map that is being written.
    pub fn write_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.fields.iter().try_for_each(|(name, value)| map.serialize_entry(&**name, value))
    }
}

/// Equal are objects with the same fields and the same JSON text in them, in any order.
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.fields.len() == other.fields.len()
            && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(entry) = map.next_entry::<Box<str>, Box<RawValue>>()? {
                    fields.push(entry);
                }
                match repeated(&fields) {
                    Some(name) => Err(A::Error::custom(format!("field {name:?} stands twice"))),
                    None => Ok(Object { fields }),
                }
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A name that occurs twice, found without comparing every pair when there are many.
fn repeated(fields: &[(Box<str>, Box<RawValue>)]) -> Option<&str> {
    if fields.len() <= 32 {
        let twice = |(at, field): &(usize, &(Box<str>, _))| {
            fields[..*at].iter().any(|earlier| earlier.0 == field.0)
        };
        return fields.iter().enumerate().find(twice).map(|(_, (name, _))| &**name);
    }
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        self.write_into(&mut map)?;
        map.end()
    }
}

/// Takes typed fields out of an object and remembers every one that is wrong, so that an error
/// tells all that is to be mended at once.
pub struct Fields {
    object: Object,
    wrong: Vec<String>,
}

impl Fields {
    /// Starts taking fields out of `object`.
    pub fn of(object: Object) -> Fields {
        Fields { object, wrong: Vec::new() }
    }

    /// A field that must be there.
    pub fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if !self.object.has(name) {
            self.wrong.push(format!("field {name:?} is missing"));
        }
        self.optional(name)
    }

    /// A field that may be absent; null is taken for absent.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let raw = self.object.remove(name)?;
        if raw.get() == "null" {
            return None;
        }
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(value),
            Err(why) => {
                self.wrong.push(format!("field {name:?}: {}", told(&why, raw.get())));
                None
            }
        }
    }

    /// The fields that nobody took, or what was wrong with those that were taken.
    pub fn finish(self) -> Result<Object, String> {
        if self.wrong.is_empty() { Ok(self.object) } else { Err(self.wrong.join(", ")) }
    }
}

/// A parser's message without its position inside the field, and with the value if it lacks it.
fn told(why: &serde_json::Error, value: &str) -> String {
    let text = why.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text).to_owned();
    if text.contains('"') || value.len() > 80 { text } else { format!("{text} in {value}") }
}

/// Whether a value says no more than its absence would.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A field's name without the mark of one that is a word of Rust's own.
pub const fn bare(name: &str) -> &str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Defines a record type once, for reading and for writing.
///
/// `req` is a field that must be there, `opt` one that may be absent (`Option`), `many` one whose
/// absence means its default (an empty list or map) and that is not written when it is. A kind in
/// quotes behind the name is written as the record's `kind`. Unknown fields are kept in `rest`.
#[macro_export]
macro_rules! wire {
    ($(#[$meta:meta])* pub struct $name:ident $($kind:literal)? {
        $($(#[$doc:meta])* $how:ident $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $crate::wire!(@type $how $type),)*
            /// Fields that this version does not know, kept as they came.
            pub rest: $crate::record::Object,
        }

        impl TryFrom<$crate::record::Object> for $name {
            type Error = String;

            fn try_from(object: $crate::record::Object) -> Result<Self, String> {
                let mut fields = $crate::record::Fields::of(object);
                $(let _: Option<String> = { const _: &str = $kind; fields.optional("kind") };)?
                $(let $field = $crate::wire!(@take $how fields $field);)*
                let rest = fields.finish()?;
                Ok($name { $($field: $crate::wire!(@done $how $field),)* rest })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let object = <$crate::record::Object as serde::Deserialize>::deserialize(from)?;
                object.try_into().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = to.serialize_map(None)?;
                $(map.serialize_entry("kind", $kind)?;)?
                $($crate::wire!(@write $how map self.$field, $crate::wire!(@name $field));)*
                self.rest.write_into(&mut map)?;
                map.end()
            }
        }
    };
    (@name $field:ident) => {{ const NAME: &str = $crate::record::bare(stringify!($field)); NAME }};
    (@type req $type:ty) => { $type };
    (@type opt $type:ty) => { Option<$type> };
    (@type many $type:ty) => { $type };
    (@take req $fields:ident $field:ident) => { $fields.required($crate::wire!(@name $field)) };
    (@take opt $fields:ident $field:ident) => { $fields.optional($crate::wire!(@name $field)) };
    (@take many $fields:ident $field:ident) => { $fields.optional($crate::wire!(@name $field)) };
    (@done req $field:ident) => {
        $field.ok_or_else(|| format!("field {:?} is null", $crate::wire!(@name $field)))?
    };
    (@done opt $field:ident) => { $field };
    (@done many $field:ident) => { $field.unwrap_or_default() };
    (@write req $map:ident $value:expr, $name:expr) => { $map.serialize_entry($name, &$value)? };
    (@write opt $map:ident $value:expr, $name:expr) => {
        if let Some(value) = &$value { $map.serialize_entry($name, value)? }
    };
    (@write many $map:ident $value:expr, $name:expr) => {
        if !$crate::record::is_default(&$value) { $map.serialize_entry($name, &$value)? }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_comes_out_as_it_went_in() {
        let text = r#"{"b":1e400,"a":{"z":1,"y":[1.0,12345678901234567890123]},"t":"\u00e9"}"#;
        let object = Object::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), text);
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        assert!(Object::parse(r#"{"a":1,"a":2}"#).is_err());
        let many: Vec<String> = (0..100).map(|n| format!("\"f{}\":0", n % 99)).collect();
        assert!(Object::parse(&format!("{{{}}}", many.join(","))).is_err());
    }

    wire! {
        /// Two fields and a list.
        pub struct Sample "sample" {
            /// Must be there.
            req size: u8,
            /// May be absent.
            opt name: String,
            /// Empty when absent.
            many tags: Vec<String>,
            /// A word that Rust keeps for itself.
            opt r#type: String,
        }
    }

    #[test]
    fn a_record_keeps_unknown_fields_and_writes_no_null() {
        let text = r#"{"kind":"sample","size":3,"type":"a","colour":{"r":1}}"#;
        let sample: Sample = serde_json::from_str(text).unwrap();
        assert_eq!(sample.name, None);
        assert_eq!(serde_json::to_string(&sample).unwrap(), text);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let object = Object::parse(r#"{"name":7,"tags":"x"}"#).unwrap();
        let wrong = Sample::try_from(object).unwrap_err();
        for part in ["\"size\" is missing", "\"name\"", "\"tags\""] {
            assert!(wrong.contains(part), "{wrong}");
        }
        let null = Object::parse(r#"{"size":null}"#).unwrap();
        assert_eq!(Sample::try_from(null).unwrap_err(), "field \"size\" is null");
    }
}
