//! lease-bind's names, asked of the DNS of a real dnsmasq that is never told of them.

mod lab;

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use lab::{Lab, PATIENCE, bin, dns, eventually, run};
use serde_json::{Value, json};

const SERVER: &str = "[fd00:1::1]:53";

/// A lab in which dnsmasq serves DNS on br1, from a directory of names beside the usual ones.
struct Served {
    lab: Lab,
    names: PathBuf,
}

impl Served {
    fn or_skip(test: &str) -> Option<Served> {
        let mut lab = Lab::or_skip(test)?;
        lab.bridge("br1");
        let names = lab.dir().join("names");
        fs::create_dir(&names).unwrap();
        let hostsdir = format!("--hostsdir={}", names.display());
        let options = ["--port=53", "--no-resolv", "--no-hosts", "--local=/lab/", &hostsdir];
        lab.dnsmasq("br1", "fd00:1::/64", &options);
        let served = Served { lab, names };
        // It answers as soon as it can.
        served.ask(|server| dns::addresses(server, "nobody.lab"));
        Some(served)
    }

    fn ask<T: Send>(&self, question: impl FnOnce(SocketAddr) -> T + Send) -> T {
        self.lab.machine().within(|| question(SERVER.parse().unwrap()))
    }

    /// Feeds lease-bind these records; all must be well.
    #[track_caller]
    fn bind(&self, records: &[Value]) {
        let mut command = std::process::Command::new(bin!("lease-bind"));
        command.arg("--ledger").arg(self.lab.dir().join("ledger.db"));
        command.arg("--names").arg(&self.names).args(["--domain", "lab"]);
        let input: String = records.iter().map(|record| format!("{record}\n")).collect();
        let done = run(&mut command, input);
        assert_eq!((done.status, &*done.stderr), (Some(0), ""));
    }

    /// Waits until a name, alone and in its domain, has these addresses.
    #[track_caller]
    fn has(&self, name: &str, addresses: &[&str]) {
        let addresses: Vec<Ipv6Addr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        for name in [name.to_owned(), format!("{name}.lab"), name.to_uppercase()] {
            eventually(&format!("{name} is {addresses:?}"), PATIENCE, || {
                (self.ask(|server| dns::addresses(server, &name)) == addresses).then_some(())
            });
        }
    }

    /// Waits until an address has these names.
    #[track_caller]
    fn is_called(&self, address: &str, names: &[&str]) {
        eventually(&format!("{address} is {names:?}"), PATIENCE, || {
            (self.ask(|server| dns::names(server, address)) == names).then_some(())
        });
    }
}

