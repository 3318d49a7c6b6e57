//! One line of the output: docker commands, one behind the other.

use std::fmt::Display;

use super::quote::quote;
use crate::error::{Error, Kind, Result};
use crate::record::Endpoint;

/// What must be so for the next command of a line to be run.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// The one before it succeeded.
    Success,
    /// The one before it has ended.
    Anything,
}

/// A line that is being written. Remembers all that is wrong with the values that it was given.
#[derive(Default)]
pub(super) struct Line {
    text: String,
    wrong: Vec<String>,
}

impl Line {
    /// Begins a command of docker for this engine, or for the one that docker takes when none is
    /// named.
    pub(super) fn docker(&mut self, after: After, engine: Option<&Endpoint>) {
        if !self.text.is_empty() {
            self.text.push_str(match after {
                After::Success => " && ",
                After::Anything => "; ",
            });
        }
        self.text.push_str("docker");
        let Some(engine) = engine else { return };
        match engine.url.strip_prefix("context:") {
            Some(name) => self.option("--context", "host", name),
            None => self.option("-H", "host", &engine.url),
        }
        if let Some(tls) = &engine.tls {
            self.word("--tlsverify");
            for (option, name) in
                [("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")]
            {
                self.option(option, "host", &format!("{tls}/{name}"));
            }
        }
    }

    /// A word of docker's own.
    pub(super) fn word(&mut self, word: &str) {
        self.text.push(' ');
        self.text.push_str(word);
    }

    /// A word that comes from the field of this name.
    pub(super) fn value(&mut self, field: &str, value: &str) {
        if value.contains('\0') {
            self.wrong
                .push(format!("field {field:?}: {value:?} holds a NUL, which no command can"));
        }
        self.text.push(' ');
        quote(value, &mut self.text);
    }

    /// An option with what the field of this name says.
    pub(super) fn option(&mut self, option: &str, field: &str, value: &str) {
        self.word(option);
        self.value(field, value);
    }

    /// An option, again for each of the values.
    pub(super) fn each<T: Display>(&mut self, option: &str, field: &str, values: &[T]) {
        values.iter().for_each(|value| self.option(option, field, &value.to_string()));
    }

    /// An option, if there is a value for it.
    pub(super) fn maybe<T: Display>(&mut self, option: &str, field: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.option(option, field, &value.to_string());
        }
    }

    /// An option for each name and value, joined by `by`, at the first of which docker splits them.
    pub(super) fn pairs<'a>(
        &mut self,
        (option, field, by): (&str, &str, char),
        pairs: impl Iterator<Item = (&'a String, &'a String)>,
    ) {
        for (name, value) in pairs {
            if name.is_empty() || name.contains(by) {
                self.refuse(field, &format!("name {name:?} is empty or holds {by:?}"));
            }
            self.option(option, field, &format!("{name}{by}{value}"));
        }
    }

    /// Remembers that a field cannot be said in a command.
    pub(super) fn refuse(&mut self, field: &str, why: &str) {
        self.wrong.push(format!("field {field:?}: {why}"));
    }

    /// The line, without anything at its end.
    ///
    /// # Errors
    /// `BadInput` with all that was wrong.
    pub(super) fn finish(self) -> Result<String> {
        if self.wrong.is_empty() {
            Ok(self.text)
        } else {
            Err(Error::new(Kind::BadInput, self.wrong.join(", ")))
        }
    }
}
