//! The firewall of containers with real packets. What the kernel has is read with nft(8), and what
//! gets through is seen from the stations themselves.

mod lab;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lab::{Done, Lab, Namespace, PATIENCE, Running, bin, eventually, run};
use leasepipe::adapter::nftables::{Firewall, Guard};
use leasepipe::error::Kind;
use serde_json::{Value, json};

/// Long enough for a packet between namespaces, its answer, and neighbour discovery before it; and
/// how long to wait for what must not come.
const WAIT: Duration = Duration::from_millis(700);

/// A lab, or a line that says why not: it takes root, nft(8), and a kernel with a packet filter
/// that knows connections.
fn lab_or_skip(test: &str) -> Option<Lab> {
    let lab = Lab::or_skip(test)?;
    let chain = "add table inet t; add chain inet t c; add rule inet t c ct direction reply accept";
    let out = lab.command("nft").arg(chain).output();
    let why = match &out {
        Err(_) => "nft is missing",
        Ok(out) if !out.status.success() => "the kernel lacks nf_tables with inet and ct",
        Ok(_) => {
            assert!(nft(lab.machine(), "delete table inet t").status.success());
            return Some(lab);
        }
    };
    lab::skipped(test, why);
    None
}

fn nft(space: &Namespace, words: &str) -> Output {
    space.command("nft").args(words.split(' ')).output().expect("nft")
}

/// What nft(8) shows of the suite's table in a namespace, without what it has counted; empty when
/// there is none.
fn shown(space: &Namespace) -> String {
    String::from_utf8(nft(space, "-s list table inet leasepipe").stdout).expect("text")
}

/// The elements that nft(8) shows of a set, as JSON.
fn elements(space: &Namespace, set: &str) -> Vec<Value> {
    let out = nft(space, &format!("-j list set inet leasepipe {set}")).stdout;
    let all: Value = serde_json::from_slice(&out).expect("JSON");
    let sets = all["nftables"].as_array().expect("a list").iter();
    let found = sets.filter_map(|part| part["set"]["elem"].as_array()).flatten();
    found.map(|element| element["elem"]["val"].clone()).collect()
}

fn guard(interface: &str, client: &str, ports: Option<&[&str]>) -> Guard {
    let parse = |ports: &[&str]| ports.iter().map(|port| port.parse().unwrap()).collect();
    Guard {
        interface: interface.parse().unwrap(),
        client: client.parse().unwrap(),
        ports: ports.map(parse),
        container: "web".parse().unwrap(),
    }
}

/// Shuts an interface of the namespace.
#[track_caller]
fn shut(space: &Namespace, guard: &Guard) {
    space.within(|| Firewall::open()?.shut(guard)).unwrap();
    assert!(space.within(|| Firewall::open()?.look()).unwrap().is_so(guard));
}

/// A machine with two links, `br0` and `br1`, and a container that is on the second or will be.
struct Site {
    lab: Lab,
    /// The container: fd00:1::5, 192.0.2.5.
    web: Namespace,
    /// A station on its link: fd00:1::7, 192.0.2.7.
    near: Namespace,
    /// Stations on the other link: fd00::a and fd00::b, 198.51.100.10 and 198.51.100.11.
    alice: Namespace,
    bob: Namespace,
}

const WEB: &str = "[fd00:1::5]";

impl Site {
    /// With a container that is plugged in, by hand.
    fn or_skip(test: &str) -> Option<Site> {
        let site = Site::before(test)?;
        plug(&site.lab, &site.web, "web", "br1", "fd00:1::5", "192.0.2.5");
        Some(site)
    }

