//! lease-watch and lease-bind on the control channel of a real Kea.

mod lab;

use std::time::Duration;

use lab::{Done, Kea, LEASE_CMDS, Lab, Running, bin, run};
use serde_json::{Value, json};

/// lease-watch on a source, with these words besides, on the lab's machine.
fn watch(lab: &Lab, source: &str, words: &[&str]) -> std::process::Command {
    let mut command = lab.command(bin!("lease-watch"));
    command.arg("--source").arg(format!("kea-socket:{source}")).args(words);
    command
}

fn socket(kea: &Kea) -> String {
    kea.socket().display().to_string()
}

/// Each lease's address and host name, of a listing that a checkpoint closes.
fn listed(done: &Done) -> Vec<(String, Value)> {
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let mut records = done.records();
    let checkpoint = records.pop().expect("a checkpoint");
    assert_eq!(checkpoint["kind"], "checkpoint", "{checkpoint}");
    assert_eq!(checkpoint["count"], records.len());
    let lease = |lease: Value| (text(&lease, "address"), lease["hostname"].clone());
    records.into_iter().map(lease).collect()
}

fn text(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap_or_else(|| panic!("{name} in {record}")).to_owned()
}

#[test]
fn leases_are_listed_and_followed_through_a_restart() {
    let name = "leases_are_listed_and_followed_through_a_restart";
    let Some(mut lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let Some(mut kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[LEASE_CMDS]) else {
        return;
    };
    let (mut alice, mut bob) = (lab.client("br1", "alice"), lab.client("br1", "bob"));
    let address = alice.lease().to_string();
    let done = run(&mut watch(&lab, &socket(&kea), &[]), "");
    let leases = done.records();
    assert_eq!(leases[0]["duid"], alice.duid_text());
    assert_eq!(leases[0]["source"], format!("kea-socket:{}", socket(&kea)));
    assert!(leases[0]["expires_at"].is_string(), "{}", leases[0]);
    assert_eq!(listed(&done)[0].0, address);

    let words = ["--follow", "--poll", "200ms", "--resync", "none"];
    let mut follow = Running::start(&mut watch(&lab, &socket(&kea), &words));
    assert_eq!(text(&follow.next(), "address"), address);
    assert_eq!(follow.next()["kind"], "checkpoint");
    let his = bob.lease().to_string();
    let added = follow.next();
    assert_eq!((&*text(&added, "event"), text(&added, "address")), ("add", his.clone()));

    // While it is down nothing is known, and nothing ends.
    kea.stop();
    assert!(follow.is_silent(Duration::from_secs(2)));
    kea.resume();
    bob.release();
    let ended = follow.next();
    assert_eq!((&*text(&ended, "event"), text(&ended, "address")), ("release", his));
    let again = bob.lease().to_string();
    assert_eq!(follow.until("bob's lease", |lease| lease["event"] == "add")["address"], again);
    let told = follow.stop();
    assert!(told.contains("see that kea-dhcp6 runs"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn an_agent_is_asked_by_http_with_a_password_that_nobody_sees() {
    let name = "an_agent_is_asked_by_http_with_a_password_that_nobody_sees";
    let Some(mut lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let Some(mut kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[LEASE_CMDS]) else {
        return;
    };
    let agent = kea.start_agent(Some(("edge", "s3cret")));
    let mut alice = lab.client("br1", "alice");
    let address = alice.lease().to_string();
    let done = run(&mut watch(&lab, &format!("http://edge:s3cret@{agent}/"), &[]), "");
    assert_eq!(listed(&done)[0].0, address);
    assert_eq!(done.records()[0]["source"], format!("kea-socket:http://{agent}/"));
    for (user, status, why) in [("edge:wr0ng@", 77, "refused"), ("", 77, "USER:PASSWORD")] {
        let done = run(&mut watch(&lab, &format!("http://{user}{agent}/"), &[]), "");
        assert_eq!((done.status, done.stdout.len()), (Some(status), 0), "{}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
        assert!(!done.stderr.contains("wr0ng"), "{}", done.stderr);
    }
    // The agent goes on when the server behind it does not.
    kea.stop();
    let done = run(&mut watch(&lab, &format!("http://edge:s3cret@{agent}/"), &[]), "");
    assert_eq!((done.status, done.stdout.len()), (Some(69), 0), "{}", done.stderr);
    assert!(done.stderr.contains("unable to forward command"), "{}", done.stderr);
}

#[test]
fn a_server_without_the_hook_libraries_says_which_to_load() {
    let name = "a_server_without_the_hook_libraries_says_which_to_load";
    let Some(lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let Some(mut kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[]) else { return };
    let done = run(&mut watch(&lab, &socket(&kea), &[]), "");
    assert_eq!((done.status, done.stdout.len()), (Some(69), 0), "{}", done.stderr);
    assert!(done.stderr.contains("lease6-get-page"), "{}", done.stderr);
    assert!(done.stderr.contains("libdhcp_lease_cmds.so"), "{}", done.stderr);

    let agent = kea.start_agent(None);
    for place in [socket(&kea), format!("http://{agent}/")] {
        let mut bind = lab.command(bin!("lease-bind"));
        bind.arg("--ledger").arg(lab.dir().join("ledger.db"));
        let done = run(bind.arg("--reserve").arg(format!("kea:{place}")), "");
        assert_eq!(done.status, Some(69), "{}", done.stderr);
        assert!(done.stderr.contains(&place), "{}", done.stderr);
        assert!(done.stderr.contains("libdhcp_host_cmds.so"), "{}", done.stderr);
        assert!(done.stderr.contains("--reserve none"), "{}", done.stderr);
    }
}

#[test]
fn what_was_declined_is_no_lease() {
    let name = "what_was_declined_is_no_lease";
    let Some(mut lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let Some(kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[LEASE_CMDS]) else { return };
    let words = ["--follow", "--poll", "100ms", "--resync", "none"];
    let mut follow = Running::start(&mut watch(&lab, &socket(&kea), &words));
    assert_eq!(follow.next()["count"], 0);
    let mut alice = lab.client("br1", "alice");
    alice.lease();
    assert_eq!(follow.next()["event"], "add");
    alice.decline();
    let ended = follow.next();
    assert_eq!((&ended["event"], &ended["state"]), (&json!("decline"), &json!("ended")), "{ended}");
    let row =
        kea.ask(json!({"command": "lease6-get-page", "arguments": {"from": "start", "limit": 9}}));
    assert_eq!(row["arguments"]["leases"][0]["state"], 1);
    assert_eq!(listed(&run(&mut watch(&lab, &socket(&kea), &[]), "")), []);
}

#[test]
fn a_lease_without_an_end_and_a_name_are_what_the_server_says() {
    let name = "a_lease_without_an_end_and_a_name_are_what_the_server_says";
    let Some(lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let Some(kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[LEASE_CMDS]) else { return };
    for lease in [
        json!({"subnet-id": 1, "ip-address": "fd00:1::77", "duid": "00:03:00:01:aa", "iaid": 7,
            "valid-lft": 4294967295u32, "hostname": "printer.example.org."}),
        json!({"subnet-id": 1, "ip-address": "fd00:7::", "prefix-len": 56, "type": "IA_PD",
            "duid": "00:03:00:01:bb", "iaid": 8, "valid-lft": 600, "hostname": "we ird$(x)"}),
    ] {
        let answer = kea.ask(json!({"command": "lease6-add", "arguments": lease}));
        assert_eq!(answer["result"], 0, "{answer}");
    }
    let done = run(&mut watch(&lab, &socket(&kea), &[]), "");
    assert!(done.stderr.contains("host name \"we ird$(x)\" is none"), "{}", done.stderr);
    let records = done.records();
    assert_eq!(records[0]["hostname"], "printer.example.org");
    assert!(records[0].get("expires_at").is_none(), "{}", records[0]);
    assert_eq!((&records[1]["type"], &records[1]["prefix_len"]), (&json!("pd"), &json!(56)));
    assert!(records[1].get("hostname").is_none(), "{}", records[1]);
    assert_eq!(records[2]["count"], 2);
}

#[test]
fn a_crowd_is_listed_to_the_last_client() {
    let name = "a_crowd_is_listed_to_the_last_client";
    let Some(lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let Some(kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[LEASE_CMDS]) else { return };
    lab.machine().sysctl("net.ipv6.conf.br1-end.accept_dad", "0");
    lab.ip("link set br1-end down");
    lab.ip("link set br1-end up");
    kea.crowd("br1-end", 3000);
    let words = ["--timeout", "60s"];
    let leases = listed(&run(&mut watch(&lab, &socket(&kea), &words), ""));
    let all = kea.ask(json!({"command": "lease6-get-all"}));
    let mut expected: Vec<String> = all["arguments"]["leases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| text(l, "ip-address"))
        .collect();
    expected.sort();
    let mut found: Vec<String> = leases.into_iter().map(|(address, _)| address).collect();
    found.sort();
    // Several pages, whatever a loaded machine has dropped.
    assert!(found.len() > 2000, "{}", found.len());
    assert_eq!(found, expected);

    // One of many who goes is told, however many pages there are.
    let mut follow = Running::start(&mut watch(
        &lab,
        &socket(&kea),
        &["--follow", "--poll", "1s", "--timeout", "60s"],
    ));
    follow.until("the checkpoint", |record| record["kind"] == "checkpoint");
    let gone = &found[1500];
    let answer = kea.ask(json!({"command": "lease6-del", "arguments": {"ip-address": gone}}));
    assert_eq!(answer["result"], 0, "{answer}");
    assert_eq!(text(&follow.next(), "address"), *gone);
    // Nobody is gone because the socket is.
    std::fs::remove_file(kea.socket()).unwrap();
    assert!(follow.is_silent(Duration::from_secs(3)));
    let told = follow.stop();
    assert!(told.contains("no such file or directory"), "{told}");
}
