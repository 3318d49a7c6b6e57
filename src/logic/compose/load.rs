//! From files to one model: variables are replaced, `extends` and `include` followed, files laid
//! over one another.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::dotenv::{self, Around};
use super::interpolate::{Variables, interpolate};
use super::merge::{self, Place};
use super::told::{File, Told};
use super::tree::{Budget, Map, Node, TOO_MUCH, Value, documents};
use crate::error::{Error, Kind, Result};

/// How deep `extends` and `include` may lead.
const DEEPEST: usize = 50;

/// What reading one more file costs of the budget.
const FILE: usize = 500;

/// Variables by name.
pub type Environment = HashMap<String, String>;

/// Reads the text of a file.
pub type Open<'a> = &'a mut dyn FnMut(&Path) -> Result<String>;

/// Reads files and remembers what is wrong with them.
pub struct Loader<'a> {
    /// What is told.
    pub told: Told,
    /// What may yet be read and made.
    pub budget: Budget,
    open: Open<'a>,
    /// Variables without a value, told once each.
    missing: BTreeSet<String>,
    /// Files that services of others extend, as they were read.
    bases: HashMap<PathBuf, Map>,
}

impl<'a> Loader<'a> {
    /// Nothing read yet.
    pub fn new(open: Open<'a>) -> Loader<'a> {
        Loader {
            told: Told::default(),
            budget: Budget::default(),
            open,
            missing: BTreeSet::new(),
            bases: HashMap::new(),
        }
    }

    /// The text of a file.
    pub fn text(&mut self, path: &Path) -> Result<String> {
        if !self.budget.spend(FILE) {
            return Err(Error::new(Kind::BadInput, TOO_MUCH));
        }
        let text = (self.open)(path)?;
        match text.contains('\0') {
            true => Err(Error::new(Kind::BadInput, "there is a NUL byte in it")),
            false => Ok(text),
        }
    }

    /// The documents of a file as they stand in it. What is wrong has been told.
    pub fn documents(&mut self, path: &Path, dir: &Path) -> Vec<Map> {
        let name = match path == Path::new("-") {
            true => "stdin".to_owned(),
            false => path.display().to_string(),
        };
        let read = self.text(path).and_then(|text| {
            let file = self.number(File { name: name.clone(), dir: dir.to_owned() });
            documents(&text, file, &mut self.budget).map_err(|e| Error::new(Kind::BadInput, e))
        });
        read.unwrap_or_else(|why| {
            self.told.failed(referred(why).at(name));
            Vec::new()
        })
    }

    fn number(&mut self, file: File) -> u32 {
        let files = &mut self.told.files;
        let at = files.iter().position(|known| *known == file).unwrap_or_else(|| {
            files.push(file);
            files.len() - 1
        });
        at as u32
    }

    /// The variables of a file. What is wrong has been told.
    pub fn variables(&mut self, path: &Path, around: &Environment) -> Vec<(String, String)> {
        let name = path.display().to_string();
        match self.text(path) {
            Ok(text) => self.parsed(&text, &name, around),
            Err(why) => {
                self.told.failed(referred(why).at(name));
                Vec::new()
            }
        }
    }

    /// The variables of a file with this text.
    pub fn parsed(
        &mut self,
        text: &str,
        name: &str,
        around: &Environment,
    ) -> Vec<(String, String)> {
        let missing = &mut self.missing;
        let value = |name: &str| around.get(name).map(String::as_str);
        let mut told = |name: &str| {
            missing.insert(name.to_owned());
        };
        let found = dotenv::variables(text, &mut Around { value: &value, missing: &mut told });
        found.unwrap_or_else(|wrong| {
            for why in wrong {
                self.told.failed(Error::new(Kind::BadInput, why).at(name));
            }
            Vec::new()
        })
    }

    /// One text with its variables replaced.
    pub fn filled(&mut self, text: &str, around: &Environment) -> Result<String, String> {
        let missing = &mut self.missing;
        let value = |name: &str| around.get(name).map(String::as_str);
        let mut told = |name: &str| {
            missing.insert(name.to_owned());
        };
        let text = interpolate(text, &mut Variables { value: &value, missing: &mut told })?;
        match self.budget.spend(text.len() / 32) {
            true => Ok(text),
            false => Err(TOO_MUCH.to_owned()),
        }
    }

    /// Makes one model of documents that stand behind one another; `trail` are the files that led
    /// to them.
    pub fn model(&mut self, docs: Vec<Map>, around: &Environment, trail: &[PathBuf]) -> Map {
        let mut all = Map::new();
        for mut doc in docs {
            self.fill(&mut doc, around);
            self.extend_all(&mut doc, around, trail);
            self.include_all(&mut doc, around, trail);
            merge::maps(&mut all, doc, Place::File, &merge::Path::new(""), &mut self.told);
        }
        merge::settle(&mut all);
        all
    }

    /// Replaces the variables in all values of a document, but not in the fields that nobody reads.
    fn fill(&mut self, doc: &mut Map, around: &Environment) {
        let mut path = Vec::new();
        for (key, node) in doc.iter_mut().filter(|(key, _)| !key.starts_with("x-")) {
            path.push(key.clone());
            self.fill_node(node, around, &mut path);
            path.pop();
        }
    }

    fn fill_node(&mut self, node: &mut Node, around: &Environment, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Text(text) if text.contains('$') => match self.filled(text, around) {
                Ok(filled) => *text = filled,
                Err(why) => {
                    let why = Error::new(Kind::BadInput, format_args!("\"{text}\"")).why(why);
                    let file = self.told.files.get(node.file as usize);
                    let name = file.map(|file| file.name.clone()).unwrap_or_default();
                    self.told.failed(why.at(path.join(".")).at(name));
                }
            },
            Value::Null | Value::Text(_) => (),
            Value::List(list) => {
                list.iter_mut().for_each(|node| self.fill_node(node, around, path));
            }
            Value::Map(map) => {
                for (key, node) in map.iter_mut() {
                    path.push(key.clone());
                    self.fill_node(node, around, path);
                    path.pop();
                }
            }
        }
    }

