//! unionize with temporary addresses and delegated prefixes, from real servers.

mod lab;

use std::fs;
use std::path::{Path, PathBuf};

use lab::{Done, Isc, Kea, Lab, Namespace, PATIENCE, bin, eventually, run};
use serde_json::{Value, json};

/// Words that ask for everything.
const ALL: [&str; 6] = ["--address", "dhcp6", "--address", "dhcp6-temporary", "--delegate", "64"];

/// A lab with a bridge `br1`, a container's namespace, and where attachments are remembered.
struct Site {
    lab: Lab,
    state: PathBuf,
    space: Namespace,
    web: Value,
}

impl Site {
    fn or_skip(test: &str) -> Option<Site> {
        let mut lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        let path = lab.namespace("c1");
        let space = Namespace::left_behind(path.file_name().unwrap().to_str().unwrap());
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
        Some(Site { state: lab.dir().join("attachments"), web: container(&path), lab, space })
    }

    fn unionize(&self, words: &[&str], record: &Value) -> Done {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(["--bridge", "br1"]).args(words).arg("--state").arg(&self.state);
        run(&mut command, format!("{record}\n"))
    }

    /// Attaches the container, which must work: its interface, and what was told.
    #[track_caller]
    fn attach(&self, words: &[&str]) -> (Value, String) {
        let done = self.unionize(words, &self.web);
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        (done.records()[0]["interfaces"][0].clone(), told(&done))
    }

