//! cccf-host: changes or containers → the same, each with the host it goes to.

use std::process::ExitCode;

use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::logic::place::{How, Strategy};
use leasepipe::pipe::{Report, Stdio};
use leasepipe::record::HostsAt;
use leasepipe::stage::cccf_host::{self, Tell};

/// Changes or containers → the same with a host that has what each needs
///
/// A container that has a host keeps it, unless the host drains or is down. A new one goes to a
/// host that is active, has what it needs free, and meets its constraints; among those the strategy
/// decides. What counts is what a host record says of its use and what passes through, which
/// cccf-diff writes in the order that this needs: removals, what stays, what is new.
#[derive(clap::Parser)]
#[command(name = "cccf-host", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Host records, in a file or in an etcd [default: this machine's own engine, called "local"]
    #[arg(long, value_name = "FILE|etcd://…")]
    hosts: Option<HostsAt>,
    /// What decides between hosts that fit: least-busy, spread, binpack, random, round-robin or
    /// fixed
    #[arg(long, value_name = "NAME", default_value_t)]
    strategy: Strategy,
    /// Where the random numbers of --strategy random begin
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Move containers that could stay to where the strategy would put them
    #[arg(long)]
    rebalance: bool,
    /// Move at most N of them
    #[arg(long, value_name = "N", default_value = "10", requires = "rebalance")]
    max_moves: usize,
    /// Tell why each container goes where it does, instead of sending it there
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  cccf-diff --current <(docker-cccf --owner edge) < wanted.json | cccf-host --hosts hosts.json";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let how = How {
        strategy: args.strategy,
        seed: args.seed,
        moves: args.rebalance.then_some(args.max_moves),
    };
    let hosts = args.hosts.unwrap_or_else(HostsAt::local);
    let tell = match (args.explain, args.show.table) {
        (true, _) => Tell::Reasons,
        (false, true) => Tell::Table,
        (false, false) => Tell::Records,
    };
    cccf_host::run(Stdio::open(report, args.show.table)?, &hosts, how, tell)
}
