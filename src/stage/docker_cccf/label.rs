//! Labels that a container must have to be listed.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// A label that must be there, `NAME`, or be so, `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    name: String,
    value: Option<String>,
}

impl Label {
    /// Whether a container with these labels has it.
    pub(super) fn is_among(&self, labels: &HashMap<String, String>) -> bool {
        self.accepts(|name| labels.get(name))
    }

    /// The same, where `value_of` knows the values of a container's labels by their names.
    pub fn accepts<'a>(&self, value_of: impl FnOnce(&str) -> Option<&'a String>) -> bool {
        let value = value_of(&self.name);
        value.is_some_and(|value| self.value.as_ref().is_none_or(|wanted| wanted == value))
    }
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Label, &'static str> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name {
            "" => Err("a label has a name (NAME or NAME=VALUE)"),
            name => Ok(Label { name: name.to_owned(), value }),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_there_or_is_so() {
        let labels = HashMap::from([("a".to_owned(), "1=2".to_owned()), ("b".into(), "".into())]);
        let is_among = |text: &str| text.parse::<Label>().unwrap().is_among(&labels);
        for yes in ["a", "a=1=2", "b", "b="] {
            assert!(is_among(yes), "{yes}");
            assert_eq!(yes.parse::<Label>().unwrap().to_string(), yes);
        }
        for no in ["c", "a=", "a=1", "b=x", "A"] {
            assert!(!is_among(no), "{no}");
        }
        for bad in ["", "=", "=1"] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }
}
