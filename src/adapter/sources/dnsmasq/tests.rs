use super::*;

fn text(leases: &[(u16, u32)]) -> Vec<u8> {
    let line = |(address, end): &(u16, u32)| format!("{end} 1 fd00::{address:x} * 00:03:01\n");
    let lines: String = leases.iter().map(line).collect();
    format!("duid 00:01:00:01\n{lines}").into_bytes()
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

#[test]
fn only_whole_lines_that_differ_are_left() {
    let before = text(&[(1, 100), (2, 200), (3, 300)]);
    let cases = [
        (text(&[(4, 400), (1, 100), (2, 200), (3, 300)]), 0, 1),
        (text(&[(1, 100), (2, 201), (3, 300)]), 1, 1),
        (text(&[(1, 100), (3, 300)]), 1, 0),
        (text(&[(2, 200), (3, 300), (1, 100)]), 3, 3),
        (text(&[]), 3, 0),
        (before.clone(), 0, 0),
    ];
    for (now, olds, news) in cases {
        let (old, new) = changed(&before, &now);
        // One line more on both sides does no harm: it says the same in both.
        let (extra, same) = (lines(old).len() - olds, lines(new).len() - news);
        assert!(extra <= 1 && extra == same, "{old:?} {new:?}");
        let (back, forth) = changed(&now, &before);
        assert_eq!((back, forth), (new, old));
    }
    assert_eq!(changed(b"", b""), (&b""[..], &b""[..]));
}

/// What `telling` amounts to when it is believed.
fn believe(leases: &mut std::collections::BTreeMap<Place, String>, telling: &[Said]) {
    for said in telling {
        match said {
            Said::Held(held) => drop(leases.insert(held.place(), format!("{held:?}"))),
            Said::Gone(place) => drop(leases.remove(place)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_difference_of_any_two_texts_leads_from_one_to_the_other() {
    let mut seed = 7u64;
    let mut chance = |limit: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % limit
    };
    let source = Dnsmasq::new(Path::new("/nonexistent"), Duration::ZERO).unwrap();
    for _ in 0..2000 {
        let mut random = || {
            let mut all: Vec<u16> = (1..9).filter(|_| chance(2) == 0).collect();
            if chance(3) == 0 {
                all.reverse();
            }
            all.iter().map(|address| (*address, chance(3) as u32)).collect::<Vec<_>>()
        };
        let (before, now) = (text(&random()), text(&random()));
        let (mut from, mut to) = Default::default();
        believe(&mut from, &said(&before).unwrap());
        believe(&mut to, &said(&now).unwrap());
        believe(&mut from, &source.news(&before, &now).unwrap());
        assert_eq!(from, to);
    }
}

#[test]
fn what_was_told_ahead_and_is_not_there_needs_a_whole_reading() {
    let mut source = Dnsmasq::new(Path::new("/nonexistent"), Duration::ZERO).unwrap();
    let before = text(&[(1, 100), (2, 200)]);
    source.before = Some(before.clone().into());
    source.part(&text(&[(3, 300), (1, 100), (2, 200)]));
    assert!(matches!(&source.waiting[0], Told::Said(said) if said.len() <= 2));
    assert_eq!(source.news(&before, &before), None);
    let now = text(&[(3, 300), (1, 100), (2, 201)]);
    assert!(source.news(&before, &now).is_some());
}

#[test]
fn a_text_is_told_in_pieces_with_the_numbers_of_its_lines() {
    let mut source = Dnsmasq::new(Path::new("/lab/leases"), Duration::ZERO).unwrap();
    let mut all: Vec<(u16, u32)> = (1..=2000).map(|address| (address, 100)).collect();
    all[1500].1 = 0;
    let mut bytes = text(&all);
    bytes.extend_from_slice(b"garbage\n");
    source.whole(bytes.into());
    let (mut count, mut remarks, mut ends) = (0, Vec::new(), 0);
    loop {
        match source.next(Instant::now()).unwrap() {
            Told::Begin => (),
            Told::Said(said) => {
                assert!(said.len() <= BATCH);
                count += said.len();
            }
            Told::Remarks(told) => remarks.extend(told),
            Told::Whole => ends += 1,
            _ => break,
        }
    }
    assert_eq!((count, ends, remarks.len()), (2001, 1, 1));
    assert_eq!(remarks[0].at, "/lab/leases:2002");
    // A text with a line that cannot be read is no ground to compare with.
    assert!(source.anew);
}
