//! container-run and docker-cccf with a thousand hosts.
//!
//!     cargo bench --bench hosts [-- HOSTS [EACH [PER-HOST [ALL]]]]
//!
//! There are HOSTS engines (1000) in this process, which are no engines but take their time: 25 ms
//! to make a container and 240 ms to start it, four at a time, as a real one does. Of one of them
//! each call takes four times as long. container-run makes EACH (100) containers on each, PER-HOST (4)
//! at a time, and ALL (1024, its own limit) on all hosts together; `slowest` is how long the slow one
//! would take alone if nothing else took any time.
//! Then docker-cccf lists all of them. This process and the program share the machine's processors.

#[path = "../tests/engine/crowd.rs"]
mod crowd;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crowd::{Crowd, Manner};
use serde_json::json;

/// Milliseconds to make and to start a container.
const CREATE: u64 = 25;
const START: u64 = 240;

/// How much longer the slow host takes for each.
const SLOW: u32 = 4;

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let hosts = numbers.next().unwrap_or(1_000).max(1);
    let each = numbers.next().unwrap_or(100).max(1);
    let per_host = numbers.next().unwrap_or(4).max(1);
    let all = numbers.next().unwrap_or(1_024).max(1);
    let manner = |at| Manner::slow(CREATE, START).times(if at == 0 { SLOW } else { 1 });
    let crowd = Crowd::new("bench", (0..hosts).map(manner).collect());
    let input = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-hosts.json");
    let mut text = String::new();
    for at in 0..hosts * each {
        let document = json!({"id": format!("c-{at}"), "image": "busybox", "network_mode": "none",
            "env": ["SITE=north", "LEVEL=info"], "memory": 67108864, "restart": "always",
            "host": crowd.host(at % hosts)});
        text += &format!("{document}\n");
    }
    fs::write(&input, text).unwrap();
    let turns = each.div_ceil(per_host.min(4)) as u64;
    let slowest = f64::from(SLOW) * (turns * (CREATE + START)) as f64 / 1e3;
    println!(
        "{:14}{:>9}{:>10}{:>10}{:>12}{:>9}",
        "", "wall s", "slowest", "cpu s", "ms each", "peak MB"
    );
    let run = env!("CARGO_BIN_EXE_container-run");
    let mut command = Command::new(run);
    command.args(["--concurrency", &all.to_string(), "--per-host", &per_host.to_string()]);
    let (wall, cpu, peak) = timed(&mut command, &input);
    assert!((0..hosts).all(|at| crowd.running(at).len() == each), "not every container is there");
    let ms = cpu * 1e3 / (hosts * each) as f64;
    println!("{:14}{wall:>9.1}{slowest:>10.1}{cpu:>10.1}{ms:>12.2}{peak:>9.0}", "container-run");

    let records: String = (0..hosts)
        .map(|at| {
            let mut host = crowd.host(at);
            host["kind"] = json!("host");
            format!("{host}\n")
        })
        .collect();
    let list = input.with_file_name("bench-hosts-list.json");
    fs::write(&list, records).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_docker-cccf"));
    let (wall, cpu, peak) = timed(command.arg("--hosts").arg(&list), &list);
    let ms = cpu * 1e3 / (hosts * each) as f64;
    println!("{:14}{wall:>9.1}{:>10}{cpu:>10.1}{ms:>12.2}{peak:>9.0}", "docker-cccf", "");
    for file in [input, list] {
        fs::remove_file(file).unwrap();
    }
}

/// Runs a command with this input, its output going nowhere: the time that it took, that of its
/// processors, and its greatest size in megabytes.
fn timed(command: &mut Command, input: &Path) -> (f64, f64, f64) {
    let begun = Instant::now();
    let mut child =
        command.stdin(File::open(input).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    let process = format!("/proc/{}", child.id());
    let (mut peak, mut cpu) = (0.0f64, 0.0f64);
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        peak = peak.max(size(&process));
        cpu = cpu.max(spent(&process));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success());
    (begun.elapsed().as_secs_f64(), cpu, peak)
}

/// The greatest size so far (`VmHWM` of proc_pid_status(5)) in megabytes.
fn size(process: &str) -> f64 {
    let text = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0 / 1e6
}

/// Seconds of the processors so far, the kernel's for it included (`utime` and `stime` of
/// proc_pid_stat(5), in hundredths on Linux).
fn spent(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = |at: usize| fields.split(' ').nth(at).and_then(|n| n.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}
