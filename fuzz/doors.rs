//! The doors through which foreign bytes come in, one function each, and what must hold behind them
//! whatever comes. The fuzz targets send in what libFuzzer finds, and `tests/corpus.rs` the corpus
//! and changes of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use leasepipe::adapter::sources::appended::{Batch, Form, Lines};
use leasepipe::adapter::sources::spool::entry::Entry;
use leasepipe::adapter::sources::spool::order::Order;
use leasepipe::adapter::sources::{Remark, dnsmasq, isc, kea as memfile, odhcpd, spool};
use leasepipe::adapter::{dhcp6 as client, kea as control};
use leasepipe::error::{Error, Kind, OneLine};
use leasepipe::logic::check::check;
use leasepipe::logic::clients::Clients;
use leasepipe::logic::leases::{KeyBy, Leases, Manner, Now};
use leasepipe::logic::rules::Rules;
use leasepipe::logic::template::{self, Template};
use leasepipe::pipe::{Found, Reader};
use leasepipe::record::{
    Checkpoint, Container, Duid, Faults, Holder, LeaseType, Network, Object, Of, Record, Said,
    Shape,
};

/// When it is, as far as that matters: before the ends of the leases in the corpus.
const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

/// The text of dnsmasq's lease file.
pub fn dnsmasq(bytes: &[u8]) {
    let mut all = Vec::new();
    for (line, number) in dnsmasq::text::read(bytes).zip(1..) {
        if let Some(remark) = line.remark {
            assert_eq!(remark.line, number);
            is_for_people(&remark.what);
        }
        all.extend(line.said);
    }
    assert!(all.len() <= lines_of(bytes));
    is_kept(all, true);
}

/// Kea's lease file.
pub fn kea(bytes: &[u8]) {
    if let Some(batch) = read(memfile::Memfile::default(), bytes) {
        is_told(&batch.remarks);
        is_kept(batch.said, false);
    }
}

/// The lease file of ISC dhcpd.
pub fn isc(bytes: &[u8]) {
    if let Some(batch) = read(isc::LeaseFile::default(), bytes) {
        is_told(&batch.remarks);
        is_kept(batch.said, false);
    }
}

/// The text of odhcpd's state file.
pub fn odhcpd(bytes: &[u8]) {
    let mut all = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let read = odhcpd::text::read(line);
        if let Some((what, _)) = read.remark {
            is_for_people(&what);
        }
        assert!(read.said.len() <= line.len());
        all.extend(read.said);
    }
    is_kept(all, true);
}

/// What a server tells its script: words up to an empty one, and then the environment, each as
/// `NAME=VALUE` and with a zero byte behind it.
pub fn hook(bytes: &[u8]) {
    let mut pieces = bytes.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let words = pieces.by_ref().take_while(|word| !word.is_empty()).map(OsStr::to_owned);
    let words: Vec<OsString> = words.collect();
    let variables: Vec<(&[u8], &OsStr)> = pieces
        .filter_map(|piece| {
            let at = piece.as_bytes().iter().position(|byte| *byte == b'=')?;
            Some((&piece.as_bytes()[..at], OsStr::from_bytes(&piece.as_bytes()[at + 1..])))
        })
        .collect();
    let environment = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| value.to_os_string())
    };
    let Some(action) = words.first().and_then(|word| word.to_str()) else { return };
    let mut remarks = Vec::new();
    let events = match spool::dnsmasq::words(action, &words[1..]) {
        Some(words) => {
            let event = spool::dnsmasq::event(&words, &environment, NOW, &mut remarks);
            event.map_err(|why| is_for_people(&shown(&why))).ok().into_iter().collect()
        }
        None => spool::kea::events(action, &environment, &mut remarks).unwrap_or_default(),
    };
    spool::dnsmasq::server_duid(&environment);
    remarks.iter().for_each(|what| is_for_people(&shown(what)));
    let order =
        Order { boot: "b".to_owned(), started: 100, pid: 7, cltt: None, rest: Object::default() };
    let mut before: Option<Entry> = None;
    for event in events {
        let entry = Entry::new(&event, &order, before.as_ref());
        let text = serde_json::to_string(&entry).unwrap();
        assert!(text.len() < 64 * 1024, "an entry of {} bytes", text.len());
        let again = Object::parse(&text).unwrap().try_into();
        assert_eq!(again.as_ref(), Ok(&entry), "{text}");
        is_entry(&entry);
        before = Some(entry);
    }
    spool::dnsmasq::lease_file(before.into_iter().collect(), None);
}

