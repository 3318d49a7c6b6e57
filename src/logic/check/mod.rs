//! What no field can know alone: whether the fields of a container go together, and whether the
//! names in them are ones that the kernel and the engine have.

mod host;
mod limits;
mod names;
mod network;
mod storage;

use std::fmt::Display;

use crate::record::{Container, Faults};

/// What was found in a container whose fields are each right for themselves.
#[derive(Debug, Default)]
pub struct Findings {
    /// What makes it wrong: no engine does it, it says two things at once, or it asks for what can
    /// never be.
    pub faults: Faults,
    /// What is probably not meant.
    pub remarks: Faults,
    /// What the places are told behind.
    under: &'static str,
}

/// Looks at a container.
pub fn check(container: &Container) -> Findings {
    look("", container, Faults::default())
}

/// Looks at a container in which these faults were found, and which may stand inside another record:
/// places are told with `under` before them.
pub fn look(under: &'static str, container: &Container, faults: Faults) -> Findings {
    let mut found = Findings { under, faults, ..Findings::default() };
    network::check(container, &mut found);
    limits::check(container, &mut found);
    storage::check(container, &mut found);
    host::check(container, &mut found);
    found
}

impl Findings {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty() && self.remarks.is_empty()
    }

    /// Whether something is wrong with a field already, so that its value is not the one that was
    /// given.
    fn is_told(&self, field: &str) -> bool {
        self.faults.fields().any(|told| told == field)
    }

    fn fault(&mut self, place: impl Display, what: impl Display) {
        let place = format_args!("{}{place}", self.under);
        self.faults.inside(place, |found| found.value(what));
    }

    fn remark(&mut self, place: impl Display, what: impl Display) {
        let place = format_args!("{}{place}", self.under);
        self.remarks.inside(place, |found| found.value(what));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is found in a container with these fields: faults, and remarks behind `remark: `.
    pub fn found(fields: Value) -> Vec<String> {
        let mut document = json!({"id": "web", "image": "busybox"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let container: Container = serde_json::from_value(document).unwrap();
        let found = check(&container);
        let (faults, remarks) = (found.faults.finish().0, found.remarks.finish().0);
        let faults = faults.iter().map(ToString::to_string);
        faults.chain(remarks.iter().map(|remark| format!("remark: {remark}"))).collect()
    }

    /// The one thing that is found has all of these words.
    #[track_caller]
    pub fn one(fields: Value, words: &[&str]) {
        let found = found(fields.clone());
        let [only] = &found[..] else { panic!("{fields}: {found:?}") };
        assert!(words.iter().all(|word| only.contains(word)), "{fields}: {only}");
    }

    /// Nothing is found.
    #[track_caller]
    pub fn none(fields: Value) {
        assert_eq!(found(fields.clone()), [""; 0], "{fields}");
    }

    #[test]
    fn a_sound_fleet_is_sound() {
        for container in super::super::fleet::Fleet::seeded(5).take(2_000) {
            let found = check(&container);
            assert!(found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn everything_is_told_at_once_and_from_where_it_stands() {
        let text = r#"{"id":"web","image":"b","workdir":"x","cap_add":["FOO"],"memory":1}"#;
        let container: Container = serde_json::from_str(text).unwrap();
        let (faults, count) = look("container.", &container, Faults::default()).faults.finish();
        assert_eq!(count, 3);
        assert!(faults.iter().all(|fault| fault.field.starts_with("container.")), "{faults:?}");
    }
}
