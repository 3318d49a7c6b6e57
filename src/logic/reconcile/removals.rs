//! In which order containers go.

use std::collections::HashMap;

use super::super::dependence::dependents_first;
use super::sides::Member;
use crate::record::{ContainerId, Split};

/// Puts those that go into such an order that each goes before those that it depends on, and otherwise
/// leaves them as they are. `told` gives the name of each and what is known of it.
pub(super) fn put_in_order<'a, T: Copy>(
    going: &mut [T],
    told: impl Fn(T) -> Option<(&'a ContainerId, &'a Member)>,
) {
    let text = |one: &T| told(*one).map_or("", |(_, member)| &*member.text);
    if !going.iter().any(|one| text(one).contains("depends_on")) {
        return;
    }
    let named = going.iter().enumerate().filter_map(|(at, one)| Some((told(*one)?.0.as_str(), at)));
    let places: HashMap<&str, usize> = named.collect();
    let needs: Vec<Vec<usize>> = going
        .iter()
        .map(|one| {
            depends_on(text(one)).iter().filter_map(|id| places.get(&**id).copied()).collect()
        })
        .collect();
    let order: Vec<T> = dependents_first(&needs).into_iter().map(|at| going[at]).collect();
    going.copy_from_slice(&order);
}

/// What the container with this document depends on.
fn depends_on(text: &str) -> Vec<String> {
    if !text.contains("depends_on") {
        return Vec::new();
    }
    let split = Split::parse(text).ok();
    let list = split.as_ref().and_then(|split| split.get("depends_on"));
    list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
}
