//! The loop of the programs that act on changes: many at a time, one container's in their order.
//!
//! Records that are no changes pass through at once. A change that failed earlier passes through
//! as well. A checkpoint is a barrier: it goes on when all before it is done, so that whoever
//! reads it may take what came before for the whole.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use crate::error::{Error, Kind, Result};
use crate::pipe::{Found, Output, Progress, Reader, Report, Stdio};
use crate::record::{Action, Change, Checkpoint, Container, ContainerId, Record, State, Status};

/// What a program does with the records that concern it.
pub trait Work: Sync {
    /// Does the program's part of one change and puts what it learnt into it. Called on several
    /// threads at once, never on two for one container.
    fn change(&self, change: &mut Change) -> Result<()>;

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

/// A change that waits or is worked on, and whether it came as a bare container.
struct Task {
    change: Change,
    bare: bool,
}

#[derive(Default)]
struct Queue {
    /// Containers that have a task and none that is worked on, in the order of their tasks.
    ready: VecDeque<ContainerId>,
    tasks: HashMap<ContainerId, VecDeque<Task>>,
    busy: HashSet<ContainerId>,
    /// Tasks that wait or are worked on.
    open: usize,
    ended: bool,
    stop: Option<Error>,
}

struct Shared<'a> {
    queue: Mutex<Queue>,
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
pub fn serve(stdio: Stdio, jobs: NonZeroUsize, work: &impl Work) -> Result<()> {
    let Stdio { reader, output, report } = stdio;
    serve_from(reader, output, &report, jobs, work)
}

/// The same, with records that come from elsewhere.
pub fn serve_from<R: Read>(
    mut reader: Reader<R>,
    output: Output,
    report: &Report,
    jobs: NonZeroUsize,
    work: &impl Work,
) -> Result<()> {
    let shared = Shared {
        queue: Mutex::default(),
        ready: Condvar::new(),
        finished: Condvar::new(),
        output: Mutex::new((output, Progress::new("changes done"))),
        report,
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| shared.worker(scope, work));
        }
        let outcome = shared.feed(&mut reader, work, jobs.get() * 4);
        lock(&shared.queue).ended = true;
        shared.ready.notify_all();
        outcome
    })?;
    if let Some(why) = lock(&shared.queue).stop.take() {
        return Err(why);
    }
    lock(&shared.output).0.settle()
}

impl Shared<'_> {
    /// Reads records until the end and hands the changes to the workers, at most `most` waiting.
    fn feed<R: Read>(&self, reader: &mut Reader<R>, work: &impl Work, most: usize) -> Result<()> {
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
                    self.submit(Task { change: *change, bare: false }, most)?;
                }
                Record::Container(container) if container.status != Some(Status::Failed) => {
                    self.submit(Task { change: asked(*container), bare: true }, most)?;
                }
                Record::Checkpoint(checkpoint) => {
                    self.wait_until(|queue| queue.open == 0)?;
                    let told = work.checkpoint(&checkpoint);
                    match told {
                        Ok(records) => records.iter().try_for_each(|record| self.write(record))?,
                        Err(why) => self.report.failed(&why),
                    }
                    self.write(&Record::Checkpoint(checkpoint))?;
                    lock(&self.output).0.settle()?;
                }
                other => {
                    if matches!(other, Record::Change(_) | Record::Container(_)) {
                        work.passed(&other);
                    }
                    self.write(&other)?;
                }
            }
        }
        self.wait_until(|queue| queue.open == 0)
    }

    fn submit(&self, task: Task, most: usize) -> Result<()> {
        self.wait_until(|queue| queue.open < most)?;
        let mut queue = lock(&self.queue);
        let id = task.change.container.id.clone();
        queue.open += 1;
        let idle = !queue.busy.contains(&id) && !queue.tasks.contains_key(&id);
        queue.tasks.entry(id.clone()).or_default().push_back(task);
        if idle {
            queue.ready.push_back(id);
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for the queue to be as it is wanted; an error of a worker ends the wait.
    fn wait_until(&self, fine: impl Fn(&Queue) -> bool) -> Result<()> {
        let mut queue = lock(&self.queue);
        while !fine(&queue) && queue.stop.is_none() {
            queue = self.finished.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.stop.clone().map_or(Ok(()), Err)
    }

    fn worker<'scope, W: Work>(&'scope self, scope: &'scope Scope<'scope, '_>, work: &'scope W) {
        while let Some(task) = self.take() {
            let id = task.change.container.id.clone();
            let outcome = self.finish(task, work);
            lock(&self.queue).open -= 1;
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
        let mut queue = lock(&self.queue);
        queue.busy.remove(id);
        if queue.tasks.contains_key(id) {
            queue.ready.push_back(id.clone());
            self.ready.notify_one();
        }
        if let Err(why) = outcome {
            queue.stop.get_or_insert(why);
            self.ready.notify_all();
        }
        self.finished.notify_all();
    }

    /// The next task; nothing when there will be none.
    fn take(&self) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stop.is_some() || (queue.ended && queue.ready.is_empty()) {
                return None;
            }
            if let Some(id) = queue.ready.pop_front() {
                let tasks = queue.tasks.get_mut(&id)?;
                let task = tasks.pop_front()?;
                if tasks.is_empty() {
                    queue.tasks.remove(&id);
                }
                queue.busy.insert(id);
                return Some(task);
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Works on one change and writes what became of it. Hands it back if that is provisional.
    fn finish(&self, task: Task, work: &impl Work) -> Result<Option<Task>> {
        let Task { change, bare } = task;
        let mut done = change.clone();
        let outcome = guarded(|| work.change(&mut done));
        let provisional = outcome.is_ok() && work.is_provisional(&done);
        let change =
            if work.pretends() && outcome.is_ok() { change } else { self.judged(done, outcome) };
        let task = Task { change, bare };
        lock(&self.output).1.tick();
        self.answer(&task)?;
        Ok(provisional.then_some(task))
    }

    /// Waits for the verdict on one change and writes it again if it is another one then.
    fn verdict(&self, task: Task, work: &impl Work) -> Result<()> {
        let Task { mut change, bare } = task;
        let outcome = guarded(|| work.verdict(&mut change));
        match outcome {
            Ok(false) => Ok(()),
            Ok(true) => self.answer(&Task { change, bare }),
            Err(why) => self.answer(&Task { change: self.judged(change, Err(why)), bare }),
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

    fn answer(&self, task: &Task) -> Result<()> {
        let change = task.change.clone();
        let record = if task.bare { answered(change) } else { change.into() };
        self.write(&record)?;
        lock(&self.output).0.flush()
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

/// What a bare container asks for: that it be there, or, when it is `absent`, that it go.
fn asked(container: Container) -> Change {
    match container.state {
        Some(State::Absent) => Change::new(Action::Remove, container),
        _ => Change::new(Action::Add, container),
    }
}

/// The bare container again, with what became of it.
fn answered(change: Change) -> Record {
    let Change { mut container, status, error, error_kind, .. } = change;
    container.status = status;
    container.error = error;
    container.error_kind = error_kind;
    container.into()
}

/// A lock that a panicking worker cannot take along: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
