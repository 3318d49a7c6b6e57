use std::path::PathBuf;

use super::*;
use crate::record::{Key, Question};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("leasepipe-ledger-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ledger.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn entry(container: &str, address: &str, since: i64) -> Entry {
    let owner: Owner = "edge".parse().unwrap();
    let lease = LeaseRef {
        key: Key::derive("test", &[container.as_bytes()]),
        address: "fd00::1".parse().unwrap(),
        prefix_len: None,
        duid: "00:03:00:01:aa".parse().ok(),
        iaid: Some(u32::MAX),
        hostname: "alpha".parse().ok(),
        rest: Default::default(),
    };
    let binding = Binding {
        lease,
        container: container.parse().unwrap(),
        address: address.parse().unwrap(),
        duid: "00:04:01".parse().ok(),
        mac: "02:00:00:00:00:01".parse().ok(),
        host: Some(HostRef { id: "local".into(), url: None, tls: None, rest: Default::default() }),
        owner: Some(owner.clone()),
        since: at(since),
        until: None,
        rest: Default::default(),
    };
    Entry { owner, binding, docker_id: Some("abc".into()) }
}

fn rows(ledger: &Ledger) -> Vec<(String, String, Option<String>)> {
    let sql = "SELECT container_address, bound_since, bound_until FROM bindings ORDER BY id";
    let mut query = ledger.db.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_binding_that_says_the_same_goes_on() {
    let scratch = Scratch::new("same");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    assert_eq!(ledger.bind(&entry("a", "fd01::1", 10)).unwrap().since, at(10));
    for _ in 0..3 {
        let mut ledger = Ledger::open(&scratch.file()).unwrap();
        let again = ledger.bind(&entry("a", "fd01::1", 20)).unwrap();
        assert_eq!(again, Bound { since: at(10), instead_of: None });
    }
    assert_eq!(rows(&ledger), [("fd01::1".into(), "1970-01-01T00:00:00.010Z".into(), None)]);
}

#[test]
fn whatever_changes_closes_one_binding_and_opens_another() {
    let scratch = Scratch::new("changes");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    ledger.bind(&entry("a", "fd01::1", 10)).unwrap();
    let moved = ledger.bind(&entry("a", "fd01::2", 20)).unwrap();
    let closed = moved.instead_of.unwrap();
    assert_eq!((closed.address.to_string(), closed.until), ("fd01::1".into(), Some(at(20))));
    let mut expected = entry("a", "fd01::1", 10).binding;
    expected.until = Some(at(20));
    assert_eq!(closed, expected);
    let mut other = entry("a", "fd01::2", 30);
    other.docker_id = Some("def".into());
    assert!(ledger.bind(&other).unwrap().instead_of.is_some());
    assert_eq!(rows(&ledger).len(), 3);
    assert_eq!(ledger.bound(None).unwrap().len(), 1);
}

#[test]
fn what_another_has_made_since_is_followed_and_not_overlapped() {
    let scratch = Scratch::new("followed");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    ledger.bind(&entry("a", "fd01::1", 20)).unwrap();
    let bound = ledger.bind(&entry("a", "fd01::2", 10)).unwrap();
    assert_eq!((bound.since, bound.instead_of.unwrap().until), (at(20), Some(at(20))));
    let since: Vec<String> = rows(&ledger).into_iter().map(|(_, since, _)| since).collect();
    assert_eq!(since[0], since[1]);
}

#[test]
fn a_binding_is_closed_once_and_never_before_it_began() {
    let scratch = Scratch::new("closed");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    ledger.bind(&entry("a", "fd01::1", 100)).unwrap();
    let (edge, a) = ("edge".parse().unwrap(), "a".parse().unwrap());
    let other = "other".parse().unwrap();
    assert_eq!(ledger.unbind(&other, &a, at(50)).unwrap(), None);
    assert_eq!(ledger.unbind(&edge, &a, at(50)).unwrap().unwrap().until, Some(at(100)));
    assert_eq!(ledger.unbind(&edge, &a, at(60)).unwrap(), None);
    assert_eq!(ledger.bound(Some(&edge)).unwrap(), []);
}

#[test]
fn owners_are_kept_apart() {
    let scratch = Scratch::new("owners");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    ledger.bind(&entry("a", "fd01::1", 10)).unwrap();
    let mut other = entry("a", "fd01::2", 10);
    other.owner = "other".parse().unwrap();
    assert_eq!(ledger.bind(&other).unwrap().instead_of, None);
    assert_eq!(ledger.bound(Some(&other.owner)).unwrap().len(), 1);
    assert_eq!(ledger.bound(None).unwrap().len(), 2);
}

#[test]
fn a_file_that_is_no_ledger_is_left_as_it_is() {
    let scratch = Scratch::new("foreign");
    std::fs::write(scratch.file(), "these are my notes, not a database, and there are many")
        .unwrap();
    let before = std::fs::read(scratch.file()).unwrap();
    assert_eq!(Ledger::open(&scratch.file()).unwrap_err().kind(), Kind::BadInput);
    assert_eq!(std::fs::read(scratch.file()).unwrap(), before);

    let foreign = scratch.0.join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    let refused = Ledger::open(&foreign).unwrap_err();
    assert!(refused.to_string().contains("another program's"), "{refused}");
    assert_eq!(std::fs::read(&foreign).unwrap(), before);
}

#[test]
fn a_ledger_of_a_later_version_is_left_as_it_is() {
    let scratch = Scratch::new("later");
    drop(Ledger::open(&scratch.file()).unwrap());
    let db = Connection::open(scratch.file()).unwrap();
    db.pragma_update(None, "user_version", FORMS.len() as i64 + 1).unwrap();
    let refused = Ledger::open(&scratch.file()).unwrap_err();
    assert_eq!(refused.kind(), Kind::BadInput);
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

#[test]
fn the_directory_is_made_but_not_a_path_of_them() {
    let scratch = Scratch::new("directory");
    assert!(Ledger::open(&scratch.0.join("a/ledger.db")).is_ok());
    assert_eq!(Ledger::open(&scratch.0.join("b/c/ledger.db")).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn two_writers_take_turns() {
    let scratch = Scratch::new("turns");
    let open = || Ledger::open(&scratch.file()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                let mut ledger = open();
                for count in 0..20 {
                    let name = format!("c{writer}-{count}");
                    ledger.bind(&entry(&name, "fd01::1", 10)).unwrap();
                }
            });
        }
    });
    assert_eq!(open().bound(None).unwrap().len(), 80);
}

