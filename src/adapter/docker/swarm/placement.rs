//! On which nodes a service may run, and what it reserves there.

use bollard::models::{
    GenericResourcesInner, GenericResourcesInnerDiscreteResourceSpec, Platform, ResourceObject,
    TaskSpecPlacement,
};

use crate::adapter::docker::list::{filled, parsed};
use crate::error::{Error, Kind, Result};
use crate::record::{Affinity, Amount, Amounts, Constraint, Container, LabelTest, Peer, Requires};

/// What a swarm's own names of nodes' properties begin with. Any other name is a label's that the
/// operator has given a node.
const PROPERTIES: [&str; 7] = [
    "node.id",
    "node.hostname",
    "node.ip",
    "node.role",
    "node.platform.",
    "node.labels.",
    "engine.labels.",
];

const LABEL: &str = "node.labels.";

/// Where a service may run; nothing when it may run anywhere.
///
/// # Errors
/// `Refused` for what a swarm has no words for.
pub(super) fn placement(container: &Container) -> Result<Option<TaskSpecPlacement>> {
    let mut constraints = Vec::new();
    if let Some(requires) = &container.requires {
        if let Some(label) = &requires.spread {
            let what = format_args!("field \"requires\": spread \"{label}\"");
            return Err(Error::new(Kind::Refused, what)
                .why("a swarm spreads the tasks of one service only"));
        }
        for constraint in &requires.constraints {
            constraints.extend(expressions(constraint)?);
        }
        let sides = [
            (&requires.affinity, "affinity", "=="),
            (&requires.anti_affinity, "anti_affinity", "!="),
        ];
        for (all, field, operator) in sides {
            for one in all {
                constraints.push(of_host(one, field, operator)?);
            }
        }
    }
    let platforms = container.platform.as_ref().map(|platform| one_of(platform.as_str()));
    let platforms = platforms.transpose()?.map(|platform| vec![platform]);
    if constraints.is_empty() && platforms.is_none() {
        return Ok(None);
    }
    let constraints = filled(constraints);
    Ok(Some(TaskSpecPlacement { constraints, platforms, ..Default::default() }))
}

/// A constraint as the one or several of the swarm's, all of which must hold.
fn expressions(constraint: &Constraint) -> Result<Vec<String>> {
    let refused = |why: &str| {
        let what = format_args!("field \"requires\": constraint \"{constraint}\"");
        Err(Error::new(Kind::Refused, what).why(why))
    };
    let (values, operator) = match &constraint.test {
        LabelTest::In(values) if values.len() == 1 => (values, "=="),
        LabelTest::NotIn(values) => (values, "!="),
        LabelTest::In(_) => return refused("a swarm compares with one value only"),
        LabelTest::Exists | LabelTest::Missing => {
            return refused("a swarm compares values and does not ask whether there is one");
        }
    };
    let label = &constraint.label;
    if label.contains('/') {
        return refused("a swarm takes no / in the name of a label");
    }
    if !values.iter().all(|value| is_value(value)) {
        return refused("a swarm takes no such value");
    }
    let is_property = PROPERTIES.iter().any(|property| label.starts_with(property));
    let prefix = if is_property { "" } else { LABEL };
    Ok(values.iter().map(|value| format!("{prefix}{label}{operator}{value}")).collect())
}

/// What swarms accept as a value.
fn is_value(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || ":-_ .*()?+[]\\^$|/".contains(c);
    !text.is_empty() && text.chars().all(known)
}

/// A wish for a host, or for another host, that must be met.
fn of_host(affinity: &Affinity, field: &str, operator: &str) -> Result<String> {
    let refused = |why: &str| {
        let what = format_args!("field \"requires\": {field} \"{affinity}\"");
        Err(Error::new(Kind::Refused, what).why(why))
    };
    match &affinity.to {
        Peer::Host(_) if !affinity.hard => refused("a swarm knows no wishes"),
        Peer::Host(id) if is_value(id) => Ok(format!("node.hostname{operator}{id}")),
        Peer::Host(_) => refused("a swarm takes no such value"),
        _ => refused("a swarm does not know which containers go together"),
    }
}

fn one_of(platform: &str) -> Result<Platform> {
    let mut words = platform.split('/').map(str::to_owned);
    let (os, architecture) = (words.next(), words.next());
    match words.next() {
        None => Ok(Platform { os, architecture }),
        Some(_) => {
            Err(Error::new(Kind::Refused, format_args!("field \"platform\": \"{platform}\""))
                .why("a swarm does not tell variants of an architecture"))
        }
    }
}

/// What a service reserves on its node; nothing when it asks for nothing.
///
/// # Errors
/// `Refused` for a part of something that is counted.
pub(super) fn reservations(container: &Container) -> Result<Option<ResourceObject>> {
    let mut reserved = ResourceObject::default();
    let mut counted = Vec::new();
    for (name, amount) in container.requires.iter().flat_map(|requires| &requires.resources) {
        match name.as_str() {
            "cpus" => reserved.nano_cpus = Some(number(amount.milli().saturating_mul(1_000_000))),
            "memory" => reserved.memory_bytes = Some(number(amount.milli().div_ceil(1000))),
            _ => counted.push(some(name, *amount)?),
        }
    }
    reserved.generic_resources = filled(counted);
    Ok((reserved != ResourceObject::default()).then_some(reserved))
}

