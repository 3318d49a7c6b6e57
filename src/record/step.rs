//! A step of what was done to a container.

use super::shape::document;

document! {
    /// One thing that was asked of an engine, and that changed something or failed.
    pub struct Step {
        /// What it was: pull, create, join, start, stop and so on.
        req step: String,
        /// How many milliseconds it took; absent when it was not done.
        opt ms: f64,
    }
}

impl Step {
    /// One that took so long.
    pub fn new(step: &str, ms: Option<f64>) -> Step {
        Step { step: step.to_owned(), ms, rest: Default::default() }
    }
}
