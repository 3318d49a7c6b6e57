//! The bridges that a document names: several interfaces of one container, on real bridges with a
//! real dnsmasq each.

mod lab;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Docker, Done, Lab, Namespace, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

const BRIDGES: [&str; 2] = ["br1", "br2"];

/// A lab with the bridges `br1` and `br2`, a dnsmasq on each, and where attachments are remembered.
struct Site {
    lab: Lab,
    state: PathBuf,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let mut lab = Lab::or_skip(test)?;
        for (bridge, prefix) in BRIDGES.iter().zip(["fd00:1::/64", "fd00:2::/64"]) {
            lab.bridge(bridge);
            lab.dnsmasq(bridge, prefix, &[]);
        }
        Some(Site { state: lab.dir().join("attachments"), lab })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(&self.state);
        command
    }

    fn unionize(&self, words: &[&str], input: &[Value]) -> Done {
        run(&mut self.command(words), lines(input))
    }

    /// Has this done, which must work; gives the container's interfaces.
    #[track_caller]
    fn done(&self, words: &[&str], record: &Value) -> Vec<Value> {
        let done = self.unionize(words, std::slice::from_ref(record));
        assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
        let record = done.records().remove(0);
        let interfaces = record.pointer("/container/interfaces").or(record.get("interfaces"));
        interfaces.and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The names of the links that unionize made.
    fn links(&self) -> Vec<String> {
        let links: Vec<Value> = serde_json::from_str(&self.lab.ip("-j link show")).unwrap();
        let name = |link: &Value| link["ifname"].as_str().unwrap().to_owned();
        links.iter().map(name).filter(|name| name.starts_with("lp")).collect()
    }

    fn remembered(&self) -> usize {
        let entries = fs::read_dir(&self.state).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).count()
    }

    /// How many addresses the server of each bridge has leased.
    fn leases(&mut self) -> [usize; 2] {
        BRIDGES.map(|bridge| {
            let text = fs::read_to_string(self.lab.server(bridge).leases()).unwrap_or_default();
            text.lines().filter(|line| !line.starts_with("duid")).count()
        })
    }

    #[track_caller]
    fn nothing_is_left(&mut self) {
        assert_eq!((self.links(), self.remembered()), (vec![], 0));
        let none = || (self.leases() == [0, 0]).then_some(());
        eventually("no server has a lease", PATIENCE, none);
    }

    /// What plays a container whose document names these networks, and its namespace.
    fn container(&mut self, label: &str, networks: Value) -> (Value, Namespace) {
        let path = self.lab.namespace(label);
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
        (container("web", &path, networks), space)
    }
}

/// A container as container-run hands it on, whose network namespace is `netns`.
fn container(id: &str, netns: &Path, networks: Value) -> Value {
    json!({"id": id, "image": "busybox", "owner": "edge", "state": "running",
        "networks": networks, "docker": {"id": "0".repeat(64), "netns": netns}})
}

fn change(action: &str, container: &Value) -> Value {
    json!({"kind": "change", "action": action, "container": container})
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// One field of each.
fn all<'a>(interfaces: &'a [Value], field: &str) -> Vec<&'a str> {
    interfaces.iter().map(|interface| interface[field].as_str().unwrap()).collect()
}

fn pings(space: &Namespace, address: &str) -> bool {
    let mut ping = space.command("ping");
    ping.args(["-6", "-n", "-c1", "-W2", address]).output().unwrap().status.success()
}

/// The numbers of the interfaces inside, but for lo.
fn indices(space: &Namespace) -> Vec<u64> {
    let links: Vec<Value> = serde_json::from_str(&space.ip("-j link show")).unwrap();
    let others = links.iter().filter(|link| link["ifname"] != "lo");
    others.map(|link| link["ifindex"].as_u64().unwrap()).collect()
}

/// Both bridges, by DHCPv6.
fn both() -> Value {
    json!([{"bridge": "br1"}, {"bridge": "br2"}])
}

