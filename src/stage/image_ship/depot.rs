//! Which engines have an image, and how it goes from them to those that have not.
//!
//! Who lacks an image boards the ship that is being loaded with it: the source reads the image out
//! once for all who are there when its first byte comes. Who comes later waits for a source that is
//! free. Each engine that has got the image is a source from then on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{From, Options, Want, lock};
use crate::adapter::docker::{Cargo, Engine, Feed, Held, Unloaded, way};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Bars, Report};
use crate::record::{Endpoint, Image, Platform};
use crate::stage::engines::Reach;
use crate::stage::flights::Flights;

/// Of so many hosts it is remembered that they may have an image.
const REMEMBERED: usize = 64;

/// How often an image is sent again when its source fails, or the engine turns out to lack a layer.
const TRIES: u32 = 4;

/// The engines, what they have, and what is under way.
pub(super) struct Depot {
    from: From,
    reach: Reach,
    patience: Duration,
    pace: Option<Mutex<Pace>>,
    report: Report,
    bars: Bars,
    engines: Mutex<HashMap<Endpoint, Result<Arc<Engine>>>>,
    connecting: Flights<Endpoint, Arc<Engine>>,
    /// Hosts that somebody says have an image, the last one last.
    rumours: Mutex<HashMap<Image, VecDeque<Endpoint>>>,
    lines: Mutex<Lines>,
    /// Something about the lines has changed.
    news: Condvar,
    slots: Mutex<usize>,
    freed: Condvar,
}

#[derive(Default)]
struct Lines {
    of: HashMap<Key, Line>,
    /// No more records are there to be read at this moment.
    paused: bool,
}

type Key = (Image, Option<Platform>);

/// How one image gets to where it lacks.
#[derive(Default)]
struct Line {
    /// What it is; the first source says it.
    what: Option<Held>,
    sources: Vec<Source>,
    asked: HashSet<String>,
    /// Hosts that are being asked.
    asking: usize,
    /// What those said that could not be asked.
    silent: Vec<String>,
    /// Who is on board of the ship that has not left.
    boarding: Option<Vec<Feed>>,
}

struct Source {
    engine: Arc<Engine>,
    busy: bool,
}

/// The right to be one of those that get something at the same time.
pub(super) struct Slot<'a>(&'a Depot);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.0.slots) += 1;
        self.0.freed.notify_one();
    }
}

impl Depot {
    /// No engine yet.
    pub(super) fn new(options: &Options, report: &Report) -> Depot {
        Depot {
            from: options.from.clone(),
            reach: options.reach.clone(),
            patience: options.patience,
            pace: options.rate.map(|rate| Mutex::new(Pace::new(rate))),
            report: report.clone(),
            bars: report.bars().clone(),
            engines: Mutex::default(),
            connecting: Flights::default(),
            rumours: Mutex::default(),
            lines: Mutex::default(),
            news: Condvar::new(),
            slots: Mutex::new(options.jobs.get()),
            freed: Condvar::new(),
        }
    }

    /// The engine that is reached so. One that does not answer is asked again by who comes later.
    pub(super) fn engine(&self, endpoint: &Endpoint) -> Result<Arc<Engine>> {
        let endpoint = self.reach.endpoint(endpoint.clone());
        if let Some(Ok(engine)) = lock(&self.engines).get(&endpoint) {
            return Ok(engine.clone());
        }
        self.connecting.share(&endpoint, || {
            let connected = self.reach.connect(&endpoint).map(Arc::new);
            let before = lock(&self.engines).insert(endpoint.clone(), connected.clone());
            if before.is_none()
                && let Some(caution) = endpoint.caution()
            {
                self.report.note(&caution);
            }
            connected
        })
    }

    /// Why an engine that was wanted was never there, if one was not.
    pub(super) fn never_there(&self) -> Option<Error> {
        lock(&self.engines).values().find_map(|engine| engine.as_ref().err().cloned())
    }

