use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use super::*;
use crate::adapter::sources::appended::LONGEST;
use crate::adapter::sources::{Source, Told};
use crate::record::{ClientIdentifier, Held, Holder, LeaseEvent, LeaseType};

const V6: &[u8] = include_bytes!("../../../../tests/data/isc/dhcpd6.leases");
const ENDLESS: &[u8] = include_bytes!("../../../../tests/data/isc/dhcpd6-endless.leases");
const V4: &[u8] = include_bytes!("../../../../tests/data/isc/dhcpd.leases");
const HEADER: &str = "authoring-byte-order little-endian;\n";

/// What a text says, as if it were a whole file.
#[derive(Debug, Default)]
struct Read {
    held: BTreeMap<Place, Held>,
    ended: Vec<(Place, LeaseEvent)>,
    gone: Vec<Place>,
    doubtful: Vec<Place>,
    unreadable: usize,
    remarks: Vec<Remark>,
}

impl Read {
    fn of(text: impl AsRef<[u8]>) -> Read {
        let mut file = LeaseFile::default();
        let mut out = Batch::default();
        file.begin();
        file.file(Path::new("leases"));
        let lines = text.as_ref().split_inclusive(|byte| *byte == b'\n').zip(1..);
        for (line, number) in lines {
            // What has no end is not there yet.
            if let Some(line) = line.strip_suffix(b"\n") {
                file.line(number, Line::Text(line), &mut out).unwrap();
            }
        }
        let mut read = Read { remarks: out.remarks, ..Read::default() };
        read.take(out.said);
        read
    }

    fn take(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Held(held) => drop(self.held.insert(held.place(), held)),
                Said::Ended(place, event) => {
                    self.held.remove(&place);
                    self.ended.push((place, event));
                }
                Said::Gone(place) => {
                    self.held.remove(&place);
                    self.gone.push(place);
                }
                Said::Doubtful(place) => self.doubtful.push(place),
                Said::Unreadable(_) => self.unreadable += 1,
            }
        }
    }

    fn places(&self) -> Vec<String> {
        let text = |place: &Place| match place.prefix_len {
            Some(length) => format!("{}/{length}", place.address),
            None => place.address.to_string(),
        };
        self.held.keys().map(text).collect()
    }

    /// The one lease that there is, about which there is nothing to tell.
    fn only(&self) -> &Held {
        assert_eq!((self.held.len(), &self.remarks[..]), (1, &[][..]));
        self.held.values().next().unwrap()
    }
}

fn v4(bytes: &[u8]) -> Holder {
    Holder::V4 { identifier: ClientIdentifier::new(bytes).unwrap() }
}

fn place(address: &str) -> Place {
    Place { address: address.parse().unwrap(), prefix_len: None }
}

/// A block of a client that is known by one letter.
fn block(client: char, addresses: &[&str], state: &str) -> String {
    let of = |address: &&str| {
        format!(
            "  iaaddr {address} {{\n    binding state {state};\n    max-life 60;\n    \
             ends 6 2026/11/21 08:58:29;\n  }}\n"
        )
    };
    let addresses: String = addresses.iter().map(of).collect();
    format!(
        "ia-na \"\\001\\000\\000\\000\\000\\003\\000{client}\" {{\n  cltt 6 2026/11/21 08:58:09;\n{addresses}}}\n\n"
    )
}

#[test]
fn a_real_file_says_what_the_server_did() {
    let read = Read::of(V6);
    assert_eq!((&read.remarks[..], read.unreadable), (&[][..], 0));
    assert_eq!(read.places(), ["fd00:5::1bf1"]);
    let of = |event| read.ended.iter().filter(|(_, ended)| *ended == event).count();
    assert_eq!(of(LeaseEvent::Expire), 6);
    assert_eq!(of(LeaseEvent::Release), 1);
    assert_eq!(of(LeaseEvent::Decline), 1);
    let held = read.only();
    let duid = "00:03:00:01:66:f3:15:c9:7d:c7".parse().unwrap();
    assert_eq!(held.holder, Holder::V6 { duid, iaid: 1 });
    assert_eq!(held.expires_at, Some("2026-11-21T08:58:51Z".parse().unwrap()));
}

