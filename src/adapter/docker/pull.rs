//! The images that an engine has, and how it comes by those that it has not.

use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::Engine;
use super::error::{failure, is_missing, no_image};
use super::origin::Brought;
use crate::error::Result;
use crate::record::{Image, Platform};

/// How long it may take to begin fetching an image, which it does only once a registry has answered.
const PULL_PATIENCE: Duration = Duration::from_secs(600);

impl Engine {
    /// Whether the image is here, for that platform.
    pub fn has_image(&self, image: &Image, platform: Option<&Platform>) -> Result<bool> {
        match self.runtime.block_on(self.docker.inspect_image(image.as_str())) {
            Ok(found) => Ok(platform.is_none_or(|platform| Brought::of(found).is_for(platform))),
            Err(why) if is_missing(&why) => Ok(false),
            Err(why) => Err(failure(format_args!("inspect image {image}"), &why)),
        }
    }

    /// Fetches an image from its registry, the one for that platform where there are several.
    ///
    /// # Errors
    /// `NotFound`, whatever the reason is that it cannot be had.
    pub fn pull(&self, image: &Image, platform: Option<&Platform>) -> Result<()> {
        let version = image.digest().or(image.tag()).unwrap_or("latest");
        let mut options =
            CreateImageOptionsBuilder::default().from_image(image.repository()).tag(version);
        if let Some(platform) = platform {
            options = options.platform(platform.as_str());
        }
        let docker = self.docker.clone().with_timeout(PULL_PATIENCE);
        let pulled = self.runtime.block_on(async {
            let mut steps = docker.create_image(Some(options.build()), None, None);
            while let Some(step) = steps.next().await {
                step?;
            }
            Ok(())
        });
        pulled.map_err(|why| no_image(format_args!("fetch image \"{image}\""), &why))
    }
}
