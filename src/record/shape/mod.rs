//! What a document may look like, told by the types that read it: as a JSON Schema, and as all that
//! is wrong with one that they refuse.
//!
//! A field of a [`document!`] needs a [`Shape`], so none can be added that the schema does not know.

mod kinds;
mod number;
mod text;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Split;
use super::faults::Faults;
use super::text::Short;

/// A type that stands in a document.
pub trait Shape: DeserializeOwned {
    /// What JSON Schema (2020-12) can say of its form: nothing that it reads is refused by it.
    fn schema(defs: &mut Defs) -> Value;

    /// Adds what is wrong with a value, which is nothing when the type reads it, and only then.
    fn faults(json: &str, found: &mut Faults) {
        plain_faults::<Self>(json, found);
    }

    /// Adds the fields in it that this version does not know.
    fn unknown(&self, _found: &mut Faults) {}
}

/// Adds the one reason for which a value cannot be read.
fn plain_faults<T: DeserializeOwned>(json: &str, found: &mut Faults) {
    if let Err(why) = serde_json::from_str::<T>(json) {
        found.wrong(&why, json);
    }
}

/// The shapes that have a name of their own in a schema.
#[derive(Default)]
pub struct Defs {
    named: Map<String, Value>,
    /// Whether fields that are not known are refused.
    strict: bool,
}

impl Defs {
    /// A reference to the shape of this name, which `shape` makes when it is first needed.
    pub fn named(&mut self, name: &str, shape: impl FnOnce(&mut Defs) -> Value) -> Value {
        if !self.named.contains_key(name) {
            self.named.insert(name.to_owned(), Value::Null);
            let shape = shape(self);
            self.named.insert(name.to_owned(), shape);
        }
        json!({"$ref": format!("#/$defs/{name}")})
    }
}

/// The JSON Schema of a type's documents; `strict` refuses fields that this version does not know.
pub fn schema_of<T: Shape>(title: &str, strict: bool) -> Value {
    let mut defs = Defs { strict, ..Defs::default() };
    let root = T::schema(&mut defs);
    defs.named.sort_keys();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
    });
    schema["$ref"] = root["$ref"].clone();
    schema["$defs"] = defs.named.into();
    schema
}

/// The shape of an object, field by field.
pub struct Fields<'a> {
    defs: &'a mut Defs,
    about: String,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Fields<'_> {
    /// Starts the shape of an object, of which the doc comment says this.
    pub fn of<'a>(defs: &'a mut Defs, about: &[&str]) -> Fields<'a> {
        Fields { defs, about: prose(about), properties: Map::new(), required: Vec::new() }
    }

    /// A kind that the object names.
    pub fn kind(&mut self, kind: &str, is_required: bool) {
        self.properties.insert("kind".to_owned(), json!({"const": kind}));
        if is_required {
            self.required.push("kind");
        }
    }

    /// The next field. One that may be absent may be null, too.
    pub fn field<T: Shape>(&mut self, name: &'static str, is_required: bool, doc: &[&str]) {
        let mut shape = T::schema(self.defs);
        if is_required {
            self.required.push(name);
        } else {
            shape = or_null(shape);
        }
        shape["description"] = prose(doc).into();
        self.properties.insert(name.to_owned(), shape);
    }

    /// The whole of it.
    pub fn finish(self) -> Value {
        let mut shape = json!({"type": "object", "description": self.about});
        shape["properties"] = self.properties.into();
        if !self.required.is_empty() {
            shape["required"] = self.required.into();
        }
        if self.defs.strict {
            shape["additionalProperties"] = false.into();
        }
        shape
    }
}

/// A doc comment as one paragraph.
fn prose(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ").replace('`', "")
}

/// What it says, or null, which is taken for absence.
fn or_null(mut shape: Value) -> Value {
    match shape.get("type").and_then(Value::as_str) {
        Some(kind) if shape.get("enum").is_none() => {
            shape["type"] = json!([kind, "null"]);
            shape
        }
        _ => json!({"anyOf": [shape, {"type": "null"}]}),
    }
}

impl<T: Shape> Shape for Box<T> {
    fn schema(defs: &mut Defs) -> Value {
        T::schema(defs)
    }

    fn faults(json: &str, found: &mut Faults) {
        T::faults(json, found);
    }

