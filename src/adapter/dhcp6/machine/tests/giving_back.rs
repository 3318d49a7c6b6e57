//! Release, Decline and Confirm (sections 18.2.7, 18.2.8, 18.2.3 and 18.2.12).

use super::*;

#[test]
fn release_and_decline_are_over_whatever_the_server_says() {
    for code in [0, 1, 3] {
        for (task, kind) in [(Task::Release(held()), RELEASE), (Task::Decline(held()), DECLINE)] {
            let mut lab = Lab::new(task);
            let query = lab.sent();
            assert_eq!((query.kind(), query.option(2)), (kind, Some(SERVER)));
            assert_eq!((query.addresses(), query.option(6)), (vec![addr(1)], None));
            lab.receive(&query.answer(REPLY, SERVER, &[status(code)]));
            assert!(matches!(lab.ended(), Ok(Outcome::Noted)));
        }
    }
}

#[test]
fn release_gives_up_after_four_messages() {
    let mut lab = Lab::with(Task::Release(held()), |client| client.give_up_after = ms(60_000));
    lab.sent();
    for _ in 0..3 {
        assert_eq!(lab.sent_later().kind(), RELEASE);
    }
    assert_eq!(lab.ended_later().unwrap_err().kind(), Kind::TimedOut);
    assert!(lab.now > ms(12_000) && lab.now < ms(18_000), "{:?}", lab.now);
}

#[test]
fn confirm_tells_whether_the_link_still_fits() {
    for (code, on_link) in [(0, true), (4, false)] {
        let mut lab = Lab::new(Task::Confirm(held()));
        let confirm = lab.sent();
        assert_eq!((confirm.kind(), confirm.option(2), confirm.option(6)), (CONFIRM, None, None));
        assert_eq!(confirm.addresses(), [addr(1)]);
        lab.receive(&confirm.answer(REPLY, OTHER, &[status(1)]));
        lab.waits();
        lab.receive(&confirm.answer(REPLY, OTHER, &[status(code)]));
        if !on_link {
            // Another server may know better.
            assert_eq!(lab.waits(), ms(10));
            lab.after(10);
        }
        assert!(matches!(lab.ended(), Ok(Outcome::OnLink(fits)) if fits == on_link));
    }
}

#[test]
fn one_server_that_confirms_outweighs_those_that_do_not() {
    let mut lab = Lab::new(Task::Confirm(held()));
    let confirm = lab.sent();
    lab.receive(&confirm.answer(REPLY, OTHER, &[status(4)]));
    lab.after(9).receive(&confirm.answer(REPLY, SERVER, &[status(0)]));
    assert!(matches!(lab.ended(), Ok(Outcome::OnLink(true))));
}
