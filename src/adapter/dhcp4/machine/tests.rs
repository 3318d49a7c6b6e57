use super::*;
use crate::adapter::dhcp4::identifier;
use crate::record::Mac;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
const SERVER: [u8; 4] = [192, 0, 2, 1];
const ADDRESS: [u8; 4] = [192, 0, 2, 50];

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;

fn client() -> Client {
    let duid = "00:04:00:01".parse().unwrap();
    Client::new(identifier(&duid, 7), Mac::new(MAC))
}

fn held() -> Held {
    Held { server: SERVER.into(), address: ADDRESS.into() }
}

fn machine(task: Task) -> Machine {
    Machine::new(client(), task, 1)
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A message as it went out, read by the test itself.
struct Sent {
    bytes: Vec<u8>,
    from: [u8; 4],
    to: [u8; 4],
}

impl Sent {
    fn option(&self, code: u8) -> Option<&[u8]> {
        let mut rest = &self.bytes[240..];
        loop {
            match rest {
                [255, ..] | [] => return None,
                [found, len, behind @ ..] => {
                    let (data, behind) = behind.split_at((*len).into());
                    if *found == code {
                        return Some(data);
                    }
                    rest = behind;
                }
                [_] => panic!("cut off"),
            }
        }
    }

    fn kind(&self) -> u8 {
        self.option(53).unwrap()[0]
    }

    fn xid(&self) -> [u8; 4] {
        self.bytes[4..8].try_into().unwrap()
    }

    fn ciaddr(&self) -> [u8; 4] {
        self.bytes[12..16].try_into().unwrap()
    }
}

#[track_caller]
fn sends(machine: &mut Machine, millis: u64) -> Sent {
    match machine.poll(at(millis)) {
        Action::Send(Outgoing { message, from, to }) => {
            Sent { bytes: message, from: from.octets(), to: to.octets() }
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn waits(machine: &mut Machine, millis: u64) -> Duration {
    match machine.poll(at(millis)) {
        Action::Wait(until) => until,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn ends(machine: &mut Machine, millis: u64) -> Result<Outcome> {
    match machine.poll(at(millis)) {
        Action::End(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn leased(machine: &mut Machine, millis: u64) -> Lease {
    match ends(machine, millis) {
        Ok(Outcome::Leased(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

/// An answer to `sent`, with the options that a lease needs and these.
fn answer(sent: &Sent, kind: u8, options: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[2, 1, 6]);
    bytes[4..8].copy_from_slice(&sent.xid());
    if kind != NAK {
        bytes[16..20].copy_from_slice(&ADDRESS);
    }
    bytes[28..34].copy_from_slice(&MAC);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, kind, 54, 4]);
    bytes.extend(SERVER);
    if kind != NAK {
        bytes.extend([51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0]);
    }
    bytes.extend(options.concat());
    bytes.push(255);
    bytes
}

#[test]
fn an_address_is_discovered_and_requested() {
    let mut machine = machine(Task::Lease);
    let discover = sends(&mut machine, 0);
    assert_eq!((discover.kind(), discover.from, discover.to), (DISCOVER, [0; 4], [255; 4]));
    assert_eq!(discover.option(61), Some(&[255, 0, 0, 0, 7, 0, 4, 0, 1][..]));
    assert_eq!(discover.bytes[..4], [1, 1, 6, 0]);
    assert_eq!(discover.bytes[28..34], MAC);
    assert!(discover.bytes.len() >= 300 && discover.option(80).is_some());
    assert_eq!((discover.option(50), discover.option(54)), (None, None));
    waits(&mut machine, 1);
    machine.receive(at(2), &answer(&discover, OFFER, &[]));
    let request = sends(&mut machine, 2);
    assert_eq!((request.kind(), request.from, request.to), (REQUEST, [0; 4], [255; 4]));
    assert_eq!((request.xid(), request.ciaddr()), (discover.xid(), [0; 4]));
    assert_eq!(request.option(50), Some(&ADDRESS[..]));
    assert_eq!(request.option(54), Some(&SERVER[..]));
    assert_eq!(request.option(80), None);
    machine.receive(at(3), &answer(&request, ACK, &[&[3, 4, 192, 0, 2, 1]]));
    let lease = leased(&mut machine, 3);
    assert_eq!(lease.held(), held());
    assert_eq!((lease.prefix_len, lease.router), (24, Some(SERVER.into())));
    assert_eq!((lease.t1, lease.t2, lease.valid), (1800, 3150, 3600));
    assert_eq!((lease.rapid, lease.elapsed, lease.ignored), (false, at(3), 0));
}

#[test]
fn a_rapid_commit_needs_both_sides() {
    let mut willing = machine(Task::Lease);
    let discover = sends(&mut willing, 0);
    willing.receive(at(1), &answer(&discover, ACK, &[]));
    waits(&mut willing, 1);
    willing.receive(at(1), &answer(&discover, ACK, &[&[80, 0]]));
    assert!(leased(&mut willing, 1).rapid);

    let slow = Client { rapid_commit: false, ..client() };
    let mut unwilling = Machine::new(slow, Task::Lease, 1);
    let discover = sends(&mut unwilling, 0);
    assert_eq!(discover.option(80), None);
    unwilling.receive(at(1), &answer(&discover, ACK, &[&[80, 0]]));
    waits(&mut unwilling, 1);
}

#[test]
fn what_was_had_is_asked_for_and_discovered_when_nobody_knows() {
    let mut known = machine(Task::Reboot(ADDRESS.into()));
    let request = sends(&mut known, 0);
    assert_eq!((request.kind(), request.to, request.ciaddr()), (REQUEST, [255; 4], [0; 4]));
    assert_eq!((request.option(50), request.option(54)), (Some(&ADDRESS[..]), None));
    known.receive(at(1), &answer(&request, ACK, &[]));
    assert_eq!(leased(&mut known, 1).held(), held());

    let mut elsewhere = machine(Task::Reboot([10, 0, 0, 9].into()));
    let request = sends(&mut elsewhere, 0);
    elsewhere.receive(at(1), &answer(&request, NAK, &[]));
    let discover = sends(&mut elsewhere, 1);
    assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, None));
    assert_ne!(discover.xid(), request.xid());

    let mut unknown = machine(Task::Reboot(ADDRESS.into()));
    assert_eq!(sends(&mut unknown, 0).kind(), REQUEST);
    assert_eq!(sends(&mut unknown, 1100).kind(), REQUEST);
    let discover = sends(&mut unknown, 3400);
    assert_eq!((discover.kind(), discover.option(50)), (DISCOVER, Some(&ADDRESS[..])));
}

#[test]
fn more_time_is_asked_for_from_the_address() {
    let mut renewing = machine(Task::Renew(held()));
    let renew = sends(&mut renewing, 0);
    assert_eq!((renew.kind(), renew.from, renew.to), (REQUEST, ADDRESS, SERVER));
    assert_eq!((renew.ciaddr(), renew.option(50), renew.option(54)), (ADDRESS, None, None));
    renewing.receive(at(1), &answer(&renew, ACK, &[]));
    assert_eq!(leased(&mut renewing, 1).held(), held());

    let mut rebinding = machine(Task::Rebind(held()));
    let rebind = sends(&mut rebinding, 0);
    assert_eq!((rebind.from, rebind.to, rebind.ciaddr()), (ADDRESS, [255; 4], ADDRESS));
    let mut other = answer(&rebind, ACK, &[]);
    let server = other.windows(2).position(|pair| pair == [54, 4]).unwrap() + 2;
    other[server + 3] = 9;
    let mut renewing = machine(Task::Renew(held()));
    let renew = sends(&mut renewing, 0);
    let mut to_renew = other.clone();
    to_renew[4..8].copy_from_slice(&renew.xid());
    renewing.receive(at(1), &to_renew);
    waits(&mut renewing, 1);
    rebinding.receive(at(1), &other);
    assert_eq!(leased(&mut rebinding, 1).server, Ipv4Addr::new(192, 0, 2, 9));
}

#[test]
fn a_lease_that_is_taken_back_is_lost() {
    for task in [Task::Renew(held()), Task::Rebind(held())] {
        let mut machine = machine(task);
        let sent = sends(&mut machine, 0);
        machine.receive(at(1), &answer(&sent, NAK, &[&[56, 4], b"gone"]));
        assert_eq!(ends(&mut machine, 1).unwrap(), Outcome::Lost("no: gone".to_owned()));
    }
}

#[test]
fn release_and_decline_are_said_once() {
    let mut releasing = machine(Task::Release(held()));
    let release = sends(&mut releasing, 0);
    assert_eq!((release.kind(), release.from, release.to), (RELEASE, ADDRESS, SERVER));
    assert_eq!((release.ciaddr(), release.option(54)), (ADDRESS, Some(&SERVER[..])));
    // RFC 2131 table 5: these must not stand in a Release.
    assert_eq!((release.option(50), release.option(55)), (None, None));
    assert_eq!(ends(&mut releasing, 0).unwrap(), Outcome::Noted);

    let mut declining = machine(Task::Decline(held()));
    let decline = sends(&mut declining, 0);
    assert_eq!((decline.kind(), decline.from, decline.to), (DECLINE, [0; 4], [255; 4]));
    assert_eq!((decline.option(50), decline.ciaddr()), (Some(&ADDRESS[..]), [0; 4]));
    assert_eq!(ends(&mut declining, 0).unwrap(), Outcome::Noted);
}

#[test]
fn waits_double_and_end() {
    for seed in 0..50 {
        let client = Client { give_up_after: Duration::from_secs(300), ..client() };
        let mut machine = Machine::new(client, Task::Lease, seed);
        let (mut now, mut gaps) = (Duration::ZERO, Vec::new());
        let why = loop {
            match machine.poll(now) {
                Action::Send(_) => (),
                Action::Wait(until) => {
                    gaps.push((until - now).as_secs_f64());
                    now = until;
                }
                Action::End(outcome) => break outcome.unwrap_err(),
            }
        };
        for (gap, base) in gaps.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0]) {
            assert!((0.9 * base..=1.1 * base).contains(gap), "{gaps:?}");
        }
        assert_eq!(why.kind(), Kind::TimedOut);
        assert_eq!(now, Duration::from_secs(300));
    }
}

#[test]
fn an_offer_that_is_not_kept_is_discovered_anew() {
    let mut machine = machine(Task::Lease);
    let discover = sends(&mut machine, 0);
    machine.receive(at(1), &answer(&discover, OFFER, &[]));
    for millis in [1, 1200, 3500] {
        assert_eq!(sends(&mut machine, millis).kind(), REQUEST);
    }
    assert_eq!(sends(&mut machine, 8000).kind(), DISCOVER);
}

#[test]
fn a_server_that_always_refuses_is_believed() {
    let mut machine = machine(Task::Lease);
    for _ in 0..3 {
        let discover = sends(&mut machine, 0);
        machine.receive(at(0), &answer(&discover, OFFER, &[]));
        let request = sends(&mut machine, 0);
        machine.receive(at(0), &answer(&request, NAK, &[&[56, 2], b"no"]));
    }
    let why = ends(&mut machine, 0).unwrap_err();
    assert_eq!(why.kind(), Kind::Refused);
    assert!(why.to_string().contains("server says no: no"), "{why}");
}

#[test]
fn what_is_for_others_or_no_use_changes_nothing() {
    let mut machine = machine(Task::Lease);
    let discover = sends(&mut machine, 0);
    let good = answer(&discover, OFFER, &[]);
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] ^= byte;
        bad
    };
    let mut bad = vec![
        with(0, 3),
        with(7, 1),
        with(33, 1),
        with(16, 224 ^ 192),
        with(239, 1),
        answer(&discover, NAK, &[]),
        answer(&discover, OFFER, &[&[61, 2, 1, 1]]),
        answer(&discover, OFFER, &[&[52]]),
        answer(&discover, REQUEST, &[]),
        vec![],
        vec![0; 2000],
    ];
    // No lease time, and a mask that is none.
    let lease_time = good.windows(2).position(|pair| pair == [51, 4]).unwrap();
    bad.push(with(lease_time, 51 ^ 200));
    bad.push(with(lease_time + 8, 255));
    let count = bad.len() as u32;
    for datagram in bad {
        machine.receive(at(1), &datagram);
        waits(&mut machine, 1);
    }
    machine.receive(at(1), &good);
    let request = sends(&mut machine, 1);
    // The server confirms another address than it offered.
    let mut other = answer(&request, ACK, &[]);
    other[19] = 51;
    machine.receive(at(2), &other);
    waits(&mut machine, 2);
    machine.receive(at(2), &answer(&request, ACK, &[]));
    assert_eq!(leased(&mut machine, 2).ignored, count + 1);
}

#[test]
fn what_a_server_tells_beside_the_address_is_checked() {
    let lease = |options: &[&[u8]]| {
        let mut machine = machine(Task::Lease);
        let discover = sends(&mut machine, 0);
        let options = [&[&[80, 0][..]], options].concat();
        machine.receive(at(1), &answer(&discover, ACK, &options));
        leased(&mut machine, 1)
    };
    let routes = [121, 14, 0, 192, 0, 2, 2, 24, 198, 51, 100, 0, 0, 0, 0, 0];
    let with_routes = lease(&[&[3, 4, 192, 0, 2, 1], &routes[..16]]);
    assert_eq!(
        with_routes.router,
        Some(SERVER.into()),
        "half a route spoils them all, not the router"
    );
    let routes = [121, 13, 0, 192, 0, 2, 2, 24, 198, 51, 100, 192, 0, 2, 3];
    let with_routes = lease(&[&[3, 4, 192, 0, 2, 1], &routes]);
    assert_eq!(with_routes.router, Some(Ipv4Addr::new(192, 0, 2, 2)));
    assert_eq!(with_routes.routes.len(), 1);
    assert_eq!(lease(&[&[3, 4], &ADDRESS]).router, None, "the client itself");
    // What the kernel refuses to send to, or would send nowhere, costs no more than itself.
    let routers = lease(&[&[3, 12, 192, 0, 2, 255, 192, 0, 2, 0, 192, 0, 2, 9]]);
    assert_eq!(routers.router, Some(Ipv4Addr::new(192, 0, 2, 9)));
    let to = |router: u8| [24, 198, 51, router, 192, 0, 2, router];
    let loopback = [8, 127, 192, 0, 2, 9];
    let routes = [&[121, 38][..], &to(255), &to(0), &to(50), &loopback, &to(9)].concat();
    let kept: Vec<String> = lease(&[&routes]).routes.iter().map(|r| format!("{r:?}")).collect();
    assert_eq!(kept, ["(198.51.9.0/24, 192.0.2.9)"]);
    assert_eq!(lease(&[&[26, 2, 0, 68]]).mtu, None);
    assert_eq!(lease(&[&[26, 2, 5, 120]]).mtu, Some(1400));
    let names = |options: &[&[u8]]| {
        lease(options).search.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&[b"\x0f\x08home.lan"]), ["home.lan"]);
    assert_eq!(names(&[b"\x0f\x08home.lan", b"\x77\x03\x01a\0"]), ["a"]);
    assert_eq!(names(&[b"\x0f\x05a b\nc"]), [] as [&str; 0]);
    assert_eq!(lease(&[&[6, 8, 192, 0, 2, 1, 255, 255, 255, 255]]).dns_servers.len(), 1);
}
