//! What is no answer (section 16), and what is worse.

use super::*;

#[test]
fn what_is_not_for_this_client_is_counted_and_nothing_else() {
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    let good = || solicit.answer(ADVERTISE, SERVER, &[ia(addr(1), false)]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good();
        bytes[at] ^= byte;
        bytes
    };
    let without_server = [&good()[..12], &ia(addr(1), false)].concat();
    let without_client = [&good()[..4], &good()[12..]].concat();
    let of_no_use = [
        with(3, 1),
        with(11, 1),
        without_server,
        without_client,
        with(0, ADVERTISE ^ 10),
        with(0, ADVERTISE ^ SOLICIT),
        with(0, ADVERTISE ^ 200),
        good()[..20].to_vec(),
        vec![],
    ];
    for datagram in &of_no_use {
        lab.receive(datagram);
        lab.waits();
    }
    lab.after(1).receive(&good());
    let request = lab.sent_later();
    lab.receive(&request.answer(REPLY, OTHER, &[ia(addr(3), false)]));
    lab.receive(&solicit.answer(REPLY, SERVER, &[opt(14, &[]), ia(addr(4), false)]));
    lab.receive(&request.answer(ADVERTISE, SERVER, &[ia(addr(5), false)]));
    lab.waits();
    lab.receive(&request.answer(REPLY, SERVER, &[ia(addr(2), false)]));
    lab.receive(&request.answer(REPLY, SERVER, &[ia(addr(6), false)]));
    let lease = lab.lease();
    assert_eq!(address_of(&lease), addr(2));
    assert_eq!(lease.ignored as usize, of_no_use.len() + 3);
}

/// Section 16.11: a Reconfigure without an authentication must be discarded, and this client offers no
/// server to accept one.
#[test]
fn a_reconfigure_is_discarded() {
    const RECONFIGURE: u8 = 10;
    for task in [Task::Lease, Task::Renew(held()), Task::Release(held())] {
        let mut lab = Lab::new(task);
        let query = lab.sent();
        assert_eq!(query.option(20), None, "Reconfigure Accept");
        let due = lab.waits();
        let authentication = opt(11, &[[3, 1, 0].as_slice(), &[0; 8], &[1], &[7; 16]].concat());
        for options in [vec![opt(19, &[5])], vec![opt(19, &[5]), authentication]] {
            let mut datagram = query.answer(RECONFIGURE, SERVER, &options);
            lab.receive(&datagram);
            datagram[1..4].fill(0);
            lab.receive(&datagram);
        }
        assert_eq!((lab.waits(), lab.machine.ignored), (due, 4));
    }
}

/// Section 14.1: a server that refuses over and over makes the client send no more than that.
#[test]
fn many_servers_that_refuse_make_no_burst() {
    let mut lab = Lab::with(Task::Lease, |client| client.give_up_after = ms(600_000));
    let spent = (0..18).fold(Pace::rested(lab.machine.start), |mut pace, _| {
        pace.take(lab.machine.start);
        pace
    });
    lab.machine.set_pace(spent);
    let solicit = lab.sent();
    for server in 0..40 {
        lab.receive(&solicit.answer(ADVERTISE, &[0, 4, server], &[ia(addr(1), false)]));
    }
    let mut sent = Vec::new();
    loop {
        match lab.machine.poll(lab.now) {
            Action::Send(bytes) => {
                let request = Sent(bytes);
                let server = request.option(2).unwrap().to_vec();
                sent.push(lab.now);
                lab.receive(&request.answer(REPLY, &server, &[status(2)]));
            }
            Action::Wait(until) => lab.now = until,
            Action::End(outcome) => break assert_eq!(outcome.unwrap_err().kind(), Kind::Refused),
        }
    }
    assert_eq!(sent.len(), 16, "no more offers than are kept");
    let gaps = sent.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.clone().all(|gap| gap > ms(980) && gap < ms(1_020)), "{sent:?}");
}

#[test]
fn what_one_exchange_has_sent_counts_for_the_next() {
    let mut first = Lab::new(Task::Lease);
    first.sent();
    let (start, left) = (first.machine.start, first.machine.pace());
    let mut second = Lab::new(Task::Lease);
    second.machine.start = start;
    second.machine.set_pace(left);
    let mut free = second.machine.pace();
    (0..19).for_each(|_| free.take(start));
    assert!(free.free_at(start) > start, "one of twenty was taken by the first");
}

