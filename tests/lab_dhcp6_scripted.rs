//! The DHCPv6 client, and unionize with it, against a server that does on request what real ones do not,
//! on a real link, and what the client sends as tshark sees it.

mod lab;

use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::dhcp6::kind::*;
use lab::dhcp6::{Query, address, duid, na, option, pd, prefix, rapid, status, ta, with_server};
use lab::plugged::{Dad, Plugged, on, plug};
use lab::{Done, Lab, PATIENCE, Running, Wiretap, bin, eventually, run};
use leasepipe::adapter::dhcp6::{
    Client, Exchange, Held, HeldAddress, HeldPrefix, Ia, Lease, Lifetime, Outcome, Progress, Task,
    Wants,
};
use leasepipe::error::{Kind, Result};
use leasepipe::record::Duid;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

const ALL: Wants = Wants { address: true, temporary: true, delegate: Some(56) };

/// Everything, as a server gives it.
fn everything() -> Vec<Vec<u8>> {
    vec![
        na(50, 80, &[address("fd00:1::1", 100, 200)]),
        ta(&[address("fd00:1::2", 100, 200)]),
        pd(40, 90, &[prefix("fd00:2::/56", 100, 200)]),
    ]
}

/// What `everything` gives, as a client holds it.
fn held() -> Held {
    let left = Lifetime::from_secs(200);
    let address = |text: &str, ia| HeldAddress { address: text.parse().unwrap(), ia, left };
    Held {
        server: Duid::new(&duid(0xaa)).unwrap(),
        addresses: vec![address("fd00:1::1", Ia::Na), address("fd00:1::2", Ia::Ta)],
        prefixes: vec![HeldPrefix { prefix: "fd00:2::/56".parse().unwrap(), left }],
    }
}

fn addresses(lease: &Lease) -> Vec<Ipv6Addr> {
    lease.addresses.iter().map(|leased| leased.address).collect()
}

fn prefixes(lease: &Lease) -> Vec<String> {
    lease.prefixes.iter().map(|leased| leased.prefix.to_string()).collect()
}

/// A lab with one container that wants everything.
fn site(test: &str) -> Option<(Lab, Plugged)> {
    let mut lab = Lab::or_skip(test)?;
    lab.bridge("br1");
    let mut container = plug(&mut lab, 1, Dad::Optimistic);
    container.client.wants = ALL;
    Some((lab, container))
}

/// The IA_NA of the client that asks, with these times and options.
fn own_na(query: &Query, t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
    let asked = query.option(3).expect("an IA_NA");
    let times = [t1, t2].map(u32::to_be_bytes).concat();
    option(3, &[&asked[..4], &times, &options.concat()].concat())
}

/// A lab with a container that is a namespace, to be plugged in by unionize.
struct Plain {
    lab: Lab,
    record: Value,
}

impl Plain {
    fn or_skip(test: &str) -> Option<Plain> {
        let mut lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        let record = json!({"id": "web", "image": "busybox", "netns": lab.namespace("web")});
        Some(Plain { lab, record })
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(self.lab.dir().join("attachments"));
        command
    }

    #[track_caller]
    fn attach(&self) -> Done {
        let done = run(&mut self.command(&["--bridge", "br1"]), format!("{}\n", self.record));
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done
    }
}

/// Section 18.2.7: from before the Release is sent, the lease is not used any more; by who was killed
/// before the answer neither.
#[test]
fn what_is_being_given_back_is_not_put_to_use_again() {
    let test = "what_is_being_given_back_is_not_put_to_use_again";
    let Some(site) = Plain::or_skip(test) else { return };
    let heard = Mutex::new(Vec::new());
    let server = |query: &Query| {
        heard.lock().unwrap().push(query.kind());
        let leased = || own_na(query, 50, 80, &[address("fd00:1::1", 100, 200)]);
        match query.kind() {
            SOLICIT => vec![query.answer(REPLY, &[rapid(), leased()])],
            _ => vec![],
        }
    };
    let heard = || std::mem::take(&mut *heard.lock().unwrap());
    with_server(&site.lab, server, || {
        for again in [false, true] {
            site.attach();
            assert_eq!(heard(), [SOLICIT], "again: {again}");
            let mut remove = Running::start(&mut site.command(&["--bridge", "br1"]));
            remove.send(&json!({"kind": "change", "action": "remove", "container": site.record}));
            eventually("a Release", PATIENCE, || heard().contains(&RELEASE).then_some(()));
            remove.stop();
            heard();
        }
        // A removal that comes instead gives back what a server may have leased again.
        let change = json!({"kind": "change", "action": "remove", "container": site.record});
        let done = run(&mut site.command(&["--bridge", "br1"]), format!("{change}\n"));
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!(heard()[..2], [SOLICIT, RELEASE]);
        assert!(run(&mut site.command(&["list"]), "").stdout.is_empty());
    });
}

