//! Listening to one engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use jiff::Timestamp;

use super::Options;
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};
use crate::record::{Endpoint, Happening, Host, Sample, Sight};
use crate::stage::listening;

/// What a thread has to say; a host is told by its number.
pub(super) enum News {
    /// The engine answers, and from here on nothing is missed.
    Up(usize, Arc<Engine>),
    Happened(usize, Box<Happening>),
    /// The engine does not answer any more.
    Down(usize, Error),
    /// The list of hosts is this now.
    List(Vec<Host>),
    /// What was asked over this connection is answered.
    Answered(usize, u64, Result<Answer>),
    /// Nobody reads what is told.
    ReaderLeft,
}

/// What an engine answers.
pub(super) enum Answer {
    All(Vec<Sight>),
    These(Vec<(String, Option<Sight>)>),
    Used(Vec<Sample>),
}

/// Listens to one engine until its host has left. Behind a gap it goes on from the last event that came.
pub(super) fn listen(
    at: usize,
    endpoint: &Endpoint,
    options: &Options,
    left: &AtomicBool,
    to: &Sender<News>,
) {
    let send = |news| !left.load(Ordering::Relaxed) && to.send(news).is_ok();
    let mut last: Option<Timestamp> = None;
    let hear = |engine: &Arc<Engine>, since| {
        // By its own clock, which may be another one than this machine's.
        let since = last.unwrap_or_else(|| engine.clock().unwrap_or(since));
        if !send(News::Up(at, engine.clone())) {
            return Error::new(Kind::ReaderLeft, "tell what happens");
        }
        engine.happenings(options.owner.as_ref(), since, &mut |happening| {
            last = last.max(Some(happening.at));
            send(News::Happened(at, Box::new(happening)))
        })
    };
    listening::stay(&options.reach, endpoint, hear, |why| send(News::Down(at, why)));
}
