//! Whether two container documents ask for the same container.

mod glance;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use glance::{Glance, Looker, Print};

use crate::record::{
    Container, DockerNetwork, Network, NetworkName, State, SwarmFile, Why, Words, is_default,
};

/// Whether a field says where a container is or what became of it.
fn is_added(name: &str) -> bool {
    matches!(
        name,
        "host" | "state" | "docker" | "interfaces" | "steps" | "status" | "error" | "error_kind"
    )
}

/// Whether a field is not compared: those that are added, whose it is and what it stands for, what
/// is asked of others and not of the container, and when it comes and goes.
fn is_apart(name: &str) -> bool {
    let is_of_others =
        matches!(name, "kind" | "lease" | "owner" | "scale" | "scaled_from" | "requires" | "pull");
    let is_of_time = matches!(name, "depends_on" | "ttl" | "expires_at");
    is_of_others || is_of_time || is_added(name)
}

/// Fields that an operator does not want to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored(Vec<String>);

impl Ignored {
    /// These.
    pub fn new(fields: Vec<String>) -> Ignored {
        Ignored(fields)
    }

    /// Whether every field is compared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this field is not.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|ignored| ignored == name)
    }
}

/// What would have to change for `current` to be as `wanted` says, field by field; empty when the
/// two ask for the same container.
///
/// Sets (`env`, `ports`, `expose`, `volumes`, capabilities …) have no order, `latest` is the tag of
/// an image without one, a command line equals its words, a mode that names a network that network.
/// A tag that is wanted is there under whichever digest it had when the container was made. Where a
/// container runs, what became of it and whose lease it is for are not compared.
pub fn compare(wanted: &Container, current: &Container, ignored: &Ignored) -> Vec<Why> {
    let is_met = wanted.image.is_met_by(&current.image);
    let mut whys = differences(wanted, current, ignored);
    whys.retain(|why| !(is_met && why.field == "image"));
    whys
}

/// Whether two documents say the same, be it in other words. Each may stand for the other then,
/// whichever of them is wanted and whichever is there.
pub fn agree(one: &Container, other: &Container, ignored: &Ignored) -> bool {
    differences(one, other, ignored).is_empty()
}

fn differences(wanted: &Container, current: &Container, ignored: &Ignored) -> Vec<Why> {
    let (wanted, current) = (fields(wanted), fields(current));
    let names: BTreeSet<&String> = wanted.keys().chain(current.keys()).collect();
    let differs = |name: &&String| wanted.get(*name) != current.get(*name);
    let told = names.into_iter().filter(|name| !ignored.contains(name)).filter(differs);
    told.map(|name| why(name, current.get(name).cloned(), wanted.get(name).cloned())).collect()
}

/// A declared container that does not run: what its state is and should be.
pub fn stopped(state: Option<State>) -> Option<Why> {
    match state {
        None | Some(State::Running | State::Paused | State::Restarting) => None,
        Some(state) => {
            let word = |state| serde_json::to_value(state).ok();
            Some(why("state", word(state), word(State::Running)))
        }
    }
}

/// One difference.
pub fn why(field: &str, from: Option<Value>, to: Option<Value>) -> Why {
    Why { field: field.to_owned(), from, to, rest: Default::default() }
}

/// The fields that are compared, in a form in which equal means equal.
fn fields(container: &Container) -> BTreeMap<String, Value> {
    let mut plain = normal(container);
    let unknown = unknown(&mut plain);
    let Ok(Value::Object(known)) = serde_json::to_value(&plain) else {
        unreachable!("the fields that are known can be written as JSON");
    };
    let mut fields: BTreeMap<String, Value> = known.into_iter().collect();
    fields.extend(unknown);
    fields.retain(|name, value| !is_apart(name) && !is_default(value));
    fields
}

