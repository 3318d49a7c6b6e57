//! The loop of the programs that act on changes: many at a time, one container's in their order.
//!
//! Records that are no changes pass through at once. A change that failed earlier passes through
//! as well. A checkpoint is a barrier: it goes on when all before it is done, so that whoever
//! reads it may take what came before for the whole.

mod queue;
mod task;

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::pipe::{Found, Output, Progress, Reader, Report, Stdio};
use crate::record::{Change, Checkpoint, ContainerId, Record, Status};
use queue::{Done, Queue, Taken};
pub use task::Order;
use task::{Task, answered, asked};

/// How long a thread that has nothing to do stays.
const LINGER: Duration = Duration::from_secs(5);

/// The stack of a thread; what is not used of it is not there.
const STACK: usize = 1024 * 1024;

/// What a program does with the records that concern it.
pub trait Work: Sync {
    /// Does the program's part of one change and puts what it learnt into it. Called on several
    /// threads at once, never on two for one container.
    fn change(&self, change: &mut Change) -> Result<()>;

    /// Where the change is worked on. The lanes take turns, and each has its own limit.
    fn lane(&self, _change: &Change) -> String {
        String::new()
    }

    /// Which containers the change has to come behind; nothing for a program that keeps no order
    /// but that of one container's changes.
    fn order(&self, _change: &Change, _bare: bool) -> Option<Order> {
        None
    }

    /// Whether a container runs that the change has to come behind and that is not among the
    /// records.
    fn is_there(&self, _id: &ContainerId, _change: &Change) -> Result<bool> {
        Ok(true)
    }

    /// Whether the work only tells what it would do: then records go on as they came.
    fn pretends(&self) -> bool {
        false
    }

    /// A change or container passes untouched because an earlier stage failed on it.
    fn passed(&self, _record: &Record) {}

    /// Whether what was done may yet turn out not to hold, so that [`Work::verdict`] has to wait.
    fn is_provisional(&self, _change: &Change) -> bool {
        false
    }

    /// Waits until it is clear whether a change that was written out as done holds, and mends it
    /// if not. Whether it became another one, which is then written out again; if it cannot be
    /// mended it is written out again as failed. Called on a thread of its own. The container's
    /// next change waits for it, a checkpoint does not, and the end of the program does.
    fn verdict(&self, _change: &mut Change) -> Result<bool> {
        Ok(false)
    }

    /// All changes before this checkpoint are done. What is returned goes out ahead of it.
    fn checkpoint(&self, _checkpoint: &Checkpoint) -> Result<Vec<Record>> {
        Ok(Vec::new())
    }
}

/// How much is worked on at the same time, and how much is read ahead.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Changes that are worked on at the same time.
    pub jobs: NonZeroUsize,
    /// Of these, in one lane.
    pub per_lane: NonZeroUsize,
    /// Changes that are read and wait for their turn, and their bytes.
    pub waiting: usize,
    /// So many bytes at most, more or less.
    pub bytes: usize,
}

/// So many at the same time, wherever they are, and no more read ahead than keeps them busy.
impl From<NonZeroUsize> for Limits {
    fn from(jobs: NonZeroUsize) -> Limits {
        Limits { jobs, per_lane: jobs, waiting: jobs.get() * 4, bytes: usize::MAX }
    }
}

impl Limits {
    /// Whether so many may wait that they have to be small.
    fn packs(&self) -> bool {
        self.bytes < usize::MAX
    }
}

/// A change that was worked on, with what became of it.
struct Judged {
    change: Change,
    bare: bool,
}

/// What became of a task.
struct Attended {
    /// Why it failed.
    why: Option<Error>,
    /// What may turn out not to hold, or why no more can be written.
    outcome: Result<Option<Judged>>,
}

/// The queue, and the threads that serve it.
struct Hall {
    queue: Queue,
    /// Threads that are there, and of them those that have nothing to do.
    workers: usize,
    idle: usize,
    ended: bool,
    stop: Option<Error>,
}

