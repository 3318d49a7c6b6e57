//! An engine that answers what a test wants it to.

#![allow(dead_code)] // each test file uses a part of it

pub mod swarm;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};

/// Answers like an engine, with whatever a test wants it to say; nothing breaks the connection.
pub struct Engine {
    pub socket: PathBuf,
}

type Say = dyn Fn(&str, &str) -> Option<(u16, String)> + Send + Sync;

impl Engine {
    /// Says what `say` does for a path, or breaks the connection.
    pub fn new(
        name: &str,
        say: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Engine {
        Engine::hearing(name, move |path, _| say(path))
    }

    /// The same, where `say` also hears the whole request: method, address with its query, and,
    /// behind a blank, the body.
    pub fn hearing(
        name: &str,
        say: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static,
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
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    let _ = reader.read_line(&mut request);
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).is_ok_and(|read| read > 2) {
            let header = header.to_ascii_lowercase();
            let number = header.strip_prefix("content-length:").map(|n| n.trim().parse().unwrap());
            length = number.unwrap_or(length);
        } else {
            break;
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let address = request.split(' ').nth(1).unwrap_or_default();
    let path = address.split('?').next().unwrap_or_default();
    let request = request.rsplit_once(' ').map_or("", |(request, _)| request);
    let whole = format!("{request} {}", String::from_utf8_lossy(&body));
    if let Some((status, body)) = say(path, &whole) {
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
        );
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
