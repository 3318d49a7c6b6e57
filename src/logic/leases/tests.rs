use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The lease of `fd00::ADDRESS` to client number `client`; an end of 0 is none.
fn held(address: u16, client: u8, end: i64) -> Held {
    Held {
        r#type: LeaseType::Na,
        client: Client::V6 { duid: Duid::new(&[0, 3, 0, 1, client]).unwrap(), iaid: 1 },
        address: std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, address).into(),
        hostname: None,
        expires_at: (end != 0).then(|| at(end)),
    }
}

fn named(mut held: Held, name: &str) -> Held {
    held.hostname = Some(name.parse().unwrap());
    held
}

fn leases() -> Leases {
    Leases::new("dnsmasq:test", KeyBy::DuidIaid)
}

fn lines(reading: impl IntoIterator<Item = Held>) -> impl Iterator<Item = Line> {
    reading.into_iter().map(Line::Lease)
}

/// Takes a reading and returns `EVENT LAST-OF-ADDRESS` for each record.
fn take(leases: &mut Leases, reading: &[Held], now: i64) -> Vec<String> {
    take_with(leases, reading, &[], now)
}

fn take_with(leases: &mut Leases, reading: &[Held], unreadable: &[u64], now: i64) -> Vec<String> {
    let unreadable = unreadable.iter().copied().map(Line::Unreadable);
    let news = leases.take_whole(lines(reading.to_vec()).chain(unreadable), at(now));
    words(leases, news)
}

fn words(leases: &Leases, news: News) -> Vec<String> {
    let word = |lease: &Lease| {
        let event = serde_json::to_value(lease.event).unwrap();
        let address = lease.address.to_string();
        format!("{} {}", event.as_str().unwrap(), address.trim_start_matches("fd00::"))
    };
    leases.records(&news).map(|lease| word(&lease)).collect()
}

#[test]
fn each_thing_that_can_become_of_a_lease_is_told_once() {
    let mut leases = leases();
    assert_eq!(take(&mut leases, &[held(1, 1, 100), held(2, 2, 0)], 10), ["add 1", "add 2"]);
    assert_eq!(take(&mut leases, &[held(1, 1, 100), held(2, 2, 0)], 11), [""; 0]);
    assert_eq!(take(&mut leases, &[held(1, 1, 150), held(2, 2, 0)], 12), ["renew 1"]);
    let changed = named(held(1, 1, 160), "a");
    assert_eq!(take(&mut leases, &[changed.clone(), held(2, 2, 0)], 13), ["change 1"]);
    assert_eq!(take(&mut leases, &[changed], 14), ["release 2"]);
    assert_eq!(take(&mut leases, &[], 160), ["expire 1"]);
    assert!(leases.is_complete() && leases.next_end().is_none());
}

#[test]
fn a_lease_past_its_end_is_gone_though_the_file_has_it() {
    let mut leases = leases();
    assert_eq!(take(&mut leases, &[held(1, 1, 100), held(2, 2, 50)], 60), ["add 1"]);
    assert_eq!(leases.next_end(), Some(at(100)));
    let news = leases.pass_time(at(99));
    assert_eq!(words(&leases, news), [""; 0]);
    let news = leases.pass_time(at(100));
    assert_eq!(leases.records(&news).next().unwrap().state, LeaseState::Ended);
    assert_eq!(words(&leases, news), ["expire 1"]);
    assert_eq!(take(&mut leases, &[held(1, 1, 100)], 101), [""; 0]);
    assert_eq!(leases.list().count(), 0);
    assert_eq!(take(&mut leases, &[held(1, 1, 200)], 102), ["add 1"]);
}

#[test]
fn an_address_that_changes_hands_ends_before_it_begins() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(3, 3, 100)], 10);
    assert_eq!(
        take(&mut leases, &[held(1, 2, 100), held(2, 1, 100)], 11),
        ["release 1", "release 3", "add 1", "add 2"]
    );
}

#[test]
fn of_two_lines_for_one_address_the_one_that_lasts_longer_counts() {
    let mut leases = leases();
    let both = [held(1, 1, 100), held(1, 2, 0), held(1, 3, 100), held(1, 4, 0)];
    assert_eq!(take(&mut leases, &both, 10), ["add 1"]);
    assert_eq!(leases.list().next().unwrap().duid.unwrap().to_string(), "00:03:00:01:02");
}

