//! Interfaces of every kind that unionize makes: they carry packets, lease their addresses, are made
//! once, and leave nothing behind. What is so is read with `ip -j` and from dnsmasq's own files. A
//! kind that the kernel lacks is left out by name.

mod lab;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lab::{Done, Lab, Namespace, PATIENCE, bin, eventually, reaches, run, skipped};
use serde_json::{Value, json};

/// Long enough to be sure that nothing comes through.
const SILENCE: Duration = Duration::from_millis(600);

/// A machine with the bridge `br1`, whose link a dnsmasq serves, and the interface `up0` that leads
/// there, as a network card would.
struct Site {
    lab: Lab,
    state: PathBuf,
    ovs: Option<lab::Ovs>,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        lab.ip("link add up0 address 02:00:00:00:07:01 type veth peer name port0");
        lab.ip("link set port0 master br1 up");
        lab.ip("link set up0 mtu 1450 up");
        Some(Site { state: lab.dir().join("attachments"), lab, ovs: None })
    }

    fn serve(mut self) -> Site {
        self.lab.dnsmasq("br1", "fd00:1::/64", &[]);
        self
    }

    fn space(&mut self, label: &str) -> Namespace {
        let path = self.lab.namespace(label);
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.ip("link set lo up");
        space
    }

    fn unionize(&self, words: &[&str], input: &Value) -> Done {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(&self.state);
        if let Some(ovs) = &self.ovs {
            command.arg("--ovs").arg(ovs.socket());
        }
        run(&mut command, format!("{input}\n"))
    }

    /// Attaches, or says that the kernel lacks what is needed.
    #[track_caller]
    fn attach_or_skip(&self, test: &str, container: &Value) -> Option<Value> {
        let done = self.unionize(&[], container);
        let lacks = done.stderr.lines().find(|line| line.contains("the kernel has no "));
        if let Some(lacks) = lacks {
            assert_eq!(done.status, Some(1), "{lacks}");
            assert_eq!(self.remembered(), 0);
            skipped(test, lacks);
            return None;
        }
        Some(interface(&done))
    }

    #[track_caller]
    fn attach(&self, container: &Value) -> Value {
        interface(&self.unionize(&[], container))
    }

    #[track_caller]
    fn refused(&self, container: &Value) -> String {
        let done = self.unionize(&["--timeout", "2s"], container);
        assert_eq!(done.status, Some(1), "{}", done.stderr);
        assert_eq!(done.records()[0]["status"], "failed");
        done.stderr
    }

    /// Takes everything away, which must work and leave nothing; what it told.
    #[track_caller]
    fn detach(&mut self, container: &Value) -> String {
        let change = json!({"kind": "change", "action": "remove", "container": container});
        let done = self.unionize(&[], &change);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!((self.links(), self.remembered()), (vec![], 0));
        done.stderr
    }

    /// Takes away a container that has nothing, beside others that have.
    #[track_caller]
    fn detach_others(&self, container: &Value) {
        let change = json!({"kind": "change", "action": "remove", "container": container});
        let done = self.unionize(&[], &change);
        assert_eq!((done.status, &*done.stderr), (Some(0), ""));
    }

    /// The links on the host that unionize made.
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

    #[track_caller]
    fn no_lease_is_left(&mut self, bridge: &str) {
        let leases = self.lab.server(bridge).leases();
        eventually("dnsmasq has no lease", PATIENCE, || {
            let text = fs::read_to_string(&leases).unwrap_or_default();
            let mut lines = text.lines();
            lines.all(|line| line.starts_with("duid")).then_some(())
        });
    }

    /// A container that leases an address over this network, from its first moment to its end, and
    /// one that dies. Its interface; nothing where the kernel lacks the kind.
    #[track_caller]
    fn life(&mut self, test: &str, network: &Value, served: &str) -> Option<Value> {
        let space = self.space("web");
        let web = container("web", &space, network);
        let interface = self.attach_or_skip(test, &web)?;
        let address = leased(&interface);
        assert!(address.starts_with("fd00:1::"), "{interface}");
        assert!(reaches(&space, self.lab.machine(), "fd00:1::1", PATIENCE), "the link");

        let before = space.ip("-j link show eth0");
        let dry = self.unionize(&["--dry-run"], &web);
        assert_eq!((dry.status, &*dry.stderr), (Some(0), ""), "nothing is to be done");
        assert_eq!(leased(&self.attach(&web)), address);
        assert_eq!(space.ip("-j link show eth0"), before, "made once");

        assert_eq!(self.detach(&web), "");
        assert!(!space.has_link("eth0"));
        self.no_lease_is_left(served);

        let again = self.attach(&web);
        assert_eq!(leased(&again), address, "the same client has the same address");
        space.clone().remove();
        let told = self.detach(&web);
        let is_lent = network["kind"] == "direct";
        assert!(told.is_empty() || is_lent, "{told}");
        if !is_lent {
            self.no_lease_is_left(served);
        }
        Some(interface)
    }
}

