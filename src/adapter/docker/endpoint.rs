//! Which networks of Docker's a container is in, and how it is known there.
//!
//! Docker makes a container in one network, its mode, and takes the others one by one after that.
//! The default bridge, `host` and `none` are networks by name, but unlike others: the first knows no
//! names, and the other two stand alone.

use std::borrow::Cow;
use std::collections::HashMap;

use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use super::list::{filled, known_set, parsed, words};
use crate::error::Result;
use crate::record::{Container, DockerNetwork, Link, Network, Object, stands_alone};

/// What a container is in that asks for no network; the second is Podman's.
const DEFAULTS: [&str; 2] = ["bridge", "podman"];

/// The networks that are there without anybody making them.
const BUILT_IN: [&str; 4] = ["default", "bridge", "host", "none"];

/// How a container is joined to Docker's networks.
#[derive(Clone, Debug, PartialEq)]
pub struct Joins {
    /// Its network mode.
    pub(super) mode: String,
    /// How it is known in the network of its mode, if anything is to be said of that.
    first: Option<DockerNetwork>,
    /// The networks beside that, in order.
    pub further: Vec<DockerNetwork>,
}

impl Joins {
    /// What a document asks for.
    ///
    /// # Errors
    /// `BadInput` for networks, ports and links that do not go together.
    pub fn of(container: &Container) -> Result<Joins> {
        let asked = crate::record::Joins::of(container)?;
        Ok(Joins {
            mode: asked.mode.unwrap_or("bridge").to_owned(),
            first: asked.first.map(Cow::into_owned),
            further: asked.further.into_iter().cloned().collect(),
        })
    }

    /// All of the networks that must be there, the one of the mode first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let further = self.further.iter().map(|network| network.network.as_str());
        self.made_in().into_iter().chain(further)
    }

    /// The network of the mode, if it is one that somebody made.
    fn made_in(&self) -> Option<&str> {
        let made = !self.mode.starts_with("container:") && !BUILT_IN.contains(&&*self.mode);
        made.then_some(&*self.mode)
    }

    /// Links for the mode's network: Docker keeps those of its own bridge elsewhere.
    pub(super) fn bridge_links(&self, container: &Container) -> Option<Vec<String>> {
        if self.made_in().is_some() { None } else { words(&container.links) }
    }

    /// How the container is to be known in its mode's network.
    pub(super) fn config(&self, container: &Container) -> Option<NetworkingConfig> {
        let links = self.made_in().and_then(|_| words(&container.links));
        if self.first.is_none() && links.is_none() {
            return None;
        }
        let known = self.first.as_ref().map(endpoint).unwrap_or_default();
        let name = if self.mode == "default" { "bridge" } else { &self.mode };
        let endpoints = HashMap::from([(name.to_owned(), EndpointSettings { links, ..known })]);
        Some(NetworkingConfig { endpoints_config: Some(endpoints) })
    }

    /// The networks of a document that a container that is in `joined` is not in.
    pub fn lacking(&self, joined: &[String]) -> Vec<DockerNetwork> {
        let first = self.made_in().and_then(|name| match &self.first {
            Some(first) => Some(first.clone()),
            None => name.parse().ok().map(DockerNetwork::named),
        });
        let all = first.into_iter().chain(self.further.iter().cloned());
        all.filter(|network| !joined.iter().any(|name| name == network.network.as_str())).collect()
    }
}

