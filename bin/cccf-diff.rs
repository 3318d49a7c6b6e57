//! cccf-diff: what is wanted, and what is there → what is to be done.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli::{self, Show, Span};
use leasepipe::error::Result;
use leasepipe::logic::diff::Ignored;
use leasepipe::logic::reconcile::{MaxRemove, Policy};
use leasepipe::pipe::{Report, Stdio};
use leasepipe::record::Owner;
use leasepipe::stage::cccf_diff::{self, Format, Sides};

/// Containers, wanted and there → changes: add, remove, replace, keep
///
/// Compares the containers on standard input with those that --current tells of. Each listing,
/// closed by a checkpoint, is compared in full; what comes behind it is one container's news. A
/// stream that ends without a checkpoint may have lost its tail, so nothing is removed by it.
///
/// When both sides follow, this is the reconcile loop: a change is asked for once, and again only
/// when the current side has not shown its effect within --settle, later each time. A container
/// that is killed or removed by hand comes back.
///
/// Containers without an owner were not made by the suite and are never removed or replaced.
#[derive(clap::Parser)]
#[command(name = "cccf-diff", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// What is there: a file, or a stream such as <(docker-cccf --owner NAME --follow)
    #[arg(long, value_name = "FILE")]
    current: PathBuf,
    /// Take the end of standard input for the end of a full listing
    #[arg(long)]
    complete: bool,
    /// Consider only this owner's containers; without it, every owner's
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Refuse a listing that would remove more containers, or of four and more a larger share
    #[arg(long, value_name = "N|N%", default_value = "50%")]
    max_remove: MaxRemove,
    /// Remove however many a listing leaves out
    #[arg(long)]
    force: bool,
    /// Ask again for a change that does not show within this time, then later each time
    #[arg(long, value_name = "TIME", default_value = "30s")]
    settle: Span,
    /// Do not compare this field; a container that is kept keeps what it has there
    #[arg(long, value_name = "FIELD")]
    ignore: Vec<String>,
    /// End with 1 when anything is to be added, replaced or removed
    #[arg(long)]
    exit_code: bool,
    /// Write changes in this form
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "records",
        conflicts_with = "table"
    )]
    format: Format,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  lease-watch --source dnsmasq:FILE --follow | lease-cccf --template app.json \\
    | cccf-diff --current <(docker-cccf --owner edge --follow)";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let policy = Policy {
        settle: args.settle.0,
        max_remove: args.max_remove,
        force: args.force,
        owner: args.owner,
        ignored: Ignored::new(args.ignore),
    };
    let sides = Sides { current: &args.current, complete: args.complete };
    let differs =
        cccf_diff::run(Stdio::open(report, args.show.table)?, &sides, policy, args.format)?;
    if differs && args.exit_code {
        report.answer_no();
    }
    Ok(())
}
