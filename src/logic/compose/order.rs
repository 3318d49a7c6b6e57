//! Which services there are to be, and which comes before which.

use std::collections::{HashMap, HashSet};

use super::tree::{Map, Node, Value};

/// A service that another one needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency<'a> {
    /// Its name.
    pub name: &'a str,
    /// The field that says so.
    pub field: &'static str,
    /// Where that stands.
    pub node: &'a Node,
}

/// The services that a service names, in the order in which its fields do.
pub fn dependencies(service: &Map) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    match service.get("depends_on").map(|node| (node, &node.value)) {
        Some((node, Value::Map(map))) => {
            let field = "depends_on";
            found.extend(map.keys().map(|name| Dependency { name, field, node }));
        }
        Some((node, _)) => found.extend(named(node, "depends_on", |text| Some(text))),
        None => (),
    }
    for (field, name) in [
        ("links", before_colon as fn(&str) -> Option<&str>),
        ("volumes_from", |text| match text.starts_with("container:") {
            true => None,
            false => before_colon(text),
        }),
    ] {
        if let Some(node) = service.get(field) {
            found.extend(named(node, field, name));
        }
    }
    for field in ["network_mode", "ipc", "pid"] {
        let Some(node) = service.get(field) else { continue };
        if let Some(name) = node.as_text().and_then(|text| text.strip_prefix("service:")) {
            found.push(Dependency { name, field, node });
        }
    }
    found
}

/// What the texts of a list name; a text alone is a list of one.
fn named<'a>(
    list: &'a Node,
    field: &'static str,
    name: fn(&str) -> Option<&str>,
) -> impl Iterator<Item = Dependency<'a>> {
    let one = move |node: &'a Node| {
        let name = node.as_text().and_then(name)?;
        Some(Dependency { name, field, node })
    };
    let list = match &list.value {
        Value::List(list) => list.as_slice(),
        _ => std::slice::from_ref(list),
    };
    list.iter().filter_map(one)
}

fn before_colon(text: &str) -> Option<&str> {
    text.split(':').next()
}

/// The profiles of a service.
pub fn profiles(service: &Map) -> Vec<&str> {
    match service.get("profiles").map(|node| &node.value) {
        Some(Value::List(list)) => list.iter().filter_map(Node::as_text).collect(),
        Some(Value::Text(one)) => vec![one],
        _ => Vec::new(),
    }
}

/// The services that are there under these profiles: those without any, and those of which one is
/// given; `*` gives all. Those that are `wanted` by name are there, and their profiles are given.
pub fn active<'a>(services: &'a Map, given: &[String], wanted: &[String]) -> HashSet<&'a str> {
    let mut given: HashSet<&str> = given.iter().map(String::as_str).collect();
    for name in wanted {
        if let Some(service) = services.get(name).and_then(Node::as_map) {
            given.extend(profiles(service));
        }
    }
    let empty = Map::new();
    let is_active = |service: &Map| {
        let own = profiles(service);
        own.is_empty() || given.contains("*") || own.iter().any(|profile| given.contains(profile))
    };
    let there = |(_, node): &(&String, &Node)| is_active(node.as_map().unwrap_or(&empty));
    services.iter().filter(there).map(|(name, _)| name.as_str()).collect()
}

/// The services that the first ones lead to, each behind those that it depends on, and otherwise in
/// the order given. Names that are not active lead nowhere.
///
/// # Errors
/// The services of a circle, the first one at its end again.
pub fn order<'a>(
    services: &'a Map,
    active: &HashSet<&'a str>,
    first: impl Iterator<Item = &'a str>,
) -> Result<Vec<&'a str>, Vec<&'a str>> {
    let mut walk = Walk { services, active, finished: HashMap::new(), order: Vec::new() };
    for name in first {
        walk.visit(name)?;
    }
    Ok(walk.order)
}

