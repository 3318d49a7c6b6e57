//! cccf-host: changes or containers → the same, each with the host it goes to.

mod ahead;
mod list;
mod plain;

use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use ahead::{Ahead, Plain, Portion};
use list::List;
use plain::{Names, Sorts};

use crate::error::{Error, Kind, Result};
use crate::logic::place::{How, Outcome, Placer, Verdict};
use crate::pipe::{Output, Report, Stdio};
use crate::record::{
    Action, Change, Checkpoint, Container, HostsAt, Of, Placement, Record, Status,
};

/// What waits for the end of a listing is placed when nothing has come for so long: a listing that
/// is never closed must not keep it for ever.
const QUIET: Duration = Duration::from_secs(1);

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The records, with their hosts.
    Records,
    /// The same as a table.
    Table,
    /// Why each container goes where it does, instead.
    Reasons,
}

/// Serves standard input to its end, with the hosts that are kept there. Behind the first checkpoint
/// it goes by that list as it is when a record comes.
///
/// # Errors
/// When a stream fails, or the list cannot be read or is none.
pub fn run(stdio: Stdio, hosts: &HostsAt, how: How, tell: Tell) -> Result<()> {
    let (list, placer) = List::open(hosts, how)?;
    let Stdio { reader, output, report } = stdio;
    let (portions, back) = ahead::read(reader, tell == Tell::Records);
    let mut serving = Serving {
        list,
        listed: false,
        placer,
        output,
        report,
        tell,
        sorts: Sorts::default(),
        names: Names::default(),
        held: Vec::new(),
        held_text: String::new(),
        told: 0,
    };
    loop {
        let mut portion = match portions.try_recv() {
            Ok(portion) => portion,
            Err(_) => {
                serving.output.flush()?;
                serving.next(&portions)?
            }
        };
        serving.look_at_hosts();
        for found in portion.found.drain(..) {
            match found {
                Ahead::Plain(plain) => serving.plain(&portion.text, &plain)?,
                Ahead::Record(record) => serving.record(*record)?,
                Ahead::Bad(why) => serving.report.failed(&why),
                Ahead::Failed(why) => return Err(why),
                Ahead::End => {
                    serving.settle(true)?;
                    return serving.output.settle();
                }
            }
        }
        // Once the input has ended nobody takes it.
        let _ = back.send(portion);
    }
}

struct Serving {
    list: List,
    /// Whether the first listing is complete.
    listed: bool,
    placer: Placer,
    output: Output,
    report: Report,
    tell: Tell,
    sorts: Sorts,
    names: Names,
    /// What the placer keeps waiting, in its order.
    held: Vec<Held>,
    /// The text of the plain ones of it.
    held_text: String,
    /// How many explanations there have been since the last checkpoint.
    told: u64,
}

/// A record that waits.
enum Held {
    /// Its JSON, which is there in the text, lacks nothing but a host, which can be put in so far
    /// behind its start: a million of them must not weigh much.
    Plain(Range<usize>, usize),
    /// One that has a host, or may become another change.
    Other(Box<str>),
}

impl Serving {
    /// What comes next. When nothing comes for a while, what waits is written before.
    fn next(&mut self, portions: &Receiver<Portion>) -> Result<Portion> {
        if !self.held.is_empty() {
            match portions.recv_timeout(QUIET) {
                Ok(portion) => return Ok(portion),
                Err(_) => {
                    self.settle(false)?;
                    self.output.flush()?;
                }
            }
        }
        portions.recv().map_err(|_| Error::new(Kind::Bug, "the reader ended without saying so"))
    }

    /// A listing is placed on the hosts that it began with.
    fn look_at_hosts(&mut self) {
        if self.listed && self.held.is_empty() && self.list.take_up(&mut self.placer, &self.report)
        {
            self.names = Names::default();
        }
    }

    /// A new container that has no host, of which all was seen at a glance: no more of it is built
    /// than what decides where it goes.
    fn plain(&mut self, text: &str, plain: &Plain) -> Result<()> {
        self.report.used();
        let container = self.sorts.container(text, plain)?;
        let text = &text[plain.at.clone()];
        match self.placer.newcomer(container) {
            Ok(Some(Verdict::On(host))) => self.fill(text, plain.gap(), host),
            Ok(Some(verdict)) => self.decided(text, verdict),
            Ok(None) => {
                let start = self.held_text.len();
                self.held_text.push_str(text);
                self.held.push(Held::Plain(start..self.held_text.len(), plain.gap()));
                Ok(())
            }
            Err(why) => self.decided(text, Verdict::Nowhere(Box::new(why))),
        }
    }

