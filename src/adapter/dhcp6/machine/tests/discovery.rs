//! Solicit, Advertise, Request (sections 18.2.1, 18.2.2 and 18.2.9).

use super::*;

#[test]
fn a_solicit_says_who_asks_and_what_for() {
    let solicit = Lab::new(Task::Lease).sent();
    assert_eq!(solicit.kind(), SOLICIT);
    assert_eq!(solicit.option(1), Some(CLIENT));
    assert_eq!(solicit.option(2), None);
    assert_eq!(solicit.option(3), Some(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0][..]));
    assert_eq!(solicit.option(6), Some(&[0, 23, 0, 24, 0, 82][..]));
    assert_eq!(solicit.option(8), Some(&[0, 0][..]));
    assert_eq!(solicit.option(14), Some(&[][..]));
    assert_eq!(solicit.option(20), None, "Reconfigure is not accepted");
    let mut slow = Lab::with(Task::Lease, |client| client.rapid_commit = false);
    assert_eq!(slow.sent().option(14), None);
}

#[test]
fn rapid_commit_takes_two_messages() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    let dns = opt(23, &addr(0x53).octets());
    let search = opt(24, b"\x03lab\x07example\0\0\x04a b!\0");
    let options = [opt(14, &[]), ia(addr(1), false), dns, search];
    lab.after(3).receive(&solicit.answer(REPLY, SERVER, &options));
    let lease = lab.lease();
    assert_eq!(lease.server.as_bytes(), SERVER);
    assert_eq!((lease.iaid, lease.rapid, lease.elapsed), (7, true, ms(3)));
    assert_eq!(address_of(&lease), addr(1));
    assert_eq!((lease.t1.as_secs(), lease.t2.as_secs()), (50, 80));
    assert_eq!(lease.dns_servers, [addr(0x53)]);
    assert_eq!(lease.search, ["lab.example".parse().unwrap()]);
    assert_eq!(lease.held().all_addresses(), [addr(1)]);
    assert_eq!(lease.held().addresses[0].left, Lifetime::from_secs(200));
}

#[test]
fn a_reply_that_commits_unasked_is_ignored() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(REPLY, SERVER, &[ia(addr(1), false)]));
    lab.waits();
    let mut slow = Lab::with(Task::Lease, |client| client.rapid_commit = false);
    let solicit = slow.sent();
    slow.receive(&solicit.answer(REPLY, SERVER, &[opt(14, &[]), ia(addr(1), false)]));
    slow.waits();
}

#[test]
fn an_advertise_is_requested_after_the_time_for_better_ones() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    lab.after(2).receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
    assert_eq!(lab.waits(), ms(12));
    let request = lab.sent_later();
    assert_eq!(lab.now, ms(12));
    assert_eq!(request.kind(), REQUEST);
    assert_ne!(request.xid(), solicit.xid());
    assert_eq!(request.option(2), Some(SERVER));
    assert_eq!(request.addresses(), [addr(1)]);
    assert_eq!((request.elapsed(), request.option(14)), (0, None));
    lab.after(1).receive(&request.answer(REPLY, SERVER, &[ia(addr(2), false)]));
    let lease = lab.lease();
    assert_eq!((address_of(&lease), lease.rapid, lease.elapsed), (addr(2), false, ms(13)));
}

#[test]
fn the_highest_preference_is_requested_at_once() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
    lab.receive(&solicit.answer(ADVERTISE, OTHER, &[ia(addr(2), false), opt(7, &[255])]));
    assert_eq!(lab.sent().option(2), Some(OTHER));
}

#[test]
fn of_several_offers_the_preferred_one_is_requested() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false), opt(7, &[3])]));
    lab.after(9).receive(&solicit.answer(ADVERTISE, OTHER, &[ia(addr(2), false), opt(7, &[4])]));
    assert_eq!(lab.sent_later().option(2), Some(OTHER));
    assert_eq!(lab.now, ms(10));
}

#[test]
fn collecting_ends_with_the_first_rt() {
    let mut lab = Lab::with(Task::Lease, |client| client.collect = Duration::MAX);
    let solicit = lab.sent();
    lab.after(2).receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
    assert_eq!(lab.sent_later().kind(), REQUEST);
    assert!(lab.now > ms(1000) && lab.now <= ms(1100), "{:?}", lab.now);
}

