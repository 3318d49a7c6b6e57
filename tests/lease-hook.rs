//! lease-hook as its servers call it, seen from outside.

mod program;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use program::Running;
use serde_json::Value;

const DUID: &str = "00:03:00:01:ca:05:8f:6b:61:50";

/// A spool for one test, empty.
struct Spool(PathBuf);

impl Spool {
    fn new(name: &str) -> Spool {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spool-{name}"));
        let _ = fs::remove_dir_all(&path);
        Spool(path)
    }

    fn command(&self, words: &[impl AsRef<OsStr>], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lease-hook"));
        command.args(words).env_clear().env("LEASEPIPE_SPOOL", &self.0);
        command.envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A call that must leave its server in peace.
    fn call(&self, words: &[impl AsRef<OsStr>], env: &[(&str, &str)]) -> String {
        let output = self.command(words, env).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }

    /// A call that has nothing to complain of.
    fn quiet(&self, words: &[&str], env: &[(&str, &str)]) {
        assert_eq!(self.call(words, env), "");
    }

    /// The files of the spool that are not its own, each with what it holds.
    fn files(&self) -> BTreeMap<String, Value> {
        let Ok(entries) = fs::read_dir(&self.0) else { return BTreeMap::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| !name.starts_with('.'));
        names
            .map(|name| {
                let text = fs::read_to_string(self.0.join(&name)).unwrap();
                (name, serde_json::from_str(&text).unwrap())
            })
            .collect()
    }

    fn one(&self) -> Value {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files.into_values().next().unwrap()
    }
}

fn dnsmasq<'a>(iaid: &'a str, end: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("DNSMASQ_IAID", iaid), ("DNSMASQ_LEASE_EXPIRES", end)]
}

/// Kea's variables for one lease, in its list of those that are given or in that of its own.
fn kea(prefix: &str, client: &str, cltt: i64) -> Vec<(String, String)> {
    let values = [
        ("ADDRESS", "2001:db8::9".to_owned()),
        ("CLTT", cltt.to_string()),
        ("DUID", format!("00:03:00:01:{client}")),
        ("HOSTNAME", "kalpha.".to_owned()),
        ("IAID", "1".to_owned()),
        ("PREFIX_LEN", "128".to_owned()),
        ("STATE", "default".to_owned()),
        ("TYPE", "IA_NA".to_owned()),
        ("VALID_LIFETIME", "60".to_owned()),
    ];
    let size = ("LEASES6_SIZE".to_owned(), "1".to_owned());
    let values = values.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value));
    values.chain([size]).collect()
}

fn pairs(env: &[(String, String)]) -> Vec<(&str, &str)> {
    env.iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn what_dnsmasq_tells_is_left_in_the_spool() {
    let spool = Spool::new("dnsmasq");
    let mut env = dnsmasq("T7", "1795233401");
    env.extend([("DNSMASQ_MAC", "ca:05:8f:6b:61:50"), ("DNSMASQ_USER_CLASS0", "iPXE")]);
    spool.quiet(&["add", DUID, "fd00::1", "alpha"], &env);
    let told = spool.one();
    for (field, value) in [
        ("kind", "lease"),
        ("event", "add"),
        ("state", "active"),
        ("family", "ipv6"),
        ("type", "ta"),
        ("duid", DUID),
        ("mac", "ca:05:8f:6b:61:50"),
        ("address", "fd00::1"),
        ("hostname", "alpha"),
        ("expires_at", "2026-11-21T03:56:41Z"),
        ("source", "dnsmasq-script"),
    ] {
        assert_eq!(told[field], value, "{field}");
    }
    assert_eq!(told["iaid"], 7);
    assert_eq!(told["user_class"], serde_json::json!(["iPXE"]));

    // Told again when the server starts, without what the client had sent.
    let mut env = dnsmasq("T7", "1795299999");
    env.push(("DNSMASQ_DATA_MISSING", "1"));
    spool.quiet(&["old", DUID, "fd00::1"], &env);
    let told = spool.one();
    assert_eq!(told["user_class"], serde_json::json!(["iPXE"]));
    assert_eq!((told.get("hostname"), told["expires_at"].as_str().unwrap().len()), (None, 20));

    spool.quiet(&["del", DUID, "fd00::1"], &dnsmasq("T7", "99999999999"));
    let told = spool.one();
    assert_eq!((&told["state"], &told["event"]), (&"ended".into(), &"release".into()));
    spool.quiet(&["del", DUID, "fd00::1"], &dnsmasq("T7", "1"));
    assert_eq!(spool.one()["event"], "expire");
    spool.quiet(&["add", DUID, "fd00::1"], &dnsmasq("1", "0"));
    assert_eq!(
        (spool.one()["state"].as_str(), spool.one().get("expires_at")),
        (Some("active"), None)
    );
}

#[test]
fn what_is_no_lease_s_event_is_ignored() {
    let spool = Spool::new("ignored");
    for action in
        ["tftp", "arp-add", "arp-del", "relay-snoop", "lease6_frob", "pkt6_send", "", "Add"]
    {
        spool.quiet(&["--spool", spool.0.to_str().unwrap(), "--", action, "x", "y"], &[]);
        spool.quiet(&[action, "5", "192.0.2.1", "/srv/tftp/x", "-x", "--spool"], &[]);
    }
    assert!(!spool.0.exists());
}

#[test]
fn init_gives_dnsmasq_its_lease_file() {
    let spool = Spool::new("init");
    let init = || {
        let output = spool.command(&["init"], &[]).output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(init(), "");
    assert!(spool.0.join(".complete").exists());
    let mut env = dnsmasq("1", "1795233401");
    env.push(("DNSMASQ_SERVER_DUID", "00:01:00:01:32:93"));
    spool.quiet(&["add", DUID, "fd00::2", "alpha"], &env);
    spool.quiet(&["add", DUID, "fd00::1"], &dnsmasq("T5", "0"));
    spool.quiet(&["add", DUID, "fd00::3"], &dnsmasq("9", "1"));
    spool.quiet(&["del", DUID, "fd00::3"], &dnsmasq("9", "1"));
    let v4 = [("DNSMASQ_LEASE_EXPIRES", "7"), ("DNSMASQ_CLIENT_ID", "01:02")];
    spool.call(&["add", "ee:b3:8a:21:91:2f", "192.0.2.9", "we_ird"], &v4);
    let wanted = format!(
        "7 ee:b3:8a:21:91:2f 192.0.2.9 we_ird 01:02\nduid 00:01:00:01:32:93\n\
         0 T5 fd00::1 * {DUID}\n1795233401 1 fd00::2 alpha {DUID}\n"
    );
    assert_eq!(init(), wanted);
    // What cannot be understood costs no other lease.
    fs::write(spool.0.join("fd00::4"), "{").unwrap();
    let output = spool.command(&["init"], &[]).output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stdout).unwrap()),
        (Some(0), wanted)
    );
    assert!(String::from_utf8(output.stderr).unwrap().contains("fd00::4"));
}

