//! Which containers stand in for each other, and which changes take one of them away.

use crate::record::{Action, Change, Container, Owner, State};
use crate::stage::changes::{Batch, Effect};

/// The group of a change's container, and what becomes of it when `action` is what is done.
pub(super) fn batch(change: &Change, action: Action, owner: &Owner) -> Batch {
    Batch { group: group(&change.container, owner).into(), effect: effect(change, action) }
}

/// Containers of one document, as cccf-scale(1) makes them, are a group; so are all others of an owner.
/// A container that names no owner is one of `owner`'s.
fn group(container: &Container, owner: &Owner) -> String {
    let owner = container.owner.as_ref().unwrap_or(owner);
    match (&container.scaled_from, container.scale) {
        (Some(base), _) => format!("{owner} {base}"),
        (None, Some(2..)) => format!("{owner} {}", container.id),
        _ => owner.to_string(),
    }
}

fn effect(change: &Change, action: Action) -> Effect {
    match action {
        Action::Remove => Effect::Removed,
        Action::Replace | Action::Restart if !is_at_rest(change) => Effect::Renewed,
        Action::Stop | Action::Kill | Action::Pause if !is_at_rest(change) => Effect::Rested,
        _ => Effect::Brought,
    }
}

/// Whether the record says that the container does not run.
fn is_at_rest(change: &Change) -> bool {
    let there = change.current.as_ref().unwrap_or(&change.container);
    matches!(there.state, Some(State::Absent | State::Created | State::Exited | State::Dead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str, action: Action) -> (String, Effect) {
        let text = format!(r#"{{"id":"web","image":"b"{fields}}}"#);
        let change = Change::new(action, serde_json::from_str(&text).unwrap());
        let Batch { group, effect } = batch(&change, action, &"edge".parse().unwrap());
        (group.into(), effect)
    }

    #[test]
    fn replicas_are_a_group_and_so_are_all_others_of_an_owner() {
        let group = |fields: &str| of(fields, Action::Replace).0;
        assert_eq!(group(r#","scale":3"#), group(r#","scaled_from":"web""#));
        assert_eq!(group(""), group(r#","owner":"edge","scale":1"#));
        assert_ne!(group(""), group(r#","owner":"lab""#));
        assert_ne!(
            group(r#","scaled_from":"web""#),
            group(r#","scaled_from":"web","owner":"lab""#)
        );
        assert_ne!(group(r#","scaled_from":"edge""#), group(""));
    }

    #[test]
    fn what_does_not_run_is_not_taken_away() {
        for (action, effect) in [
            (Action::Replace, Effect::Renewed),
            (Action::Restart, Effect::Renewed),
            (Action::Stop, Effect::Rested),
            (Action::Kill, Effect::Rested),
            (Action::Pause, Effect::Rested),
            (Action::Add, Effect::Brought),
            (Action::Keep, Effect::Brought),
            (Action::Start, Effect::Brought),
            (Action::Unpause, Effect::Brought),
            (Action::Remove, Effect::Removed),
        ] {
            assert_eq!(of("", action).1, effect, "{action}");
            let at_rest = if action == Action::Remove { Effect::Removed } else { Effect::Brought };
            assert_eq!(of(r#","state":"exited""#, action).1, at_rest, "{action}");
        }
    }
}
