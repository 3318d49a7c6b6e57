//! The DHCPv4 client against real servers: dnsmasq, ISC dhcpd and Kea, with a dissector listening.

mod lab;

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use lab::{Four, Lab, Namespace, PATIENCE, Server4, eventually, skipped};
use leasepipe::adapter::dhcp4::{Client, Held, Lease, Link, identifier};
use leasepipe::error::{Kind, Result};
use leasepipe::record::{Duid, Ifname, Mac};

/// A container's end of a link: a namespace with `eth0` in it.
struct Plugged {
    space: Namespace,
    client: Client,
}

fn plug(lab: &mut Lab, number: u8) -> Plugged {
    let path = lab.namespace(&format!("c{number}"));
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let space = Namespace::left_behind(name);
    let mac = Mac::new([2, 0, 0, 0, 1, number]);
    lab.ip(&format!(
        "link add v{number} master br1 up type veth peer eth0 address {mac} netns {name}"
    ));
    space.ip("link set eth0 up");
    let duid = Duid::new(&[0, 4, 0, 0, number]).expect("a DUID");
    let client = Client::new(identifier(&duid, 7), mac);
    Plugged { space, client: Client { give_up_after: PATIENCE, ..client } }
}

impl Plugged {
    fn on<T: Send>(&self, call: impl FnOnce(&Client, Link<'_>) -> Result<T> + Send) -> Result<T> {
        let name: Ifname = "eth0".parse().expect("a name");
        self.space.within(|| {
            let index = nix::net::if_::if_nametoindex("eth0").expect("the interface");
            call(&self.client, Link { index, name: &name })
        })
    }

    #[track_caller]
    fn lease(&self, had: Option<Ipv4Addr>) -> Lease {
        self.on(|client, link| client.lease(link, had)).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Puts a leased address on the interface.
    fn take(&self, lease: &Lease) {
        let Lease { address, prefix_len, .. } = lease;
        self.space.ip(&format!("address replace {address}/{prefix_len} dev eth0"));
    }
}

/// What goes over a bridge, as the dissector sees it.
struct Wire {
    file: std::path::PathBuf,
    child: Child,
}

impl Wire {
    fn or_skip(test: &str, lab: &Lab) -> Option<Wire> {
        if Command::new("tshark").arg("--version").output().is_err() {
            skipped(test, "tshark is not installed");
            return None;
        }
        let file = lab.dir().join("wire.pcap");
        let mut command = lab.command("dumpcap");
        command.args(["-q", "-P", "-i", "br1", "-w"]).arg(&file).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dumpcap");
        let begun = || fs::metadata(&file).is_ok_and(|about| about.len() > 0).then_some(());
        eventually("dumpcap listens", PATIENCE, begun);
        Some(Wire { file, child })
    }

    /// The fields of all frames that fit the filter, a line each.
    fn seen(&self, filter: &str, field: &str) -> Vec<String> {
        let mut command = Command::new("tshark");
        command.args(["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-r"]);
        command.arg(&self.file).args(["-Y", filter, "-T", "fields", "-e", field]);
        let out = command.output().expect("tshark").stdout;
        String::from_utf8_lossy(&out).lines().map(str::to_owned).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From the first message to the last, with whatever server is there: what it has logged, and how it
/// calls a Release and a Decline there.
fn live(lab: &mut Lab, log: &dyn Fn() -> String, [release, decline]: [&str; 2]) {
    let heard = |word: &str, count| {
        eventually(word, PATIENCE, || (log().matches(word).count() == count).then_some(()));
    };
    let (first, search) = (1, ["a.example", "b.example"]);
    let mut container = plug(lab, first);
    let lease = container.lease(None);
    assert_eq!(lease.address.octets()[..3], [192, 0, 2]);
    assert!((50..100).contains(&lease.address.octets()[3]), "{lease:?}");
    assert_eq!((lease.server, lease.prefix_len), (Ipv4Addr::new(192, 0, 2, 1), 24));
    assert_eq!(lease.router, Some(Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(lease.dns_servers, [Ipv4Addr::new(192, 0, 2, 53)]);
    assert_eq!(lease.search.iter().map(|name| name.as_str()).collect::<Vec<_>>(), search);
    assert!(0 < lease.t1 && lease.t1 < lease.t2 && lease.t2 < lease.valid);

    container.take(&lease);
    let held = lease.held();
    let renewed = container.on(|client, link| client.renew(link, &held)).expect("renewed");
    assert_eq!(renewed.held(), held);
    let rebound = container.on(|client, link| client.rebind(link, &held)).expect("rebound");
    assert_eq!(rebound.address, held.address);
    container.space.ip("address flush dev eth0");
    assert_eq!(container.lease(Some(held.address)).address, held.address, "it was there before");
    container.client.broadcast = true;
    assert_eq!(container.lease(None).address, held.address, "the same client");

    // A server that knows better says so, and another address is leased.
    let elsewhere = Ipv4Addr::new(198, 51, 100, 9);
    assert_eq!(container.lease(Some(elsewhere)).address, held.address);
    let lost = Held { address: elsewhere, ..held };
    container.space.ip(&format!("address add {elsewhere}/32 dev eth0"));
    let another = container.on(|client, link| client.renew(link, &lost));
    match another {
        Ok(lease) => assert_eq!(lease.address, held.address),
        // Not every server answers a client of another network that asks it alone.
        Err(why) => assert_eq!(why.kind(), Kind::TimedOut, "{why}"),
    }
    container.space.ip("address flush dev eth0");

    container.take(&lease);
    container.on(|client, link| client.release(link, &held)).expect("released");
    heard(release, 1);
    container.space.ip("address flush dev eth0");
    let other = plug(lab, first + 1);
    let lease = other.lease(None);
    other.on(|client, link| client.decline(link, &lease.held())).expect("declined");
    heard(decline, 1);
    let next = other.lease(None);
    assert_ne!(next.address, lease.address, "a declined address is nobody's");
    // From a place where the address is not.
    other.on(|client, link| client.release(link, &next.held())).expect("released");
    heard(release, 2);
}

/// What a dissector that knows nothing of the suite says of what went over the bridge.
fn dissect(wire: &Wire) {
    for kind in ["1", "3", "4", "7"] {
        let filter = format!("dhcp.option.dhcp == {kind}");
        eventually("the wire has it", PATIENCE, || {
            (!wire.seen(&filter, "frame.number").is_empty()).then_some(())
        });
    }
    // What the server's kernel leaves out of a checksum is not the client's.
    let ours = "udp.dstport == 67";
    assert!(wire.seen(ours, "frame.number").len() > 8);
    // A renewal goes by the kernel, which leaves the sum to a card that is not there.
    let by_kernel = "udp.checksum.status == 0 && !(ip.src == 0.0.0.0)";
    for fault in ["_ws.malformed", "_ws.expert.severity == error", "ip.checksum.status == 0"] {
        let filter = format!("{ours} && {fault} && !({by_kernel})");
        assert_eq!(wire.seen(&filter, "frame.number"), [""; 0], "{fault}");
    }
    let good = wire.seen("udp.checksum.status == 1 && ip.src == 0.0.0.0", "frame.number");
    assert!(good.len() > 5, "{good:?}");
}

fn site(test: &str) -> Option<Lab> {
    let lab = Lab::or_skip(test)?;
    lab.bridge("br1");
    lab.ip("address add 192.0.2.1/24 dev br1");
    Some(lab)
}

#[test]
fn dnsmasq_serves_the_client() {
    let test = "dnsmasq_serves_the_client";
    let Some(mut lab) = site(test) else { return };
    let options = [
        "--dhcp-range=192.0.2.50,192.0.2.99,255.255.255.0,1h",
        "--dhcp-range=fd00:1::1000,fd00:1::1fff,64,1h",
        "--dhcp-option=option:dns-server,192.0.2.53",
        "--dhcp-option=option:domain-search,a.example,b.example",
    ];
    lab.dnsmasq("br1", "fd00:1::/64", &options);
    let Some(wire) = Wire::or_skip(test, &lab) else { return };
    let file = lab.dir().join("br1/log");
    let log = || fs::read_to_string(&file).unwrap_or_default();
    live(&mut lab, &log, ["DHCPRELEASE(br1)", "DHCPDECLINE(br1)"]);
    dissect(&wire);
}

#[test]
fn dhcpd_serves_the_client() {
    let test = "dhcpd_serves_the_client";
    let Some(mut lab) = site(test) else { return };
    let Some(server) = Four::or_skip(test, &lab, "br1", Server4::Dhcpd) else { return };
    live(&mut lab, &|| server.said(), ["DHCPRELEASE of", "DHCPDECLINE of"]);
}

#[test]
fn kea_serves_the_client() {
    let test = "kea_serves_the_client";
    let Some(mut lab) = site(test) else { return };
    let Some(server) = Four::or_skip(test, &lab, "br1", Server4::Kea) else { return };
    live(&mut lab, &|| server.said(), ["DHCP4_RELEASE ", "DHCP4_DECLINE_LEASE "]);
}

#[test]
fn dnsmasq_commits_at_once_when_it_may() {
    let Some(mut lab) = site("dnsmasq_commits_at_once_when_it_may") else { return };
    let range = "--dhcp-range=192.0.2.50,192.0.2.99,255.255.255.0,1h";
    let six = "--dhcp-range=fd00:1::1000,fd00:1::1fff,64,1h";
    lab.dnsmasq("br1", "fd00:1::/64", &[range, six, "--dhcp-rapid-commit"]);
    let mut container = plug(&mut lab, 1);
    assert!(container.lease(None).rapid);
    container.client.rapid_commit = false;
    assert!(!container.lease(None).rapid);
}

#[test]
fn no_server_and_no_interface_are_told() {
    let Some(mut lab) = site("no_server_and_no_interface_are_told") else { return };
    let mut container = plug(&mut lab, 1);
    container.client.give_up_after = std::time::Duration::from_millis(1500);
    let why = container.on(|client, link| client.lease(link, None)).unwrap_err();
    assert_eq!(why.kind(), Kind::TimedOut, "{why}");
    let gone = |client: &Client, link: Link<'_>| client.lease(Link { index: 999, ..link }, None);
    assert_eq!(container.on(gone).unwrap_err().kind(), Kind::NotFound);
}
