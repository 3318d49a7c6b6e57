//! host-probe: hosts in, the same out with what their engines say.

mod crew;
mod follow;
mod prober;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use prober::Prober;

use super::cccf_host;
use crate::error::{Error, Kind, Result};
use crate::pipe::{Found, Output, Reader, Report, Stdio};
use crate::record::{Checkpoint, Host, Of, Record};
use crew::Crew;

/// Which hosts are asked, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file that they are in; nothing for the records of standard input.
    pub hosts: Option<PathBuf>,
    /// How engines are asked.
    pub prober: Prober,
    /// How many at a time.
    pub most: NonZeroUsize,
    /// How often they are asked again; only once when absent.
    pub follow: Option<Duration>,
}

/// Asks the hosts, and writes each out as soon as its engine has answered or has not.
///
/// # Errors
/// When a stream fails, or a list of hosts that is to be taken as a whole is none. A host that does
/// not answer is no error.
pub fn run(report: &Report, table: bool, options: Options) -> Result<()> {
    match (&options.hosts, options.follow) {
        (None, None) => stream(Stdio::open(report, table)?, &options),
        (file, follow) => {
            let hosts = set(file.as_deref().unwrap_or(Path::new("-")))?;
            report.used();
            let output = Output::stdout(table)?;
            match follow {
                None => once(output, report, hosts, &options),
                Some(every) => follow::run(output, report, hosts, &options, every),
            }
        }
    }
}

/// A lock that a panic cannot take along: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All hosts of a file, of which none may stand twice.
fn set(path: &Path) -> Result<Vec<Host>> {
    let hosts = cccf_host::hosts(Some(path))?;
    let mut ids = HashSet::new();
    match hosts.iter().find(|host| !ids.insert(&host.id)) {
        Some(twice) => {
            Err(Error::new(Kind::BadInput, format_args!("host \"{}\" stands twice", twice.id)))
        }
        None if hosts.is_empty() => Err(Error::new(Kind::BadInput, "there is no host")),
        None => Ok(hosts),
    }
}

/// Serves standard input to its end. What is no host passes at once, but a checkpoint only when all
/// hosts before it have been written.
fn stream(stdio: Stdio, options: &Options) -> Result<()> {
    let Stdio { mut reader, output, report } = stdio;
    let crew = Crew::new(output, &report, options);
    std::thread::scope(|scope| {
        while let Some(record) = next(&mut reader, &crew, &report)? {
            match record {
                Record::Host(host) => crew.ask(scope, host)?,
                Record::Checkpoint(checkpoint) => {
                    crew.idle()?;
                    crew.write(&Record::Checkpoint(checkpoint))?;
                }
                other => crew.write(&other)?,
            }
        }
        crew.idle()
    })?;
    crew.finish()
}

/// The next record; nothing at the end. What is no record is told.
fn next(reader: &mut Reader, crew: &Crew, report: &Report) -> Result<Option<Record>> {
    loop {
        match reader.read(&mut || crew.flush())? {
            Found::Record(_, record) => {
                report.used();
                return Ok(Some(record));
            }
            Found::Bad(why) => report.failed(&why),
            Found::End => return Ok(None),
        }
    }
}

/// Asks all of a list, and says that these were all.
fn once(output: Output, report: &Report, hosts: Vec<Host>, options: &Options) -> Result<()> {
    let crew = Crew::new(output, report, options);
    let count = hosts.len() as u64;
    std::thread::scope(|scope| {
        hosts.into_iter().try_for_each(|host| crew.ask(scope, host))?;
        crew.idle()
    })?;
    crew.write(&Record::Checkpoint(Checkpoint::new(Of::Host, count)))?;
    crew.finish()
}
