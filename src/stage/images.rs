//! The images that hosts fetch from registries: with the login that Docker's configuration has for
//! them, once for all who wait, and with a bar for a person who waits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::flights::Flights;
use crate::adapter::credentials::Keyring;
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};
use crate::pipe::{Bars, Report};
use crate::record::{Image, Login, Platform};

/// Fetches images.
pub(super) struct Images {
    keyring: Keyring,
    bars: Bars,
    pulls: Flights<(String, Image, Option<Platform>), ()>,
    asked: Flights<Image, Image>,
    pinned: Mutex<HashMap<Image, Image>>,
}

impl Images {
    /// With the logins of that directory; without one, of the user's own Docker configuration.
    pub(super) fn new(docker_config: Option<&Path>, report: &Report) -> Images {
        Images {
            keyring: Keyring::new(docker_config),
            bars: report.bars().clone(),
            pulls: Flights::default(),
            asked: Flights::default(),
            pinned: Mutex::default(),
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
            let login = self.login(image)?;
            let bar = self.bars.transfer(&format!("{image} to {}", engine.url()));
            let mut told = |done, all| bar.at(done, all);
            engine.pull(image, platform, login.as_ref(), &mut told)
        })
    }

    /// What the image's registry is entered with; nothing when it is not said.
    pub(super) fn login(&self, image: &Image) -> Result<Option<Login>> {
        self.keyring.login(image.registry())
    }

    /// The image with the digest that its registry has it by, as an engine learns that. All who ask
    /// get the same one, until [`Images::forget`].
    pub(super) fn pinned(&self, engine: &Engine, image: &Image) -> Result<Image> {
        if image.digest().is_some() {
            return Ok(image.clone());
        }
        self.asked.share(image, || {
            if let Some(pinned) = self.lock().get(image) {
                return Ok(pinned.clone());
            }
            let login = self.login(image)?;
            let digest = engine.registry_digest(image, login.as_ref())?;
            let pinned = image.with_digest(&digest).map_err(|why| {
                Error::new(Kind::BadInput, format_args!("pin image \"{image}\"")).why(why)
            })?;
            self.lock().insert(image.clone(), pinned.clone());
            Ok(pinned)
        })
    }

    /// Forgets which digests images had.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Image, Image>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
