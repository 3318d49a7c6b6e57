//! List, then watch: one thread for each host listens, a few ask, and one tells.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::askers::Askers;
use super::host::{Followed, Question, Reached};
use super::listen::{Answer, News, listen};
use super::page::Page;
use super::{Options, checkpoint, listed, without_own_labels};
use crate::adapter::docker::Engine;
use crate::error::{Error, Kind, Result};
use crate::logic::watch::Watch;
use crate::pipe::{Output, Report};
use crate::record::{Event, Happening, Host, Sight, What};
use crate::stage::hosts::Lookout;
use crate::stage::listening;

/// What is counted is looked through for what can be forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// Tells how it stands, and what happens until nobody reads any more.
pub(super) fn run(
    output: Output,
    report: &Report,
    options: Options,
    (hosts, lookout): (Vec<Host>, Option<Lookout>),
    page: Page,
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
        sample_at: options.stats.map(|_| Instant::now()),
        options: Arc::new(options),
        hosts: Vec::new(),
        page,
        askers: Askers::default(),
        to,
        tidy_at: Instant::now() + TIDY,
        count: Some(0),
        unwritten: None,
    };
    teller.take_up(hosts);
    // Whether it can be written is known now, and not only when somebody misses it.
    teller.page.put(&[])?;
    teller.page.touch();
    teller.tell(&news)
}

struct Teller<'a> {
    output: Output,
    report: &'a Report,
    options: Arc<Options>,
    /// All that are in the list or were, by their numbers.
    hosts: Vec<Followed>,
    page: Page,
    askers: Askers,
    to: Sender<News>,
    /// When it is asked next what the containers use.
    sample_at: Option<Instant>,
    tidy_at: Instant,
    /// How many containers were told; nothing once the checkpoint behind them is written.
    count: Option<u64>,
    /// Why the file with metrics cannot be written, as it was told.
    unwritten: Option<String>,
}

