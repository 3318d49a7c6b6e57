//! The leases of a server, page by page (`lease6-get-page` of `libdhcp_lease_cmds.so`).
//!
//! A row is one lease. Its `state` says whether it is one still: 0 is a lease, 1 was declined, 2 has
//! expired and is kept for its client to come back, 3 was given back (since Kea 2.7), and 4 is an
//! address that the client took itself and only registered (RFC 9686, since Kea 2.7). A `valid-lft`
//! of 0 says as well that it was given back, one of 0xffffffff that the lease has no end.
//!
//! Pages come in the order of the addresses, and each holds what is leased at its own moment.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv6Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Answer, Channel};
use crate::error::{Error, Kind, OneLine, Result};
use crate::record::{
    Classes, Duid, Held, Holder, Hostname, LeaseEvent, LeaseType, Mac, Place, Said,
};

/// How many leases are asked for at a time. Kea serves no client while it writes a page, and is
/// slower by the lease with longer ones.
pub const AT_A_TIME: usize = 512;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the first lease.
    Start,
    /// Behind this address.
    Behind(Ipv6Addr),
}

/// Some of the leases.
#[derive(Debug, Default)]
pub struct Page {
    /// The rows, in the server's order.
    pub rows: Vec<Row>,
    /// The address in the last one; absent when it has none that can be read, and when there is none.
    pub last: Option<Ipv6Addr>,
}

/// What one row says.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// What of leases; nothing when nobody was ever served by it.
    pub said: Option<Said>,
    /// What is wrong with it, for people.
    pub wrong: Option<String>,
}

#[derive(Serialize)]
struct Wanted {
    from: String,
    limit: usize,
}

#[derive(Deserialize)]
struct Answered {
    leases: Vec<Box<RawValue>>,
}

/// A row as Kea writes it. What is not needed, and what this version does not know, is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lease {
    ip_address: Ipv6Addr,
    #[serde(default)]
    prefix_len: Option<u8>,
    r#type: String,
    duid: String,
    iaid: u32,
    cltt: i64,
    valid_lft: u32,
    state: u32,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    hw_address: String,
    user_context: Option<Value>,
}

/// What can be made out of a row that is not as it should be.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Remains {
    ip_address: Ipv6Addr,
    #[serde(default)]
    prefix_len: Option<u8>,
    #[serde(default)]
    r#type: Option<String>,
}

impl Channel {
    /// The next leases, at most [`AT_A_TIME`]; an empty page is behind the last one.
    ///
    /// # Errors
    /// `Unavailable` when the server lacks the hook library, and as [`Channel::ask`].
    pub fn leases(&self, from: From) -> Result<Page> {
        let from = match from {
            From::Start => "start".to_owned(),
            From::Behind(address) => address.to_string(),
        };
        let command = "lease6-get-page";
        let answer = self.ask(command, Some(Wanted { from, limit: AT_A_TIME }))?;
        let is_unsupported = answer.is_unsupported();
        let answered: Option<Answered> = self.carried(command, answer).map_err(|error| {
            let remedy = "load the hook library libdhcp_lease_cmds.so in kea-dhcp6, or read its \
                          lease file";
            if is_unsupported { error.remedy(remedy) } else { error }
        })?;
        Ok(answered.map_or_else(Page::default, |answered| page(&answered.leases)))
    }
}

impl Page {
    /// The page in the text of a server's answer.
    ///
    /// # Errors
    /// `BadInput` when it is none; `Refused` and `Unavailable` when it says so.
    pub fn read(answer: &[u8]) -> Result<Page> {
        let command = "lease6-get-page";
        let answer =
            Answer::parse(answer).map_err(|why| Error::new(Kind::BadInput, command).why(why))?;
        let answered: Option<Answered> = answer.carried(command)?;
        Ok(answered.map_or_else(Page::default, |answered| page(&answered.leases)))
    }
}

fn page(leases: &[Box<RawValue>]) -> Page {
    let last = leases.last().and_then(|row| serde_json::from_str::<Remains>(row.get()).ok());
    Page {
        rows: leases.iter().map(|lease| row(lease.get())).collect(),
        last: last.map(|row| row.ip_address),
    }
}

fn row(text: &str) -> Row {
    match serde_json::from_str::<Lease>(text) {
        Ok(lease) => read(&lease).unwrap_or_else(|why| unread(text, &why)),
        Err(why) => unread(text, &why.to_string()),
    }
}

