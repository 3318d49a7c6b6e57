//! How it stands with a service, from its tasks.

use std::collections::HashMap;

use bollard::models::{ServiceSpec, Task as Found, TaskState};

use crate::record::{Docker, Object, State, Task};

/// How many of a service's tasks are told.
const TOLD: usize = 5;

/// How a service stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) docker: Docker,
    /// Why the newest task that ended did, in words.
    pub(super) ended: Option<String>,
}

impl Standing {
    /// That of the service with this id, whose tasks these are, with the host names of nodes by id.
    pub(super) fn of(
        service: &str,
        spec: &ServiceSpec,
        mut tasks: Vec<Found>,
        nodes: &HashMap<String, String>,
    ) -> Standing {
        tasks.sort_by(|a, b| (&b.created_at, &b.id).cmp(&(&a.created_at, &a.id)));
        let running = tasks.iter().find(|task| is_wanted(task) && is_in(task, TaskState::RUNNING));
        let pending = tasks.is_empty() || tasks.iter().any(is_wanted);
        let state = match running {
            _ if wanted(spec) == 0 => State::Exited,
            Some(_) => State::Running,
            None if pending => State::Restarting,
            None => State::Exited,
        };
        let running = running.map(|task| told(task, nodes));
        let docker = Docker {
            started_at: running.as_ref().and_then(|task| task.since),
            node: running.and_then(|task| task.node),
            tasks: tasks.iter().take(TOLD).map(|task| told(task, nodes)).collect(),
            ..Docker::new(service.to_owned())
        };
        let ended = tasks.iter().find_map(error);
        Standing { state, docker, ended }
    }
}

/// How many tasks a service is to have.
pub(super) fn wanted(spec: &ServiceSpec) -> i64 {
    let replicated = spec.mode.as_ref().and_then(|mode| mode.replicated.as_ref());
    replicated.map_or(1, |replicated| replicated.replicas.unwrap_or(1))
}

/// Whether the swarm wants a task to run, or to do so once a pause is over.
fn is_wanted(task: &Found) -> bool {
    !matches!(
        task.desired_state,
        Some(
            TaskState::COMPLETE
                | TaskState::SHUTDOWN
                | TaskState::FAILED
                | TaskState::REJECTED
                | TaskState::REMOVE
                | TaskState::ORPHANED
        )
    )
}

fn is_in(task: &Found, state: TaskState) -> bool {
    task.status.as_ref().and_then(|status| status.state) == Some(state)
}

fn error(task: &Found) -> Option<String> {
    let why = task.status.as_ref()?.err.as_ref()?.trim();
    (!why.is_empty()).then(|| why.to_owned())
}

fn told(task: &Found, nodes: &HashMap<String, String>) -> Task {
    let status = task.status.as_ref();
    let container =
        status.and_then(|status| status.container_status.as_ref()?.container_id.clone());
    let node = task.node_id.as_ref().filter(|id| !id.is_empty());
    Task {
        id: task.id.clone().unwrap_or_default(),
        node: node.map(|id| nodes.get(id).unwrap_or(id).clone()),
        state: status.and_then(|status| status.state).map_or("new".into(), |s| s.to_string()),
        container: container.filter(|id| !id.is_empty()),
        since: status.and_then(|status| status.timestamp.as_ref()?.parse().ok()),
        error: error(task),
        rest: Object::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn standing(replicas: i64, tasks: Value) -> Standing {
        let spec = json!({"Mode": {"Replicated": {"Replicas": replicas}}});
        let nodes = HashMap::from([("n".to_owned(), "host-1".to_owned())]);
        let tasks = serde_json::from_value(tasks).unwrap();
        Standing::of("s", &serde_json::from_value(spec).unwrap(), tasks, &nodes)
    }

    fn task(at: u32, state: &str, desired: &str, why: &str) -> Value {
        json!({
            "ID": format!("t{at}"), "CreatedAt": format!("2026-11-21T18:43:{at:02}.5Z"),
            "NodeID": "n", "DesiredState": desired,
            "Status": {
                "State": state, "Err": why, "Timestamp": "2026-11-21T18:43:46.5Z",
                "ContainerStatus": {"ContainerID": "c0ffee", "PID": 0, "ExitCode": 3}
            }
        })
    }

    #[test]
    fn a_service_runs_where_its_wanted_task_does() {
        let found = standing(
            1,
            json!([
                task(1, "failed", "shutdown", "task: non-zero exit (3)"),
                task(2, "running", "running", ""),
            ]),
        );
        assert_eq!(found.state, State::Running);
        assert_eq!(found.docker.node.as_deref(), Some("host-1"));
        assert_eq!(found.docker.id, "s");
        let told = serde_json::to_value(&found.docker.tasks).unwrap();
        let first = json!({"id": "t2", "node": "host-1", "state": "running",
                           "container": "c0ffee", "since": "2026-11-21T18:43:46.5Z"});
        assert_eq!((&told[0], &told[1]["error"]), (&first, &json!("task: non-zero exit (3)")));
    }

    #[test]
    fn one_that_is_to_run_is_on_its_way() {
        let state = |replicas, tasks| standing(replicas, tasks).state;
        assert_eq!(state(1, json!([])), State::Restarting);
        for way in ["new", "pending", "assigned", "preparing", "ready", "starting"] {
            assert_eq!(state(1, json!([task(1, way, "running", "")])), State::Restarting, "{way}");
        }
        let paused = json!([task(1, "failed", "shutdown", "x"), task(2, "ready", "ready", "")]);
        assert_eq!(state(1, paused), State::Restarting);
        // On a node that is cut off one may run still; it is not the one that is wanted.
        let cut = json!([task(1, "running", "shutdown", ""), task(2, "pending", "running", "")]);
        let cut = standing(1, cut);
        assert_eq!((cut.state, cut.docker.node), (State::Restarting, None));
    }

    #[test]
    fn one_that_is_not_to_run_has_ended() {
        let found = standing(1, json!([task(1, "failed", "shutdown", "exit (3)")]));
        assert_eq!((found.state, found.ended.as_deref()), (State::Exited, Some("exit (3)")));
        let found = standing(1, json!([task(1, "complete", "shutdown", "")]));
        assert_eq!((found.state, found.ended), (State::Exited, None));
        assert_eq!(standing(0, json!([])).state, State::Exited);
        let many: Vec<Value> = (0..9).map(|at| task(at, "failed", "shutdown", "x")).collect();
        let many = standing(1, Value::Array(many));
        assert_eq!(many.docker.tasks.len(), TOLD);
        assert_eq!(many.docker.tasks[0].id, "t8");
    }
}
