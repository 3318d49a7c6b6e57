//! What is read of the answers of real engines, and of one that keeps what it is asked for.

use super::*;
use crate::adapter::docker::{Joins, Kernel, body};
use crate::record::{Device, Volume};
use serde_json::{Value, json};

/// What a real engine (20.10) answered.
const FULL: &str = include_str!("../../../../tests/data/docker/inspect-full.json");
const PLAIN: &str = include_str!("../../../../tests/data/docker/inspect-plain.json");
const ALL: &str = include_str!("../../../../tests/data/docker/inspect-all.json");
const IMAGE: &str = include_str!("../../../../tests/data/docker/image.json");
const FOREIGN: &str = include_str!("../../../../tests/data/docker/image-foreign.json");

/// The engine that they are of.
fn engine() -> Defaults {
    let info = json!({
        "LoggingDriver": "json-file", "OSType": "linux", "Architecture": "x86_64"
    });
    Defaults::of(serde_json::from_value(info).unwrap())
}

fn inspected(answer: Value) -> Inspected {
    Inspected::of(serde_json::from_value(answer).unwrap()).unwrap()
}

fn derived(inspected: &Inspected, image: &str, names: &[&str]) -> Container {
    let image = Arc::new(Brought::of(serde_json::from_str(image).unwrap()));
    let ids = inspected.others().map(str::to_owned);
    let names = ids.zip(names.iter().map(|name| (*name).to_owned())).collect();
    inspected.derived(&Around { image, defaults: &engine(), names }).unwrap()
}

fn document(answer: Value) -> Value {
    serde_json::to_value(derived(&inspected(answer), IMAGE, &[])).unwrap()
}

