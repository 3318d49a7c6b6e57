//! Many hosts at a time, each on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Scope;

use super::{Options, Prober, lock};
use crate::error::{Error, Result};
use crate::pipe::{Output, Report};
use crate::record::{Host, Record};

/// Those who ask, and where they write.
pub(super) struct Crew<'a> {
    prober: &'a Prober,
    report: &'a Report,
    most: usize,
    state: Mutex<State>,
    /// One of them is done.
    freed: Condvar,
    output: Mutex<Output>,
    /// What was found, by the names of hosts, if somebody wants it at the end.
    seen: Option<Mutex<HashMap<String, Host>>>,
}

#[derive(Default)]
struct State {
    busy: usize,
    /// Why nothing can be written any more.
    stop: Option<Error>,
    /// The engines that are spoken to without TLS, of which it has been told.
    open: HashSet<String>,
}

impl<'a> Crew<'a> {
    /// Nobody yet.
    pub(super) fn new(output: Output, report: &'a Report, options: &'a Options) -> Crew<'a> {
        Crew {
            prober: &options.prober,
            report,
            most: options.most.get(),
            state: Mutex::default(),
            freed: Condvar::new(),
            output: Mutex::new(output),
            seen: options.write.is_some().then(Mutex::default),
        }
    }

    /// Has a host asked and written, as soon as somebody is free.
    pub(super) fn ask<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        host: Host,
    ) -> Result<()> {
        self.wait_until(|busy| busy < self.most)?;
        let mut state = lock(&self.state);
        state.busy += 1;
        if let Some(caution) = self.prober.endpoint(&host).caution()
            && state.open.insert(host.url.clone())
        {
            self.report.note(&caution);
        }
        drop(state);
        scope.spawn(move || {
            let found = self.prober.look(&host, &host, &mut None, self.report);
            if let Some(seen) = &self.seen {
                lock(seen).insert(found.id.clone(), found.clone());
            }
            let written = self.write(&Record::Host(found)).and_then(|()| self.flush());
            let mut state = lock(&self.state);
            state.busy -= 1;
            if let Err(why) = written {
                state.stop.get_or_insert(why);
            }
            self.freed.notify_all();
        });
        Ok(())
    }

    /// Waits until all that were asked are written.
    pub(super) fn idle(&self) -> Result<()> {
        self.wait_until(|busy| busy == 0)
    }

    fn wait_until(&self, fine: impl Fn(usize) -> bool) -> Result<()> {
        let mut state = lock(&self.state);
        while state.stop.is_none() && !fine(state.busy) {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.stop.clone().map_or(Ok(()), Err)
    }

    /// What was found of all that were asked, by their names.
    pub(super) fn seen(&mut self) -> HashMap<String, Host> {
        let seen = self.seen.take().map(Mutex::into_inner);
        seen.map(|seen| seen.unwrap_or_else(PoisonError::into_inner)).unwrap_or_default()
    }

    /// Writes a record.
    pub(super) fn write(&self, record: &Record) -> Result<()> {
        lock(&self.output).write(record)
    }

    /// Hands over what was written.
    pub(super) fn flush(&self) -> Result<()> {
        lock(&self.output).flush()
    }

    /// Writes out whatever waits.
    pub(super) fn finish(self) -> Result<()> {
        self.output.into_inner().unwrap_or_else(PoisonError::into_inner).settle()
    }
}