    #[track_caller]
    fn detach(&self) {
        let done = self
            .unionize(&[], &json!({"kind": "change", "action": "remove", "container": self.web}));
        assert_eq!((done.status, &done.stderr[..]), (Some(0), ""));
        assert!(
            fs::read_dir(&self.state)
                .unwrap()
                .all(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with('.') })
        );
    }

    /// Renews everything that is remembered: the interface as it is told.
    #[track_caller]
    fn renew(&self) -> Value {
        let mut command = self.lab.command(bin!("unionize"));
        command.args(["renew", "--all", "--state"]).arg(&self.state);
        let done = run(&mut command, String::new());
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done.records()[0]["container"]["interfaces"][0].clone()
    }

    /// The addresses of more than link scope on `eth0`.
    fn addresses(&self) -> Vec<String> {
        let links: Vec<Value> =
            serde_json::from_str(&self.space.ip("-j -6 addr show dev eth0")).unwrap();
        let all = links.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
        let global = all.filter(|address| address["scope"] == "global");
        let mut all: Vec<String> =
            global.map(|address| address["local"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    }
}

/// A container as container-run hands it on.
fn container(netns: &Path) -> Value {
    json!({"id": "web", "image": "busybox", "owner": "edge", "state": "running",
        "docker": {"id": "0".repeat(64), "netns": netns}})
}

/// What was told but for the missing router, of which none of these servers' machines is one.
fn told(done: &Done) -> String {
    let lines = done.stderr.lines().filter(|line| !line.contains("find a router"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The values of a field of the elements of a list.
fn each(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn temporary_addresses_and_prefixes_come_and_go_with_the_lease() {
    let test = "temporary_addresses_and_prefixes_come_and_go_with_the_lease";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(mut isc) = Isc::or_skip(test, &site.lab, "br1", "fd00:1::/64") else { return };
    let (interface, told) = site.attach(&ALL);
    assert_eq!(told, "");
    assert_eq!(each(&interface["addresses"], "origin"), ["dhcp6", "dhcp6-temporary"]);
    let prefixes = each(&interface["prefixes"], "prefix");
    assert!(prefixes.len() == 1 && prefixes[0].starts_with("fd00:1"), "{prefixes:?}");
    let mut addresses = each(&interface["addresses"], "address");
    addresses.sort();
    assert_eq!(site.addresses(), addresses);
    let known = isc.leased();
    assert!(addresses.iter().chain(&prefixes).all(|one| known.contains(one)), "{known:?}");

    // A second run has nothing to do, and a renewal changes nothing but the times.
    let dry = site.unionize(&[&ALL[..], &["--dry-run"]].concat(), &site.web);
    assert_eq!((dry.status, &dry.stderr[..]), (Some(0), ""));
    let renewed = site.renew();
    assert_eq!(each(&renewed["prefixes"], "prefix"), prefixes);
    assert_eq!(each(&renewed["addresses"], "address").len(), 2);

    // What is wanted no more is given back, and the address stays.
    let (kept, _) = site.attach(&[]);
    assert_eq!(each(&kept["addresses"], "origin"), ["dhcp6"]);
    assert_eq!((kept.get("prefixes"), site.addresses().len()), (None, 1));
    let known = isc.leased();
    assert!(!known.contains(&prefixes[0]) && known.contains(&site.addresses()[0]), "{known:?}");

    // And what is wanted again is asked for, beside the address that is there.
    let (again, _) = site.attach(&ALL);
    assert_eq!(each(&again["addresses"], "address")[0], site_address(&kept));
    assert_eq!(each(&again["prefixes"], "prefix").len(), 1);
    site.detach();
    let known = isc.leased();
    assert!(!known.contains(&site_address(&kept)), "{known:?}");
    assert!(each(&again["prefixes"], "prefix").iter().all(|one| !known.contains(one)), "{known:?}");
}

fn site_address(interface: &Value) -> String {
    interface["addresses"][0]["address"].as_str().unwrap().to_owned()
}

#[test]
fn a_prefix_alone_is_delegated() {
    let test = "a_prefix_alone_is_delegated";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(mut isc) = Isc::or_skip(test, &site.lab, "br1", "fd00:1::/64") else { return };
    let words = ["--address", "none", "--delegate", "64"];
    let (interface, told) = site.attach(&words);
    assert_eq!((told.as_str(), interface.get("addresses")), ("", None));
    let prefixes = each(&interface["prefixes"], "prefix");
    assert!(isc.leased().contains(&prefixes[0]), "{prefixes:?}");
    let dry = site.unionize(&[&words[..], &["--dry-run"]].concat(), &site.web);
    assert_eq!((dry.status, &dry.stderr[..]), (Some(0), ""));
    assert_eq!(each(&site.renew()["prefixes"], "prefix"), prefixes);
    site.detach();
    assert!(!isc.leased().contains(&prefixes[0]));
}

#[test]
fn a_prefix_that_is_refused_is_told_and_asked_for_again() {
    let test = "a_prefix_that_is_refused_is_told_and_asked_for_again";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(mut kea) = Kea::or_skip(test, &site.lab, "br1", "fd00:1::/64", &[]) else { return };
    let words = ["--delegate", "56"];
    let refused = "unionize: web: lease DHCPv6 prefix: server says NoPrefixAvail";
    for _ in 0..2 {
        let (interface, told) = site.attach(&words);
        assert!(told.starts_with(refused) && told.lines().count() == 1, "{told}");
        assert_eq!(
            (each(&interface["addresses"], "origin"), interface.get("prefixes")),
            (vec!["dhcp6".to_owned()], None)
        );
    }
    kea.stop();
    let pools = json!([{"prefix": "fd00:56::", "prefix-len": 48, "delegated-len": 56}]);
    kea.configure(
        "subnet6",
        json!([{
            "id": 1, "subnet": "fd00:1::/64", "interface": "br1", "rapid-commit": true,
            "pools": [{"pool": "fd00:1::1000-fd00:1::1:ffff"}], "pd-pools": pools,
        }]),
    );
    kea.resume();
    let (interface, told) = site.attach(&words);
    assert_eq!((told.as_str(), each(&interface["prefixes"], "prefix").len()), ("", 1));
    // Without a server, what is there stays.
    kea.stop();
    let temporary = [&words[..], &ALL[..4]].concat();
    let (interface, told) = site.attach(&temporary);
    assert!(told.contains("no DHCPv6 server answered within"), "{told}");
    assert_eq!(each(&interface["prefixes"], "prefix").len(), 1);
    assert_eq!(site.addresses().len(), 1);
    kea.resume();
    site.detach();
}

#[test]
fn a_container_without_its_address_fails_whatever_else_there_is() {
    let test = "a_container_without_its_address_fails_whatever_else_there_is";
    let Some(site) = Site::or_skip(test) else { return };
    let Some(mut isc) = Isc::or_skip(test, &site.lab, "br1", "fd00:1::/64") else { return };
    isc.stop();
    let path = isc.leases().with_file_name("conf");
    let text = fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("  range6")).collect();
    fs::write(&path, without.join("\n")).unwrap();
    isc.resume();
    let done = site.unionize(&["--delegate", "64"], &site.web);
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    let record = &done.records()[0];
    assert_eq!(record["error_kind"], "refused", "{record}");
    assert!(record["error"].as_str().unwrap().contains("NoAddrsAvail"), "{record}");
    eventually("the prefix was given back", PATIENCE, || isc.leased().is_empty().then_some(()));
    site.detach();
}
