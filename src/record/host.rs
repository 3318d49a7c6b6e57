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
        /// The directory with `ca.pem`, `cert.pem` and `key.pem` for an engine at `tcp://`; absent
        /// means the user's own.
        opt tls: String,
        /// Whether it takes containers; absent means that it does.
        opt state: HostState,
        /// Why it is down.
        opt reason: String,
        /// What the operator says of it, and what its engine does.
        map labels: BTreeMap<String, String>,
        /// What it has for containers in all; `containers` is how many of them it takes. `cpus`,
        /// `memory` and `containers` that are not named are not counted, and of anything else that
        /// is not named it has none.
        map capacity: Amounts,
        /// What is in use on it.
        opt used: Used,
        /// Which engine it has.
        opt engine: About,
        /// What its processor is called, such as `x86_64`.
        opt architecture: String,
        /// Its operating system, as the engine calls it.
        opt os: String,
        /// How long its engine took to say that it is there.
        opt round_trip_ms: f64,
    }
}

impl Host {
    /// The host that is meant when none is named: this machine's own engine.
    pub fn local() -> Host {
        Host::new("local", "unix:///var/run/docker.sock")
    }

    /// A host of which no more is known than where its engine listens.
    pub fn new(id: &str, url: &str) -> Host {
        Host {
            id: id.to_owned(),
            url: url.to_owned(),
            tls: None,
            state: None,
            reason: None,
            labels: BTreeMap::new(),
            capacity: Amounts::new(),
            used: None,
            engine: None,
            architecture: None,
            os: None,
            round_trip_ms: None,
            rest: Default::default(),
        }
    }

    /// The host as a container refers to it.
    pub fn as_ref(&self) -> HostRef {
        HostRef {
            id: self.id.clone(),
            url: Some(self.url.clone()),
            tls: self.tls.clone(),
            rest: Default::default(),
        }
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
    /// Which engine a host has.
    pub struct About {
        /// What it calls itself: `Docker`, or such as `Podman Engine`.
        req name: String,
        /// Its version, such as `20.10.24`.
        req version: String,
        /// The newest version of its interface, such as `1.41`.
        req api: String,
    }
}

wire! {
    /// How much of a host is taken.
    pub struct Used {
        /// Containers on it.
        many containers: u64,
        /// What is taken of its capacity.
        map resources: Amounts,
        /// Host ports that are taken, by containers or by others.
        many ports: Vec<Expose>,
    }
}
