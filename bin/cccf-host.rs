//! cccf-host: changes or containers → the same, each with the host it goes to.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::logic::place::Placer;
use leasepipe::pipe::{Report, Stdio};
use leasepipe::stage::cccf_host;

/// Changes or containers → the same with a host: the least busy one
///
/// A container that has a host keeps it, and so does one that goes. A new one goes to the active
/// host with the fewest containers; among equals, to the first in the file. What counts is what a
/// host record says of its use and what passes through, which cccf-diff writes in the order that
/// this needs: removals, what stays, what is new.
#[derive(clap::Parser)]
#[command(name = "cccf-host", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// File with host records [default: this machine's own engine, called "local"]
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  cccf-diff --current <(docker-cccf --owner edge) < app.json | cccf-host --hosts hosts.json";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let placer = Placer::new(cccf_host::hosts(args.hosts.as_deref())?)?;
    cccf_host::run(Stdio::open(report, args.show.table)?, placer)
}