    /// A path of a compose file, made absolute.
    pub fn path(&self, node: &Node, text: &str) -> PathBuf {
        let dir = self.told.files.get(node.file as usize).map(|file| file.dir.as_path());
        clean(&dir.unwrap_or(Path::new("/")).join(text))
    }

    /// Resolves `extends` of all services of a document.
    fn extend_all(&mut self, doc: &mut Map, around: &Environment, trail: &[PathBuf]) {
        let Some(Node { value: Value::Map(services), .. }) = doc.get_mut("services") else {
            return;
        };
        let names: Vec<String> = services
            .iter()
            .filter(|(_, node)| node.as_map().is_some_and(|map| map.contains_key("extends")))
            .map(|(name, _)| name.clone())
            .collect();
        let here = trail.last().cloned().unwrap_or_default();
        for name in names {
            self.extend(services, &name, around, &mut vec![(here.clone(), name.clone())]);
        }
    }

    /// Lays a service over the one that it extends, which is resolved first. Afterwards it extends
    /// nothing. `chain` is the services that led to it, itself the last.
    fn extend(
        &mut self,
        services: &mut Map,
        name: &str,
        around: &Environment,
        chain: &mut Vec<(PathBuf, String)>,
    ) {
        let Some(Node { value: Value::Map(service), .. }) = services.get_mut(name) else { return };
        let Some(extends) = service.shift_remove("extends") else { return };
        let file = extends.file;
        let base = match self.base(services, extends, around, chain) {
            Ok(base) => base,
            Err(why) => {
                let place = format!("service \"{name}\"");
                self.told.wrong(file, &[&place, &"extends"], why);
                return;
            }
        };
        if let Some(node) = services.get_mut(name)
            && let Value::Map(service) = std::mem::replace(&mut node.value, Value::Null)
        {
            let mut base = base;
            let path = format!("services.{name}");
            let path = merge::Path::new(&path);
            merge::maps(&mut base, service, Place::Service, &path, &mut self.told);
            node.value = Value::Map(base);
        }
    }

