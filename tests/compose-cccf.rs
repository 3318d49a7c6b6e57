//! compose-cccf from outside: what each field of a compose file becomes, and what is told.

mod program;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use program::{Done, run};
use serde_json::{Value, json};

const PATH: &str = env!("CARGO_BIN_EXE_compose-cccf");

/// Runs the program on a compose file that comes through standard input.
fn compose(args: &[&str], text: &str) -> Done {
    run(PATH, &[&["-"], args].concat(), text)
}

/// The text with so many blanks before each line.
fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// A file with one service `web`, of which this is said beside its image, and what it may refer to.
fn with_web(body: &str) -> String {
    let around = "
  db: {image: d}
networks: {back: {}, out: {external: true}, odd: {name: odd-one}}
volumes: {data: {}, there: {external: true}, called: {name: a-name}, old: {external: {name: o}}}
";
    format!("name: p\nservices:\n  web:\n    image: i\n{}{around}", indented(body, 4))
}

/// The container of the service `web`, without what every one has: its name and image, the networks
/// that it is in by default, and the time that it has to end.
fn web(body: &str) -> (Value, Vec<String>) {
    let done = compose(&["--directory", "/srv/app"], &with_web(body));
    let told = told(&done);
    let web = done.records.iter().find(|record| record["id"] == "p-web");
    let mut web = web.unwrap_or_else(|| panic!("{body}\n{}", done.told)).clone();
    let fields = web.as_object_mut().unwrap();
    for (name, value) in [
        ("id", json!("p-web")),
        ("image", json!("i")),
        ("networks", json!([{"network": "p_default", "aliases": ["web"]}])),
        ("stop_timeout", json!(10)),
    ] {
        if fields.get(name) == Some(&value) {
            fields.remove(name);
        }
    }
    (web, told)
}

/// What was told of the service `web`.
fn told(done: &Done) -> Vec<String> {
    let start = "compose-cccf: stdin: service \"web\": ";
    done.told.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
}

