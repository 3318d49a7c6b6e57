//! cccf-host as its users see it.

mod program;

use program::{file, run};

const PATH: &str = env!("CARGO_BIN_EXE_cccf-host");

const HOSTS: &str = r#"[
  {"kind": "host", "id": "a", "url": "unix:///run/a.sock", "used": {"containers": 1}},
  {"kind": "host", "id": "b", "url": "unix:///run/b.sock"},
  {"kind": "host", "id": "c", "url": "unix:///run/c.sock", "state": "drain"}
]"#;

fn add(id: &str) -> String {
    format!(r#"{{"kind":"change","action":"add","container":{{"id":"{id}","image":"i"}}}}"#) + "\n"
}

#[test]
fn without_a_file_there_is_one_local_host() {
    let done = run(PATH, &[], &add("x"));
    assert_eq!(done.at("/container/host/id"), ["local"]);
    assert_eq!(done.at("/container/host/url"), ["unix:///var/run/docker.sock"]);
    assert_eq!(done.status, 0);
}

#[test]
fn the_least_busy_host_is_taken_and_what_is_there_stays() {
    let hosts = file("host-hosts.json", HOSTS);
    let keep =
        r#"{"kind":"change","action":"keep","container":{"id":"k","image":"i","host":{"id":"b"}}}"#;
    let remove = r#"{"kind":"change","action":"remove","container":{"id":"k","image":"i","host":{"id":"b"}}}"#;
    let input = format!("{keep}\n{}{}{}{remove}\n{}", add("1"), add("2"), add("3"), add("4"));
    let done = run(PATH, &["--hosts", &hosts], &input);
    assert_eq!(done.at("/container/host/id"), ["b", "a", "b", "a", "b", "b"]);
    assert!(done.at("/container/host/url").iter().all(|url| url.starts_with("unix:///run/")));
}

#[test]
fn a_host_that_is_not_in_the_list_fails_its_record_alone() {
    let hosts = file("host-hosts-2.json", HOSTS);
    let input = format!("{}{}", r#"{"id":"x","image":"i","host":{"id":"zz"}}"#, "\n") + &add("y");
    let done = run(PATH, &["--hosts", &hosts], &input);
    assert_eq!(done.at("/status"), ["failed"]);
    assert_eq!(done.at("/error_kind"), ["not_found"]);
    assert_eq!(done.at("/container/host/id"), ["b"]);
    assert!(done.told.contains("cccf-host: x: host \"zz\" is not in the list; known are a, b, c"));
    assert_eq!(done.status, 1);
}

#[test]
fn a_list_of_hosts_with_a_bad_one_is_refused_whole() {
    for bad in ["", "[]", r#"[{"kind":"host","id":"a"}]"#, r#"{"id":"a","image":"b"}"#, "{"] {
        let hosts = file("host-bad.json", bad);
        let done = run(PATH, &["--hosts", &hosts], &add("x"));
        assert_eq!((done.status, done.records.len()), (65, 0), "{bad}");
    }
    let done = run(PATH, &["--hosts", "/nonexistent/hosts.json"], "");
    assert_eq!(done.status, 64);
}

#[test]
fn what_failed_before_is_left_alone() {
    let failed = r#"{"kind":"change","action":"add","container":{"id":"x","image":"i"},"status":"failed","error":"no","note":[1]}"#;
    let done = run(PATH, &[], failed);
    assert_eq!(serde_json::to_string(&done.records[0]).unwrap(), failed);
    assert_eq!(done.status, 0);
}
