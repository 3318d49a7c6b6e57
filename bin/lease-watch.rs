//! lease-watch: the leases of a DHCP server → lease records.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli::{self, Every, Show, Span};
use leasepipe::error::Result;
use leasepipe::logic::leases::KeyBy;
use leasepipe::pipe::Report;
use leasepipe::stage::lease_watch::{Options, SourceName, run};

/// DHCP servers → leases: what is leased, and what becomes of it
///
/// Lists every lease that has not ended, then writes a checkpoint. With --follow it goes on with what
/// becomes of them: add, renew, change, expire, release, decline.
///
/// A source is KIND:WHERE. dnsmasq:FILE and odhcpd:FILE are the lease files of these servers, kea:FILE
/// is Kea's (memfile) and isc:FILE that of ISC dhcpd. kea-socket:PATH or kea-socket:http://HOST:PORT/ is
/// a running Kea that is asked. dnsmasq-script:DIR and kea-script:DIR are what lease-hook has left.
///
/// A source that is down, gone, or cannot be read whole is unknown, and not empty: nothing ends by it,
/// and no checkpoint closes its listing. Text that cannot be read is told and passed over, and every
/// other lease is served; but it may stand for anybody's lease, so until all of it could be read
/// listings are partial, and after that a lease that is missing beside it is kept.
#[derive(clap::Parser)]
#[command(name = "lease-watch", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Where leases are; may be given several times
    #[arg(long, value_name = "KIND:WHERE", required = true)]
    source: Vec<SourceName>,
    /// What makes two DHCPv6 leases one client's
    #[arg(long, value_name = "WHAT", default_value = "duid-iaid")]
    key: Key,
    /// Go on with changes after the listing
    #[arg(long)]
    follow: bool,
    /// With --follow, list everything again this often; "none" for never
    #[arg(long, value_name = "TIME", default_value = "5m")]
    resync: Every,
    /// Hold an end of lease back for so long, for its client to come back
    #[arg(long, value_name = "TIME", default_value = "0s")]
    grace: Span,
    /// Remember here what was told, and tell what became of it since then
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How often to ask a server that does not tell of changes by itself (kea-socket)
    #[arg(long, value_name = "TIME", default_value = "5s")]
    poll: Span,
    /// How long to wait for a source to be whole
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Span,
    #[command(flatten)]
    show: Show,
}

/// What makes two DHCPv6 leases one client's.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Key {
    /// The DUID and the number of the identity association
    DuidIaid,
    /// The DUID alone, for clients that take a new number at each start
    Duid,
}

const EXAMPLE: &str = "Example:
  lease-watch --source dnsmasq:/var/lib/misc/dnsmasq.leases | lease-cccf --template app.json";

fn main() -> ExitCode {
    cli::main(work)
}

fn work(args: Args, report: &Report) -> Result<()> {
    let options = Options {
        sources: args.source,
        key_by: match args.key {
            Key::DuidIaid => KeyBy::DuidIaid,
            Key::Duid => KeyBy::Duid,
        },
        follow: args.follow,
        resync: args.resync.0,
        poll: args.poll.0,
        timeout: args.timeout.0,
        grace: args.grace.0,
        state: args.state,
        table: args.show.table,
    };
    run(&options, report)
}
