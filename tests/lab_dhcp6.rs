//! The DHCPv6 client against a real dnsmasq, and against scripted servers for what dnsmasq does not do.

mod lab;

use std::net::{Ipv6Addr, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::dhcp6::kind::{ADVERTISE, REPLY, REQUEST, SOLICIT};
use lab::dhcp6::{Query, address, na, option, rapid, with_server};
use lab::plugged::{Dad, Plugged, on, plug};
use lab::{Lab, PATIENCE, eventually};
use leasepipe::adapter::dhcp6::{Client, Held, Lease, Link, Outcome};
use leasepipe::error::{Kind, Result};
use leasepipe::record::Ifname;

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

fn ia(last: u8) -> Vec<u8> {
    na(0, 0, &[address(&format!("fd00::{last:x}"), 100, 200)])
}

fn leased(lab: &Lab, container: &Plugged, script: fn(&Query) -> Vec<Vec<u8>>) -> Result<Lease> {
    with_server(lab, script, || container.on(|client, link| client.lease(link)))
}

#[test]
fn finds_the_answer_among_rubbish() {
    let Some(mut lab) = Lab::or_skip("finds_the_answer_among_rubbish") else { return };
    lab.bridge("br1");
    let container = plug(&mut lab, 1, Dad::Optimistic);
    let lease = leased(&lab, &container, |query| {
        let good = query.answer(REPLY, &[rapid(), ia(9)]);
        let mut other_xid = good.clone();
        other_xid[1] ^= 1;
        let huge = query.answer(REPLY, &[option(99, &[0; 9000]), rapid(), ia(8)]);
        let deep = query.answer(REPLY, &[option(9, &[1; 1200])]);
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
    let lease = leased(&lab, &container, |query| match query.kind() {
        SOLICIT => vec![query.answer(ADVERTISE, &[ia(3)])],
        REQUEST => vec![query.answer(REPLY, &[ia(4)])],
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
    let lease = leased(&lab, &container, |query| match query.elapsed() {
        0 => vec![],
        _ => vec![query.answer(REPLY, &[rapid(), ia(5)])],
    });
    let elapsed = lease.expect("a lease").elapsed.as_secs_f64();
    assert!((1.0..1.6).contains(&elapsed), "{elapsed}");
}
