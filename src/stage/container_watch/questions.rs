//! What the engines are asked, and when.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::askers::Askers;
use super::host::{Followed, Question};
use super::listen::{Answer, News};
use super::roster::Roster;
use super::{Options, listed};
use crate::error::Result;

/// The questions that are put, each to one engine; the answers come as news.
pub(super) struct Questions {
    askers: Askers,
    options: Arc<Options>,
    to: Sender<News>,
    /// When it is asked next what the containers use.
    sample_at: Option<Instant>,
}

impl Questions {
    /// None yet; what the containers use is asked at once, where that is wanted.
    pub(super) fn new(options: Arc<Options>, to: Sender<News>) -> Questions {
        let sample_at = options.stats.map(|_| Instant::now());
        Questions { askers: Askers::default(), options, to, sample_at }
    }

    /// When there is something to be asked of these hosts next.
    pub(super) fn due(&self, hosts: &Roster) -> Option<Instant> {
        hosts.iter().filter_map(Followed::due).chain(self.sample_at).min()
    }

    /// Asks whatever is to be asked now.
    pub(super) fn ask(&mut self, hosts: &mut Roster, now: Instant) {
        let sample = self.sample_at.is_some_and(|at| at <= now);
        for (at, host) in hosts.iter_mut().enumerate() {
            self.ask_host(at, host, now);
            if sample {
                self.sample(at, host);
            }
        }
        if sample {
            self.sample_at = self.options.stats.map(|every| now + every);
        }
    }

    /// How it stands with containers of a host.
    fn ask_host(&mut self, at: usize, host: &mut Followed, now: Instant) {
        let Some(engine) = host.engine.clone() else { return };
        let options = self.options.clone();
        match host.question(now) {
            Some(Question::All) => {
                self.put(at, host, move || listed(&engine, &options).map(Answer::All));
            }
            Some(Question::These(ids)) => self.put(at, host, move || {
                let sights = engine.sights_of(&ids)?;
                Ok(Answer::These(ids.into_iter().zip(sights).collect()))
            }),
            None => (),
        }
    }

    /// What the containers of a host use, unless it is being asked that.
    fn sample(&mut self, at: usize, host: &mut Followed) {
        let Some(engine) = host.engine.clone().filter(|_| host.begun && !host.sampling) else {
            return;
        };
        let ids = host.watch.running();
        if !ids.is_empty() {
            host.sampling = true;
            self.put(at, host, move || engine.samples(&ids).map(Answer::Used));
        }
    }

    fn put(
        &mut self,
        at: usize,
        host: &Followed,
        ask: impl FnOnce() -> Result<Answer> + Send + 'static,
    ) {
        let (to, connection) = (self.to.clone(), host.connection);
        self.askers.put(move || {
            let _ = to.send(News::Answered(at, connection, ask()));
        });
    }
}
