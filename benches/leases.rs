//! How long lease-watch takes to list a large database and to tell of a change, and in how much
//! memory: on the real program, with files as servers write them.
//!
//!     cargo bench --bench leases [-- RUNS [LEASES]]
//!
//! Each time is the median of RUNS runs (5). `cat` is the same file read by cat, for comparison.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lease-watch");

const COLUMNS: &str = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
                       prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,\
                       hwaddr_source\n";

/// So many leases are there when the time of a change is taken.
const PRESENT: u32 = 100_000;

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<u32>().ok());
    let runs = numbers.next().unwrap_or(5).max(1) as usize;
    let count = numbers.next().unwrap_or(1_000_000);
    println!("listing {count} leases, median of {runs}; goal 1.5 s, and 300 bytes a lease");
    println!(
        "{:9}{:>9}{:>9}{:>11}{:>11}{:>11}{:>11}{:>10}",
        "", "wall s", "user s", "MB/s", "cat MB/s", "peak MB", "rest MB", "B/lease"
    );
    for kind in [Kind::Kea, Kind::Dnsmasq] {
        listing(kind, count, runs);
    }
    println!();
    println!("from the write to the line, {PRESENT} leases present; goal 5 ms at p99");
    println!("{:9}{:>9}{:>9}{:>9}{:>7}", "", "p50 ms", "p99 ms", "most ms", "n");
    for kind in [Kind::Kea, Kind::Dnsmasq] {
        latency(kind);
    }
    println!();
    println!("changes a second, {PRESENT} leases present, median of {runs}; goal 50000");
    let mut rates: Vec<f64> = (0..runs).map(|_| sustained()).collect();
    println!("{:9}{:>9.0}", "kea", median(&mut rates));
}

#[derive(Clone, Copy)]
enum Kind {
    Kea,
    Dnsmasq,
}

/// A client and its address, the same for the same number.
struct Client(u32);

impl Client {
    fn address(&self) -> String {
        format!("2001:db8:0:{:x}::{:x}", self.0 >> 14, (self.0 & 0x3fff) + 0x1000)
    }

    /// A DUID of each of the usual three kinds, and the hardware address where it holds one.
    fn identity(&self) -> (String, String) {
        let mixed = mix(u64::from(self.0) + 1).to_be_bytes();
        let hardware = [2, 0x42, mixed[0], mixed[1], mixed[2], mixed[3]];
        match self.0 % 3 {
            0 => (pairs(&[&[0, 1, 0, 1], &mixed[4..], &hardware].concat()), pairs(&hardware)),
            1 => (pairs(&[&[0, 3, 0, 1], &hardware[..]].concat()), pairs(&hardware)),
            _ => {
                let more = mix(u64::from(self.0) << 32).to_be_bytes();
                (pairs(&[&[0, 4], &mixed[..], &more].concat()), String::new())
            }
        }
    }

    fn row(&self, kind: Kind, expire: u32, lifetime: u32, name: &str) -> String {
        let (address, (duid, hardware)) = (self.address(), self.identity());
        let iaid = mix(self.0.into()) as u32;
        let name = match (self.0 % 2, name) {
            (0, "") => format!("client-{}", self.0),
            _ => name.to_owned(),
        };
        match kind {
            Kind::Kea => {
                let hardware_is = if hardware.is_empty() { "," } else { "1,2" };
                let named = u8::from(!name.is_empty());
                format!(
                    "{address},{duid},{lifetime},{expire},1,3600,0,{iaid},128,{named},{named},\
                     {name},{hardware},0,,{hardware_is}\n"
                )
            }
            Kind::Dnsmasq => {
                let name = if name.is_empty() { "*" } else { &name };
                format!("{expire} {iaid} {address} {name} {duid}\n")
            }
        }
    }
}

const END: u32 = 2_000_000_000;

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Kea => "kea",
            Kind::Dnsmasq => "dnsmasq",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Kind::Kea => COLUMNS,
            Kind::Dnsmasq => "duid 00:01:00:01:32:93:c6:3b:92:82:3c:af:23:43\n",
        }
    }

    /// A file of so many leases, in an order that has nothing to do with their addresses.
    fn file(self, count: u32) -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", self.name()));
        let mut file = BufWriter::new(File::create(&path).unwrap());
        file.write_all(self.head().as_bytes()).unwrap();
        for client in shuffled(count) {
            file.write_all(Client(client).row(self, END, 7200, "").as_bytes()).unwrap();
        }
        let file = file.into_inner().unwrap();
        // One that may end between two of dnsmasq's writes is waited for: an extra second.
        if file.metadata().unwrap().len().is_multiple_of(1024) {
            (&file).write_all(Client(count).row(self, END, 7200, "").as_bytes()).unwrap();
        }
        path
    }

    fn source(self, path: &Path) -> String {
        format!("{}:{}", self.name(), path.display())
    }
}

fn listing(kind: Kind, count: u32, runs: usize) {
    let path = kind.file(count);
    let megabytes = fs::metadata(&path).unwrap().len() as f64 / 1e6;
    let (mut wall, mut user, mut cat) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (seconds, cpu) = timed(Command::new(PROGRAM).args(["--source", &kind.source(&path)]));
        wall.push(seconds);
        user.push(cpu);
        cat.push(timed(Command::new("cat").arg(&path)).0);
    }
    let (wall, cat) = (median(&mut wall), median(&mut cat));
    let watch = Watch::start(kind, &path);
    let [peak, rest] = watch.memory();
    drop(watch);
    // What the program needs for a file with next to nothing in it.
    let watch = Watch::start(kind, &kind.file(1));
    let [_, base] = watch.memory();
    drop(watch);
    fs::remove_file(&path).unwrap();
    println!(
        "{:9}{wall:>9.2}{:>9.2}{:>11.0}{:>11.0}{peak:>11.0}{rest:>11.0}{:>10.0}",
        kind.name(),
        median(&mut user),
        megabytes / wall,
        megabytes / cat,
        (rest - base) * 1e6 / f64::from(count),
    );
}

