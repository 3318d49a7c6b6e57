//! What the firewall of a container costs: to shut it, in memory, and for each packet; how that grows
//! with the clients, and beside a list of rules.
//!
//!     sudo cargo bench --bench firewall [-- CONTAINERS [PACKETS]]
//!
//! It works in network namespaces of its own that end with it. CONTAINERS (10,000) are as many
//! namespaces, each shut for a client of its own: open files have to be allowed for them
//! (`ulimit -n`), and some 200 kB of memory for each, which the namespaces themselves take.
//!
//! A packet is sent by the client over a veth pair to the container, where a socket takes it. The
//! kernel does all of it within the call that sends, so its time is that of the path. It is the
//! best of 40 rounds, which share PACKETS (200,000; fewer where they take too long), and the ratio
//! is to the same packets without any firewall. The list is what takes the place of a set without
//! one: a rule for each pair, the client's at the end. The list, and the pairs of many in one
//! table, are written with nft(8).

use std::fs;
use std::io::Write;
use std::net::{Ipv6Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use leasepipe::adapter::netns::Netns;
use leasepipe::adapter::nftables::{Firewall, Guard};

const ROUNDS: usize = 40;

/// How long a round may take, with fewer packets then.
const LONGEST: Duration = Duration::from_millis(100);

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let containers = numbers.next().unwrap_or(10_000).max(1);
    let packets = numbers.next().unwrap_or(200_000).max(1);
    let path = Path::new(packets);
    println!("{:44}{:>9}{:>8}", "one packet", "ns", "ratio");
    let free = path.row("no firewall", None);
    path.shut(1);
    path.row("shut, 1 client", Some(free));
    path.open();
    for clients in [1, 100, 10_000] {
        path.list(clients);
        path.row(&format!("a list of {clients} rules in its place"), Some(free));
        path.open();
    }
    for clients in [100, 10_000] {
        path.shut(clients);
        path.row(&format!("shut, {clients} pairs in the one table"), Some(free));
        path.open();
    }
    path.shut(1);
    let held = fleet(containers);
    path.row(&format!("shut, beside {containers} shut containers"), Some(free));
    drop(held);
}

/// The address of a client.
fn client(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 1, (number >> 16) as u16, number as u16)
}

fn guard(interface: &str, number: usize) -> Guard {
    Guard {
        interface: interface.parse().expect("a name"),
        client: ipnet::IpNet::from(std::net::IpAddr::from(client(number))),
        ports: None,
        container: format!("web-{number}").parse().expect("a name"),
    }
}

/// Makes namespaces and shuts each; tells what that takes.
fn fleet(count: usize) -> Vec<Netns> {
    let began = Instant::now();
    let spaces: Vec<Netns> = (0..count)
        .map(|_| Netns::scratch().expect("a namespace: is ulimit -n high enough?"))
        .collect();
    println!("\n{count} namespaces made in {:.1} s", began.elapsed().as_secs_f64());
    let memory = kernel_memory();
    let mut times: Vec<Duration> = spaces
        .iter()
        .enumerate()
        .map(|(number, space)| {
            let mut firewall = space.run(Firewall::open).expect("a socket");
            let began = Instant::now();
            firewall.shut(&guard("eth0", number)).expect("it is shut");
            began.elapsed()
        })
        .collect();
    let taken = kernel_memory().saturating_sub(memory);
    let tell = |what: &str, times: &mut [Duration]| {
        times.sort_unstable();
        let micros = |at: usize| times[at].as_secs_f64() * 1e6;
        let (middle, late) = (times.len() / 2, times.len() * 99 / 100);
        println!("{what:44}{:>9.0} us median{:>9.0} us p99", micros(middle), micros(late));
    };
    let tenth = (count / 10).max(1);
    tell("to shut a container, all of them", &mut times.clone());
    tell("the first tenth of them", &mut times[..tenth].to_vec());
    tell("the last tenth of them", &mut times[count - tenth..]);
    println!("{:44}{:>9.1} kB each", "the kernel's memory for it", taken as f64 / count as f64);
    let mut last = spaces[count - 1].run(Firewall::open).expect("a socket");
    let mut again = |what: &str, guards: [Guard; 2]| {
        let mut times: Vec<Duration> = (0..200)
            .map(|round| {
                let began = Instant::now();
                last.shut(&guards[round % 2]).expect("it is shut");
                began.elapsed()
            })
            .collect();
        tell(what, &mut times);
    };
    again("another client for one that is shut", [guard("eth0", 1), guard("eth0", 2)]);
    again("nothing to do", [guard("eth0", 1), guard("eth0", 1)]);
    println!();
    spaces
}

