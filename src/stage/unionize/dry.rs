//! The dry run: the same plan, told instead of worked off.

use std::fmt;

use jiff::Timestamp;

use super::Unionize;
use super::detach::Keeper;
use super::links::Making;
use super::plan::{Seen, Step, plan};
use super::scene::{Host, Inside, look};
use super::wish::Wish;
use crate::error::{Error, Kind, Result};
use crate::record::ContainerId;

impl Unionize<'_> {
    /// Tells what would be done for `wish`. A container that is not there yet has nothing.
    pub(super) fn pretend(&self, wish: &Wish) -> Result<()> {
        let host = Host::open(&self.keeper.ovs)?;
        let known = self.keeper.attachments.get(&wish.link)?;
        let place = host.place(&wish.plug, known.as_ref())?;
        self.tell_of_bridge(&wish.plug, &place);
        let wish = &wish.at(&place, known.as_ref());
        let is_there = wish.container.docker.is_some() || wish.container.netns.is_some();
        let seen = match is_there {
            true => look(wish, &host, &place, &Inside::open(&wish.container)?, known, false)?,
            false => Seen::before(wish, &place, known),
        };
        for step in plan(wish, &seen, Timestamp::now())? {
            match step {
                Step::Make => self.keeper.would(&wish.container.id, Making(wish)),
                _ => self.keeper.would(&wish.container.id, step),
            }
        }
        Ok(())
    }
}

impl Keeper<'_> {
    /// Tells one thing that would be done.
    pub(super) fn would(&self, id: &ContainerId, what: impl fmt::Display) {
        // Told as every other line on standard error; nothing has failed.
        self.report.note(&Error::new(Kind::Refused, format_args!("would {what}")).at(id));
    }
}
