//! `extends`: a service that begins where another one ends, in the same file or another.

use std::path::{Path, PathBuf};

use super::load::{Environment, Loader, local};
use super::merge::{self, Place};
use super::tree::{Map, Node, TOO_MUCH, Value};

/// Through how many services it may lead.
const DEEPEST: usize = 50;

impl Loader<'_> {
    /// Resolves `extends` of all services of a document.
    pub fn extend_all(&mut self, doc: &mut Map, around: &Environment, trail: &[PathBuf]) {
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
}
