//! Reservations on a server that is played the way `libdhcp_host_cmds.so` answers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::adapter::kea::played::Played;

const COMMANDS: [&str; 7] = [
    "config-get",
    "list-commands",
    "reservation-add",
    "reservation-del",
    "reservation-get",
    "reservation-get-page",
    "reservation-update",
];

/// What the server keeps, what it knows, and which commands it was given.
struct Kea {
    hosts: Vec<Value>,
    commands: Vec<&'static str>,
    configuration: Value,
    given: Vec<String>,
}

type Shared = Arc<Mutex<Kea>>;

fn kea() -> (Played, Shared) {
    let subnet = |id: u32, subnet: &str| json!({"id": id, "subnet": subnet});
    let kea = Kea {
        hosts: Vec::new(),
        commands: COMMANDS.into(),
        configuration: json!({"Dhcp6": {
            "hosts-database": {"type": "mysql", "password": "s3cret"},
            "subnet6": [subnet(1, "fd00::/32"), subnet(7, "fd00:1::/64")],
            "shared-networks": [{"name": "x", "subnet6": [subnet(9, "fd00:2::/64")]}],
        }}),
        given: Vec::new(),
    };
    let kea = Arc::new(Mutex::new(kea));
    let its = kea.clone();
    let played =
        Played::start(move |command| its.lock().unwrap().answer(command).to_string().into());
    (played, kea)
}

