//! docker-cccf on a real Docker engine.

mod lab;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::{Docker, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

const IMAGE: &str = "leasepipe/example";

fn follow(docker: &Docker) -> Running {
    Running::start(Command::new(bin!("docker-cccf")).args(["--follow", "--owner", docker.owner()]))
}

#[track_caller]
/// What container-run makes of the record, without what it alone tells.
fn make(docker: &Docker, record: &Value) -> Value {
    let mut program = Command::new(bin!("container-run"));
    let done = run(program.args(["--owner", docker.owner()]), record.to_string());
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let mut made = done.records().remove(0);
    if let Some(docker) = made["docker"].as_object_mut() {
        docker.remove("image_digest");
    }
    made
}

fn document(docker: &Docker, name: &str) -> Value {
    json!({"id": format!("{}-{name}", docker.owner()), "image": IMAGE, "network_mode": "none"})
}

fn is_checkpoint(record: &Value) -> bool {
    record["kind"] == "checkpoint"
}

#[test]
fn a_container_made_by_hand_is_what_was_asked_for() {
    let Some(docker) = Docker::or_skip("a_container_made_by_hand_is_what_was_asked_for") else {
        return;
    };
    let name = format!("{}-hand", docker.owner());
    let label = format!("bystander-of={}", docker.owner());
    docker.docker(&[
        "run",
        "-d",
        "--name",
        &name,
        "--label",
        &label,
        "--network=none",
        "-e",
        "A=1 2",
        "-v",
        "/data",
        "-v",
        "/tmp:/host:ro",
        "--restart=on-failure:2",
        "--memory=64m",
        "--cpus=0.25",
        "--cap-add=NET_ADMIN",
        "--workdir=/tmp",
        "--hostname=w",
        "--expose=99/udp",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let plain = docker.bystander("plain");
    let list = |arguments: &[&str]| {
        let done = run(Command::new(bin!("docker-cccf")).args(arguments), "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let mut records = done.records();
        let checkpoint = records.pop().unwrap();
        assert_eq!(checkpoint["count"], records.len());
        records
    };
    let find = |records: &[Value], name: &str| {
        let found = records.iter().find(|record| record["id"] == name).cloned();
        found.map(|mut record| {
            record.as_object_mut().unwrap().retain(|key, _| !["docker", "host"].contains(&&**key));
            record
        })
    };
    let labels = json!({"bystander-of": docker.owner()});
    let all = list(&[]);
    assert_eq!(
        find(&all, &name).unwrap(),
        json!({
            "id": name, "image": IMAGE, "cmd": ["sleep", "1000"], "env": ["A=1 2"],
            "expose": ["99/udp"], "volumes": ["/data", "/tmp:/host:ro"], "workdir": "/tmp",
            "hostname": "w", "labels": labels, "restart": "on-failure:2", "network_mode": "none",
            "cap_add": ["NET_ADMIN"], "memory": 67108864, "cpus": 0.25, "state": "running"
        })
    );
    assert_eq!(
        find(&all, &plain).unwrap(),
        json!({"id": plain, "image": "leasepipe/example:latest", "labels": labels,
               "network_mode": "none", "state": "running"})
    );
    // Only what runs, unless all are asked for; only one's own, if one names oneself.
    docker.docker(&["kill", &plain]);
    assert!(find(&list(&[]), &plain).is_none());
    assert!(find(&list(&["--all"]), &plain).is_some());
    assert_eq!(list(&["--all", "--owner", docker.owner()]).len(), 0);
    // One's own is listed in any state.
    let ours = make(&docker, &document(&docker, "ours"));
    docker.docker(&["kill", ours["id"].as_str().unwrap()]);
    let listed = list(&["--owner", docker.owner()]);
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &json!("exited")));
}

/// What docker-cccf says of one container, without where it is and what Docker knows of it.
#[track_caller]
fn read(name: &str) -> Value {
    let done = run(Command::new(bin!("docker-cccf")).arg("--all"), "");
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let mut record = done.records().into_iter().find(|record| record["id"] == name).unwrap();
    let fields = record.as_object_mut().unwrap();
    fields.retain(|field, _| !["docker", "host", "state"].contains(&&**field));
    record
}

#[test]
fn every_flag_is_read_as_the_field_that_was_meant() {
    let Some(docker) = Docker::or_skip("every_flag_is_read_as_the_field_that_was_meant") else {
        return;
    };
    let label = format!("bystander-of={}", docker.owner());
    let subnets = ["--ipv6", "--subnet", "fd00:1e:a5e::/64", "--subnet", "10.231.91.0/24"];
    let (front, back) = (docker.network("front", &subnets), docker.network("back", &[]));
    let db = docker.bystander("db");
    let shares = format!("{}-shares", docker.owner());
    let base = ["run", "-d", "--label", &label];
    docker.docker(&[&base[..], &["--name", &shares, "--ipc=shareable", IMAGE]].concat());
    docker.docker(&["network", "connect", &front, &shares]);
    let name = format!("{}-all", docker.owner());
    let (db_only_read, link) = (format!("{db}:ro"), format!("{shares}:sql"));
    let (ipc, pid) = (format!("container:{shares}"), format!("container:{db}"));
    let flags = [
        &["--name", &name, "--network", &front, "--network-alias", "www"][..],
        &["--ip", "10.231.91.9", "--ip6", "fd00:1e:a5e::9", "--link", &link],
        &["--volumes-from", &db_only_read, "--dns-search", "example.org", "--dns", "9.9.9.9"],
        &["--add-host", "six:2001:db8::1", "--add-host", "up:host-gateway"],
        &["--device", "/dev/null:/dev/nul:r", "--device", "/dev/zero", "--shm-size", "32m"],
        &["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=64", "--memory", "64m"],
        &["--memory-swap", "96m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "100"],
        &["--log-driver", "local", "--log-opt", "max-size=1m", "--health-cmd", "exit 0"],
        &["--health-interval", "5s", "--health-retries", "3", "--stop-signal", "SIGINT"],
        &["--stop-timeout", "1", "--ipc", &ipc, "--pid", &pid, "--init", "--read-only"],
        &["--tmpfs", "/run:size=1m", "-v", "/own", "-v", "/tmp:/host:ro", "--hostname", "web"],
        &["-p", "127.0.0.1:0:80", "--sysctl", "net.core.somaxconn=1024", "--restart", "always"],
        &["--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD", "--user", "0:0", "-e", "A=1"],
        &["--entrypoint", "sleep", IMAGE, "1000"],
    ];
    docker.docker(&[&base[..], &flags.concat()].concat());
    docker.docker(&["network", "connect", "--alias", "x", &back, &name]);
    let meant: Value = serde_json::from_str(&format!(
        r#"{{"id": "{name}", "image": "{IMAGE}", "entrypoint": ["sleep"], "cmd": ["1000"],
            "env": ["A=1"], "ports": ["127.0.0.1:0:80"], "volumes": ["/own", "/tmp:/host:ro"],
            "volumes_from": ["{db_only_read}"], "user": "0:0", "hostname": "web",
            "labels": {{"bystander-of": "{}"}}, "restart": "always",
            "networks": [
                {{"network": "{front}", "aliases": ["www"], "ipv4_address": "10.231.91.9",
                  "ipv6_address": "fd00:1e:a5e::9"}},
                {{"network": "{back}", "aliases": ["x"]}}
            ],
            "dns": ["9.9.9.9"], "dns_search": ["example.org"],
            "extra_hosts": ["six:2001:db8::1", "up:host-gateway"], "links": ["{link}"],
            "devices": ["/dev/null:/dev/nul:r", "/dev/zero"],
            "sysctls": {{"net.core.somaxconn": "1024"}}, "cap_add": ["NET_ADMIN"],
            "cap_drop": ["MKNOD"], "read_only": true, "tmpfs": {{"/run": "size=1m"}},
            "shm_size": 33554432,
            "ulimits": {{"nofile": {{"soft": 1024, "hard": 2048}}, "nproc": 64}},
            "memory": 67108864, "memory_swap": 100663296, "cpus": 0.5, "cpu_shares": 512,
            "pids_limit": 100, "log_driver": "local", "log_options": {{"max-size": "1m"}},
            "healthcheck": {{"test": ["CMD-SHELL", "exit 0"], "interval_ms": 5000, "retries": 3}},
            "stop_signal": "SIGINT", "stop_timeout": 1, "init": true, "ipc": "{ipc}",
            "pid": "{pid}"}}"#,
        docker.owner()
    ))
    .unwrap();
    assert_eq!(read(&name), meant);

    // And the other way: what container-run makes of that document is what `docker run` made.
    let settings = |name: &str| -> Value {
        let format = r#"{"HostConfig": {{json .HostConfig}}, "Config": {{json .Config}},
                         "Networks": {{json .NetworkSettings.Networks}}}"#;
        let mut whole: Value = serde_json::from_str(&docker.inspect(name, format)).unwrap();
        let settings = whole["HostConfig"]["Sysctls"].as_object_mut().unwrap();
        // Those are container-run's own.
        settings.retain(|name, _| !name.starts_with("net.ipv6."));
        let networks = whole["Networks"].as_object_mut().unwrap();
        for endpoint in networks.values_mut() {
            let own = |alias: &Value| alias.as_str().is_some_and(|alias| alias.len() == 12);
            let mut asked = endpoint["Aliases"].as_array().unwrap().clone();
            asked.retain(|alias| !own(alias));
            *endpoint = json!([asked, endpoint["Links"], endpoint["IPAMConfig"]["IPv6Address"]]);
        }
        // How the client ran it, and the size of its terminal.
        let config = whole["Config"].as_object_mut().unwrap();
        config.retain(|field, _| !field.starts_with("Attach") && *field != "Labels");
        whole["HostConfig"].as_object_mut().unwrap().remove("ConsoleSize");
        for which in ["CapAdd", "CapDrop"] {
            let name = whole["HostConfig"][which][0].as_str().unwrap().to_owned();
            whole["HostConfig"][which] = json!([name.trim_start_matches("CAP_")]);
        }
        whole
    };
    let by_hand = settings(&name);
    docker.docker(&["rm", "-fv", &name]);
    let made = make(&docker, &meant);
    assert_eq!(made["id"], name);
    let ours = settings(&name);
    for part in ["HostConfig", "Config"] {
        for (field, value) in by_hand[part].as_object().unwrap() {
            let none = |value: &Value| {
                let empty = value.as_array().is_some_and(Vec::is_empty);
                let map = value.as_object().is_some_and(|map| map.is_empty());
                value.is_null() || empty || map
            };
            let ours = &ours[part][field];
            let same = ours == value || none(value) && none(ours);
            assert!(same, "{field}: {value} by hand, {ours} by container-run");
        }
    }
    assert_eq!(ours["Networks"], by_hand["Networks"]);
}

