//! The choice of a host for one container.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Strategy;
use super::company::{Places, Spots};
use super::ground::{Being, Ground};
use super::reason::{Reason, Reasons};
use crate::random::Random;
use crate::record::{Affinity, ContainerId, Peer};

/// How often a host is drawn at random before all that fit are listed.
const DRAWS: usize = 16;

/// What a container allows of hosts, beyond resources and labels.
struct Limits<'a> {
    /// It must be with these.
    with: Vec<(&'a Peer, Places<'a>)>,
    /// It must not be with these.
    without: Vec<(&'a Peer, Places<'a>)>,
    /// These must not be with it.
    unwelcome: Vec<(Peer, &'a Spots)>,
    /// It must be where its private network is.
    network: Option<(&'a str, &'a Spots)>,
}

impl Limits<'_> {
    /// The hosts of which one is to be taken; nothing when it may be any.
    fn only(&self) -> Option<Vec<u32>> {
        let with = self.with.first().map(|(_, places)| places.hosts().collect());
        with.or_else(|| self.network.map(|(_, spots)| spots.keys().copied().collect()))
    }
}

impl Ground {
    /// The host for a container that is on none; nothing when none fits.
    pub(super) fn choose(
        &self,
        id: &ContainerId,
        being: Being,
        random: &mut Random,
    ) -> Option<u32> {
        let need = self.need(being);
        if self.needs.missing(need).is_some() {
            return None;
        }
        let class = self.classes.get(need.class);
        let limits = self.limits(id, being);
        if self.is_plain(being) && limits.unwelcome.is_empty() {
            return match self.closed.is_empty() {
                true => self.pick(being, &class.ranges, random, |_| true),
                false => self.pick(being, &class.ranges, random, |h| !self.closed.contains(&h)),
            };
        }
        let allowed =
            |host| !self.closed.contains(&host) && self.limited(being, &limits, host).is_none();
        if let Some(mut only) = limits.only() {
            only.sort_unstable();
            only.dedup();
            only.retain(|host| class.has(*host as usize));
            return self.pick_wished(being, &[], &only, random, allowed);
        }
        self.by_zone(id, being)
            .iter()
            .find_map(|ranges| self.pick_wished(being, ranges, &[], random, allowed))
    }

    /// Whether the container fits the host, all told.
    pub(super) fn fits(&self, id: &ContainerId, being: Being, host: u32) -> bool {
        self.against(id, being, host).is_none()
    }

    /// What speaks against the host, for a container that is not on it; nothing when it fits.
    pub(super) fn against(&self, id: &ContainerId, being: Being, host: u32) -> Option<Reason> {
        let class = self.classes.get(self.need(being).class);
        let constant = class.against(&self.hosts[host as usize]);
        constant.or_else(|| self.against_now(being, &self.limits(id, being), host))
    }

    /// What speaks against the hosts, counted.
    pub(super) fn reasons(&self, id: &ContainerId, being: Being) -> Reasons {
        let class = self.classes.get(self.need(being).class);
        let limits = self.limits(id, being);
        let mut reasons = class.others.clone();
        for host in class.hosts() {
            if let Some(reason) = self.against_now(being, &limits, host as u32) {
                *reasons.entry(reason).or_insert(0) += 1;
            }
        }
        reasons
    }

    /// What may change and speaks against the host.
    fn against_now(&self, being: Being, limits: &Limits, host: u32) -> Option<Reason> {
        let need = self.need(being);
        if let Some(missing) = self.needs.missing(need) {
            return Some(Reason::Lacks(missing.into()));
        }
        let lacking = || {
            let at = self.rooms.lacks(host as usize, &need.demand)?;
            Some(Reason::Lacks(self.rooms.names[at].as_str().into()))
        };
        self.limited(being, limits, host).or_else(lacking)
    }

    /// What of its company or ports speaks against the host.
    fn limited(&self, being: Being, limits: &Limits, host: u32) -> Option<Reason> {
        if let Some((peer, _)) = limits.with.iter().find(|(_, places)| !places.has(host)) {
            return Some(Reason::Without((*peer).clone()));
        }
        if let Some((peer, _)) = limits.without.iter().find(|(_, places)| places.has(host)) {
            return Some(Reason::With((*peer).clone()));
        }
        if let Some((name, _)) = limits.network.filter(|(_, spots)| !spots.contains_key(&host)) {
            return Some(Reason::OffNetwork(name.into()));
        }
        let refused = limits.unwelcome.iter().find(|(_, spots)| spots.contains_key(&host));
        if let Some((peer, _)) = refused {
            return Some(Reason::Unwelcome(peer.clone()));
        }
        let slots = self.needs.ports(self.need(being));
        self.ports.clash(host, slots).map(|slot| Reason::Port(slot.to_string()))
    }