fn container(id: &str, space: &Namespace, network: &Value) -> Value {
    json!({"id": id, "image": "busybox", "netns": space.path(), "networks": [network]})
}

#[track_caller]
fn interface(done: &Done) -> Value {
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let record = done.records().remove(0);
    assert_eq!(record["status"], "done", "{record}");
    record["interfaces"][0].clone()
}

/// The address that a DHCPv6 server has leased.
#[track_caller]
fn leased(interface: &Value) -> String {
    let addresses = interface["addresses"].as_array().expect("addresses");
    let leased = addresses.iter().find(|address| address["origin"] == "dhcp6");
    leased.expect("a leased one")["address"].as_str().unwrap().to_owned()
}

fn link(space: &Namespace, name: &str) -> Value {
    let links: Vec<Value> =
        serde_json::from_str(&space.ip(&format!("-j -d link show {name}"))).unwrap();
    links[0].clone()
}

#[test]
fn a_macvlan_leases_over_its_parent() {
    let test = "a_macvlan_leases_over_its_parent";
    let Some(site) = Site::or_skip(test) else { return };
    let mut site = site.serve();
    for mode in ["bridge", "private", "vepa", "passthru"] {
        let network = json!({"kind": "macvlan", "parent": "up0", "mode": mode});
        let Some(interface) = site.life(test, &network, "br1") else { return };
        assert_eq!(interface["kind"], "macvlan");
        let shares = interface["mac"] == "02:00:00:00:07:01";
        assert_eq!(shares, mode == "passthru", "{mode}: {interface}");
    }
    let by_mac = json!({"kind": "macvlan", "parent": "mac:02:00:00:00:07:01"});
    site.life(test, &by_mac, "br1").unwrap();
}

#[test]
fn a_macvlan_is_what_its_document_says() {
    let test = "a_macvlan_is_what_its_document_says";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (a, b) = (site.space("a"), site.space("b"));
    let network = |mode: &str, address: &str| {
        json!({"kind": "macvlan", "parent": "up0", "mode": mode, "interface": "lan",
            "mac": "02:00:00:00:08:0a", "mtu": 1400, "addresses": [address]})
    };
    let web = container("web", &a, &network("bridge", "fd00:5::a/64"));
    if site.attach_or_skip(test, &web).is_none() {
        return;
    }
    let lan = link(&a, "lan");
    assert_eq!(lan["linkinfo"]["info_kind"], "macvlan");
    assert_eq!(lan["linkinfo"]["info_data"]["mode"], "bridge");
    assert_eq!((&lan["address"], &lan["mtu"]), (&json!("02:00:00:00:08:0a"), &json!(1400)));
    let mut other = container("db", &b, &network("bridge", "fd00:5::b/64"));
    other["networks"][0]["mac"] = json!("02:00:00:00:08:0b");
    other["networks"][0].as_object_mut().unwrap().remove("mtu");
    site.attach(&other);
    assert_eq!(link(&b, "lan")["mtu"], 1450, "the parent's");
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));

    // Another mode is another link.
    let private = container("web", &a, &network("private", "fd00:5::a/64"));
    site.attach(&private);
    assert_eq!(link(&a, "lan")["linkinfo"]["info_data"]["mode"], "private");
    assert!(!reaches(&a, &b, "fd00:5::b", SILENCE));

    // And another kind is one, too.
    let plugged = json!({"bridge": "br1", "interface": "lan", "addresses": ["fd00:5::a/64"]});
    site.attach(&container("web", &a, &plugged));
    assert_eq!(link(&a, "lan")["linkinfo"]["info_kind"], "veth");
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
    site.attach(&web);
    assert_eq!(
        (link(&a, "lan")["linkinfo"]["info_kind"].as_str(), site.links()),
        (Some("macvlan"), vec![])
    );
}