    /// With a container that has no interface yet.
    fn before(test: &str) -> Option<Site> {
        let mut lab = lab_or_skip(test)?;
        lab.machine().sysctl("net.ipv4.ip_forward", "1");
        for (bridge, six, four) in
            [("br0", "fd00::1/64", "198.51.100.1/24"), ("br1", "fd00:1::1/64", "192.0.2.1/24")]
        {
            lab.bridge(bridge);
            lab.ip(&format!("address add {six} dev {bridge} nodad"));
            lab.ip(&format!("address add {four} dev {bridge}"));
        }
        let [web, near, alice, bob] =
            ["web", "near", "alice", "bob"].map(|name| space(&mut lab, name));
        plug(&lab, &near, "near", "br1", "fd00:1::7", "192.0.2.7");
        plug(&lab, &alice, "alice", "br0", "fd00::a", "198.51.100.10");
        plug(&lab, &bob, "bob", "br0", "fd00::b", "198.51.100.11");
        for space in [&web, &bob] {
            for port in [80, 81] {
                serve_tcp(space, port);
            }
            serve_udp(space, 53);
        }
        Some(Site { lab, web, near, alice, bob })
    }

    /// The container's link-local address, as a station on its link writes it.
    fn local(&self) -> String {
        let shown = self.web.ip("-6 -br addr show dev eth0 scope link");
        let address = shown.split_whitespace().find(|word| word.starts_with("fe80")).unwrap();
        format!("{}%eth0", address.split('/').next().unwrap())
    }
}

/// A namespace with the settings that container-run gives to containers, and nothing in it.
fn space(lab: &mut Lab, name: &str) -> Namespace {
    let path = lab.namespace(name);
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    space.sysctl("net.ipv6.conf.default.accept_dad", "0");
    space.ip("link set lo up");
    space
}

/// Gives a namespace an `eth0` on the bridge, addresses and routes.
fn plug(lab: &Lab, space: &Namespace, name: &str, bridge: &str, six: &str, four: &str) {
    lab.ip(&format!("link add t-{name} type veth peer name eth0 netns {}", space.name()));
    lab.ip(&format!("link set t-{name} master {bridge} up"));
    space.ip("link set eth0 up");
    space.ip(&format!("address add {six}/64 dev eth0 nodad"));
    space.ip(&format!("address add {four}/24 dev eth0"));
    let (routers, _) = six.rsplit_once("::").unwrap();
    space.ip(&format!("route add default via {routers}::1"));
    let (routers, _) = four.rsplit_once('.').unwrap();
    space.ip(&format!("route add default via {routers}.1"));
}

/// Answers each connection to the port with what it says, until it closes.
fn serve_tcp(space: &Namespace, port: u16) {
    let listener = space.within(|| TcpListener::bind(("::", port))).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || echo(stream));
        }
    });
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = stream.read(&mut buffer) {
        if length == 0 || stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Sends each datagram to the port back.
fn serve_udp(space: &Namespace, port: u16) {
    let socket = space.within(|| UdpSocket::bind(("::", port))).unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

fn connect(from: &Namespace, to: &str) -> Option<TcpStream> {
    // The standard library takes the number of an interface behind an address, not its name.
    let index = || nix::net::if_::if_nametoindex("eth0").unwrap_or_default();
    let to = to.replace("%eth0", &format!("%{}", from.within(index)));
    let to: SocketAddr = to.parse().unwrap();
    let stream = from.within(|| TcpStream::connect_timeout(&to, WAIT)).ok()?;
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.set_write_timeout(Some(WAIT)).unwrap();
    Some(stream)
}

/// Whether what is said comes back.
fn answers(stream: &mut TcpStream, length: usize) -> bool {
    let said = vec![7; length];
    let mut heard = vec![0; length];
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = writer.write_all(&said);
        });
        stream.read_exact(&mut heard).is_ok()
    })
}

/// Whether a connection to the port can be made and used.
fn tcp(from: &Namespace, to: &str) -> bool {
    connect(from, to).is_some_and(|mut stream| answers(&mut stream, 10))
}

fn udp(from: &Namespace, to: &str, length: usize) -> bool {
    let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = from.within(|| UdpSocket::bind(any)).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let mut heard = vec![0; length];
    // The first may be lost while the path to the other side is found out.
    (0..2).any(|_| socket.send_to(&vec![7; length], to).is_ok() && socket.recv(&mut heard).is_ok())
}

fn pings(from: &Namespace, to: &str) -> bool {
    let to = to.trim_matches(['[', ']']);
    from.command("ping").args(["-n", "-c1", "-W1", to]).output().unwrap().status.success()
}

/// A port of an address.
fn at(address: &str, port: u16) -> String {
    format!("{address}:{port}")
}

