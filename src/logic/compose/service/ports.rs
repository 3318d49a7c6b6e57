//! The ports of a service: those that its host publishes, and those that it only listens on.

use std::net::IpAddr;

use indexmap::IndexSet;
use serde_json::json;

use super::super::amounts::ports as numbers;
use super::super::tree::{Map, Node, Value};
use super::draft::Draft;
use super::no_counterpart;

/// What a port is, for people.
const PORT: &str = "a port ([[address:]host:]container[/protocol], numbers or ranges from-to)";

/// One entry of `ports`, in parts.
struct Entry<'n> {
    address: Option<&'n str>,
    published: Option<&'n str>,
    target: &'n str,
    protocol: &'n str,
}

impl Draft<'_, '_, '_> {
    /// `ports` and `expose`.
    pub fn ports(&mut self) {
        let mut published = IndexSet::new();
        if let Some(node) = self.get("ports") {
            for node in self.list("ports", node) {
                self.port(node, &mut published);
            }
        }
        let mut exposed = IndexSet::new();
        if let Some(node) = self.get("expose") {
            for text in self.texts("expose", node) {
                self.expose(node, text, &mut exposed);
            }
        }
        self.set("ports", json!(published.into_iter().collect::<Vec<_>>()));
        self.set("expose", json!(exposed.into_iter().collect::<Vec<_>>()));
    }

    fn port(&mut self, node: &Node, all: &mut IndexSet<String>) {
        let entry = match &node.value {
            Value::Map(map) => self.long(node, map),
            _ => self.text("ports", node).map(short),
        };
        let Some(entry) = entry else { return };
        let address = match entry.address.map(host_address) {
            None => String::new(),
            Some(Some(address)) => address,
            Some(None) => {
                let address = entry.address.unwrap_or_default();
                return self.wrong("ports", node, format!("\"{address}\" is not an IP address"));
            }
        };
        let protocol = match entry.protocol {
            "tcp" => String::new(),
            other => format!("/{other}"),
        };
        let target = numbers(entry.target).filter(|(first, _)| *first > 0);
        let published = entry.published.map(numbers);
        let (Some((first, last)), None | Some(Some(_))) = (target, published) else {
            let text = node.as_text().map_or_else(
                || format!("{}:{}", entry.published.unwrap_or("-"), entry.target),
                str::to_owned,
            );
            return self.wrong("ports", node, format!("\"{text}\" is not {PORT}"));
        };
        if !self.spend("ports", node, usize::from(last - first) + 1) {
            return;
        }
        let Some(host) = self.host_port(node, published.flatten(), (first, last)) else { return };
        for at in 0..=last - first {
            let host = host.map_or(0, |host| host + at);
            all.insert(format!("{address}{host}:{}{protocol}", first + at));
        }
    }

    /// The first port of the host, or nothing for one that Docker chooses. Nothing at all when the
    /// two ranges do not go together, which is told.
    fn host_port(
        &mut self,
        node: &Node,
        published: Option<(u16, u16)>,
        (first, last): (u16, u16),
    ) -> Option<Option<u16>> {
        let Some((from, to)) = published else { return Some(None) };
        if to - from == last - first {
            return Some(Some(from));
        }
        if first != last {
            let why = format!("{from}-{to} are not as many ports as {first}-{last}");
            self.wrong("ports", node, why);
            return None;
        }
        let why = no_counterpart(format_args!("one of {from} to {to}"));
        self.lost("ports", node, why.remedy(format_args!("{from} is published")));
        Some(Some(from))
    }

    fn long<'n>(&mut self, node: &Node, map: &'n Map) -> Option<Entry<'n>> {
        let known = ["name", "mode", "host_ip", "target", "published", "protocol", "app_protocol"];
        self.only("ports", map, &known);
        let text = |name: &str| map.get(name).and_then(Node::as_text);
        let Some(target) = text("target") else {
            self.wrong("ports", node, "there is no target");
            return None;
        };
        Some(Entry {
            address: text("host_ip").filter(|text| !text.is_empty()),
            published: text("published").filter(|text| !text.is_empty()),
            target,
            protocol: text("protocol").unwrap_or("tcp"),
        })
    }

    fn expose(&mut self, node: &Node, text: &str, all: &mut IndexSet<String>) {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let Some((first @ 1.., last)) = numbers(range) else {
            let what = "a container port (a number or a range, and /tcp, /udp or /sctp)";
            return self.wrong("expose", node, format!("\"{text}\" is not {what}"));
        };
        if !self.spend("expose", node, usize::from(last - first)) {
            return;
        }
        all.extend((first..=last).map(|port| match protocol {
            "tcp" => port.to_string(),
            other => format!("{port}/{other}"),
        }));
    }
}

/// The parts of `[[address:][published]:]target[/protocol]`; the address may be in brackets.
fn short(text: &str) -> Entry<'_> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let (before, target) = match rest.rsplit_once(':') {
        Some((before, target)) => (Some(before), target),
        None => (None, rest),
    };
    let (address, published) = match before.map(|before| (before, before.rsplit_once(':'))) {
        Some((_, Some((address, published)))) => (Some(address), Some(published)),
        Some((published, None)) => (None, Some(published)),
        None => (None, None),
    };
    Entry { address, published: published.filter(|text| !text.is_empty()), target, protocol }
}

/// An address as it stands before a port.
fn host_address(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse().ok()? {
        IpAddr::V4(address) => Some(format!("{address}:")),
        IpAddr::V6(address) => Some(format!("[{address}]:")),
    }
}
