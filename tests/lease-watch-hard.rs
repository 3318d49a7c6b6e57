//! lease-watch on files that nobody should write, and on one that is written without end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-watch");

/// Bytes of the line that is too long, by far.
const HUGE: usize = 100_000_000;

/// A kind of lease file: its name, its first line, a lease with this number and host name, and how
/// much memory the program may take for a file with a huge line, in megabytes.
struct Kind {
    name: &'static str,
    head: &'static str,
    lease: fn(u8, &[u8]) -> Vec<u8>,
    /// Lines of a lease.
    lines: usize,
    memory: usize,
}

/// dnsmasq's is read whole, since whether it is whole shows at its end alone; of the others only
/// what is new has to be held.
const KINDS: [Kind; 3] = [
    Kind {
        name: "dnsmasq",
        head: "duid 00:01:00:01:32:93:c6:3b:92:82:3c:af:23:43\n",
        lease: |number, name| {
            let name = if name.is_empty() { b"*" } else { name };
            let (begin, end) =
                (format!("0 1 fd00::{number:x} "), format!(" 00:03:00:01:{number:02x}\n"));
            [begin.as_bytes(), name, end.as_bytes()].concat()
        },
        lines: 1,
        memory: 2 * HUGE / 1_000_000 + 32,
    },
    Kind {
        name: "kea",
        head: "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
               prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,\
               hwaddr_source\n",
        lease: |number, name| {
            let begin =
                format!("fd00::{number:x},00:03:00:01:{number:02x},4294967295,0,1,0,0,1,128,0,0,");
            [begin.as_bytes(), name, b",,0,,,\n"].concat()
        },
        lines: 1,
        memory: 32,
    },
    Kind {
        name: "isc",
        head: "authoring-byte-order little-endian;\n",
        lease: |number, name| {
            let begin = format!(
                "ia-na \"\\001\\000\\000\\000\\000\\003\\000\\001{number:03o}\" {{\n  iaaddr \
                 fd00::{number:x} {{\n    binding state active;\n    ends never;\n"
            );
            let name = match name {
                b"" => Vec::new(),
                name => [b"    client-hostname \"", name, b"\";\n"].concat(),
            };
            [begin.as_bytes(), &*name, b"  }\n}\n"].concat()
        },
        lines: 6,
        memory: 32,
    },
];

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lease-watch-hard-{name}"));
    let _ = fs::remove_file(&path);
    path
}

/// A lease-watch that follows; what it tells people goes to a file. Dropping it kills it.
struct Watch {
    child: Child,
    lines: Receiver<Value>,
    told: PathBuf,
}

impl Watch {
    fn start(kind: &str, path: &Path, args: &[&str]) -> Watch {
        let told = path.with_extension("told");
        let mut child = Command::new(PROGRAM)
            .args(["--follow", "--source", &format!("{kind}:{}", path.display())])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(File::create(&told).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Watch { child, lines, told }
    }

    #[track_caller]
    fn next(&self) -> Value {
        match self.lines.recv_timeout(Duration::from_secs(60)) {
            Ok(record) => record,
            Err(why) => panic!("{why}; told: {}", self.told()),
        }
    }

    /// The records up to the first checkpoint, and that.
    fn listing(&self) -> (Vec<Value>, Value) {
        let mut leases = Vec::new();
        loop {
            match self.next() {
                record if record["kind"] == "checkpoint" => return (leases, record),
                record => leases.push(record),
            }
        }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.told).unwrap()
    }

