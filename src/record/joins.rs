//! Which networks of Docker's a container is in, and how it is known there.

use std::borrow::Cow;

use super::{Container, DockerNetwork, Network};
use crate::error::{Error, Kind, Result};

/// How a container is joined to Docker's networks. Docker makes it in one, its mode, and it joins
/// the others after that.
#[derive(Clone, Debug, PartialEq)]
pub struct Joins<'a> {
    /// The network mode; nothing where Docker's own default, the bridge, is meant.
    pub mode: Option<&'a str>,
    /// How it is known in the network of its mode, if anything is to be said of that.
    pub first: Option<Cow<'a, DockerNetwork>>,
    /// The networks beside that, in order.
    pub further: Vec<&'a DockerNetwork>,
}

impl<'a> Joins<'a> {
    /// What a document asks for: its private network where there is one, its first network of
    /// Docker's where it names no mode, `none` where its interface is unionize's to make, otherwise
    /// Docker's bridge.
    ///
    /// # Errors
    /// `BadInput` for networks, ports and links that do not go together.
    pub fn of(container: &'a Container) -> Result<Joins<'a>> {
        let mut further: Vec<&DockerNetwork> = Vec::new();
        for network in &container.networks {
            let Network::Docker(network) = network else { continue };
            if further.iter().any(|other| other.network == network.network) {
                return Err(wrong("networks", format_args!("{} stands twice", network.network)));
            }
            further.push(network);
        }
        if let Some(private) = &container.private_network {
            refuse_beside_private(container, &further)?;
            let known = DockerNetwork {
                aliases: vec![private.alias.clone().into()],
                ..DockerNetwork::named(private.name.clone())
            };
            let mode = Some(private.name.as_str());
            return Joins { mode, first: Some(Cow::Owned(known)), further }.checked(container);
        }
        let (mode, at) = match container.network_mode.as_deref() {
            Some(mode) => {
                let name = if mode == "default" { "bridge" } else { mode };
                (Some(mode), further.iter().position(|n| n.network.as_str() == name))
            }
            None if further.is_empty() => (without_one(container), None),
            None => (Some(further[0].network.as_str()), Some(0)),
        };
        let first = at.map(|at| Cow::Borrowed(further.remove(at)));
        Joins { mode, first, further }.checked(container)
    }

    fn checked(self, container: &Container) -> Result<Joins<'a>> {
        if let Some(other) = self.further.iter().find(|n| stands_alone(n.network.as_str())) {
            let why = format_args!("{} goes with no other network", other.network);
            return Err(wrong("networks", why));
        }
        let Some(mode) = self.mode.filter(|mode| stands_alone(mode)) else { return Ok(self) };
        let no = |field, what| Err(wrong(field, format_args!("network mode {mode} {what}")));
        if !self.further.is_empty() {
            no("networks", "goes with no other network")
        } else if !container.links.is_empty() {
            no("links", "knows no links")
        } else if !container.ports.is_empty() {
            no("ports", "publishes none")
        } else {
            Ok(self)
        }
    }
}

/// A container in a network of its client's alone leads nowhere else.
fn refuse_beside_private(container: &Container, networks: &[&DockerNetwork]) -> Result<()> {
    let beside = if container.network_mode.is_some() {
        "network_mode"
    } else if !networks.is_empty() {
        "networks"
    } else if !container.ports.is_empty() {
        "ports"
    } else {
        return Ok(());
    };
    Err(wrong("private_network", format_args!("it does not go with {beside:?}")))
}

/// The mode of a container that names none, and no network of Docker's.
fn without_one(container: &Container) -> Option<&'static str> {
    let attached = container.lease.is_some()
        || !container.addresses.is_empty()
        || !container.networks.is_empty();
    (attached && container.ports.is_empty()).then_some("none")
}

/// Whether a container in this mode is in no other network.
pub fn stands_alone(mode: &str) -> bool {
    matches!(mode, "host" | "none") || mode.starts_with("container:")
}

fn wrong(field: &str, why: std::fmt::Arguments) -> Error {
    Error::new(Kind::BadInput, format_args!("field {field:?}: {why}"))
}
