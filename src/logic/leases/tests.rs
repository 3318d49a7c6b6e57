use super::*;
use crate::record::{ClientIdentifier, Duid};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A moment at which nobody has set the clock.
fn moment(second: i64) -> Now {
    both(second, second)
}

fn both(wall: i64, boot: i64) -> Now {
    Now { wall: at(wall), boot: Duration::from_secs(boot as u64) }
}

/// The lease of `fd00::ADDRESS` to client number `client`; an end of 0 is none.
fn held(address: u16, client: u8, end: i64) -> Held {
    Held {
        r#type: LeaseType::Na,
        holder: Holder::V6 { duid: Duid::new(&[0, 3, 0, 1, client]).unwrap(), iaid: 1 },
        address: std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, address).into(),
        prefix_len: None,
        mac: None,
        hostname: None,
        classes: None,
        expires_at: (end != 0).then(|| at(end)),
    }
}

fn named(mut held: Held, name: &str) -> Held {
    held.hostname = Some(name.parse().unwrap());
    held
}

fn manner() -> Manner {
    Manner {
        source: "dnsmasq:test".to_owned(),
        key_by: KeyBy::DuidIaid,
        is_table: true,
        grace: Duration::ZERO,
    }
}

/// Leases of which the first listing, an empty one, is told.
fn leases() -> Leases {
    with(manner())
}

fn with(manner: Manner) -> Leases {
    let mut leases = Leases::new(manner);
    leases.begin();
    assert!(leases.whole(moment(1)).is_empty());
    leases
}

fn whole(leases: &mut Leases, reading: &[Held], unreadable: &[u64], now: Now) -> News {
    leases.begin();
    for held in reading {
        leases.say(Said::Held(held.clone()), now);
    }
    for line in unreadable {
        leases.say(Said::Unreadable(*line), now);
    }
    leases.whole(now)
}

fn part(leases: &mut Leases, reading: &[Held], now: Now) -> News {
    for held in reading {
        leases.say(Said::Held(held.clone()), now);
    }
    leases.news(now)
}

/// Takes a reading and returns `EVENT LAST-OF-ADDRESS` for each record.
fn take(leases: &mut Leases, reading: &[Held], now: i64) -> Vec<String> {
    take_with(leases, reading, &[], now)
}

fn take_with(leases: &mut Leases, reading: &[Held], unreadable: &[u64], now: i64) -> Vec<String> {
    let news = whole(leases, reading, unreadable, moment(now));
    words(leases, news)
}

fn pass(leases: &mut Leases, now: Now) -> Vec<String> {
    let news = leases.pass_time(now);
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

const NOTHING: [&str; 0] = [];

#[test]
fn each_thing_that_can_become_of_a_lease_is_told_once() {
    let mut leases = leases();
    assert_eq!(take(&mut leases, &[held(1, 1, 100), held(2, 2, 0)], 10), ["add 1", "add 2"]);
    assert_eq!(take(&mut leases, &[held(1, 1, 100), held(2, 2, 0)], 11), NOTHING);
    assert_eq!(take(&mut leases, &[held(1, 1, 150), held(2, 2, 0)], 12), ["renew 1"]);
    let changed = named(held(1, 1, 160), "a");
    assert_eq!(take(&mut leases, &[changed.clone(), held(2, 2, 0)], 13), ["change 1"]);
    assert_eq!(take(&mut leases, &[changed], 14), ["release 2"]);
    assert_eq!(take(&mut leases, &[], 160), ["expire 1"]);
    assert_eq!(pass(&mut leases, moment(161)), NOTHING);
    assert!(leases.is_complete() && leases.next_end().is_none());
}

#[test]
fn a_lease_past_its_end_is_gone_though_the_file_has_it() {
    let mut leases = leases();
    assert_eq!(take(&mut leases, &[held(1, 1, 100), held(2, 2, 50)], 60), ["add 1"]);
    assert_eq!(pass(&mut leases, moment(60)), NOTHING);
    assert_eq!(leases.next_end(), Some(Duration::from_secs(100)));
    assert_eq!(pass(&mut leases, moment(99)), NOTHING);
    let news = leases.pass_time(moment(100));
    assert_eq!(leases.records(&news).next().unwrap().state, LeaseState::Ended);
    assert_eq!(words(&leases, news), ["expire 1"]);
    assert_eq!(take(&mut leases, &[held(1, 1, 100)], 101), NOTHING);
    assert_eq!(leases.list(moment(0)).count(), 0);
    assert_eq!(take(&mut leases, &[held(1, 1, 200)], 102), ["add 1"]);
}

#[test]
fn an_address_that_changes_hands_ends_before_it_begins() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(3, 3, 100)], 10);
    assert_eq!(
        take(&mut leases, &[held(1, 2, 100), held(2, 1, 100)], 11),
        ["release 1", "add 1", "add 2", "release 3"]
    );
}

