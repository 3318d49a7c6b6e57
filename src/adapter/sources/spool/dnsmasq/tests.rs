use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::adapter::sources::spool::order::Order;

/// Every call of a script by a real dnsmasq 2.90, with its environment.
const REAL: &str = include_str!("../../../../../tests/data/dnsmasq/hook-many-clients.log");

struct Called {
    words: Vec<OsString>,
    env: HashMap<String, OsString>,
}

impl Called {
    fn new(words: &[&str], env: &[(&str, &str)]) -> Called {
        let env = env.iter().map(|(name, value)| (format!("DNSMASQ_{name}"), value.into()));
        Called { words: words.iter().map(Into::into).collect(), env: env.collect() }
    }

    fn event(&self) -> Result<(Event, Vec<String>), String> {
        let mut remarks = Vec::new();
        let action = self.words[0].to_str().unwrap();
        let words = words(action, &self.words[1..]).unwrap();
        let env = |name: &str| self.env.get(name).cloned();
        event(&words, &env, now(), &mut remarks).map(|event| (event, remarks))
    }

    fn held(&self) -> Telling {
        match self.event().unwrap().0.what {
            What::Held(telling) => *telling,
            ended => panic!("{ended:?}"),
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_230_000).unwrap()
}

fn real() -> Vec<Called> {
    let calls = REAL.split("=== ").skip(1);
    let calls = calls.map(|call| {
        let pairs: Vec<_> = call.lines().filter_map(|line| line.split_once('=')).collect();
        let words = pairs.iter().filter(|(name, _)| name.starts_with("argv["));
        let words: Vec<OsString> = words.skip(1).map(|(_, word)| word.into()).collect();
        let env = pairs.iter().filter(|(name, _)| name.starts_with("DNSMASQ_"));
        let env = env.map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        Called { words, env }
    });
    calls.collect()
}

const DUID: &str = "00:03:00:01:ca:05:8f:6b:61:50";
const ENV: [(&str, &str); 2] = [("IAID", "1"), ("LEASE_EXPIRES", "1795233401")];

fn entry(called: &Called, before: Option<&Entry>) -> Entry {
    Entry::new(&called.event().unwrap().0, &Order::of_this_process(), before)
}

#[test]
fn real_calls_are_understood() {
    let calls = real();
    assert_eq!(calls.len(), 19);
    let told: Vec<_> = calls.iter().map(|called| (called.held(), called)).collect();
    let first = &told[0].0.held;
    let mac = "ca:05:8f:6b:61:50".parse().unwrap();
    assert_eq!(first.holder, Holder::V6 { duid: DUID.parse().unwrap(), iaid: 1 });
    assert_eq!((first.mac, first.hostname.clone()), (Some(mac), None));
    assert_eq!(first.expires_at, Some(Timestamp::from_second(1_795_233_401).unwrap()));
    assert_eq!(told[1].0.held.hostname.as_ref().unwrap().as_str(), "alpha");
    let temporary = |(telling, _): &&(Telling, _)| telling.held.r#type == LeaseType::Ta;
    assert_eq!(told.iter().filter(temporary).count(), 1);
    let lacking = told.iter().filter(|(telling, _)| telling.lacks_packet).count();
    assert_eq!(lacking, 2);
    let classes = told.iter().find_map(|(telling, _)| telling.held.classes.clone()).unwrap();
    assert_eq!((&*classes.vendor, &*classes.user), (&["b-vendor".into()][..], &["1".into()][..]));
    let duid = server_duid(&|name| calls[0].env.get(name).cloned()).unwrap();
    assert_eq!(duid.to_string(), "00:01:00:01:32:93:c4:e6:3a:43:27:62:5b:f9");
}

#[test]
fn the_reason_of_an_end_is_its_time() {
    for (end, reason) in [("1795229999", LeaseEvent::Expire), ("1795230001", LeaseEvent::Release)] {
        let called = Called::new(
            &["del", DUID, "fd00::1", "alpha"],
            &[("IAID", "T9"), ("LEASE_EXPIRES", end), ("DATA_MISSING", "1")],
        );
        let event = called.event().unwrap().0;
        assert_eq!(event.r#type, LeaseType::Ta);
        assert!(matches!(event.what, What::Ended { why, holder: Some(_), .. } if why == reason));
    }
}

#[test]
fn what_is_gone_is_gone_whoever_had_it() {
    let event = Called::new(&["del", "garbage", "fd00::1"], &[]).event().unwrap().0;
    assert!(matches!(event.what, What::Ended { holder: None, .. }));
}

#[test]
fn both_families_and_endless_leases_are_told() {
    let id = ("CLIENT_ID", "01:ee:b3:8a:21:91:2f");
    let v4 = Called::new(
        &["add", "ee:b3:8a:21:91:2f", "192.0.2.50", "v4host"],
        &[("LEASE_EXPIRES", "0"), id],
    );
    let telling = v4.held();
    assert_eq!(telling.held.expires_at, None);
    assert_eq!(telling.held.mac.unwrap().to_string(), "ee:b3:8a:21:91:2f");
    let v4 = |id: &[u8]| Holder::V4 { identifier: ClientIdentifier::new(id).unwrap() };
    assert_eq!(telling.held.holder, v4(&[1, 0xee, 0xb3, 0x8a, 0x21, 0x91, 0x2f]));
    // Without an identifier the hardware address is who it is, whatever its kind.
    let words = ["old", "20-00:11:22", "192.0.2.51"];
    let telling = Called::new(&words, &[("LEASE_EXPIRES", "0")]).held();
    assert_eq!(telling.held.holder, v4(&[0, 0x11, 0x22]));
    assert_eq!((telling.held.mac, telling.hardware.as_deref()), (None, Some("20-00:11:22")));
}

#[test]
fn without_a_clock_the_rest_of_the_time_is_told() {
    let env = [("IAID", "1"), ("LEASE_LENGTH", "3600"), ("TIME_REMAINING", "60")];
    let telling = Called::new(&["add", DUID, "fd00::1"], &env).held();
    assert_eq!(telling.held.expires_at, Some(Timestamp::from_second(1_795_230_060).unwrap()));
    let telling = Called::new(&["add", DUID, "fd00::1"], &env[..2]).held();
    assert_eq!(telling.held.expires_at, None);
}

#[test]
fn calls_that_say_nothing_are_refused() {
    type Call<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let bad: [Call; 8] = [
        (&["add", DUID, "../../etc/passwd"], &ENV),
        (&["add", DUID, "fd00::1/64"], &ENV),
        (&["add", "00:01", "fd00::1"], &ENV),
        (&["add", DUID, "fd00::1"], &ENV[1..]),
        (&["add", DUID, "fd00::1"], &[("IAID", "x"), ENV[1]]),
        (&["add", DUID, "fd00::1"], &[ENV[0], ("LEASE_EXPIRES", "soon")]),
        (&["add", "06-", "192.0.2.1"], &ENV),
        (&["add", "$(id)", "192.0.2.1"], &ENV),
    ];
    for (words, env) in bad {
        assert!(Called::new(words, env).event().is_err(), "{words:?}");
    }
}

#[test]
fn a_hostile_name_costs_its_client_only_the_name() {
    let long = "x".repeat(65_536);
    let hostile =
        ["$(touch x)", "a\nb", "../x", "-x", "a b", "\u{202e}", &long].map(OsString::from);
    for name in hostile.into_iter().chain([OsString::from_vec(b"\xff\xfe".to_vec())]) {
        let mut called = Called::new(&["add", DUID, "fd00::1"], &ENV);
        called.words.push(name);
        let (event, remarks) = called.event().unwrap();
        let What::Held(telling) = event.what else { panic!() };
        assert_eq!((telling.held.hostname, remarks.len()), (None, 1));
        assert!(telling.name.is_none_or(|name| !name.contains(['/', ' ', '\n'])));
    }
}

#[test]
fn a_real_server_gets_its_lease_file_back() {
    let file = include_str!("../../../../../tests/data/dnsmasq/v4v6-infinite-static-ta.leases");
    let mut entries = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with("duid ")) {
        let [end, who, address, name, id] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (word, own) = match address.contains(':') {
            true => (id, ("IAID", who)),
            false => (who, ("CLIENT_ID", id)),
        };
        let called = Called::new(&["old", word, address, name], &[("LEASE_EXPIRES", end), own]);
        let mut called = called;
        if name == "*" {
            called.words.pop();
        }
        entries.push(entry(&called, None));
    }
    let duid = "00:01:00:01:32:93:c6:3b:92:82:3c:af:23:43".parse().unwrap();
    let mut back = lease_file(entries, Some(&duid));
    let mut file: Vec<_> = file.lines().map(str::to_owned).collect();
    assert_eq!(back[..2], file[..2]);
    back.sort();
    file.sort();
    assert_eq!(back, file);
}

#[test]
fn a_client_without_identifier_goes_back_without_one() {
    for word in ["ee:b3:8a:21:91:2f", "20-00:11:22"] {
        let called = Called::new(&["add", word, "192.0.2.1"], &[("LEASE_EXPIRES", "5")]);
        let line = format!("5 {word} 192.0.2.1 * *");
        assert_eq!(lease_file(vec![entry(&called, None)], None), [line]);
    }
}

#[test]
fn what_the_server_has_forgotten_of_a_client_is_kept() {
    let env = [ENV[0], ENV[1], ("MAC", "ca:05:8f:6b:61:50"), ("USER_CLASS0", "iPXE")];
    let known = entry(&Called::new(&["add", DUID, "fd00::1"], &env), None);
    let missing = [ENV[0], ("LEASE_EXPIRES", "1795239999"), ("DATA_MISSING", "1")];
    let told = Called::new(&["old", DUID, "fd00::1"], &missing);
    let after = entry(&told, Some(&known));
    assert_eq!((after.mac, &*after.user_class), (known.mac, &["iPXE".to_owned()][..]));
    assert_ne!(after.expires_at, known.expires_at);
    // Of another client nothing is kept.
    let mut other = known.clone();
    other.key = Some(crate::record::Key::of_v4_client(b"x"));
    assert_eq!(entry(&told, Some(&other)).user_class, Vec::<String>::new());
}

#[test]
fn names_that_are_none_go_back_to_their_server() {
    let called = Called::new(&["add", DUID, "fd00::1", "we_ird-Host1"], &ENV);
    let entry = entry(&called, None);
    assert_eq!(entry.hostname, None);
    assert_eq!(
        lease_file(vec![entry], None),
        [format!("1795233401 1 fd00::1 we_ird-Host1 {DUID}")]
    );
}
