//! Containers that are taken away with care, on a real Docker engine: in batches, and in time.

mod lab;

use std::path::PathBuf;
use std::process::Command;

use lab::{Docker, Done, bin, run};
use serde_json::{Value, json};

fn container_run(docker: &Docker, args: &[&str], records: &[Value]) -> Done {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    let mut command = Command::new(bin!("container-run"));
    run(command.args(["--owner", docker.owner()]).args(args), input)
}

fn document(docker: &Docker, name: &str, fields: Value) -> Value {
    let mut document = json!({"id": format!("{}-{name}", docker.owner()), "image": "leasepipe/example",
        "network_mode": "none", "cmd": ["sleep", "600"]});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    document
}

/// A document and three replicas of it.
fn fleet(docker: &Docker, fields: &Value) -> Vec<Value> {
    let base = format!("{}-web", docker.owner());
    let mut fields = fields.clone();
    fields["scale"] = json!(4);
    let mut all = vec![document(docker, "web", fields.clone())];
    fields.as_object_mut().unwrap().remove("scale");
    fields["scaled_from"] = json!(base);
    let name = |number| format!("web-scale-{number}");
    all.extend((1..4).map(|number| document(docker, &name(number), fields.clone())));
    all
}

fn change(action: &str, container: &Value) -> Value {
    json!({"kind": "change", "action": action, "container": container})
}

/// What has become of each record: its name's last part, and `done` or the kind of its error.
fn told(out: &Done) -> Vec<String> {
    let word = |record: &Value| {
        let inside = record.get("container").unwrap_or(record);
        let name = inside["id"].as_str().unwrap().rsplit('-').next().unwrap();
        let kind =
            record["error_kind"].as_str().unwrap_or_else(|| record["status"].as_str().unwrap());
        format!("{name} {kind}")
    };
    out.records().iter().map(word).collect()
}

/// The most of this owner's containers that were away at the same time since then.
fn most_away(docker: &Docker, since: &str) -> usize {
    let now = docker.docker(&["info", "--format", "{{.SystemTime}}"]);
    let label = format!("label=leasepipe.owner={}", docker.owner());
    let events = docker.docker(&[
        "events",
        "--since",
        since,
        "--until",
        &now,
        "--filter",
        &label,
        "--filter",
        "event=die",
        "--filter",
        "event=start",
        "--format",
        "{{.Action}}",
    ]);
    let (mut away, mut most) = (0_usize, 0);
    for event in events.lines() {
        away = if event == "die" { away + 1 } else { away.saturating_sub(1) };
        most = most.max(away);
    }
    most
}

#[test]
fn a_fleet_goes_in_batches_and_stays_when_one_of_it_fails() {
    let test = "a_fleet_goes_in_batches_and_stays_when_one_of_it_fails";
    let Some(docker) = Docker::or_skip(test) else { return };
    let old = fleet(&docker, &json!({}));
    assert_eq!(container_run(&docker, &[], &old).status, Some(0));
    let ids = || -> Vec<String> {
        old.iter().map(|one| docker.inspect(one["id"].as_str().unwrap(), "{{.Id}}")).collect()
    };
    let before = ids();

    let since = docker.docker(&["info", "--format", "{{.SystemTime}}"]);
    let restarts: Vec<Value> = old.iter().map(|one| change("restart", one)).collect();
    let out = container_run(&docker, &["--max-unavailable", "50%"], &restarts);
    assert_eq!(out.status, Some(0), "{}", out.stderr);
    assert_eq!(most_away(&docker, &since), 2);

    // The second one of the new ones is never healthy.
    let check = |test: &str| {
        json!({"healthcheck": {"test": ["CMD-SHELL", test], "interval_ms": 100,
        "retries": 1}})
    };
    let mut new = fleet(&docker, &check("true"));
    new[1]["healthcheck"]["test"] = json!(["CMD-SHELL", "false"]);
    // One after the other, so that it is known who is first.
    let care = ["--max-unavailable=1", "--pause-on-failure", "--timeout=20s", "--concurrency=1"];
    let out = container_run(&docker, &care, &new);
    assert_eq!(out.status, Some(1), "{}", out.stderr);
    assert_eq!(told(&out)[..2], ["web done", "1 refused"]);
    let mut held = told(&out)[2..].to_vec();
    held.sort();
    assert_eq!(held, ["2 held", "3 held"]);
    let after = ids();
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1..], before[1..], "what was there is there");

    let out = container_run(&docker, &care, &fleet(&docker, &check("true")));
    assert_eq!(out.status, Some(0), "{}", out.stderr);
    assert!(ids().iter().zip(&before).all(|(now, then)| now != then));
}

#[test]
fn a_client_s_container_dies_with_the_lease_that_nobody_tells_of_any_more() {
    let test = "a_client_s_container_dies_with_the_lease_that_nobody_tells_of_any_more";
    let Some(docker) = Docker::or_skip(test) else { return };
    let ends: PathBuf = std::env::temp_dir().join(format!("{}-ends", docker.owner()));
    let of = |name: &str, key: &str| {
        document(&docker, name, json!({"lease": {"key": key, "address": "fd00::5"}}))
    };
    let lease = |key: &str, seconds: i64| {
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        json!({"kind": "lease", "event": "list", "state": "active", "family": "ipv6", "type": "na",
            "key": key, "address": "fd00::5", "expires_at": end.to_string(), "source": "s"})
    };
    let (a, b) = ("aaaaaaaaaaaaa", "bbbbbbbbbbbbb");
    assert_eq!(container_run(&docker, &[], &[of("a", a), of("b", b)]).status, Some(0));
    let reap = |leases: &[Value]| {
        container_run(&docker, &["--reap", "--lease-ends", ends.to_str().unwrap()], leases)
    };
    let out = reap(&[lease(a, 2), lease(b, 3600)]);
    assert_eq!((out.status, out.records().len()), (Some(0), 0), "{}", out.stderr);
    // It is renewed, and then the server is heard of no more.
    let out = reap(&[lease(a, 3)]);
    assert_eq!(out.records().len(), 0, "{}", out.stderr);
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    assert_eq!(told(&reap(&[])), ["a done"]);
    assert_eq!(docker.names(), [format!("{}-b", docker.owner())]);
    std::fs::remove_file(ends).unwrap();
}
