//! What a service mounts: directories of the host, volumes, memory, and what other services mount.

use indexmap::IndexMap;
use serde_json::{Map as Json, Value as JsonValue, json};

use super::super::amounts::{bytes, flag};
use super::super::load::{Loader, clean};
use super::super::tree::{Map, Node, Value};
use super::draft::Draft;
use super::{field, no_counterpart};
use crate::error::{Error, Kind};

const FIELD: &str = "volumes";

/// Options that Docker takes behind a mount, and those that mean something elsewhere only.
const OPTIONS: [&str; 11] =
    ["ro", "rw", "z", "Z", "nocopy", "private", "rprivate", "shared", "rshared", "slave", "rslave"];
const HINTS: [&str; 3] = ["cached", "delegated", "consistent"];

/// The names in the file of the volumes that a service mounts, among other sources of mounts.
pub fn used(service: &Map) -> impl Iterator<Item = &str> {
    let list = match field(service, FIELD).map(|node| &node.value) {
        Some(Value::List(list)) => list.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|node| match &node.value {
        Value::Text(text) => text.split(':').next(),
        Value::Map(map) => map.get("source").and_then(Node::as_text),
        _ => None,
    })
}

/// Tells what of a declared volume goes no further: Docker makes it when it is first mounted.
pub fn declared(name: &str, node: &Node, loader: &mut Loader) {
    let Some(map) = node.as_map() else { return };
    for (field, node) in map.iter().filter(|(_, node)| !node.is_null()) {
        let place = format!("volume \"{name}\"");
        match field.as_str() {
            "driver" if node.as_text() == Some("local") => (),
            "driver" | "driver_opts" | "labels" => {
                let remedy = "make the volume before it is mounted";
                loader.told.lost(node.file, &[&place], no_counterpart(field).remedy(remedy));
            }
            "name" | "external" => (),
            field if field.starts_with("x-") => (),
            field => {
                let why = format!("{field}: there is no such field");
                loader.told.lost(node.file, &[&place], Error::new(Kind::BadInput, why));
            }
        }
    }
}

