//! `image-ship`: each host gets the images of its containers, before somebody makes them.
//!
//! Each host has a thread of its own, so one that is slow or dead holds up nobody else.

mod depot;
mod pace;
mod quay;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use super::container_run::host;
use super::engines::Reach;
use super::images::Images;
use crate::error::{Error, Result};
use crate::pipe::{Found, Output, Progress, Report, Stdio};
use crate::record::{
    Action, Container, Endpoint, Host, HostState, Image, Platform, Pull, Rate, Record, State,
    Status,
};
use depot::Depot;
use quay::Quay;

/// So many records wait at most.
const WAITING: usize = 4096;

/// The stack of a thread; what is not used of it is not there.
const STACK: usize = 1024 * 1024;

/// Where hosts get images from that they have not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// From their registries, each by itself.
    Registry,
    /// From whichever engine among the records has one.
    Any,
    /// From this engine.
    Engine(String),
}

/// What is to be done.
pub struct Options {
    /// Where images come from.
    pub from: From,
    /// What each host record is to have.
    pub images: Vec<Image>,
    /// Whether changes go on with the digest that was shipped.
    pub pin: bool,
    /// How fast images may be sent, to all hosts together.
    pub rate: Option<Rate>,
    /// Hosts that get something at the same time.
    pub jobs: NonZeroUsize,
    /// How long an engine may take nothing and say nothing.
    pub patience: Duration,
    /// How engines are reached.
    pub reach: Reach,
    /// Where Docker's configuration has the logins for registries; absent means the user's own.
    pub docker_config: Option<PathBuf>,
}

/// Serves standard input to its end.
///
/// # Errors
/// When a stream fails, or the reader leaves. Also when the engine of a host was never there: the
/// records for it have been passed on as failed by then.
pub fn run(stdio: Stdio, options: Options) -> Result<()> {
    let Stdio { mut reader, output, report } = stdio;
    let depot = Depot::new(&options, &report);
    let yard = Yard {
        images: Images::new(options.docker_config.as_deref(), &report),
        output: Mutex::new((output, Progress::new(report.bars(), "records done"))),
        state: Mutex::default(),
        fewer: Condvar::new(),
        options,
        depot,
        report,
    };
    std::thread::scope(|scope| {
        let mut quays = HashMap::new();
        let outcome = yard.feed(scope, &mut reader, &mut quays);
        yard.depot.pauses(true);
        quays.values().for_each(|quay| quay.end());
        outcome
    })?;
    if let Some(why) = lock(&yard.state).stop.take() {
        return Err(why);
    }
    lock(&yard.output).0.settle()?;
    yard.depot.never_there().map_or(Ok(()), Err)
}

/// An image that a host is to have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Want {
    image: Image,
    platform: Option<Platform>,
    pull: Option<Pull>,
}

/// A record that waits for its host.
struct Task {
    record: Record,
    wants: Vec<Want>,
}

#[derive(Default)]
struct Open {
    tasks: usize,
    stop: Option<Error>,
}

/// What all threads share.
struct Yard {
    options: Options,
    images: Images,
    depot: Depot,
    report: Report,
    output: Mutex<(Output, Progress)>,
    state: Mutex<Open>,
    /// A task was finished.
    fewer: Condvar,
}

