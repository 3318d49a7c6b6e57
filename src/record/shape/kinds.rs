//! The shapes of what is one of several things.

use serde_json::{Value, json};

use super::super::faults::Faults;
use super::super::network::{NEITHER, Whose, whose};
use super::super::{
    Action, DockerNetwork, Gpus, LinkKind, LinkMode, LinkNetwork, Network, NetworkName, Origin,
    Pull, State, Status, Test, Transport, Words,
};
use super::{Defs, Shape};
use crate::error::Kind;

/// The shapes of enums that are written as one of a few words.
macro_rules! words {
    ($($type:ident),*) => {$(
        impl Shape for $type {
            fn schema(_: &mut Defs) -> Value {
                json!({"type": "string", "enum": $type::WORDS})
            }
        }
    )*};
}

words!(Action, Kind, LinkKind, LinkMode, Origin, Pull, State, Status, Transport);

impl Shape for Value {
    fn schema(_: &mut Defs) -> Value {
        json!({})
    }
}

impl Shape for Words {
    /// That every quote is closed is not said.
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Words", |_| {
            json!({
                "description": "A list of words, or a line that is split as a shell splits it",
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}},
                ],
            })
        })
    }

    fn faults(json: &str, found: &mut Faults) {
        match json.starts_with('[') {
            true => Vec::<String>::faults(json, found),
            false => super::plain_faults::<Words>(json, found),
        }
    }
}

impl Shape for Test {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Test", |_| {
            let list = |first: &str, more: Value| {
                let mut list = json!({"type": "array", "prefixItems": [{"const": first}]});
                list.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap());
                list
            };
            let word = json!({"type": "string"});
            json!({
                "description": "A line, [\"NONE\"], [\"CMD\", word, …] or [\"CMD-SHELL\", line]",
                "anyOf": [
                    word,
                    list("NONE", json!({"minItems": 1, "maxItems": 1})),
                    list("CMD", json!({"items": word, "minItems": 2})),
                    list("CMD-SHELL", json!({"items": word, "minItems": 2, "maxItems": 2})),
                ],
            })
        })
    }
}

impl Shape for Gpus {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Gpus", |_| {
            json!({
                "description": "\"all\", how many, or a list of their ids",
                "anyOf": [
                    {"const": "all"},
                    {"type": "integer", "minimum": 0, "maximum": u32::MAX},
                    {"type": "array", "items": {"type": "string", "pattern": "^[a-zA-Z0-9_.:-]+$"}},
                ],
            })
        })
    }
}

impl Shape for Network {
    fn schema(defs: &mut Defs) -> Value {
        let name = NetworkName::schema(defs);
        let both = [DockerNetwork::schema(defs), LinkNetwork::schema(defs)];
        defs.named("Network", |_| {
            let [docker, link] = both;
            let has = |field: &str| json!({"required": [field]});
            let made = json!({"anyOf": [has("bridge"), has("kind"), has("parent")]});
            json!({
                "description": "The name of a network of Docker's, or an object that has either network, or one of bridge, kind and parent",
                "anyOf": [
                    name,
                    {"allOf": [docker, {"not": made}]},
                    {"allOf": [link, made, {"not": has("network")}]},
                ],
            })
        })
    }

    fn faults(json: &str, found: &mut Faults) {
        if !json.starts_with('{') {
            return super::plain_faults::<Network>(json, found);
        }
        let Some(object) = found.object(json) else { return };
        match whose(|field| object.has(field)) {
            Some(Whose::Docker) => DockerNetwork::faults(json, found),
            Some(Whose::Unionize) => LinkNetwork::faults(json, found),
            None => found.value(NEITHER),
        }
    }

    fn unknown(&self, found: &mut Faults) {
        match self {
            Network::Docker(network) => network.unknown(found),
            Network::Link(link) => link.unknown(found),
        }
    }
}
