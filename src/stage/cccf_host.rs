//! cccf-host: changes or containers → the same, each with the host it goes to.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::logic::place::Placer;
use crate::pipe::{Found, Reader, Stdio};
use crate::record::{Change, Host, Record, Status};

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

/// Serves standard input to its end.
pub fn run(mut stdio: Stdio, mut placer: Placer) -> Result<()> {
    while let Some(record) = stdio.read()? {
        let placed = match record {
            Record::Change(change) if !change.has_failed() => {
                place_change(&mut placer, *change, &stdio).into()
            }
            Record::Container(mut container) if container.status != Some(Status::Failed) => {
                if let Err(why) = placer.container(&mut container) {
                    stdio.report.failed(&why.clone().at(&container.id));
                    container.fail(&why);
                }
                Record::Container(container)
            }
            other => other,
        };
        stdio.write(&placed)?;
    }
    stdio.finish()
}

fn place_change(placer: &mut Placer, mut change: Change, stdio: &Stdio) -> Change {
    match placer.change(&mut change) {
        Ok(()) => change,
        Err(why) => {
            stdio.report.failed(&why.clone().at(&change.container.id));
            change.failed(&why)
        }
    }
}
