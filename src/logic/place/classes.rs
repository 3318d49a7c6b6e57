//! Which hosts meet which constraints.
//!
//! Few sets of constraints are asked for by many containers. Each is worked out once, as ranges of
//! hosts: hosts stand in the order of their labels, the label with the fewest values first, so that
//! those which meet a constraint mostly stand side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::quality::RandomState;
use std::ops::Range;
use std::sync::Arc;

use super::reason::{Reason, Reasons};
use crate::record::{Constraint, Host, HostState};

/// Hosts side by side.
pub(super) type Ranges = Arc<[Range<usize>]>;

/// The hosts that take containers and meet a set of constraints.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Who meets it.
    pub(super) ranges: Ranges,
    /// Why the others do not, counted.
    pub(super) others: Reasons,
    /// What makes it.
    pub(super) asked: Box<[Constraint]>,
    members: Box<[u64]>,
}

impl Class {
    /// Whether the host takes containers and meets the constraints.
    pub(super) fn has(&self, host: usize) -> bool {
        self.members[host / 64] >> (host % 64) & 1 == 1
    }

    /// Why the host is not of the class; nothing when it is.
    pub(super) fn against(&self, host: &Host) -> Option<Reason> {
        against(host, &self.asked)
    }

    /// Its hosts, in their order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().flat_map(Clone::clone)
    }
}

/// The values of a label of hosts, over which containers are spread.
#[derive(Clone, Debug)]
pub(super) struct Zones {
    /// For each host the number of its value; hosts without the label have one together.
    pub(super) of: Vec<u32>,
    /// How many values there are.
    pub(super) count: usize,
}

/// The sets of constraints that have been asked for, and the labels that are spread over.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    numbers: HashMap<Box<[Constraint]>, u32, RandomState>,
    all: Vec<Class>,
    labels: HashMap<Box<str>, u32>,
    zones: Vec<Zones>,
    split: HashMap<(u32, u32), Box<[Ranges]>>,
}

impl Classes {
    /// The number of the class that meets these constraints.
    pub(super) fn number(&mut self, asked: &[Constraint], hosts: &[Host]) -> u32 {
        if let Some(known) = self.numbers.get(asked) {
            return *known;
        }
        let number = self.all.len() as u32;
        self.all.push(class(asked, hosts));
        self.numbers.insert(asked.into(), number);
        number
    }

    /// The class of that number.
    pub(super) fn get(&self, number: u32) -> &Class {
        &self.all[number as usize]
    }

    /// The number of the label over whose values something is spread.
    pub(super) fn label(&mut self, name: &str, hosts: &[Host]) -> u32 {
        if let Some(known) = self.labels.get(name) {
            return *known;
        }
        let number = self.zones.len() as u32;
        self.zones.push(zones(name, hosts));
        self.labels.insert(name.into(), number);
        number
    }

    /// The values of the label.
    pub(super) fn zones(&self, label: u32) -> &Zones {
        &self.zones[label as usize]
    }

    /// Works out the hosts of a class apart for each value of the label.
    pub(super) fn learn_split(&mut self, class: u32, label: u32) {
        if self.split.contains_key(&(class, label)) {
            return;
        }
        let zones = &self.zones[label as usize];
        let mut hosts = vec![Vec::new(); zones.count];
        for host in self.all[class as usize].hosts() {
            hosts[zones.of[host] as usize].push(host);
        }
        self.split.insert((class, label), hosts.into_iter().map(ranges).collect());
    }

    /// Works all of it out anew, for hosts of which some are up or drain that did not before.
    pub(super) fn look_again(&mut self, hosts: &[Host]) {
        for known in &mut self.all {
            *known = class(&known.asked, hosts);
        }
        for (class, label) in std::mem::take(&mut self.split).into_keys() {
            self.learn_split(class, label);
        }
    }

    /// The hosts of a class apart for each value of the label, once that is worked out.
    pub(super) fn split(&self, class: u32, label: u32) -> &[Ranges] {
        self.split.get(&(class, label)).map_or(&[], |split| split)
    }
}

fn class(asked: &[Constraint], hosts: &[Host]) -> Class {
    let mut members = vec![0u64; hosts.len().div_ceil(64)];
    let mut others = BTreeMap::new();
    for (at, host) in hosts.iter().enumerate() {
        match against(host, asked) {
            None => members[at / 64] |= 1 << (at % 64),
            Some(reason) => *others.entry(reason).or_insert(0) += 1,
        }
    }
    let there = (0..hosts.len()).filter(|at| members[at / 64] >> (at % 64) & 1 == 1);
    let ranges = ranges(there);
    Class { ranges, others, asked: asked.into(), members: members.into() }
}

