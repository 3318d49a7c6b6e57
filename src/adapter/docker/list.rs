//! Lists and maps as Docker has them, where none and an empty one are the same.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

/// The items; nothing when there are none.
pub(super) fn filled<T>(items: impl IntoIterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.into_iter().collect();
    (!items.is_empty()).then_some(items)
}

/// The words of a document's list; nothing when there are none.
pub(super) fn words<T: ToString>(items: &[T]) -> Option<Vec<String>> {
    filled(items.iter().map(ToString::to_string))
}

/// The entries; nothing when there are none.
pub(super) fn entries(map: BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.into_iter().collect())
}

/// The same entries in the order of their names.
pub(super) fn sorted(map: &Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What of Docker's list is what a document's may hold.
pub(super) fn known<T: FromStr>(list: &Option<Vec<String>>) -> Vec<T> {
    list.iter().flatten().filter_map(|text| parsed(text)).collect()
}

/// The same as a set, in its order.
pub(super) fn known_set<T: FromStr + Ord>(list: &Option<Vec<String>>) -> Vec<T> {
    let mut set = known(list);
    set.sort_unstable();
    set
}

/// What `all` has that `image` has not.
pub(super) fn beyond<'a>(
    all: &'a Option<Vec<String>>,
    image: &'a Option<Vec<String>>,
) -> impl Iterator<Item = &'a str> {
    let image = image.as_deref().unwrap_or_default();
    all.iter().flatten().filter(|item| !image.contains(item)).map(String::as_str)
}

/// A value that is set and not the image's.
pub(super) fn unlike(value: &Option<String>, image: &Option<String>) -> Option<String> {
    let value = value.as_deref().filter(|v| !v.is_empty())?;
    (image.as_deref() != Some(value)).then(|| value.to_owned())
}

/// The text as what it should be, if it is.
pub(super) fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}