/// A ledger that was written by the first version, with four bindings, one of them ended twice over.
const FIRST_FORM: &[u8] = include_bytes!("../../../tests/data/ledger/version-1.db");

fn all(ledger: &Ledger, question: &Question) -> Vec<Binding> {
    let mut found = Vec::new();
    let asked = ledger.ask(question, &mut |binding| {
        found.push(binding);
        Ok(())
    });
    asked.unwrap();
    found
}

fn pragma(ledger: &Ledger, name: &str) -> i64 {
    ledger.db.pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn a_ledger_of_the_first_form_is_brought_up_to_date() {
    let scratch = Scratch::new("migration");
    std::fs::write(scratch.file(), FIRST_FORM).unwrap();
    let before = all(&Ledger::open_to_ask(&scratch.file()).unwrap(), &Question::default());
    assert_eq!(before.len(), 4);
    assert_eq!(std::fs::read(scratch.file()).unwrap(), FIRST_FORM, "a question changes nothing");

    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    assert_eq!(pragma(&ledger, "user_version"), 2);
    assert_eq!(all(&ledger, &Question::default()), before);
    // What held goes on.
    let open = before.iter().find(|binding| binding.until.is_none()).unwrap().clone();
    let owner = open.owner.clone().unwrap();
    assert_eq!(ledger.binding(&owner, &open.container).unwrap(), Some(open.clone()));
    let closed = ledger.unbind(&owner, &open.container, Timestamp::now()).unwrap().unwrap();
    assert_eq!(closed.since, open.since);
    // It is as one that was begun in the second form.
    let schema = |ledger: &Ledger| -> Vec<String> {
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
        let mut query = ledger.db.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let new = Scratch::new("migration-new");
    assert_eq!(schema(&ledger), schema(&Ledger::open(&new.file()).unwrap()));
}

#[test]
fn many_bring_a_ledger_up_to_date_at_once() {
    let scratch = Scratch::new("at-once");
    std::fs::write(scratch.file(), FIRST_FORM).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ledger = Ledger::open(&scratch.file()).unwrap();
                assert_eq!(all(&ledger, &Question::default()).len(), 4);
            });
        }
    });
}

