//! Which containers are where: who could be a neighbour, and who would not be welcome.

use std::collections::{BTreeMap, HashMap};

use foldhash::quality::RandomState;

use indexmap::{IndexMap, IndexSet};

use super::classes::Zones;
use super::needs::Company;
use crate::record::{Affinity, Container, ContainerId, Peer};

/// Hosts, and how many containers of a sort each has.
pub(super) type Spots = BTreeMap<u32, u32>;

/// A container's labels.
type Labels = BTreeMap<String, String>;

/// What a container is known by beside its name; numbers, 0 for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    group: u32,
    labels: u32,
    pub(super) network: u32,
}

#[derive(Clone, Debug, Default)]
struct Group {
    name: Box<str>,
    spots: Spots,
    /// For each label over which the group is spread, how many there are of each value.
    zones: Vec<(u32, Vec<u32>)>,
}

/// Where a label is.
#[derive(Clone, Debug, Default)]
struct Asked {
    any: Spots,
    values: HashMap<String, Spots>,
}

/// Who is where, by groups and labels.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    names: HashMap<Box<str>, u32, RandomState>,
    groups: Vec<Group>,
    sets: IndexSet<Labels, RandomState>,
    /// The private networks, each to be on one host.
    networks: IndexMap<Box<str>, Spots, RandomState>,
    /// The labels that somebody has asked about.
    asked: HashMap<Box<str>, Asked>,
    /// Whom containers must not be with, and where these are.
    unwelcome: HashMap<Peer, Spots>,
}

/// Some of the hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places<'a> {
    spots: Option<&'a Spots>,
    one: Option<u32>,
}

impl Places<'_> {
    /// One host, or none.
    pub(super) fn one(host: Option<u32>) -> Self {
        Places { spots: None, one: host }
    }

    pub(super) fn has(&self, host: u32) -> bool {
        self.one == Some(host) || self.spots.is_some_and(|spots| spots.contains_key(&host))
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = u32> {
        let spots = self.spots.into_iter().flat_map(|spots| spots.keys().copied());
        self.one.into_iter().chain(spots)
    }
}

impl Neighbours {
    pub(super) fn new() -> Neighbours {
        Neighbours {
            names: HashMap::default(),
            groups: vec![Group::default()],
            sets: IndexSet::from_iter([Labels::new()]),
            networks: IndexMap::from_iter([Default::default()]),
            asked: HashMap::new(),
            unwelcome: HashMap::new(),
        }
    }

    /// What the container is known by.
    pub(super) fn traits(&mut self, container: &Container) -> Traits {
        let named = container.requires.as_ref().and_then(|requires| requires.group.as_deref());
        let group = named.or(container.scaled_from.as_ref().map(ContainerId::as_str));
        let labels = match container.labels.is_empty() {
            true => 0,
            false => match self.sets.get_index_of(&container.labels) {
                Some(known) => known,
                None => self.sets.insert_full(container.labels.clone()).0,
            },
        };
        let private = container.private_network.as_ref();
        let network = private.map_or(0, |private| self.network_number(private.name.as_str()));
        Traits { group: group.map_or(0, |name| self.group(name)), labels: labels as u32, network }
    }

    fn network_number(&mut self, name: &str) -> u32 {
        let known = self.networks.get_index_of(name);
        known.unwrap_or_else(|| self.networks.insert_full(name.into(), Spots::new()).0) as u32
    }

    /// The private network that the container is in: its name, and where the others in it are.
    pub(super) fn network(&self, traits: Traits) -> Option<(&str, &Spots)> {
        let own =
            (traits.network != 0).then(|| self.networks.get_index(traits.network as usize))?;
        own.map(|(name, spots)| (&**name, spots))
    }

    fn group(&mut self, name: &str) -> u32 {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let number = self.groups.len() as u32;
        self.names.insert(name.into(), number);
        self.groups.push(Group { name: name.into(), ..Group::default() });
        number
    }

    /// The group of a container that names none is the one of its own name.
    fn group_of(&self, id: &ContainerId, traits: Traits) -> u32 {
        match traits.group {
            0 => self.names.get(id.as_str()).copied().unwrap_or(0),
            group => group,
        }
    }

    /// A container has come to a host (`zone` tells the number of its value of a label).
    pub(super) fn join(
        &mut self,
        host: u32,
        traits: Traits,
        company: &Company,
        zone: impl Fn(u32) -> u32,
    ) {
        self.count(host, traits, zone, |count| *count += 1);
        for refused in refused(company) {
            *self.unwelcome.entry(refused.clone()).or_default().entry(host).or_insert(0) += 1;
        }
    }

    /// A container has left its host.
    pub(super) fn leave(
        &mut self,
        host: u32,
        traits: Traits,
        company: &Company,
        zone: impl Fn(u32) -> u32,
    ) {
        self.count(host, traits, zone, |count| *count = count.saturating_sub(1));
        for refused in refused(company) {
            if let Some(spots) = self.unwelcome.get_mut(refused) {
                change(spots, host, |count| *count = count.saturating_sub(1));
                if spots.is_empty() {
                    self.unwelcome.remove(refused);
                }
            }
        }
    }

