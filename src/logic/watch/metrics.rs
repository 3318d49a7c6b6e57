//! What is known, in the text format that Prometheus reads (version 0.0.4).
//!
//! A family is its `HELP` and `TYPE` and all of its samples behind them; one without samples is left
//! out. In a label's value a backslash, a quote and the end of a line are escaped.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use jiff::Timestamp;

use super::{Known, Loops, Tally, Watch};
use crate::record::{Health, State, Usage};

/// All families, of these hosts; each with whether it answers. Of one that does not it is not said
/// how it stands there, only what was counted.
pub fn exposition(hosts: &[(&Watch, bool)], now: Timestamp) -> String {
    let mut page = Page::default();
    hosts_of(&mut page, hosts);
    standing(&mut page, hosts, now);
    counted(&mut page, hosts);
    used(&mut page, hosts);
    page.text
}

fn hosts_of(page: &mut Page, hosts: &[(&Watch, bool)]) {
    page.family("host_up", Type::Gauge, "Whether the host's Docker engine answers.");
    for (watch, up) in hosts {
        page.sample(&[("host", &watch.host.id)], u64::from(*up));
    }
    page.family("containers", Type::Gauge, "Containers by the state that they are in.");
    for (watch, _) in hosts.iter().filter(|(_, up)| *up) {
        let mut states = BTreeMap::new();
        for known in watch.known.values() {
            let state = known.sight.subject.state.map_or("unknown", State::as_str);
            *states.entry(state).or_insert(0_u64) += 1;
        }
        for (state, count) in states {
            page.sample(&[("host", &watch.host.id), ("state", state)], count);
        }
    }
}

/// How it stands with each container.
fn standing(page: &mut Page, hosts: &[(&Watch, bool)], now: Timestamp) {
    let containers = containers(hosts);
    let each = || containers.iter().copied();
    page.family("container_info", Type::Gauge, "What the container is; always 1.");
    for (host, name, known, _) in each() {
        let subject = &known.sight.subject;
        let image = subject.image.as_deref().unwrap_or_default();
        let owner = subject.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = subject.key.map(|key| key.to_string()).unwrap_or_default();
        let labels = [("image", image), ("owner", &*owner), ("key", &*key)];
        let said = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let all: Vec<_> = [("host", host), ("container", name)].into_iter().chain(said).collect();
        page.sample(&all, 1);
    }
    page.family("container_running", Type::Gauge, "Whether the container runs; paused counts.");
    for (host, name, known, _) in each() {
        page.sample(&[("host", host), ("container", name)], u64::from(known.sight.runs()));
    }
    page.family(
        "container_start_time_seconds",
        Type::Gauge,
        "When a container that runs was started.",
    );
    for (host, name, known, _) in each().filter(|(_, _, known, _)| known.sight.runs()) {
        if let Some(at) = known.sight.started_at() {
            page.sample(&[("host", host), ("container", name)], seconds(at));
        }
    }
    page.family(
        "container_healthy",
        Type::Gauge,
        "Whether the health check of a container that runs is content; absent before its first verdict.",
    );
    for (host, name, known, _) in each().filter(|(_, _, known, _)| known.sight.runs()) {
        if let Some(health @ (Health::Healthy | Health::Unhealthy)) = known.sight.health {
            let well = u64::from(health == Health::Healthy);
            page.sample(&[("host", host), ("container", name)], well);
        }
    }
    page.family("container_exit_code", Type::Gauge, "How a container that does not run has ended.");
    for (host, name, known, _) in each() {
        if let Some(code) = known.sight.exit_code.filter(|_| !known.sight.runs()) {
            page.sample(&[("host", host), ("container", name)], code);
        }
    }
    page.family("container_looping", Type::Gauge, "Whether the container ends again and again.");
    for (host, name, _, tally) in each() {
        if let Some((tally, loops)) = tally {
            let looping = u64::from(tally.ends.within(loops, now) >= loops.times);
            page.sample(&[("host", host), ("container", name)], looping);
        }
    }
}

/// What was counted since the program was started.
fn counted(page: &mut Page, hosts: &[(&Watch, bool)]) {
    let mut each = |name, help, of: &dyn Fn(&Tally) -> u64| {
        page.family(name, Type::Counter, help);
        for (watch, _) in hosts {
            for (container, tally) in &watch.tallies {
                page.sample(&[("host", &watch.host.id), ("container", container)], of(tally));
            }
        }
    };
    each("container_starts_total", "Starts of the container.", &|tally| tally.starts);
    each("container_ooms_total", "How often its memory ran out.", &|tally| tally.ooms);
    each("container_unhealthy_total", "How often it became unhealthy.", &|tally| tally.unhealthy);
    page.family("container_ends_total", Type::Counter, "Ends of the container, by the reason.");
    for (watch, _) in hosts {
        for (container, tally) in &watch.tallies {
            for (reason, count) in &tally.died {
                let host = ("host", &*watch.host.id);
                page.sample(&[host, ("container", container), ("reason", reason.as_str())], count);
            }
        }
    }
    page.family("events_total", Type::Counter, "Events that were told.");
    for (watch, _) in hosts {
        for (what, count) in &watch.counts {
            page.sample(&[("host", &watch.host.id), ("what", what.as_str())], count);
        }
    }
    page.family("missed_total", Type::Counter, "Containers with which something happened unseen.");
    for (watch, _) in hosts {
        page.sample(&[("host", &watch.host.id)], watch.gaps);
    }
}

