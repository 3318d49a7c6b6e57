//! The connections to the engines that changes name, one for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adapter::docker::Engine;
use crate::error::{Error, Result};
use crate::pipe::Report;
use crate::record::Endpoint;

/// Engines by how they are reached. One that does not answer is asked again for each change.
pub(super) struct Engines {
    insecure: bool,
    report: Report,
    known: Mutex<Known>,
}

type Known = HashMap<Endpoint, Result<Arc<Engine>>>;

impl Engines {
    /// None yet. With `insecure` those at `tcp://` may be spoken to without TLS, which is told.
    pub(super) fn new(insecure: bool, report: &Report) -> Engines {
        Engines { insecure, report: report.clone(), known: Mutex::default() }
    }

    /// The engine that is reached so.
    pub(super) fn of(&self, endpoint: &Endpoint) -> Result<Arc<Engine>> {
        let endpoint = endpoint.clone().insecure(self.insecure);
        if let Some(Ok(engine)) = self.lock().get(&endpoint) {
            return Ok(engine.clone());
        }
        // Not under the lock: an engine that takes its time must not keep the others waiting.
        let connected = Engine::connect(&endpoint).map(Arc::new);
        let mut engines = self.lock();
        match engines.get(&endpoint) {
            Some(Ok(first)) => Ok(first.clone()),
            known => {
                if known.is_none()
                    && let Some(caution) = endpoint.caution()
                {
                    self.report.note(&caution);
                }
                engines.insert(endpoint, connected.clone());
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

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
