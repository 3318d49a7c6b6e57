//! What lands on this machine and is to be plugged in.
//!
//! A task of a service that the suite made has the service's document in its labels, under a name that
//! the swarm chose. It is told as that document under its own name, with the networks that its node
//! has put it into beside those of the document: they have interfaces in it that are not to be had
//! twice.

use serde_json::from_str;

use crate::adapter::docker::{DECLARED, Found, OWNER};
use crate::record::{Container, DockerNetwork, Key, Network};

/// The labels that the swarm gives to the containers of its tasks.
const SERVICE: &str = "com.docker.swarm.service.name";
const TASK: &str = "com.docker.swarm.task.name";

/// A node's own bridge, and its way out for those that are in networks of the swarm, which the engine
/// does not tell of.
const BRIDGE: &str = "bridge";
const WAY_OUT: &str = "docker_gwbridge";

/// The container as the service that it is a task of was declared; any other as it is.
pub(super) fn as_declared(found: Found) -> Found {
    match document(&found) {
        Some(document) => {
            let Container { id, host, state, docker, .. } = *found.container;
            let container = Box::new(Container { id, host, state, docker, ..document });
            Found { container, ..found }
        }
        None => found,
    }
}

fn document(found: &Found) -> Option<Container> {
    let label = |name: &str| found.labels.get(name).map(String::as_str);
    let (service, task) = (label(SERVICE)?, label(TASK)?);
    let document: Container = from_str(label(DECLARED)?).ok()?;
    // Labels can come with an image; what the swarm has named itself cannot.
    let slot = found.container.id.as_str().strip_prefix(service)?.strip_prefix('.')?;
    if found.container.id.as_str() != task || document.id.as_str() != service {
        return None;
    }
    // The task that comes in another one's place has its slot and another last part.
    let (slot, _) = slot.rsplit_once('.')?;
    let key = match slot {
        "1" => document.identity(),
        other => {
            Key::derive("task", &[document.identity().to_string().as_bytes(), other.as_bytes()])
        }
    };
    let networks = with_the_node_s(document.networks.clone(), &found.joined);
    let owner = label(OWNER)?.parse().ok();
    Some(Container { owner, key: Some(key), scale: None, networks, ..document })
}

/// The networks of a document, and those that the node has put the task into beside them.
fn with_the_node_s(mut networks: Vec<Network>, joined: &[String]) -> Vec<Network> {
    if joined.iter().any(|name| matches!(name.as_str(), "host" | "none")) {
        return networks;
    }
    let is_in_swarm = !joined.is_empty() && !joined.iter().any(|name| name == BRIDGE);
    let way_out = is_in_swarm.then_some(WAY_OUT);
    for name in joined.iter().map(String::as_str).chain(way_out) {
        let is_known = networks.iter().any(|network| match network {
            Network::Docker(network) => network.network.as_str() == name,
            Network::Link(_) => false,
        });
        if let (false, Ok(name)) = (is_known, name.parse()) {
            networks.push(Network::Docker(DockerNetwork::named(name)));
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn landed(name: &str, labels: &[(&str, &str)]) -> Container {
        let text = format!(r#"{{"id":"{name}","image":"b:1","env":["A=1"],"state":"running"}}"#);
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let found = Found {
            labels: labels.collect(),
            ..Found::new(from_str(&text).unwrap(), String::new())
        };
        *as_declared(found).container
    }

    #[test]
    fn a_task_is_its_service_s_document_under_its_own_name() {
        let declared = r#"{"id":"web","image":"b","networks":[{"bridge":"br1"}],"scale":2}"#;
        let of = |task: &str| {
            landed(task, &[(SERVICE, "web"), (TASK, task), (DECLARED, declared), (OWNER, "edge")])
        };
        let first = of("web.1.abc");
        assert_eq!((first.id.as_str(), first.image.as_str()), ("web.1.abc", "b"));
        assert_eq!((first.networks.len(), first.scale), (1, None));
        assert_eq!(first.owner.unwrap().to_string(), "edge");
        assert!(first.state.is_some() && first.env.is_empty());
        // Who comes in its place is the same to the DHCP server, and its neighbour is not.
        assert_eq!(first.key, of("web.1.def").key);
        assert_ne!(first.key, of("web.2.abc").key);
        let document: Container = from_str(declared).unwrap();
        assert_eq!(first.key, Some(document.identity()));
    }

    #[test]
    fn networks_of_the_node_stand_beside_those_of_the_document() {
        let names = |document: &str, joined: &[&str]| {
            let document: Container = from_str(document).unwrap();
            let joined: Vec<String> = joined.iter().map(ToString::to_string).collect();
            let networks = with_the_node_s(document.networks, &joined);
            serde_json::to_value(networks).unwrap()
        };
        let plugged = r#"{"id":"web","image":"b","networks":["back",{"bridge":"br1"}]}"#;
        let overlay = names(plugged, &["back", "ingress"]);
        assert_eq!(overlay, json!(["back", {"bridge": "br1"}, "ingress", "docker_gwbridge"]));
        let bare = r#"{"id":"web","image":"b","networks":[{"bridge":"br1"}]}"#;
        assert_eq!(names(bare, &["bridge"]), json!([{"bridge": "br1"}, "bridge"]));
        assert_eq!(names(bare, &["host"]), json!([{"bridge": "br1"}]));
    }

    #[test]
    fn labels_that_came_with_an_image_prove_nothing() {
        let declared = r#"{"id":"web","image":"b","networks":[{"bridge":"br1"}]}"#;
        let all = [(SERVICE, "web"), (TASK, "web.1.abc"), (DECLARED, declared), (OWNER, "edge")];
        assert!(landed("other", &all).networks.is_empty());
        assert!(landed("web.1.xyz", &all).networks.is_empty());
        assert!(landed("web.1.abc", &all[1..]).networks.is_empty());
        let others = [(SERVICE, "db"), (TASK, "db.1.abc"), (DECLARED, declared), (OWNER, "edge")];
        assert!(landed("db.1.abc", &others).networks.is_empty());
    }
}
