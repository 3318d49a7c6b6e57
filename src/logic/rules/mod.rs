//! Which template is for which client: the first rule that matches decides.

mod file;
mod matcher;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use file::Load;
use matcher::Matcher;

use super::clients::Client;
use super::template::Template;
use crate::error::Error;
use crate::record::{Explanation, Ground, Owner};

/// What a rule's template is called that gives no container.
pub const NONE: &str = "none";

/// Rules in their order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// What holds for the clients that match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// All of these must hold.
    matchers: Vec<Matcher>,
    /// The containers of such a client; absent when it gets none.
    pub template: Option<Template>,
    /// What the template is called: its file, the ids in it, or `none`.
    pub name: String,
}

impl Rules {
    /// Reads rules: JSON objects behind one another, or arrays of them. `load` gives the text of a
    /// template that is named by its path.
    ///
    /// # Errors
    /// Everything that is wrong, each with the number of its rule, its field and its value.
    pub fn parse(text: &str, owner: Option<&Owner>, load: Load) -> Result<Rules, Vec<Error>> {
        file::parse(text, owner, load).map(|rules| Rules { rules })
    }

    /// Adds a rule behind the others, which matches everyone.
    pub fn push(&mut self, name: &str, template: Template) {
        let name = name.to_owned();
        self.rules.push(Rule { matchers: Vec::new(), template: Some(template), name });
    }

    /// The rule for a client.
    pub fn choose(&self, client: &Client) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matchers.iter().all(|m| m.held(client).is_some()))
    }

    /// The same, and how it came to it. The containers are for the caller to name.
    pub fn explain(&self, client: &Client) -> Explanation {
        let mut explanation = Explanation {
            key: client.key,
            address: Some(client.address),
            hostname: client.hostname.clone(),
            state: None,
            rule: None,
            template: None,
            why: Vec::new(),
            passed_over: Vec::new(),
            cap: None,
            error: None,
            containers: Vec::new(),
            rest: Default::default(),
        };
        for (number, rule) in (1..).zip(&self.rules) {
            match rule.matchers.iter().find(|matcher| matcher.held(client).is_none()) {
                Some(missed) => {
                    let value = value(missed.values(client));
                    explanation.passed_over.push(missed.ground(Some(number), value));
                }
                None => {
                    let held = |matcher: &Matcher| {
                        matcher.ground(None, matcher.held(client).map(Value::String))
                    };
                    explanation.why = rule.matchers.iter().map(held).collect();
                    explanation.rule = Some(number);
                    explanation.template = Some(rule.name.clone());
                    break;
                }
            }
        }
        explanation
    }
}

impl Matcher {
    fn ground(&self, rule: Option<u64>, of_client: Option<Value>) -> Ground {
        Ground {
            rule,
            field: self.field().to_owned(),
            value: of_client,
            wanted: value(self.wanted()).unwrap_or_default(),
            rest: Default::default(),
        }
    }
}

/// One word as itself, several as a list, none as nothing.
fn value(mut words: Vec<String>) -> Option<Value> {
    match words.len() {
        0 => None,
        1 => words.pop().map(Value::String),
        _ => Some(words.into()),
    }
}
