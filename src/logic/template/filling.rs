//! JSON with holes in its strings, and what goes into them.

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::logic::clients::Client;
use crate::record::Key;

use super::LABEL;

/// The names that a template may use, each as `${lease.NAME}`.
///
/// What moves with every renewal, such as the end of the lease, is not among them: a container
/// that held it would be made anew at every renewal.
pub const VARIABLES: [&str; 13] = [
    "address",
    "duid",
    "family",
    "hostname",
    "iaid",
    "key",
    "mac",
    "name",
    "prefix",
    "prefix_address",
    "prefix_len",
    "source",
    "type",
];

/// A JSON value as text that is cut where a variable stands in a string.
#[derive(Clone, Debug, Default)]
pub(super) struct Filling {
    /// Pieces of JSON text, and between them what becomes text inside a JSON string.
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// For [`Filling`] JSON text; for [`cut`] the text of a string.
    Literal(String),
    /// A variable, and what stands for it when the lease does not have it.
    Variable(&'static str, String),
}

impl Filling {
    /// Takes a document apart.
    pub(super) fn parse(document: &Value) -> Result<Filling> {
        let mut filling = Filling::default();
        filling.take(document)?;
        Ok(filling)
    }

    fn take(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::String(text) => {
                self.literal("\"");
                for piece in cut(text)? {
                    match piece {
                        Piece::Literal(text) => self.literal(&escaped(&text)),
                        variable => self.pieces.push(variable),
                    }
                }
                self.literal("\"");
            }
            Value::Array(values) => {
                self.literal("[");
                for (at, value) in values.iter().enumerate() {
                    self.literal(if at == 0 { "" } else { "," });
                    self.take(value)?;
                }
                self.literal("]");
            }
            Value::Object(fields) => {
                self.literal("{");
                for (at, (name, value)) in fields.iter().enumerate() {
                    self.literal(if at == 0 { "\"" } else { ",\"" });
                    self.literal(&escaped(name));
                    self.literal("\":");
                    self.take(value)?;
                }
                self.literal("}");
            }
            fixed => self.literal(&fixed.to_string()),
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Literal(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Literal(text.to_owned())),
        }
    }

    /// The document for a client, as JSON, when the container's key is `container`.
    pub(super) fn fill(&self, client: &Client, container: &Key) -> String {
        let mut filled = String::with_capacity(512);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Variable(name, fallback) => match variable(client, container, name) {
                    Some(value) => filled.push_str(&escaped(&value)),
                    None => filled.push_str(&escaped(fallback)),
                },
            }
        }
        filled
    }
}

/// Text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What a variable stands for; nothing when the lease does not have it.
fn variable(client: &Client, container: &Key, name: &str) -> Option<String> {
    let word = |value: Value| value.as_str().map(str::to_owned);
    match name {
        "address" => Some(client.address.to_string()),
        "duid" => client.duid.as_ref().map(ToString::to_string),
        "family" => serde_json::to_value(client.family).ok().and_then(word),
        "hostname" => client.hostname.as_ref().map(ToString::to_string),
        "iaid" => client.iaid.map(|iaid| iaid.to_string()),
        "key" => Some(client.key.to_string()),
        "mac" => client.mac.map(|mac| mac.to_string()),
        "name" => Some(match client.hostname.as_ref().map(|name| name.label(LABEL)) {
            Some(label) => format!("{label}-{}", client.key),
            None => client.key.to_string(),
        }),
        "prefix" => client.containers_prefix().map(|prefix| prefix.to_string()),
        "prefix_address" => client.address_of(container).map(|address| address.to_string()),
        "prefix_len" => client.prefixes.first().map(|prefix| prefix.prefix_len().to_string()),
        "source" => Some(client.source.to_string()),
        "type" => serde_json::to_value(client.r#type).ok().and_then(word),
        _ => None,
    }
}

/// Cuts a string at `${lease.NAME}` and `${lease.NAME:-DEFAULT}`; `$${` stands for `${`.
pub(super) fn cut(text: &str) -> Result<Vec<Piece>> {
    let bad = |what: String| Error::new(Kind::BadInput, what).at(format_args!("\"{text}\""));
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            plain.push_str(before);
            plain.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        let end = rest[at..].find('}').ok_or_else(|| {
            bad("\"${\" without \"}\"".to_owned())
                .remedy("write \"$${\" for the characters themselves")
        })?;
        let inside = &rest[at + 2..at + end];
        let (name, fallback) = inside.split_once(":-").unwrap_or((inside, ""));
        let known = name
            .strip_prefix("lease.")
            .and_then(|name| VARIABLES.iter().find(|known| **known == name))
            .ok_or_else(|| {
                let known: Vec<String> = VARIABLES.iter().map(|v| format!("lease.{v}")).collect();
                bad(format!("unknown variable \"{name}\""))
                    .remedy(format_args!("known are {}", known.join(", ")))
            })?;
        if !plain.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Variable(known, fallback.to_owned()));
        rest = &rest[at + end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Literal(plain));
    }
    Ok(pieces)
}
