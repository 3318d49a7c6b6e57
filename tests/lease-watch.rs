//! lease-watch as its users see it, with a writer that treats the file as dnsmasq does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-watch");
const MIXED: &str = include_str!("data/dnsmasq/v4v6-infinite-static-ta.leases");
const TORN: &[u8] = include_bytes!("data/dnsmasq/torn-read-1.leases");
const DUID: &str = "duid 00:01:00:01:32:93:c6:3b:92:82:3c:af:23:43\n";

/// A path of the test's own, where nothing is yet.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lease-watch-{name}"));
    let _ = fs::remove_file(&path);
    path
}

fn source(path: &Path) -> String {
    format!("dnsmasq:{}", path.display())
}

fn once(path: &Path, args: &[&str]) -> Output {
    Command::new(PROGRAM).args(["--source", &source(path)]).args(args).output().unwrap()
}

fn records(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A lease-watch that follows. Dropping it kills it.
struct Following {
    child: Child,
    lines: Receiver<Value>,
    told: Arc<Mutex<String>>,
}

impl Following {
    fn start(path: &Path, args: &[&str]) -> Following {
        let mut child = Command::new(PROGRAM)
            .args(["--follow", "--source", &source(path)])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let told = Arc::new(Mutex::new(String::new()));
        let (mut stderr, heard) = (child.stderr.take().unwrap(), told.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(got @ 1..) = stderr.read(&mut piece) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..got]));
            }
        });
        Following { child, lines, told }
    }

    #[track_caller]
    fn next(&self) -> Value {
        match self.lines.recv_timeout(Duration::from_secs(20)) {
            Ok(record) => record,
            Err(_) => panic!("no record in time; told: {}", self.told.lock().unwrap()),
        }
    }

    /// `EVENT ADDRESS`, or `checkpoint COUNT`.
    #[track_caller]
    fn word(&self) -> String {
        word(&self.next())
    }

    #[track_caller]
    fn words(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.word()).collect()
    }

    #[track_caller]
    fn is_silent(&self, during: Duration) {
        let got = self.lines.recv_timeout(during);
        assert!(matches!(got, Err(RecvTimeoutError::Timeout)), "{got:?}");
    }

    /// Waits until it has told people so many lines.
    #[track_caller]
    fn has_told(&self, lines: usize) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let told = self.told.lock().unwrap().clone();
            if told.lines().count() >= lines {
                return told;
            }
            assert!(Instant::now() < end, "{told}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn word(record: &Value) -> String {
    match record["kind"].as_str().unwrap() {
        "lease" => {
            format!("{} {}", record["event"].as_str().unwrap(), record["address"].as_str().unwrap())
        }
        "checkpoint" if record["partial"] == true => format!("partial {}", record["count"]),
        "checkpoint" => format!("checkpoint {}", record["count"]),
        other => panic!("{other}"),
    }
}

