//! What is past its time is removed, whoever made it and whatever became of them.

mod ends;

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use super::engines::Engines;
use super::{Options, Runner, limits};
use crate::adapter::docker::{EXPIRES, Found, KEY};
use crate::adapter::files;
use crate::error::{Error, Result};
use crate::logic::diff::why;
use crate::logic::lease_ends::LeaseEnds;
use crate::pipe::{Reader, Report, Stdio};
use crate::record::{Action, Change, Host, HostsAt, Key, Owner};
use crate::stage::changes;
use crate::stage::docker_cccf::each_at_once;
use crate::stage::engines::Reach;
use crate::stage::hosts::{self, no_host_twice};
use crate::stage::images::Images;
use ends::Ends;

/// What is to be removed.
#[derive(clap::Args, Clone, Debug)]
pub struct AskedToReap {
    /// Read no changes: remove this owner's containers that are past their time, and write a change for each
    #[arg(long, conflicts_with = "action")]
    pub reap: bool,
    /// With --reap, host records, in a file or in an etcd: on all of them; without it, on this machine
    #[arg(long, value_name = "FILE|etcd://…", requires = "reap")]
    pub hosts: Option<HostsAt>,
    /// With --reap, read leases and keep their ends in FILE: a client's containers go with the last
    #[arg(long, value_name = "FILE", requires = "reap")]
    pub lease_ends: Option<PathBuf>,
}

/// Removes the owner's containers that are past their time, and writes a change for each.
///
/// # Errors
/// When a host stands twice among the hosts, or a stream fails. When an engine cannot be asked, behind
/// what is done on the others.
pub fn reap(stdio: Stdio, options: Options, asked: &AskedToReap) -> Result<()> {
    let Stdio { reader, output, report } = stdio;
    let hosts = hosts::read(&asked.hosts.clone().unwrap_or_else(HostsAt::local))?;
    no_host_twice(&hosts)?;
    let ends = asked.lease_ends.as_deref().map(|path| Ends::read(path, reader, &report));
    let mut ends = ends.transpose()?;
    report.used();
    files::allow_many();
    let search = Search {
        owner: options.owner.clone(),
        reach: options.reach.clone(),
        is_swarm: options.swarm.is_some(),
        has_ends: ends.is_some(),
    };
    let (found, failed) = search.on_all(hosts, &report);
    let now = Timestamp::now();
    if let Some(ends) = ends.as_mut().filter(|_| !options.dry_run) {
        let clients: HashSet<Key> = found.iter().filter_map(client).collect();
        let is_known = |key: &Key| failed.is_some() || clients.contains(key);
        ends.keep(now, is_known).unwrap_or_else(|why| report.failed(&why));
    }
    let ends = ends.map(Ends::into_inner).unwrap_or_default();
    let changes: String = found.into_iter().filter_map(|found| past(found, &ends, now)).collect();
    let images = Images::new(options.docker_config.as_deref(), &report);
    let engines = Engines::new(&options.reach, options.dry_run, &report, images);
    let limits = limits(&options);
    let reader = Reader::new(changes.as_bytes(), "what is past its time");
    let runner = Runner { as_listed: true, ..Runner::new(options, engines) };
    changes::serve_from(reader, output, &report, limits, &runner)?;
    failed.map_or(Ok(()), Err)
}

/// The client whose lease a container is for.
fn client(found: &Found) -> Option<Key> {
    found.container.lease.as_ref().map(|lease| lease.key)
}

/// Which containers are looked at.
struct Search {
    owner: Owner,
    reach: Reach,
    is_swarm: bool,
    /// Whether those of clients are.
    has_ends: bool,
}

impl Search {
    /// The containers on these hosts that may be past their time, each once. Tells of hosts that cannot be asked,
    /// but for the last, whose failure is given.
    fn on_all(self, hosts: Vec<Host>, report: &Report) -> (Vec<Found>, Option<Error>) {
        let (mut all, mut failed) = (Vec::new(), None);
        let is_swarm = self.is_swarm;
        let ask = move |host: Host| (self.on(&host), host);
        for (listed, host) in each_at_once(hosts, ask) {
            let why = match listed {
                Ok(listed) => {
                    let (found, broken): (Vec<_>, Vec<_>) =
                        listed.into_iter().partition(Result::is_ok);
                    all.extend(found.into_iter().flatten());
                    match broken.into_iter().find_map(Result::err) {
                        Some(why) => why,
                        None => continue,
                    }
                }
                Err(why) => why,
            };
            if let Some(earlier) = failed.replace(why.at(&host.id)) {
                report.failed(&earlier);
            }
        }
        if is_swarm {
            // Every manager of a swarm tells of all that it has.
            let mut ids = HashSet::new();
            all.retain(|found: &Found| ids.insert(found.docker_id.clone()));
        }
        (all, failed)
    }

    /// Those on one host.
    fn on(&self, host: &Host) -> Result<Vec<Result<Found>>> {
        let engine = self.reach.connect(&self.reach.endpoint(host))?;
        let owner = Some(&self.owner);
        let mut all: Vec<Result<Found>> = Vec::new();
        for label in [EXPIRES, KEY].into_iter().take(1 + usize::from(self.has_ends)) {
            let labels = [label.to_owned()];
            if self.is_swarm {
                all.extend(engine.services(owner, &labels)?);
            } else {
                let looked = engine.look(&engine.list(owner, &labels)?);
                // What a killed run left half replaced dies too.
                let found = looked.into_iter().filter_map(Result::transpose);
                all.extend(found.map(|found| found.map(Found::stood_for)));
            }
        }
        let mut ids = HashSet::new();
        let is_ours = |found: &Found| found.container.owner.as_ref() == owner;
        let mut is_first = |found: &Found| ids.insert(found.docker_id.clone());
        all.retain(|found| found.as_ref().map_or(true, |found| is_ours(found) && is_first(found)));
        for found in all.iter_mut().flatten() {
            found.container.host = Some(host.as_ref());
        }
        Ok(all)
    }
}

/// The removal of a container that was to go by now, as a line of JSON.
fn past(found: Found, ends: &LeaseEnds, now: Timestamp) -> Option<String> {
    let declared = found.labels.get(EXPIRES).and_then(|at| at.parse::<Timestamp>().ok());
    let leased = client(&found).and_then(|client| ends.of(&client));
    let both = [("expires_at", declared), ("lease.expires_at", leased)];
    let both = both.into_iter().filter_map(|(field, at)| Some((at?, field)));
    let (at, field) = both.min().filter(|(at, _)| *at <= now)?;
    let why = vec![why(field, Some(Value::from(at.to_string())), None)];
    let change = Change { why, ..Change::new(Action::Remove, *found.container) };
    Some(serde_json::to_string(&change).expect("a change is JSON") + "\n")
}
