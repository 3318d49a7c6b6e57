//! lease-bind as its users see it: records in, bindings out, a ledger and reservations beside it.

mod program;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use program::{Done, Running};
use rusqlite::Connection;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-bind");

/// A directory of the test's own with an empty directory for reservations.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lease-bind-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("reserved")).unwrap();
        Place(path)
    }

    fn args(&self) -> Vec<String> {
        let reserve = format!("dnsmasq:{}", self.0.join("reserved").display());
        let ledger = self.0.join("ledger.db").display().to_string();
        vec!["--ledger".into(), ledger, "--reserve".into(), reserve]
    }

    fn run(&self, records: &[Value]) -> Done {
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        let args = self.args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        program::run(PROGRAM, &args, &input)
    }

    fn ledger(&self) -> Connection {
        Connection::open(self.0.join("ledger.db")).unwrap()
    }

    /// `CONTAINER ADDRESS` of what is open.
    fn open(&self) -> Vec<String> {
        self.query(
            "SELECT container_name || ' ' || container_address FROM current_bindings ORDER BY 1",
        )
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let ledger = self.ledger();
        let mut query = ledger.prepare(sql).unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// `FILE LINE` of every reservation that gives an address.
    fn reserved(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.files() {
            let text = fs::read_to_string(self.0.join("reserved").join(&name)).unwrap();
            let given = text.lines().filter(|line| line.contains('['));
            lines.extend(given.map(|line| format!("{name} {line}")));
        }
        lines
    }

    /// The files that dnsmasq reads.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("reserved")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }
}

