//! Fields of a service that are read elsewhere, have no counterpart, or are not there at all.

use super::super::amounts::flag;
use super::super::tree::{Node, Value};
use super::draft::Draft;
use super::no_counterpart;

/// Fields that are read together with others.
const ELSEWHERE: [&str; 30] = [
    "container_name",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "depends_on",
    "deploy",
    "env_file",
    "environment",
    "expose",
    "external_links",
    "gpus",
    "image",
    "label_file",
    "labels",
    "links",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "network_mode",
    "networks",
    "pids_limit",
    "ports",
    "profiles",
    "restart",
    "scale",
    "stop_grace_period",
    "tmpfs",
    "volumes",
    "volumes_from",
];

/// Fields without a counterpart, and what can be done instead.
const FOREIGN: [(&str, &str); 38] = [
    ("annotations", "use labels"),
    ("attach", ""),
    ("blkio_config", ""),
    ("build", "build the image and name it in image"),
    ("cgroup", ""),
    ("cgroup_parent", ""),
    ("configs", "mount the file with volumes"),
    ("cpu_count", "use cpus"),
    ("cpu_percent", "use cpus"),
    ("cpu_rt_period", ""),
    ("cpu_rt_runtime", ""),
    ("cpuset", "use cpus"),
    ("credential_spec", ""),
    ("develop", ""),
    ("device_cgroup_rules", "use devices"),
    ("dns_opt", ""),
    ("domainname", "write it into hostname"),
    ("group_add", ""),
    ("isolation", ""),
    ("mac_address", ""),
    ("mem_swappiness", ""),
    ("models", ""),
    ("oom_kill_disable", ""),
    ("oom_score_adj", ""),
    ("post_start", ""),
    ("pre_start", ""),
    ("pre_stop", ""),
    ("provider", ""),
    ("pull_refresh_after", ""),
    ("runtime", ""),
    ("secrets", "mount the file with volumes"),
    ("security_opt", ""),
    ("stdin_open", ""),
    ("storage_opt", ""),
    ("tty", ""),
    ("use_api_socket", "mount the socket with volumes"),
    ("userns_mode", ""),
    ("uts", ""),
];

/// Tells what becomes of a field that no one reads.
pub fn told(draft: &mut Draft, name: &str, node: &Node) {
    if ELSEWHERE.contains(&name) || name.starts_with("x-") {
        return;
    }
    let Some((_, remedy)) = FOREIGN.iter().find(|(field, _)| *field == name) else {
        return draft.wrong(name, node, "there is no such field");
    };
    match &node.value {
        Value::Text(text) if flag(text) == Some(false) => (),
        // One who asks for nothing loses nothing.
        Value::List(list) if list.is_empty() => (),
        Value::Map(map) if map.is_empty() => (),
        Value::List(list) if name != "build" => {
            for node in list {
                let why = no_counterpart(called(node));
                let why = if remedy.is_empty() { why } else { why.remedy(remedy) };
                draft.lost(name, node, why);
            }
        }
        _ => draft.no_counterpart(name, node, remedy),
    }
}

/// What a member of a list is called.
fn called(node: &Node) -> String {
    let named = |map: &super::super::tree::Map| {
        let names = ["source", "name", "path", "command", "target"];
        let named = names.iter().find_map(|name| map.get(*name).and_then(Node::as_text));
        named.map(str::to_owned)
    };
    match &node.value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Map(map) => named(map).map_or("one".to_owned(), |name| format!("\"{name}\"")),
        _ => "one".to_owned(),
    }
}

/// Whether a pull policy says how often.
pub fn is_period(word: &str) -> bool {
    matches!(word, "daily" | "weekly") || word.starts_with("every_")
}
