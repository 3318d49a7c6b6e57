//! Whether two container documents ask for the same container.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::record::{Container, State, Why, is_default};

/// Fields that say nothing about how the container is made.
const ASIDE: [&str; 2] = ["lease", "owner"];

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
pub fn stopped(current: &Container) -> Option<Why> {
    match current.state {
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
    let mut plain = container.declared();
    plain.env.sort();
    plain.env.dedup();
    plain.ports.sort();
    plain.ports.dedup();
    plain.expose.sort();
    plain.expose.dedup();
    plain.volumes.sort();
    plain.volumes.dedup();
    for set in [&mut plain.cap_add, &mut plain.cap_drop] {
        for name in set.iter_mut() {
            *name = name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
        }
        set.sort();
        set.dedup();
    }
    for words in [&mut plain.cmd, &mut plain.entrypoint].into_iter().flatten() {
        *words = crate::record::Words::List(words.to_vec());
    }
    let image = plain.image.canonical();
    let unknown = std::mem::take(&mut plain.rest);
    let Ok(Value::Object(map)) = serde_json::to_value(&plain) else {
        unreachable!("the fields that are known can be written as JSON");
    };
    let mut fields: BTreeMap<String, Value> = map.into_iter().collect();
    // A number that is beyond every type is compared as it is written.
    let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    fields.extend(unknown.iter().map(|(name, text)| (name.to_owned(), parse(text))));
    fields.insert("image".to_owned(), Value::String(image));
    fields.retain(|name, value| !ASIDE.contains(&name.as_str()) && !is_default(value));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        serde_json::from_str(text).unwrap()
    }

    fn differ(a: &str, b: &str) -> Vec<String> {
        compare(&container(a), &container(b)).into_iter().map(|why| why.field).collect()
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
        let state =
            |state: &str| container(&format!(r#"{{"id":"a","image":"b","state":"{state}"}}"#));
        assert!(stopped(&state("exited")).is_some() && stopped(&state("created")).is_some());
        assert!(stopped(&state("running")).is_none());
        assert!(stopped(&container(r#"{"id":"a","image":"b"}"#)).is_none());
    }
}
