//! unionize on real bridges, namespaces and a real dnsmasq. What is so is read with `ip -j` and from
//! dnsmasq's own files, not with the suite's types.

mod lab;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Done, Lab, Namespace, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

/// A container as container-run hands it on, whose network namespace is `netns`.
fn container(id: &str, netns: &Path) -> Value {
    json!({"id": id, "image": "busybox", "owner": "edge", "state": "running",
        "docker": {"id": "0".repeat(64), "netns": netns}})
}

fn change(action: &str, container: &Value) -> Value {
    json!({"kind": "change", "action": action, "container": container})
}

/// A lab with a bridge `br1`, a dnsmasq on it, and where attachments are remembered.
struct Site {
    lab: Lab,
    state: PathBuf,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let mut lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        lab.dnsmasq("br1", "fd00:1::/64", &[]);
        Some(Site { state: lab.dir().join("attachments"), lab })
    }

    /// A namespace with the settings that container-run gives to containers.
    fn space(&mut self, label: &str) -> Space {
        let path = self.lab.namespace(label);
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
        Space { path, space }
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(&self.state);
        command
    }

    fn unionize(&self, words: &[&str], input: &[Value]) -> Done {
        let words: Vec<&str> = ["--bridge", "br1"].iter().chain(words).copied().collect();
        run(&mut self.command(&words), lines(input))
    }

    /// Attaches one container, which must work, and returns its interface.
    #[track_caller]
    fn attach(&self, words: &[&str], container: &Value) -> Value {
        let done = self.unionize(words, std::slice::from_ref(container));
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let record = done.records().remove(0);
        assert_eq!(record["status"], "done", "{record}");
        record["interfaces"][0].clone()
    }

    /// Takes one container away, which must work.
    #[track_caller]
    fn detach(&self, container: &Value) {
        let done = self.unionize(&[], &[change("remove", container)]);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!(done.stderr, "");
    }

    /// The links on the host that unionize made.
    fn links(&self) -> Vec<String> {
        let links: Vec<Value> = serde_json::from_str(&self.lab.ip("-j link show")).unwrap();
        let name = |link: &Value| link["ifname"].as_str().unwrap().to_owned();
        links.iter().map(name).filter(|name| name.starts_with("lp")).collect()
    }

    fn remembered(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.state).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// The addresses that dnsmasq has leased.
    fn leases(&mut self) -> Vec<String> {
        let text = fs::read_to_string(self.lab.server("br1").leases()).unwrap_or_default();
        let fields = |line: &str| line.split(' ').nth(2).map(str::to_owned);
        text.lines().filter(|line| !line.starts_with("duid")).filter_map(fields).collect()
    }

    #[track_caller]
    fn nothing_is_left(&mut self) {
        assert_eq!(self.links(), [""; 0]);
        assert_eq!(self.remembered(), [""; 0]);
        let wanted: Vec<String> = vec![];
        eventually("dnsmasq has no lease", PATIENCE, || (self.leases() == wanted).then_some(()));
    }

    /// How often dnsmasq has logged this word.
    fn logged(&mut self, word: &str) -> usize {
        self.lab.server("br1").log().matches(word).count()
    }
}

/// What plays a container.
struct Space {
    path: PathBuf,
    space: Namespace,
}

impl Space {
    fn json(&self, words: &str) -> Vec<Value> {
        let text = self.space.ip(words);
        serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text }).unwrap()
    }

    /// The addresses of more than link scope on `eth0`: address, prefix length, flags by name.
    fn addresses(&self) -> Vec<Value> {
        let links = self.json("-j -6 addr show dev eth0");
        let all = links.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
        all.filter(|address| address["scope"] == "global").cloned().collect()
    }

    fn router(&self) -> Option<String> {
        let routes = self.json("-j -6 route show default");
        routes.first().map(|route| route["gateway"].as_str().unwrap().to_owned())
    }

    fn index(&self) -> u64 {
        self.json("-j link show dev eth0")[0]["ifindex"].as_u64().unwrap()
    }

    fn pings(&self, address: &str) -> bool {
        let mut ping = self.space.command("ping");
        ping.args(["-6", "-n", "-c1", "-W2", address]).output().unwrap().status.success()
    }

    fn remove(self) {
        self.space.remove();
    }
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

