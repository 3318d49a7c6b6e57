//! docker-cccf with several managers of swarms: each service is told once.

mod engine;

use std::path::PathBuf;
use std::process::{Command, Output};

use engine::records;
use engine::swarm::{Manager, Mood, Swarm};
use serde_json::{Value, json};

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

    fn docker_cccf(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docker-cccf"));
        command.args(["--engine", "swarm", "--hosts", self.0.to_str().unwrap()]).args(more);
        command
    }

    fn list(&self) -> Output {
        self.docker_cccf(&[]).output().unwrap()
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
