//! Several identity associations in one exchange (sections 18.1 and 18.2), and each alone.

use super::*;

fn all(task: Task) -> Lab {
    Lab::with(task, |client| client.wants = ALL)
}

/// What is refused, and the codes.
fn refused(lease: &Lease) -> Vec<(Ia, Option<u16>)> {
    lease.refused.iter().map(|refusal| (refusal.ia, refusal.code)).collect()
}

fn addresses(lease: &Lease) -> Vec<(Ia, Ipv6Addr)> {
    lease.addresses.iter().map(|leased| (leased.ia, leased.address)).collect()
}

fn prefixes(lease: &Lease) -> Vec<String> {
    lease.prefixes.iter().map(|leased| leased.prefix.to_string()).collect()
}

/// Everything, as a server gives it.
fn everything() -> [Vec<u8>; 3] {
    [
        na(50, 80, &[at(addr(1), 100, 200)]),
        ta(&[at(addr(2), 60, 120)]),
        pd(40, 90, &[prefix("fd02::/56", 100, 200)]),
    ]
}

#[test]
fn a_solicit_asks_for_all_that_is_wanted_and_nothing_else() {
    let empty = [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    let solicit = all(Task::Lease).sent();
    assert_eq!(solicit.option(3), Some(&empty[..]));
    assert_eq!(solicit.option(4), Some(&empty[..4]));
    assert_eq!(solicit.prefixes(), ["::/56"], "the length is a hint");
    for (wants, codes) in [
        (Wants { delegate: Some(0), ..Wants::NOTHING }, [false, false, true]),
        (Wants { temporary: true, ..Wants::NOTHING }, [false, true, false]),
        (Wants { delegate: Some(0), ..Wants::ADDRESS }, [true, false, true]),
    ] {
        let solicit = Lab::with(Task::Lease, |client| client.wants = wants).sent();
        assert_eq!([3, 4, 25].map(|code| solicit.option(code).is_some()), codes, "{wants:?}");
        if wants.delegate.is_some() {
            assert_eq!(solicit.prefixes(), [""; 0], "no length, no hint");
        }
    }
}

#[test]
fn all_that_is_given_is_taken_and_the_earliest_times_hold() {
    let mut lab = all(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(REPLY, SERVER, &[opt(14, &[]), everything().concat()]));
    let lease = lab.lease();
    assert_eq!(addresses(&lease), [(Ia::Na, addr(1)), (Ia::Ta, addr(2))]);
    assert_eq!(prefixes(&lease), ["fd02::/56"]);
    assert_eq!(refused(&lease), []);
    // T1 from the IA_TA's preferred lifetime of 60 s, since it has no time of its own.
    assert_eq!((lease.t1.as_secs(), lease.t2.as_secs()), (30, 48));
    let held = lease.held();
    assert_eq!(
        held.addresses[1],
        HeldAddress { left: Lifetime::from_secs(120), ..held_all(120).addresses[1] }
    );
    assert_eq!(held.prefixes, [HeldPrefix { left: Lifetime::from_secs(200), ..held.prefixes[0] }]);
}

#[test]
fn a_request_speaks_of_everything_even_of_what_was_not_offered() {
    let mut lab = all(Task::Lease);
    let solicit = lab.sent();
    let [offered, ..] = everything();
    lab.receive(&solicit.answer(
        ADVERTISE,
        SERVER,
        &[offered, pd(0, 0, &[status(6)]), opt(7, &[255])],
    ));
    let request = lab.sent();
    assert_eq!((request.kind(), request.addresses()), (REQUEST, vec![addr(1)]));
    assert_eq!((request.temporary(), request.prefixes()), (vec![], vec!["::/56".to_owned()]));
}

#[test]
fn what_is_refused_is_told_and_the_rest_is_taken() {
    let [address, temporary, delegated] = everything();
    let no_prefix = pd(0, 0, &[opt(13, b"\0\x06the pool is empty")]);
    for (answer, gone) in [
        (vec![address.clone(), temporary.clone(), no_prefix.clone()], vec![(Ia::Pd, Some(6))]),
        (
            vec![address.clone(), ta(&[status(2)]), no_prefix.clone()],
            vec![(Ia::Ta, Some(2)), (Ia::Pd, Some(6))],
        ),
        // A server of RFC 3315 says it of the message.
        (vec![delegated.clone(), status(2)], vec![(Ia::Na, Some(2)), (Ia::Ta, Some(2))]),
        (vec![address.clone(), temporary, status(6)], vec![(Ia::Pd, Some(6))]),
        // RFC 9915 section 21.5: the IA_TA is ignored, and nothing is said of it.
        (vec![address, delegated], vec![(Ia::Ta, None)]),
    ] {
        let mut lab = all(Task::Lease);
        let solicit = lab.sent();
        lab.receive(&solicit.answer(REPLY, SERVER, &[opt(14, &[]), answer.concat()]));
        let lease = lab.lease();
        assert_eq!(refused(&lease), gone);
        for refusal in &lease.refused {
            let given = lease.addresses.iter().any(|leased| leased.ia == refusal.ia);
            assert!(!given && (refusal.ia != Ia::Pd || lease.prefixes.is_empty()));
        }
    }
    let mut lab = all(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(
        REPLY,
        SERVER,
        &[opt(14, &[]), everything()[0].clone(), no_prefix],
    ));
    assert_eq!(lab.lease().refused[1].why, "NoPrefixAvail (\"the pool is empty\")");
}

#[test]
fn when_nothing_is_given_each_reason_is_told() {
    let mut lab = all(Task::Lease);
    let solicit = lab.sent();
    let nothing = [na(0, 0, &[status(2)]), ta(&[status(2)]), pd(0, 0, &[status(6)])];
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &nothing));
    let error = lab.ended_later().unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(
        error.to_string(),
        "lease DHCPv6 address: server says NoAddrsAvail for IA_NA, NoAddrsAvail for IA_TA, \
         NoPrefixAvail for IA_PD"
    );
    let alone = Wants { delegate: Some(48), ..Wants::NOTHING };
    let mut lab = Lab::with(Task::Lease, |client| client.wants = alone);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[pd(0, 0, &[status(6)])]));
    let error = lab.ended_later().unwrap_err();
    assert_eq!(error.to_string(), "lease DHCPv6 prefix: server says NoPrefixAvail");
}

