//! image-ship: changes in, the same changes out, their images on their hosts.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use leasepipe::cli::{self, Reach, Registries, Show, Span};
use leasepipe::error::Result;
use leasepipe::pipe::{Report, Stdio};
use leasepipe::record::{Image, Rate};
use leasepipe::stage::engines;
use leasepipe::stage::image_ship::{self, From, Options};

/// Changes → the same, when each host has the images that it needs
///
/// Reads changes and containers from standard input, makes sure that the host of each one that is to
/// be added or replaced has its image, and writes the record. A record whose image cannot be had goes
/// on with status "failed" and an error. Hosts are given the images that --image names.
///
/// A host that lacks an image fetches it from its registry, or, with --from, is sent it by an engine
/// that has it. Then the engine reads it out once for all hosts that wait, each gets only the layers
/// that it lacks, and each host that has got it can hand it on.
#[derive(Parser)]
#[command(name = "image-ship", version, after_long_help = EXAMPLE)]
pub struct Args {
    /// Send images from the engine at URL, or from any host among the records that has them
    #[arg(long, value_name = "URL|any", value_parser = source)]
    from: Option<From>,
    /// Image that each host record is to have; may be given more than once
    #[arg(long, value_name = "IMAGE")]
    image: Vec<Image>,
    /// Look up once what each tag means, and pass records on with the digest of that
    #[arg(long, conflicts_with = "from")]
    pin: bool,
    /// Send no faster than RATE, such as 80mbit or 10mbps, to all hosts together
    #[arg(long, value_name = "RATE", requires = "from")]
    rate: Option<Rate>,
    /// Serve up to N hosts at the same time
    #[arg(long, value_name = "N", default_value = "8")]
    concurrency: NonZeroUsize,
    /// Give up on an engine that neither takes nor gives anything of an image for so long
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

const EXAMPLE: &str = "Example:
  cccf-diff --current <(docker-cccf --owner edge) < wanted.json \\
    | cccf-host --hosts hosts.json \\
    | image-ship --from unix:///var/run/docker.sock \\
    | container-run --owner edge";

fn source(text: &str) -> Result<From, String> {
    match text {
        "any" => Ok(From::Any),
        url if url.contains("://") || url.starts_with("context:") => {
            Ok(From::Engine(url.to_owned()))
        }
        _ => Err("it is neither the URL of an engine nor \"any\"".to_owned()),
    }
}

fn main() -> ExitCode {
    cli::main(run)
}

fn run(args: Args, report: &Report) -> Result<()> {
    let stdio = Stdio::open(report, args.show.table)?;
    let options = Options {
        from: args.from.unwrap_or(From::Registry),
        images: args.image,
        pin: args.pin,
        rate: args.rate,
        jobs: args.concurrency,
        patience: args.timeout.0,
        reach: engines::Reach::new(args.reach.insecure),
        docker_config: args.registries.docker_config,
    };
    image_ship::run(stdio, options)
}
