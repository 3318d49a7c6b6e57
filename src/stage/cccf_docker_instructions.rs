//! cccf-docker-instructions: containers and changes → lines for a shell, or a compose file.

use std::borrow::Cow;

use crate::adapter::docker::{DECLARED, KEY, OWNER};
use crate::error::{Error, Kind, Result};
use crate::logic::instructions::{Command, Compose, Labels, Manner, Written, without};
use crate::pipe::{Found, Reader, Report, Writer};
use crate::record::{Action, Change, Container, Host, Owner, Record, State, Status};

/// What is written, and of what.
pub struct Options {
    /// What is done with containers that no change is around.
    pub command: Command,
    /// Whether docker does not wait for what it runs.
    pub detach: bool,
    /// Whether the engines are named.
    pub hosts: bool,
    /// Whose containers those that name no owner become.
    pub owner: Option<Owner>,
    /// Fields that are not looked at.
    pub without: Vec<String>,
}

/// Writes a line for each record of standard input that asks for something, ended by `end`.
///
/// # Errors
/// When a stream fails. A record that has no line is told.
pub fn lines(report: &Report, options: &Options, end: u8) -> Result<()> {
    let (mut reader, mut writer) = (Reader::stdin()?, Writer::stdout()?);
    let labels = |container: &Container| own_labels(container, options.owner.as_ref());
    let Options { command, detach, hosts, .. } = *options;
    let manner = Manner { command, detach, hosts, labels: &labels };
    loop {
        let record = match reader.read(&mut || writer.flush())? {
            Found::End => return writer.flush(),
            Found::Bad(why) => {
                report.failed(&why);
                continue;
            }
            Found::Record(_, record) => record,
        };
        report.used();
        match line(&record, &manner, &options.without) {
            Ok(Written { line, left_out }) => {
                left_out.iter().for_each(|what| told(report, id(&record), what));
                line.iter().try_for_each(|line| writer.text(line, end))?;
            }
            Err(why) => report.failed(&why.at(id(&record))),
        }
    }
}

/// Writes one compose file with the containers of standard input that are wanted.
///
/// # Errors
/// When a stream fails, and when anything in the input is wrong: the containers are a set, which is
/// taken whole or not at all.
pub fn compose(report: &Report, options: &Options) -> Result<()> {
    let (mut reader, mut writer) = (Reader::stdin()?, Writer::stdout()?);
    let mut file = Compose::new(options.hosts);
    loop {
        let record = match reader.read(&mut || Ok(()))? {
            Found::End => break,
            Found::Bad(why) => return Err(why.remedy("nothing is written")),
            Found::Record(_, record) => record,
        };
        let add = wanted(&record, &options.without).and_then(|container| match container {
            None => Ok(None),
            Some(container) => {
                let own = own_labels(&container, options.owner.as_ref());
                file.add(container, own)
            }
        });
        let whole = |why: Error| {
            Error::new(Kind::BadInput, why).at(id(&record)).remedy("nothing is written")
        };
        add.map_err(whole)?.iter().for_each(|what| told(report, id(&record), what));
    }
    if let Some(url) = file.engine().filter(|url| *url != Host::local().url) {
        let what = format!("a compose file names no engine; this one is for the one at {url}");
        report.note(&Error::new(Kind::BadInput, what));
    }
    let text = file.text().map_err(|why| why.remedy("nothing is written"))?;
    writer.text(text.trim_end(), b'\n')?;
    writer.flush()
}

/// What a record asks docker for.
fn line(record: &Record, manner: &Manner, fields: &[String]) -> Result<Written> {
    match record {
        Record::Container(container) if container.status.is_none() => {
            manner.container(&*erased(container, fields)?)
        }
        Record::Change(change) if change.status.is_none() && fields.is_empty() => {
            manner.change(change)
        }
        Record::Change(change) if change.status.is_none() => {
            let mut fewer = Change::clone(change);
            *fewer.container = without(&fewer.container, fields)?;
            if let Some(old) = &mut fewer.current {
                **old = without(old, fields)?;
            }
            manner.change(&fewer)
        }
        other => failed_before(other).map_or(Ok(Written::default()), Err),
    }
}

/// The container that a record says is to be there.
fn wanted(record: &Record, fields: &[String]) -> Result<Option<Container>> {
    if let Some(why) = failed_before(record) {
        return Err(why);
    }
    let container: &Container = match record {
        Record::Container(container) if container.state != Some(State::Absent) => container,
        Record::Change(change) if change.action != Action::Remove => &change.container,
        _ => return Ok(None),
    };
    erased(container, fields).map(|container| Some(container.into_owned()))
}

/// Why nothing can be said of a record that an earlier stage failed on.
fn failed_before(record: &Record) -> Option<Error> {
    let (status, error) = match record {
        Record::Container(container) => (container.status, &container.error),
        Record::Change(change) => (change.status, &change.error),
        _ => return None,
    };
    (status == Some(Status::Failed)).then(|| {
        let error = error.as_deref().unwrap_or("no reason is given");
        Error::new(Kind::BadInput, "it has failed before").why(error)
    })
}

/// The name of the container that a record is about.
fn id(record: &Record) -> &str {
    match record {
        Record::Container(container) => container.id.as_str(),
        Record::Change(change) => change.container.id.as_str(),
        _ => "",
    }
}

fn erased<'a>(container: &'a Container, fields: &[String]) -> Result<Cow<'a, Container>> {
    match fields {
        [] => Ok(Cow::Borrowed(container)),
        fields => without(container, fields).map(Cow::Owned),
    }
}

fn told(report: &Report, id: &str, what: &str) {
    report.note(&Error::new(Kind::BadInput, format_args!("left out: {what}")).at(id));
}

/// The labels by which the suite knows the container as an owner's; none for one without an owner.
fn own_labels(container: &Container, default: Option<&Owner>) -> Labels {
    let Some(owner) = container.owner.as_ref().or(default) else { return Labels::new() };
    let document = serde_json::to_string(&container.declared())
        .expect("the suite's types can be written as JSON");
    let key = container.lease.as_ref().map(|lease| (KEY.to_owned(), lease.key.to_string()));
    let own = [(OWNER.to_owned(), owner.to_string()), (DECLARED.to_owned(), document)];
    own.into_iter().chain(key).collect()
}
