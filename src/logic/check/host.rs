//! Other containers, replicas, and the host that is asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, network};
use crate::record::{Affinity, Constraint, Container, LabelTest, Peer, Requires};

pub fn check(container: &Container, found: &mut Findings) {
    itself(container, found);
    if container.scale.is_some_and(|count| count > 1) {
        replicas(container, found);
    }
    if let Some(requires) = &container.requires {
        constraints(requires, found);
        affinities(container, requires, found);
    }
}

/// A container cannot be there before itself.
fn itself(container: &Container, found: &mut Findings) {
    let own = container.id.as_str();
    let first = |text: &str| text.split(':').next() == Some(own);
    for (at, link) in container.links.iter().enumerate().filter(|(_, link)| first(link.as_str())) {
        found
            .fault(format_args!("links[{at}]"), format_args!("\"{link}\" is the container itself"));
    }
    for (at, from) in container.volumes_from.iter().enumerate() {
        if first(from.as_str()) {
            let what = format_args!("\"{from}\" is the container itself");
            found.fault(format_args!("volumes_from[{at}]"), what);
        }
    }
    for (at, other) in container.depends_on.iter().enumerate() {
        if other == &container.id {
            found.fault(format_args!("depends_on[{at}]"), "it is the container itself");
        }
    }
    let modes = [
        ("network_mode", container.network_mode.as_deref()),
        ("ipc", container.ipc.as_ref().map(|mode| mode.as_str())),
        ("pid", container.pid.as_ref().map(|mode| mode.as_str())),
    ];
    for (field, mode) in modes {
        if mode.and_then(|mode| mode.strip_prefix("container:")) == Some(own) {
            found.fault(field, "it is the container itself");
        }
    }
    if container.scaled_from.as_ref() == Some(&container.id) {
        found.fault("scaled_from", "it is the container itself");
    }
}

/// What the replicas of one container cannot all have.
fn replicas(container: &Container, found: &mut Findings) {
    if let Some(field) = network::fixed(container) {
        found.fault(field, "the replicas that \"scale\" asks for cannot all have it");
    }
    if let Some(at) = container.ports.iter().position(|port| port.host != 0) {
        let (place, port) = (format_args!("ports[{at}]"), container.ports[at]);
        match &container.host {
            Some(_) => found.fault(
                place,
                format_args!("\"{port}\" can be taken once on a host, and \"scale\" asks for more"),
            ),
            None => found.remark(
                place,
                format_args!(
                    "\"{port}\" gives each replica that \"scale\" asks for a host of its own"
                ),
            ),
        }
    }
}

/// What the constraints of one label come to.
#[derive(Default)]
struct Label<'a> {
    is_there: bool,
    is_missing: bool,
    among: Option<BTreeSet<&'a str>>,
    not_among: BTreeSet<&'a str>,
}

/// Constraints that no host can meet, because one excludes the other.
fn constraints(requires: &Requires, found: &mut Findings) {
    let mut labels: BTreeMap<&str, Label> = BTreeMap::new();
    for Constraint { label, test } in &requires.constraints {
        let so_far = labels.entry(label).or_default();
        match test {
            LabelTest::Exists => so_far.is_there = true,
            LabelTest::Missing => so_far.is_missing = true,
            LabelTest::NotIn(values) => so_far.not_among.extend(values.iter().map(String::as_str)),
            LabelTest::In(values) => {
                let mut values: BTreeSet<&str> = values.iter().map(String::as_str).collect();
                if let Some(among) = &so_far.among {
                    values.retain(|value| among.contains(value));
                }
                so_far.among = Some(values);
            }
        }
    }
    for (name, label) in labels {
        let left = label.among.as_ref().map(|among| among.difference(&label.not_among).count());
        let is_there = label.is_there || label.among.is_some();
        if left == Some(0) || is_there && label.is_missing {
            let what = format_args!("no host can be all that they ask of the label {name:?}");
            found.fault("requires.constraints", what);
        }
    }
}

