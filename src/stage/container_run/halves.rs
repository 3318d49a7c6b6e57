//! What killed runs left half replaced.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hand::{Hand, PAUSE};
use crate::adapter::docker::{Engine, Found, Half, HalfDone};
use crate::error::{Kind, Result};
use crate::record::{ContainerId, Owner};

/// How often it is looked at what is left half replaced, when others change that meanwhile.
const MENDS: u32 = 5;

/// The containers of which halves are about, by engine. An engine is asked once, so that a change
/// whose container has none costs no question.
#[derive(Default)]
pub(super) struct Halves(Mutex<HashMap<String, HashSet<ContainerId>>>);

impl Halves {
    /// Whether the container was left half replaced.
    pub(super) fn has(&self, engine: &Engine, id: &ContainerId) -> bool {
        if let Some(known) = self.lock().get(engine.url()) {
            return known.contains(id);
        }
        // Not under the lock. Why an engine does not answer is told by the change itself.
        let Ok(halves) = engine.halves() else { return false };
        let halves: HashSet<ContainerId> = halves.into_iter().map(|half| half.id).collect();
        let mut known = self.lock();
        known.entry(engine.url().to_owned()).or_insert(halves).contains(id)
    }

    /// Remembers that the container may have been left half replaced.
    pub(super) fn note(&self, engine: &Engine, id: &ContainerId) {
        if let Some(known) = self.lock().get_mut(engine.url()) {
            known.insert(id.clone());
        }
    }

    /// The container is whole.
    pub(super) fn forget(&self, engine: &Engine, id: &ContainerId) {
        if let Some(known) = self.lock().get_mut(engine.url()) {
            known.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashSet<ContainerId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids of an owner's containers that are half replaced, each once.
pub(super) fn left(engine: &Engine, owner: &Owner) -> Result<HashSet<ContainerId>> {
    let halves = engine.halves()?.into_iter().filter(|half| half.owner == *owner);
    Ok(halves.map(|half| half.id).collect())
}

impl Hand<'_> {
    /// Ends what a killed run began, so that one container is there and has its name.
    ///
    /// The old one steps aside only when the new one is as it should be; so, where both are there and
    /// nothing has the name, it is the new one's, and the old one goes. In all other cases the new one
    /// was not done with.
    pub(super) fn mend(&self, id: &ContainerId) -> Result<()> {
        let mut outcome = self.try_to_mend(id);
        for tries in 1..MENDS {
            match &outcome {
                // The run that was taken for a killed one is at work, or another one mends the same.
                Err(why) if matches!(why.kind(), Kind::Refused | Kind::NotFound) => (),
                _ => break,
            }
            std::thread::sleep(PAUSE * tries);
            outcome = self.try_to_mend(id);
        }
        outcome
    }

    fn try_to_mend(&self, id: &ContainerId) -> Result<()> {
        let old = self.half(id, Half::Old)?;
        match (self.engine.find(id)?, &old) {
            (None, Some(old)) => {
                let heir = self.half(id, Half::New)?;
                let heir_id = heir.as_ref().map_or(&old.docker_id, |heir| &heir.docker_id);
                self.engine.rename(heir_id, id)?;
                if heir.is_some() {
                    self.take_away(old)?;
                }
            }
            (Some(found), Some(old)) if self.is_ours(&found) => self.take_away(old)?,
            _ => (),
        }
        // Only now: another run may have been at work on it, and it has the name by now.
        self.half(id, Half::New)?.map_or(Ok(()), |new| self.take_away(&new))
    }

    pub(super) fn half(&self, id: &ContainerId, half: Half) -> Result<Option<Found>> {
        let found = self.engine.find_half(id, half)?;
        Ok(found.filter(|found| self.is_half(found, id, half)))
    }

    /// Whether a container is this half of a replacement of this owner's.
    pub(super) fn is_half(&self, found: &Found, id: &ContainerId, half: Half) -> bool {
        let wanted = |done: &HalfDone| (done.half, &done.id, &done.owner) == (half, id, self.owner);
        found.half.as_ref().is_some_and(wanted)
    }
}
