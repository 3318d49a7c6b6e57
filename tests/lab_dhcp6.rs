//! The DHCPv6 client against a real dnsmasq, and against scripted servers for what dnsmasq does not do.

mod lab;

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Namespace, PATIENCE, eventually};
use leasepipe::adapter::dhcp6::{Client, Held, Lease, Link, Outcome};
use leasepipe::error::{Kind, Result};
use leasepipe::record::{Duid, Ifname};

/// A container's end of a link: a namespace with `eth0` in it.
struct Plugged {
    space: Namespace,
    client: Client,
}

/// How the link-local address comes up.
#[derive(Clone, Copy, PartialEq)]
enum Dad {
    Optimistic,
    Wait,
}

fn plug(lab: &mut Lab, number: u8, dad: Dad) -> Plugged {
    let path = lab.namespace(&format!("c{number}"));
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let space = Namespace::left_behind(name);
    if dad == Dad::Optimistic {
        space.sysctl("net.ipv6.conf.all.optimistic_dad", "1");
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
    }
    let mac = format!("02:00:00:00:01:{number:02x}");
    lab.ip(&format!(
        "link add v{number} master br1 type veth peer eth0 address {mac} netns {name}"
    ));
    // dnsmasq sleeps for 100 ms before it answers a machine that it has no neighbour entry of.
    let link_local = format!("fe80::ff:fe00:1{number:02x}");
    lab.ip(&format!("neigh replace {link_local} lladdr {mac} dev br1 nud stale"));
    lab.ip(&format!("link set v{number} up"));
    space.ip("link set eth0 up");
    let duid = Duid::new(&[0, 4, 0, 0, number]).expect("a DUID");
    let client = Client { give_up_after: PATIENCE, ..Client::new(duid, 7) };
    Plugged { space, client }
}