#[test]
fn a_real_container_gets_an_interface_for_each_bridge_of_its_document() {
    let test = "a_real_container_gets_an_interface_for_each_bridge_of_its_document";
    let Some(mut site) = Site::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    let wanted = json!({"id": format!("{}-web", docker.owner()), "image": "leasepipe/example",
    "networks": [
        {"bridge": "br1"},
        {"bridge": "br2", "interface": "lan", "mac": "02:00:00:00:00:09",
         "addresses": ["dhcp6", "fd00:2::5/64"]},
        {"bridge": "br2", "addresses": ["fd00:2::6/64"]},
    ]});
    let mut container_run = Command::new(bin!("container-run"));
    let made = run(container_run.args(["--owner", docker.owner()]), lines(&[wanted]));
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let web = made.records().remove(0);

    let interfaces = site.done(&[], &web);
    assert_eq!(all(&interfaces, "name"), ["eth0", "lan", "eth1"]);
    assert_eq!(all(&interfaces, "bridge"), ["br1", "br2", "br2"]);
    assert_eq!(interfaces[1]["mac"], "02:00:00:00:00:09");
    assert_eq!(interfaces[0]["duid"], interfaces[1]["duid"], "one client");
    assert_ne!(interfaces[0]["iaid"], interfaces[1]["iaid"]);
    assert_eq!(interfaces[2].get("duid"), None);
    assert_eq!(site.leases(), [1, 1]);
    let id = web["id"].as_str().unwrap();
    let inside = docker.docker(&["exec", id, "ip", "-6", "addr"]);
    let given = interfaces.iter().flat_map(|one| one["addresses"].as_array().unwrap());
    let given: Vec<&str> = given.map(|address| address["address"].as_str().unwrap()).collect();
    assert_eq!(given.len(), 4);
    assert!(given.iter().all(|address| inside.contains(address)), "{given:?}\n{inside}");
    let hardware = docker.docker(&["exec", id, "ip", "link", "show", "lan"]);
    assert!(hardware.contains("02:00:00:00:00:09") && hardware.contains("lan@"), "{hardware}");
    for there in ["fd00:1::1", "fd00:2::1"] {
        docker.docker(&["exec", id, "ping", "-6", "-c1", "-W2", there]);
    }

    let mut again = site.done(&[], &change("keep", &web));
    for (again, first) in again.iter_mut().zip(&interfaces) {
        again["ready_ms"] = first["ready_ms"].clone();
    }
    assert_eq!(again, interfaces, "a second run changes nothing");
    assert_eq!((site.links().len(), site.remembered()), (3, 3));

    assert_eq!(site.done(&[], &change("remove", &web)), [json!(null); 0]);
    let left = docker.docker(&["exec", id, "ip", "link"]);
    assert!(!left.contains("eth") && !left.contains("lan"), "{left}");
    site.nothing_is_left();
}

#[test]
fn docker_s_own_networks_come_first() {
    let test = "docker_s_own_networks_come_first";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    let network = format!("{}-net", docker.owner());
    let label = format!("bystander-of={}", docker.owner());
    docker.docker(&["network", "create", "--internal", "--label", &label, &network]);
    let wanted = json!({"id": format!("{}-web", docker.owner()), "image": "leasepipe/example",
        "networks": [{"bridge": "br1"}, network]});
    let mut container_run = Command::new(bin!("container-run"));
    let made = run(container_run.args(["--owner", docker.owner()]), lines(&[wanted]));
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let web = made.records().remove(0);
    assert_eq!(all(&site.done(&[], &web), "name"), ["eth1"]);
    let id = web["id"].as_str().unwrap();
    docker.docker(&["exec", id, "ip", "link", "show", "eth0"]);
    docker.docker(&["exec", id, "ping", "-6", "-c1", "-W2", "fd00:1::1"]);
    site.done(&[], &change("remove", &web));
    docker.docker(&["exec", id, "ip", "link", "show", "eth0"]);
}

