//! lease-cccf: leases → the containers that their clients should have.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::pipe::{Report, Stdio};
use leasepipe::record::Owner;
use leasepipe::stage::lease_cccf;

/// Leases → containers: fills a CCCF template for each client
///
/// Reads lease records and writes the containers that the clients should have: the template's, once
/// for each client with a DHCPv6 address. A string of the template may hold ${lease.NAME}, or
/// ${lease.NAME:-DEFAULT} for what a client may lack; $${ stands for ${ itself. Substitution is
/// done on the parsed template, so nothing that a client sends can add a field or leave its string.
///
/// The names are address, duid, family, hostname, iaid, key, mac, name, prefix_len, source and
/// type. lease.name is the client's host name and its key, and is appended to an id that holds
/// neither lease.key nor lease.name.
#[derive(clap::Parser)]
#[command(name = "lease-cccf", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// File with the container documents that each client gets: cccf(5)
    #[arg(long, value_name = "FILE")]
    template: PathBuf,
    /// Owner of the containers, where the template names none
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  lease-watch --source dnsmasq:/var/lib/misc/dnsmasq.leases | lease-cccf --template app.json";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let template = lease_cccf::template(&args.template, args.owner.as_ref())?;
    lease_cccf::run(Stdio::open(report, args.show.table)?, &template)
}