/// A row that cannot be understood: it may concern the place that it names, or any.
fn unread(text: &str, why: &str) -> Row {
    let shown: String = text.chars().take(120).collect();
    let wrong = format!("{why} in {}", OneLine(&shown));
    let said = match serde_json::from_str::<Remains>(text) {
        Ok(Remains { ip_address, prefix_len, r#type: Some(r#type) }) => {
            let prefix_len = prefix_len.filter(|_| r#type == "IA_PD");
            Said::Doubtful(Place { address: ip_address.into(), prefix_len })
        }
        _ => {
            let mut print = DefaultHasher::new();
            text.hash(&mut print);
            Said::Unreadable(print.finish())
        }
    };
    Row { said: Some(said), wrong: Some(wrong) }
}

fn read(lease: &Lease) -> Result<Row, String> {
    let (r#type, prefix_len) = what(lease)?;
    let place = Place { address: lease.ip_address.into(), prefix_len };
    let ended = |event| Ok(Row { said: Some(Said::Ended(place, event)), wrong: None });
    match lease.state {
        0 if lease.valid_lft == 0 => return ended(LeaseEvent::Release),
        0 => (),
        1 => return ended(LeaseEvent::Decline),
        2 if lease.valid_lft == 0 => return ended(LeaseEvent::Release),
        2 => return ended(LeaseEvent::Expire),
        3 | 4 => return ended(LeaseEvent::Release),
        state => return Err(format!("state {state} is none that is known")),
    }
    let bytes = hex_pairs(&lease.duid).ok_or("no DUID")?;
    let Some(duid) = Duid::new(&bytes) else {
        let wrong = format!(
            "{}: the DUID has {} of 3 to 130 bytes; lease left out",
            lease.ip_address,
            bytes.len()
        );
        return Ok(Row { said: None, wrong: Some(wrong) });
    };
    let (hostname, wrong) = hostname(lease);
    let held = Held {
        r#type,
        holder: Holder::V6 { duid, iaid: lease.iaid },
        address: lease.ip_address.into(),
        prefix_len,
        mac: lease.hw_address.parse::<Mac>().ok(),
        hostname,
        classes: lease.user_context.as_ref().and_then(classes),
        expires_at: expires_at(lease)?,
    };
    Ok(Row { said: Some(Said::Held(held)), wrong })
}

fn what(lease: &Lease) -> Result<(LeaseType, Option<u8>), String> {
    match (&*lease.r#type, lease.prefix_len) {
        ("IA_NA", _) => Ok((LeaseType::Na, None)),
        ("IA_TA", _) => Ok((LeaseType::Ta, None)),
        ("IA_PD", Some(len)) if (1..=128).contains(&len) => Ok((LeaseType::Pd, Some(len))),
        ("IA_PD", _) => Err("no length of a prefix".to_owned()),
        _ => Err("no type of lease that is known".to_owned()),
    }
}

/// `cltt` is when the client was last heard, in seconds since 1970.
fn expires_at(lease: &Lease) -> Result<Option<Timestamp>, String> {
    if lease.valid_lft == u32::MAX {
        return Ok(None);
    }
    let second = lease.cltt.checked_add(lease.valid_lft.into());
    let at = second.and_then(|second| Timestamp::from_second(second).ok());
    at.map(Some).ok_or_else(|| "no time of expiry".to_owned())
}

/// The client's name, without the dot that Kea may end it with; or what is wrong with it.
fn hostname(lease: &Lease) -> (Option<Hostname>, Option<String>) {
    let name = lease.hostname.strip_suffix('.').unwrap_or(&lease.hostname);
    if name.is_empty() {
        return (None, None);
    }
    match name.parse() {
        Ok(name) => (Some(name), None),
        Err(_) => {
            let shown: String = name.chars().take(120).collect();
            let address = lease.ip_address;
            let wrong = format!(
                "{address}: host name \"{}\" is none; lease served without it",
                OneLine(&shown)
            );
            (None, Some(wrong))
        }
    }
}

/// What a user context says of the client: the strings, or lists of strings, that are called
/// `vendor-class` and `user-class`. Kea itself notes neither; a hook or an operator may.
fn classes(context: &Value) -> Option<Box<Classes>> {
    let of = |name: &str| match context.get(name) {
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        Some(text) => text.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let mut classes = Classes::default();
    of("vendor-class").iter().for_each(|text| classes.add_vendor(text.as_bytes()));
    of("user-class").iter().for_each(|text| classes.add_user(text.as_bytes()));
    classes.if_any()
}

/// The bytes of `00:1f:…`.
fn hex_pairs(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &str| match *pair.as_bytes() {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.split(':').map(pair).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A row as Kea 2.2 writes it.
    fn lease(with: Value) -> Row {
        let mut lease = json!({
            "cltt": 1795250858, "duid": "00:01:00:01:32:94:17:2a:00:0c:01:02:03:04",
            "fqdn-fwd": false, "fqdn-rev": false, "hostname": "web.example.org.",
            "hw-address": "00:0c:01:02:03:04", "iaid": 4294967295u32,
            "ip-address": "fd4c:1ab:0:60::1000", "preferred-lft": 400, "state": 0,
            "subnet-id": 7, "type": "IA_NA", "valid-lft": 600,
        });
        for (name, value) in with.as_object().unwrap() {
            lease[name] = value.clone();
        }
        row(&lease.to_string())
    }

    fn held(row: Row) -> Held {
        match row.said {
            Some(Said::Held(held)) => held,
            other => panic!("{other:?}, {:?}", row.wrong),
        }
    }

    fn place(address: &str, prefix_len: Option<u8>) -> Place {
        Place { address: address.parse().unwrap(), prefix_len }
    }

    #[test]
    fn a_lease_is_read() {
        let held = held(lease(json!({})));
        assert_eq!(held.r#type, LeaseType::Na);
        assert_eq!(held.place(), place("fd4c:1ab:0:60::1000", None));
        assert_eq!(held.hostname.unwrap().as_str(), "web.example.org");
        assert_eq!(held.mac.unwrap().to_string(), "00:0c:01:02:03:04");
        assert_eq!(held.expires_at, Some(Timestamp::from_second(1795251458).unwrap()));
        let duid = "00:01:00:01:32:94:17:2a:00:0c:01:02:03:04".parse().unwrap();
        assert_eq!(held.holder, Holder::V6 { duid, iaid: u32::MAX });
    }

    #[test]
    fn prefixes_and_endless_leases_are_read() {
        let pd = held(lease(json!({"type": "IA_PD", "prefix-len": 56, "ip-address": "fd4c::"})));
        assert_eq!((pd.r#type, pd.place()), (LeaseType::Pd, place("fd4c::", Some(56))));
        let endless = held(lease(json!({"valid-lft": 4294967295u32})));
        assert_eq!(endless.expires_at, None);
        let ta = held(lease(json!({"type": "IA_TA", "hostname": "", "hw-address": ""})));
        assert_eq!((ta.r#type, ta.hostname, ta.mac), (LeaseType::Ta, None, None));
    }

    #[test]
    fn classes_are_what_a_user_context_says_within_bounds() {
        let classes = |context: Value| held(lease(json!({"user-context": context}))).classes;
        let both =
            classes(json!({"vendor-class": "acme", "user-class": ["a", 7, "", "\u{1b}[2J", "b"]}));
        let both = both.unwrap();
        assert_eq!((both.vendor, both.user), (vec!["acme".into()], vec!["a".into(), "b".into()]));
        let long = "x".repeat(256);
        for none in [json!({}), json!(7), json!({"vendor-class": 7}), json!({"user-class": long})] {
            assert_eq!(classes(none.clone()), None, "{none}");
        }
        let many = classes(json!({"user-class": vec!["x"; 1000]})).unwrap();
        assert_eq!(many.user.len(), 16);
    }

    #[test]
    fn what_was_a_lease_has_ended() {
        for (with, event) in [
            (json!({"state": 1, "duid": "00"}), LeaseEvent::Decline),
            (json!({"state": 2}), LeaseEvent::Expire),
            (json!({"state": 2, "valid-lft": 0}), LeaseEvent::Release),
            (json!({"state": 3}), LeaseEvent::Release),
            (json!({"state": 4}), LeaseEvent::Release),
            (json!({"valid-lft": 0}), LeaseEvent::Release),
        ] {
            let said = lease(with.clone()).said;
            assert_eq!(
                said,
                Some(Said::Ended(place("fd4c:1ab:0:60::1000", None), event)),
                "{with}"
            );
        }
    }

    #[test]
    fn a_row_that_is_none_costs_no_other() {
        let at = Said::Doubtful(place("fd4c:1ab:0:60::1000", None));
        for with in [
            json!({"state": 9}),
            json!({"state": -1}),
            json!({"duid": "0:1"}),
            json!({"duid": 7}),
            json!({"iaid": 4294967296u64}),
            json!({"cltt": i64::MAX}),
            json!({"cltt": 999999999999999i64}),
            json!({"valid-lft": -1}),
            json!({"type": "IA_XX"}),
        ] {
            let row = lease(with.clone());
            assert_eq!(row.said, Some(at.clone()), "{with}");
            assert!(row.wrong.unwrap().len() < 500);
        }
        let pd = lease(json!({"type": "IA_PD", "prefix-len": 56, "state": 9}));
        assert_eq!(pd.said, Some(Said::Doubtful(place("fd4c:1ab:0:60::1000", Some(56)))));
        for text in ["7", "{}", "[]", "null", "\"x\"", r#"{"ip-address":"fd00::zz"}"#] {
            assert!(matches!(row(text).said, Some(Said::Unreadable(_))), "{text}");
        }
        let whole: Box<RawValue> = RawValue::from_string("{}".to_owned()).unwrap();
        assert_eq!(page(&[whole]).last, None);
    }

    #[test]
    fn a_hostile_name_costs_its_client_only_the_name() {
        for name in ["-x", "a b", "../x", "$(x)", "\u{202e}x", "x\n", &"x".repeat(65536)] {
            let row = lease(json!({"hostname": name}));
            let wrong = row.wrong.clone().unwrap();
            assert!(wrong.len() < 1000 && !wrong.contains('\n') && !wrong.contains('\u{202e}'));
            assert_eq!(held(row).hostname, None);
        }
    }

    #[test]
    fn an_identity_that_never_was_served_hides_nobody() {
        for duid in ["00:01", &["00"; 131].join(":")] {
            let row = lease(json!({"duid": duid}));
            assert_eq!(row.said, None);
            assert!(row.wrong.unwrap().contains("left out"));
        }
    }
}
