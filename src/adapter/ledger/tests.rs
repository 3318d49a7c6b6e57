use std::path::PathBuf;

use super::*;
use crate::record::Key;

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
        host: Some(HostRef { id: "local".into(), url: None, rest: Default::default() }),
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
