//! Containers that go to one host together.

use super::*;

/// What becomes of the containers of one listing: the host that each goes to, or what is said.
fn list(placer: &mut Placer, action: Action, all: &[(&str, &str)]) -> Vec<String> {
    let mut changes: Vec<Change> = all.iter().map(|(id, more)| change(action, id, more)).collect();
    let outcomes: Vec<Outcome> = changes.iter_mut().map(|change| placer.change(change)).collect();
    let mut verdicts = placer.settle(true).into_iter();
    let tell = |(mut change, outcome): (Change, Outcome)| {
        let outcome = match outcome {
            Outcome::Waits => placer.carry_out(verdicts.next().unwrap(), &mut change),
            outcome => outcome,
        };
        match outcome {
            Outcome::Failed(why) | Outcome::Told(why) => why.to_string(),
            _ => change.container.host.unwrap().id,
        }
    };
    let told = changes.into_iter().zip(outcomes).map(tell).collect();
    assert_eq!(verdicts.next(), None);
    told
}

fn new(hosts: &[&str], all: &[(&str, &str)]) -> Vec<String> {
    list(&mut placer(hosts), Action::Add, all)
}

/// A host that has room for so many.
fn room(id: &str, containers: u32) -> String {
    format!(r#"{{"id":"{id}","url":"unix:///{id}","capacity":{{"containers":{containers}}}}}"#)
}

const WITH_WEB: &str = r#","requires":{"affinity":["container=web"]}"#;
const WITH_DB: &str = r#","requires":{"affinity":["container=db"]}"#;
const NET: &str = r#","private_network":{"name":"net-1","alias":"x"}"#;

#[test]
fn those_who_ask_for_each_other_go_where_there_is_room_for_all() {
    let (one, two, three) = (room("one", 1), room("two", 2), room("three", 3));
    let pair = [("web", WITH_DB), ("db", WITH_WEB)];
    assert_eq!(new(&[&one, &two], &pair), ["two", "two"]);
    let cache = r#","requires":{"affinity":["container=web"]}"#;
    let chain = r#","requires":{"affinity":["container=cache"]}"#;
    let three_of_them = [("web", WITH_DB), ("db", chain), ("cache", cache)];
    assert_eq!(new(&[&two, &three], &three_of_them), ["three"; 3]);
    for strategy in [Strategy::Spread, Strategy::Binpack, Strategy::Random, Strategy::RoundRobin] {
        let how = How { strategy, ..How::default() };
        let mut placer = placer_of(&[&one, &two], how);
        assert_eq!(list(&mut placer, Action::Add, &pair), ["two", "two"], "{strategy:?}");
    }
    // Who is waited for and does not wait goes where it fits, also alone.
    assert_eq!(
        new(&[&one], &[("db", WITH_WEB), ("web", "")]),
        ["no host fits: 1 lacks containers", "one"]
    );
    let binpack = How { strategy: Strategy::Binpack, ..How::default() };
    let follower = [("db", WITH_WEB), ("web", "")];
    assert_eq!(list(&mut placer_of(&[A, &one], binpack), Action::Add, &follower), ["a", "a"]);
}

#[test]
fn those_who_cannot_be_together_fail_with_the_reason() {
    let one = room("one", 1);
    assert_eq!(
        new(&[&one, &room("none", 0)], &[("web", WITH_DB), ("db", WITH_WEB), ("x", "")]),
        [
            "it must be with db: no host fits: 2 lack containers",
            "it must be with web: no host fits: 2 lack containers",
            "one",
        ]
    );
    let refuses = r#","requires":{"affinity":["container=web"],"anti_affinity":["container=web"]}"#;
    let said = new(&[A], &[("web", WITH_DB), ("db", refuses)]);
    assert_eq!(said[0], "it must be with db: no host fits: db must not be with web, and must be");
    let port = |more: &str| format!(r#"{more},"ports":["80:80"]"#);
    let said = new(&[A, B], &[("web", &port(WITH_DB)), ("db", &port(WITH_WEB))]);
    assert_eq!(said[1], "it must be with web: no host fits: web and db both want port 80 of it");
    // A third one takes no part in it.
    let said = new(&[A], &[("web", WITH_DB), ("db", r#","requires":{"affinity":["label=no"]}"#)]);
    assert_eq!(said[0], "no host fits: 1 is without container db");
    assert_eq!(said[1], "no host fits: 1 is without label no");
}

#[test]
fn behind_the_listing_the_second_of_them_is_placed_and_then_the_first() {
    let (one, two) = (room("one", 1), room("two", 2));
    let mut placer = placer(&[&one, &two]);
    placer.settle(true);
    let error = failure(&mut placer, change(Action::Add, "web", WITH_DB));
    assert_eq!(error.to_string(), "no host fits: 2 are without container db");
    assert_eq!(place(&mut placer, Action::Add, "db", WITH_WEB).unwrap(), "two");
    assert_eq!(place(&mut placer, Action::Add, "web", WITH_DB).unwrap(), "two");
    // Who is not wanted any more is not waited for.
    failure(&mut placer, change(Action::Add, "a", r#","requires":{"affinity":["container=b"]}"#));
    let _ = placer.change(&mut change(Action::Remove, "a", ""));
    failure(&mut placer, change(Action::Add, "b", r#","requires":{"affinity":["container=a"]}"#));
}

#[test]
fn a_private_network_is_on_one_host() {
    let (two, three) = (room("two", 2), room("three", 3));
    let mut placer = placer(&[&two, &three]);
    let all = [("web", NET), ("db", NET), ("x", ""), ("cache", NET)];
    let at = list(&mut placer, Action::Add, &all);
    assert_eq!(at, ["three", "three", "two", "three"]);
    let error = failure(&mut placer, change(Action::Add, "more", NET));
    let told = "no host fits: 1 is without private network net-1, 1 lacks containers";
    assert_eq!(error.to_string(), told);
    let other = NET.replace("net-1", "net-2");
    assert_eq!(place(&mut placer, Action::Add, "other", &other).unwrap(), "two");
    for id in ["web", "db", "cache"] {
        let gone = placer.change(&mut change(Action::Remove, id, NET));
        assert_eq!(gone, Outcome::Done);
    }
    assert_eq!(place(&mut placer, Action::Add, "more", NET).unwrap(), "three");
}

#[test]
fn where_no_host_has_room_for_a_private_network_as_many_start_as_can() {
    let one = room("one", 1);
    let none = r#","requires":{"affinity":["container=nobody"]}"#;
    let at = new(&[&one, &room("two", 1)], &[("web", NET), ("db", NET)]);
    assert_eq!(at[0], "one");
    assert_eq!(at[1], "no host fits: 1 is without private network net-1, 1 lacks containers");
    let at = new(&[A], &[("db", &format!("{NET}{none}")), ("web", NET)]);
    assert_eq!(at, ["no host fits: 1 is without container nobody", "a"]);
}

#[test]
fn who_is_together_leaves_a_host_together() {
    let drain = r#"{"id":"old","url":"unix:///old","state":"drain"}"#;
    let (one, two) = (room("one", 1), room("two", 2));
    let old = r#","host":{"id":"old"}"#;
    for (web, db) in [(NET, NET), (WITH_DB, WITH_WEB), ("", WITH_WEB), (WITH_DB, "")] {
        let both = [("web", &*format!("{web}{old}")), ("db", &*format!("{db}{old}"))];
        let at = list(&mut placer(&[drain, &two]), Action::Keep, &both);
        assert_eq!(at, ["two", "two"]);
        if web == NET || db == WITH_WEB && web == WITH_DB {
            let at = list(&mut placer(&[drain, &one, &two]), Action::Keep, &both);
            assert_eq!(at, ["two", "two"], "{web} {db}");
        }
    }
    let at = list(
        &mut placer(&[drain, &one]),
        Action::Keep,
        &[("web", &format!("{WITH_DB}{old}")), ("db", &format!("{WITH_WEB}{old}"))],
    );
    let stuck = "it cannot leave host \"old\": it must be with db: no host fits: 1 drains, 1 lacks containers";
    assert!(at[0].starts_with(stuck), "{at:?}");
}

#[test]
fn evening_out_takes_no_network_apart_and_puts_together_one_that_is() {
    let how = How { moves: Some(10), strategy: Strategy::Spread, ..How::default() };
    let on = |host: &str| format!(r#"{NET},"host":{{"id":"{host}"}}"#);
    let three = |hosts: [&str; 3]| {
        let all: Vec<(String, String)> =
            hosts.iter().enumerate().map(|(at, host)| (format!("c{at}"), on(host))).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(id, more)| (&**id, &**more)).collect();
        list(&mut placer_of(&[A, B], how), Action::Keep, &all)
    };
    assert_eq!(three(["a", "a", "a"]), ["a"; 3]);
    let at = three(["a", "a", "b"]);
    assert!(at.iter().all(|host| *host == at[0]), "{at:?}");
}