    fn unknown(&self, found: &mut Faults) {
        T::unknown(self, found);
    }
}

impl<T: Shape> Shape for Option<T> {
    fn schema(defs: &mut Defs) -> Value {
        T::schema(defs)
    }

    fn faults(json: &str, found: &mut Faults) {
        T::faults(json, found);
    }

    fn unknown(&self, found: &mut Faults) {
        if let Some(value) = self {
            value.unknown(found);
        }
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn schema(defs: &mut Defs) -> Value {
        json!({"type": "array", "items": T::schema(defs)})
    }

    fn faults(json: &str, found: &mut Faults) {
        match serde_json::from_str::<Vec<&RawValue>>(json) {
            Err(why) => found.wrong(&why, json),
            Ok(items) => {
                for (at, item) in items.into_iter().enumerate() {
                    found.inside(format_args!("[{at}]"), |found| T::faults(item.get(), found));
                }
            }
        }
    }

    fn unknown(&self, found: &mut Faults) {
        for (at, item) in self.iter().enumerate() {
            found.inside(format_args!("[{at}]"), |found| item.unknown(found));
        }
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn schema(defs: &mut Defs) -> Value {
        json!({"type": "object", "additionalProperties": T::schema(defs)})
    }

    fn faults(json: &str, found: &mut Faults) {
        let Some(object) = found.object(json) else { return };
        for (name, value) in object {
            found.within(&name, |found| T::faults(value, found));
        }
    }
}

/// Adds what is wrong with a field of an object.
pub fn field_faults<T: Shape>(
    object: &Split<'_>,
    name: &str,
    is_required: bool,
    found: &mut Faults,
) {
    match object.get(name) {
        None if is_required => found.within(name, |found| found.says("is missing")),
        Some("null") if is_required => found.within(name, |found| found.says("is null")),
        None | Some("null") => (),
        Some(json) => found.within(name, |found| T::faults(json, found)),
    }
}

/// Adds that an object names a kind which it is not. It may name none, but not null.
pub fn kind_faults(object: &Split<'_>, kind: &str, found: &mut Faults) {
    match object.get("kind") {
        None => (),
        Some(json) if serde_json::from_str::<String>(json).is_ok_and(|named| named == kind) => (),
        Some(json) => found.within("kind", |found| {
            found.value(format_args!("{} is not {kind:?}", Short(json)));
        }),
    }
}

/// Defines a record type as [`wire!`](crate::wire) does, and the [`Shape`] of its documents, which
/// the doc comments describe. A kind in brackets is one that the documents may name and need not.
macro_rules! document {
    ($(#[doc = $about:literal])* pub struct $name:ident $($kind:literal)? $([$may:literal])? {
        $($(#[doc = $doc:literal])* $how:ident $field:ident: $type:ty,)*
    }) => {
        $crate::wire! {
            $(#[doc = $about])*
            pub struct $name $($kind)? { $($(#[doc = $doc])* $how $field: $type,)* }
        }

        impl $crate::record::shape::Shape for $name {
            fn schema(defs: &mut $crate::record::shape::Defs) -> serde_json::Value {
                defs.named(stringify!($name), |defs| {
                    let mut fields = $crate::record::shape::Fields::of(defs, &[$($about),*]);
                    $(fields.kind($kind, true);)?
                    $(fields.kind($may, false);)?
                    $(fields.field::<$type>(
                        $crate::wire!(@name $field),
                        stringify!($how) == "req",
                        &[$($doc),*],
                    );)*
                    fields.finish()
                })
            }

            fn faults(json: &str, found: &mut $crate::record::Faults) {
                let Some(object) = found.object(json) else { return };
                $($crate::record::shape::kind_faults(&object, $may, found);)?
                $($crate::record::shape::field_faults::<$type>(
                    &object,
                    $crate::wire!(@name $field),
                    stringify!($how) == "req",
                    found,
                );)*
            }

            fn unknown(&self, found: &mut $crate::record::Faults) {
                const KNOWN: &[&str] = &[$($crate::wire!(@name $field)),*];
                $(found.within($crate::wire!(@name $field), |found| self.$field.unknown(found));)*
                for (name, _) in self.rest.iter() {
                    $(if (name, $may) == ("kind", $may) { continue })?
                    found.unknown(name, KNOWN);
                }
            }
        }
    };
}

pub(crate) use document;
