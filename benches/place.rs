//! How fast cccf-host places containers, how that grows, and how few hosts it packs them on.
//!
//!     cargo bench --bench place [-- RUNS [CONTAINERS]]
//!
//! Each time is the median of RUNS runs (3). `library` is the placement alone, `program` the whole
//! of cccf-host from a file to /dev/null, and `cat` the same file read by cat. There is a host for
//! every 100 containers, with cpus, memory and a label; every container needs cpus and memory and
//! has one constraint.
//!
//! The second table is the number of hosts used over the lower bound (the sum of what is needed over
//! what a host has, for the resource that is scarcest), the mean of SEEDS instances of each kind,
//! beside first-fit-decreasing by the sum and by the product of the shares, and beside filling one
//! host after the other with what is most like the room left (dot). `cut` are full hosts cut up at
//! random places, `even` are full hosts cut into nearly equal parts: there the bound is the optimum.
//! `trace` has sizes as they are in published traces of clusters: most are small, a few are very
//! large (log-normal), and cpus and memory go together, though not closely.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use leasepipe::logic::place::{How, Outcome, Placer, Strategy, Verdict};
use leasepipe::random::Random;
use leasepipe::record::{Action, Change, Container, Host};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cccf-host");

/// Instances of each kind.
const SEEDS: u64 = 5;

/// What a host has of each resource in the instances.
const WHOLE: u64 = 100_000;

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let runs = numbers.next().unwrap_or(3).max(1);
    let most = numbers.next().unwrap_or(1_000_000);
    println!("placements, median of {runs}; goal 300000 a second by the program");
    println!(
        "{:12}{:>9}{:>7}{:>13}{:>13}{:>8}{:>8}{:>9}{:>9}",
        "", "n", "hosts", "library ns", "program /s", "wall s", "user s", "cat s", "peak MB"
    );
    for strategy in ["least-busy", "spread", "binpack"] {
        for count in [10_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= most) {
            growth(strategy, count, runs);
        }
    }
    println!();
    println!("hosts used / lower bound, mean of {SEEDS} instances");
    println!(
        "{:24}{:>7}{:>9}{:>9}{:>9}{:>9}{:>8}",
        "", "bound", "sum", "product", "dot", "binpack", "s"
    );
    let mut all = Vec::new();
    for family in families() {
        all.push(quality(&family));
    }
    let mean = |at: usize| all.iter().map(|row| row[at]).sum::<f64>() / all.len() as f64;
    print!("{:31}", "mean");
    (0..4).for_each(|at| print!("{:>9.4}", mean(at)));
    println!();
}

fn host(at: usize) -> String {
    format!(
        r#"{{"kind":"host","id":"host-{at}","url":"tcp://host-{at}:2376","labels":{{"zone":"z{}"}},"capacity":{{"cpus":64,"memory":"256g"}}}}"#,
        at % 4
    )
}

fn container(at: usize, random: &mut Random) -> String {
    let cpus = 50 + random.below(10) * random.below(100);
    let memory = 64 + random.below(60) * random.below(60);
    format!(
        r#"{{"id":"app-{at}","image":"registry.example.net/team/app:1.{}","env":["A=1","NAME=app-{at}"],"cpus":{}.{:03},"memory":"{memory}m","requires":{{"constraints":["zone=z{}"]}},"owner":"edge"}}"#,
        at % 7,
        cpus / 1000,
        cpus % 1000,
        at % 4,
    )
}

