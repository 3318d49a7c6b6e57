//! What is past its time is removed, whoever made it and whatever became of them.

use jiff::Timestamp;
use serde_json::Value;

use super::engines::Engines;
use super::{Options, Runner, limits};
use crate::adapter::docker::{EXPIRES, Engine, Found};
use crate::adapter::files;
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Reader, Report};
use crate::record::{Action, Change, Container, Endpoint, Host, Owner, Why};
use crate::stage::changes;
use crate::stage::docker_cccf::each_at_once;
use crate::stage::hosts::no_host_twice;
use crate::stage::images::Images;

/// Removes the owner's containers on these hosts that are past their time, and writes a change for
/// each.
///
/// # Errors
/// When a host stands twice among the hosts, or the output cannot be written. When an engine cannot
/// be asked, behind what is done on the others.
pub fn reap(output: Output, report: &Report, options: Options, hosts: Vec<Host>) -> Result<()> {
    if options.swarm.is_some() {
        return Err(Error::new(Kind::Usage, "--reap does not go with --engine swarm"));
    }
    no_host_twice(&hosts)?;
    report.used();
    files::allow_many();
    let (owner, insecure, now) = (options.owner.clone(), options.reach.insecure, Timestamp::now());
    let ask = move |host: Host| (expired(&host, insecure, &owner, now), host);
    let (mut changes, mut failed) = (String::new(), None);
    for (listed, host) in each_at_once(hosts, ask) {
        match listed {
            Ok(all) => all.into_iter().for_each(|change| {
                changes += &serde_json::to_string(&change).expect("a change is JSON");
                changes.push('\n');
            }),
            Err(why) => {
                if let Some(earlier) = failed.replace(why.at(&host.id)) {
                    report.failed(&earlier);
                }
            }
        }
    }
    let images = Images::new(options.reach.docker_config.as_deref(), report);
    let engines = Engines::new(options.reach.insecure, options.dry_run, report, images);
    let limits = limits(&options);
    let reader = Reader::new(changes.as_bytes(), "what is past its time");
    let runner = Runner { as_listed: true, ..Runner::new(options, engines) };
    changes::serve_from(reader, output, report, limits, &runner)?;
    failed.map_or(Ok(()), Err)
}

/// A removal for each container of the owner's on a host that is past its time.
fn expired(host: &Host, insecure: bool, owner: &Owner, now: Timestamp) -> Result<Vec<Change>> {
    let engine = Engine::connect(&Endpoint::from(host).insecure(insecure))?;
    let ids = engine.list(Some(owner), &[EXPIRES.to_owned()])?;
    let mut changes = Vec::new();
    for found in engine.look(&ids) {
        let Some(found) = found? else { continue };
        if let Some(at) =
            past(&found, now).filter(|_| found.container.owner.as_ref() == Some(owner))
        {
            let container = Container { host: Some(host.as_ref()), ..found.container };
            let why = Why {
                field: "expires_at".to_owned(),
                from: Some(Value::from(at.to_string())),
                to: None,
                rest: Default::default(),
            };
            changes.push(Change { why: vec![why], ..Change::new(Action::Remove, container) });
        }
    }
    Ok(changes)
}

/// When a container was to go, if that is past.
fn past(found: &Found, now: Timestamp) -> Option<Timestamp> {
    let at: Timestamp = found.labels.get(EXPIRES)?.parse().ok()?;
    (at <= now).then_some(at)
}
