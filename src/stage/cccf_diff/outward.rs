//! Where changes go, and in what form.

use serde_json::Value;

use crate::error::{Error, Kind, OneLine, Result};
use crate::logic::reconcile::Out;
use crate::pipe::{Output, Report};
use crate::record::{Action, Change, Checkpoint, Container, Of, Owner, Record};

/// The form in which changes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Change records, one a line
    #[default]
    Records,
    /// One object with the lists add, keep and remove; what is to be replaced is in two of them
    Summary,
    /// Lines for people
    Text,
}

/// Where changes go.
pub(super) struct Outward {
    output: Output,
    pub(super) report: Report,
    /// Whose containers are compared.
    pub(super) owner: Option<Owner>,
    /// Whether the checkpoints say that more comes.
    pub(super) follow: bool,
    format: Format,
    /// What is gathered until all is known that is told at one time.
    gathered: Gathered,
    /// Whether anything was to be done.
    differs: bool,
    /// Why writing failed, if it did.
    failed: Option<Error>,
}

/// What came out at one time.
#[derive(Default)]
struct Gathered {
    /// JSON of containers, with commas between them.
    lists: [String; 3],
    /// How many are to be added, kept, removed, replaced.
    counts: [usize; 4],
    /// Whether a full comparison is among it.
    is_complete: bool,
}

/// Which of the lists of a summary.
#[derive(Clone, Copy)]
enum List {
    Add,
    Keep,
    Remove,
}

impl Outward {
    pub(super) fn new(
        output: Output,
        report: Report,
        owner: Option<Owner>,
        format: Format,
    ) -> Outward {
        Outward {
            output,
            report,
            owner,
            follow: false,
            format,
            gathered: Gathered::default(),
            differs: false,
            failed: None,
        }
    }

    /// Takes what comes out of the loop. Whether it could be written is told by [`Outward::turned`].
    pub(super) fn take(&mut self, out: Out<'_>) {
        if self.failed.is_none() {
            self.failed = self.write(out).err();
        }
    }

