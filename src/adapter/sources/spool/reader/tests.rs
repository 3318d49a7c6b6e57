use super::*;
use crate::adapter::sources::spool::dnsmasq;
use crate::adapter::sources::spool::order::Order;
use crate::adapter::sources::spool::writer::Spool;
use crate::record::{LeaseEvent, Place};
use jiff::Timestamp;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let own = format!("leasepipe-hooks-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(own);
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }

    /// As dnsmasq tells it; `end` in seconds from now.
    fn tell(&self, action: &str, address: &str, end: i64) {
        let rest = ["00:03:00:01:aa", address].map(Into::into);
        let words = dnsmasq::words(action, &rest).unwrap();
        let now = Timestamp::now();
        let end = (now.as_second() + end).to_string();
        let env = |name: &str| match name {
            "DNSMASQ_IAID" => Some("1".into()),
            "DNSMASQ_LEASE_EXPIRES" => Some(end.clone().into()),
            _ => None,
        };
        let event = dnsmasq::event(&words, &env, now, &mut Vec::new()).unwrap();
        Spool::open(&self.0).unwrap().take(&event, &Order::of_this_process()).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// What is said by the end of a reading, and whether that is everything.
fn reading(reader: &mut Reader) -> (Vec<Said>, bool) {
    let mut all = Vec::new();
    loop {
        match reader.next(late()).unwrap() {
            Told::Begin => all.clear(),
            Told::Said(said) => all.extend(said),
            Told::Whole => return (all, true),
            Told::Part => return (all, false),
            other => panic!("{other:?}"),
        }
    }
}

fn news(reader: &mut Reader) -> Vec<Said> {
    match reader.next(late()).unwrap() {
        Told::Said(said) => said,
        other => panic!("{other:?}"),
    }
}

fn place(address: &str) -> Place {
    Place { address: address.parse().unwrap(), prefix_len: None }
}

fn is_held(said: &Said, address: &str) -> bool {
    matches!(said, Said::Held(held) if held.place() == place(address))
}

#[test]
fn what_is_left_is_told_then_followed() {
    let scratch = Scratch::new("follow");
    scratch.tell("add", "fd00::1", 60);
    scratch.tell("add", "fd00::2", 60);
    scratch.tell("del", "fd00::2", 60);
    let mut reader = Reader::new(&scratch.0).unwrap();
    let (said, whole) = reading(&mut reader);
    assert_eq!((said.len(), whole), (2, false));
    assert!(said.iter().any(|said| is_held(said, "fd00::1")));
    assert!(said.contains(&Said::Ended(place("fd00::2"), LeaseEvent::Release)));
    let soon = Instant::now() + Duration::from_millis(50);
    assert!(matches!(reader.next(soon).unwrap(), Told::Same));
    scratch.tell("add", "fd00::3", 60);
    let said = news(&mut reader);
    assert!(said.len() == 1 && is_held(&said[0], "fd00::3"), "{said:?}");
    scratch.tell("del", "fd00::3", -60);
    assert_eq!(news(&mut reader), [Said::Ended(place("fd00::3"), LeaseEvent::Expire)]);
    reader.look_again();
    assert_eq!(reading(&mut reader).0.len(), 3);
}

#[test]
fn only_a_database_is_whole_and_only_its_times_are_true() {
    let scratch = Scratch::new("whole");
    scratch.tell("add", "fd00::1", 60);
    let mut reader = Reader::new(&scratch.0).unwrap();
    let end = |said: &[Said]| match &said[0] {
        Said::Held(held) => held.expires_at,
        other => panic!("{other:?}"),
    };
    let (said, whole) = reading(&mut reader);
    assert_eq!((end(&said), whole), (None, false));
    // The mark is noticed at once.
    Spool::open(&scratch.0).unwrap().mark_complete().unwrap();
    let (said, whole) = reading(&mut reader);
    assert!(end(&said).is_some() && whole);
    // A lease whose file is gone is gone.
    fs::remove_file(scratch.0.join("fd00::1")).unwrap();
    assert_eq!(reading(&mut reader), (vec![], true));
    fs::remove_file(scratch.0.join(COMPLETE)).unwrap();
    assert_eq!(reading(&mut reader), (vec![], false));
}

#[test]
fn a_spool_may_come_and_go() {
    let scratch = Scratch::new("come");
    let mut reader = Reader::new(&scratch.0).unwrap();
    assert!(matches!(reader.next(late()).unwrap(), Told::Unknown { .. }));
    scratch.tell("add", "fd00::1", 60);
    assert_eq!(reading(&mut reader).0.len(), 1);
    fs::remove_dir_all(&scratch.0).unwrap();
    assert!(matches!(reader.next(late()).unwrap(), Told::Begin | Told::Unknown { .. }));
    assert!(matches!(reader.next(late()).unwrap(), Told::Unknown { .. }));
    scratch.tell("add", "fd00::2", 60);
    let (said, _) = reading(&mut reader);
    assert!(said.len() == 1 && is_held(&said[0], "fd00::2"));
    // Another directory in its place.
    let other = Scratch::new("come-other");
    other.tell("add", "fd00::3", 60);
    fs::remove_dir_all(&scratch.0).unwrap();
    fs::rename(&other.0, &scratch.0).unwrap();
    let until = late();
    let said = loop {
        match reader.next(until).unwrap() {
            Told::Said(said) if !said.is_empty() => break said,
            Told::Same => panic!("it was not noticed"),
            _ => (),
        }
    };
    assert!(is_held(&said[0], "fd00::3"));
}

#[test]
fn what_cannot_be_understood_leaves_its_place_in_doubt() {
    let scratch = Scratch::new("doubt");
    scratch.tell("add", "fd00::1", 60);
    fs::write(scratch.0.join("fd00::2"), "{}").unwrap();
    fs::write(scratch.0.join("notes"), "hello").unwrap();
    fs::write(scratch.0.join("fd00::3"), vec![b' '; 1024 * 1024]).unwrap();
    let mut reader = Reader::new(&scratch.0).unwrap();
    let (mut said, mut remarks) = (Vec::new(), Vec::new());
    loop {
        match reader.next(late()).unwrap() {
            Told::Said(more) => said.extend(more),
            Told::Remarks(more) => remarks.extend(more),
            Told::Part => break,
            _ => (),
        }
    }
    for doubtful in ["fd00::2", "fd00::3"] {
        assert!(said.contains(&Said::Doubtful(place(doubtful))));
        let at = scratch.0.join(doubtful).display().to_string();
        let remark = remarks.iter().find(|remark| remark.at == at).unwrap();
        assert!(remark.weight == Weight::Refused && !remark.what.contains(&at));
    }
    assert_eq!((said.len(), remarks.len()), (3, 3));
}

#[test]
fn what_changes_while_it_is_read_is_read_again() {
    let scratch = Scratch::new("meanwhile");
    for last in 1..=BATCH + 40 {
        scratch.tell("add", &format!("fd00::{last:x}"), 60);
    }
    Spool::open(&scratch.0).unwrap().mark_complete().unwrap();
    let mut reader = Reader::new(&scratch.0).unwrap();
    assert!(matches!(reader.next(late()).unwrap(), Told::Begin));
    let early = news(&mut reader);
    let told = |said: &Said| match said {
        Said::Held(held) => held.place(),
        other => panic!("{other:?}"),
    };
    let [gone, back] = [told(&early[0]), told(&early[1])];
    scratch.tell("del", &gone.address.to_string(), 60);
    scratch.tell("del", &back.address.to_string(), 60);
    scratch.tell("add", &back.address.to_string(), 60);
    let mut late = Vec::new();
    let until = Instant::now() + Duration::from_secs(10);
    while let Told::Said(said) = reader.next(until).unwrap() {
        late.extend(said);
    }
    assert!(late.contains(&Said::Ended(gone, LeaseEvent::Release)));
    assert!(late.iter().any(|said| is_held(said, &back.address.to_string())));
    // A file that has gone is noticed as well: the reading begins anew.
    reader.look_again();
    assert!(matches!(reader.next(until).unwrap(), Told::Begin));
    let early = news(&mut reader);
    let place = early.iter().find_map(|said| matches!(said, Said::Held(_)).then(|| told(said)));
    let place = place.unwrap();
    fs::remove_file(scratch.0.join(place.address.to_string())).unwrap();
    assert!(matches!(reader.next(until).unwrap(), Told::Begin));
    let (said, whole) = reading(&mut reader);
    assert!(whole && !said.iter().any(|said| is_held(said, &place.address.to_string())));
}

#[test]
fn a_lease_that_is_told_again_and_again_is_never_missing() {
    let scratch = Scratch::new("busy");
    for last in 1..=200 {
        scratch.tell("add", &format!("fd00::{last:x}"), 60);
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for last in 1..=600 {
                scratch.tell("old", &format!("fd00::{:x}", last % 200 + 1), 60);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut reader = Reader::new(&scratch.0).unwrap();
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let (said, _) = reading(&mut reader);
            let places = said.iter().map(|said| match said {
                Said::Held(lease) => lease.place(),
                other => panic!("{other:?}"),
            });
            assert_eq!(places.collect::<BTreeSet<_>>().len(), 200);
            reader.look_again();
        }
    });
}
