//! What is to be known of each attachment while nobody works on it. The rest is in its file.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::record::Ifname;

/// One attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is plugged into on the host.
    pub segment: Ifname,
    /// The engine's id of its container.
    pub docker: Option<String>,
    /// What its leases are known by, in the order of [`Family`].
    pub leases: [Option<Print>; 2],
}

/// The protocol by which something is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// DHCPv6.
    Six,
    /// DHCPv4.
    Four,
}

impl Family {
    /// Both, in their order.
    pub const BOTH: [Family; 2] = [Family::Six, Family::Four];
}

/// One of an attachment's leases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Which {
    /// The attachment.
    pub link: Ifname,
    /// The protocol.
    pub family: Family,
}

impl Which {
    /// The lease of that attachment and family.
    pub fn of(link: &Ifname, family: Family) -> Which {
        Which { link: link.clone(), family }
    }
}

/// What tells a lease from the same one with other times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// When it was obtained.
    pub obtained: Timestamp,
    /// T1.
    pub renew: Option<Timestamp>,
    /// T2.
    pub rebind: Option<Timestamp>,
    /// The end of what ends last.
    pub end: Option<Timestamp>,
}

/// All of them, by the names of their links.
#[derive(Debug, Default)]
pub struct Roster {
    known: HashMap<Ifname, Known>,
    by_docker: HashMap<String, BTreeSet<Ifname>>,
    by_segment: HashMap<Ifname, BTreeSet<Ifname>>,
}

impl Roster {
    /// Takes one in, or anew; what was known of it.
    pub fn put(&mut self, link: &Ifname, known: Known) -> Option<Known> {
        let before = self.remove(link);
        if let Some(id) = &known.docker {
            self.by_docker.entry(id.clone()).or_default().insert(link.clone());
        }
        self.by_segment.entry(known.segment.clone()).or_default().insert(link.clone());
        self.known.insert(link.clone(), known);
        before
    }

    /// Forgets one.
    pub fn remove(&mut self, link: &Ifname) -> Option<Known> {
        let known = self.known.remove(link)?;
        if let Some(id) = &known.docker {
            take_out(&mut self.by_docker, id, link);
        }
        take_out(&mut self.by_segment, &known.segment, link);
        Some(known)
    }

    /// What is known of one.
    pub fn get(&self, link: &Ifname) -> Option<&Known> {
        self.known.get(link)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Ifname> {
        self.known.keys()
    }

    /// The links of one container.
    pub fn of_docker(&self, id: &str) -> impl Iterator<Item = &Ifname> {
        self.by_docker.get(id).into_iter().flatten()
    }

    /// The links on one segment.
    pub fn on_segment(&self, segment: &Ifname) -> impl Iterator<Item = &Ifname> {
        self.by_segment.get(segment).into_iter().flatten()
    }

    /// Whether anything is plugged in there.
    pub fn is_segment(&self, name: &Ifname) -> bool {
        self.by_segment.contains_key(name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }
}

fn take_out<K: std::hash::Hash + Eq + Clone>(
    map: &mut HashMap<K, BTreeSet<Ifname>>,
    key: &K,
    link: &Ifname,
) {
    if let Some(links) = map.get_mut(key) {
        links.remove(link);
        if links.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_find_one_ends_with_it() {
        let name = |text: &str| -> Ifname { text.parse().unwrap() };
        let known = |segment: &str, id: &str| Known {
            segment: name(segment),
            docker: Some(id.to_owned()),
            leases: [None; 2],
        };
        let mut roster = Roster::default();
        roster.put(&name("lpa"), known("br1", "1"));
        roster.put(&name("lpb"), known("br1", "1"));
        assert_eq!(roster.of_docker("1").count(), 2);
        roster.put(&name("lpb"), known("br2", "2"));
        assert_eq!(roster.of_docker("1").collect::<Vec<_>>(), [&name("lpa")]);
        assert_eq!(roster.on_segment(&name("br2")).collect::<Vec<_>>(), [&name("lpb")]);
        roster.remove(&name("lpa"));
        assert!(!roster.is_segment(&name("br1")) && roster.of_docker("1").next().is_none());
        assert_eq!((roster.len(), roster.links().count()), (1, 1));
    }
}
