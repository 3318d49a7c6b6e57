//! What hosts have, how much of it is taken, and by how many containers.

use std::collections::BTreeSet;

use super::Strategy;
use super::tree::Key;
use crate::record::Host;

/// The resource that every container takes one of.
pub(super) const CONTAINERS: &str = "containers";

/// The capacity of a resource that a host does not count.
const UNCOUNTED: u64 = u64::MAX;

/// A host that counts nothing is as busy as one that has room for so many containers.
const ROOM_FOR: f64 = 100.0;

/// Resources by host, in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    /// The resources that some host counts, by name.
    pub(super) names: Vec<String>,
    capacity: Vec<u64>,
    used: Vec<u64>,
    /// One over the capacity; 0 where it is not counted.
    per: Vec<f64>,
    /// For each resource one over the largest capacity.
    largest: Vec<f64>,
    /// Whether what was there from the start is in `used` already.
    told: Vec<bool>,
    count: Vec<u64>,
    told_count: Vec<bool>,
    /// When a host was last chosen, in choices.
    turn: Vec<u64>,
    turns: u64,
}

/// Whether a container was on its host before the program heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was: a host that tells its use has counted it.
    There,
    /// It is new.
    New,
}

impl Rooms {
    pub(super) fn new(hosts: &[Host]) -> Rooms {
        let named: BTreeSet<&String> = hosts.iter().flat_map(|host| host.capacity.keys()).collect();
        let names: Vec<String> = named.into_iter().cloned().collect();
        let (mut capacity, mut used, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for host in hosts {
            for name in &names {
                // A host of which nothing is known has a processor and memory, and no more.
                let bare = if is_common(name) { UNCOUNTED } else { 0 };
                capacity.push(host.capacity.get(name).map_or(bare, |amount| amount.milli()));
                let of = host.used.as_ref();
                let (start, is_told) = match (name.as_str(), of) {
                    (_, None) => (0, false),
                    (CONTAINERS, Some(of)) => (of.containers.saturating_mul(1000), true),
                    (_, Some(of)) => {
                        let amount = of.resources.get(name);
                        (amount.map_or(0, |amount| amount.milli()), amount.is_some())
                    }
                };
                used.push(start);
                told.push(is_told);
            }
        }
        let counted = |of: &u64| if matches!(*of, 0 | UNCOUNTED) { 0.0 } else { 1.0 / *of as f64 };
        let per: Vec<f64> = capacity.iter().map(counted).collect();
        let largest = |r: usize| {
            let all = per.iter().skip(r).step_by(names.len()).filter(|per| **per > 0.0);
            all.copied().reduce(f64::min).unwrap_or(0.0)
        };
        Rooms {
            largest: (0..names.len()).map(largest).collect(),
            per,
            capacity,
            used,
            told,
            count: hosts.iter().map(|h| h.used.as_ref().map_or(0, |u| u.containers)).collect(),
            told_count: hosts.iter().map(|host| host.used.is_some()).collect(),
            turn: vec![0; hosts.len()],
            turns: 0,
            names,
        }
    }

    /// How many resources are counted.
    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    /// How many containers the host has.
    pub(super) fn count(&self, host: usize) -> u64 {
        self.count[host]
    }

    /// Whether anything is on the host.
    pub(super) fn is_used(&self, host: usize) -> bool {
        let at = host * self.width();
        self.count[host] > 0 || self.used[at..at + self.width()].iter().any(|used| *used > 0)
    }

    /// What is free on the host, resource by resource.
    pub(super) fn free(&self, host: usize, into: &mut [u64]) {
        let at = host * self.width();
        for (offset, free) in into.iter_mut().enumerate() {
            *free = self.free_of(at + offset);
        }
    }

    fn free_of(&self, at: usize) -> u64 {
        match self.capacity[at] {
            UNCOUNTED => UNCOUNTED,
            capacity => capacity.saturating_sub(self.used[at]),
        }
    }

    /// The first resource of which the host has too little.
    pub(super) fn lacks(&self, host: usize, demand: &[u64]) -> Option<usize> {
        let at = host * self.width();
        (0..demand.len()).find(|r| demand[*r] > 0 && self.free_of(at + r) < demand[*r])
    }

    /// The greatest share that this is of what the largest host has.
    pub(super) fn most(&self, demand: &[u64]) -> f64 {
        let share = |(demand, least): (&u64, &f64)| *demand as f64 * least;
        demand.iter().zip(&self.largest).map(share).fold(0.0, f64::max)
    }

    /// Puts a container on the host, fit or not.
    pub(super) fn take(&mut self, host: usize, demand: &[u64], known: Known) {
        let at = host * self.width();
        for (offset, demand) in demand.iter().enumerate() {
            if known == Known::New || !self.told[at + offset] {
                self.used[at + offset] = self.used[at + offset].saturating_add(*demand);
            }
        }
        self.count[host] += u64::from(known == Known::New || !self.told_count[host]);
    }

    /// Takes a container off the host.
    pub(super) fn give(&mut self, host: usize, demand: &[u64]) {
        let at = host * self.width();
        for (offset, demand) in demand.iter().enumerate() {
            self.used[at + offset] = self.used[at + offset].saturating_sub(*demand);
        }
        self.count[host] = self.count[host].saturating_sub(1);
    }

    /// Takes a container off that was never heard of, where the host has told that it counts it.
    pub(super) fn give_told(&mut self, host: usize, demand: &[u64]) {
        let at = host * self.width();
        for (offset, demand) in demand.iter().enumerate() {
            if self.told[at + offset] {
                self.used[at + offset] = self.used[at + offset].saturating_sub(*demand);
            }
        }
        if self.told_count[host] {
            self.count[host] = self.count[host].saturating_sub(1);
        }
    }

    /// Remembers that the host was chosen just now.
    pub(super) fn chosen(&mut self, host: usize) {
        self.turns += 1;
        self.turn[host] = self.turns;
    }

    /// The greatest share that is taken of anything that the host counts.
    pub(super) fn share(&self, host: usize) -> f64 {
        let at = host * self.width();
        let shares = (at..at + self.width()).filter(|at| self.per[*at] > 0.0);
        let most = shares.map(|at| self.used[at] as f64 * self.per[at]).reduce(f64::max);
        most.unwrap_or(self.count[host] as f64 / ROOM_FOR)
    }

    /// How good the host is by the strategy; `rank` is its place in the list.
    pub(super) fn key(&self, host: usize, strategy: Strategy, rank: u32) -> Key {
        let busy = match strategy {
            Strategy::LeastBusy => self.count[host],
            Strategy::Spread => shares(self.share(host)),
            Strategy::Binpack => u64::from(u32::MAX) * 1000 - shares(self.fill(host)),
            Strategy::RoundRobin => self.turn[host],
            Strategy::Random | Strategy::Fixed => 0,
        };
        let count = match strategy {
            Strategy::Spread => self.count[host].min(u32::MAX.into()),
            _ => 0,
        };
        Key::from(busy) << 64 | Key::from(count) << 32 | Key::from(rank)
    }

    /// The sum of the shares that are taken of all that the host counts.
    fn fill(&self, host: usize) -> f64 {
        let at = host * self.width();
        let sum: f64 = (at..at + self.width()).map(|at| self.used[at] as f64 * self.per[at]).sum();
        if sum == 0.0 { self.count[host] as f64 / ROOM_FOR } else { sum }
    }
}

/// Whether a host that does not name the resource has it all the same, uncounted.
pub(super) fn is_common(name: &str) -> bool {
    matches!(name, "cpus" | "memory" | CONTAINERS)
}

/// A share as a number that can be compared: billionths, up to a thousand wholes.
fn shares(share: f64) -> u64 {
    (share.min(999.0) * f64::from(u32::MAX)) as u64
}
