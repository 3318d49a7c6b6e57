//! YAML as a tree: aliases and merge keys are followed, and nothing costs more than it may.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _};
use serde::de::{MapAccess, SeqAccess, VariantAccess, Visitor};

use super::tree::{Budget, Map, Node, Over, TOO_MUCH, Value};

/// Reads the documents of a YAML stream, of which each is a mapping or nothing.
///
/// # Errors
/// A sentence that says what is wrong and where: bad YAML, a name that stands twice, a value that
/// is no mapping at the top, more than the budget allows, or deeper than 128 levels.
pub fn documents(text: &str, file: u32, budget: &mut Budget) -> Result<Vec<Map>, String> {
    brackets(text)?;
    anchors_differ(text)?;
    let mut documents = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        let seed = Seed { file, budget };
        let node = seed.deserialize(document).map_err(|why| why.to_string())?;
        match node.value {
            Value::Null => (),
            Value::Map(map) => documents.push(map),
            _ => return Err(format!("the file is {} and not a mapping", node.sort())),
        }
    }
    Ok(documents)
}

/// How many brackets may be open at a time, whatever they are.
const BRACKETS: usize = 200;

/// The parser's time grows with the number of open brackets for each piece of text, so what is far
/// beyond the depth that it takes in the end is refused before it.
fn brackets(text: &str) -> Result<(), String> {
    let (mut open, mut line) = (0usize, 1);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b'\n' => line += 1,
            _ => (),
        }
        if open > BRACKETS {
            return Err(format!("line {line}: more than {BRACKETS} brackets are open"));
        }
    }
    Ok(())
}

/// The parser mixes anchors up when one name is defined twice in a document, so that is refused.
fn anchors_differ(text: &str) -> Result<(), String> {
    if !text.contains('&') {
        return Ok(());
    }
    let mut names = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("---") {
            names.clear();
        }
        // What is no name of an anchor is a line of a script, such as "&& true".
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        for name in anchors(line).filter(|name| !name.is_empty() && name.chars().all(word)) {
            if !names.insert(name) {
                let line = number + 1;
                return Err(format!("line {line}: the anchor \"{name}\" is defined a second time"));
            }
        }
    }
    Ok(())
}

/// The anchors that a line defines where a value begins: at its start, or behind `- `, `: `, `[`,
/// `{` or `,`, and outside comments and quotes.
fn anchors(line: &str) -> impl Iterator<Item = &str> {
    let mut may = true;
    let mut quote = None;
    let mut before = ' ';
    let mut ended = false;
    line.char_indices().filter_map(move |(at, c)| {
        let blank = c == ' ' || c == '\t';
        let found = quote.is_none() && may && c == '&' && !ended;
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => (),
            None if may && (c == '"' || c == '\'') => quote = Some(c),
            None if c == '#' && (before == ' ' || before == '\t') => ended = true,
            None => (),
        }
        may = match c {
            _ if blank => may || matches!(before, ':' | '-' | '?'),
            '[' | '{' | ',' => true,
            '-' => may,
            _ => false,
        };
        before = c;
        found.then(|| {
            let rest = &line[at + 1..];
            let end = rest.find(|c: char| c.is_whitespace() || ",[]{}".contains(c));
            &rest[..end.unwrap_or(rest.len())]
        })
    })
}

/// Reads one value of one file.
struct Seed<'a> {
    file: u32,
    budget: &'a mut Budget,
}

