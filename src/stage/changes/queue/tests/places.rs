//! How many of a group are away at the same time.

use std::time::Duration;

use super::*;
use crate::stage::changes::{Batch, Care, Effect};

use Effect::{Brought, Removed, Renewed, Rested};

impl Desk {
    /// One in which so many of a group may be away, and no more go when one has failed.
    fn caring(max_unavailable: &str, pause_on_failure: bool) -> Desk {
        let number = |n| NonZeroUsize::new(n).unwrap();
        let max_unavailable = Some(max_unavailable).filter(|most| !most.is_empty());
        let max_unavailable = max_unavailable.map(|most| most.parse().unwrap());
        let care = Care { max_unavailable, pause_on_failure };
        let limits = Limits { per_lane: number(9), care, ..Limits::from(number(99)) };
        Desk { queue: Queue::new(limits), now: Instant::now() }
    }

    fn put_of(&mut self, group: &str, name: &str, effect: Effect) {
        self.put_behind(group, name, effect, &[]);
    }

    fn put_behind(&mut self, group: &str, name: &str, effect: Effect, others: &[&str]) {
        let container = Container::new(id(name), "busybox".parse().unwrap());
        let change = Change::new(Action::Add, container);
        let task = Task::new(change.into(), false, "host".into(), Some(after(others)));
        let batch = Batch { group: group.into(), effect };
        self.queue.submit(task.of(Some(batch)), self.now);
    }

    /// The names of what can be begun now, and the tasks.
    fn begun(&mut self) -> (String, Vec<Task>) {
        let begun = self.all();
        let told = begun.iter().map(|Taken { task, refused, .. }| match refused {
            Some(why) => format!("{}: {why}", task.id),
            None => task.id.to_string(),
        });
        (told.collect::<Vec<_>>().join(" "), begun.into_iter().map(|taken| taken.task).collect())
    }
}

#[test]
fn no_more_are_away_than_may_be() {
    let mut desk = Desk::caring("2", false);
    for name in ["a", "b", "c", "d"] {
        desk.put_of("web", name, Renewed);
    }
    desk.put_of("db", "x", Renewed);
    desk.put_of("web", "new", Brought);
    desk.put_of("web", "old", Removed);
    let (told, begun) = desk.begun();
    assert_eq!(told, "a b x new old", "what takes nobody away waits for nobody");
    desk.end(&begun[3], None);
    assert_eq!(desk.begun().0, "");
    desk.end(&begun[1], None);
    let (told, next) = desk.begun();
    assert_eq!(told, "c");
    // One that failed has its place no more.
    desk.end(&next[0], Some(&Error::new(Kind::Refused, "no")));
    assert_eq!(desk.begun().0, "d");
}

#[test]
fn a_share_is_one_of_those_that_were_told() {
    let mut desk = Desk::caring("50%", false);
    desk.put_of("web", "a", Renewed);
    desk.put_of("web", "b", Renewed);
    desk.put_of("web", "c", Renewed);
    assert_eq!(desk.begun().0, "a");
    desk.put_of("web", "d", Brought);
    assert_eq!(desk.begun().0, "d b", "they are four by now");
    desk.put_of("web", "d", Removed);
    desk.put_of("web", "e", Brought);
    desk.put_of("web", "f", Brought);
    assert_eq!(desk.begun().0, "e f");
    for name in ["g", "h"] {
        desk.put_of("web", name, Brought);
    }
    assert_eq!(desk.begun().0, "g c h");
}

#[test]
fn what_waits_for_another_takes_no_place_meanwhile() {
    let mut desk = Desk::caring("1", false);
    desk.put_behind("all", "web", Renewed, &["db"]);
    desk.put_of("all", "db", Renewed);
    desk.put_of("all", "x", Renewed);
    assert_eq!(desk.rest(), ["db", "x", "web"]);
    // One that was called and has to wait for another after all passes its place on.
    let mut desk = Desk::caring("1", false);
    for name in ["a", "web", "x"] {
        desk.put_behind("all", name, Renewed, if name == "web" { &["db"] } else { &[] });
    }
    let taken = desk.queue.take(desk.now).unwrap().task;
    assert!(desk.queue.take(desk.now).is_none());
    desk.put_of("other", "db", Brought);
    let db = desk.queue.take(desk.now).unwrap().task;
    desk.end(&taken, None);
    assert_eq!(desk.begun().0, "x");
    desk.end(&db, None);
    assert_eq!(desk.begun().0, "");
}

