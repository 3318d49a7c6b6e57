//! lease-bind's reservations, on a real dnsmasq that is never told of them.

mod lab;

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use lab::{Client, Lab, PATIENCE, bin, eventually, run};
use serde_json::{Value, json};

fn change(action: &str, client: &Client, address: &str) -> Value {
    json!({"kind": "change", "action": action, "status": "done", "container": {
        "id": "web", "image": "busybox", "owner": "edge",
        "lease": {"key": "v2jwgo55gdtxn", "address": "2001:db8::1"},
        "docker": {"id": "0123abc"},
        "interfaces": [{"name": "eth1", "link": "lp0", "bridge": "br1", "mac": "02:00:00:00:00:01",
            "duid": client.duid_text(), "iaid": 1,
            "addresses": [{"address": address, "prefix_len": 128, "origin": "dhcp6"}]}],
    }})
}

/// Feeds lease-bind one record, and waits for dnsmasq to have read what it wrote.
fn bind(lab: &mut Lab, record: &Value, is_read: bool) {
    let server = lab.server("br1");
    let reads = |log: String| log.matches("edge@web new or modified").count();
    let before = reads(server.log());
    let mut command = std::process::Command::new(bin!("lease-bind"));
    command.arg("--ledger").arg(server.hosts().with_file_name("ledger.db"));
    command.arg("--reserve").arg(format!("dnsmasq:{}", server.hosts().display()));
    let done = run(&mut command, format!("{record}\n"));
    assert_eq!((done.status, &*done.stderr), (Some(0), ""));
    assert_eq!(done.records()[0]["kind"], "binding");
    if is_read {
        let read = || (reads(server.log()) > before).then_some(());
        eventually("dnsmasq reads the reservation", PATIENCE, read);
    }
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn a_reservation_is_honoured_and_so_is_its_end() {
    let Some(mut lab) = Lab::or_skip("a_reservation_is_honoured_and_so_is_its_end") else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let mut web = lab.client("br1", "web");
    web.hostname = None;
    let mut record = change("add", &web, "fd00:1::abc");
    let mut again = || {
        let leased = web.lease();
        web.release();
        leased
    };
    let by_chance = |address: Ipv6Addr| (0x1000..=0x1fff).contains(&address.segments()[7]);
    assert!(by_chance(again()));

    bind(&mut lab, &record, true);
    assert_eq!(again(), address("fd00:1::abc"));

    // It moves with its container's address.
    record["container"]["interfaces"][0]["addresses"][0]["address"] = "fd00:1::def".into();
    bind(&mut lab, &record, true);
    assert_eq!(again(), address("fd00:1::def"));

    // It survives both sides' restarts.
    lab.server("br1").stop();
    lab.server("br1").resume();
    assert_eq!(again(), address("fd00:1::def"));

    record["action"] = "remove".into();
    bind(&mut lab, &record, true);
    assert!(by_chance(again()), "the end of a reservation is honoured");

    // And comes back with the container.
    record["action"] = "add".into();
    bind(&mut lab, &record, true);
    assert_eq!(again(), address("fd00:1::def"));

    // A server that does not run hears of the end when it starts.
    lab.server("br1").stop();
    record["action"] = "remove".into();
    bind(&mut lab, &record, false);
    lab.server("br1").resume();
    assert!(by_chance(again()), "the end of a reservation is honoured");
}

/// What the manual says of dnsmasq, so that it is known when a later version differs.
#[test]
fn what_is_deleted_is_honoured_until_the_server_reads_anew() {
    let Some(mut lab) = Lab::or_skip("what_is_deleted_is_honoured_until_the_server_reads_anew")
    else {
        return;
    };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let mut web = lab.client("br1", "web");
    web.hostname = None;
    let record = change("add", &web, "fd00:1::abc");
    bind(&mut lab, &record, true);
    let file = lab.server("br1").hosts().join("edge@web");
    fs::remove_file(&file).unwrap();
    assert_eq!(web.lease(), address("fd00:1::abc"));
    web.release();
    // The log tells when it has read the directory anew, if something is there to be read.
    fs::write(file.with_file_name("printer"), "id:00:01:02,[fd00:1::99]\n").unwrap();
    let reads = |lab: &mut Lab| lab.server("br1").log().matches("/printer").count();
    eventually("dnsmasq reads the file", PATIENCE, || (reads(&mut lab) >= 2).then_some(()));
    lab.server("br1").reload();
    eventually("dnsmasq reads it again", PATIENCE, || (reads(&mut lab) >= 3).then_some(()));
    assert_ne!(web.lease(), address("fd00:1::abc"));
}

#[test]
fn unfinished_files_are_not_read_and_those_of_others_stay() {
    let Some(mut lab) = Lab::or_skip("unfinished_files_are_not_read_and_those_of_others_stay")
    else {
        return;
    };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let mut printer = lab.client("br1", "printer");
    let mut web = lab.client("br1", "web");
    (printer.hostname, web.hostname) = (None, None);
    let hosts = lab.server("br1").hosts();
    let reserve = |name: &str, client: &Client, address: &str| {
        let line = format!("id:{},[{address}]\n", client.duid_text());
        fs::write(Path::new(&hosts).join(name), line).unwrap();
    };
    reserve(".leasepipe-edge@web.1", &web, "fd00:1::bad");
    reserve("printer", &printer, "fd00:1::99");
    eventually("dnsmasq reads the printer's", PATIENCE, || {
        lab.server("br1").log().contains("printer new or modified").then_some(())
    });
    bind(&mut lab, &change("add", &web, "fd00:1::abc"), true);
    bind(&mut lab, &change("remove", &web, "fd00:1::abc"), true);
    assert_eq!(printer.lease(), address("fd00:1::99"));
    assert_ne!(web.lease(), address("fd00:1::bad"));
    assert!(!lab.server("br1").log().contains(".leasepipe-"));
    assert!(hosts.join("printer").exists());
}
