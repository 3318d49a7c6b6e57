//! lease-cccf as its users see it.

mod program;

use program::{Running, file, run};
use serde_json::json;

const PATH: &str = env!("CARGO_BIN_EXE_lease-cccf");

const KEYS: [&str; 4] = ["aaaaaaaaaaaaa", "bbbbbbbbbbbbb", "ccccccccccccc", "ddddddddddddd"];

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
fn what_is_wanted_no_more_is_told_before_what_it_depends_on() {
    let own = r#"{"id":"NAME-${lease.key}","image":"b","depends_on":[OTHERS]}"#;
    let one = |name: &str, others: &str| own.replace("NAME", name).replace("OTHERS", others);
    let template = format!(
        "[{},{},{}]",
        one("db", ""),
        one("app", r#""db-${lease.key}""#),
        one("web", r#""app-${lease.key}""#)
    );
    let template = file("lease-order.json", &template);
    let input = [CHECKPOINT, &lease("add", 0, "fd00::1", ""), &lease("release", 0, "fd00::1", "")];
    let done = run(PATH, &["--template", &template], &input.concat());
    let order = ["db", "app", "web", "absent web", "absent app", "absent db"];
    let order: Vec<String> = order.iter().map(|word| format!("{word}-{}", KEYS[0])).collect();
    assert_eq!(words(&done.records)[1..], order);
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
    let done = run(PATH, &["--template", &template], &format!("{v4}{CHECKPOINT}"));
    assert_eq!(done.at("/kind"), ["lease", "checkpoint"]);
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

/// The same record as one of a delegated prefix, under an IAID and a key of its own.
fn delegated(event: &str, client: usize, prefix: &str) -> String {
    let (address, len) = prefix.split_once('/').unwrap();
    lease(event, client, address, &format!(r#","prefix_len":{len}"#))
        .replace("\"na\"", "\"pd\"")
        .replace(KEYS[client], &KEYS[client].replace(['a', 'b', 'c'], "p"))
}

const OWN: &str = r#"{"id":"web","image":"busybox","env":["NET=${lease.prefix:-none}"]}"#;

#[test]
fn a_client_s_prefix_reaches_its_template_whatever_comes_first() {
    let template = file("lease-pd-1.json", OWN);
    let (na, pd) = (lease("list", 0, "fd00::1", ""), delegated("list", 0, "fd00:f::/56"));
    for input in [[&na, &pd], [&pd, &na]] {
        let input = format!("{}{}{CHECKPOINT}", input[0], input[1]);
        let done = run(PATH, &["--template", &template], &input);
        assert_eq!(done.at("/id"), ["web-aaaaaaaaaaaaa"]);
        assert_eq!(done.at("/env/0"), ["NET=fd00:f:0:ff::/64"]);
    }
    let done = run(PATH, &["--template", &template], &(pd + CHECKPOINT));
    assert_eq!(done.at("/id"), ["web-ppppppppppppp"], "a prefix alone is a client");
    assert_eq!(done.at("/lease/prefix_len"), ["56"]);
}

#[test]
fn no_container_comes_and_goes_while_a_client_arrives_and_leaves() {
    let template = file("lease-pd-2.json", OWN);
    let mut program = Running::start(PATH, &["--template", &template]);
    program.tell(CHECKPOINT.trim());
    assert_eq!(program.next()["kind"], "checkpoint");
    program.tell(delegated("add", 0, "fd00:f::/56").trim());
    std::thread::sleep(std::time::Duration::from_millis(300));
    program.tell(lease("add", 0, "fd00::1", "").trim());
    let made = program.next();
    assert_eq!(
        (&made["id"], &made["env"][0]),
        (&json!("web-aaaaaaaaaaaaa"), &json!("NET=fd00:f:0:ff::/64"))
    );
    program.tell(lease("release", 0, "fd00::1", "").trim());
    assert_eq!(program.next()["state"], "absent");
    program.tell(delegated("release", 0, "fd00:f::/56").trim());
    assert!(program.within(std::time::Duration::from_millis(2500)).is_empty());
    // One that stays alone is a client soon, without another word of anybody.
    program.tell(delegated("add", 1, "fd00:e::/56").trim());
    assert_eq!(program.next()["id"], "web-ppppppppppppp");
    program.tell(lease("add", 1, "fd00::2", "").trim());
    let (gone, new) = (program.next(), program.next());
    assert_eq!((&gone["id"], &gone["state"]), (&json!("web-ppppppppppppp"), &json!("absent")));
    assert_eq!(new["id"], "web-bbbbbbbbbbbbb");
    assert_eq!(program.end(), 0);
}

#[test]
fn a_container_s_network_is_told_with_it_and_with_its_end() {
    let text = r#"[{"id":"web","image":"b"},{"id":"db-${lease.key}","image":"c"}]"#;
    let template = file("lease-net.json", text);
    let args = ["--template", &template, "--private-network", "--owner", "edge"];
    let input = lease("list", 0, "fd00::1", "") + CHECKPOINT + &lease("release", 0, "fd00::1", "");
    let done = run(PATH, &args, &input);
    assert_eq!(done.at("/private_network/alias"), ["web", "db", "web", "db"]);
    let name = format!("leasepipe-edge-{}", KEYS[0]);
    assert_eq!(done.at("/private_network/name"), vec![name; 4]);
    assert_eq!(done.at("/state"), ["absent", "absent"]);
    for field in ["/id", "/image", "/owner", "/key"] {
        let told = done.at(field);
        assert_eq!(told[..2], told[2..], "{field}");
    }
}

#[test]
fn the_example_s_rules_do_what_they_say() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rules.json");
    let camera = r#","vendor_class":["acme camera 3"]"#;
    let input = [
        lease("list", 0, "2001:db8:5::1", camera),
        lease("list", 1, "2001:db8:6::1", r#","hostname":"NAS-1""#),
        delegated("list", 2, "2001:db8:9::/48"),
        lease("list", 2, "2001:db8:6::2", camera),
        lease("list", 3, "2001:db8:6::3", ""),
        CHECKPOINT.to_owned(),
    ]
    .concat();
    let told =
        |more: &[&str]| run(PATH, &[&["--rules", rules, "--owner", "edge"], more].concat(), &input);
    let done = told(&[]);
    assert_eq!(done.status, 0, "{}", done.told);
    let ids = ["recorder-aaaaaaaaaaaaa", "store-aaaaaaaaaaaaa", "web-ccccccccccccc"];
    assert_eq!(done.at("/id"), ids);
    assert_eq!(done.at("/private_network/alias"), ["recorder", "store"]);
    assert_eq!(done.at("/env/1"), ["STORE=store", "PREFIX=2001:db8:9:ffff::/64"]);
    assert!(done.at("/addresses/0")[0].starts_with("2001:db8:9:ffff:"));
    let done = told(&["--explain"]);
    assert_eq!(done.at("/rule"), ["2", "1", "3"]);
    assert_eq!(done.at("/template"), ["recorder,store", "none", "web"]);
    assert_eq!(done.at("/containers/0"), [ids[0], ids[2]]);
    assert_eq!(done.at("/passed_over/0/field"), ["hostname", "hostname", "hostname"]);
    let last = &done.records[3];
    assert_eq!((&last["key"], last.get("rule")), (&json!(KEYS[3]), None));
    assert_eq!(last["passed_over"].as_array().unwrap().len(), 4);
    assert_eq!(done.records[4]["of"], "explanation");
}

#[test]
fn an_explanation_follows_the_client() {
    let template = template("lease-why.json");
    let rules = file("why-rules.json", r#"{"match":{"hostname":"x-*"},"template":"none"}"#);
    let args = ["--rules", &rules, "--template", &template, "--explain"];
    let mut program = Running::start(PATH, &args);
    program.tell(CHECKPOINT.trim());
    assert_eq!(program.next()["kind"], "checkpoint");
    program.tell(lease("add", 0, "fd00::1", r#","hostname":"x-1""#).trim());
    let told = program.next();
    assert_eq!((&told["rule"], &told["template"]), (&json!(1), &json!("none")));
    assert_eq!(told["why"], json!([{"field": "hostname", "value": "x-1", "wanted": "x-*"}]));
    program.tell(lease("renew", 0, "fd00::1", r#","hostname":"x-1""#).trim());
    program.tell(lease("change", 0, "fd00::1", r#","hostname":"y-1""#).trim());
    let told = program.next();
    assert_eq!(
        (&told["rule"], &told["containers"]),
        (&json!(2), &json!(["web-y-1-aaaaaaaaaaaaa"]))
    );
    program.tell(lease("expire", 0, "fd00::1", "").trim());
    assert_eq!(program.next(), json!({"kind":"explanation","key":KEYS[0],"state":"absent"}));
    assert_eq!(program.end(), 0);
    let input = lease("list", 0, "fd00::1", r#","hostname":"x-1""#) + CHECKPOINT;
    let output = table(&[&args[..], &["--table"]].concat(), &input);
    let mut lines = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap()[..4], ["CLIENT", "ADDRESS", "HOSTNAME", "RULE"]);
    let row = ["aaaaaaaaaaaaa", "fd00::1", "x-1", "1", "none", "-", "hostname", "x-*"];
    assert_eq!(lines.next().unwrap(), row);
}

/// What is printed for people.
fn table(args: &[&str], input: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(PATH).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn rules_that_are_wrong_are_told_all_at_once() {
    let rules = file(
        "wrong-rules.json",
        r#"[{"match":{"hostnme":"x"},"template":"none"},{"match":{"duid":"x"},"template":"no.json"}]"#,
    );
    let done = run(PATH, &["--rules", &rules], &lease("list", 0, "fd00::1", ""));
    assert_eq!((done.status, done.records.len()), (65, 0));
    for part in
        ["rule 1: field \"match.hostnme\"", "rule 2: field \"match.duid\": \"x\"", "no.json"]
    {
        assert!(done.told.contains(part), "{part}: {}", done.told);
    }
    assert_eq!(run(PATH, &["--rules", "/nonexistent.json"], "").status, 64);
    assert_eq!(run(PATH, &[], "").status, 64);
}

/// A lease of the client with this number, whose key follows from it.
fn numbered(event: &str, number: usize, address: &str) -> String {
    let letter = |digit: usize| char::from(b'a' + (digit % 26) as u8);
    let key: String = "k".repeat(10)
        + &[number / 676, number / 26, number].map(letter).iter().collect::<String>();
    lease(event, 0, address, "").replace(KEYS[0], &key)
}

#[test]
fn who_is_over_a_cap_is_told_and_waits() {
    let template = template("lease-cap-1.json");
    let flood: String = (0..60).map(|n| numbered("list", n, &format!("fd00::{n:x}"))).collect();
    let input = flood.clone() + CHECKPOINT;
    let args = ["--template", &template, "--max-clients", "10"];
    let done = run(PATH, &args, &input);
    assert_eq!((done.status, done.at("/id").len()), (1, 10));
    assert_eq!(done.told.matches("over --max-clients 10; it waits").count(), 20, "{}", done.told);
    assert!(done.told.contains("30 more clients are over a cap"), "{}", done.told);
    assert_eq!(done.records[10]["count"], 10);
    let ids = done.at("/id");
    let other = (0..8).map(|_| run(PATH, &args, &input).at("/id")).find(|other| *other != ids);
    assert!(other.is_some(), "who gets a place is drawn");
    let done = run(PATH, &[&args[..], &["--explain"]].concat(), &input);
    assert_eq!(done.at("/cap").len(), 50);
    assert_eq!(done.at("/cap")[0], "--max-clients 10");
    let spread = (0..6).map(|n| numbered("list", n, &format!("fd00:0:0:{}::{n}", n % 2)));
    let input = spread.collect::<String>() + CHECKPOINT;
    let done = run(PATH, &["--template", &template, "--max-per-prefix", "2"], &input);
    assert_eq!(done.at("/id").len(), 4);
    let done = run(PATH, &["--template", &template, "--max-per-prefix", "2/48"], &input);
    assert_eq!(done.at("/id").len(), 2);
}

#[test]
fn who_has_a_container_keeps_it_across_a_restart() {
    let template = template("lease-cap-2.json");
    let flood: String = (0..60).map(|n| numbered("list", n, &format!("fd00::{n:x}"))).collect();
    let there: String = [7, 31]
        .map(|n| {
            let key =
                numbered("list", n, "fd00::").split("\"key\":\"").nth(1).unwrap()[..13].to_owned();
            let lease = json!({"key": key, "address": format!("fd00::{n:x}")});
            json!({"id": format!("web-{key}"), "image": "busybox", "owner": "edge", "lease": lease})
                .to_string()
                + "\n"
        })
        .concat();
    let current = file("cap-current.json", &there);
    let args =
        ["--template", &template, "--owner", "edge", "--max-clients", "3", "--current", &current];
    for _ in 0..4 {
        let done = run(PATH, &args, &(flood.clone() + CHECKPOINT));
        let ids = done.at("/id");
        assert_eq!(ids.len(), 3);
        for kept in there.lines() {
            let kept: serde_json::Value = serde_json::from_str(kept).unwrap();
            assert!(ids.contains(&kept["id"].as_str().unwrap().to_owned()), "{ids:?}");
        }
    }
    // A lowered cap takes nothing from who has it, and gives nothing to others.
    let lower = args.map(|arg| if arg == "3" { "1" } else { arg });
    assert_eq!(run(PATH, &lower, &(flood.clone() + CHECKPOINT)).at("/id").len(), 2);
    // Those of another owner, and those who are gone by a whole listing, hold no place.
    let foreign = args.map(|arg| if arg == "edge" { "other" } else { arg });
    assert_eq!(run(PATH, &foreign, &(flood.clone() + CHECKPOINT)).at("/id").len(), 3);
    let few = numbered("list", 1, "fd00::1") + &numbered("list", 2, "fd00::2");
    let partial = CHECKPOINT.replace("true", "true,\"partial\":true");
    assert_eq!(run(PATH, &lower, &(few.clone() + &partial)).at("/id").len(), 0);
    assert_eq!(run(PATH, &lower, &(few + CHECKPOINT)).at("/id").len(), 1);
    let cut = file("cap-cut.json", "{\"id\":\"web\"");
    let bad = args.map(|arg| if arg == current { &cut } else { arg });
    assert_eq!(run(PATH, &bad, &flood).status, 65);
    assert_eq!(run(PATH, &["--template", &template, "--current", &current], "").status, 64);
}

#[test]
fn a_place_that_comes_free_goes_to_the_longest_waiting() {
    let template = template("lease-cap-3.json");
    let mut program = Running::start(PATH, &["--template", &template, "--max-clients", "1"]);
    program.tell(CHECKPOINT.trim());
    assert_eq!(program.next()["kind"], "checkpoint");
    // The last to come has the lowest key and address.
    program.tell(lease("add", 2, "fd00::3", "").trim());
    assert_eq!(program.next()["id"], "web-ccccccccccccc");
    program.tell(lease("add", 1, "fd00::2", "").trim());
    program.tell(lease("add", 0, "fd00::1", "").trim());
    program.tell(lease("release", 2, "fd00::3", "").trim());
    let (gone, next) = (program.next(), program.next());
    assert_eq!((&gone["id"], &gone["state"]), (&json!("web-ccccccccccccc"), &json!("absent")));
    assert_eq!(next["id"], "web-bbbbbbbbbbbbb");
    // A listing that has lost its holder frees the place as well.
    program.tell(lease("list", 0, "fd00::1", "").trim());
    program.tell(CHECKPOINT.trim());
    let told: Vec<_> = std::iter::repeat_with(|| program.next())
        .take_while(|record| record["kind"] != "checkpoint" || record["partial"] == true)
        .collect();
    assert_eq!(told.last().unwrap()["id"], "web-aaaaaaaaaaaaa", "{told:?}");
    assert_eq!(program.end(), 1, "somebody had to wait");
}

#[test]
fn one_source_that_may_lack_something_leaves_the_listing_partial() {
    let template = template("lease-multi.json");
    let b = |text: &str| text.replace("dnsmasq:x", "kea:y");
    let partial = |text: &str| text.replace("true", "true,\"partial\":true");
    let (of_a, of_b) = (lease("list", 0, "fd00::1", ""), b(&lease("list", 1, "fd00::2", "")));
    let both = format!("{of_a}{of_b}");
    // The first checkpoint waits for both sources.
    let done = run(PATH, &["--template", &template], &(both.clone() + CHECKPOINT));
    assert_eq!(done.at("/of"), [""; 0]);
    let input =
        [&both, CHECKPOINT, &partial(&b(CHECKPOINT)), &of_a, CHECKPOINT, &of_b, &b(CHECKPOINT)];
    let done = run(PATH, &["--template", &template], &input.concat());
    let (a, b) = ("web-aaaaaaaaaaaaa", "web-bbbbbbbbbbbbb");
    let told = words(&done.records);
    assert_eq!(told, [a, b, "partial", a, b, "partial", a, b, "checkpoint"]);
}

#[test]
fn a_line_that_cannot_be_read_ends_nobody() {
    let template = template("lease-bad.json");
    let (a, b) = (lease("list", 0, "fd00::1", ""), lease("list", 1, "fd00::2", ""));
    let broken = b.replace("fd00::2", "fd00::zz");
    let input = [&a, &b, CHECKPOINT, &a, &broken, CHECKPOINT, &a, CHECKPOINT].concat();
    let done = run(PATH, &["--template", &template], &input);
    assert_eq!(done.status, 1);
    let (a, b) = ("web-aaaaaaaaaaaaa", "web-bbbbbbbbbbbbb");
    let told = words(&done.records);
    assert_eq!(told, [a, b, "checkpoint", a, b, "partial", a, "checkpoint"]);
}

#[test]
fn what_kea_has_delegated_reaches_the_container_of_its_client() {
    // An address and a prefix under two IAIDs, and a client with a prefix alone.
    let leases = file(
        "lease-kea.csv",
        "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n\
         fd4c::1001,00:03:00:01:e2:7c:ea:c6:f5:51,60,4102444800,1,40,0,2,128,0,0,alpha.,,0,,1,2\n\
         fd4c:0:100::,00:03:00:01:e2:7c:ea:c6:f5:51,60,4102444800,1,40,2,3,56,0,0,,,0,,1,2\n\
         fd4c:0:200::,00:03:00:01:e2:7c:ea:c6:f5:52,60,4102444800,1,40,2,3,56,0,0,,,0,,1,2\n",
    );
    let watch = std::process::Command::new(env!("CARGO_BIN_EXE_lease-watch"))
        .args(["--source", &format!("kea:{leases}")])
        .output()
        .unwrap();
    let input = String::from_utf8(watch.stdout).unwrap();
    let template = file("lease-pd-3.json", OWN);
    let done = run(PATH, &["--template", &template], &input);
    let mut nets = done.at("/env/0");
    nets.sort();
    assert_eq!(nets, ["NET=fd4c:0:100:ff::/64", "NET=fd4c:0:200:ff::/64"], "{input}");
    assert_eq!(done.at("/of"), ["container"]);
    assert_eq!(done.at("/partial"), [""; 0]);
}