fn container(name: &str, address: &str) -> Value {
    json!({
        "id": name, "image": "busybox", "owner": "edge", "note": {"x": 1},
        "host": {"id": "local", "url": "unix:///var/run/docker.sock"},
        "lease": {"key": "v2jwgo55gdtxn", "address": "2001:db8::1", "duid": "00:03:00:01:aa",
                  "iaid": 1, "hostname": "alpha"},
        "docker": {"id": "0123abc"},
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
                        "duid": "00:04:01:02", "iaid": 1, "addresses": [
            {"address": "2001:db8:1::5", "prefix_len": 64, "origin": "static"},
            {"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
        "status": "done",
    })
}

fn change(action: &str, name: &str, address: &str) -> Value {
    json!({"kind": "change", "action": action, "container": container(name, address), "status": "done"})
}

fn checkpoint(owner: &str) -> Value {
    json!({"kind": "checkpoint", "of": "change", "count": 1, "owner": owner})
}

fn words(done: &Done) -> Vec<String> {
    let word = |record: &Value| {
        let text = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
        let until = if record.get("until").is_some() { " until" } else { "" };
        format!("{} {} {}{until}", text("kind"), text("container"), text("address"))
    };
    done.records.iter().map(word).collect()
}

#[test]
fn an_address_is_bound_reserved_and_told() {
    let place = Place::new("bound");
    let done = place.run(&[change("add", "web-1", "2001:db8:1::a"), checkpoint("edge")]);
    assert_eq!((done.status, &*done.told), (0, ""));
    let binding = &done.records[0];
    assert_eq!(binding["kind"], "binding");
    assert_eq!(binding["lease"]["hostname"], "alpha");
    assert_eq!(binding["duid"], "00:04:01:02");
    assert_eq!(binding["mac"], "02:00:00:00:00:01");
    assert_eq!(binding["owner"], "edge");
    assert!(binding.get("until").is_none());
    assert_eq!(done.records[1], checkpoint("edge"));
    assert_eq!(place.open(), ["web-1 2001:db8:1::a"]);
    assert_eq!(place.reserved(), ["edge@web-1 id:00:04:01:02,[2001:db8:1::a],web-1"]);
    let row = "SELECT json_object('client', client_address, 'key', client_key, 'duid', client_duid,
               'name', client_hostname, 'docker', container_docker_id, 'host', container_host,
               'since', bound_since) FROM bindings";
    let row: Value = serde_json::from_str(&place.query(row)[0]).unwrap();
    assert_eq!(row["client"], "2001:db8::1");
    assert_eq!(row["docker"], "0123abc");
    assert_eq!(row["since"].as_str().unwrap().len(), "2026-11-21T06:24:40.060Z".len());
}

#[test]
fn running_it_again_changes_nothing_more() {
    let place = Place::new("again");
    let first = place.run(&[change("add", "a", "2001:db8:1::a"), checkpoint("edge")]);
    for action in ["keep", "add", "replace"] {
        let again = place.run(&[change(action, "a", "2001:db8:1::a"), checkpoint("edge")]);
        assert_eq!(again.records, first.records, "{action}");
    }
    assert_eq!(place.query("SELECT 'row' FROM bindings").len(), 1);
}

#[test]
fn another_address_or_container_is_another_binding() {
    let place = Place::new("another");
    place.run(&[change("add", "a", "2001:db8:1::a")]);
    let moved = place.run(&[change("keep", "a", "2001:db8:1::b")]);
    assert_eq!(words(&moved), ["binding a 2001:db8:1::a until", "binding a 2001:db8:1::b"]);
    assert_eq!(moved.records[0]["until"], moved.records[1]["since"]);
    let mut anew = change("replace", "a", "2001:db8:1::b");
    anew["container"]["docker"]["id"] = "4567def".into();
    assert_eq!(place.run(&[anew]).records.len(), 2);
    assert_eq!(place.open(), ["a 2001:db8:1::b"]);
    assert_eq!(place.reserved(), ["edge@a id:00:04:01:02,[2001:db8:1::b],a"]);
    assert_eq!(place.query("SELECT 'row' FROM bindings").len(), 3);
}

#[test]
fn what_goes_is_reserved_no_more_and_closed() {
    let place = Place::new("goes");
    let mut other = change("add", "b", "2001:db8:1::b");
    other["container"]["interfaces"][0]["duid"] = "00:04:01:03".into();
    place.run(&[change("add", "a", "2001:db8:1::a"), other]);
    let done = place.run(&[change("remove", "a", "2001:db8:1::a"), change("remove", "x", "::1")]);
    assert_eq!(words(&done)[0], "binding a 2001:db8:1::a until");
    // What was never bound goes on as it came.
    assert_eq!(done.records[1], change("remove", "x", "::1"));
    assert_eq!(place.open(), ["b 2001:db8:1::b"]);
    assert_eq!(place.reserved(), ["edge@b id:00:04:01:03,[2001:db8:1::b],b"]);
    let ended = fs::read_to_string(place.0.join("reserved/edge@a")).unwrap();
    assert_eq!(ended.lines().nth(1), Some("id:00:04:01:02"), "dnsmasq is told: {ended}");
}

#[test]
fn what_rests_stays_bound() {
    let place = Place::new("rests");
    let resting = |action: &str| change(action, "web-1", "2001:db8:1::a");
    let done = place.run(&[resting("stop")]);
    assert_eq!((place.open().len(), &done.records[0]["action"]), (0, &json!("stop")));
    for action in ["add", "start", "restart", "unpause"] {
        assert_eq!(words(&place.run(&[resting(action)])), ["binding web-1 2001:db8:1::a"]);
    }
    for action in ["stop", "kill", "pause"] {
        let done = place.run(&[resting(action), checkpoint("edge")]);
        assert_eq!(done.records, [resting(action), checkpoint("edge")], "{action}");
        assert_eq!(place.open(), ["web-1 2001:db8:1::a"], "{action}");
        assert_eq!(place.reserved().len(), 1, "{action}");
    }
}

#[test]
fn a_successor_with_the_same_identity_keeps_its_reservation() {
    let place = Place::new("successor");
    let address = "2001:db8:1::a";
    place.run(&[change("add", "old", address)]);
    place.run(&[change("add", "new", address), change("remove", "old", address)]);
    assert_eq!(place.open(), ["new 2001:db8:1::a"]);
    assert_eq!(place.reserved(), ["edge@new id:00:04:01:02,[2001:db8:1::a],new"]);
    // dnsmasq goes by what it read last, so nothing is said of that DUID behind the successor.
    assert_eq!(place.files(), ["edge@new"]);
    // The same when the removal is one that a listing leaves out; and the last one ends it.
    place.run(&[change("add", "newer", address), checkpoint("edge")]);
    assert_eq!(place.files(), ["edge@newer"]);
    place.run(&[change("remove", "newer", address)]);
    let ended = fs::read_to_string(place.0.join("reserved/edge@newer")).unwrap();
    assert_eq!(ended.lines().nth(1), Some("id:00:04:01:02"), "{ended}");
    assert_eq!(place.open(), [""; 0]);
}

#[test]
fn a_failed_record_without_the_bound_address_ends_the_binding() {
    let place = Place::new("lost");
    let failed = |record: &Value, interfaces: Value| {
        let mut record = record.clone();
        let bare = record.get("container").is_none();
        let container = if bare { &mut record } else { &mut record["container"] };
        match interfaces {
            Value::Null => drop(container.as_object_mut().unwrap().remove("interfaces")),
            interfaces => container["interfaces"] = interfaces,
        }
        record["status"] = "failed".into();
        record
    };
    let added = change("add", "a", "2001:db8:1::a");
    for record in [added.clone(), container("a", "2001:db8:1::a")] {
        place.run(std::slice::from_ref(&added));
        let interfaces = record.pointer("/container/interfaces").or(record.get("interfaces"));
        let mut lost = interfaces.unwrap().clone();
        // It failed for another reason, or before anything was known of that interface.
        let mut other = lost.clone();
        other[0]["mac"] = "02:00:00:00:00:02".into();
        other[0].as_object_mut().unwrap().remove("addresses");
        for still in [lost.clone(), Value::Null, other] {
            let still = failed(&record, still);
            let done = place.run(&[still.clone(), checkpoint("edge")]);
            assert_eq!(done.records, [still, checkpoint("edge")]);
            assert_eq!(place.open(), ["a 2001:db8:1::a"]);
        }
        lost[0]["addresses"].as_array_mut().unwrap().truncate(1);
        for interfaces in [
            lost.clone(),
            json!([{"name": "eth1", "link": "lp0", "bridge": "br1",
                                                 "mac": "02:00:00:00:00:01"}]),
        ] {
            place.run(std::slice::from_ref(&added));
            let verdict = failed(&record, interfaces);
            let done = place.run(std::slice::from_ref(&verdict));
            assert_eq!(words(&done)[0], "binding a 2001:db8:1::a until");
            assert_eq!(done.records[1], verdict, "it goes on as it came");
            assert_eq!(place.open(), [""; 0]);
            assert_eq!(place.reserved(), [""; 0]);
        }
    }
}

#[test]
fn a_checkpoint_closes_what_was_not_listed_and_is_its_owner_s() {
    let place = Place::new("checkpoint");
    let mut other = change("add", "c", "2001:db8:1::c");
    other["container"]["owner"] = "other".into();
    let two = [change("add", "a", "2001:db8:1::a"), change("add", "b", "2001:db8:1::b"), other];
    place.run(&two);
    // Without a checkpoint nothing is closed.
    assert_eq!(place.run(&[change("keep", "a", "2001:db8:1::a")]).records.len(), 1);
    assert_eq!(place.open().len(), 3);
    let mut failed = change("add", "b", "2001:db8:1::b");
    failed["status"] = "failed".into();
    let done = place.run(&[failed.clone(), checkpoint("edge")]);
    assert_eq!(done.records[0], failed);
    assert_eq!(words(&done)[1], "binding a 2001:db8:1::a until");
    assert_eq!(done.records[2], checkpoint("edge"));
    assert_eq!(place.open(), ["b 2001:db8:1::b", "c 2001:db8:1::c"]);
    assert_eq!(place.reserved().len(), 2);
    // A listing of leases or containers says nothing of what is bound.
    let of = json!({"kind": "checkpoint", "of": "container", "count": 0});
    assert_eq!(place.run(&[of]).records.len(), 1);
    assert_eq!(place.open().len(), 2);
    // A listing of everybody's changes closes everybody's.
    let all = json!({"kind": "checkpoint", "of": "change", "count": 0});
    assert_eq!(place.run(&[all]).records.len(), 3);
    assert_eq!((place.open().len(), place.reserved().len()), (0, 0));
}

#[test]
fn a_reservation_that_the_ledger_does_not_know_is_ended_too() {
    let place = Place::new("unknown");
    place.run(&[change("add", "a", "2001:db8:1::a")]);
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(place.0.join(file));
    }
    place.run(&[checkpoint("edge")]);
    assert_eq!(place.reserved(), [""; 0]);
}

