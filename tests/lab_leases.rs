//! The leases of real servers, as lease-watch tells them: of Kea by its lease file, and of ISC dhcpd
//! by its own; with clients of three kinds, and with the server restarted and its file replaced
//! while it is followed. What lease-watch has told in the end is what the server itself has leased.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

mod lab;

use lab::{Isc, Kea, LEASE_CMDS, Lab, PATIENCE, Program, Running, bin, run};

/// A server whose lease file is followed.
trait Server {
    /// Its source.
    fn source(&self) -> String;

    /// What it has leased, by its own account.
    fn leased(&mut self) -> BTreeSet<String>;

    /// Ends it and starts it again, with leases that last so many seconds.
    fn restart(&mut self, lifetime: u32);

    /// Whether its file has been replaced since it was last asked.
    fn has_replaced(&mut self) -> bool;
}

struct KeaFile {
    kea: Kea,
    seen: Option<u64>,
}

impl KeaFile {
    fn or_skip(test: &str, lab: &Lab) -> Option<KeaFile> {
        let mut kea = Kea::or_skip(test, lab, "br0", "fd00:5::/64", &[LEASE_CMDS])?;
        kea.stop();
        kea.configure(
            "lease-database",
            json!({
                "type": "memfile", "name": kea.leases(), "lfc-interval": 2,
            }),
        );
        kea.configure("expired-leases-processing", json!({
            "reclaim-timer-wait-time": 1, "hold-reclaimed-time": 2, "flush-reclaimed-timer-wait-time": 1,
        }));
        kea.configure(
            "subnet6",
            json!([{
                "id": 1, "subnet": "fd00:5::/64", "interface": "br0", "rapid-commit": true,
                "pools": [{"pool": "fd00:5::1000-fd00:5::1fff"}],
                "pd-pools": [{"prefix": "fd00:100::", "prefix-len": 40, "delegated-len": 64}],
            }]),
        );
        kea.resume();
        Some(KeaFile { kea, seen: None })
    }
}

impl Server for KeaFile {
    fn source(&self) -> String {
        format!("kea:{}", self.kea.leases().display())
    }

    fn leased(&mut self) -> BTreeSet<String> {
        let all = self.kea.ask(json!({"command": "lease6-get-all"}));
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs();
        let all = all["arguments"]["leases"].as_array().cloned().unwrap_or_default();
        let holds = |lease: &&Value| {
            let end = lease["cltt"].as_u64().unwrap() + lease["valid-lft"].as_u64().unwrap();
            lease["state"] == 0 && end > now
        };
        let place = |lease: &Value| {
            let address = lease["ip-address"].as_str().unwrap();
            match lease["type"].as_str().unwrap() {
                "IA_PD" => format!("{address}/{}", lease["prefix-len"]),
                _ => address.to_owned(),
            }
        };
        all.iter().filter(holds).map(place).collect()
    }

    fn restart(&mut self, lifetime: u32) {
        self.kea.stop();
        self.kea.configure("valid-lifetime", lifetime.into());
        self.kea.configure("preferred-lifetime", lifetime.into());
        self.kea.resume();
    }

    fn has_replaced(&mut self) -> bool {
        is_other(&self.kea.leases(), &mut self.seen)
    }
}

struct IscFile {
    isc: Isc,
    seen: Option<u64>,
}

impl Server for IscFile {
    fn source(&self) -> String {
        format!("isc:{}", self.isc.leases().display())
    }

    fn leased(&mut self) -> BTreeSet<String> {
        self.isc.leased()
    }

    fn restart(&mut self, lifetime: u32) {
        self.isc.stop();
        self.isc.configure(lifetime);
        self.isc.resume();
    }

    fn has_replaced(&mut self) -> bool {
        is_other(&self.isc.leases(), &mut self.seen)
    }
}

/// Whether the path leads to another file than before.
fn is_other(path: &PathBuf, seen: &mut Option<u64>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let now = std::fs::metadata(path).ok().map(|metadata| metadata.ino());
    let other = now.is_some() && seen.is_some() && now != *seen;
    *seen = now.or(*seen);
    other
}

/// A lease-watch that follows, and what it has told so far.
struct Watch {
    running: Running,
    active: BTreeMap<String, Value>,
    listing: BTreeMap<String, Value>,
}

