//! The connections to the engines that changes name, one for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adapter::docker::Engine;
use crate::error::{Error, Result};

/// Engines by URL. One that does not answer is asked again for each change.
#[derive(Default)]
pub(super) struct Engines(Mutex<HashMap<String, Result<Arc<Engine>>>>);

impl Engines {
    /// The engine that listens at `url`.
    pub(super) fn of(&self, url: &str) -> Result<Arc<Engine>> {
        if let Some(Ok(engine)) = self.lock().get(url) {
            return Ok(engine.clone());
        }
        // Not under the lock: an engine that takes its time must not keep the others waiting.
        let connected = Engine::connect(url).map(Arc::new);
        let mut engines = self.lock();
        match engines.get(url) {
            Some(Ok(first)) => Ok(first.clone()),
            _ => {
                engines.insert(url.to_owned(), connected.clone());
                connected
            }
        }
    }

    /// The engines that have been reached.
    pub(super) fn reached(&self) -> Vec<Arc<Engine>> {
        self.lock().values().filter_map(|engine| engine.as_ref().ok().cloned()).collect()
    }

    /// Why an engine that was wanted was never there, if one was not.
    pub(super) fn never_there(&self) -> Option<Error> {
        self.lock().values().find_map(|engine| engine.as_ref().err().cloned())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Result<Arc<Engine>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
