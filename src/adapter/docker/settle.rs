//! Waiting until a container is healthy, by the engine's own checks.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerState, Health, HealthStatusEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Engine;
use super::error::failure;
use crate::error::Result;

/// How long an event may be missed: then the container is looked at again all the same.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of what a check wrote is told, in characters.
const TOLD: usize = 300;

/// How the wait for a container ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It runs, and nobody checks its health.
    Unchecked,
    /// It is healthy.
    Healthy,
    /// It is not; what its last check wrote.
    Unhealthy(String),
    /// It does not run any more; its exit status.
    Ended(i64),
    /// It is not clear yet; what its last check wrote.
    Open(String),
}

impl Engine {
    /// Waits until it is clear whether a container is healthy, for at most `patience`.
    ///
    /// The engine tells of it; an event that is lost costs a second.
    pub fn settle(&self, docker_id: &str, patience: Duration) -> Result<Settled> {
        let until = Instant::now() + patience;
        let filters = HashMap::from([("container", vec![docker_id.to_owned()])]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        self.carrier.block_on(async {
            let mut events = std::pin::pin!(self.docker.events(Some(options)).fuse());
            loop {
                let settled = self.health(docker_id).await?;
                if !matches!(settled, Settled::Open(_)) || Instant::now() >= until {
                    return Ok(settled);
                }
                let again = until.min(Instant::now() + AGAIN);
                loop {
                    match timeout_at(again, events.next()).await {
                        Ok(Some(Ok(event))) if !is_of_health(event.action.as_deref()) => (),
                        Ok(Some(Ok(_))) | Err(_) => break,
                        Ok(Some(Err(_)) | None) => {
                            sleep_until(again).await;
                            break;
                        }
                    }
                }
            }
        })
    }

    async fn health(&self, docker_id: &str) -> Result<Settled> {
        let answer = self.inspector.inspected(docker_id).await;
        let answer = answer.map_err(|why| failure("wait for container", &why))?;
        Ok(settled(answer.state.unwrap_or_default()))
    }
}

/// Whether what happened may have changed how healthy a container is. `died` is Podman's word.
fn is_of_health(what: Option<&str>) -> bool {
    let what = what.unwrap_or_default();
    what.starts_with("health_status") || matches!(what, "die" | "died" | "destroy" | "start")
}

fn settled(state: ContainerState) -> Settled {
    let begins = state.restarting == Some(true);
    if state.running != Some(true) && !begins {
        return Settled::Ended(state.exit_code.unwrap_or_default());
    }
    let health = state.health.unwrap_or_default();
    match health.status {
        _ if begins => Settled::Open(told(&health)),
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Settled::Unchecked,
        Some(HealthStatusEnum::STARTING) => Settled::Open(told(&health)),
        Some(HealthStatusEnum::HEALTHY) => Settled::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Settled::Unhealthy(told(&health)),
    }
}

/// The end of what the last check wrote, in one line.
fn told(health: &Health) -> String {
    let last = health.log.as_ref().and_then(|log| log.last());
    let text = last.and_then(|check| check.output.as_deref()).unwrap_or_default();
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    let from = line.char_indices().rev().nth(TOLD - 1).map_or(0, |(at, _)| at);
    line[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(state: Value) -> Settled {
        settled(serde_json::from_value(state).unwrap())
    }

    #[test]
    fn a_state_says_whether_the_wait_is_over() {
        let checked = |status: &str, wrote: &str| {
            let log = json!([{"Output": "first", "ExitCode": 1}, {"Output": wrote, "ExitCode": 1}]);
            json!({"Running": true, "Health": {"Status": status, "Log": log}})
        };
        assert_eq!(of(json!({"Running": true})), Settled::Unchecked);
        assert_eq!(of(checked("none", "")), Settled::Unchecked);
        assert_eq!(of(checked("starting", " a\nb\u{1b} ")), Settled::Open("a b".to_owned()));
        assert_eq!(of(checked("healthy", "")), Settled::Healthy);
        assert_eq!(of(json!({"Running": false, "ExitCode": 3})), Settled::Ended(3));
        let begins = json!({"Running": false, "Restarting": true});
        assert_eq!(of(begins), Settled::Open(String::new()));
        let Settled::Unhealthy(told) = of(checked("unhealthy", &"\u{e9}".repeat(400))) else {
            panic!("it is unhealthy");
        };
        assert_eq!(told.chars().count(), TOLD);
    }
}
