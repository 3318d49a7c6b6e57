//! Renew and Rebind (sections 18.2.4, 18.2.5 and 18.2.10.1).

use super::*;

#[test]
fn a_failure_without_a_reason_is_retried_when_it_is_time() {
    // UnspecFail and UseMulticast.
    for code in [1, 5] {
        let mut lab = Lab::new(Task::Renew(held()));
        let renew = lab.sent();
        let due = lab.waits().min(ms(10_000));
        lab.receive(&renew.answer(REPLY, SERVER, &[status(code)]));
        assert_eq!(lab.waits(), due);
        assert_eq!(lab.ended_later().unwrap_err().kind(), Kind::Refused);
    }
}

#[test]
fn renew_asks_the_server_and_rebind_asks_all() {
    let renew = Lab::new(Task::Renew(held())).sent();
    assert_eq!((renew.kind(), renew.option(2)), (RENEW, Some(SERVER)));
    assert_eq!(renew.addresses(), [addr(1)]);
    let mut lab = Lab::new(Task::Rebind(held()));
    let rebind = lab.sent();
    assert_eq!((rebind.kind(), rebind.option(2)), (REBIND, None));
    lab.receive(&rebind.answer(REPLY, OTHER, &[ia(addr(1), false)]));
    let lease = lab.lease();
    assert_eq!((address_of(&lease), lease.server.as_bytes()), (addr(1), OTHER));
}

#[test]
fn a_lease_that_the_server_has_lost_is_requested_at_once() {
    for (task, server) in [(Task::Renew(held()), SERVER), (Task::Rebind(held()), OTHER)] {
        for answer in [status(3), ia_with(&[status(3)])] {
            let mut lab = Lab::new(match &task {
                Task::Renew(held) => Task::Renew(held.clone()),
                _ => Task::Rebind(held()),
            });
            let query = lab.sent();
            lab.after(1).receive(&query.answer(REPLY, server, &[answer]));
            let request = lab.sent();
            assert_eq!((request.kind(), request.option(2)), (REQUEST, Some(server)));
            assert_eq!(request.addresses(), [addr(1)]);
            lab.receive(&request.answer(REPLY, server, &[ia(addr(9), false)]));
            assert_eq!(address_of(&lab.lease()), addr(9));
        }
    }
}

#[test]
fn a_server_that_loses_the_lease_twice_has_refused() {
    let mut lab = Lab::new(Task::Renew(held()));
    let renew = lab.sent();
    lab.receive(&renew.answer(REPLY, SERVER, &[ia_with(&[status(3)])]));
    let request = lab.sent();
    lab.receive(&request.answer(REPLY, SERVER, &[ia_with(&[status(3)])]));
    assert_eq!(lab.ended().unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_renewal_may_take_an_address_back() {
    let mut lab = Lab::new(Task::Renew(held()));
    let renew = lab.sent();
    lab.receive(&renew.answer(REPLY, SERVER, &[ia(addr(1), true)]));
    let lease = lab.lease();
    assert_eq!((lease.addresses.len(), lease.withdrawn), (0, vec![addr(1)]));
}

#[test]
fn a_renewal_without_the_association_is_no_answer() {
    let mut lab = Lab::new(Task::Renew(held()));
    let renew = lab.sent();
    lab.receive(&renew.answer(REPLY, SERVER, &[]));
    lab.waits();
    lab.receive(&renew.answer(REPLY, SERVER, &[ia(addr(1), false)]));
    assert_eq!(address_of(&lab.lease()), addr(1));
}

/// RFC 9915 section 21.13: UseMulticast is obsolete; RFC 8415 section 18.2.10: the message is sent again
/// by multicast, which is how it went out before.
#[test]
fn after_use_multicast_the_same_message_goes_out_again() {
    let mut lab = Lab::with(Task::Renew(held()), |client| client.give_up_after = ms(60_000));
    let renew = lab.sent();
    lab.receive(&renew.answer(REPLY, SERVER, &[status(5)]));
    let again = lab.sent_later();
    assert_eq!((again.kind(), again.xid()), (RENEW, renew.xid()));
    assert!(lab.now > ms(8_000), "not at once: {:?}", lab.now);
    lab.receive(&again.answer(REPLY, SERVER, &[ia(addr(1), false)]));
    assert_eq!(address_of(&lab.lease()), addr(1));
}

#[test]
fn an_answer_that_comes_twice_changes_nothing() {
    let mut lab = Lab::new(Task::Renew(held()));
    let renew = lab.sent();
    let lost = renew.answer(REPLY, SERVER, &[ia_with(&[status(3)])]);
    lab.receive(&lost);
    lab.receive(&lost);
    let request = lab.sent();
    lab.receive(&lost);
    let good = request.answer(REPLY, SERVER, &[ia(addr(1), false)]);
    lab.receive(&good);
    lab.receive(&request.answer(REPLY, SERVER, &[ia(addr(2), false)]));
    let lease = lab.lease();
    assert_eq!((address_of(&lease), lease.ignored), (addr(1), 2));
}
