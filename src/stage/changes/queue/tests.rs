mod places;

use std::num::NonZeroUsize;

use super::*;
use crate::error::Kind;
use crate::record::{Action, Change, Container};
use crate::stage::changes::Order;

/// A queue that is served by hand: each step is told as the containers in it.
struct Desk {
    queue: Queue,
    now: Instant,
}

fn id(name: &str) -> ContainerId {
    name.parse().unwrap()
}

fn ids(names: &[&str]) -> Vec<ContainerId> {
    names.iter().map(|name| id(name)).collect()
}

fn after(names: &[&str]) -> Order {
    Order { after: ids(names), ..Order::default() }
}

fn gone(names: &[&str]) -> Order {
    Order { before: ids(names), goes: true, ..Order::default() }
}

impl Desk {
    fn new(per_lane: usize) -> Desk {
        let number = |n| NonZeroUsize::new(n).unwrap();
        let limits = Limits { per_lane: number(per_lane), waiting: 5, ..Limits::from(number(99)) };
        Desk { queue: Queue::new(limits), now: Instant::now() }
    }

    fn put(&mut self, name: &str, lane: &str, order: Order) {
        let container = Container::new(id(name), "busybox".parse().unwrap());
        let change = Change::new(Action::Add, container);
        let task = Task::new(change.into(), false, lane.into(), Some(order));
        self.queue.submit(task, self.now);
    }

    /// All that can be begun now.
    fn all(&mut self) -> Vec<Taken> {
        std::iter::from_fn(|| self.queue.take(self.now)).collect()
    }

    /// The names of all that can be begun now, which goes on being worked on.
    fn names(&mut self) -> String {
        let names: Vec<String> = self.all().iter().map(|taken| taken.task.id.to_string()).collect();
        names.join(" ")
    }

    /// The next one, which is done, or why it is refused.
    fn serve(&mut self, outcome: Result<(), &str>) -> String {
        let Some(Taken { task, refused, .. }) = self.queue.take(self.now) else {
            return String::new();
        };
        let failure = outcome.err().map(|why| Error::new(Kind::Refused, why));
        let why = refused.or(failure);
        self.end(&task, why.as_ref());
        why.map_or_else(|| task.id.to_string(), |why| format!("{}: {why}", task.id))
    }

    fn end(&mut self, task: &Task, why: Option<&Error>) {
        self.queue.finished(&Done::of(task), why, self.now);
        self.queue.free(&task.id);
    }

    /// Serves everything there is, and tells it.
    fn rest(&mut self) -> Vec<String> {
        let all = std::iter::from_fn(|| Some(self.serve(Ok(()))).filter(|told| !told.is_empty()));
        all.collect()
    }
}

#[test]
fn lanes_take_turns_and_none_has_more_than_its_share() {
    let mut desk = Desk::new(2);
    for name in ["a1", "a2", "a3", "a4"] {
        desk.put(name, "a", Order::default());
    }
    for (name, lane) in [("b1", "b"), ("c1", "c")] {
        desk.put(name, lane, Order::default());
    }
    let begun = desk.all();
    let names: Vec<&str> = begun.iter().map(|taken| taken.task.id.as_str()).collect();
    assert_eq!(names, ["a1", "b1", "c1", "a2"]);
    assert!(!desk.queue.has_room());
    desk.end(&begun[3].task, None);
    assert_eq!(desk.names(), "a3");
    for taken in &begun[..3] {
        desk.end(&taken.task, None);
    }
    assert_eq!(desk.names(), "a4");
    assert!(desk.queue.has_room() && !desk.queue.is_empty());
}

#[test]
fn one_container_has_one_change_at_a_time() {
    let mut desk = Desk::new(9);
    desk.put("a", "x", Order::default());
    desk.put("a", "y", Order::default());
    let first = desk.all();
    assert_eq!(first.len(), 1);
    desk.queue.finished(&Done::of(&first[0].task), None, desk.now);
    assert!(desk.all().is_empty(), "it is not judged yet");
    desk.queue.free(&id("a"));
    assert_eq!(desk.names(), "a");
}

#[test]
fn who_depends_on_another_comes_behind_it_whichever_was_told_first() {
    let mut desk = Desk::new(9);
    desk.put("web", "a", after(&["app", "cache"]));
    desk.put("app", "b", after(&["db"]));
    desk.put("db", "a", Order::default());
    desk.put("cache", "a", Order::default());
    let begun = desk.all();
    let mut first: Vec<&str> = begun.iter().map(|taken| taken.task.id.as_str()).collect();
    first.sort_unstable();
    assert_eq!(first, ["cache", "db"]);
    for taken in &begun {
        desk.end(&taken.task, None);
    }
    assert_eq!(desk.rest(), ["app", "web"]);
    assert!(desk.queue.is_empty());
    desk.put("late", "a", after(&["db"]));
    assert_eq!(desk.rest(), ["late"]);
}