impl Yard {
    /// Reads records until the end and hands those that want something to their hosts.
    fn feed<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        reader: &mut crate::pipe::Reader,
        quays: &mut HashMap<Endpoint, Arc<Quay>>,
    ) -> Result<()> {
        loop {
            let found = reader.read(&mut || {
                self.depot.pauses(true);
                lock(&self.output).0.flush()
            })?;
            let record = match found {
                Found::End => break,
                Found::Bad(why) => {
                    self.report.failed(&why);
                    continue;
                }
                Found::Record(_, record) => record,
            };
            self.report.used();
            if let Record::Checkpoint(_) = &record {
                self.depot.pauses(true);
                drop(self.wait_until(|open| open.tasks == 0)?);
                self.images.forget();
                lock(&self.output).0.write(&record)?;
                lock(&self.output).0.settle()?;
                continue;
            }
            self.depot.pauses(false);
            let (endpoint, wants) = match self.wanted(&record) {
                Ok(Some((endpoint, wants))) => (endpoint, wants),
                Ok(None) => {
                    lock(&self.output).0.write(&record)?;
                    continue;
                }
                Err(why) => {
                    self.answer(record, Err(why));
                    continue;
                }
            };
            wants.iter().for_each(|want| self.depot.may_have(&want.image, &endpoint));
            if !needs(&record) {
                lock(&self.output).0.write(&record)?;
                continue;
            }
            if lock(&self.state).tasks >= WAITING {
                // Those that wait for what is still to be read have waited long enough.
                self.depot.pauses(true);
            }
            self.wait_until(|open| open.tasks < WAITING)?.tasks += 1;
            if !quays.contains_key(&endpoint) {
                let quay = Arc::new(Quay::new(endpoint.clone()));
                quays.insert(endpoint.clone(), quay.clone());
                let thread = std::thread::Builder::new().stack_size(STACK);
                thread
                    .spawn_scoped(scope, move || quay.serve(scope, self))
                    .map_err(|why| Error::io("start a thread", &why))?;
            }
            quays[&endpoint].bring(Task { record, wants });
        }
        self.depot.pauses(true);
        self.wait_until(|open| open.tasks == 0).map(drop)
    }

    /// The host of a record, and the images that it wants there; nothing for a record that has
    /// failed, or that is of something else.
    fn wanted(&self, record: &Record) -> Result<Option<(Endpoint, Vec<Want>)>> {
        let container = match record {
            Record::Change(change) if !change.has_failed() => &change.container,
            Record::Container(container) if container.status != Some(Status::Failed) => container,
            Record::Host(host) if host.state != Some(HostState::Down) => {
                let want =
                    |image: &Image| Want { image: image.clone(), platform: None, pull: None };
                let wants: Vec<Want> = self.options.images.iter().map(want).collect();
                return Ok((!wants.is_empty()).then(|| (Endpoint::from(host), wants)));
            }
            _ => return Ok(None),
        };
        let want = Want {
            image: container.image.clone(),
            platform: container.platform.clone(),
            pull: container.pull,
        };
        Ok(Some((host(container)?.1, vec![want])))
    }

    fn wait_until(&self, fine: impl Fn(&Open) -> bool) -> Result<MutexGuard<'_, Open>> {
        let mut open = lock(&self.state);
        while !fine(&open) && open.stop.is_none() {
            open = self.fewer.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        match open.stop.clone() {
            Some(why) => Err(why),
            None => Ok(open),
        }
    }

    /// Writes what became of a task, with the pinned image if that is wanted.
    fn finish(&self, task: Task, outcome: Result<Option<Image>>) {
        self.answer(task.record, outcome);
        let mut open = lock(&self.state);
        open.tasks -= 1;
        if open.tasks == 0 {
            self.depot.clear();
        }
        drop(open);
        self.fewer.notify_all();
    }

    fn answer(&self, record: Record, outcome: Result<Option<Image>>) {
        if let Err(why) = &outcome {
            self.report.failed(&why.clone().at(name(&record)));
        }
        let record = match outcome {
            Ok(None) => record,
            Ok(Some(image)) => with_image(record, image),
            Err(why) => failed(record, &why),
        };
        let mut output = lock(&self.output);
        output.1.tick();
        let written = output.0.write(&record).and_then(|()| output.0.flush());
        drop(output);
        if let Err(why) = written {
            lock(&self.state).stop.get_or_insert(why);
            self.fewer.notify_all();
        }
    }
}

/// Whether what a record asks for cannot be done without the image.
fn needs(record: &Record) -> bool {
    match record {
        Record::Change(change) => matches!(change.action, Action::Add | Action::Replace),
        Record::Container(container) => container.state != Some(State::Absent),
        _ => true,
    }
}

fn name(record: &Record) -> String {
    match record {
        Record::Change(change) => change.container.id.to_string(),
        Record::Container(container) => container.id.to_string(),
        Record::Host(host) => host.id.clone(),
        _ => String::new(),
    }
}

fn with_image(record: Record, image: Image) -> Record {
    match record {
        Record::Change(mut change) => {
            change.container.image = image;
            Record::Change(change)
        }
        Record::Container(container) => {
            Record::Container(Box::new(Container { image, ..*container }))
        }
        other => other,
    }
}

fn failed(record: Record, why: &Error) -> Record {
    match record {
        Record::Change(change) => Record::Change(Box::new(change.failed(why))),
        Record::Container(container) => Record::Container(Box::new(Container {
            status: Some(Status::Failed),
            error: Some(why.to_string()),
            error_kind: Some(why.kind()),
            ..*container
        })),
        Record::Host(host) => {
            let mut rest = host.rest;
            rest.set("status", &Status::Failed);
            rest.set("error", &why.to_string());
            rest.set("error_kind", &why.kind());
            Record::Host(Host { rest, ..host })
        }
        other => other,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