#[test]
fn what_image_and_engine_bring_along_is_not_told() {
    let Some(docker) = Docker::or_skip("what_image_and_engine_bring_along_is_not_told") else {
        return;
    };
    let base = docker.bystander("base");
    let image = format!("{}:brings", docker.owner());
    let brings = [
        "HEALTHCHECK --interval=9s --retries=2 CMD true",
        "ENV B=2",
        "VOLUME /image",
        "EXPOSE 99/udp",
        "LABEL of=image",
        "USER 0:0",
        "WORKDIR /tmp",
    ];
    let changes = brings.iter().flat_map(|line| ["--change", line]);
    let commit: Vec<&str> =
        ["commit"].into_iter().chain(changes).chain([&*base, &*image]).collect();
    docker.docker(&commit);
    let name = format!("{}-a", docker.owner());
    let label = format!("bystander-of={}", docker.owner());
    let run = ["run", "-d", "--name", &name, "--label", &label];
    docker.docker(&[&run[..], &[&image]].concat());
    assert_eq!(read(&name), json!({"id": name, "image": image}));
    docker.docker(&["rm", "-fv", &name]);
    docker.docker(&[&run[..], &["--no-healthcheck", "-P", &image]].concat());
    let unlike = json!({"id": name, "image": image, "ports": ["0:80", "0:99/udp"],
                        "healthcheck": {"test": ["NONE"]}});
    assert_eq!(read(&name), unlike);
}

