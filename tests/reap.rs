//! What container-run --reap removes: what is past its time, by its own word or by its client's lease.

#[path = "engine/applied.rs"]
mod applied;
#[path = "engine/crowd.rs"]
mod crowd;

use std::path::PathBuf;

use applied::{container_run, lines, on, records};
use crowd::{Crowd, Manner};
use serde_json::{Value, json};

#[test]
fn what_is_past_its_time_is_reaped_and_nothing_else() {
    let crowd = Crowd::new("reap", vec![Manner::slow(0, 0); 2]);
    let input = lines([
        on(&crowd, 0, "stays", json!({})),
        on(&crowd, 0, "later", json!({"ttl": "1h"})),
        on(&crowd, 0, "base", json!({"expires_at": "2026-01-01T00:00:00Z", "ttl": "1h"})),
        on(&crowd, 0, "upon", json!({"ttl": "0s", "depends_on": ["base"]})),
        on(&crowd, 1, "other", json!({"expires_at": "2026-01-01T00:00:00Z"})),
        on(&crowd, 1, "foreign", json!({"expires_at": "2026-01-01T00:00:00Z", "owner": "you"})),
    ]);
    let made = container_run(&["--owner", "edge"], &input);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let hosts = std::env::temp_dir().join(format!("lpc-reap-hosts-{}", std::process::id()));
    let away = json!({"kind": "host", "id": "away", "url": "unix:///nonexistent"});
    let host = |at| {
        let mut host = crowd.host(at);
        host["kind"] = json!("host");
        host
    };
    std::fs::write(&hosts, lines([host(0), away, host(1)])).unwrap();
    let reap = ["--reap", "--owner", "edge", "--hosts", hosts.to_str().unwrap()];
    let told = container_run(&[&reap[..], &["--dry-run"]].concat(), "");
    assert_eq!(records(&told).len(), 3, "{told:?}");
    assert_eq!((crowd.running(0).len(), crowd.running(1).len()), (4, 2));
    let output = container_run(&reap, "");
    assert_eq!(output.status.code(), Some(69), "one host is away: {output:?}");
    let gone = records(&output);
    let of = |id: &str| gone.iter().position(|change| change["container"]["id"] == id).unwrap();
    assert!(of("upon") < of("base") && gone.len() == 3, "{gone:#?}");
    let other = &gone[of("other")];
    assert_eq!((&other["action"], &other["status"]), (&json!("remove"), &json!("done")));
    assert_eq!(other["why"][0]["from"], "2026-01-01T00:00:00Z");
    let mut left = crowd.running(0);
    left.sort();
    assert_eq!(
        (left, crowd.running(1)),
        (vec!["later".into(), "stays".into()], vec!["foreign".into()])
    );
    std::fs::remove_file(hosts).unwrap();
}

