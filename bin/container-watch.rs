//! container-watch: what happens to the containers of Docker hosts.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Hosts, Reach, Show, Span};
use leasepipe::error::{Error, Kind, Result};
use leasepipe::logic::watch::Loops;
use leasepipe::pipe::{Output, Report};
use leasepipe::record::Owner;
use leasepipe::stage::container_watch::{self, Options};
use leasepipe::stage::docker_cccf::Label;
use leasepipe::stage::engines;

/// Docker hosts → events: what happens to containers, and what they use
///
/// Writes one event for each container that says how it stands, then a checkpoint. With --follow it
/// goes on with what happens: what is made, started, killed, ends, and why; health; memory that ran
/// out; restarts that lead nowhere; hosts that go down and come back. A broken connection is made
/// again, and what happened meanwhile is found by looking and told as a gap.
#[derive(Parser)]
#[command(name = "container-watch", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Consider only this owner's containers; without it, everybody's
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Consider only containers with this label; with all of them, if it is given more than once
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    labels: Vec<Label>,
    #[command(flatten)]
    hosts: Hosts,
    #[command(flatten)]
    reach: Reach,
    /// Go on with what happens
    #[arg(long)]
    follow: bool,
    /// Write containers that are to be plugged in here instead, for unionize
    #[arg(long, conflicts_with_all = ["hosts", "stats", "metrics"])]
    local: bool,
    /// Tell also what containers use; with --follow, so often
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "15s")]
    stats: Option<Span>,
    /// Write metrics to FILE, for the textfile collector of Prometheus's node_exporter
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Call a container looping that ends by itself N times within TIME; "none" for never
    #[arg(long = "loop", value_name = "N/TIME", default_value = "3/5m", value_parser = looping)]
    loops: Looping,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  container-watch --follow --hosts hosts.json | jq -c 'select(.what == \"die\" and .looping)'";

#[derive(Clone, Copy, Debug)]
struct Looping(Option<Loops>);

fn looping(text: &str) -> Result<Looping, leasepipe::record::NotA> {
    if text == "none" { Ok(Looping(None)) } else { text.parse().map(|loops| Looping(Some(loops))) }
}

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let stats = args.stats.map(|Span(every)| every);
    if stats.is_some_and(|every| every.as_secs() < 1) {
        return Err(Error::new(Kind::Usage, "--stats").why("engines sample once a second at most"));
    }
    let hosts = args.hosts.at();
    let (follow, labels, metrics) = (args.follow, args.labels, args.metrics);
    let reach = engines::Reach::new(args.reach.insecure);
    let (owner, loops) = (args.owner, args.loops.0);
    let options = Options { hosts, reach, owner, labels, follow, stats, metrics, loops };
    let output = Output::stdout(args.show.table)?;
    match args.local {
        true => container_watch::landing(output, report, options),
        false => container_watch::run(output, report, options),
    }
}