struct Shared<'a> {
    limits: Limits,
    hall: Mutex<Hall>,
    /// Something is ready, or nothing will be any more.
    ready: Condvar,
    /// A task was finished.
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
    let hall = Hall { queue: Queue::new(limits), workers: 0, idle: 0, ended: false, stop: None };
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
    /// Reads records until the end and hands the changes to the workers.
    fn feed<'scope, R: Read, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        reader: &mut Reader<R>,
        work: &'scope W,
    ) -> Result<()> {
        loop {
            let record = match reader.read(&mut || lock(&self.output).0.flush())? {
                Found::End => break,
                Found::Bad(why) => {
                    self.report.failed(&why);
                    continue;
                }
                Found::Record(_, record) => record,
            };
            self.report.used();
            match record {
                Record::Change(change) if !change.has_failed() => {
                    self.submit(scope, *change, false, work)?;
                }
                Record::Container(container) if container.status != Some(Status::Failed) => {
                    self.submit(scope, asked(*container), true, work)?;
                }
                Record::Checkpoint(checkpoint) => {
                    self.settle()?;
                    let told = work.checkpoint(&checkpoint);
                    match told {
                        Ok(records) => records.iter().try_for_each(|record| self.write(record))?,
                        Err(why) => self.report.failed(&why),
                    }
                    self.write(&Record::Checkpoint(checkpoint))?;
                    lock(&self.output).0.settle()?;
                }
                other => self.pass(&other, work)?,
            }
        }
        self.settle()
    }

    /// Waits until all changes that were read are done.
    fn settle(&self) -> Result<()> {
        lock(&self.hall).queue.complete(true);
        self.ready.notify_all();
        self.wait_until(|hall| hall.queue.is_empty())?.queue.complete(false);
        Ok(())
    }

    /// Passes a record on that nothing is to be done for.
    fn pass(&self, record: &Record, work: &impl Work) -> Result<()> {
        let (change, container) = match record {
            Record::Change(change) => (Some(change), &change.container),
            Record::Container(container) => (None, &**container),
            _ => return self.write(record),
        };
        work.passed(record);
        let told = change.map_or(container.error.as_ref(), |change| change.error.as_ref());
        let kind = change.map_or(container.error_kind, |change| change.error_kind);
        let what = told.map_or("an earlier stage", String::as_str);
        let why = Error::new(kind.unwrap_or(Kind::Refused), what);
        if change.is_none_or(|change| work.order(change, false).is_some()) {
            lock(&self.hall).queue.failed_before(&container.id, why);
        }
        self.write(record)
    }

    fn submit<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        change: Change,
        bare: bool,
        work: &'scope W,
    ) -> Result<()> {
        let (lane, order) = (work.lane(&change), work.order(&change, bare));
        let mut task = Task::new(change, bare, lane.into(), order);
        if self.limits.packs() {
            task = task.packed();
        }
        let mut hall = self.wait_until(|hall| hall.queue.has_room())?;
        hall.queue.submit(task, Instant::now());
        self.call(scope, hall, work);
        Ok(())
    }

    /// Sees to it that somebody takes what is ready.
    fn call<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        mut hall: MutexGuard<'_, Hall>,
        work: &'scope W,
    ) {
        if hall.idle > 0 {
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

    /// Waits for things to be as they are wanted; an error of a worker ends the wait.
    fn wait_until(&self, fine: impl Fn(&Hall) -> bool) -> Result<MutexGuard<'_, Hall>> {
        let mut hall = lock(&self.hall);
        while !fine(&hall) && hall.stop.is_none() {
            hall = self.finished.wait(hall).unwrap_or_else(PoisonError::into_inner);
        }
        match hall.stop.clone() {
            Some(why) => Err(why),
            None => Ok(hall),
        }
    }

    fn worker<'scope, W: Work>(&'scope self, scope: &'scope Scope<'scope, '_>, work: &'scope W) {
        while let Some(taken) = self.take(scope, work) {
            let done = Done::of(&taken.task);
            let Some(Attended { why, outcome }) = self.attend(taken, work) else { continue };
            let id = done.id.clone();
            lock(&self.hall).queue.finished(&done, why.as_ref());
            self.finished.notify_all();
            match outcome {
                Ok(Some(provisional)) => {
                    scope.spawn(move || self.free(&id, self.verdict(provisional, work)));
                }
                Ok(None) => self.free(&id, Ok(())),
                Err(why) => self.free(&id, Err(why)),
            }
        }
    }

    /// Lets the container's next change be worked on, or stops everything.
    fn free(&self, id: &ContainerId, outcome: Result<()>) {
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
        self.finished.notify_all();
    }

    /// The next task; nothing when there will be none for this thread.
    fn take<'scope, W: Work>(
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

    /// Sees to one task. Nothing when it was put back.
    fn attend(&self, taken: Taken, work: &impl Work) -> Option<Attended> {
        let Taken { mut task, ask, mut refused } = taken;
        for id in ask {
            match guarded(|| work.is_there(&id, &task.change()?)) {
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
        let change = match task.into_change() {
            Ok(change) => change,
            Err(why) => {
                self.report.failed(&why.clone().at(id));
                return Some(Attended { why: Some(why), outcome: Ok(None) });
            }
        };
        Some(self.finish(Judged { change, bare }, refused, work))
    }

    /// Works on one change and writes what became of it. Hands it back if that is provisional.
    fn finish(&self, judged: Judged, refused: Option<Error>, work: &impl Work) -> Attended {
        let Judged { change: mut done, bare } = judged;
        let asked = work.pretends().then(|| done.clone());
        let outcome = match refused {
            Some(why) => Err(why),
            None => guarded(|| work.change(&mut done)),
        };
        let why = outcome.as_ref().err().cloned();
        let provisional = outcome.is_ok() && work.is_provisional(&done);
        let change = match asked {
            Some(asked) if outcome.is_ok() => Change { steps: done.steps, ..asked },
            _ => self.judged(done, outcome),
        };
        let judged = provisional.then(|| Judged { change: change.clone(), bare });
        lock(&self.output).1.tick();
        let told = self.answer(Judged { change, bare });
        Attended { why, outcome: told.map(|()| judged) }
    }

    /// Waits for the verdict on one change and writes it again if it is another one then.
    fn verdict(&self, judged: Judged, work: &impl Work) -> Result<()> {
        let Judged { mut change, bare } = judged;
        let outcome = guarded(|| work.verdict(&mut change));
        match outcome {
            Ok(false) => Ok(()),
            Ok(true) => self.answer(Judged { change, bare }),
            Err(why) => self.answer(Judged { change: self.judged(change, Err(why)), bare }),
        }
    }

    /// The change with what became of it, which is also told if it failed.
    fn judged(&self, mut change: Change, outcome: Result<()>) -> Change {
        match outcome {
            Ok(()) => {
                change.status = Some(Status::Done);
                change
            }
            Err(why) => {
                self.report.failed(&why.clone().at(&change.container.id));
                change.failed(&why)
            }
        }
    }

    fn answer(&self, Judged { change, bare }: Judged) -> Result<()> {
        let record = if bare { answered(change) } else { change.into() };
        let mut output = lock(&self.output);
        output.0.write(&record)?;
        output.0.flush()
    }

    fn write(&self, record: &Record) -> Result<()> {
        lock(&self.output).0.write(record)
    }
}

/// The outcome of work on a change; a panic is one of its bugs.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the work on this change panicked")))
}

/// A lock that a panicking worker cannot take along: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
