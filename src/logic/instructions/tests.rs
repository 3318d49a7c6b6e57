use serde_json::{Value, json};

use super::*;
use crate::record::Change;

fn container(text: &str) -> Container {
    serde_json::from_str(text).unwrap()
}

fn document(fields: Value) -> Container {
    let mut document = json!({"id": "web", "image": "busybox"});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

fn none(_: &Container) -> Labels {
    Labels::new()
}

fn manner(command: Command) -> Manner<'static> {
    Manner { command, detach: true, hosts: true, labels: &none }
}

fn line(fields: Value) -> String {
    manner(Command::Run).container(&document(fields)).unwrap().line.unwrap()
}

fn wrong(fields: Value) -> String {
    manner(Command::Run).container(&document(fields)).unwrap_err().to_string()
}

/// The line's options between the name and the image.
fn options(fields: Value) -> String {
    let line = line(fields);
    let middle = line.strip_prefix("docker run -d --name web").unwrap();
    middle.strip_suffix(" busybox").unwrap().trim_start().to_owned()
}

fn changed(action: &str, state: Option<&str>, why: Option<&str>) -> Option<String> {
    let mut change = json!({"action": action, "container": {"id": "web", "image": "busybox"}});
    if let Some(state) = state {
        change["container"]["state"] = json!(state);
    }
    if let Some(from) = why {
        change["why"] = json!([{"field": "state", "from": from, "to": "running"}]);
    }
    let change: Change = serde_json::from_value(change).unwrap();
    manner(Command::Run).change(&change).unwrap().line
}

#[test]
fn every_field_that_docker_has_an_option_for_becomes_that_option() {
    for (fields, wanted) in [
        (json!({"env": ["A=1", "B="]}), "--env A=1 --env B="),
        (
            json!({"ports": ["80:8080", "[::1]:0:53/udp"]}),
            "--publish 80:8080 --publish '[::1]:0:53/udp'",
        ),
        (json!({"expose": ["99/udp"]}), "--expose 99/udp"),
        (json!({"volumes": ["/a:/a:ro", "/b"]}), "--volume /a:/a:ro --volume /b"),
        (json!({"volumes_from": ["db:ro"]}), "--volumes-from db:ro"),
        (
            json!({"user": "1:2", "workdir": "/w x", "hostname": "h"}),
            "--user 1:2 --workdir '/w x' --hostname h",
        ),
        (json!({"labels": {"b": "", "a": "x=y"}}), "--label a=x=y --label b="),
        (json!({"restart": "on-failure:3"}), "--restart on-failure:3"),
        (json!({"network_mode": "host"}), "--network host"),
        (json!({"dns": ["fd00::1"], "dns_search": ["."]}), "--dns fd00::1 --dns-search ."),
        (json!({"extra_hosts": ["a:::1"], "links": ["db:sql"]}), "--add-host a:::1 --link db:sql"),
        (json!({"devices": ["/dev/fuse:r"]}), "--device /dev/fuse:r"),
        (json!({"gpus": "all"}), "--gpus all"),
        (json!({"gpus": 2}), "--gpus 2"),
        (json!({"gpus": 0}), ""),
        (json!({"gpus": []}), ""),
        (json!({"gpus": ["0"]}), "--gpus device=0"),
        (json!({"gpus": ["0", "1"]}), "--gpus '\"device=0,1\"'"),
        (json!({"sysctls": {"a.b": "1"}}), "--sysctl a.b=1"),
        (json!({"cap_add": ["A"], "cap_drop": ["B"]}), "--cap-add A --cap-drop B"),
        (json!({"privileged": true, "read_only": true}), "--privileged --read-only"),
        (json!({"privileged": false, "read_only": false}), ""),
        (json!({"tmpfs": {"/a": "", "/b": "size=1m"}}), "--tmpfs /a --tmpfs /b:size=1m"),
        (json!({"shm_size": "1k", "memory": "1k"}), "--shm-size 1024 --memory 1024"),
        (
            json!({"ulimits": {"core": -1, "nofile": {"soft": 1, "hard": 2}}}),
            "--ulimit core=-1 --ulimit nofile=1:2",
        ),
        (json!({"memory_swap": -1}), "--memory-swap -1"),
        (
            json!({"memory_swap": 5, "cpus": 0.5, "cpu_shares": 2}),
            "--memory-swap 5 --cpus 0.5 --cpu-shares 2",
        ),
        (json!({"pids_limit": -1}), "--pids-limit -1"),
        (
            json!({"log_driver": "local", "log_options": {"a": "b"}}),
            "--log-driver local --log-opt a=b",
        ),
        (json!({"stop_signal": "INT", "stop_timeout": 0}), "--stop-signal INT --stop-timeout 0"),
        (json!({"init": true}), "--init"),
        (json!({"init": false}), "--init=false"),
        (json!({"ipc": "private", "pid": "host"}), "--ipc private --pid host"),
        (
            json!({"platform": "linux/arm64", "pull": "never"}),
            "--platform linux/arm64 --pull never",
        ),
        (json!({"healthcheck": {"test": ["NONE"], "retries": 2}}), "--no-healthcheck"),
        (
            json!({"healthcheck": {"test": "exit 0", "interval_ms": 1, "timeout_ms": 2,
                                   "start_period_ms": 3, "retries": 4}}),
            "--health-cmd 'exit 0' --health-interval 1ms --health-timeout 2ms \
             --health-start-period 3ms --health-retries 4",
        ),
        (
            json!({"healthcheck": {"test": ["CMD", "a", "b c"]}}),
            "--health-cmd 'exec a '\\''b c'\\'''",
        ),
        // What no option of docker's is for, and changes nothing for docker.
        (json!({"scale": 3, "scaled_from": "a", "requires": {"spread": "zone"}, "owner": "o"}), ""),
        (json!({"key": "om2pqvn3u6qa2", "state": "running", "docker": {"id": "1"}}), ""),
    ] {
        assert_eq!(options(fields.clone()), wanted, "{fields}");
    }
}

