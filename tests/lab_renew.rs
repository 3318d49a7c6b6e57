//! Leases that stay alive: `unionize renew --follow` and `unionize list`, with a real kea-dhcp6 whose
//! leases last twenty seconds, and a real Docker.

mod lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::{
    Dnsmasq, Docker, Dockerd, Done, Four, Kea, LEASE_CMDS, Lab, Namespace, PATIENCE, Podman,
    Running, Server4, bin, eventually, run,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// T1, T2 and the end of every lease here, in seconds.
const TERMS: (u64, u64, u64) = (6, 12, 20);

/// A machine with a bridge, a server on it, and where attachments are remembered.
struct Site {
    kea: Kea,
    state: PathBuf,
    lab: Lab,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        let mut kea = Kea::or_skip(test, &lab, "br1", "fd00:1::/64", &[LEASE_CMDS])?;
        kea.stop();
        let (t1, t2, valid) = TERMS;
        for (name, value) in [
            ("renew-timer", t1),
            ("rebind-timer", t2),
            ("preferred-lifetime", valid - 2),
            ("valid-lifetime", valid),
        ] {
            kea.configure(name, json!(value));
        }
        kea.resume();
        Some(Site { kea, state: lab.dir().join("attachments"), lab })
    }

    /// A container that is a namespace and no more.
    fn space(&mut self, label: &str) -> (Value, Namespace) {
        let path = self.lab.namespace(label);
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
        (json!({"id": label, "image": "busybox", "owner": "edge", "netns": path}), space)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(&self.state);
        command
    }

    /// Attaches a container, which must work; its address.
    #[track_caller]
    fn attach(&self, container: &Value) -> String {
        let done = run(&mut self.command(&["--bridge", "br1"]), format!("{container}\n"));
        let record = done.records().pop().unwrap_or_else(|| panic!("{}", done.stderr));
        assert_eq!(record["status"], "done", "{record} {}", done.stderr);
        address(&record["interfaces"][0])
    }

    /// The service.
    fn keep(&self) -> Running {
        Running::start(&mut self.command(&["renew", "--follow"]))
    }

    fn remembered(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.state).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// The addresses that Kea has leased, and their clients.
    fn leased(&self) -> BTreeMap<String, String> {
        let answer = self.kea.ask(json!({"command": "lease6-get-all"}));
        let leases = answer["arguments"]["leases"].as_array().cloned().unwrap_or_default();
        let text = |lease: &Value, field: &str| lease[field].as_str().unwrap().to_owned();
        let valid = leases.iter().filter(|lease| lease["state"] == 0 && lease["valid-lft"] != 0);
        valid.map(|lease| (text(lease, "ip-address"), text(lease, "duid"))).collect()
    }
}

#[track_caller]
fn address(interface: &Value) -> String {
    interface["addresses"][0]["address"]
        .as_str()
        .unwrap_or_else(|| panic!("{interface}"))
        .to_owned()
}

/// The addresses of more than link scope on `eth0` in the namespace of that file, and whether each is
/// preferred.
fn addresses(netns: &Path) -> BTreeMap<String, bool> {
    let mut ip = Command::new("nsenter");
    ip.arg(format!("--net={}", netns.display()));
    let out = ip.args(["ip", "-j", "-6", "addr", "show", "dev", "eth0"]).output().unwrap();
    let links: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap_or_default();
    let all = links.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
    all.filter(|address| address["scope"] == "global" && address["dynamic"] == true)
        .map(|address| {
            let preferred = address["deprecated"] != true;
            (address["local"].as_str().unwrap().to_owned(), preferred)
        })
        .collect()
}

/// Looks all the time whether an address is there; tells when it was not.
struct Watchman {
    end: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Vec<Duration>>>,
}

