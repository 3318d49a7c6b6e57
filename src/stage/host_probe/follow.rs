//! Hosts are asked again and again, and what changes is written.
//!
//! Each host has a thread of its own, so that one that hangs keeps none waiting. It tells what it
//! finds to one that writes.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Options, Prober, lock};
use crate::error::{Error, Kind, Result};
use crate::logic::probe::is_news;
use crate::pipe::{Output, Report};
use crate::record::{Checkpoint, Host, HostState, Of, Record};

/// How many times as long as the others a host that is down may be left alone.
const LONGEST: u32 = 8;

/// Something has come to be known.
enum News {
    /// A host, told by its place in the list, is so now.
    Seen(usize, Box<Host>),
    /// Nobody reads what is written.
    ReaderLeft,
}

/// Asks all of them, and goes on until nobody reads any more.
pub(super) fn run(
    output: Output,
    report: &Report,
    hosts: Vec<Host>,
    options: &Options,
    every: Duration,
) -> Result<()> {
    let (to, news) = mpsc::channel();
    let turns = Arc::new(Turns::new(options.most));
    let count = hosts.len();
    for (at, host) in hosts.into_iter().enumerate() {
        if let Some(caution) = options.prober.endpoint(&host).caution() {
            report.note(&caution);
        }
        let (prober, report, turns) = (options.prober.clone(), report.clone(), turns.clone());
        let to = to.clone();
        std::thread::spawn(move || watch(at, &host, &prober, &report, &turns, every, &to));
    }
    std::thread::spawn(move || {
        crate::pipe::reader_leaves();
        let _ = to.send(News::ReaderLeft);
    });
    Teller { output, report, last: vec![None; count], every, written: 0, round_ends: None }
        .tell(&news)
}

/// Asks one host for ever, one that is down less and less often.
fn watch(
    at: usize,
    host: &Host,
    prober: &Prober,
    report: &Report,
    turns: &Turns,
    every: Duration,
    to: &Sender<News>,
) {
    let (mut engine, mut pause, mut known) = (None, every, host.clone());
    loop {
        turns.begin();
        let seen = prober.look(host, &known, &mut engine, report);
        turns.end();
        let is_up = seen.reason.is_none();
        if is_up {
            known = seen.clone();
        }
        if to.send(News::Seen(at, Box::new(seen))).is_err() {
            return;
        }
        std::thread::sleep(pause);
        pause = if is_up { every } else { (pause * 2).min(every * LONGEST) };
    }
}

/// How many may ask at the same time.
struct Turns {
    left: Mutex<usize>,
    ended: Condvar,
}

impl Turns {
    fn new(most: NonZeroUsize) -> Turns {
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

struct Teller<'a> {
    output: Output,
    report: &'a Report,
    /// What was written last of each host.
    last: Vec<Option<Host>>,
    every: Duration,
    /// Records since the last checkpoint.
    written: u64,
    /// When the next checkpoint is due; not before every host has been written once.
    round_ends: Option<Instant>,
}

impl Teller<'_> {
    fn tell(mut self, news: &Receiver<News>) -> Result<()> {
        loop {
            let next = match self.round_ends {
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(News::Seen(at, host)) => self.seen(at, *host)?,
                Ok(News::ReaderLeft) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => self.close_round(true)?,
            }
            self.output.flush()?;
        }
    }

    fn seen(&mut self, at: usize, host: Host) -> Result<()> {
        if !is_news(self.last[at].as_ref(), &host) {
            return Ok(());
        }
        self.note(self.last[at].as_ref(), &host);
        self.output.write(&Record::Host(host.clone()))?;
        self.written += 1;
        let is_first = self.last[at].replace(host).is_none();
        if is_first && self.last.iter().all(Option::is_some) {
            self.close_round(false)?;
            self.output.settle()?;
        }
        Ok(())
    }

    /// Tells people that a host has gone or come back.
    fn note(&self, last: Option<&Host>, host: &Host) {
        let before = last.and_then(|last| last.reason.as_ref());
        match (before, &host.reason) {
            (None, Some(why)) => {
                let what = match host.state {
                    Some(HostState::Drain) => "does not answer while it drains",
                    _ => "is down",
                };
                self.report.note(&Error::new(Kind::Unavailable, what).why(why).at(&host.id));
            }
            (Some(_), None) => {
                self.report.note(&Error::new(Kind::Unavailable, "answers again").at(&host.id));
            }
            _ => (),
        }
    }

    /// The first listing is of every host; what is behind it is only what has changed.
    fn close_round(&mut self, partial: bool) -> Result<()> {
        let count = std::mem::take(&mut self.written);
        let checkpoint = Checkpoint { partial, follow: true, ..Checkpoint::new(Of::Host, count) };
        self.round_ends = Some(Instant::now() + self.every);
        self.output.write(&Record::Checkpoint(checkpoint))
    }
}
