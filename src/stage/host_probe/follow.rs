//! Hosts are asked again and again, and what changes is written.
//!
//! Each host is watched by a thread, which tells what it finds to one that writes. When the list of
//! hosts is another one, those that are new are watched as well, and all of it is written anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use super::sheet::Sheet;
use super::watch::{Turns, Watcher};
use super::{Follow, Options};
use crate::error::{Error, Kind, Result};
use crate::logic::probe::is_news;
use crate::pipe::{Output, Report};
use crate::record::{Checkpoint, Host, HostState, Of, Record};
use crate::stage::hosts::Lookout;

/// Something has come to be known.
pub(super) enum News {
    /// A host, told by its number, is so now.
    Seen(usize, Box<Host>),
    /// The list is this now.
    List(Vec<Host>),
    /// Nobody reads what is written.
    ReaderLeft,
}

/// Asks all of them, and goes on until nobody reads any more.
pub(super) fn run(
    output: Output,
    report: &Report,
    (hosts, lookout): (Vec<Host>, Option<Lookout>),
    options: &Options,
    follow: &Follow,
) -> Result<()> {
    let (to, news) = mpsc::channel();
    if let Some(lookout) = lookout {
        lookout.follow(report, to.clone(), News::List);
    }
    let leaves = to.clone();
    std::thread::spawn(move || {
        crate::pipe::reader_leaves();
        let _ = leaves.send(News::ReaderLeft);
    });
    let watcher = Watcher {
        prober: options.prober.clone(),
        report: report.clone(),
        turns: Arc::new(Turns::new(options.most)),
        every: follow.every,
        grace: follow.grace,
        to,
    };
    let mut teller = Teller {
        output,
        report,
        sheet: options.sheet()?,
        watcher,
        all: Vec::new(),
        list: Vec::new(),
        listing: Listing::First,
        written: 0,
        round_ends: None,
    };
    teller.take_up(hosts);
    teller.tell(&news)
}

/// A host that is watched, or was.
struct Watched {
    /// As the list has it.
    host: Host,
    /// As it was found last.
    seen: Option<Host>,
    left: Arc<AtomicBool>,
}

/// What becomes of a host that is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// It is written, and a checkpoint once all are.
    First,
    /// It waits for the others of a list that is new.
    Again,
    /// It is written if it is news.
    Done,
}

struct Teller<'a> {
    output: Output,
    report: &'a Report,
    sheet: Option<Sheet>,
    watcher: Watcher,
    /// Every host that ever was in the list, by its number.
    all: Vec<Watched>,
    /// The numbers of those that are, in its order.
    list: Vec<usize>,
    listing: Listing,
    /// Records since the last checkpoint.
    written: u64,
    /// When the next checkpoint is due; not before every host has been written once.
    round_ends: Option<Instant>,
}

impl Teller<'_> {
    fn tell(mut self, news: &Receiver<News>) -> Result<()> {
        loop {
            let due = self.sheet.as_ref().and_then(Sheet::due);
            let next = match self.round_ends.into_iter().chain(due).min() {
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match next {
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                first => {
                    for news in first.ok().into_iter().chain(news.try_iter()) {
                        match news {
                            News::Seen(at, host) => self.seen(at, *host)?,
                            News::List(hosts) => {
                                self.take_up(hosts);
                                // Those that are left may all be known.
                                (self.listing, self.round_ends) = (Listing::Again, None);
                                self.close_listing()?;
                            }
                            News::ReaderLeft => return Ok(()),
                        }
                    }
                }
            }
            if self.round_ends.is_some_and(|at| at <= Instant::now()) {
                self.close_round(true)?;
            }
            self.output.flush()?;
            if let Some(sheet) = &mut self.sheet {
                let seen = self.list.iter().filter_map(|at| self.all[*at].seen.as_ref());
                sheet.publish(seen, self.report)?;
            }
        }
    }

    /// Has those watched that are new, or described otherwise than before, and lets go of the others.
    fn take_up(&mut self, hosts: Vec<Host>) {
        let before = std::mem::take(&mut self.list);
        for host in hosts {
            let known = before.iter().find(|at| self.all[**at].host == host).copied();
            self.list.push(known.unwrap_or_else(|| {
                let left = self.watcher.begin(self.all.len(), host.clone());
                self.all.push(Watched { host, seen: None, left });
                self.all.len() - 1
            }));
        }
        for at in before.iter().filter(|at| !self.list.contains(at)) {
            self.all[*at].left.store(true, Ordering::Relaxed);
        }
    }

    fn seen(&mut self, at: usize, host: Host) -> Result<()> {
        let watched = &self.all[at];
        let has_left = watched.left.load(Ordering::Relaxed);
        if has_left || !is_news(watched.seen.as_ref(), &host) {
            return Ok(());
        }
        self.note(watched.seen.as_ref(), &host);
        if self.listing != Listing::Again {
            self.output.write(&Record::Host(host.clone()))?;
            self.written += 1;
        }
        self.all[at].seen = Some(host);
        self.close_listing()
    }

    /// Once all of the list are known, that is told, and from then on they are in the file.
    fn close_listing(&mut self) -> Result<()> {
        if self.listing != Listing::Done {
            if self.list.iter().any(|at| self.all[*at].seen.is_none()) {
                return Ok(());
            }
            if self.listing == Listing::Again {
                let seen = self.list.iter().filter_map(|at| self.all[*at].seen.clone());
                seen.into_iter().try_for_each(|host| self.output.write(&Record::Host(host)))?;
                self.written = self.list.len() as u64;
            }
            self.listing = Listing::Done;
            self.close_round(false)?;
            self.output.settle()?;
        }
        if let Some(sheet) = &mut self.sheet {
            sheet.touch();
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

    /// A listing is of every host; what is behind it is only what has changed.
    fn close_round(&mut self, partial: bool) -> Result<()> {
        let count = std::mem::take(&mut self.written);
        let checkpoint = Checkpoint { partial, follow: true, ..Checkpoint::new(Of::Host, count) };
        self.round_ends = Some(Instant::now() + self.watcher.every);
        self.output.write(&Record::Checkpoint(checkpoint))
    }
}
