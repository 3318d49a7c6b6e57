//! Where addresses come from beside DHCPv6, routes and rules, rates, and names: on a real bridge with
//! a real dnsmasq. What is so is read with `ip` and by traffic, not with the suite's types.

mod lab;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::{Docker, Done, Lab, Namespace, PATIENCE, Running, bin, eventually, run};
use serde_json::{Value, json};

/// A lab with a bridge that has an IPv4 and two IPv6 networks: one of addresses to lease, one whose
/// prefix is advertised for stations to make addresses of.
struct Site {
    lab: Lab,
    state: PathBuf,
}

impl Site {
    fn or_skip(test: &str, options: &[&str]) -> Option<Site> {
        let mut lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        lab.ip("address add 192.0.2.1/24 dev br1");
        lab.ip("address add fd00:2::1/64 dev br1 nodad");
        let own = [
            "--dhcp-range=192.0.2.50,192.0.2.99,255.255.255.0,1h",
            "--dhcp-range=fd00:1::1000,fd00:1::1fff,64,1h",
            "--dhcp-range=fd00:2::,ra-only,64,1h",
        ];
        lab.dnsmasq("br1", "fd00:1::/64", &[&own, options].concat());
        Some(Site { state: lab.dir().join("attachments"), lab })
    }

    /// A namespace with the settings that container-run gives to containers.
    fn space(&mut self, label: &str) -> Namespace {
        let path = self.lab.namespace(label);
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
        space
    }

    fn unionize(&self, words: &[&str], input: &Value) -> Done {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(&self.state);
        run(&mut command, format!("{input}\n"))
    }

    /// Attaches one container, which must work, and returns its interface.
    #[track_caller]
    fn attach(&self, words: &[&str], container: &Value) -> Value {
        let done = self.unionize(&[&["--bridge", "br1"], words].concat(), container);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done.records()[0]["interfaces"][0].clone()
    }

    /// Holds that another run has nothing to do.
    #[track_caller]
    fn nothing_is_to_do(&self, words: &[&str], container: &Value) {
        let words = [&["--bridge", "br1", "--dry-run"], words].concat();
        let done = self.unionize(&words, container);
        assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    }

    #[track_caller]
    fn detach(&self, container: &Value) {
        let change = json!({"kind": "change", "action": "remove", "container": container});
        let done = self.unionize(&["--bridge", "br1"], &change);
        assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
        assert!(!self.lab.ip("-o link show").contains(": lp"), "a link is left");
        let left = fs::read_dir(&self.state).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
    }

    fn renew(&self) -> Value {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(["renew", "--all", "--state"]).arg(&self.state);
        let done = run(&mut command, "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done.records().remove(0)["container"]["interfaces"][0].clone()
    }

    fn has_lease(&mut self, address: &str) -> bool {
        self.lab.server("br1").has_lease(address)
    }
}

/// A container as container-run hands it on.
fn container(id: &str, space: &Namespace) -> Value {
    json!({"id": id, "image": "busybox", "state": "running",
        "docker": {"id": "0".repeat(64), "netns": space.path()}})
}

fn pings(space: &Namespace, words: &[&str]) -> bool {
    let mut ping = space.command("ping");
    ping.args(["-n", "-c1", "-W2"]).args(words).output().unwrap().status.success()
}

/// The address of that origin.
#[track_caller]
fn of_origin<'a>(interface: &'a Value, origin: &str) -> &'a Value {
    let addresses = interface["addresses"].as_array().unwrap();
    let is_it = |address: &&Value| address["origin"] == origin;
    addresses.iter().find(is_it).unwrap_or_else(|| panic!("no {origin}: {interface}"))
}

