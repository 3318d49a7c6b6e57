//! What a container needs of the host that it runs on.

use std::fmt;
use std::str::FromStr;

use super::shape::document;
use super::text::{NotA, as_json_string};
use super::{Amounts, ContainerId};

document! {
    /// What a host must have for a container, and beside what the container should be.
    pub struct Requires {
        /// What it takes of its host. `cpus`, `memory` and `gpus` are what the container is limited
        /// to unless this says otherwise.
        map resources: Amounts,
        /// What the host's labels must be: every one of these.
        many constraints: Vec<Constraint>,
        /// Where it is to be.
        many affinity: Vec<Affinity>,
        /// Where it is not to be.
        many anti_affinity: Vec<Affinity>,
        /// The label of hosts over whose values its group is spread, such as `zone`.
        opt spread: String,
        /// The containers that are spread together; absent means it and its replicas.
        opt group: String,
    }
}

/// What a label of a host must be.
///
/// Its text form is `label`, `!label`, `label=value`, `label!=value`, `label in (a, b)` or `label
/// notin (a, b)`. A host without the label is what `!=` and `notin` ask for, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraint {
    /// The label's name.
    pub label: String,
    /// What is asked of it.
    pub test: LabelTest,
}

/// What is asked of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelTest {
    /// That it is there.
    Exists,
    /// That it is not there.
    Missing,
    /// That its value is one of these.
    In(Vec<String>),
    /// That it is not there, or its value is none of these.
    NotIn(Vec<String>),
}

impl Constraint {
    /// Whether it holds for a label of this value; nothing is a label that is not there.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[String]| value.is_some_and(|v| values.iter().any(|one| one == v));
        match &self.test {
            LabelTest::Exists => value.is_some(),
            LabelTest::Missing => value.is_none(),
            LabelTest::In(values) => among(values),
            LabelTest::NotIn(values) => !among(values),
        }
    }
}

/// The name of a label: letters, digits and `_ . / -`.
fn is_label(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"_./-".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(word)
}

fn is_value(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, ',' | '(' | ')'))
}

impl FromStr for Constraint {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Constraint, NotA> {
        constraint(text).ok_or_else(|| {
            let what = "a constraint (label, !label, label=value, label!=value, label in (a, b), \
                        label notin (a, b))";
            NotA::new(text, what)
        })
    }
}

fn constraint(text: &str) -> Option<Constraint> {
    let list = |text: &str| {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        let values: Vec<String> = inner.split(',').map(|value| value.trim().to_owned()).collect();
        values.iter().all(|value| !value.is_empty() && is_value(value)).then_some(values)
    };
    let one = |text: &str| {
        let value = text.trim();
        is_value(value).then(|| vec![value.to_owned()])
    };
    let text = text.trim();
    let (label, test) = if let Some((label, value)) = text.split_once("!=") {
        (label, LabelTest::NotIn(one(value)?))
    } else if let Some((label, value)) = text.split_once('=') {
        (label, LabelTest::In(one(value)?))
    } else if let Some((label, values)) = text.split_once(" notin ") {
        (label, LabelTest::NotIn(list(values)?))
    } else if let Some((label, values)) = text.split_once(" in ") {
        (label, LabelTest::In(list(values)?))
    } else if let Some(label) = text.strip_prefix('!') {
        (label, LabelTest::Missing)
    } else {
        (text, LabelTest::Exists)
    };
    let label = label.trim();
    is_label(label).then(|| Constraint { label: label.to_owned(), test })
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.test {
            LabelTest::Exists => f.write_str(label),
            LabelTest::Missing => write!(f, "!{label}"),
            LabelTest::In(values) if values.len() == 1 => write!(f, "{label}={}", values[0]),
            LabelTest::NotIn(values) if values.len() == 1 => write!(f, "{label}!={}", values[0]),
            LabelTest::In(values) => write!(f, "{label} in ({})", values.join(", ")),
            LabelTest::NotIn(values) => write!(f, "{label} notin ({})", values.join(", ")),
        }
    }
}

