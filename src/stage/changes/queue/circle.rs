//! Containers that wait for each other.

use std::collections::HashMap;

use super::Queue;
use crate::error::{Error, Kind};
use crate::record::ContainerId;

/// How many containers of a circle are told.
const TOLD: usize = 8;

impl Queue {
    /// Finds containers that wait for each other, and lets the first of them be refused.
    pub(super) fn break_circle(&mut self) -> bool {
        let mut seen: HashMap<&ContainerId, usize> = HashMap::new();
        for (walk, start) in self.blocked.keys().enumerate() {
            let mut path: Vec<&ContainerId> = Vec::new();
            let mut at = start;
            while let Some(next) = self.blocked.get(at) {
                match seen.get(at) {
                    Some(earlier) if *earlier == walk => {
                        let from = path.iter().position(|id| *id == at).unwrap_or_default();
                        let round: Vec<ContainerId> =
                            path[from..].iter().map(|id| (*id).clone()).collect();
                        self.refuse(&round);
                        return true;
                    }
                    Some(_) => break,
                    None => drop(seen.insert(at, walk)),
                }
                path.push(at);
                at = next;
            }
        }
        false
    }

    /// The first container of a circle fails, and so do those that wait for it.
    pub(super) fn refuse(&mut self, round: &[ContainerId]) {
        let Some(first) = round.iter().min().cloned() else { return };
        let start = round.iter().position(|id| *id == first).unwrap_or_default();
        let round: Vec<ContainerId> =
            round[start..].iter().chain(&round[..start]).cloned().collect();
        if let Some(by) = self.blocked.remove(&first)
            && let Some(others) = self.waiting.get_mut(&by)
        {
            others.retain(|other| *other != first);
        }
        if let Some(task) = self.first(&first) {
            task.refused = Some(circle(&round).into());
        }
        self.offer(first);
    }
}

pub(super) fn circle(round: &[ContainerId]) -> Error {
    let mut told: Vec<String> = round.iter().take(TOLD).map(|id| format!("\"{id}\"")).collect();
    if round.len() > TOLD {
        told.push("…".to_owned());
    }
    told.extend(round.first().map(|id| format!("\"{id}\"")));
    Error::new(Kind::BadInput, "depends_on goes in a circle").why(told.join(" → "))
}
