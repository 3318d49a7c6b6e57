//! Links of every kind, by what they carry. A kind that the kernel lacks is left out by name.

mod lab;

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use lab::{Lab, Namespace, PATIENCE, reaches, skipped};
use leasepipe::adapter::netlink::{
    Guise, Ipvlan, Link, Macvlan, Marks, Netlink, New, Offloads, PortVlan, Single, Sort, Vxlan,
};
use leasepipe::error::{Kind, Result};
use leasepipe::record::{Ifname, Mac};

/// Long enough to be sure that nothing comes through.
const SILENCE: Duration = Duration::from_millis(600);

fn space(lab: &mut Lab, label: &str) -> Namespace {
    let path = lab.namespace(label);
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    space.ip("link set lo up");
    space
}

fn netlink(space: &Namespace) -> Netlink {
    space.within(|| Netlink::open().unwrap())
}

fn name(text: &str) -> Ifname {
    text.parse().unwrap()
}

fn mac(last: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 9, last])
}

fn index(netlink: &Netlink, text: &str) -> u32 {
    netlink.find_link(&name(text)).unwrap().expect("the interface").index
}

/// Makes `eth0` in `space`; nothing and a line that says so when the kernel has no such link.
fn make(
    test: &str,
    host: &Netlink,
    space: &Namespace,
    lower: Option<&str>,
    single: Single,
    last: u8,
) -> Option<Link> {
    match try_make(host, space, lower, single, last) {
        Err(why) if why.kind() == Kind::Refused && why.to_string().contains("has no") => {
            let says = format!("the kernel has no {} (CONFIG_", single.word());
            assert!(why.to_string().contains(&says), "{why}");
            skipped(test, &why.to_string());
            None
        }
        made => Some(made.unwrap()),
    }
}

fn try_make(
    host: &Netlink,
    space: &Namespace,
    lower: Option<&str>,
    single: Single,
    last: u8,
) -> Result<Link> {
    let eth0 = name("eth0");
    let lower = lower.map(|lower| index(host, lower));
    let mac = (!single.shares_mac()).then(|| mac(last));
    let new = New { name: &eth0, mac, mtu: Some(1400), lower, single };
    host.make_single(&new, File::open(space.path()).unwrap().as_fd())?;
    let inside = netlink(space);
    let made = inside.find_link(&eth0)?.expect("what was made");
    assert_eq!(made.sort, Sort::Single(single));
    assert_eq!((made.mtu, made.up), (1400, false));
    assert!(mac.is_none() || made.mac == mac, "{made:?}");
    if !matches!(single, Single::Vxlan(_)) {
        assert_eq!(made.peer, lower);
    }
    assert_eq!(made.peer_netns.is_some(), lower.is_some() || matches!(single, Single::Vxlan(_)));
    Ok(made)
}

/// Switches `eth0` on and gives it an address.
fn address(space: &Namespace, address: &str) {
    space.ip(&format!("addr add {address}/64 dev eth0 nodad"));
    space.ip("link set eth0 up");
}