#[test]
fn what_does_not_concern_it_passes() {
    let place = Place::new("passes");
    let mut bare = container("web", "2001:db8:1::a");
    bare.as_object_mut().unwrap().remove("lease");
    let mut without = change("keep", "b", "2001:db8:1::b");
    without["container"]["interfaces"] = json!([]);
    let foreign = json!({"kind": "weather", "n": [1.5]});
    let records = [bare, without, foreign];
    let done = place.run(&records);
    assert_eq!(done.status, 0);
    assert_eq!(done.records.len(), 3);
    for (out, put) in done.records.iter().zip(&records) {
        let fields = |value: &Value| -> BTreeSet<String> {
            value.as_object().unwrap().iter().map(|(k, v)| format!("{k}={}", v.is_null())).collect()
        };
        assert!(fields(out).is_subset(&fields(put)), "{out} {put}");
        assert_eq!(out["note"], put["note"]);
    }
    assert_eq!(place.open().len(), 0);
}

#[test]
fn a_bare_container_is_there_unless_it_says_absent() {
    let place = Place::new("bare");
    let mut bare = container("web", "2001:db8:1::a");
    assert_eq!(words(&place.run(&[bare.clone()])), ["binding web 2001:db8:1::a"]);
    bare["state"] = "absent".into();
    assert_eq!(words(&place.run(&[bare])), ["binding web 2001:db8:1::a until"]);
    assert_eq!(place.reserved().len(), 0);
}

