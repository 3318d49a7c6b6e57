//! Several managers of one swarm: one tells of it, and the others stand by.

use std::time::Instant;

use super::super::speakers::Elected;
use super::super::told::Source;
use super::super::{Listing, on};
use super::{AGAIN, Teller};
use crate::adapter::docker::swarm::SwarmId;
use crate::error::{Error, Kind, Result};

impl Teller<'_> {
    /// Has a manager that answers tell of each swarm. What another one told of until now is looked at as
    /// a whole: meanwhile something may have changed.
    pub(super) fn elect(&mut self) {
        let up = self.hosts.iter().enumerate().filter_map(|(at, heard)| {
            heard.engine()?;
            Some((at, heard.swarm.clone()?))
        });
        let elected = self.speakers.elect(up, self.has_listed);
        if !self.has_listed {
            return;
        }
        for Elected { swarm, speaker, instead_of } in elected {
            if let Some(before) = instead_of {
                let error = Error::new(Kind::Unavailable, "it tells of its swarm now");
                let why = format!("{} does not", self.hosts[before].host.id);
                self.report.note(&error.why(why).at(&self.hosts[speaker].host.id));
            }
            self.unsure.insert(swarm);
        }
    }

    /// Whether a manager that answers, and is not this one, tells of the swarm that this one was said to
    /// be of.
    pub(super) fn is_told_by_another(&self, at: usize) -> bool {
        let swarm = self.hosts[at].swarm.as_ref();
        let speaker = swarm.and_then(|swarm| self.speakers.of(swarm));
        speaker.is_some_and(|speaker| speaker != at && self.hosts[speaker].engine().is_some())
    }

    /// Whose what a host tells of is.
    pub(super) fn source(&self, at: usize) -> Source {
        match &self.hosts[at].swarm {
            Some(swarm) => Source::Swarm(swarm.clone()),
            None => Source::Host(at),
        }
    }

    /// Looks at all that the swarms have of which changes may have been missed, and tells what is new.
    pub(super) fn look_at_swarms(&mut self) -> Result<()> {
        self.look_at = None;
        for swarm in std::mem::take(&mut self.unsure) {
            let speaker = self.speakers.of(&swarm).map(|at| &self.hosts[at]);
            let Some((engine, host)) = speaker.and_then(|it| Some((it.engine()?, &it.host))) else {
                // Everything is listed anew when one answers.
                continue;
            };
            match Listing::of(engine, &self.options) {
                Ok(listing) => {
                    let found = listing.told(self.report).into_iter();
                    let listed = found.map(|found| (found.docker_id.clone(), on(host, found)));
                    let source = Source::Swarm(swarm);
                    for record in self.told.are_all_of(&source, listed.collect()) {
                        self.output.write(&record.into())?;
                    }
                }
                Err(why) => {
                    self.report.note(&why.at(&host.id));
                    self.is_unsure(swarm);
                }
            }
        }
        Ok(())
    }

    /// Something of a swarm could not be looked at: all of it soon is.
    pub(super) fn is_unsure(&mut self, swarm: SwarmId) {
        self.unsure.insert(swarm);
        self.look_at.get_or_insert(Instant::now() + AGAIN);
    }
}
