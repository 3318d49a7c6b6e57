//! container-watch on real engines.

mod lab;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Docker, Hosts, IMAGE, Lab, Podman, Running, bin, eventually, run, skipped};
use serde_json::{Value, json};

/// What happened to whom.
fn is(what: &str, name: &str) -> impl Fn(&Value) -> bool {
    let (what, name) = (what.to_owned(), name.to_owned());
    move |event| event["what"] == *what && event["container"]["id"] == *name
}

#[test]
fn what_happens_to_containers_is_told() {
    let Some(docker) = Docker::or_skip("what_happens_to_containers_is_told") else { return };
    let label = format!("bystander-of={}", docker.owner());
    let page = std::env::temp_dir().join(format!("{}.prom", docker.owner()));
    let mut watch = Running::start(
        Command::new(bin!("container-watch"))
            .args(["--follow", "--label", &label, "--loop", "2/1m", "--stats", "1s", "--metrics"])
            .arg(&page),
    );
    assert_eq!(watch.next()["kind"], "checkpoint");
    let name = |name: &str| format!("{}-{name}", docker.owner());
    let run_it = |name: &str, more: &[&str], command: &[&str]| {
        let run = ["run", "-d", "--network=none", "--label", &label, "--name", name];
        docker.docker(&[&run[..], more, &[IMAGE], command].concat());
    };

    let (exits, eats, ill, busy) = (name("exits"), name("eats"), name("ill"), name("busy"));
    run_it(&exits, &["--restart=on-failure:1"], &["sh", "-c", "exit 3"]);
    watch.until("its making", is("create", &exits));
    watch.until("its start", is("start", &exits));
    let first = watch.until("its end", is("die", &exits));
    assert_eq!((&first["exit_code"], &first["reason"]), (&json!(3), &json!("exited")));
    assert_eq!((&first["restarts"], &first["looping"]), (&json!(1), &Value::Null));
    let second = watch.until("its second end", is("die", &exits));
    assert_eq!((&second["restarts"], &second["looping"]), (&json!(2), &json!(true)));

    run_it(&eats, &["--memory=8m"], &["sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=64M"]);
    let end = watch.until("its end", is("die", &eats));
    assert_eq!((&end["reason"], &end["exit_code"]), (&json!("out_of_memory"), &json!(137)));
    assert_eq!(end["oom"], true);

    let check = ["--health-cmd=echo no; exit 1", "--health-interval=500ms", "--health-retries=1"];
    run_it(&ill, &check, &["sleep", "60"]);
    let health = watch.until("its health", is("health", &ill));
    assert_eq!((&health["health"], &health["output"]), (&json!("unhealthy"), &json!("no\n")));

    run_it(&busy, &[], &["sh", "-c", "while :; do :; done"]);
    let works = |event: &Value| is("stats", &busy)(event) && event["stats"]["cpus"].is_number();
    let used = watch.until("what it uses", works);
    assert!(used["stats"]["cpus"].as_f64().unwrap() > 0.01, "{used}");
    assert!(used["stats"]["memory_bytes"].as_u64().unwrap() > 0, "{used}");
    let line =
        format!("leasepipe_container_cpu_seconds_total{{host=\"local\",container=\"{busy}\"}}");
    let text = eventually("its metrics", Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&page).ok()?;
        text.contains(&line).then_some(text)
    });
    docker.docker(&["stop", "-t", "0", &busy]);
    let stopped = watch.until("its end", is("die", &busy));
    assert_eq!((&stopped["asked"], &stopped["signal"]), (&json!(true), &json!("SIGKILL")));
    assert_eq!(stopped["looping"], Value::Null);
    docker.docker(&["rm", &busy]);
    watch.until("that it goes", is("destroy", &busy));
    let _ = std::fs::remove_file(&page);

    let looping = format!("leasepipe_container_looping{{host=\"local\",container=\"{exits}\"}} 1");
    assert!(text.lines().any(|found| found == looping), "{text}");
    reads_as_metrics("what_happens_to_containers_is_told", &text);
}

