//! lease-watch and lease-bind on a control channel that does what a real one does not do on request.

mod played;
mod program;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use played::{Played, Say, configuration};
use program::{Done, Running, run};
use serde_json::{Value, json};

const WATCH: &str = env!("CARGO_BIN_EXE_lease-watch");
const BIND: &str = env!("CARGO_BIN_EXE_lease-bind");

fn watch(played: &Played, words: &[&str]) -> Done {
    let source = format!("kea-socket:{}", played.place);
    run(WATCH, &[&["--source", &source], words].concat(), "")
}

fn lease(number: u32) -> Value {
    json!({"ip-address": format!("fd00::{:x}:{:x}", number >> 16, number & 0xffff), "iaid": number,
        "duid": "00:03:00:01:02", "type": "IA_NA", "cltt": 4102444800u32, "valid-lft": 600, "state": 0})
}

/// A page of the leases from this number to 1200.
fn page(from: u32, limit: u64) -> Value {
    let leases: Vec<Value> = (from..=1200).take(limit as usize).map(lease).collect();
    let result = if leases.is_empty() { 3 } else { 0 };
    json!({"result": result, "arguments": {"count": leases.len(), "leases": leases}})
}

/// The number of the lease that a command asks for first; nothing when it is another command.
fn first(command: &Value) -> Option<u32> {
    let from = command["arguments"]["from"].as_str()?;
    let number = |from: &str| u32::from_str_radix(from.rsplit(':').next().unwrap(), 16).unwrap();
    Some(if from == "start" { 1 } else { number(from) + 1 })
}

/// Answers like Kea.
fn like_kea(command: &Value) -> Say {
    let limit = command["arguments"]["limit"].as_u64().unwrap_or_default();
    Say::Json(match first(command) {
        Some(from) => page(from, limit),
        None => configuration(&[]),
    })
}

#[test]
fn both_ways_to_a_server_lead_to_its_leases() {
    for played in [Played::on_socket("both", like_kea), Played::on_http(like_kea)] {
        let done = watch(&played, &[]);
        assert_eq!((done.status, &*done.told, done.records.len()), (0, "", 1201));
        assert_eq!(done.records[1200]["count"], 1200);
        assert_eq!(done.records[0]["source"], format!("kea-socket:{}", played.place));
    }
}

/// Its name, what is answered, the exit status, and what must be told.
type Failure = (&'static str, fn() -> Say, i32, &'static str);

