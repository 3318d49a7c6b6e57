//! container-watch on real engines.

mod lab;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{Docker, Hosts, IMAGE, Running, bin, eventually, run, skipped};
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
