//! The firewall of containers with real packets. What the kernel has is read with nft(8), and what
//! gets through is seen from the stations themselves.

mod lab;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Output;
use std::thread;
use std::time::Duration;

use lab::{Lab, Namespace};
use leasepipe::adapter::nftables::{Firewall, Guard};
use leasepipe::error::Kind;
use serde_json::Value;

/// Long enough for a packet between namespaces, its answer, and neighbour discovery before it; and
/// how long to wait for what must not come.
const WAIT: Duration = Duration::from_millis(700);

fn nft(space: &Namespace, words: &str) -> Output {
    space.command("nft").args(words.split(' ')).output().expect("nft")
}

/// What nft(8) shows of the suite's table in a namespace; empty when there is none.
fn shown(space: &Namespace) -> String {
    String::from_utf8(nft(space, "list table inet leasepipe").stdout).expect("text")
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

/// A machine with two links, `br0` and `br1`, and a container on the second.
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
    fn or_skip(test: &str) -> Option<Site> {
        let mut lab = Lab::or_skip(test)?;
        lab.machine().sysctl("net.ipv4.ip_forward", "1");
        for (bridge, six, four) in
            [("br0", "fd00::1/64", "198.51.100.1/24"), ("br1", "fd00:1::1/64", "192.0.2.1/24")]
        {
            lab.bridge(bridge);
            lab.ip(&format!("address add {six} dev {bridge} nodad"));
            lab.ip(&format!("address add {four} dev {bridge}"));
        }
        let web = station(&mut lab, "web", "br1", "fd00:1::5", "192.0.2.5");
        let near = station(&mut lab, "near", "br1", "fd00:1::7", "192.0.2.7");
        let alice = station(&mut lab, "alice", "br0", "fd00::a", "198.51.100.10");
        let bob = station(&mut lab, "bob", "br0", "fd00::b", "198.51.100.11");
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

/// A namespace with `eth0` on the bridge, addresses and routes.
fn station(lab: &mut Lab, name: &str, bridge: &str, six: &str, four: &str) -> Namespace {
    let path = lab.namespace(name);
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    space.sysctl("net.ipv6.conf.default.accept_dad", "0");
    space.sysctl("net.ipv4.ping_group_range", "0 0");
    let netns = space.name();
    lab.ip(&format!("link add t-{name} type veth peer name eth0 netns {netns}"));
    lab.ip(&format!("link set t-{name} master {bridge} up"));
    space.ip("link set lo up");
    space.ip("link set eth0 up");
    space.ip(&format!("address add {six}/64 dev eth0 nodad"));
    space.ip(&format!("address add {four}/24 dev eth0"));
    let (routers, _) = six.rsplit_once("::").unwrap();
    space.ip(&format!("route add default via {routers}::1"));
    let (routers, _) = four.rsplit_once('.').unwrap();
    space.ip(&format!("route add default via {routers}.1"));
    space
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
    let path = site.lab.namespace("mac");
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    space.sysctl("net.ipv6.conf.default.accept_dad", "0");
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
    let Some(lab) = Lab::or_skip("a_table_that_was_changed_is_put_back_whole") else { return };
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
    let Some(lab) = Lab::or_skip(name) else { return };
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
    let Some(lab) = Lab::or_skip("a_table_of_others_is_left_alone") else { return };
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
    let Some(lab) = Lab::or_skip("many_at_once_and_many_ports") else { return };
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