/// What of a container a station reaches: TCP port 80 and an echo, at each of its addresses.
fn reached(from: &Namespace, addresses: &[&str]) -> Vec<(bool, bool)> {
    let reach = |to: &&str| (tcp(from, &at(to, 80)), pings(from, to));
    thread::scope(|scope| {
        let each: Vec<_> = addresses.iter().map(|to| scope.spawn(move || reach(to))).collect();
        each.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn only_the_client_comes_in() {
    let Some(site) = Site::or_skip("only_the_client_comes_in") else { return };
    let local = format!("[{}]", site.local());
    let near = [WEB, "192.0.2.5", &local];
    let far = &near[..2];
    assert_eq!(reached(&site.near, &near), [(true, true); 3], "open before");
    for from in [&site.alice, &site.bob, site.lab.machine()] {
        assert_eq!(reached(from, far), [(true, true); 2], "{}: open before", from.name());
    }

    shut(&site.web, &guard("eth0", "fd00::a/128", None));
    assert_eq!(reached(&site.alice, far), [(true, true), (false, false)], "by its address alone");
    assert!(udp(&site.alice, &at(WEB, 53), 10));
    assert!(udp(&site.alice, &at(WEB, 53), 4000), "in fragments");
    assert_eq!(reached(&site.near, &near), [(false, false); 3]);
    for from in [&site.bob, site.lab.machine()] {
        assert_eq!(reached(from, far), [(false, false); 2], "{}", from.name());
        assert!(!udp(from, &at(WEB, 53), 10), "{}", from.name());
    }
    let shown = shown(&site.web);
    assert!(shown.contains(r#"elements = { "eth0" . fd00::a comment "web" }"#), "{shown}");
}

#[test]
fn the_container_reaches_whom_it_wants() {
    let Some(site) = Site::or_skip("the_container_reaches_whom_it_wants") else { return };
    shut(&site.web, &guard("eth0", "fd00::a/128", None));
    // Packets of more than this do not fit there: the machine says so in ICMPv6.
    site.lab.ip("link set br0 mtu 1280");
    for to in ["[fd00::b]", "198.51.100.11"] {
        assert!(tcp(&site.web, &at(to, 80)), "{to}");
        assert!(udp(&site.web, &at(to, 53), 10), "{to}");
        assert!(udp(&site.web, &at(to, 53), 1400), "{to}");
        assert!(pings(&site.web, to), "{to}");
        let mut stream = connect(&site.web, &at(to, 80)).unwrap();
        assert!(answers(&mut stream, 1 << 20), "{to}: with packets that are too big at first");
    }
    let mut download = connect(&site.alice, &at(WEB, 80)).unwrap();
    assert!(answers(&mut download, 1 << 20), "the errors about answers come from the machine");
    // Neighbours are found again, and refuse as they would.
    for space in [&site.web, site.lab.machine()] {
        space.ip("-6 neigh flush all");
    }
    assert!(tcp(&site.alice, &at(WEB, 80)) && tcp(&site.web, "[fd00::b]:80"));
    assert!(connect(&site.web, "[fd00::b]:99").is_none());
    assert!(tcp(&site.web, "[::1]:80") && tcp(&site.web, &at(WEB, 80)), "itself");
}

#[test]
fn a_client_uses_the_ports_that_are_allowed() {
    let Some(site) = Site::or_skip("a_client_uses_the_ports_that_are_allowed") else { return };
    let open = |to: &str| {
        (
            tcp(&site.alice, &at(to, 80)),
            tcp(&site.alice, &at(to, 81)),
            udp(&site.alice, &at(to, 53), 10),
        )
    };
    shut(&site.web, &guard("eth0", "fd00::a/128", Some(&["80"])));
    assert_eq!(open(WEB), (true, false, false));
    assert!(pings(&site.alice, WEB));
    shut(&site.web, &guard("eth0", "fd00::a/128", Some(&["81/tcp", "53/udp", "80/udp"])));
    assert_eq!(open(WEB), (false, true, true));
    shut(&site.web, &guard("eth0", "fd00::a/128", Some(&[])));
    assert_eq!(open(WEB), (false, false, false));
    shut(&site.web, &guard("eth0", "198.51.100.10/32", Some(&["80"])));
    assert_eq!(open("192.0.2.5"), (true, false, false));
    assert_eq!(open(WEB), (false, false, false));
    assert!(pings(&site.alice, "192.0.2.5"));
}

#[test]
fn a_client_may_be_a_prefix() {
    let Some(site) = Site::or_skip("a_client_may_be_a_prefix") else { return };
    shut(&site.web, &guard("eth0", "fd00::/64", None));
    assert!(tcp(&site.alice, &at(WEB, 80)) && tcp(&site.bob, &at(WEB, 80)));
    assert!(!tcp(&site.near, &at(WEB, 80)));
    shut(&site.web, &guard("eth0", "fd00::a/127", None));
    shut(&site.web, &guard("eth0", "198.51.100.10/31", Some(&["81"])));
    assert!(tcp(&site.bob, "192.0.2.5:81") && !tcp(&site.near, "192.0.2.5:81"));
    assert!(!tcp(&site.bob, &at(WEB, 81)), "the client before is none any more");
}

#[test]
fn nobody_stays_in_who_may_not_come_in() {
    let Some(site) = Site::or_skip("nobody_stays_in_who_may_not_come_in") else { return };
    let mut alice = connect(&site.alice, &at(WEB, 80)).unwrap();
    let mut bob = connect(&site.bob, &at(WEB, 80)).unwrap();
    // What the container has to say to bob is on its way when it is shut: it would be the first to
    // speak on a connection that the kernel has not seen begin.
    let listener = site.web.within(|| TcpListener::bind("[::]:99")).unwrap();
    let mut pushed = connect(&site.bob, &at(WEB, 99)).unwrap();
    let (mut pushing, _) = listener.accept().unwrap();
    shut(&site.web, &guard("eth0", "fd00::a/128", None));
    pushing.write_all(b"hello").unwrap();
    assert!(answers(&mut alice, 10), "the client goes on");
    assert!(!answers(&mut bob, 10));
    assert!(pushed.read_exact(&mut [0; 5]).is_err());
    pushing.set_read_timeout(Some(WAIT)).unwrap();
    pushed.write_all(b"hello").unwrap();
    assert!(pushing.read(&mut [0; 5]).is_err());

    let mut later = connect(&site.alice, &at(WEB, 80)).unwrap();
    shut(&site.web, &guard("eth0", "fd00::b/128", None));
    assert!(!answers(&mut later, 10), "a lease that has ended ends what came by it");
    assert!(tcp(&site.bob, &at(WEB, 80)));
}

#[test]
fn what_goes_past_the_host_is_shut_too() {
    let Some(mut site) = Site::or_skip("what_goes_past_the_host_is_shut_too") else { return };
    let space = space(&mut site.lab, "mac");
    let made = site
        .near
        .command("ip")
        .args(["link", "add", "eth0", "link", "eth0"])
        .args(["netns", space.name(), "type", "macvlan", "mode", "bridge"])
        .output()
        .unwrap();
    if !made.status.success() {
        return lab::skipped("what_goes_past_the_host_is_shut_too", "the kernel has no macvlan");
    }
    space.ip("link set eth0 up");
    space.ip("address add fd00:1::9/64 dev eth0 nodad");
    serve_tcp(&space, 80);
    assert!(tcp(&site.web, "[fd00:1::9]:80"));
    shut(&space, &guard("eth0", "fd00:1::1/128", None));
    assert!(tcp(site.lab.machine(), "[fd00:1::9]:80"));
    assert!(!tcp(&site.web, "[fd00:1::9]:80"));
}

#[test]
fn a_table_that_was_changed_is_put_back_whole() {
    let Some(lab) = lab_or_skip("a_table_that_was_changed_is_put_back_whole") else { return };
    let space = lab.machine();
    let (one, two) =
        (guard("eth0", "fd00::a/128", Some(&["80"])), guard("eth1", "fd00::/64", None));
    shut(space, &one);
    shut(space, &two);
    let whole = shown(space);
    let sets = ["shut", "every_port", "ports", "clients6", "networks6"];
    let counts = || sets.map(|set| elements(space, set).len());
    assert_eq!(counts(), [2, 1, 1, 1, 1], "{whole}");
    for harm in [
        "flush chain inet leasepipe inward",
        "flush chain inet leasepipe client",
        "add rule inet leasepipe client accept",
        "insert rule inet leasepipe inward accept",
        "flush set inet leasepipe needed",
        "flush set inet leasepipe clients6",
        "add element inet leasepipe ports { \"eth0\" . tcp . 22 }",
        "add table inet leasepipe { flags dormant; }",
        "delete chain inet leasepipe outward",
    ] {
        assert!(nft(space, harm).status.success(), "{harm}");
        assert!(!space.within(|| Firewall::open()?.look()).unwrap().is_so(&one), "{harm}");
        shut(space, &one);
        assert_eq!(shown(space), whole, "{harm}");
    }
    assert!(nft(space, "delete table inet leasepipe").status.success());
    shut(space, &one);
    assert_eq!(counts(), [1, 0, 1, 1, 0], "what was in it is not known any more");
    shut(space, &two);
    assert_eq!(shown(space), whole);
    shut(space, &two);
    assert_eq!(shown(space), whole);
}

#[test]
fn an_interface_is_opened_and_the_last_takes_the_table_along() {
    let name = "an_interface_is_opened_and_the_last_takes_the_table_along";
    let Some(lab) = lab_or_skip(name) else { return };
    let space = lab.machine();
    let (one, two) =
        (guard("eth0", "fd00::a/128", None), guard("eth1", "fd00::a/128", Some(&["80"])));
    let renamed = Guard { container: "web-2".parse().unwrap(), ..one.clone() };
    for guard in [&one, &two, &renamed] {
        shut(space, guard);
    }
    let open =
        |guard: &Guard| space.within(|| Firewall::open()?.open_up(&guard.interface)).unwrap();
    assert!(shown(space).contains("comment \"web-2\""));
    open(&two);
    assert_eq!([elements(space, "shut"), elements(space, "ports")].map(|e| e.len()), [1, 0]);
    open(&two);
    open(&one);
    assert_eq!(shown(space), "");
    open(&one);
}

#[test]
fn a_table_of_others_is_left_alone() {
    let Some(lab) = lab_or_skip("a_table_of_others_is_left_alone") else { return };
    let space = lab.machine();
    let one = guard("eth0", "fd00::a/128", None);
    for foreign in ["", "{ comment \"mine\"; }"] {
        assert!(nft(space, &format!("add table inet leasepipe {foreign}")).status.success());
        let before = shown(space);
        let outcomes = space.within(|| {
            let mut firewall = Firewall::open().unwrap();
            [firewall.shut(&one), firewall.open_up(&one.interface), firewall.look().map(drop)]
        });
        for outcome in outcomes {
            let why = outcome.unwrap_err();
            assert_eq!(why.kind(), Kind::Refused);
            assert!(why.to_string().contains("unionize did not make"), "{why}");
        }
        assert_eq!(shown(space), before);
        assert!(nft(space, "delete table inet leasepipe").status.success());
    }
}

#[test]
fn many_at_once_and_many_ports() {
    let Some(lab) = lab_or_skip("many_at_once_and_many_ports") else { return };
    let space = lab.machine();
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                for again in 0..4 {
                    shut(space, &guard(&format!("eth{number}-{again}"), "fd00::a/128", None));
                }
            });
        }
    });
    assert_eq!(elements(space, "clients6").len(), 32);
    let ports: Vec<String> = (1..=2000).map(|port| port.to_string()).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    shut(space, &guard("eth0", "fd00::a/128", Some(&ports)));
    assert_eq!(elements(space, "ports").len(), 2000);
}