/// Section 18.2.8: what belongs to another station is not used, whatever becomes of the Decline.
#[test]
fn a_duplicate_that_comes_with_a_renewal_is_exchanged() {
    let test = "a_duplicate_that_comes_with_a_renewal_is_exchanged";
    let Some(site) = Plain::or_skip(test) else { return };
    site.lab.ip("address add fd00:1::b/64 dev br1 nodad");
    let heard = Mutex::new(Vec::new());
    let server = |query: &Query| {
        heard.lock().unwrap().push(query.kind());
        let is_first = !heard.lock().unwrap().contains(&RENEW);
        let leased = if is_first { "fd00:1::a" } else { "fd00:1::c" };
        let given = |options: &[Vec<u8>]| own_na(query, 50, 80, options);
        match query.kind() {
            SOLICIT => {
                vec![query.answer(REPLY, &[rapid(), given(&[address(leased, 100, 200)])])]
            }
            RENEW => {
                let other = [address("fd00:1::b", 100, 200), address("fd00:1::a", 0, 0)];
                vec![query.answer(REPLY, &[given(&other)])]
            }
            _ => vec![],
        }
    };
    with_server(&site.lab, server, || {
        site.attach();
        let done = run(&mut site.command(&["renew", "--all", "--timeout", "3s"]), "");
        assert_eq!(done.status, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("another station of the link has it"), "{}", done.stderr);
        assert!(heard.lock().unwrap().contains(&DECLINE));
        let listed = run(&mut site.command(&["list"]), "").records();
        assert_eq!((&listed[0]["state"], &listed[0]["lease"]), (&json!("asking"), &Value::Null));
        let done = run(&mut site.command(&["renew"]), "");
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let interface = &done.records()[0]["container"]["interfaces"][0];
        assert_eq!(interface["addresses"][0]["address"], "fd00:1::c", "{interface}");
    });
}

#[test]
fn what_is_given_is_taken_and_what_is_refused_is_told() {
    let Some((lab, container)) = site("what_is_given_is_taken_and_what_is_refused_is_told") else {
        return;
    };
    let lease = with_server(
        &lab,
        |query| {
            let mut options = everything();
            options[1] = ta(&[status(2, "")]);
            options[2] = pd(0, 0, &[status(6, "come back\r\nlater")]);
            match query.kind() {
                SOLICIT => vec![query.answer(ADVERTISE, &options)],
                _ => vec![query.answer(REPLY, &options)],
            }
        },
        || container.lease(),
    );
    assert_eq!((addresses(&lease).len(), prefixes(&lease).len()), (1, 0));
    let told: Vec<_> = lease.refused.iter().map(|one| (one.ia, one.code, &one.why[..])).collect();
    let expected = [
        (Ia::Ta, Some(2), "NoAddrsAvail"),
        (Ia::Pd, Some(6), "NoPrefixAvail (\"come back\r\nlater\")"),
    ];
    assert_eq!(told, expected);
}

