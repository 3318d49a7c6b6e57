//! container-run and real engines that fail: what can be done is done, each failure is told on its
//! record, and a later run finishes.

mod lab;
mod many_hosts;
mod script;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Hosts, IMAGE, Running, bin, run};
use script::script;
use serde_json::{Value, json};

/// How much longer than all else here an engine may be waited for that says nothing.
const GIVEN_UP: Duration = Duration::from_secs(35);

/// The image as a file; a host whose disk is memory has lost it with its power.
fn image(hosts: &Hosts) -> String {
    hosts.base().join("image.tar").display().to_string()
}

fn container_run() -> Command {
    let mut command = Command::new(bin!("container-run"));
    command.args(["--insecure", "--owner", "edge", "--concurrency", "4"]);
    command
}

/// A document for a host, reached over the network.
fn document(hosts: &Hosts, host: usize, id: &str, fields: Value) -> Value {
    let mut document = json!({"id": id, "image": IMAGE, "pull": "never"});
    document["host"] = json!({"id": format!("h{host}"), "url": hosts.url(host)});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    document
}

/// What became of each of these, by id: done, or the kind of the failure and its words.
fn results(documents: &[Value]) -> BTreeMap<String, (String, String)> {
    let input: String = documents.iter().map(|document| format!("{document}\n")).collect();
    let done = run(&mut container_run(), input);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let result = |record: Value| {
        let kind = match text(&record["status"]).as_str() {
            "failed" => text(&record["error_kind"]),
            other => other.to_owned(),
        };
        (text(&record["id"]), (kind, text(&record["error"])))
    };
    done.records().into_iter().map(result).collect()
}

#[track_caller]
fn all_done(documents: &[Value]) {
    let results = results(documents);
    assert_eq!(results.len(), documents.len());
    assert!(results.values().all(|(kind, _)| kind == "done"), "{results:#?}");
}

/// How often a container of that name is there and runs.
fn count(hosts: &Hosts, host: usize, state: &str) -> usize {
    let filter = format!("status={state}");
    let names = hosts.docker(host, &["ps", "-aq", "--filter", &filter]);
    names.lines().count()
}

#[test]
fn engines_fail_and_later_runs_finish() {
    let test = "engines_fail_and_later_runs_finish";
    let Some(hosts) = Hosts::or_skip(test, 3, &["disk=3:48m"]) else { return };
    // An engine that says nothing is given up after half a minute. Meanwhile the others fail.
    hosts.cut(2);
    let unheard = ["cut", "cut-too"].map(|id| document(&hosts, 2, id, json!({})));
    let mut cut = Running::start(&mut container_run());
    unheard.iter().for_each(|document| cut.send(document));
    cut.close();
    let mut helper = Helper::asked(&hosts);
    each_failure_is_told_and_the_rest_is_done(&hosts);
    a_host_without_power_refuses(&hosts);
    an_engine_is_killed_in_the_middle(&hosts);
    for _ in &unheard {
        let record = cut.line(GIVEN_UP).expect("the record of a host that says nothing");
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["error_kind"], "timed_out", "{record:#}");
    }
    drop(cut);
    helper.is_given_up_and_gone();
    hosts.heal(2);
    all_done(&unheard);
    nothing_stays(hosts);
}

/// A run that asks credential helpers, of which one hangs and others say what makes no sense.
struct Helper {
    run: Running,
    pids: PathBuf,
}

impl Helper {
    fn asked(hosts: &Hosts) -> Helper {
        let dir = hosts.base().join("helpers");
        fs::create_dir(&dir).unwrap();
        let pids = dir.join("pids");
        let hangs = format!("sleep 900 & echo $$ $! > {}; wait", pids.display());
        let all = [
            ("hang", &*hangs),
            ("garbage", "echo '<html>sign in</html>'"),
            ("fails", "echo the keychain is locked; exit 1"),
        ];
        let mut helpers = serde_json::Map::new();
        for (name, does) in all {
            let file = dir.join(format!("docker-credential-{name}"));
            script(file, &format!("#!/bin/sh\n{does}\n"));
            helpers.insert(format!("{name}.invalid"), json!(name));
        }
        let config = json!({ "credHelpers": helpers });
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
        let mut command = container_run();
        command.env("PATH", path).env("DOCKER_CONFIG", &dir);
        let mut run = Running::start(&mut command);
        let image = |name: &str| {
            let fields = json!({"image": format!("{name}.invalid/app:1"), "pull": "always"});
            document(hosts, 1, &format!("from-{name}"), fields)
        };
        all.iter().for_each(|(name, _)| run.send(&image(name)));
        run.close();
        for _ in 0..2 {
            let record = run.next();
            let says = |kind: &str, words: &str| {
                let told = record["error"].as_str().unwrap_or_default();
                record["error_kind"] == kind && told.contains(words)
            };
            let told = match record["id"].as_str() {
                Some("from-fails") => says("refused", "the keychain is locked"),
                _ => says("bad_input", "docker-credential-garbage"),
            };
            assert!(told, "{record:#}");
        }
        Helper { run, pids }
    }