#[test]
fn every_kind_of_association_and_the_classes_are_read() {
    let end = memchr::memmem::find(V6, b"binding state expired").unwrap();
    let end = memchr::memmem::rfind(&V6[..end], b"ia-na").unwrap();
    let read = Read::of(&V6[..end]);
    let types: Vec<_> = read.held.values().map(|held| held.r#type).collect();
    let na = LeaseType::Na;
    assert_eq!(types, [na, na, na, na, LeaseType::Ta, LeaseType::Pd]);
    let iaid = |address: &str| match read.held[&place(address)].holder {
        Holder::V6 { iaid, .. } => iaid,
        Holder::V4 { .. } => panic!("{address}"),
    };
    // Written as a number of the machine that wrote the file.
    assert_eq!((iaid("fd00:5::1bea"), iaid("fd00:5::1bf1")), (0x0403_0201, 1));
    let classes = read.held[&place("fd00:5::1bf1")].classes.as_ref().unwrap();
    assert_eq!(
        (&classes.vendor[..], &classes.user[..]),
        (&["docker".into()][..], &["web".into()][..])
    );
    assert_eq!(read.held[&place("fd00:5::1bea")].classes, None);
}

#[test]
fn endless_leases_have_no_end() {
    let read = Read::of(ENDLESS);
    assert_eq!(read.places(), ["fd00:5::1bf1", "fd00:1ff::/64"]);
    assert!(read.held.values().all(|held| held.expires_at.is_none()));
}

#[test]
fn a_real_file_of_dhcpv4_is_read() {
    let read = Read::of(V4);
    assert_eq!(
        (read.places(), &read.remarks[..]),
        (vec!["192.0.2.100".into(), "192.0.2.101".into()], &[][..])
    );
    let held = &read.held[&place("192.0.2.100")];
    assert_eq!(held.holder, v4(&[1, 0xaa, b'"', b'x', b'\\']));
    assert_eq!(held.mac, Some("66:f3:15:c9:7d:c7".parse().unwrap()));
    assert_eq!(held.hostname.as_ref().unwrap().as_str(), "v4host");
    assert_eq!(held.classes.as_ref().unwrap().vendor, ["MSFT 5.0"]);
    assert_eq!(held.expires_at, Some("2026-11-21T09:00:08Z".parse().unwrap()));
    let held = &read.held[&place("192.0.2.101")];
    let hardware = [0x66, 0xf3, 0x15, 0xc9, 0x7d, 0xc7];
    assert_eq!(held.holder, v4(&hardware));
}

#[test]
fn an_association_loses_what_its_later_block_leaves_out() {
    let (a, b) = ("fd00::a", "fd00::b");
    let text = [HEADER, &block('x', &[a, b], "active"), &block('x', &[b], "active")].concat();
    let read = Read::of(&text);
    assert_eq!(read.places(), [b]);
    assert_eq!((read.gone, read.ended), (vec![place(a)], vec![]));
    // Another client has it by then.
    let taken = block('y', &[a], "active");
    let text = [HEADER, &block('x', &[a, b], "active"), &taken, &block('x', &[b], "active")];
    assert_eq!(Read::of(text.concat()).places(), [a, b]);
    // An empty block is one as well.
    let text = [HEADER, &block('x', &[a, b], "active"), &block('x', &[], "")].concat();
    assert!(Read::of(text).held.is_empty());
}

#[test]
fn every_binding_state_has_its_meaning() {
    let became = |state: &str| Read::of(block('x', &["fd00::a"], state));
    for state in ["active", "reserved", "bootp"] {
        assert_eq!(became(state).places(), ["fd00::a"]);
    }
    for state in ["released", "free", "backup", "reset"] {
        assert_eq!(became(state).ended, [(place("fd00::a"), LeaseEvent::Release)]);
    }
    assert_eq!(became("expired").ended, [(place("fd00::a"), LeaseEvent::Expire)]);
    assert_eq!(became("abandoned").ended, [(place("fd00::a"), LeaseEvent::Decline)]);
    let read = became("asleep");
    assert_eq!((read.doubtful, read.remarks.len()), (vec![place("fd00::a")], 1));
}

#[test]
fn times_have_three_forms() {
    let of = |ends: &str| {
        let text = block('x', &["fd00::a"], "active").replace("ends 6 2026/11/21 08:58:29;", ends);
        let read = Read::of(text);
        read.held.values().next().map(|held| held.expires_at.map(|end| end.as_second()))
    };
    assert_eq!(of("ends 6 2026/11/21 08:58:29;"), Some(Some(1795251509)));
    assert_eq!(of("ends epoch 1795251509; # Sat Nov 21 08:58:29 2026"), Some(Some(1795251509)));
    assert_eq!(of("ends never;"), Some(None));
    for bad in [
        "",
        "ends;",
        "ends 6;",
        "ends 6 2026/11/21;",
        "ends 6 2026/13/21 08:58:29;",
        "ends 6 2026/11/21 24:58:29;",
        "ends 6 2026/11/21/1 08:58:29;",
        "ends 6 2026/11/21 08:58:29 +1;",
        "ends 6 99999/11/21 08:58:29;",
        "ends epoch x;",
        "ends epoch 99999999999999;",
        "ends \"never\";",
    ] {
        assert_eq!(of(bad), None, "{bad}");
    }
}

#[test]
fn the_byte_order_is_the_one_of_the_file() {
    let iaid = |order: &str| {
        let text = format!("authoring-byte-order {order};\n{}", block('x', &["fd00::a"], "active"));
        match Read::of(text).only().holder {
            Holder::V6 { iaid, .. } => iaid,
            Holder::V4 { .. } => panic!("{order}"),
        }
    };
    assert_eq!((iaid("little-endian"), iaid("big-endian")), (1, 0x0100_0000));
}

#[test]
fn a_block_that_cannot_be_understood_costs_no_other() {
    let good = block('g', &["fd00::9"], "active");
    let former = block('x', &["fd00::a", "fd00::b"], "active");
    let (a, b) = (place("fd00::a"), place("fd00::b"));
    // What is broken, and what is in doubt by it.
    let cases = [
        (former.replace("ends 6", "ends \"6"), vec![a, b]),
        (former.replacen("iaaddr fd00::b {", "iaaddr fd00::b", 1), vec![a]),
        (former.replace("iaaddr fd00::b", "iaaddr fd00::zz"), vec![a]),
        (former.replace("iaaddr fd00::b", "= fd00::b"), vec![a]),
        (former[..former.len() - 3].to_owned() + "\n", vec![a, b]),
        (former[..former.find("iaaddr fd00::b").unwrap()].to_owned() + "\n", vec![a]),
    ];
    for (broken, doubtful) in cases {
        let text = [HEADER, &good, &broken, &block('h', &["fd00::8"], "active")].concat();
        let read = Read::of(&text);
        assert_eq!(read.places(), ["fd00::8", "fd00::9"], "{broken}");
        assert_eq!((&read.doubtful, read.unreadable), (&doubtful, 0), "{broken}");
        assert_eq!(read.remarks.len(), 1, "{:?}", read.remarks);
        assert!(read.remarks[0].at.starts_with("leases:"), "{:?}", read.remarks);
        // What the association had before is in doubt as well.
        let read = Read::of([HEADER, &former, &broken, &good].concat());
        assert_eq!(read.held.len(), 3);
        assert!(read.doubtful.contains(&a) && read.doubtful.contains(&b), "{broken}");
    }
    for hopeless in
        ["x }\n", "ia-na \"x\n", "ia-na {\n}\n", "ia-na \"\\001\" {\n}\n", "lease {\n}\n"]
    {
        let read = Read::of([HEADER, &good, hopeless, &former].concat());
        assert_eq!((read.held.len(), read.unreadable), (3, 1), "{hopeless}");
        assert!(read.doubtful.is_empty(), "{hopeless}");
    }
}

#[test]
fn an_association_has_nothing_of_another_kind() {
    let odd = |kind, what, place| {
        let text = format!(
            "ia-{kind} \"\\001\\000\\000\\000\\000\\003\\000\\001ab\" {{ {what} {place} {{ \
                            binding state active; ends never; }} }}\n"
        );
        Read::of([HEADER, &text].concat())
    };
    for (kind, what, place) in [("na", "iaprefix", "fd00::/64"), ("pd", "iaaddr", "fd00::1")] {
        let read = odd(kind, what, place);
        assert_eq!((read.held.len(), read.doubtful.len(), read.remarks.len()), (0, 1, 1));
        assert_eq!(odd("pd", "iaprefix", "fd00::/64").held.len(), 1);
    }
}

#[test]
fn statements_that_are_not_known_say_nothing() {
    let text = [
        HEADER,
        "# lease 192.0.2.1 {\n",
        "server-duid \"\\000\\001};{#\";\n",
        "failover peer \"a\" state {\n  my state normal at 6 2026/11/21 08:58:29;\n}\n",
        "class \"x\" {\n  lease limit 4;\n}\n",
        "host h { dynamic; hardware ethernet 02:00:00:00:00:01; }\n",
    ];
    let read = Read::of(text.concat());
    assert!(read.held.is_empty() && read.remarks.is_empty() && read.unreadable == 0, "{read:?}");
    let odd = "lease 192.0.2.1 { on expiry { set a = \"}\"; } future stuff 7; ends never;\n\
               binding state active; uid 1:2:ff; hardware token-ring 2:0:0:0:0:1; } # }\n";
    let read = Read::of(odd);
    assert_eq!(read.only().holder, v4(&[1, 2, 255]));
    assert_eq!(read.only().mac, None);
    let two = "lease 192.0.2.1{binding state active;ends never;uid \"a\";}lease 192.0.2.2{binding \
               state active;ends never;uid \"b\";}\n";
    assert_eq!(Read::of(two).places(), ["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn what_a_client_chose_is_bounded() {
    let lease = |extra: &str| {
        format!("lease 192.0.2.1 {{ binding state active; ends never; uid \"a\"; {extra} }}\n")
    };
    for name in ["$(id)", "../x", "a\\nb", "a b", "\\377"] {
        let read = Read::of(lease(&format!("client-hostname \"{name}\";")));
        assert_eq!(read.held.values().next().unwrap().hostname, None);
        assert_eq!(read.remarks[0].weight, Weight::Note);
    }
    let classes = |extra: &str| Read::of(lease(extra)).only().classes.clone();
    assert_eq!(classes("set vendor-class-identifier = \"a\\033b\";"), None);
    assert_eq!(classes(&format!("set user_class = \"{}\";", "x".repeat(256))), None);
    assert_eq!(classes("set user_class = \"\\003web\\002db\";").unwrap().user, ["web", "db"]);
    assert_eq!(classes("set user_class = \"web\";").unwrap().user, ["web"]);
    assert_eq!(classes("set user_class = %5;"), None);
    let refused = [
        Read::of("lease 192.0.2.1 { binding state active; ends never; }\n"),
        Read::of(
            block('x', &["192.0.2.1"], "active")
                .replace("192.0.2.1", "fd00::a")
                .replace("\\003\\000x", ""),
        ),
    ];
    for read in refused {
        assert!(read.held.is_empty() && read.gone.len() == 1, "{read:?}");
        assert_eq!(read.remarks[0].weight, Weight::Refused);
    }
}

#[test]
fn every_length_of_a_file_can_be_read() {
    for text in [V6, ENDLESS, V4] {
        let whole = Read::of(text);
        for end in 0..text.len() {
            // What has no end yet is waited for, wherever it is cut.
            let read = Read::of(&text[..end]);
            assert!(read.remarks.is_empty() && read.unreadable == 0);
            // The same, followed by the beginning of another block.
            let read = Read::of([&text[..end], &b"\nia-na "[..]].concat());
            assert!(read.remarks.len() <= 1);
            assert!(read.ended.len() <= whole.ended.len());
        }
    }
}

#[test]
fn a_block_without_end_is_given_up() {
    let good = block('g', &["fd00::9"], "active");
    let many =
        "  set a = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\";\n".repeat(50_000);
    let text =
        [HEADER, "ia-na \"\\001\\000\\000\\000\\000\\003\\000y\" {\n", &many, &good].concat();
    let read = Read::of(text);
    assert_eq!((read.places(), read.unreadable), (vec!["fd00::9".to_owned()], 1));
    assert!(read.remarks[0].what.contains("more than 1048576 bytes"), "{:?}", read.remarks);
}

/// A directory of the test's own, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("leasepipe-isc-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("dhcpd6.leases")
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        File::options().append(true).open(self.file()).unwrap().write_all(text.as_ref()).unwrap();
    }

    /// Puts another file in its place as dhcpd does.
    fn replace(&self, text: &str) {
        let new = self.0.join("dhcpd6.leases.1795251537");
        fs::write(&new, text).unwrap();
        let old = self.0.join("dhcpd6.leases~");
        let _ = fs::remove_file(&old);
        fs::hard_link(self.file(), &old).unwrap();
        fs::rename(new, self.file()).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn whole(source: &mut Isc) -> Read {
    let mut read = Read::default();
    loop {
        match source.next(late()).unwrap() {
            Told::Begin => read = Read::default(),
            Told::Said(said) => read.take(said),
            Told::Remarks(remarks) => read.remarks.extend(remarks),
            Told::Whole => return read,
            other => panic!("{other:?}"),
        }
    }
}

fn news(source: &mut Isc) -> Read {
    let mut read = Read::default();
    match source.next(late()).unwrap() {
        Told::Said(said) => read.take(said),
        other => panic!("{other:?}"),
    }
    read
}

#[test]
fn the_file_is_followed_over_its_replacement() {
    let scratch = Scratch::new("follow");
    fs::write(scratch.file(), [HEADER, &block('x', &["fd00::a", "fd00::b"], "active")].concat())
        .unwrap();
    let mut source = Isc::open(&scratch.file()).unwrap();
    assert_eq!(whole(&mut source).held.len(), 2);
    // A block that comes in two writes.
    let text = block('y', &["fd00::c"], "active");
    let (half, rest) = text.split_at(text.len() / 2);
    scratch.append(half);
    assert!(matches!(source.next(soon()).unwrap(), Told::Same));
    scratch.append(rest);
    assert_eq!(news(&mut source).places(), ["fd00::c"]);
    // What a block leaves out that is news is over.
    scratch.append(block('x', &["fd00::b"], "active"));
    assert_eq!(news(&mut source).gone, [place("fd00::a")]);
    let new = [HEADER, &block('x', &["fd00::b"], "active"), &block('y', &["fd00::c"], "active")];
    scratch.append(block('z', &["fd00::d"], "active"));
    scratch.replace(&new.concat());
    assert_eq!(whole(&mut source).places(), ["fd00::b", "fd00::c"]);
    scratch.append(block('y', &[], "active"));
    assert_eq!(news(&mut source).gone, [place("fd00::c")]);
    assert!(matches!(source.next(soon()).unwrap(), Told::Same));
}

#[test]
fn a_file_that_says_nothing_is_unknown() {
    let scratch = Scratch::new("nothing");
    let next = |text: &[u8]| {
        fs::write(scratch.file(), text).unwrap();
        let mut source = Isc::open(&scratch.file()).unwrap();
        loop {
            match source.next(late()).unwrap() {
                Told::Begin | Told::Said(_) | Told::Remarks(_) => (),
                told => break told,
            }
        }
    };
    let csv = b"address,duid,valid_lifetime,expire\nfd00::1,00:03:01,60,1795230981\n";
    for text in [&b""[..], b"# nothing\n", b"authoring-byte-order", csv, &vec![b'x'; 3 * LONGEST]] {
        assert!(matches!(next(text), Told::Unknown { .. }), "{}", text.len());
    }
    assert!(matches!(next(HEADER.as_bytes()), Told::Whole));
}
