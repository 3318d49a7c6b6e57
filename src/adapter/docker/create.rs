//! A container document as the body of Docker's create call.

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};

use super::endpoint::Joins;
use super::kernel::Kernel;
use super::list::{entries, filled, words};
use super::pull::called;
use super::{health, label, limits, mounts, origin, ports};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Owner, Restart, Words};

/// What Docker is to be asked for so that `container` comes to be in the first of the networks that
/// it joins, as one of `owner`'s.
///
/// `pull` and `platform` are no part of the body; see [`Engine::create`](super::Engine::create).
///
/// # Errors
/// `Refused` when the document takes a label that is the suite's, or names files of a swarm.
pub fn body(
    container: &Container,
    joins: &Joins,
    owner: &Owner,
    kernel: Kernel,
) -> Result<Box<ContainerCreateBody>> {
    refuse_labels(container)?;
    let of_swarms =
        [("secrets", !container.secrets.is_empty()), ("configs", !container.configs.is_empty())];
    if let Some((field, _)) = of_swarms.iter().find(|(_, is_there)| *is_there) {
        return Err(Error::new(Kind::Refused, format_args!("field {field:?}"))
            .why("a single engine has none, only a swarm")
            .remedy("run it with --engine swarm"));
    }
    let (volumes, binds) = mounts::asked(container);
    Ok(Box::new(ContainerCreateBody {
        image: Some(called(&container.image).into_owned()),
        cmd: container.cmd.as_ref().map(Words::to_vec),
        entrypoint: container.entrypoint.as_ref().map(entrypoint),
        env: words(&container.env),
        exposed_ports: ports::exposed(container),
        volumes,
        user: container.user.clone(),
        working_dir: container.workdir.clone(),
        hostname: container.hostname.as_ref().map(ToString::to_string),
        labels: Some(label::labels(container, owner)),
        healthcheck: container.healthcheck.as_ref().map(health::asked),
        stop_signal: container.stop_signal.as_ref().map(ToString::to_string),
        stop_timeout: container.stop_timeout.map(i64::from),
        networking_config: joins.config(container),
        host_config: Some(HostConfig { binds, ..host_config(container, joins, kernel) }),
        ..Default::default()
    }))
}

fn host_config(container: &Container, joins: &Joins, kernel: Kernel) -> HostConfig {
    HostConfig {
        port_bindings: ports::bindings(&container.ports),
        restart_policy: container.restart.map(restart_policy),
        network_mode: Some(joins.mode.clone()),
        links: joins.bridge_links(container),
        dns: words(&container.dns),
        dns_search: words(&container.dns_search),
        extra_hosts: words(&container.extra_hosts),
        volumes_from: words(&container.volumes_from),
        sysctls: entries(kernel.settings(container, &joins.mode)),
        cap_add: filled(container.cap_add.iter().cloned()),
        cap_drop: filled(container.cap_drop.iter().cloned()),
        privileged: Some(container.privileged),
        readonly_rootfs: Some(container.read_only),
        tmpfs: entries(container.tmpfs.clone()),
        log_config: origin::logging(container),
        ipc_mode: container.ipc.as_ref().map(ToString::to_string),
        pid_mode: container.pid.as_ref().map(ToString::to_string),
        init: container.init,
        ..limits::asked(container)
    }
}

/// Refuses a document that takes a label which is the suite's.
pub(super) fn refuse_labels(container: &Container) -> Result<()> {
    match container.labels.keys().find(|name| name.starts_with(label::PREFIX)) {
        None => Ok(()),
        Some(name) => Err(Error::new(Kind::Refused, format_args!("label \"{name}\""))
            .why("names that begin with \"leasepipe.\" are the suite's own")),
    }
}

