//! The threads that work: as many as have something to do.

use std::sync::{MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::attend::Attended;
use super::queue::{Done, Taken};
use super::{Hall, Shared, Work, lock};
use crate::error::{Error, Result};
use crate::record::ContainerId;

/// How long a thread that has nothing to do stays.
const LINGER: Duration = Duration::from_secs(5);

/// The stack of a thread; what is not used of it is not there.
const STACK: usize = 1024 * 1024;

impl Shared<'_> {
    /// Sees to it that somebody takes what is ready.
    pub(super) fn call<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        mut hall: MutexGuard<'_, Hall>,
        work: &'scope W,
    ) {
        if hall.idle > 0 {
            // Who is woken need not wait for the lock.
            drop(hall);
            return self.ready.notify_one();
        }
        if hall.workers >= self.limits.jobs.get() {
            return;
        }
        let worker = std::thread::Builder::new().stack_size(STACK);
        match worker.spawn_scoped(scope, move || self.worker(scope, work)) {
            Ok(_) => hall.workers += 1,
            // Those that are there do it, one after another.
            Err(_) if hall.workers > 0 => (),
            Err(why) => drop(hall.stop.get_or_insert(Error::io("start a thread", &why))),
        }
    }

    pub(super) fn worker<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        work: &'scope W,
    ) {
        while let Some(taken) = self.take(scope, work) {
            self.serve(scope, taken, work);
        }
    }

    /// Sees to one task and to what comes of it.
    pub(super) fn serve<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        taken: Taken,
        work: &'scope W,
    ) {
        let done = Done::of(&taken.task);
        let Some(Attended { why, outcome }) = self.attend(taken, work) else { return };
        let id = done.id.clone();
        let mut hall = lock(&self.hall);
        hall.queue.finished(&done, why.as_ref(), Instant::now());
        self.tell(&hall);
        drop(hall);
        match outcome {
            Ok(Some(provisional)) => {
                scope.spawn(move || self.free(&id, self.verdict(provisional, work)));
            }
            Ok(None) => self.free(&id, Ok(())),
            Err(why) => self.free(&id, Err(why)),
        }
    }

    /// Lets the container's next change be worked on, or stops everything.
    pub(super) fn free(&self, id: &ContainerId, outcome: Result<()>) {
        let mut hall = lock(&self.hall);
        hall.queue.free(id);
        if let Err(why) = outcome {
            hall.stop.get_or_insert(why);
        }
        if hall.stop.is_some() || hall.ended || hall.queue.is_empty() {
            self.ready.notify_all();
        } else if hall.queue.is_ready() {
            self.ready.notify_one();
        }
        self.tell(&hall);
    }

    /// The next task; nothing when there will be none for this thread.
    pub(super) fn take<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        work: &'scope W,
    ) -> Option<Taken> {
        let mut hall = lock(&self.hall);
        loop {
            if hall.stop.is_some() || hall.ended && hall.queue.is_empty() {
                hall.workers -= 1;
                return None;
            }
            let now = Instant::now();
            if let Some(taken) = hall.queue.take(now) {
                if hall.queue.is_ready() {
                    self.call(scope, hall, work);
                }
                return Some(taken);
            }
            let due = hall.queue.due().map(|due| due.saturating_duration_since(now));
            hall.idle += 1;
            let wait = due.unwrap_or(LINGER).min(LINGER);
            let (woken, waited) =
                self.ready.wait_timeout(hall, wait).unwrap_or_else(PoisonError::into_inner);
            hall = woken;
            hall.idle -= 1;
            // The last one looks after those that wait for nothing but time.
            if waited.timed_out() && due.is_none() && hall.workers > 1 && !hall.queue.is_ready() {
                hall.workers -= 1;
                return None;
            }
        }
    }
}
