//! cccf-scale: one document for many containers → the many, and back.

use std::process::ExitCode;

use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::logic::scale::Limits;
use leasepipe::pipe::{Report, Stdio};
use leasepipe::stage::cccf_scale::{self, Way};

/// Containers → as many of each as its scale says, or one of each again
///
/// A container with scale N comes out as it is, and behind it its replicas, which have the names
/// ID-scale-1 to ID-scale-(N-1), no scale, and the name of their base in scaled_from. Replicas that
/// come in are not scaled: their base decides which there are. In a stream that goes on, replicas
/// that are wanted no more are told as absent.
#[derive(clap::Parser)]
#[command(name = "cccf-scale", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Leave out the replicas instead: one document for each base
    #[arg(long)]
    down: bool,
    /// The most containers that one document may stand for
    #[arg(long, value_name = "N", default_value = "10000", conflicts_with = "down")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// Let replicas publish the same ports, for each gets a host of its own
    #[arg(long, conflicts_with = "down")]
    same_ports: bool,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  cccf-scale < wanted.json | cccf-diff --current <(docker-cccf --owner edge) | container-run";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let limits = Limits { max: args.max, same_ports: args.same_ports };
    let way = if args.down { Way::Down } else { Way::Up(limits) };
    cccf_scale::run(Stdio::open(report, args.show.table)?, way)
}
