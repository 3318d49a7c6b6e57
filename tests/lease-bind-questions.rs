//! What lease-bind answers, and what the ledger says to those who open it with sqlite3.

mod program;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use program::{Done, Running};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-bind");

/// A ledger that the first version has written.
const FIRST_FORM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ledger/version-1.db");

const ALICE: &str = "om2pqvn3u6qa2";
const SITE: &str = "kuurtenaba426";

/// A directory that anybody may look into, where it is not the test's own home that forbids it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path =
            std::env::temp_dir().join(format!("leasepipe-asked-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Place(path)
    }

    fn ledger(&self) -> String {
        self.0.join("ledger.db").display().to_string()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn bind(&self, records: &[Value]) -> Done {
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        let done = program::run(PROGRAM, &["--ledger", &self.ledger()], &input);
        assert_eq!((done.status, &*done.told), (0, ""));
        done
    }

    fn ask(&self, question: &str) -> Done {
        let mut args: Vec<&str> = question.split_whitespace().collect();
        let ledger = self.ledger();
        args.extend(["--ledger", &ledger]);
        program::run(PROGRAM, &args, "")
    }

    /// `CONTAINER ADDRESS` of each binding that is the answer.
    #[track_caller]
    fn answer(&self, question: &str) -> Vec<String> {
        let done = self.ask(question);
        assert_eq!((done.status, &*done.told), (0, ""), "{question}");
        assert!(done.at("/kind").iter().all(|kind| kind == "binding"));
        let pairs = done.at("/container").into_iter().zip(done.at("/address"));
        pairs.map(|(container, address)| format!("{container} {address}")).collect()
    }

    #[track_caller]
    fn no_answer(&self, question: &str) {
        let done = self.ask(question);
        assert_eq!((done.status, done.records.len()), (1, 0), "{question}");
        assert_eq!(done.told, "lease-bind: no binding fits\n");
    }

    fn sqlite3(&self, sql: &str) -> Output {
        Command::new("sqlite3")
            .args(["-readonly", "-header", "-csv", &self.ledger(), sql])
            .output()
            .unwrap()
    }

    /// What sqlite3 says, with its heading as the first line.
    #[track_caller]
    fn told(&self, sql: &str) -> Vec<String> {
        let output = self.sqlite3(sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn skipped(test: &str, why: &str) {
    let _ = std::io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes());
}

fn has_sqlite3(test: &str) -> bool {
    let there = Command::new("sqlite3").arg("--version").output().is_ok();
    if !there {
        skipped(test, "needs sqlite3");
    }
    there
}

fn change(action: &str, name: &str, key: &str, client: &str, address: &str) -> Value {
    let (client, len) = match client.split_once('/') {
        Some((first, len)) => (first, len.parse::<u8>().ok()),
        None => (client, None),
    };
    let mut lease = json!({"key": key, "address": client, "hostname": "alpha"});
    if let Some(len) = len {
        lease["prefix_len"] = len.into();
    }
    json!({"kind": "change", "action": action, "status": "done", "container": {
        "id": name, "image": "busybox", "owner": "edge", "lease": lease,
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
            "duid": "00:04:01:02", "iaid": 1,
            "addresses": [{"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
    }})
}

#[test]
fn whose_an_address_is_and_was() {
    let place = Place::new("who");
    let first = place.bind(&[
        change("add", "web", ALICE, "2001:db8::1", "fd00:1::a"),
        change("add", "site", SITE, "2001:db8:7::/56", "fd00:1::b"),
    ]);
    assert_eq!(place.answer("who 2001:db8::1"), ["web fd00:1::a"]);
    assert_eq!(place.answer("who fd00:1:0:0::a"), ["web fd00:1::a"]);
    assert_eq!(place.answer("who 2001:db8:7:ff::1234"), ["site fd00:1::b"]);
    place.no_answer("who 2001:db8:7:100::1");
    assert_eq!(place.ask("who 2001:db8::1").records, [first.records[0].clone()]);

    std::thread::sleep(std::time::Duration::from_millis(5));
    let moved = place.bind(&[change("keep", "web", ALICE, "2001:db8::1", "fd00:1::c")]);
    let (since, until) = (moved.at("/since"), moved.at("/until"));
    place.no_answer("who fd00:1::a");
    assert_eq!(place.answer(&format!("who fd00:1::a --at {}", since[0])), ["web fd00:1::a"]);
    place.no_answer(&format!("who fd00:1::a --at {}", until[0]));
    assert_eq!(place.answer(&format!("who fd00:1::c --at={}", until[0])), ["web fd00:1::c"]);
    place.no_answer("who fd00:1::c --at -1h");
    place.no_answer("who fd00:1::c --at 2020-01-01");
    assert_eq!(place.answer("who 2001:db8::1 --at 2120-01-01").len(), 1, "it holds on");
    for wrong in ["who", "who web", "who fd00:1::a --at yesterday", "who fd00:1::a --at 5"] {
        assert_eq!(place.ask(wrong).status, 64, "{wrong}");
    }
}

#[test]
fn what_a_client_has_by_its_key_or_a_container_of_its_own() {
    let place = Place::new("what");
    place.bind(&[
        change("add", "web", ALICE, "2001:db8::1", "fd00:1::a"),
        change("add", "app", ALICE, "2001:db8::1", "fd00:1::b"),
        change("add", "other", SITE, "2001:db8::2", "fd00:1::c"),
    ]);
    let both = ["web fd00:1::a", "app fd00:1::b"];
    for client in [ALICE, "web", "app"] {
        assert_eq!(place.answer(&format!("what {client}")), both, "{client}");
    }
    place.no_answer("what nobody");
    place.bind(&[change("remove", "web", ALICE, "2001:db8::1", "fd00:1::a")]);
    assert_eq!(place.answer(&format!("what {ALICE}")), both[1..]);
    place.no_answer("what web");
    // A container of that name of each of two pipes is no client's in particular.
    let mut namesake = change("add", "app", SITE, "2001:db8::2", "fd00:1::d");
    namesake["container"]["owner"] = "another".into();
    place.bind(&[namesake]);
    let done = place.ask("what app");
    assert_eq!((done.status, done.records.len()), (64, 0));
    for key in [ALICE, SITE] {
        assert!(done.told.contains(key), "{}", done.told);
    }
    // A container that is called as a client's key hides nobody.
    place.bind(&[change("add", ALICE, SITE, "2001:db8::2", "fd00:1::e")]);
    assert_eq!(place.answer(&format!("what {ALICE}")), both[1..]);
}

#[test]
fn all_that_holds_and_all_that_was() {
    let place = Place::new("list");
    let mut other = change("add", "web", SITE, "2001:db8::2", "fd00:1::c");
    other["container"]["owner"] = "other".into();
    place.bind(&[change("add", "b", ALICE, "2001:db8::1", "fd00:1::b")]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    place.bind(&[change("add", "a", ALICE, "2001:db8::1", "fd00:1::a"), other]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let gone = place.bind(&[change("remove", "b", ALICE, "2001:db8::1", "fd00:1::b")]);
    assert_eq!(place.answer("list"), ["a fd00:1::a", "web fd00:1::c"]);
    assert_eq!(place.answer("list --owner other"), ["web fd00:1::c"]);
    place.no_answer("list --owner nobody");

    let all = ["b fd00:1::b", "a fd00:1::a", "web fd00:1::c"];
    assert_eq!(place.answer("history"), all, "in the order of time");
    let ended = place.ask("history --container b");
    assert_eq!(ended.records, gone.records, "as it was told when it ended");
    assert_eq!(place.answer(&format!("history --key {ALICE} --owner edge")), all[..2]);
    assert_eq!(place.answer("history --address 2001:db8::2"), all[2..]);
    let until = &gone.at("/until")[0];
    assert_eq!(place.answer(&format!("history --since {until}")), all);
    assert_eq!(place.answer("history --since=-1h --until=-0s"), all);
    place.no_answer("history --since -1d --until -1h");
    place.no_answer("history --address fd00::99");
    let since = &gone.at("/since")[0];
    place.no_answer(&format!("history --until {since}"));
    let after = until.parse::<jiff::Timestamp>().unwrap() + std::time::Duration::from_millis(1);
    assert_eq!(place.answer(&format!("history --since {after}")), all[1..]);
}

#[test]
fn people_get_a_table_and_a_reader_may_leave() {
    let place = Place::new("table");
    place.bind(&[change("add", "web", ALICE, "2001:db8:7::/56", "fd00:1::a")]);
    let ask = |args: &[&str]| {
        let output = Command::new(PROGRAM).args(args).args(["--ledger", &place.ledger()]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let text = ask(&["list", "--table"]);
    assert!(text.starts_with("CLIENT "), "{text}");
    assert!(text.contains("2001:db8:7::/56  alpha     web        fd00:1::a"), "{text}");
    let many: Vec<Value> = (0..500)
        .map(|n| change("keep", "web", ALICE, "2001:db8::1", &format!("fd00:1::{n:x}")))
        .collect();
    place.bind(&many);
    let mut child = Command::new(PROGRAM)
        .args(["history", "--ledger", &place.ledger()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["history", "--ledger", &place.ledger()]).stdout(full);
    assert_eq!(command.output().unwrap().status.code(), Some(74));
}

#[test]
fn what_is_no_ledger_answers_nothing_and_none_is_made() {
    let place = Place::new("none");
    for question in ["list", "history", "who ::1", "what web"] {
        let done = place.ask(question);
        assert_eq!((done.status, done.records.len()), (69, 0), "{}", done.told);
        assert!(done.told.contains("no such file or directory"), "{}", done.told);
    }
    assert_eq!(place.files(), [""; 0]);
    fs::write(place.ledger(), "not a database at all, but somebody's notes\n").unwrap();
    assert_eq!(place.ask("list").status, 65);
    // Questions are no options of the filter, nor the other way about.
    for wrong in ["list --reserve none", "list --retain 1d", "who ::1 --owner x"] {
        assert_eq!(place.ask(wrong).status, 64, "{wrong}");
    }
    let before = program::run(PROGRAM, &["--ledger", &place.ledger(), "list"], "");
    assert_eq!(before.status, 64);
    assert!(before.told.contains("options stand behind 'list'"), "{}", before.told);
}

#[test]
fn a_ledger_of_the_first_form_answers_and_is_not_touched() {
    let place = Place::new("first");
    fs::copy(FIRST_FORM, place.ledger()).unwrap();
    let before = fs::read(place.ledger()).unwrap();
    assert_eq!(place.answer("list"), ["web-site fd00:1::c", "web-alpha fd00:1::aa"]);
    assert_eq!(place.answer("who 2001:db8:7:12::1"), ["web-site fd00:1::c"]);
    assert_eq!(place.answer("history").len(), 4);
    assert_eq!(fs::read(place.ledger()).unwrap(), before);
}

/// Asks as a user who may read the ledger and write nothing.
fn ask_as_nobody(place: &Place) -> Option<i32> {
    let program = place.0.join("program");
    if !program.exists() {
        fs::copy(PROGRAM, &program).unwrap(); // where the user may read it
    }
    let mut command = Command::new(program);
    command.args(["list", "--ledger", &place.ledger()]).uid(65534).gid(65534);
    command.output().unwrap().status.code()
}

#[test]
fn who_may_only_read_may_ask() {
    let test = "who_may_only_read_may_ask";
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "needs root");
    }
    let place = Place::new("reader");
    place.bind(&[change("add", "web", ALICE, "2001:db8::1", "fd00:1::a")]);
    assert_eq!(ask_as_nobody(&place), Some(77), "it is not for everybody");
    fs::set_permissions(place.ledger(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(ask_as_nobody(&place), Some(0), "nobody has it open");
    let files = place.files();

    let mut running = Running::start(PROGRAM, &["--ledger", &place.ledger()]);
    running.tell(&change("add", "app", ALICE, "2001:db8::1", "fd00:1::b").to_string());
    running.next();
    assert_eq!(ask_as_nobody(&place), Some(0), "it is being written");
    assert_eq!(place.answer("list").len(), 2, "what is not in the file itself yet is told");
    drop(running); // killed: what it leaves beside the file is of use to the next
    assert_eq!(ask_as_nobody(&place), Some(0), "its writer was killed");
    assert_eq!(place.answer("list").len(), 2);
    place.bind(&[]);
    assert_eq!(place.files(), files, "nothing is left of it all");
}

#[test]
fn questions_are_answered_while_it_is_written() {
    let place = Place::new("beside");
    place.bind(&[change("add", "web", ALICE, "2001:db8::1", "fd00:1::1")]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..10 {
                let records: Vec<Value> = (0..30)
                    .map(|n| {
                        change(
                            "keep",
                            "web",
                            ALICE,
                            "2001:db8::1",
                            &format!("fd00:1::{round:x}{n:x}"),
                        )
                    })
                    .collect();
                place.bind(&records);
            }
        });
        while !writer.is_finished() {
            assert_eq!(place.answer("who 2001:db8::1").len(), 1, "one at each moment");
        }
    });
    assert_eq!(place.answer("history").len(), 301);
}

#[test]
fn what_ended_long_ago_is_deleted_at_a_checkpoint() {
    let place = Place::new("retain");
    let run = |more: &[&str], records: &[Value]| {
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        let ledger = place.ledger();
        let args = [&["--ledger", &ledger], more].concat();
        let done = program::run(PROGRAM, &args, &input);
        assert_eq!((done.status, &*done.told), (0, ""));
    };
    let keep = change("keep", "web", ALICE, "2001:db8::1", "fd00:1::a");
    let checkpoint = json!({"kind": "checkpoint", "of": "change", "count": 1, "owner": "edge"});
    run(
        &[],
        &[
            change("add", "gone", SITE, "2001:db8::2", "fd00:1::b"),
            keep.clone(),
            checkpoint.clone(),
        ],
    );
    run(&[], &[keep.clone(), checkpoint.clone()]);
    assert_eq!(place.answer("history").len(), 2);
    let since = |container: &str, column: &str, at: &str| {
        let ledger = rusqlite::Connection::open(place.ledger()).unwrap();
        let sql = format!("UPDATE bindings SET {column} = ?1 WHERE container_name = ?2");
        assert_eq!(ledger.execute(&sql, [at, container]).unwrap(), 1);
    };
    since("web", "bound_since", "2001-01-01T00:00:00.000Z");
    since("gone", "bound_since", "2001-01-01T00:00:00.000Z");
    since("gone", "bound_until", "2001-01-02T00:00:00.000Z");
    // Only at a checkpoint, not for one who keeps all, and never what holds.
    run(&[], std::slice::from_ref(&keep));
    run(&["--retain", "none"], &[keep.clone(), checkpoint.clone()]);
    run(&["--retain", "99999d"], &[keep.clone(), checkpoint.clone()]);
    assert_eq!(place.answer("history").len(), 2);
    run(&[], &[keep.clone(), checkpoint.clone()]);
    assert_eq!(place.answer("history"), ["web fd00:1::a"], "after a year");
    let moved = change("keep", "web", ALICE, "2001:db8::1", "fd00:1::c");
    run(&["--retain", "1h"], &[moved.clone(), checkpoint.clone()]);
    assert_eq!(place.answer("history").len(), 2);
    std::thread::sleep(std::time::Duration::from_millis(5));
    run(&["--retain", "0s"], &[moved, checkpoint]);
    assert_eq!(place.answer("history"), ["web fd00:1::c"]);
    for wrong in ["0", "-1d", "for ever"] {
        assert_eq!(program::run(PROGRAM, &["--retain", wrong], "").status, 64);
    }
}

#[test]
fn sqlite3_is_told_what_everything_is() {
    if !has_sqlite3("sqlite3_is_told_what_everything_is") {
        return;
    }
    let place = Place::new("sqlite3");
    fs::copy(FIRST_FORM, place.ledger()).unwrap();
    place.bind(&[]); // brings it up to date
    let tables = place.told(".tables").join(" ");
    for name in ["about", "bindings", "clients", "current_bindings", "history"] {
        assert!(tables.contains(name), "{tables}");
    }
    let about = place.told("SELECT * FROM about");
    assert_eq!(about[0], "name,meaning");
    assert!(about.len() > 25 && about[1].contains("One row for each pair"), "{}", about[1]);

    let current = place.told("SELECT * FROM current_bindings");
    assert_eq!(current.len(), 3);
    assert!(current[0].starts_with("owner,client_address,"), "{}", current[0]);
    assert!(current[0].ends_with(",client_key"));
    let history =
        place.told("SELECT bound_since, bound_until, held_for, container_name FROM history");
    assert_eq!(history.len(), 5);
    assert_eq!(history[2].split(',').nth(2), Some("\"0d 00:00:00\""), "{}", history[2]);
    let begun: Vec<&str> = history[1..].iter().filter_map(|row| row.split(',').next()).collect();
    assert!(begun.is_sorted(), "{begun:?}: the order of text is that of time");
    let clients = place.told(
        "SELECT client_key, client_hostname, client_address, bindings_now, bindings_ever FROM clients",
    );
    assert_eq!(
        clients[1..],
        [
            format!("{ALICE},alpha,2001:db8::a,1,2"),
            "v2jwgo55gdtxn,beta,2001:db8::b,0,1".to_owned(),
            format!("{SITE},,2001:db8:7::,1,1"),
        ]
    );
    assert_eq!(place.told("PRAGMA integrity_check"), ["integrity_check", "ok"]);
    assert!(!place.sqlite3("DELETE FROM about").status.success());
}

#[test]
fn how_long_a_binding_held_is_told_in_days_and_hours() {
    if !has_sqlite3("how_long_a_binding_held_is_told_in_days_and_hours") {
        return;
    }
    let place = Place::new("held");
    place.bind(&[change("add", "web", ALICE, "2001:db8::1", "fd00:1::a")]);
    let ledger = rusqlite::Connection::open(place.ledger()).unwrap();
    let sql = "UPDATE bindings SET bound_since = '2024-02-28T23:00:00.500Z',
                                   bound_until = '2024-03-02T01:02:04.000Z'";
    ledger.execute(sql, []).unwrap();
    assert_eq!(place.told("SELECT seconds, held_for FROM history")[1], "180124,\"2d 02:02:04\"");
}
