//! Events that were told, as far as an engine may repeat them.

use std::collections::{HashSet, VecDeque};

use jiff::Timestamp;

use crate::record::{Happening, What};

/// An engine keeps its last 256 events, of all sorts, and repeats them to who asks.
const MOST: usize = 1024;

type Mark = (Timestamp, String, What);

#[derive(Debug, Default)]
pub(super) struct Recent {
    told: HashSet<Mark>,
    order: VecDeque<Mark>,
}

impl Recent {
    /// Whether it was not told yet; from here on it was.
    pub(super) fn is_new(&mut self, happening: &Happening) -> bool {
        let mark = (happening.at, happening.docker_id.clone(), happening.what);
        if !self.told.insert(mark.clone()) {
            return false;
        }
        self.order.push_back(mark);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        true
    }
}