#[test]
fn a_container_gets_a_link_an_address_and_a_route() {
    let Some(mut site) = Site::or_skip("a_container_gets_a_link_an_address_and_a_route") else {
        return;
    };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let mut running = Running::start(&mut site.command(&["--bridge", "br1"]));
    running.send(&change("add", &web));
    let record = running.next();
    assert!(space.pings("fd00:1::1"), "usable as soon as it is told");
    let interface = &record["container"]["interfaces"][0];
    let done = running.finish();
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    assert_eq!(done.records(), [json!(null); 0], "the address holds: nothing more is told");

    let address = interface["addresses"][0]["address"].as_str().unwrap();
    let found = space.addresses();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["local"], &found[0]["prefixlen"]), (&json!(address), &json!(128)));
    assert!(found[0]["valid_life_time"].as_u64().unwrap() <= 3600);
    assert!(site.lab.server("br1").has_lease(address));
    assert_eq!(space.router().as_deref(), interface["router"].as_str());
    let links: Vec<Value> = serde_json::from_str(&site.lab.ip("-j link show master br1")).unwrap();
    let outer = links.iter().find(|link| link["ifname"] == interface["link"]).unwrap();
    assert_eq!(outer["operstate"], "UP");
    let port = interface["link"].as_str().unwrap();
    assert_eq!(site.lab.ip(&format!("-6 addr show dev {port}")), "", "a port has no address");
    assert_eq!(site.lab.ip(&format!("-6 route show table all dev {port}")), "");
    let inner = &space.json("-j link show dev eth0")[0];
    assert_eq!(inner["address"], interface["mac"]);
    let line = format!("{} {address} * {}", interface["iaid"], interface["duid"].as_str().unwrap());
    let leases = fs::read_to_string(site.lab.server("br1").leases()).unwrap();
    assert!(leases.contains(&line), "{leases}");

    site.detach(&web);
    assert!(space.json("-j link").iter().all(|link| link["ifname"] != "eth0"));
    site.nothing_is_left();
    assert!(!site.lab.ip("-6 neigh show dev br1").contains(interface["mac"].as_str().unwrap()));
}

#[test]
fn a_second_run_changes_nothing() {
    let Some(mut site) = Site::or_skip("a_second_run_changes_nothing") else { return };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let first = site.attach(&[], &web);
    let (index, asked) = (space.index(), site.logged("DHCPSOLICIT"));
    let done = site.unionize(&[], &[change("keep", &web)]);
    let mut second = done.records()[0]["container"]["interfaces"][0].clone();
    second["ready_ms"] = first["ready_ms"].clone();
    assert_eq!(second, first);
    assert_eq!((space.index(), site.logged("DHCPSOLICIT")), (index, asked));
    assert_eq!(done.stderr, "");
    site.detach(&web);
    site.detach(&web);
    site.nothing_is_left();
}

#[test]
fn ipv6_is_switched_on_where_docker_has_switched_it_off() {
    let Some(mut site) = Site::or_skip("ipv6_is_switched_on_where_docker_has_switched_it_off")
    else {
        return;
    };
    let space = site.space("c1");
    for of in ["all", "default"] {
        space.space.sysctl(&format!("net.ipv6.conf.{of}.disable_ipv6"), "1");
    }
    space.space.sysctl("net.ipv6.conf.default.optimistic_dad", "0");
    space.space.sysctl("net.ipv6.conf.default.addr_gen_mode", "3");
    let interface = site.attach(&[], &container("web", &space.path));
    assert!(interface["ready_ms"].as_f64().unwrap() < 1000.0, "{interface}");
    assert!(space.pings("fd00:1::1"));
}