#[test]
fn everything_in_it_is_explained() {
    let scratch = Scratch::new("about");
    let ledger = Ledger::open(&scratch.file()).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut query = ledger.db.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let about = texts("SELECT name FROM about");
    for name in texts("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')") {
        assert!(about.contains(&name), "{name}");
        for column in texts(&format!("SELECT name FROM pragma_table_info('{name}')")) {
            let is_explained = |of: &str| about.contains(&format!("{of}.{column}"));
            assert!(is_explained(&name) || is_explained("bindings"), "{name}.{column}");
        }
    }
    let columns = texts("SELECT 'bindings.' || name FROM pragma_table_info('bindings')");
    for name in about.iter().filter(|name| name.starts_with("bindings.")) {
        assert!(columns.contains(name), "{name} is not there");
    }
    let told = texts("SELECT meaning FROM about");
    assert!(told.iter().all(|text| text.ends_with('.') && text.len() > 10), "{told:?}");
}

/// Marsaglia's xorshift: the same chances at each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        (self.below(3) == 0).then(|| value(self))
    }

    fn of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }
}

#[test]
fn the_answer_is_what_fits_the_question() {
    let scratch = Scratch::new("answers");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    ledger.db.pragma_update(None, "synchronous", "off").unwrap();
    let mut chance = Chance(7);
    let addresses = ["fd00::1", "fd00::2", "fd00:0:0:ff00::", "fd00:1::", "192.0.2.7", "fd00::"];
    let addresses = addresses.map(|text| text.parse::<std::net::IpAddr>().unwrap());
    let containers = ["a", "b", "c"].map(|name| name.parse::<ContainerId>().unwrap());
    let owners = ["edge", "other"].map(|name| name.parse::<Owner>().unwrap());
    let keys = [1u8, 2, 3].map(|number| Key::derive("test", &[&[number]]));
    let mut now = 0;
    for _ in 0..300 {
        now += chance.below(3) as i64;
        let (owner, container) = (chance.of(&owners), chance.of(&containers));
        if chance.below(3) == 0 {
            ledger.unbind(&owner, &container, at(now)).unwrap();
            continue;
        }
        let mut entry = entry(container.as_str(), "fd00::1", now);
        entry.owner = owner.clone();
        entry.binding.owner = Some(owner);
        entry.binding.address = chance.of(&addresses);
        entry.binding.lease.key = chance.of(&keys);
        entry.binding.lease.address = chance.of(&addresses);
        if let std::net::IpAddr::V6(first) = entry.binding.lease.address
            && let Some(len) = chance.maybe(|chance| chance.of(&[8u8, 48, 56, 64, 128]))
        {
            let net = ipnet::Ipv6Net::new(first, len).unwrap();
            entry.binding.lease.address = net.network().into();
            entry.binding.lease.prefix_len = Some(len);
        }
        ledger.bind(&entry).unwrap();
    }
    let everything = all(&ledger, &Question::default());
    assert!(everything.len() > 150);
    assert!(everything.is_sorted_by_key(|binding| binding.since), "in the order of time");
    let mut answers = 0;
    for _ in 0..2_000 {
        let moment = |chance: &mut Chance| {
            let ms = at(chance.below(now as u64 + 2) as i64);
            ms + Duration::from_micros(chance.below(2) * 500)
        };
        let question = Question {
            address: chance.maybe(|chance| chance.of(&addresses)),
            key: chance.maybe(|chance| chance.of(&keys)),
            container: chance.maybe(|chance| chance.of(&containers)),
            owner: chance.maybe(|chance| chance.of(&owners)),
            at: chance.maybe(moment),
            since: chance.maybe(moment),
            until: chance.maybe(moment),
            open: chance.below(4) == 0,
        };
        let fits: Vec<Binding> =
            everything.iter().filter(|binding| question.fits(binding)).cloned().collect();
        assert_eq!(all(&ledger, &question), fits, "{question:?}");
        answers += fits.len();
    }
    assert!(answers > 5_000, "only {answers} answers");
}