/// Conditions that cannot be met, because one excludes the other or the container itself.
fn affinities(container: &Container, requires: &Requires, found: &mut Findings) {
    let hard = |list: &'_ [Affinity]| -> BTreeSet<Peer> {
        list.iter().filter(|one| one.hard).map(|one| one.to.clone()).collect()
    };
    let (with, apart) = (hard(&requires.affinity), hard(&requires.anti_affinity));
    if let Some(both) = with.intersection(&apart).next() {
        let shown = Affinity { to: both.clone(), hard: true };
        found.fault("requires.anti_affinity", format_args!("\"{shown}\" is in \"affinity\", too"));
    }
    let hosts: Vec<&Peer> = with.iter().filter(|peer| matches!(peer, Peer::Host(_))).collect();
    if hosts.len() > 1 {
        found.fault("requires.affinity", "it asks for more than one host");
    }
    // Its replicas may well be asked to be with it, or apart from it.
    let is_alone = container.scale.is_none_or(|count| count <= 1);
    for (field, list) in [("affinity", &with), ("anti_affinity", &apart)] {
        if is_alone && list.contains(&Peer::Container(container.id.clone())) {
            let what = format_args!("\"container={}\" is the container itself", container.id);
            found.fault(format_args!("requires.{field}"), what);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{none, one};

    #[test]
    fn nothing_waits_for_itself() {
        none(json!({"links": ["db:web"], "volumes_from": ["webb"], "pid": "container:db"}));
        one(json!({"links": ["db", "web:x"]}), &["\"links[1]\"", "itself"]);
        one(json!({"volumes_from": ["web:ro"]}), &["\"volumes_from[0]\"", "itself"]);
        one(json!({"pid": "container:web"}), &["\"pid\"", "itself"]);
        one(json!({"ipc": "container:web"}), &["\"ipc\"", "itself"]);
        one(json!({"network_mode": "container:web"}), &["\"network_mode\"", "itself"]);
        one(json!({"scaled_from": "web"}), &["\"scaled_from\"", "itself"]);
        one(json!({"depends_on": ["db", "web"]}), &["\"depends_on[1]\"", "itself"]);
    }

    #[test]
    fn replicas_share_nothing_that_is_there_once() {
        none(json!({"scale": 1, "ports": ["80:80"], "addresses": ["fd00::1/64"]}));
        none(json!({"scale": 3, "ports": ["0:80"], "networks": ["a", {"bridge": "b"}]}));
        none(json!({"scale": 3, "networks": [{"bridge": "b", "addresses": ["dhcp6"]}]}));
        one(json!({"scale": 2, "addresses": ["fd00::1/64"]}), &["\"addresses\"", "cannot all"]);
        for network in [
            json!({"network": "a", "ipv4_address": "192.0.2.1"}),
            json!({"network": "a", "ipv6_address": "fd00::1"}),
            json!({"bridge": "a", "mac": "02:00:00:00:00:01"}),
            json!({"bridge": "a", "addresses": ["fd00::1/64"]}),
        ] {
            one(json!({"scale": 2, "networks": [network]}), &["\"networks[0].", "cannot all"]);
        }
        one(json!({"scale": 2, "ports": ["80:80"]}), &["remark", "host of its own"]);
        one(
            json!({"scale": 2, "ports": ["80:80"], "host": {"id": "a"}}),
            &["\"ports[0]\"", "once"],
        );
    }

    #[test]
    fn conditions_can_be_met() {
        let constraints = |list: &[&str]| json!({"requires": {"constraints": list}});
        none(constraints(&["zone in (a, b)", "zone!=a", "disk", "!old"]));
        none(constraints(&["!a", "a!=x"]));
        for bad in [
            &["zone=a", "zone=b"][..],
            &["zone in (a, b)", "zone notin (b, a)"],
            &["ssd", "!ssd"],
            &["ssd=x", "!ssd"],
        ] {
            one(constraints(bad), &["\"requires.constraints\"", "no host"]);
        }
        none(
            json!({"requires": {"affinity": ["group=a"], "anti_affinity": ["~group=a", "group=b"]}}),
        );
        let both = json!({"requires": {"affinity": ["group=a"], "anti_affinity": ["group=a"]}});
        one(both, &["\"requires.anti_affinity\"", "too"]);
        one(json!({"requires": {"anti_affinity": ["container=web"]}}), &["itself"]);
        none(json!({"requires": {"anti_affinity": ["container=web"]}, "scale": 2}));
        one(json!({"requires": {"affinity": ["host=a", "host=b"]}}), &["more than one host"]);
    }
}