#[test]
fn an_ipvlan_leases_beside_its_parent() {
    let test = "an_ipvlan_leases_beside_its_parent";
    let Some(site) = Site::or_skip(test) else { return };
    let mut site = site.serve();
    let l2 = json!({"kind": "ipvlan", "parent": "up0"});
    let Some(interface) = site.life(test, &l2, "br1") else { return };
    assert_eq!(interface["mac"], "02:00:00:00:07:01");
    let (a, b) = (site.space("a"), site.space("b"));
    let (first, second) = (container("a", &a, &l2), container("b", &b, &l2));
    let (one, two) = (leased(&site.attach(&first)), leased(&site.attach(&second)));
    assert_ne!(one, two, "two clients");
    assert!(reaches(&a, &b, &two, PATIENCE));
    for mode in ["l3", "l3s"] {
        let network = |address: &str| json!({"kind": "ipvlan", "parent": "up0", "mode": mode, "addresses": [address]});
        site.attach(&container("a", &a, &network("fd00:5::a/64")));
        site.attach(&container("b", &b, &network("fd00:5::b/64")));
        assert_eq!(link(&a, "eth0")["linkinfo"]["info_data"]["mode"], mode);
        assert!(reaches(&a, &b, "fd00:5::b", PATIENCE), "{mode}");
    }
}

#[test]
fn no_server_is_asked_where_none_is_heard() {
    let test = "no_server_is_asked_where_none_is_heard";
    let Some(mut site) = Site::or_skip(test) else { return };
    let space = site.space("web");
    for (network, says) in [
        (json!({"kind": "ipvlan", "parent": "up0", "mode": "l3"}), "an ipvlan in mode l3"),
        (
            json!({"kind": "ipvlan", "parent": "up0", "mode": "l3s", "addresses": ["slaac"]}),
            "an ipvlan in mode l3s",
        ),
        (json!({"kind": "dummy", "addresses": ["dhcp4"]}), "a dummy"),
    ] {
        let told = site.refused(&container("web", &space, &network));
        assert!(told.contains("no server or router is heard on"), "{told}");
        assert!(told.contains(says.rsplit(' ').next().unwrap()), "{told}");
    }
}

#[test]
fn a_vlan_of_a_parent_leases_there() {
    let test = "a_vlan_of_a_parent_leases_there";
    let Some(site) = Site::or_skip(test) else { return };
    let mut site = site.serve();
    let space = site.space("probe");
    let probe = json!({"kind": "vlan", "parent": "up0", "vlan": 9, "addresses": ["fd00:5::a/64"]});
    let probe = container("probe", &space, &probe);
    if site.attach_or_skip(test, &probe).is_none() {
        return;
    }
    site.detach(&probe);
    // What comes out of the parent goes to the bridge by VLAN 10 alone.
    site.lab.ip("link set port0 nomaster");
    site.lab.ip("link add link port0 name port0.10 type vlan id 10");
    site.lab.ip("link set port0.10 master br1 up");
    let network = json!({"kind": "vlan", "parent": "up0", "vlan": 10});
    site.life(test, &network, "br1").unwrap();

    let (a, b) = (site.space("a"), site.space("b"));
    site.attach(&container("a", &a, &network));
    let told = site.refused(&container("b", &b, &network));
    assert!(told.contains("create vlan eth0: "), "{told}");
    assert!(told.contains("already"), "{told}");
    assert!(!b.has_link("eth0"));
}

