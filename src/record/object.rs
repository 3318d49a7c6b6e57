//! A JSON object that is read one level deep.
//!
//! A filter looks at a few fields and passes on the rest. So the rest is kept as the text it came
//! in: numbers of any size, escapes and nested order come out exactly as they went in, and what is
//! not looked at costs a scan instead of a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::faults::of_another_type;

/// The fields of one JSON object in the order they came, values unparsed: pieces of the text that
/// the object was read from.
///
/// A name occurs once: an object that says a thing twice is refused when it is read, because two
/// readers could take it for two different records.
#[derive(Debug)]
pub struct Split<'a> {
    fields: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Split<'a> {
    /// Takes one JSON object, no more and no less, apart.
    pub fn parse(text: &'a str) -> Result<Split<'a>, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The JSON text of the field's value; nothing if there is no such field.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// Whether there is a field of that name, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Leaves out every field but those of these names.
    pub fn keep(&mut self, names: &[&str]) {
        self.fields.retain(|(name, _)| names.contains(&&**name));
    }
}

impl<'a> IntoIterator for Split<'a> {
    type Item = (Cow<'a, str>, &'a str);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Split<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Split<'a>, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Split<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Split<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value::<&'de RawValue>()?.get()));
                }
                match repeated(&fields) {
                    Some(name) => Err(twice(name)),
                    None => Ok(Split { fields }),
                }
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A field's name, which is a piece of the text unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'a>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A name that occurs twice, found without comparing every pair when there are many.
fn repeated<'a>(fields: &'a [(Cow<'a, str>, &str)]) -> Option<&'a str> {
    if fields.len() <= 16 {
        let twice = |(at, field): &(usize, &(Cow<str>, &str))| {
            fields[..*at].iter().any(|earlier| earlier.0 == field.0)
        };
        return fields.iter().enumerate().find(twice).map(|(_, (name, _))| &**name);
    }
    let mut seen = std::collections::HashSet::with_capacity(fields.len());
    fields.iter().map(|(name, _)| &**name).find(|name| !seen.insert(*name))
}

/// Fields that are kept: those of a record that this version does not know, or those of a record
/// that it knows, without what it looks at.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The object as JSON on one line, as it came if nothing was changed.
    text: Box<str>,
    fields: Vec<Field>,
}

/// Where in the text a field is. A record is shorter than what these can count.
#[derive(Clone, Debug)]
struct Field {
    name: Box<str>,
    value: Range<usize>,
}

impl Object {
    /// Reads one JSON object, no more and no less, from `text`.
    pub fn parse(text: &str) -> Result<Object, serde_json::Error> {
        Split::parse(text).map(|split| Object::whole(text, &split))
    }

    /// The object whose text this is, which was taken apart before.
    pub fn whole(text: &str, split: &Split<'_>) -> Object {
        let at = |value: &str| {
            let start = value.as_ptr() as usize - text.as_ptr() as usize;
            start..start + value.len()
        };
        let field = |(name, value): &(Cow<str>, &str)| Field {
            name: name.as_ref().into(),
            value: at(value),
        };
        Object { fields: split.fields.iter().map(field).collect(), text: text.into() }
    }

    /// The object with these fields.
    pub fn of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Object {
        let mut text = String::from("{");
        let mut kept = Vec::new();
        for (name, value) in fields {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(name).expect("a string is JSON"));
            text.push(':');
            kept.push(Field { name: name.into(), value: text.len()..text.len() + value.len() });
            text.push_str(value);
        }
        text.push('}');
        Object { text: text.into(), fields: kept }
    }

    /// The object as JSON.
    pub fn as_json(&self) -> &str {
        if self.text.is_empty() { "{}" } else { &self.text }
    }

    /// The JSON text of the field's value; nothing if there is no such field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| &*field.name == name).map(|field| self.value(field))
    }

    fn value(&self, field: &Field) -> &str {
        &self.text[field.value.clone()]
    }

    /// Whether there is a field of that name, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Takes the field out, if it is there, and gives its JSON text.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let value = self.get(name)?.to_owned();
        *self = Object::of(self.iter().filter(|(other, _)| *other != name));
        Some(value)
    }

    /// Sets the field to `value`, in its old place if it has one, else at the end.
    ///
    /// # Panics
    /// If `value` cannot be written as JSON, which is so for none of the suite's types.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        let value = serde_json::to_string(value).expect("the suite's types can be written as JSON");
        let is_new = !self.has(name);
        let fields =
            self.iter().map(|(other, old)| (other, if other == name { &*value } else { old }));
        *self = Object::of(fields.chain(is_new.then_some((name, &*value))));
    }

    /// The fields in their order: name and JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (&*field.name, self.value(field)))
    }

    /// The fields, to be taken out one by one.
    pub fn split(&self) -> Split<'_> {
        let fields = self.iter().map(|(name, value)| (Cow::Borrowed(name), value));
        Split { fields: fields.collect() }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Writes the fields into a map that is being written.
    pub fn write_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.iter().try_for_each(|(name, value)| {
            let value: &RawValue = serde_json::from_str(value).map_err(M::Error::custom)?;
            map.serialize_entry(name, value)
        })
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
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Object::parse(raw.get()).map_err(D::Error::custom)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        self.write_into(&mut map)?;
        map.end()
    }
}

