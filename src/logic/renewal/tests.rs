use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::course::NEVER;
use super::*;
use crate::random::Random;
use crate::record::Ifname;

const START: i64 = 1_800_000_000;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn day(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// The clocks `second` seconds after a boot at [`START`], with the time of day `set` seconds off.
fn clocks(second: u64, set: i64) -> Now {
    Now { wall: day(second as i64 + set), boot: secs(second), awake: secs(second) }
}

/// A lease of that second with those times behind it.
fn terms(obtained: u64, t1: u64, t2: u64, valid: u64) -> Terms {
    let at = |after| Some(day((obtained + after) as i64));
    Terms::of(day(obtained as i64), at(t1), at(t2), at(valid), clocks(obtained, 0))
}

fn link(number: usize) -> Ifname {
    format!("lp{number}").parse().unwrap()
}

fn bridge(name: &str) -> Ifname {
    name.parse().unwrap()
}

#[test]
fn the_time_decides_what_is_asked() {
    let course = Course::new(terms(0, 50, 80, 100), 0.0, false);
    for (at, ask) in [
        (0, None),
        (49, None),
        (50, Some(Ask::Renew)),
        (79, Some(Ask::Renew)),
        (80, Some(Ask::Rebind)),
        (100, Some(Ask::Lease)),
    ] {
        assert_eq!(course.ask(secs(at)), ask, "{at}");
    }
    assert_eq!(course.due(), secs(50));
    assert_eq!(Course::new(Terms::none(), 0.5, false).ask(secs(0)), Some(Ask::Lease));
}

#[test]
fn what_never_comes_is_never_asked() {
    let endless = Terms::of(day(0), None, None, None, clocks(0, 0));
    let course = Course::new(endless, 0.7, false);
    assert_eq!((course.due(), course.ask(secs(1 << 40))), (NEVER, None));
    let no_t2 = Terms::of(day(0), Some(day(100)), None, None, clocks(0, 0));
    let due = Course::new(no_t2, 0.9, false).due();
    assert!(due >= secs(100) && due < secs(800), "{due:?}");
}

#[test]
fn renewals_are_spread_over_the_first_half_of_the_time_to_t2() {
    let mut tenths = [0; 10];
    for number in 0..10_000 {
        let share = share(link(number).as_str());
        let due = Course::new(terms(0, 1800, 2880, 3600), share, false).due();
        assert!(due >= secs(1800) && due < secs(2340), "{due:?}");
        tenths[((due - secs(1800)).as_secs() / 54) as usize] += 1;
    }
    assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    assert_eq!(share("lpkuurtenaba426"), share("lpkuurtenaba426"));
}

/// When something is asked of a lease for which nobody ever answers, until `until`.
fn unanswered(mut course: Course, until: u64) -> Vec<(u64, Ask)> {
    let mut random = Random::seeded(7);
    let mut asked = Vec::new();
    loop {
        let now = course.due();
        if now > secs(until) {
            return asked;
        }
        let attempt = course.attempt(now, &mut random);
        assert!(attempt.patience >= secs(1) && attempt.patience <= secs(10), "{attempt:?}");
        asked.push((now.as_secs(), attempt.ask));
        course.unanswered();
        assert!(course.due() > now);
    }
}

#[test]
fn without_an_answer_the_waits_double_and_each_stage_begins_anew() {
    let asked = unanswered(Course::new(terms(0, 1800, 2880, 3600), 0.0, false), 7200);
    let of = |ask: Ask| asked.iter().filter(|(_, a)| *a == ask).map(|(at, _)| *at).collect();
    let (renews, rebinds, leases): (Vec<u64>, Vec<u64>, Vec<u64>) =
        (of(Ask::Renew), of(Ask::Rebind), of(Ask::Lease));
    assert_eq!((renews[0], rebinds[0], leases[0]), (1800, 2880, 3600));
    assert!((5..=8).contains(&renews.len()), "{renews:?}");
    assert!((5..=8).contains(&rebinds.len()), "{rebinds:?}");
    assert!((6..=10).contains(&leases.len()), "{leases:?}");
    for times in [renews, rebinds, leases] {
        let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((9..=11).contains(&waits[0]), "{waits:?}");
        assert!(waits.windows(2).all(|pair| pair[1] * 10 >= pair[0] * 16), "{waits:?}");
    }
}

/// RFC 8415 section 21.24.
#[test]
fn servers_say_how_often_they_are_asked_for_a_lease() {
    let longest = |limit: Option<u64>| {
        let mut course = Course::new(Terms::none(), 0.0, false);
        // It holds for what is leased after that, too.
        course.extended(terms(0, 1800, 2880, 3600));
        limit.map(secs).into_iter().for_each(|limit| course.limited(limit));
        course.extended(terms(0, 1800, 2880, 3600));
        let asked = unanswered(course, 400_000).into_iter();
        let asked = asked.filter(|(_, ask)| *ask == Ask::Lease).map(|(at, _)| at);
        let asked: Vec<u64> = asked.collect();
        asked.windows(2).map(|two| two[1] - two[0]).max().unwrap()
    };
    assert!((3240..=3961).contains(&longest(None)), "{}", longest(None));
    assert!((54..=67).contains(&longest(Some(60))));
    assert!((77_760..=95_041).contains(&longest(Some(86_400))));
}

#[test]
fn short_terms_have_short_waits() {
    let asked = unanswered(Course::new(terms(0, 10, 16, 20), 0.0, false), 21);
    let of = |ask: Ask| asked.iter().filter(|(_, a)| *a == ask).count();
    assert!(of(Ask::Renew) >= 2 && of(Ask::Rebind) >= 2 && of(Ask::Lease) == 1, "{asked:?}");
}

#[test]
fn a_doubt_asks_once_whether_the_link_is_the_same() {
    let mut random = Random::seeded(1);
    let mut course = Course::new(terms(0, 1000, 1600, 2000), 0.5, false);
    course.doubted(secs(100), secs(10));
    assert_eq!((course.due(), course.ask(secs(104))), (secs(105), None));
    assert_eq!(course.attempt(secs(105), &mut random).ask, Ask::Confirm);
    let mut unheard = course;
    unheard.unanswered();
    assert_eq!(unheard.due(), secs(1150), "goes on with what it has");
    course.confirmed(true);
    assert_eq!(course.due(), secs(1150));
    course.doubted(secs(200), secs(0));
    course.confirmed(false);
    assert_eq!(course.ask(secs(200)), Some(Ask::Lease), "it does not fit");
    course.extended(terms(200, 1000, 1600, 2000));
    assert_eq!(course.ask(secs(300)), None);

    let mut with_prefix = Course::new(terms(0, 1000, 1600, 2000), 0.5, true);
    with_prefix.doubted(secs(100), secs(0));
    assert_eq!(with_prefix.attempt(secs(100), &mut random).ask, Ask::Rebind);
    with_prefix.unanswered();
    let due = with_prefix.due();
    assert!(due >= secs(109) && due <= secs(111), "{due:?}");
}

#[test]
fn a_doubt_does_not_hold_up_who_is_to_be_asked_for_more_time() {
    let mut course = Course::new(terms(0, 2, 4, 12), 0.0, false);
    course.doubted(secs(1), secs(0));
    let confirm = course.attempt(secs(1), &mut Random::seeded(7));
    assert_eq!(confirm, Attempt { ask: Ask::Confirm, patience: secs(3) });
}

#[test]
fn a_link_that_comes_back_is_a_new_chance() {
    let mut random = Random::seeded(1);
    let mut course = Course::new(terms(0, 10, 16, 20), 0.5, false);
    for _ in 0..8 {
        let due = course.due().max(secs(20));
        assert_eq!(course.attempt(due, &mut random).ask, Ask::Lease);
        course.unanswered();
    }
    let far = course.due();
    course.doubted(far - secs(500), secs(2));
    assert_eq!(course.due(), far - secs(499));
    assert_eq!(course.attempt(course.due(), &mut random).ask, Ask::Lease);
}

#[test]
fn setting_the_clock_drops_nothing() {
    for by in [-5_000_000, -3600, 3600, 5_000_000] {
        let mut watch = Watch::new(clocks(100, 0));
        assert_eq!(watch.look(clocks(101, 0)), Jumps::default());
        assert_eq!(watch.look(clocks(102, by)), Jumps { set: true, slept: false }, "{by}");
        assert_eq!(watch.look(clocks(103, by)), Jumps::default());
        // What is held goes by the boot clock, and is extended soon so that its times are right again.
        let mut course = Course::new(terms(0, 1800, 2880, 3600), 0.99, false);
        course.hurried(secs(102), secs(60));
        assert!(course.due() > secs(102) && course.due() <= secs(162), "{:?}", course.due());
        assert_eq!(course.ask(course.due()), Some(Ask::Renew));
    }
    // Read anew from its file after the clock was set back past its beginning: extended at once.
    let read =
        Terms::of(day(0), Some(day(1800)), Some(day(2880)), Some(day(3600)), clocks(50, -500));
    assert_eq!(Course::new(read, 0.0, false).due(), secs(50));
}

#[test]
fn slewing_is_no_jump_and_sleep_is_one() {
    let mut watch = Watch::new(clocks(100, 0));
    let slewed =
        Now { wall: day(4100) + jiff::SignedDuration::from_millis(1900), ..clocks(4100, 0) };
    assert_eq!(watch.look(slewed), Jumps::default());
    let slept = Now { awake: secs(4101), boot: secs(9101), wall: day(9103) };
    assert_eq!(watch.look(slept), Jumps { set: false, slept: true });
}

/// Ten thousand leases on one bridge, a server that is away for some time, and how it comes out.
struct Site {
    agenda: Agenda<Ifname>,
    /// When each lease ends, as the server sees it.
    ends: HashMap<Ifname, u64>,
    valid: u64,
}

impl Site {
    fn new(count: usize, t1: u64, t2: u64, valid: u64) -> Site {
        let mut agenda = Agenda::new(Random::seeded(3));
        let mut ends = HashMap::new();
        for number in 0..count {
            let link = link(number);
            let course = Course::new(terms(0, t1, t2, valid), share(link.as_str()), false);
            agenda.put(&link, &bridge("br1"), course);
            ends.insert(link, valid);
        }
        Site { agenda, ends, valid }
    }

    /// Runs until `end` with `at_once` questions in the air, each of which is answered within the
    /// second unless the server is away. The most that were asked in one second, and what was ever
    /// asked.
    fn run(
        &mut self,
        end: u64,
        away: std::ops::Range<u64>,
        at_once: usize,
    ) -> (usize, Vec<(u64, Ask)>) {
        let (mut most, mut all) = (0, Vec::new());
        let mut open: Vec<(Ifname, u64)> = Vec::new();
        for second in 0..end {
            let now = secs(second);
            let (over, still): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|(_, at)| *at <= second);
            open = still;
            for (link, _) in over {
                self.agenda.done(&link, Outcome::Silence);
            }
            let mut asked = 0;
            // What is answered is answered in milliseconds, so its place in the air is free again.
            while asked < at_once * 5 && open.len() < at_once {
                let Some((link, attempt)) = self.agenda.take(now) else { break };
                asked += 1;
                all.push((second, attempt.ask));
                if away.contains(&second) {
                    open.push((link, second + attempt.patience.as_secs().max(1)));
                    continue;
                }
                let before = self.ends.insert(link.clone(), second + self.valid).unwrap();
                assert!(attempt.ask == Ask::Lease || before > second, "ended meanwhile");
                let given = terms(second, self.valid / 2, self.valid * 4 / 5, self.valid);
                self.agenda.done(&link, Outcome::Extended(given));
            }
            most = most.max(asked);
        }
        (most, all)
    }
}