#[test]
fn a_macvlan_reaches_those_that_its_mode_lets_it() {
    let test = "a_macvlan_reaches_those_that_its_mode_lets_it";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    lab.ip("link add up0 type veth peer name port0");
    lab.ip("link set port0 master br0 up");
    lab.ip("link set up0 up");
    lab.ip("addr add fd00:5::1/64 dev br0 nodad");
    let host = netlink(lab.machine());
    for (mode, meet) in [(Macvlan::Bridge, true), (Macvlan::Private, false), (Macvlan::Vepa, false)]
    {
        let label = format!("{mode:?}").to_lowercase();
        let a = space(&mut lab, &format!("a{label}"));
        let b = space(&mut lab, &format!("b{label}"));
        let single = Single::Macvlan(mode);
        if make(test, &host, &a, Some("up0"), single, 1).is_none() {
            return;
        }
        make(test, &host, &b, Some("up0"), single, 2).unwrap();
        address(&a, "fd00:5::a");
        address(&b, "fd00:5::b");
        assert!(reaches(&a, lab.machine(), "fd00:5::1", PATIENCE), "{mode:?}: the link");
        let patience = if meet { PATIENCE } else { SILENCE };
        assert_eq!(reaches(&a, &b, "fd00:5::b", patience), meet, "{mode:?}: each other");
        let again = try_make(&host, &a, Some("up0"), single, 3).unwrap_err();
        assert_eq!(again.to_string(), "create macvlan eth0: its name is taken");
        a.ip("link del eth0");
        b.ip("link del eth0");
    }
    let a = space(&mut lab, "passthru");
    let made = make(test, &host, &a, Some("up0"), Single::Macvlan(Macvlan::Passthru), 1).unwrap();
    assert_eq!(made.mac, host.find_link(&name("up0")).unwrap().unwrap().mac);
    address(&a, "fd00:5::a");
    assert!(reaches(&a, lab.machine(), "fd00:5::1", PATIENCE), "passthru: the link");
    let b = space(&mut lab, "second");
    let second = try_make(&host, &b, Some("up0"), Single::Macvlan(Macvlan::Bridge), 2).unwrap_err();
    assert_eq!(second.kind(), Kind::Refused);
    assert!(second.to_string().contains("would stand on is in use"), "{second}");
}

#[test]
fn an_ipvlan_shares_the_lower_device_s_address() {
    let test = "an_ipvlan_shares_the_lower_device_s_address";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    lab.ip("link add up0 type veth peer name port0");
    lab.ip("link set port0 master br0 up");
    lab.ip("link set up0 up");
    lab.ip("addr add fd00:5::1/64 dev br0 nodad");
    let host = netlink(lab.machine());
    for mode in [Ipvlan::L2, Ipvlan::L3, Ipvlan::L3s] {
        let label = format!("{mode:?}").to_lowercase();
        let a = space(&mut lab, &format!("a{label}"));
        let b = space(&mut lab, &format!("b{label}"));
        let single = Single::Ipvlan(mode);
        let Some(made) = make(test, &host, &a, Some("up0"), single, 1) else { return };
        make(test, &host, &b, Some("up0"), single, 2).unwrap();
        assert_eq!(made.mac, host.find_link(&name("up0")).unwrap().unwrap().mac);
        address(&a, "fd00:5::a");
        address(&b, "fd00:5::b");
        assert!(reaches(&a, &b, "fd00:5::b", PATIENCE), "{mode:?}: each other");
        if mode == Ipvlan::L2 {
            assert!(reaches(&a, lab.machine(), "fd00:5::1", PATIENCE), "the link");
        }
        a.ip("link del eth0");
        b.ip("link del eth0");
    }
}

#[test]
fn a_vlan_sub_interface_is_in_its_vlan_alone() {
    let test = "a_vlan_sub_interface_is_in_its_vlan_alone";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let far = space(&mut lab, "far");
    lab.ip(&format!("link add up0 type veth peer name up1 netns {}", far.name()));
    lab.ip("link set up0 up");
    far.ip("link set up1 up");
    let host = netlink(lab.machine());
    let (a, b, c) = (space(&mut lab, "a"), space(&mut lab, "b"), space(&mut lab, "c"));
    if make(test, &host, &a, Some("up0"), Single::Vlan(10), 1).is_none() {
        return;
    }
    make(test, &netlink(&far), &b, Some("up1"), Single::Vlan(10), 2).unwrap();
    make(test, &netlink(&far), &c, Some("up1"), Single::Vlan(20), 3).unwrap();
    for (space, at) in [(&a, "fd00:5::a"), (&b, "fd00:5::b"), (&c, "fd00:5::c")] {
        address(space, at);
    }
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
    assert!(!reaches(&a, &c, "fd00:5::c", SILENCE));
    let d = space(&mut lab, "d");
    let twice = try_make(&host, &d, Some("up0"), Single::Vlan(10), 4).unwrap_err();
    assert_eq!(twice.kind(), Kind::Refused);
    assert!(twice.to_string().contains("already"), "{twice}");
}

