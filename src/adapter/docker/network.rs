//! The private networks: bridges without a way out, each for the containers of one client.
//!
//! The engine lets two networks have one name, and takes a network away under a container that was
//! made for it and has not been started. So whoever needs one makes sure of it right before, and
//! again when a start finds it gone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::models::{ContainerSummary, Network, NetworkConnectRequest, NetworkCreateRequest};
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder};

use super::endpoint::endpoint;
use super::error::{failure, is_missing, status};
use super::label::OWNER;
use super::podman::once_clear;
use super::{Engine, Joins, SHORT_ID, soon};
use crate::error::{Error, Kind, Result};
use crate::record::{DockerNetwork, NetworkName, Owner};

/// How often a network of a name may turn up beside one that is there.
const TRIES: u32 = 10;

/// By how much longer each time whoever else is at work on it is left alone.
const PAUSE: Duration = Duration::from_millis(20);

impl Engine {
    /// Makes sure that all networks that a container joins are there, apart from `private`.
    ///
    /// # Errors
    /// `NotFound` when one is not: the engine itself would see that only at the start.
    pub fn need_networks(&self, joins: &Joins, private: Option<&NetworkName>) -> Result<()> {
        let private = private.map(NetworkName::as_str);
        for name in joins.names().filter(|name| Some(*name) != private) {
            match self.carrier.block_on(soon(self.docker.inspect_network(name, None))) {
                Ok(found) if is_called(&found.id, &found.name, name) => (),
                Err(why) if !is_missing(&why) && !is_of_several(&why) => {
                    return Err(failure(format_args!("inspect network {name}"), &why));
                }
                Ok(_) | Err(_) => {
                    return Err(Error::new(Kind::NotFound, format_args!("join network {name}"))
                        .why("there is no such network on the host")
                        .remedy("make it, or take it out of the document"));
                }
            }
        }
        Ok(())
    }

    /// Puts a container into one more network; does nothing when it is in it.
    pub fn join(&self, docker_id: &str, network: &DockerNetwork) -> Result<()> {
        let name = network.network.as_str();
        let wanted = NetworkConnectRequest {
            container: docker_id.to_owned(),
            endpoint_config: Some(endpoint(network)),
        };
        match self.carrier.block_on(self.docker.connect_network(name, wanted)) {
            Ok(()) => Ok(()),
            Err(why) if why.to_string().contains("already exists in network") => Ok(()),
            Err(why) => Err(failure(format_args!("join network {name}"), &why)),
        }
    }

    /// Makes sure that there is one network of that name, and that it is `owner`'s. Whether it had
    /// to be made.
    ///
    /// Where two were made at the same time the older one stays, unless only the younger one is in
    /// use: it may have been there to be seen first.
    ///
    /// # Errors
    /// `Refused` when the name belongs to a network that is not `owner`'s, or the engine has no
    /// range of addresses left for another one.
    pub fn have_network(&self, name: &NetworkName, owner: &Owner) -> Result<bool> {
        let mut is_made = false;
        for tried in 0..TRIES {
            std::thread::sleep(PAUSE * tried);
            let there = self.networks(&[("name", name.to_string())])?;
            let mut there: Vec<Network> = there
                .into_iter()
                .filter(|found| found.name.as_deref() == Some(name.as_str()))
                .collect();
            there.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
            let Some((oldest, younger)) = there.split_first() else {
                is_made |= self.make_network(name, owner)?;
                continue;
            };
            if !is_of(oldest, owner) {
                return Err(foreign(name));
            }
            if younger.is_empty() {
                return Ok(is_made);
            }
            let mut is_kept = false;
            for surplus in younger.iter().filter(|network| is_of(network, owner)) {
                is_kept |= !self.remove_network(surplus)?;
            }
            if is_kept {
                self.remove_network(oldest)?;
            }
        }
        Err(Error::new(Kind::Refused, format_args!("use network {name}"))
            .why("there are several of that name"))
    }

    /// The ids of the containers that are made for the network of that name, be they running or
    /// not; nothing when it is not there.
    ///
    /// # Errors
    /// As [`Engine::have_network`].
    pub fn made_for(&self, name: &NetworkName, owner: &Owner) -> Result<Option<Vec<String>>> {
        let there = self.networks(&[("name", name.to_string())])?;
        let found = there.into_iter().find(|found| found.name.as_deref() == Some(name.as_str()));
        let Some(network) = found else { return Ok(None) };
        if !is_of(&network, owner) {
            return Err(foreign(name));
        }
        let known_by: Vec<String> = network.id.into_iter().chain(network.name).collect();
        let listed = self.summaries(&HashMap::from([("network", known_by)]))?;
        Ok(Some(listed.into_iter().filter_map(|container| container.id).collect()))
    }

    /// Takes away the networks of that name that are `owner`'s and that no container is made for,
    /// be it running or not. Whether there were any.
    pub fn drop_network(&self, name: &NetworkName, owner: &Owner) -> Result<bool> {
        let there = self.networks(&[("name", name.to_string()), ("label", of(owner))])?;
        let named = there.into_iter().filter(|found| found.name.as_deref() == Some(name.as_str()));
        named.into_iter().try_fold(false, |any, network| Ok(self.drop_unused(&network)? | any))
    }

