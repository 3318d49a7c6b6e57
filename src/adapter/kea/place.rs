//! Where a control channel listens.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;

use crate::error::{Error, Kind, OneLine, Result};

/// Where a control channel listens. As text it never shows a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) way: Way,
    shown: String,
}

/// How it is reached.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// By a Unix socket at this path.
    Unix(PathBuf),
    /// By HTTP over TCP.
    Http(Http),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Http {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// What stands in the `Host` header.
    pub authority: String,
    pub path: String,
    /// What stands in the `Authorization` header (RFC 7617), marked as a secret.
    pub authorization: Option<HeaderValue>,
}

impl Place {
    /// The place that `PATH` or `http://[USER:PASSWORD@]HOST[:PORT]/` names.
    ///
    /// # Errors
    /// `Usage` for what is neither, `Refused` for `https://`. The error shows no password.
    pub fn parse(text: &str) -> Result<Place> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            None if !text.is_empty() => {
                Ok(Place { way: Way::Unix(text.into()), shown: text.into() })
            }
            Some("http") => http(text),
            Some("https") => Err(Error::new(Kind::Refused, "control channel by https://")
                .why("TLS is not spoken to Kea")
                .remedy("name its Unix socket, or http:// on the same machine")),
            _ => Err(no_place("it is neither the path of a socket nor http://HOST:PORT/")),
        }
    }
}

fn no_place(why: &str) -> Error {
    Error::new(Kind::Usage, "control channel of Kea").why(why)
}

fn http(text: &str) -> Result<Place> {
    let no_url = || no_place("it is not http://HOST:PORT/");
    let uri: Uri = text.parse().map_err(|_| no_url())?;
    let authority = uri.authority().ok_or_else(no_url)?;
    if uri.query().is_some() {
        return Err(no_url());
    }
    let (user, at) = match authority.as_str().rsplit_once('@') {
        Some((user, at)) => (Some(user), at.to_owned()),
        None => (None, authority.to_string()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match at.strip_prefix(authority.host()) {
        Some("") => 80,
        Some(_) => authority.port_u16().ok_or_else(no_url)?,
        None => return Err(no_url()),
    };
    if host.is_empty() || port == 0 {
        return Err(no_url());
    }
    let path = uri.path().to_owned();
    let shown = format!("http://{at}{path}");
    let authorization = user.map(basic).transpose()?;
    Ok(Place { way: Way::Http(Http { host, port, authority: at, path, authorization }), shown })
}

/// The `Authorization` of a `USER:PASSWORD` whose other characters may be written as `%XX`.
fn basic(user: &str) -> Result<HeaderValue> {
    let bad = || no_place("the user and password before the @ are not USER:PASSWORD");
    let plain = unescape(user).filter(|plain| plain.contains(&b':')).ok_or_else(bad)?;
    let text = format!("Basic {}", BASE64_STANDARD.encode(plain));
    let mut value = HeaderValue::from_str(&text).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Text without its `%XX` (RFC 3986 section 2.1).
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        plain.push(match byte {
            b'%' => (digit()? * 16 + digit()?) as u8,
            byte => byte,
        });
    }
    Some(plain)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OneLine(&self.shown))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", OneLine(&self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_http(text: &str) -> Http {
        match Place::parse(text).unwrap().way {
            Way::Http(http) => http,
            Way::Unix(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn a_path_is_a_socket_and_a_url_is_a_server() {
        let place = Place::parse("/run/kea/kea6-ctrl-socket").unwrap();
        assert!(place.way == Way::Unix("/run/kea/kea6-ctrl-socket".into()));
        assert_eq!(place.to_string(), "/run/kea/kea6-ctrl-socket");
        let http = over_http("http://127.0.0.1:8000/");
        assert_eq!((&*http.host, http.port, &*http.path), ("127.0.0.1", 8000, "/"));
        assert_eq!(over_http("http://kea.example").port, 80);
        let six = over_http("http://[::1]:8001/kea");
        assert_eq!((&*six.host, &*six.authority, &*six.path), ("::1", "[::1]:8001", "/kea"));
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let text = "http://kea:s%40cr%3At:x@localhost:8000/";
        let place = Place::parse(text).unwrap();
        let http = over_http(text);
        // "kea:s@cr:t:x"
        assert_eq!(http.authorization.unwrap().to_str().unwrap(), "Basic a2VhOnNAY3I6dDp4");
        assert_eq!(http.authority, "localhost:8000");
        assert_eq!(place.to_string(), "http://localhost:8000/");
        assert!(!format!("{place:?}").contains("cr"));
    }

    #[test]
    fn what_is_no_place_is_told_without_its_secrets() {
        for (text, kind) in [
            ("", Kind::Usage),
            ("ftp://u:secret@h/", Kind::Usage),
            ("http://", Kind::Usage),
            ("http://u:secret@", Kind::Usage),
            ("http://u:secret@:80/", Kind::Usage),
            ("http://secret@h/", Kind::Usage),
            ("http://u:secret%4@h/", Kind::Usage),
            ("http://u:secret@h:0/", Kind::Usage),
            ("http://u:secret@h:99999/", Kind::Usage),
            ("http://u:secret@h/?x", Kind::Usage),
            ("http://u:secret@h o/", Kind::Usage),
            ("https://u:secret@h/", Kind::Refused),
        ] {
            let error = Place::parse(text).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
