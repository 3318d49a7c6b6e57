//! What of all leases of a host is to be done next.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::course::{Attempt, Course, NEVER, Terms};
use crate::random::Random;
use crate::record::Ifname;

/// So many questions in a row without an answer, of different leases or of one, make a segment silent.
const SILENCE: u32 = 3;

/// How many are asked at a time where nobody answers, and for how long each is.
const PROBES: usize = 2;
const PROBE: Duration = Duration::from_secs(3);

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A server has given these terms.
    Extended(Terms),
    /// A server has said whether the addresses fit the link.
    Confirmed(bool),
    /// A server has answered, and given nothing.
    Refused,
    /// Nobody has answered.
    Silence,
    /// It could not be asked.
    Failed,
}

/// The leases of a host, called `K`, each on a segment: one link layer with the same servers.
#[derive(Debug)]
pub struct Agenda<K> {
    entries: HashMap<K, Entry>,
    segments: HashMap<Ifname, Segment<K>>,
    random: Random,
}

#[derive(Debug)]
struct Entry {
    course: Course,
    segment: Ifname,
    /// Its place in the segment's queue; absent while it is worked on.
    place: Option<Place>,
    /// Whether it was asked for on a segment that was silent.
    probes: bool,
}

/// When it is due, and when it ends.
type Place = (Duration, Duration);

#[derive(Debug)]
struct Segment<K> {
    queue: BTreeSet<(Place, K)>,
    /// How many questions were not answered since one was.
    silences: u32,
    busy: usize,
    /// Leases that have found no answer since one was heard.
    waiting: BTreeSet<K>,
}

impl<K> Segment<K> {
    fn new() -> Segment<K> {
        Segment { queue: BTreeSet::new(), silences: 0, busy: 0, waiting: BTreeSet::new() }
    }

    fn is_silent(&self) -> bool {
        self.silences >= SILENCE
    }

    fn has_room(&self) -> bool {
        !self.is_silent() || self.busy < PROBES
    }
}

impl<K: Ord + Hash + Clone> Agenda<K> {
    /// Without leases.
    pub fn new(random: Random) -> Agenda<K> {
        Agenda { entries: HashMap::new(), segments: HashMap::new(), random }
    }

    /// Takes a lease in, or another course for one that is known.
    pub fn put(&mut self, lease: &K, segment: &Ifname, course: Course) {
        self.remove(lease);
        let entry = Entry { course, segment: segment.clone(), place: None, probes: false };
        self.entries.insert(lease.clone(), entry);
        self.segments.entry(segment.clone()).or_insert_with(Segment::new);
        self.queue(lease);
    }

    /// Forgets a lease.
    pub fn remove(&mut self, lease: &K) {
        let Some(entry) = self.entries.remove(lease) else { return };
        let Some(segment) = self.segments.get_mut(&entry.segment) else { return };
        segment.waiting.remove(lease);
        match entry.place {
            Some(place) => drop(segment.queue.remove(&(place, lease.clone()))),
            None => segment.busy = segment.busy.saturating_sub(1),
        }
        if segment.queue.is_empty() && segment.busy == 0 {
            self.segments.remove(&entry.segment);
        }
    }

    /// The course of a lease.
    pub fn course(&self, lease: &K) -> Option<&Course> {
        self.entries.get(lease).map(|entry| &entry.course)
    }

    /// Whether a lease is being worked on.
    pub fn is_busy(&self, lease: &K) -> bool {
        self.entries.get(lease).is_some_and(|entry| entry.place.is_none())
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Changes a course, and its place accordingly.
    pub fn change(&mut self, lease: &K, change: impl FnOnce(&mut Course)) {
        let Some(entry) = self.entries.get_mut(lease) else { return };
        change(&mut entry.course);
        if entry.place.is_some() {
            self.queue(lease);
        }
    }

    /// Changes all courses.
    pub fn change_all(&mut self, mut change: impl FnMut(&K, &mut Course)) {
        let leases: Vec<K> = self.entries.keys().cloned().collect();
        for lease in leases {
            self.change(&lease, |course| change(&lease, course));
        }
    }

    /// The next lease that something is to be asked for at `now`, and what. It counts as worked on
    /// until [`Agenda::done`] says what came of it. Where leases of several segments wait, the one that
    /// is overdue the longest comes first.
    pub fn take(&mut self, now: Duration) -> Option<(K, Attempt)> {
        let open = self.segments.values().filter(|segment| segment.has_room());
        let first = open.filter_map(|segment| segment.queue.first()).min()?;
        if first.0.0 > now {
            return None;
        }
        let lease = first.1.clone();
        let entry = self.entries.get_mut(&lease)?;
        let segment = self.segments.get_mut(&entry.segment)?;
        if let Some(place) = entry.place.take() {
            segment.queue.remove(&(place, lease.clone()));
        }
        let mut attempt = entry.course.attempt(now, &mut self.random);
        entry.probes = segment.is_silent();
        if entry.probes {
            attempt.patience = attempt.patience.min(PROBE);
        }
        segment.busy += 1;
        Some((lease, attempt))
    }

    /// When [`Agenda::take`] may have something next; [`Duration::MAX`] for not by itself.
    pub fn next(&self) -> Duration {
        let open = self.segments.values().filter(|segment| segment.has_room());
        open.filter_map(|segment| segment.queue.first())
            .map(|first| first.0.0)
            .min()
            .unwrap_or(NEVER)
    }

    /// Says what came of a question.
    pub fn done(&mut self, lease: &K, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(lease) else { return };
        if entry.place.is_some() {
            return;
        }
        match outcome {
            Outcome::Extended(terms) => entry.course.extended(terms),
            Outcome::Confirmed(on_link) => entry.course.confirmed(on_link),
            Outcome::Silence => entry.course.unanswered(),
            Outcome::Refused | Outcome::Failed => (),
        }
        let name = entry.segment.clone();
        let Some(segment) = self.segments.get_mut(&name) else { return };
        segment.busy = segment.busy.saturating_sub(1);
        let mut woken = Vec::new();
        match outcome {
            // Another was answered meanwhile: this one was asked just before somebody was there.
            Outcome::Silence if entry.probes && !segment.is_silent() => entry.course.heard(),
            Outcome::Silence => {
                segment.silences = segment.silences.saturating_add(1);
                segment.waiting.insert(lease.clone());
            }
            Outcome::Failed => (),
            Outcome::Extended(_) | Outcome::Confirmed(_) | Outcome::Refused => {
                segment.waiting.remove(lease);
                if segment.is_silent() {
                    woken.extend(std::mem::take(&mut segment.waiting));
                }
                segment.silences = 0;
            }
        }
        self.queue(lease);
        for lease in woken {
            self.change(&lease, Course::heard);
        }
    }

    /// How many questions of this segment have found no answer since one did, when it is silent.
    pub fn silence(&self, segment: &Ifname) -> Option<u32> {
        let segment = self.segments.get(segment).filter(|segment| segment.is_silent())?;
        Some(segment.silences)
    }

    /// Puts a lease in its place.
    fn queue(&mut self, lease: &K) {
        let Some(entry) = self.entries.get_mut(lease) else { return };
        let Some(segment) = self.segments.get_mut(&entry.segment) else { return };
        let place = (entry.course.due(), entry.course.terms().end());
        if let Some(before) = entry.place.replace(place) {
            segment.queue.remove(&(before, lease.clone()));
        }
        segment.queue.insert((place, lease.clone()));
    }
}
