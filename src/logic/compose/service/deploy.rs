//! `deploy`: how many there are of a service, where they go, and what they take of their hosts.

use serde_json::{Map as Json, Value as JsonValue, json};

use super::super::amounts::{bytes, decimal};
use super::super::tree::{Map, Node, Value};
use super::draft::Draft;
use super::{field, no_counterpart};

const RESERVED: &str = "deploy.resources.reservations";
const PLACEMENT: &str = "deploy.placement";

/// What a container needs of its host, while it is gathered.
#[derive(Default)]
struct Needs {
    resources: Json<String, JsonValue>,
    constraints: Vec<String>,
    affinity: Vec<String>,
    anti_affinity: Vec<String>,
    spread: Option<String>,
}

impl Draft<'_, '_, '_> {
    /// All of `deploy` but the limits, and what stands for it beside it.
    pub fn deploy(&mut self) {
        let empty = Map::new();
        let node = self.get("deploy");
        let map = node.and_then(|node| self.map("deploy", node)).unwrap_or(&empty);
        let mut needs = Needs::default();
        for (name, node) in map.iter().filter(|(_, node)| !node.is_null()) {
            let place = format!("deploy.{name}");
            match name.as_str() {
                "mode" => match self.text(&place, node) {
                    Some("replicated") | None => (),
                    Some(other) => {
                        let why = no_counterpart(format_args!("\"{other}\""));
                        self.lost(&place, node, why.remedy("use replicas"));
                    }
                },
                "endpoint_mode" | "rollback_config" | "update_config" => {
                    self.no_counterpart(&place, node, "");
                }
                "labels" => self.no_counterpart(&place, node, "use labels"),
                "replicas" | "restart_policy" => (),
                "placement" => self.placement(node, &mut needs),
                "resources" => self.deploy_resources(node),
                name if name.starts_with("x-") => (),
                _ => self.wrong(&place, node, "there is no such field"),
            }
        }
        self.replicas(map);
        self.restart(map);
        self.reservations(&mut needs);
        self.gpus();
        let mut requires = Json::new();
        for (name, value) in [
            ("resources", json!(needs.resources)),
            ("constraints", json!(needs.constraints)),
            ("affinity", json!(needs.affinity)),
            ("anti_affinity", json!(needs.anti_affinity)),
            ("spread", json!(needs.spread)),
        ] {
            if ![json!([]), json!({}), JsonValue::Null].contains(&value) {
                requires.insert(name.to_owned(), value);
            }
        }
        self.set("requires", JsonValue::Object(requires));
    }

    fn replicas(&mut self, deploy: &Map) {
        let number = |text: &str| text.parse::<u32>().ok();
        let what = "a number of containers";
        let own = self.get("scale");
        let own = own.and_then(|node| self.read("scale", node, number, what));
        let other = field(deploy, "replicas");
        let other = other.and_then(|node| self.read("deploy.replicas", node, number, what));
        if let (Some(own), Some(other)) = (own, other)
            && own != other
        {
            self.wrong_here("scale", "deploy.replicas says something else");
        }
        self.set("scale", json!(own.or(other).filter(|number| *number != 1)));
    }

    /// `restart`, which counts before `deploy.restart_policy`.
    fn restart(&mut self, deploy: &Map) {
        const POLICY: &str = "deploy.restart_policy";
        if let Some(node) = self.get("restart") {
            return self.copy("restart", "restart", node);
        }
        let Some(node) = field(deploy, "restart_policy") else { return };
        let Some(map) = self.map(POLICY, node) else { return };
        self.only(POLICY, map, &["condition", "delay", "max_attempts", "window"]);
        for name in ["delay", "window"] {
            if let Some(node) = field(map, name) {
                self.no_counterpart(&format!("{POLICY}.{name}"), node, "");
            }
        }
        let attempts = field(map, "max_attempts").and_then(|node| {
            let number = |text: &str| text.parse::<u16>().ok();
            let place = format!("{POLICY}.max_attempts");
            self.read(&place, node, number, "a number up to 65535").map(|number| (number, node))
        });
        match field(map, "condition").and_then(Node::as_text).unwrap_or("any") {
            "none" => self.set("restart", json!("no")),
            "on-failure" => self.set(
                "restart",
                match attempts {
                    Some((times @ 1.., _)) => json!(format!("on-failure:{times}")),
                    _ => json!("on-failure"),
                },
            ),
            "any" => {
                self.set("restart", json!("always"));
                if let Some((_, node)) = attempts {
                    let remedy = "it counts with the condition on-failure only";
                    self.no_counterpart(&format!("{POLICY}.max_attempts"), node, remedy);
                }
            }
            other => {
                let why = format!("\"{other}\" is not none, on-failure or any");
                self.wrong(&format!("{POLICY}.condition"), node, why);
            }
        }
    }

    fn deploy_resources(&mut self, node: &Node) {
        const RESOURCES: &str = "deploy.resources";
        let Some(map) = self.map(RESOURCES, node) else { return };
        self.only(RESOURCES, map, &["limits", "reservations"]);
        for (name, known) in [
            ("limits", &["cpus", "memory", "pids"][..]),
            ("reservations", &["cpus", "memory", "generic_resources", "devices"]),
        ] {
            let place = format!("{RESOURCES}.{name}");
            if let Some(node) = field(map, name)
                && let Some(map) = self.map(&place, node)
            {
                self.only(&place, map, known);
            }
        }
    }

    /// What the host has to have free.
    fn reservations(&mut self, needs: &mut Needs) {
        if let Some(node) = self.get("mem_reservation") {
            let memory = self.read("mem_reservation", node, bytes, "a size (such as 512m)");
            needs.resources.extend(memory.map(|memory| ("memory".to_owned(), json!(memory))));
        }
        let Some(map) = self.resources("reservations") else { return };
        if let Some(node) = field(map, "cpus") {
            let place = format!("{RESERVED}.cpus");
            let cpus = self.read(&place, node, decimal, "a number of cores (such as 0.5)");
            needs.resources.extend(cpus.map(|cpus| ("cpus".to_owned(), json!(cpus))));
        }
        if let Some(node) = field(map, "memory") {
            let place = format!("{RESERVED}.memory");
            let memory = self.read(&place, node, bytes, "a size (such as 512m)");
            needs.resources.extend(memory.map(|memory| ("memory".to_owned(), json!(memory))));
        }
        if let Some(node) = field(map, "generic_resources") {
            self.named_resources(node, needs);
        }
        if let Some(node) = field(map, "devices") {
            self.graphics(&format!("{RESERVED}.devices"), node);
        }
    }

    fn named_resources(&mut self, node: &Node, needs: &mut Needs) {
        let place = format!("{RESERVED}.generic_resources");
        for node in self.list(&place, node) {
            let spec = node.as_map().and_then(|map| map.get("discrete_resource_spec"));
            let spec = spec.and_then(Node::as_map);
            let text = |name: &str| spec.and_then(|map| map.get(name)).and_then(Node::as_text);
            match (text("kind"), text("value").and_then(decimal)) {
                (Some(kind), Some(value)) => {
                    needs.resources.insert(kind.to_owned(), json!(value));
                }
                _ => self.wrong(&place, node, "it is not discrete_resource_spec: {kind, value}"),
            }
        }
    }

    /// `gpus`, which is the same as a reservation of devices that can be that.
    fn gpus(&mut self) {
        let Some(node) = self.get("gpus") else { return };
        match node.as_text() {
            Some("all") => self.set("gpus", json!("all")),
            Some(other) => self.wrong("gpus", node, format!("\"{other}\" is not all or a list")),
            None => self.graphics("gpus", node),
        }
    }

    fn graphics(&mut self, place: &str, node: &Node) {
        for node in self.list(place, node) {
            let Some(map) = self.map(place, node) else { continue };
            self.only(place, map, &["capabilities", "count", "device_ids", "driver", "options"]);
            let able = field(map, "capabilities").map(|node| self.texts(place, node));
            let is_gpu = able.as_ref().is_none_or(|able| able.contains(&"gpu"));
            if !is_gpu {
                let what = format!("devices that can be {}", able.unwrap_or_default().join(", "));
                self.lost(place, node, no_counterpart(what));
                continue;
            }
            if self.has("gpus") {
                self.lost(place, node, no_counterpart("graphics processors beside others"));
                continue;
            }
            let ids = field(map, "device_ids").map(|node| self.texts(place, node));
            let gpus = match (ids, field(map, "count").and_then(Node::as_text)) {
                (Some(ids), None) => json!(ids),
                (None, Some("all" | "-1") | None) => json!("all"),
                (None, Some(count)) if count.parse::<u32>().is_ok() => {
                    json!(count.parse::<u32>().unwrap_or_default())
                }
                (None, Some(count)) => {
                    self.wrong(place, node, format!("\"{count}\" is not a count"));
                    continue;
                }
                (Some(_), Some(_)) => {
                    self.wrong(place, node, "count does not go with device_ids");
                    continue;
                }
            };
            self.set("gpus", gpus);
        }
    }

    fn placement(&mut self, node: &Node, needs: &mut Needs) {
        let Some(map) = self.map(PLACEMENT, node) else { return };
        self.only(PLACEMENT, map, &["constraints", "preferences", "max_replicas_per_node"]);
        if let Some(node) = field(map, "constraints") {
            for text in self.texts("deploy.placement.constraints", node) {
                self.constraint(node, text, needs);
            }
        }
        if let Some(node) = field(map, "preferences") {
            self.preferences(node, needs);
        }
        if let Some(node) = field(map, "max_replicas_per_node") {
            match node.as_text() {
                Some("0") => (),
                Some("1") => {
                    needs.anti_affinity.push(format!("group={}", self.project.id(self.name)))
                }
                _ => self.no_counterpart(
                    "deploy.placement.max_replicas_per_node",
                    node,
                    "1 and 0 have one",
                ),
            }
        }
    }

    /// `node.labels.NAME == VALUE` and the like.
    fn constraint(&mut self, node: &Node, text: &str, needs: &mut Needs) {
        const PLACE: &str = "deploy.placement.constraints";
        let parts = match (text.split_once("!="), text.split_once("==")) {
            (Some(parts), _) => Some((parts, false)),
            (None, Some(parts)) => Some((parts, true)),
            (None, None) => None,
        };
        let Some(((left, right), same)) = parts else {
            let why = format!("\"{text}\" is not NAME==VALUE or NAME!=VALUE");
            return self.wrong(PLACE, node, why);
        };
        let (left, right) = (left.trim(), right.trim());
        if let Some(label) = left.strip_prefix("node.labels.") {
            let sign = if same { "=" } else { "!=" };
            needs.constraints.push(format!("{label}{sign}{right}"));
        } else if left == "node.hostname" {
            let list = if same { &mut needs.affinity } else { &mut needs.anti_affinity };
            list.push(format!("host={right}"));
        } else {
            let why = no_counterpart(format_args!("\"{text}\""));
            self.lost(PLACE, node, why.remedy("node.labels.NAME and node.hostname have one"));
        }
    }

    /// Spreading over the values of one label of the hosts.
    fn preferences(&mut self, node: &Node, needs: &mut Needs) {
        const PLACE: &str = "deploy.placement.preferences";
        for node in self.list(PLACE, node) {
            let over = node.as_map().and_then(|map| map.get("spread")).and_then(Node::as_text);
            let label = over.and_then(|text| text.strip_prefix("node.labels."));
            match (over, label) {
                (Some(_), Some(label)) if needs.spread.is_none() => {
                    needs.spread = Some(label.to_owned());
                }
                (Some(over), _) => {
                    let why = no_counterpart(format_args!("\"{over}\""));
                    self.lost(PLACE, node, why.remedy("one label, node.labels.NAME, has one"));
                }
                (None, _) => match &node.value {
                    Value::Map(_) => self.wrong(PLACE, node, "there is no spread"),
                    _ => self.wrong(PLACE, node, format!("it is {}", node.sort())),
                },
            }
        }
    }
}
