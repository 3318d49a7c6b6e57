//! host-probe: hosts in, the same out with what their engines say.

mod crew;
mod follow;
mod prober;
mod sheet;
mod watch;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use prober::Prober;

use super::hosts::Lookout;
use crate::error::Result;
use crate::pipe::{Found, Output, Reader, Report, Stdio};
use crate::record::{Checkpoint, Host, HostsAt, Of, Record};
use crew::Crew;
use sheet::Sheet;

/// Which hosts are asked, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where they are kept; nothing for the records of standard input.
    pub hosts: Option<HostsAt>,
    /// How engines are asked.
    pub prober: Prober,
    /// How many at a time.
    pub most: NonZeroUsize,
    /// How they are asked again and again; only once when absent.
    pub follow: Option<Follow>,
    /// A file that all of them are written to as well.
    pub write: Option<PathBuf>,
}

/// How hosts are asked again and again.
#[derive(Clone, Debug)]
pub struct Follow {
    /// How often.
    pub every: Duration,
    /// How long one that has answered may say nothing before it is told that it is down.
    pub grace: Duration,
}

impl Follow {
    /// The grace within which a host that is asked so often, and has so long to answer, leaves two
    /// questions in a row without an answer.
    pub fn usual_grace(every: Duration, timeout: Duration) -> Duration {
        every.saturating_mul(2).saturating_add(timeout)
    }
}

impl Options {
    fn sheet(&self) -> Result<Option<Sheet>> {
        self.write.as_deref().map(|path| Sheet::at(path, self.hosts.as_ref())).transpose()
    }
}

/// Asks the hosts, and writes each out as soon as its engine has answered or has not.
///
/// # Errors
/// When a stream fails, or a list of hosts that is to be taken as a whole is none. A host that does
/// not answer is no error.
pub fn run(report: &Report, table: bool, options: Options) -> Result<()> {
    if options.hosts.is_none() && options.follow.is_none() && options.write.is_none() {
        return stream(Stdio::open(report, table)?, &options);
    }
    let stdin = HostsAt::File("-".into());
    let (hosts, lookout) = Lookout::open(options.hosts.as_ref().unwrap_or(&stdin))?;
    report.used();
    let output = Output::stdout(table)?;
    match &options.follow {
        None => once(output, report, hosts, &options),
        Some(follow) => follow::run(output, report, (hosts, lookout), &options, follow),
    }
}

/// A lock that a panic cannot take along: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    let mut sheet = options.sheet()?;
    let order: Vec<String> = hosts.iter().map(|host| host.id.clone()).collect();
    let mut crew = Crew::new(output, report, options);
    std::thread::scope(|scope| {
        hosts.into_iter().try_for_each(|host| crew.ask(scope, host))?;
        crew.idle()
    })?;
    if let Some(sheet) = &mut sheet {
        let seen = crew.seen();
        sheet.put(order.iter().filter_map(|id| seen.get(id)))?;
    }
    crew.write(&Record::Checkpoint(Checkpoint::new(Of::Host, order.len() as u64)))?;
    crew.finish()
}