#[test]
fn who_is_put_to_rest_is_away_until_it_is_brought_back() {
    let mut desk = Desk::caring("1", false);
    desk.put_of("web", "a", Rested);
    desk.put_of("web", "b", Rested);
    assert_eq!(desk.serve(Ok(())), "a");
    assert_eq!(desk.begun().0, "", "it may be brought back yet");
    desk.put_of("web", "a", Brought);
    desk.now += Duration::from_secs(5);
    let (told, start) = desk.begun();
    assert_eq!(told, "a", "this takes as long as it takes");
    desk.end(&start[0], None);
    assert_eq!(desk.serve(Ok(())), "b");
    desk.put_of("web", "c", Renewed);
    assert_eq!(desk.begun().0, "");
    desk.now = desk.queue.due().unwrap();
    assert_eq!(desk.serve(Ok(())), "c", "nobody has brought it back");
    for name in ["d", "e", "f"] {
        desk.put_of("web", name, Rested);
    }
    desk.queue.complete(true);
    assert_eq!(desk.rest(), ["d", "e", "f"], "nobody can bring them back any more");
    assert!(desk.queue.is_empty());
}

#[test]
fn who_cannot_be_brought_back_before_others_have_gone_gives_way() {
    let mut desk = Desk::caring("1", false);
    desk.put_of("web", "a", Rested);
    desk.put_of("web", "b", Renewed);
    desk.put_behind("web", "a", Brought, &["b"]);
    desk.queue.complete(true);
    assert_eq!(desk.rest(), ["a", "b", "a"]);
    assert!(desk.queue.is_empty());
}

#[test]
fn when_one_has_failed_no_more_of_its_group_are_taken_away() {
    for most in ["1", ""] {
        let mut desk = Desk::caring(most, true);
        desk.put_of("web", "a", Renewed);
        assert_eq!(desk.serve(Err("unhealthy")), "a: unhealthy");
        for (group, name, effect) in [
            ("web", "b", Renewed),
            ("web", "c", Rested),
            ("web", "d", Brought),
            ("web", "e", Removed),
            ("db", "f", Renewed),
        ] {
            desk.put_of(group, name, effect);
        }
        let held = r#"held back: "a" of its group failed before it; see to that one and run again"#;
        let told = [&format!("b: {held}"), &format!("c: {held}"), "d", "e", "f"];
        assert_eq!(desk.rest(), told, "{most:?}");
        assert!(desk.queue.is_empty());
    }
    // Those that wait hear of it, and who comes for the first time fails for itself alone.
    let mut desk = Desk::caring("2", true);
    desk.put_of("web", "new", Brought);
    assert_eq!(desk.serve(Err("no image")), "new: no image");
    for name in ["a", "b", "c", "d"] {
        desk.put_of("web", name, Renewed);
    }
    let (_, begun) = desk.begun();
    desk.end(&begun[0], Some(&Error::new(Kind::Refused, "unhealthy")));
    let all = desk.begun().0;
    assert!(all.starts_with("c: held back") && all.contains("d: held back"), "{all}");
    desk.end(&begun[1], None);
}

#[test]
fn who_was_put_to_rest_is_brought_back_whatever_failed() {
    let mut desk = Desk::caring("2", true);
    desk.put_of("web", "a", Rested);
    desk.put_of("web", "b", Renewed);
    let (_, begun) = desk.begun();
    desk.end(&begun[0], None);
    desk.end(&begun[1], Some(&Error::new(Kind::Refused, "unhealthy")));
    desk.put_of("web", "a", Renewed);
    assert_eq!(desk.rest(), ["a"]);
}

#[test]
fn what_turns_out_to_take_one_away_is_put_back_until_it_may() {
    let mut desk = Desk::caring("1", false);
    desk.put_of("web", "a", Renewed);
    desk.put_of("web", "b", Brought);
    let (told, begun) = desk.begun();
    assert_eq!(told, "a b");
    desk.queue.put_back(begun[1].clone());
    assert_eq!(desk.begun().0, "");
    desk.end(&begun[0], None);
    assert_eq!(desk.rest(), ["b"]);
    assert!(desk.queue.is_empty());
}
