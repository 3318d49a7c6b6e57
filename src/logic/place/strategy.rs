//! How one host is chosen among those that fit.

use std::fmt;
use std::str::FromStr;

use crate::record::NotA;

/// What decides between hosts that all have what a container needs. Hosts that are equal by it are
/// taken in the order of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The host with the fewest containers.
    #[default]
    LeastBusy,
    /// The host of which the smallest share is used: of the resource that is scarcest on it.
    Spread,
    /// As few hosts as possible, each as full as possible.
    Binpack,
    /// Any, each as likely as the next.
    Random,
    /// One after the other.
    RoundRobin,
    /// The one that the container names, and no other.
    Fixed,
}

const ALL: [(Strategy, &str); 6] = [
    (Strategy::LeastBusy, "least-busy"),
    (Strategy::Spread, "spread"),
    (Strategy::Binpack, "binpack"),
    (Strategy::Random, "random"),
    (Strategy::RoundRobin, "round-robin"),
    (Strategy::Fixed, "fixed"),
];

impl FromStr for Strategy {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Strategy, NotA> {
        let known = ALL.iter().find(|(_, name)| *name == text).map(|(strategy, _)| *strategy);
        known.ok_or_else(|| {
            let what = "a strategy (least-busy, spread, binpack, random, round-robin, fixed)";
            NotA::new(text, what)
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = ALL.iter().find(|(strategy, _)| strategy == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_as_they_are_written() {
        for (strategy, name) in ALL {
            assert_eq!((name.parse(), strategy.to_string()), (Ok(strategy), name.to_owned()));
        }
        assert!("best".parse::<Strategy>().is_err());
    }
}
