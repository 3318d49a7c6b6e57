//! The variables and labels of a service, with those of the files that it names.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::{Value as JsonValue, json};

use super::super::dotenv;
use super::super::tree::{Node, Value};
use super::draft::Draft;
use super::no_counterpart;
use crate::error::{Error, Kind};

/// Labels that belong to the suite.
const OURS: &str = "leasepipe.";

impl Draft<'_, '_, '_> {
    /// `env_file`, and `environment` over it. A name without value has the one that it has among
    /// the variables of the project.
    pub fn environment(&mut self) {
        let mut all: IndexMap<String, String> = IndexMap::new();
        if let Some(node) = self.get("env_file") {
            for one in self.list("env_file", node) {
                all.extend(self.variables("env_file", one));
            }
        }
        if let Some(node) = self.get("environment") {
            for (name, value) in self.pairs("environment", node) {
                match value.or(self.project.environment.get(name).map(String::as_str)) {
                    Some(value) => {
                        all.insert(name.to_owned(), value.to_owned());
                    }
                    None => {
                        all.shift_remove(name);
                        let why = Error::new(Kind::Refused, format_args!("\"{name}\""));
                        let why = why.why("it has no value").remedy("left out; see --env");
                        self.lost("environment", node, why);
                    }
                }
            }
        }
        let list: Vec<String> =
            all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.set("env", json!(list));
    }

    /// `label_file`, and `labels` over it.
    pub fn labels(&mut self) {
        let mut all: IndexMap<String, String> = IndexMap::new();
        if let Some(node) = self.get("label_file") {
            for one in self.list("label_file", node) {
                all.extend(self.variables("label_file", one));
            }
        }
        if let Some(node) = self.get("labels") {
            let pairs = self.pairs("labels", node).into_iter();
            all.extend(
                pairs.map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_owned())),
            );
        }
        if let Some(name) = all.keys().find(|name| name.starts_with(OURS)) {
            self.wrong_here("labels", format!("\"{name}\" begins with \"{OURS}\", which is taken"));
        }
        let pairs = all.into_iter().map(|(name, value)| (name, json!(value)));
        self.set("labels", JsonValue::Object(pairs.collect()));
    }

    /// The variables of one file: a path, or a mapping with one.
    fn variables(&mut self, field: &str, node: &Node) -> Vec<(String, String)> {
        let (path, required, raw) = match &node.value {
            Value::Map(map) => {
                self.only(field, map, &["path", "required", "format"]);
                let text = |name: &str| map.get(name).and_then(Node::as_text);
                (text("path"), text("required") != Some("false"), text("format"))
            }
            _ => (self.text(field, node), true, None),
        };
        let Some(path) = path else {
            if node.as_map().is_some() {
                self.wrong(field, node, "there is no path");
            }
            return Vec::new();
        };
        let path: PathBuf = self.loader.path(node, path);
        let name = path.display().to_string();
        let text = match self.loader.text(&path) {
            Ok(text) => text,
            Err(why) if why.kind() == Kind::NotFound && !required => return Vec::new(),
            Err(why) => {
                self.wrong(field, node, why.at(&name));
                return Vec::new();
            }
        };
        if !self.spend(field, node, text.len() / 16) {
            return Vec::new();
        }
        match raw {
            None => self.loader.parsed(&text, &name, &self.project.environment),
            Some("raw") => dotenv::raw(&text).unwrap_or_else(|wrong| {
                wrong.into_iter().for_each(|why| self.wrong(field, node, format!("{name}: {why}")));
                Vec::new()
            }),
            Some(other) => {
                self.lost(field, node, no_counterpart(format_args!("format \"{other}\"")));
                Vec::new()
            }
        }
    }
}
