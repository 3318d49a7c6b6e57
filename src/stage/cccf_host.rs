//! cccf-host: changes or containers → the same, each with the host it goes to.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::logic::diff::Looker;
use crate::logic::place::{Outcome, Placer, Verdict};
use crate::pipe::{Found, Output, Reader, Report, Stdio, input_within};
use crate::record::{
    Action, Change, Checkpoint, Container, Host, HostRef, Of, Placement, Record, Split, Status,
};

/// What waits for the end of a listing is placed when nothing has come for so long: a listing that
/// is never closed must not keep it for ever.
const QUIET: Duration = Duration::from_secs(1);

/// The hosts of a file, or this machine's own engine when none is named.
///
/// # Errors
/// When the file cannot be read, or anything in it is no host: a list of hosts is taken whole or
/// not at all.
pub fn hosts(path: Option<&Path>) -> Result<Vec<Host>> {
    let Some(path) = path else { return Ok(vec![Host::local()]) };
    let mut reader = Reader::open(path).map_err(Error::into_usage)?;
    let mut hosts = Vec::new();
    loop {
        match reader.read(&mut || Ok(()))? {
            Found::Record(_, Record::Host(host)) => hosts.push(host),
            Found::Record(_, Record::Checkpoint(_)) => (),
            Found::Record(line, _) => {
                let what = Error::new(Kind::BadInput, "record is no host");
                return Err(what.at(format_args!("{}:{line}", reader.name())));
            }
            Found::Bad(why) => return Err(why),
            Found::End => return Ok(hosts),
        }
    }
}

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

/// Serves standard input to its end.
pub fn run(stdio: Stdio, placer: Placer, tell: Tell) -> Result<()> {
    let Stdio { mut reader, output, report } = stdio;
    let mut serving = Serving { placer, output, report, tell, held: Vec::new(), told: 0 };
    let looker = Looker::default();
    let mut parse = |text: &str| match tell {
        Tell::Records => Taken::parse(text, &looker),
        _ => Record::parse(text).map(|record| Taken { record, plain: None }),
    };
    loop {
        match reader.read_as(&mut || serving.before_wait(), &mut parse)? {
            Found::Record(_, taken) => {
                serving.report.used();
                serving.record(taken)?;
            }
            Found::Bad(why) => serving.report.failed(&why),
            Found::End => break,
        }
    }
    serving.settle(true)?;
    serving.output.settle()
}

struct Serving {
    placer: Placer,
    output: Output,
    report: Report,
    tell: Tell,
    /// What the placer keeps waiting, in its order.
    held: Vec<Held>,
    /// How many explanations there have been since the last checkpoint.
    told: u64,
}

/// A record of the input.
struct Taken {
    record: Record,
    /// Its text, if it lacks nothing but a host.
    plain: Option<Plain>,
}

/// The JSON of a record that lacks nothing but a host: a million of them must not weigh much.
struct Plain {
    text: Box<str>,
    /// Where the host can be put in.
    gap: u32,
}

/// A record that waits.
enum Held {
    Plain(Plain),
    /// One that has a host, or may become another change.
    Other(Box<str>),
}

impl Taken {
    fn parse(text: &str, looker: &Looker) -> Result<Taken, String> {
        match Taken::glance(text, looker) {
            Some(taken) => Ok(taken),
            None => Ok(Taken { record: Record::parse(text)?, plain: None }),
        }
    }

    /// A new container that has no host and of which all can be seen at a glance: of such a one no
    /// more is built than what decides where it goes.
    fn glance(text: &str, looker: &Looker) -> Option<Taken> {
        let added = text.strip_prefix(ADD).and_then(|rest| rest.strip_suffix('}'));
        let document = added.unwrap_or(text);
        let seen = looker.glance(document)?;
        if seen.is_placed || seen.has_failed {
            return None;
        }
        let mut fields = Split::parse(document).ok()?;
        fields.keep(&DECIDING);
        let container = Container::try_from(fields).ok()?;
        let behind_id = seen.id.as_ptr() as usize - text.as_ptr() as usize + seen.id.len() + 1;
        let plain = Plain { text: text.into(), gap: u32::try_from(behind_id).ok()? };
        let record = match added {
            Some(_) => Change::new(Action::Add, container).into(),
            None => container.into(),
        };
        Some(Taken { record, plain: Some(plain) })
    }
}

/// What an `add` of which no more is said stands before its container.
const ADD: &str = r#"{"kind":"change","action":"add","container":"#;