impl Watchman {
    fn over(netns: &Path, address: &str) -> Watchman {
        let (netns, address) = (netns.to_owned(), address.to_owned());
        let end = Arc::new(AtomicBool::new(false));
        let ends = end.clone();
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut missed = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                if !addresses(&netns).contains_key(&address) {
                    missed.push(begun.elapsed());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            missed
        });
        Watchman { end, thread: Some(thread) }
    }

    #[track_caller]
    fn was_always_there(mut self) {
        self.end.store(true, Ordering::Relaxed);
        let missed = self.thread.take().unwrap().join().unwrap();
        assert!(missed.is_empty(), "not there after {missed:?}");
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn is_of(id: &str) -> impl Fn(&Value) -> bool {
    move |record| record["container"]["id"] == id && record["status"] == "done"
}

#[test]
fn addresses_outlive_an_outage_and_a_server_that_forgets() {
    let test = "addresses_outlive_an_outage_and_a_server_that_forgets";
    let Some(mut site) = Site::or_skip(test) else { return };
    let spaces: Vec<_> = ["a", "b", "c"].map(|label| site.space(label)).into();
    let leased: Vec<String> = spaces.iter().map(|(record, _)| site.attach(record)).collect();
    let watched: Vec<Watchman> = spaces
        .iter()
        .zip(&leased)
        .map(|((_, space), address)| Watchman::over(&space.path(), address))
        .collect();
    let mut keep = site.keep();
    for (at, id) in ["a", "b", "c"].into_iter().enumerate() {
        let record = keep.until("a renewal", is_of(id));
        assert_eq!((&record["kind"], &record["action"]), (&json!("change"), &json!("keep")));
        assert_eq!(address(&record["container"]["interfaces"][0]), leased[at]);
    }
    // Away from before T1 until past T2.
    site.kea.stop();
    std::thread::sleep(secs(TERMS.1 + 1));
    site.kea.resume();
    for id in ["a", "b", "c"] {
        keep.until("a renewal after the outage", is_of(id));
    }
    // It has forgotten everything: NoBinding to a Renew, and the same address by Request.
    site.kea.stop();
    fs::remove_file(site.kea.leases()).unwrap();
    site.kea.resume();
    for id in ["a", "b", "c"] {
        keep.until("a renewal by who had forgotten", is_of(id));
    }
    assert_eq!(site.leased().keys().cloned().collect::<Vec<_>>(), {
        let mut sorted = leased.clone();
        sorted.sort();
        sorted
    });
    watched.into_iter().for_each(Watchman::was_always_there);
    keep.signal(Signal::SIGTERM);
    let done = keep.wait();
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("br1: ask DHCP servers: none answers"), "{}", done.stderr);
    assert!(done.stderr.contains("br1: ask DHCP servers: one answers again"), "{}", done.stderr);
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    let test = "killed_at_any_moment_it_goes_on_where_it_was";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (record, space) = site.space("a");
    let leased = site.attach(&record);
    let watched = Watchman::over(&space.path(), &leased);
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < secs(TERMS.2 + 5) {
        let mut keep = site.keep();
        // From the middle of its beginning to some time after a renewal.
        std::thread::sleep(Duration::from_millis([15, 40, 90, 200, 700, 2500][round % 6]));
        keep.stop();
        round += 1;
    }
    watched.was_always_there();
    assert_eq!(site.leased().into_keys().collect::<Vec<_>>(), [leased]);
    let done = run(&mut site.command(&["list"]), "");
    let records = done.records();
    assert_eq!((done.status, records.len()), (Some(0), 1), "{}", done.stderr);
    assert_eq!(
        (&records[0]["kind"], &records[0]["container"]),
        (&json!("attachment"), &json!("a"))
    );
    assert!(["held", "renewing", "rebinding"].map(Value::from).contains(&records[0]["state"]));
    assert_eq!(site.remembered().len(), 1);
}

#[test]
fn another_prefix_replaces_the_first_in_the_container() {
    let test = "another_prefix_replaces_the_first_in_the_container";
    let Some(mut site) = Site::or_skip(test) else { return };
    let (record, space) = site.space("a");
    let before = site.attach(&record);
    let mut keep = site.keep();
    site.kea.stop();
    fs::remove_file(site.kea.leases()).unwrap();
    site.lab.ip("address add fd00:2::1/64 dev br1 nodad");
    site.kea.configure(
        "subnet6",
        json!([{"id": 2, "subnet": "fd00:2::/64", "interface": "br1", "rapid-commit": true,
            "pools": [{"pool": "fd00:2::1000-fd00:2::1:ffff"}]}]),
    );
    site.kea.resume();
    let told = keep.until("a change of address", |record| {
        record["status"] == "done"
            && record["container"]["interfaces"][0]["addresses"].as_array().is_some_and(|all| {
                all.iter().any(|a| a["address"].as_str().unwrap().starts_with("fd00:2:"))
            })
    });
    let after = address(&told["container"]["interfaces"][0]);
    let there = eventually("the new address", PATIENCE, || {
        let there = addresses(&space.path());
        there.contains_key(&after).then_some(there)
    });
    assert!(there[&after]);
    assert_ne!(there.get(&before), Some(&true), "no new connection begins from the old one");
    eventually("the old address goes", PATIENCE, || {
        (!addresses(&space.path()).contains_key(&before)).then_some(())
    });
    assert_eq!(addresses(&space.path()).into_keys().collect::<Vec<_>>(), [after]);
}

