//! lease-watch on the lease files of Kea and ISC dhcpd, as its users see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

const HEADER: &str =
    "address,duid,valid_lifetime,expire,lease_type,iaid,prefix_len,hostname,state\n";

/// A directory of the test's own, with nothing in it.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lease-files-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}

fn listed(source: &str) -> (Output, Vec<Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lease-watch"));
    let output = command.args(["--source", source]).output().unwrap();
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output, records)
}

/// What is said of a source that cannot be read; it must end with status 69 and list nothing.
#[track_caller]
fn unavailable(source: &str) -> String {
    let (output, records) = listed(source);
    assert_eq!((output.status.code(), records), (Some(69), vec![]));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn kea_s_files_are_listed_as_one() {
    let file = scratch("kea").join("leases.csv");
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let row = |last: u32, state: u32| {
        format!("fd00::{last},00:03:00:01:aa,600,{soon},0,{last},128,h{last}.,{state}\n")
    };
    let older = [HEADER, &row(1, 0), &row(2, 0)].concat();
    fs::write(file.with_extension("csv.2"), older).unwrap();
    let old = [HEADER, &row(1, 2), &row(3, 0), "fd00:9::,00:03:01,4294967295,1,2,7,48,,0\n"];
    fs::write(file.with_extension("csv.1"), old.concat()).unwrap();
    fs::write(&file, [HEADER, "fd00::4,x,600,1,0,1,128,,0\n", &row(4, 0), &row(5, 4)].concat())
        .unwrap();
    let (output, records) = listed(&format!("kea:{}", file.display()));
    let of = |field: &str| -> Vec<&Value> {
        records.iter().filter_map(|record| record.get(field)).collect()
    };
    assert_eq!(of("address"), ["fd00::2", "fd00::3", "fd00::4", "fd00:9::"]);
    assert_eq!(of("hostname"), ["h2", "h3", "h4"]);
    assert_eq!((of("prefix_len").len(), of("expires_at").len()), (1, 3));
    assert_eq!(records.last().unwrap()["count"], 4);
    // A bad row is told with its line; that a good one follows for the same address heals it.
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("leases.csv:2: duid \"x\""), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn isc_s_file_is_listed() {
    let (output, records) = listed("isc:tests/data/isc/dhcpd6-endless.leases");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let types: Vec<_> = records.iter().filter_map(|record| record["type"].as_str()).collect();
    assert_eq!((types, records.len()), (vec!["na", "pd"], 3));
    assert_eq!((&records[0]["address"], &records[0]["iaid"]), (&"fd00:5::1bf1".into(), &1.into()));
}

#[test]
fn what_is_no_whole_file_is_not_listed() {
    let dir = scratch("unknown");
    for kind in ["kea", "isc"] {
        let source = |name: &str| format!("{kind}:{}", dir.join(name).display());
        assert!(unavailable(&source("absent")).contains("no such file or directory"));
        fs::write(dir.join("empty"), "").unwrap();
        assert!(unavailable(&source("empty")).contains("what is leased is unknown"));
        fs::write(dir.join("foreign"), "0 1 fd00::1 * 00:03:00:01\n").unwrap();
        unavailable(&source("foreign"));
    }
    fs::write(dir.join("columns"), "address,duid,expire,lease_type,iaid\n").unwrap();
    let told = unavailable(&format!("kea:{}", dir.join("columns").display()));
    assert!(told.contains("it lacks the columns prefix_len, valid_lifetime"), "{told}");
    // A first line alone is a database in which nothing is leased.
    fs::write(dir.join("leases"), HEADER).unwrap();
    let (output, records) = listed(&format!("kea:{}", dir.join("leases").display()));
    assert_eq!((output.status.code(), &records[0]["count"]), (Some(0), &0.into()));
}

#[test]
fn a_line_of_100_mb_is_told_with_its_number() {
    let file = scratch("line").join("leases.csv");
    let mut text = format!("{HEADER}fd00::1,00:03:01,4294967295,1,0,7,128,,0\n").into_bytes();
    text.resize(100_000_000, b'x');
    fs::write(&file, text).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 160000 && exec \"$0\" --source kea:\"$1\" --timeout 60s"]);
    let output = command.arg(env!("CARGO_BIN_EXE_lease-watch")).arg(&file).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("leases.csv:3: a row of more than 1048576 bytes"), "{told}");
    // It may be any lease, so nothing says that the one that was read is all there are.
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    fs::remove_file(file).unwrap();
}
