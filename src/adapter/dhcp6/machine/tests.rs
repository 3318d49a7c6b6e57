//! Exchanges with scripted servers under a clock that the test moves. The wire is read and written
//! byte by byte, not with the types that are tested.

use std::net::Ipv6Addr;

use super::super::lease::Lifetime;
use super::*;

const SERVER: &[u8] = &[0, 4, 0xaa];
const OTHER: &[u8] = &[0, 4, 0xbb];
const CLIENT: &[u8] = &[0, 4, 0xcc, 0xcc];

// Message types (RFC 8415 section 7.3).
const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn addr(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, last)
}

/// An option as it goes on the wire.
fn opt(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0, code][..], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn status(code: u8) -> Vec<u8> {
    opt(13, &[0, code])
}

fn ia_with(options: &[Vec<u8>]) -> Vec<u8> {
    opt(3, &[[7, 0, 0].map(u32::to_be_bytes).concat(), options.concat()].concat())
}

/// An IA_NA with one address, preferred for 100 s and valid for 200 s, unless it is withdrawn.
fn ia(address: Ipv6Addr, withdrawn: bool) -> Vec<u8> {
    let times = if withdrawn { [0u32, 0] } else { [100, 200] }.map(u32::to_be_bytes).concat();
    ia_with(&[opt(5, &[&address.octets()[..], &times].concat())])
}

/// A message that the client has sent.
#[derive(Debug)]
struct Sent(Vec<u8>);

impl Sent {
    fn kind(&self) -> u8 {
        self.0[0]
    }

    fn xid(&self) -> [u8; 3] {
        [self.0[1], self.0[2], self.0[3]]
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        find(&self.0[4..], code)
    }

    /// The addresses in the IA_NA.
    fn addresses(&self) -> Vec<Ipv6Addr> {
        let mut rest = &self.option(3).expect("IA_NA")[12..];
        let mut found = Vec::new();
        while let Some(data) = find(rest, 5) {
            assert_eq!(data[16..24], [0; 8], "lifetimes are the server's to set");
            found.push(Ipv6Addr::from(<[u8; 16]>::try_from(&data[..16]).unwrap()));
            rest = &rest[28..];
        }
        found
    }

    fn elapsed(&self) -> u16 {
        let data = self.option(8).expect("elapsed time");
        u16::from_be_bytes([data[0], data[1]])
    }

    /// An answer to this message.
    fn answer(&self, kind: u8, server: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
        let [a, b, c] = self.xid();
        [vec![kind, a, b, c], opt(1, CLIENT), opt(2, server), options.concat()].concat()
    }
}

fn find(mut options: &[u8], code: u8) -> Option<&[u8]> {
    while !options.is_empty() {
        let length = usize::from(u16::from_be_bytes([options[2], options[3]]));
        if options[1] == code {
            return Some(&options[4..4 + length]);
        }
        options = &options[4 + length..];
    }
    None
}

/// A machine and the clock that it believes in.
struct Lab {
    machine: Machine,
    now: Duration,
}

impl Lab {
    fn new(task: Task) -> Lab {
        Lab::with(task, |_| {})
    }

    fn with(task: Task, change: impl FnOnce(&mut Client)) -> Lab {
        let mut client = Client::new(Duid::new(CLIENT).unwrap(), 7);
        change(&mut client);
        Lab { machine: Machine::new(client, task, 42, Instant::now()), now: Duration::ZERO }
    }

    /// What is sent now; the test fails when it is something else.
    fn sent(&mut self) -> Sent {
        match self.machine.poll(self.now) {
            Action::Send(bytes) => Sent(bytes),
            other => panic!("at {:?}: {other:?}", self.now),
        }
    }

    /// What is sent next, whenever that is.
    fn sent_later(&mut self) -> Sent {
        self.now = self.waits();
        self.sent()
    }

    fn waits(&mut self) -> Duration {
        match self.machine.poll(self.now) {
            Action::Wait(until) if until > self.now => until,
            other => panic!("at {:?}: {other:?}", self.now),
        }
    }

    fn ended(&mut self) -> Result<Outcome> {
        match self.machine.poll(self.now) {
            Action::End(outcome) => outcome,
            other => panic!("at {:?}: {other:?}", self.now),
        }
    }

    /// How it ends when nothing comes in any more.
    fn ended_later(&mut self) -> Result<Outcome> {
        loop {
            match self.machine.poll(self.now) {
                Action::Send(_) => {}
                Action::Wait(until) => self.now = until,
                Action::End(outcome) => return outcome,
            }
        }
    }

    fn lease(&mut self) -> Lease {
        match self.ended() {
            Ok(Outcome::Leased(lease)) => lease,
            other => panic!("{other:?}"),
        }
    }

    fn after(&mut self, millis: u64) -> &mut Lab {
        self.now += ms(millis);
        self
    }

    fn receive(&mut self, datagram: &[u8]) {
        self.machine.receive(self.now, datagram);
    }
}

fn held() -> Held {
    Held::lasting(Duid::new(SERVER).unwrap(), [addr(1)])
}

fn address_of(lease: &Lease) -> Ipv6Addr {
    lease.addresses[0].address
}

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

#[test]
fn gives_up_when_it_was_told_to() {
    let mut lab = Lab::with(Task::Lease, |client| client.give_up_after = ms(2500));
    let error = lab.ended_later().unwrap_err();
    assert_eq!((lab.now, error.kind()), (ms(2500), Kind::TimedOut));
    assert_eq!(error.to_string(), "lease DHCPv6 address: no DHCPv6 server answered within 2.5 s");
}

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

/// Real answers, mutated and cut, and random bytes: whatever comes, the machine goes on.
#[test]
fn no_datagram_ends_or_breaks_an_exchange_that_it_does_not_answer() {
    let mut random = Random::new(7);
    for round in 0..20_000u32 {
        let mut lab = Lab::new(if round % 2 == 0 { Task::Lease } else { Task::Renew(held()) });
        let query = lab.sent();
        let address =
            opt(5, &[&addr(1).octets()[..], &[0, 0, 1, 0, 0, 0, 2, 0], &status(0)].concat());
        let options = [
            opt(14, &[]),
            ia_with(&[address, status(0)]),
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
            let sound = |leased: &super::super::LeasedAddress| {
                leased.preferred <= leased.valid && !leased.address.is_multicast()
            };
            assert!(lease.t1 <= lease.t2 && lease.addresses.iter().all(sound), "{lease:?}");
        }
    }
}
