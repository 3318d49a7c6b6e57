//! The fields of a service, each with what it becomes.

use serde_json::{Map as Json, Value as JsonValue, json};

use super::super::amounts::{bytes, milliseconds};
use super::super::tree::{Node, Value};
use super::draft::Draft;
use super::{foreign, no_counterpart};

impl Draft<'_, '_, '_> {
    /// Reads all fields.
    pub fn all(&mut self) {
        self.image();
        self.environment();
        self.labels();
        self.networking();
        self.ports();
        self.mounts();
        self.limits();
        self.deploy();
        self.set_stop_timeout();
        for (name, node) in self.service {
            if !node.is_null() {
                self.field(name, node);
            }
        }
    }

    /// A field that goes with no other one.
    fn field(&mut self, name: &str, node: &Node) {
        match name {
            "command" => self.words(name, "cmd", node),
            "entrypoint" => self.words(name, "entrypoint", node),
            "user" | "hostname" | "platform" | "stop_signal" => self.copy(name, name, node),
            "working_dir" => self.copy(name, "workdir", node),
            "cap_add" | "cap_drop" | "dns" | "dns_search" => self.copy_list(name, name, node),
            "sysctls" => self.copy_pairs(name, name, node),
            "privileged" | "read_only" => self.copy_flag(name, name, node, false),
            "init" => self.copy_flag(name, name, node, true),
            "shm_size" => {
                let size = self.read(name, node, bytes, "a size (such as 64m)");
                self.set(name, json!(size));
            }
            "pid" | "ipc" => {
                if let Some(mode) = self.text(name, node).map(|text| self.of_service(text)) {
                    self.set(name, json!(mode));
                }
            }
            "pull_policy" => self.pull(node),
            "extra_hosts" => self.extra_hosts(node),
            "healthcheck" => self.healthcheck(node),
            "logging" => self.logging(node),
            "ulimits" => self.ulimits(node),
            "devices" => self.devices(node),
            _ => foreign::told(self, name, node),
        }
    }

    /// Looks at the forms of fields that are read before there is a draft.
    pub fn forms(&mut self) {
        if let Some(node) = self.get("container_name") {
            self.text("container_name", node);
        }
        if let Some(node) = self.get("profiles") {
            self.texts("profiles", node);
        }
        match self.get("depends_on") {
            Some(Node { value: Value::Map(map), .. }) => {
                for (name, node) in map {
                    let place = format!("depends_on.{name}");
                    if let Some(map) = self.map(&place, node) {
                        self.only(&place, map, &["condition", "restart", "required"]);
                    }
                }
            }
            Some(node) => drop(self.texts("depends_on", node)),
            None => (),
        }
    }

    /// Without an image there is nothing to make a container of.
    fn image(&mut self) {
        match self.get("image") {
            Some(node) => self.copy("image", "image", node),
            None => {
                let why = match self.get("build").is_some() {
                    true => "there is none; build it and name it",
                    false => "there is none",
                };
                self.wrong_here("image", why);
            }
        }
    }

    fn words(&mut self, name: &str, to: &str, node: &Node) {
        let words = match &node.value {
            Value::Text(line) => json!(line),
            _ => json!(self.texts(name, node)),
        };
        if words == json!("") || words == json!([]) {
            let why = no_counterpart("an empty one");
            self.lost(name, node, why.remedy("the image's own is used"));
        } else {
            self.set(to, words);
        }
    }

    /// A mode whose `service:NAME` is the service's container.
    pub fn of_service(&self, mode: &str) -> String {
        match mode.strip_prefix("service:") {
            Some(name) => format!("container:{}", self.project.id(name)),
            None => mode.to_owned(),
        }
    }

    fn pull(&mut self, node: &Node) {
        match self.text("pull_policy", node) {
            Some(word @ ("always" | "missing" | "never")) => self.set("pull", json!(word)),
            Some("if_not_present") => self.set("pull", json!("missing")),
            Some(word) if word == "build" || foreign::is_period(word) => {
                self.no_counterpart("pull_policy", node, "the image is fetched when it is missing");
            }
            Some(word) => {
                let what = "always, missing, if_not_present, never or build";
                self.wrong("pull_policy", node, format!("\"{word}\" is not one of {what}"));
            }
            None => (),
        }
    }

    /// `name:address`, `name=address`, or a mapping, with IPv6 addresses in brackets or not.
    fn extra_hosts(&mut self, node: &Node) {
        let mut hosts = Vec::new();
        let mut add = |name: &str, address: &str| {
            let bare = address.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            hosts.push(format!("{name}:{}", bare.unwrap_or(address)));
        };
        if let Value::Map(map) = &node.value {
            for (name, node) in map {
                let field = format!("extra_hosts.{name}");
                self.texts(&field, node).into_iter().for_each(|address| add(name, address));
            }
        } else {
            for text in self.texts("extra_hosts", node) {
                match text.split_once('=').or_else(|| text.split_once(':')) {
                    Some((name, address)) => add(name, address),
                    None => {
                        let why = format!("\"{text}\" is not NAME:ADDRESS or NAME=ADDRESS");
                        self.wrong("extra_hosts", node, why);
                    }
                }
            }
        }
        self.set("extra_hosts", json!(hosts));
    }

    fn healthcheck(&mut self, node: &Node) {
        const FIELD: &str = "healthcheck";
        let Some(map) = self.map(FIELD, node) else { return };
        let times = ["interval", "timeout", "start_period", "start_interval"];
        self.only(FIELD, map, &[&times[..], &["disable", "retries", "test"]].concat());
        let mut check = Json::new();
        if let Some(node) = super::field(map, "disable") {
            let flag = super::super::amounts::flag;
            if self.read("healthcheck.disable", node, flag, "true or false") == Some(true) {
                self.set(FIELD, json!({"test": ["NONE"]}));
                return;
            }
        }
        if let Some(node) = super::field(map, "test") {
            let test = match &node.value {
                Value::Text(line) => json!(["CMD-SHELL", line]),
                _ => json!(self.texts("healthcheck.test", node)),
            };
            check.insert("test".to_owned(), test);
        }
        for name in times {
            let Some(node) = super::field(map, name) else { continue };
            let field = format!("{FIELD}.{name}");
            if name == "start_interval" {
                self.no_counterpart(&field, node, "");
                continue;
            }
            let time = self.read(&field, node, milliseconds, "a time (such as 1m30s)");
            if let Some(time) = time.filter(|time| *time > 0) {
                check.insert(format!("{name}_ms"), json!(time));
            }
        }
        if let Some(node) = super::field(map, "retries") {
            let number = |text: &str| text.parse::<u32>().ok();
            let retries = self.read("healthcheck.retries", node, number, "a whole number");
            check.extend(retries.map(|number| ("retries".to_owned(), json!(number))));
        }
        self.set(FIELD, JsonValue::Object(check));
    }

    fn logging(&mut self, node: &Node) {
        let Some(map) = self.map("logging", node) else { return };
        self.only("logging", map, &["driver", "options"]);
        if let Some(node) = super::field(map, "driver") {
            self.copy("logging.driver", "log_driver", node);
        }
        if let Some(node) = super::field(map, "options") {
            self.copy_pairs("logging.options", "log_options", node);
        }
    }

    fn ulimits(&mut self, node: &Node) {
        let Some(map) = self.map("ulimits", node) else { return };
        let number = |text: &str| text.parse::<i64>().ok();
        let mut limits = Json::new();
        for (name, node) in map {
            let field = format!("ulimits.{name}");
            let limit = match &node.value {
                Value::Map(pair) => {
                    self.only(&field, pair, &["soft", "hard"]);
                    let mut side = |side: &str| {
                        let field = format!("{field}.{side}");
                        match super::field(pair, side) {
                            Some(node) => self.read(&field, node, number, "a whole number"),
                            None => {
                                self.wrong(&field, node, "it is missing");
                                None
                            }
                        }
                    };
                    json!({"soft": side("soft"), "hard": side("hard")})
                }
                _ => json!(self.read(&field, node, number, "a whole number")),
            };
            limits.insert(name.clone(), limit);
        }
        self.set("ulimits", JsonValue::Object(limits));
    }

    /// `host[:inside[:permissions]]` or a mapping; of two for one place inside, the later counts.
    fn devices(&mut self, node: &Node) {
        const FIELD: &str = "devices";
        let mut devices = indexmap::IndexMap::new();
        for node in self.list(FIELD, node) {
            let device = match &node.value {
                Value::Map(map) => {
                    self.only(FIELD, map, &["source", "target", "permissions"]);
                    let mut part = |name: &str| {
                        let node = super::field(map, name)?;
                        self.text(&format!("{FIELD}.{name}"), node).map(str::to_owned)
                    };
                    let source = part("source").unwrap_or_default();
                    let target = part("target").unwrap_or_else(|| source.clone());
                    let may = part("permissions").unwrap_or_else(|| "rwm".to_owned());
                    format!("{source}:{target}:{may}")
                }
                _ => self.text(FIELD, node).unwrap_or_default().to_owned(),
            };
            if !device.starts_with('/') && device.contains('=') {
                self.lost(FIELD, node, no_counterpart(format_args!("\"{device}\"")));
                continue;
            }
            let parts: Vec<&str> = device.split(':').collect();
            let inside = parts.get(1).filter(|inside| inside.starts_with('/'));
            devices.insert(inside.unwrap_or(&parts[0]).to_string(), device);
        }
        self.set(FIELD, json!(devices.into_values().collect::<Vec<_>>()));
    }

    /// Compose gives a container ten seconds to end; cccf(5) gives it none.
    fn set_stop_timeout(&mut self) {
        let seconds = match self.get("stop_grace_period") {
            None => Some(10),
            Some(node) => {
                let what = "a time (such as 1m30s)";
                let time = self.read("stop_grace_period", node, milliseconds, what);
                time.map(|time| time.div_ceil(1000))
            }
        };
        self.set("stop_timeout", json!(seconds));
    }
}