/// A site whose container unionize plugs in, by DHCPv6 and with a router.
struct Plugged {
    site: Site,
    state: PathBuf,
}

impl Plugged {
    fn or_skip(test: &str) -> Option<Plugged> {
        let mut site = Site::before(test)?;
        site.lab.dnsmasq("br1", "fd00:1::/64", &[]);
        Some(Plugged { state: site.lab.dir().join("attachments"), site })
    }

    /// The container as the pipe has it; alice is whom it is for.
    fn web(&self) -> Value {
        json!({"id": "web", "image": "busybox", "state": "running",
            "netns": self.site.web.path(),
            "lease": {"key": "om2pqvn3u6qa2", "address": "fd00::a"}})
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.site.lab.command(bin!("unionize"));
        command.args(["--bridge", "br1", "--state"]).arg(&self.state).args(words);
        command
    }

    /// The same with another place to plug it in.
    fn attach_to(&self, place: &[&str]) -> Done {
        let mut command = self.site.lab.command(bin!("unionize"));
        command.args(place).args(LEASE).arg("--state").arg(&self.state);
        run(&mut command, format!("{}\n", self.web()))
    }

    fn unionize(&self, words: &[&str], record: &Value) -> Done {
        run(&mut self.command(words), format!("{record}\n"))
    }

