//! How long an interface takes, with an address and without, beside what else makes one: on the real
//! program, in network namespaces, with a real dnsmasq. Needs root.
//!
//!     cargo bench --bench attach [-- ROUNDS]
//!
//! ROUNDS (100) attachments of each sort, a tenth of that for the clients that take seconds. A round
//! does all sorts one after the other, so that all meet the same machine.

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, Namespace, Running};
use leasepipe::adapter::netlink::{End, Netlink};
use leasepipe::adapter::netns::Netns;
use leasepipe::record::{Ifname, Mac};
use serde_json::{Value, json};

const UNIONIZE: &str = env!("CARGO_BIN_EXE_unionize");

/// How many are attached at once.
const CROWD: usize = 200;

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let rounds = numbers.next().unwrap_or(100).max(10);
    let Some(mut site) = Site::or_skip() else { return };
    println!("milliseconds of {rounds} rounds, a tenth of that for dhclient and dhcpcd");
    println!("{:34}{:>5}{:>9}{:>9}{:>9}{:>9}", "", "n", "least", "median", "p99", "most");
    site.without_address(rounds);
    site.with_address(rounds);
    drop(site);
    println!();
    println!("{CROWD} at once, attachments a second");
    println!("{:34}{:>9}{:>9}{:>9}", "--concurrency", 1, 4, 8);
    for address in ["none", "dhcp6"] {
        // Each on a machine of its own: a server is the slower the more it has leased.
        let crowd = |jobs| Site::or_skip().expect("another lab").crowd(address, jobs);
        let rates = [1, 4, 8].map(crowd);
        println!(
            "{:34}{:>9.0}{:>9.0}{:>9.0}",
            format!("--address {address}"),
            rates[0],
            rates[1],
            rates[2]
        );
    }
}

/// A machine with a bridge and a dnsmasq on it.
struct Site {
    lab: Lab,
    state: PathBuf,
    count: usize,
}

impl Site {
    fn or_skip() -> Option<Site> {
        let mut lab = Lab::or_skip("the attach bench")?;
        lab.bridge("br1");
        lab.dnsmasq("br1", "fd00:1::/64", &["--dhcp-lease-max=10000"]);
        Some(Site { state: lab.dir().join("attachments"), lab, count: 0 })
    }

