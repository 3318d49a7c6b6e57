//! List, then watch: one thread for each host listens, a few ask, and one tells.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::host::{Followed, Reached};
use super::listen::{Answer, News};
use super::page::Page;
use super::questions::Questions;
use super::roster::Roster;
use super::{Options, checkpoint, without_own_labels};
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
    let options = Arc::new(options);
    let mut teller = Teller {
        output,
        report,
        hosts: Roster::new(options.clone(), report, to.clone()),
        questions: Questions::new(options.clone(), to),
        options,
        page,
        tidy_at: Instant::now() + TIDY,
        count: Some(0),
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
    hosts: Roster<'a>,
    questions: Questions,
    page: Page,
    tidy_at: Instant,
    /// How many containers were told; nothing once the checkpoint behind them is written.
    count: Option<u64>,
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
            self.questions.ask(&mut self.hosts, now);
            self.tidy(now);
            self.close_listing()?;
            self.page.publish(|| known(&self.hosts), now, self.report);
            self.output.flush()?;
        }
    }

    /// When there is something to do though nothing is heard.
    fn due(&self) -> Instant {
        let others = [self.page.due(), self.questions.due(&self.hosts)];
        others.into_iter().flatten().chain([self.tidy_at]).min().unwrap_or(self.tidy_at)
    }

    fn take_up(&mut self, list: Vec<Host>) {
        if self.hosts.take_up(list) {
            self.page.touch();
        }
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

    /// Forgets what need not be known any more, from time to time.
    fn tidy(&mut self, now: Instant) {
        if self.tidy_at <= now {
            self.tidy_at = now + TIDY;
            self.hosts.iter_mut().for_each(|host| host.watch.forget(Timestamp::now()));
        }
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
}

/// What is known of the hosts that are in the list, and whether they answer.
fn known<'a>(hosts: &'a Roster) -> Vec<(&'a Watch, bool)> {
    hosts.there().map(|host| (&host.watch, host.is_up())).collect()
}
