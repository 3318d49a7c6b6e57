//! The shapes of what is one of several things.

use serde_json::{Value, json};

use super::super::faults::Faults;
use super::super::{
    Action, BridgeNetwork, DockerNetwork, Gpus, Network, NetworkName, Origin, Pull, State, Status,
    Test, Words,
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

words!(Action, Kind, Origin, Pull, State, Status);

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
        let both = [DockerNetwork::schema(defs), BridgeNetwork::schema(defs)];
        defs.named("Network", |_| {
            let [docker, bridge] = both;
            json!({
                "description": "The name of a network of Docker's, or an object that has either network or bridge",
                "anyOf": [
                    name,
                    {"allOf": [docker, {"not": {"required": ["bridge"]}}]},
                    {"allOf": [bridge, {"not": {"required": ["network"]}}]},
                ],
            })
        })
    }

    fn faults(json: &str, found: &mut Faults) {
        if !json.starts_with('{') {
            return super::plain_faults::<Network>(json, found);
        }
        let Some(object) = found.object(json) else { return };
        match (object.has("network"), object.has("bridge")) {
            (true, false) => DockerNetwork::faults(json, found),
            (false, true) => BridgeNetwork::faults(json, found),
            _ => found.value("a network has either \"network\" or \"bridge\""),
        }
    }

    fn unknown(&self, found: &mut Faults) {
        match self {
            Network::Docker(network) => network.unknown(found),
            Network::Bridge(bridge) => bridge.unknown(found),
        }
    }
}
