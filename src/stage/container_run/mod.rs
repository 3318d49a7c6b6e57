//! `container-run`: containers are made, started and taken away, as changes ask.

mod act;
mod engines;
mod hand;
mod operate;
mod order;
mod swarm;

use std::num::NonZeroUsize;

use super::changes::{self, Work};
use crate::error::Result;
use crate::pipe::Stdio;
use crate::record::{Change, Checkpoint, Of, Owner, Record};
use engines::Engines;
pub use swarm::{Publish, Settings as Swarm};

/// Serves standard input to its end, `jobs` containers at a time. A container that names no owner
/// becomes one of `owner`'s. With `insecure` engines at `tcp://` may be spoken to without TLS. With
/// `swarm` the engines are managers, and containers become services.
///
/// # Errors
/// When a stream fails. Also when the engine of a host was never there: the changes for it have
/// been passed on as failed by then.
pub fn run(
    stdio: Stdio,
    jobs: NonZeroUsize,
    owner: Owner,
    insecure: bool,
    swarm: Option<Swarm>,
) -> Result<()> {
    let runner = Runner { owner, engines: Engines::new(insecure, &stdio.report), swarm };
    changes::serve(stdio, jobs, &runner)?;
    runner.engines.never_there().map_or(Ok(()), Err)
}

struct Runner {
    owner: Owner,
    engines: Engines,
    swarm: Option<Swarm>,
}

impl Work for Runner {
    fn change(&self, change: &mut Change) -> Result<()> {
        match self.swarm {
            Some(settings) => swarm::act(change, &self.engines, &self.owner, settings),
            None => act::act(change, &self.engines, &self.owner),
        }
    }

    /// Every container has been told of: a private network that none is made for was left behind
    /// by a run that was killed.
    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<Record>> {
        if checkpoint.of == Of::Change && self.swarm.is_none() {
            let owner = checkpoint.owner.as_ref().unwrap_or(&self.owner);
            self.engines.drop_networks(owner)?;
        }
        Ok(Vec::new())
    }
}