    /// Takes away all networks of `owner`'s that no container is made for.
    pub fn drop_networks(&self, owner: &Owner) -> Result<()> {
        let there = self.networks(&[("label", of(owner))])?;
        if there.is_empty() {
            return Ok(());
        }
        let used = self.used_networks(&HashMap::new())?;
        let is_used = |network: &&Network| {
            network.id.iter().chain(&network.name).any(|known_by| used.contains(known_by))
        };
        there
            .iter()
            .filter(|network| !is_used(network))
            .try_for_each(|network| self.remove_network(network).map(drop))
    }

    /// The ids and names of the networks of containers, be they running or not.
    fn used_networks(&self, filters: &HashMap<&str, Vec<String>>) -> Result<HashSet<String>> {
        let mut used = HashSet::new();
        for container in self.summaries(filters)? {
            used.extend(container.host_config.and_then(|config| config.network_mode));
            let settings = container.network_settings.and_then(|settings| settings.networks);
            for (name, endpoint) in settings.into_iter().flatten() {
                // A container that was made and not started knows its network by name alone.
                used.insert(name);
                used.extend(endpoint.network_id);
            }
        }
        Ok(used)
    }

    fn summaries(&self, filters: &HashMap<&str, Vec<String>>) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(filters).build();
        self.carrier
            .block_on(once_clear(|| self.docker.list_containers(Some(options.clone()))))
            .map_err(|why| failure(format_args!("list containers of {}", self.url), &why))
    }

    fn networks(&self, filters: &[(&str, String)]) -> Result<Vec<Network>> {
        let filters: HashMap<&str, Vec<String>> =
            filters.iter().map(|(name, value)| (*name, vec![value.clone()])).collect();
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        self.carrier
            .block_on(soon(self.docker.list_networks(Some(options))))
            .map_err(|why| failure(format_args!("list networks of {}", self.url), &why))
    }

    /// Makes a network; whether it was made here.
    fn make_network(&self, name: &NetworkName, owner: &Owner) -> Result<bool> {
        let wanted = NetworkCreateRequest {
            name: name.to_string(),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            enable_ipv6: Some(false),
            labels: Some(HashMap::from([(OWNER.to_owned(), owner.to_string())])),
            ..Default::default()
        };
        match self.carrier.block_on(self.docker.create_network(wanted)) {
            Ok(_) => Ok(true),
            // Somebody else was quicker, which the next look shows.
            Err(why) if status(&why) == Some(409) => Ok(false),
            Err(why) => {
                let error = failure(format_args!("make network {name}"), &why);
                let full = why.to_string().contains("address pool");
                Err(match full {
                    true => error.remedy("give the engine more \"default-address-pools\""),
                    false => error,
                })
            }
        }
    }

    /// Takes a network away if nothing is made for it; whether it is gone.
    fn drop_unused(&self, network: &Network) -> Result<bool> {
        let known_by = network.id.iter().chain(&network.name).cloned().collect::<Vec<_>>();
        let used = self.used_networks(&HashMap::from([("network", known_by)]))?;
        if used.is_empty() { self.remove_network(network) } else { Ok(false) }
    }

    /// Takes a network away; whether it is gone. One that is in use stays, which is no error.
    fn remove_network(&self, network: &Network) -> Result<bool> {
        let id = network.id.as_deref().unwrap_or_default();
        match self.carrier.block_on(self.docker.remove_network(id)) {
            Ok(()) => Ok(true),
            Err(why) if is_missing(&why) => Ok(true),
            Err(why) if why.to_string().contains("active endpoints") => Ok(false),
            Err(why) => {
                let name = network.name.as_deref().unwrap_or_default();
                Err(failure(format_args!("remove network {name}"), &why))
            }
        }
    }
}

/// Whether a network is the one that is called so. Docker takes the beginning of an id for a name, be it
/// a single digit; only one as long as it writes them itself is meant for one.
fn is_called(id: &Option<String>, own: &Option<String>, name: &str) -> bool {
    let begins = |id: &String| name.len() >= SHORT_ID && id.starts_with(name);
    own.as_deref() == Some(name) || id.as_ref().is_some_and(begins)
}

/// Whether the engine says that no network has the name, and that the ids of several begin so.
fn is_of_several(why: &Failure) -> bool {
    why.to_string().contains("based on ID prefix")
}

fn foreign(name: &NetworkName) -> Error {
    Error::new(Kind::Refused, format_args!("use network {name}"))
        .why("there is one of that name that is not of this owner")
}

/// The label of what is `owner`'s, as the engine filters by it.
fn of(owner: &Owner) -> String {
    format!("{OWNER}={owner}")
}

fn is_of(network: &Network, owner: &Owner) -> bool {
    let label = network.labels.as_ref().and_then(|labels| labels.get(OWNER));
    label.is_some_and(|label| label == owner.as_str())
}