fn lease(address: u16, client: u32, expires: u64) -> String {
    let [a, b, c, d] = client.to_be_bytes();
    format!("{expires} 1 fd00::{address:x} * 00:03:00:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}\n")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_real_file_is_listed_and_closed_by_a_checkpoint() {
    let path = scratch("real");
    fs::write(&path, MIXED).unwrap();
    let output = once(&path, &[]);
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
    let records = records(&output);
    let types: Vec<_> = records.iter().map(|r| r["type"].as_str().unwrap_or("-")).collect();
    // The DHCPv4 lease of the fixture ended long ago, or will end in its own time.
    let v6 = if types[0] == "v4" { &types[1..] } else { &types[..] };
    assert_eq!(v6, ["ta", "na", "na", "na", "-"]);
    let ta = records.iter().find(|r| r["type"] == "ta").unwrap();
    assert_eq!(ta["iaid"], 79);
    assert_eq!(ta["duid"], "00:02:00:00:ab:11:00:00:00:03");
    assert_eq!(ta["source"], source(&path));
    for absent in ["hostname", "expires_at", "mac", "prefix_len"] {
        assert!(ta.get(absent).is_none(), "{absent}");
    }
    let checkpoint = records.last().unwrap();
    assert_eq!(checkpoint["of"], "lease");
    assert_eq!(checkpoint["count"], records.len() - 1);
    assert_eq!(checkpoint["source"], source(&path));
}

#[test]
fn leases_past_their_end_are_not_listed() {
    let path = scratch("past");
    let text = [DUID, &lease(1, 1, now() - 1), &lease(2, 2, now() + 100), &lease(3, 3, 0)].concat();
    fs::write(&path, text).unwrap();
    let output = once(&path, &[]);
    let words: Vec<String> = records(&output).iter().map(word).collect();
    assert_eq!(words, ["list fd00::2", "list fd00::3", "checkpoint 2"]);
}

#[test]
fn one_machine_with_two_associations_is_one_client_by_its_duid() {
    let path = scratch("key");
    let second = "0 2 fd00::2 * 00:03:00:01:00:00:00:01\n";
    fs::write(&path, [DUID, &lease(1, 1, 0), second].concat()).unwrap();
    let keys = |args: &[&str]| -> HashSet<String> {
        let records = records(&once(&path, args));
        records.iter().filter_map(|r| Some(r["key"].as_str()?.to_owned())).collect()
    };
    assert_eq!(keys(&[]).len(), 2);
    assert_eq!(keys(&["--key", "duid"]).len(), 1);
}

#[test]
fn no_file_is_not_no_leases() {
    for path in [scratch("absent"), scratch("absent-directory").join("x"), "/".into()] {
        let output = once(&path, &[]);
        assert_eq!(output.status.code(), Some(69), "{path:?}");
        assert!(output.stdout.is_empty());
        assert!(stderr(&output).contains("unknown"), "{}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1);
    }
}

#[test]
fn a_file_that_may_not_be_read_is_another_matter() {
    let path = scratch("forbidden");
    fs::write(&path, DUID).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["--source", &source(&path)]);
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    match command.output() {
        Err(why) => {
            let what = "skipped: a_file_that_may_not_be_read_is_another_matter";
            writeln!(std::io::stderr(), "{what}: nobody may not run it: {why}").unwrap();
        }
        Ok(output) => {
            assert_eq!((output.status.code(), output.stdout.len()), (Some(77), 0));
            assert!(stderr(&output).contains("permission denied; what is leased is unknown"));
        }
    }
}

#[test]
fn half_a_file_is_not_listed() {
    let path = scratch("half");
    for text in [&b""[..], TORN, b"\n0 1 fd00::1 * 00:03", &MIXED.as_bytes()[..100]] {
        fs::write(&path, text).unwrap();
        let output = once(&path, &["--timeout", "100ms"]);
        assert_eq!(output.status.code(), Some(75));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_server_with_no_leases_has_a_checkpoint() {
    let path = scratch("none");
    fs::write(&path, DUID).unwrap();
    let output = once(&path, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(records(&output).iter().map(word).collect::<Vec<_>>(), ["checkpoint 0"]);
}

#[test]
fn hostile_lines_cost_themselves_alone() {
    let path = scratch("hostile");
    let marker = scratch("hostile-marker");
    let long = "x".repeat(65536);
    let touch = format!("$(touch${{IFS}}{})", marker.display());
    let names: Vec<&[u8]> =
        vec![touch.as_bytes(), b"../../x", b"-rf", b"\xff\xfe\x80", b"a\0b", long.as_bytes()];
    let mut text = DUID.as_bytes().to_vec();
    for (count, name) in names.iter().enumerate() {
        text.extend_from_slice(format!("0 {count} fd00::{count:x} ").as_bytes());
        text.extend_from_slice(name);
        text.extend_from_slice(b" 00:03:00:01:aa\n");
    }
    fs::write(&path, &text).unwrap();
    let output = once(&path, &[]);
    // Names are the clients' own affair: all are served, and the listing is complete.
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(records(&output).len(), names.len() + 1);
    assert!(records(&output).iter().all(|record| record.get("hostname").is_none()));
    assert_eq!(stderr(&output).lines().count(), names.len());

    let garbage: [&[u8]; 4] = [b"garbage", b"\0\0\0", b"\xff 1 2 3 4", long.as_bytes()];
    for line in garbage {
        text.extend_from_slice(line);
        text.extend_from_slice(b"\n");
    }
    text.extend_from_slice(lease(99, 99, 0).as_bytes());
    fs::write(&path, &text).unwrap();
    let output = once(&path, &[]);
    assert_eq!(output.status.code(), Some(1));
    let words: Vec<String> = records(&output).iter().map(word).collect();
    assert_eq!(words.len(), names.len() + 1);
    assert!(words.iter().all(|word| word.starts_with("list ")), "no checkpoint: {words:?}");
    assert!(words.contains(&"list fd00::63".to_owned()));
    for line in 8..=11 {
        let place = format!("lease-watch: {}:{line}: ", path.display());
        assert!(stderr(&output).contains(&place), "{line}: {}", stderr(&output));
    }
    assert!(stderr(&output).lines().all(|line| line.len() < 1_000 && !line.contains('\0')));
    assert!(!marker.exists());
}

#[test]
fn many_bad_lines_are_not_all_told() {
    let path = scratch("many");
    let bad: String = (0..10_000).map(|line| format!("bad {line}\n")).collect();
    fs::write(&path, [DUID, &bad, &lease(1, 1, 0)].concat()).unwrap();
    let output = once(&path, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(records(&output).len(), 1);
    assert!(stderr(&output).lines().count() < 30);
}

#[test]
fn what_becomes_of_leases_is_followed() {
    let path = scratch("follow");
    fs::write(&path, [DUID, &lease(1, 1, 0), &lease(2, 2, now() + 100)].concat()).unwrap();
    let watch = Following::start(&path, &[]);
    assert_eq!(watch.word(), "list fd00::1");
    assert_eq!(watch.word(), "list fd00::2");
    let checkpoint = watch.next();
    assert_eq!((&checkpoint["count"], &checkpoint["follow"]), (&2.into(), &true.into()));
    let mut server = File::options().write(true).open(&path).unwrap();
    let mut write = |text: &str| {
        server.rewind().unwrap();
        server.set_len(0).unwrap();
        server.write_all(text.as_bytes()).unwrap();
        server.sync_all().unwrap();
    };
    let ending = lease(2, 2, now() + 300);
    write(&[DUID, &lease(3, 3, 0), &lease(1, 1, 0), &ending].concat());
    assert_eq!([watch.word(), watch.word()], ["renew fd00::2", "add fd00::3"]);
    let named = lease(3, 3, 0).replace('*', "three");
    write(&[DUID, &named, &ending].concat());
    // What is in the file needs one look, what is missing two.
    let change = watch.next();
    assert_eq!((word(&change), &change["hostname"]), ("change fd00::3".into(), &"three".into()));
    assert_eq!(watch.word(), "release fd00::1");
    write(&[DUID, &named, &ending, &lease(4, 4, now() + 2)].concat());
    let add = watch.next();
    assert_eq!(word(&add), "add fd00::4");
    let expired = watch.next();
    assert_eq!((word(&expired), &expired["state"]), ("expire fd00::4".into(), &"ended".into()));
    let end = expired["expires_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let late = jiff::Timestamp::now().duration_since(end);
    assert!(late.is_positive() && late.as_secs() < 2, "{late:?}");
    write(DUID);
    assert_eq!([watch.word(), watch.word()], ["release fd00::2", "release fd00::3"]);
}

#[test]
fn a_file_may_be_absent_empty_cut_and_replaced_and_nothing_ends() {
    let path = scratch("trouble");
    let watch = Following::start(&path, &["--timeout", "50ms"]);
    assert!(watch.has_told(1).contains("no such file or directory"));
    let both = [DUID, &lease(1, 1, 0), &lease(2, 2, 0)].concat();
    fs::write(&path, &both).unwrap();
    assert_eq!(
        [watch.word(), watch.word(), watch.word()],
        ["list fd00::1", "list fd00::2", "checkpoint 2"]
    );
    let troubles: [&dyn Fn(); 5] = [
        &|| fs::write(&path, "").unwrap(),
        &|| fs::write(&path, &both[..both.len() - 30]).unwrap(),
        &|| fs::write(&path, "0 ee:b3:8a:21:91:2f 192.0.2.50 v4host *\n").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
        &|| {
            let _ = fs::remove_file(&path);
            fs::create_dir(&path).unwrap();
        },
    ];
    let told = || watch.told.lock().unwrap().lines().count();
    for trouble in troubles {
        let before = told();
        trouble();
        watch.has_told(before + 1);
        watch.is_silent(Duration::from_millis(200));
        // Once, however long it lasts. A directory comes after the file has gone, which is told too.
        let after = told();
        watch.is_silent(Duration::from_millis(200));
        assert_eq!(told(), after);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        let next = path.with_extension("next");
        fs::write(&next, &both).unwrap();
        fs::rename(&next, &path).unwrap();
        watch.is_silent(Duration::from_millis(300));
    }
    fs::write(&path, [DUID, &lease(2, 2, 0)].concat()).unwrap();
    assert_eq!(watch.word(), "release fd00::1");
}

#[test]
fn a_line_that_cannot_be_read_ends_nothing_and_heals() {
    let path = scratch("heals");
    fs::write(&path, [DUID, &lease(1, 1, 0), "garbage\n"].concat()).unwrap();
    let watch = Following::start(&path, &[]);
    assert_eq!([watch.word(), watch.word()], ["list fd00::1", "partial 1"]);
    assert!(watch.has_told(2).contains("nothing ends by it"));
    watch.is_silent(Duration::from_millis(100));
    fs::write(&path, [DUID, &lease(1, 1, 0), &lease(2, 2, 0)].concat()).unwrap();
    let words = [watch.word(), watch.word(), watch.word(), watch.word()];
    assert_eq!(words, ["add fd00::2", "list fd00::1", "list fd00::2", "checkpoint 2"]);
    fs::write(&path, [DUID, &lease(1, 1, 0), "0 1 fd00::2 * 00:0\n"].concat()).unwrap();
    watch.has_told(3);
    watch.is_silent(Duration::from_millis(100));
    fs::write(&path, [DUID, &lease(1, 1, 0)].concat()).unwrap();
    assert_eq!(watch.word(), "release fd00::2");
}

#[test]
fn everything_is_listed_again_now_and_then() {
    let path = scratch("resync");
    fs::write(&path, [DUID, &lease(1, 1, 0)].concat()).unwrap();
    let watch = Following::start(&path, &["--resync", "300ms"]);
    for _ in 0..4 {
        assert_eq!([watch.word(), watch.word()], ["list fd00::1", "checkpoint 1"]);
    }
    // Not while what is leased is unknown.
    fs::write(&path, "").unwrap();
    while watch.lines.recv_timeout(Duration::from_millis(100)).is_ok() {}
    watch.is_silent(Duration::from_millis(700));
    fs::write(&path, [DUID, &lease(2, 2, 0)].concat()).unwrap();
    assert_eq!(
        (0..4).map(|_| watch.word()).collect::<Vec<_>>(),
        ["add fd00::2", "release fd00::1", "list fd00::2", "checkpoint 1"]
    );
}

#[test]
fn ends_of_many_at_once_are_told_by_a_listing() {
    let path = scratch("many-ends");
    let all: String = (1..=10).map(|n| lease(n, n.into(), 0)).collect();
    fs::write(&path, [DUID, &all].concat()).unwrap();
    let watch = Following::start(&path, &["--resync", "none"]);
    assert_eq!(watch.words(11).last().unwrap(), "checkpoint 10");
    // Three ends are told one by one.
    let rest: String = (4..=10).map(|n| lease(n, n.into(), 0)).collect();
    fs::write(&path, [DUID, &rest].concat()).unwrap();
    let words = [watch.word(), watch.word(), watch.word()];
    assert_eq!(words, ["release fd00::1", "release fd00::2", "release fd00::3"]);
    // A database that was lost, and a client that has come since: a listing tells the ends.
    fs::write(&path, [DUID, &lease(11, 11, 0)].concat()).unwrap();
    assert_eq!(watch.word(), "add fd00::b");
    let listing = [watch.next(), watch.next()];
    assert_eq!(listing.each_ref().map(word), ["list fd00::b", "checkpoint 1"]);
    assert_eq!(listing[1]["follow"], true);
    watch.is_silent(Duration::from_millis(1200));
}

#[test]
fn many_times_that_are_up_at_once_are_told_by_a_listing() {
    let path = scratch("many-expire");
    let end = now() + 4;
    let all: String = (1..=5).map(|n| lease(n, n.into(), end)).collect();
    fs::write(&path, [DUID, &all, &lease(6, 6, 0)].concat()).unwrap();
    let watch = Following::start(&path, &["--resync", "none"]);
    assert_eq!(watch.words(7).last().unwrap(), "checkpoint 6");
    assert_eq!([watch.word(), watch.word()], ["list fd00::6", "checkpoint 1"]);
}

#[test]
fn ends_of_many_at_once_wait_for_a_listing_that_is_whole() {
    let path = scratch("many-partial");
    let all: String = (1..=5).map(|n| lease(n, n.into(), 0)).collect();
    fs::write(&path, [DUID, &all, "garbage\n"].concat()).unwrap();
    let watch = Following::start(&path, &["--resync", "300ms"]);
    assert_eq!(watch.words(6).last().unwrap(), "partial 5");
    watch.has_told(2);
    // The line stood beside them all, so it is none of them; but it may be another.
    fs::write(&path, [DUID, "garbage\n", &lease(6, 6, 0)].concat()).unwrap();
    assert_eq!(watch.word(), "add fd00::6");
    assert!(watch.has_told(3).contains("5 of 5 leases ended at once"));
    watch.is_silent(Duration::from_millis(700));
    fs::write(&path, [DUID, &lease(6, 6, 0)].concat()).unwrap();
    assert_eq!([watch.word(), watch.word()], ["list fd00::6", "checkpoint 1"]);
}

#[test]
fn a_reader_that_leaves_ends_it_at_once() {
    let path = scratch("reader");
    fs::write(&path, [DUID, &lease(1, 1, 0)].concat()).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["--follow", "--source", &source(&path)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.nth(1).unwrap().unwrap().contains("checkpoint"));
    drop(lines);
    let left = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(left.elapsed() < Duration::from_secs(1));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}

#[test]
fn people_get_a_table() {
    let path = scratch("table");
    fs::write(&path, MIXED).unwrap();
    let output = once(&path, &["--table"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("EVENT  ADDRESS"), "{text}");
    assert!(text.contains("fd4c:1ab:0:98::beef  static-one   never"), "{text}");
}

#[test]
fn bad_usage_is_told_with_what_would_do() {
    for bad in ["dnsmasq:", "kea5:/x", "/var/lib/misc/dnsmasq.leases", ""] {
        let output = Command::new(PROGRAM).args(["--source", bad]).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        assert!(stderr(&output).contains("dnsmasq:FILE"), "{}", stderr(&output));
    }
}

/// Marsaglia's xorshift: the same chances at each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A writer that treats the file as dnsmasq 2.90 does: it keeps it open, cuts it to nothing, writes
/// pieces of 4096 bytes, and calls fsync. Lines are 64 bytes long, so that every piece ends with a
/// line: the worst that can happen to a reader.
struct Server {
    file: File,
    /// Address to client, each client new.
    leases: BTreeMap<u16, u32>,
    /// When each client came, and when it went.
    lives: HashMap<u32, (Instant, Option<Instant>)>,
    clients: u32,
}

const FIRST: &str = "0 1 fd00:0000::ffff first-of-all 00:03:00:01:ff:ff:ff:ff:ff:ff:ff\n";

impl Server {
    fn new(path: &Path) -> Server {
        let file = File::create(path).unwrap();
        Server { file, leases: BTreeMap::new(), lives: HashMap::new(), clients: 0 }
    }

    fn add(&mut self, address: u16) {
        self.remove(address);
        self.clients += 1;
        self.leases.insert(address, self.clients);
        self.lives.insert(self.clients, (Instant::now(), None));
    }

    fn remove(&mut self, address: u16) {
        if let Some(client) = self.leases.remove(&address) {
            self.lives.get_mut(&client).unwrap().1 = Some(Instant::now());
        }
    }

    fn text(&self) -> String {
        let duid = format!("duid {}\n", ["0a"; 19].join(":"));
        let mut text = format!("{duid}{FIRST}");
        assert_eq!(text.len() % 64, 0, "{}", text.len());
        for (address, client) in &self.leases {
            let [a, b, c, d] = client.to_be_bytes();
            let duid = format!("00:03:00:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}:00:00");
            let line = format!("2000000000 1 fd00::{address:04x} h{client:08} {duid}\n");
            assert_eq!(line.len(), 64, "{line}");
            text.push_str(&line);
        }
        text
    }

    fn write(&mut self, chance: &mut Chance) {
        let text = self.text();
        self.file.rewind().unwrap();
        self.file.set_len(0).unwrap();
        if chance.below(10) == 0 {
            std::thread::sleep(Duration::from_millis(chance.below(20)));
        }
        for piece in text.as_bytes().chunks(4096) {
            self.file.write_all(piece).unwrap();
            if chance.below(20) == 0 {
                std::thread::sleep(Duration::from_millis(chance.below(30)));
            }
        }
        self.file.sync_all().unwrap();
    }
}

fn client_of(record: &Value) -> u32 {
    let duid = record["duid"].as_str().unwrap();
    let pairs: Vec<&str> = duid.split(':').collect();
    u32::from_str_radix(&pairs[4..8].concat(), 16).unwrap()
}

#[test]
fn a_busy_server_s_leases_are_all_seen_and_none_ends_too_soon() {
    let path = scratch("busy");
    let mut server = Server::new(&path);
    let mut chance = Chance(7);
    (0..120).for_each(|address| server.add(address));
    server.write(&mut chance);
    let watch = Following::start(&path, &["--resync", "2s"]);
    let mut believed: BTreeMap<String, u32> = BTreeMap::new();
    let mut seen: HashSet<u32> = HashSet::new();
    let (mut checkpoints, mut heard, mut listing) = (0, 0, HashSet::new());
    let mut hear = |server: &Server, believed: &mut BTreeMap<String, u32>, record: Value| {
        let has_gone = |client| server.lives.get(&client).is_some_and(|life| life.1.is_some());
        if record["kind"] == "checkpoint" {
            heard += 1;
            // What the listing leaves out has ended, which is told in no other way when it is much.
            let left_out = believed.extract_if(.., |address, _| !listing.contains(address));
            left_out.for_each(|(_, client)| assert!(has_gone(client), "ended too soon: {client}"));
            listing.clear();
            assert_eq!(record["count"], believed.len());
            return heard;
        }
        let (client, address) = (client_of(&record), record["address"].to_string());
        if record["event"] == "list" {
            listing.insert(address.clone());
        }
        if record["state"] == "active" {
            seen.insert(client);
            believed.insert(address, client);
        } else {
            assert_eq!(believed.remove(&address), Some(client), "{record}");
            assert!(has_gone(client), "ended too soon: {record}");
        }
        heard
    };
    for round in 0..1_200 {
        for _ in 0..=chance.below(3) {
            let address = chance.below(200) as u16;
            if chance.below(2) == 0 { server.add(address) } else { server.remove(address) }
        }
        server.write(&mut chance);
        // Bursts without any rest, and times with some.
        if round % 100 > 50 {
            std::thread::sleep(Duration::from_millis(chance.below(25)));
        }
        while let Ok(record) = watch.lines.try_recv() {
            checkpoints = hear(&server, &mut believed, record);
        }
    }
    // A size that could be half a file is believed after a while, too: the next two checkpoints
    // close listings that were read after the last change.
    let (last, mut so) = (checkpoints, BTreeMap::new());
    while checkpoints < last + 3 {
        checkpoints = hear(&server, &mut believed, watch.next());
    }
    assert!(checkpoints > 3, "{checkpoints}");
    for (address, client) in &server.leases {
        so.insert(format!("\"{}\"", Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, *address])), *client);
    }
    believed.retain(|_, client| *client != u32::MAX);
    assert_eq!(believed, so);
    for (client, (came, went)) in &server.lives {
        let life = went.unwrap_or_else(Instant::now) - *came;
        assert!(seen.contains(client) || life < Duration::from_secs(3), "{client} {life:?}");
    }
    assert_eq!(*watch.told.lock().unwrap(), "");
}
