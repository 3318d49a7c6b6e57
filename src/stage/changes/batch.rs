//! How many of a group's containers may be away at the same time.

use std::num::NonZeroUsize;
use std::str::FromStr;

use crate::record::NotA;

/// What a change means for how many of its group are away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The group: containers that stand in for each other.
    pub group: Box<str>,
    /// What becomes of the container.
    pub effect: Effect,
}

/// What becomes of a container by a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It runs, goes away, and is back when the change is done.
    Renewed,
    /// It runs, goes away, and stays so until another change brings it back.
    Rested,
    /// It comes, or stays, and takes away nothing that runs, as far as is known.
    Brought,
    /// It goes for good, because it is wanted no more: who is gone is not away.
    Removed,
}

impl Effect {
    /// Whether it is away meanwhile.
    pub fn takes_away(self) -> bool {
        matches!(self, Effect::Renewed | Effect::Rested)
    }
}

/// How carefully containers are taken away.
#[derive(clap::Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Care {
    /// Have at most N, or N percent, of a group's containers away at the same time
    #[arg(long, value_name = "N|N%")]
    pub max_unavailable: Option<MaxUnavailable>,
    /// Take away no more of a group's containers when one has failed
    #[arg(long)]
    pub pause_on_failure: bool,
}

impl Care {
    /// Whether any is taken.
    pub fn is_taken(self) -> bool {
        self != Care::default()
    }
}

/// The most of a group's containers that may be away at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// So many.
    Count(NonZeroUsize),
    /// So many percent, rounded down, and one at least.
    Percent(u8),
}

impl FromStr for MaxUnavailable {
    type Err = NotA;

    fn from_str(text: &str) -> Result<MaxUnavailable, NotA> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
                percent.map(MaxUnavailable::Percent)
            }
            None => text.parse().ok().map(MaxUnavailable::Count),
        };
        parsed
            .ok_or_else(|| NotA::new(text, "a number of containers from 1 or a share such as 25%"))
    }
}

impl MaxUnavailable {
    /// How many that are of a group of so many.
    pub fn of(self, members: usize) -> usize {
        match self {
            MaxUnavailable::Count(count) => count.get(),
            MaxUnavailable::Percent(percent) => (members * usize::from(percent) / 100).max(1),
        }
    }

    /// Whether it has to be known how many there are.
    pub fn is_share(self) -> bool {
        matches!(self, MaxUnavailable::Percent(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_one_at_least() {
        let most = |text: &str, members| text.parse::<MaxUnavailable>().unwrap().of(members);
        assert_eq!([0, 1, 7, 8, 11, 12].map(|members| most("25%", members)), [1, 1, 1, 2, 2, 3]);
        assert_eq!((most("100%", 9), most("3", 0), most("3", 9)), (9, 3, 3));
        for bad in ["", "0", "0%", "101%", "%", "-1", "1.5", "50 %", "half"] {
            assert!(bad.parse::<MaxUnavailable>().is_err(), "{bad:?}");
        }
    }
}
