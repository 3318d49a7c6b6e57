use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::record::Of;

const LIMITS: Limits = Limits { max: 100, same_ports: false };

fn record(text: &str) -> Record {
    Record::parse(text).unwrap()
}

/// What comes out of `up` for these records, as lines.
fn through(up: &mut Up, records: &[Record]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut out = |out: Out| {
        if let Out::Record(record) = out {
            lines.push(serde_json::to_string(record).unwrap());
        }
        Ok(())
    };
    for record in records {
        match record.clone() {
            Record::Container(container) => up.take(container, &mut out).unwrap(),
            Record::Checkpoint(checkpoint) => {
                let told = Record::Checkpoint(up.checkpoint(checkpoint));
                out(Out::Record(&told)).unwrap();
            }
            other => out(Out::Record(&other)).unwrap(),
        }
    }
    lines
}

fn up(records: &[Record]) -> Vec<String> {
    through(&mut Up::new(LIMITS), records)
}

fn down(records: &[Record]) -> Vec<String> {
    let mut down = Down::default();
    let mut lines = Vec::new();
    for record in records.iter().cloned() {
        let record = match record {
            Record::Container(container) if !down.keeps(&container) => continue,
            Record::Checkpoint(checkpoint) => Record::Checkpoint(down.checkpoint(checkpoint)),
            other => other,
        };
        lines.push(serde_json::to_string(&record).unwrap());
    }
    lines
}

fn read(lines: &[String]) -> Vec<Record> {
    lines.iter().map(|line| record(line)).collect()
}