/// What speaks against a host for good: its state, or its labels.
fn against(host: &Host, asked: &[Constraint]) -> Option<Reason> {
    match host.state {
        Some(HostState::Drain) => return Some(Reason::Drains),
        Some(HostState::Down) => return Some(Reason::Down),
        Some(HostState::Active) | None => (),
    }
    let value = |label: &str| host.labels.get(label).map(String::as_str);
    let unmet = asked.iter().find(|asked| !asked.holds(value(&asked.label)));
    unmet.map(|asked| Reason::Unmet(asked.clone()))
}

/// The ranges that ascending numbers make.
fn ranges(hosts: impl IntoIterator<Item = usize>) -> Ranges {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for host in hosts {
        match ranges.last_mut() {
            Some(last) if last.end == host => last.end = host + 1,
            _ => ranges.push(host..host + 1),
        }
    }
    ranges.into()
}

fn zones(name: &str, hosts: &[Host]) -> Zones {
    let mut values = HashMap::new();
    let mut of = Vec::with_capacity(hosts.len());
    for host in hosts {
        let next = values.len() as u32;
        of.push(*values.entry(host.labels.get(name)).or_insert(next));
    }
    Zones { of, count: values.len() }
}

/// The hosts in an order in which those of one label stand together; each with its place in the
/// list.
pub(super) fn ordered(hosts: Vec<Host>) -> Vec<(u32, Host)> {
    let mut values: BTreeMap<String, BTreeSet<Option<&str>>> = BTreeMap::new();
    for name in hosts.iter().flat_map(|host| host.labels.keys()) {
        if !values.contains_key(name) {
            let of = hosts.iter().map(|host| host.labels.get(name).map(String::as_str));
            values.insert(name.clone(), of.collect());
        }
    }
    let mut names: Vec<(usize, String)> =
        values.into_iter().map(|(name, values)| (values.len(), name)).collect();
    names.sort();
    let mut hosts: Vec<(u32, Host)> = (0..).zip(hosts).collect();
    let labels = |host: &Host, other: &Host| {
        let by = |(_, name): &(usize, String)| host.labels.get(name).cmp(&other.labels.get(name));
        names.iter().map(by).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    hosts.sort_by(|(_, host), (_, other)| labels(host, other));
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(labels: &[&str]) -> Vec<Host> {
        let host = |(at, labels): (usize, &&str)| {
            let text = format!(r#"{{"id":"{at}","url":"unix:///{at}","labels":{{{labels}}}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let list = labels.iter().enumerate().map(host).collect();
        ordered(list).into_iter().map(|(_, host)| host).collect()
    }

    #[test]
    fn hosts_that_meet_a_constraint_stand_side_by_side() {
        let labels: Vec<String> = (0..12)
            .map(|n| format!(r#""name":"{n}","zone":"{}","rack":"{}""#, n % 2, n % 3))
            .collect();
        let texts: Vec<&str> = labels.iter().map(String::as_str).collect();
        let hosts = hosts(&texts);
        let mut classes = Classes::default();
        let mut class = |text: &str| {
            let asked: Constraint = text.parse().unwrap();
            let number = classes.number(std::slice::from_ref(&asked), &hosts);
            assert_eq!(number, classes.number(&[asked], &hosts));
            classes.get(number).clone()
        };
        assert_eq!(&*class("zone=1").ranges, vec![6..12]);
        assert_eq!(class("rack=1").ranges.len(), 2);
        let one = class("name=7");
        assert_eq!(one.hosts().count(), 1);
        assert_eq!(one.others, Reasons::from([(Reason::Unmet("name=7".parse().unwrap()), 11)]));
        assert!(one.hosts().all(|host| one.has(host)));
    }

    #[test]
    fn a_class_is_split_by_the_values_of_a_label() {
        let hosts = hosts(&[r#""zone":"a""#, r#""zone":"b""#, "", r#""zone":"a""#]);
        let mut classes = Classes::default();
        let (class, label) = (classes.number(&[], &hosts), classes.label("zone", &hosts));
        classes.learn_split(class, label);
        let sizes: Vec<usize> = classes
            .split(class, label)
            .iter()
            .map(|ranges| ranges.iter().map(ExactSizeIterator::len).sum())
            .collect();
        assert_eq!(sizes, [1, 2, 1], "without, a, b");
    }
}
