//! The removal guard where it matters most: lease-watch | lease-cccf | cccf-diff that follow, and a
//! lease database that is lost meanwhile.

mod program;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use program::file;
use serde_json::Value;

const DUID: &str = "duid 00:01:00:01:32:93:c6:3b:92:82:3c:af:23:43\n";
const CLIENTS: u8 = 10;

/// The three programs, and the current side that is told to the last.
struct Pipe {
    leases: String,
    children: Vec<Child>,
    current: File,
    lines: Receiver<Value>,
    told: Receiver<String>,
}

impl Pipe {
    /// Starts it on ten leases whose containers all run.
    fn start(name: &str, args: &[&str]) -> Pipe {
        let leases = file(&format!("guard-{name}.leases"), &database(1..=CLIENTS));
        let template = file(&format!("guard-{name}.json"), r#"{"id":"web","image":"busybox"}"#);
        let fifo = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guard-{name}.fifo"));
        let _ = fs::remove_file(&fifo);
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();

        let mut watch = Command::new(env!("CARGO_BIN_EXE_lease-watch"));
        watch.args(["--follow", "--resync", "none", "--source", &format!("dnsmasq:{leases}")]);
        let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
        let mut fill = Command::new(env!("CARGO_BIN_EXE_lease-cccf"));
        fill.args(["--template", &template, "--owner", "edge"]);
        fill.stdin(watch.stdout.take().unwrap()).stdout(Stdio::piped());
        let mut fill = fill.spawn().unwrap();
        let mut diff = Command::new(env!("CARGO_BIN_EXE_cccf-diff"));
        diff.args(["--owner", "edge", "--current"]).arg(&fifo).args(args);
        diff.stdin(fill.stdout.take().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut diff = diff.spawn().unwrap();

        let lines =
            each_line(diff.stdout.take().unwrap(), |line| serde_json::from_str(&line).unwrap());
        let told = each_line(diff.stderr.take().unwrap(), |line| line);
        let current = File::options().write(true).open(fifo).unwrap();
        Pipe { leases, children: vec![watch, fill, diff], current, lines, told }.settled()
    }

    fn settled(mut self) -> Pipe {
        writeln!(
            self.current,
            r#"{{"kind":"checkpoint","of":"container","count":0,"follow":true}}"#
        )
        .unwrap();
        for _ in 0..CLIENTS {
            let change = self.next();
            assert_eq!(change["action"], "add");
            self.runs(&change);
        }
        assert_eq!(self.next()["kind"], "checkpoint");
        self
    }

    /// Shows the container of a change as one that runs.
    fn runs(&mut self, change: &Value) {
        let mut container = change["container"].clone();
        container["state"] = "running".into();
        writeln!(self.current, "{container}").unwrap();
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("a record in time")
    }

    /// `ACTION` of each change within the time given.
    fn within(&self, time: Duration) -> Vec<String> {
        let end = Instant::now() + time;
        let mut actions = Vec::new();
        while let Ok(record) =
            self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            actions.push(record["action"].as_str().unwrap_or("checkpoint").to_owned());
        }
        actions
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn each_line<T: Send + 'static>(
    from: impl Read + Send + 'static,
    make: impl Fn(String) -> T + Send + 'static,
) -> Receiver<T> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(make(line));
        }
    });
    lines
}

fn database(clients: impl Iterator<Item = u8>) -> String {
    let lease = |n| format!("0 1 fd00::{n:x} * 00:03:00:01:00:00:00:{n:02x}\n");
    clients.map(lease).fold(DUID.to_owned(), |text, line| text + &line)
}

#[test]
fn a_lease_database_that_is_lost_removes_nothing() {
    let pipe = Pipe::start("lost", &[]);
    fs::write(&pipe.leases, DUID).unwrap();
    let told = pipe.told.recv_timeout(Duration::from_secs(20)).expect("it is told");
    assert!(told.contains("would remove 10 of 10 containers"), "{told}");
    assert_eq!(pipe.within(Duration::from_millis(500)), [""; 0]);
    // The clients come back one by one, and find their containers as they were.
    fs::write(&pipe.leases, database(1..=2)).unwrap();
    assert_eq!(pipe.within(Duration::from_millis(500)), [""; 0]);
}

#[test]
fn clients_that_came_a_moment_before_are_not_lost_either() {
    let mut pipe = Pipe::start("fresh", &[]);
    fs::write(&pipe.leases, database(1..=2 * CLIENTS)).unwrap();
    for _ in 0..CLIENTS {
        let change = pipe.next();
        assert_eq!(change["action"], "add");
        pipe.runs(&change);
    }
    assert_eq!(pipe.within(Duration::from_millis(300)), [""; 0]);
    fs::write(&pipe.leases, DUID).unwrap();
    let told = pipe.told.recv_timeout(Duration::from_secs(20)).expect("it is told");
    assert!(told.contains("would remove 20 of 20 containers"), "{told}");
    assert!(pipe.within(Duration::from_millis(500)).iter().all(|action| action == "keep"));
}

#[test]
fn with_force_all_of_them_go() {
    let pipe = Pipe::start("force", &["--force"]);
    fs::write(&pipe.leases, DUID).unwrap();
    let actions: Vec<_> = (0..=CLIENTS).map(|_| pipe.next()["action"].clone()).collect();
    assert!(actions[..CLIENTS.into()].iter().all(|action| action == "remove"), "{actions:?}");
    assert_eq!(actions[usize::from(CLIENTS)], Value::Null, "the checkpoint");
}

#[test]
fn one_lease_of_ten_that_ends_takes_its_container_along_at_once() {
    let pipe = Pipe::start("one", &[]);
    fs::write(&pipe.leases, database(2..=CLIENTS)).unwrap();
    let change = pipe.next();
    assert_eq!(
        (&change["action"], &change["container"]["lease"]["address"]),
        (&"remove".into(), &"fd00::1".into())
    );
    assert_eq!(pipe.within(Duration::from_millis(300)), [""; 0]);
    assert!(pipe.told.try_recv().is_err());
}