#[test]
fn a_dhcpv4_lease_is_attached_renewed_and_given_back() {
    let options = [
        "--dhcp-option=option:dns-server,192.0.2.53",
        "--dhcp-option=option:domain-search,lab.example",
        "--dhcp-option=option:classless-static-route,0.0.0.0/0,192.0.2.1,198.51.100.0/24,192.0.2.9",
    ];
    let test = "a_dhcpv4_lease_is_attached_renewed_and_given_back";
    let Some(mut site) = Site::or_skip(test, &options) else { return };
    let space = site.space("web");
    // As Docker leaves it in a network of its own: IPv6 is no matter here.
    space.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
    let web = container("web", &space);
    let words = ["--address", "dhcp4"];
    let interface = site.attach(&words, &web);
    let leased = of_origin(&interface, "dhcp4");
    let address = leased["address"].as_str().unwrap().to_owned();
    assert!(address.starts_with("192.0.2.") && leased["prefix_len"] == 24, "{leased}");
    assert!(leased["valid_until"].is_string());
    assert_eq!(interface["ipv4_router"], "192.0.2.1");
    assert_eq!(interface["dns_servers"], json!(["192.0.2.53"]));
    assert_eq!(interface["search"], json!(["lab.example"]));
    let shown = space.ip("-4 addr show dev eth0");
    assert!(shown.contains(&format!("inet {address}/24 brd 192.0.2.255")), "{shown}");
    let routes = space.ip("-4 route show");
    assert!(routes.contains("default via 192.0.2.1 dev eth0"), "{routes}");
    assert!(routes.contains("198.51.100.0/24 via 192.0.2.9 dev eth0"), "{routes}");
    assert!(pings(&space, &["192.0.2.1"]));
    assert!(site.has_lease(&address));
    site.nothing_is_to_do(&words, &web);
    assert_eq!(of_origin(&site.attach(&words, &web), "dhcp4")["address"], address.as_str());

    let renewed = site.renew();
    assert_eq!(of_origin(&renewed, "dhcp4")["address"], address.as_str());
    let log = site.lab.server("br1").log();
    assert_eq!(log.matches("DHCPREQUEST(br1)").count(), 2, "{log}");

    site.detach(&web);
    eventually("dnsmasq has no lease", PATIENCE, || (!site.has_lease(&address)).then_some(()));
    // A container that comes back is the same client.
    assert_eq!(of_origin(&site.attach(&words, &web), "dhcp4")["address"], address.as_str());
}

#[test]
fn who_keeps_leases_keeps_those_of_dhcpv4() {
    let options = ["--dhcp-option=option:T1,3", "--dhcp-option=option:T2,10"];
    let test = "who_keeps_leases_keeps_those_of_dhcpv4";
    let Some(mut site) = Site::or_skip(test, &options) else { return };
    let space = site.space("web");
    // No engine has to know of it.
    let web = json!({"id": "web", "image": "busybox", "netns": space.path()});
    let interface = site.attach(&["--address", "dhcp4"], &web);
    let address = of_origin(&interface, "dhcp4")["address"].as_str().unwrap().to_owned();
    let mut command = site.lab.command(bin!("unionize"));
    command.args(["renew", "--follow", "--state"]).arg(&site.state);
    let mut keeper = Running::start(&mut command);
    for _ in 0..2 {
        let told = keeper.next();
        let interface = &told["container"]["interfaces"][0];
        assert_eq!(of_origin(interface, "dhcp4")["address"], address.as_str(), "{told}");
    }
    assert!(space.ip("-4 addr show dev eth0").contains(&address));
    keeper.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(keeper.finish().stderr, "");
}

