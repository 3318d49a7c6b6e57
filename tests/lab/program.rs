//! Programs of the suite as a test sees them: records in, records out, messages, exit status.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;

/// A program that runs, its standard streams in the test's hands. Dropping it kills it, with its
/// process group if it leads one.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit status; nothing when a signal ended it.
    pub status: Option<i32>,
    /// The lines of its standard output that had not been taken before.
    pub stdout: Vec<String>,
    /// All that it said.
    pub stderr: String,
}

impl Done {
    /// The remaining output as records; every line must be one.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        self.stdout.iter().map(|line| parse(line)).collect()
    }
}

/// The one record that came out, which must be done.
#[track_caller]
pub fn done(outcome: Done) -> Value {
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let record = outcome.records().remove(0);
    assert_eq!(record["status"], "done");
    record
}

/// The one record that came out, which must have failed as `kind`; its error.
#[track_caller]
pub fn failed(outcome: Done, kind: &str) -> String {
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    let record = outcome.records().remove(0);
    assert_eq!((&record["status"], &record["error_kind"]), (&json!("failed"), &json!(kind)));
    record["error"].as_str().unwrap().to_owned()
}

/// Runs a program to its end on this input.
#[track_caller]
pub fn run(command: &mut Command, input: impl AsRef<[u8]>) -> Done {
    let mut running = Running::start(command);
    running.send_bytes(input.as_ref());
    running.finish()
}

impl Running {
    /// Starts it with all three streams piped.
    #[track_caller]
    pub fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { stdin: child.stdin.take(), child, lines, stderr: Some(stderr) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one record.
    pub fn send(&mut self, record: &Value) {
        self.send_bytes(format!("{record}\n").as_bytes());
    }

    /// Writes these bytes; a program that no longer reads is no failure.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stdin.as_mut().expect("standard input is open").write_all(bytes);
    }

    /// Ends its input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// The next line of its output, or nothing when it has closed it or `within` is over.
    pub fn line(&mut self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// The next record of its output; it must come within [`PATIENCE`].
    #[track_caller]
    pub fn next(&mut self) -> Value {
        match self.line(PATIENCE) {
            Some(line) => parse(&line),
            None => self.fail("a record"),
        }
    }

    /// Takes records until one fits, and returns that; it must come within [`PATIENCE`].
    #[track_caller]
    pub fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.line(left) {
                Some(line) if fits(&parse(&line)) => return parse(&line),
                Some(_) => (),
                None => self.fail(what),
            }
        }
    }

    /// Whether it writes nothing for so long.
    pub fn is_silent(&mut self, during: Duration) -> bool {
        matches!(self.lines.recv_timeout(during), Err(RecvTimeoutError::Timeout))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, signal);
    }

    /// Ends its input and waits for its end, which must come within [`PATIENCE`].
    #[track_caller]
    pub fn finish(mut self) -> Done {
        self.close();
        self.wait()
    }

    /// Waits for its end, which must come within [`PATIENCE`].
    #[track_caller]
    pub fn wait(mut self) -> Done {
        let end = Instant::now() + PATIENCE;
        let mut stdout = Vec::new();
        // The output is taken while waiting: a full pipe would hold the program up.
        let status = loop {
            stdout.extend(self.lines.try_iter());
            match self.child.try_wait().expect("state of the program") {
                Some(status) => break status,
                None if Instant::now() > end => self.fail("its end"),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        stdout.extend(self.lines.iter());
        let stderr = self.stderr.take().map(|thread| thread.join().expect("reader of stderr"));
        Done { status: status.code(), stdout, stderr: stderr.unwrap_or_default() }
    }

    /// Kills it, and returns all that it said. If it leads a process group, kills all of that.
    pub fn stop(&mut self) -> String {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::killpg(pid, nix::sys::signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    /// Kills it and fails the test, with all that it said.
    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        let status = self.child.try_wait();
        panic!("waited in vain for {what}; {status:?}; it said: {}", self.stop());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line:?}"))
}
