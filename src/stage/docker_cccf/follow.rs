//! List, then watch: one thread for each host listens, and one tells.
//!
//! An event says "look again" and nothing else. What a stream of records says, taken together, is
//! at every moment what a listing would say: what leaves the listing is told as `absent`, also when
//! it left while nobody listened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::{Listing, Options, checkpoint, each_at_once, left_out, on};
use crate::adapter::docker::{Engine, Found};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Report};
use crate::record::{Container, ContainerId, Endpoint, Host, Object, Owner, Record, State};
use crate::stage::listening;

/// The wait before a listing that failed is made again, if nothing else comes between.
const AGAIN: Duration = Duration::from_secs(1);

/// Lists, and tells what changes until nobody reads any more.
pub(super) fn run(output: Output, report: &Report, options: Arc<Options>) -> Result<()> {
    let (to, news) = mpsc::channel();
    for at in 0..options.hosts.len() {
        let swarm = options.swarm;
        let (endpoint, owner, to) = (options.endpoint(at), options.owner.clone(), to.clone());
        std::thread::spawn(move || listen(at, &endpoint, swarm, owner.as_ref(), &to));
    }
    std::thread::spawn(move || {
        crate::pipe::reader_leaves();
        let _ = to.send(News::ReaderLeft);
    });
    let hosts = options.hosts.iter().map(|_| Reached::NotYet).collect();
    let teller = Teller { output, report, options, hosts, told: HashMap::new(), list_at: None };
    teller.tell(&news)
}

/// What a listening thread has to say; a host is told by its place in the list.
enum News {
    /// The engine answers, and from here on nothing is missed.
    Up(usize, Arc<Engine>),
    /// The container with this id should be looked at.
    Changed(usize, String),
    /// The engine does not answer any more.
    Down(usize, Error),
    /// Nobody reads what is told.
    ReaderLeft,
}

/// Listens to one engine, for ever.
fn listen(at: usize, endpoint: &Endpoint, swarm: bool, owner: Option<&Owner>, to: &Sender<News>) {
    let hear = |engine: &Arc<Engine>, since| {
        if to.send(News::Up(at, engine.clone())).is_err() {
            return Error::new(Kind::ReaderLeft, "tell what changes");
        }
        let mut changed = |id| to.send(News::Changed(at, id)).is_ok();
        match swarm {
            true => engine.watch_services(owner, &mut changed),
            false => engine.watch(owner, since, &mut changed),
        }
    };
    listening::stay(endpoint, hear, |why| to.send(News::Down(at, why)).is_ok());
}

/// How it stands with one host.
enum Reached {
    /// It did not answer yet, and nothing was told of that.
    NotYet,
    /// It answers.
    Up(Arc<Engine>),
    /// It does not answer, which was told.
    Down,
}

struct Teller<'a> {
    output: Output,
    report: &'a Report,
    options: Arc<Options>,
    hosts: Vec<Reached>,
    /// What was told last of each container, by its host's place and its engine's own id.
    told: HashMap<(usize, String), Container>,
    /// When everything is to be listed next.
    list_at: Option<Instant>,
}