/// A file that is made ahead gets its name when it is needed: who keeps leases hears of that as well.
#[test]
fn what_is_attached_meanwhile_is_looked_after() {
    let test = "what_is_attached_meanwhile_is_looked_after";
    let Some(mut site) = Site::or_skip(test, &[]) else { return };
    fs::create_dir(&site.state).unwrap();
    let spaces = ["a", "b", "c"].map(|label| (label, site.space(label)));
    let state = site.state.display().to_string();
    let mut command = site.lab.command(bin!("unionize"));
    let mut keeper = Running::start(command.args(["renew", "--follow", "--state", &state]));
    std::thread::sleep(Duration::from_millis(500));
    let mut command = site.lab.command(bin!("unionize"));
    command.args(["--bridge", "br1", "--address", "none", "--state", &state]);
    let mut unionize = Running::start(&mut command);
    for (label, space) in &spaces {
        unionize.send(&json!({"id": label, "image": "busybox", "netns": space.path()}));
        let link = unionize.next()["interfaces"][0]["link"].as_str().unwrap().to_owned();
        std::thread::sleep(Duration::from_millis(300));
        site.lab.ip(&format!("link delete {link}"));
        keeper.until("the interface", |told| {
            told["container"]["id"] == *label && told["status"] == "done"
        });
        site.lab.ip(&format!("link show {link}"));
    }
}

/// The kernel takes the IPv6 addresses and routes of an interface that is switched off.
#[test]
fn what_is_lost_when_a_container_s_end_is_off_comes_back() {
    let test = "what_is_lost_when_a_container_s_end_is_off_comes_back";
    let Some(mut site) = Site::or_skip(test, &[]) else { return };
    let space = site.space("web");
    let web = json!({"id": "web", "image": "busybox", "netns": space.path()});
    let route = ["--address", "fd00:9::5/64", "--route", "2001:db8::/32 via fd00:9::1"];
    let interface = site.attach(&[&["--address", "dhcp6"], &route[..]].concat(), &web);
    let leased = of_origin(&interface, "dhcp6")["address"].as_str().unwrap().to_owned();
    let mut command = site.lab.command(bin!("unionize"));
    command.args(["renew", "--follow", "--state"]).arg(&site.state);
    let mut keeper = Running::start(&mut command);
    std::thread::sleep(Duration::from_secs(1));
    space.ip("link set eth0 down");
    std::thread::sleep(Duration::from_millis(300));
    space.ip("link set eth0 up");
    keeper.until("the interface", |told| told["status"] == "done");
    let shown = space.ip("-6 addr show dev eth0");
    assert!(shown.contains("fd00:9::5/64") && shown.contains(&leased), "{shown}");
    assert!(space.ip("-6 route show").contains("2001:db8::/32 via fd00:9::1"));
}

#[test]
fn a_server_that_is_away_takes_no_lease_of_the_other_protocol_along() {
    let test = "a_server_that_is_away_takes_no_lease_of_the_other_protocol_along";
    let Some(mut site) = Site::or_skip(test, &[]) else { return };
    let space = site.space("web");
    let web = container("web", &space);
    let interface = site.attach(&["--address", "dhcp6", "--address", "dhcp4"], &web);
    let table = "add table inet away; add chain inet away in { type filter hook input priority 0; }; \
        add rule inet away in udp dport 67 drop";
    let nft = site.lab.command("nft").arg(table).output();
    assert!(nft.is_ok_and(|out| out.status.success()), "nft");
    let mut command = site.lab.command(bin!("unionize"));
    command.args(["renew", "--all", "--timeout", "2s", "--state"]).arg(&site.state);
    let done = run(&mut command, "");
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("no DHCPv4 server answered"), "{}", done.stderr);
    let records = done.records();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(
        (&records[0]["status"], &records[0]["error_kind"]),
        (&json!("failed"), &json!("timed_out"))
    );
    assert_eq!(records[1]["status"], "done");
    let renewed = of_origin(&records[1]["container"]["interfaces"][0], "dhcp6");
    assert_eq!(renewed["address"], of_origin(&interface, "dhcp6")["address"]);
    let log = site.lab.server("br1").log();
    assert_eq!(log.matches("DHCPRENEW(br1)").count(), 1, "{log}");
}

