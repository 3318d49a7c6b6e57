//! What the source tells of a server that is played by a thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::adapter::kea::played::Played;

/// What the server has: the number of an address and the client that has it; 0 for one that was
/// given back.
type Leases = Arc<Mutex<Vec<(u16, u8)>>>;

/// A server that calls `before` with each command, and answers with what it returns, or like Kea.
struct Server {
    played: Played,
    leases: Leases,
}

impl Server {
    fn start(
        mut before: impl FnMut(&Value, &Leases) -> Option<Vec<u8>> + Send + 'static,
    ) -> Server {
        let leases = Leases::default();
        let its = leases.clone();
        let played = Played::start(move |command| {
            before(command, &its).unwrap_or_else(|| like_kea(command, &its))
        });
        Server { played, leases }
    }

    fn source(&self) -> KeaSocket {
        self.source_for(Duration::from_secs(20))
    }

    fn source_for(&self, patience: Duration) -> KeaSocket {
        let poll = Duration::from_secs(600);
        KeaSocket::new(self.played.place(), poll, patience).unwrap()
    }

    /// Gives the client 1 the first address, and others to `others`.
    fn lease(&self, others: u16) {
        let mut leases = self.leases.lock().unwrap();
        *leases =
            (0..=others).map(|number| (number * 2, if number == 0 { 1 } else { 2 })).collect();
    }
}

fn like_kea(command: &Value, leases: &Leases) -> Vec<u8> {
    if command["command"] == "config-get" {
        return json!({"result": 0, "arguments": {"Dhcp6": {}}}).to_string().into();
    }
    assert_eq!(command["command"], "lease6-get-page");
    let from = match command["arguments"]["from"].as_str().unwrap() {
        "start" => None,
        address => Some(address.parse::<std::net::Ipv6Addr>().unwrap().segments()[7]),
    };
    let mut leases = leases.lock().unwrap().clone();
    leases.sort();
    let page: Vec<Value> = leases
        .into_iter()
        .filter(|(number, _)| from.is_none_or(|from| *number > from))
        .take(command["arguments"]["limit"].as_u64().unwrap() as usize)
        .map(|(number, client)| {
            let iaid = if client == 2 { u32::from(number) } else { 1 };
            json!({"ip-address": address(number), "duid": format!("00:03:00:01:{client:02x}"),
                "iaid": iaid, "type": "IA_NA", "cltt": 1795250858, "valid-lft": 600,
                "state": if client == 0 { 3 } else { 0 }})
        })
        .collect();
    let result = if page.is_empty() { 3 } else { 0 };
    json!({"result": result, "arguments": {"count": page.len(), "leases": page}}).to_string().into()
}

fn address(number: u16) -> String {
    format!("fd00::1:{number:x}")
}

/// What is told until a reading ends, or cannot be had: the tail of it, and each place in it.
fn reading(source: &mut KeaSocket) -> (Told, Vec<Said>) {
    let mut all = Vec::new();
    loop {
        match source.next(Instant::now()).unwrap() {
            Told::Begin => all.clear(),
            Told::Said(said) => {
                assert!(said.len() <= AT_A_TIME);
                all.extend(said);
            }
            Told::Remarks(remarks) => panic!("{remarks:?}"),
            told => return (told, all),
        }
    }
}

fn held(said: &[Said]) -> Vec<Place> {
    let place = |said: &Said| match said {
        Said::Held(held) => Some(held.place()),
        _ => None,
    };
    said.iter().filter_map(place).collect()
}

fn place(number: u16) -> Place {
    Place { address: address(number).parse().unwrap(), prefix_len: None }
}

