//! The networks of a service, and those that somebody has to make.

use serde_json::{Map as Json, Value as JsonValue, json};

use super::super::Project;
use super::super::amounts::flag;
use super::super::load::Loader;
use super::super::tree::{Map, Node, Value};
use super::draft::Draft;
use super::{field, no_counterpart};
use crate::error::{Error, Kind};
use crate::record::Alias;

const FIELD: &str = "networks";

/// The names in the file of the networks that a service is in.
pub fn used(service: &Map) -> Vec<&str> {
    let names: Vec<&str> = match field(service, FIELD).map(|node| &node.value) {
        Some(Value::Map(map)) => map.keys().map(String::as_str).collect(),
        Some(Value::List(list)) => list.iter().filter_map(Node::as_text).collect(),
        _ => Vec::new(),
    };
    match names.is_empty() && field(service, "network_mode").is_none() {
        true => vec!["default"],
        false => names,
    }
}

/// Tells how a network is made that is not there of itself.
pub fn needed(project: &Project, name: &str, loader: &mut Loader) {
    let empty = Node::text(0, "");
    let declared = project.networks.get(name).unwrap_or(&empty);
    if Project::is_external(declared) {
        return;
    }
    let mut words = vec!["docker network create".to_owned()];
    let empty = Map::new();
    let map = declared.as_map().unwrap_or(&empty);
    let text = |name: &str| map.get(name).and_then(Node::as_text);
    words.extend(text("driver").map(|driver| format!("--driver {}", quoted(driver))));
    for (field, option) in
        [("internal", "--internal"), ("attachable", "--attachable"), ("enable_ipv6", "--ipv6")]
    {
        words.extend(text(field).and_then(flag).filter(|yes| *yes).map(|_| option.to_owned()));
    }
    if let Some(ipam) = map.get("ipam").and_then(Node::as_map) {
        words.extend(addresses(ipam));
    }
    for (field, option) in [("driver_opts", "--opt"), ("labels", "--label")] {
        match map.get(field).map(|node| &node.value) {
            Some(Value::Map(map)) => words.extend(map.iter().map(|(name, node)| {
                let pair = format!("{name}={}", node.as_text().unwrap_or_default());
                format!("{option} {}", quoted(&pair))
            })),
            Some(Value::List(list)) => words.extend(
                list.iter().filter_map(Node::as_text).map(|p| format!("{option} {}", quoted(p))),
            ),
            _ => (),
        }
    }
    words.push(quoted(&project.declared(name, declared)));
    let why = Error::new(Kind::Refused, "it has to be there").remedy(words.join(" "));
    loader.told.needed(declared.file, &[&format!("network \"{name}\"")], why);
}

