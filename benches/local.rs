//! How fast containers are made and taken away on this machine's engine, beside what else does it.
//! Needs root, Docker and the image leasepipe/example; docker-compose is left out where it is missing.
//!
//!     cargo bench --bench local [-- COUNT...]
//!
//! COUNT (50 and 200) containers of one simple shape are made and started, and removed again, eight
//! at a time: by container-run, by bare calls of the engine's interface (create and start, over
//! connections that stay) from threads of this process, by `xargs docker run`, and by docker-compose,
//! which does as many at a time as it likes: told how many, some versions never end.
//! A round does all of them, and each is as often the first, the second, … of a round, so that all meet
//! the same machine. Medians of ROUNDS; `beside` is the rate beside that of the bare calls. `cpu` is
//! what the program itself used for each container, user's and kernel's, start included.
//!
//! Then container-watch looks at as many containers, with and without `--stats`, beside `docker stats`.

#[path = "local/api.rs"]
mod api;
#[path = "local/watch.rs"]
mod watch;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};

const IMAGE: &str = "leasepipe/example:latest";

/// What is worked on at the same time, by all of them.
const JOBS: usize = 8;

const ROUNDS: usize = 3;

/// Bare calls put it on their containers, with the name of the [`Site`].
const LABEL: &str = "lpbench";

/// Who makes and removes the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    ContainerRun,
    Xargs,
    Compose,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Bare => "bare calls",
            Way::ContainerRun => "container-run",
            Way::Xargs => "xargs docker run, rm",
            Way::Compose => "docker-compose up, down",
        }
    }
}

fn main() {
    if !nix::unistd::geteuid().is_root() || !succeeds("docker", &["image", "inspect", IMAGE]) {
        eprintln!("needs root, Docker and the image {IMAGE} (examples/image)");
        return;
    }
    let mut counts: Vec<usize> =
        std::env::args().filter_map(|word| word.parse().ok()).filter(|n| *n > 0).collect();
    if counts.is_empty() {
        counts = vec![50, 200];
    }
    let mut ways = vec![Way::Bare, Way::ContainerRun, Way::Xargs];
    match succeeds("docker-compose", &["version"]) {
        true => ways.push(Way::Compose),
        false => eprintln!("docker-compose is not installed"),
    }
    for count in &counts {
        race(*count, &ways);
    }
    watch::measure(counts.into_iter().max().unwrap_or(1));
}

/// What one of them took for one part of a round.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

