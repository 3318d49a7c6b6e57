use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use super::*;
use crate::adapter::sources::{Source, Told};
use crate::record::Place;

const SCENARIO: &[u8] = include_bytes!("../../../../tests/data/kea/scenario.csv");
const AFTER_LFC: &[u8] = include_bytes!("../../../../tests/data/kea/after-lfc.csv.2");

/// A directory of the test's own, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("leasepipe-kea-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    /// The lease file, or one beside it.
    fn file(&self, suffix: &str) -> PathBuf {
        self.0.join(format!("leases.csv{suffix}"))
    }

    fn write(&self, suffix: &str, rows: &[String]) {
        fs::write(self.file(suffix), [header(), rows.concat()].concat()).unwrap();
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        let mut file = File::options().append(true).open(self.file("")).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.file(from), self.file(to)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn header() -> String {
    let end = memchr::memchr(b'\n', SCENARIO).unwrap() + 1;
    String::from_utf8(SCENARIO[..end].to_vec()).unwrap()
}

fn row(last: u32, lifetime: u32) -> String {
    format!("fd00::{last:x},00:03:00:01:aa,{lifetime},1795230981,1,40,0,{last},128,0,0,,,0,,,\n")
}

fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| row(number, 60)).collect()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// What a source has told so far.
#[derive(Default)]
struct Known {
    held: BTreeSet<Place>,
    doubtful: usize,
    remarks: Vec<Remark>,
    readings: usize,
}

impl Known {
    fn take(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Held(held) => drop(self.held.insert(held.place())),
                Said::Ended(place, _) | Said::Gone(place) => drop(self.held.remove(&place)),
                Said::Doubtful(_) | Said::Unreadable(_) => self.doubtful += 1,
            }
        }
    }

    /// Takes what is told until everything was read.
    fn whole(&mut self, source: &mut Kea) {
        loop {
            match source.next(late()).unwrap() {
                Told::Begin => *self = Known { readings: self.readings, ..Known::default() },
                Told::Said(said) => self.take(said),
                Told::Remarks(remarks) => self.remarks.extend(remarks),
                Told::Unknown { .. } => (),
                Told::Whole => break,
                other => panic!("{other:?}"),
            }
        }
        self.readings += 1;
    }

    /// Takes the next news, which must come without anything being read anew.
    fn news(&mut self, source: &mut Kea) {
        match source.next(late()).unwrap() {
            Told::Said(said) => self.take(said),
            other => panic!("{other:?}"),
        }
    }

    fn numbers(&self) -> Vec<u32> {
        let last = |place: &Place| match place.address {
            std::net::IpAddr::V6(address) => u128::from(address) as u32,
            std::net::IpAddr::V4(_) => panic!("{place:?}"),
        };
        self.held.iter().map(last).collect()
    }
}

fn read(scratch: &Scratch) -> Known {
    let mut known = Known::default();
    known.whole(&mut Kea::open(&scratch.file("")).unwrap());
    known
}

