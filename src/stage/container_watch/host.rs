//! One host while it is followed: what is told at once, and what waits for a listing.
//!
//! When a connection is made everything is listed. What the listing says of a container and no event
//! has told is doubted first, for the event may be on its way: after a moment the container is looked
//! at again, and if nothing was heard of it by then, what happened to it was missed.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::adapter::docker::Engine;
use crate::logic::watch::Watch;
use crate::record::{Event, Happening, Host, Sight};

/// An event takes less to arrive, mostly.
const ON_ITS_WAY: Duration = Duration::from_millis(300);

/// A container of which something is heard again and again is looked at so often before what is seen is
/// taken for so.
const ROUNDS: u32 = 5;

/// The most events that wait for a first listing; what is more, it will show.
const MOST_EARLY: usize = 10_000;

/// The wait before a listing that failed is made again.
const AGAIN: Duration = Duration::from_secs(1);

/// One host.
pub(super) struct Followed {
    pub(super) host: Host,
    /// It is not in the list any more.
    pub(super) left: Arc<AtomicBool>,
    pub(super) watch: Watch,
    pub(super) engine: Option<Arc<Engine>>,
    /// Which connection it is; answers that were asked for over another one are of no use.
    pub(super) connection: u64,
    pub(super) reached: Reached,
    /// Whether its containers are known.
    pub(super) begun: bool,
    /// What happened before they were.
    early: VecDeque<Happening>,
    /// Containers that were heard of since they were last asked after.
    heard: HashSet<String>,
    doubts: Vec<String>,
    rounds: u32,
    next: Option<(Instant, Step)>,
    /// Whether it is being asked what its containers use.
    pub(super) sampling: bool,
}

/// Whether the host answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    NotYet,
    Up,
    Down,
}

/// What is to be asked of the engine.
#[derive(Clone, Copy)]
enum Step {
    List,
    Look,
}

/// A question for the engine.
pub(super) enum Question {
    /// How it stands with all containers.
    All,
    /// How it stands with these.
    These(Vec<String>),
}

impl Followed {
    pub(super) fn new(host: Host, watch: Watch) -> Followed {
        Followed {
            host,
            left: Arc::default(),
            watch,
            engine: None,
            connection: 0,
            reached: Reached::NotYet,
            begun: false,
            early: VecDeque::new(),
            heard: HashSet::new(),
            doubts: Vec::new(),
            rounds: 0,
            next: None,
            sampling: false,
        }
    }

    /// Whether that is the same engine, and it is watched.
    pub(super) fn is(&self, host: &Host) -> bool {
        !self.has_left() && self.host.as_ref() == host.as_ref()
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// It is not in the list any more: nothing is asked there, and nobody listens.
    pub(super) fn leave(&mut self) {
        self.left.store(true, Ordering::Relaxed);
        self.down();
    }

    pub(super) fn is_up(&self) -> bool {
        self.reached == Reached::Up
    }

    /// Its engine answers; whether it did not before, which was told.
    pub(super) fn up(&mut self, engine: Arc<Engine>) -> bool {
        self.engine = Some(engine);
        self.connection += 1;
        self.next = Some((Instant::now(), Step::List));
        std::mem::replace(&mut self.reached, Reached::Up) == Reached::Down
    }

    /// Its engine does not answer; how it was before.
    pub(super) fn down(&mut self) -> Reached {
        self.engine = None;
        self.connection += 1;
        self.next = None;
        self.sampling = false;
        std::mem::replace(&mut self.reached, Reached::Down)
    }

    /// When it has to be asked something.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// What it is to be asked now, if anything.
    pub(super) fn question(&mut self, now: Instant) -> Option<Question> {
        let (_, step) = self.next.take_if(|(at, _)| *at <= now)?;
        Some(match step {
            Step::List => Question::All,
            Step::Look => {
                self.heard.clear();
                Question::These(self.doubts.clone())
            }
        })
    }

    /// The question had no answer.
    pub(super) fn unanswered(&mut self) {
        self.next = Some((Instant::now() + AGAIN, Step::List));
    }

    /// Takes in what happened; nothing while it is not known how it stood before.
    pub(super) fn happened(&mut self, happening: Happening) -> Option<Event> {
        if !self.begun {
            self.early.push_back(happening);
            if self.early.len() > MOST_EARLY {
                self.early.pop_front();
            }
            return None;
        }
        self.heard.insert(happening.docker_id.clone());
        self.watch.take(happening)
    }

    /// Takes in a listing.
    pub(super) fn listed(&mut self, sights: Vec<Sight>) -> Vec<Event> {
        if self.begun {
            self.doubts = self.watch.doubts(&sights);
            self.rounds = 0;
            self.look_again();
            return Vec::new();
        }
        self.begun = true;
        let mut events = self.watch.begin(sights, Timestamp::now());
        let early = std::mem::take(&mut self.early);
        events.extend(early.into_iter().filter_map(|happening| self.watch.take(happening)));
        events
    }

    /// Takes in how it stands with containers that were in doubt; nothing for one that is not there.
    pub(super) fn looked(&mut self, looked: Vec<(String, Option<Sight>)>) -> Vec<Event> {
        self.rounds += 1;
        let last = self.rounds >= ROUNDS;
        let (waits, clear): (Vec<_>, Vec<_>) =
            looked.into_iter().partition(|(id, _)| !last && self.heard.contains(id));
        self.doubts = waits.into_iter().map(|(id, _)| id).collect();
        self.look_again();
        let now = Timestamp::now();
        let mut events = Vec::new();
        for (id, sight) in clear {
            if self.watch.is_news(&id, sight.as_ref()) {
                events.extend(self.watch.mend(&id, sight, now));
            }
        }
        events.sort_by_key(|event| event.at);
        events
    }

    fn look_again(&mut self) {
        if !self.doubts.is_empty() {
            self.next = Some((Instant::now() + ON_ITS_WAY, Step::Look));
        }
    }
}
