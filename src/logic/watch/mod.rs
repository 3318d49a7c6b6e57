//! What of that which an engine tells is news, and what has happened while nobody listened.
//!
//! One [`Watch`] remembers how it stands with the containers of one host, as far as it has been told.
//! An event that leads where it stands already was told before: engines repeat events, and what a
//! listing shows may be told by an event a moment later. What a listing shows and no event has told
//! was missed, and is told as a gap.

mod loops;
mod metrics;
mod recent;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

pub use loops::Loops;
pub use metrics::exposition;

use crate::record::{
    Docker, Event, Happening, HostRef, Reason, Sample, Sight, Signal, State, Subject, Usage, What,
};
use loops::Ends;
use recent::Recent;

/// A signal that was sent so long before the end of a container was not the reason for it.
const ASKED_WITHIN: Duration = Duration::from_secs(600);

/// What is counted of a container that is gone is forgotten after so long, if none of its name comes.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// What is known of one host's containers.
#[derive(Debug)]
pub struct Watch {
    host: HostRef,
    loops: Option<Loops>,
    /// By the engine's own ids.
    known: HashMap<String, Known>,
    recent: Recent,
    /// By their names, because a container that is made anew is the same to people.
    tallies: BTreeMap<String, Tally>,
    counts: BTreeMap<What, u64>,
    gaps: u64,
}

#[derive(Debug)]
struct Known {
    /// As it was told last.
    sight: Sight,
    /// Whether memory ran out in this run.
    oom: bool,
    /// When it was told to end.
    asked: Option<Timestamp>,
    /// When it was looked at last, and its processor time then.
    sampled: Option<(Timestamp, u64)>,
    usage: Option<Usage>,
}

/// What is counted of all containers of one name.
#[derive(Debug, Default)]
struct Tally {
    ends: Ends,
    starts: u64,
    died: BTreeMap<Reason, u64>,
    ooms: u64,
    unhealthy: u64,
    gone_at: Option<Timestamp>,
}

impl Known {
    fn of(sight: Sight) -> Known {
        Known { oom: sight.oom, sight, asked: None, sampled: None, usage: None }
    }

    /// Takes up a new run.
    fn started(&mut self, docker: Docker, sight: Option<&Sight>) {
        self.sight.subject.state = Some(State::Running);
        self.sight.subject.docker = Some(docker);
        self.sight.finished_at = None;
        self.sight.exit_code = None;
        self.sight.error = None;
        self.sight.oom = false;
        self.sight.health = sight.and_then(|sight| sight.health);
        self.sight.restarts = sight.map_or(self.sight.restarts, |sight| sight.restarts);
        *self = Known::of(self.sight.clone());
    }

    /// Takes note of the end of the run.
    fn ended(&mut self, event: &Event) {
        self.sight.subject.state = Some(State::Exited);
        self.sight.finished_at = Some(event.at);
        self.sight.exit_code = event.exit_code;
        self.sight.oom = event.oom;
        self.sight.error.clone_from(&event.error);
        self.sampled = None;
        self.usage = None;
    }

    fn is_paused(&self) -> bool {
        self.sight.subject.state == Some(State::Paused)
    }
}

impl Watch {
    /// One that knows nothing yet.
    pub fn new(host: HostRef, loops: Option<Loops>) -> Watch {
        Watch {
            host,
            loops,
            known: HashMap::new(),
            recent: Recent::default(),
            tallies: BTreeMap::new(),
            counts: BTreeMap::new(),
            gaps: 0,
        }
    }

    /// Whether the container with this engine's id is known.
    pub fn knows(&self, docker_id: &str) -> bool {
        self.known.contains_key(docker_id)
    }

    /// The engine's own ids of the containers that run.
    pub fn running(&self) -> Vec<String> {
        let runs = self.known.iter().filter(|(_, known)| known.sight.runs());
        runs.map(|(id, _)| id.clone()).collect()
    }

    /// Takes in all containers that are there, and tells how it stands with each.
    pub fn begin(&mut self, sights: Vec<Sight>, now: Timestamp) -> Vec<Event> {
        let told = sights.into_iter().map(|sight| {
            let event = Event {
                host: Some(self.host.clone()),
                container: Some(sight.subject.clone()),
                exit_code: sight.exit_code,
                reason: sight.exit_code.map(|code| reason(Some(code), &sight)),
                signal: sight.exit_code.and_then(signal),
                oom: sight.oom,
                health: sight.health,
                error: sight.error.clone(),
                ..Event::new(now, What::Is)
            };
            self.tallies.entry(sight.subject.id.clone()).or_default();
            self.known.insert(sight.docker_id().to_owned(), Known::of(sight));
            event
        });
        told.collect()
    }

