//! The images that hosts fetch from registries: with the login that Docker's configuration has for
//! them, once for all who wait, and with a bar for a person who waits.

use std::path::Path;

use super::flights::Flights;
use crate::adapter::credentials::Keyring;
use crate::adapter::docker::Engine;
use crate::error::Result;
use crate::pipe::{Bars, Report};
use crate::record::{Image, Platform};

/// Fetches images.
pub(super) struct Images {
    keyring: Keyring,
    bars: Bars,
    pulls: Flights<(String, Image, Option<Platform>), ()>,
}

impl Images {
    /// With the logins of that directory; without one, of the user's own Docker configuration.
    pub(super) fn new(docker_config: Option<&Path>, report: &Report) -> Images {
        Images {
            keyring: Keyring::new(docker_config),
            bars: report.bars().clone(),
            pulls: Flights::default(),
        }
    }

    /// Lets an engine fetch an image. Who wants the same one meanwhile waits for the same outcome.
    pub(super) fn pull(
        &self,
        engine: &Engine,
        image: &Image,
        platform: Option<&Platform>,
    ) -> Result<()> {
        let key = (engine.url().to_owned(), image.clone(), platform.cloned());
        self.pulls.share(&key, || {
            let login = self.keyring.login(image.registry())?;
            let bar = self.bars.transfer(&format!("{image} to {}", engine.url()));
            let mut told = |done, all| bar.at(done, all);
            engine.pull(image, platform, login.as_ref(), &mut told)
        })
    }
}