/// Runs a command, its output going nowhere: the time that it took, and of its processors.
fn timed(command: &mut Command) -> (f64, f64) {
    let before = children();
    let begun = Instant::now();
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    (begun.elapsed().as_secs_f64(), children() - before)
}

/// Seconds that the processes which have ended spent in user mode (`cutime` of proc_pid_stat(5), in
/// hundredths on Linux).
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(13).unwrap().parse::<f64>().unwrap() / 100.0
}

/// A lease-watch that follows, and has listed everything. Dropping it ends it.
struct Watch {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Watch {
    fn start(kind: Kind, path: &Path) -> Watch {
        let (mut child, mut stdout) = follow(kind, path);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                match stdout.read_line(&mut line) {
                    Ok(1..) if sender.send((Instant::now(), line)).is_ok() => (),
                    _ => return,
                }
            }
        });
        assert!(child.try_wait().unwrap().is_none());
        Watch { child, lines }
    }

    fn next(&self) -> (Instant, String) {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("a line in time")
    }

    /// Its greatest and its present size, in megabytes.
    fn memory(&self) -> [f64; 2] {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        ["VmHWM:", "VmRSS:"].map(|name| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts a lease-watch, and reads its first listing.
fn follow(kind: Kind, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(PROGRAM)
        .args(["--follow", "--resync", "none", "--timeout", "1m", "--source", &kind.source(path)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"checkpoint\"") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "no checkpoint");
    }
    (child, stdout)
}

fn latency(kind: Kind) {
    let path = kind.file(PRESENT);
    let watch = Watch::start(kind, &path);
    let mut file = File::options().write(true).open(&path).unwrap();
    let mut text = fs::read_to_string(&path).unwrap();
    let mut times = Vec::new();
    let count = match kind {
        Kind::Kea => 1_000,
        Kind::Dnsmasq => 200,
    };
    for at in 1..=count {
        let row = Client(PRESENT + at).row(kind, END, 7200, "");
        let written = match kind {
            Kind::Kea => {
                file.seek(std::io::SeekFrom::End(0)).unwrap();
                file.write_all(row.as_bytes()).unwrap();
                Instant::now()
            }
            Kind::Dnsmasq => {
                // The newest lease comes first behind the server's DUID.
                text.insert_str(kind.head().len(), &row);
                file.rewind().unwrap();
                file.set_len(0).unwrap();
                text.as_bytes().chunks(4096).for_each(|piece| file.write_all(piece).unwrap());
                let written = Instant::now();
                file.sync_all().unwrap();
                written
            }
        };
        let (came, line) = watch.next();
        let address = format!("\"{}\"", Client(PRESENT + at).address());
        assert!(line.contains("\"add\"") && line.contains(&address), "{line}");
        times.push(came.saturating_duration_since(written).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_micros(mix(at.into()) % 20_000));
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{:9}{:>9.2}{:>9.2}{:>9.2}{:>7}", kind.name(), at(50), at(99), at(100), times.len());
    drop(watch);
    fs::remove_file(&path).unwrap();
}

/// Appends rows, each of which changes a lease, and waits for their lines: changes a second.
fn sustained() -> f64 {
    const BURST: usize = 200;
    let kind = Kind::Kea;
    let path = kind.file(PRESENT);
    let order = shuffled(PRESENT);
    let mut rows = Vec::new();
    for turn in 1..=5 {
        for client in &order {
            rows.push(match (turn, client % 4) {
                (1 | 5, _) => Client(*client).row(kind, END + turn, 7200, ""),
                (2, _) | (3, 1..) => Client(*client).row(kind, END, 7200, &format!("turn-{turn}")),
                (3, _) => Client(*client).row(kind, END, 0, ""),
                _ => Client(*client).row(kind, END + turn, 7200, "back"),
            });
        }
    }
    let (mut child, mut stdout) = follow(kind, &path);
    let wanted = rows.len();
    let reader = std::thread::spawn(move || {
        let (mut all, mut lines) = (Vec::new(), 0);
        while lines < wanted {
            let got = stdout.fill_buf().unwrap();
            assert!(!got.is_empty(), "it has ended");
            lines += got.iter().filter(|byte| **byte == b'\n').count();
            all.extend_from_slice(got);
            let length = got.len();
            stdout.consume(length);
        }
        (Instant::now(), all)
    });
    let mut file = File::options().append(true).open(&path).unwrap();
    let begun = Instant::now();
    for burst in rows.chunks(BURST) {
        file.write_all(burst.concat().as_bytes()).unwrap();
    }
    let (ended, lines) = reader.join().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&path).unwrap();
    let mut end: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: serde_json::Value = serde_json::from_slice(line).unwrap();
        end.insert(record["address"].as_str().unwrap().to_owned(), record);
    }
    assert_eq!(end.len(), PRESENT as usize);
    let last = jiff::Timestamp::from_second((END + 5).into()).unwrap().to_string();
    assert!(end.values().all(|record| record["expires_at"] == *last), "the end state");
    wanted as f64 / (ended - begun).as_secs_f64()
}

/// Numbers below `count` in an order that is the same at each run.
fn shuffled(count: u32) -> Vec<u32> {
    let mut all: Vec<u32> = (0..count).collect();
    for at in (1..all.len()).rev() {
        all.swap(at, (mix(at as u64) % (at as u64 + 1)) as usize);
    }
    all
}

/// A number that has nothing to do with the one given, to all appearances (splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

fn pairs(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