fn change(action: &str, name: &str, hostname: &str, address: &str) -> Value {
    json!({"kind": "change", "action": action, "status": "done", "container": {
        "id": name, "image": "busybox", "owner": "edge",
        "lease": {"key": "v2jwgo55gdtxn", "address": "2001:db8::1", "hostname": hostname},
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
            "duid": "00:04:01:02", "iaid": 1,
            "addresses": [{"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
    }})
}

fn checkpoint() -> Value {
    json!({"kind": "checkpoint", "of": "change", "count": 1, "owner": "edge"})
}

#[test]
fn a_name_comes_changes_and_goes_in_both_directions() {
    let Some(mut served) = Served::or_skip("a_name_comes_changes_and_goes_in_both_directions")
    else {
        return;
    };
    served.bind(&[change("add", "web", "Alpha.example.org", "fd00:1::a")]);
    served.has("alpha", &["fd00:1::a"]);
    served.is_called("fd00:1::a", &["alpha.lab"]);
    served.has("alpha.example", &[]);

    // Another address.
    served.bind(&[change("keep", "web", "alpha", "fd00:1::b")]);
    served.has("alpha", &["fd00:1::b"]);
    served.is_called("fd00:1::b", &["alpha.lab"]);
    served.is_called("fd00:1::a", &[]);

    // Another name: the old one is given back, and the address follows.
    served.bind(&[change("keep", "web", "beta", "fd00:1::b")]);
    served.has("beta", &["fd00:1::b"]);
    served.has("alpha", &[]);
    served.is_called("fd00:1::b", &["beta.lab"]);

    // Both sides may be started anew.
    served.lab.server("br1").stop();
    served.lab.server("br1").resume();
    served.bind(&[change("keep", "web", "beta", "fd00:1::b"), checkpoint()]);
    served.has("beta", &["fd00:1::b"]);
    served.is_called("fd00:1::b", &["beta.lab"]);

    served.bind(&[change("remove", "web", "beta", "fd00:1::b")]);
    served.has("beta", &[]);
    served.is_called("fd00:1::b", &[]);

    // And what a listing leaves out.
    served.bind(&[change("add", "web", "gamma", "fd00:1::c")]);
    served.has("gamma", &["fd00:1::c"]);
    served.bind(&[checkpoint()]);
    served.has("gamma", &[]);
    served.is_called("fd00:1::c", &[]);
}

#[test]
fn a_successor_at_the_same_address_is_known_by_it() {
    let Some(served) = Served::or_skip("a_successor_at_the_same_address_is_known_by_it") else {
        return;
    };
    // The client has a new name, and so a new container with its identity and its address.
    served.bind(&[change("add", "web-alpha", "alpha", "fd00:1::a")]);
    served.is_called("fd00:1::a", &["alpha.lab"]);
    served.bind(&[change("add", "web-beta", "beta", "fd00:1::a")]);
    served.has("beta", &["fd00:1::a"]);
    served.bind(&[change("remove", "web-alpha", "alpha", "fd00:1::a")]);
    served.has("alpha", &[]);
    served.has("beta", &["fd00:1::a"]);
    served.is_called("fd00:1::a", &["beta.lab"]);

    // The same name in another container: it goes by its own until the first is gone.
    served.bind(&[change("add", "app-beta", "beta", "fd00:1::d")]);
    served.has("app-beta", &["fd00:1::d"]);
    served.has("beta", &["fd00:1::a"]);
    served.bind(&[change("remove", "web-beta", "beta", "fd00:1::a")]);
    served.has("beta", &["fd00:1::d"]);
    served.has("app-beta", &[]);
    served.is_called("fd00:1::d", &["beta.lab"]);
}

/// What the manual says of a dnsmasq that serves the containers' leases as well.
#[test]
fn a_name_stands_beside_that_of_the_lease() {
    let Some(mut served) = Served::or_skip("a_name_stands_beside_that_of_the_lease") else {
        return;
    };
    let mut web = served.lab.client("br1", "web");
    web.hostname = None;
    let hosts = served.lab.server("br1").hosts();
    let mut record = change("add", "web-1", "alpha", "fd00:1::abc");
    record["container"]["interfaces"][0]["duid"] = web.duid_text().into();
    let mut command = std::process::Command::new(bin!("lease-bind"));
    command.arg("--ledger").arg(served.lab.dir().join("ledger.db"));
    command.arg("--reserve").arg(format!("dnsmasq:{}", hosts.display()));
    command.arg("--names").arg(&served.names).args(["--domain", "lab"]);
    assert_eq!(run(&mut command, format!("{record}\n")).status, Some(0));
    served.has("alpha", &["fd00:1::abc"]);
    eventually("the reservation is honoured", PATIENCE, || {
        let leased = web.lease();
        web.release();
        (leased.to_string() == "fd00:1::abc").then_some(())
    });
    web.lease();
    served.is_called("fd00:1::abc", &["alpha.lab"]);
    let by_lease = served.ask(|server| dns::addresses(server, "web-1"));
    assert_eq!(by_lease, ["fd00:1::abc".parse::<Ipv6Addr>().unwrap()]);
    fs::remove_file(served.names.join("alpha")).unwrap();
    served.is_called("fd00:1::abc", &["web-1"]);
    served.bind(&[record]);
    served.is_called("fd00:1::abc", &["alpha.lab"]);
}
