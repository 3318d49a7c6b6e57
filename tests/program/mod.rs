//! Runs a program of the suite and looks at what comes out, with no help from the library.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a program did with all of its input.
pub struct Done {
    /// Its records.
    pub records: Vec<Value>,
    /// What it told people.
    pub told: String,
    /// Its exit status.
    pub status: i32,
}

impl Done {
    /// The records' parts at a JSON pointer, those that have it.
    pub fn at(&self, pointer: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.records.iter().filter_map(|record| record.pointer(pointer)).map(text).collect()
    }
}

/// Runs the program on this input, to its end.
pub fn run(path: &str, args: &[&str], input: &str) -> Done {
    let output = fed(Command::new(path).args(args), input);
    let stdout = String::from_utf8(output.stdout).unwrap();
    Done {
        records: stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        told: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

/// Runs a command on this input, to its end.
pub fn fed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

/// A program that runs while it is talked to.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it.
    pub fn start(path: &str, args: &[&str]) -> Running {
        let mut child = Command::new(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take();
        Running { child, stdin, lines }
    }

    /// Writes one line to it.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next record, which must come within ten seconds.
    pub fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(10)).expect("a record in time");
        serde_json::from_str(&line).unwrap()
    }

    /// Whatever comes within the time given.
    pub fn within(&mut self, time: Duration) -> Vec<Value> {
        let end = Instant::now() + time;
        let mut records = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            records.push(serde_json::from_str(&line).unwrap());
        }
        records
    }

    /// Ends its input and waits for it; gives its exit status.
    pub fn end(mut self) -> i32 {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for it to end by itself; gives its exit status.
    pub fn wait(mut self) -> i32 {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code().unwrap(),
                None => assert!(Instant::now() < end, "it goes on"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file for one test, with this text in it.
pub fn file(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
