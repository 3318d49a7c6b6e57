use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::error::Kind;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("leasepipe-reserve-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wanted(container: &str, duid: u8, address: &str) -> Reservation {
    Reservation {
        owner: "edge".parse().unwrap(),
        container: container.parse().unwrap(),
        duid: Duid::new(&[0, 4, duid]).unwrap(),
        address: address.parse().unwrap(),
        name: container.parse().ok(),
    }
}

fn ids(scratch: &Scratch, file: &str) -> Vec<String> {
    let text = fs::read_to_string(scratch.0.join(file)).unwrap();
    assert!(text.starts_with(MARK));
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_reservation_is_a_file_in_dnsmasq_s_form() {
    let scratch = Scratch::new("form");
    let reservations = Reservations::open(&scratch.0).unwrap();
    assert!(reservations.put(&wanted("web-1", 1, "fd00::1")).unwrap());
    assert_eq!(ids(&scratch, "edge@web-1"), ["id:00:04:01,[fd00::1],web-1"]);
    let mode = fs::metadata(scratch.0.join("edge@web-1")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(scratch.names(), ["edge@web-1"]);
    let again = fs::metadata(scratch.0.join("edge@web-1")).unwrap().modified().unwrap();
    assert!(!reservations.put(&wanted("web-1", 1, "fd00::1")).unwrap());
    assert_eq!(fs::metadata(scratch.0.join("edge@web-1")).unwrap().modified().unwrap(), again);
    // A name that the DNS would not take is left out.
    reservations.put(&wanted("web_2", 2, "fd00::2")).unwrap();
    assert_eq!(ids(&scratch, "edge@web_2"), ["id:00:04:02,[fd00::2]"]);
}

#[test]
fn what_has_ended_is_told_to_dnsmasq_before_it_is_swept() {
    let scratch = Scratch::new("ended");
    let reservations = Reservations::open(&scratch.0).unwrap();
    let (edge, web) = ("edge".parse().unwrap(), "web".parse().unwrap());
    assert!(!reservations.remove(&edge, &web).unwrap());
    reservations.put(&wanted("web", 1, "fd00::1")).unwrap();
    assert_eq!(reservations.list(None).unwrap(), [(edge.clone(), web.clone())]);
    assert!(reservations.remove(&edge, &web).unwrap());
    assert!(!reservations.remove(&edge, &web).unwrap());
    assert_eq!(reservations.list(Some(&edge)).unwrap(), []);
    assert_eq!(ids(&scratch, "edge@web"), ["id:00:04:01"]);
    reservations.sweep(SystemTime::now()).unwrap();
    assert_eq!(scratch.names(), ["edge@web"]);
    reservations.sweep(SystemTime::now() + READ_BY_THEN).unwrap();
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_duid_that_gives_way_to_another_is_released() {
    let scratch = Scratch::new("duid");
    let reservations = Reservations::open(&scratch.0).unwrap();
    reservations.put(&wanted("web", 1, "fd00::1")).unwrap();
    reservations.put(&wanted("web", 2, "fd00::1")).unwrap();
    assert_eq!(ids(&scratch, "edge@web"), ["id:00:04:02,[fd00::1],web", "id:00:04:01"]);
    reservations.put(&wanted("web", 2, "fd00::3")).unwrap();
    assert_eq!(ids(&scratch, "edge@web"), ["id:00:04:02,[fd00::3],web"]);
}

#[test]
fn one_that_gives_way_says_nothing_of_its_duid() {
    let scratch = Scratch::new("way");
    let reservations = Reservations::open(&scratch.0).unwrap();
    let (edge, old) = ("edge".parse().unwrap(), "old".parse().unwrap());
    assert!(!reservations.give_way(&edge, &old).unwrap());
    reservations.put(&wanted("old", 1, "fd00::1")).unwrap();
    reservations.put(&wanted("new", 1, "fd00::1")).unwrap();
    assert_eq!(reservations.duid(&edge, &old).unwrap(), Some(wanted("old", 1, "::").duid));
    assert!(reservations.give_way(&edge, &old).unwrap());
    assert_eq!(reservations.duid(&edge, &old).unwrap(), None);
    assert_eq!(scratch.names(), ["edge@new"]);
}

#[test]
fn what_others_have_put_there_is_left_alone() {
    let scratch = Scratch::new("others");
    let reservations = Reservations::open(&scratch.0).unwrap();
    let files =
        [("edge@web", "id:00:04:09,[fd00::9]\n"), ("hosts", ""), ("edge@x@y", "#"), ("#a", "")];
    for (name, text) in files {
        fs::write(scratch.0.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/hostname", scratch.0.join("edge@link")).unwrap();
    fs::create_dir(scratch.0.join("edge@dir")).unwrap();
    let before = scratch.names();
    let refused = reservations.put(&wanted("web", 1, "fd00::1")).unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    for name in ["web", "link", "dir"] {
        let container = name.parse().unwrap();
        assert!(reservations.remove(&"edge".parse().unwrap(), &container).is_err());
        assert!(reservations.put(&wanted(name, 1, "fd00::1")).is_err());
    }
    assert_eq!(reservations.list(None).unwrap(), []);
    reservations.sweep(SystemTime::now() + READ_BY_THEN * 2).unwrap();
    assert_eq!(scratch.names(), before);
    assert_eq!(fs::read_to_string(scratch.0.join("edge@web")).unwrap(), files[0].1);
}

#[test]
fn what_a_killed_program_left_unfinished_is_swept() {
    let scratch = Scratch::new("unfinished");
    let reservations = Reservations::open(&scratch.0).unwrap();
    fs::write(scratch.0.join(".leasepipe-edge@web.1"), "# lea").unwrap();
    reservations.sweep(SystemTime::now()).unwrap();
    assert_eq!(scratch.names().len(), 1);
    reservations.sweep(SystemTime::now() + READ_BY_THEN).unwrap();
    assert_eq!(scratch.names().len(), 0);
}

#[test]
fn names_at_their_longest_still_fit_a_file() {
    let scratch = Scratch::new("long");
    let reservations = Reservations::open(&scratch.0).unwrap();
    let mut long = wanted(&"c".repeat(128), 1, "fd00::1");
    long.owner = "o".repeat(63).parse().unwrap();
    long.duid = Duid::new(&[0xab; 130]).unwrap();
    assert!(reservations.put(&long).unwrap());
    assert_eq!(reservations.list(None).unwrap(), [(long.owner.clone(), long.container.clone())]);
    assert!(reservations.remove(&long.owner, &long.container).unwrap());
}