#[test]
fn what_ended_long_ago_is_forgotten_and_leaves_no_trace() {
    for first_form in [false, true] {
        let scratch = Scratch::new(&format!("forget-{first_form}"));
        if first_form {
            std::fs::write(scratch.file(), FIRST_FORM).unwrap();
        }
        let mut ledger = Ledger::open(&scratch.file()).unwrap();
        ledger.db.pragma_update(None, "synchronous", "off").unwrap();
        ledger.bind(&entry("holds", "fd01::1", 0)).unwrap();
        for count in 0..3_000i64 {
            let mut gone = entry("gone", "fd01::1", 10 + count);
            gone.docker_id = Some(format!("secret-{count}"));
            ledger.bind(&gone).unwrap();
        }
        let edge = "edge".parse().unwrap();
        ledger.unbind(&edge, &"gone".parse().unwrap(), at(3_010)).unwrap();
        assert_eq!(ledger.forget(at(10)).unwrap(), 0);
        let size = || std::fs::metadata(scratch.file()).unwrap().len();
        ledger.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let before = size();
        assert_eq!(ledger.forget(at(3_000)).unwrap(), 2_989, "the rest ended then or later");
        assert_eq!(ledger.forget(at(3_000)).unwrap(), 0);
        assert!(size() * 5 < before, "{} of {before} bytes are left", size());
        let kept = all(&ledger, &Question { owner: Some(edge), ..Question::default() });
        assert!(kept.iter().any(|binding| binding.container.as_str() == "holds"));
        let mut bytes = std::fs::read(scratch.file()).unwrap();
        bytes.extend(std::fs::read(scratch.0.join("ledger.db-wal")).unwrap());
        let has = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        assert!(has("secret-2999") && !has("secret-1000") && !has("secret-2988"));
    }
}

#[test]
fn readers_are_not_held_up_nor_do_they_hold_up_what_is_forgotten() {
    let scratch = Scratch::new("readers");
    let mut ledger = Ledger::open(&scratch.file()).unwrap();
    ledger.bind(&entry("a", "fd01::1", 10)).unwrap();
    ledger.bind(&entry("a", "fd01::2", 20)).unwrap();
    let reader = Ledger::open_to_ask(&scratch.file()).unwrap();
    let mut seen = 0;
    let asked = reader.ask(&Question::default(), &mut |_| {
        seen += 1;
        if seen == 1 {
            assert_eq!(ledger.forget(at(30)).unwrap(), 1);
        }
        Ok(())
    });
    asked.unwrap();
    assert_eq!(seen, 2, "what it began to read it reads to the end");
    assert_eq!(all(&reader, &Question::default()).len(), 1);
}

#[test]
fn a_question_makes_no_ledger() {
    let scratch = Scratch::new("ask");
    let ask = |name: &str| Ledger::open_to_ask(&scratch.0.join(name)).unwrap_err();
    assert_eq!(ask("none.db").kind(), Kind::NotFound);
    std::fs::write(scratch.0.join("empty.db"), "").unwrap();
    assert_eq!(ask("empty.db").kind(), Kind::NotFound);
    std::fs::write(scratch.0.join("notes.db"), "these are my notes, and there are many").unwrap();
    assert_eq!(ask("notes.db").kind(), Kind::BadInput);
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 2);
    drop(Ledger::open(&scratch.file()).unwrap());
    let db = Connection::open(scratch.file()).unwrap();
    db.pragma_update(None, "user_version", FORMS.len() as i64 + 1).unwrap();
    assert!(ask("ledger.db").to_string().contains("newer version"));
}

#[test]
fn any_path_is_a_ledger_s() {
    let scratch = Scratch::new("odd ?#%2f'\"");
    let file = scratch.0.join("a b?mode=rwc&x#%41.db");
    Ledger::open(&file).unwrap().bind(&entry("a", "fd01::1", 10)).unwrap();
    assert_eq!(all(&Ledger::open_to_ask(&file).unwrap(), &Question::default()).len(), 1);
}
