//! Memory, processor time, limits of processes, privileges and kernel settings.

use std::collections::BTreeSet;

use super::Findings;
use super::names::{self, Namespace};
use crate::record::{Bytes, Container, Swap};

/// What the engine needs to start a process at all.
const LEAST_MEMORY: u64 = 6 * 1024 * 1024;

pub fn check(container: &Container, found: &mut Findings) {
    memory(container, found);
    processor(container, found);
    processes(container, found);
    privileges(container, found);
    settings(container, found);
}

fn memory(container: &Container, found: &mut Findings) {
    let memory = container.memory.unwrap_or(Bytes(0)).0;
    if (1..LEAST_MEMORY).contains(&memory) {
        found
            .fault("memory", format_args!("{memory} is less than the 6 MiB that the engine needs"));
    }
    let Some(Swap::Limited(Bytes(swap))) = container.memory_swap else { return };
    if swap == 0 {
        return;
    }
    if memory == 0 && !found.is_told("memory") {
        found.fault("memory_swap", "there is no \"memory\" beside it, which the engine asks for");
    } else if swap < memory {
        let what = "is less than \"memory\", and stands for memory and swap together";
        found.fault("memory_swap", format_args!("{swap} {what}"));
    }
}

fn processor(container: &Container, found: &mut Findings) {
    if let Some(cpus) = container.cpus
        && cpus.nano() < 10_000_000
    {
        found
            .fault("cpus", format_args!("{cpus} is less than the hundredth that the engine gives"));
    }
    if let Some(shares) = container.cpu_shares
        && shares != 0
        && !(2..=262_144).contains(&shares)
    {
        found.fault("cpu_shares", format_args!("{shares} is not from 2 to 262144"));
    }
}

fn processes(container: &Container, found: &mut Findings) {
    if let Some(limit) = container.pids_limit
        && limit < -1
    {
        found.fault("pids_limit", format_args!("{limit} is less than -1, which is no limit"));
    }
    for name in container.ulimits.keys().filter(|name| !names::is_limit(name)) {
        let known = names::limits();
        found.fault("ulimits", format_args!("{name:?} is not a limit; there are {known}"));
    }
    if let Some(signal) = &container.stop_signal
        && !names::is_signal(signal.as_str())
    {
        found.fault(
            "stop_signal",
            format_args!("{signal:?} is not a signal of Linux", signal = signal.as_str()),
        );
    }
}

fn privileges(container: &Container, found: &mut Findings) {
    for (field, list) in [("cap_add", &container.cap_add), ("cap_drop", &container.cap_drop)] {
        for (at, name) in list.iter().enumerate() {
            if !names::is_capability(&names::capability(name)) {
                found.fault(
                    format_args!("{field}[{at}]"),
                    format_args!("{name:?} is not a capability"),
                );
            }
        }
    }
    let added: BTreeSet<String> =
        container.cap_add.iter().map(|name| names::capability(name)).collect();
    let dropped: BTreeSet<String> =
        container.cap_drop.iter().map(|name| names::capability(name)).collect();
    if let Some(both) = added.intersection(&dropped).next() {
        found.remark("cap_drop", format_args!("{both:?} is in \"cap_add\", too"));
    }
    if container.privileged && !(added.is_empty() && dropped.is_empty()) {
        found.remark(
            "privileged",
            "it gives every capability, whatever is added or dropped beside it",
        );
    }
}

fn settings(container: &Container, found: &mut Findings) {
    let shares_net = container.network_mode.as_deref().is_some_and(|mode| mode == "host");
    let shares_ipc = container.ipc.as_ref().is_some_and(|mode| mode.as_str() == "host");
    for name in container.sysctls.keys() {
        let why = match names::namespace(name) {
            _ if !names::is_setting(name) => {
                "is not the name of a kernel setting (words joined by dots)"
            }
            None => "is a setting of the whole machine and not of a container",
            Some(Namespace::Net) if shares_net => {
                "is the host's own under \"network_mode\":\"host\""
            }
            Some(Namespace::Ipc) if shares_ipc => "is the host's own under \"ipc\":\"host\"",
            Some(_) => continue,
        };
        found.fault("sysctls", format_args!("{name:?} {why}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{none, one};

    #[test]
    fn memory_and_swap_go_together() {
        none(json!({"memory": "64m", "memory_swap": "64m"}));
        none(json!({"memory": "64m", "memory_swap": -1}));
        none(json!({"memory_swap": -1}));
        none(json!({"memory": 0}));
        one(
            json!({"memory": "64m", "memory_swap": "32m"}),
            &["\"memory_swap\"", "33554432 is less"],
        );
        one(json!({"memory_swap": "64m"}), &["\"memory_swap\"", "no \"memory\""]);
        one(json!({"memory": "5m"}), &["\"memory\"", "6 MiB"]);
    }

    #[test]
    fn processor_time_is_what_the_engine_gives() {
        none(json!({"cpus": 0.01, "cpu_shares": 2, "pids_limit": -1}));
        one(json!({"cpus": 0.001}), &["0.001 is less"]);
        one(json!({"cpu_shares": 1}), &["1 is not from 2"]);
        one(json!({"cpu_shares": 262145}), &["262145"]);
        one(json!({"pids_limit": -2}), &["-2"]);
    }

    #[test]
    fn names_are_known() {
        none(json!({"ulimits": {"nofile": 5}, "cap_add": ["CAP_NET_ADMIN"], "cap_drop": ["all"]}));
        none(json!({"stop_signal": "SIGRTMIN+3"}));
        one(json!({"ulimits": {"as": 5}}), &["\"as\" is not a limit", "nofile"]);
        one(json!({"cap_add": ["BPF", "NET"]}), &["\"cap_add[1]\"", "\"NET\" is not a capability"]);
        one(json!({"stop_signal": "FOO"}), &["\"FOO\""]);
        one(json!({"cap_add": ["bpf"], "cap_drop": ["CAP_BPF"]}), &["remark", "\"BPF\""]);
        one(json!({"cap_add": ["bpf"], "privileged": true}), &["remark", "every capability"]);
    }

    #[test]
    fn settings_are_the_container_s_own() {
        none(
            json!({"sysctls": {"net.ipv4.ip_forward": "1", "kernel.sem": "1", "fs.mqueue.msg_max": "9"}}),
        );
        one(json!({"sysctls": {"vm.swappiness": "1"}}), &["whole machine"]);
        one(json!({"sysctls": {"net": "1"}}), &["\"net\"", "joined by dots"]);
        let forward = json!({"net.ipv4.ip_forward": "1"});
        one(json!({"sysctls": forward, "network_mode": "host"}), &["network_mode"]);
        one(json!({"sysctls": {"kernel.sem": "1"}, "ipc": "host"}), &["ipc"]);
    }
}
