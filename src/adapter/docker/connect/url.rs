//! What a host's URL says, and what an engine says of its version.

use std::fmt;

use bollard::models::SystemVersion;

use crate::error::{Error, Kind, Result};

/// The oldest API that has all that is used here.
pub(super) const OLDEST: Api = Api(1, 41);

/// A way to an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Through the socket at this path.
    Unix(String),
    /// At this `HOST:PORT`.
    Tcp(String),
    /// Through the SSH server of another machine.
    Ssh(Remote),
    /// As Docker's context of this name says.
    Context(String),
}

/// An account on another machine, and its engine's socket there.
///
/// Its parts go to ssh as words of a command line. So they are of characters that mean nothing to
/// ssh or to anything that it may start, and none begins like an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) user: Option<String>,
    /// A name, which may be one of the user's `ssh_config`, or an address without brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) socket: String,
}

impl Way {
    /// # Errors
    /// `Usage` for what is no URL of an engine.
    pub(super) fn of(url: &str) -> Result<Way> {
        let wrong = |why: &str| {
            Error::new(Kind::Usage, format_args!("host \"{url}\"")).why(why).remedy(
                "write unix:///PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT][/PATH] or context:NAME",
            )
        };
        if let Some(name) = url.strip_prefix("context:") {
            let named = is_word(name, "._-+");
            return if named {
                Ok(Way::Context(name.to_owned()))
            } else {
                Err(wrong("it names no context"))
            };
        }
        match url.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') && !path.contains('\0') => {
                Ok(Way::Unix(path.to_owned()))
            }
            Some(("unix", _)) => Err(wrong("its path is not absolute")),
            Some(("tcp", place)) => match place_of(place.trim_end_matches('/')) {
                Some((host, Some(port))) => Ok(Way::Tcp(format!("{}:{port}", bracketed(host)))),
                Some((_, None)) => Err(wrong("it names no port")),
                None => Err(wrong("it is not tcp:// with a host and a port")),
            },
            Some(("ssh", rest)) => {
                remote(rest).map(Way::Ssh).ok_or_else(|| wrong("it is not what ssh can be given"))
            }
            Some(("http" | "https", _)) => Err(wrong("engines are at tcp://, with TLS or without")),
            Some(_) => Err(wrong("there is no such way to an engine")),
            None => Err(wrong("it has no scheme")),
        }
    }
}

impl Remote {
    /// As a person names it.
    pub(super) fn place(&self) -> String {
        self.user.as_ref().map_or(self.host.clone(), |user| format!("{user}@{}", self.host))
    }
}

fn remote(text: &str) -> Option<Remote> {
    let (account, socket) = match text.find('/') {
        Some(at) if text.len() > at + 1 => text.split_at(at),
        Some(at) => (&text[..at], "/var/run/docker.sock"),
        None => (text, "/var/run/docker.sock"),
    };
    let (user, place) = match account.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, account),
    };
    let (host, port) = place_of(place)?;
    let plain = socket.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    let fits = user.is_none_or(|user| is_word(user, "._-+")) && plain;
    let user = user.map(str::to_owned);
    fits.then(|| Remote { user, host: host.to_owned(), port, socket: socket.to_owned() })
}

/// `HOST[:PORT]`, where an IPv6 address stands in brackets; it comes out without them.
fn place_of(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, rest) = inside.split_once(']')?;
            let bare = address.split('%').next().unwrap_or_default();
            bare.parse::<std::net::Ipv6Addr>().ok()?;
            address.split_once('%').is_none_or(|(_, zone)| is_word(zone, "._-")).then_some(())?;
            (address, rest)
        }
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            is_word(host, "._-").then_some(())?;
            (host, rest)
        }
    };
    match rest.strip_prefix(':') {
        None => rest.is_empty().then_some((host, None)),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|port| *port > 0)?;
            Some((host, Some(port)))
        }
        Some(_) => None,
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Letters, digits and these further characters; the first is a letter, a digit or `_`.
fn is_word(text: &str, further: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(first) && text.chars().all(|c| first(c) || further.contains(c))
}

