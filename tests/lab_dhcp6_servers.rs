//! Addresses, temporary addresses and prefixes from real servers: Kea and ISC dhcpd.

mod lab;

use std::net::Ipv6Addr;

use lab::plugged::{Dad, Plugged, plug};
use lab::{Isc, Kea, LEASE_CMDS, Lab, PATIENCE, eventually};
use leasepipe::adapter::dhcp6::{Ia, Lease, Outcome, Wants};
use leasepipe::error::Kind;
use serde_json::{Value, json};

fn refused(lease: &Lease) -> Vec<(Ia, Option<u16>)> {
    lease.refused.iter().map(|refusal| (refusal.ia, refusal.code)).collect()
}

fn addresses(lease: &Lease) -> Vec<(Ia, Ipv6Addr)> {
    lease.addresses.iter().map(|leased| (leased.ia, leased.address)).collect()
}

fn prefixes(lease: &Lease) -> Vec<String> {
    lease.prefixes.iter().map(|leased| leased.prefix.to_string()).collect()
}

fn is_in(text: &str, prefix: &str) -> bool {
    let outer: ipnet::Ipv6Net = prefix.parse().expect("a prefix");
    outer.contains(&text.parse::<ipnet::Ipv6Net>().expect("a prefix"))
}

/// Renews, rebinds and confirms a lease, after each of which the client has what it had.
fn extend(container: &Plugged, lease: &Lease) {
    let held = lease.held();
    for extended in [
        container.on(|client, link| client.renew(link, &held)),
        container.on(|client, link| client.rebind(link, &held)),
        container.on(|client, link| match client.confirm(link, &held)? {
            Outcome::Leased(lease) => Ok(lease),
            other => panic!("{other:?}"),
        }),
    ] {
        let extended = extended.expect("more time");
        assert_eq!(addresses(&extended), addresses(lease));
        assert_eq!(prefixes(&extended), prefixes(lease));
        assert_eq!(extended.server, lease.server);
        assert!(extended.withdrawn.is_empty() && extended.withdrawn_prefixes.is_empty());
    }
}

/// A Kea that leases addresses and delegates prefixes of 56 bits.
fn kea(test: &str, lab: &Lab) -> Option<Kea> {
    let mut kea = Kea::or_skip(test, lab, "br1", "fd00:1::/64", &[LEASE_CMDS])?;
    kea.stop();
    kea.configure("subnet6", kea_subnet(true));
    kea.resume();
    Some(kea)
}

fn kea_subnet(delegates: bool) -> Value {
    let pool =
        |prefix: &str, len: u8| json!({"prefix": prefix, "prefix-len": 48, "delegated-len": len});
    let pools = match delegates {
        true => json!([pool("fd00:56::", 56), pool("fd00:60::", 60)]),
        false => json!([]),
    };
    json!([{
        "id": 1, "subnet": "fd00:1::/64", "interface": "br1", "rapid-commit": true,
        "pools": [{"pool": "fd00:1::1000-fd00:1::1:ffff"}], "pd-pools": pools,
    }])
}