fn growth(strategy: &str, count: usize, runs: usize) {
    let hosts = count / 100;
    let library = library(strategy, count, hosts);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (list, input) = (dir.join("bench-hosts"), dir.join("bench-adds"));
    let lines: Vec<String> = (0..hosts).map(host).collect();
    fs::write(&list, lines.join("\n")).unwrap();
    write_input(&input, count);
    let (mut wall, mut user, mut cat) = (Vec::new(), Vec::new(), Vec::new());
    let mut peak = 0.0f64;
    for _ in 0..runs {
        let mut command = Command::new(PROGRAM);
        command.args(["--strategy", strategy, "--hosts"]).arg(&list);
        let (seconds, cpu, memory) = timed(&mut command, &input);
        wall.push(seconds);
        user.push(cpu);
        peak = peak.max(memory);
        cat.push(timed(&mut Command::new("cat"), &input).0);
    }
    let (wall, user, cat) = (median(&mut wall), median(&mut user), median(&mut cat));
    println!(
        "{strategy:12}{count:>9}{hosts:>7}{library:>13.0}{:>13.0}{wall:>8.2}{user:>8.2}{cat:>9.2}{peak:>9.0}",
        count as f64 / wall,
    );
    fs::remove_file(list).unwrap();
    fs::remove_file(input).unwrap();
}

fn write_input(path: &PathBuf, count: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut random = Random::seeded(1);
    for at in 0..count {
        let container = container(at, &mut random);
        writeln!(file, r#"{{"kind":"change","action":"add","container":{container}}}"#).unwrap();
    }
    writeln!(file, r#"{{"kind":"checkpoint","of":"change","count":{count}}}"#).unwrap();
    file.into_inner().unwrap();
}

/// Nanoseconds for each placement, without reading and writing.
fn library(strategy: &str, count: usize, hosts: usize) -> f64 {
    let hosts: Vec<Host> = (0..hosts).map(|at| serde_json::from_str(&host(at)).unwrap()).collect();
    let how = How { strategy: strategy.parse().unwrap(), ..How::default() };
    let mut placer = Placer::new(hosts, how).unwrap();
    let mut random = Random::seeded(1);
    let (mut spent, mut placed) = (std::time::Duration::ZERO, 0);
    let all: Vec<usize> = (0..count).collect();
    for portion in all.chunks(5_000) {
        let parse = |at: &usize| {
            let container: Container = serde_json::from_str(&container(*at, &mut random)).unwrap();
            Change::new(Action::Add, container)
        };
        let mut changes: Vec<Change> = portion.iter().map(parse).collect();
        let begun = Instant::now();
        let outcomes = changes.iter_mut().map(|change| placer.change(change));
        placed += outcomes.filter(|outcome| *outcome == Outcome::Done).count();
        spent += begun.elapsed();
    }
    let begun = Instant::now();
    let verdicts = placer.settle(true);
    spent += begun.elapsed();
    placed += verdicts.iter().filter(|verdict| matches!(verdict, Verdict::On(_))).count();
    assert_eq!(placed, count, "all fit");
    spent.as_nanos() as f64 / count as f64
}

/// Runs a command with this input, its output going nowhere: the time that it took, that of its
/// processors in user mode, and its greatest size in megabytes.
fn timed(command: &mut Command, input: &Path) -> (f64, f64, f64) {
    let begun = Instant::now();
    let before = children();
    let mut child =
        command.stdin(File::open(input).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        peak = peak.max(size(&status));
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert!(ended.success());
    (begun.elapsed().as_secs_f64(), children() - before, peak)
}

/// The greatest size so far (`VmHWM` of proc_pid_status(5)) in megabytes.
fn size(status: &str) -> f64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0 / 1e6
}

/// Seconds that the processes which have ended spent in user mode (`cutime` of proc_pid_stat(5), in
/// hundredths on Linux).
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(13).unwrap().parse::<f64>().unwrap() / 100.0
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What each item takes of each resource.
type Items = Vec<Vec<u64>>;

struct Family {
    name: String,
    make: Box<dyn Fn(&mut Random) -> Items>,
}

fn families() -> Vec<Family> {
    let mut all = Vec::new();
    let mut family = |name: String, make: Box<dyn Fn(&mut Random) -> Items>| {
        all.push(Family { name, make });
    };
    for (bins, width, parts) in
        [(50, 2, 3..=6), (200, 2, 3..=6), (200, 2, 6..=14), (200, 3, 4..=8), (1000, 2, 4..=8)]
    {
        let name = format!("cut {bins}, {width}d, {}-{}", parts.start(), parts.end());
        family(
            name,
            Box::new(move |random| {
                let many =
                    |random: &mut Random| parts.start() + random.below(parts.clone().count());
                cut(random, bins, width, many, |random| random.below(1_000_000) as f64, true)
            }),
        );
    }
    for (bins, width, parts) in [(200, 2, 3), (200, 2, 5), (100, 3, 5), (200, 2, 10)] {
        family(
            format!("even {bins}, {width}d, {parts}"),
            Box::new(move |random| {
                cut(
                    random,
                    bins,
                    width,
                    |_| parts,
                    |random| 300.0 + random.below(1000) as f64,
                    false,
                )
            }),
        );
    }
    for (items, width, scale) in
        [(500, 2, 0.03), (2000, 2, 0.03), (10_000, 2, 0.03), (2000, 3, 0.03), (10_000, 3, 0.01)]
    {
        family(
            format!("trace {items}, {width}d, {scale}"),
            Box::new(move |random| (0..items).map(|_| sizes(random, width, scale)).collect()),
        );
    }
    all
}

/// Full hosts in parts, as many as `many` says. The parts are the lengths between cuts at random
/// places, or shares of the weights drawn.
fn cut(
    random: &mut Random,
    bins: usize,
    width: usize,
    many: impl Fn(&mut Random) -> usize,
    weight: impl Fn(&mut Random) -> f64,
    at_places: bool,
) -> Items {
    let mut items = Items::new();
    for _ in 0..bins {
        let parts = many(random);
        let mut some = vec![Vec::new(); parts];
        for _ in 0..width {
            let mut drawn: Vec<f64> = (0..parts).map(|_| weight(random)).collect();
            if at_places {
                drawn.sort_by(f64::total_cmp);
                let last = drawn[parts - 1];
                for at in (1..parts).rev() {
                    drawn[at] -= drawn[at - 1];
                }
                drawn[0] += 1_000_000.0 - last;
            }
            let sum: f64 = drawn.iter().sum();
            let mut left = WHOLE;
            for (at, drawn) in drawn.iter().enumerate() {
                let part = (drawn / sum * WHOLE as f64) as u64;
                let part = if at + 1 == parts { left } else { part.min(left) };
                left -= part;
                some[at].push(part);
            }
        }
        items.extend(some);
    }
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at + 1));
    }
    items
}

