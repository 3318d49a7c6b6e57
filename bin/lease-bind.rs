//! lease-bind: changes with addresses → bindings, a reservation and a ledger; and what they answer.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli::{self, Asked, Keep, Show};
use leasepipe::error::Result;
use leasepipe::pipe::{Output, Report, Stdio};
use leasepipe::record::{EtcdUrl, Hostname};
use leasepipe::stage::lease_bind::{self, Kept, Naming, Options, Protect, Reserve};

/// Changes → bindings: whose container has which address, written down
///
/// A container that is there, has a lease and has an address becomes a binding: it is entered in the
/// ledger, its address is reserved for it in the DHCP server, and a binding record is written instead
/// of the change. A container that goes has its reservation removed and its binding closed. At the
/// checkpoint behind a full listing of changes, what is open and was not listed is closed as well.
/// Records that failed before are left alone and passed on.
///
/// With --names a container is known in the DNS by its client's name, which no other client can take.
/// With --store bindings are kept in an etcd that several machines share.
///
/// What is written down can be asked for: whose an address is or was, what a client has, what holds,
/// and what has been. The ledger is an SQLite file that explains itself (SELECT * FROM about); what
/// ended long ago is deleted from it.
#[derive(clap::Parser)]
#[command(name = "lease-bind", version, after_long_help = EXAMPLE, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    asked: Option<Asked<Where>>,
    #[command(flatten)]
    kept: Where,
    /// Where addresses are reserved for containers
    #[arg(long, value_name = "dnsmasq:DIR|kea:PLACE|none", default_value = "none")]
    reserve: Reserve,
    #[command(flatten)]
    names: Names,
    /// Delete bindings that ended longer ago, or none of them
    #[arg(long, value_name = "TIME|none", default_value = "365d")]
    retain: Keep,
    #[command(flatten)]
    show: Show,
}

/// Where bindings are kept.
#[derive(clap::Args)]
pub struct Where {
    /// The ledger: the SQLite file that bindings are kept in
    #[arg(long, value_name = "FILE", default_value = "/var/lib/leasepipe/ledger.db")]
    ledger: PathBuf,
    /// An etcd to keep bindings in instead, for several machines
    #[arg(long, value_name = "etcd://HOST:PORT[,…][/PREFIX]", conflicts_with = "ledger")]
    store: Option<EtcdUrl>,
}

/// What containers are called.
#[derive(clap::Args)]
pub struct Names {
    /// Name containers after their clients, in this hostsdir of dnsmasq
    #[arg(long, value_name = "DIR")]
    names: Option<PathBuf>,
    /// Let names be known in this domain, too
    #[arg(long, value_name = "NAME", requires = "names")]
    domain: Option<Hostname>,
    /// Give nobody these names (with * and ?), or those in a file
    #[arg(long, value_name = "NAMES|FILE", requires = "names")]
    protect: Vec<Protect>,
}

const EXAMPLE: &str = "Example:
  unionize --bridge br1 < changes.json | lease-bind --reserve dnsmasq:/etc/leasepipe/hosts.d
  lease-bind who fd00:1::15e --at 2026-11-21T12:00:00Z --table";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    if let Some(asked) = args.asked {
        let (question, client, answer) = asked.parts();
        let output = Output::stdout(answer.show.table)?;
        return lease_bind::ask(&answer.kept.into(), question, client.as_ref(), output);
    }
    let Names { names, domain, protect } = args.names;
    let options = Options {
        kept: args.kept.into(),
        reserve: args.reserve,
        naming: names.map(|directory| Naming { directory, domain, protect }),
        retain: args.retain.0,
    };
    lease_bind::run(Stdio::open(report, args.show.table)?, &options)
}

impl From<Where> for Kept {
    fn from(place: Where) -> Kept {
        place.store.map_or(Kept::Ledger(place.ledger), Kept::Etcd)
    }
}
