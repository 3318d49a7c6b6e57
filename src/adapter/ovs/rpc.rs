//! Calls to a JSON-RPC server over a Unix socket (RFC 7047 section 4): messages follow each other
//! with nothing in between, and the server may ask, too.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};

/// Longest message that is read, in bytes: some ten thousand ports are described in so much.
const LONGEST: usize = 16 << 20;

const REMEDY: &str = "is Open vSwitch running?";

/// A connection.
pub(super) struct Rpc {
    stream: UnixStream,
    socket: PathBuf,
    heard: Messages,
    next: u64,
}

impl Rpc {
    /// Connects to the server behind `socket`.
    pub fn connect(socket: &Path) -> Result<Rpc> {
        let stream = UnixStream::connect(socket).map_err(|why| {
            let error = Error::io(format_args!("connect to {}", socket.display()), &why);
            match error.kind() {
                Kind::NotFound | Kind::Unavailable => {
                    Error::new(Kind::Unavailable, format_args!("connect to {}", socket.display()))
                        .why("no Open vSwitch database listens there")
                        .remedy(REMEDY)
                }
                Kind::NotPermitted => error.remedy("run as root or as the socket's owner"),
                _ => error,
            }
        })?;
        let socket = socket.to_owned();
        Ok(Rpc { stream, socket, heard: Messages::default(), next: 0 })
    }

    /// Calls `method` and waits for its result until `until`; or the error that it gives.
    pub fn call(
        &mut self,
        doing: &str,
        method: &str,
        params: Vec<Value>,
        until: Instant,
    ) -> Result<Result<Value, Value>> {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "method": method, "params": params, "id": id }), until)
            .map_err(|why| self.broken(doing, &why))?;
        loop {
            let message = self.receive(until).map_err(|why| self.broken(doing, &why))?;
            if message["method"] == "echo" {
                // RFC 7047 section 4.1.11: a client that does not answer is taken for dead.
                let answer = json!({
                    "result": message["params"], "error": null, "id": message["id"],
                });
                self.send(&answer, until).map_err(|why| self.broken(doing, &why))?;
            } else if message["id"] == id && message.get("method").is_none() {
                return Ok(match &message["error"] {
                    Value::Null => Ok(message["result"].clone()),
                    error => Err(error.clone()),
                });
            }
        }
    }

    fn send(&mut self, message: &Value, until: Instant) -> io::Result<()> {
        self.stream.set_write_timeout(Some(left(until)?))?;
        self.stream.write_all(message.to_string().as_bytes())
    }

    fn receive(&mut self, until: Instant) -> io::Result<Value> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.heard.next()? {
                return Ok(message);
            }
            self.stream.set_read_timeout(Some(left(until)?))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.heard.push(&piece[..len]),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => (),
                Err(why) => return Err(why),
            }
        }
    }

    fn broken(&self, doing: &str, why: &io::Error) -> Error {
        let at = self.socket.display();
        let error = |kind, why: String| Error::new(kind, doing).why(why);
        match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                error(Kind::TimedOut, format!("the database behind {at} does not answer"))
            }
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => {
                error(Kind::Unavailable, format!("the database behind {at} hung up")).remedy(REMEDY)
            }
            io::ErrorKind::InvalidData => error(Kind::BadInput, format!("what {at} says: {why}")),
            _ => Error::io(doing, why),
        }
    }
}

/// The time until `until`.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Bytes that are cut into messages: JSON objects, found by their braces.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
    /// How far they have been looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Messages {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    fn next(&mut self) -> io::Result<Option<Value>> {
        while let Some(byte) = self.bytes.get(self.seen).copied() {
            self.seen += 1;
            let ends = self.look(byte)?;
            if ends {
                let message = serde_json::from_slice(&self.bytes[..self.seen]);
                let message = message.map_err(|why| wrong(&format!("no JSON: {why}")))?;
                self.bytes.drain(..self.seen);
                self.seen = 0;
                return Ok(Some(message));
            }
        }
        if self.bytes.len() > LONGEST {
            return Err(wrong(&format!("a message of more than {LONGEST} bytes")));
        }
        Ok(None)
    }

    /// Takes one more byte; whether a message ends with it.
    fn look(&mut self, byte: u8) -> io::Result<bool> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => (),
            }
            return Ok(false);
        }
        match byte {
            b'"' if self.depth > 0 => self.in_string = true,
            b'{' | b'[' if self.depth > 0 => self.depth += 1,
            b'{' => self.depth = 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                return Ok(self.depth == 0);
            }
            b' ' | b'\t' | b'\r' | b'\n' => (),
            _ if self.depth > 0 => (),
            _ => return Err(wrong("no JSON object")),
        }
        Ok(false)
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_they_are_torn() {
        let text = br#"{"a":"}{\"[","b":[{}]} {"c":"\\"}"#;
        for at in 0..text.len() {
            let mut messages = Messages::default();
            let mut found = Vec::new();
            for piece in [&text[..at], &text[at..]] {
                messages.push(piece);
                while let Some(message) = messages.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, [json!({ "a": "}{\"[", "b": [{}] }), json!({ "c": "\\" })], "{at}");
        }
    }

    #[test]
    fn what_is_no_object_is_an_error_and_no_wait() {
        for text in [&b"[]"[..], b"7", b"\"x\"", b"HTTP/1.1", b"}", b"{]", b"{\"a\":}"] {
            let mut messages = Messages::default();
            messages.push(text);
            let error = messages.next().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
        let mut endless = Messages::default();
        endless.push(b"{\"a\":\"");
        endless.push(&vec![b'x'; LONGEST]);
        assert!(endless.next().unwrap_err().to_string().contains("more than"));
    }
}