fn answer(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_container_by_hand_is_what_was_asked_for_by_hand() {
    assert_eq!(
        document(answer(FULL)),
        json!({
            "id": "full", "image": "leasepipe/example", "cmd": ["sleep", "1000"],
            "env": ["A=1"], "ports": ["127.0.0.1:18080:80"], "expose": ["99/udp"],
            "volumes": ["/data", "/etc:/e:ro", "/tmp:/host:ro", "named:/named"],
            "user": "0:0", "workdir": "/tmp", "hostname": "web.example.org",
            "labels": {"x": "y"}, "restart": "on-failure:3", "dns": ["9.9.9.9"],
            "sysctls": {"net.ipv4.ip_forward": "1"}, "cap_add": ["NET_ADMIN"],
            "cap_drop": ["MKNOD"], "read_only": true, "tmpfs": {"/run": "size=1m"},
            "memory": 67108864, "cpus": 0.5, "init": true, "stop_timeout": 3
        })
    );
    let plain = json!({"id": "plain", "image": "leasepipe/example"});
    assert_eq!(document(answer(PLAIN)), plain);
}

#[test]
fn every_flag_of_docker_run_that_has_a_field_is_told() {
    let inspected = inspected(answer(ALL));
    let document = derived(&inspected, FOREIGN, &["ipcsrc", "db"]);
    assert_eq!(
        serde_json::to_value(document).unwrap(),
        json!({
            "id": "all", "image": "site/web:1", "cmd": ["httpd", "-f", "-p", "8080"],
            "env": ["A=1"], "ports": ["0:99/udp"],
            "volumes": ["/own", "/tmp:/t:ro", "data:/v:ro"], "volumes_from": ["db:ro"],
            "tmpfs": {"/run": "size=1m", "/x": "size=1048576"},
            "user": "1:2", "workdir": "/www", "hostname": "web.example.org",
            "labels": {"app": "web"}, "restart": "on-failure:3",
            "networks": [
                {"network": "n1", "aliases": ["api", "www"],
                 "ipv4_address": "10.231.5.10", "ipv6_address": "fd00:dead::10"},
                "bridge",
                {"network": "n2", "aliases": ["x", "x_y"]}
            ],
            "links": ["c", "c:sql"],
            "dns": ["9.9.9.9"], "dns_search": ["example.org", "."],
            "extra_hosts": ["db:192.0.2.7", "six:2001:db8::1", "up:host-gateway"],
            "sysctls": {"net.core.somaxconn": "1024"}, "cap_add": ["NET_ADMIN"],
            "cap_drop": ["MKNOD"], "read_only": true, "init": true,
            "devices": ["/dev/null:/dev/nul:r", "/dev/zero"], "shm_size": 33554432,
            "ulimits": {"nofile": {"soft": 1024, "hard": 2048}, "nproc": 64},
            "memory": 67108864, "memory_swap": 100663296, "cpus": 0.5, "cpu_shares": 512,
            "pids_limit": 100, "log_driver": "json-file", "log_options": {"max-size": "1m"},
            "healthcheck": {"interval_ms": 5000, "timeout_ms": 1000, "start_period_ms": 2000},
            "stop_signal": "SIGINT", "stop_timeout": 3, "ipc": "container:ipcsrc",
            "pid": "container:db", "platform": "linux/arm64/v8"
        })
    );
}

/// What an engine that keeps what it is asked for says of a container from this document.
fn kept(document: &Value) -> Value {
    let container: Container = serde_json::from_value(document.clone()).unwrap();
    let joins = Joins::of(&container).unwrap();
    let kernel = Kernel { ipv6: false, optimistic_dad: false };
    let body = body(&container, &joins, &"edge".parse().unwrap(), kernel).unwrap();
    let mut kept = answer(PLAIN);
    let asked = serde_json::to_value(&body).unwrap();
    kept["HostConfig"] = asked["HostConfig"].clone();
    kept["Config"] = asked.clone();
    kept["Config"]["Labels"] = document["labels"].clone();
    let endpoints = asked["NetworkingConfig"]["EndpointsConfig"].as_object();
    let mut endpoints = endpoints.cloned().unwrap_or_default();
    for network in &joins.further {
        let endpoint = serde_json::to_value(endpoint::endpoint(network)).unwrap();
        endpoints.insert(network.network.to_string(), endpoint);
    }
    endpoints.entry(joins.mode).or_insert(json!({}));
    kept["NetworkSettings"] = json!({"Networks": endpoints});
    kept
}

/// Fields that an engine does not keep, or that stand for its defaults here.
const NOT_KEPT: [&str; 25] = [
    "secrets",
    "configs",
    "depends_on",
    "ttl",
    "expires_at",
    "allow",
    "netns",
    "log_driver",
    "shm_size",
    "ipc",
    "id",
    "image",
    "network_mode",
    "private_network",
    "addresses",
    "platform",
    "pull",
    "scale",
    "scaled_from",
    "requires",
    "host",
    "owner",
    "key",
    "lease",
    "networks",
];

#[test]
fn what_is_asked_for_is_what_is_read() {
    let full = answer(include_str!("../../../../tests/data/cccf/full.json"));
    let fields = full.as_object().unwrap().iter();
    let mut documents: Vec<Value> = fields
        .filter(|(field, _)| !NOT_KEPT.contains(&field.as_str()))
        .map(|(field, value)| json!({field: value}))
        .collect();
    documents.extend([
        json!({"networks": ["b", "a", {"network": "c", "aliases": ["x", "y"]}]}),
        json!({"networks": [{"network": "a", "ipv4_address": "192.0.2.1"}], "links": ["db"]}),
        json!({"network_mode": "host"}),
        json!({"network_mode": "bridge", "networks": ["a"]}),
        json!({"shm_size": 1024, "ipc": "shareable", "log_driver": "local"}),
    ]);
    for mut document in documents {
        document["id"] = json!("plain");
        document["image"] = json!("busybox");
        let kept = inspected(kept(&document));
        let read = derived(&kept, r#"{"Config": {}}"#, &[]);
        let meant: Container = serde_json::from_value(document).unwrap();
        // Words are told as a list, sets in order, and devices in the fewest words.
        let words = |words: &Option<Words>| words.as_ref().map(Words::to_vec);
        assert_eq!(words(&read.cmd), words(&meant.cmd));
        let sorted = |mut volumes: Vec<Volume>| {
            volumes.sort_unstable();
            volumes
        };
        let parts = |devices: &[Device]| {
            let parts = |device: &Device| format!("{:?}", device.parts());
            devices.iter().map(parts).collect::<Vec<_>>()
        };
        assert_eq!(parts(&read.devices), parts(&meant.devices));
        let (cmd, devices) = (read.cmd.clone(), read.devices.clone());
        let volumes = sorted(meant.volumes.clone());
        assert_eq!(read, Container { cmd, devices, volumes, ..meant });
    }
}

#[test]
fn a_signal_is_told_unless_it_would_be_sent_anyway() {
    let told = |own: Value, image: Value| {
        let config = serde_json::from_value(json!({"StopSignal": own})).unwrap();
        let image = serde_json::from_value(json!({"StopSignal": image})).unwrap();
        stop_signal(&config, &image).map(|signal| signal.to_string())
    };
    assert_eq!(told(json!("SIGINT"), Value::Null).as_deref(), Some("SIGINT"));
    assert_eq!(told(json!("SIGTERM"), json!("SIGINT")).as_deref(), Some("SIGTERM"));
    assert_eq!(told(json!("SIGTERM"), Value::Null), None);
    assert_eq!(told(json!("SIGINT"), json!("SIGINT")), None);
    assert_eq!(told(Value::Null, Value::Null), None);
}

#[test]
fn what_runs_is_told_beside_the_document() {
    let inspected = inspected(answer(PLAIN));
    let document = derived(&inspected, IMAGE, &[]);
    let found = inspected.found(document);
    let docker = found.container.docker.unwrap();
    assert_eq!(found.container.state, Some(State::Running));
    assert_eq!((docker.id.len(), found.ended), (64, None));
    assert!(docker.pid.is_some() && docker.started_at.is_some());
    assert!(docker.netns.unwrap().starts_with("/var/run/docker/netns/"));
}

#[test]
fn what_has_ended_has_no_process_and_no_namespace() {
    let mut stopped = answer(PLAIN);
    stopped["State"]["Status"] = json!("exited");
    stopped["State"]["Running"] = json!(false);
    stopped["State"]["Pid"] = json!(0);
    stopped["State"]["ExitCode"] = json!(3);
    let inspected = inspected(stopped);
    let document = derived(&inspected, IMAGE, &[]);
    let found = inspected.found(document);
    let docker = found.container.docker.unwrap();
    assert_eq!((docker.pid, docker.netns), (None, None));
    assert!(docker.started_at.is_some());
    assert_eq!(found.ended.unwrap(), "exit status 3");
}

#[test]
fn an_entry_point_that_drops_the_image_s_command_is_told() {
    let mut answer = answer(PLAIN);
    answer["Config"]["Cmd"] = Value::Null;
    assert_eq!(document(answer.clone())["entrypoint"], json!([]));
    answer["Config"]["Entrypoint"] = json!(["sh"]);
    assert_eq!(document(answer)["entrypoint"], json!(["sh"]));
}

#[test]
fn a_document_in_a_label_is_the_document() {
    let mut answer = answer(PLAIN);
    let declared = r#"{"id":"plain","image":"leasepipe/example:1","x":[1]}"#;
    answer["Config"]["Labels"] = json!({"leasepipe.owner": "edge", "leasepipe.declared": declared});
    let document = inspected(answer.clone()).declared().unwrap();
    assert_eq!(document.owner, Some("edge".parse().unwrap()));
    assert_eq!(document.image.as_str(), "leasepipe/example:1");
    answer["Name"] = json!("/renamed");
    assert_eq!(inspected(answer).declared(), None);
}

#[test]
fn a_name_that_no_document_may_have_is_an_error() {
    let mut answer = answer(PLAIN);
    answer["Name"] = json!(format!("/{}", "x".repeat(200)));
    let error = Inspected::of(serde_json::from_value(answer).unwrap()).err().unwrap();
    assert_eq!(error.kind(), Kind::BadInput);
}