/// Sections 16 and 18.2.10: each of these comes before the true answer, and none of them is taken.
#[test]
fn what_is_no_answer_changes_nothing() {
    let Some((lab, container)) = site("what_is_no_answer_changes_nothing") else { return };
    let renewed = with_server(
        &lab,
        |query| {
            let wrong = || vec![na(0, 0, &[address("fd00:bad::1", 100, 200)])];
            let good = query.answer(REPLY, &everything());
            let mut other_xid = query.answer(REPLY, &wrong());
            other_xid[3] ^= 1;
            let other_server = query.from(0xbb, REPLY, &wrong());
            let mut other_client = query.answer(REPLY, &wrong());
            other_client[8] ^= 1;
            let no_server =
                [&[REPLY], &query.0[1..4], &option(1, query.option(1).unwrap()), &wrong()[0]]
                    .concat();
            let reconfigure = query.answer(RECONFIGURE, &[option(19, &[5])]);
            let advertise = query.answer(ADVERTISE, &wrong());
            let torn = good[..good.len() - 3].to_vec();
            let spoilt = query.answer(REPLY, &[option(3, &[0, 0, 0, 7])]);
            let t1_after_t2 = query.answer(REPLY, &[na(9, 8, &[address("fd00:bad::1", 100, 200)])]);
            vec![
                other_xid,
                other_server,
                other_client,
                no_server,
                reconfigure,
                advertise,
                torn,
                spoilt,
                t1_after_t2,
                good.clone(),
                good,
            ]
        },
        || container.on(|client, link| client.renew(link, &held())),
    );
    let renewed = renewed.expect("more time");
    assert_eq!(addresses(&renewed), held().all_addresses());
    assert_eq!(prefixes(&renewed), ["fd00:2::/56"]);
    assert_eq!(renewed.ignored, 8, "all but the one with T1 after T2, which was theirs to send");
    assert!(renewed.elapsed < Duration::from_secs(1), "{renewed:?}");
}

#[test]
fn unfit_leases_are_left_out() {
    let Some((lab, container)) = site("unfit_leases_are_left_out") else { return };
    let lease = with_server(
        &lab,
        |query| {
            let addresses = ["fe80::1", "ff02::1", "::1", "::", "::ffff:192.0.2.1"];
            let addresses = addresses.map(|text| address(text, 100, 200));
            let backwards = address("fd00:1::9", 201, 200);
            let good = address("fd00:1::1", 100, 200);
            let of_no_time = address("fd00:1::8", 0, 0);
            let prefixes = ["::/0", "fe80::/64", "ff00::/16", "fd00:3::/65", "fd00:3::1/128"];
            let prefixes = prefixes.map(|text| prefix(text, 100, 200));
            let delegated = prefix("fd00:2::/56", 100, 200);
            let within = prefix("fd00:2:0:1::/64", 100, 200);
            let options = [
                rapid(),
                na(0, 0, &[addresses.concat(), backwards, of_no_time, good]),
                pd(0, 0, &[prefixes.concat(), delegated, within]),
            ];
            vec![query.answer(REPLY, &options)]
        },
        || container.lease(),
    );
    assert_eq!(addresses(&lease), ["fd00:1::1".parse::<Ipv6Addr>().unwrap()]);
    assert_eq!(prefixes(&lease), ["fd00:2::/56"]);
    assert!(lease.withdrawn.is_empty(), "nothing was held");
}

/// Section 18.2.10.1: "Sends a Request message to the server that responded".
#[test]
fn a_prefix_that_the_server_has_lost_is_requested_at_once() {
    let Some((lab, container)) = site("a_prefix_that_the_server_has_lost_is_requested_at_once")
    else {
        return;
    };
    let asked = Mutex::new(Vec::new());
    let renewed = with_server(
        &lab,
        |query| {
            asked.lock().unwrap().push(query.kind());
            let mut options = everything();
            if query.kind() == RENEW {
                options[2] = pd(0, 0, &[status(3, "never heard of it")]);
            }
            vec![query.answer(REPLY, &options)]
        },
        || container.on(|client, link| client.renew(link, &held())),
    );
    let renewed = renewed.expect("more time");
    assert_eq!(*asked.lock().unwrap(), [RENEW, REQUEST]);
    assert_eq!((addresses(&renewed).len(), prefixes(&renewed).len()), (2, 1));
    assert!(renewed.elapsed < Duration::from_secs(1), "{renewed:?}");
}

#[test]
fn of_several_servers_the_preferred_one_is_asked() {
    let Some((lab, mut container)) = site("of_several_servers_the_preferred_one_is_asked") else {
        return;
    };
    container.client.wants = Wants::ADDRESS;
    container.client.collect = Duration::from_millis(200);
    let requested = Mutex::new(Vec::new());
    let lease = with_server(
        &lab,
        |query| {
            let offer = |server: u8, preference: u8| {
                let offered = na(0, 0, &[address(&format!("fd00:1::{server:x}"), 100, 200)]);
                query.from(server, ADVERTISE, &[offered, option(7, &[preference])])
            };
            match query.kind() {
                SOLICIT => vec![offer(1, 0), offer(2, 7), offer(3, 3), offer(2, 7)],
                _ => {
                    let server = query.option(2).unwrap()[17];
                    requested.lock().unwrap().push(server);
                    let refusal = na(0, 0, &[status(2, "just leased")]);
                    let given = na(0, 0, &[address("fd00:1::33", 100, 200)]);
                    let answer = if server == 2 { refusal } else { given };
                    vec![query.from(server, REPLY, &[answer])]
                }
            }
        },
        || container.lease(),
    );
    assert_eq!(*requested.lock().unwrap(), [2, 3], "the next best after a refusal");
    assert_eq!(lease.server, Duid::new(&duid(3)).unwrap());
    assert!(lease.elapsed >= Duration::from_millis(200), "{lease:?}");
}

