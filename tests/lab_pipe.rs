//! The whole pipe, as `examples/pipe` runs it, on a real dnsmasq and a real Docker.

mod lab;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Client, Docker, Done, Lab, PATIENCE, Running, bin};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The machine of one test: clients on `br0`, containers on `br1`, and an owner of its own.
struct World {
    pipe: Option<Pipe>,
    docker: Docker,
    lab: Lab,
}

impl World {
    fn or_skip(test: &str) -> Option<World> {
        let mut lab = Lab::or_skip(test)?;
        let docker = Docker::or_skip(test)?;
        lab.bridge("br0");
        lab.bridge("br1");
        lab.dnsmasq("br0", "fd00:aa::/64", &[]);
        lab.dnsmasq("br1", "fd00:bb::/64", &[]);
        let world = World { pipe: None, docker, lab };
        let template = serde_json::json!({
            "id": world.docker.owner(),
            "image": lab::IMAGE,
            "owner": world.docker.owner(),
            "env": ["CLIENT=${lease.address}"],
        });
        fs::write(world.file("app.json"), template.to_string()).expect("write the template");
        Some(world)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.dir().join(name)
    }

    fn leases(&mut self) -> PathBuf {
        self.lab.server("br0").leases()
    }

    fn hosts(&mut self) -> PathBuf {
        self.lab.server("br1").hosts()
    }

    /// `examples/pipe` over this lease file, in a process group of its own.
    fn command(&mut self, leases: &Path) -> Command {
        let programs = Path::new(bin!("lease-watch")).parent().expect("a directory");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/pipe");
        let mut command = self.lab.command(script);
        command
            .env("PATH", path)
            .env("LEASEPIPE_SOURCE", format!("dnsmasq:{}", leases.display()))
            .env("LEASEPIPE_HOSTSDIR", self.hosts())
            .env("LEASEPIPE_TEMPLATE", self.file("app.json"))
            .env("LEASEPIPE_OWNER", self.docker.owner())
            .env("LEASEPIPE_STATE", self.file("state"))
            .process_group(0);
        command
    }

    /// Starts the pipe, following the leases of dnsmasq.
    fn follow(&mut self) {
        let leases = self.leases();
        let running = Running::start(self.command(&leases).arg("--follow"));
        self.pipe = Some(Pipe { running });
    }

    /// Runs the pipe once over a lease file.
    #[track_caller]
    fn once(&mut self, leases: &Path) -> Done {
        Running::start(&mut self.command(leases)).finish()
    }

    /// Kills all programs of the pipe.
    fn kill(&mut self) {
        self.pipe = None;
    }

    /// The containers by the client's address that they were made for.
    fn containers(&self) -> BTreeMap<String, String> {
        let client_of = |name: &String| {
            let env = self.docker.look(name, "{{range .Config.Env}}{{println .}}{{end}}")?;
            env.lines().find_map(|line| line.strip_prefix("CLIENT=").map(str::to_owned))
        };
        let names = self.docker.names().into_iter();
        names.map(|name| (client_of(&name).unwrap_or_default(), name)).collect()
    }

    /// The address that dnsmasq has leased to a container, as the kernel has it.
    fn address(&self, container: &str) -> Option<IpAddr> {
        let netns = self.docker.look(container, "{{.NetworkSettings.SandboxKey}}")?;
        let mut ip = Command::new("nsenter");
        ip.arg(format!("--net={netns}")).args(["ip", "-6", "-oneline", "address", "show"]);
        let out = String::from_utf8(ip.output().ok()?.stdout).ok()?;
        let leased = out.split_whitespace().find(|word| word.starts_with("fd00:bb::"))?;
        leased.split('/').next()?.parse().ok()
    }

    /// Whether the client's container answers it.
    fn serves(&self, client: &Client) -> bool {
        let of = client.address().map(|address| address.to_string()).unwrap_or_default();
        let container = self.containers().remove(&of);
        let address = container.and_then(|name| self.address(&name));
        address.is_some_and(|address| client.ping(address).is_some())
    }

    /// The ports of `br1` that unionize has made.
    fn links(&self) -> usize {
        let ports = self.lab.ip("-oneline link show master br1");
        ports.lines().filter(|line| !line.contains("stub")).count()
    }

    /// The reservations in the directory of the dnsmasq on `br1`. A file that reserves no address
    /// ends one.
    fn reservations(&mut self) -> usize {
        let files = fs::read_dir(self.hosts()).expect("the reservations").flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        texts.filter(|text| text.contains("[fd00:")).count()
    }

    fn attachments(&self) -> usize {
        let files = fs::read_dir(self.file("state/attachments")).into_iter().flatten().flatten();
        files.filter(|file| file.file_name() != ".lock").count()
    }

