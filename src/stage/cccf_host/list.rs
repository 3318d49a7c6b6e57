//! The list of hosts, and what becomes of a placer when it is another one.

use crate::error::{Error, Kind, Result};
use crate::logic::place::{How, Placer};
use crate::pipe::Report;
use crate::record::HostsAt;
use crate::stage::hosts::Lookout;

/// The list, while it is looked at.
pub(super) struct List {
    lookout: Option<Lookout>,
    how: How,
}

impl List {
    /// The list, and a placer over its hosts.
    ///
    /// # Errors
    /// When the list cannot be read, or is none.
    pub(super) fn open(at: &HostsAt, how: How) -> Result<(List, Placer)> {
        let (hosts, lookout) = Lookout::open(at)?;
        let placer = Placer::new(hosts, how)?;
        Ok((List { lookout, how }, placer))
    }

    /// Has the placer go by the list as it is now; whether its hosts have other numbers for that.
    pub(super) fn take_up(&mut self, placer: &mut Placer, report: &Report) -> bool {
        let Some(hosts) = self.lookout.as_mut().and_then(|lookout| lookout.look(report)) else {
            return false;
        };
        if placer.hear(&hosts) {
            return false;
        }
        let Ok(mut new) = Placer::new(hosts, self.how) else { return false };
        // Nothing waits for the end of a listing that may not come.
        new.settle(true);
        *placer = new;
        report.note(
            &Error::new(Kind::Refused, "the hosts are others now")
                .why("what has gone to them before is known from their records alone"),
        );
        true
    }
}