/// Sizes that are log-normal and go together, at most nine tenths of a host.
fn sizes(random: &mut Random, width: usize, scale: f64) -> Vec<u64> {
    let both = normal(random);
    let one = |random: &mut Random| {
        let size = scale * (0.7 * both + 0.7 * normal(random)).exp();
        ((size.min(0.9) * WHOLE as f64) as u64).max(50)
    };
    (0..width).map(|_| one(random)).collect()
}

/// About normal: the sum of twelve numbers between 0 and 1, less 6.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.below(1 << 30) as f64 / f64::from(1 << 30)).sum::<f64>() - 6.0
}

fn quality(family: &Family) -> [f64; 4] {
    let mut shares = [0.0; 4];
    let (mut bounds, mut seconds) = (0, 0.0);
    for seed in 1..=SEEDS {
        let items = (family.make)(&mut Random::seeded(seed));
        let width = items[0].len();
        let total = |r: usize| items.iter().map(|item| item[r]).sum::<u64>();
        let bound = (0..width).map(|r| total(r).div_ceil(WHOLE)).max().unwrap();
        let begun = Instant::now();
        let ours = packed(&items);
        seconds += begun.elapsed().as_secs_f64();
        let sum = |item: &[u64]| item.iter().map(|size| *size as f64).sum();
        let product = |item: &[u64]| item.iter().map(|size| *size as f64 + 1.0).product();
        let all = [first_fit(&items, sum), first_fit(&items, product), dot(&items), ours];
        for (share, hosts) in shares.iter_mut().zip(all) {
            *share += hosts as f64 / bound as f64 / SEEDS as f64;
        }
        bounds += bound;
    }
    print!("{:24}{:>7}", family.name, bounds / SEEDS);
    shares.iter().for_each(|share| print!("{share:>9.4}"));
    println!("{:>8.2}", seconds / SEEDS as f64);
    shares
}

