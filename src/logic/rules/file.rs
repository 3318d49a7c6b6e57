//! The form of a rules file. What is wrong with it is told all at once.

use serde_json::Value;
use serde_json::value::RawValue;

use super::matcher::{FIELDS, Matcher};
use super::{NONE, Rule};
use crate::error::{Error, Kind};
use crate::logic::template::{Manner, Template};
use crate::record::{Object, Owner};

/// Gives the text of the template at a path, as a rule names it.
pub type Load<'a> = &'a mut dyn FnMut(&str) -> Result<String, Error>;

/// The fields of a rule.
const RULE: [&str; 3] = ["match", "private_network", "template"];

/// Reads the rules in their order.
pub(super) fn parse(
    text: &str,
    owner: Option<&Owner>,
    load: Load,
) -> Result<Vec<Rule>, Vec<Error>> {
    let not_json = |why| vec![bad("rules are not JSON").why(why)];
    let mut found: Vec<Box<RawValue>> = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
        let document = document.map_err(not_json)?;
        match document.get().starts_with('[') {
            true => {
                let documents: Vec<_> = serde_json::from_str(document.get()).map_err(not_json)?;
                found.extend(documents);
            }
            false => found.push(document),
        }
    }
    if found.is_empty() {
        return Err(vec![bad("there is no rule in it")]);
    }
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for (number, document) in (1..).zip(found) {
        match rule(&document, owner, load) {
            Ok(rule) => rules.push(rule),
            Err(all) => wrong.extend(all.into_iter().map(|e| e.at(format_args!("rule {number}")))),
        }
    }
    if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::BadInput, what)
}

/// An object in which no field stands twice.
fn object(text: &str) -> Result<Object, String> {
    match Object::parse(text) {
        Ok(object) => Ok(object),
        Err(why) if text.starts_with('{') => Err(why.to_string()),
        Err(_) => Err(format!("{text} is not a JSON object")),
    }
}

fn rule(document: &RawValue, owner: Option<&Owner>, load: Load) -> Result<Rule, Vec<Error>> {
    let mut fields = object(document.get()).map_err(|why| vec![bad(why)])?;
    let mut wrong = Vec::new();
    let matchers = match fields.remove("match").map(|wanted| object(&wanted)) {
        None => Vec::new(),
        Some(Ok(wanted)) => matchers(&wanted, &mut wrong),
        Some(Err(why)) => {
            wrong.push(bad(format_args!("field \"match\": {why}")));
            Vec::new()
        }
    };
    let mut take = |name: &str| fields.remove(name).map(|raw| value(&raw));
    let private_network = match take("private_network") {
        None => false,
        Some(Value::Bool(private)) => private,
        Some(other) => {
            wrong.push(bad(format_args!(
                "field \"private_network\": {other} is neither true nor false"
            )));
            false
        }
    };
    let manner = Manner { owner, private_network };
    let template = match take("template") {
        Some(Value::String(none)) if none == NONE && private_network => {
            wrong.push(bad("field \"private_network\": there is no container to be in it"));
            None
        }
        Some(of) => template(of, manner, load).map_err(|e| wrong.push(e)).ok(),
        None => {
            wrong.push(bad("field \"template\" is missing").remedy("\"none\" gives no container"));
            None
        }
    };
    for (name, value) in fields.iter() {
        wrong.push(unknown(name, value, "", &RULE));
    }
    match template {
        Some((name, template)) if wrong.is_empty() => Ok(Rule { matchers, template, name }),
        _ => Err(wrong),
    }
}

/// What a text means that is known to be JSON; a number that is out of every range as its text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn matchers(wanted: &Object, wrong: &mut Vec<Error>) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for (field, text) in wanted.iter() {
        match Matcher::parse(field, &value(text)) {
            None => wrong.push(unknown(field, text, "match.", &FIELDS)),
            Some(Err(why)) => wrong.push(bad(format_args!("field \"match.{field}\": {why}"))),
            Some(Ok(matcher)) => matchers.push(matcher),
        }
    }
    matchers
}

fn unknown(name: &str, value: &str, within: &str, known: &[&str]) -> Error {
    bad(format_args!("field \"{within}{name}\" is not known, in {value}"))
        .remedy(format_args!("known are {}", known.join(", ")))
}

/// A rule's template, and what it is called.
fn template(of: Value, manner: Manner, load: Load) -> Result<(String, Option<Template>), Error> {
    let at = |e: Error| e.at("field \"template\"");
    match of {
        Value::String(none) if none == NONE => Ok((none, None)),
        Value::String(path) => {
            let text = load(&path).map_err(at)?;
            let template = Template::parse(&text, manner).map_err(|e| at(e.at(&path)))?;
            Ok((path, Some(template)))
        }
        documents @ (Value::Object(_) | Value::Array(_)) => {
            let template = Template::of(&[documents], manner).map_err(at)?;
            let ids: Vec<&str> = template.ids().collect();
            Ok((ids.join(","), Some(template)))
        }
        other => Err(at(bad(format_args!(
            "{other} is neither a path, nor \"none\", nor a container document"
        )))),
    }
}