/// The container with its sets in order and everything written in one way.
fn normal(container: &Container) -> Container {
    let mut plain = container.clone();
    set(&mut plain.env);
    set(&mut plain.ports);
    set(&mut plain.expose);
    set(&mut plain.volumes);
    set(&mut plain.volumes_from);
    plain.secrets.sort_by(by_source);
    plain.configs.sort_by(by_source);
    set(&mut plain.extra_hosts);
    set(&mut plain.addresses);
    for device in &mut plain.devices {
        let (host, inside, may) = device.parts();
        let may: String = ['r', 'w', 'm'].into_iter().filter(|c| may.contains(*c)).collect();
        *device = format!("{host}:{inside}:{may}").parse().expect("it is one, written in full");
    }
    set(&mut plain.devices);
    networks(&mut plain);
    for names in [&mut plain.cap_add, &mut plain.cap_drop] {
        for name in names.iter_mut() {
            *name = name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
        }
        set(names);
    }
    for words in [&mut plain.cmd, &mut plain.entrypoint].into_iter().flatten() {
        *words = Words::List(words.to_vec());
    }
    if let (Some(Words::List(entrypoint)), cmd) = (&mut plain.entrypoint, &mut plain.cmd)
        && entrypoint.len() > 1
    {
        // Whoever names an entry point does without the image's command, so where the one ends and
        // the other begins makes no difference.
        let mut words = entrypoint.split_off(1);
        words.extend(cmd.take().iter().flat_map(Words::to_vec));
        *cmd = Some(Words::List(words));
    }
    for link in &mut plain.links {
        if !link.as_str().contains(':') {
            *link = format!("{link}:{link}").parse().expect("a container's name is an alias");
        }
    }
    set(&mut plain.links);
    plain.image = plain.image.canonical();
    plain
}

/// A network that is named as the mode is the first of those of Docker's. The others of Docker's have
/// no order, and neither have the names that the container has in one; the bridges have.
fn networks(plain: &mut Container) {
    let networks = std::mem::take(&mut plain.networks);
    let (mut docker, mut bridges) = (Vec::new(), Vec::new());
    for network in networks {
        match network {
            Network::Docker(mut network) => {
                set(&mut network.aliases);
                docker.push(network);
            }
            bridge => bridges.push(bridge),
        }
    }
    let mut first = 0;
    if let Some(name) = plain.network_mode.as_ref().and_then(|mode| made(mode)) {
        plain.network_mode = None;
        let there = docker.iter().position(|network| network.network == name);
        let network = match there {
            Some(at) => docker.remove(at),
            None => DockerNetwork::named(name),
        };
        docker.insert(0, network);
    }
    if plain.network_mode.is_none() {
        first = docker.len().min(1);
    }
    docker[first..].sort_by(|a, b| a.network.cmp(&b.network));
    plain.networks = docker.into_iter().map(Network::Docker).chain(bridges).collect();
}

/// The network that a mode names, if it is one that somebody made.
fn made(mode: &str) -> Option<NetworkName> {
    let is_built_in = matches!(mode, "none" | "host" | "bridge" | "default");
    (!is_built_in).then(|| mode.parse().ok()).flatten()
}

/// Files of a swarm have no order.
fn by_source(one: &SwarmFile, other: &SwarmFile) -> Ordering {
    (&one.source, &one.target).cmp(&(&other.source, &other.target))
}

fn set<T: Ord>(members: &mut Vec<T>) {
    members.sort_unstable();
    members.dedup();
}

