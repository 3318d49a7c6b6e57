//! Where Podman's Docker-compatible interface is another one than Docker's.
//!
//! A container that has ended and is not cleared away yet is in a state that Docker has not,
//! `stopped`: an answer with that word cannot be read, and is asked for again. It tells by no number that
//! a name is taken. And it makes a container without the graphics processors that were asked for, of
//! which it says nothing.

use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use tokio::time::{Instant, sleep};

use super::inspector::Inspector;
use super::{Engine, soon};
use crate::error::{Error, Kind, Result};

/// How long it may take until all is cleared away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time between two questions.
const PAUSE: Duration = Duration::from_millis(50);

impl Inspector {
    /// What the engine says of a container.
    pub(super) async fn inspected(&self, id: &str) -> Result<ContainerInspectResponse, Failure> {
        once_clear(|| self.docker.inspect_container(id, None)).await
    }
}

impl Engine {
    /// # Errors
    /// `Refused` for what the engine would leave out without a word.
    pub(super) fn mind_gpus(&self, body: &ContainerCreateBody) -> Result<()> {
        let is_podman = self.release.as_ref().and_then(|release| release.name.as_deref());
        let host = body.host_config.as_ref();
        let asked = host.and_then(|host| host.device_requests.as_ref());
        if is_podman != Some("Podman Engine") || asked.is_none_or(Vec::is_empty) {
            return Ok(());
        }
        Err(Error::new(Kind::Refused, "create container")
            .why("Podman would make it without its \"gpus\"")
            .remedy("name their devices in \"devices\""))
    }
}

/// The answer to a question about containers, once it has no word in it that is Podman's alone.
pub(super) async fn once_clear<T, A>(ask: impl Fn() -> A) -> Result<T, Failure>
where
    A: Future<Output = Result<T, Failure>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match soon(ask()).await {
            Err(why) if is_unclear(&why) && Instant::now() < until => sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

/// Whether a refusal, in small letters, says that a container has the name already.
pub(super) fn is_name_taken(text: &str) -> bool {
    text.contains("container name") && text.contains("is already in use")
}

fn is_unclear(why: &Failure) -> bool {
    let said = match why {
        Failure::JsonDataError { message, .. } => message.clone(),
        Failure::JsonSerdeError { err } => err.to_string(),
        _ => return false,
    };
    said.contains("unknown variant `stopped`")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn answer(status: &str) -> Result<ContainerInspectResponse, Failure> {
        let text = format!(r#"{{"Id":"a","State":{{"Status":"{status}"}}}}"#);
        serde_json::from_str(&text).map_err(|err| Failure::JsonSerdeError { err })
    }

    fn told(words: &[&str]) -> (Result<ContainerInspectResponse, Failure>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = Cell::new(0);
        let ask = || {
            let word = words[asked.get()];
            asked.set(asked.get() + 1);
            async move { answer(word) }
        };
        let told = runtime.block_on(once_clear(ask));
        (told, asked.get())
    }

    #[test]
    fn a_name_that_is_taken_is_said_in_words() {
        let said = "container create: creating container storage: the container name \"a\" is already \
                    in use by e713e5083b3f. you have to remove that container";
        assert!(is_name_taken(said));
        assert!(!is_name_taken("bind: address already in use"));
    }

    #[test]
    fn a_container_that_is_not_cleared_away_is_asked_about_again() {
        let (answer, asked) = told(&["stopped", "stopped", "exited"]);
        assert!(answer.unwrap().state.unwrap().status.is_some());
        assert_eq!(asked, 3);
        let (answer, asked) = told(&["no-such-state", "exited"]);
        assert!(answer.is_err());
        assert_eq!(asked, 1);
    }
}