/// The fields that decide where a container goes.
const DECIDING: [&str; 9] =
    ["id", "image", "cpus", "memory", "gpus", "ports", "labels", "requires", "scaled_from"];

impl Plain {
    /// The whole of it, as it came.
    fn record(&self) -> Result<Record> {
        Record::parse(&self.text)
            .map_err(|why| Error::new(Kind::Bug, "read record that was taken").why(why))
    }
}

impl Serving {
    fn record(&mut self, taken: Taken) -> Result<()> {
        let Taken { record, plain } = taken;
        match record {
            Record::Change(mut change) if !change.has_failed() => {
                let had_host = change.container.host.is_some();
                match self.placer.change(&mut change) {
                    Outcome::Waits => self.hold(&Record::Change(change), plain),
                    outcome => match plain {
                        None => self.tell_change(*change, had_host, outcome),
                        Some(plain) => {
                            self.tell_plain(plain, change.container.host.as_ref(), outcome)
                        }
                    },
                }
            }
            Record::Container(mut container) if container.status != Some(Status::Failed) => {
                let had_host = container.host.is_some();
                match self.placer.container(&mut container) {
                    Outcome::Waits => self.hold(&Record::Container(container), plain),
                    outcome => match plain {
                        None => self.tell_container(*container, had_host, outcome),
                        Some(plain) => self.tell_plain(plain, container.host.as_ref(), outcome),
                    },
                }
            }
            Record::Checkpoint(checkpoint) => {
                self.settle(true)?;
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

    /// Tells what became of a record whose text is known.
    fn tell_plain(&mut self, plain: Plain, at: Option<&HostRef>, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Done => self.fill(&plain, at),
            outcome => match plain.record()? {
                Record::Change(change) => self.tell_change(*change, false, outcome),
                Record::Container(container) => self.tell_container(*container, false, outcome),
                _ => Err(Error::new(Kind::Bug, "a record was taken that has no host")),
            },
        }
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
    fn hold(&mut self, record: &Record, plain: Option<Plain>) -> Result<()> {
        let held = match plain {
            Some(plain) => Held::Plain(plain),
            None => Held::Other(
                serde_json::to_string(record)
                    .map_err(|e| Error::new(Kind::Bug, "write record as JSON").why(e))?
                    .into(),
            ),
        };
        self.held.push(held);
        Ok(())
    }

    /// Hands over what was written, and when nothing comes for a while what waits, too.
    fn before_wait(&mut self) -> Result<()> {
        self.output.flush()?;
        if !self.held.is_empty() && !input_within(QUIET) {
            self.settle(false)?;
            self.output.flush()?;
        }
        Ok(())
    }

    /// Writes what waits.
    fn settle(&mut self, complete: bool) -> Result<()> {
        let verdicts = self.placer.settle(complete);
        for (held, verdict) in std::mem::take(&mut self.held).into_iter().zip(verdicts) {
            match (held, verdict) {
                (Held::Plain(plain), Verdict::On(host)) => {
                    let host = self.placer.host(host);
                    self.fill(&plain, Some(&host))?;
                }
                (Held::Plain(Plain { text, .. }) | Held::Other(text), verdict) => {
                    self.decided(&text, verdict)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a record that has got nothing but a host.
    fn fill(&mut self, plain: &Plain, host: Option<&HostRef>) -> Result<()> {
        let (before, behind) = plain.text.split_at(plain.gap as usize);
        match host {
            Some(host) => self.output.pieces(&[before, r#","host":"#, &json(host), behind]),
            None => self.output.pieces(&[&plain.text]),
        }
    }

    /// Writes one that may have become another change.
    fn decided(&mut self, text: &str, verdict: Verdict) -> Result<()> {
        match Record::parse(text) {
            Ok(Record::Change(mut change)) => {
                let had_host = change.container.host.is_some();
                let outcome = self.placer.carry_out(verdict, &mut change);
                self.tell_change(*change, had_host, outcome)
            }
            Ok(Record::Container(mut container)) => {
                let had_host = container.host.is_some();
                let outcome = self.placer.carry_out_bare(verdict, &mut container);
                self.tell_container(*container, had_host, outcome)
            }
            Ok(_) => Err(Error::new(Kind::Bug, "a record waited that has no host")),
            Err(why) => Err(Error::new(Kind::Bug, "read record that waited").why(why)),
        }
    }
}

fn json(host: &HostRef) -> String {
    serde_json::to_string(host).unwrap_or_default()
}

fn explained(checkpoint: Checkpoint, count: u64) -> Checkpoint {
    Checkpoint { of: Of::Explanation, count, ..checkpoint }
}
