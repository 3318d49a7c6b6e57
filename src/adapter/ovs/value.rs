//! The database's values (RFC 7047 section 5.1): sets, maps and UUIDs in JSON. A column that may be
//! empty is an empty set then, and its one value otherwise.

use serde_json::Value;

/// The first row that the operation at `at` has selected.
pub(super) fn first(answer: &Value, at: usize) -> Option<&Value> {
    answer[at]["rows"].get(0)
}

/// The one value of a column; nothing when there is none or there are several.
fn one(value: &Value) -> Option<&Value> {
    match value.as_array().map(Vec::as_slice) {
        Some([tag, Value::Array(of)]) if tag == "set" => match of.as_slice() {
            [one] => Some(one),
            _ => None,
        },
        _ => Some(value),
    }
}

/// A column's text.
pub(super) fn text(value: &Value) -> Option<&str> {
    one(value)?.as_str()
}

/// A column's number.
pub(super) fn number(value: &Value) -> Option<i64> {
    one(value)?.as_i64()
}

/// A column's UUID.
pub(super) fn uuid(value: &Value) -> Option<&str> {
    match one(value)?.as_array()?.as_slice() {
        [tag, Value::String(uuid)] if tag == "uuid" => Some(uuid),
        _ => None,
    }
}

/// What a map has under `key`.
pub(super) fn map<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    let [tag, Value::Array(pairs)] = value.as_array()?.as_slice() else { return None };
    let pairs = (tag == "map").then_some(pairs)?;
    let found = pairs.iter().find(|pair| pair[0] == key)?;
    found[1].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_column_is_its_value_or_a_set_of_it() {
        assert_eq!(number(&json!(7)), Some(7));
        assert_eq!(number(&json!(["set", [7]])), Some(7));
        assert_eq!(number(&json!(["set", []])), None);
        assert_eq!(number(&json!(["set", [7, 8]])), None);
        assert_eq!(number(&json!("7")), None);
        assert_eq!(text(&json!(["set", ["a"]])), Some("a"));
        assert_eq!(uuid(&json!(["uuid", "x"])), Some("x"));
        assert_eq!(uuid(&json!(["set", [["uuid", "x"]]])), Some("x"));
        assert_eq!(uuid(&json!(["named-uuid", "x"])), None);
    }

    #[test]
    fn a_map_is_looked_into_and_nothing_else_is_one() {
        let pairs = json!(["map", [["a", "1"], ["b", "2"]]]);
        assert_eq!(map(&pairs, "b"), Some("2"));
        assert_eq!(map(&pairs, "c"), None);
        for odd in [json!(null), json!(["map"]), json!(["map", "a"]), json!(["map", [["a"], 7]])] {
            assert_eq!(map(&odd, "a"), None, "{odd}");
        }
    }
}
