//! A container document as the body of Docker's create call.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkingConfig, PortBinding, PortMap,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::label;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Owner, Port, PrivateNetwork, Restart, Transport, Volume, Words};

/// Whether the kernel under an engine has the settings that containers on DHCPv6 need. Docker
/// refuses to start a container with a setting that its kernel does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// It speaks IPv6.
    pub ipv6: bool,
    /// It knows optimistic duplicate address detection (RFC 4429).
    pub optimistic_dad: bool,
}

impl Kernel {
    /// This machine's kernel.
    pub fn here() -> Kernel {
        let settings = Path::new("/proc/sys/net/ipv6/conf/all");
        Kernel { ipv6: settings.exists(), optimistic_dad: settings.join("optimistic_dad").exists() }
    }
}

/// What Docker is to be asked for so that `container` comes to be, as one of `owner`'s.
///
/// # Errors
/// `BadInput` when the document says something that Docker's interface has no form for, and
/// `Refused` when it takes a label that is the suite's.
pub fn body(container: &Container, owner: &Owner, kernel: Kernel) -> Result<ContainerCreateBody> {
    if let Some(name) = container.labels.keys().find(|n| n.starts_with(label::PREFIX)) {
        return Err(Error::new(Kind::Refused, format_args!("label \"{name}\""))
            .why("names that begin with \"leasepipe.\" are the suite's own"));
    }
    if let Some(network) = &container.private_network {
        let other = match &container.network_mode {
            Some(mode) => Some(format!("\"network_mode\" is {mode}")),
            None if container.ports.is_empty() => None,
            None => Some("there are \"ports\", which it cannot publish".to_owned()),
        };
        if let Some(other) = other {
            let what = format!("use private network {}", network.name);
            return Err(Error::new(Kind::BadInput, what).why(other));
        }
    }
    let (anonymous, named): (Vec<_>, Vec<_>) =
        container.volumes.iter().partition(|v| v.is_anonymous());
    let text = |v: &&Volume| v.as_str().to_owned();
    Ok(ContainerCreateBody {
        image: Some(container.image.to_string()),
        cmd: container.cmd.as_ref().map(Words::to_vec),
        entrypoint: container.entrypoint.as_ref().map(entrypoint),
        env: list(container.env.iter().map(ToString::to_string)),
        exposed_ports: list(exposed(container)),
        volumes: list(anonymous.iter().map(text)),
        user: container.user.clone(),
        working_dir: container.workdir.clone(),
        hostname: container.hostname.as_ref().map(ToString::to_string),
        labels: Some(label::labels(container, owner)),
        stop_timeout: container.stop_timeout.map(i64::from),
        networking_config: container.private_network.as_ref().map(networking),
        host_config: Some(HostConfig {
            binds: list(named.iter().map(text)),
            ..host_config(container, kernel)
        }),
        ..Default::default()
    })
}

fn host_config(container: &Container, kernel: Kernel) -> HostConfig {
    let mode = network_mode(container);
    HostConfig {
        port_bindings: port_bindings(&container.ports),
        restart_policy: container.restart.map(restart_policy),
        dns: list(container.dns.iter().map(ToString::to_string)),
        sysctls: map(sysctls(container, &mode, kernel)),
        network_mode: Some(mode),
        cap_add: list(container.cap_add.iter().cloned()),
        cap_drop: list(container.cap_drop.iter().cloned()),
        privileged: Some(container.privileged),
        readonly_rootfs: Some(container.read_only),
        tmpfs: map(container.tmpfs.clone()),
        memory: container.memory.map(|memory| memory.0 as i64),
        nano_cpus: container.cpus.map(|cpus| cpus.nano() as i64),
        init: container.init,
        ..Default::default()
    }
}

/// Docker takes an empty list for "the image's own"; one empty word says that there is none.
fn entrypoint(words: &Words) -> Vec<String> {
    match words.to_vec() {
        none if none.is_empty() => vec![String::new()],
        words => words,
    }
}

/// The name by which others in its private network find the container.
fn networking(network: &PrivateNetwork) -> NetworkingConfig {
    let endpoint =
        EndpointSettings { aliases: Some(vec![network.alias.to_string()]), ..Default::default() };
    let endpoints = HashMap::from([(network.name.to_string(), endpoint)]);
    NetworkingConfig { endpoints_config: Some(endpoints) }
}