    /// Waits for one's turn.
    pub(super) fn slot(&self) -> Slot<'_> {
        let mut free = lock(&self.slots);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }

    /// A record says that this host has, or is to have, the image.
    pub(super) fn may_have(&self, image: &Image, host: &Endpoint) {
        if self.from != From::Any {
            return;
        }
        let mut rumours = lock(&self.rumours);
        let hosts = rumours.entry(image.clone()).or_default();
        if !hosts.contains(host) {
            hosts.push_back(host.clone());
            if hosts.len() > REMEMBERED {
                hosts.pop_front();
            }
        }
    }

    /// Whether all records that were there have been read.
    pub(super) fn pauses(&self, paused: bool) {
        lock(&self.lines).paused = paused;
        if paused {
            self.news.notify_all();
        }
    }

    /// Forgets who has what: nobody waits for anything.
    pub(super) fn clear(&self) {
        lock(&self.lines).of.clear();
    }

    /// Makes sure that the engine has the image that the source has.
    pub(super) fn bring<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        to: &Arc<Engine>,
        want: &Want,
    ) -> Result<()> {
        let key = (want.image.clone(), want.platform.clone());
        let held = to.held(&key.0, key.1.as_ref())?;
        if let (From::Any, Some(held)) = (&self.from, &held) {
            self.has(&key, to, held);
            return Ok(());
        }
        let what = self.what(&key, to)?;
        if held.is_some_and(|held| held.id == what.id) {
            self.has(&key, to, &what);
            return Ok(());
        }
        let doing = || format!("ship image \"{}\"", key.0);
        if key.0.digest().is_some() {
            return Err(Error::new(Kind::Refused, doing())
                .why("an engine does not learn the digest of an image that it loads")
                .remedy("name it by its tag, or let the hosts fetch it from its registry"));
        }
        let _slot = self.slot();
        let mut has = to.layers_held(&what.layers)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.carry(scope, &key, to, &what, has) {
                Ok(()) => break,
                Err(Unloaded::Source(_)) if tries < TRIES => (),
                // A layer that it had may have gone meanwhile, or be kept in another way.
                Err(Unloaded::Here(why)) if has > 0 && why.kind() != Kind::TimedOut => has = 0,
                Err(Unloaded::Source(why) | Unloaded::Here(why)) => return Err(why),
            }
        }
        match to.held(&key.0, key.1.as_ref())? {
            Some(held) if held.id == what.id => {
                self.has(&key, to, &held);
                Ok(())
            }
            Some(held) => Err(Error::new(Kind::Refused, doing())
                .why(format_args!("what was loaded is {}, and not {}", held.id, what.id))),
            None => Err(Error::new(Kind::Refused, doing())
                .why("it was loaded, and the engine does not have it")),
        }
    }

    /// The engine has the image, and may hand it out to others.
    fn has(&self, key: &Key, engine: &Arc<Engine>, held: &Held) {
        let mut lines = lock(&self.lines);
        lines.of.entry(key.clone()).or_default().add(engine, held);
        drop(lines);
        self.news.notify_all();
    }

    /// What the image is, as one of those says who have it.
    fn what(&self, key: &Key, to: &Engine) -> Result<Held> {
        let mut lines = lock(&self.lines);
        loop {
            let paused = lines.paused;
            let line = lines.of.entry(key.clone()).or_default();
            if let Some(what) = line.what.as_ref().filter(|_| !line.sources.is_empty()) {
                return Ok(what.clone());
            }
            if let Some(host) = self.unasked(&key.0, line, to) {
                line.asked.insert(host.url.clone());
                line.asking += 1;
                drop(lines);
                let engine = self.engine(&host);
                let held = engine.and_then(|engine| {
                    engine.held(&key.0, key.1.as_ref()).map(|held| held.map(|held| (engine, held)))
                });
                lines = lock(&self.lines);
                let line = lines.of.entry(key.clone()).or_default();
                line.asking = line.asking.saturating_sub(1);
                match held {
                    Ok(Some((engine, held))) => line.add(&engine, &held),
                    Ok(None) => (),
                    Err(why) => line.silent.push(why.to_string()),
                }
                self.news.notify_all();
                continue;
            }
            if line.asking == 0 && (paused || self.from != From::Any) {
                let why = match (&self.from, line.silent.first()) {
                    (_, Some(silent)) => silent.clone(),
                    (From::Engine(url), None) => format!("it is not on {url}"),
                    _ => "no host among the records has it".to_owned(),
                };
                let what = format!("ship image \"{}\"", key.0);
                return Err(Error::new(Kind::NotFound, what).why(why));
            }
            lines = self.wait(lines);
        }
    }

    /// The next host that may have the image and has not been asked.
    fn unasked(&self, image: &Image, line: &Line, to: &Engine) -> Option<Endpoint> {
        let is_new = |host: &&Endpoint| host.url != to.url() && !line.asked.contains(&host.url);
        match &self.from {
            From::Registry => None,
            From::Engine(url) => {
                Some(Endpoint::at(url)).filter(|host| !line.asked.contains(&host.url))
            }
            From::Any => lock(&self.rumours).get(image)?.iter().find(is_new).cloned(),
        }
    }

    /// Takes the image from a source to an engine that has so many of its layers.
    fn carry<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        key: &Key,
        to: &Arc<Engine>,
        what: &Held,
        has: usize,
    ) -> Result<(), Unloaded> {
        let cargo = self.board(scope, key, has).map_err(Unloaded::Here)?;
        let bar = self.bars.transfer(&format!("{} to {}", key.0, to.url()));
        to.load(cargo, self.patience, &mut |bytes| bar.at(bytes, what.size))
    }

    /// Goes on board of the next ship with the image.
    fn board<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        key: &Key,
        has: usize,
    ) -> Result<Cargo> {
        let (feed, cargo) = way(has);
        let mut lines = lock(&self.lines);
        loop {
            let line = lines.of.entry(key.clone()).or_default();
            if let Some(boarding) = &mut line.boarding {
                boarding.push(feed);
                return Ok(cargo);
            }
            if let Some(source) = line.sources.iter_mut().find(|source| !source.busy) {
                source.busy = true;
                let engine = source.engine.clone();
                line.boarding = Some(vec![feed]);
                let layers = line.what.clone().unwrap_or_default().layers;
                let key = key.clone();
                scope.spawn(move || self.sail(&key, &engine, &layers));
                return Ok(cargo);
            }
            if line.sources.is_empty() {
                return Err(Error::new(Kind::NotFound, format_args!("ship image \"{}\"", key.0))
                    .why("nobody who had it answers any more"));
            }
            lines = self.wait(lines);
        }
    }

    /// Lets a source hand the image out to all who are on board when it begins.
    fn sail(&self, key: &Key, engine: &Arc<Engine>, layers: &[String]) {
        let mut pace = |bytes: u64| {
            let pace = self.pace.as_ref();
            pace.map_or(Duration::ZERO, |pace| lock(pace).wait(bytes, Instant::now()))
        };
        let mut takers = || {
            let mut lines = lock(&self.lines);
            lines.of.get_mut(key).and_then(|line| line.boarding.take()).unwrap_or_default()
        };
        let outcome = engine.hand_out(&key.0, layers, self.patience, &mut takers, &mut pace);
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.of.get_mut(key) {
            match outcome {
                Ok(()) => line.free(engine),
                Err(_) => line.sources.retain(|source| !Arc::ptr_eq(&source.engine, engine)),
            }
        }
        drop(lines);
        self.news.notify_all();
    }

    fn wait<'a>(&'a self, lines: MutexGuard<'a, Lines>) -> MutexGuard<'a, Lines> {
        self.news.wait(lines).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// One more source, if it has the same image as the first.
    fn add(&mut self, engine: &Arc<Engine>, held: &Held) {
        if self.sources.is_empty() {
            self.what = Some(held.clone());
        }
        let same = self.what.as_ref().is_some_and(|what| what.id == held.id);
        if same && !self.sources.iter().any(|source| source.engine.url() == engine.url()) {
            self.sources.push(Source { engine: engine.clone(), busy: false });
        }
    }

    fn free(&mut self, engine: &Arc<Engine>) {
        let of = |source: &&mut Source| Arc::ptr_eq(&source.engine, engine);
        if let Some(source) = self.sources.iter_mut().find(of) {
            source.busy = false;
        }
    }
}