#[test]
fn what_kea_tells_is_left_in_the_spool() {
    let spool = Spool::new("kea");
    let second = jiff_now();
    spool.quiet(&["leases6_committed"], &pairs(&kea("LEASES6_AT0_", "aa", second)));
    let told = spool.one();
    assert_eq!(
        (told["hostname"].as_str(), told["source"].as_str()),
        (Some("kalpha"), Some("kea-script"))
    );
    for (point, event) in
        [("lease6_release", "release"), ("lease6_expire", "expire"), ("lease6_decline", "decline")]
    {
        spool.quiet(&["lease6_renew"], &pairs(&kea("LEASE6_", "aa", second)));
        assert_eq!(spool.one()["state"], "active");
        spool.quiet(&[point], &pairs(&kea("LEASE6_", "aa", second)));
        let told = spool.one();
        assert_eq!((told["state"].as_str(), told["event"].as_str()), (Some("ended"), Some(event)));
    }
    // The end of a former client's lease, told late, ends nothing.
    spool.quiet(&["lease6_rebind"], &pairs(&kea("LEASE6_", "bb", second + 5)));
    spool.quiet(&["lease6_expire"], &pairs(&kea("LEASE6_", "aa", second)));
    assert_eq!(spool.one()["duid"], "00:03:00:01:bb");
    assert_eq!(spool.one()["state"], "active");
    let wrong = kea("LEASES6_AT0_", "", second);
    let told = spool.call(&["leases6_committed"], &pairs(&wrong));
    assert!(told.starts_with("lease-hook: leases6_committed: LEASES6_AT0_…: DUID: "), "{told}");
}

fn jiff_now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The listings of such a spool are partial, so nobody would end what they leave out.
#[test]
fn leases_whose_time_is_up_together_are_told_one_by_one() {
    let spool = Spool::new("together");
    let begun = jiff_now() - 54;
    for last in 1..=6 {
        let mut env = kea("LEASES6_AT0_", "aa", begun);
        env[0].1 = format!("2001:db8::{last}");
        spool.quiet(&["leases6_committed"], &pairs(&env));
    }
    let source = format!("kea-script:{}", spool.0.display());
    let path = env!("CARGO_BIN_EXE_lease-watch");
    let mut watch = Running::start(path, &["--source", &source, "--follow", "--resync", "none"]);
    let listed: Vec<Value> = (0..7).map(|_| watch.next()).collect();
    assert_eq!(listed[5]["event"], "list");
    assert_eq!((&listed[6]["kind"], &listed[6]["partial"]), (&"checkpoint".into(), &true.into()));
    for last in 1..=6 {
        let told = watch.next();
        assert_eq!(told["event"], "expire");
        assert_eq!(told["address"], format!("2001:db8::{last}"));
    }
}

