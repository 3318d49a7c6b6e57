//! What a host record says once its engine has been asked.

use std::collections::BTreeMap;

use super::place::demand;
use crate::record::{About, Amount, Amounts, Container, Expose, Host, HostState, Used};

/// What was found out about a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Its engine, if it says which.
    pub engine: Option<About>,
    /// Processors and memory, as resources.
    pub capacity: Amounts,
    /// What its processor is called.
    pub architecture: Option<String>,
    /// Its operating system.
    pub os: Option<String>,
    /// The engine's labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers are there.
    pub count: u64,
    /// Their documents, as far as they are known.
    pub containers: Vec<Container>,
    /// Ports of the host that are taken.
    pub ports: Vec<Expose>,
    /// How long the engine took to answer.
    pub round_trip_ms: f64,
}

/// The host whose engine answers. What the operator has said stands: capacity and labels that are
/// named, and that it drains.
pub fn answering(host: &Host, sight: &Sight) -> Host {
    let mut capacity = sight.capacity.clone();
    capacity.extend(host.capacity.clone());
    let mut labels = sight.labels.clone();
    labels.extend(host.labels.clone());
    let mut resources: Amounts = capacity
        .keys()
        .filter(|name| *name != "containers")
        .map(|name| (name.clone(), Amount::default()))
        .collect();
    for container in &sight.containers {
        for (name, amount) in demand(container) {
            let sum = resources.entry(name).or_default();
            *sum = Amount::from_milli(sum.milli().saturating_add(amount.milli()));
        }
    }
    Host {
        state: Some(drained(host).unwrap_or(HostState::Active)),
        reason: None,
        labels,
        capacity,
        used: Some(Used {
            containers: sight.count,
            resources,
            ports: sight.ports.clone(),
            rest: Default::default(),
        }),
        engine: sight.engine.clone(),
        architecture: sight.architecture.clone(),
        os: sight.os.clone(),
        round_trip_ms: Some((sight.round_trip_ms * 100.0).round() / 100.0),
        ..host.clone()
    }
}

/// The host whose engine does not answer, with the reason. What is known of it from before stays,
/// and so does that it drains.
pub fn silent(host: &Host, reason: String) -> Host {
    Host {
        state: Some(drained(host).unwrap_or(HostState::Down)),
        reason: Some(reason),
        round_trip_ms: None,
        ..host.clone()
    }
}

/// Whether something else is to be said of a host than what was said last. That an answer takes a
/// little longer or shorter is nothing new.
pub fn is_news(last: Option<&Host>, now: &Host) -> bool {
    let timeless = |host: &Host| Host { round_trip_ms: None, ..host.clone() };
    last.is_none_or(|last| timeless(last) != timeless(now))
}

fn drained(host: &Host) -> Option<HostState> {
    host.state.filter(|state| *state == HostState::Drain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(text: &str) -> Host {
        serde_json::from_str(text).unwrap()
    }

    fn container(fields: &str) -> Container {
        serde_json::from_str(&format!(r#"{{"id":"a","image":"b",{fields}}}"#)).unwrap()
    }

    fn sight() -> Sight {
        let number = |name: &str, amount| (name.to_owned(), Amount::whole(amount));
        Sight {
            capacity: [number("cpus", 8), number("memory", 1024)].into(),
            labels: [("zone", "eu"), ("disk", "ssd")].map(|(n, v)| (n.into(), v.into())).into(),
            count: 3,
            containers: vec![
                container(r#""memory":100,"cpus":0.5"#),
                container(r#""memory":1,"requires":{"resources":{"memory":50,"licences":1}}"#),
            ],
            ports: vec!["80".parse().unwrap()],
            round_trip_ms: 1.23456,
            ..Sight::default()
        }
    }

    #[test]
    fn what_the_operator_said_stands() {
        let told = host(
            r#"{"kind":"host","id":"a","url":"unix:///x","state":"drain","reason":"old",
                "labels":{"zone":"us"},"capacity":{"memory":512,"gpus":2},"note":[1]}"#,
        );
        let found = serde_json::to_value(answering(&told, &sight())).unwrap();
        assert_eq!(found["state"], "drain");
        assert_eq!(found.get("reason"), None);
        assert_eq!(found["labels"], json!({"zone": "us", "disk": "ssd"}));
        assert_eq!(found["capacity"], json!({"cpus": 8, "memory": 512, "gpus": 2}));
        assert_eq!(found["note"], json!([1]));
        assert_eq!(found["round_trip_ms"], 1.23);
    }

    #[test]
    fn what_is_used_is_told_for_all_that_is_counted() {
        let plain = host(r#"{"kind":"host","id":"a","url":"unix:///x","capacity":{"gpus":2}}"#);
        let used = serde_json::to_value(answering(&plain, &sight()).used).unwrap();
        let resources = json!({"cpus": 0.5, "memory": 150, "gpus": 0, "licences": 1});
        assert_eq!(used, json!({"containers": 3, "resources": resources, "ports": ["80"]}));
    }

    #[test]
    fn a_silent_host_keeps_what_is_known_of_it() {
        let plain = host(r#"{"kind":"host","id":"a","url":"unix:///x"}"#);
        let found = answering(&plain, &sight());
        let lost = silent(&found, "no answer".into());
        assert_eq!(
            (lost.state, lost.reason.as_deref()),
            (Some(HostState::Down), Some("no answer"))
        );
        assert_eq!((lost.used.clone(), lost.round_trip_ms), (found.used.clone(), None));
        assert_eq!(answering(&lost, &sight()), found, "it comes back");
        let drains = Host { state: Some(HostState::Drain), ..plain };
        assert_eq!(silent(&drains, String::new()).state, Some(HostState::Drain));
    }

    #[test]
    fn how_long_it_took_is_no_news() {
        let plain = host(r#"{"kind":"host","id":"a","url":"unix:///x"}"#);
        let found = answering(&plain, &sight());
        let slower = Host { round_trip_ms: Some(99.0), ..found.clone() };
        assert!(is_news(None, &found) && !is_news(Some(&found), &slower));
        assert!(is_news(Some(&found), &silent(&found, "x".into())));
    }
}