impl Teller<'_> {
    fn tell(mut self, news: &Receiver<News>) -> Result<()> {
        loop {
            let wait = self.due().saturating_duration_since(Instant::now());
            let first = match news.recv_timeout(wait) {
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                first => first.ok(),
            };
            for news in first.into_iter().chain(news.try_iter()) {
                match news {
                    News::ReaderLeft => return Ok(()),
                    News::Up(at, engine) => self.up(at, engine)?,
                    News::Happened(at, happening) => self.happened(at, *happening)?,
                    News::Down(at, why) => self.down(at, why)?,
                    News::List(hosts) => self.take_up(hosts),
                    News::Answered(at, connection, answer) => {
                        if self.hosts[at].connection == connection {
                            self.answered(at, answer)?;
                        }
                    }
                }
            }
            let now = Instant::now();
            self.ask(now);
            self.close_listing()?;
            self.publish(now);
            self.output.flush()?;
        }
    }

    /// When there is something to do though nothing is heard.
    fn due(&self) -> Instant {
        let asks = self.hosts.iter().filter_map(Followed::due);
        let others = [self.page.due(), self.sample_at, Some(self.tidy_at)];
        asks.chain(others.into_iter().flatten()).min().unwrap_or(self.tidy_at)
    }

    /// Watches the hosts of a list that are new, and those no more that are not in it.
    fn take_up(&mut self, list: Vec<Host>) {
        for at in 0..self.hosts.len() {
            let known = &mut self.hosts[at];
            if !known.has_left() && !list.iter().any(|host| host.as_ref() == known.host.as_ref()) {
                known.leave();
                let error = Error::new(Kind::Unavailable, "it is not watched any more");
                let error = error.why("it is not in the list of hosts");
                self.report.note(&error.at(&known.host.id));
                self.page.touch();
            }
        }
        for host in list {
            let is_it =
                |known: &Followed| !known.has_left() && known.host.as_ref() == host.as_ref();
            if !self.hosts.iter().any(is_it) {
                self.begin(host);
            }
        }
    }

    fn begin(&mut self, host: Host) {
        let (at, endpoint) = (self.hosts.len(), self.options.endpoint(&host));
        if let Some(caution) = endpoint.caution() {
            self.report.note(&caution);
        }
        let watch = Watch::new(host.as_ref(), self.options.loops);
        let followed = Followed::new(host, watch);
        let (owner, left, to) =
            (self.options.owner.clone(), followed.left.clone(), self.to.clone());
        std::thread::spawn(move || listen(at, &endpoint, owner.as_ref(), &left, &to));
        self.hosts.push(followed);
    }

    fn up(&mut self, at: usize, engine: Arc<Engine>) -> Result<()> {
        if self.hosts[at].has_left() {
            return Ok(());
        }
        let begun = self.hosts[at].begun;
        if !self.hosts[at].up(engine) {
            return Ok(());
        }
        let url = &self.hosts[at].host.url;
        let note = Error::new(Kind::Unavailable, format_args!("{url} answers again"));
        self.report.note(&if begun { note.remedy("looking for what was missed") } else { note });
        self.told_of_host(at, Event::new(Timestamp::now(), What::HostUp))
    }

    /// # Errors
    /// When waiting cannot help: the engine was never reached, for a reason of its own.
    fn down(&mut self, at: usize, why: Error) -> Result<()> {
        if self.hosts[at].has_left() {
            return Ok(());
        }
        let is_begin = self.count.is_some();
        match self.hosts[at].down() {
            Reached::NotYet if is_begin && !listening::may_pass(&why) => return Err(why),
            Reached::Down => return Ok(()),
            Reached::NotYet | Reached::Up => self.report.note(&why),
        }
        let mut event = Event::new(Timestamp::now(), What::HostDown);
        event.error = Some(why.to_string());
        event.error_kind = Some(why.kind());
        self.told_of_host(at, event)
    }

    fn told_of_host(&mut self, at: usize, event: Event) -> Result<()> {
        let event = self.hosts[at].watch.told(event);
        self.write(vec![event])
    }

    fn happened(&mut self, at: usize, mut happening: Happening) -> Result<()> {
        let host = &mut self.hosts[at];
        if host.has_left() {
            return Ok(());
        }
        let seen = happening.sight.as_ref().map_or(&happening.subject, |sight| &sight.subject);
        if !host.watch.knows(&happening.docker_id) && !self.options.watches(seen) {
            return Ok(());
        }
        happening.subject = without_own_labels(happening.subject);
        happening.sight = happening
            .sight
            .map(|sight| Sight { subject: without_own_labels(sight.subject), ..sight });
        let event = host.happened(happening);
        self.write(event.into_iter().collect())
    }

    fn answered(&mut self, at: usize, answer: Result<Answer>) -> Result<()> {
        let host = &mut self.hosts[at];
        let events = match answer {
            Ok(Answer::All(sights)) => {
                let fresh = !host.begun;
                let events = host.listed(sights);
                let told = events.iter().filter(|event| event.what == What::Is).count();
                if let (true, Some(count)) = (fresh, &mut self.count) {
                    *count += told as u64;
                }
                events
            }
            Ok(Answer::These(looked)) => {
                let options = &self.options;
                let watched = |(id, sight): (String, Option<Sight>)| {
                    (id, sight.and_then(|sight| options.sight(sight)))
                };
                host.looked(looked.into_iter().map(watched).collect())
            }
            Ok(Answer::Used(samples)) => {
                host.sampling = false;
                samples.into_iter().filter_map(|sample| host.watch.used(sample)).collect()
            }
            Err(why) => {
                host.sampling = false;
                // Whether it is away is told by its stream of events.
                self.report.note(&why.at(&host.host.id));
                host.unanswered();
                Vec::new()
            }
        };
        self.write(events)
    }

    fn write(&mut self, events: Vec<Event>) -> Result<()> {
        if !events.is_empty() {
            self.page.touch();
        }
        events.into_iter().try_for_each(|event| self.output.write(&event.into()))
    }

    /// Asks the engines whatever is to be asked now.
    fn ask(&mut self, now: Instant) {
        let sample = self.sample_at.is_some_and(|at| at <= now);
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            let Some(engine) = host.engine.clone() else { continue };
            let question = host.question(now);
            let connection = host.connection;
            if sample && !host.sampling && host.begun {
                let ids = host.watch.running();
                host.sampling = !ids.is_empty();
                if host.sampling {
                    let engine = engine.clone();
                    self.put(at, connection, move || engine.samples(&ids).map(Answer::Used));
                }
            }
            let options = self.options.clone();
            match question {
                Some(Question::All) => {
                    self.put(at, connection, move || listed(&engine, &options).map(Answer::All))
                }
                Some(Question::These(ids)) => self.put(at, connection, move || {
                    let sights = engine.sights_of(&ids)?;
                    Ok(Answer::These(ids.into_iter().zip(sights).collect()))
                }),
                None => (),
            }
        }
        if sample {
            self.sample_at = self.options.stats.map(|every| now + every);
        }
        if self.tidy_at <= now {
            self.tidy_at = now + TIDY;
            self.hosts.iter_mut().for_each(|host| host.watch.forget(Timestamp::now()));
        }
    }

    fn put(
        &mut self,
        at: usize,
        connection: u64,
        ask: impl FnOnce() -> Result<Answer> + Send + 'static,
    ) {
        let to = self.to.clone();
        self.askers.put(move || {
            let _ = to.send(News::Answered(at, connection, ask()));
        });
    }

    /// Writes the checkpoint, once it is known of every host how it stands there, or that it is away.
    fn close_listing(&mut self) -> Result<()> {
        let settled = |host: &Followed| host.begun || host.reached == Reached::Down;
        if let Some(count) = self.count.filter(|_| self.hosts.iter().all(settled)) {
            self.count = None;
            let partial = self.hosts.iter().any(|host| !host.begun && !host.has_left());
            self.report.used();
            self.output.write(&checkpoint(count, &self.options, partial))?;
            self.output.settle()?;
        }
        Ok(())
    }

    /// Writes the metrics, if it is time. What is in the way of that is told once.
    fn publish(&mut self, now: Instant) {
        if self.page.due().is_none_or(|due| due > now) {
            return;
        }
        let there = self.hosts.iter().filter(|host| !host.has_left());
        let hosts: Vec<_> = there.map(|host| (&host.watch, host.is_up())).collect();
        match self.page.put(&hosts) {
            Ok(()) => self.unwritten = None,
            Err(why) => {
                let text = Some(why.to_string());
                if self.unwritten != text {
                    self.report.failed(&why);
                    self.unwritten = text;
                }
            }
        }
    }
}