#[test]
fn only_leased_addresses_are_reserved() {
    let place = Place::new("static");
    let mut fixed = change("add", "a", "2001:db8:1::a");
    fixed["container"]["interfaces"][0]["addresses"].as_array_mut().unwrap().truncate(1);
    place.run(&[change("add", "a", "2001:db8:1::a"), fixed]);
    assert_eq!(place.open(), ["a 2001:db8:1::5"]);
    assert_eq!(place.reserved().len(), 0);
}

#[test]
fn what_others_put_beside_is_untouched() {
    let place = Place::new("others");
    let reserved = place.0.join("reserved");
    fs::write(reserved.join("printer"), "id:00:01:02,[2001:db8:1::7]\n").unwrap();
    fs::write(reserved.join("edge@mine"), "id:00:01:03,[2001:db8:1::8]\n").unwrap();
    let done =
        place.run(&[change("add", "mine", "2001:db8:1::a"), change("add", "b", "2001:db8:1::b")]);
    assert_eq!(done.status, 1);
    assert_eq!(done.records[0]["status"], "failed");
    assert_eq!(done.records[0]["error_kind"], "refused");
    assert!(done.told.contains("mine: ") && done.told.contains("another's"), "{}", done.told);
    assert_eq!(words(&done)[1], "binding b 2001:db8:1::b");
    place.run(&[checkpoint("edge")]);
    assert_eq!(
        place.reserved(),
        ["edge@mine id:00:01:03,[2001:db8:1::8]", "printer id:00:01:02,[2001:db8:1::7]"]
    );
}

#[test]
fn what_cannot_be_opened_is_told_before_anything_is_read() {
    let place = Place::new("broken");
    fs::write(place.0.join("ledger.db"), "not a database at all, but somebody's notes\n").unwrap();
    let done = place.run(&[change("add", "a", "2001:db8:1::a")]);
    assert_eq!((done.status, done.records.len()), (65, 0));
    assert!(done.told.contains("ledger.db: "), "{}", done.told);
    fs::remove_dir(place.0.join("reserved")).unwrap();
    let done = place.run(&[]);
    assert_eq!((done.status, done.records.len()), (69, 0));
    for bad in ["dnsmasq:", "kea:", "somewhere"] {
        assert_eq!(program::run(PROGRAM, &["--reserve", bad], "").status, 64);
    }
}