/// The addresses and prefixes that Kea has leased.
fn kea_leases(kea: &Kea) -> Vec<String> {
    let answer = kea.ask(json!({"command": "lease6-get-all"}));
    let leases = answer["arguments"]["leases"].as_array().cloned().unwrap_or_default();
    leases.iter().map(|lease| lease["ip-address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn kea_leases_an_address_and_a_prefix_in_one_exchange() {
    let test = "kea_leases_an_address_and_a_prefix_in_one_exchange";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    let Some(kea) = kea(test, &lab) else { return };
    // Kea 2.2 delegates from its first pool whatever length is asked for: the length is a hint.
    for (number, rapid, len) in [(1, true, 56), (2, false, 60)] {
        let mut container = plug(&mut lab, number, Dad::Optimistic);
        container.client.rapid_commit = rapid;
        container.client.wants = Wants { delegate: Some(len), ..Wants::ADDRESS };
        let lease = container.lease();
        assert_eq!((lease.rapid, refused(&lease)), (rapid, vec![]));
        assert_eq!(lease.addresses.len(), 1);
        let [prefix] = &prefixes(&lease)[..] else { panic!("{lease:?}") };
        assert!(is_in(prefix, "fd00:56::/48") && prefix.ends_with("/56"), "{prefix}");
        assert!(lease.t1 < lease.t2 && lease.t2.as_secs() <= 3600);
        let leased = [
            lease.addresses[0].address.to_string(),
            lease.prefixes[0].prefix.network().to_string(),
        ];
        let known = kea_leases(&kea);
        assert!(leased.iter().all(|one| known.contains(one)), "{leased:?} {known:?}");
        extend(&container, &lease);
        container.on(|client, link| client.release(link, &lease.held())).expect("released");
        eventually("Kea has both again", PATIENCE, || {
            let known = kea_leases(&kea);
            leased.iter().all(|one| !known.contains(one)).then_some(())
        });
    }
}

#[test]
fn kea_delegates_a_prefix_alone_and_knows_no_temporary_addresses() {
    let test = "kea_delegates_a_prefix_alone_and_knows_no_temporary_addresses";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    let Some(_kea) = kea(test, &lab) else { return };
    let mut container = plug(&mut lab, 1, Dad::Optimistic);
    container.client.wants = Wants { delegate: Some(0), ..Wants::NOTHING };
    let lease = container.lease();
    assert_eq!((lease.addresses.len(), lease.prefixes.len()), (0, 1));
    extend(&container, &lease);
    // As RFC 9915 section 21.5 has it, it leaves the IA_TA out of its answer.
    container.client.wants = Wants { temporary: true, delegate: Some(56), ..Wants::ADDRESS };
    let all = container.lease();
    assert_eq!(refused(&all), [(Ia::Ta, None)]);
    assert_eq!((all.addresses.len(), all.prefixes.len()), (1, 1));
    container.client.wants = Wants { temporary: true, ..Wants::NOTHING };
    container.client.give_up_after = std::time::Duration::from_millis(1500);
    let error = container.on(|client, link| client.lease(link)).unwrap_err();
    assert!(matches!(error.kind(), Kind::Refused | Kind::TimedOut), "{error}");
}

#[test]
fn kea_without_prefixes_gives_the_address_and_later_the_prefix() {
    let test = "kea_without_prefixes_gives_the_address_and_later_the_prefix";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    let Some(mut kea) = kea(test, &lab) else { return };
    kea.stop();
    kea.configure("subnet6", kea_subnet(false));
    kea.resume();
    let mut container = plug(&mut lab, 1, Dad::Optimistic);
    container.client.wants = Wants { delegate: Some(56), ..Wants::ADDRESS };
    let lease = container.lease();
    assert_eq!((lease.addresses.len(), prefixes(&lease)), (1, vec![]));
    assert_eq!(refused(&lease), [(Ia::Pd, Some(6))], "NoPrefixAvail");
    kea.stop();
    kea.configure("subnet6", kea_subnet(true));
    kea.resume();
    let renewed = container.on(|client, link| client.renew(link, &lease.held())).expect("more");
    assert_eq!(addresses(&renewed), addresses(&lease));
    assert_eq!((renewed.prefixes.len(), refused(&renewed)), (1, vec![]));
    // What it has forgotten is asked for anew within the renewal.
    kea.stop();
    std::fs::write(kea.leases(), "").expect("an empty lease file");
    kea.resume();
    let again = container.on(|client, link| client.renew(link, &renewed.held())).expect("more");
    assert_eq!((again.addresses.len(), again.prefixes.len()), (1, 1));
    let known = kea_leases(&kea);
    assert!(known.contains(&again.addresses[0].address.to_string()), "{known:?}");
    assert!(known.contains(&again.prefixes[0].prefix.network().to_string()), "{known:?}");
}

#[test]
fn dhcpd_leases_all_three_sorts() {
    let test = "dhcpd_leases_all_three_sorts";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    let Some(mut isc) = Isc::or_skip(test, &lab, "br1", "fd00:1::/64") else { return };
    let mut container = plug(&mut lab, 1, Dad::Optimistic);
    container.client.wants = Wants { address: true, temporary: true, delegate: Some(64) };
    let lease = container.lease();
    assert_eq!(refused(&lease), []);
    let kinds: Vec<Ia> = lease.addresses.iter().map(|leased| leased.ia).collect();
    assert_eq!(kinds, [Ia::Na, Ia::Ta]);
    let [prefix] = &prefixes(&lease)[..] else { panic!("{lease:?}") };
    assert!(is_in(prefix, "fd00:100::/24") && prefix.ends_with("/64"), "{prefix}");
    let mut leased: Vec<String> =
        addresses(&lease).iter().map(|(_, one)| one.to_string()).collect();
    leased.push(prefix.clone());
    let known = isc.leased();
    assert!(leased.iter().all(|one| known.contains(one)), "{leased:?} {known:?}");
    extend(&container, &lease);
    let taken = lease.addresses[0].address;
    container.on(|client, link| client.decline(link, &lease.held(), &[taken])).expect("declined");
    let other = container.lease();
    assert_ne!(other.addresses[0].address, taken);
    assert_eq!(prefixes(&other), prefixes(&lease), "the prefix stays");
    container.on(|client, link| client.release(link, &other.held())).expect("released");
    let known = isc.leased();
    // It does not look at an IA_TA in a Release: the temporary address ends by itself.
    assert!(!known.contains(&other.addresses[0].address.to_string()), "{known:?}");
    assert!(!known.contains(prefix), "{known:?}");
}

#[test]
fn dhcpd_delegates_a_prefix_of_the_length_that_is_wanted() {
    let test = "dhcpd_delegates_a_prefix_of_the_length_that_is_wanted";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    let Some(mut isc) = Isc::or_skip(test, &lab, "br1", "fd00:1::/64") else { return };
    isc.stop();
    let path = isc.leases().with_file_name("conf");
    let text = std::fs::read_to_string(&path).expect("its configuration");
    let more = "  prefix6 fd00:200:: fd00:2ff:: /56;\n  prefix6 ";
    std::fs::write(&path, text.replacen("  prefix6 ", more, 1)).expect("a configuration");
    isc.resume();
    for (number, len, given) in [(1, 64, 64), (2, 56, 56), (3, 48, 56)] {
        let mut container = plug(&mut lab, number, Dad::Optimistic);
        container.client.wants = Wants { delegate: Some(len), ..Wants::NOTHING };
        let lease = container.lease();
        assert_eq!(lease.prefixes[0].prefix.prefix_len(), given, "for {len}");
    }
}

#[test]
fn dhcpd_gives_each_sort_alone() {
    let test = "dhcpd_gives_each_sort_alone";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    let Some(_isc) = Isc::or_skip(test, &lab, "br1", "fd00:1::/64") else { return };
    for (number, wants) in [
        (1, Wants::ADDRESS),
        (2, Wants { temporary: true, ..Wants::NOTHING }),
        (3, Wants { delegate: Some(64), ..Wants::NOTHING }),
    ] {
        let mut container = plug(&mut lab, number, Dad::Optimistic);
        container.client.wants = wants;
        let lease = container.lease();
        assert_eq!(refused(&lease), []);
        let ia = wants.temporary.then_some(Ia::Ta).or(wants.address.then_some(Ia::Na));
        assert_eq!(
            lease.addresses.iter().map(|leased| leased.ia).collect::<Vec<_>>(),
            Vec::from_iter(ia)
        );
        assert_eq!(lease.prefixes.len(), usize::from(wants.delegate.is_some()));
        assert!(lease.t1 < lease.t2, "{lease:?}");
        let renewed = container.on(|client, link| client.renew(link, &lease.held())).expect("more");
        assert_eq!(
            (addresses(&renewed), prefixes(&renewed)),
            (addresses(&lease), prefixes(&lease))
        );
        if wants.delegate.is_none() {
            let fits = container.on(|client, link| client.confirm(link, &lease.held()));
            assert!(matches!(fits, Ok(Outcome::OnLink(true))), "{fits:?}");
        }
    }
}