/// Prometheus's own reader for Python, if it is installed, finds families in the text.
fn reads_as_metrics(test: &str, text: &str) {
    let read = "import sys\n\
        from prometheus_client.parser import text_string_to_metric_families as read\n\
        for f in read(sys.stdin.read()): print(f.name, f.type, len(f.samples))";
    let python = "/usr/bin/python3";
    let import = Command::new(python).args(["-c", "import prometheus_client.parser"]).output();
    if !import.is_ok_and(|out| out.status.success()) {
        skipped(test, "the format of the metrics: needs python3-prometheus-client");
        return;
    }
    let mut child = Command::new(python)
        .args(["-c", read])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let families = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(families.contains("leasepipe_container_ends counter"), "{families}");
    assert!(!families.contains("unknown") && !families.contains("untyped"), "{families}");
    assert_eq!(families.lines().count(), text.matches("# TYPE ").count(), "{families}");
}

#[test]
fn what_happens_while_an_engine_is_away_is_told_when_it_is_back() {
    let test = "what_happens_while_an_engine_is_away_is_told_when_it_is_back";
    let Some(hosts) = Hosts::or_skip(test, 1, &[]) else { return };
    let socket = hosts.socket(1);
    let start = |name: &str, restart: &str| {
        let run = ["run", "-d", "--network=none", "--name", name, "--restart", restart];
        hosts.docker(1, &[&run[..], &[IMAGE, "sleep", "600"]].concat());
    };
    start("web", "always");
    start("job", "no");
    let mut watch =
        Running::start(Command::new(bin!("container-watch")).args(["--follow", "--host", &socket]));
    watch.until("the checkpoint", |record| record["kind"] == "checkpoint");
    // The power goes: one container comes back with it, the other does not.
    hosts.off(1);
    let down = watch.until("that it is down", |record| record["what"] == "host-down");
    assert_eq!(down["error_kind"], "unavailable");
    hosts.on(1);
    watch.until("that it is up", |record| record["what"] == "host-up");
    let mut told = Vec::new();
    let known = |told: &[(String, String, bool)], what: &str, name: &str| {
        told.iter().filter(|(w, n, _)| w == what && n == name).count()
    };
    while known(&told, "die", "job") + known(&told, "start", "web") < 2 {
        let event = watch.next();
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        told.push((text("/what").into(), text("/container/id").into(), event["gap"] == true));
    }
    assert!(watch.is_silent(Duration::from_secs(1)), "{told:?}");
    assert!(told.contains(&("die".into(), "job".into(), true)), "{told:?}");
    for (what, name) in [("die", "web"), ("start", "web"), ("die", "job")] {
        assert_eq!(known(&told, what, name), 1, "{what} {name}: {told:?}");
    }
    let listed = run(Command::new(bin!("container-watch")).args(["--host", &socket]), "");
    assert_eq!((listed.status, listed.records().len()), (Some(0), 3), "{}", listed.stderr);
}

