//! Whether two container documents ask for the same container.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::record::{Container, State, Why, Words, is_default};

/// What would have to change for `current` to be as `wanted` says, field by field; empty when the
/// two ask for the same container.
///
/// Sets (`env`, `ports`, `expose`, `volumes`, capabilities) have no order, `latest` is the tag of
/// an image without one, a command line equals its words. Where a container runs, what became of
/// it and whose lease it is for are not compared.
pub fn compare(wanted: &Container, current: &Container) -> Vec<Why> {
    let mut whys = Vec::new();
    let (wanted, current) = (fields(wanted), fields(current));
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(current.keys()).collect();
    for name in names {
        let (to, from) = (wanted.get(name), current.get(name));
        if to != from {
            whys.push(why(name, from.cloned(), to.cloned()));
        }
    }
    whys
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

/// What a container is, in 128 bits of SHA-256: two have the same print when [`compare`] finds no
/// difference between them, and only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Print([u8; 16]);

impl Print {
    /// The print of a container.
    pub fn of(container: &Container) -> Print {
        let mut plain = normal(container);
        let mut unknown = unknown(&mut plain);
        unknown.retain(|_, value| !is_default(value));
        let known = serde_json::to_vec(&plain).expect("the fields that are known are JSON");
        let unknown = serde_json::to_vec(&unknown).expect("what was read as JSON is JSON");
        let hash = Sha256::new().chain_update(known).chain_update(unknown);
        let digest: [u8; 32] = hash.finalize().into();
        Print(std::array::from_fn(|at| digest[at]))
    }
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
    fields.retain(|_, value| !is_default(value));
    fields
}

/// The container's declaration, with sets in order and everything written in one way.
fn normal(container: &Container) -> Container {
    let mut plain = container.declared();
    plain.lease = None;
    plain.owner = None;
    plain.scale = None;
    plain.scaled_from = None;
    plain.requires = None;
    plain.pull = None;
    set(&mut plain.env);
    set(&mut plain.ports);
    set(&mut plain.expose);
    set(&mut plain.volumes);
    set(&mut plain.volumes_from);
    set(&mut plain.extra_hosts);
    set(&mut plain.links);
    set(&mut plain.devices);
    set(&mut plain.addresses);
    for names in [&mut plain.cap_add, &mut plain.cap_drop] {
        for name in names.iter_mut() {
            *name = name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
        }
        set(names);
    }
    for words in [&mut plain.cmd, &mut plain.entrypoint].into_iter().flatten() {
        *words = Words::List(words.to_vec());
    }
    plain.image = plain.image.canonical();
    plain
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
        let whys = compare(&a, &b);
        assert_eq!(whys.is_empty(), Print::of(&a) == Print::of(&b), "the prints agree");
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
            differ(r#"{"id":"a","image":"b","x":1}"#, r#"{"id":"a","image":"b","y":1}"#),
            ["x", "y"]
        );
        let huge = |n| format!(r#"{{"id":"a","image":"b","x":{n},"cmd":"{n}"}}"#);
        assert_eq!(differ(&huge("1e400"), &huge("2e400")), ["cmd", "x"]);
        assert_eq!(differ(&huge("1e400"), &huge("1e400")), Vec::<String>::new());
        let whys = compare(
            &container(r#"{"id":"a","image":"b","memory":2}"#),
            &container(r#"{"id":"a","image":"b"}"#),
        );
        assert_eq!((&whys[0].from, &whys[0].to), (&None, &Some(Value::from(2))));
    }

    #[test]
    fn a_container_that_does_not_run_is_not_as_it_should_be() {
        assert!(stopped(Some(State::Exited)).is_some() && stopped(Some(State::Created)).is_some());
        assert!(stopped(Some(State::Running)).is_none() && stopped(None).is_none());
    }
}
