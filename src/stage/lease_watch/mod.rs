//! lease-watch: what DHCP servers have leased, listed, and then followed.
//!
//! Each source is read in a thread of its own, so that one that is slow or gone holds up no other.
//! What they tell comes together here: in one set of leases for each, and in one stream of records.

mod kea_socket;
mod options;
mod state;
mod told;
mod watched;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::logic::leases::News;
use crate::pipe::{Output, Report};
use crate::record::{Checkpoint, Of, Record};
pub use options::{Options, SourceName};
use state::State;
use told::{Event, clocks, listen};
use watched::{Heard, Watched};

/// How often the clock is looked at for ends of leases: it may be set, so sleeping until the next
/// end is not enough.
const TICK: Duration = Duration::from_secs(1);

/// Lists the leases, and follows them when that is asked for.
///
/// # Errors
/// `NotPermitted` when a source may not be read, `Unavailable` when it cannot be, `TimedOut` when
/// it does not become whole; the others are listed all the same. A source that is followed may be
/// gone for any time: it is told, and waited for.
pub fn run(options: &Options, report: &Report) -> Result<()> {
    let mut sources = Vec::with_capacity(options.sources.len());
    for (at, name) in options.sources.iter().enumerate() {
        if options.sources[..at].contains(name) {
            let what = format!("--source {} is given twice", name.as_str());
            return Err(Error::new(Kind::Usage, what));
        }
        sources.push(Watched::new(name, options)?);
    }
    let state = options.state.as_deref().map(State::open).transpose()?;
    let mut program = Program {
        options,
        report,
        events: listen(sources.iter_mut().map(Watched::take_source).collect()),
        sources,
        output: Output::stdout(options.table)?,
        state,
    };
    program.remember()?;
    let outcome = if options.follow { program.follow() } else { program.list_once() };
    // The program ends here; taking a million leases apart one by one is left to the system.
    std::mem::forget(program);
    outcome
}

struct Program<'a> {
    options: &'a Options,
    report: &'a Report,
    sources: Vec<Watched<'a>>,
    events: Receiver<Event>,
    output: Output,
    state: Option<State>,
}