    /// Takes in what happened; nothing when it was told already.
    pub fn take(&mut self, happening: Happening) -> Option<Event> {
        if !self.recent.is_new(&happening) || self.is_stale(&happening) {
            return None;
        }
        let id = happening.docker_id.clone();
        let mut event = Event::new(happening.at, happening.what);
        let seen = happening.sight.as_ref();
        if !self.known.contains_key(&id) {
            let sight = seen.cloned().unwrap_or_else(|| unseen(&happening.subject));
            // How it stood before what happened.
            let state = match happening.what {
                What::Create | What::Start => State::Created,
                _ => State::Running,
            };
            let subject = Subject { state: Some(state), ..sight.subject };
            let sight = Sight { subject, exit_code: None, oom: false, finished_at: None, ..sight };
            self.known.insert(id.clone(), Known::of(sight));
        }
        let known = self.known.get_mut(&id)?;
        match happening.what {
            What::Start => {
                let docker = seen.and_then(|sight| sight.subject.docker.clone());
                let mut docker = docker.unwrap_or_else(|| bare(&known.sight));
                // The run may be over, and the next one begun, when it is looked at.
                docker.started_at = docker.started_at.filter(|at| *at <= happening.at);
                docker.started_at.get_or_insert(happening.at);
                known.started(docker, seen);
                event.health = known.sight.health;
            }
            What::Die => {
                let over = seen.filter(|sight| !sight.runs());
                event.exit_code = happening.exit_code.or(over.and_then(|sight| sight.exit_code));
                event.oom = known.oom || over.is_some_and(|sight| sight.oom);
                event.error = over.and_then(|sight| sight.error.clone());
                known.end(&mut event);
            }
            What::Oom => known.oom = true,
            What::Kill => {
                event.signal = happening.signal.clone();
                if event.signal.as_ref().is_none_or(ends) {
                    known.asked = Some(happening.at);
                }
            }
            What::Stop => known.asked = Some(happening.at),
            What::Pause => known.sight.subject.state = Some(State::Paused),
            What::Unpause => known.sight.subject.state = Some(State::Running),
            What::Health => {
                known.sight.health = happening.health.or(seen.and_then(|sight| sight.health));
                event.health = known.sight.health;
                event.output = seen.and_then(|sight| sight.output.clone());
            }
            What::Rename => {
                event.was = happening.was.or_else(|| Some(known.sight.subject.id.clone()));
                known.sight.subject.id.clone_from(&happening.subject.id);
            }
            _ => (),
        }
        event.container = Some(shown(known, happening.what));
        if happening.what == What::Destroy {
            self.known.remove(&id);
        }
        Some(self.told(event))
    }

    /// Whether it leads where it stands already.
    fn is_stale(&self, happening: &Happening) -> bool {
        let known = self.known.get(&happening.docker_id);
        match (happening.what, known) {
            (What::Destroy, None) | (What::Create, Some(_)) => true,
            (What::Start, Some(known)) => known.sight.runs(),
            (What::Die, Some(known)) => !known.sight.runs(),
            (What::Pause, Some(known)) => known.is_paused(),
            (What::Unpause, Some(known)) => !known.is_paused(),
            (What::Health, Some(known)) => {
                happening.health.is_some() && happening.health == known.sight.health
            }
            (What::Rename, Some(known)) => known.sight.subject.id == happening.subject.id,
            _ => false,
        }
    }

    /// The engine's own ids of the containers of which this listing says something else than is known,
    /// those that it lacks included.
    pub fn doubts(&self, listing: &[Sight]) -> Vec<String> {
        let differs = |sight: &&Sight| match self.known.get(sight.docker_id()) {
            Some(known) => is_news(&known.sight, sight),
            None => true,
        };
        let listed: std::collections::HashSet<&str> =
            listing.iter().map(Sight::docker_id).collect();
        let gone = self.known.keys().filter(|id| !listed.contains(&***id));
        let new = listing.iter().filter(differs).map(|sight| sight.docker_id().to_owned());
        new.chain(gone.cloned()).collect()
    }

    /// Takes in how it stands with one container, or that it is not there, and tells what must have
    /// happened to it unseen.
    pub fn mend(&mut self, docker_id: &str, sight: Option<Sight>, now: Timestamp) -> Vec<Event> {
        let mut missed = Vec::new();
        match (self.known.remove(docker_id), sight) {
            (None, None) => (),
            (Some(mut known), None) => {
                if known.sight.runs() {
                    missed.push(known.missed_end(now));
                }
                let container = Some(shown(&known, What::Destroy));
                missed.push(Event { container, ..Event::new(now, What::Destroy) });
            }
            (before, Some(sight)) => {
                let mut known = before.unwrap_or_else(|| {
                    let made = Known::new(&sight);
                    let at = sight.created_at.unwrap_or(now);
                    let container = Some(shown(&made, What::Create));
                    missed.push(Event { container, ..Event::new(at, What::Create) });
                    made
                });
                let more = sight.restarts.saturating_sub(known.sight.restarts);
                known.catch_up(sight, now, &mut missed);
                // Of the runs that Docker made itself one at most is told.
                if let Some(end) = missed.iter().rev().find(|event| event.what == What::Die) {
                    let tally = self.tallies.entry(known.sight.subject.id.clone()).or_default();
                    tally.ends.add(end.at, more.saturating_sub(1));
                }
                self.known.insert(docker_id.to_owned(), known);
            }
        }
        self.gaps += 1;
        missed.into_iter().map(|event| self.told(Event { gap: true, ..event })).collect()
    }