    fn limits(&self, id: &ContainerId, being: Being) -> Limits<'_> {
        let company = self.company(being);
        let mut with = self.hard(&company.with);
        // The first of those that want to be together goes anywhere.
        with.retain(|(peer, places)| {
            self.is_any_open(peer, places) || !self.neighbours.is_one(peer, id, being.traits)
        });
        Limits {
            with,
            network: self.network(being),
            without: self.hard(&company.without),
            unwelcome: self.neighbours.refusals(id, being.traits),
        }
    }

    /// The container's private network, if it is on a host, and where.
    pub(super) fn network(&self, being: Being) -> Option<(&str, &Spots)> {
        let known = self.neighbours.network(being.traits);
        known.filter(|(_, spots)| spots.keys().any(|host| self.is_open(*host)))
    }

    /// Whether any of the peers is where it is to stay.
    pub(super) fn is_any_open(&self, peer: &Peer, places: &Places<'_>) -> bool {
        matches!(peer, Peer::Host(_)) || places.hosts().any(|host| self.is_open(host))
    }

    /// The conditions among these, with where the peers are.
    fn hard<'a>(&'a self, of: &'a [Affinity]) -> Vec<(&'a Peer, Places<'a>)> {
        let hard = of.iter().filter(|affinity| affinity.hard);
        hard.map(|affinity| (&affinity.to, self.peers(&affinity.to))).collect()
    }

    /// Whether it waits for containers that are nowhere yet.
    pub(super) fn lacks_company(&self, id: &ContainerId, being: Being) -> bool {
        self.missed(id, being).next().is_some()
    }

    /// The containers that it must be with, and that are nowhere yet.
    pub(super) fn missed(&self, id: &ContainerId, being: Being) -> impl Iterator<Item = &Peer> {
        let mut with = self.limits(id, being).with;
        with.retain(|(peer, places)| !self.is_any_open(peer, places));
        with.into_iter().map(|(peer, _)| peer)
    }

    /// The hosts of the container's class; if its group is spread over a label, those of the values
    /// with the fewest of the group come first.
    fn by_zone(&self, id: &ContainerId, being: Being) -> Vec<Vec<Range<usize>>> {
        let class = self.need(being).class;
        let Some(label) = self.company(being).spread else {
            return vec![self.classes.get(class).ranges.to_vec()];
        };
        let zones = self.classes.zones(label);
        let mut counts = self.neighbours.zones(id, being.traits, label);
        let head = self.neighbours.group_name(being.traits).and_then(|name| self.named(name));
        if let Some((host, of)) = head
            && self.neighbours.group_name(of.traits).is_none()
        {
            counts[zones.of[host as usize] as usize] += 1;
        }
        let mut levels: BTreeMap<u32, Vec<Range<usize>>> = BTreeMap::new();
        for (count, ranges) in counts.into_iter().zip(self.classes.split(class, label)) {
            levels.entry(count).or_default().extend(ranges.iter().cloned());
        }
        levels.into_values().collect()
    }

    /// The best host in the ranges, or of the few, by the container's wishes and then by the
    /// strategy.
    fn pick_wished(
        &self,
        being: Being,
        ranges: &[Range<usize>],
        few: &[u32],
        random: &mut Random,
        allowed: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let company = self.company(being);
        let mut scores: BTreeMap<u32, i64> = BTreeMap::new();
        for (of, worth) in [(&company.with, 1), (&company.without, -1)] {
            for Affinity { to, .. } in of.iter().filter(|affinity| !affinity.hard) {
                self.peers(to).hosts().for_each(|host| *scores.entry(host).or_insert(0) += worth);
            }
        }
        scores.retain(|_, score| *score != 0);
        let within = |host: &u32| {
            few.binary_search(host).is_ok()
                || ranges.iter().any(|range| range.contains(&(*host as usize)))
        };
        let mut levels: BTreeMap<std::cmp::Reverse<i64>, Vec<u32>> = BTreeMap::new();
        for (host, score) in scores.iter().filter(|(host, _)| within(host)) {
            levels.entry(std::cmp::Reverse(*score)).or_default().push(*host);
        }
        let plain: Vec<u32> = few.iter().filter(|h| !scores.contains_key(h)).copied().collect();
        levels.entry(std::cmp::Reverse(0)).or_default().extend(plain);
        levels.into_iter().find_map(|(score, hosts)| {
            let listed = self.pick_of(being, &hosts, random, &allowed);
            match score.0 {
                0 => listed.or_else(|| {
                    let unlisted = |host| !scores.contains_key(&host) && allowed(host);
                    self.pick(being, ranges, random, unlisted)
                }),
                _ => listed,
            }
        })
    }

    /// The best by the strategy of the hosts in the ranges that have room and are allowed.
    fn pick(
        &self,
        being: Being,
        ranges: &[Range<usize>],
        random: &mut Random,
        allowed: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let demand = &self.need(being).demand;
        if self.strategy == Strategy::Random {
            return self.draw(being, ranges, random, allowed);
        }
        self.tree.best(ranges, demand, |host| allowed(host as u32)).map(|host| host as u32)
    }

    /// The best by the strategy of these hosts.
    fn pick_of(
        &self,
        being: Being,
        hosts: &[u32],
        random: &mut Random,
        allowed: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let demand = &self.need(being).demand;
        let fits =
            |host: &&u32| self.rooms.lacks(**host as usize, demand).is_none() && allowed(**host);
        if self.strategy == Strategy::Random {
            let fit: Vec<u32> = hosts.iter().filter(fits).copied().collect();
            return random.one_of(&fit).copied();
        }
        let key = |host: &&u32| {
            self.rooms.key(**host as usize, self.strategy, self.rank[**host as usize])
        };
        hosts.iter().filter(fits).min_by_key(key).copied()
    }

    /// Any of the hosts in the ranges that fit, each as likely as the next.
    fn draw(
        &self,
        being: Being,
        ranges: &[Range<usize>],
        random: &mut Random,
        allowed: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let demand = &self.need(being).demand;
        let fits = |host: usize| self.rooms.lacks(host, demand).is_none() && allowed(host as u32);
        let all: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        for _ in 0..DRAWS {
            let mut at = random.below(all);
            let drawn = ranges.iter().find_map(|range| match range.len() {
                len if at < len => Some(range.start + at),
                len => {
                    at -= len;
                    None
                }
            });
            if let Some(host) = drawn.filter(|host| fits(*host)) {
                return Some(host as u32);
            }
        }
        let fit: Vec<usize> = ranges.iter().flat_map(Clone::clone).filter(|h| fits(*h)).collect();
        random.one_of(&fit).map(|host| *host as u32)
    }
}