#[test]
fn the_command_is_what_entrypoint_and_cmd_are_together() {
    let line = |fields| line(fields).replace("docker run -d --name web ", "");
    assert_eq!(line(json!({})), "busybox");
    assert_eq!(line(json!({"cmd": "sleep '1 2'"})), "busybox sleep '1 2'");
    assert_eq!(line(json!({"cmd": ["--", "-x", ""]})), "busybox -- -x ''");
    assert_eq!(
        line(json!({"entrypoint": ["sh", "-c"], "cmd": ["a b", "c"]})),
        "--entrypoint sh busybox -c 'a b' c"
    );
    assert_eq!(line(json!({"entrypoint": [], "cmd": ["a"]})), "--entrypoint '' busybox a");
    let told = wrong(json!({"entrypoint": ["", "a"]}));
    assert!(told.contains("field \"entrypoint\": its first word is empty"), "{told}");
}

#[test]
fn a_network_is_joined_as_the_document_says() {
    assert_eq!(
        options(json!({"lease": {"key": "om2pqvn3u6qa2", "address": "::1"}})),
        "--network none"
    );
    assert_eq!(options(json!({"networks": [{"bridge": "br1"}]})), "--network none");
    assert_eq!(
        options(json!({"networks": [{"bridge": "br1"}], "ports": ["1:1"]})),
        "--publish 1:1"
    );
    assert_eq!(
        options(json!({"networks": [{"network": "n", "aliases": ["a", "b"],
                                     "ipv4_address": "192.0.2.1", "ipv6_address": "fd00::1"}]})),
        "--network n --network-alias a --network-alias b --ip 192.0.2.1 --ip6 fd00::1"
    );
    assert_eq!(
        options(json!({"private_network": {"name": "p", "alias": "a"}})),
        "--network p --network-alias a"
    );
    assert_eq!(
        line(
            json!({"networks": ["one", {"network": "two", "aliases": ["a"]}], "network_mode": "two",
                    "host": {"id": "h", "url": "tcp://h"}})
        ),
        "docker -H tcp://h create --name web --network two --network-alias a busybox \
         && docker -H tcp://h network connect one web && docker -H tcp://h start web"
    );
    for (fields, field) in [
        (json!({"networks": ["a", "a"]}), "networks"),
        (json!({"networks": ["a"], "network_mode": "none"}), "networks"),
        (json!({"networks": ["a", "host"]}), "networks"),
        (json!({"links": ["a"], "network_mode": "host"}), "links"),
        (json!({"ports": ["1:1"], "network_mode": "container:a"}), "ports"),
        (
            json!({"private_network": {"name": "p", "alias": "a"}, "networks": ["a"]}),
            "private_network",
        ),
        (
            json!({"private_network": {"name": "p", "alias": "a"}, "ports": ["1:1"]}),
            "private_network",
        ),
    ] {
        let told = wrong(fields.clone());
        assert!(told.starts_with(&format!("field {field:?}: ")), "{fields}: {told}");
    }
}