    fn is_given_up_and_gone(&mut self) {
        let record = self.run.line(GIVEN_UP).expect("the record whose helper hangs");
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["error_kind"], "timed_out", "{record:#}");
        assert!(
            record["error"].as_str().unwrap().contains("did not answer within 30 s"),
            "{record}"
        );
        let pids = fs::read_to_string(&self.pids).unwrap();
        assert_eq!(pids.split_whitespace().count(), 2, "{pids}");
        for pid in pids.split_whitespace() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
        }
    }
}

fn each_failure_is_told_and_the_rest_is_done(hosts: &Hosts) {
    let taken = ["run", "-d", "--name", "taken", "-p", "8080:80", IMAGE];
    hosts.docker(1, &taken);
    let fill = hosts.base().join("3/lib/fill").display().to_string();
    let filled = ["sh", "-c", "dd if=/dev/zero of=\"$1\" bs=64k 2>/dev/null; true", "sh", &fill];
    hosts.exec(3, &filled);
    let wanted = [
        document(hosts, 3, "full", json!({})),
        document(hosts, 1, "taken", json!({})),
        document(hosts, 1, "port", json!({"ports": ["8080:80"]})),
        document(hosts, 1, "no-image", json!({"image": "leasepipe/later:1"})),
        document(hosts, 1, "good", json!({})),
    ];
    let results = results(&wanted);
    let kind = |id: &str| results[id].0.as_str();
    let says = |id: &str, words: &str| {
        assert!(results[id].1.contains(words), "{id}: {}", results[id].1);
    };
    assert_eq!((kind("full"), kind("taken"), kind("port")), ("refused", "refused", "refused"));
    assert_eq!((kind("no-image"), kind("good")), ("not_found", "done"));
    says("full", "no space left");
    says("taken", "did not make");
    says("port", "8080");
    says("no-image", "leasepipe/later:1");
    // What failed left nothing behind.
    assert_eq!(hosts.look(1, "port", "{{.State.Status}}"), None);
    assert_eq!(count(hosts, 1, "running"), 2);

    hosts.exec(3, &["rm", &fill]);
    hosts.docker(1, &["rm", "-f", "taken"]);
    hosts.docker(1, &["tag", IMAGE, "leasepipe/later:1"]);
    all_done(&wanted);
    assert_eq!([1, 3].map(|host| count(hosts, host, "running")), [4, 1]);
}

fn a_host_without_power_refuses(hosts: &Hosts) {
    hosts.off(3);
    let wanted = [document(hosts, 3, "dark", json!({})), document(hosts, 1, "light", json!({}))];
    let begun = Instant::now();
    let results = results(&wanted);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((results["dark"].0.as_str(), results["light"].0.as_str()), ("unavailable", "done"));
    assert!(results["dark"].1.contains("refused"), "{}", results["dark"].1);
    hosts.on(3);
    hosts.docker(3, &["load", "-q", "-i", &image(hosts)]);
    all_done(&wanted);
}

/// The engine dies when half of the containers are made, and comes back.
fn an_engine_is_killed_in_the_middle(hosts: &Hosts) {
    let more: Vec<Value> =
        (0..12).map(|at| document(hosts, 1, &format!("more-{at}"), json!({}))).collect();
    let mut running = Running::start(&mut container_run());
    more.iter().for_each(|document| running.send(document));
    let mut all: Vec<Value> = (0..4).map(|_| running.next()).collect();
    hosts.crash(1);
    // Every record goes on.
    all.extend((4..more.len()).map(|_| running.next()));
    let (done, failed): (Vec<_>, Vec<_>) = all.iter().partition(|one| one["status"] == "done");
    assert!(done.len() >= 4 && !failed.is_empty(), "{all:#?}");
    for record in failed {
        assert_eq!(record["error_kind"], "unavailable", "{record:#}");
    }
    hosts.start(1);
    // The same run goes on with it.
    let late = document(hosts, 1, "late", json!({}));
    running.send(&late);
    assert_eq!(running.next()["status"], "done");
    drop(running);
    all_done(&more);
    let running = hosts.docker(1, &["ps", "-q", "--filter", "name=more-"]);
    assert_eq!(running.lines().count(), more.len());
}

fn nothing_stays(hosts: Hosts) {
    assert_eq!(hosts.exec(2, &["hostname"]), hosts.name(2));
    let paths: [PathBuf; 2] =
        [hosts.base().into(), PathBuf::from("/run/netns").join(hosts.name(1))];
    assert!(paths.iter().all(|path| path.exists()));
    drop(hosts);
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
}