/// What goes wrong in the middle of a listing.
fn failures() -> Vec<Failure> {
    vec![
        ("garbage", || Say::Bytes(b"\xff\0HTTP".to_vec()), 69, ""),
        ("half", || Say::Bytes(br#"{"result":0,"arguments":{"le"#.to_vec()), 69, ""),
        ("nothing", || Say::Bytes(Vec::new()), 69, ""),
        (
            "no",
            || Say::Json(json!({"result": 1, "text": "out of\n memory"})),
            69,
            "out of\\n memory",
        ),
        (
            "odd",
            || Say::Json(json!({"result": 0, "arguments": [7]})),
            69,
            "form of lease6-get-page",
        ),
        ("silent", || Say::Hang(Vec::new()), 75, "no answer within"),
        ("hanging", || Say::Hang(br#"{"result":0,"#.to_vec()), 75, "no answer within"),
        ("endless", || Say::Endless, 69, "longer than 64 MiB"),
    ]
}

#[test]
fn a_listing_that_breaks_off_is_none() {
    for (name, failure, status, words) in failures() {
        let answer = move |command: &Value| match first(command) {
            Some(from) if from > 1000 => failure(),
            _ => like_kea(command),
        };
        for played in [Played::on_socket(name, answer), Played::on_http(answer)] {
            let is_http = played.place.starts_with("http");
            if is_http && matches!(name, "hanging" | "half") {
                continue;
            }
            let began = Instant::now();
            let done = watch(&played, &["--timeout", "3s"]);
            assert!(began.elapsed().as_secs() < 15, "{name}");
            assert_eq!((done.records.len(), done.status), (0, status), "{name}: {}", done.told);
            assert_eq!(done.told.lines().count(), 1, "{name}: {}", done.told);
            assert!(done.told.contains(&played.place), "{name}: {}", done.told);
            assert!(done.told.contains("lease6-get-page"), "{name}: {}", done.told);
            assert!(done.told.contains(words), "{name}: {}", done.told);
        }
    }
}

#[test]
fn a_server_that_fails_now_and_then_ends_no_lease() {
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let played = Played::on_socket("flaky", move |command| {
        let mut count = counted.lock().unwrap();
        *count += usize::from(first(command).is_some());
        // The first listing is whole; then each third page is an error.
        match *count {
            count if count > 10 && count % 3 == 0 && first(command).is_some() => {
                Say::Json(json!({"result": 1, "text": "try later"}))
            }
            _ => like_kea(command),
        }
    });
    let source = format!("kea-socket:{}", played.place);
    let words = ["--source", &source, "--follow", "--poll", "10ms", "--resync", "none"];
    let mut follow = Running::start(WATCH, &words);
    let listing: Vec<Value> = (0..1201).map(|_| follow.next()).collect();
    assert_eq!(listing[1200]["kind"], "checkpoint");
    assert_eq!(follow.within(std::time::Duration::from_secs(3)), Vec::<Value>::new());
    assert!(*count.lock().unwrap() > 12);
}

#[test]
fn a_row_that_cannot_be_read_is_told_and_costs_no_other() {
    let played = Played::on_socket("row", |command| match first(command) {
        Some(1) => {
            let mut page = page(1, 3);
            page["arguments"]["leases"][1]["duid"] = "no".into();
            page["arguments"]["leases"][2]["hostname"] = "a\u{1b}[2J;b".into();
            Say::Json(page)
        }
        Some(_) => Say::Json(json!({"result": 3, "text": "0 found"})),
        None => like_kea(command),
    });
    let done = watch(&played, &[]);
    // What may be anybody's lease keeps the listing open.
    assert_eq!(done.at("/address"), ["fd00::1", "fd00::3"], "{}", done.told);
    assert!(done.at("/kind").iter().all(|kind| kind == "lease"));
    assert_eq!(done.status, 1, "{}", done.told);
    assert!(done.told.contains("no DUID in ") && !done.told.contains('\u{1b}'), "{}", done.told);
    assert!(done.told.contains("is none; lease served without it"), "{}", done.told);
}

#[test]
fn another_server_is_not_taken_for_an_empty_one() {
    let played = Played::on_socket("dhcp4", |command| {
        Say::Json(match first(command) {
            Some(_) => json!({"result": 3, "text": "0 IPv6 lease(s) found."}),
            None => json!({"result": 0, "arguments": {"Dhcp4": {}}}),
        })
    });
    let done = watch(&played, &[]);
    assert_eq!((done.status, done.records.len()), (69, 0), "{}", done.told);
    assert!(done.told.contains("not kea-dhcp6"), "{}", done.told);
}

/// A server with host commands; and what it keeps.
fn keeper(name: &str) -> (Played, Arc<Mutex<Vec<Value>>>) {
    let hosts = Arc::new(Mutex::new(Vec::<Value>::new()));
    let its = hosts.clone();
    let played = Played::on_socket(name, move |command| {
        let mut hosts = its.lock().unwrap();
        let arguments = &command["arguments"];
        let at = hosts.iter().position(|host| {
            (&host["subnet-id"], &host["duid"])
                == (&arguments["subnet-id"], &arguments["identifier"])
        });
        Say::Json(match (command["command"].as_str().unwrap(), at) {
            ("config-get", _) => configuration(&[(1, "2001:db8::/32"), (4, "2001:db8:1::/64")]),
            ("list-commands", _) => json!({"result": 0, "arguments": ["reservation-add",
                "reservation-del", "reservation-get", "reservation-get-page"]}),
            ("reservation-add", _) => {
                hosts.push(arguments["reservation"].clone());
                json!({"result": 0, "text": "Host added."})
            }
            ("reservation-get", Some(at)) => json!({"result": 0, "arguments": hosts[at]}),
            ("reservation-del", Some(at)) => {
                hosts.remove(at);
                json!({"result": 0, "text": "Host deleted."})
            }
            ("reservation-get-page", _) if arguments["from"] == 0 => {
                let next = json!({"from": 7, "source-index": 1});
                json!({"result": 0, "arguments": {"hosts": *hosts, "next": next}})
            }
            (_, _) => json!({"result": 3, "text": "Host not found."}),
        })
    });
    (played, hosts)
}

fn change(action: &str, name: &str, address: &str) -> Value {
    json!({"kind": "change", "action": action, "status": "done", "container": {
        "id": name, "image": "busybox", "owner": "edge",
        "lease": {"key": "v2jwgo55gdtxn", "address": "2001:db8::1"},
        "docker": {"id": "0123abc"},
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
            "duid": format!("00:04:{:02x}", name.len()), "iaid": 1,
            "addresses": [{"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
    }})
}

fn bind(played: &Played, name: &str, records: &[Value]) -> Done {
    let ledger = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kea-{name}.db"));
    let place = format!("kea:{}", played.place);
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    run(BIND, &["--ledger", ledger.to_str().unwrap(), "--reserve", &place], &input)
}

fn begin(name: &str) {
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}/kea-{name}.db{end}", env!("CARGO_TARGET_TMPDIR"));
        let _ = std::fs::remove_file(file);
    }
}

#[test]
fn an_address_is_reserved_moved_and_given_up() {
    begin("moved");
    let (played, hosts) = keeper("moved");
    let done = bind(&played, "moved", &[change("add", "web", "2001:db8:1::a")]);
    assert_eq!((done.status, &*done.told), (0, ""));
    assert_eq!(done.at("/kind"), ["binding"]);
    let mark = json!({"leasepipe": {"owner": "edge", "container": "web"}});
    let expected = json!([{"subnet-id": 4, "duid": "00:04:03", "ip-addresses": ["2001:db8:1::a"],
        "hostname": "web", "user-context": mark}]);
    assert_eq!(json!(*hosts.lock().unwrap()), expected);
    bind(&played, "moved", &[change("keep", "web", "2001:db8:1::a")]);
    assert_eq!(json!(*hosts.lock().unwrap()), expected);
    bind(&played, "moved", &[change("keep", "web", "2001:db8:2::b")]);
    let subnets = |hosts: &Arc<Mutex<Vec<Value>>>| -> Vec<Value> {
        hosts.lock().unwrap().iter().map(|host| host["subnet-id"].clone()).collect()
    };
    assert_eq!(subnets(&hosts), [1]);
    let done = bind(&played, "moved", &[change("remove", "web", "2001:db8:2::b")]);
    assert_eq!((done.status, &*done.told), (0, ""));
    assert_eq!(subnets(&hosts), [0; 0]);
}

#[test]
fn what_nobody_wants_any_more_goes_at_the_checkpoint_and_what_others_made_stays() {
    begin("left");
    let (played, hosts) = keeper("left");
    let add = |name: &str, address: &str| change("add", name, address);
    let records = [add("web", "2001:db8:1::a"), add("cache", "2001:db8:1::b")];
    assert_eq!(bind(&played, "left", &records).status, 0);
    let theirs = json!({"subnet-id": 4, "duid": "00:04:09", "ip-addresses": ["2001:db8:1::9"]});
    hosts.lock().unwrap().push(theirs.clone());
    // The ledger is lost; the reservations say whose they are.
    begin("left");
    let checkpoint = json!({"kind": "checkpoint", "of": "change", "count": 1, "owner": "edge"});
    let taken = add("web-front", "2001:db8:1::c");
    let done = bind(&played, "left", &[add("web", "2001:db8:1::a"), taken, checkpoint]);
    assert_eq!(done.at("/kind"), ["binding", "change", "checkpoint"], "{}", done.told);
    assert_eq!(done.at("/error_kind"), ["refused"], "{}", done.told);
    assert!(done.told.contains("has a reservation made by others"), "{}", done.told);
    let hosts = hosts.lock().unwrap();
    let containers: Vec<&Value> =
        hosts.iter().map(|host| &host["user-context"]["leasepipe"]["container"]).collect();
    assert_eq!(containers, [&json!("web"), &Value::Null]);
    assert_eq!(hosts[1], theirs);
}

#[test]
fn the_server_s_refusal_is_the_record_s_and_shows_no_secret() {
    begin("no");
    let played = Played::on_socket("no", |command| {
        Say::Json(match command["command"].as_str().unwrap() {
            "config-get" => configuration(&[(1, "2001:db8::/32")]),
            "list-commands" => json!({"result": 0, "arguments": ["reservation-add",
                "reservation-del", "reservation-get", "reservation-get-page", "reservation-update"]}),
            "reservation-add" => json!({"result": 1, "text": "Database duplicate entry error"}),
            _ => json!({"result": 3, "text": "nothing"}),
        })
    });
    let done = bind(&played, "no", &[change("add", "web", "2001:db8::a")]);
    assert_eq!((done.status, done.at("/status")), (1, vec!["failed".to_owned()]));
    assert!(done.told.contains("reservation-add: Database duplicate entry error"), "{}", done.told);
    assert!(!done.told.contains("s3cret"), "{}", done.told);
    let nowhere = bind(&played, "no", &[change("add", "web", "fd00::a")]);
    assert!(nowhere.told.contains("no subnet of the server has this address"), "{}", nowhere.told);
}
