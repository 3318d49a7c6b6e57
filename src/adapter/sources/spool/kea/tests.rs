use std::collections::HashMap;
use std::ffi::OsString;

use super::*;

/// What a real Kea 2.2 tells its script of a renewal: first of the lease, then of what is asked.
const COMMITTED: &str = "\
DELETED_LEASES6_SIZE=0
LEASES6_AT0_ADDRESS=fd4c:1ab:0:60::1003
LEASES6_AT0_CLTT=1795230921
LEASES6_AT0_DUID=00:03:00:01:e2:7c:ea:c6:f5:51
LEASES6_AT0_HOSTNAME=kbeta.example.org.
LEASES6_AT0_HWADDR=e2:7c:ea:c6:f5:51
LEASES6_AT0_HWADDR_TYPE=1
LEASES6_AT0_IAID=3
LEASES6_AT0_PREFERRED_LIFETIME=40
LEASES6_AT0_PREFIX_LEN=128
LEASES6_AT0_STATE=default
LEASES6_AT0_SUBNET_ID=1
LEASES6_AT0_TYPE=IA_NA
LEASES6_AT0_VALID_LIFETIME=60
LEASES6_AT1_ADDRESS=fd4c:1ab:100:1::
LEASES6_AT1_CLTT=1795230921
LEASES6_AT1_DUID=00:03:00:01:e2:7c:ea:c6:f5:51
LEASES6_AT1_HOSTNAME=
LEASES6_AT1_HWADDR=e2:7c:ea:c6:f5:51
LEASES6_AT1_HWADDR_TYPE=1
LEASES6_AT1_IAID=3
LEASES6_AT1_PREFERRED_LIFETIME=40
LEASES6_AT1_PREFIX_LEN=64
LEASES6_AT1_STATE=default
LEASES6_AT1_SUBNET_ID=1
LEASES6_AT1_TYPE=IA_PD
LEASES6_AT1_VALID_LIFETIME=60
LEASES6_SIZE=2
QUERY6_CLIENT_ID=00:03:00:01:e2:7c:ea:c6:f5:51
QUERY6_TYPE=REQUEST
";

/// After a client's Decline.
const DECLINED: &str = "\
DELETED_LEASES6_SIZE=0
LEASES6_AT0_ADDRESS=fd4c:1ab:0:60::1004
LEASES6_AT0_CLTT=1795230952
LEASES6_AT0_DUID=00
LEASES6_AT0_HOSTNAME=
LEASES6_AT0_HWADDR=
LEASES6_AT0_HWADDR_TYPE=
LEASES6_AT0_IAID=4
LEASES6_AT0_PREFERRED_LIFETIME=0
LEASES6_AT0_PREFIX_LEN=128
LEASES6_AT0_STATE=declined
LEASES6_AT0_SUBNET_ID=1
LEASES6_AT0_TYPE=IA_NA
LEASES6_AT0_VALID_LIFETIME=86400
LEASES6_SIZE=1
QUERY6_CLIENT_ID=00:03:00:01:e2:7c:ea:c6:f5:51
QUERY6_TYPE=DECLINE
";

fn told(point: &str, variables: &str) -> (Option<Vec<Event>>, Vec<String>) {
    let pairs = variables.lines().map(|line| line.split_once('=').unwrap());
    let env: HashMap<&str, OsString> = pairs.map(|(name, value)| (name, value.into())).collect();
    let mut remarks = Vec::new();
    let events = events(point, &|name| env.get(name).cloned(), &mut remarks);
    (events, remarks)
}

fn only(point: &str, variables: &str) -> Event {
    let (events, remarks) = told(point, variables);
    assert_eq!(remarks, Vec::<String>::new());
    let [event] = events.unwrap().try_into().unwrap();
    event
}

/// The first lease of a list, in the variables of the hook points for one lease.
fn single(variables: &str) -> String {
    let lines = variables.lines().filter_map(|line| line.strip_prefix("LEASES6_AT0_"));
    lines.map(|line| format!("LEASE6_{line}\n")).collect()
}