#[test]
fn refusals_and_silence_are_told_apart() {
    let Some((lab, mut container)) = site("refusals_and_silence_are_told_apart") else { return };
    container.client.give_up_after = Duration::from_millis(1500);
    let lease = |script: fn(&Query) -> Vec<Vec<u8>>| -> Result<Lease> {
        with_server(&lab, script, || container.on(|client, link| client.lease(link)))
    };
    let full = lease(|query| {
        let nothing = [na(0, 0, &[status(2, "")]), pd(0, 0, &[status(6, "")])];
        vec![query.answer(ADVERTISE, &nothing)]
    });
    let full = full.unwrap_err();
    assert_eq!(full.kind(), Kind::Refused);
    assert!(full.to_string().contains("NoAddrsAvail for IA_NA, NoPrefixAvail for IA_PD"), "{full}");
    assert_eq!(lease(|_| vec![]).unwrap_err().kind(), Kind::TimedOut);
    let elsewhere = lease(|query| match query.kind() {
        SOLICIT => vec![query.answer(ADVERTISE, &[everything().concat(), option(7, &[255])])],
        _ => vec![query.answer(REPLY, &[status(4, "")])],
    });
    assert!(elsewhere.unwrap_err().to_string().ends_with("NotOnLink for IA_PD"));
}

/// Section 18.2.12.
#[test]
fn a_link_that_still_fits_is_confirmed() {
    let Some((lab, container)) = site("a_link_that_still_fits_is_confirmed") else { return };
    let asked = Mutex::new(Vec::new());
    let confirm = |held: &Held, code: u8| {
        with_server(
            &lab,
            |query| {
                asked.lock().unwrap().push(query.kind());
                match query.kind() {
                    CONFIRM => vec![query.answer(REPLY, &[status(code, "")])],
                    _ => vec![query.answer(REPLY, &everything())],
                }
            },
            || container.on(|client, link| client.confirm(link, held)),
        )
    };
    let without = Held { prefixes: Vec::new(), ..held() };
    assert!(matches!(confirm(&without, 0), Ok(Outcome::OnLink(true))));
    assert!(matches!(confirm(&without, 4), Ok(Outcome::OnLink(false))));
    assert!(matches!(confirm(&held(), 0), Ok(Outcome::Leased(_))));
    assert_eq!(*asked.lock().unwrap(), [CONFIRM, CONFIRM, REBIND]);
}

/// The values of all fields of this name, however deep.
fn fields<'a>(tree: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match tree {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(text) if key == name => found.push(text),
                    _ if key == name && value.is_array() => {
                        found.extend(value.as_array().unwrap().iter().filter_map(Value::as_str));
                    }
                    _ => fields(value, name, found),
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| fields(value, name, found)),
        _ => {}
    }
}

fn all<'a>(message: &'a Value, name: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    fields(&message["_source"]["layers"]["dhcpv6"], name, &mut found);
    found
}

