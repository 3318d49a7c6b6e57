//! When clients are to be gone at the latest: with the last of their leases.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Key, Lease, LeaseState, LeaseType};

/// When the leases of clients end, as they were told last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseEnds {
    /// What was known before.
    known: BTreeMap<Key, End>,
    /// What is told now: all leases of a client that are told take the place of what was known.
    told: BTreeMap<Key, BTreeMap<(LeaseType, IpAddr), End>>,
}

/// When a lease ends; nothing when it never does.
type End = Option<Timestamp>;

/// One client, as it is remembered.
#[derive(Serialize, Deserialize)]
struct Line {
    key: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: End,
}

impl LeaseEnds {
    /// Takes in a line of [`LeaseEnds::text`].
    ///
    /// # Errors
    /// What is wrong with one that is none.
    pub fn remember(&mut self, line: &str) -> Result<(), String> {
        let Line { key, expires_at } = serde_json::from_str(line).map_err(|why| why.to_string())?;
        self.known.insert(key, expires_at);
        Ok(())
    }

    /// Takes in a lease. The end of one that has ended already was told while it had not.
    pub fn tell(&mut self, lease: &Lease) {
        if lease.state == LeaseState::Ended {
            return;
        }
        let end = lease.expires_at.map(|at| lease.grace_until.map_or(at, |until| until.max(at)));
        let leases = self.told.entry(lease.key).or_default();
        leases.insert((lease.r#type, lease.address), end);
    }

    /// When a client's last lease ends; nothing when that is not known, or never.
    pub fn of(&self, client: &Key) -> Option<Timestamp> {
        self.end(client).flatten()
    }

    fn end(&self, client: &Key) -> Option<End> {
        let last = |leases: &BTreeMap<_, End>| {
            let is_endless = leases.values().any(Option::is_none);
            if is_endless { None } else { leases.values().copied().max().flatten() }
        };
        self.told.get(client).map(last).or_else(|| self.known.get(client).copied())
    }

    /// Forgets the clients whose leases have ended by `now`, but for those that `has_containers`.
    pub fn forget(&mut self, now: Timestamp, has_containers: impl Fn(&Key) -> bool) {
        let lives = |key: &Key, end: End| end.map_or(self.told.contains_key(key), |at| at > now);
        let keeps = |key: &Key, end: End| lives(key, end) || has_containers(key);
        let gone: Vec<Key> =
            self.all().filter(|(key, end)| !keeps(key, *end)).map(|(key, _)| key).collect();
        for key in gone {
            self.known.remove(&key);
            self.told.remove(&key);
        }
    }

    fn all(&self) -> impl Iterator<Item = (Key, End)> {
        let told_alone = self.told.keys().filter(|key| !self.known.contains_key(key));
        let keys = self.known.keys().chain(told_alone);
        keys.map(|key| (*key, self.end(key).unwrap_or_default()))
    }

    /// All that is known, a client a line.
    pub fn text(&self) -> String {
        let line = |(key, expires_at)| {
            let line = serde_json::to_string(&Line { key, expires_at });
            line.expect("a key and a time are JSON") + "\n"
        };
        self.all().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "xz7i3deekm7jz";
    const B: &str = "xz7i3deekm7j2";

    fn lease(key: &str, kind: &str, fields: &str) -> Lease {
        let address = if kind == "pd" { "2001:db8:1::" } else { "2001:db8::5" };
        serde_json::from_str(&format!(
            r#"{{"kind":"lease","event":"list","state":"active","family":"ipv6","type":"{kind}",
                "key":"{key}","address":"{address}","source":"s"{fields}}}"#
        ))
        .unwrap()
    }

    fn until(minute: u8) -> String {
        format!(r#","expires_at":"2026-11-21T12:{minute:02}:00Z""#)
    }

    fn at(minute: u8) -> Timestamp {
        format!("2026-11-21T12:{minute:02}:00Z").parse().unwrap()
    }

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_of_a_client_s_leases_counts_and_the_last_word_on_it() {
        let mut ends = LeaseEnds::default();
        ends.remember(&format!(r#"{{"key":"{A}"{}}}"#, until(50))).unwrap();
        assert_eq!((ends.of(&key(A)), ends.of(&key(B))), (Some(at(50)), None));
        ends.tell(&lease(A, "na", &until(10)));
        ends.tell(&lease(A, "pd", &until(20)));
        assert_eq!(ends.of(&key(A)), Some(at(20)), "what was known before is out of date");
        ends.tell(&lease(A, "pd", &until(5)));
        assert_eq!(ends.of(&key(A)), Some(at(10)));
        ends.tell(&lease(A, "na", &(until(30) + r#","grace_until":"2026-11-21T12:31:00Z""#)));
        assert_eq!(ends.of(&key(A)), Some(at(31)));
        let ended = serde_json::from_str::<Lease>(
            &serde_json::to_string(&lease(A, "na", &until(1))).unwrap().replace("active", "ended"),
        );
        ends.tell(&ended.unwrap());
        assert_eq!(ends.of(&key(A)), Some(at(31)), "it lives until then at the longest");
        ends.tell(&lease(A, "na", ""));
        assert_eq!(ends.of(&key(A)), None, "it never ends");
    }

    #[test]
    fn what_is_known_is_remembered_for_as_long_as_it_matters() {
        let mut ends = LeaseEnds::default();
        ends.tell(&lease(A, "na", &until(10)));
        ends.tell(&lease(B, "na", ""));
        let text = ends.text();
        assert_eq!(text.lines().count(), 2);
        let mut next = LeaseEnds::default();
        text.lines().for_each(|line| next.remember(line).unwrap());
        assert_eq!((next.of(&key(A)), next.text()), (Some(at(10)), text));
        next.forget(at(9), |_| false);
        next.forget(at(11), |client| *client == key(A));
        assert_eq!(next.of(&key(A)), Some(at(10)));
        next.tell(&lease(B, "na", ""));
        next.forget(at(10), |_| false);
        assert_eq!(next.text(), format!("{{\"key\":\"{B}\"}}\n"), "that one never ends");
        assert!(next.remember("{}").is_err());
    }
}
