//! What an engine says of a container and of what happens to it, before it is known what of that is
//! news. Events are made of it.

use jiff::Timestamp;

use super::{Health, Signal, State, Subject, Usage, What};

/// A container, as an engine has it at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// Which one; with its state and what Docker knows of it.
    pub subject: Subject,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When its last run ended; absent while it runs and before the first one.
    pub finished_at: Option<Timestamp>,
    /// What its last run ended with.
    pub exit_code: Option<i64>,
    /// Whether memory ran out in its last run.
    pub oom: bool,
    /// Why it could not be run.
    pub error: Option<String>,
    /// How it is; absent without a health check.
    pub health: Option<Health>,
    /// The last output of the health check.
    pub output: Option<String>,
    /// How often the engine started it again of itself.
    pub restarts: u64,
}

impl Sight {
    /// The engine's own id of it.
    pub fn docker_id(&self) -> &str {
        self.subject.docker.as_ref().map_or("", |docker| &docker.id)
    }

    /// When it was last started.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.subject.docker.as_ref()?.started_at
    }

    /// Whether it has a process.
    pub fn runs(&self) -> bool {
        matches!(self.subject.state, Some(State::Running | State::Paused))
    }
}

/// What an engine tells of its own accord.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// The engine's own id of the container.
    pub docker_id: String,
    /// The container as far as the engine names it with what happens.
    pub subject: Subject,
    /// How it stands with the container right behind that, where it was asked and is still there.
    pub sight: Option<Sight>,
    /// What its command ended with.
    pub exit_code: Option<i64>,
    /// The signal that is sent.
    pub signal: Option<Signal>,
    /// What its health check says.
    pub health: Option<Health>,
    /// Its name before.
    pub was: Option<String>,
}

/// What a container used until a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The engine's own id of it.
    pub docker_id: String,
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// What; never [`Usage::cpus`], which takes two samples.
    pub usage: Usage,
}