#[test]
fn a_clock_that_steps_back_brings_leases_back() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(2, 2, 300)], 10);
    let news = leases.pass_time(at(200));
    assert_eq!(words(&leases, news), ["expire 1"]);
    let news = leases.pass_time(at(50));
    assert_eq!(words(&leases, news), ["add 1"]);
    let news = leases.pass_time(Timestamp::MAX);
    assert_eq!(words(&leases, news), ["expire 1", "expire 2"]);
    let news = leases.pass_time(Timestamp::MIN);
    assert_eq!(words(&leases, news), ["add 1", "add 2"]);
}

#[test]
fn what_is_missing_from_a_part_has_not_ended() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(2, 2, 100)], 10);
    let part = [held(3, 3, 100), held(1, 1, 120)];
    let news = leases.take_part(lines(part), at(11));
    assert_eq!(words(&leases, news), ["renew 1", "add 3"]);
    let news = leases.pass_time(at(110));
    assert_eq!(words(&leases, news), ["expire 2", "expire 3"]);
}

#[test]
fn an_unreadable_line_may_be_the_lease_that_is_missing() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(2, 2, 0)], 10);
    assert_eq!(take_with(&mut leases, &[held(1, 1, 100)], &[7], 11), [""; 0]);
    assert_eq!(leases.list().count(), 2);
    assert_eq!(take_with(&mut leases, &[], &[7], 12), [""; 0]);
    // Time is proof enough.
    let news = leases.pass_time(at(100));
    assert_eq!(words(&leases, news), ["expire 1"]);
    assert!(leases.is_complete());
    assert_eq!(take(&mut leases, &[], 101), ["release 2"]);
}

#[test]
fn a_line_that_stood_beside_all_leases_is_none_of_them() {
    let mut leases = leases();
    assert_eq!(take_with(&mut leases, &[held(1, 1, 0), held(2, 2, 0)], &[7], 10).len(), 2);
    assert!(!leases.is_complete());
    assert_eq!(take_with(&mut leases, &[held(1, 1, 0)], &[7], 11), ["release 2"]);
    assert_eq!(take_with(&mut leases, &[], &[7, 8], 12), [""; 0]);
    assert_eq!(take_with(&mut leases, &[], &[7], 13), ["release 1"]);
    assert!(!leases.is_complete());
    take(&mut leases, &[], 14);
    assert!(leases.is_complete());
}

#[test]
fn many_ends_at_once_are_four_or_more_and_over_a_tenth() {
    let told = |count: u16, left: u16| {
        let mut leases = leases();
        let some = |range: std::ops::RangeInclusive<u16>| range.map(|n| held(n, 1, 0));
        leases.take_whole(lines(some(1..=count)), at(1));
        leases.take_whole(lines(some(1..=left)), at(2)).many_ends()
    };
    assert_eq!([told(3, 0), told(4, 1), told(40, 36), told(40, 40)], [None; 4]);
    assert_eq!([told(4, 0), told(40, 35)], [Some((4, 4)), Some((5, 40))]);
    // What time ends counts the same.
    let mut leases = leases();
    leases.take_whole(lines((1..=9).map(|n| held(n, 1, 100))), at(1));
    let mut news = leases.pass_time(at(200));
    assert_eq!(news.many_ends(), Some((9, 9)));
    news.withhold_ends();
    assert_eq!(words(&leases, news), [""; 0]);
}

#[test]
fn one_machine_is_one_client_when_its_duid_says_so() {
    let mut other = held(2, 1, 0);
    other.client = Client::V6 { duid: Duid::new(&[0, 3, 0, 1, 1]).unwrap(), iaid: 2 };
    let keys = |key_by| {
        let mut leases = Leases::new("x", key_by);
        let reading = [held(1, 1, 0), other.clone()];
        leases.take_whole(lines(reading), at(1));
        leases.list().map(|lease| lease.key).collect::<Vec<_>>()
    };
    let (by_both, by_duid) = (keys(KeyBy::DuidIaid), keys(KeyBy::Duid));
    assert_ne!(by_both[0], by_both[1]);
    assert_eq!(by_duid[0], by_duid[1]);
}

