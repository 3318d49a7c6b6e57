//! Which swarm a manager is of.

use std::sync::Arc;

use bollard::models::{LocalNodeState, SwarmInfo};

use super::refusal;
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};

/// A swarm's own id: every manager of it says the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwarmId(Arc<str>);

impl SwarmId {
    /// The swarm with that id.
    pub fn new(id: &str) -> SwarmId {
        SwarmId(id.into())
    }
}

impl Engine {
    /// The swarm that the engine is a manager of; nothing where it does not let itself be asked, as
    /// behind a proxy that lets less through.
    ///
    /// # Errors
    /// `Refused` for an engine that is no manager, `Unavailable` while it cannot say it, as without a
    /// leader. Otherwise why it cannot be reached.
    pub fn swarm(&self) -> Result<Option<SwarmId>> {
        let doing = || format!("ask {} for its swarm", self.url);
        match self.ask(async |engine| engine.info().await) {
            Ok(info) => info.swarm.map(told).transpose().map_err(|why| why.at(doing())),
            Err(why) => match refusal(doing(), &why) {
                why if is_kept_back(&why) => Ok(None),
                why => Err(why),
            },
        }
    }
}

fn is_kept_back(why: &Error) -> bool {
    matches!(why.kind(), Kind::NotFound | Kind::NotPermitted | Kind::BadInput)
}

/// Without a leader a manager knows no more of its swarm than that it is a manager.
fn told(about: SwarmInfo) -> Result<SwarmId> {
    let cluster = about.cluster.and_then(|cluster| cluster.id).filter(|id| !id.is_empty());
    let is_manager = about.control_available == Some(true);
    match (cluster, about.local_node_state) {
        (Some(id), _) if is_manager => Ok(SwarmId::new(&id)),
        _ if is_manager => Err(Error::new(Kind::Unavailable, "the swarm has no leader now")
            .remedy("run it again when most of its managers are there")),
        (
            _,
            Some(
                state @ (LocalNodeState::PENDING | LocalNodeState::LOCKED | LocalNodeState::ERROR),
            ),
        ) => Err(Error::new(Kind::Unavailable, format_args!("its part in a swarm is {state}"))),
        _ => Err(Error::new(Kind::Refused, "the engine is no manager of a swarm")
            .remedy("name the URL of a manager")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(about: Value) -> Result<SwarmId> {
        told(serde_json::from_value(about).unwrap())
    }

    #[test]
    fn only_a_manager_with_a_leader_knows_its_swarm() {
        let manager = |cluster: Value| json!({"LocalNodeState": "active", "ControlAvailable": true, "Cluster": cluster});
        assert_eq!(of(manager(json!({"ID": "abc"}))).unwrap(), SwarmId::new("abc"));
        for without in [json!({"ID": ""}), json!({}), Value::Null] {
            let why = of(manager(without)).unwrap_err();
            assert_eq!(why.kind(), Kind::Unavailable);
            assert!(why.to_string().contains("no leader"), "{why}");
        }
        for (state, kind) in [
            ("pending", Kind::Unavailable),
            ("locked", Kind::Unavailable),
            ("error", Kind::Unavailable),
            ("active", Kind::Refused),
            ("inactive", Kind::Refused),
            ("", Kind::Refused),
        ] {
            let why = of(json!({"LocalNodeState": state, "ControlAvailable": false})).unwrap_err();
            assert_eq!(why.kind(), kind, "{state}: {why}");
        }
    }
}
