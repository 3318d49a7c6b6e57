//! `docker-cccf`: the containers that engines have, as documents.

mod follow;
mod heard;
mod label;
mod landing;
mod places;
mod speakers;
mod told;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use crate::adapter::docker::swarm::SwarmId;
use crate::adapter::docker::{Engine, Found};
use crate::adapter::files;
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Report};
use crate::record::{
    Checkpoint, Container, Endpoint, Host, HostRef, HostsAt, Of, Owner, Record, State,
};
use crate::stage::engines::Reach;
use crate::stage::hosts::{Lookout, is_down};

pub use label::Label;
use places::Places;
use turns::{Turn, Turns};

/// How many hosts list at the same time; what an engine says takes far more room than what is told
/// of it. Those that do not answer wait elsewhere.
const AT_A_TIME: usize = 32;

/// What is listed, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose engines are asked.
    pub hosts: HostsAt,
    /// How they are reached.
    pub reach: Reach,
    /// Whether the engines are managers of swarms, whose services stand for containers.
    pub swarm: bool,
    /// Only this owner's containers.
    pub owner: Option<Owner>,
    /// Only containers with all of these labels.
    pub labels: Vec<Label>,
    /// Also containers that nobody's pipe made and that do not run.
    pub all: bool,
    /// Only what is to be plugged in here: while it runs, and when it is gone. That is what has the
    /// suite's labels, be it through a service of a swarm, or, if labels are given, what has those.
    pub landing: bool,
    /// Whether to go on with what changes.
    pub follow: bool,
    /// How often everything is listed anew.
    pub resync: Option<Duration>,
}

/// Lists the containers and a checkpoint, and goes on with what changes if that is asked for.
///
/// A host whose record says that it is down is not asked: its containers are as good as gone.
///
/// # Errors
/// When the hosts cannot be read or are no list, or all of them are down. When an engine cannot be
/// asked; then there is no checkpoint. While following, that is told, and tried again until it
/// answers.
pub fn run(output: Output, report: &Report, options: Options) -> Result<()> {
    files::allow_many();
    let (hosts, lookout) = Lookout::open(&options.hosts)?;
    let options = Arc::new(options);
    if options.follow {
        return follow::run(output, report, options, (hosts, lookout));
    }
    let (down, hosts): (Vec<Host>, Vec<Host>) = hosts.into_iter().partition(is_down);
    down.iter().for_each(|host| report.note(&not_asked(host)));
    if hosts.is_empty() {
        return Err(Error::new(Kind::Unavailable, "list containers").why("every host is down"));
    }
    list(output, report, options, hosts)
}

fn not_asked(down: &Host) -> Error {
    let error =
        Error::new(Kind::Unavailable, "it is not asked").why("its record says that it is down");
    error.remedy("its containers count as gone").at(&down.id)
}

/// Lists every host once, all at the same time. What could be read of the others is written when one
/// fails.
fn list(
    mut output: Output,
    report: &Report,
    options: Arc<Options>,
    hosts: Vec<Host>,
) -> Result<()> {
    report.used();
    let mut count = 0;
    let mut failed = Vec::new();
    let turns = Arc::new(Turns::new(hosts.len()));
    let ask = {
        let (options, places, turns) = (options.clone(), Places::new(AT_A_TIME), turns.clone());
        move |(at, (endpoint, host)): (usize, (Endpoint, HostRef))| {
            Lines::in_turn(turns.of(at), (&endpoint, &host), &options, &places)
        }
    };
    let endpoints: Vec<Endpoint> = hosts.iter().map(|host| options.reach.endpoint(host)).collect();
    endpoints.iter().filter_map(Endpoint::caution).for_each(|caution| report.note(&caution));
    let asked = endpoints.into_iter().zip(hosts.iter().map(Host::as_ref).collect::<Vec<_>>());
    for (at, listed) in each_at_once(asked.enumerate(), ask).enumerate() {
        match listed {
            Ok(lines) => {
                lines.left_out.into_iter().for_each(|why| report.failed(&left_out(why)));
                count += lines.count;
                lines.text.lines().try_for_each(|line| output.json(line))?;
                // The next host may take its time.
                output.flush()?;
            }
            Err(why) => failed.push((at, why.at(&hosts[at].id))),
        }
    }
    let failed = told_but_last(failed, &turns, report);
    if failed.is_none() {
        output.write(&Record::Checkpoint(checkpoint(count, &options)))?;
    }
    output.settle()?;
    failed.map_or(Ok(()), Err)
}

