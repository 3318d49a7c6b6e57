//! A CCCF template: container documents whose strings name parts of a lease.
//!
//! The template is parsed as JSON first and filled afterwards, string by string. So what a client
//! sends can become the whole of a string or a part of it, and never a field, a quote or a number.

use serde_json::{Map, Value};

use super::clients::Client;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Hostname, Key, Owner};

/// The names that a template may use, each as `${lease.NAME}`.
///
/// What moves with every renewal, such as the end of the lease, is not among them: a container
/// that held it would be made anew at every renewal.
pub const VARIABLES: [&str; 11] = [
    "address",
    "duid",
    "family",
    "hostname",
    "iaid",
    "key",
    "mac",
    "name",
    "prefix_len",
    "source",
    "type",
];

/// The longest host name label that becomes part of a name, in characters.
const LABEL: usize = 20;

/// The longest name of a container, so that it is a label of the DNS too.
const LONGEST_NAME: usize = 63;

/// One or more container documents to be filled for each client.
#[derive(Clone, Debug)]
pub struct Template {
    members: Vec<Member>,
    owner: Option<Owner>,
}

#[derive(Clone, Debug)]
struct Member {
    /// The document's `id` as it stands in the template: tells members of a client apart.
    id: String,
    document: Filling,
}

/// A JSON value whose strings are cut where a variable stands.
#[derive(Clone, Debug)]
enum Filling {
    Fixed(Value),
    Text(Vec<Piece>),
    List(Vec<Filling>),
    Object(Vec<(String, Filling)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(String),
    /// A variable, and what stands for it when the lease does not have it.
    Variable(&'static str, String),
}

impl Template {
    /// Reads a template: one container document, several behind one another, or arrays of them.
    /// Containers whose document names no `owner` get `owner`, if there is one to get.
    ///
    /// # Errors
    /// `BadInput` for text that is no JSON, an unknown variable, or a document that could not
    /// become a container for any client.
    pub fn parse(text: &str, owner: Option<&Owner>) -> Result<Template> {
        let mut members = Vec::new();
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            let document =
                document.map_err(|e| Error::new(Kind::BadInput, "template is not JSON").why(e))?;
            let documents = match document {
                Value::Array(documents) => documents,
                document => vec![document],
            };
            for document in documents {
                members.push(Member::parse(document)?);
            }
        }
        if members.is_empty() {
            return Err(Error::new(Kind::BadInput, "template holds no container"));
        }
        let template = Template { members, owner: owner.cloned() };
        for example in Client::examples(LABEL) {
            template.fill(&example)?;
        }
        Ok(template)
    }

    /// The containers for a client.
    ///
    /// # Errors
    /// `BadInput` when a filled document is no container, or its name is none that Docker and the
    /// DNS both take; names the document, the field and the value.
    pub fn fill(&self, client: &Client) -> Result<Vec<Container>> {
        let mut containers: Vec<Container> = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let container = member.fill(client, self.owner.as_ref())?;
            if containers.iter().any(|other| other.id == container.id) {
                let what = format!("two containers of one client are named \"{}\"", container.id);
                return Err(Error::new(Kind::BadInput, what));
            }
            containers.push(container);
        }
        Ok(containers)
    }
}

impl Member {
    fn parse(document: Value) -> Result<Member> {
        let bad = |what: String| Error::new(Kind::BadInput, what);
        let Value::Object(mut fields) = document else {
            return Err(bad(format!("template document is not a JSON object in {document}")));
        };
        let id = match fields.get("id") {
            Some(Value::String(id)) => id.clone(),
            _ => return Err(bad("template document has no \"id\" string".to_owned())),
        };
        if let Some(taken) =
            ["key", "lease", "state"].iter().find(|name| fields.contains_key(**name))
        {
            let what = format!("template \"{id}\": field \"{taken}\" comes from the lease");
            return Err(bad(what).remedy("take it out of the template"));
        }
        let pieces = cut(&id).map_err(|e| e.at(format_args!("template \"{id}\"")))?;
        let names = |piece: &Piece| matches!(piece, Piece::Variable("key" | "name", _));
        if !pieces.iter().any(names) {
            fields.insert("id".to_owned(), Value::String(format!("{id}-${{lease.name}}")));
        }
        let document = Filling::parse(Value::Object(fields))
            .map_err(|e| e.at(format_args!("template \"{id}\"")))?;
        Ok(Member { id, document })
    }

    fn fill(&self, client: &Client, owner: Option<&Owner>) -> Result<Container> {
        let bad = |why: String| {
            Error::new(Kind::BadInput, why).at(format_args!("template \"{}\"", self.id))
        };
        let filled = self.document.fill(client).to_string();
        let mut container: Container =
            serde_json::from_str(&filled).map_err(|e| bad(e.to_string()))?;
        let name = container.id.as_str();
        let is_label = name.parse::<Hostname>().is_ok() && !name.contains('.');
        if name.len() > LONGEST_NAME || !is_label {
            let what = format!("field \"id\": \"{name}\" is not a name for Docker and the DNS");
            return Err(bad(format!(
                "{what} (letters, digits and hyphens, at most {LONGEST_NAME})"
            )));
        }
        let identity = [client.key.as_str().as_bytes(), self.id.as_bytes()];
        container.key = Some(Key::derive("member", &identity));
        container.lease = Some(client.lease());
        container.owner = container.owner.take().or_else(|| owner.cloned());
        Ok(container)
    }
}