#[test]
fn a_container_that_is_gone_gives_its_lease_back() {
    let Some(mut site) = Site::or_skip("a_container_that_is_gone_gives_its_lease_back") else {
        return;
    };
    let space = site.space("c1");
    let web = container("web", &space.path);
    site.attach(&[], &web);
    assert_eq!(site.leases().len(), 1);
    space.remove();
    site.detach(&web);
    assert_eq!(site.logged("DHCPRELEASE"), 1);
    site.nothing_is_left();
}

#[test]
fn a_restarted_container_is_attached_with_the_lease_that_it_has() {
    let Some(mut site) = Site::or_skip("a_restarted_container_is_attached_with_the_lease_it_has")
    else {
        return;
    };
    let old = site.space("c1");
    let first = site.attach(&[], &container("web", &old.path));
    old.remove();
    let new = site.space("c2");
    let second = site.attach(&[], &container("web", &new.path));
    assert_eq!(second["addresses"][0]["address"], first["addresses"][0]["address"]);
    assert_eq!(site.logged("DHCPSOLICIT"), 1);
    assert!(new.pings("fd00:1::1"));
    assert_eq!(site.links().len(), 1);
}

#[test]
fn what_a_killed_run_leaves_is_repaired_or_taken_away() {
    let Some(mut site) = Site::or_skip("what_a_killed_run_leaves_is_repaired_or_taken_away") else {
        return;
    };
    let bystander = site.space("by");
    site.lab.ip(&format!("link add by type veth peer name eth0 netns {}", bystander.space.name()));
    site.lab.ip("link set by master br1 up");
    let before = bystander.index();
    let mut killed = [0; 2];
    for round in 0..24u64 {
        let space = site.space(&format!("c{round}"));
        let web = container("web", &space.path);
        let kill_after = Duration::from_micros(1_500 + round * 1_200);
        let mut kill = |site: &Site, record: &Value, at: usize| {
            let mut running = Running::start(&mut site.command(&["--bridge", "br1"]));
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
            let interface = site.attach(&[], &web);
            assert_eq!(space.addresses().len(), 1, "round {round}: {interface}");
            assert!(space.pings("fd00:1::1"), "round {round}");
            assert_eq!((site.links().len(), site.remembered().len()), (1, 1), "round {round}");
            kill(&site, &change("remove", &web), 1);
        }
        space.remove();
        site.detach(&web);
        assert_eq!((site.links(), site.remembered()), (vec![], vec![]), "round {round}");
        // Killed between the server's answer and the writing down of it, a run leaves a lease that
        // it knows nothing of. It ends by itself, or is the next run's: the DUID is the same.
        if round % 2 == 0 {
            site.nothing_is_left();
        }
    }
    eprintln!("killed before it was done: {} adds, {} removals", killed[0], killed[1]);
    assert_eq!(bystander.index(), before);
    assert!(site.lab.ip("link show by").contains("master br1"));
}

#[test]
fn a_name_that_is_taken_is_refused_and_left_alone() {
    let Some(mut site) = Site::or_skip("a_name_that_is_taken_is_refused_and_left_alone") else {
        return;
    };
    let space = site.space("c1");
    site.lab.ip(&format!("link add by type veth peer name eth0 netns {}", space.space.name()));
    let index = space.index();
    let done = site.unionize(&[], &[container("web", &space.path)]);
    assert_eq!(done.status, Some(1));
    assert!(done.stderr.contains("an interface eth0 that is not unionize's"), "{}", done.stderr);
    let record = &done.records()[0];
    assert_eq!((&record["status"], &record["error_kind"]), (&json!("failed"), &json!("refused")));
    assert_eq!(space.index(), index);
    site.nothing_is_left();
    site.attach(&["--interface", "eth1"], &container("web", &space.path));
}