#[test]
fn a_vxlan_joins_containers_of_two_machines() {
    let test = "a_vxlan_joins_containers_of_two_machines";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let far = space(&mut lab, "far");
    lab.ip(&format!("link add up0 type veth peer name up1 netns {}", far.name()));
    lab.ip("addr add fd00:9::1/64 dev up0 nodad");
    lab.ip("link set up0 up");
    far.ip("addr add fd00:9::2/64 dev up1 nodad");
    far.ip("link set up1 up");
    let vxlan = |remote: &str, vni| {
        let remote = remote.parse().ok();
        Single::Vxlan(Vxlan { vni, remote, port: Vxlan::PORT, over: None })
    };
    let (a, b) = (space(&mut lab, "a"), space(&mut lab, "b"));
    let host = netlink(lab.machine());
    if make(test, &host, &a, None, vxlan("fd00:9::2", 7), 1).is_none() {
        return;
    }
    make(test, &netlink(&far), &b, None, vxlan("fd00:9::1", 7), 2).unwrap();
    address(&a, "fd00:5::a");
    address(&b, "fd00:5::b");
    assert!(reaches(&a, &b, "fd00:5::b", PATIENCE));
    let c = space(&mut lab, "c");
    let twice = try_make(&host, &c, None, vxlan("fd00:9::2", 7), 3).unwrap_err();
    assert_eq!(twice.kind(), Kind::Refused);
    assert!(twice.to_string().contains("VNI"), "{twice}");
}

#[test]
fn a_dummy_is_there() {
    let test = "a_dummy_is_there";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let a = space(&mut lab, "a");
    if make(test, &netlink(lab.machine()), &a, None, Single::Dummy, 1).is_some() {
        address(&a, "fd00:5::a");
        assert!(reaches(&a, &a, "fd00:5::a", PATIENCE));
    }
}

#[test]
fn a_bridge_keeps_the_vlans_of_its_ports_apart() {
    let test = "a_bridge_keeps_the_vlans_of_its_ports_apart";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    let host = netlink(lab.machine());
    let bridge = |host: &Netlink| match host.find_link(&name("br0")).unwrap().unwrap().sort {
        Sort::Bridge(bridge) => bridge,
        sort => panic!("{sort:?}"),
    };
    if bridge(&host).vlans.is_none() {
        return skipped(test, "the kernel has no CONFIG_BRIDGE_VLAN_FILTERING");
    }
    assert_eq!(bridge(&host).vlans, Some(false));
    lab.ip("link set br0 type bridge vlan_filtering 1");
    assert_eq!(bridge(&host).vlans, Some(true));
    let spaces: Vec<Namespace> = [("a", 10), ("b", 10), ("c", 20), ("d", 1)]
        .map(|(label, vlan)| {
            let space = space(&mut lab, label);
            let port = format!("port{label}");
            lab.ip(&format!(
                "link add {port} master br0 up type veth peer name eth0 netns {}",
                space.name()
            ));
            let port = index(&host, &port);
            assert_eq!(host.port_vlans(port).unwrap(), [PortVlan::access(1)]);
            host.put_into_vlan(port, vlan).unwrap();
            host.put_into_vlan(port, vlan).unwrap();
            assert_eq!(host.port_vlans(port).unwrap(), [PortVlan::access(vlan)]);
            address(&space, &format!("fd00:5::{label}"));
            space
        })
        .into();
    let [a, b, c, d] = &spaces[..] else { panic!() };
    assert!(reaches(a, b, "fd00:5::b", PATIENCE));
    assert!(!reaches(a, c, "fd00:5::c", SILENCE));
    assert!(!reaches(d, a, "fd00:5::a", SILENCE));
}

