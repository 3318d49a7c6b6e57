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
    Checkpoint, Container, Faults, Holder, LeaseType, Network, Object, Of, Record, Said, Shape,
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

/// A datagram from the link, as the DHCPv6 client takes it.
pub fn dhcp6(bytes: &[u8]) {
    client::is_answer(bytes);
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

/// The same container without the fields that are not known, but for its kind.
fn known(container: &Container) -> Container {
    let mut known = container.clone();
    known.rest =
        Object::of(container.rest.iter().filter(|field| *field == ("kind", r#""container""#)));
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
