//! How a stream of bytes to an engine is opened.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long an address of a name is tried alone, before the next one is tried as well (RFC 8305
/// section 8).
const ALONE: Duration = Duration::from_millis(250);

/// What an engine is spoken to through.
pub(super) enum Place {
    /// The socket at this path.
    Unix(PathBuf),
    /// A port of a machine, without encryption.
    Open(Site),
    /// The same with TLS, where the engine has to prove that it has this name.
    Tls(Site, TlsConnector, ServerName<'static>),
}

/// A port of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// A name or an address, without brackets.
    host: String,
    port: u16,
}

/// A stream of bytes both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Place {
    /// What HTTP calls the other side.
    pub(super) fn name(&self) -> String {
        match self {
            Place::Unix(_) => "docker".to_owned(),
            Place::Open(site) | Place::Tls(site, ..) => match site.name() {
                name if name.contains(':') => format!("[{name}]:{}", site.port),
                name => format!("{name}:{}", site.port),
            },
        }
    }

    pub(super) async fn open(&self) -> io::Result<Box<dyn Wire>> {
        Ok(match self {
            Place::Unix(path) => {
                Box::new(UnixStream::connect(path).await.map_err(|why| match why.kind() {
                    io::ErrorKind::NotFound => {
                        io::Error::new(why.kind(), format!("no socket {}", path.display()))
                    }
                    _ => why,
                })?)
            }
            Place::Open(site) => Box::new(site.open().await?),
            Place::Tls(site, tls, name) => {
                Box::new(tls.connect(name.clone(), site.open().await?).await?)
            }
        })
    }
}

impl Site {
    /// The one that `HOST:PORT` names, where an IPv6 address stands in brackets.
    pub(super) fn of(place: &str) -> Option<Site> {
        let (host, port) = place.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Site { host: host.to_owned(), port: port.parse().ok()? })
    }

    /// What the machine calls itself: which of our links it is behind is ours alone.
    pub(super) fn name(&self) -> &str {
        self.host.split('%').next().unwrap_or_default()
    }

    /// A name may have addresses that lead nowhere; the first that answers is taken (RFC 8305
    /// section 5).
    async fn open(&self) -> io::Result<TcpStream> {
        let mut addresses = lookup_host((self.host.as_str(), self.port)).await?.peekable();
        let mut tries = FuturesUnordered::new();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        loop {
            tries.extend(addresses.next().map(dial));
            let alone = if addresses.peek().is_some() { ALONE } else { Duration::MAX };
            while let Ok(tried) = timeout(alone, tries.next()).await {
                match tried {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(why)) => failure = why,
                    None if addresses.peek().is_some() => break,
                    None => return Err(failure),
                }
            }
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Calls are small, and their answers are waited for.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_machine() {
        let named = |place: &str| {
            let site = Site::of(place).unwrap();
            (site.host.clone(), Place::Open(site).name())
        };
        assert_eq!(named("h.example:2376"), ("h.example".into(), "h.example:2376".into()));
        assert_eq!(named("[fd00::1]:2376"), ("fd00::1".into(), "[fd00::1]:2376".into()));
        assert_eq!(named("[fe80::1%eth0]:1"), ("fe80::1%eth0".into(), "[fe80::1]:1".into()));
        assert_eq!(Site::of("h"), None);
    }
}
