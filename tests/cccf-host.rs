//! cccf-host as its users see it.

mod program;

use program::{Running, file, run};

const PATH: &str = env!("CARGO_BIN_EXE_cccf-host");

const HOSTS: &str = r#"[
  {"kind": "host", "id": "a", "url": "unix:///run/a.sock", "used": {"containers": 1}},
  {"kind": "host", "id": "b", "url": "unix:///run/b.sock"},
  {"kind": "host", "id": "c", "url": "unix:///run/c.sock", "state": "drain"}
]"#;

fn add(id: &str) -> String {
    format!(r#"{{"kind":"change","action":"add","container":{{"id":"{id}","image":"i"}}}}"#) + "\n"
}

#[test]
fn without_a_file_there_is_one_local_host() {
    let done = run(PATH, &[], &add("x"));
    assert_eq!(done.at("/container/host/id"), ["local"]);
    assert_eq!(done.at("/container/host/url"), ["unix:///var/run/docker.sock"]);
    assert_eq!(done.status, 0);
}

#[test]
fn the_least_busy_host_is_taken_and_what_is_there_stays() {
    let hosts = file("host-hosts.json", HOSTS);
    let keep =
        r#"{"kind":"change","action":"keep","container":{"id":"k","image":"i","host":{"id":"b"}}}"#;
    let remove = r#"{"kind":"change","action":"remove","container":{"id":"k","image":"i","host":{"id":"b"}}}"#;
    let input = format!("{keep}\n{}{}{}{remove}\n{}", add("1"), add("2"), add("3"), add("4"));
    let done = run(PATH, &["--hosts", &hosts], &input);
    assert_eq!(done.at("/container/host/id"), ["b", "a", "b", "a", "b", "b"]);
    assert!(done.at("/container/host/url").iter().all(|url| url.starts_with("unix:///run/")));
}

#[test]
fn a_host_that_is_not_in_the_list_fails_its_record_alone() {
    let hosts = file("host-hosts-2.json", HOSTS);
    let input = format!("{}{}", r#"{"id":"x","image":"i","host":{"id":"zz"}}"#, "\n") + &add("y");
    let done = run(PATH, &["--hosts", &hosts], &input);
    assert_eq!(done.at("/status"), ["failed"]);
    assert_eq!(done.at("/error_kind"), ["not_found"]);
    assert_eq!(done.at("/container/host/id"), ["b"]);
    assert!(done.told.contains("cccf-host: x: host \"zz\" is not in the list; known are a, b, c"));
    assert_eq!(done.status, 1);
}

#[test]
fn a_list_of_hosts_with_a_bad_one_is_refused_whole() {
    for bad in ["", "[]", r#"[{"kind":"host","id":"a"}]"#, r#"{"id":"a","image":"b"}"#, "{"] {
        let hosts = file("host-bad.json", bad);
        let done = run(PATH, &["--hosts", &hosts], &add("x"));
        assert_eq!((done.status, done.records.len()), (65, 0), "{bad}");
    }
    let done = run(PATH, &["--hosts", "/nonexistent/hosts.json"], "");
    assert_eq!(done.status, 64);
}

#[test]
fn what_failed_before_is_left_alone() {
    let failed = r#"{"kind":"change","action":"add","container":{"id":"x","image":"i"},"status":"failed","error":"no","note":[1]}"#;
    let done = run(PATH, &[], failed);
    assert_eq!(serde_json::to_string(&done.records[0]).unwrap(), failed);
    assert_eq!(done.status, 0);
}

/// A file of hosts, one for each text of fields.
fn hosts(name: &str, fields: &[&str]) -> String {
    let host = |fields: &&str| {
        let id = fields.split('"').nth(3).unwrap();
        format!(r#"{{"kind":"host","url":"unix:///run/{id}.sock",{fields}}}"#) + "\n"
    };
    file(name, &fields.iter().map(host).collect::<String>())
}

fn container(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","image":"i"{more}}}"#) + "\n"
}

fn change(action: &str, id: &str, more: &str) -> String {
    let container = format!(r#"{{"id":"{id}","image":"i"{more}}}"#);
    format!(r#"{{"kind":"change","action":"{action}","container":{container}}}"#) + "\n"
}

const CHECKPOINT: &str = "{\"kind\":\"checkpoint\",\"of\":\"change\",\"count\":1}\n";

#[test]
fn resources_are_hard_limits_and_the_reason_is_summed_up() {
    let hosts = hosts(
        "host-limits.json",
        &[
            r#""id":"a","labels":{"zone":"eu"},"capacity":{"cpus":2,"memory":"1g"}"#,
            r#""id":"b","labels":{"zone":"us"},"capacity":{"cpus":8,"memory":"8g","gpus":1}"#,
            r#""id":"c","labels":{"zone":"eu"},"state":"drain""#,
        ],
    );
    let input = container("1", r#","cpus":2,"requires":{"constraints":["zone=eu"]}"#)
        + &container("2", r#","cpus":0.5,"requires":{"constraints":["zone=eu"]}"#)
        + &container("3", r#","gpus":1"#)
        + &container("4", r#","gpus":1"#)
        + &container("5", r#","requires":{"resources":{"fpga":1}}"#)
        + &container("6", r#","memory":"9g","requires":{"resources":{"memory":"7g"}}"#);
    let done = run(PATH, &["--hosts", &hosts], &input);
    let host = |at: usize| done.records[at].pointer("/host/id").map(|id| id.as_str().unwrap());
    assert_eq!(
        (0..6).map(host).collect::<Vec<_>>(),
        [Some("a"), None, Some("b"), None, None, Some("b")]
    );
    assert_eq!(done.at("/error_kind"), ["unavailable"; 3]);
    assert_eq!(
        done.at("/error"),
        [
            "no host fits: 1 drains, 1 is not zone=eu, 1 lacks cpus",
            "no host fits: 2 lack gpus, 1 drains",
            "no host fits: 2 lack fpga, 1 drains",
        ]
    );
    assert_eq!(done.status, 1);
}

#[test]
fn each_strategy_decides_in_its_own_way() {
    let hosts = hosts(
        "host-strategies.json",
        &[
            r#""id":"a","capacity":{"cpus":4}"#,
            r#""id":"b","capacity":{"cpus":8}"#,
            r#""id":"c","capacity":{"cpus":8},"used":{"containers":1,"resources":{"cpus":1}}"#,
        ],
    );
    let place = |strategy: &str, more: &[&str]| -> String {
        let input: String = (0..6).map(|n| container(&n.to_string(), r#","cpus":1"#)).collect();
        let args = [&["--hosts", &hosts, "--strategy", strategy], more].concat();
        let done = run(PATH, &args, &input);
        assert_eq!(done.at("/id"), ["0", "1", "2", "3", "4", "5"]);
        done.at("/host/id").concat()
    };
    assert_eq!(place("least-busy", &[]), "ababca");
    assert_eq!(place("spread", &[]), "abbcab");
    assert_eq!(place("round-robin", &[]), "abcabc");
    assert_eq!(place("binpack", &[]), "cccccc");
    assert_eq!(place("fixed", &[]), "");
    let random = place("random", &["--seed", "7"]);
    assert_eq!(random.len(), 6);
    assert_eq!(random, place("random", &["--seed", "7"]));
    let others: Vec<String> =
        ["1", "2", "3", "4"].iter().map(|seed| place("random", &["--seed", seed])).collect();
    assert!(others.iter().any(|other| *other != random), "{others:?}");
}

#[test]
fn spread_evens_out_what_is_used_of_each_host() {
    let hosts = hosts(
        "host-spread.json",
        &[r#""id":"small","capacity":{"cpus":2}"#, r#""id":"large","capacity":{"cpus":6}"#],
    );
    let input: String = (0..8).map(|n| container(&n.to_string(), r#","cpus":1"#)).collect();
    let done = run(PATH, &["--hosts", &hosts, "--strategy", "spread"], &input);
    let at = done.at("/host/id");
    assert_eq!(at.iter().filter(|id| *id == "small").count(), 2);
    assert_eq!(at[..4].iter().filter(|id| *id == "small").count(), 1, "{at:?}");
}

#[test]
fn ports_of_a_host_are_given_once() {
    let hosts = hosts(
        "host-ports.json",
        &[r#""id":"a""#, r#""id":"b","used":{"containers":9,"ports":["53/udp"]}"#],
    );
    let input = container("1", r#","ports":["192.0.2.1:80:80"]"#)
        + &container("2", r#","ports":["80:8080"]"#)
        + &container("3", r#","ports":["192.0.2.2:80:80","0:80"]"#)
        + &container("4", r#","ports":["53:53/udp"]"#)
        + &container("5", r#","ports":["53:53/udp"]"#);
    let done = run(PATH, &["--hosts", &hosts], &input);
    assert_eq!(done.at("/host/id"), ["a", "b", "a", "a"]);
    assert_eq!(done.at("/error"), ["no host fits: 2 have port 53/udp taken"]);
}

#[test]
fn containers_are_placed_by_their_neighbours() {
    let hosts = hosts("host-neighbours.json", &[r#""id":"a""#, r#""id":"b""#, r#""id":"c""#]);
    let requires = |text: &str| format!(r#","requires":{{{text}}}"#);
    let input = container("follower", &requires(r#""affinity":["container=leader"]"#))
        + &container("leader", &requires(r#""affinity":["host=c"]"#))
        + &container("db", r#","labels":{"app":"db"}"#)
        + &container("loner", &requires(r#""anti_affinity":["label=app=db","host=b"]"#))
        + &container("db2", r#","labels":{"app":"db"}"#)
        + &container("fan", &requires(r#""affinity":["~label=app"]"#))
        + &container("lost", &requires(r#""affinity":["container=nobody"]"#));
    let done = run(PATH, &["--hosts", &hosts], &input);
    let at = |id: &str| {
        let record = done.records.iter().find(|record| record["id"] == id).unwrap();
        record.pointer("/host/id").map_or("-", |id| id.as_str().unwrap())
    };
    assert_eq!((at("leader"), at("follower")), ("c", "c"));
    assert_ne!(at("loner"), at("db"));
    assert_ne!(at("loner"), "b");
    assert_ne!(at("db2"), at("loner"), "who refuses company is left alone");
    assert!(at("fan") == at("db") || at("fan") == at("db2"));
    assert_eq!(at("lost"), "-");
    assert_eq!(done.at("/error"), ["no host fits: 3 are without container nobody"]);
}

#[test]
fn a_group_is_spread_over_zones() {
    let hosts = hosts(
        "host-zones.json",
        &[
            r#""id":"a1","labels":{"zone":"a"}"#,
            r#""id":"a2","labels":{"zone":"a"}"#,
            r#""id":"a3","labels":{"zone":"a"}"#,
            r#""id":"b1","labels":{"zone":"b"},"capacity":{"containers":2}"#,
        ],
    );
    let more = r#","scaled_from":"web","requires":{"spread":"zone"}"#;
    let input = container("web", r#","requires":{"spread":"zone"}"#)
        + &(1..6).map(|n| container(&format!("web-{n}"), more)).collect::<String>();
    for strategy in ["least-busy", "spread", "binpack", "round-robin", "random"] {
        let done = run(PATH, &["--hosts", &hosts, "--strategy", strategy], &input);
        let at = done.at("/host/id");
        let b = at.iter().filter(|id| *id == "b1").count();
        assert_eq!((at.len(), b), (6, 2), "{strategy} {at:?}");
        assert_eq!(at[..4].iter().filter(|id| *id == "b1").count(), 2, "{strategy} {at:?}");
    }
}

#[test]
fn what_was_on_a_host_that_is_down_is_placed_anew_and_a_host_that_drains_is_left() {
    let hosts = hosts(
        "host-states.json",
        &[r#""id":"a","state":"down""#, r#""id":"b","state":"drain""#, r#""id":"c""#],
    );
    let there = |host: &str| {
        let docker = "1".repeat(64);
        format!(r#","host":{{"id":"{host}"}},"state":"running","docker":{{"id":"{docker}"}}"#)
    };
    let replace = change("replace", "r", &there("b"))
        .replace("}}}\n", &format!(r#"}}}},"current":{{"id":"r","image":"j"{}}}}}"#, there("b")))
        + "\n";
    let input = change("remove", "x", &there("a"))
        + &change("keep", "1", &there("a"))
        + &change("keep", "2", &there("b"))
        + &change("keep", "3", &there("c"))
        + &replace
        + &change("add", "4", "")
        + CHECKPOINT;
    let done = run(PATH, &["--hosts", &hosts], &input);
    let of = |id: &str| {
        let mut found = done.records.iter().filter(|record| record["container"]["id"] == id);
        (found.next().unwrap().clone(), found.next()).0
    };
    let (one, two, three) = (of("1"), of("2"), of("3"));
    assert_eq!((&one["action"], &one["container"]["host"]["id"]), (&"add".into(), &"c".into()));
    assert!(one["container"].get("docker").is_none() && one.get("current").is_none());
    assert_eq!((&two["action"], &two["container"]["host"]["id"]), (&"replace".into(), &"c".into()));
    assert_eq!(two["current"]["host"]["id"], "b");
    assert!(two["current"].get("docker").is_some() && two["container"].get("state").is_none());
    assert_eq!(two["why"], serde_json::json!([{"field": "host", "from": "b", "to": "c"}]));
    assert_eq!(
        (&three["action"], &three["container"]["host"]["id"]),
        (&"keep".into(), &"c".into())
    );
    let replaced = of("r");
    assert_eq!(replaced["container"]["host"]["id"], "c");
    assert_eq!(
        (&replaced["current"]["image"], &replaced["current"]["host"]["id"]),
        (&"j".into(), &"b".into())
    );
    assert_eq!(of("x")["container"]["host"]["id"], "a");
    assert_eq!(done.records.last().unwrap()["kind"], "checkpoint");
    assert_eq!((done.records.len(), done.status), (7, 0), "{}", done.told);
}

#[test]
fn what_cannot_leave_a_host_that_drains_stays_and_is_told() {
    let hosts = hosts(
        "host-stuck.json",
        &[r#""id":"a","state":"drain""#, r#""id":"b","capacity":{"memory":10}"#],
    );
    let keep = change("keep", "1", r#","memory":"1g","host":{"id":"a"},"state":"running""#);
    let done = run(PATH, &["--hosts", &hosts], &keep);
    assert_eq!((done.at("/action"), done.at("/status")), (vec!["keep".to_owned()], vec![]));
    assert_eq!(done.at("/container/host/id"), ["a"]);
    assert!(
        done.told.contains("1: it cannot leave host \"a\": no host fits: 1 drains, 1 lacks memory"),
        "{}",
        done.told
    );
    assert_eq!(done.status, 1);
}

#[test]
fn a_container_that_has_grown_out_of_its_host_moves() {
    let hosts = hosts(
        "host-grown.json",
        &[
            r#""id":"a","capacity":{"memory":100},"used":{"containers":2,"resources":{"memory":80}}"#,
            r#""id":"b","capacity":{"memory":100}"#,
        ],
    );
    let replace = |id: &str, memory: u32| {
        let of = |memory: u32| {
            format!(r#"{{"id":"{id}","image":"i","memory":{memory},"host":{{"id":"a"}}}}"#)
        };
        format!(
            r#"{{"kind":"change","action":"replace","container":{},"current":{}}}"#,
            of(memory),
            of(40)
        ) + "\n"
    };
    let done = run(PATH, &["--hosts", &hosts], &(replace("1", 60) + &replace("2", 50)));
    assert_eq!(done.at("/container/host/id"), ["a", "b"]);
    assert_eq!(done.at("/current/host/id"), ["a", "a"]);
    assert_eq!(done.at("/why"), [r#"[{"field":"host","from":"a","to":"b"}]"#]);
}

#[test]
fn a_container_that_names_a_host_goes_there_or_nowhere() {
    let hosts = hosts(
        "host-named.json",
        &[r#""id":"a","capacity":{"containers":1}"#, r#""id":"b","state":"drain""#, r#""id":"c""#],
    );
    let named = |id: &str, host: &str| container(id, &format!(r#","host":{{"id":"{host}"}}"#));
    for strategy in ["least-busy", "fixed", "binpack"] {
        let input = named("1", "a") + &named("2", "a") + &named("3", "b");
        let done = run(PATH, &["--hosts", &hosts, "--strategy", strategy], &input);
        assert_eq!(done.at("/status"), ["failed", "failed"]);
        let wrong = done.at("/error");
        assert_eq!(wrong[0], "host \"a\", which it names, does not fit: it lacks containers");
        assert_eq!(wrong[1], "host \"b\", which it names, does not fit: it drains");
    }
}

#[test]
fn a_listing_that_is_packed_is_written_at_its_checkpoint_or_when_nothing_more_comes() {
    let hosts = hosts(
        "host-packed.json",
        &[r#""id":"a","capacity":{"cpus":2}"#, r#""id":"b","capacity":{"cpus":2}"#],
    );
    let mut running = Running::start(PATH, &["--hosts", &hosts, "--strategy", "binpack"]);
    running.tell(change("add", "1", r#","cpus":1"#).trim_end());
    running.tell(change("add", "2", r#","cpus":1"#).trim_end());
    let quiet: Vec<_> = (0..2).map(|_| running.next()).collect();
    assert_eq!(quiet[0]["container"]["host"]["id"], quiet[1]["container"]["host"]["id"]);
    running.tell(CHECKPOINT.trim_end());
    assert_eq!(running.next()["kind"], "checkpoint");
    running.tell(change("add", "3", r#","cpus":2"#).trim_end());
    let third = running.next();
    assert_ne!(third["container"]["host"]["id"], quiet[0]["container"]["host"]["id"]);
    running.tell(change("add", "4", r#","cpus":1"#).trim_end());
    assert_eq!(running.next()["status"], "failed");
    running.tell(change("remove", "1", r#","cpus":1,"host":{"id":"a"}"#).trim_end());
    running.next();
    running.tell(change("add", "4", r#","cpus":1"#).trim_end());
    assert_eq!(running.next()["container"]["host"]["id"], quiet[0]["container"]["host"]["id"]);
}

#[test]
fn how_a_container_is_written_makes_no_difference() {
    let fields = |(id, zone): (&str, &str)| {
        let capacity = r#""capacity":{"cpus":8,"memory":"16g","gpus":2}"#;
        format!(r#""id":"{id}",{capacity},"labels":{{"zone":"{zone}"}}"#)
    };
    let four = [("h1", "a"), ("h2", "b"), ("h3", "a"), ("h4", "b")].map(fields);
    let hosts = hosts("host-written.json", &four.each_ref().map(String::as_str));
    let more = [
        r#","cpus":0.5,"memory":"64m""#,
        r#","memory":"1g","cpus":null"#,
        r#","cpus":1,"requires":{"constraints":["zone=b"]}"#,
        r#","cpus":2,"requires":{"constraints":["zone=b"]}"#,
        r#","requires":{"resources":{"cpus":0.25,"memory":"2g"}},"cpus":4"#,
        r#","labels":{"app":"db"},"gpus":1"#,
        r#","labels":{"app":"web"},"requires":{"anti_affinity":["label=app=db"]}"#,
        r#","ports":["80:80"],"env":["A=1"]"#,
        r#","requires":{"group":"g","spread":"zone"}"#,
        r#","scaled_from":"c-1","requires":null"#,
        r#","cpus":9"#,
        r#","requires":{"affinity":["container=c-3"]}"#,
    ];
    let one = |at: usize| {
        let (id, more) = (format!("c-{at}"), more[at * 7 % more.len()]);
        if at.is_multiple_of(2) { container(&id, more) } else { change("add", &id, more) }
    };
    let plain: String = (0..60).map(one).collect();
    let blank = plain.replace("\"image\":", "\"image\" : ");
    assert_ne!(plain, blank);
    for strategy in ["spread", "binpack", "least-busy", "random", "round-robin", "fixed"] {
        let place = |input: &str| {
            let done = run(PATH, &["--hosts", &hosts, "--strategy", strategy], input);
            let of = |r: &serde_json::Value, field: &str| {
                let container = r.get("container").unwrap_or(r);
                container[field].to_string() + &r[field].to_string()
            };
            let told = |r| ["id", "host", "status", "error"].map(|field| of(r, field)).concat();
            (done.records.iter().map(told).collect::<Vec<_>>(), done.told, done.status)
        };
        let (records, told, status) = place(&plain);
        assert_eq!(records.len(), 60, "{strategy}: {told}");
        assert_eq!((records, told, status), place(&blank), "{strategy}");
    }
}

#[test]
fn moves_are_made_when_asked_for_and_no_more_than_allowed() {
    let hosts = hosts(
        "host-moves.json",
        &[r#""id":"a""#, r#""id":"b""#, r#""id":"c","labels":{"ssd":""}"#],
    );
    let there = r#","host":{"id":"a"},"state":"running""#;
    let mut input: String = (0..9).map(|n| change("keep", &n.to_string(), there)).collect();
    input += &change("keep", "picky", &format!(r#"{there},"requires":{{"constraints":["ssd"]}}"#));
    input += CHECKPOINT;
    let moved = |args: &[&str]| -> Vec<String> {
        let done = run(PATH, &[&["--hosts", &hosts], args].concat(), &input);
        assert_eq!((done.records.len(), done.status), (11, 0), "{}", done.told);
        let moves = done.records.iter().filter(|record| record["action"] == "replace");
        moves.map(|r| format!("{}{}", r["container"]["id"], r["container"]["host"]["id"])).collect()
    };
    assert_eq!(moved(&[]), [""; 0]);
    assert_eq!(moved(&["--rebalance", "--max-moves", "1"]), [r#""picky""c""#]);
    assert_eq!(moved(&["--rebalance", "--max-moves", "3"]).len(), 3);
    let all = moved(&["--rebalance", "--max-moves", "100"]);
    assert_eq!(all.len(), 6, "four stay where ten were: {all:?}");
}

#[test]
fn a_host_is_emptied_when_the_others_have_room() {
    let capacity = r#""capacity":{"cpus":4}"#;
    let hosts = hosts(
        "host-emptied.json",
        &[
            &format!(r#""id":"a",{capacity}"#),
            &format!(r#""id":"b",{capacity}"#),
            &format!(r#""id":"c",{capacity}"#),
        ],
    );
    let keep = |id: &str, host: &str| {
        change("keep", id, &format!(r#","cpus":1,"host":{{"id":"{host}"}}"#))
    };
    let input = keep("1", "a")
        + &keep("2", "b")
        + &keep("3", "b")
        + &keep("4", "c")
        + &keep("5", "c")
        + &keep("6", "c")
        + CHECKPOINT;
    let done = run(PATH, &["--hosts", &hosts, "--strategy", "binpack", "--rebalance"], &input);
    let moves = |record: &&serde_json::Value| record["action"] == "replace";
    let moved: Vec<_> =
        done.records.iter().filter(moves).map(|r| r["container"]["id"].clone()).collect();
    assert_eq!(moved, ["1"], "one from a to c; b has more than c has room for");
}

#[test]
fn each_decision_is_explained() {
    let hosts = hosts(
        "host-explained.json",
        &[
            r#""id":"a","labels":{"zone":"eu"},"capacity":{"memory":100}"#,
            r#""id":"b","labels":{"zone":"eu"},"used":{"containers":3}"#,
            r#""id":"c","state":"drain""#,
            r#""id":"d""#,
        ],
    );
    let input = change("add", "1", r#","memory":200,"requires":{"constraints":["zone=eu"]}"#)
        + &change("add", "2", r#","requires":{"constraints":["zone=as"]}"#)
        + &change("keep", "3", r#","host":{"id":"d"}"#)
        + &change("remove", "4", r#","host":{"id":"d"}"#)
        + CHECKPOINT;
    let done = run(PATH, &["--hosts", &hosts, "--explain"], &input);
    assert_eq!(done.at("/kind"), ["placement", "placement", "placement", "checkpoint"]);
    assert_eq!(done.at("/count")[0], "3");
    let one = &done.records[0];
    assert_eq!((&one["host"], &one["why"]), (&"b".into(), &"the only host that fits".into()));
    let passed = |record: &serde_json::Value| -> Vec<String> {
        let text = |p: &serde_json::Value| {
            format!("{} {} {}", p["count"], p["why"].as_str().unwrap(), p["hosts"])
        };
        record["passed_over"].as_array().unwrap().iter().map(text).collect()
    };
    assert_eq!(
        passed(one),
        [r#"1 lacks memory ["a"]"#, r#"1 drains ["c"]"#, r#"1 is not zone=eu ["d"]"#]
    );
    assert!(
        done.records[1]["error"].as_str().unwrap().starts_with("no host fits: 3 are not zone=as")
    );
    assert!(done.records[1].get("host").is_none());
    assert_eq!(done.records[2]["why"], "it is there");
    assert_eq!(done.status, 1);
    let table = std::process::Command::new(PATH)
        .args(["--hosts", &hosts, "--explain", "--table"])
        .stdin(std::fs::File::open(file("host-explained.in", &input)).unwrap())
        .output()
        .unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["CONTAINER", "ACTION", "HOST", "WHY", "OTHERS"]);
    assert!(table.contains("1 lacks memory, 1 drains, 1 is not zone=eu"), "{table}");
}

/// What is asked of the hosts and what came out, counted again from the records alone.
mod recount {
    use std::collections::HashMap;

    use serde_json::Value;

    fn amount(of: &Value, name: &str) -> u64 {
        of.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    fn list<'a>(of: &'a Value, pointer: &str) -> Vec<&'a str> {
        let list = of.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether a port `[address:]host:container` meets another on the same host.
    fn clash(one: &str, other: &str) -> bool {
        let parts = |port: &'_ str| {
            let (transport, port) = (port.ends_with("/udp"), port.trim_end_matches("/udp"));
            let mut words: Vec<String> = port.split(':').map(str::to_owned).collect();
            words.pop();
            let number = words.pop().unwrap();
            (transport, number, words.pop().unwrap_or_else(|| "0.0.0.0".to_owned()))
        };
        let ((udp, number, address), (other_udp, other_number, other_address)) =
            (parts(one), parts(other));
        let wild = |address: &str| address == "0.0.0.0";
        udp == other_udp
            && number == other_number
            && number != "0"
            && (wild(&address) || wild(&other_address) || address == other_address)
    }

    fn meets(host: &Value, constraint: &str) -> bool {
        let label = |name: &str| host["labels"].get(name).and_then(Value::as_str);
        match constraint.split_once("!=") {
            Some((name, value)) => label(name) != Some(value),
            None => match constraint.split_once('=') {
                Some((name, value)) => label(name) == Some(value),
                None => label(constraint).is_some(),
            },
        }
    }

    /// What speaks against one more container on a host that has these.
    pub fn against(host: &Value, there: &[&Value], one: &Value) -> Option<String> {
        if host.get("state").is_some_and(|state| state != "active") {
            return Some("state".to_owned());
        }
        let mut all = there.to_vec();
        all.push(one);
        for name in ["cpus", "memory", "containers", "fpga"] {
            let needs = |of: &&Value| match name {
                "containers" => 1,
                "fpga" => amount(&of["requires"]["resources"], name),
                name => amount(of, name),
            };
            let sum: u64 = all.iter().map(needs).sum();
            let capacity = host["capacity"].get(name).and_then(Value::as_u64);
            let capacity = capacity.unwrap_or(if name == "fpga" { 0 } else { u64::MAX });
            let needed = needs(&one) > 0;
            if needed && sum > capacity {
                return Some(format!("{name}: {sum} of {capacity}"));
            }
        }
        let unmet = list(one, "/requires/constraints").into_iter().find(|c| !meets(host, c));
        if let Some(unmet) = unmet {
            return Some(unmet.to_owned());
        }
        for other in there {
            for port in list(one, "/ports") {
                if list(other, "/ports").iter().any(|taken| clash(port, taken)) {
                    return Some(format!("port {port}"));
                }
            }
            if refuses(one, other) || refuses(other, one) {
                return Some(format!("beside {}", other["id"]));
            }
        }
        None
    }

    fn refuses(one: &Value, other: &Value) -> bool {
        list(one, "/requires/anti_affinity").iter().any(|peer| match peer.split_once('=') {
            Some(("container", id)) => other["id"] == id,
            Some(("label", label)) => {
                let (name, value) = label.split_once('=').unwrap();
                other["labels"].get(name).is_some_and(|own| own == value)
            }
            _ => false,
        })
    }

    /// Checks that no limit of any host is broken, and that what failed fits nowhere.
    pub fn check(hosts: &[Value], records: &[Value]) -> Result<(), String> {
        let mut there: HashMap<&str, Vec<&Value>> = HashMap::new();
        for record in records.iter().filter(|record| record.get("status").is_none()) {
            let id = record["host"]["id"].as_str().ok_or("a container without a host")?;
            there.entry(id).or_default().push(record);
        }
        let none = Vec::new();
        for host in hosts {
            let on = there.get(host["id"].as_str().unwrap()).unwrap_or(&none);
            for (at, one) in on.iter().enumerate() {
                let mut others = on.clone();
                others.remove(at);
                if let Some(why) = against(host, &others, one) {
                    return Err(format!("{} is on {}: {why}", one["id"], host["id"]));
                }
            }
            for failed in records.iter().filter(|record| record.get("status").is_some()) {
                if against(host, on, failed).is_none() {
                    return Err(format!("{} would fit {}", failed["id"], host["id"]));
                }
            }
        }
        Ok(())
    }
}

mod limits {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{PATH, file, recount, run};

    fn host() -> impl Strategy<Value = Value> {
        let amount = |most| prop_oneof![1 => Just(None), 4 => (0..most).prop_map(Some)];
        let label = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
        let state = prop_oneof![6 => Just("active"), 1 => Just("drain"), 1 => Just("down")];
        (amount(9u64), amount(9), amount(6), 0..3u64, label, state).prop_map(
            |(cpus, memory, containers, fpga, zone, state)| {
                let mut host =
                    json!({"kind": "host", "state": state, "capacity": {}, "labels": {}});
                for (name, has) in [("cpus", cpus), ("memory", memory), ("containers", containers)]
                {
                    if let Some(has) = has {
                        host["capacity"][name] = has.into();
                    }
                }
                if fpga > 0 {
                    host["capacity"]["fpga"] = fpga.into();
                }
                if let Some(zone) = zone {
                    host["labels"]["zone"] = zone.into();
                }
                host
            },
        )
    }

    fn container() -> impl Strategy<Value = Value> {
        let port = prop_oneof![
            Just("80:80"),
            Just("127.0.0.1:80:80"),
            Just("127.0.0.2:80:81"),
            Just("0:80"),
            Just("80:80/udp")
        ];
        let constraint = prop_oneof![Just("zone=a"), Just("zone!=a"), Just("zone")];
        let refused = prop_oneof![Just("label=app=x"), Just("label=app=y"), Just("container=c3")];
        let some = |of, most| prop::collection::vec(of, 0..most);
        (
            (1..4u64, 0..4u64, 0..5u64),
            some(port.boxed(), 2),
            some(constraint.boxed(), 2),
            some(refused.boxed(), 2),
            prop_oneof![Just(None), Just(Some("x")), Just(Some("y"))],
            any::<bool>(),
        )
            .prop_map(
                |((cpus, memory, fpga), ports, constraints, refused, app, spread)| {
                    let fpga = fpga.saturating_sub(3);
                    let mut container = json!({
                        "image": "i", "cpus": cpus, "memory": memory, "ports": ports,
                        "labels": {}, "requires": {
                            "resources": {"fpga": fpga}, "constraints": constraints,
                            "anti_affinity": refused,
                        },
                    });
                    if let Some(app) = app {
                        container["labels"]["app"] = app.into();
                    }
                    if spread {
                        container["requires"]["spread"] = "zone".into();
                        container["requires"]["group"] = "g".into();
                    }
                    container
                },
            )
    }

    fn lines(all: &mut [Value], prefix: &str) -> String {
        for (at, one) in all.iter_mut().enumerate() {
            one["id"] = format!("{prefix}{at}").into();
            if prefix == "h" {
                one["url"] = format!("unix:///{at}").into();
            }
        }
        all.iter().map(|one| format!("{one}\n")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 60,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_placement_breaks_a_hard_limit_and_the_same_input_has_the_same_answer(
            mut hosts in prop::collection::vec(host(), 1..7),
            mut containers in prop::collection::vec(container(), 1..25),
            seed in 0..1000u32,
        ) {
            let list = file(&format!("host-prop-{seed}.json"), &lines(&mut hosts, "h"));
            let input = lines(&mut containers, "c");
            for strategy in ["least-busy", "spread", "binpack", "random", "round-robin"] {
                let seed = seed.to_string();
                let args = ["--hosts", &list, "--strategy", strategy, "--seed", &seed];
                let done = run(PATH, &args, &input);
                prop_assert_eq!(done.records.len(), containers.len());
                let checked = recount::check(&hosts, &done.records);
                prop_assert!(checked.is_ok(), "{}: {}", strategy, checked.unwrap_err());
                prop_assert_eq!(done.records, run(PATH, &args, &input).records);
            }
            std::fs::remove_file(list).unwrap();
        }
    }
}

#[test]
fn what_belongs_together_goes_to_one_host() {
    let hosts = hosts(
        "host-together.json",
        &[
            r#""id":"a","capacity":{"containers":1}"#,
            r#""id":"b","capacity":{"containers":3}"#,
            r#""id":"c","capacity":{"containers":4}"#,
        ],
    );
    let with = |id: &str| format!(r#","requires":{{"affinity":["container={id}"]}}"#);
    let net = |name: &str| format!(r#","private_network":{{"name":"{name}","alias":"x"}}"#);
    let input = change("add", "w1", &net("one"))
        + &change("add", "w2", &net("two"))
        + &change("add", "d1", &net("one"))
        + &change("add", "d2", &net("two"))
        + &change("add", "x", &with("y"))
        + &change("add", "y", &with("x"))
        + &change("add", "z", &with("z2"))
        + &change("add", "z2", &with("z"))
        + CHECKPOINT;
    let done = run(PATH, &["--hosts", &hosts], &input);
    assert_eq!(done.at("/container/host/id"), ["b", "c", "b", "c", "c", "c"]);
    let pair = |of: &str| format!("it must be with {of}: no host fits: 3 lack containers");
    assert_eq!(done.at("/error"), [pair("z2"), pair("z")]);
    assert_eq!(done.status, 1);
    // Why it is there is told as if it were nowhere.
    let done = run(PATH, &["--hosts", &hosts, "--explain"], &change("add", "w1", &net("one")));
    let why = done.records[0].pointer("/passed_over/0/why").unwrap();
    assert_eq!(why, "fit, with as many containers or more");
}

#[test]
fn behind_the_first_checkpoint_the_list_is_as_it_is_then() {
    let list = |states: &[&str]| {
        let host = |(at, state): (usize, &&str)| {
            format!(r#"{{"kind":"host","id":"h{at}","url":"unix:///{at}","state":"{state}"}}"#)
                + "\n"
        };
        states.iter().enumerate().map(host).collect::<String>()
    };
    let hosts = file("host-changes.json", &list(&["active", "active"]));
    let put = |text: &str| {
        std::fs::rename(file("host-changes.new", text), &hosts).unwrap();
    };
    let mut program = Running::start(PATH, &["--hosts", &hosts]);
    let mut goes = |id: &str, more: &str| {
        program.tell(add(id).trim_end());
        if !more.is_empty() {
            program.tell(more);
        }
        let record = program.next();
        if !more.is_empty() {
            program.next();
        }
        record["container"]["host"]["id"].as_str().unwrap_or("none").to_owned()
    };
    let checkpoint = r#"{"kind":"checkpoint","of":"change","count":1}"#;
    assert_eq!(goes("1", checkpoint), "h0");
    put(&list(&["down", "active"]));
    assert_eq!(goes("1", ""), "h1", "what was on a host that is down goes elsewhere");
    assert_eq!(goes("2", ""), "h1");
    // What has been placed is known, now that the other is the least busy one.
    put(&list(&["active", "active"]));
    assert_eq!(
        [goes("3", ""), goes("4", ""), goes("5", "")],
        ["h0", "h0", "h0"].map(str::to_owned)
    );
    put("{");
    assert_eq!(goes("6", ""), "h1", "the list before holds");
    put(&list(&["drain", "drain", "active"]));
    assert_eq!(goes("7", ""), "h2", "a new host is one of them");
    assert_eq!(program.end(), 0);
}
