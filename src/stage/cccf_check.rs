//! cccf-check: containers → the same without the bad ones, and what is wrong with those.

mod circles;
mod seen;

use std::fmt::Display;
use std::path::PathBuf;

use circles::{Circle, Circles};
use seen::Seen;

use crate::error::{Error, Kind, Result};
use crate::logic::check::{self, Findings};
use crate::logic::fleet::Fleet;
use crate::pipe::{Found, Reader, Report, Writer};
use crate::record::{
    Action, Change, Container, Faults, Object, Record, Shape, Split, State, schema_of,
};

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
    let (seen, circles) = (Seen::default(), Circles::default());
    let mut checker = Checker { report: report.clone(), strict, seen, circles };
    let mut writer = Writer::stdout()?;
    for reader in readers {
        checker.file(reader, &mut writer)?;
    }
    checker.tell_circles();
    writer.flush()
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
    for (_, container) in (0..count).zip(Fleet::seeded(seed)) {
        writer.write(&container)?;
    }
    writer.flush()
}

/// A record as it came, on one line, and what it says or why nobody can tell.
type Line = (String, Result<Record, String>);

/// Takes everything that is a JSON object for a record, be it a bad one.
fn line(text: &str) -> Result<Line, String> {
    match Record::parse(text) {
        Err(why) if Split::parse(text).is_err() => Err(why),
        record => Ok((text.to_owned(), record)),
    }
}

/// What checks one record after another.
struct Checker {
    report: Report,
    strict: bool,
    seen: Seen,
    circles: Circles,
}

/// Where a record begins, and which it is.
struct Place<'a> {
    file: &'a str,
    line: u64,
    id: &'a str,
}

impl Place<'_> {
    fn error(&self, what: impl Display) -> Error {
        let error = Error::new(Kind::BadInput, what);
        let error = if self.id.is_empty() { error } else { error.at(self.id) };
        error.at(format_args!("{}:{}", self.file, self.line))
    }
}

impl Checker {
    fn file(&mut self, mut reader: Reader, writer: &mut Writer) -> Result<()> {
        self.seen.begin(reader.name());
        loop {
            match reader.read_as(&mut || writer.flush(), &mut line)? {
                Found::Record(line, (text, record)) => {
                    let is_right = match record {
                        Ok(record) => self.record(reader.name(), line, &record),
                        Err(why) => self.bad(reader.name(), line, &text, &why),
                    };
                    if is_right {
                        self.report.used();
                        writer.line(&text)?;
                    }
                }
                Found::Bad(why) => self.report.failed(&why),
                Found::End => return Ok(()),
            }
        }
    }

    /// Looks at a record whose fields are each right for themselves; whether it is right.
    fn record(&mut self, file: &str, line: u64, record: &Record) -> bool {
        match record {
            Record::Container(container) => {
                let place = Place { file, line, id: container.id.as_str() };
                let is_first = self.is_first(container, &place);
                let is_right = self.container("", container, &place) && is_first;
                if is_right {
                    self.circles.add(container, self.seen.file(), line);
                }
                is_right
            }
            Record::Change(change) if change.action != Action::Remove => {
                let place = Place { file, line, id: change.container.id.as_str() };
                let is_right = self.container("container.", &change.container, &place);
                if is_right {
                    self.circles.add(&change.container, self.seen.file(), line);
                }
                is_right
            }
            Record::Checkpoint(checkpoint) => {
                self.seen.is_news |= checkpoint.follow;
                self.tell_circles();
                true
            }
            _ => true,
        }
    }

    /// Tells of the circles in what has come so far. It has come out by now.
    fn tell_circles(&mut self) {
        for Circle { id, file, line, told } in self.circles.find() {
            let place = Place { file: self.seen.name(file), line, id: id.as_str() };
            let what = format_args!("field \"depends_on\" goes in a circle: {told}");
            self.report.failed(&place.error(what));
        }
    }

    fn container(&self, under: &'static str, container: &Container, place: &Place) -> bool {
        if container.state == Some(State::Absent) {
            return true;
        }
        let found = self.look(under, container, Faults::default());
        for remark in found.remarks.finish().0 {
            self.report.note(&place.error(format_args!("remark: {remark}")));
        }
        self.tell(found.faults, place)
    }

    /// What is wrong with a container beside these faults.
    fn look(&self, under: &'static str, container: &Container, faults: Faults) -> Findings {
        let mut found = check::look(under, container, faults);
        if self.strict {
            let place = under.trim_end_matches('.');
            found.faults.inside(place, |faults| container.unknown(faults));
        }
        found
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
    fn is_first(&mut self, container: &Container, place: &Place) -> bool {
        let Some(first) = self.seen.add(container, place.line) else { return true };
        let what = format_args!("\"{}\" stands twice, first at {first}", container.id);
        self.report.failed(&place.error(format_args!("field \"id\": {what}")));
        false
    }

    /// Tells all that is wrong with a record that has bad fields; of one that is neither a container
    /// nor a change, what its reader says.
    fn bad(&self, file: &str, line: u64, text: &str, why: &str) -> bool {
        let Ok(split) = Split::parse(text) else { return false };
        let string = |json: Option<&str>| -> Option<String> {
            serde_json::from_str(json.unwrap_or("null")).ok().flatten()
        };
        let (kind, mut id) = (string(split.get("kind")), string(split.get("id")));
        let mut faults = Faults::default();
        match kind.as_deref() {
            Some("change") => {
                Change::faults(text, &mut faults);
                let container = split.get("container").and_then(|json| Split::parse(json).ok());
                id = container.and_then(|container| string(container.get("id")));
            }
            None | Some("container") if split.has("id") || split.has("image") => {
                Container::faults(text, &mut faults);
                faults = self.beside(text, faults);
            }
            _ => (),
        }
        let id = id.unwrap_or_default();
        let place = Place { file, line, id: &id };
        if faults.is_empty() {
            self.report.failed(&place.error(why));
            return false;
        }
        self.tell(faults, &place)
    }

    /// The faults of a container, and those of its fields that can be read.
    fn beside(&self, text: &str, faults: Faults) -> Faults {
        let Ok(mut object) = Object::parse(text) else { return faults };
        let bad: Vec<String> = faults.fields().map(str::to_owned).collect();
        for field in &bad {
            object.remove(field);
        }
        for (field, stand_in) in [("id", "a"), ("image", "a")] {
            if !object.has(field) {
                object.set(field, stand_in);
            }
        }
        match Container::try_from(object) {
            Ok(container) => self.look("", &container, faults).faults,
            Err(_) => faults,
        }
    }
}
