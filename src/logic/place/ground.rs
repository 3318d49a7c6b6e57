//! All that is known of the hosts and of what is on them.

use std::collections::{BTreeSet, HashMap};

use foldhash::quality::RandomState;

use super::Strategy;
use super::classes::{Classes, ordered};
use super::company::{Neighbours, Places, Traits};
use super::needs::{Company, Need, Needs};
use super::ports::Ports;
use super::rooms::{Known, Rooms};
use super::tree::Tree;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, ContainerId, Host, HostRef, HostState, Peer};

/// A container, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Being {
    /// The number of what it needs.
    pub(super) need: u32,
    /// What it is known by.
    pub(super) traits: Traits,
}

/// Hosts, by numbers that follow the order of their labels, and the containers on them.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) strategy: Strategy,
    pub(super) hosts: Vec<Host>,
    /// For each host its place in the list.
    pub(super) rank: Vec<u32>,
    pub(super) rooms: Rooms,
    pub(super) ports: Ports,
    pub(super) classes: Classes,
    pub(super) needs: Needs,
    pub(super) neighbours: Neighbours,
    pub(super) tree: Tree,
    by_id: HashMap<String, u32>,
    by_url: HashMap<String, u32>,
    /// Where the containers are that went through here.
    places: HashMap<ContainerId, (u32, Being), RandomState>,
    scratch: Vec<u64>,
    /// How often room was given back.
    pub(super) freed: u64,
    /// Hosts that are not chosen for now, because something leaves them.
    pub(super) closed: BTreeSet<u32>,
    /// Hosts that something was moved to.
    pub(super) received: BTreeSet<u32>,
}

impl Ground {
    /// The hosts as they tell of themselves.
    ///
    /// # Errors
    /// `BadInput` when there is no host, or two of one name.
    pub(super) fn new(hosts: Vec<Host>, strategy: Strategy) -> Result<Ground> {
        if hosts.is_empty() {
            return Err(Error::new(Kind::BadInput, "there is no host to place containers on"));
        }
        let (rank, hosts): (Vec<u32>, Vec<Host>) = ordered(hosts).into_iter().unzip();
        let (mut by_id, mut by_url) = (HashMap::new(), HashMap::<String, u32>::new());
        for (at, host) in (0..).zip(&hosts) {
            if by_id.insert(host.id.clone(), at).is_some() {
                let what = format!("host \"{}\" stands twice", host.id);
                return Err(Error::new(Kind::BadInput, what));
            }
            let first = by_url.entry(host.url.clone()).or_insert(at);
            if rank[at as usize] < rank[*first as usize] {
                *first = at;
            }
        }
        let rooms = Rooms::new(&hosts);
        let mut ground = Ground {
            strategy,
            rank,
            ports: Ports::new(&hosts),
            classes: Classes::default(),
            needs: Needs::new(&rooms.names),
            neighbours: Neighbours::new(),
            tree: Tree::new(hosts.len(), rooms.width()),
            by_id,
            by_url,
            places: HashMap::default(),
            scratch: vec![0; rooms.width()],
            freed: 0,
            closed: BTreeSet::new(),
            received: BTreeSet::new(),
            rooms,
            hosts,
        };
        (0..ground.hosts.len()).for_each(|host| ground.weigh(host));
        Ok(ground)
    }

    /// What the container needs and is known by.
    pub(super) fn being(&mut self, container: &Container) -> Being {
        Being {
            need: self.needs.number(container, &mut self.classes, &self.hosts),
            traits: self.neighbours.traits(container),
        }
    }

    /// One that needs what all of these need together, beside this company; it is known by what the
    /// first of them is known by.
    pub(super) fn together(&mut self, all: &[Being], company: Company) -> Being {
        let needs: Vec<u32> = all.iter().map(|being| being.need).collect();
        let need = self.needs.together(&needs, company, &mut self.classes, &self.hosts);
        Being { need, ..all[0] }
    }

    /// What a container needs.
    pub(super) fn need(&self, being: Being) -> &Need {
        self.needs.get(being.need)
    }

    /// What a container asks of its neighbours.
    pub(super) fn company(&self, being: Being) -> &Company {
        self.needs.company(self.need(being))
    }

    /// Whether nothing matters for the container but resources and the labels of hosts.
    pub(super) fn is_plain(&self, being: Being) -> bool {
        self.need(being).is_plain() && being.traits.network == 0
    }

    /// Whether what is on the host is to stay there.
    pub(super) fn is_open(&self, host: u32) -> bool {
        self.state(host) == HostState::Active
    }

    /// The host of that name.
    pub(super) fn host(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// The host that is referred to, by its name, or by where it listens.
    pub(super) fn referred(&self, host: &HostRef) -> Option<u32> {
        self.host(&host.id).or_else(|| self.by_url.get(host.url.as_ref()?).copied())
    }

    /// The state of a host.
    pub(super) fn state(&self, host: u32) -> HostState {
        self.hosts[host as usize].state.unwrap_or(HostState::Active)
    }

    /// The hosts in the order of the list.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let mut all: Vec<u32> = (0..self.hosts.len() as u32).collect();
        all.sort_by_key(|host| self.rank[*host as usize]);
        all
    }