#[test]
fn ten_thousand_leases_are_renewed_one_by_one_for_hours() {
    let mut site = Site::new(10_000, 1800, 2880, 3600);
    let (most, asked) = site.run(6 * 3600, 0..0, 64);
    assert!(asked.iter().all(|(_, ask)| *ask == Ask::Renew));
    assert!(most < 80, "at most {most} in one second");
    let per_hour = asked.len() as f64 / 6.0 / 10_000.0;
    assert!((1.5..2.0).contains(&per_hour), "{per_hour}");
}

#[test]
fn after_an_outage_all_are_renewed_before_they_end_and_none_is_asked_twice_at_once() {
    // From before the first T1 until shortly before T2: nothing but Renew is ever answered.
    let mut site = Site::new(10_000, 1800, 2880, 3600);
    let (most, asked) = site.run(2870, 1700..2800, 64);
    let during = asked.iter().filter(|(at, _)| (1700..2800).contains(at)).count();
    assert!(during < 1500, "{during} questions into the void");
    assert!(most <= 320, "{most}");
    assert!(asked.iter().all(|(_, ask)| *ask == Ask::Renew));
    assert!(site.ends.values().all(|end| *end > 3600), "all were renewed in time");
    // Until after T2, for the whole hour but its last minutes: by Rebind then.
    let mut site = Site::new(10_000, 1800, 2880, 3600);
    let (_, asked) = site.run(3590, 1700..3500, 64);
    assert!(asked.iter().all(|(_, ask)| *ask != Ask::Lease));
    assert!(site.ends.values().all(|end| *end > 3600), "all were rebound in time");
}

