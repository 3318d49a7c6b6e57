use std::fs;
use std::io::{Seek, Write};

use super::*;
use crate::adapter::sources::dnsmasq::ServerDuid;

const WHOLE: &[u8] = include_bytes!("../../../../tests/data/dnsmasq/many-clients.leases");
const TORN: [&[u8]; 3] = [
    include_bytes!("../../../../tests/data/dnsmasq/torn-read-0.leases"),
    include_bytes!("../../../../tests/data/dnsmasq/torn-read-1.leases"),
    include_bytes!("../../../../tests/data/dnsmasq/torn-read-2.leases"),
];

/// A directory of the test's own, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("leasepipe-watch-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn leases(&self) -> PathBuf {
        self.0.join("leases")
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

fn open(path: &Path) -> Result<LeaseFile<ServerDuid>> {
    LeaseFile::new(path, ServerDuid::default())
}

/// How a text of dnsmasq's is judged when its DUID was seen before or not.
fn form(text: &[u8], had_duid: bool) -> Result<Duration, &'static str> {
    let mut sense = ServerDuid { was_seen: had_duid };
    let file = File::open("/dev/null").unwrap();
    super::form(text).and_then(|gap| sense.check(text, &file).map(|()| gap))
}

fn whole(file: &mut LeaseFile<ServerDuid>) -> Vec<u8> {
    loop {
        match file.next(late()).unwrap() {
            Seen::Whole(text) => return text.to_vec(),
            Seen::Part(_) => (),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn real_torn_readings_are_not_whole() {
    for torn in TORN {
        assert_eq!(form(torn, false), Err("its last line has no end"));
        let cut = memchr::memrchr(b'\n', torn).unwrap() + 1;
        assert_eq!(form(&torn[..cut], false), Ok(GAP));
    }
    assert_eq!(form(b"", false), Err("it is empty"));
}

#[test]
fn no_beginning_of_a_file_passes_for_it_at_once() {
    // Only what ends at a line's end may be believed, and at a piece's end only after long.
    let text = WHOLE.repeat(9);
    for end in 0..text.len() {
        match form(&text[..end], true) {
            Ok(gap) => {
                assert_eq!(text[end - 1], b'\n');
                assert_eq!(gap == GAP_AT_PIECE, end % 1024 == 0);
            }
            Err(_) => assert!(end == 0 || text[end - 1] != b'\n' || end < 47),
        }
    }
    let line_a_piece = [b"duid 00:01\n", &[b'x'; 1012][..], b"\n"].concat();
    assert_eq!(form(&line_a_piece, true), Ok(GAP_AT_PIECE));
}

#[test]
fn the_server_s_duid_does_not_vanish() {
    let text = b"0 02:00:00:00:00:01 192.0.2.1 * *\n";
    assert_eq!(form(text, false), Ok(GAP));
    assert!(form(text, true).is_err());
}

#[test]
fn a_whole_file_is_seen_once() {
    let scratch = Scratch::new("once");
    fs::write(scratch.leases(), WHOLE).unwrap();
    let mut file = open(&scratch.leases()).unwrap();
    assert_eq!(whole(&mut file), WHOLE);
    assert!(matches!(file.next(soon()).unwrap(), Seen::Same));
    // Written anew with the same bytes, it is the same.
    fs::write(scratch.leases(), WHOLE).unwrap();
    assert!(matches!(file.next(soon()).unwrap(), Seen::Same));
    file.look_again();
    assert_eq!(whole(&mut file), WHOLE);
}

#[test]
fn a_torn_file_is_waited_for() {
    let scratch = Scratch::new("torn");
    for (torn, why) in [(&b""[..], "it is empty"), (TORN[0], "its last line has no end")] {
        fs::write(scratch.leases(), torn).unwrap();
        let mut file = open(&scratch.leases()).unwrap();
        assert!(matches!(file.next(soon()).unwrap(), Seen::Torn(told) if told == why));
        fs::write(scratch.leases(), WHOLE).unwrap();
        assert_eq!(whole(&mut file), WHOLE);
        fs::write(scratch.leases(), torn).unwrap();
        assert!(matches!(file.next(soon()).unwrap(), Seen::Torn(_)));
    }
}

#[test]
fn a_file_may_come_go_and_be_replaced() {
    let scratch = Scratch::new("replaced");
    let mut file = open(&scratch.leases()).unwrap();
    assert!(matches!(file.next(late()).unwrap(), Seen::Missing(_)));
    fs::write(scratch.leases(), WHOLE).unwrap();
    assert_eq!(whole(&mut file), WHOLE);
    fs::remove_file(scratch.leases()).unwrap();
    assert!(matches!(file.next(late()).unwrap(), Seen::Missing(_)));
    // By another name, then moved in.
    let other = [WHOLE, b"0 1 fd00::1 * 00:03:01\n"].concat();
    fs::write(scratch.0.join("other"), &other).unwrap();
    assert!(matches!(file.next(soon()).unwrap(), Seen::Same));
    fs::rename(scratch.0.join("other"), scratch.leases()).unwrap();
    assert_eq!(whole(&mut file), other);
    // Written in place after that, the file that was moved in is the one that is watched.
    fs::write(scratch.leases(), WHOLE).unwrap();
    assert_eq!(whole(&mut file), WHOLE);
}

#[test]
fn a_directory_may_come_late() {
    let scratch = Scratch::new("directory");
    let inner = scratch.0.join("inner");
    let mut file = open(&inner.join("leases")).unwrap();
    assert!(matches!(file.next(late()).unwrap(), Seen::Missing(_)));
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("leases"), WHOLE).unwrap();
    assert_eq!(whole(&mut file), WHOLE);
}

#[test]
fn what_is_no_file_is_not_read() {
    let scratch = Scratch::new("fifo");
    nix::unistd::mkfifo(&scratch.leases(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [scratch.leases(), "/dev/zero".into(), "/".into()] {
        let mut file = open(&path).unwrap();
        assert!(matches!(file.next(late()).unwrap(), Seen::Missing(_)), "{path:?}");
    }
}

#[test]
fn a_server_without_rest_has_its_leases_handed_out_in_part() {
    let scratch = Scratch::new("part");
    fs::write(scratch.leases(), WHOLE).unwrap();
    let mut file = open(&scratch.leases()).unwrap();
    assert_eq!(whole(&mut file), WHOLE);
    let path = scratch.leases();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let server = std::thread::spawn(move || {
        let mut out = File::options().write(true).open(path).unwrap();
        for count in 0.. {
            if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                return;
            }
            out.rewind().unwrap();
            out.set_len(0).unwrap();
            let line = format!("{count} 1 fd00::1 * 00:03:01\n");
            out.write_all(&[WHOLE, line.as_bytes()].concat()).unwrap();
            std::thread::sleep(Duration::from_millis(4));
        }
    });
    let part = loop {
        match file.next(late()).unwrap() {
            Seen::Part(text) => break text,
            Seen::Whole(_) => (),
            other => panic!("{other:?}"),
        }
    };
    assert!(part.ends_with(b"\n") && part.starts_with(&WHOLE[..100]));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    server.join().unwrap();
    assert!(whole(&mut file).starts_with(WHOLE));
}
