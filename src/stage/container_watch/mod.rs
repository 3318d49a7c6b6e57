//! `container-watch`: what happens to the containers of engines, how it stands with them, and what they
//! use.

mod askers;
mod follow;
mod host;
mod listen;
mod page;
mod questions;
mod roster;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::adapter::docker::{Engine, PREFIX};
use crate::error::Result;
use crate::logic::watch::{Loops, Watch};
use crate::pipe::{Output, Report};
use crate::record::{
    Checkpoint, Endpoint, Host, HostsAt, Of, Owner, Record, Sample, Sight, Subject,
};
use crate::stage::docker_cccf::{self, Label, each_at_once};
use crate::stage::engines::Reach;
use crate::stage::hosts::Lookout;
use page::Page;

/// What is watched, and what is told of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose engines are asked.
    pub hosts: HostsAt,
    /// How they are reached.
    pub reach: Reach,
    /// Only this owner's containers.
    pub owner: Option<Owner>,
    /// Only containers with all of these labels.
    pub labels: Vec<Label>,
    /// Whether to go on with what happens.
    pub follow: bool,
    /// How often it is told what the containers use.
    pub stats: Option<Duration>,
    /// Where metrics are written.
    pub metrics: Option<PathBuf>,
    /// When a container that ends again and again is called looping.
    pub loops: Option<Loops>,
}

/// Between the two samples that it takes to tell the use of processors.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(1);

/// Tells how it stands, with a checkpoint behind it, and goes on with what happens if that is asked for.
///
/// # Errors
/// When the hosts cannot be read or are no list, or the file for metrics cannot be written. In one shot,
/// when an engine cannot be asked; then there is no checkpoint. While following, that is an event.
pub fn run(output: Output, report: &Report, options: Options) -> Result<()> {
    let (hosts, lookout) = Lookout::open(&options.hosts)?;
    let page = Page::at(options.metrics.as_deref())?;
    match options.follow {
        true => follow::run(output, report, options, (hosts, lookout), page),
        false => once(output, report, options, hosts, page),
    }
}

/// Tells what lands on this machine and is to be plugged in, as containers.
pub fn landing(output: Output, report: &Report, options: Options) -> Result<()> {
    let Options { hosts, reach, owner, labels, follow, .. } = options;
    let (all, landing, resync) = (false, true, None);
    let options = docker_cccf::Options {
        hosts,
        reach,
        swarm: false,
        owner,
        labels,
        all,
        landing,
        follow,
        resync,
    };
    docker_cccf::run(output, report, options)
}

/// Tells how it stands with every host, all asked at the same time.
fn once(
    mut output: Output,
    report: &Report,
    options: Options,
    hosts: Vec<Host>,
    mut page: Page,
) -> Result<()> {
    report.used();
    let options = Arc::new(options);
    let ask = {
        let options = options.clone();
        move |endpoint: Endpoint| asked(&endpoint, &options)
    };
    let endpoints: Vec<Endpoint> = hosts.iter().map(|host| options.reach.endpoint(host)).collect();
    endpoints.iter().filter_map(Endpoint::caution).for_each(|caution| report.note(&caution));
    let (mut count, mut failed) = (0, None);
    let mut watches = Vec::new();
    for (host, asked) in hosts.iter().zip(each_at_once(endpoints, ask)) {
        let mut watch = Watch::new(host.as_ref(), options.loops);
        match asked {
            Ok((sights, samples)) => {
                let events = watch.begin(sights, Timestamp::now());
                count += events.len() as u64;
                for event in events {
                    output.write(&event.into())?;
                }
                let (first, second) = samples;
                first.into_iter().for_each(|sample| drop(watch.used(sample)));
                for event in second.into_iter().filter_map(|sample| watch.used(sample)) {
                    output.write(&event.into())?;
                }
                output.flush()?;
                watches.push((watch, true));
            }
            Err(why) => {
                watches.push((watch, false));
                if let Some(earlier) = failed.replace(why.at(&host.id)) {
                    report.failed(&earlier);
                }
            }
        }
    }
    page.put(&watches.iter().map(|(watch, up)| (watch, *up)).collect::<Vec<_>>())?;
    if failed.is_none() {
        output.write(&checkpoint(count, &options, false))?;
    }
    output.settle()?;
    failed.map_or(Ok(()), Err)
}

type Samples = (Vec<Sample>, Vec<Sample>);

/// How it stands with one host's containers, and, where that is asked for, two samples of those that
/// run.
fn asked(endpoint: &Endpoint, options: &Options) -> Result<(Vec<Sight>, Samples)> {
    let engine = options.reach.connect(endpoint)?;
    let sights = listed(&engine, options)?;
    if options.stats.is_none() {
        return Ok((sights, Samples::default()));
    }
    let runs = sights.iter().filter(|sight| sight.runs());
    let ids: Vec<String> = runs.map(|sight| sight.docker_id().to_owned()).collect();
    let begun = Instant::now();
    let first = engine.samples(&ids)?;
    std::thread::sleep(BETWEEN_SAMPLES.saturating_sub(begun.elapsed()));
    Ok((sights, (first, engine.samples(&ids)?)))
}

/// The containers that are watched, without the suite's own labels.
fn listed(engine: &Engine, options: &Options) -> Result<Vec<Sight>> {
    let labels: Vec<String> = options.labels.iter().map(ToString::to_string).collect();
    let sights = engine.sights(options.owner.as_ref(), &labels)?;
    Ok(sights.into_iter().filter_map(|sight| options.sight(sight)).collect())
}

fn checkpoint(count: u64, options: &Options, partial: bool) -> Record {
    Record::Checkpoint(Checkpoint {
        follow: options.follow,
        owner: options.owner.clone(),
        partial,
        ..Checkpoint::new(Of::Event, count)
    })
}

impl Options {
    /// Whether a container with all these labels is watched.
    fn watches(&self, subject: &Subject) -> bool {
        let owned = self.owner.is_none() || self.owner == subject.owner;
        owned && self.labels.iter().all(|label| label.accepts(|name| subject.labels.get(name)))
    }

    /// The container as it is told; nothing for one that is not watched.
    fn sight(&self, sight: Sight) -> Option<Sight> {
        let watched = self.watches(&sight.subject);
        watched.then(|| Sight { subject: without_own_labels(sight.subject), ..sight })
    }
}

fn without_own_labels(mut subject: Subject) -> Subject {
    subject.labels.retain(|name, _| !name.starts_with(PREFIX));
    subject
}