#[test]
fn a_prefix_alone_is_leased_and_renewed() {
    let alone = Wants { delegate: Some(48), ..Wants::NOTHING };
    let mut lab = Lab::with(Task::Lease, |client| client.wants = alone);
    let solicit = lab.sent();
    assert_eq!(solicit.prefixes(), ["::/48"]);
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[pd(0, 0, &[prefix("fd03::/48", 100, 200)])]));
    let request = lab.sent_later();
    assert_eq!((request.kind(), request.prefixes()), (REQUEST, vec!["fd03::/48".to_owned()]));
    lab.receive(&request.answer(REPLY, SERVER, &[pd(0, 0, &[prefix("fd03::/48", 100, 200)])]));
    let lease = lab.lease();
    assert_eq!((lease.addresses.len(), prefixes(&lease)), (0, vec!["fd03::/48".to_owned()]));
    assert_eq!((lease.t1.as_secs(), lease.t2.as_secs()), (50, 80));
    let renew = Lab::with(Task::Renew(lease.held()), |client| client.wants = alone).sent();
    assert_eq!((renew.option(3), renew.prefixes()), (None, vec!["fd03::/48".to_owned()]));
}

#[test]
fn an_address_association_may_hold_several_addresses() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    let several = na(0, 0, &[at(addr(1), 100, 200), at(addr(2), 50, 60), at(addr(1), 9, 9)]);
    lab.receive(&solicit.answer(REPLY, SERVER, &[opt(14, &[]), several]));
    let lease = lab.lease();
    assert_eq!(addresses(&lease), [(Ia::Na, addr(1)), (Ia::Na, addr(2))]);
    assert_eq!((lease.t1.as_secs(), lease.t2.as_secs()), (4, 7), "of the shortest");
    let renew = Lab::new(Task::Renew(lease.held())).sent();
    assert_eq!(renew.addresses(), [addr(1), addr(2)]);
}

/// Section 18.2.9: a server that has more of what is wanted may be chosen over one of higher preference.
#[test]
fn the_server_that_has_everything_is_requested() {
    let mut lab = all(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[ia(addr(9), false), opt(7, &[9])]));
    lab.receive(&solicit.answer(ADVERTISE, OTHER, &everything()));
    let request = lab.sent_later();
    assert_eq!(request.option(2), Some(OTHER));
    assert_eq!(
        (request.temporary(), request.prefixes()),
        (vec![addr(2)], vec!["fd02::/56".to_owned()])
    );
}

