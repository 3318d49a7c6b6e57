//! What a document says and no service can.

use crate::error::{Error, Kind, Result};
use crate::record::{Container, DockerNetwork, IpcMode, Pull};

/// The longest name of a service.
const LONGEST_NAME: usize = 63;

/// Refuses a document that no service can be made from as it stands.
///
/// # Errors
/// `Refused`, with each field that is in the way.
pub(super) fn refuse(container: &Container) -> Result<()> {
    let mut wrong: Vec<String> = Vec::new();
    let mut no = |field: &str, why: &str| wrong.push(format!("field {field:?}: {why}"));
    if !is_name(container.id.as_str()) {
        no("id", "the name of a service has at most 63 letters, digits, _ and -, and no sign last");
    }
    for (field, is_there) in on_one_host(container) {
        if is_there {
            no(field, "a swarm has no such thing");
        }
    }
    if container.shm_size.is_some() {
        no("shm_size", "a swarm has no such thing, but takes \"tmpfs\" at /dev/shm");
    }
    if !container.expose.is_empty() {
        no("expose", "a service only publishes ports");
    }
    match container.network_mode.as_deref() {
        Some("none") => no("network_mode", "a service cannot be without a network"),
        Some(mode) if mode.starts_with("container:") => {
            no("network_mode", "a service has a network of its own");
        }
        _ => (),
    }
    if container.ports.iter().any(|port| port.address.is_some()) {
        no("ports", "a service publishes on all addresses of a node");
    }
    if container.pull == Some(Pull::Never) {
        no("pull", "the nodes of a swarm fetch what they have not");
    }
    if container.ipc.as_ref().is_some_and(|ipc| *ipc != private()) {
        no("ipc", "a swarm knows only private");
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, wrong.join(", ")).remedy("leave it out, or name a single engine"))
}

/// Refuses what a service cannot have in a network: an address is the swarm's to choose.
pub(super) fn refuse_addresses(network: &DockerNetwork) -> Result<()> {
    if network.ipv4_address.is_none() && network.ipv6_address.is_none() {
        return Ok(());
    }
    let what = format_args!("field \"networks\": address in {}", network.network);
    Err(Error::new(Kind::Refused, what).why("a swarm chooses addresses itself"))
}

/// What only one engine has, for one container.
fn on_one_host(container: &Container) -> [(&'static str, bool); 10] {
    [
        ("volumes_from", !container.volumes_from.is_empty()),
        ("private_network", container.private_network.is_some()),
        ("links", !container.links.is_empty()),
        ("devices", !container.devices.is_empty()),
        ("gpus", container.gpus.is_some()),
        ("privileged", container.privileged),
        ("memory_swap", container.memory_swap.is_some()),
        ("cpu_shares", container.cpu_shares.is_some()),
        ("pid", container.pid.is_some()),
        ("netns", container.netns.is_some()),
    ]
}

fn private() -> IpcMode {
    "private".parse().expect("an IPC mode")
}

/// A label of a domain name, in which an underscore may stand as well.
fn is_name(text: &str) -> bool {
    let sign = |b: u8| matches!(b, b'_' | b'-');
    text.len() <= LONGEST_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || sign(b))
        && !text.bytes().next_back().is_some_and(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(fields: Value) -> Option<String> {
        let mut document = json!({"id": "web", "image": "busybox"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        refuse(&serde_json::from_value(document).unwrap()).err().map(|why| {
            assert_eq!(why.kind(), Kind::Refused);
            why.to_string()
        })
    }

    #[test]
    fn what_a_swarm_cannot_do_is_told_by_field() {
        for (field, value) in [
            ("volumes_from", json!(["db"])),
            ("private_network", json!({"name": "n", "alias": "a"})),
            ("links", json!(["db"])),
            ("devices", json!(["/dev/null"])),
            ("gpus", json!("all")),
            ("privileged", json!(true)),
            ("memory_swap", json!(-1)),
            ("cpu_shares", json!(2)),
            ("shm_size", json!(1024)),
            ("pid", json!("host")),
            ("ipc", json!("host")),
            ("netns", json!("/run/netns/a")),
            ("expose", json!(["80"])),
            ("network_mode", json!("none")),
            ("network_mode", json!("container:db")),
            ("ports", json!(["127.0.0.1:80:80"])),
            ("pull", json!("never")),
            ("id", json!("a.b")),
            ("id", json!("a-")),
            ("id", json!("a".repeat(64))),
        ] {
            let told = refused(json!({field: value})).unwrap_or_else(|| panic!("{field} {value}"));
            assert!(told.contains(&format!("field {field:?}")), "{told}");
        }
        let both = refused(json!({"gpus": "all", "pid": "host"})).unwrap();
        assert!(both.contains("\"gpus\"") && both.contains("\"pid\""), "{both}");
        for (field, value) in [
            ("network_mode", json!("host")),
            ("ipc", json!("private")),
            ("pull", json!("always")),
            ("privileged", json!(false)),
            ("ports", json!(["0:80"])),
            ("id", json!("A_b-1")),
        ] {
            assert_eq!(refused(json!({field: value})), None, "{field}");
        }
    }
}
