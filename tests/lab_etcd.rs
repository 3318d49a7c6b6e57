//! lease-bind on a real etcd, with writers that race, are killed, and lose their etcd. What is kept is
//! read with etcdctl.

#![cfg(feature = "etcd")]

mod lab;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab::{Done, Etcd, Lab, Namespace, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

/// A container with an address, under a DUID that follows from its name.
fn change(action: &str, name: &str, address: &str) -> Value {
    let duid: Vec<String> = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    json!({"kind": "change", "action": action, "status": "done", "container": {
        "id": name, "image": "busybox", "owner": "edge",
        "lease": {"key": "v2jwgo55gdtxn", "address": "2001:db8::1"},
        "docker": {"id": "0123abc"}, "host": {"id": "north"},
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
            "duid": format!("00:04:{}", duid.join(":")), "iaid": 1,
            "addresses": [{"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
    }})
}

fn add(name: &str, address: &str) -> Value {
    change("add", name, address)
}

fn checkpoint() -> Value {
    json!({"kind": "checkpoint", "of": "change", "count": 1, "owner": "edge"})
}

fn address(number: u64) -> String {
    format!("fd00:1::{:x}", number + 1)
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// lease-bind with bindings in this place.
fn command(lab: &Lab, store: &str, arguments: &[&str]) -> Command {
    let mut command = lab.command(bin!("lease-bind"));
    command.args(arguments).args(["--store", store]);
    command
}

fn bind(lab: &Lab, store: &str, records: &[Value]) -> Done {
    run(&mut command(lab, store, &[]), lines(records))
}

/// `CONTAINER ADDRESS` of what holds, after a look at whether all that etcdctl sees fits together.
fn sound(etcd: &Etcd, prefix: &str) -> BTreeSet<String> {
    let pairs = etcd.pairs(prefix);
    let under = |part: &str| -> BTreeMap<String, String> {
        let start = format!("{prefix}/{part}/");
        let own = pairs.iter().filter_map(|(key, value)| Some((key.strip_prefix(&start)?, value)));
        own.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    let (mut claims, mut held) = (BTreeMap::new(), BTreeSet::new());
    let (mut marks, mut clients) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in under("bindings") {
        let binding: Value = serde_json::from_str(&value).unwrap();
        let text = |field: &str| binding[field].as_str().unwrap().to_owned();
        assert_eq!(name, format!("{}/{}", text("owner"), text("container")));
        assert!(binding.get("until").is_none(), "{binding}");
        held.insert(format!("{} {}", text("container"), text("address")));
        marks.insert(format!("{}/{name}", text("duid")), String::new());
        clients
            .insert(format!("{}/{name}", binding["lease"]["key"].as_str().unwrap()), String::new());
        let other = claims.insert(text("address"), name.clone());
        assert_eq!(other, None, "{name} has an address that another has");
    }
    assert_eq!(under("addresses"), claims);
    assert_eq!((under("duids"), under("clients")), (marks, clients));
    // Nobody is bound twice at a time.
    let mut spans: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (name, value) in under("history").into_iter().chain(under("bindings")) {
        let binding: Value = serde_json::from_str(&value).unwrap();
        let time = |field: &str| binding[field].as_str().map(in_order);
        let (since, until) = (time("since").unwrap(), time("until").unwrap_or("9".to_owned()));
        assert!(until == "9" || name.starts_with(&until), "{name} {until}");
        let container = binding["container"].as_str().unwrap().to_owned();
        spans.entry(container).or_default().push((since, until));
    }
    for (container, spans) in &mut spans {
        spans.sort();
        let apart = |pair: &[(String, String)]| pair[0].1 <= pair[1].0 || pair[0].0 == pair[0].1;
        assert!(spans.windows(2).all(apart), "{container}: {spans:?}");
    }
    held
}

/// A time with as many decimals as any other, so that it sorts as text.
fn in_order(time: &str) -> String {
    let (seconds, decimals) = time.trim_end_matches('Z').split_once('.').unwrap_or((time, ""));
    format!("{}.{decimals:0<3}Z", seconds.trim_end_matches('Z'))
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

fn words(records: &[Value]) -> Vec<String> {
    let word = |record: &Value| {
        let text = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
        let until = if record.get("until").is_some() { " until" } else { "" };
        format!("{} {} {}{until}", text("kind"), text("container"), text("address"))
    };
    records.iter().map(word).collect()
}

/// What comes of the same records and questions must not depend on where bindings are kept.
#[test]
fn etcd_and_a_ledger_say_the_same() {
    let test = "etcd_and_a_ledger_say_the_same";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let ledger = lab.dir().join("ledger.db").display().to_string();
    let store = etcd.address("/same");
    let both = |arguments: &[&str], input: &str| {
        let ask = |flag: &str, place: &str| {
            let mut command = lab.command(bin!("lease-bind"));
            let done = run(command.args(arguments).args([flag, place]), input);
            let mut words = words(&done.records());
            if arguments.first() == Some(&"history") {
                words.sort();
            }
            (done.status, words)
        };
        let (one, other) = (ask("--ledger", &ledger), ask("--store", &store));
        assert_eq!(one, other, "{arguments:?} {input}");
        one
    };
    let mut chance = Chance(7);
    for round in 0..30 {
        let mut records = Vec::new();
        for _ in 0..8 {
            // Each container has addresses of its own; what two make of one is told below.
            let (name, own) = (chance.below(6), chance.below(3));
            let action = ["add", "keep", "replace", "remove"][chance.below(4) as usize];
            let mut record = change(action, &format!("c{name}"), &address(16 * name + own));
            if chance.below(3) == 0 {
                record["container"]["docker"]["id"] = format!("{round}").into();
            }
            records.push(record);
        }
        if chance.below(3) == 0 {
            records.push(checkpoint());
        }
        assert_eq!(both(&[], &lines(&records)).0, Some(0));
        let (who, what) = (address(chance.below(64)), format!("c{}", chance.below(6)));
        both(&["who", &who], "");
        both(&["who", &who, "--at", "-0s"], "");
        both(&["who", "2001:db8::1", "--at", "2001-01-01"], "");
        both(&["what", &what], "");
        both(&["list"], "");
        both(&["list", "--owner", "other"], "");
    }
    let (status, all) = both(&["history"], "");
    assert_eq!(status, Some(0));
    assert!(all.len() > 60, "{}", all.len());
    assert_eq!(sound(&etcd, "/same").len(), both(&["list"], "").1.len());
}

#[test]
fn thousands_are_listed_and_what_is_old_is_forgotten() {
    let test = "thousands_are_listed_and_what_is_old_is_forgotten";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let store = etcd.address("/many");
    let all: Vec<Value> = (0..2100).map(|n| add(&format!("c{n}"), &address(n))).collect();
    assert_eq!(bind(&lab, &store, &all).status, Some(0));
    let ask = |question: &str| run(&mut command(&lab, &store, &[question]), "").records().len();
    assert_eq!(ask("list"), 2100);
    // What a listing began with is forgotten by etcd while it goes on.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1000 {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                etcd.ctl(&["put", "/other", "x"]);
                etcd.ctl(&["compact", &revision(lab.machine()).to_string()]);
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        let all: Vec<usize> = (0..10).map(|_| ask("list")).collect();
        done.store(true, Ordering::SeqCst);
        assert_eq!(all, [2100; 10]);
    });
    // Every one of them ends, and is kept.
    let ended = bind(&lab, &store, &[add("c7", &address(7)), checkpoint()]).records();
    assert_eq!(ended.len(), 2101);
    assert_eq!((ask("list"), ask("history")), (1, 2100));
    std::thread::sleep(Duration::from_millis(20));
    let input = lines(&[add("c7", &address(7)), checkpoint()]);
    let done = run(&mut command(&lab, &store, &["--retain", "10ms"]), input);
    assert_eq!((done.status, &*done.stderr), (Some(0), ""));
    assert_eq!((ask("list"), ask("history")), (1, 1));
    assert_eq!(sound(&etcd, "/many").len(), 1);
}

#[test]
fn an_address_is_bound_once_and_the_loser_is_told_who_has_it() {
    let test = "an_address_is_bound_once_and_the_loser_is_told_who_has_it";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let store = etcd.address("");
    assert_eq!(bind(&lab, &store, &[add("a", "fd00:1::a")]).status, Some(0));
    let done = bind(&lab, &store, &[add("b", "fd00:1::a"), add("c", "fd00:1::c")]);
    assert_eq!(done.status, Some(1));
    assert!(done.stderr.contains("it is bound to container a of edge on north since 20"));
    let records = done.records();
    assert_eq!(records[0]["error_kind"], "refused");
    assert_eq!(records[1]["kind"], "binding");
    assert_eq!(sound(&etcd, "/leasepipe"), ["a fd00:1::a", "c fd00:1::c"].map(Into::into).into());
    // Another name of the same client shows the same DUID, so the server gives it the same address.
    let mut renamed = add("a-2", "fd00:1::a");
    renamed["container"]["interfaces"][0]["duid"] = "00:04:61".into();
    let records = bind(&lab, &store, &[renamed, change("remove", "a", "fd00:1::a")]).records();
    assert_eq!(words(&records)[..2], ["binding a fd00:1::a until", "binding a-2 fd00:1::a"]);
    assert_eq!(records[2]["kind"], "change", "it has ended already");
    // What goes is free again.
    let free = [change("remove", "a-2", "fd00:1::a"), add("b", "fd00:1::a")];
    assert_eq!(bind(&lab, &store, &free).status, Some(0));
    assert_eq!(sound(&etcd, "/leasepipe"), ["b fd00:1::a", "c fd00:1::c"].map(Into::into).into());
}

#[test]
fn writers_that_race_bind_nothing_twice_and_lose_nothing() {
    let test = "writers_that_race_bind_nothing_twice_and_lose_nothing";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    for writers in [2, 8] {
        let prefix = format!("/race-{writers}");
        let store = etcd.address(&prefix);
        // All want the same addresses, for containers of their own.
        let wishes = |writer: u64| -> Vec<Value> {
            let name = |n| format!("w{writer}-{n}");
            (0..40).map(|n| add(&name(n), &address((n + writer % 2) % 40))).collect()
        };
        let done = at_once(writers, |writer| bind(&lab, &store, &wishes(writer)));
        let held = sound(&etcd, &prefix);
        let mut told = BTreeSet::new();
        for (writer, done) in done.iter().enumerate() {
            let records = done.records();
            assert_eq!(records.len(), 40, "{writer}: {}", done.stderr);
            for record in records {
                if record["kind"] == "binding" {
                    let text = |field: &str| record[field].as_str().unwrap();
                    told.insert(format!("{} {}", text("container"), text("address")));
                } else {
                    assert_eq!(record["error_kind"], "refused", "{record}");
                    let error = record["error"].as_str().unwrap();
                    assert!(error.contains("bound to container w"), "{error}");
                }
            }
        }
        assert_eq!(told, held);
        assert_eq!(held.len(), 40, "each address is one's");

        // All are for the same containers, each from its own host and with addresses of its own.
        let wishes = |writer: u64| -> Vec<Value> {
            let wish = |n: u64| {
                let mut wish = add(&format!("s{}", n % 5), &address(1000 + 100 * writer + n % 5));
                wish["container"]["host"]["id"] = format!("host-{writer}").into();
                wish
            };
            (0..30).map(wish).collect()
        };
        let done = at_once(writers, |writer| bind(&lab, &store, &wishes(writer)));
        let (mut began, mut ended) = (BTreeSet::new(), 0);
        for done in &done {
            assert_eq!((done.status, &*done.stderr), (Some(0), ""));
            for record in done.records() {
                assert_eq!(record["kind"], "binding");
                match record.get("until") {
                    Some(_) => ended += 1,
                    None => drop(began.insert(record.to_string())),
                }
            }
        }
        assert_eq!(sound(&etcd, &prefix).len(), 45);
        let kept = etcd.pairs(&format!("{prefix}/history/")).len();
        assert_eq!(ended, kept, "each end was told once");
        assert_eq!(began.len(), kept + 5, "and each beginning has its end, or holds");
    }
}

/// Does the same so many times at once.
fn at_once<T: Send>(count: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn({
                    let work = &work;
                    move || work(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_writer_killed_at_any_moment_leaves_nothing_locked() {
    let test = "a_writer_killed_at_any_moment_leaves_nothing_locked";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let store = etcd.address("/killed");
    let mut chance = Chance(3);
    let (mut killed, mut whole) = (0, Duration::from_millis(60));
    for round in 0..50 {
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        for container in 0..12 {
            if chance.below(3) > 0 {
                let own = 16 * container + chance.below(3);
                wanted.insert(format!("c{container}"), address(own));
            }
        }
        let listing = wanted.iter().map(|(name, address)| change("keep", name, address));
        let listing: Vec<Value> = listing.chain([checkpoint()]).collect();
        let mut victim = Running::start(&mut command(&lab, &store, &[]));
        victim.send_bytes(lines(&listing).as_bytes());
        victim.close();
        std::thread::sleep(Duration::from_micros(chance.below(whole.as_micros() as u64)));
        victim.stop();
        let done = victim.wait();
        killed += u32::from(done.status.is_none());
        sound(&etcd, "/killed");

        let began = Instant::now();
        let done = bind(&lab, &store, &listing);
        assert_eq!((done.status, &*done.stderr), (Some(0), ""), "round {round}");
        whole = began.elapsed();
        assert!(whole < Duration::from_secs(10), "it waits for nobody");
        let wanted = wanted.iter().map(|(name, address)| format!("{name} {address}"));
        assert_eq!(sound(&etcd, "/killed"), wanted.collect(), "round {round}");
    }
    assert!(killed > 20, "only {killed} were killed in time");
}

#[test]
fn the_leader_of_three_is_killed_and_binding_goes_on() {
    let test = "the_leader_of_three_is_killed_and_binding_goes_on";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(mut etcd) = Etcd::or_skip(test, &lab, 3) else { return };
    let mut number = 0;
    let mut held = BTreeSet::new();
    let mut binds = |binder: &mut Running| {
        for _ in 0..5 {
            let (name, address) = (format!("c{number}"), address(number));
            number += 1;
            binder.send(&add(&name, &address));
            let record = binder.next();
            assert_eq!(record["kind"], "binding", "{record}");
            held.insert(format!("{name} {address}"));
        }
        held.clone()
    };
    for round in 0..4 {
        // It is the leader that is asked first, and that goes.
        let leader = etcd.await_leader();
        let members = [0, 1, 2].map(|at| etcd.member((leader + at) % 3));
        let store = format!("etcd://{}/leader", members.join(","));
        let mut binder = Running::start(&mut command(&lab, &store, &[]));
        binds(&mut binder);
        if round % 2 == 0 {
            etcd.kill(leader);
            binds(&mut binder);
            etcd.start(leader);
        } else {
            // It keeps its connections, and says nothing.
            etcd.freeze(leader, true);
            binds(&mut binder);
            etcd.freeze(leader, false);
        }
        let expected = binds(&mut binder);
        let done = binder.finish();
        assert_eq!((done.status, &*done.stderr), (Some(0), ""));
        etcd.await_leader();
        assert_eq!(sound(&etcd, "/leader"), expected);
    }
}

/// The revision that the etcd in this namespace is at.
fn revision(machine: &Namespace) -> i64 {
    let mut command = machine.command("etcdctl");
    let out = command.env("ETCDCTL_API", "3").args(["endpoint", "status", "-w", "json"]).output();
    let status: Value = serde_json::from_slice(&out.unwrap().stdout).unwrap();
    status[0]["Status"]["header"]["revision"].as_i64().unwrap()
}

/// What becomes of a change on its way to etcd, and of the answer on the way back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Well,
    /// It is lost.
    Lost,
    /// It comes, but the answer is lost.
    Unanswered,
    /// It comes late, when this is over.
    Late,
}

/// A way to etcd; what does not fare well ends the connection.
struct Way {
    machine: Namespace,
    /// What is to become of the next change.
    fate: Mutex<Fate>,
    /// How many did not fare well.
    met: AtomicU32,
    /// How many came late.
    late: AtomicU32,
}

impl Way {
    /// Listens on this port of the lab.
    fn open(lab: &Lab, port: u16) -> Arc<Way> {
        let machine = lab.machine().clone();
        let listener = machine.within(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let fate = Mutex::new(Fate::Well);
        let way = Way { machine, fate, met: AtomicU32::default(), late: AtomicU32::default() };
        let way = Arc::new(way);
        let passes = way.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let connect = || TcpStream::connect(("127.0.0.1", 2379)).unwrap();
                let server = passes.machine.within(connect);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (there, back) = (passes.clone(), passes.clone());
                let deaf = Arc::new(AtomicBool::new(false));
                let is_deaf = deaf.clone();
                std::thread::spawn(move || there.there(from, to, &deaf));
                std::thread::spawn(move || back.back(server, client, &is_deaf));
            }
        });
        way
    }

    fn set(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    fn there(&self, mut client: TcpStream, mut server: TcpStream, deaf: &AtomicBool) {
        let mut bytes = [0; 65536];
        let mut is_late = false;
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            let passes = &bytes[..count];
            let is_change = passes.windows(6).any(|part| part == b"\"since");
            let fate = if is_change { *self.fate.lock().unwrap() } else { Fate::Well };
            deaf.store(fate == Fate::Unanswered, Ordering::SeqCst);
            self.met.fetch_add(u32::from(fate != Fate::Well), Ordering::SeqCst);
            is_late |= fate == Fate::Late;
            while fate == Fate::Late && *self.fate.lock().unwrap() == fate {
                std::thread::sleep(Duration::from_millis(10));
            }
            let before = revision(&self.machine);
            if fate == Fate::Lost || server.write_all(passes).is_err() {
                break;
            }
            if fate == Fate::Unanswered {
                let is_made = || (revision(&self.machine) > before).then_some(());
                eventually("etcd makes the change", PATIENCE, is_made);
                break;
            }
        }
        // What came late is not to be cut off before it is read.
        std::thread::sleep(Duration::from_millis(200));
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        self.late.fetch_add(u32::from(is_late), Ordering::SeqCst);
    }

    fn back(&self, mut server: TcpStream, mut client: TcpStream, deaf: &AtomicBool) {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = server.read(&mut bytes) {
            if !deaf.load(Ordering::SeqCst) && client.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}

#[test]
fn what_is_lost_on_the_way_is_done_once_and_told() {
    let test = "what_is_lost_on_the_way_is_done_once_and_told";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let way = Way::open(&lab, 4000);
    // The second way to the same member always works.
    let store = format!("etcd://127.0.0.1:4000,{}/lost", etcd.member(0));
    let mut ended = 0;
    for (round, fate) in
        [Fate::Lost, Fate::Unanswered, Fate::Lost, Fate::Unanswered].into_iter().enumerate()
    {
        let (old, new) = (address(round as u64), address(round as u64 + 1));
        for (record, told) in [
            (add("a", &old), vec![format!("binding a {old}")]),
            (add("a", &new), vec![format!("binding a {old} until"), format!("binding a {new}")]),
            (add("b", "fd00:1::beef"), vec!["binding b fd00:1::beef".to_owned()]),
            (
                change("remove", "b", "fd00:1::beef"),
                vec!["binding b fd00:1::beef until".to_owned()],
            ),
        ] {
            way.set(fate);
            let done = bind(&lab, &store, &[record]);
            assert_eq!((done.status, &*done.stderr), (Some(0), ""));
            assert_eq!(words(&done.records()), told, "{fate:?}");
            ended += told.iter().filter(|told| told.ends_with("until")).count();
            sound(&etcd, "/lost");
            assert_eq!(etcd.pairs("/lost/history/").len(), ended);
        }
    }
    // All but those that found what they were to do.
    assert_eq!(way.met.load(Ordering::SeqCst), 13);
}

#[test]
fn what_comes_late_is_not_done_any_more() {
    let test = "what_comes_late_is_not_done_any_more";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let way = Way::open(&lab, 4000);
    let store = format!("etcd://127.0.0.1:4000,{}/late", etcd.member(0));
    assert_eq!(bind(&lab, &store, &[add("a", "fd00:1::a")]).status, Some(0));
    way.set(Fate::Late);
    let records = [add("b", "fd00:1::b"), change("remove", "b", "fd00:1::b")];
    let done = bind(&lab, &store, &records);
    assert_eq!(words(&done.records()), ["binding b fd00:1::b", "binding b fd00:1::b until"]);
    // Now everything is as it was when the change was sent that has not come yet.
    assert_eq!(sound(&etcd, "/late").len(), 1);
    let before = way.late.load(Ordering::SeqCst);
    way.set(Fate::Well);
    eventually("it comes", PATIENCE, || (way.late.load(Ordering::SeqCst) > before).then_some(()));
    assert_eq!(sound(&etcd, "/late"), ["a fd00:1::a".to_owned()].into());
}

#[test]
fn an_etcd_that_is_gone_fails_what_needs_it_and_nothing_else() {
    let test = "an_etcd_that_is_gone_fails_what_needs_it_and_nothing_else";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(mut etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let store = etcd.address("/gone");
    let mut binder = Running::start(&mut command(&lab, &store, &[]));
    binder.send(&add("a", "fd00:1::a"));
    assert_eq!(binder.next()["kind"], "binding");
    etcd.kill(0);
    let mut records = Vec::new();
    let began = Instant::now();
    for name in ["b", "c", "d"] {
        binder.send(&add(name, &format!("fd00:1::{name}")));
        records.push(binder.next());
    }
    assert!(began.elapsed() < Duration::from_secs(25), "it waits once: {:?}", began.elapsed());
    let (foreign, end) = (json!({"kind": "weather", "n": 1}), checkpoint());
    binder.send(&foreign);
    binder.send(&end);
    assert_eq!([binder.next(), binder.next()], [foreign, end]);
    for (record, name) in records.iter().zip(["b", "c", "d"]) {
        assert_eq!(record["container"]["id"], name);
        assert_eq!(record["error_kind"], "unavailable", "{record}");
        let error = record["error"].as_str().unwrap();
        assert!(error.contains("127.0.0.1:2379"), "{error}");
    }
    for arguments in [&[][..], &["list"]] {
        let done = run(&mut command(&lab, &store, arguments), lines(&[add("x", "fd00:1::1")]));
        assert_eq!((done.status, done.stdout.len()), (Some(69), 0), "{}", done.stderr);
    }
    etcd.start(0);
    etcd.await_leader();
    // The same program goes on, and another run does what this one could not.
    binder.send(&add("b", "fd00:1::b"));
    assert_eq!(binder.next()["kind"], "binding");
    assert_eq!(binder.finish().status, Some(1));
    let again: Vec<Value> =
        ["a", "b", "c", "d"].map(|name| change("keep", name, &format!("fd00:1::{name}"))).into();
    let done = bind(&lab, &store, &again);
    assert_eq!((done.status, done.records().len()), (Some(0), 4));
    assert_eq!(sound(&etcd, "/gone").len(), 4);
}

#[test]
fn a_silent_etcd_is_not_waited_for_at_each_record() {
    let test = "a_silent_etcd_is_not_waited_for_at_each_record";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let mut binder = Running::start(&mut command(&lab, &etcd.address("/silent"), &[]));
    binder.send(&add("a", "fd00:1::a"));
    assert_eq!(binder.next()["kind"], "binding");
    etcd.freeze(0, true);
    let began = Instant::now();
    for number in 0..100 {
        binder.send(&add("b", &address(number)));
        assert_eq!(binder.next()["error_kind"], "unavailable");
    }
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    etcd.freeze(0, false);
    let again = || {
        binder.send(&add("b", "fd00:1::b"));
        (binder.next()["kind"] == "binding").then_some(())
    };
    eventually("it is asked again", Duration::from_secs(10), again);
    assert_eq!(sound(&etcd, "/silent").len(), 2);
}

#[test]
fn users_have_their_rights_and_passwords_are_never_told() {
    let test = "users_have_their_rights_and_passwords_are_never_told";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(mut etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    for words in [
        "user add root:r00t",
        "user grant-role root root",
        "role add binder",
        "role grant-permission binder --prefix=true readwrite /mine/",
        "user add lease:hu/sh",
        "user grant-role lease binder",
        "auth enable",
    ] {
        etcd.ctl(&words.split(' ').collect::<Vec<_>>());
    }
    let member = etcd.member(0);
    let with = |user: &str, prefix: &str| format!("etcd://{user}{member}{prefix}");
    let record = [add("a", "fd00:1::a")];
    for (user, prefix, status) in [
        ("lease:hu/sh@", "/mine", Some(0)),
        ("lease:hu%2fsh@", "/mine", Some(0)),
        ("lease:hu/sh@", "/other", Some(77)),
        ("lease:hu/shhh@", "/mine", Some(77)),
        ("nobody:hu/sh@", "/mine", Some(77)),
        ("", "/mine", Some(77)),
        ("lease:hu/sh%@", "/mine", Some(64)),
        ("lease-hu/sh@", "/mine", Some(64)),
    ] {
        let done = bind(&lab, &with(user, prefix), &record);
        assert_eq!(done.status, status, "{user} {prefix}: {}", done.stderr);
        assert!(!done.stderr.contains("hu/sh"), "{}", done.stderr);
    }
    // etcd forgets whom it has let in when it is started anew.
    let mut binder = Running::start(&mut command(&lab, &with("lease:hu/sh@", "/mine"), &[]));
    binder.send(&add("b", "fd00:1::b"));
    assert_eq!(binder.next()["kind"], "binding");
    etcd.kill(0);
    etcd.start(0);
    for record in [add("c", "fd00:1::c"), add("c", "fd00:1::d"), change("remove", "c", "fd00:1::d")]
    {
        binder.send(&record);
        assert_eq!(binder.next()["kind"], "binding");
    }
    let done = binder.finish();
    assert_eq!((done.status, &*done.stderr), (Some(0), ""));
}

#[test]
fn what_others_have_put_there_is_told_with_its_key() {
    let test = "what_others_have_put_there_is_told_with_its_key";
    let Some(lab) = Lab::or_skip(test) else { return };
    let Some(etcd) = Etcd::or_skip(test, &lab, 1) else { return };
    let store = etcd.address("");
    let both = [add("a", "fd00:1::a"), add("b", "fd00:1::b")];
    assert_eq!(bind(&lab, &store, &both).status, Some(0));
    etcd.ctl(&["put", "/leasepipe/bindings/edge/a", "my notes"]);
    let done = bind(&lab, &store, &both);
    assert_eq!(done.status, Some(1));
    assert_eq!(done.records()[0]["error_kind"], "bad_input");
    assert_eq!(done.records()[1]["kind"], "binding");
    assert!(done.stderr.contains("key /leasepipe/bindings/edge/a: "), "{}", done.stderr);
    let asked = run(&mut command(&lab, &store, &["list"]), "");
    assert_eq!(asked.status, Some(65));
    assert!(asked.stderr.contains("key /leasepipe/bindings/edge/a: "), "{}", asked.stderr);
    // A claim that is left without its binding holds nothing.
    etcd.ctl(&["del", "/leasepipe/bindings/edge/a"]);
    etcd.ctl(&["del", "--prefix", "/leasepipe/duids/"]);
    etcd.ctl(&["del", "--prefix", "/leasepipe/clients/"]);
    assert_eq!(bind(&lab, &store, &[add("c", "fd00:1::a"), add("b", "fd00:1::b")]).status, Some(0));
    // What is wiped away is begun anew, by a program that runs as well.
    let mut binder = Running::start(&mut command(&lab, &store, &[]));
    etcd.ctl(&["del", "--prefix", "/leasepipe"]);
    binder.send(&both[1]);
    assert_eq!(binder.next()["kind"], "binding");
    assert_eq!(sound(&etcd, "/leasepipe").len(), 1);
    // What a later version has begun is left alone, by a program that runs as well.
    etcd.ctl(&["put", "/leasepipe/form", "2"]);
    binder.send(&both[0]);
    assert_eq!(binder.next()["error_kind"], "bad_input");
    let done = bind(&lab, &store, &both);
    assert_eq!(done.status, Some(65));
    assert!(done.stderr.contains("newer version"), "{}", done.stderr);
    assert_eq!(etcd.pairs("/leasepipe/bindings/").len(), 1);
}