fn race(count: usize, ways: &[Way]) {
    let mut makes: Vec<Vec<Took>> = vec![Vec::new(); ways.len()];
    let mut removes = makes.clone();
    for round in 0..ROUNDS {
        for at in 0..ways.len() {
            let at = (at + round) % ways.len();
            let site = Site::new(count, &format!("{round}-{at}"));
            makes[at].push(site.make(ways[at]));
            assert_eq!(site.running(), count, "{:?}", ways[at]);
            removes[at].push(site.remove(ways[at]));
            assert_eq!(site.there(), 0, "{:?}", ways[at]);
        }
    }
    println!("{count} containers, {JOBS} at a time, median of {ROUNDS}");
    println!("{:26}{:>9}{:>9}{:>9}{:>9}", "", "s", "a second", "beside", "cpu ms");
    for (what, times) in [("make and start", makes), ("remove", removes)] {
        println!("{what}");
        for (at, way) in ways.iter().enumerate() {
            let seconds = |took: &Took| took.wall.as_secs_f64();
            let wall = median(times[at].iter().map(seconds));
            let beside = median(times[0].iter().map(seconds)) / wall;
            let cpu = median(times[at].iter().map(|took| took.cpu.as_secs_f64() * 1e3));
            let cpu = match way {
                Way::Bare => String::new(),
                _ => format!("{:.2}", cpu / count as f64),
            };
            let rate = count as f64 / wall;
            println!("  {:24}{wall:>9.2}{rate:>9.2}{beside:>9.3}{cpu:>9}", way.name());
        }
    }
    println!();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The containers of one part of a round. They go when it is dropped, whatever has happened.
struct Site {
    prefix: String,
    names: Vec<String>,
    dir: PathBuf,
}

impl Site {
    fn new(count: usize, tag: &str) -> Site {
        let prefix = format!("lpbench{}-{tag}", std::process::id());
        let names = (0..count).map(|at| format!("{prefix}-{at}")).collect();
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&prefix);
        fs::create_dir_all(&dir).unwrap();
        Site { prefix, names, dir }
    }

    fn make(&self, way: Way) -> Took {
        match way {
            Way::Bare => timed(|| {
                api::for_each(JOBS, &self.names, |api, name| {
                    let host = json!({"NetworkMode": "none"});
                    let labels = json!({LABEL: self.prefix});
                    let body = json!({"Image": IMAGE, "Labels": labels, "HostConfig": host});
                    let path = format!("/containers/create?name={name}");
                    let made = api.call("POST", &path, &body.to_string(), 201);
                    let made: Value = serde_json::from_slice(&made).unwrap();
                    let id = made["Id"].as_str().unwrap();
                    api.call("POST", &format!("/containers/{id}/start"), "", 204);
                })
            }),
            Way::ContainerRun => self.container_run("add"),
            Way::Xargs => {
                let run = ["docker", "run", "-d", "--network", "none", "--name", "{}", IMAGE];
                self.xargs(&run)
            }
            Way::Compose => {
                let service = |name: &str| json!({"image": IMAGE, "network_mode": "none", "container_name": name});
                let services: serde_json::Map<String, Value> =
                    self.names.iter().map(|name| (name.clone(), service(name))).collect();
                let file = json!({"version": "2.4", "services": services});
                fs::write(self.dir.join("compose.json"), file.to_string()).unwrap();
                self.compose(&["up", "-d"])
            }
        }
    }

    fn remove(&self, way: Way) -> Took {
        match way {
            Way::Bare => timed(|| {
                api::for_each(JOBS, &self.names, |api, name| {
                    let path = format!("/containers/{name}?force=1&v=1");
                    api.call("DELETE", &path, "", 204);
                })
            }),
            Way::ContainerRun => self.container_run("remove"),
            Way::Xargs => self.xargs(&["docker", "rm", "-f", "-v", "{}"]),
            Way::Compose => self.compose(&["down", "-v", "-t", "0"]),
        }
    }

    fn container_run(&self, action: &str) -> Took {
        let input = self.dir.join("changes.json");
        let change = |name: &String| {
            let container = json!({"id": name, "image": IMAGE, "network_mode": "none"});
            format!("{}\n", json!({"kind": "change", "action": action, "container": container}))
        };
        fs::write(&input, self.names.iter().map(change).collect::<String>()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_container-run"));
        command.args(["--owner", "lpbench", "--per-host", &JOBS.to_string()]);
        run(command.stdin(File::open(input).unwrap()))
    }

    fn xargs(&self, words: &[&str]) -> Took {
        let input = self.dir.join("names");
        fs::write(&input, self.names.join("\n")).unwrap();
        let mut command = Command::new("xargs");
        command.args(["-P", &JOBS.to_string(), "-I", "{}"]).args(words);
        run(command.stdin(File::open(input).unwrap()))
    }

    fn compose(&self, words: &[&str]) -> Took {
        let mut command = Command::new("docker-compose");
        command.args(["-p", &self.prefix, "-f"]).arg(self.dir.join("compose.json")).args(words);
        run(command.stderr(Stdio::null()))
    }

    fn running(&self) -> usize {
        listed(&self.prefix, &["ps", "-q"]).len()
    }

    fn there(&self) -> usize {
        listed(&self.prefix, &["ps", "-aq"]).len()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let left = listed(&self.prefix, &["ps", "-aq"]);
        if !left.is_empty() {
            let _ = Command::new("docker").args(["rm", "-fv"]).args(left).output();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The ids of the containers whose names begin so.
fn listed(prefix: &str, words: &[&str]) -> Vec<String> {
    let filter = format!("name=^/{prefix}-");
    let output = Command::new("docker").args(words).args(["--filter", &filter]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Runs a command whose output goes nowhere; it must succeed.
fn run(command: &mut Command) -> Took {
    timed(|| {
        let status = command.stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
    })
}

/// How long it took, and how much of the processors the programs used that it ran.
fn timed(act: impl FnOnce()) -> Took {
    let (begun, before) = (Instant::now(), spent());
    act();
    Took { wall: begun.elapsed(), cpu: spent() - before }
}

/// The time of the processors that went to programs which this one started and which have ended.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let all = usage.user_time() + usage.system_time();
    Duration::from_micros(all.num_microseconds().try_into().unwrap())
}

fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}
