//! `unionize list`: what is held, as it is remembered.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::adapter::attachments::{Attachment, Attachments, Leased};
use crate::error::Result;
use crate::pipe::{Output, Report};
use crate::record::{Object, Plug, Record};

const HEAD: &[&str] =
    &["CONTAINER", "INTERFACE", "LINK", "PLACE", "STATE", "RENEWAL", "ADDRESS", "LEFT"];

/// What is listed.
#[derive(clap::Args, Clone, Debug)]
pub struct Listing {
    /// Attachments are remembered in this directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/leasepipe/attachments")]
    state: PathBuf,
}

/// Writes out every attachment that is remembered, and touches none.
pub fn list(listing: &Listing, mut output: Output, report: &Report) -> Result<()> {
    let (found, wrong) = Attachments::at(&listing.state).list()?;
    wrong.iter().for_each(|why| report.failed(why));
    let now = Timestamp::now();
    for known in &found {
        report.used();
        for row in rows(known, now) {
            if !output.row(HEAD, &row)? {
                output.write(&Record::Other(record(known, now)))?;
                break;
            }
        }
    }
    output.settle()
}

/// When a lease is to be renewed, rebound, and over; absent for never.
type Times = [Option<Timestamp>; 3];

/// The times of each lease that is held.
fn times(known: &Attachment) -> impl Iterator<Item = Times> {
    let six = known.lease.as_ref().map(|lease| [lease.renew_at, lease.rebind_at, end(lease)]);
    let four = known.lease4.as_ref();
    let four = four.map(|lease| [lease.renew_at, lease.rebind_at, lease.address.valid_until]);
    six.into_iter().chain(four)
}

/// How it stands with the leases: with the one that is nearest to its end, where there are two.
fn state(known: &Attachment, now: Timestamp) -> &'static str {
    if known.asking && known.lease.is_none() {
        return "asking";
    }
    let is_past = |time: &Option<Timestamp>| time.is_some_and(|time| time <= now);
    let passed = |times: Times| times.iter().rposition(is_past).map_or(0, |at| at + 1);
    match times(known).map(passed).max() {
        None => "none",
        Some(passed) => ["held", "renewing", "rebinding", "over"][passed],
    }
}

/// When all of it is over; absent for never.
fn end(leased: &Leased) -> Option<Timestamp> {
    let addresses = leased.addresses.iter().map(|address| address.valid_until);
    let ends = addresses.chain(leased.prefixes.iter().map(|prefix| prefix.valid_until));
    ends.reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(leased.obtained_at))
}

fn record(known: &Attachment, now: Timestamp) -> Object {
    let mut record = Object::default();
    record.set("kind", "attachment");
    record.set("container", &known.container.id);
    if let Some(owner) = &known.container.owner {
        record.set("owner", owner);
    }
    if let Some(docker) = &known.container.docker {
        record.set("docker", &docker.id);
    }
    record.set("interface", &known.interface);
    record.set("link", &known.link);
    record.set("mac", &known.mac);
    record.set("network", &known.network);
    record.set("state", state(known, now));
    if let Some(lease) = &known.lease {
        record.set("lease", lease);
    }
    if let Some(lease) = &known.lease4 {
        record.set("lease4", lease);
    }
    record
}

/// A row for each address and prefix, or one without.
fn rows(known: &Attachment, now: Timestamp) -> Vec<Vec<String>> {
    let renewals = times(known).map(|[renewal, ..]| renewal);
    let first = renewals.reduce(|a, b| a.into_iter().chain(b).min());
    let renewal = first.map_or("-".to_owned(), |renewal| left(renewal, now));
    let row = |address: String, left: String| {
        vec![
            known.container.id.to_string(),
            known.interface.to_string(),
            known.link.to_string(),
            place(known),
            state(known, now).to_owned(),
            renewal.clone(),
            address,
            left,
        ]
    };
    let leased = known.lease.iter().flat_map(|lease| &lease.addresses);
    let leased = leased.chain(known.lease4.iter().map(|lease| &lease.address));
    let mut rows: Vec<Vec<String>> = leased
        .map(|leased| {
            row(format!("{}/{}", leased.address, leased.prefix_len), left(leased.valid_until, now))
        })
        .collect();
    let delegated = known.lease.iter().flat_map(|lease| &lease.prefixes);
    rows.extend(
        delegated.map(|prefix| row(prefix.prefix.to_string(), left(prefix.valid_until, now))),
    );
    rows.extend(
        known.fixed().map(|fixed| {
            row(format!("{}/{}", fixed.address, fixed.prefix_len), "never".to_owned())
        }),
    );
    if rows.is_empty() {
        rows.push(row("-".to_owned(), "-".to_owned()));
    }
    rows
}

