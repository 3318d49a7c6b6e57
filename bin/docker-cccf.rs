//! docker-cccf: the containers of Docker hosts as documents.

use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Engines, Every, Hosts, Reach, Show};
use leasepipe::error::Result;
use leasepipe::pipe::{Output, Report};
use leasepipe::record::Owner;
use leasepipe::stage::docker_cccf::{self, Label, Options};
use leasepipe::stage::engines;

/// Docker hosts → containers: what is there, and what changes
///
/// Writes one container for each that the Docker engines have, then a checkpoint. A container that
/// container-run made is the document that was declared, whatever its state; any other is what was
/// asked for beyond its image, and listed only while it runs. Each has its host, its state and what
/// Docker knows of it. A container that was renamed by hand counts as one that somebody else made.
///
/// With --follow, each container is written again whenever Docker tells of a change, and with state
/// "absent" when it is gone. After any gap, such as a restart of an engine, everything is listed
/// again with a new checkpoint. With several hosts a listing waits until all of them answer.
#[derive(Parser)]
#[command(
    name = "docker-cccf",
    version,
    after_long_help = EXAMPLE
)]
pub struct Args {
    /// Consider only this owner's containers; without it, everybody's
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Consider only containers with this label; with all of them, if it is given more than once
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    labels: Vec<Label>,
    /// List also containers that somebody else made and that do not run
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    hosts: Hosts,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    engine: Engines,
    /// Go on with changes after the listing
    #[arg(long)]
    follow: bool,
    /// With --follow, list everything again this often; "none" for never
    #[arg(long, value_name = "TIME", default_value = "none")]
    resync: Every,
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
        hosts: args.hosts.at(),
        reach: engines::Reach::new(args.reach.insecure),
        swarm: args.engine.is_swarm(),
        labels: args.labels,
        owner: args.owner,
        all: args.all,
        landing: false,
        follow: args.follow,
        resync: args.resync.0,
    };
    docker_cccf::run(Output::stdout(args.show.table)?, report, options)
}