    /// Where the container is.
    pub(super) fn place(&self, id: &ContainerId) -> Option<(u32, Being)> {
        self.places.get(id).copied()
    }

    /// Where the container of that name is.
    pub(super) fn named(&self, name: &str) -> Option<(u32, Being)> {
        self.place(&name.parse().ok()?)
    }

    /// Where the peers are.
    pub(super) fn peers(&self, peer: &Peer) -> Places<'_> {
        match peer {
            Peer::Host(id) => Places::one(self.host(id)),
            peer => {
                let find = |id: &str| self.named(id).map(|(host, being)| (host, being.traits));
                self.neighbours.places(peer, find)
            }
        }
    }

    /// Makes sure that all is known that the container's wishes are about.
    pub(super) fn learn(&mut self, id: &ContainerId, being: Being) {
        let need = self.needs.get(being.need);
        if need.is_plain() {
            return;
        }
        let everyone = self.places.values().map(|(host, being)| (*host, being.traits));
        let company = self.needs.company(need);
        self.neighbours.ask(company, everyone);
        if let Some(label) = company.spread {
            self.classes.learn_split(need.class, label);
            let zones = self.classes.zones(label);
            self.neighbours.learn_zones(id, being.traits, label, zones);
        }
    }

    /// Puts the container on the host, fit or not, and takes it from where it was.
    pub(super) fn put(&mut self, id: &ContainerId, being: Being, host: u32, known: Known) {
        self.lift(id);
        self.add(id, being, host, known);
    }

    /// Puts the container, which is nowhere, on the host.
    pub(super) fn add(&mut self, id: &ContainerId, being: Being, host: u32, known: Known) {
        self.occupy(host, being, known);
        self.places.insert(id.clone(), (host, being));
    }

    /// Puts many containers, which are on no host and of which nothing but what they take matters.
    pub(super) fn put_all<'a>(
        &mut self,
        all: impl ExactSizeIterator<Item = (&'a ContainerId, Being, u32)>,
    ) {
        self.places.reserve(all.len());
        for (id, being, host) in all {
            let need = self.needs.get(being.need);
            self.rooms.take(host as usize, &need.demand, Known::New);
            let zone = |label| self.classes.zones(label).of[host as usize];
            self.neighbours.join(host, being.traits, self.needs.company(need), zone);
            self.places.insert(id.clone(), (host, being));
        }
        (0..self.hosts.len()).for_each(|host| self.weigh(host));
    }

    /// Takes the container from its host; gives where it was.
    pub(super) fn lift(&mut self, id: &ContainerId) -> Option<(u32, Being)> {
        let (host, being) = self.places.remove(id)?;
        self.vacate(host, being);
        Some((host, being))
    }

    /// Takes room on the host without saying who does.
    pub(super) fn occupy(&mut self, host: u32, being: Being, known: Known) {
        let need = self.needs.get(being.need);
        self.rooms.take(host as usize, &need.demand, known);
        self.ports.take(host, self.needs.ports(need), known == Known::There);
        let zone = |label| self.classes.zones(label).of[host as usize];
        self.neighbours.join(host, being.traits, self.needs.company(need), zone);
        self.weigh(host as usize);
    }

    /// Gives back the room of a container of this kind.
    pub(super) fn vacate(&mut self, host: u32, being: Being) {
        let need = self.needs.get(being.need);
        self.freed += 1;
        self.rooms.give(host as usize, &need.demand);
        self.ports.give(host, self.needs.ports(need), true);
        let zone = |label| self.classes.zones(label).of[host as usize];
        self.neighbours.leave(host, being.traits, self.needs.company(need), zone);
        self.weigh(host as usize);
    }

    /// Takes off a container that was never heard of, where the host has told that it counts it.
    pub(super) fn lift_unknown(&mut self, being: Being, host: u32) {
        let need = self.needs.get(being.need);
        self.freed += 1;
        self.rooms.give_told(host as usize, &need.demand);
        self.ports.give(host, self.needs.ports(need), false);
        self.weigh(host as usize);
    }

    /// Remembers that the host was chosen just now.
    pub(super) fn chosen(&mut self, host: u32) {
        if self.strategy == Strategy::RoundRobin {
            self.rooms.chosen(host as usize);
            self.weigh(host as usize);
        }
    }

    /// Tells the tree how the host is now.
    fn weigh(&mut self, host: usize) {
        let key = self.rooms.key(host, self.strategy, self.rank[host]);
        self.rooms.free(host, &mut self.scratch);
        self.tree.set(host, key, &self.scratch);
    }
}
