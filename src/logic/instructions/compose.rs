//! Containers as the services of one compose file.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::create::refuse_own_labels;
use super::{Labels, engine, left_out, yaml};
use crate::error::{Error, Kind, Result};
use crate::record::{
    Container, ContainerId, DockerNetwork, Gpus, Healthcheck, Joins, Pull, Test, Ulimit, Words,
    stands_alone,
};

/// A compose file that is being filled. It is for one engine.
pub struct Compose {
    hosts: bool,
    engine: Option<Option<String>>,
    ids: HashSet<ContainerId>,
    containers: Vec<(Container, Labels)>,
}

impl Compose {
    /// A file without services; whether the containers' hosts are looked at.
    pub fn new(hosts: bool) -> Compose {
        Compose { hosts, engine: None, ids: HashSet::new(), containers: Vec::new() }
    }

    /// Adds a container, with labels of the suite's own. Gives what of it a compose file does not
    /// say, for people.
    ///
    /// # Errors
    /// When the id is taken, when it is on another host than those before, and when the document
    /// says what a compose file cannot.
    pub fn add(&mut self, container: Container, own: Labels) -> Result<Option<String>> {
        refuse_own_labels(&container)?;
        Joins::of(&container)?;
        let engine = if self.hosts { engine(&container)?.map(|engine| engine.url) } else { None };
        if self.engine.get_or_insert_with(|| engine.clone()) != &engine {
            return Err(Error::new(Kind::BadInput, "it is on another host than those before it")
                .why("a compose file is for one engine")
                .remedy("write one for each host, or leave hosts out with --no-host"));
        }
        if !self.ids.insert(container.id.clone()) {
            return Err(Error::new(Kind::BadInput, "there are two of this id"));
        }
        let left_out = left_out::of_service(&container);
        self.containers.push((container, own));
        Ok(left_out)
    }

    /// The URL of the engine that the file is for, if the containers name one.
    pub fn engine(&self) -> Option<&str> {
        self.engine.as_ref()?.as_deref()
    }

    /// The file.
    ///
    /// # Errors
    /// `BadInput` for a container whose networks a compose file cannot say.
    pub fn text(&self) -> Result<String> {
        if self.containers.is_empty() {
            return Ok("services: {}\n".to_owned());
        }
        let mut text = String::from("services:\n");
        let (mut networks, mut volumes) = (BTreeSet::new(), BTreeSet::new());
        for (container, own) in &self.containers {
            let service = Service { container, ids: &self.ids, fields: Map::new() };
            let fields = service.filled(own).map_err(|why| why.at(&container.id))?;
            if let Some(Value::Object(joined)) = fields.get("networks") {
                networks.extend(joined.keys().cloned());
            }
            let source = |volume: &str| volume.split_once(':').map(|(source, _)| source.to_owned());
            let named = container.volumes.iter().filter_map(|volume| source(volume.as_str()));
            volumes.extend(named.filter(|source| !source.starts_with('/')));
            yaml::entry(container.id.as_str(), &Value::Object(fields), 1, &mut text);
        }
        for (kind, names) in [("networks", networks), ("volumes", volumes)] {
            let outside = |name: String| {
                let there = json!({"external": true, "name": name});
                (name, there)
            };
            let all: Map<String, Value> = names.into_iter().map(outside).collect();
            if !all.is_empty() {
                yaml::entry(kind, &Value::Object(all), 0, &mut text);
            }
        }
        Ok(text)
    }
}

/// A service that is being filled.
struct Service<'a> {
    container: &'a Container,
    /// The other services.
    ids: &'a HashSet<ContainerId>,
    fields: Map<String, Value>,
}