#[test]
fn all_sources_go_together() {
    let Some(mut site) = Site::or_skip("all_sources_go_together", &[]) else { return };
    let space = site.space("web");
    let mut web = container("web", &space);
    web["networks"] = json!([{"bridge": "br1", "addresses":
        ["dhcp6", "dhcp4", "slaac", "192.0.2.9/24", "fd00:9::5/64@fd00:9::1"]}]);
    let interface = site.attach(&[], &web);
    let address = |origin| of_origin(&interface, origin)["address"].as_str().unwrap().to_owned();
    assert!(address("dhcp6").starts_with("fd00:1::"));
    assert!(address("slaac").starts_with("fd00:2::"), "{interface}");
    assert_eq!(of_origin(&interface, "slaac")["prefix_len"], 64);
    assert!(of_origin(&interface, "slaac")["valid_until"].is_string());
    assert!(address("dhcp4").starts_with("192.0.2."));
    assert_eq!(interface["addresses"].as_array().unwrap().len(), 5, "{interface}");
    assert_eq!(interface["router"], "fd00:9::1", "the one that is given wins");
    let routes = space.ip("-6 route show default");
    assert_eq!(routes.matches("default").count(), 2, "the advertised one stays: {routes}");
    for (source, target) in [(address("slaac"), "fd00:2::1"), (address("dhcp4"), "192.0.2.1")] {
        assert!(pings(&space, &["-I", &source, target]), "{source}");
    }
    site.nothing_is_to_do(&[], &web);
    let known = (address("dhcp6"), address("dhcp4"));
    site.detach(&web);
    let gone = |site: &mut Site| !site.has_lease(&known.0) && !site.has_lease(&known.1);
    eventually("dnsmasq has no lease", PATIENCE, || gone(&mut site).then_some(()));
}

#[test]
fn what_is_not_wanted_any_more_goes() {
    let Some(mut site) = Site::or_skip("what_is_not_wanted_any_more_goes", &[]) else { return };
    let space = site.space("web");
    let web = container("web", &space);
    let first =
        [
            &[
                "--address",
                "192.0.2.9/24@192.0.2.1",
                "--address",
                "192.0.2.8/24",
                "--rate",
                "1gbit",
            ][..],
            &["--route", "198.51.100.0/24 via 192.0.2.1", "--rule", "from 192.0.2.9 table 7"],
        ]
        .concat();
    site.attach(&first, &web);
    assert!(space.ip("rule show").contains("from 192.0.2.9 lookup 7"));
    assert!(space.ip("-4 route show").contains("198.51.100.0/24"));
    assert!(space.ip("route show default").contains("192.0.2.1"));
    site.nothing_is_to_do(&first, &web);
    // The one that goes is the first of its network.
    let second = ["--address", "192.0.2.8/24", "--rule", "from 192.0.2.9 table 8 priority 5"];
    site.attach(&second, &web);
    site.nothing_is_to_do(&second, &web);
    let rules = space.ip("rule show");
    assert!(
        !rules.contains("lookup 7") && rules.contains("5:\tfrom 192.0.2.9 lookup 8"),
        "{rules}"
    );
    let routes = space.ip("-4 route show");
    assert!(!routes.contains("198.51.100.0/24") && !routes.contains("default"), "{routes}");
    let shown = space.ip("-4 addr show dev eth0");
    assert!(shown.contains("192.0.2.8/24") && !shown.contains("192.0.2.9"), "{shown}");
    assert!(!space.ip("link show dev eth0").contains("tbf"));
    site.detach(&web);
    assert!(!space.ip("rule show").contains("192.0.2.9"));
}

