//! container-run with care: so many of a group away at the same time, and no more when one has failed.

#[path = "engine/applied.rs"]
mod applied;
#[path = "engine/crowd.rs"]
mod crowd;

use applied::{change, container_run, lines, on, records, with};
use crowd::{Crowd, Manner};
use serde_json::{Value, json};

/// A document and its replicas on an engine, as cccf-scale tells them.
fn scaled(crowd: &Crowd, host: usize, id: &str, scale: usize) -> Vec<Value> {
    let replica = |number| format!("{id}-scale-{number}");
    let replicas =
        (1..scale).map(|number| on(crowd, host, &replica(number), json!({"scaled_from": id})));
    std::iter::once(on(crowd, host, id, json!({"scale": scale}))).chain(replicas).collect()
}

/// The most containers that were away at the same time, by what was changed on an engine; none of them
/// is away before.
fn most_away(changes: &[String]) -> usize {
    let (mut away, mut most) = (Vec::new(), 0);
    for change in changes {
        let (what, name) = change.split_once(' ').unwrap();
        match what {
            "stop" => away.push(name),
            "start" => away.retain(|other| *other != name),
            _ => (),
        }
        most = most.max(away.len());
    }
    most
}

#[test]
fn a_share_of_each_group_is_away_at_the_same_time() {
    let crowd = Crowd::new("share", vec![Manner { at_a_time: 99, ..Manner::slow(0, 60) }; 2]);
    let mut all = scaled(&crowd, 0, "web", 10);
    all.extend(scaled(&crowd, 1, "db", 10));
    let made = container_run(&[], &lines(all.clone()));
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert!(crowd.busiest(0) > 3 && crowd.busiest(1) > 3, "what is made waits for nobody");

    let crowd = Crowd::new("share-again", vec![Manner { at_a_time: 99, ..Manner::slow(0, 60) }; 2]);
    let here = |document: &Value, at: usize| with(document.clone(), "host", crowd.host(at));
    let all: Vec<Value> = all.iter().enumerate().map(|(n, one)| here(one, n / 10)).collect();
    for one in all.chunks(1) {
        assert_eq!(container_run(&[], &lines(one.to_vec())).status.code(), Some(0));
    }
    assert_eq!((crowd.busiest(0), crowd.busiest(1)), (1, 1));
    let restart = ["--action", "restart", "--max-unavailable", "35%"];
    let output = container_run(&restart, &lines(all));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(records(&output).len(), 20);
    assert_eq!((crowd.busiest(0), crowd.busiest(1)), (3, 3));
}

#[test]
fn who_is_stopped_and_started_is_away_in_between() {
    let crowd = Crowd::new("between", vec![Manner::slow(0, 20)]);
    let all = scaled(&crowd, 0, "web", 6);
    assert_eq!(container_run(&[], &lines(all.clone())).status.code(), Some(0));
    let before = crowd.changes(0).len();
    let both = all.iter().flat_map(|one| ["stop", "start"].map(|what| change(what, one.clone())));
    let output = container_run(&["--max-unavailable", "2"], &lines(both));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(most_away(&crowd.changes(0)[before..]), 2);
    assert_eq!(crowd.running(0).len(), 6);
    // Without care they are all away at once, and who is only stopped goes all the same.
    let before = crowd.changes(0).len();
    let output = container_run(&["--max-unavailable", "2", "--action", "stop"], &lines(all));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(most_away(&crowd.changes(0)[before..]), 6);
}

#[test]
fn what_asks_for_something_else_goes_in_batches_too() {
    let crowd = Crowd::new("else", vec![Manner::slow(5, 20)]);
    let plain: Vec<Value> = (0..5).map(|n| on(&crowd, 0, &format!("c{n}"), json!({}))).collect();
    assert_eq!(container_run(&[], &lines(plain.clone())).status.code(), Some(0));
    let before = crowd.changes(0).len();
    let other = plain.iter().map(|one| with(one.clone(), "env", json!(["A=1"])));
    let mut other: Vec<Value> = other.collect();
    other.push(on(&crowd, 0, "new", json!({})));
    let output = container_run(&["--max-unavailable", "1"], &lines(other));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let changes = crowd.changes(0)[before..].to_vec();
    let of = |change: &String| change.split([' ', '.']).nth(1).unwrap().to_owned();
    let mut order: Vec<String> = changes.iter().map(of).filter(|id| id != "new").collect();
    order.dedup();
    assert_eq!(order.len(), 5, "one at a time: {changes:#?}");
}

#[test]
fn when_one_has_failed_the_others_of_its_group_stay_and_a_rerun_goes_on() {
    let crowd = Crowd::new("pause", vec![Manner::slow(0, 20); 2]);
    let mut web = scaled(&crowd, 0, "web", 5);
    let db = scaled(&crowd, 1, "db", 3);
    assert_eq!(container_run(&[], &lines([&web[..], &db].concat())).status.code(), Some(0));
    let before = crowd.changes(0).len();
    // The second one is not there.
    web.insert(1, on(&crowd, 0, "web-scale-9", json!({"scaled_from": "web"})));
    let care = ["--max-unavailable", "1", "--pause-on-failure"];
    let input = web.iter().chain(&db).map(|one| change("restart", one.clone()));
    let new = on(&crowd, 0, "web-scale-7", json!({"scaled_from": "web"}));
    let gone = change("remove", web[5].clone());
    let input = lines(input.chain([change("add", new), gone]));
    let output = container_run(&care, &input);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = records(&output);
    let kind = |id: &str, action: &str| {
        let is = |one: &&Value| one["container"]["id"] == id && one["action"] == action;
        let record = told.iter().find(is).unwrap_or_else(|| panic!("{action} {id} is lost"));
        record["error_kind"].as_str().unwrap_or(record["status"].as_str().unwrap()).to_owned()
    };
    assert_eq!(told.len(), web.len() + db.len() + 2);
    assert_eq!(kind("web", "restart"), "done");
    assert_eq!(kind("web-scale-9", "restart"), "not_found");
    for number in 1..5 {
        assert_eq!(kind(&format!("web-scale-{number}"), "restart"), "held");
    }
    for (id, action) in [("db", "restart"), ("db-scale-2", "restart"), ("web-scale-7", "add")] {
        assert_eq!(kind(id, action), "done", "{id}");
    }
    assert_eq!(kind("web-scale-4", "remove"), "done", "what is wanted no more goes");
    let held = told.iter().find(|one| one["error_kind"] == "held").unwrap();
    let why =
        "held back: \"web-scale-9\" of its group failed before it; see to that one and run again";
    assert_eq!(held["error"], why);
    let changes = crowd.changes(0)[before..].to_vec();
    let restarted = changes.iter().filter(|change| change.starts_with("restart")).count();
    assert_eq!(restarted, 1, "{changes:#?}");

    let held = told.iter().filter(|one| one["error_kind"] == "held").cloned();
    let again = held.filter(|one| one["container"]["id"] != "web-scale-4").map(|mut one| {
        for field in ["status", "error", "error_kind"] {
            one.as_object_mut().unwrap().remove(field);
        }
        one
    });
    let output = container_run(&care, &lines(again));
    assert_eq!((output.status.code(), records(&output).len()), (Some(0), 3), "{output:?}");
}

#[test]
fn a_limit_that_makes_no_sense_is_wrong_usage() {
    for wrong in ["0", "0%", "101%", "few"] {
        let output = container_run(&["--max-unavailable", wrong], "");
        assert_eq!(output.status.code(), Some(64), "{wrong}");
    }
}