/// Runs `call` on an interface of a namespace.
fn on<T: Send>(space: &Namespace, interface: &str, call: impl FnOnce(Link<'_>) -> T + Send) -> T {
    let name: Ifname = interface.parse().expect("a name");
    space.within(|| {
        let index = nix::net::if_::if_nametoindex(interface).expect("the interface");
        call(Link { index, name: &name, source: None })
    })
}

impl Plugged {
    fn on<T: Send>(&self, call: impl FnOnce(&Client, Link<'_>) -> T + Send) -> T {
        on(&self.space, "eth0", |link| call(&self.client, link))
    }

    #[track_caller]
    fn lease(&self) -> Lease {
        self.on(|client, link| client.lease(link)).expect("a lease")
    }
}

fn first(lease: &Lease) -> Ipv6Addr {
    lease.addresses[0].address
}

fn gone(lab: &mut Lab, address: Ipv6Addr) {
    let server = lab.server("br1");
    eventually("the server has taken note", PATIENCE, || {
        (!server.has_lease(&address.to_string())).then_some(())
    });
}

fn written(lab: &mut Lab, address: Ipv6Addr) {
    let server = lab.server("br1");
    eventually("the lease is written down", PATIENCE, || {
        server.has_lease(&address.to_string()).then_some(())
    });
}

#[test]
fn dnsmasq_leases_in_two_messages_or_four() {
    let Some(mut lab) = Lab::or_skip("dnsmasq_leases_in_two_messages_or_four") else { return };
    lab.bridge("br1");
    let dns = "--dhcp-option=option6:dns-server,[fd00:1::53]";
    let domain = "--dhcp-option=option6:domain-search,lab.example";
    lab.dnsmasq("br1", "fd00:1::/64", &[dns, domain]);
    for (number, rapid) in [(1, true), (2, false)] {
        let mut container = plug(&mut lab, number, Dad::Optimistic);
        container.client.rapid_commit = rapid;
        let lease = container.lease();
        assert_eq!((lease.rapid, lease.iaid), (rapid, 7));
        assert_eq!(first(&lease).segments()[..4], [0xfd00, 1, 0, 0]);
        assert_eq!(lease.addresses[0].valid.as_secs(), 3600);
        assert!(lease.t1 < lease.t2 && lease.t2 < lease.addresses[0].valid);
        assert_eq!(lease.dns_servers, ["fd00:1::53".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!(lease.search, ["lab.example".parse().unwrap()]);
        written(&mut lab, first(&lease));
        assert_eq!(first(&container.lease()), first(&lease), "the same client, the same address");
    }
}

#[test]
fn dnsmasq_renews_and_leases_anew_what_it_has_forgotten() {
    let Some(mut lab) = Lab::or_skip("dnsmasq_renews_and_leases_anew_what_it_has_forgotten") else {
        return;
    };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = container.lease();
    let held = lease.held();
    for renewed in [
        container.on(|client, link| client.renew(link, &held)),
        container.on(|client, link| client.rebind(link, &held)),
    ] {
        let renewed = renewed.expect("more time");
        assert_eq!((first(&renewed), &renewed.server), (first(&lease), &lease.server));
    }
    let server = lab.server("br1");
    server.stop();
    let leases = std::fs::read_to_string(server.leases()).unwrap();
    let duid = leases.lines().find(|line| line.starts_with("duid ")).expect("the server's DUID");
    std::fs::write(server.leases(), format!("{duid}\n")).unwrap();
    server.resume();
    let again = container.on(|client, link| client.renew(link, &held)).expect("a lease anew");
    written(&mut lab, first(&again));
    assert!(again.elapsed < Duration::from_secs(5), "{again:?}");
}

#[test]
fn a_host_gives_back_what_its_containers_had() {
    let Some(mut lab) = Lab::or_skip("a_host_gives_back_what_its_containers_had") else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let containers: Vec<_> = (1..=8).map(|n| plug(&mut lab, n, Dad::Optimistic)).collect();
    let leases: Vec<_> = containers.iter().map(Plugged::lease).collect();
    for number in 1..=8 {
        lab.ip(&format!("link del v{number}"));
    }
    let machine = lab.machine();
    let release = |container: &Plugged, held: &Held| {
        on(machine, "br1", |link| container.client.release(link, held))
    };
    // As in plug(): dnsmasq looks for a neighbour entry even of its own machine.
    let shown = lab.ip("-6 -o address show dev br1 scope link");
    let link_local = shown.split(['/', ' ']).find(|word| word.starts_with("fe80:")).expect("one");
    lab.ip(&format!("neigh replace {link_local} lladdr 02:00:00:00:00:99 dev br1 nud stale"));
    let start = Instant::now();
    thread::scope(|scope| {
        let all = containers.iter().zip(&leases);
        let threads =
            all.map(|(container, lease)| scope.spawn(|| release(container, &lease.held())));
        for thread in threads.collect::<Vec<_>>() {
            thread.join().unwrap().expect("released");
        }
    });
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for lease in &leases {
        gone(&mut lab, first(lease));
    }
}

#[test]
fn a_declined_address_is_not_leased_again() {
    let Some(mut lab) = Lab::or_skip("a_declined_address_is_not_leased_again") else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = container.lease();
    let taken = [first(&lease)];
    let declined = container.on(|client, link| client.decline(link, &lease.held(), &taken));
    declined.expect("declined");
    gone(&mut lab, first(&lease));
    assert_ne!(first(&container.lease()), first(&lease));
}

#[test]
fn dnsmasq_confirms_what_fits_the_link() {
    let Some(mut lab) = Lab::or_skip("dnsmasq_confirms_what_fits_the_link") else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = container.lease();
    let fits = |address: Ipv6Addr| {
        let held = Held::lasting(lease.server.clone(), [address]);
        match container.on(|client, link| client.confirm(link, &held)).expect("an answer") {
            Outcome::OnLink(fits) => fits,
            other => panic!("{other:?}"),
        }
    };
    assert!(fits(first(&lease)));
    assert!(!fits("fd00:2::1".parse().unwrap()));
}

/// A dnsmasq that has one address to lease.
struct TinyPool(Child);

impl TinyPool {
    fn start(lab: &Lab) -> TinyPool {
        lab.ip("address add fd00:1::1/64 dev br1 nodad");
        let mut command = lab.command("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0"]);
        command.args(["--pid-file=", "--interface=br1", "--bind-interfaces", "--log-facility=-"]);
        command.arg("--dhcp-range=fd00:1::5,fd00:1::5,64,1h");
        command.arg(format!("--dhcp-leasefile={}", lab.dir().join("leases").display()));
        let child = command.stderr(Stdio::null()).spawn().expect("start dnsmasq");
        let sockets = format!("/proc/{}/net/udp6", child.id());
        eventually("dnsmasq listens", PATIENCE, || {
            let sockets = std::fs::read_to_string(&sockets).unwrap_or_default();
            sockets.contains(":0223 ").then_some(())
        });
        TinyPool(child)
    }
}

impl Drop for TinyPool {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_full_pool_is_a_refusal_and_silence_is_none() {
    let Some(mut lab) = Lab::or_skip("a_full_pool_is_a_refusal_and_silence_is_none") else {
        return;
    };
    lab.bridge("br1");
    let server = TinyPool::start(&lab);
    plug(&mut lab, 1, Dad::Optimistic).lease();
    let mut second = plug(&mut lab, 2, Dad::Optimistic);
    for rapid in [true, false] {
        second.client.rapid_commit = rapid;
        let start = Instant::now();
        let refused = second.on(|client, link| client.lease(link)).unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused, "{refused}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    drop(server);
    second.client.give_up_after = Duration::from_millis(300);
    let silence = second.on(|client, link| client.lease(link)).unwrap_err();
    assert_eq!(silence.kind(), Kind::TimedOut);
    assert_eq!(
        silence.to_string(),
        "eth0: lease DHCPv6 address: no DHCPv6 server answered within 0.3 s"
    );
}

#[test]
fn a_tentative_address_is_waited_for() {
    let Some(mut lab) = Lab::or_skip("a_tentative_address_is_waited_for") else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    plug(&mut lab, 1, Dad::Wait).lease();
    let mut lost = plug(&mut lab, 2, Dad::Wait);
    lost.space.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1");
    lost.client.give_up_after = Duration::from_millis(200);
    let error = lost.on(|client, link| client.lease(link)).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(error.to_string().contains("no link-local address"), "{error}");
    let name: Ifname = "eth0".parse().unwrap();
    let missing = Link { index: 9999, name: &name, source: None };
    let error = lost.space.within(|| lost.client.lease(missing)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn shares_the_port_with_a_client_of_the_host() {
    let Some(mut lab) = Lab::or_skip("shares_the_port_with_a_client_of_the_host") else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let held = container.lease().held();
    let alone = lab.machine().within(|| UdpSocket::bind("[::]:546").expect("the port"));
    let client = Client { give_up_after: Duration::from_millis(600), ..container.client };
    let release = |lab: &Lab| on(lab.machine(), "br1", |link| client.release(link, &held));
    let error = release(&lab).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(error.to_string().contains("does not share"), "{error}");
    nix::sys::socket::setsockopt(&alone, nix::sys::socket::sockopt::ReuseAddr, &true).unwrap();
    release(&lab).expect("released beside the other client");
}

/// A server in a thread, which answers each message by `answer` until it is dropped.
struct Scripted<'a> {
    stop: &'a AtomicBool,
}

impl Drop for Scripted<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs `call` while a server on `br1` of the lab answers each message with these datagrams.
fn with_server<T: Send>(
    lab: &Lab,
    answer: fn(&[u8]) -> Vec<Vec<u8>>,
    call: impl FnOnce() -> T,
) -> T {
    let socket = on(lab.machine(), "br1", |link| {
        // The lab's machine may have no DHCPv6 multicast membership on its bridge.
        let socket = UdpSocket::bind("[::]:547").expect("the server's port");
        socket.join_multicast_v6(&"ff02::1:2".parse().unwrap(), link.index).expect("join");
        socket
    });
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut query = [0; 2000];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, SocketAddr::V6(from))) = socket.recv_from(&mut query) else {
                    continue;
                };
                let to = SocketAddrV6::new(*from.ip(), 546, 0, from.scope_id());
                for datagram in answer(&query[..length]) {
                    socket.send_to(&datagram, to).expect("answer");
                }
            }
        });
        let _stopped = Scripted { stop: &stop };
        call()
    })
}

