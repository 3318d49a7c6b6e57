//! Many engines in one process that keep what they are asked to make, and take their time.

#![allow(dead_code)] // each test file uses a part of it

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener as Std;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// What an engine is like.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How long it takes to make a container.
    pub create: Duration,
    /// How long it takes to start one.
    pub start: Duration,
    /// How many containers it makes or starts at the same time; others wait.
    pub at_a_time: usize,
    /// Whether it takes connections and never says anything.
    pub hangs: bool,
}

impl Manner {
    /// One that takes so many milliseconds to make and to start a container, four at a time.
    pub fn slow(create_ms: u64, start_ms: u64) -> Manner {
        let [create, start] = [create_ms, start_ms].map(Duration::from_millis);
        Manner { create, start, at_a_time: 4, hangs: false }
    }

    /// The same, so many times as slow.
    pub fn times(self, factor: u32) -> Manner {
        Manner { create: self.create * factor, start: self.start * factor, ..self }
    }

    pub fn hanging() -> Manner {
        Manner { hangs: true, ..Manner::slow(0, 0) }
    }
}

/// So many engines, each with a socket of its own.
pub struct Crowd {
    dir: PathBuf,
    engines: Vec<Arc<Engine>>,
}

/// One engine.
struct Engine {
    /// Its place in the crowd.
    number: usize,
    manner: Manner,
    places: Semaphore,
    world: Mutex<World>,
    calls: AtomicU32,
}

#[derive(Default)]
struct World {
    /// Name, and whether it runs and what it was made from, by id.
    there: BTreeMap<String, There>,
    names: BTreeMap<String, String>,
    made: u64,
    busy: usize,
    /// The most that was asked of it at the same time.
    busiest: usize,
    /// Every call that changes something, in order.
    changes: Vec<String>,
}

struct There {
    name: String,
    runs: bool,
    labels: Value,
}

