//! unionize on one container that its command line names: Docker's, Podman's, a namespace, a process.

mod lab;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lab::{Docker, Done, Lab, Namespace, Podman, Running, bin, eventually, run};
use serde_json::Value;

/// A lab with a bridge `br1` and a dnsmasq on it.
struct Site {
    lab: Lab,
    state: PathBuf,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let mut lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        lab.dnsmasq("br1", "fd00:1::/64", &[]);
        Some(Site { state: lab.dir().join("attachments"), lab })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(words).arg("--state").arg(&self.state);
        command
    }

    fn unionize(&self, words: &[&str]) -> Done {
        run(&mut self.command(words), "")
    }

    /// What is done must be done; the one interface that comes out, if any does.
    #[track_caller]
    fn done(&self, words: &[&str]) -> Value {
        let done = self.unionize(words);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        let records = done.records();
        assert_eq!((records.len(), &records[0]["status"]), (1, &"done".into()), "{records:?}");
        records[0]["interfaces"][0].clone()
    }

    fn remembered(&self) -> usize {
        let entries = std::fs::read_dir(&self.state).unwrap().flatten();
        entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
    }

    #[track_caller]
    fn pings(&self, address: &str) {
        let done = self.lab.command("ping").args(["-6", "-c1", "-W3", address]).output().unwrap();
        assert!(done.status.success(), "{address}");
    }
}

#[track_caller]
fn leased(interface: &Value) -> String {
    assert_eq!(interface["addresses"][0]["origin"], "dhcp6", "{interface}");
    interface["addresses"][0]["address"].as_str().unwrap().to_owned()
}

#[test]
fn a_namespace_is_attached_once_and_detached() {
    let Some(mut site) = Site::or_skip("a_namespace_is_attached_once_and_detached") else { return };
    let path = site.lab.namespace("vm");
    let netns = path.to_str().unwrap();
    let words = ["br1", "vm", "dhcp6", "U:vm", "-i", "lan", "-l", "vm-lan", "--netns", netns];
    let interface = site.done(&words);
    assert_eq!((&interface["name"], &interface["link"]), (&"lan".into(), &"vm-lan".into()));
    site.pings(&leased(&interface));
    assert!(site.lab.machine().has_link("vm-lan"));
    let again = site.done(&words);
    assert_eq!((&again["mac"], again.get("ready_ms")), (&interface["mac"], None));

    // The same text is the same hardware address, for whomever; another name is another container.
    let other = site.unionize(&["br1", "db", "none", "-l", "vm-lan", "--netns", netns]);
    assert_eq!(other.status, Some(1));
    assert!(other.stderr.contains("vm-lan"), "{}", other.stderr);

    let gone = site
        .done(&["br1", "vm", "-i", "lan", "-l", "vm-lan", "--netns", netns, "--action", "remove"]);
    assert_eq!(gone, Value::Null);
    assert_eq!((site.remembered(), site.lab.machine().has_link("vm-lan")), (0, false));
}

/// A process that has arrived in a namespace.
fn sleeper(space: &Namespace) -> Running {
    let sleeper = Running::start(space.command("sleep").arg("60"));
    let of = |path: PathBuf| std::fs::metadata(path).map(|about| about.ino()).ok();
    let own = format!("/proc/{}/ns/net", sleeper.pid());
    eventually("the process enters its namespace", Duration::from_secs(5), || {
        (of(own.clone().into()) == of(space.path())).then_some(())
    });
    sleeper
}

#[test]
fn a_process_has_a_namespace_too() {
    let Some(mut site) = Site::or_skip("a_process_has_a_namespace_too") else { return };
    let path = site.lab.namespace("p");
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    let sleeper = sleeper(&space);
    let pid = sleeper.pid().to_string();
    let interface = site.done(&["br1", "p", "--pid", &pid, "fd00:1::77/64"]);
    assert_eq!(interface["addresses"][0]["origin"], "static");
    site.pings("fd00:1::77");
    site.done(&["br1", "p", "--pid", &pid, "--action", "remove"]);
    assert_eq!(site.remembered(), 0);
}

#[test]
fn another_process_of_the_same_number_is_left_alone() {
    let test = "another_process_of_the_same_number_is_left_alone";
    let Some(mut site) = Site::or_skip(test) else { return };
    let mut space = |label: &str| {
        let path = site.lab.namespace(label);
        Namespace::left_behind(path.file_name().unwrap().to_str().unwrap())
    };
    let (one, other) = (space("one"), space("other"));
    let (first, second) = (sleeper(&one), sleeper(&other));
    let interface = site.done(&["br1", "p", "--pid", &first.pid().to_string(), "dhcp6"]);
    // As it is when the first has ended and its number is given out again.
    let file = site.state.join(format!("{}.json", interface["link"].as_str().unwrap()));
    let text = std::fs::read_to_string(&file).unwrap();
    let (was, is) = (first.pid().to_string(), second.pid().to_string());
    let was = format!("/proc/{was}/ns/net");
    assert!(text.contains(&was), "{text}");
    std::fs::write(&file, text.replace(&was, &format!("/proc/{is}/ns/net"))).unwrap();
    let mut renew = site.lab.command(bin!("unionize"));
    let done = run(renew.args(["renew", "--all", "--state"]).arg(&site.state), "");
    assert_eq!((done.status, done.stdout.len()), (Some(0), 0), "{}", done.stderr);
    assert_eq!((site.remembered(), other.has_link("eth0")), (0, false));
}