    /// Attaches the container, which must work; its address in brackets.
    #[track_caller]
    fn attach(&self, words: &[&str], container: &Value) -> String {
        let done = self.unionize(words, container);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let record = done.records().remove(0);
        assert_eq!(record["status"], "done", "{record}");
        format!("[{}]", record["interfaces"][0]["addresses"][0]["address"].as_str().unwrap())
    }

    /// Why the container could not be attached: the kind and the words.
    #[track_caller]
    fn fail(&self, words: &[&str], container: &Value) -> (String, String) {
        let done = self.unionize(words, container);
        assert_eq!(done.status, Some(1), "{}", done.stderr);
        let record = done.records().remove(0);
        assert_eq!(record["status"], "failed", "{record}");
        assert!(!self.site.web.has_link("eth0"));
        let word = |field: &str| record[field].as_str().unwrap().to_owned();
        (word("error_kind"), word("error"))
    }

    fn remembered(&self) -> usize {
        let entries = std::fs::read_dir(&self.state).into_iter().flatten().flatten();
        entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
    }
}

const LEASE: [&str; 2] = ["--allow-from", "lease"];

#[test]
fn a_container_is_its_client_s_from_the_first_moment() {
    let test = "a_container_is_its_client_s_from_the_first_moment";
    let Some(plugged) = Plugged::or_skip(test) else { return };
    let site = &plugged.site;
    // A neighbour that says something to all stations of the link, all the time.
    let heard = |words: &[&str]| {
        let asker = site.near.within(|| UdpSocket::bind("[::]:0")).unwrap();
        asker.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let index = site.near.within(|| nix::net::if_::if_nametoindex("eth0")).unwrap();
        let all: SocketAddr = format!("[ff02::1%{index}]:53").parse().unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let heard = scope.spawn(|| {
                let mut heard = 0;
                while !over.load(Ordering::Relaxed) {
                    asker.send_to(b"hello", all).unwrap();
                    heard += usize::from(asker.recv(&mut [0; 9]).is_ok());
                }
                heard
            });
            let address = plugged.attach(words, &plugged.web());
            thread::sleep(Duration::from_millis(100));
            over.store(true, Ordering::Relaxed);
            (address, heard.join().unwrap())
        })
    };
    let (address, open) = heard(&[]);
    assert!(open > 0 && tcp(&site.bob, &at(&address, 80)), "open for all by default");
    assert_eq!(shown(&site.web), "");
    let remove = json!({"kind": "change", "action": "remove", "container": plugged.web()});
    assert_eq!(plugged.unionize(&[], &remove).status, Some(0));

    let (address, shut) = heard(&LEASE);
    assert_eq!(shut, 0);
    assert_eq!(reached(&site.alice, &[&address]), [(true, true)]);
    for other in [&site.bob, &site.near, site.lab.machine()] {
        assert_eq!(reached(other, &[&address]), [(false, false)], "{}", other.name());
    }
    assert!(tcp(&site.web, "[fd00::b]:80") && udp(&site.web, "[fd00::b]:53", 10));

    assert_eq!(plugged.unionize(&[], &remove).status, Some(0));
    assert_eq!((shown(&site.web).as_str(), plugged.remembered()), ("", 0));
}