#[test]
fn of_two_lines_for_one_address_the_one_that_lasts_longer_counts() {
    let mut leases = leases();
    let both = [held(1, 1, 100), held(1, 2, 0), held(1, 3, 100), held(1, 4, 0)];
    assert_eq!(take(&mut leases, &both, 10), ["add 1"]);
    assert_eq!(leases.list(moment(0)).next().unwrap().duid.unwrap().to_string(), "00:03:00:01:02");
}

#[test]
fn a_clock_that_steps_back_brings_leases_back() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(2, 2, 300)], 10);
    assert_eq!(pass(&mut leases, moment(200)), ["expire 1"]);
    assert_eq!(pass(&mut leases, both(50, 201)), ["add 1"]);
    assert_eq!(pass(&mut leases, both(1 << 37, 202)), ["expire 1"]);
    assert_eq!(pass(&mut leases, both(1 << 37, 300)), ["expire 2"]);
    assert_eq!(pass(&mut leases, both(0, 301)), ["add 1", "add 2"]);
}

#[test]
fn a_step_of_the_clock_ends_nothing_that_the_server_has() {
    let mut leases = leases();
    let rows = [held(1, 1, 4000), held(2, 2, 8000)];
    take(&mut leases, &rows, 1000);
    // An hour ahead: by the clock on the wall the first lease is over.
    assert_eq!(pass(&mut leases, both(4601, 1001)), NOTHING);
    let news = whole(&mut leases, &rows, &[], both(4602, 1002));
    assert_eq!(words(&leases, news), NOTHING);
    assert_eq!(leases.list(both(4602, 1002)).count(), 2);
    // The server's word ends it, whatever the clocks say.
    let news = whole(&mut leases, &rows[1..], &[], both(4603, 1003));
    assert_eq!(words(&leases, news), ["release 1"]);
    // An hour back: the lease lives until the server's clock has come there too.
    assert_eq!(pass(&mut leases, both(4400, 8000)), NOTHING);
    assert_eq!(pass(&mut leases, both(7999, 11599)), NOTHING);
    assert_eq!(pass(&mut leases, both(8000, 11600)), ["expire 2"]);
}

#[test]
fn what_is_missing_from_a_part_has_not_ended() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(2, 2, 100)], 10);
    let news = part(&mut leases, &[held(3, 3, 100), held(1, 1, 120)], moment(11));
    assert_eq!(words(&leases, news), ["renew 1", "add 3"]);
    assert_eq!(pass(&mut leases, moment(110)), ["expire 2", "expire 3"]);
}

#[test]
fn a_log_s_last_word_counts_and_says_why_a_lease_ended() {
    let mut leases = with(Manner { is_table: false, ..manner() });
    assert_eq!(take(&mut leases, &[held(1, 1, 0), held(1, 2, 50)], 10), ["add 1"]);
    let place = held(1, 2, 0).place();
    for event in [LeaseEvent::Release, LeaseEvent::Decline, LeaseEvent::Expire] {
        leases.say(Said::Ended(place, event), moment(11));
        leases.say(Said::Ended(place, event), moment(11));
        let news = leases.news(moment(11));
        assert_eq!(leases.records(&news).map(|lease| lease.event).collect::<Vec<_>>(), [event]);
        leases.say(Said::Held(held(1, 2, 50)), moment(11));
        assert!(!leases.news(moment(11)).is_empty());
    }
    // Given back and taken again between two looks: nothing became of it.
    leases.say(Said::Ended(place, LeaseEvent::Release), moment(12));
    leases.say(Said::Held(held(1, 2, 50)), moment(12));
    assert!(leases.news(moment(12)).is_empty());
}