/// Every sort of message that the client sends, each once or, where it is not answered, twice.
#[test]
fn tshark_understands_every_message() {
    let test = "tshark_understands_every_message";
    let Some((lab, mut container)) = site(test) else { return };
    let Some(tap) = Wiretap::or_skip(test, &lab, "br1") else { return };
    let times = AtomicU32::new(0);
    let answer = |query: &Query| match query.kind() {
        SOLICIT if times.fetch_add(1, Ordering::Relaxed) == 0 => vec![],
        SOLICIT => vec![query.answer(ADVERTISE, &everything())],
        CONFIRM | RELEASE | DECLINE => vec![query.answer(REPLY, &[status(0, "")])],
        _ => vec![query.answer(REPLY, &everything())],
    };
    let without = Held { prefixes: Vec::new(), ..held() };
    let taken = held().all_addresses();
    with_server(&lab, answer, || {
        container.client.rapid_commit = true;
        container.lease();
        container.on(|client, link| client.renew(link, &held())).expect("renewed");
        container.on(|client, link| client.rebind(link, &held())).expect("rebound");
        container.on(|client, link| client.confirm(link, &without)).expect("confirmed");
        container.on(|client, link| client.decline(link, &held(), &taken)).expect("declined");
        container.on(|client, link| client.release(link, &held())).expect("released");
    });
    let messages = tap.messages(15);
    let sent: Vec<&Value> = messages
        .iter()
        .filter(|message| {
            all(message, "dhcpv6.msgtype") != ["7"] && all(message, "dhcpv6.msgtype") != ["2"]
        })
        .collect();
    let types: Vec<_> = sent.iter().flat_map(|message| all(message, "dhcpv6.msgtype")).collect();
    assert_eq!(types, ["1", "1", "3", "5", "6", "4", "9", "8"]);
    assert_eq!(tap.complaints(), [""; 0]);
    let (addresses, prefix) = (["fd00:1::1", "fd00:1::2"], ["fd00:2::"]);
    for (message, (options, has_addresses, prefixes)) in sent.iter().zip([
        // Client id, IA_NA, IA_TA, ORO, elapsed time, rapid commit, IA_PD with a hint.
        (&["1", "3", "4", "6", "8", "14", "25", "26"][..], false, Some("::")),
        (&["1", "3", "4", "6", "8", "14", "25", "26"], false, Some("::")),
        (&["1", "2", "3", "4", "5", "5", "6", "8", "25", "26"], true, Some(prefix[0])),
        (&["1", "2", "3", "4", "5", "5", "6", "8", "25", "26"], true, Some(prefix[0])),
        (&["1", "3", "4", "5", "5", "6", "8", "25", "26"], true, Some(prefix[0])),
        (&["1", "3", "4", "5", "5", "8"], true, None),
        (&["1", "2", "3", "4", "5", "5", "8"], true, None),
        (&["1", "2", "3", "4", "5", "5", "8", "25", "26"], true, Some(prefix[0])),
    ]) {
        let mut found: Vec<u32> =
            all(message, "dhcpv6.option.type").iter().map(|code| code.parse().unwrap()).collect();
        found.sort_unstable();
        let expected: Vec<u32> = options.iter().map(|code| code.parse().unwrap()).collect();
        assert_eq!(found, expected, "{message:#}");
        let expected = if has_addresses { &addresses[..] } else { &[] };
        assert_eq!(all(message, "dhcpv6.iaaddr.ip"), expected, "{message:#}");
        assert_eq!(
            all(message, "dhcpv6.iaprefix.pref_addr"),
            Vec::from_iter(prefixes),
            "{message:#}"
        );
        let expected = Vec::from_iter(prefixes.map(|_| "56"));
        assert_eq!(all(message, "dhcpv6.iaprefix.pref_len"), expected);
        let associations = 1 + usize::from(prefixes.is_some());
        assert_eq!(all(message, "dhcpv6.iaid"), vec!["00000007"; associations]);
        assert_eq!(all(message, "dhcpv6.iata"), ["00000007"]);
        assert_eq!(all(message, "dhcpv6.iaid.t1"), vec!["0"; associations]);
        assert_eq!(all(message, "dhcpv6.iaid.t2"), vec!["0"; associations]);
        let layers = &message["_source"]["layers"];
        assert_eq!(layers["ipv6"]["ipv6.dst"], "ff02::1:2");
        assert!(layers["ipv6"]["ipv6.src"].as_str().unwrap().starts_with("fe80::"));
        assert_eq!(layers["udp"]["udp.srcport"], "546");
        assert_eq!(layers["udp"]["udp.dstport"], "547");
    }
    let elapsed = |message: &Value| -> u32 {
        all(message, "dhcpv6.elapsed_time")[0].parse().expect("a number of milliseconds")
    };
    assert_eq!(elapsed(sent[0]), 0);
    assert!((1000..=1200).contains(&elapsed(sent[1])), "{}", elapsed(sent[1]));
    assert!(sent[2..].iter().all(|message| elapsed(message) == 0), "each exchange anew");
    let xids: Vec<_> = sent.iter().flat_map(|message| all(message, "dhcpv6.xid")).collect();
    assert_eq!(xids[0], xids[1], "of what is sent again");
    assert!((2..xids.len()).all(|at| !xids[..at].contains(&xids[at])), "{xids:?}");
    assert_eq!(all(sent[0], "dhcpv6.requested_option_code"), ["23", "24", "82"]);
}