/// A machine on the bridge that leads to `fd00:99::1` and answers to one network alone.
fn router(site: &mut Site, label: &str, host: &str, net: &str) -> Namespace {
    let space = site.space(label);
    space.ip("link set lo up");
    site.lab
        .ip(&format!("link add {label} master br1 up type veth peer eth0 netns {}", space.name()));
    space.sysctl("net.ipv6.conf.eth0.accept_dad", "0");
    space.sysctl("net.ipv6.conf.eth0.accept_ra", "0");
    space.sysctl("net.ipv6.conf.all.forwarding", "1");
    space.ip("link set eth0 up");
    space.ip(&format!("address add {host}/64 dev eth0 nodad"));
    space.ip("address add fd00:99::1/128 dev lo nodad");
    space.ip(&format!("-6 route add {net} dev eth0"));
    space
}

#[test]
fn a_packet_s_source_decides_its_way() {
    let Some(mut site) = Site::or_skip("a_packet_s_source_decides_its_way", &[]) else { return };
    router(&mut site, "r5", "fe80::5", "fd00:5::/64");
    router(&mut site, "r6", "fe80::6", "fd00:6::/64");
    let space = site.space("web");
    let mut web = container("web", &space);
    web["networks"] = json!([{"bridge": "br1",
        "addresses": ["fd00:5::2/64", "fd00:6::2/64"],
        "routes": ["default via fe80::5 from fd00:5::/64", "fd00:99::/64 via fe80::6 table 6",
            "unreachable fd00:98::/64"],
        "rules": ["from fd00:6::/64 table 6 priority 60"]}]);
    site.attach(&[], &web);
    let routes = space.ip("-6 route show");
    assert!(routes.contains("default from fd00:5::/64 via fe80::5 dev eth0"), "{routes}");
    assert!(routes.contains("unreachable fd00:98::/64"), "{routes}");
    assert!(space.ip("-6 route show table 6").contains("fd00:99::/64 via fe80::6"));
    let rules = space.ip("-6 rule show");
    assert!(rules.contains("60:\tfrom fd00:6::/64 lookup 6"), "{rules}");
    site.nothing_is_to_do(&[], &web);
    // Each router knows the way back to one of them alone.
    for source in ["fd00:5::2", "fd00:6::2"] {
        assert!(pings(&space, &["-I", source, "fd00:99::1"]), "{source}");
    }
    site.detach(&web);
    assert!(!space.ip("-6 rule show").contains("fd00:6::"));
    assert!(!space.ip("-6 route show").contains("fd00:98::"));
}

/// How many bits come through a TCP connection in each second, after the first half.
fn throughput(from: &Namespace, to: &Namespace, address: &str) -> f64 {
    let listener = to.within(|| TcpListener::bind("[::]:0").expect("listen"));
    let port = listener.local_addr().unwrap().port();
    let target = SocketAddr::new(address.parse().unwrap(), port);
    let mut sender =
        from.within(|| TcpStream::connect_timeout(&target, PATIENCE)).expect("connect");
    let (mut receiver, _) = listener.accept().expect("accept");
    let end = Instant::now() + Duration::from_secs(3);
    sender.set_write_timeout(Some(PATIENCE)).unwrap();
    let writing = std::thread::spawn(move || {
        while Instant::now() < end && sender.write_all(&[0; 16 * 1024]).is_ok() {}
    });
    let mut buffer = vec![0; 64 * 1024];
    let (mut counted, mut since) = (0, None);
    let begun = Instant::now();
    while Instant::now() < end {
        let read = receiver.read(&mut buffer).expect("read");
        if begun.elapsed() > Duration::from_secs(1) {
            since.get_or_insert_with(Instant::now);
            counted += read;
        }
    }
    let seconds = since.expect("a second is over").elapsed().as_secs_f64();
    drop(receiver);
    writing.join().unwrap();
    counted as f64 * 8.0 / seconds
}