#[test]
fn a_lease_that_nobody_answers_does_not_hold_up_the_others() {
    let mut agenda = Agenda::new(Random::seeded(1));
    for number in 0..20 {
        agenda.put(&link(number), &bridge("br1"), Course::new(Terms::none(), 0.0, false));
        agenda.put(&link(100 + number), &bridge("br2"), Course::new(Terms::none(), 0.0, false));
    }
    let is_first = |link: &Ifname| link.as_str().len() < 5;
    // Three of the first bridge find no answer; what was asked on the other is answered.
    let mut silent = 0;
    while silent < 3 {
        let (link, _) = agenda.take(secs(1)).unwrap();
        if is_first(&link) {
            silent += 1;
            agenda.done(&link, Outcome::Silence);
        } else {
            agenda.done(&link, Outcome::Extended(terms(1, 50, 80, 100)));
        }
    }
    assert!(agenda.silence(&bridge("br1")).is_some());
    assert_eq!(agenda.silence(&bridge("br2")), None);
    let rest: Vec<_> = std::iter::from_fn(|| agenda.take(secs(1))).collect();
    let (one, other): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(link, _)| is_first(link));
    assert_eq!(one.len(), 2);
    assert!(one.iter().all(|(_, attempt)| attempt.patience <= secs(3)));
    assert!(other.len() >= 15, "the other bridge goes on: {}", other.len());
    // The first answer ends it, and what had found none is asked again.
    agenda.done(&one[0].0, Outcome::Refused);
    assert_eq!(agenda.silence(&bridge("br1")), None);
    assert_eq!(std::iter::from_fn(|| agenda.take(secs(12))).count(), 18 + 1);
}