#[test]
fn clients_cannot_do_harm() {
    let spool = Spool::new("hostile");
    let long = OsString::from("x".repeat(100_000));
    let texts: Vec<OsString> = [
        "../../../tmp/x",
        "$(touch /tmp/lease-hook-was-here)",
        "a\nlease-hook: all is well",
        "\u{1b}[2J",
        "--spool=/tmp",
        "-h",
        "`id`",
        "a b",
        "\u{202e}evil",
        "fd00::2",
        "",
    ]
    .map(OsString::from)
    .into_iter()
    .chain([long, OsString::from_vec(b"\xff\xfe\0x"[..2].to_vec())])
    .collect();
    for text in &texts {
        let words = ["add".as_ref(), DUID.as_ref(), "fd00::1".as_ref(), text.as_os_str()];
        let mut command = spool.command(&words, &dnsmasq("1", "0"));
        for name in ["SUPPLIED_HOSTNAME", "USER_CLASS0", "VENDOR_CLASS0", "VENDOR_CLASS", "TAGS"] {
            command.env(format!("DNSMASQ_{name}"), text);
        }
        let output: Output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.len() < 4_000 && !told.contains('\u{1b}') && !told.contains('\u{202e}'));
        assert!(told.lines().all(|line| line.starts_with("lease-hook: add: ")), "{told}");
        let known = spool.one();
        assert_eq!(known["address"], "fd00::1");
        let classes = known["user_class"].as_array().cloned().unwrap_or_default();
        for class in classes {
            let class = class.as_str().unwrap();
            assert!(class.len() < 300 && !class.contains(char::is_control));
        }
        let name = known.get("hostname").or(known.get("name")).and_then(Value::as_str);
        let letters =
            |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        assert!(name.is_none_or(|name| letters(name) && name.len() < 256));
    }
    // What is leased, and to whom, is what a server says, and is looked at all the same.
    for (who, address) in [
        (DUID, "../x"),
        (DUID, "fd00::1/../../x"),
        (DUID, "fd00::1%eth0"),
        ("../x", "fd00::2"),
        ("--spool", "192.0.2.1"),
    ] {
        let told = spool.call(&["add", who, address], &dnsmasq("1", "0"));
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert_eq!(spool.files().into_keys().collect::<Vec<_>>(), ["fd00::1"]);
    assert!(!Path::new("/tmp/lease-hook-was-here").exists());
}

#[test]
fn a_person_s_mistake_is_told() {
    let spool = Spool::new("usage");
    let status = |words: &[&str]| {
        let output = spool.command(words, &[]).output().unwrap();
        assert!(output.stdout.is_empty() == (output.status.code() != Some(0)));
        output.status.code().unwrap()
    };
    for words in [&[][..], &["add"], &["old", DUID], &["del", DUID], &["--frob", "add"]] {
        assert_eq!(status(words), 64, "{words:?}");
    }
    for word in ["--help", "-h", "--version"] {
        assert_eq!(status(&[word]), 0);
    }
    assert!(!spool.0.exists());
}

#[test]
fn a_spool_that_cannot_be_written_does_not_fail_the_server() {
    let missing = Spool(Path::new(env!("CARGO_TARGET_TMPDIR")).join("nowhere/at/all"));
    let file = Spool("/etc/hostname".into());
    // Nobody can write there, not even root.
    let closed = Spool("/sys/kernel".into());
    for spool in [missing, file, closed] {
        let told = spool.call(&["add", DUID, "fd00::1"], &dnsmasq("1", "0"));
        assert!(told.starts_with("lease-hook: add: /") && told.contains("lost"), "{told}");
        // But a server must not take it for an empty database.
        let output = spool.command(&["init"], &[]).output().unwrap();
        assert!(output.stdout.is_empty());
        assert!([69, 74, 77].contains(&output.status.code().unwrap()), "{output:?}");
    }
}

#[test]
fn the_last_of_many_at_once_has_the_last_word() {
    let spool = Spool::new("parallel");
    fs::create_dir(&spool.0).unwrap();
    for _ in 0..5 {
        let calls: Vec<_> = (0..24)
            .map(|client| {
                let duid = format!("00:03:00:01:{client:02x}");
                spool.command(&["add", &duid, "fd00::1"], &dnsmasq("1", "0")).spawn().unwrap()
            })
            .collect();
        for call in calls {
            let output = call.wait_with_output().unwrap();
            assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        }
        assert_eq!(spool.one()["duid"], "00:03:00:01:17");
    }
}

#[test]
fn a_call_that_is_killed_leaves_nothing_half_done() {
    let spool = Spool::new("killed");
    fs::create_dir(&spool.0).unwrap();
    let mut killed = 0;
    for round in 0..150_u32 {
        let address = format!("fd00::{:x}", round % 5);
        let words = ["add", DUID, &address];
        let mut call = spool.command(&words, &dnsmasq("1", "0")).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(round) * 40));
        call.kill().unwrap();
        killed += u32::from(!call.wait().unwrap().success());
        spool.files();
    }
    assert!(killed > 10, "{killed}");
    let began = Instant::now();
    spool.quiet(&["del", DUID, "fd00::1"], &dnsmasq("1", "0"));
    assert!(began.elapsed() < Duration::from_secs(2), "no lock is left");
    assert_eq!(spool.files()["fd00::1"]["state"], "ended");
}