    /// Takes in what a container used, and tells it.
    pub fn used(&mut self, sample: Sample) -> Option<Event> {
        let known = self.known.get_mut(&sample.docker_id).filter(|known| known.sight.runs())?;
        let Sample { at, usage, .. } = sample;
        let cpus = match (known.sampled, usage.cpu_ns) {
            (Some((before, used)), Some(now)) => {
                cores(at.duration_since(before).as_nanos(), used, now)
            }
            _ => None,
        };
        known.sampled = usage.cpu_ns.map(|cpu| (at, cpu));
        let usage = Usage { cpus, ..usage };
        known.usage = Some(usage.clone());
        Some(Event {
            host: Some(self.host.clone()),
            container: Some(shown(known, What::Stats)),
            stats: Some(usage),
            ..Event::new(at, What::Stats)
        })
    }

    /// Whether this of a container, which may not be there, is not as it was told.
    pub fn is_news(&self, docker_id: &str, sight: Option<&Sight>) -> bool {
        match (self.known.get(docker_id), sight) {
            (Some(known), Some(sight)) => is_news(&known.sight, sight),
            (known, sight) => known.is_some() != sight.is_some(),
        }
    }

    /// The event with its host and what follows from those before it, counted. What happens to
    /// containers is counted by [`Watch::take`] and [`Watch::mend`].
    pub fn told(&mut self, event: Event) -> Event {
        let mut event = Event { host: Some(self.host.clone()), ..event };
        *self.counts.entry(event.what).or_default() += 1;
        let Some(container) = &event.container else { return event };
        let before = event.was.as_ref().and_then(|was| self.tallies.get_mut(was));
        if let Some(tally) = before {
            tally.gone_at = Some(event.at);
        }
        let tally = self.tallies.entry(container.id.clone()).or_default();
        tally.gone_at = None;
        match event.what {
            What::Start => tally.starts += 1,
            What::Oom => tally.ooms += 1,
            What::Destroy => tally.gone_at = Some(event.at),
            What::Health if event.health == Some(crate::record::Health::Unhealthy) => {
                tally.unhealthy += 1;
            }
            What::Die => {
                *tally.died.entry(event.reason.unwrap_or(Reason::Unknown)).or_default() += 1;
                if !event.asked {
                    tally.ends.add(event.at, 1);
                }
            }
            _ => (),
        }
        if let (Some(loops), What::Start | What::Die) = (self.loops, event.what) {
            let times = tally.ends.within(loops, event.at);
            event.restarts = (times > 0).then_some(times);
            event.looping = times >= loops.times;
        }
        event
    }

    /// Forgets what was counted of containers that are long gone.
    pub fn forget(&mut self, now: Timestamp) {
        let keep = |at: &Timestamp| now.duration_since(*at).unsigned_abs() < FORGOTTEN_AFTER;
        self.tallies.retain(|_, tally| tally.gone_at.as_ref().is_none_or(keep));
    }
}

impl Known {
    /// A container before anything happened to it.
    fn new(sight: &Sight) -> Known {
        let docker = Docker { pid: None, started_at: None, netns: None, ..bare(sight) };
        Known::of(Sight {
            subject: Subject {
                state: Some(State::Created),
                docker: Some(docker),
                ..sight.subject.clone()
            },
            finished_at: None,
            exit_code: None,
            oom: false,
            error: None,
            health: None,
            output: None,
            restarts: 0,
            created_at: sight.created_at,
        })
    }

    /// Says of an event that ends the run what there is to say, and takes note of it.
    fn end(&mut self, event: &mut Event) {
        event.signal = event.exit_code.and_then(signal);
        let sight = Sight { oom: event.oom, error: event.error.clone(), ..self.sight.clone() };
        event.reason = Some(reason(event.exit_code, &sight));
        let since = |at: Timestamp| event.at.duration_since(at).unsigned_abs();
        event.asked = self.asked.take().is_some_and(|asked| since(asked) < ASKED_WITHIN);
        event.ran_ms = self
            .sight
            .started_at()
            .and_then(|started| u64::try_from(event.at.duration_since(started).as_millis()).ok());
        self.oom = false;
        self.ended(event);
    }