/// A file of the spool.
pub fn spool(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(object) = Object::parse(text) else { return };
    match Entry::try_from(object) {
        Ok(entry) => is_entry(&entry),
        Err(why) => is_for_people(&shown(&why)),
    }
}

fn an_order() -> Order {
    Order { boot: "b".to_owned(), started: 100, pid: 7, cltt: None, rest: Object::default() }
}

fn is_entry(entry: &Entry) {
    let name = spool::entry::file_name(entry.place());
    assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
    assert_eq!(spool::entry::place_of(&name), Some(entry.place()));
    let order = Order { boot: entry.order.boot.clone(), ..an_order() };
    let other = Entry { order, ..entry.clone() };
    let _ = (entry.yields_to(&other), other.yields_to(entry));
    entry.order.is_of_same_second(&other.order);
    for is_time_told in [false, true] {
        match entry.said(is_time_told) {
            Ok(said) => is_kept(vec![said], false),
            Err(why) => is_for_people(&shown(&why)),
        }
    }
    for line in spool::dnsmasq::lease_file(vec![entry.clone()], None) {
        assert!(!line.contains(['\n', '\0']), "{line:?}");
    }
}

/// What Kea answers to `lease6-get-page`.
pub fn kea_answer(bytes: &[u8]) {
    match control::leases::Page::read(bytes) {
        Ok(page) => {
            page.rows
                .iter()
                .filter_map(|row| row.wrong.as_ref())
                .for_each(|what| is_for_people(what));
            is_kept(page.rows.into_iter().filter_map(|row| row.said).collect(), false);
        }
        Err(why) => is_for_people(&why.to_string()),
    }
}

/// A datagram from the link, as the DHCPv6 client takes it: as it is, and as the answer to what the
/// client asks for in two of its tasks.
pub fn dhcp6(bytes: &[u8]) {
    client::is_answer(bytes);
    let Some((kind, options)) = bytes.split_first() else { return };
    let options = options_from_a_server(options.get(3..).unwrap_or_default());
    let wants = client::Wants { address: true, temporary: true, delegate: Some(56) };
    let duid: Duid = "00:04:01".parse().unwrap();
    let give_up_after = Duration::from_secs(5);
    let iaid = iaid_in(&options);
    let client = client::Client { wants, give_up_after, ..client::Client::new(duid, iaid) };
    let left = client::Lifetime::from_secs(100);
    let address = |text: &str, ia| client::HeldAddress { address: text.parse().unwrap(), ia, left };
    let held = client::Held {
        server: "00:04:02".parse().unwrap(),
        addresses: vec![
            address("2001:db8::2", client::Ia::Na),
            address("2001:db8::3", client::Ia::Ta),
        ],
        prefixes: vec![client::HeldPrefix { prefix: "2001:db8:2::/48".parse().unwrap(), left }],
    };
    for task in [client::Task::Lease, client::Task::Renew(held.clone())] {
        let mut sent = 0;
        let outcome = client.rehearse(task, |query| {
            sent += 1;
            let server = [0, 2, 0, 3, 0, 4, 2];
            vec![[&[*kind], &query[1..4], &[0, 1, 0, 3, 0, 4, 1], &server[..], &options].concat()]
        });
        assert!(sent < 30, "{sent} messages in five seconds");
        match outcome {
            Ok(client::Outcome::Leased(lease)) => is_fit(&lease, &held),
            Ok(other) => panic!("{other:?}"),
            Err(why) => is_for_people(&why.to_string()),
        }
    }
}