impl Service<'_> {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    fn maybe(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    fn list<T: Display>(&mut self, name: &str, values: &[T]) {
        if !values.is_empty() {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            self.set(name, texts);
        }
    }

    fn filled(mut self, own: &Labels) -> Result<Map<String, Value>> {
        let container = self.container;
        self.set("image", container.image.as_str());
        self.set("container_name", container.id.as_str());
        self.maybe("entrypoint", container.entrypoint.as_ref().map(Words::to_vec));
        let cmd = container.cmd.as_ref().map(Words::to_vec);
        self.maybe("command", cmd.filter(|words| !words.is_empty()));
        self.inside(own);
        self.network()?;
        self.rights();
        self.limits();
        self.manner();
        Ok(self.fields)
    }

    fn inside(&mut self, own: &Labels) {
        let container = self.container;
        self.list("environment", &container.env);
        self.list("ports", &container.ports);
        self.list("expose", &container.expose);
        self.list("volumes", &container.volumes);
        let from = |text: &str| {
            let name = text.split(':').next().unwrap_or(text);
            if self.is_service(name) { text.to_owned() } else { format!("container:{text}") }
        };
        let from: Vec<String> = container.volumes_from.iter().map(|v| from(v.as_str())).collect();
        self.list("volumes_from", &from);
        self.maybe("user", container.user.as_deref());
        self.maybe("working_dir", container.workdir.as_deref());
        self.maybe("hostname", container.hostname.as_ref().map(ToString::to_string));
        let mut labels = container.labels.clone();
        labels.extend(own.clone());
        self.map("labels", &labels);
        self.maybe("restart", container.restart.map(|policy| policy.to_string()));
        // One that is elsewhere cannot be named in a compose file.
        let before = container.depends_on.iter().filter(|other| self.ids.contains(*other));
        let before: Vec<&ContainerId> = before.collect();
        self.list("depends_on", &before);
    }

    fn map(&mut self, name: &str, pairs: &Labels) {
        if !pairs.is_empty() {
            self.set(name, json!(pairs));
        }
    }

    fn is_service(&self, name: &str) -> bool {
        name.parse::<ContainerId>().is_ok_and(|id| self.ids.contains(&id))
    }

    /// A mode that another container gives, in compose's words when that is one of the services.
    fn mode(&self, mode: &str) -> String {
        match mode.strip_prefix("container:") {
            Some(name) if self.is_service(name) => format!("service:{name}"),
            _ => mode.to_owned(),
        }
    }

    fn network(&mut self) -> Result<()> {
        let container = self.container;
        let joins = Joins::of(container)?;
        let mode =
            joins.mode.map_or("bridge", |mode| if mode == "default" { "bridge" } else { mode });
        if stands_alone(mode) || mode == "bridge" {
            if let Some(other) = joins.further.first() {
                let what = format!("field \"networks\": {} beside docker's bridge", other.network);
                return Err(Error::new(Kind::BadInput, what).why("a compose file cannot say it"));
            }
            self.set("network_mode", self.mode(mode));
        } else {
            let first = std::iter::once((mode, joins.first.as_deref()));
            let further = joins.further.iter().map(|n| (n.network.as_str(), Some(*n)));
            let all: Vec<(&str, Option<&DockerNetwork>)> = first.chain(further).collect();
            let count = all.len();
            let joined = all.into_iter().enumerate().map(|(at, (name, known))| {
                let mut endpoint = known.map(endpoint).unwrap_or_default();
                if count > 1 {
                    // Compose joins the one of the highest priority first.
                    endpoint.insert("priority".to_owned(), json!(count - at));
                }
                (name.to_owned(), Value::Object(endpoint))
            });
            let joined: Map<String, Value> = joined.collect();
            self.set("networks", joined);
        }
        self.list("dns", &container.dns);
        self.list("dns_search", &container.dns_search);
        self.list("extra_hosts", &container.extra_hosts);
        let other = |text: &str| text.split(':').next().unwrap_or(text).to_owned();
        let (inner, outer): (Vec<_>, Vec<_>) =
            container.links.iter().partition(|link| self.is_service(&other(link.as_str())));
        self.list("links", &inner);
        self.list("external_links", &outer);
        Ok(())
    }

    fn rights(&mut self) {
        let container = self.container;
        let devices: Vec<String> = container
            .devices
            .iter()
            .map(|device| {
                let (host, inside, may) = device.parts();
                format!("{host}:{inside}:{may}")
            })
            .collect();
        self.list("devices", &devices);
        if let Some(gpus) = container.gpus.as_ref().and_then(gpus) {
            self.set("deploy", json!({"resources": {"reservations": {"devices": [gpus]}}}));
        }
        self.map("sysctls", &container.sysctls);
        self.list("cap_add", &container.cap_add);
        self.list("cap_drop", &container.cap_drop);
        self.maybe("privileged", container.privileged.then_some(true));
        self.maybe("read_only", container.read_only.then_some(true));
        let mount = |(path, options): (&String, &String)| match options.as_str() {
            "" => path.clone(),
            options => format!("{path}:{options}"),
        };
        let tmpfs: Vec<String> = container.tmpfs.iter().map(mount).collect();
        self.list("tmpfs", &tmpfs);
    }

    fn limits(&mut self) {
        let container = self.container;
        self.maybe("shm_size", container.shm_size.map(|size| size.0));
        if !container.ulimits.is_empty() {
            let limits =
                container.ulimits.iter().map(|(name, limit)| (name.clone(), ulimit(limit)));
            self.set("ulimits", limits.collect::<Map<String, Value>>());
        }
        self.maybe("mem_limit", container.memory.map(|memory| memory.0));
        self.maybe("memswap_limit", container.memory_swap.map(|swap| json!(swap)));
        self.maybe("cpus", container.cpus.map(|cpus| cpus.to_string()));
        self.maybe("cpu_shares", container.cpu_shares);
        self.maybe("pids_limit", container.pids_limit);
    }

    fn manner(&mut self) {
        let container = self.container;
        let mut logging = Map::new();
        if let Some(driver) = &container.log_driver {
            logging.insert("driver".to_owned(), json!(driver));
        }
        if !container.log_options.is_empty() {
            logging.insert("options".to_owned(), json!(container.log_options));
        }
        self.maybe("logging", (!logging.is_empty()).then_some(logging));
        self.maybe("healthcheck", container.healthcheck.as_ref().map(health));
        self.maybe("stop_signal", container.stop_signal.as_ref().map(ToString::to_string));
        self.maybe("stop_grace_period", container.stop_timeout.map(|s| format!("{s}s")));
        self.maybe("init", container.init);
        self.maybe("ipc", container.ipc.as_ref().map(|ipc| self.mode(ipc.as_str())));
        self.maybe("pid", container.pid.as_ref().map(|pid| self.mode(pid.as_str())));
        self.maybe("platform", container.platform.as_ref().map(ToString::to_string));
        let pull = container.pull.map(|pull| match pull {
            Pull::Always => "always",
            // An older word for "missing", which every compose knows.
            Pull::Missing => "if_not_present",
            Pull::Never => "never",
        });
        self.maybe("pull_policy", pull);
    }
}

