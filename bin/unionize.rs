//! unionize: plugs containers into a bridge and gives them addresses there.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use leasepipe::adapter::ovs;
use leasepipe::cli::{self, Jobs, Show, Span};
use leasepipe::error::Result;
use leasepipe::pipe::{Output, Report};
use leasepipe::stage::unionize::{self, Named, Upkeep, Wanted};

/// Changes → the same, plugged in: a bridge port and an address for each
///
/// Makes sure that each container has an interface and an address in the bridge, or in each of those
/// that its document names, and writes it out with what is known of them. A removal takes all of it
/// away again. What failed is undone and goes on with status "failed" and an error.
#[derive(Parser)]
#[command(name = "unionize", version, after_long_help = EXAMPLE)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
pub enum Command {
    /// Leases held → changes: renew the leases that are due, once or for ever, and write out their containers
    Renew {
        #[command(flatten)]
        renewal: unionize::Renewal,
        #[command(flatten)]
        common: Common,
    },
    /// Attachments → records: what is held, until when
    List {
        #[command(flatten)]
        listing: unionize::Listing,
        #[command(flatten)]
        show: Show,
    },
}

#[derive(clap::Args)]
pub struct Common {
    /// Give up on a container after this time
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Span,
    /// Remember attachments in this directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/leasepipe/attachments")]
    state: PathBuf,
    /// Reach the database of Open vSwitch through this socket
    #[arg(long, value_name = "SOCKET", hide_short_help = true, default_value = ovs::SOCKET)]
    ovs: PathBuf,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    show: Show,
}

impl Common {
    fn upkeep(&self) -> Upkeep {
        let (state, ovs) = (self.state.clone(), self.ovs.clone());
        Upkeep { timeout: self.timeout.0, state, ovs, dry_run: self.dry_run }
    }
}

const EXAMPLE: &str = "Example:\n  docker-cccf --owner edge | unionize --bridge br1 --table";

fn main() -> ExitCode {
    cli::main(work)
}

fn work(args: Args, report: &Report) -> Result<()> {
    match args.command {
        Some(Command::Renew { renewal, common }) => {
            let output = Output::stdout(common.show.table)?;
            unionize::renew(&common.upkeep(), renewal, common.jobs.concurrency, output, report)
        }
        Some(Command::List { listing, show }) => {
            unionize::list(&listing, Output::stdout(show.table)?, report)
        }
        None => {
            let Args { named, wanted, common, .. } = args;
            let (upkeep, jobs) = (common.upkeep(), common.jobs.concurrency);
            unionize::run(&named, wanted, &upkeep, jobs, common.show.table, report)
        }
    }
}