#[test]
fn a_dhcpv4_client_keeps_its_key_with_another_card() {
    let v4 = |mac: &str| Held {
        r#type: LeaseType::V4,
        client: Client::V4 { identifier: [9][..].into(), mac: mac.parse().ok() },
        address: "192.0.2.1".parse().unwrap(),
        hostname: None,
        expires_at: None,
    };
    let mut leases = leases();
    take(&mut leases, &[v4("02:00:00:00:00:01")], 1);
    assert_eq!(take(&mut leases, &[v4("02:00:00:00:00:02")], 2), ["change 192.0.2.1"]);
}

/// Marsaglia's xorshift: enough chance for histories, and the same ones each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Whoever reads the records: the leases that it believes in.
#[derive(Default)]
struct Believer(BTreeMap<IpAddr, Lease>);

impl Believer {
    fn hear(&mut self, leases: &Leases, news: News) {
        for lease in leases.records(&news) {
            let known = self.0.contains_key(&lease.address);
            match lease.event {
                LeaseEvent::Add => assert!(!known, "add of what is there: {lease:?}"),
                _ => assert!(known, "news of what is not there: {lease:?}"),
            }
            assert_ne!(lease.event, LeaseEvent::List);
            match lease.state {
                LeaseState::Active => drop(self.0.insert(lease.address, lease)),
                LeaseState::Ended => drop(self.0.remove(&lease.address)),
            }
        }
    }

    fn believes(&self, held: &Held) -> bool {
        let Client::V6 { duid, .. } = &held.client else { return false };
        self.0.get(&held.address).is_some_and(|lease| lease.duid.as_ref() == Some(duid))
    }
}

/// A server at work for a while, read whole, in part, and with lines that cannot be read.
fn live(seed: u64) {
    let mut chance = Chance(seed);
    let mut server: BTreeMap<IpAddr, Held> = BTreeMap::new();
    let (mut leases, mut believer) = (leases(), Believer::default());
    let mut now = 1_000;
    for _ in 0..400 {
        let address = chance.below(12) as u16;
        let mut lease = held(address, chance.below(4) as u8, now + 1 + chance.below(60) as i64);
        match chance.below(8) {
            0 => lease.expires_at = None,
            1 => lease = named(lease, "a"),
            _ => (),
        }
        match chance.below(4) {
            0 => drop(server.remove(&lease.address)),
            _ => drop(server.insert(lease.address, lease)),
        }
        now += match chance.below(30) {
            0 => -100,
            1 => 100,
            _ => chance.below(4) as i64,
        };
        let rows: Vec<Held> = server.values().cloned().collect();
        match chance.below(6) {
            0 => {
                let news = leases.pass_time(at(now));
                believer.hear(&leases, news);
            }
            1 => {
                let end = chance.below(rows.len() as u64 + 1) as usize;
                {
                    let news = leases.take_part(lines(rows.into_iter().take(end)), at(now));
                    believer.hear(&leases, news);
                }
            }
            2 if !rows.is_empty() => {
                let hidden = chance.below(rows.len() as u64) as usize;
                let mut readable = rows.clone();
                let hidden = readable.remove(hidden);
                let line = Line::Unreadable(chance.below(1 << 60));
                let before = believer.0.get(&hidden.address).cloned();
                let was_known = before.is_some();
                {
                    let news = leases.take_whole(lines(readable).chain([line]), at(now));
                    believer.hear(&leases, news);
                }
                // Lost is only what nobody knew, or what had ended as far as anybody knew.
                let ended =
                    before.and_then(|lease| lease.expires_at).is_some_and(|end| end <= at(now));
                assert!(!was_known || ended || believer.0.contains_key(&hidden.address));
                continue;
            }
            _ => {
                {
                    let news = leases.take_whole(lines(rows), at(now));
                    believer.hear(&leases, news);
                }
                let active = |held: &&Held| !held.has_ended(at(now));
                let want: Vec<&Held> = server.values().filter(active).collect();
                assert_eq!(believer.0.len(), want.len(), "seed {seed}");
                assert!(want.iter().all(|held| believer.believes(held)), "seed {seed}");
                assert!(leases.next_end().is_none_or(|end| end > at(now)), "seed {seed}");
            }
        }
        let listed: Vec<IpAddr> = leases.list().map(|lease| lease.address).collect();
        assert!(listed.iter().eq(believer.0.keys()), "seed {seed}");
    }
}

#[test]
fn whoever_believes_the_records_believes_what_is_so() {
    (1..=60).for_each(live);
}
