//! Why a client has the containers that it has, as a record.

use super::told::print;
use super::{Outcome, Stage};
use crate::error::Result;
use crate::record::{Explanation, Key, Object, Record, State};

impl Stage {
    /// Tells why a client has what it has, if that is new or everything is told; gives the number
    /// of records that are so.
    pub(super) fn explain(&mut self, key: Key, now: Outcome, all: bool) -> Result<u64> {
        let Some(client) = now.client else {
            if self.explained.remove(&key).is_some() {
                self.output.write(&Record::Explanation(gone(key)))?;
            }
            return Ok(0);
        };
        let mut explanation = self.rules.explain(&client);
        explanation.cap = now.cap.map(|cap| cap.to_string());
        explanation.error = now.error.map(|why| why.to_string());
        explanation.containers = now.containers.into_iter().map(|c| c.id).collect();
        let print = print(&explanation);
        if self.explained.insert(key, print) != Some(print) || all {
            self.output.write(&Record::Explanation(explanation))?;
        }
        Ok(1)
    }
}

/// What is to be said of a client that is gone.
fn gone(key: Key) -> Explanation {
    Explanation {
        key,
        address: None,
        hostname: None,
        state: Some(State::Absent),
        rule: None,
        template: None,
        why: Vec::new(),
        passed_over: Vec::new(),
        cap: None,
        error: None,
        containers: Vec::new(),
        rest: Object::default(),
    }
}
