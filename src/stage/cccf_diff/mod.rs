//! cccf-diff: what is wanted, and what is there → what is to be done.
//!
//! Two threads read the two sides; one loop holds them beside each other.

mod listen;
mod outward;

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use listen::{Portion, Told, listen};
pub use outward::Format;
use outward::Outward;

use crate::error::{Error, Kind, Result};
use crate::logic::reconcile::{self, Listing, Policy, Reconciler, Seen, Sink};
use crate::pipe::{Reader, Stdio};
use crate::record::{Container, Of, Record, Status};

/// How standard input and the current side are read.
pub struct Sides<'a> {
    /// Where the current side comes from: a file or a named pipe.
    pub current: &'a Path,
    /// Whether the end of standard input closes its listing.
    pub complete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Wanted,
    Current,
}

/// What was told, in portions.
type Channel = SyncSender<Portion>;

/// Portions that a reading thread may be ahead of the loop.
const AHEAD: usize = 16;

/// Compares until both sides have ended, or for as long as they go on. Gives whether anything
/// differed.
///
/// # Errors
/// When a stream fails, when a listing is not a set of containers, or when what is there cannot be
/// known in full.
pub fn run(stdio: Stdio, sides: &Sides, policy: Policy, format: Format) -> Result<bool> {
    let Stdio { reader, output, report } = stdio;
    let current = Reader::open(sides.current)
        .map_err(|e| if e.kind() == Kind::NotFound { e.into_usage() } else { e })
        .map_err(|e| e.at(format_args!("--current {}", sides.current.display())))?;
    let whole_file = !std::fs::metadata(sides.current)
        .is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_socket())
        && sides.current != Path::new("-");
    let loop_ = Reconciler::new(policy.clone());
    let (sender, receiver) = sync_channel(AHEAD);
    listen(Side::Wanted, reader, sides.complete, loop_.eye(), sender.clone());
    listen(Side::Current, current, whole_file, loop_.eye(), sender);
    let mut stage = Stage {
        loop_,
        out: Outward::new(output, report, policy.owner, format),
        follow: Follow { wanted: None, current: None },
        begun: Instant::now(),
        now: Duration::ZERO,
        unclear: false,
        ended: None,
    };
    let served = stage.serve(&receiver);
    let Stage { loop_, out, .. } = stage;
    // The program ends here: millions of small pieces need not be given back one by one.
    std::mem::forget(loop_);
    served?;
    out.end()
}

/// Whether a side said that it goes on behind its listing; nothing before it has listed.
struct Follow {
    wanted: Option<bool>,
    current: Option<bool>,
}

struct Stage {
    loop_: Reconciler,
    out: Outward,
    follow: Follow,
    begun: Instant,
    /// When what is being told was taken up, as time since then.
    now: Duration,
    /// Whether an earlier stage failed on a member of the listing that is being told: then it is
    /// not known what is wanted of it, and nothing goes by that listing.
    unclear: bool,
    /// How the wanted side ended.
    ended: Option<bool>,
}

impl Stage {
    /// Has the loop do something and hands on what comes out.
    fn turn<T>(&mut self, act: impl FnOnce(&mut Reconciler, Duration, Sink) -> T) -> Result<T> {
        let outcome = act(&mut self.loop_, self.now, &mut |out| self.out.take(out));
        self.out.turned().map(|()| outcome)
    }

    fn serve(&mut self, told: &Receiver<Portion>) -> Result<()> {
        loop {
            let next = self.next(told)?;
            self.now = self.begun.elapsed();
            let Some(Portion { side, text, told: all }) = next else {
                self.turn(Reconciler::tick)?;
                continue;
            };
            for what in all {
                match what {
                    Told::Failed(why) => return Err(why),
                    Told::Bad(why) => self.bad(side, why)?,
                    Told::Seen(place, said) => self.seen(side, place.seen(&text, said))?,
                    Told::Record(record) => self.record(side, *record)?,
                    Told::Ended(whole) => self.side_ended(side, whole)?,
                }
            }
            if self.ended.is_some() && self.follow.current.is_some() {
                return self.finish();
            }
        }
    }