#[test]
fn the_command_line_says_what_the_document_does_not() {
    let test = "the_command_line_says_what_the_document_does_not";
    let Some(mut site) = Site::or_skip(test) else { return };
    let networks = json!([{"bridge": "br2"}, {"bridge": "br1", "addresses": ["fd00:1::7/64"]}]);
    let (web, space) = site.container("c1", networks);
    let words = ["--bridge", "nowhere", "--interface", "wan", "--address", "fd00:2::7/64"];
    let interfaces = site.done(&words, &web);
    assert_eq!(all(&interfaces, "name"), ["wan", "eth0"]);
    let of = |at: usize| &interfaces[at]["addresses"][0]["address"];
    assert_eq!((of(0), of(1)), (&json!("fd00:2::7"), &json!("fd00:1::7")));
    assert!(pings(&space, "fd00:1::1") && pings(&space, "fd00:2::1"));
    assert_eq!(site.leases(), [0, 0]);
    site.done(&words, &change("remove", &web));
    site.nothing_is_left();

    // Neither names a bridge.
    let (mut none, _space) = site.container("c2", json!([]));
    none["id"] = json!("none");
    let done = site.unionize(&[], &[none, web]);
    let records = done.records();
    let by = |id: &str| records.iter().find(|record| record["id"] == id).unwrap();
    assert_eq!(
        (&by("none")["status"], &by("none")["error_kind"]),
        (&json!("failed"), &json!("bad_input"))
    );
    assert_eq!(by("web")["status"], "done");
    let told = "unionize: none: find its bridge: its document names none in networks, and there is no --bridge";
    assert!(done.stderr.starts_with(told), "{}", done.stderr);
    assert_eq!(done.status, Some(1));
}

#[test]
fn a_container_has_all_its_interfaces_or_none_that_is_new() {
    let test = "a_container_has_all_its_interfaces_or_none_that_is_new";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (mut web, space) = site.container("c1", both());
    web["networks"][1]["bridge"] = json!("nowhere");
    let done = site.unionize(&[], &[web.clone()]);
    let record = &done.records()[0];
    assert_eq!((&record["status"], &record["error_kind"]), (&json!("failed"), &json!("not_found")));
    assert_eq!(record.get("interfaces"), None);
    assert!(done.stderr.contains("web: eth1: find bridge nowhere"), "{}", done.stderr);
    assert_eq!(indices(&space), [0; 0]);
    site.nothing_is_left();

    // What was there before stays, when another interface fails later.
    web["networks"] = both();
    site.done(&[], &web);
    let before = indices(&space);
    site.lab.ip("link set br2 down");
    site.lab.ip("link del dev br2");
    let done = site.unionize(&["--timeout", "3s"], &[change("keep", &web)]);
    assert_eq!(done.records()[0]["status"], "failed");
    assert!(indices(&space).contains(&before[0]), "{}", done.stderr);
    assert!(pings(&space, "fd00:1::1"));
    assert_eq!(site.leases()[0], 1);
}

#[test]
fn a_duplicate_on_one_bridge_is_a_matter_of_the_whole_container() {
    let test = "a_duplicate_on_one_bridge_is_a_matter_of_the_whole_container";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (mut web, space) = site.container("c1", both());
    let first = site.done(&[], &web);
    site.done(&[], &change("remove", &web));
    site.nothing_is_left();
    let of = |interfaces: &Value, at: usize| interfaces[at]["addresses"][0]["address"].clone();
    let (mine, taken) = (of(&json!(first), 0), of(&json!(first), 1));
    let other = site.lab.namespace("sq");
    let other = Namespace::left_behind(other.file_name().unwrap().to_str().unwrap());
    site.lab.ip(&format!("link add sq type veth peer name eth0 netns {}", other.name()));
    site.lab.ip("link set sq master br2 up");
    other.ip("link set eth0 up");
    other.ip(&format!("addr add {}/64 dev eth0 nodad", taken.as_str().unwrap()));

    // A leased one is declined and another leased; the first interface keeps its own.
    let done = site.unionize(&[], std::slice::from_ref(&web));
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let last = done.records().pop().unwrap();
    assert_eq!(all(last["interfaces"].as_array().unwrap(), "name"), ["eth0", "eth1"]);
    assert_eq!(of(&last["interfaces"], 0), mine);
    assert_ne!(of(&last["interfaces"], 1), taken);
    site.done(&[], &change("remove", &web));
    site.nothing_is_left();

    // A given one cannot be another: what was made with it goes too, now or a second later.
    web["networks"][1]["addresses"] = json!([format!("{}/64", taken.as_str().unwrap())]);
    for mode in ["wait", "optimistic"] {
        let done = site.unionize(&["--dad", mode], std::slice::from_ref(&web));
        let last = done.records().pop().unwrap();
        assert_eq!((done.status, &last["error_kind"]), (Some(1), &json!("refused")), "{mode}");
        let told = last["interfaces"].as_array().cloned().unwrap_or_default();
        assert!(told.iter().all(|one| one.get("addresses").is_none()), "{mode}: {told:?}");
        assert_eq!(indices(&space), [0; 0], "{mode}");
        site.nothing_is_left();
    }
}

