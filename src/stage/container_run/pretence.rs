//! What an engine would have if all had been done that was only told.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::adapter::docker::swarm::Service;
use crate::adapter::docker::{Engine, Found, Joins};
use crate::error::Result;
use crate::record::{Container, ContainerId, Image, NetworkName, Owner, Platform, State};

/// What is different from what the engine says.
#[derive(Default)]
pub(super) struct Pretence(Mutex<World>);

#[derive(Default)]
struct World {
    /// Containers that are otherwise; nothing for one that is gone.
    containers: HashMap<ContainerId, Option<Found>>,
    /// Ids of containers that are gone.
    gone: HashSet<String>,
    /// Services of a swarm that are otherwise; nothing for one that is gone.
    services: HashMap<ContainerId, Option<Service>>,
    images: HashSet<(Image, Option<String>)>,
    /// Private networks that were made, and those that were taken away.
    networks: HashMap<NetworkName, bool>,
    made: u64,
}

impl World {
    fn of(&self, docker_id: &str) -> Option<&Found> {
        self.containers.values().flatten().find(|found| found.docker_id == docker_id)
    }
}

impl Pretence {
    /// The container of that name, if anything about it is otherwise than the engine says.
    pub(super) fn find(&self, name: &ContainerId) -> Option<Option<Found>> {
        self.lock().containers.get(name).cloned()
    }

    /// The same by its id.
    pub(super) fn look(&self, docker_id: &str) -> Option<Option<Found>> {
        let world = self.lock();
        match world.gone.contains(docker_id) {
            true => Some(None),
            false => world.of(docker_id).cloned().map(Some),
        }
    }

    /// The service of that name, if anything about it is otherwise than the swarm says.
    pub(super) fn service(&self, name: &ContainerId) -> Option<Option<Service>> {
        self.lock().services.get(name).cloned()
    }

    /// Has a service be so from now on, or be gone.
    pub(super) fn have_service(&self, name: &ContainerId, service: Option<Service>) {
        self.lock().services.insert(name.clone(), service);
    }

    pub(super) fn has_image(&self, image: &Image, platform: Option<&Platform>) -> bool {
        self.lock().images.contains(&fetched(image, platform))
    }

    pub(super) fn pull(&self, image: &Image, platform: Option<&Platform>) {
        self.lock().images.insert(fetched(image, platform));
    }

    /// Makes a container; gives the id that it has now.
    pub(super) fn make(&self, wanted: &Container, joins: &Joins, owner: &Owner) -> String {
        let mut world = self.lock();
        world.made += 1;
        // No engine has an id like this.
        let docker_id = format!("pretended-{}", world.made);
        let container = Container {
            owner: Some(owner.clone()),
            state: Some(State::Created),
            ..wanted.declared()
        };
        let is_further = |name: &&str| joins.further.iter().any(|n| n.network.as_str() == *name);
        let joined = joins.names().filter(|name| !is_further(name)).map(str::to_owned).collect();
        let found = Found { joined, ..Found::new(container, docker_id.clone()) };
        world.containers.insert(wanted.id.clone(), Some(found));
        docker_id
    }

    /// Alters the container of that id; nothing happens to one that is not there.
    pub(super) fn alter(
        &self,
        engine: &Engine,
        docker_id: &str,
        change: impl FnOnce(&mut Found),
    ) -> Result<()> {
        if let Some(mut found) = self.known(engine, docker_id)? {
            change(&mut found);
            self.lock().containers.insert(found.container.id.clone(), Some(found));
        }
        Ok(())
    }

    /// Gives the container of that id another name.
    pub(super) fn rename(
        &self,
        engine: &Engine,
        docker_id: &str,
        name: &ContainerId,
    ) -> Result<()> {
        if let Some(mut found) = self.known(engine, docker_id)? {
            let before = std::mem::replace(&mut found.container.id, name.clone());
            let mut world = self.lock();
            world.containers.insert(before, None);
            world.containers.insert(name.clone(), Some(found));
        }
        Ok(())
    }

    /// Takes the container of that id away.
    pub(super) fn remove(&self, engine: &Engine, docker_id: &str) -> Result<()> {
        if let Some(found) = self.known(engine, docker_id)? {
            let mut world = self.lock();
            world.containers.insert(found.container.id, None);
            world.gone.insert(docker_id.to_owned());
        }
        Ok(())
    }

    /// The container of that id as it would be.
    fn known(&self, engine: &Engine, docker_id: &str) -> Result<Option<Found>> {
        match self.look(docker_id) {
            Some(known) => Ok(known),
            None => engine.look(&[docker_id.to_owned()]).pop().unwrap_or(Ok(None)),
        }
    }

    /// Makes a private network; whether there was none.
    pub(super) fn have_network(
        &self,
        engine: &Engine,
        name: &NetworkName,
        owner: &Owner,
    ) -> Result<bool> {
        let known = self.lock().networks.get(name).copied();
        let is_there = match known {
            Some(is_there) => is_there,
            None => engine.made_for(name, owner)?.is_some(),
        };
        self.lock().networks.insert(name.clone(), true);
        Ok(!is_there)
    }

    /// Takes a private network away that nothing is made for; whether there was one.
    pub(super) fn drop_network(
        &self,
        engine: &Engine,
        name: &NetworkName,
        owner: &Owner,
    ) -> Result<bool> {
        if self.lock().networks.get(name) == Some(&false) {
            return Ok(false);
        }
        let there = engine.made_for(name, owner)?;
        let mut world = self.lock();
        if there.is_none() && world.networks.get(name) != Some(&true) {
            return Ok(false);
        }
        let stays = |id: &String| !world.gone.contains(id);
        let is_in = |found: &Found| {
            found.container.private_network.as_ref().is_some_and(|network| network.name == *name)
        };
        let is_used =
            there.iter().flatten().any(stays) || world.containers.values().flatten().any(is_in);
        if !is_used {
            world.networks.insert(name.clone(), false);
        }
        Ok(!is_used)
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetched(image: &Image, platform: Option<&Platform>) -> (Image, Option<String>) {
    (image.clone(), platform.map(ToString::to_string))
}
