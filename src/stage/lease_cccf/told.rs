//! What was told of each client, in little room: there may be very many.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::logic::dependence::dependents_first;
use crate::logic::template::network_name;
use crate::record::{
    Container, ContainerId, Hostname, Image, Key, Object, Owner, PrivateNetwork, State,
};

/// How many ways to be absent are remembered to be shared.
const SHARED: usize = 64;

/// 128 bits of SHA-256 of a text.
pub type Print = [u8; 16];

/// The print of what a record says.
pub fn print<T: serde::Serialize>(record: &T) -> Print {
    let text = serde_json::to_vec(record).expect("the suite's types are JSON");
    of_text(&text)
}

fn of_text(text: &[u8]) -> Print {
    let digest: [u8; 32] = Sha256::digest(text).into();
    std::array::from_fn(|at| digest[at])
}

/// A container that was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its name.
    pub id: ContainerId,
    /// What it was.
    pub print: Print,
    /// Its identity.
    key: Key,
    /// Its place among the client's when they go: before those that it depends on.
    goes: u32,
    rest: Arc<Rest>,
}

/// What most containers have in common and has to be said of one that is wanted no more.
#[derive(Debug, PartialEq)]
struct Rest {
    image: Image,
    owner: Option<Owner>,
    alias: Option<Hostname>,
}

/// What was told last of every client.
#[derive(Debug, Default)]
pub struct Memory {
    clients: BTreeMap<Key, Box<[Told]>>,
    /// Whose each name is, by its print: a client cannot take a name that is another's.
    names: HashMap<Print, Key>,
    shared: Vec<Arc<Rest>>,
}

impl Memory {
    /// What was told of a client.
    pub fn of(&self, client: Key) -> &[Told] {
        self.clients.get(&client).map_or(&[], |told| told)
    }

    /// The clients of which something was told, in order.
    pub fn clients(&self) -> impl Iterator<Item = Key> {
        self.clients.keys().copied()
    }

    /// The client that has a name.
    pub fn owner_of(&self, name: &ContainerId) -> Option<Key> {
        self.names.get(&of_text(name.as_str().as_bytes())).copied()
    }

    /// Remembers what a client's containers are; gives what they were.
    pub fn put(&mut self, client: Key, containers: &[Container]) -> Box<[Told]> {
        let before = self.clients.remove(&client).unwrap_or_default();
        let mut told: Box<[Told]> = containers.iter().map(|one| self.told(one)).collect();
        for (place, at) in going(containers).into_iter().enumerate() {
            told[at].goes = place as u32;
        }
        if before.iter().map(|old| &old.id).ne(told.iter().map(|new| &new.id)) {
            for one in &before {
                self.names.remove(&of_text(one.id.as_str().as_bytes()));
            }
            for one in &told {
                self.names.insert(of_text(one.id.as_str().as_bytes()), client);
            }
        }
        if !told.is_empty() {
            self.clients.insert(client, told);
        }
        before
    }

    /// Forgets a client.
    pub fn forget(&mut self, client: Key) {
        for one in self.clients.remove(&client).into_iter().flatten() {
            self.names.remove(&of_text(one.id.as_str().as_bytes()));
        }
    }
    /// What there is to remember of a container.
    fn told(&mut self, container: &Container) -> Told {
        let rest = Rest {
            image: container.image.clone(),
            owner: container.owner.clone(),
            alias: container.private_network.as_ref().map(|network| network.alias.clone()),
        };
        let rest = match self.shared.iter().find(|known| ***known == rest) {
            Some(known) => known.clone(),
            None => {
                let rest = Arc::new(rest);
                if self.shared.len() < SHARED {
                    self.shared.push(rest.clone());
                }
                rest
            }
        };
        let key = container.identity();
        Told { id: container.id.clone(), print: print(container), key, goes: 0, rest }
    }
}

/// The order in which containers of one client go: each before those that it depends on.
fn going(containers: &[Container]) -> Vec<usize> {
    let place = |id: &ContainerId| containers.iter().position(|other| other.id == *id);
    let needs = |one: &Container| one.depends_on.iter().filter_map(place).collect();
    dependents_first(&containers.iter().map(needs).collect::<Vec<_>>())
}

impl Told {
    /// Its place among the client's containers when they go.
    pub fn goes(&self) -> u32 {
        self.goes
    }

    /// What is to be said of it when it is wanted no more: who it was, and what whoever takes it
    /// away has to know.
    pub fn absent(&self, client: Key) -> Container {
        let mut bare = Object::default();
        bare.set("id", &self.id);
        bare.set("image", &self.rest.image);
        let bare = Container::try_from(bare).expect("a container has a name and an image");
        let network = |alias: &Hostname| PrivateNetwork {
            name: network_name(self.rest.owner.as_ref(), client),
            alias: alias.clone(),
            rest: Object::default(),
        };
        Container {
            owner: self.rest.owner.clone(),
            key: Some(self.key),
            private_network: self.rest.alias.as_ref().map(network),
            state: Some(State::Absent),
            ..bare
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_gone_is_told_with_what_its_removal_needs() {
        let client = Key::derive("test", &[]);
        let mut container: Container = serde_json::from_str(
            r#"{"id":"web-1","image":"busybox","owner":"edge","env":["A=1"],"key":"xz7i3deekm7jz"}"#,
        )
        .unwrap();
        container.private_network = Some(PrivateNetwork {
            name: network_name(container.owner.as_ref(), client),
            alias: "web".parse().unwrap(),
            rest: Object::default(),
        });
        let mut memory = Memory::default();
        memory.put(client, std::slice::from_ref(&container));
        let told = memory.of(client)[0].clone();
        let gone = Container { env: vec![], state: Some(State::Absent), ..container.clone() };
        assert_eq!(told.absent(client), gone);
        assert_eq!(memory.owner_of(&container.id), Some(client));
        memory.forget(client);
        assert_eq!((memory.owner_of(&container.id), memory.of(client).len()), (None, 0));
    }
}