#[test]
fn setting_the_clock_drops_nothing() {
    let test = "setting_the_clock_drops_nothing";
    let library = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(library) = library else { return lab::skipped(test, "libfaketime is missing") };
    let Some(mut site) = Site::or_skip(test) else { return };
    let (record, space) = site.space("a");
    let leased = site.attach(&record);
    let clock = site.lab.dir().join("clock");
    let set = |offset: &str| {
        fs::write(clock.with_extension("next"), offset).unwrap();
        fs::rename(clock.with_extension("next"), &clock).unwrap();
    };
    set("+0");
    let mut command = site.command(&["renew", "--follow"]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let watched = Watchman::over(&space.path(), &leased);
    let mut keep = Running::start(&mut command);
    let mut told = Vec::new();
    for step in ["+86400", "-86400", "+0"] {
        keep.until("a renewal", is_of("a"));
        set(step);
        let renewed = keep.until("a renewal at the other time", is_of("a"));
        let interface = &renewed["container"]["interfaces"][0];
        assert_eq!(address(interface), leased);
        told.push(interface["addresses"][0]["valid_until"].as_str().unwrap()[..10].to_owned());
    }
    assert!(told[0] > told[2] && told[1] < told[2], "times are as the clock says: {told:?}");
    watched.was_always_there();
    let said = keep.stop();
    assert_eq!(said.matches("the clock was set").count(), 3, "{said}");
}

#[test]
fn ipv4_leases_are_kept_as_well() {
    let test = "ipv4_leases_are_kept_as_well";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    lab.bridge("br1");
    lab.ip("address add 192.0.2.1/24 dev br1");
    let Some(_server) = Four::or_skip(test, &lab, "br1", Server4::Dhcpd) else { return };
    let netns = lab.namespace("a");
    let record = json!({"id": "a", "image": "busybox", "netns": netns});
    let state = lab.dir().join("attachments");
    let mut command = lab.command(bin!("unionize"));
    command.args(["--bridge", "br1", "--address", "dhcp4", "--state"]).arg(&state);
    let done = run(&mut command, format!("{record}\n"));
    let before = done.records()[0]["interfaces"][0]["addresses"][0].clone();
    assert_eq!(before["origin"], "dhcp4", "{}", done.stderr);
    // Times are in whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let mut command = lab.command(bin!("unionize"));
    let mut keep = Running::start(command.args(["renew", "--follow", "--state"]).arg(&state));
    // It is asked at the beginning whether it still holds, which DHCPv4 answers with more time.
    let renewed = keep.until("more time", is_of("a"));
    let after = &renewed["container"]["interfaces"][0]["addresses"][0];
    assert_eq!(after["address"], before["address"]);
    assert!(after["valid_until"].as_str() > before["valid_until"].as_str(), "{before} {after}");
    // The link is deleted, and the address is there again.
    let link = renewed["container"]["interfaces"][0]["link"].as_str().unwrap();
    lab.ip(&format!("link delete {link}"));
    let again = keep.until("the interface", is_of("a"));
    assert_eq!(again["container"]["interfaces"][0]["addresses"][0]["address"], before["address"]);
    let space = Namespace::left_behind(netns.file_name().unwrap().to_str().unwrap());
    let address = before["address"].as_str().unwrap();
    let there = || space.ip("-4 address show dev eth0").contains(address);
    assert!(there());
    // Somebody takes the address away, to which the server sends its answer.
    keep.stop();
    space.ip(&format!("address delete {address}/24 dev eth0"));
    let mut command = lab.command(bin!("unionize"));
    command.args(["renew", "--all", "--timeout", "5s", "--state"]).arg(&state);
    let done = run(&mut command, "");
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    assert!(there());
    // As it is left by who is killed between the server's answer and the file.
    let file = state.join(format!("{link}.json"));
    let mut known: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(known.as_object_mut().unwrap().remove("lease4").is_some());
    fs::write(&file, known.to_string()).unwrap();
    space.ip(&format!("address delete {address}/24 dev eth0"));
    let mut command = lab.command(bin!("unionize"));
    let mut keep = Running::start(command.args(["renew", "--follow", "--state"]).arg(&state));
    let again = keep.until("the lease", is_of("a"));
    assert_eq!(again["container"]["interfaces"][0]["addresses"][0]["address"], before["address"]);
    assert!(there());
}

/// A site and a Docker whose containers are plugged into its bridge.
struct Dockyard {
    docker: Docker,
    site: Site,
}

impl Dockyard {
    fn or_skip(test: &str) -> Option<Dockyard> {
        let docker = Docker::or_skip(test)?;
        Some(Dockyard { docker, site: Site::or_skip(test)? })
    }

    /// A container that runs, as docker-cccf tells it.
    fn container(&self, label: &str) -> (String, Value) {
        let name = self.docker.bystander(label);
        (name.clone(), self.record(&name))
    }

    fn record(&self, name: &str) -> Value {
        let of = |format: &str| self.docker.inspect(name, format);
        json!({"id": name, "image": "busybox", "owner": "edge", "state": "running", "docker": {
            "id": of("{{.Id}}"), "pid": of("{{.State.Pid}}").parse::<i32>().unwrap(),
            "netns": of("{{.NetworkSettings.SandboxKey}}")}})
    }

    fn netns(&self, name: &str) -> PathBuf {
        self.docker.inspect(name, "{{.NetworkSettings.SandboxKey}}").into()
    }
}

#[test]
fn a_container_that_is_restarted_has_its_address_again() {
    let test = "a_container_that_is_restarted_has_its_address_again";
    let Some(yard) = Dockyard::or_skip(test) else { return };
    let (name, record) = yard.container("web");
    let leased = yard.site.attach(&record);
    let mut keep = yard.site.keep();
    keep.until("a renewal", is_of(&name));
    yard.docker.docker(&["restart", "-t", "0", &name]);
    let begun = Instant::now();
    eventually("the address is there again", PATIENCE, || {
        addresses(&yard.netns(&name)).contains_key(&leased).then_some(())
    });
    assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
    // It is told of, and the lease goes on.
    let again = keep.until("the interface", is_of(&name));
    assert_eq!(address(&again["container"]["interfaces"][0]), leased);
    assert_eq!(
        again["container"]["docker"]["pid"].to_string(),
        yard.docker.inspect(&name, "{{.State.Pid}}")
    );
    keep.until("a renewal", is_of(&name));
    assert!(addresses(&yard.netns(&name)).contains_key(&leased));

    // It was stopped while nobody kept anything, and started.
    keep.signal(Signal::SIGINT);
    assert_eq!(keep.wait().status, Some(0));
    yard.docker.docker(&["stop", "-t", "0", &name]);
    let once: Done = run(&mut yard.site.command(&["renew"]), "");
    assert_eq!((once.status, once.stderr.as_str()), (Some(0), ""));
    assert_eq!(yard.site.remembered().len(), 1, "what is stopped may be started again");
    let keep = yard.site.keep();
    yard.docker.docker(&["start", &name]);
    eventually("the address is there again", PATIENCE, || {
        addresses(&yard.netns(&name)).contains_key(&leased).then_some(())
    });
    drop(keep);
}

#[test]
fn a_container_of_podman_s_is_kept_as_well() {
    let test = "a_container_of_podman_s_is_kept_as_well";
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(site) = Site::or_skip(test) else { return };
    let Some(podman) = Podman::or_skip(test, &site.lab, &docker) else { return };
    podman.run("web");
    let url = podman.url();
    let done = run(&mut site.command(&["br1", "web", "dhcp6", "--host", &url]), "");
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let leased = address(&done.records()[0]["interfaces"][0]);
    let has_it = || podman.exec("web", &["ip", "-6", "address"]).contains(&leased);
    let mut keep = Running::start(&mut site.command(&["renew", "--follow", "--host", &url]));
    keep.until("a renewal", is_of("web"));
    podman.podman(&["restart", "--time", "0", "web"]);
    eventually("the address is there again", PATIENCE, || has_it().then_some(()));
    // While nobody keeps it.
    keep.stop();
    podman.podman(&["restart", "--time", "0", "web"]);
    assert!(!has_it());
    // Under another name, which leads there.
    let config = podman.context();
    let mut renew = site.command(&["renew", "--follow", "--host", "context:near"]);
    let mut keep = Running::start(renew.env("DOCKER_CONFIG", &config));
    keep.until("the interface", is_of("web"));
    assert!(has_it());
    assert_eq!(site.leased().into_keys().collect::<Vec<_>>(), std::slice::from_ref(&leased));
    // Another machine's engine, which knows none of the containers here, is not asked.
    for host in ["tcp://127.0.0.1:2376", "ssh://localhost", "context:nowhere"] {
        for how in [&[][..], &["--follow"]] {
            let mut renew = site.command(&[&["renew", "--host", host], how].concat());
            let done = run(renew.env("DOCKER_CONFIG", &config), "");
            let status = if host == "context:nowhere" { 69 } else { 64 };
            assert_eq!(done.status, Some(status), "{}", done.stderr);
            assert!(done.stderr.contains(host.trim_start_matches("context:")), "{}", done.stderr);
        }
    }
    assert!(has_it());
}

/// What can be taken away for a while.
trait Server {
    fn stop(&mut self);
    fn resume(&mut self);
}

impl Server for Kea {
    fn stop(&mut self) {
        Kea::stop(self);
    }

    fn resume(&mut self) {
        Kea::resume(self);
    }
}

impl Server for Dnsmasq {
    fn stop(&mut self) {
        Dnsmasq::stop(self);
    }

    fn resume(&mut self) {
        Dnsmasq::resume(self);
    }
}

/// The container `web` of an engine of the test's own, plugged into `br1`, and the service that keeps its
/// address.
struct Kept {
    keep: Command,
    service: Running,
    /// All that services have said which were ended.
    said: String,
    address: String,
    dockerd: Dockerd,
}

impl Kept {
    /// Attaches a new container, and starts the service.
    fn or_skip(test: &str, lab: &Lab, docker: &Docker) -> Option<Kept> {
        let dockerd = Dockerd::or_skip(test, lab, docker)?;
        dockerd.run("web");
        let of = |format: &str| dockerd.inspect("web", format);
        let record = json!({"id": "web", "image": "busybox", "docker": {
            "id": of("{{.Id}}"), "pid": of("{{.State.Pid}}").parse::<i32>().unwrap(),
            "netns": of("{{.NetworkSettings.SandboxKey}}")}});
        let command = |words: &[&str]| {
            let mut command = lab.command(bin!("unionize"));
            command.args(words).arg("--state").arg(lab.dir().join("attachments"));
            command
        };
        let done = run(&mut command(&["--bridge", "br1"]), format!("{record}\n"));
        let record = done.records().pop().unwrap_or_else(|| panic!("{}", done.stderr));
        let address = address(&record["interfaces"][0]);
        let mut keep = command(&["renew", "--follow", "--host", &dockerd.url()]);
        let service = Running::start(&mut keep);
        Some(Kept { keep, service, said: String::new(), address, dockerd })
    }

    /// Kills the service.
    fn kill(&mut self) {
        self.said += &self.service.stop();
    }

    /// Starts the service anew.
    fn begin(&mut self) {
        self.service = Running::start(&mut self.keep);
    }

    fn netns(&self) -> PathBuf {
        self.dockerd.inspect("web", "{{.NetworkSettings.SandboxKey}}").into()
    }

    fn watch(&self) -> Option<Watchman> {
        Some(Watchman::over(&self.netns(), &self.address))
    }
}

/// What is ended and begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// The service, killed.
    Service,
    /// The server, away for a while.
    Server,
    /// The container.
    Container,
    /// The engine: ended, away for a while, and its containers with it.
    Engine,
    /// The container, while the service is away.
    ContainerAlone,
    /// The engine: ended, while its containers go on.
    EngineAlone,
    /// The engine: killed, while its containers go on.
    EngineKilled,
    /// The server, and the service with it.
    Both,
    /// The engine: killed, away while the service begins anew, and its containers begin anew with it.
    EngineLost,
}