/// A directory for one test.
fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compose-{name}"));
    for (file, text) in files {
        let path = dir.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// Runs the program on files of a directory.
fn compose_in(dir: &Path, args: &[&str]) -> Done {
    let args: Vec<String> =
        args.iter().map(|arg| arg.replace("DIR", dir.to_str().unwrap())).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(PATH, &args, "")
}

#[test]
fn fields_in_each_of_their_forms() {
    for (body, want) in [
        ("", json!({})),
        ("x-note: {a: 1}\nprofiles: []\nscale: 1", json!({})),
        ("command: sleep '1 2'", json!({"cmd": "sleep '1 2'"})),
        ("command: [sleep, 1]", json!({"cmd": ["sleep", "1"]})),
        ("entrypoint: /run.sh -v", json!({"entrypoint": "/run.sh -v"})),
        ("entrypoint: [sh, -c, 'echo $$HOME']", json!({"entrypoint": ["sh", "-c", "echo $HOME"]})),
        (
            "environment: {A: 1, B: yes, C: true, D: '', E: 1.5}",
            json!({"env": ["A=1", "B=yes", "C=true", "D=", "E=1.5"]}),
        ),
        ("environment: [A=1, 'B=x=y', A=2]", json!({"env": ["A=2", "B=x=y"]})),
        (
            "ports: ['80', 81, '82:8082', '83:8083/udp', '84:84/tcp']",
            json!({"ports": ["0:80", "0:81", "82:8082", "83:8083/udp", "84:84"]}),
        ),
        (
            "ports: ['127.0.0.1:1:2', '127.0.0.1::3', '[::1]:4:5', '::1:6:7', '0.0.0.0:8:9/sctp']",
            json!({"ports": ["127.0.0.1:1:2", "127.0.0.1:0:3", "[::1]:4:5", "[::1]:6:7", "0.0.0.0:8:9/sctp"]}),
        ),
        (
            "ports: ['90-92:190-192', '93-94/udp', '90:190']",
            json!({"ports": ["90:190", "91:191", "92:192", "0:93/udp", "0:94/udp"]}),
        ),
        (
            "ports:\n- {target: 80, published: '8080', host_ip: 127.0.0.1, protocol: udp, mode: host, name: a, app_protocol: b}\n- target: 81\n- {target: 82, published: ''}",
            json!({"ports": ["127.0.0.1:8080:80/udp", "0:81", "0:82"]}),
        ),
        (
            "expose: [3000, '4000/udp', '5000-5001', 3000/tcp]",
            json!({"expose": ["3000", "4000/udp", "5000", "5001"]}),
        ),
        (
            "volumes: [/scratch/, data:/data, there:/t, called:/c, old:/o]",
            json!({"volumes": ["/scratch", "p_data:/data", "there:/t", "a-name:/c", "o:/o"]}),
        ),
        (
            "volumes: ['./a/../b:/b', '../c:/c:ro', '/d:/d:rw,z,rshared', '.:/e:cached']",
            json!({"volumes": ["/srv/app/b:/b", "/srv/c:/c:ro", "/d:/d:rw,z,rshared", "/srv/app:/e"]}),
        ),
        ("volumes: [data:/a, './x:/a/']", json!({"volumes": ["/srv/app/x:/a"]})),
        (
            "volumes:\n- {type: bind, source: ./x, target: /x, read_only: true, bind: {propagation: rslave, selinux: Z}}\n- {type: volume, source: data, target: /d, volume: {nocopy: true}}\n- {type: volume, target: /v}\n- {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}",
            json!({"volumes": ["/srv/app/x:/x:ro,rslave,Z", "p_data:/d:nocopy", "/v"],
                   "tmpfs": {"/t": "size=1048576,mode=1777"}}),
        ),
        ("tmpfs: /run", json!({"tmpfs": {"/run": ""}})),
        (
            "tmpfs: ['/run:size=1m,mode=700', /t]",
            json!({"tmpfs": {"/run": "size=1m,mode=700", "/t": ""}}),
        ),
        (
            "volumes_from: [db, 'db:ro', 'container:x:rw']",
            json!({"volumes_from": ["p-db", "p-db:ro", "x:rw"]}),
        ),
        (
            "networks: [back, default]",
            json!({"networks": [{"network": "p_back", "aliases": ["web"]}, {"network": "p_default", "aliases": ["web"]}]}),
        ),
        (
            "networks:\n  back: {aliases: [a_b, web], ipv4_address: 10.0.0.5, ipv6_address: 'fd00::5'}\n  out: {priority: 5}\n  odd:",
            json!({"networks": [{"network": "out", "aliases": ["web"]},
                {"network": "p_back", "aliases": ["web", "a_b"], "ipv4_address": "10.0.0.5", "ipv6_address": "fd00::5"},
                {"network": "odd-one", "aliases": ["web"]}]}),
        ),
        ("network_mode: host", json!({"network_mode": "host"})),
        ("network_mode: service:db", json!({"network_mode": "container:p-db"})),
        (
            "network_mode: bridge\nlinks: [db, 'db:sql']\nexternal_links: ['other:o']",
            json!({"network_mode": "bridge", "links": ["p-db:db", "p-db:sql", "other:o"]}),
        ),
        ("links: [db]", json!({})),
        (
            "links: ['db:sql', db]\nexternal_links: [a, 'b:c']",
            json!({"links": ["p-db:sql", "a:a", "b:c"]}),
        ),
        ("pid: service:db\nipc: shareable", json!({"pid": "container:p-db", "ipc": "shareable"})),
        (
            "dns: 192.0.2.1\ndns_search: example.org",
            json!({"dns": ["192.0.2.1"], "dns_search": ["example.org"]}),
        ),
        (
            "dns: ['2001:db8::1', 192.0.2.1]\ndns_search: [b, a]",
            json!({"dns": ["2001:db8::1", "192.0.2.1"], "dns_search": ["b", "a"]}),
        ),
        (
            "extra_hosts: ['a:192.0.2.1', 'b=2001:db8::1', 'c:[2001:db8::2]', 'd:host-gateway']",
            json!({"extra_hosts": ["a:192.0.2.1", "b:2001:db8::1", "c:2001:db8::2", "d:host-gateway"]}),
        ),
        (
            "extra_hosts: {a: 192.0.2.1, b: ['2001:db8::1', 192.0.2.2]}",
            json!({"extra_hosts": ["a:192.0.2.1", "b:2001:db8::1", "b:192.0.2.2"]}),
        ),
        (
            "devices: [/dev/fuse, '/dev/a:/dev/b', '/dev/c:/dev/b:r']",
            json!({"devices": ["/dev/fuse", "/dev/c:/dev/b:r"]}),
        ),
        (
            "devices: [{source: /dev/a, target: /dev/b, permissions: r}, {source: /dev/c}]",
            json!({"devices": ["/dev/a:/dev/b:r", "/dev/c:/dev/c:rwm"]}),
        ),
        ("gpus: all", json!({"gpus": "all"})),
        ("gpus: [{count: 2}]", json!({"gpus": 2})),
        ("gpus: [{device_ids: ['0', GPU-1]}]", json!({"gpus": ["0", "GPU-1"]})),
        (
            "cap_add: [NET_ADMIN, NET_ADMIN]\ncap_drop: [ALL]\nprivileged: 'true'\nread_only: true\ninit: false",
            json!({"cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"], "privileged": true, "read_only": true, "init": false}),
        ),
        ("privileged: false\nread_only: no\ntty: false", json!({})),
        (
            "user: 1000\nworking_dir: /srv\nhostname: web.example.org\nplatform: linux/arm64",
            json!({"user": "1000", "workdir": "/srv", "hostname": "web.example.org", "platform": "linux/arm64"}),
        ),
        ("labels: {a: 1, b: ~}", json!({"labels": {"a": "1", "b": ""}})),
        ("labels: ['a=x=y', b]", json!({"labels": {"a": "x=y", "b": ""}})),
        ("restart: no", json!({"restart": "no"})),
        (
            "restart: on-failure:3\ndeploy: {restart_policy: {condition: none}}",
            json!({"restart": "on-failure:3"}),
        ),
        (
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 4}}",
            json!({"restart": "on-failure:4"}),
        ),
        ("deploy: {restart_policy: {condition: none}}", json!({"restart": "no"})),
        ("deploy: {restart_policy: {}}", json!({"restart": "always"})),
        (
            "healthcheck: {test: curl -f x, interval: 1m30s, timeout: 0.5s, start_period: 2s, retries: 3}",
            json!({"healthcheck": {"test": ["CMD-SHELL", "curl -f x"], "interval_ms": 90000,
                "timeout_ms": 500, "start_period_ms": 2000, "retries": 3}}),
        ),
        ("healthcheck: {test: [CMD, a, b]}", json!({"healthcheck": {"test": ["CMD", "a", "b"]}})),
        ("healthcheck: {disable: true, test: x}", json!({"healthcheck": {"test": ["NONE"]}})),
        ("healthcheck: {test: NONE}", json!({"healthcheck": {"test": ["CMD-SHELL", "NONE"]}})),
        (
            "logging: {driver: json-file, options: {max-size: 1m, max-file: 3}}",
            json!({"log_driver": "json-file", "log_options": {"max-size": "1m", "max-file": "3"}}),
        ),
        (
            "ulimits: {nproc: 65535, nofile: {soft: 10, hard: 20}}",
            json!({"ulimits": {"nproc": 65535, "nofile": {"soft": 10, "hard": 20}}}),
        ),
        ("sysctls: {net.core.somaxconn: 1024}", json!({"sysctls": {"net.core.somaxconn": "1024"}})),
        ("sysctls: [net.core.somaxconn=1024]", json!({"sysctls": {"net.core.somaxconn": "1024"}})),
        (
            "shm_size: 64m\nmem_limit: 1.5g\nmemswap_limit: -1\ncpus: 0.5\ncpu_shares: 512\npids_limit: 100",
            json!({"shm_size": 67108864, "memory": 1610612736, "memory_swap": -1, "cpus": 0.5, "cpu_shares": 512, "pids_limit": 100}),
        ),
        (
            "memswap_limit: 1g\ncpu_quota: 50000\ncpu_period: 25000",
            json!({"memory_swap": 1073741824, "cpus": 2}),
        ),
        ("cpu_quota: 150000", json!({"cpus": 1.5})),
        (
            "deploy: {resources: {limits: {cpus: '0.25', memory: 50M, pids: 7}}}",
            json!({"cpus": 0.25, "memory": 52428800, "pids_limit": 7}),
        ),
        (
            "mem_limit: 50m\ndeploy: {resources: {limits: {memory: 50M}}}",
            json!({"memory": 52428800}),
        ),
        ("mem_reservation: 16m", json!({"requires": {"resources": {"memory": 16777216}}})),
        (
            "deploy: {resources: {reservations: {cpus: '0.5', memory: 20M, generic_resources: [{discrete_resource_spec: {kind: ssd, value: 2}}]}}}",
            json!({"requires": {"resources": {"cpus": 0.5, "memory": 20971520, "ssd": 2}}}),
        ),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: all, driver: nvidia}]}}}",
            json!({"gpus": "all"}),
        ),
        (
            "deploy: {placement: {constraints: ['node.labels.zone == eu', node.labels.disk!=hdd, node.hostname==h1, node.hostname != h2]}}",
            json!({"requires": {"constraints": ["zone=eu", "disk!=hdd"], "affinity": ["host=h1"], "anti_affinity": ["host=h2"]}}),
        ),
        (
            "deploy: {placement: {preferences: [{spread: node.labels.zone}], max_replicas_per_node: 1}}",
            json!({"requires": {"anti_affinity": ["group=p-web"], "spread": "zone"}}),
        ),
        ("deploy: {mode: replicated, replicas: 3}", json!({"scale": 3})),
        ("scale: 0", json!({"scale": 0})),
        ("scale: 2\ndeploy: {replicas: 2}", json!({"scale": 2})),
        (
            "stop_signal: SIGINT\nstop_grace_period: 1m0.5s",
            json!({"stop_signal": "SIGINT", "stop_timeout": 61}),
        ),
        ("pull_policy: if_not_present", json!({"pull": "missing"})),
        ("pull_policy: never", json!({"pull": "never"})),
        ("container_name: my.web", json!(null)),
        (
            "image: registry.example.org:5000/a/b:1.2@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            json!({"image": "registry.example.org:5000/a/b:1.2@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}),
        ),
    ] {
        if want.is_null() {
            let done = compose(&[], &with_web(body));
            assert!(done.at("/id").contains(&"my.web".to_owned()), "{}", done.told);
            continue;
        }
        let body = match body.strip_prefix("image:") {
            Some(_) => format!("{body}\nx-a: 1"),
            None => body.to_owned(),
        };
        let (web, told) = match body.strip_prefix("image: ") {
            Some(rest) => {
                let image = rest.lines().next().unwrap();
                let text = with_web("").replace("    image: i\n", &format!("    image: {image}\n"));
                let done = compose(&[], &text);
                (
                    json!({"image": done.records.iter().find(|r| r["id"] == "p-web").unwrap()["image"]}),
                    told(&done),
                )
            }
            None => web(&body),
        };
        assert_eq!(web, want, "{body}");
        assert_eq!(told, Vec::<String>::new(), "{body}");
    }
}

