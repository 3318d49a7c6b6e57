//! One event as a server tells it to its script.

use std::ffi::{OsStr, OsString};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Classes, Held, Holder, LeaseEvent, LeaseType, Place};

/// Which server tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Server {
    /// dnsmasq, by its dhcp-script.
    #[serde(rename = "dnsmasq-script")]
    Dnsmasq,
    /// Kea, by its hooks library run_script.
    #[serde(rename = "kea-script")]
    Kea,
}

/// What became of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who tells it.
    pub server: Server,
    /// What is leased.
    pub r#type: LeaseType,
    /// What is told of it.
    pub what: What,
    /// When the client was last heard from before the event, where the server says it.
    pub cltt: Option<Timestamp>,
}

/// What is told of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is leased.
    Held(Box<Telling>),
    /// It is leased no more, or was declined.
    Ended {
        /// What was leased.
        place: Place,
        /// To whom, if that is told.
        holder: Option<Holder>,
        /// `Expire`, `Release` or `Decline`.
        why: LeaseEvent,
    },
}

/// A lease as it is told, with what only its server will want back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// The lease.
    pub held: Held,
    /// The name as the server has it, if it is no host name but made of nothing worse.
    pub name: Option<String>,
    /// A DHCPv4 client's hardware address in dnsmasq's form, if it is no Ethernet address.
    pub hardware: Option<String>,
    /// Whether the server had nothing at hand of what the client had sent, so that what was known of
    /// this client's make and hardware address still holds.
    pub lacks_packet: bool,
}

impl Event {
    /// What is leased, or was.
    pub fn place(&self) -> Place {
        match &self.what {
            What::Held(telling) => telling.held.place(),
            What::Ended { place, .. } => *place,
        }
    }
}

/// The environment that a script is called with.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Most of a client's classes that are kept.
const MOST: usize = 8;

/// Of what a client says of itself, what is fit to be kept. A word says how much was not.
pub fn classes(
    vendor: impl Iterator<Item = OsString>,
    user: impl Iterator<Item = OsString>,
    remarks: &mut Vec<String>,
) -> Option<Box<Classes>> {
    let mut kept = |values: &mut dyn Iterator<Item = OsString>, what| {
        let (fit, unfit): (Vec<_>, Vec<_>) = values.map(fit).partition(Option::is_some);
        let left_out = unfit.len() + fit.len().saturating_sub(MOST);
        if left_out > 0 {
            remarks.push(format!("{left_out} of the client's {what} classes left out"));
        }
        fit.into_iter().flatten().take(MOST).collect::<Vec<_>>()
    };
    let mut vendor = vendor;
    let mut user = user;
    let classes = Classes { vendor: kept(&mut vendor, "vendor"), user: kept(&mut user, "user") };
    (classes != Classes::default()).then(|| Box::new(classes))
}

/// The text of a class, if it is one.
fn fit(value: OsString) -> Option<String> {
    Classes::text(value.as_encoded_bytes()).map(str::to_owned)
}

/// The values of `NAME0`, `NAME1` and so on, up to the first that is not there.
pub fn numbered<'a>(env: Environment<'a>, name: &'a str) -> impl Iterator<Item = OsString> + 'a {
    (0..1024).map_while(move |at| env(&format!("{name}{at}")))
}

/// A variable's value as text; nothing if it is not there, empty, or not UTF-8.
pub fn text(env: Environment, name: &str) -> Option<String> {
    env(name)?.into_string().ok().filter(|text| !text.is_empty())
}

/// A word for people; it is cut and made safe where it is told.
pub fn shown(word: &OsStr) -> String {
    format!("\"{}\"", word.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn words(words: &[&[u8]]) -> impl Iterator<Item = OsString> {
        words.iter().map(|word| OsString::from_vec(word.to_vec())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn classes_are_bounded_text() {
        let long = [b'x'; 256];
        let mut remarks = Vec::new();
        let user: [&[u8]; 7] = [b"a", b"\xff", b"b\nc", b"", &long, &long[1..], "é".as_bytes()];
        let kept = classes(words(&[]), words(&user), &mut remarks).unwrap();
        assert_eq!(kept.user.len(), 3);
        assert_eq!((&*kept.user[0], &*kept.user[2]), ("a", "é"));
        assert_eq!(remarks, ["4 of the client's user classes left out"]);
    }

    #[test]
    fn many_classes_are_few() {
        let many = vec![&b"x"[..]; 1000];
        let mut remarks = Vec::new();
        let kept = classes(words(&many), words(&[]), &mut remarks).unwrap();
        assert_eq!((kept.vendor.len(), remarks.len()), (8, 1));
        assert_eq!(classes(words(&[]), words(&[]), &mut remarks), None);
    }
}