impl Turn {
    const ALL: [Turn; 9] = [
        Turn::Service,
        Turn::Server,
        Turn::Container,
        Turn::Engine,
        Turn::ContainerAlone,
        Turn::EngineAlone,
        Turn::EngineKilled,
        Turn::Both,
        Turn::EngineLost,
    ];

    /// Does it. The address must be there all the time that the container runs: whoever watches over it
    /// is asked before the container is ended.
    #[track_caller]
    fn take(
        self,
        kept: &mut Kept,
        server: &mut dyn Server,
        away: Duration,
        watched: &mut Option<Watchman>,
    ) {
        let mut no_more = || watched.take().unwrap().was_always_there();
        let restart = ["restart", "-t", "0", "web"];
        match self {
            Turn::Service => {
                kept.kill();
                kept.begin();
            }
            Turn::Server => {
                server.stop();
                std::thread::sleep(away);
                server.resume();
            }
            Turn::Both => {
                server.stop();
                kept.kill();
                std::thread::sleep(away);
                kept.begin();
                server.resume();
            }
            Turn::Container => {
                no_more();
                kept.dockerd.docker(&restart);
            }
            Turn::ContainerAlone => {
                kept.service.signal(Signal::SIGTERM);
                let next = Running::start(Command::new("true").env_clear());
                let done = std::mem::replace(&mut kept.service, next).wait();
                assert_eq!(done.status, Some(0), "{}", done.stderr);
                kept.said += &done.stderr;
                no_more();
                kept.dockerd.docker(&restart);
                kept.begin();
            }
            Turn::Engine => {
                no_more();
                kept.dockerd.end(Signal::SIGTERM);
                std::thread::sleep(away);
                kept.dockerd.start(true);
            }
            Turn::EngineAlone => {
                kept.dockerd.end(Signal::SIGTERM);
                kept.dockerd.start(true);
            }
            Turn::EngineKilled => {
                kept.dockerd.end(Signal::SIGKILL);
                kept.dockerd.start(true);
            }
            Turn::EngineLost => {
                kept.dockerd.end(Signal::SIGKILL);
                kept.kill();
                kept.begin();
                std::thread::sleep(away);
                no_more();
                kept.dockerd.start(false);
            }
        }
    }
}