/// Takes the fields that this version does not know, each with its own objects in order. A number
/// that is beyond every type is compared as it is written.
fn unknown(container: &mut Container) -> BTreeMap<String, Value> {
    let rest = std::mem::take(&mut container.rest);
    let parse = |text: &str| {
        let mut value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        value.sort_all_objects();
        value
    };
    rest.iter().map(|(name, text)| (name.to_owned(), parse(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        serde_json::from_str(text).unwrap()
    }

    fn differ(a: &str, b: &str) -> Vec<String> {
        let (a, b) = (container(a), container(b));
        let whys = compare(&a, &b, &Ignored::default());
        assert_eq!(whys.len(), compare(&b, &a, &Ignored::default()).len());
        whys.into_iter().map(|why| why.field).collect()
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let same = [
            (r#"{"id":"a","image":"b"}"#, r#"{"image":"docker.io/library/b:latest","id":"a"}"#),
            (
                r#"{"id":"a","image":"b","env":["A=1","B=2"],"ports":["80:80"]}"#,
                r#"{"id":"a","image":"b","ports":["80:80/tcp"],"env":["B=2","A=1"]}"#,
            ),
            (
                r#"{"id":"a","image":"b","cmd":"sleep  '1 2'","cap_add":["NET_ADMIN"]}"#,
                r#"{"id":"a","image":"b","cmd":["sleep","1 2"],"cap_add":["CAP_net_admin"]}"#,
            ),
            (
                r#"{"id":"a","image":"b","entrypoint":["sh","-c"],"cmd":["x"],"links":["c"]}"#,
                r#"{"id":"a","image":"b","entrypoint":"sh","cmd":"-c x","links":["c:c"]}"#,
            ),
            (
                r#"{"id":"a","image":"b","network_mode":"n","devices":["/dev/fuse"]}"#,
                r#"{"id":"a","image":"b","networks":["n"],"devices":["/dev/fuse:/dev/fuse:mrw"]}"#,
            ),
            (
                r#"{"id":"a","image":"b","networks":["n","p",{"network":"o","aliases":["x","y"]}]}"#,
                r#"{"id":"a","image":"b","network_mode":"n","networks":[{"network":"o","aliases":["y","x"]},"p"]}"#,
            ),
            (
                r#"{"id":"a","image":"b","x":{"p":1,"q":[2]},"host":{"id":"h"}}"#,
                r#"{"id":"a","image":"b","x":{"q":[2],"p":1},"state":"running","owner":"me"}"#,
            ),
        ];
        for (a, b) in same {
            assert_eq!(differ(a, b), Vec::<String>::new(), "{a} {b}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        assert_eq!(differ(r#"{"id":"a","image":"b:1"}"#, r#"{"id":"a","image":"b"}"#), ["image"]);
        assert_eq!(
            differ(
                r#"{"id":"a","image":"b","cmd":"x y"}"#,
                r#"{"id":"a","image":"b","cmd":"y x"}"#
            ),
            ["cmd"]
        );
        assert_eq!(
            differ(
                r#"{"id":"a","image":"b","networks":["n","o"]}"#,
                r#"{"id":"a","image":"b","networks":["o","n"]}"#
            ),
            ["networks"]
        );
        assert_eq!(
            differ(r#"{"id":"a","image":"b","x":1}"#, r#"{"id":"a","image":"b","y":1}"#),
            ["x", "y"]
        );
        let huge = |n| format!(r#"{{"id":"a","image":"b","x":{n},"cmd":"{n}"}}"#);
        assert_eq!(differ(&huge("1e400"), &huge("2e400")), ["cmd", "x"]);
        assert_eq!(differ(&huge("1e400"), &huge("1e400")), Vec::<String>::new());
        let whys = compare(
            &container(r#"{"id":"a","image":"b","memory":2}"#),
            &container(r#"{"id":"a","image":"b"}"#),
            &Ignored::default(),
        );
        assert_eq!((&whys[0].from, &whys[0].to), (&None, &Some(Value::from(2))));
    }

    #[test]
    fn a_tag_that_is_wanted_is_there_under_any_digest() {
        let image = |tag: &str, digit: &str| {
            let digest = digit.repeat(64);
            let digest = digest.is_empty().then(String::new).unwrap_or(format!("@sha256:{digest}"));
            container(&format!(r#"{{"id":"a","image":"b{tag}{digest}"}}"#))
        };
        let none = Ignored::default();
        let differ =
            |wanted: &Container, current: &Container| compare(wanted, current, &none).len();
        assert_eq!(differ(&image(":1", ""), &image(":1", "0")), 0);
        assert_eq!(differ(&image("", ""), &image(":latest", "0")), 0);
        assert_eq!(differ(&image(":2", ""), &image(":1", "0")), 1);
        // Who asks for a digest gets that one.
        assert_eq!(differ(&image(":1", "0"), &image(":1", "")), 1);
        assert_eq!(differ(&image(":1", "0"), &image(":1", "1")), 1);
        assert_eq!(differ(&image("", "0"), &image(":1", "0")), 0);
        assert!(!agree(&image(":1", ""), &image(":1", "0"), &none));
        assert!(!agree(&image("", "0"), &image(":1", "0"), &none));
        assert!(agree(&image("", ""), &image(":latest", ""), &none));
        let mut pinned = image(":1", "0");
        pinned.user = Some("x".to_owned());
        let whys = compare(&image(":1", ""), &pinned, &none);
        assert_eq!(whys.iter().map(|why| &why.field).collect::<Vec<_>>(), ["user"]);
    }

    #[test]
    fn what_is_ignored_or_meant_for_others_makes_no_difference() {
        let a = container(r#"{"id":"a","image":"b","x":1,"memory":2,"env":["A=1"]}"#);
        let b = container(
            r#"{"id":"a","image":"b","scale":3,"pull":"never","requires":{"group":"g"},
                "depends_on":["c"],"ttl":"1h","expires_at":"2099-01-01T00:00:00Z"}"#,
        );
        let ignored = Ignored::new(vec!["x".to_owned(), "env".to_owned()]);
        let whys = compare(&a, &b, &ignored);
        assert_eq!(whys.iter().map(|why| &why.field).collect::<Vec<_>>(), ["memory"]);
    }

    #[test]
    fn a_container_that_does_not_run_is_not_as_it_should_be() {
        assert!(stopped(Some(State::Exited)).is_some() && stopped(Some(State::Created)).is_some());
        assert!(stopped(Some(State::Running)).is_none() && stopped(None).is_none());
    }
}
