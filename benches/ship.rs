//! How fast an image comes to several hosts, beside `docker save | docker load`: between real engines,
//! each in namespaces of its own, over TCP. Needs root and dockerd.
//!
//!     cargo bench --bench ship [-- MB [ROUNDS]]
//!
//! The image has five layers of random bytes, MB (100) in all. `source s` is what the engine that has
//! it used of the processors, `MB sent` what came to all hosts; medians of ROUNDS (5). All engines
//! share this machine's processors, so what several do at the same time is slower here than on
//! machines of their own; in the third table each host is behind a slow cable, as one that is
//! elsewhere.

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Hosts, Namespace};
use serde_json::json;

/// The whole image, and another that differs from it in the topmost layer.
const APP: &str = "lpbench/app:1";
const NEXT: &str = "lpbench/app:2";

const LAYERS: usize = 5;

/// Hosts that the image goes to, at most; they are those behind the first.
const MOST: usize = 4;

/// What a slow cable carries, in megabits a second.
const CABLE: u64 = 200;

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let megabytes = numbers.next().unwrap_or(100).max(1);
    let rounds = numbers.next().unwrap_or(5).max(1);
    let Some(hosts) = Hosts::or_skip("the ship bench", 1 + MOST, &[]) else { return };
    let ground = Ground { source: hosts.socket(1), pids: pids(&hosts), hosts };
    ground.build(megabytes * 1_000_000 / LAYERS);

    head(&format!("the whole image, {megabytes} MB in {LAYERS} layers"));
    for count in [2, MOST] {
        let ways = [Way::InTurn, Way::Parallel, Way::Ship(None)];
        ground.table(APP, count, &ways, rounds, &|| ground.clear(&[APP]));
    }
    head("the hosts have all layers but the topmost");
    (2..2 + MOST).for_each(|host| ground.load(APP, host));
    let ways = [Way::InTurn, Way::Parallel, Way::Ship(None)];
    ground.table(NEXT, 2, &ways, rounds, &|| ground.clear(&[NEXT]));
    ground.clear(&[APP, NEXT]);

    head(&format!("the whole image, each host behind {CABLE} Mbit/s"));
    ground.slow_cables();
    for count in [1, 2, MOST] {
        let both = [Way::Parallel, Way::Ship(None)];
        ground.table(APP, count, &both, rounds.min(3), &|| ground.clear(&[APP]));
    }
    ground.fast_cables();
    head("the whole image with --rate, to all hosts together");
    for rate in [200, 800] {
        ground.table(APP, 2, &[Way::Ship(Some(rate))], rounds.min(3), &|| ground.clear(&[APP]));
    }
}

/// How the image gets to the hosts.
#[derive(Clone, Copy)]
enum Way {
    InTurn,
    Parallel,
    /// By image-ship, at so many megabits a second.
    Ship(Option<u64>),
}

impl Way {
    fn name(self) -> String {
        match self {
            Way::InTurn => "save | load, one by one".to_owned(),
            Way::Parallel => "save | load, in parallel".to_owned(),
            Way::Ship(None) => "image-ship".to_owned(),
            Way::Ship(Some(rate)) => format!("image-ship --rate {rate}mbit"),
        }
    }
}

fn head(what: &str) {
    println!("\n{what}");
    println!("{:34}{:>6}{:>9}{:>11}{:>10}{:>9}", "", "hosts", "s", "source s", "MB sent", "Mbit/s");
}

/// The engines: the first has the images.
struct Ground {
    hosts: Hosts,
    source: String,
    pids: Vec<String>,
}

/// What was seen of one way in one round.
#[derive(Clone, Copy)]
struct Seen {
    wall: f64,
    source: f64,
    megabytes: f64,
    /// While anything moved.
    megabits: f64,
}

