//! Who comes behind whom.

use super::Queue;
use super::circle::circle;
use crate::error::{Error, Kind};
use crate::record::ContainerId;

/// What a task that is ready otherwise has before it.
pub(super) enum Before {
    Nothing(Vec<ContainerId>),
    Another(ContainerId),
    More,
    Failure(Error),
}

impl Queue {
    pub(super) fn block(&mut self, who: ContainerId, by: ContainerId) {
        self.waiting.entry(by.clone()).or_default().push(who.clone());
        self.blocked.insert(who, by);
    }

    /// What the first task of a container has to wait for.
    pub(super) fn before(&self, id: &ContainerId) -> Before {
        let task = self.chains.get(id).and_then(|chain| chain.tasks.front());
        let Some((task, order)) = task.and_then(|task| Some((task, task.order.as_deref()?))) else {
            return Before::Nothing(Vec::new());
        };
        if let Some(why) = &task.refused {
            return Before::Failure((**why).clone());
        }
        if order.goes {
            let leaving = self.leaving.get(id).into_iter().flatten();
            if let Some(other) = leaving.into_iter().find(|other| *other != id) {
                return Before::Another(other.clone());
            }
            if let Some(why) = self.kept.get(id) {
                return Before::Failure(why.clone());
            }
            if order.is_patient && !task.is_last_call && !self.is_complete {
                return Before::More;
            }
        }
        let mut ask = Vec::new();
        for other in &order.after {
            if other == id {
                return Before::Failure(circle(std::slice::from_ref(id)));
            }
            if self.chains.contains_key(other) {
                return Before::Another(other.clone());
            }
            match self.outcomes.get(other) {
                _ if order.is_soft => (),
                Some(Some(why)) => return Before::Failure(behind(other, why)),
                Some(None) => (),
                None => ask.push(other.clone()),
            }
        }
        Before::Nothing(ask)
    }
}

/// Why a container cannot come whose forerunner did not.
fn behind(other: &ContainerId, why: &Error) -> Error {
    Error::new(why.kind(), format_args!("depends on \"{other}\""))
        .why(format_args!("which failed: {why}"))
}

/// Why a container cannot go when one that depends on it did not.
pub(super) fn ahead(other: &ContainerId, why: &Error) -> Error {
    Error::new(why.kind(), format_args!("\"{other}\" depends on it"))
        .why(format_args!("and failed: {why}"))
}

/// Why a container cannot come that nothing is known of what it depends on.
pub(in crate::stage::changes) fn unheard_of(other: &ContainerId) -> Error {
    Error::new(Kind::NotFound, format_args!("depends on \"{other}\""))
        .why("it is neither among the records nor does it run on the host")
}