#[test]
fn the_firewall_follows_the_document() {
    let Some(plugged) = Plugged::or_skip("the_firewall_follows_the_document") else { return };
    let site = &plugged.site;
    let mut web = plugged.web();
    web["allow"] = json!(["80", "53/udp"]);
    let would = plugged.unionize(&["--allow-from", "lease", "--dry-run"], &web).stderr;
    let steps: Vec<&str> = would.lines().collect();
    assert!(
        steps[0].ends_with("web: would shut eth0 for all but fd00::a, ports 80 53/udp"),
        "{would}"
    );
    assert!(steps[1].contains("would create veth"), "{would}");
    assert_eq!((shown(&site.web).as_str(), plugged.remembered()), ("", 0));

    let address = plugged.attach(&LEASE, &web);
    let ports = |from| {
        let (tcp_80, tcp_81) = (tcp(from, &at(&address, 80)), tcp(from, &at(&address, 81)));
        (tcp_80, tcp_81, udp(from, &at(&address, 53), 10))
    };
    assert_eq!(ports(&site.alice), (true, false, true));
    let whole = shown(&site.web);
    plugged.attach(&LEASE, &web);
    assert_eq!(shown(&site.web), whole, "nothing was to be done");
    assert!(nft(&site.web, "delete table inet leasepipe").status.success());
    assert_eq!(ports(&site.bob), (true, true, true), "somebody has opened it");
    plugged.attach(&LEASE, &web);
    assert_eq!(shown(&site.web), whole);
    assert_eq!(ports(&site.bob), (false, false, false));

    web["lease"]["address"] = json!("fd00::b");
    web["allow"] = json!(["81"]);
    plugged.attach(&LEASE, &web);
    assert_eq!(ports(&site.alice), (false, false, false));
    assert_eq!(ports(&site.bob), (false, true, false));
    plugged.attach(&[], &web);
    assert_eq!(shown(&site.web), "");
    assert_eq!(ports(&site.alice), (true, true, true));
    plugged.attach(&[], &web);
}

