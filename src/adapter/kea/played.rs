//! A server that a test plays: a Unix socket, and a function that makes an answer of each command.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::Place;

/// It listens for as long as the test runs.
pub(crate) struct Played {
    path: PathBuf,
}

impl Played {
    /// Begins to answer commands.
    pub fn start(mut answer: impl FnMut(&Value) -> Vec<u8> + Send + 'static) -> Played {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lp-kea-{}-{count}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut command = vec![0; 65536];
                let length = stream.read(&mut command).unwrap();
                let command = serde_json::from_slice(&command[..length]).unwrap();
                let _ = stream.write_all(&answer(&command));
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Played { path }
    }

    /// Where it listens.
    pub fn place(&self) -> Place {
        Place::parse(self.path.to_str().unwrap()).unwrap()
    }

    /// Takes the socket away.
    pub fn leave(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.leave();
    }
}