#[test]
fn labels_say_what_is_listed_and_followed() {
    let Some(docker) = Docker::or_skip("labels_say_what_is_listed_and_followed") else { return };
    let label = format!("bystander-of={}", docker.owner());
    let start = |name: &str, app: &str| {
        let name = format!("{}-{name}", docker.owner());
        let app = format!("app={app}");
        let labels = ["--label", &label, "--label", &app];
        docker.docker(
            &[&["run", "-d", "--network=none", "--name", &name][..], &labels, &[IMAGE]].concat(),
        );
        name
    };
    let (web, _) = (start("web", "web"), start("db", "db"));
    let mut follow = Running::start(
        Command::new(bin!("docker-cccf"))
            .args(["--follow", "--label", &label])
            .args(["--label", "app=web"]),
    );
    assert_eq!(follow.next()["id"], *web);
    assert_eq!(follow.next()["count"], 1);
    start("other-db", "db");
    let other = start("other-web", "web");
    assert_eq!(follow.next()["id"], *other);
    docker.docker(&["rm", "-f", &web]);
    follow.until("its removal", |r| r["id"] == *web && r["state"] == "absent");
}

#[test]
fn networks_that_are_joined_and_left_are_followed() {
    let Some(docker) = Docker::or_skip("networks_that_are_joined_and_left") else { return };
    let (name, network) = (format!("{}-a", docker.owner()), docker.network("site", &[]));
    let label = format!("bystander-of={}", docker.owner());
    docker.docker(&["run", "-d", "--name", &name, "--label", &label, IMAGE]);
    let mut follow =
        Running::start(Command::new(bin!("docker-cccf")).args(["--follow", "--label", &label]));
    assert_eq!(follow.next().get("networks"), None);
    assert!(is_checkpoint(&follow.next()));
    docker.docker(&["network", "connect", &network, &name]);
    let joined = follow.next();
    assert_eq!((&joined["id"], &joined["networks"]), (&json!(name), &json!([network])));
    assert_eq!(joined["network_mode"], "bridge");
    docker.docker(&["network", "disconnect", &network, &name]);
    assert_eq!(follow.next().get("networks"), None);
}

