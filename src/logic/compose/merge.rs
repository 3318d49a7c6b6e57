//! One compose file over another, as `docker compose -f one -f two` lays them: mappings are joined,
//! lists are appended to, single values replaced, with the exceptions that the Compose
//! Specification makes for some fields of a service.

use std::collections::HashSet;
use std::fmt;

use super::told::Told;
use super::tree::{Map, Node, Over, Value};

/// Where in a file a value stands, as far as it matters for merging.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// The whole file.
    File,
    /// `services`.
    Services,
    /// One service.
    Service,
    /// `networks` or `volumes` of the file.
    Declarations,
    /// One of them.
    Declaration,
    /// Any other.
    Inner(How),
}

/// How a value goes with one that stands in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// By what the two are.
    Plain,
    /// The later one counts.
    Replace,
    /// Both are lists, or mappings that are taken as lists of `NAME=VALUE`.
    Append,
    /// Both are mappings, or lists that are taken as mappings from their values.
    Names,
    /// A log driver and its options, which go together.
    Logging,
    /// `healthcheck`, whose test is replaced.
    Healthcheck,
    /// `ulimits`, which are loose.
    Ulimits,
    /// Mappings are joined, anything else is replaced.
    Loose,
}

impl Place {
    fn child(self, key: &str) -> Place {
        let inner = match (self, key) {
            (Place::File, "services") => return Place::Services,
            (Place::Services, _) => return Place::Service,
            (Place::File, "networks" | "volumes") => return Place::Declarations,
            (Place::Declarations, _) => return Place::Declaration,
            (Place::Service, "command" | "entrypoint" | "build" | "gpus") => How::Replace,
            (
                Place::Service,
                "annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "environment"
                | "extra_hosts" | "label_file" | "labels" | "sysctls" | "tmpfs",
            )
            | (Place::Declaration, "labels") => How::Append,
            (Place::Service, "depends_on" | "networks" | "models") => How::Names,
            (Place::Service, "logging") => How::Logging,
            (Place::Service, "healthcheck") => How::Healthcheck,
            (Place::Service, "ulimits") => How::Ulimits,
            (Place::Inner(How::Healthcheck), "test") => How::Replace,
            (Place::Inner(How::Ulimits), _) => How::Loose,
            _ => How::Plain,
        };
        Place::Inner(inner)
    }

    fn how(self) -> How {
        match self {
            Place::Inner(how) => how,
            _ => How::Plain,
        }
    }
}

/// The names that lead to a value.
pub struct Path<'a> {
    up: Option<&'a Path<'a>>,
    name: &'a str,
}

impl<'a> Path<'a> {
    /// What the first name is.
    pub fn new(name: &'a str) -> Path<'a> {
        Path { up: None, name }
    }

    fn child<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { up: Some(self), name }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.up {
            Some(up) if !up.name.is_empty() => write!(f, "{up}.{}", self.name),
            _ => f.write_str(self.name),
        }
    }
}

/// Lays the fields of `over` onto those of `base`. What cannot be merged is told, and stays.
pub fn maps(base: &mut Map, over: Map, place: Place, path: &Path, told: &mut Told) {
    for (key, node) in over {
        let path = path.child(&key);
        match (node.over, base.get_mut(&key)) {
            (Over::Remove, _) => {
                base.shift_remove(&key);
            }
            (Over::Merge, Some(there)) => nodes(there, node, place.child(&key), &path, told),
            (Over::Replace, _) | (Over::Merge, None) => {
                let node = Node { over: Over::Merge, ..node };
                base.insert(key, node);
            }
        }
    }
}

/// Takes out what only removes: there was nothing before it.
pub fn settle(map: &mut Map) {
    map.retain(|_, node| node.over != Over::Remove);
    map.values_mut().for_each(settle_node);
}

fn settle_node(node: &mut Node) {
    node.over = Over::Merge;
    match &mut node.value {
        Value::Map(map) => settle(map),
        Value::List(list) => {
            list.retain(|node| node.over != Over::Remove);
            list.iter_mut().for_each(settle_node);
        }
        Value::Null | Value::Text(_) => (),
    }
}