/// What was wrong with the fields of a record, so that an error tells all that is to be mended at
/// once.
#[derive(Debug, Default)]
pub struct Wrong(Vec<String>);

impl Wrong {
    /// The field's value; null is taken for absent.
    pub fn value<T: DeserializeOwned>(&mut self, name: &str, text: &str) -> Option<T> {
        if text == "null" {
            return None;
        }
        match serde_json::from_str(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.0.push(format!("field {name:?}: {}", told(&why, text)));
                None
            }
        }
    }

    /// The same of an object whose fields have names of any sort, none of them twice.
    pub fn map<T: DeserializeOwned>(
        &mut self,
        name: &str,
        text: &str,
    ) -> Option<BTreeMap<String, T>> {
        self.value(name, text).map(|Once(map)| map)
    }

    /// A field that must be there is not.
    pub fn missing(&mut self, name: &str) {
        let begin = format!("field {name:?}");
        if !self.0.iter().any(|told| told.starts_with(&begin)) {
            self.0.push(format!("{begin} is missing"));
        }
    }

    /// What was wrong, in one text; nothing when nothing was.
    pub fn told(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}

/// The fields of an object. One that stands twice is not taken for what its last is, or its first.
struct Once<T>(BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once<T>, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Once<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once<T>, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    match fields.entry(name) {
                        Entry::Vacant(free) => drop(free.insert(map.next_value()?)),
                        Entry::Occupied(first) => return Err(twice(first.key())),
                    }
                }
                Ok(Once(fields))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

fn twice<E: serde::de::Error>(name: &str) -> E {
    E::custom(format_args!("field {name:?} stands twice"))
}

