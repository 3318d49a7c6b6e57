//! lease-cccf: leases → the containers that their clients should have.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgGroup;
use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::logic::caps::{Caps, PerPrefix};
use leasepipe::pipe::{Report, Stdio};
use leasepipe::record::Owner;
use leasepipe::stage::lease_cccf::{self, Wanted};

/// Leases → containers: fills a CCCF template for each client
///
/// Reads lease records and writes the containers that the clients should have: those of the first
/// rule that matches, once for each client with a DHCPv6 address or prefix. A string of a template
/// may hold ${lease.NAME}, or ${lease.NAME:-DEFAULT} for what a client may lack; $${ stands for ${
/// itself. Substitution is done on the parsed template, so nothing that a client sends can add a
/// field or leave its string.
///
/// The names are address, duid, family, hostname, iaid, key, mac, name, prefix, prefix_address,
/// prefix_len, source and type. lease.name is the client's host name and its key, and is appended
/// to an id that holds neither lease.key nor lease.name.
#[derive(clap::Parser)]
#[command(name = "lease-cccf", version, after_long_help = EXAMPLE)]
#[command(group = ArgGroup::new("what").args(["template", "rules"]).required(true).multiple(true))]
#[command(group = ArgGroup::new("caps").args(["max_clients", "max_per_prefix"]).multiple(true))]
pub struct Args {
    /// File with the container documents that each client gets whom no rule matches: cccf(5)
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// File with rules: which template is for which client
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Put the containers that a client gets from --template into a network of their own
    #[arg(long, requires = "template")]
    private_network: bool,
    /// Owner of the containers, where the template names none
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// The most clients that have containers at a time
    #[arg(long, value_name = "N")]
    max_clients: Option<usize>,
    /// The most clients whose addresses have the same first bits: N, or N/LEN for other than 64 of them
    #[arg(long, value_name = "N[/LEN]")]
    max_per_prefix: Option<PerPrefix>,
    /// What is there, as docker-cccf lists it: its clients keep their places under the caps
    #[arg(long, value_name = "FILE", requires = "caps")]
    current: Option<PathBuf>,
    /// Tell which rule matches each client and why, instead of its containers
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  lease-watch --source dnsmasq:/var/lib/misc/dnsmasq.leases | lease-cccf --template app.json";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let wanted = Wanted {
        rules: args.rules,
        template: args.template,
        private_network: args.private_network,
        owner: args.owner,
        caps: Caps { clients: args.max_clients, per_prefix: args.max_per_prefix },
        current: args.current,
        explain: args.explain,
    };
    let options = wanted.read(report)?;
    lease_cccf::run(Stdio::open(report, args.show.table)?, options)
}