#[test]
fn an_interface_that_the_document_names_no_more_goes() {
    let test = "an_interface_that_the_document_names_no_more_goes";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (mut web, space) = site.container("c1", both());
    site.done(&[], &web);
    assert_eq!((site.leases(), indices(&space).len()), ([1, 1], 2));
    web["networks"] = json!([{"bridge": "br1"}]);
    assert_eq!(all(&site.done(&[], &web), "name"), ["eth0"]);
    assert_eq!((site.links().len(), site.remembered(), indices(&space).len()), (1, 1, 1));
    let given_back = || (site.leases() == [1, 0]).then_some(());
    eventually("the lease is given back", PATIENCE, given_back);

    // Another hardware address: the interface is made anew.
    web["networks"][0]["mac"] = json!("02:00:00:00:00:19");
    let interfaces = site.done(&[], &web);
    assert_eq!(interfaces[0]["mac"], "02:00:00:00:00:19");
    assert!(space.ip("link show eth0").contains("02:00:00:00:00:19"));
    assert!(pings(&space, "fd00:1::1"));

    // A removal that says no more than who it was.
    web["networks"] = both();
    site.done(&[], &web);
    let gone = json!({"id": "web", "image": "busybox", "state": "absent"});
    site.done(&[], &gone);
    assert_eq!(indices(&space), [0; 0]);
    site.nothing_is_left();
}

#[test]
fn renewals_and_what_is_left_are_of_all_interfaces() {
    let test = "renewals_and_what_is_left_are_of_all_interfaces";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (web, space) = site.container("c1", both());
    site.done(&[], &web);
    let done = run(&mut site.command(&["renew", "--all"]), "");
    assert_eq!((done.status, done.records().len()), (Some(0), 2), "{}", done.stderr);
    for bridge in BRIDGES {
        assert_eq!(site.lab.server(bridge).log().matches("DHCPRENEW").count(), 1);
    }
    // The container goes without a word, and a checkpoint says who is left.
    space.remove();
    let checkpoint = json!({"kind": "checkpoint", "of": "change", "count": 0});
    let gone = || {
        site.unionize(&[], std::slice::from_ref(&checkpoint));
        (site.remembered() == 0).then_some(())
    };
    eventually("all of it is cleared", PATIENCE, gone);
    site.nothing_is_left();
}

#[test]
fn what_a_killed_run_leaves_of_two_is_repaired_or_taken_away() {
    let test = "what_a_killed_run_leaves_of_two_is_repaired_or_taken_away";
    let Some(mut site) = Site::or_skip(test) else { return };
    let mut killed = [0; 2];
    for round in 0..20u64 {
        let (web, space) = site.container(&format!("c{round}"), both());
        let kill_after = Duration::from_micros(1_500 + round * 2_400);
        let mut kill = |site: &Site, record: &Value, at: usize| {
            let mut running = Running::start(&mut site.command(&[]));
            running.send(record);
            let end = Instant::now() + kill_after;
            let mut told = false;
            while Instant::now() < end && !told {
                told = running.line(Duration::ZERO).is_some();
            }
            killed[at] += usize::from(!told);
            running.signal(nix::sys::signal::Signal::SIGKILL);
            drop(running);
        };
        kill(&site, &change("add", &web), 0);
        if round % 2 == 0 {
            let interfaces = site.done(&[], &web);
            assert_eq!(all(&interfaces, "bridge"), BRIDGES, "round {round}");
            assert!(pings(&space, "fd00:1::1") && pings(&space, "fd00:2::1"), "round {round}");
            assert_eq!((site.links().len(), site.remembered()), (2, 2), "round {round}");
            kill(&site, &change("remove", &web), 1);
        }
        space.remove();
        let done = site.unionize(&[], &[change("remove", &web)]);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!((site.links(), site.remembered()), (vec![], 0), "round {round}");
        if round % 2 == 0 {
            site.nothing_is_left();
        }
    }
    eprintln!("killed before it was done: {} adds, {} removals", killed[0], killed[1]);
}
