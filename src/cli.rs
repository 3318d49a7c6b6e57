//! The words that the programs' command lines share, and how a program starts.

mod question;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use jiff::Timestamp;

pub use question::{Answer, Asked};

use crate::error::Result;
use crate::pipe::{Exit, Report, run};
pub use crate::record::Span;
use crate::record::{HostsAt, NotA};

/// Parses the command line and does the work: the whole of a program's `main`. The program is
/// called what its command line definition says.
///
/// `--help` and `--version` end with 0, a command line that makes no sense with 64.
pub fn main<A: Parser>(work: fn(A, &Report) -> Result<()>) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(mut why) => {
            keep_secret(&mut why);
            say_where(&mut why);
            let told = why.print();
            return match why.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion if told.is_ok() => Exit::Done,
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Io,
                _ => Exit::Usage,
            }
            .into();
        }
    };
    let report = Report::new(A::command().get_name());
    run(&report, AssertUnwindSafe(|| work(args, &report))).into()
}

/// Takes the user and the password out of a URL that makes no sense: what is told may be logged.
fn keep_secret(why: &mut clap::Error) {
    let Some(ContextValue::String(value)) = why.get(ContextKind::InvalidValue) else { return };
    if let Some((before, behind)) = value.split_once("://")
        && let Some((_, place)) = behind.rsplit_once('@')
    {
        let shown = ContextValue::String(format!("{before}://…@{place}"));
        why.insert(ContextKind::InvalidValue, shown);
    }
}

/// Says where an option of a subcommand belongs when it stands before that.
fn say_where(why: &mut clap::Error) {
    if let Some(ContextValue::String(sub)) = why.get(ContextKind::InvalidSubcommand)
        && why.kind() == ErrorKind::ArgumentConflict
    {
        let tip = format!("options stand behind '{sub}'").into();
        why.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
}

/// How the output is written.
#[derive(clap::Args, Clone, Debug)]
pub struct Show {
    /// Print a table for people instead of records
    #[arg(long)]
    pub table: bool,
}

/// How many records are worked on at the same time.
#[derive(clap::Args, Clone, Debug)]
pub struct Jobs {
    /// Work on up to N records at the same time
    #[arg(long, value_name = "N", default_value = "8")]
    pub concurrency: std::num::NonZeroUsize,
}

/// How engines may be reached.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Reach {
    /// Speak without encryption to engines at tcp:// whose host names no "tls" directory
    #[arg(long)]
    pub insecure: bool,
}

/// Whose engines are asked.
#[derive(clap::Args, Clone, Debug)]
pub struct Hosts {
    /// Ask the engines of all of these host records, in a file or in an etcd
    #[arg(long, value_name = "FILE|etcd://…")]
    hosts: Option<HostsAt>,
    /// Ask the engine at URL; the host's id is "local"
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "hosts",
        default_value = "unix:///var/run/docker.sock"
    )]
    host: String,
}

impl Hosts {
    /// Where the list of them is.
    pub fn at(self) -> HostsAt {
        self.hosts.unwrap_or(HostsAt::One(self.host))
    }
}

/// How registries are entered.
#[derive(clap::Args, Clone, Debug)]
pub struct Registries {
    /// Directory of Docker's config.json, which has the logins for registries [default: ~/.docker]
    #[arg(long, env = "DOCKER_CONFIG", value_name = "DIRECTORY", hide_env_values = true)]
    pub docker_config: Option<PathBuf>,
}

/// Which kind of engines the hosts have.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Engines {
    /// The engines' kind
    #[arg(long, value_name = "KIND", default_value = "docker")]
    engine: EngineKind,
}

/// One kind of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EngineKind {
    /// Each host has containers of its own
    Docker,
    /// The hosts are managers of swarms: containers are services of theirs
    Swarm,
}

impl Engines {
    /// Whether they are managers of swarms.
    pub fn is_swarm(self) -> bool {
        self.engine == EngineKind::Swarm
    }
}

/// A moment on the command line: a date and time with its offset (RFC 3339), a date, which is its first
/// moment in UTC, or a [`Span`] with `-` before it, which is so long before the program started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl Moment {
    fn parse(text: &str, now: Timestamp) -> Option<Moment> {
        let at = match text.strip_prefix('-') {
            Some(span) => {
                let Span(time) = span.parse().ok()?;
                now.checked_sub(time).unwrap_or(Timestamp::MIN)
            }
            None if text.len() == "2026-11-21".len() => format!("{text}T00:00:00Z").parse().ok()?,
            None => text.parse().ok()?,
        };
        Some(Moment(at))
    }
}

impl FromStr for Moment {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Moment, NotA> {
        let what = "a time (2026-11-21T12:00:00Z, 2026-11-21, or -2h for so long ago)";
        Moment::parse(text, Timestamp::now()).ok_or_else(|| NotA::new(text, what))
    }
}

/// How often something is done: a length of time, or `none` (or a length of 0) for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(pub Option<Duration>);

impl FromStr for Every {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Every, NotA> {
        match text {
            "none" | "0" => Ok(Every(None)),
            text => text.parse().map(|Span(time)| Every(Some(time).filter(|time| !time.is_zero()))),
        }
    }
}

/// How long something is kept: a length of time, or `none` when it is never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(pub Option<Duration>);

impl FromStr for Keep {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Keep, NotA> {
        match text {
            "none" => Ok(Keep(None)),
            text => text.parse().map(|Span(time)| Keep(Some(time))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_may_be_never() {
        assert_eq!("5m".parse(), Ok(Every(Some(Duration::from_secs(300)))));
        for never in ["none", "0", "0s"] {
            assert_eq!(never.parse(), Ok(Every(None)));
        }
        assert!("often".parse::<Every>().is_err());
    }

    #[test]
    fn what_is_kept_may_be_kept_for_ever_or_not_at_all() {
        assert_eq!("none".parse(), Ok(Keep(None)));
        assert_eq!("0s".parse(), Ok(Keep(Some(Duration::ZERO))));
        assert!("0".parse::<Keep>().is_err());
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_so_long_ago() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let moment = |text: &str| Moment::parse(text, now).unwrap().0.to_string();
        assert_eq!(moment("2026-11-21T12:30:00+02:00"), "2026-11-21T10:30:00Z");
        assert_eq!(moment("2026-11-20"), "2026-11-20T00:00:00Z");
        assert_eq!(moment("-2h"), "2026-11-21T10:00:00Z");
        assert_eq!(moment("-99999999d"), Timestamp::MIN.to_string());
        for bad in ["", "-", "2h", "yesterday", "2026-13-01", "2026-11-21T12:00:00", "--2h", "-2"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad:?}");
        }
    }
}
