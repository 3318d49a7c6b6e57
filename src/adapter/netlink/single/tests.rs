//! The messages beside those that iproute2 6.1 sends for the same wish, as strace(1) shows them
//! (each without its header, `ip link add … netns X type …`).

use netlink_packet_core::{Emitable, ErrorMessage, Parseable};

use super::*;

/// mtu 1400, address 02:00:00:00:00:01, netns 4, link 2, name eth1, and what follows.
const ETH1: &str = "00000000000000000000000000000000\
    0800040078050000 0a000100020000000001 0000 08001c0004000000 0800050002000000 \
    090003006574683100000000";
/// netns 4, link 2, name eth1.
const BARE: &str = "00000000000000000000000000000000\
    08001c0004000000 0800050002000000 090003006574683100000000";
/// mtu 1400, address 02:00:00:00:00:01, netns 4, name eth1.
const ALONE: &str = "00000000000000000000000000000000\
    0800040078050000 0a000100020000000001 0000 08001c0004000000 090003006574683100000000";
/// netns 4, name eth1.
const BARE_ALONE: &str = "00000000000000000000000000000000\
    08001c0004000000 090003006574683100000000";

fn parsed(hex: &str) -> LinkMessage {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    LinkMessage::parse(&bytes).unwrap()
}

/// What a message asks for, in an order of its own. iproute2 also asks for two defaults.
fn asks(message: &LinkMessage) -> Vec<String> {
    let mut asks: Vec<String> = Vec::new();
    for attribute in &message.attributes {
        let LinkAttribute::LinkInfo(infos) = attribute else {
            asks.push(format!("{attribute:?}"));
            continue;
        };
        for info in infos {
            match info {
                LinkInfo::Data(InfoData::Vxlan(data)) => {
                    let data = data.iter().filter(|info| **info != InfoVxlan::Learning(true));
                    asks.extend(data.map(|info| format!("{info:?}")));
                }
                LinkInfo::Data(InfoData::IpVlan(data)) => {
                    let mode = data.iter().filter(|info| matches!(info, InfoIpVlan::Mode(_)));
                    asks.extend(mode.map(|info| format!("{info:?}")));
                }
                info => asks.push(format!("{info:?}")),
            }
        }
    }
    asks.sort();
    asks
}

/// What this module asks for, by its bytes.
fn ours(new: &New<'_>) -> LinkMessage {
    let mut message = new.message();
    message.attributes.push(LinkAttribute::NetNsFd(4));
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    LinkMessage::parse(&bytes).unwrap()
}

#[track_caller]
fn same(single: Single, bare: bool, start: &str, info: &str) {
    let name = "eth1".parse().unwrap();
    let mac = (!bare).then(|| "02:00:00:00:00:01".parse().unwrap());
    let stands = !matches!(single, Single::Vxlan(_) | Single::Dummy);
    let lower = stands.then_some(2);
    let new = New { name: &name, mac, mtu: (!bare).then_some(1400), lower, single };
    let message = ours(&new);
    assert_eq!(asks(&message), asks(&parsed(&format!("{start}{info}"))), "{single:?}");
    let read = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Single::read(infos),
        _ => None,
    });
    assert_eq!(read, Some(single), "what is made is what is read back");
}

#[test]
fn a_macvlan_is_asked_for_as_iproute2_does() {
    for (mode, word) in [
        (Macvlan::Private, "01"),
        (Macvlan::Vepa, "02"),
        (Macvlan::Bridge, "04"),
        (Macvlan::Passthru, "08"),
    ] {
        let info = format!("1c0012000b0001006d6163766c616e000c00020008000100{word}000000");
        same(Single::Macvlan(mode), false, ETH1, &info);
    }
}

#[test]
fn an_ipvlan_is_asked_for_as_iproute2_does() {
    for (mode, word) in [(Ipvlan::L2, "00"), (Ipvlan::L3, "01"), (Ipvlan::L3s, "02")] {
        let info = format!(
            "240012000a0001006970766c616e00001400020006000100{word}000000 0600020000000000"
        );
        same(Single::Ipvlan(mode), true, BARE, &info);
    }
}

#[test]
fn a_vlan_is_asked_for_as_iproute2_does() {
    let info = "1800120008000100766c616e0c000200060001000a000000";
    same(Single::Vlan(10), false, ETH1, info);
}

