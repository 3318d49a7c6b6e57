//! `placement`: why a container is on its host, and not on another.

use super::{Action, ContainerId};
use crate::wire;

wire! {
    /// Where one container goes, and why.
    pub struct Placement "placement" {
        /// The container.
        req container: ContainerId,
        /// What is to be done with it; absent for one that came without a change.
        opt action: Action,
        /// Its host; absent when it has none.
        opt host: String,
        /// The host that it leaves; absent when it leaves none.
        opt from: String,
        /// Why it is there, in words; absent when it is nowhere.
        opt why: String,
        /// Why it is nowhere, or why it could not leave.
        opt error: String,
        /// The other hosts, by what speaks against them.
        many passed_over: Vec<Passed>,
    }
}

wire! {
    /// Hosts that were passed over for one reason.
    pub struct Passed {
        /// The reason, in words that follow the number of hosts.
        req why: String,
        /// How many hosts.
        req count: u64,
        /// The first of them.
        many hosts: Vec<String>,
    }
}
