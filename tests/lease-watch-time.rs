//! lease-watch with several sources, with a memory, with patience, and while somebody sets the clock.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use program::{Running, run};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-watch");
const DUID: &str = "duid 00:01:00:01:32:93:c6:3b:92:82:3c:af:23:43\n";
const KEA: &str = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
                   prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context\n";

/// A path of the test's own, where nothing is yet.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lease-watch-time-{name}"));
    let _ = fs::remove_file(&path);
    path
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// dnsmasq's file with leases of these addresses, each to a client of its own; an end of 0 is none.
fn dnsmasq(leases: &[(u16, u64)]) -> String {
    let line = |(at, end): &(u16, u64)| format!("{end} 1 fd00::{at:x} * 00:03:00:01:{at:02x}\n");
    leases.iter().map(line).fold(DUID.to_owned(), |text, line| text + &line)
}

/// One row of Kea's file: a lease for an hour from now.
fn kea(address: u16) -> String {
    let end = now() + 3600;
    format!("fd01::{address:x},00:03:00:01:{address:02x},3600,{end},1,1800,0,1,128,0,0,,,0,\n")
}

/// `EVENT ADDRESS`, or `checkpoint COUNT`, with what is special about it.
fn word(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap().to_owned();
    if record["kind"] == "checkpoint" {
        let partial = if record["partial"] == true { " partial" } else { "" };
        return format!("checkpoint {}{partial}", record["count"]);
    }
    let grace = if record["grace_until"].is_string() { " in grace" } else { "" };
    format!("{} {}{grace}", text("event"), text("address"))
}

fn words(records: &[Value]) -> Vec<String> {
    records.iter().map(word).collect()
}

/// The next words of a program that follows, so many of them.
fn next(watch: &mut Running, count: usize) -> Vec<String> {
    (0..count).map(|_| word(&watch.next())).collect()
}

fn sources(files: &[(&str, &Path)]) -> Vec<String> {
    let source = |(kind, path): &(&str, &Path)| format!("--source={kind}:{}", path.display());
    files.iter().map(source).collect()
}

fn once(sources: &[String], more: &[&str]) -> program::Done {
    let args: Vec<&str> = sources.iter().map(String::as_str).chain(more.iter().copied()).collect();
    run(PROGRAM, &args, "")
}

fn follow(sources: &[String], more: &[&str]) -> Running {
    let args: Vec<&str> = sources.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Running::start(PROGRAM, &[&args[..], &["--follow"]].concat())
}

#[test]
fn all_sources_are_told_before_the_first_is_closed() {
    let (one, other) = (scratch("one"), scratch("other"));
    fs::write(&one, dnsmasq(&[(1, 0), (2, 0)])).unwrap();
    fs::write(&other, KEA.to_owned() + &kea(1)).unwrap();
    let sources = sources(&[("dnsmasq", &one), ("kea", &other)]);
    let done = once(&sources, &[]);
    assert_eq!(
        words(&done.records),
        ["list fd00::1", "list fd00::2", "list fd01::1", "checkpoint 2", "checkpoint 1"]
    );
    let named: Vec<String> =
        sources.iter().map(|s| s.trim_start_matches("--source=").to_owned()).collect();
    let of = |at: usize| done.records[at]["source"].as_str().unwrap();
    assert_eq!([of(0), of(2), of(3), of(4)], [&*named[0], &named[1], &named[0], &named[1]]);
    assert_eq!(done.status, 0);
    // Followed, each tells its own news.
    let mut watch = follow(&sources, &["--resync", "none"]);
    assert_eq!(next(&mut watch, 5)[3..], ["checkpoint 2", "checkpoint 1"]);
    fs::write(&other, fs::read_to_string(&other).unwrap() + &kea(7)).unwrap();
    assert_eq!(next(&mut watch, 1), ["add fd01::7"]);
    fs::write(&one, dnsmasq(&[(1, 0)])).unwrap();
    assert_eq!(next(&mut watch, 1), ["release fd00::2"]);
}

#[test]
fn a_source_that_is_gone_costs_itself_alone_and_closes_nothing() {
    let (here, gone) = (scratch("here"), scratch("gone"));
    fs::write(&here, dnsmasq(&[(1, 0)])).unwrap();
    let sources = sources(&[("kea", &gone), ("dnsmasq", &here)]);
    let done = once(&sources, &["--timeout", "2s"]);
    assert_eq!((words(&done.records), done.status), (vec!["list fd00::1".to_owned()], 69));
    assert!(done.told.contains("lease-watch-time-gone"), "{}", done.told);
    let mut watch = follow(&sources, &["--timeout", "300ms", "--resync", "none"]);
    assert_eq!(next(&mut watch, 2), ["list fd00::1", "checkpoint 1 partial"]);
    fs::write(&gone, KEA.to_owned() + &kea(1)).unwrap();
    assert_eq!(
        next(&mut watch, 4),
        ["list fd01::1", "list fd00::1", "checkpoint 1", "checkpoint 1"]
    );
}

#[test]
fn the_same_source_twice_is_refused() {
    let path = scratch("twice");
    fs::write(&path, dnsmasq(&[])).unwrap();
    let done = once(&sources(&[("dnsmasq", &path), ("dnsmasq", &path)]), &[]);
    assert_eq!((done.status, done.records.len()), (64, 0), "{}", done.told);
}

