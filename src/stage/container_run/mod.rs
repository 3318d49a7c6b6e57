//! `container-run`: containers are made, started and taken away, as changes ask.

mod engines;
mod hand;

use std::num::NonZeroUsize;

use super::changes::{self, Work};
use crate::error::{Error, Kind, Result};
use crate::pipe::Stdio;
use crate::record::{Action, Change, Container, Host, HostRef, Owner, State};
use engines::Engines;
use hand::Hand;

/// Serves standard input to its end, `jobs` containers at a time. A container that names no owner
/// becomes one of `owner`'s.
///
/// # Errors
/// When a stream fails. Also when the engine of a host was never there: the changes for it have
/// been passed on as failed by then.
pub fn run(stdio: Stdio, jobs: NonZeroUsize, owner: Owner) -> Result<()> {
    let runner = Runner { owner, engines: Engines::default() };
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
        let (host, url) = host(container)?;
        let engine = self.engines.of(&url)?;
        let hand = Hand { engine: &engine, owner: &owner };
        let found = match action {
            Action::Add => Some(hand.add(container)?),
            Action::Keep => Some(hand.keep(container)?),
            Action::Replace => {
                hand.have_image(&container.image)?;
                if let Some(current) = current {
                    self.clear(current, &url, &owner)?;
                }
                let remade = hand.add(container);
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
}

impl Runner {
    /// Takes away the container that is to be replaced, on the host where it is.
    fn clear(&self, current: &Container, url: &str, owner: &Owner) -> Result<()> {
        let url = match current.host {
            Some(_) => host(current)?.1,
            None => url.to_owned(),
        };
        let engine = self.engines.of(&url)?;
        Hand { engine: &engine, owner }.remove(current)
    }
}

/// The host that a container is to be on, this machine when none is named, and its engine's URL.
fn host(container: &Container) -> Result<(HostRef, String)> {
    let local = Host::local();
    match &container.host {
        None => Ok((local.as_ref(), local.url)),
        Some(host) => match &host.url {
            Some(url) => Ok((host.clone(), url.clone())),
            None if host.id == local.id => Ok((local.as_ref(), local.url)),
            None => Err(Error::new(Kind::BadInput, format_args!("host \"{}\"", host.id))
                .why("it has no \"url\"")
                .remedy("let cccf-host name the host")),
        },
    }
}