#[test]
fn leases_that_are_given_are_told_with_their_prefixes() {
    let (events, remarks) = told("leases6_committed", COMMITTED);
    let [address, prefix] = events.unwrap().try_into().unwrap();
    assert_eq!(remarks, Vec::<String>::new());
    let What::Held(address) = address.what else { panic!() };
    assert_eq!(address.held.hostname.unwrap().as_str(), "kbeta.example.org");
    assert_eq!(address.held.mac.unwrap().to_string(), "e2:7c:ea:c6:f5:51");
    assert_eq!(address.held.prefix_len, None);
    assert_eq!(address.held.expires_at, Some(Timestamp::from_second(1_795_230_981).unwrap()));
    assert_eq!(prefix.cltt, Some(Timestamp::from_second(1_795_230_921).unwrap()));
    let What::Held(prefix) = prefix.what else { panic!() };
    assert_eq!((prefix.held.r#type, prefix.held.prefix_len), (LeaseType::Pd, Some(64)));
    assert_eq!(prefix.held.hostname, None);
}

#[test]
fn ends_are_told_with_their_reason() {
    let deleted = COMMITTED
        .replace("DELETED_LEASES6_SIZE=0\n", "")
        .replace("LEASES6_SIZE=2\n", "LEASES6_SIZE=0\nDELETED_LEASES6_SIZE=2\n");
    let deleted = deleted.replace("LEASES6_AT", "DELETED_LEASES6_AT");
    let (events, _) = told("leases6_committed", &deleted);
    let events = events.unwrap();
    assert_eq!(events.len(), 2);
    let released = |event: &Event| {
        matches!(event.what, What::Ended { why: LeaseEvent::Release, holder: Some(_), .. })
    };
    assert!(events.iter().all(released));
    for (point, reason) in [
        ("lease6_release", LeaseEvent::Release),
        ("lease6_expire", LeaseEvent::Expire),
        ("lease6_decline", LeaseEvent::Decline),
        ("lease6_recover", LeaseEvent::Decline),
    ] {
        let event = only(point, &single(COMMITTED));
        assert!(matches!(event.what, What::Ended { why, .. } if why == reason), "{point}");
    }
    // A declined lease belongs to nobody.
    let event = only("leases6_committed", DECLINED);
    assert!(matches!(event.what, What::Ended { why: LeaseEvent::Decline, holder: None, .. }));
    let gone = COMMITTED.replace("VALID_LIFETIME=60", "VALID_LIFETIME=0");
    assert!(told("leases6_committed", &gone).0.unwrap().iter().all(released));
}

#[test]
fn renewals_are_leases() {
    for point in ["lease6_renew", "lease6_rebind"] {
        assert!(matches!(only(point, &single(COMMITTED)).what, What::Held(_)));
    }
    let endless = single(COMMITTED).replace("VALID_LIFETIME=60", "VALID_LIFETIME=4294967295");
    let What::Held(endless) = only("lease6_renew", &endless).what else { panic!() };
    assert_eq!(endless.held.expires_at, None);
}

#[test]
fn dhcpv4_is_told_likewise() {
    let variables = "LEASES4_SIZE=1\nLEASES4_AT0_ADDRESS=192.0.2.9\nLEASES4_AT0_CLTT=1795230921\n\
        LEASES4_AT0_HOSTNAME=\nLEASES4_AT0_HWADDR=e2:7c:ea:c6:f5:51\nLEASES4_AT0_HWADDR_TYPE=1\n\
        LEASES4_AT0_STATE=default\nLEASES4_AT0_SUBNET_ID=1\nLEASES4_AT0_VALID_LIFETIME=60\n\
        LEASES4_AT0_CLIENT_ID=\nDELETED_LEASES4_SIZE=0\n";
    let What::Held(told) = only("leases4_committed", variables).what else { panic!() };
    let v4 = |id: &[u8]| Holder::V4 { identifier: ClientIdentifier::new(id).unwrap() };
    assert_eq!(told.held.holder, v4(&[0xe2, 0x7c, 0xea, 0xc6, 0xf5, 0x51]));
    let named = variables.replace("CLIENT_ID=", "CLIENT_ID=01:02");
    let What::Held(told) = only("leases4_committed", &named).what else { panic!() };
    assert_eq!(told.held.holder, v4(&[1, 2]));
}

#[test]
fn what_concerns_no_lease_is_passed_over() {
    for point in ["lease6_frob", "subnet6_select", "tftp", "", "lease5_expire", "committed"] {
        assert_eq!(told(point, "").0, None, "{point}");
    }
    assert_eq!(told("leases6_committed", "LEASES6_SIZE=0\n").0, Some(vec![]));
}

#[test]
fn what_is_told_wrongly_is_told_to_people() {
    let wrong = [
        ("ADDRESS=fd4c:1ab:0:60::1003", "ADDRESS=../x"),
        ("ADDRESS=fd4c:1ab:0:60::1003", "ADDRESS=192.0.2.1"),
        ("CLTT=1795230921", "CLTT=soon"),
        ("CLTT=1795230921", "CLTT=9223372036854775807"),
        ("AT0_DUID=00:03:00:01:e2:7c:ea:c6:f5:51", "AT0_DUID=00"),
        ("IAID=3", "IAID=4294967296"),
        ("TYPE=IA_NA", "TYPE=IA_X"),
        ("VALID_LIFETIME=60", "VALID_LIFETIME=-"),
        ("STATE=default", "STATE=lost"),
    ];
    for (right, wrong) in wrong {
        let variables =
            COMMITTED.replacen(right, wrong, 1).replace("LEASES6_SIZE=2", "LEASES6_SIZE=1");
        let (events, remarks) = told("leases6_committed", &variables);
        assert_eq!((events.unwrap().len(), remarks.len()), (0, 1), "{wrong}");
    }
    let (events, remarks) = told("lease6_renew", &single(COMMITTED).replace("kbeta.", "$(id)"));
    assert_eq!((events.unwrap().len(), remarks.len()), (1, 1));
    // A size that nobody can have meant.
    let huge = COMMITTED.replace("LEASES6_SIZE=2", "LEASES6_SIZE=4000000000");
    assert!(told("leases6_committed", &huge).1.len() <= MOST);
}