/// The addresses of a network, as options.
fn addresses(ipam: &Map) -> Vec<String> {
    let mut words = Vec::new();
    let driver = ipam.get("driver").and_then(Node::as_text).filter(|driver| *driver != "default");
    words.extend(driver.map(|driver| format!("--ipam-driver {}", quoted(driver))));
    let Some(Value::List(list)) = ipam.get("config").map(|node| &node.value) else { return words };
    for one in list.iter().filter_map(Node::as_map) {
        for (field, option) in
            [("subnet", "--subnet"), ("ip_range", "--ip-range"), ("gateway", "--gateway")]
        {
            let value = one.get(field).and_then(Node::as_text);
            words.extend(value.map(|value| format!("{option} {}", quoted(value))));
        }
    }
    words
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

impl Draft<'_, '_, '_> {
    /// `networks`, `network_mode`, `links` and `external_links`.
    pub fn networking(&mut self) {
        if let Some(node) = self.get("network_mode")
            && let Some(mode) = self.text("network_mode", node)
        {
            let mode = self.of_service(mode);
            if self.get(FIELD).is_some() {
                self.wrong("network_mode", node, "it does not go with networks");
            }
            self.set("network_mode", json!(mode));
        }
        self.networks();
        let mut links = Vec::new();
        for name in ["links", "external_links"] {
            if let Some(node) = self.get(name) {
                self.links(name, node, &mut links);
            }
        }
        self.set("links", json!(links));
    }

    /// One network of Docker's for each, those with the highest priority first.
    fn networks(&mut self) {
        let empty = Map::new();
        let node = self.get(FIELD);
        if let Some(node) = node
            && node.as_text().is_some()
        {
            return self.wrong(
                FIELD,
                node,
                "it is a single value and neither a list nor a mapping",
            );
        }
        let map = node.and_then(Node::as_map).unwrap_or(&empty);
        let mut networks = Vec::new();
        for name in used(self.service) {
            let place = format!("{FIELD}.{name}");
            let absent = Node::text(u32::MAX, "");
            let declared = match self.project.networks.get(name) {
                Some(node) => node,
                None if name == "default" => &absent,
                None => {
                    self.wrong_here(&place, "it is not declared in the networks of the file");
                    continue;
                }
            };
            let mut network = Json::new();
            network.insert("network".to_owned(), json!(self.project.declared(name, declared)));
            let (mut aliases, mut priority) = (vec![self.name], 0);
            if let Some(node) = map.get(name)
                && let Some(map) = self.map(&place, node)
            {
                priority = self.network(&place, map, &mut network, &mut aliases);
            }
            let mut seen = std::collections::HashSet::new();
            aliases.retain(|alias| seen.insert(*alias));
            aliases.retain(|alias| self.is_alias(&place, alias));
            if !aliases.is_empty() {
                network.insert("aliases".to_owned(), json!(aliases));
            }
            networks.push((priority, JsonValue::Object(network)));
        }
        networks.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        let networks: Vec<JsonValue> = networks.into_iter().map(|(_, network)| network).collect();
        self.set(FIELD, json!(networks));
    }

    fn is_alias(&mut self, place: &str, alias: &str) -> bool {
        let fine = alias.parse::<Alias>();
        if let Err(why) = &fine {
            self.wrong_here(place, why);
        }
        fine.is_ok()
    }

    /// What a service says of one of its networks; gives the priority.
    fn network<'n>(
        &mut self,
        place: &str,
        map: &'n Map,
        network: &mut Json<String, JsonValue>,
        aliases: &mut Vec<&'n str>,
    ) -> i64 {
        let mut priority = 0;
        for (name, node) in map.iter().filter(|(_, node)| !node.is_null()) {
            let place = format!("{place}.{name}");
            match name.as_str() {
                "aliases" => aliases.extend(self.texts(&place, node)),
                "ipv4_address" | "ipv6_address" => {
                    let address = self.text(&place, node);
                    network.extend(address.map(|address| (name.clone(), json!(address))));
                }
                "priority" => {
                    let number = |text: &str| text.parse().ok();
                    priority = self.read(&place, node, number, "a whole number").unwrap_or(0);
                }
                "driver_opts" | "gw_priority" | "interface_name" | "link_local_ips"
                | "mac_address" => self.no_counterpart(&place, node, ""),
                name if name.starts_with("x-") => (),
                _ => self.wrong(&place, node, "there is no such field"),
            }
        }
        priority
    }

    /// A container in a network that somebody made is found by its own names there, of which the
    /// service's is one: such a link says nothing. One that stands alone has no links.
    fn links(&mut self, name: &str, node: &Node, links: &mut Vec<String>) {
        let mode = self.get("network_mode").and_then(Node::as_text).unwrap_or_default();
        let alone = matches!(mode, "host" | "none")
            || mode.starts_with("container:")
            || mode.starts_with("service:");
        for text in self.texts(name, node) {
            let (other, alias) = text.split_once(':').unwrap_or((text, text));
            let id = match name {
                "links" => self.project.id(other),
                _ => other.to_owned(),
            };
            if alone {
                let why = no_counterpart(format_args!("\"{text}\""));
                self.lost(name, node, why.remedy(format_args!("{mode} knows no links")));
            } else if mode == "bridge" || alias != other || name == "external_links" {
                links.push(format!("{id}:{alias}"));
            }
        }
    }
}