/// A network as Docker takes it.
pub(super) fn endpoint(network: &DockerNetwork) -> EndpointSettings {
    let ipv4_address = network.ipv4_address.map(|address| address.to_string());
    let ipv6_address = network.ipv6_address.map(|address| address.to_string());
    let given = ipv4_address.is_some() || ipv6_address.is_some();
    EndpointSettings {
        aliases: words(&network.aliases),
        ipam_config: given.then_some(EndpointIpamConfig {
            ipv4_address,
            ipv6_address,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The document with the networks that a container is in. The first is the one of its mode; Docker
/// does not know in which order it joined the others. `given` are aliases that the engine adds.
pub(super) fn told(
    mode: &str,
    endpoints: &HashMap<String, EndpointSettings>,
    bridge_links: &Option<Vec<String>>,
    given: &[&str],
    document: Container,
) -> Container {
    if stands_alone(mode) {
        return Container { network_mode: Some(mode.to_owned()), ..document };
    }
    let is_mode = |name: &str, endpoint: &EndpointSettings| {
        let id = endpoint.network_id.as_deref().unwrap_or_default();
        name == mode || mode.len() >= 12 && id.starts_with(mode)
    };
    let mut names: Vec<(&String, &EndpointSettings)> = endpoints.iter().collect();
    names.sort_by_key(|(name, endpoint)| (!is_mode(name, endpoint), *name));
    let is_default = |name: &str| DEFAULTS.contains(&name);
    let on_bridge = matches!(mode, "" | "default") || is_default(mode);
    let (bridges, others): (Vec<_>, Vec<_>) =
        names.iter().partition(|(name, _)| on_bridge && is_default(name));
    let networks: Vec<Network> = others
        .iter()
        .filter_map(|(name, endpoint)| Some(Network::Docker(network(name, endpoint, given)?)))
        .collect();
    let network_mode = match (on_bridge, bridges.is_empty(), networks.is_empty()) {
        (true, false, false) => Some("bridge".to_owned()),
        (false, _, true) => Some(mode.to_owned()),
        _ => None,
    };
    let links = endpoints.values().filter_map(|endpoint| endpoint.links.as_ref());
    let links = bridge_links.iter().chain(links).flatten().filter_map(|text| link(text));
    Container { network_mode, networks, links: set(links), ..document }
}

fn network(name: &str, endpoint: &EndpointSettings, given: &[&str]) -> Option<DockerNetwork> {
    let ipam = endpoint.ipam_config.as_ref();
    let aliases = endpoint.aliases.as_ref().map(|aliases| {
        aliases.iter().filter(|alias| !given.contains(&alias.as_str())).cloned().collect()
    });
    Some(DockerNetwork {
        network: name.parse().ok()?,
        aliases: known_set(&aliases),
        ipv4_address: ipam.and_then(|ipam| parsed(ipam.ipv4_address.as_deref()?)),
        ipv6_address: ipam.and_then(|ipam| parsed(ipam.ipv6_address.as_deref()?)),
        rest: Object::default(),
    })
}

/// Docker writes a link of its bridge as `/OTHER:/CONTAINER/ALIAS`, and one of another network as it
/// was given.
fn link(text: &str) -> Option<Link> {
    let (other, alias) = text.split_once(':').unwrap_or((text, text));
    let other = other.trim_start_matches('/');
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    if alias == other { parsed(other) } else { parsed(&format!("{other}:{alias}")) }
}

fn set(links: impl Iterator<Item = Link>) -> Vec<Link> {
    let mut links = filled(links).unwrap_or_default();
    links.sort_unstable();
    links.dedup();
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::{Value, json};

    fn container(fields: Value) -> Container {
        let mut document = json!({"id": "web", "image": "busybox"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    fn joins(fields: Value) -> Joins {
        Joins::of(&container(fields)).unwrap()
    }

    fn further(fields: Value) -> (String, Vec<String>) {
        let joins = joins(fields);
        (joins.mode, joins.further.iter().map(|network| network.network.to_string()).collect())
    }

    #[test]
    fn the_first_network_is_the_mode_where_none_is_named() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let three = || json!([{"network": "a", "aliases": ["x"]}, {"bridge": "br1"}, "b", "c"]);
        let found = further(json!({"networks": three()}));
        assert_eq!(found, ("a".to_owned(), named(&["b", "c"])));
        let found = further(json!({"networks": three(), "network_mode": "bridge"}));
        assert_eq!(found, ("bridge".to_owned(), named(&["a", "b", "c"])));
        let found = further(json!({"networks": three(), "network_mode": "b"}));
        assert_eq!(found, ("b".to_owned(), named(&["a", "c"])));
        let config = joins(json!({"networks": three()})).config(&container(json!({}))).unwrap();
        let config = serde_json::to_value(config).unwrap();
        assert_eq!(config["EndpointsConfig"], json!({"a": {"Aliases": ["x"]}}));
    }

    #[test]
    fn the_network_is_unionize_s_when_nothing_else_is_said() {
        let lease = || json!({"key": "om2pqvn3u6qa2", "address": "fd00::1"});
        let mode = |fields: Value| joins(fields).mode;
        assert_eq!(mode(json!({})), "bridge");
        assert_eq!(mode(json!({"lease": lease()})), "none");
        assert_eq!(mode(json!({"addresses": ["2001:db8::5/64"]})), "none");
        assert_eq!(mode(json!({"networks": [{"bridge": "br1"}]})), "none");
        assert_eq!(mode(json!({"networks": [{"bridge": "br1"}], "ports": ["80:80"]})), "bridge");
        assert_eq!(mode(json!({"lease": lease(), "networks": ["a"]})), "a");
    }

    #[test]
    fn what_docker_would_drop_or_cannot_join_is_refused() {
        let kind = |fields: Value| Joins::of(&container(fields)).map_err(|why| why.kind());
        let private = || json!({"name": "n", "alias": "a"});
        for fields in [
            json!({"private_network": private(), "ports": ["80:80"]}),
            json!({"private_network": private(), "network_mode": "host"}),
            json!({"private_network": private(), "networks": ["a"]}),
            json!({"networks": ["a", "b", "a"]}),
            json!({"networks": ["a"], "network_mode": "none"}),
            json!({"networks": ["a", "host"]}),
            json!({"networks": ["host", "a"]}),
            json!({"network_mode": "container:x", "networks": ["a"]}),
            json!({"network_mode": "host", "ports": ["80:80"]}),
            json!({"network_mode": "none", "links": ["db"]}),
        ] {
            assert_eq!(kind(fields.clone()), Err(Kind::BadInput), "{fields}");
        }
        assert!(kind(json!({"private_network": private(), "networks": [{"bridge": "b"}]})).is_ok());
    }

    #[test]
    fn what_is_lacking_is_what_was_not_joined() {
        let lacking = |fields: Value, joined: &[&str]| -> Vec<String> {
            let joined: Vec<String> = joined.iter().map(|name| (*name).to_owned()).collect();
            let lacking = joins(fields).lacking(&joined);
            lacking.iter().map(|network| network.network.to_string()).collect()
        };
        assert_eq!(lacking(json!({"networks": ["a", "b", "c"]}), &["a", "c"]), ["b"]);
        assert_eq!(lacking(json!({"networks": ["a", "b"]}), &[]), ["a", "b"]);
        let mode = json!({"network_mode": "a", "networks": ["b"]});
        assert_eq!(lacking(mode, &["b"]), ["a"]);
        for whole in
            [json!({}), json!({"network_mode": "host"}), json!({"network_mode": "default"})]
        {
            assert_eq!(lacking(whole, &[]), Vec::<String>::new());
        }
    }

    #[test]
    fn links_are_where_docker_looks_for_them() {
        let linked = |mode: &str| {
            let container = container(json!({"network_mode": mode, "links": ["db:sql"]}));
            let joins = Joins::of(&container).unwrap();
            (joins.bridge_links(&container), joins.config(&container).is_some())
        };
        assert_eq!(linked("bridge"), (Some(vec!["db:sql".to_owned()]), false));
        assert_eq!(linked("default"), (Some(vec!["db:sql".to_owned()]), false));
        assert_eq!(linked("site"), (None, true));
        let text = |link: &str| self::link(link).unwrap().to_string();
        assert_eq!(text("/db:/web/sql"), "db:sql");
        assert_eq!(text("/db:/web/db"), "db");
        assert_eq!((text("db:sql").as_str(), text("db").as_str()), ("db:sql", "db"));
    }

    fn read(mode: &str, endpoints: Value) -> Value {
        let endpoints = serde_json::from_value(endpoints).unwrap();
        let document = told(mode, &endpoints, &None, &["0123456789ab"], container(json!({})));
        let document = serde_json::to_value(document).unwrap();
        json!([document["network_mode"], document["networks"]])
    }

    #[test]
    fn networks_are_told_as_they_would_be_asked_for() {
        let own = || json!({"Aliases": ["0123456789ab"]});
        assert_eq!(read("default", json!({"bridge": {}})), json!([null, null]));
        assert_eq!(read("bridge", json!({"podman": own()})), json!([null, null]));
        assert_eq!(read("default", json!({"bridge": {}, "a": own()})), json!(["bridge", ["a"]]));
        assert_eq!(read("b", json!({"a": own(), "b": {}})), json!([null, ["b", "a"]]));
        assert_eq!(read("b", json!({"bridge": {}, "b": {}})), json!([null, ["b", "bridge"]]));
        assert_eq!(read("none", json!({"none": {}})), json!(["none", null]));
        assert_eq!(read("container:x", json!({})), json!(["container:x", null]));
        // Made in one and moved to another, and taken out of its only one.
        assert_eq!(read("default", json!({"a": {}})), json!([null, ["a"]]));
        assert_eq!(read("b", json!({})), json!(["b", null]));
        let id = json!({"NetworkID": "4e437444c9100c04"});
        let mode = read("4e437444c910", json!({"a": {}, "b": id}));
        assert_eq!(mode, json!([null, ["b", "a"]]));
    }
}
