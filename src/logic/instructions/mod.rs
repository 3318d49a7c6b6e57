//! Containers and changes as lines for a shell, or as one compose file.
//!
//! A line holds everything that is to be done about one container, so lines may be run beside each
//! other, and a command that only makes sense behind another one is not run without it.

mod compose;
mod create;
mod left_out;
mod line;
mod quote;
mod yaml;

use std::collections::BTreeMap;

pub use compose::Compose;
pub use quote::quote;

use crate::error::{Error, Kind, Result};
use crate::record::{Action, Change, Container, Endpoint, Host, Joins, Object, State};
use line::{After, Line};

/// What the names of the suite's own labels begin with.
const OWN: &str = "leasepipe.";

/// Labels that a container gets beside those that it declares.
pub type Labels = BTreeMap<String, String>;

/// What docker is to do with a container that no change is around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Command {
    /// make it and start it; take away one that is absent
    Run,
    /// make it
    Create,
    /// start it
    Start,
    /// ask it to end
    Stop,
    /// kill it
    Kill,
    /// remove it when it has ended
    Rm,
}

/// How lines are written.
pub struct Manner<'a> {
    /// What is done with containers that no change is around.
    pub command: Command,
    /// Whether docker does not wait for what it runs.
    pub detach: bool,
    /// Whether the lines name the engines.
    pub hosts: bool,
    /// The suite's own labels for a container.
    pub labels: &'a dyn Fn(&Container) -> Labels,
}

/// What came of a record.
#[derive(Debug, Default, PartialEq)]
pub struct Written {
    /// The line, without anything at its end; nothing when nothing is to be done.
    pub line: Option<String>,
    /// What of the document the line does not say, for people.
    pub left_out: Option<String>,
}