/// The private network where there is one, `none` for a container whose network is
/// unionize's to make, otherwise Docker's bridge.
pub(super) fn network_mode(container: &Container) -> String {
    let attached = container.lease.is_some()
        || !container.addresses.is_empty()
        || !container.networks.is_empty();
    match (&container.network_mode, &container.private_network) {
        (Some(mode), _) => mode.clone(),
        (None, Some(network)) => network.name.to_string(),
        (None, None) if attached && container.ports.is_empty() => "none".to_owned(),
        (None, None) => "bridge".to_owned(),
    }
}

/// The declared settings, and those without which a container has no usable IPv6: Docker turns it
/// off where its own networks have none, and an address that waits for duplicate address detection
/// is late by seconds.
fn sysctls(container: &Container, mode: &str, kernel: Kernel) -> BTreeMap<String, String> {
    let mut settings = container.sysctls.clone();
    if mode == "host" || mode.starts_with("container:") {
        return settings;
    }
    let mut unless_declared = |name: &str, value: &str| {
        settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    if container.private_network.is_some() {
        // Who is on the link that unionize plugs it into has no way through it.
        unless_declared("net.ipv4.ip_forward", "0");
    }
    for which in ["all", "default"] {
        if kernel.ipv6 {
            unless_declared(&format!("net.ipv6.conf.{which}.disable_ipv6"), "0");
        }
        if kernel.optimistic_dad {
            unless_declared(&format!("net.ipv6.conf.{which}.optimistic_dad"), "1");
        }
    }
    settings
}

fn exposed(container: &Container) -> impl Iterator<Item = String> {
    let published = container.ports.iter().map(|p| (p.container, p.transport));
    let only = container.expose.iter().map(|e| (e.container, e.transport));
    published.chain(only).map(|(port, transport)| port_name(port, transport))
}

/// A container's port as Docker names it.
pub(super) fn port_name(port: u16, transport: Transport) -> String {
    format!("{port}/{}", transport.as_str())
}

fn port_bindings(ports: &[Port]) -> Option<PortMap> {
    let mut bindings = PortMap::new();
    for port in ports {
        let name = port_name(port.container, port.transport);
        bindings.entry(name).or_default().get_or_insert_default().push(PortBinding {
            host_ip: port.address.map(|a| a.to_string()),
            host_port: Some(port.host.to_string()),
        });
    }
    (!bindings.is_empty()).then_some(bindings)
}

fn restart_policy(restart: Restart) -> RestartPolicy {
    let (name, times) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(times) => (RestartPolicyNameEnum::ON_FAILURE, Some(times.into())),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: times }
}

/// Docker takes the absence of a list for an empty one.
fn list<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}