/// Takes all turns again and again for so long, with a `pause` after each, things being away for `away`;
/// the container's address must never be lost. How often each was taken, and how long it took until a
/// container that had begun anew had it again, at most.
#[track_caller]
fn endure(
    kept: &mut Kept,
    server: &mut dyn Server,
    during: Duration,
    (pause, away): (Duration, Duration),
) -> (BTreeMap<Turn, u32>, Duration) {
    let (begun, mut longest, mut count) = (Instant::now(), Duration::ZERO, BTreeMap::new());
    let mut watched = kept.watch();
    for turn in Turn::ALL.into_iter().cycle() {
        if begun.elapsed() > during && count.len() == Turn::ALL.len() {
            break;
        }
        turn.take(kept, server, away, &mut watched);
        *count.entry(turn).or_default() += 1;
        eprint!("after {:.0} s: {turn:?}", begun.elapsed().as_secs_f64());
        if watched.is_none() {
            let since = Instant::now();
            eventually("the address is there again", PATIENCE, || {
                addresses(&kept.netns()).contains_key(&kept.address).then_some(())
            });
            eprint!(", there again after {:?}", since.elapsed());
            longest = longest.max(since.elapsed());
            watched = kept.watch();
        }
        eprintln!();
        std::thread::sleep(pause);
    }
    watched.take().unwrap().was_always_there();
    kept.kill();
    assert!(!kept.said.contains("failed"), "{}", kept.said);
    assert!(kept.said.contains("answers again"), "{}", kept.said);
    (count, longest)
}

