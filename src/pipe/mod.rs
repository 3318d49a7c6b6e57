//! How records travel: reading and writing them, what people are told, how a program ends.

mod progress;
mod reader;
mod report;
mod scan;
mod status;
mod table;
mod writer;

pub use progress::{Bars, Progress, Transfer};
pub use reader::{Found, LONGEST, Reader};
pub use report::Report;
pub use status::{EXITS, Exit};
pub use writer::{Writer, input_within, reader_leaves};

use crate::error::{Error, Kind, OneLine, Result};
use crate::record::{Action, Record};

/// Where records go: as NDJSON to the next program, or as a table to a person.
pub struct Output {
    writer: Writer,
    table: Option<table::Table>,
}

impl Output {
    /// Standard output.
    pub fn stdout(table: bool) -> Result<Output> {
        Ok(Output { writer: Writer::stdout()?, table: table.then(Default::default) })
    }

    /// A file, as NDJSON.
    #[cfg(test)]
    pub(crate) fn to(file: std::fs::File) -> Output {
        Output { writer: Writer::new(file), table: None }
    }

    /// Appends one record. Call [`Output::flush`] before waiting for anything.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        match &mut self.table {
            Some(table) => table.row(&mut self.writer, record),
            None => match record {
                Record::Other(object) => self.writer.line(object.as_json()),
                record => self.writer.write(record),
            },
        }
    }

    /// Appends a record for each of very many items, in their order.
    pub fn write_each<I: Sync>(
        &mut self,
        items: &[I],
        record: impl Fn(&I) -> Record + Sync,
    ) -> Result<()> {
        match &mut self.table {
            Some(_) => items.iter().try_for_each(|item| self.write(&record(item))),
            None => self.writer.write_each(items, record),
        }
    }

    /// Appends a row for what is no record by itself, where there is a table; whether there is one.
    pub fn row(&mut self, head: &'static [&'static str], cells: &[String]) -> Result<bool> {
        let Some(table) = &mut self.table else { return Ok(false) };
        let cells = cells.iter().map(|cell| OneLine(cell).to_string()).collect();
        table.cells(&mut self.writer, head, cells).map(|()| true)
    }

    /// Appends a record that is JSON already, on one line.
    pub fn json(&mut self, text: &str) -> Result<()> {
        match &mut self.table {
            Some(table) => {
                let record = Record::parse(text).map_err(|why| Error::new(Kind::Bug, why))?;
                table.row(&mut self.writer, &record)
            }
            None => self.writer.line(text),
        }
    }

    /// Appends a change of which no more is to be said than the container, whose JSON is given.
    pub fn write_change(&mut self, action: Action, container: &str) -> Result<()> {
        let pieces = [
            r#"{"kind":"change","action":""#,
            action.as_str(),
            r#"","container":"#,
            container,
            "}",
        ];
        match &self.table {
            Some(_) => self.json(&pieces.concat()),
            None => self.writer.pieces(&pieces),
        }
    }

    /// Appends a record that is JSON already, in pieces. A table has no place for one.
    pub fn pieces(&mut self, pieces: &[&str]) -> Result<()> {
        self.writer.pieces(pieces)
    }

    /// Appends a line of text for people.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.writer.line(text)
    }

    /// Hands over what was written. A table that waits to learn its widths waits on.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush()
    }

    /// The listing is complete: nothing waits any more.
    pub fn settle(&mut self) -> Result<()> {
        if let Some(table) = &mut self.table {
            table.flush(&mut self.writer)?;
        }
        self.writer.flush()
    }
}

/// The three streams of a filter.
pub struct Stdio {
    /// Standard input.
    pub reader: Reader,
    /// Standard output.
    pub output: Output,
    /// Standard error.
    pub report: Report,
}

impl Stdio {
    /// The process's own streams.
    pub fn open(report: &Report, table: bool) -> Result<Stdio> {
        let output = Output::stdout(table)?;
        Ok(Stdio { reader: Reader::stdin()?, output, report: report.clone() })
    }

    /// The next record of standard input; nothing at its end. Hands the output over before it
    /// waits. What is no record is told, remembered for the exit status, and passed over.
    pub fn read(&mut self) -> Result<Option<Record>> {
        loop {
            match self.reader.read(&mut || self.output.flush())? {
                Found::Record(_, record) => {
                    self.report.used();
                    return Ok(Some(record));
                }
                Found::Bad(why) => self.report.failed(&why),
                Found::End => return Ok(None),
            }
        }
    }

    /// Writes a record.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.output.write(record)
    }

    /// Writes out whatever waits: the input has ended.
    pub fn finish(mut self) -> Result<()> {
        self.output.settle()
    }
}

/// Runs a program's work and turns its outcome, a panic included, into an exit status.
pub fn run(report: &Report, work: impl FnOnce() -> Result<()> + std::panic::UnwindSafe) -> Exit {
    let hook = report.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no message");
        let error = Error::new(Kind::Bug, "bug").why(format_args!("{text} ({place})"));
        hook.note(&error.remedy("please report it"));
    }));
    match std::panic::catch_unwind(work) {
        Ok(outcome) => report.exit(outcome),
        Err(_) => Exit::Bug,
    }
}