#[test]
fn everything_is_told_page_by_page_and_then_nothing_until_the_next_time() {
    let server = Server::start(|_, _| None);
    for others in [0, 1, 510, 511, 512, 2000] {
        server.lease(others);
        let mut source = server.source();
        let (told, said) = reading(&mut source);
        assert!(matches!(told, Told::Whole), "{told:?}");
        assert_eq!(held(&said).len(), usize::from(others) + 1);
        assert!(matches!(source.next(Instant::now()).unwrap(), Told::Same));
        source.look_again();
        let (told, said) = reading(&mut source);
        assert!(matches!(told, Told::Whole), "{told:?}");
        assert_eq!(said.len(), usize::from(others) + 1);
    }
    server.leases.lock().unwrap().clear();
    let (told, said) = reading(&mut server.source());
    assert!(matches!((told, &*said), (Told::Whole, [])));
}

#[test]
fn a_client_that_moves_behind_the_reader_is_never_told_as_gone() {
    let moves = Arc::new(AtomicBool::new(true));
    let is_to_move = moves.clone();
    let server = Server::start(move |command, leases| {
        // Between two pages the first client gives up a late address and takes an early one.
        let is_between = command["arguments"]["from"].as_str().is_some_and(|from| from != "start");
        if is_between && is_to_move.swap(false, Ordering::Relaxed) {
            let mut leases = leases.lock().unwrap();
            leases[0] = (0, 1);
            // The server keeps what was given back for a while.
            leases.push((5001, 0));
        }
        None
    });
    let late = || {
        server.lease(1500);
        server.leases.lock().unwrap()[0].0 = 5001;
    };
    // In the first reading, before which nothing is known.
    late();
    let mut source = server.source();
    let (told, said) = reading(&mut source);
    assert!(matches!(told, Told::Whole));
    assert!(held(&said).contains(&place(0)));

    // In a later one it is doubtful, and found soon.
    late();
    source.look_again();
    reading(&mut source);
    moves.store(true, Ordering::Relaxed);
    source.look_again();
    let (told, said) = reading(&mut source);
    assert!(matches!(told, Told::Whole));
    assert_eq!(said.len(), 1501);
    assert_eq!(said.last(), Some(&Said::Doubtful(place(5001))));
    assert!(matches!(source.state, State::Rest(at) if at <= Instant::now() + DOUBT * 2));
    source.look_again();
    let (told, said) = reading(&mut source);
    assert!(matches!(told, Told::Whole));
    assert!(held(&said).contains(&place(0)));
    assert_eq!(said.len(), 1502);
    assert_eq!(said.last(), Some(&Said::Ended(place(5001), LeaseEvent::Release)));
}

#[test]
fn an_address_that_another_has_taken_is_in_no_doubt() {
    let server = Server::start(|_, _| None);
    server.lease(1500);
    let mut source = server.source();
    reading(&mut source);
    server.leases.lock().unwrap()[0].1 = 7;
    source.look_again();
    let (_, said) = reading(&mut source);
    assert_eq!((said.len(), held(&said).len()), (1501, 1501));
}

#[test]
fn a_client_that_is_missing_twice_has_gone() {
    let server = Server::start(|_, _| None);
    server.lease(1500);
    let mut source = server.source();
    reading(&mut source);
    server.leases.lock().unwrap().remove(0);
    source.look_again();
    let (_, said) = reading(&mut source);
    assert_eq!(said.last(), Some(&Said::Doubtful(place(0))));
    source.look_again();
    let (told, said) = reading(&mut source);
    assert!(matches!(told, Told::Whole));
    assert_eq!(held(&said).len(), said.len());

    // A server with one page has one moment, in which there is no doubt.
    server.lease(3);
    source.look_again();
    reading(&mut source);
    server.leases.lock().unwrap()[0].1 = 0;
    source.look_again();
    let (_, said) = reading(&mut source);
    assert_eq!((said.len(), held(&said).len()), (4, 3));
    assert_eq!(said.last(), Some(&Said::Ended(place(0), LeaseEvent::Release)));
}