#[test]
fn what_has_no_counterpart_is_told_and_the_rest_is_made() {
    for (body, field) in [
        ("build: .", "build: there is no counterpart; build the image and name it in image"),
        ("build: {context: .}", "build: there is no counterpart"),
        (
            "secrets: [one, {source: two}]",
            "secrets: \"one\": there is no counterpart; mount the file with volumes",
        ),
        ("secrets: [one, {source: two}]", "secrets: \"two\": there is no counterpart"),
        ("configs: [{source: c}]", "configs: \"c\": there is no counterpart"),
        ("develop: {watch: []}", "develop: there is no counterpart"),
        ("models: [m]", "models: \"m\": there is no counterpart"),
        ("tty: true", "tty: there is no counterpart"),
        (
            "security_opt: ['seccomp:unconfined']",
            "security_opt: \"seccomp:unconfined\": there is no counterpart",
        ),
        ("post_start: [{command: x}]", "post_start: \"x\": there is no counterpart"),
        ("blkio_config: {weight: 1}", "blkio_config: there is no counterpart"),
        (
            "depends_on: {db: {condition: service_healthy}}",
            "depends_on: \"db\": service_healthy: there is no counterpart",
        ),
        (
            "depends_on: {db: {condition: service_started, restart: true}}",
            "depends_on: \"db\": restart: there is no counterpart",
        ),
        ("environment: [NONE]", "environment: \"NONE\": it has no value; left out"),
        ("command: []", "command: an empty one: there is no counterpart"),
        ("entrypoint: ''", "entrypoint: an empty one: there is no counterpart"),
        (
            "ports: ['8000-8010:80']",
            "ports: one of 8000 to 8010: there is no counterpart; 8000 is published",
        ),
        (
            "volumes: [{type: image, source: a, target: /a}]",
            "volumes: \"/a\" of type image: there is no counterpart",
        ),
        (
            "volumes: [{type: bind, source: /a, target: /a, bind: {create_host_path: false}}]",
            "volumes: create_host_path: false: there is no counterpart",
        ),
        (
            "volumes: [{type: volume, source: data, target: /a, volume: {subpath: x}}]",
            "volumes: subpath: there is no counterpart",
        ),
        (
            "networks: {back: {mac_address: '02:00:00:00:00:01'}}",
            "networks.back.mac_address: there is no counterpart",
        ),
        (
            "network_mode: host\nlinks: [db]",
            "links: \"db\": there is no counterpart; host knows no links",
        ),
        (
            "healthcheck: {test: x, start_interval: 1s}",
            "healthcheck.start_interval: there is no counterpart",
        ),
        ("pull_policy: daily", "pull_policy: there is no counterpart"),
        ("deploy: {mode: global}", "deploy.mode: \"global\": there is no counterpart"),
        (
            "deploy: {update_config: {parallelism: 2}}",
            "deploy.update_config: there is no counterpart",
        ),
        ("deploy: {labels: {a: b}}", "deploy.labels: there is no counterpart; use labels"),
        (
            "deploy: {restart_policy: {delay: 5s}}",
            "deploy.restart_policy.delay: there is no counterpart",
        ),
        (
            "deploy: {placement: {constraints: [node.role == manager]}}",
            "deploy.placement.constraints: \"node.role == manager\": there is no counterpart",
        ),
        (
            "deploy: {placement: {preferences: [{spread: node.labels.a}, {spread: node.labels.b}]}}",
            "deploy.placement.preferences: \"node.labels.b\": there is no counterpart",
        ),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [tpu]}]}}}",
            "deploy.resources.reservations.devices: devices that can be tpu: there is no counterpart",
        ),
        (
            "devices: ['vendor.com/class=x']",
            "devices: \"vendor.com/class=x\": there is no counterpart",
        ),
    ] {
        let text = with_web(body);
        let done = compose(&[], &text);
        assert!(told(&done).iter().any(|line| line.starts_with(field)), "{body}: {}", done.told);
        assert_eq!((done.status, done.records.len()), (0, 3), "{body}: {}", done.told);
        assert_eq!(done.records[2].get("partial"), None, "{body}");
        let strict = compose(&["--strict"], &text);
        assert_eq!((strict.status, strict.records.len()), (65, 0), "{body}: {}", strict.told);
        assert!(strict.told.contains("nothing is written"), "{body}: {}", strict.told);
    }
}

