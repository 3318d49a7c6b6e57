use super::*;
use crate::record::Duid;

fn v4(identifier: &[u8]) -> Holder {
    Holder::V4 { identifier: ClientIdentifier::new(identifier).unwrap() }
}

const HEADER: &[u8] =
    b"address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
    prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source";
const HEADER4: &[u8] =
    b"address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,\
    hostname,state,user_context,pool_id";
const V4: &[u8] = include_bytes!("../../../../../tests/data/kea/leases4.csv");
const SCENARIO: &[u8] = include_bytes!("../../../../../tests/data/kea/scenario.csv");

fn say_all(header: &[u8], rows: &[&[u8]]) -> (Vec<Said>, Vec<Wrong>) {
    let columns = Columns::read(header).unwrap();
    let (mut prefixes, mut said, mut wrong) = (Prefixes::default(), Vec::new(), Vec::new());
    for row in rows {
        wrong.extend(read(row, &columns, &mut prefixes, &mut said));
    }
    (said, wrong)
}

fn say(row: &str) -> Said {
    let (said, wrong) = say_all(HEADER, &[row.as_bytes()]);
    assert_eq!((said.len(), wrong), (1, vec![]), "{row}");
    said.into_iter().next().unwrap()
}

fn held(row: &str) -> Held {
    match say(row) {
        Said::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

fn place(address: &str, prefix_len: Option<u8>) -> Place {
    Place { address: address.parse().unwrap(), prefix_len }
}

#[test]
fn a_real_file_says_what_the_server_did() {
    let rows: Vec<&[u8]> = SCENARIO.split(|byte| *byte == b'\n').skip(1).collect();
    let (said, wrong) = say_all(HEADER, &rows);
    assert_eq!(wrong, []);
    assert_eq!(said.len(), 34);
    let count = |wanted| {
        let is = |said: &&Said| matches!(said, Said::Ended(_, event) if *event == wanted);
        said.iter().filter(is).count()
    };
    assert_eq!(said.iter().filter(|said| matches!(said, Said::Held(_))).count(), 14);
    assert_eq!(count(LeaseEvent::Release), 1);
    assert_eq!(count(LeaseEvent::Decline), 1);
    assert_eq!(count(LeaseEvent::Expire), 18);
    assert_eq!(said[13], Said::Ended(place("fd4c:1ab:0:60::1000", None), LeaseEvent::Release));
    assert_eq!(said[15], Said::Ended(place("fd4c:1ab:0:60::1004", None), LeaseEvent::Decline));
}

#[test]
fn a_lease_has_its_client_its_name_and_its_end() {
    let lease = held(
        "fd4c:1ab:0:60::1001,00:03:00:01:e2:7c:ea:c6:f5:51,60,1795230981,1,40,0,4294967295,128,0,0,\
         kalpha.,e2:7c:ea:c6:f5:51,0,,1,2",
    );
    let duid: Duid = "00:03:00:01:e2:7c:ea:c6:f5:51".parse().unwrap();
    assert_eq!(lease.holder, Holder::V6 { duid, iaid: u32::MAX });
    assert_eq!((lease.r#type, lease.place()), (LeaseType::Na, place("fd4c:1ab:0:60::1001", None)));
    assert_eq!(lease.hostname.unwrap().as_str(), "kalpha");
    assert_eq!(lease.mac, Some("e2:7c:ea:c6:f5:51".parse().unwrap()));
    assert_eq!(lease.expires_at, Some(Timestamp::from_second(1795230981).unwrap()));
    assert_eq!(lease.classes, None);
}

#[test]
fn prefixes_temporary_addresses_and_endless_leases_are_read() {
    let prefix = held("fd4c:1ab:100:1::,00:03:00:01:aa,60,1795230981,1,40,2,3,64,0,0,,,0,,,");
    assert_eq!((prefix.r#type, prefix.prefix_len), (LeaseType::Pd, Some(64)));
    let temporary = held("fd00::1,00:03:00:01:aa,60,1795230981,1,40,1,3,128,0,0,,,0,,,");
    assert_eq!((temporary.r#type, temporary.prefix_len), (LeaseType::Ta, None));
    let endless = held("fd00::1,00:03:00:01:aa,4294967295,6090198200,1,40,0,3,128,0,0,,,0,,,");
    assert_eq!(endless.expires_at, None);
}

#[test]
fn hardware_of_other_kinds_is_no_mac_address() {
    let row = |hardware: &str, kind: &str| {
        held(&format!("fd00::1,00:03:01,60,1795230981,1,40,0,3,128,0,0,,{hardware},0,,{kind},2"))
            .mac
    };
    assert!(row("e2:7c:ea:c6:f5:51", "1").is_some() && row("e2:7c:ea:c6:f5:51", "").is_some());
    for (hardware, kind) in [("e2:7c:ea:c6:f5:51", "6"), ("e2:7c", "1"), ("", "1"), ("zz", "1")] {
        assert_eq!(row(hardware, kind), None);
    }
}

#[test]
fn every_way_to_end_has_its_name() {
    let row = |lifetime: &str, state: &str| {
        say(&format!("fd00::1,00,{lifetime},1795230981,1,40,0,3,128,0,0,,,{state},,,"))
    };
    let ended = |event| Said::Ended(place("fd00::1", None), event);
    assert_eq!(row("0", "0"), ended(LeaseEvent::Release));
    assert_eq!(row("0", ""), ended(LeaseEvent::Release));
    assert_eq!(row("86400", "1"), ended(LeaseEvent::Decline));
    assert_eq!(row("60", "2"), ended(LeaseEvent::Expire));
    assert_eq!(row("0", "2"), ended(LeaseEvent::Expire));
    assert_eq!(row("60", "3"), ended(LeaseEvent::Release));
    assert_eq!(row("60", "4"), ended(LeaseEvent::Release));
}

#[test]
fn columns_that_are_not_there_are_done_without() {
    let header = b"address,duid,valid_lifetime,expire,lease_type,iaid,prefix_len,whatever";
    let (said, wrong) = say_all(header, &[b"fd00::1,00:03:01,60,1795230981,0,3,128,x"]);
    assert!(matches!(&said[..], [Said::Held(_)]), "{said:?}");
    assert_eq!(wrong, []);
}

#[test]
fn dhcpv4_is_read_by_its_own_columns() {
    let rows: [&[u8]; 4] = [
        b"192.0.2.10,02:00:00:00:00:01,01:02:00:00:00:00:01,60,1795230981,1,0,0,v4host,0,,0",
        b"192.0.2.11,02:00:00:00:00:02,,60,1795230981,1,0,0,,0,,0",
        b"192.0.2.11,,,86400,1795317352,1,0,0,,1,,0",
        b"192.0.2.12,,,60,1795317352,1,0,0,,0,,0",
    ];
    let (said, wrong) = say_all(HEADER4, &rows);
    let (Said::Held(first), Said::Held(second)) = (&said[0], &said[1]) else { panic!("{said:?}") };
    assert_eq!(first.holder, v4(&[1, 2, 0, 0, 0, 0, 1]));
    assert_eq!(
        (first.r#type, first.hostname.as_ref().unwrap().as_str()),
        (LeaseType::V4, "v4host")
    );
    assert_eq!(second.holder, v4(&[2, 0, 0, 0, 0, 2]));
    assert_eq!(second.mac, Some("02:00:00:00:00:02".parse().unwrap()));
    assert_eq!(said[2], Said::Ended(second.place(), LeaseEvent::Decline));
    // Nobody can be told to have it, so whoever had it has it no more.
    assert_eq!(said[3], Said::Gone(place("192.0.2.12", None)));
    assert_eq!(wrong.len(), 1);
}

#[test]
fn a_real_file_of_dhcpv4_is_read() {
    let mut rows = V4.split(|byte| *byte == b'\n');
    let header = rows.next().unwrap();
    let (said, wrong) = say_all(header, &rows.collect::<Vec<_>>());
    assert_eq!(wrong, []);
    let [Said::Held(first), second, Said::Held(third)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(first.holder, v4(&[1, 0xaa, 0x22, 0x78, 0x5c]));
    assert_eq!(first.hostname.as_ref().unwrap().as_str(), "v4host");
    assert_eq!(*second, Said::Ended(first.place(), LeaseEvent::Release));
    assert_eq!(third.holder, v4(&third.mac.unwrap().as_bytes()));
}

#[test]
fn a_row_that_cannot_be_understood_leaves_its_place_in_doubt() {
    let bad = [
        "fd00::1,00:03:01,x,1795230981,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,-1,1795230981,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,4294967296,1795230981,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,60,,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,60,9999999999999999999,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,60,1795230981,1,40,7,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,60,1795230981,1,40,0,4294967296,128,0,0,,,0,,,",
        "fd00::1,00:03:0,60,1795230981,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00-03-01,60,1795230981,1,40,0,3,128,0,0,,,0,,,",
        "fd00::1,00:03:01,60,1795230981,1,40,0,3,128,0,0,,,5,,,",
        "fd00::1,00:03:01,60,1795230981,1,40,0,3,128,0,0,,,x,,,",
        "fd00::1,00:03:01,60,1795230981,1,40,0,3,128,0,0,,,0,,",
    ];
    for row in bad {
        let (said, wrong) = say_all(HEADER, &[row.as_bytes()]);
        assert_eq!(said, [Said::Doubtful(place("fd00::1", None))], "{row}");
        assert_eq!((wrong.len(), wrong[0].1), (1, Weight::Refused), "{row}");
    }
    let hopeless =
        ["fd00::zz,00:03:01,60", "", "\0\0\0", "192.0.2.1,00:03:01,60,1,1,40,0,3,128,0,0,,,0,,,"];
    for row in hopeless.into_iter().filter(|row| !row.is_empty()) {
        let (said, wrong) = say_all(HEADER, &[row.as_bytes()]);
        assert!(matches!(said[..], [Said::Unreadable(_)]), "{row} {said:?}");
        assert_eq!(wrong.len(), 1);
    }
}

#[test]
fn what_a_torn_row_is_about_is_known_only_behind_its_place() {
    let whole = "fd00::1,00:03:01,60,1795230981,1,40,2,3,64,0,0,,,0,,,";
    let second = "fd00::2,00:03:02,60,1795230981,1,40,0,3,128,0,0,,,0,,,";
    let known = whole.find("64,").unwrap() + 2;
    for end in 1..whole.len() {
        let (said, wrong) = say_all(HEADER, &[&whole.as_bytes()[..end]]);
        match said[..] {
            [Said::Unreadable(_)] => assert!(end <= known),
            [Said::Doubtful(doubtful)] if doubtful == place("fd00::1", Some(64)) => {
                assert!(end > known);
            }
            _ => panic!("{end}: {said:?}"),
        }
        assert_eq!(wrong.len(), 1);
        // A server that died within a row begins the next one behind its half. "fd00:" and an
        // address are an address, for the server too.
        if end == 5 {
            continue;
        }
        let line = format!("{}{second}", &whole[..end]);
        assert!(matches!(say_all(HEADER, &[line.as_bytes()]).0[..], [Said::Unreadable(_)]));
    }
}

#[test]
fn a_duid_that_is_none_takes_the_place_of_whoever_had_it() {
    let long = ["00"; 131].join(":");
    for duid in ["", "00", "00:03", &long] {
        let row = format!("fd00::1,{duid},60,1795230981,1,40,0,3,128,0,0,,,0,,,");
        let (said, wrong) = say_all(HEADER, &[row.as_bytes()]);
        assert_eq!(said, [Said::Gone(place("fd00::1", None))]);
        assert!(wrong[0].0.contains("of 3 to 130 bytes"), "{wrong:?}");
    }
}

#[test]
fn a_hostile_name_costs_its_client_only_the_name() {
    let long = "x".repeat(65536);
    for name in ["$(touch", "../x", "a b", "a&#x2cb", "\u{1b}[2J", "a..b", &long] {
        let row = format!("fd00::1,00:03:01,60,1795230981,1,40,0,3,128,0,0,{name},,0,,,");
        let (said, wrong) = say_all(HEADER, &[row.as_bytes()]);
        assert!(matches!(&said[..], [Said::Held(held)] if held.hostname.is_none()), "{name}");
        assert_eq!(wrong[0].1, Weight::Note);
        assert!(wrong[0].0.len() < 1000);
    }
}

#[test]
fn classes_stand_in_the_user_context_under_their_names() {
    let classes = |context: &str| {
        let context = context.replace('&', "&#x26").replace(',', "&#x2c");
        let row = format!("fd00::1,00:03:01,60,1795230981,1,40,0,3,128,0,0,,,0,{context},,");
        held(&row).classes.map(|classes| (classes.vendor.clone(), classes.user.clone()))
    };
    let found =
        classes(r#"{ "vendor-class": "a,&#x2c", "user-class": ["b", 1, "", "c"], "x": 1 }"#);
    assert_eq!(found, Some((vec!["a,&#x2c".to_owned()], vec!["b".to_owned(), "c".to_owned()])));
    let too_long = format!(r#"{{"user-class": "{}"}}"#, "x".repeat(256));
    let nested = r#"{"ISC": {"user-class": "a"}}"#;
    for none in ["", "{}", "[]", r#"{"user-class": 7}"#, r#"{"user-class": "#, nested, &too_long] {
        assert_eq!(classes(none), None, "{none}");
    }
    let many = format!(r#"{{"vendor-class": [{}]}}"#, ["\"v\""; 1000].join(","));
    assert_eq!(classes(&many).unwrap().0.len(), 16);
}

#[test]
fn escapes_are_undone_once() {
    let undone = |text: &str| String::from_utf8(unescaped(text.as_bytes()).into()).unwrap();
    assert_eq!(undone("a&#x2cb&#x2C"), "a,b,");
    assert_eq!(undone("&#x26#x2c"), "&#x2c");
    assert_eq!(undone("& &# &#x &#x2 &#xzz &#x&#x2c"), "& &# &#x &#x2 &#xzz &#x,");
}

#[test]
fn a_prefix_of_another_length_ends_the_former() {
    let row = |address: &str, kind: u8, length: u8| {
        format!("{address},00:03:01,60,1795230981,1,40,{kind},3,{length},0,0,,,0,,,")
    };
    let rows = [
        row("fd00::", 2, 56),
        row("fd00::", 2, 64),
        row("fd00::", 0, 128),
        row("fd00:0:0:1::", 2, 64),
        row("fd00::1", 0, 128),
        row("fd00::", 2, 64),
    ];
    let rows: Vec<&[u8]> = rows.iter().map(|row| row.as_bytes()).collect();
    let said = say_all(HEADER, &rows).0;
    let gone = |length| Said::Gone(place("fd00::", length));
    let is_held = |said: &Said| matches!(said, Said::Held(_));
    assert!(is_held(&said[0]));
    assert_eq!(said[1], gone(Some(56)));
    assert!(is_held(&said[2]));
    assert_eq!(said[3..5], [gone(Some(56)), gone(Some(64))]);
    assert!(is_held(&said[5]));
    // A prefix of 56 bits cannot begin in the midst of another, and an address not at all.
    assert!(is_held(&said[6]) && is_held(&said[7]));
    assert_eq!(said[8..10], [gone(None), gone(Some(56))]);
    assert!(is_held(&said[10]));
    assert_eq!(said.len(), 11);
}

#[test]
fn every_length_of_a_row_can_be_read() {
    let columns = [Columns::read(HEADER).unwrap(), Columns::read(HEADER4).unwrap()];
    for end in 0..SCENARIO.len() {
        let start = memchr::memrchr(b'\n', &SCENARIO[..end]).map_or(0, |at| at + 1);
        for columns in &columns {
            let mut said = Vec::new();
            read(&SCENARIO[start..end], columns, &mut Prefixes::default(), &mut said);
            assert!(said.len() <= 2);
        }
    }
}
