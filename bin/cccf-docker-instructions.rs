//! cccf-docker-instructions: containers and changes → docker commands for a shell.

use std::process::ExitCode;

use clap::ValueEnum;
use leasepipe::cli;
use leasepipe::error::{Error, Kind, Result};
use leasepipe::logic::instructions::Command;
use leasepipe::pipe::Report;
use leasepipe::record::Owner;
use leasepipe::stage::cccf_docker_instructions::{self as stage, Options};

/// Containers or changes → docker commands for a shell, or a compose file
///
/// Writes one line for each container or change: the docker commands that do what it asks, every
/// word quoted so that a POSIX shell reads exactly what the document says. Nothing is run. What a
/// line cannot say is told on standard error.
///
/// A change gives what its action asks for: run for add, removal for remove, both for replace, and
/// nothing for keep unless the container does not run. A container without a change around it gives
/// what --command says.
#[derive(clap::Parser)]
#[command(name = "cccf-docker-instructions", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// What docker is to do with containers that no change is around
    #[arg(long, value_enum, value_name = "COMMAND", default_value = "run")]
    command: Command,
    /// Write lines for a shell, or one compose file
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "shell")]
    format: Format,
    /// End each line with a NUL instead of a newline, for xargs -0
    #[arg(long)]
    print0: bool,
    /// Make the containers that name no owner this one's, known to the suite as its own
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Leave this field out of every document; may be given several times
    #[arg(long, value_name = "FIELD")]
    without: Vec<String>,
    /// Name no engine: leave the hosts out
    #[arg(long)]
    no_host: bool,
    /// Have docker stay with each container that it starts, without -d
    #[arg(long)]
    foreground: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// a line for each container or change
    Shell,
    /// one file with the containers that are wanted
    Compose,
}

const EXAMPLE: &str = "Example:
  cccf-diff --current <(docker-cccf --owner edge) --complete < wanted.json \\
    | cccf-docker-instructions --owner edge --print0 | xargs -0 -n1 sh -c";

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let usage = |what: &str| Err(Error::new(Kind::Usage, what));
    if let Some(field) = args.without.iter().find(|field| ["id", "image"].contains(&&***field)) {
        return usage(&format!("--without {field}: there is no container without it"));
    }
    let (detach, hosts) = (!args.foreground, !args.no_host);
    let options =
        Options { command: args.command, detach, hosts, owner: args.owner, without: args.without };
    match args.format {
        Format::Shell => stage::lines(report, &options, if args.print0 { 0 } else { b'\n' }),
        Format::Compose if args.print0 || args.foreground || args.command != Command::Run => {
            usage("--print0, --foreground and --command are for lines, not for a compose file")
        }
        Format::Compose => stage::compose(report, &options),
    }
}
