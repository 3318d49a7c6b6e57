//! Against the kernel, in namespaces that are made for it; left out where they cannot be.

use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::record::{Ifname, Mac, Rate, Route, Rule};

/// Does `work` in a new namespace that has a veth pair `a`, `b`, both on, with the number of `a`.
fn with_pair(work: impl FnOnce(&Netlink, u32) + Send) {
    let inside = || {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return;
        }
        let netlink = Netlink::open().unwrap();
        let names: [Ifname; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let end = |at: usize| End { name: &names[at], mac: Mac::new([2, 0, 0, 0, 0, at as u8]) };
        let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        netlink.make_veth(&end(0), &end(1), std::os::fd::AsFd::as_fd(&own), None, 1500).unwrap();
        let index = |at: usize| netlink.find_link(&names[at]).unwrap().unwrap().index;
        netlink.switch_on(&names[1]).unwrap();
        work(&netlink, index(0));
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap());
}

fn assign(netlink: &Netlink, index: u32, address: &str, prefix_len: u8) {
    let address = address.parse().unwrap();
    netlink.assign(index, address, prefix_len, Lifetimes::FOREVER, Dad::Off).unwrap();
}

#[test]
fn an_address_goes_alone() {
    with_pair(|netlink, index| {
        for (nets, prefix_len, route) in [
            (["192.0.2.5", "192.0.2.6", "192.0.2.7"], 24, "198.51.100.0/24 via 192.0.2.1"),
            (["2001:db8::5", "2001:db8::6", "2001:db8::7"], 64, "2001:db8:9::/64 via 2001:db8::1"),
        ] {
            nets.iter().for_each(|address| assign(netlink, index, address, prefix_len));
            let route: Route = route.parse().unwrap();
            netlink.add_route(index, &route).unwrap();
            let first = nets[0].parse().unwrap();
            assert!(netlink.unassign(index, first, prefix_len).unwrap());
            assert!(!netlink.unassign(index, first, prefix_len).unwrap());
            let left = netlink.addresses(index).unwrap().into_iter().map(|left| left.address);
            let left: Vec<String> = left.map(|left| left.to_string()).collect();
            for address in &nets[1..] {
                assert!(left.iter().any(|left| left == address), "{address} is not in {left:?}");
            }
            let routes = netlink.routes_over(index, first.is_ipv4()).unwrap();
            assert!(routes.iter().any(|found| found.is(&route)), "{route} went along");
        }
    });
}

#[test]
fn routes_are_there_as_they_were_given_until_they_go() {
    with_pair(|netlink, index| {
        assign(netlink, index, "2001:db8:1::2", 64);
        assign(netlink, index, "192.0.2.2", 24);
        for text in [
            "2001:db8:5::/48 via 2001:db8:1::1",
            "2001:db8:6::/48 via fe80::1 from 2001:db8:1::/64 metric 10 table 5",
            "2001:db8:7::7",
            "default via fe80::1 onlink",
            "default via fe80::2 metric 7 src 2001:db8:1::2",
            "default from 2001:db8:1::/64 via fe80::1 table 100000",
            "unreachable 2001:db8:8::/48",
            "blackhole 198.51.100.0/24 metric 3",
            "prohibit ::/0 table 7",
            "default via 192.0.2.1",
            "198.51.100.0/25 via 192.0.2.1 src 192.0.2.2 table 300",
            "203.0.113.7 metric 5",
            "203.0.113.8 via 203.0.113.9 onlink",
        ] {
            let route: Route = text.parse().unwrap();
            let is_ipv4 = route.to.addr().is_ipv4();
            let there = || netlink.routes_over(index, is_ipv4).unwrap();
            let count = || {
                let found = there();
                found.into_iter().filter(|found| found.is(&route)).count()
            };
            assert_eq!(count(), 0, "{text}");
            netlink.add_route(index, &route).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(count(), 1, "{text}: {:?}", there());
            assert!(netlink.remove_route(index, &route).unwrap(), "{text}");
            assert_eq!(count(), 0, "{text}");
            assert!(!netlink.remove_route(index, &route).unwrap(), "{text}");
        }
    });
}

#[test]
fn a_given_default_route_comes_before_what_was_there() {
    with_pair(|netlink, index| {
        assign(netlink, index, "192.0.2.2", 24);
        let add = |text: &str| netlink.add_route(index, &text.parse().unwrap()).unwrap();
        let router = |ipv4| best_router(&netlink.routes_over(index, ipv4).unwrap(), ipv4);
        add("default via 192.0.2.1");
        add("default via 192.0.2.9");
        assert_eq!(router(true), "192.0.2.9".parse().ok());
        // As a router advertises it.
        add("default via fe80::1 metric 1024");
        add("default via fe80::9");
        assert_eq!(router(false), "fe80::9".parse().ok());
        netlink.remove_route(index, &"default via fe80::9".parse().unwrap()).unwrap();
        assert_eq!(router(false), "fe80::1".parse().ok());
    });
}

#[test]
fn what_the_kernel_does_not_take_is_refused() {
    with_pair(|netlink, index| {
        let add = |text: &str| netlink.add_route(index, &text.parse().unwrap());
        let why = add("default via 192.0.2.1").unwrap_err();
        assert_eq!(why.kind(), Kind::Refused, "{why}");
        add("2001:db8::/32 via fe80::1").unwrap();
        let why = add("2001:db8::/32 via fe80::2").unwrap_err();
        assert_eq!(why.kind(), Kind::Refused, "{why}");
    });
}

#[test]
fn rules_are_there_as_they_were_given_until_they_go() {
    with_pair(|netlink, _| {
        for text in [
            "from 2001:db8::/64 table 5 priority 100",
            "from 192.0.2.0/24 to 198.51.100.7 table 70000 priority 7",
            "to 2001:db8::1 table 254",
        ] {
            let rule: Rule = text.parse().unwrap();
            let count = || netlink.rules().unwrap().iter().filter(|r| is_rule(r, &rule)).count();
            assert_eq!(count(), 0);
            netlink.add_rule(&rule).unwrap();
            assert_eq!(count(), 1, "{text}: {:?}", netlink.rules().unwrap());
            assert!(netlink.remove_rule(&rule).unwrap());
            assert_eq!(count(), 0);
            assert!(!netlink.remove_rule(&rule).unwrap());
        }
    });
}

#[test]
fn a_rate_is_there_as_it_was_given_until_it_goes() {
    with_pair(|netlink, index| {
        assert_eq!(netlink.rate_limit(index).unwrap(), Limit::None);
        for text in ["10mbit", "8bit", "1gbit", "100gbit"] {
            let rate: Rate = text.parse().unwrap();
            netlink.limit_rate(index, rate, 1500).unwrap();
            assert!(netlink.rate_limit(index).unwrap().is(rate), "{text}");
        }
        assert!(netlink.lift_rate_limit(index).unwrap());
        assert!(!netlink.lift_rate_limit(index).unwrap());
        assert_eq!(netlink.rate_limit(index).unwrap(), Limit::None);
    });
}

#[test]
fn an_ipv4_network_has_its_broadcast_address() {
    with_pair(|netlink, index| {
        assign(netlink, index, "192.0.2.2", 24);
        assign(netlink, index, "198.51.100.1", 31);
        let shown = std::fs::read_to_string("/proc/thread-self/net/fib_trie").unwrap();
        assert!(shown.contains("192.0.2.255") && !shown.contains("198.51.100.255"), "{shown}");
        let found = netlink.address(index, "192.0.2.2".parse().unwrap()).unwrap().unwrap();
        assert_eq!((found.prefix_len, found.is_usable()), (24, true));
    });
}
