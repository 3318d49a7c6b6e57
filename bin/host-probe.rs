//! host-probe: hosts in, the same out with what their engines say.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Reach, Show, Span};
use leasepipe::error::Result;
use leasepipe::pipe::Report;
use leasepipe::record::HostsAt;
use leasepipe::stage::engines;
use leasepipe::stage::host_probe::{self, Follow, Options, Prober};

/// Hosts → the same: which are up, what they have, and what is in use
///
/// Asks the engine of each host record and writes the record out with "state" active or down, and
/// why; with its capacity, where it names none; with what is in use, the engine's version, labels,
/// processor and system; and with how long it took to answer. Each is written as soon as it has
/// answered, or has not within --timeout. A host that drains goes on draining.
///
/// With --hosts or --follow all of the hosts are taken together, and a checkpoint says that these
/// were all. With --follow they are asked again every --interval, those that are down less often,
/// and each is written again when something has changed; so is all of the file of --write, for
/// programs that place containers.
#[derive(Parser)]
#[command(name = "host-probe", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Host records, in a file or in an etcd [default: the records of standard input]
    #[arg(long, value_name = "FILE|etcd://…")]
    hosts: Option<HostsAt>,
    /// Give up on a host after this time
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Span,
    /// Ask up to N hosts at the same time
    #[arg(long, value_name = "N", default_value = "64")]
    concurrency: NonZeroUsize,
    /// Go on, and write what changes
    #[arg(long)]
    follow: bool,
    /// With --follow, ask again this often
    #[arg(long, value_name = "TIME", default_value = "30s")]
    interval: Span,
    /// With --follow, call a host down that has answered before only when it has not for so long [default: --timeout and twice --interval]
    #[arg(long, value_name = "TIME", requires = "follow")]
    grace: Option<Span>,
    /// Write the whole list to FILE as well, anew whenever something has changed
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  cccf-host --hosts <(host-probe --hosts hosts.json) < changes.json | container-run";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let (every, timeout) = (args.interval.0, args.timeout.0);
    let grace = args.grace.map_or_else(|| Follow::usual_grace(every, timeout), |grace| grace.0);
    let follow = Follow { every, grace };
    let options = Options {
        hosts: args.hosts,
        prober: Prober { reach: engines::Reach::new(args.reach.insecure), timeout },
        most: args.concurrency,
        follow: args.follow.then_some(follow),
        write: args.write,
    };
    host_probe::run(report, args.show.table, options)
}
