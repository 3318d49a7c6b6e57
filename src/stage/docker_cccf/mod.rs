//! `docker-cccf`: the containers that engines have, as documents.

mod follow;

use std::collections::HashSet;
use std::time::Duration;

use crate::adapter::docker::{Engine, Found};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Report};
use crate::record::{Checkpoint, Container, Host, Of, Owner, Record, State};

/// What is listed, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose engines are asked.
    pub hosts: Vec<Host>,
    /// Only this owner's containers.
    pub owner: Option<Owner>,
    /// Also containers that nobody's pipe made and that do not run.
    pub all: bool,
    /// Whether to go on with what changes.
    pub follow: bool,
    /// How often everything is listed anew.
    pub resync: Option<Duration>,
}

/// Lists the containers and a checkpoint, and goes on with what changes if that is asked for.
///
/// # Errors
/// When a host stands twice among the hosts. When an engine cannot be asked; then there is no
/// checkpoint. While following, that is told, and tried again until it answers.
pub fn run(output: Output, report: &Report, options: &Options) -> Result<()> {
    let mut ids = HashSet::new();
    if let Some(twice) = options.hosts.iter().find(|host| !ids.insert(&host.id)) {
        let what = format!("host \"{}\" stands twice", twice.id);
        return Err(Error::new(Kind::BadInput, what));
    }
    if options.follow {
        follow::run(output, report, options)
    } else {
        list(output, report, options)
    }
}

/// Lists every host once. What could be read of the others is written when one fails.
fn list(mut output: Output, report: &Report, options: &Options) -> Result<()> {
    report.used();
    let mut count = 0;
    let mut failed = None;
    for host in &options.hosts {
        let listed = Engine::connect(&host.url).and_then(|engine| {
            let listed = listing(&engine, options, report)?;
            Ok(listed.into_iter().map(|found| on(host, found)))
        });
        match listed {
            Ok(containers) => {
                for container in containers {
                    count += 1;
                    output.write(&container.into())?;
                }
            }
            Err(why) => {
                if let Some(earlier) = failed.replace(why.at(&host.id)) {
                    report.failed(&earlier);
                }
            }
        }
    }
    if failed.is_none() {
        output.write(&Record::Checkpoint(checkpoint(count, options)))?;
    }
    output.settle()?;
    failed.map_or(Ok(()), Err)
}

/// The containers of one engine that are listed. One that goes away meanwhile is simply not there,
/// and one that has no form as a document is told and left out.
fn listing(engine: &Engine, options: &Options, report: &Report) -> Result<Vec<Found>> {
    let ids = engine.list(options.owner.as_ref(), &[], true)?;
    let mut listed = Vec::with_capacity(ids.len());
    for looked in engine.look(&ids) {
        match looked {
            Ok(Some(found)) if options.lists(&found.container) => listed.push(found),
            Ok(_) => (),
            Err(why) if why.kind() == Kind::BadInput => report.failed(&left_out(why)),
            Err(why) => return Err(why),
        }
    }
    Ok(listed)
}

fn left_out(why: Error) -> Error {
    why.remedy("container left out")
}

/// The container on its host.
fn on(host: &Host, found: Found) -> Container {
    Container { host: Some(host.as_ref()), ..found.container }
}

fn checkpoint(count: u64, options: &Options) -> Checkpoint {
    Checkpoint {
        follow: options.follow,
        owner: options.owner.clone(),
        ..Checkpoint::new(Of::Container, count)
    }
}

impl Options {
    /// Whether a container belongs into the listing. The suite's own do in any state: one that is
    /// declared and does not run is something to be mended.
    fn lists(&self, container: &Container) -> bool {
        match (&self.owner, &container.owner) {
            (Some(wanted), owner) => owner.as_ref() == Some(wanted),
            (None, Some(_)) => true,
            (None, None) => self.all || runs(container),
        }
    }
}

fn runs(container: &Container) -> bool {
    matches!(container.state, Some(State::Running | State::Paused | State::Restarting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_s_own_are_listed_in_any_state() {
        let read = |text: &str| serde_json::from_str::<Container>(text).unwrap();
        let ours = read(r#"{"id":"a","image":"b","owner":"edge","state":"exited"}"#);
        let stopped = read(r#"{"id":"a","image":"b","state":"exited"}"#);
        let runs = read(r#"{"id":"a","image":"b","state":"running"}"#);
        let options = |owner: Option<&str>, all| Options {
            hosts: vec![Host::local()],
            owner: owner.map(|o| o.parse().unwrap()),
            all,
            follow: false,
            resync: None,
        };
        let lists = |options: Options| [&ours, &stopped, &runs].map(|c| options.lists(c));
        assert_eq!(lists(options(None, false)), [true, false, true]);
        assert_eq!(lists(options(None, true)), [true, true, true]);
        assert_eq!(lists(options(Some("edge"), true)), [true, false, false]);
        assert_eq!(lists(options(Some("other"), true)), [false, false, false]);
    }
}
