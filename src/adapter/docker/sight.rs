//! How it stands with containers, as far as it can change while they are there.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, Health as Checked, HealthStatusEnum};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::error::{failure, is_missing};
use super::list::parsed;
use super::{AT_A_TIME, Engine, label, read, soon};
use crate::error::{Error, Kind, Result};
use crate::record::{ContainerId, Docker, Health, Key, Object, Owner, Sight, Subject};

/// The longest output of a health check that is told, in characters.
const LONGEST_OUTPUT: usize = 4096;

impl Engine {
    /// All containers: of one owner, or of anybody, and with all of these labels, each `NAME` or
    /// `NAME=VALUE`. One that goes meanwhile is not there.
    pub fn sights(&self, owner: Option<&Owner>, labels: &[String]) -> Result<Vec<Sight>> {
        let ids = self.list(owner, labels)?;
        let sights = futures_util::stream::iter(&ids).map(|id| self.sight(id)).buffered(AT_A_TIME);
        self.carrier.block_on(sights.try_filter_map(async |sight| Ok(sight)).try_collect())
    }

    /// How it stands with these containers; nothing for one that is not there.
    pub fn sights_of(&self, docker_ids: &[String]) -> Result<Vec<Option<Sight>>> {
        let looks = futures_util::stream::iter(docker_ids).map(|id| self.sight(id));
        self.carrier.block_on(looks.buffered(AT_A_TIME).try_collect())
    }

    /// What the engine's clock says.
    ///
    /// # Errors
    /// `BadInput` for an engine that does not say it.
    pub fn clock(&self) -> Result<Timestamp> {
        let doing = || format!("ask {} for its time", self.url);
        let info = self
            .carrier
            .block_on(soon(self.docker.info()))
            .map_err(|why| failure(doing(), &why))?;
        let time = info.system_time.and_then(|time| time.parse().ok());
        time.ok_or_else(|| Error::new(Kind::BadInput, doing()).why("it does not say it"))
    }

    /// One container, if it is there.
    pub(super) async fn sight(&self, docker_id: &str) -> Result<Option<Sight>> {
        match self.inspector.inspected(docker_id).await {
            Ok(answer) => Ok(Some(sight(answer))),
            Err(why) if is_missing(&why) => Ok(None),
            Err(why) => Err(failure(format_args!("inspect container {docker_id}"), &why)),
        }
    }
}

fn sight(answer: ContainerInspectResponse) -> Sight {
    let state = answer.state.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let sandbox = answer.network_settings.and_then(|network| network.sandbox_key);
    let name = answer.name.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let subject = subject(name.strip_prefix('/').unwrap_or(&name), config.image, &labels);
    let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let runs = state.running == Some(true);
    let docker = Docker {
        started_at: read::started_at(&state),
        netns: sandbox.filter(|path| runs && !path.is_empty() && pid.is_some()),
        pid,
        ..Docker::new(answer.id.unwrap_or_default())
    };
    Sight {
        created_at: answer.created.as_ref().and_then(|at| moment(&at.to_string())),
        finished_at: state.finished_at.as_deref().filter(|_| !runs).and_then(moment),
        exit_code: state.exit_code.filter(|_| !runs && docker.started_at.is_some()),
        oom: state.oom_killed == Some(true),
        error: state.error.clone().filter(|why| !why.is_empty()),
        health: state.health.as_ref().and_then(health),
        output: state.health.as_ref().and_then(output),
        restarts: answer.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        subject: Subject { state: read::state(&state), docker: Some(docker), ..subject },
    }
}

/// The container with this name and these labels, all of them.
pub(super) fn subject(
    name: &str,
    image: Option<String>,
    labels: &HashMap<String, String>,
) -> Subject {
    let owner = parsed::<ContainerId>(name).and_then(|name| label::read(labels, &name));
    let owner = owner.map(|(owner, _)| owner);
    let key = labels.get(label::KEY).filter(|_| owner.is_some());
    Subject {
        id: name.to_owned(),
        image: image.filter(|image| !image.is_empty()),
        key: key.and_then(|key| parsed::<Key>(key)),
        owner,
        labels: labels.clone().into_iter().collect(),
        state: None,
        docker: None,
        rest: Object::default(),
    }
}

/// A time; Docker writes the year 1 for never.
fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|at| *at > Timestamp::UNIX_EPOCH)
}

fn health(check: &Checked) -> Option<Health> {
    match check.status? {
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
    }
}

fn output(check: &Checked) -> Option<String> {
    let output = check.log.as_ref()?.last()?.output.as_deref()?;
    (!output.is_empty()).then(|| output.chars().take(LONGEST_OUTPUT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::State;
    use serde_json::{Value, json};

    fn of(answer: Value) -> Sight {
        sight(serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn a_container_that_runs_has_not_ended() {
        let sight = of(json!({
            "Id": "c0", "Name": "/web", "Created": "2026-11-21T18:00:00.5Z", "RestartCount": 2,
            "Config": {"Image": "b", "Labels": {"a": "1", "leasepipe.owner": "edge"}},
            "State": {"Status": "running", "Running": true, "Pid": 7, "ExitCode": 0,
                      "StartedAt": "2026-11-21T18:01:00Z", "FinishedAt": "2026-11-21T18:00:59Z",
                      "Health": {"Status": "unhealthy", "Log": [
                          {"ExitCode": 1, "Output": "old"}, {"ExitCode": 1, "Output": "no\n"}]}},
            "NetworkSettings": {"SandboxKey": "/run/x"}
        }));
        assert!(sight.runs());
        assert_eq!((sight.exit_code, sight.finished_at, sight.restarts), (None, None, 2));
        assert_eq!(
            (sight.health, sight.output.as_deref()),
            (Some(Health::Unhealthy), Some("no\n"))
        );
        assert_eq!(sight.docker_id(), "c0");
        // The owner's label alone proves nothing.
        assert_eq!(sight.subject.owner, None);
        assert_eq!(sight.subject.labels.len(), 2);
        let docker = sight.subject.docker.unwrap();
        assert_eq!((docker.pid, docker.netns.as_deref()), (Some(7), Some("/run/x")));
    }

    #[test]
    fn one_that_was_never_started_has_no_exit_code() {
        let never = "0001-01-01T00:00:00Z";
        let state = json!({"Status": "created", "Running": false, "Pid": 0, "ExitCode": 0,
                           "Error": "no", "StartedAt": never, "FinishedAt": never});
        let sight = of(json!({"Id": "c0", "Name": "/web", "State": state}));
        assert_eq!((sight.exit_code, sight.finished_at, sight.started_at()), (None, None, None));
        assert_eq!(sight.error.as_deref(), Some("no"));
        assert_eq!(sight.subject.state, Some(State::Created));
    }

    #[test]
    fn one_that_has_ended_says_how() {
        let state = json!({"Status": "exited", "Running": false, "OOMKilled": true, "ExitCode": 137,
                           "StartedAt": "2026-11-21T18:01:00Z", "FinishedAt": "2026-11-21T18:02:00Z"});
        let sight = of(json!({"Id": "c0", "Name": "/web", "State": state}));
        assert!(sight.oom && !sight.runs());
        assert_eq!(sight.exit_code, Some(137));
    }
}
