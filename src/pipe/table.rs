//! Records as a table for people, behind `--table`.

mod event;

use std::net::IpAddr;

use serde_json::Value;

use event::{EVENT, STATS, event_row, stats_row};

use super::Writer;
use crate::error::{OneLine, Result};
use crate::record::{
    Amount, Binding, Change, Container, Explanation, Host, Lease, Passed, Placement, Record, State,
    What,
};

/// Rows that are gathered to find the width of the columns; later rows use the same widths.
const SAMPLE: usize = 1000;

/// Lines up the fields of records that people look for; one table for each kind in a run of them.
#[derive(Default)]
pub struct Table {
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Table {
    /// Takes a record; it may be printed at once or wait for the widths to be known.
    pub fn row(&mut self, to: &mut Writer, record: &Record) -> Result<()> {
        let Some((head, row)) = columns(record) else {
            return self.flush(to);
        };
        self.cells(to, head, row)
    }

    /// Takes a row of something that is no record.
    pub fn cells(
        &mut self,
        to: &mut Writer,
        head: &'static [&'static str],
        row: Vec<String>,
    ) -> Result<()> {
        if head != self.head {
            self.flush(to)?;
            self.head = head;
            self.widths = Vec::new();
        }
        self.rows.push(row);
        if self.widths.is_empty() && self.rows.len() < SAMPLE { Ok(()) } else { self.flush(to) }
    }

    /// Prints what waits.
    pub fn flush(&mut self, to: &mut Writer) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if self.widths.is_empty() {
            let widest = |column: usize| {
                let cells = self.rows.iter().map(|row| row[column].chars().count());
                cells.max().unwrap_or(0).max(self.head[column].len())
            };
            self.widths = (0..self.head.len()).map(widest).collect();
            to.line(&line(self.head.iter().copied(), &self.widths))?;
        }
        for row in self.rows.drain(..) {
            to.line(&line(row.iter().map(String::as_str), &self.widths))?;
        }
        Ok(())
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    line.truncate(line.trim_end().len());
    line
}

/// The heading and the cells for a record; nothing for one that has no row.
fn columns(record: &Record) -> Option<(&'static [&'static str], Vec<String>)> {
    let (head, cells): (&'static [&'static str], Vec<String>) = match record {
        Record::Lease(lease) => (LEASE, lease_row(lease)),
        Record::Container(container) => (CONTAINER, container_row(container)),
        Record::Change(change) => (CHANGE, change_row(change)),
        Record::Binding(binding) => (BINDING, binding_row(binding)),
        Record::Host(host) => (HOST, host_row(host)),
        Record::Explanation(explanation) => (EXPLANATION, explanation_row(explanation)),
        Record::Placement(placement) => (PLACEMENT, placement_row(placement)),
        Record::Event(event) if event.what == What::Stats => (STATS, stats_row(event)),
        Record::Event(event) => (EVENT, event_row(event)),
        Record::Checkpoint(_) | Record::Other(_) => return None,
    };
    Some((head, cells.iter().map(|cell| OneLine(cell).to_string()).collect()))
}

const LEASE: &[&str] = &["EVENT", "ADDRESS", "HOSTNAME", "EXPIRES", "KEY", "DUID"];
const CONTAINER: &[&str] = &["CONTAINER", "IMAGE", "STATE", "HOST", "CLIENT", "ADDRESSES"];
const CHANGE: &[&str] = &["ACTION", "CONTAINER", "HOST", "STATUS", "ADDRESSES", "WHY"];
const BINDING: &[&str] = &["CLIENT", "HOSTNAME", "CONTAINER", "ADDRESS", "SINCE", "UNTIL"];
const EXPLANATION: &[&str] =
    &["CLIENT", "ADDRESS", "HOSTNAME", "RULE", "TEMPLATE", "CONTAINERS", "WHY"];
const PLACEMENT: &[&str] = &["CONTAINER", "ACTION", "HOST", "WHY", "OTHERS"];
const HOST: &[&str] =
    &["HOST", "URL", "STATE", "ENGINE", "CPUS", "MEMORY", "CONTAINERS", "MS", "REASON"];

fn lease_row(lease: &Lease) -> Vec<String> {
    vec![
        word(&Some(lease.event)),
        leased(&lease.address, lease.prefix_len),
        text(&lease.hostname),
        lease.expires_at.map_or("never".to_owned(), |at| at.to_string()),
        lease.key.to_string(),
        text(&lease.duid),
    ]
}

fn container_row(container: &Container) -> Vec<String> {
    vec![
        container.id.to_string(),
        container.image.to_string(),
        word(&container.state),
        host(container),
        container.lease.as_ref().map_or("-".to_owned(), |lease| lease.address.to_string()),
        addresses(container),
    ]
}