#[test]
fn what_cannot_be_shut_is_not_plugged_in() {
    let Some(plugged) = Plugged::or_skip("what_cannot_be_shut_is_not_plugged_in") else { return };
    let space = &plugged.site.web;
    let mut nobody_s = plugged.web();
    nobody_s.as_object_mut().unwrap().remove("lease");
    let (kind, why) = plugged.fail(&LEASE, &nobody_s);
    assert!(kind == "bad_input" && why.contains("no \"lease\""), "{why}");

    let foreign = "add table inet leasepipe { comment \"mine\"; }";
    assert!(nft(space, foreign).status.success());
    let before = shown(space);
    let (kind, why) = plugged.fail(&LEASE, &plugged.web());
    assert!(kind == "refused" && why.contains("unionize did not make"), "{why}");
    // An interface that was open before does not stay open.
    plugged.attach(&[], &plugged.web());
    let (kind, why) = plugged.fail(&LEASE, &plugged.web());
    assert!(kind == "refused" && why.contains("unionize did not make"), "{why}");
    assert_eq!((shown(space), plugged.remembered()), (before, 0));
    assert!(nft(space, "delete table inet leasepipe").status.success());

    let mut weak = plugged.site.lab.command("setpriv");
    weak.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", bin!("unionize"), "--bridge"]);
    weak.args(["br1", "--allow-from", "lease", "--state"]).arg(&plugged.state);
    let done = run(&mut weak, format!("{}\n", plugged.web()));
    let record = done.records().remove(0);
    assert_eq!(record["error_kind"], "not_permitted", "{record}");
    assert!(record["error"].as_str().unwrap().contains("CAP_NET_ADMIN"), "{record}");
    assert!(!space.has_link("eth0"));
}

