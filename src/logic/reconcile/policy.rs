//! How cautious the loop is.

use std::str::FromStr;
use std::time::Duration;

use super::super::diff::Ignored;
use crate::record::{NotA, Owner};

/// How cautious the loop is.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a change may take to show before it is asked for again; twice as long each time.
    pub settle: Duration,
    /// The most that one full comparison may remove.
    pub max_remove: MaxRemove,
    /// Whether to remove however much it is.
    pub force: bool,
    /// The pipe whose containers these are; others are as good as foreign.
    pub owner: Option<Owner>,
    /// Fields that are not compared; a container that is kept keeps what it has there.
    pub ignored: Ignored,
}

/// The most of what runs that one full comparison may remove.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxRemove {
    /// So many containers.
    Count(usize),
    /// So many percent of those that are there, counted from [`FEW`] containers up.
    Percent(u8),
}

/// With fewer containers than these, a share of them says nothing.
pub const FEW: usize = 4;

impl FromStr for MaxRemove {
    type Err = NotA;

    fn from_str(text: &str) -> Result<MaxRemove, NotA> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|percent| *percent <= 100).map(MaxRemove::Percent)
            }
            None => text.parse().ok().map(MaxRemove::Count),
        };
        parsed.ok_or_else(|| NotA::new(text, "a number of containers or a share such as 50%"))
    }
}

impl MaxRemove {
    /// Whether so many of those that are there may go.
    pub(super) fn allows(self, removed: usize, there: usize) -> bool {
        match self {
            MaxRemove::Count(most) => removed <= most,
            MaxRemove::Percent(_) if there < FEW => true,
            MaxRemove::Percent(percent) => removed * 100 <= there * usize::from(percent),
        }
    }
}
