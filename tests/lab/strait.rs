//! What stands between a program and an engine that loads images: it counts what is sent, and can stop
//! in the middle, keep the answer to itself, or claim that the engine has more than it has.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What it does beside counting.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    /// Nothing.
    #[default]
    Fair,
    /// Takes so many bytes of an image, and then no more.
    Stuck(u64),
    /// Takes all of an image, and says nothing.
    Mute,
    /// Says of the images that are there what the engine at this socket has.
    Claims(String),
}

/// What was sent for one image.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub bytes: u64,
    pub first: Instant,
    pub last: Instant,
}

/// A socket behind which an engine is.
pub struct Strait {
    socket: PathBuf,
    loads: Arc<Mutex<Vec<Load>>>,
}

impl Strait {
    /// In front of the engine at this URL, `unix://PATH`.
    pub fn new(name: &str, engine: &str, manner: Manner) -> Strait {
        let socket = std::env::temp_dir().join(format!("lps{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let loads = Arc::new(Mutex::default());
        let (shared, engine) = (loads.clone(), engine.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, engine, manner) = (shared.clone(), engine.clone(), manner.clone());
                std::thread::spawn(move || pass(stream, &engine, &manner, &shared));
            }
        });
        Strait { socket, loads }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What was sent so far, in the order in which it began.
    pub fn loads(&self) -> Vec<Load> {
        self.loads.lock().unwrap().clone()
    }
}

impl Drop for Strait {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Passes one request on and its answer back; the connection ends with it.
fn pass(
    mut from: UnixStream,
    engine: &str,
    manner: &Manner,
    loads: &Mutex<Vec<Load>>,
) -> Option<()> {
    let mut piece = [0; 65536];
    let read = from.read(&mut piece).ok().filter(|read| *read > 0)?;
    let line = String::from_utf8_lossy(&piece[..read.min(200)]).to_string();
    let is_load = line.starts_with("POST ") && line.contains("/images/load");
    let asks_all = line.starts_with("GET ")
        && ["/images/json", "/images/sha256"].iter().any(|path| line.contains(path));
    let engine = match manner {
        Manner::Claims(other) if asks_all => other,
        _ => engine,
    };
    let mut to = UnixStream::connect(engine.strip_prefix("unix://")?).ok()?;
    let (mut answer, mut back) = (to.try_clone().ok()?, from.try_clone().ok()?);
    let is_mute = is_load && matches!(manner, Manner::Mute);
    std::thread::spawn(move || match is_mute {
        true => std::io::copy(&mut answer, &mut std::io::sink()).ok(),
        false => {
            let copied = std::io::copy(&mut answer, &mut back).ok();
            let _ = back.shutdown(Shutdown::Both);
            copied
        }
    });
    let number = is_load.then(|| {
        let mut loads = loads.lock().unwrap();
        let now = Instant::now();
        loads.push(Load { bytes: 0, first: now, last: now });
        loads.len() - 1
    });
    let end = piece[..read].windows(2).position(|two| two == b"\r\n")?;
    to.write_all(&piece[..end]).ok()?;
    to.write_all(b"\r\nConnection: close").ok()?;
    piece.copy_within(end..read, 0);
    let (mut read, mut reads) = (read - end, 0);
    while read > 0 {
        reads += 1;
        if let Some(load) = number.and_then(|at| loads.lock().unwrap().get_mut(at).copied()) {
            let (bytes, last) = (load.bytes + read as u64, Instant::now());
            // The call itself may be there long before the image.
            let first = if reads <= 2 { last } else { load.first };
            let load = Load { bytes, first, last };
            loads.lock().unwrap()[number?] = load;
            if matches!(manner, Manner::Stuck(most) if bytes >= *most) {
                // Whoever sends has given up long before.
                std::thread::sleep(Duration::from_secs(60));
                return None;
            }
        }
        to.write_all(&piece[..read]).ok()?;
        read = from.read(&mut piece).ok()?;
    }
    to.shutdown(Shutdown::Write).ok()
}