/// A parser's message without its position inside the field, and with the value if it lacks it.
fn told(why: &serde_json::Error, value: &str) -> String {
    let text = why.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text).to_owned();
    if let Some(said) = of_another_type(&text, value) {
        return said;
    }
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
/// absence means its default (an empty list) and that is not written when it is, `map` the same for a
/// map with names of any sort (`BTreeMap<String, _>`), none of which may stand twice. A kind in quotes behind the name is written as the record's `kind`. Unknown fields are kept in `rest`.
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

        impl $name {
            /// Whether a field of this name may have the value that this JSON text is; nothing when
            /// there is no such field.
            pub fn accepts(name: &str, text: &str) -> Option<bool> {
                $(
                    if name == $crate::wire!(@name $field) {
                        return Some($crate::wire!(@accepts $how $type, text));
                    }
                )*
                None
            }
        }

        impl TryFrom<$crate::record::Split<'_>> for $name {
            type Error = String;

            fn try_from(split: $crate::record::Split<'_>) -> Result<Self, String> {
                let mut wrong = $crate::record::Wrong::default();
                let mut rest = Vec::new();
                $(let mut $field: Option<$type> = None;)*
                for (name, text) in split {
                    match &*name {
                        $(
                            known if known == $crate::wire!(@name $field) => {
                                $field = $crate::wire!(@read $how wrong, known, text);
                            }
                        )*
                        $("kind" => { const _: &str = $kind; })?
                        _ => rest.push((name, text)),
                    }
                }
                $($crate::wire!(@check $how wrong $field);)*
                if let Some(wrong) = wrong.told() {
                    return Err(wrong);
                }
                let rest = match rest.is_empty() {
                    true => $crate::record::Object::default(),
                    false => $crate::record::Object::of(rest.iter().map(|(n, t)| (&**n, *t))),
                };
                Ok($name { $($field: $crate::wire!(@done $how $field),)* rest })
            }
        }

        impl TryFrom<$crate::record::Object> for $name {
            type Error = String;

            fn try_from(object: $crate::record::Object) -> Result<Self, String> {
                object.split().try_into()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let raw = <Box<serde_json::value::RawValue> as serde::Deserialize>::deserialize(from)?;
                let split = $crate::record::Split::parse(raw.get());
                let split = split.map_err(serde::de::Error::custom)?;
                split.try_into().map_err(serde::de::Error::custom)
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
    (@type map $type:ty) => { $type };
    (@read map $wrong:ident, $known:ident, $text:ident) => { $wrong.map($known, $text) };
    (@read $how:ident $wrong:ident, $known:ident, $text:ident) => { $wrong.value($known, $text) };
    (@accepts req $type:ty, $text:ident) => { serde_json::from_str::<$type>($text).is_ok() };
    (@accepts map $type:ty, $text:ident) => {
        $text == "null" || {
            let read: Option<$type> = $crate::record::Wrong::default().map("", $text);
            read.is_some()
        }
    };
    (@accepts $how:ident $type:ty, $text:ident) => {
        $text == "null" || serde_json::from_str::<$type>($text).is_ok()
    };
    (@check req $wrong:ident $field:ident) => {
        if $field.is_none() {
            $wrong.missing($crate::wire!(@name $field));
        }
    };
    (@check $how:ident $wrong:ident $field:ident) => {};
    (@done req $field:ident) => {
        $field.ok_or_else(|| format!("field {:?} is missing", $crate::wire!(@name $field)))?
    };
    (@done opt $field:ident) => { $field };
    (@done many $field:ident) => { $field.unwrap_or_default() };
    (@done map $field:ident) => { $field.unwrap_or_default() };
    (@write req $map:ident $value:expr, $name:expr) => { $map.serialize_entry($name, &$value)? };
    (@write opt $map:ident $value:expr, $name:expr) => {
        if let Some(value) = &$value { $map.serialize_entry($name, value)? }
    };
    (@write $how:ident $map:ident $value:expr, $name:expr) => {
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
        /// Two fields, a list and a map.
        pub struct Sample "sample" {
            /// Must be there.
            req size: u8,
            /// May be absent.
            opt name: String,
            /// Empty when absent.
            many tags: Vec<String>,
            /// Empty when absent, and no name stands twice.
            map labels: BTreeMap<String, String>,
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
        for part in
            ["\"size\" is missing", "\"name\": 7 is not a string", "\"tags\": \"x\" is not a list"]
        {
            assert!(wrong.contains(part), "{wrong}");
        }
        assert_eq!(Sample::accepts("size", "3"), Some(true));
        assert_eq!(Sample::accepts("size", "null"), Some(false));
        assert_eq!(
            (Sample::accepts("tags", "null"), Sample::accepts("x", "1")),
            (Some(true), None)
        );
        let twice = Object::parse(r#"{"size":3,"labels":{"a":"1","b":"2","a":"1"}}"#).unwrap();
        let wrong = Sample::try_from(twice).unwrap_err();
        assert_eq!(wrong, "field \"labels\": field \"a\" stands twice");
        assert_eq!(Sample::accepts("labels", r#"{"a":"1","b":"1"}"#), Some(true));
        assert_eq!(Sample::accepts("labels", r#"{"a":"1","a":"1"}"#), Some(false));
        let null = Object::parse(r#"{"size":null}"#).unwrap();
        assert_eq!(Sample::try_from(null).unwrap_err(), "field \"size\" is missing");
    }
}