/// One value of what a container uses.
type Value = fn(&Usage) -> Option<u64>;

/// What is used.
fn used(page: &mut Page, hosts: &[(&Watch, bool)]) {
    const FAMILIES: [(&str, Type, &str, Value); 7] = [
        ("container_memory_bytes", Type::Gauge, "Memory that it cannot do without.", |u| {
            u.memory_bytes
        }),
        ("container_memory_limit_bytes", Type::Gauge, "The limit of its memory.", |u| {
            u.memory_limit_bytes
        }),
        ("container_network_receive_bytes_total", Type::Counter, "What came in.", |u| {
            u.network_rx_bytes
        }),
        ("container_network_transmit_bytes_total", Type::Counter, "What went out.", |u| {
            u.network_tx_bytes
        }),
        ("container_block_read_bytes_total", Type::Counter, "What was read from devices.", |u| {
            u.block_read_bytes
        }),
        ("container_block_written_bytes_total", Type::Counter, "What was written to them.", |u| {
            u.block_write_bytes
        }),
        ("container_pids", Type::Gauge, "Processes and threads.", |u| u.pids),
    ];
    let all = containers(hosts).into_iter();
    let containers: Vec<_> = all
        .filter_map(|(host, name, known, _)| known.usage.as_ref().map(|usage| (host, name, usage)))
        .collect();
    page.family("container_cpu_seconds_total", Type::Counter, "Processor time of this run of it.");
    for (host, name, usage) in &containers {
        if let Some(cpu) = usage.cpu_ns {
            page.sample(&[("host", host), ("container", name)], cpu as f64 / 1e9);
        }
    }
    for (family, of, help, value) in FAMILIES {
        page.family(family, of, help);
        for (host, name, usage) in &containers {
            if let Some(value) = value(usage) {
                page.sample(&[("host", host), ("container", name)], value);
            }
        }
    }
}

/// Host, name, what is known and, where ends are counted, what was counted.
type Standing<'a> = (&'a str, &'a str, &'a Known, Option<(&'a Tally, Loops)>);

/// The containers of the hosts that answer, by their names, of which a host has each once: while one
/// takes the name of another, the one that runs.
fn containers<'a>(hosts: &[(&'a Watch, bool)]) -> Vec<Standing<'a>> {
    let mut all = Vec::new();
    for (watch, _) in hosts.iter().filter(|(_, up)| *up) {
        let mut names: BTreeMap<&str, &Known> = BTreeMap::new();
        for known in watch.known.values() {
            let named = names.entry(&known.sight.subject.id).or_insert(known);
            if known.sight.runs() {
                *named = known;
            }
        }
        let of = |(name, known)| {
            (&*watch.host.id, name, known, watch.tallies.get(name).zip(watch.loops))
        };
        all.extend(names.into_iter().map(of));
    }
    all
}

fn seconds(at: Timestamp) -> f64 {
    at.as_nanosecond() as f64 / 1e9
}

#[derive(Clone, Copy)]
enum Type {
    Gauge,
    Counter,
}

/// A page as it is written.
#[derive(Default)]
struct Page {
    text: String,
    /// The name of the family in hand, and what stands above its first sample.
    name: &'static str,
    head: String,
}

impl Page {
    /// Begins a family. The name is the rest of it, behind the suite's own; the help is one line
    /// without a backslash.
    fn family(&mut self, name: &'static str, of: Type, help: &str) {
        let kind = match of {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
        };
        self.name = name;
        self.head = format!("# HELP leasepipe_{name} {help}\n# TYPE leasepipe_{name} {kind}\n");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(&std::mem::take(&mut self.head));
        let _ = write!(self.text, "leasepipe_{}{{", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(self.text, "{comma}{name}=\"{}\"", escaped(value));
        }
        let _ = writeln!(self.text, "}} {value}");
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_s_value_is_escaped_and_an_empty_family_left_out() {
        let mut page = Page::default();
        page.family("nothing", Type::Gauge, "No sample.");
        page.family("a_total", Type::Counter, "One.");
        page.sample(&[("host", "a\\b\"c\nd é")], 1.5);
        page.sample(&[("host", "e"), ("what", "f")], 2);
        let text = "# HELP leasepipe_a_total One.\n# TYPE leasepipe_a_total counter\n\
                    leasepipe_a_total{host=\"a\\\\b\\\"c\\nd é\"} 1.5\n\
                    leasepipe_a_total{host=\"e\",what=\"f\"} 2\n";
        assert_eq!(page.text, text);
    }
}
