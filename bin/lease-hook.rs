//! lease-hook: what a DHCP server tells of one lease → the spool that lease-watch reads.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli;
use leasepipe::error::Result;
use leasepipe::pipe::Report;
use leasepipe::stage::lease_hook::{Call, run};

/// An event of a DHCP server → a spool that lease-watch reads
///
/// Called by the server for each event: by dnsmasq as its dhcp-script, by Kea through its hooks library
/// run_script. What is told of a lease is left in a directory, one file for each address or prefix, so
/// it does not matter whether lease-watch runs. The server never sees a failure: whatever goes wrong with
/// an event is told on standard error, and the exit status is 0.
///
/// Under leasefile-ro of dnsmasq the spool is the server's lease database. When the server starts it
/// calls for init, and all leases are written in the form of its lease file. If the spool cannot be read
/// then, the exit status says so and dnsmasq does not start: without it it would forget every lease.
#[derive(clap::Parser)]
#[command(name = "lease-hook", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// The spool, a directory; made if only it is missing
    #[arg(
        long,
        value_name = "DIR",
        env = "LEASEPIPE_SPOOL",
        hide_env_values = true,
        default_value = "/var/lib/leasepipe/leases"
    )]
    spool: PathBuf,
    /// What happened, as the server says it. For dnsmasq init, or add, old or del and behind it the
    /// DUID or hardware address, the address, and the host name; for Kea a hook point. Anything else
    /// is ignored
    #[arg(
        value_name = "ACTION",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,
}

const EXAMPLE: &str = "Example:
  dnsmasq --dhcp-script=/usr/local/bin/lease-hook …
  lease-watch --source dnsmasq-script:/var/lib/leasepipe/leases --follow --table";

fn main() -> ExitCode {
    cli::main(work)
}

fn work(args: Args, report: &Report) -> Result<()> {
    run(&Call { spool: args.spool, words: args.words }, report)
}
