//! `checkpoint`: the end of a full listing.

use serde::{Deserialize, Serialize};

use super::Owner;
use crate::wire;

/// What a listing is a listing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Leases of the named source.
    Lease,
    /// Containers.
    Container,
    /// Explanations, one for each client.
    Explanation,
    /// Hosts.
    Host,
    /// Changes, one for every container that is wanted or there.
    Change,
    /// Events that say how it stands, one for every container that is there.
    Event,
}

wire! {
    /// Says that the records since the last checkpoint, or since the start, were all there are.
    pub struct Checkpoint "checkpoint" {
        /// What was listed.
        req of: Of,
        /// How many records of it.
        req count: u64,
        /// Whether members may be missing from the listing: what it leaves out is not gone.
        many partial: bool,
        /// Whether the stream goes on with changes behind it.
        many follow: bool,
        /// The source that was listed.
        opt source: String,
        /// The pipe whose containers were listed; absent means everybody's.
        opt owner: Owner,
    }
}

impl Checkpoint {
    /// The end of a listing of `count` records.
    pub fn new(of: Of, count: u64) -> Checkpoint {
        Checkpoint {
            of,
            count,
            partial: false,
            follow: false,
            source: None,
            owner: None,
            rest: Default::default(),
        }
    }
}
