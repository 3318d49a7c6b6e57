use super::*;

const OF_2024: &[u8] = include_bytes!("../../../../../tests/data/odhcpd/leases-2024");
const ENDLESS: &[u8] = include_bytes!("../../../../../tests/data/odhcpd/leases-2024-infinite");
const OF_2026: &[u8] = include_bytes!("../../../../../tests/data/odhcpd/leases-2026");

fn all(text: &[u8]) -> (Vec<Said>, Vec<(String, Weight)>) {
    let (mut said, mut remarks) = (Vec::new(), Vec::new());
    for line in text.split(|byte| *byte == b'\n') {
        let line = read(line);
        said.extend(line.said);
        remarks.extend(line.remark);
    }
    (said, remarks)
}

fn held(said: &Said) -> &Held {
    match said {
        Said::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

fn find<'a>(said: &'a [Said], address: &str) -> &'a Held {
    said.iter().map(held).find(|held| held.address.to_string() == address).unwrap()
}

#[test]
fn real_files_of_all_versions_are_read() {
    for (text, count, alpha, mac) in [
        (OF_2024, 5, "fd00:aa::dd7", "62:15:61:4e:49:9d"),
        (ENDLESS, 5, "fd00:aa::dd7", "62:15:61:4e:49:9d"),
        (OF_2026, 6, "fd00:aa::a95", "62:15:61:4e:49:9d"),
    ] {
        let (said, remarks) = all(text);
        assert_eq!((said.len(), remarks.len()), (count, 1));
        assert!(remarks[0].1 == Weight::Note && remarks[0].0.contains("broken"));
        let alpha = find(&said, alpha);
        assert_eq!(alpha.hostname.as_ref().unwrap().as_str(), "alpha");
        let duid = "00:03:00:01:62:15:61:4e:49:9d".parse().unwrap();
        assert_eq!(alpha.holder, Holder::V6 { duid, iaid: 1 });
        let prefix = find(&said, "fd00:aa:0:4::");
        assert_eq!((prefix.r#type, prefix.prefix_len), (LeaseType::Pd, Some(62)));
        assert_eq!(prefix.hostname, None);
        let v4 = said.iter().map(held).find(|held| held.r#type == LeaseType::V4).unwrap();
        assert_eq!(v4.mac.unwrap().to_string(), mac);
        assert_eq!(v4.hostname.as_ref().unwrap().as_str(), "v4host");
        let ends = said.iter().filter(|said| held(said).expires_at.is_some()).count();
        assert_eq!(ends, if text == ENDLESS { 0 } else { count });
    }
    let (said, _) = all(OF_2026);
    let gamma = find(&said, "fd00:aa::43b");
    assert!(matches!(gamma.holder, Holder::V6 { iaid: u32::MAX, .. }));
    assert_eq!(gamma.expires_at, Some(Timestamp::from_second(1_795_256_017).unwrap()));
}

#[test]
fn a_client_has_several_addresses_or_none() {
    let line = b"# br-lan 00030001aabb 1 - 1795256017 5 128 fd00::5/128 2001:db8::5/128";
    assert_eq!(read(line).said.len(), 2);
    for line in [&b"# br-lan 00030001aabb 1 - 1795256017 5 128"[..], b"", b"fd00::1\ta.lan\ta"] {
        let line = read(line);
        assert!(line.said.is_empty() && line.remark.is_none());
    }
    let ended = read(b"# br-lan 00030001aabb 1 - 0 5 128 fd00::5/128");
    assert!(matches!(ended.said[..], [Said::Ended(_, LeaseEvent::Expire)]));
}

#[test]
fn a_hostile_name_costs_its_client_only_the_name() {
    let long = "x".repeat(65_536);
    let names = [
        "a 1795256017 5 128 fd00::bad/128",
        "we ird",
        "- -1 5 128",
        "fd00::bad/128",
        "$(id)",
        "\u{1b}[2J",
        &long,
        "",
    ];
    for name in names {
        for mark in ["", r"broken\x20", "broken "] {
            let line = format!("# br-lan 00030001aabb 1 {mark}{name} 1795256017 5 128 fd00::5/128");
            let line = read(line.as_bytes());
            let [said] = &line.said[..] else { panic!("{name}: {line:?}") };
            assert_eq!(held(said).address.to_string(), "fd00::5", "{name}");
            assert_eq!(held(said).hostname, None, "{name}");
            let (what, weight) = line.remark.unwrap();
            assert!(weight == Weight::Note && what.len() < 1000 && !what.contains('\x1b'));
        }
    }
    assert!(read(br"# br-lan 00030001aabb 1 broken\x20- -1 5 128 fd00::5/128").remark.is_none());
}

#[test]
fn a_line_that_cannot_be_understood_leaves_its_places_in_doubt() {
    let place = Place { address: "fd00::5".parse().unwrap(), prefix_len: None };
    for line in [
        "# br-lan 0003000 1 - 1795256017 5 128 fd00::5/128",
        "# br-lan 00030001aabb x - 1795256017 5 128 fd00::5/128",
        "# br-lan 00030001aabb 1 - soon 5 128 fd00::5/128",
        "# br-lan 00030001aabb 1 - 99999999999999 5 128 fd00::5/128",
        "# br-lan 00030001aabb 1 - 1795256017 5 64 fd00::5/128",
        "# br-lan 00030001aabb 1 1795256017 5 128 fd00::5/128",
        "# br-lan 0003 ipv4 - 1795256017 5 32 fd00::5/128",
        "- fd00::5/128",
    ] {
        let line = read(line.as_bytes());
        assert_eq!(line.said, [Said::Doubtful(place)], "{line:?}");
        assert_eq!(line.remark.unwrap().1, Weight::Refused);
    }
    for line in ["# br-lan", "garbage", "# br-lan 00030001aabb 1 - 1795256017 5 128 fd00::5/"] {
        assert!(matches!(read(line.as_bytes()).said[..], [Said::Unreadable(_)]), "{line}");
    }
    // Nobody was ever known by this.
    let line = read(b"# br-lan 0003 1 - 1795256017 5 128 fd00::5/128");
    assert!(line.said.is_empty() && line.remark.is_some());
}

#[test]
fn every_length_of_a_file_can_be_read() {
    for text in [OF_2024, OF_2026] {
        for end in 0..text.len() {
            assert!(all(&text[..end]).0.len() <= 6);
        }
    }
}