/// `id`, with what is not wanted or failed marked, of every record.
fn brief(lines: &[String]) -> String {
    let one = |line: &String| match record(line) {
        Record::Container(c) => {
            let mark = match (c.status, c.state) {
                (Some(Status::Failed), _) => "!",
                (_, Some(State::Absent)) => "-",
                _ => "",
            };
            format!("{mark}{}", c.id)
        }
        Record::Checkpoint(checkpoint) => format!("#{}", checkpoint.count),
        other => panic!("{other:?}"),
    };
    lines.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn container(id: &str, more: &str) -> Record {
    record(&format!(r#"{{"id":"{id}","image":"busybox"{more}}}"#))
}

fn scaled(id: &str, scale: u32) -> Record {
    container(id, &format!(r#","scale":{scale}"#))
}

fn checkpoint(partial: bool) -> Record {
    let mut checkpoint = Checkpoint::new(Of::Container, 7);
    checkpoint.partial = partial;
    checkpoint.follow = true;
    Record::Checkpoint(checkpoint)
}

fn refusal(base: &str) -> String {
    let lines = up(&[record(base)]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let Record::Container(told) = record(&lines[0]) else { panic!("{lines:?}") };
    assert_eq!(told.error_kind, Some(Kind::Refused), "{lines:?}");
    told.error.unwrap()
}

#[test]
fn replicas_are_their_base_but_for_the_name() {
    let base = r#"{"id":"web","image":"busybox","env":["A=1"],"scale":3,"host":{"id":"h"},"key":"om2pqvn3u6qa2","hostname":"www.example.org","state":"running","docker":{"id":"x"},"__proto__":{"z":1e400}}"#;
    let lines = up(&[record(base)]);
    assert_eq!(record(&lines[0]), record(base));
    let of = |number: u32, key: &str| {
        format!(
            r#"{{"id":"web-scale-{number}","image":"busybox","env":["A=1"],"hostname":"www-scale-{number}.example.org","scaled_from":"web","host":{{"id":"h"}},"key":"{key}","__proto__":{{"z":1e400}}}}"#
        )
    };
    // The same on every machine and in every version, because addresses follow from it.
    assert_eq!(lines[1..], [of(1, "6hxcvsrfhdylh"), of(2, "6bujc4ttnjjei")]);
}

#[test]
fn what_is_not_scaled_is_let_be() {
    for scale in ["", r#","scale":1"#] {
        assert_eq!(brief(&up(&[container("web-scale-1", scale)])), "web-scale-1");
    }
    assert_eq!(brief(&up(&[scaled("web", 0), checkpoint(false)])), "#0");
}

#[test]
fn a_stream_tells_what_is_wanted_no_more() {
    let mut stage = Up::new(LIMITS);
    let mut tell = |records: &[Record]| brief(&through(&mut stage, records));
    assert_eq!(
        tell(&[scaled("web", 3), scaled("db", 2), checkpoint(false)]),
        "web web-scale-1 web-scale-2 db db-scale-1 #5"
    );
    assert_eq!(tell(&[scaled("web", 2)]), "web web-scale-1 -web-scale-2");
    assert_eq!(tell(&[scaled("web", 4)]), "web web-scale-1 web-scale-2 web-scale-3");
    assert_eq!(tell(&[container("web", "")]), "web -web-scale-1 -web-scale-2 -web-scale-3");
    assert_eq!(tell(&[scaled("web", 2)]), "web web-scale-1");
    assert_eq!(tell(&[scaled("web", 0)]), "-web -web-scale-1");
    assert_eq!(tell(&[scaled("web", 0)]), "");
    let gone = container("db", r#","state":"absent""#);
    assert_eq!(tell(std::slice::from_ref(&gone)), "-db -db-scale-1");
    assert_eq!(tell(&[gone]), "-db");
}

#[test]
fn an_end_says_what_a_removal_needs() {
    let more =
        r#","owner":"edge","key":"om2pqvn3u6qa2","private_network":{"name":"n","alias":"a"}"#;
    let all = |more: &str| {
        through(&mut Up::new(LIMITS), &[container("web", &format!(r#"{more},"scale":2"#))])
    };
    let Record::Container(told) = record(&all(more)[1]) else { panic!() };
    let absent = container("web", &format!(r#"{more},"state":"absent""#));
    let lines = up(&[container("web", &format!(r#"{more},"scale":2"#)), absent]);
    let Record::Container(gone) = record(&lines[3]) else { panic!() };
    assert_eq!(*gone, Container { state: Some(State::Absent), ..*told });
}

#[test]
fn a_later_listing_forgets_what_it_leaves_out_and_a_partial_one_does_not() {
    let first = [scaled("a", 3), scaled("b", 3), checkpoint(false)];
    for (partial, later) in [(false, "-a a-scale-1"), (true, "-a -a-scale-1 -a-scale-2 a-scale-1")]
    {
        let mut stage = Up::new(LIMITS);
        through(&mut stage, &first);
        let second = [scaled("b", 3), checkpoint(partial)];
        assert_eq!(
            brief(&through(&mut stage, &second)),
            "b b-scale-1 b-scale-2 #3",
            "the count is that of this listing"
        );
        let gone = container("a", r#","state":"absent""#);
        let told = through(&mut stage, &[gone, container("a-scale-1", "")]);
        assert_eq!(brief(&told), later);
    }
}

#[test]
fn a_listing_with_a_failure_in_it_forgets_nothing() {
    let mut stage = Up::new(LIMITS);
    through(&mut stage, &[scaled("a", 2), checkpoint(false)]);
    let failed = container("x", r#","status":"failed","error":"no","error_kind":"refused""#);
    assert_eq!(brief(&through(&mut stage, &[failed, checkpoint(false)])), "!x #1");
    let gone = container("a", r#","state":"absent""#);
    assert_eq!(brief(&through(&mut stage, &[gone])), "-a -a-scale-1");
}

#[test]
fn who_has_a_name_keeps_it() {
    let natural = container("web-scale-1", r#","cmd":"x""#);
    let lines = up(&[natural.clone(), scaled("web", 3), checkpoint(false)]);
    assert_eq!(brief(&lines), "web-scale-1 web !web-scale-1 web-scale-2 #4");
    assert!(lines[2].contains(r#"name \"web-scale-1\" belongs to another container"#), "{lines:?}");
    let lines = up(&[scaled("web", 3), natural.clone(), checkpoint(false)]);
    assert_eq!(brief(&lines), "web web-scale-1 web-scale-2 !web-scale-1 #4");
    assert!(lines[3].contains(r#"belongs to a replica of \"web\""#), "{lines:?}");

    // The end of the one that was refused is not the end of the one that has the name.
    let mut stage = Up::new(LIMITS);
    through(&mut stage, &[scaled("web", 2), natural]);
    let gone = container("web-scale-1", r#","state":"absent""#);
    assert_eq!(brief(&through(&mut stage, &[gone])), "");
}

#[test]
fn a_replica_goes_by_its_base() {
    let replica =
        |id: &str, of: &str, more: &str| container(id, &format!(r#","scaled_from":"{of}"{more}"#));
    let one = replica("web-scale-7", "web", r#","scale":3"#);
    assert_eq!(brief(&up(std::slice::from_ref(&one))), "web-scale-7", "it is never scaled again");
    assert_eq!(brief(&up(&[scaled("web", 2), one.clone()])), "web web-scale-1");
    assert_eq!(brief(&up(&[scaled("web", 0), one.clone()])), "");
    // One that came before its base is taken back, and the base tells its own.
    let early = [one, replica("web-scale-1", "web", ""), scaled("web", 2), checkpoint(false)];
    assert_eq!(
        brief(&up(&early)),
        "web-scale-7 web-scale-1 -web-scale-1 -web-scale-7 web web-scale-1 #2"
    );
}

#[test]
fn what_replicas_cannot_share_is_refused_and_named() {
    let with = |more: &str| refusal(&format!(r#"{{"id":"web","image":"b","scale":2,{more}}}"#));
    for (more, field) in [
        (r#""ports":["0:80","80:80"]"#, r#""ports": each would publish "80:80""#),
        (r#""addresses":["2001:db8::5/64"]"#, r#""addresses": each would have "2001:db8::5/64""#),
        (
            r#""networks":["a",{"network":"b","ipv4_address":"192.0.2.1"}]"#,
            r#""networks[1].ipv4_address""#,
        ),
        (
            r#""networks":[{"network":"b","ipv6_address":"fd00::5"}]"#,
            r#""networks[0].ipv6_address""#,
        ),
        (r#""networks":[{"bridge":"b","mac":"02:00:00:00:00:01"}]"#, r#""networks[0].mac""#),
        (
            r#""networks":[{"bridge":"b","addresses":["dhcp6","fd00::5/64"]}]"#,
            r#""networks[0].addresses": each would have "fd00::5/64""#,
        ),
        (&format!(r#""hostname":"{}""#, "x".repeat(60)), r#""hostname""#),
        (&format!(r#""hostname":"www.{}.org""#, "x".repeat(53)), r#""hostname""#),
    ] {
        let told = with(more);
        assert!(told.starts_with("scale to 2: ") && told.contains(field), "{told}");
    }
    let told = with(r#""ports":["80:80"],"addresses":["2001:db8::5/64"]"#);
    assert!(told.contains("\"ports\"") && told.contains("\"addresses\""), "all at once: {told}");
    let fine = r#","scale":2,"ports":["0:80"],"networks":["a",{"network":"b","aliases":["x"]},{"bridge":"c","addresses":["dhcp6"]}]"#;
    assert_eq!(brief(&up(&[container("web", fine)])), "web web-scale-1");
    let alone = r#","scale":1,"ports":["80:80"],"addresses":["2001:db8::5/64"]"#;
    assert_eq!(brief(&up(&[container("web", alone)])), "web");
}

#[test]
fn the_same_ports_go_on_hosts_of_their_own() {
    let mut stage = Up::new(Limits { same_ports: true, ..LIMITS });
    let fixed = r#","scale":2,"ports":["80:80"]"#;
    assert_eq!(brief(&through(&mut stage, &[container("a", fixed)])), "a a-scale-1");
    let here = format!(r#"{fixed},"host":{{"id":"h"}}"#);
    let lines = through(&mut stage, &[container("b", &here)]);
    assert!(lines.len() == 1 && lines[0].contains(r#"on host \"h\""#), "{lines:?}");
}

#[test]
fn there_is_an_end_to_it() {
    assert!(refusal(r#"{"id":"web","image":"b","scale":101}"#).contains("more than --max 100"));
    assert!(refusal(r#"{"id":"web","image":"b","scale":4294967295}"#).contains("--max 100"));
    let id = |length| "x".repeat(length);
    assert_eq!(up(&[scaled(&id(120), 10)]).len(), 10);
    let long = format!(r#"{{"id":"{}","image":"b","scale":11}}"#, id(120));
    assert!(refusal(&long).contains("\"id\" leaves no room"));
    // What was told before stays, as with every record that failed.
    let mut stage = Up::new(LIMITS);
    through(&mut stage, &[scaled("web", 2)]);
    assert_eq!(brief(&through(&mut stage, &[scaled("web", 101)])), "!web");
    assert_eq!(brief(&through(&mut stage, &[scaled("web", 1)])), "web -web-scale-1");
}

#[test]
fn only_what_is_called_so_is_a_replica_s_name() {
    assert_eq!(split("web-scale-12"), Some(("web", 12)));
    assert_eq!(split("a-scale-1-scale-2"), Some(("a-scale-1", 2)));
    for other in ["web", "web-scale-", "web-scale-0", "web-scale-01", "web-scale-+1", "web-scale-x"]
    {
        assert_eq!(split(other), None, "{other}");
    }
    assert_eq!(split("web-scale-99999999999"), None);
}

fn well_formed() -> impl Strategy<Value = Vec<Record>> {
    let more = prop::sample::select(vec![
        "",
        r#","env":["A=1","B=\u0007"],"x-note":{"b":1e400,"a":[1.50]}"#,
        r#","hostname":"h","key":"om2pqvn3u6qa2","__proto__":{}"#,
    ]);
    let one = (proptest::option::of(1..6u32), more);
    prop::collection::btree_map("[a-d]{1,2}(-scale-[0x])?", one, 0..8).prop_map(|fleet| {
        let document = |(id, (scale, more)): (String, (Option<u32>, &str))| {
            let scale = scale.map_or(String::new(), |scale| format!(r#","scale":{scale}"#));
            container(&id, &format!("{more}{scale}"))
        };
        fleet.into_iter().map(document).collect()
    })
}

/// Streams with all that can be in one.
fn any_stream() -> impl Strategy<Value = Vec<String>> {
    let id = || prop::sample::select(vec!["a", "b", "a-scale-1", "a-scale-2", "b-scale-1"]);
    let scaled = (id(), 0..4u32).prop_map(|(id, scale)| scaled(id, scale));
    let plain = id().prop_map(|id| container(id, ""));
    let absent = id().prop_map(|id| container(id, r#","state":"absent""#));
    let failed = id().prop_map(|id| container(id, r#","status":"failed""#));
    let replica = (id(), id(), any::<bool>()).prop_map(|(id, of, absent)| {
        let state = if absent { r#","state":"absent""# } else { "" };
        container(id, &format!(r#","scaled_from":"{of}"{state}"#))
    });
    let checkpoint = any::<bool>().prop_map(checkpoint);
    let one = prop_oneof![4 => scaled, 1 => plain, 2 => absent, 1 => failed, 2 => replica, 1 => checkpoint];
    let line = one.prop_map(|record| serde_json::to_string(&record).unwrap());
    prop::collection::vec(line, 0..16)
}

/// What a reader of the stream believes to be wanted at its end.
fn believed(records: &[Record]) -> BTreeMap<String, Container> {
    let mut members: BTreeMap<String, (u32, Container)> = BTreeMap::new();
    let (mut listing, mut unclear) = (0, false);
    for record in records {
        match record {
            Record::Container(c) if c.status == Some(Status::Failed) => unclear = true,
            Record::Container(c) if c.state == Some(State::Absent) => {
                members.remove(c.id.as_str());
            }
            Record::Container(c) => {
                members.insert(c.id.to_string(), (listing, Container::clone(c)));
            }
            Record::Checkpoint(checkpoint) => {
                if !std::mem::take(&mut unclear) && !checkpoint.partial {
                    members.retain(|_, (told, _)| *told == listing);
                }
                listing += 1;
            }
            _ => (),
        }
    }
    members.into_iter().map(|(id, (_, container))| (id, container)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn down_undoes_up(fleet in well_formed()) {
        let lines: Vec<String> = fleet.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
        prop_assert_eq!(down(&read(&up(&fleet))), lines);
    }

    #[test]
    fn up_is_done_once(stream in any_stream()) {
        let once = up(&read(&stream));
        prop_assert_eq!(brief(&up(&read(&once))), brief(&once));
        prop_assert_eq!(up(&read(&once)), once);
    }

    #[test]
    fn a_reader_believes_what_is_wanted_scaled(
        stream in prop::collection::vec(
            prop_oneof![
                4 => (prop::sample::select(vec!["a", "b", "c"]), 0..5u32)
                    .prop_map(|(id, scale)| scaled(id, scale)),
                1 => prop::sample::select(vec!["a", "b", "c"])
                    .prop_map(|id| container(id, r#","state":"absent""#)),
                1 => any::<bool>().prop_map(checkpoint),
            ],
            0..24,
        ),
    ) {
        let wanted: Vec<Record> =
            believed(&stream).into_values().map(Box::new).map(Record::Container).collect();
        let told = believed(&read(&up(&stream)));
        prop_assert_eq!(told, believed(&read(&up(&wanted))));
    }

    #[test]
    fn nothing_is_told_twice_under_one_name(stream in any_stream()) {
        // Whatever comes, what a reader believes has the count that the next checkpoint tells.
        let mut stage = Up::new(LIMITS);
        let mut lines = through(&mut stage, &read(&stream));
        lines.extend(through(&mut stage, &[checkpoint(false), checkpoint(false)]));
        prop_assert!(believed(&read(&lines)).is_empty());
        prop_assert!(stage.members.is_empty() && stage.orphans.is_empty());
    }
}
