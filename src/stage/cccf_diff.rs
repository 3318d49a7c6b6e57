//! cccf-diff: what is wanted, and what is there → what is to be done.
//!
//! Two threads read the two sides; one loop holds them beside each other.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::logic::reconcile::{Listing, Out, Policy, Reconciler, Sink};
use crate::pipe::{Found, Output, Reader, Report, Stdio};
use crate::record::{Checkpoint, Container, Of, Owner, Record, Status};

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

/// What a reading thread tells the loop.
#[allow(clippy::large_enum_variant, reason = "handed over one at a time")]
enum Told {
    Found(Found),
    /// The input has ended; whether its end says that it is whole.
    Ended(bool),
    Failed(Error),
}

type Channel = SyncSender<(Side, Told)>;

/// Compares until both sides have ended, or for as long as they go on.
///
/// # Errors
/// When a stream fails, when a listing is not a set of containers, or when what is there cannot be
/// known in full.
pub fn run(stdio: Stdio, sides: &Sides, policy: Policy) -> Result<()> {
    let Stdio { reader, output, report } = stdio;
    let current = Reader::open(sides.current)
        .map_err(|e| e.at(format_args!("--current {}", sides.current.display())))?;
    let whole_file = !std::fs::metadata(sides.current)
        .is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_socket())
        && sides.current != Path::new("-");
    let (sender, receiver) = mpsc::sync_channel(256);
    listen(Side::Wanted, reader, sides.complete, sender.clone());
    listen(Side::Current, current, whole_file, sender);
    let owner = policy.owner.clone();
    let mut stage = Stage {
        loop_: Reconciler::new(policy),
        out: Outward { output, report, owner, follow: false, failed: None },
        follow: Follow { wanted: None, current: None },
        begun: Instant::now(),
        unclear: false,
        ended: None,
    };
    stage.serve(&receiver)?;
    stage.out.output.settle()
}

/// Reads one side on a thread of its own, which ends with the program.
fn listen(side: Side, mut reader: Reader, whole: bool, to: Channel) {
    std::thread::spawn(move || {
        loop {
            let told = match reader.read(&mut || Ok(())) {
                Ok(Found::End) => Told::Ended(whole || reader.is_closed_array()),
                Ok(found) => Told::Found(found),
                Err(why) => Told::Failed(why),
            };
            let over = matches!(told, Told::Ended(_) | Told::Failed(_));
            if to.send((side, told)).is_err() || over {
                return;
            }
        }
    });
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
    /// Whether an earlier stage failed on a member of the listing that is being told: then it is
    /// not known what is wanted of it, and nothing goes by that listing.
    unclear: bool,
    /// How the wanted side ended.
    ended: Option<bool>,
}

/// Where changes go.
struct Outward {
    output: Output,
    report: Report,
    /// Whose containers are compared.
    owner: Option<Owner>,
    /// Whether the checkpoints say that more comes.
    follow: bool,
    /// Why writing failed, if it did.
    failed: Option<Error>,
}

impl Stage {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Has the loop do something and hands on what comes out.
    fn turn(&mut self, act: impl FnOnce(&mut Reconciler, Duration, Sink)) -> Result<()> {
        let now = self.now();
        act(&mut self.loop_, now, &mut |out| self.out.take(out));
        self.out.failed.take().map_or(Ok(()), Err)
    }

    fn serve(&mut self, told: &Receiver<(Side, Told)>) -> Result<()> {
        loop {
            let Some((side, what)) = self.next(told)? else {
                self.turn(Reconciler::tick)?;
                continue;
            };
            match what {
                Told::Failed(why) => return Err(why),
                Told::Found(Found::Bad(why)) => self.bad(side, why)?,
                Told::Found(Found::Record(_, record)) => self.record(side, record)?,
                Told::Found(Found::End) => (),
                Told::Ended(whole) => self.side_ended(side, whole)?,
            }
            if self.ended.is_some() && self.follow.current.is_some() {
                return self.finish();
            }
        }
    }

    /// What was told next; nothing when it is time to look again. Hands the output over first.
    fn next(&mut self, told: &Receiver<(Side, Told)>) -> Result<Option<(Side, Told)>> {
        let wake = self.loop_.next_tick();
        if wake.is_some_and(|wake| wake <= self.now()) {
            return Ok(None);
        }
        match told.try_recv() {
            Ok(next) => return Ok(Some(next)),
            Err(TryRecvError::Empty) => self.out.output.flush()?,
            Err(TryRecvError::Disconnected) => return Err(hung_up()),
        }
        let Some(wake) = wake else {
            return told.recv().map(Some).map_err(|_| hung_up());
        };
        match told.recv_timeout(wake.saturating_sub(self.now())) {
            Ok(next) => Ok(Some(next)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(hung_up()),
        }
    }

    /// A record that is none: a listing is taken whole or not at all, a later update is passed
    /// over.
    fn bad(&mut self, side: Side, why: Error) -> Result<()> {
        let listed = match side {
            Side::Wanted => self.follow.wanted.is_some(),
            Side::Current => self.follow.current.is_some(),
        };
        if !listed {
            return Err(why.remedy("the listing is refused whole, nothing is changed"));
        }
        self.out.report.failed(&why);
        Ok(())
    }

    fn record(&mut self, side: Side, record: Record) -> Result<()> {
        self.out.report.used();
        match (side, record) {
            (Side::Wanted, Record::Container(container))
                if container.status == Some(Status::Failed) =>
            {
                self.unclear = true;
                self.out.output.write(&Record::Container(container))
            }
            (Side::Wanted, Record::Container(container)) => self.wanted(&container),
            (Side::Current, Record::Container(container)) => {
                self.turn(|loop_, now, out| loop_.see(&container, now, out))
            }
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
            (Side::Wanted, other) => self.out.output.write(&other),
            (Side::Current, _) => Ok(()),
        }
    }

    /// One container that is wanted. In the first listing each name stands once.
    fn wanted(&mut self, container: &Container) -> Result<()> {
        if self.follow.wanted.is_none() && self.loop_.is_wanted(&container.id) {
            let what = format!("container \"{}\" is wanted twice", container.id);
            let error = Error::new(Kind::BadInput, what);
            return Err(error.remedy("the listing is refused whole, nothing is changed"));
        }
        self.turn(|loop_, now, out| loop_.want(container, now, out))
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

impl Outward {
    fn take(&mut self, out: Out) {
        if self.failed.is_none() {
            self.failed = self.write(out).err();
        }
    }

    fn write(&mut self, out: Out) -> Result<()> {
        match out {
            Out::Change(change) => {
                if let (true, Some(error)) = (change.has_failed(), &change.error) {
                    self.report.failed(&Error::new(Kind::Refused, error));
                }
                self.output.write(&change.into())
            }
            Out::Complete(count) => {
                let mut checkpoint = Checkpoint::new(Of::Change, count);
                checkpoint.owner = self.owner.clone();
                checkpoint.follow = self.follow;
                self.output.write(&Record::Checkpoint(checkpoint))
            }
            Out::Refused(why) => {
                self.report.failed(&why);
                Ok(())
            }
        }
    }
}

fn hung_up() -> Error {
    Error::new(Kind::Bug, "both readers ended without saying so")
}