#[test]
fn a_vxlan_is_asked_for_as_iproute2_does() {
    let remote = "192.0.2.9".parse().ok();
    let vxlan = Vxlan { vni: 77, remote, port: 4789, over: None };
    let info = "340012000900010076786c616e00000024000200\
        080001004d000000 08000200c0000209 0500070001000000 06000f0012b50000";
    same(Single::Vxlan(vxlan), false, ALONE, info);
    assert_eq!(Vxlan::overhead(remote), 50);
    let remote = "2001:db8::9".parse().ok();
    let vxlan = Vxlan { vni: 77, remote, port: 4790, over: Some(2) };
    let info = "480012000900010076786c616e00000038000200 0800030002000000 080001004d000000 \
        1400100020010db8000000000000000000000009 0500070001000000 06000f0012b60000";
    same(Single::Vxlan(vxlan), true, BARE_ALONE, info);
    assert_eq!(Vxlan::overhead(remote), 70);
}

#[test]
fn a_dummy_is_asked_for_as_iproute2_does() {
    same(Single::Dummy, true, BARE_ALONE, "100012000900010064756d6d79000000");
}

/// A refusal as the kernel sends it.
fn refusal(errno: Errno, told: Option<&str>) -> Refusal {
    let mut error = ErrorMessage::default();
    error.code = std::num::NonZeroI32::new(-(errno as i32));
    error.header = vec![0; 16];
    if let Some(told) = told {
        error.header.extend(((told.len() + 5) as u16).to_ne_bytes());
        error.header.extend([1, 0]);
        error.header.extend(told.as_bytes());
        error.header.push(0);
        error.header.resize(error.header.len().next_multiple_of(4), 0);
    }
    Refusal::read(&error)
}

#[test]
fn what_the_kernel_lacks_is_told_as_exactly_that() {
    let name = "eth1".parse().unwrap();
    let vxlan = Vxlan { vni: 7, remote: None, port: 4789, over: None };
    for (single, says) in [
        (
            Single::Ipvlan(Ipvlan::L2),
            "create ipvlan eth1: the kernel has no ipvlan (CONFIG_IPVLAN)",
        ),
        (Single::Vlan(5), "create vlan eth1: the kernel has no vlan (CONFIG_VLAN_8021Q)"),
        (Single::Dummy, "create dummy eth1: the kernel has no dummy (CONFIG_DUMMY)"),
        (
            Single::Macvlan(Macvlan::Vepa),
            "create macvlan eth1: the kernel has no macvlan (CONFIG_MACVLAN)",
        ),
        (Single::Vxlan(vxlan), "create vxlan eth1: the kernel has no vxlan (CONFIG_VXLAN)"),
    ] {
        let new = New { name: &name, mac: None, mtu: None, lower: None, single };
        for told in [None, Some("Unknown device type")] {
            let error = new.refused(&refusal(Errno::EOPNOTSUPP, told));
            assert_eq!(error.kind(), Kind::Refused);
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }
}

#[test]
fn other_refusals_are_told_in_the_kernel_s_words() {
    let name = "eth1".parse().unwrap();
    let new = |single| New { name: &name, mac: None, mtu: None, lower: Some(2), single };
    let macvlan = new(Single::Macvlan(Macvlan::Bridge));
    for (new, errno, told, kind, says) in [
        (
            new(Single::Vlan(5)),
            Errno::EOPNOTSUPP,
            Some("VLANs not supported on device"),
            Kind::Refused,
            "create vlan eth1: VLANs not supported on device",
        ),
        (
            new(Single::Vlan(5)),
            Errno::EEXIST,
            Some("VLAN device already exists"),
            Kind::Refused,
            "create vlan eth1: VLAN device already exists",
        ),
        (
            new(Single::Vlan(5)),
            Errno::EEXIST,
            None,
            Kind::Refused,
            "create vlan eth1: its name is taken, or the interface has a VLAN 5 already",
        ),
        (
            macvlan.clone(),
            Errno::EEXIST,
            None,
            Kind::Refused,
            "create macvlan eth1: its name is taken",
        ),
        (
            macvlan.clone(),
            Errno::EBUSY,
            None,
            Kind::Refused,
            "create macvlan eth1: the interface that it would stand on is in use",
        ),
        (
            macvlan.clone(),
            Errno::ENODEV,
            None,
            Kind::NotFound,
            "create macvlan eth1: the interface that it would stand on has gone",
        ),
        (
            macvlan,
            Errno::EPERM,
            None,
            Kind::NotPermitted,
            "create macvlan eth1: operation not permitted; run as root",
        ),
    ] {
        let error = new.refused(&refusal(errno, told));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(says), "{error}");
    }
}