/// Why nothing is known, which must be told before anything is whole.
fn unknown(source: &mut Kea) -> String {
    loop {
        match source.next(soon()).unwrap() {
            Told::Begin | Told::Said(_) => (),
            Told::Unknown { why, .. } => return why.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn real_files_are_read_whole() {
    let scratch = Scratch::new("real");
    fs::write(scratch.file(""), SCENARIO).unwrap();
    let known = read(&scratch);
    assert!(known.held.is_empty() && known.remarks.is_empty());
    // What kea-lfc left has the leases, and one that was declined.
    fs::write(scratch.file(".2"), AFTER_LFC).unwrap();
    scratch.write("", &[]);
    assert_eq!(read(&scratch).held.len(), 10);
}

#[test]
fn the_files_of_every_moment_of_a_clean_up_hold_the_same_leases() {
    let scratch = Scratch::new("moments");
    let check = |moment: &str| {
        let known = read(&scratch);
        assert_eq!(known.numbers(), [1, 2, 4, 5], "{moment}");
        assert_eq!(known.remarks, []);
    };
    scratch.write(".2", &rows([1, 2, 3]));
    scratch.write("", &[rows([4, 3, 5]), vec![row(3, 0)]].concat());
    check("before");
    scratch.rename("", ".1");
    // Between two calls of the server there is no file to follow, and nothing is known.
    let mut source = Kea::open(&scratch.file("")).unwrap();
    assert!(unknown(&mut source).contains("no such file"));
    fs::write(scratch.file(""), "").unwrap();
    assert!(unknown(&mut source).contains("has not even a first line"));
    scratch.write("", &[]);
    check("a new file");
    fs::write(scratch.file(".output"), &header()[..30]).unwrap();
    check("output has begun");
    scratch.write(".output", &rows([1, 2, 4, 5]));
    check("output is there");
    scratch.rename(".output", ".completed");
    check("completed");
    fs::remove_file(scratch.file(".2")).unwrap();
    check("the older input is gone");
    fs::remove_file(scratch.file(".1")).unwrap();
    check("both inputs are gone");
    scratch.rename(".completed", ".2");
    check("after");
    scratch.append(row(2, 0));
    assert_eq!(read(&scratch).numbers(), [1, 4, 5]);
}

#[test]
fn a_clean_up_while_the_file_is_followed_loses_nothing() {
    let scratch = Scratch::new("follow");
    scratch.write("", &rows(1..=2000));
    let mut source = Kea::open(&scratch.file("")).unwrap();
    let mut known = Known::default();
    known.whole(&mut source);
    assert_eq!(known.held.len(), 2000);
    scratch.append(row(1, 0));
    known.news(&mut source);
    assert_eq!(known.held.len(), 1999);
    for round in 1..4 {
        scratch.append(row(1 + round, 0));
        scratch.rename("", ".1");
        scratch.write("", &[]);
        scratch.append(row(3000 + round, 60));
        let expected: Vec<_> = (2 + round..=2000).chain(3001..=3000 + round).collect();
        known.whole(&mut source);
        assert_eq!(known.numbers(), expected);
        let output = expected.iter().filter(|number| **number != 3000 + round).copied();
        scratch.write(".output", &rows(output));
        scratch.rename(".output", ".completed");
        let _ = fs::remove_file(scratch.file(".2"));
        fs::remove_file(scratch.file(".1")).unwrap();
        scratch.rename(".completed", ".2");
        // The file that is followed is the same, so this is no reason to read anything.
        assert!(matches!(source.next(soon()).unwrap(), Told::Same));
    }
}

#[test]
fn files_that_are_exchanged_during_a_reading_begin_another() {
    let scratch = Scratch::new("exchange");
    scratch.write(".2", &rows(1..=600));
    scratch.write("", &rows(601..=1200));
    let mut source = Kea::open(&scratch.file("")).unwrap();
    assert!(matches!(source.next(late()).unwrap(), Told::Begin));
    assert!(matches!(source.next(late()).unwrap(), Told::Said(said) if said.len() == 512));
    scratch.rename("", ".1");
    scratch.write("", &[row(1, 0)]);
    let mut known = Known::default();
    known.whole(&mut source);
    assert_eq!(known.numbers(), (2..=1200).collect::<Vec<_>>());
}

#[test]
fn what_is_appended_is_told_once_its_line_has_an_end() {
    let scratch = Scratch::new("append");
    scratch.write("", &rows([1]));
    let mut source = Kea::open(&scratch.file("")).unwrap();
    let mut known = Known::default();
    known.whole(&mut source);
    let (half, rest) = (&row(2, 60)[..20], &row(2, 60)[20..]);
    scratch.append(half);
    assert!(matches!(source.next(soon()).unwrap(), Told::Same));
    scratch.append(rest);
    known.news(&mut source);
    assert_eq!(known.numbers(), [1, 2]);
    // A reading that meets the half of a row is whole without it.
    scratch.append(half);
    source.look_again();
    known.whole(&mut source);
    assert_eq!((known.numbers(), known.doubtful), (vec![1, 2], 0));
    scratch.append([rest, &row(1, 0)].concat());
    known.news(&mut source);
    assert_eq!(known.numbers(), [2]);
}

#[test]
fn a_file_that_grows_no_more_may_end_without_a_newline() {
    let scratch = Scratch::new("end");
    let two = rows([1, 2]).concat();
    fs::write(scratch.file(".2"), [&header(), two.trim_end()].concat()).unwrap();
    scratch.write("", &[]);
    assert_eq!(read(&scratch).numbers(), [1, 2]);
}

#[test]
fn a_file_that_goes_is_unknown_until_it_is_back() {
    let scratch = Scratch::new("gone");
    scratch.write("", &rows([1]));
    let mut source = Kea::open(&scratch.file("")).unwrap();
    let mut known = Known::default();
    known.whole(&mut source);
    scratch.rename("", ".away");
    assert!(unknown(&mut source).contains("no such file"));
    assert!(unknown(&mut source).contains("no such file"));
    scratch.rename(".away", "");
    known.whole(&mut source);
    assert_eq!((known.numbers(), known.readings), (vec![1], 2));
    source.look_again();
    known.whole(&mut source);
    assert_eq!(known.readings, 3);
}

#[test]
fn a_file_that_is_written_in_place_is_read_once_it_rests() {
    let scratch = Scratch::new("in-place");
    scratch.write("", &rows(1..=100));
    let mut source = Kea::open(&scratch.file("")).unwrap();
    let mut known = Known::default();
    known.whole(&mut source);
    // Somebody copies another file over it, slowly.
    let text = [header(), rows(51..=200).concat()].concat();
    let (first, rest) = text.split_at(3000);
    fs::write(scratch.file(""), first).unwrap();
    assert!(unknown(&mut source).contains("cut short"));
    std::thread::sleep(Duration::from_millis(700));
    scratch.append(rest);
    assert!(unknown(&mut source).contains("cut short"));
    known.whole(&mut source);
    assert_eq!(known.numbers(), (51..=200).collect::<Vec<_>>());
    // As long as before, but another.
    fs::write(scratch.file(""), [header(), rows(101..=250).concat()].concat()).unwrap();
    assert!(unknown(&mut source).contains("cut short"));
    known.whole(&mut source);
    assert_eq!(known.numbers(), (101..=250).collect::<Vec<_>>());
}

#[test]
fn what_is_no_lease_file_is_unknown() {
    let scratch = Scratch::new("foreign");
    let why = |text: &[u8]| {
        fs::write(scratch.file(""), text).unwrap();
        let mut source = Kea::open(&scratch.file("")).unwrap();
        unknown(&mut source)
    };
    assert!(why(b"").contains("has not even a first line"));
    assert!(why(b"address,duid").contains("has not even a first line"));
    assert!(why(b"address,duid\n").contains("lacks the columns"));
    assert!(why(b"0 1 fd00::1 * 00:03:00:01\n").contains("does not name"));
    assert!(why(&vec![0; 3 * LONGEST]).contains("more than 1048576 bytes"));
    fs::remove_file(scratch.file("")).unwrap();
    nix::unistd::mkfifo(&scratch.file(""), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(unknown(&mut Kea::open(&scratch.file("")).unwrap()).contains("not a regular file"));
}

#[test]
fn a_line_without_end_costs_no_other() {
    let scratch = Scratch::new("line");
    scratch.write("", &rows([1]));
    scratch.append("x".repeat(5 * LONGEST));
    let known = read(&scratch);
    assert_eq!((known.numbers(), known.doubtful), (vec![1], 1));
    assert!(known.remarks[0].at.ends_with("leases.csv:3"), "{:?}", known.remarks);
    scratch.append(["\n", &row(2, 60), "x\n"].concat());
    let known = read(&scratch);
    assert_eq!((known.numbers(), known.doubtful), (vec![1, 2], 2));
    assert!(known.remarks[1].at.ends_with("leases.csv:5"));
    // One that is just short enough is a row like any other.
    scratch.write("", &[]);
    let room = LONGEST + 1 - row(3, 60).len();
    scratch.append(row(3, 60).replace(",0,,,\n", &format!(",0,{},,\n", "y".repeat(room))));
    assert_eq!(read(&scratch).numbers(), [3]);
}

#[test]
fn every_length_of_a_file_can_be_read() {
    let scratch = Scratch::new("lengths");
    let first = memchr::memchr(b'\n', SCENARIO).unwrap();
    for end in (0..SCENARIO.len()).step_by(7) {
        fs::write(scratch.file(""), &SCENARIO[..end]).unwrap();
        let mut source = Kea::open(&scratch.file("")).unwrap();
        assert!(matches!(source.next(late()).unwrap(), Told::Begin));
        let last = std::iter::repeat_with(|| source.next(late()).unwrap())
            .find(|told| !matches!(told, Told::Said(_)));
        match last {
            Some(Told::Whole) => assert!(end > first),
            Some(Told::Unknown { .. }) => assert!(end <= first),
            other => panic!("{end}: {other:?}"),
        }
    }
}