struct Walk<'a, 'b> {
    services: &'a Map,
    active: &'b HashSet<&'a str>,
    /// Whether a service that was seen is finished.
    finished: HashMap<&'a str, bool>,
    order: Vec<&'a str>,
}

impl<'a> Walk<'a, '_> {
    /// Adds a service behind all that it leads to. Without recursion: a chain may be very long.
    fn visit(&mut self, name: &'a str) -> Result<(), Vec<&'a str>> {
        let mut trail: Vec<(&'a str, std::vec::IntoIter<&'a str>)> = Vec::new();
        self.enter(name, &mut trail)?;
        while let Some((name, next)) = trail.last_mut() {
            match next.next() {
                Some(next) => self.enter(next, &mut trail)?,
                None => {
                    self.finished.insert(name, true);
                    self.order.push(name);
                    trail.pop();
                }
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        name: &'a str,
        trail: &mut Vec<(&'a str, std::vec::IntoIter<&'a str>)>,
    ) -> Result<(), Vec<&'a str>> {
        if !self.active.contains(name) {
            return Ok(());
        }
        match self.finished.get(name) {
            Some(true) => Ok(()),
            Some(false) => {
                let names = trail.iter().map(|(name, _)| *name);
                Err(names.skip_while(|other| *other != name).chain([name]).collect())
            }
            None => {
                self.finished.insert(name, false);
                let service = self.services.get(name).and_then(Node::as_map);
                let next: Vec<&str> =
                    service.map(dependencies).into_iter().flatten().map(|d| d.name).collect();
                trail.push((name, next.into_iter()));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Budget;
    use super::super::yaml::documents;
    use super::*;

    fn services(text: &str) -> Map {
        documents(text, 0, &mut Budget::default()).unwrap().remove(0)
    }

    fn ordered(text: &str, profiles: &[&str], wanted: &[&str]) -> Result<String, String> {
        let all = services(text);
        let own = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let (profiles, wanted) = (own(profiles), own(wanted));
        let active = active(&all, &profiles, &wanted);
        let first: Vec<&str> = match wanted.is_empty() {
            true => all.keys().map(String::as_str).collect(),
            false => {
                all.keys().map(String::as_str).filter(|n| wanted.iter().any(|w| w == n)).collect()
            }
        };
        order(&all, &active, first.into_iter()).map(|o| o.join(" ")).map_err(|c| c.join(" "))
    }

    #[test]
    fn what_is_needed_comes_first() {
        let text = "
web: {depends_on: [app], links: ['cache:c']}
app: {depends_on: {db: {condition: service_healthy}}, volumes_from: ['data:ro', 'container:x']}
db: {network_mode: 'service:net'}
cache: {pid: 'service:app'}
net: ~
data: {}
debug: {profiles: [dev], depends_on: [web]}";
        assert_eq!(ordered(text, &[], &[]).unwrap(), "net db data app cache web");
        assert_eq!(ordered(text, &["dev"], &[]).unwrap(), "net db data app cache web debug");
        assert_eq!(ordered(text, &["*"], &["db"]).unwrap(), "net db");
        assert_eq!(ordered(text, &[], &["debug"]).unwrap(), "net db data app cache web debug");
    }

    #[test]
    fn a_circle_is_told_by_its_names() {
        let text = "z: {depends_on: [a]}\na: {links: [b]}\nb: {depends_on: [a]}";
        assert_eq!(ordered(text, &[], &[]).unwrap_err(), "a b a");
        assert_eq!(ordered("a: {depends_on: [a]}", &[], &[]).unwrap_err(), "a a");
        assert_eq!(ordered("a: {depends_on: [gone]}", &[], &[]).unwrap(), "a");
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let mut text = String::new();
        for at in 0..50_000 {
            text += &format!("s{at}: {{depends_on: [s{}]}}\n", at + 1);
        }
        let order = ordered(&(text + "s50000: {}"), &[], &[]).unwrap();
        assert!(order.starts_with("s50000 s49999 ") && order.ends_with(" s1 s0"));
    }
}
