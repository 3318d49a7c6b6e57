//! The tree that a file is read into, and what it may cost.
//!
//! All scalars are kept as text. Whoever wants a number or a yes reads it out of the text, because a
//! variable that is filled in later is text as well.

use indexmap::IndexMap;

/// One value, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The number of its file.
    pub file: u32,
    /// What it does to the value that it is merged with.
    pub over: Over,
    /// What it says.
    pub value: Value,
}

/// What a value does to the one that stands in the same place of an earlier file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It is merged with it.
    Merge,
    /// It takes its place (`!override`).
    Replace,
    /// It takes it away (`!reset`).
    Remove,
}

/// A value of a compose file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A scalar as text: numbers and booleans, too.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// A mapping, in the order of the file.
pub type Map = IndexMap<String, Node>;

/// How much may be read and made altogether. A value counts one, and one more for each 32 bytes.
#[derive(Debug)]
pub struct Budget {
    left: u64,
}

/// What is told when a budget is used up.
pub const TOO_MUCH: &str =
    "too much: more than 1000000 values, aliases and extended services counted in full";

impl Default for Budget {
    fn default() -> Budget {
        Budget { left: 1_000_000 }
    }
}

impl Budget {
    /// Counts so many values; false when that is too much.
    pub fn spend(&mut self, values: usize) -> bool {
        let left = self.left.checked_sub(values as u64);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Counts one value with so many bytes of text.
    pub fn spend_text(&mut self, bytes: usize) -> bool {
        self.spend(1 + bytes / 32)
    }
}

impl Node {
    /// Text of that file.
    pub fn text(file: u32, text: impl Into<String>) -> Node {
        Node { file, over: Over::Merge, value: Value::Text(text.into()) }
    }

    /// What sort of value it is, for people.
    pub fn sort(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Its text, if it is a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// What a copy of it costs of a [`Budget`].
    pub fn cost(&self) -> usize {
        1 + match &self.value {
            Value::Null => 0,
            Value::Text(text) => text.len() / 32,
            Value::List(list) => list.iter().map(Node::cost).sum(),
            Value::Map(map) => map.iter().map(|(key, node)| key.len() / 32 + node.cost()).sum(),
        }
    }
}
