//! cccf-host: changes or containers → the same, each with the host it goes to.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::logic::place::{Outcome, Placer, Verdict};
use crate::pipe::{Found, Output, Reader, Report, Stdio, input_within};
use crate::record::{
    Action, Change, Checkpoint, Container, Host, HostRef, Of, Placement, Record, Status,
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
    loop {
        match reader.read(&mut || serving.before_wait())? {
            Found::Record(_, record) => {
                serving.report.used();
                serving.record(record)?;
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

/// A record that waits, as JSON: a million of them must not weigh much.
struct Held {
    text: Box<str>,
    /// Where its host can be put in; nothing when the record has one, or may become another change.
    gap: Option<u32>,
}

impl Serving {
    fn record(&mut self, record: Record) -> Result<()> {
        match record {
            Record::Change(mut change) if !change.has_failed() => {
                let had_host = change.container.host.is_some();
                match self.placer.change(&mut change) {
                    Outcome::Waits => self.hold(&Record::Change(change), had_host),
                    outcome => self.tell_change(*change, had_host, outcome),
                }
            }
            Record::Container(mut container) if container.status != Some(Status::Failed) => {
                let had_host = container.host.is_some();
                match self.placer.container(&mut container) {
                    Outcome::Waits => self.hold(&Record::Container(container), had_host),
                    outcome => self.tell_container(*container, had_host, outcome),
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
    fn hold(&mut self, record: &Record, had_host: bool) -> Result<()> {
        let text = serde_json::to_string(record)
            .map_err(|e| Error::new(Kind::Bug, "write record as JSON").why(e))?;
        let (head, id) = match record {
            Record::Change(change) => (CHANGE, &change.container.id),
            Record::Container(container) => ("{", &container.id),
            _ => return Err(Error::new(Kind::Bug, "a record waits that has no host")),
        };
        let begin = format!(r#"{head}"id":"{id}""#);
        let is_plain = !had_host && self.tell == Tell::Records && text.starts_with(&begin);
        let gap = is_plain.then_some(begin.len() as u32);
        self.held.push(Held { text: text.into(), gap });
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
        for (held, verdict) in std::mem::take(&mut self.held).iter().zip(verdicts) {
            match (held.gap, &verdict) {
                (Some(gap), Verdict::On(host)) => self.fill(&held.text, gap, *host)?,
                _ => self.decided(held, verdict)?,
            }
        }
        Ok(())
    }

    /// Writes a record that has got nothing but a host.
    fn fill(&mut self, text: &str, gap: u32, host: u32) -> Result<()> {
        let (before, behind) = text.split_at(gap as usize);
        let host = json(&self.placer.host(host));
        self.output.pieces(&[before, r#","host":"#, &host, behind])
    }

    /// Writes one that may have become another change.
    fn decided(&mut self, held: &Held, verdict: Verdict) -> Result<()> {
        match Record::parse(&held.text) {
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

/// How an `add` begins, up to the fields of its container.
const CHANGE: &str = r#"{"kind":"change","action":"add","container":{"#;

fn json(host: &HostRef) -> String {
    serde_json::to_string(host).unwrap_or_default()
}

fn explained(checkpoint: Checkpoint, count: u64) -> Checkpoint {
    Checkpoint { of: Of::Explanation, count, ..checkpoint }
}
