//! What it costs to keep the leases of a whole host: `unionize renew --follow` on the real program, with a
//! real link for each lease.
//!
//!     cargo bench --bench renew -- [SPACES [EACH [T1 [SECONDS]]]]
//!
//! SPACES network namespaces (1000) have EACH interfaces (10) in as many bridges, each a veth pair with
//! a lease of its own, and the program makes all of them, from files that appear twenty a second. The server
//! is a small one of this bench's, which answers at once; it gives leases with this T1 in seconds (600), T2 at
//! 8/5 of it, and an end at twice. After all are leased, the program is measured for SECONDS (one T1). Then the
//! server is away for a quarter of T1, which is what there is from the last Renew until T2.
//!
//! With more than two thousand leases a machine's table of neighbours has to be larger than usual
//! (net.ipv6.neigh.default.gc_thresh3): when it is full the kernel loses messages. It loses some as well
//! when a bridge has more ports than a processor takes frames in at a time (net.core.netdev_max_backlog,
//! 1000), as what is for all goes to each of them.
//!
//! What is remembered lies on the disk, below the target directory; all else is in namespaces that go
//! with the bench. It needs root.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const PROGRAM: &str = env!("CARGO_BIN_EXE_unionize");

/// How long after one link the next may be made: each takes several places in the table of neighbours, for
/// some seconds.
const PACE: Duration = Duration::from_millis(50);

fn main() {
    if !nix::unistd::geteuid().is_root() {
        return println!("this bench needs root");
    }
    let mut numbers = std::env::args().filter_map(|word| word.parse::<u32>().ok());
    let spaces = numbers.next().unwrap_or(1000);
    let each = numbers.next().unwrap_or(10);
    let t1 = numbers.next().unwrap_or(600);
    let measured = Duration::from_secs(numbers.next().unwrap_or(t1).into());
    assert!((1..=1000).contains(&spaces), "a bridge has at most 1024 ports");

    let dir = apart();
    bridges(each);
    let names: Vec<PathBuf> = (0..spaces).map(|at| space(&dir, at)).collect();
    let server = Server::start(each, t1);
    let count = (spaces * each) as usize;
    let state =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("renew-{}", std::process::id()));
    fs::create_dir_all(&state).unwrap();
    println!(
        "{count} leases, each on a veth pair of its own, in {spaces} namespaces and {each} bridges"
    );
    println!("T1 {t1} s, T2 {} s, end {} s", t1 * 8 / 5, t1 * 2);

    let begun = Instant::now();
    let mut program = Kept::start(&state);
    for (at, netns) in names.iter().enumerate() {
        for number in 0..each {
            remember(&state, at, netns, number);
            std::thread::sleep(PACE);
        }
    }
    while server.clients() < count {
        assert!(program.child.try_wait().unwrap().is_none(), "the program has ended");
        assert!(
            begun.elapsed() < Duration::from_secs(1800),
            "{} of {count} leased",
            server.clients()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let made = begun.elapsed();
    println!(
        "made from the files and leased in {:.1} s ({:.0} a second), {:.1} s of a core, RSS {:.1} MB",
        made.as_secs_f64(),
        count as f64 / made.as_secs_f64(),
        program.cpu().as_secs_f64(),
        program.rss_mb()
    );

    // What was confirmed at the beginning is none of the steady state's.
    std::thread::sleep(Duration::from_secs(15).min(measured));
    let (cpu, asked, begun) = (program.cpu(), server.asked(), Instant::now());
    std::thread::sleep(measured);
    let (cpu, asked) = (program.cpu() - cpu, server.asked() - asked);
    println!(
        "for {:.0} s: {asked} questions ({:.1} a second), {:.2} % of a core, {:.2} ms each, RSS {:.1} MB",
        begun.elapsed().as_secs_f64(),
        f64::from(asked) / begun.elapsed().as_secs_f64(),
        cpu.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0,
        cpu.as_secs_f64() * 1000.0 / f64::from(asked.max(1)),
        program.rss_mb()
    );

    server.outage(&program, count, t1);
    drop(program);
    fs::remove_dir_all(&state).unwrap();
}

/// A directory and a network of this process's own: mounts and links in them go with it.
fn apart() -> PathBuf {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("namespaces of its own");
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .expect("private mounts");
    let dir = std::env::temp_dir();
    mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), nothing).expect("a tmpfs");
    dir
}