#[test]
fn what_a_killed_run_left_half_replaced_is_reaped_as_well() {
    let crowd = Crowd::new("reap-halves", vec![Manner::slow(0, 0)]);
    let past = json!({"expires_at": "2026-01-01T00:00:00Z"});
    let make = |id: &str, fields: &Value, name: &str| {
        let made =
            container_run(&["--owner", "edge"], &on(&crowd, 0, id, fields.clone()).to_string());
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        crowd.rename(0, id, name);
    };
    // Killed while it waited, between the renames, and behind the first of them.
    make("waits", &past, "waits.leasepipe-new");
    make("waits", &json!({}), "waits");
    make("between", &past, "between.leasepipe-old");
    make("between", &past, "between.leasepipe-new");
    make("lost", &past, "lost.leasepipe-old");
    // Not past its time, and nobody's.
    make("lives", &json!({"ttl": "1h"}), "lives.leasepipe-new");
    make("foreign", &past, "renamed");
    let hosts = file("half-hosts");
    let mut host = crowd.host(0);
    host["kind"] = json!("host");
    std::fs::write(&hosts, lines([host])).unwrap();
    let reap = ["--reap", "--owner", "edge", "--hosts", hosts.to_str().unwrap()];
    for _ in 0..2 {
        let output = container_run(&reap, "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let mut left = crowd.running(0);
        left.sort();
        assert_eq!(left, ["lives.leasepipe-new", "renamed", "waits"], "{output:?}");
    }
    std::fs::remove_file(hosts).unwrap();
}

/// A file of the test's own, which is not there.
fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("lpc-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// A client's containers are told of with this.
fn leased(key: &str) -> Value {
    json!({"lease": {"key": key, "address": "fd00::5"}})
}

/// A lease of a client, with its end so many seconds from now.
fn lease(key: &str, kind: &str, seconds: i64) -> Value {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    json!({"kind": "lease", "event": "list", "state": "active", "family": "ipv6", "type": kind,
        "key": key, "address": "fd00::5", "expires_at": end.to_string(), "source": "s"})
}

const A: &str = "aaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbb";
const C: &str = "ccccccccccccc";

#[test]
fn a_client_s_containers_go_with_its_leases_though_nobody_tells_of_them_any_more() {
    let crowd = Crowd::new("leases", vec![Manner::slow(0, 0)]);
    let mut brief = leased(A);
    brief["expires_at"] = json!("2026-01-01T00:00:00Z");
    let made = container_run(
        &[],
        &lines([
            on(&crowd, 0, "a-1", leased(A)),
            on(&crowd, 0, "a-2", brief),
            on(&crowd, 0, "b", leased(B)),
            on(&crowd, 0, "c", leased(C)),
            on(&crowd, 0, "nobody-s", json!({})),
        ]),
    );
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let (hosts, ends) = (file("ends-hosts"), file("ends"));
    let mut host = crowd.host(0);
    host["kind"] = json!("host");
    std::fs::write(&hosts, lines([host])).unwrap();
    let reap = |more: &[&str], input: &str| {
        let arguments = ["--reap", "--hosts", hosts.to_str().unwrap()];
        let output = container_run(&[&arguments[..], more].concat(), input);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let gone = records(&output);
        let told = |one: &Value| format!("{} {}", one["container"]["id"], one["why"][0]["field"]);
        let mut told: Vec<String> = gone.iter().map(|one| told(one).replace('"', "")).collect();
        told.sort();
        told
    };
    let by_lease = ["--lease-ends", ends.to_str().unwrap()];
    let listed = lines([
        lease(A, "na", 3600),
        lease(B, "na", -5),
        lease(B, "pd", 2),
        json!({"kind": "checkpoint", "of": "lease", "count": 3}),
    ]);
    // What is told of a lease does not lengthen what a container declares itself.
    let dry = [&by_lease[..], &["--dry-run"]].concat();
    assert_eq!(reap(&dry, &listed), ["a-2 expires_at"]);
    assert!(!ends.exists());
    assert_eq!(reap(&by_lease, &listed), ["a-2 expires_at"]);
    assert_eq!(std::fs::read_to_string(&ends).unwrap().lines().count(), 2);
    // From now on nothing is heard of any lease.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(reap(&[], ""), [""; 0]);
    assert_eq!(reap(&by_lease, ""), ["b lease.expires_at"]);
    assert_eq!(reap(&by_lease, ""), [""; 0]);
    let kept = std::fs::read_to_string(&ends).unwrap();
    assert!(kept.contains(A) && kept.lines().count() == 1, "{kept}");
    // A client of which nothing was ever told keeps what it has; a line that is none is told.
    std::fs::write(&ends, format!("{kept}nonsense\n")).unwrap();
    let output = container_run(
        &["--reap", "--hosts", hosts.to_str().unwrap(), by_lease[0], by_lease[1]],
        "",
    );
    assert_eq!((output.status.code(), records(&output).len()), (Some(1), 0), "{output:?}");
    assert_eq!(std::fs::read_to_string(&ends).unwrap(), kept);
    let mut left = crowd.running(0);
    left.sort();
    assert_eq!(left, ["a-1", "c", "nobody-s"]);
    for path in [hosts, ends] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_makes_no_sense_beside_it_is_wrong_usage() {
    for wrong in [
        &["--reap", "--action", "stop"][..],
        &["--lease-ends", "x"],
        &["--reap", "--lease-ends", "/"],
    ] {
        assert_eq!(container_run(wrong, "").status.code(), Some(64), "{wrong:?}");
    }
}
