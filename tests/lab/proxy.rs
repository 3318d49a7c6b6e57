//! What stands between a program and the engine: it notes each call, and can break one off.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const ENGINE: &str = "/var/run/docker.sock";

/// When a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The engine never hears of the call.
    Before,
    /// The engine has done it, and its answer is lost.
    Behind,
    /// The same, and the engine hears of nothing that comes behind it, as of a program that is killed.
    Off,
}

/// A socket behind which the engine is.
pub struct Proxy {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Method, path, and the status of the answer; nothing when it was broken off.
    calls: Vec<(String, String, Option<u16>)>,
    cut: Option<(usize, Cut)>,
}

impl Proxy {
    /// Before the machine's own engine.
    pub fn new(name: &str) -> Proxy {
        Proxy::before(name, ENGINE)
    }

    /// Before the engine that listens at that path.
    pub fn before(name: &str, engine: impl Into<PathBuf>) -> Proxy {
        let engine = engine.into();
        let socket = std::env::temp_dir().join(format!("{name}.sock"));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, engine) = (shared.clone(), engine.clone());
                std::thread::spawn(move || pass(stream, &engine, &shared));
            }
        });
        Proxy { socket, state }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Forgets the calls so far, and breaks the connection at the call of that number from here.
    pub fn cut(&self, cut: Option<(usize, Cut)>) {
        *self.state.lock().unwrap() = State { calls: Vec::new(), cut };
    }

    /// The calls since then.
    pub fn calls(&self) -> Vec<(String, String, Option<u16>)> {
        self.state.lock().unwrap().calls.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Passes one request on and its answer back; the connection ends with it.
fn pass(mut from: UnixStream, engine: &Path, state: &Mutex<State>) -> Option<()> {
    let mut request = Vec::new();
    let mut piece = [0; 65536];
    let end = loop {
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 2;
        }
        let read = from.read(&mut piece).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
    };
    let head = String::from_utf8_lossy(&request[..end]).to_string();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    while request.len() < end + 2 + length.unwrap_or(0) {
        let read = from.read(&mut piece).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
    }
    let mut words = head.split(' ');
    let (method, address) = (words.next()?, words.next()?);
    let path = address.split('?').next()?.to_owned();
    let (number, cut) = {
        let mut state = state.lock().unwrap();
        state.calls.push((method.to_owned(), path, None));
        let number = state.calls.len() - 1;
        let cut = state.cut.and_then(|(at, cut)| match cut {
            Cut::Off if number > at => Some(Cut::Before),
            cut => (number == at).then_some(cut),
        });
        (number, cut)
    };
    if cut == Some(Cut::Before) {
        return None;
    }
    let mut engine = UnixStream::connect(engine).ok()?;
    engine.write_all(&request[..end]).ok()?;
    engine.write_all(b"Connection: close\r\n").ok()?;
    engine.write_all(&request[end..]).ok()?;
    let mut is_first = true;
    loop {
        let read = engine.read(&mut piece).ok().filter(|read| *read > 0)?;
        if std::mem::take(&mut is_first) {
            let status = String::from_utf8_lossy(&piece[..read.min(12)]);
            let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
            let mut state = state.lock().unwrap();
            if let Some(call) = state.calls.get_mut(number) {
                call.2 = status;
            }
        }
        if matches!(cut, Some(Cut::Behind | Cut::Off)) {
            return None;
        }
        from.write_all(&piece[..read]).ok()?;
    }
}