/// Tells of the hosts that could not be listed; the last of them is given. What another manager of the
/// same swarm has listed is not missing.
fn told_but_last(failed: Vec<(usize, Error)>, turns: &Turns, report: &Report) -> Option<Error> {
    let mut last = None;
    for (at, why) in failed {
        if turns.is_made_up_for(at) {
            report.note(&why.remedy("another manager of its swarm has listed it"));
        } else if let Some(earlier) = last.replace(why) {
            report.failed(&earlier);
        }
    }
    last
}

/// What is told of one host, until those before it are told. As text it is a tenth as large.
#[derive(Default)]
struct Lines {
    text: String,
    count: u64,
    left_out: Vec<Error>,
}

impl Lines {
    /// Nothing of a swarm that another manager has listed by the time that it is this one's turn.
    fn in_turn(
        turn: Turn,
        (endpoint, host): (&Endpoint, &HostRef),
        options: &Options,
        places: &Places,
    ) -> Result<Lines> {
        let engine = options.reach.connect(endpoint)?;
        if !turn.comes(options.swarm_of(&engine)?) {
            return Ok(Lines::default());
        }
        let _place = places.take();
        let lines = Lines::of(&engine, options, host)?;
        turn.listed();
        Ok(lines)
    }

    fn of(engine: &Engine, options: &Options, host: &HostRef) -> Result<Lines> {
        let mut lines = Lines::default();
        let Lines { text, count, left_out } = &mut lines;
        *left_out = each(engine, options, |found| {
            let container = Container { host: Some(host.clone()), ..*found.container };
            if options.tells(&container) {
                *text += &serde_json::to_string(&container)
                    .map_err(|why| Error::new(Kind::Bug, "write container as JSON").why(why))?;
                text.push('\n');
                *count += 1;
            }
            Ok(())
        })?;
        text.shrink_to_fit();
        Ok(lines)
    }
}