#[test]
fn an_address_outlives_whatever_is_restarted() {
    let test = "an_address_outlives_whatever_is_restarted";
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(mut site) = Site::or_skip(test) else { return };
    let Some(mut kept) = Kept::or_skip(test, &site.lab, &docker) else { return };
    let (_, longest) = endure(&mut kept, &mut site.kea, secs(30), (secs(2), secs(3)));
    assert!(longest < secs(10), "{longest:?}");
    assert_eq!(site.leased().into_keys().collect::<Vec<_>>(), [kept.address.clone()]);
}

/// The same for an hour, or LEASEPIPE_ENDURE seconds, with dnsmasq, whose leases last two minutes at
/// least:
///
///     cargo test --test lab_renew -- --ignored --nocapture an_hour
#[test]
#[ignore = "takes an hour"]
fn an_hour_of_leases_of_two_minutes() {
    let test = "an_hour_of_leases_of_two_minutes";
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let during = std::env::var("LEASEPIPE_ENDURE").ok().and_then(|text| text.parse().ok());
    let during = secs(during.unwrap_or(3600));
    lab.bridge("br1");
    let range = "--dhcp-range=fd00:1::1000,fd00:1::1fff,64,2m";
    lab.dnsmasq("br1", "fd00:1::/64", &[range]);
    let Some(mut kept) = Kept::or_skip(test, &lab, &docker) else { return };
    let times = (secs(20), secs(40));
    let (count, longest) = endure(&mut kept, lab.server("br1"), during, times);
    eprintln!("{during:?}: never lost; {count:?}; there again within {longest:?}");
    assert!(lab.server("br1").has_lease(&kept.address));
}