/// Two hosts, one reached by TLS and one by ssh. Their cables are pulled: no packet says so.
#[test]
fn hosts_that_are_cut_off_are_noticed_and_what_was_missed_is_told() {
    let test = "hosts_that_are_cut_off_are_noticed_and_what_was_missed_is_told";
    let Some(hosts) = Hosts::or_skip(test, 2, &["tls", "ssh"]) else { return };
    let list = hosts.base().join("hosts.json");
    let tls = json!({"kind": "host", "id": "tls", "url": hosts.url(1), "tls": hosts.tls()});
    let ssh = format!("ssh://root@{}", hosts.address(2));
    let ssh = json!({"kind": "host", "id": "ssh", "url": ssh});
    std::fs::write(&list, format!("{tls}\n{ssh}\n")).unwrap();
    let path = format!("{}:{}", hosts.ssh().display(), std::env::var("PATH").unwrap());
    let follow = |program: &str, more: &[&str]| {
        let mut command = Command::new(program);
        command.env("PATH", &path).args(["--follow", "--hosts"]).arg(&list).args(more);
        let mut running = Running::start(&mut command);
        running.until("the checkpoint", |record| record["kind"] == "checkpoint");
        running
    };
    let mut watch = follow(bin!("container-watch"), &["--loop", "none"]);
    let mut listed = follow(bin!("docker-cccf"), &[]);
    let start = |host: usize, name: &str| {
        let run = ["run", "-d", "--network=none", "--name", name, IMAGE, "sleep", "600"];
        hosts.docker(host, &run);
    };
    for (host, id) in [(1, "tls"), (2, "ssh")] {
        start(host, "seen");
        let event = watch.until("its start", is("start", "seen"));
        assert_eq!((&event["host"]["id"], event.get("gap")), (&json!(id), None));
    }

    let begun = Instant::now();
    [1, 2].into_iter().for_each(|host| hosts.cut(host));
    let mut down: Vec<String> = (0..2)
        .map(|_| {
            let fits = |event: &Value| event["what"] == "host-down";
            let left = CUT_OFF.saturating_sub(begun.elapsed());
            let event = within(&mut watch, left, fits).expect("what is cut off is told in time");
            event["host"]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    down.sort();
    assert_eq!(down, ["ssh", "tls"]);
    for host in [1, 2] {
        start(host, "unseen");
        hosts.docker(host, &["rm", "-f", "seen"]);
        hosts.heal(host);
    }
    let mut missed: Vec<String> = Vec::new();
    while missed.len() < 4 {
        let event = within(&mut watch, Duration::from_secs(40), |event| event["what"] != "host-up");
        let event = event.expect("what was missed");
        let what = event["what"].as_str().unwrap();
        if ["start", "destroy"].contains(&what) {
            let text = |pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap();
            missed.push(format!("{} {what} {}", text("/host/id"), text("/container/id")));
        }
    }
    missed.sort();
    let wanted = ["ssh destroy seen", "ssh start unseen", "tls destroy seen", "tls start unseen"];
    assert_eq!(missed, wanted);
    assert!(watch.is_silent(Duration::from_millis(700)), "nothing is told twice");
    // docker-cccf has noticed as well, and lists anew.
    let unseen = |record: &Value| record["id"] == "unseen";
    let found = [(); 2].map(|()| within(&mut listed, Duration::from_secs(20), unseen));
    assert!(found.iter().all(Option::is_some), "{found:?}");
}

/// How long it may take, as the manual says, and a moment for the machine.
const CUT_OFF: Duration = Duration::from_secs(20 + 5);

/// The first of the events to come that fits.
fn within(watch: &mut Running, time: Duration, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    let end = Instant::now() + time;
    loop {
        let line = watch.line(end.saturating_duration_since(Instant::now()))?;
        let event = serde_json::from_str(&line).unwrap();
        if fits(&event) {
            return Some(event);
        }
    }
}

#[test]
fn podman_is_watched_through_its_own_socket() {
    let test = "podman_is_watched_through_its_own_socket";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(podman) = Podman::or_skip(test, &lab, &docker) else { return };
    podman.run("before");
    let url = podman.url();
    let mut watch =
        Running::start(Command::new(bin!("container-watch")).args(["--follow", "--host", &url]));
    watch.until("what is there", is("is", "before"));
    watch.until("the checkpoint", |record| record["kind"] == "checkpoint");
    podman.run("web");
    watch.until("its start", is("start", "web"));
    podman.podman(&["kill", "--signal", "KILL", "web"]);
    let end = watch.until("its end", is("die", "web"));
    assert_eq!((&end["exit_code"], &end["signal"]), (&json!(137), &json!("SIGKILL")), "{end}");
    podman.podman(&["rm", "--force", "--time", "0", "web"]);
    watch.until("that it goes", is("destroy", "web"));
    let used = run(Command::new(bin!("container-watch")).args(["--stats", "--host", &url]), "");
    let of = |what: &str| used.records().iter().filter(|event| event["what"] == what).count();
    assert_eq!((used.status, of("is"), of("stats")), (Some(0), 1, 1), "{}", used.stderr);
}