#[test]
fn a_duplicate_is_declined_and_another_address_is_leased() {
    let Some(mut site) = Site::or_skip("a_duplicate_is_declined_and_another_address_is_leased")
    else {
        return;
    };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let taken = site.attach(&[], &web)["addresses"][0]["address"].as_str().unwrap().to_owned();
    site.detach(&web);
    let squatter = site.space("squatter");
    site.lab.ip(&format!("link add sq type veth peer name eth0 netns {}", squatter.space.name()));
    site.lab.ip("link set sq master br1 up");
    squatter.space.ip("link set eth0 up");
    squatter.space.ip(&format!("addr add {taken}/64 dev eth0 nodad"));

    let done = site.unionize(&[], std::slice::from_ref(&web));
    let records = done.records();
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains(&format!("use address {taken}: another")), "{}", done.stderr);
    // One record when the other station speaks up before the first, two when it does later.
    assert!(records.len() == 1 || records[0]["interfaces"][0]["addresses"][0]["address"] == *taken);
    let last = records.last().unwrap();
    assert_eq!(last["status"], "done");
    let other = &last["interfaces"][0]["addresses"][0]["address"];
    assert_ne!(*other, *taken);
    assert_eq!(space.addresses()[0]["local"], *other);
    assert_eq!(site.logged("DHCPDECLINE"), 1);
    assert_eq!(site.leases(), [other.as_str().unwrap()]);
    site.detach(&web);

    let interface = site.attach(&["--dad", "wait"], &web);
    assert_ne!(interface["addresses"][0]["address"], *taken);
    let flags = &space.addresses()[0];
    assert_eq!(flags.get("tentative"), None, "{flags}");
    site.detach(&web);
    let fixed = format!("{taken}/64");
    let given = ["--dad", "wait", "--address", &fixed];
    let done = site.unionize(&given, std::slice::from_ref(&web));
    assert_eq!((done.status, &done.records()[0]["error_kind"]), (Some(1), &json!("refused")));
    let done = site.unionize(&given[2..], &[web]);
    let records = done.records();
    let last = records.last().unwrap();
    assert_eq!((done.status, &last["error_kind"]), (Some(1), &json!("refused")));
    if records.len() == 2 {
        assert_eq!(records[0]["interfaces"][0]["addresses"][0]["address"], *taken);
        assert_eq!(last["interfaces"][0]["mac"], records[0]["interfaces"][0]["mac"]);
        assert_eq!(last["interfaces"][0].get("addresses"), None, "{last}");
    }
    site.nothing_is_left();
}

#[test]
fn a_container_s_own_addresses_are_given_to_it_beside_the_others() {
    let Some(mut site) = Site::or_skip("a_container_s_own_addresses_are_given_to_it") else {
        return;
    };
    let (one, two) = (site.space("c1"), site.space("c2"));
    let mut web = container("web", &one.path);
    web["addresses"] = json!(["fd00:f:0:ff::5/64", "fd00:f:0:ff::6/128"]);
    let mut db = container("db", &two.path);
    db["addresses"] = json!(["fd00:f:0:ff::7/64"]);
    let interface = site.attach(&["--dad", "wait"], &web);
    let given: Vec<&Value> = interface["addresses"].as_array().unwrap().iter().collect();
    assert_eq!(given.len(), 3, "{interface}");
    assert_eq!(given[0]["origin"], "dhcp6");
    assert_eq!(
        (&given[1]["address"], &given[1]["origin"]),
        (&json!("fd00:f:0:ff::5"), &json!("static"))
    );
    let mut found: Vec<String> = one
        .addresses()
        .iter()
        .map(|found| format!("{}/{}", found["local"].as_str().unwrap(), found["prefixlen"]))
        .filter(|found| found.starts_with("fd00:f:"))
        .collect();
    found.sort();
    assert_eq!(found, ["fd00:f:0:ff::5/64", "fd00:f:0:ff::6/128"]);
    // Also where the command line asks for none, and to somebody else in that prefix.
    let interface = site.attach(&["--address", "none"], &db);
    assert_eq!(interface["addresses"].as_array().unwrap().len(), 1, "{interface}");
    assert_eq!(two.addresses()[0]["local"], "fd00:f:0:ff::7");
    assert!(two.pings("fd00:f:0:ff::5"));
    // A second run changes nothing; what went is given again.
    let index = one.index();
    site.attach(&[], &web);
    one.space.ip("-6 addr del fd00:f:0:ff::5/64 dev eth0");
    site.attach(&["--dad", "wait"], &web);
    assert_eq!(one.index(), index);
    assert!(one.addresses().iter().any(|found| found["local"] == "fd00:f:0:ff::5"));
    site.detach(&web);
    site.detach(&db);
    site.nothing_is_left();
}

