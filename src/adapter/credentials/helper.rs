//! Credential helpers: programs that keep logins (docker/docker-credential-helpers).
//!
//! One is started with the single argument `get`, reads the server's name, and writes a JSON object
//! with `Username` and `Secret`. When it fails, what it writes says why.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::error::{Doing, Error, Kind, Result};
use crate::record::Login;

/// More than this is no answer.
const LONGEST: u64 = 64 * 1024;

/// How often it is looked whether a helper that has said all is gone.
const PAUSE: Duration = Duration::from_millis(5);

/// What helpers say when they keep nothing for a server.
const NONE_KEPT: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The login that the helper `docker-credential-NAME` has for a server; nothing when it has none.
pub(super) fn ask(name: &str, server: &str, patience: Duration) -> Result<Option<Login>> {
    if !is_name(name) {
        return Err(Error::new(Kind::BadInput, format_args!("credential helper \"{name}\""))
            .why("it is not a name of letters, digits and . _ -"));
    }
    let program = format!("docker-credential-{name}");
    ask_program(&program, Command::new(&program), server, patience)
}

/// The same of a helper that is called so, and is started like this.
fn ask_program(
    program: &str,
    mut start: Command,
    server: &str,
    patience: Duration,
) -> Result<Option<Login>> {
    let doing = || format!("ask {program} for the login of {server}");
    let helper = start
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut helper = match helper {
        Err(why) if why.kind() == ErrorKind::NotFound => {
            return Err(Error::new(Kind::NotFound, doing())
                .why("there is no such program in PATH")
                .remedy("install it, or take it out of Docker's config.json"));
        }
        helper => helper.doing(doing())?,
    };
    let said = converse(&mut helper, server, Instant::now() + patience);
    if !matches!(said, Ok(Some(_))) {
        end(&mut helper);
    }
    let Some(Said { status, out, err }) = said.doing(doing())? else {
        let why = format!("it did not answer within {} s", patience.as_secs_f32());
        return Err(Error::new(Kind::TimedOut, doing()).why(why));
    };
    if status.success() {
        return understood(&out).map_err(|why| Error::new(Kind::BadInput, doing()).why(why));
    }
    let told = reason(&out).or_else(|| reason(&err));
    match told {
        Some(told) if told.contains(NONE_KEPT) => Ok(None),
        Some(told) => Err(Error::new(Kind::Refused, doing()).why(told)),
        None => Err(Error::new(Kind::Refused, doing()).why(format_args!("it ended with {status}"))),
    }
}

/// The name becomes a part of a program's name: no path, and nothing that is not printed.
fn is_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

struct Said {
    status: ExitStatus,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Tells a helper the server and hears it to its end; nothing when that does not come in time.
fn converse(helper: &mut Child, server: &str, until: Instant) -> io::Result<Option<Said>> {
    if let Some(mut input) = helper.stdin.take() {
        // It is less than a pipe holds. One that does not read it may know the answer anyway.
        let _ = input.write_all(server.as_bytes());
    }
    let out = helper.stdout.take().map(heard);
    let err = helper.stderr.take().map(heard);
    let (Some(out), Some(err)) =
        (out.and_then(|o| all(&o, until)), err.and_then(|e| all(&e, until)))
    else {
        return Ok(None);
    };
    let (out, err) = (out?, err?);
    loop {
        if let Some(status) = helper.try_wait()? {
            return Ok(Some(Said { status, out, err }));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a stream says, once it has ended or is too long.
fn heard(stream: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let outcome = stream.take(LONGEST).read_to_end(&mut bytes);
        let _ = tell.send(outcome.map(|_| bytes));
    });
    told
}

fn all(told: &Receiver<io::Result<Vec<u8>>>, until: Instant) -> Option<io::Result<Vec<u8>>> {
    told.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
}

/// Ends a helper and whatever it has started.
fn end(helper: &mut Child) {
    if let Ok(id) = i32::try_from(helper.id()) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    let _ = helper.wait();
}

fn understood(out: &[u8]) -> Result<Option<Login>, &'static str> {
    let answer: Answer = serde_json::from_slice(out)
        .map_err(|_| "its answer is not an object with \"Username\" and \"Secret\"")?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { username, secret } if username == "<token>" => Some(Login::Identity(secret)),
        Answer { username, .. } if username.is_empty() => return Err("its answer has no user"),
        Answer { username, secret } => Some(Login::Password { user: username, password: secret }),
    })
}

