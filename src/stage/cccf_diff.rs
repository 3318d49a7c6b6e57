//! cccf-diff: what is wanted, and what is there → what is to be done.
//!
//! Two threads read the two sides; one loop holds them beside each other.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::logic::reconcile::{Out, Policy, Reconciler};
use crate::pipe::{Found, Output, Reader, Report, Stdio};
use crate::record::{Checkpoint, Container, Of, Owner, Record};

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
    let follow = Follow { wanted: None, current: None };
    let mut stage = Stage {
        loop_: Reconciler::new(policy),
        output,
        report,
        owner,
        follow,
        begun: Instant::now(),
        waiting: Vec::new(),
        ended: None,
    };
    stage.serve(&receiver)?;
    stage.output.settle()
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
    output: Output,
    report: Report,
    owner: Option<Owner>,
    follow: Follow,
    begun: Instant,
    /// Names told in the first listing of what is wanted, to refuse one that stands twice.
    waiting: Vec<Container>,
    /// How the wanted side ended.
    ended: Option<bool>,
}

impl Stage {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn serve(&mut self, told: &Receiver<(Side, Told)>) -> Result<()> {
        let mut wake = None;
        loop {
            let Some((side, what)) = self.next(told, wake)? else {
                let (out, next) = self.loop_.tick(self.now());
                self.write(out)?;
                wake = next;
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
            wake = self.loop_.tick(self.now()).1;
        }
    }

    /// What was told next; nothing when it is time to look again. Hands the output over first.
    fn next(
        &mut self,
        told: &Receiver<(Side, Told)>,
        wake: Option<Duration>,
    ) -> Result<Option<(Side, Told)>> {
        match told.try_recv() {
            Ok(next) => return Ok(Some(next)),
            Err(TryRecvError::Empty) => self.output.flush()?,
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
        self.report.failed(&why);
        Ok(())
    }

    fn record(&mut self, side: Side, record: Record) -> Result<()> {
        self.report.used();
        match (side, record) {
            (Side::Wanted, Record::Container(container)) => self.wanted(container),
            (Side::Current, Record::Container(container)) => {
                let out = self.loop_.see(container, self.now());
                self.write(out)
            }
            (Side::Wanted, Record::Checkpoint(checkpoint)) if checkpoint.of == Of::Container => {
                self.follow.wanted = Some(checkpoint.follow);
                self.owner = self.owner.take().or(checkpoint.owner);
                self.listed()
            }
            (Side::Current, Record::Checkpoint(checkpoint)) if checkpoint.of == Of::Container => {
                self.follow.current = Some(checkpoint.follow);
                self.owner = self.owner.take().or(checkpoint.owner);
                let out = self.loop_.current_checkpoint(self.now());
                self.write(out)
            }
            (Side::Wanted, other) => self.output.write(&other),
            (Side::Current, _) => Ok(()),
        }
    }

    fn wanted(&mut self, container: Container) -> Result<()> {
        if self.follow.wanted.is_none() {
            self.waiting.push(container);
            return Ok(());
        }
        let out = self.loop_.want(container, self.now());
        self.write(out)
    }

    /// Hands the first listing of what is wanted to the loop, unless a name stands in it twice.
    fn hand_over(&mut self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = self.waiting.iter().find(|c| !seen.insert(&c.id)) {
            let what = format!("container \"{}\" is wanted twice", twice.id);
            let error = Error::new(Kind::BadInput, what);
            return Err(error.remedy("the listing is refused whole, nothing is changed"));
        }
        for container in std::mem::take(&mut self.waiting) {
            let out = self.loop_.want(container, self.now());
            self.write(out)?;
        }
        Ok(())
    }

    fn listed(&mut self) -> Result<()> {
        self.hand_over()?;
        let out = self.loop_.wanted_checkpoint(self.now());
        self.write(out)
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
                let out = self.loop_.current_checkpoint(self.now());
                self.loop_.stop_observing();
                self.write(out)?;
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
        if self.ended == Some(true) {
            return self.listed();
        }
        self.hand_over()?;
        let out = self.loop_.wanted_incomplete(self.now());
        self.write(out)
    }

    fn write(&mut self, out: Vec<Out>) -> Result<()> {
        for out in out {
            match out {
                Out::Change(change) => {
                    if let (true, Some(error)) = (change.has_failed(), &change.error) {
                        self.report.failed(&Error::new(Kind::Refused, error));
                    }
                    self.output.write(&Record::Change(change))?;
                }
                Out::Complete(count) => {
                    let mut checkpoint = Checkpoint::new(Of::Change, count);
                    checkpoint.owner = self.owner.clone();
                    checkpoint.follow = self.follow.wanted == Some(true);
                    self.output.write(&Record::Checkpoint(checkpoint))?;
                }
                Out::Refused(why) => self.report.failed(&why),
            }
        }
        Ok(())
    }
}

fn hung_up() -> Error {
    Error::new(Kind::Bug, "both readers ended without saying so")
}