impl Filling {
    fn parse(value: Value) -> Result<Filling> {
        Ok(match value {
            Value::String(text) => match cut(&text)? {
                pieces if pieces.iter().any(|p| matches!(p, Piece::Variable(..))) => {
                    Filling::Text(pieces)
                }
                pieces => Filling::Fixed(Value::String(literal(pieces))),
            },
            Value::Array(values) => {
                Filling::List(values.into_iter().map(Filling::parse).collect::<Result<_>>()?)
            }
            Value::Object(fields) => {
                let parse = |(name, value)| Ok((name, Filling::parse(value)?));
                Filling::Object(fields.into_iter().map(parse).collect::<Result<_>>()?)
            }
            fixed => Filling::Fixed(fixed),
        })
    }

    fn fill(&self, client: &Client) -> Value {
        match self {
            Filling::Fixed(value) => value.clone(),
            Filling::Text(pieces) => {
                let text = pieces.iter().map(|piece| match piece {
                    Piece::Literal(text) => text.clone(),
                    Piece::Variable(name, fallback) => {
                        variable(client, name).unwrap_or_else(|| fallback.clone())
                    }
                });
                Value::String(text.collect())
            }
            Filling::List(values) => values.iter().map(|value| value.fill(client)).collect(),
            Filling::Object(fields) => {
                let fill = |(name, value): &(String, Filling)| (name.clone(), value.fill(client));
                Value::Object(fields.iter().map(fill).collect::<Map<_, _>>())
            }
        }
    }
}

/// What a variable stands for; nothing when the lease does not have it.
fn variable(client: &Client, name: &str) -> Option<String> {
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
        "prefix_len" => client.prefix_len.map(|len| len.to_string()),
        "source" => Some(client.source.to_string()),
        "type" => serde_json::to_value(client.r#type).ok().and_then(word),
        _ => None,
    }
}

fn literal(pieces: Vec<Piece>) -> String {
    let text = |piece| match piece {
        Piece::Literal(text) => text,
        Piece::Variable(..) => String::new(),
    };
    pieces.into_iter().map(text).collect()
}

/// Cuts a string at `${lease.NAME}` and `${lease.NAME:-DEFAULT}`; `$${` stands for `${`.
fn cut(text: &str) -> Result<Vec<Piece>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<Template> {
        Template::parse(text, Some(&"edge".parse().unwrap()))
    }

    fn client(hostname: Option<&str>) -> Client {
        let mut client = Client::examples(LABEL).pop().unwrap();
        client.hostname = hostname.map(|name| name.parse().unwrap());
        client
    }

    #[test]
    fn a_name_is_made_of_host_name_and_key() {
        let template = template(r#"{"id":"web","image":"busybox"}"#).unwrap();
        let alpha = client(Some("Alpha.example"));
        let name = |client: &Client| template.fill(client).unwrap()[0].id.to_string();
        assert_eq!(name(&alpha), format!("web-alpha-{}", alpha.key));
        assert_eq!(name(&client(None)), format!("web-{}", alpha.key));
        let container = &template.fill(&alpha).unwrap()[0];
        assert_eq!(container.owner.as_ref().unwrap().as_str(), "edge");
        assert_eq!(container.lease.as_ref().unwrap().key, alpha.key);
    }

    #[test]
    fn the_identity_outlives_the_host_name() {
        let template = template(r#"[{"id":"a","image":"b"},{"id":"c","image":"b"}]"#).unwrap();
        let keys = |name| -> Vec<Key> {
            template.fill(&client(name)).unwrap().iter().map(|c| c.identity()).collect()
        };
        assert_eq!(keys(Some("old")), keys(Some("new")));
        assert_ne!(keys(None)[0], keys(None)[1]);
    }

    #[test]
    fn strings_are_filled_wherever_they_stand() {
        let template = template(
            r#"{"id":"x-${lease.key}","image":"b","env":["A=${lease.address}","B=$${x}"],
                "labels":{"who":"${lease.hostname:-nobody}"},"x":{"deep":["${lease.iaid}"]}}"#,
        )
        .unwrap();
        let container = &template.fill(&client(None)).unwrap()[0];
        assert_eq!(container.labels["who"], "nobody");
        assert_eq!(container.env[1].as_str(), "B=${x}");
        assert!(container.env[0].as_str().starts_with("A=2001:db8::"));
        assert_eq!(container.rest.get("x"), Some(r#"{"deep":["1"]}"#));
    }

    #[test]
    fn an_unknown_variable_is_told_with_those_that_are_known() {
        let told =
            template(r#"{"id":"x","image":"b","cmd":"${lease.nme}"}"#).unwrap_err().to_string();
        assert!(told.contains("lease.nme") && told.contains("lease.name"), "{told}");
        for bad in [
            "",
            "[]",
            "7",
            "{\"id\":\"x\"",
            r#"{"image":"b"}"#,
            r#"{"id":"x"}"#,
            r#"{"id":"x","image":"${HOME}"}"#,
            r#"{"id":"x","image":"b","cmd":"${lease.key"}"#,
            r#"{"id":"x_y","image":"b"}"#,
            r#"{"id":"x","image":"b","lease":{}}"#,
            r#"[{"id":"x","image":"b"},{"id":"x","image":"c"}]"#,
            r#"{"id":"a-name-that-is-too-long-with-a-key-in-it","image":"b"}"#,
        ] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_client_sends_adds_no_field() {
        let template = template(r#"{"id":"x","image":"b","env":["H=${lease.source}"]}"#).unwrap();
        let mut hostile = client(None);
        hostile.source = r#""],"privileged":true,"x":[""#.into();
        let container = &template.fill(&hostile).unwrap()[0];
        assert!(!container.privileged);
        assert_eq!(container.env[0].as_str(), format!("H={}", hostile.source));
    }
}
