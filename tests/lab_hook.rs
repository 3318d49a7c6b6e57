//! lease-hook and the source that reads what it leaves, with real servers that call it.

mod lab;
mod script;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::{Kea, Lab, PATIENCE, Running, bin, eventually, root_or_skip, run, skipped};
use script::script;
use serde_json::{Value, json};

/// A spool, and the script that calls lease-hook for it. Servers take a path alone.
struct Spool {
    path: PathBuf,
    script: PathBuf,
}

impl Spool {
    fn new(lab: &Lab) -> Spool {
        let (path, hook) = (lab.dir().join("spool"), lab.dir().join("script"));
        let (program, spool) = (bin!("lease-hook"), path.display());
        let text = format!("#!/bin/sh\nexec {program} --spool {spool} \"$@\"\n");
        script(&hook, &text);
        Spool { path, script: hook }
    }

    fn option(&self) -> String {
        format!("--dhcp-script={}", self.script.display())
    }

    /// What a place's file says, when there is one.
    fn file(&self, place: &str) -> Option<Value> {
        let text = fs::read_to_string(self.path.join(place)).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Waits until the script has told that a place is leased, or leased no more.
    #[track_caller]
    fn settles(&self, place: impl ToString, state: &str) -> Value {
        let place = place.to_string();
        let what = format!("{place} is {state}");
        eventually(&what, PATIENCE, || self.file(&place).filter(|file| file["state"] == state))
    }

    fn watch(&self, lab: &Lab, kind: &str, words: &[&str]) -> Command {
        let mut command = lab.command(bin!("lease-watch"));
        command.arg("--source").arg(format!("{kind}:{}", self.path.display())).args(words);
        command
    }
}

fn is(event: &str, address: impl ToString) -> impl Fn(&Value) -> bool {
    let (event, address) = (event.to_owned(), address.to_string());
    move |record| record["event"] == *event && record["address"] == *address
}

#[test]
fn nothing_is_lost_while_nobody_watches() {
    let Some(mut lab) = Lab::or_skip("nothing_is_lost_while_nobody_watches") else { return };
    lab.bridge("br1");
    let spool = Spool::new(&lab);
    lab.dnsmasq("br1", "fd00:1::/64", &[&spool.option()]);
    let state = lab.dir().join("state").display().to_string();
    let words = ["--follow", "--resync", "none", "--state", &state];
    let [mut alice, mut bob, mut carol] =
        ["alice", "bob", "carol"].map(|name| lab.client("br1", name));
    let a = alice.lease();
    spool.settles(a, "active");

    let mut watch = Running::start(&mut spool.watch(&lab, "dnsmasq-script", &words));
    let listed = watch.until("the lease", is("list", a));
    assert_eq!(listed["duid"], alice.duid_text());
    assert_eq!((&listed["hostname"], &listed["mac"]), (&"alice".into(), &mac(&alice.duid).into()));
    // A renewal might go untold.
    assert_eq!(listed.get("expires_at"), None);
    let checkpoint = watch.next();
    assert_eq!((&checkpoint["kind"], &checkpoint["partial"]), (&"checkpoint".into(), &true.into()));
    let b = bob.lease();
    watch.until("a new lease", is("add", b));
    bob.decline();
    watch.until("its end", is("release", b));
    // What is told again is no news.
    lab.server("br1").reload();
    lab.server("br1").stop();
    lab.server("br1").resume();
    assert!(watch.is_silent(Duration::from_millis(1500)));
    watch.stop();

    // Nobody watches.
    alice.release();
    let c = carol.lease();
    spool.settles(a, "ended");
    spool.settles(c, "active");
    let mut watch = Running::start(&mut spool.watch(&lab, "dnsmasq-script", &words));
    let told: Vec<Value> = (0..2).map(|_| watch.next()).collect();
    assert!(told.iter().any(is("release", a)) && told.iter().any(is("add", c)), "{told:?}");
    watch.until("the listing", is("list", c));
    assert_eq!(watch.next()["count"], 1);
}

fn mac(duid: &[u8]) -> String {
    duid[4..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[test]
fn many_clients_may_leave_a_partial_spool_at_once() {
    let name = "many_clients_may_leave_a_partial_spool_at_once";
    let Some(mut lab) = Lab::or_skip(name) else { return };
    lab.bridge("br1");
    let spool = Spool::new(&lab);
    lab.dnsmasq("br1", "fd00:1::/64", &[&spool.option()]);
    let mut clients: Vec<_> = (0..6).map(|n| lab.client("br1", &format!("c{n}"))).collect();
    let leased: Vec<_> = clients.iter_mut().map(|client| client.lease()).collect();
    leased.iter().for_each(|address| drop(spool.settles(address, "active")));
    let words = ["--follow", "--resync", "none"];
    let mut watch = Running::start(&mut spool.watch(&lab, "dnsmasq-script", &words));
    watch.until("the checkpoint", |record| record["kind"] == "checkpoint");
    // All of it is told in one piece.
    watch.signal(nix::sys::signal::Signal::SIGSTOP);
    clients.iter_mut().for_each(|client| client.release());
    leased.iter().for_each(|address| drop(spool.settles(address, "ended")));
    watch.signal(nix::sys::signal::Signal::SIGCONT);
    let mut gone: Vec<String> = leased
        .iter()
        .map(|_| watch.until("an end", |record| record["event"] == "release"))
        .map(|record| record["address"].as_str().unwrap().to_owned())
        .collect();
    gone.sort();
    let mut all: Vec<_> = leased.iter().map(ToString::to_string).collect();
    all.sort();
    assert_eq!(gone, all);
}

#[test]
fn the_spool_is_dnsmasq_s_lease_database() {
    let Some(mut lab) = Lab::or_skip("the_spool_is_dnsmasq_s_lease_database") else { return };
    lab.bridge("br1");
    let spool = Spool::new(&lab);
    lab.dnsmasq("br1", "fd00:1::/64", &[&spool.option(), "--leasefile-ro"]);
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| lab.client("br1", name));
    let (a, b) = (alice.lease(), bob.lease());
    spool.settles(a, "active");
    spool.settles(b, "active");
    assert!(!lab.server("br1").leases().exists());

    let listed = |lab: &Lab| {
        let done = run(&mut spool.watch(lab, "dnsmasq-script", &[]), "");
        assert_eq!((done.status, &*done.stderr), (Some(0), ""));
        let mut records = done.records();
        let checkpoint = records.pop().expect("a checkpoint");
        assert_eq!((&checkpoint["kind"], checkpoint.get("partial")), (&"checkpoint".into(), None));
        assert!(records.iter().all(|lease| lease["expires_at"].is_string()));
        records
    };
    assert_eq!(listed(&lab).len(), 2);

    // Its leases and its own identity survive a restart.
    let duid = fs::read_to_string(spool.path.join(".server-duid")).unwrap();
    lab.server("br1").stop();
    lab.server("br1").resume();
    let end = spool.file(&a.to_string()).unwrap()["expires_at"].clone();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(alice.renew(), Some(a));
    eventually("the renewal is told", PATIENCE, || {
        (spool.file(&a.to_string())?["expires_at"] != end).then_some(())
    });
    let file = spool.file(&a.to_string()).unwrap();
    assert_eq!((&file["hostname"], &file["mac"]), (&"alice".into(), &mac(&alice.duid).into()));
    // It knows what it gave: a lease that it did not know could not be given back.
    bob.release();
    spool.settles(b, "ended");
    assert_eq!(fs::read_to_string(spool.path.join(".server-duid")).unwrap(), duid);
    assert_eq!(listed(&lab).len(), 1);
    let mut carol = lab.client("br1", "carol");
    spool.settles(carol.lease(), "active");
    assert_eq!(fs::read_to_string(spool.path.join(".server-duid")).unwrap(), duid);

    // What is lost is not guessed: the server does not start on it.
    lab.server("br1").stop();
    fs::rename(&spool.path, spool.path.with_extension("away")).unwrap();
    fs::write(&spool.path, "").unwrap();
    let mut init = Command::new(&spool.script);
    let output = init.arg("init").output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    fs::remove_file(&spool.path).unwrap();
    fs::rename(spool.path.with_extension("away"), &spool.path).unwrap();
    lab.server("br1").resume();
    assert_eq!(alice.renew(), Some(a));
}

#[test]
fn what_kea_tells_is_followed() {
    let name = "what_kea_tells_is_followed";
    let Some(mut lab) = Lab::or_skip(name) else { return };
    let Some(library) = run_script() else {
        return skipped(name, "Kea's hooks library run_script is not installed");
    };
    lab.bridge("br1");
    let Some(mut kea) = Kea::or_skip(name, &lab, "br1", "fd00:1::/64", &[]) else { return };
    let spool = Spool::new(&lab);
    kea.stop();
    let script = json!({"name": spool.script, "sync": false});
    kea.configure("hooks-libraries", json!([{"library": library, "parameters": script}]));
    kea.resume();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| lab.client("br1", name));
    let a = alice.lease();
    let file = spool.settles(a, "active");
    assert_eq!((&file["duid"], &file["hostname"]), (&alice.duid_text().into(), &"alice".into()));

    let words = ["--follow", "--resync", "none"];
    let mut watch = Running::start(&mut spool.watch(&lab, "kea-script", &words));
    let listed = watch.until("the lease", is("list", a));
    assert!(listed["expires_at"].is_string());
    let b = bob.lease();
    watch.until("a new lease", is("add", b));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(alice.renew(), Some(a));
    watch.until("a renewal", is("renew", a));
    alice.release();
    watch.until("its end", is("release", a));
    bob.decline();
    watch.until("what was declined", is("decline", b));

    // A short one is told to have expired, when its server says so or by its time.
    kea.stop();
    kea.configure("valid-lifetime", json!(2));
    kea.resume();
    let mut carol = lab.client("br1", "carol");
    let c = carol.lease();
    watch.until("a short lease", is("add", c));
    watch.until("its end", is("expire", c));
    assert_eq!(spool.settles(c, "ended")["event"], "expire");
}

fn run_script() -> Option<PathBuf> {
    let known =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
    let paths = known.map(|dir| Path::new(dir).join("kea/hooks/libdhcp_run_script.so"));
    paths.into_iter().find(|path| path.exists())
}

/// A spool of four pages, in a mount namespace that goes with the shell.
#[test]
fn a_full_disk_loses_what_is_told_and_nothing_else() {
    if !root_or_skip("a_full_disk_loses_what_is_told_and_nothing_else") {
        return;
    }
    let script = r#"
        mount -t tmpfs -o size=16k,nr_inodes=64 tmpfs "$1" || exit 99
        export DNSMASQ_IAID=1 DNSMASQ_LEASE_EXPIRES=0
        for n in 1 2 3 4 5 6 7 8; do
            "$2" --spool "$1" add 00:03:00:01:aa "fd00::$n" || exit 1
        done
        before=$(ls "$1" | wc -l)
        ! grep -L active "$1"/fd00* | grep . || exit 2
        "$2" --spool "$1" del 00:03:00:01:aa fd00::1 || exit 3
        ! grep active "$1/fd00::1" 2>/dev/null || exit 4
        "$2" --spool "$1" add 00:03:00:01:bb fd00::2 || exit 5
        grep -q active "$1/fd00::2" || exit 6
        echo "$before"
    "#;
    let dir = std::env::temp_dir().join(format!("lpt{}-full", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&dir).arg(bin!("lease-hook"));
    let output = command.output().unwrap();
    fs::remove_dir(&dir).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let kept: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!((1..8).contains(&kept), "{kept}");
    assert!(told.contains("no space left on device; what was told is lost"), "{told}");
    assert!(told.lines().all(|line| line.starts_with("lease-hook: ")), "{told}");
}
