use jiff::Timestamp;

use super::*;
use crate::adapter::sources::spool::event::{Server, Telling, What};
use crate::record::{Held, Holder, LeaseEvent, LeaseType};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let own = format!("leasepipe-spool-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(own);
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }

    fn spool(&self) -> Spool {
        Spool::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn place(last: u32) -> Place {
    let address = std::net::Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(last));
    Place { address: address.into(), prefix_len: None }
}

fn holder(client: u8) -> Holder {
    Holder::V6 { duid: Duid::new(&[0, 3, 0, 1, client]).unwrap(), iaid: 1 }
}

fn second(cltt: i64) -> Option<Timestamp> {
    Some(Timestamp::from_second(cltt).unwrap())
}

fn begun(last: u32, client: u8, cltt: Option<i64>) -> Event {
    let place = place(last);
    let held = Held {
        r#type: LeaseType::Na,
        holder: holder(client),
        address: place.address,
        prefix_len: None,
        mac: None,
        hostname: None,
        classes: None,
        expires_at: None,
    };
    let telling = Telling { held, name: None, hardware: None, lacks_packet: false };
    let what = What::Held(Box::new(telling));
    Event { server: Server::Kea, r#type: LeaseType::Na, what, cltt: cltt.and_then(second) }
}

fn ended(last: u32, client: u8, cltt: Option<i64>) -> Event {
    let what =
        What::Ended { place: place(last), holder: Some(holder(client)), why: LeaseEvent::Release };
    Event { server: Server::Kea, r#type: LeaseType::Na, what, cltt: cltt.and_then(second) }
}

fn order(started: i64) -> Order {
    let own = Order::of_this_process();
    Order { started, pid: 1, ..own }
}

fn known(spool: &Spool) -> Option<(bool, Option<crate::record::Key>)> {
    spool.known(place(1)).map(|entry| (entry.is_active(), entry.key))
}

fn key(client: u8) -> Option<crate::record::Key> {
    let Holder::V6 { duid, iaid } = holder(client) else { unreachable!() };
    Some(crate::record::Key::of_client(&duid, Some(iaid)))
}

/// Every order in which these can arrive.
fn permutations(events: &[(Event, Order)]) -> Vec<Vec<(Event, Order)>> {
    if events.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for at in 0..events.len() {
        let mut rest = events.to_vec();
        let first = rest.remove(at);
        for mut others in permutations(&rest) {
            others.insert(0, first.clone());
            all.push(others);
        }
    }
    all
}

#[test]
fn events_may_arrive_in_any_order() {
    let history = [
        (begun(1, 1, Some(100)), order(1_000)),
        (begun(1, 1, Some(150)), order(1_300)),
        (ended(1, 1, Some(150)), order(1_400)),
        (begun(1, 2, Some(154)), order(1_401)),
        (begun(1, 2, Some(154)), order(1_401)),
    ];
    let scratch = Scratch::new("any-order");
    for arrived in permutations(&history) {
        let _ = fs::remove_dir_all(&scratch.0);
        for (event, order) in &arrived {
            scratch.spool().take(event, order).unwrap();
        }
        assert_eq!(known(&scratch.spool()), Some((true, key(2))), "{arrived:?}");
    }
    for arrived in permutations(&history[..3]) {
        let _ = fs::remove_dir_all(&scratch.0);
        for (event, order) in &arrived {
            scratch.spool().take(event, order).unwrap();
        }
        assert_eq!(known(&scratch.spool()), Some((false, key(1))), "{arrived:?}");
    }
}

#[test]
fn a_former_client_s_end_does_not_end_the_present_one_s_lease() {
    let scratch = Scratch::new("former");
    let spool = scratch.spool();
    spool.take(&begun(1, 2, Some(150)), &order(1_000)).unwrap();
    // Told later, by a process that was begun later, and in the same second.
    for (cltt, started) in [(100, 1_001), (150, 1_001), (100, 900_000)] {
        let taken = spool.take(&ended(1, 1, Some(cltt)), &order(started)).unwrap();
        assert_eq!(taken, Taken::Late);
    }
    assert_eq!(known(&spool), Some((true, key(2))));
    // One that was heard from later did have it later.
    assert_eq!(spool.take(&ended(1, 1, Some(151)), &order(1_001)).unwrap(), Taken::Kept);
    // And dnsmasq, which tells in order, is believed.
    spool.take(&begun(1, 2, None), &order(2_000)).unwrap();
    assert_eq!(spool.take(&ended(1, 1, None), &order(2_000)).unwrap(), Taken::Kept);
}

#[test]
fn scripts_at_the_same_time_leave_the_last_word() {
    let scratch = Scratch::new("parallel");
    fs::create_dir(&scratch.0).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let path = &scratch.0;
            scope.spawn(move || {
                for round in 0..25 {
                    let started = round * 8 + worker;
                    let (spool, client) = (Spool::open(path).unwrap(), (started % 251) as u8);
                    let mut event = begun(1, client, None);
                    event.server = Server::Dnsmasq;
                    // Files that are being written are named after their process.
                    let entry = Entry::new(&event, &order(started), None);
                    let new = path.join(format!(".new-{worker}"));
                    fs::write(&new, json(&entry).unwrap()).unwrap();
                    spool.replace(&new, place(1), &entry).unwrap();
                }
            });
        }
    });
    assert_eq!(known(&scratch.spool()), Some((true, key(199))));
    assert_eq!(scratch.spool().names().unwrap(), ["fd00::1"]);
}