#[test]
fn a_container_of_docker_s_is_found_by_its_name() {
    let test = "a_container_of_docker_s_is_found_by_its_name";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    let web = docker.bystander("web");
    let interface = site.done(&["br1", &web, "dhcp6"]);
    let address = leased(&interface);
    site.pings(&address);
    let inside = docker.docker(&["exec", &web, "ip", "-6", "addr", "show", "dev", "eth0"]);
    assert!(inside.contains(&address), "{inside}");
    site.done(&["br1", &web, "--action", "remove"]);
    let inside = docker.docker(&["exec", &web, "ip", "link"]);
    assert!(!inside.contains("eth0"), "{inside}");
    // What the engine does not know can go all the same, and cannot be attached.
    site.done(&["br1", "nobody-at-all", "--action", "remove"]);
    let none = site.unionize(&["br1", "nobody-at-all", "dhcp6"]);
    assert_eq!(none.status, Some(69), "{}", none.stderr);
    assert!(none.stderr.contains("nobody-at-all"), "{}", none.stderr);
}

#[test]
fn in_docker_s_bridge_it_is_eth1_and_goes_by_whatever_name_it_has() {
    let test = "in_docker_s_bridge_it_is_eth1_and_goes_by_whatever_name_it_has";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    let web = docker.bystander_in("bridge", "web");
    let interface = site.done(&["br1", &web, "dhcp6"]);
    assert_eq!(interface["name"], "eth1");
    site.pings(&leased(&interface));
    assert_eq!(site.done(&["br1", &web, "dhcp6"])["link"], interface["link"], "once more");
    site.done(&["br1", &web, "none", "-i", "lan"]);
    let both = site.unionize(&["br1", &web, "--action", "remove"]);
    assert_eq!((both.status, site.remembered()), (Some(64), 2), "{}", both.stderr);
    assert!(both.stderr.contains("--interface"), "{}", both.stderr);
    site.done(&["br1", &web, "-i", "eth1", "--action", "remove"]);
    docker.docker(&["rm", "-f", &web]);
    site.done(&["br1", &web, "--action", "remove"]);
    assert_eq!(site.remembered(), 0);
}

#[test]
fn a_container_of_podman_s_is_found_by_its_socket() {
    let test = "a_container_of_podman_s_is_found_by_its_socket";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(podman) = Podman::or_skip(test, &site.lab, &docker) else { return };
    podman.run("web");
    let interface = site.done(&["br1", "web", "dhcp6", "--host", &podman.url()]);
    let address = leased(&interface);
    site.pings(&address);
    assert!(podman.exec("web", &["ip", "-6", "addr", "show", "dev", "eth0"]).contains(&address));
    site.done(&["br1", "web", "--action", "remove", "--host", &podman.url()]);
    assert!(!podman.exec("web", &["ip", "link"]).contains("eth0"));
    assert_eq!(site.remembered(), 0);
}

#[test]
fn an_interface_is_waited_for() {
    let Some(mut site) = Site::or_skip("an_interface_is_waited_for") else { return };
    let path = site.lab.namespace("w");
    let netns = path.to_str().unwrap();
    let wait = ["--wait", "-i", "lan", "--netns", netns];
    let late = run(site.command(&wait).args(["--timeout", "200ms"]), "");
    assert_eq!((late.status, late.stdout.len()), (Some(75), 0), "{}", late.stderr);
    assert!(late.stderr.contains("wait for interface lan"), "{}", late.stderr);
    let waiting = Running::start(&mut site.command(&wait));
    std::thread::sleep(Duration::from_millis(200));
    site.done(&["br1", "w", "dhcp6", "-i", "lan", "--netns", netns]);
    assert_eq!(waiting.wait().status, Some(0));

    // As a program inside would, which may do nothing but look.
    let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
    let mut within = space.command("setpriv");
    within.args([
        "--inh-caps=-all",
        "--bounding-set=-all",
        bin!("unionize"),
        "--wait",
        "-i",
        "lan",
    ]);
    let done = run(&mut within, "");
    assert_eq!((done.status, &*done.stderr), (Some(0), ""));
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let Some(site) = Site::or_skip("what_makes_no_sense_is_wrong_usage") else { return };
    for words in [
        &["br1"][..],
        &["br1", "vm", "dhcp"],
        &["br1", "vm", "dhcp6", "02:00:00:00:00:09@4095"],
        &["br1", "vm", "dhcp6", "--bridge", "br2"],
        &["br1", "vm", "dhcp6", "--vni", "7", "--netns", "/x"],
        &["--netns", "/proc/self/ns/net"],
        &["--bridge", "br1", "--mode", "l2"],
    ] {
        let done = site.unionize(words);
        assert_eq!((done.status, done.stdout.len()), (Some(64), 0), "{words:?} {}", done.stderr);
    }
    let missing = site.unionize(&["br7", "vm", "dhcp6", "--netns", "/x"]);
    assert!(missing.stderr.contains("find interface br7"), "{}", missing.stderr);
}