fn map(entries: BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!entries.is_empty()).then(|| entries.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const KERNEL: Kernel = Kernel { ipv6: true, optimistic_dad: true };

    fn asked(document: Value) -> Value {
        let container: Container = serde_json::from_value(document).unwrap();
        let body = body(&container, &"edge".parse().unwrap(), KERNEL).unwrap();
        serde_json::to_value(body).unwrap()
    }

    #[test]
    fn every_field_reaches_docker() {
        let asked = asked(json!({
            "id": "web", "image": "busybox:1", "cmd": "sleep '1 2'", "entrypoint": ["sh", "-c"],
            "env": ["A=\u{1}\n$(x)"], "ports": ["80:8080", "[::1]:0:53/udp", "81:8080"],
            "expose": ["99/udp"], "volumes": ["/data", "/srv:/srv:ro", "name:/n"],
            "user": "1:2", "workdir": "/tmp", "hostname": "w", "labels": {"a": "b"},
            "restart": "on-failure:3", "network_mode": "br", "dns": ["9.9.9.9"],
            "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"}, "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"], "privileged": true, "read_only": true, "tmpfs": {"/run": "size=1m"},
            "memory": 1024, "cpus": 1.5, "init": true, "stop_timeout": 7
        }));
        let (body, host) = (&asked, &asked["HostConfig"]);
        assert_eq!(body["Image"], "busybox:1");
        assert_eq!(body["Cmd"], json!(["sleep", "1 2"]));
        assert_eq!(body["Entrypoint"], json!(["sh", "-c"]));
        assert_eq!(body["Env"], json!(["A=\u{1}\n$(x)"]));
        assert_eq!(body["ExposedPorts"], json!({"8080/tcp": {}, "53/udp": {}, "99/udp": {}}));
        assert_eq!(body["Volumes"], json!({"/data": {}}));
        assert_eq!(host["Binds"], json!(["/srv:/srv:ro", "name:/n"]));
        assert_eq!((&body["User"], &body["WorkingDir"]), (&json!("1:2"), &json!("/tmp")));
        assert_eq!((&body["Hostname"], &body["StopTimeout"]), (&json!("w"), &json!(7)));
        assert_eq!(body["Labels"]["a"], "b");
        assert_eq!(body["Labels"]["leasepipe.owner"], "edge");
        let tcp = json!([{"HostPort": "80"}, {"HostPort": "81"}]);
        assert_eq!(host["PortBindings"]["8080/tcp"], tcp);
        let udp = json!([{"HostIp": "::1", "HostPort": "0"}]);
        assert_eq!(host["PortBindings"]["53/udp"], udp);
        let restart = json!({"Name": "on-failure", "MaximumRetryCount": 3});
        assert_eq!(host["RestartPolicy"], restart);
        assert_eq!(host["NetworkMode"], "br");
        assert_eq!(host["Dns"], json!(["9.9.9.9"]));
        assert_eq!(host["Sysctls"]["net.ipv6.conf.all.disable_ipv6"], "1");
        assert_eq!(host["Sysctls"]["net.ipv6.conf.default.disable_ipv6"], "0");
        assert_eq!(host["Sysctls"]["net.ipv6.conf.all.optimistic_dad"], "1");
        assert_eq!((&host["CapAdd"], &host["CapDrop"]), (&json!(["NET_ADMIN"]), &json!(["ALL"])));
        assert_eq!((&host["Privileged"], &host["ReadonlyRootfs"]), (&json!(true), &json!(true)));
        assert_eq!(host["Tmpfs"], json!({"/run": "size=1m"}));
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&json!(1024), &json!(1_500_000_000)));
        assert_eq!(host["Init"], json!(true));
    }

    #[test]
    fn the_image_has_its_say_where_nothing_is_declared() {
        let plain = asked(json!({"id": "web", "image": "busybox"}));
        for field in ["Cmd", "Entrypoint", "Env", "User", "WorkingDir", "ExposedPorts"] {
            assert_eq!(plain.get(field), None, "{field}");
        }
        let reset = asked(json!({"id": "web", "image": "busybox", "entrypoint": []}));
        assert_eq!(reset["Entrypoint"], json!([""]));
    }

    #[test]
    fn the_network_is_unionize_s_when_nothing_else_is_said() {
        let lease = json!({"key": "om2pqvn3u6qa2", "address": "fd00::1"});
        let mode = |document: Value| asked(document)["HostConfig"]["NetworkMode"].clone();
        let base = || json!({"id": "web", "image": "busybox"});
        let with = |name: &str, value: Value| {
            let mut document = base();
            document[name] = value;
            document
        };
        assert_eq!(mode(base()), "bridge");
        assert_eq!(mode(with("lease", lease.clone())), "none");
        assert_eq!(mode(with("networks", json!([{"bridge": "br1"}]))), "none");
        let mut published = with("lease", lease.clone());
        published["ports"] = json!(["80:80"]);
        assert_eq!(mode(published), "bridge");
        let mut host = with("lease", lease);
        host["network_mode"] = json!("host");
        assert_eq!(asked(host)["HostConfig"].get("Sysctls"), None);
    }

    #[test]
    fn a_private_network_is_joined_under_the_alias_and_leads_nowhere() {
        let private = json!({"name": "leasepipe-edge-k", "alias": "web"});
        let asked = asked(json!({"id": "web-1", "image": "busybox", "private_network": private}));
        assert_eq!(asked["HostConfig"]["NetworkMode"], "leasepipe-edge-k");
        let endpoints = &asked["NetworkingConfig"]["EndpointsConfig"];
        assert_eq!(endpoints["leasepipe-edge-k"]["Aliases"], json!(["web"]));
        assert_eq!(asked["HostConfig"]["Sysctls"]["net.ipv4.ip_forward"], "0");
    }

    #[test]
    fn what_docker_has_no_form_for_is_refused() {
        let kind = |document: Value| {
            let container: Container = serde_json::from_value(document).unwrap();
            body(&container, &"edge".parse().unwrap(), KERNEL).unwrap_err().kind()
        };
        let base = |name: &str, value: Value| {
            let mut document = json!({"id": "web", "image": "busybox"});
            document[name] = value;
            document
        };
        assert_eq!(kind(base("labels", json!({"leasepipe.owner": "x"}))), Kind::Refused);
        let private = base("private_network", json!({"name": "n", "alias": "a"}));
        for (name, value) in [("ports", json!(["80:80"])), ("network_mode", json!("host"))] {
            let mut both = private.clone();
            both[name] = value;
            assert_eq!(kind(both), Kind::BadInput, "{name}");
        }
    }
}