    fn without_address(&mut self, rounds: usize) {
        let mut unionize = self.unionize(&["--address", "none"]);
        let mut least = Least::start(self.lab.machine());
        let (mut two, mut all) = (Vec::new(), Vec::new());
        let (mut ours, mut words) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            two.push(self.two_messages());
            all.push(self.least(&mut least));
            ours.push(self.attach(&mut unionize));
            words.push(self.ip_words());
        }
        row("two netlink messages", &mut two);
        row("a filter of netlink messages alone", &mut all);
        row("unionize --address none", &mut ours);
        row("ip and nsenter, five of them", &mut words);
        let middle = |times: &[f64]| times[times.len() / 2];
        println!("unionize beside the two messages: {:.2}", middle(&ours) / middle(&two));
        println!("and beside the filter: {:.2}", middle(&ours) / middle(&all));
        unionize.finish();
    }

    fn with_address(&mut self, rounds: usize) {
        let mut rapid = self.unionize(&["--address", "dhcp6"]);
        let mut offers = self.unionize(&["--address", "dhcp6", "--no-rapid-commit"]);
        let (mut two, mut four) = (Vec::new(), Vec::new());
        let (mut dhclient, mut dhcpcd) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            two.push(self.attach(&mut rapid));
            four.push(self.attach(&mut offers));
            if round % 10 == 0 {
                dhclient.extend(self.client("dhclient"));
                dhcpcd.extend(self.client("dhcpcd"));
            }
        }
        row("unionize, rapid commit", &mut two);
        row("unionize, four messages", &mut four);
        row("ip and nsenter, dhclient -6", &mut dhclient);
        row("ip and nsenter, dhcpcd -6", &mut dhcpcd);
        rapid.finish();
        offers.finish();
    }

    /// A program that attaches what it is sent.
    fn unionize(&self, words: &[&str]) -> Running {
        let mut command = self.lab.command(UNIONIZE);
        command.args(["--bridge", "br1"]).args(words).arg("--state").arg(&self.state);
        Running::start(&mut command)
    }

    /// A namespace as container-run has its containers.
    fn space(&mut self) -> (String, Namespace, PathBuf) {
        self.count += 1;
        let label = format!("c{}", self.count);
        let path = self.lab.namespace(&label);
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
        (label, space, path)
    }

    /// From the record's way in until it is out again.
    fn attach(&mut self, unionize: &mut Running) -> f64 {
        let (label, space, path) = self.space();
        let record = container(&label, &path);
        let begun = Instant::now();
        unionize.send(&record);
        let done = unionize.next();
        let took = begun.elapsed();
        assert_eq!(done["status"], "done", "{done}");
        space.remove();
        took.as_secs_f64() * 1e3
    }

    /// The two messages that make a veth pair and switch its inner end on, and nothing else.
    fn two_messages(&mut self) -> f64 {
        let (label, space, path) = self.space();
        let number = self.count as u8;
        let took = self.lab.machine().within(|| {
            let messages = Messages::prepare(&label, &path, number);
            let begun = Instant::now();
            messages.send();
            begun.elapsed()
        });
        space.remove();
        took.as_secs_f64() * 1e3
    }

    /// From a line's way in until the answer is out again.
    fn least(&mut self, least: &mut Least) -> f64 {
        let (label, space, path) = self.space();
        let begun = Instant::now();
        least.attach(&label, &path);
        let took = begun.elapsed();
        space.remove();
        took.as_secs_f64() * 1e3
    }

    /// What a script does.
    fn ip_words(&mut self) -> f64 {
        let (label, space, _) = self.space();
        let begun = Instant::now();
        self.plug(&label, &space);
        let took = begun.elapsed();
        space.remove();
        took.as_secs_f64() * 1e3
    }

    fn plug(&self, label: &str, space: &Namespace) {
        let name = space.name();
        self.lab.ip(&format!("link add b{label} type veth peer name b{label}p"));
        self.lab.ip(&format!("link set b{label}p netns {name} name eth0"));
        self.lab.ip(&format!("link set b{label} master br1"));
        self.lab.ip(&format!("link set b{label} up"));
        space.ip("link set eth0 up");
    }

    /// A client as distributions have it, from the making of its link until the server has leased;
    /// nothing where it is missing.
    fn client(&mut self, program: &str) -> Option<f64> {
        Command::new(program).arg("--version").output().ok()?;
        let (label, space, _) = self.space();
        let dir = self.lab.dir().join(&label);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("conf"), "noipv6rs\nnodhcp\nduid ll\nia_na 1\nscript /bin/true\n")
            .unwrap();
        let client = match program {
            "dhclient" => {
                "until ip -6 addr show dev eth0 scope link -tentative | grep -q inet6; do sleep 0.01; \
                 done; exec dhclient -6 -N -d -D LL -cf /dev/null -sf /bin/true -lf $1/leases \
                 -pf $1/pid eth0"
            }
            _ => {
                "mkdir -p /var/lib/dhcpcd && mount -t tmpfs none /run && \
                 mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd -6 -B -f $1/conf eth0"
            }
        };
        let script = format!("mount --bind $1/conf /etc/resolv.conf && {client}");
        let mut command = space.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).arg(&dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let before = self.leases();
        let begun = Instant::now();
        self.plug(&label, &space);
        let mut child = command.spawn().expect("start the client");
        while self.leases() == before {
            assert!(begun.elapsed() < Duration::from_secs(30), "{program} has no lease");
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = begun.elapsed();
        let _ = child.kill();
        let _ = child.wait();
        space.remove();
        Some(took.as_secs_f64() * 1e3)
    }

    fn leases(&mut self) -> usize {
        let leases = std::fs::read_to_string(self.lab.server("br1").leases()).unwrap_or_default();
        leases.lines().count()
    }

    /// So many a second when all come at once.
    fn crowd(&mut self, address: &str, jobs: usize) -> f64 {
        let spaces: Vec<_> = (0..CROWD).map(|_| self.space()).collect();
        let records: Vec<Value> =
            spaces.iter().map(|(label, _, path)| container(label, path)).collect();
        let words = ["--address", address, "--dad", "off", "--concurrency", &jobs.to_string()];
        let mut unionize = self.unionize(&words);
        let begun = Instant::now();
        records.iter().for_each(|record| unionize.send(record));
        for _ in &records {
            let done = unionize.next();
            assert_eq!(done["status"], "done", "{done}");
        }
        let took = begun.elapsed();
        unionize.finish();
        spaces.into_iter().for_each(|(_, space, _)| space.remove());
        CROWD as f64 / took.as_secs_f64()
    }
}

