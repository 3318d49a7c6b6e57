//! cccf-scale as its users see it.

mod program;

use program::{Running, file, run};
use serde_json::{Value, json};

const PATH: &str = env!("CARGO_BIN_EXE_cccf-scale");

fn ids(records: &[Value]) -> Vec<String> {
    let one = |record: &Value| match (record["kind"].as_str(), record["state"].as_str()) {
        (Some(kind), _) => format!("{kind} {}", record["count"]),
        (None, Some("absent")) => format!("-{}", record["id"].as_str().unwrap()),
        (None, _) => record["id"].as_str().unwrap().to_owned(),
    };
    records.iter().map(one).collect()
}

#[test]
fn up_makes_replicas_behind_their_base_with_all_that_it_has() {
    let base = json!({"id": "web", "image": "b", "scale": 3, "x-note": {"a": [1]}, "__proto__": 7});
    let done = run(PATH, &[], &base.to_string());
    assert_eq!(
        (ids(&done.records), done.status),
        (vec!["web".into(), "web-scale-1".into(), "web-scale-2".into()], 0)
    );
    assert_eq!(done.records[0], base);
    let mut replica = base;
    replica["id"] = "web-scale-2".into();
    replica["scaled_from"] = "web".into();
    replica.as_object_mut().unwrap().remove("scale");
    assert_eq!(done.records[2], replica);
}