fn some(name: &str, amount: Amount) -> Result<GenericResourcesInner> {
    if !amount.milli().is_multiple_of(1000) {
        let what = format_args!("field \"requires\": {amount} of \"{name}\"");
        return Err(Error::new(Kind::Refused, what).why("a swarm counts in whole numbers"));
    }
    Ok(GenericResourcesInner {
        named_resource_spec: None,
        discrete_resource_spec: Some(GenericResourcesInnerDiscreteResourceSpec {
            kind: Some(name.to_owned()),
            value: Some(number(amount.milli() / 1000)),
        }),
    })
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What a service asks of its node, as a document says it.
pub(super) fn told(
    placement: Option<&TaskSpecPlacement>,
    reserved: Option<&ResourceObject>,
) -> Option<Requires> {
    let expressions = placement.and_then(|placement| placement.constraints.as_ref());
    let mut resources = Amounts::new();
    let whole = |number: Option<i64>| u64::try_from(number?).ok().filter(|number| *number > 0);
    if let Some(reserved) = reserved {
        let nano = whole(reserved.nano_cpus);
        resources.extend(nano.map(|nano| ("cpus".into(), Amount::from_milli(nano / 1_000_000))));
        resources.extend(whole(reserved.memory_bytes).map(|b| ("memory".into(), Amount::whole(b))));
        for one in reserved.generic_resources.iter().flatten() {
            let Some(counted) = &one.discrete_resource_spec else { continue };
            if let (Some(kind), Some(value)) = (&counted.kind, whole(counted.value)) {
                resources.insert(kind.clone(), Amount::whole(value));
            }
        }
    }
    let constraints: Vec<Constraint> =
        expressions.into_iter().flatten().filter_map(|text| constraint(text)).collect();
    (!resources.is_empty() || !constraints.is_empty()).then(|| Requires {
        resources,
        constraints,
        affinity: Vec::new(),
        anti_affinity: Vec::new(),
        spread: None,
        group: None,
        rest: Default::default(),
    })
}

fn constraint(text: &str) -> Option<Constraint> {
    let text = text.trim();
    let text = text.strip_prefix(LABEL).unwrap_or(text);
    parsed(&text.replacen("==", "=", 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn needing(requires: Value) -> Container {
        let document = json!({"id": "web", "image": "busybox", "requires": requires});
        serde_json::from_value(document).unwrap()
    }

    fn said(requires: Value) -> Vec<String> {
        let placed = placement(&needing(requires)).unwrap().unwrap_or_default();
        placed.constraints.unwrap_or_default()
    }

    #[test]
    fn constraints_are_said_in_the_swarm_s_words_and_read_back() {
        let constraints = json!(["zone=eu", "disk notin (hdd, tape)", "node.role=worker"]);
        let said = said(json!({"constraints": constraints, "affinity": ["host=n1"]}));
        assert_eq!(
            said,
            [
                "node.labels.zone==eu",
                "node.labels.disk!=hdd",
                "node.labels.disk!=tape",
                "node.role==worker",
                "node.hostname==n1"
            ]
        );
        let placed = TaskSpecPlacement { constraints: Some(said), ..Default::default() };
        let told = told(Some(&placed), None).unwrap();
        let told: Vec<String> = told.constraints.iter().map(ToString::to_string).collect();
        let read = ["zone=eu", "disk!=hdd", "disk!=tape", "node.role=worker", "node.hostname=n1"];
        assert_eq!(told, read);
        let spaced = TaskSpecPlacement {
            constraints: Some(vec!["node.labels.a == b".into()]),
            ..Default::default()
        };
        let told = super::told(Some(&spaced), None).unwrap();
        assert_eq!(told.constraints[0].to_string(), "a=b");
    }

    #[test]
    fn what_a_swarm_has_no_words_for_is_refused() {
        for requires in [
            json!({"constraints": ["ssd"]}),
            json!({"constraints": ["!ssd"]}),
            json!({"constraints": ["zone in (a, b)"]}),
            json!({"constraints": ["site/zone=a"]}),
            json!({"constraints": ["zone=\u{e9}"]}),
            json!({"constraints": ["zone="]}),
            json!({"spread": "zone"}),
            json!({"affinity": ["~host=n1"]}),
            json!({"affinity": ["container=db"]}),
            json!({"anti_affinity": ["group=web"]}),
        ] {
            let why = placement(&needing(requires.clone())).unwrap_err();
            assert_eq!(why.kind(), Kind::Refused, "{requires}");
            assert!(why.to_string().contains("\"requires\""), "{why}");
        }
    }

    #[test]
    fn resources_are_reserved_and_read_back() {
        let resources = json!({"cpus": 0.25, "memory": 16777216, "licences": 2});
        let container = needing(json!({"resources": resources}));
        let reserved = reservations(&container).unwrap().unwrap();
        assert_eq!(
            (reserved.nano_cpus, reserved.memory_bytes),
            (Some(250_000_000), Some(16777216))
        );
        assert_eq!(told(None, Some(&reserved)), container.requires);
        let part = needing(json!({"resources": {"licences": 0.5}}));
        assert_eq!(reservations(&part).unwrap_err().kind(), Kind::Refused);
        assert_eq!(reservations(&needing(json!({}))).unwrap(), None);
    }

    #[test]
    fn a_platform_is_that_of_the_nodes() {
        let on = |platform: &str| {
            let document = json!({"id": "web", "image": "busybox", "platform": platform});
            placement(&serde_json::from_value(document).unwrap())
        };
        let platforms = on("linux/arm64").unwrap().unwrap().platforms.unwrap();
        let both = Platform { os: Some("linux".into()), architecture: Some("arm64".into()) };
        assert_eq!(platforms, [both]);
        assert_eq!(on("linux/arm/v7").unwrap_err().kind(), Kind::Refused);
    }
}