/// The first line that says something; nothing of what may be an answer after all.
fn reason(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    (!text.contains(['{', '"'])).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for good in ["ecr-login", "osxkeychain", "a.b_c"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "/bin/sh", "../x", "a b", "a\nb", "x;y", "é"] {
            assert!(!is_name(bad), "{bad:?}");
            assert_eq!(ask(bad, "r", PAUSE).unwrap_err().kind(), Kind::BadInput);
        }
    }

    #[test]
    fn an_answer_is_a_login_or_a_token_or_none() {
        let of = |text: &str| understood(text.as_bytes());
        let password = Login::Password { user: "u".into(), password: "p".into() };
        assert_eq!(of(r#"{"ServerURL":"r","Username":"u","Secret":"p"}"#), Ok(Some(password)));
        let token = Login::Identity("t".into());
        assert_eq!(of(r#"{"Username":"<token>","Secret":"t"}"#), Ok(Some(token)));
        assert_eq!(of(r#"{"Username":"","Secret":""}"#), Ok(None));
        assert!(of(r#"{"Username":"","Secret":"x"}"#).is_err());
        assert!(of("p").is_err());
    }

    #[test]
    fn a_reason_is_a_line_and_never_an_answer() {
        let of = |text: &str| reason(text.as_bytes());
        assert_eq!(of("\n no keychain \nmore\n").as_deref(), Some("no keychain"));
        assert_eq!(of(""), None);
        assert_eq!(of("{\"Username\":\"u\",\n\"Secret\":\"p\"}"), None);
    }

    #[test]
    fn a_helper_that_is_not_there_is_told() {
        let why = ask("lp-nosuch", "r", Duration::from_secs(1)).unwrap_err();
        assert_eq!(why.kind(), Kind::NotFound);
        assert!(why.to_string().contains("docker-credential-lp-nosuch"), "{why}");
    }

    /// A helper that is this script of a shell's, and how long it may take.
    fn shell(script: &str, patience: Duration) -> Result<Option<Login>> {
        let mut start = Command::new("sh");
        start.args(["-c", script]);
        ask_program("docker-credential-x", start, "registry.example", patience)
    }

    fn is_running(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_helper_that_does_not_answer_in_time_is_ended_with_all_that_it_started() {
        let noted = std::env::temp_dir().join(format!("lp-helper-{}", std::process::id()));
        let patience = Duration::from_millis(300);
        for hangs in [
            "sleep 600 & echo $$ $! > NOTED; wait",
            // What it started goes on alone, and so does what is to be read of it.
            "sleep 600 & echo $$ $! > NOTED",
            // It has said all and does not end.
            "echo '{\"Username\":\"u\",\"Secret\":\"p\"}'; echo $$ > NOTED; exec sleep 600 >&- 2>&-",
            "trap '' TERM HUP PIPE INT; echo $$ > NOTED; while :; do sleep 0.05; done",
        ] {
            let begun = Instant::now();
            let script = hangs.replace("NOTED", &noted.display().to_string());
            let why = shell(&script, patience).unwrap_err();
            assert_eq!(why.kind(), Kind::TimedOut, "{hangs}: {why}");
            let told = "ask docker-credential-x for the login of registry.example: \
                        it did not answer within 0.3 s";
            assert_eq!(why.to_string(), told);
            assert!((patience..patience * 10).contains(&begun.elapsed()), "{hangs}");
            let pids = std::fs::read_to_string(&noted).unwrap();
            // The kernel may take a moment to end them.
            while pids.split_whitespace().any(is_running) {
                assert!(begun.elapsed() < Duration::from_secs(10), "{hangs} leaves {pids}");
                std::thread::sleep(PAUSE);
            }
        }
        std::fs::remove_file(noted).unwrap();
    }

    #[test]
    fn what_a_helper_says_is_an_answer_or_is_told() {
        let long = Duration::from_secs(20);
        let kind = |script: &str| shell(script, long).unwrap_err().kind();
        assert_eq!(kind("echo hello"), Kind::BadInput);
        assert_eq!(kind("printf '\\377\\000{'"), Kind::BadInput);
        assert_eq!(kind("exit 0"), Kind::BadInput);
        assert_eq!(kind("while :; do echo 0123456789; done"), Kind::Refused, "too much");
        assert_eq!(kind("echo no keychain >&2; exit 1"), Kind::Refused);
        let told = |script: &str| shell(script, long).unwrap_err().to_string();
        assert!(told("echo no keychain >&2; exit 1").ends_with(": no keychain"));
        assert!(told("exit 3").contains("it ended with exit status: 3"));
        assert!(told("kill -9 $$").contains("signal: 9"));
        assert!(!told("echo '{\"Username\":\"u\",\"Secret\":7}'").contains("7"));
        assert_eq!(shell("echo credentials not found in native keychain; exit 1", long), Ok(None));
        let login = Login::Password { user: "u".into(), password: "registry.example".into() };
        let script = r#"read it; echo "{\"Username\":\"u\",\"Secret\":\"$it\"}""#;
        assert_eq!(shell(script, long), Ok(Some(login)));
    }
}