/// A version of the engine's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(pub u32, pub u32);

impl Api {
    fn of(text: &str) -> Option<Api> {
        let (major, minor) = text.split_once('.')?;
        Some(Api(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Which engine it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What it calls itself, such as `Podman Engine`; nothing for Docker's own.
    pub name: Option<String>,
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// The newest version of its interface.
    pub api: Api,
}

impl Release {
    /// What it says, unless it says nothing of the interface.
    pub(super) fn of(said: SystemVersion) -> Option<Release> {
        let api = Api::of(said.api_version.as_deref()?)?;
        let first = said.components.and_then(|components| components.into_iter().next());
        let name = first.map(|component| component.name).filter(|name| name != "Engine");
        Some(Release { name, version: said.version.unwrap_or_default(), api })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("Docker");
        write!(f, "{name} {} with API {}", self.version, self.api)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(url: &str) -> Option<Remote> {
        match Way::of(url) {
            Ok(Way::Ssh(remote)) => Some(remote),
            _ => None,
        }
    }

    #[test]
    fn the_ways_to_an_engine() {
        let unix = Way::Unix("/run/docker.sock".into());
        assert_eq!(Way::of("unix:///run/docker.sock").unwrap(), unix);
        assert_eq!(Way::of("tcp://h.example:2376").unwrap(), Way::Tcp("h.example:2376".into()));
        assert_eq!(Way::of("tcp://[fd00::1]:2376/").unwrap(), Way::Tcp("[fd00::1]:2376".into()));
        assert_eq!(Way::of("context:far-1").unwrap(), Way::Context("far-1".into()));
        let remote = ssh("ssh://ops@h.example:2222/run/user/1000/docker.sock").unwrap();
        assert_eq!((remote.user.as_deref(), remote.port), (Some("ops"), Some(2222)));
        assert_eq!((&*remote.host, &*remote.socket), ("h.example", "/run/user/1000/docker.sock"));
        let plain = ssh("ssh://h").unwrap();
        assert_eq!(
            (&plain.user, plain.port, &*plain.socket),
            (&None, None, "/var/run/docker.sock")
        );
        assert_eq!(ssh("ssh://root@[fd00::1]/").unwrap().host, "fd00::1");
        assert_eq!(ssh("ssh://[fe80::1%eth0]").unwrap().host, "fe80::1%eth0");
    }

    #[test]
    fn what_is_no_url_is_wrong_usage() {
        for bad in [
            "",
            "h",
            "/run/docker.sock",
            "unix://relative",
            "tcp://",
            "tcp://h",
            "tcp://h:0",
            "tcp://h:99999",
            "tcp://h:+1",
            "tcp://a b:1",
            "tcp://fd00::1:2376",
            "tcp://u@h:1",
            "http://h:1",
            "https://h:1",
            "npipe:////./pipe",
            "context:",
            "context:../x",
            "context:a/b",
            "tcp://h:1/path",
        ] {
            assert_eq!(Way::of(bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
    }

    #[test]
    fn nothing_that_ssh_would_take_for_something_else_reaches_it() {
        for bad in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://a@-oProxyCommand=x",
            "ssh://-l@h",
            "ssh://h\nx",
            "ssh://h;x",
            "ssh://h$(x)",
            "ssh://a`x`@h",
            "ssh://h:x",
            "ssh://h:22x",
            "ssh://a:secret@h",
            "ssh://h/a:b",
            "ssh://h/%d",
            "ssh://h/${HOME}",
            "ssh://h/a b",
            "ssh://h\0",
            "ssh://[fe80::1%-x]",
            "ssh://[h]",
            "ssh://@h",
            "ssh://%h",
        ] {
            assert_eq!(ssh(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(Api::of("1.9").unwrap() < OLDEST && Api::of("1.100").unwrap() > OLDEST);
        assert_eq!(Api::of("1.41"), Some(OLDEST));
        for bad in ["", "1", "1.x", "1.41.2"] {
            assert_eq!(Api::of(bad), None, "{bad}");
        }
    }
}
