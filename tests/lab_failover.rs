//! Containers leave a host that is down, or that drains: one program watches the hosts and writes what
//! it finds into a file, and the pipe goes by that.

mod lab;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lab::{Done, Hosts, IMAGE, Running, bin, eventually, run};
use serde_json::{Value, json};

const OWNER: &str = "failover";

/// Containers that are wanted.
const COUNT: usize = 4;

/// How long hosts may take to be seen, and containers to be made.
const SOON: Duration = Duration::from_secs(30);

struct Site {
    hosts: Hosts,
    /// Where the operator says which hosts there are.
    list: PathBuf,
    /// Where host-probe writes what it finds.
    found: PathBuf,
    wanted: PathBuf,
}

impl Site {
    fn list(&self, states: [&str; 2]) {
        let host = |(at, state): (usize, &str)| {
            let url = self.hosts.url(at + 1);
            format!(
                "{}\n",
                json!({"kind": "host", "id": format!("h{}", at + 1), "url": url, "state": state})
            )
        };
        let text: String = states.into_iter().enumerate().map(host).collect();
        let new = self.list.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.list).unwrap();
    }

    /// Waits until host-probe has written that.
    fn await_states(&self, states: [&str; 2]) {
        eventually("the hosts are found so", SOON, || {
            let text = fs::read_to_string(&self.found).ok()?;
            let found: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let are = found.iter().map(|host| host["state"].as_str().unwrap());
            are.eq(states).then_some(())
        });
    }

    /// The pipe, which follows what is there if that is asked for.
    fn pipe(&self, follow: bool) -> Command {
        let script = r#"set -o pipefail
            { cat "$wanted"; echo '{"kind":"checkpoint","of":"container","count":4}'; $wait; } \
              | "$cccf_diff" --owner "$owner" --force \
                  --current <("$docker_cccf" --owner "$owner" --hosts "$found" --insecure $follow) \
              | "$cccf_host" --hosts "$found" \
              | "$container_run" --owner "$owner" --insecure"#;
        let mut command = Command::new("bash");
        // So that it ends with all that it has started.
        command.process_group(0).args(["-c", script]).env("owner", OWNER);
        command.env("wanted", &self.wanted).env("found", &self.found);
        command.env("follow", if follow { "--follow" } else { "" });
        command.env("wait", if follow { "sleep 60" } else { "true" });
        command.env("cccf_diff", bin!("cccf-diff")).env("docker_cccf", bin!("docker-cccf"));
        command.env("cccf_host", bin!("cccf-host")).env("container_run", bin!("container-run"));
        command
    }

    fn run(&self) -> Done {
        let done = run(&mut self.pipe(false), "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done
    }

    /// How many of the containers run on a host.
    fn count(&self, host: usize) -> usize {
        let filter = format!("label=leasepipe.owner={OWNER}");
        self.hosts.docker(host, &["ps", "-q", "--filter", &filter]).lines().count()
    }

    fn counts(&self) -> [usize; 2] {
        [1, 2].map(|host| self.count(host))
    }
}

#[test]
fn containers_leave_hosts_that_are_down_or_drain() {
    let test = "containers_leave_hosts_that_are_down_or_drain";
    let Some(hosts) = Hosts::or_skip(test, 2, &[]) else { return };
    let at = |name: &str| hosts.base().join(name);
    let (list, found, wanted) = (at("hosts.json"), at("found.json"), at("wanted.json"));
    let document = |at: usize| {
        json!({"id": format!("web-{at}"), "image": IMAGE, "pull": "never", "network_mode": "none",
               "owner": OWNER, "command": ["sleep", "600"]})
    };
    let text: String = (0..COUNT).map(|at| format!("{}\n", document(at))).collect();
    fs::write(&wanted, text).unwrap();
    let site = Site { hosts, list, found, wanted };
    site.list(["active", "active"]);
    let mut probe = Command::new(bin!("host-probe"));
    probe.args(["--follow", "--interval", "300ms", "--timeout", "2s", "--insecure", "--hosts"]);
    let mut probe = Running::start(probe.arg(&site.list).arg("--write").arg(&site.found));
    site.await_states(["active", "active"]);
    site.run();
    assert_eq!(site.counts(), [2, 2]);

    // The engine of one dies; its containers run on, where nobody can reach them.
    site.hosts.off(2);
    site.await_states(["active", "down"]);
    let done = site.run();
    assert!(done.stderr.contains("h2: it is not asked"), "{}", done.stderr);
    assert_eq!(site.count(1), COUNT);
    assert_eq!(
        site.run().records().iter().filter(|record| record["action"] == "keep").count(),
        COUNT
    );

    // It comes back with what it had: each container stays once.
    site.hosts.on(2);
    site.await_states(["active", "active"]);
    site.run();
    assert_eq!(site.counts().iter().sum::<usize>(), COUNT, "{:?}", site.counts());

    // One drains, by the operator's word.
    site.list(["drain", "active"]);
    site.await_states(["drain", "active"]);
    site.run();
    assert_eq!(site.counts(), [0, COUNT]);
    site.list(["active", "active"]);
    site.await_states(["active", "active"]);

    // The same while the pipe follows: nobody runs anything again.
    let mut pipe = Running::start(&mut site.pipe(true));
    pipe.until("the first listing", |record| record["kind"] == "checkpoint");
    site.hosts.off(2);
    eventually("all are placed elsewhere", SOON, || (site.count(1) == COUNT).then_some(()));
    drop(pipe);
    probe.stop();
}