#[test]
fn a_change_is_done_by_one_line() {
    let run = "docker run -d --name web busybox";
    let rm = "docker rm -f -v web";
    let again = format!("{rm} && {run}");
    assert_eq!(changed("add", None, None).unwrap(), run);
    assert_eq!(changed("remove", None, None).unwrap(), rm);
    assert_eq!(changed("replace", None, None).unwrap(), again);
    for (state, wanted) in [
        ("running", None),
        ("restarting", None),
        ("created", Some("docker start web")),
        ("exited", Some("docker start web")),
        ("paused", Some("docker unpause web")),
        ("dead", Some(&*again)),
        ("removing", Some(&*again)),
        ("absent", Some(run)),
    ] {
        assert_eq!(changed("keep", Some(state), None).as_deref(), wanted, "keep {state}");
        assert_eq!(changed("add", None, Some(state)).as_deref(), wanted, "add {state}");
    }
    assert_eq!(changed("keep", None, None), None);
}

#[test]
fn what_is_done_to_a_container_is_docker_s_command_of_that_name() {
    for action in ["start", "stop", "restart", "kill", "pause", "unpause"] {
        let wanted = format!("docker {action} web");
        assert_eq!(changed(action, Some("exited"), None), Some(wanted));
    }
    let polite = json!({"stop_timeout": 5});
    for action in ["stop", "restart"] {
        let change = json!({"action": action, "container": document(polite.clone())});
        let change: Change = serde_json::from_value(change).unwrap();
        let line = manner(Command::Run).change(&change).unwrap().line.unwrap();
        assert_eq!(line, format!("docker {action} -t 5 web"));
    }
}

#[test]
fn a_container_that_may_take_its_time_is_asked_to_end_first() {
    let polite = json!({"stop_timeout": 5, "host": {"id": "a", "url": "tcp://a"}});
    let replace = |old: Value, new: Value| {
        let of = |fields| serde_json::to_value(document(fields)).unwrap();
        let change = json!({"action": "replace", "container": of(new), "current": of(old)});
        let change: Change = serde_json::from_value(change).unwrap();
        manner(Command::Run).change(&change).unwrap().line.unwrap()
    };
    assert_eq!(
        replace(polite, json!({"host": {"id": "b", "url": "tcp://b"}})),
        "docker -H tcp://a stop -t 5 web; docker -H tcp://a rm -f -v web \
         && docker -H tcp://b run -d --name web busybox"
    );
    assert_eq!(
        replace(
            json!({"stop_timeout": 5, "state": "exited"}),
            json!({"host": {"id": "b", "url": "u"}})
        ),
        "docker -H u rm -f -v web && docker -H u run -d --name web busybox"
    );
}

#[test]
fn a_container_by_itself_gives_what_is_asked_for() {
    let web = document(json!({"stop_timeout": 3}));
    let line = |command| manner(command).container(&web).unwrap().line.unwrap();
    assert_eq!(line(Command::Create), "docker create --name web --stop-timeout 3 busybox");
    assert_eq!(line(Command::Start), "docker start web");
    assert_eq!(line(Command::Stop), "docker stop -t 3 web");
    assert_eq!(line(Command::Kill), "docker kill web");
    assert_eq!(line(Command::Rm), "docker rm -v web");
    let absent = document(json!({"state": "absent"}));
    let line = |command| manner(command).container(&absent).unwrap().line;
    assert_eq!(line(Command::Run).unwrap(), "docker rm -f -v web");
    assert_eq!(line(Command::Start), None);
    let stay = Manner { detach: false, ..manner(Command::Run) };
    let line = |fields| stay.container(&document(fields)).unwrap().line.unwrap();
    assert_eq!(line(json!({})), "docker run --name web busybox");
    assert!(line(json!({"networks": ["a", "b"]})).ends_with("&& docker start --attach web"));
}

#[test]
fn the_engine_is_the_one_that_the_host_names() {
    let host = |host: Value| manner(Command::Kill).container(&document(json!({"host": host})));
    let line = |value| host(value).unwrap().line.unwrap();
    assert_eq!(line(json!({"id": "a", "url": "ssh://u@h"})), "docker -H ssh://u@h kill web");
    assert_eq!(line(json!({"id": "local"})), "docker -H unix:///var/run/docker.sock kill web");
    let named = json!({"id": "a", "url": "context:far"});
    assert_eq!(line(named), "docker --context far kill web");
    let tls = json!({"id": "a", "url": "tcp://h:2376", "tls": "/etc/my tls"});
    assert_eq!(
        line(tls),
        "docker -H tcp://h:2376 --tlsverify --tlscacert '/etc/my tls/ca.pem' \
         --tlscert '/etc/my tls/cert.pem' --tlskey '/etc/my tls/key.pem' kill web"
    );
    for bad in [json!({"id": "a"}), json!({"id": "a", "url": ""})] {
        let told = host(bad).unwrap_err().to_string();
        assert!(told.starts_with("host \"a\": it has no \"url\"; "), "{told}");
    }
    let nowhere = Manner { hosts: false, ..manner(Command::Kill) };
    let web = document(json!({"host": {"id": "a"}}));
    assert_eq!(nowhere.container(&web).unwrap().line.unwrap(), "docker kill web");
}

