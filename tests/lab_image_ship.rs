//! image-ship between real engines, and from a real registry.

mod lab;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::strait::{Manner, Strait};
use lab::{Docker, Done, Hosts, IMAGE, Registry, bin, run};
use serde_json::{Value, json};

fn image_ship(arguments: &[&str], records: &[Value]) -> Done {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    run(Command::new(bin!("image-ship")).args(arguments), input)
}

fn add(host: &str, url: &str, image: &str) -> Value {
    let host = json!({"id": host, "url": url});
    let container = json!({"id": format!("on-{}", host["id"].as_str().unwrap()), "image": image,
        "host": host, "x-note": [1]});
    json!({"kind": "change", "action": "add", "container": container})
}

/// The size of an image's own layer, unless a test says another.
const OWN: usize = 400_000;

/// Makes an image of two layers on host 1: one that all images have, and one of its own.
fn make(hosts: &Hosts, name: &str, own: &str) -> String {
    make_large(hosts, name, own, OWN)
}

fn make_large(hosts: &Hosts, name: &str, own: &str, bytes: usize) -> String {
    let dockerfile = format!("FROM {IMAGE}\nCOPY {own} /{own}\n");
    let directory = hosts.base().join(format!("build-{own}"));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    std::fs::write(directory.join(own), own.repeat(bytes / own.len())).unwrap();
    let mut build = Command::new("docker");
    build.args(["-H", &hosts.socket(1), "build", "-q", "-t", name]).arg(&directory);
    let output = build.env("DOCKER_BUILDKIT", "0").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    id(hosts, 1, name).unwrap()
}

/// The id that a host has an image by.
fn id(hosts: &Hosts, host: usize, image: &str) -> Option<String> {
    let mut inspect = Command::new("docker");
    inspect.args(["-H", &hosts.socket(host), "image", "inspect", image, "--format", "{{.Id}}"]);
    let output = inspect.stderr(Stdio::null()).output().unwrap();
    let id = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| id.trim().to_owned())
}

#[test]
fn hosts_get_images_from_each_other() {
    let Some(hosts) = Hosts::or_skip("hosts_get_images_from_each_other", 3, &[]) else { return };
    let (app, other) = ("lptest/app:1", "lptest/other:1");
    let made = make(&hosts, app, "one");
    let source = hosts.socket(1);
    let to = |host: usize, image: &str| add(&format!("h{host}"), &hosts.socket(host), image);

    // Two hosts at once; what is not to be added, and what failed before, passes.
    let mut failed = to(2, "lptest/none:1");
    failed["status"] = json!("failed");
    let mut gone = to(2, "lptest/none:1");
    gone["action"] = json!("remove");
    let input = [to(2, app), to(3, app), failed.clone(), gone.clone()];
    let done = image_ship(&["--from", &source], &input);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let mut records = done.records();
    assert_eq!(records.len(), 4);
    for record in input {
        records.remove(records.iter().position(|out| *out == record).expect("it is unchanged"));
    }
    for host in [2, 3] {
        assert_eq!(id(&hosts, host, app).as_ref(), Some(&made), "host {host}");
    }
    let again = image_ship(&["--from", "any"], &[to(2, app), to(3, app)]);
    assert_eq!(again.status, Some(0), "{}", again.stderr);

    // The tag has moved at the source, and a host that has the old image gets the new one.
    let moved = make(&hosts, app, "two");
    assert_eq!(image_ship(&["--from", &source], &[to(2, app)]).status, Some(0));
    assert_eq!(id(&hosts, 2, app), Some(moved.clone()));
    assert_eq!(id(&hosts, 3, app), Some(made));

    // Whoever has it: host 1 runs it, as a record says.
    let new = make(&hosts, other, "three");
    let mut keeps = to(1, other);
    keeps["action"] = json!("keep");
    let host = json!({"kind": "host", "id": "h3", "url": hosts.socket(3)});
    let done = image_ship(&["--from", "any", "--image", other], &[to(2, other), keeps, host]);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert_eq!((id(&hosts, 2, other), id(&hosts, 3, other)), (Some(new.clone()), Some(new)));

    left_out(&hosts);
    std::thread::scope(|scope| {
        scope.spawn(|| held_up(&hosts));
        paced(&hosts);
    });

    // A host that is off, and an image that nobody has, fail their records alone.
    hosts.off(3);
    let own = make(&hosts, "lptest/own:1", "four");
    let input = [to(3, "lptest/own:1"), to(2, "lptest/own:1"), to(2, "lptest/none:1")];
    let done = image_ship(&["--from", &source], &input);
    assert_eq!(done.status, Some(69), "{}", done.stderr);
    let kind = |id: &str, image: &str| {
        let records = done.records();
        let record = records.iter().find(|record| {
            record["container"]["id"] == id && record["container"]["image"] == image
        });
        record.unwrap()["error_kind"].clone()
    };
    assert_eq!(kind("on-h3", "lptest/own:1"), "unavailable");
    assert_eq!(kind("on-h2", "lptest/none:1"), "not_found");
    assert_eq!(kind("on-h2", "lptest/own:1"), Value::Null);
    assert_eq!(id(&hosts, 2, "lptest/own:1"), Some(own));
}

