//! The ways to an engine.

mod context;
mod dial;
mod here;
mod meter;
mod ssh;
mod tls;
mod transport;
mod url;

use std::time::{Duration, Instant};

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::PATIENCE;
use super::error::failure;
use super::runtime::Carrier;
use crate::error::{Error, Kind, Result};
use crate::record::Endpoint;
use dial::{Place, Site};
use transport::Transport;
use url::{OLDEST, Way};

pub use here::here;
pub(super) use meter::TOO_LONG;
pub(super) use ssh::Forward;
pub use url::{Api, Release};

/// How long an engine may take to be reached and to say that it is there.
pub const REACH: Duration = Duration::from_secs(30);

/// An engine that answers.
pub(super) struct Connected {
    pub(super) docker: Docker,
    /// What carries the calls, for as long as it lives.
    pub(super) forward: Option<Forward>,
    pub(super) release: Option<Release>,
    /// Whether its kernel is this machine's.
    pub(super) is_here: bool,
}

/// Reaches the engine and makes sure that it answers and is not too old.
pub(super) fn connect(
    carrier: &Carrier,
    endpoint: &Endpoint,
    patience: Duration,
) -> Result<Connected> {
    let until = Instant::now() + patience;
    let doing = || format!("connect to {}", endpoint.url);
    let endpoint = match Way::of(&endpoint.url)? {
        Way::Context(name) => context::read(&name).map_err(|why| why.at(doing()))?,
        _ => endpoint.clone(),
    };
    let way = Way::of(&endpoint.url)?;
    let is_here = matches!(way, Way::Unix(_));
    let (docker, forward) = open(way, &endpoint, until).map_err(|why| why.at(doing()))?;
    let left = || until.saturating_duration_since(Instant::now());
    let late = |_| {
        Error::new(Kind::TimedOut, doing())
            .why(format_args!("no answer within {} ms", patience.as_millis()))
    };
    let (caller, within) = (docker.clone(), left());
    let answered = carrier.carry(move || async move { timeout(within, caller.ping()).await });
    if let Err(why) = answered.map_err(late)? {
        let told = forward.as_ref().and_then(Forward::complaint);
        return Err(told.map_or_else(|| failure(doing(), &why), |told| told.at(doing())));
    }
    // Who answers, but not this, is behind a proxy that lets less through.
    let (caller, within) = (docker.clone(), left());
    let version = carrier.carry(move || async move { timeout(within, caller.version()).await });
    let release = version.map_err(late)?.ok().and_then(Release::of);
    match &release {
        Some(release) if release.api < OLDEST => Err(Error::new(Kind::Refused, doing())
            .why(format_args!("the engine is too old: {release}, needed is API {OLDEST}"))
            .remedy("upgrade it to Docker 20.10 or later")),
        _ => Ok(Connected { docker, forward, release, is_here }),
    }
}

/// Makes ready what calls go through.
fn open(way: Way, endpoint: &Endpoint, until: Instant) -> Result<(Docker, Option<Forward>)> {
    match way {
        Way::Unix(path) => Ok((through(Place::Unix(path.into()))?, None)),
        Way::Ssh(remote) => {
            let forward = Forward::open(&remote, until)?;
            Ok((through(Place::Unix(forward.socket().into()))?, Some(forward)))
        }
        Way::Tcp(place) => {
            let wrong = || Error::new(Kind::Usage, format_args!("host \"{place}\""));
            let site = Site::of(&place).ok_or_else(wrong)?;
            if endpoint.is_open() {
                return Ok((through(Place::Open(site))?, None));
            }
            let pem = tls::Pem::find(endpoint.tls.as_deref())?;
            let name = ServerName::try_from(site.name().to_owned());
            let name = name.map_err(|why| wrong().why(why))?;
            Ok((through(Place::Tls(site, pem.connector()?, name))?, None))
        }
        Way::Context(name) => Err(Error::new(Kind::BadInput, format_args!("context \"{name}\""))
            .why("it is another context's name for an engine")),
    }
}

/// Calls that go through connections to that place.
fn through(place: Place) -> Result<Docker> {
    // Who is spoken to is known to the transport alone.
    let address = Some("http://docker");
    Transport::new(place)
        .and_then(|transport| {
            let call = move |request| transport.clone().call(request);
            let patience = PATIENCE.as_secs();
            Docker::connect_with_custom_transport(call, address, patience, API_DEFAULT_VERSION)
        })
        .map_err(|why| failure("set up the connection", &why))
}
