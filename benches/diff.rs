//! How long cccf-diff takes to compare two fleets, and in how much memory: the real program on one
//! core, beside jq with an index and beside cat, which is the floor; and how fast records pass
//! through a filter.
//!
//!     cargo bench --bench diff [-- RUNS [CONTAINERS …]]
//!
//! Each time is the median of RUNS runs (3) of user and system time together: what the machine does
//! beside it counts little. Of what is wanted and what is there together nine in ten are on both
//! sides, one in twenty on either alone. jq is left out beyond 100,000 containers.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use leasepipe::logic::fleet::Fleet;

/// The indexed comparison, as the suite found it for jq; it takes lists for what they are in order.
const JQ: &str = "def k: to_entries|sort_by(.key)|tojson;
def ix(s): reduce s as $x ({}; .[$x|k]=true);
ix($c[0][]) as $ci | ix($w[0][]) as $wi
| {add:[$w[0][]|select($ci[k]|not)], remove:[$c[0][]|select($wi[k]|not)], keep:[$w[0][]|select($ci[k])]}
| map_values(length)";

/// Beyond so many, jq would take more memory than there is patience for.
const MOST_FOR_JQ: usize = 100_000;

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let runs = numbers.next().unwrap_or(3).max(1);
    let mut sizes: Vec<usize> = numbers.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 100_000, 1_000_000];
    }
    println!("two sides of N containers each, on one core, median of {runs}; goal at 1,000,000:");
    println!("4 s and 1200 MB; at 100,000: 30 times as fast as jq");
    println!(
        "{:>9}{:>8}{:>9}{:>9}{:>9}{:>9}{:>8}{:>9}{:>8}",
        "N", "B each", "cpu s", "us each", "peak MB", "cat s", "jq s", "jq MB", "ratio"
    );
    for count in sizes {
        let sides = Sides::write(count);
        compare(&sides, count, runs);
    }
    println!();
    println!("records that no stage acts on, through cccf-scale on one core; goal 300 MB/s");
    println!("{:>9}{:>9}{:>9}", "N", "cpu s", "MB/s");
    for count in [10_000, 100_000, 1_000_000] {
        pass_through(count, runs);
    }
}

/// Two files, one a line each.
struct Sides {
    wanted: PathBuf,
    current: PathBuf,
    bytes: u64,
}

impl Sides {
    fn write(count: usize) -> Sides {
        let [wanted, current] = ["wanted", "current"].map(|side| scratch(&format!("diff-{side}")));
        let open = |path: &Path| BufWriter::new(File::create(path).unwrap());
        let (mut to_wanted, mut to_current) = (open(&wanted), open(&current));
        let (mut wanted_count, mut current_count) = (0, 0);
        let mut fleet = Fleet::seeded(1);
        for number in 0.. {
            let (only_wanted, only_current) = (number % 20 == 0, number % 20 == 1);
            let is_wanted = !only_current && wanted_count < count;
            let is_there = !only_wanted && current_count < count;
            if wanted_count == count && current_count == count {
                break;
            }
            let mut container = fleet.container();
            container.owner = Some("edge".parse().unwrap());
            let mut line = serde_json::to_vec(&container).unwrap();
            line.push(b'\n');
            if is_wanted {
                to_wanted.write_all(&line).unwrap();
                wanted_count += 1;
            }
            if is_there {
                to_current.write_all(&line).unwrap();
                current_count += 1;
            }
        }
        to_wanted.flush().unwrap();
        to_current.flush().unwrap();
        let bytes = fs::metadata(&wanted).unwrap().len();
        Sides { wanted, current, bytes }
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.wanted);
        let _ = fs::remove_file(&self.current);
    }
}

fn compare(sides: &Sides, count: usize, runs: usize) {
    let diff = || {
        let mut command = on_one_core(env!("CARGO_BIN_EXE_cccf-diff"));
        command.arg("--current").arg(&sides.current).args(["--complete", "--force"]);
        command.stdin(File::open(&sides.wanted).unwrap());
        measure(command)
    };
    let cat = || {
        let mut command = on_one_core("cat");
        command.arg(&sides.wanted).arg(&sides.current);
        measure(command)
    };
    let jq = || {
        let mut command = on_one_core("jq");
        command.args(["-n", "--slurpfile", "w"]).arg(array_of(&sides.wanted));
        command.arg("--slurpfile").arg("c").arg(array_of(&sides.current)).arg(JQ);
        measure(command)
    };
    let (ours, floor) = (median(runs, diff), median(runs, cat));
    print!(
        "{count:>9}{:>8}{:>9.2}{:>9.2}{:>9.0}{:>9.3}",
        sides.bytes / count as u64,
        ours.seconds,
        ours.seconds * 1e6 / (2 * count) as f64,
        ours.peak_mb,
        floor.seconds
    );
    if count > MOST_FOR_JQ {
        return println!();
    }
    let theirs = median(1, jq);
    let ratio = theirs.seconds / ours.seconds;
    println!("{:>8.2}{:>9.0}{ratio:>8.0}", theirs.seconds, theirs.peak_mb);
}

/// The lines of a file as an array in another, for jq to take in one piece.
fn array_of(lines: &Path) -> PathBuf {
    let path = lines.with_extension("array");
    let text = fs::read_to_string(lines).unwrap();
    let list: Vec<&str> = text.lines().collect();
    fs::write(&path, format!("[{}]", list.join(",\n"))).unwrap();
    path
}

fn pass_through(count: usize, runs: usize) {
    let path = scratch("diff-pass");
    let mut to = BufWriter::new(File::create(&path).unwrap());
    for container in Fleet::seeded(2).take(count) {
        let text = serde_json::to_string(&container).unwrap();
        writeln!(to, "{{\"kind\":\"weather\",{}", &text[1..]).unwrap();
    }
    to.flush().unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    let ours = median(runs, || {
        let mut command = on_one_core(env!("CARGO_BIN_EXE_cccf-scale"));
        command.stdin(File::open(&path).unwrap());
        measure(command)
    });
    let rate = bytes as f64 / 1e6 / ours.seconds;
    println!("{count:>9}{:>9.2}{rate:>9.0}", ours.seconds);
    let _ = fs::remove_file(path);
}

/// What a run took.
#[derive(Clone, Copy)]
struct Taken {
    /// Of the processor, user and system.
    seconds: f64,
    peak_mb: f64,
}

fn median(runs: usize, mut run: impl FnMut() -> Taken) -> Taken {
    let mut all: Vec<Taken> = (0..runs).map(|_| run()).collect();
    all.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    all[runs / 2]
}

fn on_one_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]);
    command
}

#[allow(clippy::zombie_processes, reason = "wait4 waits for it")]
fn measure(mut command: Command) -> Taken {
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut status = 0;
    // SAFETY: both pointers are to values that live through the call.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<nix::libc::rusage>();
        nix::libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage);
        usage
    };
    assert_eq!(status, 0, "{command:?} failed");
    let seconds = |time: nix::libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Taken {
        seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_mb: usage.ru_maxrss as f64 / 1024.0,
    }
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"))
}
