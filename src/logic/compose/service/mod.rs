//! One service as a container.

mod deploy;
mod draft;
mod environment;
mod fields;
mod foreign;
mod limits;
mod networks;
mod ports;
mod volumes;

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::Project;
use super::load::Loader;
use super::order;
use super::tree::{Map, Node};
use crate::error::{Error, Kind};
use crate::record::{Container, Object, Owner};
use draft::Draft;

/// Makes containers of the services of one project.
pub struct Maker<'a> {
    project: &'a Project,
    active: &'a HashSet<&'a str>,
    owner: Option<&'a Owner>,
    /// The services whose containers would have the same name as one before them.
    doubles: HashMap<&'a str, &'a str>,
}

impl<'a> Maker<'a> {
    /// Nothing made yet; `active` are the services whose profiles are given.
    pub fn new(
        project: &'a Project,
        active: &'a HashSet<&'a str>,
        owner: Option<&'a Owner>,
    ) -> Maker<'a> {
        let mut ids = HashMap::new();
        let mut doubles = HashMap::new();
        for name in project.services.keys().filter(|name| active.contains(name.as_str())) {
            if let Some(before) = ids.insert(project.id(name), name.as_str()) {
                doubles.insert(name.as_str(), before);
            }
        }
        Maker { project, active, owner, doubles }
    }

    /// The container of a service; nothing when something is wrong with it, which has been told.
    pub fn container(&self, name: &'a str, loader: &mut Loader) -> Option<Container> {
        let failures = loader.told.failures();
        let node = &self.project.services[name];
        let Some(service) = node.as_map() else {
            let why = format!("it is {} and not a mapping", node.sort());
            loader.told.wrong(node.file, &[&format!("service \"{name}\"")], why);
            return None;
        };
        let mut draft = Draft::new(self.project, name, node.file, service, loader);
        draft.set("id", json!(self.project.id(name)));
        if let Some(owner) = self.owner {
            draft.set("owner", json!(owner));
        }
        if let Some(before) = self.doubles.get(name) {
            let why = format!("its container has the name of that of the service \"{before}\"");
            draft.wrong_here("container_name", why);
        }
        self.dependencies(&mut draft);
        draft.all();
        let document = draft.document();
        let made = Object::parse(&document.to_string()).map_err(|why| why.to_string());
        match made.and_then(Container::try_from) {
            Ok(container) => (loader.told.failures() == failures).then_some(container),
            Err(why) => {
                let place = format!("service \"{name}\"");
                // What is missing has been told where it is missing.
                if loader.told.failures() == failures {
                    loader.told.wrong(node.file, &[&place], why);
                }
                None
            }
        }
    }

    /// Checks what a service depends on, and tells what of it is not waited for.
    fn dependencies(&self, draft: &mut Draft) {
        draft.forms();
        let mut before = Vec::new();
        for needed in order::dependencies(draft.service) {
            let name = needed.name;
            let given = match draft.service.get("depends_on").and_then(Node::as_map) {
                Some(map) if needed.field == "depends_on" => map.get(name).and_then(Node::as_map),
                _ => None,
            };
            let said = |key: &str| given.and_then(|map| map.get(key)).and_then(Node::as_text);
            if !self.project.services.contains_key(name) {
                let why = format!("there is no service \"{name}\"");
                if said("required") != Some("false") {
                    draft.wrong(needed.field, needed.node, why);
                }
            } else if !self.active.contains(name) && said("required") != Some("false") {
                let why = format!("\"{name}\" is of a profile that is not given");
                draft.lost(needed.field, needed.node, Error::new(Kind::Refused, why));
            }
            if needed.field == "depends_on" && self.active.contains(name) {
                before.push(self.project.id(name));
            }
            match said("condition") {
                Some(condition @ ("service_healthy" | "service_completed_successfully")) => {
                    let why = Error::new(Kind::Refused, format_args!("\"{name}\": {condition}"));
                    let why = why.why("there is no counterpart");
                    let instead = match condition {
                        "service_healthy" => "with --wait healthy container-run waits for all",
                        _ => "its container comes first and is not waited for",
                    };
                    draft.lost(needed.field, needed.node, why.remedy(instead));
                }
                Some("service_started") | None => (),
                Some(other) => {
                    draft.wrong(needed.field, needed.node, format!("\"{other}\" is no condition"));
                }
            }
            if said("restart") == Some("true") {
                let what = format!("\"{name}\": restart");
                draft.lost(needed.field, needed.node, no_counterpart(what));
            }
        }
        if !before.is_empty() {
            draft.set("depends_on", json!(before));
        }
    }

    /// Tells which networks somebody has to make, and what of volumes goes no further, once each.
    pub fn surroundings(&self, services: &[&str], loader: &mut Loader) {
        let mut used = HashSet::new();
        let mut mounted = HashSet::new();
        for name in services {
            let Some(service) = self.project.services[*name].as_map() else { continue };
            used.extend(networks::used(service));
            mounted.extend(volumes::used(service));
        }
        for (name, node) in &self.project.volumes {
            if mounted.contains(name.as_str()) {
                volumes::declared(name, node, loader);
            }
        }
        let declared = &self.project.networks;
        for name in declared.keys().filter(|name| used.contains(name.as_str())) {
            networks::needed(self.project, name, loader);
        }
        if used.contains("default") && !declared.contains_key("default") {
            networks::needed(self.project, "default", loader);
        }
    }
}

/// What is told of something that goes no further.
fn no_counterpart(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Refused, what).why("there is no counterpart")
}

/// A field of a mapping that says something.
fn field<'a>(map: &'a Map, name: &str) -> Option<&'a Node> {
    map.get(name).filter(|node| !node.is_null())
}
