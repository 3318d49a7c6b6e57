//! From files to one model: files are read and laid over one another, and their variables replaced.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::dotenv::{self, Around};
use super::interpolate::{Variables, interpolate};
use super::merge::{self, Place};
use super::told::{File, Told};
use super::tree::{Budget, Map, Node, TOO_MUCH, Value};
use super::yaml::documents;
use crate::error::{Error, Kind, Result};

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
    pub bases: HashMap<PathBuf, Map>,
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
    pub fn fill(&mut self, doc: &mut Map, around: &Environment) {
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
pub fn local(text: &str) -> Result<&str, String> {
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