impl Draft<'_, '_, '_> {
    /// `volumes`, `tmpfs` and `volumes_from`. Of two mounts in one place the later counts.
    pub fn mounts(&mut self) {
        let mut mounts = IndexMap::new();
        let mut memory = Json::new();
        if let Some(node) = self.get(FIELD) {
            for node in self.list(FIELD, node) {
                match &node.value {
                    Value::Map(map) => self.long_mount(node, map, &mut mounts, &mut memory),
                    _ => self.short_mount(node, &mut mounts),
                }
            }
        }
        if let Some(node) = self.get("tmpfs") {
            for text in self.texts("tmpfs", node) {
                let (place, options) = text.split_once(':').unwrap_or((text, ""));
                memory.insert(place.to_owned(), json!(options));
            }
        }
        self.set("volumes", json!(mounts.into_values().collect::<Vec<String>>()));
        self.set("tmpfs", JsonValue::Object(memory));
        self.volumes_from();
    }

    fn volumes_from(&mut self) {
        let Some(node) = self.get("volumes_from") else { return };
        let texts = self.texts("volumes_from", node).into_iter();
        let one = |text: &str| match text.strip_prefix("container:") {
            Some(name) => name.to_owned(),
            None => {
                let (name, mode) = text.split_once(':').map_or((text, None), |(n, m)| (n, Some(m)));
                let mode = mode.map(|mode| format!(":{mode}")).unwrap_or_default();
                format!("{}{mode}", self.project.id(name))
            }
        };
        let list: Vec<String> = texts.map(one).collect();
        self.set("volumes_from", json!(list));
    }

    fn short_mount(&mut self, node: &Node, mounts: &mut IndexMap<String, String>) {
        let Some(text) = self.text(FIELD, node) else { return };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, Vec::new()),
            [source, target] => (Some(source), target, Vec::new()),
            [source, target, options] => (Some(source), target, options.split(',').collect()),
            _ => {
                let why = format!("\"{text}\" is not [SOURCE:]TARGET[:OPTIONS]");
                return self.wrong(FIELD, node, why);
            }
        };
        if let Some(bad) = options.iter().find(|o| !OPTIONS.contains(o) && !HINTS.contains(o)) {
            return self.wrong(FIELD, node, format!("\"{bad}\" is not an option of a mount"));
        }
        let source = match source {
            Some(path) if path.starts_with(['.', '/', '~']) => self.host_path(node, path),
            Some(name) => self.volume(node, name),
            None => Some(String::new()),
        };
        let options = options.into_iter().filter(|option| !HINTS.contains(option));
        if let Some(source) = source {
            mount(mounts, &source, target, &options.collect::<Vec<_>>());
        }
    }

    fn long_mount(
        &mut self,
        node: &Node,
        map: &Map,
        mounts: &mut IndexMap<String, String>,
        memory: &mut Json<String, JsonValue>,
    ) {
        let known =
            ["type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs"];
        self.only(FIELD, map, &[&known[..], &["image"]].concat());
        let text = |name: &str| map.get(name).and_then(Node::as_text);
        let Some(target) = text("target") else {
            return self.wrong(FIELD, node, "there is no target");
        };
        let mut options = Vec::new();
        if self.yes(map, "read_only") {
            options.push("ro");
        }
        let source = match text("type") {
            Some("bind") => self.bind(node, map, &mut options),
            Some("volume") => self.named(node, map, &mut options),
            Some("tmpfs") => {
                let options = self.memory_options(field(map, "tmpfs").and_then(Node::as_map));
                memory.insert(target.to_owned(), json!(options));
                return;
            }
            Some(other @ ("image" | "cluster" | "npipe")) => {
                let what = format!("\"{target}\" of type {other}");
                return self.lost(FIELD, node, no_counterpart(what));
            }
            Some(other) => {
                let why = format!("\"{other}\" is not a type (bind, volume, tmpfs)");
                return self.wrong(FIELD, node, why);
            }
            None => return self.wrong(FIELD, node, "there is no type"),
        };
        if let Some(source) = source {
            mount(mounts, &source, target, &options);
        }
    }

    /// A file or directory of the host; gives its path.
    fn bind<'n>(&mut self, node: &Node, map: &'n Map, to: &mut Vec<&'n str>) -> Option<String> {
        let Some(path) = map.get("source").and_then(Node::as_text) else {
            self.wrong(FIELD, node, "there is no source");
            return None;
        };
        self.bind_options(node, field(map, "bind").and_then(Node::as_map), to);
        self.host_path(node, path)
    }

    /// A volume; gives its name, or nothing for one without.
    fn named(&mut self, node: &Node, map: &Map, to: &mut Vec<&str>) -> Option<String> {
        if let Some(volume) = field(map, "volume").and_then(Node::as_map) {
            self.only("volumes.volume", volume, &["nocopy", "subpath", "labels"]);
            if self.yes(volume, "nocopy") {
                to.push("nocopy");
            }
            self.foreign_options(node, volume, &["subpath", "labels"]);
        }
        match map.get("source").and_then(Node::as_text).filter(|name| !name.is_empty()) {
            Some(name) => self.volume(node, name),
            None => Some(String::new()),
        }
    }

    fn bind_options<'n>(&mut self, node: &Node, bind: Option<&'n Map>, to: &mut Vec<&'n str>) {
        let Some(bind) = bind else { return };
        let known = ["propagation", "create_host_path", "recursive", "selinux"];
        self.only("volumes.bind", bind, &known);
        to.extend(["propagation", "selinux"].iter().filter_map(|n| bind.get(*n)?.as_text()));
        if bind.get("create_host_path").and_then(Node::as_text).and_then(flag) == Some(false) {
            let why = no_counterpart("create_host_path: false");
            self.lost(FIELD, node, why.remedy("Docker makes a directory that is not there"));
        }
        self.foreign_options(node, bind, &["recursive"]);
    }

    fn yes(&mut self, map: &Map, name: &str) -> bool {
        let read = |node| self.read(&format!("{FIELD}.{name}"), node, flag, "true or false");
        field(map, name).and_then(read) == Some(true)
    }

    fn foreign_options(&mut self, node: &Node, map: &Map, names: &[&str]) {
        for name in names.iter().filter(|name| field(map, name).is_some()) {
            self.lost(FIELD, node, no_counterpart(name));
        }
    }

    /// The options of mount(8) for memory of that size and mode.
    fn memory_options(&mut self, tmpfs: Option<&Map>) -> String {
        let Some(map) = tmpfs else { return String::new() };
        self.only("volumes.tmpfs", map, &["size", "mode"]);
        let mut options = Vec::new();
        if let Some(node) = field(map, "size")
            && let Some(size) = self.read("volumes.tmpfs.size", node, bytes, "a size")
        {
            options.push(format!("size={size}"));
        }
        if let Some(node) = field(map, "mode")
            && let Some(mode) = self.read("volumes.tmpfs.mode", node, mode, "a mode (such as 1777)")
        {
            options.push(format!("mode={mode:o}"));
        }
        options.join(",")
    }

    /// The path of something on the host, made absolute.
    fn host_path(&mut self, node: &Node, text: &str) -> Option<String> {
        let path = match text.strip_prefix('~') {
            None => self.loader.path(node, text),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let Some(home) = self.project.environment.get("HOME") else {
                    let why = format!("\"{text}\": HOME is not known; see --env");
                    self.wrong(FIELD, node, why);
                    return None;
                };
                clean(&std::path::Path::new(home).join(rest.trim_start_matches('/')))
            }
            Some(_) => {
                self.wrong(FIELD, node, format!("\"{text}\" is the home of another user"));
                return None;
            }
        };
        path.to_str().map(str::to_owned)
    }

    /// The name that Docker knows a volume of the project by.
    fn volume(&mut self, node: &Node, name: &str) -> Option<String> {
        let Some(declared) = self.project.volumes.get(name) else {
            self.wrong(
                FIELD,
                node,
                format!("\"{name}\" is not declared in the volumes of the file"),
            );
            return None;
        };
        Some(self.project.declared(name, declared))
    }
}

/// A mode as YAML gives it: a number, which it has read from octal digits, or the digits.
fn mode(text: &str) -> Option<u32> {
    match text.strip_prefix("0o").or(text.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        Some(octal) => u32::from_str_radix(octal, 8).ok(),
        None => text.parse().ok(),
    }
    .filter(|mode| *mode <= 0o7777)
}

/// Adds a mount; without a source it is a volume without a name.
fn mount(mounts: &mut IndexMap<String, String>, source: &str, target: &str, options: &[&str]) {
    let place = clean(std::path::Path::new(target)).display().to_string();
    let mut text = place.clone();
    if !source.is_empty() {
        text = format!("{source}:{place}");
        if !options.is_empty() {
            text = format!("{text}:{}", options.join(","));
        }
    }
    mounts.insert(place, text);
}