/// Exchanges of ten containers, thirty each, on one thread.
#[test]
fn one_thread_has_many_exchanges() {
    const COUNT: u32 = 300;
    let Some(mut lab) = Lab::or_skip("one_thread_has_many_exchanges") else { return };
    lab.bridge("br1");
    let containers: Vec<_> = (1..=10).map(|n| plug(&mut lab, n, Dad::Optimistic)).collect();
    let end = Instant::now() + Duration::from_secs(60);
    let open = |number: u32| -> Result<Exchange> {
        let duid = Duid::new(&[&[0, 4][..], &number.to_be_bytes()].concat()).unwrap();
        let patience = Duration::from_secs(30);
        let client = Client { wants: ALL, give_up_after: patience, ..Client::new(duid, 7) };
        let space = &containers[(number % 10) as usize].space;
        on(space, "eth0", |link| {
            loop {
                match Exchange::open(&client, link, Task::Lease) {
                    Err(why) if why.kind() == Kind::TimedOut => sleep(Duration::from_millis(5)),
                    opened => return opened,
                }
            }
        })
    };
    let answered = AtomicU32::new(0);
    let script = |query: &Query| {
        // Every third is not answered at first.
        let count = answered.fetch_add(1, Ordering::Relaxed);
        match (query.elapsed(), count % 3) {
            (0, 0) => vec![],
            _ => vec![query.answer(REPLY, &[rapid(), everything().concat()])],
        }
    };
    let leases = with_server(&lab, script, || {
        let mut under_way: Vec<(u32, Exchange)> =
            (0..COUNT).map(|number| (number, open(number).expect("an exchange"))).collect();
        let mut leases = Vec::new();
        while !under_way.is_empty() {
            assert!(Instant::now() < end, "{} are left", under_way.len());
            let now = Instant::now();
            let mut until = now + Duration::from_secs(1);
            under_way.retain_mut(|(number, exchange)| match exchange.poll(now) {
                Progress::WaitUntil(at) => {
                    until = until.min(at);
                    true
                }
                Progress::Done(Ok(Outcome::Leased(lease))) => {
                    leases.push((*number, lease));
                    false
                }
                Progress::Done(other) => panic!("{other:?}"),
            });
            let mut ready: Vec<bool> = {
                let mut all: Vec<PollFd> = under_way
                    .iter()
                    .map(|(_, exchange)| PollFd::new(exchange.as_fd(), PollFlags::POLLIN))
                    .collect();
                let left = until.saturating_duration_since(Instant::now()).as_millis() as u16;
                poll(&mut all, PollTimeout::from(left)).expect("poll");
                all.iter().map(|one| one.any().unwrap_or_default()).collect()
            };
            let now = Instant::now();
            for ((_, exchange), is_ready) in under_way.iter_mut().zip(ready.drain(..)) {
                if is_ready {
                    exchange.readable(now);
                }
            }
        }
        leases
    });
    assert_eq!(leases.len(), COUNT as usize);
    assert!(leases.iter().all(|(_, lease)| lease.refused.is_empty() && lease.prefixes.len() == 1));
    let late = leases.iter().filter(|(_, lease)| lease.elapsed > Duration::from_secs(1)).count();
    assert!(late >= COUNT as usize / 3 - 1, "{late} were asked for twice");
}

#[test]
fn an_exchange_waits_for_its_link_without_blocking() {
    let Some((lab, container)) = site("an_exchange_waits_for_its_link_without_blocking") else {
        return;
    };
    let open = || {
        on(&container.space, "eth0", |link| {
            Exchange::open(&container.client, link, Task::Renew(held()))
        })
    };
    let mut exchange = open().expect("an exchange");
    container.space.ip("link set eth0 down");
    let begun = Instant::now();
    let Progress::WaitUntil(again) = exchange.poll(begun) else { panic!("it has not ended") };
    assert!(begun.elapsed() < Duration::from_millis(100) && again > begun);
    let error = open().err().expect("there is no address");
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(error.to_string().starts_with("eth0: "), "{error}");
    drop(lab);
}
