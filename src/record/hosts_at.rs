//! Where a list of hosts is kept.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::Host;

/// Where a list of hosts is kept, as a command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostsAt {
    /// In a file, a named pipe, or standard input (`-`).
    File(PathBuf),
    /// In an etcd, which several machines share.
    Etcd(EtcdUrl),
    /// It is one host, called "local", whose engine is at this URL.
    One(String),
}

/// The address of an etcd, which is looked at when it is opened. There may be a password in it, so it
/// is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdUrl(String);

impl HostsAt {
    /// This machine's own engine.
    pub fn local() -> HostsAt {
        HostsAt::One(Host::local().url)
    }
}

impl From<OsString> for HostsAt {
    /// What begins with the name of a scheme is no file; one of such a name is `./NAME`.
    fn from(text: OsString) -> HostsAt {
        let scheme = |text: &str| {
            let (scheme, _) = text.split_once("://")?;
            scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+').then_some(())
        };
        match text.to_str().filter(|text| scheme(text).is_some()) {
            Some(url) => HostsAt::Etcd(EtcdUrl::from(url.to_owned())),
            None => HostsAt::File(text.into()),
        }
    }
}

impl EtcdUrl {
    /// The address, with user and password if it has them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for EtcdUrl {
    fn from(text: String) -> EtcdUrl {
        EtcdUrl(text)
    }
}

impl fmt::Debug for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("etcd")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_no_file() {
        let at = |text: &str| HostsAt::from(OsString::from(text));
        for file in ["hosts.json", "-", "/dev/fd/63", "./etcd://a", "a/b://c"] {
            assert_eq!(at(file), HostsAt::File(file.into()));
        }
        for url in ["etcd://u:hush@a", "etcd+tls://a", "https://a"] {
            let HostsAt::Etcd(address) = at(url) else { panic!("{url}") };
            assert_eq!((address.as_str(), format!("{address:?}").as_str()), (url, "etcd"));
        }
    }
}
