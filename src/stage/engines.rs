//! The way from a program to its engines.

use std::time::Duration;

use crate::adapter::docker::{Carriers, Engine};
use crate::error::Result;
use crate::record::Endpoint;

/// How a program reaches engines, all of them by the same few threads. Clones share these.
#[derive(Clone, Debug)]
pub struct Reach {
    insecure: bool,
    carriers: Carriers,
}

impl Reach {
    /// With `insecure` those at `tcp://` may be spoken to without TLS. Nothing is reached yet.
    pub fn new(insecure: bool) -> Reach {
        Reach { insecure, carriers: Carriers::default() }
    }

    /// Where an engine is, such as that of a host, and how it may be spoken to.
    pub fn endpoint(&self, of: impl Into<Endpoint>) -> Endpoint {
        of.into().insecure(self.insecure)
    }

    /// [`Engine::connect`].
    pub fn connect(&self, endpoint: &Endpoint) -> Result<Engine> {
        Engine::connect(&self.carriers, endpoint)
    }

    /// [`Engine::connect_within`].
    pub fn connect_within(&self, endpoint: &Endpoint, patience: Duration) -> Result<Engine> {
        Engine::connect_within(&self.carriers, endpoint, patience)
    }
}