#[test]
fn a_run_that_was_killed_leaves_nothing_open_and_nothing_behind() {
    let test = "a_run_that_was_killed_leaves_nothing_open_and_nothing_behind";
    let Some(mut plugged) = Plugged::or_skip(test) else { return };
    plugged.site.lab.bridge("br2");
    let silent = |plugged: &Plugged| {
        let words = ["--bridge", "br2", "--allow-from", "lease", "--state"];
        let mut command = plugged.site.lab.command(bin!("unionize"));
        command.args(words).arg(&plugged.state);
        let mut running = Running::start(&mut command);
        running.send(&plugged.web());
        let web = &plugged.site.web;
        eventually("it waits for a server", PATIENCE, || web.has_link("eth0").then_some(()));
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait();
    };
    silent(&plugged);
    assert!(shown(&plugged.site.web).contains("\"eth0\" . fd00::a"));
    let address = plugged.attach(&LEASE, &plugged.web());
    assert!(tcp(&plugged.site.alice, &at(&address, 80)));
    assert!(!tcp(&plugged.site.bob, &at(&address, 80)));

    silent(&plugged);
    let address = plugged.attach(&[], &plugged.web());
    assert!(tcp(&plugged.site.bob, &at(&address, 80)), "what was left is opened again");
    assert_eq!(shown(&plugged.site.web), "");

    // The container is started anew: it has nothing, and is shut before it has something.
    plugged.attach(&LEASE, &plugged.web());
    let again = space(&mut plugged.site.lab, "again");
    serve_tcp(&again, 80);
    let before = std::mem::replace(&mut plugged.site.web, again);
    before.remove();
    let address = plugged.attach(&LEASE, &plugged.web());
    assert!(tcp(&plugged.site.alice, &at(&address, 80)));
    assert!(!tcp(&plugged.site.bob, &at(&address, 80)));
}

#[test]
fn a_container_that_can_open_itself_is_told() {
    let test = "a_container_that_can_open_itself_is_told";
    let Some(plugged) = Plugged::or_skip(test) else { return };
    let mut web = plugged.web();
    web["cap_add"] = json!(["NET_ADMIN"]);
    let done = plugged.unionize(&LEASE, &web);
    assert_eq!(done.status, Some(0));
    assert!(done.stderr.contains("web: it can open its own firewall"), "{}", done.stderr);
    assert_eq!(plugged.unionize(&LEASE, &web).stderr, "", "once");
}

#[test]
fn a_macvlan_is_its_client_s_too() {
    let test = "a_macvlan_is_its_client_s_too";
    let Some(plugged) = Plugged::or_skip(test) else { return };
    let site = &plugged.site;
    site.lab.ip("link add up0 type veth peer name up1");
    site.lab.ip("link set up1 master br1 up");
    site.lab.ip("link set up0 up");
    let mut try_it = site.lab.command("ip");
    try_it.args(["link", "add", "try", "link", "up0", "type", "macvlan"]);
    if !try_it.status().unwrap().success() {
        return lab::skipped(test, "the kernel has no macvlan");
    }
    site.lab.ip("link del try");
    let place = ["--kind", "macvlan", "--parent", "up0", "--address", "fd00:1::5/64@fd00:1::1"];
    let done = plugged.attach_to(&place);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert_eq!(reached(&site.alice, &[WEB]), [(true, true)]);
    for other in [&site.bob, &site.near] {
        assert_eq!(reached(other, &[WEB]), [(false, false)], "{}", other.name());
    }
    let remove = json!({"kind": "change", "action": "remove", "container": plugged.web()});
    assert_eq!(plugged.unionize(&[], &remove).status, Some(0));
    assert_eq!((shown(&site.web).as_str(), plugged.remembered()), ("", 0));
}

#[test]
fn a_dhcp4_server_gets_through() {
    let test = "a_dhcp4_server_gets_through";
    let Some(plugged) = Plugged::or_skip(test) else { return };
    let site = &plugged.site;
    let Some(_server) = lab::Four::or_skip(test, &site.lab, "br1", lab::Server4::Dhcpd) else {
        return;
    };
    let mut web = plugged.web();
    web["lease"]["address"] = json!("198.51.100.10");
    let address = plugged.attach(&["--address", "dhcp4", "--allow-from", "lease"], &web);
    let address = address.trim_matches(['[', ']']);
    assert_eq!(reached(&site.alice, &[address]), [(true, true)]);
    assert_eq!(reached(&site.bob, &[address]), [(false, false)]);
    assert!(tcp(&site.web, "198.51.100.11:80"));
}