    fn count(
        &mut self,
        host: u32,
        traits: Traits,
        zone: impl Fn(u32) -> u32,
        step: impl Fn(&mut u32),
    ) {
        if traits.group != 0 {
            let group = &mut self.groups[traits.group as usize];
            change(&mut group.spots, host, &step);
            for (label, counts) in &mut group.zones {
                step(&mut counts[zone(*label) as usize]);
            }
        }
        if traits.network != 0 {
            change(&mut self.networks[traits.network as usize], host, &step);
        }
        if traits.labels != 0 && !self.asked.is_empty() {
            for (name, value) in &self.sets[traits.labels as usize] {
                if let Some(asked) = self.asked.get_mut(name.as_str()) {
                    change(&mut asked.any, host, &step);
                    change(asked.values.entry(value.clone()).or_default(), host, &step);
                }
            }
        }
    }

    /// Learns where the containers with a label are that is asked about for the first time.
    pub(super) fn ask(
        &mut self,
        company: &Company,
        everyone: impl Iterator<Item = (u32, Traits)> + Clone,
    ) {
        for Affinity { to, .. } in company.with.iter().chain(&company.without) {
            let Peer::Label(name, _) = to else { continue };
            if self.asked.contains_key(name.as_str()) {
                continue;
            }
            let mut asked = Asked::default();
            for (host, traits) in everyone.clone().filter(|(_, traits)| traits.labels != 0) {
                if let Some(value) = self.sets[traits.labels as usize].get(name) {
                    change(&mut asked.any, host, |count| *count += 1);
                    change(asked.values.entry(value.clone()).or_default(), host, |n| *n += 1);
                }
            }
            self.asked.insert(name.as_str().into(), asked);
        }
    }

    /// The hosts where the peers are; `find` tells where a container is, and what it is known by.
    pub(super) fn places<'a>(
        &'a self,
        peer: &Peer,
        find: impl Fn(&str) -> Option<(u32, Traits)>,
    ) -> Places<'a> {
        let found = |id: &str| find(id).map(|(host, _)| host);
        match peer {
            Peer::Host(_) => Places::default(),
            Peer::Container(id) => Places { spots: None, one: found(id.as_str()) },
            Peer::Group(name) => {
                let group = self.names.get(name.as_str());
                let own = find(name).filter(|(_, traits)| traits.group == 0);
                Places {
                    spots: group.map(|at| &self.groups[*at as usize].spots),
                    one: own.map(|(host, _)| host),
                }
            }
            Peer::Label(name, value) => {
                let asked = self.asked.get(name.as_str());
                let spots = match value {
                    None => asked.map(|asked| &asked.any),
                    Some(value) => asked.and_then(|asked| asked.values.get(value)),
                };
                Places { spots, one: None }
            }
        }
    }

    /// Whether the container itself is one of the peers.
    pub(super) fn is_one(&self, peer: &Peer, id: &ContainerId, traits: Traits) -> bool {
        match peer {
            Peer::Host(_) => false,
            Peer::Container(other) => other == id,
            Peer::Group(name) => match traits.group {
                0 => id.as_str() == name,
                group => self.names.get(name.as_str()) == Some(&group),
            },
            Peer::Label(name, value) => {
                let own = self.sets[traits.labels as usize].get(name);
                own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
            }
        }
    }

    /// Who refuses the container, and where.
    pub(super) fn refusals(&self, id: &ContainerId, traits: Traits) -> Vec<(Peer, &Spots)> {
        if self.unwelcome.is_empty() {
            return Vec::new();
        }
        let group = match traits.group {
            0 => id.to_string(),
            group => self.groups[group as usize].name.to_string(),
        };
        let labels = self.sets[traits.labels as usize].iter().flat_map(|(name, value)| {
            [None, Some(value.clone())].map(|value| Peer::Label(name.clone(), value))
        });
        let known_as = [Peer::Container(id.clone()), Peer::Group(group)].into_iter().chain(labels);
        let refused = |peer: Peer| self.unwelcome.get(&peer).map(|spots| (peer, spots));
        known_as.filter_map(refused).collect()
    }

    /// Works out how many containers of its group there are for each value of the label.
    pub(super) fn learn_zones(
        &mut self,
        id: &ContainerId,
        traits: Traits,
        label: u32,
        zones: &Zones,
    ) {
        let group = self.group_of(id, traits);
        let group = &mut self.groups[group as usize];
        if group.zones.iter().any(|(known, _)| *known == label) {
            return;
        }
        let mut counts = vec![0; zones.count];
        for (host, count) in &group.spots {
            counts[zones.of[*host as usize] as usize] += count;
        }
        group.zones.push((label, counts));
    }

    /// How many containers of its group there are for each value of the label, once that is worked
    /// out; the one whose name the group has is not among them.
    pub(super) fn zones(&self, id: &ContainerId, traits: Traits, label: u32) -> Vec<u32> {
        let group = &self.groups[self.group_of(id, traits) as usize];
        let known = group.zones.iter().find(|(known, _)| *known == label);
        known.map_or_else(Vec::new, |(_, counts)| counts.clone())
    }

    /// The name of the group that the container is in, when it is not its own.
    pub(super) fn group_name(&self, traits: Traits) -> Option<&str> {
        (traits.group != 0).then(|| &*self.groups[traits.group as usize].name)
    }
}

/// Whom the container must not be with.
fn refused(company: &Company) -> impl Iterator<Item = &Peer> {
    let hard = company.without.iter().filter(|affinity| affinity.hard);
    hard.map(|affinity| &affinity.to).filter(|peer| !matches!(peer, Peer::Host(_)))
}

fn change(spots: &mut Spots, host: u32, step: impl Fn(&mut u32)) {
    let count = spots.entry(host).or_insert(0);
    step(count);
    if *count == 0 {
        spots.remove(&host);
    }
}