    /// All that there was to tell at this time has been taken.
    pub(super) fn turned(&mut self) -> Result<()> {
        if let Some(why) = self.failed.take() {
            return Err(why);
        }
        if self.format == Format::Records {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        match self.format {
            Format::Summary if gathered.is_complete || gathered.counts != [0; 4] => {
                let [add, keep, remove] = &gathered.lists;
                self.output
                    .line(&format!(r#"{{"add":[{add}],"keep":[{keep}],"remove":[{remove}]}}"#))
            }
            Format::Text if gathered.is_complete => {
                let [add, keep, remove, replace] = gathered.counts;
                let line = format!(
                    "{add} to add, {replace} to replace, {remove} to remove, {keep} as they should be"
                );
                self.output.line(&line)
            }
            _ => Ok(()),
        }
    }

    /// A record that is none of the stage's business. Only among records there is a place for it.
    pub(super) fn pass(&mut self, record: &Record) -> Result<()> {
        match self.format {
            Format::Records => self.output.write(record),
            Format::Summary | Format::Text => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    /// No more comes; whether anything was to be done.
    pub(super) fn end(mut self) -> Result<bool> {
        self.output.settle()?;
        Ok(self.differs)
    }

    fn write(&mut self, out: Out<'_>) -> Result<()> {
        match out {
            Out::Plain(action, container) => {
                self.differs |= action != Action::Keep;
                match self.format {
                    Format::Records => self.output.write_change(action, container),
                    Format::Summary => {
                        self.gathered.list(action, container);
                        Ok(())
                    }
                    Format::Text if action == Action::Keep => {
                        self.gathered.count(action);
                        Ok(())
                    }
                    Format::Text => {
                        let container: Container = serde_json::from_str(container)
                            .map_err(|why| Error::new(Kind::Bug, "read a change").why(why))?;
                        self.text(&Change::new(action, container))
                    }
                }
            }
            Out::Change(change) => self.change(change),
            Out::Complete(count) => {
                self.gathered.is_complete = true;
                let mut checkpoint = Checkpoint::new(Of::Change, count);
                checkpoint.owner = self.owner.clone();
                checkpoint.follow = self.follow;
                self.pass(&Record::Checkpoint(checkpoint))
            }
            Out::Refused(why) => {
                self.report.failed(&why);
                Ok(())
            }
        }
    }

    fn change(&mut self, change: Change) -> Result<()> {
        self.differs |= change.action != Action::Keep;
        if let (true, Some(error)) = (change.has_failed(), &change.error) {
            self.report.failed(&Error::new(Kind::Refused, error));
        }
        match self.format {
            Format::Records => self.output.write(&change.into()),
            Format::Text => self.text(&change),
            Format::Summary if change.has_failed() => Ok(()),
            Format::Summary => {
                let json = |container| serde_json::to_string(container).unwrap_or_default();
                if let Some(current) = &change.current {
                    self.gathered.list(Action::Remove, &json(current));
                }
                self.gathered.list(change.action, &json(&change.container));
                Ok(())
            }
        }
    }

    /// A change as a person reads it.
    fn text(&mut self, change: &Change) -> Result<()> {
        let Container { id, image, host, .. } = &*change.container;
        let host = host.as_ref().map(|host| format!(" on {}", host.id)).unwrap_or_default();
        if change.has_failed() {
            let error = change.error.as_deref().unwrap_or_default();
            return self.output.line(&format!("! {id}: {}", OneLine(error)));
        }
        self.gathered.count(change.action);
        match change.action {
            Action::Add => self.output.line(&format!("+ {id} ({image}){host}"))?,
            Action::Remove => self.output.line(&format!("- {id} ({image}){host}"))?,
            Action::Replace => self.output.line(&format!("~ {id}{host}"))?,
            Action::Keep if change.why.is_empty() => (),
            Action::Keep => self.output.line(&format!("= {id}{host}"))?,
            action => self.output.line(&format!("= {id}{host}: {action}"))?,
        }
        for why in &change.why {
            for line in differences(&why.field, why.from.as_ref(), why.to.as_ref()) {
                self.output.line(&line)?;
            }
        }
        Ok(())
    }
}

impl Gathered {
    fn count(&mut self, action: Action) {
        self.counts[match action {
            Action::Add => 0,
            Action::Remove => 2,
            Action::Replace => 3,
            // The others are done to a container that stays.
            _ => 1,
        }] += 1;
    }

    /// Puts the container into the list that the action is told in.
    fn list(&mut self, action: Action, container: &str) {
        let list = match action {
            Action::Add | Action::Replace => List::Add,
            Action::Remove => List::Remove,
            _ => List::Keep,
        };
        self.count(action);
        let list = &mut self.lists[list as usize];
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(container);
    }
}

/// How a field differs, in lines: of two lists what each has beyond the other, of anything else what
/// there is and what there should be.
fn differences(field: &str, from: Option<&Value>, to: Option<&Value>) -> Vec<String> {
    let list = |value: Option<&Value>| match value {
        None => Some(Vec::new()),
        Some(value) => value.as_array().cloned(),
    };
    let one = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    let (Some(old), Some(new)) = (list(from), list(to)) else {
        return vec![format!("    {field}: {} -> {}", one(from), one(to))];
    };
    let beyond = |a: &[Value], b: &[Value], sign: char| {
        let only = a.iter().filter(|value| !b.contains(value));
        only.map(|value| format!("    {field}: {sign} {value}")).collect::<Vec<_>>()
    };
    let lines = [beyond(&old, &new, '-'), beyond(&new, &old, '+')].concat();
    if lines.is_empty() {
        vec![format!("    {field}: {} -> {}", one(from), one(to))]
    } else {
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_is_told_as_small_as_it_is() {
        let told = |from: Value, to: Value| differences("f", Some(&from), Some(&to));
        assert_eq!(told(json!("a"), json!("b")), [r#"    f: "a" -> "b""#]);
        assert_eq!(
            told(json!(["a", "b"]), json!(["b", "c"])),
            [r#"    f: - "a""#, r#"    f: + "c""#]
        );
        assert_eq!(
            told(json!(["a", "b"]), json!(["b", "a"])),
            [r#"    f: ["a","b"] -> ["b","a"]"#]
        );
        assert_eq!(differences("f", None, Some(&json!(7))), ["    f: nothing -> 7"]);
        assert_eq!(differences("f", None, Some(&json!(["a"]))), [r#"    f: + "a""#]);
    }
}