#[test]
fn what_no_command_can_say_is_refused_with_every_field_that_is_wrong() {
    let told = wrong(json!({
        "user": "\0", "labels": {"a=b": "", "": "x"}, "sysctls": {"c=d": ""}
    }));
    for part in [
        "field \"user\": \"\\0\" holds a NUL",
        "field \"labels\": name \"a=b\"",
        "field \"labels\": name \"\"",
        "field \"sysctls\": name \"c=d\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for (fields, field) in [
        (json!({"tmpfs": {"/e:f": ""}}), "tmpfs"),
        (json!({"ulimits": {"g=h": 1}}), "ulimits"),
        (json!({"log_options": {"=": ""}}), "log_options"),
        (json!({"healthcheck": {"test": ""}}), "healthcheck"),
        (json!({"cmd": ["a", "\0"]}), "cmd"),
        (json!({"entrypoint": ["a", "\0"]}), "entrypoint"),
        (json!({"host": {"id": "a", "url": "\0"}}), "host"),
    ] {
        let told = wrong(fields);
        assert!(told.starts_with(&format!("field {field:?}: ")), "{told}");
    }
    let own =
        manner(Command::Run).container(&document(json!({"labels": {"leasepipe.owner": "x"}})));
    assert_eq!(own.unwrap_err().kind(), Kind::Refused);
}

#[test]
fn what_is_not_in_the_line_is_told() {
    let left_out = |fields| manner(Command::Run).container(&document(fields)).unwrap().left_out;
    let told = left_out(json!({
        "net": "host", "addresses": ["2001:db8::1/64"], "networks": [{"bridge": "br1"}],
        "healthcheck": {"test": ["CMD", "a"], "x": 1}
    }))
    .unwrap();
    for part in ["bridge br1", "\"addresses\"", "\"net\"", "\"x\" in \"healthcheck\"", "shell"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(left_out(json!({"requires": {"x": 1}, "scale": 2, "state": "running"})), None);
    let web = document(json!({"net": "host", "env": ["A=1"]}));
    let fewer = without(&web, &["net".to_owned(), "env".to_owned()]).unwrap();
    assert_eq!(fewer, container(r#"{"id":"web","image":"busybox"}"#));
}

#[test]
fn a_compose_file_is_one_engine_s_set() {
    let mut file = Compose::new(true);
    file.add(document(json!({"host": {"id": "a", "url": "u"}})), Labels::new()).unwrap();
    let again = file.add(document(json!({"host": {"id": "a", "url": "u"}})), Labels::new());
    assert!(again.unwrap_err().to_string().contains("two of this id"));
    let other = file.add(document(json!({"id": "x"})), Labels::new());
    assert!(other.unwrap_err().to_string().contains("another host"));
    assert_eq!(file.engine(), Some("u"));
    let bridged = document(json!({"networks": ["a"], "network_mode": "bridge"}));
    let mut file = Compose::new(true);
    file.add(bridged, Labels::new()).unwrap();
    let told = file.text().unwrap_err().to_string();
    assert!(told.starts_with("web: field \"networks\": a beside docker's bridge"), "{told}");
}

#[test]
fn services_know_each_other_in_a_compose_file() {
    let mut file = Compose::new(true);
    let fields = json!({
        "links": ["db:sql", "other"], "volumes_from": ["db:ro", "other"], "pid": "container:db",
        "ipc": "container:other", "env": ["A=$B"], "volumes": ["data:/d", "/x:/y", "/z"]
    });
    file.add(document(fields), Labels::from([("own".into(), "$1".into())])).unwrap();
    file.add(document(json!({"id": "db", "networks": ["n"]})), Labels::new()).unwrap();
    let tree: Value = yaml_serde::from_str(&file.text().unwrap()).unwrap();
    assert_eq!(
        tree,
        json!({
            "services": {
                "web": {
                    "image": "busybox", "container_name": "web", "environment": ["A=$$B"],
                    "volumes": ["data:/d", "/x:/y", "/z"],
                    "volumes_from": ["db:ro", "container:other"], "labels": {"own": "$$1"},
                    "network_mode": "bridge", "links": ["db:sql"], "external_links": ["other"],
                    "ipc": "container:other", "pid": "service:db"
                },
                "db": {"image": "busybox", "container_name": "db", "networks": {"n": {}}}
            },
            "networks": {"n": {"external": true, "name": "n"}},
            "volumes": {"data": {"external": true, "name": "data"}}
        })
    );
}