    /// The service that is extended, resolved.
    fn base(
        &mut self,
        services: &mut Map,
        extends: Node,
        around: &Environment,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Result<Map, String> {
        let (name, file) = match &extends.value {
            Value::Text(name) => (Some(name.as_str()), None),
            Value::Map(map) => {
                let text = |key: &str| map.get(key).and_then(Node::as_text);
                (text("service"), text("file"))
            }
            _ => (None, None),
        };
        let Some(name) = name else {
            return Err("the service that is extended is not named".to_owned());
        };
        if chain.len() > DEEPEST {
            return Err(format!("it leads through more than {DEEPEST} services"));
        }
        let path = match file {
            Some(file) => self.path(&extends, local(file)?),
            None => chain.last().map(|(path, _)| path.clone()).unwrap_or_default(),
        };
        let step = (path.clone(), name.to_owned());
        if chain.contains(&step) {
            return Err(format!("the service \"{name}\" extends itself in the end"));
        }
        chain.push(step);
        let base = match file {
            None => self.taken(services, name, around, chain),
            Some(_) => {
                let mut others = match self.bases.remove(&path) {
                    Some(others) => others,
                    None => self.services_of(&path, around)?,
                };
                let base = self.taken(&mut others, name, around, chain);
                self.bases.insert(path, others);
                base
            }
        };
        chain.pop();
        base
    }

    /// A copy of a service, resolved where it stands.
    fn taken(
        &mut self,
        services: &mut Map,
        name: &str,
        around: &Environment,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Result<Map, String> {
        self.extend(services, name, around, chain);
        let Some(node) = services.get(name) else {
            return Err(format!("there is no service \"{name}\""));
        };
        if !self.budget.spend(node.cost()) {
            return Err(TOO_MUCH.to_owned());
        }
        match &node.value {
            Value::Map(map) => Ok(map.clone()),
            Value::Null => Ok(Map::new()),
            _ => Err(format!("the service \"{name}\" is {} and not a mapping", node.sort())),
        }
    }

    /// The services of a file of which one is extended, with their variables replaced.
    fn services_of(&mut self, path: &Path, around: &Environment) -> Result<Map, String> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        let wrong = self.told.wrong.len();
        let docs = self.documents(path, dir);
        let mut all = Map::new();
        for mut doc in docs {
            self.fill(&mut doc, around);
            merge::maps(&mut all, doc, Place::File, &merge::Path::new(""), &mut self.told);
        }
        match all.shift_remove("services").map(|node| node.value) {
            Some(Value::Map(services)) => Ok(services),
            _ if self.told.wrong.len() > wrong => Err(format!("{} is not right", path.display())),
            _ => Err(format!("{} has no services", path.display())),
        }
    }

    /// Adds what the files say that a document includes.
    fn include_all(&mut self, doc: &mut Map, around: &Environment, trail: &[PathBuf]) {
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
            let empty = Node { file, over: super::tree::Over::Merge, value: Value::Null };
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

    /// Tells which variables had no value.
    pub fn tell_missing(&mut self) {
        for name in std::mem::take(&mut self.missing) {
            let why = Error::new(Kind::Refused, format_args!("variable \"{name}\" is not set"));
            let why = why.remedy("taken for empty; --env, --env-file and --inherit give values");
            self.told.lost(u32::MAX, &[], why);
        }
    }
}

/// A file that is not there makes the one wrong that refers to it.
fn referred(why: Error) -> Error {
    match why.kind() {
        Kind::NotFound => Error::new(Kind::BadInput, why),
        _ => why,
    }
}

/// The text, unless it names something that is not a file of this machine.
fn local(text: &str) -> Result<&str, String> {
    match text.contains("://") || text.starts_with("git@") || text.is_empty() {
        true => Err(format!("\"{text}\" is not a file of this machine")),
        false => Ok(text),
    }
}

/// The path without `.` and `..`, as its text says and whatever links there are.
pub fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => (),
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}
