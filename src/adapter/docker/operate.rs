//! What is done to a container that is there and stays: it ends, begins again, is frozen, or gets
//! another name.

use std::time::Duration;

use bollard::query_parameters::{
    RenameContainerOptionsBuilder, RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use super::error::{failure, is_missing, status};
use super::{Engine, PATIENCE};
use crate::error::Result;
use crate::record::ContainerId;

/// How long a container has to end that declares no time, unless the engine was told another one
/// when it was made.
const USUAL: Duration = Duration::from_secs(10);

impl Engine {
    /// Asks a container to end, waits so long for it, or as long as the engine always does, and ends
    /// it then. One that does not run, or is not there, is no error.
    pub fn stop(&self, docker_id: &str, wait: Option<Duration>) -> Result<()> {
        let mut options = StopContainerOptionsBuilder::default();
        if let Some(wait) = wait {
            options = options.t(seconds(wait));
        }
        let docker = self.docker.clone().with_timeout(patience(wait));
        match self.carrier.block_on(docker.stop_container(docker_id, Some(options.build()))) {
            Err(why) if !is_missing(&why) => Err(failure("stop container", &why)),
            _ => Ok(()),
        }
    }

    /// Stops a container in the same way, if it runs, and starts it.
    pub fn restart(&self, docker_id: &str, wait: Option<Duration>) -> Result<()> {
        let mut options = RestartContainerOptionsBuilder::default();
        if let Some(wait) = wait {
            options = options.t(seconds(wait));
        }
        let docker = self.docker.clone().with_timeout(patience(wait));
        self.carrier
            .block_on(docker.restart_container(docker_id, Some(options.build())))
            .map_err(|why| failure("restart container", &why))
    }

    /// Ends a container at once. One that does not run is no error.
    pub fn kill(&self, docker_id: &str) -> Result<()> {
        match self.carrier.block_on(self.docker.kill_container(docker_id, None)) {
            Err(why) if status(&why) != Some(409) => Err(failure("kill container", &why)),
            _ => Ok(()),
        }
    }

    /// Freezes a container. One that is frozen already is no error.
    pub fn pause(&self, docker_id: &str) -> Result<()> {
        match self.carrier.block_on(self.docker.pause_container(docker_id)) {
            Err(why) if why.to_string().contains("already paused") => Ok(()),
            outcome => outcome.map_err(|why| failure("pause container", &why)),
        }
    }

    /// Lets a frozen container go on; does nothing to one that is not frozen.
    pub fn unpause(&self, docker_id: &str) -> Result<()> {
        match self.carrier.block_on(self.docker.unpause_container(docker_id)) {
            Err(why) if status(&why) == Some(409) || is_awake(&why) => Ok(()),
            outcome => outcome.map_err(|why| failure("unpause container", &why)),
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// `Refused` when another container has it.
    pub fn rename(&self, docker_id: &str, name: &ContainerId) -> Result<()> {
        let options = RenameContainerOptionsBuilder::default().name(name.as_str()).build();
        let doing = || format!("rename container to {name}");
        let renamed = self.carrier.block_on(self.docker.rename_container(docker_id, options));
        renamed.map_err(|why| failure(doing(), &why))
    }
}

/// Docker answers 500 when it is asked to let go on what is not frozen.
fn is_awake(why: &bollard::errors::Error) -> bool {
    why.to_string().contains("is not paused")
}

fn seconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_secs()).unwrap_or(i32::MAX)
}

fn patience(wait: Option<Duration>) -> Duration {
    wait.unwrap_or(USUAL).saturating_add(PATIENCE)
}
