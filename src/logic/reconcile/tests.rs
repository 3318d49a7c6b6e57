//! The loop on every order of events that has been thought of.

use std::time::Duration;

use super::*;

const SETTLE: Duration = Duration::from_secs(30);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn container(id: &str, extra: &str) -> Container {
    let text = format!(r#"{{"id":"{id}","image":"busybox","owner":"edge"{extra}}}"#);
    serde_json::from_str(&text).unwrap()
}

fn running(id: &str) -> Container {
    container(id, r#","state":"running""#)
}

/// The loop, with what comes out of it in a list.
struct Loop(Reconciler);

impl Loop {
    fn out<T>(&mut self, act: impl FnOnce(&mut Reconciler, Sink) -> T) -> Vec<Out<'static>> {
        let mut out = Vec::new();
        act(&mut self.0, &mut |piece| {
            out.push(match piece {
                Out::Plain(action, text) => {
                    Out::Change(Change::new(action, serde_json::from_str(text).unwrap()))
                }
                Out::Change(change) => Out::Change(change),
                Out::Complete(count) => Out::Complete(count),
                Out::Refused(why) => Out::Refused(why),
            });
        });
        out
    }

    fn want(&mut self, container: Container, now: Duration) -> Vec<Out<'static>> {
        self.out(|inner, out| inner.want(&container, now, out))
    }

    fn see(&mut self, container: Container, now: Duration) -> Vec<Out<'static>> {
        self.out(|inner, out| inner.see(&container, now, out))
    }

    fn wanted_checkpoint(&mut self, now: Duration) -> Vec<Out<'static>> {
        self.out(|inner, out| inner.wanted_checkpoint(Listing::Whole, now, out))
    }

    fn wanted_in_part(&mut self, now: Duration) -> Vec<Out<'static>> {
        self.out(|inner, out| inner.wanted_checkpoint(Listing::Partial, now, out))
    }

    fn current_checkpoint(&mut self, now: Duration) -> Vec<Out<'static>> {
        self.out(|inner, out| inner.current_checkpoint(now, out))
    }

    fn tick(&mut self, now: Duration) -> (Vec<Out<'static>>, Option<Duration>) {
        (self.out(|inner, out| inner.tick(now, out)), self.0.next_tick())
    }
}

fn reconciler() -> Loop {
    Loop(Reconciler::new(Policy {
        settle: SETTLE,
        max_remove: MaxRemove::Percent(50),
        force: false,
        owner: None,
        ignored: Default::default(),
    }))
}

fn told(out: &[Out]) -> Vec<String> {
    let word = |out: &Out| match out {
        Out::Change(change) if change.has_failed() => format!("failed {}", change.container.id),
        Out::Change(change) => format!("{} {}", change.action, change.container.id),
        Out::Complete(count) => format!("complete {count}"),
        Out::Refused(_) => "refused".to_owned(),
        Out::Plain(..) => unreachable!("read above"),
    };
    out.iter().map(word).collect()
}

/// A loop in which the given containers are wanted and those are there, after both listings.
fn listed(wanted: &[Container], current: &[Container]) -> (Loop, Vec<String>) {
    let mut loop_ = reconciler();
    for c in current {
        assert!(loop_.see(c.clone(), seconds(0)).is_empty());
    }
    assert!(loop_.current_checkpoint(seconds(0)).is_empty());
    for c in wanted {
        assert!(loop_.want(c.clone(), seconds(0)).is_empty());
    }
    let out = told(&loop_.wanted_checkpoint(seconds(0)));
    (loop_, out)
}