#[test]
fn a_rate_holds_in_both_directions() {
    let Some(mut site) = Site::or_skip("a_rate_holds_in_both_directions", &[]) else { return };
    let space = site.space("web");
    let web = container("web", &space);
    let machine = site.lab.machine().clone();
    let both = |space: &Namespace| {
        [throughput(space, &machine, "192.0.2.1"), throughput(&machine, space, "192.0.2.9")]
    };
    let words = ["--address", "192.0.2.9/24", "--rate", "10mbit"];
    site.attach(&words, &web);
    site.nothing_is_to_do(&words, &web);
    for rate in both(&space) {
        assert!((7e6..11e6).contains(&rate), "{rate}");
    }
    site.attach(&words[..2], &web);
    for rate in both(&space) {
        assert!(rate > 50e6, "{rate}");
    }
}

#[test]
fn what_cannot_be_done_is_undone() {
    let Some(mut site) = Site::or_skip("what_cannot_be_done_is_undone", &[]) else { return };
    let space = site.space("web");
    let web = container("web", &space);
    let words = [
        &["--bridge", "br1", "--address", "dhcp4", "--rule", "from 192.0.2.0/24 table 7"][..],
        &["--route", "198.51.100.0/24 via 203.0.113.1"],
    ]
    .concat();
    let done = site.unionize(&words, &web);
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("add route 198.51.100.0/24 via 203.0.113.1"), "{}", done.stderr);
    assert_eq!(done.records()[0]["error_kind"], "refused");
    assert!(!space.has_link("eth0") && !space.ip("rule show").contains("lookup 7"));
    site.detach(&web);
    let server = site.lab.server("br1");
    eventually("dnsmasq has no lease", PATIENCE, || (server.lease_count() == 0).then_some(()));

    server.stop();
    let words = ["--bridge", "br1", "--address", "dhcp4", "--timeout", "2s"];
    let done = site.unionize(&words, &web);
    assert_eq!(done.records()[0]["error_kind"], "timed_out", "{}", done.stderr);
    assert!(done.stderr.contains("no DHCPv4 server answered within"), "{}", done.stderr);
    site.detach(&web);
}

#[test]
fn names_go_into_the_resolv_conf_when_asked() {
    let test = "names_go_into_the_resolv_conf_when_asked";
    let option = "--dhcp-option=option:dns-server,192.0.2.53";
    let Some(mut site) = Site::or_skip(test, &[option]) else { return };
    let space = site.space("web");
    let dir = PathBuf::from("/etc/netns").join(space.name());
    let file = dir.join("resolv.conf");
    let mut web = json!({"id": "web", "image": "busybox", "netns": space.path()});
    site.attach(&["--address", "dhcp4"], &web);
    assert!(!file.exists(), "nobody asked");
    let words = ["--address", "dhcp4", "--dns"];
    site.attach(&words, &web);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nnameserver 192.0.2.53\n"), "{text}");
    site.nothing_is_to_do(&words, &web);
    // Somebody writes it anew.
    fs::write(&file, "nameserver 192.0.2.9\n").unwrap();
    site.attach(&words, &web);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("#unionize# nameserver 192.0.2.9\n# unionize lp"), "{text}");
    site.detach(&web);
    assert_eq!(fs::read_to_string(&file).unwrap(), "nameserver 192.0.2.9\n");
    fs::remove_file(&file).unwrap();
    site.attach(&words, &web);
    site.detach(&web);
    assert!(!dir.exists(), "what was made goes");

    let Some(docker) = Docker::or_skip(test) else { return };
    let name = docker.bystander("web");
    let resolv = || docker.docker(&["exec", &name, "cat", "/etc/resolv.conf"]);
    let before = resolv();
    web = json!({"id": name, "image": "busybox", "docker": {
        "id": docker.inspect(&name, "{{.Id}}"),
        "pid": docker.inspect(&name, "{{.State.Pid}}").parse::<i32>().unwrap(),
        "netns": docker.inspect(&name, "{{.NetworkSettings.SandboxKey}}")}});
    site.attach(&words, &web);
    assert!(resolv().contains("\nnameserver 192.0.2.53\n"), "{}", resolv());
    site.nothing_is_to_do(&words, &web);
    site.detach(&web);
    assert_eq!(resolv(), before);
}