/// How many hosts the placer uses.
fn packed(items: &Items) -> usize {
    let names = ["cpus", "memory", "disk"];
    let of = |amounts: Vec<String>| amounts.join(",");
    let width = items[0].len();
    let amounts = |sizes: &[u64]| {
        of(sizes.iter().zip(names).map(|(size, name)| format!("\"{name}\":{size}")).collect())
    };
    let host = |at: usize| {
        let capacity = amounts(&vec![WHOLE; width]);
        let text = format!(r#"{{"id":"{at}","url":"tcp://{at}","capacity":{{{capacity}}}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let how = How { strategy: Strategy::Binpack, ..How::default() };
    let mut placer = Placer::new((0..items.len()).map(host).collect(), how).unwrap();
    for (at, item) in items.iter().enumerate() {
        let needs = amounts(item);
        let text = format!(r#"{{"id":"{at}","image":"i","requires":{{"resources":{{{needs}}}}}}}"#);
        let mut container: Container = serde_json::from_str(&text).unwrap();
        assert_eq!(placer.container(&mut container), Outcome::Waits);
    }
    let mut free = vec![vec![WHOLE; width]; items.len()];
    let mut used = vec![false; items.len()];
    for (verdict, item) in placer.settle(true).into_iter().zip(items) {
        let Verdict::On(host) = verdict else { panic!("{verdict:?}") };
        let at: usize = placer.host(host).id.parse().unwrap();
        used[at] = true;
        for (free, size) in free[at].iter_mut().zip(item) {
            *free = free.checked_sub(*size).expect("there is room");
        }
    }
    used.into_iter().filter(|used| *used).count()
}

fn first_fit(items: &Items, size: impl Fn(&[u64]) -> f64) -> usize {
    let mut sorted: Vec<&Vec<u64>> = items.iter().collect();
    sorted.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let mut bins: Vec<Vec<u64>> = Vec::new();
    for item in sorted {
        let fits = |bin: &&mut Vec<u64>| bin.iter().zip(item).all(|(free, size)| free >= size);
        match bins.iter_mut().find(fits) {
            Some(bin) => bin.iter_mut().zip(item).for_each(|(free, size)| *free -= size),
            None => bins.push(item.iter().map(|size| WHOLE - size).collect()),
        }
    }
    bins.len()
}

/// One host after the other, each time with the item that has the greatest inner product with what
/// is left, weighted by what is asked for of each resource.
fn dot(items: &Items) -> usize {
    let width = items[0].len();
    let weight: Vec<f64> = (0..width)
        .map(|r| items.iter().map(|item| item[r] as f64).sum::<f64>() / items.len() as f64)
        .collect();
    let mut left: Vec<&Vec<u64>> = items.iter().collect();
    let mut bins = 0;
    while !left.is_empty() {
        bins += 1;
        let mut room = vec![WHOLE; width];
        loop {
            let fits = |item: &Vec<u64>| item.iter().zip(&room).all(|(size, room)| size <= room);
            let alike = |item: &Vec<u64>| -> f64 {
                (0..width).map(|r| weight[r] * item[r] as f64 * room[r] as f64).sum()
            };
            let best = (0..left.len())
                .filter(|at| fits(left[*at]))
                .max_by(|a, b| alike(left[*a]).total_cmp(&alike(left[*b])));
            let Some(best) = best else { break };
            room.iter_mut().zip(left[best]).for_each(|(room, size)| *room -= size);
            left.swap_remove(best);
        }
    }
    bins
}
