//! host-add: a machine with an engine becomes a host record.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Reach, Show, Span};
use leasepipe::error::Result;
use leasepipe::pipe::{Output, Report};
use leasepipe::record::HostsAt;
use leasepipe::stage::engines;
use leasepipe::stage::host_add::{self, Labelled, Options};
use leasepipe::stage::host_probe::Prober;

/// A URL → host record: check an engine and enter its host into a list
///
/// Connects to the engine at URL, and only if it answers enters its host into the list of --hosts,
/// in one step: everybody who reads it finds the old list or the new one. What is missing on
/// that host is told on standard error, a line for each. The record is written to standard output,
/// with what its engine says, as host-probe writes it.
#[derive(Parser)]
#[command(name = "host-add", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// The engine: unix:///PATH, tcp://HOST:PORT, ssh://USER@HOST:PORT/PATH (of which HOST is enough) or context:NAME
    #[arg(value_name = "URL")]
    url: String,
    /// File with host records, which is made if it is not there, or an etcd that several machines share
    #[arg(long, value_name = "FILE|etcd://…")]
    hosts: HostsAt,
    /// What the host is called [default: the host or context that URL names, or "local"]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// A label of the host; may be given more than once
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Labelled>,
    /// Directory with ca.pem, cert.pem and key.pem for an engine at tcp://
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
    /// Change the host of that name if it is there
    #[arg(long)]
    replace: bool,
    /// Give up on the engine after this time
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Span,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  host-add --hosts hosts.json --label zone=eu ssh://ops@north.example | jq .used";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let options = Options {
        url: args.url,
        hosts: args.hosts,
        id: args.id,
        labels: args.labels,
        tls: args.tls,
        replace: args.replace,
        prober: Prober { reach: engines::Reach::new(args.reach.insecure), timeout: args.timeout.0 },
    };
    host_add::run(Output::stdout(args.show.table)?, report, options)
}