#[test]
fn what_depends_on_a_failed_one_fails_for_that_reason() {
    let mut desk = Desk::new(9);
    desk.put("web", "a", after(&["app"]));
    desk.put("app", "a", after(&["db"]));
    desk.put("db", "a", Order::default());
    desk.put("web", "a", Order { is_soft: true, ..after(&["app"]) });
    assert_eq!(desk.serve(Err("no room")), "db: no room");
    let app = "depends on \"db\": which failed: no room";
    assert_eq!(desk.serve(Ok(())), format!("app: {app}"));
    assert_eq!(desk.serve(Ok(())), format!("web: depends on \"app\": which failed: {app}"));
    assert_eq!(desk.serve(Ok(())), "web", "what runs is kept all the same");
    desk.put("db", "a", Order::default());
    desk.put("app", "a", after(&["db"]));
    assert_eq!(desk.rest(), ["db", "app"]);
    desk.queue.failed_before(&id("db"), Error::new(Kind::Refused, "no host"));
    desk.put("app", "a", after(&["db"]));
    assert_eq!(desk.rest(), ["app: depends on \"db\": which failed: no host"]);
}

#[test]
fn who_goes_goes_behind_those_that_depend_on_it() {
    let mut desk = Desk::new(9);
    for (name, before) in [("web", &["app"][..]), ("app", &["db"]), ("db", &[])] {
        desk.put(name, "a", gone(before));
    }
    assert_eq!(desk.rest(), ["web", "app", "db"]);
    desk.put("db", "a", Order { is_patient: true, ..gone(&[]) });
    assert_eq!(desk.rest(), [""; 0], "others may come that have to go first");
    desk.put("app", "a", gone(&["db"]));
    desk.queue.complete(true);
    assert_eq!(desk.serve(Err("stuck")), "app: stuck");
    assert_eq!(desk.serve(Ok(())), "db: \"app\" depends on it: and failed: stuck");
    desk.queue.complete(false);
    desk.put("db", "a", gone(&[]));
    assert_eq!(desk.rest(), ["db"], "who asks again is not refused for that");
    desk.put("db", "a", Order { is_patient: true, ..gone(&[]) });
    assert_eq!(desk.rest(), [""; 0]);
    desk.now = desk.queue.due().unwrap();
    assert_eq!(desk.rest(), ["db"], "the input has paused");
}

#[test]
fn who_is_not_heard_of_is_asked_after_and_waited_for() {
    let mut desk = Desk::new(9);
    desk.put("web", "a", after(&["db"]));
    let mut held = desk.all();
    let taken = held.pop().unwrap();
    assert_eq!(taken.ask, ids(&["db"]));
    assert!(desk.queue.hold(taken.task, &id("db"), desk.now).is_none());
    assert!(desk.all().is_empty());
    desk.put("db", "b", Order::default());
    assert_eq!(desk.rest(), ["db", "web"]);

    desk.put("web", "a", after(&["gone"]));
    for is_complete in [false, true] {
        let taken = desk.all().pop().unwrap();
        assert_eq!(taken.ask, ids(&["gone"]));
        let back = desk.queue.hold(taken.task, &id("gone"), desk.now);
        assert_eq!(back.is_some(), is_complete, "nothing more is to come");
        desk.queue.complete(true);
        if let Some(task) = back {
            desk.end(&task, Some(&unheard_of(&id("gone"))));
        }
    }
    desk.queue.complete(false);
    desk.put("web", "a", after(&["gone"]));
    let taken = desk.all().pop().unwrap();
    assert!(desk.queue.hold(taken.task, &id("gone"), desk.now).is_none());
    desk.now = desk.queue.due().unwrap();
    let taken = desk.all().pop().unwrap();
    assert!(desk.queue.hold(taken.task, &id("gone"), desk.now).is_some(), "it waited a minute");
}

#[test]
fn a_circle_is_told_and_breaks() {
    let mut desk = Desk::new(9);
    desk.put("b", "a", after(&["c"]));
    desk.put("c", "a", after(&["a"]));
    desk.put("d", "a", after(&["b"]));
    desk.put("a", "a", after(&["b"]));
    let told = desk.rest();
    let circle = r#"depends_on goes in a circle: "a" → "b" → "c" → "a""#;
    assert_eq!(told[0], format!("a: {circle}"));
    assert_eq!(told.len(), 4);
    assert!(told[1..].iter().all(|told| told.contains(circle)), "{told:#?}");
    desk.put("e", "a", after(&["e"]));
    assert_eq!(desk.rest(), [r#"e: depends_on goes in a circle: "e" → "e""#]);
    for (name, other) in [("x", "y"), ("y", "x")] {
        desk.put(name, "a", gone(&[other]));
    }
    assert_eq!(desk.rest().len(), 2);
    assert!(desk.queue.is_empty());
}