/// What it is plugged into.
fn place(known: &Attachment) -> String {
    match known.network.plug() {
        Ok(Plug::Bridge { bridge, .. }) => bridge.to_string(),
        _ => known.network.parent.as_ref().map_or("-".to_owned(), ToString::to_string),
    }
}

/// For how long still, in the two largest units.
fn left(until: Option<Timestamp>, now: Timestamp) -> String {
    let Some(until) = until else { return "never".to_owned() };
    let left = until.duration_since(now);
    if left <= SignedDuration::ZERO {
        return "past".to_owned();
    }
    let secs = left.as_secs();
    match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, m, _) => format!("{h}h{m}m"),
        (d, h, ..) => format!("{d}d{h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known(lease: &str) -> Attachment {
        let text = format!(
            r#"{{"version":2,"container":{{"id":"web","image":"busybox"}},"interface":"eth0",
            "link":"lpx","network":{{"bridge":"br1","addresses":["dhcp6","fd00::5/64"]}},
            "mac":"02:00:00:00:00:01"{lease}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_row_for_each_address_says_how_long_it_lasts() {
        let lease = r#","lease":{"duid":"00:04:01","iaid":1,"server":"00:04:02",
            "addresses":[{"address":"fd00::9","prefix_len":128,"origin":"dhcp6",
            "valid_until":"1970-01-01T02:00:00Z"}],
            "obtained_at":"1970-01-01T00:00:00Z","renew_at":"1970-01-01T01:00:00Z",
            "rebind_at":"1970-01-01T01:36:00Z"}"#;
        let known = known(lease);
        let words = |second| rows(&known, at(second)).concat().join(" ");
        assert_eq!(
            words(95),
            "web eth0 lpx br1 held 58m25s fd00::9/128 1h58m \
             web eth0 lpx br1 held 58m25s fd00::5/64 never"
        );
        for (second, state) in [(3600, "renewing"), (5760, "rebinding"), (7200, "over")] {
            assert!(words(second).contains(&format!(" {state} past ")), "{}", words(second));
        }
    }

    #[test]
    fn a_lease_of_dhcpv4_is_shown_as_well() {
        let lease = r#","lease4":{"server":"192.0.2.1","address":{"address":"192.0.2.9",
            "prefix_len":24,"origin":"dhcp4","valid_until":"1970-01-01T02:00:00Z"},
            "obtained_at":"1970-01-01T00:00:00Z","renew_at":"1970-01-01T01:00:00Z",
            "rebind_at":"1970-01-01T01:45:00Z"}"#;
        let known = known(lease);
        let words = |second| rows(&known, at(second)).concat().join(" ");
        assert_eq!(
            words(95),
            "web eth0 lpx br1 held 58m25s 192.0.2.9/24 1h58m \
             web eth0 lpx br1 held 58m25s fd00::5/64 never"
        );
        for (second, is) in [(3600, "renewing"), (6300, "rebinding"), (7200, "over")] {
            assert_eq!(state(&known, at(second)), is);
        }
        assert!(
            record(&known, at(0)).get("lease4").is_some_and(|lease| lease.contains("192.0.2.9"))
        );
    }

    #[test]
    fn what_has_no_lease_says_so() {
        assert_eq!(state(&known(""), at(0)), "none");
        assert_eq!(state(&known(r#","asking":true"#), at(0)), "asking");
        let record = record(&known(""), at(0));
        assert_eq!(record.get("state"), Some("\"none\""));
        assert_eq!(left(Some(at(200_000)), at(0)), "2d7h");
        assert_eq!(left(None, at(0)), "never");
    }
}
