//! What is asked of a swarm, and what is read of what it keeps.

use super::*;
use crate::adapter::docker::Kernel;
use serde_json::{Value, json};
use std::collections::HashMap;

const KERNEL: Kernel = Kernel { ipv6: false, optimistic_dad: false };

fn container(fields: &Value) -> Container {
    let mut document = json!({"id": "web", "image": "busybox"});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

fn files() -> Files {
    let ids = |name: &str| HashMap::from([(name.to_owned(), format!("id of {name}"))]);
    Files { secrets: ids("db_password"), configs: ids("site.conf") }
}

fn asked_in(fields: &Value, publish: Publish) -> Result<ServiceSpec> {
    spec(&container(fields), &"edge".parse().unwrap(), KERNEL, &files(), publish)
}

fn asked(fields: Value) -> Value {
    serde_json::to_value(asked_in(&fields, Publish::Host).unwrap()).unwrap()
}

/// What a swarm that keeps what it is asked for says of a service that somebody else made so.
fn read(fields: &Value) -> Container {
    let mut spec = asked_in(fields, Publish::Host).unwrap();
    let labels: HashMap<String, String> = container(fields).labels.into_iter().collect();
    spec.labels = Some(HashMap::new());
    let template = spec.task_template.as_mut().unwrap();
    template.container_spec.as_mut().unwrap().labels = Some(labels);
    // A swarm keeps the ids of networks.
    let mut names = HashMap::new();
    for network in template.networks.iter_mut().flatten() {
        let id = format!("id of {}", network.target.as_deref().unwrap());
        names.insert(id.clone(), network.target.replace(id).unwrap());
    }
    read::document(&spec, &names).unwrap()
}

/// Every field that a service can have, one by one.
fn fields() -> Vec<Value> {
    vec![
        json!({"cmd": ["sleep", "1 2"]}),
        json!({"entrypoint": ["sh", "-c"], "cmd": ["x"]}),
        json!({"env": ["A=1", "B="]}),
        json!({"ports": ["0:53/udp", "80:8080", "81:8080/sctp"]}),
        json!({"volumes": ["/scratch", "/srv:/srv:ro", "data:/data"]}),
        json!({"tmpfs": {"/run": "size=1048576"}}),
        json!({"secrets": [{"source": "db_password", "target": "pass", "uid": 7, "gid": 8,
                            "mode": "0440"}]}),
        json!({"secrets": [{"source": "db_password"}], "configs": [{"source": "site.conf"}]}),
        json!({"configs": [{"source": "site.conf", "target": "/etc/site.conf"}]}),
        json!({"user": "1000:1000", "workdir": "/srv", "hostname": "web"}),
        json!({"labels": {"app": "web"}}),
        json!({"restart": "no"}),
        json!({"restart": "on-failure"}),
        json!({"restart": "on-failure:3"}),
        json!({"networks": ["backend", {"network": "front", "aliases": ["www"]}]}),
        json!({"network_mode": "host"}),
        json!({"dns": ["2001:db8::53", "192.0.2.53"], "dns_search": ["example.org", "."]}),
        json!({"extra_hosts": ["db:192.0.2.7", "six:2001:db8::7"]}),
        json!({"sysctls": {"net.core.somaxconn": "1024"}}),
        json!({"cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"]}),
        json!({"read_only": true, "init": true}),
        json!({"ulimits": {"nofile": {"soft": 1024, "hard": 2048}, "nproc": 64}}),
        json!({"memory": 33554432, "cpus": 0.5, "pids_limit": 100}),
        json!({"log_driver": "local", "log_options": {"max-size": "1m"}}),
        json!({"healthcheck": {"test": ["CMD-SHELL", "exit 0"], "interval_ms": 5000,
                               "timeout_ms": 1000, "start_period_ms": 2000, "retries": 3}}),
        json!({"stop_signal": "SIGINT", "stop_timeout": 5}),
        json!({"requires": {"resources": {"cpus": 0.25, "licences": 1},
                            "constraints": ["zone=eu", "disk!=hdd"]}}),
    ]
}

#[test]
fn what_is_asked_for_is_what_is_read() {
    for fields in fields() {
        assert_eq!(read(&fields), container(&fields), "{fields}");
    }
}

/// Fields that a service is told elsewhere, those that are not for Docker, and those whose value in
/// the full document is what their absence means.
const ELSEWHERE: [&str; 13] = [
    "depends_on",
    "allow",
    "addresses",
    "host",
    "id",
    "ipc",
    "key",
    "lease",
    "networks",
    "owner",
    "pull",
    "scale",
    "scaled_from",
];

#[test]
fn no_field_is_dropped_without_a_word() {
    let full: Value =
        serde_json::from_str(include_str!("../../../../tests/data/cccf/full.json")).unwrap();
    let bare = asked(json!({}));
    let reaches = |fields: Value| match asked_in(&fields, Publish::Host) {
        Ok(spec) => {
            let mut spec = serde_json::to_value(spec).unwrap();
            for labels in ["/Labels", "/TaskTemplate/ContainerSpec/Labels"] {
                let labels = spec.pointer_mut(labels).unwrap().as_object_mut().unwrap();
                labels.insert(
                    "leasepipe.declared".into(),
                    bare["Labels"]["leasepipe.declared"].clone(),
                );
            }
            spec != bare
        }
        Err(why) => why.to_string().contains("field \""),
    };
    let tested: Vec<Value> = fields();
    for (field, value) in full.as_object().unwrap() {
        let one = tested.iter().find(|fields| fields.get(field).is_some());
        let fields = one.cloned().unwrap_or_else(|| json!({field: value}));
        let known = ELSEWHERE.contains(&field.as_str());
        assert!(known || reaches(fields), "{field} is dropped");
    }
}