#[test]
fn a_record_is_out_and_on_disk_before_the_next_is_in() {
    let place = Place::new("stream");
    let args = place.args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut running = Running::start(PROGRAM, &args);
    for count in 0..5 {
        let name = format!("c{count}");
        running.tell(&change("add", &name, "2001:db8:1::a").to_string());
        assert_eq!(running.next()["container"], name.as_str());
        assert_eq!(place.open().len(), count + 1, "readers see it while the writer runs");
        assert_eq!(place.reserved().len(), count + 1);
    }
    assert_eq!(running.end(), 0);
}

#[test]
fn people_get_a_table() {
    let place = Place::new("table");
    let mut command = Command::new(PROGRAM);
    command.args(place.args()).arg("--table").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", change("add", "a", "2001:db8:1::a")).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.starts_with("CLIENT"), "{text}");
    assert!(text.contains("2001:db8::1  alpha     a          2001:db8:1::a"), "{text}");
}

#[test]
fn an_address_that_is_none_is_wrong_usage_and_its_password_is_not_told() {
    for bad in
        ["ledger.db", "etcd://u:hush@", "etcd://u:hush@a b", "https://u:hush@a", "etcd://u:hush"]
    {
        for arguments in [vec!["--store", bad], vec!["list", "--store", bad]] {
            let done = program::run(PROGRAM, &arguments, "");
            assert_eq!(done.status, 64, "{bad}: {}", done.told);
            assert_eq!(done.told.lines().count(), 1, "{}", done.told);
            assert!(!done.told.contains("hush"), "{}", done.told);
        }
    }
    let both = ["--ledger", "x", "--store", "etcd://u:hush@a"];
    let done = program::run(PROGRAM, &both, "");
    assert_eq!(done.status, 64);
    assert!(!done.told.contains("hush"), "{}", done.told);
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_build_without_etcd_says_so() {
    let done = program::run(PROGRAM, &["--store", "etcd://a"], "");
    assert_eq!(done.status, 64);
    assert!(done.told.contains("feature etcd"), "{}", done.told);
}

/// Marsaglia's xorshift: the same chances at each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn killed_at_any_point_and_run_again_all_is_right() {
    let place = Place::new("killed");
    let bystander = place.0.join("reserved/printer");
    fs::write(&bystander, "id:00:01:02,[2001:db8:1::7]\n").unwrap();
    let mut chance = Chance(11);
    let mut killed = 0;
    for _ in 0..60 {
        let mut wanted = Vec::new();
        for container in 0..12 {
            if chance.below(3) > 0 {
                wanted.push((
                    format!("c{container}"),
                    format!("2001:db8:1::{:x}", chance.below(3) + 1),
                ));
            }
        }
        let mut listing: Vec<Value> =
            wanted.iter().map(|(name, address)| change("keep", name, address)).collect();
        listing.push(checkpoint("edge"));
        let input: String = listing.iter().map(|record| format!("{record}\n")).collect();
        let mut child = Command::new(PROGRAM)
            .args(place.args())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        std::thread::sleep(Duration::from_micros(chance.below(25_000)));
        let _ = child.kill();
        killed += u32::from(child.wait().unwrap().code().is_none());
        assert_eq!(place.query("PRAGMA integrity_check"), ["ok"]);

        let done = place.run(&listing);
        assert_eq!((done.status, &*done.told), (0, ""));
        let mut open: Vec<String> =
            wanted.iter().map(|(name, address)| format!("{name} {address}")).collect();
        open.sort();
        assert_eq!(place.open(), open);
        let mut reserved: Vec<String> = wanted
            .iter()
            .map(|(name, address)| format!("edge@{name} id:00:04:01:02,[{address}],{name}"))
            .collect();
        reserved.push("printer id:00:01:02,[2001:db8:1::7]".to_owned());
        reserved.sort();
        assert_eq!(place.reserved(), reserved);
    }
    assert!(killed > 20, "only {killed} were killed in time");
    let overlaps = "SELECT a.container_name FROM bindings a JOIN bindings b
        ON a.owner = b.owner AND a.container_name = b.container_name AND a.id < b.id
        WHERE a.bound_until IS NULL OR a.bound_until > b.bound_since";
    assert_eq!(place.query(overlaps), [""; 0], "nobody is bound twice at a time");
}