/// Kilobytes that the kernel uses for itself.
fn kernel_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    let of = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let counts = ["Slab", "Percpu", "VmallocUsed", "KernelStack"].contains(&name);
        rest.split_whitespace().next().filter(|_| counts)?.parse::<u64>().ok()
    };
    text.lines().filter_map(of).sum()
}

/// A client and a container with a veth pair between them.
struct Path {
    names: [String; 2],
    container: Netns,
    sender: UdpSocket,
    _receiver: UdpSocket,
    packets: usize,
}

impl Path {
    fn new(packets: usize) -> Path {
        let names = ["client", "container"].map(|end| format!("lpb{}-{end}", std::process::id()));
        for name in &names {
            ip(&format!("netns add {name}"));
        }
        let [here, there] = &names;
        ip(&format!("-n {here} link add eth0 type veth peer name eth0 netns {there}"));
        for (name, address) in [(here, client(0)), (there, "fd00::ffff".parse().expect("one"))] {
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} address add {address}/64 dev eth0 nodad"));
        }
        let open = |name: &str| Netns::open(format!("/run/netns/{name}").as_ref()).expect("it");
        let (client, container) = (open(here), open(there));
        let bind = || Ok(UdpSocket::bind("[::]:9").expect("a socket"));
        let (sender, receiver) = (client.run(bind), container.run(bind));
        let (sender, receiver) = (sender.expect("a socket"), receiver.expect("a socket"));
        sender.connect("[fd00::ffff]:9").expect("a destination");
        let path = Path { names, container, sender, _receiver: receiver, packets };
        // Until the neighbour is known.
        path.send(1);
        std::thread::sleep(Duration::from_secs(2));
        path.send(1);
        path
    }

    fn send(&self, count: usize) {
        for _ in 0..count {
            // What the container refuses comes back as an error of the next call; it refuses none.
            self.sender.send(&[0; 64]).expect("a packet is sent");
        }
    }

    /// Shuts the container for so many clients, the sender among them.
    fn shut(&self, clients: usize) {
        let mut firewall = self.container.run(Firewall::open).expect("a socket");
        firewall.shut(&guard("eth0", 0)).expect("it is shut");
        if clients > 1 {
            let mut text = String::from("add element inet leasepipe clients6 {");
            for number in 1..clients {
                text += &format!("if{number} . {},", client(number));
            }
            self.nft(&(text + "}\n"));
            let began = Instant::now();
            firewall.shut(&guard("one-more", clients)).expect("it is shut");
            println!("  one more beside {clients}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
        }
    }

    fn nft(&self, text: &str) {
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.names[1], "nft", "-f", "-"]).stdin(Stdio::piped());
        let mut nft = nft.spawn().expect("nft");
        nft.stdin.take().expect("piped").write_all(text.as_bytes()).expect("nft reads");
        assert!(nft.wait().expect("nft").success());
    }

    /// The same as a list of rules.
    fn list(&self, clients: usize) {
        let mut text = String::from(
            "table inet leasepipe { chain inward { type filter hook prerouting priority -150\n",
        );
        for number in (0..clients).rev() {
            text += &format!("iifname eth0 ip6 saddr {} accept\n", client(number));
        }
        text += "drop\n}\n}\n";
        self.nft(&text);
    }

    fn open(&self) {
        ip(&format!("netns exec {} nft delete table inet leasepipe", self.names[1]));
    }

    /// Measures and prints; nanoseconds a packet.
    fn row(&self, what: &str, free: Option<f64>) -> f64 {
        let time = |_| {
            let (began, mut sent) = (Instant::now(), 0);
            while sent < self.packets / ROUNDS && began.elapsed() < LONGEST {
                self.send(20);
                sent += 20;
            }
            began.elapsed().as_secs_f64() * 1e9 / sent as f64
        };
        let best = (0..ROUNDS).map(time).fold(f64::INFINITY, f64::min);
        println!("{what:44}{best:>9.0}{:>8.2}", best / free.unwrap_or(best));
        best
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&format!("netns del {name}"));
        }
    }
}

#[track_caller]
fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).status().expect("ip");
    assert!(done.success(), "ip {words}");
}
