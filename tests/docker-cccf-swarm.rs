//! docker-cccf with several managers of swarms: each service is told once.

mod engine;
mod program;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use engine::records;
use engine::swarm::{Manager, Mood, Swarm};
use program::Running;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docker-cccf");

/// In which nothing is told that is not to be: a manager is asked every second.
const CALM: Duration = Duration::from_millis(1500);

/// A list of hosts for as long as the test runs, h0, h1 and so on.
struct Hosts(PathBuf);

impl Hosts {
    fn new(managers: &[&Manager]) -> Hosts {
        let hosts = Hosts(managers[0].engine.socket.with_extension("hosts"));
        hosts.are(managers);
        hosts
    }

    fn are(&self, managers: &[&Manager]) {
        let host = |(at, manager): (usize, &&Manager)| {
            let url = manager.engine.url();
            json!({"kind": "host", "id": format!("h{at}"), "url": url}).to_string() + "\n"
        };
        let new = self.0.with_extension("new");
        std::fs::write(&new, managers.iter().enumerate().map(host).collect::<String>()).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn list(&self) -> Output {
        Command::new(PROGRAM).args(self.arguments()).output().unwrap()
    }

    fn follow(&self) -> Running {
        Running::start(PROGRAM, &[&self.arguments()[..], &["--follow"]].concat())
    }

    fn arguments(&self) -> [&str; 4] {
        ["--engine", "swarm", "--hosts", self.0.to_str().unwrap()]
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Host, name and state of a container, or what a checkpoint counts.
fn told(record: &Value) -> String {
    if record["kind"] == "checkpoint" {
        return record["count"].to_string();
    }
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    [word(&record["host"]["id"]), word(&record["id"]), word(&record["state"])].join(" ")
}

fn all_told(output: &Output) -> Vec<String> {
    records(output).iter().map(told).collect()
}

#[test]
fn each_swarm_is_listed_once_by_the_first_of_its_managers() {
    let (a, b) = (Swarm::new("a", &["web", "db"]), Swarm::new("b", &["web"]));
    let (a0, a1, b2, a3) =
        (a.manager("once0"), a.manager("once1"), b.manager("once2"), a.manager("once3"));
    let hosts = Hosts::new(&[&a0, &a1, &b2, &a3]);
    let output = hosts.list();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let listed = ["h0 web restarting", "h0 db restarting", "h2 web restarting", "3"];
    assert_eq!(all_told(&output), listed);
    assert_eq!([a0.listed(), a1.listed(), b2.listed(), a3.listed()], [1, 0, 1, 0]);
    // One of another order has another host.
    hosts.are(&[&a1, &a0]);
    assert_eq!(all_told(&hosts.list())[2], "2");
    assert_eq!((a0.listed(), a1.listed()), (1, 1));
}

#[test]
fn a_manager_that_fails_is_made_up_for_if_its_swarm_is_known() {
    let a = Swarm::new("a", &["web"]);
    let (first, second) = (a.manager("fails0"), a.manager("fails1"));
    let hosts = Hosts::new(&[&first, &second]);
    first.is_now(Mood::Sparing);
    let output = hosts.list();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(all_told(&output), ["h1 web restarting", "1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("h0: list services"), "{said}");
    assert!(said.contains("another manager of its swarm has listed it"), "{said}");
    // What cannot say which swarm it is of may be of another one.
    for mood in [Mood::Gone, Mood::Alone] {
        first.is_now(mood);
        let output = hosts.list();
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        assert_eq!(all_told(&output), ["h1 web restarting"], "{mood:?}");
    }
    // Nor is anything made up for when none of them tells.
    first.is_now(Mood::Sparing);
    second.is_now(Mood::Sparing);
    let output = hosts.list();
    assert_eq!((output.status.code(), all_told(&output).len()), (Some(1), 0), "{output:?}");
}

#[test]
fn managers_that_keep_their_swarm_back_are_told_side_by_side() {
    let a = Swarm::new("a", &["web"]);
    let (first, second) = (a.manager("secret0"), a.manager("secret1"));
    first.is_now(Mood::Secretive);
    let output = Hosts::new(&[&first, &second]).list();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(all_told(&output), ["h0 web restarting", "h1 web restarting", "2"]);
}

#[test]
fn an_engine_that_is_no_manager_is_refused() {
    let a = Swarm::new("a", &["web"]);
    let (first, second) = (a.manager("worker0"), a.manager("worker1"));
    second.is_now(Mood::Worker);
    let hosts = Hosts::new(&[&first, &second]);
    let output = hosts.list();
    assert_eq!((output.status.code(), all_told(&output).len()), (Some(1), 1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the engine is no manager of a swarm; name the URL"), "{said}");
    assert_eq!(hosts.follow().wait(), 1);
}

/// The listing that the next checkpoint closes.
fn listing(follow: &mut Running) -> Vec<String> {
    let mut listed = Vec::new();
    loop {
        let record = follow.next();
        if let Some(count) = record["count"].as_u64() {
            // What was told ahead of it was told by whoever answered first.
            return listed.split_off(listed.len() - usize::try_from(count).unwrap());
        }
        listed.push(told(&record));
    }
}

/// As many records as are to come, in the order of what they say, and no more.
#[track_caller]
fn comes(follow: &mut Running, expected: &[&str]) {
    let mut came: Vec<String> = expected.iter().map(|_| told(&follow.next())).collect();
    came.extend(follow.within(CALM).iter().map(told));
    came.sort();
    assert_eq!(came, expected);
}

/// Waits until a manager is followed (again).
#[track_caller]
fn followed(manager: &Manager) {
    let (before, end) = (manager.listed(), Instant::now() + Duration::from_secs(10));
    while manager.listed() < before + 2 {
        assert!(Instant::now() < end, "it is not asked");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_manager_that_is_lost_is_followed_by_another_one() {
    let (a, b) = (Swarm::new("a", &["db", "old", "web"]), Swarm::new("b", &["web"]));
    let (first, second, other) = (a.manager("lost0"), a.manager("lost1"), b.manager("lost2"));
    let hosts = Hosts::new(&[&first, &second, &other]);
    let mut follow = hosts.follow();
    let of_first = ["h0 db restarting", "h0 old restarting", "h0 web restarting"];
    assert_eq!(listing(&mut follow), [&of_first[..], &["h2 web restarting"]].concat());
    comes(&mut follow, &[]);
    a.have("web", 2);
    comes(&mut follow, &["h0 web restarting"]);

    // What changes before it shows that the one is lost is not lost.
    first.is_now(Mood::Gone);
    a.have("web", 3);
    a.lose("old");
    comes(&mut follow, &["h0 old absent", "h1 db restarting", "h1 web restarting"]);
    a.have("web", 4);
    comes(&mut follow, &["h1 web restarting"]);

    // Who is back stands by, until it has to take over.
    first.is_now(Mood::Well);
    followed(&first);
    a.have("web", 5);
    comes(&mut follow, &["h1 web restarting"]);
    second.is_now(Mood::Alone);
    a.have("new", 1);
    comes(&mut follow, &["h0 db restarting", "h0 new restarting", "h0 web restarting"]);
}

#[test]
fn only_a_host_whose_swarm_is_known_is_not_waited_for() {
    let (a, b) = (Swarm::new("a", &["web"]), Swarm::new("b", &["web"]));
    let (first, second) = (a.manager("known0"), a.manager("known1"));
    let (third, fourth) = (b.manager("known2"), b.manager("known3"));
    second.is_now(Mood::Gone);
    let hosts = Hosts::new(&[&first, &second]);
    let mut follow = hosts.follow();
    // It may be of a swarm of its own.
    assert!(follow.within(CALM).iter().all(|record| record["kind"] != "checkpoint"));
    second.is_now(Mood::Well);
    assert_eq!(listing(&mut follow), ["h0 web restarting"]);

    second.is_now(Mood::Gone);
    comes(&mut follow, &[]);
    hosts.are(&[&first, &second, &third]);
    assert_eq!(listing(&mut follow), ["h0 web restarting", "h2 web restarting"]);

    // Of what nobody tells nothing is known.
    first.is_now(Mood::Gone);
    comes(&mut follow, &[]);
    hosts.are(&[&first, &second, &third, &fourth]);
    comes(&mut follow, &[]);
    a.have("web", 2);
    second.is_now(Mood::Well);
    assert_eq!(listing(&mut follow), ["h1 web restarting", "h2 web restarting"]);
    comes(&mut follow, &[]);

    // With all of its managers a swarm leaves the list.
    hosts.are(&[&fourth]);
    let left = [0, 1, 2].map(|_| told(&follow.next()));
    assert_eq!(left, ["h1 web absent", "h0 web restarting", "1"]);
}