/// The options without those that say who speaks to whom.
fn options_from_a_server(mut rest: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Some((&[c0, c1, l0, l1], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([l0, l1])) + 4;
        let Some((option, behind)) = rest.split_at_checked(length) else {
            // What is torn stays so.
            kept.extend(behind);
            break;
        };
        if !matches!([c0, c1], [0, 1 | 2]) {
            kept.extend(option);
        }
        rest = behind;
    }
    kept
}

/// The number of the first identity association.
fn iaid_in(mut rest: &[u8]) -> u32 {
    while let Some((&[c0, c1, l0, l1], behind)) = rest.split_first_chunk() {
        if let ([0, 3 | 4 | 25], Some((iaid, _))) = ([c0, c1], behind.split_first_chunk()) {
            return u32::from_be_bytes(*iaid);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        rest = behind.get(length..).unwrap_or_default();
    }
    7
}

/// What a server has given can be used, and nothing is taken back that was not held.
fn is_fit(lease: &client::Lease, held: &client::Held) {
    let none = client::Lifetime::from_secs(0);
    assert!(none < lease.t1 && lease.t1 <= lease.t2, "{lease:?}");
    assert!(lease.addresses.len() <= 64 && lease.prefixes.len() <= 32, "{lease:?}");
    for (at, leased) in lease.addresses.iter().enumerate() {
        let address = leased.address;
        assert!(leased.preferred <= leased.valid && none < leased.valid, "{leased:?}");
        assert!(!address.is_multicast() && !address.is_unicast_link_local(), "{leased:?}");
        assert!(!address.is_loopback() && !address.is_unspecified(), "{leased:?}");
        assert!(lease.addresses[..at].iter().all(|other| other.address != address), "{lease:?}");
    }
    for (at, leased) in lease.prefixes.iter().enumerate() {
        let prefix = leased.prefix;
        assert!(leased.preferred <= leased.valid && none < leased.valid, "{leased:?}");
        assert!((1..=64).contains(&prefix.prefix_len()) && prefix == prefix.trunc(), "{leased:?}");
        assert!(!prefix.network().is_multicast() && !prefix.network().is_unicast_link_local());
        let overlaps = |other: &client::LeasedPrefix| {
            other.prefix.contains(&prefix) || prefix.contains(&other.prefix)
        };
        assert!(!lease.prefixes[..at].iter().any(overlaps), "{lease:?}");
    }
    let was_held = |gone| held.addresses.iter().any(|held| held.address == gone);
    assert!(lease.withdrawn.iter().all(|gone| was_held(*gone)), "{lease:?}");
    let was_held = |gone| held.prefixes.iter().any(|held| held.prefix == gone);
    assert!(lease.withdrawn_prefixes.iter().all(|gone| was_held(*gone)), "{lease:?}");
    for (at, refusal) in lease.refused.iter().enumerate() {
        assert!(lease.addresses.iter().all(|leased| leased.ia != refusal.ia), "{lease:?}");
        assert!(refusal.ia != client::Ia::Pd || lease.prefixes.is_empty(), "{lease:?}");
        assert!(lease.refused[..at].iter().all(|other| other.ia != refusal.ia), "{lease:?}");
    }
}

/// Standard input of a program.
pub fn records(bytes: &[u8]) {
    let whole = found(bytes, usize::MAX);
    assert!(whole.len() <= bytes.len() + 1);
    for found in whole.iter().flatten() {
        let again = Record::parse(found);
        let again = serde_json::to_string(&again.expect("what was written can be read"));
        assert_eq!(again.unwrap(), *found, "a record that went through twice");
    }
    // In what pieces the bytes come makes no difference.
    let pieces = if bytes.len() < 64 { &[1, 2, 3][..] } else { &[29, 64] };
    for &piece in pieces {
        assert_eq!(whole, found(bytes, piece), "in pieces of {piece}");
    }
}

/// One container document: it is refused when something in it is told to be wrong, and only then, and
/// what is told is short and little.
pub fn container(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut faults = Faults::default();
    Container::faults(text, &mut faults);
    match serde_json::from_str::<Container>(text) {
        // Read alone it is a container whatever kind it names.
        Err(why) => assert!(!faults.is_empty(), "{why}"),
        Ok(container) => {
            assert!(faults.fields().all(|field| field == "kind"), "{faults:?}");
            let found = check(&container);
            let mut unknown = Faults::default();
            container.unknown(&mut unknown);
            assert_eq!(unknown.is_empty(), container == known(&container), "{unknown:?}");
            let written = serde_json::to_string(&container).unwrap();
            assert_eq!(serde_json::from_str::<Container>(&written).ok(), Some(container));
            [found.faults, found.remarks, unknown].into_iter().for_each(is_told_briefly);
        }
    }
    is_told_briefly(faults);
}

/// The same container without the fields that are not known, but for its kind: another kind than its own
/// is a fault and no field that is not known.
fn known(container: &Container) -> Container {
    let mut known = container.clone();
    known.rest = Object::of(container.rest.iter().filter(|(name, _)| *name == "kind"));
    let nested = [
        known.private_network.as_mut().map(|one| &mut one.rest),
        known.healthcheck.as_mut().map(|one| &mut one.rest),
        known.requires.as_mut().map(|one| &mut one.rest),
        known.host.as_mut().map(|one| &mut one.rest),
        known.lease.as_mut().map(|one| &mut one.rest),
        known.docker.as_mut().map(|one| &mut one.rest),
    ];
    nested.into_iter().flatten().for_each(|rest| *rest = Object::default());
    for network in &mut known.networks {
        match network {
            Network::Docker(one) => one.rest = Object::default(),
            Network::Link(one) => one.rest = Object::default(),
        }
    }
    for interface in &mut known.interfaces {
        interface.rest = Object::default();
        interface.addresses.iter_mut().for_each(|one| one.rest = Object::default());
    }
    known
}

fn is_told_briefly(faults: Faults) {
    let (kept, count) = faults.finish();
    assert!(kept.len() <= Faults::MOST && kept.len() <= count);
    for fault in kept {
        is_for_people(&Error::new(Kind::BadInput, fault).to_string());
    }
}

/// A template, and behind a zero byte lease records to fill it for.
pub fn template(bytes: &[u8]) {
    let (text, leases) = halves(bytes);
    let manner = template::Manner { owner: None, private_network: text.len().is_multiple_of(2) };
    match Template::parse(&text, manner) {
        Err(why) => is_for_people(&why.to_string()),
        Ok(template) => {
            clients(leases).into_iter().for_each(|client| match template.fill(&client) {
                Err(why) => is_for_people(&why.to_string()),
                Ok(containers) => assert!(containers.len() >= template.ids().count().min(1)),
            })
        }
    }
}

/// Rules, and behind a zero byte lease records to choose for.
pub fn rules(bytes: &[u8]) {
    let (text, leases) = halves(bytes);
    let load = &mut |_: &str| Ok(r#"{"id":"a","image":"b"}"#.to_owned());
    match Rules::parse(&text, None, load) {
        Err(wrong) => wrong.iter().for_each(|why| is_for_people(&why.to_string())),
        Ok(rules) => clients(leases).iter().for_each(|client| {
            let explanation = rules.explain(client);
            assert_eq!(explanation.rule.is_some(), rules.choose(client).is_some());
        }),
    }
}

/// Reads a text as a file that a server appends to; nothing when the whole of it is refused.
fn read<F: Form>(mut form: F, bytes: &[u8]) -> Option<Batch> {
    let mut lines = Lines::new(file_of(bytes));
    let mut batch = Batch::default();
    form.begin();
    form.file(Path::new("leases"));
    while let Some((number, line)) = lines.next_line().unwrap() {
        is_fine(form.line(number, line, &mut batch))?;
    }
    if let Some((number, line)) = lines.rest() {
        is_fine(form.line(number, line, &mut batch))?;
    }
    is_fine(form.end())?;
    Some(batch)
}

fn is_fine(result: Result<(), Error>) -> Option<()> {
    result.map_err(|why| is_for_people(&why.to_string())).ok()
}

/// A file that is in memory alone.
fn file_of(bytes: &[u8]) -> File {
    let file = nix::sys::memfd::memfd_create("leases", nix::sys::memfd::MFdFlags::empty());
    let mut file = File::from(file.unwrap());
    file.write_all(bytes).unwrap();
    file
}

fn lines_of(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn is_told(remarks: &[Remark]) {
    remarks.iter().for_each(|remark| is_for_people(&remark.what));
}

/// Text as it is told: cut and escaped.
fn shown(what: &str) -> String {
    OneLine(what).to_string()
}

/// Whatever a client sends, what people are told of it is one short line.
fn is_for_people(what: &str) {
    assert!(what.len() <= 8_000, "{} bytes are told", what.len());
    assert!(!what.contains(|c: char| c.is_control()), "{what:?}");
}

/// What a database says makes sense, and comes out of the set of leases as it went in.
fn is_kept(all: Vec<Said>, is_table: bool) {
    for said in &all {
        let Said::Held(held) = said else { continue };
        assert_eq!(held.prefix_len.is_some(), held.r#type == LeaseType::Pd, "{held:?}");
        let is_v4 = matches!(held.holder, Holder::V4 { .. });
        assert_eq!((is_v4, is_v4), (held.address.is_ipv4(), held.r#type == LeaseType::V4));
    }
    let mut leases = Leases::new(Manner {
        source: "fuzz".to_owned(),
        key_by: KeyBy::DuidIaid,
        is_table,
        grace: Duration::ZERO,
    });
    let now = Now { wall: NOW, boot: Duration::from_secs(9) };
    leases.begin();
    all.into_iter().for_each(|said| leases.say(said, now));
    leases.whole(now);
    for lease in leases.list(now) {
        let text = serde_json::to_string(&lease).unwrap();
        assert_eq!(Record::parse(&text), Ok(Record::Lease(lease)), "{text}");
    }
}

/// What the reader finds: the records as they are written, nothing for what is none.
fn found(bytes: &[u8], piece: usize) -> Vec<Option<String>> {
    let mut reader = Reader::new(Pieces { rest: bytes, piece }, "fuzz");
    let mut all = Vec::new();
    loop {
        match reader.read(&mut || Ok(())).unwrap() {
            Found::Record(line, record) => {
                assert!(line as usize <= lines_of(bytes));
                all.push(Some(serde_json::to_string(&record).unwrap()));
            }
            Found::Bad(why) => {
                is_for_people(&why.to_string());
                all.push(None);
            }
            Found::End => return all,
        }
    }
}

/// A stream that gives some bytes at a time.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let room_size = room.len().min(self.piece);
        self.rest.read(&mut room[..room_size])
    }
}

/// The text before the first zero byte, and the bytes behind it.
fn halves(bytes: &[u8]) -> (String, &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0);
    let (text, rest) = at.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + 1..]));
    (String::from_utf8_lossy(text).into_owned(), rest)
}

/// The clients that these records tell of.
fn clients(records: &[u8]) -> Vec<leasepipe::logic::clients::Client> {
    let mut clients = Clients::default();
    let mut reader = Reader::new(records, "fuzz");
    loop {
        match reader.read(&mut || Ok(())).unwrap() {
            Found::Record(_, Record::Lease(lease)) => {
                if let Err(why) = clients.update(&lease) {
                    is_for_people(&Error::new(Kind::BadInput, why).to_string());
                }
            }
            Found::Record(..) | Found::Bad(_) => clients.doubt(),
            Found::End => break,
        }
    }
    clients.checkpoint(&Checkpoint::new(Of::Lease, 0));
    clients.keys().filter_map(|key| clients.get(key)).collect()
}