/// A host or containers to be with, or not to be with.
///
/// Its text form is `host=ID`, `container=ID`, `group=NAME`, `label=NAME` or `label=NAME=VALUE`, the
/// labels being those of other containers. With `~` before it, it is a wish and not a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Affinity {
    /// Whom.
    pub to: Peer,
    /// Whether the container is not placed at all where this does not hold.
    pub hard: bool,
}

/// Who is meant by an [`Affinity`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The host of this name.
    Host(String),
    /// The container of this name.
    Container(ContainerId),
    /// The containers of this group: those that name it in `requires.group`, or the container of
    /// this name and its replicas.
    Group(String),
    /// The containers with this label, of this value if one is given.
    Label(String, Option<String>),
}

impl FromStr for Affinity {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Affinity, NotA> {
        let (hard, rest) = match text.strip_prefix('~') {
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let clean = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        let to =
            rest.split_once('=').filter(|(_, value)| clean(value)).and_then(|(kind, value)| {
                match kind {
                    "host" => Some(Peer::Host(value.to_owned())),
                    "container" => value.parse().ok().map(Peer::Container),
                    "group" => Some(Peer::Group(value.to_owned())),
                    "label" => Some(match value.split_once('=') {
                        Some((name, value)) => Peer::Label(name.to_owned(), Some(value.to_owned())),
                        None => Peer::Label(value.to_owned(), None),
                    }),
                    _ => None,
                }
            });
        to.map(|to| Affinity { to, hard }).ok_or_else(|| {
            let what = "an affinity (host=ID, container=ID, group=NAME or label=NAME[=VALUE], with \
                        ~ before it for a wish)";
            NotA::new(text, what)
        })
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.hard { "" } else { "~" })?;
        match &self.to {
            Peer::Host(id) => write!(f, "host={id}"),
            Peer::Container(id) => write!(f, "container={id}"),
            Peer::Group(name) => write!(f, "group={name}"),
            Peer::Label(name, None) => write!(f, "label={name}"),
            Peer::Label(name, Some(value)) => write!(f, "label={name}={value}"),
        }
    }
}

as_json_string!(Constraint, Affinity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_written_as_they_are_read() {
        for text in
            ["ssd", "!ssd", "zone=eu", "zone!=eu", "zone in (a, b)", "zone notin (a, b)", "z="]
        {
            assert_eq!(text.parse::<Constraint>().unwrap().to_string(), text);
        }
        assert_eq!(" zone = eu ".parse::<Constraint>().unwrap().to_string(), "zone=eu");
        for bad in
            ["", "!", "=a", "a b", "zone in a", "zone in ()", "zone in (a,)", "a=b,c", "a=x\ny"]
        {
            assert!(bad.parse::<Constraint>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_label_that_is_not_there_is_not_what_is_excluded() {
        let holds = |text: &str, value| text.parse::<Constraint>().unwrap().holds(value);
        assert!(holds("a", Some("")) && !holds("a", None));
        assert!(holds("!a", None) && !holds("!a", Some("x")));
        assert!(holds("a=x", Some("x")) && !holds("a=x", Some("y")) && !holds("a=x", None));
        assert!(holds("a!=x", Some("y")) && holds("a!=x", None) && !holds("a!=x", Some("x")));
        assert!(holds("a in (x, y)", Some("y")) && !holds("a in (x, y)", None));
        assert!(holds("a notin (x, y)", None) && !holds("a notin (x, y)", Some("y")));
    }

    #[test]
    fn affinities_are_written_as_they_are_read() {
        for text in ["host=a", "~container=web", "group=db", "label=app", "~label=app=web=1"] {
            assert_eq!(text.parse::<Affinity>().unwrap().to_string(), text);
        }
        for bad in ["", "web", "host=", "container=a b", "zone=a", "~", "host=\n"] {
            assert!(bad.parse::<Affinity>().is_err(), "{bad:?}");
        }
    }
}