impl Crowd {
    /// One engine for each manner.
    pub fn new(name: &str, manners: Vec<Manner>) -> Crowd {
        let dir = std::env::temp_dir().join(format!("lpc-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let engines: Vec<Arc<Engine>> = manners
            .into_iter()
            .enumerate()
            .map(|(number, manner)| {
                let places = Semaphore::new(manner.at_a_time);
                Arc::new(Engine {
                    number,
                    manner,
                    places,
                    world: Mutex::default(),
                    calls: AtomicU32::default(),
                })
            })
            .collect();
        let listeners: Vec<(Std, Arc<Engine>)> = engines
            .iter()
            .enumerate()
            .map(|(at, engine)| {
                let listener = Std::bind(dir.join(at.to_string())).unwrap();
                listener.set_nonblocking(true).unwrap();
                (listener, engine.clone())
            })
            .collect();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                for (listener, engine) in listeners {
                    let listener = UnixListener::from_std(listener).unwrap();
                    tokio::spawn(async move {
                        while let Ok((stream, _)) = listener.accept().await {
                            tokio::spawn(serve(stream, engine.clone()));
                        }
                    });
                }
                std::future::pending::<()>().await
            })
        });
        Crowd { dir, engines }
    }

    /// How records name one of the engines.
    pub fn host(&self, at: usize) -> Value {
        let url = format!("unix://{}", self.dir.join(at.to_string()).display());
        json!({"id": format!("h{at}"), "url": url})
    }

    /// The names of the containers that run on an engine.
    pub fn running(&self, at: usize) -> Vec<String> {
        let world = self.engines[at].world.lock().unwrap();
        world.there.values().filter(|one| one.runs).map(|one| one.name.clone()).collect()
    }

    /// Gives a container on an engine another name, as somebody else would.
    pub fn rename(&self, at: usize, old: &str, new: &str) {
        let mut world = self.engines[at].world.lock().unwrap();
        let id = world.names.remove(old).unwrap();
        world.there.get_mut(&id).unwrap().name = new.to_owned();
        world.names.insert(new.to_owned(), id);
    }

    /// The most that was asked of an engine at the same time.
    pub fn busiest(&self, at: usize) -> usize {
        self.engines[at].world.lock().unwrap().busiest
    }

    /// What was changed on an engine, in order: method and path, with names for ids.
    pub fn changes(&self, at: usize) -> Vec<String> {
        self.engines[at].world.lock().unwrap().changes.clone()
    }

    /// How many requests an engine got.
    pub fn calls(&self, at: usize) -> u32 {
        self.engines[at].calls.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Answers one request after another on a connection.
async fn serve(mut stream: UnixStream, engine: Arc<Engine>) {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_string();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let length: usize = length.unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: Vec<u8> = bytes.drain(..end + length).skip(end).collect();
        let mut words = head.split(' ');
        let (method, address) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if engine.manner.hangs {
            return std::future::pending().await;
        }
        engine.calls.fetch_add(1, Ordering::Relaxed);
        let (status, body) = engine.answer(method, address, &body).await;
        let head = "Content-Type: application/json\r\nApi-Version: 1.41";
        let text = format!(
            "HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The name that a query has.
fn named(query: &str) -> String {
    let name = query.split('&').find_map(|part| part.strip_prefix("name="));
    name.unwrap_or_default().to_owned()
}

impl Engine {
    async fn answer(&self, method: &str, address: &str, body: &[u8]) -> (u16, String) {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let missing = || (404, json!({"message": "No such container"}).to_string());
        match (method, &parts[..]) {
            (_, ["_ping"]) => (200, "OK".into()),
            ("GET", ["version"]) => {
                (200, json!({"Version": "20.10.24", "ApiVersion": "1.41"}).to_string())
            }
            ("GET", ["info"]) => (200, json!({"LoggingDriver": "json-file"}).to_string()),
            ("GET", ["images", ..]) => (200, json!({"Id": "sha256:0", "Config": {}}).to_string()),
            ("GET", ["networks"]) => (200, "[]".into()),
            ("GET", ["containers", "json"]) => (200, self.list()),
            ("POST", ["containers", "create"]) => self.create(named(query), body).await,
            ("GET", ["containers", name, "json"]) => self.inspect(name).unwrap_or_else(missing),
            ("POST", ["containers", id, "rename"]) => {
                self.rename(id, named(query)).unwrap_or_else(missing)
            }
            ("POST", ["containers", id, action]) => {
                let runs = matches!(*action, "start" | "restart");
                let _place = self.work(if runs { self.manner.start } else { Duration::ZERO }).await;
                self.change(action, id, Some(runs)).unwrap_or_else(missing)
            }
            ("DELETE", ["containers", id]) => {
                self.change("remove", id, None).unwrap_or_else(missing)
            }
            _ => (404, json!({"message": format!("page not found: {path}")}).to_string()),
        }
    }

    /// Waits for a place, and for the work to be done.
    async fn work(&self, time: Duration) {
        {
            let mut world = self.world.lock().unwrap();
            world.busy += 1;
            world.busiest = world.busiest.max(world.busy);
        }
        let place = self.places.acquire().await.unwrap();
        sleep(time).await;
        drop(place);
        self.world.lock().unwrap().busy -= 1;
    }

    async fn create(&self, name: String, body: &[u8]) -> (u16, String) {
        let wanted: Value = serde_json::from_slice(body).unwrap();
        let id = {
            let mut world = self.world.lock().unwrap();
            if world.names.contains_key(&name) {
                return (409, json!({"message": "Conflict"}).to_string());
            }
            world.made += 1;
            // No two engines have one id for two containers.
            let id = format!("{:032x}{:032x}", self.number, world.made);
            world.names.insert(name.clone(), id.clone());
            id
        };
        self.work(self.manner.create).await;
        let mut world = self.world.lock().unwrap();
        world.changes.push(format!("create {name}"));
        let labels = wanted["Labels"].clone();
        world.there.insert(id.clone(), There { name, runs: false, labels });
        (201, json!({"Id": id, "Warnings": []}).to_string())
    }

    fn change(&self, action: &str, id: &str, runs: Option<bool>) -> Option<(u16, String)> {
        let mut world = self.world.lock().unwrap();
        let name = world.there.get(id)?.name.clone();
        world.changes.push(format!("{action} {name}"));
        match runs {
            Some(runs) => world.there.get_mut(id)?.runs = runs,
            None => {
                world.there.remove(id);
                world.names.remove(&name);
            }
        }
        Some((204, String::new()))
    }

    fn rename(&self, id: &str, name: String) -> Option<(u16, String)> {
        let mut world = self.world.lock().unwrap();
        if world.names.contains_key(&name) {
            return Some((409, json!({"message": "Conflict"}).to_string()));
        }
        let old = std::mem::replace(&mut world.there.get_mut(id)?.name, name.clone());
        world.changes.push(format!("rename {old}"));
        world.names.remove(&old);
        world.names.insert(name, id.to_owned());
        Some((204, String::new()))
    }

    fn inspect(&self, name: &str) -> Option<(u16, String)> {
        let world = self.world.lock().unwrap();
        let id = world.names.get(name).map_or(name, String::as_str);
        let there = world.there.get(id)?;
        let status = if there.runs { "running" } else { "created" };
        let state = json!({"Status": status, "Running": there.runs, "Pid": 7,
            "StartedAt": "2026-11-21T12:00:00Z"});
        let said = json!({"Id": id, "Name": format!("/{}", there.name), "State": state,
            "Image": "sha256:0", "Config": {"Image": "busybox", "Labels": there.labels},
            "HostConfig": {"NetworkMode": "none"}, "NetworkSettings": {"Networks": {}}});
        Some((200, said.to_string()))
    }

    fn list(&self) -> String {
        let world = self.world.lock().unwrap();
        let one = |(id, one): (&String, &There)| json!({"Id": id, "Names": [one.name], "Labels": one.labels});
        Value::Array(world.there.iter().map(one).collect()).to_string()
    }
}