#[test]
fn a_renewal_asks_for_what_is_held_and_what_is_still_missing() {
    let renew = all(Task::Renew(held())).sent();
    assert_eq!((renew.addresses(), renew.temporary()), (vec![addr(1)], vec![]));
    assert_eq!(renew.prefixes(), ["::/56"]);
    // What is held is asked for even by a client that does not want it any more.
    let renew = Lab::new(Task::Renew(held_all(100))).sent();
    assert_eq!((renew.addresses(), renew.temporary()), (vec![addr(1)], vec![addr(2)]));
    assert_eq!(renew.prefixes(), ["fd02::/56"]);
}

/// Sections 15 and 18.2.4.
#[test]
fn what_runs_out_meanwhile_is_not_asked_for_again() {
    let mut held = held_all(100);
    held.addresses[1].left = Lifetime::from_secs(5);
    let mut lab = all(Task::Renew(held));
    lab.machine.client.give_up_after = ms(60_000);
    assert_eq!(lab.sent().temporary(), [addr(2)]);
    let again = lab.sent_later();
    assert!(lab.now > ms(5_000));
    assert_eq!((again.addresses(), again.temporary()), (vec![addr(1)], vec![]));
    assert_eq!(again.prefixes(), ["fd02::/56"]);
}

/// Section 18.2.5.
#[test]
fn a_rebind_ends_when_all_that_is_held_has() {
    let mut held = held_all(30);
    held.prefixes[0].left = Lifetime::from_secs(45);
    let mut lab = all(Task::Rebind(held));
    lab.machine.client.give_up_after = ms(3_600_000);
    assert_eq!(lab.ended_later().unwrap_err().kind(), Kind::TimedOut);
    assert_eq!(lab.now, ms(45_000));
}

#[test]
fn a_server_takes_back_only_what_the_client_has() {
    let mut lab = all(Task::Renew(held_all(100)));
    let renew = lab.sent();
    lab.receive(&renew.answer(
        REPLY,
        SERVER,
        &[
            na(0, 0, &[at(addr(1), 0, 0), at(addr(99), 0, 0), at(addr(8), 100, 200)]),
            ta(&[at(addr(2), 60, 120)]),
            pd(0, 0, &[prefix("fd02::/56", 0, 0), prefix("fd09::/56", 0, 0)]),
        ],
    ));
    let lease = lab.lease();
    assert_eq!(addresses(&lease), [(Ia::Na, addr(8)), (Ia::Ta, addr(2))]);
    assert_eq!(lease.withdrawn, [addr(1)]);
    assert_eq!(lease.withdrawn_prefixes, ["fd02::/56".parse().unwrap()]);
    assert_eq!((prefixes(&lease).len(), refused(&lease)), (0, vec![]));
    // It says nothing of what the client has: not an answer that ends the renewal for good.
    let mut lab = Lab::new(Task::Renew(held()));
    let renew = lab.sent();
    lab.receive(&renew.answer(REPLY, SERVER, &[na(0, 0, &[at(addr(99), 0, 0)])]));
    lab.waits();
}

/// Section 18.2.10.1: "The client places IA options in this message for all IAs."
#[test]
fn one_lost_association_is_requested_with_all_others() {
    let mut lab = all(Task::Renew(held_all(100)));
    let renew = lab.sent();
    let [address, temporary, _] = everything();
    lab.after(1).receive(&renew.answer(
        REPLY,
        SERVER,
        &[address, temporary, pd(0, 0, &[status(3)])],
    ));
    let request = lab.sent();
    assert_eq!((request.kind(), request.option(2)), (REQUEST, Some(SERVER)));
    assert_eq!((request.addresses(), request.temporary()), (vec![addr(1)], vec![addr(2)]));
    assert_eq!(request.prefixes(), ["fd02::/56"]);
    lab.receive(&request.answer(REPLY, SERVER, &everything()));
    let lease = lab.lease();
    assert_eq!((lease.addresses.len(), prefixes(&lease)), (2, vec!["fd02::/56".to_owned()]));
}