#[test]
fn down_gives_back_what_up_was_given_byte_for_byte() {
    let full = include_str!("data/cccf/full.json")
        .replace(r#","scaled_from":"base""#, "")
        .replace(r#""80:8080","#, "")
        .replace(r#","ipv6_address":"fd00::5""#, "")
        .replace(r#","mac":"02:00:00:00:00:09""#, "")
        .replace(r#","2001:db8::5/64@fe80::1""#, "")
        .replace(r#""addresses":["2001:db8::6/64"],"#, "");
    let list = [
        full.trim_end(),
        r#"{"id":"db-scale-7","image":"postgres","x":12345678901234567890123}"#,
        r#"{"kind":"checkpoint","of":"container","count":2,"follow":true,"owner":"edge"}"#,
    ];
    let input = list.map(|line| format!("{line}\n")).concat();
    let lines = |args: &[&str], input: &str| {
        let path = file(&format!("scale-{}.json", args.len()), input);
        let mut command = std::process::Command::new(PATH);
        let output = command.args(args).stdin(std::fs::File::open(path).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let up = lines(&[], &input);
    assert_eq!(up.lines().count(), 5, "{up}");
    assert!(up.ends_with("\"count\":4,\"follow\":true,\"owner\":\"edge\"}\n"), "{up}");
    assert_eq!(lines(&[], &up), up, "what is scaled is scaled");
    assert_eq!(lines(&["--down"], &up), input);
    assert_eq!(lines(&["--down"], &input), input);
}

#[test]
fn an_array_is_as_complete_as_before() {
    for (args, count) in [(&[][..], 3), (&["--down"], 2)] {
        let array = r#"[{"id":"a","image":"i","scale":2},{"id":"b","image":"i"}]"#;
        let done = run(PATH, args, array);
        let last = done.records.last().unwrap();
        assert_eq!(*last, json!({"kind": "checkpoint", "of": "container", "count": count}));
        let cut = run(PATH, args, array.trim_end_matches(']'));
        assert!(cut.records.iter().all(|record| record.get("kind").is_none()), "it may go on");
        let loose = run(PATH, args, r#"{"id":"a","image":"i"}"#);
        assert_eq!(ids(&loose.records), ["a"]);
    }
}

#[test]
fn a_listing_that_lost_a_record_is_not_whole() {
    let checkpoint = r#"{"kind":"checkpoint","of":"container","count":9}"#;
    for args in [&[][..], &["--down"]] {
        let input = format!("{{\"id\":\"a\",\"image\":7}}\n{checkpoint}\n{checkpoint}\n");
        let done = run(PATH, args, &input);
        assert_eq!(done.at("/partial"), ["true"], "the first of two");
        assert!(done.records[0].get("partial").is_some());
        assert_eq!(done.status, 1);
    }
    let partial = r#"{"kind":"checkpoint","of":"container","count":9,"partial":true}"#;
    assert_eq!(run(PATH, &[], partial).at("/partial"), ["true"]);
    let lease = r#"{"kind":"checkpoint","of":"lease","count":9}"#;
    assert_eq!(run(PATH, &[], lease).at("/count"), ["9"]);
}

#[test]
fn one_that_cannot_be_scaled_comes_out_once_and_failed() {
    let input = "{\"id\":\"a\",\"image\":\"i\",\"scale\":2,\"ports\":[\"80:80\"]}\n{\"id\":\"b\",\"image\":\"i\",\"scale\":2}\n";
    let done = run(PATH, &[], input);
    assert_eq!(ids(&done.records), ["a", "b", "b-scale-1"]);
    assert_eq!(done.at("/error_kind"), ["refused"]);
    assert!(
        done.told.starts_with(
            "cccf-scale: a: scale to 2: field \"ports\": each would publish \"80:80\""
        ),
        "{}",
        done.told
    );
    assert_eq!(done.status, 1);
    let done = run(PATH, &["--same-ports"], input);
    assert_eq!((ids(&done.records).len(), done.status), (4, 0));

    let done = run(PATH, &["--max", "2"], "{\"id\":\"a\",\"image\":\"i\",\"scale\":3}");
    assert!(done.told.contains("field \"scale\" is more than --max 2"), "{}", done.told);
    let done = run(PATH, &[], "{\"id\":\"a\",\"image\":\"i\",\"scale\":10001}");
    assert!(done.told.contains("more than --max 10000"), "{}", done.told);
    for scale in ["-1", "1.5", "\"3\"", "4294967296"] {
        let done = run(PATH, &[], &format!("{{\"id\":\"a\",\"image\":\"i\",\"scale\":{scale}}}"));
        assert!(done.told.contains("field \"scale\""), "{}", done.told);
        assert_eq!((done.records.len(), done.status), (0, 65));
    }
    assert_eq!(run(PATH, &["--down", "--max", "2"], "").status, 64);
}

#[test]
fn a_name_that_another_has_fails_alone() {
    let input =
        "{\"id\":\"a-scale-1\",\"image\":\"i\"}\n{\"id\":\"a\",\"image\":\"i\",\"scale\":3}\n";
    let done = run(PATH, &[], input);
    assert_eq!(ids(&done.records), ["a-scale-1", "a", "a-scale-1", "a-scale-2"]);
    assert_eq!(done.records[2]["status"], "failed");
    assert!(
        done.told.contains("a-scale-1: name \"a-scale-1\" belongs to another container"),
        "{}",
        done.told
    );
    assert_eq!(done.status, 1);
}

#[test]
fn a_stream_tells_which_replicas_go() {
    let mut scale = Running::start(PATH, &[]);
    let mut tell = |lines: &[&str], count: usize| {
        lines.iter().for_each(|line| scale.tell(line));
        let records: Vec<Value> = (0..count).map(|_| scale.next()).collect();
        ids(&records).join(" ")
    };
    let checkpoint = r#"{"kind":"checkpoint","of":"container","count":1,"follow":true}"#;
    assert_eq!(
        tell(&[r#"{"id":"web","image":"i","scale":3}"#, checkpoint], 4),
        "web web-scale-1 web-scale-2 checkpoint 3"
    );
    assert_eq!(tell(&[r#"{"id":"web","image":"i","scale":2}"#], 3), "web web-scale-1 -web-scale-2");
    assert_eq!(tell(&[r#"{"id":"web","image":"i","state":"absent"}"#], 2), "-web -web-scale-1");
    let change = r#"{"kind":"change","action":"add","container":{"id":"x","image":"i","scale":2}}"#;
    assert_eq!(tell(&[change], 1), "change null");
    assert_eq!(scale.end(), 0);
}

#[test]
fn cccf_diff_removes_the_replicas_that_are_wanted_no_more() {
    let up = |scale: u32| {
        let document = format!(r#"[{{"id":"web","image":"i","scale":{scale}}}]"#);
        run(PATH, &[], &document).records
    };
    let lines = |records: Vec<Value>| {
        records.iter().map(|record| format!("{record}\n")).collect::<String>()
    };
    let owned = lines(up(3)).replace(r#""image":"i""#, r#""image":"i","owner":"leasepipe""#);
    let current = file("scale-current.json", &owned);
    let args = ["--current", &current, "--owner", "leasepipe"];
    let done = run(env!("CARGO_BIN_EXE_cccf-diff"), &args, &lines(up(2)));
    let told: Vec<(String, String)> =
        done.at("/action").into_iter().zip(done.at("/container/id")).collect();
    let expected = [("remove", "web-scale-2"), ("keep", "web"), ("keep", "web-scale-1")];
    assert_eq!(
        told,
        expected.map(|(action, id)| (action.to_owned(), id.to_owned())),
        "{}",
        done.told
    );
}

#[test]
fn very_many_replicas_take_no_room() {
    let mut scale = std::process::Command::new(PATH)
        .args(["--max", "300000"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::{BufRead, BufReader, Write};
    let mut stdin = scale.stdin.take().unwrap();
    writeln!(stdin, "{{\"id\":\"web\",\"image\":\"i\",\"scale\":300000}}").unwrap();
    let mut lines = BufReader::new(scale.stdout.take().unwrap()).lines();
    let last = lines.by_ref().nth(299_999).unwrap().unwrap();
    assert!(last.contains("web-scale-299999\""), "{last}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", scale.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 20 * 1024, "{peak}");
    drop(stdin);
    assert!(scale.wait().unwrap().success());
    assert!(lines.next().is_none());
}