/// An option as it goes on the wire.
fn option(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0, code][..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// The client identifier of a query, which this client sends as its first option.
fn client_id(query: &[u8]) -> &[u8] {
    assert_eq!(query[4..6], [0, 1]);
    &query[4..8 + usize::from(query[7])]
}

fn answer(kind: u8, query: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
    let server = option(2, &[0, 4, 0xaa]);
    [&[kind], &query[1..4], client_id(query), &server, &options.concat()].concat()
}

fn ia(last: u8) -> Vec<u8> {
    let mut address = [0; 24];
    (address[0], address[15], address[19], address[23]) = (0xfd, last, 100, 200);
    option(3, &[&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0][..], &option(5, &address)].concat())
}

fn leased(lab: &Lab, container: &Plugged, script: fn(&[u8]) -> Vec<Vec<u8>>) -> Result<Lease> {
    with_server(lab, script, || container.on(|client, link| client.lease(link)))
}

#[test]
fn finds_the_answer_among_rubbish() {
    let Some(mut lab) = Lab::or_skip("finds_the_answer_among_rubbish") else { return };
    lab.bridge("br1");
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = leased(&lab, &container, |query| {
        let good = answer(7, query, &[option(14, &[]), ia(9)]);
        let mut other_xid = good.clone();
        other_xid[1] ^= 1;
        let huge = answer(7, query, &[option(99, &[0; 9000]), option(14, &[]), ia(8)]);
        let deep = answer(7, query, &[option(9, &[1; 1200])]);
        vec![vec![], vec![7], vec![0xff; 1400], other_xid, huge, deep, good]
    });
    let lease = lease.expect("a lease");
    assert_eq!((first(&lease).octets()[15], lease.rapid), (9, true));
    assert!(lease.ignored >= 5, "{lease:?}");
}