#[test]
fn what_was_asked_just_before_the_end_of_an_outage_does_not_wait_for_long() {
    let mut agenda = Agenda::new(Random::seeded(1));
    (0..4)
        .for_each(|n| agenda.put(&link(n), &bridge("br1"), Course::new(Terms::none(), 0.0, false)));
    let mut now = secs(1);
    // Long enough that each has waited, and would wait on, for minutes.
    while now < secs(600) {
        match agenda.take(now) {
            Some((link, _)) => agenda.done(&link, Outcome::Silence),
            None => now = agenda.next(),
        }
    }
    let (first, _) = agenda.take(now).unwrap();
    let (second, _) = loop {
        now = now.max(agenda.next());
        if let Some(taken) = agenda.take(now) {
            break taken;
        }
    };
    agenda.done(&first, Outcome::Extended(terms(now.as_secs(), 1800, 2880, 3600)));
    agenda.done(&second, Outcome::Silence);
    let due = agenda.course(&second).unwrap().due();
    assert!(due <= now + secs(11), "{due:?} after {now:?}");
}

#[test]
fn what_is_forgotten_is_not_asked_for() {
    let mut agenda = Agenda::new(Random::seeded(1));
    let one = link(1);
    agenda.put(&one, &bridge("br1"), Course::new(Terms::none(), 0.0, false));
    assert_eq!(agenda.next(), Duration::ZERO);
    let (taken, _) = agenda.take(secs(1)).unwrap();
    assert!(agenda.is_busy(&taken) && agenda.take(secs(1)).is_none());
    agenda.remove(&taken);
    agenda.done(&taken, Outcome::Silence);
    assert!(agenda.is_empty() && agenda.next() == NEVER);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However servers answer or do not, a lease is never left without a next time, no question is
    /// asked before its time, and a question is asked in each of its stages.
    #[test]
    fn there_is_always_a_next_time(
        t1 in 0u64..500, between in 0u64..500, beyond in 0u64..500, share in 0.0f64..1.0,
        has_prefix: bool, fates in prop::collection::vec(0u8..7, 1..60),
    ) {
        let mut random = Random::seeded(9);
        let (t2, valid) = (t1 + between, t1 + between + beyond);
        let mut now = secs(1000);
        let mut course = Course::new(terms(1000, t1, t2, valid), share, has_prefix);
        for fate in fates {
            let due = course.due();
            prop_assert!(due != NEVER);
            now = now.max(due);
            prop_assert!(course.ask(now).is_some());
            let attempt = course.attempt(now, &mut random);
            prop_assert_eq!(has_prefix && attempt.ask == Ask::Confirm, false);
            match fate {
                0 => course.extended(terms(now.as_secs(), t1.max(1), t2.max(1), valid.max(1))),
                1 => course.confirmed(true),
                2 => course.confirmed(false),
                3 => course.doubted(now + secs(1), secs(30)),
                4 => course.hurried(now, secs(60)),
                5 => course.heard(),
                _ => course.unanswered(),
            }
            prop_assert!(course.due() <= now + secs(3961).max(secs(valid)));
        }
    }

    /// Nothing is lost between the queues, whatever happens in whatever order.
    #[test]
    fn the_agenda_keeps_everything(steps in prop::collection::vec((0u8..8, 0usize..12, 0u64..40), 1..200)) {
        let mut agenda = Agenda::new(Random::seeded(5));
        let mut known: HashMap<Ifname, bool> = HashMap::new();
        let mut now = 0;
        for (what, number, by) in steps {
            let (link, bridge) = (link(number), bridge(if number % 2 == 0 { "br1" } else { "br2" }));
            now += by;
            match what {
                0 | 1 => {
                    agenda.put(&link, &bridge, Course::new(terms(now, 10, 16, 20), share(link.as_str()), false));
                    known.insert(link, false);
                }
                2 => {
                    agenda.remove(&link);
                    known.remove(&link);
                }
                3 => agenda.change(&link, |course| course.doubted(secs(now), secs(5))),
                4 | 5 => if let Some((taken, _)) = agenda.take(secs(now)) {
                    prop_assert_eq!(known.insert(taken, true), Some(false));
                },
                6 => {
                    agenda.done(&link, Outcome::Silence);
                    known.entry(link).and_modify(|busy| *busy = false);
                }
                _ => {
                    agenda.done(&link, Outcome::Extended(terms(now, 10, 16, 20)));
                    known.entry(link).and_modify(|busy| *busy = false);
                }
            }
            prop_assert_eq!(agenda.len(), known.len());
            for (link, busy) in &known {
                prop_assert_eq!(agenda.is_busy(link), *busy);
            }
        }
        // In the end everything that is not worked on comes up.
        let busy: Vec<Ifname> = known.iter().filter(|(_, busy)| **busy).map(|(link, _)| link.clone()).collect();
        busy.iter().for_each(|link| agenda.done(link, Outcome::Failed));
        let mut seen = std::collections::HashSet::new();
        while let Some((link, _)) = agenda.take(secs(1_000_000)) {
            agenda.done(&link, Outcome::Confirmed(true));
            agenda.change(&link, |course| course.extended(terms(2_000_000, 10, 16, 20)));
            seen.insert(link);
        }
        prop_assert_eq!(seen.len(), known.len());
    }
}
