//! Whether a service has come to be as it was asked for.

use std::collections::HashSet;

use crate::adapter::docker::Found;
use crate::adapter::docker::swarm::{Service, Update};
use crate::error::{Error, Kind, Result};
use crate::record::{State, Task};

/// How many tasks of a service may fail while it is waited for.
const FAILURES: usize = 3;

/// What was done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was as it is wanted.
    Nothing,
    /// It was made.
    Made,
    /// The one that was there was changed.
    Changed,
    /// It is to have no task.
    Stopped,
    /// Nothing, because somebody else was quicker.
    Late,
}

/// Waits for a service to run behind a step.
pub(super) struct Watch {
    step: Step,
    /// The tasks that there were before.
    known: HashSet<String>,
}

impl Watch {
    /// Of what was done to the service that there was before, if there was one.
    pub(super) fn behind(step: Step, before: Option<&Service>) -> Watch {
        let tasks = before.map(|service| tasks(&service.found)).unwrap_or_default();
        Watch { step, known: tasks.iter().map(|task| task.id.clone()).collect() }
    }

    /// Whether the service runs, and does so as it was asked for.
    ///
    /// # Errors
    /// `Refused` when it turns out that it will not: its change was taken back, or its tasks keep
    /// failing, or ended and are not started again.
    pub(super) fn is_settled(&self, service: &Service) -> Result<bool> {
        let found = &service.found;
        let new = || tasks(found).iter().filter(|task| !self.known.contains(&task.id));
        let why = || found.ended.clone().unwrap_or_else(|| "its task has ended".to_owned());
        match (self.step, &service.update) {
            (Step::Stopped, _) => {
                return Ok(!tasks(found).iter().any(|task| task.state == "running"));
            }
            (Step::Changed, Update::Underway) => return Ok(false),
            (Step::Changed, Update::Failed(told)) => {
                let failed = new().find_map(|task| task.error.clone());
                let why = failed.map_or(told.clone(), |failed| format!("{told} ({failed})"));
                return Err(Error::new(Kind::Refused, "change service")
                    .why(why)
                    .remedy("the old one is there"));
            }
            _ => (),
        }
        let failures = new().filter(|task| matches!(&*task.state, "failed" | "rejected")).count();
        let start = || Error::new(Kind::Refused, "start service");
        match found.container.state {
            Some(State::Running) if self.step != Step::Changed => Ok(true),
            Some(State::Running) => Ok(new().any(|task| task.state == "running")),
            // The swarm has yet to take the change up.
            Some(State::Exited) if self.step == Step::Changed && new().next().is_none() => {
                Ok(false)
            }
            Some(State::Exited) => Err(start().why(why())),
            _ if failures >= FAILURES => {
                Err(start().why(format_args!("its tasks fail: {}", why())))
            }
            _ => Ok(false),
        }
    }

    /// That it was waited for in vain.
    pub(super) fn late(&self, found: &Found) -> Error {
        let state = tasks(found)
            .first()
            .map_or("no task yet".to_owned(), |task| format!("its task is {}", task.state));
        let why = found.ended.as_ref().map_or(state.clone(), |why| format!("{state}: {why}"));
        Error::new(Kind::TimedOut, "wait for service to run").why(why)
    }
}

fn tasks(found: &Found) -> &[Task] {
    found.container.docker.as_ref().map_or(&[], |docker| &docker.tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(state: &str, tasks: Value, update: Update) -> Service {
        let docker = json!({"id": "s", "tasks": tasks});
        let document = json!({"id": "web", "image": "b", "state": state, "docker": docker});
        let found = Found {
            ended: (state != "running").then(|| "exit (3)".into()),
            ..Found::new(serde_json::from_value(document).unwrap(), "s".into())
        };
        Service::of(found, update)
    }

    fn task(id: &str, state: &str) -> Value {
        match state {
            "failed" | "rejected" => json!({"id": id, "state": state, "error": "no image"}),
            _ => json!({"id": id, "state": state}),
        }
    }

    #[test]
    fn a_change_is_done_when_a_new_task_runs() {
        let before = service("running", json!([task("a", "running")]), Update::Done);
        let watch = Watch::behind(Step::Changed, Some(&before));
        assert!(!watch.is_settled(&before).unwrap());
        let both = json!([task("b", "running"), task("a", "running")]);
        let underway = service("running", both.clone(), Update::Underway);
        assert!(!watch.is_settled(&underway).unwrap());
        assert!(watch.is_settled(&service("running", both, Update::Done)).unwrap());
        let nothing = Watch::behind(Step::Nothing, Some(&before));
        assert!(nothing.is_settled(&before).unwrap());
    }

    #[test]
    fn a_change_of_one_that_had_ended_is_waited_for() {
        let before = service("exited", json!([task("a", "rejected")]), Update::Done);
        let watch = Watch::behind(Step::Changed, Some(&before));
        assert!(!watch.is_settled(&before).unwrap());
        let again = json!([task("b", "rejected"), task("a", "rejected")]);
        let again = service("exited", again, Update::Done);
        assert_eq!(watch.is_settled(&again).unwrap_err().kind(), Kind::Refused);
    }

    #[test]
    fn a_change_that_was_taken_back_has_failed() {
        let before = service("running", json!([task("a", "running")]), Update::Done);
        let back = json!([task("b", "failed"), task("a", "running")]);
        let back = service("running", back, Update::Failed("rolled back".into()));
        let why = Watch::behind(Step::Changed, Some(&before)).is_settled(&back).unwrap_err();
        assert_eq!(why.kind(), Kind::Refused);
        assert!(why.to_string().contains("rolled back (no image)"), "{why}");
        // One that was taken back some time ago runs as it is.
        assert!(Watch::behind(Step::Nothing, Some(&back)).is_settled(&back).unwrap());
    }

    #[test]
    fn tasks_that_keep_failing_are_not_waited_for() {
        let watch = Watch::behind(Step::Made, None);
        let failed = |count: usize| {
            let tasks: Vec<Value> =
                (0..count).map(|at| task(&format!("t{at}"), "rejected")).collect();
            service("restarting", json!(tasks), Update::Done)
        };
        assert!(!watch.is_settled(&failed(2)).unwrap());
        assert_eq!(watch.is_settled(&failed(3)).unwrap_err().kind(), Kind::Refused);
        let again = Watch::behind(Step::Nothing, Some(&failed(3)));
        assert!(!again.is_settled(&failed(3)).unwrap());
        let ended = service("exited", json!([task("a", "complete")]), Update::Done);
        assert_eq!(watch.is_settled(&ended).unwrap_err().kind(), Kind::Refused);
        let late = watch.late(&failed(1).found);
        assert_eq!(late.kind(), Kind::TimedOut);
        assert!(late.to_string().contains("rejected: exit (3)"), "{late}");
    }
}