fn ip(batch: &str) {
    let mut child =
        Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip");
    child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "ip -batch");
}

/// Bridges that work at once and have a carrier. A querier lets each send what is for servers to the
/// server alone.
fn bridges(each: u32) {
    let mut batch = "link set lo up\n".to_owned();
    for number in 0..each {
        batch += &format!(
            "link add br{number} address 02:00:01:00:00:{number:02x} type bridge stp_state 0 \
             forward_delay 0 mcast_querier 1\n\
             link add s{number} type veth peer name t{number}\n\
             link set s{number} master br{number} up\nlink set t{number} up\nlink set br{number} up\n"
        );
    }
    ip(&batch);
    for number in 0..each {
        let path = format!("/proc/sys/net/ipv6/conf/br{number}/accept_dad");
        let _ = fs::write(path, "0");
    }
    std::thread::sleep(Duration::from_secs(3));
}

/// A network namespace, held by a file.
fn space(dir: &Path, at: u32) -> PathBuf {
    let path = dir.join(format!("c{at}"));
    File::create(&path).unwrap();
    std::thread::scope(|scope| {
        let bind = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            for (name, value) in [("optimistic_dad", "1"), ("accept_ra", "0")] {
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/default/{name}"), value);
            }
            let nothing: Option<&str> = None;
            mount(Some("/proc/thread-self/ns/net"), &path, nothing, MsFlags::MS_BIND, nothing)
                .expect("hold the namespace");
        };
        scope.spawn(bind).join().unwrap();
    });
    path
}

/// What unionize would remember of an interface that is being leased for.
fn remember(state: &Path, at: usize, netns: &Path, number: u32) {
    let link = format!("lpb{at:x}x{number:x}");
    let [a, b] = (at as u16).to_be_bytes();
    let text = format!(
        r#"{{"version":2,"container":{{"id":"c{at}","image":"bench","netns":"{}"}},
        "interface":"eth{number}","link":"{link}","network":{{"bridge":"br{number}",
        "addresses":["dhcp6"]}},"mac":"02:00:00:{number:02x}:{a:02x}:{b:02x}","asking":true}}"#,
        netns.display()
    );
    fs::write(state.join(format!("{link}.json")), text).unwrap();
}

/// The program, which is killed in the end.
struct Kept {
    child: Child,
}

impl Kept {
    fn start(state: &Path) -> Kept {
        let mut command = Command::new(PROGRAM);
        command.args(["renew", "--follow", "--host", "unix:///nonexistent", "--concurrency", "32"]);
        command.arg("--state").arg(state);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("unionize");
        Kept { child }
    }

