//! What containers need, worked out once for all that need the same.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use indexmap::IndexSet;

use super::classes::Classes;
use super::ports::Slot;
use super::rooms::{CONTAINERS, is_common};
use crate::record::{Affinity, Amount, Amounts, Container, Cpus, Gpus, Host};

/// What one kind of container needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Need {
    /// What it takes of each resource that is counted, in thousandths.
    pub(super) demand: Box<[u64]>,
    /// The number of its class of hosts.
    pub(super) class: u32,
    /// The number of its list of ports.
    ports: u32,
    /// The number of what it asks of its neighbours.
    company: u32,
    /// The number of the name of a resource that no host has, counted from 1; 0 is none.
    missing: u32,
}

/// What a container asks of what else is on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Company {
    /// Where it is to be.
    pub(super) with: Vec<Affinity>,
    /// Where it is not to be.
    pub(super) without: Vec<Affinity>,
    /// The number of the label over which its group is spread.
    pub(super) spread: Option<u32>,
}

/// All that has been asked for so far.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    all: IndexSet<Need, RandomState>,
    ports: IndexSet<Vec<Slot>, RandomState>,
    companies: IndexSet<Company, RandomState>,
    missing: IndexSet<Box<str>>,
    resources: HashMap<String, usize, RandomState>,
    scratch: Need,
}

impl Needs {
    /// Nothing yet, of resources of these names.
    pub(super) fn new(names: &[String]) -> Needs {
        Needs {
            all: IndexSet::default(),
            ports: IndexSet::from_iter([Vec::new()]),
            companies: IndexSet::from_iter([Company::default()]),
            missing: IndexSet::new(),
            resources: names.iter().cloned().zip(0..).collect(),
            scratch: Need { demand: vec![0; names.len()].into(), ..Need::default() },
        }
    }

    /// The number of what the container needs.
    pub(super) fn number(
        &mut self,
        container: &Container,
        classes: &mut Classes,
        hosts: &[Host],
    ) -> u32 {
        self.scratch.missing = 0;
        self.measure(container);
        let requires = container.requires.as_ref();
        let asked = requires.map_or(&[][..], |requires| &requires.constraints);
        self.scratch.class = classes.number(asked, hosts);
        self.scratch.ports = match container.ports.is_empty() {
            true => 0,
            false => self.ports.insert_full(Slot::of(&container.ports).collect()).0 as u32,
        };
        self.scratch.company = match requires {
            Some(r)
                if !r.affinity.is_empty() || !r.anti_affinity.is_empty() || r.spread.is_some() =>
            {
                let company = Company {
                    with: r.affinity.clone(),
                    without: r.anti_affinity.clone(),
                    spread: r.spread.as_ref().map(|label| classes.label(label, hosts)),
                };
                self.companies.insert_full(company).0 as u32
            }
            _ => 0,
        };
        match self.all.get_index_of(&self.scratch) {
            Some(known) => known as u32,
            None => self.all.insert_full(self.scratch.clone()).0 as u32,
        }
    }

    /// Works out how much of each resource the container takes.
    fn measure(&mut self, container: &Container) {
        self.scratch.demand.fill(0);
        if let Some(at) = self.resources.get(CONTAINERS) {
            self.scratch.demand[*at] = 1000;
        }
        let none = Amounts::new();
        let named = container.requires.as_ref().map_or(&none, |requires| &requires.resources);
        for (name, amount) in named {
            self.add(name, *amount, is_common(name));
        }
        for (name, amount) in limits(container) {
            if let Some(amount) = amount.filter(|_| !named.contains_key(name)) {
                self.add(name, amount, true);
            }
        }
    }

    /// Adds a need. One of a resource that no host counts is met by all, or by none.
    fn add(&mut self, name: &str, amount: Amount, met_by_all: bool) {
        match self.resources.get(name) {
            Some(at) => self.scratch.demand[*at] = amount.milli(),
            None if met_by_all || amount == Amount::default() => (),
            None => self.scratch.missing = self.missing.insert_full(name.into()).0 as u32 + 1,
        }
    }

