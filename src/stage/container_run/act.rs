//! What a change asks for, done on the engines that it concerns.

use super::engines::Engines;
use super::hand::Hand;
use super::tool::Steps;
use crate::error::{Error, Kind, Result};
use crate::record::{Action, Change, Container, Endpoint, Host, HostRef, Owner, State};

/// Does what the change asks for, and puts what is known of the container then into it. A container
/// that names no owner becomes one of `owner`'s.
pub(super) fn act(change: &mut Change, engines: &Engines, owner: &Owner) -> Result<()> {
    let steps = Steps::default();
    let outcome = asked(change, engines, owner, &steps);
    change.steps.extend(steps.into_inner());
    outcome
}

fn asked(change: &mut Change, engines: &Engines, owner: &Owner, steps: &Steps) -> Result<()> {
    let Change { action, container, current, .. } = change;
    let owner = container.owner.as_ref().unwrap_or(owner).clone();
    let (host, endpoint) = host(container)?;
    let engine = engines.tool(&endpoint, steps)?;
    let hand = Hand { engine: &engine, owner: &owner };
    let found = match action {
        Action::Add => Some(hand.add(container)?),
        Action::Keep => Some(hand.keep(container)?),
        Action::Replace if is_elsewhere(current, &endpoint) => {
            let new = hand.add(container)?;
            if let Some(old) = current {
                let left = |hand: &Hand| hand.leave(old, &new.docker_id);
                let outcome = hand_of((engines, steps), old, &endpoint, &owner, left);
                outcome.map_err(|why| why.at("the new one runs, the old one"))?;
            }
            Some(new)
        }
        Action::Replace => {
            hand.prepare(container)?;
            if let Some(current) = current {
                let clear = |hand: &Hand| hand.clear(current).map(drop);
                hand_of((engines, steps), current, &endpoint, &owner, clear)?;
            }
            let remade = hand.make(container);
            if let Some(old) = current.as_ref()
                && old.private_network != container.private_network
            {
                let leave = |hand: &Hand| hand.leave_network(old);
                hand_of((engines, steps), old, &endpoint, &owner, leave)?;
            }
            Some(remade.map_err(|why| why.at("the old one is gone, the new one"))?)
        }
        Action::Remove => {
            hand.remove(container)?;
            None
        }
        action => Some(hand.operate(*action, container)?),
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

/// Does something about the container that is replaced, on the host where it is.
fn hand_of(
    (engines, steps): (&Engines, &Steps),
    current: &Container,
    endpoint: &Endpoint,
    owner: &Owner,
    act: impl FnOnce(&Hand) -> Result<()>,
) -> Result<()> {
    let endpoint = match current.host {
        Some(_) => host(current)?.1,
        None => endpoint.clone(),
    };
    act(&Hand { engine: &engines.tool(&endpoint, steps)?, owner })
}

/// Whether the container that is replaced is on another host. It goes when the new one runs.
fn is_elsewhere(current: &Option<Container>, endpoint: &Endpoint) -> bool {
    let old = current.as_ref().filter(|old| old.host.is_some()).map(host);
    matches!(old, Some(Ok((_, old))) if old.url != endpoint.url)
}

/// The host that a container is to be on, this machine when none is named, and its engine.
pub(super) fn host(container: &Container) -> Result<(HostRef, Endpoint)> {
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