#[test]
fn after_the_first_rt_any_offer_is_requested_at_once() {
    let mut lab = Lab::new(Task::Lease);
    let first = lab.sent();
    let again = lab.sent_later();
    assert_eq!((again.kind(), again.xid()), (SOLICIT, first.xid()));
    assert!((100..=110).contains(&again.elapsed()), "{}", again.elapsed());
    lab.after(1).receive(&again.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
    assert_eq!(lab.sent().kind(), REQUEST);
}

#[test]
fn an_advertise_without_addresses_changes_no_timer() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    let due = lab.waits();
    lab.after(5).receive(&solicit.answer(ADVERTISE, SERVER, &[ia_with(&[status(2)])]));
    assert_eq!(lab.waits(), due);
    lab.after(5).receive(&solicit.answer(ADVERTISE, OTHER, &[ia(addr(2), false)]));
    assert_eq!(lab.sent_later().option(2), Some(OTHER));
}

#[test]
fn when_all_servers_refuse_the_first_rt_is_the_end() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    let full = opt(13, b"\0\x02no addresses\nleft");
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[full]));
    let error = lab.ended_later().unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(lab.now <= ms(1100));
    assert_eq!(
        error.to_string(),
        "lease DHCPv6 address: server says NoAddrsAvail (\"no addresses\\nleft\")"
    );
}

#[test]
fn a_refused_request_goes_to_the_next_server() {
    for answer in [vec![status(2)], vec![ia_with(&[status(2)])], vec![ia_with(&[])], vec![]] {
        let mut lab = Lab::new(Task::Lease);
        let solicit = lab.sent();
        lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
        lab.receive(&solicit.answer(ADVERTISE, OTHER, &[ia(addr(2), false)]));
        let request = lab.sent_later();
        assert_eq!(request.option(2), Some(SERVER));
        lab.receive(&request.answer(REPLY, SERVER, &answer));
        let request = lab.sent();
        assert_eq!((request.kind(), request.option(2)), (REQUEST, Some(OTHER)));
        lab.receive(&request.answer(REPLY, OTHER, &[status(2)]));
        assert_eq!(lab.ended().unwrap_err().kind(), Kind::Refused);
    }
}

#[test]
fn a_request_without_an_answer_goes_to_the_next_server() {
    let mut lab = Lab::with(Task::Lease, |client| client.give_up_after = ms(3_600_000));
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
    lab.receive(&solicit.answer(ADVERTISE, OTHER, &[ia(addr(2), false)]));
    for _ in 0..10 {
        assert_eq!(lab.sent_later().option(2), Some(SERVER));
    }
    assert_eq!(lab.sent_later().option(2), Some(OTHER));
    let error = lab.ended_later().unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
}

#[test]
fn a_server_that_is_silent_has_not_refused() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, OTHER, &[status(2)]));
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]));
    assert_eq!(lab.ended_later().unwrap_err().kind(), Kind::TimedOut);
}

#[test]
fn not_on_link_starts_discovery_anew_once() {
    let mut lab = Lab::new(Task::Lease);
    for again in [true, false] {
        let solicit = lab.sent();
        assert_eq!(solicit.kind(), SOLICIT);
        lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false), opt(7, &[255])]));
        let request = lab.sent();
        lab.receive(&request.answer(REPLY, SERVER, &[ia_with(&[status(4)])]));
        assert_eq!(lab.machine.end.is_none(), again);
    }
    let error = lab.ended().unwrap_err();
    assert!(error.to_string().ends_with("server says NotOnLink"), "{error}");
}

#[test]
fn gives_up_when_it_was_told_to() {
    let mut lab = Lab::with(Task::Lease, |client| client.give_up_after = ms(2500));
    let error = lab.ended_later().unwrap_err();
    assert_eq!((lab.now, error.kind()), (ms(2500), Kind::TimedOut));
    assert_eq!(error.to_string(), "lease DHCPv6 address: no DHCPv6 server answered within 2.5 s");
}

#[test]
fn a_servers_limit_for_solicits_is_kept() {
    for (limit, longest) in [(60u32, 66.0), (59, 4000.0), (86401, 4000.0)] {
        let mut lab = Lab::with(Task::Lease, |client| client.give_up_after = ms(40_000_000));
        let solicit = lab.sent();
        lab.receive(&solicit.answer(ADVERTISE, SERVER, &[opt(82, &limit.to_be_bytes())]));
        let mut gaps = Vec::new();
        for _ in 0..14 {
            let before = lab.now;
            assert_eq!(lab.sent_later().kind(), SOLICIT);
            gaps.push((lab.now - before).as_secs_f64());
        }
        let most = gaps.iter().copied().fold(0.0, f64::max);
        assert!(most <= longest && most > longest / 1.3, "{limit} {gaps:?}");
    }
}