#[test]
fn a_reading_that_began_twice_counts_once() {
    let mut leases = with(Manner { is_table: false, ..manner() });
    take(&mut leases, &[held(1, 1, 0), held(2, 2, 0)], 10);
    // The log from its beginning, where the lease was another's; then the log changes.
    leases.begin();
    leases.say(Said::Held(held(1, 7, 0)), moment(11));
    leases.begin();
    for said in [held(1, 7, 0), held(1, 1, 0), held(2, 2, 0)] {
        leases.say(Said::Held(said), moment(11));
    }
    let news = leases.whole(moment(11));
    assert_eq!(words(&leases, news), NOTHING);
}

#[test]
fn what_is_said_of_a_place_and_not_understood_ends_nothing() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 0)], 10);
    let (known, unknown) = (held(1, 1, 0).place(), held(9, 1, 0).place());
    let doubtful = |leases: &mut Leases, place| {
        leases.begin();
        leases.say(Said::Doubtful(place), moment(11));
        let news = leases.whole(moment(11));
        words(leases, news)
    };
    assert_eq!(doubtful(&mut leases, known), NOTHING);
    assert!(leases.is_complete());
    assert_eq!(doubtful(&mut leases, unknown), ["release 1"]);
    // Somebody may have it, whom a listing would leave out.
    assert!(!leases.is_complete());
    leases.say(Said::Held(held(9, 1, 0)), moment(12));
    assert!(leases.is_complete());
}

/// Leases whose ends are held back for ten seconds.
fn graceful() -> Leases {
    with(Manner { grace: Duration::from_secs(10), ..manner() })
}

#[test]
fn a_client_that_comes_right_back_was_never_gone() {
    let mut leases = graceful();
    take(&mut leases, &[held(1, 1, 100)], 10);
    assert_eq!(take(&mut leases, &[], 20), NOTHING);
    let listed: Vec<Lease> = leases.list(moment(21)).collect();
    assert_eq!(listed[0].grace_until, Some(at(30)));
    assert_eq!(leases.held_back(held(1, 1, 0).place()), Some(LeaseEvent::Release));
    assert_eq!(take(&mut leases, &[held(1, 1, 150)], 22), ["renew 1"]);
    assert_eq!(leases.list(moment(22)).next().unwrap().grace_until, None);
    assert_eq!(take(&mut leases, &[], 23), NOTHING);
    assert_eq!(pass(&mut leases, moment(32)), NOTHING);
    assert_eq!(leases.next_end(), Some(Duration::from_secs(33)));
    assert_eq!(pass(&mut leases, moment(33)), ["release 1"]);
    assert_eq!(leases.list(moment(33)).count(), 0);
}

#[test]
fn a_client_that_comes_back_elsewhere_is_never_without_a_lease() {
    let mut leases = graceful();
    take(&mut leases, &[held(1, 1, 100)], 10);
    assert_eq!(take(&mut leases, &[], 20), NOTHING);
    assert_eq!(take(&mut leases, &[held(2, 1, 100)], 21), ["add 2", "release 1"]);
    // Without grace as well the new address is told before the old one has gone.
    let mut leases = self::leases();
    take(&mut leases, &[held(1, 1, 100)], 10);
    assert_eq!(take(&mut leases, &[held(2, 1, 100)], 21), ["add 2", "release 1"]);
}