impl Kea {
    fn answer(&mut self, command: &Value) -> Value {
        let arguments = &command["arguments"];
        let name = command["command"].as_str().unwrap();
        self.given.push(name.to_owned());
        if !self.commands.contains(&name) {
            let text = format!("'{name}' command not supported.");
            return json!({"result": 2, "text": text});
        }
        let at = |hosts: &[Value]| {
            hosts.iter().position(|host| {
                host["subnet-id"] == arguments["subnet-id"]
                    && host["duid"] == arguments["identifier"]
            })
        };
        let given = &arguments["reservation"];
        match name {
            "config-get" => json!({"result": 0, "arguments": self.configuration}),
            "list-commands" => json!({"result": 0, "arguments": self.commands}),
            "reservation-add" => {
                let same = |host: &Value| {
                    host["subnet-id"] == given["subnet-id"]
                        && (host["duid"] == given["duid"]
                            || host["ip-addresses"] == given["ip-addresses"])
                };
                if self.hosts.iter().any(same) {
                    return json!({"result": 1, "text": "Database duplicate entry error"});
                }
                self.hosts.push(given.clone());
                json!({"result": 0, "text": "Host added."})
            }
            "reservation-update" => {
                let same = |host: &&mut Value| {
                    (&host["subnet-id"], &host["duid"]) == (&given["subnet-id"], &given["duid"])
                };
                *self.hosts.iter_mut().find(same).unwrap() = given.clone();
                json!({"result": 0, "text": "Host updated."})
            }
            "reservation-get" => match at(&self.hosts) {
                Some(at) => {
                    json!({"result": 0, "text": "Host found.", "arguments": self.hosts[at]})
                }
                None => json!({"result": 3, "text": "Host not found."}),
            },
            "reservation-del" => match at(&self.hosts) {
                Some(at) => {
                    self.hosts.remove(at);
                    json!({"result": 0, "text": "Host deleted."})
                }
                None => json!({"result": 3, "text": "Host not deleted (not found)."}),
            },
            // Pages of two, so that few reservations make several pages.
            _ => {
                let from = arguments["from"].as_u64().unwrap() as usize;
                let hosts: Vec<&Value> = self.hosts.iter().skip(from).take(2).collect();
                let next = json!({"source-index": 1, "from": from + hosts.len()});
                match hosts.is_empty() {
                    true => json!({"result": 3, "arguments": {"count": 0, "hosts": []}}),
                    false => json!({"result": 0, "arguments": {"hosts": hosts, "next": next}}),
                }
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

fn open(played: &Played) -> Reservations {
    Reservations::open(played.place(), PATIENCE).unwrap()
}

fn wanted(container: &str, duid: u8, address: &str) -> Reservation {
    Reservation {
        owner: "edge".parse().unwrap(),
        container: container.parse().unwrap(),
        duid: Duid::new(&[0, 3, 0, 1, duid]).unwrap(),
        address: address.parse().unwrap(),
        name: container.parse().ok(),
    }
}

fn hosts(kea: &Shared) -> Vec<Value> {
    kea.lock().unwrap().hosts.clone()
}

/// The commands that changed something since this was last asked.
fn changes(kea: &Shared) -> Vec<String> {
    let given = std::mem::take(&mut kea.lock().unwrap().given);
    let reads = ["reservation-get", "reservation-get-page", "config-get", "list-commands"];
    given.into_iter().filter(|name| !reads.contains(&&**name)).collect()
}

#[test]
fn a_reservation_is_made_once_in_its_subnet_and_ends() {
    let (played, kea) = kea();
    let mut reservations = open(&played);
    let web = wanted("web", 1, "fd00:1::5");
    assert!(reservations.put(&web).unwrap());
    let expected = json!({
        "subnet-id": 7, "duid": "00:03:00:01:01", "ip-addresses": ["fd00:1::5"], "hostname": "web",
        "user-context": {"leasepipe": {"owner": "edge", "container": "web"}},
    });
    assert_eq!(hosts(&kea), std::slice::from_ref(&expected));
    assert!(!reservations.put(&web).unwrap());
    assert!(!open(&played).put(&web).unwrap());
    assert_eq!(changes(&kea), ["reservation-add"]);

    let shared = wanted("db", 2, "fd00:2::5");
    let wide = wanted("cache", 3, "fd00:0:5::5");
    assert!(reservations.put(&shared).unwrap() && reservations.put(&wide).unwrap());
    let subnets: Vec<Value> = hosts(&kea).iter().map(|host| host["subnet-id"].clone()).collect();
    assert_eq!(subnets, [7, 9, 1]);
    assert_eq!(reservations.duid(&web.owner, &web.container).unwrap(), Some(web.duid.clone()));

    assert!(reservations.remove(&shared.owner, &shared.container).unwrap());
    assert!(!reservations.remove(&shared.owner, &shared.container).unwrap());
    assert_eq!(reservations.duid(&shared.owner, &shared.container).unwrap(), None);
    assert_eq!(hosts(&kea).len(), 2);
}

#[test]
fn an_address_that_changes_is_changed_at_once_where_the_server_can() {
    for can in [true, false] {
        let (played, kea) = kea();
        if !can {
            kea.lock().unwrap().commands.retain(|name| *name != UPDATE);
        }
        let mut reservations = open(&played);
        reservations.put(&wanted("web", 1, "fd00:1::5")).unwrap();
        assert!(reservations.put(&wanted("web", 1, "fd00:1::6")).unwrap());
        assert_eq!(hosts(&kea)[0]["ip-addresses"], json!(["fd00:1::6"]));
        assert_eq!(hosts(&kea).len(), 1);
        match can {
            true => assert_eq!(changes(&kea), ["reservation-add", UPDATE]),
            false => {
                assert_eq!(changes(&kea), ["reservation-add", "reservation-del", "reservation-add"])
            }
        }
    }
}

#[test]
fn what_a_container_had_under_another_identity_goes() {
    let (played, kea) = kea();
    let mut reservations = open(&played);
    reservations.put(&wanted("web", 1, "fd00:1::5")).unwrap();
    assert!(reservations.put(&wanted("web", 1, "fd00:2::5")).unwrap());
    assert_eq!(hosts(&kea).len(), 1);
    assert_eq!(hosts(&kea)[0]["subnet-id"], 9);
    assert!(reservations.put(&wanted("web", 2, "fd00:2::6")).unwrap());
    assert_eq!(hosts(&kea).len(), 1);
    assert_eq!(hosts(&kea)[0]["duid"], "00:03:00:01:02");
}

#[test]
fn what_was_cut_short_is_finished() {
    let (played, kea) = kea();
    let (before, now) = (wanted("web", 1, "fd00:1::5"), wanted("web", 1, "fd00:2::5"));
    // Two runs that knew nothing of each other, or one that was killed in between.
    let mut first = open(&played);
    first.put(&before).unwrap();
    let mut second = open(&played);
    assert!(second.put(&now).unwrap());
    assert_eq!(hosts(&kea).len(), 1);
    first.put(&before).unwrap();
    assert_eq!(hosts(&kea).len(), 2);
    assert!(open(&played).put(&now).unwrap());
    assert_eq!(hosts(&kea).len(), 1);
    first.put(&before).unwrap();
    assert!(open(&played).remove(&now.owner, &now.container).unwrap());
    assert_eq!(hosts(&kea).len(), 0);
}

#[test]
fn the_next_container_of_a_duid_takes_over() {
    let (played, kea) = kea();
    let mut reservations = open(&played);
    let (old, new) = (wanted("web-a", 1, "fd00:1::5"), wanted("web-b", 1, "fd00:1::5"));
    reservations.put(&old).unwrap();
    assert!(reservations.put(&new).unwrap());
    assert_eq!(reservations.duid(&old.owner, &old.container).unwrap(), None);
    assert!(!reservations.remove(&old.owner, &old.container).unwrap());
    assert_eq!(hosts(&kea)[0]["user-context"]["leasepipe"]["container"], "web-b");
    assert_eq!(reservations.list(None).unwrap(), [(new.owner, new.container)]);
}

#[test]
fn what_others_made_stays() {
    let (played, kea) = kea();
    let theirs = json!({
        "subnet-id": 7, "duid": "00:03:00:01:01", "ip-addresses": ["fd00:1::99"], "hostname": "",
        "user-context": {"comment": "the printer"},
    });
    let another_s = json!({
        "subnet-id": 7, "duid": "00:03:00:01:02", "ip-addresses": ["fd00:1::98"],
        "user-context": {"leasepipe": {"owner": "other", "container": "web"}},
    });
    let forged = json!({
        "subnet-id": 7, "duid": "00:03:00:01:03", "ip-addresses": ["fd00:1::97"],
        "user-context": {"leasepipe": {"owner": "../x", "container": "web"}},
    });
    let by_mac = json!({
        "subnet-id": 7, "hw-address": "02:00:00:00:00:01", "ip-addresses": ["fd00:1::96"],
        "user-context": {"leasepipe": {"owner": "edge", "container": "db"}},
    });
    let before = vec![theirs, another_s, forged, by_mac];
    kea.lock().unwrap().hosts = before.clone();
    let mut reservations = open(&played);
    for duid in 1..=3 {
        let error = reservations.put(&wanted("web", duid, "fd00:1::5")).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains("has a reservation made"), "{error}");
    }
    // Whoever made it, it gives the address that is wanted.
    assert!(!reservations.put(&wanted("web", 1, "fd00:1::99")).unwrap());
    let edge = "edge".parse().unwrap();
    assert_eq!(reservations.list(Some(&edge)).unwrap(), []);
    assert!(!reservations.remove(&edge, &"web".parse().unwrap()).unwrap());
    assert_eq!(reservations.list(None).unwrap().len(), 1);
    assert_eq!(hosts(&kea), before);
    assert_eq!(changes(&kea), [""; 0]);
}

#[test]
fn one_that_others_took_over_in_the_meantime_is_not_removed() {
    let other = json!({"leasepipe": {"owner": "other", "container": "web"}});
    for mark in [json!({}), json!({"leasepipe": 7}), other] {
        let (played, kea) = kea();
        let mut reservations = open(&played);
        let web = wanted("web", 1, "fd00:1::5");
        reservations.put(&web).unwrap();
        kea.lock().unwrap().hosts[0]["user-context"] = mark;
        assert!(!reservations.remove(&web.owner, &web.container).unwrap());
        assert_eq!(hosts(&kea).len(), 1);
    }
}

#[test]
fn all_that_the_suite_has_is_listed_however_many_pages_it_takes() {
    let (played, _kea) = kea();
    let mut reservations = open(&played);
    for number in 0..7 {
        let name = format!("web-{number}");
        reservations.put(&wanted(&name, number, &format!("fd00:1::{number}"))).unwrap();
    }
    let edge = "edge".parse().unwrap();
    assert_eq!(open(&played).list(Some(&edge)).unwrap().len(), 7);
    assert_eq!(open(&played).list(Some(&"other".parse().unwrap())).unwrap(), []);
    let mut fresh = open(&played);
    assert!(fresh.remove(&edge, &"web-6".parse().unwrap()).unwrap());
}

#[test]
fn what_the_server_lacks_is_named_at_the_start() {
    let refused = |played: &Played| Reservations::open(played.place(), PATIENCE).err().unwrap();
    let (played, kea) = kea();
    kea.lock().unwrap().commands.retain(|name| !name.starts_with("reservation-"));
    let error = refused(&played);
    assert_eq!(error.kind(), Kind::Unavailable);
    for word in ["reservation-add", "libdhcp_host_cmds.so", "hosts-database", "--reserve none"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    kea.lock().unwrap().commands = COMMANDS.into();
    kea.lock().unwrap().configuration["Dhcp6"]["hosts-database"].take();
    assert!(refused(&played).to_string().contains("no database for reservations"));
    kea.lock().unwrap().configuration = json!({"Dhcp4": {}});
    assert!(refused(&played).to_string().contains("not kea-dhcp6"));
}

#[test]
fn the_server_s_own_words_are_told_and_its_configuration_is_read_again() {
    let (played, kea) = kea();
    let mut reservations = open(&played);
    reservations.put(&wanted("web", 1, "fd00:1::5")).unwrap();
    let error = reservations.put(&wanted("db", 2, "fd00:1::5")).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("reservation-add: Database duplicate entry"), "{error}");

    let nowhere = wanted("db", 2, "fd99::5");
    let error = reservations.put(&nowhere).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("no subnet"), "{error}");
    let subnets = &mut kea.lock().unwrap().configuration["Dhcp6"]["subnet6"].take();
    subnets.as_array_mut().unwrap().push(json!({"id": 99, "subnet": "fd99::/64"}));
    kea.lock().unwrap().configuration["Dhcp6"]["subnet6"] = subnets.clone();
    assert!(reservations.put(&nowhere).unwrap());
}