#[test]
fn following_tells_what_happens() {
    let Some(docker) = Docker::or_skip("following_tells_what_happens") else { return };
    let before = make(&docker, &document(&docker, "before"));
    let mut follow = follow(&docker);
    let listed = follow.next();
    assert_eq!((&listed["id"], &listed["docker"]), (&before["id"], &before["docker"]));
    let checkpoint = follow.next();
    assert_eq!(
        checkpoint,
        json!({"kind": "checkpoint", "of": "container", "count": 1, "follow": true,
               "owner": docker.owner()})
    );
    let made = make(&docker, &document(&docker, "a"));
    let name = made["id"].as_str().unwrap();
    let told = follow.until("its start", |r| r["id"] == name && r["state"] == "running");
    assert_eq!(told["docker"], made["docker"]);
    docker.docker(&["kill", name]);
    let told = follow.until("its end", |r| r["id"] == name && r["state"] == "exited");
    assert_eq!(told["docker"].get("pid"), None);
    docker.docker(&["start", name]);
    let told = follow.until("its second start", |r| r["id"] == name && r["state"] == "running");
    assert_ne!(told["docker"]["started_at"], made["docker"]["started_at"]);
    docker.docker(&["restart", name]);
    let again = follow.until("its restart", |r| {
        r["id"] == name
            && r["state"] == "running"
            && r["docker"]["started_at"] != told["docker"]["started_at"]
    });
    assert_eq!(again["docker"]["id"], told["docker"]["id"]);
    docker.docker(&["rm", "-f", name]);
    let gone = follow.until("its removal", |r| r["id"] == name && r["state"] == "absent");
    assert_eq!((&gone["image"], gone.get("docker")), (&json!(IMAGE), None));
    // Others do not concern it, and nothing is said twice.
    docker.bystander("other");
    docker.docker(&["exec", before["id"].as_str().unwrap(), "true"]);
    assert!(follow.is_silent(Duration::from_millis(700)));
}

#[test]
fn everything_is_listed_anew_as_often_as_asked() {
    let Some(docker) = Docker::or_skip("everything_is_listed_anew") else { return };
    make(&docker, &document(&docker, "a"));
    let mut follow = Running::start(Command::new(bin!("docker-cccf")).args([
        "--follow",
        "--resync",
        "300ms",
        "--owner",
        docker.owner(),
    ]));
    for _ in 0..3 {
        assert_eq!(follow.next()["state"], "running");
        assert!(is_checkpoint(&follow.next()));
    }
}

