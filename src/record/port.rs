//! Published ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::text::{NotA, as_json_string, as_json_word};

/// A transport protocol that Docker can publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// The default.
    #[default]
    Tcp,
    /// User datagrams.
    Udp,
    /// Stream control transmission.
    Sctp,
}

as_json_word!(Transport "a protocol (tcp, udp, sctp)" { Tcp "tcp", Udp "udp", Sctp "sctp", });

/// One published port: `[address:]host:container[/protocol]`, IPv6 addresses in brackets.
///
/// A host port of 0 lets Docker choose one. `tcp` is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The host's address that it is published on; absent means every address.
    pub address: Option<IpAddr>,
    /// The port on the host.
    pub host: u16,
    /// The port in the container, never 0.
    pub container: u16,
    /// The protocol of both.
    pub transport: Transport,
}

impl FromStr for Port {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Port, NotA> {
        port(text).ok_or_else(|| {
            NotA::new(text, "a port ([address:]host:container[/tcp|udp|sctp], 0 to 65535)")
        })
    }
}

fn port(text: &str) -> Option<Port> {
    let (ports, transport) = match text.split_once('/') {
        None => (text, Transport::Tcp),
        Some((ports, "tcp")) => (ports, Transport::Tcp),
        Some((ports, "udp")) => (ports, Transport::Udp),
        Some((ports, "sctp")) => (ports, Transport::Sctp),
        Some(_) => return None,
    };
    let (before, container) = ports.rsplit_once(':')?;
    let (address, host) = match before.rsplit_once(':') {
        None => (None, before),
        Some((address, host)) => {
            let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
            let address = match bare {
                Some(v6) => IpAddr::V6(v6.parse().ok()?),
                None => IpAddr::V4(address.parse().ok()?),
            };
            (Some(address), host)
        }
    };
    let container = number(container).filter(|port| *port != 0)?;
    Some(Port { address, host: number(host)?, container, transport })
}

/// A port number of digits alone: no sign, no space.
pub(super) fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(v4)) => write!(f, "{v4}:")?,
            Some(IpAddr::V6(v6)) => write!(f, "[{v6}]:")?,
            None => (),
        }
        write!(f, "{}:{}", self.host, self.container)?;
        match self.transport {
            Transport::Tcp => Ok(()),
            other => write!(f, "/{}", other.as_str()),
        }
    }
}

/// A port that the container listens on without its being published: `container[/protocol]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expose {
    /// The port in the container, never 0.
    pub container: u16,
    /// Its protocol.
    pub transport: Transport,
}

impl FromStr for Expose {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Expose, NotA> {
        match format!("0:{text}").parse::<Port>() {
            Ok(Port { address: None, container, transport, .. }) if !text.contains(':') => {
                Ok(Expose { container, transport })
            }
            _ => Err(NotA::new(text, "a container port (1 to 65535[/tcp|udp|sctp])")),
        }
    }
}

impl fmt::Display for Expose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp => write!(f, "{}", self.container),
            other => write!(f, "{}/{}", self.container, other.as_str()),
        }
    }
}

as_json_string!(Port, Expose);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_they_are_read() {
        for text in ["80:8080", "0:53/udp", "127.0.0.1:80:80", "[fd00::1]:443:8443", "1:2/sctp"] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert_eq!("80:80/tcp".parse::<Port>().unwrap().to_string(), "80:80");
        for text in ["80", "53/udp"] {
            assert_eq!(text.parse::<Expose>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in
            ["", "80", "80:", ":80", "80:0", "80:65536", "80:+1", "a:b", "fd00::1:80:80", "1:2/x"]
        {
            assert!(bad.parse::<Port>().is_err(), "{bad:?}");
        }
        for bad in ["", "0", "80:80", "1.2.3.4:80", "80/x"] {
            assert!(bad.parse::<Expose>().is_err(), "{bad:?}");
        }
    }
}
