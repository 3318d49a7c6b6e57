//! Questions to what is kept: whose an address is, what a client has, what was when.

use std::collections::BTreeSet;

use super::store::{Kept, Store};
use crate::error::{Error, Kind, Result};
use crate::pipe::Output;
use crate::record::{ContainerId, Key, Question, Record};

/// Writes the bindings that are the answer; of one client alone, if one is named.
///
/// # Errors
/// When the store cannot be opened or read; `Refused` when no binding is the answer.
pub fn ask(
    kept: &Kept,
    mut question: Question,
    client: Option<&ContainerId>,
    mut output: Output,
) -> Result<()> {
    let mut store = Store::open_to_ask(kept)?;
    if let Some(client) = client {
        question.key = Some(key_of(client, &question, &mut store)?);
    }
    let mut count = 0u64;
    store.ask(&question, &mut |binding| {
        count += 1;
        output.write(&Record::Binding(binding))
    })?;
    output.settle()?;
    if count == 0 { Err(no_binding()) } else { Ok(()) }
}

/// The key of a client that is named by it, or by a container of its own. What is both is a key.
fn key_of(client: &ContainerId, question: &Question, store: &mut Store) -> Result<Key> {
    let mut keys_of = |question: &Question| -> Result<BTreeSet<Key>> {
        let mut keys = BTreeSet::new();
        store.ask(question, &mut |binding| {
            keys.insert(binding.lease.key);
            Ok(())
        })?;
        Ok(keys)
    };
    let mut keys = BTreeSet::new();
    if let Ok(key) = client.as_str().parse() {
        keys = keys_of(&Question { key: Some(key), ..question.clone() })?;
    }
    if keys.is_empty() {
        keys = keys_of(&Question { container: Some(client.clone()), ..question.clone() })?;
    }
    match Vec::from_iter(keys)[..] {
        [] => Err(no_binding()),
        [key] => Ok(key),
        ref several => {
            let keys: Vec<String> = several.iter().map(Key::to_string).collect();
            let why = format!("several clients have one of that name: {}", keys.join(", "));
            let error = Error::new(Kind::Usage, format_args!("container \"{client}\""));
            Err(error.why(why).remedy("ask by key"))
        }
    }
}

fn no_binding() -> Error {
    Error::new(Kind::Refused, "no binding fits")
}
