//! `host`: a machine with a Docker engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Amounts, Expose, HostRef};
use crate::wire;

wire! {
    /// One Docker host.
    pub struct Host "host" {
        /// Its name, unique among the hosts.
        req id: String,
        /// Where its engine listens, such as `unix:///var/run/docker.sock`.
        req url: String,
        /// Whether it takes containers; absent means that it does.
        opt state: HostState,
        /// What the operator says of it.
        many labels: BTreeMap<String, String>,
        /// What it has for containers in all; `containers` is how many of them it takes. `cpus`,
        /// `memory` and `containers` that are not named are not counted, and of anything else that
        /// is not named it has none.
        many capacity: Amounts,
        /// What is in use on it.
        opt used: Used,
    }
}

impl Host {
    /// The host that is meant when none is named: this machine's own engine.
    pub fn local() -> Host {
        Host {
            id: "local".into(),
            url: "unix:///var/run/docker.sock".into(),
            state: None,
            labels: BTreeMap::new(),
            capacity: Amounts::new(),
            used: None,
            rest: Default::default(),
        }
    }

    /// The host as a container refers to it.
    pub fn as_ref(&self) -> HostRef {
        HostRef { id: self.id.clone(), url: Some(self.url.clone()), rest: Default::default() }
    }
}

/// Whether a host takes containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It does.
    Active,
    /// It takes no more, and what it has is to go elsewhere.
    Drain,
    /// It does not answer.
    Down,
}

wire! {
    /// How much of a host is taken.
    pub struct Used {
        /// Containers on it.
        many containers: u64,
        /// What is taken of its capacity.
        many resources: Amounts,
        /// Host ports that are taken, by containers or by others.
        many ports: Vec<Expose>,
    }
}