#[test]
fn a_bridge_that_keeps_vlans_apart_keeps_containers_apart() {
    let test = "a_bridge_that_keeps_vlans_apart_keeps_containers_apart";
    let Some(site) = Site::or_skip(test) else { return };
    let mut site = site.serve();
    let network = |vlan: u32, addresses: Value| json!({"bridge": "br1", "vlan": vlan, "addresses": addresses});
    let probe = site.space("probe");
    let told = site.refused(&container("probe", &probe, &network(10, json!(["fd00:5::a/64"]))));
    if told.contains("the kernel has no VLANs in bridges (CONFIG_BRIDGE_VLAN_FILTERING)") {
        return skipped(test, &told);
    }
    assert!(told.contains("ip link set br1 type bridge vlan_filtering 1"), "{told}");
    site.lab.ip("link set br1 type bridge vlan_filtering 1 vlan_default_pvid 10");
    site.life(test, &network(10, json!(["dhcp6"])), "br1").unwrap();

    let (a, b, c) = (site.space("a"), site.space("b"), site.space("c"));
    let of = |label: &str| json!([format!("fd00:5::{label}/64")]);
    site.attach(&container("a", &a, &network(20, of("a"))));
    site.attach(&container("b", &b, &network(20, of("b"))));
    site.attach(&container("c", &c, &json!({"bridge": "br1", "addresses": of("c")})));
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
    assert!(!reaches(&a, &c, "fd00:5::c", SILENCE));
    // Somebody has changed the port; another run puts it right.
    let port = site.links().into_iter().find(|link| {
        site.lab
            .command("bridge")
            .args(["vlan", "show", "dev", link])
            .output()
            .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("20 PVID"))
    });
    let port = port.expect("a port in VLAN 20");
    let add = ["vlan", "add", "dev", &port, "vid", "10", "pvid", "untagged"];
    assert!(site.lab.command("bridge").args(add).status().unwrap().success());
    site.attach(&container("a", &a, &network(20, of("a"))));
    site.attach(&container("b", &b, &network(20, of("b"))));
    assert!(!reaches(&a, &c, "fd00:5::c", SILENCE) && !reaches(&b, &c, "fd00:5::c", SILENCE));
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
}

#[test]
fn a_device_is_lent_and_given_back() {
    let test = "a_device_is_lent_and_given_back";
    let Some(site) = Site::or_skip(test) else { return };
    let mut site = site.serve();
    let space = site.space("web");
    let before = link(site.lab.machine(), "up0");
    for parent in ["up0", "mac:02:00:00:00:07:01"] {
        let network = json!({"kind": "direct", "parent": parent});
        let web = container("web", &space, &network);
        let interface = site.attach(&web);
        assert_eq!(interface["mac"], "02:00:00:00:07:01");
        assert!(!site.lab.machine().has_link("up0"));
        assert!(reaches(&space, site.lab.machine(), "fd00:1::1", PATIENCE));
        let dry = site.unionize(&["--dry-run"], &web);
        assert_eq!(dry.stderr, "");
        assert_eq!(leased(&site.attach(&web)), leased(&interface));

        assert_eq!(site.detach(&web), "");
        let after = link(site.lab.machine(), "up0");
        for field in ["address", "mtu", "ifname"] {
            assert_eq!(after[field], before[field], "{field}");
        }
        assert!(after["flags"].as_array().unwrap().contains(&json!("UP")));
        site.no_lease_is_left("br1");
    }

    // With an address of its own inside, and not outside.
    let network =
        json!({"kind": "direct", "parent": "up0", "mac": "02:00:00:00:08:0a", "mtu": 1400});
    let web = container("web", &space, &network);
    site.attach(&web);
    assert_eq!(link(&space, "eth0")["address"], "02:00:00:00:08:0a");
    let network = json!({"kind": "direct", "parent": "up0"});
    let web = container("web", &space, &network);
    assert_eq!(site.attach(&web)["mac"], "02:00:00:00:07:01", "it has changed its mind");

    // The name that it had is another's by now: it stays until that has gone.
    site.lab.ip("link add up0 type veth peer name up9");
    let change = json!({"kind": "change", "action": "remove", "container": web});
    let done = site.unionize(&[], &change);
    assert_eq!(done.status, Some(1));
    assert!(done.stderr.contains("bring back interface up0"), "{}", done.stderr);
    assert!(space.has_link("eth0"));
    site.lab.ip("link del up0");
    site.detach(&web);
    assert_eq!(link(site.lab.machine(), "up0")["address"], before["address"]);

    // A virtual one goes with its namespace; nothing remains to be done.
    site.attach(&web);
    space.remove();
    let told = site.detach(&web);
    assert!(told.contains("bring up0 back: it has gone with the container's namespace"), "{told}");
}