#[test]
fn a_service_has_one_task_and_the_suite_s_labels() {
    let spec = asked(json!({"labels": {"app": "web"}, "scale": 3}));
    assert_eq!(spec["Name"], "web");
    assert_eq!(spec["Mode"], json!({"Replicated": {"Replicas": 1}}));
    let inside = &spec["TaskTemplate"]["ContainerSpec"];
    for labels in [&spec["Labels"], &inside["Labels"]] {
        assert_eq!((&labels["app"], &labels["leasepipe.owner"]), (&json!("web"), &json!("edge")));
    }
    let spec: ServiceSpec = serde_json::from_value(spec).unwrap();
    let found = read::document(&spec, &HashMap::new()).unwrap();
    assert_eq!(found.owner, Some("edge".parse().unwrap()));
    assert_eq!(found.declared().scale, Some(3));
    let renamed = ServiceSpec { name: Some("other".into()), ..spec };
    assert_eq!(read::document(&renamed, &HashMap::new()).unwrap().owner, None);
}

#[test]
fn ports_are_published_on_the_node_or_on_all_of_them() {
    let ports = json!({"ports": ["0:80", "81:8081/udp"]});
    let host = asked_in(&ports, Publish::Host).unwrap().endpoint_spec.unwrap();
    let host = serde_json::to_value(host).unwrap();
    assert_eq!(host["Mode"], "dnsrr");
    let free = json!({"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"});
    assert_eq!(host["Ports"][0], free);
    assert_eq!(host["Ports"][1]["PublishedPort"], 81);
    let ingress = asked_in(&ports, Publish::Ingress).unwrap().endpoint_spec.unwrap();
    let ingress = serde_json::to_value(ingress).unwrap();
    assert_eq!(
        (&ingress["Mode"], &ingress["Ports"][0]["PublishMode"]),
        (&json!("vip"), &json!("ingress"))
    );
    let none = asked_in(&json!({}), Publish::Ingress).unwrap().endpoint_spec.unwrap();
    assert_eq!(serde_json::to_value(none).unwrap(), json!({"Mode": "dnsrr"}));
}

#[test]
fn the_new_task_comes_first_unless_there_can_be_only_one() {
    let order = |fields: Value| asked(fields)["UpdateConfig"]["Order"].clone();
    assert_eq!(order(json!({"ports": ["0:80"], "networks": ["backend"]})), "start-first");
    for fields in [
        json!({"ports": ["80:80"]}),
        json!({"networks": [{"bridge": "br1"}]}),
        json!({"lease": {"key": "om2pqvn3u6qa2", "address": "2001:db8::9"}}),
        json!({"addresses": ["2001:db8::5/64"]}),
    ] {
        assert_eq!(order(fields.clone()), "stop-first", "{fields}");
    }
    assert_eq!(asked(json!({}))["UpdateConfig"]["FailureAction"], "rollback");
}

#[test]
fn a_file_that_the_swarm_has_not_is_not_found() {
    for field in ["secrets", "configs"] {
        let why = asked_in(&json!({field: [{"source": "other"}]}), Publish::Host).unwrap_err();
        assert_eq!(why.kind(), Kind::NotFound);
        assert!(why.to_string().contains("\"other\""), "{why}");
    }
}

#[test]
fn networks_are_the_swarm_s_and_addresses_are_not_chosen() {
    let fixed = json!({"networks": [{"network": "backend", "ipv4_address": "192.0.2.5"}]});
    let why = asked_in(&fixed, Publish::Host).unwrap_err();
    assert!(why.to_string().contains("field \"networks\""), "{why}");
    let with_ports = json!({"network_mode": "host", "ports": ["80:80"]});
    assert!(asked_in(&with_ports, Publish::Host).unwrap_err().to_string().contains("\"ports\""));
    let plugged = asked(json!({"networks": [{"bridge": "br1"}]}));
    assert_eq!(plugged["TaskTemplate"].get("Networks"), None);
}

#[test]
fn services_that_are_no_container_s_are_told() {
    let spec = |mode: Value| -> ServiceSpec {
        let image = json!({"Image": "busybox"});
        let template = json!({"ContainerSpec": image});
        serde_json::from_value(json!({"Name": "web", "TaskTemplate": template, "Mode": mode}))
            .unwrap()
    };
    let kind = |mode: Value| read::document(&spec(mode), &HashMap::new()).map_err(|why| why.kind());
    assert_eq!(kind(json!({"Global": {}})), Err(Kind::BadInput));
    assert_eq!(kind(json!({"ReplicatedJob": {}})), Err(Kind::BadInput));
    let three = kind(json!({"Replicated": {"Replicas": 3}})).unwrap();
    assert_eq!(three, container(&json!({"scale": 3})));
}

#[test]
fn refusals_of_a_swarm_say_what_is_to_be_done() {
    let answer = |status_code, message: &str| {
        let message = message.to_owned();
        refusal("list services", &Failure::DockerResponseServerError { status_code, message })
    };
    let worker =
        answer(503, "This node is not a swarm manager. Worker nodes can't be used to view");
    assert_eq!(worker.kind(), Kind::Refused);
    assert!(worker.to_string().contains("URL of a manager"), "{worker}");
    for lost in [
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        "rpc error: code = Unknown desc = The swarm does not have a leader.",
        "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status",
    ] {
        assert_eq!(answer(500, lost).kind(), Kind::Unavailable);
    }
    assert_eq!(answer(500, "port is already in use").kind(), Kind::Refused);
}