    /// Its greatest size so far, in megabytes.
    fn peak(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1000
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn addresses(leases: &[Value]) -> Vec<&str> {
    leases.iter().map(|lease| lease["address"].as_str().unwrap()).collect()
}

/// Writes a lease, what is given, and another lease; the line on which the middle begins.
fn around(kind: &Kind, path: &Path, middle: &[u8], times: usize) -> usize {
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(kind.head.as_bytes()).unwrap();
    file.write_all(&(kind.lease)(1, b"")).unwrap();
    (0..times).for_each(|_| file.write_all(middle).unwrap());
    if !middle.ends_with(b"\n") {
        file.write_all(b"\n").unwrap();
    }
    file.write_all(&(kind.lease)(3, b"")).unwrap();
    file.flush().unwrap();
    2 + kind.lines
}

#[test]
fn a_line_of_100_megabytes_is_named_and_costs_no_other_and_no_memory() {
    let piece = [b'x'; 100_000];
    for kind in KINDS {
        let path = scratch(&format!("huge-{}", kind.name));
        let line = around(&kind, &path, &piece, HUGE / piece.len());
        let watch = Watch::start(kind.name, &path, &["--timeout", "1m"]);
        let (leases, checkpoint) = watch.listing();
        let (told, peak) = (watch.told(), watch.peak());
        assert_eq!(addresses(&leases), ["fd00::1", "fd00::3"], "{}: {told}", kind.name);
        assert_eq!(checkpoint["partial"], true, "{told}");
        let named = format!("{}:{line}: ", path.display());
        assert!(told.contains(&named) && told.len() < 2_000, "{}: {told}", kind.name);
        assert!(peak < kind.memory, "{}: {peak} MB", kind.name);
        drop(watch);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_first_line_of_100_megabytes_is_no_lease_file_of_kea() {
    let path = scratch("huge-head");
    let mut file = File::create(&path).unwrap();
    (0..HUGE / 100_000).for_each(|_| file.write_all(&[b'x'; 100_000]).unwrap());
    file.write_all(b"\n").unwrap();
    let output =
        Command::new(PROGRAM).args(["--source", &format!("kea:{}", path.display())]).output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("first line") && told.len() < 1_000, "{told}");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_record_of_100_megabytes_is_named_and_costs_no_other_and_no_memory() {
    let template = scratch("template");
    fs::write(&template, r#"{"id":"web","image":"busybox"}"#).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lease-cccf"))
        .arg("--template")
        .arg(&template)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lease = r#"{"kind":"lease","event":"list","state":"active","family":"ipv6","type":"na","key":"c5szspn6ulle3","duid":"00:03:00:01:aa","iaid":7,"address":"2001:db8::5","source":"dnsmasq:x"}"#;
    writeln!(stdin, r#"{{"kind":"other"}}"#).unwrap();
    stdin.write_all(br#"{"kind":"lease","x":""#).unwrap();
    (0..HUGE / 100_000).for_each(|_| stdin.write_all(&[b'x'; 100_000]).unwrap());
    writeln!(stdin, "\"}}\n{lease}\n{{\"kind\":\"other\",\"last\":true}}").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().expect("the last record").unwrap().contains("last") {}
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak = line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1000;
    drop(stdin);
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains("stdin:2: record is longer than 16 MiB"), "{told}");
    assert!(peak < 64, "{peak} MB");
}

#[test]
fn a_host_name_of_64_kilobytes_costs_its_client_the_name_alone() {
    for kind in KINDS {
        let path = scratch(&format!("name-{}", kind.name));
        let lease = (kind.lease)(2, &[b'x'; 65_536]);
        let line = around(&kind, &path, &lease, 1);
        let watch = Watch::start(kind.name, &path, &[]);
        let (leases, checkpoint) = watch.listing();
        let told = watch.told();
        assert_eq!(addresses(&leases), ["fd00::1", "fd00::2", "fd00::3"], "{}", kind.name);
        assert!(leases.iter().all(|lease| lease.get("hostname").is_none()));
        assert!(checkpoint.get("partial").is_none(), "{told}");
        let is_named = |told: &str| {
            let lines = line..line + kind.lines + 1;
            lines.map(|line| format!("{}:{line}: ", path.display())).any(|at| told.contains(&at))
        };
        assert!(is_named(&told) && told.len() < 2_000, "{}: {told}", kind.name);
        assert!(watch.peak() < 32);
    }
}

#[test]
fn zero_bytes_are_no_text() {
    for kind in KINDS {
        let path = scratch(&format!("zero-{}", kind.name));
        let lease = (kind.lease)(2, b"a\0b");
        around(&kind, &path, &lease, 1);
        let watch = Watch::start(kind.name, &path, &[]);
        let (leases, checkpoint) = watch.listing();
        assert_eq!(addresses(&leases), ["fd00::1", "fd00::2", "fd00::3"], "{}", kind.name);
        assert!(leases.iter().all(|lease| lease.get("hostname").is_none()));
        assert!(checkpoint.get("partial").is_none(), "{}", watch.told());
        drop(watch);
        // As after a power failure: the length of the file is on the disk, and its bytes are not.
        let line = around(&kind, &path, &[0; 4096], 1);
        let watch = Watch::start(kind.name, &path, &[]);
        let (leases, checkpoint) = watch.listing();
        let told = watch.told();
        assert_eq!(addresses(&leases), ["fd00::1", "fd00::3"], "{}", kind.name);
        assert_eq!(checkpoint["partial"], true, "{}: {told}", kind.name);
        assert!(told.contains(&format!("{}:{line}: ", path.display())), "{told}");
        assert!(!told.contains('\0'));
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

/// Who has which address, each time another client; and when each came and went.
#[derive(Default)]
struct Server {
    leases: BTreeMap<u16, u32>,
    lives: HashMap<u32, (Instant, Option<Instant>)>,
}

impl Server {
    fn toggle(&mut self, address: u16) {
        match self.leases.remove(&address) {
            Some(client) => self.lives.get_mut(&client).unwrap().1 = Some(Instant::now()),
            None => {
                let client = self.lives.len() as u32;
                self.leases.insert(address, client);
                self.lives.insert(client, (Instant::now(), None));
            }
        }
    }

    /// As dnsmasq does it: cut to nothing, and written in pieces, with the newest lease first.
    fn write(&self, file: &mut File) {
        let mut text = KINDS[0].head.to_owned();
        for (address, client) in self.leases.iter().rev() {
            let [a, b, c, d] = client.to_be_bytes();
            let duid = format!("00:03:00:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
            text.push_str(&format!("2000000000 1 fd00::{address:x} h{client} {duid}\n"));
        }
        file.rewind().unwrap();
        file.set_len(0).unwrap();
        text.as_bytes().chunks(4096).for_each(|piece| file.write_all(piece).unwrap());
        file.sync_all().unwrap();
    }

    fn has_gone(&self, client: u32) -> bool {
        self.lives[&client].1.is_some()
    }
}

/// What somebody believes who reads the records.
#[derive(Default)]
struct Belief {
    leases: BTreeMap<String, u32>,
    seen: HashSet<u32>,
    listing: HashSet<String>,
    checkpoints: usize,
}

impl Belief {
    fn hear(&mut self, record: &Value, server: &Server) {
        if record["kind"] == "checkpoint" {
            let listing = std::mem::take(&mut self.listing);
            let left_out = self.leases.extract_if(.., |address, _| !listing.contains(address));
            left_out.for_each(|(_, client)| assert!(server.has_gone(client), "{record}"));
            self.checkpoints += 1;
            return;
        }
        let address = record["address"].as_str().unwrap().to_owned();
        let duid = record["duid"].as_str().unwrap().replace(':', "");
        let client = u32::from_str_radix(&duid[8..], 16).unwrap();
        if record["event"] == "list" {
            self.listing.insert(address.clone());
        }
        if record["state"] == "active" {
            self.seen.insert(client);
            self.leases.insert(address, client);
        } else {
            assert!(server.has_gone(client), "a false end: {record}");
            assert_eq!(self.leases.remove(&address), Some(client), "{record}");
        }
    }
}

#[test]
fn ten_thousand_rewrites_end_no_lease_wrongly_and_hide_none() {
    // Where it can be, in memory: it is written faster than any disk takes it.
    let shared = Path::new("/dev/shm");
    let path = match shared.is_dir() {
        true => shared.join(format!("lease-watch-hard-{}", std::process::id())),
        false => scratch("rewrites"),
    };
    let (mut server, mut belief, mut chance) = (Server::default(), Belief::default(), Chance(11));
    (0..150).for_each(|address| server.toggle(address));
    let mut file = File::create(&path).unwrap();
    server.write(&mut file);
    let watch = Watch::start("dnsmasq", &path, &["--resync", "1s"]);
    for round in 0..10_000_u64 {
        if chance.below(8) == 0 {
            server.toggle(chance.below(300) as u16);
        }
        server.write(&mut file);
        // Turns without any rest, and turns with enough of it for two readings.
        match round / 500 % 3 {
            0 => std::thread::sleep(Duration::from_micros(chance.below(300))),
            1 => std::thread::sleep(Duration::from_micros(chance.below(2_000))),
            _ if round % 50 == 0 => std::thread::sleep(Duration::from_millis(chance.below(100))),
            _ => (),
        }
        while let Ok(record) = watch.lines.try_recv() {
            belief.hear(&record, &server);
        }
    }
    let last = belief.checkpoints;
    while belief.checkpoints < last + 3 {
        belief.hear(&watch.next(), &server);
    }
    let now = server.leases.iter().map(|(address, client)| (format!("fd00::{address:x}"), *client));
    // The address 0 is written fd00::.
    let now: BTreeMap<String, u32> = now.map(|(text, c)| (text.replace("::0", "::"), c)).collect();
    assert_eq!(belief.leases, now);
    for (client, (came, went)) in &server.lives {
        let life = went.unwrap_or_else(Instant::now) - *came;
        assert!(belief.seen.contains(client) || life < Duration::from_secs(2), "missed: {life:?}");
    }
    assert_eq!(watch.told(), "");
    let told = watch.told.clone();
    drop(watch);
    fs::remove_file(&path).unwrap();
    fs::remove_file(told).unwrap();
}