impl Watch {
    fn start(lab: &Lab, source: &str) -> Watch {
        let mut command = lab.command(bin!("lease-watch"));
        command.args(["--source", source, "--follow", "--resync", "none"]);
        let running = Running::start(&mut command);
        let mut watch = Watch { running, active: BTreeMap::new(), listing: BTreeMap::new() };
        watch.until("the first listing", |record| record["kind"] == "checkpoint");
        watch
    }

    fn take(&mut self, record: &Value) {
        if record["kind"] == "checkpoint" {
            assert_ne!(record["partial"], true, "{record}");
            self.active = std::mem::take(&mut self.listing);
            return;
        }
        let place = place(record);
        match (record["event"].as_str(), record["state"].as_str()) {
            (Some("list"), _) => drop(self.listing.insert(place, record.clone())),
            (_, Some("active")) => drop(self.active.insert(place, record.clone())),
            (_, Some("ended")) => drop(self.active.remove(&place)),
            _ => panic!("{record}"),
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(line) = self.running.line(left) else {
                panic!("no {what}; it has {:?}; it said {}", self.active, self.running.stop());
            };
            let record: Value = serde_json::from_str(&line).expect("a record");
            self.take(&record);
            if fits(&record) {
                return record;
            }
        }
    }

    /// The next time that this is told of this place.
    #[track_caller]
    fn event(&mut self, event: &str, wanted: &str) -> Value {
        let fits = |record: &Value| record["event"] == event && place(record) == wanted;
        self.until(&format!("{event} of {wanted}"), fits)
    }

    /// Takes whatever comes for a while, in which nobody is told anything of these places.
    fn hears_nothing_of(&mut self, places: &[&str], during: Duration) {
        let end = Instant::now() + during;
        while let Some(line) = self.running.line(end.saturating_duration_since(Instant::now())) {
            let record: Value = serde_json::from_str(&line).expect("a record");
            assert!(
                record["kind"] == "checkpoint" || !places.contains(&&*place(&record)),
                "{record}"
            );
            self.take(&record);
        }
    }
}

/// `ADDRESS`, or `ADDRESS/LENGTH` of a prefix.
fn place(record: &Value) -> String {
    let address = record["address"].as_str().expect("an address");
    match record["prefix_len"].as_u64() {
        Some(length) => format!("{address}/{length}"),
        None => address.to_owned(),
    }
}

/// What one that only lists says.
fn listed(lab: &Lab, source: &str) -> BTreeSet<String> {
    let done = run(lab.command(bin!("lease-watch")).args(["--source", source]), "");
    assert_eq!((done.status, &*done.stderr), (Some(0), ""));
    let records = done.records();
    let leases = records.iter().filter(|record| record["kind"] == "lease");
    leases.map(place).collect()
}