#[test]
fn an_error_in_the_middle_makes_the_reading_void() {
    let failures: [(&[u8], Kind); 9] = [
        (br#"{"result":1,"text":"no lease manager"}"#, Kind::Unavailable),
        (br#"{"result":2,"text":"'lease6-get-page' command not supported."}"#, Kind::Unavailable),
        (br#"{"result":0,"arguments":{"leases":[{"ip-addr"#, Kind::Unavailable),
        (br#"{"result":0,"arguments":{"leases":[{"ip-address":"x"}]}}"#, Kind::Unavailable),
        (br#"{"result":0,"arguments":{"count":0}}"#, Kind::Unavailable),
        (br#"{"result":0}"#, Kind::Unavailable),
        (br#"{"result":403,"text":"no"}"#, Kind::NotPermitted),
        (b"garbage\xff", Kind::Unavailable),
        (b"", Kind::Unavailable),
    ];
    for (failure, kind) in failures {
        let server = Server::start(move |command, _| {
            let from = command["arguments"]["from"].as_str();
            from.is_some_and(|from| from != "start").then(|| failure.to_vec())
        });
        server.lease(1500);
        let mut source = server.source();
        let (told, _) = reading(&mut source);
        let Told::Unknown { why, .. } = told else { panic!("{told:?}") };
        assert_eq!(why.kind(), kind, "{why}");
        let text = why.to_string();
        assert!(text.contains("lp-kea-") && text.contains("lease6-get-page: "), "{text}");
        assert_eq!(text.contains("libdhcp_lease_cmds.so"), text.contains("not supported"));
        // It goes on being unknown, and is asked again.
        assert!(matches!(source.next(Instant::now()).unwrap(), Told::Unknown { .. }));
        source.look_again();
        let told = source.next(Instant::now()).unwrap();
        assert!(matches!(told, Told::Begin), "{told:?}");
    }
}

#[test]
fn a_server_that_goes_round_in_circles_has_an_end() {
    let server = Server::start(|command, leases| {
        if command["command"] == "lease6-get-page" {
            let mut command = command.clone();
            command["arguments"]["from"] = "start".into();
            return Some(like_kea(&command, leases));
        }
        None
    });
    server.lease(3);
    let (told, _) = reading(&mut server.source());
    let Told::Unknown { why, .. } = told else { panic!("{told:?}") };
    assert!(why.to_string().contains("where the next one begins"), "{why}");
}

#[test]
fn a_server_that_is_silent_or_not_there_is_unknown() {
    let server = Server::start(|_, _| {
        thread::sleep(Duration::from_secs(2));
        None
    });
    let mut source = server.source_for(Duration::from_millis(300));
    let began = Instant::now();
    let Told::Unknown { why, .. } = source.next(began).unwrap() else { panic!("told") };
    assert!(began.elapsed() < Duration::from_millis(1500));
    assert_eq!(why.kind(), Kind::TimedOut, "{why}");

    server.played.leave();
    let Told::Unknown { why, .. } = server.source().next(Instant::now()).unwrap() else { panic!() };
    assert_eq!(why.kind(), Kind::Unavailable, "{why}");
    assert!(why.to_string().contains("no such file or directory"), "{why}");
}

#[test]
fn a_server_that_comes_back_is_found_by_itself() {
    let mut failures = 2;
    let server = Server::start(move |_, _| {
        failures -= 1;
        (failures >= 0).then(Vec::new)
    });
    let mut source = server.source();
    let began = Instant::now();
    assert!(matches!(source.next(began).unwrap(), Told::Unknown { .. }));
    let until = began + RETRY * 10;
    assert!(matches!(source.next(until).unwrap(), Told::Unknown { .. }));
    assert!(matches!(source.next(until).unwrap(), Told::Begin));
    let waited = began.elapsed();
    assert!((RETRY * 3..RETRY * 5).contains(&waited), "{waited:?}");
}

#[test]
fn another_server_s_leases_are_not_taken_for_none() {
    let server = Server::start(|command, _| {
        let dhcp4 = json!({"result": 0, "arguments": {"Dhcp4": {}}}).to_string();
        (command["command"] == "config-get").then(|| dhcp4.into())
    });
    let Told::Unknown { why, .. } = server.source().next(Instant::now()).unwrap() else { panic!() };
    assert!(why.to_string().contains("not kea-dhcp6"), "{why}");
}
