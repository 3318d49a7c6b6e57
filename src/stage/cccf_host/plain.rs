//! What recurs from one plain container to the next, made once.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::ahead::Plain;
use crate::error::{Error, Kind, Result};
use crate::logic::place::Placer;
use crate::record::Container;

/// Containers as they decide where they go: of those that differ in nothing but their names and
/// limits one is built.
#[derive(Default)]
pub(super) struct Sorts(HashMap<Box<str>, Box<Container>, RandomState>);

impl Sorts {
    /// The most that are remembered.
    const MOST: usize = 1024;

    /// The container, without what does not decide where it goes. `text` is that of its portion.
    pub(super) fn container(&mut self, text: &str, plain: &Plain) -> Result<&mut Container> {
        let bug = |why: String| Error::new(Kind::Bug, "read container again").why(why);
        let sort = &text[plain.else_asked.clone()];
        if !self.0.contains_key(sort) {
            if self.0.len() == Sorts::MOST {
                self.0.clear();
            }
            let container = serde_json::from_str(sort).map_err(|why| bug(why.to_string()))?;
            self.0.insert(sort.into(), Box::new(container));
        }
        let container = self.0.get_mut(sort).expect("it was put there if it was not");
        container.id = text[plain.id.clone()].parse().map_err(|why| bug(format!("{why}")))?;
        (container.cpus, container.memory) = (plain.cpus, plain.memory);
        Ok(container)
    }
}

/// Hosts as containers refer to them, as JSON, by their numbers.
#[derive(Default)]
pub(super) struct Names(Vec<Option<Box<str>>>);

impl Names {
    pub(super) fn json(&mut self, host: u32, placer: &Placer) -> &str {
        let at = host as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, None);
        }
        self.0[at].get_or_insert_with(|| {
            let host = placer.host(host);
            serde_json::to_string(&host).expect("the suite's types are JSON").into()
        })
    }
}
