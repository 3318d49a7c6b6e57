//! What Docker's own configuration says of how registries are entered: `config.json`, and the
//! credential helpers that it names.
//!
//! The format is that of the docker command (docker/cli, `cli/config/configfile`). No secret gets
//! into an error: what cannot be read is told by its place alone.

mod config;
mod helper;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::record::Login;
use config::{Config, Place};

/// How long an answer is taken for the one that would be given again: many hosts fetch at once.
const FRESH: Duration = Duration::from_secs(60);

/// How long a helper may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the docker command keeps what it knows of Docker's own registry.
const DOCKER_IO: &str = "https://index.docker.io/v1/";

/// The logins of one configuration directory, which is read when it is needed.
pub struct Keyring {
    directory: Option<PathBuf>,
    known: Mutex<HashMap<String, Arc<Mutex<Known>>>>,
}

/// What was found for one server, and when.
type Known = Option<(Instant, Option<Login>)>;

impl Keyring {
    /// The logins of that directory; without one, of the user's own `.docker`.
    pub fn new(directory: Option<&Path>) -> Keyring {
        let own = || std::env::home_dir().map(|home| home.join(".docker"));
        Keyring { directory: directory.map(Path::to_owned).or_else(own), known: Mutex::default() }
    }

    /// What a registry, such as `docker.io` or `registry.example:5000`, is entered with; nothing
    /// when the configuration says nothing of it. May start a helper, and wait for it.
    ///
    /// # Errors
    /// `BadInput` when the configuration or a helper's answer cannot be understood, `NotFound` when
    /// a helper is not installed, `TimedOut` when it does not answer, `Refused` when it fails.
    pub fn login(&self, registry: &str) -> Result<Option<Login>> {
        let server = if registry == "docker.io" { DOCKER_IO } else { registry };
        // One helper for all who want the same; who wants another does not wait for it.
        let known = locked(&self.known).entry(server.to_owned()).or_default().clone();
        let mut known = locked(&known);
        match &*known {
            Some((since, login)) if since.elapsed() < FRESH => Ok(login.clone()),
            _ => {
                let login = self.look_up(server)?;
                *known = Some((Instant::now(), login.clone()));
                Ok(login)
            }
        }
    }

    fn look_up(&self, server: &str) -> Result<Option<Login>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        match Config::read(&directory.join("config.json"))?.place(server)? {
            Place::Nowhere => Ok(None),
            Place::Here(login) => Ok(Some(login)),
            Place::Helper(name) => helper::ask(&name, server, PATIENCE),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
