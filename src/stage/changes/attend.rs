//! One change, from its turn to what became of it.

use std::time::Instant;

use super::queue::{self, Taken};
use super::task::answered;
use super::{Shared, Work, lock};
use crate::error::{Error, Kind, Result};
use crate::record::{Change, Status};

/// A change that was worked on, with what became of it.
pub(super) struct Judged {
    change: Box<Change>,
    bare: bool,
}

/// What became of a task.
pub(super) struct Attended {
    /// Why it failed.
    pub(super) why: Option<Error>,
    /// What may turn out not to hold, or why no more can be written.
    pub(super) outcome: Result<Option<Judged>>,
}

impl Shared<'_> {
    /// Sees to one task. Nothing when it was put back.
    pub(super) fn attend(&self, taken: Taken, work: &impl Work) -> Option<Attended> {
        let Taken { mut task, ask, mut refused } = taken;
        for id in ask {
            match guarded(|| task.change().and_then(|change| work.is_there(&id, &change))) {
                Ok(true) => continue,
                Ok(false) => {
                    task = lock(&self.hall).queue.hold(task, &id, Instant::now())?;
                    refused = Some(queue::unheard_of(&id));
                }
                Err(why) => refused = Some(why.at(format_args!("depends on \"{id}\""))),
            }
            break;
        }
        let (id, bare) = (task.id.clone(), task.bare);
        let gentle = (refused.is_none() && task.is_gentle()).then(|| task.clone());
        let mut change = match task.into_change() {
            Ok(change) => change,
            Err(why) => {
                self.report.failed(&why.clone().at(id));
                return Some(Attended { why: Some(why), outcome: Ok(None) });
            }
        };
        let asked = work.pretends().then(|| change.clone());
        let outcome = match (refused, &gentle) {
            (Some(why), _) => Err(why),
            (None, None) => guarded(|| work.change(&mut change)),
            (None, Some(_)) => guarded(|| work.change_gently(&mut change)),
        };
        if let (Some(task), Err(why)) = (gentle, &outcome)
            && why.kind() == Kind::Held
        {
            lock(&self.hall).queue.put_back(task);
            return None;
        }
        Some(self.finish(Judged { change, bare }, asked, outcome, work))
    }

    /// Writes what became of a change; as it was asked for, if nothing was to be done. Hands it back if
    /// that is provisional.
    fn finish(
        &self,
        Judged { change: done, bare }: Judged,
        asked: Option<Box<Change>>,
        outcome: Result<()>,
        work: &impl Work,
    ) -> Attended {
        let why = outcome.as_ref().err().cloned();
        let provisional = outcome.is_ok() && work.is_provisional(&done);
        let change = match asked {
            Some(mut asked) if outcome.is_ok() => {
                asked.steps = done.steps;
                asked
            }
            _ => self.judged(done, outcome),
        };
        let judged = provisional.then(|| Judged { change: change.clone(), bare });
        lock(&self.output).1.tick();
        let told = self.answer(Judged { change, bare });
        Attended { why, outcome: told.map(|()| judged) }
    }

    /// Waits for the verdict on one change and writes it again if it is another one then.
    pub(super) fn verdict(&self, judged: Judged, work: &impl Work) -> Result<()> {
        let Judged { mut change, bare } = judged;
        let outcome = guarded(|| work.verdict(&mut change));
        match outcome {
            Ok(false) => Ok(()),
            Ok(true) => self.answer(Judged { change, bare }),
            Err(why) => self.answer(Judged { change: self.judged(change, Err(why)), bare }),
        }
    }

    /// The change with what became of it, which is also told if it failed.
    fn judged(&self, mut change: Box<Change>, outcome: Result<()>) -> Box<Change> {
        match outcome {
            Ok(()) => {
                change.status = Some(Status::Done);
                change
            }
            Err(why) => {
                self.report.failed(&why.clone().at(&change.container.id));
                Box::new(change.failed(&why))
            }
        }
    }

    fn answer(&self, Judged { change, bare }: Judged) -> Result<()> {
        let record = if bare { answered(*change) } else { change.into() };
        let mut output = lock(&self.output);
        output.0.write(&record)?;
        output.0.flush()
    }
}

/// The outcome of work on a change; a panic is one of its bugs.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the work on this change panicked")))
}