/// Asks all at the same time, each on a thread of its own, and gives the answers in the order of the
/// questions. Who stops taking answers does not wait for those that are left.
pub(super) fn each_at_once<Q, A>(
    questions: impl IntoIterator<Item = Q>,
    ask: impl Fn(Q) -> A + Send + Sync + 'static,
) -> impl Iterator<Item = A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    let ask = Arc::new(ask);
    let asked = questions.into_iter().map(|question| {
        let ask = ask.clone();
        std::thread::spawn(move || ask(question))
    });
    let asked: Vec<_> = asked.collect();
    asked.into_iter().map(|asked| match asked.join() {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The containers of one engine that are listed, and why others of them cannot be.
struct Listing {
    found: Vec<Found>,
    left_out: Vec<Error>,
}

impl Listing {
    fn of(engine: &Engine, options: &Options) -> Result<Listing> {
        let mut found = Vec::new();
        let left_out = each(engine, options, |one| {
            found.push(one);
            Ok(())
        })?;
        Ok(Listing { found, left_out })
    }

    /// The containers; of what is left out is told.
    fn told(self, report: &Report) -> Vec<Found> {
        self.left_out.into_iter().for_each(|why| report.failed(&left_out(why)));
        self.found
    }
}

/// Hands over the containers of one engine that are listed, and tells why others cannot be. One that
/// goes away meanwhile is simply not there, and one that has no form as a document is left out.
fn each(
    engine: &Engine,
    options: &Options,
    mut take: impl FnMut(Found) -> Result<()>,
) -> Result<Vec<Error>> {
    let labels: Vec<String> = options.labels.iter().map(ToString::to_string).collect();
    let mut left_out = Vec::new();
    let mut look = |looked: Result<Option<Found>>| match looked {
        Ok(Some(found)) => options.take(found).map_or(Ok(()), &mut take),
        Ok(None) => Ok(()),
        Err(why) if why.kind() == Kind::BadInput => {
            left_out.push(why);
            Ok(())
        }
        Err(why) => Err(why),
    };
    if options.swarm {
        let services = engine.services(options.owner.as_ref(), &labels)?;
        services.into_iter().try_for_each(|found| look(found.map(Some)))?;
    } else {
        engine.look_each(&engine.list(options.owner.as_ref(), &labels)?, look)?;
    }
    Ok(left_out)
}

fn left_out(why: Error) -> Error {
    why.remedy("container left out")
}

/// The container on its host.
fn on(host: &Host, found: Found) -> Container {
    Container { host: Some(host.as_ref()), ..*found.container }
}

fn checkpoint(count: u64, options: &Options) -> Checkpoint {
    Checkpoint {
        follow: options.follow,
        owner: options.owner.clone(),
        ..Checkpoint::new(Of::Container, count)
    }
}

impl Options {
    /// The swarm whose services the engine tells of; nothing where it tells of its own containers, or
    /// keeps that back.
    fn swarm_of(&self, engine: &Engine) -> Result<Option<SwarmId>> {
        if self.swarm { engine.swarm() } else { Ok(None) }
    }

    /// The container as it is listed; nothing for one that is not.
    fn take(&self, found: Found) -> Option<Found> {
        let found = if self.landing { landing::as_declared(found) } else { found };
        self.lists(&found).then_some(found)
    }

    /// Whether a container that is listed is told. What is to be plugged in and does not run has
    /// nothing to be plugged into, and is not gone.
    fn tells(&self, container: &Container) -> bool {
        !self.landing || container.is_running() || container.state == Some(State::Paused)
    }

    /// Whether a container belongs into the listing. The suite's own do in any state: one that is
    /// declared and does not run is something to be mended.
    fn lists(&self, found: &Found) -> bool {
        let container = &found.container;
        if found.half.is_some() {
            // It is not there yet, or not any more, and container-run sees to it.
            return false;
        }
        if !self.labels.iter().all(|label| label.is_among(&found.labels)) {
            return false;
        }
        match (&self.owner, &container.owner) {
            (Some(wanted), owner) => owner.as_ref() == Some(wanted),
            (None, Some(_)) => true,
            (None, None) if self.landing => !self.labels.is_empty(),
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
    use std::collections::HashMap;

    #[test]
    fn the_suite_s_own_are_listed_in_any_state() {
        let read = |text: &str| serde_json::from_str::<Container>(text).unwrap();
        let ours = read(r#"{"id":"a","image":"b","owner":"edge","state":"exited"}"#);
        let stopped = read(r#"{"id":"a","image":"b","state":"exited"}"#);
        let runs = read(r#"{"id":"a","image":"b","state":"running"}"#);
        let found = |container: &Container| Found {
            container: Box::new(container.clone()),
            docker_id: String::new(),
            ended: None,
            labels: HashMap::from([("app".to_owned(), "web".to_owned())]),
            joined: Vec::new(),
            image_id: String::new(),
            unnamed: Default::default(),
            half: None,
        };
        let options = |owner: Option<&str>, all| Options {
            labels: Vec::new(),
            swarm: false,
            hosts: HostsAt::local(),
            reach: Reach::new(false),
            owner: owner.map(|o| o.parse().unwrap()),
            all,
            landing: false,
            follow: false,
            resync: None,
        };
        let lists = |options: Options| [&ours, &stopped, &runs].map(|c| options.lists(&found(c)));
        assert_eq!(lists(options(None, false)), [true, false, true]);
        assert_eq!(lists(options(None, true)), [true, true, true]);
        assert_eq!(lists(options(Some("edge"), true)), [true, false, false]);
        assert_eq!(lists(options(Some("other"), true)), [false, false, false]);
        let labelled = |labels: &[&str]| {
            let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
            lists(Options { labels, ..options(None, false) })
        };
        assert_eq!(labelled(&["app", "app=web"]), [true, false, true]);
        assert_eq!(labelled(&["app", "app=db"]), [false, false, false]);
        // What is to be plugged in is the suite's, or has the labels that are asked for.
        let landing = |labels: &[&str]| {
            let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
            let options = Options { landing: true, labels, ..options(None, false) };
            let tells = [&ours, &stopped, &runs].map(|container| options.tells(container));
            (lists(options), tells)
        };
        assert_eq!(landing(&[]), ([true, false, false], [false, false, true]));
        assert_eq!(landing(&["app"]), ([true, true, true], [false, false, true]));
    }
}