#[test]
fn what_cannot_be_lent_stays_where_it_is() {
    let test = "what_cannot_be_lent_stays_where_it_is";
    let Some(mut site) = Site::or_skip(test) else { return };
    let space = site.space("web");
    let lend = |parent: &str| {
        let network = json!({"kind": "direct", "parent": parent, "addresses": ["none"]});
        container("web", &space, &network)
    };
    for (parent, says) in [
        ("up7", "find interface up7: the host has none of that name or address"),
        ("port0", "port0 is a port of another interface; ip link set port0 nomaster"),
        ("lo", "lo is the host's loopback"),
        ("br1", "the kernel does not let it leave its namespace"),
    ] {
        let told = site.refused(&lend(parent));
        assert!(told.contains(says), "{told}");
        assert_eq!(site.remembered(), 0);
    }
    space.ip("link add eth0 type veth peer name other");
    let told = site.refused(&lend("up0"));
    assert!(told.contains("an interface eth0 that is not unionize's"), "{told}");
    assert!(site.lab.machine().has_link("up0"));
}

#[test]
fn a_vxlan_leases_from_far_away() {
    let test = "a_vxlan_leases_from_far_away";
    let Some(site) = Site::or_skip(test) else { return };
    let mut site = site.serve();
    // The segment ends at another machine, and goes on from there to the served link.
    let far = site.space("far");
    let name = far.name().to_owned();
    site.lab.ip(&format!("link add under0 type veth peer name under1 netns {name}"));
    site.lab.ip("addr add fd00:9::1/64 dev under0 nodad");
    site.lab.ip("link set under0 up");
    site.lab.ip(&format!("link add port1 master br1 up type veth peer name back netns {name}"));
    far.ip("addr add fd00:9::2/64 dev under1 nodad");
    far.ip("link set under1 up");
    far.ip("link add vx7 type vxlan id 7 remote fd00:9::1 dstport 4789");
    far.ip("link add far0 type bridge stp_state 0 forward_delay 0");
    for port in ["vx7", "back"] {
        far.ip(&format!("link set {port} master far0 up"));
    }
    far.ip("link set far0 up");
    let network = json!({"kind": "vxlan", "vni": 7, "remote": "fd00:9::2"});
    if site.life(test, &network, "br1").is_none() {
        return;
    }
    let (a, b) = (site.space("a"), site.space("b"));
    let over = json!({"kind": "vxlan", "vni": 7, "remote": "fd00:9::2", "parent": "under0"});
    site.attach(&container("a", &a, &over));
    assert_eq!(link(&a, "eth0")["mtu"], 1430, "what remains of 1500");
    assert_eq!(site.unionize(&["--dry-run"], &container("a", &a, &over)).stderr, "");
    let told = site.refused(&container("b", &b, &network));
    assert!(told.contains("VNI"), "{told}");
    let group = json!({"kind": "vxlan", "vni": 8, "remote": "ff05::8"});
    let told = site.refused(&container("b", &b, &group));
    assert!(told.contains("create vxlan eth0: "), "{told}");
}

#[test]
fn a_dummy_has_the_addresses_that_it_is_given() {
    let test = "a_dummy_has_the_addresses_that_it_is_given";
    let Some(mut site) = Site::or_skip(test) else { return };
    let space = site.space("web");
    let network = json!({"kind": "dummy", "interface": "dummy0", "addresses": ["fd00:5::a/64"]});
    let web = container("web", &space, &network);
    let Some(interface) = site.attach_or_skip(test, &web) else { return };
    assert_eq!(interface["addresses"][0]["address"], "fd00:5::a");
    assert!(reaches(&space, &space, "fd00:5::a", PATIENCE));
    assert_eq!(site.unionize(&["--dry-run"], &web).stderr, "");
    assert_eq!(site.detach(&web), "");
    assert!(!space.has_link("dummy0"));
}

