//! `include`: what other files declare, as if it stood in this one.

use std::path::{Path, PathBuf};

use super::load::{Environment, Loader, local};
use super::tree::{Map, Node, Over, Value};

/// Through how many files it may lead.
const DEEPEST: usize = 50;

impl Loader<'_> {
    /// Adds what the files say that a document includes.
    pub fn include_all(&mut self, doc: &mut Map, around: &Environment, trail: &[PathBuf]) {
        let Some(include) = doc.shift_remove("include") else { return };
        let list = match include.value {
            Value::List(list) => list,
            Value::Null => return,
            _ => vec![include],
        };
        for node in list {
            let file = node.file;
            if let Err(why) = self.include(doc, node, around, trail) {
                self.told.wrong(file, &[&"include"], why);
            }
        }
    }

    fn include(
        &mut self,
        doc: &mut Map,
        node: Node,
        around: &Environment,
        trail: &[PathBuf],
    ) -> Result<(), String> {
        let empty = Map::new();
        let map = node.as_map().unwrap_or(&empty);
        let paths = match node.as_text() {
            Some(text) => vec![self.path(&node, local(text)?)],
            None => self.paths(map.get("path"))?,
        };
        let Some(first) = paths.first().cloned() else {
            return Err("there is no path".to_owned());
        };
        if trail.contains(&first) {
            return Err(format!("{} includes itself in the end", first.display()));
        }
        if trail.len() > DEEPEST {
            return Err(format!("it leads through more than {DEEPEST} files"));
        }
        let dir = match map.get("project_directory").and_then(Node::as_text) {
            Some(dir) => self.path(&node, dir),
            None => first.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        let mut inner = around.clone();
        for path in self.paths(map.get("env_file"))? {
            for (name, value) in self.variables(&path, around) {
                if !around.contains_key(&name) {
                    inner.insert(name, value);
                }
            }
        }
        let docs: Vec<Map> = paths.iter().flat_map(|path| self.documents(path, &dir)).collect();
        let trail = [trail, &[first]].concat();
        let model = self.model(docs, &inner, &trail);
        self.import(doc, model)
    }

    /// One path, or a list of them.
    fn paths(&self, node: Option<&Node>) -> Result<Vec<PathBuf>, String> {
        let list = match node {
            None => return Ok(Vec::new()),
            Some(Node { value: Value::List(list), .. }) => list.as_slice(),
            Some(node) => std::slice::from_ref(node),
        };
        let path = |node: &Node| match node.as_text() {
            Some(text) => local(text).map(|text| self.path(node, text)),
            None => Err(format!("a path is {}", node.sort())),
        };
        list.iter().map(path).collect()
    }

    /// Adds to a document what a file that it includes declares.
    fn import(&mut self, doc: &mut Map, model: Map) -> Result<(), String> {
        for (section, node) in model {
            let Node { file, value: Value::Map(more), .. } = node else { continue };
            if section.starts_with("x-") {
                continue;
            }
            let empty = Node { file, over: Over::Merge, value: Value::Null };
            let there = doc.entry(section.clone()).or_insert(empty);
            if there.is_null() {
                there.value = Value::Map(Map::new());
            }
            let Value::Map(there) = &mut there.value else { continue };
            for (name, node) in more {
                match there.get(&name) {
                    Some(other) if *other != node => {
                        return Err(format!("{section}: \"{name}\" is declared in both files"));
                    }
                    _ => {
                        there.insert(name, node);
                    }
                }
            }
        }
        Ok(())
    }
}