    /// What was told next; nothing when it is time to look again. Hands the output over first.
    fn next(&mut self, told: &Receiver<Portion>) -> Result<Option<Portion>> {
        let wake = self.loop_.next_tick();
        if wake.is_some_and(|wake| wake <= self.begun.elapsed()) {
            return Ok(None);
        }
        match told.try_recv() {
            Ok(next) => return Ok(Some(next)),
            Err(TryRecvError::Empty) => self.out.flush()?,
            Err(TryRecvError::Disconnected) => return Err(hung_up()),
        }
        let Some(wake) = wake else {
            return told.recv().map(Some).map_err(|_| hung_up());
        };
        match told.recv_timeout(wake.saturating_sub(self.begun.elapsed())) {
            Ok(next) => Ok(Some(next)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(hung_up()),
        }
    }

    /// A record that is none: a listing is taken whole or not at all, a later update is passed
    /// over.
    fn bad(&mut self, side: Side, why: Error) -> Result<()> {
        if !self.has_listed(side) {
            return Err(why.remedy("the listing is refused whole, nothing is changed"));
        }
        self.out.report.failed(&why);
        Ok(())
    }

    fn has_listed(&self, side: Side) -> bool {
        match side {
            Side::Wanted => self.follow.wanted.is_some(),
            Side::Current => self.follow.current.is_some(),
        }
    }

    /// One container of a side. In the first listing each name stands once, of what is there once
    /// on each host.
    fn seen(&mut self, side: Side, seen: Seen) -> Result<()> {
        self.out.report.used();
        let id = seen.id;
        let told = match side {
            Side::Wanted => self.turn(|loop_, now, out| loop_.want_seen(seen, now, out))?,
            Side::Current => self.turn(|loop_, now, out| loop_.see_seen(seen, now, out))?,
        };
        if told == reconcile::Told::Twice && !self.has_listed(side) {
            return Err(twice(side, id));
        }
        Ok(())
    }

    fn record(&mut self, side: Side, record: Record) -> Result<()> {
        self.out.report.used();
        match (side, record) {
            (Side::Wanted, Record::Container(container))
                if container.status == Some(Status::Failed) =>
            {
                self.unclear = true;
                self.out.pass(&Record::Container(container))
            }
            (side, Record::Container(container)) => self.container(side, &container),
            (Side::Wanted, Record::Checkpoint(checkpoint)) if checkpoint.of == Of::Container => {
                self.follow.wanted = Some(checkpoint.follow);
                self.out.follow = checkpoint.follow;
                self.out.owner = self.out.owner.take().or_else(|| checkpoint.owner.clone());
                let listing = self.wanted_listing(!checkpoint.partial);
                self.turn(|loop_, now, out| loop_.wanted_checkpoint(listing, now, out))
            }
            (Side::Current, Record::Checkpoint(checkpoint))
                if checkpoint.of == Of::Container && !checkpoint.partial =>
            {
                self.follow.current = Some(checkpoint.follow);
                if let Some(owner) = checkpoint.owner {
                    self.loop_.limit_to(owner.clone());
                    self.out.owner.get_or_insert(owner);
                }
                self.turn(Reconciler::current_checkpoint)
            }
            (Side::Wanted, other) => self.out.pass(&other),
            (Side::Current, _) => Ok(()),
        }
    }

    fn container(&mut self, side: Side, container: &Container) -> Result<()> {
        let told = match side {
            Side::Wanted => self.turn(|loop_, now, out| loop_.want(container, now, out))?,
            Side::Current => self.turn(|loop_, now, out| loop_.see(container, now, out))?,
        };
        if told == reconcile::Told::Twice && !self.has_listed(side) {
            return Err(twice(side, container.id.as_str()));
        }
        Ok(())
    }

    /// What the listing that ends here says of what it leaves out.
    fn wanted_listing(&mut self, whole: bool) -> Listing {
        let unclear = std::mem::take(&mut self.unclear);
        if whole && !unclear { Listing::Whole } else { Listing::Partial }
    }

    fn side_ended(&mut self, side: Side, whole: bool) -> Result<()> {
        match (side, self.follow.current) {
            (Side::Wanted, _) => self.ended = Some(whole),
            (Side::Current, Some(true)) => {
                let what = "the stream of what is there ended";
                return Err(Error::new(Kind::Unavailable, what).remedy("start the pipe again"));
            }
            (Side::Current, Some(false)) => self.loop_.stop_observing(),
            (Side::Current, None) if whole => {
                self.follow.current = Some(false);
                self.loop_.stop_observing();
                self.turn(Reconciler::current_checkpoint)?;
            }
            (Side::Current, None) => {
                let what = "the listing of what is there ended before its checkpoint";
                return Err(Error::new(Kind::Unavailable, what).remedy("nothing is changed"));
            }
        }
        Ok(())
    }

    /// Both sides are known and no more is wanted: compares what has not been compared.
    fn finish(&mut self) -> Result<()> {
        if self.follow.wanted.is_some() {
            return Ok(());
        }
        let listing = self.wanted_listing(self.ended == Some(true));
        self.turn(|loop_, now, out| loop_.wanted_checkpoint(listing, now, out))
    }
}

fn twice(side: Side, id: &str) -> Error {
    let what = match side {
        Side::Wanted => format!("container \"{id}\" is wanted twice"),
        Side::Current => format!("container \"{id}\" is there twice on one host"),
    };
    Error::new(Kind::BadInput, what).remedy("the listing is refused whole, nothing is changed")
}

fn hung_up() -> Error {
    Error::new(Kind::Bug, "both readers ended without saying so")
}
