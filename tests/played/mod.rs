//! A Kea that answers what a test wants it to, on a Unix socket or by HTTP.

#![allow(dead_code)] // each test file uses a part of it

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use serde_json::{Value, json};

/// How a command is answered.
pub enum Say {
    /// With an answer.
    Json(Value),
    /// With these bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// With these bytes, and nothing more for as long as the test runs.
    Hang(Vec<u8>),
    /// Without an end.
    Endless,
}

type Answers = dyn Fn(&Value) -> Say + Send + Sync;

/// It listens for as long as the test runs.
pub struct Played {
    /// What the programs call it.
    pub place: String,
}

impl Played {
    /// One on a Unix socket.
    pub fn on_socket(name: &str, answer: impl Fn(&Value) -> Say + Send + Sync + 'static) -> Played {
        let socket = std::env::temp_dir().join(format!("lpt-kea-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let answer: Arc<Answers> = Arc::new(answer);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut command = serde_json::Deserializer::from_reader(&stream).into_iter();
                    if let Some(Ok(command)) = command.next() {
                        say(&mut stream, answer(&command), |body| body);
                    }
                });
            }
        });
        Played { place: socket.display().to_string() }
    }

    /// One that speaks HTTP, as kea-ctrl-agent does.
    pub fn on_http(answer: impl Fn(&Value) -> Say + Send + Sync + 'static) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("http://{}/", listener.local_addr().unwrap());
        let answer: Arc<Answers> = Arc::new(answer);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        reader.read_line(&mut line).unwrap();
                        let line = line.to_lowercase();
                        match line.trim_end().strip_prefix("content-length: ") {
                            Some(number) => length = number.parse().unwrap(),
                            None if line.trim_end().is_empty() => break,
                            None => (),
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let command: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(command["service"], json!(["dhcp6"]));
                    say(&mut stream, answer(&command), |body| {
                        let head =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len() + 2);
                        [head.as_bytes(), b"Content-Type: application/json\r\n\r\n[", &*body, b"]"]
                            .concat()
                    });
                });
            }
        });
        Played { place }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.place);
    }
}

fn say(stream: &mut impl Write, say: Say, packed: impl Fn(Vec<u8>) -> Vec<u8>) {
    // The program may have left by then.
    let _ = match say {
        Say::Json(answer) => stream.write_all(&packed(answer.to_string().into())),
        Say::Bytes(bytes) => stream.write_all(&bytes),
        Say::Hang(bytes) => {
            let _ = stream.write_all(&bytes);
            loop {
                std::thread::park();
            }
        }
        Say::Endless => {
            let head = b"HTTP/1.1 200 OK\r\n\r\n{\"text\":\"";
            let _ = stream.write_all(head);
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
            Ok(())
        }
    };
}

/// The answer to `config-get` of a server of DHCPv6 with these subnets and a host database.
pub fn configuration(subnets: &[(u32, &str)]) -> Value {
    let subnet = |(id, subnet): &(u32, &str)| json!({"id": id, "subnet": subnet});
    let subnets: Vec<Value> = subnets.iter().map(subnet).collect();
    let database = json!([{"type": "mysql", "password": "s3cret"}]);
    json!({"result": 0, "arguments": {"Dhcp6": {"hosts-databases": database, "subnet6": subnets}}})
}
