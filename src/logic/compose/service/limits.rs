//! What a service may use of its host.

use serde_json::json;

use super::super::amounts::{bytes, decimal};
use super::super::tree::Node;
use super::draft::Draft;
use super::field;

/// What a size is, for people.
const SIZE: &str = "a size (such as 512m)";

impl<'a> Draft<'a, '_, '_> {
    /// Limits of memory, processor time and processes, in the service or under `deploy`.
    pub fn limits(&mut self) {
        let memory = self.agreed("mem_limit", "memory", bytes, SIZE);
        self.set("memory", json!(memory.filter(|memory| *memory > 0)));
        if let Some(node) = self.get("memswap_limit") {
            let swap = |text: &str| match text {
                "-1" => Some(json!(-1)),
                text => bytes(text).map(|bytes| json!(bytes)),
            };
            let swap = self.read("memswap_limit", node, swap, "a size (such as 1g) or -1");
            self.set("memory_swap", json!(swap.filter(|swap| *swap != json!(0))));
        }
        let cpus = self.agreed("cpus", "cpus", decimal, "a number of cores (such as 0.5)");
        match cpus {
            Some(cpus) if cpus > 0.0 => self.set("cpus", json!(cpus)),
            _ => self.quota(),
        }
        if let Some(node) = self.get("cpu_shares") {
            self.copy_number("cpu_shares", "cpu_shares", node);
        }
        let number = |text: &str| text.parse::<i64>().ok();
        let processes = self.agreed("pids_limit", "pids", number, "a whole number");
        self.set("pids_limit", json!(processes.filter(|number| *number != 0)));
    }

    /// Processor time as so much of each period; in cores it is the one divided by the other.
    fn quota(&mut self) {
        let number = |text: &str| text.parse::<u64>().ok();
        let period = match self.get("cpu_period") {
            Some(node) => self.read("cpu_period", node, number, "a number of microseconds"),
            None => Some(100_000),
        };
        let Some(node) = self.get("cpu_quota") else {
            if let Some(node) = self.get("cpu_period") {
                self.no_counterpart("cpu_period", node, "it counts with cpu_quota only");
            }
            return;
        };
        if node.as_text() == Some("-1") {
            return;
        }
        let quota = self.read("cpu_quota", node, number, "a number of microseconds");
        if let (Some(quota @ 1..), Some(period @ 1..)) = (quota, period) {
            self.set("cpus", json!(quota as f64 / period as f64));
        }
    }

    /// A limit that may be said in the service or under `deploy`, and must not be said differently.
    fn agreed<T: PartialEq + Copy>(
        &mut self,
        name: &str,
        limit: &str,
        read: impl Fn(&str) -> Option<T>,
        what: &str,
    ) -> Option<T> {
        let own = self.get(name).and_then(|node| self.read(name, node, &read, what));
        let place = format!("deploy.resources.limits.{limit}");
        let other = self.resources("limits").and_then(|map| field(map, limit));
        let other = other.and_then(|node| Some((self.read(&place, node, &read, what)?, node)));
        match (own, other) {
            (Some(own), Some((other, node))) if own != other => {
                self.wrong(&place, node, format!("{name} says something else"));
                None
            }
            (own, other) => own.or(other.map(|(other, _)| other)),
        }
    }

    /// `deploy.resources.limits` or `deploy.resources.reservations`.
    pub fn resources(&self, which: &str) -> Option<&'a super::super::tree::Map> {
        let deploy = self.get("deploy").and_then(Node::as_map)?;
        let resources = field(deploy, "resources").and_then(Node::as_map)?;
        field(resources, which).and_then(Node::as_map)
    }
}