#[test]
fn a_lock_that_is_not_to_be_had_is_done_without() {
    let scratch = Scratch::new("locked");
    let spool = scratch.spool();
    let other = File::open(&scratch.0).unwrap();
    other.lock().unwrap();
    let began = Instant::now();
    assert_eq!(spool.take(&begun(1, 1, None), &order(1)).unwrap(), Taken::Unlocked);
    assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2);
    assert_eq!(known(&spool), Some((true, key(1))));
}

#[test]
fn a_directory_is_made_if_it_alone_is_missing() {
    let scratch = Scratch::new("made");
    let deep = scratch.0.join("a");
    assert_eq!(Spool::open(&deep).err().unwrap().kind(), Kind::NotFound);
    assert!(Spool::open(&scratch.0).is_ok() && Spool::open(&deep).is_ok());
    fs::write(scratch.0.join("file"), "").unwrap();
    assert!(Spool::open(&scratch.0.join("file")).is_err());
}

#[test]
fn old_ends_are_swept_and_no_lease_is() {
    let scratch = Scratch::new("sweep");
    let spool = scratch.spool();
    for last in 0..20 {
        spool.take(&begun(last, 1, None), &order(1)).unwrap();
    }
    for last in 10..20 {
        spool.take(&ended(last, 1, None), &order(i64::from(last))).unwrap();
    }
    fs::write(scratch.0.join(".new-1-fd00::1"), "").unwrap();
    let old = SystemTime::now() - Duration::from_secs(120);
    let left = File::options().write(true).open(scratch.0.join(".new-1-fd00::1")).unwrap();
    left.set_modified(old).unwrap();
    fs::write(scratch.0.join(".new-2-fd00::1"), "").unwrap();
    assert_eq!(fs::metadata(scratch.0.join(ENDS)).unwrap().len(), 10);
    spool.sweep(3);
    let (entries, wrong) = spool.entries().unwrap();
    assert_eq!((entries.iter().filter(|entry| entry.is_active()).count(), wrong.len()), (10, 0));
    let mut ends: Vec<_> = entries.into_iter().filter(|entry| !entry.is_active()).collect();
    ends.sort_by_key(Entry::place);
    assert_eq!(ends.iter().map(Entry::place).collect::<Vec<_>>(), [17, 18, 19].map(place));
    assert!(!scratch.0.join(".new-1-fd00::1").exists());
    assert!(scratch.0.join(".new-2-fd00::1").exists());
}

#[test]
fn the_number_of_ends_is_bounded() {
    let scratch = Scratch::new("bounded");
    let spool = scratch.spool();
    fs::write(scratch.0.join(ENDS), ".".repeat(SWEEP_AFTER as usize - 1)).unwrap();
    spool.take(&ended(1, 1, None), &order(1)).unwrap();
    assert_eq!(fs::metadata(scratch.0.join(ENDS)).unwrap().len(), 0);
}

#[test]
fn a_file_that_cannot_be_understood_is_replaced() {
    let scratch = Scratch::new("broken");
    let spool = scratch.spool();
    fs::write(scratch.0.join("fd00::1"), "{\"kind\":\"lea").unwrap();
    assert_eq!(spool.entries().unwrap().1.len(), 1);
    assert_eq!(spool.take(&begun(1, 1, None), &order(1)).unwrap(), Taken::Kept);
    assert_eq!(known(&spool), Some((true, key(1))));
    // What is said of one place in another's file is not believed.
    fs::copy(scratch.0.join("fd00::1"), scratch.0.join("fd00::2")).unwrap();
    assert!(read(&scratch.0.join("fd00::2")).is_err());
    std::os::unix::fs::symlink("fd00::1", scratch.0.join("fd00::3")).unwrap();
    assert!(read(&scratch.0.join("fd00::3")).is_err());
}

#[test]
fn the_server_s_duid_is_remembered() {
    let scratch = Scratch::new("server");
    let duid: Duid = "00:01:00:01:32".parse().unwrap();
    assert_eq!(scratch.spool().server_duid(), None);
    scratch.spool().remember_server(&duid).unwrap();
    assert_eq!(scratch.spool().server_duid(), Some(duid));
}
