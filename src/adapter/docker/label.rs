//! The labels by which a container is known as the suite's own.
//!
//! An image can carry labels too, and `docker commit` writes a container's labels into one; a
//! container that somebody makes from it has them without being the suite's. So the owner's label
//! alone proves nothing: the declared document beside it must name the container that it is on.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::record::{Container, ContainerId, Owner, Span};

/// The pipe that made the container.
pub const OWNER: &str = "leasepipe.owner";

/// The key of the client whose lease the container is for.
pub const KEY: &str = "leasepipe.key";

/// The container's document as it was declared, as JSON.
pub const DECLARED: &str = "leasepipe.declared";

/// When the container is to go at the latest, as it was known when it was made.
pub const EXPIRES: &str = "leasepipe.expires";

/// The engine's id of the container that one was made to take the place of.
pub const REPLACES: &str = "leasepipe.replaces";

/// The volumes without a name that one has taken over from the container before it, in JSON.
pub const VOLUMES: &str = "leasepipe.volumes";

/// What the names of the suite's own labels begin with.
pub const PREFIX: &str = "leasepipe.";

/// The labels of a container that `owner` makes: those declared, and the suite's own.
pub(super) fn labels(container: &Container, owner: &Owner) -> HashMap<String, String> {
    let document = serde_json::to_string(&container.declared())
        .expect("the suite's types can be written as JSON");
    let mut labels: HashMap<_, _> = container.labels.clone().into_iter().collect();
    labels.insert(OWNER.to_owned(), owner.to_string());
    labels.insert(DECLARED.to_owned(), document);
    if let Some(lease) = &container.lease {
        labels.insert(KEY.to_owned(), lease.key.to_string());
    }
    if let Some(at) = deadline(container, Timestamp::now()) {
        labels.insert(EXPIRES.to_owned(), at.to_string());
    }
    labels
}

/// When a container that is asked for now is to go at the latest, in whole seconds: at
/// `expires_at`, or `ttl` from now if that is sooner. Nothing when it may stay for ever.
pub fn deadline(container: &Container, now: Timestamp) -> Option<Timestamp> {
    let lived = container.ttl.map(|Span(ttl)| now.checked_add(ttl).unwrap_or(Timestamp::MAX));
    let at = container.expires_at.into_iter().chain(lived).min()?;
    Timestamp::from_second(at.as_second()).ok()
}

/// Whose the container called `name` is and what was declared, from its labels; nothing when the
/// suite did not make it, or it has got another name since.
pub(super) fn read(
    labels: &HashMap<String, String>,
    name: &ContainerId,
) -> Option<(Owner, Container)> {
    let owner = labels.get(OWNER)?.parse().ok()?;
    let document: Container = serde_json::from_str(labels.get(DECLARED)?).ok()?;
    (document.id == *name).then_some((owner, document))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_declared_comes_back_to_the_letter() {
        let text = r#"{"id":"web","image":"busybox","env":["A=\u0007\"'$(x)\n","B=é"],"labels":{"k":"{\"a\":1}"},"cpus":0.5,"x-note":[1e400]}"#;
        let mut wanted = container(text);
        let owner: Owner = "edge".parse().unwrap();
        let before = serde_json::to_string(&wanted).unwrap();
        wanted.state = Some(crate::record::State::Running);
        let labels = labels(&wanted, &owner);
        let (found, document) = read(&labels, &wanted.id).unwrap();
        assert_eq!(found, owner);
        assert_eq!(serde_json::to_string(&document).unwrap(), before);
        assert_eq!(labels["k"], r#"{"a":1}"#);
    }

    #[test]
    fn the_sooner_end_counts() {
        let now: Timestamp = "2026-11-21T12:00:00.7Z".parse().unwrap();
        let of = |fields: &str| {
            let container = container(&format!(r#"{{"id":"web","image":"busybox"{fields}}}"#));
            deadline(&container, now).map(|at| at.to_string())
        };
        assert_eq!(of(""), None);
        assert_eq!(of(r#","ttl":"90s""#).as_deref(), Some("2026-11-21T12:01:30Z"));
        let at = r#","expires_at":"2026-11-21T12:01:00+00:00""#;
        assert_eq!(of(at).as_deref(), Some("2026-11-21T12:01:00Z"));
        assert_eq!(of(&format!(r#"{at},"ttl":"5m""#)), of(at));
        assert_eq!(of(&format!(r#"{at},"ttl":"1s""#)).as_deref(), Some("2026-11-21T12:00:01Z"));
        assert_eq!(of(r#","ttl":"99999999999d""#), Some("9999-12-30T22:00:00Z".to_owned()));
        let edge = "edge".parse().unwrap();
        let labels = labels(&container(&format!(r#"{{"id":"web","image":"busybox"{at}}}"#)), &edge);
        assert_eq!(labels[EXPIRES], "2026-11-21T12:01:00Z");
    }

    #[test]
    fn labels_that_came_with_an_image_prove_nothing() {
        let labels =
            labels(&container(r#"{"id":"web","image":"busybox"}"#), &"edge".parse().unwrap());
        assert!(read(&labels, &"web".parse().unwrap()).is_some());
        assert!(read(&labels, &"copy".parse().unwrap()).is_none());
        let only_owner = HashMap::from([(OWNER.to_owned(), "edge".to_owned())]);
        assert!(read(&only_owner, &"web".parse().unwrap()).is_none());
    }
}
