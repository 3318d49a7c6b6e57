//! Containers that depend on each other in a circle.

use std::collections::HashMap;

use crate::logic::dependence;
use crate::record::{Container, ContainerId, State};

/// How many containers of a circle are told.
const TOLD: usize = 8;

/// Which containers depend on which, and where they stand.
#[derive(Default)]
pub(super) struct Circles {
    /// Those that depend on others, in the order in which they came first.
    known: Vec<Known>,
    places: HashMap<ContainerId, usize>,
}

struct Known {
    id: ContainerId,
    depends_on: Vec<ContainerId>,
    file: u32,
    line: u64,
}

/// A circle that was found.
pub(super) struct Circle {
    /// The container of it that came first.
    pub(super) id: ContainerId,
    /// The number of the file that this one stands in, and its line.
    pub(super) file: u32,
    pub(super) line: u64,
    /// The way around.
    pub(super) told: String,
}

impl Circles {
    /// Takes in a container that stands there. One of the same name takes the place of what was known.
    pub(super) fn add(&mut self, container: &Container, file: u32, line: u64) {
        let is_gone = container.state == Some(State::Absent);
        let depends_on = if is_gone { Vec::new() } else { container.depends_on.clone() };
        match self.places.get(&container.id) {
            Some(at) => {
                let known = &mut self.known[*at];
                *known = Known { id: container.id.clone(), depends_on, file, line };
            }
            None if depends_on.is_empty() => (),
            None => {
                self.places.insert(container.id.clone(), self.known.len());
                self.known.push(Known { id: container.id.clone(), depends_on, file, line });
            }
        }
    }

    /// The circles in what has come so far. They are told once.
    pub(super) fn find(&mut self) -> Vec<Circle> {
        let of = |known: &Known| {
            let others = known.depends_on.iter().filter(|other| **other != known.id);
            others.filter_map(|other| self.places.get(other).copied()).collect()
        };
        let needs: Vec<Vec<usize>> = self.known.iter().map(of).collect();
        let circles = dependence::circles(&needs);
        let found = circles.iter().map(|circle| self.circle(circle)).collect();
        for at in circles.into_iter().flatten() {
            self.known[at].depends_on.clear();
        }
        found
    }

    fn circle(&self, circle: &[usize]) -> Circle {
        let quoted = |at: &usize| format!("\"{}\"", self.known[*at].id);
        let mut told: Vec<String> = circle.iter().take(TOLD).map(quoted).collect();
        if circle.len() > TOLD {
            told.push("…".to_owned());
        }
        told.extend(circle.first().map(quoted));
        let Known { id, file, line, .. } = &self.known[circle[0]];
        Circle { id: id.clone(), file: *file, line: *line, told: told.join(" → ") }
    }
}
