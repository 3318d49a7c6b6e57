//! A list of hosts in a real etcd: entered by host-add, read and followed by the others.

#![cfg(feature = "etcd")]

mod engine;
mod lab;

use std::process::Command;
use std::time::Duration;

use engine::{Engine, ok};
use lab::{Done, Etcd, Lab, Running, bin, eventually, run};
use serde_json::{Value, json};

/// An engine that has one container, or says at least that it is there.
fn says(path: &str) -> Option<(u16, String)> {
    match path.rsplit_once('/').unwrap().1 {
        "_ping" => Some((200, "OK".into())),
        "version" => ok(json!({"Version": "20.10.24", "ApiVersion": "1.41"})),
        "info" => ok(json!({"NCPU": 4, "MemTotal": 8_000_000_000_u64, "OSType": "linux",
                            "SystemTime": "2026-11-21T18:30:00Z"})),
        "json" => ok(json!([])),
        "events" => {
            std::thread::sleep(Duration::from_secs(60));
            None
        }
        _ => None,
    }
}

/// Runs a program of the lab to its end.
fn program(lab: &Lab, path: &str, arguments: &[&str], input: &str) -> Done {
    run(lab.command(path).args(arguments), input)
}

#[test]
fn hosts_are_kept_in_an_etcd() {
    let test = "hosts_are_kept_in_an_etcd";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(mut etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let engines = [Engine::new("list-north", says), Engine::new("list-south", says)];
    let [north, south] = engines.each_ref().map(Engine::url);
    let at = etcd.address("/site");
    let add = |url: &str, more: &[&str]| {
        program(&lab, bin!("host-add"), &[&[url, "--hosts", &at], more].concat(), "")
    };
    let done = add(&north, &["--id", "north", "--label", "zone=eu"]);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert_eq!(done.records()[0]["state"], "active");
    let key = "/site/hosts/north";
    let entered =
        |key: &str| serde_json::from_str::<Value>(&etcd.pairs("/site/hosts/")[key]).unwrap();
    let wanted = json!({"kind": "host", "id": "north", "url": north, "labels": {"zone": "eu"}});
    assert_eq!(entered(key), wanted, "what the engine says of itself is not entered");
    // What is there is changed only if that is asked for, and one engine is one host.
    let again = add(&north, &["--id", "north"]);
    assert_eq!(again.status, Some(1));
    assert!(
        again.stderr.contains("/site: enter host north") || again.stderr.contains("/site: host")
    );
    let other = add(&north, &["--id", "other", "--replace"]);
    assert!(other.stderr.contains("as host \"north\""), "{}", other.stderr);
    etcd.ctl(&[
        "put",
        key,
        &json!({"kind": "host", "id": "north", "url": north, "note": 1}).to_string(),
    ]);
    assert_eq!(add(&north, &["--id", "north", "--label", "disk=ssd", "--replace"]).status, Some(0));
    assert_eq!(
        (&entered(key)["note"], &entered(key)["labels"]),
        (&json!(1), &json!({"disk": "ssd"}))
    );
    // Who does not answer is not entered.
    assert_eq!(add("unix:///nonexistent", &[]).status, Some(69));
    assert_eq!(etcd.pairs("/site/hosts/").len(), 1);
    assert_eq!(add(&south, &["--id", "south"]).status, Some(0));

    everybody_reads_it(&lab, &at);
    of_those_who_race_each_is_entered_once(&lab, &etcd, &north);
    what_changes_is_followed(&lab, &etcd, &at, &south);

    etcd.ctl(&["put", "/site/hosts/bad", "{}"]);
    let bad = program(&lab, bin!("host-probe"), &["--hosts", &at], "");
    assert_eq!((bad.status, bad.stdout.len()), (Some(65), 0), "{}", bad.stderr);
    assert!(bad.stderr.contains("key /site/hosts/bad"), "{}", bad.stderr);
    etcd.kill(0);
    let secret = at.replace("etcd://", "etcd://me:hush@");
    let gone = program(&lab, bin!("docker-cccf"), &["--hosts", &secret], "");
    assert_eq!((gone.status, gone.stdout.len()), (Some(69), 0), "{}", gone.stderr);
    assert!(!gone.stderr.contains("hush"), "{}", gone.stderr);
}

fn everybody_reads_it(lab: &Lab, at: &str) {
    let ids = |done: &Done| -> Vec<Value> {
        let records = done.records();
        records
            .iter()
            .filter(|host| host["kind"] == "host")
            .map(|host| host["id"].clone())
            .collect()
    };
    let probed = program(lab, bin!("host-probe"), &["--hosts", at], "");
    assert_eq!(ids(&probed).len(), 2, "{}", probed.stderr);
    let wanted = r#"{"id":"web","image":"b"}"#;
    let placed = program(lab, bin!("cccf-host"), &["--hosts", at], wanted);
    assert_eq!(placed.records()[0]["host"]["id"], "north", "{}", placed.stderr);
    for (path, more) in [
        (bin!("docker-cccf"), &[][..]),
        (bin!("container-watch"), &[]),
        (bin!("container-run"), &["--reap"]),
    ] {
        let done = program(lab, path, &[&["--hosts", at], more].concat(), "");
        assert_eq!(done.status, Some(0), "{path}: {}", done.stderr);
    }
}

/// However many enter hosts at the same time, none is lost, and one engine is one host.
fn of_those_who_race_each_is_entered_once(lab: &Lab, etcd: &Etcd, url: &str) {
    let at = etcd.address("/race");
    let engines: Vec<Engine> =
        (0..4).map(|number| Engine::new(&format!("list-race{number}"), says)).collect();
    let mut racing: Vec<Running> = Vec::new();
    for (number, engine) in engines.iter().enumerate() {
        let own = engine.url();
        for (id, url) in [(format!("own{number}"), own.as_str()), (format!("same{number}"), url)] {
            let words = [url, "--id", &id, "--hosts", &at];
            racing.push(Running::start(lab.command(bin!("host-add")).args(words)));
        }
    }
    let done: Vec<Done> = racing.into_iter().map(Running::finish).collect();
    let entered = done.iter().filter(|done| done.status == Some(0)).count();
    let hosts = etcd.pairs("/race/hosts/");
    assert_eq!((entered, hosts.len()), (5, 5), "{hosts:?} {done:?}");
    assert_eq!(hosts.values().filter(|host| host.contains(url)).count(), 1, "{hosts:?}");
}

/// host-probe, docker-cccf and container-watch go by the list as it is.
fn what_changes_is_followed(lab: &Lab, etcd: &Etcd, at: &str, south: &str) {
    let follow = |path: &str, more: &[&str]| {
        let mut command: Command = lab.command(path);
        Running::start(command.args(["--follow", "--hosts", at]).args(more))
    };
    let mut probe = follow(bin!("host-probe"), &["--interval", "500ms"]);
    let mut list = follow(bin!("docker-cccf"), &[]);
    let mut watch = follow(bin!("container-watch"), &[]);
    let whole = |record: &Value| record["kind"] == "checkpoint" && record["partial"] != true;
    assert_eq!(probe.until("the first listing", whole)["count"], 2);
    list.until("the first listing", whole);
    watch.until("the first listing", whole);
    let third = Engine::new("list-third", says);
    let record = json!({"kind": "host", "id": "third", "url": third.url(), "state": "drain"});
    etcd.ctl(&["put", "/site/hosts/third", &record.to_string()]);
    assert_eq!(probe.until("the second listing", whole)["count"], 3);
    list.until("the second listing", whole);
    let down = json!({"kind": "host", "id": "south", "url": south, "state": "down"});
    etcd.ctl(&["put", "/site/hosts/south", &down.to_string()]);
    list.until("a listing without the one that is down", whole);
    etcd.ctl(&["del", "/site/hosts/third"]);
    probe.until("the last listing", |record| whole(record) && record["count"] == 2);
    list.until("the last listing", whole);
    eventually("container-watch lets go", Duration::from_secs(5), || {
        // It has nothing to say of it but to people.
        watch.is_silent(Duration::from_millis(100)).then_some(())
    });
    let told = watch.stop();
    assert!(told.contains("third: it is not watched any more"), "{told}");
    let told = list.stop();
    assert!(told.contains("south: it is not asked: its record says that it is down"), "{told}");
    etcd.ctl(&["put", "/site/hosts/south", &down.to_string().replace("down", "active")]);
}