#[test]
fn beside_docker_s_interface_it_is_called_eth1() {
    let Some(mut site) = Site::or_skip("beside_docker_s_interface_it_is_called_eth1") else {
        return;
    };
    let space = site.space("c1");
    site.lab.ip(&format!("link add by type veth peer name eth0 netns {}", space.space.name()));
    let mut web = container("web", &space.path);
    web["private_network"] = json!({"name": "leasepipe-edge-k", "alias": "web"});
    let interface = site.attach(&[], &web);
    assert_eq!(interface["name"], "eth1");
    // What lease-cccf says of one that is gone is enough to take it away.
    let gone = json!({"id": "web", "image": "busybox", "owner": "edge", "state": "absent",
        "private_network": web["private_network"]});
    let done = site.unionize(&[], &[gone]);
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    let links: Vec<Value> = space.json("-j link show");
    let names: Vec<&Value> = links.iter().map(|link| &link["ifname"]).collect();
    assert_eq!(names, [&json!("lo"), &json!("eth0")]);
    site.nothing_is_left();
}

#[test]
fn given_addresses_and_none() {
    let Some(mut site) = Site::or_skip("given_addresses_and_none") else { return };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let words = ["--address", "fd00:1::77/64@fe80::1", "--dad", "off", "--mtu", "1400"];
    let interface = site.attach(&words, &web);
    assert_eq!(interface["addresses"][0]["origin"], "static");
    assert!(space.pings("fd00:1::1"));
    assert!(space.json("-j -6 route show default").iter().any(|r| r["gateway"] == "fe80::1"));
    assert_eq!(space.json("-j link show dev eth0")[0]["mtu"], 1400);
    assert_eq!(site.leases(), [""; 0]);
    site.detach(&web);
    let interface = site.attach(&["--address", "none"], &web);
    assert_eq!(interface.get("addresses"), None);
    assert_eq!(space.json("-j link show dev eth0")[0]["operstate"], "UP");
    site.detach(&web);
    site.nothing_is_left();
    assert_eq!(site.unionize(&["--address", "none", "--address", "dhcp6"], &[]).status, Some(64));
    assert_eq!(site.unionize(&["--address", "192.0.2.1/33"], &[]).status, Some(64));
    assert_eq!(site.unionize(&["--interface", "all"], &[]).status, Some(64));
}

#[test]
fn a_dry_run_tells_what_a_live_run_does() {
    let Some(mut site) = Site::or_skip("a_dry_run_tells_what_a_live_run_does") else { return };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let told = |site: &Site, record: Value| -> Vec<String> {
        let done = site.unionize(&["--dry-run"], std::slice::from_ref(&record));
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!(done.records(), [record], "a record goes on as it came");
        done.stderr.lines().map(str::to_owned).collect()
    };
    let plan = told(&site, web.clone());
    assert!(plan[0].starts_with("unionize: web: would create veth lp"), "{plan:?}");
    assert_eq!(plan.last().unwrap(), "unionize: web: would lease by DHCPv6");
    site.nothing_is_left();
    site.attach(&[], &web);
    assert_eq!(told(&site, web.clone()), [""; 0]);
    space.space.ip("link set eth0 down");
    site.lab.ip(&format!("link set {} nomaster", site.links()[0]));
    let plan = told(&site, web.clone()).join("\n");
    assert!(plan.contains("would plug into the bridge"), "{plan}");
    assert!(plan.contains("would switch the container's end on"), "{plan}");
    site.attach(&[], &web);
    assert!(space.pings("fd00:1::1"));
    let plan = told(&site, change("remove", &web));
    assert_eq!(plan.len(), 4, "{plan:?}");
    assert_eq!((site.links().len(), site.leases().len()), (1, 1));
}

