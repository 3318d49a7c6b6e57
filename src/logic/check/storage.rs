//! Files, environment and labels: each mount point, variable and label means one thing.

use std::collections::HashMap;

use super::{Findings, names};
use crate::record::{Container, Volume};

/// Labels that the suite gives itself.
const OWN_LABELS: &str = "leasepipe.";

pub fn check(container: &Container, found: &mut Findings) {
    mounts(container, found);
    devices(container, found);
    environment(container, found);
    for name in container.labels.keys() {
        if name.starts_with(OWN_LABELS) {
            found.fault(
                "labels",
                format_args!("{name:?} begins with {OWN_LABELS}, as the suite's own do"),
            );
        } else if name.is_empty() {
            found.fault("labels", "a label has no name");
        }
    }
    if let Some(dir) = &container.workdir
        && !dir.starts_with('/')
    {
        found.fault("workdir", format_args!("{dir:?} is not an absolute path"));
    }
}

/// What is mounted where. The same text twice is one member of the set.
fn mounts(container: &Container, found: &mut Findings) {
    let mut at: HashMap<&str, &str> = HashMap::new();
    for (number, volume) in container.volumes.iter().enumerate() {
        let place = format_args!("volumes[{number}]");
        let (target, options) = inside(volume);
        for option in options.into_iter().flat_map(|options| options.split(',')) {
            if !names::is_mount_option(option) {
                found.fault(place, format_args!("{option:?} is not an option of a mount"));
            }
        }
        match at.insert(path(target), volume.as_str()) {
            Some(other) if other != volume.as_str() => {
                found.fault(place, format_args!("{other:?} is mounted on {target:?}, too"));
            }
            _ => (),
        }
    }
    for target in container.tmpfs.keys() {
        if !target.starts_with('/') {
            found.fault("tmpfs", format_args!("{target:?} is not an absolute path"));
        } else if let Some(other) = at.get(path(target)) {
            found.fault("tmpfs", format_args!("{other:?} is mounted on {target:?}, too"));
        }
    }
}

/// Where a volume is inside, and its options.
fn inside(volume: &Volume) -> (&str, Option<&str>) {
    let mut parts = volume.as_str().split(':');
    match (parts.next().unwrap_or_default(), parts.next()) {
        (target, None) => (target, None),
        (_, Some(target)) => (target, parts.next()),
    }
}

/// A path without the slashes at its end.
fn path(text: &str) -> &str {
    text.trim_end_matches('/')
}

fn devices(container: &Container, found: &mut Findings) {
    let mut at: HashMap<&str, &str> = HashMap::new();
    for (number, device) in container.devices.iter().enumerate() {
        match at.insert(device.parts().1, device.as_str()) {
            Some(other) if other != device.as_str() => {
                let what = format_args!("{other:?} has the same name inside");
                found.fault(format_args!("devices[{number}]"), what);
            }
            _ => (),
        }
    }
}

fn environment(container: &Container, found: &mut Findings) {
    let mut values: HashMap<&str, &str> = HashMap::with_capacity(container.env.len());
    for (number, variable) in container.env.iter().enumerate() {
        match values.insert(variable.name(), variable.as_str()) {
            Some(other) if other != variable.as_str() => {
                let name = variable.name();
                let what =
                    format_args!("{name:?} has another value before, and the order says nothing");
                found.fault(format_args!("env[{number}]"), what);
            }
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{none, one};

    #[test]
    fn one_thing_is_mounted_at_each_place() {
        none(json!({"volumes": ["/a:/x", "/a:/x", "b:/y:ro,z", "/z"], "tmpfs": {"/run": ""}}));
        one(json!({"volumes": ["/a:/x", "/b:/x/"]}), &["\"volumes[1]\"", "\"/a:/x\" is mounted"]);
        one(json!({"volumes": ["/a:/x:ro", "/a:/x"]}), &["\"volumes[1]\""]);
        one(json!({"volumes": ["/x"], "tmpfs": {"/x": ""}}), &["\"tmpfs\"", "too"]);
        one(json!({"tmpfs": {"run": ""}}), &["\"run\" is not an absolute path"]);
        one(json!({"volumes": ["/a:/x:foo"]}), &["\"foo\" is not an option"]);
        one(json!({"volumes": ["/a:/x:"]}), &["\"\" is not an option"]);
        one(json!({"devices": ["/dev/a:/dev/x", "/dev/b:/dev/x"]}), &["\"devices[1]\"", "/dev/a"]);
        one(json!({"workdir": "srv"}), &["\"srv\" is not an absolute path"]);
    }

    #[test]
    fn a_variable_has_one_value_and_labels_are_not_the_suite_s() {
        none(json!({"env": ["A=1", "B=1", "A=1"], "labels": {"leasepiper": "x"}}));
        one(json!({"env": ["A=1", "B=1", "A=2"]}), &["\"env[2]\"", "\"A\" has another value"]);
        one(json!({"labels": {"leasepipe.owner": "x"}}), &["\"leasepipe.owner\" begins with"]);
        one(json!({"labels": {"": "x"}}), &["no name"]);
    }
}
