//! lease-bind's names as its users see them: the files of a directory, and who may have which.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use program::{Done, Running};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-bind");

const ALICE: &str = "om2pqvn3u6qa2";
const MALLORY: &str = "v2jwgo55gdtxn";

/// A directory of the test's own with one for names.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lease-bind-names-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("names")).unwrap();
        fs::create_dir_all(path.join("reserved")).unwrap();
        Place(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("names").join(name)
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let at = |name: &str| self.0.join(name).display().to_string();
        let reserve = format!("dnsmasq:{}", at("reserved"));
        let mine = ["--ledger", &at("ledger.db"), "--reserve", &reserve, "--names", &at("names")];
        mine.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    fn run_with(&self, more: &[&str], records: &[Value]) -> Done {
        let args = self.args(more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        program::run(PROGRAM, &args, &input)
    }

    #[track_caller]
    fn run(&self, records: &[Value]) -> Done {
        let done = self.run_with(&["--domain", "lab"], records);
        assert_eq!(done.status, 0, "{}", done.told);
        done
    }

    /// `FILE: LINE` of every name that stands for an address, without the lines that say whose.
    fn named(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, text) in self.texts() {
            lines.extend(text.lines().skip(1).map(|line| format!("{name}: {line}")));
        }
        lines
    }

    fn texts(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.0.join("names")).unwrap().map(|entry| entry.unwrap());
        let named = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        });
        named.collect()
    }

    fn open(&self) -> Vec<String> {
        let ledger = rusqlite::Connection::open(self.0.join("ledger.db")).unwrap();
        let sql = "SELECT container_name FROM current_bindings ORDER BY 1";
        let mut query = ledger.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

fn change(action: &str, name: &str, key: &str, hostname: Option<&str>, address: &str) -> Value {
    let mut lease = json!({"key": key, "address": "2001:db8::1"});
    if let Some(hostname) = hostname {
        lease["hostname"] = hostname.into();
    }
    json!({"kind": "change", "action": action, "status": "done", "container": {
        "id": name, "image": "busybox", "owner": "edge", "lease": lease,
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
            "duid": format!("00:04:{:02x}", name.len()), "iaid": 1,
            "addresses": [{"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
    }})
}

fn add(name: &str, key: &str, hostname: &str, address: &str) -> Value {
    change("add", name, key, Some(hostname), address)
}

fn remove(name: &str, key: &str, hostname: &str, address: &str) -> Value {
    change("remove", name, key, Some(hostname), address)
}

fn checkpoint() -> Value {
    json!({"kind": "checkpoint", "of": "change", "count": 1, "owner": "edge"})
}

#[test]
fn a_container_has_its_client_s_name() {
    let place = Place::new("has");
    let done = place.run(&[add("web-1", ALICE, "Alpha.Example", "fd00:1::a")]);
    assert_eq!(done.told, "");
    assert_eq!(done.records[0]["kind"], "binding");
    let text = format!(
        "# leasepipe names web-1 of edge for client {ALICE}; changes are lost\n\
         fd00:1::a alpha.lab alpha\n"
    );
    assert_eq!(place.texts(), BTreeMap::from([("alpha".to_owned(), text)]));
    // Without a domain the name alone, and never what else the client put behind it.
    let done = place.run_with(&[], &[add("web-1", ALICE, "Alpha.Example", "fd00:1::a")]);
    assert_eq!(done.status, 0);
    assert_eq!(place.named(), ["alpha: fd00:1::a alpha"]);
    place.run(&[remove("web-1", ALICE, "alpha", "fd00:1::a")]);
    assert_eq!(place.named(), [""; 0]);
}

#[test]
fn a_client_that_takes_another_name_gives_the_old_one_back() {
    let place = Place::new("changes");
    place.run(&[add("web", ALICE, "alpha", "fd00:1::a")]);
    place.run(&[add("web", ALICE, "beta", "fd00:1::a")]);
    assert_eq!(place.named(), ["beta: fd00:1::a beta.lab beta"]);
    let done = place.run(&[add("app", MALLORY, "alpha", "fd00:1::b")]);
    assert_eq!(done.told, "", "it is free");
    assert_eq!(place.named()[0], "alpha: fd00:1::b alpha.lab alpha");
}

#[test]
fn nobody_takes_another_s_name() {
    let place = Place::new("another");
    place.run(&[add("web", ALICE, "alpha", "fd00:1::a")]);
    for asked in ["alpha", "ALPHA", "alpha.lab", "Alpha.evil.example"] {
        let done = place.run(&[add("app", MALLORY, asked, "fd00:1::b")]);
        assert_eq!(done.records[0]["kind"], "binding", "the binding goes on");
        let told = format!("app: name \"{asked}\" is not given: another client has it");
        assert!(done.told.contains(&told), "{}", done.told);
        let named = ["alpha: fd00:1::a alpha.lab alpha", "app: fd00:1::b app.lab app"];
        assert_eq!(place.named(), named, "{asked}");
    }
    // Nor by a name that is a container's own.
    let done = place.run(&[add("x", "kuurtenaba426", "app", "fd00:1::c")]);
    assert!(done.told.contains("another client has it"), "{}", done.told);
    // What its holder gives back is the next one's, at the next listing.
    place.run(&[remove("web", ALICE, "alpha", "fd00:1::a")]);
    place.run(&[add("app", MALLORY, "alpha", "fd00:1::b")]);
    assert_eq!(place.named()[0], "alpha: fd00:1::b alpha.lab alpha");
}

#[test]
fn it_is_said_once_and_again_when_it_is_another_name() {
    let place = Place::new("once");
    place.run(&[add("web", ALICE, "alpha", "fd00:1::a")]);
    let app = |name: &str| add("app", MALLORY, name, "fd00:1::b");
    let done = place.run(&[app("alpha"), app("alpha"), checkpoint(), app("alpha"), app("wpad")]);
    assert_eq!(done.told.lines().count(), 2, "{}", done.told);
}

#[test]
fn protected_names_are_nobody_s() {
    let place = Place::new("protected");
    let list = place.0.join("protected");
    fs::write(&list, "# ours\nprinter\n*.corp  # theirs\n\n").unwrap();
    let list = list.display().to_string();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let own = own.trim().split('.').next().unwrap().to_owned();
    let more = ["--domain", "lab", "--protect", "srv-?,boss.lab", "--protect", &list];
    for asked in [
        "localhost",
        "WPAD",
        "isatap.lab",
        "ip6-allnodes",
        "broadcasthost",
        "router",
        "srv-1",
        "printer",
        "x.corp",
        "boss",
        &own,
    ] {
        let done = place.run_with(&more, &[add("web", ALICE, asked, "fd00:1::a")]);
        assert_eq!(done.status, 0);
        assert_eq!(done.records[0]["kind"], "binding");
        assert!(done.told.contains("is not given: it is protected by"), "{asked}: {}", done.told);
        assert_eq!(place.named(), ["web: fd00:1::a web.lab web"], "{asked}");
    }
    // A container's own name is no way around it.
    let done = place.run_with(&more, &[add("wpad", MALLORY, "wpad", "fd00:1::b"), checkpoint()]);
    assert_eq!(done.status, 0);
    assert_eq!(place.named(), [""; 0]);
    fs::write(place.0.join("protected"), "printer\nno name\n").unwrap();
    let done = place.run_with(&more, &[]);
    assert_eq!(done.status, 65);
    assert!(done.told.contains("protected:2: \"no name\" is not a name"), "{}", done.told);
    fs::remove_file(place.0.join("protected")).unwrap();
    assert_eq!(place.run_with(&more, &[]).status, 69);
    assert_eq!(place.run_with(&["--protect", "a b"], &[]).status, 64);
    let far = "a.".repeat(94) + "xyz";
    assert_eq!(place.run_with(&["--domain", &far], &[]).status, 64, "no room for a name");
    for alone in [["--protect", "a"], ["--domain", "lab"]] {
        assert_eq!(program::run(PROGRAM, &alone, "").status, 64, "of no use without --names");
    }
}

#[test]
fn what_has_no_name_for_the_dns_has_none() {
    let place = Place::new("none");
    let long = "x".repeat(64);
    for hostile in ["a b", "a\nfd00::1 bank", "../../etc/hosts", "-x", "é", &long] {
        let done = place.run_with(&[], &[add("web_1", ALICE, hostile, "fd00:1::a")]);
        assert_eq!(done.status, 65, "{hostile}: the record is refused as a whole");
        assert_eq!(place.named(), [""; 0], "{hostile}");
    }
    // A number would be taken for an address; underscores and dots are not the DNS's.
    for name in ["web_1", "web.1"] {
        place.run(&[add(name, ALICE, "127", "fd00:1::a")]);
        assert_eq!(place.named(), [""; 0]);
        place.run(&[checkpoint()]);
    }
    // A client without a name has a container with one.
    place.run(&[change("add", "Web-1", ALICE, None, "fd00:1::a")]);
    assert_eq!(place.named(), ["web-1: fd00:1::a web-1.lab web-1"]);
}

#[test]
fn a_client_s_first_container_has_its_name_and_then_the_next() {
    let place = Place::new("several");
    place.run(&[add("web", ALICE, "alpha", "fd00:1::a"), add("app", ALICE, "alpha", "fd00:1::b")]);
    let both = ["alpha: fd00:1::a alpha.lab alpha", "app: fd00:1::b app.lab app"];
    assert_eq!(place.named(), both);
    // Whatever the order of a later listing.
    let listing = [
        change("keep", "app", ALICE, Some("alpha"), "fd00:1::b"),
        change("keep", "web", ALICE, Some("alpha"), "fd00:1::a"),
        checkpoint(),
    ];
    assert_eq!(place.run(&listing).told, "");
    assert_eq!(place.named(), both);
    place.run(&[remove("web", ALICE, "alpha", "fd00:1::a")]);
    assert_eq!(place.named(), ["alpha: fd00:1::b alpha.lab alpha"]);
}

#[test]
fn a_name_is_not_handed_to_another_pipe_s_container() {
    let place = Place::new("pipes");
    let mut theirs = add("app", ALICE, "alpha", "fd00:1::b");
    theirs["container"]["owner"] = "other".into();
    let ledger = place.0.join("ledger.db").display().to_string();
    program::run(PROGRAM, &["--ledger", &ledger], &format!("{theirs}\n"));
    place.run(&[add("web", ALICE, "alpha", "fd00:1::a")]);
    place.run(&[remove("web", ALICE, "alpha", "fd00:1::a")]);
    assert_eq!(place.open(), ["app"]);
    assert_eq!(place.named(), [""; 0], "that pipe has not asked for names");
}

#[test]
fn a_checkpoint_takes_back_what_its_owner_has_left_over() {
    let place = Place::new("checkpoint");
    let mut other = add("web", MALLORY, "beta", "fd00:1::b");
    other["container"]["owner"] = "other".into();
    place.run(&[add("web", ALICE, "alpha", "fd00:1::a"), other]);
    fs::write(place.file("printer"), "fd00:1::99 printer\n").unwrap();
    // Nobody knows of these any more, and one is half written.
    for (name, file) in [("gone", "gone"), ("half", ".leasepipe-half.1")] {
        let text =
            format!("# leasepipe names {name} of edge for client {ALICE}; changes are lost\n");
        fs::write(place.file(file), text).unwrap();
    }
    place.run(&[json!({"kind": "checkpoint", "of": "change", "count": 0, "partial": true,
                       "owner": "edge"})]);
    assert_eq!(place.texts().len(), 5, "a partial listing ends nothing");
    assert_eq!(place.open(), ["web", "web"]);
    place.run(&[checkpoint()]);
    let names: Vec<String> = place.texts().into_keys().collect();
    assert_eq!(names, [".leasepipe-half.1", "beta", "printer"], "what is young may be in work");
    assert_eq!(place.open(), ["web"]);
    let removed = fs::File::options().write(true).open(place.file(".leasepipe-half.1")).unwrap();
    removed.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    place.run(&[checkpoint()]);
    assert!(!place.file(".leasepipe-half.1").exists());
}

#[test]
fn a_file_of_others_is_theirs() {
    let place = Place::new("others");
    fs::write(place.file("alpha"), "fd00:1::99 alpha\n").unwrap();
    let done = place.run(&[add("web", ALICE, "alpha", "fd00:1::a")]);
    assert!(done.told.contains("a file of that name is another's"), "{}", done.told);
    place.run(&[remove("web", ALICE, "alpha", "fd00:1::a"), checkpoint()]);
    assert_eq!(place.texts()["alpha"], "fd00:1::99 alpha\n");
    fs::remove_dir_all(place.0.join("names")).unwrap();
    let done = place.run_with(&[], &[]);
    assert_eq!(done.status, 69);
    assert!(done.told.contains("names: open directory of names: "), "{}", done.told);
}

#[test]
fn a_name_that_cannot_be_written_fails_its_record_alone() {
    let place = Place::new("unwritable");
    let mut running = {
        let args = place.args(&["--domain", "lab"]);
        Running::start(PROGRAM, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let begun = json!({"kind": "weather"});
    running.tell(&begun.to_string());
    assert_eq!(running.next(), begun);
    fs::rename(place.0.join("names"), place.0.join("away")).unwrap();
    running.tell(&add("web", ALICE, "alpha", "fd00:1::a").to_string());
    let failed = running.next();
    assert_eq!(
        (failed["status"].as_str(), failed["error_kind"].as_str()),
        (Some("failed"), Some("not_found"))
    );
    fs::rename(place.0.join("away"), place.0.join("names")).unwrap();
    running.tell(&add("web", ALICE, "alpha", "fd00:1::a").to_string());
    assert_eq!(running.next()["kind"], "binding");
    assert_eq!(place.named(), ["alpha: fd00:1::a alpha.lab alpha"]);
    assert_eq!(running.end(), 1);
}

/// Each point at which a program can be killed, made by hand; running again puts it right.
#[test]
fn whatever_is_half_done_is_finished() {
    let whole = |place: &Place| (place.named(), place.open());
    let web = add("web", ALICE, "alpha", "fd00:1::a");
    let begun = Place::new("half-begun");
    begun.run(&[web.clone(), checkpoint()]);
    let right = whole(&begun);
    let file = |place: &Place| place.file("alpha");

    // What begins: entered and no more, or reserved as well, or claimed and not served yet.
    fs::remove_file(file(&begun)).unwrap();
    fs::remove_file(begun.0.join("reserved/edge@web")).unwrap();
    begun.run(&[web.clone(), checkpoint()]);
    assert_eq!(whole(&begun), right);
    fs::remove_file(file(&begun)).unwrap();
    begun.run(&[web.clone(), checkpoint()]);
    assert_eq!(whole(&begun), right);
    let text = fs::read_to_string(file(&begun)).unwrap();
    fs::write(file(&begun), text.lines().next().unwrap().to_owned() + "\n").unwrap();
    begun.run(&[web.clone(), checkpoint()]);
    assert_eq!(whole(&begun), right);
    assert!(begun.0.join("reserved/edge@web").exists());

    // What ends: named no more, or reserved no more as well, and not closed.
    for unreserved in [false, true] {
        let ends = Place::new("half-ended");
        ends.run(std::slice::from_ref(&web));
        fs::remove_file(file(&ends)).unwrap();
        if unreserved {
            fs::remove_file(ends.0.join("reserved/edge@web")).unwrap();
        }
        let done = ends.run(&[checkpoint()]);
        assert!(done.records[0].get("until").is_some(), "it is closed and told");
        assert_eq!(whole(&ends), (vec![], vec![]));
    }

    // A change of name: the new one claimed, the old one not given back.
    let renamed = Place::new("half-renamed");
    renamed.run(std::slice::from_ref(&web));
    let claim = format!("# leasepipe names web of edge for client {ALICE}; changes are lost\n");
    fs::write(renamed.file("beta"), claim).unwrap();
    renamed.run(&[add("web", ALICE, "beta", "fd00:1::a"), checkpoint()]);
    assert_eq!(renamed.named(), ["beta: fd00:1::a beta.lab beta"]);
    // Or it did not come to that: the name is as before.
    fs::write(renamed.file("gamma"), text.replace("alpha", "gamma")).unwrap();
    renamed.run(&[add("web", ALICE, "beta", "fd00:1::a"), checkpoint()]);
    assert_eq!(renamed.named(), ["beta: fd00:1::a beta.lab beta"]);
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
fn killed_at_any_point_and_run_again_all_is_named_rightly() {
    let place = Place::new("killed");
    let args = place.args(&["--domain", "lab"]);
    let (mut chance, mut killed) = (Chance(5), 0);
    // How long it may live: drawn from what it takes here, which is learnt on the way.
    let mut longest = 60_000;
    for _ in 0..40 {
        let (mut listing, mut right) = (Vec::new(), Vec::new());
        for number in 0..8 {
            if chance.below(3) == 0 {
                continue;
            }
            let (name, address) = (chance.below(3), format!("fd00:1::{:x}", chance.below(3) + 1));
            let name = format!("n{number}-{name}");
            let key = format!("{ALICE:.12}{}", char::from(b'a' + number));
            listing.push(add(&format!("c{number}"), &key, &name, &address));
            right.push(format!("{name}: {address} {name}.lab {name}"));
        }
        listing.push(checkpoint());
        let input: String = listing.iter().map(|record| format!("{record}\n")).collect();
        let mut child = std::process::Command::new(PROGRAM)
            .args(&args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(chance.below(longest)));
        let _ = child.kill();
        let in_time = child.wait().unwrap().code().is_none();
        longest = if in_time { longest + longest / 8 } else { longest * 3 / 4 }.clamp(500, 60_000);
        killed += u32::from(in_time);
        assert_eq!(place.run(&listing).told, "");
        let mut named = place.named();
        named.retain(|line| !line.starts_with('.'));
        right.sort();
        assert_eq!(named, right);
    }
    assert!(killed > 10, "only {killed} were killed in time");
}

#[test]
fn of_several_pipes_at_once_one_gets_the_name() {
    let place = Place::new("race");
    let mut pipes: Vec<Running> = (0..4)
        .map(|number| {
            let ledger = place.0.join(format!("ledger-{number}.db")).display().to_string();
            let names = place.0.join("names").display().to_string();
            Running::start(PROGRAM, &["--ledger", &ledger, "--names", &names])
        })
        .collect();
    for round in 0..100 {
        let name = format!("name{round}");
        for (number, pipe) in pipes.iter_mut().enumerate() {
            let address = format!("fd00:1::{number}");
            let own = format!("own-{round}-{number}");
            let mut record = add(&own, ALICE, &name, &address);
            record["container"]["owner"] = format!("pipe{number}").into();
            pipe.tell(&record.to_string());
        }
        for pipe in &mut pipes {
            assert_eq!(pipe.next()["kind"], "binding");
        }
        let named = place.named();
        let with = |label: &str| named.iter().filter(|line| line.starts_with(label)).count();
        assert_eq!(with(&format!("{name}: ")), 1, "{named:?}");
        assert_eq!(with(&format!("own-{round}-")), 3, "{named:?}");
    }
    for pipe in pipes {
        assert_eq!(pipe.end(), 0);
    }
}