/// The least that a filter has to do which attaches what it is sent: it waits for a line, enters the
/// namespace that it names, asks for the bridge's number, sends the two messages, and answers.
struct Least {
    tell: PipeWriter,
    told: BufReader<PipeReader>,
}

impl Least {
    fn start(machine: &Namespace) -> Least {
        let machine = Namespace::left_behind(machine.name());
        let (lines, tell) = pipe().unwrap();
        let (told, mut answers) = pipe().unwrap();
        std::thread::spawn(move || {
            machine.within(move || {
                for (number, line) in BufReader::new(lines).lines().enumerate() {
                    let line = line.unwrap();
                    let (label, path) = line.split_once(' ').unwrap();
                    Messages::prepare(label, Path::new(path), number as u8).send();
                    answers.write_all(b"done\n").unwrap();
                }
            });
        });
        Least { tell, told: BufReader::new(told) }
    }

    fn attach(&mut self, label: &str, path: &Path) {
        self.tell.write_all(format!("{label} {}\n", path.display()).as_bytes()).unwrap();
        let mut answer = String::new();
        self.told.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }
}

/// The messages for one veth pair, and the sockets to send them through.
struct Messages {
    host: Netlink,
    inside: Netns,
    within: Netlink,
    bridge: u32,
    names: [Ifname; 2],
    number: u8,
}

impl Messages {
    fn prepare(label: &str, path: &Path, number: u8) -> Messages {
        let name = |text: &str| text.parse::<Ifname>().unwrap();
        let (host, inside) = (Netlink::open().unwrap(), Netns::open(path).unwrap());
        let within = inside.run(Netlink::open).unwrap();
        let bridge = host.find_link(&name("br1")).unwrap().unwrap().index;
        let names = [name(&format!("b{label}")), name("eth0")];
        Messages { host, inside, within, bridge, names, number }
    }

    fn send(&self) {
        let [outer, inner] = &self.names;
        let mac = |first| Mac::new([first, 0, 0, 0, 1, self.number]);
        let here = End { name: outer, mac: mac(0xfe) };
        let there = End { name: inner, mac: mac(0x02) };
        self.host.make_veth(&here, &there, self.inside.as_fd(), Some(self.bridge), 1500).unwrap();
        self.within.switch_on(inner).unwrap();
    }
}

fn container(id: &str, netns: &Path) -> Value {
    json!({"id": id, "image": "busybox", "state": "running",
        "docker": {"id": "0".repeat(64), "netns": netns}})
}

fn row(what: &str, times: &mut [f64]) {
    if times.is_empty() {
        return println!("{what:34}  not installed");
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let (n, least, most) = (times.len(), at(0.0), at(1.0));
    println!("{what:34}{n:>5}{least:>9.1}{:>9.1}{:>9.1}{most:>9.1}", at(0.5), at(0.99));
}
