//! The form of a rules file. What is wrong with it is told all at once.

use serde_json::{Map, Value};

use super::matcher::{FIELDS, Matcher};
use super::{NONE, Rule};
use crate::error::{Error, Kind};
use crate::logic::template::{Manner, Template};
use crate::record::Owner;

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
    let mut found = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match document {
            Ok(Value::Array(documents)) => found.extend(documents),
            Ok(document) => found.push(document),
            Err(why) => return Err(vec![bad("rules are not JSON").why(why)]),
        }
    }
    if found.is_empty() {
        return Err(vec![bad("there is no rule in it")]);
    }
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for (number, document) in (1..).zip(found) {
        match rule(document, owner, load) {
            Ok(rule) => rules.push(rule),
            Err(all) => wrong.extend(all.into_iter().map(|e| e.at(format_args!("rule {number}")))),
        }
    }
    if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::BadInput, what)
}

fn rule(document: Value, owner: Option<&Owner>, load: Load) -> Result<Rule, Vec<Error>> {
    let Value::Object(mut fields) = document else {
        return Err(vec![bad(format_args!("{document} is not a JSON object"))]);
    };
    let mut wrong = Vec::new();
    let matchers = match fields.remove("match") {
        None => Vec::new(),
        Some(Value::Object(wanted)) => matchers(&wanted, &mut wrong),
        Some(other) => {
            wrong.push(bad(format_args!("field \"match\": {other} is not a JSON object")));
            Vec::new()
        }
    };
    let private_network = match fields.remove("private_network") {
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
    let template = match fields.remove("template") {
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
    for (name, value) in &fields {
        wrong.push(unknown(name, value, "", &RULE));
    }
    match template {
        Some((name, template)) if wrong.is_empty() => Ok(Rule { matchers, template, name }),
        _ => Err(wrong),
    }
}

fn matchers(wanted: &Map<String, Value>, wrong: &mut Vec<Error>) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for (field, value) in wanted {
        match Matcher::parse(field, value) {
            None => wrong.push(unknown(field, value, "match.", &FIELDS)),
            Some(Err(why)) => wrong.push(bad(format_args!("field \"match.{field}\": {why}"))),
            Some(Ok(matcher)) => matchers.push(matcher),
        }
    }
    matchers
}

fn unknown(name: &str, value: &Value, within: &str, known: &[&str]) -> Error {
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
