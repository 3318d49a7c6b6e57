//! The engines that run the containers, and what they say of them.
//!
//! An engine may be away, now or for ever. What it has said is taken for so; what none says is not
//! known, and nothing is taken away for that.

use std::sync::{Arc, Mutex, Once};

use super::super::lock;
use crate::adapter::docker::{Engine, here};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Docker, Endpoint, State};
use crate::stage::engines::Reach;
use crate::stage::listening;

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

/// All of them, each of this machine.
pub struct Engines {
    all: Vec<Known>,
    reach: Reach,
    reached: Mutex<Vec<Option<Arc<Engine>>>>,
    tried: Once,
}

/// An engine, by what it was called and by where it listens.
struct Known {
    url: String,
    endpoint: Endpoint,
}

impl Engines {
    /// Those at these URLs; none is tried yet.
    ///
    /// # Errors
    /// What [`here`] says of one that may be another machine's.
    pub fn new(urls: Vec<String>) -> Result<Engines> {
        let known = |url: String| here(&url).map(|endpoint| Known { url, endpoint });
        let all = urls.into_iter().map(known).collect::<Result<Vec<Known>>>()?;
        let reached = Mutex::new(vec![None; all.len()]);
        Ok(Engines { all, reach: Reach::new(false), reached, tried: Once::new() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// What the one at that place is called.
    pub fn url(&self, at: usize) -> &str {
        &self.all[at].url
    }

    /// Tries each of them, the first time that it is called.
    pub fn connect(&self) {
        self.tried.call_once(|| {
            let reached = self.all.iter().map(|known| {
                let engine = self.reach.connect(&known.endpoint);
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
        !self.all.is_empty()
    }

    /// Listens to the one at that place until `tell` says that nobody listens.
    pub fn listen(&self, at: usize, tell: impl Fn(News) -> bool) {
        let hear = |engine: &Arc<Engine>, since| {
            lock(&self.reached)[at] = Some(engine.clone());
            if !tell(News::Up(at)) {
                return Error::new(Kind::ReaderLeft, "tell what changes");
            }
            engine.watch(None, since, &mut |id| tell(News::Changed(id)))
        };
        let down = |why| {
            lock(&self.reached)[at] = None;
            tell(News::Down(at, why))
        };
        listening::stay(&self.reach, &self.all[at].endpoint, hear, down);
    }

    /// The place of the one at that URL, whichever of its names it is called by there.
    fn place(&self, url: &str) -> Option<usize> {
        let given = self.all.iter().position(|known| known.url == url);
        given.or_else(|| {
            let endpoint = here(url).ok()?;
            self.all.iter().position(|known| known.endpoint.url == endpoint.url)
        })
    }

    /// How it stands with a container. Its record may say which engine has it; otherwise all are asked.
    pub fn standing(&self, container: &Container) -> Standing {
        let Some(docker) = &container.docker else { return Standing::Unknown };
        let url = container.host.as_ref().and_then(|host| host.url.as_deref());
        let named = url.and_then(|url| self.place(url));
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