/// A layer that a host has is not sent to it; and if it turns out that it has not, all of them are.
fn left_out(hosts: &Hosts) {
    let image = "lptest/left-out:1";
    let made = make(hosts, image, "five");
    let source = hosts.socket(1);
    let whole: u64 = {
        let size = hosts.docker(1, &["image", "inspect", image, "--format", "{{.Size}}"]);
        size.parse().unwrap()
    };
    let fair = Strait::new("fair", &hosts.socket(2), Manner::Fair);
    let claims = Strait::new("claims", &hosts.socket(3), Manner::Claims(source.clone()));
    let input = [add("h2", &fair.url(), image), add("h3", &claims.url(), image)];
    let done = image_ship(&["--from", &source], &input);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    for host in [2, 3] {
        assert_eq!(id(hosts, host, image).as_ref(), Some(&made), "host {host}");
    }
    // Beside the layers themselves an archive holds a few descriptions.
    let (own, more) = (OWN as u64, 100_000);
    assert!(whole > own + 10 * more, "{whole}");
    let sent: Vec<u64> = fair.loads().iter().map(|load| load.bytes).collect();
    assert!(matches!(sent[..], [sent] if sent > own && sent < own + more), "{sent:?}");
    let sent: Vec<u64> = claims.loads().iter().map(|load| load.bytes).collect();
    assert!(matches!(sent[..], [none, all] if none < more && all > whole), "{sent:?}");
}

/// An engine that takes no more, and one that takes all and says nothing, are given up, and the third
/// gets its image meanwhile.
fn held_up(hosts: &Hosts) {
    let image = "lptest/held-up:1";
    let made = make_large(hosts, image, "six", 8_000_000);
    let stuck = Strait::new("stuck", &hosts.socket(2), Manner::Stuck(1_000_000));
    let mute = Strait::new("mute", &hosts.socket(2), Manner::Mute);
    let input = [
        add("stuck", &stuck.url(), image),
        add("mute", &mute.url(), image),
        add("fine", &hosts.socket(3), image),
    ];
    let begun = Instant::now();
    let done = image_ship(&["--from", &hosts.socket(1), "--timeout", "3s"], &input);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let mut kinds: Vec<(String, Value)> = done
        .records()
        .iter()
        .map(|record| (record["container"]["id"].to_string(), record["error_kind"].clone()))
        .collect();
    kinds.sort_by(|one, other| one.0.cmp(&other.0));
    let kinds: Vec<Value> = kinds.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [Value::Null, json!("timed_out"), json!("timed_out")], "{}", done.stderr);
    assert_eq!(id(hosts, 3, image), Some(made));
}

/// `--rate` is kept to, of all hosts together.
fn paced(hosts: &Hosts) {
    let image = "lptest/paced:1";
    make_large(hosts, image, "seven", 4_000_000);
    let straits =
        [2, 3].map(|host| Strait::new(&format!("paced-{host}"), &hosts.socket(host), Manner::Fair));
    let input: Vec<Value> = straits.iter().map(|one| add("paced", &one.url(), image)).collect();
    let done = image_ship(&["--from", &hosts.socket(1), "--rate", "24mbit"], &input);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let loads: Vec<_> = straits.iter().flat_map(Strait::loads).collect();
    let bytes: u64 = loads.iter().map(|load| load.bytes).sum();
    let first = loads.iter().map(|load| load.first).min().unwrap();
    let last = loads.iter().map(|load| load.last).max().unwrap();
    let rate = bytes as f64 * 8.0 / (last - first).as_secs_f64() / 24e6;
    assert!((0.75..1.25).contains(&rate), "{bytes} bytes at {rate} of the rate");
}

#[test]
fn a_tag_is_pinned_to_what_its_registry_has() {
    let test = "a_tag_is_pinned_to_what_its_registry_has";
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(registry) = Registry::or_skip(test) else { return };
    let (image, digest) = registry.push(&docker, "pinned:1");
    let wanted = add("local", "unix:///var/run/docker.sock", &image);
    let config = registry.docker_config().display().to_string();
    let ship = |more: &[&str]| {
        let arguments = [&["--docker-config", &config], more].concat();
        image_ship(&arguments, std::slice::from_ref(&wanted))
    };
    let done = ship(&["--pin"]);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let record = done.records().remove(0);
    assert_eq!(record["container"]["image"], format!("{image}@{digest}"));
    assert_eq!(record["status"], Value::Null);
    docker.docker(&["image", "inspect", &format!("{image}@{digest}")]);
    let plain = ship(&[]);
    assert_eq!((plain.status, plain.records()), (Some(0), vec![wanted.clone()]));
    docker.docker(&["image", "inspect", &image]);
    registry.configure("{}");
    registry.forget();
    let refused = ship(&[]);
    assert_eq!(refused.records()[0]["error_kind"], "not_permitted", "{}", refused.stderr);
}
