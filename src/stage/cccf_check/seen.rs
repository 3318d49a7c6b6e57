//! Which containers have come, and where.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::record::{Container, State};

/// Which containers were seen, and where first.
#[derive(Default)]
pub(super) struct Seen {
    files: Vec<String>,
    first: HashMap<Box<str>, (u32, u64)>,
    /// Whether what comes is news of members that were listed before.
    pub(super) is_news: bool,
}

impl Seen {
    pub(super) fn begin(&mut self, file: &str) {
        self.files.push(file.to_owned());
        self.is_news = false;
    }

    /// The number of the file at hand.
    pub(super) fn file(&self) -> u32 {
        self.files.len() as u32 - 1
    }

    /// The name of the file of that number.
    pub(super) fn name(&self, file: u32) -> &str {
        &self.files[file as usize]
    }

    /// Where the same container was first, if it was.
    pub(super) fn add(&mut self, container: &Container, line: u64) -> Option<String> {
        if self.is_news || container.state == Some(State::Absent) {
            return None;
        }
        // No id has a blank in it, so that id and host do not run into each other.
        let host = container.host.as_ref().map_or("", |host| host.id.as_str());
        let file = self.file();
        let key = format!("{} {host}", container.id).into_boxed_str();
        match self.first.entry(key) {
            Entry::Occupied(first) => {
                let (file, line) = first.get();
                Some(format!("{}:{line}", self.files[*file as usize]))
            }
            Entry::Vacant(free) => {
                free.insert((file, line));
                None
            }
        }
    }
}
