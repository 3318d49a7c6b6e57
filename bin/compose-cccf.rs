//! compose-cccf: compose files → containers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Show};
use leasepipe::error::Result;
use leasepipe::logic::compose::{PROJECT, is_project};
use leasepipe::pipe::{Output, Report};
use leasepipe::record::Owner;
use leasepipe::stage::compose_cccf::{self, Options};

/// Compose files → containers, one for each service
///
/// Reads files of the Compose Specification, as docker compose takes them, and writes the containers
/// that they ask for, each behind those that it depends on, and a checkpoint. Several files are laid
/// over one another in their order. Variables, profiles, extends, include, anchors and merge keys
/// are followed. A FILE of "-" is standard input.
///
/// Each thing in the files that has no counterpart is told on standard error. A service that cannot
/// be made into a container is told and left out, and the checkpoint is partial then.
#[derive(Parser)]
#[command(name = "compose-cccf", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// The compose files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Name of the project [default: the files' name, or their directory's]
    #[arg(long, value_name = "NAME", value_parser = project)]
    project: Option<String>,
    /// Directory that relative paths in the files are of [default: that of the first file]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Include the services of this profile; "*" means all
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,
    /// Only this service and those that it depends on
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Set a variable of the files; without a value, to that of this process
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    environment: Vec<(String, Option<String>)>,
    /// File with variables, a NAME=VALUE on each line
    #[arg(long = "env-file", value_name = "FILE")]
    environment_files: Vec<PathBuf>,
    /// Take all variables of this process
    #[arg(long)]
    inherit: bool,
    /// Owner of the containers
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Write nothing when something has no counterpart
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  compose-cccf --owner shop compose.yaml | cccf-diff --current <(docker-cccf --owner shop)";

fn project(text: &str) -> Result<String, String> {
    is_project(text).then(|| text.to_owned()).ok_or_else(|| format!("not {PROJECT}"))
}

fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v.to_owned())));
    if name.is_empty() { Err("no name".to_owned()) } else { Ok((name.to_owned(), value)) }
}

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let options = Options {
        files: args.files,
        directory: args.directory,
        project: args.project,
        environment: args.environment,
        inherit: args.inherit,
        environment_files: args.environment_files,
        profiles: args.profiles,
        services: args.services,
        owner: args.owner,
        strict: args.strict,
    };
    compose_cccf::run(Output::stdout(args.show.table)?, report, &options)
}