impl Manner<'_> {
    /// The line for a container that no change is around.
    ///
    /// # Errors
    /// `BadInput` when the document says what no docker command can, or does not say which engine
    /// is meant, and `Refused` when it takes a label that is the suite's.
    pub fn container(&self, container: &Container) -> Result<Written> {
        let absent = container.state == Some(State::Absent);
        let mut line = Line::default();
        match self.command {
            Command::Run if absent => self.remove(&mut line, container)?,
            Command::Create | Command::Start if absent => return Ok(Written::default()),
            Command::Run => return self.made(line, container, true),
            Command::Create => return self.made(line, container, false),
            Command::Start => self.simple(&mut line, container, &["start"])?,
            Command::Stop => self.stop(&mut line, container)?,
            Command::Kill => self.simple(&mut line, container, &["kill"])?,
            Command::Rm => self.simple(&mut line, container, &["rm", "-v"])?,
        }
        Ok(Written { line: Some(line.finish()?), left_out: None })
    }

    /// The line for a change.
    ///
    /// # Errors
    /// As for a container.
    pub fn change(&self, change: &Change) -> Result<Written> {
        let container = &change.container;
        let mut line = Line::default();
        match change.action {
            Action::Add => match stopped(change) {
                Some(state) => self.revive(line, container, state),
                None => self.made(line, container, true),
            },
            Action::Keep => match container.state {
                None => Ok(Written::default()),
                Some(state) => self.revive(line, container, state),
            },
            Action::Remove => {
                self.remove(&mut line, container)?;
                Ok(Written { line: Some(line.finish()?), left_out: None })
            }
            Action::Replace => {
                // One that does not say where it is, is where the new one is to be.
                let mut old = change.current.as_ref().unwrap_or(container).clone();
                old.host = old.host.or_else(|| container.host.clone());
                self.remove(&mut line, &old)?;
                self.made(line, container, true)
            }
            Action::Start => self.only(line, container, &["start"]),
            Action::Kill => self.only(line, container, &["kill"]),
            Action::Pause => self.only(line, container, &["pause"]),
            Action::Unpause => self.only(line, container, &["unpause"]),
            Action::Stop | Action::Restart => {
                self.ask(&mut line, container, change.action.as_str())?;
                Ok(Written { line: Some(line.finish()?), left_out: None })
            }
        }
    }

    /// Has a container run that is there in this state.
    fn revive(&self, mut line: Line, container: &Container, state: State) -> Result<Written> {
        match state {
            State::Running | State::Restarting => return Ok(Written::default()),
            State::Absent => return self.made(line, container, true),
            State::Created | State::Exited => self.simple(&mut line, container, &["start"])?,
            State::Paused => self.simple(&mut line, container, &["unpause"])?,
            State::Removing | State::Dead => {
                self.simple(&mut line, container, &["rm", "-f", "-v"])?;
                return self.made(line, container, true);
            }
        }
        Ok(Written { line: Some(line.finish()?), left_out: None })
    }

    /// Makes a container, and starts it if that is wanted. One that is in several networks joins
    /// the others before its start, which older engines cannot do in one command.
    fn made(&self, mut line: Line, container: &Container, started: bool) -> Result<Written> {
        let engine = self.engine(container)?;
        let joins = Joins::of(container)?;
        let at_once = started && joins.further.is_empty();
        line.docker(After::Success, engine.as_ref());
        match (at_once, self.detach) {
            (true, true) => line.word("run -d"),
            (true, false) => line.word("run"),
            (false, _) => line.word("create"),
        }
        create::append(&mut line, container, &joins, &(self.labels)(container))?;
        for network in &joins.further {
            line.docker(After::Success, engine.as_ref());
            line.word("network connect");
            line.each("--alias", "networks", &network.aliases);
            line.maybe("--ip", "networks", network.ipv4_address.as_ref());
            line.maybe("--ip6", "networks", network.ipv6_address.as_ref());
            line.value("networks", network.network.as_str());
            line.value("id", container.id.as_str());
        }
        if started && !at_once {
            line.docker(After::Success, engine.as_ref());
            line.word(if self.detach { "start" } else { "start --attach" });
            line.value("id", container.id.as_str());
        }
        Ok(Written { line: Some(line.finish()?), left_out: left_out::of_line(container) })
    }

    /// Takes a container away with its volumes without a name, at once, or, if it declares how long
    /// it may take to end, after asking it to. One that is not there is fine.
    fn remove(&self, line: &mut Line, container: &Container) -> Result<()> {
        let ended = matches!(container.state, Some(State::Created | State::Exited | State::Dead));
        if container.stop_timeout.is_some() && !ended {
            self.stop(line, container)?;
        }
        let engine = self.engine(container)?;
        line.docker(After::Anything, engine.as_ref());
        line.word("rm -f -v");
        line.value("id", container.id.as_str());
        Ok(())
    }

    fn stop(&self, line: &mut Line, container: &Container) -> Result<()> {
        self.ask(line, container, "stop")
    }

    /// A command that asks the container to end, with the time that it has for that.
    fn ask(&self, line: &mut Line, container: &Container, command: &str) -> Result<()> {
        line.docker(After::Success, self.engine(container)?.as_ref());
        line.word(command);
        line.maybe("-t", "stop_timeout", container.stop_timeout.as_ref());
        line.value("id", container.id.as_str());
        Ok(())
    }

    /// One command and no other.
    fn only(&self, mut line: Line, container: &Container, words: &[&str]) -> Result<Written> {
        self.simple(&mut line, container, words)?;
        Ok(Written { line: Some(line.finish()?), left_out: None })
    }

    fn simple(&self, line: &mut Line, container: &Container, words: &[&str]) -> Result<()> {
        line.docker(After::Success, self.engine(container)?.as_ref());
        words.iter().for_each(|word| line.word(word));
        line.value("id", container.id.as_str());
        Ok(())
    }

    /// The engine that the container is on or to be on, if the lines name any.
    fn engine(&self, container: &Container) -> Result<Option<Endpoint>> {
        if self.hosts { engine(container) } else { Ok(None) }
    }
}

/// The engine that the container is on or to be on; nothing when it names no host.
fn engine(container: &Container) -> Result<Option<Endpoint>> {
    let Some(host) = &container.host else { return Ok(None) };
    let local = Host::local();
    match host.endpoint().filter(|engine| !engine.url.is_empty()) {
        None if host.id != local.id => {
            Err(Error::new(Kind::BadInput, format_args!("host {:?}", host.id))
                .why("it has no \"url\"")
                .remedy("let cccf-host name the host, or leave hosts out with --no-host"))
        }
        None => Ok(Some(Endpoint::from(&local))),
        found => Ok(found),
    }
}

/// The state of a container that is to be added because it is there and does not run.
fn stopped(change: &Change) -> Option<State> {
    let why = change.why.iter().find(|why| why.field == "state")?;
    serde_json::from_value(why.from.clone()?).ok()
}

/// The container without these fields.
///
/// # Errors
/// `BadInput` when it is none without them.
pub fn without(container: &Container, fields: &[String]) -> Result<Container> {
    let text = serde_json::to_string(container).expect("the suite's types can be written as JSON");
    let parsed = Object::parse(&text).map_err(|why| Error::new(Kind::Bug, why))?;
    let mut object = parsed;
    fields.iter().for_each(|field| drop(object.remove(field)));
    Container::try_from(object).map_err(|why| Error::new(Kind::BadInput, why))
}

#[cfg(test)]
mod tests;