/// Everything that becomes of leases, with clients of three kinds.
fn all_that_happens(test: &str, mut lab: Lab, server: &mut dyn Server) {
    let source = server.source();
    server.has_replaced();
    let mut watch = Watch::start(&lab, &source);

    // A client comes, and stays.
    let mut alice = lab.client("br0", "alice");
    let address = alice.lease().to_string();
    let told = watch.event("add", &address);
    assert_eq!((&told["duid"], &told["iaid"]), (&json!(alice.duid_text()), &json!(alice.iaid)));
    assert_eq!((&told["type"], &told["source"]), (&json!("na"), &json!(source)));
    for extend in [lab::Client::renew, lab::Client::rebind] {
        // An end is told in seconds.
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(extend(&mut alice).map(|address| address.to_string()), Some(address.clone()));
        watch.event("renew", &address);
    }

    // Others go, each in its way, and one comes back.
    let mut bob = lab.client("br0", "bob");
    let given_back = bob.lease().to_string();
    watch.event("add", &given_back);
    bob.release();
    watch.event("release", &given_back);
    let again = bob.lease().to_string();
    watch.event("add", &again);
    let mut carol = lab.client("br0", "carol");
    let declined = carol.lease().to_string();
    watch.event("add", &declined);
    carol.decline();
    watch.event("decline", &declined);
    let (prefix, length) = carol.lease_prefix();
    let prefix = format!("{prefix}/{length}");
    assert_eq!(watch.event("add", &prefix)["type"], "pd");

    // The clients that people have.
    for program in [Program::Dhclient, Program::Dhcpcd] {
        let Some(mut stock) = lab.stock(test, "br0", program) else { continue };
        let is_new = |kind: &'static str| {
            move |record: &Value| record["event"] == "add" && record["type"] == kind
        };
        let address = place(&watch.until(&format!("a lease of {program:?}"), is_new("na")));
        let prefix =
            match watch.active.values().find(|lease| {
                lease["type"] == "pd" && lease["duid"] == watch.active[&address]["duid"]
            }) {
                Some(lease) => place(lease),
                None => place(&watch.until(&format!("a prefix of {program:?}"), is_new("pd"))),
            };
        stock.release();
        watch.until(&format!("the end of both, {}", stock.said()), |record| {
            record["event"] == "release" && [&address, &prefix].contains(&&place(record))
        });
        let other = |watch: &Watch| {
            [&address, &prefix].iter().any(|place| watch.active.contains_key(*place))
        };
        if other(&watch) {
            watch.until("the end of the other", |record| record["event"] == "release");
        }
        assert!(!other(&watch));
    }

    // A restart ends nothing, whatever becomes of the file.
    server.restart(3600);
    let mut dave = lab.client("br0", "dave");
    let after = dave.lease().to_string();
    watch.event("add", &after);
    let stay = [&*address, &again, &prefix, &after];
    let end = Instant::now() + PATIENCE;
    while !server.has_replaced() {
        assert!(Instant::now() < end, "the file is replaced now and then");
        watch.hears_nothing_of(&stay, Duration::from_millis(100));
    }
    watch.hears_nothing_of(&stay, Duration::from_secs(3));
    assert!(stay.iter().all(|place| watch.active.contains_key(*place)), "{:?}", watch.active);

    // Leases that last for a moment.
    server.restart(3);
    let mut erin = lab.client("br0", "erin");
    let short = erin.lease().to_string();
    watch.event("add", &short);
    watch.event("expire", &short);
    server.restart(3600);
    watch.hears_nothing_of(&[&short], Duration::from_secs(3));

    let own = server.leased();
    assert_eq!(own, stay.iter().map(|place| (*place).to_owned()).collect());
    watch.hears_nothing_of(&stay, Duration::from_secs(1));
    assert_eq!(watch.active.keys().cloned().collect::<BTreeSet<_>>(), own);
    assert_eq!(listed(&lab, &source), own);
}

#[test]
fn kea_file() {
    let test = "kea_file";
    let Some(lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    let Some(mut server) = KeaFile::or_skip(test, &lab) else { return };
    all_that_happens(test, lab, &mut server);
}

#[test]
fn isc_file() {
    let test = "isc_file";
    let Some(lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    let Some(isc) = Isc::or_skip(test, &lab, "br0", "fd00:5::/64") else { return };
    all_that_happens(test, lab, &mut IscFile { isc, seen: None });
}

/// Thousands of clients come while Kea cleans its file up again and again.
#[test]
fn kea_file_of_a_crowd() {
    let test = "kea_file_of_a_crowd";
    let Some(lab) = Lab::or_skip(test) else { return };
    lab.bridge("br0");
    let Some(mut server) = KeaFile::or_skip(test, &lab) else { return };
    lab.machine().sysctl("net.ipv6.conf.br0-end.accept_dad", "0");
    lab.ip("link set br0-end down");
    lab.ip("link set br0-end up");
    let mut watch = Watch::start(&lab, &server.source());
    server.has_replaced();
    let mut replaced = 0;
    for count in [500, 1500, 3000] {
        server.kea.crowd("br0-end", count);
        replaced += u32::from(server.has_replaced());
    }
    assert!(replaced > 0, "the file was replaced meanwhile");
    let own = server.leased();
    assert!(own.len() > 2000, "{}", own.len());
    let end = Instant::now() + PATIENCE;
    while watch.active.len() < own.len() {
        assert!(Instant::now() < end, "{} of {}", watch.active.len(), own.len());
        watch.hears_nothing_of(&[], Duration::from_millis(100));
    }
    watch.hears_nothing_of(&[], Duration::from_secs(3));
    assert_eq!(watch.active.keys().cloned().collect::<BTreeSet<_>>(), own);
    assert_eq!(listed(&lab, &server.source()), own);
}