/// Section 18.2.9.
#[test]
fn servers_that_disagree_on_a_limit_set_none() {
    let limit = |seconds: u32| opt(82, &seconds.to_be_bytes());
    let mut lab = Lab::new(Task::Lease);
    let solicit = lab.sent();
    lab.receive(&solicit.answer(ADVERTISE, SERVER, &[limit(120)]));
    lab.receive(&solicit.answer(ADVERTISE, OTHER, &[limit(120), status(2)]));
    assert_eq!(lab.machine.sol_max_rt(), Some(ms(120_000)));
    lab.receive(&solicit.answer(ADVERTISE, OTHER, &[limit(121)]));
    assert_eq!(lab.machine.sol_max_rt(), None);
    lab.receive(&solicit.answer(REPLY, OTHER, &[opt(14, &[]), limit(90), ia(addr(1), false)]));
    assert_eq!(lab.machine.sol_max_rt(), Some(ms(90_000)), "of the server that was chosen");
    let known = Lab::with(Task::Lease, |client| client.sol_max_rt = Some(ms(77_000)));
    assert_eq!(known.machine.longest(), ms(77_000), "from an exchange before");
}

#[test]
fn a_crowd_of_addresses_and_prefixes_is_cut() {
    let mut lab = Lab::with(Task::Lease, |client| client.wants = ALL);
    let solicit = lab.sent();
    let addresses: Vec<_> = (1..=60).map(|last| at(addr(last), 100, 200)).collect();
    let prefixes: Vec<_> = (0..60).map(|n| prefix(&format!("fd02:{n:x}::/48"), 100, 200)).collect();
    lab.receive(&solicit.answer(
        REPLY,
        SERVER,
        &[opt(14, &[]), na(0, 0, &addresses), pd(0, 0, &prefixes)],
    ));
    let lease = lab.lease();
    assert_eq!((lease.addresses.len(), lease.prefixes.len()), (32, 32));
}

/// Real answers, mutated and cut, and random bytes: whatever comes, the machine goes on.
#[test]
fn no_datagram_ends_or_breaks_an_exchange_that_it_does_not_answer() {
    let mut random = Random::new(7);
    for round in 0..20_000u32 {
        let task = if round % 2 == 0 { Task::Lease } else { Task::Renew(held_all(100)) };
        let mut lab = Lab::with(task, |client| client.wants = ALL);
        let query = lab.sent();
        let address =
            opt(5, &[&addr(1).octets()[..], &[0, 0, 1, 0, 0, 0, 2, 0], &status(0)].concat());
        let options = [
            opt(14, &[]),
            ia_with(&[address.clone(), status(0)]),
            ta(&[address, at(addr(2), 60, 120)]),
            pd(40, 90, &[prefix("fd02::/56", 100, 200), prefix("fd03::/48", 0, 0)]),
            opt(23, &addr(3).octets()),
            opt(24, b"\x03lab\xc0\x00\x07example\0"),
            opt(13, b"\0\0all is well"),
            opt(56, &[0, 3, 0, 2, 1, 0]),
            opt(17, &[0, 0, 0, 9, 0, 1, 0, 9]),
            opt(82, &[0, 0, 1, 0]),
        ];
        let mut datagram = query.answer(REPLY, SERVER, &options);
        if round % 10 == 0 {
            datagram.iter_mut().skip(4).for_each(|byte| *byte = random.next() as u8);
        }
        for _ in 0..=random.next() % 4 {
            let at = random.next() as usize % datagram.len();
            datagram[at] = random.next() as u8;
        }
        datagram.truncate(random.next() as usize % (2 * datagram.len()));
        lab.receive(&datagram);
        while !matches!(lab.machine.poll(lab.now), Action::Wait(_) | Action::End(_)) {}
        if let Some(Ok(Outcome::Leased(lease))) = &lab.machine.end {
            let sound = |leased: &crate::adapter::dhcp6::LeasedAddress| {
                leased.preferred <= leased.valid && !leased.address.is_multicast()
            };
            let sound_prefix = |leased: &crate::adapter::dhcp6::LeasedPrefix| {
                let prefix = leased.prefix;
                leased.preferred <= leased.valid
                    && (1..=64).contains(&prefix.prefix_len())
                    && prefix == prefix.trunc()
                    && !prefix.network().is_multicast()
            };
            assert!(lease.t1 <= lease.t2 && lease.t1.as_secs() > 0, "{lease:?}");
            assert!(lease.addresses.iter().all(sound), "{lease:?}");
            assert!(lease.prefixes.iter().all(sound_prefix), "{lease:?}");
        }
    }
}
