//! The hosts that are listened to, each by a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use super::Options;
use crate::adapter::docker::Engine;
use crate::adapter::docker::swarm::SwarmId;
use crate::error::{Error, Kind};
use crate::record::{Endpoint, Host};
use crate::stage::listening;

/// What a thread has to say; a host is told by its number.
pub(super) enum News {
    /// The engine answers, tells of this swarm, if it is known, and from here on nothing is missed.
    Up(usize, Arc<Engine>, Option<SwarmId>),
    /// The container with this id should be looked at.
    Changed(usize, String),
    /// The engine does not answer any more.
    Down(usize, Error),
    /// The list of hosts is this now.
    List(Vec<Host>),
    /// Nobody reads what is told.
    ReaderLeft,
}

/// A host that is listened to, or was.
pub(super) struct Heard {
    pub(super) host: Host,
    pub(super) reached: Reached,
    /// The swarm that it is a manager of, as it said last.
    pub(super) swarm: Option<SwarmId>,
    /// It is not in the list any more, or is down by it.
    left: Arc<AtomicBool>,
}

impl Heard {
    /// Has a host listened to, by the number that it is told by.
    pub(super) fn begin(
        number: usize,
        host: Host,
        endpoint: Endpoint,
        options: &Arc<Options>,
        to: &Sender<News>,
    ) -> Heard {
        let left = Arc::new(AtomicBool::new(false));
        let (options, to, until) = (options.clone(), to.clone(), left.clone());
        std::thread::spawn(move || listen(number, &endpoint, &options, &until, &to));
        Heard { host, reached: Reached::NotYet, swarm: None, left }
    }

    /// Nobody listens any more.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Its engine, if it answers and is to be asked.
    pub(super) fn engine(&self) -> Option<&Arc<Engine>> {
        match &self.reached {
            Reached::Up(engine) if !self.has_left() => Some(engine),
            _ => None,
        }
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether that is the same engine.
    pub(super) fn is(&self, host: &Host) -> bool {
        !self.has_left() && self.host.as_ref() == host.as_ref()
    }
}

/// How it stands with one host.
pub(super) enum Reached {
    /// It did not answer yet, and nothing was told of that.
    NotYet,
    /// It answers.
    Up(Arc<Engine>),
    /// It does not answer, which was told.
    Down,
}

/// Listens to one engine until its host has left the list.
fn listen(at: usize, endpoint: &Endpoint, options: &Options, left: &AtomicBool, to: &Sender<News>) {
    let owner = options.owner.as_ref();
    let send = |news| !left.load(Ordering::Relaxed) && to.send(news).is_ok();
    let hear = |engine: &Arc<Engine>, since| {
        let swarm = match options.swarm_of(engine) {
            Ok(swarm) => swarm,
            Err(why) => return why,
        };
        if !send(News::Up(at, engine.clone(), swarm)) {
            return Error::new(Kind::ReaderLeft, "tell what changes");
        }
        let mut changed = |id| send(News::Changed(at, id));
        match options.swarm {
            true => engine.watch_services(owner, &mut changed),
            false => engine.watch(owner, since, &mut changed),
        }
    };
    listening::stay(&options.reach, endpoint, hear, |why| send(News::Down(at, why)));
}
