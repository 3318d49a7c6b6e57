//! lease-watch on odhcpd's state file: listed, and followed while it is written anew.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use program::{Running, run};
use serde_json::Value;

const REAL: &str = include_str!("data/odhcpd/leases-2026");
const BIN: &str = env!("CARGO_BIN_EXE_lease-watch");

/// A state file for one test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("odhcpd-{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        File(dir.join("leases"))
    }

    /// As odhcpd does it: beside the file, and then in its place.
    fn write(&self, text: &str) {
        let new = self.0.with_file_name(".odhcpd");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn source(&self) -> String {
        format!("odhcpd:{}", self.0.display())
    }
}

/// The real file's leases with their times moved behind now.
fn lively() -> String {
    REAL.replace("17952560", "41024448")
}

#[test]
fn a_real_file_is_listed() {
    let file = File::new("list");
    file.write(&lively());
    let done = run(BIN, &["--source", &file.source()], "");
    assert_eq!(done.status, 0, "{}", done.told);
    assert_eq!(done.told.lines().count(), 1, "{}", done.told);
    assert!(done.told.contains("leases:4: host name \"broken"), "{}", done.told);
    let find = |address: &str| {
        let found = done.records.iter().find(|record| record["address"] == address);
        found.unwrap_or_else(|| panic!("no {address}")).clone()
    };
    let prefix = find("fd00:aa:0:4::");
    assert_eq!((&prefix["type"], &prefix["prefix_len"]), (&"pd".into(), &62.into()));
    let gamma = find("fd00:aa::43b");
    assert_eq!((&gamma["hostname"], &gamma["iaid"]), (&"gamma".into(), &4_294_967_295_u32.into()));
    assert_eq!(gamma["source"], file.source());
    assert_eq!(find("192.0.2.102")["mac"], "62:15:61:4e:49:9d");
    let checkpoint = done.records.last().unwrap();
    assert_eq!((&checkpoint["kind"], &checkpoint["count"]), (&"checkpoint".into(), &6.into()));
    assert_eq!(checkpoint.get("partial"), None);
}

#[test]
fn what_becomes_of_leases_is_told() {
    let file = File::new("follow");
    let line = |last: u32, end: u32| {
        format!(
            "# br-lan 00030001aabbcc{last:02x} 1 host{last} {end} {last:x} 128 fd00::{last:x}/128\n"
        )
    };
    let one = line(1, 4_102_444_800);
    file.write(&one);
    let mut watch = Running::start(BIN, &["--source", &file.source(), "--follow"]);
    assert_eq!(
        (watch.next()["event"].clone(), watch.next()["kind"].clone()),
        ("list".into(), "checkpoint".into())
    );
    let told = |record: Value| {
        let text = |field: &str| record[field].as_str().unwrap().to_owned();
        (text("event"), text("address"))
    };
    let is = |event: &str, address: &str| (event.to_owned(), address.to_owned());
    file.write(&(one.clone() + &line(2, 4_102_444_800)));
    assert_eq!(told(watch.next()), is("add", "fd00::2"));
    // A second more or less is odhcpd's arithmetic.
    file.write(&(line(1, 4_102_444_801) + &line(2, 4_102_444_799)));
    assert_eq!(watch.within(Duration::from_millis(300)).len(), 0);
    file.write(&(one.clone() + &line(2, 4_102_448_400)));
    assert_eq!(told(watch.next()), is("renew", "fd00::2"));
    file.write(&one);
    assert_eq!(told(watch.next()), is("release", "fd00::2"));
    // Half a file says nothing of what it lacks.
    file.write("# br-lan 0003");
    assert_eq!(watch.within(Duration::from_millis(1500)).len(), 0);
    file.write("");
    assert_eq!(told(watch.next()), is("release", "fd00::1"));
}

#[test]
fn what_is_not_there_is_unknown() {
    let file = File::new("missing");
    let done = run(BIN, &["--source", &file.source()], "");
    assert_eq!((done.status, done.records.len()), (69, 0), "{}", done.told);
    file.write(&lively()[..50]);
    let done = run(BIN, &["--source", &file.source(), "--timeout", "300ms"], "");
    assert_eq!((done.status, done.records.len()), (75, 0), "{}", done.told);
}
