//! lease-bind: changes with addresses → bindings, a reservation and a ledger.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::pipe::{Report, Stdio};
use leasepipe::stage::lease_bind::{self, Reserve};

/// Changes → bindings: whose container has which address, written down
///
/// A container that is there, has a lease and has an address becomes a binding: it is entered in the
/// ledger, its address is reserved for it in the DHCP server, and a binding record is written instead
/// of the change. A container that goes has its reservation removed and its binding closed. At the
/// checkpoint behind a full listing of changes, what is open and was not listed is closed as well.
/// Records that failed before are left alone and passed on.
///
/// The ledger is an SQLite file: table bindings, and view current_bindings of those that are open.
///
/// dnsmasq needs dhcp-hostsdir=DIR, and the right to read what is in it. It takes up new and changed
/// reservations by itself, and an ended one is not honoured from then on; but the address of an ended
/// one is given to nobody else by chance until dnsmasq gets SIGHUP or is started anew.
#[derive(clap::Parser)]
#[command(name = "lease-bind", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// The ledger, begun if it is not there
    #[arg(long, value_name = "FILE", default_value = "/var/lib/leasepipe/ledger.db")]
    ledger: PathBuf,
    /// Where addresses are reserved for containers
    #[arg(long, value_name = "dnsmasq:DIR|none", default_value = "none")]
    reserve: Reserve,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  unionize --bridge br1 < changes | lease-bind --reserve dnsmasq:/var/lib/leasepipe/reserved
  sqlite3 -table /var/lib/leasepipe/ledger.db 'SELECT * FROM current_bindings'";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    lease_bind::run(Stdio::open(report, args.show.table)?, &args.ledger, &args.reserve)
}