    /// The number of a need that a host meets which meets all of these at once. Its company is told,
    /// since what some of them ask for others of them are.
    pub(super) fn together(
        &mut self,
        all: &[u32],
        company: Company,
        classes: &mut Classes,
        hosts: &[Host],
    ) -> u32 {
        let mut sum = Need { demand: vec![0; self.scratch.demand.len()].into(), ..Need::default() };
        let (mut asked, mut ports) = (Vec::new(), Vec::new());
        for need in all.iter().map(|number| &self.all[*number as usize]) {
            for (sum, demand) in sum.demand.iter_mut().zip(&need.demand) {
                *sum = sum.saturating_add(*demand);
            }
            asked.extend_from_slice(&classes.get(need.class).asked);
            ports.extend_from_slice(self.ports(need));
            sum.missing = sum.missing.max(need.missing);
        }
        asked.sort();
        asked.dedup();
        sum.class = classes.number(&asked, hosts);
        sum.ports = self.ports.insert_full(ports).0 as u32;
        sum.company = self.companies.insert_full(company).0 as u32;
        self.all.insert_full(sum).0 as u32
    }

    /// How many different ones there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What the need of that number is.
    pub(super) fn get(&self, number: u32) -> &Need {
        &self.all[number as usize]
    }

    /// The ports of the host that it takes.
    pub(super) fn ports(&self, need: &Need) -> &[Slot] {
        &self.ports[need.ports as usize]
    }

    /// What it asks of its neighbours.
    pub(super) fn company(&self, need: &Need) -> &Company {
        &self.companies[need.company as usize]
    }

    /// The resource that it needs and that no host has.
    pub(super) fn missing(&self, need: &Need) -> Option<&str> {
        let at = need.missing.checked_sub(1)?;
        self.missing.get_index(at as usize).map(|name| &**name)
    }
}

impl Need {
    /// Whether nothing but resources and labels matters.
    pub(super) fn is_plain(&self) -> bool {
        (self.ports, self.company) == (0, 0)
    }
}

/// What a container takes of its host's resources, whichever of them the host counts.
pub fn demand(container: &Container) -> Amounts {
    let limits = limits(container).into_iter();
    let limited = limits.filter_map(|(name, amount)| Some((name.to_owned(), amount?)));
    let named = container.requires.iter().flat_map(|requires| requires.resources.clone());
    limited.chain(named).collect()
}

/// What a container is limited to, which it takes unless it says what it takes.
fn limits(container: &Container) -> [(&'static str, Option<Amount>); 3] {
    let cpus = |cpus: Cpus| Amount::from_milli(cpus.nano().div_ceil(1_000_000));
    [
        ("cpus", container.cpus.map(cpus)),
        ("memory", container.memory.map(|bytes| Amount::whole(bytes.0))),
        ("gpus", container.gpus.as_ref().map(gpus)),
    ]
}

/// How many graphics processors these are. All that there are count as one.
fn gpus(gpus: &Gpus) -> Amount {
    match gpus {
        Gpus::All => Amount::whole(1),
        Gpus::Count(count) => Amount::whole((*count).into()),
        Gpus::Ids(ids) => Amount::whole(ids.len() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(container: &str) -> (Vec<u64>, Option<String>) {
        let mut needs = Needs::new(&["cpus", "gpus", "memory"].map(str::to_owned));
        let container: Container = serde_json::from_str(container).unwrap();
        let number = needs.number(&container, &mut Classes::default(), &[]);
        assert_eq!(needs.number(&container, &mut Classes::default(), &[]), number);
        let need = needs.get(number);
        (need.demand.to_vec(), needs.missing(need).map(str::to_owned))
    }

    #[test]
    fn limits_are_needs_unless_needs_are_told() {
        let limits = r#"{"id":"a","image":"b","cpus":0.0005,"memory":"1k","gpus":["0","1"]}"#;
        assert_eq!(demand(limits), (vec![1, 2000, 1_024_000], None));
        let told =
            r#"{"id":"a","image":"b","cpus":2,"memory":5,"requires":{"resources":{"cpus":0.5}}}"#;
        assert_eq!(demand(told), (vec![500, 0, 5000], None));
        let more = r#"{"id":"a","image":"b","requires":{"resources":{"fpga":1,"tape":0}}}"#;
        assert_eq!(demand(more), (vec![0, 0, 0], Some("fpga".to_owned())));
    }
}