#[test]
fn a_container_that_is_gone_has_its_lease_released() {
    let test = "a_container_that_is_gone_has_its_lease_released";
    let Some(yard) = Dockyard::or_skip(test) else { return };
    let (first, record) = yard.container("first");
    yard.site.attach(&record);
    let (second, record) = yard.container("second");
    yard.site.attach(&record);
    let (third, record) = yard.container("third");
    let kept = yard.site.attach(&record);
    assert_eq!(yard.site.leased().len(), 3);
    // One while the service is down, one while it is up.
    yard.docker.docker(&["rm", "-f", &first]);
    let mut keep = yard.site.keep();
    eventually("the first is cleared", PATIENCE, || {
        (yard.site.remembered().len() == 2).then_some(())
    });
    yard.docker.docker(&["rm", "-f", &second]);
    eventually("the second is cleared", PATIENCE, || {
        (yard.site.remembered().len() == 1).then_some(())
    });
    eventually("both leases are given back", PATIENCE, || {
        (yard.site.leased().into_keys().collect::<Vec<_>>() == [kept.clone()]).then_some(())
    });
    assert!(addresses(&yard.netns(&third)).contains_key(&kept));
    let said = keep.stop();
    assert!(said.contains("its container is gone"), "{said}");
}

#[test]
fn a_link_that_is_deleted_or_leads_elsewhere_is_put_right() {
    let test = "a_link_that_is_deleted_or_leads_elsewhere_is_put_right";
    let Some(mut site) = Site::or_skip(test) else { return };
    // Told of every message that comes in.
    site.kea.stop();
    let log = site.lab.dir().join("messages");
    site.kea.configure(
        "loggers",
        json!([{"name": "kea-dhcp6", "severity": "DEBUG", "debuglevel": 55,
            "output_options": [{"output": &log}]}]),
    );
    site.kea.resume();
    let (record, space) = site.space("a");
    let leased = site.attach(&record);
    let mut keep = site.keep();
    keep.until("a renewal", is_of("a"));
    let link = site.remembered()[0].strip_suffix(".json").unwrap().to_owned();
    site.lab.ip(&format!("link delete {link}"));
    keep.until("the interface", is_of("a"));
    assert!(addresses(&space.path()).contains_key(&leased));
    // Down and up again: a server is asked whether the addresses fit the link.
    let confirms =
        || fs::read_to_string(&log).unwrap().matches("CONFIRM (type 4) received").count();
    eventually("a Confirm at the beginning", PATIENCE, || (confirms() > 0).then_some(()));
    std::thread::sleep(secs(3));
    let before = confirms();
    site.lab.ip(&format!("link set {link} down"));
    std::thread::sleep(Duration::from_millis(200));
    site.lab.ip(&format!("link set {link} up"));
    eventually("a Confirm", PATIENCE, || (confirms() > before).then_some(()));
    assert!(addresses(&space.path()).contains_key(&leased));
    drop(keep);
}
