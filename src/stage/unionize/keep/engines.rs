//! The engines that run the containers, and what they say of them.
//!
//! An engine may be away, now or for ever. What it has said is taken for so; what none says is not
//! known, and nothing is taken away for that.

use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::lock;
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Docker, Endpoint, State};

/// The first wait before an engine is tried again; it doubles up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A stream that lasted so long was no failure to begin one.
const LASTED: Duration = Duration::from_secs(10);

/// How it stands with a container.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It runs, there.
    Running(Box<Docker>),
    /// It is there and does not run.
    Stopped,
    /// Every engine that may have it says that there is none.
    Gone,
    /// Nobody can say.
    Unknown,
}

/// What an engine has to say by itself; it is told by its place in the list.
#[derive(Debug)]
pub enum News {
    /// It answers, and from here on nothing is missed.
    Up(usize),
    /// The container with this id should be looked at.
    Changed(String),
    /// It does not answer any more.
    Down(usize, Error),
}

/// All of them.
pub struct Engines {
    urls: Vec<String>,
    reached: Mutex<Vec<Option<Arc<Engine>>>>,
    tried: Once,
}

impl Engines {
    /// Those at these URLs; none is tried yet.
    pub fn new(urls: Vec<String>) -> Engines {
        let reached = Mutex::new(vec![None; urls.len()]);
        Engines { urls, reached, tried: Once::new() }
    }

    /// Where they listen.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Tries each of them, the first time that it is called.
    pub fn connect(&self) {
        self.tried.call_once(|| {
            let reached = self.urls.iter().map(|url| {
                let engine = Engine::connect(&Endpoint::at(url));
                engine.ok().map(Arc::new)
            });
            *lock(&self.reached) = reached.collect();
        });
    }

    /// Whether a container that does not run is there, or may be for all that is known.
    pub fn may_come_back(&self, container: &Container) -> bool {
        match self.standing(container) {
            Standing::Running(_) | Standing::Stopped => true,
            Standing::Gone => false,
            Standing::Unknown => container.docker.is_some() && self.are_any(),
        }
    }

    /// Whether there are any to be asked.
    pub fn are_any(&self) -> bool {
        !self.urls.is_empty()
    }

    /// Listens to the one at that place until `tell` says that nobody listens.
    pub fn listen(&self, at: usize, mut tell: impl FnMut(News) -> bool) {
        let mut pause = BACK_OFF.0;
        loop {
            // Before what `Up` brings about: between them nothing is missed.
            let (since, begun) = (Timestamp::now(), Instant::now());
            let why = match Engine::connect(&Endpoint::at(&self.urls[at])).map(Arc::new) {
                Ok(engine) => {
                    lock(&self.reached)[at] = Some(engine.clone());
                    if !tell(News::Up(at)) {
                        return;
                    }
                    engine.watch(None, since, &mut |id| tell(News::Changed(id)))
                }
                Err(why) => why,
            };
            lock(&self.reached)[at] = None;
            if why.kind() == Kind::ReaderLeft || !tell(News::Down(at, why)) {
                return;
            }
            if begun.elapsed() > LASTED {
                pause = BACK_OFF.0;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    /// How it stands with a container. Its record may say which engine has it; otherwise all are asked.
    pub fn standing(&self, container: &Container) -> Standing {
        let Some(docker) = &container.docker else { return Standing::Unknown };
        let url = container.host.as_ref().and_then(|host| host.url.as_deref());
        let named = url.and_then(|url| self.urls.iter().position(|known| known == url));
        let reached = lock(&self.reached).clone();
        let asked: Vec<_> = match named {
            Some(at) => vec![reached[at].clone()],
            None => reached,
        };
        let mut silent = asked.is_empty();
        for engine in asked {
            match engine.map(|engine| ask(&engine, &docker.id)) {
                Some(Ok(Standing::Gone)) => (),
                Some(Ok(standing)) => return standing,
                Some(Err(_)) | None => silent = true,
            }
        }
        if silent { Standing::Unknown } else { Standing::Gone }
    }
}

fn ask(engine: &Engine, id: &str) -> Result<Standing> {
    let found = engine.look(std::slice::from_ref(&id.to_owned())).pop();
    let container = match found {
        Some(Ok(Some(found))) => found.container,
        Some(Ok(None)) => return Ok(Standing::Gone),
        // It is there, whatever is wrong with it.
        Some(Err(why)) if why.kind() == Kind::BadInput => return Ok(Standing::Unknown),
        Some(Err(why)) => return Err(why),
        None => return Ok(Standing::Unknown),
    };
    Ok(match (container.state, container.docker) {
        (Some(State::Running | State::Paused), Some(docker)) => Standing::Running(Box::new(docker)),
        _ => Standing::Stopped,
    })
}