#[test]
fn a_device_is_lent_and_comes_back_as_it_was() {
    let test = "a_device_is_lent_and_comes_back_as_it_was";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    lab.ip("link add up0 address 02:00:00:00:09:77 type veth peer name port0");
    lab.ip("link set port0 master br0 up");
    lab.ip("link set up0 up mtu 1450");
    lab.ip("addr add fd00:5::1/64 dev br0 nodad");
    let home = File::open(lab.machine().path()).unwrap();
    let a = space(&mut lab, "a");
    let away = File::open(a.path()).unwrap();
    let (host, inside) = (netlink(lab.machine()), netlink(&a));

    let before = host.device_with_mac(mac(0x77)).unwrap();
    assert_eq!(Some(&before), host.device(&name("up0")).unwrap().as_ref());
    assert!(before.is_virtual && before.guise.up && before.master.is_none());
    assert_eq!(host.marked(&Marks::default()).unwrap(), None);
    let lent = Guise { name: name("eth0"), mac: Some(mac(1)), mtu: Some(1400), up: false };
    host.dress(before.index, &lent, Some(away.as_fd())).unwrap();
    assert_eq!(host.device(&name("up0")).unwrap(), None);
    let there = inside.device(&name("eth0")).unwrap().unwrap();
    assert_eq!(there.guise, lent);
    address(&a, "fd00:5::a");
    assert!(reaches(&a, lab.machine(), "fd00:5::1", PATIENCE));

    lab.ip("link add up0 type veth peer name other");
    let taken = inside.dress(there.index, &before.guise, Some(home.as_fd())).unwrap_err();
    assert_eq!(taken.kind(), Kind::Refused);
    assert!(taken.to_string().contains("the name is taken"), "{taken}");
    // It has moved all the same, and is dressed where it is.
    lab.ip("link del up0");
    let stray = host.device_with_mac(mac(0x77)).unwrap();
    assert_eq!(stray.guise.name, name("eth0"));
    host.dress(stray.index, &before.guise, None).unwrap();
    let after = host.device(&name("up0")).unwrap().unwrap();
    assert_eq!(after.guise, before.guise);

    let lo = host.devices().unwrap().into_iter().find(|device| device.is_loopback).unwrap();
    let stays = host.dress(lo.index, &lent, Some(away.as_fd())).unwrap_err();
    assert_eq!(stays.kind(), Kind::Refused);
    assert!(stays.to_string().contains("does not let it leave"), "{stays}");
    assert_eq!(host.device_with_mac(mac(0x55)).unwrap_err().kind(), Kind::NotFound);
    lab.ip("link set port0 address 02:00:00:00:09:77");
    let two = host.device_with_mac(mac(0x77)).unwrap_err();
    assert_eq!(two.kind(), Kind::Refused);
    assert!(two.to_string().contains("up0 and port0") || two.to_string().contains("port0 and up0"));
}

#[test]
fn a_veth_finishes_its_checksums_when_it_is_told_to() {
    let test = "a_veth_finishes_its_checksums_when_it_is_told_to";
    let Some(lab) = Lab::or_skip(test) else { return };
    lab.ip("link add va type veth peer name vb");
    let host = netlink(lab.machine());
    let offloads = match lab.machine().within(Offloads::open) {
        Err(why) if why.to_string().contains("CONFIG_ETHTOOL_NETLINK") => {
            return skipped(test, &why.to_string());
        }
        offloads => offloads.unwrap(),
    };
    let (a, b) = (index(&host, "va"), index(&host, "vb"));
    assert!(!offloads.checksums_are_finished(a).unwrap());
    offloads.finish_checksums(a).unwrap();
    offloads.finish_checksums(a).unwrap();
    assert!(offloads.checksums_are_finished(a).unwrap());
    assert!(!offloads.checksums_are_finished(b).unwrap());
    let missing = offloads.checksums_are_finished(9999).unwrap_err();
    assert_eq!(missing.to_string(), "read offloads: no such device");
}
