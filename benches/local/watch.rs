//! What it costs to watch containers, and to ask what they use.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Site, Way, spent};

/// How long each of them watches.
const WHILE: Duration = Duration::from_secs(20);

/// Watches so many containers, to which nothing happens.
pub fn measure(count: usize) {
    let site = Site::new(count, "watch");
    site.make(Way::Bare);
    let label = format!("--label={}={}", super::LABEL, site.prefix);
    println!("{count} containers watched for {} s", WHILE.as_secs());
    println!(
        "{:40}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "cpu ms", "samples", "ms each", "peak MB", "threads", "files"
    );
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_container-watch"));
        command.args(["--follow", &label]);
        command
    };
    let idle = row("container-watch --follow", &mut program(), None);
    for every in ["1s", "5s"] {
        let name = format!("container-watch --follow --stats {every}");
        row(&name, program().arg(format!("--stats={every}")), Some(idle));
    }
    let mut docker = Command::new("docker");
    docker.args(["stats", "--format", "{{json .}}"]).args(&site.names);
    row("docker stats (shown twice a second)", &mut docker, None);
}

/// What a program was seen to use.
#[derive(Clone, Copy, Default)]
struct Seen {
    peak_mb: f64,
    threads: f64,
    files: usize,
}

/// Measures one of them. What it uses beyond `idle` is that of its samples. Returns what it used.
fn row(name: &str, command: &mut Command, idle: Option<f64>) -> f64 {
    let before = spent();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let counter = std::thread::spawn(move || {
        let stats = |line: &String| line.contains("\"what\":\"stats\"");
        lines.map_while(Result::ok).filter(stats).count()
    });
    let seen = look(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let cpu = (spent() - before).as_secs_f64() * 1e3;
    let samples = counter.join().unwrap();
    let (told, each) = match idle {
        Some(idle) => (samples.to_string(), format!("{:.2}", (cpu - idle) / samples as f64)),
        None => Default::default(),
    };
    let Seen { peak_mb, threads, files } = seen;
    println!("{name:40}{cpu:>9.0}{told:>9}{each:>9}{peak_mb:>9.1}{threads:>9}{files:>9}");
    cpu
}

/// Looks at a program while it runs, and returns the most that was seen.
fn look(child: &mut Child) -> Seen {
    let begun = Instant::now();
    let process = format!("/proc/{}", child.id());
    let mut most = Seen::default();
    while begun.elapsed() < WHILE {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        };
        let files = fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count);
        most = Seen {
            peak_mb: most.peak_mb.max(number("VmHWM:").unwrap_or(0.0) * 1024.0 / 1e6),
            threads: most.threads.max(number("Threads:").unwrap_or(0.0)),
            files: most.files.max(files),
        };
        std::thread::sleep(Duration::from_millis(50));
    }
    most
}
