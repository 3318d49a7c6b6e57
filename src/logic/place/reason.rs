//! Why a host does not take a container.

use std::collections::BTreeMap;

use crate::error::{Error, Kind};
use crate::record::{Constraint, LabelTest, Peer};

/// The first thing that speaks against a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// It takes no more containers.
    Drains,
    /// It does not answer.
    Down,
    /// Its labels are not what is asked for.
    Unmet(Constraint),
    /// What the container has to be with is not there.
    Without(Peer),
    /// What the container must not be with is there.
    With(Peer),
    /// A container is there that must not be with this one.
    Unwelcome(Peer),
    /// The private network that the container is in is on another host.
    OffNetwork(Box<str>),
    /// A port that the container publishes is taken.
    Port(String),
    /// Too little of a resource is free.
    Lacks(Box<str>),
}

impl Reason {
    /// What follows the number of hosts: `lack memory`.
    pub(super) fn words(&self, hosts: usize) -> String {
        let told = self.of(hosts.min(2) as u32);
        told.split_once(' ').map_or(String::new(), |(_, words)| words.to_owned())
    }

    /// The reason as it holds for one host that was named: `it lacks memory`.
    pub(super) fn alone(&self) -> String {
        self.of(1).replacen('1', "it", 1)
    }

    /// The reason as it holds for so many hosts: `1 lacks memory`, `3 lack memory`.
    pub(super) fn of(&self, hosts: u32) -> String {
        let one = hosts == 1;
        let verb = |singular: &str, plural: &str| (if one { singular } else { plural }).to_owned();
        let told = match self {
            Reason::Drains => verb("drains", "drain"),
            Reason::Down => verb("is down", "are down"),
            Reason::Unmet(asked) => unmet(asked, one),
            Reason::Without(peer) => format!("{} {}", verb("is", "are"), apart(peer)),
            Reason::With(Peer::Host(id)) => format!("{} host {id}", verb("is", "are")),
            Reason::With(peer) => format!("{} {}", verb("has", "have"), name(peer)),
            Reason::Unwelcome(peer) => {
                format!("{} what must not be with {}", verb("has", "have"), name(peer))
            }
            Reason::OffNetwork(name) => {
                format!("{} without private network {name}", verb("is", "are"))
            }
            Reason::Port(port) => format!("{} port {port} taken", verb("has", "have")),
            Reason::Lacks(resource) => format!("{} {resource}", verb("lacks", "lack")),
        };
        format!("{hosts} {told}")
    }
}

fn unmet(asked: &Constraint, one: bool) -> String {
    let Constraint { label, test } = asked;
    let (be, have, lack) = if one { ("is", "has", "lacks") } else { ("are", "have", "lack") };
    match test {
        LabelTest::Exists => format!("{lack} label {label}"),
        LabelTest::Missing => format!("{have} label {label}"),
        LabelTest::In(_) => format!("{be} not {asked}"),
        LabelTest::NotIn(values) => {
            let excluded = LabelTest::In(values.clone());
            format!("{be} {}", Constraint { label: label.clone(), test: excluded })
        }
    }
}

fn apart(peer: &Peer) -> String {
    match peer {
        Peer::Host(id) => format!("not host {id}"),
        peer => format!("without {}", name(peer)),
    }
}

/// A peer as a message names it.
fn name(peer: &Peer) -> String {
    match peer {
        Peer::Host(id) => format!("host {id}"),
        Peer::Container(id) => format!("container {id}"),
        Peer::Group(group) => format!("group {group}"),
        Peer::Label(label, None) => format!("label {label}"),
        Peer::Label(label, Some(value)) => format!("label {label}={value}"),
    }
}

/// Reasons with the number of hosts that each holds for.
pub(super) type Reasons = BTreeMap<Reason, u32>;

/// That no host takes the container: all reasons, the most frequent first.
pub(super) fn nowhere(reasons: &Reasons) -> Error {
    let closed = |reason: &Reason| matches!(reason, Reason::Drains | Reason::Down);
    if reasons.keys().all(closed) {
        return Error::new(Kind::Unavailable, "no host takes containers")
            .why("all drain or are down");
    }
    let mut reasons: Vec<(&Reason, &u32)> = reasons.iter().collect();
    reasons.sort_by_key(|(_, hosts)| std::cmp::Reverse(**hosts));
    let told: Vec<String> = reasons.into_iter().map(|(reason, hosts)| reason.of(*hosts)).collect();
    Error::new(Kind::Unavailable, "no host fits").why(told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_in_plain_words() {
        let unmet = |text: &str| Reason::Unmet(text.parse().unwrap());
        for (reason, one, more) in [
            (Reason::Drains, "1 drains", "2 drain"),
            (Reason::Lacks("memory".into()), "1 lacks memory", "2 lack memory"),
            (unmet("zone=eu"), "1 is not zone=eu", "2 are not zone=eu"),
            (unmet("zone!=eu"), "1 is zone=eu", "2 are zone=eu"),
            (unmet("ssd"), "1 lacks label ssd", "2 lack label ssd"),
            (unmet("!ssd"), "1 has label ssd", "2 have label ssd"),
            (
                Reason::OffNetwork("n".into()),
                "1 is without private network n",
                "2 are without private network n",
            ),
        ] {
            assert_eq!((reason.of(1), reason.of(2)), (one.to_owned(), more.to_owned()));
        }
        let reasons = Reasons::from([(Reason::Drains, 2), (unmet("zone=eu"), 5)]);
        assert_eq!(nowhere(&reasons).to_string(), "no host fits: 5 are not zone=eu, 2 drain");
        let reasons = Reasons::from([(Reason::Drains, 2), (Reason::Down, 1)]);
        assert!(nowhere(&reasons).to_string().ends_with("all drain or are down"));
    }
}
