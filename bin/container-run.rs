//! container-run: changes in, the same changes out, done.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Engines, Reach, Registries, Show};
use leasepipe::error::Result;
use leasepipe::pipe::{Report, Stdio};
use leasepipe::record::Owner;
use leasepipe::stage::container_run::{self, Asked, AskedOfSwarm, AskedToReap, Options};
use leasepipe::stage::engines;

/// Changes → the same, done: make, start and remove containers
///
/// Reads changes from standard input, does what they ask through the Docker engine of their host
/// (unix:///var/run/docker.sock when none is named), and writes them with what Docker knows of the
/// container. A container without a change around it is one to add, or with state "absent" one to
/// remove. What failed goes on with status "failed" and an error.
///
/// Only containers that this program made are ever replaced or removed: they carry the labels
/// leasepipe.owner and leasepipe.declared, and the latter names them. One that was renamed by hand
/// is nobody's any more.
///
/// A container is removed by SIGKILL, with its anonymous volumes, unless it declares stop_timeout:
/// then it gets its stop signal and so many seconds first. Docker's own default of ten seconds
/// would be spent in full by every process 1 that has no handler for the signal, and the next
/// container of that name would wait for it.
#[derive(Parser)]
#[command(
    name = "container-run",
    version,
    after_long_help = EXAMPLE
)]
pub struct Args {
    /// Owner of the containers that name none
    #[arg(long, value_name = "NAME", default_value = "leasepipe")]
    owner: Owner,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    engine: Engines,
    #[command(flatten)]
    swarm: AskedOfSwarm,
    /// Work on up to N containers at the same time, on all hosts together
    #[arg(long, value_name = "N", default_value = "1024")]
    concurrency: NonZeroUsize,
    /// Of these, on up to N on each host
    #[arg(long, value_name = "N", default_value = "8")]
    per_host: NonZeroUsize,
    /// Change nothing, and write into each record the steps that would be taken
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reap: AskedToReap,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  cccf-diff --current <(docker-cccf --owner edge) < wanted.json | container-run --owner edge";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let options = Options {
        owner: args.owner,
        jobs: args.concurrency,
        per_host: args.per_host,
        reach: engines::Reach::new(args.reach.insecure),
        docker_config: args.registries.docker_config,
        dry_run: args.dry_run,
        swarm: args.engine.is_swarm().then(|| args.swarm.settings(&args.asked)),
        asked: args.asked,
    };
    let stdio = Stdio::open(report, args.show.table)?;
    if args.reap.reap {
        return container_run::reap(stdio, options, &args.reap);
    }
    container_run::run(stdio, options)
}