#[test]
fn a_silent_server_leaves_nothing_behind() {
    let Some(mut site) = Site::or_skip("a_silent_server_leaves_nothing_behind") else { return };
    let space = site.space("c1");
    let web = container("web", &space.path);
    site.lab.server("br1").stop();
    let done = site.unionize(&["--timeout", "1500ms"], std::slice::from_ref(&web));
    assert_eq!((done.status, &done.records()[0]["error_kind"]), (Some(1), &json!("timed_out")));
    site.nothing_is_left();
    assert!(space.json("-j link").iter().all(|link| link["ifname"] != "eth0"));
    site.lab.server("br1").resume();
    site.attach(&[], &web);
    site.lab.server("br1").stop();
    space.remove();
    let done = site.unionize(&[], &[change("remove", &web)]);
    assert_eq!(done.status, Some(0));
    assert!(done.stderr.contains("the lease ends by itself"), "{}", done.stderr);
    assert_eq!((site.links().len(), site.remembered().len()), (0, 0));
}

#[test]
fn what_is_odd_about_a_bridge_is_told_once_and_left_alone() {
    let Some(mut site) = Site::or_skip("what_is_odd_about_a_bridge_is_told_once_and_left_alone")
    else {
        return;
    };
    let (one, two) = (site.space("c1"), site.space("c2"));
    let containers = [container("one", &one.path), container("two", &two.path)];
    site.lab.ip("link add br2 type bridge stp_state 1 forward_delay 200");
    site.lab.ip("link set br2 up");
    let before = site.lab.ip("-d -j link show br2");
    let words = ["--bridge", "br2", "--address", "none"];
    let done = run(&mut site.command(&words), lines(&containers));
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    for odd in ["has no carrier", "runs a spanning tree: a new port is silent for 4 s"] {
        assert_eq!(done.stderr.matches(odd).count(), 1, "{}", done.stderr);
    }
    let settings = |text: &str| {
        let links: Vec<Value> = serde_json::from_str(text).unwrap();
        let data = &links[0]["linkinfo"]["info_data"];
        (data["stp_state"].clone(), data["forward_delay"].clone(), links[0]["mtu"].clone())
    };
    assert_eq!(settings(&site.lab.ip("-d -j link show br2")), settings(&before));
    let done = run(&mut site.command(&["--bridge", "br1-stub"]), lines(&containers));
    assert_eq!(done.records()[0]["error_kind"], "refused");
    let done = run(&mut site.command(&["--bridge", "br9"]), lines(&containers));
    assert_eq!(done.records()[0]["error_kind"], "not_found");
}

#[test]
fn a_checkpoint_sweeps_what_was_not_listed_and_is_gone() {
    let Some(mut site) = Site::or_skip("a_checkpoint_sweeps_what_was_not_listed_and_is_gone")
    else {
        return;
    };
    let spaces = ["kept", "gone", "failed", "there"].map(|label| (label, site.space(label)));
    let containers = spaces.each_ref().map(|(label, space)| container(label, &space.path));
    let done = site.unionize(&[], &containers);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let foreign = site.state.join("lpforeign.json");
    fs::write(&foreign, "{}").unwrap();
    let mut there = Vec::new();
    for (label, space) in spaces {
        match label {
            "gone" | "failed" => space.remove(),
            _ => there.push(space),
        }
    }
    let mut failed = change("keep", &containers[2]);
    failed["status"] = json!("failed");
    let listing = [
        change("keep", &containers[0]),
        failed,
        json!({"kind": "checkpoint", "of": "change", "count": 2, "owner": "edge"}),
    ];
    let others = [json!({"kind": "checkpoint", "of": "change", "count": 0, "owner": "core"})];
    site.unionize(&[], &others);
    assert_eq!(site.leases().len(), 4, "another owner's listing says nothing of these");
    let done = site.unionize(&[], &listing);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("lpforeign.json"), "{}", done.stderr);
    assert_eq!(site.leases().len(), 3);
    assert_eq!(site.remembered().len(), 4);
    assert!(foreign.exists());
}