#[test]
fn a_client_that_comes_right_back_keeps_what_it_has() {
    let path = scratch("grace");
    let write = |leases: &[(u16, u64)]| fs::write(&path, dnsmasq(leases)).unwrap();
    write(&[(1, 0), (2, 0)]);
    let mut watch = follow(&sources(&[("dnsmasq", &path)]), &["--grace", "2s", "--resync", "1s"]);
    assert_eq!(next(&mut watch, 3).last().unwrap(), "checkpoint 2");
    write(&[(1, 0)]);
    let gone = Instant::now();
    // It is listed while its end is held back.
    let listing = watch.within(Duration::from_millis(1600));
    assert!(words(&listing).contains(&"list fd00::2 in grace".to_owned()), "{listing:?}");
    write(&[(1, 0), (2, 0)]);
    let back = watch.within(Duration::from_millis(1500));
    assert!(words(&back).contains(&"renew fd00::2".to_owned()), "{back:?}");
    assert!(!words(&back).iter().any(|word| word.starts_with("release")), "{back:?}");
    assert!(gone.elapsed() > Duration::from_secs(2));
    write(&[(1, 0)]);
    let gone = Instant::now();
    let release = loop {
        if word(&watch.next()) == "release fd00::2" {
            break gone.elapsed();
        }
    };
    assert!(release >= Duration::from_millis(1990), "{release:?}");
}

#[test]
fn a_watcher_that_is_started_again_tells_what_it_has_missed() {
    let (path, state) = (scratch("missed"), scratch("state"));
    let remember = ["--state", state.to_str().unwrap()];
    let sources = sources(&[("dnsmasq", &path)]);
    let soon = now() + 3000;
    let take = |leases: &[(u16, u64)]| {
        fs::write(&path, dnsmasq(leases)).unwrap();
        let done = once(&sources, &remember);
        assert_eq!(done.status, 0, "{}", done.told);
        words(&done.records)
    };
    let listing = ["list fd00::1", "list fd00::2", "list fd00::3", "checkpoint 3"];
    assert_eq!(take(&[(1, 0), (2, soon), (3, 0)]), listing);
    assert_eq!(take(&[(1, 0), (2, soon), (3, 0)]), listing);
    assert_eq!(
        take(&[(2, soon + 60), (3, 0), (4, 0)]),
        [
            "renew fd00::2",
            "add fd00::4",
            "release fd00::1",
            "list fd00::2",
            "list fd00::3",
            "list fd00::4",
            "checkpoint 3"
        ]
    );
    // What cannot be read is unknown: nothing is told, and nothing forgotten.
    fs::remove_file(&path).unwrap();
    assert_eq!(once(&sources, &remember).status, 69);
    assert_eq!(take(&[(2, soon + 60), (3, 0), (4, 0)]).len(), 4);
    // The same for one that follows and is killed.
    let mut watch = follow(&sources, &remember);
    assert_eq!(next(&mut watch, 4)[3], "checkpoint 3");
    fs::write(&path, dnsmasq(&[(4, 0), (5, 0)])).unwrap();
    let mut heard = next(&mut watch, 3);
    heard.sort();
    assert_eq!(heard, ["add fd00::5", "release fd00::2", "release fd00::3"]);
    let end = Instant::now() + Duration::from_secs(10);
    while !fs::read_to_string(&state).unwrap().contains("fd00::5") {
        assert!(Instant::now() < end, "the state is not written");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(watch);
    assert_eq!(take(&[(4, 0)]), ["release fd00::5", "list fd00::4", "checkpoint 1"]);
}

#[test]
fn an_end_is_held_back_from_one_run_to_the_next() {
    let (path, state) = (scratch("cron"), scratch("cron-state"));
    let sources = sources(&[("dnsmasq", &path)]);
    let args = ["--grace", "2s", "--state", state.to_str().unwrap()];
    let take = |leases: &[(u16, u64)]| {
        fs::write(&path, dnsmasq(leases)).unwrap();
        words(&once(&sources, &args).records)
    };
    assert_eq!(take(&[(1, 0), (2, 0)]).len(), 3);
    assert_eq!(take(&[(1, 0)]), ["list fd00::1", "list fd00::2 in grace", "checkpoint 2"]);
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(take(&[(1, 0)]), ["release fd00::2", "list fd00::1", "checkpoint 1"]);
    assert_eq!(take(&[(1, 0)]), ["list fd00::1", "checkpoint 1"]);
}

/// The library that gives a program another time of day, if it is installed.
fn libfaketime() -> Option<&'static str> {
    let known = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ];
    known.into_iter().find(|path| Path::new(path).exists())
}

#[test]
fn an_hour_forwards_or_back_ends_no_lease() {
    let Some(library) = libfaketime() else {
        let line = "skipped: an_hour_forwards_or_back_ends_no_lease: libfaketime is missing\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        return;
    };
    let (path, clock) = (scratch("clock"), scratch("clock-now"));
    let set = |offset: &str| {
        let next = clock.with_extension("next");
        fs::write(&next, offset).unwrap();
        fs::rename(&next, &clock).unwrap();
    };
    set("+0");
    fs::write(&path, dnsmasq(&[(1, now() + 1800), (2, now() + 7200), (3, now() + 6)])).unwrap();
    let source = format!("--source=dnsmasq:{}", path.display());
    let mut watch = Running::start(
        "/usr/bin/env",
        &[
            &format!("LD_PRELOAD={library}"),
            &format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()),
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            PROGRAM,
            &source,
            "--follow",
            "--resync=2s",
        ],
    );
    assert_eq!(next(&mut watch, 4)[3], "checkpoint 3");
    for step in ["+3600", "-3600", "+3600"] {
        set(step);
        let heard = words(&watch.within(Duration::from_millis(1300)));
        let ends =
            heard.iter().filter(|word| !word.starts_with("list ") && *word != "checkpoint 3");
        assert_eq!(ends.collect::<Vec<_>>(), Vec::<&String>::new(), "{step}");
    }
    // A lease whose time is up by both clocks has ended all the same.
    let end = Instant::now() + Duration::from_secs(10);
    while word(&watch.next()) != "expire fd00::3" {
        assert!(Instant::now() < end);
    }
}
