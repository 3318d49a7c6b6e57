//! cccf-diff as its users see it.

mod program;

use std::io::Write;
use std::time::Duration;

use nix::sys::stat::Mode;
use program::{Done, Running, file, run};

const PATH: &str = env!("CARGO_BIN_EXE_cccf-diff");

fn container(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","image":"busybox","owner":"edge"{more}}}"#) + "\n"
}

const CHECKPOINT: &str = "{\"kind\":\"checkpoint\",\"of\":\"container\",\"count\":0}\n";
const FOLLOWS: &str =
    "{\"kind\":\"checkpoint\",\"of\":\"container\",\"count\":0,\"follow\":true}\n";

fn diff(name: &str, current: &str, wanted: &str, args: &[&str]) -> Done {
    let current = file(name, current);
    run(PATH, &[&["--current", &current], args].concat(), wanted)
}

fn told(done: &Done) -> Vec<String> {
    let word = |r: &serde_json::Value| match r["kind"].as_str() {
        Some("change") => {
            let action = r["action"].as_str().unwrap();
            format!("{action} {}", r["container"]["id"].as_str().unwrap())
        }
        kind => kind.unwrap_or("?").to_owned(),
    };
    done.records.iter().map(word).collect()
}

#[test]
fn two_listings_give_one_change_for_each_container() {
    let current = container("a", "") + &container("b", r#","cmd":"old""#) + &container("x", "");
    let wanted =
        container("a", "") + &container("b", r#","cmd":"new""#) + &container("n", "") + CHECKPOINT;
    let done = diff("diff-1.json", &current, &wanted, &[]);
    assert_eq!(told(&done), ["remove x", "keep a", "replace b", "add n", "checkpoint"]);
    assert_eq!(done.at("/why/0/field"), ["cmd"]);
    assert_eq!(done.at("/why/0/from/0"), ["old"]);
    assert_eq!(done.at("/current/id"), ["b"]);
    assert_eq!(done.status, 0);
}

#[test]
fn what_goes_goes_before_what_it_depends_on() {
    let on = |id: &str, others: &str| container(id, &format!(r#","depends_on":[{others}]"#));
    let current = container("db", "")
        + &container("z", "")
        + &on("app", r#""db","cache""#)
        + &container("cache", "")
        + &on("web", r#""app","stays""#)
        + &container("stays", "");
    let done =
        diff("diff-order.json", &current, &container("stays", ""), &["--complete", "--force"]);
    let order = ["remove z", "remove web", "remove app", "remove db", "remove cache"];
    assert_eq!(told(&done)[..5], order);
}

#[test]
fn only_a_complete_listing_removes() {
    let current = container("x", "");
    let wanted = container("n", "");
    assert_eq!(told(&diff("diff-2.json", &current, &wanted, &[])), ["add n"]);
    let complete = ["remove x", "add n", "checkpoint"];
    assert_eq!(told(&diff("diff-3.json", &current, &wanted, &["--complete"])), complete);
    let array = format!("[{wanted}]");
    assert_eq!(told(&diff("diff-4.json", &current, &array, &[])), complete);
    assert_eq!(told(&diff("diff-5.json", &current, &array[..array.len() - 3], &[])).len(), 0);
}

#[test]
fn a_partial_listing_removes_nothing_and_the_loop_goes_on() {
    let mut l = Loop::start("diff-loop-4.fifo", &[]);
    l.see(&(container("x", r#","state":"running""#) + FOLLOWS));
    l.want(&container("a", ""));
    l.want(&FOLLOWS.replace("true", "true,\"partial\":true"));
    assert_eq!(l.change(), "add a");
    l.want(&container("b", ""));
    assert_eq!(l.change(), "add b");
    for wanted in ["a", "b"] {
        l.want(&container(wanted, ""));
    }
    l.want(FOLLOWS);
    assert_eq!([l.change(), l.change()], ["remove x", "add a"]);
    assert_eq!([l.change(), l.change()], ["add b", "checkpoint"]);
}

#[test]
fn what_failed_before_is_passed_on_and_nothing_goes_by_its_listing() {
    let current = container("a", "") + &container("x", "");
    let failed = container("a", r#","cmd":"new","status":"failed","error":"no""#);
    let done =
        diff("diff-12.json", &current, &(failed.clone() + &container("n", "") + CHECKPOINT), &[]);
    assert_eq!(done.records[0], serde_json::from_str::<serde_json::Value>(&failed).unwrap());
    assert_eq!(told(&done)[1..], ["add n"]);
    assert_eq!(done.status, 0);
}

#[test]
fn a_current_side_that_broke_off_changes_nothing() {
    let pipe = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("diff-broken.fifo");
    let _ = std::fs::remove_file(&pipe);
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let writer = pipe.clone();
    let feeder = std::thread::spawn(move || {
        let mut to = std::fs::OpenOptions::new().write(true).open(writer).unwrap();
        to.write_all(container("a", "").as_bytes()).unwrap();
    });
    let done =
        run(PATH, &["--current", pipe.to_str().unwrap()], &(container("n", "") + CHECKPOINT));
    feeder.join().unwrap();
    assert_eq!((done.status, done.records.len()), (69, 0));
    assert!(done.told.contains("ended before its checkpoint; nothing is changed"), "{}", done.told);
}

#[test]
fn a_listing_that_would_remove_too_much_is_refused() {
    let current: String = ["a", "b", "c", "d"].iter().map(|id| container(id, "")).collect();
    let wanted = container("a", "") + CHECKPOINT;
    let done = diff("diff-6.json", &current, &wanted, &[]);
    assert_eq!(told(&done), ["keep a"]);
    assert_eq!(done.status, 1);
    assert!(done.told.contains("would remove 3 of 4 containers"), "{}", done.told);
    let all = ["remove b", "remove c", "remove d", "keep a", "checkpoint"];
    assert_eq!(told(&diff("diff-6.json", &current, &wanted, &["--force"])), all);
    assert_eq!(told(&diff("diff-6.json", &current, &wanted, &["--max-remove", "3"])), all);
    assert_eq!(told(&diff("diff-6.json", &current, &wanted, &["--max-remove", "75%"])), all);
    assert_eq!(diff("diff-6.json", &current, &wanted, &["--max-remove", "101%"]).status, 64);
}

#[test]
fn a_set_with_a_bad_member_is_refused_whole() {
    let current = container("x", "");
    for bad in ["{\"id\":\"n\"}\n", "junk\n", "{\"id\":\"n\",\"image\":\"b\""] {
        let wanted = container("a", "") + bad + CHECKPOINT;
        let done = diff("diff-7.json", &current, &wanted, &[]);
        assert_eq!((done.status, done.records.len()), (65, 0), "{bad}");
        assert!(done.told.contains("nothing is changed"), "{}", done.told);
    }
    let twice = container("a", "") + &container("a", r#","cmd":"x""#) + CHECKPOINT;
    let done = diff("diff-8.json", &current, &twice, &[]);
    assert_eq!((done.status, done.records.len()), (65, 0));
    assert!(done.told.contains("\"a\" is wanted twice"), "{}", done.told);
    let done = diff("diff-9.json", "junk", &(container("a", "") + CHECKPOINT), &[]);
    assert_eq!((done.status, done.records.len()), (65, 0));
}

#[test]
fn what_the_suite_did_not_make_is_not_touched() {
    let foreign = r#"{"id":"a","image":"other"}
{"id":"b","image":"other","owner":"lab"}
{"id":"c","image":"other","owner":"edge"}
"#;
    let wanted = container("a", "") + &container("b", "") + CHECKPOINT;
    let done = diff("diff-10.json", foreign, &wanted, &["--owner", "edge"]);
    assert_eq!(told(&done), ["remove c", "add a", "add b", "checkpoint"]);
    assert_eq!(done.at("/status"), ["failed", "failed"]);
    assert_eq!(done.at("/error_kind"), ["refused", "refused"]);
    assert_eq!(done.status, 1);
}

#[test]
fn a_container_belongs_to_the_owner_that_what_is_there_was_listed_for() {
    let listed = CHECKPOINT.replace("0}", "0,\"owner\":\"lab\"}");
    let plain = r#"{"id":"n","image":"busybox"}"#.to_owned() + "\n";
    let wanted = plain + &container("e", "") + CHECKPOINT;
    let done = diff("diff-13.json", &listed, &wanted, &[]);
    assert_eq!(told(&done), ["add n", "add e", "checkpoint"]);
    assert_eq!(done.at("/container/owner"), ["lab", "edge"]);
    assert_eq!(done.at("/status"), ["failed"]);
    assert!(done.told.contains("wanted for owner edge, and what is there was listed for lab"));
    assert_eq!(done.at("/owner"), ["lab"]);
}

#[test]
fn a_stopped_container_is_started() {
    let current = container("a", r#","state":"exited""#);
    let done = diff("diff-11.json", &current, &(container("a", "") + CHECKPOINT), &[]);
    assert_eq!(told(&done), ["add a", "checkpoint"]);
    assert_eq!(done.at("/why/0/field"), ["state"]);
}

/// cccf-diff with a current side that is talked to as well.
struct Loop {
    program: Running,
    current: std::fs::File,
}

impl Loop {
    fn start(name: &str, args: &[&str]) -> Loop {
        let pipe = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_file(&pipe);
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let path = pipe.to_str().unwrap().to_owned();
        let program = Running::start(PATH, &[&["--current", &path], args].concat());
        let current = std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
        Loop { program, current }
    }

    fn see(&mut self, line: &str) {
        self.current.write_all(line.as_bytes()).unwrap();
    }

    fn want(&mut self, line: &str) {
        self.program.tell(line.trim());
    }

    fn change(&mut self) -> String {
        let record = self.program.next();
        match record["action"].as_str() {
            Some(action) => format!("{action} {}", record["container"]["id"].as_str().unwrap()),
            None => record["kind"].as_str().unwrap().to_owned(),
        }
    }

    fn quiet(&mut self) {
        assert_eq!(
            self.program.within(Duration::from_millis(150)),
            Vec::<serde_json::Value>::new()
        );
    }
}

#[test]
fn the_loop_asks_once_and_again_when_nothing_shows() {
    let mut l = Loop::start("diff-loop-1.fifo", &["--settle", "400ms"]);
    l.see(FOLLOWS);
    l.want(FOLLOWS);
    assert_eq!(l.change(), "checkpoint");
    l.want(&container("a", ""));
    assert_eq!(l.change(), "add a");
    l.want(&container("a", ""));
    l.quiet();
    assert_eq!(l.change(), "add a", "asked for again after --settle");
    l.see(&container("a", r#","state":"running""#));
    std::thread::sleep(Duration::from_millis(900));
    l.quiet();
}

#[test]
fn a_container_that_is_killed_or_removed_by_hand_comes_back() {
    let mut l = Loop::start("diff-loop-2.fifo", &[]);
    l.see(&(container("a", r#","state":"running""#) + FOLLOWS));
    l.want(&container("a", ""));
    l.want(FOLLOWS);
    assert_eq!([l.change(), l.change()], ["keep a", "checkpoint"]);
    l.see(&container("a", r#","state":"exited""#));
    assert_eq!(l.change(), "add a");
    l.see(&container("a", r#","state":"running""#));
    l.see(r#"{"id":"a","image":"busybox","state":"absent"}"#);
    l.see("\n");
    assert_eq!(l.change(), "add a", "after a moment, since it is the second time");
    l.see(&container("a", r#","state":"running""#));
    l.want(r#"{"id":"a","image":"busybox","owner":"edge","state":"absent"}"#);
    assert_eq!(l.change(), "remove a");
}

#[test]
fn a_current_side_that_stops_following_ends_the_loop() {
    let mut l = Loop::start("diff-loop-3.fifo", &[]);
    l.see(FOLLOWS);
    l.want(FOLLOWS);
    assert_eq!(l.change(), "checkpoint");
    drop(l.current);
    assert_eq!(l.program.wait(), 69);
}

#[test]
fn the_order_is_that_of_the_listings() {
    let list = |ids: &[&str]| ids.iter().map(|id| container(id, "")).collect::<String>();
    let done = diff(
        "diff-order.json",
        &list(&["z", "m", "a"]),
        &(list(&["q", "m", "b"]) + CHECKPOINT),
        &["--force"],
    );
    assert_eq!(told(&done), ["remove z", "remove a", "keep m", "add q", "add b", "checkpoint"]);
}

#[test]
fn a_kept_container_is_the_wanted_document_where_it_is() {
    let there = r#","host":{"id":"h"},"state":"running","docker":{"id":"0123"},"note":1}"#;
    let current = container("a", "").replace("}\n", there);
    let wanted = container("a", r#","note":1,"lease":{"key":"om2pqvn3u6qa2","address":"fd00::1"}"#);
    let done = diff("diff-kept.json", &current, &wanted, &[]);
    let kept = &done.records[0]["container"];
    assert_eq!(done.records[0]["action"], "keep", "{kept}");
    assert_eq!((&kept["host"]["id"], &kept["docker"]["id"]), (&"h".into(), &"0123".into()));
    assert_eq!((&kept["state"], &kept["note"]), (&"running".into(), &1.into()));
    assert_eq!(kept["lease"]["address"], "fd00::1");
}

#[test]
fn the_same_in_other_words_is_the_same() {
    let current = container("a", r#","env":["A=1","B=2"],"cmd":["sleep","1 2"]"#)
        + &container("b", r#","labels":{"x":"1","y":"2"}"#);
    let wanted =
        "{\"owner\":\"edge\",\n \"id\":\"a\", \"cmd\":\"sleep '1 2'\",\n\"env\":[\"B=2\",\"A=1\"],\
                  \"image\":\"docker.io/library/busybox:latest\"}\n"
            .to_owned()
            + &container(
                "b",
                r#","labels":{"y":"2","\u0078":"1"},"requires":{"constraints":["ssd"]}"#,
            );
    let done = diff("diff-words.json", &current, &wanted, &["--complete"]);
    assert_eq!(told(&done), ["keep a", "keep b", "checkpoint"], "{:?}", done.at("/why"));
}

#[test]
fn what_is_ignored_stays_as_it_is() {
    let current = container("a", r#","env":["A=old"],"memory":1"#);
    let wanted = container("a", r#","env":["A=new"]"#);
    let ignore = ["--ignore", "env", "--ignore", "memory"];
    let done = diff("diff-ignore-1.json", &current, &wanted, &ignore);
    assert_eq!(told(&done), ["keep a"]);
    assert_eq!(done.at("/container/env/0"), ["A=old"]);
    assert_eq!(done.at("/container/memory"), ["1"]);
    let other = container("a", r#","env":["A=new"],"user":"1""#);
    let done = diff("diff-ignore-2.json", &current, &other, &ignore);
    assert_eq!(told(&done), ["replace a"]);
    assert_eq!(done.at("/why/0/field"), ["user"]);
    assert_eq!(done.at("/container/env/0"), ["A=new"]);
}

#[test]
fn the_exit_status_can_tell_whether_anything_differs() {
    let there = container("a", "");
    let status = |name, wanted: &str| diff(name, &there, wanted, &["--exit-code"]).status;
    assert_eq!(status("diff-code-1.json", &there), 0);
    assert_eq!(status("diff-code-2.json", &container("b", "")), 1);
    assert_eq!(status("diff-code-3.json", &container("a", r#","user":"1""#)), 1);
    assert_eq!(diff("diff-code-4.json", &there, &container("b", ""), &[]).status, 0);
}

#[test]
fn a_summary_is_one_object_of_three_lists() {
    let current = container("a", "") + &container("b", r#","cmd":"old""#) + &container("x", "");
    let wanted = container("a", "") + &container("b", r#","cmd":"new""#) + &container("n", "");
    let args = ["--complete", "--format", "summary"];
    let done = diff("diff-summary-1.json", &current, &wanted, &args);
    assert_eq!(done.records.len(), 1);
    let ids = |list: &str| {
        let all = done.records[0][list].as_array().unwrap();
        all.iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("add"), ["b", "n"]);
    assert_eq!(ids("keep"), ["a"]);
    assert_eq!(ids("remove"), ["x", "b"]);
    let none = diff("diff-summary-2.json", "[]", "[]", &["--format", "summary"]);
    assert_eq!(none.records, [serde_json::json!({"add": [], "keep": [], "remove": []})]);
}

#[test]
fn the_text_reads_like_a_diff() {
    let current = container("a", "")
        + &container("b", r#","env":["A=1","B=1"],"host":{"id":"h"}"#)
        + &container("x", "");
    let wanted =
        container("a", "") + &container("b", r#","env":["B=1","C=\u001b"]"#) + &container("n", "");
    let current = file("diff-text.json", &current);
    let wanted = file("diff-text-wanted.json", &wanted);
    let output = std::process::Command::new(PATH)
        .args(["--complete", "--format", "text", "--current", &current])
        .stdin(std::fs::File::open(wanted).unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "- x (busybox)\n~ b on h\n    env: - \"A=1\"\n    env: + \"C=\\u001b\"\n\
                    + n (busybox)\n1 to add, 1 to replace, 1 to remove, 1 as they should be\n";
    assert_eq!(text, expected);
}

#[test]
fn one_name_twice_on_a_host_refuses_the_listing() {
    let twice = container("a", "") + &container("a", "");
    let done = diff("diff-twice.json", &twice, &container("n", ""), &["--complete"]);
    assert_eq!((done.status, done.records.len()), (65, 0));
    assert!(done.told.contains("\"a\" is there twice on one host"), "{}", done.told);
}

#[test]
fn one_name_on_two_hosts_stays_on_one_of_them() {
    let on = |id: &str, host: &str| container(id, &format!(r#","host":{{"id":"{host}"}}"#));
    let current = on("a", "h1") + &on("a", "h2") + &on("b", "h1");
    let wanted = container("a", "") + &container("b", "");
    let done = diff("diff-doubles-1.json", &current, &wanted, &["--complete"]);
    assert_eq!(told(&done), ["remove a", "keep a", "keep b", "checkpoint"]);
    assert_eq!(done.at("/container/host/id"), ["h1", "h2", "h1"]);
    assert_eq!(done.records[3]["count"], 3);
    let foreign = on("a", "h1").replace(r#","owner":"edge""#, "") + &on("a", "h2");
    let done = diff("diff-doubles-2.json", &foreign, &container("a", ""), &["--complete"]);
    assert_eq!(told(&done), ["keep a", "checkpoint"]);
    let many: String = (1..=5).map(|host| on("a", &format!("h{host}"))).collect();
    let done = diff("diff-doubles-3.json", &many, &container("a", ""), &["--complete"]);
    assert_eq!((told(&done).len(), done.status), (1, 1), "{}", done.told);
}

#[test]
fn a_container_that_moves_is_not_chased_from_host_to_host() {
    let mut l = Loop::start("diff-loop-doubles.fifo", &[]);
    let on =
        |host: &str| container("a", &format!(r#","host":{{"id":"{host}"}},"state":"running""#));
    l.see(&(on("h1") + FOLLOWS));
    l.want(&(container("a", "") + FOLLOWS));
    assert_eq!([l.change(), l.change()], ["keep a", "checkpoint"]);
    l.see(&on("h2"));
    let change = l.program.next();
    assert_eq!(
        (&change["action"], &change["container"]["host"]["id"]),
        (&"remove".into(), &"h1".into())
    );
    // A listing tells of both again, in either order: which is which does not change by that.
    l.see(&(on("h1") + &on("h2")));
    l.see(&on("h1").replace("running", "absent"));
    l.see(&on("h2").replace("running", "exited"));
    assert_eq!(l.change(), "add a");
}

#[test]
fn a_status_that_is_none_is_bad_input_on_either_side() {
    let odd = container("a", r#","status":"well""#);
    for (name, current, wanted) in
        [("diff-odd-1.json", "[]", &*odd), ("diff-odd-2.json", &*odd, &*container("a", ""))]
    {
        let done = diff(name, current, wanted, &["--complete"]);
        assert_eq!((done.status, done.records.len()), (65, 0), "{}", done.told);
        assert!(done.told.contains("\"status\""), "{}", done.told);
    }
}
