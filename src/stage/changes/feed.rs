//! The thread that reads.

use std::io::Read;
use std::thread::Scope;
use std::time::Instant;

use super::queue::Queue;
use super::task::{Task, asked};
use super::{Shared, Work, lock};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Found, Reader};
use crate::record::{Change, Record, Status};

impl Shared<'_> {
    /// Reads records until the end and hands the changes to the workers.
    pub(super) fn feed<'scope, R: Read, W: Work>(
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
                    self.submit(scope, change, false, work)?;
                }
                Record::Container(container) if container.status != Some(Status::Failed) => {
                    self.submit(scope, asked(*container).into(), true, work)?;
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
    pub(super) fn settle(&self) -> Result<()> {
        lock(&self.hall).queue.complete(true);
        self.ready.notify_all();
        self.wait_until(Queue::is_empty)?.queue.complete(false);
        Ok(())
    }

    /// Passes a record on that nothing is to be done for.
    pub(super) fn pass(&self, record: &Record, work: &impl Work) -> Result<()> {
        let (change, container) = match record {
            Record::Change(change) => (Some(change), &*change.container),
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

    pub(super) fn submit<'scope, W: Work>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        change: Box<Change>,
        bare: bool,
        work: &'scope W,
    ) -> Result<()> {
        let (lane, order) = (work.lane(&change), work.order(&change, bare));
        let (batch, brief) = (work.batch(&change), work.is_brief(&change));
        let mut task = Task::new(change, bare, lane.into(), order).of(batch);
        if self.limits.packs() {
            task = task.packed();
        }
        let mut hall = self.wait_until(Queue::has_room)?;
        let now = Instant::now();
        hall.queue.submit(task, now);
        if brief
            && hall.queue.is_single()
            && let Some(taken) = hall.queue.take(now)
        {
            drop(hall);
            self.serve(scope, taken, work);
        } else {
            self.call(scope, hall, work);
        }
        Ok(())
    }
}