    fn record(&mut self, record: Record) -> Result<()> {
        self.report.used();
        match record {
            Record::Change(mut change) if !change.has_failed() => {
                let had_host = change.container.host.is_some();
                match self.placer.change(&mut change) {
                    Outcome::Waits => self.hold(&Record::Change(change)),
                    outcome => self.tell_change(*change, had_host, outcome),
                }
            }
            Record::Container(mut container) if container.status != Some(Status::Failed) => {
                let had_host = container.host.is_some();
                match self.placer.container(&mut container) {
                    Outcome::Waits => self.hold(&Record::Container(container)),
                    outcome => self.tell_container(*container, had_host, outcome),
                }
            }
            Record::Checkpoint(checkpoint) => {
                self.settle(true)?;
                self.listed = true;
                let checkpoint = match self.tell {
                    Tell::Reasons => explained(checkpoint, std::mem::take(&mut self.told)),
                    _ => checkpoint,
                };
                self.output.write(&Record::Checkpoint(checkpoint))
            }
            other => self.output.write(&other),
        }
    }

    fn tell_change(&mut self, change: Change, had_host: bool, outcome: Outcome) -> Result<()> {
        self.warn(&change.container, &outcome);
        if self.tell == Tell::Reasons {
            if change.action == Action::Remove && !matches!(outcome, Outcome::Failed(_)) {
                return Ok(());
            }
            let placement = self.placer.explain_change(&change, had_host, &outcome);
            return self.explain(placement);
        }
        let change = match &outcome {
            Outcome::Failed(why) => change.failed(why),
            _ => change,
        };
        self.output.write(&change.into())
    }

    fn tell_container(
        &mut self,
        mut container: Container,
        had_host: bool,
        outcome: Outcome,
    ) -> Result<()> {
        self.warn(&container, &outcome);
        if self.tell == Tell::Reasons {
            let placement = self.placer.explain(&container, had_host, &outcome);
            return self.explain(placement);
        }
        if let Outcome::Failed(why) = &outcome {
            container.fail(why);
        }
        self.output.write(&container.into())
    }

    fn warn(&self, container: &Container, outcome: &Outcome) {
        if let Outcome::Failed(why) | Outcome::Told(why) = outcome {
            self.report.failed(&why.clone().at(&container.id));
        }
    }

    fn explain(&mut self, placement: Placement) -> Result<()> {
        self.told += 1;
        self.output.write(&Record::Placement(placement))
    }

    /// Keeps a record until it is decided where its container goes.
    fn hold(&mut self, record: &Record) -> Result<()> {
        let text = serde_json::to_string(record)
            .map_err(|e| Error::new(Kind::Bug, "write record as JSON").why(e))?;
        self.held.push(Held::Other(text.into()));
        Ok(())
    }

    /// Writes what waits.
    fn settle(&mut self, complete: bool) -> Result<()> {
        let verdicts = self.placer.settle(complete);
        let texts = std::mem::take(&mut self.held_text);
        for (held, verdict) in std::mem::take(&mut self.held).into_iter().zip(verdicts) {
            match (held, verdict) {
                (Held::Plain(at, gap), Verdict::On(host)) => self.fill(&texts[at], gap, host)?,
                (Held::Plain(at, _), verdict) => self.decided(&texts[at], verdict)?,
                (Held::Other(text), verdict) => self.decided(&text, verdict)?,
            }
        }
        Ok(())
    }

    /// Writes a record that has got nothing but a host.
    fn fill(&mut self, text: &str, gap: usize, host: u32) -> Result<()> {
        let (before, behind) = text.split_at(gap);
        let host = self.names.json(host, &self.placer);
        self.output.pieces(&[before, r#","host":"#, host, behind])
    }

    /// Writes one that may have become another change.
    fn decided(&mut self, text: &str, verdict: Verdict) -> Result<()> {
        match read(text)? {
            Record::Change(mut change) => {
                let had_host = change.container.host.is_some();
                let outcome = self.placer.carry_out(verdict, &mut change);
                self.tell_change(*change, had_host, outcome)
            }
            Record::Container(mut container) => {
                let had_host = container.host.is_some();
                let outcome = self.placer.carry_out_bare(verdict, &mut container);
                self.tell_container(*container, had_host, outcome)
            }
            _ => Err(Error::new(Kind::Bug, "a record waited that has no host")),
        }
    }
}

/// The whole of a record that was taken before.
fn read(text: &str) -> Result<Record> {
    Record::parse(text).map_err(|why| Error::new(Kind::Bug, "read record again").why(why))
}

fn explained(checkpoint: Checkpoint, count: u64) -> Checkpoint {
    Checkpoint { of: Of::Explanation, count, ..checkpoint }
}