impl Program<'_> {
    /// Takes over what an earlier run has told.
    fn remember(&mut self) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        let (now, sources) = (clocks(), &mut self.sources);
        state.read(self.report, |lease| {
            if let Some(source) = sources.iter_mut().find(|source| source.name() == lease.source) {
                source.leases.remember(&lease, now);
            }
        })
    }

    /// Waits for each source to be read once. One that cannot be costs itself alone; but then no
    /// listing is closed, because leases are missing.
    fn list_once(&mut self) -> Result<()> {
        let end = Instant::now() + self.options.timeout;
        while self.sources.iter().any(|source| !source.has_read && source.failed.is_none()) {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Event::ReaderLeft) => return Ok(()),
                Ok(Event::Told(at, told)) => {
                    let heard = self.sources[at].hear(told?, self.report);
                    self.first_news(at, heard)?;
                }
                Ok(Event::Said(at, all)) => {
                    let heard = self.sources[at].take_in(all);
                    self.first_news(at, heard)?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let late = self.sources.iter_mut().filter(|source| !source.has_read);
                    late.for_each(Watched::give_up);
                }
                Err(RecvTimeoutError::Disconnected) => return Err(no_threads()),
            }
        }
        let ready: Vec<usize> =
            (0..self.sources.len()).filter(|at| self.sources[*at].has_read).collect();
        if self.state.is_some() {
            for at in &ready {
                let news = self.sources[*at].leases.pass_time(clocks());
                self.first_news(*at, Heard::News(news))?;
            }
        }
        self.list(&ready)?;
        self.save();
        let mut failed = self.sources.iter_mut().filter_map(|source| source.failed.take());
        match failed.next() {
            None => Ok(()),
            Some(first) => {
                failed.for_each(|why| self.report.failed(&why));
                Err(first)
            }
        }
    }

    /// Before the first listing there is nothing to tell, unless it was told in an earlier run: then
    /// what has become of leases meanwhile. Many ends are not, as ever: the listing leaves them out.
    fn first_news(&mut self, at: usize, heard: Heard) -> Result<()> {
        match heard {
            Heard::Read(mut news) | Heard::News(mut news) if self.state.is_some() => {
                if news.many_ends().is_some() && !self.sources[at].tells_each_end() {
                    news.withhold_ends();
                }
                self.write(at, &news)
            }
            _ => Ok(()),
        }
    }

    fn follow(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut resync = self.options.resync.map(|every| Instant::now() + every);
        let mut pass = Instant::now();
        loop {
            let event = match self.events.try_recv() {
                Ok(event) => Some(event),
                Err(_) => {
                    self.output.flush()?;
                    self.wait(pass.min(resync.unwrap_or(pass)))?
                }
            };
            match event {
                Some(Event::ReaderLeft) => {
                    self.save();
                    return Ok(());
                }
                Some(Event::Told(at, told)) => {
                    let heard = self.sources[at].hear(told?, self.report);
                    self.heard(at, heard)?;
                }
                Some(Event::Said(at, all)) => {
                    let heard = self.sources[at].take_in(all);
                    self.heard(at, heard)?;
                }
                None => (),
            }
            self.list_first(begun)?;
            let now = Instant::now();
            if now >= pass {
                self.pass_time()?;
                pass = self.next_pass();
                self.save_when_due();
            }
            if resync.is_some_and(|at| at <= now) {
                self.sources.iter_mut().for_each(Watched::look_again);
                resync = self.options.resync.map(|every| now + every);
            }
        }
    }

    fn wait(&self, until: Instant) -> Result<Option<Event>> {
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(no_threads()),
        }
    }

    fn heard(&mut self, at: usize, heard: Heard) -> Result<()> {
        if !self.sources[at].is_listed {
            return self.first_news(at, heard);
        }
        match heard {
            Heard::Nothing => Ok(()),
            Heard::News(news) => self.tell(at, news),
            Heard::Read(news) => {
                self.tell(at, news)?;
                if self.sources[at].wants_listing() { self.list(&[at]) } else { Ok(()) }
            }
        }
    }

    /// The first listing is of all sources. One that cannot be read keeps the others waiting for a
    /// while; then they are listed without it, in part. When it comes, all are listed.
    fn list_first(&mut self, begun: Instant) -> Result<()> {
        let is_new = |source: &Watched| source.has_read && !source.is_listed;
        if !self.sources.iter().any(is_new) {
            return Ok(());
        }
        let all = self.sources.iter().all(|source| source.has_read);
        if all || begun.elapsed() >= self.options.timeout {
            let ready: Vec<usize> =
                (0..self.sources.len()).filter(|at| self.sources[*at].has_read).collect();
            self.list(&ready)?;
        }
        Ok(())
    }

    /// Ends what time has ended, in the sources that are known as they are now.
    fn pass_time(&mut self) -> Result<()> {
        let now = clocks();
        for at in 0..self.sources.len() {
            if self.sources[at].is_at_rest() {
                let news = self.sources[at].leases.pass_time(now);
                self.tell(at, news)?;
            }
        }
        Ok(())
    }

    /// When to look at the clock again. While a source is unknown no lease of it ends.
    fn next_pass(&self) -> Instant {
        let known = self.sources.iter().filter(|source| source.is_known);
        let end = known.filter_map(|source| source.leases.next_end()).min();
        let left = end.map_or(TICK, |end| end.saturating_sub(clocks().boot));
        Instant::now() + left.clamp(Duration::from_millis(20), TICK)
    }

    /// Writes everything that is known of these sources, and their checkpoints behind it all: who
    /// reads them must have heard of every source before the first listing is closed.
    fn list(&mut self, which: &[usize]) -> Result<()> {
        let now = clocks();
        let missing = self.sources.iter().any(|source| !source.has_read);
        let mut checkpoints = Vec::with_capacity(which.len());
        for at in which {
            let source = &mut self.sources[*at];
            let active = source.leases.active();
            let count = active.len() as u64;
            self.output
                .write_each(&active, |active| Record::Lease(source.leases.listed(active, now)))?;
            if count > 0 {
                self.report.used();
            }
            source.is_listed = true;
            source.list_wanted = false;
            let mut checkpoint = Checkpoint::new(Of::Lease, count);
            checkpoint.partial = missing || !source.leases.is_complete();
            checkpoint.follow = self.options.follow;
            checkpoint.source = Some(source.name().to_owned());
            source.told_in_part(checkpoint.partial && !missing, self.report);
            checkpoints.push(checkpoint);
        }
        for checkpoint in checkpoints {
            // The end of a stream says by itself that it is not known to be everything.
            if self.options.follow || !checkpoint.partial {
                self.output.write(&Record::Checkpoint(checkpoint))?;
            }
        }
        self.changed();
        self.output.settle()
    }

    /// Tells what became of leases, each by itself. When many have ended at once, everything is
    /// listed instead: whoever removes by the listing can weigh what it leaves out as a whole. If
    /// no listing can be written that ends them, they wait for one.
    fn tell(&mut self, at: usize, mut news: News) -> Result<()> {
        let source = &mut self.sources[at];
        let many = news.many_ends().filter(|_| !source.tells_each_end());
        if let Some((ended, before)) = many {
            if source.is_known && source.leases.is_complete() {
                return self.list(&[at]);
            }
            source.list_wanted = true;
            news.withhold_ends();
            if !source.leases.is_complete() {
                let what = format!("{ended} of {before} leases ended at once, which is not told");
                let error = Error::new(Kind::Refused, what).why("a lease may be missing");
                let remedy = "told in the listing that comes when all can be read";
                self.report.note(&error.remedy(remedy).at(source.place()));
            }
        }
        self.write(at, &news)
    }

    fn write(&mut self, at: usize, news: &News) -> Result<()> {
        if news.is_empty() {
            return Ok(());
        }
        for lease in self.sources[at].leases.records(news) {
            self.output.write(&Record::Lease(lease))?;
            self.report.used();
        }
        self.changed();
        Ok(())
    }

    fn changed(&mut self) {
        if let Some(state) = &mut self.state {
            state.is_old = true;
        }
    }

    fn save_when_due(&mut self) {
        if self.state.as_ref().is_some_and(State::is_due) {
            self.save();
        }
    }

    /// Writes down what was told, behind the telling: what is told twice does no harm.
    fn save(&mut self) {
        let Some(state) = &mut self.state else { return };
        let listed = self.output.flush().is_ok() && self.sources.iter().all(|s| s.has_read);
        if !state.is_old || !listed {
            return;
        }
        if let Err(why) = state.write(self.sources.iter().flat_map(Watched::memory)) {
            self.report.failed(&why);
        }
    }
}

fn no_threads() -> Error {
    Error::new(Kind::Bug, "wait for sources").why("none is read any more")
}