fn endpoint(known: &DockerNetwork) -> Map<String, Value> {
    let mut endpoint = Map::new();
    if !known.aliases.is_empty() {
        endpoint.insert("aliases".to_owned(), json!(known.aliases));
    }
    if let Some(address) = known.ipv4_address {
        endpoint.insert("ipv4_address".to_owned(), json!(address));
    }
    if let Some(address) = known.ipv6_address {
        endpoint.insert("ipv6_address".to_owned(), json!(address));
    }
    endpoint
}

fn gpus(gpus: &Gpus) -> Option<Value> {
    match gpus {
        Gpus::Count(0) => None,
        Gpus::Ids(ids) if ids.is_empty() => None,
        Gpus::All => Some(json!({"count": "all", "capabilities": ["gpu"]})),
        Gpus::Count(count) => Some(json!({"count": count, "capabilities": ["gpu"]})),
        Gpus::Ids(ids) => Some(json!({"device_ids": ids, "capabilities": ["gpu"]})),
    }
}

fn ulimit(limit: &Ulimit) -> Value {
    match limit.soft == limit.hard {
        true => json!(limit.soft),
        false => json!({"soft": limit.soft, "hard": limit.hard}),
    }
}

fn health(check: &Healthcheck) -> Value {
    if check.test == Some(Test::None) {
        return json!({"disable": true});
    }
    let mut fields = Map::new();
    if let Some(test) = &check.test {
        fields.insert("test".to_owned(), json!(test.to_vec()));
    }
    let times = [
        ("interval", check.interval_ms),
        ("timeout", check.timeout_ms),
        ("start_period", check.start_period_ms),
    ];
    for (name, ms) in times {
        if let Some(ms) = ms {
            fields.insert(name.to_owned(), json!(format!("{ms}ms")));
        }
    }
    if let Some(retries) = check.retries {
        fields.insert("retries".to_owned(), json!(retries));
    }
    Value::Object(fields)
}
