//! The loop of the programs that act on changes: many at a time, one container's in their order.
//!
//! Records that are no changes pass through at once. A change that failed earlier passes through
//! as well. A checkpoint is a barrier: it goes on when all before it is done, so that whoever
//! reads it may take what came before for the whole.

mod attend;
mod batch;
mod feed;
mod queue;
mod task;
#[cfg(test)]
mod tests;
mod work;
mod workers;

use std::io::Read;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Progress, Reader, Report, Stdio};
use crate::record::Record;
pub use batch::{Batch, Care, Effect};
use queue::Queue;
pub use task::Order;
pub use work::{Limits, Work};

/// The queue, and the threads that serve it.
struct Hall {
    queue: Queue,
    /// Threads that are there, and of them those that have nothing to do.
    workers: usize,
    idle: usize,
    ended: bool,
    /// What the thread that reads waits for.
    awaited: Option<fn(&Queue) -> bool>,
    stop: Option<Error>,
}

struct Shared<'a> {
    limits: Limits,
    hall: Mutex<Hall>,
    /// Something is ready, or nothing will be any more.
    ready: Condvar,
    /// What is awaited has come, or nothing will any more.
    finished: Condvar,
    output: Mutex<(Output, Progress)>,
    report: &'a Report,
}

/// Serves standard input to its end.
///
/// # Errors
/// When a stream fails, or the reader leaves; the changes in hand are finished first.
pub fn serve(stdio: Stdio, limits: impl Into<Limits>, work: &impl Work) -> Result<()> {
    let Stdio { reader, output, report } = stdio;
    serve_from(reader, output, &report, limits, work)
}

/// The same, with records that come from elsewhere.
pub fn serve_from<R: Read>(
    mut reader: Reader<R>,
    output: Output,
    report: &Report,
    limits: impl Into<Limits>,
    work: &impl Work,
) -> Result<()> {
    let limits = limits.into();
    let hall = Hall {
        queue: Queue::new(limits),
        workers: 0,
        idle: 0,
        ended: false,
        awaited: None,
        stop: None,
    };
    let shared = Shared {
        limits,
        hall: Mutex::new(hall),
        ready: Condvar::new(),
        finished: Condvar::new(),
        output: Mutex::new((output, Progress::new(report.bars(), "changes done"))),
        report,
    };
    std::thread::scope(|scope| {
        let outcome = shared.feed(scope, &mut reader, work);
        let mut hall = lock(&shared.hall);
        hall.ended = true;
        if let Err(why) = &outcome
            && why.kind() == Kind::ReaderLeft
        {
            hall.stop.get_or_insert_with(|| why.clone());
        }
        hall.queue.complete(true);
        drop(hall);
        shared.ready.notify_all();
        outcome
    })?;
    if let Some(why) = lock(&shared.hall).stop.take() {
        return Err(why);
    }
    lock(&shared.output).0.settle()
}

impl Shared<'_> {
    /// Waits for things to be as they are wanted; an error of a worker ends the wait.
    fn wait_until(&self, fine: fn(&Queue) -> bool) -> Result<MutexGuard<'_, Hall>> {
        let mut hall = lock(&self.hall);
        while !fine(&hall.queue) && hall.stop.is_none() {
            hall.awaited = Some(fine);
            hall = self.finished.wait(hall).unwrap_or_else(PoisonError::into_inner);
        }
        hall.awaited = None;
        match hall.stop.clone() {
            Some(why) => Err(why),
            None => Ok(hall),
        }
    }

    /// Wakes the thread that reads if it has waited for this.
    fn tell(&self, hall: &Hall) {
        if hall.stop.is_some() || hall.awaited.is_some_and(|fine| fine(&hall.queue)) {
            self.finished.notify_all();
        }
    }

    fn write(&self, record: &Record) -> Result<()> {
        lock(&self.output).0.write(record)
    }
}

/// A lock that a panicking worker cannot take along: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