#[test]
fn grace_does_not_keep_an_address_from_another_client() {
    let mut leases = graceful();
    take(&mut leases, &[held(1, 1, 100)], 10);
    assert_eq!(take(&mut leases, &[], 20), NOTHING);
    assert_eq!(take(&mut leases, &[held(1, 2, 100)], 21), ["release 1", "add 1"]);
    assert_eq!(pass(&mut leases, moment(40)), NOTHING);
}

#[test]
fn what_time_ends_has_its_grace_too() {
    let mut leases = graceful();
    let rows = [held(1, 1, 100)];
    take(&mut leases, &rows, 10);
    assert_eq!(pass(&mut leases, moment(100)), NOTHING);
    assert_eq!(take(&mut leases, &rows, 101), NOTHING);
    assert_eq!(pass(&mut leases, both(50, 105)), NOTHING);
    assert_eq!(leases.list(moment(105)).next().unwrap().grace_until, None);
    assert_eq!(pass(&mut leases, both(100, 155)), NOTHING);
    assert_eq!(pass(&mut leases, both(110, 165)), ["expire 1"]);
}

#[test]
fn what_was_told_in_an_earlier_run_is_not_told_again() {
    let mut before = graceful();
    take(&mut before, &[held(1, 1, 100), held(2, 2, 0), held(3, 3, 0), held(4, 4, 0)], 10);
    take(&mut before, &[held(1, 1, 100), held(2, 2, 0), held(4, 4, 0)], 15);
    let memory: Vec<Lease> = before
        .list(moment(16))
        .map(|mut lease| {
            let place = Place { address: lease.address, prefix_len: None };
            lease.event = before.held_back(place).unwrap_or(lease.event);
            lease
        })
        .collect();
    let mut leases = Leases::new(Manner { grace: Duration::from_secs(10), ..manner() });
    memory.iter().for_each(|lease| leases.remember(lease, both(20, 1)));
    leases.begin();
    for said in [held(1, 1, 150), named(held(2, 2, 0), "b"), held(5, 5, 0)] {
        leases.say(Said::Held(said), both(20, 1));
    }
    let news = leases.whole(both(20, 1));
    assert_eq!(words(&leases, news), ["renew 1", "change 2", "add 5"]);
    // The third was held back already, the fourth is now.
    assert_eq!(pass(&mut leases, both(25, 6)), ["release 3"]);
    assert_eq!(pass(&mut leases, both(30, 11)), ["release 4"]);
    assert_eq!(leases.list(both(31, 12)).count(), 3);
}

