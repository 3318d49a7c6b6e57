//! cccf-check: containers → the same without the bad ones, and what is wrong with those.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::logic::check;
use crate::logic::fleet::Fleet;
use crate::pipe::{Found, Output, Reader, Report, Writer};
use crate::record::{Action, Change, Container, Faults, Object, Record, Shape, State, schema_of};

/// Passes on what is right in these files, or in standard input when there are none.
///
/// # Errors
/// When a file cannot be opened or read. What is wrong with a record is told, and remembered for
/// the exit status.
pub fn run(files: &[PathBuf], strict: bool, report: &Report) -> Result<()> {
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin } else { files };
    let open = |path: &PathBuf| Reader::open(path).map_err(Error::into_usage);
    let readers: Vec<Reader> = files.iter().map(open).collect::<Result<_>>()?;
    let mut checker = Checker {
        report: report.clone(),
        output: Output::stdout(false)?,
        strict,
        seen: Seen::default(),
    };
    for reader in readers {
        checker.file(reader)?;
    }
    checker.output.settle()
}

/// Writes the JSON Schema of container documents.
pub fn schema(strict: bool) -> Result<()> {
    let schema = schema_of::<Container>("CCCF: one container", strict);
    let mut writer = Writer::stdout()?;
    writer.line(&format!("{schema:#}"))?;
    writer.flush()
}

/// Writes so many containers of the fleet of a seed.
pub fn random(count: u64, seed: u64) -> Result<()> {
    let mut writer = Writer::stdout()?;
    for container in (0..count).zip(Fleet::seeded(seed)).map(|(_, container)| container) {
        writer.write(&container)?;
    }
    writer.flush()
}

/// What checks one record after another.
struct Checker {
    report: Report,
    output: Output,
    strict: bool,
    seen: Seen,
}

/// Where one record begins, and which it is.
struct Place<'a> {
    file: &'a str,
    line: u64,
    id: &'a str,
}

impl Place<'_> {
    fn error(&self, what: impl std::fmt::Display) -> Error {
        let error = Error::new(Kind::BadInput, what);
        let error = if self.id.is_empty() { error } else { error.at(self.id) };
        error.at(format_args!("{}:{}", self.file, self.line))
    }
}

impl Checker {
    fn file(&mut self, mut reader: Reader) -> Result<()> {
        self.seen.begin(reader.name());
        loop {
            match reader.read(&mut || self.output.flush())? {
                Found::Record(line, record) => self.record(reader.name(), line, &record)?,
                Found::Bad(why) => self.bad(&reader, &why),
                Found::End => return Ok(()),
            }
        }
    }

    /// Looks at what could be read, and passes it on if it is right.
    fn record(&mut self, file: &str, line: u64, record: &Record) -> Result<()> {
        let is_right = match record {
            Record::Container(container) => {
                let place = Place { file, line, id: container.id.as_str() };
                let is_new = self.is_new(container, &place);
                self.container("", container, &place) && is_new
            }
            Record::Change(change) => {
                let container = &change.container;
                let place = Place { file, line, id: container.id.as_str() };
                change.action == Action::Remove || self.container("container.", container, &place)
            }
            Record::Checkpoint(checkpoint) => {
                self.seen.follows |= checkpoint.follow;
                true
            }
            _ => true,
        };
        if is_right {
            self.report.used();
            self.output.write(record)?;
        }
        Ok(())
    }

    /// Tells what is wrong with a container; whether it is right.
    fn container(&self, under: &'static str, container: &Container, place: &Place) -> bool {
        if container.state == Some(State::Absent) {
            return true;
        }
        let mut found = check::check_under(under, container);
        if self.strict {
            found.faults.inside(under, |faults| container.unknown(faults));
        }
        for remark in found.remarks.finish().0 {
            self.report.note(&place.error(format_args!("remark: {remark}")));
        }
        self.tell(found.faults, place)
    }

    /// Tells each fault in a line of its own; whether there is none.
    fn tell(&self, faults: Faults, place: &Place) -> bool {
        let (faults, count) = faults.finish();
        for fault in &faults {
            self.report.failed(&place.error(fault));
        }
        if count > faults.len() {
            let more = format_args!("{} more faults are not told", count - faults.len());
            self.report.failed(&place.error(more));
        }
        count == 0
    }

    /// Whether the container is the first of its name on its host.
    fn is_new(&mut self, container: &Container, place: &Place) -> bool {
        match self.seen.add(container, place.line) {
            None => true,
            Some(first) => {
                let what = format_args!("\"{}\" stands twice: first at {first}", container.id);
                self.report.failed(&place.error(format_args!("field \"id\": {what}")));
                false
            }
        }
    }

    /// Tells what is wrong with something that could not be read: of a container or a change all
    /// of it, of anything else what the reader says.
    fn bad(&self, reader: &Reader, why: &Error) {
        let (bytes, line) = reader.last();
        let json = std::str::from_utf8(bytes).unwrap_or_default();
        let Ok(object) = Object::parse(json) else { return self.report.failed(why) };
        let text = |name: &str| object.get(name).and_then(|json| serde_json::from_str(json).ok());
        let kind: Option<String> = text("kind");
        let mut faults = Faults::default();
        match kind.as_deref() {
            None | Some("container") => Container::faults(json, &mut faults),
            Some("change") => Change::faults(json, &mut faults),
            Some(_) => (),
        }
        if faults.is_empty() {
            return self.report.failed(why);
        }
        let id: Option<String> = text("id");
        let id = id.unwrap_or_default();
        self.tell(faults, &Place { file: reader.name(), line, id: &id });
    }
}

/// Which containers were seen, and where first.
#[derive(Default)]
struct Seen {
    files: Vec<String>,
    first: HashMap<Box<str>, (u32, u64)>,
    /// Whether what comes is news of members that were listed before.
    follows: bool,
}

impl Seen {
    fn begin(&mut self, file: &str) {
        self.files.push(file.to_owned());
        self.follows = false;
    }

    /// Where the same container was first, if it was.
    fn add(&mut self, container: &Container, line: u64) -> Option<String> {
        if self.follows || container.state == Some(State::Absent) {
            return None;
        }
        // No id has a blank in it, so host and id do not run into each other.
        let host = container.host.as_ref().map_or("", |host| host.id.as_str());
        let key = format!("{} {host}", container.id).into_boxed_str();
        let here = (self.files.len() as u32 - 1, line);
        match self.first.entry(key) {
            std::collections::hash_map::Entry::Occupied(first) => {
                let (file, line) = first.get();
                Some(format!("{}:{line}", self.files[*file as usize]))
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(here);
                None
            }
        }
    }
}