#[test]
fn what_a_renewal_gave_is_kept_when_the_request_for_the_rest_fails() {
    for refuses in [true, false] {
        let mut lab = all(Task::Renew(held_all(100)));
        let renew = lab.sent();
        let [address, ..] = everything();
        lab.receive(&renew.answer(
            REPLY,
            SERVER,
            &[address, ta(&[status(3)]), pd(0, 0, &[status(3)])],
        ));
        let request = lab.sent();
        if refuses {
            lab.after(2000).receive(&request.answer(REPLY, SERVER, &[status(1)]));
        }
        let Ok(Outcome::Leased(lease)) = lab.ended_later() else { panic!("no lease") };
        assert_eq!(addresses(&lease), [(Ia::Na, addr(1))]);
        // Ten seconds later: the client has given up.
        assert_eq!((lease.addresses[0].valid.as_secs(), lease.t1.as_secs()), (190, 40));
        assert_eq!(refused(&lease), [(Ia::Ta, Some(3)), (Ia::Pd, Some(3))]);
    }
    // The Request refuses what the Renew gave, and gives the rest.
    let mut lab = all(Task::Renew(held_all(100)));
    let renew = lab.sent();
    let [address, temporary, delegated] = everything();
    lab.receive(&renew.answer(REPLY, SERVER, &[address, temporary, pd(0, 0, &[status(3)])]));
    let request = lab.sent();
    lab.receive(&request.answer(REPLY, SERVER, &[na(0, 0, &[status(2)]), delegated]));
    let lease = lab.lease();
    assert_eq!(addresses(&lease), [(Ia::Na, addr(1)), (Ia::Ta, addr(2))]);
    assert_eq!((prefixes(&lease), refused(&lease)), (vec!["fd02::/56".to_owned()], vec![]));
    assert_eq!(lease.t1.as_secs(), 30, "of the IA_TA that the Renew gave");
}

#[test]
fn an_association_that_the_answer_leaves_out_is_told() {
    let mut lab = all(Task::Renew(held_all(100)));
    let renew = lab.sent();
    lab.receive(&renew.answer(REPLY, SERVER, &[ia(addr(1), false)]));
    let lease = lab.lease();
    assert_eq!(refused(&lease), [(Ia::Ta, None), (Ia::Pd, None)]);
    assert_eq!(lease.refused[1].why, "nothing is said of it");
}

#[test]
fn release_names_everything_and_decline_no_prefix() {
    for (task, kind) in
        [(Task::Release(held_all(0)), RELEASE), (Task::Decline(held_all(0)), DECLINE)]
    {
        let query = all(task).sent();
        assert_eq!((query.kind(), query.option(2)), (kind, Some(SERVER)));
        assert_eq!((query.addresses(), query.temporary()), (vec![addr(1)], vec![addr(2)]));
        match kind {
            RELEASE => assert_eq!(query.prefixes(), ["fd02::/56"]),
            _ => assert_eq!(query.option(25), None, "section 18.2.8"),
        }
    }
    // What is wanted and not held has nothing to do with it.
    let release = all(Task::Release(held())).sent();
    assert_eq!((release.option(4), release.option(25)), (None, None));
}

#[test]
fn there_is_nothing_to_say_when_nothing_is_given_back() {
    let only_prefix = Held { addresses: Vec::new(), ..held_all(9) };
    let nothing = Held { prefixes: Vec::new(), ..only_prefix.clone() };
    for task in [Task::Decline(only_prefix), Task::Release(nothing)] {
        assert!(matches!(all(task).ended(), Ok(Outcome::Noted)));
    }
}

/// Sections 18.2.3 and 18.2.12.
#[test]
fn prefixes_are_confirmed_by_a_rebind() {
    let confirm = all(Task::Confirm(Held { prefixes: Vec::new(), ..held_all(100) })).sent();
    assert_eq!((confirm.kind(), confirm.option(25)), (CONFIRM, None));
    assert_eq!((confirm.addresses(), confirm.temporary()), (vec![addr(1)], vec![addr(2)]));
    let mut lab = all(Task::Confirm(held_all(100)));
    lab.machine.client.give_up_after = ms(60_000);
    let rebind = lab.sent();
    assert_eq!((rebind.kind(), rebind.option(2)), (REBIND, None));
    assert_eq!(rebind.prefixes(), ["fd02::/56"]);
    let again = lab.sent_later();
    assert!(lab.now < ms(1_200), "as soon as a Confirm: {:?}", lab.now);
    lab.receive(&again.answer(REPLY, OTHER, &everything()));
    assert_eq!(prefixes(&lab.lease()), ["fd02::/56"]);
    let mut silent = all(Task::Confirm(held_all(100)));
    silent.machine.client.give_up_after = ms(60_000);
    assert_eq!(silent.ended_later().unwrap_err().kind(), Kind::TimedOut);
    assert_eq!(silent.now, ms(10_000), "CNF_MAX_RD");
}