#[test]
fn what_rests_keeps_its_lease_and_what_begins_again_is_plugged_in() {
    let Some(mut site) = Site::or_skip("what_rests_keeps_its_lease") else { return };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let one = |site: &Site, action: &str| {
        let done = site.unionize(&[], &[change(action, &web)]);
        assert_eq!(done.status, Some(0), "{action}: {}", done.stderr);
        let record = done.records()[0].clone();
        assert_eq!(record["status"], "done", "{action}");
        record["container"].clone()
    };
    one(&site, "stop");
    assert_eq!((site.remembered().len(), site.leases().len()), (0, 0), "it was not plugged in");
    let first = one(&site, "start")["interfaces"][0]["addresses"][0]["address"].clone();
    assert!(first.is_string());
    for action in ["stop", "kill", "pause"] {
        assert_eq!(one(&site, action).get("interfaces"), None, "{action}");
        assert_eq!((site.remembered().len(), site.leases().len()), (1, 1), "{action}");
    }
    for action in ["start", "restart", "unpause"] {
        let container = one(&site, action);
        assert_eq!(container["interfaces"][0]["addresses"][0]["address"], first, "{action}");
    }
    site.detach(&web);
    space.remove();
    site.nothing_is_left();
}

#[test]
fn renew_gives_leases_more_time_and_sweeps() {
    let Some(mut site) = Site::or_skip("renew_gives_leases_more_time_and_sweeps") else { return };
    let space = site.space("c1");
    let web = container("web", &space.path);
    let first = site.attach(&[], &web);
    let renew = |site: &Site, words: &[&str]| {
        let words: Vec<&str> = ["renew"].iter().chain(words).copied().collect();
        run(&mut site.command(&words), "")
    };
    let done = renew(&site, &[]);
    assert_eq!((done.status, done.records().len()), (Some(0), 0), "{}", done.stderr);
    std::thread::sleep(Duration::from_millis(2_100));
    let done = renew(&site, &["--all"]);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let record = &done.records()[0];
    assert_eq!((&record["action"], &record["status"]), (&json!("keep"), &json!("done")));
    assert_eq!(record["container"]["owner"], "edge");
    let address = &record["container"]["interfaces"][0]["addresses"][0];
    assert_eq!(address["address"], first["addresses"][0]["address"]);
    assert!(
        address["valid_until"].as_str().unwrap()
            > first["addresses"][0]["valid_until"].as_str().unwrap()
    );
    let left = space.addresses()[0]["valid_life_time"].as_u64().unwrap();
    assert!((3598..=3600).contains(&left), "{left}");
    assert!(site.logged("DHCPRENEW") == 1 && space.pings("fd00:1::1"));

    space.remove();
    let done = renew(&site, &[]);
    assert_eq!((done.status, done.records().len()), (Some(0), 0), "{}", done.stderr);
    site.nothing_is_left();
}

#[test]
fn many_at_once_and_what_is_not_permitted() {
    let Some(mut site) = Site::or_skip("many_at_once_and_what_is_not_permitted") else { return };
    let spaces: Vec<Space> = (0..20).map(|n| site.space(&format!("c{n}"))).collect();
    let containers: Vec<Value> = spaces
        .iter()
        .enumerate()
        .map(|(n, space)| container(&format!("web-{n}"), &space.path))
        .collect();
    let done = site.unionize(&[], &containers);
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    assert_eq!((site.links().len(), site.leases().len()), (20, 20));
    assert!(spaces.iter().all(|space| space.pings("fd00:1::1")));
    let removals: Vec<Value> = containers.iter().map(|one| change("remove", one)).collect();
    let done = site.unionize(&[], &removals);
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    site.nothing_is_left();

    let mut weak = site.lab.command("setpriv");
    weak.args(["--bounding-set", "-net_admin,-sys_admin", bin!("unionize"), "--bridge", "br1"]);
    let done = run(weak.arg("--state").arg(&site.state), lines(&containers[..1]));
    assert_eq!(done.records()[0]["error_kind"], "not_permitted");
    let remedy = "run as root or grant CAP_NET_ADMIN and CAP_SYS_ADMIN";
    assert!(done.stderr.contains(remedy), "{}", done.stderr);
}
