use std::fs;

use super::*;

const REAL: &str = include_str!("../../../../tests/data/odhcpd/leases-2026");

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let own = format!("leasepipe-odhcpd-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(own);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("leases")
    }

    /// As odhcpd does it: beside the file, and then in its place.
    fn write(&self, text: &str) {
        fs::write(self.0.join(".odhcpd"), text).unwrap();
        fs::rename(self.0.join(".odhcpd"), self.file()).unwrap();
    }

    fn source(&self) -> Odhcpd {
        Odhcpd::new(&self.file(), Duration::from_secs(1)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the next whole reading says.
fn reading(source: &mut Odhcpd) -> Vec<Said> {
    let mut all = Vec::new();
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match source.next(until).unwrap() {
            Told::Begin => all.clear(),
            Told::Said(said) => all.extend(said),
            Told::Remarks(remarks) => assert!(remarks[0].at.ends_with("leases:4")),
            Told::Whole => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_new_file_is_told_whole() {
    let scratch = Scratch::new("whole");
    scratch.write(REAL);
    let mut source = scratch.source();
    assert_eq!(reading(&mut source).len(), 6);
    let soon = Instant::now() + Duration::from_millis(50);
    assert!(matches!(source.next(soon).unwrap(), Told::Same));
    let less = REAL.lines().next().unwrap().to_owned() + "\n";
    scratch.write(&less);
    assert_eq!(reading(&mut source).len(), 1);
    // No lease is left, and there is room.
    scratch.write("");
    assert_eq!(reading(&mut source), []);
    // In place, as it was done before 2020.
    fs::write(scratch.file(), &less).unwrap();
    assert_eq!(reading(&mut source).len(), 1);
    source.look_again();
    assert_eq!(reading(&mut source).len(), 1);
}

#[test]
fn a_file_that_is_not_there_or_in_pieces_is_unknown() {
    let scratch = Scratch::new("torn");
    let mut source = scratch.source();
    let soon = || Instant::now() + Duration::from_millis(200);
    assert!(matches!(source.next(soon()).unwrap(), Told::Unknown { .. }));
    scratch.write(&REAL[..100]);
    let torn = loop {
        match source.next(soon()).unwrap() {
            Told::Unknown { why, patience } if !patience.is_zero() => break why,
            Told::Unknown { .. } | Told::Same => (),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(torn.kind(), Kind::TimedOut);
    scratch.write(REAL);
    assert_eq!(reading(&mut source).len(), 6);
}

#[test]
fn an_end_that_is_a_second_off_has_not_moved() {
    let scratch = Scratch::new("jitter");
    let ends = |source: &mut Odhcpd| -> Vec<i64> {
        let said = reading(source).into_iter();
        let held = said.filter_map(|said| match said {
            Said::Held(held) => held.expires_at,
            _ => None,
        });
        held.map(Timestamp::as_second).collect()
    };
    let line = |end| format!("# br-lan 00030001aabb 1 - {end} 5 128 fd00::5/128\n");
    scratch.write(&line(1_795_256_017));
    let mut source = scratch.source();
    assert_eq!(ends(&mut source), [1_795_256_017]);
    for (end, told) in [
        (1_795_256_018, 1_795_256_017),
        (1_795_256_016, 1_795_256_017),
        (1_795_256_019, 1_795_256_019),
        (1_795_256_018, 1_795_256_019),
    ] {
        scratch.write(&line(end));
        assert_eq!(ends(&mut source), [told]);
    }
}

#[test]
fn an_empty_file_is_not_believed_where_there_was_no_room() {
    let scratch = Scratch::new("room");
    scratch.write("");
    let file = File::open(scratch.file()).unwrap();
    let mut room = Room::default();
    assert!(room.check(b"", &file).is_ok() && room.check(b"# x\n", &file).is_ok());
    let own = file.metadata().unwrap();
    room.doubted = Some((own.ino(), own.mtime(), own.mtime_nsec()));
    assert!(room.check(b"", &file).is_err());
    assert!(room.check(b"# x\n", &file).is_ok());
    // Another empty file was written when there was room.
    fs::write(scratch.0.join("other"), "").unwrap();
    assert!(room.check(b"", &File::open(scratch.0.join("other")).unwrap()).is_ok());
}
