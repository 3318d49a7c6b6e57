//! A CCCF template: container documents whose strings name parts of a lease.
//!
//! The template is parsed as JSON first and filled afterwards, string by string. So what a client
//! sends can become the whole of a string or a part of it, and never a field, a quote or a number.

mod filling;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use filling::VARIABLES;
use filling::{Filling, Piece, cut};

use super::clients::Client;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Hostname, Key, NetworkName, Owner, PrivateNetwork};

/// The longest host name label that becomes part of a name, in characters.
const LABEL: usize = 20;

/// The longest name of a container, so that it is a label of the DNS too.
const LONGEST_NAME: usize = 63;

/// The longest owner that becomes part of the name of a network as it is.
const LONGEST_OWNER: usize = 39;

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
    /// What the client's other containers call it; absent without a private network.
    alias: Option<Hostname>,
}

/// How a template's containers are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner<'a> {
    /// The owner of containers whose document names none, if there is one to get.
    pub owner: Option<&'a Owner>,
    /// Whether the containers of one client have a network of their own.
    pub private_network: bool,
}

impl Template {
    /// Reads a template: one container document, several behind one another, or arrays of them.
    ///
    /// # Errors
    /// `BadInput` for text that is no JSON, an unknown variable, or a document that could not
    /// become a container for any client.
    pub fn parse(text: &str, manner: Manner) -> Result<Template> {
        let mut documents = Vec::new();
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            let document =
                document.map_err(|e| Error::new(Kind::BadInput, "template is not JSON").why(e))?;
            documents.push(document);
        }
        Template::of(&documents, manner)
    }

    /// A template of container documents and arrays of them.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn of(documents: &[Value], manner: Manner) -> Result<Template> {
        let mut members: Vec<Member> = Vec::new();
        for document in documents {
            let documents = match document {
                Value::Array(documents) => documents,
                document => std::slice::from_ref(document),
            };
            for document in documents {
                let member = Member::parse(document, manner.private_network)?;
                let called =
                    |other: &&Member| member.alias.is_some() && other.alias == member.alias;
                if let (Some(other), Some(alias)) = (members.iter().find(called), &member.alias) {
                    let what = format!("templates \"{}\" and \"{}\"", other.id, member.id);
                    return Err(Error::new(Kind::BadInput, what)
                        .why(format_args!("both are called \"{alias}\" in the private network")));
                }
                members.push(member);
            }
        }
        if members.is_empty() {
            return Err(Error::new(Kind::BadInput, "template holds no container"));
        }
        let template = Template { members, owner: manner.owner.cloned() };
        for example in Client::examples(LABEL) {
            template.fill(&example)?;
        }
        Ok(template)
    }

    /// The ids of its documents, as they stand there.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.id)
    }

    /// The containers for a client, in the order of the documents.
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

/// The name of the network that the containers of one client share: `leasepipe-OWNER-CLIENT`, with
/// a hash for the end of an owner that is too long for it.
pub fn network_name(owner: Option<&Owner>, client: Key) -> NetworkName {
    let owner = owner.cloned().unwrap_or_default();
    let name = match owner.as_str() {
        short if short.len() <= LONGEST_OWNER => format!("leasepipe-{short}-{client}"),
        long => {
            let hash = Key::derive("network", &[long.as_bytes()]);
            format!("leasepipe-{}-{hash}-{client}", &long[..LONGEST_OWNER - Key::LEN - 1])
        }
    };
    name.parse().expect("an owner and a key are made of what a name may hold")
}

impl Member {
    fn parse(document: &Value, private_network: bool) -> Result<Member> {
        let bad = |what: String| Error::new(Kind::BadInput, what);
        let Value::Object(mut fields) = document.clone() else {
            return Err(bad(format!("template document is not a JSON object in {document}")));
        };
        let id = match fields.get("id") {
            Some(Value::String(id)) => id.clone(),
            _ => return Err(bad("template document has no \"id\" string".to_owned())),
        };
        let within = |e: Error| e.at(format_args!("template \"{id}\""));
        if let Some(taken) = ["key", "lease", "state", "private_network"]
            .iter()
            .find(|name| fields.contains_key(**name))
        {
            let what = format!("field \"{taken}\" is made for each client");
            return Err(within(bad(what).remedy("take it out of the template")));
        }
        let other = ["network_mode", "ports"].into_iter().find(|name| fields.contains_key(*name));
        if let (true, Some(other)) = (private_network, other) {
            let what = format!("field \"{other}\" does not go with a private network");
            return Err(within(bad(what)));
        }
        let pieces = cut(&id).map_err(within)?;
        let names = |piece: &Piece| matches!(piece, Piece::Variable("key" | "name", _));
        if !pieces.iter().any(names) {
            fields.insert("id".to_owned(), Value::String(format!("{id}-${{lease.name}}")));
        }
        let document = Filling::parse(&Value::Object(fields)).map_err(within)?;
        let alias = private_network.then(|| alias(&pieces)).transpose().map_err(within)?;
        Ok(Member { id, document, alias })
    }

    fn fill(&self, client: &Client, owner: Option<&Owner>) -> Result<Container> {
        let bad = |why: String| {
            Error::new(Kind::BadInput, why).at(format_args!("template \"{}\"", self.id))
        };
        let key = Key::derive("member", &[client.key.as_str().as_bytes(), self.id.as_bytes()]);
        let filled = self.document.fill(client, &key);
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
        container.key = Some(key);
        container.lease = Some(client.lease());
        container.owner = container.owner.take().or_else(|| owner.cloned());
        container.private_network = self.alias.as_ref().map(|alias| PrivateNetwork {
            name: network_name(container.owner.as_ref(), client.key),
            alias: alias.clone(),
            rest: Default::default(),
        });
        Ok(container)
    }
}

/// What is left of an id without what is the client's: the name among the client's containers.
fn alias(pieces: &[Piece]) -> Result<Hostname> {
    let literal = pieces.iter().filter_map(|piece| match piece {
        Piece::Literal(text) => Some(&**text),
        Piece::Variable(..) => None,
    });
    let text: String = literal.collect();
    let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-").parse().map_err(|_| {
        Error::new(Kind::BadInput, "field \"id\" gives no name for the private network")
            .why("nothing that is a host name is left of it without the client's part")
    })
}
