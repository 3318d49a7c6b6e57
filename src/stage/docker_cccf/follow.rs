//! List, then watch: one thread for each host listens, and one tells. When the list of hosts is
//! another one, everything is listed anew. Of several managers of one swarm one is heard, and the others
//! stand by.
//!
//! An event says "look again" and nothing else. What a stream of records says, taken together, is
//! at every moment what a listing would say: what leaves the listing is told as `absent`, also when
//! it left while nobody listened.

mod managers;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::heard::{Heard, News, Reached};
use super::speakers::Speakers;
use super::told::Told;
use super::{Listing, Options, checkpoint, each_at_once, left_out, not_asked, on};
use crate::adapter::docker::swarm::SwarmId;
use crate::adapter::docker::{Engine, Found};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Report};
use crate::record::{Host, Record};
use crate::stage::hosts::{Lookout, is_down};
use crate::stage::listening;

/// The wait before what could not be looked at is looked at again, if nothing else comes between.
const AGAIN: Duration = Duration::from_secs(1);

/// Lists, and tells what changes until nobody reads any more.
pub(super) fn run(
    output: Output,
    report: &Report,
    options: Arc<Options>,
    (hosts, lookout): (Vec<Host>, Option<Lookout>),
) -> Result<()> {
    let (to, news) = mpsc::channel();
    if let Some(lookout) = lookout {
        lookout.follow(report, to.clone(), News::List);
    }
    let leaves = to.clone();
    std::thread::spawn(move || {
        crate::pipe::reader_leaves();
        let _ = leaves.send(News::ReaderLeft);
    });
    let mut teller = Teller {
        output,
        report,
        told: Told::new(options.clone()),
        options,
        to,
        hosts: Vec::new(),
        speakers: Speakers::default(),
        unsure: BTreeSet::new(),
        look_at: None,
        list_at: None,
        has_listed: false,
    };
    hosts.iter().filter(|host| is_down(host)).for_each(|host| report.note(&not_asked(host)));
    teller.take_up(hosts);
    teller.tell(&news)
}

struct Teller<'a> {
    output: Output,
    report: &'a Report,
    options: Arc<Options>,
    to: Sender<News>,
    /// By their numbers.
    hosts: Vec<Heard>,
    speakers: Speakers,
    told: Told,
    /// Swarms of which changes may have been missed.
    unsure: BTreeSet<SwarmId>,
    /// When these are to be looked at next; at once where nothing is said.
    look_at: Option<Instant>,
    /// When everything is to be listed next.
    list_at: Option<Instant>,
    has_listed: bool,
}

