//! unionize: plugs containers into a bridge and gives them addresses there.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use leasepipe::cli::{self, Jobs, Show, Span};
use leasepipe::error::Result;
use leasepipe::pipe::{Output, Report, Stdio};
use leasepipe::record::Ifname;
use leasepipe::stage::changes::serve;
use leasepipe::stage::unionize::{Addressing, Dad, Given, Options, Unionize, Upkeep, renew};

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
    /// Plug containers into this bridge, unless their documents name others in networks
    #[arg(long, value_name = "NAME")]
    bridge: Option<Ifname>,
    /// Where an address comes from: dhcp6, none, or ADDRESS/LENGTH, with @ROUTER behind it for a default route
    #[arg(long, value_name = "SOURCE", default_value = "dhcp6")]
    address: Vec<Given>,
    /// Name of the first interface inside the container [default: eth0, or the next that is not Docker's]
    #[arg(long, value_name = "NAME")]
    interface: Option<Ifname>,
    /// Largest packet on the interface [default: the bridge's]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1280..=65535))]
    mtu: Option<u32>,
    /// How to find out whether another station has the address
    #[arg(long, value_name = "MODE", value_enum, default_value = "optimistic")]
    dad: Dad,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
pub enum Command {
    /// Leases held → changes: renew the leases that are due, once, and write out their containers
    Renew {
        /// Also renew leases whose time has not come
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: Common,
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
        Upkeep { timeout: self.timeout.0, state: self.state.clone(), dry_run: self.dry_run }
    }
}

const EXAMPLE: &str = "Example:\n  docker-cccf --owner edge | unionize --bridge br1 --table";

fn main() -> ExitCode {
    cli::main(work)
}

fn work(args: Args, report: &Report) -> Result<()> {
    if let Some(Command::Renew { all, common }) = args.command {
        let output = Output::stdout(common.show.table)?;
        return renew(&common.upkeep(), all, common.jobs.concurrency, output, report);
    }
    let options = Options {
        bridge: args.bridge,
        interface: args.interface,
        addressing: Addressing::of(&args.address)?,
        mtu: args.mtu,
        dad: args.dad,
    };
    let unionize = Unionize::new(options, &args.common.upkeep(), report)?;
    let Common { jobs, show, .. } = args.common;
    serve(Stdio::open(report, show.table)?, jobs.concurrency, &unionize)
}