impl Teller<'_> {
    fn tell(mut self, news: &Receiver<News>) -> Result<()> {
        loop {
            let first = match self.list_at {
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let mut changed: Vec<(usize, String)> = Vec::new();
            for news in first.ok().into_iter().chain(news.try_iter()) {
                match news {
                    News::ReaderLeft => return Ok(()),
                    News::Up(at, engine) => self.up(at, engine),
                    News::Down(at, why) => self.down(at, why)?,
                    News::Changed(at, id) => changed.push((at, id)),
                }
            }
            if self.list_at.is_some_and(|at| at <= Instant::now()) {
                self.list()?;
            }
            self.look(changed)?;
            self.output.flush()?;
        }
    }

    fn up(&mut self, at: usize, engine: Arc<Engine>) {
        if let Reached::Down = self.hosts[at] {
            let what = format!("{} answers again", engine.url());
            self.report.note(&Error::new(Kind::Unavailable, what).remedy("listing anew"));
        }
        self.hosts[at] = Reached::Up(engine);
        self.list_at = Some(Instant::now());
    }

    /// # Errors
    /// When waiting cannot help: the engine was never reached, for a reason of its own.
    fn down(&mut self, at: usize, why: Error) -> Result<()> {
        match std::mem::replace(&mut self.hosts[at], Reached::Down) {
            Reached::NotYet if !listening::may_pass(&why) => return Err(why),
            Reached::NotYet | Reached::Up(_) => self.report.note(&why),
            Reached::Down => (),
        }
        Ok(())
    }

    /// Tells everything anew, and that it was everything, once every host answers.
    fn list(&mut self) -> Result<()> {
        self.list_at = None;
        let mut engines = Vec::new();
        for host in &self.hosts {
            let Reached::Up(engine) = host else {
                return Ok(());
            };
            engines.push(engine.clone());
        }
        let options = self.options.clone();
        let listings =
            each_at_once(engines, move |engine: Arc<Engine>| Listing::of(&engine, &options));
        let mut listed = Vec::new();
        for ((at, host), listing) in self.options.hosts.iter().enumerate().zip(listings) {
            match listing {
                Ok(listing) => listed.extend(
                    listing
                        .told(self.report)
                        .into_iter()
                        .map(|found| ((at, found.docker_id.clone()), on(host, found))),
                ),
                Err(why) => {
                    self.report.note(&why.at(&host.id));
                    self.list_at = Some(Instant::now() + AGAIN);
                    return Ok(());
                }
            }
        }
        let before = std::mem::replace(&mut self.told, listed.iter().cloned().collect());
        let names: HashSet<(usize, &ContainerId)> =
            self.told.iter().map(|((at, _), container)| (*at, &container.id)).collect();
        for ((at, id), gone) in before {
            // Another one may have its name by now.
            if !self.told.contains_key(&(at, id)) && !names.contains(&(at, &gone.id)) {
                self.output.write(&self.absent(&gone).into())?;
            }
        }
        let mut count = 0;
        for (_, container) in listed {
            if self.options.tells(&container) {
                count += 1;
                self.output.write(&container.into())?;
            }
        }
        self.output.write(&Record::Checkpoint(checkpoint(count, &self.options)))?;
        self.list_at = self.options.resync.map(|every| Instant::now() + every);
        self.output.settle()
    }

    /// Looks at containers again, each once, and tells what is new.
    fn look(&mut self, changed: Vec<(usize, String)>) -> Result<()> {
        let mut ids: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (at, id) in changed.into_iter().filter(|change| seen.insert(change.clone())) {
            ids.entry(at).or_default().push(id);
        }
        let reached = ids.into_iter().filter_map(|(at, ids)| match &self.hosts[at] {
            Reached::Up(engine) => Some((at, ids, engine.clone())),
            Reached::NotYet | Reached::Down => None,
        });
        let swarm = self.options.swarm;
        let look = move |(at, ids, engine): (usize, Vec<String>, Arc<Engine>)| {
            let looked = match swarm {
                true => engine.look_at_services(&ids),
                false => engine.look(&ids),
            };
            (at, ids, looked)
        };
        for (at, ids, looked) in each_at_once(reached.collect::<Vec<_>>(), look) {
            for (id, looked) in ids.into_iter().zip(looked) {
                match looked {
                    Ok(found) => self.tell_changed(at, id, found)?,
                    Err(why) if why.kind() == Kind::BadInput => {
                        self.report.failed(&left_out(why));
                    }
                    Err(why) => {
                        self.report.note(&why);
                        self.list_at.get_or_insert(Instant::now() + AGAIN);
                    }
                }
            }
        }
        Ok(())
    }

    fn tell_changed(&mut self, at: usize, id: String, found: Option<Found>) -> Result<()> {
        let host: &Host = &self.options.hosts[at];
        let container =
            found.and_then(|found| self.options.take(found)).map(|found| on(host, found));
        let key = (at, id);
        let before = self.told.remove(&key);
        if let Some(container) = &container {
            self.told.insert(key, container.clone());
        }
        match (before, container) {
            (None, None) => Ok(()),
            (Some(before), Some(now)) if before == now => Ok(()),
            (_, Some(now)) if !self.options.tells(&now) => Ok(()),
            (Some(before), Some(now)) if before.id != now.id => {
                self.tell_gone(at, before)?;
                self.output.write(&now.into())
            }
            (_, Some(now)) => self.output.write(&now.into()),
            (Some(before), None) => self.tell_gone(at, before),
        }
    }

    /// Tells that a container is there no more, unless another one has its name by now.
    fn tell_gone(&mut self, at: usize, gone: Container) -> Result<()> {
        if self.told.iter().any(|((of, _), other)| *of == at && other.id == gone.id) {
            return Ok(());
        }
        self.output.write(&self.absent(&gone).into())
    }

    /// What is left to say of a container that is gone; who plugged it in has to know what as.
    fn absent(&self, gone: &Container) -> Container {
        match self.options.landing {
            true => Container {
                key: gone.key,
                networks: gone.networks.clone(),
                private_network: gone.private_network.clone(),
                ..absent(gone)
            },
            false => absent(gone),
        }
    }
}

fn absent(gone: &Container) -> Container {
    let mut bare = Object::default();
    bare.set("id", &gone.id);
    bare.set("image", &gone.image);
    let mut bare = Container::try_from(bare).unwrap_or_else(|_| gone.clone());
    bare.host = gone.host.clone();
    bare.owner = gone.owner.clone();
    bare.state = Some(State::Absent);
    bare
}