fn change_row(change: &Change) -> Vec<String> {
    let fields: Vec<&str> = change.why.iter().map(|why| why.field.as_str()).collect();
    let why = match &change.error {
        Some(error) => error.clone(),
        None if fields.is_empty() => "-".to_owned(),
        None => fields.join(","),
    };
    vec![
        change.action.to_string(),
        change.container.id.to_string(),
        host(&change.container),
        word(&change.status),
        addresses(&change.container),
        why,
    ]
}

fn binding_row(binding: &Binding) -> Vec<String> {
    vec![
        leased(&binding.lease.address, binding.lease.prefix_len),
        text(&binding.lease.hostname),
        binding.container.to_string(),
        binding.address.to_string(),
        binding.since.to_string(),
        text(&binding.until),
    ]
}

fn host_row(host: &Host) -> Vec<String> {
    let used = host.used.as_ref();
    let share = |name: &str, show: &dyn Fn(u64) -> String| {
        let has = host.capacity.get(name).map(|amount| amount.milli());
        let takes = used.and_then(|used| used.resources.get(name)).map(|amount| amount.milli());
        match (takes, has) {
            (Some(takes), Some(has)) => format!("{}/{}", show(takes), show(has)),
            (None, Some(has)) => show(has),
            _ => "-".to_owned(),
        }
    };
    let gib = |milli: u64| format!("{:.1}g", milli as f64 / 1000.0 / f64::from(1 << 30));
    vec![
        host.id.clone(),
        host.url.clone(),
        word(&host.state),
        host.engine.as_ref().map_or("-".to_owned(), |of| format!("{} {}", of.name, of.version)),
        share("cpus", &|milli| Amount::from_milli(milli).to_string()),
        share("memory", &gib),
        text(&used.map(|used| used.containers)),
        text(&host.round_trip_ms),
        text(&host.reason),
    ]
}

fn explanation_row(explanation: &Explanation) -> Vec<String> {
    let names: Vec<String> = explanation.containers.iter().map(ToString::to_string).collect();
    let grounds: Vec<String> = explanation
        .why
        .iter()
        .map(|ground| format!("{} {}", ground.field, plain(&ground.wanted)))
        .collect();
    let why = match (&explanation.cap, &explanation.error, explanation.rule) {
        _ if explanation.state == Some(State::Absent) => "gone".to_owned(),
        (Some(cap), _, _) => format!("over {cap}"),
        (None, Some(error), _) => error.clone(),
        (None, None, None) => "no rule matches".to_owned(),
        (None, None, Some(_)) if grounds.is_empty() => "matches everyone".to_owned(),
        (None, None, Some(_)) => grounds.join(", "),
    };
    vec![
        explanation.key.to_string(),
        text(&explanation.address),
        text(&explanation.hostname),
        text(&explanation.rule),
        text(&explanation.template),
        if names.is_empty() { "-".to_owned() } else { names.join(",") },
        why,
    ]
}

fn placement_row(placement: &Placement) -> Vec<String> {
    let passed = |passed: &Passed| format!("{} {}", passed.count, passed.why);
    let others: Vec<String> = placement.passed_over.iter().map(passed).collect();
    vec![
        placement.container.to_string(),
        word(&placement.action),
        text(&placement.host),
        placement.error.clone().unwrap_or_else(|| text(&placement.why)),
        if others.is_empty() { "-".to_owned() } else { others.join(", ") },
    ]
}

/// A string without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn leased(address: &IpAddr, prefix_len: Option<u8>) -> String {
    prefix_len.map_or(address.to_string(), |len| format!("{address}/{len}"))
}

fn host(container: &Container) -> String {
    container.host.as_ref().map_or("-".to_owned(), |host| host.id.clone())
}

fn addresses(container: &Container) -> String {
    let of = |address: &crate::record::Address| address.address.to_string();
    let all: Vec<String> =
        container.interfaces.iter().flat_map(|i| i.addresses.iter().map(of)).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

fn text<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or("-".to_owned(), T::to_string)
}

/// An enumeration's word as it stands in records.
fn word<T: serde::Serialize>(value: &Option<T>) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_stay_on_their_line() {
        assert_eq!(line(["A", "B"].into_iter(), &[3, 1]), "A    B");
        let text = r#"{"kind":"host","id":"a\nb","url":"unix:///x"}"#;
        let record: Record = Record::parse(text).unwrap();
        assert_eq!(columns(&record).unwrap().1[..3], ["a\\nb", "unix:///x", "-"]);
        let text = r#"{"kind":"host","id":"a","url":"unix:///x","capacity":{"cpus":8,
            "memory":"2g"},"used":{"containers":3,"resources":{"cpus":0.5}}}"#;
        let record: Record = Record::parse(text).unwrap();
        assert_eq!(columns(&record).unwrap().1[4..7], ["0.5/8", "2.0g", "3"]);
    }
}
