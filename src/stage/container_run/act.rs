//! What a change asks for, done on the engines that it concerns.

use std::sync::Arc;

use super::asked::Asked;
use super::engines::Engines;
use super::halves::{Halves, left};
use super::hand::Hand;
use super::tool::{Steps, Tool};
use crate::adapter::docker::{Engine, Found};
use crate::error::{Error, Kind, Result};
use crate::record::{Action, Change, Container, Endpoint, Host, HostRef, Owner, State};

/// What all changes are done with.
pub(super) struct Means<'a> {
    pub(super) engines: &'a Engines,
    /// Whose the containers become that name no owner.
    pub(super) owner: &'a Owner,
    pub(super) asked: &'a Asked,
    pub(super) halves: &'a Halves,
    /// Whether a container that runs is not to be taken away for what is to be done.
    pub(super) is_gentle: bool,
}

/// Does what the change asks for, and puts into it what was done and what is known of the container
/// then.
pub(super) fn act(change: &mut Change, means: &Means) -> Result<()> {
    let steps = Steps::default();
    let outcome = means.act(change, &steps);
    change.steps.extend(steps.into_inner());
    outcome
}

/// Ends what killed runs of this owner's began, when nobody is at work on the engine's containers.
pub(super) fn sweep(engine: Arc<Engine>, owner: &Owner, asked: &Asked) -> Result<()> {
    let steps = Steps::default();
    let engine = Tool::new(engine, None, &steps);
    let hand = Hand { engine: &engine, owner, asked, is_gentle: false };
    let place = |id| format!("{id} on {}", engine.url());
    left(&engine, owner)?.iter().try_for_each(|id| hand.mend(id).map_err(|why| why.at(place(id))))
}

impl Means<'_> {
    fn act(&self, change: &mut Change, steps: &Steps) -> Result<()> {
        let Change { action, container, current, .. } = change;
        let current = current.as_deref();
        let owner = container.owner.as_ref().unwrap_or(self.owner).clone();
        let (host, endpoint) = host(container)?;
        let engine = self.engines.tool(&endpoint, steps)?;
        let Means { asked, is_gentle, .. } = *self;
        let hand = Hand { engine: &engine, owner: &owner, asked, is_gentle };
        if self.halves.has(&engine, &container.id) {
            hand.mend(&container.id)?;
            self.halves.forget(&engine, &container.id);
        }
        let outcome = match action {
            Action::Add => hand.add(container).and_then(|new| hand.settled(new, false)).map(Some),
            Action::Keep => hand.keep(container).map(Some),
            Action::Replace if is_elsewhere(current, &endpoint) => {
                self.move_here((&hand, steps), container, current, &endpoint).map(Some)
            }
            Action::Replace => hand.prepare(container).and_then(|()| {
                let new = hand.replace(container, current)?;
                let renamed = current.filter(|old| old.id != container.id);
                renamed.map_or(Ok(()), |old| hand.remove(old))?;
                Ok(Some(new))
            }),
            Action::Remove => hand.remove(container).map(|()| None),
            action => hand.operate(*action, container).map(Some),
        };
        if outcome.is_err() {
            self.halves.note(&engine, &container.id);
        }
        let found = outcome?;
        tell(container, found, &engine);
        container.owner = Some(owner);
        container.host = Some(host);
        Ok(())
    }

    /// Makes the container here and takes it away from the host where it is. What cannot be made here
    /// stays there.
    fn move_here(
        &self,
        (hand, steps): (&Hand, &Steps),
        container: &Container,
        old: Option<&Container>,
        endpoint: &Endpoint,
    ) -> Result<Found> {
        let was_here = hand.engine.find(&container.id)?.is_some();
        let new = match hand.add(container).and_then(|new| hand.settled(new, true)) {
            Ok(new) => new,
            Err(why) if was_here => return Err(why),
            Err(why) => {
                let fresh = Container { docker: None, ..container.clone() };
                return Err(match hand.remove(&fresh) {
                    Ok(()) => why.at("the new one").remedy("the old one is as before"),
                    Err(also) => why.remedy(format_args!("and it could not be unmade: {also}")),
                });
            }
        };
        let Some(old) = old else { return Ok(new) };
        let endpoint = match old.host {
            Some(_) => host(old)?.1,
            None => endpoint.clone(),
        };
        let there = self.engines.tool(&endpoint, steps);
        let left =
            there.and_then(|there| Hand { engine: &there, ..*hand }.leave(old, &new.docker_id));
        left.map_err(|why| why.at("the new one runs, the old one"))?;
        Ok(new)
    }
}

/// Puts into the container what is known of it now.
fn tell(container: &mut Container, found: Option<Found>, engine: &Engine) {
    let Some(found) = found else {
        container.state = Some(State::Absent);
        return;
    };
    container.docker = found.container.docker;
    container.state = found.container.state;
    if let Some(docker) = &mut container.docker {
        // It is there: an engine that does not say what its image is called changes nothing of that.
        docker.image_digest = engine.digest(&found.image_id, &container.image).ok();
    }
}

/// Whether the container that is replaced is on another host. It goes when the new one runs.
fn is_elsewhere(current: Option<&Container>, endpoint: &Endpoint) -> bool {
    let old = current.filter(|old| old.host.is_some()).map(host);
    matches!(old, Some(Ok((_, old))) if old.url != endpoint.url)
}

/// The host that a container is to be on, this machine when none is named, and its engine.
pub(in crate::stage) fn host(container: &Container) -> Result<(HostRef, Endpoint)> {
    let local = Host::local();
    match &container.host {
        None => Ok((local.as_ref(), Endpoint::from(&local))),
        Some(host) => match host.endpoint() {
            Some(endpoint) => Ok((host.clone(), endpoint)),
            None if host.id == local.id => Ok((local.as_ref(), Endpoint::from(&local))),
            None => Err(Error::new(Kind::BadInput, format_args!("host \"{}\"", host.id))
                .why("it has no \"url\"")
                .remedy("let cccf-host name the host")),
        },
    }
}
