//! As little as it takes to call the engine's interface: one connection that stays, one call after
//! the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

const ENGINE: &str = "/var/run/docker.sock";

/// A connection to the engine.
pub struct Api(BufReader<UnixStream>);

impl Api {
    pub fn connect() -> Api {
        Api(BufReader::new(UnixStream::connect(ENGINE).unwrap()))
    }

    /// Calls the engine, which must answer with this status; gives the body.
    pub fn call(&mut self, method: &str, path: &str, body: &str, status: u16) -> Vec<u8> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
        let line = self.line();
        let told: u16 = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
        let answer = self.body();
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(told, status, "{method} {path}: {text}");
        answer
    }

    fn body(&mut self) -> Vec<u8> {
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line().to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", number)) => length = number.trim().parse().unwrap(),
                Some(("transfer-encoding", _)) => chunked = true,
                Some(_) => (),
            }
        }
        let mut body = Vec::new();
        if !chunked {
            self.take(length, &mut body);
            return body;
        }
        loop {
            let length = usize::from_str_radix(&self.line(), 16).unwrap();
            self.take(length, &mut body);
            self.line();
            if length == 0 {
                return body;
            }
        }
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) {
        let read = (&mut self.0).take(length as u64).read_to_end(into).unwrap();
        assert_eq!(read, length, "the engine broke off");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

/// Does something for each name, so many at a time, each over a connection that stays.
pub fn for_each(jobs: usize, names: &[String], act: impl Fn(&mut Api, &str) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(names.len()) {
            scope.spawn(|| {
                let mut api = Api::connect();
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(&mut api, name);
                }
            });
        }
    });
}