#[test]
fn a_service_that_is_wrong_is_told_and_left_out_and_nothing_goes_by_the_listing() {
    for (body, field) in [
        ("imagine: x", "imagine: there is no such field"),
        ("ports: ['80:x']", "ports: \"80:x\" is not a port"),
        ("ports: ['1:2:3']", "ports: \"1\" is not an IP address"),
        ("ports: ['80-81:90-93']", "ports: 80-81 are not as many ports as 90-93"),
        ("ports: [{published: 80}]", "ports: there is no target"),
        ("ports: [{target: 80, port: 1}]", "ports.port: there is no such field"),
        ("ports: {a: b}", "ports: it is a mapping and not a list"),
        ("expose: [0]", "expose: \"0\" is not a container port"),
        ("volumes: ['nowhere:/a']", "volumes: \"nowhere\" is not declared"),
        ("volumes: ['data:/a:what']", "volumes: \"what\" is not an option of a mount"),
        ("volumes: ['data:a']", "field \"volumes\": \"p_data:a\" is not a volume"),
        ("volumes: ['~/a:/a']", "volumes: \"~/a\": HOME is not known"),
        ("volumes: [{source: a, target: /a}]", "volumes: there is no type"),
        ("networks: [nowhere]", "networks.nowhere: it is not declared"),
        ("networks: [back]\nnetwork_mode: host", "network_mode: it does not go with networks"),
        ("depends_on: [gone]", "depends_on: there is no service \"gone\""),
        ("links: ['gone:a']", "links: there is no service \"gone\""),
        ("depends_on: {db: {condition: often}}", "depends_on: \"often\" is no condition"),
        ("environment: ['A B=1']", "field \"env\": \"A B=1\" is not an environment variable"),
        ("environment: {A: [1]}", "environment.A: it is a list and not a single value"),
        (
            "env_file: nothing.env",
            "env_file: /srv/app/nothing.env: read: no such file or directory",
        ),
        ("labels: {leasepipe.owner: me}", "labels: \"leasepipe.owner\" begins with \"leasepipe.\""),
        ("command: \"a 'b\"", "field \"cmd\": \"a 'b\" is not a command line"),
        ("hostname: a_b", "field \"hostname\": \"a_b\" is not a host name"),
        ("mem_limit: lots", "mem_limit: \"lots\" is not a size"),
        (
            "mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}",
            "deploy.resources.limits.memory: mem_limit says something else",
        ),
        ("scale: 2\ndeploy: {replicas: 3}", "scale: deploy.replicas says something else"),
        ("scale: -1", "scale: \"-1\" is not a number of containers"),
        ("cpus: two", "cpus: \"two\" is not a number of cores"),
        ("stop_grace_period: 10", "stop_grace_period: \"10\" is not a time"),
        ("healthcheck: {interval: x}", "healthcheck.interval: \"x\" is not a time"),
        ("healthcheck: {tset: x}", "healthcheck.tset: there is no such field"),
        ("restart: sometimes", "field \"restart\": \"sometimes\" is not a restart policy"),
        ("pull_policy: rarely", "pull_policy: \"rarely\" is not one of"),
        ("deploy: {replica: 3}", "deploy.replica: there is no such field"),
        (
            "deploy: {placement: {constraints: [zone]}}",
            "deploy.placement.constraints: \"zone\" is not NAME==VALUE",
        ),
        ("privileged: maybe", "privileged: \"maybe\" is not true or false"),
        ("ulimits: {nofile: {soft: 1}}", "ulimits.nofile.hard: it is missing"),
        ("gpus: some", "gpus: \"some\" is not all or a list"),
        ("depends_on: {db: {contidion: x}}", "depends_on.db.contidion: there is no such field"),
        ("depends_on: [[db]]", "depends_on: it is a list and not a single value"),
        ("container_name: [a]", "container_name: it is a list and not a single value"),
        ("profiles: {a: b}", "profiles: it is a mapping and not a list"),
        (
            "volumes: [{type: volume, source: data, target: /a, read_only: maybe}]",
            "volumes.read_only: \"maybe\" is not true or false",
        ),
        (
            "container_name: p-db",
            "container_name: its container has the name of that of the service \"web\"",
        ),
    ] {
        let text = with_web(body);
        let done = compose(&["--directory", "/srv/app"], &text);
        let all = told(&done).join("\n") + &done.told;
        assert!(all.contains(field), "{body}: {}", done.told);
        assert_eq!((done.status, done.records.len()), (1, 2), "{body}: {}", done.told);
        assert_eq!(done.records[1]["partial"], true, "{body}");
        assert_eq!(done.records[1]["count"], 1, "{body}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let done =
        compose(&[], &with_web("ports: [x]\nmem_limit: y\nimagine: z\nenvironment: {A: []}"));
    assert_eq!(told(&done).len(), 4, "{}", done.told);
}

#[test]
fn without_an_image_there_is_no_container() {
    let text = "name: p\nservices:\n  a: {build: .}\n  b: {}\n  c:\n";
    let done = compose(&[], text);
    for part in [
        "service \"a\": image: there is none; build it and name it",
        "service \"b\": image: there is none",
        "service \"c\": it is nothing and not a mapping",
    ] {
        assert!(done.told.contains(part), "{}", done.told);
    }
    assert_eq!((done.status, done.records.len()), (65, 1));
    assert_eq!(done.records[0]["partial"], true);
}

#[test]
fn a_file_that_makes_no_sense_gives_nothing() {
    for (text, part) in [
        ("", "stdin: there are no services"),
        ("name: p", "there are no services"),
        ("services: [a]", "stdin: services: it is a list and not a mapping"),
        ("services: {a: {image: b}}\nservice: {}", "stdin: service: there is no such field"),
        ("services: {a: {image: b, image: c}}", "\"image\" stands twice"),
        ("services: {a: {image: b}}\nname: A B", "stdin: name: \"A B\" is not a project's name"),
        ("services: {a: {image: '${B'}}", "stdin: services.a.image: \"${B\":"),
        ("services: {a: {image: '${B:?give B}'}}", "the variable \"B\" is not set: give B"),
        (
            "services: {a: {image: b, depends_on: [c]}, c: {image: b, links: [a]}}",
            "services depend on each other: a → c → a",
        ),
        (
            "services: {a: {extends: b}, b: {extends: a}}",
            "the service \"a\" extends itself in the end",
        ),
        ("services: {a: {extends: c}}", "service \"a\": extends: there is no service \"c\""),
        (
            "services: {a: {extends: {file: 'https://example.org/x', service: b}}}",
            "is not a file of this machine",
        ),
        (
            "include: [gone.yaml]\nservices: {a: {image: b}}",
            "gone.yaml: read: no such file or directory",
        ),
        ("a: [", "while parsing"),
        ("\u{0}", "NUL"),
    ] {
        let done = compose(&[], text);
        assert!(done.told.contains(part), "{text:?}: {}", done.told);
        assert_eq!((done.status, done.records.len()), (65, 0), "{text:?}: {}", done.told);
    }
    let done = run(PATH, &["/nowhere/compose.yaml"], "");
    assert_eq!(done.status, 64, "{}", done.told);
    assert_eq!(done.told, "compose-cccf: /nowhere/compose.yaml: read: no such file or directory\n");
    let done = compose(&["--service", "x"], "services: {a: {image: b}}");
    assert_eq!((done.status, done.records.len()), (64, 0), "{}", done.told);
    assert_eq!(run(PATH, &["-", "-"], "").status, 64);
    assert_eq!(run(PATH, &["-", "--project", "A"], "").status, 64);
}

#[test]
fn services_come_behind_those_that_they_depend_on() {
    let text = "
name: p
services:
  web: {image: i, depends_on: [app], profiles: []}
  app: {image: i, links: [db], volumes_from: [store]}
  debug: {image: i, profiles: [dev, test], depends_on: [app]}
  store: {image: i}
  db: {image: i}
";
    let ids = |args: &[&str]| {
        let done = compose(args, text);
        let partial = done.records.last().unwrap().get("partial").is_some();
        assert_eq!(done.status, 0, "{}", done.told);
        let ids: Vec<String> = done.at("/id").iter().map(|id| id[2..].to_owned()).collect();
        (ids.join(" "), partial)
    };
    let own = |text: &str, partial| (text.to_owned(), partial);
    assert_eq!(ids(&[]), own("db store app web", false));
    assert_eq!(ids(&["--profile", "test"]), own("db store app web debug", false));
    assert_eq!(ids(&["--profile", "*"]), own("db store app web debug", false));
    assert_eq!(ids(&["--service", "app"]), own("db store app", true));
    assert_eq!(ids(&["--service", "debug", "--service", "db"]), own("db store app debug", true));
    let text = "services: {a: {image: i, depends_on: [b]}, b: {image: i, profiles: [x]}}";
    let done = compose(&[], text);
    assert!(
        done.told.contains("depends_on: \"b\" is of a profile that is not given"),
        "{}",
        done.told
    );
    let text = text.replace("[b]", "{b: {condition: service_started, required: false}}");
    assert!(!compose(&[], &text).told.contains("depends_on"));
}

#[test]
fn variables_come_from_where_it_was_said() {
    let text = "name: p\nservices: {a: {image: 'i:${TAG:-none}', environment: [COMPOSE_PROJECT_NAME, OTHER, HOME]}}";
    let dir = directory(
        "variables",
        &[("one.env", "TAG=one\nOTHER=${TAG}-x\n"), ("two.env", "TAG=two\n")],
    );
    let (one, two) = (dir.join("one.env"), dir.join("two.env"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let made = |args: &[&str]| {
        let done = compose(args, text);
        (done.at("/image").join(""), done.at("/env").join(""))
    };
    let project = r#""COMPOSE_PROJECT_NAME=p""#;
    assert_eq!(made(&[]), ("i:none".to_owned(), format!("[{project}]")));
    assert_eq!(
        made(&["--env-file", one]),
        ("i:one".to_owned(), format!("[{project},\"OTHER=one-x\"]"))
    );
    assert_eq!(made(&["--env-file", one, "--env-file", two]).0, "i:two");
    assert_eq!(made(&["--env-file", two, "--env", "TAG=three"]).0, "i:three");
    let home = std::env::var("HOME").unwrap_or_default();
    assert!(made(&["--inherit"]).1.contains(&format!("\"HOME={home}\"")));
    assert!(made(&["--env", "HOME"]).1.contains(&format!("\"HOME={home}\"")));
    assert_eq!(compose(&["--env", "LEASEPIPE_NO_SUCH"], text).status, 64);
    assert_eq!(compose(&["--env-file", "/nowhere"], text).status, 64);
    let done = compose(&[], "services: {a: {image: 'i$NONE', command: $NONE x}}");
    assert_eq!(done.told.matches("variable \"NONE\" is not set").count(), 1, "{}", done.told);
}

#[test]
fn files_of_variables_and_labels() {
    let dir = directory("env-files", &[
        ("compose.yaml", "
name: p
services:
  a:
    image: i
    env_file: [one.env, {path: two.env}, {path: gone.env, required: false}, {path: raw.env, format: raw}]
    environment: {B: over, C: ~}
    label_file: labels
    labels: {y: over}
"),
        ("one.env", "A=1\nB=1\nC=1 # one\n"),
        ("two.env", "A='2 $X'\nD=\"$E\"\n"),
        ("raw.env", "R='$X' # y\n"),
        ("labels", "x=1\ny=2\n"),
    ]);
    let done = compose_in(&dir, &["DIR/compose.yaml", "--env", "E=e"]);
    let first = &done.records[0];
    assert_eq!(first["env"], json!(["A=2 $X", "B=over", "D=e", "R='$X' # y"]), "{}", done.told);
    assert_eq!(first["labels"], json!({"x": "1", "y": "over"}));
    std::fs::write(dir.join("two.env"), "A\nB C\n=\n").unwrap();
    let done = compose_in(&dir, &["DIR/compose.yaml"]);
    assert_eq!(done.told.matches("two.env: line ").count(), 2, "{}", done.told);
    assert_eq!(done.status, 65);
}

#[test]
fn files_over_one_another_extends_and_include() {
    let dir = directory("files", &[
        ("app/compose.yaml", "
include:
  - path: [../other/db.yaml, ../other/db.prod.yaml]
    env_file: ../other/db.env
services:
  web:
    extends: {file: ../base/base.yaml, service: web}
    ports: ['80:80']
    volumes: [./web:/web]
    depends_on: [db]
  more: {extends: web, ports: !reset [], labels: {more: 'yes'}}
"),
        ("app/prod.yaml", "
services:
  web: {image: 'web:2', command: [c], ports: ['81:81'], environment: {A: 2}, volumes: ['./prod:/web']}
"),
        ("base/base.yaml", "
services:
  web: {extends: common, image: 'web:1', command: [a, b], volumes: ['./base:/base'], env_file: base.env}
  common: {environment: [A=1, B=1], labels: {base: 'yes'}}
"),
        ("base/base.env", "F=${X:-f}\n"),
        ("other/db.yaml", "services:\n  db: {image: 'db:$TAG', volumes: [./data:/data, own:/own]}\nvolumes: {own: }\n"),
        ("other/db.prod.yaml", "services:\n  db: {restart: always}\n"),
        ("other/db.env", "TAG=5\n"),
    ]);
    let done = compose_in(&dir, &["DIR/app/compose.yaml", "DIR/app/prod.yaml"]);
    assert_eq!(done.status, 0, "{}", done.told);
    let dir_text = dir.to_str().unwrap();
    let record = |id: &str| done.records.iter().find(|record| record["id"] == id).unwrap().clone();
    let web = record("app-web");
    assert_eq!(web["image"], "web:2");
    assert_eq!(web["cmd"], json!(["c"]));
    assert_eq!(web["ports"], json!(["80:80", "81:81"]));
    assert_eq!(web["env"], json!(["F=f", "A=2", "B=1"]));
    assert_eq!(
        web["volumes"],
        json!([format!("{dir_text}/base/base:/base"), format!("{dir_text}/app/prod:/web")])
    );
    assert_eq!(web["labels"], json!({"base": "yes"}));
    let more = record("app-more");
    assert_eq!((more.get("ports"), &more["image"]), (None, &json!("web:1")));
    assert_eq!(more["labels"], json!({"base": "yes", "more": "yes"}));
    let db = record("app-db");
    assert_eq!((&db["image"], &db["restart"]), (&json!("db:5"), &json!("always")));
    assert_eq!(db["volumes"], json!([format!("{dir_text}/other/data:/data"), "app_own:/own"]));
}

#[test]
fn files_that_lead_back_to_themselves_are_told() {
    let dir = directory(
        "circles",
        &[
            ("a.yaml", "include: b.yaml\nservices: {a: {image: i}}\n"),
            ("b.yaml", "include: [a.yaml]\n"),
            ("c.yaml", "services: {c: {extends: {file: d.yaml, service: d}}}\n"),
            ("d.yaml", "services: {d: {extends: {file: c.yaml, service: c}}}\n"),
            ("e.yaml", "include: [f.yaml]\nservices: {x: {image: i}}\n"),
            ("f.yaml", "services: {x: {image: j}}\n"),
        ],
    );
    for (file, part) in [
        ("DIR/a.yaml", "includes itself in the end"),
        ("DIR/c.yaml", "extends itself in the end"),
        ("DIR/e.yaml", "services: \"x\" is declared in both files"),
    ] {
        let done = compose_in(&dir, &[file]);
        assert!(done.told.contains(part), "{file}: {}", done.told);
        assert_eq!((done.status, done.records.len()), (65, 0), "{file}");
    }
}

#[test]
fn the_name_of_a_project_is_the_directory_s_at_last() {
    let dir = directory("My.App_1", &[("compose.yaml", "services: {a: {image: i}}\n")]);
    let id = |args: &[&str]| compose_in(&dir, args).at("/id").join(" ");
    assert_eq!(id(&["DIR/compose.yaml"]), "compose-myapp_1-a");
    assert_eq!(id(&["DIR/compose.yaml", "--project", "x"]), "x-a");
    assert_eq!(id(&["DIR/compose.yaml", "--directory", "/srv/Shop"]), "shop-a");
    assert_eq!(
        compose(&["--env", "N=z"], "name: $N\nservices: {a: {image: i}}").at("/id"),
        ["z-a"]
    );
}

#[test]
fn networks_that_have_to_be_there_are_told_once() {
    let text = "
name: p
services:
  a: {image: i, networks: [one, two, there]}
  b: {image: i, networks: [one]}
  c: {image: i}
  d: {image: i, network_mode: none}
networks:
  one:
    driver: bridge
    internal: true
    enable_ipv6: true
    driver_opts: {com.example.x: 'a b'}
    labels: [l=1]
    ipam: {config: [{subnet: 'fd00::/64', gateway: 'fd00::1'}]}
  two: {name: second}
  there: {external: true}
  unused: {}
";
    let done = compose(&["--strict"], text);
    let want = [
        "stdin: network \"one\": it has to be there; docker network create --driver bridge --internal --ipv6 --subnet fd00::/64 --gateway fd00::1 --opt 'com.example.x=a b' --label l=1 p_one",
        "stdin: network \"two\": it has to be there; docker network create second",
        "stdin: network \"default\": it has to be there; docker network create p_default",
    ];
    let told: Vec<&str> =
        done.told.lines().map(|line| line.strip_prefix("compose-cccf: ").unwrap()).collect();
    assert_eq!(told, want);
    assert_eq!((done.status, done.records.len()), (0, 5));
}

#[test]
fn what_is_said_of_a_volume_is_told_once_if_it_is_used() {
    let text = "
services:
  a: {image: i, volumes: ['one:/one', {type: volume, source: two, target: /two}, /x]}
  b: {image: i, volumes: ['one:/one']}
volumes:
  one: {driver: nfs, driver_opts: {a: b}, name: n}
  two: {driver: local, labels: [l=1], x-note: 1}
  unused: {driver: nfs}
";
    let done = compose(&[], text);
    let told: Vec<&str> = done
        .told
        .lines()
        .filter_map(|line| line.strip_prefix("compose-cccf: stdin: volume "))
        .collect();
    let end = "there is no counterpart; make the volume before it is mounted";
    let want = [
        format!("\"one\": driver: {end}"),
        format!("\"one\": driver_opts: {end}"),
        format!("\"two\": labels: {end}"),
    ];
    assert_eq!(told, want, "{}", done.told);
    assert_eq!(done.status, 0);
}

#[test]
fn the_checkpoint_says_whose_the_containers_are() {
    let done = compose(&["--owner", "edge"], "services: {a: {image: i}}");
    assert_eq!(done.records[0]["owner"], "edge");
    assert_eq!(
        done.records[1],
        json!({"kind": "checkpoint", "of": "container", "count": 1, "owner": "edge"})
    );
}

#[test]
fn hostile_sizes_end_in_an_error_in_time_and_memory() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(10));
    }
    let base: Vec<String> = (0..5_000).map(|at| format!("A{at}=1")).collect();
    let copies: String = (0..5_000).map(|at| format!("  s{at}: {{extends: b}}\n")).collect();
    for (name, text) in [
        ("aliases", bomb),
        ("deep lists", format!("a: {}", "[".repeat(1_000_000))),
        ("deep mappings", format!("a: {}", "{a: ".repeat(200_000))),
        ("deep blocks", (0..500).map(|at| format!("{}a:\n", " ".repeat(at))).collect()),
        (
            "copies",
            format!("services:\n  b: {{image: a, environment: [{}]}}\n{copies}", base.join(",")),
        ),
        (
            "nested variables",
            format!("services: {{a: {{image: \"{}\"}}}}", "${A:-".repeat(100_000)),
        ),
        ("long", "#".repeat(5 << 20)),
    ] {
        let begun = Instant::now();
        let done = compose(&[], &text);
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {:?}", begun.elapsed());
        assert_eq!((done.status, done.records.len()), (65, 0), "{name}: {}", done.told);
        assert!(done.told.len() < 200_000 && done.told.lines().count() < 300, "{name}");
    }
}

/// A site of many files. `LEASEPIPE_BLESS=1` writes what comes out.
#[test]
fn a_site_becomes_what_is_written_beside_it() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compose");
    let args = [
        "DIR/compose.yaml",
        "DIR/production.yaml",
        "--env-file",
        "DIR/site.env",
        "--owner",
        "shop",
        "--profile",
        "metrics",
    ];
    let done = compose_in(&dir, &args);
    assert_eq!(done.status, 0, "{}", done.told);
    let lines: String = done.records.iter().map(|record| format!("{record}\n")).collect();
    for (file, made) in [("site.json", lines), ("site.told", done.told)] {
        let made = made.replace(dir.to_str().unwrap(), "/srv/shop");
        let path = dir.join(file);
        if std::env::var_os("LEASEPIPE_BLESS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        assert_eq!(made, std::fs::read_to_string(&path).unwrap(), "{file}");
    }
}

/// Whatever a file holds, it is answered; and what is made is what every program reads.
#[test]
fn torn_and_twisted_files_are_answered() {
    use leasepipe::logic::compose::{Wanted, read};
    use leasepipe::random::Random;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compose");
    let whole = std::fs::read_to_string(dir.join("compose.yaml")).unwrap();
    let bits: Vec<&str> = whole.split_inclusive(|c: char| !c.is_alphanumeric()).collect();
    let extra = [
        "[", "{", "]", "}", ": ", "- ", "&a ", "*a ", "<<: ", "!reset ", "${", "~", "\n", "\"", "'",
    ];
    let mut random = Random::seeded(7);
    let mut made = 0;
    for _ in 0..400 {
        let mut bits = bits.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bits.len());
            match random.below(3) {
                0 => drop(bits.remove(at)),
                1 => bits.insert(at, extra[random.below(extra.len())]),
                _ => bits[at] = bits[random.below(bits.len())],
            }
        }
        let text = bits.concat();
        let wanted = Wanted {
            files: vec!["-".into()],
            directory: dir.clone(),
            environment: [("APP_VERSION".to_owned(), "1".to_owned())].into(),
            ..Wanted::default()
        };
        let mut open = |path: &Path| match path == Path::new("-") {
            true => Ok(text.clone()),
            false => Ok(std::fs::read_to_string(path).unwrap_or_default()),
        };
        match read(&wanted, &mut open) {
            Ok(all) => {
                made += all.containers.len();
                assert!(!all.wrong.is_empty() || all.whole, "{text}");
            }
            Err(wrong) => assert!(!wrong.is_empty(), "{text}"),
        }
    }
    assert!(made > 400, "{made}");
}

#[test]
fn a_reader_that_leaves_is_no_error_and_a_full_disk_is_told() {
    use std::process::{Command, Stdio};
    let file = program::file(
        "compose-many.yaml",
        &format!(
            "services:\n{}",
            (0..3000)
                .map(|at| format!("  s{at}: {{image: i, network_mode: none}}\n"))
                .collect::<String>()
        ),
    );
    let mut child = Command::new(PATH)
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(PATH).arg(&file).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
}
