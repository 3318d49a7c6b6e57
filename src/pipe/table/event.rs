//! Rows for what happens.

use super::{text, word};
use crate::record::{Bytes, Event, Usage};

pub(super) const EVENT: &[&str] = &["TIME", "WHAT", "CONTAINER", "HOST", "DETAIL"];
pub(super) const STATS: &[&str] =
    &["CONTAINER", "HOST", "CPUS", "MEMORY", "LIMIT", "RX", "TX", "READ", "WRITTEN", "PIDS"];

pub(super) fn event_row(event: &Event) -> Vec<String> {
    let detail = detail(event);
    vec![
        format!("{:.3}", event.at),
        event.what.to_string(),
        container(event),
        host(event),
        if detail.is_empty() { "-".to_owned() } else { detail.join(", ") },
    ]
}

pub(super) fn stats_row(event: &Event) -> Vec<String> {
    let usage = event.stats.as_ref();
    let size = |of: fn(&Usage) -> Option<u64>| {
        usage.and_then(of).map_or("-".to_owned(), |bytes| human(Bytes(bytes)))
    };
    vec![
        container(event),
        host(event),
        usage.and_then(|usage| usage.cpus).map_or("-".to_owned(), |cpus| format!("{cpus:.3}")),
        size(|usage| usage.memory_bytes),
        size(|usage| usage.memory_limit_bytes),
        size(|usage| usage.network_rx_bytes),
        size(|usage| usage.network_tx_bytes),
        size(|usage| usage.block_read_bytes),
        size(|usage| usage.block_write_bytes),
        text(&usage.and_then(|usage| usage.pids)),
    ]
}

/// What there is to say beside what happened to whom.
fn detail(event: &Event) -> Vec<String> {
    let state = event.container.as_ref().and_then(|container| container.state);
    let mut detail = Vec::new();
    detail.extend(state.map(|_| word(&state)));
    detail.extend(event.reason.map(|reason| reason.to_string()));
    detail.extend(event.exit_code.map(|code| format!("exit code {code}")));
    detail.extend(event.signal.as_ref().map(ToString::to_string));
    detail.extend(event.asked.then(|| "asked for".to_owned()));
    detail.extend(event.health.map(|health| health.to_string()));
    detail.extend(event.was.as_ref().map(|was| format!("was {was}")));
    let times = event.restarts.filter(|_| event.looping);
    detail.extend(times.map(|times| format!("loops ({times} times)")));
    detail.extend(event.gap.then(|| "not seen".to_owned()));
    detail.extend(event.error.clone());
    detail.extend(event.output.as_ref().map(|output| output.trim_end().to_owned()));
    detail
}

fn container(event: &Event) -> String {
    event.container.as_ref().map_or("-".to_owned(), |container| container.id.clone())
}

fn host(event: &Event) -> String {
    event.host.as_ref().map_or("-".to_owned(), |host| host.id.clone())
}

/// With three digits that count, in units of 1024.
fn human(Bytes(bytes): Bytes) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match units.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let number = bytes as f64 / (1_u64 << shift) as f64;
            let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
            format!("{number:.digits$}{unit}")
        }
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    fn row(text: &str) -> Vec<String> {
        match Record::parse(text).unwrap() {
            Record::Event(event) => event_row(&event),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_says_what_people_look_for() {
        let text = r#"{"kind":"event","at":"2026-11-21T18:30:34.225406555Z","what":"die","host":{"id":"h"},"container":{"id":"web"},"exit_code":137,"reason":"out_of_memory","restarts":4,"looping":true}"#;
        assert_eq!(
            row(text),
            [
                "2026-11-21T18:30:34.225Z",
                "die",
                "web",
                "h",
                "out_of_memory, exit code 137, loops (4 times)"
            ]
        );
        let text = r#"{"kind":"event","at":"2026-11-21T18:30:34Z","what":"host-up"}"#;
        assert_eq!(row(text), ["2026-11-21T18:30:34.000Z", "host-up", "-", "-", "-"]);
    }

    #[test]
    fn sizes_are_short() {
        let human = |bytes| human(Bytes(bytes));
        let told = [0, 1023, 1024, 50 << 10, 1_232_896, 34 << 20, 999 << 30, 3 << 40].map(human);
        assert_eq!(told, ["0", "1023", "1.00K", "50.0K", "1.18M", "34.0M", "999G", "3.00T"]);
    }
}
