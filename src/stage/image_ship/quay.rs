//! One host, and the records that wait for it.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Scope;

use super::{From, Task, Want, Yard, lock};
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};
use crate::record::{Endpoint, Image, Pull, Record};

/// Works on the records of one host, one image after another.
pub(super) struct Quay {
    endpoint: Endpoint,
    tasks: Mutex<(VecDeque<Task>, bool)>,
    /// There is a task, or there will be none.
    news: Condvar,
}

impl Quay {
    /// Nothing waits yet.
    pub(super) fn new(endpoint: Endpoint) -> Quay {
        Quay { endpoint, tasks: Mutex::default(), news: Condvar::new() }
    }

    /// One more record.
    pub(super) fn bring(&self, task: Task) {
        lock(&self.tasks).0.push_back(task);
        self.news.notify_one();
    }

    /// No more will come.
    pub(super) fn end(&self) {
        lock(&self.tasks).1 = true;
        self.news.notify_one();
    }

    /// Works until the end.
    pub(super) fn serve<'scope>(&self, scope: &'scope Scope<'scope, '_>, yard: &'scope Yard) {
        while let Some(tasks) = self.next() {
            // What waited together has one outcome, so a host that does not answer is asked once.
            let mut known = HashMap::new();
            for task in tasks {
                let outcome = self.have(scope, yard, &task, &mut known);
                let pin = yard.options.pin && !matches!(task.record, Record::Host(_));
                yard.finish(task, outcome.map(|image| image.filter(|_| pin)));
            }
        }
    }

    fn next(&self) -> Option<VecDeque<Task>> {
        let mut tasks = lock(&self.tasks);
        while tasks.0.is_empty() && !tasks.1 {
            tasks = self.news.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
        (!tasks.0.is_empty()).then(|| std::mem::take(&mut tasks.0))
    }

    /// Makes sure that the host has all that a record wants; gives the last image as it is then.
    fn have<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        yard: &'scope Yard,
        task: &Task,
        known: &mut HashMap<Want, Result<Image>>,
    ) -> Result<Option<Image>> {
        let mut last = None;
        for want in &task.wants {
            let outcome = known.entry(want.clone()).or_insert_with(|| {
                catch_unwind(AssertUnwindSafe(|| self.ensure(scope, yard, want)))
                    .unwrap_or_else(|_| Err(Error::new(Kind::Bug, "the work on it panicked")))
            });
            last = Some(outcome.clone()?);
        }
        Ok(last)
    }

    fn ensure<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        yard: &'scope Yard,
        want: &Want,
    ) -> Result<Image> {
        let engine = yard.depot.engine(&self.endpoint)?;
        if yard.options.from != From::Registry {
            yard.depot.bring(scope, &engine, want)?;
            return Ok(want.image.clone());
        }
        let image = match yard.options.pin {
            true => yard.images.pinned(&engine, &want.image)?,
            false => want.image.clone(),
        };
        fetch(yard, &engine, &image, want)?;
        Ok(image)
    }
}

/// Lets the host fetch the image from its registry, if need be.
fn fetch(yard: &Yard, engine: &Engine, image: &Image, want: &Want) -> Result<()> {
    let platform = want.platform.as_ref();
    if want.pull != Some(Pull::Always) && engine.has_image(image, platform)? {
        return Ok(());
    }
    if want.pull == Some(Pull::Never) {
        return Err(Error::new(Kind::NotFound, format_args!("use image \"{image}\""))
            .why("it is not on the host")
            .remedy("ship it with --from, or declare another \"pull\" than never"));
    }
    let _slot = yard.depot.slot();
    yard.images.pull(engine, image, platform)
}