    /// An end of which nobody knows more than that it was.
    fn missed_end(&mut self, at: Timestamp) -> Event {
        let mut event = Event::new(at, What::Die);
        self.end(&mut event);
        event.ran_ms = None;
        event.container = Some(shown(self, What::Die));
        event
    }

    /// Makes it as it is now, and tells what that takes.
    fn catch_up(&mut self, sight: Sight, now: Timestamp, missed: &mut Vec<Event>) {
        if self.sight.subject.id != sight.subject.id {
            let was = std::mem::replace(&mut self.sight.subject.id, sight.subject.id.clone());
            let container = Some(shown(self, What::Rename));
            missed.push(Event { was: Some(was), container, ..Event::new(now, What::Rename) });
        }
        let started = sight.started_at().filter(|at| self.sight.started_at() < Some(*at));
        if let Some(at) = started {
            if self.sight.runs() {
                missed.push(self.missed_end(at));
            }
            self.started(
                sight.subject.docker.clone().unwrap_or_else(|| bare(&sight)),
                Some(&sight),
            );
            let container = Some(shown(self, What::Start));
            missed.push(Event {
                container,
                health: self.sight.health,
                ..Event::new(at, What::Start)
            });
        }
        if self.sight.runs() && !sight.runs() {
            let mut event = Event {
                exit_code: sight.exit_code,
                oom: sight.oom || self.oom,
                error: sight.error.clone(),
                ..Event::new(sight.finished_at.unwrap_or(now), What::Die)
            };
            self.end(&mut event);
            missed.push(Event { container: Some(shown(self, What::Die)), ..event });
        } else if self.sight.runs() {
            let paused = sight.subject.state == Some(State::Paused);
            if paused != self.is_paused() {
                let what = if paused { What::Pause } else { What::Unpause };
                missed.push(Event { container: Some(shown(self, what)), ..Event::new(now, what) });
            }
            if sight.health.is_some() && sight.health != self.sight.health {
                missed.push(Event {
                    container: Some(shown(self, What::Health)),
                    health: sight.health,
                    output: sight.output.clone(),
                    ..Event::new(now, What::Health)
                });
            }
        }
        let oom = self.oom;
        self.sight = sight;
        self.oom = oom;
    }
}

/// Whether a container is not as it was told.
fn is_news(told: &Sight, now: &Sight) -> bool {
    let paused = |sight: &Sight| sight.subject.state == Some(State::Paused);
    told.subject.id != now.subject.id
        || told.runs() != now.runs()
        || now.started_at() > told.started_at()
        || paused(told) != paused(now)
        || now.runs() && now.health.is_some() && told.health != now.health
}

/// The container as an event of this sort shows it: what only holds now is left out of what will be
/// read later.
fn shown(known: &Known, what: What) -> Subject {
    let mut subject = known.sight.subject.clone();
    subject.state = None;
    if what != What::Start {
        subject.docker = Some(bare(&known.sight));
    }
    subject
}

/// What stays known of a container when it does not run.
fn bare(sight: &Sight) -> Docker {
    Docker::new(sight.docker_id().to_owned())
}

/// A container that was not looked at.
fn unseen(subject: &Subject) -> Sight {
    Sight {
        subject: subject.clone(),
        created_at: None,
        finished_at: None,
        exit_code: None,
        oom: false,
        error: None,
        health: None,
        output: None,
        restarts: 0,
    }
}

/// Why a container ended with this exit code, where `sight` knows of memory and errors.
fn reason(exit_code: Option<i64>, sight: &Sight) -> Reason {
    match exit_code {
        None => Reason::Unknown,
        // A container can go on, and end well, after one of its processes had no memory.
        Some(code) if sight.oom && code != 0 => Reason::OutOfMemory,
        Some(_) if sight.error.is_some() => Reason::Error,
        Some(code) if signal(code).is_some() => Reason::Signal,
        Some(_) => Reason::Exited,
    }
}

/// The signal that an exit code stands for, by the convention of shells, which engines follow.
fn signal(exit_code: i64) -> Option<Signal> {
    u8::try_from(exit_code.checked_sub(128)?).ok().and_then(Signal::numbered)
}

/// Whether who sends this signal wants an end.
fn ends(signal: &Signal) -> bool {
    !matches!(
        signal.as_str(),
        "SIGHUP" | "SIGUSR1" | "SIGUSR2" | "SIGWINCH" | "SIGCONT" | "SIGSTOP" | "SIGCHLD"
    )
}

/// Cores that were used; nothing when a new run began in between.
fn cores(elapsed_ns: i128, before: u64, now: u64) -> Option<f64> {
    let used = now.checked_sub(before)?;
    let cores = (elapsed_ns > 0).then(|| used as f64 / elapsed_ns as f64)?;
    Some((cores * 10_000.0).round() / 10_000.0)
}

#[cfg(test)]
mod tests;
