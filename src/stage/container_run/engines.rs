//! The connections to the engines that changes name, one for each.
//!
//! An engine that does not answer is asked again later, each time later than before; until then
//! what is for it fails at once, so that it holds up nobody else. One that answered once and then
//! fails a call is asked whether it is there before anything else is asked of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pretence::Pretence;
use super::tool::{Steps, Tool};
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};
use crate::pipe::Report;
use crate::record::Endpoint;
use crate::stage::engines::Reach;
use crate::stage::images::Images;

/// How long an engine is left alone that was not there, the first time and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How many engines something is done on at the same time, where it is done on all.
const AT_A_TIME: usize = 64;

/// Engines by how they are reached.
pub(super) struct Engines {
    reach: Reach,
    pretends: bool,
    report: Report,
    images: Arc<Images>,
    known: Mutex<HashMap<Endpoint, Arc<Door>>>,
}

/// One engine, there or not. Who finds out which it is holds the lock; others of the same engine
/// have to wait for that anyway.
#[derive(Default)]
struct Door {
    state: Mutex<State>,
    /// What would be so if all had been done that was only told.
    pretence: Option<Arc<Pretence>>,
    /// Whether a call failed, so that it may be gone.
    is_doubtful: AtomicBool,
    was_there: AtomicBool,
}

#[derive(Default)]
enum State {
    #[default]
    Unknown,
    There(Arc<Engine>),
    Away {
        why: Error,
        wait: Duration,
        until: Instant,
    },
}

impl Engines {
    /// None yet. Which is spoken to without TLS is told; with `pretends` nothing is changed on any.
    pub(super) fn new(reach: &Reach, pretends: bool, report: &Report, images: Images) -> Engines {
        let (reach, report, images) = (reach.clone(), report.clone(), Arc::new(images));
        Engines { reach, pretends, report, images, known: Mutex::default() }
    }

    /// The engine that is reached so, for a change whose steps are noted.
    ///
    /// # Errors
    /// Why it is not there: at once while it is left alone.
    pub(super) fn tool<'a>(&self, endpoint: &Endpoint, steps: &'a Steps) -> Result<Tool<'a>> {
        let endpoint = self.reach.endpoint(endpoint.clone());
        let door = self.door(&endpoint);
        let tool = Tool::new(door.pass(&self.reach, &endpoint)?, door.pretence.clone(), steps);
        Ok(tool.fetching(self.images.clone()))
    }

    fn door(&self, endpoint: &Endpoint) -> Arc<Door> {
        let mut known = lock(&self.known);
        if let Some(door) = known.get(endpoint) {
            return door.clone();
        }
        if let Some(caution) = endpoint.caution() {
            self.report.note(&caution);
        }
        let pretence = self.pretends.then(Arc::default);
        let door = Arc::new(Door { pretence, ..Door::default() });
        known.insert(endpoint.clone(), door.clone());
        door
    }

    /// Work on the engine failed: if that may be because it is gone, that is found out before more
    /// is asked of it.
    pub(super) fn doubt(&self, endpoint: &Endpoint, why: &Error) {
        let endpoint = self.reach.endpoint(endpoint.clone());
        if let Some(door) = lock(&self.known).get(&endpoint) {
            door.doubt(why);
        }
    }

    /// Does something on all engines that are there. Tells of each that fails it but for one, whose
    /// failure is given. One that fails it because it may be gone is left out until a change is for it:
    /// what is done on all would wait for it each time.
    pub(super) fn on_each(&self, act: impl Fn(&Arc<Engine>) -> Result<()> + Sync) -> Result<()> {
        let engines = self.there();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..engines.len().min(AT_A_TIME) {
                scope.spawn(|| {
                    while let Some(at) = engines.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (door, engine) = at;
                        let Err(why) = act(engine) else { continue };
                        door.doubt(&why);
                        if let Some(earlier) = lock(&failure).replace(why) {
                            self.report.failed(&earlier);
                        }
                    }
                });
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// The engines that are there, as far as is known.
    fn there(&self) -> Vec<(Arc<Door>, Arc<Engine>)> {
        let doors: Vec<Arc<Door>> = lock(&self.known).values().cloned().collect();
        let sure = doors.into_iter().filter(|door| !door.is_doubtful.load(Ordering::Relaxed));
        let engine = |door: Arc<Door>| match &*lock(&door.state) {
            State::There(engine) => Some((door.clone(), engine.clone())),
            _ => None,
        };
        sure.filter_map(engine).collect()
    }

    /// Why an engine that was wanted was never there, if one was not.
    pub(super) fn never_there(&self) -> Option<Error> {
        let doors: Vec<Arc<Door>> = lock(&self.known).values().cloned().collect();
        let never = doors.iter().filter(|door| !door.was_there.load(Ordering::Relaxed));
        never.into_iter().find_map(|door| match &*lock(&door.state) {
            State::Away { why, .. } => Some(why.clone()),
            _ => None,
        })
    }
}

impl Door {
    fn doubt(&self, why: &Error) {
        if matches!(why.kind(), Kind::Unavailable | Kind::TimedOut) {
            self.is_doubtful.store(true, Ordering::Relaxed);
        }
    }

    fn pass(&self, reach: &Reach, endpoint: &Endpoint) -> Result<Arc<Engine>> {
        let mut state = lock(&self.state);
        let begun = Instant::now();
        let mut wait = FIRST;
        let tried = match &*state {
            State::There(engine) if !self.is_doubtful.load(Ordering::Relaxed) => {
                return Ok(engine.clone());
            }
            State::There(engine) => engine.answers().map(|()| engine.clone()),
            State::Away { why, until, .. } if begun < *until => return Err(why.clone()),
            State::Away { wait: last, .. } => {
                wait = last.saturating_mul(2).min(LONGEST);
                reach.connect(endpoint).map(Arc::new)
            }
            State::Unknown => reach.connect(endpoint).map(Arc::new),
        };
        self.is_doubtful.store(false, Ordering::Relaxed);
        match tried {
            Ok(engine) => {
                self.was_there.store(true, Ordering::Relaxed);
                *state = State::There(engine.clone());
                Ok(engine)
            }
            Err(why) => {
                // One that takes its time to say nothing is left alone for as long.
                let wait = wait.max(begun.elapsed());
                *state = State::Away { why: why.clone(), wait, until: Instant::now() + wait };
                Err(why)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
