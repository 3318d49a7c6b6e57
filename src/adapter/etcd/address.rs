//! Where an etcd is, and who asks it: `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/PREFIX]`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::record::Hostname;

/// What the address begins with.
pub const SCHEME: &str = "etcd://";

/// The port on which etcd serves clients.
const PORT: u16 = 2379;

/// What all keys begin with when the address does not say.
const PREFIX: &str = "/leasepipe";

/// The members of one etcd, the user to be there, and what the names of all keys begin with.
///
/// The password is for [`Address::user`] alone: no form of the address that is written shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    members: Vec<String>,
    user: Option<(String, String)>,
    prefix: String,
}

impl Address {
    /// `HOST:PORT` of each member, one at least.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// User and password, if etcd is to be asked as somebody.
    pub fn user(&self) -> Option<&(String, String)> {
        self.user.as_ref()
    }

    /// Begins with a slash and does not end with one.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for Address {
    type Err = Error;

    /// # Errors
    /// `Usage`; the message does not repeat the text, for there may be a password in it.
    fn from_str(text: &str) -> Result<Address> {
        let Some(rest) = text.strip_prefix(SCHEME) else { return Err(no_scheme(text)) };
        // Neither a member nor a prefix has an @, so all before the last may be a password.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(credentials(user)?), rest),
            None => (None, rest),
        };
        let (members, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let members = members.split(',').map(member).collect::<Result<_>>()?;
        Ok(Address { members, user, prefix: prefix(path)? })
    }
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.members.join(","), self.prefix)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn wrong(why: impl fmt::Display) -> Error {
    let error = Error::new(Kind::Usage, "the address of an etcd").why(why);
    error.remedy("write it as etcd://HOST:PORT[,HOST:PORT…][/PREFIX]")
}

fn no_scheme(text: &str) -> Error {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        "https" | "etcds" | "etcd+tls" => Error::new(Kind::Usage, "etcd over TLS")
            .why("it is not built in")
            .remedy("name a proxy on this machine that speaks TLS to etcd, with etcd://"),
        _ => wrong(format_args!("it does not begin with {SCHEME}")),
    }
}

fn credentials(text: &str) -> Result<(String, String)> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((decoded(user)?, decoded(password)?)),
        _ => Err(wrong("what stands before the last @ is not USER:PASSWORD")),
    }
}

/// The text with each `%` and its two hexadecimal digits replaced by the byte that they mean.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let byte = match (first, behind) {
            (b'%', [high, low, ..]) => {
                rest = &behind[2..];
                let digit = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8);
                digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low)
            }
            (b'%', _) => None,
            _ => {
                rest = behind;
                Some(*first)
            }
        };
        bytes.push(
            byte.ok_or_else(|| wrong("a % in user or password is not followed by two hex digits"))?,
        );
    }
    String::from_utf8(bytes).map_err(|_| wrong("user or password is not UTF-8"))
}

fn member(text: &str) -> Result<String> {
    let wrong = || wrong("a member is not HOST:PORT");
    let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (text, PORT),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bracketed {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Hostname>().is_ok(),
    };
    if is_host { Ok(format!("{host}:{port}")) } else { Err(wrong()) }
}

/// Names of letters, digits and `_ . -` between slashes, so that a key can be read back from its text.
fn prefix(path: &str) -> Result<String> {
    let path = path.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name = |name: &str| !name.is_empty() && name.chars().all(plain);
    match path.strip_prefix('/') {
        None => Ok(PREFIX.to_owned()),
        Some(names) if names.split('/').all(is_name) => Ok(path.to_owned()),
        Some(_) => Err(wrong("what stands behind the members is no prefix (/NAME[/NAME…])")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn members_port_and_prefix() {
        let one = address("etcd://localhost");
        assert_eq!(
            (one.members(), one.prefix()),
            (&["localhost:2379".to_owned()][..], "/leasepipe")
        );
        let many = address("etcd://192.0.2.1:1,[2001:db8::1]:2,[::1],etcd-3.example.org:4/a/b-c/");
        let members = ["192.0.2.1:1", "[2001:db8::1]:2", "[::1]:2379", "etcd-3.example.org:4"];
        assert_eq!(many.members(), members);
        assert_eq!(many.prefix(), "/a/b-c");
        assert_eq!(many.user(), None);
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        for bad in [
            "",
            "etcd://",
            "etcd://a,,b",
            "etcd://a:99999",
            "etcd://a:x",
            "etcd://[::1",
            "etcd://[a]:1",
            "etcd://[::1]x",
            "etcd://::1",
            "etcd://a b",
            "etcd://a//b",
            "etcd://a/b?c",
            "etcd://a/../%00",
            "etcd://u:hush%zz@a",
            "etcd://u:hush%f@a",
            "etcd://u:hush%ff@a",
            "etcd://hush@a",
            "etcd://:hush@a",
            "etcd://u:hush@a b",
            "etcd://u:hush",
            "etcd://u/hush hush",
            "http://u:hush@a",
            "https://u:hush@a",
            "ledger.db",
        ] {
            let told = bad.parse::<Address>().unwrap_err();
            assert_eq!(told.kind(), Kind::Usage, "{bad}");
            assert!(!told.to_string().contains("hush"), "{told}");
        }
    }

    #[test]
    fn a_password_may_hold_anything_and_is_never_shown() {
        let address = address("etcd://le%40se:p@:,%2f/%25ss@a:1/x");
        assert_eq!(address.user(), Some(&("le@se".to_owned(), "p@:,//%ss".to_owned())));
        assert_eq!(format!("{address} {address:?}"), "etcd://a:1/x etcd://a:1/x");
    }
}
