//! What is done to a container that is there, and leaves it there.

use super::hand::{Hand, stays, stop_timeout};
use crate::adapter::docker::Found;
use crate::error::{Error, Kind, Result};
use crate::record::{Action, Container, State};

impl Hand<'_> {
    /// Makes the container so as `action` leaves one. One that is so already is left alone, but for
    /// a restart.
    pub(super) fn operate(&self, action: Action, told: &Container) -> Result<Found> {
        let doing = || format!("{action} container");
        let found = self.there(told, &doing)?;
        let id = &*found.docker_id;
        let wait = stop_timeout(&found.container);
        let runs = matches!(found.container.state, Some(State::Running | State::Paused));
        let at_rest = || Error::new(Kind::Refused, doing()).why("it does not run");
        if !matches!(action, Action::Start | Action::Unpause) {
            self.may_go(&found)?;
        }
        match action {
            Action::Start => {
                let found = self.make_run(&found)?;
                return self.settled(found, false);
            }
            Action::Restart => {
                self.engine.restart(id, wait)?;
                let found = self.running(id)?;
                return self.settled(found, false);
            }
            Action::Stop if has_ended(&found) => (),
            Action::Kill if has_ended(&found) => (),
            Action::Stop => self.engine.stop(id, wait)?,
            Action::Kill => self.engine.kill(id)?,
            Action::Pause if found.container.state == Some(State::Paused) => (),
            Action::Pause if runs => self.engine.pause(id)?,
            Action::Unpause if found.container.is_running() => (),
            Action::Unpause if runs => self.engine.unpause(id)?,
            Action::Pause | Action::Unpause => return Err(at_rest()),
            Action::Add | Action::Remove | Action::Replace | Action::Keep => {
                return Err(Error::new(Kind::Bug, doing()).why("it is another's to do"));
            }
        }
        self.as_it_is(id)?.ok_or_else(|| Error::new(Kind::NotFound, doing()).why("it went away"))
    }

    /// The container that a record tells of.
    ///
    /// # Errors
    /// `NotFound` when it is not there, or is not the one that the record tells of; `Refused` when it
    /// is not of this owner.
    fn there(&self, told: &Container, doing: &dyn Fn() -> String) -> Result<Found> {
        let nothing = |why: &str| Error::new(Kind::NotFound, doing()).why(why);
        let found = self.engine.find(&told.id)?.filter(stays);
        let found = found.ok_or_else(|| nothing("there is none of that name"))?;
        if let Some(whose) = self.foreign(&found) {
            return Err(Error::new(Kind::Refused, doing())
                .why(format_args!("it is one {whose}"))
                .remedy("cccf-docker-instructions writes docker's own command for it"));
        }
        match &told.docker {
            Some(docker) if docker.id != found.docker_id => {
                Err(nothing("it is gone, and another one has its name"))
            }
            _ => Ok(found),
        }
    }

    /// The container as it is now.
    fn as_it_is(&self, docker_id: &str) -> Result<Option<Found>> {
        self.engine.look(&[docker_id.to_owned()]).pop().unwrap_or(Ok(None))
    }
}

/// Whether nothing of a container runs.
fn has_ended(found: &Found) -> bool {
    matches!(found.container.state, Some(State::Created | State::Exited | State::Dead))
}