fn nodes(base: &mut Node, over: Node, place: Place, path: &Path, told: &mut Told) {
    let how = place.how();
    if how == How::Replace {
        *base = over;
        return;
    }
    if over.is_null() {
        return;
    }
    match how {
        How::Append => {
            let mut over = over;
            entries(base);
            take_away(base, &mut over);
            entries(&mut over);
            join(base, over, place, path, told);
        }
        How::Names => {
            names(base);
            let mut over = over;
            names(&mut over);
            join(base, over, place, path, told);
        }
        How::Logging if !same_driver(base, &over) => *base = over,
        _ => join(base, over, place, path, told),
    }
}

fn join(base: &mut Node, over: Node, place: Place, path: &Path, told: &mut Told) {
    let sorts = (base.sort(), over.sort());
    match (&mut base.value, over.value) {
        (Value::Map(base), Value::Map(over)) => maps(base, over, place, path, told),
        (Value::List(base), Value::List(over)) => base.extend(over),
        (Value::Null, value) | (Value::Text(_), value @ Value::Text(_)) => {
            *base = Node { value, ..over };
        }
        (_, value) if place.how() == How::Loose => *base = Node { value, ..over },
        _ => {
            let (before, after) = sorts;
            let why = format!("{after} cannot be merged with {before} of an earlier file");
            told.wrong(over.file, &[path], why);
        }
    }
}

/// Makes a list of what may be one or a mapping: `NAME=VALUE`, or `NAME` alone without a value.
pub fn entries(node: &mut Node) {
    let list = match std::mem::replace(&mut node.value, Value::Null) {
        Value::Map(map) => map.into_iter().flat_map(|(key, node)| entry(&key, node)).collect(),
        Value::Text(text) => vec![Node::text(node.file, text)],
        Value::Null => return,
        Value::List(list) => list,
    };
    node.value = Value::List(list);
}

/// Takes out of a list of entries those that a mapping over it removes.
fn take_away(base: &mut Node, over: &mut Node) {
    let Value::Map(map) = &mut over.value else { return };
    let gone: HashSet<String> =
        map.extract_if(.., |_, node| node.over == Over::Remove).map(|(key, _)| key).collect();
    let Value::List(list) = &mut base.value else { return };
    if !gone.is_empty() {
        list.retain(|node| {
            let text = node.as_text().unwrap_or_default();
            !gone.contains(text.split_once('=').map_or(text, |(name, _)| name))
        });
    }
}

fn entry(key: &str, node: Node) -> Vec<Node> {
    match node.value {
        Value::Null => vec![Node::text(node.file, key)],
        Value::Text(text) => vec![Node::text(node.file, format!("{key}={text}"))],
        Value::List(list) => list.into_iter().flat_map(|node| entry(key, node)).collect(),
        // Whoever reads it finds it to be no text, and says so.
        Value::Map(_) => vec![node],
    }
}

/// Makes a mapping of what may be one or a list of names.
fn names(node: &mut Node) {
    if !matches!(&node.value, Value::List(list) if list.iter().all(|n| n.as_text().is_some())) {
        return;
    }
    let Value::List(list) = std::mem::replace(&mut node.value, Value::Null) else { return };
    let named = list.into_iter().filter_map(|node| match node.value {
        Value::Text(name) => Some((name, Node { value: Value::Null, ..node })),
        _ => None,
    });
    node.value = Value::Map(named.collect());
}

