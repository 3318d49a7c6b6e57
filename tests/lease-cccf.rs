//! lease-cccf as its users see it.

mod program;

use program::{Running, file, run};
use serde_json::json;

const PATH: &str = env!("CARGO_BIN_EXE_lease-cccf");

const KEYS: [&str; 3] = ["aaaaaaaaaaaaa", "bbbbbbbbbbbbb", "ccccccccccccc"];

fn lease(event: &str, client: usize, address: &str, more: &str) -> String {
    let state = if matches!(event, "expire" | "release") { "ended" } else { "active" };
    format!(
        r#"{{"kind":"lease","event":"{event}","state":"{state}","family":"ipv6","type":"na","key":"{}","duid":"00:03:00:0{client}","iaid":1,"address":"{address}","source":"dnsmasq:x"{more}}}"#,
        KEYS[client]
    ) + "\n"
}

const CHECKPOINT: &str = "{\"kind\":\"checkpoint\",\"of\":\"lease\",\"count\":0,\"source\":\"dnsmasq:x\",\"follow\":true}\n";

fn template(name: &str) -> String {
    file(
        name,
        r#"{"id": "web", "image": "busybox", "env": ["CLIENT=${lease.address}"],
            "labels": {"who": "${lease.hostname:-nobody}"}}"#,
    )
}

