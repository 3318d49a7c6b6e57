//! One host is asked again and again, by a thread of its own, so that one that hangs keeps none
//! waiting.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::follow::News;
use super::{Prober, lock};
use crate::pipe::Report;
use crate::record::Host;

/// How many times as long as the others a host that is down may be left alone.
const LONGEST: u32 = 8;

/// How hosts are asked, and who is told.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) prober: Prober,
    pub(super) report: Report,
    pub(super) turns: Arc<Turns>,
    /// How often each is asked.
    pub(super) every: Duration,
    /// How long one that has answered may say nothing before it is told that it is down.
    pub(super) grace: Duration,
    pub(super) to: Sender<News>,
}

impl Watcher {
    /// Has a host asked, which is told by its number, until what is returned is set.
    pub(super) fn begin(&self, number: usize, host: Host) -> Arc<AtomicBool> {
        if let Some(caution) = self.prober.endpoint(&host).caution() {
            self.report.note(&caution);
        }
        let left = Arc::new(AtomicBool::new(false));
        let (watcher, until) = (self.clone(), left.clone());
        std::thread::spawn(move || watcher.watch(number, &host, &until));
        left
    }

    fn watch(&self, number: usize, host: &Host, left: &AtomicBool) {
        let (mut engine, mut pause, mut known) = (None, self.every, host.clone());
        let mut answered: Option<Instant> = None;
        while !left.load(Ordering::Relaxed) {
            self.turns.begin();
            let seen = self.prober.look(host, &known, &mut engine, &self.report);
            self.turns.end();
            let is_up = seen.reason.is_none();
            if is_up {
                known = seen.clone();
                answered = Some(Instant::now());
                pause = self.every;
            }
            let patience = answered.map(|at| self.grace.saturating_sub(at.elapsed()));
            if let Some(left) = patience.filter(|left| !is_up && !left.is_zero()) {
                std::thread::sleep(left.min(self.every));
                continue;
            }
            if self.to.send(News::Seen(number, Box::new(seen))).is_err() {
                return;
            }
            std::thread::sleep(pause);
            if !is_up {
                pause = (pause * 2).min(self.every * LONGEST);
            }
        }
    }
}

/// How many may ask at the same time.
pub(super) struct Turns {
    left: Mutex<usize>,
    ended: Condvar,
}

impl Turns {
    pub(super) fn new(most: NonZeroUsize) -> Turns {
        Turns { left: Mutex::new(most.get()), ended: Condvar::new() }
    }

    fn begin(&self) {
        let mut left = lock(&self.left);
        while *left == 0 {
            left = self.ended.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left -= 1;
    }

    fn end(&self) {
        *lock(&self.left) += 1;
        self.ended.notify_one();
    }
}