#[test]
fn a_delegated_prefix_is_told_in_one_word_too() {
    let mut delegated = held(0, 1, 0);
    (delegated.r#type, delegated.prefix_len) = (LeaseType::Pd, Some(56));
    let mut leases = leases();
    take(&mut leases, &[delegated, held(1, 1, 0)], 1);
    let told: Vec<_> = leases.list(moment(1)).map(|l| l.prefix.map(|p| p.to_string())).collect();
    assert_eq!(told, [Some("fd00::/56".to_owned()), None]);
}

#[test]
fn a_lease_takes_little_room() {
    assert!(std::mem::size_of::<(Place, Kept)>() <= 72);
}

#[test]
fn an_unreadable_line_may_be_the_lease_that_is_missing() {
    let mut leases = leases();
    take(&mut leases, &[held(1, 1, 100), held(2, 2, 0)], 10);
    assert_eq!(take_with(&mut leases, &[held(1, 1, 100)], &[7], 11), NOTHING);
    assert_eq!(leases.list(moment(0)).count(), 2);
    assert_eq!(take_with(&mut leases, &[], &[7], 12), NOTHING);
    // Time is proof enough.
    assert_eq!(pass(&mut leases, moment(100)), ["expire 1"]);
    assert!(leases.is_complete());
    assert_eq!(take(&mut leases, &[], 101), ["release 2"]);
}

#[test]
fn a_line_that_stood_beside_all_leases_is_none_of_them() {
    let mut leases = Leases::new(manner());
    assert_eq!(take_with(&mut leases, &[held(1, 1, 0), held(2, 2, 0)], &[7], 10), NOTHING);
    assert!(!leases.is_complete());
    assert_eq!(take_with(&mut leases, &[held(1, 1, 0)], &[7], 11), ["release 2"]);
    assert_eq!(take_with(&mut leases, &[], &[7, 8], 12), NOTHING);
    assert_eq!(take_with(&mut leases, &[], &[7], 13), ["release 1"]);
    assert!(!leases.is_complete());
    take(&mut leases, &[], 14);
    assert!(leases.is_complete());
}

#[test]
fn many_ends_at_once_are_four_or_more_and_over_a_tenth() {
    let some = |count: u16| (1..=count).map(|n| held(n, 1, 100)).collect::<Vec<_>>();
    let told = |count: u16, left: u16| {
        let mut leases = leases();
        whole(&mut leases, &some(count), &[], moment(1));
        whole(&mut leases, &some(left), &[], moment(2)).many_ends()
    };
    assert_eq!([told(3, 0), told(4, 1), told(40, 36), told(40, 40)], [None; 4]);
    assert_eq!([told(4, 0), told(40, 35)], [Some((4, 4)), Some((5, 40))]);
    // What the server itself says to have ended is no mistake.
    let mut leases = self::leases();
    whole(&mut leases, &some(9), &[], moment(1));
    for held in some(9) {
        leases.say(Said::Ended(held.place(), LeaseEvent::Release), moment(2));
    }
    let mut news = leases.news(moment(2));
    assert_eq!(news.many_ends(), None);
    news.withhold_ends();
    assert_eq!(words(&leases, news).len(), 9);
    // What time ends counts as what is missing does.
    let mut leases = self::leases();
    whole(&mut leases, &some(9), &[], moment(1));
    let mut news = leases.pass_time(moment(200));
    assert_eq!(news.many_ends(), Some((9, 9)));
    news.withhold_ends();
    assert_eq!(words(&leases, news), NOTHING);
}

#[test]
fn one_machine_is_one_client_when_its_duid_says_so() {
    let mut other = held(2, 1, 0);
    other.holder = Holder::V6 { duid: Duid::new(&[0, 3, 0, 1, 1]).unwrap(), iaid: 2 };
    let keys = |key_by| {
        let mut leases = with(Manner { key_by, ..manner() });
        whole(&mut leases, &[held(1, 1, 0), other.clone()], &[], moment(1));
        leases.list(moment(1)).map(|lease| lease.key).collect::<Vec<_>>()
    };
    let (by_both, by_duid) = (keys(KeyBy::DuidIaid), keys(KeyBy::Duid));
    assert_ne!(by_both[0], by_both[1]);
    assert_eq!(by_duid[0], by_duid[1]);
}

#[test]
fn a_dhcpv4_client_keeps_its_key_with_another_card() {
    let v4 = |mac: &str| Held {
        r#type: LeaseType::V4,
        holder: Holder::V4 { identifier: ClientIdentifier::new(&[9]).unwrap() },
        address: "192.0.2.1".parse().unwrap(),
        mac: mac.parse().ok(),
        ..held(1, 1, 0)
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
        let Holder::V6 { duid, .. } = &held.holder else { return false };
        self.0.get(&held.address).is_some_and(|lease| lease.duid.as_ref() == Some(duid))
    }
}

/// A server at work for a while, read whole, in part, and with lines that cannot be read, while
/// somebody sets the clock.
fn live(seed: u64) {
    let mut chance = Chance(seed);
    let mut server: BTreeMap<IpAddr, Held> = BTreeMap::new();
    let (mut leases, mut believer) = (leases(), Believer::default());
    let (mut wall, mut boot) = (1_000, 1_000);
    for _ in 0..400 {
        let address = chance.below(12) as u16;
        let mut lease = held(address, chance.below(4) as u8, wall + 1 + chance.below(60) as i64);
        match chance.below(8) {
            0 => lease.expires_at = None,
            1 => lease = named(lease, "a"),
            _ => (),
        }
        match chance.below(4) {
            0 => drop(server.remove(&lease.address)),
            _ => drop(server.insert(lease.address, lease)),
        }
        let passed = chance.below(4) as i64;
        boot += passed;
        wall += match chance.below(30) {
            0 => -100,
            1 => 100,
            _ => passed,
        };
        let now = both(wall, boot);
        let rows: Vec<Held> = server.values().cloned().collect();
        match chance.below(6) {
            0 => {
                let news = leases.pass_time(now);
                believer.hear(&leases, news);
            }
            1 => {
                let end = chance.below(rows.len() as u64 + 1) as usize;
                let news = part(&mut leases, &rows[..end], now);
                believer.hear(&leases, news);
            }
            2 if !rows.is_empty() => {
                let mut readable = rows.clone();
                let hidden = readable.remove(chance.below(rows.len() as u64) as usize);
                let before = believer.0.get(&hidden.address).cloned();
                let news = whole(&mut leases, &readable, &[chance.below(1 << 60)], now);
                believer.hear(&leases, news);
                // Lost is only what nobody knew, or what had ended as far as anybody knew.
                let was_known = before.is_some();
                let end = before.and_then(|lease| lease.expires_at);
                let ended = end.is_some_and(|end| end <= now.wall);
                assert!(!was_known || ended || believer.0.contains_key(&hidden.address));
                continue;
            }
            _ => {
                let news = whole(&mut leases, &rows, &[], now);
                believer.hear(&leases, news);
                let news = leases.pass_time(now);
                believer.hear(&leases, news);
                // Whatever the clock says, nothing is believed that the server does not have, and
                // nothing is missing that has not ended by it.
                let active = |held: &&Held| held.expires_at.is_none_or(|end| end > now.wall);
                assert!(server.values().filter(active).all(|held| believer.believes(held)));
                let known = |lease: &Lease| server.contains_key(&lease.address);
                assert!(believer.0.values().all(known), "seed {seed}");
            }
        }
        let listed: Vec<IpAddr> = leases.list(now).map(|lease| lease.address).collect();
        assert!(listed.iter().eq(believer.0.keys()), "seed {seed}");
    }
}

#[test]
fn whoever_believes_the_records_believes_what_is_so() {
    (1..=60).for_each(live);
}

/// A log of one server, and what is so at its end.
fn log(chance: &mut Chance, length: usize) -> (Vec<Said>, BTreeMap<IpAddr, Held>) {
    let (mut log, mut end) = (Vec::new(), BTreeMap::new());
    for _ in 0..length {
        let held = held(chance.below(9) as u16, chance.below(4) as u8, chance.below(2) as i64 * 99);
        if chance.below(3) == 0 {
            log.push(Said::Ended(held.place(), LeaseEvent::Release));
            end.remove(&held.address);
        } else {
            end.insert(held.address, held.clone());
            log.push(Said::Held(held));
        }
    }
    (log, end)
}

#[test]
fn a_log_read_twice_doubled_or_in_pieces_comes_to_the_same() {
    for seed in 1..=200 {
        let mut chance = Chance(seed);
        let (log, end) = log(&mut chance, 60);
        let mut leases = with(Manner { is_table: false, ..manner() });
        let mut believer = Believer::default();
        // Each thing once or twice, taken in at any pace, and the whole log again now and then.
        let mut at = 0;
        while at < log.len() {
            let next = (at + 1 + chance.below(9) as usize).min(log.len());
            for said in log[at..next].iter().flat_map(|said| [said, said]) {
                leases.say(said.clone(), moment(5));
            }
            let news = leases.news(moment(5));
            believer.hear(&leases, news);
            at = next;
            if chance.below(4) == 0 {
                leases.begin();
                log[..at].iter().for_each(|said| leases.say(said.clone(), moment(5)));
                assert!(leases.whole(moment(5)).is_empty(), "seed {seed}");
            }
        }
        assert_eq!(believer.0.len(), end.len(), "seed {seed}");
        assert!(end.values().all(|held| believer.believes(held)), "seed {seed}");
    }
}