    /// The bindings in the ledger that still hold; none before there is a ledger.
    fn open_bindings(&self) -> usize {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let ledger = rusqlite::Connection::open_with_flags(self.file("state/ledger.db"), flags);
        let count = "select count(*) from bindings where bound_until is null";
        let count =
            ledger.and_then(|ledger| ledger.query_row(count, [], |row| row.get::<_, u32>(0)));
        count.unwrap_or(0) as usize
    }

    /// How many there are of each thing that the pipe makes for a client.
    fn made(&mut self) -> Made {
        Made {
            containers: self.docker.names().len(),
            links: self.links(),
            reservations: self.reservations(),
            attachments: self.attachments(),
            open_bindings: self.open_bindings(),
            leases: self.lab.server("br1").lease_count(),
        }
    }

    /// Waits until these clients are served and nothing is there for anybody else.
    #[track_caller]
    fn settles(&mut self, clients: &[&Client]) {
        let want = Made::for_each_of(clients.len());
        let end = Instant::now() + PATIENCE;
        loop {
            let made = self.made();
            let served = clients.iter().filter(|client| self.serves(client)).count();
            if made == want && served == clients.len() {
                return;
            }
            if Instant::now() > end {
                let said = self.pipe.take().map(|mut pipe| pipe.running.stop()).unwrap_or_default();
                panic!("{served} of {} are served, {made:?}; the pipe said: {said}", clients.len());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How many there are of each thing that the pipe makes for a client.
#[derive(Debug, PartialEq)]
struct Made {
    containers: usize,
    links: usize,
    reservations: usize,
    attachments: usize,
    open_bindings: usize,
    leases: usize,
}

impl Made {
    fn for_each_of(clients: usize) -> Made {
        Made {
            containers: clients,
            links: clients,
            reservations: clients,
            attachments: clients,
            open_bindings: clients,
            leases: clients,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The engine may still be making what the killed pipe had asked for.
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// A running pipe: a process group. Dropping it kills all of its programs.
struct Pipe {
    running: Running,
}

impl Pipe {
    fn group(&self) -> Pid {
        Pid::from_raw(self.running.pid() as i32)
    }

    /// The process id of one of its programs.
    fn program(&self, name: &str) -> Option<Pid> {
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.map(Pid::from_raw).find(|&pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            comm.trim_end() == name && nix::unistd::getpgid(Some(pid)) == Ok(self.group())
        })
    }
}

#[test]
fn a_container_comes_and_goes_with_its_lease() {
    let Some(mut world) = World::or_skip("a_container_comes_and_goes_with_its_lease") else {
        return;
    };
    let mut alice = world.lab.client("br0", "alice");
    let mut bob = world.lab.client("br0", "bob");
    alice.lease(); // before the pipe starts: it is listed
    world.follow();
    world.settles(&[&alice]);
    bob.lease(); // afterwards: it is followed
    world.settles(&[&alice, &bob]);

    let page = alice.get(world.address(&world.docker.names()[0]).expect("an address"));
    assert!(page.expect("a page").contains("leasepipe example"));

    alice.release();
    world.settles(&[&bob]);
    bob.release();
    world.settles(&[]);
    assert!(world.pipe.as_ref().is_some_and(|pipe| pipe.program("unionize").is_some()));
}

#[test]
fn one_run_makes_it_so_and_ends() {
    let Some(mut world) = World::or_skip("one_run_makes_it_so_and_ends") else { return };
    let mut alice = world.lab.client("br0", "alice");
    alice.lease();
    let leases = world.leases();
    let done = world.once(&leases);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert!(done.records().iter().any(|record| record["kind"] == "binding"), "{done:?}");
    world.settles(&[&alice]);

    let before = world.docker.inspect(&world.docker.names()[0], "{{.Id}} {{.State.StartedAt}}");
    let done = world.once(&leases);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    world.settles(&[&alice]);
    let after = world.docker.inspect(&world.docker.names()[0], "{{.Id}} {{.State.StartedAt}}");
    assert_eq!(before, after, "a second run changes nothing");

    alice.release();
    let done = world.once(&leases);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    world.settles(&[]);
}

#[test]
fn a_container_that_is_killed_comes_back() {
    let Some(mut world) = World::or_skip("a_container_that_is_killed_comes_back") else { return };
    let mut alice = world.lab.client("br0", "alice");
    alice.lease();
    world.follow();
    world.settles(&[&alice]);
    let name = world.docker.names().remove(0);
    let address = world.address(&name);
    world.docker.docker(&["kill", &name]);
    world.settles(&[&alice]);
    assert_eq!(world.address(&name), address, "with the address that it had");
    world.docker.docker(&["rm", "-f", &name]);
    world.settles(&[&alice]);
    assert_eq!(world.address(&name), address, "with the address that it had");
    // Docker gives a container that it starts again a new network namespace, with nothing in it.
    world.docker.docker(&["restart", "--time", "0", &name]);
    world.settles(&[&alice]);
    assert_eq!(world.address(&name), address, "with the address that it had");
}

#[test]
fn a_pipe_that_loses_a_program_ends() {
    let Some(mut world) = World::or_skip("a_pipe_that_loses_a_program_ends") else { return };
    let mut alice = world.lab.client("br0", "alice");
    alice.lease();
    for victim in PROGRAMS {
        world.follow();
        world.settles(&[&alice]);
        let mut pipe = world.pipe.take().expect("it runs");
        kill(pipe.program(victim).expect(victim), Signal::SIGKILL).expect("kill it");
        pipe.running.close();
        pipe.running.wait();
    }
}

/// Numbers that differ from run to run; the first is told, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn throw() -> Dice {
        let seed = std::env::var("LEASEPIPE_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64;
        let seed = seed.unwrap_or_else(now);
        eprintln!("LEASEPIPE_SEED={seed}");
        Dice(seed)
    }

    /// SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

#[test]
fn any_program_may_be_killed_at_any_point() {
    let Some(mut world) = World::or_skip("any_program_may_be_killed_at_any_point") else { return };
    let mut dice = Dice::throw();
    let mut alice = world.lab.client("br0", "alice");
    let mut bob = world.lab.client("br0", "bob");
    alice.lease();
    let programs = ["container-run", "unionize", "lease-bind", "cccf-diff", "lease-watch"];
    let mut killed = 0;
    for round in 0..2 {
        for victim in programs {
            world.follow();
            if bob.address().is_some() {
                bob.release();
            } else {
                bob.lease();
            }
            let delay = Duration::from_millis(dice.below(if round == 0 { 150 } else { 700 }));
            std::thread::sleep(delay);
            let pid = world.pipe.as_ref().and_then(|pipe| pipe.program(victim));
            if let Some(pid) = pid {
                kill(pid, Signal::SIGKILL).expect("kill it");
                killed += 1;
            }
            std::thread::sleep(Duration::from_millis(dice.below(100)));
            world.kill();
            eprintln!("round {round}: {victim} killed after {delay:?}");

            world.follow();
            match bob.address() {
                Some(_) => world.settles(&[&alice, &bob]),
                None => world.settles(&[&alice]),
            }
            world.kill();
        }
    }
    assert!(killed >= programs.len(), "{killed} were killed, the others not yet started");
}

#[test]
fn what_others_made_stays_as_it_is() {
    let Some(mut world) = World::or_skip("what_others_made_stays_as_it_is") else { return };
    let container = world.docker.bystander("bystander");
    world.lab.bridge("br9");
    let other = world.hosts().join("router");
    fs::write(&other, "02:00:00:00:00:99,[fd00:bb::99],router\n").expect("a reservation");
    let facts = |world: &World| {
        let format = "{{.Id}} {{.State.StartedAt}} {{.NetworkSettings.SandboxKey}}";
        (
            world.docker.inspect(&container, format),
            world.lab.ip("-brief link show master br9"),
            world.lab.ip("-brief address show dev br1"),
            fs::read_to_string(&other).expect("the reservation"),
        )
    };
    let before = facts(&world);
    let mut alice = world.lab.client("br0", "alice");
    alice.lease();
    let leases = world.leases();
    assert_eq!(world.once(&leases).status, Some(0));
    assert_eq!(world.reservations(), 2);
    alice.release();
    assert_eq!(world.once(&leases).status, Some(0));
    assert_eq!(world.docker.names().len(), 0);
    assert_eq!(facts(&world), before);
}

#[test]
fn an_empty_or_torn_lease_file_removes_nothing() {
    let Some(mut world) = World::or_skip("an_empty_or_torn_lease_file_removes_nothing") else {
        return;
    };
    let mut alice = world.lab.client("br0", "alice");
    let mut bob = world.lab.client("br0", "bob");
    alice.lease();
    bob.lease();
    let whole = fs::read_to_string(world.leases()).expect("the lease file");
    let copy = world.file("copy.leases");
    fs::write(&copy, &whole).expect("a copy");
    assert_eq!(world.once(&copy).status, Some(0));
    world.settles(&[&alice, &bob]);

    let torn = whole.len() - 9;
    for (what, text) in [("empty", ""), ("torn", &whole[..torn])] {
        fs::write(&copy, text).expect("a bad copy");
        let done = world.once(&copy);
        assert_ne!(done.status, Some(0), "{what}: {done:?}");
        world.settles(&[&alice, &bob]);
    }
    fs::remove_file(&copy).expect("no file at all");
    let done = world.once(&copy);
    assert_ne!(done.status, Some(0), "{done:?}");
    world.settles(&[&alice, &bob]);
}

#[test]
fn hostile_names_are_only_names() {
    let Some(mut world) = World::or_skip("hostile_names_are_only_names") else { return };
    let mark = world.file("executed");
    let names: Vec<Vec<u8>> = vec![
        format!("$(touch {})", mark.display()).into_bytes(),
        format!("`touch {}`", mark.display()).into_bytes(),
        b"two\nlines 1 2 3".to_vec(),
        b"nul\0nul".to_vec(),
        b"../../../../etc/passwd".to_vec(),
        b"--privileged".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        vec![b'a'; 60_000],
    ];
    world.follow();
    let mut clients = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let mut client = world.lab.client("br0", &format!("evil{number}"));
        client.hostname = Some(name);
        client.lease();
        clients.push(client);
    }
    let all: Vec<&Client> = clients.iter().collect();
    world.settles(&all);
    assert!(!mark.exists(), "a client's name was executed");
    for name in world.docker.names() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        assert!(name.bytes().all(plain) && name.len() <= 63, "{name}");
    }
}

#[test]
fn bad_lines_cost_themselves_alone() {
    let Some(mut world) = World::or_skip("bad_lines_cost_themselves_alone") else { return };
    let mut alice = world.lab.client("br0", "alice");
    let mut bob = world.lab.client("br0", "bob");
    alice.lease();
    bob.lease();
    let whole = fs::read_to_string(world.leases()).expect("the lease file");
    let mark = world.file("executed");
    let (first, rest) = whole.split_once('\n').expect("lines");
    let mut file = format!("{first}\n").into_bytes();
    for garbage in [
        "nonsense".as_bytes(),
        b"1795233486 1 not-an-address x 00:01",
        format!("1795233486 1 fd00:aa::77 $(touch {}) zz", mark.display()).as_bytes(),
        b"99999999999999999999999 1 fd00:aa::78 x 00:03:00:01:02",
        b"\xff\xfe\x00\x01",
        &[b'x'; 65_536],
    ] {
        file.extend(garbage);
        file.push(b'\n');
    }
    file.extend(rest.as_bytes());
    let copy = world.file("copy.leases");
    fs::write(&copy, file).expect("a copy");
    let done = world.once(&copy);
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    let told = done.stderr.lines().filter(|line| line.starts_with("lease-watch: ")).count();
    assert!(told >= 5, "each bad line is told: {}", done.stderr);
    assert!(done.stderr.lines().all(|line| line.len() < 1_000), "{}", done.stderr);
    world.settles(&[&alice, &bob]);
    assert!(!mark.exists());
}

#[test]
fn no_shell_and_no_ip_is_executed() {
    let Some(mut world) = World::or_skip("no_shell_and_no_ip_is_executed") else { return };
    if Command::new("strace").arg("-V").output().is_err() {
        lab::skipped("no_shell_and_no_ip_is_executed", "needs strace");
        return;
    }
    let mut alice = world.lab.client("br0", "alice");
    alice.lease();
    let leases = world.leases();
    for run in ["make", "remove"] {
        let logs = world.file(run);
        fs::create_dir(&logs).expect("a directory");
        let pipe = world.command(&leases);
        let mut traced = Command::new("strace");
        traced.args(["-ff", "-qq", "-e", "trace=execve,execveat", "-o"]).arg(logs.join("log"));
        traced.arg(pipe.get_program()).args(pipe.get_args());
        traced.envs(pipe.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = Running::start(&mut traced).finish();
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        if alice.address().is_some() {
            world.settles(&[&alice]);
            alice.release();
        }
        let (programs, others): (Vec<_>, Vec<_>) =
            executed(&logs).into_iter().partition(|name| PROGRAMS.contains(&&**name));
        assert_eq!(programs.len(), PROGRAMS.len(), "{programs:?}");
        assert!(others.iter().all(|name| SCRIPT.contains(&&**name)), "{others:?}");
    }
    world.settles(&[]);
}

const PROGRAMS: [&str; 8] = [
    "lease-watch",
    "lease-cccf",
    "cccf-diff",
    "docker-cccf",
    "cccf-host",
    "container-run",
    "unionize",
    "lease-bind",
];

/// What `examples/pipe` itself starts, before and around the programs.
const SCRIPT: [&str; 6] = ["nsenter", "pipe", "env", "bash", "mkdir", "flock"];

/// The names of what was executed, from the logs of strace, one for each process.
fn executed(logs: &Path) -> Vec<String> {
    let logs = fs::read_dir(logs).expect("what strace saw").flatten();
    let text: String = logs.filter_map(|log| fs::read_to_string(log.path()).ok()).collect();
    let paths = text.lines().filter(|line| line.ends_with("= 0")).filter_map(|line| {
        let path = line.split('"').nth(1)?;
        path.rsplit('/').next().map(str::to_owned)
    });
    paths.collect()
}
