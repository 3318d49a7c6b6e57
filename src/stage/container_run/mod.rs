//! `container-run`: containers are made, started and taken away, as changes ask.

mod engines;
mod hand;

use std::num::NonZeroUsize;

use super::changes::{self, Work};
use crate::error::{Error, Kind, Result};
use crate::pipe::Stdio;
use crate::record::{
    Action, Change, Checkpoint, Container, Endpoint, Host, HostRef, Of, Owner, Record, State,
};
use engines::Engines;
use hand::Hand;

/// Serves standard input to its end, `jobs` containers at a time. A container that names no owner
/// becomes one of `owner`'s. With `insecure` engines at `tcp://` may be spoken to without TLS.
///
/// # Errors
/// When a stream fails. Also when the engine of a host was never there: the changes for it have
/// been passed on as failed by then.
pub fn run(stdio: Stdio, jobs: NonZeroUsize, owner: Owner, insecure: bool) -> Result<()> {
    let runner = Runner { owner, engines: Engines::new(insecure, &stdio.report) };
    changes::serve(stdio, jobs, &runner)?;
    runner.engines.never_there().map_or(Ok(()), Err)
}

struct Runner {
    owner: Owner,
    engines: Engines,
}

impl Work for Runner {
    fn change(&self, change: &mut Change) -> Result<()> {
        let Change { action, container, current, .. } = change;
        let owner = container.owner.as_ref().unwrap_or(&self.owner).clone();
        let (host, endpoint) = host(container)?;
        let engine = self.engines.of(&endpoint)?;
        let hand = Hand { engine: &engine, owner: &owner };
        let found = match action {
            Action::Add => Some(hand.add(container)?),
            Action::Keep => Some(hand.keep(container)?),
            Action::Replace if is_elsewhere(current, &endpoint) => {
                let new = hand.add(container)?;
                if let Some(old) = current {
                    let left = |hand: &Hand| hand.leave(old, &new.docker_id);
                    let outcome = self.hand_of(old, &endpoint, &owner, left);
                    outcome.map_err(|why| why.at("the new one runs, the old one"))?;
                }
                Some(new)
            }
            Action::Replace => {
                hand.prepare(container)?;
                if let Some(current) = current {
                    self.hand_of(current, &endpoint, &owner, |hand| hand.clear(current).map(drop))?;
                }
                let remade = hand.make(container);
                if let Some(old) = current.as_ref()
                    && old.private_network != container.private_network
                {
                    self.hand_of(old, &endpoint, &owner, |hand| hand.leave_network(old))?;
                }
                Some(remade.map_err(|why| why.at("the old one is gone, the new one"))?)
            }
            Action::Remove => {
                hand.remove(container)?;
                None
            }
        };
        container.owner = Some(owner);
        container.host = Some(host);
        container.state = match found {
            Some(found) => {
                container.docker = found.container.docker;
                found.container.state
            }
            None => Some(State::Absent),
        };
        Ok(())
    }

    /// Every container has been told of: a private network that none is made for was left behind
    /// by a run that was killed.
    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<Record>> {
        if checkpoint.of == Of::Change {
            let owner = checkpoint.owner.as_ref().unwrap_or(&self.owner);
            self.engines.reached().iter().try_for_each(|engine| engine.drop_networks(owner))?;
        }
        Ok(Vec::new())
    }
}

impl Runner {
    /// Does something about the container that is replaced, on the host where it is.
    fn hand_of(
        &self,
        current: &Container,
        endpoint: &Endpoint,
        owner: &Owner,
        act: impl FnOnce(&Hand) -> Result<()>,
    ) -> Result<()> {
        let endpoint = match current.host {
            Some(_) => host(current)?.1,
            None => endpoint.clone(),
        };
        act(&Hand { engine: &*self.engines.of(&endpoint)?, owner })
    }
}

/// Whether the container that is replaced is on another host. It goes when the new one runs.
fn is_elsewhere(current: &Option<Container>, endpoint: &Endpoint) -> bool {
    let old = current.as_ref().filter(|old| old.host.is_some()).map(host);
    matches!(old, Some(Ok((_, old))) if old.url != endpoint.url)
}

/// The host that a container is to be on, this machine when none is named, and its engine.
fn host(container: &Container) -> Result<(HostRef, Endpoint)> {
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