#[test]
fn a_port_of_open_vswitch_leases_there() {
    let test = "a_port_of_open_vswitch_leases_there";
    let Some(mut site) = Site::or_skip(test) else { return };
    let Some(ovs) = lab::Ovs::or_skip(test, &site.lab) else { return };
    ovs.bridge("ovs0");
    site.lab.dnsmasq("ovs0", "fd00:1::/64", &[]);
    site.ovs = Some(ovs);
    let network = json!({"kind": "ovs", "bridge": "ovs0"});
    let interface = site.life(test, &network, "ovs0").unwrap();
    assert_eq!(interface["bridge"], "ovs0");
    let list = |site: &Site| site.ovs.as_ref().unwrap().vsctl("list-ports ovs0");
    assert_eq!(list(&site), "");

    let tagged = |address: &str, vlan: u32| {
        json!({"kind": "ovs", "bridge": "ovs0", "vlan": vlan, "link": format!("port{address}"),
            "addresses": [format!("fd00:5::{address}/64")]})
    };
    let (a, b) = (site.space("a"), site.space("b"));
    site.attach(&container("a", &a, &tagged("a", 5)));
    site.attach(&container("b", &b, &tagged("b", 6)));
    assert!(!reaches(&a, &b, "fd00:5::b", SILENCE));
    site.attach(&container("b", &b, &tagged("b", 5)));
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
    assert_eq!(list(&site), "porta\nportb");

    // A port that somebody has removed is made again, and a foreign one is left alone.
    site.ovs.as_ref().unwrap().vsctl("del-port ovs0 porta");
    site.attach(&container("a", &a, &tagged("a", 5)));
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
    site.lab.ip("link add foreign type veth peer name other");
    site.ovs.as_ref().unwrap().vsctl("add-port ovs0 foreign");
    let c = site.space("c");
    let mut stolen = tagged("c", 5);
    stolen["link"] = json!("foreign");
    let told = site.refused(&container("c", &c, &stolen));
    assert!(told.contains("the host has an interface foreign that is not unionize's"), "{told}");
    site.detach_others(&container("c", &c, &stolen));
    assert!(site.lab.machine().has_link("foreign"));
    assert_eq!(list(&site), "foreign\nporta\nportb");

    // Without the daemon nothing is done, and what was there is remembered until it can be.
    let ovs = site.ovs.take();
    let done = site.unionize(&["--ovs", "/nonexistent"], &container("c", &c, &network));
    assert!(done.stderr.contains("connect to /nonexistent: no Open vSwitch database"), "{done:?}");
    site.ovs = ovs;
    let told = site.refused(&container("c", &c, &json!({"kind": "ovs", "bridge": "ovs9"})));
    assert!(told.contains("make it with ovs-vsctl add-br ovs9"), "{told}");
    site.ovs.as_mut().unwrap().stop();
    let told = site.refused(&container("c", &c, &network));
    assert!(told.contains("ovs-vswitchd has not taken it in; is it running?"), "{told}");
    assert!(!c.has_link("eth0"));
    assert_eq!(site.remembered(), 2);
}

#[test]
fn a_parent_that_is_off_or_missing_is_told() {
    let test = "a_parent_that_is_off_or_missing_is_told";
    let Some(mut site) = Site::or_skip(test) else { return };
    let space = site.space("web");
    site.lab.ip("link set up0 down");
    for (parent, says) in [
        ("up0", "find interface up0: it is switched off; ip link set up0 up"),
        ("up7", "find interface up7: there is no interface of that name"),
        ("mac:02:00:00:00:00:77", "no interface has that hardware address"),
    ] {
        let network = json!({"kind": "macvlan", "parent": parent});
        let told = site.refused(&container("web", &space, &network));
        assert!(told.contains(says), "{told}");
    }
    assert!(!space.has_link("eth0"));
}

#[test]
fn the_name_of_another_s_end_is_not_taken_over() {
    let test = "the_name_of_another_s_end_is_not_taken_over";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (a, b) = (site.space("a"), site.space("b"));
    let network = json!({"bridge": "br1", "link": "mine", "addresses": ["fd00:5::a/64"]});
    site.attach(&container("a", &a, &network));
    site.lab.ip("link add yours type veth peer name theirs");
    let yours = json!({"bridge": "br1", "link": "yours", "addresses": ["fd00:5::b/64"]});
    let told = site.refused(&container("b", &b, &yours));
    assert!(told.contains("the host has an interface yours that is not unionize's"), "{told}");
    site.detach_others(&container("b", &b, &yours));
    assert!(site.lab.machine().has_link("yours"));
    let told = site.refused(&container("b", &b, &network));
    assert!(told.contains("use the name mine: it is the link of container a"), "{told}");
    assert!(a.has_link("eth0") && !b.has_link("eth0"));
    assert_eq!(site.remembered(), 1);
}