impl Seed<'_> {
    fn again(&mut self) -> Seed<'_> {
        Seed { file: self.file, budget: self.budget }
    }

    fn node<E: serde::de::Error>(&mut self, value: Value) -> Result<Node, E> {
        let length = if let Value::Text(text) = &value { text.len() } else { 0 };
        if !self.budget.spend_text(length) {
            return Err(E::custom(TOO_MUCH));
        }
        Ok(Node { file: self.file, over: Over::Merge, value })
    }

    fn text<E: serde::de::Error>(&mut self, text: impl fmt::Display) -> Result<Node, E> {
        self.node(Value::Text(text.to_string()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<Node, E> {
        self.node(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(mut self) -> Result<Node, E> {
        self.node(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_i128<E: serde::de::Error>(mut self, value: i128) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_u128<E: serde::de::Error>(mut self, value: u128) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> Result<Node, E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut from: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = from.next_element_seed(self.again())? {
            list.push(node);
        }
        self.node(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut from: A) -> Result<Node, A::Error> {
        let mut map = Map::new();
        let mut merged = None;
        while let Some(Key(key)) = from.next_key()? {
            let node = from.next_value_seed(self.again())?;
            if key == "<<" && merged.is_none() {
                merged = Some(node);
            } else if !self.budget.spend(key.len() / 32) {
                return Err(A::Error::custom(TOO_MUCH));
            } else if key == "<<" || map.contains_key(&key) {
                return Err(A::Error::custom(format!("\"{key}\" stands twice")));
            } else {
                map.insert(key, node);
            }
        }
        if let Some(node) = merged {
            merge_key(&mut map, node).map_err(A::Error::custom)?;
        }
        self.node(Value::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(mut self, from: A) -> Result<Node, A::Error> {
        let (tag, content): (String, _) = from.variant()?;
        let node = content.newtype_variant_seed(self.again())?;
        match tag.as_str() {
            "reset" => Ok(Node { over: Over::Remove, value: Value::Null, ..node }),
            "override" => Ok(Node { over: Over::Replace, ..node }),
            _ => Err(A::Error::custom(format!("the tag !{tag} is not known"))),
        }
    }
}

/// A name in a mapping: a scalar, as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        let mut budget = Budget::default();
        let node = Seed { file: 0, budget: &mut budget }.deserialize(from)?;
        match node.value {
            Value::Text(text) => Ok(Key(text)),
            Value::Null => Err(D::Error::custom("a name is missing")),
            _ => Err(D::Error::custom(format!("a name is {}", node.sort()))),
        }
    }
}

/// Adds what a merge key brings (YAML 1.1's `<<`): what is there already stays, and of several
/// mappings the first one says it.
fn merge_key(map: &mut Map, from: Node) -> Result<(), String> {
    let sort = from.sort();
    let list = match from.value {
        Value::List(list) => list,
        Value::Null => Vec::new(),
        _ => vec![from],
    };
    for node in list {
        let Value::Map(more) = node.value else {
            return Err(format!("what \"<<\" merges is {sort} and not a mapping"));
        };
        for (key, node) in more {
            map.entry(key).or_insert(node);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let documents = documents(text, 0, &mut Budget::default())?;
        Ok(documents.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    fn shown(map: &Map) -> String {
        let entries: Vec<String> =
            map.iter().map(|(key, node)| format!("{key}:{}", show(node))).collect();
        format!("{{{}}}", entries.join(","))
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "~".to_owned(),
            Value::Text(text) => text.clone(),
            Value::List(list) => format!("{:?}", list.iter().map(show).collect::<Vec<_>>()),
            Value::Map(map) => shown(map),
        }
    }

    #[test]
    fn scalars_are_text_and_documents_follow_one_another() {
        let text =
            "a: 1\nb: yes\nc: true\nd: 1.5\ne: ~\nf: 22:22\n1: x\n---\n# nothing\n---\ng: ''";
        let want = "{a:1,b:yes,c:true,d:1.5,e:~,f:22:22,1:x} {g:}";
        assert_eq!(read(text).unwrap(), want);
    }

    #[test]
    fn merge_keys_add_what_is_not_there() {
        let text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  b: 0\n  <<: [*x, *y]";
        assert!(read(text).unwrap().ends_with("z:{b:0,a:1,c:4}}"));
        assert!(read("a:\n  <<: 7").unwrap_err().contains("not a mapping"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, part) in [
            ("a: 1\na: 2", "\"a\" stands twice"),
            ("- a", "a list and not a mapping"),
            ("a: !what 1", "!what is not known"),
            ("a: *b", "unknown anchor"),
            ("a: [", "line 2 column 1"),
            ("? [a]\n: b", "a name is a list"),
            ("a: &x 1\nb: &y 2\nc: &x 3\nd: [*x, *y]", "line 3: the anchor \"x\""),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        assert!(read("a: |\n  x\n  && y\n  && z\n").is_ok());
        assert!(read("a: 'x &b'\nb: x &b\nc: x # &b\nd: [&b 1, *b]\n---\na: &b 2").is_ok());
    }

    #[test]
    fn hostile_sizes_end_in_an_error() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{},", level - 1).repeat(10);
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        let wide = format!("a: &a [{}]\nb: [{}]", "x,".repeat(20_000), "*a,".repeat(20_000));
        for text in [&bomb, &wide] {
            let why = read(text).unwrap_err();
            assert!(why.contains("too much") || why.contains("repetition limit"), "{why}");
        }
        assert!(read("a: &a [*a]").is_err());
        for deep in ["[", "{a: "] {
            let text = format!("a: {}", deep.repeat(100_000));
            assert!(read(&text).unwrap_err().contains("brackets"));
        }
    }
}