/// Options of one log driver mean nothing to another.
fn same_driver(base: &Node, over: &Node) -> bool {
    let driver = |node: &Node| {
        let driver = node.as_map().and_then(|map| map.get("driver"));
        driver.and_then(|driver| driver.as_text().map(str::to_owned))
    };
    match (driver(base), driver(over)) {
        (Some(base), Some(over)) => base == over,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Budget;
    use super::super::yaml::documents;
    use super::*;

    fn service(text: &str) -> Map {
        let text = format!("services: {{web: {{{text}}}}}");
        documents(&text, 0, &mut Budget::default()).unwrap().remove(0)
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "~".to_owned(),
            Value::Text(text) => text.clone(),
            Value::List(list) => list.iter().map(show).collect::<Vec<_>>().join(" "),
            Value::Map(map) => {
                let pairs: Vec<String> =
                    map.iter().map(|(key, node)| format!("{key}:{}", show(node))).collect();
                format!("{{{}}}", pairs.join(" "))
            }
        }
    }

    fn merged(one: &str, two: &str) -> (String, Vec<String>) {
        let mut told = Told::default();
        let mut all = service(one);
        maps(&mut all, service(two), Place::File, &Path::new(""), &mut told);
        settle(&mut all);
        let wrong = told.wrong.iter().map(ToString::to_string).collect();
        (show(&all["services"].as_map().unwrap()["web"]), wrong)
    }

    #[test]
    fn each_field_is_merged_by_its_rule() {
        for (one, two, want) in [
            ("image: a", "image: b", "{image:b}"),
            ("image: a", "image: ~", "{image:a}"),
            ("command: [a, b]", "command: [c]", "{command:c}"),
            ("command: [a, b]", "command: ~", "{command:~}"),
            ("command: [a]", "command: b c", "{command:b c}"),
            (
                "healthcheck: {test: [a], retries: 1}",
                "healthcheck: {test: b}",
                "{healthcheck:{test:b retries:1}}",
            ),
            ("environment: {A: 1, B: ~}", "environment: [A=2, C]", "{environment:A=1 B A=2 C}"),
            ("dns: 192.0.2.1", "dns: [192.0.2.2]", "{dns:192.0.2.1 192.0.2.2}"),
            ("extra_hosts: {a: [x, y]}", "extra_hosts: ['b:z']", "{extra_hosts:a=x a=y b:z}"),
            ("ports: [1]", "ports: [2]", "{ports:1 2}"),
            (
                "networks: [a, b]",
                "networks: {b: {aliases: [x]}, c: ~}",
                "{networks:{a:~ b:{aliases:x} c:~}}",
            ),
            (
                "depends_on: {a: {condition: x}}",
                "depends_on: [a, b]",
                "{depends_on:{a:{condition:x} b:~}}",
            ),
            (
                "logging: {driver: a, options: {x: 1}}",
                "logging: {driver: b}",
                "{logging:{driver:b}}",
            ),
            (
                "logging: {driver: a, options: {x: 1}}",
                "logging: {options: {y: 2}}",
                "{logging:{driver:a options:{x:1 y:2}}}",
            ),
            (
                "ulimits: {nproc: 1, n: {soft: 1, hard: 2}}",
                "ulimits: {nproc: {soft: 3}, n: {soft: 0}}",
                "{ulimits:{nproc:{soft:3} n:{soft:0 hard:2}}}",
            ),
            (
                "deploy: {resources: {limits: {cpus: 1}}}",
                "deploy: {resources: {limits: {memory: 2}}}",
                "{deploy:{resources:{limits:{cpus:1 memory:2}}}}",
            ),
            ("ports: [1], image: a", "ports: !reset [], user: !reset x", "{image:a}"),
            ("ports: [1]", "ports: !override [2]", "{ports:2}"),
            ("environment: {A: 1}", "environment: {A: !reset ~}", "{environment:}"),
        ] {
            assert_eq!(merged(one, two), (want.to_owned(), vec![]), "{one} | {two}");
        }
    }

    #[test]
    fn what_cannot_be_merged_is_told() {
        let (all, wrong) = merged("ports: [1], image: [x]", "ports: {a: b}, image: y");
        assert_eq!(all, "{ports:1 image:x}");
        assert_eq!(
            wrong,
            [
                "services.web.ports: a mapping cannot be merged with a list of an earlier file",
                "services.web.image: a single value cannot be merged with a list of an earlier file"
            ]
        );
    }
}
