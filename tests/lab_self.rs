//! The lab itself: a client gets a lease from dnsmasq in it, and nothing of it stays.

mod lab;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use lab::{Lab, PATIENCE, Running, eventually, run};
use serde_json::json;

#[test]
fn a_client_leases_renews_and_releases() {
    let Some(mut lab) = Lab::or_skip("a_client_leases_renews_and_releases") else {
        return;
    };
    lab.bridge("br0");
    lab.dnsmasq("br0", "fd00:aa::/64", &[]);
    let mut alice = lab.client("br0", "alice");
    let mut bob = lab.client("br0", "bob");

    let address = alice.lease();
    assert!(lab.server("br0").has_lease(&address.to_string()), "the lease is in the file");
    assert_eq!(alice.renew(), Some(address));
    let other = bob.lease_rapidly();
    assert_ne!(address, other);
    assert!(alice.ping(IpAddr::V6(other)).is_some(), "alice reaches bob");

    alice.release();
    eventually("the lease is gone from the file", PATIENCE, || {
        (!lab.server("br0").has_lease(&address.to_string())).then_some(())
    });
    assert!(lab.server("br0").has_lease(&other.to_string()), "bob keeps his");
    bob.decline();
}

#[test]
fn two_bridges_reach_each_other() {
    let Some(mut lab) = Lab::or_skip("two_bridges_reach_each_other") else {
        return;
    };
    lab.bridge("br0");
    lab.bridge("br1");
    lab.dnsmasq("br0", "fd00:aa::/64", &[]);
    lab.dnsmasq("br1", "fd00:bb::/64", &[]);
    let mut alice = lab.client("br0", "alice");
    let mut box1 = lab.client("br1", "box1");
    alice.lease();
    let inside = box1.lease();
    assert!(alice.ping(inside.into()).is_some());
}

#[test]
fn nothing_stays() {
    let Some(mut lab) = Lab::or_skip("nothing_stays") else {
        return;
    };
    lab.bridge("br0");
    lab.dnsmasq("br0", "fd00:aa::/64", &[]);
    let mut paths: Vec<PathBuf> = vec![lab.dir().into(), lab.machine().path()];
    paths.push(lab.namespace("x"));
    paths.push(lab.client("br0", "alice").space().path());
    assert!(paths.iter().all(|path| path.exists()));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _lab = lab;
        std::panic::resume_unwind(Box::new("a test fails"));
    }));
    assert!(panicked.is_err());
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
}

#[test]
fn programs_are_fed_and_watched() {
    let mut cat = Running::start(&mut Command::new("cat"));
    cat.send(&json!({"id": 1}));
    assert_eq!(cat.next(), json!({"id": 1}));
    cat.send(&json!({"id": 2}));
    cat.send(&json!({"id": 3}));
    assert_eq!(cat.until("id 3", |record| record["id"] == 3), json!({"id": 3}));
    assert!(cat.is_silent(std::time::Duration::from_millis(20)));
    cat.send(&json!({"id": 4}));
    let done = cat.finish();
    assert_eq!((done.status, done.records()), (Some(0), vec![json!({"id": 4})]));

    let done = run(Command::new("sh").args(["-c", "cat; echo no >&2; exit 3"]), "{}\n");
    assert_eq!((done.status, done.stderr.as_str()), (Some(3), "no\n"));
    let big = format!("\"{}\"\n", "x".repeat(3_000_000));
    assert_eq!(run(&mut Command::new("cat"), &big).stdout[0].len(), 3_000_002);
}
