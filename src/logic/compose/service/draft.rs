//! A container that is being made of a service, and the ways in which fields are read.

use serde_json::{Map as Json, Value as JsonValue, json};

use super::super::Project;
use super::super::load::Loader;
use super::super::tree::{Map, Node, TOO_MUCH, Value};
use super::{field, no_counterpart};
use crate::error::Error;

/// A container that is being made.
pub struct Draft<'a, 'l, 'o> {
    /// The project.
    pub project: &'a Project,
    /// The service's name.
    pub name: &'a str,
    /// The service's fields.
    pub service: &'a Map,
    /// Reads the files that the service names, and keeps what is told.
    pub loader: &'l mut Loader<'o>,
    file: u32,
    place: String,
    document: Json<String, JsonValue>,
}

impl<'a, 'l, 'o> Draft<'a, 'l, 'o> {
    /// A container of which nothing is known.
    pub fn new(
        project: &'a Project,
        name: &'a str,
        file: u32,
        service: &'a Map,
        loader: &'l mut Loader<'o>,
    ) -> Draft<'a, 'l, 'o> {
        let place = format!("service \"{name}\"");
        Draft { project, name, service, loader, file, place, document: Json::new() }
    }

    /// What has been made, as JSON.
    pub fn document(self) -> JsonValue {
        JsonValue::Object(self.document)
    }

    /// Sets a field of the container. What says nothing is not set.
    pub fn set(&mut self, name: &str, value: JsonValue) {
        let empty = match &value {
            JsonValue::Array(list) => list.is_empty(),
            JsonValue::Object(map) => map.is_empty(),
            JsonValue::Null => true,
            _ => false,
        };
        if !empty {
            self.document.insert(name.to_owned(), value);
        }
    }

    /// Whether a field of the container has been set.
    pub fn has(&self, name: &str) -> bool {
        self.document.contains_key(name)
    }

    /// A field of the service that says something.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        field(self.service, name)
    }

    /// Tells that a field makes no sense: there will be no container.
    pub fn wrong(&mut self, field: &str, node: &Node, why: impl std::fmt::Display) {
        self.loader.told.wrong(node.file, &[&self.place, &field], why);
    }

    /// Tells that something is wrong with the service as a whole.
    pub fn wrong_here(&mut self, field: &str, why: impl std::fmt::Display) {
        self.loader.told.wrong(self.file, &[&self.place, &field], why);
    }

    /// Tells that something goes no further.
    pub fn lost(&mut self, field: &str, node: &Node, why: Error) {
        self.loader.told.lost(node.file, &[&self.place, &field], why);
    }

    /// Tells that a field has no counterpart, and what can be done.
    pub fn no_counterpart(&mut self, field: &str, node: &Node, remedy: &str) {
        let why = no_counterpart(field);
        let why = if remedy.is_empty() { why } else { why.remedy(remedy) };
        self.loader.told.lost(node.file, &[&self.place], why);
    }

    /// Counts what is made; false when it is too much, which is told.
    pub fn spend(&mut self, field: &str, node: &Node, values: usize) -> bool {
        let enough = self.loader.budget.spend(values);
        if !enough {
            self.wrong(field, node, TOO_MUCH);
        }
        enough
    }

    /// The text of a scalar; anything else is told, and nothing is not there.
    pub fn text<'n>(&mut self, field: &str, node: &'n Node) -> Option<&'n str> {
        if node.as_text().is_none() && !node.is_null() {
            self.wrong(field, node, format!("it is {} and not a single value", node.sort()));
        }
        node.as_text()
    }

    /// A scalar that is read; what cannot be read is told, with what it should be.
    pub fn read<T>(
        &mut self,
        field: &str,
        node: &Node,
        read: impl Fn(&str) -> Option<T>,
        what: &str,
    ) -> Option<T> {
        let text = self.text(field, node)?;
        let value = read(text);
        if value.is_none() {
            self.wrong(field, node, format!("\"{text}\" is not {what}"));
        }
        value
    }

    /// A list, or one value that is taken as one.
    pub fn list<'n>(&mut self, field: &str, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(list) => list,
            Value::Text(_) => std::slice::from_ref(node),
            Value::Null => &[],
            Value::Map(_) => {
                self.wrong(field, node, "it is a mapping and not a list");
                &[]
            }
        }
    }

    /// The texts of a list.
    pub fn texts<'n>(&mut self, field: &str, node: &'n Node) -> Vec<&'n str> {
        let list = self.list(field, node);
        list.iter().filter_map(|node| self.text(field, node)).collect()
    }

    /// A mapping; anything else is told.
    pub fn map<'n>(&mut self, field: &str, node: &'n Node) -> Option<&'n Map> {
        if node.as_map().is_none() && !node.is_null() {
            self.wrong(field, node, format!("it is {} and not a mapping", node.sort()));
        }
        node.as_map()
    }

    /// Names and values of a mapping, or of a list of `NAME=VALUE`; a name may lack a value.
    pub fn pairs<'n>(&mut self, field: &str, node: &'n Node) -> Vec<(&'n str, Option<&'n str>)> {
        if let Value::Map(map) = &node.value {
            let pair = |(name, node): (&'n String, &'n Node)| {
                let value = self.text(&format!("{field}.{name}"), node);
                (value.is_some() || node.is_null()).then_some((name.as_str(), value))
            };
            return map.iter().filter_map(pair).collect();
        }
        let split = |text: &'n str| match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        self.texts(field, node).into_iter().map(split).collect()
    }

    /// Tells all fields of a mapping that are not among those known.
    pub fn only(&mut self, field: &str, map: &Map, known: &[&str]) {
        for (name, node) in map {
            if !known.contains(&name.as_str()) && !name.starts_with("x-") {
                self.wrong(&format!("{field}.{name}"), node, "there is no such field");
            }
        }
    }

    /// Sets a field of the container to a field's text.
    pub fn copy(&mut self, field: &str, to: &str, node: &Node) {
        if let Some(text) = self.text(field, node) {
            self.set(to, json!(text));
        }
    }

    /// Sets a field of the container to the texts of a list, each once.
    pub fn copy_list(&mut self, field: &str, to: &str, node: &Node) {
        let mut seen = std::collections::HashSet::new();
        let mut texts = self.texts(field, node);
        texts.retain(|text| seen.insert(*text));
        self.set(to, json!(texts));
    }

    /// Sets a field of the container to names and their values.
    pub fn copy_pairs(&mut self, field: &str, to: &str, node: &Node) {
        let pairs = self.pairs(field, node).into_iter();
        let map: Json<String, JsonValue> =
            pairs.map(|(name, value)| (name.to_owned(), json!(value.unwrap_or("")))).collect();
        self.set(to, JsonValue::Object(map));
    }

    /// Sets a field of the container to a number.
    pub fn copy_number(&mut self, field: &str, to: &str, node: &Node) {
        let number = self.read(field, node, |text| text.parse::<i64>().ok(), "a whole number");
        self.set(to, json!(number));
    }

    /// Sets a field of the container if a field says yes; no is told apart from nothing only where
    /// `both` count.
    pub fn copy_flag(&mut self, field: &str, to: &str, node: &Node, both: bool) {
        let flag = self.read(field, node, super::super::amounts::flag, "true or false");
        self.set(to, json!(flag.filter(|flag| *flag || both)));
    }
}
