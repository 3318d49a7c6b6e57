//! `explanation`: which containers a client should have, and why.

use std::net::IpAddr;

use serde_json::Value;

use super::{ContainerId, Hostname, Key, State};
use crate::wire;

wire! {
    /// Which rule holds for a client, and what follows from it.
    pub struct Explanation "explanation" {
        /// The client.
        req key: Key,
        /// Its address, or the first of its prefix; absent for one that is gone.
        opt address: IpAddr,
        /// Its name.
        opt hostname: Hostname,
        /// `absent` for a client that is gone; absent otherwise.
        opt state: State,
        /// The number of the rule that holds, counted from 1; absent when none does.
        opt rule: u64,
        /// What the rule's template is called, or `none`; absent when no rule holds.
        opt template: String,
        /// What the rule asks for, and what of the client is so; empty when it asks for nothing.
        many why: Vec<Ground>,
        /// For each rule before it the first thing that it asks for and that is not so.
        many passed_over: Vec<Ground>,
        /// The cap that keeps the client out; absent when none does.
        opt cap: String,
        /// Why the template cannot be filled for the client; absent when it can.
        opt error: String,
        /// The names of the containers.
        many containers: Vec<ContainerId>,
    }
}

wire! {
    /// Something that a rule asks for.
    pub struct Ground {
        /// The number of the rule; absent where it is clear.
        opt rule: u64,
        /// What it is about.
        req field: String,
        /// What the client has there: a string or a list of them; absent when it has nothing.
        opt value: Value,
        /// What the rule asks for: a string or a list of them.
        req wanted: Value,
    }
}