#[test]
fn listings_are_whole_while_containers_come_and_go() {
    let Some(docker) = Docker::or_skip("listings_are_whole_while_containers_come_and_go") else {
        return;
    };
    let stays = make(&docker, &document(&docker, "stays"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (docker, stop) = (&docker, &stop);
            scope.spawn(move || {
                let id = format!("churn{worker}");
                let label = format!("leasepipe.owner={}", docker.owner());
                while !stop.load(Ordering::Relaxed) {
                    docker.docker(&[
                        "create",
                        "--label",
                        &label,
                        "--name",
                        &format!("{}-{id}", docker.owner()),
                        IMAGE,
                    ]);
                    docker.docker(&["rm", "-f", &format!("{}-{id}", docker.owner())]);
                }
            });
        }
        let mut outcomes = Vec::new();
        for _ in 0..60 {
            let list = ["--owner", docker.owner()];
            outcomes.push(run(Command::new(bin!("docker-cccf")).args(list), ""));
        }
        stop.store(true, Ordering::Relaxed);
        for done in outcomes {
            assert_eq!(done.status, Some(0), "{}", done.stderr);
            let records = done.records();
            assert!(records.iter().any(|record| record["id"] == stays["id"]));
            assert!(is_checkpoint(records.last().unwrap()));
        }
    });
}

/// An engine of a test's own, which it may end and start again. It lives in a network namespace of
/// its own: an engine without a bridge deletes docker0 where it starts.
struct Engine {
    dir: PathBuf,
    child: Child,
}

impl Engine {
    fn start(dir: &Path) -> Child {
        let at = |name: &str| dir.join(name).display().to_string();
        let log = std::fs::File::create(at("log")).unwrap();
        Command::new("unshare")
            .args(["--net", "--", "dockerd"])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args([
                "--containerd-namespace",
                "lpt",
                "--containerd-plugins-namespace",
                "lpt-plugins",
            ])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid"), "--host", &format!("unix://{}", at("sock"))])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn new(name: &str) -> Engine {
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        let child = Engine::start(&dir);
        let engine = Engine { dir, child };
        engine.wait_up();
        engine
    }

    fn url(&self) -> String {
        format!("unix://{}", self.dir.join("sock").display())
    }

    fn docker(&self, arguments: &[&str]) -> bool {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", self.url()).args(arguments);
        docker.stdout(Stdio::null()).stderr(Stdio::null());
        docker.status().is_ok_and(|status| status.success())
    }

    fn wait_up(&self) {
        eventually("the engine answers", PATIENCE, || self.docker(&["version"]).then_some(()));
    }

    fn end(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn after_a_gap_everything_is_listed_anew() {
    let test = "after_a_gap_everything_is_listed_anew";
    let Some(docker) = Docker::or_skip(test) else { return };
    let mut engine = Engine::new(&format!("{}-engine", docker.owner()));
    let image = engine.dir.join("image.tar");
    docker.docker(&["save", "-o", image.to_str().unwrap(), IMAGE]);
    assert!(engine.docker(&["load", "-i", image.to_str().unwrap()]));
    let mut follow = Running::start(Command::new(bin!("docker-cccf")).args([
        "--follow",
        "--owner",
        docker.owner(),
        "--host",
        &engine.url(),
    ]));
    assert!(is_checkpoint(&follow.next()));
    let host = json!({"id": "local", "url": engine.url()});
    let mut ids = Vec::new();
    for name in ["stays", "goes"] {
        let mut wanted = document(&docker, name);
        wanted["host"] = host.clone();
        let made = make(&docker, &wanted);
        follow.until("its start", |r| r["id"] == made["id"] && r["state"] == "running");
        ids.push(made["docker"]["id"].as_str().unwrap().to_owned());
    }
    engine.end();
    // What happens while nobody can tell of it.
    std::fs::remove_dir_all(engine.dir.join("data/containers").join(&ids[1])).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    engine.child = Engine::start(&engine.dir);
    engine.wait_up();
    let mut since = Vec::new();
    while !since.last().is_some_and(is_checkpoint) {
        since.push(follow.next());
    }
    // The last word on each.
    let last = |name: &str| {
        let id = format!("{}-{name}", docker.owner());
        since.iter().rfind(|record| record["id"] == *id).cloned().unwrap_or_default()
    };
    assert_eq!(last("goes")["state"], "absent", "{since:?}");
    assert_eq!(last("stays")["state"], "exited", "{since:?}");
    assert_eq!(since.last().unwrap()["count"], 1);
    assert_eq!(last("stays")["docker"]["id"], ids[0]);
    let kept = json!({"kind": "change", "action": "keep", "container": last("stays")});
    make(&docker, &kept);
    follow.until("its start after the gap", |r| r["state"] == "running");
    assert!(engine.docker(&["rm", "-f", &ids[0]]));
    follow.until("its removal", |r| r["state"] == "absent");
}