#[test]
fn every_client_gets_the_template_once() {
    let template = template("lease-1.json");
    let input = lease("list", 0, "fd00::2", r#","hostname":"alpha""#)
        + &lease("list", 0, "fd00::1", r#","hostname":"alpha""#)
        + &lease("list", 1, "fd00::3", "")
        + CHECKPOINT;
    let done = run(PATH, &["--template", &template, "--owner", "edge"], &input);
    assert_eq!(done.status, 0);
    assert_eq!(done.at("/id"), ["web-alpha-aaaaaaaaaaaaa", "web-bbbbbbbbbbbbb"]);
    assert_eq!(done.at("/env/0"), ["CLIENT=fd00::1", "CLIENT=fd00::3"], "the lowest address");
    assert_eq!(done.at("/labels/who"), ["alpha", "nobody"]);
    assert_eq!(done.at("/owner"), ["edge", "edge"]);
    assert_eq!(done.at("/lease/key"), [KEYS[0], KEYS[1]]);
    assert_eq!(
        done.records[2],
        json!({"kind":"checkpoint","of":"container","count":2,"follow":true})
    );
}

#[test]
fn changes_go_out_as_they_come_and_renewals_do_not() {
    let template = template("lease-2.json");
    let mut program = Running::start(PATH, &["--template", &template]);
    program.tell(CHECKPOINT.trim());
    assert_eq!(program.next()["kind"], "checkpoint");
    program.tell(lease("add", 0, "fd00::1", "").trim());
    assert_eq!(program.next()["id"], "web-aaaaaaaaaaaaa");
    program.tell(lease("renew", 0, "fd00::1", r#","expires_at":"2030-01-01T00:00:00Z""#).trim());
    program.tell(lease("change", 0, "fd00::1", r#","hostname":"beta""#).trim());
    let (gone, new) = (program.next(), program.next());
    assert_eq!((&gone["id"], &gone["state"]), (&json!("web-aaaaaaaaaaaaa"), &json!("absent")));
    assert_eq!(new["id"], "web-beta-aaaaaaaaaaaaa");
    assert_eq!(new["key"], gone["key"], "the same identity under another name");
    program.tell(lease("release", 0, "fd00::1", "").trim());
    let gone = program.next();
    assert_eq!((&gone["id"], &gone["state"]), (&json!("web-beta-aaaaaaaaaaaaa"), &json!("absent")));
    assert_eq!(program.end(), 0);
}

#[test]
fn a_stream_that_loses_its_tail_says_so_by_having_no_checkpoint() {
    let template = template("lease-3.json");
    let done = run(PATH, &["--template", &template], &lease("list", 0, "fd00::1", ""));
    assert_eq!((done.at("/id").len(), done.at("/of").len()), (1, 0));
}

#[test]
fn a_partial_listing_is_passed_on_as_one() {
    let template = template("lease-7.json");
    let partial = CHECKPOINT.replace("true", "true,\"partial\":true");
    let input =
        lease("list", 0, "fd00::1", "") + CHECKPOINT + &lease("list", 1, "fd00::2", "") + &partial;
    let done = run(PATH, &["--template", &template], &input);
    assert_eq!(done.at("/state").len(), 0, "nobody is gone");
    assert_eq!(done.at("/id").len(), 4, "the first, the second as news, both as listed");
    assert_eq!(done.at("/partial"), ["true"]);
}

/// `ID`, `absent ID`, `partial` or `checkpoint` for each record.
fn words(records: &[serde_json::Value]) -> Vec<String> {
    let word = |record: &serde_json::Value| match record["id"].as_str() {
        Some(id) if record["state"] == "absent" => format!("absent {id}"),
        Some(id) => id.to_owned(),
        None if record["partial"] == true => "partial".to_owned(),
        None => "checkpoint".to_owned(),
    };
    records.iter().map(word).collect()
}

#[test]
fn who_is_not_in_a_listing_is_left_out_and_not_told_to_be_gone() {
    let template = template("lease-8.json");
    let (a, b) = (lease("list", 0, "fd00::1", ""), lease("list", 1, "fd00::2", ""));
    let input = [&a, &b, CHECKPOINT, &a, CHECKPOINT, CHECKPOINT].concat();
    let done = run(PATH, &["--template", &template], &input);
    let (a, b) = ("web-aaaaaaaaaaaaa", "web-bbbbbbbbbbbbb");
    assert_eq!(words(&done.records), [a, b, "checkpoint", a, "checkpoint", "checkpoint"]);
}

#[test]
fn news_since_the_last_listing_is_no_part_of_the_next() {
    let template = template("lease-9.json");
    let a = lease("list", 0, "fd00::1", "");
    let b = lease("add", 1, "fd00::2", "");
    let again = lease("list", 1, "fd00::2", "");
    let input = [&a, CHECKPOINT, &b, &a, CHECKPOINT, &again, CHECKPOINT].concat();
    let done = run(PATH, &["--template", &template], &input);
    let (a, b) = ("web-aaaaaaaaaaaaa", "web-bbbbbbbbbbbbb");
    // What was told until then is closed as a listing that ends nothing, so that the one behind it
    // leaves out whom it means to.
    let listings = [a, "checkpoint", b, "partial", a, "checkpoint", b, b, "checkpoint"];
    assert_eq!(words(&done.records), listings);
}

#[test]
fn a_listing_with_another_name_for_a_client_ends_the_old_one() {
    let template = template("lease-10.json");
    let input = [
        &lease("list", 0, "fd00::1", r#","hostname":"old""#),
        CHECKPOINT,
        &lease("list", 0, "fd00::2", r#","hostname":"new""#),
        CHECKPOINT,
    ];
    let done = run(PATH, &["--template", &template], &input.concat());
    let (old, new) = ("web-old-aaaaaaaaaaaaa", "web-new-aaaaaaaaaaaaa");
    let told = words(&done.records);
    assert_eq!(told[..3], [old, "checkpoint", &format!("absent {old}")]);
    assert_eq!(told[told.len() - 2..], [new, "checkpoint"]);
    assert!(told.iter().all(|word| word != "partial"), "{told:?}");
}

#[test]
fn leases_that_make_no_container_pass_through() {
    let template = template("lease-4.json");
    let v4 = lease("list", 0, "192.0.2.1", "").replace("ipv6", "ipv4").replace("\"na\"", "\"v4\"");
    let pd = lease("list", 1, "fd00::", r#","prefix_len":56"#).replace("\"na\"", "\"pd\"");
    let done = run(PATH, &["--template", &template], &format!("{v4}{pd}{CHECKPOINT}"));
    assert_eq!(done.at("/kind"), ["lease", "lease", "checkpoint"]);
}

#[test]
fn a_client_cannot_take_another_clients_name() {
    let text = r#"[{"id":"${lease.hostname:-x}-${lease.key}","image":"b"},
                   {"id":"${lease.key}-${lease.hostname:-x}","image":"b"}]"#;
    let template = file("lease-5.json", text);
    let named = |client: usize, name: &str| {
        lease("list", client, &format!("fd00::{client}"), &format!(r#","hostname":"{name}""#))
    };
    let input = named(0, KEYS[1]) + &named(1, KEYS[0]) + &named(2, "honest") + CHECKPOINT;
    let done = run(PATH, &["--template", &template], &input);
    assert_eq!(done.status, 1);
    assert!(done.told.contains("belongs to another client"), "{}", done.told);
    let mut ids = done.at("/id");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert!(ids.contains(&format!("honest-{}", KEYS[2])));
}

#[test]
fn a_template_that_is_wrong_is_told_before_anything_is_read() {
    let bad = file("lease-6.json", r#"{"id":"x","image":"b","cmd":["${lease.adress}"]}"#);
    let done = run(PATH, &["--template", &bad], &lease("list", 0, "fd00::1", ""));
    assert_eq!((done.status, done.records.len()), (65, 0));
    assert!(done.told.contains("unknown variable \"lease.adress\""), "{}", done.told);
    assert!(done.told.contains("lease.address, lease.duid"), "{}", done.told);
    assert_eq!(run(PATH, &["--template", "/nonexistent.json"], "").status, 64);
}
