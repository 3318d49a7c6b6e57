//! The commands of the README's "Many hosts", as they stand there, on three engines behind ssh of
//! which one dies and comes back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Done, Hosts, IMAGE, PATIENCE, Running, bin, eventually, run};
use crate::script::script;
use serde_json::{Value, json};

/// What the hosts are called.
const RACKS: [&str; 3] = ["rack7", "rack8", "rack9"];

/// Where an operator sits: a directory, and the hosts that his ssh knows.
struct Site {
    hosts: Hosts,
    dir: PathBuf,
    /// The commands of the README, without what is said of them.
    commands: Vec<String>,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let hosts = Hosts::or_skip(test, RACKS.len(), &["ssh"])?;
        let dir = hosts.base().join("operator");
        fs::create_dir(&dir).unwrap();
        symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"), dir.join("examples")).unwrap();
        let mail = "#!/bin/sh\ncat >> mails\n";
        script(dir.join("sendmail"), mail);
        let ssh = hosts.base().join("ssh");
        let mut config = fs::read_to_string(ssh.join("ssh_config")).unwrap();
        for (host, rack) in (1..).zip(RACKS) {
            let (keys, address) = (ssh.display(), hosts.address(host));
            config += &format!(
                "Host {rack}\n HostName {address}\n IdentityFile {keys}/id\n IdentitiesOnly yes\n \
                 UserKnownHostsFile {keys}/known_hosts\n"
            );
        }
        fs::write(ssh.join("ssh_config"), config).unwrap();
        Some(Site { hosts, dir, commands: commands() })
    }

    /// The one command of the README that has these words.
    fn command(&self, words: &str) -> &str {
        let mut found = self.commands.iter().filter(|command| command.contains(words));
        let command = found.next().unwrap_or_else(|| panic!("{words:?}: {:#?}", self.commands));
        assert_eq!(found.next(), None);
        command
    }

    fn shell(&self, command: &str) -> Command {
        let programs = Path::new(bin!("host-add")).parent().unwrap().display();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{programs}:{}:{path}", self.hosts.ssh().display());
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).current_dir(&self.dir).env("PATH", path);
        shell.env("ALERT_WAIT", "1").env("ALERT_SENDMAIL", "./sendmail");
        shell
    }

    /// Looks at the hosts, and runs the pipe over those that are there.
    #[track_caller]
    fn run_pipe(&self) -> Done {
        let probed = run(&mut self.shell(self.command("host-probe")), "");
        assert_eq!(probed.status, Some(0), "{}", probed.stderr);
        let done = run(&mut self.shell(self.command("cccf-scale")), "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done
    }

    fn want(&self, scale: u32) {
        let app = json!({"id": "web", "image": IMAGE, "pull": "never", "scale": scale});
        fs::write(self.dir.join("wanted.json"), app.to_string()).unwrap();
    }

    /// Where each of the containers runs, by the engines themselves.
    fn running(&self, hosts: &[usize]) -> BTreeMap<String, Vec<usize>> {
        let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for host in hosts {
            let names = self.hosts.docker(*host, &["ps", "--format", "{{.Names}}"]);
            for name in names.lines() {
                all.entry(name.to_owned()).or_default().push(*host);
            }
        }
        all
    }

    /// Each of so many runs once.
    #[track_caller]
    fn all_run(&self, hosts: &[usize], count: usize) {
        let running = self.running(hosts);
        assert_eq!(running.len(), count, "{running:?}");
        assert!(running.values().all(|at| at.len() == 1), "{running:?}");
    }

    fn mails(&self) -> String {
        fs::read_to_string(self.dir.join("mails")).unwrap_or_default()
    }

    fn mail_says(&self, words: &str) {
        eventually(words, PATIENCE, || self.mails().contains(words).then_some(()));
    }
}

/// The commands under the heading, each on one line.
fn commands() -> Vec<String> {
    let text = include_str!("../../README.md");
    let (_, section) = text.split_once("\n## Many hosts\n").expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    let code: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let code = code.join("\n").replace("\\\n", "");
    let bare = |line: &str| line.split("  # ").next().unwrap().trim().to_owned();
    code.lines().map(bare).map(|line| line.replace("/var/lib/node_exporter/", "")).collect()
}

/// What was done, and how it ended: `add done`.
fn done(done: &Done) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for record in done.records() {
        if let (Some(action), Some(status)) = (record["action"].as_str(), record["status"].as_str())
        {
            *all.entry(format!("{action} {status}")).or_default() += 1;
        }
    }
    all
}

fn are<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(what, count)| (what.to_owned(), count)).collect()
}

#[test]
fn the_readme_s_many_hosts_go_on_while_one_is_dead() {
    let test = "the_readme_s_many_hosts_go_on_while_one_is_dead";
    let Some(site) = Site::or_skip(test) else { return };
    the_hosts_are_entered(&site);
    let mut watch = site.shell(site.command("container-watch --hosts"));
    let mut watch = Running::start(watch.process_group(0));
    let metrics = || fs::read_to_string(site.dir.join("docker.prom")).unwrap_or_default();
    eventually("metrics", PATIENCE, || metrics().contains("rack9").then_some(()));

    site.want(6);
    assert_eq!(done(&site.run_pipe()), are([("add done", 6)]));
    site.all_run(&[1, 2, 3], 6);
    assert!((1..=3).all(|host| site.running(&[host]).len() == 2));
    let told = run(&mut site.shell(site.command("--action restart")), "");
    let restarts = told.records().into_iter().filter(|told| told["steps"][0]["step"] == "restart");
    assert_eq!((told.status, restarts.count()), (Some(0), 6));

    // What ran on the host that is dead runs on the others, beside what is new.
    site.hosts.off(2);
    site.want(9);
    assert_eq!(done(&site.run_pipe()), are([("keep done", 4), ("add done", 5)]));
    site.all_run(&[1, 3], 9);
    site.mail_says("host-down on rack8");

    // It comes back with what it had, of which each is there twice by then.
    site.hosts.on(2);
    let back = site.run_pipe();
    assert!(done(&back).keys().all(|what| what.ends_with(" done")), "{:?}", done(&back));
    assert_eq!(done(&site.run_pipe()), are([("keep done", 9)]));
    site.all_run(&[1, 2, 3], 9);
    site.mail_says("host-up on rack8");
    watch.stop();
}

fn the_hosts_are_entered(site: &Site) {
    let add = site.command("host-add");
    for rack in RACKS {
        let add = add.replace(RACKS[0], rack);
        let done = run(&mut site.shell(&add), "");
        assert_eq!(done.status, Some(0), "{add}: {}", done.stderr);
        let record: Value = done.records().remove(0);
        assert_eq!((&record["id"], &record["labels"]["zone"]), (&json!(rack), &json!("b")));
    }
}