    /// What it has used of a core.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    fn rss_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a DHCPv6 message is, of those that matter here.
const SOLICIT: u8 = 1;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;

/// A client: its DUID and the number of its association.
type Client = (Vec<u8>, [u8; 4]);

#[derive(Default)]
struct Book {
    /// When each was given its lease.
    given: HashMap<Client, Instant>,
    /// The longest that one has waited for its renewal, and how many were given by which question.
    longest: Duration,
    by: HashMap<u8, u32>,
}

/// A DHCPv6 server that gives to whoever asks, and a router that says that it is none.
struct Server {
    book: Arc<Mutex<Book>>,
    asked: Arc<AtomicU32>,
    away: Arc<AtomicBool>,
}

impl Server {
    fn start(each: u32, t1: u32) -> Server {
        let socket = UdpSocket::bind("[::]:547").expect("the server's port");
        for number in 0..each {
            let name = format!("br{number}");
            let index = nix::net::if_::if_nametoindex(name.as_str()).expect("a bridge");
            let group = "ff02::1:2".parse::<Ipv6Addr>().unwrap();
            socket.join_multicast_v6(&group, index).expect("the servers' group");
        }
        let server = Server { book: Arc::default(), asked: Arc::default(), away: Arc::default() };
        let (book, asked, away) = (server.book.clone(), server.asked.clone(), server.away.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
                asked.fetch_add(1, Ordering::Relaxed);
                if away.load(Ordering::Relaxed) {
                    continue;
                }
                if let Some(reply) = answer(&buffer[..length], &from, t1, &book) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        server
    }

    fn clients(&self) -> usize {
        self.book.lock().unwrap().given.len()
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Is away from before any T1 until shortly before the first T2, and sees how all come through.
    fn outage(&self, program: &Kept, count: usize, t1: u32) {
        let t2 = Duration::from_secs((t1 * 8 / 5).into());
        // By now terms lie anywhere, and some fall due all the time.
        {
            let mut book = self.book.lock().unwrap();
            (book.longest, book.by) = (Duration::ZERO, HashMap::new());
        }
        let away = Duration::from_secs((t1 / 4).into());
        let begun = Instant::now();
        self.away.store(true, Ordering::Relaxed);
        let (asked, cpu) = (self.asked(), program.cpu());
        std::thread::sleep(away);
        let (asked, cpu) = (self.asked() - asked, program.cpu() - cpu);
        self.away.store(false, Ordering::Relaxed);
        let back = Instant::now();
        let older = |than: Duration| {
            let book = self.book.lock().unwrap();
            book.given.values().filter(|given| given.elapsed() > than).count()
        };
        // By then the first Renew of each has gone out.
        let asked_by = Duration::from_secs((t1 * 13 / 10).into());
        let (late, mut caught_up) = (older(asked_by), Duration::ZERO);
        while older(begun.elapsed()) > 0 {
            assert!(older(t2) == 0, "not all were renewed before T2");
            if older(asked_by) > 0 {
                caught_up = back.elapsed();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let book = self.book.lock().unwrap();
        println!(
            "server away for {:.0} s: {asked} questions meanwhile, {:.2} % of a core; {late} leases overdue, \
             none any more {:.1} s after it was back; each renewed once",
            away.as_secs_f64(),
            cpu.as_secs_f64() / away.as_secs_f64() * 100.0,
            caught_up.as_secs_f64(),
        );
        let of = |kind: u8| book.by.get(&kind).copied().unwrap_or(0);
        println!(
            "longest from one lease to the next {:.1} s of {:.1} until T2; renewed {}, rebound {}, anew {}; \
             {} of {count} held; RSS {:.1} MB",
            book.longest.as_secs_f64(),
            t2.as_secs_f64(),
            of(RENEW),
            of(REBIND),
            of(SOLICIT),
            book.given.values().filter(|given| given.elapsed() < t2).count(),
            program.rss_mb()
        );
    }
}

/// The answer to a message, for a server that gives the same address to the same client.
fn answer(message: &[u8], from: &SocketAddr, t1: u32, book: &Mutex<Book>) -> Option<Vec<u8>> {
    let kind = *message.first()?;
    let mut rest = message.get(4..)?;
    let (mut client, mut association) = (None, None);
    while let [a, b, c, d, after @ ..] = rest {
        let (code, length) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]) as usize);
        let value = after.get(..length)?;
        match code {
            1 => client = Some(value.to_vec()),
            3 => association = Some(<[u8; 4]>::try_from(value.get(..4)?).ok()?),
            _ => (),
        }
        rest = &after[length..];
    }
    let client = client?;
    let mut reply = vec![REPLY, message[1], message[2], message[3]];
    option(&mut reply, 1, &client);
    option(&mut reply, 2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]);
    match kind {
        CONFIRM | RELEASE => option(&mut reply, 13, &[0, 0]),
        _ => {
            let association = association?;
            let scope = match from {
                SocketAddr::V6(from) => from.scope_id() as u16,
                SocketAddr::V4(_) => return None,
            };
            if kind == SOLICIT {
                option(&mut reply, 14, &[]);
            }
            let mut address = vec![0xfd, 0];
            address.extend(scope.to_be_bytes());
            address.extend([0, 0, 0, 0]);
            address.extend(&client[client.len().checked_sub(4)?..]);
            address.extend(association);
            let mut body = association.to_vec();
            body.extend(t1.to_be_bytes());
            body.extend((t1 * 8 / 5).to_be_bytes());
            address.extend((t1 * 2).to_be_bytes());
            address.extend((t1 * 2).to_be_bytes());
            option(&mut body, 5, &address);
            option(&mut reply, 3, &body);
            let mut book = book.lock().unwrap();
            let before = book.given.insert((client, association), Instant::now());
            book.longest = book.longest.max(before.map_or(Duration::ZERO, |at| at.elapsed()));
            *book.by.entry(kind).or_default() += 1;
        }
    }
    Some(reply)
}

fn option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    to.extend(code.to_be_bytes());
    to.extend((value.len() as u16).to_be_bytes());
    to.extend(value);
}
