//! Ports of a real Open vSwitch.

mod lab;

use std::time::{Duration, Instant};

use lab::{Lab, Namespace, PATIENCE, reaches};
use leasepipe::adapter::netlink::{Netlink, Offloads};
use leasepipe::adapter::ovs::{NewPort, Ovs};
use leasepipe::error::Kind;
use leasepipe::record::{ContainerId, Ifname};

fn until() -> Instant {
    Instant::now() + PATIENCE
}

fn name(text: &str) -> Ifname {
    text.parse().unwrap()
}

/// A container's end `eth0` in a namespace, and `port` on the machine, nowhere plugged.
fn pair(lab: &mut Lab, label: &str) -> (Namespace, Ifname) {
    let path = lab.namespace(label);
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    let port = format!("lp{label}");
    lab.ip(&format!("link add {port} up type veth peer name eth0 netns {}", space.name()));
    space.ip(&format!("addr add fd00:5::{label}/64 dev eth0 nodad"));
    space.ip("link set eth0 up");
    (space, name(&port))
}

fn new<'a>(bridge: &'a Ifname, port: &'a Ifname, container: &'a ContainerId) -> NewPort<'a> {
    let mac = "02:00:00:00:00:01".parse().unwrap();
    NewPort { bridge, name: port, vlan: None, container, interface: port, mac }
}

fn finish_checksums(space: &Namespace) {
    space.within(|| {
        let eth0 = Netlink::open().unwrap().find_link(&name("eth0")).unwrap().unwrap();
        Offloads::open().unwrap().finish_checksums(eth0.index).unwrap();
    });
}

#[test]
fn a_port_is_added_found_and_removed() {
    let test = "a_port_is_added_found_and_removed";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let Some(ovs) = lab::Ovs::or_skip(test, &lab) else { return };
    let in_userspace = ovs.bridge("ovs0");
    let (bridge, web): (Ifname, ContainerId) = (name("ovs0"), "web".parse().unwrap());
    let (a, port_a) = pair(&mut lab, "a");
    let (b, port_b) = pair(&mut lab, "b");
    let mut client = Ovs::connect(&ovs.socket()).unwrap();
    assert_eq!(client.bridge(&bridge).unwrap().unwrap().in_userspace, in_userspace);
    assert_eq!(client.bridge(&name("ovs9")).unwrap(), None);
    assert_eq!(client.port(&port_a).unwrap(), None);

    let (first, second) = (new(&bridge, &port_a, &web), new(&bridge, &port_b, &web));
    client.add(&first, until()).unwrap();
    client.add(&NewPort { vlan: Some(7), ..second.clone() }, until()).unwrap();
    let found = client.port(&port_a).unwrap().unwrap();
    assert!(found.is(&first) && !found.is(&second), "{found:?}");
    assert_eq!(ovs.vsctl("port-to-br lpa"), "ovs0");
    assert_eq!(ovs.vsctl("get port lpb tag"), "7");
    assert_eq!(ovs.vsctl("get port lpa external_ids:leasepipe-container"), "web");

    // Checksums that are left to nobody do not get past a switch that is a program.
    if in_userspace {
        finish_checksums(&a);
        finish_checksums(&b);
    }
    assert!(!reaches(&a, &b, "fd00:5::b", Duration::from_millis(600)), "two VLANs");
    assert!(client.remove(&port_b, &web, until()).unwrap());
    client.add(&second, until()).unwrap();
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));

    let twice = client.add(&second, until()).unwrap_err();
    assert_eq!(twice.kind(), Kind::Refused);
    assert!(twice.to_string().contains("another port of that name"), "{twice}");
    let other: ContainerId = "other".parse().unwrap();
    assert_eq!(client.remove(&port_b, &other, until()).unwrap_err().kind(), Kind::Refused);
    assert!(client.remove(&port_a, &web, until()).unwrap());
    assert!(!client.remove(&port_a, &web, until()).unwrap());
    assert_eq!(ovs.vsctl("list-ports ovs0"), "lpb");
}

#[test]
fn nothing_is_left_of_a_port_that_cannot_be() {
    let test = "nothing_is_left_of_a_port_that_cannot_be";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let Some(mut ovs) = lab::Ovs::or_skip(test, &lab) else { return };
    ovs.bridge("ovs0");
    let (_a, port) = pair(&mut lab, "a");
    let (bridge, web): (Ifname, ContainerId) = (name("ovs0"), "web".parse().unwrap());
    let mut client = Ovs::connect(&ovs.socket()).unwrap();

    let nowhere = name("ovs9");
    let why = client.add(&new(&nowhere, &port, &web), until()).unwrap_err();
    assert_eq!(why.kind(), Kind::NotFound);
    assert!(why.to_string().contains("ovs-vsctl add-br ovs9"), "{why}");

    let missing = name("lpmissing");
    let why = client.add(&new(&bridge, &missing, &web), until()).unwrap_err();
    assert_eq!(why.kind(), Kind::Refused);
    assert!(why.to_string().contains("ovs-vswitchd says: could not open"), "{why}");

    ovs.stop();
    let soon = Instant::now() + Duration::from_millis(300);
    let why = client.add(&new(&bridge, &port, &web), soon).unwrap_err();
    assert_eq!(why.kind(), Kind::TimedOut);
    assert!(why.to_string().contains("ovs-vswitchd has not taken it in; is it running?"), "{why}");
    assert_eq!(ovs.vsctl("--no-wait list-ports ovs0"), "");
    ovs.resume();
    client.add(&new(&bridge, &port, &web), until()).unwrap();

    // A foreign port is no one's business.
    ovs.vsctl("--no-wait add-port ovs0 lpforeign");
    let foreign = name("lpforeign");
    let why = client.remove(&foreign, &web, until()).unwrap_err();
    assert_eq!(why.kind(), Kind::Refused);
    assert_eq!(ovs.vsctl("--no-wait list-ports ovs0"), "lpa\nlpforeign");
}
