//! `container-run`: containers are made, started and taken away, as changes ask.

mod act;
mod asked;
mod batch;
mod clash;
mod engines;
mod halves;
mod hand;
mod operate;
mod order;
mod pretence;
mod reap;
mod swap;
mod swarm;
mod tool;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::changes::{self, Batch, Limits, Order, Work};
use super::engines::Reach;
use super::images::Images;
use crate::adapter::files;
use crate::error::Result;
use crate::pipe::Stdio;
use crate::record::{Action, Change, Checkpoint, ContainerId, Of, Owner, Record};
use act::Means;
pub(super) use act::host;
pub use asked::{Asked, AskedOfSwarm, Wait};
use engines::Engines;
use halves::Halves;
pub use reap::{AskedToReap, reap};
pub use swarm::Settings as Swarm;
use tool::Steps;

/// How many changes are read ahead of those that are worked on, and how many bytes of them, so that
/// hosts enough for all threads find work, in whatever order they come.
const AHEAD: usize = 250_000;
const BYTES_AHEAD: usize = 24 * 1024 * 1024;

/// What is done, and how much of it at the same time.
pub struct Options {
    /// Whose a container becomes that names no owner.
    pub owner: Owner,
    /// Containers that are worked on at the same time.
    pub jobs: NonZeroUsize,
    /// Of these, on one host.
    pub per_host: NonZeroUsize,
    /// How engines are reached.
    pub reach: Reach,
    /// Where Docker's configuration has the logins for registries; absent means the user's own.
    pub docker_config: Option<PathBuf>,
    /// Whether it is only told what would be done.
    pub dry_run: bool,
    /// With this the engines are managers of swarms, and containers become services.
    pub swarm: Option<Swarm>,
    /// What is done with every container, and what is waited for.
    pub asked: Asked,
}

/// Serves standard input to its end.
///
/// # Errors
/// When a stream fails. Also when the engine of a host was never there: the changes for it have
/// been passed on as failed by then.
pub fn run(stdio: Stdio, options: Options) -> Result<()> {
    // Each host takes several, and there may be a thousand hosts.
    files::allow_many();
    let limits = limits(&options);
    let images = Images::new(options.docker_config.as_deref(), &stdio.report);
    let engines = Engines::new(&options.reach, options.dry_run, &stdio.report, images);
    let runner = Runner::new(options, engines);
    changes::serve(stdio, limits, &runner)?;
    runner.engines.never_there().map_or(Ok(()), Err)
}

fn limits(options: &Options) -> Limits {
    let Options { jobs, per_host: per_lane, asked: Asked { care, .. }, .. } = *options;
    Limits { jobs, per_lane, waiting: AHEAD, bytes: BYTES_AHEAD, care }
}

struct Runner {
    options: Options,
    engines: Engines,
    halves: Halves,
    /// Whether changes stand in no order, as engines have listed their containers.
    as_listed: bool,
}

impl Runner {
    fn new(options: Options, engines: Engines) -> Runner {
        Runner { options, engines, halves: Halves::default(), as_listed: false }
    }

    fn action(&self, change: &Change) -> Action {
        self.options.asked.action.unwrap_or(change.action)
    }

    fn act(&self, change: &mut Change, is_gentle: bool) -> Result<()> {
        let Runner { options: Options { owner, asked, swarm, .. }, engines, halves, .. } = self;
        change.action = self.action(change);
        let outcome = match *swarm {
            Some(settings) => swarm::act(change, engines, owner, settings),
            None => act::act(change, &Means { engines, owner, asked, halves, is_gentle }),
        };
        if let Err(why) = &outcome {
            for container in change.current.iter().chain([&change.container]) {
                if let Ok((_, endpoint)) = act::host(container) {
                    self.engines.doubt(&endpoint, why);
                }
            }
        }
        outcome
    }
}

impl Work for Runner {
    fn change(&self, change: &mut Change) -> Result<()> {
        self.act(change, false)
    }

    fn change_gently(&self, change: &mut Change) -> Result<()> {
        self.act(change, true)
    }

    fn batch(&self, change: &Change) -> Option<Batch> {
        let Options { owner, asked, .. } = &self.options;
        asked.care.is_taken().then(|| batch::batch(change, self.action(change), owner))
    }

    fn pretends(&self) -> bool {
        self.options.dry_run
    }

    /// Each host has its own.
    fn lane(&self, change: &Change) -> String {
        act::host(&change.container).map_or_else(|_| String::new(), |(_, endpoint)| endpoint.url)
    }

    fn order(&self, change: &Change, bare: bool) -> Option<Order> {
        Some(order::order(change, self.action(change), bare || self.as_listed))
    }

    fn is_there(&self, id: &ContainerId, change: &Change) -> Result<bool> {
        let (_, endpoint) = act::host(&change.container)?;
        if self.options.swarm.is_some() {
            return swarm::runs(id, &endpoint, &self.engines);
        }
        let found = self.engines.tool(&endpoint, &Steps::default())?.find(id)?;
        Ok(found.is_some_and(|found| found.container.is_running()))
    }

    /// Every container has been told of: a half of a replacement, and a private network that no
    /// container is made for, was left behind by a run that was killed.
    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<Record>> {
        let here = !self.options.dry_run && self.options.swarm.is_none();
        if checkpoint.of == Of::Change && here {
            let owner = checkpoint.owner.as_ref().unwrap_or(&self.options.owner);
            self.engines.on_each(|engine| {
                act::sweep(engine.clone(), owner, &self.options.asked)?;
                engine.drop_networks(owner)
            })?;
        }
        Ok(Vec::new())
    }
}
