//! An engine that answers what a test wants it to.

#![allow(dead_code)] // each test file uses a part of it

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};

/// Answers like an engine, with whatever a test wants it to say; nothing breaks the connection.
pub struct Engine {
    pub socket: PathBuf,
}

type Say = dyn Fn(&str) -> Option<(u16, String)> + Send + Sync;

impl Engine {
    pub fn new(
        name: &str,
        say: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Engine {
        let socket = std::env::temp_dir().join(format!("lpt-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let say: Arc<Say> = Arc::new(say);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let say = say.clone();
                std::thread::spawn(move || answer(stream, &*say));
            }
        });
        Engine { socket }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn answer(mut stream: UnixStream, say: &Say) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().and_then(Result::ok).unwrap_or_default();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    if let Some((status, body)) = say(path.split('?').next().unwrap_or_default()) {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n");
        let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
    }
}

/// An answer of success.
pub fn ok(body: Value) -> Option<(u16, String)> {
    Some((200, body.to_string()))
}

/// What an engine says of a container with this name and id.
pub fn inspected(name: &str, id: &str) -> Value {
    let mut answer: Value =
        serde_json::from_str(include_str!("../data/docker/inspect-plain.json")).unwrap();
    answer["Name"] = json!(format!("/{name}"));
    answer["Id"] = json!(id);
    answer
}

/// What it says of the image.
pub fn image() -> Option<(u16, String)> {
    Some((200, include_str!("../data/docker/image.json").to_owned()))
}

/// The records that a program wrote.
pub fn records(output: &Output) -> Vec<Value> {
    output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}
