//! How the engine of a host is reached.

use super::{Host, HostRef};
use crate::error::{Error, Kind};

/// An engine's URL, and what has to be known beside it to speak with the engine.
///
/// The URL is `unix:///PATH`, `tcp://HOST:PORT`, `ssh://[USER@]HOST[:PORT][/PATH]` or
/// `context:NAME`; that it is one of these is seen when it is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where the engine listens.
    pub url: String,
    /// The directory of `ca.pem`, `cert.pem` and `key.pem` for TLS; absent means the user's own.
    pub tls: Option<String>,
    /// Whether an engine at `tcp://` that has no directory of its own is spoken to without TLS.
    pub insecure: bool,
}

impl Endpoint {
    /// The engine at a URL; without TLS nothing is said over a network.
    pub fn at(url: &str) -> Endpoint {
        Endpoint { url: url.to_owned(), tls: None, insecure: false }
    }

    /// The same, which may be spoken to without TLS if `insecure` says so.
    pub fn insecure(self, insecure: bool) -> Endpoint {
        Endpoint { insecure, ..self }
    }

    /// What people are told when it is [open](Endpoint::is_open).
    pub fn caution(&self) -> Option<Error> {
        let what = || Error::new(Kind::Refused, format_args!("{} without encryption", self.url));
        let why = "whoever is on the way there can read and change everything";
        self.is_open().then(|| what().why(why).remedy("give its host \"tls\""))
    }

    /// Whether whoever is on the way there can read and change what is said.
    pub fn is_open(&self) -> bool {
        self.insecure && self.tls.is_none() && self.url.starts_with("tcp://")
    }
}

impl From<&Host> for Endpoint {
    fn from(host: &Host) -> Endpoint {
        Endpoint { tls: host.tls.clone(), ..Endpoint::at(&host.url) }
    }
}

impl HostRef {
    /// How its engine is reached; nothing when only its name is known.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let url = self.url.as_deref()?;
        Some(Endpoint { tls: self.tls.clone(), ..Endpoint::at(url) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_without_certificates_is_open() {
        let open = |url: &str, tls: Option<&str>| {
            Endpoint { tls: tls.map(str::to_owned), ..Endpoint::at(url) }.insecure(true).is_open()
        };
        assert!(open("tcp://h:2375", None));
        assert!(Endpoint::at("tcp://h:2375").insecure(true).caution().is_some());
        assert!(!open("tcp://h:2376", Some("/etc/tls")));
        assert!(!open("unix:///run/docker.sock", None) && !open("ssh://h", None));
        assert!(!Endpoint::at("tcp://h:2375").is_open());
    }

    #[test]
    fn a_host_and_a_reference_to_it_are_reached_the_same_way() {
        let text = r#"{"kind":"host","id":"a","url":"tcp://a:2376","tls":"/etc/tls"}"#;
        let host: Host = serde_json::from_str(text).unwrap();
        let endpoint = Endpoint::from(&host);
        assert_eq!(endpoint.tls.as_deref(), Some("/etc/tls"));
        assert_eq!(host.as_ref().endpoint(), Some(endpoint));
    }
}