#[test]
fn a_server_without_preference_costs_a_moment() {
    let Some(mut lab) = Lab::or_skip("a_server_without_preference_costs_a_moment") else { return };
    lab.bridge("br1");
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = leased(&lab, &container, |query| match query[0] {
        1 => vec![answer(2, query, &[ia(3)])],
        3 => vec![answer(7, query, &[ia(4)])],
        _ => vec![],
    });
    let lease = lease.expect("a lease");
    assert_eq!((first(&lease).octets()[15], lease.rapid), (4, false));
    let most = Duration::from_millis(500);
    assert!(lease.elapsed >= container.client.collect && lease.elapsed < most, "{lease:?}");
}

#[test]
fn asks_again_after_a_lost_answer() {
    let Some(mut lab) = Lab::or_skip("asks_again_after_a_lost_answer") else { return };
    lab.bridge("br1");
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = leased(&lab, &container, |query| {
        let elapsed = query.windows(4).position(|window| window == [0, 8, 0, 2]).unwrap() + 4;
        match query[elapsed..elapsed + 2] {
            [0, 0] => vec![],
            _ => vec![answer(7, query, &[option(14, &[]), ia(5)])],
        }
    });
    let elapsed = lease.expect("a lease").elapsed.as_secs_f64();
    assert!((1.0..1.6).contains(&elapsed), "{elapsed}");
}