impl Teller<'_> {
    fn tell(mut self, news: &Receiver<News>) -> Result<()> {
        loop {
            let next = self.list_at.into_iter().chain(self.look_at).min();
            let first = match next {
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let mut changed: Vec<(usize, String)> = Vec::new();
            for news in first.ok().into_iter().chain(news.try_iter()) {
                match news {
                    News::ReaderLeft => return Ok(()),
                    News::Up(at, engine, swarm) => self.up(at, engine, swarm),
                    News::Down(at, why) => self.down(at, why)?,
                    News::Changed(at, id) => changed.push((at, id)),
                    News::List(hosts) => self.take_up(hosts),
                }
            }
            self.elect();
            if self.list_at.is_some_and(|at| at <= Instant::now()) {
                self.list()?;
            }
            if self.look_at.is_none_or(|at| at <= Instant::now()) {
                self.look_at_swarms()?;
            }
            self.look(changed)?;
            self.output.flush()?;
        }
    }

    /// Listens to the hosts of a list that are new, and to those that are not in it, or down by it, no
    /// more. Then everything is listed anew.
    fn take_up(&mut self, list: Vec<Host>) {
        let (down, list): (Vec<Host>, Vec<Host>) = list.into_iter().partition(is_down);
        let mut changed = false;
        for heard in self.hosts.iter().filter(|heard| !heard.has_left()) {
            if !list.iter().any(|host| heard.is(host)) {
                heard.leave();
                changed = true;
                let down = down.iter().any(|down| down.id == heard.host.id);
                self.report.note(&if down { not_asked(&heard.host) } else { gone(&heard.host) });
            }
        }
        for host in list {
            if self.hosts.iter().any(|heard| heard.is(&host)) {
                continue;
            }
            self.begin(host);
            changed = true;
        }
        if changed {
            self.list_at = Some(Instant::now());
        }
    }

    fn begin(&mut self, host: Host) {
        let (at, endpoint) = (self.hosts.len(), self.options.reach.endpoint(&host));
        if let Some(caution) = endpoint.caution() {
            self.report.note(&caution);
        }
        self.hosts.push(Heard::begin(at, host, endpoint, &self.options, &self.to));
    }

    fn up(&mut self, at: usize, engine: Arc<Engine>, swarm: Option<SwarmId>) {
        let is_as_it_was = swarm.is_none() || swarm == self.hosts[at].swarm;
        let stands_by = self.has_listed && is_as_it_was && self.is_told_by_another(at);
        let heard = &mut self.hosts[at];
        if let Reached::Down = heard.reached {
            let what = format!("{} answers again", engine.url());
            let so = if stands_by { "another manager tells of its swarm" } else { "listing anew" };
            self.report.note(&Error::new(Kind::Unavailable, what).remedy(so));
        }
        heard.reached = Reached::Up(engine);
        heard.swarm = swarm.or(heard.swarm.take());
        if !stands_by {
            self.list_at = Some(Instant::now());
        }
    }

    /// # Errors
    /// When waiting cannot help: an engine was never reached, for a reason of its own.
    fn down(&mut self, at: usize, why: Error) -> Result<()> {
        if self.hosts[at].has_left() {
            return Ok(());
        }
        match std::mem::replace(&mut self.hosts[at].reached, Reached::Down) {
            Reached::NotYet if !self.has_listed && !listening::may_pass(&why) => return Err(why),
            Reached::NotYet | Reached::Up(_) => self.report.note(&why),
            Reached::Down => (),
        }
        Ok(())
    }

    /// Tells everything anew, and that it was everything, once every host answers, but for managers of
    /// swarms that another one tells of.
    fn list(&mut self) -> Result<()> {
        self.list_at = None;
        let (mut asked, mut engines) = (Vec::new(), Vec::new());
        for (at, heard) in self.hosts.iter().enumerate().filter(|(_, heard)| !heard.has_left()) {
            if self.is_told_by_another(at) {
                continue;
            }
            let Some(engine) = heard.engine() else { return Ok(()) };
            asked.push((self.source(at), &heard.host));
            engines.push(engine.clone());
        }
        if engines.is_empty() {
            // That is not known to be nothing.
            return Ok(());
        }
        let options = self.options.clone();
        let listings =
            each_at_once(engines, move |engine: Arc<Engine>| Listing::of(&engine, &options));
        let mut listed = Vec::new();
        for ((source, host), listing) in asked.into_iter().zip(listings) {
            match listing {
                Ok(listing) => listed.extend(
                    listing
                        .told(self.report)
                        .into_iter()
                        .map(|found| ((source.clone(), found.docker_id.clone()), on(host, found))),
                ),
                Err(why) => {
                    self.report.note(&why.at(&host.id));
                    self.list_at = Some(Instant::now() + AGAIN);
                    return Ok(());
                }
            }
        }
        for gone in self.told.are_all(&listed) {
            self.output.write(&gone.into())?;
        }
        let mut count = 0;
        for (_, container) in listed {
            if self.options.tells(&container) {
                count += 1;
                self.output.write(&container.into())?;
            }
        }
        self.output.write(&Record::Checkpoint(checkpoint(count, &self.options)))?;
        self.list_at = self.options.resync.map(|every| Instant::now() + every);
        self.has_listed = true;
        self.unsure.clear();
        self.output.settle()
    }

    /// Looks at containers again, each once, and tells what is new. What a manager says of a swarm that
    /// another one tells of is not looked at.
    fn look(&mut self, changed: Vec<(usize, String)>) -> Result<()> {
        let mut ids: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (at, id) in changed.into_iter().filter(|change| seen.insert(change.clone())) {
            ids.entry(at).or_default().push(id);
        }
        let heard = ids.into_iter().filter(|(at, _)| !self.is_told_by_another(*at));
        let reached = heard.filter_map(|(at, ids)| {
            self.hosts[at].engine().map(|engine| (at, ids, engine.clone()))
        });
        let swarm = self.options.swarm;
        let look = move |(at, ids, engine): (usize, Vec<String>, Arc<Engine>)| {
            let looked = match swarm {
                true => engine.look_at_services(&ids),
                false => engine.look(&ids),
            };
            (at, ids, looked)
        };
        for (at, ids, looked) in each_at_once(reached.collect::<Vec<_>>(), look) {
            for (id, looked) in ids.into_iter().zip(looked) {
                match looked {
                    Ok(found) => self.tell_changed(at, id, found)?,
                    Err(why) if why.kind() == Kind::BadInput => {
                        self.report.failed(&left_out(why));
                    }
                    Err(why) => {
                        self.report.note(&why);
                        match self.hosts[at].swarm.clone() {
                            Some(swarm) => self.is_unsure(swarm),
                            None => drop(self.list_at.get_or_insert(Instant::now() + AGAIN)),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn tell_changed(&mut self, at: usize, id: String, found: Option<Found>) -> Result<()> {
        let host: &Host = &self.hosts[at].host;
        let now = found.and_then(|found| self.options.take(found)).map(|found| on(host, found));
        let records = self.told.is_now((self.source(at), id), now);
        records.into_iter().try_for_each(|record| self.output.write(&record.into()))
    }
}

fn gone(host: &Host) -> Error {
    let error = Error::new(Kind::Unavailable, "it is not asked any more");
    error.why("it is not in the list of hosts").at(&host.id)
}