/// Docker takes an empty list for "the image's own"; one empty word says that there is none.
pub(super) fn entrypoint(words: &Words) -> Vec<String> {
    match words.to_vec() {
        none if none.is_empty() => vec![String::new()],
        words => words,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const KERNEL: Kernel = Kernel { ipv6: true, optimistic_dad: true };

    fn asked(document: Value) -> Value {
        let container: Container = serde_json::from_value(document).unwrap();
        let joins = Joins::of(&container).unwrap();
        let body = body(&container, &joins, &"edge".parse().unwrap(), KERNEL).unwrap();
        serde_json::to_value(body).unwrap()
    }

    #[test]
    fn every_field_reaches_docker() {
        let mut document = json!({
            "id": "web", "image": "busybox:1", "cmd": "sleep '1 2'", "entrypoint": ["sh", "-c"],
            "env": ["A=\u{1}\n$(x)"], "ports": ["80:8080", "[::1]:0:53/udp", "81:8080"],
            "expose": ["99/udp"], "volumes": ["/data", "/srv:/srv:ro", "name:/n"],
            "user": "1:2", "workdir": "/tmp", "hostname": "w", "labels": {"a": "b"},
            "restart": "on-failure:3", "network_mode": "br", "dns": ["9.9.9.9"],
            "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"}, "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"], "privileged": true, "read_only": true, "tmpfs": {"/run": "size=1m"},
            "memory": 1024, "cpus": 1.5, "init": true, "stop_timeout": 7
        });
        let more = json!({
            "volumes_from": ["db:ro"], "networks": [{"network": "br", "aliases": ["www"],
            "ipv4_address": "192.0.2.5", "ipv6_address": "fd00::5"}, "further"],
            "dns_search": ["example.org"], "extra_hosts": ["up:host-gateway"], "links": ["db:sql"],
            "devices": ["/dev/null:/dev/nul:r"], "gpus": ["0", "1"], "shm_size": 2048,
            "ulimits": {"nofile": {"soft": 1, "hard": 2}}, "memory_swap": -1, "cpu_shares": 512,
            "pids_limit": 9, "log_driver": "local", "log_options": {"max-size": "1m"},
            "healthcheck": {"test": "exit 0", "interval_ms": 1, "retries": 3},
            "stop_signal": "SIGINT", "ipc": "shareable", "pid": "host"
        });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let asked = asked(document);
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
        assert_eq!(host["VolumesFrom"], json!(["db:ro"]));
        let endpoint = json!({
            "Aliases": ["www"], "Links": ["db:sql"],
            "IPAMConfig": {"IPv4Address": "192.0.2.5", "IPv6Address": "fd00::5"}
        });
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], json!({"br": endpoint}));
        assert_eq!(host["DnsSearch"], json!(["example.org"]));
        assert_eq!(host["ExtraHosts"], json!(["up:host-gateway"]));
        let device = json!({"PathOnHost": "/dev/null", "PathInContainer": "/dev/nul",
                            "CgroupPermissions": "r"});
        assert_eq!(host["Devices"], json!([device]));
        let gpus = json!({"Count": 0, "DeviceIDs": ["0", "1"], "Capabilities": [["gpu"]]});
        assert_eq!(host["DeviceRequests"], json!([gpus]));
        assert_eq!((&host["ShmSize"], &host["MemorySwap"]), (&json!(2048), &json!(-1)));
        assert_eq!(host["Ulimits"], json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]));
        assert_eq!((&host["CpuShares"], &host["PidsLimit"]), (&json!(512), &json!(9)));
        let log = json!({"Type": "local", "Config": {"max-size": "1m"}});
        assert_eq!(host["LogConfig"], log);
        let health = json!({"Test": ["CMD-SHELL", "exit 0"], "Interval": 1_000_000, "Retries": 3});
        assert_eq!(body["Healthcheck"], health);
        assert_eq!(body["StopSignal"], "SIGINT");
        assert_eq!((&host["IpcMode"], &host["PidMode"]), (&json!("shareable"), &json!("host")));
    }

    /// Fields that the engine is told elsewhere, and those that are not for it; of the first here the
    /// value is what its absence means.
    const ELSEWHERE: [&str; 13] = [
        "allow",
        "depends_on",
        "netns",
        "network_mode",
        "platform",
        "pull",
        "scale",
        "scaled_from",
        "requires",
        "host",
        "owner",
        "key",
        "id",
    ];

    #[test]
    fn no_field_is_dropped_without_a_word() {
        let full: Value =
            serde_json::from_str(include_str!("../../../tests/data/cccf/full.json")).unwrap();
        let bare = || json!({"id": "web", "image": "busybox"});
        let without_label = |document: Value| {
            let mut asked = asked(document);
            asked["Labels"].as_object_mut().unwrap().remove(label::DECLARED);
            asked
        };
        for (field, value) in full.as_object().unwrap() {
            let mut document = bare();
            document[field] = value.clone();
            if ["secrets", "configs"].contains(&field.as_str()) {
                assert_eq!(refused(document), Kind::Refused, "{field}");
                continue;
            }
            let reaches = without_label(document) != without_label(bare());
            assert_eq!(reaches, !ELSEWHERE.contains(&field.as_str()), "{field}");
        }
    }

    fn refused(document: Value) -> Kind {
        let container: Container = serde_json::from_value(document).unwrap();
        let joins = Joins::of(&container).unwrap();
        body(&container, &joins, &"edge".parse().unwrap(), KERNEL).unwrap_err().kind()
    }

    #[test]
    fn the_image_has_its_say_where_nothing_is_declared() {
        let plain = asked(json!({"id": "web", "image": "busybox"}));
        for field in ["Cmd", "Entrypoint", "Env", "User", "WorkingDir", "ExposedPorts"] {
            assert_eq!(plain.get(field), None, "{field}");
        }
        for field in ["Healthcheck", "StopSignal", "NetworkingConfig"] {
            assert_eq!(plain.get(field), None, "{field}");
        }
        for field in ["LogConfig", "MemorySwap", "ShmSize", "PidsLimit", "IpcMode", "Links"] {
            assert_eq!(plain["HostConfig"].get(field), None, "{field}");
        }
        let reset = asked(json!({"id": "web", "image": "busybox", "entrypoint": []}));
        assert_eq!(reset["Entrypoint"], json!([""]));
    }

    #[test]
    fn the_kernel_settings_of_the_host_are_left_alone() {
        let mut shared = json!({"id": "web", "image": "busybox", "network_mode": "host"});
        assert_eq!(asked(shared.clone())["HostConfig"].get("Sysctls"), None);
        shared["network_mode"] = json!("container:db");
        assert_eq!(asked(shared)["HostConfig"].get("Sysctls"), None);
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
    fn the_suite_s_own_labels_are_refused() {
        let labels = json!({"leasepipe.owner": "x"});
        let document = json!({"id": "web", "image": "busybox", "labels": labels});
        assert_eq!(refused(document), Kind::Refused);
    }
}