impl Ground {
    /// Measures these ways in turn, round after round, and writes a line for each.
    fn table(&self, image: &str, count: usize, ways: &[Way], rounds: usize, clear: &dyn Fn()) {
        let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for (way, seen) in ways.iter().zip(&mut seen) {
                clear();
                seen.push(self.measure(image, count, *way));
            }
        }
        clear();
        for (way, seen) in ways.iter().zip(&seen) {
            let of = |field: fn(&Seen) -> f64| median(seen.iter().map(field));
            let (wall, source) = (of(|seen| seen.wall), of(|seen| seen.source));
            let (sent, rate) = (of(|seen| seen.megabytes), of(|seen| seen.megabits));
            let name = way.name();
            println!("{name:34}{count:>6}{wall:>9.2}{source:>11.2}{sent:>10.1}{rate:>9.0}");
        }
    }

    fn measure(&self, image: &str, count: usize, way: Way) -> Seen {
        let to: Vec<usize> = (2..2 + count).collect();
        let (cpu, before, begun) = (self.spent(), self.received(), Instant::now());
        let moved = std::thread::scope(|scope| {
            let work = scope.spawn(|| match way {
                Way::InTurn => to.iter().for_each(|host| self.load(image, *host)),
                Way::Parallel => std::thread::scope(|scope| {
                    to.iter().for_each(|host| drop(scope.spawn(|| self.load(image, *host))));
                }),
                Way::Ship(rate) => self.ship(image, &to, rate),
            });
            self.moves_until(|| work.is_finished())
        });
        let wall = begun.elapsed().as_secs_f64();
        let megabytes = (self.received() - before) as f64 / 1e6;
        let id = self.id(image, 1);
        to.iter().for_each(|host| assert_eq!(self.id(image, *host), id, "host {host}"));
        let source = self.spent() - cpu;
        Seen { wall, source, megabytes, megabits: megabytes * 8.0 / moved.as_secs_f64() }
    }

    fn load(&self, image: &str, host: usize) {
        let mut save = self.docker(1);
        let mut save = save.args(["save", image]).stdout(Stdio::piped()).spawn().unwrap();
        let mut load = Command::new("docker");
        load.args(["-H", &self.hosts.url(host), "load", "-q"]);
        let load = load.stdin(save.stdout.take().unwrap()).output().unwrap();
        assert!(load.status.success() && save.wait().unwrap().success());
    }

    fn ship(&self, image: &str, to: &[usize], rate: Option<u64>) {
        let host = |host: &usize| {
            let (id, url) = (host.to_string(), self.hosts.url(*host));
            format!("{}\n", json!({"kind": "host", "id": id, "url": url}))
        };
        let mut ship = Command::new(env!("CARGO_BIN_EXE_image-ship"));
        ship.args(["--insecure", "--from", &self.source, "--image", image]);
        ship.args(rate.map(|rate| format!("--rate={rate}mbit")));
        let pipes = ship.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut ship = pipes.spawn().unwrap();
        let records: String = to.iter().map(host).collect();
        ship.stdin.take().unwrap().write_all(records.as_bytes()).unwrap();
        assert!(ship.wait().unwrap().success());
    }

    /// How long bytes came to the hosts, from the first on to the last.
    fn moves_until(&self, is_over: impl Fn() -> bool) -> Duration {
        let (mut last, mut first, mut end) = (self.received(), None, Instant::now());
        while !is_over() {
            std::thread::sleep(Duration::from_millis(10));
            let now = self.received();
            // What is said about it is less than what it is.
            if now - last > 50_000 {
                end = Instant::now();
                first.get_or_insert(end);
            }
            last = now;
        }
        first.map_or(Duration::ZERO, |first| end - first)
    }

    /// Bytes that have come to all hosts but the first.
    fn received(&self) -> u64 {
        let of = |pid: &String| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
            let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        self.pids[1..].iter().map(|pid| of(pid).expect("the host's interface")).sum()
    }

    /// Seconds of the processors that the first host has used.
    fn spent(&self) -> f64 {
        let cgroup = self.hosts.name(1);
        let first = fs::read_to_string(format!("/sys/fs/cgroup/cpuacct/{cgroup}/cpuacct.usage"));
        if let Ok(nanoseconds) = first {
            return nanoseconds.trim().parse::<f64>().unwrap() / 1e9;
        }
        let stat = fs::read_to_string(format!("/sys/fs/cgroup/{cgroup}/cpu.stat")).unwrap();
        let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
        line.parse::<f64>().unwrap() / 1e6
    }

    /// Makes both images on the first host, of files with so many random bytes.
    fn build(&self, bytes: usize) {
        let dir = self.hosts.base().join("build");
        fs::create_dir_all(&dir).unwrap();
        let below: String = (1..LAYERS).map(|layer| format!("COPY {layer} /{layer}\n")).collect();
        for top in [APP, NEXT] {
            let name = top.replace(['/', ':'], "-");
            for file in (1..LAYERS).map(|layer| layer.to_string()).chain([name.clone()]) {
                if !dir.join(&file).exists() {
                    random(&dir.join(&file), bytes);
                }
            }
            let text = format!("FROM scratch\n{below}COPY {name} /top\nCMD [\"/none\"]\n");
            fs::write(dir.join("Dockerfile"), text).unwrap();
            let mut build = self.docker(1);
            build.env("DOCKER_BUILDKIT", "0").args(["build", "-q", "-t", top]);
            must(build.arg(&dir));
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    /// Takes images from all hosts but the first.
    fn clear(&self, images: &[&str]) {
        for host in 2..2 + MOST {
            for image in images.iter().filter(|image| self.id(image, host).is_some()) {
                must(self.docker(host).args(["image", "rm", "-f", image]));
            }
        }
    }

    fn id(&self, image: &str, host: usize) -> Option<String> {
        let mut inspect = self.docker(host);
        let output = inspect.args(["image", "inspect", "-f", "{{.Id}}", image]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    fn docker(&self, host: usize) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.hosts.socket(host)]);
        command
    }

    fn slow_cables(&self) {
        let rate = format!("{CABLE}mbit");
        self.cables(&["replace"], &["tbf", "rate", &rate, "burst", "1mb", "latency", "50ms"]);
    }

    fn fast_cables(&self) {
        self.cables(&["del"], &[]);
    }

    /// Says to `tc` what is to be so on the switch's end of each cable but the first host's.
    fn cables(&self, verb: &[&str], words: &[&str]) {
        let base = self.hosts.base().file_name().unwrap().to_string_lossy().into_owned();
        let switch = Namespace::left_behind(&format!("{base}-sw"));
        for host in 2..2 + MOST {
            let mut tc = switch.command("tc");
            tc.arg("qdisc").args(verb).args(["dev", &format!("h{host}"), "root"]).args(words);
            must(&mut tc);
        }
    }
}

/// Runs a command, which must succeed.
fn must(command: &mut Command) {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}

/// The first process of each host.
fn pids(hosts: &Hosts) -> Vec<String> {
    let pid = |host: usize| {
        let mut script =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/docker-hosts"));
        script.env("DOCKER_HOSTS_BASE", hosts.base()).args(["pid", &host.to_string()]);
        String::from_utf8(script.output().unwrap().stdout).unwrap().trim().to_owned()
    };
    (1..=1 + MOST).map(pid).collect()
}

fn random(path: &Path, bytes: usize) {
    let mut from = File::open("/dev/urandom").unwrap().take(bytes as u64);
    std::io::copy(&mut from, &mut File::create(path).unwrap()).unwrap();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