#[test]
fn a_full_comparison_gives_one_change_for_each() {
    let other = container("c", r#","state":"running","env":["A=1"]"#);
    let stopped = container("d", r#","state":"exited""#);
    let wanted = ["a", "b", "c", "d"].map(|id| container(id, ""));
    let (_, out) = listed(&wanted, &[running("a"), running("x"), other, stopped]);
    assert_eq!(out, ["remove x", "keep a", "replace c", "add b", "add d", "complete 5"]);
}

#[test]
fn the_order_in_which_the_sides_come_does_not_matter() {
    let mut loop_ = reconciler();
    loop_.want(container("a", ""), seconds(0));
    assert!(loop_.wanted_checkpoint(seconds(0)).is_empty());
    loop_.see(running("b"), seconds(0));
    let out = loop_.current_checkpoint(seconds(0));
    assert_eq!(told(&out), ["remove b", "add a", "complete 2"]);
}

#[test]
fn without_a_checkpoint_nothing_is_removed() {
    let mut loop_ = reconciler();
    loop_.see(running("a"), seconds(0));
    loop_.current_checkpoint(seconds(0));
    loop_.want(container("b", ""), seconds(0));
    assert_eq!(told(&loop_.wanted_in_part(seconds(0))), ["add b"]);
    loop_.want(container("b", ""), seconds(1));
    assert_eq!(told(&loop_.want(container("c", ""), seconds(1))), ["add c"], "it goes on");
    loop_.want(container("b", ""), seconds(2));
    let whole = told(&loop_.wanted_checkpoint(seconds(2)));
    assert_eq!(whole, ["remove a", "add c", "add b", "complete 3"]);
}

#[test]
fn a_listing_that_removes_too_much_is_refused() {
    let there = ["a", "b", "c", "d"].map(running);
    let (_, out) = listed(&[container("a", "")], &there);
    assert_eq!(out, ["keep a", "refused"]);
    let (_, out) = listed(&[], &there[..3]);
    assert_eq!(out, ["remove a", "remove b", "remove c", "complete 3"]);
    let (mut loop_, _) = listed(&[container("a", "")], &there);
    assert!(loop_.see(running("b"), seconds(1)).is_empty(), "no way round the refusal");
}

#[test]
fn what_is_still_on_its_way_counts_and_goes_by_a_listing_too() {
    let on_their_way = |count: usize| {
        let (mut loop_, _) = listed(&[container("x", "")], &[running("x")]);
        for id in &["a", "b", "c", "d"][..count] {
            loop_.want(container(id, ""), seconds(1));
        }
        loop_.wanted_in_part(seconds(1));
        loop_.want(container("x", ""), seconds(2));
        let out = told(&loop_.wanted_checkpoint(seconds(2)));
        let shown = told(&loop_.see(running("a"), seconds(3)));
        (out, shown)
    };
    let (out, shown) = on_their_way(1);
    assert_eq!((out, shown), (vec!["keep x".into(), "complete 1".into()], vec!["remove a".into()]));
    let (out, shown) = on_their_way(4);
    assert_eq!((out, shown), (vec!["keep x".into(), "refused".into()], vec![]));
}

#[test]
fn what_is_foreign_is_left_alone() {
    let mut foreign = running("a");
    foreign.owner = None;
    let (_, out) = listed(&[container("a", "")], &[foreign.clone()]);
    assert_eq!(out, ["failed a", "complete 1"]);
    let (_, out) = listed(&[], &[foreign]);
    assert_eq!(out, ["complete 0"]);
}

#[test]
fn nothing_is_asked_for_twice_until_it_is_overdue_and_then_ever_later() {
    let (mut loop_, out) = listed(&[container("a", "")], &[]);
    assert_eq!(out, ["add a", "complete 1"]);
    assert!(loop_.tick(seconds(29)).0.is_empty());
    assert_eq!(loop_.tick(seconds(29)).1, Some(seconds(30)));
    assert_eq!(told(&loop_.tick(seconds(30)).0), ["add a"]);
    assert!(loop_.tick(seconds(89)).0.is_empty());
    assert_eq!(told(&loop_.tick(seconds(90)).0), ["add a"]);
    assert!(loop_.see(container("a", r#","state":"created""#), seconds(91)).is_empty());
    assert!(loop_.see(running("a"), seconds(92)).is_empty());
    assert_eq!(loop_.tick(seconds(5000)), (vec![], None));
}

#[test]
fn a_container_that_is_killed_comes_back_and_one_that_keeps_dying_comes_back_later() {
    let (mut loop_, _) = listed(&[container("a", "")], &[running("a")]);
    let dead = || container("a", r#","state":"exited""#);
    assert_eq!(told(&loop_.see(dead(), seconds(10))), ["add a"]);
    loop_.see(running("a"), seconds(11));
    let (mut now, mut waits) = (seconds(11), Vec::new());
    for _ in 0..5 {
        let out = loop_.see(dead(), now);
        let before = now;
        if out.is_empty() {
            now = loop_.tick(now).1.unwrap();
            assert_eq!(told(&loop_.tick(now).0), ["add a"]);
        }
        waits.push((now - before).as_secs());
        loop_.see(running("a"), now);
    }
    assert!(waits.is_sorted() && waits[4] >= 8, "{waits:?}");
    let mut absent = running("a");
    absent.state = Some(State::Absent);
    assert_eq!(told(&loop_.see(absent, now + CALM)), ["add a"]);
}

#[test]
fn what_is_wanted_no_more_goes_even_when_it_shows_late() {
    let (mut loop_, _) = listed(&[container("a", "")], &[]);
    let absent = container("a", r#","state":"absent""#);
    assert!(loop_.want(absent, seconds(1)).is_empty());
    assert_eq!(told(&loop_.see(running("a"), seconds(2))), ["remove a"]);
    let gone = container("a", r#","state":"absent""#);
    assert!(loop_.see(gone, seconds(3)).is_empty());
    assert_eq!(loop_.tick(seconds(9999)), (vec![], None));
}

/// One that runs, with the engine's id.
fn numbered(id: &str, docker: u32, extra: &str) -> Container {
    container(id, &format!(r#","state":"running","docker":{{"id":"{docker}"}}{extra}"#))
}

/// The engine's ids of what is to be removed.
fn removals(out: &[Out]) -> Vec<String> {
    let id = |out: &Out| match out {
        Out::Change(Change { action: Action::Remove, container, .. }) => {
            container.docker.as_ref().map_or("none".to_owned(), |docker| docker.id.clone())
        }
        other => panic!("{other:?}"),
    };
    out.iter().map(id).collect()
}

#[test]
fn what_two_hosts_tell_of_is_one_container() {
    let on = |docker: u32, host: &str| {
        numbered("a", docker, &format!(r#","host":{{"id":"{host}","url":"unix:///{host}"}}"#))
    };
    let all = [on(1, "north"), on(1, "south"), on(1, "west")];
    let (mut loop_, out) = listed(&[container("a", "")], &all);
    assert_eq!(out, ["keep a", "complete 1"]);
    assert!(loop_.see(on(1, "north"), seconds(1)).is_empty());
    assert!(loop_.current_checkpoint(seconds(1)).is_empty());
    assert_eq!(removals(&loop_.want(container("a", r#","state":"absent""#), seconds(2))), ["1"]);
    let (_, out) = listed(&[container("a", "")], &[on(1, "north"), on(2, "south")]);
    assert_eq!(out, ["remove a", "keep a", "complete 2"]);
}

#[test]
fn a_removal_is_of_the_container_that_was_seen() {
    let (mut loop_, _) = listed(&[container("a", "")], &[numbered("a", 1, "")]);
    let absent = || container("a", r#","state":"absent""#);
    assert_eq!(removals(&loop_.want(absent(), seconds(1))), ["1"]);
    assert_eq!(removals(&loop_.tick(seconds(31)).0), ["1"]);
    // It is gone and another one is there, which nobody has asked to be removed.
    assert!(loop_.see(absent(), seconds(32)).is_empty());
    assert!(loop_.see(numbered("a", 2, ""), seconds(33)).is_empty());
    assert_eq!(loop_.tick(seconds(9999)), (vec![], None));
    // One that is wanted again stays, whatever is on its way to the one before it.
    assert!(loop_.want(container("a", ""), seconds(10_000)).is_empty());
    assert_eq!(removals(&loop_.want(absent(), seconds(10_001))), ["2"]);
    assert!(loop_.want(container("a", ""), seconds(10_002)).is_empty());
    assert_eq!(told(&loop_.see(absent(), seconds(10_003))), ["add a"]);
    assert!(loop_.see(numbered("a", 3, ""), seconds(10_004)).is_empty());
    assert!(loop_.tick(seconds(10_100)).0.is_empty());
}

#[test]
fn what_is_wished_away_while_it_is_replaced_goes_when_the_new_one_shows() {
    let absent = || container("a", r#","state":"absent""#);
    for is_gone_first in [false, true] {
        let (mut loop_, _) = listed(&[container("a", "")], &[numbered("a", 1, "")]);
        let other = container("a", r#","env":["A=1"]"#);
        assert_eq!(told(&loop_.want(other, seconds(1))), ["replace a"]);
        assert_eq!(removals(&loop_.want(absent(), seconds(2))), ["1"]);
        // It is slow, and the removal, which is not of the new one, is asked for again meanwhile.
        assert_eq!(removals(&loop_.tick(seconds(62)).0), ["1"]);
        if is_gone_first {
            assert!(loop_.see(absent(), seconds(63)).is_empty());
        }
        let new = numbered("a", 2, r#","env":["A=1"]"#);
        let mut out = loop_.see(new, seconds(64));
        while out.is_empty() {
            let next = loop_.0.next_tick().expect("it is looked at again");
            out = loop_.tick(next).0;
        }
        assert_eq!(removals(&out), ["2"]);
        assert!(loop_.see(absent(), seconds(500)).is_empty());
        assert!(loop_.see(numbered("a", 3, ""), seconds(501)).is_empty(), "that one is another's");
    }
}

#[test]
fn a_wish_that_changes_in_flight_is_asked_for_at_once() {
    let (mut loop_, _) = listed(&[container("a", "")], &[]);
    let other = container("a", r#","env":["A=1"]"#);
    assert_eq!(told(&loop_.want(other.clone(), seconds(1))), ["add a"]);
    assert!(loop_.want(other, seconds(2)).is_empty());
    assert!(loop_.see(running("a"), seconds(3)).is_empty(), "the first wish is no answer");
}

#[test]
fn a_restart_by_hand_is_seen() {
    let at = |time: &str| {
        let docker = format!(r#","state":"running","docker":{{"id":"0","started_at":"{time}"}}"#);
        container("a", &docker)
    };
    let (mut loop_, _) = listed(&[container("a", "")], &[at("2026-01-01T00:00:00Z")]);
    assert!(loop_.see(at("2026-01-01T00:00:00Z"), seconds(1)).is_empty());
    assert_eq!(told(&loop_.see(at("2026-01-01T00:00:05Z"), seconds(2))), ["keep a"]);
}

#[test]
fn another_lease_is_told_to_those_who_go_by_it() {
    let leased = |address: &str| {
        let lease = format!(r#","lease":{{"key":"om2pqvn3u6qa2","address":"{address}"}}"#);
        container("a", &lease)
    };
    let (mut loop_, _) = listed(&[leased("fd00::a")], &[running("a")]);
    assert!(loop_.want(leased("fd00::a"), seconds(1)).is_empty());
    let out = loop_.want(leased("fd00::b"), seconds(2));
    assert_eq!(told(&out), ["keep a"]);
    let Out::Change(change) = &out[0] else { panic!("{out:?}") };
    assert_eq!(change.container.lease, leased("fd00::b").lease);
    assert_eq!((change.why.len(), change.why[0].field.as_str()), (1, "lease"));
    assert!(loop_.want(leased("fd00::b"), seconds(3)).is_empty());
    assert_eq!(told(&loop_.see(container("a", r#","state":"exited""#), seconds(4))), ["add a"]);
    assert!(loop_.want(leased("fd00::c"), seconds(5)).is_empty(), "it is being started");
}

#[test]
fn without_anyone_to_see_changes_are_taken_for_done() {
    let mut loop_ = reconciler();
    loop_.current_checkpoint(seconds(0));
    loop_.0.stop_observing();
    loop_.want(container("a", ""), seconds(0));
    assert_eq!(told(&loop_.wanted_checkpoint(seconds(0))), ["add a", "complete 1"]);
    assert_eq!(loop_.tick(seconds(9999)), (vec![], None));
    loop_.want(container("a", ""), seconds(1));
    assert_eq!(told(&loop_.wanted_checkpoint(seconds(1))), ["keep a", "complete 1"]);
    let absent = || container("a", r#","state":"absent""#);
    assert_eq!(told(&loop_.want(absent(), seconds(2))), ["remove a"]);
    // Where a wish was written down from another engine, its container's id there means nothing here.
    assert_eq!(told(&loop_.want(numbered("a", 7, ""), seconds(3))), ["add a"]);
    assert_eq!(removals(&loop_.want(absent(), seconds(4))), ["none"]);
}

/// All changes of one full comparison, with no guard.
fn compared(wanted: &[Container], current: &[Container]) -> Vec<Change> {
    let mut loop_ = reconciler();
    loop_.0.policy.force = true;
    current.iter().for_each(|c| assert!(loop_.see(c.clone(), seconds(0)).is_empty()));
    loop_.current_checkpoint(seconds(0));
    wanted.iter().for_each(|c| assert!(loop_.want(c.clone(), seconds(0)).is_empty()));
    let out = loop_.wanted_checkpoint(seconds(0));
    let changes = out.into_iter().filter_map(|out| match out {
        Out::Change(change) => Some(change),
        _ => None,
    });
    changes.collect()
}

/// What is there once the changes are made.
fn applied(current: &[Container], changes: &[Change]) -> Vec<Container> {
    let mut there: std::collections::BTreeMap<ContainerId, Container> =
        current.iter().map(|c| (c.id.clone(), c.clone())).collect();
    for Change { action, container, .. } in changes {
        match action {
            Action::Remove => drop(there.remove(&container.id)),
            Action::Add => {
                assert!(there.insert(container.id.clone(), (**container).clone()).is_none())
            }
            Action::Replace => {
                assert!(there.insert(container.id.clone(), (**container).clone()).is_some())
            }
            Action::Keep => assert!(there.contains_key(&container.id)),
            other => panic!("{other} is nobody's but the operator's"),
        }
    }
    there.into_values().collect()
}

/// A part of a fleet, some of it changed: which and how is drawn.
fn some_of(fleet: &[Container], draw: u64) -> Vec<Container> {
    let mut random = crate::random::Random::seeded(draw);
    let mut some = Vec::new();
    for container in fleet {
        let mut container = container.clone();
        match random.below(5) {
            0 => continue,
            1 => container.env.push(format!("DRAWN={draw}").parse().unwrap()),
            2 => container.ports.reverse(),
            _ => (),
        }
        some.push(container);
    }
    some
}

proptest::proptest! {
    #[test]
    fn a_fleet_compared_with_itself_stays(seed in 0u64..1000, draw: u64) {
        let fleet: Vec<Container> = fleet(seed);
        let some = some_of(&fleet, draw);
        let changes = compared(&some, &some);
        proptest::prop_assert_eq!(changes.len(), some.len());
        proptest::prop_assert!(changes.iter().all(|change| change.action == Action::Keep));
    }

    #[test]
    fn changes_that_are_made_lead_to_what_is_wanted(seed in 0u64..1000, a: u64, b: u64) {
        let fleet = fleet(seed);
        let (current, wanted) = (some_of(&fleet, a), some_of(&fleet, b));
        let changes = compared(&wanted, &current);
        let there = applied(&current, &changes);
        proptest::prop_assert_eq!(there.len(), wanted.len());
        let again = compared(&wanted, &there);
        proptest::prop_assert!(again.iter().all(|change| change.action == Action::Keep));
        let names = |action| -> std::collections::BTreeSet<_> {
            changes.iter().filter(|c| c.action == action).map(|c| c.container.id.clone()).collect()
        };
        let ids = |of: &[Container]| -> std::collections::BTreeSet<_> {
            of.iter().map(|c| c.id.clone()).collect()
        };
        let (old, new) = (ids(&current), ids(&wanted));
        proptest::prop_assert_eq!(names(Action::Remove), &old - &new);
        proptest::prop_assert_eq!(names(Action::Add), &new - &old);
    }
}

/// A fleet of this pipe's own.
fn fleet(seed: u64) -> Vec<Container> {
    let ours = |mut container: Container| {
        container.owner = Some("edge".parse().unwrap());
        container.state = None;
        container
    };
    crate::logic::fleet::Fleet::seeded(seed).take(30).map(ours).collect()
}

#[test]
fn a_tag_is_there_under_whichever_digest_it_was_pinned_to() {
    let image = |text: &str, more: &str| {
        let text = format!(r#"{{"id":"a","image":"{text}","owner":"edge"{more}}}"#);
        serde_json::from_str::<Container>(&text).unwrap()
    };
    let (one, other) = (format!("b:1@sha256:{:064}", 1), format!("b:1@sha256:{:064}", 2));
    let there = |text: &str| image(text, r#","state":"running""#);
    let (mut loop_, out) = listed(&[image("b:1", "")], &[there(&one)]);
    assert_eq!(out, ["keep a", "complete 1"]);
    // Another stage has pinned it to another one, which is what is wanted just as well.
    assert!(loop_.see(there(&other), seconds(1)).is_empty());
    assert!(loop_.want(image("b:1", ""), seconds(2)).is_empty());
    // Who asks for a digest gets that one, also where the tag was there under both.
    assert_eq!(told(&loop_.want(image(&one, ""), seconds(3))), ["replace a"]);
    assert!(loop_.see(there(&one), seconds(4)).is_empty());
    assert_eq!(told(&loop_.want(image("b:2", ""), seconds(5))), ["replace a"]);
}

#[test]
fn what_is_pinned_on_its_way_has_arrived_and_counts_as_asked_for() {
    let image = |text: &str, state: &str| {
        let text = format!(r#"{{"id":"a","image":"{text}","owner":"edge"{state}}}"#);
        serde_json::from_str::<Container>(&text).unwrap()
    };
    let pinned = format!("b:1@sha256:{:064}", 1);
    let wanted = || image("b:1", "");
    let (mut loop_, out) = listed(&[wanted()], &[]);
    assert_eq!(out, ["add a", "complete 1"]);
    assert!(loop_.see(image(&pinned, r#","state":"running""#), seconds(1)).is_empty());
    // One that keeps ending is asked for later each time, however often it is wanted meanwhile.
    assert_eq!(told(&loop_.see(image(&pinned, r#","state":"exited""#), seconds(2))), ["add a"]);
    assert!(loop_.see(image(&pinned, r#","state":"running""#), seconds(2)).is_empty());
    assert!(loop_.want(wanted(), seconds(2)).is_empty());
    assert!(loop_.see(image(&pinned, r#","state":"exited""#), seconds(2)).is_empty());
}
