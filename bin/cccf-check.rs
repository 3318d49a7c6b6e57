//! cccf-check: whether container documents are right.

use std::path::PathBuf;
use std::process::ExitCode;

use leasepipe::cli;
use leasepipe::error::Result;
use leasepipe::pipe::Report;
use leasepipe::stage::cccf_check;

/// Containers → the same without the bad ones, of which all is told
///
/// Reads containers, passes on those that are right, and tells of each bad one where it stands and
/// everything that is wrong with it: fields that cannot be read, fields that do not go together,
/// names that the kernel and the engine do not have, and ids that stand twice. Other records pass
/// through; the containers of changes are checked, too.
#[derive(clap::Parser)]
#[command(name = "cccf-check", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Files to read; - is standard input, which is read when none is given
    #[arg(value_name = "FILE", conflicts_with_all = ["schema", "random"])]
    files: Vec<PathBuf>,
    /// Refuse fields that this version does not know
    #[arg(long)]
    strict: bool,
    /// Print the JSON Schema (2020-12) of container documents
    #[arg(long, conflicts_with = "random")]
    schema: bool,
    /// Print N containers that somebody could have
    #[arg(long, value_name = "N", conflicts_with = "strict")]
    random: Option<u64>,
    /// Which N containers; the same for the same number
    #[arg(long, value_name = "S", default_value = "0", requires = "random")]
    seed: u64,
}

const EXAMPLE: &str = "Example:
  cccf-check --strict app.json | cccf-diff --current <(docker-cccf --owner edge)";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    match args.random {
        Some(count) => cccf_check::random(count, args.seed),
        None if args.schema => cccf_check::schema(args.strict),
        None => cccf_check::run(&args.files, args.strict, report),
    }
}
