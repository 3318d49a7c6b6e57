//! A tree of values as YAML that every reader reads alike.
//!
//! YAML 1.1 takes `22:22` for a number of base 60 and `no` for false, YAML 1.2 does not. So every
//! string is quoted, whatever is in it, and every character that may not stand for itself is escaped.

use std::fmt::Write;

use serde_json::Value;

/// Appends a name and its value, as deep in a document of block mappings and sequences. A `$` in a
/// value is doubled, because compose fills in variables; names are not filled in.
pub(super) fn entry(name: &str, value: &Value, depth: usize, text: &mut String) {
    indent(depth, text);
    key(name, text);
    text.push(':');
    below(value, depth + 1, text);
}

/// Writes a collection that is not empty below what it belongs to; anything else ends the line.
fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| entry(name, value, depth, text));
        }
        Value::Array(list) => list.iter().for_each(|value| {
            indent(depth, text);
            text.push('-');
            match value {
                // A mapping in a sequence begins on the line of its dash.
                Value::Object(map) if !map.is_empty() => {
                    let mut inner = String::new();
                    block(value, depth + 1, &mut inner);
                    text.push(' ');
                    text.push_str(inner.trim_start_matches(' '));
                }
                value => below(value, depth + 1, text),
            }
        }),
        _ => scalar(value, text),
    }
}

fn below(value: &Value, depth: usize, text: &mut String) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    text.push(if is_block { '\n' } else { ' ' });
    if is_block {
        block(value, depth, text);
    } else {
        scalar(value, text);
        text.push('\n');
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn scalar(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => quoted(&string.replace('$', "$$"), text),
        other => write!(text, "{other}").expect("a string takes everything"),
    }
}

/// A name: bare where it can be nothing else.
fn key(name: &str, text: &mut String) {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let other = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && name.bytes().all(word) && !other.contains(&name) {
        text.push_str(name);
    } else {
        quoted(name, text);
    }
}

fn quoted(string: &str, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            ' '..='~' => text.push(c),
            c if c.is_alphanumeric() => text.push(c),
            c if u32::from(c) <= 0xffff => {
                write!(text, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
            }
            c => write!(text, "\\U{:08x}", u32::from(c)).expect("a string takes everything"),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(tree: &Value) -> String {
        let mut text = String::new();
        block(tree, 0, &mut text);
        text
    }

    #[test]
    fn a_tree_is_blocks_with_quoted_strings() {
        let tree = json!({
            "services": {"web": {"ports": ["22:22"], "on": true, "none": {}, "list": [],
                                 "deep": [{"a": [1, "x"], "b": null}]}},
            "no": "no"
        });
        let text = "services:\n  web:\n    ports:\n      - \"22:22\"\n    \"on\": true\n    none: {}\n    \
                    list: []\n    deep:\n      - a:\n          - 1\n          - \"x\"\n        b: null\n\
                    \"no\": \"no\"\n";
        assert_eq!(write(&tree), text);
    }

    #[test]
    fn no_character_is_lost() {
        let hostile = "\u{1}\u{7f}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}\u{ffff}\r\n\t\"\\'é字\u{1f600}: #- {}[]&*!|>%@`";
        let tree = json!({"a": [hostile, {hostile: hostile}], hostile: {"x": hostile}});
        let read: Value = yaml_serde::from_str(&write(&tree)).unwrap();
        assert_eq!(read, tree);
        let text = write(&json!({"$a": "$b"}));
        assert_eq!(text, "\"$a\": \"$$b\"\n");
    }
}
